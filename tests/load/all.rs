//! `clinicd-load all`: everything by one command, with a server and a database of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use clap::Args;
use clinicd_server::kernel::db::embedded::{self, Cluster};
use tokio_postgres::Client;

use crate::pgbench::{Bench, Script};
use crate::report::{Report, number, table};
use crate::run::Scenario;
use crate::server::Server;
use crate::usage::{Meter, postmaster};
use crate::verdict::{Findings, verdict};
use crate::{BOOKING_REASON, Result, database, floor, run, seed};

/// Database of the embedded cluster, and its owner.
const DATABASE: (&str, &str) = ("clinicd", "postgres");
/// Starts that are timed.
const STARTS: usize = 3;
/// How long an idle server is left alone before its memory is looked at.
const IDLE: Duration = Duration::from_secs(3);
/// How much larger the list is, the second time.
const LARGER: usize = 10;

/// The scenarios, in turn. Streams come first: later the server has memory left over from other calls to put them in.
const SCENARIOS: [Scenario; 17] = [
    Scenario::Watch,
    Scenario::Health,
    Scenario::Empty,
    Scenario::Account,
    Scenario::Get,
    Scenario::Audited,
    Scenario::List,
    Scenario::ListDoctor,
    Scenario::ListTotal,
    Scenario::ListTotalAll,
    Scenario::Search,
    Scenario::SearchTypo,
    Scenario::Slots7,
    Scenario::Slots30,
    Scenario::Upload,
    Scenario::Login,
    Scenario::Book,
];
/// The clients are few accounts that do a lot, so they may; and the jobs of bookings (their mails) are
/// left to a worker, as the floor knows none.
const SETTINGS: [(&str, &str); 9] = [
    ("CLINICD_LIMITS__CALLS_PER_ACCOUNT", "10000"),
    ("CLINICD_LIMITS__STREAMS_PER_ACCOUNT", "12000"),
    ("CLINICD_LIMITS__SIGN_IN_PER_MINUTE", "0"),
    ("CLINICD_LIMITS__PUBLIC_READS_PER_MINUTE", "0"),
    ("CLINICD_LIMITS__UNAUTHENTICATED_PER_MINUTE", "0"),
    ("CLINICD_LIMITS__READS_PER_MINUTE", "0"),
    ("CLINICD_LIMITS__CHANGES_PER_MINUTE", "0"),
    ("CLINICD_LIMITS__MEDICAL_PER_MINUTE", "0"),
    ("CLINICD_WORKER", "false"),
];
/// Those that are measured with more appointments too.
const LISTS: [Scenario; 3] = [Scenario::List, Scenario::ListDoctor, Scenario::ListTotal];

/// How much is measured.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Three rounds of 8 seconds, and the lists with ten times the appointments.
    #[arg(long)]
    pub full: bool,
    /// Rounds; the median counts.
    #[arg(long)]
    pub rounds: Option<usize>,
    /// Seconds of each measurement.
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Doctors.
    #[arg(long, default_value_t = 10_000)]
    pub doctors: usize,
    /// Patients.
    #[arg(long, default_value_t = 20_000)]
    pub patients: usize,
    /// Appointments.
    #[arg(long, default_value_t = 100_000)]
    pub appointments: usize,
    /// Streams of `watch`.
    #[arg(long, default_value_t = 1_000)]
    pub streams: usize,
    /// Only these scenarios.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Scenario>,
    /// Where the data lies while it runs; deleted before and after. `load` beside the programs
    /// unless set.
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Also write all reports to this file.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// Measures everything, and prints it in Markdown.
pub async fn command(options: &Options) -> Result<()> {
    let mut findings = Findings::default();
    let place = Place::fresh(options, "data")?;
    place.start().await?.0.stop().await?;
    for _ in 0..STARTS {
        let (server, took) = place.start().await?;
        findings.starts.push(took.as_secs_f64());
        server.stop().await?;
    }
    let clinic = Clinic::open(&place, options, 1).await?;
    tokio::time::sleep(IDLE).await;
    findings.idle = Meter::new(Some(clinic.server.pid()), None)?.memory();
    clinic.seed().await?;
    let rounds = options.rounds.unwrap_or(if options.full { 3 } else { 1 });
    let bench = Bench::prepare(&clinic.url, &clinic.database).await?;
    let mut all = Vec::new();
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        all.extend(clinic.round(&bench).await?);
    }
    findings.peak = Meter::new(Some(clinic.server.pid()), None)?.memory();
    clinic.close().await?;
    findings.reports = medians(all);
    if options.full {
        let place = Place::fresh(options, "data-larger")?;
        let clinic = Clinic::open(&place, options, LARGER).await?;
        clinic.seed().await?;
        for scenario in LISTS {
            findings.larger.push(clinic.scenario(scenario).await?);
        }
        clinic.close().await?;
    }
    println!("{}\n", verdict(&findings));
    println!("{}", table(&findings.reports));
    if !findings.larger.is_empty() {
        println!("\nWith {LARGER} times the appointments:\n\n{}", table(&findings.larger));
    }
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&findings)?)?;
    }
    Ok(())
}

