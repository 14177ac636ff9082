//! The keys of access tokens change while servers run.

use clinicd_sdk::proto::identity::v1::GetMyAccountRequest;
use clinicd_sdk::{Client, Code};
use clinicd_server::app::App;
use clinicd_server::kernel::access::tokens::{NewToken, TokenConfig, Tokens};
use clinicd_server::kernel::crypto::KeyFolder;
use clinicd_server::kernel::crypto::keys::SigningKey;
use clinicd_tests::wire::{self, access_token};
use clinicd_tests::{World, refused};
use jiff::SignedDuration;
use jsonwebtoken::decode_header;

fn kid(token: &str) -> String {
    decode_header(token).unwrap().kid.unwrap()
}

async fn works(url: &str, token: &str) -> bool {
    let answer = wire::send(&wire::channel(url), Some(token), &GetMyAccountRequest {}).await;
    match answer {
        Ok(_) => true,
        Err(refusal) => {
            let refusal = Err::<(), _>(refusal.into_error());
            refused(refusal, Code::Unauthenticated, "UNAUTHENTICATED");
            false
        }
    }
}

/// The kids that partners are told.
fn published(app: &App) -> Vec<String> {
    let keys = app.tokens.jwks()["keys"].as_array().unwrap().clone();
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// Seen to fail when the newest key signed at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_known_to_all_before_it_signs() {
    let world = World::start().await;
    let second = world.second_server().await;
    let asha = world.patient().await;
    let (folder, before) = (world.app.config.keys_dir(), access_token(&asha));
    let old = kid(&before);
    let new = KeyFolder::rotate_signing(&folder).unwrap();
    world.app.follow_signing_keys().await.unwrap();
    assert_eq!(published(&world.app), [old.clone(), new.clone()]);
    assert!(works(world.url(), &before).await);
    let again = access_token(&world.again(&asha).await);
    assert_eq!(kid(&again), old);
    assert!(works(&second.url, &again).await);

    world.advance(SignedDuration::from_mins(11));
    second.app.follow_signing_keys().await.unwrap();
    let after = access_token(&world.again(&asha).await);
    assert_eq!(kid(&after), new);
    for url in [world.url(), &second.url] {
        assert!(works(url, &before).await && works(url, &after).await);
    }
    // Nobody else signs, whatever key is named.
    assert!(!works(world.url(), &forged(&world, &after, &new)).await);
    assert!(!works(world.url(), &forged(&world, &after, "000009-stranger")).await);

    // The old key goes.
    std::fs::remove_file(folder.join(format!("signing-{old}.pem"))).unwrap();
    world.app.follow_signing_keys().await.unwrap();
    assert_eq!(published(&world.app), [new]);
    assert!(!works(world.url(), &before).await && works(world.url(), &after).await);
    // With a session, nobody notices: the SDK takes a new token.
    let client: &Client = &asha.client;
    client.send(GetMyAccountRequest {}).await.unwrap();

    // A folder that cannot be read, or is empty, changes nothing.
    for entry in std::fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|extension| extension == "pem") {
            std::fs::remove_file(file).unwrap();
        }
    }
    world.app.follow_signing_keys().await.unwrap_err();
    assert!(works(world.url(), &after).await);
    world.finish().await;
}

/// A token like this one, signed by a stranger in the name of this key.
fn forged(world: &World, good: &str, kid: &str) -> String {
    let now = world.app.clock.now().timestamp();
    let claims = world.app.tokens.verify(good, now).unwrap();
    let mut stranger = SigningKey::generate(1).unwrap();
    kid.clone_into(&mut stranger.kid);
    let config =
        TokenConfig { issuer: claims.iss.clone(), audience: claims.aud.clone(), life: 900 };
    let token = NewToken {
        id: claims.jti,
        account: claims.sub,
        session: claims.sid,
        roles: vec!["superuser".to_owned()],
    };
    Tokens::new(&[stranger], config).unwrap().issue(token, now).unwrap()
}
