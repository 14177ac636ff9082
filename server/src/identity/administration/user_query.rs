//! The list of people: which accounts match, and pages of them.
//!
//! The SQL has one shape per combination of filters and order; values that an account has one of a
//! few of (role, state, gender) stand in the shape, so that each is planned by how many have it.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Date, Text, Uuid};

use crate::identity::rows::{AccountSql, AccountState, select_account};
use crate::kernel::kinds::{AccountId, Day, Gender, Role};
use crate::kernel::page::Direction;
use crate::shaped_queries;

/// Which people are asked for.
#[derive(Debug, Clone, Default)]
pub(in crate::identity) struct Filter {
    pub(in crate::identity) email_key: Option<String>,
    pub(in crate::identity) phone: Option<String>,
    pub(in crate::identity) role: Option<Role>,
    /// Absent: all but deleted ones.
    pub(in crate::identity) state: Option<AccountState>,
    /// Beginning of the given name.
    pub(in crate::identity) given_name: Option<String>,
    /// Beginning of the family name.
    pub(in crate::identity) family_name: Option<String>,
    pub(in crate::identity) person: PersonFilter,
}

/// What is asked of the patient record of a person.
#[derive(Debug, Clone, Default)]
pub(in crate::identity) struct PersonFilter {
    /// Born after this day.
    pub(in crate::identity) born_after: Option<Day>,
    /// Born on this day or before.
    pub(in crate::identity) born_until: Option<Day>,
    pub(in crate::identity) birth_date: Option<Day>,
    pub(in crate::identity) city: Option<String>,
    pub(in crate::identity) country_code: Option<String>,
    pub(in crate::identity) gender: Option<Gender>,
}

/// One page of accounts.
#[derive(Debug, Clone)]
pub(in crate::identity) struct Page {
    pub(in crate::identity) filter: Filter,
    pub(in crate::identity) direction: Direction,
    /// The last account of the page before.
    pub(in crate::identity) after: Option<AccountId>,
    /// Most rows.
    pub(in crate::identity) limit: i64,
}

/// How many accounts match.
#[derive(Debug, Clone)]
pub(in crate::identity) struct Count(pub(in crate::identity) Filter);

impl PersonFilter {
    fn is_set(&self) -> bool {
        let Self { born_after, born_until, birth_date, city, country_code, gender } = self;
        let day = born_after.or(*born_until).or(*birth_date);
        day.is_some() || city.is_some() || country_code.is_some() || gender.is_some()
    }

    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let days = [
            (" AND p.birth_date > ", &self.born_after),
            (" AND p.birth_date <= ", &self.born_until),
            (" AND p.birth_date = ", &self.birth_date),
        ];
        for (condition, day) in days {
            if let Some(day) = day {
                out.push_sql(condition);
                out.push_bind_param::<Date, _>(day)?;
            }
        }
        if let Some(city) = &self.city {
            out.push_sql(" AND p.city <> '' AND fold(p.city) = fold(");
            out.push_bind_param::<Text, _>(city)?;
            out.push_sql(")");
        }
        if let Some(country) = &self.country_code {
            out.push_sql(" AND p.country_code <> '' AND p.country_code = ");
            out.push_bind_param::<Text, _>(country)?;
        }
        if let Some(gender) = self.gender {
            push_word(out, " AND p.gender = ", gender.as_str());
        }
        Ok(())
    }
}

/// One of our own words, as part of the shape.
pub(in crate::identity) fn push_word(
    out: &mut AstPass<'_, '_, Pg>,
    before: &str,
    word: &'static str,
) {
    out.push_sql(before);
    out.push_sql("'");
    out.push_sql(word);
    out.push_sql("'");
}

impl Filter {
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(" FROM accounts a");
        if self.person.is_set() {
            out.push_sql(" JOIN patients p ON p.id = a.id");
        }
        out.push_sql(" WHERE a.kind = 'person'");
        match self.state {
            Some(state) => push_word(out, " AND a.state = ", state.as_str()),
            None => out.push_sql(" AND a.state <> 'deleted'"),
        }
        if let Some(role) = self.role {
            let among = " AND a.id IN (SELECT account_id FROM account_roles WHERE role = ";
            push_word(out, among, role.as_str());
            out.push_sql(")");
        }
        let exact = [(" AND a.email_key = ", &self.email_key), (" AND a.phone = ", &self.phone)];
        for (condition, value) in exact {
            if let Some(value) = value {
                out.push_sql(condition);
                out.push_bind_param::<Text, _>(value)?;
            }
        }
        let names = [("a.given_name", &self.given_name), ("a.family_name", &self.family_name)];
        for (column, beginning) in names {
            if let Some(beginning) = beginning {
                push_beginning(out, column, beginning)?;
            }
        }
        self.person.push(out)
    }
}

/// Begins with a text, case and accents aside: as a range, which an index serves whatever the text.
fn push_beginning<'b>(
    out: &mut AstPass<'_, 'b, Pg>,
    column: &str,
    beginning: &'b String,
) -> QueryResult<()> {
    for (operator, last) in [(" ~>=~ (fold(", ")"), (" ~<~ (fold(", " || U&'\\+10FFFF')")] {
        out.push_sql(" AND fold(");
        out.push_sql(column);
        out.push_sql(")");
        out.push_sql(operator);
        out.push_bind_param::<Text, _>(beginning)?;
        out.push_sql(")");
        out.push_sql(last);
    }
    Ok(())
}

impl Page {
    /// What lies behind the page before; said of both tables, of which either may lead.
    fn push_after<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Some(after) = &self.after else { return Ok(()) };
        let tables: &[&str] =
            if self.filter.person.is_set() { &["a.id", "p.id"] } else { &["a.id"] };
        for id in tables {
            out.push_sql(" AND ");
            out.push_sql(id);
            out.push_sql(match self.direction {
                Direction::Ascending => " > ",
                Direction::Descending => " < ",
            });
            out.push_bind_param::<Uuid, _>(after)?;
        }
        Ok(())
    }
}

impl QueryFragment<Pg> for Page {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let descending = self.direction == Direction::Descending;
        out.push_sql(select_account!("JOIN (SELECT a.id AS page_id"));
        self.filter.push(&mut out)?;
        self.push_after(&mut out)?;
        out.push_sql(if descending {
            " ORDER BY a.id DESC LIMIT "
        } else {
            " ORDER BY a.id LIMIT "
        });
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        out.push_sql(") page ON id = page_id ORDER BY id");
        out.push_sql(if descending { " DESC" } else { "" });
        Ok(())
    }
}

impl QueryFragment<Pg> for Count {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT count(*)");
        self.0.push(&mut out)
    }
}

shaped_queries! { Page -> AccountSql, Count -> BigInt }
