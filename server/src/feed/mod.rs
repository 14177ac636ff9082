//! The feed of changes as apps read it: `ListEvents` and `Watch` over `kernel/events`.
//!
//! Invariants: one order for all readers, without gaps; what is shown is judged by SQL at each
//! read, for the roles that the account has at that moment; a resume token moves on past events
//! that its holder may not see, and grants nothing. It emits no events.

mod hub;
mod listing;
mod rules;
mod service;
mod token;
mod watching;
pub mod webhooks;

pub use service::Service;
