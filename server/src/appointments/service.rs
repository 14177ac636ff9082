//! The three services of the room.

use tonic::{Request, Response, Status};

use clinicd_proto::appointments::v1 as pb;
use pb::appointment_service_server::AppointmentService;
use pb::availability_service_server::AvailabilityService;
use pb::schedule_service_server::ScheduleService;

use super::{availability, booking, cancelling, listing, rows, schedules, visits};
use crate::app::App;
use crate::kernel::access::enter;
use crate::kernel::kinds::AppointmentId;

/// The services.
#[derive(Clone)]
pub struct Service {
    /// The application.
    pub app: App,
}

#[tonic::async_trait]
impl ScheduleService for Service {
    async fn get_schedule(
        &self,
        request: Request<pb::GetScheduleRequest>,
    ) -> Result<Response<pb::GetScheduleResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(schedules::get(&self.app, &caller, request).await?))
    }

    async fn replace_weekly_rules(
        &self,
        request: Request<pb::ReplaceWeeklyRulesRequest>,
    ) -> Result<Response<pb::ReplaceWeeklyRulesResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(schedules::replace(&self.app, &caller, request).await?))
    }
}

#[tonic::async_trait]
impl AvailabilityService for Service {
    async fn list_slots(
        &self,
        request: Request<pb::ListSlotsRequest>,
    ) -> Result<Response<pb::ListSlotsResponse>, Status> {
        let (_, request) = enter(request)?;
        Ok(Response::new(availability::list_slots(&self.app, request).await?))
    }

    async fn get_next_free_slot(
        &self,
        request: Request<pb::GetNextFreeSlotRequest>,
    ) -> Result<Response<pb::GetNextFreeSlotResponse>, Status> {
        let (_, request) = enter(request)?;
        Ok(Response::new(availability::next_free_slot(&self.app, request).await?))
    }
}

#[tonic::async_trait]
impl AppointmentService for Service {
    async fn book_appointment(
        &self,
        request: Request<pb::BookAppointmentRequest>,
    ) -> Result<Response<pb::BookAppointmentResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(booking::book(&self.app, &caller, request).await?))
    }

    async fn get_appointment(
        &self,
        request: Request<pb::GetAppointmentRequest>,
    ) -> Result<Response<pb::GetAppointmentResponse>, Status> {
        let (caller, request) = enter(request)?;
        let id = AppointmentId::from_wire("appointment_id", &request.appointment_id)?;
        let mut conn = self.app.db.read().await?;
        let row = rows::find_visible(&mut conn, &caller, id).await?;
        Ok(Response::new(pb::GetAppointmentResponse { appointment: Some(row.into()) }))
    }

    async fn list_appointments(
        &self,
        request: Request<pb::ListAppointmentsRequest>,
    ) -> Result<Response<pb::ListAppointmentsResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(listing::list(&self.app, &caller, request).await?))
    }

    async fn start_visit(
        &self,
        request: Request<pb::StartVisitRequest>,
    ) -> Result<Response<pb::StartVisitResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(visits::start(&self.app, &caller, request).await?))
    }

    async fn complete_appointment(
        &self,
        request: Request<pb::CompleteAppointmentRequest>,
    ) -> Result<Response<pb::CompleteAppointmentResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(visits::complete(&self.app, &caller, request).await?))
    }

    async fn cancel_appointment(
        &self,
        request: Request<pb::CancelAppointmentRequest>,
    ) -> Result<Response<pb::CancelAppointmentResponse>, Status> {
        let (caller, request) = enter(request)?;
        Ok(Response::new(cancelling::cancel(&self.app, &caller, request).await?))
    }
}
