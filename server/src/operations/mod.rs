//! How the installation runs: jobs and schedules, for admins.
//!
//! Owns no table: jobs are the kernel's ([`crate::kernel::jobs`]), which this room reads, runs again
//! and cancels through its functions. Shows no payload. Emits no events: jobs are no resources, and
//! who runs the installation looks when they want to know.

mod acting;
mod listing;
mod service;

pub use service::Service;
