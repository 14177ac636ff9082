//! The commands that do their work and end.

use clinicd_tests::cluster::TestDatabase;
use clinicd_tests::people::PASSWORD;

use super::{Ended, Place, Server, run, run_with};

fn printed(ended: Ended) -> toml::Table {
    ended.well().parse().unwrap()
}

#[test]
fn without_settings_it_would_serve_this_machine_alone() {
    let place = Place::new("defaults");
    let config = printed(run(place.clinicd(&["config"])));
    assert_eq!(config["listen"].as_str(), Some("127.0.0.1:7080"));
    assert_eq!(config["data_dir"].as_str(), Some(".clinicd"));
    assert_eq!(config["env"].as_str(), Some("development"));
    assert!(!config.contains_key("metrics_listen"));
    assert!(!place.dir.join(".clinicd").exists(), "asking changes nothing");
}

#[test]
fn flags_go_before_the_environment_and_that_before_the_file() {
    let place = Place::new("order");
    let file = "listen = '127.0.0.1:1'\ndata_dir = 'a'\nmetrics_listen = '127.0.0.1:11'\n";
    std::fs::write(place.dir.join("clinicd.toml"), file).unwrap();
    let of = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = place.clinicd(arguments);
        command.envs(environment.iter().copied());
        let config = printed(run(command));
        ["listen", "data_dir", "metrics_listen"].map(|key| config[key].as_str().unwrap().to_owned())
    };
    let flags = ["--listen", "127.0.0.1:3", "--data-dir", "c", "--metrics-listen", "127.0.0.1:33"];
    let environment = [
        ("CLINICD_CONFIG", "clinicd.toml"),
        ("CLINICD_LISTEN", "127.0.0.1:2"),
        ("CLINICD_DATA_DIR", "b"),
        ("CLINICD_METRICS_LISTEN", "127.0.0.1:22"),
    ];
    let file = of(&["config", "--config", "clinicd.toml"], &[]);
    assert_eq!(file, ["127.0.0.1:1", "a", "127.0.0.1:11"]);
    assert_eq!(of(&["config"], &environment), ["127.0.0.1:2", "b", "127.0.0.1:22"]);
    let flagged = of(&[&["config"], &flags[..]].concat(), &environment);
    assert_eq!(flagged, ["127.0.0.1:3", "c", "127.0.0.1:33"]);
}

#[test]
fn printed_settings_hold_no_secret() {
    let place = Place::new("secrets");
    let mut command = place.clinicd(&["config"]);
    command
        .env("DATABASE_URL", "postgresql://clinic:canary1@db.example/clinic")
        .env("CLINICD_MIGRATION_DATABASE_URL", "postgresql://owner:canary2@db.example/clinic")
        .env("CLINICD_SMS__ADDRESS", "https://sms.example")
        .env("CLINICD_SMS__ACCOUNT", "AC1")
        .env("CLINICD_SMS__TOKEN", "canary3")
        .env("CLINICD_SMS__FROM", "+15550100")
        .env("CLINICD_SMTP__HOST", "mail.example")
        .env("CLINICD_SMTP__PORT", "587")
        .env("CLINICD_SMTP__SECURITY", "starttls")
        .env("CLINICD_SMTP__LOGIN", r#"["clinic", "canary4"]"#)
        .env("CLINICD_SMTP__FROM", "clinic@mail.example")
        .env("CLINICD_REFLECTION", "false");
    let ended = run(command);
    assert!(!ended.stdout.contains("canary") && !ended.stderr.contains("canary"), "{ended:?}");
    let config = printed(ended);
    assert!(config.contains_key("database_url") && config.contains_key("migration_database_url"));
    assert_eq!(config["sms"]["from"].as_str(), Some("+15550100"), "a number, but text");
    assert_eq!(config["smtp"]["login"][0].as_str(), Some("clinic"));
    assert_eq!(config["reflection"].as_bool(), Some(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_brings_an_empty_database_to_this_version() {
    let (place, database) = (Place::new("migrate"), TestDatabase::empty().await);
    let migrate = || {
        let mut command = place.clinicd(&["migrate", "--data-dir", "data"]);
        command.env("DATABASE_URL", &database.url);
        run(command).well()
    };
    assert!(migrate().contains("migrations applied"));
    assert_eq!(database.sql("SELECT count(*) FROM accounts").await, [["0"]]);
    assert_eq!(migrate(), "the database is up to date\n");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superuser_is_made_from_the_command_line() {
    let (place, database) = (Place::new("superuser"), TestDatabase::migrated().await);
    let create = |email: &str, password: &str| {
        let arguments = ["admin", "create-superuser", "--password-stdin", "--data-dir", "data"];
        let mut command = place.clinicd(&[&arguments[..], &["--email", email]].concat());
        command.env("DATABASE_URL", &database.url);
        let ended = run_with(command, &format!("{password}\nand what else the file holds\n"));
        assert!(!format!("{ended:?}").contains(password), "{ended:?}");
        ended
    };
    create("meera@example.org", "too short").refused(&["WEAK_PASSWORD"]);
    create("meera@example.org", "meera@example.org").refused(&["WEAK_PASSWORD"]);
    create("meera at example.org", PASSWORD).refused(&["e-mail address"]);
    assert_eq!(database.sql("SELECT count(*) FROM accounts").await, [["0"]]);
    create("meera@example.org", PASSWORD).well();
    create("Meera@Example.org", "another-harbour-lantern-7").refused(&["another password"]);
    create("meera@example.org", PASSWORD).well();
    let roles = "SELECT role FROM account_roles JOIN accounts ON id = account_id \
                 WHERE email = 'meera@example.org' AND role = 'superuser'";
    assert_eq!(database.sql(roles).await.len(), 1);

    // Without the password on stdin there is no way to give it: it would stand in the shell's
    // history.
    let mut command = place.clinicd(&["admin", "create-superuser", "--email", "a@example.org"]);
    command.env("DATABASE_URL", &database.url);
    let ended = run(command);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("--password-stdin"), "{ended:?}");

    let mut command = place.serve();
    command.env("DATABASE_URL", &database.url);
    let server = Server::start(command);
    server.client().sign_in("meera@example.org", PASSWORD).await.unwrap();
    let said = server.stop().well();
    assert!(!said.contains("superuser"), "there is one already: {said}");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_audit_chain_is_a_failure() {
    let (place, database) = (Place::new("audit"), TestDatabase::migrated().await);
    let verify = || {
        let mut command = place.clinicd(&["audit", "verify", "--data-dir", "data"]);
        command.env("DATABASE_URL", &database.url);
        run(command)
    };
    assert_eq!(verify().well(), "the audit chain is whole: 0 entries\n");
    // An entry that no sealer has seen within the hour.
    let id = "018f0000-0000-7000-8000-000000000001";
    database
        .sql(&format!(
            "INSERT INTO audit_entries (id, created_at, actor_id, actor_roles, session_id, \
             client_address, method, data_types, record_ids, outcome, rule) VALUES ('{id}', \
             now() - interval '1 hour', '{id}', '{{doctor}}', '{id}', '127.0.0.1', 'm', \
             '{{visit_note}}', '{{}}', 'allowed', 'own_record')"
        ))
        .await;
    verify().refused(&[id, "broken"]);
    database.drop().await;
}
