//! The story. Every step is checked: the day fails loudly when anything is not as it should be.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clinicd_sdk::proto::access::v1::Role;
use clinicd_sdk::proto::appointments::v1 as appointments;
use clinicd_sdk::proto::audit::v1 as audit;
use clinicd_sdk::proto::directory::v1 as directory;
use clinicd_sdk::proto::error::v1::ErrorReason;
use clinicd_sdk::proto::identity::v1 as identity;
use clinicd_sdk::proto::journals::v1 as journals;
use clinicd_sdk::proto::onboarding::v1 as onboarding;
use clinicd_sdk::proto::prescriptions::v1 as prescriptions;
use clinicd_sdk::proto::profiles::v1 as profiles;
use clinicd_sdk::proto::prost_types;
use clinicd_sdk::proto::r#type::v1 as types;
use clinicd_sdk::{Client, Error};

use super::ledger::{self, Intruder};
use super::outbox::Outbox;
use super::papers;

/// Why the day went wrong.
#[derive(Debug)]
pub struct Failure(pub String);

/// What a step comes to.
pub type Outcome<T> = Result<T, Failure>;

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// A password that nobody else has.
const PASSWORD: &str = "seven blue lamps on a quiet hill";

/// Where the day takes place.
pub struct Day {
    /// The server.
    pub url: String,
    /// Its data directory.
    pub data_dir: PathBuf,
}

/// The people of the day, signed in.
struct People {
    admin: Client,
    operator: Client,
    doctor: Client,
    other_doctor: Client,
    patient: Client,
    other_patient: Client,
}

/// Says what happens, and how long it took.
struct Teller {
    since: Instant,
}

impl Teller {
    fn chapter(&mut self, title: &str) {
        println!("\n{title}");
        self.since = Instant::now();
    }

    fn say(&mut self, what: &str) {
        println!("  {what}  ({} ms)", self.since.elapsed().as_millis());
        self.since = Instant::now();
    }
}

/// Insists that something is so.
fn insist(so: bool, what: &str) -> Outcome<()> {
    if so { Ok(()) } else { Err(Failure(format!("it is not so that {what}"))) }
}

/// What a response must hold.
fn present<T>(value: Option<T>, what: &str) -> Outcome<T> {
    value.ok_or_else(|| Failure(format!("the answer has no {what}")))
}

/// Insists that a call was refused for this reason.
fn refused<T>(result: Result<T, Error>, reason: ErrorReason) -> Outcome<()> {
    match result {
        Err(error) if error.is(reason) => Ok(()),
        Err(error) => Err(Failure(format!("refused, but not for {reason:?}: {error}"))),
        Ok(_) => Err(Failure(format!("not refused, although {reason:?}"))),
    }
}

impl Day {
    /// Lives the day.
    pub async fn run(&self) -> Outcome<()> {
        let mut teller = Teller { since: Instant::now() };
        let started = Instant::now();
        let people = self.arrive(&mut teller).await?;
        self.open_practice(&mut teller, &people).await?;
        let appointment = self.find_and_book(&mut teller, &people).await?;
        self.visit(&mut teller, &people, &appointment).await?;
        self.look_back(&mut teller, &people).await?;
        println!("\nA whole clinic day in {:.1} s.", started.elapsed().as_secs_f32());
        Ok(())
    }

    fn outbox(&self) -> Outbox {
        Outbox::of(&self.data_dir)
    }

    /// Registers somebody and follows the mailed link. Addresses are new on every day.
    async fn register(&self, name: (&str, &str)) -> Outcome<Client> {
        let client = Client::connect_lazy(&self.url)?;
        let email = self.address(name.0)?;
        client
            .send(identity::RegisterAccountRequest {
                email: email.clone(),
                password: PASSWORD.to_owned(),
                name: Some(types::PersonName { given: name.0.into(), family: name.1.into() }),
                language: "en".to_owned(),
                ..Default::default()
            })
            .await?;
        let activation_token = self.outbox().token(&email).await?;
        client
            .send(identity::ConfirmActivationRequest { activation_token, ..Default::default() })
            .await?;
        Ok(client.sign_in(&email, PASSWORD).await?)
    }

