//! Logs carry ids and never what people wrote, whatever `RUST_LOG` asks for.

use std::fs::File;

use clinicd_proto::rpc::Rpc as _;
use clinicd_sdk::proto::access::v1::Scope;
use clinicd_sdk::proto::appointments::v1::{
    Appointment, BookAppointmentRequest, GetAppointmentRequest, GetNextFreeSlotRequest,
    StartVisitRequest,
};
use clinicd_sdk::proto::directory::v1::SearchDoctorsRequest;
use clinicd_sdk::proto::files::v1::DownloadFileRequest;
use clinicd_sdk::proto::identity::v1::{
    ConfirmActivationRequest, CreateApiKeyRequest, CreateServiceAccountRequest,
    ExchangeApiKeyRequest, IssueStreamTicketRequest, ListUsersRequest, RefreshTokenRequest,
    RegisterAccountRequest,
};
use clinicd_sdk::proto::journals::v1::{GetNoteRequest, SaveDraftRequest};
use clinicd_sdk::proto::r#type::v1::{ConsultationMode, PersonName};
use clinicd_sdk::{Client, Code};
use clinicd_tests::doctors::picture;
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{Person, Process, World, refused, wire};
use prost::Message as _;

const EMAIL: &str = "canary.mail@example.org";
const SECRET: &str = "silent-orchard-lantern-31";
const GIVEN: &str = "Canarygiven";
const FAMILY: &str = "Canaryfamily";
const REASON: &str = "canary reason of a visit";
const NOTE: &str = "canary note, byte for byte";
const SEARCH: &str = "canarysearch";
const FILE: &str = "canaryfile.png";

/// Registers on this server and signs in there; adds the secrets that came up.
async fn register(world: &World, client: &Client, secrets: &mut Vec<String>) -> Client {
    let request = RegisterAccountRequest {
        email: EMAIL.to_owned(),
        password: SECRET.to_owned(),
        name: Some(PersonName { given: GIVEN.to_owned(), family: FAMILY.to_owned() }),
        ..Default::default()
    };
    client.send(request.clone()).await.unwrap();
    let activation_token = world.token_in_mail(EMAIL).await;
    secrets.push(activation_token.clone());
    let confirm = ConfirmActivationRequest { activation_token, ..Default::default() };
    client.send(confirm).await.unwrap();
    client.send(request).await.unwrap();
    let wrong = client.sign_in(EMAIL, "canary of a wrong password").await;
    refused(wrong, Code::Unauthenticated, "INVALID_CREDENTIALS");
    let person = client.sign_in(EMAIL, SECRET).await.unwrap();
    let tokens = person.tokens().unwrap();
    let refresh_token = tokens.refresh_token.clone();
    secrets.extend([tokens.access_token, tokens.refresh_token]);
    let fresh = RefreshTokenRequest { refresh_token, ..Default::default() };
    let tokens = client.send(fresh).await.unwrap().tokens.unwrap();
    secrets.extend([tokens.access_token.clone(), tokens.refresh_token.clone()]);
    client.with_tokens(person.account_id().unwrap().to_owned(), tokens).unwrap()
}

async fn book(client: &Client, doctor: &Person) -> Appointment {
    let mode = ConsultationMode::Video.into();
    let slot = GetNextFreeSlotRequest { doctor_id: doctor.id.clone(), mode };
    let start_time = client.send(slot).await.unwrap().slot.unwrap().start;
    let request = BookAppointmentRequest {
        doctor_id: doctor.id.clone(),
        mode,
        start_time,
        reason: REASON.to_owned(),
        ..Default::default()
    };
    client.send(request).await.unwrap().appointment.unwrap()
}

/// The doctor begins the visit and writes, the patient reads.
async fn visit(world: &World, patient: &Client, doctor: &Client, booked: &Appointment) {
    // Nobody waits here until the visit may begin.
    world
        .sql(
            "UPDATE appointments SET starts_at = starts_at - (starts_at - now()), \
             ends_at = ends_at - (starts_at - now()), blocks_from = blocks_from - \
             (starts_at - now()), blocks_until = blocks_until - (starts_at - now())",
        )
        .await;
    let id = booked.id.clone();
    let start = StartVisitRequest {
        appointment_id: id.clone(),
        etag: booked.etag.clone(),
        ..Default::default()
    };
    doctor.send(start).await.unwrap();
    let text = NOTE.to_owned();
    let draft = SaveDraftRequest { appointment_id: id.clone(), text, ..Default::default() };
    let note = doctor.send(draft).await.unwrap().note.unwrap();
    doctor.send(GetNoteRequest { note_id: note.id }).await.unwrap();
    patient.send(GetAppointmentRequest { appointment_id: id }).await.unwrap();
}

