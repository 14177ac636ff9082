//! Saving a step of the caller's application.

use clinicd_proto::onboarding::v1::{self as pb, save_application_step_request::Step as Sent};
use diesel_async::RunQueryDsl;

use super::applying::emit;
use super::rows::{
    self, ApplicationId, ApplicationRow, SaveClinic, SaveDeclaration, SavePersonal,
    SaveProfessional,
};
use super::rules::{self, Action};
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::{Error, Faults, Result};
use crate::kernel::kinds::{Day, Time};
use crate::kernel::phone;
use crate::kernel::text::{line, required_line};
use crate::{directory, profiles};

/// Saves one step as a whole. What the reviewer asked for in it counts as done.
pub(super) async fn save(
    app: &App,
    caller: &Caller,
    request: pb::SaveApplicationStepRequest,
) -> Result<pb::SaveApplicationStepResponse> {
    let account = caller.require_account()?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let row = ApplicationRow::lock_latest(conn, account).await?;
        rules::next(row.status, Action::Edit)?;
        let now = app.clock.now();
        match &request.step {
            Some(Sent::Personal(step)) => save_personal(conn, row.id, now, step).await?,
            Some(Sent::Professional(step)) => save_professional(conn, row.id, now, step).await?,
            Some(Sent::Clinic(step)) => save_clinic(conn, row.id, now, step).await?,
            Some(Sent::Declaration(step)) => {
                let save = SaveDeclaration { id: row.id, now, declared: step.accepted };
                save.execute(conn).await?;
            }
            None => return Err(Error::field("step", "must be set")),
        }
        emit(app, conn, "application.updated", row.id, account).await?;
        let application = Some(rows::reload(conn, row.id).await?);
        Ok(pb::SaveApplicationStepResponse { application })
    })
    .await
}

async fn save_personal(
    conn: &mut Conn,
    id: ApplicationId,
    now: Time,
    step: &pb::PersonalStep,
) -> Result<()> {
    let (name, mut faults) = (step.name.clone().unwrap_or_default(), Faults::default());
    let save = SavePersonal {
        id,
        now,
        given_name: faults.keep(required_line("personal.name.given", &name.given)),
        family_name: faults.keep(line("personal.name.family", &name.family)),
        mobile: faults.keep(phone::e164("personal.mobile", &step.mobile)),
        birth_date: faults.keep(step.birth_date.map(|date| birth_date(date, now)).transpose()),
    };
    faults.check()?;
    save.execute(conn).await?;
    Ok(())
}

fn birth_date(date: clinicd_proto::r#type::v1::Date, now: Time) -> Result<Day> {
    let refused = || Error::field("personal.birth_date", "must be a day of the last 120 years");
    let day = Day::try_from(date).map_err(|_| refused())?;
    let today = now.timestamp().to_zoned(jiff::tz::TimeZone::UTC).date();
    if rules::is_plausible_birth(day.0, today) { Ok(day) } else { Err(refused()) }
}

async fn save_professional(
    conn: &mut Conn,
    id: ApplicationId,
    now: Time,
    step: &pb::ProfessionalStep,
) -> Result<()> {
    let mut faults = Faults::default();
    if !directory::specialty_exists(conn, &step.specialty_code).await? {
        let remedy = "must be a code from DirectoryService.ListSpecialties";
        faults.add(Error::field("professional.specialty_code", remedy));
    }
    let (number, council) = (&step.registration_number, &step.registration_council);
    let save = SaveProfessional {
        id,
        now,
        specialty_code: step.specialty_code.clone(),
        registration_number: faults.keep(required_line("professional.registration_number", number)),
        registration_council: faults
            .keep(required_line("professional.registration_council", council)),
        years_of_experience: step.years_of_experience,
        qualification: faults.keep(line("professional.qualification", &step.qualification)),
    };
    faults.check()?;
    save.execute(conn).await?;
    Ok(())
}

async fn save_clinic(
    conn: &mut Conn,
    id: ApplicationId,
    now: Time,
    step: &pb::ClinicStep,
) -> Result<()> {
    let mut faults = Faults::default();
    let name = faults.keep(required_line("clinic.name", &step.name));
    let address = step.address.clone().unwrap_or_default();
    let address = faults.keep(profiles::clean_address("clinic.address", &address));
    faults.check()?;
    let save = SaveClinic {
        id,
        now,
        name,
        lines: List(address.lines),
        city: address.city,
        region: address.region,
        postal_code: address.postal_code,
        country_code: address.country_code,
    };
    save.execute(conn).await?;
    Ok(())
}
