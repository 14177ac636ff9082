//! What identifies a prescription outside the system: its number for people, its code for scanners.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::rows::PrescriptionId;
use crate::kernel::crypto::mac::SHORT_TAG;
use crate::kernel::crypto::{Macs, Purpose};

/// Crockford's base 32: no letter that is taken for a digit or for another letter.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Bytes of an id.
const ID: usize = 16;

/// The number on paper, such as `RX-2026-4F7K2M9Q`: year of issue and 40 random bits.
pub(super) fn number(year: i16, random: [u8; 5]) -> String {
    let bits = random.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    let letters = (0..8).rev().map(|place| {
        let index = usize::try_from(bits >> (place * 5) & 31).unwrap_or(0);
        char::from(ALPHABET[index])
    });
    format!("RX-{year}-{}", letters.collect::<String>())
}

/// The code of the printed link: the id and a short tag that only this server can make, 43
/// characters that are safe in a URL.
pub(super) fn code(macs: &Macs, id: PrescriptionId) -> String {
    let tag = macs.sign_short(Purpose::PrescriptionCode, id.0.as_bytes());
    URL_SAFE_NO_PAD.encode([&id.0.as_bytes()[..], &tag].concat())
}

/// The prescription that a code was made for; `None` for every other text.
pub(super) fn prescription_of(macs: &Macs, code: &str) -> Option<PrescriptionId> {
    let bytes = URL_SAFE_NO_PAD.decode(code).ok().filter(|bytes| bytes.len() == ID + SHORT_TAG)?;
    let (id, tag) = bytes.split_at_checked(ID)?;
    let genuine = macs.verify_short(Purpose::PrescriptionCode, id, tag);
    genuine.then(|| Uuid::from_slice(id).ok().map(PrescriptionId)).flatten()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::kernel::crypto::keys::MasterKey;

    fn macs(secret: u8) -> Macs {
        Macs::new(&[MasterKey::new(1, [secret; 32])]).unwrap()
    }

    #[test]
    fn numbers_have_the_form_that_people_quote() {
        assert_eq!(number(2026, [0; 5]), "RX-2026-00000000");
        assert_eq!(number(2026, [0xFF; 5]), "RX-2026-ZZZZZZZZ");
        // 00000 00001 … 00111: every letter takes its own five bits.
        assert_eq!(number(2027, [0x00, 0x44, 0x32, 0x14, 0xC7]), "RX-2027-01234567");
    }

    #[test]
    fn a_code_leads_back_to_its_prescription() {
        let id = PrescriptionId(Uuid::from_u128(0x0199_aabb_ccdd_7eee_8fff_0011_2233_4455));
        let code = code(&macs(1), id);
        assert_eq!(code.len(), 43);
        assert!(code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_eq!(prescription_of(&macs(1), &code), Some(id));
    }

    #[test]
    fn a_forged_or_flipped_code_is_none() {
        let id = PrescriptionId(Uuid::from_u128(7));
        let good = code(&macs(1), id);
        assert_eq!(prescription_of(&macs(2), &good), None);
        let without_tag = URL_SAFE_NO_PAD.encode([id.0.as_bytes().as_slice(), &[0; 16]].concat());
        let mut bad = vec![String::new(), "!".into(), id.to_string(), without_tag];
        bad.extend([format!("{good}="), format!("{good}A"), good[..42].to_owned()]);
        for at in 0..good.len() {
            for other in ["A", "B", "_"].into_iter().filter(|other| *other != &good[at..=at]) {
                bad.push([&good[..at], other, &good[at + 1..]].concat());
            }
        }
        for code in bad {
            assert_eq!(prescription_of(&macs(1), &code), None, "{code}");
        }
    }
}
