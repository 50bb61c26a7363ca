-- Workflows act with the rights of the role that owns them, and never with more (K5).
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS mktcontacts;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET mktcontacts.clock = '2026-03-17 09:00+00';
CREATE ROLE test_wf_owner;
CREATE ROLE test_wf_maker;
CREATE ROLE test_wf_other;
CREATE SCHEMA test_wf AUTHORIZATION test_wf_owner;
GRANT USAGE ON SCHEMA test_wf TO PUBLIC;
SET search_path = test_wf;
SET ROLE test_wf_owner;
CREATE TABLE contact (id integer PRIMARY KEY, account text, city text);
CREATE TABLE secret (id integer);
RESET ROLE;
SELECT mkt.attach('contact', account_column => 'account');
SET ROLE test_wf_owner;
INSERT INTO contact SELECT i, 'wf', 'Oslo' FROM generate_series(1, 6) AS i;
GRANT SELECT ON contact TO test_wf_maker;
RESET ROLE;
CREATE SCHEMA test_wf_maker AUTHORIZATION test_wf_maker;
CREATE FUNCTION number(text) RETURNS bigint LANGUAGE SQL SECURITY DEFINER RETURN (SELECT workflow FROM mkt.workflow WHERE account = 'wf' AND name = $1);
CREATE VIEW failure AS SELECT w.name, w.failures, w.state, (SELECT a.sqlstate || ' ' || a.reason FROM mkt.workflow_attempt AS a WHERE a.workflow = w.workflow AND a.contacts = 0 ORDER BY a.ctid DESC LIMIT 1) AS last
FROM mkt.workflow AS w WHERE account = 'wf' ORDER BY w.workflow;

-- who may create one: who may read and update the contacts
SET ROLE test_wf_maker;
SELECT mkt.create_workflow('contact', 'wf', 'mine', 'marketing', condition => 'true');
SET ROLE test_wf_owner;
GRANT UPDATE ON contact TO test_wf_maker;
SET ROLE test_wf_maker;
SELECT mkt.create_workflow('contact', 'wf', 'mine', 'marketing', condition => 'EXISTS (SELECT FROM secret)');
SELECT mkt.create_workflow('contact', 'wf', 'mine', 'marketing', condition => 'id = 1') > 0 AS created;
CALL mkt.run();
-- who may change it: members of the role that made it
SET ROLE test_wf_other;
SELECT mkt.switch_on_workflow(number('mine'), true);
SELECT mkt.alter_workflow(number('mine'), condition => 'true');
SELECT mkt.drop_workflow(number('mine'));
RESET ROLE;
GRANT test_wf_maker TO test_wf_other;
SET ROLE test_wf_other;
SELECT mkt.switch_on_workflow(number('mine'), true);
RESET ROLE;
REVOKE test_wf_maker FROM test_wf_other;
-- it runs by its owner's rights, and history and the batch name the owner
CALL mkt.run();
SELECT change, role FROM mkt.history('contact', 1);
SELECT action, set_by FROM mkt.batch WHERE contacts = 'contact'::regclass;
SELECT current_user = session_user AS still_me;

-- who may change it sees it, and what it did
SET ROLE test_wf_maker;
SELECT name, state, owner FROM mkt.workflow;
SELECT name, enrolled, changed FROM mkt.workflow_usage;
SELECT key, state FROM mkt.enrollment;
SELECT contacts, sqlstate FROM mkt.workflow_attempt;
UPDATE mkt.workflow_notice SET seen_at = mkt.now();
DELETE FROM mkt.workflow;
SET ROLE test_wf_other;
SELECT (SELECT count(*) FROM mkt.workflow) + (SELECT count(*) FROM mkt.workflow_usage) + (SELECT count(*) FROM mkt.enrollment) + (SELECT count(*) FROM mkt.workflow_attempt) AS seen;
RESET ROLE;

