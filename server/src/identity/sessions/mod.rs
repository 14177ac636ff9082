//! Sessions and what opens them: access tokens, refresh tokens, tickets.

pub(in crate::identity) mod listing;
pub(in crate::identity) mod living;
pub(in crate::identity) mod refreshing;
pub(in crate::identity) mod tickets;
