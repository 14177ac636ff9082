//! The one port: layers in order, one line per room, graceful stop.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic_web::GrpcWebLayer;
use tower::Layer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use clinicd_proto::appointments::v1::appointment_service_server::AppointmentServiceServer;
use clinicd_proto::appointments::v1::availability_service_server::AvailabilityServiceServer;
use clinicd_proto::appointments::v1::schedule_service_server::ScheduleServiceServer;
use clinicd_proto::audit::v1::audit_service_server::AuditServiceServer;
use clinicd_proto::directory::v1::directory_service_server::DirectoryServiceServer;
use clinicd_proto::feed::v1::feed_service_server::FeedServiceServer;
use clinicd_proto::files::v1::file_service_server::FileServiceServer;
use clinicd_proto::identity::v1::account_service_server::AccountServiceServer;
use clinicd_proto::identity::v1::auth_service_server::AuthServiceServer;
use clinicd_proto::identity::v1::staff_service_server::StaffServiceServer;
use clinicd_proto::identity::v1::user_admin_service_server::UserAdminServiceServer;
use clinicd_proto::journals::v1::visit_note_service_server::VisitNoteServiceServer;
use clinicd_proto::onboarding::v1::moderation_service_server::ModerationServiceServer;
use clinicd_proto::onboarding::v1::onboarding_service_server::OnboardingServiceServer;
use clinicd_proto::prescriptions::v1::prescription_service_server::PrescriptionServiceServer;
use clinicd_proto::profiles::v1::doctor_profile_service_server::DoctorProfileServiceServer;
use clinicd_proto::profiles::v1::patient_service_server::PatientServiceServer;

use crate::app::App;
use crate::kernel::access::layer::AccessLayer;
use crate::kernel::access::rules::Rules;
use crate::kernel::access::{SessionLookup, Sessions};
use crate::{
    appointments, audit, directory, feed, files, identity, journals, onboarding, prescriptions,
    profiles, work,
};

/// Largest request message of most services, in bytes.
const MESSAGE_LIMIT: usize = 64 * 1024;
/// Largest request message of uploads: a part of 512 KiB and its envelope.
const UPLOAD_LIMIT: usize = 512 * 1024 + 4 * 1024;
/// Largest request message of notes and prescriptions, in bytes: every field as long as its rule
/// allows, in four-byte characters.
const CLINICAL_LIMIT: usize = 704 * 1024;
/// Calls in flight that one connection may have.
const STREAMS_PER_CONNECTION: u32 = 100;
/// How long calls in flight may take to end after the server was told to stop.
const DRAIN: Duration = Duration::from_secs(25);

/// How long after that order the health can still be asked.
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
    /// A file of the TLS settings cannot be read.
    #[error("cannot read {path}: {source}")]
    Tls {
        /// The file.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The certificate and the key do not fit, or are none.
    #[error(
        "CLINICD_TLS_CERTIFICATE and CLINICD_TLS_KEY must be PEM files of a certificate and its \
         private key: {}", .0.source().map(ToString::to_string).unwrap_or_default()
    )]
    Identity(tonic::transport::Error),
    /// A method lacks its rule.
    #[error(transparent)]
    Rules(#[from] crate::kernel::access::rules::RuleError),
    /// The transport failed.
    #[error(transparent)]
    Transport(#[from] tonic::transport::Error),
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
    done: tokio::task::JoinHandle<Result<(), ServeError>>,
}

impl Running {
    /// Waits until it has stopped.
    pub async fn done(self) -> Result<(), ServeError> {
        match self.done.await {
            Ok(result) => result,
            Err(panic) => {
                tracing::error!(error = %panic, "the server task ended abnormally");
                Ok(())
            }
        }
    }
}

/// Binds the port and serves in the background.
pub async fn start(
    app: App,
    database_url: &str,
    lookup: SessionLookup,
) -> Result<Running, ServeError> {
    let rules = Arc::new(Rules::from_descriptors(clinicd_proto::FILE_DESCRIPTOR_SET)?);
    let address = app.config.listen;
    let listener =
        TcpListener::bind(address).await.map_err(|source| ServeError::Bind { address, source })?;
    let address = listener.local_addr().map_err(|source| ServeError::Bind { address, source })?;
    // The builder's own setting does not count for a listener that it is given. Without it, small
    // answers wait for the acknowledgement of those before: up to 40 ms.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let sessions = Sessions::new(lookup);
    let gate = AccessLayer { app: app.clone(), rules, sessions: sessions.clone() };
    let (health, health_service) = tonic_health::server::health_reporter();
    let routes = rooms(&app, sessions).add_service(health_service);
    let routes = reflection(&app, routes)?;
    let grpc = GrpcWebLayer::new().layer(gate.layer(routes.prepare()));
    let router = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/.well-known/jwks.json", get(jwks))
        .with_state(app.clone())
        .fallback_service(grpc)
        .layer(cors(&app)?);
    let mut server = Server::builder()
        .accept_http1(true)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)));
    if let Some(tls) = tls(&app).await? {
        server = server.tls_config(tls).map_err(ServeError::Identity)?;
    }
    let stop = app.stop.clone();
    let tasks = work::start(&app, database_url, &stop);
    for service in service_names() {
        health.set_service_status(service, tonic_health::ServingStatus::Serving).await;
    }
    let stopping = stop.clone();
    let done = tokio::spawn(async move {
        let told = stopping.clone();
        let drained = async move {
            told.cancelled().await;
            for service in service_names() {
                health.set_service_status(service, tonic_health::ServingStatus::NotServing).await;
            }
            tokio::spawn(let_watchers_go(health));
        };
        let serving =
            server.add_routes(Routes::from(router)).serve_with_incoming_shutdown(incoming, drained);
        let limit = async {
            stopping.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        let result = tokio::select! {
            result = serving => result.map_err(ServeError::from),
            () = limit => Ok(()),
        };
        stopping.cancel();
        tasks.wait().await;
        result
    });
    Ok(Running { address, stop, done })
}

