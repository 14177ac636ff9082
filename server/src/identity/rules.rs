//! Pure decisions: what an address and a language are, how long a session lives, when a sign-in
//! is blocked.

use std::time::Duration;

use crate::config::SessionSettings;
use crate::identity::sign_in::passwords::{self, PasswordUse};
use crate::kernel::access::SignedIn;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::kinds::{Role, Time};

/// Life of a mailed activation link, in seconds: 30 minutes (OWASP ASVS 5.0 V6.4.1).
pub(super) const ACTIVATION_SECONDS: i64 = 30 * 60;
/// Life of a mailed invitation, in seconds: 7 days.
pub(super) const INVITATION_SECONDS: i64 = INVITATION_DAYS * DAY;
/// The same in days, for the mail.
pub(super) const INVITATION_DAYS: i64 = 7;
/// Failed sign-ins of one identifier before it is blocked.
pub(super) const FAILURE_LIMIT: i32 = 5;
/// Failures count together when they lie within this many seconds.
pub(super) const FAILURE_WINDOW_SECONDS: i64 = 10 * 60;
/// How long an identifier is blocked, in seconds.
pub(super) const BLOCK_SECONDS: i64 = 10 * 60;
/// Failures from one client address before it is blocked: a clinic behind one address must not
/// lock itself out.
pub(super) const ADDRESS_FAILURE_LIMIT: i32 = 50;
/// How recent the sign-in must be for changes that decide over an account, in seconds (OWASP ASVS
/// 5.0 V7.5.1).
pub(super) const RECENT_SECONDS: i64 = 5 * MINUTE;
/// Life of a mailed recovery link, in seconds.
pub(super) const RECOVERY_SECONDS: i64 = 30 * MINUTE;
/// Seconds between two mails with a link of the same kind to one account.
pub(super) const MAIL_GAP_SECONDS: i64 = MINUTE;
/// Life of a link that confirms a new address, in seconds.
pub(super) const CONTACT_SECONDS: i64 = 30 * MINUTE;
/// Life of a code sent to a phone, in seconds.
pub(super) const CODE_SECONDS: i64 = 5 * MINUTE;
/// Life of the challenge for a second factor, in seconds.
pub(super) const SECOND_FACTOR_SECONDS: i64 = 5 * MINUTE;
/// Tries of one code before it is void.
pub(super) const CODE_TRIES: i32 = 5;
/// The language of people who name none.
const DEFAULT_LANGUAGE: &str = "en";
/// Longest language tag (RFC 5646, 4.4.1).
const LANGUAGE_MAX: usize = 35;
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// How long a session lives, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SessionLife {
    /// Without being used.
    pub(super) idle: i64,
    /// At most, however often it is used.
    pub(super) absolute: i64,
}

/// The life of a session of an account with these roles.
pub(super) fn session_life(settings: &SessionSettings, roles: &[Role]) -> SessionLife {
    if roles.iter().any(|role| role.is_staff()) {
        SessionLife {
            idle: settings.staff_idle_minutes.saturating_mul(MINUTE),
            absolute: settings.staff_hours.saturating_mul(HOUR),
        }
    } else {
        SessionLife {
            idle: settings.patient_idle_days.saturating_mul(DAY),
            absolute: settings.patient_days.saturating_mul(DAY),
        }
    }
}

impl SessionLife {
    /// When a session that is used now ends, if it is not used again.
    pub(super) fn end(self, began: Time, now: Time) -> Time {
        now.plus_seconds(self.idle).min(began.plus_seconds(self.absolute))
    }
}

/// Refuses what needs a sign-in of the last [`RECENT_SECONDS`].
pub(super) fn require_recent_sign_in(session: &SignedIn, now: Time) -> Result<()> {
    if session.signed_in_at.plus_seconds(RECENT_SECONDS) > now {
        return Ok(());
    }
    Err(Error::of(Reason::ReauthRequired).with("seconds", RECENT_SECONDS))
}

/// What addresses are compared by: case and surrounding space do not count.
pub(super) fn email_key(email: &str) -> String {
    email.trim().to_lowercase()
}

