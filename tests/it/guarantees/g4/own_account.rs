//! The changing methods of the own password, sessions and second factor.

use clinicd_sdk::Error;
use clinicd_sdk::proto::identity::v1::{
    ChangePasswordRequest, CompleteSecondFactorRequest, ConfirmSecondFactorRequest,
    EnrollSecondFactorRequest, GetMyAccountRequest, ListMySessionsRequest,
    RegenerateRecoveryCodesRequest, RemoveSecondFactorRequest, RevokeOtherSessionsRequest,
    RevokeSessionRequest,
};
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{Person, World};
use jiff::SignedDuration;
use totp_rs::{Builder, Secret, Totp};

use super::{Actor, Trial};

/// What the app shows: another code each time. Both servers have noted by then that the session is
/// used, which they do once a minute.
async fn code(world: &World, actor: &Actor, app: &Totp) -> String {
    world.advance(SignedDuration::from_secs(30));
    for client in [&actor.here, &actor.there] {
        client.send(GetMyAccountRequest {}).await.unwrap();
    }
    let seconds = world.app.clock.now().timestamp().as_second();
    app.generate(u64::try_from(seconds).unwrap()).to_string()
}

/// One session of a person, on both servers.
async fn one_session(trial: &Trial, person: &Person) -> Actor {
    let here = trial.world.again(person).await.client;
    let tokens = here.tokens().unwrap();
    let there = trial.second.client().with_tokens(person.id.clone(), tokens).unwrap();
    Actor { here, there }
}

pub(super) async fn all(trial: &mut Trial) {
    let asha = trial.world.patient().await;
    let actor = one_session(trial, &asha).await;
    sessions(trial, &asha, &actor).await;
    let request = ChangePasswordRequest {
        current_password: PASSWORD.to_owned(),
        new_password: format!("{PASSWORD}-two"),
        ..Default::default()
    };
    let other = |r: &mut ChangePasswordRequest| r.new_password.push('x');
    trial.change(&actor, request, other, &[("events", 1), ("jobs", 1)]).await;
    second_factor(trial, &asha, &actor).await;
}

async fn sessions(trial: &mut Trial, asha: &Person, actor: &Actor) {
    trial.world.again(asha).await;
    let list = actor.here.all(ListMySessionsRequest::default()).await.unwrap();
    let session_id = list.last().unwrap().id.clone();
    let request = RevokeSessionRequest { session_id, ..Default::default() };
    let other = |r: &mut RevokeSessionRequest| r.session_id = super::changes::NOTHING.into();
    trial.change(actor, request, other, &[]).await;
    trial.world.again(asha).await;
    trial.change(actor, RevokeOtherSessionsRequest::default(), |_| {}, &[]).await;
}

async fn second_factor(trial: &mut Trial, asha: &Person, actor: &Actor) {
    let effects = [("second_factors", 1)];
    let enrolled =
        trial.change(actor, EnrollSecondFactorRequest::default(), |_| {}, &effects).await;
    let secret = Secret::try_from_base32(&enrolled.secret).unwrap();
    let app = Builder::new().with_secret(secret).build().unwrap();

    let request = ConfirmSecondFactorRequest {
        code: code(&trial.world, actor, &app).await,
        ..Default::default()
    };
    let other = |r: &mut ConfirmSecondFactorRequest| r.code = "other".into();
    let effects = [("recovery_codes", 10), ("events", 1), ("jobs", 1)];
    trial.change(actor, request, other, &effects).await;
    let request = RegenerateRecoveryCodesRequest {
        code: code(&trial.world, actor, &app).await,
        ..Default::default()
    };
    let other = |r: &mut RegenerateRecoveryCodesRequest| r.code = "other".into();
    trial.change(actor, request, other, &[("events", 1), ("jobs", 1)]).await;

    let password = format!("{PASSWORD}-two");
    let asked = trial.world.client().sign_in(&asha.email, &password).await;
    let Err(Error::SecondFactor(challenge)) = asked else { panic!("{asked:?}") };
    let request = CompleteSecondFactorRequest {
        challenge_token: challenge.challenge_token,
        code: code(&trial.world, actor, &app).await,
        ..Default::default()
    };
    let other = |r: &mut CompleteSecondFactorRequest| r.device_name = "phone".into();
    let effects = [("sessions", 1), ("refresh_tokens", 1), ("sign_ins", 1)];
    let anybody = trial.anybody();
    trial.change(&anybody, request, other, &effects).await;

    let request = RemoveSecondFactorRequest {
        code: code(&trial.world, actor, &app).await,
        ..Default::default()
    };
    let other = |r: &mut RemoveSecondFactorRequest| r.code = "other".into();
    let effects = [("second_factors", -1), ("recovery_codes", -10), ("events", 1), ("jobs", 1)];
    trial.change(actor, request, other, &effects).await;
}
