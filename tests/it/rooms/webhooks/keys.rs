//! What a partner gets ends with the last key that allows it.

use clinicd_sdk::proto::identity::v1::RevokeApiKeyRequest;
use clinicd_tests::HttpDouble;
use jiff::SignedDuration;

use super::{A_WHILE, DAY, came, endpoint, fed, happen, id, key, now, partner, world};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_nothing_is_sent_and_with_a_new_one_it_goes_on() {
    let world = world().await;
    let (double, partner) = (HttpDouble::start().await, partner(&world).await);
    let made = endpoint(&partner.client, &double).await;
    // Another key keeps it going.
    let (_, second) = key(&world, &partner.account).await;
    let admin = world.admin().await;
    let revoke = |id: &str| RevokeApiKeyRequest { api_key_id: id.to_owned(), ..Default::default() };
    admin.client.send(revoke(&partner.key_id)).await.unwrap();
    happen(&world.app, world.app.ids.next()).await;
    double.got(1).await;
    assert_eq!(now(&admin.client, &id(&made)).await.problem, "");

    admin.client.send(revoke(&second)).await.unwrap();
    assert_eq!(now(&admin.client, &id(&made)).await.problem, "NO_KEY");
    happen(&world.app, world.app.ids.next()).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(double.received().len(), 1);

    key(&world, &partner.account).await;
    assert_eq!(now(&admin.client, &id(&made)).await.problem, "");
    world.advance(SignedDuration::from_mins(1));
    let received = double.got(2).await;
    assert_eq!(came(&received), fed(&world).await);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_key_is_none() {
    let world = world().await;
    let (double, partner) = (HttpDouble::start().await, partner(&world).await);
    let made = endpoint(&partner.client, &double).await;
    world.advance(SignedDuration::from_secs(301 * DAY));
    happen(&world.app, world.app.ids.next()).await;
    tokio::time::sleep(A_WHILE).await;
    assert!(double.received().is_empty());
    let admin = world.again(&world.admin().await).await;
    assert_eq!(now(&admin.client, &id(&made)).await.problem, "NO_KEY");
    world.finish().await;
}
