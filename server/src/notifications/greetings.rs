//! Greetings on birthdays and feasts, at 10:00 of the recipient's day, once per year and person.
//!
//! Every quarter of an hour it is asked where the time has come. The people of zones whose clocks agree
//! are walked through once per occasion and day, by whichever look comes first: so a server that was
//! down at 10:00 makes up for it when it is back. What makes a greeting come once is its `once_key`,
//! not the clock. What is written late is not sent at night, nor on another day.

mod rules;

use diesel::sql_types;
use diesel_async::RunQueryDsl;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::rules::Occasion;
use super::plan::{Channel, Class, plan};
use super::{Notice, notify};
use crate::app::App;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::Result;
use crate::kernel::jobs::{self, Job, JobError, NewJob};
use crate::kernel::kinds::AccountId;
use crate::{identity, profiles, statement};

/// People that one job looks at.
const PAGE: usize = 500;
/// How long after those people the next ones are greeted, so that other messages are not kept waiting
/// behind all greetings of a day.
const PAUSE_SECONDS: i64 = 30;

statement! {
    /// Of these accounts those that have not been greeted yet, and have not switched off every
    /// channel of greetings.
    NotGreeted { accounts: List<AccountId>, purpose: String, class: Class, channels: List<Channel> }
        -> sql_types::Uuid,
    "SELECT a.id FROM unnest($1) AS a (id) \
     WHERE NOT EXISTS (SELECT FROM notifications n WHERE n.once_key = $2 || a.id) \
       AND EXISTS (SELECT FROM unnest($4) AS open (channel) WHERE NOT EXISTS ( \
            SELECT FROM closed_channels c \
            WHERE c.account_id = a.id AND c.class = $3 AND c.channel = open.channel)) \
     ORDER BY a.id";
}

/// Finds out what is greeted for at this moment, and where.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Greetings {}

/// Looks at some of the people whose time has come, makes a job for each who has not been greeted, and
/// leaves those after them to another one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FindGreeted {
    /// What for.
    pub occasion: Occasion,
    /// The recipients' day.
    pub day: Date,
    /// Where they live.
    pub zones: Vec<String>,
    /// What the clocks of these zones are ahead of UTC, in seconds.
    pub offset: i32,
    /// The last person of the job before.
    pub after: AccountId,
}

/// Greets somebody.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Greet {
    /// Whom.
    pub account: AccountId,
    /// What for.
    pub occasion: Occasion,
    /// The recipient's day.
    pub day: Date,
}

impl Job for Greetings {
    const KIND: &'static str = "notifications.greetings";

    async fn run(self, app: App, _id: Uuid) -> Result<(), JobError> {
        let now = app.clock.now();
        let mut walks = Vec::new();
        for ((day, offset), zones) in rules::days(now) {
            for occasion in rules::occasions(day) {
                let (after, zones) = (AccountId(Uuid::nil()), zones.clone());
                let find = FindGreeted { occasion, day, zones, offset, after };
                walks.push((app.ids.next(), find.job()));
            }
        }
        let walks = &walks;
        app.db.transaction(async |conn| jobs::enqueue_all(conn, now, walks.clone()).await).await?;
        Ok(())
    }
}

impl Job for FindGreeted {
    const KIND: &'static str = "notifications.find_greeted";

    async fn run(self, app: App, _id: Uuid) -> Result<(), JobError> {
        let now = app.clock.now();
        let is_time = |zone: &String| rules::day_in(now, zone).is_some_and(|day| day.0 == self.day);
        let zones: Vec<String> = self.zones.iter().filter(|zone| is_time(zone)).cloned().collect();
        let (find, app, zones) = (&self, &app, &zones);
        app.db
            .transaction(async |conn| {
                let found = find.people(conn, zones.clone()).await?;
                let last = found.last().copied().filter(|_| found.len() >= PAGE);
                let active = identity::active_people(conn, found).await?;
                let waiting = find.not_greeted(conn, active).await?;
                // Nobody waits behind those whom there was nothing to tell.
                let pause = if waiting.is_empty() { 0 } else { PAUSE_SECONDS };
                let next = last.map(|after| Self { after, ..find.clone() }.job());
                let next = next.map(|next| next.at(now.plus_seconds(pause)));
                let greetings = waiting.into_iter().map(|account| find.greet(account)).chain(next);
                let greetings = greetings.map(|job| (app.ids.next(), job));
                jobs::enqueue_all(conn, now, greetings).await
            })
            .await?;
        Ok(())
    }
}

impl Job for Greet {
    const KIND: &'static str = "notifications.greet";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        let Self { account, occasion, day } = self;
        let zone = profiles::time_zone(&mut *app.db.read().await?, account).await?;
        let until = rules::evening(day, &zone);
        if until.is_some_and(|until| app.clock.now() >= until) {
            return Ok(());
        }
        let once = Some(format!("{}{account}", purpose(occasion, day)));
        notify(&app, id, Notice { until, once, ..Notice::new(occasion.kind(), account) }).await
    }
}

/// What is told once, up to the account.
fn purpose(occasion: Occasion, day: Date) -> String {
    format!("{}/{}/", occasion.kind().key(), day.year())
}

impl FindGreeted {
    /// This job; there is one.
    fn job(&self) -> NewJob {
        let Self { occasion, day, zones: _, offset, after } = self;
        let key = format!("find_greeted/{}/{day}/{offset}/{after}", occasion.kind().key());
        NewJob::now(self).once(key)
    }

    /// Whose occasion it is, by id.
    async fn people(&self, conn: &mut Conn, zones: Vec<String>) -> Result<Vec<AccountId>> {
        let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
        if self.occasion == Occasion::Birthday {
            let (month, days) = (i32::from(self.day.month()), rules::birth_days(self.day));
            profiles::people_with_birthday(conn, month, days, zones, self.after, limit).await
        } else {
            profiles::people_in_zones(conn, zones, self.after, limit).await
        }
    }

    async fn not_greeted(
        &self,
        conn: &mut Conn,
        accounts: Vec<AccountId>,
    ) -> Result<Vec<AccountId>> {
        let plan = plan(self.occasion.kind());
        let query = NotGreeted {
            accounts: List(accounts),
            purpose: purpose(self.occasion, self.day),
            class: plan.class,
            channels: List(plan.channels.to_vec()),
        };
        Ok(query.get_results(conn).await?)
    }

    /// The job that greets one of them; there is one.
    fn greet(&self, account: AccountId) -> NewJob {
        let (occasion, day) = (self.occasion, self.day);
        let key = format!("{}{account}", purpose(occasion, day));
        NewJob::now(&Greet { account, occasion, day }).once(key)
    }
}
