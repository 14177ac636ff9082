ALTER TABLE events DROP COLUMN stand_in, DROP COLUMN actor_id;
