DROP TABLE appointments;
DROP TABLE schedule_rules;
DROP TABLE schedules;
