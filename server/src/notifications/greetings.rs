//! Greetings on birthdays and feasts, at 10:00 of the recipient's day, once per year and person.
//!
//! Every quarter of an hour it is asked whose time has come: so a server that was down at 10:00 makes
//! up for it when it is back. What makes a greeting come once is its `once_key`, not the clock.

use diesel::sql_types;
use diesel_async::RunQueryDsl;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::greetings_rules::{self as rules, Occasion};
use super::plan::{Channel, Class};
use super::{Notice, notify, preferences_rules};
use crate::app::App;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::Result;
use crate::kernel::jobs::{self, Job, JobError, NewJob};
use crate::kernel::kinds::AccountId;
use crate::{identity, profiles, statement};

/// People that one job looks at.
const PAGE: usize = 500;

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
    /// The last person of the job before.
    pub after: AccountId,
    /// The job that began it.
    pub run: Uuid,
}

/// Greets somebody.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Greet {
    /// Whom.
    pub account: AccountId,
    /// What for.
    pub occasion: Occasion,
    /// The year of the recipient's day.
    pub year: i16,
}

impl Job for Greetings {
    const KIND: &'static str = "notifications.greetings";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        let now = app.clock.now();
        let days: Vec<Date> = rules::days(now).into_keys().collect();
        let app = &app;
        app.db
            .transaction(async |conn| {
                for day in &days {
                    for occasion in rules::occasions(*day) {
                        let after = AccountId(Uuid::nil());
                        let find = FindGreeted { occasion, day: *day, after, run: id };
                        find.enqueue(app, conn).await?;
                    }
                }
                Ok(())
            })
            .await?;
        Ok(())
    }
}

impl Job for FindGreeted {
    const KIND: &'static str = "notifications.find_greeted";

    async fn run(self, app: App, _id: Uuid) -> Result<(), JobError> {
        let Some(zones) = rules::days(app.clock.now()).remove(&self.day) else { return Ok(()) };
        let (find, app, zones) = (&self, &app, &zones);
        app.db
            .transaction(async |conn| {
                let found = find.people(conn, zones.clone()).await?;
                if let Some(last) = found.last().filter(|_| found.len() >= PAGE) {
                    Self { after: *last, ..find.clone() }.enqueue(app, conn).await?;
                }
                let active = identity::active_people(conn, found).await?;
                let waiting = find.not_greeted(conn, active).await?;
                let greet = |account| (app.ids.next(), find.greet(account));
                let greetings: Vec<(Uuid, NewJob)> = waiting.into_iter().map(greet).collect();
                jobs::enqueue_all(conn, app.clock.now(), greetings).await
            })
            .await?;
        Ok(())
    }
}

impl Job for Greet {
    const KIND: &'static str = "notifications.greet";

    async fn run(self, app: App, id: Uuid) -> Result<(), JobError> {
        let once = Some(format!("{}{}", purpose(self.occasion, self.year), self.account));
        notify(&app, id, Notice { once, ..Notice::new(self.occasion.kind(), self.account) }).await
    }
}

/// What is told once, up to the account.
fn purpose(occasion: Occasion, year: i16) -> String {
    format!("{}/{year}/", occasion.kind().key())
}

impl FindGreeted {
    /// Enqueues this job, once.
    async fn enqueue(&self, app: &App, conn: &mut Conn) -> Result<()> {
        let Self { occasion, day, after, run } = self;
        let key = format!("find_greeted/{run}/{}/{day}/{after}", occasion.kind().key());
        jobs::enqueue(conn, app.ids.next(), app.clock.now(), NewJob::now(self).once(key)).await
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
        let class = Class::Greeting;
        let query = NotGreeted {
            accounts: List(accounts),
            purpose: purpose(self.occasion, self.day.year()),
            class,
            channels: List(preferences_rules::channels_of(class)),
        };
        Ok(query.get_results(conn).await?)
    }

    /// The job that greets one of them; there is one.
    fn greet(&self, account: AccountId) -> NewJob {
        let (occasion, year) = (self.occasion, self.day.year());
        let key = format!("{}{account}", purpose(occasion, year));
        NewJob::now(&Greet { account, occasion, year }).once(key)
    }
}
