-- Workflows (K1 to K7): what they enrol, what they do, and what becomes of it.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS mktcontacts;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET mktcontacts.clock = '2026-03-17 09:00+00';
CREATE SCHEMA test_workflows;
SET search_path = test_workflows;
CREATE TABLE contact (id integer PRIMARY KEY, account text, city text, seen_at timestamptz);
SELECT mkt.attach('contact', account_column => 'account');
INSERT INTO mkt.account (account, edition) VALUES ('wf', 'starter');
INSERT INTO contact SELECT i, 'wf', CASE WHEN i % 2 = 0 THEN 'Oslo' ELSE 'Rome' END, timestamptz '2026-03-01 00:00+00' - i * interval '10 days',
	CASE WHEN i <= 6 THEN 'marketing' ELSE 'non_marketing' END::mkt.status FROM generate_series(1, 12) AS i;
CREATE VIEW usage AS SELECT name, state, enrolled, changed, already, pending, parked, failed, unenrolled, waiting, retrying FROM mkt.workflow_usage WHERE account = 'wf' ORDER BY workflow;
CREATE VIEW attempt AS SELECT w.name, a.at, a.key, a.contacts AS n, a.sqlstate, a.reason FROM mkt.workflow_attempt AS a JOIN mkt.workflow AS w USING (workflow) ORDER BY a.at, w.workflow, a.key, a.contacts;
CREATE FUNCTION number(text) RETURNS bigint LANGUAGE SQL RETURN (SELECT workflow FROM mkt.workflow WHERE account = 'wf' AND name = $1);

-- K1: only editions that include workflows, and one of either kind of condition
SELECT mkt.create_workflow('contact', 'wf', 'lapsed', 'non_marketing', condition => 'true');
UPDATE mkt.account SET edition = 'professional' WHERE account = 'wf';
SELECT mkt.create_workflow('contact', 'wf', 'lapsed', 'non_marketing');
SELECT mkt.create_workflow('contact', 'wf', 'lapsed', 'non_marketing', filter => '{}', condition => 'true');
SELECT mkt.create_workflow('contact', 'wf', '', 'non_marketing', condition => 'true');
SELECT mkt.create_workflow('contact', 'wf', 'lapsed', NULL, condition => 'true');
SELECT mkt.create_workflow('contact', 'wf', 'lapsed', 'non_marketing', condition => 'nothing > 1');
SELECT mkt.create_workflow('contact', 'wf', 'lapsed', 'non_marketing', condition => 'true', limit_per_day => -1);
SELECT mkt.create_workflow('pg_class', 'wf', 'lapsed', 'non_marketing', condition => 'true');
SELECT mkt.create_workflow('contact', 'wf', 'lapsed', 'non_marketing',
	filter => '{"filterGroups": [{"filters": [{"propertyName": "seen_at", "operator": "LT", "value": "-90 days"}]}]}') > 0 AS created;
SELECT mkt.create_workflow('contact', 'wf', 'lapsed', 'marketing', condition => 'true');
SELECT mkt.create_workflow('contact', 'wf', 'oslo', 'marketing', condition => 'city = ''Oslo''') > 0 AS created;
SELECT name, set_to, filter IS NOT NULL AS filter, condition, state, reenroll FROM mkt.workflow WHERE account = 'wf' ORDER BY workflow;

-- K2: existing ones, or only those that come to meet it
SELECT mkt.switch_on_workflow(number('lapsed'), NULL);
SELECT mkt.switch_on_workflow(number('lapsed'), true), mkt.switch_on_workflow(number('oslo'), false);
CALL mkt.run();
TABLE usage;
SELECT c.id, c.marketing_status, c.marketing_until_next_update AS flag, c.marketing_source_type, c.marketing_source_name, e.state, e.batch IS NOT NULL AS batch
FROM contact AS c JOIN mkt.enrollment AS e ON e.key = c.id::text WHERE e.workflow = number('lapsed') ORDER BY id;
-- rows that change, rows that are new, and time that passes
UPDATE contact SET city = 'Oslo' WHERE id = 11;
INSERT INTO contact VALUES (13, 'wf', 'Oslo', '2026-03-01');
SET mktcontacts.clock = '2026-03-27 09:00+00';
CALL mkt.run();
TABLE usage;
SELECT id, marketing_status, marketing_source_name FROM contact WHERE id IN (2, 11, 13) ORDER BY id;
SELECT changed_at, change, source_type, source_name, role = current_user AS mine FROM mkt.history('contact', 13) ORDER BY changed_at DESC LIMIT 1;
SELECT action, changed, source_type, source_name FROM mkt.batch WHERE contacts = 'contact'::regclass ORDER BY batch;

