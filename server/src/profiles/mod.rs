//! Profiles: who a doctor is to patients, and who a patient is as a person.
//!
//! Owns `doctors`, `doctor_fees` and `patients`. A doctor's row exists exactly since the
//! onboarding application was approved, and a mode without a fee is not offered. A person's own
//! patient record has the id of the account. The text that the directory searches is written with
//! every change of a doctor, so the next search sees the change.
//!
//! A patient of a closed account is kept under a pseudonym, a doctor under the name that stands on
//! prescriptions; both have `closed_at`, and are not booked any more.
//!
//! Events: `doctor.created`, `doctor.updated`, `doctor.blocked_for_booking`,
//! `doctor.opened_for_booking`, `doctor.retired`, `patient.created`, `patient.updated`,
//! `patient.closed`. A removed doctor who comes back is created again.

mod address;
mod closing;
mod doctors;
mod languages;
mod money;
mod patients;
mod service;
mod snapshot;

pub use address::clean_address;
pub use closing::{close_people, lock_people, retire_doctor};
pub use doctors::{
    DoctorFacts, NewDoctor, Searched, create_doctor, doctor, public_fees, set_bookable,
};
pub use money::{money_from_wire, money_to_wire};
pub use patients::{
    PatientFacts, change_person, create_own_patient, patient, people_in_zones,
    people_with_birthday, time_zone,
};
pub use service::Service;
pub use snapshot::{doctor_ids, patient_ids};

use crate::kernel::error::{Error, Reason, Result};

/// Refuses a change of something that has changed since it was read.
fn require_etag(version: i32, etag: &str) -> Result<()> {
    if etag == version.to_string() { Ok(()) } else { Err(Error::of(Reason::EtagMismatch)) }
}
