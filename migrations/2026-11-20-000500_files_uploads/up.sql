CREATE TABLE files (
    id uuid PRIMARY KEY,
    owner_id uuid NOT NULL,
    file_name text NOT NULL,
    media_type text NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    storage_key text NOT NULL,
    -- Admins may read it: it is part of an onboarding application.
    for_review boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL
);
CREATE INDEX files_owner ON files (owner_id, id);

CREATE TABLE uploads (
    id uuid PRIMARY KEY,
    owner_id uuid NOT NULL,
    file_name text NOT NULL,
    media_type text NOT NULL,
    size_bytes bigint NOT NULL CHECK (size_bytes > 0),
    received_bytes bigint NOT NULL DEFAULT 0 CHECK (received_bytes BETWEEN 0 AND size_bytes),
    state text NOT NULL CHECK (state IN ('open', 'finished', 'aborted')),
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX uploads_open ON uploads (owner_id) WHERE state = 'open';
CREATE INDEX uploads_lapsed ON uploads (expires_at);

-- Objects of the file store that belong to no file (yet): a key is written here
-- before its bytes, and goes in the transaction that makes the file. What a
-- crash leaves behind is swept.
CREATE TABLE unclaimed_objects (
    storage_key text PRIMARY KEY,
    created_at timestamptz NOT NULL
);
