//! A world: one database, one server in this process (more on demand), and their people.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use clinicd_sdk::Client;
use clinicd_server::app::App;
use clinicd_server::config::{ChannelRates, Config, SessionSettings};
use clinicd_server::identity;
use clinicd_server::identity::passwords::PasswordParams;
use clinicd_server::kernel::data_dir::DataDir;
use clinicd_server::kernel::secret::Secret;
use clinicd_server::kernel::transport::Limits;
use clinicd_server::serve::{self, Running};
use clinicd_server::work;
use jiff::SignedDuration;
use tokio::sync::OnceCell;

use crate::cluster::{TestDatabase, programs};
use crate::expect::{SOON, eventually};
use crate::mail::{self, Mail};
use crate::people::Person;
use crate::tap::Tap;

/// Connections of one server; the cluster has 200 for all tests.
const CONNECTIONS: u32 = 5;
/// Hashes that cost nothing, as many at a time as come.
const CHEAP: PasswordParams =
    PasswordParams { memory_kib: 64, iterations: 1, parallelism: 1, permits: 8, queue: 1_000 };

/// Limits of a server that never sends a caller away: machines that run tests are slow, and crowds
/// of one person are common.
fn patient() -> Limits {
    Limits {
        work_wait_millis: 10_000,
        sign_in_calls: 1_000,
        calls_per_account: 1_000,
        streams_per_account: 1_000,
        ..Limits::default()
    }
    .without_rates()
}

/// Sessions that outlive the jumps of a test's clock.
fn lasting() -> SessionSettings {
    SessionSettings {
        staff_idle_minutes: 60 * 24 * 365,
        staff_hours: 24 * 365,
        ..Default::default()
    }
}

/// The world of one test. End it with [`finish`](Self::finish).
pub struct World {
    /// The server's application: its clock, keys and settings.
    pub app: App,
    pub(crate) superuser: OnceCell<Person>,
    pub(crate) admin: OnceCell<Person>,
    pub(crate) people: AtomicU32,
    url: String,
    database: Option<TestDatabase>,
    tap: Option<Tap>,
    dir: PathBuf,
    /// Every application in this process, and the servers that run them.
    servers: Mutex<Vec<(App, Running)>>,
    data_dirs: Mutex<Vec<PathBuf>>,
}

/// Another server in this process, on the same database.
#[derive(Clone)]
pub struct Replica {
    /// Its application.
    pub app: App,
    /// Where it listens.
    pub url: String,
}

impl Replica {
    /// A client of this server.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::connect_lazy(&self.url).unwrap()
    }
}

