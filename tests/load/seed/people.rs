//! Accounts, patients, doctors and their schedules.

use std::collections::BTreeSet;

use clinicd_server::profiles::Searched;
use tokio_postgres::Client;
use uuid::Uuid;

use super::Options;
use super::calendar::{Calendar, DAY, Pattern, ZONE, instant};
use super::copy::Copy;
use crate::Result;
use crate::names::{CITIES, CLINICS, FAMILY, GIVEN, HOUSES, LANGUAGES, QUALIFICATIONS, STREETS};
use crate::random::Random;

/// How far ahead slots can be booked, in days.
const HORIZON: i64 = 60;

/// Somebody with an account.
#[derive(Debug, Clone)]
pub struct Person {
    /// Id of the account, and of what the person is.
    pub id: Uuid,
    given: &'static str,
    family: &'static str,
    email: String,
    roles: &'static [&'static str],
    created: i64,
}

/// A doctor, as far as appointments need to know.
#[derive(Debug, Clone)]
pub struct Doctor {
    /// Who.
    pub id: Uuid,
    /// Which of the patterns.
    pub pattern: usize,
    /// Fee of any mode, in minor units.
    pub fee: i64,
}

/// Everybody.
#[derive(Debug)]
pub struct People {
    /// Doctors, by number.
    pub doctors: Vec<Person>,
    /// Patients, by number.
    pub patients: Vec<Person>,
    /// An operator and an admin.
    pub staff: Vec<Person>,
}

