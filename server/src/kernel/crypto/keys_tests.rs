#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::kernel::crypto::Purpose;

/// A folder name of its own, removed at the end.
struct Temp(PathBuf);

impl Temp {
    fn new() -> Self {
        let name = format!("clinicd-keys-{}", hex::encode(Random.bytes::<8>()));
        Self(std::env::temp_dir().join(name).join("keys"))
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.parent().unwrap());
    }
}

fn kids(keys: &Keys) -> Vec<&str> {
    keys.signing.iter().map(|key| key.kid.as_str()).collect()
}

#[test]
fn creates_once_and_reads_again() {
    let folder = Temp::new();
    let absent = KeyFolder::open_or_create(&folder.0, false);
    assert!(matches!(absent, Err(KeyError::Missing(_))));
    assert!(!folder.0.exists());

    let first = KeyFolder::open_or_create(&folder.0, true).unwrap();
    let again = KeyFolder::open_or_create(&folder.0, true).unwrap();
    assert_eq!(kids(&first), kids(&again));
    assert_eq!(first.macs.sign(Purpose::KeyCheck, b""), again.macs.sign(Purpose::KeyCheck, b""));
}

#[cfg(unix)]
#[test]
fn files_are_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Temp::new();
    KeyFolder::open_or_create(&folder.0, true).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.0), 0o700);
    let files: Vec<_> = fs::read_dir(&folder.0).unwrap().map(|f| f.unwrap().path()).collect();
    assert_eq!(files.len(), 3, "master, signing, lock and no draft: {files:?}");
    assert!(files.iter().all(|file| mode(file) == 0o600));
}

