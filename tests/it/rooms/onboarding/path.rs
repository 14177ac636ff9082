//! The way from the first step to the profile.

use clinicd_sdk::Code;
use clinicd_sdk::proto::access::v1::Role;
use clinicd_sdk::proto::identity::v1::GetMyAccountRequest;
use clinicd_sdk::proto::onboarding::v1::save_application_step_request::Step;
use clinicd_sdk::proto::onboarding::v1::{
    ApplicationStatus, ApplicationStep, AttachDocumentRequest, DeclarationStep, DocumentKind,
    GetMyApplicationRequest, StartApplicationRequest, SubmitApplicationRequest,
};
use clinicd_sdk::proto::profiles::v1::GetMyDoctorProfileRequest;
use clinicd_tests::{Person, World, refused};
use futures_util::future::join_all;

use super::{approve, open, reject, save};

/// The texts sent to phones up to now, oldest first.
fn texts(world: &World) -> Vec<(String, String)> {
    let folder = world.app.config.data_dir.join("outbox/sms");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let texts = paths.into_iter().map(read).map(|text: serde_json::Value| {
        let part = |name: &str| text[name].as_str().unwrap().to_owned();
        (part("to"), part("text"))
    });
    texts.collect()
}

async fn profile(person: &Person) -> Result<Person, clinicd_sdk::Error> {
    person.client.send(GetMyDoctorProfileRequest {}).await.map(|_| person.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_applicant_becomes_a_doctor() {
    let world = World::start().await;
    let (meera, admin) = (world.applicant().await, world.admin().await);
    let submitted = world.submit(&meera).await;
    assert_eq!(submitted.status(), ApplicationStatus::Submitted);
    assert!(submitted.steps.iter().all(|step| step.complete));
    assert_eq!(submitted.documents.len(), 3);
    refused(profile(&meera).await, Code::PermissionDenied, "ONBOARDING_NOT_APPROVED");
    // The reviewer reads the documents, others do not.
    let file = &submitted.documents[0].file.as_ref().unwrap().id;
    admin.client.download(file).await.unwrap();
    let stranger = world.patient().await;
    refused(stranger.client.download(file).await, Code::NotFound, "NOT_FOUND");

    let request = approve(&submitted);
    let approved = admin.client.send(request).await.unwrap().application.unwrap();
    assert_eq!(approved.status(), ApplicationStatus::Approved);
    assert!(approved.review_time.is_some());
    // A change of roles ends the sessions: the new one is a doctor's.
    let meera = world.again(&meera).await;
    profile(&meera).await.unwrap();
    let account = meera.client.send(GetMyAccountRequest {}).await.unwrap().account.unwrap();
    assert_eq!(account.roles().collect::<Vec<_>>(), [Role::Doctor, Role::Patient]);
    let doctor = meera.client.send(GetMyDoctorProfileRequest {}).await.unwrap().profile.unwrap();
    assert_eq!(doctor.id, meera.id);
    assert_eq!(doctor.name, submitted.personal.as_ref().unwrap().name);
    assert_eq!(doctor.mobile, submitted.personal.as_ref().unwrap().mobile);
    assert_eq!(doctor.specialty_code, "cardiology");
    assert_eq!(doctor.clinic_address, submitted.clinic.unwrap().address);
    let again = meera.client.send(StartApplicationRequest::default()).await;
    refused(again, Code::AlreadyExists, "ALREADY_EXISTS");

    for subject in ["We have received your application", "Your application has been approved"] {
        world.mail_to(&meera.email, |mail| mail.subject == subject).await;
    }
    world.settle().await;
    let texts = texts(&world);
    assert_eq!(texts.len(), 2);
    assert!(texts.iter().all(|(to, _)| *to == doctor.mobile));
    assert!(texts[0].1.contains("received") && texts[1].1.contains("approved"), "{texts:?}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_applicant_starts_anew() {
    let world = World::start().await;
    let (meera, admin) = (world.applicant().await, world.admin().await);
    let submitted = world.submit(&meera).await;
    let request = reject(&submitted, "The council does not know this number.");
    let rejected = admin.client.send(request).await.unwrap().application.unwrap();
    assert_eq!(rejected.status(), ApplicationStatus::Rejected);
    let told = |mail: &clinicd_tests::mail::Mail| mail.text.contains("does not know this number");
    let mail = world.mail_to(&meera.email, told).await;
    assert_eq!(mail.subject, "Your application was not approved");
    let mine = meera.client.send(GetMyApplicationRequest {}).await.unwrap().application.unwrap();
    assert_eq!(mine.rejection_reason, "The council does not know this number.");
    let late = save(&meera.client, Step::Declaration(DeclarationStep { accepted: true })).await;
    let refusal = refused(late, Code::FailedPrecondition, "WRONG_STATE");
    assert_eq!(refusal.metadata["state"], "rejected");
    refused(profile(&meera).await, Code::PermissionDenied, "ONBOARDING_NOT_APPROVED");

    let anew = open(&meera.client).await;
    assert_ne!(anew.id, submitted.id);
    assert_eq!(anew.status(), ApplicationStatus::Draft);
    assert!(anew.personal.is_none() && anew.documents.is_empty());
    assert!(anew.rejection_reason.is_empty());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_application_is_open_at_a_time() {
    let world = World::start().await;
    let asha = world.patient().await;
    let none = asha.client.send(GetMyApplicationRequest {}).await;
    refused(none, Code::NotFound, "NOT_FOUND");
    let step = Step::Declaration(DeclarationStep { accepted: true });
    refused(save(&asha.client, step).await, Code::NotFound, "NOT_FOUND");
    let submit = asha.client.send(SubmitApplicationRequest::default()).await;
    refused(submit, Code::NotFound, "NOT_FOUND");
    refused(profile(&asha).await, Code::PermissionDenied, "ROLE_REQUIRED");

    let mut started: Vec<_> =
        join_all((0..8).map(|_| open(&asha.client))).await.into_iter().map(|one| one.id).collect();
    started.dedup();
    assert_eq!(started.len(), 1);
    refused(profile(&asha).await, Code::PermissionDenied, "ONBOARDING_NOT_APPROVED");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_is_told_all_that_it_lacks() {
    let world = World::start().await;
    let asha = world.patient().await;
    open(&asha.client).await;
    let submit = async || asha.client.send(SubmitApplicationRequest::default()).await;
    let refusal = refused(submit().await, Code::FailedPrecondition, "APPLICATION_INCOMPLETE");
    let lacking: Vec<_> =
        refusal.preconditions.iter().map(|(subject, what)| format!("{subject}: {what}")).collect();
    assert_eq!(
        lacking,
        [
            "personal: name",
            "personal: mobile",
            "professional: specialty_code",
            "professional: registration_number",
            "professional: registration_council",
            "professional: years_of_experience",
            "documents: government_id",
            "documents: medical_certificate",
            "documents: registration",
            "declaration: accepted",
        ]
    );
    let mine = asha.client.send(GetMyApplicationRequest {}).await.unwrap().application.unwrap();
    let missing = mine.steps.iter().flat_map(|step| &step.missing).count();
    assert_eq!((mine.status(), missing), (ApplicationStatus::Draft, 10));

    // A declaration that is taken back is missing again.
    let meera = world.applicant().await;
    let step = Step::Declaration(DeclarationStep { accepted: false });
    let mine = save(&meera.client, step).await.unwrap();
    let declaration =
        mine.steps.iter().find(|step| step.step() == ApplicationStep::Declaration).unwrap();
    assert!(!declaration.complete);
    let refusal = meera.client.send(SubmitApplicationRequest::default()).await;
    let refusal = refused(refusal, Code::FailedPrecondition, "APPLICATION_INCOMPLETE");
    assert_eq!(refusal.preconditions, [("declaration".to_owned(), "accepted".to_owned())]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_the_applicants_own_and_one_of_each_kind() {
    let world = World::start().await;
    let (asha, ravi) = (world.patient().await, world.patient().await);
    open(&asha.client).await;
    let upload = async |person: &Person| {
        let picture = clinicd_tests::doctors::picture();
        person.client.upload("id.png", "image/png", &picture).await.unwrap().id
    };
    let attach = async |kind: DocumentKind, file_id: &str| {
        let (kind, file_id) = (kind.into(), file_id.to_owned());
        let request = AttachDocumentRequest { kind, file_id, ..Default::default() };
        asha.client.send(request).await.map(|answer| answer.application.unwrap())
    };
    let (first, second, foreign) = (upload(&asha).await, upload(&asha).await, upload(&ravi).await);
    let answer = attach(DocumentKind::GovernmentId, &foreign).await;
    refused(answer, Code::NotFound, "NOT_FOUND");
    attach(DocumentKind::GovernmentId, &first).await.unwrap();
    attach(DocumentKind::Registration, &first).await.unwrap();
    let mine = attach(DocumentKind::GovernmentId, &second).await.unwrap();
    let mut kept: Vec<_> = mine
        .documents
        .iter()
        .map(|document| (document.kind(), document.file.as_ref().unwrap().id.as_str()))
        .collect();
    kept.sort_unstable();
    let expected = [
        (DocumentKind::GovernmentId, second.as_str()),
        (DocumentKind::Registration, first.as_str()),
    ];
    assert_eq!(kept, expected);
    let answer = attach(DocumentKind::Unspecified, &first).await;
    refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
    world.finish().await;
}
