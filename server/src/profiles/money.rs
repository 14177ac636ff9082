//! Money: on the wire units and nanos, in the database whole minor units. No floating point.

use clinicd_proto::r#type::v1 as types;

use crate::kernel::error::{Error, Result};

/// Currencies of ISO 4217 whose minor unit is not a hundredth, with its number of decimals.
const EXCEPTIONS: &[(u32, &str)] = &[
    (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
    (4, "CLF UYW"),
];

/// Currencies of ISO 4217 with a hundredth as minor unit.
const HUNDREDTHS: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD \
    BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR \
    FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD \
    KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN \
    NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS \
    SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD \
    XCG YER ZAR ZMW ZWG";

/// Nanos of one unit.
const NANOS: i64 = 1_000_000_000;

/// Decimals of a currency; `None` for what is no currency.
fn decimals(code: &str) -> Option<u32> {
    let holds = |list: &str| list.split_ascii_whitespace().any(|listed| listed == code);
    let exception = EXCEPTIONS.iter().find(|(_, list)| holds(list)).map(|(decimals, _)| *decimals);
    exception.or_else(|| holds(HUNDREDTHS).then_some(2))
}

/// An amount as it is sent. A currency that this table lacks is taken to have hundredths.
#[must_use]
pub fn money_to_wire(currency: &str, minor_units: i64) -> types::Money {
    let per_unit = 10_i64.pow(decimals(currency).unwrap_or(2));
    let nanos = minor_units % per_unit * (NANOS / per_unit);
    types::Money {
        currency_code: currency.to_owned(),
        units: minor_units / per_unit,
        nanos: i32::try_from(nanos).unwrap_or(0),
    }
}

/// Currency code and minor units of an amount that must not be negative. `field` is the path of
/// the amount in the request.
pub fn money_from_wire(field: &str, money: &types::Money) -> Result<(String, i64)> {
    let refused = |name: &str, remedy: &str| Err(Error::field(format!("{field}.{name}"), remedy));
    let Some(decimals) = decimals(&money.currency_code) else {
        return refused("currency_code", "must be an ISO 4217 currency code, such as INR");
    };
    let (units, nanos) = (money.units, i64::from(money.nanos));
    if units.signum() * nanos.signum() < 0 {
        return refused("nanos", "must have the sign of units");
    }
    if units < 0 {
        return refused("units", "must not be negative");
    }
    if nanos < 0 {
        return refused("nanos", "must not be negative");
    }
    let per_unit = 10_i64.pow(decimals);
    let step = NANOS / per_unit;
    if nanos >= NANOS || nanos % step != 0 {
        return refused("nanos", "must be a whole number of the currency's minor units");
    }
    match units.checked_mul(per_unit).and_then(|minor| minor.checked_add(nanos / step)) {
        Some(minor) => Ok((money.currency_code.clone(), minor)),
        None => refused("units", "is too large"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn money(code: &str, units: i64, nanos: i32) -> types::Money {
        types::Money { currency_code: code.to_owned(), units, nanos }
    }

    #[test]
    fn amounts_come_back_as_they_were() {
        for (sent, minor) in [
            (money("INR", 500, 0), 50_000),
            (money("INR", 0, 10_000_000), 1),
            (money("USD", 12, 990_000_000), 1_299),
            (money("JPY", 3_000, 0), 3_000),
            (money("KWD", 1, 1_000_000), 1_001),
            (money("CLF", 1, 100_000), 10_001),
            (money("EUR", 0, 0), 0),
            (money("INR", 1_000_000_000_000, 0), 100_000_000_000_000),
        ] {
            let stored = money_from_wire("fee", &sent).unwrap();
            assert_eq!(stored, (sent.currency_code.clone(), minor));
            assert_eq!(money_to_wire(&stored.0, stored.1), sent);
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for bad in [
            money("INR", -1, 0),
            money("INR", 0, -10_000_000),
            money("INR", 1, -10_000_000),
            money("INR", -1, 10_000_000),
            money("INR", 1, 5_000_000),
            money("JPY", 1, 500_000_000),
            money("KWD", 1, 500_000),
            money("INR", 1, 1_000_000_000),
            money("INR", i64::MAX, 0),
            money("inr", 1, 0),
            money("XXX", 1, 0),
            money("ZZZ", 1, 0),
            money("", 1, 0),
            money("INR EUR", 1, 0),
        ] {
            assert!(money_from_wire("fee", &bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_code_is_listed_once() {
        let mut codes: Vec<&str> = EXCEPTIONS.iter().map(|(_, list)| *list).collect();
        codes.push(HUNDREDTHS);
        let mut codes: Vec<&str> =
            codes.iter().flat_map(|list| list.split_ascii_whitespace()).collect();
        let all = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all);
        assert!(codes.iter().all(|code| code.len() == 3));
    }
}
