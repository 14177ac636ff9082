//! Lists of appointments, and who sees one.

use clinicd_sdk::proto::appointments::v1::{
    Appointment, AppointmentState, GetAppointmentRequest, ListAppointmentsRequest,
};
use clinicd_sdk::proto::identity::v1::ListUsersRequest;
use clinicd_sdk::proto::prescriptions::v1::ListPrescriptionsRequest;
use clinicd_tests::{Code, Person, World, refused};
use jiff::ToSpan as _;

use super::{NOBODY, at, book, cancelling, days_ahead, instant, shown, start, visit, wire};

/// Two doctors and two patients with fourteen appointments in no order of time; some begin at the
/// same instant.
struct Practice {
    doctors: [Person; 2],
    patients: [Person; 2],
    /// In the order of booking, which is that of the ids.
    booked: Vec<Appointment>,
}

async fn practice(world: &World) -> Practice {
    let doctors = [world.doctor().await, world.doctor().await];
    let patients = [world.patient().await, world.patient().await];
    let day = days_ahead(world, 2);
    let mut booked = Vec::new();
    for hour in [12, 9, 15, 11, 16, 10, 14] {
        for (patient, doctor) in patients.iter().zip(&doctors) {
            booked.push(book(patient, doctor, at(day, hour, 0)).await);
        }
    }
    Practice { doctors, patients, booked }
}

