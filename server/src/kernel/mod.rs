//! What every room stands on: access, audit, clock, crypto, database, errors, events,
//! idempotency, jobs, pages and the ports to the outside.

pub mod data_dir;
pub mod db;
