//! The public directory: doctors who take bookings, and the specialties.
//!
//! Owns `specialties`; reads what [`crate::profiles`] writes. Only approved doctors with an active
//! account are found, from columns that hold nothing private: a private column is in no query of
//! this room. Emits no events.

mod rows;
mod rules;
mod searching;
mod service;
mod specialties;

pub use service::Service;
pub use specialties::specialty_exists;
