//! Randomness from the operating system, for every secret that the server makes.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// The operating system's cryptographic random generator. Free to copy; it holds nothing.
///
/// A system without random numbers cannot make one safe secret, so a failing generator ends the
/// process instead of returning an error that a caller might survive.
#[derive(Clone, Copy, Debug, Default)]
pub struct Random;

impl Random {
    /// `N` random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(self) -> [u8; N] {
        let mut out = [0; N];
        if aws_lc_rs::rand::fill(&mut out).is_err() {
            std::process::abort();
        }
        out
    }

    /// A secret of 256 bits as 43 characters of unpadded base64url: refresh tokens, link and
    /// ticket secrets, API keys.
    #[must_use]
    pub fn token(self) -> String {
        URL_SAFE_NO_PAD.encode(self.bytes::<32>())
    }

    /// `count` decimal digits, each of the 10^count values equally likely: one-time codes.
    #[must_use]
    pub fn digits(self, count: usize) -> String {
        /// Bytes from here on would make the low digits likelier, and are drawn again.
        const UNBIASED: u8 = 250;
        let mut out = String::with_capacity(count);
        while out.len() < count {
            let [byte] = self.bytes::<1>();
            if byte < UNBIASED {
                out.push(char::from(b'0' + byte % 10));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn tokens_are_long_url_safe_and_differ() {
        let tokens: HashSet<String> = (0..1_000).map(|_| Random.token()).collect();
        assert_eq!(tokens.len(), 1_000);
        assert!(tokens.iter().all(|token| token.len() == 43
            && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')));
    }

    #[test]
    fn digits_are_uniform() {
        let text = Random.digits(100_000);
        assert_eq!(text.len(), 100_000);
        for digit in '0'..='9' {
            let count = text.chars().filter(|c| *c == digit).count();
            // Ten standard deviations (95 each) around the mean: never by chance, soon by a bias.
            assert!((9_050..=10_950).contains(&count), "{digit} came {count} times");
        }
        assert_eq!(Random.digits(6).len(), 6);
    }
}
