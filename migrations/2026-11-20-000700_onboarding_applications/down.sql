DROP TABLE application_documents;
DROP TABLE applications;
