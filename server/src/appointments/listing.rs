//! Listing appointments.

use diesel_async::RunQueryDsl;
use prost::Message;
use uuid::Uuid;

use clinicd_proto::appointments::v1 as pb;

use super::query::{Count, Filter, Matching, Order, Page};
use super::rows::{Appointment, AppointmentState};
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::{AppointmentId, DoctorId, PatientId, Time};
use crate::kernel::page::{Direction, PageRequest, parse_order};

/// Key of the last row of a page: start in microseconds, id.
type Key = (i64, Uuid);

/// The appointments that the caller may see.
pub(super) async fn list(
    app: &App,
    caller: &Caller,
    request: pb::ListAppointmentsRequest,
) -> Result<pb::ListAppointmentsResponse> {
    let account = caller.require_account()?;
    let (order, direction) = order(&request.order_by)?;
    let matching = Matching::new(caller, filter(&request)?)?;
    let bound = pb::ListAppointmentsRequest {
        page_size: 0,
        page_token: String::new(),
        include_total: false,
        ..request.clone()
    };
    let page = app.pages.open::<Key>(&PageRequest {
        list: "appointments",
        page_size: request.page_size,
        page_token: &request.page_token,
        bound_to: &[&bound.encode_to_vec(), account.0.as_bytes()],
    })?;
    let mut conn = app.db.read().await?;
    let after = page.after.map(last_of_page).transpose()?;
    let limit = page.limit + 1;
    let query = Page { matching: matching.clone(), order, direction, after, limit };
    let found: Vec<Appointment> = query.get_results(&mut conn).await?;
    let (found, next_page_token) =
        page.close(found, |row| (row.starts_at.unix_micros(), row.id.0))?;
    let mut total_size = None;
    if request.include_total {
        total_size = Some(Count(matching).get_result(&mut conn).await?);
    }
    let appointments = found.into_iter().map(Into::into).collect();
    Ok(pb::ListAppointmentsResponse { appointments, next_page_token, total_size })
}

/// The one field that the list is ordered by.
fn order(order_by: &str) -> Result<(Order, Direction)> {
    match parse_order(order_by, &["id", "start_time"])?.as_slice() {
        [("id", direction)] => Ok((Order::Id, *direction)),
        [("start_time", direction)] => Ok((Order::Start, *direction)),
        _ => Err(Error::field("order_by", "must name one field, \"id\" or \"start_time\"")),
    }
}

fn filter(request: &pb::ListAppointmentsRequest) -> Result<Filter> {
    let state = request.state.map(|state| {
        AppointmentState::from_wire(state)
            .ok_or_else(|| Error::field("state", "must be a known state"))
    });
    let doctor = request.doctor_id.as_deref().map(|id| DoctorId::from_wire("doctor_id", id));
    let patient = request.patient_id.as_deref().map(|id| PatientId::from_wire("patient_id", id));
    Ok(Filter {
        state: state.transpose()?,
        doctor: doctor.transpose()?,
        patient: patient.transpose()?,
        from: instant("start_from", request.start_from)?,
        before: instant("start_before", request.start_before)?,
    })
}

fn last_of_page((start, id): Key) -> Result<(Time, AppointmentId)> {
    let start = Time::from_unix_micros(start).ok_or_else(|| Error::internal("a page key"))?;
    Ok((start, AppointmentId(id)))
}

fn instant(field: &'static str, time: Option<prost_types::Timestamp>) -> Result<Option<Time>> {
    let Some(time) = time else { return Ok(None) };
    let time = Time::try_from(time);
    time.map(Some).map_err(|_| Error::field(field, "must be an instant of the calendar"))
}
