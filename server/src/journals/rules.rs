//! What may happen to a note.

use super::rows::NoteState;
use crate::kernel::error::{Error, Reason, Result};

/// The version that a saved draft gets. `stored` is the note as it stands, if there is one; the
/// first draft comes without an etag, every further one with the etag that it overwrites.
pub(super) fn version_of_draft(
    stored: Option<(NoteState, i32)>,
    etag: Option<&str>,
) -> Result<i32> {
    match (stored, etag) {
        (None, None) => Ok(1),
        (Some((state, version)), Some(etag)) => next_version(state, version, etag),
        (Some((NoteState::Signed, _)), None) => Err(signed()),
        (None, Some(_)) | (Some(_), None) => Err(Error::of(Reason::EtagMismatch)),
    }
}

/// The version of the note after a change of the draft that was read with this etag.
pub(super) fn next_version(state: NoteState, version: i32, etag: &str) -> Result<i32> {
    match state {
        NoteState::Signed => Err(signed()),
        NoteState::Draft if version.to_string() != etag => Err(Error::of(Reason::EtagMismatch)),
        NoteState::Draft => Ok(version + 1),
    }
}

fn signed() -> Error {
    Error::of(Reason::WrongState).with("state", NoteState::Signed.as_str())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn drafts_count_up_and_stale_ones_are_refused() {
        let draft = Some((NoteState::Draft, 3));
        assert_eq!(version_of_draft(None, None).unwrap(), 1);
        assert_eq!(version_of_draft(draft, Some("3")).unwrap(), 4);
        for (stored, etag) in
            [(draft, Some("2")), (draft, Some("03")), (draft, None), (None, Some("1"))]
        {
            assert_eq!(version_of_draft(stored, etag).unwrap_err().reason, Reason::EtagMismatch);
        }
    }

    #[test]
    fn a_signed_note_never_changes() {
        let signed = Some((NoteState::Signed, 4));
        for etag in [None, Some("4"), Some("3")] {
            assert_eq!(version_of_draft(signed, etag).unwrap_err().reason, Reason::WrongState);
        }
        let again = next_version(NoteState::Signed, 4, "4").unwrap_err();
        assert_eq!(again.reason, Reason::WrongState);
    }
}
