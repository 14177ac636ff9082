DROP TABLE patient_keys;
DROP TABLE audit_chain;
DROP TABLE audit_entries;
