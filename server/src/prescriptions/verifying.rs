//! Telling anyone who holds a printed code whether the prescription is ours.

use clinicd_proto::prescriptions::v1 as pb;
use clinicd_proto::r#type::v1::PersonName;

use super::{codes, rows};
use crate::app::App;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::Day;

/// Shows who issued the prescription and when, and nothing of its content or its patient. A code
/// that was not made here is `NOT_FOUND`.
pub(super) async fn verify(
    app: &App,
    request: pb::VerifyPrescriptionRequest,
) -> Result<pb::VerifyPrescriptionResponse> {
    let unknown = || Error::not_found("prescription");
    let id = codes::prescription_of(&app.keys.macs, &request.code).ok_or_else(unknown)?;
    let mut conn = app.db.read().await?;
    let row = rows::find_any(&mut conn, id).await?.ok_or_else(unknown)?;
    let printed = row.printed()?;
    Ok(pb::VerifyPrescriptionResponse {
        state: pb::PrescriptionState::Issued.into(),
        number: row.number,
        issue_date: Some(Day(printed.issue_date).into()),
        prescriber_name: Some(PersonName {
            given: printed.prescriber.given_name,
            family: printed.prescriber.family_name,
        }),
        registration_number: printed.prescriber.registration_number,
    })
}
