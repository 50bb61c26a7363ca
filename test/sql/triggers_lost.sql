-- A table that has lost a trigger is attached no longer, and nothing else suffers; attach() makes it whole again.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA lost;
SET search_path = lost;
\set VERBOSITY terse
CREATE TABLE contact (id integer PRIMARY KEY, account text, note text);
CREATE TABLE plain (id integer PRIMARY KEY, account text);
SELECT mkt.attach(t, account_column => 'account') FROM unnest(ARRAY['contact', 'plain']::regclass[]) AS t;
INSERT INTO contact VALUES (1, 'a', 'x', 'marketing', false), (2, 'a', 'x', 'marketing', true);
INSERT INTO plain VALUES (1, 'a', 'marketing', true);

INSERT INTO mkt.account (account, maximum, at_maximum) VALUES ('full', 0, 'park');
INSERT INTO contact VALUES (4, 'full', 'x', 'marketing', false);
SELECT key FROM mkt.parked;

DROP TRIGGER mkt_90_post ON contact;
UPDATE contact SET note = 'y' WHERE id = 1;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 1;
INSERT INTO contact (id, account) VALUES (3, 'a');
SELECT mkt.set_non_marketing('contact', ARRAY[1]);
SELECT * FROM mkt.parked;
-- settings give the other table's pending contacts their new date
INSERT INTO mkt.account (account, commitment, started_on) VALUES ('a', 'monthly', '2025-01-15');
SELECT id, marketing_until FROM contact UNION ALL SELECT id, marketing_until FROM plain ORDER BY 1, 2;

SELECT mkt.attach('contact', account_column => 'account');
SELECT id, marketing_status, marketing_until FROM contact ORDER BY id;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 1;
SELECT billable, pending FROM mkt.usage WHERE account = 'a';
SELECT * FROM mkt.verify();

-- Without any trigger, and without the constraint.
DROP TRIGGER mkt_10_state ON contact;
DROP TRIGGER mkt_80_count ON contact;
DROP TRIGGER mkt_85_recount ON contact;
DROP TRIGGER mkt_90_post ON contact;
DROP TRIGGER mkt_95_truncate ON contact;
INSERT INTO mkt.account (account) VALUES ('b');
-- as an older version made it: mkt.run() would renew what is there
UPDATE mkt.attachment SET structure = 0 WHERE contacts = 'contact'::regclass;
CALL mkt.run();
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'contact'::regclass AND tgname LIKE 'mkt%';
SELECT mkt.attach('contact', account_column => 'account');
ALTER TABLE contact DROP CONSTRAINT mkt_state;
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false;
SELECT billable, pending FROM mkt.usage WHERE account = 'a';

-- Counts with an index of somebody's.
SELECT count_table FROM mkt.attachment WHERE contacts = 'plain'::regclass \gset
CREATE INDEX plain_strange ON :count_table (n) WHERE until IS NOT NULL;
INSERT INTO plain VALUES (2, 'a', 'marketing'), (3, 'a', 'marketing'), (4, 'a', NULL);
CREATE INDEX strange ON :count_table ((n + 1)) WHERE n > 1;
CREATE INDEX strange_rows ON :count_table (n, account_name) WHERE n > 1;
INSERT INTO plain VALUES (5, 'a', 'marketing'), (6, 'a', 'marketing');
DELETE FROM plain WHERE id = 3;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT count(*) AS of_plain, sum(n) AS sum FROM :count_table WHERE until IS NOT NULL AND n > 0 \gset
SELECT count(*) AS of_strange FROM :count_table WHERE n > 1 AND n + 1 = 3 \gset
SELECT count(*) AS of_strange_rows FROM :count_table WHERE n > 1 AND account_name = 'a' \gset
RESET enable_seqscan;
RESET enable_bitmapscan;
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SELECT count(*) = :of_plain AS all_there, sum(n) = :sum AS with_their_numbers FROM :count_table WHERE until IS NOT NULL AND n > 0;
SELECT count(*) = :of_strange AS all_there FROM :count_table WHERE n > 1 AND n + 1 = 3;
SELECT count(*) = :of_strange_rows AS all_there FROM :count_table WHERE n > 1 AND account_name = 'a';
RESET enable_indexscan;
RESET enable_indexonlyscan;
SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA lost CASCADE;
DELETE FROM mkt.account;
