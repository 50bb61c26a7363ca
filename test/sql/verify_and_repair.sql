-- mkt.verify() sees every drift, and mkt.repair() mends it: where triggers were off, or somebody wrote the counts himself.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA drift;
SET search_path = drift;
CREATE TABLE contact (id integer PRIMARY KEY, account text);
CREATE TABLE parted (id integer PRIMARY KEY, account integer) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF parted DEFAULT;
CREATE TABLE whole (id integer PRIMARY KEY);
SELECT mkt.attach(t, account_column => 'account') FROM unnest(ARRAY['contact', 'parted']::regclass[]) AS t;
SELECT mkt.attach('whole', account => 'w');
INSERT INTO contact SELECT i, nullif('a' || i % 3, 'a2'), 'marketing', i % 2 = 0 FROM generate_series(1, 12) AS i;
INSERT INTO parted SELECT i, i % 2, 'marketing' FROM generate_series(1, 4) AS i;
INSERT INTO whole VALUES (1, 'marketing'), (2, 'non_marketing');
SELECT * FROM mkt.verify();
SELECT * FROM mkt.repair();

-- Triggers off: for a table, a partition, by the replica role.
ALTER TABLE contact DISABLE TRIGGER USER;
DELETE FROM contact WHERE id = 1;
INSERT INTO contact (id, account, marketing_status, marketing_until_next_update) VALUES (13, 'new', 'marketing', false), (14, 'new', 'non_marketing', false);
UPDATE contact SET account = 'a1' WHERE id = 3;
UPDATE contact SET marketing_until = '2026-03-11' WHERE id = 6;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 5;
ALTER TABLE contact ENABLE TRIGGER USER;
ALTER TABLE part DISABLE TRIGGER USER;
DELETE FROM part WHERE id = 1;
ALTER TABLE part ENABLE TRIGGER USER;
SET session_replication_role = replica;
INSERT INTO whole SELECT i, 'marketing', false FROM generate_series(3, 5) AS i;
RESET session_replication_role;
SELECT * FROM mkt.verify();

-- Mended table by table, or all; by no more than what was wrong.
SELECT * FROM mkt.repair('whole');
SELECT contacts, count(*) FROM mkt.verify() GROUP BY contacts ORDER BY contacts::text;
INSERT INTO contact (id, account, marketing_status) VALUES (15, 'new', 'marketing');
SELECT contacts, count(*), sum(actual - counted) FROM mkt.repair() GROUP BY contacts ORDER BY contacts::text;
SELECT * FROM mkt.verify();
SELECT account, billable, non_marketing, pending FROM mkt.usage WHERE total > 0 ORDER BY account;

-- The counts are gone, doubled, wrong.
TRUNCATE mkt.drift_contact_count;
SELECT count(*) AS different FROM mkt.verify();
SELECT count(*) AS mended FROM mkt.repair('contact');
INSERT INTO mkt.drift_contact_count SELECT * FROM mkt.drift_contact_count;
UPDATE mkt.drift_parted_count SET n = -n;
SELECT count(*) AS mended FROM mkt.repair();
SELECT * FROM mkt.verify();

-- Within a transaction, together with its own changes, and rolled back.
ALTER TABLE part DISABLE TRIGGER USER;
DELETE FROM part WHERE id = 2;
ALTER TABLE part ENABLE TRIGGER USER;
BEGIN;
UPDATE part SET marketing_status = 'non_marketing' WHERE id = 3;
SELECT count(*) AS mended FROM mkt.repair();
DELETE FROM part WHERE id = 3;
SELECT * FROM mkt.verify();
ROLLBACK;
SELECT count(*) AS different FROM mkt.verify();
-- Also inside a savepoint, when statements outside it have changed contacts.
BEGIN;
UPDATE part SET marketing_status = 'non_marketing' WHERE id = 3;
SAVEPOINT s;
SELECT count(*) AS mended FROM mkt.repair();
SELECT * FROM mkt.verify();
INSERT INTO part VALUES (5, 1, 'marketing');
SELECT * FROM mkt.verify();
COMMIT;
SELECT * FROM mkt.verify();

-- Only where the snapshot is a new one; verifying may be done in any.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM mkt.verify();
SELECT * FROM mkt.repair();
ROLLBACK;
SELECT * FROM mkt.repair('pg_class');
SELECT count(*) FROM mkt.repair('part');

-- The drift of a table that is not counted yet is that of its marketing contacts.
CREATE TABLE late (id integer PRIMARY KEY);
INSERT INTO late SELECT generate_series(1, 10);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT mkt.attach('late', account => 'l');
COMMIT;
SELECT * FROM mkt.verify();
ALTER TABLE late DISABLE TRIGGER USER;
UPDATE late SET marketing_status = 'marketing' WHERE id <= 2;
DELETE FROM late WHERE id = 10;
ALTER TABLE late ENABLE TRIGGER USER;
SELECT * FROM mkt.verify();
SELECT * FROM mkt.repair('late');
SELECT billable, non_marketing, total FROM mkt.usage WHERE account = 'l';

-- The index of the counts is missed when it is gone.
DROP INDEX mkt.drift_whole_count_account_name_lane_idx;
SELECT mkt.billable('w');
CREATE INDEX ON mkt.drift_whole_count (account_name, lane) WITH (deduplicate_items = off);
SELECT mkt.billable('w');

-- Without it nothing is folded, and no contact is refused for it.
DROP INDEX mkt.drift_whole_count_account_name_lane_idx;
SELECT count_table FROM mkt.attachment WHERE contacts = 'whole'::regclass \gset
UPDATE whole SET marketing_status = marketing_status;
SELECT mkt.fold_counts(:'count_table') > 0 AS asked;
CREATE INDEX ON mkt.drift_whole_count (account_name, lane) WITH (deduplicate_items = off);

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA drift CASCADE;
