//! Compiles the protos: `build/mod.rs` tells how.

#[path = "build/mod.rs"]
mod build;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What the output depends on, below the crate. A folder that a published crate lacks is skipped.
const SOURCES: [&str; 5] = ["build.rs", "build", "buf", "clinicd", TESTDATA];
/// Protos that only tests use.
const TESTDATA: &str = "testdata";

fn main() -> ExitCode {
    for source in SOURCES.iter().filter(|source| Path::new(source).exists()) {
        println!("cargo::rerun-if-changed={source}");
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.to_string().lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), build::Error> {
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    build::generate(&[Path::new(".")], Path::new("clinicd"), &out)?;
    // For `tests/checks.rs`, which a published crate does not hold.
    if Path::new(TESTDATA).exists() { testdata(&out.join("testdata")) } else { Ok(()) }
}

/// Generates messages that use every rule, and notes why each proto with faults is refused.
fn testdata(out: &Path) -> Result<(), build::Error> {
    std::fs::create_dir_all(out)?;
    let folder = Path::new(TESTDATA);
    let includes = [folder, Path::new(".")];
    build::generate(&includes, &folder.join("sample"), out)?;
    let mut refusals = String::new();
    for proto in build::protos_below(&folder.join("faults"))? {
        let checks = build::compile(&includes, &[proto]).and_then(|set| build::checks(&set));
        refusals += &checks.map_or_else(|error| format!("{error}\n"), |_| "accepted\n".to_owned());
    }
    std::fs::write(out.join("refusals.txt"), refusals)?;
    Ok(())
}
