//! Live visits, which stand in the way of closing an account.

use diesel_async::RunQueryDsl;

use super::rows::{LiveOf, LiveOfDoctor};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::{AccountId, AppointmentId, DoctorId};

/// Most bookings that a refusal names: what is told with a status has to fit into its trailers.
const NAMED: i64 = 25;

/// The id, whether it is the doctor's own visit, and how many there are.
type Live = (AppointmentId, bool, i64);

/// Refuses when the account has live visits, as doctor or as patient, dependants included.
pub async fn require_none_live(conn: &mut Conn, account: AccountId) -> Result<()> {
    let live: Vec<Live> = LiveOf { account, limit: NAMED }.get_results(conn).await?;
    refuse(&live)
}

/// Refuses when the doctor has live visits.
pub async fn require_none_live_of_doctor(conn: &mut Conn, doctor: DoctorId) -> Result<()> {
    let live: Vec<Live> = LiveOfDoctor { doctor, limit: NAMED }.get_results(conn).await?;
    refuse(&live)
}

fn refuse(live: &[Live]) -> Result<()> {
    let Some((_, _, count)) = live.first() else { return Ok(()) };
    let mut refusal = Error::of(Reason::LiveBookings).with("count", count);
    for (id, as_doctor, _) in live {
        let what = if *as_doctor { "a visit of the doctor" } else { "a visit of the patient" };
        refusal = refusal.missing(format!("appointment/{id}"), what);
    }
    Err(refusal)
}
