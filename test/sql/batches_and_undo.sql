-- What belongs together is reported and taken back together (T11, W5), as far as the rules allow.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA batches;
SET search_path = batches;
CREATE TABLE contact (id integer PRIMARY KEY, account text, note text);
SELECT mkt.attach('contact', account_column => 'account');
CREATE FUNCTION three(OUT n bigint) LANGUAGE sql AS $$
    DELETE FROM contact;
    INSERT INTO contact (id, account, marketing_status, marketing_until_next_update, marketing_source_type, marketing_source_name)
    VALUES (1, 'a', 'non_marketing', false, 'first', 'N'), (2, 'a', 'marketing', false, 'first', 'M'), (3, 'a', 'marketing', true, 'first', 'P');
    SELECT count(*) FROM contact;
$$;
CREATE VIEW state AS SELECT id, CASE WHEN marketing_until <= mkt.now() THEN 'past' WHEN marketing_until_next_update THEN 'P' WHEN marketing_status = 'marketing' THEN 'M' ELSE 'N' END AS state,
    concat_ws(' ', marketing_source_type, marketing_source_name) AS source FROM contact ORDER BY id;
CREATE FUNCTION batch(label text) RETURNS bigint LANGUAGE sql AS $$ SELECT max(batch) FROM mkt.batch AS b WHERE b.label = batch.label $$;
CREATE FUNCTION undo(batch bigint, OUT restored bigint, OUT pending bigint, OUT changed_since bigint, OUT too_late bigint, OUT gone bigint) LANGUAGE sql AS $$
    SELECT restored, pending, changed_since, too_late, gone FROM mkt.undo(batch);
