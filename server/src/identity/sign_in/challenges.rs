//! Challenges: a link or a code was sent to an address, and whoever gives it back has read it.
//!
//! The token of a link is `<id>.<keyed hash>`, a code is six digits of a keyed hash. Both are made
//! again from the row of the challenge whenever they are needed, so they stand neither in the
//! database nor in a job, and a copy of the database is worth nothing without the keys.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use diesel::OptionalExtension;
use diesel::sql_types;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::app::App;
use crate::identity::rules;
use crate::kernel::crypto::Purpose as Key;
use crate::kernel::crypto::{Macs, framed};
use crate::kernel::db::Conn;
use crate::kernel::db::statement::Bind;
use crate::kernel::error::Result;
use crate::kernel::kinds::{AccountId, Time};
use crate::statement;

/// What the answer to a challenge proves, and so what it may be used for.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    diesel::expression::AsExpression,
    diesel::deserialize::FromSqlRow,
)]
#[diesel(sql_type = sql_types::Text)]
pub(in crate::identity) enum Purpose {
    /// The address of a new account is its owner's; for an invited one, also the password is set.
    Activation,
    /// The phone number of a new account is its owner's.
    Registration,
    /// Sign-in by phone.
    SignIn,
    /// A lost password.
    Recovery,
    /// A new mail address.
    EmailChange,
    /// A new phone number.
    PhoneChange,
    /// The second step of a sign-in. Nothing is sent; the token goes to the client.
    SecondFactor,
}

impl Purpose {
    const ALL: [Self; 7] = [
        Self::Activation,
        Self::Registration,
        Self::SignIn,
        Self::Recovery,
        Self::EmailChange,
        Self::PhoneChange,
        Self::SecondFactor,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Activation => "activation",
            Self::Registration => "registration",
            Self::SignIn => "sign_in",
            Self::Recovery => "recovery",
            Self::EmailChange => "email_change",
            Self::PhoneChange => "phone_change",
            Self::SecondFactor => "second_factor",
        }
    }
}

impl diesel::serialize::ToSql<sql_types::Text, diesel::pg::Pg> for Purpose {
    fn to_sql<'b>(
        &'b self,
        out: &mut diesel::serialize::Output<'b, '_, diesel::pg::Pg>,
    ) -> diesel::serialize::Result {
        <str as diesel::serialize::ToSql<sql_types::Text, diesel::pg::Pg>>::to_sql(
            self.as_str(),
            out,
        )
    }
}

impl diesel::deserialize::FromSql<sql_types::Text, diesel::pg::Pg> for Purpose {
    fn from_sql(bytes: diesel::pg::PgValue<'_>) -> diesel::deserialize::Result<Self> {
        let text = std::str::from_utf8(bytes.as_bytes())?;
        let found = Self::ALL.into_iter().find(|purpose| purpose.as_str() == text);
        found.ok_or_else(|| "unknown purpose of a challenge".into())
    }
}

impl Bind for Purpose {
    type Sql = sql_types::Text;
}

/// A challenge.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable)]
pub(in crate::identity) struct Challenge {
    pub(in crate::identity) id: Uuid,
    pub(in crate::identity) purpose: Purpose,
    /// None for a number that had no account.
    pub(in crate::identity) account: Option<AccountId>,
    /// Where it was sent; empty when it was not.
    pub(in crate::identity) address: String,
    pub(in crate::identity) expires_at: Time,
    pub(in crate::identity) used_at: Option<Time>,
    pub(in crate::identity) created_at: Time,
}

type ChallengeSql = (
    sql_types::Uuid,
    sql_types::Text,
    sql_types::Nullable<sql_types::Uuid>,
    sql_types::Text,
    sql_types::Timestamptz,
    sql_types::Nullable<sql_types::Timestamptz>,
    sql_types::Timestamptz,
);

statement! {
    /// A new challenge.
    InsertChallenge {
        id: Uuid, purpose: Purpose, account: Option<AccountId>, address: String, expires_at: Time,
        now: Time,
    },
    "INSERT INTO challenges (id, purpose, account_id, address, expires_at, created_at) \
     VALUES ($1, $2, $3, $4, $5, $6)";

    /// One challenge.
    ChallengeById { id: Uuid } -> ChallengeSql,
    "SELECT id, purpose, account_id, address, expires_at, used_at, created_at FROM challenges \
     WHERE id = $1";

    /// The newest challenge of an account that still works.
    LiveChallenge { account: AccountId, purpose: Purpose, now: Time } -> ChallengeSql,
    "SELECT id, purpose, account_id, address, expires_at, used_at, created_at FROM challenges \
     WHERE account_id = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3 \
     ORDER BY id DESC LIMIT 1";

    /// Takes one of the tries that a live code has.
    TakeTry { id: Uuid, tries: i32, now: Time },
    "UPDATE challenges SET tries = tries + 1 \
     WHERE id = $1 AND tries < $2 AND used_at IS NULL AND expires_at > $3";

    /// Uses a challenge, once.
    UseChallenge { id: Uuid, now: Time },
    "UPDATE challenges SET used_at = $2, answered = true \
     WHERE id = $1 AND used_at IS NULL AND expires_at > $2";

    /// Ends every challenge of an account for a purpose.
    VoidChallenges { account: AccountId, purpose: Purpose, now: Time },
    "UPDATE challenges SET used_at = $3 \
     WHERE account_id = $1 AND purpose = $2 AND used_at IS NULL";

    /// Ends every challenge of an address for a purpose, whoever asked for it.
    VoidSameAddress { address: String, purpose: Purpose, now: Time },
    "UPDATE challenges SET used_at = $3 \
     WHERE address = $1 AND purpose = $2 AND used_at IS NULL";

    /// Ends every challenge of an account.
    VoidAllChallenges { account: AccountId, now: Time },
    "UPDATE challenges SET used_at = $2 WHERE account_id = $1 AND used_at IS NULL";

    /// Forgets what can no longer be used.
    SweepChallenges { before: Time }, "DELETE FROM challenges WHERE expires_at < $1";
}

