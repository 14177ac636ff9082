//! Patients.

pub(super) mod editing;
mod greeted;
mod rows;
mod rules;

pub(super) use rows::changed;

pub use editing::change_person;
pub use greeted::{people_in_zones, people_with_birthday};
pub use rows::{PatientFacts, create_own_patient, patient, time_zone};
