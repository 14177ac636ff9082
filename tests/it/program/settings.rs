//! What the program does not start with, and how it says so.

use std::net::TcpListener;
use std::process::Command;

use clinicd_tests::cluster::TestDatabase;

use super::{Ended, Place, run};

/// `clinicd serve` with these settings.
fn serve(place: &Place, settings: &[(&str, &str)]) -> Ended {
    let mut command = place.serve();
    command.envs(settings.iter().copied());
    run(command)
}

#[test]
fn unknown_keys_are_refused_wherever_they_stand() {
    let place = Place::new("unknown");
    let file = |text: &str| {
        std::fs::write(place.dir.join("clinicd.toml"), text).unwrap();
        serve(&place, &[("CLINICD_CONFIG", "clinicd.toml")])
    };
    file("liten = '127.0.0.1:0'").refused(&["liten", "clinicd.toml", "`listen`"]);
    file("[passwords]\nmemory = 1").refused(&["passwords.memory", "`memory_kib`"]);
    file("listen = ").refused(&["clinicd.toml"]);
    serve(&place, &[("CLINICD_UNKNOWN_KEY", "1")]).refused(&["UNKNOWN_KEY", "environment"]);
    serve(&place, &[("CLINICD_SMS__TOKN", "1")]).refused(&["SMS.TOKN", "`token`"]);
    serve(&place, &[("CLINICD_CONFIG", "missing.toml")]).refused(&["missing.toml"]);
}

#[test]
fn values_of_the_wrong_type_are_refused() {
    let place = Place::new("types");
    for (name, value) in [
        ("CLINICD_LISTEN", "everywhere"),
        ("CLINICD_DATABASE_CONNECTIONS", "many"),
        ("CLINICD_DATABASE_CONNECTIONS", "-1"),
        ("CLINICD_REFLECTION", "perhaps"),
        ("CLINICD_ENV", "staging"),
        ("CLINICD_CORS_ORIGINS", "https://app.example.org"),
    ] {
        let key = name.trim_start_matches("CLINICD_");
        let mut command = place.clinicd(&["config"]);
        command.env(name, value);
        run(command).refused(&[key]);
    }
    let mut command = place.serve();
    command.arg("--metrics-listen").arg("nowhere");
    let ended = run(command);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("--metrics-listen"), "{ended:?}");
}

/// A wildcard, and what would never match.
#[tokio::test(flavor = "multi_thread")]
async fn origins_are_written_as_browsers_send_them() {
    let (place, database) = (Place::new("origins"), TestDatabase::migrated().await);
    for origin in ["*", "null", "app.example.org", "https://app.example.org/", "https://a.b/app"] {
        let origins = format!("[\"{origin}\"]");
        let settings = [("CLINICD_CORS_ORIGINS", &*origins), ("DATABASE_URL", &database.url)];
        let ended = serve(&place, &settings);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("CLINICD_CORS_ORIGINS"), "{ended:?}");
    }
    database.drop().await;
}

