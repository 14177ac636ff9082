//! Rows of public doctors, and the search for them.

use diesel::OptionalExtension;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{Array, BigInt, Integer, Text, Uuid};
use diesel_async::RunQueryDsl;

use clinicd_proto::directory::v1 as pb;
use clinicd_proto::profiles::v1::Fee;
use clinicd_proto::r#type::v1 as types;

use super::rules::{Queries, Term};
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::Result;
use crate::kernel::kinds::{ConsultationMode, DoctorId};
use crate::statement;

/// The columns that the public may see, in the order of [`PublicRow`].
macro_rules! public_columns {
    () => {
        "d.id, d.given_name, d.family_name, d.specialty_code, s.name, d.qualification, \
         d.years_of_experience, d.bio, d.languages, d.clinic_name, d.clinic_lines, d.clinic_city, \
         d.clinic_region, d.clinic_postal_code, d.clinic_country_code"
    };
}

/// The SQL types of [`public_columns`].
type PublicColumns = (
    Uuid,
    Text,
    Text,
    Text,
    Text,
    Text,
    Integer,
    Text,
    Array<Text>,
    Text,
    Array<Text>,
    Text,
    Text,
    Text,
    Text,
);

/// What the public sees of a doctor, but for the fees.
#[derive(Debug, Clone, diesel::Queryable)]
pub(super) struct PublicRow {
    pub(super) id: DoctorId,
    given_name: String,
    family_name: String,
    specialty_code: String,
    specialty_name: String,
    qualification: String,
    years_of_experience: i32,
    bio: String,
    languages: Vec<String>,
    clinic_name: String,
    clinic_lines: Vec<String>,
    clinic_city: String,
    clinic_region: String,
    clinic_postal_code: String,
    clinic_country_code: String,
}