/// A program comes with its key, and a browser with a ticket in its URL; the secrets of both.
async fn programs(world: &World, url: &str, admin: &Client) -> Vec<String> {
    let display_name = "canary of a program".to_owned();
    let request = CreateServiceAccountRequest { display_name, ..Default::default() };
    let account = admin.send(request).await.unwrap().service_account.unwrap();
    let request = CreateApiKeyRequest {
        service_account_id: account.id,
        display_name: "canary of a key".to_owned(),
        scopes: vec![Scope::FeedRead.into()],
        expire_time: Some(world.app.clock.now().plus_seconds(3_600).into()),
        ..Default::default()
    };
    let api_key = admin.send(request).await.unwrap().api_key;
    let request = ExchangeApiKeyRequest { api_key: api_key.clone(), ..Default::default() };
    let token = admin.signed_out().send(request).await.unwrap().access_token;
    let file = admin.upload(FILE, "image/png", &picture()).await.unwrap();
    let method = DownloadFileRequest::PATH.trim_start_matches('/').to_owned();
    let request = IssueStreamTicketRequest { method, ..Default::default() };
    let ticket = admin.send(request).await.unwrap().ticket;
    let body = DownloadFileRequest { file_id: file.id }.encode_to_vec();
    let path = format!("{}?ticket={ticket}", DownloadFileRequest::PATH);
    for opens in [true, false] {
        let answer = wire::call(&wire::channel(url), &path, None, body.clone()).await;
        assert_eq!(answer.is_ok(), opens, "{answer:?}");
    }
    vec![api_key[api_key.len() - 43..].to_owned(), token, ticket]
}

/// Seen to fail without the filter of libraries in `main.rs`: the parameters of statements stood in
/// the log, as lists of bytes.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_what_people_write_is_logged_at_any_level() {
    let world = World::start().await;
    let doctor = world.doctor().await;
    let admin = world.admin().await;
    let log = std::env::temp_dir().join(format!("clinicd-log-{}", std::process::id()));
    let process = Process::start_with(&world, |command| {
        command.env("RUST_LOG", "trace").stderr(File::create(&log).unwrap());
    })
    .await;
    // From here on the process does all the work: mails as well.
    world.app.stop.cancel();
    let client = process.client();
    let mut secrets = Vec::new();
    let asha = register(&world, &client, &mut secrets).await;
    let doctor_client = client.sign_in(&doctor.email, PASSWORD).await.unwrap();
    let booked = book(&asha, &doctor).await;
    visit(&world, &asha, &doctor_client, &booked).await;
    asha.upload(FILE, "image/png", &picture()).await.unwrap();
    let query = SEARCH.to_owned();
    client.send(SearchDoctorsRequest { query, ..Default::default() }).await.unwrap();
    let admin_client = client.sign_in(&admin.email, PASSWORD).await.unwrap();
    let filter = ListUsersRequest { email: Some(EMAIL.to_owned()), ..Default::default() };
    assert_eq!(admin_client.send(filter).await.unwrap().users.len(), 1);
    secrets.extend(programs(&world, &process.url, &admin_client).await);
    // A fault with the same content.
    world.sql("ALTER TABLE sign_in_failures RENAME TO away").await;
    let fault = client.sign_in(EMAIL, "canary of a wrong password").await;
    refused(fault, Code::Internal, "INTERNAL");
    world.sql("ALTER TABLE away RENAME TO sign_in_failures").await;
    world.settle().await;
    assert!(process.terminate().await.success());

    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains(&doctor.id) && text.contains("call failed"), "it does log");
    secrets.extend([SECRET, PASSWORD, "canary"].map(str::to_owned));
    secrets.extend([EMAIL, GIVEN, FAMILY, &doctor.email, "Meera"].map(str::to_owned));
    let lower = text.to_lowercase();
    for secret in secrets {
        // Drivers print what they carry as a list of bytes.
        let bytes = secret.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
        for form in [secret.to_lowercase(), bytes] {
            let found = lower.lines().find(|line| line.contains(&form));
            assert_eq!(found, None, "{secret}");
        }
    }
    std::fs::remove_file(log).unwrap();
    world.finish().await;
}
