//! The table of all changing methods: who calls, with what, what would be another payload, and how
//! many rows come or go.

use clinicd_sdk::proto::access::v1::Role;
use clinicd_sdk::proto::appointments::v1::{
    CompleteAppointmentRequest, GetAppointmentRequest, ReplaceWeeklyRulesRequest,
};
use clinicd_sdk::proto::files::v1::{
    AbortUploadRequest, FinishUploadRequest, StartUploadRequest, UploadChunkRequest,
};
use clinicd_sdk::proto::identity::v1::{
    ConfirmActivationRequest, CreateStaffMemberRequest, GrantAdminRequest, RefreshTokenRequest,
    RegisterAccountRequest, RevokeAdminRequest, SignInRequest,
};
use clinicd_sdk::proto::journals::v1::{SaveDraftRequest, SignNoteRequest};
use clinicd_sdk::proto::onboarding::v1::save_application_step_request::Step;
use clinicd_sdk::proto::onboarding::v1::{
    Application, ApplicationStep, ApproveApplicationRequest, AttachDocumentRequest,
    DeclarationStep, DocumentKind, RejectApplicationRequest, RequestChangesRequest,
    SaveApplicationStepRequest, StartApplicationRequest, StepChange, SubmitApplicationRequest,
};
use clinicd_sdk::proto::prescriptions::v1::{IssuePrescriptionRequest, PrescriptionItem};
use clinicd_sdk::proto::profiles::v1::{
    Fee, FeeList, GetMyDoctorProfileRequest, GetMyPatientRequest, UpdateMyDoctorProfileRequest,
    UpdateMyPatientRequest,
};
use clinicd_sdk::proto::r#type::v1::{ConsultationMode, Date, Money, PersonName};
use clinicd_server::kernel::crypto::sha256;
use clinicd_tests::Person;
use clinicd_tests::doctors::{ZONE, picture};
use clinicd_tests::people::PASSWORD;

use super::super::{begin, book, cancel, free_slots, rules, slot_now};
use super::{Actor, Trial};

/// An id of nothing.
pub(super) const NOTHING: &str = "00000000-0000-7000-8000-000000000000";

pub(super) async fn identity(trial: &mut Trial) {
    let anybody = trial.anybody();
    let (email, name) = ("nila@example.org".to_owned(), name("Nila"));
    let request = RegisterAccountRequest {
        email: email.clone(),
        password: PASSWORD.to_owned(),
        name: Some(name.clone()),
        ..Default::default()
    };
    let effects = [("accounts", 1), ("account_roles", 1), ("patients", 1), ("challenges", 1)];
    let effects = [&effects[..], &[("events", 2), ("jobs", 1)]].concat();
    trial.change(&anybody, request, |r| r.language = "hi".into(), &effects).await;

    let activation_token = trial.world.token_in_mail(&email).await;
    let request = ConfirmActivationRequest { activation_token, ..Default::default() };
    let other = |r: &mut ConfirmActivationRequest| r.password = Some(PASSWORD.into());
    trial.change(&anybody, request, other, &[("events", 1), ("jobs", 1)]).await;

    let password = PASSWORD.to_owned();
    let request = SignInRequest { email: email.clone(), password, ..Default::default() };
    let effects = [("sessions", 1), ("refresh_tokens", 1), ("sign_ins", 1)];
    let other = |r: &mut SignInRequest| r.device_name = "phone".into();
    let signed_in = trial.change(&anybody, request, other, &effects).await;

    let refresh_token = signed_in.tokens.unwrap().refresh_token;
    let request = RefreshTokenRequest { refresh_token, ..Default::default() };
    let other = |r: &mut RefreshTokenRequest| r.refresh_token.push('x');
    let tokens = trial.change(&anybody, request, other, &[("refresh_tokens", 1)]).await.tokens;

    let id = signed_in.account_id;
    let client = trial.world.client().with_tokens(id.clone(), tokens.unwrap()).unwrap();
    trial.sign_out(client).await;
    administration(trial, id).await;
}

async fn administration(trial: &mut Trial, account_id: String) {
    let superuser = trial.world.superuser().await;
    let superuser = trial.actor(&superuser).await;
    let request = GrantAdminRequest { account_id: account_id.clone(), ..Default::default() };
    let effects = [("account_roles", 1), ("events", 1), ("jobs", 1)];
    trial.change(&superuser, request, |r| r.account_id = NOTHING.into(), &effects).await;

    let request = RevokeAdminRequest { account_id, ..Default::default() };
    let effects = [("account_roles", -1), ("events", 1), ("jobs", 1)];
    trial.change(&superuser, request, |r| r.account_id = NOTHING.into(), &effects).await;

    let admin = trial.world.admin().await;
    let admin = trial.actor(&admin).await;
    let request = CreateStaffMemberRequest {
        email: "kiran@example.org".to_owned(),
        name: Some(name("Kiran")),
        role: Role::Operator.into(),
        ..Default::default()
    };
    let effects = [("accounts", 1), ("account_roles", 1), ("challenges", 1)];
    let effects = [&effects[..], &[("events", 1), ("jobs", 1)]].concat();
    trial.change(&admin, request, |r| r.set_role(Role::Pharmacist), &effects).await;
}

