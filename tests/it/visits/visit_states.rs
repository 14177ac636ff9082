//! The steps of an appointment: who takes which, when, and from which state.

use clinicd_sdk::proto::appointments::v1::{
    Appointment, AppointmentState, CompleteAppointmentRequest, GetAppointmentRequest,
};
use clinicd_sdk::{Client, Error};
use clinicd_tests::doctors::every_day;
use clinicd_tests::{Code, Person, World, refused};
use jiff::ToSpan as _;

use super::{
    NOBODY, advance_to, at, book, cancelling, days_ahead, free, instant, now, start, starting,
    visit,
};

/// What can be done with an appointment.
#[derive(Debug, Clone, Copy)]
enum Step {
    Start,
    Complete,
    Cancel,
}

const STEPS: [Step; 3] = [Step::Start, Step::Complete, Step::Cancel];

async fn take(client: &Client, step: Step, of: &Appointment) -> Result<Appointment, Error> {
    let taken = match step {
        Step::Start => client.send(starting(of)).await?.appointment,
        Step::Complete => client.send(completing(of)).await?.appointment,
        Step::Cancel => client.send(cancelling(of)).await?.appointment,
    };
    Ok(taken.unwrap())
}

fn completing(of: &Appointment) -> CompleteAppointmentRequest {
    CompleteAppointmentRequest {
        appointment_id: of.id.clone(),
        etag: of.etag.clone(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_state_allows_its_steps_and_no_others() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    world.replace_rules(&doctor, every_day(0, 24)).await;
    let day = days_ahead(&world, 1);
    let mut booked = Vec::new();
    for slot in 0..5 {
        booked.push(book(&asha, &doctor, at(day, 9, 0) + (30 * slot).minutes()).await);
    }
    advance_to(&world, at(day, 11, 0));
    let client = &doctor.client;
    let begun = take(client, Step::Start, &booked[1]).await.unwrap();
    let done = take(client, Step::Start, &booked[2]).await.unwrap();
    let done = take(client, Step::Complete, &done).await.unwrap();
    let gone = take(client, Step::Cancel, &booked[3]).await.unwrap();
    assert_eq!(gone.cancellation_reason, "Something came up.");
    assert_eq!((begun.etag.as_str(), done.etag.as_str()), ("2", "3"));
    for (appointment, name, allowed) in [
        (&booked[0], "booked", [true, false, true]),
        (&begun, "in_consultation", [false, true, false]),
        (&done, "completed", [false; 3]),
        (&gone, "cancelled", [false; 3]),
    ] {
        for (step, _) in STEPS.into_iter().zip(allowed).filter(|(_, allowed)| !allowed) {
            let answer = take(client, step, appointment).await;
            let refusal = refused(answer, Code::FailedPrecondition, "WRONG_STATE");
            assert_eq!(refusal.metadata["state"], name, "{step:?}");
        }
        for step in STEPS {
            for etag in ["0", "99", "x"] {
                let stale = Appointment { etag: etag.to_owned(), ..appointment.clone() };
                refused(take(client, step, &stale).await, Code::Aborted, "ETAG_MISMATCH");
            }
        }
    }
    for (step, of, state) in [
        (Step::Start, &booked[0], AppointmentState::InConsultation),
        (Step::Complete, &begun, AppointmentState::Completed),
        (Step::Cancel, &booked[4], AppointmentState::Cancelled),
    ] {
        let taken = take(client, step, of).await.unwrap();
        assert_eq!(taken.state(), state);
        let request = GetAppointmentRequest { appointment_id: of.id.clone() };
        assert_eq!(client.send(request).await.unwrap().appointment, Some(taken));
    }
    world.finish().await;
}

/// Seen to fail without the version in `TakeStep`: both steps were taken.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_steps_at_once_one_is_taken() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let begun = visit(&world, &doctor, &asha).await;
    let (one, two) = tokio::join!(
        take(&doctor.client, Step::Complete, &begun),
        take(&doctor.client, Step::Complete, &begun),
    );
    let (won, lost) = if one.is_ok() { (one, two) } else { (two, one) };
    assert_eq!(won.unwrap().state(), AppointmentState::Completed);
    refused(lost, Code::Aborted, "ETAG_MISMATCH");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn visits_are_the_treating_doctors() {
    let world = World::start().await;
    let (doctor, other, asha) = (world.doctor().await, world.doctor().await, world.patient().await);
    let (operator, admin) = (world.operator().await, world.admin().await);
    let slot = super::next_free(&world, &doctor).await.unwrap();
    let booked = book(&asha, &doctor, slot).await;
    advance_to(&world, slot);
    // Sessions of staff last for a working day.
    let (operator, admin) = (world.again(&operator).await, world.again(&admin).await);
    let nothing = Appointment { id: NOBODY.to_owned(), ..booked.clone() };
    for step in [Step::Start, Step::Complete] {
        for who in [&asha, &operator] {
            let answer = take(&who.client, step, &booked).await;
            refused(answer, Code::PermissionDenied, "ROLE_REQUIRED");
        }
        refused(take(&other.client, step, &booked).await, Code::NotFound, "NOT_FOUND");
        refused(take(&doctor.client, step, &nothing).await, Code::NotFound, "NOT_FOUND");
    }
    let begun = take(&admin.client, Step::Start, &booked).await.unwrap();
    assert_eq!(begun.state(), AppointmentState::InConsultation);
    take(&doctor.client, Step::Complete, &begun).await.unwrap();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visit_begins_half_an_hour_early_at_most() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let booked = book(&asha, &doctor, at(days_ahead(&world, 1), 9, 0)).await;
    let earliest = instant(booked.start_time) - 30.minutes();
    advance_to(&world, earliest - 30.seconds());
    let answer = doctor.client.send(starting(&booked)).await;
    let refusal = refused(answer, Code::FailedPrecondition, "WRONG_STATE");
    assert_eq!(refusal.metadata["state"], "booked");
    advance_to(&world, earliest);
    start(&doctor, &booked).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn patients_cancel_a_day_before_and_the_clinic_until_the_visit() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let (operator, admin) = (world.operator().await, world.admin().await);
    let day = days_ahead(&world, 2);
    let mut booked = Vec::new();
    for hour in [10, 11, 12, 13] {
        booked.push(book(&asha, &doctor, at(day, hour, 0)).await);
    }
    // A day before eleven o'clock, less half a minute.
    advance_to(&world, at(day, 11, 0) - 24.hours() - 30.seconds());
    let late = async |who: &Person, of: &Appointment| {
        let answer = take(&who.client, Step::Cancel, of).await;
        let refusal = refused(answer, Code::FailedPrecondition, "CANCELLATION_TOO_LATE");
        assert_eq!(refusal.metadata["hours"], "24");
    };
    late(&asha, &booked[0]).await;
    let gone = take(&asha.client, Step::Cancel, &booked[1]).await.unwrap();
    assert_eq!(gone.state(), AppointmentState::Cancelled);
    assert!(free(&world, &doctor, day, day).await.contains(&at(day, 11, 0)));
    advance_to(&world, at(day, 9, 59));
    late(&asha, &booked[2]).await;
    // What is cancelled already says so, however late it is.
    let answer = take(&asha.client, Step::Cancel, &gone).await;
    let refusal = refused(answer, Code::FailedPrecondition, "WRONG_STATE");
    assert_eq!(refusal.metadata["state"], "cancelled");
    let (operator, admin) = (world.again(&operator).await, world.again(&admin).await);
    for (staff, of) in [(&doctor, &booked[0]), (&operator, &booked[2]), (&admin, &booked[3])] {
        let gone = take(&staff.client, Step::Cancel, of).await.unwrap();
        assert_eq!(gone.cancellation_reason, "Something came up.");
    }
    assert!(now(&world) < at(day, 10, 30));
    world.finish().await;
}
