//! The supervisor: a process that runs PostgreSQL for as long as somebody uses it.
//!
//! Users hold a shared lock, which the kernel frees however they end. So the supervisor only has
//! to see when it can have that lock alone.

use std::fs::File;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use super::account::Account;
use super::binaries::major_of;
use super::error::{EmbeddedError, io_error};
use super::files::{
    Files, Ready, open_lock, remove_dir_if_there, remove_if_there, try_exclusive, until,
};
use super::launch::Launch;
use super::postgres::Postgres;

/// How often it is checked whether anybody uses the cluster.
const TICK: Duration = Duration::from_millis(100);

/// How long the lock of a predecessor, or of somebody who is just looking, is waited for.
const PREDECESSOR: Duration = Duration::from_secs(10);

/// The body of the hidden subcommand: runs the cluster until nobody has used it for the grace
/// period. An error is left in the file `error` for those who wait for the start.
pub fn supervise(launch: &Launch) -> Result<(), EmbeddedError> {
    let files = Files::new(launch.dir.clone());
    let path = files.file("supervisor.lock");
    let lock = open_lock(&path)?;
    if !until(Instant::now() + PREDECESSOR, || try_exclusive(&lock, &path))? {
        let message = "another supervisor runs in this directory".to_owned();
        return Err(EmbeddedError::Supervisor { message, log: files.log() });
    }
    files.write("supervisor.pid", &format!("{}\n", std::process::id()))?;
    let outcome = run_cluster(&files, launch);
    if let Err(error) = &outcome {
        eprintln!("{error}");
        files.write_error(error)?;
    }
    outcome
}

fn run_cluster(files: &Files, launch: &Launch) -> Result<(), EmbeddedError> {
    let signalled = listen_for_signals();
    files.check_kind(!launch.durable)?;
    let account = Account::choose(files, &launch.binaries)?;
    let socket_dir = super::socket_dir(files.dir());
    let data = files.data();
    let postgres = Postgres { files, launch, account, data, socket_dir };
    postgres.stop_orphan()?;
    postgres.make_socket_dir()?;
    if !launch.durable {
        files.write("temporary", "This cluster is deleted when nobody uses it any more.\n")?;
        remove_dir_if_there(&postgres.data)?;
    }
    if !postgres.data.join("PG_VERSION").exists() {
        postgres.init()?;
    }
    let Some(major) = major_of(&launch.binaries) else {
        return Err(postgres.gone("its programs no longer run"));
    };
    let mut child = postgres.start(super::START_PATIENCE)?;
    let ready = Ready { socket_dir: postgres.socket_dir.clone(), major };
    let users = open_lock(&files.file("users.lock"))?;
    let watched =
        files.write_ready(&ready).and_then(|()| watch(&postgres, &users, &mut child, &signalled));
    // From here on newcomers wait for `users`, which is free again when this process is gone.
    let stopped = postgres.stop(&mut child);
    remove_if_there(&files.file("ready"))?;
    watched.and(stopped)?;
    if !launch.durable {
        remove_dir_if_there(&postgres.data)?;
        remove_if_there(&files.file("temporary"))?;
    }
    remove_dir_if_there(&postgres.socket_dir)
}

/// Returns when nobody has used the cluster for the grace period; `users` is then held.
fn watch(
    postgres: &Postgres<'_>,
    users: &File,
    child: &mut Child,
    signalled: &AtomicBool,
) -> Result<(), EmbeddedError> {
    let path = postgres.files.file("users.lock");
    let mut unused_since = None;
    loop {
        if let Some(status) = child.try_wait().map_err(io_error("watch", &postgres.data))? {
            return Err(postgres.gone(&format!("it ended unexpectedly ({status})")));
        }
        if signalled.load(Ordering::Relaxed) {
            return Err(postgres.gone("a signal asked it to"));
        }
        if try_exclusive(users, &path)? {
            let since: Instant = *unused_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= postgres.launch.grace {
                return Ok(());
            }
            users.unlock().map_err(io_error("unlock", &path))?;
        } else {
            unused_since = None;
        }
        std::thread::sleep(TICK);
    }
}

/// True from the first SIGTERM or SIGINT on. SIGHUP is ignored: the terminal from which the
/// first user came may be closed while others go on.
fn listen_for_signals() -> Arc<AtomicBool> {
    let signalled = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&signalled);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let (Ok(mut term), Ok(mut int), Ok(_hangup)) = (
                signal(SignalKind::terminate()),
                signal(SignalKind::interrupt()),
                signal(SignalKind::hangup()),
            ) else {
                return;
            };
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            flag.store(true, Ordering::Relaxed);
            // Keeps the handlers in place: a second signal must not interrupt the stop.
            std::future::pending::<()>().await;
        });
    });
    signalled
}
