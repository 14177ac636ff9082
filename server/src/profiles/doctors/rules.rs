//! How complete a profile is, and what may stand in it.

use std::collections::BTreeMap;

use clinicd_proto::profiles::v1 as pb;

use super::rows::{DoctorRow, FeeRow};
use crate::kernel::error::{Error, Faults, Result};
use crate::kernel::kinds::ConsultationMode;
use crate::profiles::languages::canonical;
use crate::profiles::money_from_wire;

/// A field that counts: its name in the message, its weight in percent, and whether it is there.
type Weight = (&'static str, i32, fn(&DoctorRow, &[FeeRow]) -> bool);

/// What makes a profile complete. The weights add up to 100.
const WEIGHTS: &[Weight] = &[
    ("name", 10, |row, _| !row.given_name.is_empty()),
    ("specialty_code", 10, |row, _| !row.specialty_code.is_empty()),
    ("registration_number", 10, |row, _| !row.registration_number.is_empty()),
    ("mobile", 5, |row, _| !row.mobile.is_empty()),
    ("qualification", 10, |row, _| !row.qualification.is_empty()),
    ("bio", 15, |row, _| !row.bio.is_empty()),
    ("languages", 10, |row, _| !row.languages.is_empty()),
    ("fees", 15, |_, fees| !fees.is_empty()),
    ("clinic_name", 5, |row, _| !row.clinic_name.is_empty()),
    ("clinic_address", 10, |row, _| !row.clinic_city.is_empty()),
];

/// How complete the profile is, in percent, and which fields it lacks.
pub(super) fn completeness(row: &DoctorRow, fees: &[FeeRow]) -> (i32, Vec<&'static str>) {
    let (mut percent, mut missing) = (0, Vec::new());
    for (field, weight, is_there) in WEIGHTS {
        if is_there(row, fees) {
            percent += weight;
        } else {
            missing.push(*field);
        }
    }
    (percent, missing)
}

/// The languages in their usual form, each once.
pub(super) fn languages(list: &pb::LanguageList) -> Result<Vec<String>> {
    let mut faults = Faults::default();
    let mut languages: Vec<String> = Vec::with_capacity(list.codes.len());
    for (at, code) in list.codes.iter().enumerate() {
        let field = format!("languages.codes[{at}]");
        match canonical(code) {
            None => faults.add(Error::field(field, "must be a BCP 47 language code, such as mr")),
            Some(language) if languages.contains(&language) => {
                faults.add(Error::field(field, "must not repeat a language"));
            }
            Some(language) => languages.push(language),
        }
    }
    faults.check()?;
    Ok(languages)
}

/// One fee per mode, with currency and minor units.
pub(super) type Fees = BTreeMap<ConsultationMode, (String, i64)>;

/// The fees of a request.
pub(super) fn fees(list: &pb::FeeList) -> Result<Fees> {
    let (mut faults, mut fees) = (Faults::default(), Fees::new());
    for (at, fee) in list.fees.iter().enumerate() {
        let field = format!("fees.fees[{at}]");
        let amount = fee.amount.clone().unwrap_or_default();
        let amount = faults.keep(money_from_wire(&format!("{field}.amount"), &amount));
        let remedy = match ConsultationMode::from_wire(fee.mode) {
            None => "must be a consultation mode",
            Some(mode) if fees.insert(mode, amount).is_some() => "must not repeat a mode",
            Some(_) => continue,
        };
        faults.add(Error::field(format!("{field}.mode"), remedy));
    }
    faults.check()?;
    Ok(fees)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::kernel::kinds::{DoctorId, Time};
    use clinicd_proto::r#type::v1 as types;

    fn approved() -> DoctorRow {
        let now = Time::from_unix_micros(0).unwrap();
        DoctorRow {
            id: DoctorId(uuid::Uuid::nil()),
            given_name: "Asha".into(),
            family_name: "Rao".into(),
            mobile: "+919876543210".into(),
            specialty_code: "cardiology".into(),
            specialty_name: "Cardiology".into(),
            registration_number: "MH-1".into(),
            registration_council: "MMC".into(),
            years_of_experience: 0,
            qualification: "MD".into(),
            bio: String::new(),
            languages: vec![],
            clinic_name: String::new(),
            clinic_lines: vec![],
            clinic_city: String::new(),
            clinic_region: String::new(),
            clinic_postal_code: String::new(),
            clinic_country_code: String::new(),
            available_for_booking: true,
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }

    fn fee(mode: types::ConsultationMode, units: i64) -> pb::Fee {
        let amount = types::Money { currency_code: "INR".into(), units, nanos: 0 };
        pb::Fee { mode: mode.into(), amount: Some(amount) }
    }

    #[test]
    fn the_weights_are_percent() {
        assert_eq!(WEIGHTS.iter().map(|(_, weight, _)| weight).sum::<i32>(), 100);
    }

    #[test]
    fn completeness_grows_with_the_fields() {
        let mut row = approved();
        let (percent, missing) = completeness(&row, &[]);
        assert_eq!(percent, 45);
        assert_eq!(missing, ["bio", "languages", "fees", "clinic_name", "clinic_address"]);
        row.bio = "Since 2001.".into();
        row.languages = vec!["mr".into()];
        row.clinic_name = "Sunrise".into();
        row.clinic_city = "Pune".into();
        let fee = FeeRow {
            doctor: row.id,
            mode: ConsultationMode::Video,
            currency: "INR".into(),
            minor_units: 0,
        };
        assert_eq!(completeness(&row, &[fee]), (100, vec![]));
    }

    #[test]
    fn languages_differ_after_they_are_made_uniform() {
        let list = |codes: &[&str]| pb::LanguageList {
            codes: codes.iter().map(|code| (*code).to_owned()).collect(),
        };
        assert_eq!(languages(&list(&["mr", "EN-in"])).unwrap(), ["mr", "en-IN"]);
        assert_eq!(languages(&list(&[])).unwrap(), Vec::<String>::new());
        assert!(languages(&list(&["en-IN", "EN-in"])).is_err());
        assert!(languages(&list(&["klingon"])).is_err());
    }

    #[test]
    fn one_fee_per_mode() {
        use types::ConsultationMode::{InPerson, Video};
        let list = |sent| fees(&pb::FeeList { fees: sent });
        assert_eq!(list(vec![fee(Video, 500), fee(InPerson, 700)]).unwrap().len(), 2);
        assert!(list(vec![fee(Video, 500), fee(Video, 600)]).is_err());
        assert!(list(vec![fee(Video, -1)]).is_err());
        assert!(list(vec![pb::Fee { mode: Video.into(), amount: None }]).is_err());
    }
}
