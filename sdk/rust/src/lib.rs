//! The Rust client of clinicd.
//!
//! ```no_run
//! use clinicd_sdk::Client;
//! use clinicd_sdk::proto::identity::v1::GetMyAccountRequest;
//!
//! # async fn example() -> clinicd_sdk::Result<()> {
//! let client = Client::connect_lazy("http://127.0.0.1:7080")?;
//! let asha = client.sign_in("asha@example.org", "correct horse battery staple").await?;
//! let account = asha.send(GetMyAccountRequest {}).await?.account;
//! println!("{:?}", account.and_then(|account| account.name));
//! # Ok(())
//! # }
//! ```
//!
//! Every method of the API is called in the same way: [`Client::send`] takes its request message
//! (see [`proto`]) and returns its response, [`Client::stream`] opens a stream. What the SDK does
//! by itself:
//!
//! * fills an empty `request_id`, so that a repeated change has one effect;
//! * repeats a call while the server is away or asks to wait, with growing random pauses, never
//!   past the deadline ([`RetryPolicy`]);
//! * renews the access token, once for all clones of a client;
//! * gives every call a deadline ([`Client::with_deadline`]);
//! * turns each refusal into an [`ApiError`] with its stable reason.
//!
//! Lists: [`Client::items`] and [`Client::all`]. Files: [`Client::upload`], [`Client::download`].
//! Changes as they happen: [`Client::watch`], and [`Client::follow`] for whoever keeps a copy, or
//! sent to you: [`webhook`]. The generated stubs: [`Client::raw`].
//!
//! A call that is dropped is cancelled; a change that had reached the server is done or not done,
//! never half. To be sure, set the `request_id` yourself and send the same request again.

mod call;
mod client;
mod error;
mod files;
mod raw;
mod retry;
mod session;
mod watch;
pub mod webhook;

pub use call::{Items, Messages};
pub use client::{Builder, Client, DEFAULT_DEADLINE};
pub use error::{ApiError, Error, Result};
pub use files::{Download, Progress};
pub use raw::Raw;
pub use retry::RetryPolicy;
pub use watch::{Changes, Update, Updates};

/// The messages of the API, by room.
pub use clinicd_proto as proto;
/// The gRPC codes.
pub use tonic::Code;

/// An id that no other call has. Its first bits are the time.
#[expect(clippy::disallowed_methods, reason = "a client makes its own request ids")]
fn new_id() -> uuid::Uuid {
    uuid::Uuid::now_v7()
}
