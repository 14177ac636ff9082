//! The sign-in history.

pub(in crate::identity) mod listing;
pub(in crate::identity) mod query;
pub(in crate::identity) mod records;
