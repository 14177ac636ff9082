#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use std::time::{Duration, Instant};

const GOOD: &str = "violet tractor 91";

fn params() -> PasswordParams {
    PasswordParams { memory_kib: 64, iterations: 1, parallelism: 1, permits: 2, queue: 100 }
}

fn cheap() -> Passwords {
    Passwords::new(params()).unwrap()
}

async fn fits(passwords: &Passwords, password: &str, stored: &str) -> bool {
    passwords.verify(password, Some(stored)).await.unwrap().ok
}

#[tokio::test]
async fn only_the_exact_password_fits() {
    let passwords = cheap();
    let stored = passwords.hash(GOOD).await.unwrap();
    assert!(stored.starts_with("$argon2id$v=19$m=64,t=1,p=1$"));
    assert_ne!(stored, passwords.hash(GOOD).await.unwrap(), "each hash has its own salt");
    assert!(fits(&passwords, GOOD, &stored).await);
    for wrong in ["", " ", "Violet tractor 91", "violet tractor 91 ", " violet tractor 91"] {
        assert!(!fits(&passwords, wrong, &stored).await, "{wrong:?}");
    }
}

#[tokio::test]
async fn long_twins_differ_after_72_bytes() {
    let passwords = cheap();
    let (one, other) = (format!("{}1", "x".repeat(100)), format!("{}2", "x".repeat(100)));
    let stored = passwords.hash(&one).await.unwrap();
    assert!(fits(&passwords, &one, &stored).await);
    assert!(!fits(&passwords, &other, &stored).await);
}

#[tokio::test]
async fn composed_and_decomposed_letters_are_one_password() {
    let passwords = cheap();
    let (composed, decomposed) =
        ("cr\u{e8}me br\u{fb}l\u{e9}e", "cre\u{300}me bru\u{302}le\u{301}e");
    assert_ne!(composed, decomposed);
    for (set, typed) in [(composed, decomposed), (decomposed, composed)] {
        let stored = passwords.hash(set).await.unwrap();
        assert!(fits(&passwords, typed, &stored).await);
    }
}

#[tokio::test]
async fn lengths_are_counted_in_code_points() {
    let passwords = cheap();
    let four_bytes = |count| "\u{1F98A}".repeat(count);
    assert_eq!(passwords.hash(&four_bytes(7)).await, Err(PasswordError::TooShort(8)));
    assert_eq!(passwords.hash(&four_bytes(129)).await, Err(PasswordError::TooLong));
    let longest = passwords.hash(&four_bytes(128)).await.unwrap();
    assert!(fits(&passwords, &four_bytes(128), &longest).await);
    let shortest = passwords.hash(&four_bytes(8)).await.unwrap();
    assert!(fits(&passwords, &four_bytes(8), &shortest).await);
}

#[tokio::test]
async fn overlong_input_is_refused_before_any_work() {
    // No permit will ever come free, so only a check before hashing can answer.
    let passwords = Passwords::new(PasswordParams { permits: 1, queue: 0, ..params() }).unwrap();
    let _held = Arc::clone(&passwords.places).try_acquire_owned().unwrap();
    let huge = "x".repeat(MAX_BYTES + 1);
    assert_eq!(passwords.hash(&huge).await, Err(PasswordError::TooLong));
    assert_eq!(passwords.verify(&huge, None).await, Err(PasswordError::TooLong));
    assert_eq!(passwords.verify(GOOD, None).await, Err(PasswordError::Busy));
}

#[tokio::test]
async fn an_absent_account_costs_the_same_and_never_fits() {
    let slow = PasswordParams { memory_kib: 16 * 1_024, iterations: 2, ..params() };
    let passwords = Passwords::new(slow).unwrap();
    let stored = passwords.hash(GOOD).await.unwrap();
    let mut times = [Duration::MAX; 3];
    for _ in 0..5 {
        let cases = [(GOOD, Some(stored.as_str())), (GOOD, None), ("", None)];
        for (time, (password, stored)) in times.iter_mut().zip(cases) {
            let start = Instant::now();
            let found = passwords.verify(password, stored).await.unwrap();
            *time = (*time).min(start.elapsed());
            assert_eq!(found, Verified { ok: stored.is_some(), needs_rehash: false });
        }
    }
    // A skipped hash would be thousands of times faster; the factor leaves room for a busy machine.
    let [real, absent, empty] = times;
    assert!(absent > real / 4 && absent < real * 4, "{times:?}");
    assert!(empty > real / 4 && empty < real * 4, "{times:?}");
}

#[tokio::test]
async fn weaker_hashes_are_to_be_redone() {
    let old = cheap().hash(GOOD).await.unwrap();
    let rehash = |params: PasswordParams, password: &'static str| {
        let stored = old.clone();
        async move {
            let passwords = Passwords::new(params).unwrap();
            passwords.verify(password, Some(&stored)).await.unwrap().needs_rehash
        }
    };
    assert!(!rehash(params(), GOOD).await);
    assert!(rehash(PasswordParams { memory_kib: 128, ..params() }, GOOD).await);
    assert!(rehash(PasswordParams { iterations: 2, ..params() }, GOOD).await);
    assert!(!rehash(PasswordParams { memory_kib: 32, ..params() }, GOOD).await);
    assert!(!rehash(PasswordParams { iterations: 2, ..params() }, "wrong").await);
}

