//! Patients.

pub(super) mod editing;
mod rows;
mod rules;

pub(super) use rows::changed;

pub use editing::change_person;
pub use rows::{PatientFacts, create_own_patient, patient, time_zone};
