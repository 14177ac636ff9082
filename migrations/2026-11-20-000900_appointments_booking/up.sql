CREATE TABLE schedules (
    doctor_id uuid PRIMARY KEY REFERENCES doctors,
    time_zone text NOT NULL,
    lead_minutes integer NOT NULL CHECK (lead_minutes >= 0),
    horizon_days integer NOT NULL CHECK (horizon_days > 0),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

-- Wall-clock working hours in the zone of the schedule. Minutes count from
-- midnight.
CREATE TABLE schedule_rules (
    doctor_id uuid NOT NULL REFERENCES schedules ON DELETE CASCADE,
    position integer NOT NULL,
    weekday smallint NOT NULL CHECK (weekday BETWEEN 1 AND 7),
    start_minute integer NOT NULL CHECK (start_minute BETWEEN 0 AND 1439),
    end_minute integer NOT NULL CHECK (end_minute BETWEEN 1 AND 1440),
    slot_minutes integer NOT NULL CHECK (slot_minutes > 0),
    buffer_before_minutes integer NOT NULL CHECK (buffer_before_minutes >= 0),
    buffer_after_minutes integer NOT NULL CHECK (buffer_after_minutes >= 0),
    modes text[] NOT NULL,
    valid_from date,
    valid_until date,
    PRIMARY KEY (doctor_id, position),
    CHECK (end_minute > start_minute)
);

CREATE TABLE appointments (
    id uuid PRIMARY KEY,
    doctor_id uuid NOT NULL REFERENCES doctors,
    patient_id uuid NOT NULL REFERENCES patients,
    mode text NOT NULL CHECK (mode IN ('in_person', 'video', 'phone', 'chat')),
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    -- The doctor's time that it takes: the visit and its buffers.
    blocks_from timestamptz NOT NULL,
    blocks_until timestamptz NOT NULL,
    time_zone text NOT NULL,
    state text NOT NULL CHECK (state IN ('booked', 'in_consultation', 'completed', 'cancelled')),
    reason text NOT NULL,
    currency_code text NOT NULL,
    price_minor_units bigint NOT NULL,
    booked_by uuid NOT NULL,
    cancellation_reason text NOT NULL DEFAULT '',
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK (blocks_from <= starts_at AND starts_at < ends_at AND ends_at <= blocks_until),
    -- G1: live appointments of one doctor never overlap, buffers included …
    CONSTRAINT appointments_doctor_free EXCLUDE USING gist (
        doctor_id WITH =,
        tstzrange(blocks_from, blocks_until) WITH &&
    ) WHERE (state IN ('booked', 'in_consultation')),
    -- … nor do those of one patient.
    CONSTRAINT appointments_patient_free EXCLUDE USING gist (
        patient_id WITH =,
        tstzrange(starts_at, ends_at) WITH &&
    ) WHERE (state IN ('booked', 'in_consultation'))
);
CREATE INDEX appointments_doctor ON appointments (doctor_id, starts_at, id);
CREATE INDEX appointments_patient ON appointments (patient_id, starts_at, id);
CREATE INDEX appointments_start ON appointments (starts_at, id);
