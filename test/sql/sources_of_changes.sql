-- Who a contact says it is from (T11, F2), after every kind of change; and tools that meet contacts again (F1).

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA sources;
SET search_path = sources;
CREATE TABLE contact (id integer PRIMARY KEY, account text, note text);
SELECT mkt.attach('contact', account_column => 'account');
CREATE FUNCTION three_contacts() RETURNS bigint LANGUAGE sql AS $$
    DELETE FROM contact;
    INSERT INTO contact (id, account, marketing_status, marketing_until_next_update, marketing_source_type, marketing_source_name)
    VALUES (1, 'a', 'non_marketing', false, 'first', 'one'), (2, 'a', 'marketing', false, 'first', 'two'), (3, 'a', 'marketing', true, 'first', 'three');
    SELECT count(*) FROM contact;
$$;
CREATE FUNCTION sources(OUT id integer, OUT state text, OUT type text, OUT name text) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT id, CASE WHEN marketing_until_next_update THEN 'P' WHEN marketing_status = 'marketing' THEN 'M' ELSE 'N' END,
           coalesce(marketing_source_type, '-'), coalesce(marketing_source_name, '-') FROM contact ORDER BY id;
$$;

-- N, M and P, by every request, without and with a tool of the session: a change of the state takes the tool or none,
-- anything else leaves what is there.
CREATE FUNCTION after(change text, tool text DEFAULT '', name text DEFAULT '', OUT "N" text, OUT "M" text, OUT "P" text) LANGUAGE plpgsql AS $$
DECLARE
    result text[];
BEGIN
    PERFORM three_contacts();
    PERFORM set_config('mktcontacts.source_type', tool, true), set_config('mktcontacts.source_name', name, true);
    EXECUTE 'UPDATE contact SET ' || change;
    SELECT array_agg(concat_ws(' ', s.state, s.type, s.name) ORDER BY s.id) INTO result FROM sources() AS s;
    "N" := result[1]; "M" := result[2]; "P" := result[3];
END $$;
CREATE VIEW change AS SELECT * FROM unnest(ARRAY[
    'note = ''x''', 'id = id + 10', 'account = ''b''', 'marketing_until = now()', 'marketing_status = marketing_status',
    'marketing_status = ''marketing''', 'marketing_status = ''non_marketing''', 'marketing_until_next_update = true', 'marketing_until_next_update = false',
    'marketing_status = ''marketing'', marketing_until_next_update = true', 'marketing_status = ''marketing'', marketing_until_next_update = false']) AS change;
SELECT change, a.* FROM change, after(change) AS a;
SELECT change, a.* FROM change, after(change, 'user', 'ann') AS a;
SELECT change, a.* FROM change, after(change, 'user') AS a OFFSET 5;
SELECT change, a.* FROM change, after(change, '', 'ann') AS a OFFSET 5;

-- What the statement sets wins over the session, also where it sets what is there already.
SELECT change, a.* FROM unnest(ARRAY[
    'marketing_source_type = ''api''', 'marketing_source_name = ''x''', 'marketing_source_type = NULL', 'marketing_source_type = ''api'', note = ''x''',
    'marketing_status = ''marketing'', marketing_until_next_update = false, marketing_source_type = ''api''',
    'marketing_status = ''marketing'', marketing_until_next_update = false, marketing_source_type = ''api'', marketing_source_name = ''crm''',
    'marketing_status = ''marketing'', marketing_until_next_update = false, marketing_source_name = ''crm''',
    'marketing_status = ''marketing'', marketing_until_next_update = false, marketing_source_type = NULL',
    'marketing_status = ''non_marketing'', marketing_source_type = ''first''', 'marketing_status = ''non_marketing'', marketing_source_type = ''first'', marketing_source_name = ''two''',
    'account = ''b'', marketing_source_type = ''api''']) AS change, after(change, 'user', 'ann') AS a;