-- a contact is enrolled once; passed over is not enrolled
UPDATE contact SET city = 'Rome', marketing_status = 'non_marketing' WHERE id IN (2, 13);
CALL mkt.run();
UPDATE contact SET city = 'Oslo' WHERE id IN (2, 13);
CALL mkt.run();
SELECT e.key, e.state, c.marketing_status, c.marketing_until_next_update AS flag FROM mkt.enrollment AS e JOIN contact AS c ON c.id::text = e.key
WHERE e.workflow = number('oslo') AND e.key IN ('2', '13', '4') ORDER BY c.id;
-- unless it may be again
SELECT mkt.alter_workflow(number('oslo'), reenroll => true);
UPDATE contact SET city = 'Rome' WHERE id = 13;
CALL mkt.run();
SET mktcontacts.clock = '2026-03-28 09:00+00';
UPDATE contact SET city = 'Oslo' WHERE id = 13;
CALL mkt.run();
SELECT key, state, enrolled_at FROM mkt.enrollment WHERE workflow = number('oslo') AND key = '13';
SELECT marketing_status, marketing_until_next_update AS flag FROM contact WHERE id = 13;
-- those that were passed over are enrolled when all are meant
SELECT mkt.switch_off_workflow(number('oslo'));
SELECT mkt.switch_on_workflow(number('oslo'), true) AS enrolled;
CALL mkt.run();
SELECT state, count(*) FROM mkt.enrollment WHERE workflow = number('oslo') GROUP BY state ORDER BY state;
-- to switch on for new ones takes nothing from what was done
SELECT mkt.switch_off_workflow(number('oslo'));
UPDATE contact SET city = 'Rome' WHERE id = 13;
CALL mkt.run();
SELECT mkt.switch_on_workflow(number('oslo'), false) AS passed_over;
SELECT mkt.switch_off_workflow(number('oslo'));
UPDATE contact SET city = 'Oslo' WHERE id = 13;
SELECT mkt.switch_on_workflow(number('oslo'), false) AS passed_over;
SELECT state FROM mkt.enrollment WHERE workflow = number('oslo') AND key = '13';

-- another condition, another name
SELECT mkt.alter_workflow(number('oslo'), name => 'lapsed');
SELECT mkt.alter_workflow(number('oslo'), filter => '{}', condition => 'true');
SELECT mkt.alter_workflow(number('oslo'), name => 'rome', condition => 'city = ''Rome'' AND id > 6');
CALL mkt.run();
SELECT key, state FROM mkt.enrollment WHERE workflow = number('rome') AND meets ORDER BY key::integer;

-- K3: deleted, moved to another account, parked by a maximum
SELECT mkt.switch_off_workflow(workflow) FROM mkt.workflow WHERE account = 'wf' ORDER BY workflow;
SELECT mkt.create_workflow('contact', 'wf', 'new', 'marketing', condition => 'id > 100') > 0 AS created;
SELECT mkt.switch_on_workflow(number('new'), true);
INSERT INTO contact SELECT i, 'wf', 'Bonn', '2026-03-20' FROM generate_series(101, 106) AS i;
UPDATE mkt.account SET actions_per_second = 0.01 WHERE account = 'wf';
CALL mkt.run();
SELECT key, state FROM mkt.enrollment WHERE workflow = number('new') ORDER BY key;
SELECT * FROM attempt WHERE name = 'new';
DELETE FROM contact WHERE id = 102;
UPDATE contact SET account = 'other' WHERE id = 103;
UPDATE mkt.account SET actions_per_second = NULL, at_maximum = 'park',
	maximum = (SELECT mkt.billable('wf') + 1) WHERE account = 'wf';
