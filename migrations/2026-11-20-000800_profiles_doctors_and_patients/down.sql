DROP TABLE doctor_fees;
DROP TABLE doctors;
DROP TABLE patients;
