//! G2: a handler that forgets the audit log does not get its answer out.

use std::convert::Infallible;

use clinicd_server::app::App;
use clinicd_server::kernel::access::layer::AccessLayer;
use clinicd_server::kernel::access::rates::Rates;
use clinicd_server::kernel::access::tokens::NewToken;
use clinicd_server::kernel::access::{Caller, SessionFacts, SessionTable, Sessions};
use clinicd_server::kernel::audit::{self, Access, DataType};
use clinicd_server::kernel::db::Conn;
use clinicd_server::kernel::error::Result;
use clinicd_server::kernel::kinds::{AccountId, Role, SessionId};
use clinicd_server::kernel::transport::gates::Gates;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::BodyExt;
use tonic::body::Body;
use tower::{Layer, ServiceExt, service_fn};
use uuid::Uuid;

use crate::scratch::{Scratch, number};

const ANN: Uuid = Uuid::from_u128(1);
const GET_NOTE: &str = "/clinicd.journals.v1.VisitNoteService/GetNote";
const GET_PATIENT: &str = "/clinicd.profiles.v1.PatientService/GetMyPatient";
/// What a handler shows.
const TEXT: &str = "Pulse 72, regular.";

/// What the kernel asks of the sessions of this test.
const SESSIONS: SessionTable = SessionTable {
    find: lookup,
    find_many: |_, _| async { Ok(Vec::new()) }.boxed(),
    find_changed: |_, _, _| async { Ok(Vec::new()) }.boxed(),
    touch: |_, _, facts| async { Ok(Some(facts.expires_at)) }.boxed(),
    redeem: |_, _, _| async { Ok(None) }.boxed(),
};

/// Everybody is a patient.
fn lookup(_: &mut Conn, id: SessionId) -> BoxFuture<'_, Result<Option<SessionFacts>>> {
    let facts = SessionFacts {
        account: AccountId(id.0),
        roles: vec![Role::Patient],
        applicant: false,
        expires_at: jiff::Timestamp::MAX.into(),
        began_at: jiff::Timestamp::UNIX_EPOCH.into(),
        last_used_at: jiff::Timestamp::MAX.into(),
        second_factor: false,
        scopes: None,
    };
    async move { Ok(Some(facts)) }.boxed()
}

/// Calls a method whose handler shows a text, and logs the access or forgets to.
async fn call(app: &App, path: &str, log: bool) -> (Option<String>, String) {
    let rates = Rates::new(&app.config.limits);
    let (sessions, gates) = (Sessions::new(SESSIONS), Gates::new(&app.config));
    let gate = AccessLayer { app: app.clone(), sessions, gates, rates };
    let handler_app = app.clone();
    let handler = service_fn(move |request: Request<Body>| {
        let app = handler_app.clone();
        async move {
            if log {
                let caller = request.extensions().get::<Caller>().unwrap();
                record(&app, caller).await;
            }
            Ok::<_, Infallible>(Response::new(Body::new(TEXT.to_owned())))
        }
    });
    let new = NewToken { id: Uuid::nil(), account: ANN, session: ANN, roles: Vec::new() };
    let token = app.tokens.issue(new, app.clock.now().timestamp()).unwrap();
    let request = Request::post(path)
        .header("content-type", "application/grpc")
        .header("authorization", format!("Bearer {token}"))
        .body(Body::empty())
        .unwrap();
    let response = gate.layer(handler).oneshot(request).await.unwrap();
    let status = response.headers().get("grpc-status");
    let status = status.map(|status| status.to_str().unwrap().to_owned());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn record(app: &App, caller: &Caller) {
    let access = || Access {
        patient: caller.as_patient(),
        data_types: vec![DataType::VisitNote],
        records: Vec::new(),
        rule: "own_record",
    };
    let recorded = app
        .db
        .transaction(async |conn: &mut Conn| audit::record(app, conn, caller, access()).await);
    recorded.await.unwrap();
}

/// With the check of the trail taken out of `AccessLayer::audited` the text leaves. (Tried.)
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_an_audit_entry_is_held_back() {
    let scratch = Scratch::new("held_back").await;
    let app = &scratch.app;
    let internal = Some("13".to_owned());
    assert_eq!(call(app, GET_NOTE, false).await, (internal, String::new()));
    let mut owner = scratch.owner().await;
    let entries = "SELECT count(*) AS n FROM audit_entries";
    assert_eq!(number(&mut owner, entries).await, 0);
    assert_eq!(call(app, GET_NOTE, true).await, (None, TEXT.to_owned()));
    assert_eq!(number(&mut owner, entries).await, 1);
    assert_eq!(call(app, GET_PATIENT, false).await, (None, TEXT.to_owned()), "nothing medical");
}
