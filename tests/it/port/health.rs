//! What machines ask the port: health, reflection, keys, TLS.

use std::collections::BTreeSet;
use std::process::Command;

use clinicd_sdk::proto::directory::v1::SearchDoctorsRequest;
use clinicd_sdk::proto::identity::v1::GetMyAccountRequest;
use clinicd_sdk::{Client, Error, RetryPolicy};
use clinicd_tests::{Code, World, eventually, refused};
use futures_util::StreamExt as _;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::get;
use crate::contract::methods;

fn channel(world: &World) -> Channel {
    Endpoint::from_shared(world.url().to_owned()).unwrap().connect_lazy()
}

fn services() -> BTreeSet<String> {
    methods().iter().map(|method| method.parent_service().full_name().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_tells_its_health() {
    let world = World::start().await;
    let mut health = HealthClient::new(channel(&world));
    for service in services().into_iter().chain([String::new()]) {
        let asks = HealthCheckRequest { service: service.clone() };
        let answer = health.check(asks).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let asks = HealthCheckRequest { service: "nothing".to_owned() };
    assert_eq!(health.check(asks).await.unwrap_err().code(), Code::NotFound);
    world.finish().await;
}

async fn reflected(world: &World) -> Result<BTreeSet<String>, Status> {
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let asks = ServerReflectionRequest { host: String::new(), message_request };
    let asks = futures_util::stream::iter([asks]);
    let mut client = ServerReflectionClient::new(channel(world));
    let mut answers = client.server_reflection_info(asks).await?.into_inner();
    let answer = answers.next().await.unwrap()?.message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else { panic!("{answer:?}") };
    Ok(list.service.into_iter().map(|service| service.name).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_describes_every_service_unless_it_is_off() {
    let world = World::start().await;
    let listed = reflected(&world).await.unwrap();
    assert!(listed.is_superset(&services()), "{listed:?}");
    assert!(listed.contains("grpc.health.v1.Health"), "{listed:?}");
    world.finish().await;

    let world = World::start_with(|config| config.reflection = Some(false)).await;
    assert_eq!(reflected(&world).await.unwrap_err().code(), Code::Unimplemented);
    world.client().send(SearchDoctorsRequest::default()).await.unwrap();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_its_database_lives_and_is_not_ready() {
    let world = World::start().await;
    for path in ["/healthz", "/readyz"] {
        let answer = get(world.url(), path).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{path}");
    }
    world.settle().await;
    let name = world.sql("SELECT current_database()").await[0][0].clone();
    let (server, _) = world.database_url().rsplit_once(&name).unwrap();
    let (postgres, connection) =
        tokio_postgres::connect(&format!("{server}postgres"), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let away = format!(
        "ALTER DATABASE {name} ALLOW_CONNECTIONS false; \
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    );
    postgres.batch_execute(&away).await.unwrap();
    eventually("it is not ready", async || get(world.url(), "/readyz").await.status == 503).await;
    assert_eq!(get(world.url(), "/healthz").await.status, 200);
    let call =
        world.client().with_retry(RetryPolicy::NONE).send(SearchDoctorsRequest::default()).await;
    let refusal = refused(call, Code::Unavailable, "UNAVAILABLE");
    assert!(refusal.retry_after.is_some());
    let back = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true");
    postgres.batch_execute(&back).await.unwrap();
    eventually("it is ready again", async || get(world.url(), "/readyz").await.status == 200).await;
    world.client().send(SearchDoctorsRequest::default()).await.unwrap();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partners_verify_tokens_with_the_published_keys() {
    let world = World::start().await;
    let asha = world.patient().await;
    let answer = get(world.url(), "/.well-known/jwks.json").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let keys: JwkSet = serde_json::from_str(&answer.text()).unwrap();
    let token = asha.client.tokens().unwrap().access_token;
    let header = decode_header(&token).unwrap();
    let key = DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&["clinicd"]);
    validation.set_issuer(&["clinicd"]);
    let claims = decode::<serde_json::Value>(&token, &key, &validation).unwrap().claims;
    assert_eq!(claims["sub"], asha.id.as_str());
    assert!(!answer.text().contains("\"d\""), "no private part");
    world.finish().await;
}

/// A certificate for 127.0.0.1 that stands for itself, made in this folder; none without openssl.
pub(crate) fn certificate(dir: &std::path::Path) -> Option<()> {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=clinic", "-keyout", "key.pem"])
        .args(["-out", "certificate.pem", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .current_dir(dir)
        .output()
        .ok()?;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_with_a_certificate_speaks_tls_alone() {
    let dir = std::env::temp_dir().join(format!("clinicd-tls-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    if certificate(&dir).is_none() {
        eprintln!("SKIPPED: there is no openssl that could make a certificate");
        return;
    }
    let file = |name: &str| Some(dir.join(name));
    let world = World::start_with(|config| {
        (config.tls_certificate, config.tls_key) = (file("certificate.pem"), file("key.pem"));
    })
    .await;
    let pem = std::fs::read_to_string(dir.join("certificate.pem")).unwrap();
    let url = world.url().replace("http://", "https://");
    let trusting = Client::builder(&url).trust(&pem).connect_lazy().unwrap();
    trusting.send(SearchDoctorsRequest::default()).await.unwrap();
    refused(trusting.send(GetMyAccountRequest {}).await, Code::Unauthenticated, "UNAUTHENTICATED");
    for stranger in [Client::connect_lazy(&url).unwrap(), world.client()] {
        let call =
            stranger.with_retry(RetryPolicy::NONE).send(SearchDoctorsRequest::default()).await;
        assert!(matches!(call, Err(Error::Transport(_))), "{call:?}");
    }
    std::fs::remove_dir_all(dir).unwrap();
    world.finish().await;
}
