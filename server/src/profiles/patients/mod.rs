//! Patients.

pub(super) mod editing;
mod rows;
mod rules;

pub use editing::change_person;
pub use rows::{PatientFacts, create_own_patient, patient};
