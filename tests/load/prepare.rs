//! What the workers of a scenario need: sessions, and requests that fit the seeded clinic.

use std::sync::Arc;

use clinicd_sdk::Client;
use clinicd_sdk::proto::appointments::v1::{
    BookAppointmentRequest, GetAppointmentRequest, ListAppointmentsRequest, ListSlotsRequest,
};
use clinicd_sdk::proto::identity::v1::SignInRequest;
use clinicd_sdk::proto::journals::v1::{GetNoteRequest, SaveDraftRequest, SignNoteRequest};
use clinicd_sdk::proto::prost_types::Timestamp;
use clinicd_sdk::proto::r#type::v1::{ConsultationMode, Date};

use crate::people::{connections, signed_in};
use crate::random::Random;
use crate::run::Scenario;
use crate::seed::calendar::Calendar;
use crate::worker::{Bookings, Task, Upload, Worker};
use crate::{BOOKING_REASON, Result, database, searches};

/// Requests in a pool, at most.
const POOL: usize = 2_000;
/// Doctors who list or write; each has a session.
const SESSIONS: usize = 8;
/// Notes of each of them.
const NOTES: usize = 25;
/// Doctors who are booked.
const BOOKED: usize = 512;
/// Days from today that bookings lie between: behind the seeded weeks, within the horizon.
const BOOKABLE: (i64, i64) = (29, 58);

/// The surroundings of a run.
pub struct Setup {
    /// The server's URL.
    pub server: String,
    /// The database.
    pub database: tokio_postgres::Client,
    /// HTTP/2 connections.
    pub connections: usize,
    /// Calls in flight on each.
    pub in_flight: usize,
}

impl Setup {
    /// The workers of a scenario.
    pub async fn workers(&self, scenario: Scenario) -> Result<Vec<Worker>> {
        let connections = connections(&self.server, self.connections)?;
        match scenario {
            Scenario::Health => Ok(self.spread(&[connections], &Task::Health)),
            Scenario::Search => Ok(self.spread(&[connections], &self.searches(false).await?)),
            Scenario::SearchTypo => Ok(self.spread(&[connections], &self.searches(true).await?)),
            Scenario::Slots7 => Ok(self.spread(&[connections], &self.slots(7).await?)),
            Scenario::Slots30 => Ok(self.spread(&[connections], &self.slots(30).await?)),
            Scenario::Login => Ok(self.spread(&[connections], &self.logins().await?)),
            Scenario::ListDoctor | Scenario::ListTotal => {
                let with_total = scenario == Scenario::ListTotal;
                let doctors = self.doctors(&connections).await?;
                let request = ListAppointmentsRequest {
                    page_size: 20,
                    order_by: "start_time desc".to_owned(),
                    include_total: with_total,
                    ..Default::default()
                };
                Ok(self.spread(&doctors, &Task::List([request].into())))
            }
            Scenario::Audited => self.audited(&connections).await,
            Scenario::Upload => self.uploads(&connections).await,
            _ => {
                let operator = signed_in(&connections, &crate::operator_email()).await?;
                Ok(self.spread(&[operator], &self.of_operator(scenario).await?))
            }
        }
    }

    async fn of_operator(&self, scenario: Scenario) -> Result<Task> {
        Ok(match scenario {
            Scenario::Account => Task::Account,
            Scenario::Get => self.gets().await?,
            Scenario::List => self.lists(false).await?,
            Scenario::ListTotalAll => self.lists(true).await?,
            Scenario::Book => Task::Book(Arc::new(self.bookings().await?)),
            _ => Task::Empty,
        })
    }

    /// As many workers as calls are in flight, over all connections and sessions. `sessions` holds
    /// the clients of each session, one per connection.
    fn spread(&self, sessions: &[Vec<Client>], task: &Task) -> Vec<Worker> {
        let count = self.connections.max(1) * self.in_flight.max(1);
        let worker = |number: usize| {
            let session = sessions.get(number % sessions.len().max(1))?;
            let client = session.get(number / sessions.len().max(1) % session.len().max(1))?;
            let random = Random::new(u64::try_from(number).unwrap_or_default());
            Some(Worker { client: client.clone(), task: task.clone(), random })
        };
        (0..count).filter_map(worker).collect()
    }

