//! The feed, sent to partners: endpoints, and a signed POST for each event.
//!
//! Owns `webhook_endpoints` and `webhook_deliveries`. What holds at any time:
//! * An endpoint gets every event of its kinds from its creation on, at least once, and those of one
//!   resource in feed order: the next one waits until the one before was taken or given up.
//! * One worker serves an endpoint at a time, by a lease; so an event is not sent twice at once. A
//!   worker that dies between the POST and its record leaves the event to be sent again, with the
//!   same `webhook-id`.
//! * Whatever touches the deliveries of an endpoint holds the endpoint's row.
//! * No connection goes to an address that is not public, unless the operator has opened its network:
//!   the address itself is judged, after the name was resolved (see `connecting`).
//! * Secrets are sealed by a key outside the database, and shown once.
//!
//! How an event goes: `pumping` claims endpoints with work; `serving` serves one, turn by turn;
//! `turns` is what a turn reads and writes, in one transaction, `taking_over` its part at the
//! feed; `posting` speaks HTTP.
//!
//! Events, of kind `account`, about the service account or the admin who created the endpoint:
//! `webhook_endpoint.created`, `webhook_endpoint.updated`, `webhook_endpoint.secret_rotated`,
//! `webhook_endpoint.replayed`, `webhook_endpoint.disabled`, `webhook_endpoint.deleted`.

mod address;
mod changing;
mod connecting;
mod endpoints;
pub mod jobs;
mod listing;
mod posting;
mod pumping;
mod query;
mod rows;
mod rules;
mod service;
mod serving;
mod signing;
mod taking_over;
mod turns;

pub use pumping::run;
pub use service::Service;
