//! The kernel against a real database: the feed, the audit chain, the jobs.

#![expect(clippy::unwrap_used, reason = "tests")]

mod audit;
mod feed;
mod jobs;
mod scratch;
