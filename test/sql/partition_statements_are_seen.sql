-- A statement on a partition itself, which has no trigger at its end, is seen at once by all that tell of it.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA unseen;
SET search_path = unseen;
CREATE TABLE contact (account text, id integer, PRIMARY KEY (account, id)) PARTITION BY LIST (account);
CREATE TABLE part_a PARTITION OF contact FOR VALUES IN ('a');
SELECT mkt.attach('contact', account_column => 'account');
INSERT INTO contact SELECT 'a', i, 'marketing' FROM generate_series(1, 6) AS i;

-- Each asks as often as it likes in one statement, and the first that asks hides nothing from the next.
BEGIN;
UPDATE part_a SET marketing_status = 'non_marketing' WHERE id = 1;
SELECT count(*), (SELECT count(*) FROM mkt.history('contact', 1, 'a')) AS again,
	(SELECT explanation FROM mkt.explain('contact', 1, 'a')) FROM mkt.history('contact', 1, 'a');
SET LOCAL mktcontacts.clock = '2026-03-11 12:00+00';
DELETE FROM part_a WHERE id = 2;
SET LOCAL mktcontacts.clock = '2026-03-12 12:00+00';
SELECT mkt.status_at('contact', 2, '2026-03-10 12:00+00', 'a') AS before,
	mkt.status_at('contact', 2, '2026-03-11 12:00+00', 'a') AS gone, mkt.status_at('contact', 1, '2026-03-11 12:00+00', 'a');
COMMIT;

-- mkt.batch counts what is not written yet, once, with the source and the instant of then.
BEGIN;
SET LOCAL mktcontacts.batch = 'spring';
SET LOCAL mktcontacts.source_type = 'user';
SET LOCAL mktcontacts.source_name = 'ann';
UPDATE part_a SET marketing_status = 'non_marketing' WHERE id IN (3, 4);
SET LOCAL mktcontacts.source_type = 'workflow';
SET LOCAL mktcontacts.source_name = '';
SET LOCAL mktcontacts.clock = '2026-03-11 12:00+00';
SELECT label, changed, source_type, source_name, set_at FROM mkt.batch;
SAVEPOINT s;
UPDATE part_a SET marketing_status = 'non_marketing' WHERE id = 5;
SELECT label, changed, source_type, source_name FROM mkt.batch;
ROLLBACK TO s;
SELECT label, changed, source_type FROM mkt.batch;
SELECT count(*) FROM mkt.history('contact', 3, 'a');
SELECT label, changed, source_type FROM mkt.batch;
RESET mktcontacts.batch;
SET LOCAL mktcontacts.source_type = 'api';
UPDATE part_a SET marketing_status = 'non_marketing' WHERE id = 6;
COMMIT;
SELECT label, changed, already, pending, source_type, source_name, set_at FROM mkt.batch;

-- An undo sees them, and its own batch counts what it has changed, not what it leaves.
BEGIN;
SET LOCAL mktcontacts.batch = 'summer';
UPDATE part_a SET marketing_status = 'non_marketing' WHERE id = 5;
INSERT INTO part_a VALUES ('a', 7, 'marketing'), ('a', 8, 'marketing'), ('a', 9, 'marketing');
UPDATE part_a SET marketing_status = 'non_marketing' WHERE id = 8;
RESET mktcontacts.batch;
SELECT restored, u.pending, changed_since, gone FROM mkt.batch AS b CROSS JOIN mkt.undo(b.batch) AS u WHERE label = 'summer';
SELECT changed, already, pending FROM mkt.batch WHERE action LIKE 'undo%';
COMMIT;
SELECT changed, already, pending FROM mkt.batch ORDER BY batch;

-- What such statements have added on any level ends with the attachment, or with the table.
CREATE TABLE beside (id integer PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE part_beside PARTITION OF beside DEFAULT;
SELECT mkt.attach('beside', account => 'beside');
BEGIN;
INSERT INTO part_beside VALUES (1, 'marketing');
INSERT INTO part_a VALUES ('a', 10, 'marketing');
SAVEPOINT one;
INSERT INTO part_a VALUES ('a', 11, 'marketing');
SAVEPOINT two;
INSERT INTO part_a VALUES ('a', 12, 'marketing');
SELECT mkt.billable('a');
SELECT mkt.detach('contact');
SELECT mkt.billable('a'), mkt.billable('beside');
ROLLBACK TO two;
SELECT mkt.billable('a');
RELEASE one;
SELECT * FROM mkt.verify();
INSERT INTO part_a VALUES ('a', 13, 'marketing');
SET LOCAL client_min_messages = warning;
DROP TABLE contact;
SELECT account, billable FROM mkt.usage WHERE account = 'a';
ROLLBACK;
SELECT mkt.billable('a');

-- Who sees some rows only is told the count of an account of which he has just written the first contact.
CREATE TABLE guarded (account text, id integer, PRIMARY KEY (account, id)) PARTITION BY RANGE (id);
CREATE TABLE part_guarded PARTITION OF guarded DEFAULT;
SELECT mkt.attach('guarded', account_column => 'account');
CREATE ROLE mkt_part_writer;
GRANT USAGE ON SCHEMA unseen TO mkt_part_writer;
GRANT SELECT, INSERT ON guarded, part_guarded TO mkt_part_writer;
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON guarded USING (account = 'new');
SET ROLE mkt_part_writer;
BEGIN;
INSERT INTO part_guarded VALUES ('new', 1, 'marketing'), ('hidden', 1, 'marketing');
SELECT mkt.billable('new'), mkt.billable('hidden');
ROLLBACK;
RESET ROLE;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA unseen CASCADE;
DELETE FROM mkt.batch_report;
DROP ROLE mkt_part_writer;
