//! Verifying the chain on demand. `clinicd audit verify` does the same beside the server.

use clinicd_proto::audit::v1 as pb;

use crate::app::App;
use crate::kernel::audit::verify;
use crate::kernel::error::Result;

pub(super) async fn verify(app: &App) -> Result<pb::VerifyAuditChainResponse> {
    let folder = app.config.audit_dir();
    let mut conn = app.db.read().await?;
    let report = verify::verify(&mut conn, &app.keys.macs, &folder, app.clock.now()).await?;
    let (entry, what) = match report.fault {
        Some(fault) => (fault.entry, fault.what),
        None => (None, ""),
    };
    Ok(pb::VerifyAuditChainResponse {
        whole: what.is_empty(),
        checked_entries: report.checked,
        first_bad_entry_id: entry.map(|id| id.to_string()).unwrap_or_default(),
        fault: what.to_owned(),
    })
}
