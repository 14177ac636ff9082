//! Who sees which events.

use clinicd_proto::feed::v1 as pb;

use crate::kernel::error::{Error, Result};
use crate::kernel::events::{self, FeedRow, ResourceKind, Viewer};
use crate::kernel::kinds::{AccountId, Role, Scope};

/// What the front desk sees of everyone.
const OPERATOR: [ResourceKind; 4] = [
    ResourceKind::Appointment,
    ResourceKind::Schedule,
    ResourceKind::Patient,
    ResourceKind::Doctor,
];
/// What a pharmacist sees of everyone.
const PHARMACIST: [ResourceKind; 1] = [ResourceKind::Prescription];

/// The account in the union of its roles. Events carry no content, so admins see all, and programs
/// whose key has the scope.
pub(super) fn viewer(account: AccountId, roles: &[Role], scopes: Option<&[Scope]>) -> Viewer {
    let mut staff = Vec::new();
    if roles.contains(&Role::Operator) {
        staff.extend(OPERATOR);
    }
    if roles.contains(&Role::Pharmacist) {
        staff.extend(PHARMACIST);
    }
    Viewer {
        account,
        doctor: roles.contains(&Role::Doctor),
        staff,
        everything: roles.contains(&Role::Admin)
            || roles.contains(&Role::Superuser)
            || scopes.is_some_and(|scopes| scopes.contains(&Scope::FeedRead)),
    }
}

/// The kinds that a request asks for.
pub(super) fn kinds(wire: &[i32]) -> Result<Vec<ResourceKind>> {
    let known = |kind: &i32| ResourceKind::from_wire(*kind);
    let unknown = || Error::field("kinds", "must be kinds of this version");
    wire.iter().map(|kind| known(kind).ok_or_else(unknown)).collect()
}

impl From<&FeedRow> for pb::Event {
    fn from(row: &FeedRow) -> Self {
        Self {
            id: row.id.to_string(),
            create_time: Some(row.created_at.into()),
            resource_kind: row.kind.into(),
            resource_id: row.resource.to_string(),
            r#type: row.event_type.clone(),
            actor_id: row.actor.map(|actor| actor.to_string()).unwrap_or_default(),
            stand_in: row.stand_in,
            deleted: events::is_gone(&row.event_type),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn roles_add_up() {
        let account = AccountId(Uuid::from_u128(1));
        let patient = viewer(account, &[Role::Patient], None);
        assert_eq!(patient, Viewer { account, doctor: false, staff: vec![], everything: false });
        let both = viewer(account, &[Role::Doctor, Role::Operator, Role::Pharmacist], None);
        assert!(both.doctor && !both.everything);
        assert_eq!(both.staff.len(), 5);
        assert!(!both.staff.contains(&ResourceKind::VisitNote));
        assert!(viewer(account, &[Role::Admin], None).everything);
        assert!(viewer(account, &[Role::Superuser], None).everything);
        assert!(viewer(account, &[], Some(&[Scope::FeedRead])).everything);
        assert!(!viewer(account, &[], Some(&[])).everything);
    }
}