-- A passed update date is nobody's doing: applied by the job the source stays, and so it does when something else brings it up to date.
SELECT three_contacts();
SET mktcontacts.clock = '2026-04-10 12:00+00';
SET mktcontacts.source_type = 'user';
CALL mkt.apply_updates();
SELECT * FROM sources();
SET mktcontacts.clock = '2026-03-10 12:00+00';
SELECT three_contacts();
SET mktcontacts.clock = '2026-04-10 12:00+00';
UPDATE contact SET marketing_until_next_update = false WHERE id = 3;
SELECT * FROM sources() WHERE id = 3;
SET mktcontacts.clock = '2026-03-10 12:00+00';
SELECT three_contacts();
SET mktcontacts.clock = '2026-04-10 12:00+00';
UPDATE contact SET marketing_status = 'marketing' WHERE id = 3;
SELECT * FROM sources() WHERE id = 3;
SET mktcontacts.clock = '2026-03-10 12:00+00';
SELECT three_contacts();
INSERT INTO mkt.account (account, commitment, started_on) VALUES ('a', 'monthly', '2025-01-15');
SELECT s.*, marketing_until FROM sources() AS s JOIN contact USING (id) WHERE id = 3;
DELETE FROM mkt.account;
RESET mktcontacts.source_type;

-- Calls: by the tool that they name, else by the session's.
SELECT three_contacts();
SELECT changed, already FROM mkt.set_marketing('contact', ARRAY[1, 2, 3], source_type => 'user', source_name => 'ann');
SELECT * FROM sources();
SELECT changed FROM mkt.set_non_marketing('contact', ARRAY[2]);
BEGIN;
SET LOCAL mktcontacts.source_type = 'workflow';
SET LOCAL mktcontacts.source_name = 'sunset';
SELECT changed FROM mkt.set_non_marketing('contact', ARRAY[3]);
COMMIT;
SELECT * FROM sources();
SELECT action, changed, source_type, source_name FROM mkt.batch WHERE contacts = 'contact'::regclass ORDER BY batch;

-- BEFORE triggers of the user's: what they set in the row, before ours or after it, stays.
CREATE FUNCTION by_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.marketing_source_type := 'trigger'; RETURN NEW; END $$;
CREATE TRIGGER a_source BEFORE UPDATE ON contact FOR EACH ROW EXECUTE FUNCTION by_trigger();
SELECT change, a.* FROM unnest(ARRAY['note = ''x''', 'marketing_status = ''non_marketing''', 'marketing_status = ''marketing'', marketing_until_next_update = false, marketing_source_name = ''crm''']) AS change, after(change, 'user', 'ann') AS a;
DROP TRIGGER a_source ON contact;
CREATE TRIGGER z_source BEFORE UPDATE ON contact FOR EACH ROW EXECUTE FUNCTION by_trigger();
SELECT change, a.* FROM unnest(ARRAY['note = ''x''', 'marketing_status = ''non_marketing''']) AS change, after(change, 'user', 'ann') AS a;
SELECT key, change, source_type, source_name FROM unnest(ARRAY[1, 2, 3]) AS key, mkt.history('contact', key) WHERE change LIKE 'set%' AND source_type = 'trigger' ORDER BY key, source_name NULLS FIRST;
DROP TRIGGER z_source ON contact;

-- A contact that goes to another partition is still the same contact.
CREATE TABLE parted (id integer, account text, PRIMARY KEY (account, id)) PARTITION BY LIST (account);
CREATE TABLE part_a PARTITION OF parted FOR VALUES IN ('a');
CREATE TABLE part_b PARTITION OF parted FOR VALUES IN ('b');
SELECT mkt.attach('parted', account_column => 'account');
INSERT INTO parted VALUES (1, 'a', 'marketing'), (2, 'a', 'marketing'), (3, 'a', NULL);
SET mktcontacts.source_type = 'user';
UPDATE parted SET account = 'b' WHERE id = 1;
UPDATE parted SET account = 'b', marketing_status = 'non_marketing' WHERE id = 2;
UPDATE parted SET account = 'b', marketing_status = 'marketing', marketing_source_type = 'api' WHERE id = 3;
RESET mktcontacts.source_type;
SELECT id, account, marketing_status, marketing_until_next_update AS flag, marketing_source_type FROM parted ORDER BY id;

