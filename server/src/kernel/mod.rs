//! What every room stands on: access, audit, clock, crypto, database, errors, events,
//! idempotency, jobs, pages, the texts for people and the ports to the outside.

pub mod locale;
pub mod ports;