impl Challenge {
    /// The token of its link.
    pub(in crate::identity) fn token(&self, macs: &Macs) -> String {
        let tag = macs.sign(Key::VerificationLink, &self.signed());
        format!("{}.{}", self.id.simple(), URL_SAFE_NO_PAD.encode(tag))
    }

    /// Whether `token`, which names this challenge, is genuine.
    pub(in crate::identity) fn is_token(&self, macs: &Macs, token: &str) -> bool {
        let tag = token.split_once('.').and_then(|(_, tag)| URL_SAFE_NO_PAD.decode(tag).ok());
        tag.is_some_and(|tag| macs.verify(Key::VerificationLink, &self.signed(), &tag))
    }

    /// Its code of six digits.
    pub(in crate::identity) fn code(&self, macs: &Macs) -> String {
        let tag = macs.sign(Key::OneTimeCode, &self.signed());
        let mut number = [0; 16];
        number.copy_from_slice(&tag[..16]);
        format!("{:06}", u128::from_be_bytes(number) % 1_000_000)
    }

    /// Whether this is its code.
    pub(in crate::identity) fn is_code(&self, macs: &Macs, code: &str) -> bool {
        let right = self.code(macs);
        verify_slices_are_equal(right.as_bytes(), code.trim().as_bytes()).is_ok()
    }

    /// Whether it can be used.
    pub(in crate::identity) fn is_live(&self, now: Time) -> bool {
        self.used_at.is_none() && self.expires_at > now
    }

    fn signed(&self) -> Vec<u8> {
        let expiry = self.expires_at.unix_micros().to_be_bytes();
        let account = self.account.map(|account| account.0).unwrap_or_default();
        framed(&[
            self.purpose.as_str().as_bytes(),
            self.id.as_bytes(),
            account.as_bytes(),
            self.address.as_bytes(),
            &expiry,
        ])
    }
}

/// The challenge that a token names; whether the token is genuine is another question.
pub(in crate::identity) fn named_by(token: &str) -> Option<Uuid> {
    let (id, _) = token.split_once('.')?;
    if id.len() == 32 { Uuid::try_parse(id).ok() } else { None }
}

/// The link that an app opens: `page` is `activate`, `recover` or `confirm-email`.
pub(in crate::identity) fn link(public_url: &str, page: &str, token: &str) -> String {
    format!("{}/{page}?token={token}", public_url.trim_end_matches('/'))
}

/// A new challenge.
#[derive(Debug, Clone)]
pub(in crate::identity) struct NewChallenge {
    pub(in crate::identity) purpose: Purpose,
    pub(in crate::identity) account: Option<AccountId>,
    /// Where it is to be sent; empty when nothing is.
    pub(in crate::identity) address: String,
    /// Life in seconds.
    pub(in crate::identity) seconds: i64,
}

/// Makes a challenge, which replaces those of the account for the same purpose.
pub(in crate::identity) async fn make(
    app: &App,
    conn: &mut Conn,
    new: NewChallenge,
) -> Result<Challenge> {
    let (id, now) = (app.ids.next(), app.clock.now());
    let NewChallenge { purpose, account, address, seconds } = new;
    if let Some(account) = account {
        VoidChallenges { account, purpose, now }.execute(conn).await?;
    }
    let expires_at = now.plus_seconds(seconds);
    let insert =
        InsertChallenge { id, purpose, account, address: address.clone(), expires_at, now };
    insert.execute(conn).await?;
    Ok(Challenge { id, purpose, account, address, expires_at, used_at: None, created_at: now })
}

/// Ends what was sent to an address for a purpose: the newest code alone works, and none beside the
/// one that was used.
pub(in crate::identity) async fn void_same(
    app: &App,
    conn: &mut Conn,
    address: &str,
    purpose: Purpose,
) -> Result<()> {
    let (address, now) = (address.to_owned(), app.clock.now());
    VoidSameAddress { address, purpose, now }.execute(conn).await?;
    Ok(())
}

