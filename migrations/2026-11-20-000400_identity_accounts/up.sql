-- Accounts. The id of an account is also the id of the person's own patient
-- record and, for a doctor, of the doctor.
CREATE TABLE accounts (
    id uuid PRIMARY KEY,
    email text NOT NULL,
    email_key text NOT NULL CONSTRAINT accounts_email_unique UNIQUE,
    password_hash text,
    given_name text NOT NULL,
    family_name text NOT NULL,
    language text NOT NULL,
    state text NOT NULL CHECK (state IN ('inactive', 'active', 'blocked')),
    -- An onboarding application is open: doctor-side calls say so.
    applicant boolean NOT NULL DEFAULT false,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE TABLE account_roles (
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    role text NOT NULL
        CHECK (role IN ('patient', 'doctor', 'operator', 'pharmacist', 'admin', 'superuser')),
    -- Who granted it; null when it came with registration or the command line.
    granted_by uuid,
    granted_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, role)
);
CREATE INDEX account_roles_role ON account_roles (role, account_id);

-- Mailed links that activate an account or accept an invitation. The token in
-- the link is this id and a keyed hash over the row, so it is stored nowhere.
CREATE TABLE activations (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    -- Used, or replaced by a newer link.
    used_at timestamptz,
    created_at timestamptz NOT NULL
);
CREATE INDEX activations_account ON activations (account_id);

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    device_name text NOT NULL,
    client_address text NOT NULL,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz
);
CREATE INDEX sessions_account ON sessions (account_id);

-- Refresh tokens of a session, hashed. One that was replaced and comes back
-- ends the session.
CREATE TABLE refresh_tokens (
    token_hash bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    replaced_at timestamptz,
    created_at timestamptz NOT NULL
);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);

-- Failed sign-ins by keyed hash of the identifier, known or unknown alike. An
-- attempt counts before its password is looked at; a right one removes the row.
CREATE TABLE sign_in_failures (
    identifier bytea PRIMARY KEY,
    attempts timestamptz[] NOT NULL,
    last_attempt_at timestamptz NOT NULL,
    blocked_until timestamptz
);
CREATE INDEX sign_in_failures_age ON sign_in_failures (last_attempt_at);
