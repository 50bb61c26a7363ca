-- The history can be off, begin again, and be kept for some time only; its partitions come and go with mkt.run().

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET intervalstyle = postgres; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA kept;
SET search_path = kept;
CREATE TABLE contact (id integer PRIMARY KEY, account text);
SELECT mkt.attach('contact', account_column => 'account');
CREATE VIEW partitions AS SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bounds, query_to_xml(format('SELECT count(*) AS rows FROM mkt.%I', c.relname), false, true, '')::text ~ '<rows>0<' AS empty
FROM pg_inherits JOIN pg_class AS c ON c.oid = inhrelid WHERE inhparent = 'mkt.kept_contact_history'::regclass ORDER BY 1;
CREATE VIEW since AS SELECT history_since, history_kept FROM mkt.attachment WHERE contacts = 'contact'::regclass;
CREATE FUNCTION told(key integer) RETURNS text LANGUAGE sql AS $$ 
    SELECT string_agg(to_char(changed_at, 'MM-DD ') || change, ', ' ORDER BY n)
    FROM mkt.history('contact', key) WITH ORDINALITY AS h (changed_at, effective_at, change, status, until, account_after, source_type, source_name, role, batch, n);
$$;
SELECT * FROM since;
SELECT * FROM partitions;

-- Off: nothing is written, what is there stays; on again: it begins then.
INSERT INTO contact VALUES (1, 'a', 'marketing'), (2, 'a', 'marketing');
SET mktcontacts.clock = '2026-03-12 12:00+00';
SELECT mkt.set_history('contact', false);
SELECT * FROM since;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 1;
DELETE FROM contact WHERE id = 2;
INSERT INTO contact VALUES (3, 'a', 'marketing');
TRUNCATE contact;
INSERT INTO contact VALUES (1, 'a', 'marketing');
SELECT told(1), told(2), told(3);
SELECT mkt.status_at('contact', 1), mkt.billable('a');
\set VERBOSITY default
SELECT mkt.status_at('contact', 1, '2026-03-11');
SELECT mkt.billable('a', '2026-03-11');
\set VERBOSITY terse
SELECT mkt.billable('a', '2026-03-10 11:00'), mkt.billable('nobody', '2026-03-09');
SELECT mkt.set_history('contact', false);
SET mktcontacts.clock = '2026-03-14 12:00+00';
SELECT mkt.set_history('contact');
SELECT * FROM since;
SELECT mkt.set_history('contact', true);
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 1;
SELECT told(1);
SELECT mkt.status_at('contact', 1, '2026-03-14 12:00'), mkt.billable('a', '2026-03-14 12:00');
SELECT mkt.status_at('contact', 1, '2026-03-14 11:59');
SELECT mkt.billable('a', '2026-03-14 11:59');

-- The month's partition and the one after next week's are made by mkt.run(); without it the rest takes what comes, and gives it back.
SET mktcontacts.clock = '2026-03-24 12:00+00';
CALL mkt.run();
SELECT * FROM partitions;
SET mktcontacts.clock = '2026-03-25 12:00+00';
CALL mkt.run();
CALL mkt.run();
SELECT * FROM partitions;
SET mktcontacts.clock = '2026-06-05 12:00+00';
UPDATE contact SET marketing_status = 'marketing' WHERE id = 1;
INSERT INTO contact VALUES (4, 'b', 'marketing');
SET mktcontacts.clock = '2026-07-01 00:00+00';
UPDATE contact SET marketing_status = 'non_marketing';
SELECT * FROM partitions;
SELECT told(1), told(4);
SET mktcontacts.clock = '2026-07-01 12:00+00';
CALL mkt.run();
SELECT * FROM partitions;
SELECT told(1), told(4);
BEGIN;
SET LOCAL mktcontacts.clock = '2027-01-31 23:59:59.999999+00';
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false;
SET LOCAL mktcontacts.clock = '2027-02-01 00:00+00';
UPDATE contact SET marketing_status = 'non_marketing';
CALL mkt.run();
ROLLBACK;
SET timezone = 'Asia/Tokyo';
SET mktcontacts.clock = '2026-08-01 03:00+09';
CALL mkt.run();
SET timezone = 'UTC';
SELECT * FROM partitions;

