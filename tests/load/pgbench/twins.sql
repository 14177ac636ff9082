-- Twins of the tables that the server writes: same columns, indexes and constraints. Those of
-- appointments are as full as the original.
DROP TABLE IF EXISTS load_appointments, load_events, load_jobs, load_stored_answers,
    load_audit_entries;
CREATE TABLE load_appointments (LIKE appointments INCLUDING ALL);
ALTER TABLE load_appointments
    ADD FOREIGN KEY (doctor_id) REFERENCES doctors,
    ADD FOREIGN KEY (patient_id) REFERENCES patients;
INSERT INTO load_appointments SELECT * FROM appointments;
CREATE TABLE load_events (LIKE events INCLUDING ALL);
CREATE TABLE load_jobs (LIKE jobs INCLUDING ALL);
CREATE TABLE load_stored_answers (LIKE stored_answers INCLUDING ALL);
CREATE TABLE load_audit_entries (LIKE audit_entries INCLUDING ALL);
ANALYZE load_appointments;
