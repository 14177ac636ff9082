-- What GetNote reads, and the entry that it leaves, in one statement.
\set n random(1, {visit_notes.count})
WITH note AS (
    SELECT n.id, n.appointment_id, n.patient_id, n.doctor_id, n.state, n.sealed_text, n.version,
        n.created_at, n.updated_at, n.signed_at, k.wrapped_key
    FROM visit_notes n JOIN patient_keys k ON k.patient_id = n.patient_id
    WHERE n.id = {visit_notes}[:n]
), entry AS (
    INSERT INTO load_audit_entries (id, created_at, actor_id, actor_roles, session_id,
        client_address, method, patient_id, data_types, record_ids, outcome, rule)
    SELECT gen_random_uuid(), now(), note.doctor_id, '{doctor,patient}', note.appointment_id,
        '127.0.0.1', 'clinicd.journals.v1.VisitNoteService/GetNote', note.patient_id,
        '{visit_note}', ARRAY[note.id], 'allowed', 'treating_doctor'
    FROM note
)
SELECT * FROM note;
