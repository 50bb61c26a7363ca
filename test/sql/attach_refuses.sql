-- Every way to attach a table wrongly has an error of its own, and leaves the table as it was.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA refused;
SET search_path = refused;
CREATE TABLE contact (id integer PRIMARY KEY, account text, email text, other numeric, born date,
                      doubled integer GENERATED ALWAYS AS (id * 2) STORED UNIQUE);
INSERT INTO contact VALUES (1, 'a', 'x@y');
CREATE TABLE keyless (id integer, account text, deferred integer UNIQUE DEFERRABLE, "half Ü" integer);
CREATE UNIQUE INDEX ON keyless ("half Ü") WHERE "half Ü" > 0;
CREATE TABLE one_each (account text PRIMARY KEY, id integer UNIQUE);
CREATE TABLE by_day (day date PRIMARY KEY, account text);
CREATE TABLE taken (id integer PRIMARY KEY, account text, marketing_status text);
CREATE TABLE taken_too (id integer PRIMARY KEY, account text, marketing_until timestamp);
CREATE TABLE holed (id integer PRIMARY KEY, account text, marketing_status mkt.status);
INSERT INTO holed VALUES (1, 'a', NULL);
CREATE TABLE stale (id integer PRIMARY KEY, account text, marketing_status mkt.status, marketing_until_next_update boolean, marketing_until timestamptz);
INSERT INTO stale VALUES (1, 'a', 'marketing', false, '2026-04-01'), (2, 'a', 'marketing', false, NULL);
CREATE TABLE parent (id integer PRIMARY KEY, account text);
CREATE TABLE child () INHERITS (parent);
CREATE TABLE parted (id integer PRIMARY KEY, account text) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF parted DEFAULT;
CREATE VIEW seen AS SELECT * FROM contact;
CREATE MATERIALIZED VIEW kept AS SELECT * FROM contact;
CREATE SEQUENCE numbers;
CREATE TYPE pair AS (id integer, account text);
CREATE FOREIGN DATA WRAPPER far;
CREATE SERVER away FOREIGN DATA WRAPPER far;
CREATE FOREIGN TABLE abroad (id integer, account text) SERVER away;
CREATE TEMPORARY TABLE passing (id integer PRIMARY KEY, account text);

CREATE FUNCTION refusal(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE message text; detail text; hint text;
BEGIN
    EXECUTE command;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n  ', SQLSTATE || ' ' || regexp_replace(message, 'pg_temp_\d+', 'pg_temp'), nullif(detail, ''), nullif(hint, ''));
END $$;

CREATE VIEW catalogs AS
SELECT attrelid, attnum, attname::text, atttypid, attnotnull, atthasdef
FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid
WHERE relnamespace IN ('refused'::regnamespace, 'mkt'::regnamespace) AND relname <> 'before'
UNION ALL SELECT tgrelid, NULL, tgname, NULL, NULL, NULL FROM pg_trigger
UNION ALL SELECT conrelid, NULL, conname, NULL, NULL, NULL FROM pg_constraint;
CREATE TABLE before AS TABLE catalogs;
\pset format unaligned
\pset tuples_only

-- What is not a table of contacts.
SELECT refusal(format('SELECT mkt.attach(%L, account_column => ''account'')', name))
FROM unnest(ARRAY['seen', 'kept', 'abroad', 'numbers', 'pair', 'contact_pkey', 'passing', 'part', 'parent', 'child',
                  'pg_catalog.pg_class', 'mkt.account', 'no_such_table', '1']) AS name;
SELECT refusal('SELECT mkt.attach(NULL)');

-- Whose the contacts are.
SELECT refusal('SELECT mkt.attach(''contact'')');
SELECT refusal('SELECT mkt.attach(''contact'', account_column => ''account'', account => ''a'')');
SELECT refusal(format('SELECT mkt.attach(''contact'', account_column => %L)', name))
FROM unnest(ARRAY['acount', 'Account', 'ctid', 'other', 'born', 'doubled']) AS name;

-- By what they are told apart.
SELECT refusal('SELECT mkt.attach(''keyless'', account_column => ''account'')');
SELECT refusal('SELECT mkt.attach(''one_each'', account_column => ''account'')');
SELECT refusal('SELECT mkt.attach(''by_day'', account_column => ''account'')');
SELECT refusal(format('SELECT mkt.attach(''keyless'', account_column => ''account'', key_column => %L)', name))
FROM unnest(ARRAY['no', 'id', 'deferred', 'half Ü']) AS name;
SELECT refusal('SELECT mkt.attach(''contact'', account_column => ''account'', key_column => ''other'')');

-- Columns in the way.
SELECT refusal('SELECT mkt.attach(''taken'', account_column => ''account'')');
SELECT refusal('SELECT mkt.attach(''taken_too'', account_column => ''account'')');
SELECT refusal('SELECT mkt.attach(''holed'', account_column => ''account'')');
SELECT refusal('SELECT mkt.attach(''stale'', account_column => ''account'')');

-- Conditions that are none.
SELECT refusal(format('SELECT mkt.attach(''contact'', account_column => ''account'', already_marketing => %L)', condition))
FROM unnest(ARRAY['', 'emial = ''x''', 'email', 'id', 'true; DROP TABLE contact', 'true) OR (true', 'true WHERE true',
                  'email IN (SELECT email FROM contact', 'count(*) > 1', 'true, true', 'email = $1']) AS condition;
SELECT refusal('SELECT mkt.attach(''contact'', account_column => ''account'', unsubscribed => ''nonsense'')');
SELECT refusal('SELECT mkt.attach(''contact'', account_column => ''account'', bounced => ''nonsense'')');

-- Somebody else's table.
CREATE ROLE mkt_stranger;
GRANT USAGE ON SCHEMA refused TO mkt_stranger;
GRANT ALL ON contact TO mkt_stranger;
GRANT EXECUTE ON FUNCTION mkt.attach TO mkt_stranger;
SET ROLE mkt_stranger;
SELECT refusal('SELECT mkt.attach(''contact'', account_column => ''account'')');
SELECT refusal('SELECT mkt.detach(''contact'')');
RESET ROLE;
DROP OWNED BY mkt_stranger;
DROP ROLE mkt_stranger;

-- Detaching what is not attached.
SELECT refusal('SELECT mkt.detach(''contact'')');
SELECT refusal('SELECT mkt.detach(''seen'')');
SELECT refusal('SELECT mkt.detach(''1'')');

\pset format aligned
\pset tuples_only
SELECT count(*) AS changed FROM (TABLE before EXCEPT TABLE catalogs UNION ALL (TABLE catalogs EXCEPT TABLE before)) AS c;
SELECT * FROM contact;

-- None of these is refused: the one unique index that covers all, and a condition as wide as it likes.
CREATE UNIQUE INDEX ON keyless ("half Ü");
SELECT mkt.attach('keyless', account_column => 'account', key_column => 'half Ü');
SELECT mkt.attach('contact', account_column => 'account',
                  already_marketing => 'email IN (SELECT email FROM contact) /* those */ OR "contact".id = 3 -- or this',
                  unsubscribed => 'email IS NULL AND refused.contact.id > 0', bounced => 'false');
CALL mkt.run();
SELECT * FROM contact;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP TABLE passing;
DROP SCHEMA refused CASCADE;
DROP FOREIGN DATA WRAPPER far CASCADE;
