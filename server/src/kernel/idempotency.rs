//! One effect per `request_id` (guarantee G4).
//!
//! The key is claimed first, in the transaction of the effect: a parallel call with the same key
//! waits for that transaction in the database and then finds its answer. The answer is stored
//! encrypted in the same transaction. A call that is refused leaves no key.

use diesel::OptionalExtension;
use diesel::sql_types;
use diesel_async::RunQueryDsl;
use prost::Message;
use uuid::Uuid;

use super::access::Caller;
use super::crypto::Purpose;
use super::db::{Conn, Work};
use super::error::{Error, Reason, Result};
use super::jobs::{Job, JobError};
use super::kinds::{Time, uuid_from_wire};
use crate::app::App;
use crate::statement;

statement! {
    /// Claims the key. Waits for a running call with the same key; no row when it has committed.
    Claim {
        principal: Uuid, method: &'static str, request_id: Uuid, fingerprint: Vec<u8>, now: Time,
    },
    "INSERT INTO stored_answers (principal, method, request_id, fingerprint, created_at) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";

    /// Claims the key, with the answer that this call will have given, when `basis` has a row.
    ClaimAnswered {
        principal: Uuid, method: &'static str, request_id: Uuid, fingerprint: Vec<u8>, now: Time,
        answer: Vec<u8>,
    },
    "INSERT INTO stored_answers (principal, method, request_id, fingerprint, created_at, answer) \
     SELECT $1, $2, $3, $4, $5, $6 FROM basis ON CONFLICT DO NOTHING";

    /// The answer of the call that had the key first.
    FirstAnswer { principal: Uuid, method: &'static str, request_id: Uuid }
        -> (sql_types::Binary, sql_types::Nullable<sql_types::Binary>),
    "SELECT fingerprint, answer FROM stored_answers \
     WHERE principal = $1 AND method = $2 AND request_id = $3";

    /// Keeps the answer.
    KeepAnswer { principal: Uuid, method: &'static str, request_id: Uuid, answer: Vec<u8> },
    "UPDATE stored_answers SET answer = $4 \
     WHERE principal = $1 AND method = $2 AND request_id = $3";

    /// Forgets answers that no client repeats any more.
    ForgetBefore { before: Time },
    "DELETE FROM stored_answers WHERE created_at < $1";
}

/// How long a `request_id` is remembered.
pub const REMEMBERED_HOURS: i64 = 48;

impl App {
    /// Runs `work` in a transaction, at most once per `request_id` of this caller and method, and
    /// returns its answer or the first one. The same id with another payload is refused.
    pub async fn once<Q, A, F>(
        &self,
        caller: &Caller,
        request_id: &str,
        request: &Q,
        work: F,
    ) -> Result<A>
    where
        Q: Message,
        A: Message + Default,
        for<'r> F: AsyncFnOnce(&'r mut Conn) -> Result<A> + Work<'r, A> + Clone + Send,
    {
        let key = Key::new(self, caller, request_id, request)?;
        let (app, key) = (self, &key);
        self.db
            .transaction(async move |conn: &mut Conn| {
                if key.claim(conn, app.clock.now()).await? {
                    let answer = work(conn).await?;
                    key.keep(app, conn, &answer).await?;
                    return Ok(answer);
                }
                // Swept away between the claim and this read: the client may simply repeat.
                let answer = key.first_answer(app, conn).await?.ok_or_else(Error::unavailable)?;
                caller.trail.replay(app, conn, caller).await?;
                Ok(answer)
            })
            .await
    }

    /// The answer that this very request got before, if it did; another request with the same id is
    /// refused. For what is costly or counted before its transaction begins:
    /// [`once`](Self::once) still decides.
    pub async fn earlier<Q: Message, A: Message + Default>(
        &self,
        caller: &Caller,
        request_id: &str,
        request: &Q,
    ) -> Result<Option<A>> {
        let key = Key::new(self, caller, request_id, request)?;
        key.first_answer(self, &mut *self.db.read().await?).await
    }
}

/// Whose call, of which method, with which request.
pub struct Key {
    principal: Uuid,
    method: &'static str,
    request_id: Uuid,
    fingerprint: Vec<u8>,
}

impl Key {
    /// The key of a call. A refusal names `request_id`.
    pub fn new<Q: Message>(
        app: &App,
        caller: &Caller,
        request_id: &str,
        request: &Q,
    ) -> Result<Self> {
        let request_id = uuid_from_wire("request_id", request_id)?;
        caller.trail.is_about_request(request_id);
        let bytes = request.encode_to_vec();
        Ok(Self {
            principal: caller.account().map_or(Uuid::nil(), |account| account.0),
            method: caller.method,
            request_id,
            fingerprint: app.keys.macs.sign(Purpose::RequestFingerprint, &bytes).to_vec(),
        })
    }

    async fn claim(&self, conn: &mut Conn, now: Time) -> Result<bool> {
        let claim = Claim {
            principal: self.principal,
            method: self.method,
            request_id: self.request_id,
            fingerprint: self.fingerprint.clone(),
            now,
        };
        Ok(claim.execute(conn).await? == 1)
    }

    async fn keep<A: Message>(&self, app: &App, conn: &mut Conn, answer: &A) -> Result<()> {
        let Self { principal, method, request_id, .. } = *self;
        let answer = self.seal(app, answer)?;
        KeepAnswer { principal, method, request_id, answer }.execute(conn).await?;
        Ok(())
    }

    /// The claim of a call whose answer is known before it is written.
    pub(super) fn with_answer<A: Message>(&self, app: &App, answer: &A) -> Result<ClaimAnswered> {
        Ok(ClaimAnswered {
            principal: self.principal,
            method: self.method,
            request_id: self.request_id,
            fingerprint: self.fingerprint.clone(),
            now: app.clock.now(),
            answer: self.seal(app, answer)?,
        })
    }

    /// The answer of the call that had the key first, if there was one. Another request with the
    /// same id is refused.
    pub async fn first_answer<A: Message + Default>(
        &self,
        app: &App,
        conn: &mut Conn,
    ) -> Result<Option<A>> {
        let Self { principal, method, request_id, .. } = *self;
        let first = FirstAnswer { principal, method, request_id };
        let stored: Option<(Vec<u8>, Option<Vec<u8>>)> = first.get_result(conn).await.optional()?;
        let Some((fingerprint, Some(sealed))) = stored else { return Ok(None) };
        if fingerprint != self.fingerprint {
            return Err(Error::of(Reason::RequestIdReused));
        }
        self.open(app, &sealed).map(Some)
    }

    fn seal<A: Message>(&self, app: &App, answer: &A) -> Result<Vec<u8>> {
        let sealing = app.keys.macs.sealing_key(Purpose::StoredAnswer);
        sealing.seal(&answer.encode_to_vec(), &self.aad()).map_err(Error::internal)
    }

    fn open<A: Message + Default>(&self, app: &App, sealed: &[u8]) -> Result<A> {
        let bytes = app
            .keys
            .macs
            .open(Purpose::StoredAnswer, sealed, &self.aad())
            .map_err(Error::internal)?;
        A::decode(bytes.as_slice()).map_err(Error::internal)
    }

    /// Binds the stored answer to its key, so that a moved row does not open.
    fn aad(&self) -> Vec<u8> {
        format!("stored_answers/{}/{}/{}", self.principal, self.method, self.request_id)
            .into_bytes()
    }
}

/// The daily job that forgets old answers.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct ForgetAnswers {}

impl Job for ForgetAnswers {
    const KIND: &'static str = "kernel.forget_answers";

    async fn run(self, app: App, _id: Uuid) -> Result<(), JobError> {
        let mut conn = app.db.read().await?;
        forget_old(&mut conn, app.clock.now()).await?;
        Ok(())
    }
}

/// Forgets answers older than [`REMEMBERED_HOURS`].
pub async fn forget_old(conn: &mut Conn, now: Time) -> Result<usize> {
    Ok(ForgetBefore { before: now.plus_seconds(-REMEMBERED_HOURS * 3_600) }.execute(conn).await?)
}
