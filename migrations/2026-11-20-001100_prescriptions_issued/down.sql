DROP TABLE prescription_items;
DROP FUNCTION prescription_items_at_issue();
DROP TABLE prescriptions;
