-- Where partners get events. The secrets are sealed. The cursor is the place in
-- the feed up to which events were taken over into webhook_deliveries. One
-- worker at a time holds an endpoint, by its lease.
CREATE TABLE webhook_endpoints (
    id uuid PRIMARY KEY,
    service_account_id uuid,
    url text NOT NULL,
    display_name text NOT NULL,
    kinds text[] NOT NULL,
    state text NOT NULL CHECK (state IN ('active', 'paused', 'disabled')),
    secret bytea NOT NULL,
    previous_secret bytea,
    previous_secret_until timestamptz,
    cursor_xid bigint NOT NULL,
    cursor_seq bigint NOT NULL,
    failing_since timestamptz,
    lease_id uuid,
    lease_until timestamptz,
    version integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK ((lease_id IS NULL) = (lease_until IS NULL))
);
CREATE INDEX webhook_endpoints_owner ON webhook_endpoints (service_account_id, id);
CREATE INDEX webhook_endpoints_active ON webhook_endpoints (id) WHERE state = 'active';

-- Events on their way. An event is on its way to an endpoint once; a replay makes
-- it pending again.
CREATE TABLE webhook_deliveries (
    id uuid PRIMARY KEY,
    endpoint_id uuid NOT NULL REFERENCES webhook_endpoints ON DELETE CASCADE,
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
    CHECK ((state = 'pending') = (next_at IS NOT NULL))
);
-- The first event of each resource that waits.
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (endpoint_id, resource_id, xid, seq)
    WHERE state = 'pending';
CREATE INDEX webhook_deliveries_list ON webhook_deliveries (endpoint_id, id);
CREATE INDEX webhook_deliveries_by_state ON webhook_deliveries (endpoint_id, state, id);
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (ended_at);
