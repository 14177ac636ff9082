-- Where partners get events. The secrets are sealed. The cursor is the place in
-- the feed up to which events were taken over into webhook_deliveries. One
-- worker at a time serves an endpoint, by its lease, which the database's clock
-- judges; everything that touches the deliveries of an endpoint holds its row.
-- A deleted endpoint is hidden, until a job has removed its deliveries.
CREATE TABLE webhook_endpoints (
    id uuid PRIMARY KEY,
    -- Null: it belongs to the installation; an admin made it.
    service_account_id uuid,
    created_by uuid NOT NULL,
    url text NOT NULL,
    display_name text NOT NULL,
    kinds text[] NOT NULL,
    state text NOT NULL CHECK (state IN ('active', 'paused', 'disabled', 'deleted')),
    -- Why it was disabled.
    problem text NOT NULL DEFAULT '',
    secret bytea NOT NULL,
    previous_secret bytea,
    previous_secret_until timestamptz,
    cursor_xid bigint NOT NULL,
    cursor_seq bigint NOT NULL,
    -- When events were found to have left the feed before they were taken over.
    missed_at timestamptz,
    -- Since when every attempt has failed, and when the last one did.
    failing_since timestamptz,
    failed_at timestamptz,
    -- Nothing is sent before: it asked for a pause, or there is nothing to be done.
    rests_until timestamptz,
    lease_id uuid,
    lease_until timestamptz,
    served_at timestamptz NOT NULL,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK ((lease_id IS NULL) = (lease_until IS NULL)),
    CHECK ((previous_secret IS NULL) = (previous_secret_until IS NULL)),
    CHECK ((problem <> '') = (state = 'disabled'))
);
CREATE INDEX webhook_endpoints_owner ON webhook_endpoints (service_account_id, id)
    WHERE state <> 'deleted';
CREATE INDEX webhook_endpoints_all ON webhook_endpoints (id) WHERE state <> 'deleted';
CREATE INDEX webhook_endpoints_active ON webhook_endpoints (served_at) WHERE state = 'active';

-- Events on their way. An event is on its way to an endpoint once; a replay makes
-- it pending again. Of the pending ones of a resource only the first, in feed
-- order, has a time of its next attempt: the others wait for it.
CREATE TABLE webhook_deliveries (
    id uuid PRIMARY KEY,
    endpoint_id uuid NOT NULL REFERENCES webhook_endpoints,
    event_id uuid NOT NULL,
    event_type text NOT NULL,
    xid bigint NOT NULL,
    seq bigint NOT NULL,
    resource_kind text NOT NULL,
    resource_id uuid NOT NULL,
    event_time timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz,
    status_code integer NOT NULL DEFAULT 0,
    reason text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    UNIQUE (endpoint_id, event_id),
    CHECK ((state = 'pending') = (ended_at IS NULL)),
    CHECK (state = 'pending' OR next_at IS NULL)
);
-- The events of each resource that wait, and those whose turn it is.
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (endpoint_id, resource_id, xid, seq)
    WHERE state = 'pending';
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, next_at, xid, seq)
    WHERE state = 'pending';
CREATE INDEX webhook_deliveries_list ON webhook_deliveries (endpoint_id, id);
CREATE INDEX webhook_deliveries_by_state ON webhook_deliveries (endpoint_id, state, id);
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (ended_at);
