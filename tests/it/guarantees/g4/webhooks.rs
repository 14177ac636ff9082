//! The changing methods of webhooks.

use clinicd_sdk::proto::feed::v1::{
    CreateEndpointRequest, DeleteEndpointRequest, EndpointState, ReplayFromRequest, ResourceKind,
    RotateSecretRequest, UpdateEndpointRequest,
};

use super::Trial;
use super::changes::NOTHING;

pub(super) async fn all(trial: &mut Trial) {
    let admin = trial.world.admin().await;
    let admin = trial.actor(&admin).await;
    let told = [("events", 1)];
    let request = CreateEndpointRequest {
        url: "https://partner.invalid/hooks".to_owned(),
        display_name: "Lab".to_owned(),
        // Nothing of this kind happens here.
        kinds: vec![ResourceKind::Prescription.into()],
        ..Default::default()
    };
    let other = |r: &mut CreateEndpointRequest| r.display_name.push('x');
    let made = trial.change(&admin, request, other, &told).await;
    assert!(made.secret.starts_with("whsec_"));
    let endpoint = made.endpoint.unwrap();
    let endpoint_id = endpoint.id;

    let request = RotateSecretRequest { endpoint_id: endpoint_id.clone(), ..Default::default() };
    let other = |r: &mut RotateSecretRequest| r.endpoint_id = NOTHING.into();
    let made = trial.change(&admin, request, other, &told).await;

    let request = UpdateEndpointRequest {
        endpoint_id: endpoint_id.clone(),
        etag: made.endpoint.unwrap().etag,
        state: Some(EndpointState::Paused.into()),
        ..Default::default()
    };
    let other = |r: &mut UpdateEndpointRequest| r.display_name = Some("Other".into());
    trial.change(&admin, request, other, &told).await;

    let request = ReplayFromRequest { endpoint_id: endpoint_id.clone(), ..Default::default() };
    let other = |r: &mut ReplayFromRequest| r.endpoint_id = NOTHING.into();
    trial.change(&admin, request, other, &told).await;

    let request = DeleteEndpointRequest { endpoint_id, ..Default::default() };
    let other = |r: &mut DeleteEndpointRequest| r.endpoint_id = NOTHING.into();
    trial.change(&admin, request, other, &[("events", 1), ("jobs", 1)]).await;
}
