//! How fast messages go: each channel has a rate for all servers together, and a message takes the
//! next free slot of its channel.

use diesel::sql_types;
use diesel_async::RunQueryDsl;

use crate::app::App;
use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::kinds::Time;
use crate::notifications::plan::Channel;
use crate::statement;

statement! {
    /// Takes the next slots of a channel, and tells the first.
    TakeSlots { channel: Channel, now: Time, micros: i64 } -> sql_types::Timestamptz,
    "INSERT INTO channel_pace AS pace (channel, next_at) \
     VALUES ($1, $2 + $3 * interval '1 microsecond') \
     ON CONFLICT (channel) DO UPDATE \
        SET next_at = greatest(pace.next_at, $2) + $3 * interval '1 microsecond' \
     RETURNING next_at - $3 * interval '1 microsecond'";
}

/// When so many messages may go by a channel, one after the other. Other transactions that take a
/// slot of this channel wait until this one ends: to be called last, and for channels in their order.
pub(in crate::notifications) async fn slots(
    app: &App,
    conn: &mut Conn,
    channel: Channel,
    count: usize,
) -> Result<Vec<Time>> {
    let now = app.clock.now();
    let Some(gap) = gap_micros(app.config.rates.of(channel)) else { return Ok(vec![now; count]) };
    let wanted = i64::try_from(count).unwrap_or(i64::MAX);
    if wanted == 0 {
        return Ok(Vec::new());
    }
    let micros = gap.saturating_mul(wanted);
    let first: Time = TakeSlots { channel, now, micros }.get_result(conn).await?;
    let later = |index| Time::from_unix_micros(first.unix_micros() + gap * index).unwrap_or(first);
    Ok((0..wanted).map(later).collect())
}

/// The distance of two messages; none when any number may go.
fn gap_micros(per_second: u32) -> Option<i64> {
    1_000_000_i64.checked_div(per_second.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_of_zero_holds_nothing_back() {
        assert_eq!(gap_micros(0), None);
        assert_eq!(gap_micros(20), Some(50_000));
    }
}
