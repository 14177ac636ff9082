//! Reading on from a token, at once.

use clinicd_proto::feed::v1 as pb;

use super::hub::Hub;
use super::{rules, token};
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::events::{self, Place, Position};

/// Events when the request names no number.
const DEFAULT_EVENTS: i32 = 100;
/// Most events of one answer.
const MAX_EVENTS: i32 = 1_000;
/// Reads of one call: a caller who sees little of a busy feed gets on by tens of thousands of
/// events a call, and no call takes long.
const READS: usize = 10;

pub(super) async fn list(
    hub: &Hub,
    caller: &Caller,
    request: pb::ListEventsRequest,
) -> Result<pb::ListEventsResponse> {
    let (app, signed_in) = (hub.app(), caller.signed_in()?);
    let viewer = rules::viewer(signed_in.account, &signed_in.roles, signed_in.scopes.as_deref());
    let kinds = rules::kinds(&request.kinds)?;
    let max = match request.max_events {
        ..=0 => DEFAULT_EVENTS,
        max => max.min(MAX_EVENTS),
    };
    let mut missing = i64::from(max);
    let mut conn = app.db.read().await?;
    let begin = match request.resume_token.as_str() {
        "" => events::horizon(&mut conn).await?,
        text => token::read(&app.keys.macs, text)?,
    };
    let mut position = begin;
    let mut events: Vec<pb::Event> = Vec::new();
    for _ in 0..READS {
        let found = events::read_after(&mut conn, position, &viewer, &kinds, missing).await?;
        position = found.position;
        missing -= i64::try_from(found.events.len()).unwrap_or(missing);
        events.extend(found.events.iter().map(Into::into));
        if missing == 0 || found.is_end {
            break;
        }
    }
    if !request.resume_token.is_empty() {
        require_readable(&mut conn, begin).await?;
    }
    // After the reading, so that a right which was taken before an event is not used for it.
    hub.require_kept(&mut conn, signed_in).await?;
    Ok(pb::ListEventsResponse { events, resume_token: token::of(&app.keys.macs, position) })
}

/// The position of a token from which can be read on; none when it is empty.
pub(super) async fn start(app: &App, conn: &mut Conn, text: &str) -> Result<Option<Position>> {
    if text.is_empty() {
        return Ok(None);
    }
    let position = token::read(&app.keys.macs, text)?;
    require_readable(conn, position).await?;
    Ok(Some(position))
}

/// Refuses a position that leads nowhere. Asked after a reading, it also tells what was swept
/// before it: a reader that asked first could miss what is swept in between.
pub(super) async fn require_readable(conn: &mut Conn, position: Position) -> Result<()> {
    match events::place(conn, position).await? {
        Place::Readable => Ok(()),
        Place::Swept => Err(Error::of(Reason::FeedTokenTooOld)),
        // A token from before a restore would wait for ever for the numbers to catch up.
        Place::Unknown => Err(Error::of(Reason::FeedTokenInvalid)),
    }
}
