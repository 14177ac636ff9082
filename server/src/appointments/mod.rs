//! Availability, booking and visits.
//!
//! **Owns** `schedules`, `schedule_rules` and `appointments`.
//!
//! **Guarantees.** Two live appointments of one doctor, buffers included, or of one patient never
//! overlap (G1): the exclusion constraints `appointments_doctor_free` and
//! `appointments_patient_free` refuse the second, whatever the code path or replica. Free slots
//! are computed from the weekly rules minus live appointments, and never stored. A change of the
//! schedule touches no booking.
//!
//! **Events.** `schedule.replaced`, `appointment.booked`, `appointment.visit_started`,
//! `appointment.completed`, `appointment.cancelled`.

mod availability;
mod booking;
mod cancelling;
mod facts;
pub mod jobs;
mod listing;
mod live;
mod query;
pub mod reminders;
mod rows;
mod rules;
mod schedules;
mod service;
mod snapshot;
mod visits;
mod weekly_rules;

use std::collections::HashMap;

pub use live::{require_none_live, require_none_live_of_doctor};
pub use service::Service;
pub use snapshot::{appointment_ids, schedule_ids};

use crate::app::App;
use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::kinds::{AppointmentId, DoctorId, PatientId, Time};

/// What other rooms may know of a visit.
#[derive(Debug, Clone)]
pub struct Visit {
    /// The appointment.
    pub id: AppointmentId,
    /// Its doctor.
    pub doctor: DoctorId,
    /// Its patient.
    pub patient: PatientId,
    /// When it begins.
    pub starts_at: Time,
    /// IANA zone of the doctor's schedule.
    pub time_zone: String,
    /// It is in consultation or completed: there may be notes and prescriptions.
    pub begun: bool,
}

/// A visit, whoever asks; the asking room decides who may know of it.
pub async fn visit(conn: &mut Conn, id: AppointmentId) -> Result<Option<Visit>> {
    rows::visit(conn, id).await
}

/// The next free slot of each of these doctors in any mode, within their booking horizons: start
/// and end. Doctors without one are absent. Four queries, however many doctors.
pub async fn next_free_slots(
    app: &App,
    conn: &mut Conn,
    doctors: &[DoctorId],
) -> Result<HashMap<DoctorId, (Time, Time)>> {
    availability::next_free_slots(app, conn, doctors).await
}
