//! One throw-away cluster for this program, a database for each test.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use clinicd_server::app::App;
use clinicd_server::config::Config;
use clinicd_server::kernel::db::embedded::{Cluster, Options, ensure};
use clinicd_server::kernel::db::{Conn, migrate, tls};
use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;

/// Connections of an application.
pub const CONNECTIONS: u32 = 24;

/// Runs until this program ends; the supervisor then deletes it.
static CLUSTER: OnceLock<Cluster> = OnceLock::new();

fn directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kernel-{}", std::process::id()))
}

fn cluster() -> &'static Cluster {
    CLUSTER.get_or_init(|| {
        let executable = Some(PathBuf::from(env!("CARGO_BIN_EXE_clinicd")));
        ensure(&Options { executable, ..Options::temporary(directory().join("pg")) }).unwrap()
    })
}

/// A migrated database and an application on it.
pub struct Scratch {
    pub app: App,
    pub url: String,
}

impl Scratch {
    pub async fn new(name: &str) -> Self {
        let cluster = tokio::task::spawn_blocking(cluster).await.unwrap();
        let mut conn = tls::connect(&cluster.url("postgres", "postgres"), "").await.unwrap();
        run(&mut conn, &format!("CREATE DATABASE {name}")).await;
        let url = cluster.url(name, "postgres");
        migrate::run(&url).await.unwrap();
        let data_dir = directory().join(name);
        std::fs::create_dir_all(&data_dir).unwrap();
        let config = Config { data_dir, database_connections: CONNECTIONS, ..Config::default() };
        let app = App::open(config, &url, Vec::new()).await.unwrap();
        Self { app, url }
    }

    /// A connection of the owner of the tables.
    pub async fn owner(&self) -> Conn {
        tls::connect(&self.url, "").await.unwrap()
    }
}

pub async fn run(conn: &mut Conn, sql: &str) {
    diesel::sql_query(sql).execute(conn).await.unwrap();
}

/// The one number that a query named `n` gives.
pub async fn number(conn: &mut Conn, sql: &str) -> i64 {
    #[derive(diesel::QueryableByName)]
    struct Number {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    diesel::sql_query(sql).get_result::<Number>(conn).await.unwrap().n
}

/// The texts that a query named `t` gives.
pub async fn texts(conn: &mut Conn, sql: &str) -> Vec<String> {
    #[derive(diesel::QueryableByName)]
    struct Line {
        #[diesel(sql_type = Text)]
        t: String,
    }
    let lines: Vec<Line> = diesel::sql_query(sql).get_results(conn).await.unwrap();
    lines.into_iter().map(|line| line.t).collect()
}

/// Waits until a query gives this number.
pub async fn until(conn: &mut Conn, sql: &str, wanted: i64) {
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        let found = number(conn, sql).await;
        if found == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{sql}: {found}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
