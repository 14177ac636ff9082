//! Who calls, and what.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clinicd_sdk::proto::appointments::v1::appointment_service_client::AppointmentServiceClient;
use clinicd_sdk::proto::appointments::v1::{
    BookAppointmentRequest, GetAppointmentRequest, ListAppointmentsRequest, ListSlotsRequest,
};
use clinicd_sdk::proto::directory::v1::SearchDoctorsRequest;
use clinicd_sdk::proto::files::v1::{AbortUploadRequest, StartUploadRequest, UploadChunkRequest};
use clinicd_sdk::proto::identity::v1::{GetMyAccountRequest, SignInRequest};
use clinicd_sdk::proto::journals::v1::GetNoteRequest;
use clinicd_sdk::proto::rpc::Unary;
use clinicd_sdk::{Client, Code, Error};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::random::Random;

/// Bytes of a part of an upload: the most that the server takes.
const PART: i64 = 512 * 1024;
/// Bytes of an upload: the most that the server takes.
const UPLOAD: i64 = 10 * 1024 * 1024;

/// Requests to choose from.
pub type Pool<R> = Arc<[R]>;

/// What a worker calls.
#[derive(Clone)]
pub enum Task {
    /// The gRPC health check.
    Health,
    /// A call that is authenticated, admitted and decoded, and then refused for a malformed id.
    Empty,
    /// The caller's own account.
    Account,
    /// An appointment by id.
    Get(Pool<GetAppointmentRequest>),
    /// A visit note: decrypted and audited.
    Audited(Pool<GetNoteRequest>),
    /// A page of appointments.
    List(Pool<ListAppointmentsRequest>),
    /// A search for doctors.
    Search(Pool<SearchDoctorsRequest>),
    /// Free slots.
    Slots(Pool<ListSlotsRequest>),
    /// Bookings, each once.
    Book(Arc<Bookings>),
    /// Sign-ins of different people.
    Login(Pool<SignInRequest>),
    /// Parts of uploads.
    Upload(Upload),
}

/// Bookings that do not get in each other's way.
#[derive(Debug)]
pub struct Bookings {
    /// What is booked.
    pub requests: Vec<BookAppointmentRequest>,
    next: AtomicUsize,
}

impl Bookings {
    /// These bookings, from the first on.
    #[must_use]
    pub fn new(requests: Vec<BookAppointmentRequest>) -> Self {
        Self { requests, next: AtomicUsize::new(0) }
    }

    /// The next one; none when all are done.
    #[must_use]
    pub fn take(&self) -> Option<BookAppointmentRequest> {
        self.requests.get(self.next.fetch_add(1, Ordering::Relaxed)).cloned()
    }
}

/// An upload under way.
#[derive(Debug, Clone, Default)]
pub struct Upload {
    id: String,
    sent: i64,
}

/// Makes calls, one after the other.
#[derive(Clone)]
pub struct Worker {
    /// Calls through this connection, as this person.
    pub client: Client,
    /// What it calls.
    pub task: Task,
    /// What it chooses by.
    pub random: Random,
}

impl Worker {
    /// What has to be done before a call and is not measured.
    pub async fn make_ready(&mut self) -> Result<(), String> {
        let Task::Upload(upload) = &mut self.task else { return Ok(()) };
        if upload.sent == 0 && !upload.id.is_empty() || upload.sent >= UPLOAD {
            let upload_id = std::mem::take(&mut upload.id);
            let request = AbortUploadRequest { upload_id, ..Default::default() };
            send(&self.client, request).await?;
        }
        if upload.id.is_empty() {
            let request = StartUploadRequest {
                file_name: "load.pdf".to_owned(),
                media_type: "application/pdf".to_owned(),
                size_bytes: UPLOAD,
                ..Default::default()
            };
            let begun = self.client.send(request).await.map_err(|error| code(&error))?;
            *upload = Upload { id: begun.upload.unwrap_or_default().id, sent: 0 };
        }
        Ok(())
    }

    /// One call; what went wrong, if anything did.
    pub async fn call(&mut self) -> Result<(), String> {
        let Self { client, task, random } = self;
        match task {
            Task::Health => {
                let request = HealthCheckRequest::default();
                let answer = HealthClient::new(client.raw()).check(request).await;
                answer.map(|_| ()).map_err(|status| format!("{:?}", status.code()))
            }
            Task::Empty => {
                let request = GetAppointmentRequest { appointment_id: "-".to_owned() };
                let mut stub = AppointmentServiceClient::new(client.raw());
                match stub.get_appointment(request).await.map_err(|status| status.code()) {
                    Err(Code::InvalidArgument) => Ok(()),
                    other => Err(format!("{:?}", other.err().unwrap_or(Code::Ok))),
                }
            }
            Task::Account => send(client, GetMyAccountRequest {}).await,
            Task::Get(pool) => any(client, pool, random).await,
            Task::Audited(pool) => any(client, pool, random).await,
            Task::List(pool) => any(client, pool, random).await,
            Task::Search(pool) => any(client, pool, random).await,
            Task::Slots(pool) => any(client, pool, random).await,
            Task::Login(pool) => any(client, pool, random).await,
            Task::Book(bookings) => match bookings.take() {
                Some(request) => send(client, request).await,
                None => Err("NO_SLOTS_LEFT".to_owned()),
            },
            Task::Upload(upload) => {
                let (upload_id, offset) = (upload.id.clone(), upload.sent);
                let data = vec![0x20; usize::try_from(PART).unwrap_or_default()];
                upload.sent += PART;
                send(client, UploadChunkRequest { upload_id, offset, data }).await
            }
        }
    }
}

/// Sends one of the pool.
async fn any<R: Unary>(client: &Client, pool: &[R], random: &mut Random) -> Result<(), String> {
    match random.pick(pool) {
        Some(request) => send(client, request.clone()).await,
        None => Err("NOTHING_TO_CALL".to_owned()),
    }
}

async fn send<R: Unary>(client: &Client, request: R) -> Result<(), String> {
    client.send(request).await.map(|_| ()).map_err(|error| code(&error))
}

/// What an error is counted under.
#[must_use]
pub fn code(error: &Error) -> String {
    match error {
        Error::Api(api) | Error::SessionEnded(api) if api.reason.is_empty() => {
            format!("{:?}", api.code)
        }
        Error::Api(api) | Error::SessionEnded(api) => api.reason.clone(),
        Error::Transport(_) => "UNREACHABLE".to_owned(),
        Error::Deadline => "DEADLINE".to_owned(),
        other => other.to_string(),
    }
}
