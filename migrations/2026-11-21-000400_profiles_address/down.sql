DROP INDEX doctors_given_name, doctors_family_name;
ALTER TABLE doctors DROP COLUMN closed_at;
DROP INDEX patients_gender, patients_country, patients_city, patients_birth_date;
ALTER TABLE patients DROP COLUMN closed_at, DROP COLUMN country_code, DROP COLUMN city;
