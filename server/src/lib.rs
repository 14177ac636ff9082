//! The clinicd server.
//!
//! Imports go one way: `clinicd_proto` → [`kernel`] and [`app`] → rooms → [`serve`] and [`work`] →
//! [`commands`] and `main`. A room is a folder of the same file names: `service.rs` (the gRPC
//! trait, thin), `rows.rs` (rows and finders), one file per use case, `rules.rs` (pure decisions),
//! `jobs.rs`. From room to room go ids and the functions of the other room's `mod.rs`; only its
//! owner writes a table.

pub mod app;
pub mod appointments;
pub mod audit;
pub mod commands;
pub mod config;
pub mod directory;
pub mod feed;
pub mod files;
pub mod identity;
pub mod journals;
pub mod kernel;
pub mod notifications;
pub mod onboarding;
pub mod operations;
pub mod prescriptions;
pub mod profiles;
pub mod sandbox;
pub mod schema;
pub mod serve;
pub mod work;
