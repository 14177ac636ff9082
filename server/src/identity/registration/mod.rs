//! How accounts come to be, and how their owners are reached.

pub(in crate::identity) mod activating;
pub mod contact_jobs;
pub(in crate::identity) mod contacts;
pub(in crate::identity) mod registering;
pub(in crate::identity) mod registering_phone;
