//! Pages of the sign-in history. The SQL has one shape per combination of filters and order.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::QueryResult;
use diesel::sql_types::{self, BigInt, Nullable, Text, Timestamptz};
use uuid::Uuid;

use crate::identity::history::records::SignInMethod;
use crate::kernel::kinds::{AccountId, Time};
use crate::kernel::page::Direction;
use crate::shaped_queries;

/// A record.
#[derive(Debug, Clone, diesel::Queryable)]
pub(in crate::identity) struct SignInRow {
    pub(in crate::identity) id: Uuid,
    pub(in crate::identity) created_at: Time,
    /// None when the identifier had no account.
    pub(in crate::identity) account: Option<AccountId>,
    pub(in crate::identity) success: bool,
    pub(in crate::identity) method: SignInMethod,
    pub(in crate::identity) address: String,
    pub(in crate::identity) user_agent: String,
}

type SignInSql =
    (sql_types::Uuid, Timestamptz, Nullable<sql_types::Uuid>, sql_types::Bool, Text, Text, Text);

/// Which records are asked for. Hidden ones never are.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::identity) struct Filter {
    pub(in crate::identity) account: Option<AccountId>,
    pub(in crate::identity) success: Option<bool>,
}

/// What a list is ordered by; records that are equal in it follow their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::identity) enum Order {
    Id,
    Time,
    Success,
}

/// The last record of the page before.
#[derive(Debug, Clone, Copy)]
pub(in crate::identity) struct After {
    pub(in crate::identity) created_at: Time,
    pub(in crate::identity) success: bool,
    pub(in crate::identity) id: Uuid,
}

/// One page of records.
#[derive(Debug, Clone)]
pub(in crate::identity) struct Page {
    pub(in crate::identity) filter: Filter,
    pub(in crate::identity) order: Order,
    pub(in crate::identity) direction: Direction,
    pub(in crate::identity) after: Option<After>,
    /// Most rows.
    pub(in crate::identity) limit: i64,
}

/// How many records match.
#[derive(Debug, Clone)]
pub(in crate::identity) struct Count(pub(in crate::identity) Filter);

impl Filter {
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(" FROM sign_ins WHERE hidden_at IS NULL");
        if let Some(account) = &self.account {
            out.push_sql(" AND account_id = ");
            out.push_bind_param::<sql_types::Uuid, _>(account)?;
        }
        // Part of the shape: few succeed or few fail, and the plan depends on it.
        out.push_sql(match self.success {
            None => "",
            Some(true) => " AND success = true",
            Some(false) => " AND success = false",
        });
        Ok(())
    }
}

impl Page {
    fn push_after<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Some(after) = &self.after else { return Ok(()) };
        let beyond = match self.direction {
            Direction::Ascending => " > (",
            Direction::Descending => " < (",
        };
        out.push_sql(match self.order {
            Order::Id => " AND (id)",
            Order::Time => " AND (created_at, id)",
            Order::Success => " AND (success, id)",
        });
        out.push_sql(beyond);
        match self.order {
            Order::Id => {}
            Order::Time => {
                out.push_bind_param::<Timestamptz, _>(&after.created_at)?;
                out.push_sql(", ");
            }
            Order::Success => {
                out.push_bind_param::<sql_types::Bool, _>(&after.success)?;
                out.push_sql(", ");
            }
        }
        out.push_bind_param::<sql_types::Uuid, _>(&after.id)?;
        out.push_sql(")");
        Ok(())
    }
}

impl QueryFragment<Pg> for Page {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT id, created_at, account_id, success, method, client_address, user_agent",
        );
        self.filter.push(&mut out)?;
        self.push_after(&mut out)?;
        out.push_sql(match (self.order, self.direction) {
            (Order::Id, Direction::Ascending) => " ORDER BY id LIMIT ",
            (Order::Id, Direction::Descending) => " ORDER BY id DESC LIMIT ",
            (Order::Time, Direction::Ascending) => " ORDER BY created_at, id LIMIT ",
            (Order::Time, Direction::Descending) => " ORDER BY created_at DESC, id DESC LIMIT ",
            (Order::Success, Direction::Ascending) => " ORDER BY success, id LIMIT ",
            (Order::Success, Direction::Descending) => " ORDER BY success DESC, id DESC LIMIT ",
        });
        out.push_bind_param::<BigInt, _>(&self.limit)
    }
}

impl QueryFragment<Pg> for Count {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT count(*)");
        self.0.push(&mut out)
    }
}

shaped_queries! { Page -> SignInSql, Count -> BigInt }
