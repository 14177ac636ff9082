//! Sending: one delivery, up to [`MAX_ATTEMPTS`] times, always with the same key.
//!
//! An attempt is counted before it is made. A process that dies between the provider's answer and
//! the note of it makes another attempt, with the key that the provider knows. What fails for the
//! moment is put off by a job of its own, so that the attempts of a delivery are its own and not those
//! of a job.

use diesel_async::RunQueryDsl;
use metrics::counter;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::composing::{self, Composed, Message};
use super::notifying::quiet_until;
use super::plan::plan;
use super::rows::{self, Attempt, DeliveryState, EndDelivery, ForgetContact, PutOff};
use super::rules::{self, MAX_ATTEMPTS};
use super::{devices, pacing};
use crate::app::App;
use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::jobs::{self, Job, JobError, NewJob};
use crate::kernel::kinds::Time;
use crate::kernel::locale::NoticeKind;
use crate::kernel::ports::PortError;

/// Sends a delivery.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Deliver {
    /// The delivery.
    pub delivery: Uuid,
    /// It has its slot among the messages of its channel.
    pub paced: bool,
}

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// There will be no other.
    Ended { state: DeliveryState, reason: &'static str, code: Option<u32>, version: String },
    /// The provider wants to be asked again.
    Again { code: Option<u32>, seconds: i64 },
    /// Nothing was to be sent before this time. `paced`: that is its slot.
    TooEarly { send_at: Time, paced: bool },
}

impl Outcome {
    fn sent(version: String) -> Self {
        Self::Ended { state: DeliveryState::Sent, reason: "", code: None, version }
    }

    /// There is nothing to send any more.
    pub(super) fn skipped(reason: &'static str) -> Self {
        Self::Ended { state: DeliveryState::Skipped, reason, code: None, version: String::new() }
    }

    /// It was given up.
    pub(super) fn failed(reason: &'static str, code: Option<u32>) -> Self {
        Self::Ended { state: DeliveryState::Failed, reason, code, version: String::new() }
    }
}

impl Job for Deliver {
    const KIND: &'static str = "notifications.deliver";

    async fn run(self, app: App, _id: Uuid) -> Result<(), JobError> {
        let now = app.clock.now();
        let begun = rows::begin_attempt(&mut *app.db.read().await?, self.delivery, now).await?;
        let Some(attempt) = begun else { return Ok(()) };
        let outcome = self.attempt(&app, &attempt).await?;
        self.record(&app, &attempt, outcome).await?;
        Ok(())
    }
}

impl Deliver {
    async fn attempt(&self, app: &App, attempt: &Attempt) -> Result<Outcome> {
        if attempt.attempts > MAX_ATTEMPTS {
            // Its process died in every attempt, or could not even begin to send.
            return Ok(Outcome::failed("NOT_SENT", None));
        }
        if attempt.until.is_some_and(|until| app.clock.now() >= until) {
            return Ok(Outcome::skipped("TOO_LATE"));
        }
        let mut conn = app.db.read().await?;
        if let Some(too_early) = self.wait(app, &mut conn, attempt).await? {
            return Ok(too_early);
        }
        let composed = composing::compose(app, &mut conn, self.delivery, attempt).await?;
        drop(conn);
        let Composed { message, version } = match composed {
            Ok(composed) => composed,
            Err(outcome) => return Ok(outcome),
        };
        let sent = match &message {
            Message::Mail(message) => app.ports.mail.send(message).await,
            Message::Sms(message) => app.ports.sms.send(message).await,
            Message::Push(message) => app.ports.push.send(message).await,
        };
        if let (Err(PortError::RecipientGone), Message::Push(push), Some(id)) =
            (&sent, &message, attempt.device)
        {
            devices::forget(app, id, &push.device, attempt.account).await?;
        }
        Ok(judge(&sent, attempt.attempts, version))
    }

    /// Whether it has to wait: for the end of quiet hours (also of such that began while it waited),
    /// or for its slot.
    async fn wait(&self, app: &App, conn: &mut Conn, attempt: &Attempt) -> Result<Option<Outcome>> {
        if attempt.urgent {
            return Ok(None);
        }
        let kind = NoticeKind::from_key(&attempt.kind);
        if let (Some(kind), Some(account)) = (kind, attempt.account)
            && rules::waits_for_quiet(attempt.channel, attempt.urgent)
        {
            let wishes = rows::wishes(conn, account, plan(kind).class).await?;
            if let Some(send_at) = quiet_until(app, conn, attempt.account, &wishes).await? {
                return Ok(Some(Outcome::TooEarly { send_at, paced: false }));
            }
        }
        if self.paced {
            return Ok(None);
        }
        let slots = pacing::slots(app, conn, attempt.channel, 1).await?;
        let slot = slots.into_iter().find(|slot| *slot > app.clock.now());
        Ok(slot.map(|send_at| Outcome::TooEarly { send_at, paced: true }))
    }

