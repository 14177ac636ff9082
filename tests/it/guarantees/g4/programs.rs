//! The changing methods of programs and tickets.

use clinicd_sdk::proto::access::v1::Scope;
use clinicd_sdk::proto::identity::v1::{
    CreateApiKeyRequest, CreateServiceAccountRequest, ExchangeApiKeyRequest,
    IssueStreamTicketRequest, RevokeApiKeyRequest,
};

use super::Trial;

pub(super) async fn all(trial: &mut Trial) {
    let admin = trial.world.admin().await;
    let admin = trial.actor(&admin).await;
    let display_name = "Lab partner".to_owned();
    let request = CreateServiceAccountRequest { display_name, ..Default::default() };
    let other = |r: &mut CreateServiceAccountRequest| r.display_name.push('x');
    let effects = [("accounts", 1), ("events", 1)];
    let made = trial.change(&admin, request, other, &effects).await.service_account.unwrap();

    let request = CreateApiKeyRequest {
        service_account_id: made.id,
        display_name: "production".to_owned(),
        scopes: vec![Scope::FeedRead.into()],
        expire_time: Some(trial.world.app.clock.now().plus_seconds(24 * 3_600).into()),
        ..Default::default()
    };
    let other = |r: &mut CreateApiKeyRequest| r.display_name.push('x');
    let effects = [("api_keys", 1), ("events", 1)];
    let made = trial.change(&admin, request, other, &effects).await;

    // Each copy shows the key anew and is judged; the session is one. Another payload has to be
    // another key that is right: a wrong one is refused before its id is looked at.
    let other = admin.here.send(CreateApiKeyRequest {
        service_account_id: made.key.as_ref().unwrap().service_account_id.clone(),
        display_name: "other".to_owned(),
        scopes: vec![Scope::FeedRead.into()],
        expire_time: Some(trial.world.app.clock.now().plus_seconds(24 * 3_600).into()),
        ..Default::default()
    });
    *OTHER.lock().unwrap() = other.await.unwrap().api_key;
    let request = ExchangeApiKeyRequest { api_key: made.api_key, ..Default::default() };
    let other = |r: &mut ExchangeApiKeyRequest| r.api_key.clone_from(&OTHER.lock().unwrap());
    let effects = [("sessions", 1), ("sign_ins", 1)];
    trial.change(&trial.anybody(), request, other, &effects).await;

    let api_key_id = made.key.unwrap().id;
    let request = RevokeApiKeyRequest { api_key_id, ..Default::default() };
    let other = |r: &mut RevokeApiKeyRequest| r.api_key_id = super::changes::NOTHING.into();
    trial.change(&admin, request, other, &[("events", 1)]).await;

    let method = "clinicd.feed.v1.FeedService/Watch".to_owned();
    let request = IssueStreamTicketRequest { method, ..Default::default() };
    let other = |r: &mut IssueStreamTicketRequest| {
        r.method = "clinicd.files.v1.FileService/DownloadFile".into();
    };
    trial.change(&admin, request, other, &[("stream_tickets", 1)]).await;
}

/// Another key that is right, for a function that cannot carry it.
static OTHER: std::sync::Mutex<String> = std::sync::Mutex::new(String::new());
