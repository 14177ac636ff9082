//! Guessing: five failures of one identifier block it, fifty from one client address block that.
//!
//! An identifier is a mail address, a phone number or an account; known and unknown ones are
//! counted alike, by a keyed hash. An attempt is counted before it is judged, so that any number of
//! parallel guesses, over any number of replicas, evaluates at most [`FAILURE_LIMIT`]. A right one
//! removes the count. An attempt whose call dies before it is judged counts as failed. An address
//! is charged with failures only, after they were judged: many people may sign in from one at once.
//!
//! Every way to prove who one is goes through [`Attempt`], which also writes the sign-in history.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use diesel::OptionalExtension;
use diesel::sql_types;
use diesel_async::RunQueryDsl;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::app::App;
use crate::identity::history::records as history;
use crate::identity::history::records::SignInMethod;
use crate::identity::rules::{
    ADDRESS_FAILURE_LIMIT, BLOCK_SECONDS, FAILURE_LIMIT, FAILURE_WINDOW_SECONDS, wait_for,
};
use crate::kernel::access::Caller;
use crate::kernel::crypto::{Purpose, framed};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::{AccountId, Time};
use crate::statement;

/// Lanes of one process. Two identifiers rarely share one.
const LANES: usize = 256;
/// How long an attempt waits for those before it in its lane.
const LANE_WAIT: Duration = Duration::from_secs(8);

statement! {
    /// Counts an attempt and lets it pass; no row while the identifier or the client address is
    /// blocked.
    TakeAttempt {
        identifier: Vec<u8>, now: Time, window_began: Time, limit: i32, blocked_until: Time,
        address: Vec<u8>,
    },
    "INSERT INTO sign_in_failures AS seen (identifier, attempts, last_attempt_at) \
     SELECT $1, ARRAY[$2], $2 WHERE NOT EXISTS ( \
        SELECT FROM sign_in_failures WHERE identifier = $6 AND blocked_until > $2) \
     ON CONFLICT (identifier) DO UPDATE SET \
        attempts = CASE WHEN seen.blocked_until IS NULL \
            THEN ARRAY(SELECT t FROM unnest(seen.attempts) AS t WHERE t > $3) END || $2, \
        last_attempt_at = $2, \
        blocked_until = CASE WHEN seen.blocked_until IS NULL AND $4 <= 1 + \
            (SELECT count(*) FROM unnest(seen.attempts) AS t WHERE t > $3) THEN $5 END \
     WHERE seen.blocked_until IS NULL OR seen.blocked_until <= $2";

    /// Until when an identifier or an address is blocked, whichever is longer.
    BlockedUntil { identifier: Vec<u8>, address: Vec<u8> }
        -> sql_types::Nullable<sql_types::Timestamptz>,
    "SELECT max(blocked_until) FROM sign_in_failures WHERE identifier IN ($1, $2)";

    /// Takes back an attempt that was not judged.
    GiveBack { identifier: Vec<u8> },
    "UPDATE sign_in_failures SET attempts = trim_array(attempts, 1), blocked_until = NULL \
     WHERE identifier = $1 AND cardinality(attempts) > 0";

    /// Forgets the failures of an identifier.
    ForgetFailures { identifier: Vec<u8> },
    "DELETE FROM sign_in_failures WHERE identifier = $1";

    /// Forgets what no longer counts.
    SweepFailures { before: Time },
    "DELETE FROM sign_in_failures WHERE last_attempt_at < $1";
}

/// Attempts of one identifier go one after the other within a process: a person who signs in
/// from many devices at once is not taken for somebody who guesses.
static LANE: LazyLock<[Arc<Mutex<()>>; LANES]> =
    LazyLock::new(|| std::array::from_fn(|_| Arc::default()));

/// Waits for the lane of this key; told to come back when that takes too long.
pub(in crate::identity) async fn lane(key: &[u8]) -> Result<OwnedMutexGuard<()>> {
    let lane = key.iter().fold(0, |sum: usize, byte| sum.wrapping_mul(31) + usize::from(*byte));
    let lane = Arc::clone(&LANE[lane % LANES]);
    tokio::time::timeout(LANE_WAIT, lane.lock_owned()).await.map_err(|_| Error::unavailable())
}

/// What failures are counted by.
#[derive(Debug, Clone, Copy)]
pub(in crate::identity) enum Identifier<'a> {
    /// A mail address, as [`rules::email_key`](crate::identity::rules::email_key) writes it.
    Email(&'a str),
    /// A phone number in E.164.
    Phone(&'a str),
    /// An account that is known already: its second factor, its current password.
    Account(AccountId),
    /// A part of a credential that names nothing: a malformed token.
    Other(&'a str),
}

impl Identifier<'_> {
    fn key(self, app: &App) -> Vec<u8> {
        let text = match self {
            Self::Email(key) => format!("sign-in/{key}"),
            Self::Phone(number) => format!("phone/{number}"),
            Self::Account(account) => format!("account/{account}"),
            Self::Other(text) => format!("other/{text}"),
        };
        app.keys.macs.sign(Purpose::BlindIndex, text.as_bytes()).to_vec()
    }
}

/// What failures of a client are counted by: its address, of IPv6 its /64.
pub(in crate::identity) fn address_key(app: &App, address: &str) -> Vec<u8> {
    let network = match address.parse() {
        Ok(IpAddr::V6(address)) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).to_string()
        }
        _ => address.to_owned(),
    };
    let bytes = framed(&[b"client address", network.as_bytes()]);
    app.keys.macs.sign(Purpose::BlindIndex, &bytes).to_vec()
}

