//! The outbox: what is told is written down once, and sent by jobs.

mod composing;
pub(in crate::notifications) mod delivering;
pub mod forgetting;
pub(in crate::notifications) mod notifying;
pub(in crate::notifications) mod pacing;
mod recipients;
pub(in crate::notifications) mod rows;
pub mod rules;
