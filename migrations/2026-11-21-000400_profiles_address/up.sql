-- Where a person lives, and since when the record is kept under a pseudonym.
ALTER TABLE patients
    ADD COLUMN city text NOT NULL DEFAULT '',
    ADD COLUMN country_code text NOT NULL DEFAULT '',
    ADD COLUMN closed_at timestamptz;
CREATE INDEX patients_birth_date ON patients (birth_date, id);
CREATE INDEX patients_city ON patients (fold(city), id) WHERE city <> '';
CREATE INDEX patients_country ON patients (country_code, id) WHERE country_code <> '';
CREATE INDEX patients_gender ON patients (gender, id);
ALTER TABLE doctors ADD COLUMN closed_at timestamptz;
CREATE INDEX doctors_given_name ON doctors (fold(given_name) text_pattern_ops);
CREATE INDEX doctors_family_name ON doctors (fold(family_name) text_pattern_ops);
