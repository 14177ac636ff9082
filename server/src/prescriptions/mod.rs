//! Prescriptions: what a doctor prescribes in a visit, and the document that the patient is handed.
//!
//! - A prescription belongs to an appointment whose visit has begun, and is issued by its doctor.
//!   Nobody prescribes to themselves.
//! - An issued one never changes: the database takes neither a change nor a later item. What is
//!   printed beside its content (letterhead, patient, day, language) is kept as it was at issue,
//!   so it always prints the same bytes.
//! - It is issued only if it can be printed.
//! - The printed code proves that it is ours and shows nothing of its content.
//!
//! Events: `prescription.issued`, upon which the patient is told by mail.

mod codes;
mod downloading;
mod issuing;
pub mod jobs;
pub mod pdf;
mod printing;
mod reading;
mod rows;
mod rules;
mod service;
mod snapshot;
mod verifying;

pub use service::Service;
pub use snapshot::prescription_ids;