/// The newest challenge that an account was given and has not used.
pub(in crate::identity) async fn live(
    app: &App,
    conn: &mut Conn,
    account: AccountId,
    purpose: Purpose,
) -> Result<Option<Challenge>> {
    let now = app.clock.now();
    Ok(LiveChallenge { account, purpose, now }.get_result(conn).await.optional()?)
}

/// One challenge.
pub(in crate::identity) async fn find(conn: &mut Conn, id: Uuid) -> Result<Option<Challenge>> {
    Ok(ChallengeById { id }.get_result(conn).await.optional()?)
}

/// The challenge that a genuine token for this purpose names; it may be used or expired.
pub(in crate::identity) async fn of_token(
    app: &App,
    conn: &mut Conn,
    token: &str,
    purpose: Purpose,
) -> Result<Option<Challenge>> {
    let Some(id) = named_by(token) else { return Ok(None) };
    let found = find(conn, id).await?;
    Ok(found.filter(|found| found.purpose == purpose && found.is_token(&app.keys.macs, token)))
}

/// Takes one of the tries of a code; `false` when it is used, expired or void.
pub(in crate::identity) async fn take_try(app: &App, conn: &mut Conn, id: Uuid) -> Result<bool> {
    let (tries, now) = (rules::CODE_TRIES, app.clock.now());
    Ok(TakeTry { id, tries, now }.execute(conn).await? == 1)
}

/// Uses a challenge; `false` when somebody else was faster, or it has expired.
pub(in crate::identity) async fn use_up(app: &App, conn: &mut Conn, id: Uuid) -> Result<bool> {
    Ok(UseChallenge { id, now: app.clock.now() }.execute(conn).await? == 1)
}

/// Forgets what can no longer be used.
pub(in crate::identity) async fn sweep(conn: &mut Conn, now: Time) -> Result<usize> {
    Ok(SweepChallenges { before: now.plus_seconds(-24 * 3_600) }.execute(conn).await?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::kernel::crypto::keys::MasterKey;

    fn challenge(id: u8) -> Challenge {
        Challenge {
            id: Uuid::from_bytes([id; 16]),
            purpose: Purpose::Recovery,
            account: Some(AccountId(Uuid::from_bytes([9; 16]))),
            address: "+919812345678".to_owned(),
            expires_at: Time::from_unix_micros(1_000_000).unwrap(),
            used_at: None,
            created_at: Time::from_unix_micros(0).unwrap(),
        }
    }

    fn macs(key: u8) -> Macs {
        Macs::new(&[MasterKey::new(1, [key; 32])]).unwrap()
    }

    /// The same challenge with one property changed.
    fn others() -> [Challenge; 5] {
        let later = Time::from_unix_micros(2_000_000).unwrap();
        [
            challenge(2),
            Challenge { purpose: Purpose::SignIn, ..challenge(1) },
            Challenge { account: None, ..challenge(1) },
            Challenge { address: "+919812345679".to_owned(), ..challenge(1) },
            Challenge { expires_at: later, ..challenge(1) },
        ]
    }

    #[test]
    fn a_token_fits_its_row_only() {
        let macs = macs(1);
        let token = challenge(1).token(&macs);
        assert!(token.len() == 76 && named_by(&token) == Some(challenge(1).id));
        assert!(challenge(1).is_token(&macs, &token));
        for other in others() {
            assert!(!other.is_token(&macs, &token), "{other:?}");
        }
        assert!(!challenge(1).is_token(&self::macs(2), &token));
        assert!(!challenge(1).is_token(&macs, token.trim_end_matches(|_| true)));
    }

    #[test]
    fn a_code_is_six_digits_of_its_row() {
        let macs = macs(1);
        let code = challenge(1).code(&macs);
        assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()));
        assert!(challenge(1).is_code(&macs, &format!(" {code} ")));
        for other in others() {
            assert_ne!(other.code(&macs), code, "{other:?}");
        }
        assert_ne!(challenge(1).code(&self::macs(2)), code);
        assert!(!challenge(1).is_code(&macs, ""));
        assert!(!challenge(1).is_code(&macs, &format!("{code}0")));
    }

    #[test]
    fn what_is_no_token_names_nothing() {
        for text in ["", ".", "x.y", "01010101010101010101010101010101", "01-01.x"] {
            assert_eq!(named_by(text), None, "{text}");
        }
    }

    #[test]
    fn a_challenge_works_until_it_expires_or_is_used() {
        let now = Time::from_unix_micros(999_999).unwrap();
        assert!(challenge(1).is_live(now));
        assert!(!challenge(1).is_live(now.plus_seconds(1)));
        assert!(!Challenge { used_at: Some(now), ..challenge(1) }.is_live(now));
    }

    #[test]
    fn the_link_leads_to_the_app() {
        let url = link("https://a.example/", "recover", "t");
        assert_eq!(url, "https://a.example/recover?token=t");
    }
}
