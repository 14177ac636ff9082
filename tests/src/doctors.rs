//! How a doctor of a world comes to be: application, review, profile, schedule.

use clinicd_sdk::proto::appointments::v1::{
    GetScheduleRequest, ReplaceWeeklyRulesRequest, Schedule, WeeklyRule,
};
use clinicd_sdk::proto::onboarding::v1::save_application_step_request::Step;
use clinicd_sdk::proto::onboarding::v1::{
    Application, ApproveApplicationRequest, AttachDocumentRequest, ClinicStep, DeclarationStep,
    DocumentKind, PersonalStep, ProfessionalStep, SaveApplicationStepRequest,
    StartApplicationRequest, SubmitApplicationRequest,
};
use clinicd_sdk::proto::profiles::v1::{
    DoctorProfile, Fee, FeeList, GetMyDoctorProfileRequest, UpdateMyDoctorProfileRequest,
};
use clinicd_sdk::proto::prost_types::Duration;
use clinicd_sdk::proto::r#type::v1::{
    Address, ConsultationMode, Date, DayOfWeek, Money, TimeOfDay,
};

use crate::people::Person;
use crate::world::World;

/// Zone of every doctor's schedule.
pub const ZONE: &str = "Asia/Kolkata";
/// A consultation's price in rupees.
pub const FEE: i64 = 500;
/// A slot's length in minutes.
pub const SLOT_MINUTES: i64 = 30;

impl World {
    /// A new doctor who can be booked: a cardiologist in Pune, in person and by video, every day
    /// from 09:00 to 17:00 in Asia/Kolkata, in slots of 30 minutes, for 500 rupees.
    pub async fn doctor(&self) -> Person {
        let doctor = self.approved_doctor().await;
        self.set_fees(&doctor, FEE).await;
        self.replace_rules(&doctor, every_day(9, 17)).await;
        doctor
    }

    /// A new doctor without fees and schedule.
    pub async fn approved_doctor(&self) -> Person {
        let applicant = self.applicant().await;
        let application = self.submit(&applicant).await;
        let request = ApproveApplicationRequest {
            application_id: application.id,
            etag: application.etag,
            ..Default::default()
        };
        self.admin().await.client.send(request).await.unwrap();
        self.again(&applicant).await
    }

    /// Somebody new with a complete application that is not submitted yet.
    pub async fn applicant(&self) -> Person {
        let number = self.next_number();
        let person = self
            .registered(&format!("meera{number}@example.org"), "Meera", &format!("Iyer {number}"))
            .await;
        self.apply(&person).await;
        person
    }

    /// Starts an application of this person, and completes it.
    pub async fn apply(&self, person: &Person) {
        let number = self.next_number();
        person.client.send(StartApplicationRequest::default()).await.unwrap();
        for step in steps(person, number) {
            let step = Some(step);
            let request = SaveApplicationStepRequest { step, ..Default::default() };
            person.client.send(request).await.unwrap();
        }
        for kind in [
            DocumentKind::GovernmentId,
            DocumentKind::MedicalCertificate,
            DocumentKind::Registration,
        ] {
            let file = person.client.upload("paper.png", "image/png", &picture()).await.unwrap();
            let (kind, file_id) = (kind.into(), file.id);
            let request = AttachDocumentRequest { kind, file_id, ..Default::default() };
            person.client.send(request).await.unwrap();
        }
    }

    /// Hands an application in.
    pub async fn submit(&self, applicant: &Person) -> Application {
        let answer = applicant.client.send(SubmitApplicationRequest::default()).await.unwrap();
        answer.application.unwrap()
    }

    /// Sets the doctor's fee, in whole rupees, for visits in person and by video.
    pub async fn set_fees(&self, doctor: &Person, rupees: i64) -> DoctorProfile {
        let profile = doctor.client.send(GetMyDoctorProfileRequest {}).await.unwrap();
        let fee = |mode: ConsultationMode| Fee {
            mode: mode.into(),
            amount: Some(Money { currency_code: "INR".to_owned(), units: rupees, nanos: 0 }),
        };
        let fees = vec![fee(ConsultationMode::InPerson), fee(ConsultationMode::Video)];
        let request = UpdateMyDoctorProfileRequest {
            etag: profile.profile.unwrap().etag,
            fees: Some(FeeList { fees }),
            ..Default::default()
        };
        doctor.client.send(request).await.unwrap().profile.unwrap()
    }

    /// Replaces the doctor's weekly rules, in [`ZONE`].
    pub async fn replace_rules(&self, doctor: &Person, rules: Vec<WeeklyRule>) -> Schedule {
        let request = GetScheduleRequest { doctor_id: doctor.id.clone() };
        let schedule = doctor.client.send(request).await.unwrap().schedule.unwrap();
        let request = ReplaceWeeklyRulesRequest {
            doctor_id: doctor.id.clone(),
            etag: schedule.etag,
            time_zone: ZONE.to_owned(),
            rules,
            ..Default::default()
        };
        doctor.client.send(request).await.unwrap().schedule.unwrap()
    }
}

/// Rules from one full hour to another on all days, in slots of 30 minutes.
#[must_use]
pub fn every_day(from: i32, to: i32) -> Vec<WeeklyRule> {
    let time = |hours| Some(TimeOfDay { hours, minutes: 0 });
    let rule = |day: DayOfWeek| WeeklyRule {
        day: day.into(),
        start: time(from),
        end: time(to),
        slot_length: Some(Duration { seconds: SLOT_MINUTES * 60, nanos: 0 }),
        modes: vec![ConsultationMode::InPerson.into(), ConsultationMode::Video.into()],
        ..Default::default()
    };
    (1..=7).filter_map(|day| DayOfWeek::try_from(day).ok()).map(rule).collect()
}

fn steps(person: &Person, number: u32) -> [Step; 4] {
    [
        Step::Personal(PersonalStep {
            name: Some(person.name.clone()),
            mobile: format!("+9198765{number:05}"),
            birth_date: Some(Date { year: 1980, month: 5, day: 17 }),
        }),
        Step::Professional(ProfessionalStep {
            specialty_code: "cardiology".to_owned(),
            registration_number: format!("MMC-{number:05}"),
            registration_council: "Maharashtra Medical Council".to_owned(),
            years_of_experience: 12,
            qualification: "MBBS, MD (Cardiology)".to_owned(),
        }),
        Step::Clinic(ClinicStep {
            name: "Lake View Clinic".to_owned(),
            address: Some(Address {
                lines: vec!["12 Lake Road".to_owned()],
                city: "Pune".to_owned(),
                region: "Maharashtra".to_owned(),
                postal_code: "411001".to_owned(),
                country_code: "IN".to_owned(),
            }),
        }),
        Step::Declaration(DeclarationStep { accepted: true }),
    ]
}

/// A small picture (PNG) that passes for a document.
#[must_use]
pub fn picture() -> Vec<u8> {
    let picture = image::RgbImage::from_fn(64, 64, |x, y| {
        let [.., x] = x.to_be_bytes();
        let [.., y] = y.to_be_bytes();
        image::Rgb([x, y, 128])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}
