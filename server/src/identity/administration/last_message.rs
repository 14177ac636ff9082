//! Messages to an address that its account no longer has, or not alone. Neither a job nor the outbox
//! may hold an address, so it is sealed by a key outside the database, for this account alone.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

use crate::app::App;
use crate::identity::Contact;
use crate::kernel::crypto::Purpose;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::AccountId;

/// Seals how the owner of an account is reached, for a job or the outbox.
pub fn seal_contact(app: &App, account: AccountId, contact: &Contact) -> Result<String> {
    let bytes = serde_json::to_vec(contact).map_err(Error::internal)?;
    let sealed = app.keys.macs.seal(Purpose::LastMessage, &bytes, &aad(account));
    Ok(STANDARD_NO_PAD.encode(sealed.map_err(Error::internal)?))
}

/// Opens what [`seal_contact`] made for this account.
pub fn open_contact(app: &App, account: AccountId, sealed: &str) -> Result<Contact> {
    let bytes = STANDARD_NO_PAD.decode(sealed).map_err(Error::internal)?;
    let bytes = app.keys.macs.open(Purpose::LastMessage, &bytes, &aad(account));
    // The text of the fault must not repeat what it could not read.
    serde_json::from_slice(&bytes.map_err(Error::internal)?)
        .map_err(|_| Error::internal("a sealed contact is not one"))
}

fn aad(account: AccountId) -> Vec<u8> {
    format!("last_message/{account}").into_bytes()
}
