//! Verification: recomputes the chain, compares it with the signed heads, and names the first bad
//! entry.

use std::path::Path;

use diesel::OptionalExtension;
use diesel::sql_types;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::chain::{Entry, GENESIS};
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

    /// The oldest entry outside the chain that should have been sealed.
    Overdue { before: Time } -> sql_types::Uuid,
    "SELECT e.id FROM audit_entries e \
     WHERE e.created_at < $1 \
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

/// Verifies the whole chain against the heads kept in `folder`.
pub async fn verify(conn: &mut Conn, macs: &Macs, folder: &Path, now: Time) -> Result<Report> {
    let mut heads = read_heads(folder).await?;
    heads.sort_by_key(|head| head.position);
    if heads.iter().any(|head| !head.is_genuine(macs)) {
        return Ok(Report { checked: 0, fault: Some(fault(None, "a signed head is not genuine")) });
    }
    let mut heads = heads.into_iter().peekable();
    let (mut position, mut hash, mut place) = (0, GENESIS.to_vec(), (0, 0));
    loop {
        let links: Vec<Link> = Links { after: position, limit: BATCH }.get_results(conn).await?;
        if links.is_empty() {
            break;
        }
        for link in links {
            if let Some(fault) = check_link(&link, position + 1, &hash, place) {
                return Ok(Report { checked: position, fault: Some(fault) });
            }
            position = link.position;
            place = link.entry.map_or(place, |entry| (entry.xid, entry.seq));
            hash = link.hash;
            while heads.peek().is_some_and(|head| head.position <= position) {
                let Some(head) = heads.next() else { break };
                if head.position == position && head.hash != hex::encode(&hash) {
                    let fault = fault(Some(link.entry_id), "the chain differs from a signed head");
                    return Ok(Report { checked: position, fault: Some(fault) });
                }
            }
        }
    }
    if heads.next().is_some() {
        let fault = fault(None, "the chain is shorter than a signed head: its tail was cut off");
        return Ok(Report { checked: position, fault: Some(fault) });
    }
    let before = now.plus_seconds(-UNSEALED_LIMIT_SECONDS);
    let overdue: Option<Uuid> = Overdue { before }.get_result(conn).await.optional()?;
    let fault = overdue.map(|id| fault(Some(id), "the entry is not part of the chain"));
    Ok(Report { checked: position, fault })
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

async fn read_heads(folder: &Path) -> Result<Vec<SignedHead>> {
    let text = match tokio::fs::read_to_string(heads_file(folder)).await {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::internal(error)),
    };
    // A line cut short by a crash says nothing; the next head covers the same entries.
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}
