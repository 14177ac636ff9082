//! The list of the staff. The SQL has one shape per combination of filters and order.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Text, Uuid};

use crate::identity::administration::user_query::push_word;
use crate::identity::rows::{AccountSql, select_account};
use crate::kernel::kinds::{AccountId, Role};
use crate::kernel::page::Direction;
use crate::shaped_queries;

/// Which members are asked for.
#[derive(Debug, Clone, Default)]
pub(in crate::identity) struct Filter {
    /// Absent: any role of the staff.
    pub(in crate::identity) role: Option<Role>,
    /// Doctors of this specialty.
    pub(in crate::identity) specialty_code: Option<String>,
}

/// One page of members.
#[derive(Debug, Clone)]
pub(in crate::identity) struct Page {
    pub(in crate::identity) filter: Filter,
    pub(in crate::identity) direction: Direction,
    /// The last account of the page before.
    pub(in crate::identity) after: Option<AccountId>,
    /// Most rows.
    pub(in crate::identity) limit: i64,
}

/// How many members match.
#[derive(Debug, Clone)]
pub(in crate::identity) struct Count(pub(in crate::identity) Filter);

impl Filter {
    /// Selects `r.account_id` of the matching roles; several of one account are one member.
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(" FROM account_roles r");
        if self.specialty_code.is_some() {
            out.push_sql(" JOIN doctors d ON d.id = r.account_id AND r.role = 'doctor'");
        }
        match self.role {
            Some(role) => push_word(out, " WHERE r.role = ", role.as_str()),
            None => out.push_sql(" WHERE r.role IN ('doctor', 'operator', 'pharmacist')"),
        }
        if let Some(code) = &self.specialty_code {
            out.push_sql(" AND d.specialty_code = ");
            out.push_bind_param::<Text, _>(code)?;
        }
        Ok(())
    }
}

impl QueryFragment<Pg> for Page {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let ascending = self.direction == Direction::Ascending;
        out.push_sql(select_account!("JOIN (SELECT DISTINCT r.account_id AS page_id"));
        self.filter.push(&mut out)?;
        if let Some(after) = &self.after {
            out.push_sql(if ascending { " AND r.account_id > " } else { " AND r.account_id < " });
            out.push_bind_param::<Uuid, _>(after)?;
        }
        out.push_sql(" ORDER BY r.account_id");
        out.push_sql(if ascending { " LIMIT " } else { " DESC LIMIT " });
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        out.push_sql(") page ON id = page_id ORDER BY id");
        out.push_sql(if ascending { "" } else { " DESC" });
        Ok(())
    }
}

impl QueryFragment<Pg> for Count {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT count(DISTINCT r.account_id)");
        self.0.push(&mut out)
    }
}

shaped_queries! { Page -> AccountSql, Count -> BigInt }
