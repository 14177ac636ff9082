//! All tests, as one program. Each file is about one room or one guarantee.
#![expect(clippy::unwrap_used, reason = "tests")]

mod access;
mod architecture;
mod contract;
mod port;
mod program;
mod schema;
mod sdk;
