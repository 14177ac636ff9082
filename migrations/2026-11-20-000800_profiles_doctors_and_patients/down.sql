DROP INDEX accounts_not_active;
DROP TABLE doctor_words;
DROP TABLE doctor_fees;
DROP TABLE doctors;
DROP TABLE patients;
