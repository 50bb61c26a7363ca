-- Who writes contacts writes history, and needs no other right; who may read, forget, take back and switch off what; and
-- nobody's function, cast or operator runs with the rights of the extension's owner.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE ROLE mkt_owner;
CREATE ROLE mkt_writer;
CREATE ROLE mkt_reader;
CREATE SCHEMA secrets AUTHORIZATION mkt_owner;
GRANT USAGE ON SCHEMA secrets TO PUBLIC;
GRANT EXECUTE ON FUNCTION mkt.attach TO mkt_owner;
SET search_path = secrets;
SET ROLE mkt_owner;
CREATE TABLE contact (id integer PRIMARY KEY, account text, secret text);
SELECT mkt.attach('contact', account_column => 'account');
GRANT SELECT, INSERT, UPDATE ON contact TO mkt_writer;
GRANT SELECT (id) ON contact TO mkt_reader;
CREATE FUNCTION try(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE command;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLERRM;
END $$;
RESET ROLE;

-- A writer without any right in mkt, with a tool, a name and a batch; the history says who it was.
SET ROLE mkt_writer;
SET mktcontacts.source_type = 'form_submission';
SET mktcontacts.batch = 'writer';
INSERT INTO contact (id, account) VALUES (1, 'a'), (2, 'a');
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 1;
SELECT changed FROM mkt.set_non_marketing('contact', ARRAY[2]);
SELECT changed, already FROM mkt.record_activity('contact', ARRAY[1, 2], 'form_submission');
RESET mktcontacts.batch;
RESET mktcontacts.source_type;
SELECT change, role FROM mkt.history('contact', 1);
SELECT mkt.status_at('contact', 1), mkt.billable('a', mkt.now()), mkt.created_as('a', 'api'), mkt.promotes('a', 'api');
RESET ROLE;
SELECT label, set_by, changed FROM mkt.batch WHERE contacts = 'contact'::regclass ORDER BY batch;
SELECT batch FROM mkt.batch WHERE label = 'writer' \gset
-- The role of a SECURITY DEFINER function is not who it was.
SET ROLE mkt_owner;
CREATE FUNCTION up(key integer) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = secrets AS $$
    UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id = key;
$$;
SET ROLE mkt_reader;
SELECT up(1);
RESET ROLE;
SELECT change, role FROM mkt.history('contact', 1) OFFSET 2;

-- Each call by each role. Reading one column is enough to know a contact's history, and nothing less.
SELECT r.role, replace(command, format('undo(%s)', :batch), 'undo(n)') AS command, (SELECT try(command) FROM set_config('role', r.role, true)) AS outcome
FROM unnest(ARRAY['mkt_owner', 'mkt_writer', 'mkt_reader']) AS r (role), unnest(ARRAY[
    'SELECT * FROM mkt.history(''contact'', 1)', 'SELECT mkt.status_at(''contact'', 1)', 'SELECT mkt.forget(''contact'', 99)',
    'SELECT mkt.set_history(''contact'')', format('SELECT mkt.undo(%s)', :batch),
    'SELECT mkt.record_activity(''contact'', ARRAY[1], ''api'')', 'SELECT mkt.created_as(''a'', ''api'')', 'SELECT * FROM mkt.tool',
    'SELECT * FROM mkt.tool_setting', 'INSERT INTO mkt.tool_setting VALUES (''a'', ''api'', NULL, ''marketing'')', 'UPDATE mkt.tool SET created_as = ''marketing''', 'DELETE FROM mkt.tool',
    'SELECT * FROM mkt.batch', 'SELECT * FROM mkt.batch_report', 'SELECT * FROM mkt.secrets_contact_history', 'DELETE FROM mkt.secrets_contact_history', 'SELECT * FROM mkt.secrets_contact_history_rest',
    'SELECT * FROM mkt.contact_count_history', 'SELECT nextval(''mkt.batch_number'')', 'SELECT mkt.shipped_again()', 'SELECT mkt.tool_changed()']) AS command
ORDER BY 2, 1;
REVOKE SELECT (id) ON contact FROM mkt_reader;
SET ROLE mkt_reader;
SELECT * FROM mkt.history('contact', 1);
SELECT mkt.status_at('contact', 1);
SELECT mkt.billable('a', mkt.now());
RESET ROLE;
GRANT DELETE ON contact TO mkt_writer;
SET ROLE mkt_writer;
SELECT mkt.forget('contact', 1);
SELECT count(*) FROM mkt.history('contact', 1);
RESET ROLE;

-- An administrator may let others look after tools.
GRANT SELECT, INSERT, UPDATE, DELETE ON mkt.tool_setting TO mkt_writer;
SET ROLE mkt_writer;
INSERT INTO mkt.tool_setting VALUES ('a', 'api', NULL, 'marketing');
INSERT INTO mkt.tool_setting VALUES ('a', 'sample', NULL, 'marketing');
INSERT INTO contact (id, account, marketing_source_type) VALUES (3, 'a', 'api') RETURNING marketing_status;
DELETE FROM mkt.tool_setting;
RESET ROLE;
REVOKE ALL ON mkt.tool_setting FROM mkt_writer;

-- Row-level security: of whom one does not see, one learns nothing, neither what he was in another account nor who had his key before.
SET ROLE mkt_owner;
INSERT INTO contact (id, account, marketing_status) VALUES (10, 'hidden', 'marketing'), (11, 'hidden', 'marketing'), (12, 'b', 'marketing'), (13, 'hidden', 'marketing'), (14, 'b', NULL), (15, 'b', 'marketing');
DELETE FROM contact WHERE id = 11;
INSERT INTO contact (id, account, marketing_status) VALUES (11, 'b', 'marketing');
UPDATE contact SET account = 'b' WHERE id = 13;
UPDATE contact SET account = 'hidden' WHERE id = 15;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id IN (11, 13);
CREATE POLICY own ON contact TO mkt_writer USING (account = 'b');
ALTER TABLE contact ENABLE ROW LEVEL SECURITY;
SET ROLE mkt_writer;
SELECT key, count(change), string_agg(change || ' ' || account_after, ', ') AS told, mkt.status_at('contact', key), mkt.status_at('contact', key, '2026-03-10 12:00')
FROM generate_series(10, 15) AS key LEFT JOIN mkt.history('contact', key) ON true GROUP BY key ORDER BY key;
SELECT mkt.forget('contact', 12);
SELECT mkt.billable('hidden', mkt.now()), mkt.billable('b', mkt.now());
RESET ROLE;
SELECT key, count(*), string_agg(change || ' ' || account_after, ', ') AS told FROM generate_series(10, 15) AS key, mkt.history('contact', key) GROUP BY key ORDER BY key;
-- Taking back reaches whom one sees.
SET mktcontacts.batch = 'all';
UPDATE contact SET marketing_status = 'non_marketing' WHERE id IN (10, 12, 15);
RESET mktcontacts.batch;
SELECT batch FROM mkt.batch WHERE label = 'all' \gset
SET ROLE mkt_writer;
SELECT restored, gone FROM mkt.undo(:batch);
RESET ROLE;
SELECT restored, changed_since, gone FROM mkt.undo(:batch);
SET ROLE mkt_owner;
ALTER TABLE contact FORCE ROW LEVEL SECURITY;
SELECT mkt.forget('contact', 12) > 0 AS forgotten;
SELECT count(*) FROM mkt.history('contact', 10);
INSERT INTO contact (id, account, marketing_status) VALUES (16, 'b', 'marketing');
RESET ROLE;
ALTER TABLE contact NO FORCE ROW LEVEL SECURITY;

-- Types, casts, operators and functions of the owner's own: none is called by anybody with more rights than his.
GRANT CREATE ON SCHEMA secrets TO mkt_writer;
SET ROLE mkt_writer;
CREATE FUNCTION evil() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'evil, as %', current_user; RETURN 'north'; END $$;
CREATE TYPE region AS ENUM ('north', 'south');
CREATE FUNCTION as_text(region) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN evil(); END $$;
CREATE CAST (region AS text) WITH FUNCTION as_text(region);
CREATE FUNCTION checked(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'checked, as %', current_user; RETURN true; END $$;
CREATE DOMAIN code AS text CHECK (checked(VALUE));
CREATE FUNCTION now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM evil(); RETURN 'epoch'; END $$;
RESET ROLE;
GRANT EXECUTE ON FUNCTION mkt.attach TO mkt_writer;
SET ROLE mkt_writer;
SET client_min_messages = error;
CREATE TABLE trap (id region PRIMARY KEY, account region);
CREATE TABLE trap2 (id integer, code code, account code, PRIMARY KEY (id, code));
SELECT mkt.attach(t, account_column => 'account') FROM unnest(ARRAY['trap', 'trap2']::regclass[]) AS t;
CREATE FUNCTION equal(region, region) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN evil() IS NOT NULL; END $$;
CREATE OPERATOR = (LEFTARG = region, RIGHTARG = region, FUNCTION = equal);
INSERT INTO trap VALUES ('north', 'north', 'marketing'), ('south', 'north', 'marketing');
INSERT INTO trap2 VALUES (1, 'x', 'north', 'marketing');
RESET ROLE;
SET client_min_messages = warning;
SET search_path = secrets, pg_catalog;
SET mktcontacts.batch = 'trap';
UPDATE secrets.trap SET marketing_status = 'non_marketing';
UPDATE secrets.trap2 SET marketing_status = 'non_marketing';
RESET mktcontacts.batch;
SELECT batch FROM mkt.batch WHERE label = 'trap' AND contacts = 'secrets.trap'::regclass \gset
CREATE FUNCTION pg_temp.call(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE command;
    RETURN 'done';
END $$;
-- What runs here with a superuser's rights has been called by the superuser himself, with his own command.
SELECT replace(command, format('undo(%s)', :batch), 'undo(n)') AS command, pg_temp.call(command) FROM unnest(ARRAY[
    'SELECT * FROM mkt.history(''trap'', ''north''::text)', 'SELECT mkt.status_at(''trap'', ''north''::text, mkt.now())',
    'SELECT * FROM mkt.history(''trap2'', ''{1,x}''::text)', 'SELECT mkt.forget(''trap'', ''south''::text)', 'SELECT mkt.forget(''trap2'', ''{1,x}''::text)']) AS command;
SET ROLE mkt_writer;
SELECT replace(command, format('undo(%s)', :batch), 'undo(n)') AS command, pg_temp.call(command) FROM unnest(ARRAY[
    'SELECT * FROM mkt.history(''trap'', ''north''::text)', 'SELECT * FROM mkt.history(''trap'', ''north''::text, account => ''north'')',
    'SELECT mkt.status_at(''trap'', ''north''::text, mkt.now())', 'SELECT * FROM mkt.history(''trap2'', ''{1,x}''::text)', 'SELECT mkt.forget(''trap2'', ''{1,x}''::text)',
    'SELECT mkt.record_activity(''trap'', ARRAY[''north''::secrets.region], ''form_submission'')',
    'UPDATE secrets.trap SET account = ''south''', format('SELECT mkt.undo(%s)', :batch), 'SELECT mkt.billable(''north'', mkt.now())']) AS command;
RESET ROLE;

-- So for a contact without an account, and in a table that belongs to one account as a whole.
CREATE TABLE secrets.guest (id integer PRIMARY KEY, hidden boolean DEFAULT false);
SELECT mkt.attach('secrets.guest', account => 'g');
CREATE TABLE secrets.stray (id integer PRIMARY KEY, account text);
SELECT mkt.attach('secrets.stray', account_column => 'account');
INSERT INTO secrets.guest (id, hidden, marketing_status) VALUES (1, false, 'marketing'), (2, true, 'marketing');
INSERT INTO secrets.stray (id, account, marketing_status) VALUES (1, NULL, 'marketing'), (2, 'a', 'marketing');
UPDATE secrets.stray SET account = NULL WHERE id = 2;
GRANT SELECT ON secrets.guest, secrets.stray TO mkt_reader;
CREATE POLICY seen ON secrets.guest TO mkt_reader USING (NOT hidden);
CREATE POLICY seen ON secrets.stray TO mkt_reader USING (account IS NULL);
ALTER TABLE secrets.guest ENABLE ROW LEVEL SECURITY;
ALTER TABLE secrets.stray ENABLE ROW LEVEL SECURITY;
SET ROLE mkt_reader;
SELECT id, (SELECT string_agg(change, ', ') FROM mkt.history('secrets.guest', id)) AS guest, (SELECT string_agg(change, ', ') FROM mkt.history('secrets.stray', id)) AS stray,
       mkt.status_at('secrets.guest', id), mkt.status_at('secrets.stray', id) FROM generate_series(1, 3) AS id;
RESET ROLE;

SET mktcontacts.clock = '2026-05-10 12:00+00';
CALL mkt.run();
SET client_min_messages = error;
RESET search_path;
SELECT * FROM mkt.verify();
DELETE FROM mkt.batch_report;
DROP OWNED BY mkt_writer, mkt_reader CASCADE;
DROP SCHEMA secrets CASCADE;
DROP OWNED BY mkt_owner;
DROP ROLE mkt_owner, mkt_writer, mkt_reader;
