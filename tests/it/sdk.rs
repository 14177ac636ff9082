//! What the Rust SDK does by itself.

use std::time::Duration;

use clinicd_sdk::proto::appointments::v1::{BookAppointmentRequest, GetNextFreeSlotRequest};
use clinicd_sdk::proto::feed::v1::WatchRequest;
use clinicd_sdk::proto::identity::v1::{GetMyAccountRequest, ListUsersRequest};
use clinicd_sdk::proto::r#type::v1::ConsultationMode;
use clinicd_sdk::{Client, Error, Progress};
use clinicd_server::app::ACCESS_TOKEN_SECONDS;
use clinicd_tests::doctors::{FEE, picture};
use clinicd_tests::people::PASSWORD;
use clinicd_tests::{Code, Process, World, eventually, refused};
use futures_util::TryStreamExt as _;
use jiff::SignedDuration;

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_is_renewed_once_for_all_clones() {
    let world = World::start().await;
    let asha = world.patient().await;
    world.advance(SignedDuration::from_secs(ACCESS_TOKEN_SECONDS + 10));
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let client = asha.client.clone();
            tokio::spawn(async move { client.send(GetMyAccountRequest {}).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let tokens = world.sql("SELECT count(*), count(replaced_at) FROM refresh_tokens").await;
    assert_eq!(tokens, [["2", "1"]], "one exchange");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_is_told_apart() {
    let world = World::start().await;
    let asha = world.patient().await;
    asha.client.sign_out().await.unwrap();
    eventually("the session ends", async || {
        matches!(asha.client.send(GetMyAccountRequest {}).await, Err(Error::SessionEnded(_)))
    })
    .await;
    let wrong = world.client().sign_in(&asha.email, "not the password at all").await;
    refused(wrong, Code::Unauthenticated, "INVALID_CREDENTIALS");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_read_over_all_its_pages() {
    let world = World::start().await;
    let mut known = vec![world.admin().await.id, world.superuser().await.id];
    for _ in 0..5 {
        known.push(world.patient().await.id);
    }
    let request = ListUsersRequest { page_size: 2, ..Default::default() };
    let users = world.admin().await.client.all(request).await.unwrap();
    let mut listed: Vec<_> = users.into_iter().map(|user| user.id).collect();
    known.sort();
    listed.sort();
    assert_eq!(listed, known);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_in_this_process_and_outside_are_one_service() {
    let world = World::start().await;
    let asha = world.patient().await;
    let second = world.second_server().await;
    let third = Process::start(&world).await;
    for client in [second.client(), third.client()] {
        let tokens = asha.client.tokens().unwrap();
        let there = client.with_tokens(asha.id.clone(), tokens).unwrap();
        let account = there.send(GetMyAccountRequest {}).await.unwrap().account.unwrap();
        assert_eq!(account.email, asha.email);
        client.sign_in(&asha.email, PASSWORD).await.unwrap();
    }
    assert!(third.terminate().await.success());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_is_given_up_at_the_deadline() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let client = Client::builder(&url).deadline(Duration::from_millis(300)).connect_lazy().unwrap();
    let answer = client.send(GetMyAccountRequest {}).await;
    assert!(matches!(answer, Err(Error::Deadline)), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_can_be_booked_and_the_feed_tells() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let mut feed = asha.client.watch(WatchRequest::default());
    feed.try_next().await.unwrap();
    let slot = GetNextFreeSlotRequest {
        doctor_id: doctor.id.clone(),
        mode: ConsultationMode::InPerson.into(),
    };
    let slot = world.client().send(slot).await.unwrap().slot.unwrap();
    let request = BookAppointmentRequest {
        doctor_id: doctor.id.clone(),
        mode: ConsultationMode::InPerson.into(),
        start_time: slot.start,
        ..Default::default()
    };
    let booked = asha.client.send(request.clone()).await.unwrap().appointment.unwrap();
    let price = booked.price.unwrap();
    assert_eq!((price.units, price.currency_code.as_str()), (FEE, "INR"));
    let taken = world.patient().await.client.send(request).await;
    refused(taken, Code::AlreadyExists, "SLOT_TAKEN");
    loop {
        let message = feed.try_next().await.unwrap().unwrap();
        if message.event.is_some_and(|event| event.resource_id == booked.id) {
            break;
        }
    }
    drop(feed);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_uploaded_is_downloaded() {
    let world = World::start().await;
    let asha = world.patient().await;
    let mut steps = Vec::new();
    let content = std::io::Cursor::new(picture());
    let told = |progress: Progress| steps.push(progress);
    let file = asha.client.upload_from("a.png", "image/png", content, told).await.unwrap();
    assert_eq!(steps.last().map(|last| last.sent == last.total), Some(true));
    let download = asha.client.download(&file.id).await.unwrap();
    assert_eq!(download.file, file);
    let bytes = download.bytes().await.unwrap();
    assert_eq!(i64::try_from(bytes.len()).unwrap(), file.size_bytes);
    world.finish().await;
}
