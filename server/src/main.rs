//! The `clinicd` program.

use std::process::ExitCode;

use clinicd_server::kernel::db::embedded::{self, Launch};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != embedded::SUBCOMMAND) {
        return ExitCode::FAILURE;
    }
    let outcome = Launch::parse(arguments).and_then(|launch| embedded::supervise(&launch));
    outcome.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}
