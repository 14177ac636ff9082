//! Phone numbers: one form, E.164, so that one phone is one number.

use phonenumber::{Mode, country};
use unicode_normalization::UnicodeNormalization;

use super::error::{Error, Result};

/// Where a number without a country code belongs.
const HOME: country::Id = country::Id::IN;

/// The number in E.164, such as `+919812345678`. Digits of full width count as digits.
pub fn e164(field: &str, value: &str) -> Result<String> {
    let refused = || Error::field(field, "must be a phone number, such as +919812345678");
    let folded: String = value.trim().nfkc().collect();
    let number = phonenumber::parse(Some(HOME), folded).map_err(|_| refused())?;
    if number.extension().is_some() || !phonenumber::is_valid(&number) {
        return Err(refused());
    }
    Ok(number.format().mode(Mode::E164).to_string())
}

/// The country (ISO 3166-1 alpha-2) of a number in E.164; none for one that belongs to no country.
#[must_use]
pub fn region(number: &str) -> Option<String> {
    let number = phonenumber::parse(None, number).ok()?;
    number.country().id().map(|country| country.as_ref().to_owned())
}

/// The calling code of a number in E.164, such as 91; 0 for what is no number.
#[must_use]
pub fn calling_code(number: &str) -> i32 {
    phonenumber::parse(None, number).map_or(0, |number| number.code().value().into())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn one_phone_is_one_number() {
        for form in [
            "+919812345678",
            "+91 98123 45678",
            "09812345678",
            "98123-45678",
            " (+91) 9812345678 ",
            "\u{ff0b}\u{ff19}\u{ff11}\u{ff19}\u{ff18}\u{ff11}\u{ff12}\u{ff13}\u{ff14}\u{ff15}\
             \u{ff16}\u{ff17}\u{ff18}",
        ] {
            assert_eq!(e164("mobile", form).unwrap(), "+919812345678", "{form}");
        }
        assert_eq!(e164("mobile", "+44 20 7946 0958").unwrap(), "+442079460958");
    }

    #[test]
    fn a_number_tells_its_country() {
        for (number, country, code) in
            [("+919812345678", "IN", 91), ("+442079460958", "GB", 44), ("+14165550123", "CA", 1)]
        {
            assert_eq!(region(number).as_deref(), Some(country), "{number}");
            assert_eq!(calling_code(number), code);
        }
        assert_eq!(region("nonsense"), None);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for form in
            ["", "12", "hello", "+91", "+999123456789", "9812345678901234", "+91 0000000000"]
        {
            assert!(e164("mobile", form).is_err(), "{form}");
        }
    }
}
