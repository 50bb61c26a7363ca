-- Who writes one contact after another to a table without a history changes one row of counts, and the counts are as exact.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA tallies;
SET search_path = tallies;
CREATE TABLE contact (id integer PRIMARY KEY, account text);
SELECT mkt.attach('contact', account_column => 'account'), mkt.set_history('contact', false);
INSERT INTO mkt.account (account, commitment, started_on) VALUES ('a', 'monthly', '2025-01-15');
CREATE VIEW counted AS
SELECT account_name AS account, was, until, n, lane % 2 = 1 AS tally FROM mkt.tallies_contact_count WHERE coalesce(was, until) IS NOT NULL ORDER BY account_name, until, was, n;
-- One transaction for each contact.
CREATE PROCEDURE write(account text, first integer, last integer) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN first..last LOOP INSERT INTO contact VALUES (i, account, 'marketing'); COMMIT; END LOOP;
END $$;
CREATE PROCEDURE pass() LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..1100 LOOP PERFORM txid_current(); COMMIT; END LOOP;
END $$;

-- A tally for all contacts of an account but the first one, and none for a way back.
CALL write('a', 1, 500);
CALL write('b', 501, 600);
CALL write(NULL, 601, 610);
DELETE FROM contact WHERE id = 1;
DELETE FROM contact WHERE id = 2;
SELECT * FROM counted WHERE tally;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 3;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 4;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 5;
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id = 3;
SELECT * FROM counted WHERE account = 'a' AND tally;
SELECT account, billable, pending, total FROM mkt.usage ORDER BY account;

-- A transaction's own changes, one after the other; a rollback, to a savepoint too, takes them along.
BEGIN;
INSERT INTO contact VALUES (1001, 'a', 'marketing');
INSERT INTO contact VALUES (1002, 'a', 'marketing');
DECLARE before CURSOR FOR SELECT n FROM counted WHERE account = 'a' AND until = 'infinity' AND tally;
DELETE FROM contact WHERE id = 1001;
SELECT n FROM counted WHERE account = 'a' AND until = 'infinity' AND tally;
FETCH before;
SAVEPOINT s;
INSERT INTO contact VALUES (1003, 'a', 'marketing');
SELECT mkt.billable('a');
ROLLBACK TO s;
INSERT INTO contact VALUES (1004, 'a', 'marketing');
SELECT mkt.billable('a');
ROLLBACK;
SELECT mkt.billable('a');
CALL write('a', 1001, 1010);
SELECT mkt.billable('a');
SELECT * FROM mkt.verify();

-- A statement that touches many accounts has none, and neither has a serializable transaction.
INSERT INTO contact SELECT 2000 + i, 'c' || i, 'marketing' FROM generate_series(1, 5) AS i;
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO contact VALUES (2010, 'c1', 'marketing');
COMMIT;
SELECT * FROM counted WHERE account LIKE 'c%';
DELETE FROM contact WHERE id > 2000;

-- Folding leaves a tally that lasts alone, unless all is to be folded; sums are no tallies.
SELECT mkt.fold_counts('mkt.tallies_contact_count');
TABLE counted;
CALL write('a', 3001, 3100);
CALL write('b', 3101, 3200);
SELECT account, count(*) FROM counted WHERE tally GROUP BY account ORDER BY account;
-- After many transactions of others it lasts no longer; here they are left behind because somebody else has changed them.
CREATE PROCEDURE leave(account text, first integer, last integer) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN first..last LOOP
        INSERT INTO contact VALUES (i, account, 'marketing');
        UPDATE mkt.tallies_contact_count SET n = n WHERE account_name = leave.account AND xmin::text = txid_current()::text;
        COMMIT;
    END LOOP;
END $$;
CALL leave('a', 4001, 4600);
SELECT count(*) > 300 AS many FROM counted WHERE account = 'a';
CALL pass();
CALL leave('a', 4601, 5000);
SELECT count(*) < 500 AS few FROM counted WHERE account = 'a';
SELECT * FROM mkt.verify();

