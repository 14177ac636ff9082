//! Notes of visits: what the treating doctor writes down about an appointment.
//!
//! - A note belongs to one appointment whose visit has begun. It is a draft, which its doctor
//!   rewrites, until it is signed; a signed note never changes (the database refuses it).
//! - Its text is sealed under the patient's key, bound to row, version, patient and doctor. A
//!   ciphertext that was edited or moved shows nothing and leaves an audit entry.
//! - Its doctor opens it always, its patient once it is signed. To everybody else, staff included,
//!   it does not exist.
//!
//! Events: `visit_note.signed`.

mod drafting;
mod reading;
mod rows;
mod rules;
mod sealing;
mod service;
mod signing;
mod snapshot;

pub use service::Service;
pub use snapshot::note_ids;
