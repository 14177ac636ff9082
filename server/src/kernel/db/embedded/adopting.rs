//! Client programs, and data that comes from a base backup.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::account::Account;
use super::binaries::{self, Search, parse_major};
use super::error::{EmbeddedError, io_error};
use super::files::{Files, remove_dir_if_there};
use super::{BINARIES_VARIABLE, Options, create_private};

/// The program `name` of PostgreSQL `major` or later, best of that version; only in
/// `CLINICD_PG_BIN` when that is set, else on `PATH` and where packages put it.
#[must_use]
pub fn client_program(name: &str, major: u32) -> Option<PathBuf> {
    let only = std::env::var_os(BINARIES_VARIABLE).map(PathBuf::from);
    let mut found: Vec<(u32, PathBuf)> = Search::of_this_machine(only)
        .directories()
        .into_iter()
        .map(|directory| directory.join(name))
        .filter_map(|program| Some((version_of(&program)?, program)))
        .filter(|(version, _)| *version >= major)
        .collect();
    found.sort_by_key(|(version, _)| *version);
    found.into_iter().next().map(|(_, program)| program)
}

fn version_of(program: &Path) -> Option<u32> {
    if !program.is_file() {
        return None;
    }
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

/// Runs a client program to its end and returns what it printed; its last words when it fails.
pub fn run(command: &mut Command) -> Result<String, EmbeddedError> {
    binaries::run(command)
}

/// Makes a copy of the base backup in `base`, of PostgreSQL `major`, the data of the cluster in
/// `options.dir`, which must have none. The next start brings it to a consistent state. Blocks.
pub fn adopt(options: &Options, base: &Path, major: u32) -> Result<(), EmbeddedError> {
    create_private(&options.dir).map_err(io_error("create", &options.dir))?;
    let dir = options.dir.canonicalize().map_err(io_error("find", &options.dir))?;
    let files = Files::new(dir);
    let search = Search::of_this_machine(options.binaries.clone());
    let bin = search.locate(Some(major), &base.join("PG_VERSION"))?;
    let account = Account::choose(&files, &bin)?;
    let data = files.data();
    let draft = data.with_extension("new");
    remove_dir_if_there(&draft)?;
    copy_tree(base, &draft, account)?;
    fs::rename(&draft, &data).map_err(io_error("create", &data))?;
    data.parent().map_or(Ok(()), sync)
}

/// Copies folders and files, to the disk, for the account that PostgreSQL runs as.
fn copy_tree(from: &Path, to: &Path, account: Account) -> Result<(), EmbeddedError> {
    fs::create_dir(to).map_err(io_error("create", to))?;
    account.give(to)?;
    for entry in fs::read_dir(from).map_err(io_error("read", from))? {
        let entry = entry.map_err(io_error("read", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(io_error("read", &source))?.is_dir() {
            copy_tree(&source, &target, account)?;
            continue;
        }
        fs::copy(&source, &target).map_err(io_error("copy", &source))?;
        account.give_file(&target)?;
        sync(&target)?;
    }
    sync(to)
}

fn sync(path: &Path) -> Result<(), EmbeddedError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(io_error("sync", path))
}
