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
SELECT mkt.attach('contact', account_column => 'account');
ALTER TABLE contact DROP CONSTRAINT mkt_state;
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false;
SELECT billable, pending FROM mkt.usage WHERE account = 'a';

-- Counts with an index of somebody's.
SELECT count_table FROM mkt.attachment WHERE contacts = 'plain'::regclass \gset
CREATE INDEX strange ON :count_table (n);
INSERT INTO plain VALUES (2, 'a', 'marketing');
DROP INDEX mkt.strange;
INSERT INTO plain VALUES (2, 'a', 'marketing');
SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA lost CASCADE;
DELETE FROM mkt.account;
