-- The rows that BookAppointment writes, in one statement.
\set doctor random(1, {doctors.count})
\set patient random(1, {patients.count})
\set slot random(1, 100000000)
WITH appointment AS (
    INSERT INTO load_appointments (id, doctor_id, patient_id, mode, starts_at, ends_at,
        blocks_from, blocks_until, time_zone, state, reason, currency_code, price_minor_units,
        booked_by, created_at, updated_at)
    SELECT gen_random_uuid(), {doctors}[:doctor], {patients}[:patient], 'in_person', at,
        at + interval '30 minutes', at, at + interval '30 minutes', 'Asia/Kolkata', 'booked',
        '{reason}', 'INR', 50000, {patients}[:patient], now(), now()
    FROM to_timestamp(4102444800 + :slot::bigint * 1800) AS at
    RETURNING id, doctor_id, patient_id
), event AS (
    INSERT INTO load_events (id, created_at, event_type, resource_kind, resource_id, patient_id,
        doctor_id)
    SELECT gen_random_uuid(), now(), 'appointment.booked', 'appointment', id, patient_id,
        doctor_id
    FROM appointment
), job AS (
    INSERT INTO load_jobs (id, kind, payload, state, run_at, created_at)
    SELECT gen_random_uuid(), 'appointments.tell_booked', jsonb_build_object('appointment', id),
        'ready', now(), now()
    FROM appointment
)
INSERT INTO load_stored_answers (principal, method, request_id, fingerprint, answer, created_at)
SELECT patient_id, 'clinicd.appointments.v1.AppointmentService/BookAppointment',
    gen_random_uuid(), sha256('fingerprint'), decode(repeat('ab', 450), 'hex'), now()
FROM appointment;
