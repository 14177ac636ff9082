-- Lists are ordered by id unless a caller wants otherwise: a page of a doctor or
-- a patient costs the same however many appointments they have.
CREATE INDEX appointments_doctor_by_id ON appointments (doctor_id, id);
CREATE INDEX appointments_patient_by_id ON appointments (patient_id, id);
