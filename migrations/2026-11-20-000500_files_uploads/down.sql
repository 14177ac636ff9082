DROP TABLE unclaimed_objects;
DROP TABLE uploads;
DROP TABLE files;
