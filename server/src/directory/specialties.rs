//! The list of specialties.

use diesel::sql_types::{Bool, Text};
use diesel_async::RunQueryDsl;
use prost::Message;

use clinicd_proto::directory::v1 as pb;

use crate::app::App;
use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::page::PageRequest;
use crate::kernel::text;
use crate::statement;

statement! {
    /// Specialties by name whose folded name holds the folded text, literally.
    SpecialtiesAfter { text: String, after: Option<String>, limit: i64 } -> (Text, Text),
    "SELECT code, name FROM specialties \
     WHERE position(fold($1) IN fold(name)) > 0 AND ($2 IS NULL OR name > $2) \
     ORDER BY name LIMIT $3";

    /// Whether there is such a specialty.
    SpecialtyExists { code: String } -> Bool,
    "SELECT EXISTS (SELECT FROM specialties WHERE code = $1)";
}

/// One page of the specialties.
pub(super) async fn list(
    app: &App,
    request: pb::ListSpecialtiesRequest,
) -> Result<pb::ListSpecialtiesResponse> {
    let (page_size, page_token) = (request.page_size, request.page_token.clone());
    let text = text::searched(&request.query);
    let filter = pb::ListSpecialtiesRequest { page_size: 0, page_token: String::new(), ..request };
    let page = app.pages.open::<String>(&PageRequest {
        list: "specialties",
        page_size,
        page_token: &page_token,
        bound_to: &[&filter.encode_to_vec()],
    })?;
    let query = SpecialtiesAfter { text, after: page.after.clone(), limit: page.limit + 1 };
    let query = &query;
    let rows: Vec<(String, String)> = app
        .db
        .read_stale(async move |conn: &mut Conn| Ok(query.clone().get_results(conn).await?))
        .await?;
    let (rows, next_page_token) = page.close(rows, |(_, name)| name.clone())?;
    let specialties = rows.into_iter().map(|(code, name)| pb::Specialty { code, name }).collect();
    Ok(pb::ListSpecialtiesResponse { specialties, next_page_token })
}

/// Whether the platform lists this specialty.
pub async fn specialty_exists(conn: &mut Conn, code: &str) -> Result<bool> {
    Ok(SpecialtyExists { code: text::searched(code) }.get_result(conn).await?)
}
