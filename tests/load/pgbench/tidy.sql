DELETE FROM load_appointments WHERE reason = '{reason}';
TRUNCATE load_events, load_jobs, load_stored_answers, load_audit_entries;
CHECKPOINT;
