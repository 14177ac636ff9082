//! How messages reach people: what `notifications` asks of this room when it sends one.

use diesel::sql_types;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::App;
use crate::identity::sign_in::challenges::{self, Challenge, Purpose};
use crate::identity::{Contact, rows, rules};
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::Result;
use crate::kernel::kinds::{SessionId, Time};
use crate::statement;

statement! {
    /// Those of these sessions that live.
    LivingSessions { ids: List<SessionId>, now: Time } -> sql_types::Uuid,
    "SELECT s.id FROM sessions s JOIN accounts a ON a.id = s.account_id \
     WHERE s.id = ANY ($1) AND s.ended_at IS NULL AND s.expires_at > $2 AND a.state = 'active'";
}

/// Those of these sessions that live.
pub async fn living_sessions(
    app: &App,
    conn: &mut Conn,
    ids: Vec<SessionId>,
) -> Result<Vec<SessionId>> {
    Ok(LivingSessions { ids: List(ids), now: app.clock.now() }.get_results(conn).await?)
}

/// A link or a code, and where it goes.
#[derive(Debug, Clone)]
pub struct Secret {
    /// To whom: with the address, or the number, that it is for, and no other.
    pub to: Contact,
    /// `link` and `token`, or `code`; and `valid_minutes`. A JSON object.
    pub values: Value,
}

/// What is sent for a challenge; none when it was used, or has expired. `language` (BCP 47) is for an
/// address that has no account.
pub async fn secret(
    app: &App,
    conn: &mut Conn,
    challenge: Uuid,
    language: &str,
) -> Result<Option<Secret>> {
    let challenge = challenges::find(conn, challenge).await?;
    let challenge = challenge.filter(|challenge| challenge.is_live(app.clock.now()));
    let Some(challenge) = challenge else { return Ok(None) };
    let address = challenge.address.clone();
    let by_mail = address.contains('@');
    let owner = match challenge.account {
        Some(account) => rows::find(conn, account).await?,
        None => rows::find_by_phone(conn, address.clone()).await?,
    };
    let owner = owner.map(Contact::from);
    let to = Contact {
        email: by_mail.then(|| address.clone()),
        phone: (!by_mail).then_some(address),
        name: owner.as_ref().map(|owner| owner.name.clone()).unwrap_or_default(),
        language: owner.map_or_else(|| language.to_owned(), |owner| owner.language),
    };
    let values = if by_mail { link(app, &challenge) } else { Some(code(app, &challenge)) };
    Ok(values.map(|values| Secret { to, values }))
}

fn code(app: &App, challenge: &Challenge) -> Value {
    let code = challenge.code(&app.keys.macs);
    json!({ "code": code, "valid_minutes": rules::CODE_SECONDS / 60 })
}

/// None for what no mail is sent.
fn link(app: &App, challenge: &Challenge) -> Option<Value> {
    let (page, seconds) = match challenge.purpose {
        Purpose::Activation => ("activate", rules::ACTIVATION_SECONDS),
        Purpose::Recovery => ("recover", rules::RECOVERY_SECONDS),
        Purpose::EmailChange => ("confirm-email", rules::CONTACT_SECONDS),
        Purpose::Registration | Purpose::SignIn | Purpose::PhoneChange | Purpose::SecondFactor => {
            return None;
        }
    };
    let token = challenge.token(&app.keys.macs);
    let link = challenges::link(&app.config.public_url, page, &token);
    Some(json!({ "link": link, "token": token, "valid_minutes": seconds / 60 }))
}
