//! Codes of an authenticator app (TOTP, RFC 6238: SHA-1, six digits, 30 seconds, what every app can
//! do), and recovery codes for the day on which the app is lost.

use totp_rs::{Builder, Secret, Totp};

use crate::kernel::crypto::{Macs, Purpose, Random, framed};
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::{AccountId, Time};

/// Bytes of a secret: 160 bits, as RFC 4226 recommends.
pub(in crate::identity) const SECRET: usize = 20;
/// Recovery codes of an account.
pub(in crate::identity) const RECOVERY_CODES: usize = 10;
/// Letters of recovery codes: none that look alike (RFC 4648 base32 without I, L, O, U).
const LETTERS: &[u8; 32] = b"ABCDEFGHJKMNPQRSTVWXYZ0123456789";
/// Letters of a recovery code: 80 bits.
const CODE_LETTERS: usize = 16;
/// They are written in groups of this many.
const GROUP: usize = 4;
/// What an app shows beside the account.
const ISSUER: &str = "clinicd";

/// The app of an account. `label` is what the app shows: the person's address or number.
pub(in crate::identity) fn app_of(secret: &[u8], label: &str) -> Result<Totp> {
    // A colon would divide the label.
    let label = label.replace(':', " ");
    let secret = Secret::new(secret.into());
    let builder = Builder::new().with_secret(secret).with_account_name(label);
    builder.with_issuer(Some(ISSUER)).build().map_err(Error::internal)
}

/// The step of a right code: of this moment, or of the one before or after, because clocks differ.
pub(in crate::identity) fn step_of(totp: &Totp, code: &str, now: Time) -> Option<i64> {
    let seconds = u64::try_from(now.timestamp().as_second()).ok()?;
    totp.check(code.trim(), seconds).and_then(|step| i64::try_from(step).ok())
}

/// Whether this has the form of an app's code. Everything else is taken for a recovery code.
pub(in crate::identity) fn is_app_code(code: &str) -> bool {
    let code = code.trim();
    code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit())
}

/// New recovery codes, such as `7KQ2-9XYA-…`.
pub(in crate::identity) fn recovery_codes(random: Random) -> Vec<String> {
    let code = || {
        let bytes = random.bytes::<CODE_LETTERS>();
        let letters = bytes.map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()]));
        let groups = letters.chunks(GROUP).map(|group| group.iter().collect::<String>());
        groups.collect::<Vec<_>>().join("-")
    };
    std::iter::repeat_with(code).take(RECOVERY_CODES).collect()
}

/// A recovery code as it is stored: a keyed hash of its letters, in whatever way they were typed.
pub(in crate::identity) fn recovery_hash(macs: &Macs, account: AccountId, code: &str) -> Vec<u8> {
    let letters: String =
        code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
    let bytes = framed(&[account.0.as_bytes(), letters.as_bytes()]);
    macs.sign(Purpose::RecoveryCode, &bytes).to_vec()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::kernel::crypto::keys::MasterKey;
    use uuid::Uuid;

    /// RFC 6238, appendix B: the secret and the code of second 59, cut to six digits.
    #[test]
    fn codes_are_those_of_the_rfc_and_of_its_neighbours() {
        let totp = app_of(b"12345678901234567890", "asha@example.org").unwrap();
        let at = |seconds: i64| Time::from_unix_micros(seconds * 1_000_000).unwrap();
        assert_eq!(step_of(&totp, "287082", at(59)), Some(1));
        assert_eq!(step_of(&totp, " 287082", at(30 + 59)), Some(1));
        assert_eq!(step_of(&totp, "287082", at(0)), Some(1));
        assert_eq!(step_of(&totp, "287082", at(90)), None);
        for wrong in ["287083", "", "28708", "2870820", "abcdef"] {
            assert_eq!(step_of(&totp, wrong, at(59)), None, "{wrong}");
        }
    }

    #[test]
    fn the_app_learns_issuer_and_account() {
        let totp = app_of(&[7; SECRET], "asha:rao@example.org").unwrap();
        let uri = totp.to_url().unwrap();
        assert!(uri.starts_with("otpauth://totp/clinicd:asha%20rao%40example.org?"), "{uri}");
        assert!(uri.contains("issuer=clinicd"), "{uri}");
    }

    #[test]
    fn recovery_codes_are_found_however_they_are_typed() {
        let codes = recovery_codes(Random);
        assert_eq!(codes.len(), RECOVERY_CODES);
        let code = &codes[0];
        assert_eq!(code.len(), CODE_LETTERS + 3);
        assert!(!codes[1..].contains(code));
        let macs = Macs::new(&[MasterKey::new(1, [1; 32])]).unwrap();
        let account = AccountId(Uuid::from_u128(1));
        let hash = recovery_hash(&macs, account, code);
        let typed = format!(" {} ", code.to_lowercase().replace('-', " "));
        assert_eq!(recovery_hash(&macs, account, &typed), hash);
        assert_ne!(recovery_hash(&macs, AccountId(Uuid::from_u128(2)), code), hash);
        assert!(!is_app_code(code) && is_app_code(" 123456 ") && !is_app_code("12345a"));
    }
}
