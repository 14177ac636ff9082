//! Ids of other people's things: they answer as ids that nobody has, to the last byte.

use std::collections::BTreeSet;

use clinicd_proto::rpc::Rpc;
use clinicd_sdk::Code;
use clinicd_sdk::proto::appointments::v1::{
    BookAppointmentRequest, CancelAppointmentRequest, CompleteAppointmentRequest,
    GetAppointmentRequest, GetNextFreeSlotRequest, GetScheduleRequest, ListAppointmentsRequest,
    ReplaceWeeklyRulesRequest, StartVisitRequest,
};
use clinicd_sdk::proto::files::v1::{
    AbortUploadRequest, DownloadFileRequest, FinishUploadRequest, GetUploadRequest,
    StartUploadRequest, UploadChunkRequest,
};
use clinicd_sdk::proto::identity::v1::{ListMySessionsRequest, RevokeSessionRequest};
use clinicd_sdk::proto::journals::v1::{GetNoteRequest, SaveDraftRequest, SignNoteRequest};
use clinicd_sdk::proto::notifications::v1::{
    CountUnreadRequest, DevicePlatform, ListNotificationsRequest, MarkReadRequest,
    RegisterDeviceRequest, RemoveDeviceRequest,
};
use clinicd_sdk::proto::onboarding::v1::{
    AttachDocumentRequest, DocumentKind, StartApplicationRequest,
};
use clinicd_sdk::proto::prescriptions::v1::{
    DownloadPrescriptionPdfRequest, GetPrescriptionRequest, IssuePrescriptionRequest,
    ListPrescriptionsRequest,
};
use clinicd_sdk::proto::r#type::v1::ConsultationMode;
use clinicd_tests::doctors::{ZONE, every_day, picture};
use clinicd_tests::wire::{self, access_token};
use clinicd_tests::{Person, World};
use prost_reflect::Kind;

use crate::contract::methods;

/// Fields with ids of things that the caller may know of, whoever they are: doctors are public,
/// and the rest is for those who run the platform.
const OPEN_TO_THE_CALLER: &[&str] = &[
    "BookAppointment.doctor_id",
    "GetPublicDoctor.doctor_id",
    "ListSlots.doctor_id",
    "GetNextFreeSlot.doctor_id",
    "GrantAdmin.account_id",
    "RevokeAdmin.account_id",
    "GetUser.account_id",
    "UpdateUser.account_id",
    "DeleteUser.account_id",
    "BlockUser.account_id",
    "UnblockUser.account_id",
    "ListSignIns.account_id",
    "DeleteSignIn.sign_in_id",
    "GetStaffMember.account_id",
    "RemoveStaffMember.account_id",
    "BlockDoctor.doctor_id",
    "UnblockDoctor.doctor_id",
    "StartRecoveryFor.account_id",
    "CreateApiKey.service_account_id",
    "ListApiKeys.service_account_id",
    "RevokeApiKey.api_key_id",
    "GetDoctor.doctor_id",
    "GetApplication.application_id",
    "ListDeliveries.account_id",
    "RetryDelivery.delivery_id",
    "ApproveApplication.application_id",
    "RequestChanges.application_id",
    "RejectApplication.application_id",
    "SearchAuditLog.actor_id",
    "SearchAuditLog.patient_id",
    "CancelJob.job_id",
    "RetryJob.job_id",
    "UpdateEndpoint.endpoint_id",
    "DeleteEndpoint.endpoint_id",
    "RotateSecret.endpoint_id",
    "ListDeliveries.endpoint_id",
    "ReplayFrom.endpoint_id",
];

/// What one doctor and one patient have that nobody else may know of.
struct Theirs {
    doctor: String,
    patient: String,
    appointment: String,
    note: String,
    prescription: String,
    upload: String,
    file: String,
    session: String,
    device: String,
    notification: String,
}

