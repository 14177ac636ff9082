//! What a reviewer decides: approve, send back, refuse.

use clinicd_proto::onboarding::v1 as pb;
use diesel_async::RunQueryDsl;
use serde_json::{Map, Value};

use super::applying::emit;
use super::rows::{self, ApplicationId, ApplicationRow, Decide};
use super::rules::{self, Action, Status, Step};
use crate::app::App;
use crate::identity;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Faults, Reason, Result};
use crate::kernel::kinds::{AccountId, Role};
use crate::kernel::text;
use crate::profiles::{self, NewDoctor};

/// Makes the applicant a doctor: status, role and profile in one transaction.
pub(super) async fn approve(
    app: &App,
    caller: &Caller,
    request: pb::ApproveApplicationRequest,
) -> Result<pb::ApproveApplicationResponse> {
    let id = ApplicationId::from_wire("application_id", &request.application_id)?;
    let reviewer = caller.require_account()?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let (row, status) = open(conn, reviewer, id, &request.etag, Action::Approve).await?;
        let decision = Decision { status, changes: Map::new(), rejection_reason: String::new() };
        decide(app, conn, reviewer, &row, decision).await?;
        let account = row.account_id;
        identity::grant_role(app, conn, account, Role::Doctor, Some(reviewer)).await?;
        identity::set_applicant(app, conn, account, false).await?;
        profiles::create_doctor(app, conn, new_doctor(row)).await?;
        emit(app, conn, "application.approved", id, account).await?;
        let application = Some(rows::reload(conn, id).await?);
        Ok(pb::ApproveApplicationResponse { application })
    })
    .await
}

/// Sends steps back to the applicant.
pub(super) async fn request_changes(
    app: &App,
    caller: &Caller,
    request: pb::RequestChangesRequest,
) -> Result<pb::RequestChangesResponse> {
    let id = ApplicationId::from_wire("application_id", &request.application_id)?;
    let reviewer = caller.require_account()?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let (row, status) = open(conn, reviewer, id, &request.etag, Action::RequestChanges).await?;
        let changes = changes(&request.changes)?;
        let decision = Decision { status, changes, rejection_reason: String::new() };
        decide(app, conn, reviewer, &row, decision).await?;
        emit(app, conn, "application.changes_requested", id, row.account_id).await?;
        let application = Some(rows::reload(conn, id).await?);
        Ok(pb::RequestChangesResponse { application })
    })
    .await
}

/// Refuses an application.
pub(super) async fn reject(
    app: &App,
    caller: &Caller,
    request: pb::RejectApplicationRequest,
) -> Result<pb::RejectApplicationResponse> {
    let id = ApplicationId::from_wire("application_id", &request.application_id)?;
    let reviewer = caller.require_account()?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let (row, status) = open(conn, reviewer, id, &request.etag, Action::Reject).await?;
        let rejection_reason = text::required_block("reason", &request.reason)?;
        let decision = Decision { status, changes: Map::new(), rejection_reason };
        decide(app, conn, reviewer, &row, decision).await?;
        emit(app, conn, "application.rejected", id, row.account_id).await?;
        let application = Some(rows::reload(conn, id).await?);
        Ok(pb::RejectApplicationResponse { application })
    })
    .await
}

/// The application that the reviewer saw, held for the decision, and the status that follows.
async fn open(
    conn: &mut Conn,
    reviewer: AccountId,
    id: ApplicationId,
    etag: &str,
    action: Action,
) -> Result<(ApplicationRow, Status)> {
    let row = ApplicationRow::lock(conn, id).await?;
    if row.account_id == reviewer {
        return Err(Error::of(Reason::OwnRecord));
    }
    let status = rules::next(row.status, action)?;
    if row.version.to_string() != etag {
        return Err(Error::of(Reason::EtagMismatch));
    }
    Ok((row, status))
}

/// What a reviewer decided.
struct Decision {
    status: Status,
    changes: Map<String, Value>,
    rejection_reason: String,
}

async fn decide(
    app: &App,
    conn: &mut Conn,
    reviewer: AccountId,
    row: &ApplicationRow,
    decision: Decision,
) -> Result<()> {
    let decide = Decide {
        id: row.id,
        now: app.clock.now(),
        status: decision.status,
        reviewer,
        changes: Value::Object(decision.changes),
        rejection_reason: decision.rejection_reason,
    };
    decide.execute(conn).await?;
    Ok(())
}

/// The steps to be mended, each at most once, with what is to be changed.
fn changes(requested: &[pb::StepChange]) -> Result<Map<String, Value>> {
    let (mut faults, mut changes) = (Faults::default(), Map::new());
    for (at, change) in requested.iter().enumerate() {
        let path = |name: &str| format!("changes[{at}].{name}");
        let reason = faults.keep(text::required_block(&path("reason"), &change.reason));
        let remedy = match Step::from_wire(change.step).map(Step::as_str) {
            None => "must be a step",
            Some(step) if changes.contains_key(step) => "must not repeat a step",
            Some(step) => {
                changes.insert(step.to_owned(), Value::String(reason));
                continue;
            }
        };
        faults.add(Error::field(path("step"), remedy));
    }
    faults.check()?;
    Ok(changes)
}

/// The doctor that the application describes. It is complete, or it could not be submitted.
fn new_doctor(row: ApplicationRow) -> NewDoctor {
    let clinic_lines = row.clinic_lines();
    NewDoctor {
        id: row.account_id.into(),
        given_name: row.given_name.unwrap_or_default(),
        family_name: row.family_name.unwrap_or_default(),
        mobile: row.mobile.unwrap_or_default(),
        specialty_code: row.specialty_code.unwrap_or_default(),
        registration_number: row.registration_number.unwrap_or_default(),
        registration_council: row.registration_council.unwrap_or_default(),
        years_of_experience: row.years_of_experience.unwrap_or_default(),
        qualification: row.qualification.unwrap_or_default(),
        clinic_name: row.clinic_name.unwrap_or_default(),
        clinic_lines,
        clinic_city: row.clinic_city.unwrap_or_default(),
        clinic_region: row.clinic_region.unwrap_or_default(),
        clinic_postal_code: row.clinic_postal_code.unwrap_or_default(),
        clinic_country_code: row.clinic_country_code.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn change(step: pb::ApplicationStep, reason: &str) -> pb::StepChange {
        pb::StepChange { step: step.into(), reason: reason.to_owned() }
    }

    #[test]
    fn each_step_is_sent_back_once() {
        let documents = change(pb::ApplicationStep::Documents, " Not readable. ");
        let personal = change(pb::ApplicationStep::Personal, "Name differs.");
        let made = changes(&[documents.clone(), personal]).unwrap();
        assert_eq!(made["documents"], "Not readable.");
        assert_eq!(made.len(), 2);
        let twice = changes(&[documents.clone(), documents]).unwrap_err();
        assert_eq!(twice.reason, Reason::InvalidFields);
        assert!(changes(&[change(pb::ApplicationStep::Clinic, "  ")]).is_err());
    }
}
