-- Rows of counts that were folded are sealed, and not read again; nothing that comes later, from wherever, is among them.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
CREATE SCHEMA sealed;
SET search_path = sealed;
CREATE TABLE contact (id integer PRIMARY KEY, account text);
SELECT mkt.attach('contact', account_column => 'account');
CREATE VIEW seal AS SELECT account_name, - lane AS below, n FROM mkt.sealed_contact_count WHERE lane < 0;
-- Many rows of an account, which add nothing, and many transactions.
CREATE PROCEDURE write(account text) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO mkt.sealed_contact_count (account_name, account, until, n) SELECT write.account, write.account, 'infinity', (-1) ^ i FROM generate_series(1, 200) AS i;
    FOR i IN 1..2100 LOOP COMMIT; PERFORM txid_current(); END LOOP;
END $$;
-- What one transaction folds twice, it meets as dead rows that others may still see.
CREATE FUNCTION fold(account text) RETURNS void LANGUAGE SQL AS $$
    SELECT mkt.fold_counts('mkt.sealed_contact_count');
    INSERT INTO mkt.sealed_contact_count (account_name, account, until, n) VALUES (fold.account, fold.account, 'infinity', 1), (fold.account, fold.account, 'infinity', -1);
    SELECT mkt.fold_counts('mkt.sealed_contact_count');
$$;
INSERT INTO contact SELECT i, CASE WHEN i <= 200 THEN 'a' ELSE 'b' END, 'marketing' FROM generate_series(1, 300) AS i;
CALL write('a');
SELECT fold('a');

-- An account with many such rows has one; it is no count.
SELECT account_name, below % 64 AS in_block, below > 0 AS above_zero FROM seal;
SELECT account, billable, total FROM mkt.usage ORDER BY account;
SELECT mkt.billable('a'), mkt.billable('b');
SELECT state FROM mkt.status() WHERE item = 'counts';

-- Whoever sees it reads no row below.
BEGIN;
ALTER TABLE mkt.sealed_contact_count DISABLE TRIGGER lane;
INSERT INTO mkt.sealed_contact_count (account_name, account, until, n, lane) VALUES ('a', 'a', 'infinity', 1000, 0);
SELECT mkt.billable('a');
ROLLBACK;

-- A row that is below and is there all the same makes a difference, until it is mended: it is read again, and so it does no harm later.
UPDATE mkt.sealed_contact_count SET lane = lane % 64 WHERE account IN ('a', 'b') AND lane >= 0;
SELECT mkt.billable('a'), mkt.billable('b');
SELECT * FROM mkt.verify();
SELECT * FROM mkt.repair('contact');
SELECT mkt.billable('a'), mkt.billable('b');
SELECT * FROM mkt.verify();
SELECT count(*) AS below FROM mkt.sealed_contact_count WHERE account = 'a' AND lane BETWEEN 0 AND (SELECT below - 1 FROM seal);
BEGIN;
ALTER TABLE mkt.sealed_contact_count DISABLE TRIGGER lane;
INSERT INTO mkt.sealed_contact_count (account_name, account, until, n, lane) VALUES ('a', 'a', 'infinity', 1000, 0);
SELECT * FROM mkt.verify();
SELECT * FROM mkt.repair('contact');
SELECT mkt.billable('a');
SELECT * FROM mkt.verify();
ROLLBACK;

-- Rows that come with a dump or from another server are above, whatever they say, and seals of elsewhere stay out.
BEGIN;
INSERT INTO mkt.sealed_contact_count (account_name, account, until, n, lane) VALUES ('a', 'a', 'infinity', 1000, 0);
SELECT mkt.billable('a');
SET LOCAL session_replication_role = replica;
COPY mkt.sealed_contact_count (account_name, account, until, n, lane) FROM stdin;
a	a	infinity	10000	7
a	a	infinity	100000	\N
a	a	\N	99	-9000000000000
\.
SELECT mkt.billable('a');
SELECT count(*) FROM seal;
ROLLBACK;

-- Nor is one heeded that a dump has brought before there was a trigger; it goes with the next one.
ALTER TABLE mkt.sealed_contact_count DISABLE TRIGGER lane;
INSERT INTO mkt.sealed_contact_count (account_name, account, n, lane) VALUES ('a', 'a', 99, -9000000000000), ('b', 'b', 99, -9000000000000);
ALTER TABLE mkt.sealed_contact_count ENABLE ALWAYS TRIGGER lane;
SELECT mkt.billable('a'), mkt.billable('b');
SELECT count(*) FROM seal;
CALL write('a');
SELECT fold('a');
SELECT account_name, count(*) FROM seal GROUP BY account_name ORDER BY account_name;
SELECT mkt.billable('a'), mkt.billable('b');

-- A seal that is rolled back takes nothing along.
CALL write('a');
SELECT below FROM seal WHERE account_name = 'a' \gset
BEGIN;
SAVEPOINT s;
SELECT fold('a');
SELECT below > :below AS higher FROM seal WHERE account_name = 'a';
SELECT mkt.billable('a');
ROLLBACK TO s;
SELECT below > :below AS higher FROM seal WHERE account_name = 'a';
SELECT mkt.billable('a');
INSERT INTO contact VALUES (601, 'a', 'marketing');
SELECT mkt.fold_counts('mkt.sealed_contact_count');
INSERT INTO contact VALUES (602, 'a', 'marketing');
SELECT mkt.fold_counts('mkt.sealed_contact_count');
INSERT INTO contact VALUES (603, 'a', 'marketing');
SELECT mkt.fold_counts('mkt.sealed_contact_count');
SELECT mkt.billable('a');
COMMIT;
SELECT mkt.billable('a');
VACUUM FULL mkt.sealed_contact_count;
SELECT mkt.billable('a'), below > :below AS higher FROM seal WHERE account_name = 'a';
SELECT * FROM mkt.verify();

-- Contacts without an account, and those of a table that is emptied.
INSERT INTO contact SELECT i, NULL, 'marketing' FROM generate_series(701, 800) AS i;
CALL write(NULL);
SELECT fold(NULL);
SELECT count(*) FROM seal WHERE account_name IS NULL;
SELECT billable FROM mkt.usage WHERE account IS NULL;
UPDATE mkt.sealed_contact_count SET lane = lane % 64 WHERE account IS NULL AND lane >= 0;
SELECT account, counted, actual FROM mkt.repair('contact');
SELECT * FROM mkt.verify();
DELETE FROM contact WHERE account IS NULL;
SELECT * FROM mkt.verify();
TRUNCATE contact;
SELECT count(*) FROM seal;
SELECT * FROM mkt.verify();

DROP PROCEDURE write;
DROP FUNCTION fold;
DROP VIEW seal;
DROP SCHEMA sealed CASCADE;