async fn make(world: &World) -> Theirs {
    let (doctor, asha) = (world.doctor().await, world.patient().await);
    let mode = ConsultationMode::InPerson.into();
    let slot = GetNextFreeSlotRequest { doctor_id: doctor.id.clone(), mode };
    let slot = asha.client.send(slot).await.unwrap().slot.unwrap();
    let book = BookAppointmentRequest {
        doctor_id: doctor.id.clone(),
        mode,
        start_time: slot.start,
        ..Default::default()
    };
    let booked = asha.client.send(book).await.unwrap().appointment.unwrap();
    let now = world.app.clock.now().timestamp().as_second();
    world.advance(jiff::SignedDuration::from_secs(slot.start.unwrap().seconds - now));
    let (doctor, asha) = (world.again(&doctor).await, world.again(&asha).await);
    let (appointment_id, etag) = (booked.id.clone(), booked.etag);
    let visit = StartVisitRequest { appointment_id, etag, ..Default::default() };
    doctor.client.send(visit).await.unwrap();
    let appointment_id = booked.id.clone();
    let draft =
        SaveDraftRequest { appointment_id, text: "Headache.".to_owned(), ..Default::default() };
    let note = doctor.client.send(draft).await.unwrap().note.unwrap();
    let (appointment_id, text) = (booked.id.clone(), "Rest.".to_owned());
    let issue = IssuePrescriptionRequest { appointment_id, text, ..Default::default() };
    let prescription = doctor.client.send(issue).await.unwrap().prescription.unwrap();
    let start = StartUploadRequest {
        file_name: "scan.png".to_owned(),
        media_type: "image/png".to_owned(),
        size_bytes: 3,
        ..Default::default()
    };
    let upload = asha.client.send(start).await.unwrap().upload.unwrap();
    let file = asha.client.upload("scan.png", "image/png", &picture()).await.unwrap();
    let sessions = asha.client.send(ListMySessionsRequest::default()).await.unwrap().sessions;
    let (token, platform) = ("a token".to_owned(), DevicePlatform::Android.into());
    let device = RegisterDeviceRequest { token, platform, ..Default::default() };
    let device = asha.client.send(device).await.unwrap().device.unwrap();
    world.settle().await;
    let inbox = asha.client.send(ListNotificationsRequest::default()).await.unwrap().notifications;
    Theirs {
        doctor: doctor.id,
        patient: asha.id,
        appointment: booked.id,
        note: note.id,
        prescription: prescription.id,
        upload: upload.id,
        file: file.id,
        session: sessions[0].id.clone(),
        device: device.id,
        notification: inbox[0].id.clone(),
    }
}

/// Somebody who tries ids, and what has been tried.
struct Stranger<'a> {
    world: &'a World,
    person: Person,
    tried: BTreeSet<String>,
}

