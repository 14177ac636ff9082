-- How far back the feed reaches: everything up to this position has been swept.
-- Readers with an older one have missed something and are told so.
CREATE TABLE feed_horizon (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    xid bigint NOT NULL,
    seq bigint NOT NULL
);
INSERT INTO feed_horizon (xid, seq) VALUES (0, 0);
REVOKE INSERT, UPDATE, DELETE ON feed_horizon FROM clinicd_app;

-- Removes the oldest events, up to the first that is not older than `before`,
-- at most `batch` of them, and moves the horizon. The application may remove no
-- event in any other way, and none that is younger than a week.
CREATE FUNCTION sweep_events(before timestamptz, batch integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    last record;
    swept bigint;
BEGIN
    IF before > now() - interval '7 days' THEN
        RAISE EXCEPTION 'events of the last 7 days are kept';
    END IF;
    PERFORM FROM feed_horizon FOR UPDATE;
    SELECT old.xid, old.seq INTO last FROM (
        SELECT e.xid, e.seq, bool_and(e.created_at < before) OVER (ORDER BY e.xid, e.seq) AS is_old
        FROM (SELECT xid, seq, created_at FROM events
              WHERE xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
              ORDER BY xid, seq LIMIT batch) e) old
    WHERE old.is_old ORDER BY old.xid DESC, old.seq DESC LIMIT 1;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    DELETE FROM events WHERE (xid, seq) <= (last.xid, last.seq);
    GET DIAGNOSTICS swept = ROW_COUNT;
    UPDATE feed_horizon SET xid = last.xid, seq = last.seq;
    RETURN swept;
END
$$;
REVOKE EXECUTE ON FUNCTION sweep_events FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sweep_events TO clinicd_app;

-- Jobs can be cancelled, and are listed by admins.
ALTER TABLE jobs
    DROP CONSTRAINT jobs_state_check,
    ADD CONSTRAINT jobs_state_check
        CHECK (state IN ('ready', 'running', 'done', 'failed', 'cancelled'));
CREATE INDEX jobs_by_state ON jobs (state, id);
CREATE INDEX jobs_by_kind ON jobs (kind, id);
