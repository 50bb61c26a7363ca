-- What mkt.account takes, and what a change of it does to pending contacts (D7, D8).

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA settings;
SET search_path = settings;

-- What it does not take.
INSERT INTO mkt.account (account) VALUES (NULL);
INSERT INTO mkt.account (account, edition) VALUES ('x', '');
INSERT INTO mkt.account (account, commitment) VALUES ('x', 'weekly');
INSERT INTO mkt.account (account, commitment) VALUES ('x', 'monthly');
INSERT INTO mkt.account (account, started_on) VALUES ('x', 'infinity'), ('y', '10000-01-01');
INSERT INTO mkt.account (account, started_on) VALUES ('x', '0001-12-31 BC');
TRUNCATE mkt.account CASCADE;
\echo :SQLSTATE
-- Time zones by their names in the IANA database, in any case; no abbreviations that PostgreSQL alone has, no formulas.
SELECT z AS zone, mkt.is_time_zone(z) FROM unnest(ARRAY['Europe/Oslo', 'europe/oslo', 'UTC', 'utc', 'GMT', 'Etc/GMT+5', 'America/Argentina/Buenos_Aires',
    'EST5EDT', '', ' ', 'CEST', 'UTC+2', '+02', 'Mars/Olympus', 'Europe', '../etc/passwd', 'UTC0', 'X1Y', '<+05>-5', 'right/UTC']) AS z;
INSERT INTO mkt.account (account, time_zone) VALUES ('x', 'Mars/Olympus');
SELECT count(*) FROM mkt.account;

CREATE TABLE contact (id integer PRIMARY KEY, account text, region integer);
CREATE TABLE lead (id integer PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE lead_1 PARTITION OF lead DEFAULT;
SELECT mkt.attach('contact', account_column => 'account');
SELECT mkt.attach('lead', account => 'a');
INSERT INTO contact (id, account, marketing_status, marketing_until_next_update)
SELECT i, CASE WHEN i <= 3 THEN 'a' ELSE 'b' END, CASE WHEN i % 3 > 0 THEN 'marketing'::mkt.status END, i % 3 = 2 FROM generate_series(1, 6) AS i;
INSERT INTO lead VALUES (1, 'marketing', true), (2, 'marketing', false);
CREATE VIEW pending AS
SELECT 'contact ' || id AS contact, account, marketing_until FROM contact WHERE marketing_until IS NOT NULL
UNION ALL SELECT 'lead ' || id, 'a', marketing_until FROM lead WHERE marketing_until IS NOT NULL
ORDER BY 1;
CREATE VIEW billable AS
SELECT a AS account, mkt.billable(a) AS now, mkt.billable(a, '2026-03-14 23:00') AS on_15_in_oslo, mkt.billable(a, '2026-03-15') AS on_15, mkt.billable(a, '2026-04-01') AS april,
       mkt.next_update(a), (SELECT count(*) FROM mkt.verify()) AS differences
FROM unnest(ARRAY['a', 'b']) AS a;
TABLE pending;

-- Settings that come, change and go take the account's pending contacts along, in every table.
INSERT INTO mkt.account (account, commitment, started_on) VALUES ('a', 'monthly', '2024-01-15');
TABLE pending;
TABLE billable;
UPDATE mkt.account SET time_zone = 'Europe/Oslo';
TABLE pending;
TABLE billable;
UPDATE mkt.account SET commitment = 'annual';
TABLE pending;
UPDATE mkt.account SET started_on = '2020-03-11', time_zone = 'UTC';
TABLE pending;
DELETE FROM mkt.account;
TABLE pending;

-- Never into the past, and the other way about: an instant that has passed stays passed.
SET mktcontacts.clock = '2026-04-01 00:00+00';
INSERT INTO mkt.account (account, commitment, started_on) VALUES ('a', 'monthly', '2026-03-20');
TABLE pending;
SELECT mkt.billable('a'), mkt.next_update('a');
DELETE FROM mkt.account;
SET mktcontacts.clock = '2026-03-10 12:00+00';

-- Settings that date nothing, or are what they were, touch no contact.
INSERT INTO mkt.account (account) VALUES ('a');
SELECT ctid FROM contact WHERE id = 2 \gset
UPDATE mkt.account SET edition = 'starter', commitment = 'annual', started_on = '2020-01-01';
SELECT ctid = :'ctid' AS untouched FROM contact WHERE id = 2;

-- An account that is renamed leaves its contacts, who are D8's now, and finds others.
UPDATE mkt.account SET account = 'b', commitment = 'monthly', started_on = '2024-01-15';
TABLE pending;
UPDATE contact SET account = 'a' WHERE account = 'b';
TABLE pending;
TABLE billable;

-- Within a transaction and in what is rolled back.
UPDATE contact SET account = 'b';
BEGIN;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 1;
SAVEPOINT s;
UPDATE mkt.account SET started_on = '2024-01-25';
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 4;
TABLE pending;
ROLLBACK TO s;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 4;
TABLE pending;
UPDATE mkt.account SET started_on = '2024-01-20';
INSERT INTO contact VALUES (7, 'b', NULL, 'marketing', true);
COMMIT;
TABLE pending;
SELECT * FROM mkt.verify();

-- Contacts that a statement on a partition has just made pending, outside the savepoint in which settings change.
BEGIN;
UPDATE lead_1 SET marketing_status = 'non_marketing';
SAVEPOINT s;
INSERT INTO mkt.account (account, commitment, started_on) VALUES ('a', 'monthly', '2024-01-15');
SELECT * FROM mkt.verify();
COMMIT;
SELECT id, marketing_until FROM lead ORDER BY id;
DELETE FROM mkt.account WHERE account = 'a';

-- Accounts of another type are named by their text.
CREATE TABLE numbered (id integer PRIMARY KEY, account_id integer);
SELECT mkt.attach('numbered', account_column => 'account_id');
INSERT INTO mkt.account (account, commitment, started_on) VALUES ('42', 'monthly', '2024-01-12'), ('042', 'monthly', '2024-01-13');
INSERT INTO numbered VALUES (1, 42, 'marketing', true);
SELECT account_id, marketing_until FROM numbered;
UPDATE mkt.account SET started_on = '2024-01-14' WHERE account = '42';
UPDATE mkt.account SET started_on = '2024-01-17' WHERE account = '042';
UPDATE mkt.account SET started_on = '2024-01-18' WHERE account = 'b';
SELECT account_id, marketing_until FROM numbered;

-- A user's trigger that keeps contacts as they are keeps their instants, too; the counts say what is stored.
CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER stay BEFORE UPDATE ON numbered FOR EACH ROW EXECUTE FUNCTION stay();
UPDATE mkt.account SET started_on = '2024-01-16' WHERE account = '42';
SELECT account_id, marketing_until FROM numbered;
SELECT mkt.billable('42', '2026-03-14');

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA settings CASCADE;
DELETE FROM mkt.account;
