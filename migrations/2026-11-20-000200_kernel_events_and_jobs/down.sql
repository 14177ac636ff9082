DROP TABLE stored_answers;
DROP TABLE job_schedules;
DROP TABLE jobs;
DROP TABLE events;
