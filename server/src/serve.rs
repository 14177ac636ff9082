//! The one port: layers in order, one line per room, graceful stop.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_web::GrpcWebLayer;
use tower::Layer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use clinicd_proto::appointments::v1::appointment_service_server::AppointmentServiceServer;
use clinicd_proto::appointments::v1::availability_service_server::AvailabilityServiceServer;
use clinicd_proto::appointments::v1::schedule_service_server::ScheduleServiceServer;
use clinicd_proto::audit::v1::audit_service_server::AuditServiceServer;
use clinicd_proto::directory::v1::directory_service_server::DirectoryServiceServer;
use clinicd_proto::feed::v1::feed_service_server::FeedServiceServer;
use clinicd_proto::feed::v1::webhook_service_server::WebhookServiceServer;
use clinicd_proto::files::v1::file_service_server::FileServiceServer;
use clinicd_proto::identity::v1::account_service_server::AccountServiceServer;
use clinicd_proto::identity::v1::auth_service_server::AuthServiceServer;
use clinicd_proto::identity::v1::service_account_service_server::ServiceAccountServiceServer;
use clinicd_proto::identity::v1::staff_service_server::StaffServiceServer;
use clinicd_proto::identity::v1::user_admin_service_server::UserAdminServiceServer;
use clinicd_proto::journals::v1::visit_note_service_server::VisitNoteServiceServer;
use clinicd_proto::notifications::v1::device_service_server::DeviceServiceServer;
use clinicd_proto::notifications::v1::inbox_service_server::InboxServiceServer;
use clinicd_proto::notifications::v1::notification_admin_service_server::NotificationAdminServiceServer;
use clinicd_proto::notifications::v1::preference_service_server::PreferenceServiceServer;
use clinicd_proto::onboarding::v1::moderation_service_server::ModerationServiceServer;
use clinicd_proto::onboarding::v1::onboarding_service_server::OnboardingServiceServer;
use clinicd_proto::operations::v1::job_admin_service_server::JobAdminServiceServer;
use clinicd_proto::prescriptions::v1::prescription_service_server::PrescriptionServiceServer;
use clinicd_proto::profiles::v1::doctor_profile_service_server::DoctorProfileServiceServer;
use clinicd_proto::profiles::v1::patient_service_server::PatientServiceServer;
use clinicd_proto::sandbox::v1::sandbox_service_server::SandboxServiceServer;

use crate::app::App;
use crate::config::Environment;
use crate::kernel::access::layer::AccessLayer;
use crate::kernel::access::rates::Rates;
use crate::kernel::access::{SessionTable, Sessions};
use crate::kernel::transport::gates::Gates;
use crate::kernel::transport::listener::{self, Port};
use crate::kernel::transport::tls::{self, TlsError};
use crate::notifications::unsubscribing;
use crate::{
    appointments, audit, directory, feed, files, identity, journals, notifications, onboarding,
    operations, prescriptions, profiles, sandbox, work,
};

/// Largest request message of most services, in bytes.
const MESSAGE_LIMIT: usize = 64 * 1024;
/// Largest request message of uploads: a part of 512 KiB and its envelope.
const UPLOAD_LIMIT: usize = 512 * 1024 + 4 * 1024;
/// Largest request message of notes and prescriptions, in bytes: every field as long as its rule
/// allows, in four-byte characters.
const CLINICAL_LIMIT: usize = 704 * 1024;
/// Largest answer of most services, in bytes: what clients take unless they are told otherwise.
const ANSWER_LIMIT: usize = 4 * 1024 * 1024;
/// Largest answer with notes and prescriptions, in bytes: a page of the longest there can be.
const CLINICAL_ANSWER_LIMIT: usize = 18 * 1024 * 1024;
/// How long work outside of calls may take to end after the last connection.
const WORK_ENDS: Duration = Duration::from_secs(2);

/// How long the published keys may be kept: half as long as a new one is shown before it signs.
const JWKS_CACHE: &str = "public, max-age=300";
/// How long after the order to stop the health can still be asked.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}; choose another with --listen")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The TLS settings are of no use.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The descriptors are not fit for reflection.
    #[error(transparent)]
    Reflection(#[from] tonic_reflection::server::Error),
    /// A CORS origin is not one.
    #[error("CLINICD_CORS_ORIGINS: write `{0}` as browsers do, such as https://app.example.org")]
    Origin(String),
}

