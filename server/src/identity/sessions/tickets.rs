//! Tickets that open one stream, for clients that cannot send headers on one. Only their SHA-256
//! is stored.

use diesel::{OptionalExtension, sql_types};
use diesel_async::RunQueryDsl;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::kernel::access::rules::{Audience, Rule};
use crate::kernel::access::{Caller, SignedIn};
use crate::kernel::crypto::sha256;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::{SessionId, Time};
use crate::statement;

/// Life of a ticket in seconds.
const LIFE_SECONDS: i64 = 60;
/// Characters of a ticket.
const LENGTH: usize = 43;

statement! {
    /// A new ticket.
    InsertTicket {
        ticket_hash: Vec<u8>, session: SessionId, method: &'static str, expires_at: Time,
    },
    "INSERT INTO stream_tickets (ticket_hash, session_id, method, expires_at) \
     VALUES ($1, $2, $3, $4)";

    /// Uses a ticket, once.
    Redeem { ticket_hash: Vec<u8>, method: &'static str, now: Time } -> sql_types::Uuid,
    "UPDATE stream_tickets SET used_at = $3 \
     WHERE ticket_hash = $1 AND method = $2 AND used_at IS NULL AND expires_at > $3 \
     RETURNING session_id";

    /// Forgets what can no longer be used.
    SweepTickets { before: Time }, "DELETE FROM stream_tickets WHERE expires_at < $1";
}

/// `IssueStreamTicket`.
pub(in crate::identity) async fn issue(
    app: &App,
    caller: &Caller,
    request: pb::IssueStreamTicketRequest,
) -> Result<pb::IssueStreamTicketResponse> {
    let signed_in = caller.signed_in()?;
    let rule = app.rules.get(&format!("/{}", request.method));
    let rule = rule.filter(|rule| may_open(rule, signed_in)).ok_or_else(|| {
        Error::field("method", "must be a method that you may call and that answers with a stream")
    })?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let ticket = app.random.token();
        let expires_at = app.clock.now().plus_seconds(LIFE_SECONDS);
        let insert = InsertTicket {
            ticket_hash: sha256(ticket.as_bytes()).to_vec(),
            session: signed_in.session,
            method: rule.method,
            expires_at,
        };
        insert.execute(conn).await?;
        Ok(pb::IssueStreamTicketResponse { ticket, expire_time: Some(expires_at.into()) })
    })
    .await
}

/// Whether this is a stream of ours that is open to the caller's roles.
fn may_open(rule: &Rule, caller: &SignedIn) -> bool {
    let open = match &rule.audience {
        // Needs no ticket.
        Audience::Public => false,
        Audience::SignedIn => true,
        Audience::Roles(roles) => roles.iter().any(|role| caller.roles.contains(role)),
    };
    rule.gives_stream && open
}

/// Uses a ticket for a method, once; its session. The access layer sees to it that the session
/// still lives and what its account may do.
pub(in crate::identity) fn redeem<'a>(
    app: &'a App,
    ticket: &'a str,
    method: &'static str,
) -> BoxFuture<'a, Result<Option<SessionId>>> {
    async move {
        if ticket.len() != LENGTH {
            return Ok(None);
        }
        let ticket_hash = sha256(ticket.as_bytes()).to_vec();
        let mut conn = app.db.read().await?;
        let redeem = Redeem { ticket_hash, method, now: app.clock.now() };
        Ok(redeem.get_result(&mut conn).await.optional()?)
    }
    .boxed()
}

/// Forgets what can no longer be used.
pub(in crate::identity) async fn sweep(conn: &mut Conn, now: Time) -> Result<usize> {
    Ok(SweepTickets { before: now }.execute(conn).await?)
}