/// For each name the report whose rate is the median, in the order in which they came.
fn medians(reports: Vec<Report>) -> Vec<Report> {
    let mut by_name: BTreeMap<String, Vec<Report>> = BTreeMap::new();
    let mut order = Vec::new();
    for report in reports {
        let name = report.scenario.clone();
        let of_name = by_name.entry(name.clone()).or_insert_with(|| {
            order.push(name);
            Vec::new()
        });
        of_name.push(report);
    }
    let median = |name: String| {
        let mut reports = by_name.remove(&name)?;
        reports.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
        let failed = reports.iter().map(Report::failed).sum::<u64>();
        let middle = reports.len() / 2;
        let mut report = reports.into_iter().nth(middle)?;
        if failed > report.failed() {
            report.more.insert("errors in all rounds".to_owned(), number(failed));
        }
        Some(report)
    };
    order.into_iter().filter_map(median).collect()
}

impl Options {
    /// A clinic with these patients and little else.
    #[must_use]
    pub fn small(patients: usize) -> Self {
        Self {
            full: false,
            rounds: None,
            seconds: None,
            doctors: 10,
            patients,
            appointments: 100,
            streams: 0,
            only: Vec::new(),
            dir: None,
            json: None,
        }
    }
}

/// Where a server of ours has its data.
pub struct Place {
    dir: PathBuf,
    program: PathBuf,
    /// Beside those of every server.
    setting: Option<(&'static str, &'static str)>,
}

impl Place {
    /// An empty one.
    pub fn fresh(options: &Options, name: &str) -> Result<Self> {
        let this = std::env::current_exe()?;
        let programs = this.parent().ok_or("a program lies in a folder")?;
        let program = programs.join("clinicd");
        if !program.exists() {
            return Err("build clinicd first: cargo build --release --workspace".into());
        }
        let beside = || programs.with_file_name("load");
        let dir = options.dir.clone().unwrap_or_else(beside).join(name);
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        std::fs::create_dir_all(&dir)?;
        Ok(Self { dir: dir.canonicalize()?, program, setting: None })
    }

    /// With one more setting for its server.
    #[must_use]
    pub fn with(self, setting: (&'static str, &'static str)) -> Self {
        Self { setting: Some(setting), ..self }
    }

    /// Starts the server with its embedded database; how long that took.
    async fn start(&self) -> Result<(Server, Duration)> {
        let path = self.dir.with_extension("log");
        let log = std::fs::File::options().create(true).append(true).open(path)?;
        let mut command = Command::new(&self.program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&self.dir);
        command.env_remove("DATABASE_URL").envs(SETTINGS).envs(self.setting).stderr(log);
        Server::start(command).await
    }

