-- The statement of GetAppointment, as an operator.
\set n random(1, {appointments.count})
SELECT appointments.id, appointments.doctor_id, appointments.patient_id, appointments.mode,
    appointments.starts_at, appointments.ends_at, appointments.time_zone, appointments.state,
    appointments.reason, appointments.currency_code, appointments.price_minor_units,
    appointments.booked_by, appointments.cancellation_reason, appointments.version,
    appointments.created_at, appointments.updated_at, doctors.given_name, doctors.family_name,
    patients.given_name, patients.family_name, patients.account_id
FROM appointments
    INNER JOIN doctors ON appointments.doctor_id = doctors.id
    INNER JOIN patients ON appointments.patient_id = patients.id
WHERE appointments.id = {appointments}[:n] AND true LIMIT 1;
