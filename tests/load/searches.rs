//! What people type into the search for doctors.

use clinicd_sdk::proto::directory::v1::SearchDoctorsRequest;

use crate::names::{CITIES, CLINICS, FAMILY, GIVEN};
use crate::random::Random;

/// Doctors on a page of results.
const PAGE: i32 = 10;

/// Any search: a name, a part of one, a specialty, a city, a clinic; or a name mistyped.
pub fn any(codes: &[String], with_typos: bool, random: &mut Random) -> SearchDoctorsRequest {
    let (given, family) = (random.word(GIVEN), random.word(FAMILY));
    let city = random.pick(CITIES).map(|(city, ..)| *city).unwrap_or_default();
    let code = random.pick(codes).cloned().unwrap_or_default();
    let request = SearchDoctorsRequest { page_size: PAGE, ..Default::default() };
    if with_typos {
        return SearchDoctorsRequest { query: mistyped(family, random), ..request };
    }
    match random.below(8) {
        0 => SearchDoctorsRequest { query: family.to_owned(), ..request },
        1 => SearchDoctorsRequest { query: format!("{given} {family}"), ..request },
        2 => SearchDoctorsRequest { query: family.chars().take(4).collect(), ..request },
        3 => SearchDoctorsRequest { query: format!("Dr. {family} {city}"), ..request },
        4 => SearchDoctorsRequest { specialty_code: Some(code), ..request },
        5 => SearchDoctorsRequest {
            specialty_code: Some(code),
            city: Some(city.to_owned()),
            ..request
        },
        6 => SearchDoctorsRequest { query: city.to_owned(), ..request },
        _ => SearchDoctorsRequest {
            query: format!("{} {family}", random.word(CLINICS)),
            city: Some(city.to_owned()),
            ..request
        },
    }
}

/// The name with two neighbouring letters exchanged, or one letter left out.
fn mistyped(name: &str, random: &mut Random) -> String {
    let mut letters: Vec<char> = name.chars().collect();
    let at = 1 + random.below(letters.len().saturating_sub(3));
    if letters.len() > 4 && random.percent(50) {
        letters.remove(at);
    } else if at + 1 < letters.len() {
        letters.swap(at, at + 1);
    }
    letters.into_iter().collect()
}