pub(super) async fn files(trial: &mut Trial) {
    let asha = trial.world.patient().await;
    let by = trial.actor(&asha).await;
    let bytes = picture();
    let request = StartUploadRequest {
        file_name: "a.png".to_owned(),
        media_type: "image/png".to_owned(),
        size_bytes: i64::try_from(bytes.len()).unwrap(),
        ..Default::default()
    };
    let other = |r: &mut StartUploadRequest| r.file_name = "b.png".into();
    let started = trial.change(&by, request.clone(), other, &[("uploads", 1)]).await;

    let upload_id = started.upload.unwrap().id;
    let sha256 = sha256(&bytes).to_vec();
    let chunk = UploadChunkRequest { upload_id: upload_id.clone(), offset: 0, data: bytes };
    by.here.send(chunk).await.unwrap();
    let finish = FinishUploadRequest { upload_id, sha256, ..Default::default() };
    trial.change(&by, finish, |r| r.sha256[0] ^= 1, &[("files", 1)]).await;

    let upload_id = by.here.send(request).await.unwrap().upload.unwrap().id;
    let request = AbortUploadRequest { upload_id, ..Default::default() };
    trial.change(&by, request, |r| r.upload_id = NOTHING.into(), &[]).await;
}

/// Gives back a doctor without fees and schedule.
pub(super) async fn onboarding(trial: &mut Trial) -> Person {
    let asha = trial.world.patient().await;
    let by = trial.actor(&asha).await;
    let request = StartApplicationRequest::default();
    trial.change(&by, request, |_| {}, &[("applications", 1), ("events", 1)]).await;

    let step = |accepted| Some(Step::Declaration(DeclarationStep { accepted }));
    let request = SaveApplicationStepRequest { step: step(true), ..Default::default() };
    let other = |r: &mut SaveApplicationStepRequest| {
        r.step = Some(Step::Declaration(DeclarationStep { accepted: false }));
    };
    trial.change(&by, request, other, &[("events", 1)]).await;

    let file_id = by.here.upload("a.png", "image/png", &picture()).await.unwrap().id;
    let kind = DocumentKind::GovernmentId.into();
    let request = AttachDocumentRequest { kind, file_id, ..Default::default() };
    let effects = [("application_documents", 1), ("events", 1)];
    trial.change(&by, request, |r| r.set_kind(DocumentKind::Registration), &effects).await;

    let applicant = trial.world.applicant().await;
    let by = trial.actor(&applicant).await;
    let request = SubmitApplicationRequest::default();
    trial.change(&by, request, |_| {}, &[("events", 1), ("jobs", 1)]).await;
    review(trial, &applicant).await
}

/// One application is sent back and then rejected, another one approved.
async fn review(trial: &mut Trial, applicant: &Person) -> Person {
    let decided = [("events", 1), ("jobs", 1)];
    let admin = trial.world.admin().await;
    let admin = trial.actor(&admin).await;
    let change = StepChange {
        step: ApplicationStep::Declaration.into(),
        reason: "Read it before you accept it.".to_owned(),
    };
    let application = application_of(applicant).await;
    let request = RequestChangesRequest {
        application_id: application.id,
        etag: application.etag,
        changes: vec![change],
        ..Default::default()
    };
    trial.change(&admin, request, |r| r.changes[0].reason.push('!'), &decided).await;

    let step = Some(Step::Declaration(DeclarationStep { accepted: true }));
    let mended = SaveApplicationStepRequest { step, ..Default::default() };
    applicant.client.send(mended).await.unwrap();
    let application = trial.world.submit(applicant).await;
    let request = RejectApplicationRequest {
        application_id: application.id,
        etag: application.etag,
        reason: "The council does not know this number.".to_owned(),
        ..Default::default()
    };
    trial.change(&admin, request, |r| r.reason.push('!'), &decided).await;

    let doctor = trial.world.applicant().await;
    let application = trial.world.submit(&doctor).await;
    let request = ApproveApplicationRequest {
        application_id: application.id,
        etag: application.etag,
        ..Default::default()
    };
    let effects = [("account_roles", 1), ("doctors", 1), ("doctor_words", 10)];
    let effects = [&effects[..], &[("events", 2), ("jobs", 1)]].concat();
    trial.change(&admin, request, |r| r.etag.push('0'), &effects).await;
    trial.world.again(&doctor).await
}

