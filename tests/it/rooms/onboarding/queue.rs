//! The reviewers' queue.

use clinicd_sdk::Code;
use clinicd_sdk::proto::onboarding::v1::{
    Application, ApplicationStatus, GetApplicationRequest, ListApplicationsRequest,
};
use clinicd_tests::{World, refused};
use jiff::SignedDuration;

use super::{open, send_back};
use crate::rooms::fields;

fn queue() -> ListApplicationsRequest {
    let status = Some(ApplicationStatus::Submitted.into());
    ListApplicationsRequest { status, ..Default::default() }
}

fn ids(applications: &[Application]) -> Vec<&str> {
    applications.iter().map(|application| application.id.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_waiting_comes_first() {
    let world = World::start().await;
    let admin = world.admin().await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(world.applicant().await);
    }
    // Handed in in another order than they were started.
    let mut submitted = Vec::new();
    for at in [2, 0, 3, 1] {
        world.advance(SignedDuration::from_secs(60));
        submitted.push(world.submit(&waiting[at]).await);
    }
    // One goes back and comes again: to the end.
    let change = (clinicd_sdk::proto::onboarding::v1::ApplicationStep::Clinic, "Where is it?");
    admin.client.send(send_back(&submitted[1], &[change])).await.unwrap();
    world.advance(SignedDuration::from_secs(60));
    let last = world.submit(&waiting[0]).await;
    let expected = [&submitted[0], &submitted[2], &submitted[3], &last];
    let expected: Vec<_> = expected.into_iter().map(|one| one.id.as_str()).collect();

    for page_size in [1, 3, 25] {
        let request = ListApplicationsRequest { page_size, ..queue() };
        let listed = admin.client.all(request).await.unwrap();
        assert_eq!(ids(&listed), expected, "{page_size} per page");
        assert_eq!(listed[3], last, "whole, with documents");
    }
    let request = ListApplicationsRequest { page_size: 1, include_total: true, ..queue() };
    assert_eq!(admin.client.send(request).await.unwrap().total_size, Some(4));
    let draft = open(&world.patient().await.client).await;
    let status = Some(ApplicationStatus::Draft.into());
    let drafts = ListApplicationsRequest { status, ..Default::default() };
    assert_eq!(ids(&admin.client.all(drafts).await.unwrap()), [draft.id.as_str()]);
    let all = admin.client.all(ListApplicationsRequest::default()).await.unwrap();
    assert_eq!(all.len(), 5);
    let request = GetApplicationRequest { application_id: last.id.clone() };
    assert_eq!(admin.client.send(request).await.unwrap().application, Some(last));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_for_reviewers_and_its_tokens_for_one_of_them() {
    let world = World::start().await;
    let (admin, other) = (world.admin().await, world.new_admin().await);
    let meera = world.applicant().await;
    let refusal = meera.client.send(queue()).await;
    refused(refusal, Code::PermissionDenied, "ROLE_REQUIRED");
    open(&admin.client).await;
    let first = ListApplicationsRequest { page_size: 1, ..Default::default() };
    let page_token = admin.client.send(first).await.unwrap().next_page_token;
    let next = ListApplicationsRequest { page_token, ..Default::default() };
    assert_eq!(admin.client.send(next.clone()).await.unwrap().applications.len(), 1);
    let bad = |answer| refused(answer, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    bad(other.client.send(next.clone()).await);
    let status = Some(ApplicationStatus::Draft.into());
    bad(admin.client.send(ListApplicationsRequest { status, ..next.clone() }).await);
    let page_token = format!("{}x", next.page_token);
    bad(admin.client.send(ListApplicationsRequest { page_token, ..next }).await);
    let request = ListApplicationsRequest { page_size: -1, status: Some(99), ..Default::default() };
    let refusal =
        refused(admin.client.send(request).await, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&refusal), ["page_size", "status"]);
    let nothing = GetApplicationRequest { application_id: world.app.ids.next().to_string() };
    refused(admin.client.send(nothing).await, Code::NotFound, "NOT_FOUND");
    world.finish().await;
}
