-- A change, its stored answer, its event and the jobs of that event may be one
-- statement. Its snapshot is older than what it waited for (a lock, a unique
-- key), so the position of an event is taken by a function: a volatile one
-- looks anew each time it is called, behind all waiting.
CREATE FUNCTION event_xid() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN greatest(pg_current_xact_id()::text::bigint,
        pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1);
END
$$;

ALTER TABLE events ALTER COLUMN xid SET DEFAULT event_xid();