impl World {
    /// A server with all layers on a free port and a database of its own.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A server with other settings.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let database = TestDatabase::migrated().await;
        let tap = Tap::open(&database.url).await;
        let dir = folder_of(&database);
        let data_dir = dir.join("first");
        Self::open(database, Some(tap), dir, &data_dir, change).await
    }

    /// A server on this database.
    pub async fn start_on(database: TestDatabase, change: impl FnOnce(&mut Config)) -> Self {
        let dir = folder_of(&database);
        let data_dir = dir.join("first");
        Self::open(database, None, dir, &data_dir, change).await
    }

    /// A server on this database with this data directory. The folder goes with the world.
    pub async fn start_in(database: TestDatabase, dir: PathBuf, data_dir: &Path) -> Self {
        Self::open(database, None, dir, data_dir, |_| {}).await
    }

    async fn open(
        database: TestDatabase,
        tap: Option<Tap>,
        dir: PathBuf,
        data_dir: &Path,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let url = tap.as_ref().map_or(&database.url, |tap| &tap.url).clone();
        let data_dir = DataDir::open(data_dir).unwrap().path().to_owned();
        let mut config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            data_dir: data_dir.clone(),
            database_url: Some(Secret(url.clone())),
            database_connections: CONNECTIONS,
            passwords: CHEAP,
            limits: patient(),
            sessions: lasting(),
            rates: ChannelRates::NONE,
            ..Config::default()
        };
        change(&mut config);
        let (app, running) = serve(config, &url).await;
        Self {
            app: app.clone(),
            superuser: OnceCell::new(),
            admin: OnceCell::new(),
            people: AtomicU32::new(0),
            url: format!("http://{}", running.address),
            database: Some(database),
            tap,
            dir,
            servers: Mutex::new(vec![(app, running)]),
            data_dirs: Mutex::new(vec![data_dir]),
        }
    }

    /// Another server in this process: its own data directory, the same database, keys, files and
    /// audit heads. It has the time of the first.
    pub async fn second_server(&self) -> Replica {
        self.second_server_with(|_| {}).await
    }

    /// The same with other settings.
    pub async fn second_server_with(&self, change: impl FnOnce(&mut Config)) -> Replica {
        let first = &self.app.config;
        let mut config = Config {
            data_dir: self.new_data_dir(),
            keys_dir: Some(first.keys_dir()),
            files_dir: Some(first.files_dir()),
            audit_dir: Some(first.audit_dir()),
            ..Config::clone(first)
        };
        change(&mut config);
        let (app, running) = serve(config, self.tapped_url()).await;
        app.clock
            .advance(self.app.clock.now().timestamp().duration_since(app.clock.now().timestamp()));
        let url = format!("http://{}", running.address);
        self.servers.lock().unwrap().push((app.clone(), running));
        Replica { app, url }
    }

    /// A data directory whose outbox is looked into as well.
    pub(crate) fn new_data_dir(&self) -> PathBuf {
        let mut data_dirs = self.data_dirs.lock().unwrap();
        let path = self.dir.join(format!("server{}", data_dirs.len() + 1));
        let path = DataDir::open(&path).unwrap().path().to_owned();
        data_dirs.push(path.clone());
        path
    }

    /// Where the server listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client that has not signed in.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::connect_lazy(&self.url).unwrap()
    }

    /// The database, as its owner.
    #[must_use]
    pub fn database_url(&self) -> &str {
        &self.database().url
    }

    /// The database as the servers reach it, see [`tap`](crate::tap).
    #[must_use]
    pub fn tapped_url(&self) -> &str {
        self.tap.as_ref().map_or_else(|| self.database_url(), |tap| &tap.url)
    }

    fn database(&self) -> &TestDatabase {
        self.database.as_ref().expect("the world has not finished")
    }

    /// Runs SQL as the owner of the tables, who may do what the server may not. Rows as text.
    pub async fn sql(&self, sql: &str) -> Vec<Vec<String>> {
        self.database().sql(sql).await
    }

    /// Runs statements as the owner of the tables, all or none, without their rows.
    pub async fn batch(&self, sql: &str) {
        let begun = format!("BEGIN; {sql} COMMIT");
        self.database().batch(&begun).await;
    }

    /// Runs SQL as the server's own role; fails where the server may not.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn sql_as_server(
        &self,
        sql: &str,
    ) -> Result<Vec<Vec<String>>, tokio_postgres::Error> {
        self.database().try_sql(&format!("SET ROLE clinicd_app; {sql}")).await
    }

    /// Moves the clocks of all servers in this process.
    pub fn advance(&self, by: SignedDuration) {
        for (app, _) in &*self.servers.lock().unwrap() {
            app.clock.advance(by);
        }
    }

    /// The number of the next person, for names and addresses that nobody else has.
    pub(crate) fn next_number(&self) -> u32 {
        self.people.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The data directories of all servers.
    pub(crate) fn data_dirs(&self) -> Vec<PathBuf> {
        self.data_dirs.lock().unwrap().clone()
    }

    /// The mails to an address that were sent up to now, oldest first.
    #[must_use]
    pub fn mails_to(&self, address: &str) -> Vec<Mail> {
        let data_dirs = self.data_dirs();
        let mails = data_dirs.iter().flat_map(|dir| mail::read_all(dir));
        mails.filter(|mail| mail.to.eq_ignore_ascii_case(address)).collect()
    }

    /// Waits for a mail to an address of which this is true, and returns the newest such.
    pub async fn mail_to(&self, address: &str, is_it: impl Fn(&Mail) -> bool) -> Mail {
        let newest = || self.mails_to(address).into_iter().rfind(&is_it);
        eventually(&format!("a mail to {address}"), async || newest().is_some()).await;
        newest().unwrap()
    }

    /// Waits for a mail with a link, and returns the link.
    pub async fn link_in_mail(&self, address: &str) -> String {
        let mail = self.mail_to(address, |mail| mail.link().is_some()).await;
        mail.link().unwrap().to_owned()
    }

    /// Waits for the mail that activates an account, and returns its token.
    pub async fn token_in_mail(&self, address: &str) -> String {
        let mail = self.mail_to(address, |mail| mail.token().is_some()).await;
        mail.token().unwrap().to_owned()
    }

    /// Waits until all due jobs are done, and fails on one that failed, or when none is done for ten
    /// seconds. Jobs that wait for a later time are left alone.
    pub async fn settle(&self) {
        let (mut ends, mut left) = (Instant::now() + SOON, usize::MAX);
        loop {
            // A job that is written while this is asked is due a moment later.
            let now = self.app.clock.now().plus_seconds(1).timestamp();
            let open = self
                .sql(&format!(
                    "SELECT kind, state, attempts, last_error FROM jobs WHERE state = 'failed' \
                     OR state = 'running' OR state = 'ready' AND (run_at <= '{now}' OR attempts > 0)"
                ))
                .await;
            if open.is_empty() {
                return;
            }
            if open.len() < left {
                (ends, left) = (Instant::now() + SOON, open.len());
            }
            let failed = open.iter().any(|job| job[1] == "failed");
            assert!(!failed && Instant::now() < ends, "jobs were not done: {open:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the world: no job may be unfinished or failed, no statement prepared more often than
    /// needed; then servers, database and folders go.
    pub async fn finish(mut self) {
        self.settle().await;
        let faults = self.tap.as_ref().map(Tap::faults).unwrap_or_default();
        assert_eq!(faults, [""; 0], "statements that are not kept");
        let servers = std::mem::take(&mut *self.servers.lock().unwrap());
        for (app, _) in &servers {
            app.stop.cancel();
        }
        for (_, running) in servers {
            running.done().await;
        }
        if let Some(database) = self.database.take() {
            database.drop().await;
        }
        std::fs::remove_dir_all(&self.dir).unwrap();
    }
}

/// The folder of a world; what a failed test of an earlier process with this number has left goes.
fn folder_of(database: &TestDatabase) -> PathBuf {
    let dir = programs().parent().unwrap().join("testworlds").join(&database.name);
    let _ = std::fs::remove_dir_all(&dir);
    dir
}

async fn serve(config: Config, database_url: &str) -> (App, Running) {
    let app = App::open(config, database_url, work::subscriptions()).await.unwrap();
    let running = serve::start(app.clone(), database_url, identity::SESSIONS).await;
    (app, running.unwrap_or_else(|error| panic!("{error}")))
}

impl Drop for World {
    fn drop(&mut self) {
        self.app.stop.cancel();
        let Some(database) = &self.database else { return };
        if std::thread::panicking() {
            eprintln!("kept: database {}, folder {}", database.url, self.dir.display());
        } else {
            panic!("a test has to end with world.finish().await");
        }
    }
}
