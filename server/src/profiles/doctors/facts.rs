//! What other rooms may know of a doctor.

use std::collections::HashMap;

use clinicd_proto::profiles::v1 as pb;

use super::rows;
use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::kinds::{ConsultationMode, DoctorId};
use crate::profiles::address::printed;

/// A doctor, for other rooms.
#[derive(Debug, Clone, PartialEq)]
pub struct DoctorFacts {
    /// The doctor's id, which is the account's id.
    pub id: DoctorId,
    /// Given names.
    pub given_name: String,
    /// Family name; may be empty.
    pub family_name: String,
    /// Qualification, such as "MBBS, MD".
    pub qualification: String,
    /// English name of the specialty.
    pub specialty_name: String,
    /// Registration number with the council.
    pub registration_number: String,
    /// The council.
    pub registration_council: String,
    /// Name of the clinic; may be empty.
    pub clinic_name: String,
    /// The clinic's address as lines to print, without the country; empty when there is none.
    pub clinic_address: Vec<String>,
    /// Mobile number (E.164). Never public.
    pub mobile: String,
    /// New bookings are taken.
    pub available_for_booking: bool,
    /// Per offered mode the currency and the fee in its minor units.
    pub fees: Vec<(ConsultationMode, String, i64)>,
}

/// The doctor with this id.
pub async fn doctor(conn: &mut Conn, id: DoctorId) -> Result<Option<DoctorFacts>> {
    let Some(row) = rows::find(conn, id).await? else { return Ok(None) };
    let fees = rows::fees(conn, &[id]).await?;
    let address = row.clinic_address();
    Ok(Some(DoctorFacts {
        id,
        clinic_address: address.as_ref().map(printed).unwrap_or_default(),
        given_name: row.given_name,
        family_name: row.family_name,
        qualification: row.qualification,
        specialty_name: row.specialty_name,
        registration_number: row.registration_number,
        registration_council: row.registration_council,
        clinic_name: row.clinic_name,
        mobile: row.mobile,
        available_for_booking: row.available_for_booking,
        fees: fees.into_iter().map(|fee| (fee.mode, fee.currency, fee.minor_units)).collect(),
    }))
}

/// The fees of several doctors as the public sees them, in one query.
pub async fn public_fees(
    conn: &mut Conn,
    doctors: &[DoctorId],
) -> Result<HashMap<DoctorId, Vec<pb::Fee>>> {
    let mut fees: HashMap<DoctorId, Vec<pb::Fee>> = HashMap::new();
    for row in rows::fees(conn, doctors).await? {
        fees.entry(row.doctor).or_default().push(row.into());
    }
    Ok(fees)
}
