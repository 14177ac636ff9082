//! STUB of the onboarding branch, so that it compiles; the real room replaces this file.
#![expect(missing_docs, reason = "stub")]

use crate::app::App;
use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::kinds::DoctorId;

pub struct NewDoctor {
    pub id: DoctorId,
    pub given_name: String,
    pub family_name: String,
    pub mobile: String,
    pub specialty_code: String,
    pub registration_number: String,
    pub registration_council: String,
    pub years_of_experience: i32,
    pub qualification: String,
    pub clinic_name: String,
    pub clinic_lines: Vec<String>,
    pub clinic_city: String,
    pub clinic_region: String,
    pub clinic_postal_code: String,
    pub clinic_country_code: String,
}

#[expect(clippy::unused_async, reason = "stub")]
pub async fn create_doctor(_app: &App, _conn: &mut Conn, _doctor: NewDoctor) -> Result<()> {
    Ok(())
}
