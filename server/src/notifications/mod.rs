//! Messages to people: by mail, text message and push message, and in the inbox of the app.
//!
//! Owns `notifications`, `deliveries`, `channel_pace`, `closed_channels`, `notification_preferences`
//! and `devices`. A change emits an event, a job of its room composes a [`Notice`], and [`notify`]
//! writes it down: once per purpose, with a delivery for each way that the person has and wants. A
//! job per delivery sends it. What holds at any time:
//! * A crash neither loses a message nor sends it with another key.
//! * No message is rendered before it is sent: links and codes stand nowhere, and who is gone or has
//!   used the link meanwhile gets nothing.
//! * What is not urgent comes neither by SMS nor by push in the quiet hours of its recipient.
//! * Of a closed account nothing is kept but that its owner was told of the end.
//!
//! Which message goes which way stands in [`plan`](plan()). Events: `notification.created`, for what
//! lies in the inbox, `notification.read`, about the newest message that was marked by a call, and
//! `notification.retried`, for admins; `account.preferences_changed`, `account.device_registered`,
//! `account.device_removed`.

mod deliveries;
mod devices;
pub mod greetings;
mod inbox;
mod outbox;
pub mod plan;
mod preferences;
mod service;
mod snapshot;
mod templates;
pub mod unsubscribing;
mod wording;

use serde_json::{Value, json};
use uuid::Uuid;

pub use outbox::delivering::Deliver;
pub use outbox::notifying::{notify, withdraw};
pub use outbox::{forgetting, rules};
pub use plan::{Channel, Class, Plan, plan};
pub use service::Service;
pub use snapshot::notification_ids;

use crate::kernel::events::ResourceKind;
use crate::kernel::kinds::{AccountId, Time};
use crate::kernel::locale::NoticeKind;

/// Something that a person is to be told, once.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Which message.
    pub kind: NoticeKind,
    /// Whom it concerns; none for a code to a number that has no account.
    pub account: Option<AccountId>,
    /// The resource that it is about, which an app opens.
    pub about: Option<(ResourceKind, Uuid)>,
    /// What its texts need beside the recipient's name, links and codes: a JSON object. Only what
    /// may lie in the database as long as the message is kept.
    pub values: Value,
    /// Where it goes.
    pub to: To,
    /// It does not wait for the end of quiet hours, whatever holds for its kind.
    pub urgent: bool,
    /// It is of no use later: what was not sent by then is not sent.
    pub until: Option<Time>,
    /// The purpose and its window, such as `birthday/2026/<account>`: a second message of the same
    /// purpose is not written. The key of the call when there is none.
    pub once: Option<String>,
}

impl Notice {
    /// A message to the owner of an account, about nothing in particular.
    #[must_use]
    pub fn new(kind: NoticeKind, account: impl Into<Option<AccountId>>) -> Self {
        Self {
            kind,
            account: account.into(),
            about: None,
            values: json!({}),
            to: To::Owner,
            urgent: false,
            until: None,
            once: None,
        }
    }
}

/// Where a message goes.
#[derive(Debug, Clone)]
pub enum To {
    /// To the owner of the account, as they can be reached when it is sent.
    Owner,
    /// To a contact that the account does not have, or not alone: sealed by
    /// [`identity::seal_contact`](crate::identity::seal_contact).
    Sealed(String),
    /// To the address of a challenge of `identity`. Link and code are made when it is sent.
    Challenge {
        /// The challenge.
        id: Uuid,
        /// Language (BCP 47) for an address without an account.
        language: String,
    },
}
