-- Patients. A person's own record has the id of the account; dependants have
-- ids of their own and the account of their guardian.
CREATE TABLE patients (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts,
    given_name text NOT NULL,
    family_name text NOT NULL,
    birth_date date,
    -- Null: not said.
    gender text CHECK (gender IN ('female', 'male', 'other', 'unknown')),
    phone text NOT NULL DEFAULT '',
    time_zone text NOT NULL DEFAULT 'Asia/Kolkata',
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX patients_account ON patients (account_id);

CREATE TABLE doctors (
    id uuid PRIMARY KEY REFERENCES accounts,
    given_name text NOT NULL,
    family_name text NOT NULL,
    mobile text NOT NULL,
    specialty_code text NOT NULL REFERENCES specialties,
    registration_number text NOT NULL,
    registration_council text NOT NULL,
    years_of_experience integer NOT NULL,
    qualification text NOT NULL,
    bio text NOT NULL DEFAULT '',
    languages text[] NOT NULL DEFAULT '{}',
    clinic_name text NOT NULL DEFAULT '',
    clinic_lines text[] NOT NULL DEFAULT '{}',
    clinic_city text NOT NULL DEFAULT '',
    clinic_region text NOT NULL DEFAULT '',
    clinic_postal_code text NOT NULL DEFAULT '',
    clinic_country_code text NOT NULL DEFAULT '',
    available_for_booking boolean NOT NULL DEFAULT true,
    -- The words of name (A), specialty (B), qualification and clinic (C), folded:
    -- a tsvector in its text form.
    search_text text NOT NULL,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX doctors_search ON doctors USING gin ((search_text::tsvector));
CREATE INDEX doctors_specialty ON doctors (specialty_code, id);
CREATE INDEX doctors_city ON doctors (fold(clinic_city), id);

CREATE TABLE doctor_fees (
    doctor_id uuid NOT NULL REFERENCES doctors ON DELETE CASCADE,
    mode text NOT NULL CHECK (mode IN ('in_person', 'video', 'phone', 'chat')),
    currency_code text NOT NULL CHECK (length(currency_code) = 3),
    minor_units bigint NOT NULL CHECK (minor_units >= 0),
    PRIMARY KEY (doctor_id, mode)
);
CREATE INDEX doctor_fees_mode ON doctor_fees (mode, doctor_id);

-- Every word that a doctor was ever found by: what a mistyped word is compared
-- with. Far fewer than doctors, so that likeness is cheap to work out.
CREATE TABLE doctor_words (
    word text PRIMARY KEY
);
CREATE INDEX doctor_words_likeness ON doctor_words USING gin (word gin_trgm_ops);

-- The directory hides doctors whose account is blocked. There are few, so a
-- search looks them up once instead of looking at every account.
CREATE INDEX accounts_not_active ON accounts (id) WHERE state <> 'active';
