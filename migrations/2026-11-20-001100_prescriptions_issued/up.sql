-- Issued prescriptions never change: the server may add and read them only.
CREATE TABLE prescriptions (
    id uuid PRIMARY KEY,
    number text NOT NULL CONSTRAINT prescriptions_number_unique UNIQUE,
    appointment_id uuid NOT NULL REFERENCES appointments,
    patient_id uuid NOT NULL REFERENCES patients,
    prescriber_id uuid NOT NULL REFERENCES doctors,
    body_text text NOT NULL,
    -- What is printed beside the content, as it was at issue: language, day,
    -- letterhead and patient. So the same prescription always prints the same.
    printed jsonb NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX prescriptions_patient ON prescriptions (patient_id, id);
CREATE INDEX prescriptions_prescriber ON prescriptions (prescriber_id, id);

CREATE TABLE prescription_items (
    prescription_id uuid NOT NULL REFERENCES prescriptions,
    position integer NOT NULL,
    medication text NOT NULL,
    dose text NOT NULL,
    route text NOT NULL,
    frequency text NOT NULL,
    duration text NOT NULL,
    quantity text NOT NULL,
    refills integer NOT NULL CHECK (refills >= 0),
    instructions text NOT NULL,
    PRIMARY KEY (prescription_id, position)
);

-- Items come with their prescription, in one transaction, and never later.
CREATE FUNCTION prescription_items_at_issue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM prescriptions
        WHERE id = NEW.prescription_id AND xmin = pg_current_xact_id()::xid
    ) THEN
        RAISE EXCEPTION 'an issued prescription never changes'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER prescription_items_at_issue BEFORE INSERT ON prescription_items
    FOR EACH ROW EXECUTE FUNCTION prescription_items_at_issue();
REVOKE UPDATE, DELETE ON prescriptions, prescription_items FROM clinicd_app;
