//! The clinicd server.
//!
//! Imports go one way: `clinicd_proto` → [`kernel`] and [`app`] → rooms → [`serve`] and [`work`] →
//! `main`. A room is a folder of the same file names: `service.rs` (the gRPC trait, thin),
//! `rows.rs` (rows and finders), one file per use case, `rules.rs` (pure decisions), `jobs.rs`.

pub mod app;
pub mod commands;
pub mod config;
pub mod identity;
pub mod kernel;
pub mod serve;
pub mod work;
