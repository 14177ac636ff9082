DROP TABLE visit_notes;
DROP FUNCTION visit_notes_keep_signed();
