-- TRUNCATE empties the counts with the table; DROP forgets them.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA gone;
SET search_path = gone;
CREATE TABLE contact (id integer PRIMARY KEY, account text);
CREATE TABLE lead (id integer PRIMARY KEY, account text, contact integer REFERENCES contact);
CREATE TABLE parted (id integer PRIMARY KEY, account text) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF parted DEFAULT;
SELECT mkt.attach(t, account_column => 'account') FROM unnest(ARRAY['contact', 'lead', 'parted']::regclass[]) AS t;
CREATE FUNCTION fill() RETURNS void LANGUAGE sql AS $$
    INSERT INTO contact SELECT i, 'a', 'marketing', i = 1 FROM generate_series(1, 3) AS i ON CONFLICT DO NOTHING;
    INSERT INTO lead SELECT i, 'a', i, 'marketing' FROM generate_series(1, 3) AS i ON CONFLICT DO NOTHING;
    INSERT INTO parted SELECT i, 'a', 'marketing' FROM generate_series(1, 3) AS i ON CONFLICT DO NOTHING;
$$;
CREATE FUNCTION counts(OUT contacts bigint, OUT leads bigint, OUT parted bigint, OUT billable bigint, OUT total bigint, OUT differences bigint)
LANGUAGE plpgsql AS $$
BEGIN
    SELECT (SELECT count(*) FROM contact), (SELECT count(*) FROM lead), (SELECT count(*) FROM parted) INTO contacts, leads, parted;
    SELECT mkt.billable('a'), (SELECT u.total FROM mkt.usage AS u WHERE account = 'a' AND u.total > 0) INTO billable, total;
    SELECT count(*) FROM mkt.verify() INTO differences;
END $$;

SELECT fill();
SELECT * FROM counts();
TRUNCATE lead;
SELECT * FROM counts();
TRUNCATE contact CASCADE;
SELECT * FROM counts();
TRUNCATE parted, contact, lead RESTART IDENTITY;
SELECT * FROM counts();

-- In a transaction with changes before and after it, in savepoints that stay and that go.
SELECT fill();
BEGIN;
DELETE FROM part WHERE id = 1;
SAVEPOINT s;
INSERT INTO part VALUES (4, 'a', 'marketing');
TRUNCATE parted;
INSERT INTO part VALUES (5, 'a', 'marketing');
SELECT mkt.billable('a');
ROLLBACK TO s;
SELECT mkt.billable('a');
TRUNCATE parted;
INSERT INTO part VALUES (6, 'a', 'marketing');
SELECT mkt.billable('a');
RELEASE s;
TRUNCATE lead;
INSERT INTO contact VALUES (7, 'a', 'marketing');
COMMIT;
SELECT * FROM counts();
BEGIN;
TRUNCATE contact, lead, parted;
ROLLBACK;
SELECT * FROM counts();

-- Dropped, alone, with its schema, with its owner, with a parent table; the counts' table goes along.
BEGIN;
DROP TABLE lead;
SELECT contacts, mkt.billable('a') FROM mkt.attachment ORDER BY contacts::text;
ROLLBACK;
SELECT * FROM counts();
BEGIN;
INSERT INTO part VALUES (8, 'a', 'marketing');
DROP TABLE parted CASCADE;
COMMIT;
SELECT contacts, mkt.billable('a') FROM mkt.attachment ORDER BY contacts::text;
CREATE SCHEMA other;
CREATE TABLE other.contact (id integer PRIMARY KEY);
SELECT mkt.attach('other.contact', account => 'a');
INSERT INTO other.contact VALUES (1, 'marketing');
SELECT mkt.billable('a');
DROP SCHEMA other CASCADE;
CREATE ROLE mkt_owner;
GRANT USAGE, CREATE ON SCHEMA gone TO mkt_owner;
GRANT EXECUTE ON FUNCTION mkt.attach TO mkt_owner;
SET ROLE mkt_owner;
CREATE TABLE his (id integer PRIMARY KEY);
SELECT mkt.attach('his', account => 'a');
INSERT INTO his VALUES (1, 'marketing');
DROP TABLE his;
CREATE TABLE his (id integer PRIMARY KEY);
SELECT mkt.attach('his', account => 'b');
RESET ROLE;
SELECT contacts, mkt.billable('a') FROM mkt.attachment ORDER BY contacts::text;
SET client_min_messages = warning;
DROP OWNED BY mkt_owner CASCADE;
DROP ROLE mkt_owner;
RESET client_min_messages;
SELECT contacts FROM mkt.attachment ORDER BY contacts::text;

-- Dropping something else costs nobody his counts.
CREATE TABLE nothing ();
DROP TABLE nothing;
ALTER TABLE lead DROP COLUMN contact;
SELECT contacts, mkt.billable('a') FROM mkt.attachment ORDER BY contacts::text;

-- The extension cannot go while a table is attached, and takes everything along when it must.
\set VERBOSITY terse
DROP EXTENSION mktcontacts;
BEGIN;
SET LOCAL client_min_messages = warning;
DROP EXTENSION mktcontacts CASCADE;
SELECT id, account FROM contact ORDER BY id;
UPDATE contact SET account = 'b';
SELECT count(*) AS left_over FROM pg_class WHERE relnamespace = to_regnamespace('mkt');
ROLLBACK;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA gone CASCADE;
