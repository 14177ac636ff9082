//! Reminders of visits: a day and an hour before, and none of a visit that is not to be.

use clinicd_tests::mail::Mail;
use clinicd_tests::{Person, World};
use jiff::SignedDuration;

use super::{advance_to, at, book, cancelling, days_ahead};

/// The reminders that somebody got, by their subjects.
async fn reminders(world: &World, person: &Person) -> Vec<Mail> {
    world.settle().await;
    let sql = format!(
        "SELECT count(*) FROM deliveries WHERE kind = 'appointment_reminder' \
         AND account_id = '{}' AND state = 'sent'",
        person.id
    );
    let sent: usize = world.sql(&sql).await[0][0].parse().unwrap();
    let mails = world.mails_to(&person.email);
    mails[mails.len() - sent..].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_is_reminded_a_day_and_an_hour_before() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let start = at(days_ahead(&world, 3), 11, 0);
    book(&asha, &doctor, start).await;
    world.settle().await;
    let planned = "SELECT count(*) FROM jobs WHERE kind = 'appointments.remind'";
    assert_eq!(world.sql(planned).await, [["2"]]);
    // Somebody lets them run days before their time.
    world.sql("UPDATE jobs SET run_at = created_at WHERE kind = 'appointments.remind'").await;
    advance_to(&world, start - SignedDuration::from_hours(25));
    assert!(reminders(&world, &asha).await.is_empty());
    advance_to(&world, start - SignedDuration::from_hours(24));
    let day = reminders(&world, &asha).await;
    assert_eq!(day.len(), 1);
    assert!(day[0].text.contains("11:00") && day[0].text.contains("Lake View Clinic"), "{day:?}");
    // As if the worker had died before the job was noted as done.
    world
        .sql("UPDATE jobs SET state = 'ready', attempts = 0 WHERE kind = 'appointments.remind'")
        .await;
    advance_to(&world, start - SignedDuration::from_hours(1));
    assert_eq!(reminders(&world, &asha).await.len(), 2);
    let urgent =
        "SELECT count(*) FROM notifications WHERE kind = 'appointment_reminder' AND urgent";
    assert_eq!(world.sql(urgent).await, [["1"]], "the one an hour before");

    // One that is booked within the hour is not reminded of.
    let soon = at(days_ahead(&world, 0), 12, 0);
    advance_to(&world, soon - SignedDuration::from_mins(50));
    let ravi = world.patient().await;
    book(&ravi, &doctor, soon).await;
    advance_to(&world, soon);
    assert!(reminders(&world, &ravi).await.is_empty());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_reminded_of_a_cancelled_visit() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let day = days_ahead(&world, 3);
    let gone = book(&asha, &doctor, at(day, 11, 0)).await;
    let next = book(&asha, &doctor, at(day, 12, 0)).await;
    asha.client.send(cancelling(&gone)).await.unwrap();
    advance_to(&world, at(day, 11, 0) - SignedDuration::from_hours(24));
    assert!(reminders(&world, &asha).await.is_empty());
    advance_to(&world, at(day, 12, 0) - SignedDuration::from_hours(24));
    assert_eq!(reminders(&world, &asha).await.len(), 1);
    // One that waits (for the end of quiet hours, say) is taken back.
    world
        .sql(
            "UPDATE deliveries SET state = 'pending', ended_at = NULL, \
                send_at = send_at + interval '8 hours' WHERE kind = 'appointment_reminder'",
        )
        .await;
    world.admin().await.client.send(cancelling(&next)).await.unwrap();
    world.settle().await;
    let reason = "SELECT state, reason FROM deliveries WHERE kind = 'appointment_reminder'";
    assert_eq!(world.sql(reason).await, [["skipped", "WITHDRAWN"]]);
    advance_to(&world, at(day, 12, 0));
    assert_eq!(world.sql(reason).await, [["skipped", "WITHDRAWN"]]);
    world.finish().await;
}

/// Nor told of it as booked, when that message comes late; and who cancelled is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_is_not_told_as_booked() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let visit = book(&asha, &doctor, at(days_ahead(&world, 3), 11, 0)).await;
    world.settle().await;
    world.sql("UPDATE deliveries SET state = 'failed' WHERE kind = 'appointment_booked'").await;
    asha.client.send(cancelling(&visit)).await.unwrap();
    world.settle().await;
    let booked = "SELECT DISTINCT state, reason FROM deliveries WHERE kind = 'appointment_booked'";
    assert_eq!(world.sql(booked).await, [["skipped", "WITHDRAWN"]], "no retry sends it");
    let mails = world.mails_to(&asha.email);
    assert!(mails.last().unwrap().text.contains("You have cancelled"), "{mails:?}");
    assert!(mails.last().unwrap().text.contains("Dr. "), "{mails:?}");

    world
        .batch(
            "DELETE FROM notifications WHERE kind = 'appointment_booked'; \
             UPDATE jobs SET state = 'ready', attempts = 0 WHERE kind = 'appointments.tell_booked';",
        )
        .await;
    world.settle().await;
    let told = "SELECT count(*) FROM notifications WHERE kind = 'appointment_booked'";
    assert_eq!(world.sql(told).await, [["0"]]);
    world.finish().await;
}