    /// The sessions of the first doctors, who are busy ones.
    async fn doctors(&self, connections: &[Client]) -> Result<Vec<Vec<Client>>> {
        let known = self.seeded("doctors").await?.len();
        let mut doctors = Vec::new();
        for number in 0..SESSIONS.min((known / 8).max(1)) {
            doctors.push(signed_in(connections, &crate::doctor_email(number)).await?);
        }
        Ok(doctors)
    }

    /// Ids of the seeded people in a table, by number.
    async fn seeded(&self, table: &str) -> Result<Vec<String>> {
        let sql = format!(
            "SELECT p.id::text FROM {table} p JOIN accounts a ON a.id = p.id \
             WHERE a.email LIKE '{}%' ORDER BY length(a.email), a.email LIMIT 100000",
            table.trim_end_matches('s')
        );
        database::texts(&self.database, &sql).await
    }

    async fn calendar(&self) -> Result<Calendar> {
        Ok(Calendar::at(database::now(&self.database).await?))
    }

    async fn gets(&self) -> Result<Task> {
        let sql =
            format!("SELECT id::text FROM appointments ORDER BY hashtext(id::text) LIMIT {POOL}");
        let ids = database::texts(&self.database, &sql).await?;
        let request = |appointment_id| GetAppointmentRequest { appointment_id };
        Ok(Task::Get(ids.into_iter().map(request).collect()))
    }

    /// Pages of 20 of all appointments, from any moment of the last weeks on.
    async fn lists(&self, include_total: bool) -> Result<Task> {
        let (calendar, mut random) = (self.calendar().await?, Random::new(7));
        let mut request = |_| ListAppointmentsRequest {
            page_size: 20,
            order_by: "start_time".to_owned(),
            include_total,
            start_from: (!include_total).then(|| Timestamp {
                seconds: calendar.monday + random.between(-80 * 24, 14 * 24) * 3_600,
                nanos: 0,
            }),
            ..Default::default()
        };
        Ok(Task::List((0..POOL).map(&mut request).collect()))
    }

    async fn searches(&self, with_typos: bool) -> Result<Task> {
        let sql = "SELECT code FROM specialties ORDER BY code";
        let codes = database::texts(&self.database, sql).await?;
        let mut random = Random::new(11);
        let pool = (0..POOL).map(|_| searches::any(&codes, with_typos, &mut random));
        Ok(Task::Search(pool.collect()))
    }

    async fn slots(&self, days: i64) -> Result<Task> {
        let calendar = self.calendar().await?;
        let doctors = self.seeded("doctors").await?;
        let mut random = Random::new(13);
        let any = (0..POOL).filter_map(|_| random.pick(&doctors).cloned());
        let pool = any.map(|doctor| slots_of(doctor, calendar, (0, days - 1)));
        Ok(Task::Slots(pool.collect::<Result<Vec<_>>>()?.into()))
    }

    async fn logins(&self) -> Result<Task> {
        let patients = self.seeded("patients").await?.len();
        let request = |number| SignInRequest {
            email: crate::patient_email(number),
            password: crate::PASSWORD.to_owned(),
            ..Default::default()
        };
        Ok(Task::Login((0..patients.min(POOL)).map(request).collect()))
    }

