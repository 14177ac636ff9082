//! The migrations.

use clinicd_server::kernel::db::migrate;
use clinicd_tests::cluster::TestDatabase;

/// Everything that makes up the schema, as text. What extensions bring is theirs, and the table
/// in which diesel keeps its notes is diesel's.
const PARTS: [(&str, &str); 7] = [
    (
        "columns",
        "SELECT table_name, column_name, data_type, udt_name, is_nullable, column_default, \
         identity_generation FROM information_schema.columns WHERE table_schema = 'public' \
         AND table_name <> '__diesel_schema_migrations' ORDER BY table_name, ordinal_position",
    ),
    (
        "constraints",
        "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint \
         WHERE connamespace = 'public'::regnamespace \
         AND conrelid::regclass::text <> '__diesel_schema_migrations' ORDER BY 1, 2",
    ),
    (
        "indexes",
        "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public' \
         AND tablename <> '__diesel_schema_migrations' ORDER BY 1, 2",
    ),
    (
        "functions",
        "SELECT proname, pg_get_functiondef(p.oid) FROM pg_proc p \
         WHERE pronamespace = 'public'::regnamespace AND NOT EXISTS (SELECT 1 FROM pg_depend d \
         WHERE d.objid = p.oid AND d.deptype = 'e') ORDER BY 1, 2",
    ),
    (
        "triggers",
        "SELECT tgrelid::regclass, pg_get_triggerdef(oid) FROM pg_trigger \
         WHERE NOT tgisinternal ORDER BY 1, 2",
    ),
    (
        "grants",
        "SELECT table_name, grantee, privilege_type FROM information_schema.role_table_grants \
         WHERE table_schema = 'public' AND grantee = 'clinicd_app' \
         AND table_name <> '__diesel_schema_migrations' ORDER BY 1, 2, 3",
    ),
    (
        "types",
        "SELECT typname, typtype FROM pg_type t WHERE typnamespace = 'public'::regnamespace \
         AND typtype IN ('d', 'e') AND NOT EXISTS (SELECT 1 FROM pg_depend d \
         WHERE d.objid = t.oid AND d.deptype = 'e') ORDER BY 1",
    ),
];

async fn dump(database: &TestDatabase) -> String {
    let mut lines = Vec::new();
    for (name, query) in PARTS {
        lines.push(format!("# {name}"));
        let rows = database.sql(query).await;
        lines.extend(rows.into_iter().map(|row| row.join(" | ")));
    }
    lines.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn down_takes_everything_back_and_up_makes_the_same_again() {
    let database = TestDatabase::empty().await;
    let applied = migrate::run(&database.url).await.unwrap().applied;
    assert!(!applied.is_empty());
    let first = dump(&database).await;
    assert!(first.contains("appointments"));

    migrate::revert_all(&database.url).await.unwrap();
    let left = dump(&database).await;
    assert!(left.lines().all(|line| line.starts_with('#')), "down leaves this behind: {left}");

    assert_eq!(migrate::run(&database.url).await.unwrap().applied, applied);
    assert_eq!(dump(&database).await, first);
    assert!(migrate::run(&database.url).await.unwrap().applied.is_empty(), "nothing is left to do");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_newer_version_is_left_alone() {
    let database = TestDatabase::migrated().await;
    database.sql("INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101')").await;
    let refusal = migrate::run(&database.url).await.unwrap_err();
    assert!(matches!(refusal, migrate::MigrateError::Newer { .. }), "{refusal}");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_servers_starting_at_once_migrate_once() {
    let database = TestDatabase::empty().await;
    let runs = (0..4).map(|_| {
        let url = database.url.clone();
        tokio::spawn(async move { migrate::run(&url).await.unwrap().applied.len() })
    });
    let mut applied = Vec::new();
    for run in runs.collect::<Vec<_>>() {
        applied.push(run.await.unwrap());
    }
    assert_eq!(applied.iter().filter(|count| **count > 0).count(), 1, "{applied:?}");
    database.drop().await;
}
