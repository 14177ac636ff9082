//! People who book and cancel without a pause, repeat what was not answered, and note every answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clinicd_sdk::proto::appointments::v1::{
    Appointment, BookAppointmentRequest, CancelAppointmentRequest, ListAppointmentsRequest,
};
use clinicd_sdk::proto::directory::v1::SearchDoctorsRequest;
use clinicd_sdk::proto::rpc::Unary;
use clinicd_sdk::{Client, Code, Error, RetryPolicy};
use clinicd_server::kernel::ids::Ids;
use clinicd_tests::{Person, World};
use tokio::task::JoinHandle;

use crate::guarantees::{book, cancel, free_slots};

/// Pause before an unanswered call is repeated.
const AGAIN: Duration = Duration::from_millis(50);
/// Pause between the calls of a reader.
const BREATH: Duration = Duration::from_millis(10);
/// Longest time that a change may take to be answered, repetitions included.
const PATIENCE: Duration = Duration::from_mins(2);

/// One call: when it began, how long it took, and what came of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) began: Instant,
    pub(super) took: Duration,
    pub(super) code: Code,
}

/// What one person did.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) calls: Vec<Call>,
    /// Ids of the appointments that were acknowledged.
    pub(super) booked: Vec<String>,
    /// Ids of those of which the cancellation was acknowledged.
    pub(super) cancelled: Vec<String>,
}

/// A client of the same person at this server, which repeats nothing by itself.
pub(super) fn at(url: &str, person: &Person) -> Client {
    let client = Client::connect_lazy(url).unwrap().with_retry(RetryPolicy::NONE);
    let tokens = person.client.tokens().unwrap();
    client.with_tokens(person.id.clone(), tokens).unwrap().with_deadline(Duration::from_secs(20))
}

/// Everybody at work.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    people: Vec<JoinHandle<Log>>,
}

impl Load {
    /// Each of the crowd books slots of its own and cancels them; as many readers search and list.
    pub(super) async fn start(world: &World, url: &str, doctor: &str, crowd: &[Person]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let slots = free_slots(world, doctor, 2, 8).await;
        let mut people = Vec::new();
        for (number, person) in crowd.iter().enumerate() {
            let client = at(url, person);
            let wishes = slots.iter().skip(number).step_by(crowd.len());
            let wishes = wishes.map(|slot| book(doctor, *slot)).collect();
            let booker = Worker { ids: world.app.ids.clone(), client, log: Log::default() };
            people.push(tokio::spawn(booker.book_and_cancel(wishes, stop.clone())));
            let reader =
                Worker { ids: world.app.ids.clone(), client: at(url, person), log: Log::default() };
            people.push(tokio::spawn(reader.read(stop.clone())));
        }
        Self { stop, people }
    }

    /// Lets everybody finish what they are at; what all of them did.
    pub(super) async fn stop(self) -> Log {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Log::default();
        for person in self.people {
            let log = person.await.unwrap();
            all.calls.extend(log.calls);
            all.booked.extend(log.booked);
            all.cancelled.extend(log.cancelled);
        }
        all.calls.sort_by_key(|call| call.began);
        all
    }
}

struct Worker {
    ids: Ids,
    client: Client,
    log: Log,
}

impl Worker {
    async fn book_and_cancel(
        mut self,
        wishes: Vec<BookAppointmentRequest>,
        stop: Arc<AtomicBool>,
    ) -> Log {
        for wish in wishes.iter().cycle() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let request_id = self.ids.next().to_string();
            let wish = BookAppointmentRequest { request_id, ..wish.clone() };
            let booked: Appointment = self.answered(wish).await.appointment.unwrap();
            self.log.booked.push(booked.id.clone());
            let request_id = self.ids.next().to_string();
            let change = CancelAppointmentRequest { request_id, ..cancel(&booked) };
            self.answered(change).await;
            self.log.cancelled.push(booked.id);
        }
        self.log
    }

    async fn read(mut self, stop: Arc<AtomicBool>) -> Log {
        while !stop.load(Ordering::Relaxed) {
            let search = SearchDoctorsRequest { query: "cardiology".into(), ..Default::default() };
            let _ = self.noted(search).await;
            let _ = self.noted(ListAppointmentsRequest::default()).await;
            tokio::time::sleep(BREATH).await;
        }
        self.log
    }

    /// Repeats a change with the same id until it is answered. Any refusal but "try again" would
    /// mean that it, or another one, was lost or done twice.
    async fn answered<R: Unary>(&mut self, request: R) -> R::Response {
        let ends = Instant::now() + PATIENCE;
        loop {
            match self.noted(request.clone()).await {
                Ok(answer) => return answer,
                Err(error) => assert!(Instant::now() < ends, "{}: {error}", R::PATH),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn noted<R: Unary>(&mut self, request: R) -> Result<R::Response, Error> {
        let began = Instant::now();
        let answer = self.client.send(request).await;
        let code = match &answer {
            Ok(_) => Code::Ok,
            Err(Error::Api(error)) => error.code,
            Err(other) => panic!("{}: {other:?}", R::PATH),
        };
        assert!(
            matches!(code, Code::Ok | Code::Unavailable | Code::Aborted),
            "{}: {:?}",
            R::PATH,
            answer.err()
        );
        self.log.calls.push(Call { began, took: began.elapsed(), code });
        answer
    }
}

impl Log {
    /// The share of good answers to calls that began then, in percent.
    pub(super) fn good_between(&self, from: Instant, until: Instant) -> u32 {
        let calls = self.calls.iter().filter(|call| call.began >= from && call.began < until);
        let (good, all) = calls
            .fold((0, 0), |(good, all), call| (good + u32::from(call.code == Code::Ok), all + 1));
        assert!(all > 0, "nobody called");
        good * 100 / all
    }

    /// How often each code came, for the report of a full run.
    pub(super) fn codes(&self) -> BTreeMap<String, usize> {
        let mut codes = BTreeMap::new();
        for call in &self.calls {
            *codes.entry(format!("{:?}", call.code)).or_default() += 1;
        }
        codes
    }

    /// The longest wait for an answer.
    pub(super) fn slowest(&self) -> Duration {
        self.calls.iter().map(|call| call.took).max().unwrap_or_default()
    }

    /// Nothing that was acknowledged is lost, and nothing was done twice or by half.
    pub(super) async fn agrees_with(&self, world: &World) {
        let mut booked = self.booked.clone();
        booked.sort();
        let kept = world.sql("SELECT id FROM appointments ORDER BY id::text").await.concat();
        assert_eq!(kept, booked);
        let live = "SELECT id FROM appointments WHERE state <> 'cancelled'";
        assert_eq!(world.sql(live).await.len(), booked.len() - self.cancelled.len());
        let events = |kind: &str| {
            format!("(SELECT count(*) FROM events WHERE event_type = 'appointment.{kind}')")
        };
        let answers = |method: &str| {
            format!(
                "(SELECT count(*) FROM stored_answers WHERE answer IS NOT NULL \
                 AND method LIKE '%/{method}')"
            )
        };
        let [booked, cancelled] =
            [&self.booked, &self.cancelled].map(|list| list.len().to_string());
        let sql = format!(
            "SELECT {}, {}, {}, {}",
            events("booked"),
            answers("BookAppointment"),
            events("cancelled"),
            answers("CancelAppointment"),
        );
        let found = world.sql(&sql).await.concat();
        assert_eq!(found, [booked.clone(), booked, cancelled.clone(), cancelled]);
    }
}