-- functions in a condition
SET ROLE test_wf_maker;
CREATE FUNCTION test_wf_maker.try(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN EXECUTE $1; RETURN true; END $$;
CREATE FUNCTION test_wf_maker.who() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '%', current_user; END $$;
SELECT mkt.create_workflow('contact', 'wf', a.name, 'marketing', condition => format('test_wf_maker.try(%L)', a.does)) > 0 AS created
FROM (VALUES ('reset role', 'RESET ROLE'), ('set role', 'SET ROLE test_wf_owner'), ('session', 'SET SESSION AUTHORIZATION test_wf_owner'),
	('config', 'SELECT set_config(''role'', ''test_wf_owner'', false)'),
	('temporary', 'CREATE TEMP TABLE pg_class (i integer)'), ('secret', 'TABLE test_wf.secret'), ('cursor', 'DECLARE c CURSOR WITH HOLD FOR SELECT 1'),
	('prepare', 'PREPARE p AS SELECT 1'), ('listen', 'LISTEN x'), ('extension', 'UPDATE mkt.workflow SET owner = ''postgres''')) AS a (name, does);
SELECT mkt.create_workflow('contact', 'wf', 'who', 'marketing', condition => 'test_wf_maker.who()') > 0 AS created;
RESET ROLE;
UPDATE mkt.workflow SET state = 'on' WHERE account = 'wf' AND name <> 'mine';
CALL mkt.run();
SELECT name, failures, state, last FROM failure;
DELETE FROM mkt.workflow WHERE account = 'wf' AND name <> 'mine';
-- what they set ends with them
SET ROLE test_wf_maker;
SELECT mkt.create_workflow('contact', 'wf', 'settings', 'marketing',
	condition => 'test_wf_maker.try(''SELECT set_config(n, v, false) FROM (VALUES (''''search_path'''', ''''test_wf_maker''''), (''''mktcontacts.batch'''', ''''theirs''''), (''''mktcontacts.source_type'''', ''''sales''''), (''''statement_timeout'''', ''''1ms''''), (''''mktcontacts.clock'''', ''''2030-01-01 00:00+00''''), (''''my.own'''', ''''x'''')) AS s (n, v)'')') > 0 AS created;
SELECT mkt.save_filter('contact', 'wf', 'settings', condition => 'test_wf_maker.try(''SELECT set_config(''''search_path'''', ''''test_wf_maker'''', false)'')');
RESET ROLE;
UPDATE mkt.workflow SET state = 'on' WHERE name = 'settings' AND account = 'wf';
CALL mkt.run();
SELECT n, current_setting(n, true) FROM unnest('{search_path,mktcontacts.batch,mktcontacts.source_type,statement_timeout,mktcontacts.clock,my.own}'::text[]) AS n;
SELECT count(*) FROM mkt.filter_keys('contact', 'wf', 'settings');
SHOW search_path;
SELECT mkt.drop_workflow(number('settings'));

-- nor a trigger of the table's, which runs as the workflow's owner
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('search_path', 'test_wf_maker', false); NEW.city := current_user; RETURN NEW; END $$;
CREATE TRIGGER look BEFORE UPDATE ON contact FOR EACH ROW EXECUTE FUNCTION look();
SELECT mkt.alter_workflow(number('mine'), condition => 'id <= 2');
CALL mkt.run();
SHOW search_path;
SELECT city FROM contact WHERE id = 2;
DROP TRIGGER look ON contact;
-- a deferred trigger cannot fire for another role
CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON contact DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.id = 3) EXECUTE FUNCTION look();
SELECT mkt.alter_workflow(number('mine'), condition => 'id <= 3');
CALL mkt.run();
SELECT key, state, attempts, reason FROM mkt.enrollment WHERE workflow = number('mine') ORDER BY key;
DROP TRIGGER later ON contact;

-- row-level security: of those that the owner does not see none is enrolled; those that it may not change wait, and are given up
SET ROLE test_wf_owner;
ALTER TABLE contact ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON contact FOR SELECT TO test_wf_maker USING (id < 6);
CREATE POLICY changed ON contact FOR UPDATE TO test_wf_maker USING (id <> 5);
RESET ROLE;
SELECT mkt.alter_workflow(number('mine'), condition => 'id >= 4');
CALL mkt.run();
SELECT key, state, attempts, reason FROM mkt.enrollment WHERE workflow = number('mine') AND key >= '4' ORDER BY key;
SELECT sqlstate, reason FROM mkt.workflow_attempt WHERE workflow = number('mine') AND key = '5';
SELECT id, marketing_status FROM contact WHERE id >= 4 ORDER BY id;
-- the table's owner, who is not above it
SET ROLE test_wf_owner;
ALTER TABLE contact FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON contact TO test_wf_owner USING (id = 6);
SELECT mkt.create_workflow('contact', 'wf', 'forced', 'non_marketing', condition => 'true') > 0 AS created;
SELECT mkt.switch_on_workflow(number('forced'), true);
RESET ROLE;
SET row_security = off;
CALL mkt.run();
RESET row_security;
SELECT key, state FROM mkt.enrollment WHERE workflow = number('forced');
SELECT mkt.drop_workflow(number('forced'));
ALTER TABLE contact NO FORCE ROW LEVEL SECURITY;
ALTER TABLE contact DISABLE ROW LEVEL SECURITY;

-- an owner that has lost its rights: it is held, before contacts are given up
REVOKE UPDATE ON contact FROM test_wf_maker;
INSERT INTO contact VALUES (7, 'wf');
CALL mkt.run();
CALL mkt.run();
CALL mkt.run();
CALL mkt.run();
CALL mkt.run();
SELECT name, state, held_because FROM mkt.workflow WHERE account = 'wf';
SELECT count(*) FROM mkt.enrollment WHERE state = 'failed' AND workflow = number('mine');
GRANT UPDATE ON contact TO test_wf_maker;
-- one that is renamed
ALTER ROLE test_wf_maker RENAME TO test_wf_renamed;
SELECT mkt.switch_on_workflow(number('mine'), true);
SELECT mkt.alter_workflow(number('mine'), condition => 'true');
UPDATE mkt.workflow SET state = 'on', evaluated_at = now(), took = '1 day' WHERE account = 'wf';
INSERT INTO mkt.enrollment (workflow, key, meets, state, enrolled_at, next_attempt_at) VALUES (number('mine'), '7', true, 'waiting', mkt.now(), mkt.now());
CALL mkt.run();
SELECT state, reason FROM mkt.enrollment WHERE workflow = number('mine') AND key = '7';
SELECT marketing_status FROM contact WHERE id = 7;
UPDATE mkt.workflow SET evaluated_at = NULL WHERE account = 'wf';
CALL mkt.run();
SELECT name, failures, state, last FROM failure;
SET ROLE test_wf_other;
SELECT mkt.drop_workflow(number('mine'));
RESET ROLE;
SELECT mkt.drop_workflow(number('mine'));
SELECT * FROM mkt.verify();
DROP SCHEMA test_wf CASCADE;
DROP SCHEMA test_wf_maker CASCADE;
DROP ROLE test_wf_owner, test_wf_renamed, test_wf_other;
