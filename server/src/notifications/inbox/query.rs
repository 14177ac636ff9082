//! Pages of an inbox. The SQL has one shape per filter and order.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::QueryResult;
use diesel::sql_types::{self, BigInt, Jsonb, Nullable, Text, Timestamptz};
use serde_json::Value;
use uuid::Uuid;

use crate::kernel::events::ResourceKind;
use crate::kernel::kinds::{AccountId, Time};
use crate::kernel::page::Place;
use crate::shaped_queries;

/// A message in an inbox.
#[derive(Debug, Clone, diesel::Queryable)]
pub(in crate::notifications) struct InboxRow {
    pub(in crate::notifications) id: Uuid,
    pub(in crate::notifications) created_at: Time,
    pub(in crate::notifications) kind: String,
    pub(in crate::notifications) values: Value,
    pub(in crate::notifications) resource_kind: Option<ResourceKind>,
    pub(in crate::notifications) resource: Option<Uuid>,
    pub(in crate::notifications) read_at: Option<Time>,
}

type InboxSql = (
    sql_types::Uuid,
    Timestamptz,
    Text,
    Jsonb,
    Nullable<Text>,
    Nullable<sql_types::Uuid>,
    Nullable<Timestamptz>,
);

/// Which messages are asked for.
#[derive(Debug, Clone, Copy)]
pub(in crate::notifications) struct Filter {
    pub(in crate::notifications) account: AccountId,
    /// Only unread ones.
    pub(in crate::notifications) unread: bool,
}

/// One page of messages, by id.
#[derive(Debug, Clone)]
pub(in crate::notifications) struct Page {
    pub(in crate::notifications) filter: Filter,
    pub(in crate::notifications) place: Place,
}

/// How many messages match.
#[derive(Debug, Clone)]
pub(in crate::notifications) struct Count(pub(in crate::notifications) Filter);

impl Filter {
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(" FROM notifications WHERE in_inbox AND account_id = ");
        out.push_bind_param::<sql_types::Uuid, _>(&self.account)?;
        if self.unread {
            out.push_sql(" AND read_at IS NULL");
        }
        Ok(())
    }
}

impl QueryFragment<Pg> for Page {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT id, created_at, kind, template_values, resource_kind, resource_id, read_at",
        );
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

shaped_queries! { Page -> InboxSql, Count -> BigInt }
