//! People for one row of the access matrix, written straight into the database: thousands are
//! needed, each with a little of everything that a caller may own.

use clinicd_server::kernel::access::tokens::NewToken;
use clinicd_server::kernel::kinds::Role;
use clinicd_tests::World;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

/// What a prescription prints.
const PRINTED: &str = r#"{"language": "en", "issue_date": "2026-11-20", "prescriber": {
    "given_name": "Anil", "family_name": "Bose", "qualification": "MBBS",
    "registration_number": "1", "clinic_name": "", "clinic_address": [], "phone": ""},
    "patient": {"given_name": "Kavya", "family_name": "Nair", "birth_date": null, "gender": ""}}"#;

/// A doctor, a patient, and what they have.
pub struct Household {
    pub owner: Uuid,
    pub doctor: Uuid,
    pub patient: Uuid,
    pub appointment: Uuid,
    pub note: Uuid,
    pub prescription: Uuid,
    pub file: Uuid,
    pub upload: Uuid,
    pub application: Uuid,
    /// A session of the owner that is not the one that calls.
    pub session: Uuid,
    pub sign_in: Uuid,
    pub service: Uuid,
    pub api_key: Uuid,
    /// Nobody's in particular.
    pub job: Uuid,
    /// A webhook endpoint of the service account.
    pub endpoint: Uuid,
    pub notification: Uuid,
    pub delivery: Uuid,
    pub device: Uuid,
}

impl Household {
    /// A household in which the owner is the doctor or the patient. Ids alone: nothing is written.
    pub fn new(world: &World, owner_is_doctor: bool) -> Self {
        let id = || world.app.ids.next();
        let (owner, other) = (id(), id());
        Self {
            owner,
            doctor: if owner_is_doctor { owner } else { other },
            patient: if owner_is_doctor { other } else { owner },
            appointment: id(),
            note: id(),
            prescription: id(),
            file: id(),
            upload: id(),
            application: id(),
            session: id(),
            sign_in: id(),
            service: id(),
            api_key: id(),
            job: id(),
            endpoint: id(),
            notification: id(),
            delivery: id(),
            device: id(),
        }
    }

    /// Its rows.
    pub fn sql(&self) -> String {
        let Self { owner, doctor, patient, appointment, note, prescription, .. } = self;
        let Self { file, upload, application, session, sign_in, service, api_key, .. } = self;
        let account = |id: &Uuid| {
            format!(
                "INSERT INTO accounts (id, email, email_key, given_name, family_name, language, \
                    state, created_at, updated_at) VALUES ('{id}', '{id}@example.org', \
                    '{id}@example.org', 'Kavya', 'Nair', 'en', 'active', now(), now()); \
                 INSERT INTO patients (id, account_id, given_name, family_name, created_at, \
                    updated_at) VALUES ('{id}', '{id}', 'Kavya', 'Nair', now(), now());"
            )
        };
        format!(
            "{} {} {} {} \
             INSERT INTO doctors (id, given_name, family_name, mobile, specialty_code, \
                registration_number, registration_council, years_of_experience, qualification, \
                search_text, created_at, updated_at) VALUES ('{doctor}', 'Anil', 'Bose', '', \
                'cardiology', '1', 'MMC', 5, 'MBBS', '', now(), now()); \
             INSERT INTO account_roles (account_id, role, granted_at) \
                VALUES ('{doctor}', 'doctor', now()); \
             INSERT INTO appointments (id, doctor_id, patient_id, mode, starts_at, ends_at, \
                blocks_from, blocks_until, time_zone, state, reason, currency_code, \
                price_minor_units, booked_by, created_at, updated_at) \
                VALUES ('{appointment}', '{doctor}', '{patient}', 'video', now() - interval '1 min', \
                now() + interval '29 min', now() - interval '1 min', now() + interval '29 min', \
                'UTC', 'in_consultation', '', 'INR', 1, '{patient}', now(), now()); \
             INSERT INTO visit_notes (id, appointment_id, patient_id, doctor_id, state, sealed_text, \
                created_at, updated_at) VALUES ('{note}', '{appointment}', '{patient}', '{doctor}', \
                'draft', '', now(), now()); \
             INSERT INTO prescriptions (id, number, appointment_id, patient_id, prescriber_id, \
                body_text, printed, created_at) VALUES ('{prescription}', '{prescription}', \
                '{appointment}', '{patient}', '{doctor}', 'Rest.', '{PRINTED}', now()); \
             INSERT INTO files (id, owner_id, file_name, media_type, size_bytes, sha256, \
                storage_key, created_at) VALUES ('{file}', '{owner}', 'a.png', 'image/png', 3, \
                decode(repeat('00', 32), 'hex'), '{file}', now()); \
             INSERT INTO uploads (id, owner_id, file_name, media_type, size_bytes, state, \
                expires_at, created_at) VALUES ('{upload}', '{owner}', 'a.png', 'image/png', 3, \
                'open', now() + interval '1 day', now()); \
             INSERT INTO applications (id, account_id, status, waiting_since, created_at, \
                updated_at) VALUES ('{application}', '{owner}', 'draft', now(), now(), now()); \
             INSERT INTO sessions (id, account_id, device_name, client_address, created_at, \
                last_used_at, expires_at) VALUES ('{session}', '{owner}', '', '', now(), now(), \
                now() + interval '1 day'); \
             INSERT INTO sign_ins (id, created_at, account_id, success, method, client_address, \
                user_agent) VALUES ('{sign_in}', now(), '{owner}', true, 'password', '', ''); \
             INSERT INTO accounts (id, kind, given_name, family_name, language, state, created_at, \
                updated_at) VALUES ('{service}', 'service', 'Lab', '', 'en', 'active', now(), \
                now()); \
             INSERT INTO api_keys (id, account_id, display_name, secret_hash, scopes, expires_at, \
                created_by, created_at) VALUES ('{api_key}', '{service}', 'Key', \
                decode(repeat('00', 32), 'hex'), '{{feed.read,webhooks}}', now() + interval '1 day', \
                '{service}', now());",
            account(doctor),
            account(patient),
            self.webhook_sql(),
            self.messages_sql(),
        )
    }

