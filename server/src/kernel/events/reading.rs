//! The feed as it is read: positions, who sees what, and how far back it reaches.

use diesel::OptionalExtension;
use diesel::sql_types;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::ResourceKind;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::Result;
use crate::kernel::kinds::{AccountId, DoctorId, PatientId, Time};
use crate::statement;

/// Columns of [`FeedRow`] as SQL types.
type FeedSql = (
    sql_types::Uuid,
    sql_types::BigInt,
    sql_types::BigInt,
    sql_types::Timestamptz,
    sql_types::Text,
    sql_types::Text,
    sql_types::Uuid,
    sql_types::Nullable<sql_types::Uuid>,
    sql_types::Nullable<sql_types::Uuid>,
    sql_types::Nullable<sql_types::Uuid>,
    sql_types::Nullable<sql_types::Uuid>,
    sql_types::Bool,
);

statement! {
    /// Looks at up to `scan` events after a position that no running transaction can still
    /// precede, and gives those that the viewer may see. Where fewer than `limit` are found, a last
    /// row that is not for the viewer tells how far it looked.
    EventsAfter {
        xid: i64, seq: i64, scan: i64, kinds: List<ResourceKind>, everything: bool, account: Uuid,
        doctor: bool, staff: List<ResourceKind>, limit: i64,
    } -> (sql_types::Bool, FeedSql),
    "WITH scanned AS ( \
        SELECT id, xid, seq, created_at, event_type, resource_kind, resource_id, account_id, \
            patient_id, doctor_id, actor_id, stand_in \
        FROM events \
        WHERE (xid, seq) > ($1, $2) \
          AND xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint \
        ORDER BY xid, seq LIMIT $3), \
     visible AS ( \
        SELECT * FROM scanned \
        WHERE (cardinality($4::text[]) = 0 OR resource_kind = ANY ($4)) \
          AND ($5 OR resource_kind = ANY ($8) OR account_id = $6 OR ($7 AND doctor_id = $6) \
            OR patient_id IN (SELECT p.id FROM patients p WHERE p.account_id = $6)) \
        ORDER BY xid, seq LIMIT $9) \
     SELECT true, * FROM visible \
     UNION ALL \
     (SELECT false, * FROM scanned WHERE (SELECT count(*) FROM visible) < $9 \
      ORDER BY xid DESC, seq DESC LIMIT 1) \
     ORDER BY xid, seq";

    /// Whether readers may have come as far as this transaction, and whether events behind this
    /// position have been swept.
    PlaceOf { xid: i64, seq: i64 } -> (sql_types::Bool, sql_types::Bool),
    "SELECT $1 < pg_snapshot_xmin(pg_current_snapshot())::text::bigint, ($1, $2) < (xid, seq) \
     FROM feed_horizon";

    /// The position up to which the feed has been swept.
    FeedHorizon {} -> (sql_types::BigInt, sql_types::BigInt),
    "SELECT xid, seq FROM feed_horizon";

    /// All events after a position that no running transaction can still precede, each with the
    /// account that its patient belongs to at this moment.
    NewEvents { xid: i64, seq: i64, limit: i64 }
        -> (FeedSql, sql_types::Nullable<sql_types::Uuid>),
    "SELECT e.*, p.account_id AS owner_id FROM ( \
        SELECT id, xid, seq, created_at, event_type, resource_kind, resource_id, account_id, \
            patient_id, doctor_id, actor_id, stand_in \
        FROM events \
        WHERE (xid, seq) > ($1, $2) \
          AND xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint \
        ORDER BY xid, seq LIMIT $3) e \
     LEFT JOIN patients p ON p.id = e.patient_id \
     ORDER BY e.xid, e.seq";

    /// Sweeps the oldest events; how many there were.
    SweepEvents { before: Time, batch: i32 } -> sql_types::BigInt,
    "SELECT sweep_events($1, $2)";

    /// The position of the newest event that readers may take.
    FeedEnd {} -> (sql_types::BigInt, sql_types::BigInt),
    "SELECT xid, seq FROM events WHERE xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint \
     ORDER BY xid DESC, seq DESC LIMIT 1";
}

/// A place in the feed: everything up to it has been read.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Position {
    /// Transaction.
    pub xid: i64,
    /// Sequence within it.
    pub seq: i64,
}

/// An event as readers find it.
#[derive(Debug, Clone, diesel::Queryable)]
pub struct FeedRow {
    /// Id of the event.
    pub id: Uuid,
    /// Its transaction.
    pub xid: i64,
    /// Its sequence.
    pub seq: i64,
    /// When it happened.
    pub created_at: Time,
    /// What happened.
    pub event_type: String,
    /// To what kind of resource.
    pub kind: ResourceKind,
    /// To which one.
    pub resource: Uuid,
    /// The account that may see it.
    pub account: Option<AccountId>,
    /// The patient whose account may see it.
    pub patient: Option<PatientId>,
    /// The doctor who may see it.
    pub doctor: Option<DoctorId>,
    /// Who made the change; none when the server did.
    pub actor: Option<AccountId>,
    /// An admin in the place of missing staff.
    pub stand_in: bool,
}

