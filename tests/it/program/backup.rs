//! A backup brings everything back, and what is no whole backup is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clinicd_sdk::proto::appointments::v1::{
    Appointment, BookAppointmentRequest, ListAppointmentsRequest, ListSlotsRequest,
    StartVisitRequest,
};
use clinicd_sdk::proto::feed::v1::WatchRequest;
use clinicd_sdk::proto::journals::v1::{GetNoteRequest, SaveDraftRequest, SignNoteRequest};
use clinicd_sdk::proto::prost_types::Timestamp;
use clinicd_sdk::proto::r#type::v1::{ConsultationMode, Date};
use clinicd_sdk::{Client, Download};
use clinicd_server::kernel::crypto::KeyFolder;
use clinicd_server::kernel::data_dir::DataDir;
use clinicd_server::kernel::db::embedded::{self, Cluster, Options};
use clinicd_tests::cluster::{TestDatabase, program};
use clinicd_tests::doctors::{ZONE, picture};
use clinicd_tests::expect::SOON;
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{Person, World, eventually};
use jiff::ToSpan as _;

use super::{Ended, Place, Server, run};

const NOTE: &str = "Palpitations for five days. Pulse 88, regular.";

/// Whether backups can be made here; says so when not.
fn can_back_up() -> bool {
    let can = embedded::client_program("pg_basebackup", 15).is_some();
    if !can {
        eprintln!("SKIPPED: there is no pg_basebackup here; install postgresql-client-15");
    }
    can
}

/// A world on the embedded database of the data directory `data`, as `clinicd serve` would use it.
async fn world_in(place: &Place) -> (World, Cluster) {
    let data = DataDir::open(&place.dir.join("data")).unwrap().path().to_owned();
    let options = Options { executable: Some(program()), ..Options::durable(data.join("pg")) };
    let cluster = tokio::task::spawn_blocking(move || embedded::ensure(&options)).await.unwrap();
    let cluster = cluster.unwrap_or_else(|error| panic!("{error}"));
    let (admin, connection) =
        tokio_postgres::connect(&cluster.url("postgres", "postgres"), tokio_postgres::NoTls)
            .await
            .unwrap();
    tokio::spawn(connection);
    admin.batch_execute("CREATE DATABASE clinicd").await.unwrap();
    let database = TestDatabase::on_own_cluster(cluster.url("clinicd", "postgres")).await;
    let folder = place.dir.join("world");
    fs::create_dir(&folder).unwrap();
    let world = World::start_in(database, folder, &data).await;
    (world, cluster)
}

async fn command(command: std::process::Command) -> Ended {
    tokio::task::spawn_blocking(move || run(command)).await.unwrap()
}

fn back_up(place: &Place, to: &str) -> std::process::Command {
    place.clinicd(&["backup", "--to", to, "--data-dir", "data"])
}

fn restore(place: &Place, from: &str, data: &str) -> std::process::Command {
    place.clinicd(&["restore", "--from", from, "--data-dir", data])
}

/// The doctor's free slots of the coming days.
async fn slots(world: &World, doctor: &Person) -> Vec<Option<Timestamp>> {
    let today = world.app.clock.now().timestamp().in_tz(ZONE).unwrap().date();
    let date = |days: i64| {
        let day = today.checked_add(days.days()).unwrap();
        Some(Date { year: day.year().into(), month: day.month().into(), day: day.day().into() })
    };
    let request = ListSlotsRequest {
        doctor_id: doctor.id.clone(),
        mode: ConsultationMode::Video.into(),
        first_day: date(1),
        last_day: date(7),
    };
    world.client().send(request).await.unwrap().slots.into_iter().map(|slot| slot.start).collect()
}

async fn book(client: &Client, doctor: &str, start_time: Option<Timestamp>) -> Appointment {
    let request = BookAppointmentRequest {
        doctor_id: doctor.to_owned(),
        mode: ConsultationMode::Video.into(),
        start_time,
        reason: "A flutter in the chest.".to_owned(),
        ..Default::default()
    };
    client.send(request).await.unwrap().appointment.unwrap()
}

