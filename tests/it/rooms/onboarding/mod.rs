//! Onboarding: the applicant's steps, the reviewers' decisions, the queue.

mod fields;
mod path;
mod queue;
mod review;

use clinicd_sdk::proto::onboarding::v1::save_application_step_request::Step;
use clinicd_sdk::proto::onboarding::v1::{
    Application, ApproveApplicationRequest, RejectApplicationRequest, RequestChangesRequest,
    SaveApplicationStepRequest, StartApplicationRequest,
};
use clinicd_sdk::{Client, Error};

async fn open(client: &Client) -> Application {
    client.send(StartApplicationRequest::default()).await.unwrap().application.unwrap()
}

async fn save(client: &Client, step: Step) -> Result<Application, Error> {
    let request = SaveApplicationStepRequest { step: Some(step), ..Default::default() };
    client.send(request).await.map(|answer| answer.application.unwrap())
}

fn approve(application: &Application) -> ApproveApplicationRequest {
    ApproveApplicationRequest {
        application_id: application.id.clone(),
        etag: application.etag.clone(),
        ..Default::default()
    }
}

fn reject(application: &Application, reason: &str) -> RejectApplicationRequest {
    RejectApplicationRequest {
        application_id: application.id.clone(),
        etag: application.etag.clone(),
        reason: reason.to_owned(),
        ..Default::default()
    }
}

fn send_back(
    application: &Application,
    changes: &[(clinicd_sdk::proto::onboarding::v1::ApplicationStep, &str)],
) -> RequestChangesRequest {
    let change = |(step, reason): &(_, &str)| {
        let (step, reason) = (i32::from(*step), (*reason).to_owned());
        clinicd_sdk::proto::onboarding::v1::StepChange { step, reason }
    };
    RequestChangesRequest {
        application_id: application.id.clone(),
        etag: application.etag.clone(),
        changes: changes.iter().map(change).collect(),
        ..Default::default()
    }
}