CALL mkt.run();
SELECT key, state FROM mkt.enrollment WHERE workflow = number('new') ORDER BY key;
SELECT key FROM mkt.parked WHERE contacts = 'contact'::regclass ORDER BY key;
SELECT account, marketing_status FROM contact WHERE id = 103;
-- one that is refused waits for places
UPDATE mkt.account SET at_maximum = 'refuse' WHERE account = 'wf';
INSERT INTO contact VALUES (107, 'wf', 'Bonn', '2026-03-20'), (108, 'wf', 'Bonn', '2026-03-20');
CALL mkt.run();
SELECT key, state, attempts, next_attempt_at, reason FROM mkt.enrollment WHERE workflow = number('new') AND key > '106' ORDER BY key;
SET mktcontacts.clock = '2026-03-28 09:01+00';
CALL mkt.run();
SELECT key, state, attempts, next_attempt_at FROM mkt.enrollment WHERE workflow = number('new') AND key > '106' ORDER BY key;
UPDATE mkt.account SET maximum = NULL WHERE account = 'wf';
SET mktcontacts.clock = '2026-03-28 09:03+00';
CALL mkt.run();
SELECT key, state, attempts, done_at FROM mkt.enrollment WHERE workflow = number('new') AND key > '106' ORDER BY key;

-- a trigger that raises for one contact keeps none of the others back; it waits longer each time, and is given up
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.city = 'Nowhere' THEN RAISE EXCEPTION 'contact % is nowhere', NEW.id USING ERRCODE = TG_ARGV[0]; END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE UPDATE OF marketing_status ON contact FOR EACH ROW EXECUTE FUNCTION refuse('P0001');
INSERT INTO contact SELECT i, 'wf', CASE WHEN i = 250 THEN 'Nowhere' ELSE 'Bonn' END, '2026-03-20' FROM generate_series(201, 300) AS i;
CALL mkt.run();
SELECT state, count(*) FROM mkt.enrollment WHERE workflow = number('new') AND key > '200' GROUP BY state ORDER BY state;
SELECT * FROM attempt WHERE key = '250';
SET mktcontacts.clock = '2026-03-28 09:04+00';
CALL mkt.run();
SELECT attempts, next_attempt_at FROM mkt.enrollment WHERE key = '250' AND workflow = number('new');
CALL mkt.run();
UPDATE mkt.enrollment SET attempts = 9, next_attempt_at = mkt.now() WHERE key = '250' AND workflow = number('new');
CALL mkt.run();
SELECT key, state, attempts, reason FROM mkt.enrollment WHERE workflow = number('new') AND key = '250';
-- what may pass is never given up
DROP TRIGGER refuse ON contact;
CREATE TRIGGER refuse BEFORE UPDATE OF marketing_status ON contact FOR EACH ROW EXECUTE FUNCTION refuse('40001');
INSERT INTO contact VALUES (301, 'wf', 'Nowhere', '2026-03-20');
CALL mkt.run();
UPDATE mkt.enrollment SET attempts = 99, next_attempt_at = mkt.now() WHERE key = '301' AND workflow = number('new');
CALL mkt.run();
SELECT key, state, attempts, next_attempt_at, reason FROM mkt.enrollment WHERE workflow = number('new') AND key = '301';
TABLE usage;

