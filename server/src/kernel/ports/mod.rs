//! The ports to the outside: mail, SMS, push messages and the store for files.
//!
//! Each port is an enum of a real form and of one for development that needs nothing: there,
//! messages become files in an outbox folder, where a developer (or a test) reads them.
//!
//! Every message carries a key, the id of its row in the outbox of the database. The same key is
//! the same message: providers get it as idempotency key, the outbox folder as file name. So a
//! job that runs again after a crash sends nothing twice where the other side can tell.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Environment};

mod authorities;
mod disk;
mod error;
pub mod files;
mod http;
pub mod lanes;
pub mod mail;
pub mod outbox;
pub mod push;
pub mod sms;
#[cfg(test)]
mod testing;

pub use error::PortError;
pub use files::Files;
pub use mail::Mail;
pub use push::Push;
pub use sms::Sms;

/// The longest that one message may take from the first byte to the provider's answer; a push message
/// that has to log in first takes up to twice that. Below the longest time of an attempt at a job,
/// whose lease is renewed meanwhile.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// All ports of one server. Cheap to clone.
#[derive(Clone)]
pub struct Ports {
    /// Mail to people.
    pub mail: Mail,
    /// Text messages to phones.
    pub sms: Sms,
    /// Push messages to devices.
    pub push: Push,
    /// The bytes of documents.
    pub files: Files,
    /// How many messages go at a time.
    pub lanes: Arc<lanes::Lanes>,
}

impl Ports {
    /// The ports that the settings name, and outbox folders for those that they do not; without push
    /// settings a production server sends no push messages.
    pub fn open(config: &Config) -> Result<Self, PortError> {
        let outbox = config.data_dir.join("outbox");
        let mail = match &config.smtp {
            Some(smtp) => Mail::smtp(smtp)?,
            None => Mail::outbox(&outbox, &config.mail_from)?,
        };
        let sms = match &config.sms {
            Some(sms) => Sms::twilio(sms)?,
            None => Sms::outbox(&outbox)?,
        };
        let push = match &config.push {
            Some(push) => Push::fcm(push)?,
            None if config.env == Environment::Production => Push::Closed,
            None => Push::outbox(&outbox)?,
        };
        let files = Files::local(&config.files_dir())?;
        Ok(Self { mail, sms, push, files, lanes: Arc::default() })
    }
}
