//! What reviewers decide.

use clinicd_sdk::proto::onboarding::v1::save_application_step_request::Step;
use clinicd_sdk::proto::onboarding::v1::{
    Application, ApplicationStatus, ApplicationStep, AttachDocumentRequest, DocumentKind,
    RequestChangesRequest, SubmitApplicationRequest,
};
use clinicd_sdk::{ApiError, Code};
use clinicd_tests::{Person, World, refused};
use futures_util::future::join_all;

use super::{approve, open, reject, save, send_back};
use crate::rooms::fields;

/// What was asked to be changed, by step.
fn asked(application: &Application) -> Vec<(ApplicationStep, &str)> {
    let steps = application.steps.iter().map(|step| (step.step(), step.change_requested.as_str()));
    steps.filter(|(_, reason)| !reason.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_are_sent_back_and_mended_one_by_one() {
    use ApplicationStep::{Documents, Personal};
    let world = World::start().await;
    let (meera, admin) = (world.applicant().await, world.admin().await);
    let submitted = world.submit(&meera).await;
    let changes = [(Documents, " The scan is not readable.\n"), (Personal, "The name differs.")];
    let request = send_back(&submitted, &changes);
    let back = admin.client.send(request).await.unwrap().application.unwrap();
    assert_eq!(back.status(), ApplicationStatus::ChangesRequested);
    let expected = [(Personal, "The name differs."), (Documents, "The scan is not readable.")];
    assert_eq!(asked(&back), expected);
    let mail = world.mail_to(&meera.email, |mail| mail.text.contains("not readable")).await;
    assert_eq!(mail.subject, "Your application needs changes");
    assert!(mail.text.contains("The name differs."), "{}", mail.text);

    let step = Step::Personal(submitted.personal.clone().unwrap());
    let mended = save(&meera.client, step).await.unwrap();
    assert_eq!(asked(&mended), [(Documents, "The scan is not readable.")]);
    let file_id = submitted.documents[0].file.as_ref().unwrap().id.clone();
    let kind = DocumentKind::Registration.into();
    let request = AttachDocumentRequest { kind, file_id, ..Default::default() };
    let mended = meera.client.send(request).await.unwrap().application.unwrap();
    assert_eq!(asked(&mended), []);

    let again = world.submit(&meera).await;
    assert_eq!((again.status(), &again.id), (ApplicationStatus::Submitted, &submitted.id));
    // The reviewer who still looks at the first version decides on nothing.
    let stale = admin.client.send(approve(&submitted)).await;
    refused(stale, Code::Aborted, "ETAG_MISMATCH");
    admin.client.send(approve(&again)).await.unwrap();
    world.finish().await;
}

/// Without `FOR UPDATE` in `ApplicationRow::lock`, both reviewers decided.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_submitted_is_decided_once() {
    let world = World::start().await;
    let (meera, admin) = (world.applicant().await, world.admin().await);
    let decline = async |state: &str, application: &Application| {
        let declined = [
            admin.client.send(approve(application)).await.map(drop),
            admin.client.send(reject(application, "No.")).await.map(drop),
            admin
                .client
                .send(send_back(application, &[(ApplicationStep::Clinic, "Change.")]))
                .await
                .map(drop),
        ];
        for answer in declined {
            let refusal = refused(answer, Code::FailedPrecondition, "WRONG_STATE");
            assert_eq!(refusal.metadata["state"], state);
        }
    };
    decline("draft", &open(&meera.client).await).await;
    let submitted = world.submit(&meera).await;
    let step = Step::Personal(submitted.personal.clone().unwrap());
    let late = [
        meera.client.send(SubmitApplicationRequest::default()).await.map(drop),
        save(&meera.client, step).await.map(drop),
    ];
    for answer in late {
        let refusal = refused(answer, Code::FailedPrecondition, "WRONG_STATE");
        assert_eq!(refusal.metadata["state"], "submitted");
    }
    // Two reviewers at the same moment: one decides.
    let other = world.new_admin().await;
    let (yes, no) = tokio::join!(
        admin.client.send(approve(&submitted)),
        other.client.send(reject(&submitted, "No."))
    );
    let lost = match (yes, no) {
        (Ok(_), Err(error)) | (Err(error), Ok(_)) => error,
        both => panic!("{both:?}"),
    };
    assert_eq!(lost.reason(), Some("WRONG_STATE"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reviews_their_own_application() {
    let world = World::start().await;
    let meera = world.applicant().await;
    let submitted = world.submit(&meera).await;
    let superuser = world.superuser().await;
    let grant = clinicd_sdk::proto::identity::v1::GrantAdminRequest {
        account_id: meera.id.clone(),
        ..Default::default()
    };
    superuser.client.send(grant).await.unwrap();
    let meera = world.again(&meera).await;
    for answer in [
        meera.client.send(approve(&submitted)).await.map(drop),
        meera.client.send(reject(&submitted, "No.")).await.map(drop),
        meera
            .client
            .send(send_back(&submitted, &[(ApplicationStep::Clinic, "Change.")]))
            .await
            .map(drop),
    ] {
        refused(answer, Code::PermissionDenied, "OWN_RECORD");
    }
    superuser.client.send(approve(&submitted)).await.unwrap();
    world.finish().await;
}

async fn refusal(admin: &Person, request: RequestChangesRequest) -> ApiError {
    refused(admin.client.send(request).await, Code::InvalidArgument, "INVALID_FIELDS")
}

#[tokio::test(flavor = "multi_thread")]
async fn reasons_are_given_per_step_and_once() {
    use ApplicationStep::{Clinic, Documents, Unspecified};
    let world = World::start().await;
    let (meera, admin) = (world.applicant().await, world.admin().await);
    let submitted = world.submit(&meera).await;
    let none = refusal(&admin, send_back(&submitted, &[])).await;
    assert_eq!(fields(&none), ["changes"]);
    let twice = send_back(&submitted, &[(Documents, "One."), (Documents, "Two.")]);
    assert_eq!(fields(&refusal(&admin, twice).await), ["changes[1].step"]);
    let long = "x".repeat(2_001);
    let bad = send_back(&submitted, &[(Unspecified, ""), (Clinic, &long)]);
    let expected = ["changes[0].step", "changes[0].reason", "changes[1].reason"];
    assert_eq!(fields(&refusal(&admin, bad).await), expected);
    let blank = send_back(&submitted, &[(Documents, "One."), (Clinic, " \n ")]);
    assert_eq!(fields(&refusal(&admin, blank).await), ["changes[1].reason"]);
    let blank = admin.client.send(reject(&submitted, " ")).await;
    let blank = refused(blank, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&blank), ["reason"]);
    // Nothing of that was a decision, and many calls of one decision are one.
    let request = super::ApproveApplicationRequest {
        request_id: world.app.ids.next().to_string(),
        ..approve(&submitted)
    };
    let answers = join_all((0..5).map(|_| admin.client.send(request.clone()))).await;
    let first = answers[0].clone().unwrap();
    assert!(answers.into_iter().all(|answer| answer.unwrap() == first));
    world.finish().await;
}
