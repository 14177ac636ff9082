//! Doctors.

mod booking;
mod creating;
pub(super) mod editing;
mod facts;
mod index;
pub(super) mod listing;
mod rows;
mod rules;

pub(super) use creating::changed;

pub use booking::set_bookable;
pub use creating::{NewDoctor, create_doctor};
pub use facts::{DoctorFacts, doctor, public_fees};
pub use index::Searched;
