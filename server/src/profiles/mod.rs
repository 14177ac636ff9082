//! Profiles: who a doctor is to patients, and who a patient is as a person.
//!
//! Owns `doctors`, `doctor_fees` and `patients`. A doctor's row exists exactly since the
//! onboarding application was approved, and a mode without a fee is not offered. A person's own
//! patient record has the id of the account. The text that the directory searches is written with
//! every change of a doctor, so the next search sees the change.
//!
//! Events: `doctor.created`, `doctor.updated`, `patient.created`, `patient.updated`.

mod address;
mod doctors;
mod languages;
mod money;
mod patients;
mod service;

pub use address::clean_address;
pub use doctors::{DoctorFacts, NewDoctor, Searched, create_doctor, doctor, public_fees};
pub use money::{money_from_wire, money_to_wire};
pub use patients::{PatientFacts, create_own_patient, patient};
pub use service::Service;

use crate::kernel::error::{Error, Reason, Result};

/// Refuses a change of something that has changed since it was read.
fn require_etag(version: i32, etag: &str) -> Result<()> {
    if etag == version.to_string() { Ok(()) } else { Err(Error::of(Reason::EtagMismatch)) }
}
