//! Who gets a message, and by which address and number.

use serde_json::{Value, json};

use crate::app::App;
use crate::identity::{self, Contact, Secret};
use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::kinds::AccountId;
use crate::kernel::locale::NoticeKind;
use crate::notifications::To;

/// Who gets a message.
#[derive(Debug, Clone)]
pub(in crate::notifications) struct Recipient {
    /// How to reach the person.
    pub(in crate::notifications) contact: Contact,
    /// Link or code, where there is one: a JSON object.
    pub(in crate::notifications) secret: Value,
}

/// Finds who gets a message at this moment; or the reason why nobody does. Who had a closed account
/// hears of nothing but its end.
pub(in crate::notifications) async fn find(
    app: &App,
    conn: &mut Conn,
    kind: NoticeKind,
    to: &To,
    account: Option<AccountId>,
) -> Result<Result<Recipient, &'static str>> {
    let none = || json!({});
    Ok(match (to, account) {
        (To::Challenge { id, language }, _) => {
            let secret = identity::secret(app, conn, *id, language).await?.ok_or("LINK_USED");
            secret.map(|Secret { to: contact, values: secret }| Recipient { contact, secret })
        }
        (To::Sealed(sealed), Some(account)) => {
            let is_told = kind == NoticeKind::AccountDeleted
                || identity::contact(conn, account).await?.is_some();
            if !is_told {
                return Ok(Err("ACCOUNT_CLOSED"));
            }
            let contact = identity::open_contact(app, account, sealed)?;
            Ok(Recipient { contact, secret: none() })
        }
        (To::Owner, Some(account)) => {
            let contact = identity::contact(conn, account).await?.ok_or("ACCOUNT_CLOSED");
            contact.map(|contact| Recipient { contact, secret: none() })
        }
        (To::Sealed(_) | To::Owner, None) => Err("ACCOUNT_CLOSED"),
    })
}
