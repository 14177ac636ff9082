//! Pure decisions: which URLs an endpoint may have, and what follows from an attempt.

use std::net::{IpAddr, SocketAddr};

use http::Uri;

use super::address::{self, HTTPS_PORT};
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::Time;
use crate::kernel::transport::Network;

/// Waits after the first, second, … failed attempt, in seconds: ten attempts within 2.9 days.
const WAITS: [i64; 9] =
    [5, 60, 300, 1_800, 2 * 3_600, 6 * 3_600, 12 * 3_600, 24 * 3_600, 24 * 3_600];
/// A wait is longer by up to this part of it, so that what failed together does not come together.
const JITTER: i64 = 10;
/// Longest wait that an endpoint can ask for, in seconds.
const LONGEST_WAIT: i64 = 24 * 3_600;
/// Longest time between two attempts, in seconds: the longest wait with its spread, and a quarter of
/// an hour in which others have their turn.
const APART: i64 = LONGEST_WAIT + LONGEST_WAIT / JITTER + 900;
/// Wait after an attempt that failed here, in seconds; up to 15 more spread what failed together.
const OUR_WAIT: i64 = 15;
/// Why an attempt failed here: it counts neither against the event nor against the endpoint.
pub(super) const INTERNAL: &str = "INTERNAL";
/// How long an endpoint may fail before it is disabled, in seconds.
const PATIENCE: i64 = 3 * 24 * 3_600;

const WRONG_URL: &str = "must be https:// with a public host, on port 443 or one from 1024 on, \
    without login and fragment";
const GONE: u16 = 410;
const TOO_MANY: u16 = 429;
const UNAVAILABLE: u16 = 503;

/// The host of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// An address, which is judged at once.
    Address(IpAddr),
    /// A name, whose addresses are judged when they are known.
    Name(String),
}

/// A URL that an endpoint may have, as it was given. What a name leads to is judged at each
/// connection; `opened` are the networks of the operator.
pub(super) fn url(text: &str, opened: &[Network]) -> Result<String> {
    if is_admitted(text, opened) {
        Ok(text.to_owned())
    } else {
        Err(Error::field("url", WRONG_URL))
    }
}

fn is_admitted(text: &str, opened: &[Network]) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#' && byte != b'\\');
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let https = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return false,
    };
    let Some(authority) = uri.authority() else { return false };
    // Behind the host stands a port, or nothing.
    let no_port = authority.port_u16().is_none() && authority.as_str() != authority.host();
    if !plain || authority.as_str().contains('@') || no_port {
        return false;
    }
    let (Some(host), port) = (host(&uri), port(&uri)) else { return false };
    match host {
        Host::Address(ip) => address::is_admitted(SocketAddr::new(ip, port), https, opened),
        // A name may lead into an opened network.
        Host::Name(_) if !opened.is_empty() => true,
        Host::Name(name) => https && address::is_port_admitted(port) && name.contains('.'),
    }
}

/// The host of a URL; none when it is no host name. Numbers that some resolvers take for addresses
/// (`127.1`, `0x7f.1`, `2130706433`) are none.
pub(super) fn host(uri: &Uri) -> Option<Host> {
    let host = uri.host()?;
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return inner.parse().ok().map(Host::Address);
    }
    if let Ok(address) = host.parse() {
        return Some(Host::Address(address));
    }
    let is_label = |label: &str| {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(fine)
    };
    let last = host.rsplit('.').next()?;
    let is_number = last.starts_with(|first: char| first.is_ascii_digit());
    let fine = host.len() <= 253 && !is_number && host.split('.').all(is_label);
    fine.then(|| Host::Name(host.to_ascii_lowercase()))
}

/// The port of a URL.
pub(super) fn port(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { HTTPS_PORT })
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt {
    /// The HTTP status; 0 when there was no answer.
    pub(super) status: u16,
    /// Why it failed; empty when it was taken.
    pub(super) reason: &'static str,
    /// Seconds that the endpoint asked to be left alone for.
    pub(super) retry_after: Option<i64>,
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It was taken.
    Delivered,
    /// It is tried again then.
    Retry(Time),
    /// It is given up.
    Failed,
}

impl Attempt {
    /// Whether the endpoint took the event.
    pub(super) fn is_taken(self) -> bool {
        self.reason.is_empty()
    }

    /// It failed here, and says nothing about the endpoint.
    pub(super) fn is_ours(self) -> bool {
        self.reason == INTERNAL
    }

    /// The endpoint wants no more events, ever.
    pub(super) fn is_gone(self) -> bool {
        self.status == GONE
    }

    /// Until when the whole endpoint wants to be left alone.
    pub(super) fn rest(self, now: Time) -> Option<Time> {
        let busy = [TOO_MANY, UNAVAILABLE].contains(&self.status);
        let wait = self.retry_after.filter(|_| busy)?;
        Some(now.plus_seconds(wait.clamp(0, LONGEST_WAIT)))
    }

    /// What becomes of the event after so many attempts, this one included. `random` spreads what
    /// failed together.
    pub(super) fn next(self, attempts: i32, now: Time, random: u8) -> Next {
        if self.is_taken() {
            return Next::Delivered;
        }
        if self.is_ours() {
            return Next::Retry(now.plus_seconds(OUR_WAIT + i64::from(random % 16)));
        }
        let wait = usize::try_from(attempts - 1).ok().and_then(|past| WAITS.get(past));
        let Some(wait) = wait else { return Next::Failed };
        let spread = wait * i64::from(random) / (i64::from(u8::MAX) * JITTER);
        let asked = self.retry_after.unwrap_or(0).clamp(0, LONGEST_WAIT);
        Next::Retry(now.plus_seconds((wait + spread).max(asked)))
    }
}