-- Kept for some time: whole months go, and what they said with them; undoing and counting reach back to there.
SELECT mkt.set_history('contact', kept => '3 months');
SELECT * FROM since;
SELECT mkt.set_history('contact', true);
SELECT * FROM since;
CALL mkt.run();
SELECT * FROM since;
SELECT * FROM partitions;
SELECT told(1), told(4);
SELECT mkt.billable('a', '2026-04-01') AS april, mkt.billable('a', '2026-06-06') AS june;
SET mktcontacts.clock = '2026-08-31 23:59+00';
CALL mkt.run();
SELECT history_since FROM since;
SET mktcontacts.clock = '2026-09-01 00:00+00';
CALL mkt.run();
SELECT history_since FROM since;
SELECT told(1), mkt.status_at('contact', 1, '2026-06-05'), mkt.status_at('contact', 1, '2026-06-06'), mkt.status_at('contact', 1, '2026-07-31 23:59');
SELECT mkt.status_at('contact', 1, '2026-05-31 23:59');
SELECT mkt.billable('b', '2026-06-04'), mkt.billable('b', '2026-06-06'), mkt.billable('b', '2026-08-01');
SELECT mkt.billable('b', '2026-05-31 23:59');
SET mktcontacts.clock = '2027-09-01 00:00+00';
CALL mkt.run();
SELECT * FROM partitions;
SELECT told(1), mkt.status_at('contact', 1), (SELECT history_since FROM since);
SELECT count(*) FROM mkt.kept_contact_count_history;

-- For ever again; off, and kept for some time still.
SELECT mkt.set_history('contact', kept => 'forever');
SELECT * FROM since;
UPDATE contact SET marketing_status = 'marketing';
SELECT mkt.set_history('contact', false, '1 month');
SET mktcontacts.clock = '2027-09-30 00:00+00';
CALL mkt.run();
SELECT told(1), s.* FROM since AS s;
SET mktcontacts.clock = '2027-11-01 00:00+00';
CALL mkt.run();
SELECT told(1), s.* FROM since AS s;

-- In a transaction that goes; and what is asked wrongly.
BEGIN;
SELECT mkt.set_history('contact');
UPDATE contact SET marketing_status = 'non_marketing';
SELECT told(1);
ROLLBACK;
SELECT told(1), s.* FROM since AS s;
BEGIN;
SELECT mkt.set_history('contact');
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 1;
SAVEPOINT s;
SELECT mkt.set_history('contact', false);
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id = 1;
ROLLBACK TO s;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 4;
COMMIT;
SELECT told(1), told(4);
\set VERBOSITY default
SELECT mkt.set_history('contact', kept => '0 months');
SELECT mkt.set_history('contact', kept => '-1 year');
SELECT mkt.set_history('contact', kept => 'soon');
SELECT mkt.set_history('contact', NULL);
SELECT mkt.set_history('pg_class');
\set VERBOSITY terse

-- Partitions of contacts, an unlogged table, a dropped one: their histories are there, and go.
CREATE TABLE parted (id integer PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF parted DEFAULT;
CREATE UNLOGGED TABLE quick (id integer PRIMARY KEY);
SELECT mkt.attach('parted', account => 'p'), mkt.attach('quick', account => 'q');
SELECT mkt.set_history('parted', false);
INSERT INTO part VALUES (1, 'marketing');
SELECT mkt.set_history('parted');
UPDATE part SET marketing_status = 'non_marketing';
INSERT INTO quick VALUES (1, 'marketing');
SELECT change FROM mkt.history('parted', 1) UNION ALL SELECT change FROM mkt.history('quick', 1);
SELECT mkt.set_history('part');
SELECT count(*), count(*) FILTER (WHERE relpersistence = 'u') AS unlogged FROM pg_class WHERE relkind IN ('r', 'p') AND relname LIKE 'kept_quick_%';
CALL mkt.run();
SELECT * FROM mkt.verify();
DROP TABLE quick;
DROP VIEW partitions;
SELECT mkt.detach('parted'), mkt.detach('contact', true);
SELECT count(*) FROM pg_class WHERE relname LIKE 'kept_%' AND relnamespace = 'mkt'::regnamespace;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA kept CASCADE;