    fn address(&self, name: &str) -> Outcome<String> {
        let now = std::time::UNIX_EPOCH.elapsed()?.as_nanos();
        Ok(format!("{}.{now}@example.org", name.to_lowercase()))
    }

    /// Chapters 1 and 2: an admin, an operator, and two doctors who pass onboarding.
    async fn arrive(&self, teller: &mut Teller) -> Outcome<People> {
        teller.chapter("1. The superuser grants admin to an account");
        let login = std::fs::read_to_string(self.data_dir.join("first-login.txt"))?;
        let field = |name: &str| {
            login.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim()
        };
        let (email, password) = (field("email:"), field("password:"));
        let superuser = Client::connect_lazy(&self.url)?.sign_in(email, password).await?;
        teller.say("The superuser signs in with the password of first-login.txt.");
        let admin = self.register(("Meera", "Kulkarni")).await?;
        let account_id = present(admin.account_id(), "account")?.to_owned();
        let grant = identity::GrantAdminRequest { account_id, ..Default::default() };
        superuser.send(grant).await?;
        teller.say("Meera registers, follows the mailed link, and becomes an admin.");
        let operator = self.hire(&admin).await?;
        teller.say("Meera hires Ravi for the front desk; he accepts the mailed invitation.");

        teller.chapter("2. A doctor passes onboarding");
        let doctor = self.register(("Anjali", "Deshpande")).await?;
        self.onboard(teller, &doctor, &admin, true).await?;
        let other_doctor = self.register(("Farid", "Ansari")).await?;
        self.onboard(teller, &other_doctor, &admin, false).await?;
        let patient = self.register(("Nisha", "Patil")).await?;
        let other_patient = self.register(("Kabir", "Shah")).await?;
        Ok(People { admin, operator, doctor, other_doctor, patient, other_patient })
    }

    async fn hire(&self, admin: &Client) -> Outcome<Client> {
        let email = self.address("ravi")?;
        admin
            .send(identity::CreateStaffMemberRequest {
                email: email.clone(),
                name: Some(types::PersonName { given: "Ravi".into(), family: "Joshi".into() }),
                role: Role::Operator.into(),
                ..Default::default()
            })
            .await?;
        let activation_token = self.outbox().token(&email).await?;
        let password = Some(PASSWORD.to_owned());
        let client = Client::connect_lazy(&self.url)?;
        client
            .send(identity::ConfirmActivationRequest {
                activation_token,
                password,
                ..Default::default()
            })
            .await?;
        Ok(client.sign_in(&email, PASSWORD).await?)
    }

