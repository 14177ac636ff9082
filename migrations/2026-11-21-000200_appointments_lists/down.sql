DROP INDEX appointments_patient_by_id;
DROP INDEX appointments_doctor_by_id;
