//! The gRPC services of this room, one file each.

mod admin;
mod devices;
mod inbox;
mod preferences;

use crate::app::App;

/// All services of the room.
#[derive(Clone)]
pub struct Service {
    /// The application.
    pub app: App,
}
