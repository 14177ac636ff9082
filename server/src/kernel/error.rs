//! The one error of the server, and the one place where it becomes a gRPC status.
//!
//! An [`Error`] carries a documented reason (`clinicd.error.v1.ErrorReason`). Its source is logged
//! and never sent: no SQL, path or driver text leaves the server.

use std::collections::HashMap;
use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

pub use clinicd_proto::error::v1::ErrorReason as Reason;

use super::locale;

/// The result of everything that can be refused.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// `ErrorInfo.domain` of every error.
pub const DOMAIN: &str = "clinicd";

/// A refusal or a fault.
#[derive(Debug)]
pub struct Error {
    /// Why; decides the gRPC code.
    pub reason: Reason,
    metadata: Vec<(&'static str, String)>,
    fields: Vec<(String, String)>,
    missing: Vec<(String, String)>,
    retry_after: Option<Duration>,
    constraint: Option<String>,
    lost_race: bool,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with this reason.
    #[must_use]
    pub fn of(reason: Reason) -> Self {
        Self {
            reason,
            metadata: Vec::new(),
            fields: Vec::new(),
            missing: Vec::new(),
            retry_after: None,
            constraint: None,
            lost_race: false,
            source: None,
        }
    }

    /// There is no such thing, or the caller may not know of it.
    #[must_use]
    pub fn not_found(resource: &'static str) -> Self {
        Self::of(Reason::NotFound).with("resource", resource)
    }

    /// One field breaks a rule that the message alone could not check. `remedy` says what is
    /// allowed, never what was sent.
    #[must_use]
    pub fn field(field: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::of(Reason::InvalidFields).and_field(field, remedy)
    }

    /// Another field that breaks a rule.
    #[must_use]
    pub fn and_field(mut self, field: impl Into<String>, remedy: impl Into<String>) -> Self {
        self.fields.push((field.into(), remedy.into()));
        self
    }

    /// Busy, or the database is away.
    #[must_use]
    pub fn unavailable() -> Self {
        Self::of(Reason::Unavailable).retry_after(Duration::from_millis(500))
    }

    /// A fault of the server.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let mut error = Self::of(Reason::Internal);
        error.source = Some(source.into());
        error
    }

    /// Adds what the reason's documentation promises as metadata.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "numbers, ids and texts are passed as they are"
    )]
    pub fn with(mut self, key: &'static str, value: impl ToString) -> Self {
        self.metadata.push((key, value.to_string()));
        self
    }

    /// Adds something that is missing, for `PreconditionFailure`.
    #[must_use]
    pub fn missing(mut self, subject: impl Into<String>, what: impl Into<String>) -> Self {
        self.missing.push((subject.into(), what.into()));
        self
    }

    /// Tells when trying again may help.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Gives the violation of this database constraint its meaning; every other error stays.
    #[must_use]
    pub fn when_constraint(self, constraint: &str, meaning: impl FnOnce() -> Self) -> Self {
        if self.constraint.as_deref() == Some(constraint) { meaning() } else { self }
    }

    /// A race that PostgreSQL broke off: worth repeating.
    #[must_use]
    pub fn is_lost_race(&self) -> bool {
        self.lost_race
    }

    /// The gRPC code of the reason.
    #[must_use]
    pub fn code(&self) -> Code {
        code_of(self.reason)
    }
}

/// Collects the faults of several fields, so that a caller is told of all of them at once.
#[derive(Debug, Default)]
pub struct Faults(Option<Error>);

impl Faults {
    /// The value; a stand-in when there is none, and its fault is kept.
    pub fn keep<T: Default>(&mut self, result: Result<T>) -> T {
        result.unwrap_or_else(|error| {
            self.add(error);
            T::default()
        })
    }

    /// Keeps a fault. One that is not about fields takes the place of all that are.
    pub fn add(&mut self, error: Error) {
        match &mut self.0 {
            Some(first) if first.reason != Reason::InvalidFields => {}
            Some(first) if error.reason == Reason::InvalidFields => {
                first.fields.extend(error.fields);
            }
            first => *first = Some(error),
        }
    }

    /// Keeps the fault of one field, as [`Error::field`].
    pub fn field(&mut self, field: impl Into<String>, remedy: impl Into<String>) {
        self.add(Error::field(field, remedy));
    }

