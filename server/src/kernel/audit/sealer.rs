//! The sealer: links committed entries into the hash chain, in feed order, and writes signed heads
//! outside the database, so that a tail that is cut off is missed.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::time::Duration;

use diesel::OptionalExtension;
use diesel::sql_types;
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::chain::{Entry, GENESIS};
use crate::app::App;
use crate::kernel::crypto::{Macs, Purpose, framed};
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::{Error, Result};
use crate::statement;

/// How often it seals.
const PERIOD: Duration = Duration::from_millis(500);
/// Entries per transaction.
const BATCH: i64 = 1_000;
/// Advisory lock that the sealing process holds for one batch.
const LOCK: i64 = 0x6175_6469_7431;

/// Columns of an entry as SQL types.
pub(super) type EntrySql = (
    sql_types::Uuid,
    sql_types::BigInt,
    sql_types::BigInt,
    sql_types::Timestamptz,
    sql_types::Uuid,
    sql_types::Array<sql_types::Text>,
    sql_types::Uuid,
    sql_types::Text,
    sql_types::Text,
    sql_types::Nullable<sql_types::Uuid>,
    sql_types::Array<sql_types::Text>,
    sql_types::Array<sql_types::Uuid>,
    sql_types::Text,
    sql_types::Text,
    sql_types::Nullable<sql_types::Uuid>,
);

statement! {
    /// Only one process seals at a time; the others come back later.
    TryLock { key: i64 } -> sql_types::Bool,
    "SELECT pg_try_advisory_xact_lock($1)";

    /// The head of the chain and the place of its entry in the order of entries.
    Head {} -> (sql_types::BigInt, sql_types::Binary, sql_types::BigInt, sql_types::BigInt),
    "SELECT c.position, c.hash, e.xid, e.seq FROM audit_chain c \
     JOIN audit_entries e ON e.id = c.entry_id ORDER BY c.position DESC LIMIT 1";

    /// Entries behind the head that no running transaction can still precede.
    Unsealed { xid: i64, seq: i64, limit: i64 } -> EntrySql,
    "SELECT e.id, e.xid, e.seq, e.created_at, e.actor_id, e.actor_roles, e.session_id, \
        e.client_address, e.method, e.patient_id, e.data_types, e.record_ids, e.outcome, e.rule, \
        e.request_id \
     FROM audit_entries e \
     WHERE (e.xid, e.seq) > ($1, $2) \
       AND e.xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint \
     ORDER BY e.xid, e.seq LIMIT $3";

    /// Adds links to the chain.
    Link { positions: List<i64>, entries: List<Uuid>, hashes: List<Vec<u8>> },
    "INSERT INTO audit_chain (position, entry_id, hash) SELECT * FROM unnest($1, $2, $3)";
}

/// A signed statement of how far the chain had come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHead {
    /// Number of entries in the chain.
    pub position: i64,
    /// Hash of the last one, hex.
    pub hash: String,
    /// When it was sealed, microseconds since the Unix epoch.
    pub sealed_at: i64,
    /// MAC over the above, hex.
    pub signature: String,
}

impl SignedHead {
    fn new(macs: &Macs, position: i64, hash: &[u8], sealed_at: i64) -> Self {
        let signature = macs.sign(Purpose::AuditHead, &Self::bytes(position, hash, sealed_at));
        Self { position, hash: hex::encode(hash), sealed_at, signature: hex::encode(signature) }
    }

    /// Whether this server's keys signed it.
    #[must_use]
    pub fn is_genuine(&self, macs: &Macs) -> bool {
        let (Ok(hash), Ok(tag)) = (hex::decode(&self.hash), hex::decode(&self.signature)) else {
            return false;
        };
        macs.verify(Purpose::AuditHead, &Self::bytes(self.position, &hash, self.sealed_at), &tag)
    }

    fn bytes(position: i64, hash: &[u8], sealed_at: i64) -> Vec<u8> {
        framed(&[&position.to_be_bytes(), hash, &sealed_at.to_be_bytes()])
    }
}

/// The file of signed heads: one JSON object per line, only ever appended to.
#[must_use]
pub fn heads_file(folder: &Path) -> PathBuf {
    folder.join("heads.ndjson")
}

/// Seals until `stop`, and once more then.
pub async fn run(app: App, stop: CancellationToken) {
    let mut signed = 0;
    loop {
        let last = stop.is_cancelled();
        if let Err(error) = seal_and_sign(&app, &mut signed).await {
            tracing::error!(error = %error, "audit entries not sealed");
        }
        if last {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

/// Seals all that can be sealed now and signs the head; the number of entries sealed.
pub async fn seal(app: &App) -> Result<usize> {
    seal_and_sign(app, &mut 0).await
}

/// Seals, and signs the head unless this process has: also one that a crash or a full disk kept
/// from being signed, and one that another replica has sealed. `signed` is the position of the
/// last head signed.
async fn seal_and_sign(app: &App, signed: &mut i64) -> Result<usize> {
    let mut sealed = 0;
    loop {
        let count = app.db.transaction(async |conn| link_batch(conn).await).await?;
        sealed += count;
        if count == 0 {
            break;
        }
    }
    let mut conn = app.db.read().await?;
    let head: Option<(i64, Vec<u8>, i64, i64)> = Head {}.get_result(&mut conn).await.optional()?;
    drop(conn);
    if let Some((position, hash, ..)) = head.filter(|(position, ..)| position != signed) {
        let head = SignedHead::new(&app.keys.macs, position, &hash, app.clock.now().unix_micros());
        append(&heads_file(&app.config.audit_dir()), &head).await?;
        *signed = position;
    }
    Ok(sealed)
}

/// Links one batch; the number of links. The lock ends with the commit, and each statement sees
/// what was committed before it, so the head is always the one of the holder before.
async fn link_batch(conn: &mut Conn) -> Result<usize> {
    let locked: bool = TryLock { key: LOCK }.get_result(conn).await?;
    if !locked {
        return Ok(0);
    }
    let head: Option<(i64, Vec<u8>, i64, i64)> = Head {}.get_result(conn).await.optional()?;
    let (mut position, mut hash, xid, seq) = head.unwrap_or((0, GENESIS.to_vec(), 0, 0));
    let entries: Vec<Entry> = Unsealed { xid, seq, limit: BATCH }.get_results(conn).await?;
    if entries.is_empty() {
        return Ok(0);
    }
    let count = entries.len();
    let mut link = Link { positions: List(vec![]), entries: List(vec![]), hashes: List(vec![]) };
    for entry in &entries {
        position += 1;
        hash = entry.hash(&hash, position).to_vec();
        link.positions.0.push(position);
        link.entries.0.push(entry.id);
        link.hashes.0.push(hash.clone());
    }
    link.execute(conn).await?;
    Ok(count)
}

async fn append(path: &Path, head: &SignedHead) -> Result<()> {
    let mut line = serde_json::to_vec(head).map_err(Error::internal)?;
    line.push(b'\n');
    let write = async {
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        let mut options = tokio::fs::OpenOptions::new();
        let mut file = options.create(true).read(true).append(true).open(path).await?;
        // After a line that a crash has cut short, a new one begins.
        if file.seek(SeekFrom::End(0)).await? > 0 {
            file.seek(SeekFrom::End(-1)).await?;
            if file.read_u8().await? != b'\n' {
                line.insert(0, b'\n');
            }
        }
        file.write_all(&line).await?;
        file.sync_data().await
    };
    write.await.map_err(|error: std::io::Error| Error::internal(error))
}