/// Ends the streams of those who watch the health, once they have heard: the server would wait for
/// them.
async fn let_watchers_go(mut health: tonic_health::server::HealthReporter) {
    tokio::time::sleep(LAST_WORDS).await;
    for service in service_names() {
        health.clear_service_status(&service).await;
    }
}

/// One line per service.
fn rooms(app: &App, sessions: Sessions) -> Routes {
    macro_rules! service {
        ($server:ident, $service:ty, $limit:expr) => {{
            type Service = $service;
            $server::new(Service { app: app.clone() }).max_decoding_message_size($limit)
        }};
    }
    let files = FileServiceServer::new(files::Service::new(app.clone()));
    let feed = FeedServiceServer::new(feed::Service::new(app.clone(), sessions));
    let auth = AuthServiceServer::new(identity::Auth::new(app.clone()));
    Routes::default()
        .add_service(auth.max_decoding_message_size(MESSAGE_LIMIT))
        .add_service(service!(AccountServiceServer, identity::Service, MESSAGE_LIMIT))
        .add_service(service!(UserAdminServiceServer, identity::Service, MESSAGE_LIMIT))
        .add_service(service!(StaffServiceServer, identity::Service, MESSAGE_LIMIT))
        .add_service(files.max_decoding_message_size(UPLOAD_LIMIT))
        .add_service(service!(OnboardingServiceServer, onboarding::Service, MESSAGE_LIMIT))
        .add_service(service!(ModerationServiceServer, onboarding::Service, MESSAGE_LIMIT))
        .add_service(service!(DoctorProfileServiceServer, profiles::Service, MESSAGE_LIMIT))
        .add_service(service!(PatientServiceServer, profiles::Service, MESSAGE_LIMIT))
        .add_service(service!(DirectoryServiceServer, directory::Service, MESSAGE_LIMIT))
        .add_service(service!(ScheduleServiceServer, appointments::Service, MESSAGE_LIMIT))
        .add_service(service!(AvailabilityServiceServer, appointments::Service, MESSAGE_LIMIT))
        .add_service(service!(AppointmentServiceServer, appointments::Service, MESSAGE_LIMIT))
        .add_service(service!(VisitNoteServiceServer, journals::Service, CLINICAL_LIMIT))
        .add_service(service!(PrescriptionServiceServer, prescriptions::Service, CLINICAL_LIMIT))
        .add_service(service!(AuditServiceServer, audit::Service, MESSAGE_LIMIT))
        .add_service(feed.max_decoding_message_size(MESSAGE_LIMIT))
}

/// Full names of our services, for health; the empty one stands for the whole server.
fn service_names() -> Vec<String> {
    let pool = prost_reflect::DescriptorPool::decode(clinicd_proto::FILE_DESCRIPTOR_SET);
    let mut names = vec![String::new()];
    if let Ok(pool) = pool {
        names.extend(pool.services().map(|service| service.full_name().to_owned()));
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

async fn tls(app: &App) -> Result<Option<ServerTlsConfig>, ServeError> {
    let (Some(certificate), Some(key)) = (&app.config.tls_certificate, &app.config.tls_key) else {
        return Ok(None);
    };
    let read = async |path: &std::path::Path| {
        tokio::fs::read(path)
            .await
            .map_err(|source| ServeError::Tls { path: path.display().to_string(), source })
    };
    let identity = Identity::from_pem(read(certificate).await?, read(key).await?);
    Ok(Some(ServerTlsConfig::new().identity(identity)))
}

/// Ready means: the database answers, and the server has not been told to stop.
async fn ready(State(app): State<App>) -> Response {
    if app.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping").into_response();
    }
    match app.follow_database_clock().await {
        Ok(()) => "ok".into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer").into_response(),
    }
}

/// Public keys with which partners verify access tokens.
async fn jwks(State(app): State<App>) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, json)], app.tokens.jwks().to_string()).into_response()
}
