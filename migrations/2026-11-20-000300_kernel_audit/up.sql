-- One entry per access to medical data. The server may add entries and read
-- them; it can neither change nor delete one.
CREATE TABLE audit_entries (
    id uuid PRIMARY KEY,
    xid bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
    seq bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    created_at timestamptz NOT NULL,
    actor_id uuid NOT NULL,
    actor_roles text[] NOT NULL,
    session_id uuid NOT NULL,
    client_address text NOT NULL,
    method text NOT NULL,
    patient_id uuid,
    data_types text[] NOT NULL,
    record_ids uuid[] NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('allowed', 'refused')),
    rule text NOT NULL,
    -- The request_id of the call, so that a repeated one is logged like the first.
    request_id uuid
);
CREATE UNIQUE INDEX audit_entries_order ON audit_entries (xid, seq);
CREATE INDEX audit_entries_patient ON audit_entries (patient_id, id);
CREATE INDEX audit_entries_actor ON audit_entries (actor_id, id);
CREATE INDEX audit_entries_request ON audit_entries (request_id) WHERE request_id IS NOT NULL;

-- The chain: hash = SHA-256(previous hash, canonical bytes of the entry).
CREATE TABLE audit_chain (
    position bigint PRIMARY KEY CHECK (position > 0),
    entry_id uuid NOT NULL UNIQUE REFERENCES audit_entries,
    hash bytea NOT NULL CHECK (length(hash) = 32)
);
REVOKE UPDATE, DELETE ON audit_entries, audit_chain FROM clinicd_app;

-- Each patient's data key, wrapped by a master key that is not in the
-- database. Deleting the row makes what it sealed unreadable for good.
CREATE TABLE patient_keys (
    patient_id uuid PRIMARY KEY,
    wrapped_key bytea NOT NULL,
    created_at timestamptz NOT NULL
);
