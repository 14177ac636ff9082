//! What codes sent to phones may cost: limits per number, client network and country; and how many
//! links are mailed to one address and by one client network.
//!
//! A code is counted in the transaction that asks for it, before its message is enqueued; what is
//! over a limit is refused, and neither counted nor sent. Numbers and networks are kept as keyed
//! hashes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use diesel::sql_types;
use diesel_async::RunQueryDsl;
use jiff::tz::TimeZone;

use crate::app::App;
use crate::identity::rules::wait_for;
use crate::kernel::access::Caller;
use crate::kernel::crypto::{Purpose, framed};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::{AccountId, Day, Time};
use crate::kernel::phone;
use crate::statement;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// Codes to one number.
const NUMBER: Limit = Limit { gap: 30, an_hour: 5, a_day: 10 };
/// Links that one account has mailed to new addresses.
const NEW_ADDRESSES: Limit = Limit { gap: 0, an_hour: 5, a_day: 10 };
/// Links to one mail address that anybody can ask for.
const LINKS: Limit = Limit { gap: 0, an_hour: 5, a_day: 10 };

/// How much may be sent.
#[derive(Debug, Clone, Copy)]
struct Limit {
    /// Seconds between two; 0: none.
    gap: i64,
    an_hour: i32,
    a_day: i32,
}

statement! {
    /// Counts one more, unless that is over a limit.
    CountSent {
        key: Vec<u8>, now: Time, gap_began: Time, hour_began: Time, day_began: Time, an_hour: i32,
        a_day: i32,
    },
    "INSERT INTO sent_codes AS seen (key, sent, last_sent_at) VALUES ($1, ARRAY[$2], $2) \
     ON CONFLICT (key) DO UPDATE SET last_sent_at = $2, \
        sent = ARRAY(SELECT t FROM unnest(seen.sent) AS t WHERE t > $5) || $2 \
     WHERE seen.last_sent_at <= $3 \
       AND (SELECT count(*) FROM unnest(seen.sent) AS t WHERE t > $4) < $6 \
       AND (SELECT count(*) FROM unnest(seen.sent) AS t WHERE t > $5) < $7";

    /// When they were sent.
    SentAt { key: Vec<u8> } -> sql_types::Array<sql_types::Timestamptz>,
    "SELECT sent FROM sent_codes WHERE key = $1";

    /// Counts one more to a country, unless that is over its budget of the day.
    CountCountry { calling_code: i32, day: Day, budget: i32 },
    "INSERT INTO sent_codes_by_country AS seen (calling_code, day, sent) VALUES ($1, $2, 1) \
     ON CONFLICT (calling_code, day) DO UPDATE SET sent = seen.sent + 1 WHERE seen.sent < $3";

    /// Forgets what no longer counts.
    SweepSent { before: Time }, "DELETE FROM sent_codes WHERE last_sent_at < $1";

    /// Forgets the budgets of days gone by.
    SweepCountries { before: Day }, "DELETE FROM sent_codes_by_country WHERE day < $1";
}

/// Refuses numbers of countries to which no codes are sent.
pub(in crate::identity) fn require_open_country(app: &App, number: &str) -> Result<()> {
    let region = phone::region(number).unwrap_or_default();
    if app.config.otp.countries.iter().any(|open| open.eq_ignore_ascii_case(&region)) {
        return Ok(());
    }
    Err(Error::of(Reason::SmsCountryClosed))
}

/// Counts a code to this number (E.164); refused when it is one too many.
pub(in crate::identity) async fn count(
    app: &App,
    conn: &mut Conn,
    caller: &Caller,
    number: &str,
) -> Result<()> {
    take(app, conn, key(app, b"number", number), NUMBER).await?;
    let network = key(app, b"network", &network_of(&caller.address));
    take(app, conn, network, per_network(app)).await?;
    count_country(app, conn, number).await
}

/// Counts a link that an account has mailed to a new address; refused when it is one too many.
pub(in crate::identity) async fn count_new_address(
    app: &App,
    conn: &mut Conn,
    account: AccountId,
) -> Result<()> {
    take(app, conn, key(app, b"new address", &account.to_string()), NEW_ADDRESSES).await
}

/// Counts a link to be mailed to an address, written as [`email_key`](crate::identity::rules::email_key)
/// does; `false` when it is one too many: then nothing is to be sent, and nobody told. Networks have
/// another count than for codes, whose refusals would tell that a link was mailed.
pub(in crate::identity) async fn count_link(
    app: &App,
    conn: &mut Conn,
    caller: &Caller,
    email_key: &str,
) -> Result<bool> {
    let network = key(app, b"links of a network", &network_of(&caller.address));
    Ok(count_one(app, conn, network, per_network(app)).await?
        && count_one(app, conn, key(app, b"links", email_key), LINKS).await?)
}