#[test]
fn a_refused_secret_is_not_shown() {
    let place = Place::new("shown");
    let login = [("CLINICD_SMTP__LOGIN", r#"["clinic", 4711471147]"#)];
    let ended = serve(&place, &login);
    ended.refused(&["SMTP.LOGIN", "quotes"]);
    assert!(!ended.stderr.contains("4711"), "{ended:?}");
    for url in ["postgresql://u:canary@127.0.0.1:nowhere/x", "postgresql://u:canary@127.0.0.1:1/x"]
    {
        let ended = serve(&place, &[("DATABASE_URL", url)]);
        ended.refused(&["DATABASE_URL"]);
        assert!(!ended.stderr.contains("canary"), "{ended:?}");
    }
}

#[test]
fn production_names_everything_that_is_missing_at_once() {
    let place = Place::new("production");
    let missing = [
        "DATABASE_URL",
        "CLINICD_KEYS_DIR",
        "CLINICD_SMTP__HOST",
        "CLINICD_SMS__ADDRESS",
        "CLINICD_PUBLIC_URL",
    ];
    serve(&place, &[("CLINICD_ENV", "production")]).refused(&missing);
    assert!(!place.dir.join("data").exists(), "nothing was made up");

    let all = [
        ("CLINICD_ENV", "production"),
        ("DATABASE_URL", "postgresql://clinic@db.example/clinic?sslmode=require"),
        ("CLINICD_KEYS_DIR", "keys"),
        ("CLINICD_SMTP__HOST", "mail.example"),
        ("CLINICD_SMTP__PORT", "465"),
        ("CLINICD_SMTP__SECURITY", "tls"),
        ("CLINICD_SMTP__FROM", "clinic@mail.example"),
        ("CLINICD_SMS__ADDRESS", "https://sms.example"),
        ("CLINICD_SMS__ACCOUNT", "AC1"),
        ("CLINICD_SMS__TOKEN", "1234567890"),
        ("CLINICD_SMS__FROM", "+15550100"),
        ("CLINICD_PUBLIC_URL", "https://api.clinic.example"),
    ];
    let with = |change: &[(&str, &str)]| {
        let mut command = place.clinicd(&["config"]);
        command.envs(all).envs(change.iter().copied());
        command
    };
    run(with(&[])).well();
    for plaintext in ["", "?sslmode=disable", "?sslmode=prefer"] {
        let url = format!("postgresql://clinic@db.example/clinic{plaintext}");
        for name in ["DATABASE_URL", "CLINICD_READ_DATABASE_URL"] {
            run(with(&[(name, &url)])).refused(&[&format!("{name} must"), "sslmode=require"]);
        }
    }
    run(with(&[("DATABASE_URL", "postgresql://clinic@%2Frun%2Fpg/clinic")])).well();
    run(with(&[("CLINICD_PUBLIC_URL", "http://clinic.example")])).refused(&["https://"]);
    run(with(&[("CLINICD_PASSWORDS__MEMORY_KIB", "1024")])).refused(&["19456"]);
    run(with(&[("CLINICD_TLS_KEY", "key.pem")])).refused(&["CLINICD_TLS_CERTIFICATE"]);
    for sink in ["CLINICD_SMTP__", "CLINICD_SMS__"] {
        let mut command = with(&[]);
        for (name, _) in all.iter().filter(|(name, _)| name.starts_with(sink)) {
            command.env_remove(name);
        }
        run(command).refused(&[sink, "outbox"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_newer_version_is_refused() {
    let (place, database) = (Place::new("newer"), TestDatabase::migrated().await);
    database.sql("INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101')").await;
    for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["migrate"], &["audit", "verify"]]
    {
        let mut command = place.clinicd(arguments);
        command.env("DATABASE_URL", &database.url);
        run(command).refused(&["newer clinicd", "29990101", "restore a backup"]);
    }
    database.drop().await;
}

#[test]
fn a_machine_without_postgres_is_told_what_to_install() {
    let place = Place::new("binaries");
    let ended = serve(&place, &[("CLINICD_PG_BIN", place.dir.to_str().unwrap())]);
    ended.refused(&["install PostgreSQL", "CLINICD_PG_BIN", "DATABASE_URL"]);
}

#[test]
fn a_data_directory_that_cannot_be_is_refused() {
    let place = Place::new("unwritable");
    std::fs::write(place.dir.join("data"), "a file").unwrap();
    run(place.serve()).refused(&["data", "CLINICD_DATA_DIR"]);
    let below = [("CLINICD_DATA_DIR", "data/below")];
    let mut command = place.clinicd(&["serve", "--listen", "127.0.0.1:0"]);
    command.envs(below);
    run(command).refused(&["data/below", "CLINICD_DATA_DIR"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_refused() {
    let (place, database) = (Place::new("taken"), TestDatabase::migrated().await);
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let mut command = place.clinicd(&["serve", "--listen", &address, "--data-dir", "data"]);
    command.env("DATABASE_URL", &database.url);
    let ended = run(command);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains(&address) && ended.stderr.contains("--listen"), "{ended:?}");
    assert!(!ended.stdout.contains("listening"), "{ended:?}");
    database.drop().await;
}

/// Whoever asks for TLS never gets plaintext instead.
#[tokio::test(flavor = "multi_thread")]
async fn tls_is_whole_or_refused() {
    let (place, database) = (Place::new("tls"), TestDatabase::migrated().await);
    std::fs::write(place.dir.join("nonsense.pem"), "nonsense").unwrap();
    let serve = |settings: &[(&str, &str)]| {
        let mut command: Command = place.serve();
        command.env("DATABASE_URL", &database.url).envs(settings.iter().copied());
        let ended = run(command);
        assert!(!ended.stdout.contains("listening"), "{ended:?}");
        assert_eq!(ended.code, Some(1), "{ended:?}");
        ended.stderr
    };
    let (certificate, key) = ("CLINICD_TLS_CERTIFICATE", "CLINICD_TLS_KEY");
    for half in [certificate, key] {
        let said = serve(&[(half, "nonsense.pem")]);
        assert!(said.contains(certificate) && said.contains(key), "{said}");
    }
    let said = serve(&[(certificate, "missing.pem"), (key, "missing.key")]);
    assert!(said.contains("missing.pem"), "{said}");
    let said = serve(&[(certificate, "nonsense.pem"), (key, "nonsense.pem")]);
    assert!(said.contains(certificate) && said.contains("PEM"), "{said}");
    database.drop().await;
}
