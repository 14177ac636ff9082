//! The public finds doctors.

use prost::Message;

use clinicd_proto::directory::v1 as pb;
use clinicd_proto::r#type::v1 as types;

use super::rows::{self, PublicRow, Search};
use super::rules::{self, Wanted};
use crate::app::App;
use crate::appointments;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::{ConsultationMode, DoctorId};
use crate::kernel::page::PageRequest;
use crate::profiles;

/// How alike a word must be when nobody matches as well as pg_trgm asks for by default (0.6): it
/// takes two typing errors in a short name.
const LOOSE: &str = "0.4";

/// Key of a row: whether the search was loose, its score, its doctor.
type Key = (bool, i32, DoctorId);

/// One page of the doctors who match.
pub(super) async fn search(
    app: &App,
    request: pb::SearchDoctorsRequest,
) -> Result<pb::SearchDoctorsResponse> {
    let words = match rules::wanted(&request.query) {
        Wanted::All => Vec::new(),
        Wanted::Words(words) => words,
        Wanted::Nobody => return Ok(pb::SearchDoctorsResponse::default()),
    };
    let (page_size, page_token) = (request.page_size, request.page_token.clone());
    let filter = pb::SearchDoctorsRequest { page_size: 0, page_token: String::new(), ..request };
    let page = app.pages.open::<Key>(&PageRequest {
        list: "doctors",
        page_size,
        page_token: &page_token,
        bound_to: &[&filter.encode_to_vec()],
    })?;
    let search = Search {
        phrase: words.join(" "),
        words,
        specialty: rules::equal_to(filter.specialty_code.as_ref()),
        city: rules::equal_to(filter.city.as_ref()),
        mode: filter.mode.and_then(ConsultationMode::from_wire),
        after: page.after.map(|(_, score, id)| (score, id)),
        limit: page.limit + 1,
    };
    let (rows, loose) = find(app, &search, page.after.map(|(loose, ..)| loose)).await?;
    let (rows, next_page_token) = page.close(rows, |(row, score)| (loose, *score, row.id))?;
    let rows = rows.into_iter().map(|(row, _)| row).collect();
    Ok(pb::SearchDoctorsResponse { hits: hits(app, rows).await?, next_page_token })
}

/// The rows, and whether they were found by the loose search. The page before decides which of the
/// two goes on.
async fn find(
    app: &App,
    search: &Search,
    loose_before: Option<bool>,
) -> Result<(Vec<(PublicRow, i32)>, bool)> {
    if loose_before != Some(true) {
        let rows = search.run(&mut *app.db.read().await?).await?;
        if !rows.is_empty() || search.words.is_empty() || loose_before.is_some() {
            return Ok((rows, false));
        }
    }
    let rows = app.db.transaction(async move |conn: &mut Conn| {
        rows::set_likeness(conn, LOOSE).await?;
        search.run(conn).await
    });
    Ok((rows.await?, true))
}

async fn hits(app: &App, rows: Vec<PublicRow>) -> Result<Vec<pb::DoctorHit>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let doctors: Vec<DoctorId> = rows.iter().map(|row| row.id).collect();
    let mut conn = app.db.read().await?;
    let mut fees = profiles::public_fees(&mut conn, &doctors).await?;
    let mut slots = appointments::next_free_slots(app, &mut conn, &doctors).await?;
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
