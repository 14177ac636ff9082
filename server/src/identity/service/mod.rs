//! The gRPC services of this room, one file each.

mod account;
mod auth;
mod programs;
mod staff;
mod users;

use crate::app::App;

/// All services of the room.
#[derive(Clone)]
pub struct Service {
    /// The application.
    pub app: App,
}
