//! Migrations, compiled in, run by one process at a time.

use diesel::sql_types::BigInt;
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

/// Every migration, oldest first.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations");

/// Advisory lock that the migrating process holds.
const LOCK: i64 = 0x636c_696e_6963;

/// Why the database cannot be brought to this version.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// It cannot be reached.
    #[error("cannot connect to the database: {0}; does it run, and is DATABASE_URL right?")]
    Connect(#[from] diesel::ConnectionError),
    /// A newer clinicd has migrated it.
    #[error(
        "the database was migrated by a newer clinicd (it has {found}, which this version does \
         not know): start that version, or restore a backup made before the upgrade"
    )]
    Newer {
        /// The unknown migration.
        found: String,
    },
    /// A migration failed; it was rolled back.
    #[error("a migration failed and was rolled back: {0}")]
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

/// What migrating found and did.
#[derive(Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Migrations applied now.
    pub applied: Vec<String>,
}

/// Brings the database at `url` (whose user owns it) to this version.
pub async fn run(url: &str) -> Result<Migrated, MigrateError> {
    let mut conn = super::tls::connect(url, "").await?;
    lock(&mut conn).await?;
    // The harness blocks; it needs a thread of its own.
    tokio::task::spawn_blocking(move || apply(conn))
        .await
        .map_err(|source| MigrateError::Failed(Box::new(source)))?
}

/// Whether this program has this migration, and so can open a database that it was the last of.
pub fn knows(version: &str) -> Result<bool, MigrateError> {
    Ok(migration_names()?.iter().any(|name| is_of(name, version)))
}

/// Takes every migration back, newest first. For tests of the down scripts.
pub async fn revert_all(url: &str) -> Result<(), MigrateError> {
    let mut conn = super::tls::connect(url, "").await?;
    lock(&mut conn).await?;
    tokio::task::spawn_blocking(move || {
        let mut harness = AsyncMigrationHarness::new(conn);
        harness.revert_all_migrations(MIGRATIONS).map(|_| ()).map_err(MigrateError::Failed)
    })
    .await
    .map_err(|source| MigrateError::Failed(Box::new(source)))?
}

/// Waits for other migrating processes. The lock ends with the connection.
async fn lock(conn: &mut AsyncPgConnection) -> Result<(), MigrateError> {
    diesel::sql_query("SELECT pg_advisory_lock($1)")
        .bind::<BigInt, _>(LOCK)
        .execute(conn)
        .await
        .map(|_| ())
        .map_err(|source| MigrateError::Failed(Box::new(source)))
}

fn apply(conn: AsyncPgConnection) -> Result<Migrated, MigrateError> {
    let mut harness = AsyncMigrationHarness::new(conn);
    let known = migration_names()?;
    let present = harness.applied_migrations().map_err(MigrateError::Failed)?;
    let is_known = |version: &str| known.iter().any(|name| is_of(name, version));
    if let Some(unknown) = present.iter().find(|version| !is_known(&version.to_string())) {
        return Err(MigrateError::Newer { found: unknown.to_string() });
    }
    let applied = harness.run_pending_migrations(MIGRATIONS).map_err(MigrateError::Failed)?;
    Ok(Migrated { applied: applied.iter().map(ToString::to_string).collect() })
}

/// Whether a migration of this name has this version, which is its stamp without dashes.
fn is_of(name: &str, version: &str) -> bool {
    name.replace('-', "").starts_with(version)
}

fn migration_names() -> Result<Vec<String>, MigrateError> {
    use diesel::migration::{Migration, MigrationSource};
    let migrations: Vec<Box<dyn Migration<diesel::pg::Pg>>> =
        MIGRATIONS.migrations().map_err(MigrateError::Failed)?;
    Ok(migrations.iter().map(|migration| migration.name().to_string()).collect())
}
