-- An attached table can be renamed, moved and altered like any other, and everything works on.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA before;
SET search_path = before;
CREATE TABLE contact (id integer PRIMARY KEY, account text, note text, score integer);
CREATE TABLE parted (note text, account text, id integer PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE part (id integer NOT NULL, note text, account text);
ALTER TABLE parted ATTACH PARTITION part DEFAULT;
SELECT mkt.attach('contact', account_column => 'account', already_marketing => 'score > 0');
SELECT mkt.attach('parted', account_column => 'account');

-- Every way to write and to ask, with the names that the table has by now.
CREATE FUNCTION pg_temp.use(contacts text, id text, account text, status text, flag text, until text, OUT report text, OUT apply text, OUT differences bigint)
LANGUAGE plpgsql AS $$
DECLARE names text[] := ARRAY[id, account, status, flag, until];
BEGIN
    PERFORM set_config('mktcontacts.clock', '2026-03-10 12:00+00', false);
    EXECUTE format('DELETE FROM %s', contacts);
    EXECUTE format('INSERT INTO %s (%I, %I, %I, %I) VALUES (1, ''a'', ''marketing'', false), (2, ''a'', ''marketing'', true), (3, ''b'', NULL, NULL)',
                   contacts, id, account, status, flag);
    EXECUTE format('UPDATE %s SET %I = ''marketing'' WHERE %I = 3', contacts, status, id);
    EXECUTE format('UPDATE %s SET %I = 4, %I = ''a'' WHERE %I = 3', contacts, id, account, id);
    SELECT concat_ws(' ', mkt.billable('a'), mkt.billable('a', '2026-04-01'), changed, already, pending, not_found) INTO report
    FROM mkt.set_non_marketing(contacts::regclass, ARRAY[1, 2, 3], account => 'a');
    INSERT INTO mkt.account (account, commitment, started_on) VALUES ('a', 'monthly', '2025-01-12');
    PERFORM set_config('mktcontacts.clock', '2026-03-12 00:00+00', false);
    CALL mkt.apply_updates();
    EXECUTE format('SELECT string_agg(concat_ws('' '', %I, %I, %I, %I, %I), '', '' ORDER BY %I) FROM %s', id, account, status, flag, until, id, contacts) INTO apply;
    DELETE FROM mkt.account;
    SELECT count(*) INTO differences FROM mkt.verify();
END $$;
SELECT * FROM pg_temp.use('contact', 'id', 'account', 'marketing_status', 'marketing_until_next_update', 'marketing_until');

-- The table, its schema, every column of it that matters, and a type.
ALTER TABLE contact RENAME TO "Kontakt";
ALTER TABLE parted RENAME TO whole;
ALTER SCHEMA before RENAME TO "After";
SET search_path = "After";
ALTER TABLE "Kontakt" RENAME id TO "Key";
ALTER TABLE "Kontakt" RENAME account TO "Firm";
ALTER TABLE "Kontakt" RENAME marketing_status TO "Status";
ALTER TABLE "Kontakt" RENAME marketing_until_next_update TO "until next update";
ALTER TABLE "Kontakt" RENAME marketing_until TO until;
ALTER TABLE "Kontakt" RENAME marketing_source_type TO tool;
ALTER TABLE "Kontakt" RENAME marketing_source_name TO "tool's name";
ALTER TABLE whole RENAME account TO firm;
ALTER TABLE whole RENAME marketing_until TO until;
SELECT * FROM pg_temp.use('"Kontakt"', 'Key', 'Firm', 'Status', 'until next update', 'until');
SELECT * FROM pg_temp.use('whole', 'id', 'firm', 'marketing_status', 'marketing_until_next_update', 'until');
SELECT changed FROM mkt.set_marketing('"Kontakt"', ARRAY[1], source_type => 'user', source_name => 'ann');
SELECT "Key", "Status", tool, "tool's name" FROM "Kontakt" ORDER BY 1;
SELECT mkt.attach('"Kontakt"', account_column => 'Firm');

-- Another schema, another owner.
CREATE SCHEMA third;
ALTER TABLE "Kontakt" SET SCHEMA third;
CREATE ROLE mkt_owner;
GRANT USAGE ON SCHEMA third TO mkt_owner;
ALTER TABLE third."Kontakt" OWNER TO mkt_owner;
SELECT * FROM pg_temp.use('third."Kontakt"', 'Key', 'Firm', 'Status', 'until next update', 'until');

-- Columns that come, go and change their type, also with a rewrite; new statistics and a new file for the table.
ALTER TABLE third."Kontakt" ADD COLUMN born date, DROP COLUMN note, ALTER COLUMN score TYPE bigint, ADD COLUMN random float DEFAULT random();
ALTER TABLE third."Kontakt" ALTER COLUMN score TYPE text;
VACUUM FULL third."Kontakt";
CLUSTER third."Kontakt" USING contact_pkey;
SELECT * FROM pg_temp.use('third."Kontakt"', 'Key', 'Firm', 'Status', 'until next update', 'until');
ALTER TABLE third."Kontakt" SET UNLOGGED;
ALTER TABLE third."Kontakt" SET LOGGED;
SELECT * FROM pg_temp.use('third."Kontakt"', 'Key', 'Firm', 'Status', 'until next update', 'until');
-- The columns that triggers need stay as they are until the table is detached.
\set VERBOSITY terse
ALTER TABLE third."Kontakt" ALTER COLUMN "Key" TYPE bigint;
ALTER TABLE third."Kontakt" ALTER COLUMN "Firm" TYPE varchar(5);
ALTER TABLE third."Kontakt" ALTER COLUMN until TYPE date;
ALTER TABLE third."Kontakt" DROP COLUMN "Status";
SELECT * FROM mkt.verify();

-- Detached by its new name, with the columns under theirs.
SELECT mkt.detach('third."Kontakt"', drop_columns => true);
SELECT array_agg(attname ORDER BY attnum) AS columns FROM pg_attribute WHERE attrelid = 'third."Kontakt"'::regclass AND attnum > 0 AND NOT attisdropped;

-- A copy of the table is a table of its own, which nobody counts.
INSERT INTO whole (id, firm, marketing_status) VALUES (11, 'a', 'marketing') ON CONFLICT DO NOTHING;
CREATE TABLE copied (LIKE whole INCLUDING ALL);
INSERT INTO copied SELECT * FROM whole;
UPDATE copied SET firm = 'b';
CREATE TABLE copied_too AS TABLE whole;
SELECT mkt.billable('b');

-- An unlogged table, with unlogged counts.
CREATE UNLOGGED TABLE quick (id integer PRIMARY KEY, account text);
SELECT mkt.attach('quick', account_column => 'account');
SELECT * FROM pg_temp.use('quick', 'id', 'account', 'marketing_status', 'marketing_until_next_update', 'marketing_until');
SELECT c.relpersistence, n.relpersistence FROM mkt.attachment JOIN pg_class AS c ON c.oid = contacts JOIN pg_class AS n ON n.oid = count_table
WHERE contacts = 'quick'::regclass;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA "After", third CASCADE;
DROP OWNED BY mkt_owner;
DROP ROLE mkt_owner;
