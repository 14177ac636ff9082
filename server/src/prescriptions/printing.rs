//! From a prescription to the printed document.

use clinicd_proto::prescriptions::v1 as pb;
use jiff::Unit;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::codes;
use super::pdf::{self, Item, Labels, Patient, PdfError, Prescriber, PrescriptionDocument};
use super::rows::PrescriptionRow;
use crate::app::App;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::Gender;
use crate::kernel::locale::{Locale, Locales, negotiate, texts};
use crate::profiles::{DoctorFacts, PatientFacts};

/// Younger children are given in months.
const YEARS_FROM_MONTHS: i32 = 24;

/// What is printed beside the content, as it was at issue. Personal data: never logged.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Printed {
    /// BCP 47 tag of the language of the fixed words.
    pub(super) language: String,
    /// Day of issue in the zone of the visit.
    pub(super) issue_date: Date,
    /// The letterhead.
    pub(super) prescriber: PrintedPrescriber,
    /// For whom.
    pub(super) patient: PrintedPatient,
}

/// The letterhead.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct PrintedPrescriber {
    pub(super) given_name: String,
    pub(super) family_name: String,
    pub(super) qualification: String,
    pub(super) registration_number: String,
    pub(super) clinic_name: String,
    pub(super) clinic_address: Vec<String>,
    pub(super) phone: String,
}

/// For whom.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct PrintedPatient {
    pub(super) given_name: String,
    pub(super) family_name: String,
    pub(super) birth_date: Option<Date>,
    pub(super) gender: String,
}

impl From<DoctorFacts> for PrintedPrescriber {
    fn from(doctor: DoctorFacts) -> Self {
        let about = [doctor.qualification, doctor.specialty_name];
        Self {
            given_name: doctor.given_name,
            family_name: doctor.family_name,
            qualification: joined(&about, ", "),
            registration_number: joined(
                &[doctor.registration_number, doctor.registration_council],
                ", ",
            ),
            clinic_name: doctor.clinic_name,
            clinic_address: doctor.clinic_address,
            // The doctor's own number is private; a clinic's is not kept yet.
            phone: String::new(),
        }
    }
}

impl From<PatientFacts> for PrintedPatient {
    fn from(patient: PatientFacts) -> Self {
        Self {
            given_name: patient.given_name,
            family_name: patient.family_name,
            birth_date: patient.birth_date.map(|day| day.0),
            gender: patient.gender.map_or("", Gender::as_str).to_owned(),
        }
    }
}

impl Printed {
    /// The prescriber's name with title, in the language of the document.
    pub(super) fn prescriber_name(&self) -> Result<String> {
        let title = locales()?.label(negotiate(&self.language), "doctor_title");
        let prescriber = &self.prescriber;
        Ok(joined(&[title, &prescriber.given_name, &prescriber.family_name], " "))
    }
}

/// A character that no font of this server shows, by the ISO 15924 code of its script.
#[derive(Debug)]
pub(super) struct MissingFont(String);

impl From<&MissingFont> for Error {
    fn from(missing: &MissingFont) -> Self {
        Self::of(Reason::FontMissing).with("script", &missing.0)
    }
}

/// Renders the PDF on a thread of its own; never call it inside a transaction.
pub(super) async fn try_render(
    app: &App,
    row: &PrescriptionRow,
    printed: &Printed,
    items: &[pb::PrescriptionItem],
) -> Result<Result<Vec<u8>, MissingFont>> {
    let link = format!(
        "{}/verify/{}",
        app.config.public_url.trim_end_matches('/'),
        codes::code(&app.keys.macs, row.id)
    );
    let document = document(row, printed, items, link)?;
    let fonts = app.fonts.clone();
    let rendering = tokio::task::spawn_blocking(move || pdf::render(&document, &fonts));
    match rendering.await.map_err(Error::internal)? {
        Ok(pdf) => Ok(Ok(pdf)),
        Err(PdfError::MissingGlyphs { script }) => Ok(Err(MissingFont(script))),
        Err(error) => Err(Error::internal(error)),
    }
}

