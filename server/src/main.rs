//! The `clinicd` program.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use clinicd_server::commands;
use clinicd_server::config::{Config, Flags};
use clinicd_server::kernel::db::embedded::{self, Launch};
use clinicd_server::kernel::telemetry::{self, TelemetryError};
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The backend of a clinic, over gRPC.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Args)]
struct Settings {
    /// Address to listen on; port 0 picks a free one.
    #[arg(long, global = true)]
    listen: Option<SocketAddr>,
    /// Folder of everything that the server keeps beside the database.
    #[arg(long, global = true)]
    data_dir: Option<PathBuf>,
    /// Address of the private metrics port.
    #[arg(long, global = true)]
    metrics_listen: Option<SocketAddr>,
    /// TOML file with settings.
    #[arg(long, global = true, env = "CLINICD_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything and serve. The default.
    Serve,
    /// Run jobs and schedules only, without a port for calls.
    Worker,
    /// Copy database, stored files and audit heads into a folder, while everything runs on.
    Backup {
        /// The folder; it must be empty or absent.
        #[arg(long)]
        to: PathBuf,
    },
    /// Lay out a backup in an empty data directory. The keys must lie there first.
    Restore {
        /// The folder of the backup.
        #[arg(long)]
        from: PathBuf,
    },
    /// Bring the database to this version.
    Migrate,
    /// Administration from the command line.
    #[command(subcommand)]
    Admin(Admin),
    /// The audit log.
    #[command(subcommand)]
    Audit(Audit),
    /// The key folder.
    #[command(subcommand)]
    Keys(Keys),
    /// Print the effective settings; secrets are masked.
    Config,
    #[command(hide = true, name = embedded::SUBCOMMAND)]
    Supervise {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(Subcommand)]
enum Admin {
    /// Create an account that owns the platform.
    CreateSuperuser {
        /// Its sign-in address.
        #[arg(long)]
        email: String,
        /// Read the password from standard input, up to the first line end.
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// Take the ownership of the platform from an account. The last one that can sign in stays.
    RevokeSuperuser {
        /// Its sign-in address.
        #[arg(long)]
        email: String,
    },
}

#[derive(Subcommand)]
enum Audit {
    /// Recompute the hash chain and compare it with the signed heads.
    Verify,
}

#[derive(Subcommand)]
enum Keys {
    /// Say which keys there are, and what each does.
    List,
    /// Add a key for access tokens. Servers show it at once and sign with it after 10 minutes.
    RotateSigning,
    /// Remove a key for access tokens, when no token of it is valid any more.
    RetireSigning {
        /// The key, as `list` names it.
        kid: String,
    },
    /// Add a master key. Stop every server and worker first, and start them again behind it.
    RotateMaster,
    /// Wrap the keys of all patients by the newest master key.
    Rewrap,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(Command::Supervise { arguments }) = cli.command {
        // Before any runtime: the supervisor outlives the server.
        let outcome = Launch::parse(arguments).and_then(|launch| embedded::supervise(&launch));
        return outcome.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    log_to_stderr();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("clinicd: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What `RUST_LOG` asks for, as far as [`is_private_by_design`].
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,clinicd_server::kernel::access=warn,lopdf=error"));
    tracing_subscriber::registry()
        .with(filter)
        .with(FilterFn::new(is_private_by_design))
        .with(
            tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                // Colours are for people; in a file they are rubbish.
                .with_ansi(std::io::stderr().is_terminal()),
        )
        .init();
}

/// Our own code logs no personal data at any level. The libraries below do when they debug:
/// parameters of statements, headers, frames. No setting opens that.
fn is_private_by_design(event: &Metadata<'_>) -> bool {
    *event.level() <= Level::INFO || event.target().starts_with("clinicd")
}

fn run(cli: Cli) -> Result<(), Box<dyn std::error::Error>> {
    let Settings { listen, data_dir, metrics_listen, config } = cli.settings;
    let flags = Flags { listen, data_dir, metrics_listen };
    let config = Config::load(config.as_deref(), &flags)?;
    let command = cli.command.unwrap_or(Command::Serve);
    if let Command::Config = command {
        print!("{}", toml::to_string_pretty(&config)?);
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Serve => {
                serve_metrics(&config).await?;
                commands::serve(config).await?;
            }
            Command::Worker => {
                serve_metrics(&config).await?;
                commands::work(config).await?;
            }
            Command::Backup { to } => commands::backup(config, &to).await?,
            Command::Restore { from } => commands::restore(config, &from).await?,
            Command::Migrate => commands::migrate(config).await?,
            Command::Admin(Admin::CreateSuperuser { email, .. }) => {
                commands::create_superuser(config, &email, &read_password()?).await?;
            }
            Command::Admin(Admin::RevokeSuperuser { email }) => {
                commands::revoke_superuser(config, &email).await?;
            }
            Command::Audit(Audit::Verify) => commands::verify_audit(config).await?,
            Command::Keys(Keys::List) => commands::list_keys(&config)?,
            Command::Keys(Keys::RotateSigning) => commands::rotate_signing(&config)?,
            Command::Keys(Keys::RetireSigning { kid }) => commands::retire_signing(&config, &kid)?,
            Command::Keys(Keys::RotateMaster) => commands::rotate_master(&config)?,
            Command::Keys(Keys::Rewrap) => commands::rewrap(config).await?,
            Command::Config | Command::Supervise { .. } => {}
        }
        Ok(())
    })
}

fn read_password() -> std::io::Result<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Metrics on a port of their own, when one is configured.
async fn serve_metrics(config: &Config) -> Result<(), TelemetryError> {
    match config.metrics_listen {
        Some(address) => telemetry::serve(address).await,
        None => Ok(()),
    }
}
