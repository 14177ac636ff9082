//! The one error of the SDK.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::Duration;

use clinicd_proto::error::v1::ErrorReason;
use clinicd_proto::identity::v1::SecondFactorChallenge;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The result of every call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// `ErrorInfo.domain` of every refusal of the server.
const DOMAIN: &str = "clinicd";

/// Why a call failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused. [`ApiError::reason`] says why.
    #[error("{0}")]
    Api(Box<ApiError>),
    /// The server could not be reached, or the connection broke. Repeating is safe.
    #[error("the server cannot be reached: {0}")]
    Transport(String),
    /// The deadline passed. A change is done completely or not at all.
    #[error("the call took longer than its deadline")]
    Deadline,
    /// The session is over (ended, blocked, or too long unused): sign in again.
    #[error("the session has ended: {0}")]
    SessionEnded(Box<ApiError>),
    /// The sign-in waits for its second factor: ask the person for a code, and go on with
    /// [`Client::complete_second_factor`](crate::Client::complete_second_factor).
    #[error("the sign-in waits for a second factor")]
    SecondFactor(SecondFactorChallenge),
    /// The phone number was confirmed, but the account waits for its mailed activation link.
    #[error("the account waits for its activation link")]
    NotActivated,
    /// The client was not set up right: a URL or a header value that cannot be used.
    #[error("{0}")]
    Setup(String),
    /// Reading what was to be uploaded, or writing what was downloaded, failed.
    #[error("{0}")]
    Io(String),
    /// What arrived is not what the server announced: bytes are missing or changed.
    #[error("the download is damaged: {0}")]
    Damaged(&'static str),
}

/// A refusal of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The gRPC code.
    pub code: Code,
    /// The stable reason, such as `SLOT_TAKEN`; see `clinicd.error.v1.ErrorReason`. Empty when a
    /// proxy answered in the server's place.
    pub reason: String,
    /// What the reason's documentation promises, such as `state`.
    pub metadata: BTreeMap<String, String>,
    /// For developers, in English.
    pub message: String,
    /// For the person, in the language of the client.
    pub localized: Option<String>,
    /// Every field that breaks a rule, and what is allowed.
    pub violations: Vec<(String, String)>,
    /// What is missing before this can be done: subject and what.
    pub preconditions: Vec<(String, String)>,
    /// How long to wait before trying again may help.
    pub retry_after: Option<Duration>,
    /// The server's id of this call, for its operator.
    pub request_id: Option<String>,
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.reason.is_empty() {
            write!(f, "{:?}: {}", self.code, self.message)
        } else {
            write!(f, "{}: {}", self.reason, self.message)
        }
    }
}

impl std::error::Error for ApiError {}

impl Error {
    /// The refusal, if the server answered with one.
    #[must_use]
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Api(error) | Self::SessionEnded(error) => Some(error),
            _ => None,
        }
    }

    /// The stable reason of a refusal, such as `SLOT_TAKEN`.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.api().map(|error| error.reason.as_str())
    }

    /// Whether the server refused for this reason.
    #[must_use]
    pub fn is(&self, reason: ErrorReason) -> bool {
        let name = reason.as_str_name().trim_start_matches("ERROR_REASON_");
        self.reason() == Some(name)
    }

    pub(crate) fn io(error: &std::io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

/// Every error of a call comes through here.
impl From<Status> for Error {
    fn from(status: Status) -> Self {
        // Our own errors travel through tonic inside a status.
        if let Some(ours) = status.source().and_then(|source| source.downcast_ref::<Self>()) {
            return ours.clone();
        }
        let info = status.get_details_error_info().filter(|info| info.domain == DOMAIN);
        let code = status.code();
        let Some(info) = info else {
            return match code {
                Code::DeadlineExceeded => Self::Deadline,
                // What tonic's client says when the time of the call is up.
                Code::Cancelled if status.message() == "Timeout expired" => Self::Deadline,
                _ if code == Code::Unavailable || status.source().is_some() => {
                    Self::Transport(status.message().to_owned())
                }
                _ => Self::Api(Box::new(api_error(&status))),
            };
        };
        if code == Code::DeadlineExceeded {
            return Self::Deadline;
        }
        let metadata = info.metadata.into_iter().collect();
        Self::Api(Box::new(ApiError { reason: info.reason, metadata, ..api_error(&status) }))
    }
}

fn api_error(status: &Status) -> ApiError {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|bad| {
        let told = bad.field_violations.iter();
        told.map(|one| (one.field.clone(), one.description.clone())).collect()
    });
    let preconditions = details.precondition_failure().map(|failure| {
        let told = failure.violations.iter();
        told.map(|one| (one.subject.clone(), one.description.clone())).collect()
    });
    let request_id = status.metadata().get("x-request-id").and_then(|id| id.to_str().ok());
    ApiError {
        code: status.code(),
        reason: String::new(),
        metadata: BTreeMap::new(),
        message: status.message().to_owned(),
        localized: details.localized_message().map(|text| text.message.clone()),
        violations: violations.unwrap_or_default(),
        preconditions: preconditions.unwrap_or_default(),
        retry_after: details.retry_info().and_then(|info| info.retry_delay),
        request_id: request_id.map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    #![expect(clippy::disallowed_methods, reason = "tests make the statuses of a server")]

    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_refusal_is_taken_apart() {
        let mut details = ErrorDetails::new();
        let metadata = HashMap::from([("state".to_owned(), "CANCELLED".to_owned())]);
        details.set_error_info("WRONG_STATE", DOMAIN, metadata);
        details.add_bad_request_violation("name", "must be set");
        details.add_precondition_failure_violation("T", "documents", "a degree is missing");
        details.set_retry_info(Some(Duration::from_secs(2)));
        details.set_localized_message("hi", "अभी नहीं");
        let mut status = Status::with_error_details(Code::FailedPrecondition, "no", details);
        status.metadata_mut().insert("x-request-id", "42".parse().unwrap());
        let error = Error::from(status);
        assert!(error.is(ErrorReason::WrongState));
        let api = error.api().unwrap();
        assert_eq!(
            (api.code, api.metadata["state"].as_str()),
            (Code::FailedPrecondition, "CANCELLED")
        );
        assert_eq!(api.violations, [("name".to_owned(), "must be set".to_owned())]);
        assert_eq!(api.preconditions.len(), 1);
        assert_eq!(api.retry_after, Some(Duration::from_secs(2)));
        assert_eq!(
            (api.localized.as_deref(), api.request_id.as_deref()),
            (Some("अभी नहीं"), Some("42"))
        );
    }

    #[test]
    fn what_is_no_refusal_of_ours_is_told_apart() {
        assert!(matches!(Status::unavailable("tcp connect error").into(), Error::Transport(_)));
        assert!(matches!(Status::cancelled("Timeout expired").into(), Error::Deadline));
        assert!(matches!(Status::deadline_exceeded("").into(), Error::Deadline));
        let Error::Api(error) = Error::from(Status::internal("cannot decode")) else { panic!() };
        assert_eq!((error.code, error.reason.as_str()), (Code::Internal, ""));
        let ours = Status::from_error(Box::new(Error::Setup("x".to_owned())));
        assert!(matches!(ours.into(), Error::Setup(_)));
    }
}