/// Since when every attempt has failed, when one more does now: failures that lie further apart than
/// two attempts say nothing about the time between.
pub(super) fn failing_since(since: Option<Time>, last: Option<Time>, now: Time) -> Time {
    let connected = last.is_some_and(|last| now <= last.plus_seconds(APART));
    since.filter(|_| connected).unwrap_or(now)
}

/// Whether an endpoint of which every attempt has failed since then is given up.
pub(super) fn is_given_up(failing_since: Time, now: Time) -> bool {
    failing_since.plus_seconds(PATIENCE) <= now
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn now() -> Time {
        Time::from_unix_micros(0).unwrap()
    }

    #[test]
    fn an_endpoint_is_a_public_host_by_https() {
        for good in [
            "https://partner.example.org",
            "https://partner.example.org/hooks?from=clinic",
            "https://partner.example.org:8443/hooks",
            "https://8.8.8.8/",
            "https://[2606:4700::1111]:443/x",
            "https://xn--bcher-kva.example/",
        ] {
            assert_eq!(url(good, &[]).unwrap(), good);
        }
        for bad in [
            "",
            "x",
            "/hooks",
            "http://partner.example.org",
            "ftp://partner.example.org",
            "https://",
            "https:///hooks",
            "https://user@partner.example.org/",
            "https://user:word@partner.example.org/",
            "https://@partner.example.org/",
            "https://partner.example.org/#part",
            "https://partner.example.org#part",
            "https://partner.example.org:22/",
            "https://partner.example.org:/",
            "https://partner.example.org:99999/",
            "https://partner.example.org/a b",
            "https://partner.example.org\\@8.8.8.8/",
            "https://partner .example.org/",
            "https://bücher.example/",
            "https://localhost/",
            "https://partner/",
            "https://partner.example.org./",
            "https://127.0.0.1/",
            "https://10.0.0.1:8443/",
            "https://169.254.169.254/latest",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[fe80::1%25eth0]/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0x7f.0.0.1/",
            "https://0177.0.0.1/",
            "https://a.0x7f/",
        ] {
            let error = url(bad, &[]).unwrap_err();
            assert_eq!(error.reason, crate::kernel::error::Reason::InvalidFields, "{bad}");
        }
    }

    #[test]
    fn an_opened_network_is_open() {
        let opened: Vec<Network> = vec!["127.0.0.0/8".parse().unwrap()];
        for good in ["http://127.0.0.1:8080/x", "http://localhost:8080/", "https://8.8.8.8/"] {
            assert!(url(good, &opened).is_ok(), "{good}");
        }
        for bad in ["http://8.8.8.8/", "http://10.0.0.1/", "https://[::1]/", "http://a@127.0.0.1/"]
        {
            assert!(url(bad, &opened).is_err(), "{bad}");
        }
    }

    #[test]
    fn ten_attempts_take_about_three_days() {
        let failed = Attempt { status: 500, reason: "STATUS", retry_after: None };
        for (random, days) in [(0, 2.8..2.9), (u8::MAX, 3.1..3.2)] {
            let (mut time, mut attempts) = (now(), 1);
            while let Next::Retry(next) = failed.next(attempts, time, random) {
                assert!(next > time);
                (time, attempts) = (next, attempts + 1);
            }
            assert_eq!(attempts, 10);
            let seconds = i32::try_from(time.unix_micros() / 1_000_000).unwrap();
            assert!(days.contains(&(f64::from(seconds) / 86_400.0)), "{seconds}");
        }
        assert_eq!(failed.next(i32::MAX, now(), 0), Next::Failed);
        let taken = Attempt { status: 204, reason: "", retry_after: None };
        assert_eq!(taken.next(10, now(), 0), Next::Delivered);
    }

    #[test]
    fn who_asks_to_be_left_alone_is_up_to_a_day() {
        let asks =
            |status, seconds| Attempt { status, reason: "STATUS", retry_after: Some(seconds) };
        let at = |seconds| now().plus_seconds(seconds);
        assert_eq!(asks(500, 90).next(1, now(), 0), Next::Retry(at(90)));
        assert_eq!(asks(500, 2).next(1, now(), 0), Next::Retry(at(5)));
        assert_eq!(asks(429, i64::MAX).next(1, now(), 0), Next::Retry(at(86_400)));
        assert_eq!(asks(500, 90).rest(now()), None);
        assert_eq!(asks(429, 90).rest(now()), Some(at(90)));
        assert_eq!(asks(503, -5).rest(now()), Some(at(0)));
        assert!(asks(410, 0).is_gone() && !asks(404, 0).is_gone());
    }

    #[test]
    fn an_endpoint_is_given_up_after_three_days() {
        assert!(!is_given_up(now(), now().plus_seconds(3 * 86_400 - 1)));
        assert!(is_given_up(now(), now().plus_seconds(3 * 86_400)));
    }

    #[test]
    fn failures_far_apart_are_not_one_and_ours_are_none_of_theirs() {
        let at = |seconds| now().plus_seconds(seconds);
        assert_eq!(failing_since(None, None, at(5)), at(5));
        assert_eq!(failing_since(Some(at(5)), Some(at(9)), at(9 + APART)), at(5));
        assert_eq!(failing_since(Some(at(5)), Some(at(9)), at(10 + APART)), at(10 + APART));
        let ours = Attempt { status: 0, reason: INTERNAL, retry_after: None };
        assert_eq!(ours.next(10, now(), 0), Next::Retry(at(OUR_WAIT)));
    }
}
