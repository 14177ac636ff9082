CREATE TABLE visit_notes (
    id uuid PRIMARY KEY,
    appointment_id uuid NOT NULL CONSTRAINT visit_notes_one_per_visit UNIQUE
        REFERENCES appointments,
    patient_id uuid NOT NULL REFERENCES patients,
    doctor_id uuid NOT NULL REFERENCES doctors,
    state text NOT NULL CHECK (state IN ('draft', 'signed')),
    -- AES-256-GCM under the patient's key; bound to id and version.
    sealed_text bytea NOT NULL,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    signed_at timestamptz,
    CHECK ((state = 'signed') = (signed_at IS NOT NULL))
);
CREATE INDEX visit_notes_patient ON visit_notes (patient_id, id);
CREATE INDEX visit_notes_doctor ON visit_notes (doctor_id, id);

-- No note is ever deleted: the server may add, rewrite (drafts) and read them.
REVOKE DELETE ON visit_notes FROM clinicd_app;

-- A signed note never changes, whoever asks.
CREATE FUNCTION visit_notes_keep_signed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a signed visit note never changes'
        USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER visit_notes_keep_signed BEFORE UPDATE OR DELETE ON visit_notes
    FOR EACH ROW WHEN (OLD.state = 'signed') EXECUTE FUNCTION visit_notes_keep_signed();
