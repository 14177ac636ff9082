use std::io;
use std::time::Duration;

/// Why a port could not do its work.
///
/// The texts are fixed and carry at most a status number of the provider: addresses, names, keys
/// and what a provider wrote in prose (it likes to repeat the phone number) stay out of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// The same call may succeed later; a job tries again.
    #[error("{what}, for now (status {code:?})")]
    Temporary {
        /// What happened.
        what: &'static str,
        /// The provider's status number, if it answered.
        code: Option<u32>,
        /// How long the provider wants to be left alone, if it said so.
        retry_after: Option<Duration>,
    },
    /// The same call will fail again; a job gives up.
    #[error("{what}, for good (status {code:?})")]
    Permanent {
        /// What happened.
        what: &'static str,
        /// The provider's status number, if it answered.
        code: Option<u32>,
    },
    /// The device is no longer registered with the push provider: forget its token.
    #[error("the recipient's device is no longer registered")]
    RecipientGone,
    /// A port cannot be made from its settings.
    #[error("setting: {0}")]
    Settings(&'static str),
    /// There is no file under this key.
    #[error("no file under this key")]
    NotFound,
    /// A file key outside `[a-z0-9/_-]`, or with an empty part.
    #[error("not a file key")]
    BadKey,
    /// A part that would leave a hole.
    #[error("the part does not follow the {len} bytes that are there")]
    WrongOffset {
        /// How many bytes are there; the next part may begin here or before.
        len: u64,
    },
}

impl PortError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Temporary { .. })
    }

    /// How long the provider wants to be left alone, if it said so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Temporary { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(super) const fn temporary(what: &'static str) -> Self {
        Self::Temporary { what, code: None, retry_after: None }
    }

    pub(super) const fn permanent(what: &'static str) -> Self {
        Self::Permanent { what, code: None }
    }
}

/// A disk that is full or busy may recover, so everything but an absent file is worth a retry.
impl From<io::Error> for PortError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::StorageFull => Self::temporary("the disk is full"),
            _ => Self::Temporary {
                what: "the disk refused",
                code: error.raw_os_error().and_then(|code| u32::try_from(code).ok()),
                retry_after: None,
            },
        }
    }
}