async fn application_of(applicant: &Person) -> Application {
    use clinicd_sdk::proto::onboarding::v1::GetMyApplicationRequest;
    let request = GetMyApplicationRequest {};
    applicant.client.send(request).await.unwrap().application.unwrap()
}

pub(super) async fn profiles(trial: &mut Trial, doctor: &Person) {
    let asha = trial.world.patient().await;
    let by = trial.actor(&asha).await;
    let etag = by.here.send(GetMyPatientRequest {}).await.unwrap().patient.unwrap().etag;
    let request = UpdateMyPatientRequest {
        etag,
        birth_date: Some(Date { year: 1991, month: 3, day: 9 }),
        ..Default::default()
    };
    trial.change(&by, request, |r| r.phone = Some(String::new()), &[("events", 1)]).await;

    let by = trial.actor(doctor).await;
    let etag = by.here.send(GetMyDoctorProfileRequest {}).await.unwrap().profile.unwrap().etag;
    let fee = Fee {
        mode: ConsultationMode::Video.into(),
        amount: Some(Money { currency_code: "INR".to_owned(), units: 700, nanos: 0 }),
    };
    let request = UpdateMyDoctorProfileRequest {
        etag,
        fees: Some(FeeList { fees: vec![fee] }),
        ..Default::default()
    };
    let effects = [("doctor_fees", 1), ("events", 1)];
    trial.change(&by, request, |r| r.bio = Some("Listens.".into()), &effects).await;
}

/// Leaves the doctor on call around the clock.
pub(super) async fn appointments(trial: &mut Trial, doctor: &Person) {
    let by = trial.actor(doctor).await;
    let request = ReplaceWeeklyRulesRequest {
        doctor_id: doctor.id.clone(),
        etag: "0".to_owned(),
        time_zone: ZONE.to_owned(),
        rules: rules((0, 24), 0, 15, 0),
        ..Default::default()
    };
    let effects = [("schedules", 1), ("schedule_rules", 7), ("events", 1)];
    let other = |r: &mut ReplaceWeeklyRulesRequest| r.rules.truncate(1);
    trial.change(&by, request, other, &effects).await;

    let asha = trial.world.patient().await;
    let by = trial.actor(&asha).await;
    let slot = free_slots(&trial.world, &doctor.id, 3, 3).await[0];
    let effects = [("appointments", 1), ("events", 1), ("jobs", 2)];
    let request = book(&doctor.id, slot);
    let booked = trial.change(&by, request, |r| r.reason = "Cough.".into(), &effects).await;

    let request = cancel(&booked.appointment.unwrap());
    let effects = [("events", 1), ("jobs", 1)];
    trial.change(&by, request, |r| r.reason = "Well again.".into(), &effects).await;
}

pub(super) async fn visit(trial: &mut Trial, doctor: &Person) {
    let asha = trial.world.patient().await;
    let slot = slot_now(&trial.world, doctor).await;
    let booked = asha.client.send(book(&doctor.id, slot)).await.unwrap().appointment.unwrap();
    let by = trial.actor(doctor).await;
    trial.change(&by, begin(&booked), |r| r.etag.push('0'), &[("events", 1)]).await;

    let appointment_id = booked.id.clone();
    let text = "Pulse 72, regular.".to_owned();
    let request = SaveDraftRequest { appointment_id, text, ..Default::default() };
    let effects = [("visit_notes", 1), ("patient_keys", 1)];
    let note = trial.change(&by, request, |r| r.text.push('!'), &effects).await.note.unwrap();

    let request = SignNoteRequest { note_id: note.id, etag: note.etag, ..Default::default() };
    trial.change(&by, request, |r| r.etag.push('0'), &[("events", 1)]).await;

    let item = PrescriptionItem { medication: "Paracetamol 500 mg".into(), ..Default::default() };
    let request = IssuePrescriptionRequest {
        appointment_id: booked.id.clone(),
        items: vec![item],
        ..Default::default()
    };
    let effects = [("prescriptions", 1), ("prescription_items", 1), ("events", 1), ("jobs", 1)];
    trial.change(&by, request, |r| r.items[0].refills = 1, &effects).await;
    complete(trial, &by, booked.id).await;
}

async fn complete(trial: &mut Trial, by: &Actor, appointment_id: String) {
    let request = GetAppointmentRequest { appointment_id: appointment_id.clone() };
    let etag = by.here.send(request).await.unwrap().appointment.unwrap().etag;
    let request = CompleteAppointmentRequest { appointment_id, etag, ..Default::default() };
    trial.change(by, request, |r| r.etag.push('0'), &[("events", 1)]).await;
}

fn name(given: &str) -> PersonName {
    PersonName { given: given.to_owned(), family: "Shah".to_owned() }
}
