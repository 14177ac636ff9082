//! The steps of a visit: begun and ended by its doctor.

use diesel_async::RunQueryDsl;

use clinicd_proto::appointments::v1 as pb;

use super::rows::{self, Appointment, TakeStep};
use super::rules::{self, Step};
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::events::{Event, ResourceKind};
use crate::kernel::kinds::AppointmentId;

/// The doctor begins the visit.
pub(super) async fn start(
    app: &App,
    caller: &Caller,
    request: pb::StartVisitRequest,
) -> Result<pb::StartVisitResponse> {
    let id = AppointmentId::from_wire("appointment_id", &request.appointment_id)?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let row = of_doctor(conn, caller, id).await?;
        let earliest = row.starts_at.plus_seconds(-rules::BEGIN_EARLY_SECONDS);
        if app.clock.now() < earliest {
            return Err(Error::of(Reason::WrongState).with("state", row.state.as_str()));
        }
        let row = take(app, conn, caller, row, Step::Begin, &request.etag, "").await?;
        app.events.emit(conn, event("appointment.visit_started", &row)).await?;
        Ok(pb::StartVisitResponse { appointment: Some(row.into()) })
    })
    .await
}

/// The doctor ends the visit.
pub(super) async fn complete(
    app: &App,
    caller: &Caller,
    request: pb::CompleteAppointmentRequest,
) -> Result<pb::CompleteAppointmentResponse> {
    let id = AppointmentId::from_wire("appointment_id", &request.appointment_id)?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let row = of_doctor(conn, caller, id).await?;
        let row = take(app, conn, caller, row, Step::Complete, &request.etag, "").await?;
        app.events.emit(conn, event("appointment.completed", &row)).await?;
        Ok(pb::CompleteAppointmentResponse { appointment: Some(row.into()) })
    })
    .await
}

/// The appointment, if the caller is its doctor or an admin who stands in. A doctor who is its
/// patient may see it, but not act on it as its doctor.
async fn of_doctor(conn: &mut Conn, caller: &Caller, id: AppointmentId) -> Result<Appointment> {
    let row = rows::find_visible(conn, caller, id).await?;
    if caller.as_doctor() == Some(row.doctor_id) {
        return Ok(row);
    }
    if Some(row.patient_account) == caller.account() {
        return Err(Error::of(Reason::OwnRecord));
    }
    if caller.is_admin() { Ok(row) } else { Err(Error::not_found("appointment")) }
}

/// Takes a step of the one table of transitions, unless the appointment changed meanwhile.
pub(super) async fn take(
    app: &App,
    conn: &mut Conn,
    caller: &Caller,
    row: Appointment,
    step: Step,
    etag: &str,
    reason: &str,
) -> Result<Appointment> {
    if row.version.to_string() != etag {
        return Err(Error::of(Reason::EtagMismatch));
    }
    let Some(state) = rules::after(row.state, step) else {
        return Err(Error::of(Reason::WrongState).with("state", row.state.as_str()));
    };
    let (id, version, now) = (row.id, row.version, app.clock.now());
    let taken =
        TakeStep { id, version, state, reason: reason.to_owned(), now }.execute(conn).await?;
    if taken == 0 {
        return Err(Error::of(Reason::EtagMismatch));
    }
    rows::find_visible(conn, caller, id).await
}

pub(super) fn event(event_type: &'static str, row: &Appointment) -> Event {
    Event {
        event_type,
        kind: ResourceKind::Appointment,
        resource: row.id.0,
        account: None,
        patient: Some(row.patient_id),
        doctor: Some(row.doctor_id),
    }
}
