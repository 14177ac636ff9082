//! Listing appointments.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use prost::Message;
use uuid::Uuid;

use clinicd_proto::appointments::v1 as pb;

use super::rows::{self, Appointment, AppointmentState, Condition};
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::{AppointmentId, DoctorId, PatientId, Time};
use crate::kernel::page::{Direction, PageRequest, parse_order};
use crate::schema::{appointments, doctors, patients};

/// Key of the last row of a page: start in microseconds (0 when ordered by id), id.
type Key = (i64, Uuid);

/// The appointments that the caller may see.
pub(super) async fn list(
    app: &App,
    caller: &Caller,
    request: pb::ListAppointmentsRequest,
) -> Result<pb::ListAppointmentsResponse> {
    let account = caller.require_account()?;
    let (by, direction) = order(&request.order_by)?;
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
    let mut query = Appointment::query().into_boxed().limit(page.limit + 1);
    for condition in conditions(caller, &request)? {
        query = query.filter(condition);
    }
    if let Some((start, id)) = page.after {
        query = query.filter(behind(by, direction, start, AppointmentId(id))?);
    }
    query = match (by, direction) {
        ("start_time", Direction::Ascending) => {
            query.order((appointments::starts_at.asc(), appointments::id.asc()))
        }
        ("start_time", Direction::Descending) => {
            query.order((appointments::starts_at.desc(), appointments::id.desc()))
        }
        (_, Direction::Ascending) => query.order(appointments::id.asc()),
        (_, Direction::Descending) => query.order(appointments::id.desc()),
    };
    let found: Vec<Appointment> = query.load(&mut conn).await?;
    let (found, next_page_token) =
        page.close(found, |row| (row.starts_at.unix_micros(), row.id.0))?;
    let mut total_size = None;
    if request.include_total {
        let mut count = appointments::table
            .inner_join(doctors::table)
            .inner_join(patients::table)
            .count()
            .into_boxed();
        for condition in conditions(caller, &request)? {
            count = count.filter(condition);
        }
        total_size = Some(count.get_result(&mut conn).await?);
    }
    let appointments = found.into_iter().map(Into::into).collect();
    Ok(pb::ListAppointmentsResponse { appointments, next_page_token, total_size })
}

/// The one field that the list is ordered by; rows that are equal in it follow their ids.
fn order(order_by: &str) -> Result<(&'static str, Direction)> {
    match parse_order(order_by, &["id", "start_time"])?.as_slice() {
        [order] => Ok(*order),
        _ => Err(Error::field("order_by", "must name one field, \"id\" or \"start_time\"")),
    }
}

/// What the caller may see, narrowed by the filters.
fn conditions(caller: &Caller, request: &pb::ListAppointmentsRequest) -> Result<Vec<Condition>> {
    let mut conditions = vec![rows::visible_to(caller)?];
    if let Some(state) = request.state {
        let state = AppointmentState::from_wire(state)
            .ok_or_else(|| Error::field("state", "must be a known state"))?;
        conditions.push(Box::new(appointments::state.eq(state)));
    }
    if let Some(doctor) = &request.doctor_id {
        let doctor = DoctorId::from_wire("doctor_id", doctor)?;
        conditions.push(Box::new(appointments::doctor_id.eq(doctor)));
    }
    if let Some(patient) = &request.patient_id {
        let patient = PatientId::from_wire("patient_id", patient)?;
        conditions.push(Box::new(appointments::patient_id.eq(patient)));
    }
    if let Some(from) = instant("start_from", request.start_from)? {
        conditions.push(Box::new(appointments::starts_at.ge(from)));
    }
    if let Some(before) = instant("start_before", request.start_before)? {
        conditions.push(Box::new(appointments::starts_at.lt(before)));
    }
    Ok(conditions)
}

/// The rows behind the last one of the page before.
fn behind(by: &str, direction: Direction, start: i64, id: AppointmentId) -> Result<Condition> {
    use appointments::{id as row_id, starts_at};
    let start = Time::from_unix_micros(start).ok_or_else(|| Error::internal("a page key"))?;
    Ok(match (by, direction) {
        ("start_time", Direction::Ascending) => {
            Box::new(starts_at.gt(start).or(starts_at.eq(start).and(row_id.gt(id))))
        }
        ("start_time", Direction::Descending) => {
            Box::new(starts_at.lt(start).or(starts_at.eq(start).and(row_id.lt(id))))
        }
        (_, Direction::Ascending) => Box::new(row_id.gt(id)),
        (_, Direction::Descending) => Box::new(row_id.lt(id)),
    })
}

fn instant(field: &'static str, time: Option<prost_types::Timestamp>) -> Result<Option<Time>> {
    let Some(time) = time else { return Ok(None) };
    let time = Time::try_from(time);
    time.map(Some).map_err(|_| Error::field(field, "must be an instant of the calendar"))
}
