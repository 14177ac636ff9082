//! The token of a mailed link: `<id>.<keyed hash>`. It can be made again from the row of its
//! activation, so it stands neither in the database nor in a job.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use diesel::OptionalExtension;
use diesel::sql_types;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::rules;
use crate::app::App;
use crate::kernel::crypto::{Macs, Purpose, framed};
use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::kinds::{AccountId, Time};
use crate::statement;

/// A mailed link.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable)]
pub(super) struct Activation {
    pub(super) id: Uuid,
    pub(super) account: AccountId,
    pub(super) expires_at: Time,
    pub(super) used_at: Option<Time>,
}

type ActivationSql = (
    sql_types::Uuid,
    sql_types::Uuid,
    sql_types::Timestamptz,
    sql_types::Nullable<sql_types::Timestamptz>,
);

statement! {
    /// A new link.
    InsertActivation { id: Uuid, account: AccountId, expires_at: Time, now: Time },
    "INSERT INTO activations (id, account_id, expires_at, created_at) VALUES ($1, $2, $3, $4)";

    /// One link.
    ActivationById { id: Uuid } -> ActivationSql,
    "SELECT id, account_id, expires_at, used_at FROM activations WHERE id = $1";

    /// The newest link of an account that still works.
    LiveActivation { account: AccountId, now: Time } -> ActivationSql,
    "SELECT id, account_id, expires_at, used_at FROM activations \
     WHERE account_id = $1 AND used_at IS NULL AND expires_at > $2 ORDER BY id DESC LIMIT 1";

    /// Uses a link, once.
    UseActivation { id: Uuid, now: Time },
    "UPDATE activations SET used_at = $2 WHERE id = $1 AND used_at IS NULL AND expires_at > $2";

    /// Ends every link of an account.
    VoidActivations { account: AccountId, now: Time },
    "UPDATE activations SET used_at = $2 WHERE account_id = $1 AND used_at IS NULL";
}

impl Activation {
    /// The token of its link.
    pub(super) fn token(&self, macs: &Macs) -> String {
        let tag = macs.sign(Purpose::VerificationLink, &self.signed());
        format!("{}.{}", self.id.simple(), URL_SAFE_NO_PAD.encode(tag))
    }

    /// Whether `token`, which names this activation, is genuine.
    pub(super) fn is_token(&self, macs: &Macs, token: &str) -> bool {
        let tag = token.split_once('.').and_then(|(_, tag)| URL_SAFE_NO_PAD.decode(tag).ok());
        tag.is_some_and(|tag| macs.verify(Purpose::VerificationLink, &self.signed(), &tag))
    }

    /// Whether it can be used.
    pub(super) fn is_live(&self, now: Time) -> bool {
        self.used_at.is_none() && self.expires_at > now
    }

    fn signed(&self) -> Vec<u8> {
        let expiry = self.expires_at.unix_micros().to_be_bytes();
        framed(&[b"activation", self.id.as_bytes(), self.account.0.as_bytes(), &expiry])
    }
}

/// The activation that a token names; whether the token is genuine is another question.
pub(super) fn named_by(token: &str) -> Option<Uuid> {
    let (id, _) = token.split_once('.')?;
    if id.len() == 32 { Uuid::try_parse(id).ok() } else { None }
}

/// The link that an app opens.
pub(super) fn address(public_url: &str, token: &str) -> String {
    format!("{}/activate?token={token}", public_url.trim_end_matches('/'))
}

/// Makes a link of an account, which replaces those before it.
pub(super) async fn make(
    app: &App,
    conn: &mut Conn,
    account: AccountId,
    seconds: i64,
) -> Result<Uuid> {
    let (id, now) = (app.ids.next(), app.clock.now());
    VoidActivations { account, now }.execute(conn).await?;
    let expires_at = now.plus_seconds(seconds);
    InsertActivation { id, account, expires_at, now }.execute(conn).await?;
    Ok(id)
}

/// The link that an account was given and has not used.
pub(super) async fn live(
    app: &App,
    conn: &mut Conn,
    account: AccountId,
) -> Result<Option<Activation>> {
    let now = app.clock.now();
    Ok(LiveActivation { account, now }.get_result(conn).await.optional()?)
}

/// One link.
pub(super) async fn find(conn: &mut Conn, id: Uuid) -> Result<Option<Activation>> {
    Ok(ActivationById { id }.get_result(conn).await.optional()?)
}

/// Life of an activation of an account with or without a password, in seconds.
pub(super) fn life(invited: bool) -> i64 {
    if invited { rules::INVITATION_SECONDS } else { rules::ACTIVATION_SECONDS }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::kernel::crypto::keys::MasterKey;

    fn activation(id: u8) -> Activation {
        Activation {
            id: Uuid::from_bytes([id; 16]),
            account: AccountId(Uuid::from_bytes([9; 16])),
            expires_at: Time::from_unix_micros(1_000_000).unwrap(),
            used_at: None,
        }
    }

    #[test]
    fn a_token_fits_its_row_only() {
        let macs = Macs::new(&[MasterKey::new(1, [1; 32])]).unwrap();
        let token = activation(1).token(&macs);
        assert!(token.len() == 76 && named_by(&token) == Some(activation(1).id));
        assert!(activation(1).is_token(&macs, &token));
        assert!(!activation(2).is_token(&macs, &token));
        let later = Time::from_unix_micros(2_000_000).unwrap();
        let longer = Activation { expires_at: later, ..activation(1) };
        assert!(!longer.is_token(&macs, &token));
        let other = Macs::new(&[MasterKey::new(1, [2; 32])]).unwrap();
        assert!(!activation(1).is_token(&other, &token));
        assert!(!activation(1).is_token(&macs, token.trim_end_matches(|_| true)));
    }

    #[test]
    fn what_is_no_token_names_nothing() {
        for text in ["", ".", "x.y", "01010101010101010101010101010101", "01-01.x"] {
            assert_eq!(named_by(text), None, "{text}");
        }
    }

    #[test]
    fn a_link_works_until_it_expires_or_is_used() {
        let now = Time::from_unix_micros(999_999).unwrap();
        assert!(activation(1).is_live(now));
        assert!(!activation(1).is_live(now.plus_seconds(1)));
        assert!(!Activation { used_at: Some(now), ..activation(1) }.is_live(now));
    }

    #[test]
    fn the_link_leads_to_the_app() {
        assert_eq!(address("https://a.example/", "t"), "https://a.example/activate?token=t");
    }
}
