//! Who sees which events.

use clinicd_proto::feed::v1 as pb;

use crate::kernel::error::{Error, Result};
use crate::kernel::events::{FeedRow, ResourceKind, Viewer};
use crate::kernel::kinds::{AccountId, Role};

/// What the front desk sees of everyone.
const OPERATOR: [ResourceKind; 4] = [
    ResourceKind::Appointment,
    ResourceKind::Schedule,
    ResourceKind::Patient,
    ResourceKind::Doctor,
];
/// What a pharmacist sees of everyone.
const PHARMACIST: [ResourceKind; 1] = [ResourceKind::Prescription];

/// The account in the union of its roles. Events carry no content, so admins see all.
pub(super) fn viewer(account: AccountId, roles: &[Role]) -> Viewer {
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
        everything: roles.contains(&Role::Admin) || roles.contains(&Role::Superuser),
    }
}

/// The kinds that a request asks for.
pub(super) fn kinds(wire: &[i32]) -> Result<Vec<ResourceKind>> {
    let known = |kind: &i32| ResourceKind::from_wire(*kind);
    let unknown = || Error::field("kinds", "must be kinds of this version");
    wire.iter().map(|kind| known(kind).ok_or_else(unknown)).collect()
}

impl From<FeedRow> for pb::Event {
    fn from(row: FeedRow) -> Self {
        Self {
            id: row.id.to_string(),
            create_time: Some(row.created_at.into()),
            resource_kind: row.kind.into(),
            resource_id: row.resource.to_string(),
            r#type: row.event_type,
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
        let patient = viewer(account, &[Role::Patient]);
        assert_eq!(patient, Viewer { account, doctor: false, staff: vec![], everything: false });
        let both = viewer(account, &[Role::Doctor, Role::Operator, Role::Pharmacist]);
        assert!(both.doctor && !both.everything);
        assert_eq!(both.staff.len(), 5);
        assert!(!both.staff.contains(&ResourceKind::VisitNote));
        assert!(viewer(account, &[Role::Admin]).everything);
        assert!(viewer(account, &[Role::Superuser]).everything);
    }
}
