//! Booking: what is refused, who books for whom, what it costs and what the patient is told.

use clinicd_sdk::proto::appointments::v1::{
    BookAppointmentRequest, GetAppointmentRequest, ListAppointmentsRequest,
};
use clinicd_sdk::proto::profiles::v1::{GetMyPatientRequest, UpdateMyPatientRequest};
use clinicd_sdk::proto::r#type::v1::ConsultationMode;
use clinicd_tests::doctors::{FEE, every_day};
use clinicd_tests::mail::Mail;
use clinicd_tests::{Code, Person, World, refused};
use jiff::ToSpan as _;
use jiff::tz::TimeZone;

use super::{
    NOBODY, at, book, cancelling, days_ahead, free, hindi_patient, instant, next_free, now, shown,
    wall, wish,
};

#[tokio::test(flavor = "multi_thread")]
async fn only_slots_of_the_schedule_are_booked() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let day = days_ahead(&world, 2);
    let good = wish(&doctor, at(day, 9, 0));
    let mode =
        |mode: ConsultationMode| BookAppointmentRequest { mode: mode.into(), ..good.clone() };
    for (request, reason) in [
        (wish(&doctor, at(days_ahead(&world, -1), 9, 0)), "SLOT_IN_PAST"),
        (wish(&doctor, at(day, 8, 30)), "SLOT_OUTSIDE_SCHEDULE"),
        (wish(&doctor, at(day, 17, 0)), "SLOT_OUTSIDE_SCHEDULE"),
        (wish(&doctor, at(day, 9, 15)), "SLOT_OUTSIDE_SCHEDULE"),
        (wish(&doctor, at(day, 9, 0) + 1.microsecond()), "SLOT_OUTSIDE_SCHEDULE"),
        (wish(&doctor, at(days_ahead(&world, 62), 9, 0)), "SLOT_OUTSIDE_SCHEDULE"),
        (mode(ConsultationMode::Phone), "SLOT_OUTSIDE_SCHEDULE"),
    ] {
        refused(asha.client.send(request).await, Code::FailedPrecondition, reason);
    }
    for request in [
        mode(ConsultationMode::Unspecified),
        BookAppointmentRequest { start_time: None, ..good.clone() },
        BookAppointmentRequest { doctor_id: "Meera".to_owned(), ..good.clone() },
        BookAppointmentRequest { reason: "x".repeat(2_001), ..good.clone() },
        BookAppointmentRequest { reason: "a\0b".to_owned(), ..good.clone() },
    ] {
        refused(asha.client.send(request).await, Code::InvalidArgument, "INVALID_FIELDS");
    }
    for doctor_id in [NOBODY, &asha.id] {
        let request = BookAppointmentRequest { doctor_id: doctor_id.to_owned(), ..good.clone() };
        refused(asha.client.send(request).await, Code::NotFound, "NOT_FOUND");
    }
    assert!(asha.client.all(ListAppointmentsRequest::default()).await.unwrap().is_empty());
    let reason = "é".repeat(2_000);
    let request = BookAppointmentRequest { reason: reason.clone(), ..good };
    let booked = asha.client.send(request).await.unwrap().appointment.unwrap();
    assert_eq!((booked.reason, instant(booked.end_time)), (reason, at(day, 9, 30)));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_in_two_places_at_once() {
    let world = World::start().await;
    let (doctor, other) = (world.doctor().await, world.doctor().await);
    let (asha, ravi) = (world.patient().await, world.patient().await);
    let day = days_ahead(&world, 2);
    let mut quarters = every_day(9, 12);
    for rule in &mut quarters {
        rule.slot_length.as_mut().unwrap().seconds = 20 * 60;
    }
    world.replace_rules(&other, quarters).await;
    let booked = book(&asha, &doctor, at(day, 9, 0)).await;
    let taken = ravi.client.send(wish(&doctor, at(day, 9, 0))).await;
    refused(taken, Code::AlreadyExists, "SLOT_TAKEN");
    // 09:20 to 09:40 overlaps her visit until 09:30.
    let busy = asha.client.send(wish(&other, at(day, 9, 20))).await;
    refused(busy, Code::AlreadyExists, "PATIENT_BUSY");
    book(&asha, &other, at(day, 9, 40)).await;
    book(&ravi, &other, at(day, 9, 20)).await;
    asha.client.send(cancelling(&booked)).await.unwrap();
    book(&ravi, &doctor, at(day, 10, 0)).await;
    assert_eq!(free(&world, &doctor, day, day).await[0], at(day, 9, 0));
    book(&asha, &doctor, at(day, 9, 0)).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn patients_book_for_themselves_and_the_desk_for_anybody() {
    let world = World::start().await;
    let (doctor, operator) = (world.doctor().await, world.operator().await);
    let (asha, ravi) = (world.patient().await, world.patient().await);
    let day = days_ahead(&world, 2);
    let for_patient = |patient: &str, hour: i8| BookAppointmentRequest {
        patient_id: Some(patient.to_owned()),
        ..wish(&doctor, at(day, hour, 0))
    };
    let hidden =
        shown(asha.client.send(for_patient(&ravi.id, 9)).await, Code::NotFound, "NOT_FOUND");
    let absent = shown(asha.client.send(for_patient(NOBODY, 9)).await, Code::NotFound, "NOT_FOUND");
    assert_eq!(hidden, absent);
    let own = asha.client.send(for_patient(&asha.id, 9)).await.unwrap().appointment.unwrap();
    assert_eq!((&own.patient_id, &own.booked_by), (&asha.id, &asha.id));
    for (staff, hour) in [(&operator, 10), (&world.admin().await, 11)] {
        let booked = staff.client.send(for_patient(&ravi.id, hour)).await.unwrap();
        let booked = booked.appointment.unwrap();
        assert_eq!((&booked.patient_id, &booked.booked_by), (&ravi.id, &staff.id));
        assert_eq!(booked.patient_name, Some(ravi.name.clone()));
        let unknown = staff.client.send(for_patient(NOBODY, 12)).await;
        refused(unknown, Code::NotFound, "NOT_FOUND");
        let herself = staff.client.send(for_patient(&doctor.id, 12)).await;
        refused(herself, Code::PermissionDenied, "OWN_RECORD");
    }
    let herself = doctor.client.send(wish(&doctor, at(day, 12, 0))).await;
    refused(herself, Code::PermissionDenied, "OWN_RECORD");
    let pharmacist = world.pharmacist().await;
    let answer = pharmacist.client.send(for_patient(&ravi.id, 12)).await;
    refused(answer, Code::PermissionDenied, "ROLE_REQUIRED");
    // A doctor is a patient of other doctors.
    let other = world.doctor().await;
    book(&doctor, &other, at(day, 12, 0)).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_price_is_the_fee_of_the_day_of_booking() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let day = days_ahead(&world, 2);
    let price = |units| Some((units, "INR".to_owned()));
    let first = book(&asha, &doctor, at(day, 9, 0)).await;
    world.set_fees(&doctor, FEE + 400).await;
    let second = book(&asha, &doctor, at(day, 10, 0)).await;
    let request = GetAppointmentRequest { appointment_id: first.id };
    let first = asha.client.send(request).await.unwrap().appointment.unwrap();
    let [first, second] =
        [first, second].map(|booked| booked.price.map(|money| (money.units, money.currency_code)));
    assert_eq!((first, second), (price(FEE), price(FEE + 400)));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_who_takes_no_bookings_keeps_those_made() {
    let world = World::start().await;
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let day = days_ahead(&world, 2);
    let booked = book(&asha, &doctor, at(day, 9, 0)).await;
    world.sql("UPDATE doctors SET available_for_booking = false").await;
    for start in [at(day, 10, 0), at(day, 8, 0)] {
        let answer = asha.client.send(wish(&doctor, start)).await;
        refused(answer, Code::FailedPrecondition, "DOCTOR_NOT_BOOKABLE");
    }
    assert!(free(&world, &doctor, day, day).await.is_empty());
    assert_eq!(next_free(&world, &doctor).await, None);
    let request = GetAppointmentRequest { appointment_id: booked.id.clone() };
    assert_eq!(asha.client.send(request).await.unwrap().appointment, Some(booked));
    world.finish().await;
}

/// The mails to somebody that name a time of day in a zone.
fn about(world: &World, person: &Person, time: &str) -> Vec<Mail> {
    let mut mails = world.mails_to(&person.email);
    mails.retain(|mail| mail.subject.contains(time) && mail.text.contains(time));
    mails
}

fn is_devanagari(letter: char) -> bool {
    ('\u{900}'..='\u{97f}').contains(&letter)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_patient_is_told_in_her_language_and_zone() {
    let world = World::start().await;
    let doctor = world.doctor().await;
    let (nisha, asha) = (hindi_patient(&world, "निशा").await, world.patient().await);
    let profile = nisha.client.send(GetMyPatientRequest {}).await.unwrap().patient.unwrap();
    let away = UpdateMyPatientRequest {
        etag: profile.etag,
        time_zone: Some("America/New_York".to_owned()),
        ..Default::default()
    };
    nisha.client.send(away).await.unwrap();
    let start = at(days_ahead(&world, 2), 9, 0);
    let there = wall(start, &TimeZone::get("America/New_York").unwrap());
    let hers = format!("{}, {} (America/New_York)", there.year(), there.strftime("%H:%M"));
    let booked = book(&nisha, &doctor, start).await;
    let video = BookAppointmentRequest {
        mode: ConsultationMode::Video.into(),
        ..wish(&doctor, start + 60.minutes())
    };
    asha.client.send(video).await.unwrap();
    world.settle().await;
    let [mail] = &about(&world, &nisha, &hers)[..] else { panic!("one mail to Nisha") };
    assert!(mail.subject.chars().any(is_devanagari));
    for told in ["निशा", "Meera", "Lake View Clinic", "24"] {
        assert!(mail.text.contains(told), "{told}: {}", mail.text);
    }
    let [mail] = &about(&world, &asha, "10:00 (Asia/Kolkata)")[..] else { panic!("one to Asha") };
    assert!(!mail.text.chars().any(is_devanagari));
    assert!(!mail.text.contains("Lake View Clinic"), "a video visit has no place");

    doctor.client.send(cancelling(&booked)).await.unwrap();
    world.settle().await;
    let mails = about(&world, &nisha, &hers);
    assert_eq!(mails.len(), 2, "booked and cancelled");
    assert!(mails[1].subject.chars().any(is_devanagari));
    assert_ne!(mails[0].subject, mails[1].subject);
    assert!(mails[0].text.contains("डॉ. "), "{}", mails[0].text);
    assert!(mails[1].text.contains("आपके डॉक्टर ने"), "by whom: {}", mails[1].text);
    // Why she comes is nobody's business on the way.
    let told = |mail: &Mail| mail.text.contains(&booked.reason);
    assert!(!booked.reason.is_empty() && !mails.iter().any(told));
    assert!(now(&world) < start);
    world.finish().await;
}
