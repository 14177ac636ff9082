-- Issued prescriptions never change: the server may add and read them only.
CREATE TABLE prescriptions (
    id uuid PRIMARY KEY,
    number text NOT NULL CONSTRAINT prescriptions_number_unique UNIQUE,
    appointment_id uuid NOT NULL REFERENCES appointments,
    patient_id uuid NOT NULL REFERENCES patients,
    prescriber_id uuid NOT NULL REFERENCES doctors,
    body_text text NOT NULL,
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
    refills integer NOT NULL,
    instructions text NOT NULL,
    PRIMARY KEY (prescription_id, position)
);
REVOKE UPDATE, DELETE ON prescriptions, prescription_items FROM clinicd_app;
