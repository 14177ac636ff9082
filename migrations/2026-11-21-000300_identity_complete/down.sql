DROP TABLE stream_tickets;
DROP INDEX sessions_api_key, sessions_live, sessions_account;
CREATE INDEX sessions_account ON sessions (account_id);
DELETE FROM sessions WHERE api_key_id IS NOT NULL;
ALTER TABLE sessions
    DROP COLUMN api_key_id,
    DROP COLUMN second_factor,
    DROP COLUMN user_agent;
DROP TABLE api_keys, sign_ins, recovery_codes, second_factors, sent_codes_by_country, sent_codes;

CREATE TABLE activations (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    -- Used, or replaced by a newer link.
    used_at timestamptz,
    created_at timestamptz NOT NULL
);
CREATE INDEX activations_account ON activations (account_id);
INSERT INTO activations (id, account_id, expires_at, used_at, created_at)
    SELECT id, account_id, expires_at, used_at, created_at FROM challenges
    WHERE purpose = 'activation';
DROP TABLE challenges;

-- The version before knows accounts with an address only: others keep a stand-in
-- that nobody can have, and closed ones are blocked.
DROP INDEX accounts_service, accounts_state, accounts_family_name, accounts_given_name;
ALTER TABLE accounts
    DROP CONSTRAINT accounts_service_is_no_person,
    DROP CONSTRAINT accounts_closed_is_nameless,
    DROP CONSTRAINT accounts_state_check;
UPDATE accounts SET state = 'blocked' WHERE state = 'deleted' OR kind = 'service';
UPDATE accounts SET email = id::text, email_key = id::text WHERE email IS NULL;
ALTER TABLE accounts
    ADD CONSTRAINT accounts_state_check CHECK (state IN ('inactive', 'active', 'blocked')),
    DROP COLUMN created_by,
    DROP COLUMN wrong_codes,
    DROP COLUMN short_password,
    DROP COLUMN phone,
    DROP COLUMN kind,
    ALTER COLUMN email_key SET NOT NULL,
    ALTER COLUMN email SET NOT NULL;
