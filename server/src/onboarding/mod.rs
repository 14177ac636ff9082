//! How a practitioner becomes a doctor of the platform: the application, and its review.
//!
//! Invariants:
//! - An account has at most one application that is not rejected (a unique index).
//! - The status changes by the table in `rules::next` and by nothing else.
//! - Approval, the role, and the doctor's profile come in one transaction.
//! - Nobody reviews their own application.
//! - Nothing is left of an applicant who closes the account before approval.
//! - Documents are files of the applicant. Admins can read their bytes from the first submission
//!   that contains them on; a draft's documents are the applicant's alone.
//!
//! Events: `application.started`, `application.updated`, `application.submitted`,
//! `application.changes_requested`, `application.approved`, `application.rejected`: the last four
//! are changes of status, of which [`jobs`] tells the applicant by mail and SMS. Besides
//! `application.withdrawn` (the applicant closed the account) and `application.ended` (the doctor was
//! removed from the staff), after which it is rejected.

mod applying;
mod documents;
mod forgetting;
pub mod jobs;
mod listing;
mod reviewing;
mod rows;
mod rules;
mod saving;
mod service;
mod snapshot;

pub use service::Service;
pub use snapshot::application_ids;
