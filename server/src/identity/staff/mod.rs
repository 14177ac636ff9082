//! The staff of the platform.

pub(in crate::identity) mod doctors;
pub(in crate::identity) mod members;
pub(in crate::identity) mod query;
