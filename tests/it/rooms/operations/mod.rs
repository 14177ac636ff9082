//! Jobs and schedules, for admins.

mod jobs;
mod schedules;
