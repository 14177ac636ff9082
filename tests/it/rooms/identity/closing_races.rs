//! A booking and the end of an account, at the same moment.

use clinicd_sdk::proto::identity::v1::{DeleteMyAccountRequest, RemoveStaffMemberRequest};
use clinicd_tests::World;

use crate::guarantees::{at_once, book, free_slots};

/// Live visits of patients or doctors who are gone.
const OF_NOBODY: &str = "SELECT count(*) FROM appointments a \
    JOIN patients p ON p.id = a.patient_id JOIN doctors d ON d.id = a.doctor_id \
    WHERE a.state = 'booked' AND (p.closed_at IS NOT NULL OR d.closed_at IS NOT NULL)";

/// Without the lock on `p` and `p.closed_at IS NULL` in `Unchanged`, visits of closed patients were
/// left.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_has_gone_has_a_visit() {
    let world = World::start().await;
    let doctor = world.doctor().await;
    let slots = free_slots(&world, &doctor.id, 1, 10).await;
    let there = world.second_server().await;
    let (mut closed, mut visits) = (0, 0);
    let calls = world.crowd(100).await.into_iter().zip(slots).map(|(person, slot)| {
        let server = super::over(&there.client(), &person);
        let (doctor, pause) = (doctor.id.clone(), slot.seconds / 1_800 % 8);
        async move {
            let close = async {
                tokio::time::sleep(std::time::Duration::from_millis(pause.unsigned_abs())).await;
                server.send(DeleteMyAccountRequest::default()).await.is_ok()
            };
            let visit = person.client.send(book(&doctor, slot));
            let (closed, visit) = tokio::join!(close, visit);
            (closed, visit.is_ok())
        }
    });
    for (gone, booked) in at_once(calls).await {
        assert!(gone != booked, "either the account went or the visit was booked");
        closed += i32::from(gone);
        visits += i32::from(booked);
    }
    assert_eq!(closed + visits, 100, "{closed} closed, {visits} booked");
    assert_eq!(world.sql(OF_NOBODY).await[0][0], "0", "{closed} closed, {visits} booked");
    world.finish().await;
}

/// Without `LockDoctor` in `lock_people`, visits of removed doctors were left in one run of two.
#[tokio::test(flavor = "multi_thread")]
async fn no_doctor_who_has_gone_has_a_visit() {
    let world = World::start().await;
    let (model, admin) = (world.doctor().await, world.admin().await);
    let (asha, there) = (world.patient().await, world.second_server().await);
    let slots = free_slots(&world, &model.id, 1, 3).await;
    let doctors = world.doctors_like(&model, 30).await;
    for id in &doctors {
        let role = "INSERT INTO account_roles (account_id, role, granted_at) VALUES";
        world.sql(&format!("{role} ('{id}', 'doctor', now()) ON CONFLICT DO NOTHING")).await;
    }
    let admin = super::over(&there.client(), &admin);
    let calls = doctors.into_iter().zip(slots).map(|(doctor, slot)| {
        let (admin, asha) = (admin.clone(), asha.client.clone());
        async move {
            let remove =
                RemoveStaffMemberRequest { account_id: doctor.clone(), ..Default::default() };
            let (removed, visit) = tokio::join!(admin.send(remove), asha.send(book(&doctor, slot)));
            (removed.is_ok(), visit.is_ok())
        }
    });
    for (removed, booked) in at_once(calls).await {
        assert!(removed != booked, "either the doctor went or the visit was booked");
    }
    assert_eq!(world.sql(OF_NOBODY).await[0][0], "0");
    world.finish().await;
}
