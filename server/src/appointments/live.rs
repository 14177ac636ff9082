//! Live visits, which stand in the way of closing an account.

use diesel_async::RunQueryDsl;

use super::rows::{LiveOf, LiveOfDoctor};
use crate::app::App;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::{AccountId, AppointmentId, DoctorId, Time};

/// Most bookings that a refusal names: what is told with a status has to fit into its trailers.
const NAMED: i64 = 25;

/// Seconds after its end from which a visit that nobody began is not live any more.
const FORGOTTEN_AFTER: i64 = 24 * 60 * 60;

/// The id, whether it is the doctor's own visit, and how many there are.
type Live = (AppointmentId, bool, i64);

/// Refuses when the account has live visits, as doctor or as patient, dependants included.
pub async fn require_none_live(app: &App, conn: &mut Conn, account: AccountId) -> Result<()> {
    let query = LiveOf { account, limit: NAMED, since: since(app) };
    let live: Vec<Live> = query.get_results(conn).await?;
    refuse(&live)
}

/// Refuses when the doctor has live visits.
pub async fn require_none_live_of_doctor(
    app: &App,
    conn: &mut Conn,
    doctor: DoctorId,
) -> Result<()> {
    let query = LiveOfDoctor { doctor, limit: NAMED, since: since(app) };
    let live: Vec<Live> = query.get_results(conn).await?;
    refuse(&live)
}

/// Booked visits that ended before this stand in nobody's way.
fn since(app: &App) -> Time {
    app.clock.now().plus_seconds(-FORGOTTEN_AFTER)
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
