//! Pages of endpoints and of deliveries. The SQL has one shape per combination of filters and order.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::QueryResult;
use diesel::sql_types::{self, BigInt, Integer, Nullable, Text, Timestamptz};
use uuid::Uuid;

use clinicd_proto::feed::v1 as pb;

use super::rows::{EndpointId, EndpointSql, endpoint_columns};
use crate::kernel::kinds::{AccountId, Time, wire_enum};
use crate::kernel::page::Place;
use crate::shaped_queries;

wire_enum! {
    /// What became of an event.
    DeliveryState = pb::WebhookDeliveryState {
        /// It waits.
        Pending = "pending",
        /// It was taken.
        Delivered = "delivered",
        /// It was given up.
        Failed = "failed",
    }
}

/// Whose endpoints; none: everybody's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner(pub(super) Option<AccountId>);

/// A page of endpoints.
#[derive(Debug, Clone)]
pub(super) struct EndpointPage(pub(super) Owner, pub(super) Place);

/// How many endpoints there are.
#[derive(Debug, Clone)]
pub(super) struct EndpointCount(pub(super) Owner);

/// A delivery as it is listed.
#[derive(Debug, Clone, diesel::Queryable)]
pub(super) struct DeliveryRow {
    pub(super) id: Uuid,
    created_at: Time,
    event_id: Uuid,
    event_type: String,
    state: DeliveryState,
    attempts: i32,
    status_code: i32,
    reason: String,
    next_at: Option<Time>,
    ended_at: Option<Time>,
}

type DeliverySql = (
    sql_types::Uuid,
    Timestamptz,
    sql_types::Uuid,
    Text,
    Text,
    Integer,
    Integer,
    Text,
    Nullable<Timestamptz>,
    Nullable<Timestamptz>,
);

/// Which deliveries are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter {
    pub(super) endpoint: EndpointId,
    pub(super) state: Option<DeliveryState>,
}

/// A page of deliveries.
#[derive(Debug, Clone)]
pub(super) struct DeliveryPage(pub(super) Filter, pub(super) Place);

/// How many deliveries match.
#[derive(Debug, Clone)]
pub(super) struct DeliveryCount(pub(super) Filter);

impl Owner {
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(" FROM webhook_endpoints WHERE state <> 'deleted'");
        if let Some(owner) = &self.0 {
            out.push_sql(" AND service_account_id = ");
            out.push_bind_param::<sql_types::Uuid, _>(owner)?;
        }
        Ok(())
    }
}

impl QueryFragment<Pg> for EndpointPage {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(endpoint_columns!("SELECT", ""));
        self.0.push(&mut out)?;
        self.1.push(&mut out)
    }
}

impl QueryFragment<Pg> for EndpointCount {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT count(*)");
        self.0.push(&mut out)
    }
}

impl Filter {
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(" FROM webhook_deliveries WHERE endpoint_id = ");
        out.push_bind_param::<sql_types::Uuid, _>(&self.endpoint)?;
        if let Some(state) = &self.state {
            out.push_sql(" AND state = ");
            out.push_bind_param::<Text, _>(state)?;
        }
        Ok(())
    }
}

impl QueryFragment<Pg> for DeliveryPage {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT id, created_at, event_id, event_type, state, attempts, status_code, reason, \
                next_at, ended_at",
        );
        self.0.push(&mut out)?;
        self.1.push(&mut out)
    }
}

impl QueryFragment<Pg> for DeliveryCount {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT count(*)");
        self.0.push(&mut out)
    }
}

shaped_queries! {
    EndpointPage -> EndpointSql,
    EndpointCount -> BigInt,
    DeliveryPage -> DeliverySql,
    DeliveryCount -> BigInt,
}

impl From<DeliveryRow> for pb::WebhookDelivery {
    fn from(row: DeliveryRow) -> Self {
        Self {
            id: row.id.to_string(),
            create_time: Some(row.created_at.into()),
            event_id: row.event_id.to_string(),
            event_type: row.event_type,
            state: row.state.into(),
            attempts: row.attempts,
            status_code: row.status_code,
            reason: row.reason,
            next_attempt_time: row.next_at.map(Into::into),
            end_time: row.ended_at.map(Into::into),
        }
    }
}
