//! Chapters 3 and 4: the practice opens, a patient finds it and books.

use clinicd_sdk::Client;
use clinicd_sdk::proto::appointments::v1 as appointments;
use clinicd_sdk::proto::directory::v1 as directory;
use clinicd_sdk::proto::error::v1::ErrorReason;
use clinicd_sdk::proto::profiles::v1 as profiles;
use clinicd_sdk::proto::prost_types;
use clinicd_sdk::proto::r#type::v1 as types;

use super::story::{Day, Outcome, People, Teller, insist, present, refused};

impl Day {
    /// Chapter 3: profile, fee, schedule.
    pub async fn open_practice(&self, teller: &mut Teller, people: &People) -> Outcome<()> {
        teller.chapter("3. The doctor opens the practice");
        let doctor = &people.doctor;
        let profile = doctor.send(profiles::GetMyDoctorProfileRequest {}).await?.profile;
        let profile = present(profile, "profile")?;
        let fee = |mode: types::ConsultationMode, units| profiles::Fee {
            mode: mode.into(),
            amount: Some(types::Money { currency_code: "INR".to_owned(), units, nanos: 0 }),
        };
        let fees = vec![
            fee(types::ConsultationMode::InPerson, 900),
            fee(types::ConsultationMode::Video, 700),
        ];
        let codes = vec!["mr".to_owned(), "hi".to_owned(), "en".to_owned()];
        let updated = doctor
            .send(profiles::UpdateMyDoctorProfileRequest {
                etag: profile.etag,
                bio: Some("Cardiologist with an ear for the whole story.".to_owned()),
                fees: Some(profiles::FeeList { fees }),
                languages: Some(profiles::LanguageList { codes }),
                ..Default::default()
            })
            .await?;
        let complete = present(updated.profile, "profile")?.completeness_percent;
        teller.say(&format!("Profile and fees are written; the profile is {complete} % complete."));
        let doctor_id = present(doctor.account_id(), "account")?.to_owned();
        let rules = (1..=7).map(around_the_clock).collect();
        let replaced = doctor
            .send(appointments::ReplaceWeeklyRulesRequest {
                doctor_id,
                etag: "0".to_owned(),
                time_zone: "Asia/Kolkata".to_owned(),
                rules,
                ..Default::default()
            })
            .await?;
        insist(replaced.conflicts.is_empty(), "a first schedule meets no bookings")?;
        teller.say("The week in Asia/Kolkata: on call around the clock, 20 minutes a slot.");
        Ok(())
    }

    /// Chapter 4: search, slots, booking, and who comes second.
    pub async fn find_and_book(
        &self,
        teller: &mut Teller,
        people: &People,
    ) -> Outcome<appointments::Appointment> {
        teller.chapter("4. A patient finds the doctor and books");
        let doctor_id = present(people.doctor.account_id(), "account")?.to_owned();
        let me = people.patient.send(profiles::GetMyPatientRequest {}).await?.patient;
        people
            .patient
            .send(profiles::UpdateMyPatientRequest {
                etag: present(me, "patient")?.etag,
                birth_date: Some(types::Date { year: 1988, month: 2, day: 29 }),
                gender: Some(types::Gender::Female.into()),
                ..Default::default()
            })
            .await?;
        let search = directory::SearchDoctorsRequest {
            query: "cardiology".to_owned(),
            city: Some("pune".to_owned()),
            page_size: 25,
            ..Default::default()
        };
        let hits = people.patient.all(search).await?;
        let is_ours = |hit: &&directory::DoctorHit| {
            hit.doctor.as_ref().is_some_and(|doctor| doctor.id == doctor_id)
        };
        let hit = present(hits.iter().find(is_ours), "hit for our doctor")?;
        insist(hit.next_free_slot.is_some(), "the hit shows the next free slot")?;
        teller.say("Nisha searches “cardiology” in Pune and finds Dr. Deshpande.");
        let slots = self.slots(&people.patient, &doctor_id).await?;
        let start_time = present(slots.first().and_then(|slot| slot.start), "free slot")?;
        teller.say(&format!("{} free slots today and tomorrow.", slots.len()));
        let book = appointments::BookAppointmentRequest {
            request_id: uuid::Uuid::from_u128(std::time::UNIX_EPOCH.elapsed()?.as_nanos())
                .to_string(),
            doctor_id,
            mode: types::ConsultationMode::Video.into(),
            start_time: Some(start_time),
            reason: "A flutter in the chest since Sunday.".to_owned(),
            ..Default::default()
        };
        let booked = people.patient.send(book.clone()).await?.appointment;
        let booked = present(booked, "appointment")?;
        teller.say("She books the first one.");
        let second =
            appointments::BookAppointmentRequest { request_id: String::new(), ..book.clone() };
        refused(people.other_patient.send(second).await, ErrorReason::SlotTaken)?;
        teller.say("Kabir wants the same slot and is refused: SLOT_TAKEN.");
        let again = present(people.patient.send(book.clone()).await?.appointment, "appointment")?;
        insist(again == booked, "the same request_id gives the same booking")?;
        let other =
            appointments::BookAppointmentRequest { reason: "Something else.".into(), ..book };
        refused(people.patient.send(other).await, ErrorReason::RequestIdReused)?;
        teller.say(
            "The same request_id again gives the same booking; with other words it is refused.",
        );
        Ok(booked)
    }

    async fn slots(&self, patient: &Client, doctor_id: &str) -> Outcome<Vec<types::TimeRange>> {
        let mode = types::ConsultationMode::Video.into();
        let next = appointments::GetNextFreeSlotRequest { doctor_id: doctor_id.to_owned(), mode };
        let next = patient.send(next).await?;
        let start = present(next.slot.and_then(|slot| slot.start), "next free slot")?;
        let start = jiff::Timestamp::new(start.seconds, start.nanos)?;
        let today = start.in_tz(&next.time_zone)?.date();
        let tomorrow = today.tomorrow()?;
        let slots = patient
            .send(appointments::ListSlotsRequest {
                doctor_id: doctor_id.to_owned(),
                mode,
                first_day: Some(date(today)),
                last_day: Some(date(tomorrow)),
            })
            .await?;
        Ok(slots.slots)
    }
}

fn around_the_clock(day: i32) -> appointments::WeeklyRule {
    let modes =
        vec![types::ConsultationMode::InPerson.into(), types::ConsultationMode::Video.into()];
    appointments::WeeklyRule {
        day,
        start: Some(types::TimeOfDay { hours: 0, minutes: 0 }),
        end: Some(types::TimeOfDay { hours: 24, minutes: 0 }),
        slot_length: Some(prost_types::Duration { seconds: 20 * 60, nanos: 0 }),
        modes,
        ..Default::default()
    }
}

fn date(day: jiff::civil::Date) -> types::Date {
    types::Date { year: day.year().into(), month: day.month().into(), day: day.day().into() }
}
