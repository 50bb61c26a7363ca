-- CALL mkt.run() does all that is due; folding keeps the table of counts small and changes no count.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA run;
SET search_path = run;
CREATE TABLE contact (id integer PRIMARY KEY, account text);
SELECT mkt.attach('contact', account_column => 'account');
SELECT count_table FROM mkt.attachment \gset
CREATE FUNCTION counts(OUT total bigint, OUT billable numeric, OUT rows bigint, OUT differences bigint) LANGUAGE plpgsql AS $$
BEGIN
    SELECT sum(u.total), sum(u.billable) FROM mkt.usage AS u INTO total, billable;
    EXECUTE 'SELECT count(*) FROM mkt.run_contact_count WHERE coalesce(was, until) IS NOT NULL' INTO rows;
    SELECT count(*) FROM mkt.verify() INTO differences;
END $$;

-- One row for every account and instant, none for sums of zero.
DO $$ BEGIN FOR i IN 1..100 LOOP INSERT INTO contact VALUES (i, nullif('a' || i % 4, 'a3'), 'marketing', i % 5 = 0); END LOOP; END $$;
DO $$ BEGIN FOR i IN 1..100 LOOP UPDATE contact SET account = 'a4' WHERE id = i AND account = 'a2'; END LOOP; END $$;
SELECT rows > 12 AS many FROM counts();
CALL mkt.run();
SELECT * FROM counts();
SELECT account_name, until, n FROM :count_table WHERE until IS NOT NULL ORDER BY account_name, until;
SELECT mkt.fold_counts(:'count_table');

-- In a transaction with changes of its own, before and after, kept and rolled back.
BEGIN;
DELETE FROM contact WHERE id <= 10;
SELECT mkt.fold_counts(:'count_table') > 0 AS folded;
DELETE FROM contact WHERE id <= 20;
SAVEPOINT s;
SELECT mkt.fold_counts(:'count_table') > 0 AS folded;
DELETE FROM contact WHERE id <= 30;
ROLLBACK TO s;
SELECT total, billable, differences FROM counts();
ROLLBACK;
SELECT * FROM counts();
BEGIN ISOLATION LEVEL SERIALIZABLE;
DELETE FROM contact WHERE id <= 10;
SELECT mkt.fold_counts(:'count_table') > 0 AS folded;
COMMIT;
SELECT total, billable, differences FROM counts();

-- Writers fold, too: the rows of one account do not grow with the number of statements.
DO $$ BEGIN FOR i IN 1..2000 LOOP UPDATE contact SET account = 'b' || i % 2 WHERE id = 100; COMMIT; END LOOP; END $$;
SELECT count(*) < 3000 AS few FROM :count_table;
CALL mkt.run();
SELECT * FROM counts();

-- More rows of one account than are folded at a time.
SET session_replication_role = replica;
INSERT INTO :count_table (account_name, account, until, n) SELECT 'big', 'big', 'infinity', (-1) ^ i FROM generate_series(1, 5000) AS i;
RESET session_replication_role;
SELECT mkt.fold_counts(:'count_table'), mkt.fold_counts(:'count_table'), mkt.fold_counts(:'count_table');
CALL mkt.run(); CALL mkt.run(); CALL mkt.run();
SELECT count(*) AS rows, sum(n) FROM :count_table WHERE account_name = 'big' AND coalesce(was, until) IS NOT NULL;

-- Everything at once: a table that was attached in a snapshot transaction is counted, filled and applied; and in a block.
CREATE TABLE late (id integer PRIMARY KEY);
INSERT INTO late SELECT generate_series(1, 10);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT mkt.attach('late', account => 'l', already_marketing => 'id > 5');
COMMIT;
UPDATE late SET marketing_status = 'marketing', marketing_until_next_update = true WHERE id = 1;
SET mktcontacts.clock = '2026-04-01 00:00+00';
SELECT counted, filled FROM mkt.attachment WHERE contacts = 'late'::regclass;
SELECT billable, non_marketing, total FROM mkt.usage WHERE account = 'l';
BEGIN;
CALL mkt.run();
SELECT billable, non_marketing, total FROM mkt.usage WHERE account = 'l';
ROLLBACK;
CALL mkt.run();
SELECT counted, filled FROM mkt.attachment WHERE contacts = 'late'::regclass;
SELECT billable, non_marketing, total FROM mkt.usage WHERE account = 'l';
SELECT id, marketing_status FROM late ORDER BY id;

-- Contacts that were there before become sums at once: there is nothing to fold, and nothing for the history of counts.
CREATE TABLE early (id integer PRIMARY KEY, account text);
INSERT INTO early SELECT i, 'early ' || i % 3 FROM generate_series(1, 10) AS i;
SELECT mkt.attach('early', account_column => 'account');
CALL mkt.run();
SELECT account_name, was, until, n, at FROM mkt.run_early_count ORDER BY account_name;
SELECT count(*) FROM mkt.run_early_count_history;

-- A statement writes one row for each account and kind of move, however many contacts it moves.
CREATE TABLE bulk (id integer PRIMARY KEY, account text);
SELECT mkt.attach('bulk', account_column => 'account');
INSERT INTO bulk SELECT i, 'bulk ' || i % 2, CASE WHEN i % 3 = 0 THEN 'non_marketing' ELSE 'marketing' END::mkt.status FROM generate_series(1, 600) AS i;
SELECT account_name, was, until, sum(n), count(*) FROM mkt.run_bulk_count GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
UPDATE bulk SET marketing_status = 'non_marketing';
SELECT account_name, was, until, sum(n), count(*) FROM mkt.run_bulk_count WHERE was IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA run CASCADE;
