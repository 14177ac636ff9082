//! What lies in the outbox folder.

use clinicd_proto::sandbox::v1 as pb;

use crate::app::App;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::Time;
use crate::kernel::ports::outbox::{self, Kept, Search};
use crate::notifications::Channel;

/// Messages when the request names no number.
const DEFAULT: usize = 25;
/// Most messages.
const MOST: usize = 100;

/// `ListOutbox`.
pub(super) async fn list_outbox(
    app: &App,
    request: pb::ListOutboxRequest,
) -> Result<pb::ListOutboxResponse> {
    let channels = match Channel::from_wire(request.channel) {
        Some(channel) => vec![channel],
        None => Channel::ALL.to_vec(),
    };
    let limit = match usize::try_from(request.max_messages) {
        Ok(0) => DEFAULT,
        Ok(number) => number.min(MOST),
        Err(_) => return Err(Error::field("max_messages", "must not be negative")),
    };
    let search = Search {
        // The folders have the names of the channels.
        channels: channels.iter().map(|channel| channel.as_str()).collect(),
        recipient: Some(request.recipient).filter(|recipient| !recipient.is_empty()),
        limit,
    };
    let found = outbox::read(&app.config.data_dir.join("outbox"), search).await;
    let found = found.map_err(|error| Error::unavailable().caused_by(error))?;
    let messages = found.into_iter().map(|(folder, kept)| to_wire(folder, kept)).collect();
    Ok(pb::ListOutboxResponse { messages })
}

fn to_wire(folder: &str, kept: Kept) -> pb::OutboxMessage {
    let channel = Channel::ALL.into_iter().find(|channel| channel.as_str() == folder);
    pb::OutboxMessage {
        id: kept.key.to_string(),
        create_time: Some(Time::from(kept.at).into()),
        channel: channel.map_or(0, Into::into),
        recipient: kept.to,
        subject: kept.subject,
        text: kept.text,
    }
}
