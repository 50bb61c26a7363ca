-- A partitioned table is attached as a whole, whatever its partitions look like and however contacts move among them.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA parted;
SET search_path = parted;

-- By region, and in one region by key; partitions have their columns in another order, or had others before.
CREATE TABLE contact (account text, region text, id integer, note text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE north PARTITION OF contact FOR VALUES IN ('north');
CREATE TABLE south (gone text, id integer NOT NULL, note text, gone_too text, region text NOT NULL, account text);
ALTER TABLE south DROP COLUMN gone, DROP COLUMN gone_too;
ALTER TABLE contact ATTACH PARTITION south FOR VALUES IN ('south');
CREATE TABLE rest PARTITION OF contact DEFAULT PARTITION BY RANGE (id);
CREATE TABLE rest_low PARTITION OF rest FOR VALUES FROM (0) TO (100);
CREATE TABLE rest_high PARTITION OF rest FOR VALUES FROM (100) TO (200);
INSERT INTO contact VALUES ('a', 'north', 1), ('a', 'south', 2), ('b', 'east', 3), ('b', 'west', 103);

SELECT array_agg(pg_relation_filenode(relid) ORDER BY relid) AS files FROM pg_partition_tree('contact') \gset
SELECT mkt.attach('contact', account_column => 'account');
SELECT array_agg(pg_relation_filenode(relid) ORDER BY relid) = :'files' AS same_files FROM pg_partition_tree('contact');
CREATE VIEW usage AS
SELECT account, billable, non_marketing, pending, total FROM mkt.usage WHERE account IN ('a', 'b') ORDER BY account;
TABLE usage;

-- Through the parent, and on partitions themselves.
UPDATE contact SET marketing_status = 'marketing';
UPDATE south SET marketing_status = 'non_marketing';
INSERT INTO north (account, region, id, marketing_status) VALUES ('a', 'north', 4, 'marketing');
INSERT INTO rest (account, region, id, marketing_status, marketing_until_next_update) VALUES ('b', 'east', 104, 'marketing', true);
DELETE FROM rest_low;
SELECT tableoid::regclass AS partition, account, id, marketing_status, marketing_until FROM contact ORDER BY id;
TABLE usage;
SELECT * FROM mkt.verify();

-- In a transaction a statement on a partition counts at once.
BEGIN;
INSERT INTO south (account, region, id, marketing_status) VALUES ('a', 'south', 5, 'marketing');
SELECT mkt.billable('a');
TABLE usage;
SAVEPOINT s;
DELETE FROM south;
SELECT mkt.billable('a');
ROLLBACK TO s;
SELECT mkt.billable('a');
COMMIT;
SELECT mkt.billable('a');

-- A contact that moves to another partition keeps its state, also when its account moves along.
BEGIN;
UPDATE contact SET region = 'south' WHERE id IN (1, 103);
UPDATE contact SET region = 'north' WHERE id = 2;
UPDATE contact SET region = 'west', account = 'b' WHERE id = 4;
UPDATE contact SET id = id + 50 WHERE id = 104;
UPDATE contact SET region = 'north', marketing_status = 'non_marketing' WHERE id = 5;
SELECT tableoid::regclass AS partition, account, id, marketing_status, marketing_until FROM contact ORDER BY id;
TABLE usage;
SELECT * FROM mkt.verify();
COMMIT;

-- So does one whose instant has passed: it is non-marketing on both sides of the move.
SET mktcontacts.clock = '2026-04-10 12:00+00';
TABLE usage;
UPDATE contact SET region = 'south' WHERE id = 2;
UPDATE contact SET id = 54 WHERE id = 154;
UPDATE contact SET region = 'south', account = 'b' WHERE id = 5;
SELECT tableoid::regclass AS partition, account, id, mkt.is_marketing(marketing_status, marketing_until) FROM contact
WHERE id IN (2, 54, 5) ORDER BY id;
TABLE usage;
SELECT * FROM mkt.verify();

-- A null status is refused with a move as without one.
UPDATE contact SET marketing_status = NULL WHERE id = 1;
UPDATE contact SET marketing_status = NULL, region = 'north' WHERE id = 1;
UPDATE contact SET marketing_until_next_update = NULL, region = 'north' WHERE id = 1;

-- Statements that report by key reach every partition.
CREATE TABLE by_id (account text, id integer PRIMARY KEY) PARTITION BY HASH (id);
CREATE TABLE by_id_0 PARTITION OF by_id FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE by_id_1 PARTITION OF by_id FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT mkt.attach('by_id', account_column => 'account');
INSERT INTO by_id SELECT 'a', i, 'marketing' FROM generate_series(1, 6) AS i;
SELECT changed, already, pending, not_found FROM mkt.set_non_marketing('by_id', ARRAY[1, 2, 3, 99]);
SELECT * FROM mkt.verify();

-- Partitions are attached and detached through their parent.
SELECT mkt.attach('by_id_0', account_column => 'account');
SELECT mkt.detach('by_id_0');
SELECT mkt.detach('by_id', drop_columns => true);
SELECT count(*) AS marketing_columns FROM pg_attribute
WHERE attrelid IN ('by_id'::regclass, 'by_id_0'::regclass, 'by_id_1'::regclass) AND attname LIKE 'marketing%' AND NOT attisdropped;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA parted CASCADE;
