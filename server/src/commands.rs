//! The commands of the program. Each but `serve` joins the running embedded database of its data
//! directory, or starts it for as long as it needs it.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::time::Duration;

use diesel_async::RunQueryDsl;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::{ACCESS_TOKEN_SECONDS, App};
use crate::config::Config;
use crate::kernel::audit::verify;
use crate::kernel::backup::{self, BackupError};
use crate::kernel::clock::Clock;
use crate::kernel::crypto::signing::{SigningKey, signer};
use crate::kernel::crypto::{KeyError, KeyFolder};
use crate::kernel::data_dir::{DataDir, DataDirError};
use crate::kernel::db::embedded::{self, Cluster, EmbeddedError};
use crate::kernel::db::{migrate, tls};
use crate::kernel::error::Error;
use crate::kernel::patient_keys;
use crate::serve::{self, ServeError};
use crate::{identity, work};

/// Name of the database in the embedded cluster.
const DATABASE: &str = "clinicd";
/// Its owner.
const OWNER: &str = "postgres";
/// How often the server looks after the embedded database.
const WATCH_PERIOD: Duration = Duration::from_secs(1);

/// Why a command ends without having done its work.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The embedded database does not run.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The database cannot be brought to this version.
    #[error(transparent)]
    Migrate(#[from] migrate::MigrateError),
    /// The server does not start.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Something in between.
    #[error("{0}")]
    Fault(#[from] Error),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// There is no backup, or it cannot be restored.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The key folder cannot be used, or not in this way.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// A task ended abnormally.
    #[error(transparent)]
    Task(#[from] tokio::task::JoinError),
    /// The audit chain is broken.
    #[error("the audit chain is broken at {entry}: {what}")]
    Broken {
        /// The first bad entry, or where it should be.
        entry: String,
        /// What is wrong.
        what: &'static str,
    },
}

/// The database that a command works on.
pub struct Database {
    /// URL that the server's pool uses; it acts as `clinicd_app`.
    pub url: String,
    /// URL of the owner of the tables.
    pub owner_url: String,
    /// Keeps the embedded cluster running.
    cluster: Option<Cluster>,
}

impl Database {
    /// The configured database, or the embedded one of the data directory.
    pub async fn open(config: &Config, data_dir: &Path) -> Result<Self, CommandError> {
        if let Some(url) = &config.database_url {
            let owner = config.migration_database_url.as_ref().unwrap_or(url);
            let (url, owner_url) = (url.0.clone(), owner.0.clone());
            return Ok(Self { url, owner_url, cluster: None });
        }
        let options = embedded::Options::durable(data_dir.join("pg"));
        let cluster = tokio::task::spawn_blocking(move || embedded::ensure(&options)).await??;
        create_database(&cluster.url("postgres", OWNER)).await?;
        let url = cluster.url(DATABASE, OWNER);
        Ok(Self { owner_url: url.clone(), url, cluster: Some(cluster) })
    }
}

async fn create_database(url: &str) -> Result<(), CommandError> {
    let mut conn = tls::connect(url, "").await.map_err(migrate::MigrateError::from)?;
    let created = diesel::sql_query(format!("CREATE DATABASE {DATABASE}")).execute(&mut conn).await;
    match created {
        Ok(_) => Ok(()),
        Err(error) if error.to_string().contains("already exists") => Ok(()),
        Err(error) => Err(Error::internal(error).into()),
    }
}

/// `clinicd serve`: starts everything, and serves until it is told to stop.
pub async fn serve(config: Config) -> Result<(), CommandError> {
    let dir = DataDir::open(&config.data_dir)?;
    let _lock = dir.lock_for_serving()?;
    let database = Database::open(&config, dir.path()).await?;
    migrate::run(&database.owner_url).await?;
    let app = App::open(config, &database.url, work::subscriptions()).await?;
    first_login(&app, dir.path()).await?;
    let stop = app.stop.clone();
    // Before anybody hears that the server listens.
    let signals = Signals::receive().map_err(Error::internal)?;
    let running = serve::start(app.clone(), &database.url, identity::SESSIONS).await?;
    say(&format!("listening on http://{}", running.address));
    tokio::spawn(signals.stop(stop.clone()));
    if let Some(cluster) = database.cluster {
        tokio::spawn(watch(cluster, dir.path().to_owned(), stop));
    }
    running.done().await;
    Ok(())
}

/// Makes the first superuser of a development installation and says where the password lies.
async fn first_login(app: &App, dir: &Path) -> Result<(), CommandError> {
    let Some(login) = identity::first_login(app).await? else { return Ok(()) };
    let path = dir.join("first-login.txt");
    let text = format!("email: {}\npassword: {}\n", login.email, login.password);
    write_private(&path, &text)
        .map_err(|source| CommandError::File { path: path.clone(), source })?;
    say(&format!("a superuser was created; sign in with what {} says", path.display()));
    Ok(())
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// One line on stdout. Scripts wait for these.
fn say(line: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    // A closed stdout is no reason to stop serving.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// What tells the server to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn receive() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn stop(mut self, stop: CancellationToken) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        stop.cancel();
    }
}

/// Holds the embedded database and starts it again when it died.
async fn watch(cluster: Cluster, dir: PathBuf, stop: CancellationToken) {
    let mut cluster = Some(cluster);
    loop {
        tokio::time::sleep(WATCH_PERIOD).await;
        let Some(failure) = cluster.as_ref().and_then(Cluster::failure) else { continue };
        tracing::error!(error = %failure, "the embedded database died; starting it again");
        let options = embedded::Options::durable(dir.join("pg"));
        let started = tokio::task::spawn_blocking(move || embedded::ensure(&options)).await;
        let Ok(Ok(again)) = started else {
            tracing::error!("the embedded database does not start; stopping");
            stop.cancel();
            return;
        };
        cluster = Some(again);
    }
}

/// `clinicd migrate`.
pub async fn migrate(config: Config) -> Result<(), CommandError> {
    let dir = DataDir::open(&config.data_dir)?;
    let database = Database::open(&config, dir.path()).await?;
    let migrated = migrate::run(&database.owner_url).await?;
    match migrated.applied.len() {
        0 => say("the database is up to date"),
        count => say(&format!("{count} migrations applied")),
    }
    Ok(())
}

/// `clinicd worker`: runs jobs and schedules, seals the audit chain, and takes no calls.
pub async fn work(config: Config) -> Result<(), CommandError> {
    let dir = config.data_dir.clone();
    let (app, database) = open(Config { worker: true, ..config }).await?;
    let stop = app.stop.clone();
    let signals = Signals::receive().map_err(Error::internal)?;
    let tasks = work::start(&app, &database.url, &stop);
    say("working");
    tokio::spawn(signals.stop(stop.clone()));
    if let Some(cluster) = database.cluster {
        tokio::spawn(watch(cluster, dir, stop));
    }
    tasks.wait().await;
    Ok(())
}

/// `clinicd backup`.
pub async fn backup(config: Config, to: &Path) -> Result<(), CommandError> {
    let keys = KeyFolder::open_or_create(&config.keys_dir(), false).map_err(BackupError::from)?;
    let dir = DataDir::open(&config.data_dir)?;
    let database = Database::open(&config, dir.path()).await?;
    let source = backup::Source {
        database_url: database.owner_url.clone(),
        embedded: database.cluster.is_some(),
        files: config.files_dir(),
        audit: config.audit_dir(),
    };
    let made = backup::make(source, &keys, to).await?;
    say(&format!(
        "the backup in {} is complete and checked: PostgreSQL {}, schema {}, {} files ({} bytes)",
        to.display(),
        made.postgres,
        made.schema,
        made.files,
        made.file_bytes
    ));
    say(&format!(
        "the keys in {} are not in it: keep a copy of them elsewhere, or nobody can read it",
        config.keys_dir().display()
    ));
    Ok(())
}

/// `clinicd restore`.
pub async fn restore(config: Config, from: &Path) -> Result<(), CommandError> {
    let keys = KeyFolder::open_or_create(&config.keys_dir(), false).map_err(BackupError::from)?;
    let dir = DataDir::open(&config.data_dir)?;
    let _lock = dir.lock_for_serving()?;
    let outside = config.database_url.is_some();
    let target = backup::Target {
        cluster: (!outside).then(|| dir.path().join("pg")),
        files: config.files_dir(),
        audit: config.audit_dir(),
        keys: config.keys_dir(),
    };
    let folder = from.to_path_buf();
    let restored =
        tokio::task::spawn_blocking(move || backup::restore(&folder, &target, &keys)).await??;
    say(&format!("the backup of {} is whole and was laid out", restored.begun_at));
    if outside {
        say(&format!(
            "put the base backup in {} in the place of the data of PostgreSQL {} yourself, as \
             docs/operations.md says, before you start clinicd",
            from.join("database").display(),
            restored.postgres
        ));
    }
    Ok(())
}

/// The application of a command that needs the database at this version.
async fn open(config: Config) -> Result<(App, Database), CommandError> {
    let dir = DataDir::open(&config.data_dir)?;
    let database = Database::open(&config, dir.path()).await?;
    migrate::run(&database.owner_url).await?;
    let app = App::open(config, &database.url, work::subscriptions()).await?;
    Ok((app, database))
}

/// `clinicd admin create-superuser`.
pub async fn create_superuser(
    config: Config,
    email: &str,
    password: &str,
) -> Result<(), CommandError> {
    let (app, _database) = open(config).await?;
    identity::create_superuser(&app, email, password).await?;
    say("the superuser was created");
    Ok(())
}

/// `clinicd admin revoke-superuser`.
pub async fn revoke_superuser(config: Config, email: &str) -> Result<(), CommandError> {
    let (app, _database) = open(config).await?;
    identity::revoke_superuser(&app, email).await?;
    say("the account is no longer a superuser's");
    Ok(())
}

/// `clinicd audit verify`.
pub async fn verify_audit(config: Config) -> Result<(), CommandError> {
    let (app, _database) = open(config).await?;
    let mut conn = app.db.read().await?;
    let folder = app.config.audit_dir();
    let report = verify::verify(&mut conn, &app.keys.macs, &folder, app.clock.now()).await?;
    match report.fault {
        None => {
            say(&format!("the audit chain is whole: {} entries", report.checked));
            Ok(())
        }
        Some(fault) => {
            let entry = fault.entry.map_or("its end".to_owned(), |id| format!("entry {id}"));
            Err(CommandError::Broken { entry, what: fault.what })
        }
    }
}

/// Seconds since 1970, by this machine: there need not be a database.
fn now() -> i64 {
    Clock::default().now().timestamp().as_second()
}

/// `clinicd keys list`.
pub fn list_keys(config: &Config) -> Result<(), CommandError> {
    let path = config.keys_dir();
    let keys = KeyFolder::open_or_create(&path, false)?;
    for master in KeyFolder::masters(&path)? {
        let does = match master.version {
            _ if master.retired => "retired: verifies",
            version if version == keys.master.newest_version() => "encrypts",
            _ => "decrypts",
        };
        say(&format!("master {}: {does}", master.version));
    }
    let signs = signer(&keys.signing, SigningKey::ripe_at, now());
    let signs = signs.map_or("", |key| key.kid.as_str());
    for key in &keys.signing {
        let does = match key.kid.as_str().cmp(signs) {
            Ordering::Less => "verifies".to_owned(),
            Ordering::Equal => "signs".to_owned(),
            Ordering::Greater => format!("signs in {} minutes", (key.ripe_at() - now() + 59) / 60),
        };
        say(&format!("signing {}: {does}", key.kid));
    }
    Ok(())
}

/// `clinicd keys rotate-signing`.
pub fn rotate_signing(config: &Config) -> Result<(), CommandError> {
    let path = config.keys_dir();
    // Adds nothing to a folder that is not one of keys.
    KeyFolder::open_or_create(&path, false)?;
    say(&format!("signing key {} was made", KeyFolder::rotate_signing(&path)?));
    Ok(())
}

/// `clinicd keys retire-signing`.
pub fn retire_signing(config: &Config, kid: &str) -> Result<(), CommandError> {
    let path = config.keys_dir();
    KeyFolder::open_or_create(&path, false)?;
    KeyFolder::retire_signing(&path, kid, now(), ACCESS_TOKEN_SECONDS)?;
    say(&format!("signing key {kid} was removed"));
    Ok(())
}

/// `clinicd keys rotate-master`.
pub fn rotate_master(config: &Config) -> Result<(), CommandError> {
    let path = config.keys_dir();
    KeyFolder::open_or_create(&path, false)?;
    say(&format!("master key {} was made", KeyFolder::rotate_master(&path)?));
    Ok(())
}

/// `clinicd keys rewrap`.
pub async fn rewrap(config: Config) -> Result<(), CommandError> {
    let (app, _database) = open(config).await?;
    let count = patient_keys::rewrap_all(&app).await?;
    let newest = app.keys.master.newest_version();
    say(&format!("{count} keys were wrapped by master key {newest}"));
    Ok(())
}
