//! The rooms feed and audit through the real server.

use std::time::{Duration, Instant};

use clinicd_proto::audit::v1 as audit;
use clinicd_proto::feed::v1 as feed;
use clinicd_server::kernel::access::tokens::NewToken;
use clinicd_server::kernel::access::{KnownSession, SessionFacts, SessionTable};
use clinicd_server::kernel::db::Conn;
use clinicd_server::kernel::error::Result;
use clinicd_server::kernel::events::{Event, ResourceKind};
use clinicd_server::kernel::kinds::{AccountId, Role, SessionId, Time};
use clinicd_server::serve;
use diesel_async::RunQueryDsl;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Streaming};
use uuid::Uuid;

use crate::scratch::{Scratch, run};

type Feed = feed::feed_service_client::FeedServiceClient<Channel>;
type Audit = audit::audit_service_client::AuditServiceClient<Channel>;

const ANN: Uuid = Uuid::from_u128(1);
const BOSS: Uuid = Uuid::from_u128(2);

/// What the kernel asks of the sessions of this test.
const SESSIONS: SessionTable = SessionTable {
    find: lookup,
    find_many,
    find_changed,
    touch: |_, _, facts| async { Ok(Some(facts.expires_at)) }.boxed(),
    redeem: |_, _, _| async { Ok(None) }.boxed(),
};

/// Sessions as a table of this test has them; each has the id of its account.
fn lookup(conn: &mut Conn, id: SessionId) -> BoxFuture<'_, Result<Option<SessionFacts>>> {
    async move {
        let live = diesel::sql_query(format!("UPDATE live SET id = id WHERE id = '{id}'"));
        let roles = if id.0 == BOSS { vec![Role::Admin] } else { vec![Role::Patient] };
        let facts = SessionFacts {
            account: AccountId(id.0),
            roles,
            applicant: false,
            expires_at: jiff::Timestamp::MAX.into(),
            began_at: jiff::Timestamp::UNIX_EPOCH.into(),
            last_used_at: jiff::Timestamp::MAX.into(),
            second_factor: false,
            scopes: None,
        };
        Ok((live.execute(conn).await? == 1).then_some(facts))
    }
    .boxed()
}

fn find_many(
    conn: &mut Conn,
    ids: Vec<SessionId>,
) -> BoxFuture<'_, Result<Vec<(SessionId, SessionFacts)>>> {
    async move {
        let mut found = Vec::new();
        for id in ids {
            found.extend(lookup(conn, id).await?.map(|facts| (id, facts)));
        }
        Ok(found)
    }
    .boxed()
}

fn find_changed(
    conn: &mut Conn,
    _: Time,
    known: Vec<KnownSession>,
) -> BoxFuture<'_, Result<Vec<SessionId>>> {
    async move {
        let mut changed = Vec::new();
        for known in known {
            if lookup(conn, known.id).await?.is_none() {
                changed.push(known.id);
            }
        }
        Ok(changed)
    }
    .boxed()
}

/// A server with a patient and an admin who are signed in.
struct World {
    scratch: Scratch,
    channel: Channel,
}

impl World {
    async fn new(name: &str) -> Self {
        let mut scratch = Scratch::new(name).await;
        let mut owner = scratch.owner().await;
        run(&mut owner, "CREATE TABLE live (id uuid PRIMARY KEY)").await;
        run(&mut owner, "SET session_replication_role = replica").await;
        for id in [ANN, BOSS] {
            run(&mut owner, &format!("INSERT INTO live VALUES ('{id}')")).await;
            let patient = format!(
                "INSERT INTO patients (id, account_id, given_name, family_name, created_at, \
                 updated_at) VALUES ('{id}', '{id}', 'A', 'B', now(), now())"
            );
            run(&mut owner, &patient).await;
        }
        let config = clinicd_server::config::Config {
            listen: ([127, 0, 0, 1], 0).into(),
            ..scratch.app.config.as_ref().clone()
        };
        scratch.app.config = config.into();
        let running = serve::start(scratch.app.clone(), &scratch.url, SESSIONS).await.unwrap();
        let url = format!("http://{}", running.address);
        let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
        Self { scratch, channel }
    }

    fn by<T>(&self, account: Uuid, message: T) -> Request<T> {
        let new = NewToken { id: Uuid::nil(), account, session: account, roles: Vec::new() };
        let token = self.scratch.app.tokens.issue(new, self.scratch.app.clock.now().timestamp());
        let mut request = Request::new(message);
        let bearer = MetadataValue::try_from(format!("Bearer {}", token.unwrap())).unwrap();
        request.metadata_mut().insert("authorization", bearer);
        request
    }

    async fn watch(&self, account: Uuid, token: &str) -> Streaming<feed::WatchResponse> {
        let request = feed::WatchRequest { resume_token: token.into(), ..Default::default() };
        let mut client = Feed::new(self.channel.clone());
        let mut stream = client.watch(self.by(account, request)).await.unwrap().into_inner();
        let first = next(&mut stream).await;
        assert!(first.event.is_none() && !first.resume_token.is_empty());
        stream
    }

    async fn emit(&self, number: u128, account: Uuid) {
        let event = Event {
            event_type: "account.changed",
            kind: ResourceKind::Account,
            resource: Uuid::from_u128(number),
            account: Some(AccountId(account)),
            patient: None,
            doctor: None,
        };
        let app = &self.scratch.app;
        app.db.transaction(async |conn| app.events.emit(conn, event).await).await.unwrap();
    }

