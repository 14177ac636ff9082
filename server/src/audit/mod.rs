//! Reading the audit log: who saw what. The log is written by `kernel/audit`; this room shows it.
//!
//! Invariants: a patient sees the accesses to their own data and to that of the patients whose
//! guardian they are, without network addresses; admins see all. Every reading of the log is itself
//! an entry, committed before the answer leaves, and not part of the page that it is about.
//! It emits no events.

mod reading;
mod rows;
mod service;
mod verifying;

pub use service::Service;
