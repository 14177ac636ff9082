//! What stands before every call: the port with its connections, and the places for calls at work.
//!
//! - [`listener`] accepts connections, as many as there are places for, and ends them;
//! - `connection` is the life of one: first bytes, calls, age, farewell;
//! - [`gates`] says which calls may be at work at a time and tells the others to come back;
//! - `arrival` waits for the message of a unary call, [`outgoing`] watches over a stream.

mod arrival;
mod connection;
pub mod deadline;
mod first_bytes;
pub mod gates;
pub mod limits;
pub mod listener;
pub mod outgoing;
mod proxies;
pub mod shares;
pub mod tls;

use std::net::IpAddr;

use tokio_util::sync::CancellationToken;

pub use limits::Limits;
pub use proxies::{Network, NetworkError};

/// Whose connections and calls count together: an IPv4 address, or the /64 that one IPv6 customer
/// has.
#[must_use]
pub fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

/// The connection that a request came on; the port puts it into the request's extensions.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Address of the client, behind trusted proxies if there are any.
    pub address: IpAddr,
    /// Cancelled a moment before the connection is cut: streams end with `UNAVAILABLE`.
    pub over: CancellationToken,
}
