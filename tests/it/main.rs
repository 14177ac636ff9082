//! All tests, as one program. Each file is about one room or one guarantee.
#![expect(clippy::unwrap_used, reason = "tests")]

mod access;
mod architecture;
mod clinic_day;
mod contract;
mod feed;
mod guarantees;
mod load;
mod outages;
mod port;
mod program;
mod providers;
mod rooms;
mod schema;
mod sdk;
mod visits;
