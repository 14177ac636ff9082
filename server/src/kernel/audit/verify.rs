//! Verification: recomputes the chain, compares it with the signed heads, and names the first bad
//! entry.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use diesel::OptionalExtension;
use diesel::sql_types;
use diesel_async::RunQueryDsl;
use tokio::io::{AsyncBufReadExt, BufReader};
use uuid::Uuid;

use super::chain::{Entry, GENESIS, HASH};
use super::sealer::{EntrySql, SignedHead, heads_file};
use crate::kernel::crypto::Macs;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::Time;
use crate::statement;

/// Links read at a time.
const BATCH: i64 = 2_000;
/// An entry that is not sealed this long after it was written is a fault.
pub const UNSEALED_LIMIT_SECONDS: i64 = 60;

statement! {
    /// The next links with their entries.
    Links { after: i64, limit: i64 }
        -> (
            sql_types::BigInt, sql_types::Uuid, sql_types::Binary, sql_types::Nullable<EntrySql>,
        ),
    "SELECT c.position, c.entry_id, c.hash, e.id, e.xid, e.seq, e.created_at, e.actor_id, \
        e.actor_roles, e.session_id, e.client_address, e.method, e.patient_id, e.data_types, \
        e.record_ids, e.outcome, e.rule, e.request_id \
     FROM audit_chain c LEFT JOIN audit_entries e ON e.id = c.entry_id \
     WHERE c.position > $1 ORDER BY c.position LIMIT $2";

    /// The first entry between two places (the first excluded) that is not part of the chain.
    Unlinked { xid: i64, seq: i64, to_xid: i64, to_seq: i64, before: Option<Time> }
        -> sql_types::Uuid,
    "SELECT e.id FROM audit_entries e \
     WHERE (e.xid, e.seq) > ($1, $2) AND (e.xid, e.seq) <= ($3, $4) \
       AND ($5 IS NULL OR e.created_at < $5) \
       AND NOT EXISTS (SELECT FROM audit_chain c WHERE c.entry_id = e.id) \
     ORDER BY e.xid, e.seq LIMIT 1";
}

/// What is wrong, and with which entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The entry, when one can be named.
    pub entry: Option<Uuid>,
    /// What is wrong.
    pub what: &'static str,
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Links checked.
    pub checked: i64,
    /// The first fault; none when the chain is whole.
    pub fault: Option<Fault>,
}

#[derive(diesel::Queryable)]
struct Link {
    position: i64,
    entry_id: Uuid,
    hash: Vec<u8>,
    entry: Option<Entry>,
}

/// What stands behind the last place.
const END: (i64, i64) = (i64::MAX, i64::MAX);

/// Verifies the whole chain against the heads kept in `folder`, in batches, while entries are
/// added.
pub async fn verify(conn: &mut Conn, macs: &Macs, folder: &Path, now: Time) -> Result<Report> {
    // Before the chain: a head is written after its links.
    let heads = match read_heads(folder, macs).await? {
        Ok(heads) => heads,
        Err(fault) => return Ok(Report { checked: 0, fault: Some(fault) }),
    };
    let mut walk = Walk { position: 0, hash: GENESIS.to_vec(), place: (0, 0), heads };
    loop {
        let (from, after) = (walk.place, walk.position);
        let links: Vec<Link> = Links { after, limit: BATCH }.get_results(conn).await?;
        if links.is_empty() {
            break;
        }
        if let Some(fault) = links.into_iter().find_map(|link| walk.step(link)) {
            return Ok(Report { checked: walk.position, fault: Some(fault) });
        }
        if let Some(id) = unlinked(conn, from, walk.place, None).await? {
            let fault = fault(Some(id), "the entry was put in behind the chain");
            return Ok(Report { checked: walk.position, fault: Some(fault) });
        }
    }
    let checked = walk.position;
    if walk.heads.range(checked + 1..).next().is_some() {
        let fault = fault(None, "the chain is shorter than a signed head: its tail was cut off");
        return Ok(Report { checked, fault: Some(fault) });
    }
    let before = now.plus_seconds(-UNSEALED_LIMIT_SECONDS);
    let overdue = unlinked(conn, walk.place, END, Some(before)).await?;
    let fault = overdue.map(|id| fault(Some(id), "the entry is not part of the chain"));
    Ok(Report { checked, fault })
}

async fn unlinked(
    conn: &mut Conn,
    (xid, seq): (i64, i64),
    (to_xid, to_seq): (i64, i64),
    before: Option<Time>,
) -> Result<Option<Uuid>> {
    Ok(Unlinked { xid, seq, to_xid, to_seq, before }.get_result(conn).await.optional()?)
}

/// How far the verification has come.
struct Walk {
    position: i64,
    hash: Vec<u8>,
    place: (i64, i64),
    heads: Heads,
}

impl Walk {
    /// Goes over one link; stays before it when it is bad.
    fn step(&mut self, link: Link) -> Option<Fault> {
        if let Some(fault) = check_link(&link, self.position + 1, &self.hash, self.place) {
            return Some(fault);
        }
        if self.heads.get(&link.position).is_some_and(|head| head.as_slice() != link.hash) {
            return Some(fault(Some(link.entry_id), "the chain differs from a signed head"));
        }
        self.position = link.position;
        self.place = link.entry.map_or(self.place, |entry| (entry.xid, entry.seq));
        self.hash = link.hash;
        None
    }
}

fn check_link(link: &Link, expected: i64, previous: &[u8], place: (i64, i64)) -> Option<Fault> {
    let bad = |what| Some(fault(Some(link.entry_id), what));
    if link.position != expected {
        return bad("a link before this entry is missing");
    }
    let Some(entry) = &link.entry else { return bad("the entry is missing") };
    if (entry.xid, entry.seq) <= place {
        return bad("the entry is out of order");
    }
    if entry.hash(previous, link.position).as_slice() != link.hash {
        return bad("the entry was changed");
    }
    None
}

fn fault(entry: Option<Uuid>, what: &'static str) -> Fault {
    Fault { entry, what }
}

/// Hashes of signed heads by position, 40 bytes each.
type Heads = BTreeMap<i64, [u8; HASH]>;

async fn read_heads(folder: &Path, macs: &Macs) -> Result<Result<Heads, Fault>> {
    let mut heads = Heads::new();
    let file = match tokio::fs::File::open(heads_file(folder)).await {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Ok(heads)),
        Err(error) => return Err(Error::internal(error)),
    };
    let mut lines = BufReader::new(file).lines();
    while let Some(line) = lines.next_line().await.map_err(Error::internal)? {
        // A line cut short by a crash says nothing; the next head covers the same entries.
        let Ok(head) = serde_json::from_str::<SignedHead>(&line) else { continue };
        let mut hash = [0; HASH];
        if !head.is_genuine(macs) || hex::decode_to_slice(&head.hash, &mut hash).is_err() {
            return Ok(Err(fault(None, "a signed head is not genuine")));
        }
        if heads.insert(head.position, hash).is_some_and(|other| other != hash) {
            return Ok(Err(fault(None, "two signed heads differ: the chain was written anew")));
        }
    }
    Ok(Ok(heads))
}