impl FeedRow {
    /// The position behind this event.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { xid: self.xid, seq: self.seq }
    }
}

/// Events looked at by one read; it bounds the cost for a viewer who sees few of them.
const SCAN: i64 = 5_000;

/// Who reads, and so what is shown. Judged anew by every read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// Sees what concerns this account and the patients that belong to it.
    pub account: AccountId,
    /// Sees as well what concerns the doctor of the same id.
    pub doctor: bool,
    /// Sees all events of these kinds.
    pub staff: Vec<ResourceKind>,
    /// Sees all events.
    pub everything: bool,
}

impl Viewer {
    /// Whether this event is shown: the same in memory as `EventsAfter` says in SQL.
    #[must_use]
    pub fn sees(&self, event: &NewRow) -> bool {
        let NewRow { row, owner } = event;
        self.everything
            || self.staff.contains(&row.kind)
            || row.account == Some(self.account)
            || *owner == Some(self.account)
            || (self.doctor && row.doctor == Some(self.account.into()))
    }

    /// Whether all resources of this kind are shown.
    #[must_use]
    pub fn sees_all(&self, kind: ResourceKind) -> bool {
        self.everything || self.staff.contains(&kind)
    }

    /// A reader inside the server.
    pub const SERVER: Self = Self {
        account: AccountId(Uuid::nil()),
        doctor: false,
        staff: Vec::new(),
        everything: true,
    };
}

/// What one read has found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Events for the viewer, in feed order.
    pub events: Vec<FeedRow>,
    /// Everything up to here has been looked at, also what the viewer may not see.
    pub position: Position,
    /// Nothing lies behind that position at this moment.
    pub is_end: bool,
}

/// Reads up to `limit` events after a position, in feed order; all kinds when `kinds` is empty. It
/// looks at no more than a few thousand events, so that it may find none although there are more.
pub async fn read_after(
    conn: &mut Conn,
    after: Position,
    viewer: &Viewer,
    kinds: &[ResourceKind],
    limit: i64,
) -> Result<Found> {
    let query = EventsAfter {
        xid: after.xid,
        seq: after.seq,
        scan: SCAN.max(limit),
        kinds: List(kinds.to_vec()),
        everything: viewer.everything,
        account: viewer.account.0,
        doctor: viewer.doctor,
        staff: List(viewer.staff.clone()),
        limit,
    };
    let rows: Vec<(bool, FeedRow)> = query.get_results(conn).await?;
    let position = rows.last().map_or(after, |(_, row)| row.position());
    let events: Vec<FeedRow> =
        rows.into_iter().filter_map(|(shown, row)| shown.then_some(row)).collect();
    Ok(Found { events, position, is_end: position == after })
}

/// The end of the feed at this moment; its horizon when nothing is left.
pub async fn end(conn: &mut Conn) -> Result<Position> {
    let last: Option<(i64, i64)> = FeedEnd {}.get_result(conn).await.optional()?;
    match last {
        Some((xid, seq)) => Ok(Position { xid, seq }),
        None => horizon(conn).await,
    }
}

/// Where a position lies in the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Everything behind it can be read.
    Readable,
    /// Something behind it has been swept: whoever goes on from there misses it.
    Swept,
    /// This feed has never given it: so after a restore into a cluster whose transactions have
    /// lower numbers.
    Unknown,
}

/// Where a position lies. A reader asks this *after* it has read on from there: what was swept
/// before the reading, or while it went on, is told.
pub async fn place(conn: &mut Conn, position: Position) -> Result<Place> {
    let Position { xid, seq } = position;
    let (known, swept): (bool, bool) = PlaceOf { xid, seq }.get_result(conn).await?;
    Ok(match (known, swept) {
        (_, true) => Place::Swept,
        (true, false) => Place::Readable,
        (false, false) => Place::Unknown,
    })
}

/// Where the feed begins: everything up to this position has been swept.
pub async fn horizon(conn: &mut Conn) -> Result<Position> {
    let (xid, seq) = FeedHorizon {}.get_result(conn).await?;
    Ok(Position { xid, seq })
}

/// An event, and the account that its patient belongs to at the moment of reading.
#[derive(Debug, Clone, diesel::Queryable)]
pub struct NewRow {
    /// The event.
    pub row: FeedRow,
    /// Whose patient it is about.
    pub owner: Option<AccountId>,
}

/// Reads up to `limit` events after a position, in feed order, whoever may see them.
pub async fn new_rows(conn: &mut Conn, after: Position, limit: i64) -> Result<Vec<NewRow>> {
    Ok(NewEvents { xid: after.xid, seq: after.seq, limit }.get_results(conn).await?)
}

/// Sweeps up to `batch` events that are older than this and the oldest of all, in a transaction of
/// its own; how many it were. Those of the last week stay.
pub async fn sweep(conn: &mut Conn, before: Time, batch: i32) -> Result<i64> {
    Ok(SweepEvents { before, batch }.get_result(conn).await?)
}
