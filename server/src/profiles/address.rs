//! Postal addresses.

use clinicd_proto::r#type::v1 as types;

use crate::kernel::error::{Error, Faults, Result};
use crate::kernel::text;

/// The country codes of ISO 3166-1 (alpha-2).
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ \
    BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ \
    DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP \
    GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI \
    KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP \
    MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM \
    PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX \
    SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU \
    WF WS YE YT ZA ZM ZW";

/// Cleans an address: text as in [`crate::kernel::text`], a country of ISO 3166-1. `field` is the
/// path of the address in the request.
pub fn clean_address(field: &str, address: &types::Address) -> Result<types::Address> {
    let path = |name: &str| format!("{field}.{name}");
    let mut faults = Faults::default();
    let mut lines = Vec::with_capacity(address.lines.len());
    for (at, line) in address.lines.iter().enumerate() {
        lines.push(faults.keep(text::required_line(&path(&format!("lines[{at}]")), line)));
    }
    let clean = types::Address {
        lines,
        city: faults.keep(text::required_line(&path("city"), &address.city)),
        region: faults.keep(text::line(&path("region"), &address.region)),
        postal_code: faults.keep(text::line(&path("postal_code"), &address.postal_code)),
        country_code: address.country_code.clone(),
    };
    if let Err(fault) = check_country(&path("country_code"), &clean.country_code) {
        faults.add(fault);
    }
    faults.check()?;
    Ok(clean)
}

/// Refuses what is no country of ISO 3166-1. `field` is its path in the request.
pub(super) fn check_country(field: &str, code: &str) -> Result<()> {
    if COUNTRIES.split_ascii_whitespace().any(|known| known == code) {
        return Ok(());
    }
    Err(Error::field(field, "must be an ISO 3166-1 country code in capitals, such as IN"))
}

/// An address as lines to print within its country: street lines, then city, region and code.
#[must_use]
pub fn printed(address: &types::Address) -> Vec<String> {
    let place = [&address.region, &address.postal_code].map(String::as_str);
    let place = place.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    let last = [address.city.as_str(), &place];
    let last = last.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    let lines = address.lines.iter().cloned().chain([last]);
    lines.filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn address() -> types::Address {
        types::Address {
            lines: vec!["12 FC Road ".into()],
            city: " Pune".into(),
            region: "Maharashtra".into(),
            postal_code: "411004".into(),
            country_code: "IN".into(),
        }
    }

    #[test]
    fn an_address_is_cleaned_and_printed() {
        let clean = clean_address("clinic_address", &address()).unwrap();
        assert_eq!(printed(&clean), ["12 FC Road", "Pune, Maharashtra 411004"]);
        assert!(printed(&types::Address::default()).is_empty());
    }

    #[test]
    fn unknown_countries_and_blank_lines_are_refused() {
        for bad in [
            types::Address { country_code: "XX".into(), ..address() },
            types::Address { country_code: "in".into(), ..address() },
            types::Address { lines: vec![" ".into()], ..address() },
            types::Address { city: "\u{200b}".into(), ..address() },
        ] {
            assert!(clean_address("clinic_address", &bad).is_err());
        }
        assert_eq!(COUNTRIES.split_ascii_whitespace().count(), 249);
    }
}
