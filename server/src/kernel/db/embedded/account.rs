//! As whom PostgreSQL runs. For an ordinary account: as itself. PostgreSQL refuses root, so
//! there, in this order:
//!
//! 1. as the account `postgres`, else `nobody`, which then owns the data;
//! 2. where that account cannot reach the data or the programs (they lie below a directory such
//!    as root's home): in a user namespace, in which root bears that account's number; the data
//!    stays root's;
//! 3. where namespaces are forbidden, as in many containers: as 1, with the data below
//!    `/var/lib/clinicd` and a file `location` that points there.
//!
//! Data that exists stays with the way that made it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::binaries::run;
use super::error::{EmbeddedError, io_error};
use super::files::Files;

/// Where the data goes when root's PostgreSQL can reach it nowhere else.
const LAST_RESORT: &str = "/var/lib/clinicd";

/// As whom PostgreSQL's programs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Account {
    /// As this process.
    Own { uid: u32 },
    /// As another account.
    Switch { uid: u32, gid: u32 },
    /// As root, which bears another number in a namespace of its own.
    Namespace { uid: u32, gid: u32 },
}

impl Account {
    /// Decides for the cluster in `files` and the programs in `bin`.
    pub(super) fn choose(files: &Files, bin: &Path) -> Result<Self, EmbeddedError> {
        let own = own_uid()?;
        if own != 0 {
            return Ok(Self::Own { uid: own });
        }
        let (uid, gid) = unprivileged()?;
        let namespace = Self::Namespace { uid, gid };
        if let Ok(data) = fs::metadata(files.data()) {
            return match data.uid() {
                0 if namespace.works() => Ok(namespace),
                0 => root(
                    "the existing data can only be used with user namespaces, which are \
                           forbidden here",
                ),
                uid => Ok(Self::Switch { uid, gid: data.gid() }),
            };
        }
        if passable(files.dir()) && passable(bin) {
            Ok(Self::Switch { uid, gid })
        } else if namespace.works() {
            Ok(namespace)
        } else if passable(bin) {
            move_data(files)?;
            Ok(Self::Switch { uid, gid })
        } else {
            root("no other account can reach its programs, and user namespaces are forbidden here")
        }
    }

    /// `program`, to be run as this account, with a bare environment: a stray `PGPORT` or
    /// `PGDATA` must not lead it astray.
    pub(super) fn command(self, program: &Path) -> Command {
        let mut command = match self {
            Self::Namespace { uid, gid } => {
                let mut command = Command::new("unshare");
                command
                    .arg("--user")
                    .args([format!("--map-user={uid}"), format!("--map-group={gid}")])
                    .arg("--")
                    .arg(program);
                command
            }
            Self::Own { .. } | Self::Switch { .. } => Command::new(program),
        };
        command.env_clear().current_dir("/").stdin(Stdio::null());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        if let Self::Switch { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// The number of the account that the programs' files belong to, seen from outside.
    pub(super) fn owner(self) -> u32 {
        match self {
            Self::Own { uid } | Self::Switch { uid, .. } => uid,
            Self::Namespace { .. } => 0,
        }
    }

    /// Makes `path`, an own new directory, private to this account.
    pub(super) fn give(self, path: &Path) -> Result<(), EmbeddedError> {
        self.hand_over(path, 0o700)
    }

    /// Makes `path`, an own new file, private to this account.
    pub(super) fn give_file(self, path: &Path) -> Result<(), EmbeddedError> {
        self.hand_over(path, 0o600)
    }

    fn hand_over(self, path: &Path, mode: u32) -> Result<(), EmbeddedError> {
        if let Self::Switch { uid, gid } = self {
            chown(path, Some(uid), Some(gid)).map_err(io_error("give away", path))?;
        }
        let private = Permissions::from_mode(mode);
        fs::set_permissions(path, private).map_err(io_error("protect", path))
    }

    fn works(self) -> bool {
        run(&mut self.command(Path::new("true"))).is_ok()
    }
}

/// Whether every account may pass through `path` and all above it.
fn passable(path: &Path) -> bool {
    const PASS_FOR_OTHERS: u32 = 0o001;
    let Ok(path) = path.canonicalize() else { return false };
    path.ancestors()
        .all(|dir| fs::metadata(dir).is_ok_and(|found| found.mode() & PASS_FOR_OTHERS != 0))
}

/// Lets the data lie below [`LAST_RESORT`] and leaves a pointer to it.
fn move_data(files: &Files) -> Result<(), EmbeddedError> {
    let home = Path::new(LAST_RESORT).join(super::name_of(files.dir()));
    fs::create_dir_all(&home).map_err(io_error("create", &home))?;
    let data = home.join("data");
    let (dir, data) = (files.dir().display(), data.display());
    eprintln!("PostgreSQL cannot run in {dir} as root's helper account; the data goes to {data}");
    files.write("location", &format!("{data}\n"))
}

/// The account that root's PostgreSQL runs as. `initdb` wants one that has a name.
fn unprivileged() -> Result<(u32, u32), EmbeddedError> {
    for name in ["postgres", "nobody"] {
        if let (Ok(uid @ 1..), Ok(gid)) = (id("-u", Some(name)), id("-g", Some(name))) {
            return Ok((uid, gid));
        }
    }
    root("there is neither an account `postgres` nor `nobody`")
}

/// The number of the account of this process.
pub(super) fn own_uid() -> Result<u32, EmbeddedError> {
    id("-u", None)
}

/// The standard library cannot look accounts up; POSIX's `id` is everywhere.
fn id(what: &str, account: Option<&str>) -> Result<u32, EmbeddedError> {
    let printed = run(Command::new("id").arg(what).args(account))?;
    printed.trim().parse().map_err(|_| EmbeddedError::Program {
        program: "id".to_owned(),
        outcome: "no number".to_owned(),
        output: printed,
    })
}

fn root<T>(reason: &str) -> Result<T, EmbeddedError> {
    Err(EmbeddedError::Root { reason: reason.to_owned() })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_environment_does_not_reach_postgres() {
        let command = Account::Own { uid: 1 }.command(Path::new("postgres"));
        let names: Vec<_> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(names, ["PATH"]);
    }

    #[test]
    fn a_private_directory_is_not_passable() {
        let dir = std::env::temp_dir().join(format!("clinicd-account-{}", std::process::id()));
        let below = dir.join("below");
        fs::create_dir_all(&below).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
        assert!(!passable(&below));
        assert!(!passable(&dir.join("missing")));
        assert!(passable(Path::new("/")));
        fs::remove_dir_all(dir).unwrap();
    }
}
