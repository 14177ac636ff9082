//! Secrets: shown once, stored sealed, rotated without a gap.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clinicd_sdk::proto::feed::v1::{CreateEndpointResponse, RotateSecretRequest};
use clinicd_sdk::webhook::WebhookError;
use clinicd_tests::HttpDouble;
use jiff::SignedDuration;

use super::{DAY, endpoint, happen, id, now, partner, verify, wish, world};

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_secret_signs_beside_the_new_one_for_a_day() {
    let world = world().await;
    let (double, partner) = (HttpDouble::start().await, partner(&world).await);
    let made = endpoint(&partner.client, &double).await;
    let rotate = RotateSecretRequest { endpoint_id: id(&made), ..Default::default() };
    let mut rotated = partner.client.send(rotate).await.unwrap();
    assert_ne!(rotated.secret, made.secret);
    let until = rotated.endpoint.clone().unwrap().previous_secret_expire_time.unwrap().seconds;
    let now_seconds = world.app.clock.now().timestamp().as_second();
    assert!((until - now_seconds - DAY).abs() < 60);
    happen(&world.app, world.app.ids.next()).await;
    let one = double.got(1).await.remove(0);
    assert_eq!(one.header("webhook-signature").split(' ').count(), 2);
    verify(&world, &made.secret, &one).unwrap();
    verify(&world, &rotated.secret, &one).unwrap();

    // Once more, because the new one was lost: the one in use goes on for its day.
    let rotate = RotateSecretRequest { endpoint_id: id(&made), ..Default::default() };
    let lost = std::mem::replace(&mut rotated, partner.client.send(rotate).await.unwrap());
    assert_eq!(rotated.endpoint.unwrap().previous_secret_expire_time.unwrap().seconds, until);
    happen(&world.app, world.app.ids.next()).await;
    let one = double.got(2).await.remove(1);
    verify(&world, &made.secret, &one).unwrap();
    verify(&world, &rotated.secret, &one).unwrap();
    verify(&world, &lost.secret, &one).unwrap_err();

    world.advance(SignedDuration::from_secs(DAY));
    happen(&world.app, world.app.ids.next()).await;
    let one = double.got(3).await.remove(2);
    assert_eq!(one.header("webhook-signature").split(' ').count(), 1);
    verify(&world, &rotated.secret, &one).unwrap();
    let refused = verify(&world, &made.secret, &one);
    assert_eq!(refused.unwrap_err(), WebhookError::Signature);
    assert_eq!(now(&partner.client, &id(&made)).await.previous_secret_expire_time, None);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_shown_to_who_asked_for_it_and_stored_sealed() {
    let world = world().await;
    let (double, partner) = (HttpDouble::start().await, partner(&world).await);
    let mut wish = wish(&double.url);
    wish.request_id = world.app.ids.next().to_string();
    let ask =
        async || -> CreateEndpointResponse { partner.client.send(wish.clone()).await.unwrap() };
    let made = ask().await;
    assert_eq!(ask().await, made, "the repeated call has the same answer");
    let secret = STANDARD.decode(made.secret.strip_prefix("whsec_").unwrap()).unwrap();
    assert_eq!(secret.len(), 32);
    for table in ["webhook_endpoints", "stored_answers", "events", "jobs"] {
        let holds = |bytes: &[u8]| {
            format!("SELECT FROM {table} t WHERE t::text LIKE '%{}%'", hex::encode(bytes))
        };
        assert!(world.sql(&holds(&secret)).await.is_empty(), "{table}");
        assert!(world.sql(&holds(made.secret.as_bytes())).await.is_empty(), "{table}");
    }
    let text = format!("SELECT FROM jobs t WHERE t::text LIKE '%{}%'", made.secret);
    assert!(world.sql(&text).await.is_empty());
    world.finish().await;
}
