//! The hash chain: what an entry's hash is made of.

use uuid::Uuid;

use crate::kernel::crypto::{framed, sha256};
use crate::kernel::kinds::Time;

/// Length of a hash in bytes.
pub const HASH: usize = 32;

/// What stands before the first entry.
pub const GENESIS: [u8; HASH] = [0; HASH];

/// An entry as stored; every field counts.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable)]
pub struct Entry {
    /// Id of the entry.
    pub id: Uuid,
    /// Its transaction.
    pub xid: i64,
    /// Its sequence.
    pub seq: i64,
    /// When.
    pub created_at: Time,
    /// Who.
    pub actor_id: Uuid,
    /// In which roles.
    pub actor_roles: Vec<String>,
    /// In which session.
    pub session_id: Uuid,
    /// From where.
    pub client_address: String,
    /// Through which method.
    pub method: String,
    /// Whose data.
    pub patient_id: Option<Uuid>,
    /// What kinds of data.
    pub data_types: Vec<String>,
    /// Which records.
    pub record_ids: Vec<Uuid>,
    /// Allowed or refused.
    pub outcome: String,
    /// By which rule.
    pub rule: String,
    /// The call's `request_id`.
    pub request_id: Option<Uuid>,
}

/// The columns of [`Entry`], in its order.
pub const COLUMNS: &str = "e.id, e.xid, e.seq, e.created_at, e.actor_id, e.actor_roles, e.session_id, \
    e.client_address, e.method, e.patient_id, e.data_types, e.record_ids, e.outcome, e.rule, e.request_id";

impl Entry {
    /// The hash of this entry at this place of the chain: SHA-256 over the previous hash and every
    /// field, each with its length before it, so that no two entries have the same bytes.
    #[must_use]
    pub fn hash(&self, previous: &[u8], position: i64) -> [u8; HASH] {
        let roles: Vec<&[u8]> = self.actor_roles.iter().map(String::as_bytes).collect();
        let types: Vec<&[u8]> = self.data_types.iter().map(String::as_bytes).collect();
        let records: Vec<&[u8]> =
            self.record_ids.iter().map(|id| id.as_bytes().as_slice()).collect();
        sha256(&framed(&[
            previous,
            &position.to_be_bytes(),
            self.id.as_bytes(),
            &self.xid.to_be_bytes(),
            &self.seq.to_be_bytes(),
            &self.created_at.unix_micros().to_be_bytes(),
            self.actor_id.as_bytes(),
            &framed(&roles),
            self.session_id.as_bytes(),
            self.client_address.as_bytes(),
            self.method.as_bytes(),
            self.patient_id.as_ref().map_or(&[], |id| id.as_bytes().as_slice()),
            &framed(&types),
            &framed(&records),
            self.outcome.as_bytes(),
            self.rule.as_bytes(),
            self.request_id.as_ref().map_or(&[], |id| id.as_bytes().as_slice()),
        ]))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn entry() -> Entry {
        Entry {
            id: Uuid::from_u128(1),
            xid: 7,
            seq: 8,
            created_at: Time::from_unix_micros(1_000_000).unwrap(),
            actor_id: Uuid::from_u128(2),
            actor_roles: vec!["doctor".into(), "patient".into()],
            session_id: Uuid::from_u128(3),
            client_address: "127.0.0.1".into(),
            method: "clinicd.journals.v1.VisitNoteService/GetNote".into(),
            patient_id: Some(Uuid::from_u128(4)),
            data_types: vec!["visit_note".into()],
            record_ids: vec![Uuid::from_u128(5)],
            outcome: "allowed".into(),
            rule: "treating_doctor".into(),
            request_id: None,
        }
    }

    #[test]
    fn every_field_counts() {
        type Change = fn(&mut Entry);
        let whole = entry().hash(&GENESIS, 1);
        let changes: [Change; 15] = [
            |e| e.id = Uuid::nil(),
            |e| e.xid += 1,
            |e| e.seq += 1,
            |e| e.created_at = e.created_at.plus_seconds(1),
            |e| e.actor_id = Uuid::nil(),
            |e| e.actor_roles = vec!["doctorpatient".into()],
            |e| e.session_id = Uuid::nil(),
            |e| e.client_address.push('0'),
            |e| e.method.push('s'),
            |e| e.patient_id = None,
            |e| e.data_types.clear(),
            |e| e.record_ids.push(Uuid::nil()),
            |e| e.outcome = "refused".into(),
            |e| e.rule = "own_record".into(),
            |e| e.request_id = Some(Uuid::nil()),
        ];
        for change in changes {
            let mut changed = entry();
            change(&mut changed);
            assert_ne!(changed.hash(&GENESIS, 1), whole, "{changed:?}");
        }
        assert_ne!(entry().hash(&GENESIS, 2), whole);
        assert_ne!(entry().hash(&[1; HASH], 1), whole);
    }
}
