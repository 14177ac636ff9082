//! Calling an appointment off.

use clinicd_proto::appointments::v1 as pb;

use super::rows;
use super::rules::{self, Step};
use super::visits::{event, take};
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::{AppointmentId, Role};

/// A patient cancels up to the hours that the clinic sets; the doctor and staff at any time before
/// the visit begins. Staff who are the patient cancel as the patient.
pub(super) async fn cancel(
    app: &App,
    caller: &Caller,
    request: pb::CancelAppointmentRequest,
) -> Result<pb::CancelAppointmentResponse> {
    let id = AppointmentId::from_wire("appointment_id", &request.appointment_id)?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let row = rows::find_visible(conn, caller, id).await?;
        let own = Some(row.patient_account) == caller.account();
        let staff = caller.is(Role::Operator) || caller.is_admin();
        let doctor = caller.as_doctor() == Some(row.doctor_id);
        let as_patient = own || !(staff || doctor);
        let hours = app.config.cancellation_hours;
        let late = !rules::patient_may_cancel(row.starts_at, app.clock.now(), hours);
        // What cannot be cancelled at all says so first.
        if as_patient && late && rules::after(row.state, Step::Cancel).is_some() {
            return Err(Error::of(Reason::CancellationTooLate).with("hours", hours));
        }
        let row =
            take(app, conn, caller, row, Step::Cancel, &request.etag, &request.reason).await?;
        app.events.emit(conn, event("appointment.cancelled", &row)).await?;
        Ok(pb::CancelAppointmentResponse { appointment: Some(row.into()) })
    })
    .await
}