#[test]
fn racing_starts_agree() {
    for _ in 0..20 {
        let folder = Temp::new();
        let found: Vec<Keys> = std::thread::scope(|scope| {
            let start = || KeyFolder::open_or_create(&folder.0, true).unwrap();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for keys in &found {
            assert_eq!(kids(keys).len(), 1);
            assert_eq!(kids(keys), kids(&found[0]));
            let check = |keys: &Keys| keys.macs.sign(Purpose::KeyCheck, b"");
            assert_eq!(check(keys), check(&found[0]));
        }
    }
}

#[test]
fn a_half_made_folder_is_finished_and_a_damaged_one_refused() {
    let folder = Temp::new();
    let first = KeyFolder::open_or_create(&folder.0, true).unwrap();
    let pem = folder.0.join(format!("signing-{}.pem", kids(&first)[0]));
    let text = fs::read_to_string(&pem).unwrap();

    fs::remove_file(&pem).unwrap();
    let healed = KeyFolder::open_or_create(&folder.0, true).unwrap();
    assert_ne!(kids(&healed), kids(&first));

    fs::write(&pem, text).unwrap();
    fs::remove_file(folder.0.join("master-1.key")).unwrap();
    let damaged = KeyFolder::open_or_create(&folder.0, true);
    assert!(matches!(damaged, Err(KeyError::Missing(_))));
    KeyFolder::rotate_master(&folder.0).unwrap();
    fs::rename(folder.0.join("master-1.key"), folder.0.join("master-2.key")).unwrap();
    let first_lost = KeyFolder::open_or_create(&folder.0, true);
    assert!(matches!(first_lost, Err(KeyError::Missing(_))));
}

#[test]
fn rotation_adds_and_retirement_refuses() {
    let folder = Temp::new();
    let before = KeyFolder::open_or_create(&folder.0, true).unwrap();
    let key = crate::kernel::crypto::DataKey::generate(1, Random);
    let old = before.master.wrap(&key, b"p").unwrap();
    assert!(matches!(KeyFolder::retire_master(&folder.0, 1), Err(KeyError::NotRetirable(1))));

    assert_eq!(KeyFolder::rotate_master(&folder.0).unwrap(), 2);
    let kid = KeyFolder::rotate_signing(&folder.0).unwrap();
    let after = KeyFolder::open_or_create(&folder.0, false).unwrap();
    assert_eq!(after.master.newest_version(), 2);
    assert!(after.master.unwrap(&old, b"p").is_ok());
    assert_eq!(kids(&after), [kids(&before)[0], &kid]);

    KeyFolder::retire_master(&folder.0, 1).unwrap();
    assert!(matches!(KeyFolder::retire_master(&folder.0, 1), Err(KeyError::NotRetirable(1))));
    let retired = KeyFolder::open_or_create(&folder.0, false).unwrap();
    assert_eq!(retired.master.unwrap(&old, b"p").unwrap_err(), CryptoError::UnknownKey(1));
    let index = |keys: &Keys| keys.macs.sign(Purpose::BlindIndex, b"x");
    assert_eq!(index(&retired), index(&before));
}

#[test]
fn bad_files_are_refused_and_foreign_ones_ignored() {
    for (name, content) in [
        ("master-x.key", "00"),
        ("master-0.key", &"00".repeat(32)),
        ("master-01.key", &"00".repeat(32)),
        ("master-1.retired.key", &"00".repeat(32)),
        ("master-2.key", &"00".repeat(31)),
        ("master-2.key", &"zz".repeat(32)),
        ("signing-a.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"),
        ("signing-a b.pem", "x"),
    ] {
        let folder = Temp::new();
        KeyFolder::open_or_create(&folder.0, true).unwrap();
        fs::write(folder.0.join("README"), "not a key").unwrap();
        assert!(KeyFolder::open_or_create(&folder.0, false).is_ok());
        fs::write(folder.0.join(name), content).unwrap();
        let refused = KeyFolder::open_or_create(&folder.0, true);
        assert!(matches!(refused, Err(KeyError::Malformed(_))), "{name}");
    }
}

#[test]
fn reads_what_openssl_writes() {
    // The example key of RFC 8410, section 10.3.
    let pem = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    let key = SigningKey::from_pem("rfc", pem, 0).unwrap();
    assert_eq!(
        hex::encode(key.public),
        "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1"
    );
    assert_eq!(key.to_pem().as_str(), pem);
}

#[test]
fn debug_and_errors_show_no_key() {
    let folder = Temp::new();
    let keys = KeyFolder::open_or_create(&folder.0, true).unwrap();
    let secret = fs::read_to_string(folder.0.join("master-1.key")).unwrap();
    let text = format!("{keys:?} {:?}", MasterKey::new(1, [0xAB; 32]));
    assert!(!text.contains(secret.trim()) && !text.contains("171") && !text.contains("pkcs8"));
}

#[test]
fn a_signing_key_goes_when_its_last_token_has_ended() {
    let folder = Temp::new();
    assert!(matches!(KeyFolder::rotate_signing(&folder.0), Err(KeyError::Missing(_))));
    let first = kids(&KeyFolder::open_or_create(&folder.0, true).unwrap())[0].to_owned();
    let retire = |kid: &str, now| KeyFolder::retire_signing(&folder.0, kid, now, 900);
    assert!(matches!(retire("x", 0), Err(KeyError::NoSigningKey(_))));
    assert!(matches!(retire(&first, i64::MAX), Err(KeyError::NewestSigningKey(_))));

    let second = KeyFolder::rotate_signing(&folder.0).unwrap();
    assert!(first.starts_with("000001-") && second.starts_with("000002-"));
    let made_at = KeyFolder::signing(&folder.0).unwrap()[1].made_at;
    let over = made_at + crate::kernel::crypto::signing::RIPENS_SECONDS + 900 + 60;
    assert!(matches!(retire(&first, made_at), Err(KeyError::StillValid { minutes: 26, .. })));
    assert!(matches!(retire(&first, over - 1), Err(KeyError::StillValid { minutes: 1, .. })));
    retire(&first, over).unwrap();
    assert!(matches!(retire(&second, i64::MAX), Err(KeyError::NewestSigningKey(_))));
    assert_eq!(KeyFolder::signing(&folder.0).unwrap()[0].kid, second);
}
