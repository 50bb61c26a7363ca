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

-- An undo that fails leaves everything as it was, and what comes after it belongs to no batch.
INSERT INTO guest_a (id, account, marketing_status) VALUES (71, 'a', 'marketing');
SET mktcontacts.batch = 'autumn';
UPDATE guest_a SET marketing_status = 'non_marketing' WHERE id = 71;
RESET mktcontacts.batch;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$;
CREATE TRIGGER z_refuse BEFORE UPDATE ON guest_a FOR EACH ROW EXECUTE FUNCTION refuse();
\set SHOW_CONTEXT never
SELECT restored FROM mkt.undo('autumn');
\set SHOW_CONTEXT errors
DROP TRIGGER z_refuse ON guest_a;
INSERT INTO guest_a (id, account, marketing_status) VALUES (72, 'a', 'marketing');
SELECT change, batch IS NOT NULL AS batch FROM mkt.history('guest', 72, 'a');
SELECT restored FROM mkt.undo('autumn');

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
