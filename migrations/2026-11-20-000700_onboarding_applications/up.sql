CREATE TABLE applications (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts,
    status text NOT NULL
        CHECK (status IN ('draft', 'submitted', 'changes_requested', 'approved', 'rejected')),
    -- personal
    given_name text,
    family_name text,
    mobile text,
    birth_date date,
    -- professional
    specialty_code text REFERENCES specialties,
    registration_number text,
    registration_council text,
    years_of_experience integer,
    qualification text,
    -- clinic
    clinic_name text,
    clinic_lines text[],
    clinic_city text,
    clinic_region text,
    clinic_postal_code text,
    clinic_country_code text,
    -- declaration
    declared boolean NOT NULL DEFAULT false,
    -- What the reviewer asked to be changed: {"professional": "…"}.
    requested_changes jsonb NOT NULL DEFAULT '{}',
    rejection_reason text NOT NULL DEFAULT '',
    reviewed_by uuid,
    -- Its place in the queue: when it was last submitted, or started.
    waiting_since timestamptz NOT NULL,
    submitted_at timestamptz,
    reviewed_at timestamptz,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
-- A rejected applicant may start anew; otherwise there is one application.
CREATE UNIQUE INDEX applications_one_open ON applications (account_id) WHERE status <> 'rejected';
CREATE INDEX applications_queue ON applications (status, waiting_since, id);
CREATE INDEX applications_all ON applications (waiting_since, id);

CREATE TABLE application_documents (
    application_id uuid NOT NULL REFERENCES applications ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('government_id', 'medical_certificate', 'registration')),
    file_id uuid NOT NULL REFERENCES files,
    PRIMARY KEY (application_id, kind)
);
