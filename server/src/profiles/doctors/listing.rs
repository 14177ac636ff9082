//! The doctors, for those who work with them. The SQL has one shape per combination of filters and
//! order.

use std::collections::HashMap;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Text, Uuid as UuidSql};
use diesel_async::RunQueryDsl;
use prost::Message;
use uuid::Uuid;

use clinicd_proto::profiles::v1 as pb;

use super::rows::{self, DoctorRow, DoctorSql, FeeRow, profile, select_doctor};
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::DoctorId;
use crate::kernel::page::{Direction, PageRequest, order_by_id};
use crate::kernel::text;
use crate::shaped_queries;

/// Which doctors are asked for.
#[derive(Debug, Clone, Default)]
struct Filter {
    specialty_code: Option<String>,
    city: Option<String>,
    /// Beginning of the given or the family name.
    name: Option<String>,
    available: Option<bool>,
}

/// One page of them.
#[derive(Debug, Clone)]
struct Page {
    filter: Filter,
    direction: Direction,
    /// The last doctor of the page before.
    after: Option<DoctorId>,
    /// Most rows.
    limit: i64,
}

/// How many match.
#[derive(Debug, Clone)]
struct Count(Filter);

/// One page of the doctors.
pub(in crate::profiles) async fn list(
    app: &App,
    caller: &Caller,
    request: pb::ListDoctorsRequest,
) -> Result<pb::ListDoctorsResponse> {
    let direction = order_by_id(&request.order_by)?;
    let words = |value: &Option<String>| {
        value.as_deref().map(text::searched).filter(|value| !value.is_empty())
    };
    let filter = Filter {
        specialty_code: words(&request.specialty_code),
        city: words(&request.city),
        name: words(&request.name),
        available: request.available_for_booking,
    };
    let bound = pb::ListDoctorsRequest {
        page_size: 0,
        page_token: String::new(),
        include_total: false,
        ..request.clone()
    };
    let page = app.pages.open::<Uuid>(&PageRequest {
        list: "profiles.doctors",
        page_size: request.page_size,
        page_token: &request.page_token,
        bound_to: &[&bound.encode_to_vec(), caller.require_account()?.0.as_bytes()],
    })?;
    let mut conn = app.db.read().await?;
    let (after, limit) = (page.after.map(DoctorId), page.limit + 1);
    let query = Page { filter: filter.clone(), direction, after, limit };
    let found: Vec<DoctorRow> = query.get_results(&mut conn).await?;
    let mut total_size = None;
    if request.include_total {
        total_size = Some(Count(filter).get_result(&mut conn).await?);
    }
    let (found, next_page_token) = page.close(found, |row| row.id.0)?;
    let doctors = with_fees(&mut conn, found).await?;
    Ok(pb::ListDoctorsResponse { doctors, next_page_token, total_size })
}

/// One doctor.
pub(in crate::profiles) async fn get(
    app: &App,
    request: pb::GetDoctorRequest,
) -> Result<pb::GetDoctorResponse> {
    let id = DoctorId::from_wire("doctor_id", &request.doctor_id)?;
    let mut conn = app.db.read().await?;
    let row = rows::find_present(&mut conn, id).await?;
    let row = row.ok_or_else(|| Error::not_found("doctor"))?;
    Ok(pb::GetDoctorResponse { doctor: with_fees(&mut conn, vec![row]).await?.pop() })
}

async fn with_fees(conn: &mut Conn, found: Vec<DoctorRow>) -> Result<Vec<pb::DoctorProfile>> {
    let ids: Vec<DoctorId> = found.iter().map(|row| row.id).collect();
    let mut fees: HashMap<DoctorId, Vec<FeeRow>> = HashMap::new();
    for fee in rows::fees(conn, &ids).await? {
        fees.entry(fee.doctor).or_default().push(fee);
    }
    let with_fees = |row: DoctorRow| {
        let fees = fees.remove(&row.id).unwrap_or_default();
        profile(row, fees)
    };
    Ok(found.into_iter().map(with_fees).collect())
}

impl Filter {
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(" WHERE d.closed_at IS NULL");
        if let Some(specialty) = &self.specialty_code {
            out.push_sql(" AND d.specialty_code = ");
            out.push_bind_param::<Text, _>(specialty)?;
        }
        if let Some(city) = &self.city {
            out.push_sql(" AND fold(d.clinic_city) = fold(");
            out.push_bind_param::<Text, _>(city)?;
            out.push_sql(")");
        }
        out.push_sql(match self.available {
            None => "",
            Some(true) => " AND d.available_for_booking",
            Some(false) => " AND NOT d.available_for_booking",
        });
        let Some(name) = &self.name else { return Ok(()) };
        for (before, column) in [(" AND (", "d.given_name"), (" OR ", "d.family_name")] {
            for (link, last) in [(" ~>=~ (fold(", ")"), (" ~<~ (fold(", " || U&'\\+10FFFF')")] {
                out.push_sql(if last == ")" { before } else { " AND " });
                out.push_sql("fold(");
                out.push_sql(column);
                out.push_sql(")");
                out.push_sql(link);
                out.push_bind_param::<Text, _>(name)?;
                out.push_sql(")");
                out.push_sql(last);
            }
        }
        out.push_sql(")");
        Ok(())
    }
}

impl QueryFragment<Pg> for Page {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let ascending = self.direction == Direction::Ascending;
        out.push_sql(select_doctor!(""));
        self.filter.push(&mut out)?;
        if let Some(after) = &self.after {
            out.push_sql(if ascending { " AND d.id > " } else { " AND d.id < " });
            out.push_bind_param::<UuidSql, _>(after)?;
        }
        out.push_sql(if ascending {
            " ORDER BY d.id LIMIT "
        } else {
            " ORDER BY d.id DESC LIMIT "
        });
        out.push_bind_param::<BigInt, _>(&self.limit)
    }
}

impl QueryFragment<Pg> for Count {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT count(*) FROM doctors d");
        self.0.push(&mut out)
    }
}

shaped_queries! { Page -> DoctorSql, Count -> BigInt }