-- Whatever happens to the table of counts, the next change is counted once.
CALL write('a', 6001, 6010);
VACUUM FULL mkt.tallies_contact_count;
CALL write('a', 6011, 6020);
SELECT mkt.fold_counts('mkt.tallies_contact_count');
VACUUM mkt.tallies_contact_count;
CALL write('a', 6021, 6030);
CREATE INDEX further ON mkt.tallies_contact_count (n);
CALL write('a', 6031, 6040);
SET enable_seqscan = off;
SELECT count(*) FROM mkt.tallies_contact_count WHERE n = 20;
RESET enable_seqscan;
DROP INDEX mkt.further;
UPDATE mkt.tallies_contact_count SET n = n + 1 WHERE lane % 2 = 1 AND account_name = 'a';
SELECT counted - actual AS too_many FROM mkt.repair();
CALL write('a', 6041, 6050);
SELECT * FROM mkt.verify();
TRUNCATE contact;
CALL write('a', 1, 10);
TABLE counted;
SELECT * FROM mkt.verify();

-- Two parts of a statement change one account.
WITH one AS (INSERT INTO contact VALUES (31, 'a', 'marketing') RETURNING id), two AS (INSERT INTO contact SELECT 32, 'a', 'marketing' RETURNING id)
SELECT count(*) FROM one, two;
CALL write('a', 33, 35);
SELECT mkt.billable('a');
-- A tally that its own transaction has truncated.
BEGIN;
INSERT INTO contact VALUES (51, 'a', 'marketing');
INSERT INTO contact VALUES (52, 'a', 'marketing');
TRUNCATE contact;
INSERT INTO contact VALUES (51, 'a', 'marketing');
INSERT INTO contact VALUES (52, 'a', 'marketing');
COMMIT;
INSERT INTO contact VALUES (53, 'a', 'marketing');
SELECT mkt.billable('a');
-- The page of a tally is gone.
DELETE FROM contact;
SELECT mkt.fold_counts('mkt.tallies_contact_count');
CALL pass();
VACUUM mkt.tallies_contact_count;
CALL write('a', 1, 10);
TABLE counted;
-- The page of a tally is full again and again, so it moves to others.
CREATE PROCEDURE fill(first integer, last integer) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN first..last LOOP
        INSERT INTO contact VALUES (i, 'b', 'marketing');
        INSERT INTO mkt.tallies_contact_count (account_name, account, until, n) SELECT 'b', 'b', 'infinity', (-1) ^ n FROM generate_series(1, 100) AS n;
        COMMIT;
    END LOOP;
END $$;
CALL fill(10001, 10200);
SELECT mkt.billable('b');
SELECT * FROM mkt.verify();

-- An account of many letters has none; one that is no text has.
CALL write(repeat('long', 20), 101, 103);
SELECT sum(n), bool_or(tally) AS tally FROM counted WHERE account LIKE 'long%';
CREATE TABLE by_uuid (id integer PRIMARY KEY, account uuid);
SELECT mkt.attach('by_uuid', account_column => 'account'), mkt.set_history('by_uuid', false);
DO $$ BEGIN
    FOR i IN 1..20 LOOP
        INSERT INTO by_uuid VALUES (i, ('00000000-0000-0000-0000-00000000000' || i % 2)::uuid, 'marketing');
        COMMIT;
    END LOOP;
END $$;
SELECT account, n FROM mkt.tallies_by_uuid_count WHERE lane % 2 = 1 ORDER BY account;
SELECT * FROM mkt.verify();
DROP TABLE by_uuid;

