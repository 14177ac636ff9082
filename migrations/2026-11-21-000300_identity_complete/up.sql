-- Accounts with a phone number, accounts of programs, closed accounts.
ALTER TABLE accounts
    ALTER COLUMN email DROP NOT NULL,
    ALTER COLUMN email_key DROP NOT NULL,
    -- A person's, or a program's: no contacts, no password, no roles.
    ADD COLUMN kind text NOT NULL DEFAULT 'person' CHECK (kind IN ('person', 'service')),
    -- E.164, verified.
    ADD COLUMN phone text CONSTRAINT accounts_phone_unique UNIQUE,
    -- The password is too short to sign in without a second factor.
    ADD COLUMN short_password boolean NOT NULL DEFAULT false,
    -- Wrong codes in a row; many close sign-in by phone.
    ADD COLUMN wrong_codes integer NOT NULL DEFAULT 0,
    -- The admin who made it; null when it registered.
    ADD COLUMN created_by uuid,
    DROP CONSTRAINT accounts_state_check,
    ADD CONSTRAINT accounts_state_check
        CHECK (state IN ('inactive', 'active', 'blocked', 'deleted')),
    ADD CONSTRAINT accounts_closed_is_nameless CHECK (state <> 'deleted'
        OR (email IS NULL AND email_key IS NULL AND phone IS NULL AND password_hash IS NULL
            AND given_name = '' AND family_name = '')),
    ADD CONSTRAINT accounts_service_is_no_person CHECK (kind <> 'service'
        OR (email IS NULL AND email_key IS NULL AND phone IS NULL AND password_hash IS NULL));
CREATE INDEX accounts_given_name ON accounts (fold(given_name) text_pattern_ops);
CREATE INDEX accounts_family_name ON accounts (fold(family_name) text_pattern_ops);
CREATE INDEX accounts_state ON accounts (state, id);
CREATE INDEX accounts_service ON accounts (id) WHERE kind = 'service';

-- Something was sent to an address, or is asked of an app; its answer proves
-- who somebody is. Tokens and codes are keyed hashes over the row, made again
-- when they are checked: they are stored nowhere.
CREATE TABLE challenges (
    id uuid PRIMARY KEY,
    purpose text NOT NULL CHECK (purpose IN ('activation', 'registration', 'sign_in', 'recovery',
        'email_change', 'phone_change', 'second_factor')),
    -- Null: a number that has no account yet.
    account_id uuid REFERENCES accounts ON DELETE CASCADE,
    -- Mail address or phone number that it was sent to; empty when none was.
    address text NOT NULL,
    -- Tries of its code that were wrong, or are being judged.
    tries integer NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL,
    -- Answered, or replaced by a newer one.
    used_at timestamptz,
    -- It was answered rightly.
    answered boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL
);
CREATE INDEX challenges_account ON challenges (account_id, purpose) WHERE used_at IS NULL;
CREATE INDEX challenges_address ON challenges (address, purpose) WHERE used_at IS NULL;
CREATE INDEX challenges_age ON challenges (expires_at);
INSERT INTO challenges (id, purpose, account_id, address, expires_at, used_at, created_at)
    SELECT v.id, 'activation', v.account_id, a.email, v.expires_at, v.used_at, v.created_at
    FROM activations v JOIN accounts a ON a.id = v.account_id;
DROP TABLE activations;

-- What the sent codes of a number or a client network count against.
CREATE TABLE sent_codes (
    -- Keyed hash of the number or the network.
    key bytea PRIMARY KEY,
    sent timestamptz[] NOT NULL,
    last_sent_at timestamptz NOT NULL
);
CREATE INDEX sent_codes_age ON sent_codes (last_sent_at);
CREATE TABLE sent_codes_by_country (
    calling_code integer NOT NULL,
    day date NOT NULL,
    sent integer NOT NULL,
    PRIMARY KEY (calling_code, day)
);

-- Authenticator apps (TOTP). The secret is sealed by a key outside the database.
CREATE TABLE second_factors (
    account_id uuid PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
    sealed_secret bytea NOT NULL,
    -- Null: being set up.
    confirmed_at timestamptz,
    -- The step of the last code that was taken; none up to it works again.
    last_step bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL
);
CREATE TABLE recovery_codes (
    account_id uuid NOT NULL REFERENCES second_factors ON DELETE CASCADE,
    code_hash bytea NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (account_id, code_hash)
);

-- Every attempt to sign in. Records are hidden, never deleted.
CREATE TABLE sign_ins (
    id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL,
    account_id uuid,
    success boolean NOT NULL,
    method text NOT NULL CHECK (method IN ('password', 'otp', 'totp', 'recovery_code', 'recovery',
        'api_key', 'reused_refresh_token')),
    client_address text NOT NULL,
    user_agent text NOT NULL,
    hidden_at timestamptz,
    hidden_by uuid,
    CHECK ((hidden_at IS NULL) = (hidden_by IS NULL))
);
CREATE INDEX sign_ins_success ON sign_ins (success, id) WHERE hidden_at IS NULL;
CREATE INDEX sign_ins_time ON sign_ins (created_at, id) WHERE hidden_at IS NULL;
CREATE INDEX sign_ins_account_time ON sign_ins (account_id, created_at, id)
    WHERE hidden_at IS NULL;
CREATE INDEX sign_ins_account_success ON sign_ins (account_id, success, id)
    WHERE hidden_at IS NULL;
CREATE INDEX sign_ins_account ON sign_ins (account_id, id) WHERE hidden_at IS NULL;
REVOKE UPDATE, DELETE ON sign_ins FROM clinicd_app;
GRANT UPDATE (hidden_at, hidden_by) ON sign_ins TO clinicd_app;

CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts,
    display_name text NOT NULL,
    secret_hash bytea NOT NULL CHECK (length(secret_hash) = 32),
    scopes text[] NOT NULL,
    expires_at timestamptz NOT NULL,
    last_used_at timestamptz,
    revoked_at timestamptz,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX api_keys_account ON api_keys (account_id, id);

ALTER TABLE sessions
    ADD COLUMN user_agent text NOT NULL DEFAULT '',
    -- A second factor was given.
    ADD COLUMN second_factor boolean NOT NULL DEFAULT false,
    -- The key that it was exchanged for; null for people.
    ADD COLUMN api_key_id uuid REFERENCES api_keys;
DROP INDEX sessions_account;
CREATE INDEX sessions_account ON sessions (account_id, id);
CREATE INDEX sessions_live ON sessions (account_id, id) WHERE ended_at IS NULL;
CREATE INDEX sessions_api_key ON sessions (api_key_id) WHERE ended_at IS NULL;

CREATE TABLE stream_tickets (
    ticket_hash bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    method text NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX stream_tickets_age ON stream_tickets (expires_at);