#[tokio::test]
async fn unreadable_hashes_are_reported() {
    let passwords = cheap();
    for stored in ["", "plain", "$2b$12$abcdefghijklmnopqrstuv", "$argon2id$v=19$m=1,t=1,p=1"] {
        let refused = passwords.verify(GOOD, Some(stored)).await;
        assert!(!matches!(refused, Ok(Verified { ok: true, .. })), "{stored}");
    }
    assert_eq!(passwords.verify(GOOD, Some("plain")).await, Err(PasswordError::BadHash));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_is_cut_off_and_passes() {
    let slow = PasswordParams { memory_kib: 4 * 1_024, permits: 1, queue: 2, ..params() };
    let passwords = Passwords::new(slow).unwrap();
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let passwords = passwords.clone();
            tokio::spawn(async move { passwords.verify(GOOD, None).await })
        })
        .collect();
    let mut busy = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(found) => assert!(!found.ok),
            Err(error) => {
                assert_eq!(error, PasswordError::Busy);
                busy += 1;
            }
        }
    }
    assert!((1..=47).contains(&busy), "{busy} of 50 were refused");
    assert!(passwords.verify(GOOD, None).await.is_ok(), "all permits came back");
}

#[tokio::test]
async fn a_caller_who_gives_up_frees_no_room_early() {
    let slow =
        PasswordParams { memory_kib: 64 * 1_024, iterations: 6, permits: 1, queue: 0, ..params() };
    let passwords = Passwords::new(slow).unwrap();
    let gave_up =
        tokio::time::timeout(Duration::from_millis(1), passwords.verify(GOOD, None)).await;
    assert!(gave_up.is_err());
    assert_eq!(passwords.verify(GOOD, None).await, Err(PasswordError::Busy));
    let _ = passwords.places.acquire().await.unwrap();
    assert!(passwords.verify(GOOD, None).await.is_ok());
}

#[test]
fn impossible_parameters_are_refused() {
    for params in [
        PasswordParams { memory_kib: 0, ..params() },
        PasswordParams { iterations: 0, ..params() },
        PasswordParams { parallelism: 0, ..params() },
        PasswordParams { permits: 0, ..params() },
        PasswordParams { queue: usize::MAX, ..params() },
    ] {
        assert_eq!(Passwords::new(params).unwrap_err(), PasswordError::Failed);
    }
    assert!(PasswordParams::OWASP_MINIMUM.is_strong());
    assert!(!params().is_strong());
}

#[test]
fn length_depends_on_the_use() {
    let check = |password: &str, used| check_strength(password, &[], used);
    assert_eq!(check("violet 91!", PasswordUse::BesideSecondFactor), Ok(()));
    assert_eq!(check("violet 91!", PasswordUse::Alone), Err(PasswordError::TooShort(12)));
    assert_eq!(check("violet", PasswordUse::BesideSecondFactor), Err(PasswordError::TooShort(8)));
    assert_eq!(check(&"v\u{e9} ".repeat(43), PasswordUse::Alone), Err(PasswordError::TooLong));
    assert_eq!(check(&"v\u{e9} ".repeat(42), PasswordUse::Alone), Ok(()));
}

#[test]
fn common_passwords_are_weak_and_phrases_are_not() {
    let check = |password: &str| check_strength(password, &[], PasswordUse::BesideSecondFactor);
    for weak in [
        "password",
        "PassWord",
        "password123",
        "Password2026!",
        "12345678",
        "iloveyou",
        "qwertyuiop",
        "\u{ff50}\u{ff41}\u{ff53}\u{ff53}\u{ff57}\u{ff4f}\u{ff52}\u{ff44}",
        "!!letmein!!",
        "MyClinicD-2026",
    ] {
        assert_eq!(check(weak), Err(PasswordError::WeakPassword), "{weak}");
    }
    for good in [
        GOOD,
        "correct horse battery staple",
        "my password is a goat",
        "91827364550",
        "        \u{1F98A}",
        "\u{928}\u{92e}\u{938}\u{94d}\u{924}\u{947} \u{926}\u{94b}\u{938}\u{94d}\u{924}",
    ] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
}

#[test]
fn personal_data_is_weak() {
    let personal = ["Ann-Marie O'Connor", "ann.lindqvist@example.org", "+91 98765 43210", "Li"];
    let check = |password: &str| check_strength(password, &personal, PasswordUse::Alone);
    for weak in [
        "xxMARIExx2026",
        "connor and sons",
        "Lindqvist#2026",
        "I like example sites",
        "tel9876543210",
        "6543210 violets",
    ] {
        assert_eq!(check(weak), Err(PasswordError::WeakPassword), "{weak}");
    }
    assert_eq!(check("annoying lions"), Ok(()), "parts below four characters do not count");
    assert_eq!(check("98764 violets 321"), Ok(()), "five digits in a row are a chance");
}

#[test]
fn the_common_list_is_clean() {
    let lines: Vec<&str> = COMMON.lines().collect();
    assert!(lines.len() >= 200);
    for line in &lines {
        assert_eq!(**line, *folded(line), "{line}");
        assert!(!line.is_empty() && line.trim() == *line, "{line:?}");
    }
    let unique: std::collections::HashSet<_> = lines.iter().collect();
    assert_eq!(unique.len(), lines.len());
}
