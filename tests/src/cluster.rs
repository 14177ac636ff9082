//! One cluster per run, one template per set of migrations, one database per test.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use clinicd_server::kernel::crypto::sha256;
use clinicd_server::kernel::db::embedded::{self, Options};
use clinicd_server::kernel::db::migrate;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// An outside server to use instead of the embedded one.
const VARIABLE: &str = "TEST_DATABASE_URL";
/// Advisory lock of whoever makes a template.
const LOCK: i64 = 0x7465_6d70;

/// The PostgreSQL of this run.
struct Cluster {
    /// URL of the maintenance database, as superuser.
    url: String,
    /// Keeps the embedded cluster running until this process ends.
    _embedded: Option<embedded::Cluster>,
}

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
static TEMPLATE: OnceCell<String> = OnceCell::const_new();
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// The folder of the built programs: `target/debug`.
#[must_use]
pub fn programs() -> PathBuf {
    let this = std::env::current_exe().expect("the path of this test program");
    this.parent().and_then(Path::parent).expect("…/target/debug/deps/it").to_owned()
}

/// The server's program. `cargo test --test it` alone would not build it, so its age is checked.
#[must_use]
pub fn program() -> PathBuf {
    let path = programs().join("clinicd");
    let built = path.metadata().and_then(|program| program.modified()).ok();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let sources = ["server/src", "server/locales", "proto/clinicd", "migrations"];
    let written = sources.iter().filter_map(|folder| newest(&root.join(folder))).max();
    assert!(
        built >= written,
        "{} is missing or old: run `cargo test --workspace`, which builds it",
        path.display()
    );
    path
}

/// When the newest file below a folder was written.
fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
    entries
        .filter_map(|entry| match entry.path() {
            path if path.is_dir() => newest(&path),
            path => path.metadata().and_then(|file| file.modified()).ok(),
        })
        .max()
}

async fn cluster() -> &'static Cluster {
    CLUSTER
        .get_or_init(async || match std::env::var(VARIABLE) {
            Ok(url) => Cluster { url, _embedded: None },
            Err(_) => tokio::task::spawn_blocking(start).await.expect("the cluster starts"),
        })
        .await
}

fn start() -> Cluster {
    let dir = programs().parent().expect("the target folder").join("testpg");
    let options = Options { executable: Some(program()), ..Options::temporary(dir) };
    let cluster = embedded::ensure(&options).unwrap_or_else(|error| panic!("{error}"));
    Cluster { url: cluster.url("postgres", "postgres"), _embedded: Some(cluster) }
}

/// The URL with another database.
fn with_database(url: &str, database: &str) -> String {
    let (address, options) = url.split_once('?').map_or((url, None), |(a, o)| (a, Some(o)));
    let (server, _) = address.rsplit_once('/').expect("a URL that ends in /<database>");
    options.map_or_else(
        || format!("{server}/{database}"),
        |options| format!("{server}/{database}?{options}"),
    )
}

async fn connect(url: &str) -> Client {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    tokio::spawn(connection);
    client
}

/// Runs SQL and returns the rows as text; `NULL` is empty.
///
/// # Errors
/// What PostgreSQL says.
async fn run(client: &Client, sql: &str) -> Result<Vec<Vec<String>>, tokio_postgres::Error> {
    let answer = client.simple_query(sql).await?;
    Ok(answer
        .into_iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).unwrap_or_default().to_owned()).collect())
            }
            _ => None,
        })
        .collect())
}

/// Runs SQL as superuser on the maintenance database of a cluster.
async fn administer(maintenance: &str, sql: &str) {
    let client = connect(maintenance).await;
    run(&client, sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

/// The template of the present migrations; made once per cluster.
async fn template() -> &'static str {
    TEMPLATE.get_or_init(make_template).await
}

async fn make_template() -> String {
    let url = &cluster().await.url;
    let name = format!("tmpl_{}", hash_of_migrations());
    let client = connect(url).await;
    let must = async |sql: String| {
        run(&client, &sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    };
    must(format!("SELECT pg_advisory_lock({LOCK})")).await;
    let ready = format!("SELECT 1 FROM pg_database WHERE datname = '{name}' AND datistemplate");
    if must(ready).await.is_empty() {
        must(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        must(format!("CREATE DATABASE {name}")).await;
        migrate::run(&with_database(url, &name)).await.unwrap_or_else(|error| panic!("{error}"));
        // From here on nobody connects, so copies never wait for each other.
        must(format!("ALTER DATABASE {name} IS_TEMPLATE true ALLOW_CONNECTIONS false")).await;
    }
    must(format!("SELECT pg_advisory_unlock({LOCK})")).await;
    name
}

fn hash_of_migrations() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let mut folders: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let mut text = String::new();
    for folder in folders.iter().filter(|path| path.is_dir()) {
        text += &std::fs::read_to_string(folder.join("up.sql")).unwrap();
    }
    hex::encode(&sha256(text.as_bytes())[..8])
}

/// Runs SQL on any database; the rows as text.
pub async fn sql(url: &str, sql: &str) -> Vec<Vec<String>> {
    run(&connect(url).await, sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
}

/// The database of one test.
#[derive(Debug)]
pub struct TestDatabase {
    /// Its name.
    pub name: String,
    /// Its URL, as its owner.
    pub url: String,
    /// URL of the maintenance database of its cluster; none when it goes with its cluster.
    maintenance: Option<String>,
}

impl TestDatabase {
    /// A migrated database.
    pub async fn migrated() -> Self {
        let template = template().await;
        Self::create(&format!("TEMPLATE {template} STRATEGY file_copy")).await
    }

    /// A database with nothing in it.
    pub async fn empty() -> Self {
        Self::create("TEMPLATE template0").await
    }

    /// A migrated database that a test has made itself, on a cluster of its own.
    pub async fn on_own_cluster(url: String) -> Self {
        migrate::run(&url).await.unwrap_or_else(|error| panic!("{error}"));
        Self { name: "own".to_owned(), url, maintenance: None }
    }

    async fn create(how: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("t_{}_{number}", std::process::id());
        let maintenance = cluster().await.url.clone();
        administer(&maintenance, &format!("CREATE DATABASE {name} {how}")).await;
        let url = with_database(&maintenance, &name);
        Self { name, url, maintenance: Some(maintenance) }
    }

    /// A migrated database of another cluster, whose maintenance database this is.
    pub async fn of(maintenance: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("o_{}_{number}", std::process::id());
        administer(maintenance, &format!("CREATE DATABASE {name}")).await;
        let url = with_database(maintenance, &name);
        migrate::run(&url).await.unwrap_or_else(|error| panic!("{error}"));
        Self { name, url, maintenance: Some(maintenance.to_owned()) }
    }

    /// Runs SQL as the owner, and returns the rows as text; `NULL` is empty.
    pub async fn sql(&self, sql: &str) -> Vec<Vec<String>> {
        self.try_sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    /// Runs statements without their rows.
    pub async fn batch(&self, sql: &str) {
        connect(&self.url)
            .await
            .batch_execute(sql)
            .await
            .unwrap_or_else(|error| panic!("{error:?}"));
    }

    /// Runs SQL that may fail.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn try_sql(&self, sql: &str) -> Result<Vec<Vec<String>>, tokio_postgres::Error> {
        run(&connect(&self.url).await, sql).await
    }

    /// Drops it, whoever is still connected.
    pub async fn drop(self) {
        let Some(maintenance) = self.maintenance else { return };
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        administer(&maintenance, &drop).await;
    }
}
