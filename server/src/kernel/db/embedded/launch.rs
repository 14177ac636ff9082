//! The arguments of the hidden subcommand: built by the one who starts it, read by the one who
//! is started.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use super::error::EmbeddedError;

/// The name of the hidden subcommand, the first argument that [`Launch::arguments`] gives.
pub const SUBCOMMAND: &str = "pg-supervise";

/// What the supervisor is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The cluster's directory. It exists and its path is absolute.
    pub dir: PathBuf,
    /// The directory of PostgreSQL's programs.
    pub binaries: PathBuf,
    /// See [`super::Options::durable`].
    pub durable: bool,
    /// See [`super::Options::grace`].
    pub grace: Duration,
}

impl Launch {
    /// The whole argument vector, subcommand first.
    #[must_use]
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![
            SUBCOMMAND.into(),
            "--dir".into(),
            self.dir.clone().into(),
            "--binaries".into(),
            self.binaries.clone().into(),
            "--grace-ms".into(),
            self.grace.as_millis().to_string().into(),
        ];
        if !self.durable {
            arguments.push("--temporary".into());
        }
        arguments
    }

    /// Reads what [`Launch::arguments`] gave, without the subcommand.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, EmbeddedError> {
        let (mut dir, mut binaries, mut grace, mut durable) = (None, None, None, true);
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            if name == OsStr::new("--temporary") {
                durable = false;
                continue;
            }
            let Some(value) = arguments.next() else {
                return wrong(format!("no value for {}", name.display()));
            };
            match name.to_str() {
                Some("--dir") => dir = Some(PathBuf::from(value)),
                Some("--binaries") => binaries = Some(PathBuf::from(value)),
                Some("--grace-ms") => grace = value.to_str().and_then(|text| text.parse().ok()),
                _ => return wrong(format!("unknown argument {}", name.display())),
            }
        }
        let (Some(dir), Some(binaries), Some(grace)) = (dir, binaries, grace) else {
            return wrong("--dir, --binaries and --grace-ms are needed".to_owned());
        };
        Ok(Self { dir, binaries, durable, grace: Duration::from_millis(grace) })
    }
}

fn wrong<T>(reason: String) -> Result<T, EmbeddedError> {
    Err(EmbeddedError::Arguments(reason))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_is_built_is_read_back() {
        for durable in [true, false] {
            let launch = Launch {
                dir: "/a dir/pg".into(),
                binaries: "/usr/bin".into(),
                durable,
                grace: Duration::from_millis(1_500),
            };
            let arguments = launch.arguments();
            assert_eq!(arguments[0], SUBCOMMAND);
            assert_eq!(Launch::parse(arguments.into_iter().skip(1)).unwrap(), launch);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for arguments in [&["--dir"][..], &["--dir", "x"], &["--what", "x"], &[]] {
            assert!(Launch::parse(arguments.iter().map(OsString::from)).is_err());
        }
    }
}
