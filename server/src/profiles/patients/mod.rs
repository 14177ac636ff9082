//! Patients.

pub(super) mod editing;
mod rows;
mod rules;

pub use rows::{PatientFacts, create_own_patient, patient};
