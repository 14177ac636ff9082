DROP INDEX jobs_by_kind, jobs_by_state;
DELETE FROM jobs WHERE state = 'cancelled';
ALTER TABLE jobs
    DROP CONSTRAINT jobs_state_check,
    ADD CONSTRAINT jobs_state_check CHECK (state IN ('ready', 'running', 'done', 'failed'));
DROP INDEX applications_account;
DROP FUNCTION sweep_events;
DROP TABLE feed_horizon;
