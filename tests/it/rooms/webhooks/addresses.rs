//! Webhooks go to public addresses, and to networks that the operator has opened: nowhere else,
//! whatever the URL says and whatever its name leads to. The table of addresses is a unit test of
//! `feed/webhooks/address.rs`.

use clinicd_sdk::proto::feed::v1::UpdateEndpointRequest;
use clinicd_sdk::{Client, Code};
use clinicd_tests::{HttpDouble, Process, World, eventually, refused};

use super::{deliveries, endpoint, happen, id, now, partner, wish, world};
use crate::port::health::certificate;
use crate::rooms::fields;

#[tokio::test(flavor = "multi_thread")]
async fn a_url_is_public_and_https_or_refused() {
    let world = World::start().await;
    let partner = partner(&world).await;
    for url in [
        "http://partner.example.org/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://[::1]/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:192.168.0.1]/",
        "https://me:secret@partner.example.org/",
        "https://partner.example.org/#x",
        "https://partner.example.org:25/",
        "file:///etc/hosts",
        "partner",
    ] {
        let refusal =
            refused(partner.client.send(wish(url)).await, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(fields(&refusal), ["url"], "{url}");
    }
    let made = partner.client.send(wish("https://partner.example.org:8443/x?y")).await.unwrap();
    let endpoint = made.endpoint.unwrap();
    assert_eq!(endpoint.url, "https://partner.example.org:8443/x?y");
    let change = UpdateEndpointRequest {
        endpoint_id: endpoint.id,
        etag: endpoint.etag,
        url: Some("https://192.168.1.1/".to_owned()),
        ..Default::default()
    };
    let refusal =
        refused(partner.client.send(change).await, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&refusal), ["url"]);
    world.finish().await;
}

/// Waits for the first attempt at an endpoint; why it failed.
async fn reason(client: &Client, id: &str) -> String {
    let tried = async || deliveries(client, id).await.iter().any(|one| one.attempts > 0);
    eventually("an attempt", tried).await;
    deliveries(client, id).await.remove(0).reason
}

/// Guarded by `is_admitted` in `connecting.rs`.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_name_leads_to_is_judged_at_the_connection() {
    // With some network open, names without a dot can be asked for.
    let world = World::start_with(|config| {
        config.webhooks.allowed_networks = vec!["10.99.0.0/16".parse().unwrap()];
    })
    .await;
    let (double, partner) = (HttpDouble::start().await, partner(&world).await);
    let port = double.address.port();
    for scheme in ["https", "http"] {
        let url = format!("{scheme}://localhost:{port}/");
        let made = partner.client.send(wish(&url)).await.unwrap();
        happen(&world.app, world.app.ids.next()).await;
        assert_eq!(reason(&partner.client, &id(&made)).await, "ADDRESS_REFUSED", "{url}");
    }
    // An address that has got into the table in some other way is judged as well.
    for url in [&double.url, &format!("https://127.0.0.1:{port}"), &format!("http://[::1]:{port}")]
    {
        let made = partner.client.send(wish("https://partner.example.org")).await.unwrap();
        let id = id(&made);
        world.sql(&format!("UPDATE webhook_endpoints SET url = '{url}' WHERE id = '{id}'")).await;
        happen(&world.app, world.app.ids.next()).await;
        assert_eq!(reason(&partner.client, &id).await, "ADDRESS_REFUSED", "{url}");
    }
    assert!(double.received().is_empty());
    world.finish().await;
}

/// Certificates that this machine does not believe, and no TLS at all where it is expected.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_say_who_it_is_gets_nothing() {
    let world = world().await;
    let (double, partner) = (HttpDouble::start().await, partner(&world).await);
    let dir = std::env::temp_dir().join(format!("clinicd-hooks-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    if certificate(&dir).is_some() {
        let server = Process::start_with(&world, |command| {
            let file = |name: &str| dir.join(name);
            command.env("CLINICD_TLS_CERTIFICATE", file("certificate.pem"));
            command.env("CLINICD_TLS_KEY", file("key.pem")).env("CLINICD_WORKER", "false");
        })
        .await;
        let url = server.url.replace("http://", "https://");
        let made = partner.client.send(wish(&url)).await.unwrap();
        happen(&world.app, world.app.ids.next()).await;
        assert_eq!(reason(&partner.client, &id(&made)).await, "TLS");
    }
    std::fs::remove_dir_all(dir).unwrap();
    let url = format!("https://127.0.0.1:{}/", double.address.port());
    let made = partner.client.send(wish(&url)).await.unwrap();
    happen(&world.app, world.app.ids.next()).await;
    assert_eq!(reason(&partner.client, &id(&made)).await, "CONNECT");
    let nobody = partner.client.send(wish("http://127.0.0.1:1/")).await.unwrap();
    happen(&world.app, world.app.ids.next()).await;
    assert_eq!(reason(&partner.client, &id(&nobody)).await, "CONNECT");
    let nowhere = partner.client.send(wish("https://nowhere.invalid/")).await.unwrap();
    happen(&world.app, world.app.ids.next()).await;
    // A machine without a resolver waits for one.
    let reason = reason(&partner.client, &id(&nowhere)).await;
    assert!(["DNS", "TIMEOUT"].contains(&reason.as_str()), "{reason}");
    assert!(double.received().is_empty());
    world.finish().await;
}

/// What waits for an address that was wrong goes to the right one at once.
#[tokio::test(flavor = "multi_thread")]
async fn another_url_gets_what_waits() {
    let world = world().await;
    let (double, partner) = (HttpDouble::start().await, partner(&world).await);
    let made = partner.client.send(wish("http://127.0.0.1:1/")).await.unwrap();
    let id = id(&made);
    happen(&world.app, world.app.ids.next()).await;
    assert_eq!(reason(&partner.client, &id).await, "CONNECT");
    let url = Some(format!("{}/new", double.url));
    let change = UpdateEndpointRequest { url, ..Default::default() };
    super::change(&partner.client, &id, change).await;
    assert_eq!(double.got(1).await[0].path, "/new");
    let at_rest = async || now(&partner.client, &id).await.failing_since_time.is_none();
    eventually("it fails no more", at_rest).await;
    endpoint(&partner.client, &double).await;
    world.finish().await;
}
