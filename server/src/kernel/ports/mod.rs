//! The ports to the outside: mail, SMS, push messages and the store for files.
//!
//! Each port is an enum of a real form and of one for development that needs nothing: there,
//! messages become files in an outbox folder, where a developer (or a test) reads them.
//!
//! Every message carries a key, the id of its row in the outbox of the database. The same key is
//! the same message: providers get it as idempotency key, the outbox folder as file name. So a
//! job that runs again after a crash sends nothing twice where the other side can tell.

use std::path::Path;
use std::time::Duration;

mod disk;
mod error;
pub mod files;
mod http;
pub mod mail;
mod outbox;
pub mod push;
pub mod sms;
#[cfg(test)]
mod testing;

pub use error::PortError;
pub use files::Files;
pub use mail::Mail;
pub use push::Push;
pub use sms::Sms;

/// The longest that one message may take from the first byte to the provider's answer. A job's
/// lease has to be longer.
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
}

impl Ports {
    /// The ports of a machine on which nothing is configured: messages go to `folder`/outbox,
    /// documents to `folder`/files. `mail_from` is the sender's mail address.
    pub fn development(folder: &Path, mail_from: &str) -> Result<Self, PortError> {
        let outbox = folder.join("outbox");
        Ok(Self {
            mail: Mail::outbox(&outbox, mail_from)?,
            sms: Sms::outbox(&outbox)?,
            push: Push::outbox(&outbox)?,
            files: Files::local(&folder.join("files"))?,
        })
    }
}
