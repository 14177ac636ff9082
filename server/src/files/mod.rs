//! Files that people hand in: uploads in resumable parts, checks, the stored files, downloads.
//!
//! Invariants:
//! - A row in `files` never lacks its bytes: they lie in the store, lasting, before the row is
//!   committed. Bytes without a row are only garbage: their key stands in `unclaimed_objects`
//!   from before they are written until a row claims them, and [`jobs::Sweep`] removes them.
//! - What is stored has passed [`inspect`]; its SHA-256 is that of the stored bytes, and it never
//!   changes.
//! - The parts of an upload lie under a key of their own until it is finished, given up or
//!   lapsed. Nothing of them is served.
//! - A file is its owner's; admins may read it once another room opened it for review.
//!
//! The room emits no events: a file means nothing until another room takes it.

mod downloading;
mod finishing;
pub mod inspect;
pub mod jobs;
mod rows;
mod service;
mod uploading;

pub use service::Service;

pub use rows::{describe, forget_all_but, open_for_review, owned};

use crate::kernel::error::Error;
use crate::kernel::ports::PortError;

/// What a failure of the store means to a caller: busy, or a fault of the server.
fn store_failed(error: PortError) -> Error {
    if error.is_temporary() {
        Error::unavailable().caused_by(error)
    } else {
        Error::internal(error)
    }
}
