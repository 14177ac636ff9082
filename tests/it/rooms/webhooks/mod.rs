//! Webhooks: what partners get, in which order, and who may not be spoken to.

mod addresses;
mod endpoints;
mod keys;
mod order;
mod retries;
mod secrets;
mod workers;

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use clinicd_sdk::Client;
use clinicd_sdk::proto::access::v1::Scope;
use clinicd_sdk::proto::feed::v1::{
    CreateEndpointRequest, CreateEndpointResponse, Endpoint, ListDeliveriesRequest,
    ListEndpointsRequest, ResourceKind as Kind, UpdateEndpointRequest, WebhookDelivery,
};
use clinicd_sdk::proto::identity::v1::{CreateApiKeyRequest, CreateServiceAccountRequest};
use clinicd_sdk::webhook::{Webhook, WebhookError, WebhookEvent};
use clinicd_server::app::App;
use clinicd_server::kernel::events::{Event, ResourceKind};
use clinicd_tests::http_double::Received;
use clinicd_tests::{HttpDouble, World};
use uuid::Uuid;

/// Long enough for something to come that must not.
const A_WHILE: Duration = Duration::from_millis(700);
const DAY: i64 = 24 * 3_600;

/// A world whose operator lets webhooks go to this machine.
async fn world() -> World {
    World::start_with(|config| {
        config.webhooks.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await
}

/// A program of a partner.
struct Partner {
    account: String,
    key_id: String,
    client: Client,
}

/// Makes a key with the scope of webhooks; the key, and its id.
async fn key(world: &World, account: &str) -> (String, String) {
    let request = CreateApiKeyRequest {
        service_account_id: account.to_owned(),
        display_name: "production".to_owned(),
        scopes: vec![Scope::Webhooks.into()],
        expire_time: Some(world.app.clock.now().plus_seconds(300 * DAY).into()),
        ..Default::default()
    };
    let made = world.admin().await.client.send(request).await.unwrap();
    (made.api_key, made.key.unwrap().id)
}

async fn partner(world: &World) -> Partner {
    let request =
        CreateServiceAccountRequest { display_name: "Lab".to_owned(), ..Default::default() };
    let made = world.admin().await.client.send(request).await.unwrap();
    let account = made.service_account.unwrap().id;
    let (key, key_id) = key(world, &account).await;
    let client = world.client().with_api_key(&key).await.unwrap();
    Partner { account, key_id, client }
}

/// What asks for an endpoint at this URL, for prescriptions: tests make those up.
fn wish(url: &str) -> CreateEndpointRequest {
    CreateEndpointRequest {
        url: url.to_owned(),
        display_name: "Lab results".to_owned(),
        kinds: vec![Kind::Prescription.into()],
        ..Default::default()
    }
}

/// An endpoint at the double.
async fn endpoint(client: &Client, double: &HttpDouble) -> CreateEndpointResponse {
    client.send(wish(&format!("{}/hooks", double.url))).await.unwrap()
}

fn id(made: &CreateEndpointResponse) -> String {
    made.endpoint.as_ref().unwrap().id.clone()
}

/// The endpoint as it is now.
async fn now(client: &Client, id: &str) -> Endpoint {
    let all = client.all(ListEndpointsRequest::default()).await.unwrap();
    all.into_iter().find(|endpoint| endpoint.id == id).unwrap()
}

/// Changes an endpoint.
async fn change(client: &Client, id: &str, change: UpdateEndpointRequest) -> Endpoint {
    let etag = now(client, id).await.etag;
    let request = UpdateEndpointRequest { endpoint_id: id.to_owned(), etag, ..change };
    client.send(request).await.unwrap().endpoint.unwrap()
}

/// Everything that was sent to an endpoint or has to be, oldest first.
async fn deliveries(client: &Client, id: &str) -> Vec<WebhookDelivery> {
    let (endpoint_id, order_by) = (id.to_owned(), "id".to_owned());
    let list = ListDeliveriesRequest { endpoint_id, order_by, ..Default::default() };
    client.all(list).await.unwrap()
}

/// Something happens to a prescription.
async fn happen(app: &App, resource: Uuid) {
    let event = Event {
        event_type: "prescription.issued_in_a_test",
        kind: ResourceKind::Prescription,
        resource,
        account: None,
        patient: None,
        doctor: None,
    };
    app.db.transaction(async |conn| app.events.emit(conn, event).await).await.unwrap();
}

/// The ids of what happened to each prescription, in feed order.
async fn fed(world: &World) -> HashMap<String, Vec<String>> {
    let rows = world
        .sql(
            "SELECT resource_id, id FROM events WHERE resource_kind = 'prescription' \
              ORDER BY xid, seq",
        )
        .await;
    by_resource(rows.into_iter().map(|row| (row[0].clone(), row[1].clone())))
}

/// The ids of what came about each resource, in order of arrival.
fn came(received: &[Received]) -> HashMap<String, Vec<String>> {
    by_resource(received.iter().map(|one| {
        let body = one.json();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        (text("resource_id"), text("id"))
    }))
}

fn by_resource(pairs: impl Iterator<Item = (String, String)>) -> HashMap<String, Vec<String>> {
    let mut found = HashMap::<String, Vec<String>>::new();
    for (resource, event) in pairs {
        found.entry(resource).or_default().push(event);
    }
    found
}

/// What the partner's program makes of a message, by the time of the world.
fn verify(world: &World, secret: &str, one: &Received) -> Result<WebhookEvent, WebhookError> {
    let mut headers = http::HeaderMap::new();
    for (name, value) in &one.headers {
        let name: http::HeaderName = name.parse().unwrap();
        headers.append(name, value.parse().unwrap());
    }
    let micros = u64::try_from(world.app.clock.now().unix_micros()).unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
    Webhook::new(secret).unwrap().verify_at(&headers, &one.body, now)
}