    /// The embedded cluster of the running server, which keeps running while this is held.
    async fn cluster(&self) -> Result<Cluster> {
        let options = embedded::Options {
            executable: Some(self.program.clone()),
            ..embedded::Options::durable(self.dir.join("pg"))
        };
        Ok(tokio::task::spawn_blocking(move || embedded::ensure(&options)).await??)
    }
}

/// A server with its database.
pub struct Clinic<'a> {
    options: &'a Options,
    place: &'a Place,
    /// The server.
    pub server: Server,
    /// Keeps the database running.
    cluster: Cluster,
    /// A connection to the database.
    pub database: Client,
    url: String,
    postgres: Option<u32>,
    /// How many times the appointments of the options there are.
    times: usize,
}

impl<'a> Clinic<'a> {
    /// Starts it.
    pub async fn open(place: &'a Place, options: &'a Options, times: usize) -> Result<Self> {
        let (server, _) = place.start().await?;
        let cluster = place.cluster().await?;
        let url = cluster.url(DATABASE.0, DATABASE.1);
        let database = database::connect(&url).await?;
        let postgres = postmaster(&database).await?;
        Ok(Self { options, place, server, cluster, database, url, postgres, times })
    }

    /// Fills its database.
    pub async fn seed(&self) -> Result<()> {
        let counts = seed::seed(&seed::Options {
            doctors: self.options.doctors,
            patients: self.options.patients,
            appointments: self.options.appointments * self.times,
            seed: 1,
            database_url: self.url.clone(),
        })
        .await?;
        eprintln!("seeded: {counts:?}");
        Ok(self.database.batch_execute("CHECKPOINT").await?)
    }

    fn seconds(&self) -> f64 {
        self.options.seconds.unwrap_or(if self.options.full { 8.0 } else { 3.0 })
    }

    /// Everything once. Notes must be there before pgbench can read some, so that comes last.
    async fn round(&self, bench: &Bench) -> Result<Vec<Report>> {
        let floor = floor::Options {
            database_url: self.url.clone(),
            connections: 4,
            in_flight: 8,
            seconds: self.seconds(),
            json: None,
        };
        let mut reports = vec![floor::tonic(&floor).await?];
        let wanted =
            |one: &&Scenario| self.options.only.is_empty() || self.options.only.contains(one);
        for scenario in SCENARIOS.iter().filter(wanted) {
            reports.push(self.scenario(*scenario).await?);
        }
        for script in Script::ALL {
            eprintln!("{}", script.name());
            let report = bench.run(script, self.seconds(), self.postgres).await?;
            reports.extend(report);
            bench.tidy(&self.database).await?;
        }
        Ok(reports)
    }

    async fn scenario(&self, scenario: Scenario) -> Result<Report> {
        eprintln!("{}", scenario.name());
        let report = run::run(&run::Options {
            server: self.server.url.clone(),
            database_url: self.url.clone(),
            scenario,
            connections: None,
            in_flight: None,
            seconds: self.seconds(),
            warm_up: 1.0,
            streams: self.options.streams,
            server_pid: Some(self.server.pid()),
            postgres_pid: self.postgres,
            json: None,
        })
        .await?;
        if matches!(scenario, Scenario::Book | Scenario::Watch) {
            self.tidy().await?;
        }
        Ok(report)
    }

    /// Takes bookings away, and the mails that they would bring.
    async fn tidy(&self) -> Result<()> {
        let sql = format!(
            "TRUNCATE jobs; DELETE FROM appointments WHERE reason = '{BOOKING_REASON}'; \
             TRUNCATE events, stored_answers"
        );
        self.database.batch_execute(&sql).await?;
        self.database.batch_execute("VACUUM appointments").await?;
        Ok(self.database.batch_execute("CHECKPOINT").await?)
    }

    /// Stops the server and deletes its data.
    pub async fn close(self) -> Result<()> {
        self.server.stop().await?;
        drop((self.database, self.cluster));
        // The database stops a moment after its last user has gone.
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(std::fs::remove_dir_all(&self.place.dir)?)
    }
}
