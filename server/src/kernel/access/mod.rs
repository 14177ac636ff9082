//! Who calls, and whether they may.
//!
//! Which role may call a method is the proto option `(clinicd.access.v1.access)`, read by
//! [`rules`] at start and enforced by [`layer`] before a byte of the request is decoded. Which
//! record a caller may see is SQL, in each room's `visible_to`.

mod actor;
mod admitting;
mod counts;
pub mod layer;
pub mod rates;
pub mod rules;
mod sessions;
mod token_cache;
pub mod tokens;

use std::sync::Arc;

use tonic::Request;

pub use actor::Actor;
pub use sessions::{KnownSession, SessionFacts, SessionTable, Sessions};

use super::audit::Trail;
use super::error::{Error, Reason, Result};
use super::kinds::{AccountId, DoctorId, PatientId, Role, Scope, SessionId, Time};

/// The caller of one RPC.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who; `None` when the method is public.
    pub session: Option<SignedIn>,
    /// The method, such as `clinicd.journals.v1.VisitNoteService/GetNote`.
    pub method: &'static str,
    /// The method shows medical data.
    pub medical: bool,
    /// Network address of the client.
    pub address: String,
    /// What the client says of itself, at most 200 characters.
    pub user_agent: String,
    /// What this call has written to the audit log.
    pub trail: Arc<Trail>,
}

/// A caller with a valid token and a live session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// The account.
    pub account: AccountId,
    /// The session.
    pub session: SessionId,
    /// The roles that the account holds at this moment.
    pub roles: Vec<Role>,
    /// What the session of a program may do; `None` for people.
    pub scopes: Option<Vec<Scope>>,
    /// When the account proved who it is.
    pub signed_in_at: Time,
    /// A second factor was given.
    pub second_factor: bool,
}

impl Caller {
    /// The session of the caller. Methods that are not public always have one.
    pub fn signed_in(&self) -> Result<&SignedIn> {
        self.session.as_ref().ok_or_else(|| Error::of(Reason::Unauthenticated))
    }

    /// The account, if signed in.
    #[must_use]
    pub fn account(&self) -> Option<AccountId> {
        self.session.as_ref().map(|session| session.account)
    }

    /// The account of a caller who must be signed in.
    pub fn require_account(&self) -> Result<AccountId> {
        self.signed_in().map(|session| session.account)
    }

    /// Whether the account holds this role.
    #[must_use]
    pub fn is(&self, role: Role) -> bool {
        self.session.as_ref().is_some_and(|session| session.roles.contains(&role))
    }

    /// Whether the account runs the platform: an admin can do what a superuser can, with the
    /// exceptions that identity names.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.is(Role::Admin) || self.is(Role::Superuser)
    }

    /// The caller as a doctor, who has the id of the account.
    #[must_use]
    pub fn as_doctor(&self) -> Option<DoctorId> {
        self.account().filter(|_| self.is(Role::Doctor)).map(DoctorId::from)
    }

    /// The caller as a patient, whose own record has the id of the account.
    #[must_use]
    pub fn as_patient(&self) -> Option<PatientId> {
        self.account().map(PatientId::from)
    }
}

/// Takes a request apart: who calls, and what with. The access layer has put the caller in.
pub fn enter<T>(request: Request<T>) -> Result<(Caller, T)> {
    let (_, extensions, message) = request.into_parts();
    match extensions.get::<Caller>() {
        Some(caller) => Ok((caller.clone(), message)),
        None => Err(Error::internal("a method was reached without the access layer")),
    }
}