statement! {
    /// One approved doctor whose account is active.
    FindPublic { id: DoctorId } -> PublicColumns,
    concat!(
        "SELECT ", public_columns!(), " FROM doctors d \
         JOIN specialties s ON s.code = d.specialty_code \
         JOIN accounts a ON a.id = d.id AND a.state = 'active' \
         WHERE d.id = $1 AND d.closed_at IS NULL"
    );

    /// How alike a word and a text must be, for [`LikeWords`] on this connection.
    SetLikeness { likeness: &'static str },
    "SELECT set_config('pg_trgm.word_similarity_threshold', $1, false)";

    /// For each word, by its number from 1, the words of doctors that are most like it.
    LikeWords { words: List<String> } -> (BigInt, Text),
    "SELECT typed.number, meant.word FROM unnest($1) WITH ORDINALITY typed (word, number) \
     CROSS JOIN LATERAL (SELECT w.word FROM doctor_words w WHERE w.word %> typed.word \
        ORDER BY word_similarity(typed.word, w.word) DESC, similarity(typed.word, w.word) DESC, \
            w.word LIMIT 5) meant";
}

/// The public view of a doctor.
pub(super) async fn find(conn: &mut Conn, id: DoctorId) -> Result<Option<PublicRow>> {
    Ok(FindPublic { id }.get_result(conn).await.optional()?)
}

/// What each word may have been meant to be, of words that are at least this alike (0 to 1).
pub(super) async fn meant(
    conn: &mut Conn,
    words: &[String],
    likeness: &'static str,
) -> Result<Vec<Term>> {
    SetLikeness { likeness }.execute(conn).await?;
    let like: Vec<(i64, String)> =
        LikeWords { words: List(words.to_vec()) }.get_results(conn).await?;
    let terms = (1..).zip(words).map(|(number, typed)| {
        let like = like.iter().filter(|(of, _)| *of == number);
        Term { typed: typed.clone(), meant: like.map(|(_, word)| word.clone()).collect() }
    });
    Ok(terms.collect())
}

/// A search. Its SQL has one shape per combination of filters, so that each shape is planned with
/// the index that suits it.
#[derive(Debug, Clone)]
pub(super) struct Search {
    /// What the words demand; `None` finds all doctors, by id.
    pub(super) queries: Option<Queries>,
    pub(super) specialty: Option<String>,
    pub(super) city: Option<String>,
    pub(super) mode: Option<ConsultationMode>,
    /// Score and id of the last row of the page before.
    pub(super) after: Option<(i32, DoctorId)>,
    /// Most rows.
    pub(super) limit: i64,
}

impl Search {
    /// The rows with their scores, best first.
    pub(super) async fn run(&self, conn: &mut Conn) -> Result<Vec<(PublicRow, i32)>> {
        Ok(self.clone().get_results(conn).await?)
    }

    fn push_filters<'b>(
        &'b self,
        also_from: &str,
        out: &mut AstPass<'_, 'b, Pg>,
    ) -> QueryResult<()> {
        out.push_sql(" FROM doctors d");
        out.push_sql(also_from);
        out.push_sql(
            " WHERE d.available_for_booking AND NOT EXISTS \
             (SELECT FROM accounts a WHERE a.id = d.id AND a.state <> 'active')",
        );
        if let Some(specialty) = &self.specialty {
            out.push_sql(" AND d.specialty_code = ");
            out.push_bind_param::<Text, _>(specialty)?;
        }
        if let Some(city) = &self.city {
            out.push_sql(" AND fold(d.clinic_city) = fold(");
            out.push_bind_param::<Text, _>(city)?;
            out.push_sql(")");
        }
        if let Some(mode) = &self.mode {
            out.push_sql(
                " AND EXISTS (SELECT FROM doctor_fees f WHERE f.doctor_id = d.id AND f.mode = ",
            );
            out.push_bind_param::<Text, _>(mode)?;
            out.push_sql(")");
        }
        Ok(())
    }

    /// Doctors by id: an index already has this order.
    fn push_all<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH page AS (SELECT d.id, 0 AS score");
        self.push_filters("", out)?;
        if let Some((_, id)) = &self.after {
            out.push_sql(" AND d.id > ");
            out.push_bind_param::<Uuid, _>(id)?;
        }
        out.push_sql(" ORDER BY d.id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)
    }

    /// Doctors by score. Materialized, so that each is read and scored once.
    fn push_matching<'b>(
        &'b self,
        queries: &'b Queries,
        out: &mut AstPass<'_, 'b, Pg>,
    ) -> QueryResult<()> {
        // The queries are read from their texts once, not for each row.
        let Queries { found, name, whole, name_begins } = queries;
        out.push_sql("WITH query AS MATERIALIZED (SELECT ");
        for (number, query) in [found, name, whole, name_begins].into_iter().enumerate() {
            out.push_sql(if number == 0 { "" } else { ", " });
            out.push_bind_param::<Text, _>(query)?;
            out.push_sql("::text::tsquery AS ");
            out.push_sql(["found", "name", "whole", "name_begins"][number]);
        }
        out.push_sql(
            "), found AS MATERIALIZED (SELECT d.id, d.search_text::tsvector AS words, query.*",
        );
        self.push_filters(", query", out)?;
        out.push_sql(
            " AND d.search_text::tsvector @@ query.found), hits AS MATERIALIZED (SELECT id, \
             4 * (words @@ name)::integer + 2 * (words @@ whole)::integer \
             + (words @@ name_begins)::integer AS score FROM found), \
             page AS (SELECT id, score FROM hits",
        );
        if let Some((score, id)) = &self.after {
            out.push_sql(" WHERE (-score, id) > (-");
            out.push_bind_param::<Integer, _>(score)?;
            out.push_sql(", ");
            out.push_bind_param::<Uuid, _>(id)?;
            out.push_sql(")");
        }
        out.push_sql(" ORDER BY score DESC, id LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)
    }
}

impl QueryFragment<Pg> for Search {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        match &self.queries {
            None => self.push_all(&mut out)?,
            Some(queries) => self.push_matching(queries, &mut out)?,
        }
        out.push_sql(concat!(
            ") SELECT ",
            public_columns!(),
            ", page.score FROM page JOIN doctors d ON d.id = page.id \
             JOIN specialties s ON s.code = d.specialty_code ORDER BY page.score DESC, d.id"
        ));
        Ok(())
    }
}

impl QueryId for Search {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Search {
    type SqlType = (PublicColumns, Integer);
}

impl PublicRow {
    /// The message. The one place where a doctor becomes public.
    pub(super) fn into_public(self, fees: Vec<Fee>) -> pb::PublicDoctor {
        let address = (!self.clinic_city.is_empty()).then_some(types::Address {
            lines: self.clinic_lines,
            city: self.clinic_city,
            region: self.clinic_region,
            postal_code: self.clinic_postal_code,
            country_code: self.clinic_country_code,
        });
        pb::PublicDoctor {
            id: self.id.to_string(),
            name: Some(types::PersonName { given: self.given_name, family: self.family_name }),
            specialty: Some(pb::Specialty { code: self.specialty_code, name: self.specialty_name }),
            qualification: self.qualification,
            years_of_experience: self.years_of_experience,
            bio: self.bio,
            languages: self.languages,
            fees,
            clinic_name: self.clinic_name,
            clinic_address: address,
        }
    }
}
