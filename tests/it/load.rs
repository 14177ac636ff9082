//! The load tool, on a small clinic.

use std::path::Path;
use std::process::Command;

use clinicd_tests::World;

/// Live appointments that take the same time of one doctor or of one patient.
const OVERLAPS: &str = "SELECT count(*) FROM appointments a JOIN appointments b ON a.id < b.id \
    AND a.state IN ('booked', 'in_consultation') AND b.state IN ('booked', 'in_consultation') \
    AND (a.doctor_id = b.doctor_id \
            AND tstzrange(a.blocks_from, a.blocks_until) && tstzrange(b.blocks_from, b.blocks_until) \
        OR a.patient_id = b.patient_id \
            AND tstzrange(a.starts_at, a.ends_at) && tstzrange(b.starts_at, b.ends_at))";

/// Runs the tool to its end; what it said.
async fn load(world: &World, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clinicd-load"));
    command.args(arguments).env("DATABASE_URL", world.database_url());
    command.env("CLINICD_URL", world.url());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a scenario for a moment; its report.
async fn run(world: &World, folder: &Path, scenario: &str) -> serde_json::Value {
    let file = folder.join(format!("{scenario}.json"));
    let few = ["--connections", "1", "--in-flight", "2", "--seconds", "0.4", "--warm-up", "0.1"];
    let path = file.to_str().unwrap();
    let named = ["run", "--scenario", scenario, "--json", path];
    load(world, &[&named[..], &few].concat()).await;
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seeded_clinic_can_be_put_under_load() {
    let world = World::start().await;
    let size = ["--doctors", "20", "--patients", "60", "--appointments", "400"];
    let told = load(&world, &[&["seed"][..], &size].concat()).await;
    assert!(told.contains("appointments           400"), "{told}");
    let counts = world.sql("SELECT count(*), count(DISTINCT id) FROM appointments").await;
    assert_eq!(counts, [["400", "400"]]);
    assert_eq!(world.sql("SELECT count(*) FROM doctors").await, [["20"]]);
    assert_eq!(world.sql(OVERLAPS).await, [["0"]]);

    let folder = world.app.config.data_dir.clone();
    for scenario in ["empty", "get", "book"] {
        let report = run(&world, &folder, scenario).await;
        assert!(report["calls"].as_u64().unwrap() > 0, "{report}");
        assert_eq!(report["errors"], serde_json::json!({}), "{scenario}");
    }
    assert_ne!(world.sql("SELECT count(*) FROM appointments").await, [["400"]]);
    assert_eq!(world.sql(OVERLAPS).await, [["0"]]);
    world.finish().await;
}