/// Preferred language as it is stored: a BCP 47 tag in its form, known to us or not.
pub(super) fn language(field: &str, value: &str) -> Result<String> {
    let value = value.trim();
    if value.is_empty() {
        return Ok(DEFAULT_LANGUAGE.to_owned());
    }
    let part = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let primary = value.split('-').next().unwrap_or_default();
    let is_tag = value.len() <= LANGUAGE_MAX
        && primary.len() >= 2
        && primary.bytes().all(|byte| byte.is_ascii_alphabetic())
        && value.split('-').all(part);
    if is_tag {
        Ok(value.to_owned())
    } else {
        Err(Error::field(field, "must be a BCP 47 language tag such as \"hi\" or \"en-IN\""))
    }
}

/// Refuses a password that is too weak for its use. `personal`: the person's own names and
/// contacts.
pub(super) fn check_password(password: &str, personal: &[&str], used: PasswordUse) -> Result<()> {
    Ok(passwords::check_strength(password, personal, used)?)
}

/// How long to wait for a block to end: whole seconds, never less than one.
pub(super) fn wait_for(blocked_until: Time, now: Time) -> Duration {
    let micros = u64::try_from(blocked_until.unix_micros() - now.unix_micros()).unwrap_or(0);
    Duration::from_secs(micros.div_ceil(1_000_000).max(1))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::kernel::kinds::{AccountId, SessionId};

    fn at(seconds: i64) -> Time {
        Time::from_unix_micros(seconds * 1_000_000).unwrap()
    }

    fn life(roles: &[Role]) -> SessionLife {
        session_life(&SessionSettings::default(), roles)
    }

    #[test]
    fn one_staff_role_makes_a_staff_session() {
        let patient = SessionLife { idle: 30 * DAY, absolute: 90 * DAY };
        let staff = SessionLife { idle: 15 * MINUTE, absolute: 12 * HOUR };
        assert_eq!(life(&[Role::Patient]), patient);
        for role in [Role::Doctor, Role::Operator, Role::Pharmacist, Role::Admin, Role::Superuser] {
            assert_eq!(life(&[Role::Patient, role]), staff);
        }
    }

    #[test]
    fn a_session_ends_idle_or_old() {
        let patient = life(&[Role::Patient]);
        assert_eq!(patient.end(at(0), at(0)), at(30 * DAY));
        assert_eq!(patient.end(at(0), at(29 * DAY)), at(59 * DAY));
        assert_eq!(patient.end(at(0), at(89 * DAY)), at(90 * DAY));
        let staff = life(&[Role::Admin]);
        assert_eq!(staff.end(at(0), at(11 * HOUR)), at(11 * HOUR + 15 * MINUTE));
        assert_eq!(staff.end(at(0), at(12 * HOUR - 1)), at(12 * HOUR));
    }

    #[test]
    fn what_decides_over_an_account_needs_a_recent_sign_in() {
        let session = SignedIn {
            account: AccountId(uuid::Uuid::nil()),
            session: SessionId(uuid::Uuid::nil()),
            roles: Vec::new(),
            scopes: None,
            signed_in_at: at(0),
            second_factor: false,
        };
        assert!(require_recent_sign_in(&session, at(RECENT_SECONDS - 1)).is_ok());
        let late = require_recent_sign_in(&session, at(RECENT_SECONDS)).unwrap_err();
        assert_eq!(late.reason, Reason::ReauthRequired);
    }

    #[test]
    fn addresses_are_compared_without_case_and_space() {
        assert_eq!(email_key(" Asha.Rao@Example.ORG "), "asha.rao@example.org");
        assert_eq!(email_key("ÄSHA@example.org"), "äsha@example.org");
    }

    #[test]
    fn languages_are_tags() {
        assert_eq!(language("language", "").unwrap(), "en");
        for good in ["hi", "en-IN", "zh-Hant-TW", "kok"] {
            assert_eq!(language("language", good).unwrap(), good);
        }
        for bad in ["h", "hindi language", "en_IN", "en-", "-", "12", "en-toolongpart"] {
            assert!(language("language", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_wait_is_rounded_up() {
        assert_eq!(wait_for(at(600), at(1)), Duration::from_secs(599));
        assert_eq!(wait_for(at(600), at(600)), Duration::from_secs(1));
        let half = Time::from_unix_micros(599_500_000).unwrap();
        assert_eq!(wait_for(at(601), half), Duration::from_secs(2));
    }
}
