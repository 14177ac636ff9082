//! Every method of the descriptors, called with an empty body by everybody who may not, and by
//! those who may.

mod filling;
mod households;
mod matrix;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clinicd_sdk::{Code, Error};
use clinicd_server::app::ACCESS_TOKEN_SECONDS;
use clinicd_server::kernel::access::rules::{Audience, Rule, Rules};
use clinicd_server::kernel::access::tokens::{NewToken, TokenConfig, Tokens};
use clinicd_server::kernel::crypto::keys::SigningKey;
use clinicd_server::kernel::kinds::Role;
use clinicd_tests::people::Person;
use clinicd_tests::wire::{self, access_token};
use clinicd_tests::{World, refused};
use jiff::SignedDuration;
use tonic::transport::Channel;

use crate::contract::methods;

const ROLES: [Role; 6] =
    [Role::Patient, Role::Doctor, Role::Operator, Role::Pharmacist, Role::Admin, Role::Superuser];

/// Calls any method with an empty body.
async fn call(channel: &Channel, path: &str, token: Option<&str>) -> Result<(), Error> {
    match wire::call(channel, path, token, Vec::new()).await {
        Ok(_) => Ok(()),
        Err(refusal) => Err(refusal.into_error()),
    }
}

fn channel(world: &World) -> Channel {
    wire::channel(world.url())
}

/// Every method with its rule.
pub(crate) fn rules() -> Vec<(String, &'static Rule)> {
    let rules = Rules::from_descriptors(clinicd_proto::FILE_DESCRIPTOR_SET).unwrap();
    let path = |method: prost_reflect::MethodDescriptor| {
        format!("/{}/{}", method.parent_service().full_name(), method.name())
    };
    let paths = methods().into_iter().map(path);
    paths.map(|path| (path.clone(), rules.get(&path).unwrap())).collect()
}

/// The person in a new session, with these roles and no others. Written past the server: in life
/// nobody holds the role doctor alone.
async fn with_roles(world: &World, person: &Person, roles: &[Role], applicant: bool) -> String {
    let id = &person.id;
    world.sql(&format!("DELETE FROM account_roles WHERE account_id = '{id}'")).await;
    for role in roles {
        let role = role.as_str();
        world
            .sql(&format!(
                "INSERT INTO account_roles (account_id, role, granted_at) \
                 VALUES ('{id}', '{role}', now())"
            ))
            .await;
    }
    world.sql(&format!("UPDATE accounts SET applicant = {applicant} WHERE id = '{id}'")).await;
    access_token(&world.again(person).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_token_only_public_methods_answer() {
    let world = World::start().await;
    let channel = channel(&world);
    let asha = world.patient().await;
    let good = access_token(&asha);
    let forged = forgeries(&world, &good);
    for (path, rule) in rules() {
        let answer = call(&channel, &path, None).await;
        if rule.audience == Audience::Public {
            assert_ne!(
                answer.err().and_then(|error| Some(error.api()?.code)),
                Some(Code::Unauthenticated)
            );
            continue;
        }
        refused(answer, Code::Unauthenticated, "UNAUTHENTICATED");
        for token in &forged {
            refused(
                call(&channel, &path, Some(token)).await,
                Code::Unauthenticated,
                "UNAUTHENTICATED",
            );
        }
    }
    // Refreshed sessions go on, old tokens do not.
    world.advance(SignedDuration::from_secs(ACCESS_TOKEN_SECONDS + 10));
    for (path, _) in rules().into_iter().filter(|(_, rule)| rule.audience != Audience::Public) {
        refused(call(&channel, &path, Some(&good)).await, Code::Unauthenticated, "UNAUTHENTICATED");
    }
    world.finish().await;
}

/// Tokens that look like this one and are not from the server.
fn forgeries(world: &World, good: &str) -> Vec<String> {
    let now = world.app.clock.now().timestamp();
    let claims = world.app.tokens.verify(good, now).unwrap();
    let kid = &world.app.keys.signing.last().unwrap().kid;
    let mut stranger = SigningKey::generate(1).unwrap();
    stranger.kid.clone_from(kid);
    let config =
        TokenConfig { issuer: claims.iss.clone(), audience: claims.aud.clone(), life: 900 };
    let strangers = Tokens::new(&[stranger], config).unwrap();
    let new = NewToken {
        id: claims.jti,
        account: claims.sub,
        session: claims.sid,
        roles: vec!["superuser".to_owned()],
    };
    let head = serde_json::json!({ "alg": "none", "kid": kid, "typ": "JWT" }).to_string();
    let [real_head, body, signature] = *good.split('.').collect::<Vec<_>>() else { panic!() };
    let mut edited: serde_json::Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap();
    edited["exp"] = (now.as_second() + 86_400).into();
    let edited = URL_SAFE_NO_PAD.encode(edited.to_string());
    vec![
        strangers.issue(new, now).unwrap(),
        format!("{}.{body}.", URL_SAFE_NO_PAD.encode(head)),
        format!("{real_head}.{edited}.{signature}"),
        format!("{good}x"),
        "garbage".to_owned(),
        String::new(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_opens_what_its_rule_says_and_nothing_else() {
    let world = World::start().await;
    let channel = channel(&world);
    let person = world.patient().await;
    for role in ROLES {
        let token = with_roles(&world, &person, &[role], false).await;
        for (path, rule) in rules() {
            let answer = call(&channel, &path, Some(&token)).await;
            match &rule.audience {
                Audience::Roles(roles) if !roles.contains(&role) => {
                    let refusal = refused(answer, Code::PermissionDenied, "ROLE_REQUIRED");
                    assert_eq!(refusal.metadata["roles"].split(',').count(), roles.len(), "{path}");
                }
                _ => is_let_in(&path, answer),
            }
        }
    }
    world.finish().await;
}

/// What an empty request meets behind the gate: its fields are refused, or it is answered.
fn is_let_in(path: &str, answer: Result<(), Error>) {
    let Err(error) = answer else { return };
    let code = error.api().map(|error| error.code);
    let fine = [Code::InvalidArgument, Code::NotFound].map(Some);
    assert!(fine.contains(&code), "{path}: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_applicant_is_told_to_wait_for_approval() {
    let world = World::start().await;
    let channel = channel(&world);
    let person = world.patient().await;
    let token = with_roles(&world, &person, &[Role::Patient], true).await;
    for (path, rule) in rules() {
        let Audience::Roles(roles) = &rule.audience else { continue };
        if !roles.contains(&Role::Patient) {
            let doctors = roles.contains(&Role::Doctor);
            let reason = if doctors { "ONBOARDING_NOT_APPROVED" } else { "ROLE_REQUIRED" };
            let answer = call(&channel, &path, Some(&token)).await;
            refused(answer, Code::PermissionDenied, reason);
        }
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_does_not_exist_is_told_so() {
    let world = World::start().await;
    let answer = call(&channel(&world), "/clinicd.identity.v1.AuthService/Nothing", None).await;
    refused(answer, Code::Unimplemented, "UNKNOWN_METHOD");
    world.finish().await;
}
