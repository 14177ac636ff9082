//! Applications and their documents as they stand in the database.

use std::collections::HashMap;

use clinicd_proto::onboarding::v1 as pb;
use clinicd_proto::r#type::v1 as types;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::Value;

use super::rules::{DocumentKind, Filled, Status, Step};
use crate::files;
use crate::kernel::db::Conn;
use crate::kernel::db::statement::List;
use crate::kernel::error::{Error, Result};
use crate::kernel::kinds::{AccountId, Day, FileId, Time, ids};
use crate::schema::{application_documents, applications};
use crate::statement;

ids! {
    /// An application.
    ApplicationId,
}

/// An application. Its fields are those of the proto, which describes them.
#[derive(Debug, Clone, HasQuery)]
#[diesel(table_name = applications)]
pub struct ApplicationRow {
    pub id: ApplicationId,
    pub account_id: AccountId,
    pub status: Status,
    pub given_name: Option<String>,
    pub family_name: Option<String>,
    pub mobile: Option<String>,
    pub birth_date: Option<Day>,
    pub specialty_code: Option<String>,
    pub registration_number: Option<String>,
    pub registration_council: Option<String>,
    pub years_of_experience: Option<i32>,
    pub qualification: Option<String>,
    pub clinic_name: Option<String>,
    pub clinic_lines: Option<Vec<Option<String>>>,
    pub clinic_city: Option<String>,
    pub clinic_region: Option<String>,
    pub clinic_postal_code: Option<String>,
    pub clinic_country_code: Option<String>,
    pub declared: bool,
    /// What the reviewer asked for, by step, as far as the applicant has not saved the step again.
    pub requested_changes: Value,
    pub rejection_reason: String,
    /// Its place in the queue.
    pub waiting_since: Time,
    pub submitted_at: Option<Time>,
    pub reviewed_at: Option<Time>,
    pub version: i32,
    pub created_at: Time,
    pub updated_at: Time,
}

impl ApplicationRow {
    /// The latest application of an account.
    pub async fn latest(conn: &mut Conn, account: AccountId) -> Result<Option<Self>> {
        let query = Self::query()
            .filter(applications::account_id.eq(account))
            .order(applications::id.desc());
        Ok(query.first(conn).await.optional()?)
    }

    /// The same, held against every other change until the end of the transaction.
    pub async fn lock_latest(conn: &mut Conn, account: AccountId) -> Result<Self> {
        let query = Self::query()
            .filter(applications::account_id.eq(account))
            .order(applications::id.desc())
            .for_update();
        let found = query.first(conn).await.optional()?;
        found.ok_or_else(|| Error::not_found("application"))
    }

    /// An application, for reviewers.
    pub async fn find(conn: &mut Conn, id: ApplicationId) -> Result<Option<Self>> {
        Ok(Self::query().filter(applications::id.eq(id)).first(conn).await.optional()?)
    }

    /// The same, held against every other change until the end of the transaction.
    pub async fn lock(conn: &mut Conn, id: ApplicationId) -> Result<Self> {
        let query = Self::query().filter(applications::id.eq(id)).for_update();
        let found = query.first(conn).await.optional()?;
        found.ok_or_else(|| Error::not_found("application"))
    }

    /// What the reviewer asked to be changed in a step; empty when nothing.
    #[must_use]
    pub fn requested_change(&self, step: Step) -> &str {
        self.requested_changes.get(step.as_str()).and_then(Value::as_str).unwrap_or_default()
    }

    /// The lines of the clinic's address.
    #[must_use]
    pub fn clinic_lines(&self) -> Vec<String> {
        self.clinic_lines.iter().flatten().flatten().cloned().collect()
    }

    fn personal(&self) -> Option<pb::PersonalStep> {
        Some(pb::PersonalStep {
            name: Some(types::PersonName {
                given: self.given_name.clone()?,
                family: self.family_name.clone().unwrap_or_default(),
            }),
            mobile: self.mobile.clone().unwrap_or_default(),
            birth_date: self.birth_date.map(types::Date::from),
        })
    }

    fn professional(&self) -> Option<pb::ProfessionalStep> {
        Some(pb::ProfessionalStep {
            specialty_code: self.specialty_code.clone()?,
            registration_number: self.registration_number.clone().unwrap_or_default(),
            registration_council: self.registration_council.clone().unwrap_or_default(),
            years_of_experience: self.years_of_experience.unwrap_or_default(),
            qualification: self.qualification.clone().unwrap_or_default(),
        })
    }

    fn clinic(&self) -> Option<pb::ClinicStep> {
        Some(pb::ClinicStep {
            name: self.clinic_name.clone()?,
            address: Some(types::Address {
                lines: self.clinic_lines(),
                city: self.clinic_city.clone().unwrap_or_default(),
                region: self.clinic_region.clone().unwrap_or_default(),
                postal_code: self.clinic_postal_code.clone().unwrap_or_default(),
                country_code: self.clinic_country_code.clone().unwrap_or_default(),
            }),
        })
    }