$$;
CREATE FUNCTION in_batch(label text, command text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('mktcontacts.batch', label, true);
    EXECUTE command;
    PERFORM set_config('mktcontacts.batch', '', true);
    RETURN batches.batch(label);
END $$;

-- N, M and P, every request as a batch, and what is left when it is taken back: states as they were where T8 allows, sources as they were.
CREATE FUNCTION taken_back(change text, meanwhile text DEFAULT 'SELECT', label text DEFAULT gen_random_uuid(), OUT after text, OUT report text, OUT left_over text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM three();
    PERFORM in_batch(label, 'UPDATE contact SET ' || change);
    after := (SELECT string_agg(concat_ws(' ', state, source), ', ') FROM state);
    EXECUTE meanwhile;
    report := (SELECT u::text FROM undo(batch(label)) AS u);
    left_over := (SELECT string_agg(concat_ws(' ', state, source), ', ') FROM state);
END $$;
CREATE VIEW change AS SELECT * FROM unnest(ARRAY[
    'marketing_status = ''marketing''', 'marketing_status = ''non_marketing''', 'marketing_until_next_update = false',
    'marketing_status = ''marketing'', marketing_until_next_update = false, marketing_source_type = ''batch''',
    'marketing_status = ''non_marketing'', account = ''b''']) AS change;
SELECT change, t.* FROM change, taken_back(change) AS t;
-- (restored, pending, changed_since, too_late, gone)
-- What somebody has touched since stays; what nobody but a date or a setting has touched does not.
SELECT change, meanwhile, t.* FROM unnest(ARRAY['marketing_status = ''non_marketing''', 'marketing_status = ''marketing'', marketing_until_next_update = false']) AS change,
     unnest(ARRAY['UPDATE contact SET note = ''y'', marketing_source_type = ''other'', id = id',
                  'UPDATE contact SET marketing_status = ''marketing'', marketing_until_next_update = false, marketing_source_type = ''other''',
                  'UPDATE contact SET marketing_status = ''non_marketing'', marketing_source_type = ''other''',
                  'UPDATE contact SET account = ''b''', 'DELETE FROM contact', 'UPDATE contact SET id = id + 10', 'TRUNCATE contact',
                  'DELETE FROM contact; INSERT INTO contact (id, account, marketing_status, marketing_until_next_update) VALUES (1, ''a'', ''marketing'', true), (2, ''a'', ''marketing'', true), (3, ''a'', ''marketing'', true)',
                  'SELECT mkt.forget(''contact'', id) FROM contact',
                  'INSERT INTO mkt.account (account, commitment, started_on) VALUES (''a'', ''monthly'', ''2025-01-15''); DELETE FROM mkt.account']) AS meanwhile,
     taken_back(change, meanwhile) AS t;

-- After the update date, applied or not, it is too late for those who were made pending, and not for those who were set as marketing.
SELECT three();
SELECT in_batch('late', 'UPDATE contact SET marketing_status = ''non_marketing''') > 0 AS batch;
SET mktcontacts.clock = '2026-04-01 00:00+00';
SELECT * FROM undo(batch('late'));
SELECT * FROM state;
CALL mkt.apply_updates();
SELECT * FROM undo(batch('late'));
SELECT * FROM state;
SET mktcontacts.clock = '2026-03-10 12:00+00';
SELECT three();
SELECT in_batch('up', 'UPDATE contact SET marketing_status = ''marketing'', marketing_until_next_update = false') > 0 AS batch;
SET mktcontacts.clock = '2026-04-01 00:00+00';
SELECT * FROM undo(batch('up'));
SELECT * FROM state;
SET mktcontacts.clock = '2026-03-10 12:00+00';

-- Twice: nothing is left to do. The undo is a batch, too, and can be taken back; and so on.
DELETE FROM contact;
DELETE FROM mkt.batch_report;
SELECT three();
SELECT in_batch('down', 'UPDATE contact SET marketing_status = ''non_marketing''') AS one \gset
SELECT undo AS two FROM mkt.undo(:one) \gset
SELECT * FROM state;
SELECT * FROM undo(:one);
SELECT undo AS three FROM mkt.undo(:two) \gset
SELECT * FROM state;
SELECT * FROM undo(:three);
SELECT * FROM state;
SELECT batch = :one AS one, batch = :two AS two, batch = :three AS three, label, replace(replace(replace(action, :'one', 'one'), :'two', 'two'), :'three', 'three') AS action, changed FROM mkt.batch ORDER BY batch;
-- Under a name it is a batch of its own all the same.
SELECT three() AS n, in_batch('named', 'UPDATE contact SET marketing_status = ''non_marketing''') AS batch \gset
SET mktcontacts.batch = 'named';
SELECT undo <> :batch AS another, restored FROM mkt.undo(:batch);
SELECT * FROM undo(:batch);
RESET mktcontacts.batch;

-- One batch of many statements: what it was before the first of them is what it is afterwards.
SELECT three();
SET mktcontacts.batch = 'many';
UPDATE contact SET marketing_status = 'non_marketing', marketing_source_type = 'a' WHERE id = 2;
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false, marketing_source_type = 'b';
UPDATE contact SET marketing_status = 'non_marketing', marketing_source_type = 'c';
INSERT INTO contact (id, account, marketing_status, marketing_source_type) VALUES (4, 'a', 'marketing', 'd'), (5, 'a', 'non_marketing', 'd');
SELECT changed, already, pending FROM mkt.set_non_marketing('contact', ARRAY[1, 4, 5, 6], source_type => 'e');
DELETE FROM contact WHERE id = 3;
RESET mktcontacts.batch;
SELECT label, action, changed, already, pending, not_found, source_type FROM mkt.batch WHERE label = 'many';
SELECT * FROM state;
SELECT * FROM undo(batch('many'));
SELECT * FROM state;

-- Calls: each is a batch. A name serves one table each, and goes on in another transaction.
DELETE FROM mkt.batch_report;
SELECT three();
CREATE TABLE other (id integer PRIMARY KEY);
SELECT mkt.attach('other', account => 'b');
INSERT INTO other SELECT i, 'marketing' FROM generate_series(1, 3) AS i;
SELECT changed FROM mkt.set_non_marketing('contact', ARRAY[1, 2, 3]);
SELECT changed FROM mkt.record_activity('contact', ARRAY[1, 2, 3, 4], 'form_submission', 'web');
BEGIN;
SET LOCAL mktcontacts.batch = 'sunset';
UPDATE other SET marketing_status = 'non_marketing' WHERE id = 1;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 1;
COMMIT;
BEGIN;
SET LOCAL mktcontacts.batch = 'sunset';
UPDATE other SET marketing_status = 'non_marketing' WHERE id = 2;
SELECT changed FROM mkt.set_non_marketing('other', ARRAY[2, 3, 4], source_type => 'user', source_name => 'ann');
COMMIT;
SELECT dense_rank() OVER (ORDER BY batch) AS batch, contacts, label, action, changed, already, pending, not_found, parked, source_type, source_name, set_by = session_user AS own, set_at
FROM mkt.batch ORDER BY batch;
SELECT contact, b.batch IS NOT NULL AS reported, label FROM mkt.batches_other_history AS h LEFT JOIN mkt.batch AS b USING (batch) WHERE was IS NOT NULL ORDER BY contact;
SELECT * FROM undo((SELECT batch FROM mkt.batch WHERE label = 'sunset' AND contacts = 'other'::regclass));
SELECT * FROM undo((SELECT batch FROM mkt.batch WHERE label = 'sunset' AND contacts = 'contact'::regclass));
SELECT * FROM undo((SELECT min(batch) FROM mkt.batch));
SELECT count(*) FILTER (WHERE NOT marketing_until_next_update) AS marketing, count(*) FROM other;
SELECT * FROM state;
-- Applying, filling and dating anew belong to nobody's batch.
SET mktcontacts.batch = 'jobs';
SET mktcontacts.clock = '2026-04-10 12:00+00';
CALL mkt.run();
RESET mktcontacts.batch;
SET mktcontacts.clock = '2026-03-10 12:00+00';
SELECT count(*) FROM mkt.batch WHERE label = 'jobs';

-- Keys of several columns, keys within an account, moving between partitions, in the transaction that did it.
CREATE TABLE shared (account integer, id integer, PRIMARY KEY (account, id)) PARTITION BY LIST (account);
CREATE TABLE shared_1 PARTITION OF shared FOR VALUES IN (1);
CREATE TABLE shared_2 PARTITION OF shared FOR VALUES IN (2, 3);
CREATE TABLE double (region text, id integer, account text, PRIMARY KEY (region, id));
SELECT mkt.attach('shared', account_column => 'account'), mkt.attach('double', account_column => 'account');
INSERT INTO shared SELECT a, i, 'marketing' FROM generate_series(1, 2) AS a, generate_series(1, 3) AS i;
INSERT INTO double SELECT r, i, 'a', 'marketing' FROM unnest(ARRAY['n', 's']) AS r, generate_series(1, 2) AS i;
SELECT in_batch('shared', 'UPDATE shared SET marketing_status = ''non_marketing'' WHERE account = 1; UPDATE shared_2 SET marketing_status = ''non_marketing'' WHERE id = 1') AS batch \gset
UPDATE shared SET account = 2, id = 13 WHERE account = 1 AND id = 3;
UPDATE shared SET account = 3 WHERE account = 1 AND id = 2;
SELECT * FROM undo(:batch);
SELECT account, id, marketing_until_next_update AS flag FROM shared ORDER BY account, id;
SELECT in_batch('double', 'UPDATE double SET marketing_status = ''non_marketing'' WHERE region = ''n''') AS batch \gset
SELECT * FROM undo(:batch);
SELECT region, id, marketing_until_next_update AS flag FROM double ORDER BY region, id;
BEGIN;
SET LOCAL mktcontacts.batch = 'at once';
UPDATE shared_1 SET marketing_status = 'non_marketing';
SET LOCAL mktcontacts.batch = '';
SELECT * FROM undo(batch('at once'));
SAVEPOINT s;
SELECT * FROM undo(batch('at once'));
ROLLBACK;
SELECT count(*) FROM mkt.batch WHERE label = 'at once';

-- Many contacts.
INSERT INTO contact (id, account, marketing_status, marketing_source_type) SELECT i, 'acc' || i % 1000, 'marketing', 'import' || i % 7 FROM generate_series(100001, 200000) AS i;
SELECT in_batch('many contacts', 'UPDATE contact SET marketing_status = ''non_marketing'', marketing_source_type = ''user'' WHERE id > 100000') AS batch \gset
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id % 100 = 0 AND id > 100000;
DELETE FROM contact WHERE id % 100 = 1 AND id > 100000;
SELECT * FROM undo(:batch);
SELECT count(*), count(*) FILTER (WHERE marketing_until_next_update) AS pending, count(*) FILTER (WHERE marketing_source_type = 'import' || id % 7) AS as_it_was FROM contact WHERE id > 100000;
DELETE FROM contact WHERE id > 100000;

-- What cannot be taken back.
SELECT mkt.set_history('contact', false);
SELECT three();
SELECT in_batch('unknown', 'UPDATE contact SET marketing_status = ''non_marketing''') IS NULL AS no_batch;
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false;
DELETE FROM mkt.batch_report;
ALTER SEQUENCE mkt.batch_number RESTART 7;
\set VERBOSITY default
SELECT batch, changed FROM mkt.set_non_marketing('contact', ARRAY[2]);
SELECT * FROM mkt.undo(7);
\echo :SQLSTATE
SET mktcontacts.clock = '2026-03-12 12:00+00';
SELECT mkt.set_history('contact');
SELECT * FROM mkt.undo(7);
SELECT * FROM mkt.undo(-1);
\echo :SQLSTATE
\set VERBOSITY terse
SELECT changed FROM mkt.set_marketing('other', ARRAY[1]);
SELECT mkt.detach('other');
SELECT * FROM undo((SELECT max(batch) FROM mkt.batch WHERE contacts = 'other'::regclass));
SELECT count(*) FROM mkt.batch;
DROP TABLE other;
SELECT contacts FROM mkt.batch;

-- A statement on a partition, and a call after it, under one label.
CREATE TABLE parted (account text, id integer, PRIMARY KEY (account, id)) PARTITION BY LIST (account);
CREATE TABLE parted_a PARTITION OF parted FOR VALUES IN ('a');
SELECT mkt.attach('parted', account_column => 'account');
INSERT INTO parted SELECT 'a', id FROM generate_series(1, 5) AS id;
BEGIN;
SET LOCAL mktcontacts.batch = 'both';
UPDATE parted_a SET marketing_status = 'marketing' WHERE id < 3;
SELECT changed FROM mkt.set_marketing('parted', ARRAY[3, 4, 5], account => 'a');
COMMIT;
SELECT label, changed FROM mkt.batch WHERE contacts = 'parted'::regclass;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA batches CASCADE;
DELETE FROM mkt.batch_report;