/// A server that accepts calls.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Cancel it to stop gracefully.
    pub stop: CancellationToken,
    done: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Waits until it has stopped.
    pub async fn done(self) {
        if let Err(panic) = self.done.await {
            tracing::error!(error = %panic, "the server task ended abnormally");
        }
    }
}

/// Binds the port and serves in the background.
pub async fn start(
    app: App,
    database_url: &str,
    sessions: SessionTable,
) -> Result<Running, ServeError> {
    let address = app.config.listen;
    let listener =
        TcpListener::bind(address).await.map_err(|source| ServeError::Bind { address, source })?;
    let address = listener.local_addr().map_err(|source| ServeError::Bind { address, source })?;
    let sessions = Sessions::new(sessions);
    let gates = Gates::new(&app.config);
    let rates = Rates::new(&app.config.limits);
    let pages = unsubscribing::pages(app.clone(), rates.clone());
    let gate = AccessLayer { app: app.clone(), sessions: sessions.clone(), gates, rates };
    let (health, health_service) = tonic_health::server::health_reporter();
    let routes = rooms(&app, sessions).add_service(health_service);
    let routes = reflection(&app, routes)?;
    let grpc = GrpcWebLayer::new().layer(gate.layer(routes.prepare()));
    let router = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/.well-known/jwks.json", get(jwks))
        .with_state(app.clone())
        .merge(pages)
        .fallback_service(grpc)
        .layer(cors(&app)?);
    let port = Port {
        router,
        tls: acceptor(&app).await?,
        limits: app.config.limits,
        proxies: app.config.trusted_proxies.clone(),
        stop: app.stop.clone(),
    };
    let stop = app.stop.clone();
    let tasks = work::start(&app, database_url, &stop);
    let services = service_names(app.config.env);
    for service in services.clone() {
        health.set_service_status(service, tonic_health::ServingStatus::Serving).await;
    }
    tokio::spawn(tell_health(health, services, stop.clone()));
    let stopping = stop.clone();
    let done = tokio::spawn(async move {
        listener::serve(listener, port).await;
        stopping.cancel();
        if tokio::time::timeout(WORK_ENDS, tasks.wait()).await.is_err() {
            tracing::warn!("work outside of calls was cut short");
        }
    });
    Ok(Running { address, stop, done })
}

/// Says that the server stops, and ends the streams of those who watch the health, once they have
/// heard: the port would wait for them.
async fn tell_health(
    mut health: tonic_health::server::HealthReporter,
    services: Vec<String>,
    stop: CancellationToken,
) {
    stop.cancelled().await;
    for service in services.clone() {
        health.set_service_status(service, tonic_health::ServingStatus::NotServing).await;
    }
    tokio::time::sleep(LAST_WORDS).await;
    for service in services {
        health.clear_service_status(&service).await;
    }
}

