-- The feed. An event is written in the transaction of its change. xid is that
-- transaction, or the newest one that had ended when the event was written, if
-- that is higher. Readers take only what is below the oldest running one,
-- ordered by (xid, seq): no event can appear behind a position already passed,
-- and a change that waited for another one comes after it.
CREATE TABLE events (
    id uuid PRIMARY KEY,
    xid bigint NOT NULL DEFAULT greatest(pg_current_xact_id()::text::bigint,
        pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1),
    seq bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    created_at timestamptz NOT NULL,
    event_type text NOT NULL,
    resource_kind text NOT NULL,
    resource_id uuid NOT NULL,
    account_id uuid,
    patient_id uuid,
    doctor_id uuid
);
CREATE UNIQUE INDEX events_order ON events (xid, seq);

-- Work to be done outside the transaction that asked for it.
CREATE TABLE jobs (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('ready', 'running', 'done', 'failed')),
    run_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    lease_until timestamptz,
    last_error text,
    dedupe_key text UNIQUE,
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    CHECK ((state = 'running') = (lease_until IS NOT NULL))
);
CREATE INDEX jobs_due ON jobs (run_at) WHERE state = 'ready';
CREATE INDEX jobs_leased ON jobs (lease_until) WHERE state = 'running';

-- The last tick of each schedule that was turned into a job.
CREATE TABLE job_schedules (
    name text PRIMARY KEY,
    last_tick timestamptz NOT NULL
);

-- The answers of calls that changed something, by request_id. Encrypted: an
-- answer may hold a note or a token.
CREATE TABLE stored_answers (
    principal uuid NOT NULL,
    method text NOT NULL,
    request_id uuid NOT NULL,
    fingerprint bytea NOT NULL,
    answer bytea,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (principal, method, request_id)
);
CREATE INDEX stored_answers_age ON stored_answers (created_at);
REVOKE UPDATE, DELETE ON events FROM clinicd_app;