    /// A job, and a message of the owner with its delivery and a device.
    fn messages_sql(&self) -> String {
        let Self { owner, session, job, notification, delivery, device, .. } = self;
        format!(
            "INSERT INTO jobs (id, kind, payload, state, run_at, created_at, finished_at) \
                VALUES ('{job}', 'kernel.forget_jobs', '{{}}', 'done', now(), now(), now()); \
             INSERT INTO notifications (id, account_id, kind, once_key, template_values, in_inbox, \
                urgent, created_at) VALUES ('{notification}', '{owner}', 'welcome', \
                '{notification}', '{{}}', true, false, now()); \
             INSERT INTO deliveries (id, notification_id, account_id, kind, channel, job_id, state, \
                send_at, ended_at, created_at) VALUES ('{delivery}', '{notification}', '{owner}', \
                'welcome', 'mail', '{job}', 'sent', now(), now(), now()); \
             INSERT INTO devices (id, account_id, session_id, platform, token, token_hash, \
                created_at, updated_at) VALUES ('{device}', '{owner}', '{session}', 'web', \
                '{device}', sha256('{device}'), now(), now());"
        )
    }

    /// The endpoint, with something that was sent to it.
    fn webhook_sql(&self) -> String {
        let Self { owner, service, endpoint, .. } = self;
        format!(
            "INSERT INTO webhook_endpoints (id, service_account_id, created_by, url, display_name, \
                kinds, state, secret, cursor_xid, cursor_seq, served_at, created_at, updated_at) \
                VALUES ('{endpoint}', '{service}', '{service}', 'https://lab.example.org', 'Lab', \
                '{{}}', 'paused', '', 0, 0, now(), now(), now()); \
             INSERT INTO webhook_deliveries (id, endpoint_id, event_id, event_type, xid, seq, \
                resource_kind, resource_id, event_time, state, created_at, ended_at) \
                VALUES ('{endpoint}', '{endpoint}', '{endpoint}', 'account.updated', 1, 1, \
                'account', '{owner}', now(), 'delivered', now(), now());"
        )
    }
}

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Nobody,
    /// A patient whose access token has expired.
    Expired,
    Holds(Role),
    /// A patient whose account was blocked.
    Blocked,
    /// A patient who has applied as a doctor and is not approved.
    Applicant,
    /// A doctor who has given no second factor.
    WithoutFactor,
    /// A program whose API key has every scope.
    Program,
}

impl Who {
    pub const ALL: [Self; 12] = [
        Self::Nobody,
        Self::Expired,
        Self::Holds(Role::Patient),
        Self::Holds(Role::Doctor),
        Self::Holds(Role::Operator),
        Self::Holds(Role::Pharmacist),
        Self::Holds(Role::Admin),
        Self::Holds(Role::Superuser),
        Self::Blocked,
        Self::Applicant,
        Self::WithoutFactor,
        Self::Program,
    ];

    pub fn is_doctor(self) -> bool {
        matches!(self, Self::Holds(Role::Doctor) | Self::WithoutFactor)
    }

    fn role(self) -> Role {
        match self {
            Self::Holds(role) => role,
            Self::WithoutFactor => Role::Doctor,
            _ => Role::Patient,
        }
    }

    /// The rows that make the owner of a household this caller, and the access token.
    pub fn enter(self, world: &World, home: &Household) -> (String, Option<String>) {
        let (owner, session) = (home.owner, world.app.ids.next());
        let role = self.role().as_str();
        let state = if self == Self::Blocked { "blocked" } else { "active" };
        let (account, key) = match self {
            Self::Program => (home.service, format!("'{}'", home.api_key)),
            _ => (owner, "NULL".to_owned()),
        };
        let sql = format!(
            "INSERT INTO account_roles (account_id, role, granted_at) \
                VALUES ('{owner}', '{role}', now()) ON CONFLICT DO NOTHING; \
             UPDATE accounts SET state = '{state}', applicant = {} WHERE id = '{owner}'; \
             INSERT INTO sessions (id, account_id, device_name, client_address, created_at, \
                last_used_at, expires_at, second_factor, api_key_id) VALUES ('{session}', \
                '{account}', '', '', now(), now(), now() + interval '1 day', {}, {key});",
            self == Self::Applicant,
            self != Self::WithoutFactor,
        );
        let now = world.app.clock.now().timestamp();
        let issued = match self {
            Self::Expired => now - SignedDuration::from_hours(1),
            _ => now,
        };
        (sql, (self != Self::Nobody).then(|| token(world, account, session, issued)))
    }
}

fn token(world: &World, account: Uuid, session: Uuid, issued: Timestamp) -> String {
    let new = NewToken { id: Uuid::nil(), account, session, roles: Vec::new() };
    world.app.tokens.issue(new, issued).unwrap()
}
