//! What every room stands on: access, audit, clock, crypto, database, errors, events,
//! idempotency, jobs, pages, backups, metrics, the port that clients call and the ports to the
//! outside.

pub mod access;
pub mod at_once;
pub mod audit;
pub mod backup;
pub mod clock;
pub mod crypto;
pub mod data_dir;
pub mod db;
pub mod error;
pub mod events;
pub mod idempotency;
pub mod ids;
pub mod jobs;
pub mod kinds;
pub mod locale;
pub mod page;
pub mod patient_keys;
pub mod phone;
pub mod ports;
pub mod secret;
pub mod telemetry;
pub mod text;
pub mod transport;