-- Met again: who promotes, whom, and the report.
CREATE TABLE met (account text, id integer, PRIMARY KEY (account, id));
SELECT mkt.attach('met', account_column => 'account');
INSERT INTO mkt.tool_setting VALUES ('a', 'contact_import', 'fair', 'marketing'), ('b', 'form_submission', NULL, 'non_marketing'), ('a', 'api', NULL, 'marketing');
INSERT INTO met SELECT account, i, CASE WHEN i < 3 THEN 'non_marketing' ELSE 'marketing' END::mkt.status, i = 4 FROM unnest(ARRAY['a', 'b']) AS account, generate_series(1, 4) AS i;
CREATE FUNCTION meet(account text, tool text, name text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    SELECT concat_ws(' ', changed, already, pending, not_found, parked, kept) INTO result
    FROM mkt.record_activity('met', ARRAY[1, 2, 3, 4, 5], tool, name, account => meet.account);
    SELECT concat_ws(': ', result, string_agg(concat_ws(' ', m.account, id, marketing_source_type, marketing_source_name), ', ' ORDER BY m.account, id)) INTO result
    FROM met AS m WHERE marketing_source_type IS NOT NULL;
    RAISE 'back' USING ERRCODE = 'ZZZZZ';
EXCEPTION WHEN SQLSTATE 'ZZZZZ' THEN
    RETURN result;
END $$;
SELECT tool, meet('a', tool) AS a, meet('b', tool) AS b FROM mkt.tool ORDER BY tool;
SELECT meet('a', 'contact_import', 'fair'), meet('b', 'contact_import', 'fair'), meet('a', 'form_submission', 'newsletter'), meet('a', 'nobody knows'), meet('c', 'form_submission');
\set VERBOSITY default
SELECT * FROM mkt.record_activity('met', ARRAY[1], 'form_submission');
SELECT * FROM mkt.record_activity('met', ARRAY[1], NULL, account => 'a');
SELECT * FROM mkt.record_activity('met', ARRAY[1], NULL, 'name', account => 'a');
SELECT * FROM mkt.record_activity('met', NULL::integer[], 'form_submission', account => 'a');
SELECT * FROM mkt.record_activity('pg_class', ARRAY[1], 'form_submission');
\set VERBOSITY terse

-- A contact whose update date has passed is met as a non-marketing one; accounts of one table each by its own setting.
CREATE TABLE shared (id text PRIMARY KEY, account text);
SELECT mkt.attach('shared', account_column => 'account');
INSERT INTO shared VALUES ('x', 'a', 'marketing', true), ('y', 'b', 'non_marketing', false), ('z', 'c', 'non_marketing', false), ('null', NULL, 'non_marketing', false);
SET mktcontacts.clock = '2026-04-10 12:00+00';
SELECT changed, already, pending, not_found, kept FROM mkt.record_activity('shared', ARRAY['x', 'y', 'z', 'null', 'x', NULL], 'form_submission', 'web');
SELECT id, account, marketing_status, marketing_until_next_update AS flag, marketing_source_type, marketing_source_name FROM shared ORDER BY id;
SELECT changed, already, pending, not_found, kept FROM mkt.record_activity('shared', ARRAY['x', 'y', 'z', 'null'], 'form_submission', 'web');
SELECT action, changed, already, pending, not_found, source_type, source_name FROM mkt.batch WHERE contacts = 'shared'::regclass ORDER BY batch;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DELETE FROM mkt.tool_setting;
DROP SCHEMA sources CASCADE;
