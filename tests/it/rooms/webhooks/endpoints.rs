//! Endpoints as they are kept: whose they are, how many, how they are listed.

use clinicd_sdk::Code;
use clinicd_sdk::proto::feed::v1::{
    DeleteEndpointRequest, EndpointState, ListDeliveriesRequest, ListEndpointsRequest,
    ReplayFromRequest, ResourceKind, RotateSecretRequest, UpdateEndpointRequest,
    WebhookDeliveryState as State,
};
use clinicd_server::feed::webhooks::jobs::Sweep;
use clinicd_server::kernel::jobs::Job as _;
use clinicd_tests::http_double::Answer;
use clinicd_tests::{HttpDouble, eventually, refused};
use jiff::SignedDuration;

use super::{A_WHILE, deliveries, endpoint, happen, id, now, partner, wish, world};
use crate::rooms::fields;

#[tokio::test(flavor = "multi_thread")]
async fn a_program_sees_its_own_endpoints_and_an_admin_all() {
    let world = world().await;
    let double = HttpDouble::start().await;
    let (one, other, admin) =
        (partner(&world).await, partner(&world).await, world.admin().await.client);
    let (ones, others) =
        (endpoint(&one.client, &double).await, endpoint(&other.client, &double).await);
    let own = endpoint(&admin, &double).await;
    let list = ListEndpointsRequest { include_total: true, ..Default::default() };
    for (client, expected) in [
        (&one.client, vec![id(&ones)]),
        (&other.client, vec![id(&others)]),
        (&admin, vec![id(&ones), id(&others), id(&own)]),
    ] {
        let answer = client.send(list.clone()).await.unwrap();
        assert_eq!(answer.total_size, i64::try_from(expected.len()).ok());
        let ids: Vec<_> = answer.endpoints.into_iter().map(|endpoint| endpoint.id).collect();
        assert_eq!(ids, expected);
    }
    let account = |made: &clinicd_sdk::proto::feed::v1::CreateEndpointResponse| {
        made.endpoint.as_ref().unwrap().service_account_id.clone()
    };
    assert_eq!([account(&ones), account(&own)], [one.account.clone(), String::new()]);

    for endpoint_id in [id(&others), id(&own), world.app.ids.next().to_string()] {
        let (client, etag) = (&one.client, "1".to_owned());
        let request =
            UpdateEndpointRequest { endpoint_id: endpoint_id.clone(), etag, ..Default::default() };
        refused(client.send(request).await, Code::NotFound, "NOT_FOUND");
        let request =
            RotateSecretRequest { endpoint_id: endpoint_id.clone(), ..Default::default() };
        refused(client.send(request).await, Code::NotFound, "NOT_FOUND");
        let request = ReplayFromRequest { endpoint_id: endpoint_id.clone(), ..Default::default() };
        refused(client.send(request).await, Code::NotFound, "NOT_FOUND");
        let request =
            ListDeliveriesRequest { endpoint_id: endpoint_id.clone(), ..Default::default() };
        refused(client.send(request).await, Code::NotFound, "NOT_FOUND");
        let request = DeleteEndpointRequest { endpoint_id, ..Default::default() };
        refused(client.send(request).await, Code::NotFound, "NOT_FOUND");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_changed_by_who_has_read_it_last() {
    let world = world().await;
    let (double, partner) = (HttpDouble::start().await, partner(&world).await);
    let made = endpoint(&partner.client, &double).await.endpoint.unwrap();
    let request = UpdateEndpointRequest {
        endpoint_id: made.id.clone(),
        etag: made.etag.clone(),
        display_name: Some("  Lab, test ".to_owned()),
        kinds: vec![ResourceKind::Appointment.into(), ResourceKind::Patient.into()],
        set_kinds: true,
        ..Default::default()
    };
    let changed = partner.client.send(request.clone()).await.unwrap().endpoint.unwrap();
    assert_eq!((changed.display_name.as_str(), changed.kinds.len()), ("Lab, test", 2));
    assert_eq!((changed.url, changed.state), (made.url, EndpointState::Active.into()));
    refused(partner.client.send(request).await, Code::Aborted, "ETAG_MISMATCH");
    let empty = UpdateEndpointRequest {
        endpoint_id: made.id.clone(),
        etag: changed.etag,
        display_name: Some(" ".to_owned()),
        url: Some("ftp://x".to_owned()),
        ..Default::default()
    };
    let refusal =
        refused(partner.client.send(empty).await, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&refusal), ["url", "display_name"]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_has_twenty_endpoints_at_most() {
    let world = world().await;
    let (double, partner) = (HttpDouble::start().await, partner(&world).await);
    for _ in 0..19 {
        endpoint(&partner.client, &double).await;
    }
    let wish = wish(&double.url);
    let (one, other) =
        tokio::join!(partner.client.send(wish.clone()), partner.client.send(wish.clone()));
    let made = if one.is_ok() { &one } else { &other };
    let gone = id(made.as_ref().unwrap());
    let refusal = if one.is_ok() { other } else { one };
    refused(refusal, Code::FailedPrecondition, "WRONG_STATE");
    let delete = DeleteEndpointRequest { endpoint_id: gone, ..Default::default() };
    partner.client.send(delete).await.unwrap();
    partner.client.send(wish).await.unwrap();
    let list = ListEndpointsRequest { page_size: 7, ..Default::default() };
    let all = partner.client.all(list.clone()).await.unwrap();
    assert_eq!(all.len(), 20);
    let order_by = "id desc".to_owned();
    let mut down = partner.client.all(ListEndpointsRequest { order_by, ..list }).await.unwrap();
    down.reverse();
    assert_eq!(down, all);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_endpoint_is_gone_with_all_that_it_had() {
    let world = world().await;
    let (double, partner) = (HttpDouble::start().await, partner(&world).await);
    let made = endpoint(&partner.client, &double).await;
    for _ in 0..5 {
        happen(&world.app, world.app.ids.next()).await;
    }
    double.got(5).await;
    let delete = DeleteEndpointRequest { endpoint_id: id(&made), ..Default::default() };
    partner.client.send(delete.clone()).await.unwrap();
    let again = DeleteEndpointRequest { request_id: String::new(), ..delete };
    refused(partner.client.send(again).await, Code::NotFound, "NOT_FOUND");
    happen(&world.app, world.app.ids.next()).await;
    let left = "SELECT id FROM webhook_endpoints UNION ALL SELECT id FROM webhook_deliveries";
    eventually("nothing is left", async || world.sql(left).await.is_empty()).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(double.received().len(), 5);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_listed_by_state_in_pages_and_kept_for_thirty_days() {
    let world = world().await;
    let (double, partner) = (HttpDouble::start().await, partner(&world).await);
    let endpoint_id = id(&endpoint(&partner.client, &double).await);
    let mut number = 0;
    double.rule(move |_| {
        number += 1;
        Answer::status(if number % 3 == 0 { 500 } else { 200 })
    });
    for _ in 0..12 {
        happen(&world.app, world.app.ids.next()).await;
    }
    double.got(12).await;
    let list = ListDeliveriesRequest {
        endpoint_id: endpoint_id.clone(),
        include_total: true,
        ..Default::default()
    };
    let of = |state: State| ListDeliveriesRequest { state: state.into(), ..list.clone() };
    let total = async |request: ListDeliveriesRequest| {
        partner.client.send(request).await.unwrap().total_size.unwrap()
    };
    eventually("all have been recorded", async || total(of(State::Delivered)).await == 8).await;
    assert_eq!((total(list.clone()).await, total(of(State::Pending)).await), (12, 4));
    assert_eq!(total(of(State::Failed)).await, 0);
    let waiting = partner.client.all(of(State::Pending)).await.unwrap();
    assert_eq!(waiting.len(), 4);
    assert!(waiting.iter().all(|one| one.state() == State::Pending && one.status_code == 500));
    let newest_first = partner.client.all(list.clone()).await.unwrap();
    let mut oldest_first = deliveries(&partner.client, &endpoint_id).await;
    oldest_first.reverse();
    assert_eq!(newest_first, oldest_first);
    let token = partner.client.send(list.clone()).await.unwrap().next_page_token;
    let moved = ListDeliveriesRequest { page_token: token, ..of(State::Pending) };
    refused(partner.client.send(moved).await, Code::InvalidArgument, "PAGE_TOKEN_INVALID");

    double.rule(|_| Answer::ok());
    world.advance(SignedDuration::from_hours(24 * 29));
    eventually("what waited was taken", async || total(of(State::Pending)).await == 0).await;
    world.advance(SignedDuration::from_hours(25));
    Sweep {}.run(world.app.clone(), world.app.ids.next()).await.unwrap();
    assert_eq!(total(list).await, 4, "what ended 30 days ago is gone");
    assert_eq!(now(&partner.client, &endpoint_id).await.state(), EndpointState::Active);
    world.finish().await;
}