/// A signed note about a visit whose time has come; its id.
async fn signed_note(world: &World, doctor: &Client, booked: &Appointment) -> String {
    // Nobody waits here until the visit may begin.
    let shifted = ["starts_at", "ends_at", "blocks_from", "blocks_until"]
        .map(|column| format!("{column} = {column} - (starts_at - now())"));
    let id = &booked.id;
    world.sql(&format!("UPDATE appointments SET {} WHERE id = '{id}'", shifted.join(", "))).await;
    let appointment_id = booked.id.clone();
    let etag = booked.etag.clone();
    let start =
        StartVisitRequest { appointment_id: appointment_id.clone(), etag, ..Default::default() };
    doctor.send(start).await.unwrap();
    let draft = SaveDraftRequest { appointment_id, text: NOTE.to_owned(), ..Default::default() };
    let note = doctor.send(draft).await.unwrap().note.unwrap();
    let sign = SignNoteRequest { note_id: note.id, etag: note.etag, ..Default::default() };
    doctor.send(sign).await.unwrap().note.unwrap().id
}

async fn download(client: &Client, file: &str) -> Vec<u8> {
    let download: Download = client.download(file).await.unwrap();
    download.bytes().await.unwrap()
}

/// The appointments that were booked, in the order of the feed, from a token to one of them.
async fn booked_since(client: &Client, token: &str, last: &str) -> Vec<String> {
    let request = WatchRequest { resume_token: token.to_owned(), ..Default::default() };
    let mut feed = client.stream(request).await.unwrap();
    let mut seen = Vec::new();
    while seen.last().is_none_or(|id| id != last) {
        let message = tokio::time::timeout(SOON, feed.message()).await.unwrap();
        let message = message.unwrap().unwrap();
        let event = message.event.filter(|event| event.r#type == "appointment.booked");
        seen.extend(event.map(|event| event.resource_id));
    }
    seen
}

/// Copies a folder as it is.
fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}

/// What was there before the backup.
struct Before {
    doctor: Person,
    asha: Person,
    ravi: Person,
    /// A token of the doctor's feed, from before the bookings.
    token: String,
    note: String,
    file: String,
    bytes: Vec<u8>,
    booked: Vec<String>,
    /// Slots that are still free.
    free: Vec<Option<Timestamp>>,
}

async fn a_days_work(world: &World) -> Before {
    let (doctor, asha, ravi) = (world.doctor().await, world.patient().await, world.patient().await);
    let mut free = slots(world, &doctor).await;
    let mut feed = doctor.client.stream(WatchRequest::default()).await.unwrap();
    let token = feed.message().await.unwrap().unwrap().resume_token;
    let visit = book(&asha.client, &doctor.id, free.remove(0)).await;
    let note = signed_note(world, &doctor.client, &visit).await;
    let file = asha.client.upload("scan.png", "image/png", &picture()).await.unwrap().id;
    let bytes = download(&asha.client, &file).await;
    let mut booked = vec![visit.id];
    for slot in free.drain(..3) {
        booked.push(book(&ravi.client, &doctor.id, slot).await.id);
    }
    Before { doctor, asha, ravi, token, note, file, bytes, booked, free }
}

/// Makes a backup while bookings go on and notes are read.
async fn back_up_under_load(place: &Place, before: &mut Before) {
    let last = before.free.pop().unwrap();
    let mut free = std::mem::replace(&mut before.free, vec![last]).into_iter();
    let enough = Arc::new(AtomicBool::new(false));
    let (stop, client, id) = (enough.clone(), before.ravi.client.clone(), before.doctor.id.clone());
    let (reader, read) =
        (before.asha.client.clone(), GetNoteRequest { note_id: before.note.clone() });
    let load = tokio::spawn(async move {
        let mut during = 0;
        while let Some(slot) = free.next().filter(|_| !stop.load(Ordering::Relaxed)) {
            book(&client, &id, slot).await;
            // Audited, so that the chain grows as well.
            reader.send(read.clone()).await.unwrap();
            during += 1;
        }
        during
    });
    let said = command(back_up(place, "backup")).await.well();
    enough.store(true, Ordering::Relaxed);
    assert!(load.await.unwrap() > 0, "nothing went on meanwhile");
    assert!(said.contains("is complete") && said.contains("keys"), "{said}");
    let backup = place.dir.join("backup");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&backup), 0o700);
    for path in ["backup.json", "checksums.txt", "audit/heads.ndjson", "database/PG_VERSION"] {
        assert_eq!(mode(&backup.join(path)), 0o600, "{path}");
    }
}

