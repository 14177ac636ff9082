//! Which appointments a caller sees, and pages of them.
//!
//! A doctor sees her patients' visits and her own as a patient. Each of the two is a branch of the
//! query with an index of its own, in the order of the list, so that a page costs the same however
//! many appointments there are. The SQL has one shape per combination of filters and order; each
//! shape is prepared once.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Text, Timestamptz, Uuid};

use super::rows::{APPOINTMENT, AppointmentSql, AppointmentState};
use crate::kernel::access::Caller;
use crate::kernel::error::Result;
use crate::kernel::kinds::{AccountId, AppointmentId, DoctorId, PatientId, Role, Time};
use crate::kernel::page::Direction;
use crate::shaped_queries;

/// Some of the appointments that a caller may see.
#[derive(Debug, Clone, Copy)]
enum Branch {
    /// All of them.
    All,
    /// Those of a doctor.
    Doctor(DoctorId),
    /// Those of the patients of an account, without those of this doctor.
    Patients(AccountId, Option<DoctorId>),
}

/// Which appointments the caller may see: as patient or guardian, as doctor, or all of them as
/// operator or admin.
fn visible_to(caller: &Caller) -> Result<Vec<Branch>> {
    let account = caller.require_account()?;
    if caller.is(Role::Operator) || caller.is_admin() {
        return Ok(vec![Branch::All]);
    }
    let doctor = caller.as_doctor();
    Ok(doctor.map(Branch::Doctor).into_iter().chain([Branch::Patients(account, doctor)]).collect())
}

/// What the caller asks for.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    pub(super) state: Option<AppointmentState>,
    pub(super) doctor: Option<DoctorId>,
    pub(super) patient: Option<PatientId>,
    /// Starts at or after this.
    pub(super) from: Option<Time>,
    /// Starts before this.
    pub(super) before: Option<Time>,
}

/// What a list is ordered by; appointments that start at the same time follow their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Id,
    Start,
}

/// All appointments of a list.
#[derive(Debug, Clone)]
pub(super) struct Matching {
    branches: Vec<Branch>,
    filter: Filter,
}

/// The number of them.
#[derive(Debug, Clone)]
pub(super) struct Count(pub(super) Matching);

/// One page of them.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) matching: Matching,
    pub(super) order: Order,
    pub(super) direction: Direction,
    /// The last appointment of the page before.
    pub(super) after: Option<(Time, AppointmentId)>,
    /// Most rows.
    pub(super) limit: i64,
}

impl Matching {
    /// What the caller may see of what is asked for.
    pub(super) fn new(caller: &Caller, filter: Filter) -> Result<Self> {
        Ok(Self { branches: visible_to(caller)?, filter })
    }

    /// Opens a branch; the patients of an account are gone through one by one, each with its own
    /// index scan. `rest` closes what is asked of one of them.
    fn push<'b>(
        &'b self,
        branch: &'b Branch,
        out: &mut AstPass<'_, 'b, Pg>,
        rest: impl FnOnce(&mut AstPass<'_, 'b, Pg>) -> QueryResult<()>,
    ) -> QueryResult<()> {
        match branch {
            Branch::All => out.push_sql("SELECT * FROM appointments a WHERE true"),
            Branch::Doctor(doctor) => {
                out.push_sql("SELECT * FROM appointments a WHERE a.doctor_id = ");
                out.push_bind_param::<Uuid, _>(doctor)?;
            }
            Branch::Patients(_, doctor) => {
                out.push_sql(
                    "SELECT a.* FROM patients own CROSS JOIN LATERAL (SELECT * FROM appointments a \
                     WHERE a.patient_id = own.id",
                );
                if let Some(doctor) = doctor {
                    out.push_sql(" AND a.doctor_id <> ");
                    out.push_bind_param::<Uuid, _>(doctor)?;
                }
            }
        }
        self.filter.push(out)?;
        rest(out)?;
        if let Branch::Patients(account, _) = branch {
            out.push_sql(") a WHERE own.account_id = ");
            out.push_bind_param::<Uuid, _>(account)?;
        }
        Ok(())
    }
}

impl Filter {
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if let Some(state) = &self.state {
            out.push_sql(" AND a.state = ");
            out.push_bind_param::<Text, _>(state)?;
        }
        if let Some(doctor) = &self.doctor {
            out.push_sql(" AND a.doctor_id = ");
            out.push_bind_param::<Uuid, _>(doctor)?;
        }
        if let Some(patient) = &self.patient {
            out.push_sql(" AND a.patient_id = ");
            out.push_bind_param::<Uuid, _>(patient)?;
        }
        if let Some(from) = &self.from {
            out.push_sql(" AND a.starts_at >= ");
            out.push_bind_param::<Timestamptz, _>(from)?;
        }
        if let Some(before) = &self.before {
            out.push_sql(" AND a.starts_at < ");
            out.push_bind_param::<Timestamptz, _>(before)?;
        }
        Ok(())
    }
}

impl Page {
    /// What lies behind the page before.
    fn push_after<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Some((start, id)) = &self.after else { return Ok(()) };
        out.push_sql(match (self.order, self.direction) {
            (Order::Id, Direction::Ascending) => " AND a.id > ",
            (Order::Id, Direction::Descending) => " AND a.id < ",
            (Order::Start, Direction::Ascending) => " AND (a.starts_at, a.id) > (",
            (Order::Start, Direction::Descending) => " AND (a.starts_at, a.id) < (",
        });
        if self.order == Order::Id {
            return out.push_bind_param::<Uuid, _>(id);
        }
        out.push_bind_param::<Timestamptz, _>(start)?;
        out.push_sql(", ");
        out.push_bind_param::<Uuid, _>(id)?;
        out.push_sql(")");
        Ok(())
    }

    fn push_order<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(match (self.order, self.direction) {
            (Order::Id, Direction::Ascending) => " ORDER BY a.id LIMIT ",
            (Order::Id, Direction::Descending) => " ORDER BY a.id DESC LIMIT ",
            (Order::Start, Direction::Ascending) => " ORDER BY a.starts_at, a.id LIMIT ",
            (Order::Start, Direction::Descending) => " ORDER BY a.starts_at DESC, a.id DESC LIMIT ",
        });
        out.push_bind_param::<BigInt, _>(&self.limit)
    }
}

impl QueryFragment<Pg> for Page {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(APPOINTMENT);
        out.push_sql(" FROM (");
        for (number, branch) in self.matching.branches.iter().enumerate() {
            out.push_sql(if number == 0 { "(" } else { " UNION ALL (" });
            self.matching.push(branch, &mut out, |out| {
                self.push_after(out)?;
                self.push_order(out)
            })?;
            out.push_sql(")");
        }
        out.push_sql(
            ") a JOIN doctors d ON d.id = a.doctor_id JOIN patients p ON p.id = a.patient_id",
        );
        self.push_order(&mut out)
    }
}

impl QueryFragment<Pg> for Count {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        for (number, branch) in self.0.branches.iter().enumerate() {
            out.push_sql(if number == 0 { "(" } else { " + (" });
            out.push_sql("SELECT count(*) FROM (");
            self.0.push(branch, &mut out, |_| Ok(()))?;
            out.push_sql(") a)");
        }
        Ok(())
    }
}

shaped_queries! { Page -> AppointmentSql, Count -> BigInt }