    async fn forget(&self, account: Uuid) {
        let mut owner = self.scratch.owner().await;
        run(&mut owner, &format!("DELETE FROM live WHERE id = '{account}'")).await;
    }
}

async fn next(stream: &mut Streaming<feed::WatchResponse>) -> feed::WatchResponse {
    let next = tokio::time::timeout(Duration::from_secs(20), stream.message());
    next.await.unwrap().unwrap().unwrap()
}

fn number(message: &feed::WatchResponse) -> u128 {
    message.event.as_ref().unwrap().resource_id.parse::<Uuid>().unwrap().as_u128()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_shows_what_is_the_callers_and_resumes() {
    let world = World::new("stream_resume").await;
    let mut ann = world.watch(ANN, "").await;
    let mut boss = world.watch(BOSS, "").await;
    for (resource, account) in [(10, BOSS), (11, ANN), (12, BOSS), (13, ANN)] {
        world.emit(resource, account).await;
    }
    let first = next(&mut ann).await;
    assert_eq!((number(&first), number(&next(&mut ann).await)), (11, 13));
    for expected in 10..=13 {
        assert_eq!(number(&next(&mut boss).await), expected);
    }
    drop(ann);
    world.emit(14, ANN).await;
    let mut again = world.watch(ANN, &first.resume_token).await;
    assert_eq!((number(&next(&mut again).await), number(&next(&mut again).await)), (13, 14));
    // Idle for 15 seconds.
    let begun = Instant::now();
    assert!(next(&mut again).await.event.is_none());
    assert!(begun.elapsed() > Duration::from_secs(14), "{:?}", begun.elapsed());

    let mut client = Feed::new(world.channel.clone());
    let list = |token: &str, max_events| feed::ListEventsRequest {
        resume_token: token.into(),
        kinds: Vec::new(),
        max_events,
    };
    let all = client.list_events(world.by(ANN, list("", 0))).await.unwrap().into_inner();
    assert_eq!(all.events.len(), 3);
    let one = client.list_events(world.by(BOSS, list("", 1))).await.unwrap().into_inner();
    let rest = list(&one.resume_token, 0);
    let rest = client.list_events(world.by(BOSS, rest)).await.unwrap().into_inner();
    assert_eq!((one.events.len(), rest.events.len()), (1, 4));
    let damaged = list(&format!("{}A", one.resume_token), 0);
    let refused = client.list_events(world.by(ANN, damaged)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_session_and_with_the_server() {
    let world = World::new("stream_end").await;
    let mut ann = world.watch(ANN, "").await;
    let mut boss = world.watch(BOSS, "").await;
    world.forget(ANN).await;
    let begun = Instant::now();
    let ended = ann.message().await.unwrap_err();
    assert_eq!(ended.code(), Code::Unauthenticated);
    assert!(begun.elapsed() < Duration::from_millis(2_500), "{:?}", begun.elapsed());
    world.scratch.app.stop.cancel();
    let last = boss.message().await.unwrap().unwrap();
    assert!(last.event.is_none() && !last.resume_token.is_empty());
    let ended = boss.message().await.unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_the_log_is_logged_and_not_on_its_own_page() {
    let world = World::new("stream_audit").await;
    let mut client = Audit::new(world.channel.clone());
    let mine = || world.by(ANN, audit::ListMyAccessLogRequest::default());
    for read in 0..3 {
        let page = client.list_my_access_log(mine()).await.unwrap().into_inner();
        assert_eq!(page.entries.len(), read, "the entry about a reading is not on its page");
        for entry in page.entries {
            assert_eq!((entry.rule.as_str(), entry.client_address.as_str()), ("own_record", ""));
            assert_eq!(entry.actor_roles, [1]);
        }
    }
    let search = audit::SearchAuditLogRequest {
        page_size: 2,
        actor_id: Some(ANN.to_string()),
        ..Default::default()
    };
    let first = client.search_audit_log(world.by(BOSS, search.clone())).await.unwrap();
    let first = first.into_inner();
    assert_eq!(first.entries.len(), 2);
    assert!(
        first.entries[0].id > first.entries[1].id && !first.entries[0].client_address.is_empty()
    );
    let more = audit::SearchAuditLogRequest { page_token: first.next_page_token, ..search };
    let last = client.search_audit_log(world.by(BOSS, more.clone())).await.unwrap().into_inner();
    assert_eq!((last.entries.len(), last.next_page_token.as_str()), (1, ""));
    let other = audit::SearchAuditLogRequest { actor_id: Some(BOSS.to_string()), ..more };
    let refused = client.search_audit_log(world.by(BOSS, other.clone())).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "the token is bound to the filter");
    let other = audit::SearchAuditLogRequest { page_token: String::new(), ..other };
    let searches = client.search_audit_log(world.by(BOSS, other)).await.unwrap().into_inner();
    assert!(searches.entries.iter().all(|entry| entry.rule == "admin_search"));
    assert_eq!(searches.entries.len(), 2);
    let refused = client
        .search_audit_log(world.by(ANN, audit::SearchAuditLogRequest::default()))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let verify = world.by(BOSS, audit::VerifyAuditChainRequest {});
    let report = client.verify_audit_chain(verify).await.unwrap().into_inner();
    assert!(report.whole && report.fault.is_empty() && report.first_bad_entry_id.is_empty());
}