/// Everything acknowledged before the backup is there after it, while bookings go on. Seen to fail
/// while the audit heads were copied last: the chain was shorter than a signed head.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_brings_everything_back() {
    if !can_back_up() {
        return;
    }
    let place = Place::new("backup");
    let (world, cluster) = world_in(&place).await;
    let mut before = a_days_work(&world).await;
    let heads = place.dir.join("data/audit/heads.ndjson");
    eventually("a head is signed", async || heads.exists()).await;
    back_up_under_load(&place, &mut before).await;
    world.finish().await;
    drop(cluster);

    fs::create_dir(place.dir.join("other")).unwrap();
    copy(&place.dir.join("data/keys"), &place.dir.join("other/keys"));
    command(restore(&place, "backup", "other")).await.well();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir", "other"];
    let server = Server::start(place.clinicd(&serve));
    let again =
        async |person: &Person| server.client().sign_in(&person.email, PASSWORD).await.unwrap();
    let asha = again(&before.asha).await;
    let read = asha.send(GetNoteRequest { note_id: before.note }).await.unwrap().note.unwrap();
    assert_eq!(read.text, NOTE);
    assert_eq!(download(&asha, &before.file).await, before.bytes);
    let doctor = again(&before.doctor).await;
    let there = doctor.all(ListAppointmentsRequest { page_size: 25, ..Default::default() });
    let there: Vec<String> = there.await.unwrap().into_iter().map(|found| found.id).collect();
    assert!(before.booked.iter().all(|id| there.contains(id)), "{:?} {there:?}", before.booked);

    // The feed goes on where it was: what came before the backup, then what comes now.
    let new = book(&again(&before.ravi).await, &before.doctor.id, before.free[0]).await.id;
    let events = booked_since(&doctor, &before.token, &new).await;
    assert_eq!(events[..before.booked.len()], before.booked);
    assert_eq!(events.len(), there.len() + 1, "each once: {events:?}");
    let verify = place.clinicd(&["audit", "verify", "--data-dir", "other"]);
    assert!(command(verify).await.well().contains("is whole"));
    server.stop().well();
    place.is_quiet().await;
}

/// A backup of an installation that nobody has used, with one object in its store.
async fn small_backup(place: &Place) -> PathBuf {
    let server = Server::start(place.serve());
    let object = place.dir.join("data/files/files/one.object");
    fs::create_dir_all(object.parent().unwrap()).unwrap();
    fs::write(object, "the bytes of a file").unwrap();
    command(back_up(place, "backup")).await.well();
    command(back_up(place, "backup")).await.refused(&["backup` is not empty"]);
    server.stop().well();
    place.dir.join("backup")
}

/// Changes one byte in the middle.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
}

/// The first segment of the log in a backup.
fn segment(backup: &Path) -> PathBuf {
    let entries = fs::read_dir(backup.join("database/pg_wal")).unwrap();
    entries.map(|entry| entry.unwrap().path()).find(|path| path.is_file()).unwrap()
}

