//! Staff: created by an admin, invited by mail.

use std::collections::HashMap;

use diesel::sql_types::{Bool, Text, Uuid as UuidSql};
use diesel_async::RunQueryDsl;
use prost::Message;
use uuid::Uuid;

use clinicd_proto::identity::v1 as pb;

use crate::app::App;
use crate::identity::administration::managing::{self, require_other, require_rank};
use crate::identity::grant_role;
use crate::identity::jobs::SendInvitation;
use crate::identity::registration::registering::{NewPerson, activation, enqueue, event};
use crate::identity::rows::{self, AccountRow, AccountState, DeleteRole, TouchAccount};
use crate::identity::sessions::living::EndSessions;
use crate::identity::staff::query::{Count, Filter, Page};
use crate::kernel::access::Caller;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::{Error, Reason, Result};
use crate::kernel::jobs::NewJob;
use crate::kernel::kinds::{AccountId, DoctorId, Role};
use crate::kernel::page::{PageRequest, order_by_id};
use crate::kernel::text;
use crate::profiles::NewDoctor;
use crate::{appointments, directory, profiles, statement};

/// The roles of the staff.
const STAFF: [Role; 3] = [Role::Doctor, Role::Operator, Role::Pharmacist];

statement! {
    /// Specialty of doctors, and whether they take bookings.
    DoctorsOf { ids: List<DoctorId> } -> (UuidSql, Text, Bool),
    "SELECT id, specialty_code, available_for_booking FROM doctors WHERE id = ANY ($1)";
}

/// `CreateStaffMember`: an inactive account without a password, and an invitation to set one.
pub(in crate::identity) async fn create(
    app: &App,
    caller: &Caller,
    request: pb::CreateStaffMemberRequest,
) -> Result<pb::CreateStaffMemberResponse> {
    let person = NewPerson::new(&request.email, request.name.clone(), &request.language)?;
    let (role, by) = (staff_role(request.role)?, caller.account());
    let specialty = text::searched(&request.specialty_code);
    match (role, specialty.is_empty()) {
        (Role::Doctor, true) => {
            return Err(Error::field("specialty_code", "must name a specialty"));
        }
        (Role::Doctor, false) | (_, true) => {}
        (_, false) => return Err(Error::field("specialty_code", "must be empty but for doctors")),
    }
    app.once(caller, &request.request_id, &request, async |conn| {
        if role == Role::Doctor && !directory::specialty_exists(conn, &specialty).await? {
            return Err(Error::field("specialty_code", "must be a listed specialty"));
        }
        let id = AccountId(app.ids.next());
        let account = person.account(app, id, None, AccountState::Inactive);
        if account.execute(conn).await? == 0 {
            return Err(Error::of(Reason::AlreadyExists).with("resource", "account"));
        }
        grant_role(app, conn, id, role, by).await?;
        if role == Role::Doctor {
            profiles::create_doctor(app, conn, doctor(id, &person, &specialty)).await?;
        }
        let activation = activation(app, conn, id, &person.email, true).await?;
        enqueue(app, conn, NewJob::now(&SendInvitation { activation })).await?;
        app.events.emit(conn, event("account.staff_created", id)).await?;
        let account = rows::find(conn, id).await?.map(Into::into);
        Ok(pb::CreateStaffMemberResponse { account })
    })
    .await
}

fn staff_role(role: i32) -> Result<Role> {
    let remedy = "must be ROLE_DOCTOR, ROLE_OPERATOR or ROLE_PHARMACIST";
    let role = Role::from_wire(role).filter(|role| STAFF.contains(role));
    role.ok_or_else(|| Error::field("role", remedy))
}

/// A doctor of whom nothing is known but name and specialty; she completes the profile herself.
fn doctor(id: AccountId, person: &NewPerson, specialty: &str) -> NewDoctor {
    NewDoctor {
        id: id.into(),
        given_name: person.given_name.clone(),
        family_name: person.family_name.clone(),
        mobile: String::new(),
        specialty_code: specialty.to_owned(),
        registration_number: String::new(),
        registration_council: String::new(),
        years_of_experience: 0,
        qualification: String::new(),
        clinic_name: String::new(),
        clinic_lines: Vec::new(),
        clinic_city: String::new(),
        clinic_region: String::new(),
        clinic_postal_code: String::new(),
        clinic_country_code: String::new(),
    }
}

