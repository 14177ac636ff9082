//! Events go from the feed into the deliveries of an endpoint, and its cursor with them.

use diesel::sql_types;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::rows::EndpointId;
use super::turns::{Held, RestEndpoint};
use crate::app::App;
use crate::feed::rules as feed_rules;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::Result;
use crate::kernel::events::{self, FeedRow, Position, ResourceKind};
use crate::kernel::kinds::{Role, Time};
use crate::statement;

/// Events that are taken over at a time.
const BATCH: i64 = 500;
/// With so many events waiting the others stay in the feed.
const WAITING: i64 = 5_000;
/// How long an endpoint with so many is left alone, in seconds: nothing of it is due.
const FULL_SECONDS: i64 = 1;

statement! {
    /// How many events wait up to the cursor, counted up to a limit.
    CountWaiting { endpoint: EndpointId, xid: i64, seq: i64, limit: i64 } -> sql_types::BigInt,
    "SELECT count(*) FROM (SELECT FROM webhook_deliveries \
        WHERE endpoint_id = $1 AND state = 'pending' AND (xid, seq) <= ($2, $3) LIMIT $4) waiting";

    /// Takes events over. One that was ended comes again: somebody asked for a replay.
    InsertDeliveries {
        endpoint: EndpointId, now: Time, ids: List<Uuid>, events: List<Uuid>,
        types: List<String>, xids: List<i64>, seqs: List<i64>, kinds: List<ResourceKind>,
        resources: List<Uuid>, times: List<Time>,
    },
    "INSERT INTO webhook_deliveries AS known (id, endpoint_id, event_id, event_type, xid, seq, \
        resource_kind, resource_id, event_time, state, created_at) \
     SELECT e.id, $1, e.event_id, e.event_type, e.xid, e.seq, e.kind, e.resource_id, e.event_time, \
        'pending', $2 \
     FROM unnest($3, $4, $5, $6, $7, $8, $9, $10) \
        AS e (id, event_id, event_type, xid, seq, kind, resource_id, event_time) \
     ON CONFLICT (endpoint_id, event_id) DO UPDATE SET state = 'pending', attempts = 0, \
        next_at = NULL, status_code = 0, reason = '', ended_at = NULL \
     WHERE known.state <> 'pending'";

    /// Gives the first waiting event of each of these resources its turn.
    BeginTurns { endpoint: EndpointId, now: Time, resources: List<Uuid> },
    "UPDATE webhook_deliveries d SET next_at = $2 \
     FROM unnest($3) AS r (id) CROSS JOIN LATERAL ( \
        SELECT w.id FROM webhook_deliveries w \
        WHERE w.endpoint_id = $1 AND w.state = 'pending' AND w.resource_id = r.id \
        ORDER BY w.xid, w.seq LIMIT 1) first \
     WHERE d.id = first.id AND d.next_at IS NULL";

    /// Gives the first waiting event of each resource its turn, wherever none has it: what was
    /// before it has gone.
    BeginAllTurns { endpoint: EndpointId, now: Time, xid: i64, seq: i64 },
    "UPDATE webhook_deliveries d SET next_at = $2 \
     FROM (SELECT DISTINCT ON (w.resource_id) w.id FROM webhook_deliveries w \
        WHERE w.endpoint_id = $1 AND w.state = 'pending' AND (w.xid, w.seq) <= ($3, $4) \
        ORDER BY w.resource_id, w.xid, w.seq) first \
     WHERE d.id = first.id AND d.next_at IS NULL";

    /// Moves the cursor; `missed`: events had left the feed before they were taken over.
    MoveCursor { id: EndpointId, xid: i64, seq: i64, missed: Option<Time> },
    "UPDATE webhook_endpoints SET cursor_xid = $2, cursor_seq = $3, \
        missed_at = coalesce($4, missed_at) WHERE id = $1";
}

/// Takes over what comes next in the feed. False when there is nothing, or when so much waits that
/// it stays there. `idle`: nothing is due, and nothing is being sent.
pub(super) async fn take_over(
    app: &App,
    conn: &mut Conn,
    held: &Held,
    idle: bool,
    now: Time,
) -> Result<bool> {
    let (id, Position { xid, seq }) = (held.id, held.cursor());
    let count = CountWaiting { endpoint: id, xid, seq, limit: WAITING };
    let waiting: i64 = count.get_result(conn).await?;
    if waiting >= WAITING {
        if idle {
            RestEndpoint { id, until: now.plus_seconds(FULL_SECONDS) }.execute(conn).await?;
        }
        return Ok(false);
    }
    // Events carry no content: whoever may have webhooks hears of everything, as an admin does.
    let viewer = feed_rules::viewer(held.account(), &[Role::Admin], None);
    let found = events::read_after(conn, held.cursor(), &viewer, &held.kinds, BATCH).await?;
    // Asked after the reading, so that it tells what was swept before it.
    let horizon = events::horizon(conn).await?;
    let missed = held.cursor() < horizon;
    if found.is_end && !missed {
        return Ok(false);
    }
    if !found.events.is_empty() {
        insert(app, conn, id, found.events, now).await?;
    }
    let Position { xid, seq } = found.position.max(horizon);
    MoveCursor { id, xid, seq, missed: missed.then_some(now) }.execute(conn).await?;
    if missed {
        // What a replay kept, but the feed has no longer, is not in any batch.
        begin_all_turns(conn, id, Position { xid, seq }, now).await?;
    }
    Ok(true)
}

/// Gives each resource that waits a turn, up to this cursor.
pub(super) async fn begin_all_turns(
    conn: &mut Conn,
    endpoint: EndpointId,
    cursor: Position,
    now: Time,
) -> Result<()> {
    BeginAllTurns { endpoint, now, xid: cursor.xid, seq: cursor.seq }.execute(conn).await?;
    Ok(())
}

async fn insert(
    app: &App,
    conn: &mut Conn,
    endpoint: EndpointId,
    events: Vec<FeedRow>,
    now: Time,
) -> Result<()> {
    let resources = List(events.iter().map(|event| event.resource).collect());
    let begin = BeginTurns { endpoint, now, resources: resources.clone() };
    let insert = InsertDeliveries {
        endpoint,
        now,
        ids: List(events.iter().map(|_| app.ids.next()).collect()),
        events: List(events.iter().map(|event| event.id).collect()),
        xids: List(events.iter().map(|event| event.xid).collect()),
        seqs: List(events.iter().map(|event| event.seq).collect()),
        kinds: List(events.iter().map(|event| event.kind).collect()),
        resources,
        times: List(events.iter().map(|event| event.created_at).collect()),
        types: List(events.into_iter().map(|event| event.event_type).collect()),
    };
    insert.execute(conn).await?;
    begin.execute(conn).await?;
    Ok(())
}