/// One line per service.
fn rooms(app: &App, sessions: Sessions) -> Routes {
    macro_rules! limited {
        ($server:expr, $question:expr, $answer:expr) => {
            $server.max_decoding_message_size($question).max_encoding_message_size($answer)
        };
    }
    macro_rules! service {
        ($server:ident, $service:ty) => {
            service!($server, $service, MESSAGE_LIMIT, ANSWER_LIMIT)
        };
        ($server:ident, $service:ty, $question:expr, $answer:expr) => {{
            type Service = $service;
            limited!($server::new(Service { app: app.clone() }), $question, $answer)
        }};
    }
    let files = FileServiceServer::new(files::Service::new(app.clone()));
    let feed = FeedServiceServer::new(feed::Service::new(app.clone(), sessions));
    let jobs = operations::Service { app: app.clone(), schedules: work::schedules() };
    let jobs = JobAdminServiceServer::new(jobs);
    let (question, answer) = (CLINICAL_LIMIT, CLINICAL_ANSWER_LIMIT);
    let routes = Routes::default()
        .add_service(service!(AuthServiceServer, identity::Service))
        .add_service(service!(AccountServiceServer, identity::Service))
        .add_service(service!(UserAdminServiceServer, identity::Service))
        .add_service(service!(StaffServiceServer, identity::Service))
        .add_service(service!(ServiceAccountServiceServer, identity::Service))
        .add_service(limited!(files, UPLOAD_LIMIT, ANSWER_LIMIT))
        .add_service(service!(OnboardingServiceServer, onboarding::Service))
        .add_service(service!(ModerationServiceServer, onboarding::Service))
        .add_service(service!(DoctorProfileServiceServer, profiles::Service))
        .add_service(service!(PatientServiceServer, profiles::Service))
        .add_service(service!(DirectoryServiceServer, directory::Service))
        .add_service(service!(ScheduleServiceServer, appointments::Service))
        .add_service(service!(AvailabilityServiceServer, appointments::Service))
        .add_service(service!(AppointmentServiceServer, appointments::Service))
        .add_service(service!(VisitNoteServiceServer, journals::Service, question, answer))
        .add_service(service!(PrescriptionServiceServer, prescriptions::Service, question, answer))
        .add_service(service!(AuditServiceServer, audit::Service))
        .add_service(service!(InboxServiceServer, notifications::Service))
        .add_service(service!(PreferenceServiceServer, notifications::Service))
        .add_service(service!(DeviceServiceServer, notifications::Service))
        .add_service(service!(NotificationAdminServiceServer, notifications::Service))
        .add_service(limited!(feed, MESSAGE_LIMIT, ANSWER_LIMIT))
        .add_service(service!(WebhookServiceServer, feed::webhooks::Service))
        .add_service(limited!(jobs, MESSAGE_LIMIT, ANSWER_LIMIT));
    match app.config.env {
        Environment::Development => {
            routes.add_service(service!(SandboxServiceServer, sandbox::Service))
        }
        Environment::Production => routes,
    }
}

/// Full names of the services that there are, for health; the empty one stands for the whole server.
fn service_names(env: Environment) -> Vec<String> {
    let pool = prost_reflect::DescriptorPool::decode(clinicd_proto::FILE_DESCRIPTOR_SET);
    let mut names = vec![String::new()];
    if let Ok(pool) = pool {
        names.extend(pool.services().map(|service| service.full_name().to_owned()));
    }
    if env == Environment::Production {
        names.retain(|name| name != <SandboxServiceServer<sandbox::Service> as NamedService>::NAME);
    }
    names
}

fn reflection(app: &App, routes: Routes) -> Result<Routes, ServeError> {
    if !app.config.reflection() {
        return Ok(routes);
    }
    let service = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(clinicd_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    Ok(routes.add_service(service))
}

/// Browsers of the configured origins may call and read the status headers.
fn cors(app: &App) -> Result<CorsLayer, ServeError> {
    let origins = app
        .config
        .cors_origins
        .iter()
        .map(|origin| parse_origin(origin).ok_or_else(|| ServeError::Origin(origin.clone())))
        .collect::<Result<Vec<_>, _>>()?;
    let header = HeaderName::from_static;
    Ok(CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::POST, Method::GET])
        .allow_headers([
            header("authorization"),
            header("content-type"),
            header("accept-language"),
            header("grpc-timeout"),
            header("x-grpc-web"),
            header("x-user-agent"),
        ])
        .expose_headers([
            header("grpc-status"),
            header("grpc-message"),
            header("grpc-status-details-bin"),
            header("x-request-id"),
        ])
        .max_age(Duration::from_hours(2)))
}

/// Scheme, host and port, and nothing else: what differs from that would never match.
fn parse_origin(text: &str) -> Option<HeaderValue> {
    let uri: Uri = text.parse().ok()?;
    let origin = format!("{}://{}", uri.scheme_str()?, uri.authority()?);
    (origin == text).then(|| HeaderValue::from_str(text).ok()).flatten()
}

async fn acceptor(app: &App) -> Result<Option<TlsAcceptor>, ServeError> {
    let (Some(certificate), Some(key)) = (&app.config.tls_certificate, &app.config.tls_key) else {
        return Ok(None);
    };
    Ok(Some(tls::acceptor(certificate, key).await?))
}

/// Ready means: the database answers, and the server has not been told to stop. Costs no question to
/// the database, because anybody may ask as often as they like.
async fn ready(State(app): State<App>) -> Response {
    if app.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping").into_response();
    }
    if !app.db.is_there() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer").into_response();
    }
    "ok".into_response()
}

/// Public keys with which partners verify access tokens.
async fn jwks(State(app): State<App>) -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, JWKS_CACHE)];
    (headers, app.tokens.jwks().to_string()).into_response()
}