    /// Bookings of free slots: the first of each doctor, then the second, and so on, so that
    /// neighbours never meet. A patient sees one doctor only, so they do not meet there either.
    pub async fn bookings(&self) -> Result<Bookings> {
        let client = connections(&self.server, 1)?.remove(0);
        let calendar = self.calendar().await?;
        let patients = self.seeded("patients").await?;
        let mut doctors = self.seeded("doctors").await?;
        doctors.truncate(BOOKED.min(patients.len()));
        let mut free = Vec::with_capacity(doctors.len());
        for doctor in &doctors {
            let answer = client.send(slots_of(doctor.clone(), calendar, BOOKABLE)?).await?;
            free.push(answer.slots);
        }
        let per_doctor = (patients.len() / doctors.len().max(1)).max(1);
        let most = free.iter().map(Vec::len).max().unwrap_or_default();
        let mut requests = Vec::new();
        for at in 0..most {
            for (number, (doctor, free)) in doctors.iter().zip(&free).enumerate() {
                let patient = patients.get(number + doctors.len() * (at % per_doctor));
                let (Some(slot), Some(patient)) = (free.get(at), patient) else { continue };
                requests.push(BookAppointmentRequest {
                    doctor_id: doctor.clone(),
                    patient_id: Some(patient.clone()),
                    mode: ConsultationMode::InPerson.into(),
                    start_time: slot.start,
                    reason: BOOKING_REASON.to_owned(),
                    ..Default::default()
                });
            }
        }
        Ok(Bookings::new(requests))
    }

    /// Signed notes of a few doctors, written through the API unless they are there.
    async fn audited(&self, connections: &[Client]) -> Result<Vec<Worker>> {
        let doctors = self.doctors(connections).await?;
        let count = doctors.len();
        let mut workers = Vec::new();
        for (number, doctor) in doctors.into_iter().enumerate() {
            let task = Task::Audited(self.notes(&doctor).await?.into());
            let theirs = self.spread(&[doctor], &task);
            workers.extend(theirs.into_iter().skip(number).step_by(count));
        }
        Ok(workers)
    }

    async fn notes(&self, doctor: &[Client]) -> Result<Vec<GetNoteRequest>> {
        let doctor = doctor.first().ok_or("no connection")?;
        let id = doctor.account_id().unwrap_or_default();
        let signed = format!(
            "SELECT id::text FROM visit_notes WHERE doctor_id = '{id}' AND state = 'signed' \
             ORDER BY id LIMIT {NOTES}"
        );
        let mut notes = database::texts(&self.database, &signed).await?;
        let without = format!(
            "SELECT id::text FROM appointments a WHERE doctor_id = '{id}' AND state = 'completed' \
             AND NOT EXISTS (SELECT FROM visit_notes n WHERE n.appointment_id = a.id) \
             ORDER BY id LIMIT {}",
            NOTES - notes.len()
        );
        for appointment_id in database::texts(&self.database, &without).await? {
            let text = "Seen and examined. Rest, fluids, and again in two weeks. ".repeat(8);
            let draft = SaveDraftRequest { appointment_id, text, ..Default::default() };
            let note = doctor.send(draft).await?.note.unwrap_or_default();
            let (note_id, etag) = (note.id.clone(), note.etag);
            doctor.send(SignNoteRequest { note_id, etag, ..Default::default() }).await?;
            notes.push(note.id);
        }
        Ok(notes.into_iter().map(|note_id| GetNoteRequest { note_id }).collect())
    }

    /// Each worker uploads as a patient of its own: unfinished uploads are few per account.
    async fn uploads(&self, connections: &[Client]) -> Result<Vec<Worker>> {
        let mut workers = self.spread(&[connections.to_vec()], &Task::Upload(Upload::default()));
        for (number, worker) in workers.iter_mut().enumerate() {
            let connection = [worker.client.clone()];
            let patient = signed_in(&connection, &crate::patient_email(number)).await?;
            worker.client = patient.into_iter().next().ok_or("no connection")?;
        }
        Ok(workers)
    }
}

/// The free slots of these days from today.
fn slots_of(
    doctor_id: String,
    calendar: Calendar,
    (first, last): (i64, i64),
) -> Result<ListSlotsRequest> {
    let day = |from_today| -> Result<Option<Date>> {
        let day = calendar.day(from_today)?;
        let (year, month, day) = (day.year().into(), day.month().into(), day.day().into());
        Ok(Some(Date { year, month, day }))
    };
    Ok(ListSlotsRequest {
        doctor_id,
        mode: ConsultationMode::InPerson.into(),
        first_day: day(first)?,
        last_day: day(last)?,
    })
}
