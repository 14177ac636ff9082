//! The snapshot: the ids of everything that a viewer may see, kind by kind and page by page.
//!
//! The position behind it is taken before its first page is read, so a change that a page does not
//! show yet comes as an event after it.

use clinicd_proto::feed::v1 as pb;
use uuid::Uuid;

use crate::kernel::db::Conn;
use crate::kernel::error::Result;
use crate::kernel::events::{ResourceKind, Viewer};
use crate::{appointments, identity, journals, notifications, onboarding, prescriptions, profiles};

/// Resources of one message.
const PAGE: i64 = 500;

/// All kinds, in the order of a snapshot: what others refer to comes first.
const KINDS: [ResourceKind; 9] = [
    ResourceKind::Account,
    ResourceKind::Application,
    ResourceKind::Doctor,
    ResourceKind::Patient,
    ResourceKind::Schedule,
    ResourceKind::Appointment,
    ResourceKind::VisitNote,
    ResourceKind::Prescription,
    ResourceKind::Notification,
];

/// What is left of a snapshot.
pub(super) struct Snapshot {
    /// Kinds that are not complete, the next one last.
    kinds: Vec<ResourceKind>,
    /// The last one of that kind that was sent.
    after: Uuid,
}

impl Snapshot {
    /// Of these kinds; of all when there are none.
    pub(super) fn of(kinds: &[ResourceKind]) -> Self {
        let wanted = |kind: &ResourceKind| kinds.is_empty() || kinds.contains(kind);
        let kinds = KINDS.into_iter().rev().filter(wanted).collect();
        Self { kinds, after: Uuid::nil() }
    }

    /// The next page, for what the viewer may see now; none when all was read.
    pub(super) async fn page(
        &mut self,
        conn: &mut Conn,
        viewer: &Viewer,
    ) -> Result<Option<Vec<pb::ResourceRef>>> {
        while let Some(&kind) = self.kinds.last() {
            let ids = ids(conn, kind, viewer, self.after).await?;
            let Some(last) = ids.last() else {
                self.kinds.pop();
                self.after = Uuid::nil();
                continue;
            };
            self.after = *last;
            let page = ids.into_iter().map(|id| pb::ResourceRef {
                resource_kind: kind.into(),
                resource_id: id.to_string(),
            });
            return Ok(Some(page.collect()));
        }
        Ok(None)
    }
}

/// The next ids of a kind, each from its room. What a room shows here is what its events show.
async fn ids(
    conn: &mut Conn,
    kind: ResourceKind,
    viewer: &Viewer,
    after: Uuid,
) -> Result<Vec<Uuid>> {
    match kind {
        ResourceKind::Account => identity::account_ids(conn, viewer, after, PAGE).await,
        ResourceKind::Application => onboarding::application_ids(conn, viewer, after, PAGE).await,
        ResourceKind::Doctor => profiles::doctor_ids(conn, viewer, after, PAGE).await,
        ResourceKind::Patient => profiles::patient_ids(conn, viewer, after, PAGE).await,
        ResourceKind::Schedule => appointments::schedule_ids(conn, viewer, after, PAGE).await,
        ResourceKind::Appointment => appointments::appointment_ids(conn, viewer, after, PAGE).await,
        ResourceKind::VisitNote => journals::note_ids(conn, viewer, after, PAGE).await,
        ResourceKind::Prescription => {
            prescriptions::prescription_ids(conn, viewer, after, PAGE).await
        }
        ResourceKind::Notification => {
            notifications::notification_ids(conn, viewer, after, PAGE).await
        }
    }
}
