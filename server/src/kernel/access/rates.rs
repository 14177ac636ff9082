//! How often a caller may call: public methods by client address, all others by account. What is
//! over is refused before it costs anything, and told when to come again.
//!
//! Calls that turn out to be nobody's, and tickets, count by client address. While that count is
//! empty, all calls of the address that need a caller are refused before the database is asked.
//!
//! The counts are of one process. What must hold for all servers together (guessing, codes sent to
//! phones) is counted in the database, by the identity room.
//!
//! Metric: `clinicd_rate_limited_total{class}`.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::rules::{Class, Rule};
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::AccountId;
use crate::kernel::transport::{Limits, network};

/// After so many calls the callers whose bursts are whole again are forgotten.
const SWEEP_EVERY: u32 = 10_000;
/// Shortest wait that is told.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
/// When so many addresses wait, those that no longer do are forgotten.
const SPENT_KEPT: usize = 10_000;

/// The counts of one process.
#[derive(Debug)]
pub struct Rates {
    sign_in: Option<Meter<IpAddr>>,
    public_reads: Option<Meter<IpAddr>>,
    unauthenticated: Option<Meter<IpAddr>>,
    /// Until when the calls of an address are refused, because too many were nobody's.
    spent: Mutex<HashMap<IpAddr, Instant>>,
    reads: Option<Meter<AccountId>>,
    changes: Option<Meter<AccountId>>,
    medical: Option<Meter<AccountId>>,
}

impl Rates {
    /// The rates that these settings give.
    #[must_use]
    pub fn new(limits: &Limits) -> Arc<Self> {
        fn meter<K: Clone + Eq + Hash>(
            class: &'static str,
            per_minute: u32,
            burst: u32,
        ) -> Option<Meter<K>> {
            Meter::new(class, per_minute, burst, MonotonicClock)
        }
        let l = limits;
        Arc::new(Self {
            sign_in: meter("sign_in", l.sign_in_per_minute, l.sign_in_burst),
            public_reads: meter("public_reads", l.public_reads_per_minute, l.public_reads_burst),
            unauthenticated: meter(
                "unauthenticated",
                l.unauthenticated_per_minute,
                l.unauthenticated_burst,
            ),
            spent: Mutex::default(),
            reads: meter("reads", l.reads_per_minute, l.reads_burst),
            changes: meter("changes", l.changes_per_minute, l.changes_burst),
            medical: meter("medical", l.medical_per_minute, l.medical_burst),
        })
    }

    /// Counts a call of a public method, before anything is done for it. Others pass, unless their
    /// client has made too many that were nobody's.
    pub(super) fn before_work(&self, rule: &Rule, client: Option<IpAddr>) -> Result<()> {
        let meter = match rule.class() {
            Some(Class::SignIn) => &self.sign_in,
            Some(Class::PublicReads) => &self.public_reads,
            Some(Class::Reads | Class::Changes | Class::Medical) => return self.unspent(client),
            None => return Ok(()),
        };
        count(meter.as_ref(), client.map(network))
    }

    /// Counts a visit of a page that anybody may open, like a public read; how long to wait when
    /// there were too many.
    pub fn public_page(&self, client: Option<IpAddr>) -> Result<(), Duration> {
        let (Some(meter), Some(client)) = (&self.public_reads, client.map(network)) else {
            return Ok(());
        };
        meter.take(&client).inspect_err(|wait| drop(meter.refuse(*wait)))
    }

    /// Counts a call that is nobody's, or shows a ticket; refused when there were too many.
    pub(super) fn unauthenticated(&self, client: Option<IpAddr>) -> Result<()> {
        let (Some(meter), Some(client)) = (&self.unauthenticated, client.map(network)) else {
            return Ok(());
        };
        let Err(wait) = meter.take(&client) else { return Ok(()) };
        let now = Instant::now();
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.len() >= SPENT_KEPT {
            spent.retain(|_, until| *until > now);
        }
        spent.insert(client, now + wait);
        Err(meter.refuse(wait))
    }

    /// Refuses a client that has made too many calls that were nobody's.
    fn unspent(&self, client: Option<IpAddr>) -> Result<()> {
        let (Some(meter), Some(client)) = (&self.unauthenticated, client) else { return Ok(()) };
        let until = {
            let spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
            spent.get(&network(client)).copied()
        };
        match until.map(|until| until.saturating_duration_since(Instant::now())) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(wait) => Err(meter.refuse(wait)),
        }
    }

    /// Counts a call of an account. Public ones pass.
    pub(super) fn of_account(&self, rule: &Rule, account: Option<AccountId>) -> Result<()> {
        let meter = match rule.class() {
            Some(Class::Reads) => &self.reads,
            Some(Class::Changes) => &self.changes,
            Some(Class::Medical) => &self.medical,
            _ => return Ok(()),
        };
        count(meter.as_ref(), account)
    }
}

fn count<K: Clone + Eq + Hash>(meter: Option<&Meter<K>>, caller: Option<K>) -> Result<()> {
    let (Some(meter), Some(caller)) = (meter, caller) else { return Ok(()) };
    meter.take(&caller).map_err(|wait| meter.refuse(wait))
}

/// The calls of one class.
#[derive(Debug)]
struct Meter<K: Clone + Eq + Hash, C: Clock = MonotonicClock> {
    class: &'static str,
    limiter: RateLimiter<K, HashMapStateStore<K>, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    taken: AtomicU32,
}

impl<K: Clone + Eq + Hash, C: Clock + Clone> Meter<K, C> {
    /// `burst` calls at once, and `per_minute` in the long run; none when that is 0.
    fn new(class: &'static str, per_minute: u32, burst: u32, clock: C) -> Option<Self> {
        let each = Duration::from_mins(1).checked_div(per_minute)?;
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(each)?.allow_burst(burst);
        let limiter = RateLimiter::hashmap_with_clock(quota, clock.clone());
        Some(Self { class, limiter, clock, taken: AtomicU32::new(0) })
    }

