-- Who made a change, and whether as a stand-in: an admin in the place of missing
-- staff. Null when the server itself did.
ALTER TABLE events
    ADD COLUMN actor_id uuid,
    ADD COLUMN stand_in boolean NOT NULL DEFAULT false;
