//! Reading the log. The entry about a reading is written after the page was read, in the same
//! transaction: committed before the page leaves, and not on it.

use clinicd_proto::audit::v1 as pb;
use prost::Message;

use super::rows::{self, Filter};
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::audit::{self, Access, DataType, Outcome};
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::{AccountId, PatientId};
use crate::kernel::page::PageRequest;

/// Who accessed the caller's own record.
pub(super) async fn list_mine(
    app: &App,
    caller: &Caller,
    request: pb::ListMyAccessLogRequest,
) -> Result<pb::ListMyAccessLogResponse> {
    let account = caller.require_account()?;
    let page = app.pages.open(&PageRequest {
        list: "audit.my_access_log",
        page_size: request.page_size,
        page_token: &request.page_token,
        bound_to: &[account.0.as_bytes()],
    })?;
    let (after, limit) = (page.after, page.limit + 1);
    let rows = app
        .db
        .transaction(async move |conn| {
            let rows = rows::of_account(conn, account, after, limit).await?;
            audit::record(app, conn, caller, access(caller.as_patient(), "own_record")).await?;
            Ok(rows)
        })
        .await?;
    let (rows, next_page_token) = page.close(rows, |row| row.id)?;
    Ok(pb::ListMyAccessLogResponse {
        entries: rows.into_iter().map(Into::into).collect(),
        next_page_token,
    })
}

/// The whole log, for admins.
pub(super) async fn search(
    app: &App,
    caller: &Caller,
    mut request: pb::SearchAuditLogRequest,
) -> Result<pb::SearchAuditLogResponse> {
    let account = caller.require_account()?;
    let filter = filter(&request)?;
    let page_token = std::mem::take(&mut request.page_token);
    let page_size = std::mem::take(&mut request.page_size);
    let page = app.pages.open(&PageRequest {
        list: "audit.log",
        page_size,
        page_token: &page_token,
        bound_to: &[account.0.as_bytes(), &request.encode_to_vec()],
    })?;
    let (after, limit) = (page.after, page.limit + 1);
    let rows = app
        .db
        .transaction(async move |conn| {
            let rows = rows::matching(conn, filter, after, limit).await?;
            audit::record(app, conn, caller, access(filter.patient, "admin_search")).await?;
            Ok(rows)
        })
        .await?;
    let (rows, next_page_token) = page.close(rows, |row| row.id)?;
    Ok(pb::SearchAuditLogResponse {
        entries: rows.into_iter().map(Into::into).collect(),
        next_page_token,
    })
}

fn filter(request: &pb::SearchAuditLogRequest) -> Result<Filter> {
    let actor = request.actor_id.as_deref().map(|id| AccountId::from_wire("actor_id", id));
    let patient = request.patient_id.as_deref().map(|id| PatientId::from_wire("patient_id", id));
    let outcome = request.outcome.map(|outcome| {
        let known = Outcome::from_wire(outcome);
        known.ok_or_else(|| Error::field("outcome", "must be ALLOWED or REFUSED"))
    });
    Ok(Filter {
        actor: actor.transpose()?,
        patient: patient.transpose()?,
        outcome: outcome.transpose()?,
    })
}

fn access(patient: Option<PatientId>, rule: &'static str) -> Access {
    Access { patient, data_types: vec![DataType::AuditLog], records: Vec::new(), rule }
}