impl Stranger<'_> {
    /// Asks with an id that is somebody's and with one that is nobody's.
    async fn tries<R: Rpc>(&mut self, field: &str, theirs: &str, make: impl Fn(String) -> R) {
        let channel = wire::channel(self.world.url());
        let token = access_token(&self.person);
        let ask = async |id: &str| {
            let mut request = make(id.to_owned());
            if let Some(request_id) = request.request_id_mut() {
                *request_id = self.world.app.ids.next().to_string();
            }
            wire::send(&channel, Some(&token), &request).await
        };
        let method = R::PATH.rsplit('/').next().unwrap();
        let (found, nothing) =
            (ask(theirs).await, ask(&self.world.app.ids.next().to_string()).await);
        assert_eq!(found, nothing, "{method}.{field}");
        match &nothing {
            Err(refusal) => assert_eq!(refusal.code, Code::NotFound, "{method}: {refusal:?}"),
            // It passes over in silence what is not the caller's.
            Ok(_) if method == "MarkRead" => {}
            Ok(answer) => assert!(answer.is_empty() && method.starts_with("List"), "{method}"),
        }
        self.tried.insert(format!("{method}.{field}"));
    }

    async fn tries_appointments(&mut self, theirs: &Theirs) {
        let (id, etag) = (&theirs.appointment, || "1".to_owned());
        self.tries("appointment_id", id, |appointment_id| GetAppointmentRequest { appointment_id })
            .await;
        self.tries("appointment_id", id, |appointment_id| StartVisitRequest {
            appointment_id,
            etag: etag(),
            ..Default::default()
        })
        .await;
        self.tries("appointment_id", id, |appointment_id| CompleteAppointmentRequest {
            appointment_id,
            etag: etag(),
            ..Default::default()
        })
        .await;
        self.tries("appointment_id", id, |appointment_id| CancelAppointmentRequest {
            appointment_id,
            etag: etag(),
            ..Default::default()
        })
        .await;
        self.tries("patient_id", &theirs.patient, |patient_id| ListAppointmentsRequest {
            patient_id: Some(patient_id),
            ..Default::default()
        })
        .await;
        self.tries("doctor_id", &theirs.doctor, |doctor_id| ListAppointmentsRequest {
            doctor_id: Some(doctor_id),
            ..Default::default()
        })
        .await;
        self.tries("patient_id", &theirs.patient, |patient_id| BookAppointmentRequest {
            doctor_id: theirs.doctor.clone(),
            patient_id: Some(patient_id),
            mode: ConsultationMode::InPerson.into(),
            start_time: Some(in_seven_years()),
            ..Default::default()
        })
        .await;
        self.tries("doctor_id", &theirs.doctor, |doctor_id| GetScheduleRequest { doctor_id }).await;
        self.tries("doctor_id", &theirs.doctor, |doctor_id| ReplaceWeeklyRulesRequest {
            doctor_id,
            etag: etag(),
            time_zone: ZONE.to_owned(),
            rules: every_day(9, 17),
            ..Default::default()
        })
        .await;
    }

    async fn tries_records(&mut self, theirs: &Theirs) {
        self.tries("appointment_id", &theirs.appointment, |appointment_id| SaveDraftRequest {
            appointment_id,
            ..Default::default()
        })
        .await;
        self.tries("note_id", &theirs.note, |note_id| SignNoteRequest {
            note_id,
            etag: "1".to_owned(),
            ..Default::default()
        })
        .await;
        self.tries("note_id", &theirs.note, |note_id| GetNoteRequest { note_id }).await;
        self.tries("appointment_id", &theirs.appointment, |appointment_id| {
            let text = "Rest.".to_owned();
            IssuePrescriptionRequest { appointment_id, text, ..Default::default() }
        })
        .await;
        let id = &theirs.prescription;
        self.tries("prescription_id", id, |prescription_id| GetPrescriptionRequest {
            prescription_id,
        })
        .await;
        self.tries("prescription_id", id, |prescription_id| DownloadPrescriptionPdfRequest {
            prescription_id,
        })
        .await;
        self.tries("patient_id", &theirs.patient, |patient_id| ListPrescriptionsRequest {
            patient_id: Some(patient_id),
            ..Default::default()
        })
        .await;
    }

    async fn tries_files_and_sessions(&mut self, theirs: &Theirs) {
        let id = &theirs.upload;
        self.tries("upload_id", id, |upload_id| GetUploadRequest { upload_id }).await;
        self.tries("upload_id", id, |upload_id| UploadChunkRequest {
            upload_id,
            offset: 0,
            data: b"abc".to_vec(),
        })
        .await;
        self.tries("upload_id", id, |upload_id| FinishUploadRequest {
            upload_id,
            sha256: vec![0; 32],
            ..Default::default()
        })
        .await;
        self.tries("upload_id", id, |upload_id| AbortUploadRequest {
            upload_id,
            ..Default::default()
        })
        .await;
        let session = &theirs.session;
        self.tries("session_id", session, |session_id| RevokeSessionRequest {
            session_id,
            ..Default::default()
        })
        .await;
        let device = &theirs.device;
        self.tries("device_id", device, |device_id| RemoveDeviceRequest {
            device_id,
            ..Default::default()
        })
        .await;
        self.world.settle().await;
        let message = &theirs.notification;
        self.tries("up_to_id", message, |up_to_id| MarkReadRequest {
            up_to_id,
            ..Default::default()
        })
        .await;
        let unread = self.person.client.send(CountUnreadRequest {}).await.unwrap().unread;
        assert!(unread > 0, "not even older ones of the caller's own");
        self.tries("file_id", &theirs.file, |file_id| DownloadFileRequest { file_id }).await;
        self.tries("file_id", &theirs.file, |file_id| AttachDocumentRequest {
            kind: DocumentKind::GovernmentId.into(),
            file_id,
            ..Default::default()
        })
        .await;
    }
}

fn in_seven_years() -> clinicd_sdk::proto::prost_types::Timestamp {
    clinicd_sdk::proto::prost_types::Timestamp { seconds: 2_000_000_000, nanos: 0 }
}

/// Every field of a request that names a thing, but those that the caller may know of.
fn fields_with_ids() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for method in methods() {
        for field in method.input().fields() {
            let is_id = field.kind() == Kind::String && field.name().ends_with("_id");
            let name = format!("{}.{}", method.name(), field.name());
            if is_id && field.name() != "request_id" && !OPEN_TO_THE_CALLER.contains(&&*name) {
                found.insert(name);
            }
        }
    }
    found
}

/// Without the owner's filter in `UploadRow::find`, `GetUpload.upload_id` failed.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_ids_are_like_no_ids() {
    let world = World::start().await;
    let theirs = make(&world).await;
    let doctor = world.approved_doctor().await;
    // A doctor, who is a patient too, and an applicant besides.
    let mut stranger = Stranger { world: &world, person: doctor, tried: BTreeSet::new() };
    stranger.tries_appointments(&theirs).await;
    stranger.tries_records(&theirs).await;
    stranger.tries_files_and_sessions(&theirs).await;
    assert_eq!(stranger.tried, fields_with_ids());

    let ravi = world.patient().await;
    ravi.client.send(StartApplicationRequest::default()).await.unwrap();
    let mut stranger = Stranger { world: &world, person: ravi, tried: BTreeSet::new() };
    stranger.tries_files_and_sessions(&theirs).await;
    let id = &theirs.appointment;
    stranger
        .tries("appointment_id", id, |appointment_id| GetAppointmentRequest { appointment_id })
        .await;
    stranger.tries("note_id", &theirs.note, |note_id| GetNoteRequest { note_id }).await;
    world.finish().await;
}