    /// Writes down how an attempt ended, and the job of the next one.
    async fn record(&self, app: &App, attempt: &Attempt, outcome: Outcome) -> Result<()> {
        let (id, attempts, now) = (self.delivery, attempt.attempts, app.clock.now());
        measure(id, attempt, &outcome);
        let (left, reason, code, send_at, paced) = match outcome {
            Outcome::Ended { state, reason, code, version } => {
                let code = number(code);
                let end = EndDelivery { id, attempts, state, reason, code, version, now };
                return finish(app, attempt, end).await;
            }
            Outcome::Again { code, seconds } => {
                (attempts, BUSY, number(code), now.plus_seconds(seconds), false)
            }
            Outcome::TooEarly { send_at, paced } => (attempts - 1, "", 0, send_at, paced),
        };
        let put_off = &PutOff { id, attempts, left, reason, code, send_at };
        app.db
            .transaction(async |conn| {
                if put_off.clone().execute(conn).await? == 0 {
                    return Ok(());
                }
                let next = NewJob::now(&Self { delivery: id, paced }).at(send_at);
                jobs::enqueue(conn, app.ids.next(), now, next).await
            })
            .await
    }
}

/// The reason of a delivery whose provider may take it later.
const BUSY: &str = "PROVIDER_BUSY";

/// What an answer of a provider means for the delivery.
fn judge(sent: &Result<(), PortError>, attempt: i32, version: String) -> Outcome {
    match sent {
        Ok(()) => Outcome::sent(version),
        Err(PortError::RecipientGone) => Outcome::skipped("DEVICE_GONE"),
        Err(PortError::Temporary { code, retry_after, .. }) => {
            match rules::pause_after(attempt, *retry_after) {
                Some(seconds) => Outcome::Again { code: *code, seconds },
                None => Outcome::failed(BUSY, *code),
            }
        }
        Err(PortError::Permanent { code, .. }) => Outcome::failed("PROVIDER_REFUSED", *code),
        Err(_) => Outcome::failed("NOT_SENT", None),
    }
}

async fn finish(app: &App, attempt: &Attempt, end: EndDelivery) -> Result<()> {
    let mut conn = app.db.read().await?;
    end.execute(&mut conn).await?;
    if attempt.sealed.is_some() {
        ForgetContact { notification: attempt.notification }.execute(&mut conn).await?;
    }
    Ok(())
}

/// Tells operators of an attempt.
fn measure(delivery: Uuid, attempt: &Attempt, outcome: &Outcome) {
    let channel = attempt.channel.as_str();
    let outcome = match outcome {
        Outcome::Ended { state, .. } => state.as_str(),
        Outcome::Again { .. } => "retried",
        Outcome::TooEarly { .. } => return,
    };
    counter!("clinicd_deliveries_total", "channel" => channel, "outcome" => outcome).increment(1);
    if outcome == DeliveryState::Failed.as_str() {
        tracing::warn!(%delivery, channel, kind = attempt.kind, "message given up");
    }
}

/// A provider's number as it is kept; 0 for none.
fn number(code: Option<u32>) -> i32 {
    code.and_then(|code| i32::try_from(code).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_for_good_is_not_repeated() {
        let code = Some(400);
        let refused = judge(&Err(PortError::Permanent { what: "", code }), 1, String::new());
        let failed = DeliveryState::Failed;
        assert!(matches!(
            refused,
            Outcome::Ended { state, reason: "PROVIDER_REFUSED", code: Some(400), .. } if state == failed
        ));
    }

    #[test]
    fn a_busy_provider_is_asked_seven_times() {
        let busy = || Err(PortError::Temporary { what: "", code: Some(503), retry_after: None });
        for attempt in 1..MAX_ATTEMPTS {
            assert!(matches!(judge(&busy(), attempt, String::new()), Outcome::Again { .. }));
        }
        let last = judge(&busy(), MAX_ATTEMPTS, String::new());
        assert!(matches!(last, Outcome::Ended { reason: BUSY, code: Some(503), .. }), "{last:?}");
    }
}
