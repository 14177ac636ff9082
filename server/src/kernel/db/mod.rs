//! Everything about the database.

pub mod embedded;
