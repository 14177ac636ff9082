//! Resume tokens: a place in the feed, signed. They grant nothing: each read judges anew what its
//! caller may see.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::kernel::crypto::{Macs, Purpose, framed};
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::events::Position;

const LAYOUT: u8 = 1;

/// The token of a position.
pub(super) fn of(macs: &Macs, position: Position) -> String {
    let (xid, seq) = (position.xid.to_be_bytes(), position.seq.to_be_bytes());
    let tag = macs.sign(Purpose::FeedPosition, &framed(&[&[LAYOUT], &xid, &seq]));
    URL_SAFE_NO_PAD.encode([&[LAYOUT][..], &xid, &seq, &tag].concat())
}

/// The position of a token that is not empty.
pub(super) fn read(macs: &Macs, token: &str) -> Result<Position> {
    parse(macs, token).ok_or_else(|| Error::of(Reason::FeedTokenInvalid))
}

fn parse(macs: &Macs, token: &str) -> Option<Position> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (&layout, rest) = bytes.split_first()?;
    let (xid, rest) = rest.split_first_chunk::<8>()?;
    let (seq, tag) = rest.split_first_chunk::<8>()?;
    let signed = framed(&[&[layout], xid, seq]);
    let genuine = layout == LAYOUT && macs.verify(Purpose::FeedPosition, &signed, tag);
    genuine.then(|| Position { xid: i64::from_be_bytes(*xid), seq: i64::from_be_bytes(*seq) })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::kernel::crypto::keys::MasterKey;

    #[test]
    fn only_whole_tokens_of_this_server_are_read() {
        let macs = Macs::new(&[MasterKey::new(1, [7; 32])]).unwrap();
        let position = Position { xid: 12_345, seq: 67 };
        let token = of(&macs, position);
        assert_eq!(read(&macs, &token).unwrap(), position);
        let mut bad = vec![String::new(), "!".into(), format!("{token}A"), format!("{token}=")];
        for at in 0..token.len() {
            let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
            bad.push([&token[..at], other, &token[at + 1..]].concat());
            bad.push(token[..at].to_owned());
        }
        for token in bad {
            let error = read(&macs, &token).unwrap_err();
            assert_eq!(error.reason, Reason::FeedTokenInvalid, "{token}");
        }
        let foreign = Macs::new(&[MasterKey::new(1, [8; 32])]).unwrap();
        assert!(read(&foreign, &token).is_err());
    }
}