    /// Fields that are at fault so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(0, |error| error.fields.len())
    }

    /// Refuses when there was a fault.
    pub fn check(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

/// The gRPC code of each reason, as documented in `error.proto`.
#[must_use]
pub fn code_of(reason: Reason) -> Code {
    match reason {
        Reason::InvalidFields
        | Reason::RequestIdReused
        | Reason::PageTokenInvalid
        | Reason::WeakPassword
        | Reason::FileRefused
        | Reason::UploadHashMismatch
        | Reason::FeedTokenInvalid => Code::InvalidArgument,
        Reason::Unauthenticated | Reason::InvalidCredentials => Code::Unauthenticated,
        Reason::RoleRequired
        | Reason::OnboardingNotApproved
        | Reason::OwnRecord
        | Reason::MfaRequired
        | Reason::ScopeRequired => Code::PermissionDenied,
        Reason::NotFound => Code::NotFound,
        Reason::AlreadyExists | Reason::SlotTaken | Reason::PatientBusy => Code::AlreadyExists,
        Reason::EtagMismatch | Reason::FeedReaderStalled => Code::Aborted,
        Reason::WrongState
        | Reason::SlotOutsideSchedule
        | Reason::SlotInPast
        | Reason::DoctorNotBookable
        | Reason::CancellationTooLate
        | Reason::UploadOffset
        | Reason::UploadIncomplete
        | Reason::ApplicationIncomplete
        | Reason::FontMissing
        | Reason::ReauthRequired
        | Reason::LastSuperuser
        | Reason::LiveBookings
        | Reason::ContentErased => Code::FailedPrecondition,
        Reason::TooManyAttempts
        | Reason::RateLimited
        | Reason::SmsCountryClosed
        | Reason::MessageTooLarge
        | Reason::UploadTooLarge => Code::ResourceExhausted,
        Reason::Unavailable => Code::Unavailable,
        Reason::DeadlineExceeded => Code::DeadlineExceeded,
        Reason::UnknownMethod => Code::Unimplemented,
        Reason::FeedTokenTooOld => Code::OutOfRange,
        Reason::Unspecified | Reason::Internal | Reason::ContentTampered => Code::Internal,
    }
}

/// The reason's name on the wire: `SLOT_TAKEN`.
#[must_use]
pub fn name_of(reason: Reason) -> &'static str {
    reason.as_str_name().trim_start_matches("ERROR_REASON_")
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(name_of(self.reason))?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<DieselError> for Error {
    fn from(source: DieselError) -> Self {
        let mut error = match &source {
            DieselError::DatabaseError(kind, info) => {
                let reason = match kind {
                    // The last one is of a primary that has become a standby.
                    DatabaseErrorKind::UnableToSendCommand
                    | DatabaseErrorKind::ClosedConnection
                    | DatabaseErrorKind::ReadOnlyTransaction => Reason::Unavailable,
                    DatabaseErrorKind::Unknown if is_away(info.message()) => Reason::Unavailable,
                    _ => Reason::Internal,
                };
                let mut error = Self::of(reason);
                error.constraint = info.constraint_name().map(str::to_owned);
                error.lost_race = matches!(kind, DatabaseErrorKind::SerializationFailure)
                    || info.message() == "deadlock detected";
                error
            }
            // Also of a COMMIT: whether it counts, the repeated call will find out.
            DieselError::BrokenTransactionManager | DieselError::RollbackErrorOnCommit { .. } => {
                Self::of(Reason::Unavailable)
            }
            _ => Self::of(Reason::Internal),
        };
        if error.reason == Reason::Unavailable {
            error.retry_after = Some(Duration::from_millis(500));
        }
        error.source = Some(Box::new(source));
        error
    }
}

/// What PostgreSQL says when it is busy, stopping or starting (in English, see [`super::db`]). diesel keeps
/// the text of these and drops the code.
fn is_away(message: &str) -> bool {
    message.starts_with("canceling statement due to")
        || message.starts_with("terminating connection")
        || message.starts_with("the database system is")
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let name = name_of(error.reason);
        let code = error.code();
        // To be busy is no fault: the refused are counted, not told one by one.
        if code == Code::Internal || (code == Code::Unavailable && error.source.is_some()) {
            tracing::error!(reason = name, error = %error, "call failed");
        }
        let mut details = ErrorDetails::new();
        details.set_error_info(
            name,
            DOMAIN,
            error
                .metadata
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone()))
                .collect::<HashMap<_, _>>(),
        );
        for (field, remedy) in &error.fields {
            details.add_bad_request_violation(field, remedy);
        }
        for (subject, what) in &error.missing {
            details.add_precondition_failure_violation(name, subject, what);
        }
        if let Some(wait) = error.retry_after {
            details.set_retry_info(Some(wait));
        }
        let language = locale::current();
        details.set_localized_message(language.tag(), locale::error_text(language, name));
        Self::with_error_details(code, message(&error, name), details)
    }
}

/// Adds the text for the person to a refusal that lacks it: the codec, which refuses broken fields,
/// knows no languages.
#[must_use]
pub fn localized(status: Status) -> Status {
    let mut details = status.get_error_details();
    let Some(info) = details.error_info() else { return status };
    if details.localized_message().is_some() {
        return status;
    }
    let language = locale::current();
    let text = locale::error_text(language, &info.reason);
    details.set_localized_message(language.tag(), text);
    Status::with_error_details(status.code(), status.message(), details)
}

/// The developer's message: English, and what to do about it.
fn message(error: &Error, name: &str) -> String {
    let text = locale::error_text(locale::Locale::En, name);
    let fields: Vec<String> =
        error.fields.iter().map(|(field, remedy)| format!("{field} {remedy}")).collect();
    let missing: Vec<String> =
        error.missing.iter().map(|(subject, what)| format!("{subject}: {what}")).collect();
    let metadata: Vec<String> =
        error.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut parts = vec![text.to_owned()];
    parts
        .extend([fields, missing, metadata].iter().filter(|p| !p.is_empty()).map(|p| p.join("; ")));
    parts.join(" | ")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn faults_of_fields_are_told_together() {
        let mut faults = Faults::default();
        assert_eq!(faults.keep(Ok(7)), 7);
        assert_eq!(faults.keep::<i32>(Err(Error::field("a", "x").and_field("b", "y"))), 0);
        faults.add(Error::field("c", "z"));
        let fields: Vec<_> = faults.check().unwrap_err().fields;
        assert_eq!(fields.iter().map(|(field, _)| field.as_str()).collect::<String>(), "abc");
        assert!(Faults::default().check().is_ok());
    }

    #[test]
    fn a_fault_of_the_server_is_told_alone() {
        let mut faults = Faults::default();
        faults.add(Error::field("a", "x"));
        faults.add(Error::unavailable());
        faults.add(Error::field("b", "y"));
        let error = faults.check().unwrap_err();
        assert_eq!((error.reason, error.fields.len()), (Reason::Unavailable, 0));
    }
}