/// One attempt to prove who somebody is. It was counted; end it with one of its methods.
pub(in crate::identity) struct Attempt<'a> {
    app: &'a App,
    caller: &'a Caller,
    method: SignInMethod,
    /// None: what is shown cannot be guessed.
    identifier: Option<Vec<u8>>,
    address: Vec<u8>,
    _lane: Option<OwnedMutexGuard<()>>,
}

impl<'a> Attempt<'a> {
    /// Counts an attempt; refused, and written to the history, while the identifier or the client
    /// address is blocked.
    pub(in crate::identity) async fn begin(
        app: &'a App,
        caller: &'a Caller,
        method: SignInMethod,
        identifier: Identifier<'_>,
    ) -> Result<Self> {
        let identifier = identifier.key(app);
        let lane = Some(lane(&identifier).await?);
        let address = address_key(app, &caller.address);
        let known = Some(identifier.clone());
        let attempt = Self { app, caller, method, identifier: known, address, _lane: lane };
        let mut conn = app.db.read().await?;
        if attempt.take(&identifier, FAILURE_LIMIT).execute(&mut conn).await? == 1 {
            return Ok(attempt);
        }
        let address = attempt.address.clone();
        let blocked: Option<Time> =
            BlockedUntil { identifier, address }.get_result(&mut conn).await?;
        Err(attempt.refuse(&mut conn, blocked.unwrap_or(app.clock.now())).await?)
    }

    /// Begins an attempt with a secret of 256 bits. Nobody guesses it, and whoever knows its public
    /// part must not be able to keep its owner out: it is counted against the client address alone.
    pub(in crate::identity) async fn with_secret(
        app: &'a App,
        caller: &'a Caller,
        method: SignInMethod,
    ) -> Result<Self> {
        let address = address_key(app, &caller.address);
        let of_address = BlockedUntil { identifier: address.clone(), address: address.clone() };
        let attempt = Self { app, caller, method, identifier: None, address, _lane: None };
        let mut conn = app.db.read().await?;
        let blocked: Option<Time> = of_address.get_result(&mut conn).await?;
        match blocked.filter(|until| *until > app.clock.now()) {
            None => Ok(attempt),
            Some(until) => Err(attempt.refuse(&mut conn, until).await?),
        }
    }

    /// The refusal of an attempt while something is blocked, which the history is told.
    async fn refuse(&self, conn: &mut Conn, until: Time) -> Result<Error> {
        history::record(self.app, conn, self.caller, self.method, None, false).await?;
        let wait = wait_for(until, self.app.clock.now());
        Ok(Error::of(Reason::TooManyAttempts).retry_after(wait))
    }

    fn take(&self, identifier: &[u8], limit: i32) -> TakeAttempt {
        let now = self.app.clock.now();
        TakeAttempt {
            identifier: identifier.to_vec(),
            now,
            window_began: now.plus_seconds(-FAILURE_WINDOW_SECONDS),
            limit,
            blocked_until: now.plus_seconds(BLOCK_SECONDS),
            address: self.address.clone(),
        }
    }

    /// It was wrong: the client address is charged, and the history told. Returns the refusal,
    /// which is the same for all that can be wrong.
    pub(in crate::identity) async fn failed(self, account: Option<AccountId>) -> Error {
        let refusal = Error::of(Reason::InvalidCredentials);
        match self.charge(account).await {
            Ok(()) => refusal,
            Err(error) => error,
        }
    }

    async fn charge(&self, account: Option<AccountId>) -> Result<()> {
        let mut conn = self.app.db.read().await?;
        self.take(&self.address, ADDRESS_FAILURE_LIMIT).execute(&mut conn).await?;
        history::record(self.app, &mut conn, self.caller, self.method, account, false).await
    }

    /// It was not judged, because the server was busy.
    pub(in crate::identity) async fn not_judged(self) -> Result<()> {
        let Some(identifier) = self.identifier else { return Ok(()) };
        let mut conn = self.app.db.read().await?;
        GiveBack { identifier }.execute(&mut conn).await?;
        Ok(())
    }

    /// It was right: its count goes. The history is told by whoever lets the person in.
    pub(in crate::identity) async fn succeeded(self) -> Result<()> {
        let Some(identifier) = self.identifier else { return Ok(()) };
        let mut conn = self.app.db.read().await?;
        ForgetFailures { identifier }.execute(&mut conn).await?;
        Ok(())
    }
}

/// Removes the counts that no longer matter.
pub(in crate::identity) async fn sweep(conn: &mut Conn, now: Time) -> Result<usize> {
    let before = now.plus_seconds(-(FAILURE_WINDOW_SECONDS + BLOCK_SECONDS));
    Ok(SweepFailures { before }.execute(conn).await?)
}

/// Whether an identifier is blocked at this moment, for calls that send something to it.
pub(in crate::identity) async fn require_unblocked(
    app: &App,
    caller: &Caller,
    identifier: Identifier<'_>,
) -> Result<()> {
    let (identifier, address) = (identifier.key(app), address_key(app, &caller.address));
    let mut conn = app.db.read().await?;
    let blocked: Option<Option<Time>> =
        BlockedUntil { identifier, address }.get_result(&mut conn).await.optional()?;
    let now = app.clock.now();
    match blocked.flatten().filter(|until| *until > now) {
        None => Ok(()),
        Some(until) => Err(Error::of(Reason::TooManyAttempts).retry_after(wait_for(until, now))),
    }
}