    /// The application, step by step; with `sent_back` the admin asks for a correction first.
    async fn onboard(
        &self,
        teller: &mut Teller,
        doctor: &Client,
        admin: &Client,
        sent_back: bool,
    ) -> Outcome<()> {
        use onboarding::save_application_step_request::Step;
        let me = present(doctor.send(identity::GetMyAccountRequest {}).await?.account, "account")?;
        let name = present(me.name.clone(), "name")?;
        doctor.send(onboarding::StartApplicationRequest::default()).await?;
        let schedule = appointments::GetScheduleRequest { doctor_id: me.id.clone() };
        refused(doctor.send(schedule).await, ErrorReason::OnboardingNotApproved)?;
        for step in self.steps(&name, if sent_back { "MMC" } else { "MMC 2011/04/1187" }) {
            save(doctor, step).await?;
        }
        teller.say(&format!("Dr. {} {} fills the application in.", name.given, name.family));
        let submit = onboarding::SubmitApplicationRequest::default();
        refused(doctor.send(submit).await, ErrorReason::ApplicationIncomplete)?;
        let certificate = papers::certificate(&name.family);
        let documents = [
            (
                onboarding::DocumentKind::GovernmentId,
                "card.png",
                "image/png",
                papers::identity_card()?,
            ),
            (
                onboarding::DocumentKind::MedicalCertificate,
                "degree.pdf",
                "application/pdf",
                certificate,
            ),
            (
                onboarding::DocumentKind::Registration,
                "council.jpg",
                "image/jpeg",
                papers::registration()?,
            ),
        ];
        for (kind, file, media_type, bytes) in documents {
            let file_id = doctor.upload(file, media_type, &bytes).await?.id;
            let attach = onboarding::AttachDocumentRequest {
                kind: kind.into(),
                file_id,
                ..Default::default()
            };
            doctor.send(attach).await?;
        }
        teller.say("Three documents go up in chunks: a PNG, a PDF, a JPEG.");
        doctor.send(onboarding::SubmitApplicationRequest::default()).await?;
        let mut application = self.queued(admin, &me.id).await?;
        for document in &application.documents {
            let file = present(document.file.as_ref(), "file")?;
            let bytes = admin.download(&file.id).await?.bytes().await?;
            insist(i64::try_from(bytes.len())? == file.size_bytes, "a document arrives whole")?;
        }
        teller.say("The admin sees the application in the queue and opens the documents.");
        if sent_back {
            application = self.mend(teller, doctor, admin, application, &name).await?;
        }
        admin
            .send(onboarding::ApproveApplicationRequest {
                application_id: application.id,
                etag: application.etag,
                ..Default::default()
            })
            .await?;
        self.outbox().mail(&me.email, "pproved").await?;
        teller.say("The admin approves; the mail about it lies in the outbox.");
        Ok(())
    }

    fn steps(
        &self,
        name: &types::PersonName,
        registration: &str,
    ) -> [onboarding::save_application_step_request::Step; 4] {
        use onboarding::save_application_step_request::Step;
        [
            Step::Professional(professional(registration)),
            Step::Personal(onboarding::PersonalStep {
                name: Some(name.clone()),
                mobile: "098123 45678".to_owned(),
                birth_date: Some(types::Date { year: 1979, month: 4, day: 12 }),
            }),
            Step::Clinic(onboarding::ClinicStep {
                name: "Lake View Clinic".to_owned(),
                address: Some(types::Address {
                    lines: vec!["14 Prabhat Road".to_owned()],
                    city: "Pune".to_owned(),
                    region: "Maharashtra".to_owned(),
                    postal_code: "411004".to_owned(),
                    country_code: "IN".to_owned(),
                }),
            }),
            Step::Declaration(onboarding::DeclarationStep { accepted: true }),
        ]
    }

    /// The admin finds the application of this account in the queue.
    async fn queued(&self, admin: &Client, account: &str) -> Outcome<onboarding::Application> {
        let queue = onboarding::ListApplicationsRequest {
            status: Some(onboarding::ApplicationStatus::Submitted.into()),
            page_size: 25,
            ..Default::default()
        };
        let waiting = admin.all(queue).await?;
        let found = waiting.into_iter().find(|application| application.account_id == account);
        let application_id = present(found, "waiting application")?.id;
        let get = onboarding::GetApplicationRequest { application_id };
        present(admin.send(get).await?.application, "application")
    }

    async fn mend(
        &self,
        teller: &mut Teller,
        doctor: &Client,
        admin: &Client,
        application: onboarding::Application,
        name: &types::PersonName,
    ) -> Outcome<onboarding::Application> {
        let account = application.account_id.clone();
        admin
            .send(onboarding::RequestChangesRequest {
                application_id: application.id,
                etag: application.etag,
                changes: vec![onboarding::StepChange {
                    step: onboarding::ApplicationStep::Professional.into(),
                    reason: "The registration number is not complete.".to_owned(),
                }],
                ..Default::default()
            })
            .await?;
        let mine = doctor.send(onboarding::GetMyApplicationRequest {}).await?.application;
        let asked = present(mine, "application")?.steps;
        let asked = asked.iter().find(|step| !step.change_requested.is_empty());
        insist(asked.is_some(), "the doctor sees what is to be changed")?;
        teller.say("The admin sends one step back, with a reason.");
        let mended = self.steps(name, "MMC 2004/02/0345");
        let [professional, ..] = mended;
        save(doctor, professional).await?;
        doctor.send(onboarding::SubmitApplicationRequest::default()).await?;
        teller.say("The doctor mends it and hands it in again.");
        self.queued(admin, &account).await
    }

