-- Every kind of statement counts what it stores, and sees the state that it stores.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA statements;
SET search_path = statements;
CREATE TABLE owner (name text PRIMARY KEY);
CREATE TABLE contact (
    id integer PRIMARY KEY,
    account text REFERENCES owner ON UPDATE CASCADE ON DELETE CASCADE,
    parent integer REFERENCES contact ON DELETE SET NULL
);
INSERT INTO owner VALUES ('a'), ('b');
SELECT mkt.attach('contact', account_column => 'account');
CREATE VIEW usage AS
SELECT u.*, v.differences
FROM (SELECT account, billable, non_marketing, pending FROM mkt.usage WHERE total > 0) AS u,
     (SELECT count(*) AS differences FROM mkt.verify()) AS v
ORDER BY account;

-- COPY, in and out.
COPY contact (id, account, marketing_status, marketing_until_next_update, marketing_source_type) FROM stdin;
1	a	marketing	f	contact_import
2	a	marketing	t	contact_import
3	a	\N	\N	\N
4	\N	marketing	\N	\N
\.
COPY contact (id, account) FROM stdin;
5	b
6	b
\.
TABLE usage;
COPY (SELECT * FROM contact ORDER BY id) TO stdout;

-- A statement that fails half way leaves nothing.
COPY contact (id, account, marketing_status) FROM stdin;
7	a	marketing
8	nobody	marketing
\.
INSERT INTO contact (id, account, marketing_status) SELECT i, 'a', 'marketing' FROM generate_series(10, 1, -1) AS i;
UPDATE contact SET marketing_status = 'marketing', parent = 10 / (3 - id);
TABLE usage;

-- INSERT ... RETURNING, VALUES, SELECT, DEFAULT.
INSERT INTO contact (id, account, marketing_status, marketing_until_next_update)
VALUES (7, 'b', 'marketing', true), (8, 'b', DEFAULT, DEFAULT), (9, 'b', 'marketing', DEFAULT)
RETURNING id, marketing_status, marketing_until_next_update, marketing_until;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id IN (8, 9)
RETURNING id, marketing_status, marketing_until_next_update, marketing_until;
DELETE FROM contact WHERE id = 8 RETURNING id, marketing_status;
TABLE usage;

-- ON CONFLICT: only what is stored counts, be it the row proposed or the row in its way.
INSERT INTO contact (id, account, marketing_status) VALUES (5, 'b', 'marketing'), (11, 'b', 'marketing')
ON CONFLICT DO NOTHING RETURNING id;
INSERT INTO contact AS c (id, account, marketing_status) VALUES (5, 'b', 'marketing'), (12, 'b', 'marketing'), (9, 'b', NULL)
ON CONFLICT (id) DO UPDATE SET marketing_status = EXCLUDED.marketing_status, marketing_until_next_update = false
RETURNING id, marketing_status, marketing_until_next_update;
INSERT INTO contact (id, account, marketing_status) VALUES (12, 'b', 'non_marketing'), (6, 'b', 'marketing')
ON CONFLICT (id) DO UPDATE SET marketing_status = EXCLUDED.marketing_status WHERE contact.id = 6;
TABLE usage;

-- MERGE.
MERGE INTO contact AS c
USING (VALUES (5, 'marketing'::mkt.status), (6, 'non_marketing'), (7, NULL), (13, 'marketing'), (14, NULL)) AS v (id, status) ON v.id = c.id
WHEN MATCHED AND v.status IS NULL THEN DELETE
WHEN MATCHED THEN UPDATE SET marketing_status = v.status
WHEN NOT MATCHED AND v.id = 13 THEN INSERT (id, account, marketing_status) VALUES (v.id, 'a', v.status)
WHEN NOT MATCHED THEN INSERT (id, account) VALUES (v.id, 'a');
SELECT id, marketing_status, marketing_until FROM contact WHERE id IN (5, 6, 7, 13, 14) ORDER BY id;
TABLE usage;

-- Writable CTEs: several statements in one, and an UPDATE of what another part deletes.
WITH gone AS (DELETE FROM contact WHERE id = 14 RETURNING *),
     back AS (INSERT INTO contact (id, account, marketing_status) SELECT id + 100, 'b', 'marketing' FROM gone RETURNING id),
     down AS (UPDATE contact SET marketing_status = 'non_marketing' WHERE account = 'a' RETURNING id)
SELECT (SELECT array_agg(id) FROM back) AS back, (SELECT array_agg(id ORDER BY id) FROM down) AS down, mkt.billable('a') AS before;
TABLE usage;

-- Foreign keys: an account that is renamed takes its contacts along, one that is deleted, too.
UPDATE owner SET name = 'A' WHERE name = 'a';
TABLE usage;
UPDATE contact SET parent = 1 WHERE id = 13;
DELETE FROM contact WHERE id = 1;
TABLE usage;
DELETE FROM owner WHERE name = 'A';
TABLE usage;

-- Cursors.
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM contact WHERE account = 'b' ORDER BY id FOR UPDATE;
FETCH 1 FROM c;
UPDATE contact SET marketing_status = 'non_marketing' WHERE CURRENT OF c;
FETCH 1 FROM c;
DELETE FROM contact WHERE CURRENT OF c;
TABLE usage;
COMMIT;

-- Prepared statements, whose plans stay, and are made anew when the table changes.
PREPARE up (integer) AS UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id = $1;
PREPARE touch AS UPDATE contact SET parent = NULL;
EXECUTE up (5); EXECUTE up (5); EXECUTE up (5); EXECUTE up (5); EXECUTE up (5); EXECUTE up (5);
TABLE usage;
EXECUTE touch;
SELECT mkt.detach('contact');
EXECUTE up (5);
SELECT mkt.attach('contact', account_column => 'account');
EXECUTE up (11);
EXECUTE touch;
TABLE usage;

-- Through a view.
CREATE VIEW marketing AS SELECT id, account, marketing_status FROM contact WHERE account = 'b' WITH CHECK OPTION;
INSERT INTO marketing VALUES (20, 'b', 'marketing');
UPDATE marketing SET marketing_status = 'non_marketing' WHERE id = 20;
INSERT INTO marketing VALUES (21, NULL, 'marketing');
TABLE usage;

-- With conditions that read counts, and in functions that are called by rows.
CREATE FUNCTION add(id integer) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO contact (id, account, marketing_status) VALUES (id, 'b', 'marketing');
    SELECT mkt.billable('b');
$$;
SELECT i, add(i) FROM generate_series(30, 32) AS i;
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false
WHERE account = 'b' AND add(id + 100) > 0;
TABLE usage;

-- A row whose marketing columns are all null but the last, as a client may write it.
CREATE TABLE imported (id integer PRIMARY KEY);
SELECT mkt.attach('imported', account => 'imported');
INSERT INTO imported (id, marketing_status, marketing_until_next_update, marketing_source_name) VALUES (1, NULL, NULL, 'x');
INSERT INTO imported (id, marketing_status, marketing_until_next_update, marketing_source_type, marketing_source_name) VALUES (2, NULL, NULL, 'form_submission', 'x'), (3, NULL, NULL, NULL, NULL);
SELECT * FROM imported ORDER BY id;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA statements CASCADE;