impl People {
    /// Makes them up.
    pub fn new(options: &Options, calendar: Calendar, random: &mut Random) -> Self {
        let mut person = |email: String, roles: &'static [&'static str]| {
            let created = calendar.monday - random.between(30, 700) * DAY;
            Person {
                id: random.id(created),
                given: random.word(GIVEN),
                family: random.word(FAMILY),
                email,
                roles,
                created,
            }
        };
        let staff = [("operator", &["operator"][..]), ("admin", &["patient", "admin"][..])];
        Self {
            doctors: (0..options.doctors)
                .map(|number| person(crate::doctor_email(number), &["patient", "doctor"]))
                .collect(),
            patients: (0..options.patients)
                .map(|number| person(crate::patient_email(number), &["patient"]))
                .collect(),
            staff: staff
                .map(|(name, roles)| person(format!("{name}@{}", crate::DOMAIN), roles))
                .into(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Person> {
        self.staff.iter().chain(&self.doctors).chain(&self.patients)
    }

    /// Writes accounts, roles and patients; the numbers of rows.
    pub async fn write(&self, client: &Client, hash: &str) -> Result<[u64; 3]> {
        let columns = "accounts (id, email, email_key, password_hash, given_name, family_name, \
            language, state, created_at, updated_at)";
        let mut accounts = Copy::into(client, columns).await?;
        for one in self.all() {
            let at = instant(one.created)?;
            let Person { id, email, given, family, .. } = one;
            accounts
                .row(&[id, email, email, &hash, given, family, &"en", &"active", &at, &at])
                .await?;
        }
        let accounts = accounts.finish().await?;
        let mut roles = Copy::into(client, "account_roles (account_id, role, granted_at)").await?;
        for one in self.all() {
            let at = instant(one.created)?;
            for role in one.roles {
                roles.row(&[&one.id, role, &at]).await?;
            }
        }
        let roles = roles.finish().await?;
        Ok([accounts, roles, self.write_patients(client).await?])
    }

    /// Whoever has registered has a patient record with the account's id.
    async fn write_patients(&self, client: &Client) -> Result<u64> {
        let columns = "patients (id, account_id, given_name, family_name, birth_date, gender, \
            phone, time_zone, created_at, updated_at)";
        let mut patients = Copy::into(client, columns).await?;
        for (number, one) in self.all().filter(|one| one.roles.contains(&"patient")).enumerate() {
            let at = instant(one.created)?;
            let born = instant(one.created - 6_570 * DAY)?.strftime("%F").to_string();
            let gender = if number.is_multiple_of(2) { "female" } else { "male" };
            let phone = format!("+9190{number:08}");
            let Person { id, given, family, .. } = one;
            patients.row(&[id, id, given, family, &born, &gender, &phone, &ZONE, &at, &at]).await?;
        }
        patients.finish().await
    }

    /// Writes doctors, their words and fees; the doctors, and the numbers of rows.
    pub async fn write_doctors(
        &self,
        client: &Client,
        random: &mut Random,
    ) -> Result<(Vec<Doctor>, [u64; 3])> {
        let rows = client.query("SELECT code, name FROM specialties ORDER BY code", &[]).await?;
        let specialties: Vec<(String, String)> =
            rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let mut table = Copy::into(client, DOCTOR_COLUMNS).await?;
        let mut words = BTreeSet::new();
        let mut doctors = Vec::with_capacity(self.doctors.len());
        for (number, one) in self.doctors.iter().enumerate() {
            let specialty = random.pick(&specialties).ok_or("no specialties")?;
            let clinic = Clinic::new(random)?;
            words.extend(one.write_doctor(&mut table, number, specialty, &clinic, random).await?);
            let fee = random.between(2, 20) * 10_000;
            doctors.push(Doctor { id: one.id, pattern: number % Pattern::all().len(), fee });
        }
        let count = table.finish().await?;
        let words: Vec<String> = words.into_iter().collect();
        let remember = "INSERT INTO doctor_words SELECT unnest($1::text[]) ON CONFLICT DO NOTHING";
        let words = client.execute(remember, &[&words]).await?;
        let fees = write_fees(client, &doctors).await?;
        Ok((doctors, [count, words, fees]))
    }
}

const DOCTOR_COLUMNS: &str = "doctors (id, given_name, family_name, mobile, specialty_code, \
    registration_number, registration_council, years_of_experience, qualification, bio, \
    languages, clinic_name, clinic_lines, clinic_city, clinic_region, clinic_postal_code, \
    clinic_country_code, search_text, created_at, updated_at)";

/// Where a doctor works.
struct Clinic {
    name: String,
    /// Its street, as an array of PostgreSQL.
    lines: String,
    city: &'static str,
    region: &'static str,
    /// The first digits of its postal code.
    area: &'static str,
    postal_code: String,
}

impl Clinic {
    fn new(random: &mut Random) -> Result<Self> {
        let (city, region, area) = *random.pick(CITIES).ok_or("no cities")?;
        let name = format!("{} {}", random.word(CLINICS), random.word(HOUSES));
        let lines = format!("{{\"{} {}\"}}", random.between(1, 200), random.word(STREETS));
        let postal_code = format!("{area}{:03}", random.between(1, 100));
        Ok(Self { name, lines, city, region, area, postal_code })
    }
}

impl Person {
    /// Writes the profile; the words by which the directory finds it.
    async fn write_doctor(
        &self,
        table: &mut Copy,
        number: usize,
        (code, specialty): &(String, String),
        clinic: &Clinic,
        random: &mut Random,
    ) -> Result<Vec<String>> {
        let qualification = random.word(QUALIFICATIONS);
        let searched = Searched {
            given_name: self.given,
            family_name: self.family,
            specialty_name: specialty,
            qualification,
            clinic_name: &clinic.name,
            clinic_city: clinic.city,
        };
        let (search_text, words) = searched.text();
        let Clinic { name, lines, city, region, area, postal_code } = clinic;
        let mobile = format!("+9198{number:08}");
        let registration = format!("{area}-{number:06}");
        let council = format!("{region} Medical Council");
        let years = random.between(2, 40);
        let bio = format!("{specialty} in {city}, {years} years of practice.");
        let languages = format!("{{en,{}}}", random.word(LANGUAGES));
        let at = instant(self.created)?;
        table
            .row(&[
                &self.id,
                &self.given,
                &self.family,
                &mobile,
                code,
                &registration,
                &council,
                &years,
                &qualification,
                &bio,
                &languages,
                name,
                lines,
                city,
                region,
                postal_code,
                &"IN",
                &search_text,
                &at,
                &at,
            ])
            .await?;
        Ok(words)
    }
}

async fn write_fees(client: &Client, doctors: &[Doctor]) -> Result<u64> {
    let columns = "doctor_fees (doctor_id, mode, currency_code, minor_units)";
    let mut fees = Copy::into(client, columns).await?;
    for doctor in doctors {
        for mode in ["in_person", "video"] {
            fees.row(&[&doctor.id, &mode, &"INR", &doctor.fee]).await?;
        }
    }
    fees.finish().await
}

/// Writes the schedules and their rules; the numbers of rows.
pub async fn write_schedules(
    client: &Client,
    doctors: &[Doctor],
    patterns: &[Pattern],
    calendar: Calendar,
) -> Result<[u64; 2]> {
    let at = instant(calendar.monday - 30 * DAY)?;
    let columns =
        "schedules (doctor_id, time_zone, lead_minutes, horizon_days, created_at, updated_at)";
    let mut schedules = Copy::into(client, columns).await?;
    for doctor in doctors {
        schedules.row(&[&doctor.id, &ZONE, &60, &HORIZON, &at, &at]).await?;
    }
    let schedules = schedules.finish().await?;
    let columns = "schedule_rules (doctor_id, position, weekday, start_minute, end_minute, \
        slot_minutes, buffer_before_minutes, buffer_after_minutes, modes)";
    let mut rules = Copy::into(client, columns).await?;
    for doctor in doctors {
        let pattern = patterns.get(doctor.pattern).ok_or("no such pattern")?;
        let Pattern { hours, slot, before, after, modes } = pattern;
        for (position, hours) in hours.iter().enumerate() {
            let weekday = hours.weekday + 1;
            let (from, until) = (&hours.from, &hours.until);
            rules
                .row(&[&doctor.id, &position, &weekday, from, until, slot, before, after, modes])
                .await?;
        }
    }
    Ok([schedules, rules.finish().await?])
}
