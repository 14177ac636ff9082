//! Pages of deliveries. The SQL has one shape per combination of filters and order.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::QueryResult;
use diesel::sql_types::{self, BigInt, Integer, Nullable, Text, Timestamptz};
use uuid::Uuid;

use clinicd_proto::notifications::v1 as pb;

use crate::kernel::kinds::{AccountId, Time};
use crate::kernel::page::Place;
use crate::notifications::outbox::rows::DeliveryState;
use crate::notifications::plan::Channel;
use crate::shaped_queries;

/// A delivery, as admins see it.
#[derive(Debug, Clone, diesel::Queryable)]
pub(in crate::notifications) struct DeliveryRow {
    pub(in crate::notifications) id: Uuid,
    pub(in crate::notifications) created_at: Time,
    pub(in crate::notifications) notification: Uuid,
    pub(in crate::notifications) kind: String,
    pub(in crate::notifications) channel: Channel,
    pub(in crate::notifications) account: Option<AccountId>,
    pub(in crate::notifications) state: DeliveryState,
    pub(in crate::notifications) attempts: i32,
    pub(in crate::notifications) reason: String,
    pub(in crate::notifications) provider_code: i32,
    pub(in crate::notifications) send_at: Time,
    pub(in crate::notifications) ended_at: Option<Time>,
    pub(in crate::notifications) template_version: String,
}

/// The SQL types of [`DeliveryRow`].
pub(in crate::notifications) type DeliverySql = (
    sql_types::Uuid,
    Timestamptz,
    sql_types::Uuid,
    Text,
    Text,
    Nullable<sql_types::Uuid>,
    Text,
    Integer,
    Text,
    Integer,
    Timestamptz,
    Nullable<Timestamptz>,
    Text,
);

/// The columns of [`DeliveryRow`], in its order.
macro_rules! delivery_columns {
    () => {
        "id, created_at, notification_id, kind, channel, account_id, state, attempts, reason, \
         provider_code, send_at, ended_at, template_version"
    };
}
pub(in crate::notifications) use delivery_columns;

/// Which deliveries are asked for.
#[derive(Debug, Clone, Default)]
pub(in crate::notifications) struct Filter {
    pub(in crate::notifications) state: Option<DeliveryState>,
    pub(in crate::notifications) channel: Option<Channel>,
    pub(in crate::notifications) account: Option<AccountId>,
    pub(in crate::notifications) kind: Option<String>,
}

/// One page of deliveries, by id.
#[derive(Debug, Clone)]
pub(in crate::notifications) struct Page {
    pub(in crate::notifications) filter: Filter,
    pub(in crate::notifications) place: Place,
}

/// How many deliveries match.
#[derive(Debug, Clone)]
pub(in crate::notifications) struct Count(pub(in crate::notifications) Filter);

impl Filter {
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(" FROM deliveries WHERE true");
        // Part of the shape: nearly all are sent, and the plan depends on it.
        out.push_sql(match self.state {
            None => "",
            Some(DeliveryState::Pending) => " AND state = 'pending'",
            Some(DeliveryState::Sent) => " AND state = 'sent'",
            Some(DeliveryState::Failed) => " AND state = 'failed'",
            Some(DeliveryState::Skipped) => " AND state = 'skipped'",
        });
        if let Some(channel) = &self.channel {
            out.push_sql(" AND channel = ");
            out.push_bind_param::<Text, _>(channel)?;
        }
        if let Some(account) = &self.account {
            out.push_sql(" AND account_id = ");
            out.push_bind_param::<sql_types::Uuid, _>(account)?;
        }
        if let Some(kind) = &self.kind {
            out.push_sql(" AND kind = ");
            out.push_bind_param::<Text, _>(kind)?;
        }
        Ok(())
    }
}

impl QueryFragment<Pg> for Page {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(concat!("SELECT ", delivery_columns!()));
        self.filter.push(&mut out)?;
        self.place.push(&mut out)
    }
}

impl QueryFragment<Pg> for Count {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT count(*)");
        self.0.push(&mut out)
    }
}

shaped_queries! { Page -> DeliverySql, Count -> BigInt }

impl From<DeliveryRow> for pb::Delivery {
    fn from(row: DeliveryRow) -> Self {
        Self {
            id: row.id.to_string(),
            create_time: Some(row.created_at.into()),
            kind: row.kind,
            channel: row.channel.into(),
            account_id: row.account.map(|account| account.to_string()).unwrap_or_default(),
            state: row.state.into(),
            attempts: row.attempts,
            reason: row.reason,
            provider_code: row.provider_code,
            send_time: Some(row.send_at.into()),
            end_time: row.ended_at.map(Into::into),
            template_version: row.template_version,
        }
    }
}
