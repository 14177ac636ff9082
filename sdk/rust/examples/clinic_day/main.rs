//! One clinic day, over a real socket, as several different people.
//!
//! In one terminal `cargo run`, in another `cargo run --example clinic_day`. `CLINICD_URL` and
//! `CLINICD_DATA_DIR` name another server; its data directory must be on this machine, because the
//! story reads mails from the development outbox.

mod arrival;
mod ledger;
mod outbox;
mod papers;
mod practice;
mod story;
mod visit;

use std::path::PathBuf;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let setting =
        |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.into());
    let day = story::Day {
        url: setting("CLINICD_URL", "http://127.0.0.1:7080"),
        data_dir: PathBuf::from(setting("CLINICD_DATA_DIR", ".clinicd")),
    };
    match day.run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nThe day went wrong: {failure}");
            ExitCode::FAILURE
        }
    }
}