    /// On the wire, with these documents.
    fn into_wire(self, documents: Vec<pb::ApplicationDocument>) -> pb::Application {
        let kinds: Vec<DocumentKind> = documents
            .iter()
            .filter_map(|document| DocumentKind::from_wire(document.kind))
            .collect();
        let filled = Filled { row: &self, documents: &kinds };
        let step = |step: Step| {
            let missing = filled.missing(step);
            pb::StepStatus {
                step: step.into(),
                complete: missing.is_empty(),
                missing: missing.into_iter().map(str::to_owned).collect(),
                change_requested: self.requested_change(step).to_owned(),
            }
        };
        pb::Application {
            id: self.id.to_string(),
            create_time: Some(self.created_at.into()),
            update_time: Some(self.updated_at.into()),
            etag: self.version.to_string(),
            account_id: self.account_id.to_string(),
            status: self.status.into(),
            personal: self.personal(),
            professional: self.professional(),
            clinic: self.clinic(),
            declaration: self.declared.then_some(pb::DeclarationStep { accepted: true }),
            steps: Step::ALL.into_iter().map(step).collect(),
            documents,
            submit_time: self.submitted_at.map(Into::into),
            review_time: self.reviewed_at.map(Into::into),
            rejection_reason: self.rejection_reason.clone(),
        }
    }
}

/// A document of an application.
#[derive(Debug, Clone, Copy, HasQuery)]
#[diesel(table_name = application_documents)]
pub struct DocumentRow {
    /// Of which application.
    pub application_id: ApplicationId,
    /// What it proves.
    pub kind: DocumentKind,
    /// The stored file.
    pub file_id: FileId,
}

impl DocumentRow {
    /// The documents of these applications.
    pub async fn of(conn: &mut Conn, applications: &[ApplicationId]) -> Result<Vec<Self>> {
        let query = Self::query()
            .filter(application_documents::application_id.eq_any(applications))
            .order((application_documents::application_id, application_documents::kind));
        Ok(query.load(conn).await?)
    }
}

/// Applications on the wire, with their documents.
pub async fn to_wire(conn: &mut Conn, rows: Vec<ApplicationRow>) -> Result<Vec<pb::Application>> {
    let ids: Vec<ApplicationId> = rows.iter().map(|row| row.id).collect();
    let documents = DocumentRow::of(conn, &ids).await?;
    let file_ids: Vec<FileId> = documents.iter().map(|document| document.file_id).collect();
    let files = files::describe(conn, &file_ids).await?;
    let mut of: HashMap<ApplicationId, Vec<pb::ApplicationDocument>> = HashMap::new();
    for document in documents {
        of.entry(document.application_id).or_default().push(pb::ApplicationDocument {
            kind: document.kind.into(),
            file: files.get(&document.file_id).cloned(),
        });
    }
    let wire = |row: ApplicationRow| {
        let documents = of.remove(&row.id).unwrap_or_default();
        row.into_wire(documents)
    };
    Ok(rows.into_iter().map(wire).collect())
}

/// One application on the wire, as it stands now in this transaction.
pub async fn reload(conn: &mut Conn, id: ApplicationId) -> Result<pb::Application> {
    let row = ApplicationRow::find(conn, id).await?;
    let row = row.ok_or_else(|| Error::not_found("application"))?;
    let wire = to_wire(conn, vec![row]).await?.pop();
    wire.ok_or_else(|| Error::not_found("application"))
}

