-- What goes around the triggers: mkt.run() notices it, mkt.status() names it, mkt.repair() mends it.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS mktcontacts;
RESET client_min_messages;
SET timezone = 'UTC';
SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA drift;
SET search_path = drift;
CREATE TABLE contact (id integer PRIMARY KEY, account text) PARTITION BY RANGE (id);
CREATE TABLE low PARTITION OF contact FOR VALUES FROM (0) TO (100);
CREATE TABLE middle PARTITION OF contact FOR VALUES FROM (100) TO (200);
SELECT mkt.attach('contact', account_column => 'account');
CREATE TABLE plain (id integer PRIMARY KEY, account text);
SELECT mkt.attach('plain', account_column => 'account');
INSERT INTO contact SELECT i, 'a', 'marketing' FROM generate_series(1, 150) AS i;
INSERT INTO plain SELECT i, 'b', 'marketing' FROM generate_series(1, 10) AS i;
CREATE VIEW page AS SELECT item, state, to_type FROM mkt.status() WHERE item LIKE 'table drift.%';
CREATE VIEW drift AS SELECT contacts, account, marketing_until, counted, actual FROM mkt.drift ORDER BY contacts, account, marketing_until;
CREATE VIEW checks AS SELECT contacts, suspect IS NOT NULL AS suspect, checked_at > now() - interval '1 hour' AS recently FROM mkt.table_check ORDER BY contacts;
CALL mkt.run();
SELECT * FROM page;
SELECT * FROM checks;

-- a partition truncated: no trigger, no event
TRUNCATE middle;
CALL mkt.run();
SELECT * FROM drift;
SELECT account, billable, drift FROM mkt.usage WHERE account IN ('a', 'b') ORDER BY account;
SELECT * FROM page;
CALL mkt.run();
SELECT contacts, account, counted, actual FROM mkt.repair('contact');
SELECT * FROM page;
SELECT * FROM drift;
-- detached, and attached again with other rows
ALTER TABLE contact DETACH PARTITION low;
SELECT * FROM page;
CALL mkt.run();
SELECT * FROM drift;
DELETE FROM low WHERE id > 30;
ALTER TABLE contact ATTACH PARTITION low FOR VALUES FROM (0) TO (100);
SELECT * FROM page;
CALL mkt.run();
SELECT * FROM drift;
SELECT contacts, account, counted, actual FROM mkt.repair('contact');
CALL mkt.run();
SELECT * FROM page;
-- dropped
DROP TABLE low;
SELECT * FROM page;
CALL mkt.run();
SELECT contacts, account, counted, actual FROM mkt.repair();
-- a partition attached without trouble is recounted, and right
CREATE TABLE high PARTITION OF contact FOR VALUES FROM (300) TO (400);
CALL mkt.run();
SELECT * FROM page;

-- a trigger disabled for a while
ALTER TABLE plain DISABLE TRIGGER mkt_80_count;
DELETE FROM plain WHERE id < 4;
ALTER TABLE plain ENABLE TRIGGER mkt_80_count;
SELECT * FROM page;
CALL mkt.run();
SELECT * FROM drift;
SELECT contacts, account, counted, actual FROM mkt.repair('plain');
-- what is as it was before, when mkt.run() comes: a partition that has come and gone, a trigger that was away
CREATE TABLE topmost PARTITION OF contact FOR VALUES FROM (1000) TO (1100);
INSERT INTO contact VALUES (1000, 'c', 'marketing');
ALTER TABLE contact DETACH PARTITION topmost CONCURRENTLY;
INSERT INTO plain VALUES (11, 'b', 'marketing'), (12, 'b', 'marketing');
SELECT pg_get_triggerdef(oid) AS count_trigger FROM pg_trigger WHERE tgrelid = 'plain'::regclass AND tgname = 'mkt_80_count' \gset
DROP TRIGGER mkt_80_count ON plain;
DELETE FROM plain WHERE id = 11;
:count_trigger;
SELECT * FROM checks;
CALL mkt.run();
SELECT * FROM drift;
SELECT contacts, account, counted, actual FROM mkt.repair();
DROP TABLE topmost;
ALTER TRIGGER mkt_80_count ON plain RENAME TO away;
DELETE FROM plain WHERE id = 12;
ALTER TRIGGER away ON plain RENAME TO mkt_80_count;
SELECT * FROM checks;
CALL mkt.run();
SELECT * FROM checks;
-- replica role leaves no trace: found when it is time
SET session_replication_role = replica;
DELETE FROM plain WHERE id < 6;
RESET session_replication_role;
CALL mkt.run();
SELECT * FROM drift;
UPDATE mkt.table_check SET checked_at = checked_at - interval '25 hours';
SET mktcontacts.check_every = 0;
CALL mkt.run();
SELECT * FROM drift;
SET mktcontacts.check_every = '30h';
CALL mkt.run();
SELECT * FROM drift;
RESET mktcontacts.check_every;
CALL mkt.run();
SELECT * FROM drift;
SELECT contacts, account, counted, actual FROM mkt.repair('plain');
SELECT * FROM checks;
-- what a dump brings without mkt.table_check is recounted
DELETE FROM mkt.table_check WHERE contacts = 'plain'::regclass;
CALL mkt.run();
SELECT * FROM checks;
-- changes that have nothing to do with it give no reason to recount
ALTER TABLE plain ADD note text;
ALTER TABLE contact RENAME COLUMN account TO customer;
ALTER TABLE plain RENAME TO people;
TRUNCATE people;
VACUUM FULL people;
SELECT * FROM checks;
SELECT * FROM page;
-- what cannot be recounted stays to be recounted
SELECT count_table FROM mkt.attachment WHERE contacts = 'people'::regclass \gset
SET session_replication_role = replica;
INSERT INTO :count_table (account_name, account, until, n) SELECT 'full', 'full', 'infinity', 9223372036854775807 FROM generate_series(1, 2);
RESET session_replication_role;
UPDATE mkt.table_check SET suspect = 'of this test' WHERE contacts = 'people'::regclass;
\set VERBOSITY terse
CALL mkt.run();
\set VERBOSITY default
SELECT * FROM checks;
DELETE FROM :count_table WHERE account_name = 'full';
CALL mkt.run();
SELECT * FROM checks;
-- gone with the table
SELECT mkt.detach('people');
DROP TABLE contact;
SELECT count(*) FROM mkt.table_check AS k WHERE NOT EXISTS (SELECT FROM mkt.attachment AS a WHERE a.contacts = k.contacts);
SELECT mkt.table_altered();
SET client_min_messages = warning;
DROP SCHEMA drift CASCADE;
