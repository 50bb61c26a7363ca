-- Attaching rewrites nothing, can be repeated, and detaching leaves the catalogs as they were.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA crm;
SET search_path = crm;
CREATE TABLE contact (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id integer,
    email text DEFAULT 'none' CHECK (email <> ''),
    mail_domain text GENERATED ALWAYS AS (split_part(email, '@', 2)) STORED
);
CREATE INDEX ON contact (account_id);
INSERT INTO contact (account_id, email) VALUES (1, 'a@x.no'), (1, 'b@x.no'), (2, 'c@y.no'), (NULL, 'd@y.no');

-- All that the catalogs say of the table, and what the extension's schema holds, independently of OIDs. That a column is not null,
-- which PostgreSQL 18 makes a constraint, is told of the column.
CREATE VIEW catalogs AS
SELECT 'column' AS kind, attname || ' ' || format_type(atttypid, atttypmod) AS name,
       concat_ws(' ', attnotnull, attidentity, attgenerated, attstorage, attacl, pg_get_expr(adbin, adrelid)) AS properties
FROM pg_attribute LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum)
WHERE attrelid = 'crm.contact'::regclass AND attnum > 0 AND NOT attisdropped
UNION ALL SELECT 'constraint', conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'crm.contact'::regclass AND contype <> 'n'
UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'crm.contact'::regclass
UNION ALL SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'crm.contact'::regclass
UNION ALL SELECT 'table', relname, concat_ws(' ', relkind, relpersistence, relacl, relrowsecurity, reloptions)
FROM pg_class WHERE oid = 'crm.contact'::regclass OR relnamespace = 'mkt'::regnamespace
UNION ALL SELECT 'type', typname, typacl::text FROM pg_type WHERE typnamespace = 'mkt'::regnamespace
UNION ALL SELECT 'attachment', contacts::text, count_table::text FROM mkt.attachment;

CREATE TABLE before AS SELECT * FROM catalogs;
SELECT pg_relation_filenode('contact') AS filenode, xmin AS xmin_of_row FROM contact WHERE id = 1 \gset

SELECT mkt.attach('contact', account_column => 'account_id');
SELECT pg_relation_filenode('contact') = :filenode AS same_file, xmin = :xmin_of_row AS same_row FROM contact WHERE id = 1;
SELECT kind, name FROM (SELECT * FROM catalogs EXCEPT SELECT * FROM before) AS added WHERE kind <> 'type'
ORDER BY kind, name COLLATE "C";
SELECT id, account_id, marketing_status, marketing_until_next_update, marketing_until, marketing_source_type, marketing_source_name
FROM contact ORDER BY id;
SELECT account, billable, non_marketing, pending, total FROM mkt.usage ORDER BY account;

-- Again: nothing changes. In another way: refused.
CREATE TABLE attached AS SELECT * FROM catalogs;
SELECT mkt.attach('contact', account_column => 'account_id');
SELECT mkt.attach('contact', account_column => 'account_id', key_column => 'id');
SELECT mkt.attach('contact', account => '1');
SELECT count(*) AS changed FROM (TABLE catalogs EXCEPT TABLE attached UNION ALL (TABLE attached EXCEPT TABLE catalogs)) AS c;

-- Detached, the columns stay and can be written like any others; nothing counts them.
UPDATE contact SET marketing_status = 'marketing' WHERE id <= 3;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 3;
SELECT mkt.billable('1') AS one, mkt.billable('2') AS two;
SELECT mkt.detach('contact');
SELECT kind, name, properties FROM catalogs EXCEPT SELECT * FROM before ORDER BY kind, name;
SELECT * FROM before EXCEPT SELECT * FROM catalogs;
INSERT INTO contact (account_id) VALUES (1);
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 2;
SELECT id, marketing_status, marketing_until_next_update, marketing_until FROM contact ORDER BY id;
SELECT mkt.billable('1');

-- Attached again, the columns are adopted as they are and counted at once.
SELECT mkt.attach('contact', account_column => 'account_id');
SELECT account, billable, non_marketing, pending, total FROM mkt.usage ORDER BY account;
SELECT * FROM mkt.verify();
SELECT mkt.detach('contact', drop_columns => true);
SELECT * FROM catalogs EXCEPT SELECT * FROM before;
SELECT * FROM before EXCEPT SELECT * FROM catalogs;

-- Detaching belongs to its transaction; counts of the same transaction go along with it.
SELECT mkt.attach('contact', account => 'all');
BEGIN;
INSERT INTO contact (account_id, marketing_status) VALUES (1, 'marketing');
SELECT mkt.detach('contact');
SELECT mkt.billable('all');
ROLLBACK;
SELECT mkt.billable('all'), total FROM mkt.usage WHERE account = 'all';
BEGIN;
INSERT INTO contact (account_id, marketing_status) VALUES (1, 'marketing');
SELECT mkt.detach('contact');
SELECT mkt.attach('contact', account => 'everything');
INSERT INTO contact (account_id, marketing_status) VALUES (1, 'marketing');
COMMIT;
SELECT mkt.billable('all'), mkt.billable('everything');

-- An attachment that is rolled back was never there.
SELECT mkt.detach('contact', true);
BEGIN;
SELECT mkt.attach('contact', account => 'all');
SAVEPOINT s;
UPDATE contact SET marketing_status = 'marketing';
ROLLBACK;
UPDATE contact SET email = 'e';
SELECT count(*) AS attachments FROM mkt.attachment;

-- So is one in a transaction whose snapshot is older; the next mkt.run() counts it.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT mkt.attach('contact', account_column => 'account_id');
UPDATE contact SET marketing_status = 'marketing' WHERE id = 1;
SELECT account, billable, non_marketing, total FROM mkt.usage WHERE account = '1';
COMMIT;
SELECT * FROM mkt.verify();
CALL mkt.run();
SELECT account, billable, non_marketing, total FROM mkt.usage WHERE account = '1';

-- So is one that belongs to an account as a whole; one with marketing columns of its own takes the newest snapshot.
CREATE TABLE whole (id integer PRIMARY KEY);
SELECT mkt.attach('whole', account => 'w');
SELECT mkt.attach('whole', account => 'w');
SELECT mkt.attach('whole', account => 'v');
SELECT mkt.detach('whole');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT mkt.attach('whole', account => 'w');
ROLLBACK;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA crm CASCADE;