/// The document: a pure function of what is stored, so that it is the same each time.
fn document(
    row: &PrescriptionRow,
    printed: &Printed,
    items: &[pb::PrescriptionItem],
    verification_url: String,
) -> Result<PrescriptionDocument> {
    let (locales, locale) = (locales()?, negotiate(&printed.language));
    let Printed { prescriber, patient, .. } = printed;
    let phone = Some(prescriber.phone.clone()).filter(|phone| !phone.is_empty());
    Ok(PrescriptionDocument {
        number: row.number.clone(),
        issue_date: locales.format_date(locale, printed.issue_date),
        issued_at: row.created_at.timestamp(),
        prescriber: Prescriber {
            name: printed.prescriber_name()?,
            qualification: prescriber.qualification.clone(),
            registration_number: prescriber.registration_number.clone(),
            clinic_name: prescriber.clinic_name.clone(),
            clinic_address: prescriber.clinic_address.clone(),
            phone,
        },
        patient: Patient {
            name: joined(&[&patient.given_name, &patient.family_name], " "),
            age_and_gender: age_and_gender(locales, locale, patient, printed.issue_date),
            short_id: short_id(row.patient.0),
        },
        items: items.iter().map(item).collect(),
        body_text: Some(row.text.clone()).filter(|text| !text.trim().is_empty()),
        verification_url,
        status_watermark: None,
        labels: labels(locales, locale),
    })
}

fn item(item: &pb::PrescriptionItem) -> Item {
    Item {
        medication: item.medication.clone(),
        dose: item.dose.clone(),
        route: item.route.clone(),
        frequency: item.frequency.clone(),
        duration: item.duration.clone(),
        quantity: item.quantity.clone(),
        refills: item.refills.to_string(),
        instructions: item.instructions.clone(),
    }
}

/// "34 years / female"; the gender alone when the birthday is not known.
fn age_and_gender(locales: &Locales, locale: Locale, patient: &PrintedPatient, on: Date) -> String {
    let gender = match patient.gender.as_str() {
        "female" => "gender_female",
        "male" => "gender_male",
        "other" => "gender_other",
        _ => "gender_unknown",
    };
    let gender = locales.label(locale, gender).to_owned();
    let born = patient.birth_date.filter(|born| *born <= on);
    let Some(age) = born.and_then(|born| born.until((Unit::Month, on)).ok()) else { return gender };
    let months = age.get_months();
    let (count, unit) = match months {
        YEARS_FROM_MONTHS.. => (months / 12, "years"),
        _ => (months, "months"),
    };
    format!("{count} {} / {gender}", locales.label(locale, unit))
}

/// The end of the id, which is its random part: enough to tell two people of one name apart.
fn short_id(id: Uuid) -> String {
    let text = id.simple().to_string().to_uppercase();
    format!("P-{}-{}", &text[24..28], &text[28..])
}

fn labels(locales: &Locales, locale: Locale) -> Labels {
    let label = |key| locales.label(locale, key).to_owned();
    Labels {
        language: locale.tag().to_owned(),
        prescription: label("prescription_title"),
        number: label("prescription_number"),
        date: label("date"),
        registration_number: label("registration_number"),
        phone: label("phone"),
        patient: label("patient"),
        age_and_gender: label("age_gender"),
        patient_id: label("patient_id"),
        medication: label("medication"),
        dose: label("dose"),
        route: label("route"),
        frequency: label("frequency"),
        duration: label("duration"),
        quantity: label("quantity"),
        refills: label("refills"),
        instructions: label("instructions"),
        items_total: label("items_total"),
        notes: label("notes"),
        issued_by: label("prescriber"),
        issued_digitally: label("digitally_issued"),
        verify: label("verify_caption"),
        generated_by: label("generated_by"),
        page: label("page_of"),
    }
}

fn locales() -> Result<&'static Locales> {
    texts().map_err(|error| Error::internal(error.to_string()))
}

