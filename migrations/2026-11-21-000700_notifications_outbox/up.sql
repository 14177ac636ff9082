-- What a person is told, once, whatever the number of channels. once_key is the
-- purpose and its window: a second message for the same is not written.
-- template_values are what the texts need beside the recipient's name; links and
-- codes are not in it, they are made when the message is sent. It goes to the
-- owner of the account; or to sealed_contact, which the account does not have
-- (any more) and which is forgotten once it was sent; or to the address of a
-- challenge, in this language where no account has one.
CREATE TABLE notifications (
    id uuid PRIMARY KEY,
    account_id uuid,
    kind text NOT NULL,
    once_key text NOT NULL CONSTRAINT notifications_once UNIQUE,
    resource_kind text,
    resource_id uuid,
    template_values jsonb NOT NULL,
    sealed_contact text,
    challenge_id uuid,
    language text,
    in_inbox boolean NOT NULL,
    -- It does not wait for the end of quiet hours.
    urgent boolean NOT NULL,
    -- What was not sent by then is not sent.
    send_until timestamptz,
    read_at timestamptz,
    created_at timestamptz NOT NULL
);
CREATE INDEX notifications_inbox ON notifications (account_id, id) WHERE in_inbox;
CREATE INDEX notifications_unread ON notifications (account_id, id)
    WHERE in_inbox AND read_at IS NULL;
CREATE INDEX notifications_account ON notifications (account_id);
CREATE INDEX notifications_about ON notifications (resource_id, kind)
    WHERE resource_id IS NOT NULL;
CREATE INDEX notifications_age ON notifications (created_at);

-- The outbox: one row per message and channel (push: per device). Its id is the
-- key that the provider gets. job_id is the one job that may send it, so that two
-- jobs never do; attempts are counted before they are made.
CREATE TABLE deliveries (
    id uuid PRIMARY KEY,
    notification_id uuid NOT NULL REFERENCES notifications ON DELETE CASCADE,
    account_id uuid,
    kind text NOT NULL,
    channel text NOT NULL CHECK (channel IN ('mail', 'sms', 'push')),
    device_id uuid,
    job_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'sent', 'failed', 'skipped')),
    attempts integer NOT NULL DEFAULT 0,
    reason text NOT NULL DEFAULT '',
    provider_code integer NOT NULL DEFAULT 0,
    template_version text NOT NULL DEFAULT '',
    send_at timestamptz NOT NULL,
    ended_at timestamptz,
    created_at timestamptz NOT NULL,
    CHECK ((state = 'pending') = (ended_at IS NULL))
);
CREATE INDEX deliveries_notification ON deliveries (notification_id);
CREATE INDEX deliveries_by_state ON deliveries (state, id);
CREATE INDEX deliveries_by_channel ON deliveries (channel, id);
CREATE INDEX deliveries_by_account ON deliveries (account_id, id);
CREATE INDEX deliveries_by_kind ON deliveries (kind, id);

-- When the next message may go by a channel, for all servers.
CREATE TABLE channel_pace (
    channel text PRIMARY KEY,
    next_at timestamptz NOT NULL
);

-- What an account has switched off; whatever is not here is open.
CREATE TABLE closed_channels (
    account_id uuid NOT NULL,
    class text NOT NULL,
    channel text NOT NULL,
    PRIMARY KEY (account_id, class, channel)
);

-- Times of day at which an account wants to hear only what is urgent, and the
-- version of all its preferences.
CREATE TABLE notification_preferences (
    account_id uuid PRIMARY KEY,
    quiet_from time,
    quiet_until time,
    version integer NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK ((quiet_from IS NULL) = (quiet_until IS NULL)),
    CHECK (quiet_from <> quiet_until)
);

-- Devices that get push messages, while their session lives. token_hash is the
-- SHA-256 of the token.
CREATE TABLE devices (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL,
    session_id uuid NOT NULL,
    platform text NOT NULL,
    token text NOT NULL,
    token_hash bytea NOT NULL CONSTRAINT devices_token UNIQUE,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX devices_account ON devices (account_id, updated_at);

-- Whose birthday it is.
CREATE INDEX patients_birthday ON patients
    (extract(month FROM birth_date), extract(day FROM birth_date)) WHERE id = account_id;
