//! Rows of `prescriptions` and `prescription_items`, and who finds them.

use std::collections::HashMap;

use clinicd_proto::prescriptions::v1 as pb;
use diesel::{OptionalExtension, sql_types};
use diesel_async::RunQueryDsl;

use super::printing::Printed;
use crate::app::App;
use crate::kernel::access::Caller;
use crate::kernel::audit::DataType;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::{AccountId, AppointmentId, DoctorId, PatientId, Role, Time, ids};
use crate::statement;

ids! {
    /// A prescription.
    PrescriptionId,
}

/// A prescription as it is stored. Personal data: never logged.
#[derive(Clone, diesel::Queryable)]
pub(super) struct PrescriptionRow {
    pub(super) id: PrescriptionId,
    pub(super) number: String,
    pub(super) appointment: AppointmentId,
    pub(super) patient: PatientId,
    pub(super) prescriber: DoctorId,
    pub(super) text: String,
    pub(super) printed: serde_json::Value,
    pub(super) created_at: Time,
    /// The patient is one of the caller's own.
    pub(super) own: bool,
}

type PrescriptionSql = (
    sql_types::Uuid,
    sql_types::Text,
    sql_types::Uuid,
    sql_types::Uuid,
    sql_types::Uuid,
    sql_types::Text,
    sql_types::Jsonb,
    sql_types::Timestamptz,
    sql_types::Bool,
);

type ItemSql = (
    sql_types::Uuid,
    sql_types::Text,
    sql_types::Text,
    sql_types::Text,
    sql_types::Text,
    sql_types::Text,
    sql_types::Text,
    sql_types::Integer,
    sql_types::Text,
);

statement! {
    /// A prescription that a scope holds, and the rule by which it does.
    VisiblePrescription {
        id: PrescriptionId, account: Option<AccountId>, doctor: Option<DoctorId>, staff: bool,
    } -> (PrescriptionSql, sql_types::Text),
    "SELECT p.id, number, appointment_id, patient_id, prescriber_id, body_text, printed, \
        p.created_at, own, CASE WHEN own THEN 'own_record' \
            WHEN prescriber_id = $3 THEN 'prescriber' ELSE 'staff' END AS rule \
     FROM prescriptions p, LATERAL (SELECT EXISTS ( \
        SELECT FROM patients WHERE patients.id = p.patient_id AND account_id = $2)) AS mine (own) \
     WHERE p.id = $1 AND ($4 OR prescriber_id = $3 OR own)";

    /// Prescriptions that a scope holds, newest first. Planned anew for each set of values, so
    /// that the conditions that do not apply vanish and the others find their index.
    VisiblePrescriptions {
        account: Option<AccountId>, doctor: Option<DoctorId>, staff: bool,
        patient: Option<PatientId>, before: Option<PrescriptionId>, limit: i64,
    } -> PrescriptionSql,
    "SELECT id, number, appointment_id, patient_id, prescriber_id, body_text, printed, created_at, \
        patient_id = ANY (ARRAY(SELECT patients.id FROM patients WHERE account_id = $1)) \
     FROM prescriptions \
     WHERE ($3 OR prescriber_id = $2 \
        OR patient_id = ANY (ARRAY(SELECT patients.id FROM patients WHERE account_id = $1))) \
       AND ($4::uuid IS NULL OR patient_id = $4) AND ($5::uuid IS NULL OR id < $5) \
     ORDER BY id DESC LIMIT $6";

    /// A prescription, for the system's own use.
    AnyPrescription { id: PrescriptionId } -> PrescriptionSql,
    "SELECT id, number, appointment_id, patient_id, prescriber_id, body_text, printed, created_at, \
        false FROM prescriptions WHERE id = $1";

    /// The items of some prescriptions, in order.
    ItemsOf { prescriptions: List<PrescriptionId> } -> ItemSql,
    "SELECT prescription_id, medication, dose, route, frequency, duration, quantity, refills, \
        instructions \
     FROM prescription_items WHERE prescription_id = ANY ($1) ORDER BY prescription_id, position";

    /// Adds a prescription, unless its number is taken.
    InsertPrescription {
        id: PrescriptionId, number: String, appointment: AppointmentId, patient: PatientId,
        prescriber: DoctorId, text: String, printed: serde_json::Value, now: Time,
    },
    "INSERT INTO prescriptions (id, number, appointment_id, patient_id, prescriber_id, body_text, \
        printed, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
     ON CONFLICT ON CONSTRAINT prescriptions_number_unique DO NOTHING";

    /// Adds its items, numbered from 1.
    InsertItems {
        id: PrescriptionId, medication: List<String>, dose: List<String>, route: List<String>,
        frequency: List<String>, duration: List<String>, quantity: List<String>,
        refills: List<i32>, instructions: List<String>,
    },
    "INSERT INTO prescription_items (prescription_id, medication, dose, route, frequency, duration, \
        quantity, refills, instructions, position) \
     SELECT $1, item.* FROM unnest($2, $3, $4, $5, $6, $7, $8, $9) WITH ORDINALITY AS item";
}

