//! Accounts, credentials and sessions: who a person is and how they prove it.

pub mod passwords;
