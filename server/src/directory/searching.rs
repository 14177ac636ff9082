//! The public finds doctors.

use prost::Message;

use clinicd_proto::directory::v1 as pb;
use clinicd_proto::r#type::v1 as types;

use super::rows::{self, PublicRow, Search};
use super::rules::{self, Queries, Term, Wanted};
use crate::app::App;
use crate::appointments;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::{ConsultationMode, DoctorId};
use crate::kernel::page::PageRequest;
use crate::profiles;

/// How alike to a typed word a word of a doctor must be to be meant by it, when nobody is found by
/// the words as typed: a slip in a long word first, then two in a short name.
const LIKENESS: [&str; 2] = ["0.6", "0.4"];

/// Key of a row: how many times the likeness was lowered, its score, its doctor.
type Key = (usize, i32, DoctorId);

/// One page of the doctors who match.
pub(super) async fn search(
    app: &App,
    request: pb::SearchDoctorsRequest,
) -> Result<pb::SearchDoctorsResponse> {
    let (page_size, page_token) = (request.page_size, request.page_token.clone());
    let filter = pb::SearchDoctorsRequest { page_size: 0, page_token: String::new(), ..request };
    let page = app.pages.open::<Key>(&PageRequest {
        list: "doctors",
        page_size,
        page_token: &page_token,
        bound_to: &[&filter.encode_to_vec()],
    })?;
    let words = match rules::wanted(&filter.query) {
        Wanted::All => Vec::new(),
        Wanted::Words(words) => words,
        Wanted::Nobody => return Ok(pb::SearchDoctorsResponse::default()),
    };
    let search = Search {
        queries: None,
        specialty: rules::equal_to(filter.specialty_code.as_ref()),
        city: rules::equal_to(filter.city.as_ref()),
        mode: filter.mode.and_then(ConsultationMode::from_wire),
        after: page.after.map(|(_, score, id)| (score, id)),
        limit: page.limit + 1,
    };
    let (page, search, words) = (&page, &search, &words);
    app.db
        .read_stale(async move |conn: &mut Conn| {
            let level_before = page.after.map(|(level, ..)| level);
            let (rows, level) = find(conn, search.clone(), words, level_before).await?;
            let (rows, next_page_token) =
                page.close(rows, |(row, score)| (level, *score, row.id))?;
            let rows = rows.into_iter().map(|(row, _)| row).collect();
            Ok(pb::SearchDoctorsResponse { hits: hits(app, conn, rows).await?, next_page_token })
        })
        .await
}

/// The rows, and how many times the likeness was lowered to find them. A further page goes on as
/// the page before has found its rows.
async fn find(
    conn: &mut Conn,
    mut search: Search,
    words: &[String],
    level_before: Option<usize>,
) -> Result<(Vec<(PublicRow, i32)>, usize)> {
    if words.is_empty() {
        return Ok((search.run(conn).await?, 0));
    }
    let levels = match level_before {
        Some(level) => level..=level,
        None => 0..=LIKENESS.len(),
    };
    for level in levels {
        let terms = terms(conn, words, level).await?;
        if level > 0 && terms.iter().all(|term| term.meant.is_empty()) {
            continue;
        }
        search.queries = Some(Queries::new(&terms));
        let rows = search.run(conn).await?;
        if !rows.is_empty() {
            return Ok((rows, level));
        }
    }
    Ok((Vec::new(), 0))
}

/// The words as typed on level 0, with what they may have been meant to be on the others.
async fn terms(conn: &mut Conn, words: &[String], level: usize) -> Result<Vec<Term>> {
    let Some(likeness) = level.checked_sub(1).and_then(|at| LIKENESS.get(at)) else {
        let typed = |word: &String| Term { typed: word.clone(), meant: Vec::new() };
        return Ok(words.iter().map(typed).collect());
    };
    rows::meant(conn, words, likeness).await
}

async fn hits(app: &App, conn: &mut Conn, rows: Vec<PublicRow>) -> Result<Vec<pb::DoctorHit>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let doctors: Vec<DoctorId> = rows.iter().map(|row| row.id).collect();
    let mut fees = profiles::public_fees(conn, &doctors).await?;
    let mut slots = appointments::next_free_slots(app, conn, &doctors).await?;
    Ok(rows
        .into_iter()
        .map(|row| pb::DoctorHit {
            next_free_slot: slots.remove(&row.id).map(|(start, end)| types::TimeRange {
                start: Some(start.into()),
                end: Some(end.into()),
            }),
            doctor: Some({
                let fees = fees.remove(&row.id).unwrap_or_default();
                row.into_public(fees)
            }),
        })
        .collect())
}

/// What the public sees of one doctor.
pub(super) async fn get(
    app: &App,
    request: &pb::GetPublicDoctorRequest,
) -> Result<pb::GetPublicDoctorResponse> {
    let id = DoctorId::from_wire("doctor_id", &request.doctor_id)?;
    let mut conn = app.db.read().await?;
    let row = rows::find(&mut conn, id).await?.ok_or_else(|| Error::not_found("doctor"))?;
    let fees = profiles::public_fees(&mut conn, &[id]).await?.remove(&id).unwrap_or_default();
    Ok(pb::GetPublicDoctorResponse { doctor: Some(row.into_public(fees)) })
}