fn ids(appointments: &[Appointment]) -> Vec<&str> {
    appointments.iter().map(|appointment| appointment.id.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_no_gap_and_no_double_in_any_order() {
    let world = World::start().await;
    let Practice { booked, .. } = practice(&world).await;
    let operator = world.operator().await.client;
    let by_start = |a: &Appointment, b: &Appointment| {
        (instant(a.start_time), &a.id).cmp(&(instant(b.start_time), &b.id))
    };
    let mut by_time = booked.clone();
    by_time.sort_by(by_start);
    let mut backwards = booked.clone();
    backwards.reverse();
    let mut latest_first = by_time.clone();
    latest_first.reverse();
    for (order, expected) in [
        ("", &booked),
        ("id", &booked),
        (" id  asc ", &booked),
        ("id desc", &backwards),
        ("start_time", &by_time),
        ("start_time desc", &latest_first),
    ] {
        for (size, pages) in [(0, 3), (5, 3), (2, 7), (13, 2), (14, 1), (1_000, 1)] {
            let mut request = ListAppointmentsRequest {
                page_size: size,
                order_by: order.to_owned(),
                include_total: true,
                ..Default::default()
            };
            let (mut found, mut count) = (Vec::new(), 0);
            loop {
                let page = operator.send(request.clone()).await.unwrap();
                assert_eq!(page.total_size, (count == 0).then_some(14));
                found.extend(page.appointments);
                count += 1;
                if page.next_page_token.is_empty() {
                    break;
                }
                // The total is no filter: it may be left out later.
                request.include_total = false;
                request.page_token = page.next_page_token;
            }
            assert_eq!(ids(&found), ids(expected), "{order} {size}");
            assert_eq!(count, pages, "{order} {size}");
        }
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_holds_for_its_list_alone() {
    let world = World::start().await;
    let Practice { doctors, patients, .. } = practice(&world).await;
    let admin = world.admin().await.client;
    let token = admin.send(ListAppointmentsRequest::default()).await.unwrap().next_page_token;
    let good = ListAppointmentsRequest { page_token: token.clone(), ..Default::default() };
    assert_eq!(admin.send(good.clone()).await.unwrap().appointments.len(), 5);
    let doctor_id = Some(doctors[0].id.clone());
    let damaged = format!("{}x", &token[..token.len() - 1]);
    for request in [
        ListAppointmentsRequest { order_by: "start_time".to_owned(), ..good.clone() },
        ListAppointmentsRequest { order_by: "id desc".to_owned(), ..good.clone() },
        ListAppointmentsRequest { doctor_id, ..good.clone() },
        ListAppointmentsRequest { state: Some(1), ..good.clone() },
        ListAppointmentsRequest { page_token: damaged, ..good.clone() },
        ListAppointmentsRequest { page_token: "x".to_owned(), ..good.clone() },
    ] {
        let answer = admin.send(request).await;
        refused(answer, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    }
    let page_token = token.clone();
    let elsewhere = admin.send(ListUsersRequest { page_token, ..Default::default() }).await;
    refused(elsewhere, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    let page_token = token;
    let elsewhere = admin.send(ListPrescriptionsRequest { page_token, ..Default::default() }).await;
    refused(elsewhere, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    let foreign = patients[0].client.send(good).await;
    refused(foreign, Code::InvalidArgument, "PAGE_TOKEN_INVALID");

    let too_few = ListAppointmentsRequest { page_size: -1, ..Default::default() };
    refused(admin.send(too_few).await, Code::InvalidArgument, "INVALID_FIELDS");
    for order in ["price", "id desc asc", "id;desc", "id DESC", "start_time, id", ",", "id,"] {
        let order_by = order.to_owned();
        let answer = admin.send(ListAppointmentsRequest { order_by, ..Default::default() }).await;
        let refusal = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(refusal.violations[0].0, "order_by", "{order}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_narrow_a_list() {
    let world = World::start().await;
    let Practice { doctors, patients, booked } = practice(&world).await;
    let operator = world.operator().await;
    let gone = patients[1].client.send(cancelling(&booked[3])).await.unwrap().appointment.unwrap();
    let list = async |filter: ListAppointmentsRequest| {
        let request = ListAppointmentsRequest { page_size: 25, include_total: true, ..filter };
        let page = operator.client.send(request).await.unwrap();
        let count = i64::try_from(page.appointments.len()).unwrap();
        assert_eq!(page.total_size, Some(count));
        page.appointments
    };
    let everything = ListAppointmentsRequest::default();
    let state = |state: AppointmentState| ListAppointmentsRequest {
        state: Some(state.into()),
        ..everything.clone()
    };
    assert_eq!(list(state(AppointmentState::Cancelled)).await, [gone]);
    assert_eq!(list(state(AppointmentState::Booked)).await.len(), 13);
    assert!(list(state(AppointmentState::Completed)).await.is_empty());
    let doctor =
        |id: &str| ListAppointmentsRequest { doctor_id: Some(id.to_owned()), ..everything.clone() };
    let hers = list(doctor(&doctors[0].id)).await;
    assert_eq!(hers.len(), 7);
    assert!(hers.iter().all(|appointment| appointment.patient_id == patients[0].id));
    assert!(list(doctor(NOBODY)).await.is_empty());
    let patient_id = Some(patients[1].id.clone());
    let of_both = ListAppointmentsRequest { patient_id, ..doctor(&doctors[0].id) };
    assert!(list(of_both).await.is_empty());

    let nine = instant(booked[2].start_time);
    let span = |from: i64, before: i64| ListAppointmentsRequest {
        start_from: Some(wire(nine + from.minutes())),
        start_before: Some(wire(nine + before.minutes())),
        ..everything.clone()
    };
    assert_eq!(list(span(0, 60)).await.len(), 2, "the first instant counts, the last does not");
    assert_eq!(list(span(0, 61)).await.len(), 4);
    assert!(list(span(1, 60)).await.is_empty());
    assert!(list(span(60, 0)).await.is_empty());
    for state in [0, 99] {
        let request = ListAppointmentsRequest { state: Some(state), ..everything.clone() };
        let answer = operator.client.send(request).await;
        refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appointment_exists_for_its_people_and_staff() {
    let world = World::start().await;
    let (doctor, other_doctor) = (world.doctor().await, world.doctor().await);
    let (asha, ravi) = (world.patient().await, world.patient().await);
    let booked = book(&asha, &doctor, at(days_ahead(&world, 2), 9, 0)).await;
    let get = |id: &str| GetAppointmentRequest { appointment_id: id.to_owned() };
    let list = async |who: &Person| {
        let request = ListAppointmentsRequest { include_total: true, ..Default::default() };
        who.client.send(request).await.unwrap()
    };
    let (operator, admin) = (world.operator().await, world.admin().await);
    for who in [&asha, &doctor, &operator, &admin, &world.superuser().await] {
        let seen = who.client.send(get(&booked.id)).await.unwrap().appointment;
        assert_eq!(seen.as_ref(), Some(&booked));
        let page = list(who).await;
        assert_eq!((page.appointments, page.total_size), (vec![booked.clone()], Some(1)));
    }
    for who in [&ravi, &other_doctor] {
        let hidden = shown(who.client.send(get(&booked.id)).await, Code::NotFound, "NOT_FOUND");
        let absent = shown(who.client.send(get(NOBODY)).await, Code::NotFound, "NOT_FOUND");
        assert_eq!(hidden, absent);
        let hidden = who.client.send(cancelling(&booked)).await;
        let nothing = Appointment { id: NOBODY.to_owned(), ..booked.clone() };
        let absent = who.client.send(cancelling(&nothing)).await;
        let [hidden, absent] =
            [hidden, absent].map(|answer| shown(answer, Code::NotFound, "NOT_FOUND"));
        assert_eq!(hidden, absent);
        for doctor_id in [None, Some(doctor.id.clone())] {
            let request = ListAppointmentsRequest { doctor_id, ..Default::default() };
            assert!(who.client.all(request).await.unwrap().is_empty());
        }
        assert_eq!(list(who).await.total_size, Some(0));
    }
    let pharmacist = world.pharmacist().await;
    let answer = pharmacist.client.send(get(&booked.id)).await;
    refused(answer, Code::PermissionDenied, "ROLE_REQUIRED");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_sees_both_sides() {
    let world = World::start().await;
    let (meera, other) = (world.doctor().await, world.doctor().await);
    let asha = world.patient().await;
    let own = visit(&world, &other, &meera).await;
    let day = days_ahead(&world, 2);
    let at_work = book(&asha, &meera, at(day, 9, 0)).await;
    book(&asha, &other, at(day, 10, 0)).await;
    let seen = meera.client.all(ListAppointmentsRequest::default()).await.unwrap();
    assert_eq!(ids(&seen), [own.id.as_str(), at_work.id.as_str()]);
    // Her own visit is another doctor's to begin.
    let booked = book(&meera, &other, at(day, 11, 0)).await;
    let answer = meera.client.send(super::starting(&booked)).await;
    refused(answer, Code::PermissionDenied, "OWN_RECORD");
    super::advance_to(&world, at(day, 11, 0));
    assert_eq!(start(&other, &booked).await.state(), AppointmentState::InConsultation);
    world.finish().await;
}
