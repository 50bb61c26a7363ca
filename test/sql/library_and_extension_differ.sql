-- A library that is newer than what CREATE EXTENSION made says so.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE TABLE contact (id integer PRIMARY KEY);
SELECT mkt.attach('contact', account => 'a');
BEGIN;
ALTER TABLE mkt.attachment RENAME TO attachment_with_all_columns;
SAVEPOINT renamed;
SELECT mkt.billable('a');
ROLLBACK TO renamed;
CREATE TABLE mkt.attachment AS SELECT contacts, count_table FROM mkt.attachment_with_all_columns;
SELECT mkt.billable('a');
ROLLBACK;
INSERT INTO contact VALUES (1, 'marketing');
SELECT mkt.billable('a');
SELECT * FROM mkt.verify();
DROP TABLE contact;