fn rewrite(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

/// Nothing is laid out of a backup that is not whole, or for which the keys are not there. Seen to
/// fail without the check of PostgreSQL's manifest: a damaged `pg_control` was laid out.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_whole_backup_is_refused() {
    type Harm = fn(&Path);
    if !can_back_up() {
        return;
    }
    let place = Place::new("damaged");
    let backup = small_backup(&place).await;
    let keys = place.dir.join("data/keys");
    fs::create_dir(place.dir.join("target")).unwrap();
    let no_keys = command(restore(&place, "backup", "target")).await;
    no_keys.refused(&["Keys are not part of a backup", "CLINICD_KEYS_DIR"]);
    copy(&keys, &place.dir.join("target/keys"));

    let harms: [(Harm, &str); 9] = [
        (|b| fs::remove_file(b.join("backup.json")).unwrap(), "no complete backup"),
        (|b| rewrite(&b.join("backup.json"), "\"format\": 1", "\"format\": 2"), "format 2"),
        (|b| rewrite(&b.join("backup.json"), "\"schema\": \"2", "\"schema\": \"9"), "later one"),
        (|b| rewrite(&b.join("backup.json"), "\"files\": 1", "\"files\": 2"), "do not fit"),
        (|b| damage(&b.join("checksums.txt")), "checksums.txt` was changed"),
        (|b| cut(&b.join("files/files/one.object")), "one.object` was changed"),
        (|b| fs::remove_file(b.join("files/files/one.object")).unwrap(), "is missing"),
        (|b| damage(&b.join("database/global/pg_control")), "pg_control` was changed"),
        (|b| damage(&segment(b)), "was changed"),
    ];
    for (harm, says) in harms {
        copy(&backup, &place.dir.join("harmed"));
        harm(&place.dir.join("harmed"));
        command(restore(&place, "harmed", "target")).await.refused(&[says]);
        fs::remove_dir_all(place.dir.join("harmed")).unwrap();
    }
    let made = ["pg", "files", "audit"].map(|name| place.dir.join("target").join(name).exists());
    assert_eq!(made, [false; 3], "nothing was laid out");

    KeyFolder::open_or_create(&place.dir.join("stranger/keys"), true).unwrap();
    command(restore(&place, "backup", "stranger")).await.refused(&["do not fit"]);
    for part in ["pg", "files", "audit"] {
        let full = place.dir.join("target").join(part);
        fs::create_dir(&full).unwrap();
        fs::write(full.join("something"), "").unwrap();
        command(restore(&place, "backup", "target")).await.refused(&["is not empty", part]);
        fs::remove_dir_all(full).unwrap();
    }
    command(restore(&place, "backup", "target")).await.well();
    let object = fs::read(place.dir.join("target/files/files/one.object")).unwrap();
    assert_eq!(object, b"the bytes of a file");
    command(restore(&place, "backup", "target")).await.refused(&["is not empty"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_cannot_be_made_leaves_none() {
    if !can_back_up() {
        return;
    }
    let (place, database) = (Place::new("unmade"), TestDatabase::migrated().await);
    KeyFolder::open_or_create(&place.dir.join("data/keys"), true).unwrap();
    let outside = |url: &str| {
        let mut command = back_up(&place, "backup");
        command.env("DATABASE_URL", url);
        command
    };
    let mut without = outside(&database.url);
    without.env("CLINICD_PG_BIN", place.dir.join("data"));
    command(without).await.refused(&["pg_basebackup", "postgresql-client-15", "CLINICD_PG_BIN"]);
    // The throw-away cluster of the tests allows no replication.
    command(outside(&database.url)).await.refused(&["pg_basebackup", "max_wal_senders"]);
    assert!(!place.dir.join("backup/backup.json").exists());

    let role = format!("keeper_{}", std::process::id());
    database.sql(&format!("CREATE ROLE {role} LOGIN; GRANT clinicd_app TO {role}")).await;
    database.sql(&format!("GRANT SELECT ON __diesel_schema_migrations TO {role}")).await;
    let url = database.url.replacen("postgres@", &format!("{role}@"), 1);
    command(outside(&url)).await.refused(&["REPLICATION", "pg_hba.conf", &role]);
    database.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    let empty = TestDatabase::empty().await;
    command(outside(&empty.url)).await.refused(&["no clinicd yet"]);
    empty.drop().await;
    database.drop().await;
}