    /// The refusal of a call, which is counted.
    fn refuse(&self, wait: Duration) -> Error {
        metrics::counter!("clinicd_rate_limited_total", "class" => self.class).increment(1);
        Error::of(Reason::RateLimited).retry_after(wait.max(SHORTEST_WAIT))
    }

    /// Takes a call, or tells how long to wait for the next.
    fn take(&self, caller: &K) -> Result<(), Duration> {
        if self.taken.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        let refused = match self.limiter.check_key(caller) {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        Err(refused.wait_time_from(self.clock.now()).max(SHORTEST_WAIT))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use governor::clock::FakeRelativeClock;

    use super::*;
    use crate::kernel::access::rules::Rules;

    fn meter(per_minute: u32, burst: u32) -> (Meter<u32, FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Meter::new("test", per_minute, burst, clock.clone()).unwrap(), clock)
    }

    #[test]
    fn a_caller_has_a_burst_and_then_the_rate() {
        let (meter, clock) = meter(60, 3);
        for _ in 0..3 {
            meter.take(&1).unwrap();
        }
        assert_eq!(meter.take(&1), Err(Duration::from_secs(1)));
        meter.take(&2).unwrap();
        clock.advance(Duration::from_millis(400));
        assert_eq!(meter.take(&1), Err(Duration::from_millis(600)));
        clock.advance(Duration::from_millis(600));
        meter.take(&1).unwrap();
        assert!(meter.take(&1).is_err());
        clock.advance(Duration::from_mins(10));
        assert_eq!((0..9).filter(|_| meter.take(&1).is_ok()).count(), 3);
    }

    #[test]
    fn callers_are_forgotten() {
        let (meter, clock) = meter(60, 3);
        for caller in 0..SWEEP_EVERY * 5 {
            meter.take(&caller).unwrap();
            clock.advance(Duration::from_millis(1));
        }
        let most = usize::try_from(SWEEP_EVERY).unwrap() + 2_000;
        assert!(meter.limiter.len() <= most, "{}", meter.limiter.len());
    }

    #[test]
    fn no_rate_is_no_limit() {
        assert!(Meter::<u32>::new("test", 0, 1, MonotonicClock).is_none());
        let most = Meter::new("test", u32::MAX, u32::MAX, MonotonicClock).unwrap();
        most.take(&1).unwrap();
    }

    #[test]
    fn an_ipv6_customer_is_one_caller() {
        let rates = Rates::new(&Limits { sign_in_burst: 2, ..Limits::default() });
        let rules = Rules::from_descriptors(clinicd_proto::FILE_DESCRIPTOR_SET).unwrap();
        let sign_in = rules.get("/clinicd.identity.v1.AuthService/SignIn").unwrap();
        let from = |text: &str| rates.before_work(sign_in, Some(text.parse().unwrap()));
        from("2001:db8::1").unwrap();
        from("2001:db8::2").unwrap();
        assert_eq!(from("2001:db8::3").unwrap_err().reason, Reason::RateLimited);
        from("2001:db8:0:1::3").unwrap();
        from("192.0.2.1").unwrap();
    }

    #[test]
    fn an_address_of_nobodys_calls_waits_with_all_that_need_a_caller() {
        let limits = Limits { unauthenticated_burst: 2, ..Limits::default() };
        let rules = Rules::from_descriptors(clinicd_proto::FILE_DESCRIPTOR_SET).unwrap();
        let rule = |path: &str| rules.get(path).unwrap();
        let read = rule("/clinicd.identity.v1.AccountService/GetMyAccount");
        let [here, there] = ["192.0.2.1", "192.0.2.2"].map(|text| Some(text.parse().unwrap()));
        let rates = Rates::new(&limits);
        for _ in 0..2 {
            rates.unauthenticated(here).unwrap();
            rates.before_work(read, here).unwrap();
        }
        assert_eq!(rates.unauthenticated(here).unwrap_err().reason, Reason::RateLimited);
        assert_eq!(rates.before_work(read, here).unwrap_err().reason, Reason::RateLimited);
        rates.before_work(read, there).unwrap();
        let sign_in = rule("/clinicd.identity.v1.AuthService/SignIn");
        rates.before_work(sign_in, here).unwrap();
        rates.before_work(rule("/grpc.health.v1.Health/Check"), here).unwrap();

        let rates = Rates::new(&limits.without_rates());
        for _ in 0..10 {
            rates.unauthenticated(here).unwrap();
            rates.before_work(read, here).unwrap();
        }
    }

    #[test]
    fn each_method_is_of_one_class() {
        let rules = Rules::from_descriptors(clinicd_proto::FILE_DESCRIPTOR_SET).unwrap();
        let class = |path: &str| rules.get(path).unwrap().class();
        assert_eq!(class("/clinicd.identity.v1.AuthService/SignIn"), Some(Class::SignIn));
        let search = "/clinicd.directory.v1.DirectoryService/SearchDoctors";
        assert_eq!(class(search), Some(Class::PublicReads));
        let account = "/clinicd.identity.v1.AccountService/GetMyAccount";
        assert_eq!(class(account), Some(Class::Reads));
        assert_eq!(class("/clinicd.identity.v1.AuthService/SignOut"), Some(Class::Changes));
        let note = "/clinicd.journals.v1.VisitNoteService/GetNote";
        assert_eq!(class(note), Some(Class::Medical));
        assert_eq!(class("/grpc.health.v1.Health/Check"), None);
    }
}
