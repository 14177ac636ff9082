//! The changing methods of messages and jobs.

use clinicd_sdk::proto::notifications::v1::{
    Channel, DevicePlatform, GetPreferencesRequest, ListNotificationsRequest, MarkReadRequest,
    NotificationClass, PreferenceSwitch, RegisterDeviceRequest, RemoveDeviceRequest,
    RetryDeliveryRequest, UpdatePreferencesRequest,
};
use clinicd_sdk::proto::operations::v1::{CancelJobRequest, RetryJobRequest};

use super::Trial;
use super::changes::NOTHING;

pub(super) async fn all(trial: &mut Trial) {
    own(trial).await;
    administration(trial).await;
}

async fn own(trial: &mut Trial) {
    let asha = trial.world.patient().await;
    trial.world.settle().await;
    let asha = trial.actor(&asha).await;
    trial.world.settle().await;

    let inbox = asha.here.send(ListNotificationsRequest::default()).await.unwrap();
    let notification_ids = vec![inbox.notifications[0].id.clone()];
    let request = MarkReadRequest { notification_ids, ..Default::default() };
    let other = |r: &mut MarkReadRequest| r.notification_ids.clear();
    trial.change(&asha, request, other, &[("events", 1)]).await;

    let found = asha.here.send(GetPreferencesRequest {}).await.unwrap().preferences.unwrap();
    let class = NotificationClass::Greeting.into();
    let switch = PreferenceSwitch { class, channel: Channel::Mail.into(), enabled: false };
    let request =
        UpdatePreferencesRequest { etag: found.etag, switches: vec![switch], ..Default::default() };
    let other = |r: &mut UpdatePreferencesRequest| r.switches.clear();
    let effects = [("closed_channels", 1), ("events", 1), ("notification_preferences", 1)];
    trial.change(&asha, request, other, &effects).await;

    let request = RegisterDeviceRequest {
        token: "a token".to_owned(),
        platform: DevicePlatform::Web.into(),
        ..Default::default()
    };
    let other = |r: &mut RegisterDeviceRequest| r.token.push('x');
    let effects = [("devices", 1), ("events", 1)];
    let device = trial.change(&asha, request, other, &effects).await.device.unwrap();

    let request = RemoveDeviceRequest { device_id: device.id, ..Default::default() };
    let other = |r: &mut RemoveDeviceRequest| r.device_id = NOTHING.into();
    trial.change(&asha, request, other, &[("devices", -1), ("events", 1)]).await;
}

async fn administration(trial: &mut Trial) {
    let admin = trial.world.admin().await;
    let admin = trial.actor(&admin).await;
    trial.world.settle().await;
    let failed = "UPDATE deliveries SET state = 'failed', attempts = 7, ended_at = now() \
        WHERE id = (SELECT id FROM deliveries WHERE kind = 'welcome' LIMIT 1) RETURNING id::text";
    let delivery_id = trial.world.sql(failed).await.remove(0).remove(0);
    let request = RetryDeliveryRequest { delivery_id, ..Default::default() };
    let other = |r: &mut RetryDeliveryRequest| r.delivery_id = NOTHING.into();
    trial.change(&admin, request, other, &[("events", 1)]).await;

    let job_id = trial.world.app.ids.next().to_string();
    let waits = format!(
        "INSERT INTO jobs (id, kind, payload, state, run_at, created_at) VALUES ('{job_id}', \
            'kernel.forget_jobs', '{{}}', 'ready', now() + interval '9 days', now())"
    );
    trial.world.sql(&waits).await;
    let request = CancelJobRequest { job_id: job_id.clone(), ..Default::default() };
    let other = |r: &mut CancelJobRequest| r.job_id = NOTHING.into();
    trial.change(&admin, request, other, &[("cancelled jobs", 1)]).await;

    let request = RetryJobRequest { job_id, ..Default::default() };
    let other = |r: &mut RetryJobRequest| r.job_id = NOTHING.into();
    trial.change(&admin, request, other, &[("cancelled jobs", -1)]).await;
}
