//! Pure decisions: what an address and a language are, how long a session lives, when a sign-in
//! is blocked.

use std::time::Duration;

use crate::identity::passwords::{self, PasswordUse};
use crate::kernel::error::{Error, Result};
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
/// The language of people who name none.
const DEFAULT_LANGUAGE: &str = "en";
/// Longest language tag (RFC 5646, 4.4.1).
const LANGUAGE_MAX: usize = 35;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// How long a session lives, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SessionLife {
    /// Without being refreshed.
    pub(super) idle: i64,
    /// At most, however often it is refreshed.
    pub(super) absolute: i64,
}

/// Sessions of patients and doctors.
const PATIENT_LIFE: SessionLife = SessionLife { idle: 30 * DAY, absolute: 90 * DAY };
/// Sessions of everyone who works on other people's records: one working day.
pub(super) const STAFF_LIFE: SessionLife = SessionLife { idle: 12 * HOUR, absolute: 12 * HOUR };

/// Whether this role works for the platform or a clinic's desk.
pub(super) fn is_staff(role: Role) -> bool {
    !matches!(role, Role::Patient | Role::Doctor)
}

/// The life of a session of an account with these roles.
pub(super) fn session_life(roles: &[Role]) -> SessionLife {
    if roles.iter().any(|role| is_staff(*role)) { STAFF_LIFE } else { PATIENT_LIFE }
}

/// When a session that is used now ends, if it is not used again.
pub(super) fn session_end(roles: &[Role], created: Time, now: Time) -> Time {
    let life = session_life(roles);
    now.plus_seconds(life.idle).min(created.plus_seconds(life.absolute))
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

/// Refuses a password that is too weak to sign in alone.
pub(super) fn check_password(password: &str, personal: &[&str]) -> Result<()> {
    Ok(passwords::check_strength(password, personal, PasswordUse::Alone)?)
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

    fn at(seconds: i64) -> Time {
        Time::from_unix_micros(seconds * 1_000_000).unwrap()
    }

    #[test]
    fn one_staff_role_makes_a_staff_session() {
        assert_eq!(session_life(&[Role::Patient, Role::Doctor]), PATIENT_LIFE);
        for role in [Role::Operator, Role::Pharmacist, Role::Admin, Role::Superuser] {
            assert_eq!(session_life(&[Role::Patient, role]), STAFF_LIFE);
        }
    }

    #[test]
    fn a_session_ends_idle_or_old() {
        let patient = [Role::Patient];
        assert_eq!(session_end(&patient, at(0), at(0)), at(30 * DAY));
        assert_eq!(session_end(&patient, at(0), at(29 * DAY)), at(59 * DAY));
        assert_eq!(session_end(&patient, at(0), at(89 * DAY)), at(90 * DAY));
        assert_eq!(session_end(&[Role::Admin], at(0), at(11 * HOUR)), at(12 * HOUR));
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
