-- Why is this one billed? (P6)
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS mktcontacts;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA explaining;
SET search_path = explaining;
CREATE ROLE explaining_reader;
CREATE ROLE explaining_nobody;
GRANT USAGE ON SCHEMA explaining TO explaining_reader, explaining_nobody;

CREATE TABLE contact (id integer PRIMARY KEY, account text, unsubscribed boolean, bounced boolean);
INSERT INTO contact VALUES (1, 'a', false, NULL), (2, 'a', NULL, NULL), (3, 'a', NULL, NULL), (4, 'a', true, NULL), (5, 'a', false, true), (6, NULL, NULL, NULL), (7, 'a', NULL, NULL);
SELECT mkt.attach('contact', account_column => 'account', unsubscribed => 'unsubscribed', bounced => 'bounced');
GRANT SELECT ON contact TO explaining_reader;
SET mktcontacts.source_type = 'user';
SET mktcontacts.source_name = 'ann';
UPDATE contact SET marketing_status = 'marketing' WHERE id <= 6;
RESET mktcontacts.source_type;
INSERT INTO contact (id, account, marketing_source_type) VALUES (8, 'a', 'form_submission'), (9, 'a', 'api');
SET mktcontacts.clock = '2026-03-11 12:00+00';
SELECT changed FROM mkt.set_non_marketing('contact', ARRAY[2, 3], source_type => 'user', source_name => 'bob');
UPDATE contact SET account = 'b' WHERE id = 3;
SET mktcontacts.clock = '2026-03-12 12:00+00';

CREATE VIEW explained AS
SELECT contact, account_of, state, counts, until::date, since::date, source_type, source_name, batch IS NOT NULL AS batch, explanation
FROM contact AS c, mkt.explain('contact', c.id) AS e
ORDER BY contact;

-- Marketing, pending, pending and moved, unsubscribed, bounced, without an account, never marketing, by a form, by the API.
SELECT contact, account_of, state, counts, until, since FROM explained;
SELECT contact, source_type, source_name, batch FROM explained;
SELECT explanation FROM explained;
SELECT DISTINCT ON (may_use) may_use, may_not_use FROM contact AS c, mkt.explain('contact', c.id) ORDER BY may_use, may_not_use;

-- Its update date passes, before and after that is applied; it is set again; its account's dates change.
SET mktcontacts.clock = '2026-04-02 12:00+00';
SELECT state, counts, until, since, source_name FROM mkt.explain('contact', 2);
CALL mkt.apply_updates();
SELECT state, counts, until, since, source_name FROM mkt.explain('contact', 2);
UPDATE contact SET marketing_status = 'marketing' WHERE id = 2;
SELECT explanation FROM mkt.explain('contact', 2);
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 1;
INSERT INTO mkt.account (account, commitment, started_on) VALUES ('a', 'monthly', '2026-01-15');
SELECT state, until, since FROM mkt.explain('contact', 1);

-- A key that is used again: what it was before is not what it is.
DELETE FROM contact WHERE id = 8;
INSERT INTO contact (id, account) VALUES (8, 'a');
SELECT state, since, source_type, explanation FROM mkt.explain('contact', 8);

-- Without a history the row itself says who.
SELECT mkt.set_history('contact', false);
UPDATE contact SET marketing_status = 'marketing', marketing_source_type = 'user', marketing_source_name = 'eve' WHERE id = 7;
SELECT state, since, source_type, source_name, explanation FROM mkt.explain('contact', 7);

-- For whom, and what not.
SET ROLE explaining_reader;
SELECT state FROM mkt.explain('contact', 1);
SELECT state FROM mkt.explain('contact', 99);
RESET ROLE;
SET ROLE explaining_nobody;
SELECT state FROM mkt.explain('contact', 1);
RESET ROLE;
SELECT state FROM mkt.explain('contact', NULL::text);

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DELETE FROM mkt.account WHERE account = 'a';
DROP SCHEMA explaining CASCADE;
DROP ROLE explaining_reader, explaining_nobody;
