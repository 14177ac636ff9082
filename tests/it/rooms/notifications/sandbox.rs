//! The outbox of a development server.

use clinicd_sdk::proto::identity::v1::{ConfirmActivationRequest, RegisterAccountRequest};
use clinicd_sdk::proto::notifications::v1::Channel;
use clinicd_sdk::proto::sandbox::v1::{ListOutboxRequest, OutboxMessage};
use clinicd_sdk::proto::r#type::v1::PersonName;
use clinicd_sdk::{Client, Code};
use clinicd_server::config::Environment;
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{World, refused};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

async fn outbox(world: &World, request: ListOutboxRequest) -> Vec<OutboxMessage> {
    world.client().send(request).await.unwrap().messages
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_signs_up_with_what_the_outbox_shows() {
    let world = World::start().await;
    let email = "meera@example.org".to_owned();
    let name = PersonName { given: "Meera".to_owned(), family: "Iyer".to_owned() };
    let password = PASSWORD.to_owned();
    let request = RegisterAccountRequest {
        email: email.clone(),
        password,
        name: Some(name),
        ..Default::default()
    };
    world.client().send(request).await.unwrap();
    world.settle().await;
    let request = ListOutboxRequest { recipient: email.clone(), ..Default::default() };
    let mail = outbox(&world, request).await.remove(0);
    assert_eq!((mail.channel, &mail.recipient), (Channel::Mail.into(), &email));
    assert!(!mail.subject.is_empty() && mail.create_time.is_some() && !mail.id.is_empty());
    let token = mail.text.split_once("token=").unwrap().1.split_whitespace().next().unwrap();
    let activation_token = token.to_owned();
    let confirm = ConfirmActivationRequest { activation_token, ..Default::default() };
    world.client().send(confirm).await.unwrap();
    world.client().sign_in(&email, PASSWORD).await.unwrap();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_production_there_is_no_sandbox() {
    let world = World::start().await;
    let server = world.second_server_with(|config| config.env = Environment::Production).await;
    let client = Client::connect_lazy(&server.url).unwrap();
    let call = client.send(ListOutboxRequest::default()).await;
    refused(call, Code::Unimplemented, "");
    let channel = Endpoint::from_shared(server.url.clone()).unwrap().connect_lazy();
    let mut health = HealthClient::new(channel);
    for (service, is_there) in
        [("sandbox.v1.SandboxService", false), ("audit.v1.AuditService", true)]
    {
        let asks = HealthCheckRequest { service: format!("clinicd.{service}") };
        assert_eq!(health.check(asks).await.is_ok(), is_there, "{service}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_come_newest_first_filtered_and_capped() {
    let world = World::start().await;
    assert_eq!(outbox(&world, ListOutboxRequest::default()).await, []);
    let asha = world.patient().await;
    world.phone_patient("+919812345678").await;
    world.settle().await;
    let all = outbox(&world, ListOutboxRequest::default()).await;
    let times: Vec<_> = all.iter().map(|message| message.create_time.unwrap()).collect();
    assert!(
        times.is_sorted_by_key(|time| std::cmp::Reverse((time.seconds, time.nanos))),
        "{times:?}"
    );
    let of = async |channel: Channel, recipient: &str| {
        let recipient = recipient.to_owned();
        let channel = channel.into();
        outbox(&world, ListOutboxRequest { channel, recipient, ..Default::default() }).await
    };
    let sms = of(Channel::Sms, "+919812345678").await;
    assert!(!sms.is_empty() && sms.iter().all(|message| message.recipient == "+919812345678"));
    assert_eq!(of(Channel::Sms, &asha.email).await, []);
    assert!(of(Channel::Mail, &asha.email).await.len() >= 2);
    let one = outbox(&world, ListOutboxRequest { max_messages: 1, ..Default::default() }).await;
    assert_eq!(one, all[..1]);
    let negative = ListOutboxRequest { max_messages: -1, ..Default::default() };
    refused(world.client().send(negative).await, Code::InvalidArgument, "INVALID_FIELDS");
    world.finish().await;
}