/// `ListStaff`.
pub(in crate::identity) async fn list(
    app: &App,
    caller: &Caller,
    request: pb::ListStaffRequest,
) -> Result<pb::ListStaffResponse> {
    let direction = order_by_id(&request.order_by)?;
    let specialty = request.specialty_code.as_deref().map(text::searched);
    let filter = Filter {
        role: request.role.map(staff_role).transpose()?,
        specialty_code: specialty.filter(|code| !code.is_empty()),
    };
    let bound = pb::ListStaffRequest {
        page_size: 0,
        page_token: String::new(),
        include_total: false,
        ..request.clone()
    };
    let page = app.pages.open::<Uuid>(&PageRequest {
        list: "identity.staff",
        page_size: request.page_size,
        page_token: &request.page_token,
        bound_to: &[&bound.encode_to_vec(), caller.require_account()?.0.as_bytes()],
    })?;
    let mut conn = app.db.read().await?;
    let (after, limit) = (page.after.map(AccountId), page.limit + 1);
    let query = Page { filter: filter.clone(), direction, after, limit };
    let rows: Vec<AccountRow> = query.get_results(&mut conn).await?;
    let mut total_size = None;
    if request.include_total {
        total_size = Some(Count(filter).get_result(&mut conn).await?);
    }
    let (rows, next_page_token) = page.close(rows, |row| row.id.0)?;
    Ok(pb::ListStaffResponse {
        staff: members(&mut conn, rows).await?,
        next_page_token,
        total_size,
    })
}

/// `GetStaffMember`.
pub(in crate::identity) async fn get(
    app: &App,
    _caller: &Caller,
    request: pb::GetStaffMemberRequest,
) -> Result<pb::GetStaffMemberResponse> {
    let id = AccountId::from_wire("account_id", &request.account_id)?;
    let mut conn = app.db.read().await?;
    let account = managing::find(&mut conn, id).await?;
    require_staff(&account)?;
    let member = members(&mut conn, vec![account]).await?.pop();
    Ok(pb::GetStaffMemberResponse { member })
}

/// `RemoveStaffMember`: what else the account is, it stays.
pub(in crate::identity) async fn remove(
    app: &App,
    caller: &Caller,
    request: pb::RemoveStaffMemberRequest,
) -> Result<pb::RemoveStaffMemberResponse> {
    let id = AccountId::from_wire("account_id", &request.account_id)?;
    app.once(caller, &request.request_id, &request, async |conn| {
        let account = managing::lock(conn, id).await?;
        require_staff(&account)?;
        require_other(caller, id)?;
        require_rank(caller, &account)?;
        if account.has(Role::Doctor) {
            profiles::lock_people(conn, id).await?;
            appointments::require_none_live_of_doctor(app, conn, id.into()).await?;
            profiles::retire_doctor(app, conn, id.into()).await?;
        }
        let now = app.clock.now();
        for role in STAFF {
            DeleteRole { account: id, role }.execute(conn).await?;
        }
        TouchAccount { id, now }.execute(conn).await?;
        EndSessions { account: id, now }.execute(conn).await?;
        app.events.emit(conn, event("account.staff_removed", id)).await?;
        let account = managing::find(conn, id).await?;
        Ok(pb::RemoveStaffMemberResponse { account: Some(account.into()) })
    })
    .await
}

/// People who are not staff look like nobody.
fn require_staff(account: &AccountRow) -> Result<()> {
    if STAFF.into_iter().any(|role| account.has(role)) {
        Ok(())
    } else {
        Err(Error::not_found("account"))
    }
}

/// Accounts of the staff with what they are as doctors.
pub(in crate::identity) async fn members(
    conn: &mut Conn,
    rows: Vec<AccountRow>,
) -> Result<Vec<pb::StaffMember>> {
    let ids = rows.iter().filter(|row| row.has(Role::Doctor)).map(|row| DoctorId(row.id.0));
    let doctors: Vec<(Uuid, String, bool)> =
        DoctorsOf { ids: List(ids.collect()) }.get_results(conn).await?;
    let mut doctors: HashMap<Uuid, (String, bool)> =
        doctors.into_iter().map(|(id, specialty, bookable)| (id, (specialty, bookable))).collect();
    let member = |row: AccountRow| {
        let (specialty_code, available_for_booking) = doctors.remove(&row.id.0).unwrap_or_default();
        pb::StaffMember { account: Some(row.into()), specialty_code, available_for_booking }
    };
    Ok(rows.into_iter().map(member).collect())
}