-- K7: a limit per day of the account, by which it is held, with a notice
UPDATE mkt.account SET time_zone = 'Asia/Tokyo' WHERE account = 'wf';
SET mktcontacts.clock = '2026-04-02 14:00+00';
SELECT mkt.switch_off_workflow(number('new'));
SELECT mkt.create_workflow('contact', 'wf', 'limited', 'marketing', condition => 'id > 400', limit_per_day => 3) > 0 AS created;
SELECT mkt.switch_on_workflow(number('limited'), true);
INSERT INTO contact SELECT i, 'wf', 'Bonn', '2026-03-20' FROM generate_series(401, 403) AS i;
CALL mkt.run();
SELECT state, day, changed_that_day FROM mkt.workflow WHERE workflow = number('limited');
-- after midnight in Tokyo three more
SET mktcontacts.clock = '2026-04-02 15:00+00';
INSERT INTO contact SELECT i, 'wf', 'Bonn', '2026-03-20' FROM generate_series(404, 408) AS i;
CALL mkt.run();
SELECT state, day, changed_that_day, held_because FROM mkt.workflow WHERE workflow = number('limited');
SELECT at, notice FROM mkt.workflow_notice WHERE workflow = number('limited');
SELECT item, state, to_type FROM mkt.status() WHERE item = 'workflows';
SET mktcontacts.clock = '2026-04-03 16:00+00';
-- held is held, also on another day
CALL mkt.run();
SELECT changed, waiting FROM mkt.workflow_usage WHERE name = 'limited';
SELECT mkt.switch_on_workflow(number('limited'), false);
CALL mkt.run();
SELECT state, changed, waiting FROM mkt.workflow_usage WHERE name = 'limited';
SELECT mkt.alter_workflow(number('limited'), limit_per_day => -1);
SELECT mkt.alter_workflow(number('limited'), limit_per_day => 0);
SELECT limit_per_day FROM mkt.workflow WHERE workflow = number('limited');

-- K1 again: another edition
UPDATE mkt.account SET edition = 'starter' WHERE account = 'wf';
CALL mkt.run();
SELECT name, state, held_because FROM mkt.workflow WHERE account = 'wf' AND state <> 'off';
SELECT mkt.switch_on_workflow(number('limited'), false);
UPDATE mkt.account SET edition = NULL WHERE account = 'wf';
SELECT mkt.switch_on_workflow(number('limited'), false);

-- K5: a condition that fails, five times in succession
SELECT mkt.create_workflow('contact', 'wf', 'broken', 'marketing', condition => '1 / (id - 1) > 0') > 0 AS created;
SELECT mkt.switch_on_workflow(number('broken'), true);
UPDATE mkt.workflow SET state = 'on' WHERE workflow = number('broken');
CALL mkt.run();
CALL mkt.run();
CALL mkt.run();
CALL mkt.run();
SELECT state, failures FROM mkt.workflow WHERE workflow = number('broken');
CALL mkt.run();
SELECT state, failures, held_because FROM mkt.workflow WHERE workflow = number('broken');
SELECT name, at, n, sqlstate, reason FROM attempt WHERE name = 'broken';
-- a condition that takes too long, and one that says it was cancelled
SELECT mkt.alter_workflow(number('broken'), condition => 'pg_sleep(60) IS NULL');
UPDATE mkt.workflow SET state = 'on' WHERE workflow = number('broken');
SET mktcontacts.workflow_timeout = '50ms';
CALL mkt.run();
RESET mktcontacts.workflow_timeout;
CREATE FUNCTION cancelled() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not really' USING ERRCODE = '57014'; END $$;
SELECT mkt.alter_workflow(number('broken'), condition => 'cancelled()');
CALL mkt.run();
SELECT n, sqlstate, reason FROM attempt WHERE name = 'broken' AND sqlstate = '57014';
-- statement_timeout ends the run, and is not the condition's failure
SELECT mkt.alter_workflow(number('broken'), condition => 'pg_sleep(60) IS NULL');
SET statement_timeout = '200ms';
CALL mkt.run();
RESET statement_timeout;
SELECT failures FROM mkt.workflow WHERE workflow = number('broken');
SELECT mkt.drop_workflow(number('broken'));

