//! Pages of an inbox. The SQL has one shape per filter and order.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::QueryResult;
use diesel::sql_types::{self, BigInt, Jsonb, Nullable, Text, Timestamptz};
use serde_json::Value;
use uuid::Uuid;

use crate::kernel::events::ResourceKind;
use crate::kernel::kinds::{AccountId, Time};
use crate::kernel::page::Direction;
use crate::shaped_queries;

/// A message in an inbox.
#[derive(Debug, Clone, diesel::Queryable)]
pub(super) struct InboxRow {
    pub(super) id: Uuid,
    pub(super) created_at: Time,
    pub(super) kind: String,
    pub(super) values: Value,
    pub(super) resource_kind: Option<ResourceKind>,
    pub(super) resource: Option<Uuid>,
    pub(super) read_at: Option<Time>,
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
pub(super) struct Filter {
    pub(super) account: AccountId,
    /// Only unread ones.
    pub(super) unread: bool,
}

/// One page of messages, by id.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) filter: Filter,
    pub(super) direction: Direction,
    /// The last message of the page before.
    pub(super) after: Uuid,
    /// Most rows.
    pub(super) limit: i64,
}

/// How many messages match.
#[derive(Debug, Clone)]
pub(super) struct Count(pub(super) Filter);

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
        let (beyond, order) = match self.direction {
            Direction::Ascending => (" AND id > ", " ORDER BY id LIMIT "),
            Direction::Descending => (" AND id < ", " ORDER BY id DESC LIMIT "),
        };
        out.push_sql(beyond);
        out.push_bind_param::<sql_types::Uuid, _>(&self.after)?;
        out.push_sql(order);
        out.push_bind_param::<BigInt, _>(&self.limit)
    }
}

impl QueryFragment<Pg> for Count {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT count(*)");
        self.0.push(&mut out)
    }
}

shaped_queries! { Page -> InboxSql, Count -> BigInt }