statement! {
    /// Starts an application, unless one is open.
    InsertApplication { id: ApplicationId, account: AccountId, now: Time },
    "INSERT INTO applications (id, account_id, status, waiting_since, created_at, updated_at) \
     VALUES ($1, $2, 'draft', $3, $3, $3) \
     ON CONFLICT (account_id) WHERE status <> 'rejected' DO NOTHING";

    /// Saves the step "personal".
    SavePersonal {
        id: ApplicationId, now: Time, given_name: String, family_name: String, mobile: String,
        birth_date: Option<Day>,
    },
    "UPDATE applications SET given_name = $3, family_name = $4, mobile = $5, birth_date = $6, \
        requested_changes = requested_changes - 'personal', version = version + 1, \
        updated_at = $2 WHERE id = $1";

    /// Saves the step "professional".
    SaveProfessional {
        id: ApplicationId, now: Time, specialty_code: String, registration_number: String,
        registration_council: String, years_of_experience: i32, qualification: String,
    },
    "UPDATE applications SET specialty_code = $3, registration_number = $4, \
        registration_council = $5, years_of_experience = $6, qualification = $7, \
        requested_changes = requested_changes - 'professional', version = version + 1, \
        updated_at = $2 WHERE id = $1";

    /// Saves the step "clinic".
    SaveClinic {
        id: ApplicationId, now: Time, name: String, lines: List<String>, city: String,
        region: String, postal_code: String, country_code: String,
    },
    "UPDATE applications SET clinic_name = $3, clinic_lines = $4, clinic_city = $5, \
        clinic_region = $6, clinic_postal_code = $7, clinic_country_code = $8, \
        requested_changes = requested_changes - 'clinic', version = version + 1, \
        updated_at = $2 WHERE id = $1";

    /// Saves the step "declaration".
    SaveDeclaration { id: ApplicationId, now: Time, declared: bool },
    "UPDATE applications SET declared = $3, \
        requested_changes = requested_changes - 'declaration', version = version + 1, \
        updated_at = $2 WHERE id = $1";

    /// Adds a document in place of the one of its kind.
    AttachDocument { id: ApplicationId, kind: DocumentKind, file: FileId },
    "INSERT INTO application_documents (application_id, kind, file_id) VALUES ($1, $2, $3) \
     ON CONFLICT (application_id, kind) DO UPDATE SET file_id = $3";

    /// Marks the documents as changed.
    TouchDocuments { id: ApplicationId, now: Time },
    "UPDATE applications SET requested_changes = requested_changes - 'documents', \
        version = version + 1, updated_at = $2 WHERE id = $1";

    /// Hands an application in: it waits from now on.
    Submit { id: ApplicationId, now: Time },
    "UPDATE applications SET status = 'submitted', submitted_at = $2, waiting_since = $2, \
        version = version + 1, updated_at = $2 WHERE id = $1";

    /// Decides on an application.
    Decide {
        id: ApplicationId, now: Time, status: Status, reviewer: AccountId, changes: Value,
        rejection_reason: String,
    },
    "UPDATE applications SET status = $3, reviewed_by = $4, reviewed_at = $2, \
        requested_changes = $5, rejection_reason = $6, version = version + 1, updated_at = $2 \
     WHERE id = $1";

    /// Files that belong to an approved application of an account.
    KeptFiles { account: AccountId } -> diesel::sql_types::Uuid,
    "SELECT d.file_id FROM application_documents d JOIN applications a ON a.id = d.application_id \
     WHERE a.account_id = $1 AND a.status = 'approved'";

    /// Takes the documents from the applications of an account that were not approved.
    DropDocuments { account: AccountId },
    "DELETE FROM application_documents d USING applications a \
     WHERE a.id = d.application_id AND a.account_id = $1 AND a.status <> 'approved'";

    /// Ends the applications of an account that were not approved, and forgets whose they were.
    ForgetApplications { account: AccountId, now: Time } -> diesel::sql_types::Uuid,
    "UPDATE applications SET status = 'rejected', given_name = NULL, family_name = NULL, \
        mobile = NULL, birth_date = NULL, registration_number = NULL, qualification = NULL, \
        registration_council = NULL, years_of_experience = NULL, clinic_name = NULL, \
        clinic_lines = NULL, clinic_city = NULL, clinic_region = NULL, clinic_postal_code = NULL, \
        clinic_country_code = NULL, declared = false, requested_changes = '{}', \
        rejection_reason = '', version = version + 1, updated_at = $2 \
     WHERE account_id = $1 AND status <> 'approved' RETURNING id";

    /// Ends the approval of an account that is no doctor any more.
    EndApproval { account: AccountId, now: Time } -> diesel::sql_types::Uuid,
    "UPDATE applications SET status = 'rejected', version = version + 1, updated_at = $2 \
     WHERE account_id = $1 AND status = 'approved' AND NOT EXISTS \
        (SELECT FROM account_roles WHERE account_id = $1 AND role = 'doctor') \
     RETURNING id";
}

#[cfg(test)]
impl ApplicationRow {
    /// A draft in which nothing is filled in.
    pub fn empty() -> Self {
        let (account_id, id) = (AccountId(uuid::Uuid::nil()), ApplicationId(uuid::Uuid::nil()));
        let now = Time::from(jiff::Timestamp::UNIX_EPOCH);
        Self {
            id,
            account_id,
            status: Status::Draft,
            given_name: None,
            family_name: None,
            mobile: None,
            birth_date: None,
            specialty_code: None,
            registration_number: None,
            registration_council: None,
            years_of_experience: None,
            qualification: None,
            clinic_name: None,
            clinic_lines: None,
            clinic_city: None,
            clinic_region: None,
            clinic_postal_code: None,
            clinic_country_code: None,
            declared: false,
            requested_changes: serde_json::json!({}),
            rejection_reason: String::new(),
            waiting_since: now,
            submitted_at: None,
            reviewed_at: None,
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }
}