/// What a caller may see: their own, what they prescribed, and as staff everything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    account: Option<AccountId>,
    doctor: Option<DoctorId>,
    staff: bool,
}

impl Scope {
    /// Who may read: operators, pharmacists and admins everything.
    pub(super) fn visible_to(caller: &Caller) -> Self {
        let printing = Self::printable_by(caller);
        Self { staff: printing.staff || caller.is(Role::Operator), ..printing }
    }

    /// Who may download: pharmacists and admins everything, operators only as patients.
    pub(super) fn printable_by(caller: &Caller) -> Self {
        Self {
            account: caller.account(),
            doctor: caller.as_doctor(),
            staff: caller.is(Role::Pharmacist) || caller.is_admin(),
        }
    }

    /// The prescription, if the scope holds it. The access is logged by the same statement, which
    /// is one whether the prescription is hidden or absent.
    pub(super) async fn open(
        self,
        app: &App,
        caller: &Caller,
        id: PrescriptionId,
    ) -> Result<PrescriptionRow> {
        let Self { account, doctor, staff } = self;
        let visible = VisiblePrescription { id, account, doctor, staff };
        let found = app.read_audited(caller, DataType::Prescription, visible).await?;
        let (row, _rule): (_, String) = found.ok_or_else(|| Error::not_found("prescription"))?;
        Ok(row)
    }

    /// Up to `limit` prescriptions of the scope, newest first.
    pub(super) async fn list(
        self,
        conn: &mut Conn,
        patient: Option<PatientId>,
        before: Option<PrescriptionId>,
        limit: i64,
    ) -> Result<Vec<PrescriptionRow>> {
        let Self { account, doctor, staff } = self;
        let visible = VisiblePrescriptions { account, doctor, staff, patient, before, limit };
        Ok(visible.get_results(conn).await?)
    }

    /// The rule by which the scope holds a row.
    pub(super) fn rule(self, row: &PrescriptionRow) -> &'static str {
        if row.own {
            "own_record"
        } else if self.doctor == Some(row.prescriber) {
            "prescriber"
        } else {
            "staff"
        }
    }
}

/// A prescription whoever asks; for jobs and for the public code.
pub(super) async fn find_any(
    conn: &mut Conn,
    id: PrescriptionId,
) -> Result<Option<PrescriptionRow>> {
    Ok(AnyPrescription { id }.get_result(conn).await.optional()?)
}

/// The items of some prescriptions, in one statement.
pub(super) async fn items_of(
    conn: &mut Conn,
    prescriptions: Vec<PrescriptionId>,
) -> Result<HashMap<PrescriptionId, Vec<pb::PrescriptionItem>>> {
    type Item = (PrescriptionId, String, String, String, String, String, String, i32, String);
    let rows: Vec<Item> = ItemsOf { prescriptions: List(prescriptions) }.get_results(conn).await?;
    let mut items: HashMap<_, Vec<_>> = HashMap::new();
    for (id, medication, dose, route, frequency, duration, quantity, refills, instructions) in rows
    {
        items.entry(id).or_default().push(pb::PrescriptionItem {
            medication,
            dose,
            route,
            frequency,
            duration,
            quantity,
            refills,
            instructions,
        });
    }
    Ok(items)
}

/// Writes a prescription with its items; `false` when its number is taken.
pub(super) async fn insert(
    conn: &mut Conn,
    row: &PrescriptionRow,
    items: &[pb::PrescriptionItem],
) -> Result<bool> {
    let prescription = InsertPrescription {
        id: row.id,
        number: row.number.clone(),
        appointment: row.appointment,
        patient: row.patient,
        prescriber: row.prescriber,
        text: row.text.clone(),
        printed: row.printed.clone(),
        now: row.created_at,
    };
    if prescription.execute(conn).await? == 0 {
        return Ok(false);
    }
    if items.is_empty() {
        return Ok(true);
    }
    let column = |text: fn(&pb::PrescriptionItem) -> &String| {
        List(items.iter().map(text).cloned().collect::<Vec<_>>())
    };
    let items = InsertItems {
        id: row.id,
        medication: column(|item| &item.medication),
        dose: column(|item| &item.dose),
        route: column(|item| &item.route),
        frequency: column(|item| &item.frequency),
        duration: column(|item| &item.duration),
        quantity: column(|item| &item.quantity),
        refills: List(items.iter().map(|item| item.refills).collect()),
        instructions: column(|item| &item.instructions),
    };
    items.execute(conn).await?;
    Ok(true)
}

impl PrescriptionRow {
    /// What is printed beside the content.
    pub(super) fn printed(&self) -> Result<Printed> {
        serde_json::from_value(self.printed.clone()).map_err(Error::internal)
    }

    /// The prescription with its items.
    pub(super) fn with_items(self, items: Vec<pb::PrescriptionItem>) -> pb::Prescription {
        pb::Prescription {
            id: self.id.to_string(),
            create_time: Some(self.created_at.into()),
            number: self.number,
            appointment_id: self.appointment.to_string(),
            patient_id: self.patient.to_string(),
            prescriber_id: self.prescriber.to_string(),
            state: pb::PrescriptionState::Issued.into(),
            items,
            text: self.text,
        }
    }
}