fn per_network(app: &App) -> Limit {
    Limit { gap: 0, an_hour: app.config.otp.per_network_an_hour, a_day: i32::MAX }
}

/// Counts one more; refused when it is over the limit.
async fn take(app: &App, conn: &mut Conn, key: Vec<u8>, limit: Limit) -> Result<()> {
    if count_one(app, conn, key.clone(), limit).await? {
        return Ok(());
    }
    let sent: Vec<Time> = SentAt { key }.get_result(conn).await?;
    Err(Error::of(Reason::RateLimited).retry_after(wait(sent, limit, app.clock.now())))
}

/// Counts one more; `false` when it is over the limit, and not counted.
async fn count_one(app: &App, conn: &mut Conn, key: Vec<u8>, limit: Limit) -> Result<bool> {
    let now = app.clock.now();
    // Without a gap, none is measured: the clocks of two servers may differ a little.
    let gap_began = now.plus_seconds(if limit.gap == 0 { DAY } else { -limit.gap });
    let counted = CountSent {
        key,
        now,
        gap_began,
        hour_began: now.plus_seconds(-HOUR),
        day_began: now.plus_seconds(-DAY),
        an_hour: limit.an_hour,
        a_day: limit.a_day,
    };
    Ok(counted.execute(conn).await? == 1)
}

async fn count_country(app: &App, conn: &mut Conn, number: &str) -> Result<()> {
    let (now, calling_code) = (app.clock.now(), phone::calling_code(number));
    let budget = app.config.otp.per_country_a_day;
    let day = day_of(now);
    if (CountCountry { calling_code, day, budget }).execute(conn).await? == 1 {
        return Ok(());
    }
    tracing::warn!(calling_code, budget, "no more codes are sent to this country today");
    let left = DAY - now.timestamp().as_second().rem_euclid(DAY);
    Err(Error::of(Reason::SmsCountryClosed).retry_after(wait_for(now.plus_seconds(left), now)))
}

/// How long until one more may be sent.
fn wait(mut sent: Vec<Time>, limit: Limit, now: Time) -> Duration {
    sent.sort_unstable();
    let free_at = |(count, seconds): (i32, i64)| {
        let newest = usize::try_from(count).ok()?.checked_sub(1)?;
        sent.iter().rev().nth(newest).map(|sent| sent.plus_seconds(seconds))
    };
    let limits = [(1, limit.gap), (limit.an_hour, HOUR), (limit.a_day, DAY)];
    wait_for(limits.into_iter().filter_map(free_at).max().unwrap_or(now), now)
}

fn key(app: &App, kind: &[u8], value: &str) -> Vec<u8> {
    let bytes = framed(&[b"sent codes", kind, value.as_bytes()]);
    app.keys.macs.sign(Purpose::BlindIndex, &bytes).to_vec()
}

/// The network of a client: of IPv4 the /24, of IPv6 the /64.
fn network_of(address: &str) -> String {
    match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => Ipv4Addr::from_bits(address.to_bits() & !0xff).to_string(),
        Ok(IpAddr::V6(address)) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).to_string()
        }
        Err(_) => address.to_owned(),
    }
}

fn day_of(time: Time) -> Day {
    Day(time.timestamp().to_zoned(TimeZone::UTC).date())
}

/// Removes the counts that no longer matter.
pub(in crate::identity) async fn sweep(conn: &mut Conn, now: Time) -> Result<()> {
    let before = now.plus_seconds(-DAY);
    SweepSent { before }.execute(conn).await?;
    SweepCountries { before: day_of(before) }.execute(conn).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_unix_micros(seconds * 1_000_000).unwrap()
    }

    #[test]
    fn the_longest_limit_decides_the_wait() {
        let wait = |sent: &[i64], now| {
            wait(sent.iter().map(|seconds| at(*seconds)).collect(), NUMBER, at(now)).as_secs()
        };
        assert_eq!(wait(&[0], 10), 20);
        assert_eq!(wait(&[0, 100, 200, 300, 400], 410), 3_190);
        assert_eq!(wait(&[400, 300, 200, 100, 0], 410), 3_190, "in any order");
        let ten: Vec<i64> = (0..10).map(|number| number * 2 * HOUR).collect();
        assert_eq!(wait(&ten, 18 * HOUR + 60), u64::try_from(6 * HOUR - 60).unwrap());
    }

    #[test]
    fn neighbours_are_one_network() {
        for (address, network) in [
            ("192.0.2.77", "192.0.2.0"),
            ("::ffff:192.0.2.77", "192.0.2.0"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("", ""),
        ] {
            assert_eq!(network_of(address), network);
        }
    }

    #[test]
    fn a_budget_is_that_of_a_day_of_utc() {
        assert_eq!(day_of(at(DAY - 1)).0, jiff::civil::date(1970, 1, 1));
        assert_eq!(day_of(at(DAY)).0, jiff::civil::date(1970, 1, 2));
    }
}
