//! The clinicd server.
//!
//! Imports go one way: `clinicd_proto` → [`kernel`] → rooms → `serve`/`work` → `main`.

pub mod files;
pub mod kernel;
pub mod prescriptions;
