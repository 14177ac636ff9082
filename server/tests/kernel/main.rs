//! The kernel against a real database: the feed, the audit chain, the jobs; and the two rooms that
//! show them, through the real server.

#![expect(clippy::unwrap_used, reason = "tests")]

mod audit;
mod feed;
mod held_back;
mod jobs;
mod schedules;
mod scratch;
mod stream;
