//! What a stream shows when rights change: nothing that happens afterwards.

use std::time::{Duration, Instant};

use clinicd_tests::{Code, World, refused};

use super::{emit, events, next, number, open, told};

/// An event about a patient, for whoever the patient belongs to.
fn about_patient(patient: &str, number: usize) -> String {
    format!(
        "INSERT INTO events (id, created_at, event_type, resource_kind, resource_id, patient_id) \
         VALUES (gen_random_uuid(), now(), 'appointment.booked', 'appointment', \
            '00000000-0000-0000-0000-{number:012}', '{patient}');"
    )
}

/// Seen to fail when the hub judges by what the sessions were at their last check: the event that
/// was written together with the end of the session arrived.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_arrives_that_happens_after_the_end_of_a_session() {
    let world = World::start().await;
    let asha = world.patient().await;
    for _ in 0..3 {
        let asha = world.again(&asha).await;
        let mut feed = open(&asha.client).await;
        emit(&world, &asha.id, 1, 1).await;
        assert_eq!(number(&next(&mut feed).await), 1);
        let end = format!(
            "UPDATE sessions SET ended_at = now() WHERE account_id = '{}' AND ended_at IS NULL;",
            asha.id
        );
        world.batch(&(end + &events(&asha.id, 2, 2, "0 s"))).await;
        let begun = Instant::now();
        refused(feed.message().await, Code::Unauthenticated, "UNAUTHENTICATED");
        assert!(begun.elapsed() < Duration::from_millis(1_500), "{:?}", begun.elapsed());
    }
    // Without any event as well.
    let asha = world.again(&asha).await;
    let mut feed = open(&asha.client).await;
    world.sql("UPDATE sessions SET ended_at = now() WHERE ended_at IS NULL").await;
    let begun = Instant::now();
    refused(feed.message().await, Code::Unauthenticated, "UNAUTHENTICATED");
    assert!(begun.elapsed() < Duration::from_millis(1_500), "{:?}", begun.elapsed());
    world.finish().await;
}

/// Seen to fail like the test above.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_was_taken_shows_nothing_more() {
    let world = World::start().await;
    let (asha, kiran) = (world.patient().await, world.operator().await);
    let mut feed = open(&kiran.client).await;
    let mut own = open(&asha.client).await;
    world.batch(&about_patient(&asha.id, 1)).await;
    assert_eq!((number(&next(&mut feed).await), number(&next(&mut own).await)), (1, 1));
    let take = format!("DELETE FROM account_roles WHERE account_id = '{}';", kiran.id);
    world.batch(&(take + &about_patient(&asha.id, 2))).await;
    let ended = loop {
        match feed.message().await {
            Ok(Some(message)) if told(&message).is_none() => {}
            ended => break ended,
        }
    };
    refused(ended, Code::Unauthenticated, "UNAUTHENTICATED");
    assert_eq!(number(&next(&mut own).await), 2);
    world.finish().await;
}

/// The owner is that of the moment when the event is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_patient_who_moves_takes_the_flow_along() {
    let world = World::start().await;
    let (asha, ravi) = (world.patient().await, world.patient().await);
    let mut feeds = [open(&asha.client).await, open(&ravi.client).await];
    for (at, owner) in [&asha, &ravi, &asha, &ravi].into_iter().enumerate() {
        let moved =
            format!("UPDATE patients SET account_id = '{}' WHERE id = '{}';", owner.id, asha.id);
        world.batch(&(moved + &about_patient(&asha.id, at))).await;
        // Had one seen an event of the other, it would be the next here.
        assert_eq!(number(&next(&mut feeds[at % 2]).await), at);
    }
    world.finish().await;
}