/// The parts that are not empty, with `between` between them.
fn joined<T: AsRef<str>>(parts: &[T], between: &str) -> String {
    let parts: Vec<&str> =
        parts.iter().map(AsRef::as_ref).filter(|part| !part.is_empty()).collect();
    parts.join(between)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::kernel::kinds::{AppointmentId, DoctorId, PatientId, Time};
    use crate::prescriptions::pdf::Fonts;
    use crate::prescriptions::rows::PrescriptionId;
    use jiff::civil::date;

    fn printed() -> Printed {
        Printed {
            language: "en".into(),
            issue_date: date(2026, 11, 20),
            prescriber: PrintedPrescriber {
                given_name: "Meera".into(),
                family_name: "Iyer".into(),
                qualification: "MBBS, General medicine".into(),
                registration_number: "48213, KMC".into(),
                clinic_name: "Lake View Clinic".into(),
                clinic_address: vec!["14 Tank Road".into(), "Pune 411001".into()],
                phone: "+912055500142".into(),
            },
            patient: PrintedPatient {
                given_name: "Asha".into(),
                family_name: String::new(),
                birth_date: Some(date(1992, 11, 21)),
                gender: "female".into(),
            },
        }
    }

    fn row() -> PrescriptionRow {
        PrescriptionRow {
            id: PrescriptionId(Uuid::from_u128(1)),
            number: "RX-2026-00000000".into(),
            appointment: AppointmentId(Uuid::from_u128(2)),
            patient: PatientId(Uuid::from_u128(0x7f3a_21c9)),
            prescriber: DoctorId(Uuid::from_u128(4)),
            text: "Rest.".into(),
            printed: serde_json::Value::Null,
            created_at: Time::from_unix_micros(1_795_000_000_000_000).unwrap(),
            own: false,
        }
    }

    #[test]
    fn ages_are_whole_years_or_months() {
        let locales = locales().unwrap();
        let on = date(2026, 11, 20);
        let age = |born: Option<Date>, gender: &str| {
            let patient =
                PrintedPatient { birth_date: born, gender: gender.into(), ..printed().patient };
            age_and_gender(locales, Locale::En, &patient, on)
        };
        assert_eq!(age(Some(date(1992, 11, 21)), "female"), "33 years / female");
        assert_eq!(age(Some(date(1992, 11, 20)), "male"), "34 years / male");
        assert_eq!(age(Some(date(2024, 11, 20)), "other"), "2 years / other");
        assert_eq!(age(Some(date(2024, 11, 21)), "other"), "23 months / other");
        assert_eq!(age(Some(date(2026, 11, 20)), "unknown"), "0 months / not stated");
        assert_eq!(age(Some(date(2027, 1, 1)), "female"), "female");
        assert_eq!(age(None, "unspecified"), "not stated");
    }

    #[test]
    fn the_stored_letterhead_prints_the_same_each_time() {
        let stored = serde_json::to_value(printed()).unwrap();
        let items =
            [pb::PrescriptionItem { medication: "Paracetamol".into(), ..Default::default() }];
        let fonts = Fonts::load(None).unwrap();
        let print = || {
            let printed: Printed = serde_json::from_value(stored.clone()).unwrap();
            let link = "https://clinic.example/verify/x".to_owned();
            document(&row(), &printed, &items, link).unwrap()
        };
        let document = print();
        assert_eq!(document.prescriber.name, "Dr. Meera Iyer");
        assert_eq!(document.patient.name, "Asha");
        assert_eq!(document.patient.short_id, "P-7F3A-21C9");
        assert_eq!(document.issue_date, "20 November 2026");
        let [once, again] = [document, print()].map(|d| pdf::render(&d, &fonts).unwrap());
        assert_eq!(once, again);
    }

    #[test]
    fn every_label_has_words_in_every_locale() {
        let locales = locales().unwrap();
        for locale in Locale::ALL {
            let labels = labels(locales, locale);
            assert!(labels.items_total.contains("{count}"));
            assert!(labels.page.contains("{page}") && labels.page.contains("{pages}"));
            // A key without a text would stand for itself.
            assert!(!format!("{labels:?}").replace("items_total:", "").contains("_total"));
            assert_ne!(labels.number, "prescription_number");
            assert_ne!(labels.patient_id, "patient_id");
            assert_ne!(labels.phone, "phone");
        }
    }
}