-- in a transaction block, and rolled back
BEGIN;
INSERT INTO contact VALUES (501, 'wf', 'Bonn', '2026-03-20');
CALL mkt.run();
SELECT marketing_status FROM contact WHERE id = 501;
ROLLBACK;
SELECT count(*) FROM mkt.enrollment WHERE key = '501';
-- a batch of the session's is none of a workflow's
BEGIN;
SET LOCAL mktcontacts.batch = 'import';
SET LOCAL mktcontacts.source_type = 'sales';
INSERT INTO contact VALUES (502, 'wf', 'Bonn', '2026-03-20');
CALL mkt.run();
SHOW mktcontacts.batch;
SELECT b.label, b.action, c.marketing_source_type, c.marketing_source_name FROM contact AS c JOIN mkt.enrollment AS e ON e.key = c.id::text JOIN mkt.batch AS b ON b.batch = e.batch WHERE c.id = 502;
COMMIT;
-- what it did can be undone
SELECT changed FROM mkt.batch WHERE batch = (SELECT batch FROM mkt.enrollment WHERE key = '502');
SELECT restored, pending, gone FROM mkt.undo((SELECT batch FROM mkt.enrollment WHERE key = '502'));
SELECT marketing_status FROM contact WHERE id = 502;

-- other keys: uuid, bigint, unique within an account, of one constant account, in partitions
CREATE TABLE by_uuid (id uuid PRIMARY KEY, account text);
CREATE TABLE by_account (account text, id bigint, PRIMARY KEY (account, id)) PARTITION BY LIST (account);
CREATE TABLE by_account_a PARTITION OF by_account FOR VALUES IN ('wa');
CREATE TABLE by_account_b PARTITION OF by_account FOR VALUES IN ('wb');
CREATE TABLE whole (id text PRIMARY KEY);
SELECT mkt.attach('by_uuid', account_column => 'account'), mkt.attach('by_account', account_column => 'account'), mkt.attach('whole', account => 'wa');
INSERT INTO by_uuid SELECT ('00000000-0000-0000-0000-00000000000' || i)::uuid, 'wa' FROM generate_series(1, 3) AS i;
INSERT INTO by_account SELECT a, i FROM generate_series(1, 3) AS i, unnest('{wa,wb}'::text[]) AS a;
INSERT INTO whole VALUES ('it''s'), ('a,b'), ('NULL'), ('{"}');
SELECT mkt.create_workflow(t, 'wa', 'all', 'marketing', condition => 'true') > 0 AS created FROM unnest('{by_uuid,by_account,whole}'::regclass[]) AS t;
SELECT mkt.create_workflow('whole', 'wb', 'all', 'marketing', condition => 'true') > 0 AS created;
SELECT mkt.switch_on_workflow(workflow, true) FROM mkt.workflow WHERE name = 'all' ORDER BY workflow;
CALL mkt.run();
SELECT contacts, account, changed, waiting FROM mkt.workflow_usage WHERE name = 'all' ORDER BY contacts::text, account;
SELECT account, id, marketing_status FROM by_account ORDER BY 1, 2;

-- a condition may take any time, if one wants it so
SET mktcontacts.workflow_timeout = 0;
INSERT INTO by_account VALUES ('wa', 9);
CALL mkt.run();
RESET mktcontacts.workflow_timeout;
SELECT marketing_status FROM by_account WHERE id = 9;

-- a detached table's workflow fails until it is dropped or the table attached again
SELECT mkt.detach('whole');
CALL mkt.run();
SELECT contacts, failures FROM mkt.workflow WHERE name = 'all' ORDER BY contacts::text, account;
SELECT mkt.alter_workflow(workflow, limit_per_day => 1) FROM mkt.workflow WHERE contacts = 'whole'::regclass ORDER BY workflow LIMIT 1;
SELECT mkt.switch_off_workflow(workflow), mkt.drop_workflow(workflow) FROM mkt.workflow WHERE contacts = 'whole'::regclass;
-- a table that is dropped takes its workflows along
DROP TABLE by_uuid;
SELECT contacts FROM mkt.workflow WHERE name = 'all';
SELECT count(*) FROM mkt.enrollment AS e WHERE NOT EXISTS (SELECT FROM mkt.workflow AS w WHERE w.workflow = e.workflow);

SELECT mkt.drop_workflow(0);
SELECT * FROM mkt.verify();
DROP SCHEMA test_workflows CASCADE;
DELETE FROM mkt.account WHERE account IN ('wf', 'wa', 'wb');
SELECT count(*) FROM mkt.workflow;
