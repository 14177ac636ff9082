//! The harness of the tests: a real PostgreSQL, real servers, and people who act through the SDK.
//!
//! ```ignore
//! #[tokio::test(flavor = "multi_thread")]
//! async fn nobody_books_a_taken_slot() {
//!     let world = World::start().await;
//!     let (doctor, asha) = (world.doctor().await, world.patient().await);
//!     // … asha.client.send(BookAppointmentRequest { … }).await …
//!     refused(second, Code::AlreadyExists, "SLOT_TAKEN");
//!     world.finish().await;
//! }
//! ```
//!
//! Every test has a database and a server of its own, so tests run side by side. The database of a
//! test that failed is kept, and its name printed, until the cluster ends with the run; with
//! `TEST_DATABASE_URL` (a superuser's, no TLS) an outside server is used and it stays for good.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a harness panics when something is not as it should be"
)]

pub mod certificates;
pub mod cluster;
pub mod crowd;
pub mod doctors;
pub mod expect;
pub mod http_double;
pub mod mail;
pub mod own_cluster;
pub mod people;
pub mod process;
pub mod sms;
pub mod smtp;
pub mod tap;
pub mod wire;
pub mod world;

pub use clinicd_sdk::Code;
pub use expect::{eventually, refused};
pub use http_double::HttpDouble;
pub use own_cluster::OwnCluster;
pub use people::Person;
pub use process::Process;
pub use world::World;

/// Whether the long tests run in their full form, which takes minutes: `CLINICD_TESTS=full`.
#[must_use]
pub fn full() -> bool {
    std::env::var("CLINICD_TESTS").is_ok_and(|form| form == "full")
}
