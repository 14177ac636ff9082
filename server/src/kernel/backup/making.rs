//! Makes a backup.

use std::path::{Path, PathBuf};

use diesel::sql_types;
use diesel_async::RunQueryDsl;

use super::checks::{self, Checksums};
use super::record::{FORMAT, Record};
use super::{AUDIT, BackupError, DATABASE, DatabaseAddress, FILES, base, copy};
use crate::kernel::audit::sealer::heads_file;
use crate::kernel::crypto::Keys;
use crate::kernel::db::tls;
use crate::statement;

statement! {
    /// What the server and the user are: major version, whether a base backup is allowed, the
    /// user, and the time.
    Server {} -> (sql_types::Integer, sql_types::Bool, sql_types::Text, sql_types::Text),
    "SELECT current_setting('server_version_num')::int / 10000, rolsuper OR rolreplication, \
        rolname::text, to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') \
     FROM pg_roles WHERE rolname = current_user";

    /// The last migration.
    Schema {} -> sql_types::Text,
    "SELECT max(version)::text FROM __diesel_schema_migrations HAVING count(*) > 0";
}

/// What is backed up.
pub struct Source {
    /// URL of the database, whose user may make base backups.
    pub database_url: String,
    /// Whether that is the embedded one.
    pub embedded: bool,
    /// The folder of stored files.
    pub files: PathBuf,
    /// The folder of the audit heads.
    pub audit: PathBuf,
}

/// Makes a backup in `to`, which must be empty or absent, and checks it. Works while servers write.
/// When it fails, what is left in `to` is not a backup: it has no `backup.json`.
pub async fn make(source: Source, keys: &Keys, to: &Path) -> Result<Record, BackupError> {
    let address = DatabaseAddress::from_url(&source.database_url)?;
    let mut conn = tls::connect(&source.database_url, "").await?;
    let (major, allowed, user, begun_at): (i32, bool, String, String) =
        Server {}.get_result(&mut conn).await.map_err(BackupError::NoSchema)?;
    let schema: String = Schema {}.get_result(&mut conn).await.map_err(BackupError::NoSchema)?;
    drop(conn);
    if !allowed {
        return Err(BackupError::NoReplication { user });
    }
    let mut record = Record {
        format: FORMAT,
        clinicd: env!("CARGO_PKG_VERSION").to_owned(),
        schema,
        postgres: u32::try_from(major).unwrap_or_default(),
        embedded: source.embedded,
        begun_at,
        files: 0,
        file_bytes: 0,
        checksums: String::new(),
        master_key: keys.master.newest_version(),
        signature: String::new(),
    };
    let to = to.to_path_buf();
    let macs = keys.macs.clone();
    tokio::task::spawn_blocking(move || {
        let program = base::program(record.postgres)?;
        copy::empty_folder(&to)?;
        copy_all(&source, &program, &address, &to, &mut record)?;
        record.sign(&macs);
        record.write(&to)?;
        Ok(record)
    })
    .await?
}

/// In the order that makes it whole; see the module's text.
fn copy_all(
    source: &Source,
    program: &Path,
    address: &DatabaseAddress,
    to: &Path,
    record: &mut Record,
) -> Result<(), BackupError> {
    let mut sums = Checksums::new();
    let heads = heads_file(Path::new(AUDIT));
    if let Some(sum) = copy::copy(&heads_file(&source.audit), &to.join(&heads))? {
        sums.insert(heads.to_string_lossy().into_owned(), sum.sha256);
    }
    base::copy(program, address, record.postgres, to)?;
    for name in copy::names(&source.files)? {
        // Hidden ones are being written, and become objects or go.
        if name.rsplit('/').next().is_none_or(|last| last.starts_with('.')) {
            continue;
        }
        let path = format!("{FILES}/{name}");
        // Gone since it was listed: then no row names it.
        let Some(sum) = copy::copy(&source.files.join(&name), &to.join(&path))? else { continue };
        record.files += 1;
        record.file_bytes += sum.bytes;
        sums.insert(path, sum.sha256);
    }
    checks::add_database(to, &mut sums)?;
    checks::verify_database(to)?;
    for folder in [AUDIT, FILES].map(|name| to.join(name)).iter().filter(|path| path.is_dir()) {
        copy::sync_tree(folder)?;
    }
    copy::sync_folder(&to.join(DATABASE))?;
    record.checksums = checks::write(to, &sums)?;
    Ok(())
}
