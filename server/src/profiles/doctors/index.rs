//! The words by which the directory finds a doctor.

use std::collections::BTreeMap;

use diesel_async::RunQueryDsl;

use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::Result;
use crate::kernel::text;
use crate::statement;

/// What is searched of a doctor.
#[derive(Debug, Clone, Copy)]
pub struct Searched<'a> {
    /// Given names.
    pub given_name: &'a str,
    /// Family name.
    pub family_name: &'a str,
    /// Name of the specialty, not its code.
    pub specialty_name: &'a str,
    /// Qualification.
    pub qualification: &'a str,
    /// Name of the clinic.
    pub clinic_name: &'a str,
    /// City of the clinic.
    pub clinic_city: &'a str,
}

statement! {
    /// Remembers the words, sorted, so that two doctors with the same ones do not deadlock.
    RememberWords { words: List<String> },
    "INSERT INTO doctor_words (word) SELECT unnest($1) ON CONFLICT DO NOTHING";
}

impl Searched<'_> {
    /// Each word with the letter of the best field that holds it.
    fn words(&self) -> BTreeMap<String, char> {
        let fields = [
            (self.given_name, 'A'),
            (self.family_name, 'A'),
            (self.specialty_name, 'B'),
            (self.qualification, 'C'),
            (self.clinic_name, 'C'),
            (self.clinic_city, 'C'),
        ];
        let mut words = BTreeMap::new();
        for (field, letter) in fields {
            for word in text::words(field) {
                words.entry(word).or_insert(letter);
            }
        }
        words
    }

    /// The tsvector in text form, and its words, sorted.
    #[must_use]
    pub fn text(&self) -> (String, Vec<String>) {
        let words = self.words();
        (vector(&words), words.into_keys().collect())
    }

    /// The tsvector in text form, after its words were remembered for those who mistype them.
    pub(super) async fn index(&self, conn: &mut Conn) -> Result<String> {
        let (vector, words) = self.text();
        RememberWords { words: List(words) }.execute(conn).await?;
        Ok(vector)
    }
}

/// A word holds neither quote nor backslash: [`text::words`] splits there.
fn vector(words: &BTreeMap<String, char>) -> String {
    let lexemes: Vec<String> =
        words.iter().map(|(word, letter)| format!("'{word}':1{letter}")).collect();
    lexemes.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_keeps_its_best_field() {
        let doctor = Searched {
            given_name: "José",
            family_name: "D'Souza",
            specialty_name: "Cardiology",
            qualification: "MD",
            clinic_name: "Jose's Clinic",
            clinic_city: "Pune",
        };
        assert_eq!(
            vector(&doctor.words()),
            "'cardiology':1B 'clinic':1C 'd':1A 'jose':1A 'md':1C 'pune':1C 's':1C 'souza':1A"
        );
    }
}
