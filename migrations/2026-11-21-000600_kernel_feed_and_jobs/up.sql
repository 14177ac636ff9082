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
-- event in any other way, and none that is younger than a week by the clock of
-- the database, whatever it asks for.
--
-- It takes what readers may take: events below the oldest running transaction.
-- An event of a transaction that still runs has a number that is not lower, so
-- none can be committed behind the horizon between the two statements. Both read
-- the index from the horizon on: the dead entries of earlier batches lie before.
CREATE FUNCTION sweep_events(before timestamptz, batch integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    cut timestamptz := least(before, now() - interval '7 days');
    horizon record;
    last record;
    swept bigint;
BEGIN
    -- One sweep at a time.
    SELECT h.xid, h.seq INTO STRICT horizon FROM feed_horizon h FOR UPDATE;
    SELECT e.xid, e.seq INTO last FROM (
        SELECT o.xid, o.seq, bool_and(o.created_at < cut) OVER (ORDER BY o.xid, o.seq) AS is_old
        FROM (SELECT xid, seq, created_at FROM events
              WHERE (xid, seq) > (horizon.xid, horizon.seq)
                AND xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
              ORDER BY xid, seq LIMIT batch) o) e
    WHERE e.is_old ORDER BY e.xid DESC, e.seq DESC LIMIT 1;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    DELETE FROM events
    WHERE (xid, seq) > (horizon.xid, horizon.seq) AND (xid, seq) <= (last.xid, last.seq);
    GET DIAGNOSTICS swept = ROW_COUNT;
    UPDATE feed_horizon SET xid = last.xid, seq = last.seq;
    RETURN swept;
END
$$;
REVOKE EXECUTE ON FUNCTION sweep_events FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sweep_events TO clinicd_app;

-- Applications of one account, for the snapshot of a watched feed.
CREATE INDEX applications_account ON applications (account_id, id);

-- Jobs can be cancelled, and are listed by admins.
ALTER TABLE jobs
    DROP CONSTRAINT jobs_state_check,
    ADD CONSTRAINT jobs_state_check
        CHECK (state IN ('ready', 'running', 'done', 'failed', 'cancelled'));
CREATE INDEX jobs_by_state ON jobs (state, id);
CREATE INDEX jobs_by_kind ON jobs (kind, id);
