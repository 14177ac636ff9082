//! Sending: one delivery, up to [`MAX_ATTEMPTS`] times, always with the same key.
//!
//! An attempt is counted before it is made. A process that dies between the provider's answer and
//! the note of it makes another attempt, with the key that the provider knows. What fails for the
//! moment is put off by a job of its own, so that the attempts of a delivery are its own and not those
//! of a job. The delivery names the one job that may send it: one that comes late, or runs again,
//! finds another's name and does nothing.
//!
//! Where a provider hangs, few wait for it and the rest is put off, so that other jobs run.

use std::future::Future;
use std::time::{Duration, Instant};

use diesel_async::RunQueryDsl;
use metrics::counter;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::composing::{self, Composed, Message};
use super::notifying::quiet_until;
use super::pacing;
use super::rows::{self, Attempt, DeliveryState, EndDelivery, PutOff};
use super::rules::{self, MAX_ATTEMPTS};
use crate::app::App;
use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::jobs::{self, Job, JobError, NewJob};
use crate::kernel::kinds::Time;
use crate::kernel::locale::NoticeKind;
use crate::kernel::ports::PortError;
use crate::kernel::ports::lanes::Lane;
use crate::notifications::devices;
use crate::notifications::plan::{Channel, plan};

/// How long the end of an attempt is tried to be noted: as long as the end of a job.
const NOTE: Duration = Duration::from_secs(12);
/// Pause between two tries.
const AGAIN: Duration = Duration::from_millis(200);
/// Shortest time for which a delivery is put off whose provider hangs, in seconds.
const STUCK_SECONDS: i64 = 5;

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
pub(in crate::notifications) enum Outcome {
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
    pub(in crate::notifications) fn skipped(reason: &'static str) -> Self {
        Self::Ended { state: DeliveryState::Skipped, reason, code: None, version: String::new() }
    }

    /// It was given up.
    pub(in crate::notifications) fn failed(reason: &'static str, code: Option<u32>) -> Self {
        Self::Ended { state: DeliveryState::Failed, reason, code, version: String::new() }
    }
}

impl Job for Deliver {
    const KIND: &'static str = "notifications.deliver";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        let begun = rows::begin_attempt(&mut *app.db.read().await?, self.delivery, id).await?;
        let Some(attempt) = begun else { return Ok(()) };
        let outcome = self.attempt(&app, &attempt).await?;
        self.record(&app, &attempt, outcome).await?;
        Ok(())
    }
}

impl Deliver {
    async fn attempt(&self, app: &App, attempt: &Attempt) -> Result<Outcome> {
        let (now, paced) = (app.clock.now(), self.paced);
        if now < attempt.send_at {
            return Ok(Outcome::TooEarly { send_at: attempt.send_at, paced });
        }
        if attempt.attempts > MAX_ATTEMPTS {
            // Its process died in every attempt, or could not even begin to send.
            return Ok(Outcome::failed("NOT_SENT", None));
        }
        if attempt.until.is_some_and(|until| now >= until) {
            return Ok(Outcome::skipped("TOO_LATE"));
        }
        // Held until it is sent, but for what is urgent: that always passes.
        let turn = if attempt.urgent { None } else { lane(app, attempt.channel).enter().await };
        if turn.is_none() && !attempt.urgent {
            // Not all of them at the same moment.
            let spread = i64::from(self.delivery.as_bytes()[15] % 8);
            let send_at = now.plus_seconds(STUCK_SECONDS + spread);
            return Ok(Outcome::TooEarly { send_at, paced });
        }
        let mut conn = app.db.read().await?;
        if let Some(outcome) = self.wait(app, &mut conn, attempt).await? {
            return Ok(outcome);
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

    /// Whether it is not wanted any more, or has to wait: for the end of quiet hours (also of such that
    /// began while it waited), or for its slot.
    async fn wait(&self, app: &App, conn: &mut Conn, attempt: &Attempt) -> Result<Option<Outcome>> {
        let waits = rules::waits_for_quiet(attempt.channel, attempt.urgent);
        let class = NoticeKind::from_key(&attempt.kind).map(|kind| plan(kind).class);
        if let (Some(class), Some(account)) = (class, attempt.account)
            && (waits || !class.is_required())
        {
            let wishes = rows::wishes(conn, account, class).await?;
            if !class.is_required() && wishes.closed.contains(&attempt.channel) {
                return Ok(Some(Outcome::skipped("SWITCHED_OFF")));
            }
            if waits && let Some(send_at) = quiet_until(app, conn, Some(account), &wishes).await? {
                return Ok(Some(Outcome::TooEarly { send_at, paced: false }));
            }
        }
        if self.paced || attempt.urgent {
            return Ok(None);
        }
        let slots = pacing::slots(app, conn, attempt.channel, 1).await?;
        let slot = slots.into_iter().find(|slot| *slot > app.clock.now());
        Ok(slot.map(|send_at| Outcome::TooEarly { send_at, paced: true }))
    }

    /// Writes down how an attempt ended, and the job of the next one.
    async fn record(&self, app: &App, attempt: &Attempt, outcome: Outcome) -> Result<()> {
        let (id, attempts, job) = (self.delivery, attempt.attempts, attempt.job);
        let now = app.clock.now();
        measure(id, attempt, &outcome);
        let (left, reason, code, send_at, paced) = match outcome {
            Outcome::Ended { state, reason, code, version } => {
                let code = number(code);
                let end = EndDelivery { id, attempts, state, reason, code, version, now, job };
                return insist(|| finish(app, &end)).await;
            }
            Outcome::Again { code, seconds } => {
                (attempts, BUSY, number(code), now.plus_seconds(seconds), false)
            }
            Outcome::TooEarly { send_at, paced } => (attempts - 1, "", 0, send_at, paced),
        };
        let next = app.ids.next();
        let put_off = PutOff { id, attempts, left, reason, code, send_at, job, next };
        insist(|| Self { delivery: id, paced }.put_off(app, &put_off)).await
    }

    /// Puts the delivery off, together with the job that goes on with it.
    async fn put_off(self, app: &App, put_off: &PutOff) -> Result<()> {
        let job = &NewJob::now(&self).at(put_off.send_at);
        app.db
            .transaction(async |conn| {
                if put_off.clone().execute(conn).await? == 0 {
                    return Ok(());
                }
                jobs::enqueue(conn, put_off.next, app.clock.now(), job.clone()).await
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

async fn finish(app: &App, end: &EndDelivery) -> Result<()> {
    end.clone().execute(&mut *app.db.read().await?).await?;
    Ok(())
}

/// Notes how an attempt ended, and tries again while the database is busy: what was sent and is not
/// noted goes twice.
async fn insist<F>(note: impl Fn() -> F + Send) -> Result<()>
where
    F: Future<Output = Result<()>> + Send,
{
    let begun = Instant::now();
    loop {
        match note().await {
            Err(error) if begun.elapsed() < NOTE => {
                tracing::warn!(error = %error, "end of a delivery not noted yet");
                tokio::time::sleep(AGAIN).await;
            }
            noted => return noted,
        }
    }
}

/// The way out of this channel.
fn lane(app: &App, channel: Channel) -> &Lane {
    let lanes = &app.ports.lanes;
    match channel {
        Channel::Mail => &lanes.mail,
        Channel::Sms => &lanes.sms,
        Channel::Push => &lanes.push,
    }
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