    /// Chapter 3: profile, fee, schedule.
    async fn open_practice(&self, teller: &mut Teller, people: &People) -> Outcome<()> {
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
    async fn find_and_book(
        &self,
        teller: &mut Teller,
        people: &People,
    ) -> Outcome<appointments::Appointment> {
        teller.chapter("4. A patient finds the doctor and books");
        let doctor_id = present(people.doctor.account_id(), "account")?.to_owned();
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

    /// Chapter 5: the visit, its note and prescription, and who may not see them.
    async fn visit(
        &self,
        teller: &mut Teller,
        people: &People,
        appointment: &appointments::Appointment,
    ) -> Outcome<()> {
        teller.chapter("5. The visit");
        let doctor = &people.doctor;
        doctor
            .send(appointments::StartVisitRequest {
                appointment_id: appointment.id.clone(),
                etag: appointment.etag.clone(),
                ..Default::default()
            })
            .await?;
        let draft = doctor
            .send(journals::SaveDraftRequest {
                appointment_id: appointment.id.clone(),
                text: "Palpitations for five days, at rest. Pulse 88, regular. ECG normal."
                    .to_owned(),
                ..Default::default()
            })
            .await?;
        let draft = present(draft.note, "note")?;
        let get = journals::GetNoteRequest { note_id: draft.id.clone() };
        refused(people.patient.send(get.clone()).await, ErrorReason::NotFound)?;
        let sign = journals::SignNoteRequest {
            note_id: draft.id.clone(),
            etag: draft.etag,
            ..Default::default()
        };
        doctor.send(sign).await?;
        teller.say("Dr. Deshpande begins the visit, writes a note and signs it.");
        let read = present(people.patient.send(get.clone()).await?.note, "note")?;
        insist(read.text.contains("ECG normal"), "the patient reads the signed note")?;
        teller.say("Nisha reads it.");
        let nobody = journals::GetNoteRequest { note_id: uuid::Uuid::from_u128(7).to_string() };
        for stranger in [&people.other_patient, &people.other_doctor, &people.operator] {
            let hidden = refusal(stranger.send(get.clone()).await)?;
            let absent = refusal(stranger.send(nobody.clone()).await)?;
            insist(hidden == absent, "a hidden note looks like none")?;
        }
        teller.say("Another patient, another doctor and the operator find no such note.");
        self.prescribe(teller, people, appointment).await
    }

    async fn prescribe(
        &self,
        teller: &mut Teller,
        people: &People,
        appointment: &appointments::Appointment,
    ) -> Outcome<()> {
        let item = |medication: &str, frequency: &str, instructions: &str| {
            prescriptions::PrescriptionItem {
                medication: medication.to_owned(),
                dose: "1 tablet".to_owned(),
                route: "by mouth".to_owned(),
                frequency: frequency.to_owned(),
                duration: "30 days".to_owned(),
                quantity: "30 tablets".to_owned(),
                refills: 1,
                instructions: instructions.to_owned(),
            }
        };
        let issued = people
            .doctor
            .send(prescriptions::IssuePrescriptionRequest {
                appointment_id: appointment.id.clone(),
                items: vec![
                    item("Metoprolol succinate 25 mg", "once a day, in the morning", ""),
                    item("Magnesium 365 mg", "once a day, in the evening", "With plenty of water."),
                ],
                text: "Less coffee. Come again in four weeks.".to_owned(),
                ..Default::default()
            })
            .await?;
        let issued = present(issued.prescription, "prescription")?;
        let pdf = people.patient.download_prescription(&issued.id).await?;
        insist(pdf.starts_with(b"%PDF-"), "the prescription is a PDF")?;
        let path = self.data_dir.join("clinic-day-prescription.pdf");
        std::fs::write(&path, &pdf)?;
        teller.say(&format!("Prescription {} lies in {}.", issued.number, path.display()));
        let get = prescriptions::GetPrescriptionRequest { prescription_id: issued.id };
        refused(people.other_patient.send(get).await, ErrorReason::NotFound)?;
        Ok(())
    }

    /// Chapter 6: who saw what, and that nobody can change it unseen.
    async fn look_back(&self, teller: &mut Teller, people: &People) -> Outcome<()> {
        teller.chapter("6. The audit log of the day");
        let patient_id = present(people.patient.account_id(), "account")?.to_owned();
        let search = audit::SearchAuditLogRequest {
            patient_id: Some(patient_id.clone()),
            page_size: 25,
            ..Default::default()
        };
        let entries = people.admin.all(search).await?;
        for entry in entries.iter().rev() {
            let roles: Vec<&str> = entry
                .actor_roles()
                .map(|role| role.as_str_name().trim_start_matches("ROLE_"))
                .collect();
            let method = entry.method.rsplit('.').next().unwrap_or_default();
            println!("    {:<45} {:<16} {}", method, entry.rule, roles.join("+"));
        }
        insist(entries.len() >= 6, "the log holds every access of the visit")?;
        let mine = audit::ListMyAccessLogRequest { page_size: 25, ..Default::default() };
        let mine = people.patient.all(mine).await?;
        insist(mine.len() >= 6, "the patient sees who looked at her record")?;
        teller.say("The admin and the patient see who saw what.");
        // Entries are sealed within a second.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let clinicd = ledger::program()?;
        let (whole, said) = ledger::verify(&clinicd, &self.data_dir)?;
        insist(whole, &format!("the chain is whole ({said})"))?;
        teller.say(&format!("clinicd audit verify: {said}"));
        let intruder = Intruder::enter(&self.data_dir).await?;
        let (entry, stood) = intruder.change_a_byte(&patient_id).await?;
        let result = ledger::verify(&clinicd, &self.data_dir);
        intruder.write(&entry, &stood).await?;
        let (whole, said) = result?;
        insist(!whole && said.contains(&entry), &format!("the changed entry is named ({said})"))?;
        teller.say(&format!("After one byte was changed in the database: {said}"));
        let (whole, _) = ledger::verify(&clinicd, &self.data_dir)?;
        insist(whole, "the chain is whole again when the byte is put back")
    }
}

async fn save(
    doctor: &Client,
    step: onboarding::save_application_step_request::Step,
) -> Outcome<()> {
    let save = onboarding::SaveApplicationStepRequest { step: Some(step), ..Default::default() };
    doctor.send(save).await?;
    Ok(())
}

fn professional(registration_number: &str) -> onboarding::ProfessionalStep {
    onboarding::ProfessionalStep {
        specialty_code: "cardiology".to_owned(),
        registration_number: registration_number.to_owned(),
        registration_council: "Maharashtra Medical Council".to_owned(),
        years_of_experience: 21,
        qualification: "MBBS, MD, DM (Cardiology)".to_owned(),
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

/// What a refusal shows, without the id of the call.
fn refusal<T>(result: Result<T, Error>) -> Outcome<String> {
    let Err(error) = result else { return Err(Failure("not refused".to_owned())) };
    let api = present(error.api(), "refusal")?;
    insist(error.is(ErrorReason::NotFound), "the refusal looks like not found")?;
    Ok(format!("{:?} {} {} {:?}", api.code, api.reason, api.message, api.metadata))
}
