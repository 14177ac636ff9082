//! The changing methods around phone numbers, mail addresses and lost passwords.

use clinicd_sdk::proto::identity::v1::{
    ChangeEmailRequest, ChangePhoneRequest, ConfirmContactChangeRequest, ConfirmRecoveryRequest,
    PhoneCode, RegisterAccountRequest, RequestRecoveryRequest, ResendActivationRequest,
    SendOtpRequest, StartRecoveryForRequest, VerifyOtpRequest, confirm_contact_change_request,
    confirm_recovery_request,
};
use clinicd_sdk::proto::r#type::v1::PersonName;
use clinicd_tests::mail::Mail;
use clinicd_tests::people::PASSWORD;
use jiff::SignedDuration;

use super::{Actor, Trial};

const NUMBER: &str = "+919812345678";
const EMAIL: &str = "ravi@example.org";

async fn newest_token(trial: &Trial, subject: &str) -> String {
    trial.world.settle().await;
    let mail = trial.world.mail_to(EMAIL, |mail: &Mail| mail.subject == subject).await;
    mail.token().unwrap().to_owned()
}

pub(super) async fn by_phone(trial: &mut Trial) {
    let anybody = trial.anybody();
    let request = SendOtpRequest { phone: NUMBER.to_owned(), ..Default::default() };
    let effects = [("challenges", 1), ("jobs", 1), ("sent_codes", 2), ("sent_codes_by_country", 1)];
    let sent = trial.change(&anybody, request, |r| r.language = "hi".into(), &effects).await;

    let (challenge_id, code) = (sent.challenge_id, trial.world.code_sent_to(NUMBER).await);
    let phone_code = Some(PhoneCode { challenge_id, code });
    let request = VerifyOtpRequest { phone_code, ..Default::default() };
    let made = [("accounts", 1), ("account_roles", 1), ("patients", 1), ("events", 3), ("jobs", 1)];
    let let_in = [("sessions", 1), ("refresh_tokens", 1), ("sign_ins", 1)];
    let effects = [&made[..], &let_in].concat();
    let other = |r: &mut VerifyOtpRequest| r.device_name = "phone".into();
    let answer = trial.change(&anybody, request, other, &effects).await;

    let (id, tokens) = (answer.account_id, answer.tokens.unwrap());
    let here = trial.world.client().with_tokens(id.clone(), tokens.clone()).unwrap();
    let there = trial.second.client().with_tokens(id.clone(), tokens).unwrap();
    let ravi = Actor { here, there };
    let request = ChangePhoneRequest { phone: "+919812345679".to_owned(), ..Default::default() };
    let effects = [("challenges", 1), ("jobs", 1), ("sent_codes", 1)];
    let other = |r: &mut ChangePhoneRequest| r.phone = NUMBER.into();
    trial.change(&ravi, request, other, &effects).await;

    let request = ChangeEmailRequest { email: EMAIL.to_owned(), ..Default::default() };
    let other = |r: &mut ChangeEmailRequest| r.email = "other@example.org".into();
    trial.change(&ravi, request, other, &effects).await;

    let token = newest_token(trial, "Confirm your new address").await;
    let proof = confirm_contact_change_request::Proof::EmailToken(token);
    let request = ConfirmContactChangeRequest { proof: Some(proof), ..Default::default() };
    let other = |r: &mut ConfirmContactChangeRequest| {
        r.proof = Some(confirm_contact_change_request::Proof::EmailToken("other".into()));
    };
    trial.change(&ravi, request, other, &[("events", 1), ("jobs", 2)]).await;
    recovery(trial, id).await;
}

async fn recovery(trial: &mut Trial, account_id: String) {
    let anybody = trial.anybody();
    let request = RequestRecoveryRequest { email: EMAIL.to_owned(), ..Default::default() };
    let other = |r: &mut RequestRecoveryRequest| r.email = "other@example.org".into();
    let effects = [("challenges", 1), ("jobs", 1), ("sent_codes", 2)];
    trial.change(&anybody, request, other, &effects).await;

    let token = newest_token(trial, "Choose a new password").await;
    let proof = Some(confirm_recovery_request::Proof::RecoveryToken(token));
    let new_password = PASSWORD.to_owned();
    let request = ConfirmRecoveryRequest { proof, new_password, ..Default::default() };
    let other = |r: &mut ConfirmRecoveryRequest| r.new_password.push('x');
    let effects = [("events", 1), ("jobs", 1), ("sign_ins", 1)];
    trial.change(&anybody, request, other, &effects).await;

    let admin = trial.world.admin().await;
    let admin = trial.actor(&admin).await;
    let request = StartRecoveryForRequest { account_id, ..Default::default() };
    let other = |r: &mut StartRecoveryForRequest| r.account_id = super::changes::NOTHING.into();
    let effects = [("challenges", 1), ("jobs", 1), ("events", 1)];
    trial.change(&admin, request, other, &effects).await;
}

pub(super) async fn by_mail(trial: &mut Trial) {
    let anybody = trial.anybody();
    let email = "late@example.org".to_owned();
    let registration = RegisterAccountRequest {
        email: email.clone(),
        password: PASSWORD.to_owned(),
        name: Some(PersonName { given: "Uma".to_owned(), family: String::new() }),
        ..Default::default()
    };
    anybody.here.send(registration).await.unwrap();
    trial.world.advance(SignedDuration::from_secs(61));
    let request = ResendActivationRequest { email, ..Default::default() };
    let other = |r: &mut ResendActivationRequest| r.email = EMAIL.into();
    // The network has its count already.
    let effects = [("challenges", 1), ("jobs", 1), ("sent_codes", 1)];
    trial.change(&anybody, request, other, &effects).await;
}
