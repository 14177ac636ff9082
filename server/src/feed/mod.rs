//! The feed of changes as apps read it: `ListEvents` and `Watch` over `kernel/events`.
//!
//! Invariants:
//! - One order for all readers, without gaps. A resume token moves on past events that its holder
//!   may not see, and grants nothing.
//! - What is shown is judged by the rights that the session has when the event is read from the
//!   database, by SQL or by [`Viewer::sees`](crate::kernel::events::Viewer::sees), which say the
//!   same. A right that was taken before an event is never used for it.
//! - The feed reaches back 30 days ([`jobs::Sweep`]). Who comes with an older token is told, and
//!   begins with a snapshot.
//! - A stream holds no more than a few hundred events in memory, whatever its client does. Who
//!   falls behind reads from the database; who takes nothing at all for a minute is given up.
//!
//! It emits no events.

mod hub;
pub mod jobs;
mod listing;
mod rules;
mod seat;
mod service;
mod snapshot;
mod table;
mod token;
mod watching;
pub mod webhooks;

pub use service::Service;
