DROP TABLE uploads;
DROP TABLE files;