-- Rows that a subtransaction writes for what was counted before it are no tallies: the places of others in mind stay theirs.
CREATE TABLE parted (id integer PRIMARY KEY, account text) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (1) TO (10000);
SELECT mkt.attach('parted', account_column => 'account'), mkt.set_history('parted', false);
INSERT INTO mkt.account (account, commitment, started_on) VALUES ('p1', 'monthly', '2025-01-15');
CREATE PROCEDURE write_each(first integer, last integer, step integer) LANGUAGE plpgsql AS $$
DECLARE i integer;
BEGIN
    FOR i IN SELECT generate_series(first, last, step) LOOP
        INSERT INTO parted VALUES (i, 'p' || i % 100, 'marketing');
        COMMIT;
    END LOOP;
END $$;
CALL write_each(1, 300, 1);
BEGIN;
INSERT INTO parted_1 SELECT 1000 + i, 'p' || i, 'marketing' FROM generate_series(0, 99) AS i;
SAVEPOINT s;
UPDATE mkt.account SET started_on = '2025-01-20' WHERE account = 'p1';
RELEASE s;
COMMIT;
CALL write_each(2300, 2001, -1);
SELECT * FROM mkt.verify();
SELECT DISTINCT billable, total FROM mkt.usage WHERE account ~ '^p[0-9]';
BEGIN;
UPDATE parted_1 SET marketing_status = 'non_marketing' WHERE id <= 100;
SAVEPOINT s;
UPDATE mkt.account SET started_on = '2025-01-10' WHERE account = 'p1';
ROLLBACK TO s;
COMMIT;
CALL write_each(3001, 3300, 1);
SELECT * FROM mkt.verify();
-- A table that is dropped before what was counted in it is written.
BEGIN;
INSERT INTO parted_1 VALUES (5001, 'p1', 'marketing'), (5002, 'p2', 'marketing');
DROP TABLE parted;
INSERT INTO contact VALUES (41, 'a', 'marketing');
COMMIT;
SELECT mkt.billable('a'), mkt.billable('p1');

-- With a history every move stays one; what was tallied before is part of none.
SELECT mkt.set_history('contact');
SET mktcontacts.clock = '2026-03-11 12:00+00';
CALL write('a', 201, 203);
SELECT count(*) FROM mkt.tallies_contact_count WHERE lane % 2 = 1 AND at > '2026-03-11';
SET mktcontacts.clock = '2026-03-12 12:00+00';
SELECT mkt.fold_counts('mkt.tallies_contact_count');
SELECT mkt.billable('a', '2026-03-10 13:00+00') AS before, mkt.billable('a', '2026-03-11 12:00+00') AS after, mkt.billable('a') AS now;
SELECT mkt.set_history('contact', false);

-- What a transaction has done itself is told from what its tally said before: a threshold that others have passed is not passed again.
INSERT INTO mkt.edition (edition) VALUES ('hundred');
INSERT INTO mkt.increment (edition, included, increment) VALUES ('hundred', 100, 100);
INSERT INTO mkt.price (edition, currency, base, per_increment) VALUES ('hundred', 'EUR', 10, 1);
INSERT INTO mkt.account (account, commitment, edition, started_on) VALUES ('t', 'monthly', 'hundred', '2025-01-15');
CALL write('t', 1001, 1085);
SELECT percent, billable, period_ends_at FROM mkt.notice WHERE account = 't';
SET mktcontacts.clock = '2026-03-20 12:00+00';
CALL write('t', 1086, 1087);
SELECT percent, billable, period_ends_at FROM mkt.notice WHERE account = 't';
CALL write('t', 1088, 1101);
SELECT percent, billable, period_ends_at FROM mkt.notice WHERE account = 't' ORDER BY billable;
SELECT billable, from_tier, to_tier FROM mkt.tier_change WHERE account = 't';

SET client_min_messages = warning;
DROP SCHEMA tallies CASCADE;
DELETE FROM mkt.account; DELETE FROM mkt.past_account; DELETE FROM mkt.notice; DELETE FROM mkt.tier_change; DELETE FROM mkt.edition WHERE edition = 'hundred';
