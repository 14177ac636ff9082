DROP TABLE prescription_items;
DROP TABLE prescriptions;
