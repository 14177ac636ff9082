-- One row of one table by its key.
\set n random(1, {appointments.count})
SELECT * FROM appointments WHERE id = {appointments}[:n];
