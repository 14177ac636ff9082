//! Reading prescriptions. Nothing leaves without the audit entry of its transaction.

use clinicd_proto::prescriptions::v1 as pb;

use super::rows::{self, PrescriptionId, PrescriptionRow, Scope};
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::audit::{self, Access, DataType};
use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::kinds::PatientId;
use crate::kernel::page::PageRequest;

/// Returns one prescription.
pub(super) async fn get(
    app: &App,
    caller: &Caller,
    request: pb::GetPrescriptionRequest,
) -> Result<pb::GetPrescriptionResponse> {
    let id = PrescriptionId::from_wire("prescription_id", &request.prescription_id)?;
    let (row, items) = open(app, caller, Scope::visible_to(caller), id).await?;
    Ok(pb::GetPrescriptionResponse { prescription: Some(row.with_items(items)) })
}

/// Loads one prescription with its items, and logs the access.
pub(super) async fn open(
    app: &App,
    caller: &Caller,
    scope: Scope,
    id: PrescriptionId,
) -> Result<(PrescriptionRow, Vec<pb::PrescriptionItem>)> {
    app.db
        .transaction(async |conn: &mut Conn| {
            let row = scope.find(conn, id).await?;
            let items = rows::items_of(conn, vec![id]).await?.remove(&id).unwrap_or_default();
            let access = Access {
                patient: Some(row.patient),
                data_types: vec![DataType::Prescription],
                records: vec![id.0],
                rule: scope.rule(&row),
            };
            audit::record(app, conn, caller, access).await?;
            Ok((row, items))
        })
        .await
}

/// Lists what the caller may see, newest first; one audit entry names every record of the page.
pub(super) async fn list(
    app: &App,
    caller: &Caller,
    request: pb::ListPrescriptionsRequest,
) -> Result<pb::ListPrescriptionsResponse> {
    let patient = request.patient_id.as_deref();
    let patient = patient.map(|id| PatientId::from_wire("patient_id", id)).transpose()?;
    let account = caller.require_account()?;
    let filter = patient.map_or(Vec::new(), |patient| patient.0.as_bytes().to_vec());
    let page = app.pages.open::<PrescriptionId>(&PageRequest {
        list: "prescriptions",
        page_size: request.page_size,
        page_token: &request.page_token,
        bound_to: &[&filter, account.0.as_bytes()],
    })?;
    let scope = Scope::visible_to(caller);
    let (before, limit) = (page.after, page.limit);
    let (rows, mut items) = app
        .db
        .transaction(async |conn: &mut Conn| {
            let rows = scope.list(conn, patient, before, limit + 1).await?;
            let shown = &rows[..rows.len().min(usize::try_from(limit).unwrap_or(0))];
            let ids: Vec<PrescriptionId> = shown.iter().map(|row| row.id).collect();
            let items = rows::items_of(conn, ids).await?;
            audit::record(app, conn, caller, access(scope, patient, shown)).await?;
            Ok((rows, items))
        })
        .await?;
    let (rows, next_page_token) = page.close(rows, |row| row.id)?;
    let prescriptions = rows.into_iter().map(|row| {
        let items = items.remove(&row.id).unwrap_or_default();
        row.with_items(items)
    });
    Ok(pb::ListPrescriptionsResponse { prescriptions: prescriptions.collect(), next_page_token })
}

/// What a page shows: of which patient if it is one, and by which rules.
fn access(scope: Scope, asked: Option<PatientId>, shown: &[PrescriptionRow]) -> Access {
    let first = shown.first().map(|row| row.patient);
    let one = first.filter(|first| shown.iter().all(|row| row.patient == *first));
    let mut rules: Vec<&'static str> = shown.iter().map(|row| scope.rule(row)).collect();
    rules.sort_unstable();
    rules.dedup();
    Access {
        patient: asked.or(one),
        data_types: vec![DataType::Prescription],
        records: shown.iter().map(|row| row.id.0).collect(),
        rule: match rules.as_slice() {
            [] => "nothing_shown",
            [rule] => rule,
            ["own_record", "prescriber"] => "own_record,prescriber",
            ["own_record", "staff"] => "own_record,staff",
            ["prescriber", "staff"] => "prescriber,staff",
            _ => "own_record,prescriber,staff",
        },
    }
}
