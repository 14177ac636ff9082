//! Programs of partner companies, and their API keys.

pub(in crate::identity) mod api_keys;
pub(in crate::identity) mod exchanging;
pub(in crate::identity) mod service_accounts;
