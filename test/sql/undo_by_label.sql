-- A batch that has a name is undone by its name, in one contacts table or in all of them.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA labels;
SET search_path = labels;
CREATE TABLE person (id integer PRIMARY KEY, account text);
CREATE TABLE guest (account text, id integer, PRIMARY KEY (account, id)) PARTITION BY LIST (account);
CREATE TABLE guest_a PARTITION OF guest FOR VALUES IN ('a');
SELECT mkt.attach(t, account_column => 'account') FROM unnest(ARRAY['person', 'guest']::regclass[]) AS t;
INSERT INTO person SELECT i, 'a', 'marketing' FROM generate_series(1, 4) AS i;
INSERT INTO guest SELECT 'a', i, 'marketing' FROM generate_series(1, 4) AS i;

SET mktcontacts.batch = 'spring 2026';
UPDATE person SET marketing_status = 'non_marketing';
UPDATE guest SET marketing_status = 'non_marketing' WHERE id <= 2;
SET mktcontacts.batch = '7';
UPDATE guest SET marketing_status = 'non_marketing';
RESET mktcontacts.batch;

SELECT undone, restored, pending, changed_since, too_late, gone FROM mkt.undo('spring 2026', 'guest_a');
SELECT undone, restored, pending, changed_since, too_late, gone FROM mkt.undo('spring 2026');
-- a number as text is a name, too
SELECT undone, restored FROM mkt.undo('7');
SELECT count(*) FROM (SELECT FROM guest WHERE marketing_until_next_update UNION ALL SELECT FROM person WHERE marketing_until_next_update) AS pending;
-- the undo of each table is a batch, which has no name
SELECT contacts, label, action ~ '^undo of', changed, already FROM mkt.batch WHERE label IS NULL ORDER BY batch;

-- what is undone while its statements are unwritten
BEGIN;
SET LOCAL mktcontacts.batch = 'at once';
UPDATE guest_a SET marketing_status = 'non_marketing' WHERE id = 4;
SELECT undone, restored FROM mkt.undo('at once');
COMMIT;

SELECT * FROM mkt.undo('no such');
SELECT * FROM mkt.undo('at once', 'person');
SELECT * FROM mkt.undo('at once', 'pg_class');
SELECT * FROM mkt.undo(NULL);
SELECT * FROM mkt.undo(NULL::bigint);
CREATE ROLE regress_labels;
GRANT USAGE ON SCHEMA labels TO regress_labels;
SET ROLE regress_labels;
SELECT * FROM mkt.undo('spring 2026');
RESET ROLE;

-- A detach says what it ends.
SELECT mkt.detach('person');
SELECT mkt.attach('person', account_column => 'account');
SELECT mkt.detach('person');

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA labels CASCADE;
DROP ROLE regress_labels;
DELETE FROM mkt.batch_report;
