-- Partitions that are created, attached, detached, emptied or dropped. Where PostgreSQL tells nobody that contacts came or
-- went, mkt.verify() sees it and mkt.repair() mends it.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA parted;
SET search_path = parted;
CREATE TABLE contact (account text, id integer PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE tens PARTITION OF contact FOR VALUES FROM (0) TO (10);
SELECT mkt.attach('contact', account_column => 'account');

-- A new partition has all that the others have.
CREATE TABLE twenties PARTITION OF contact FOR VALUES FROM (10) TO (20);
INSERT INTO contact VALUES ('a', 1, 'marketing', true), ('a', 11, 'marketing', false), ('b', 12, NULL, NULL);
INSERT INTO twenties VALUES ('a', 13, 'marketing');
SELECT id, marketing_status, marketing_until FROM contact ORDER BY id;
SELECT mkt.billable('a');
SELECT * FROM mkt.verify();

-- A table that becomes a partition brings its contacts, which were counted by nobody.
CREATE TABLE thirties (LIKE contact INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
INSERT INTO thirties SELECT 'c', i, 'marketing', false FROM generate_series(20, 24) AS i;
ALTER TABLE contact ATTACH PARTITION thirties FOR VALUES FROM (20) TO (30);
SELECT * FROM mkt.verify();
SELECT * FROM mkt.repair();
SELECT mkt.billable('c');
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 20;
SELECT * FROM mkt.verify();

-- One that leaves takes them along, and is a table like any other again.
ALTER TABLE contact DETACH PARTITION thirties;
SELECT * FROM mkt.repair('contact');
SELECT mkt.billable('c');
UPDATE thirties SET marketing_status = 'non_marketing' WHERE id = 21;
INSERT INTO thirties (account, id, marketing_status, marketing_until_next_update) VALUES ('c', 25, 'marketing', false);
SELECT mkt.billable('c');
SELECT * FROM mkt.verify();

-- Nor need it wait for readers to leave.
ALTER TABLE contact ATTACH PARTITION thirties FOR VALUES FROM (20) TO (30);
SELECT count(*) AS mended FROM mkt.repair();
SELECT mkt.billable('c');
ALTER TABLE contact DETACH PARTITION thirties CONCURRENTLY;
SELECT contacts, account, counted, actual FROM mkt.repair();
UPDATE thirties SET marketing_status = 'non_marketing' WHERE id = 22;
SELECT mkt.billable('c');
SELECT * FROM mkt.verify();

-- A partition that is emptied by itself, or dropped.
TRUNCATE tens;
SELECT contacts, account, counted, actual FROM mkt.verify();
SELECT count(*) AS mended FROM mkt.repair();
DROP TABLE twenties;
SELECT contacts, account, counted, actual FROM mkt.verify();
SELECT count(*) AS mended FROM mkt.repair();
SELECT mkt.billable('a');

-- Emptied through the parent, the counts follow at once.
INSERT INTO contact VALUES ('a', 1, 'marketing');
TRUNCATE contact;
SELECT mkt.billable('a');
INSERT INTO contact VALUES ('a', 1, 'marketing');
SELECT mkt.billable('a');

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA parted CASCADE;
