//! A doctor comes into being when the application is approved.

use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;

use super::index::Searched;
use crate::app::App;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::events::{Event, ResourceKind};
use crate::kernel::kinds::{DoctorId, Time};
use crate::statement;

/// What an approved application says. Text is clean already.
#[derive(Debug, Clone)]
pub struct NewDoctor {
    /// The account's id.
    pub id: DoctorId,
    /// Given names.
    pub given_name: String,
    /// Family name; empty for people who have none.
    pub family_name: String,
    /// Mobile number (E.164). Never public.
    pub mobile: String,
    /// Code of an existing specialty.
    pub specialty_code: String,
    /// Registration number with the council.
    pub registration_number: String,
    /// The council.
    pub registration_council: String,
    /// Years of practice.
    pub years_of_experience: i32,
    /// Qualification, such as "MBBS, MD".
    pub qualification: String,
    /// Name of the clinic; may be empty.
    pub clinic_name: String,
    /// Street lines of the clinic.
    pub clinic_lines: Vec<String>,
    /// City of the clinic; empty when there is no address.
    pub clinic_city: String,
    /// State or region of the clinic.
    pub clinic_region: String,
    /// Postal code of the clinic.
    pub clinic_postal_code: String,
    /// ISO 3166-1 alpha-2 country of the clinic.
    pub clinic_country_code: String,
}

statement! {
    /// Adds a doctor, with the text that the directory searches. Who was one and left comes back
    /// under the same id; nothing happens to who is one.
    InsertDoctor {
        id: DoctorId, given_name: String, family_name: String, mobile: String,
        specialty_code: String, registration_number: String, registration_council: String,
        years_of_experience: i32, qualification: String, clinic_name: String,
        clinic_lines: List<String>, clinic_city: String, clinic_region: String,
        clinic_postal_code: String, clinic_country_code: String, now: Time, search_text: String,
    },
    "INSERT INTO doctors (id, given_name, family_name, mobile, specialty_code, \
        registration_number, registration_council, years_of_experience, qualification, \
        clinic_name, clinic_lines, clinic_city, clinic_region, clinic_postal_code, \
        clinic_country_code, created_at, updated_at, search_text) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16, $17) \
     ON CONFLICT (id) DO UPDATE SET given_name = $2, family_name = $3, mobile = $4, \
        specialty_code = $5, registration_number = $6, registration_council = $7, \
        years_of_experience = $8, qualification = $9, clinic_name = $10, clinic_lines = $11, \
        clinic_city = $12, clinic_region = $13, clinic_postal_code = $14, \
        clinic_country_code = $15, updated_at = $16, search_text = $17, closed_at = NULL, \
        available_for_booking = true, version = doctors.version + 1 \
     WHERE doctors.closed_at IS NOT NULL";

    /// The name of a specialty.
    SpecialtyName { code: String } -> Text, "SELECT name FROM specialties WHERE code = $1";
}

/// Makes an account a doctor, in the transaction of the approval; who left the staff becomes one
/// again. The role is granted elsewhere.
pub async fn create_doctor(app: &App, conn: &mut Conn, doctor: NewDoctor) -> Result<()> {
    let id = doctor.id;
    let specialty_name: String =
        SpecialtyName { code: doctor.specialty_code.clone() }.get_result(conn).await?;
    let searched = Searched {
        given_name: &doctor.given_name,
        family_name: &doctor.family_name,
        specialty_name: &specialty_name,
        qualification: &doctor.qualification,
        clinic_name: &doctor.clinic_name,
        clinic_city: &doctor.clinic_city,
    };
    let search_text = searched.index(conn).await?;
    let insert = InsertDoctor {
        id,
        given_name: doctor.given_name,
        family_name: doctor.family_name,
        mobile: doctor.mobile,
        specialty_code: doctor.specialty_code,
        registration_number: doctor.registration_number,
        registration_council: doctor.registration_council,
        years_of_experience: doctor.years_of_experience,
        qualification: doctor.qualification,
        clinic_name: doctor.clinic_name,
        clinic_lines: List(doctor.clinic_lines),
        clinic_city: doctor.clinic_city,
        clinic_region: doctor.clinic_region,
        clinic_postal_code: doctor.clinic_postal_code,
        clinic_country_code: doctor.clinic_country_code,
        now: app.clock.now(),
        search_text,
    };
    if insert.execute(conn).await? == 0 {
        return Err(Error::of(Reason::AlreadyExists).with("resource", "doctor"));
    }
    app.events.emit(conn, changed("doctor.created", id)).await
}

/// The event of a change of this doctor.
pub(in crate::profiles) fn changed(event_type: &'static str, doctor: DoctorId) -> Event {
    Event {
        event_type,
        kind: ResourceKind::Doctor,
        resource: doctor.0,
        account: None,
        patient: None,
        doctor: Some(doctor),
    }
}
