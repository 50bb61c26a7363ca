-- Contacts that already are marketing when a table is attached, by a condition (F3): set in batches, once, and only those that
-- were there.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA already;
SET search_path = already;
\set SHOW_CONTEXT never
CREATE TABLE contact (id integer PRIMARY KEY, account text, label text, note text DEFAULT repeat('x', 500));
INSERT INTO contact SELECT i, 'a' || i % 3, CASE WHEN i % 4 = 0 THEN 'Marketing contact' WHEN i % 4 = 1 THEN 'Non-marketing contact' END FROM generate_series(1, 1000) AS i;
SELECT mkt.attach('contact', account_column => 'account', already_marketing => 'label LIKE ''Marketing%'' OR account = ''a2'' AND id < 3');

-- What comes or is decided before the job has run stays as it is.
INSERT INTO contact (id, account, label) VALUES (1001, 'a0', 'Marketing contact'), (1002, 'a0', 'Marketing contact');
UPDATE contact SET marketing_status = 'marketing', marketing_source_type = 'user' WHERE id IN (4, 5);
UPDATE contact SET marketing_status = 'non_marketing', marketing_until_next_update = true WHERE id = 4;
UPDATE contact SET label = 'Marketing contact' WHERE id = 6;
DELETE FROM contact WHERE id = 8;
SELECT account, billable, non_marketing, pending, total FROM mkt.usage ORDER BY account;

-- In a transaction block all at once; rolled back, nothing has happened.
BEGIN;
CALL mkt.fill_already_marketing('contact', batch_size => 10);
SELECT account, billable, non_marketing, pending, total FROM mkt.usage ORDER BY account;
SELECT * FROM mkt.verify();
ROLLBACK;
SELECT sum(billable) FROM mkt.usage;

CALL mkt.fill_already_marketing('contact', batch_size => 7);
SELECT account, billable, non_marketing, pending, total FROM mkt.usage ORDER BY account;
SELECT marketing_status, marketing_until_next_update AS flag, marketing_source_type AS source, count(*), min(id), max(id),
       count(*) FILTER (WHERE label LIKE 'Marketing%') AS labelled
FROM contact GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT * FROM mkt.verify();

-- Once: a contact that was set as non-marketing since does not come back, nor by running again.
SET mktcontacts.clock = '2026-02-10 12:00+00';
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 12;
SET mktcontacts.clock = '2026-03-10 12:00+00';
CALL mkt.fill_already_marketing('contact');
CALL mkt.run();
SELECT marketing_status, marketing_source_type FROM contact WHERE id = 12;
CALL mkt.fill_already_marketing('contact', 0);
CALL mkt.fill_already_marketing('pg_class');

-- A partitioned table, by mkt.run(); with a condition that fails, which leaves what was done and can be mended.
CREATE TABLE parted (id integer PRIMARY KEY, label text) PARTITION BY RANGE (id);
CREATE TABLE part_1 (label text, id integer NOT NULL);
ALTER TABLE parted ATTACH PARTITION part_1 FOR VALUES FROM (0) TO (500);
CREATE TABLE part_2 PARTITION OF parted DEFAULT;
INSERT INTO parted SELECT i, i % 2 FROM generate_series(1, 999) AS i;
UPDATE parted SET label = 'x' WHERE id = 600;
SELECT mkt.attach('parted', account => 'p', already_marketing => 'label::integer = 1');
CALL mkt.run();
SELECT mkt.billable('p') AS all_but_one;
SELECT * FROM mkt.verify();
UPDATE parted SET label = '1' WHERE id = 600;
CALL mkt.run();
SELECT mkt.billable('p');

-- A table without any, and one whose condition is null for some.
CREATE TABLE empty (id integer PRIMARY KEY, yes boolean);
SELECT mkt.attach('empty', account => 'e', already_marketing => 'yes');
CALL mkt.run();
CREATE TABLE nulls (id integer PRIMARY KEY, yes boolean);
INSERT INTO nulls VALUES (1, true), (2, false), (3, NULL);
SELECT mkt.attach('nulls', account => 'n', already_marketing => 'yes');
CALL mkt.run();
SELECT id, marketing_status FROM nulls ORDER BY id;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA already CASCADE;
