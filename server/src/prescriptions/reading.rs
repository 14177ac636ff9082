//! Reading prescriptions. Nothing leaves before its audit entries are committed.

use std::collections::BTreeMap;

use clinicd_proto::prescriptions::v1 as pb;
use uuid::Uuid;

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
    let row = scope.open(app, caller, id).await?;
    let mut conn = app.db.read().await?;
    // Nothing of a prescription ever changes, so its items need not be of the same moment.
    let items = rows::items_of(&mut conn, vec![id]).await?.remove(&id).unwrap_or_default();
    Ok((row, items))
}

/// Lists what the caller may see, newest first. Each patient on the page gets an audit entry, which
/// names the own records; a page without any is logged as one.
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
            for access in accesses(scope, patient, shown) {
                audit::record(app, conn, caller, access).await?;
            }
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

/// What a page shows, patient by patient. `asked` is the patient of the filter.
fn accesses(scope: Scope, asked: Option<PatientId>, shown: &[PrescriptionRow]) -> Vec<Access> {
    let access = |patient, records, rule| Access {
        patient,
        data_types: vec![DataType::Prescription],
        records,
        rule,
    };
    if shown.is_empty() {
        return vec![access(asked, Vec::new(), "nothing_shown")];
    }
    let mut records: BTreeMap<_, Vec<Uuid>> = BTreeMap::new();
    for row in shown {
        records.entry((row.patient, scope.rule(row))).or_default().push(row.id.0);
    }
    let records = records.into_iter();
    records.map(|((patient, rule), ids)| access(Some(patient), ids, rule)).collect()
}
