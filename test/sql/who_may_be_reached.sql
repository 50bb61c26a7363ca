-- Which contacts a tool may use, and why not the others (F4, F5): one, a selection, all of an account, at any instant.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA reach;
SET search_path = reach;

SELECT tool, needs_marketing, needs_reachable, shipped FROM mkt.tool_use ORDER BY needs_marketing DESC, tool;

-- Every state with every way to be out of reach; state P passes on 1 April, E has passed and is not applied.
CREATE TABLE contact (id integer PRIMARY KEY, account integer, state text, unsubscribed_at date, hard_bounced boolean, dropped text);
ALTER TABLE contact DROP COLUMN dropped;
SELECT mkt.attach('contact', account_column => 'account', unsubscribed => 'unsubscribed_at IS NOT NULL', bounced => 'hard_bounced');
SET mktcontacts.clock = '2026-02-10 12:00+00';
INSERT INTO contact (id, account, state, unsubscribed_at, hard_bounced, marketing_status, marketing_until_next_update)
SELECT row_number() OVER (), 42, state, unsubscribed_at, hard_bounced, CASE state WHEN 'N' THEN 'non_marketing' ELSE 'marketing' END::mkt.status, state = 'E'
FROM unnest(ARRAY['N', 'M', 'P', 'E']) AS state, unnest(ARRAY[NULL, '2026-01-01'::date]) AS unsubscribed_at, unnest(ARRAY[NULL, false, true]) AS hard_bounced;
SET mktcontacts.clock = '2026-03-10 12:00+00';
UPDATE contact SET marketing_status = 'non_marketing' WHERE state = 'P';
INSERT INTO contact (id, account, marketing_status) VALUES (100, 43, 'marketing'), (101, NULL, 'marketing'), (102, NULL, 'non_marketing');

SELECT id, state, unsubscribed_at IS NOT NULL AS unsubscribed, hard_bounced, e.allowed, e.reason, t.allowed AS ticket
FROM contact, mkt.can_use('contact', id, 'marketing_email') AS e, mkt.can_use('contact', id, 'ticket') AS t ORDER BY id;

-- Who is not allowed is left out, and counted once; every way to ask says the same.
SELECT * FROM mkt.eligible('contact', 'marketing_email') ORDER BY eligible::integer;
SELECT * FROM mkt.eligible('contact'::regclass, 'marketing_email', '42') ORDER BY eligible::integer;
SELECT id, account FROM mkt.eligible(NULL::contact, 'ads_audience', '42') ORDER BY id;
SELECT c = e AS same_rows FROM mkt.eligible(NULL::contact, 'workflow_action') AS e JOIN contact AS c USING (id);
SELECT (mkt.eligible(NULL::contact, 'marketing_email', '43')).id;
SELECT count(*) FROM mkt.eligible('contact', 'survey', account => '42');
SELECT * FROM mkt.eligibility('contact', 'marketing_email');
SELECT * FROM mkt.eligibility('contact', 'marketing_email', '42');
SELECT * FROM mkt.eligibility('contact', 'transactional_email', account => '42');
SELECT mkt.refusal('marketing_email', true, NULL, NULL), mkt.refusal('marketing_email', NULL, true, true), mkt.refusal('marketing_email', true, true, true),
       mkt.refusal('marketing_email', true, false, true), mkt.refusal('ticket', false, true, true);

-- Of a selection: each key once, whatever is asked for adds up.
SELECT * FROM mkt.eligible('contact', 'marketing_email', keys => ARRAY[7, 8, 8, 1, 10, 100, 999]) ORDER BY eligible::integer;
SELECT id FROM mkt.eligible(NULL::contact, 'marketing_email', keys => '{7,8,100}'::bigint[]) ORDER BY id;
SELECT outcome, contacts, sum(contacts) OVER () = 8 AS adds_up
FROM mkt.eligibility('contact', 'marketing_email', keys => ARRAY[7, 8, 8, 1, 10, 9, 100, 999, NULL]);
SELECT * FROM mkt.eligibility('contact', 'marketing_email', '42', ARRAY['7', '100']);
SELECT * FROM mkt.eligibility('contact', 'marketing_email', keys => '{}'::integer[]);

-- True to the instant, applied or not, and of the same snapshot as the statement.
SET mktcontacts.clock = '2026-04-01 00:00+00';
SELECT * FROM mkt.can_use('contact', 13, 'marketing_email');
SELECT * FROM mkt.eligibility('contact', 'marketing_email', '42');
CALL mkt.apply_updates();
SELECT * FROM mkt.eligibility('contact', 'marketing_email', '42');
BEGIN;
UPDATE contact SET marketing_status = 'marketing' WHERE id = 13;
SELECT * FROM mkt.can_use('contact', 13, 'marketing_email');
ROLLBACK;

-- The conditions are what reachable means, and can be changed; without them everybody is. Null is not met.
SELECT mkt.set_conditions('contact', unsubscribed => 'unsubscribed_at > ''2026-01-01''', bounced => NULL);
SELECT contacts, unsubscribed, bounced FROM mkt.attachment WHERE contacts = 'contact'::regclass;
SELECT * FROM mkt.eligibility('contact', 'marketing_email', '42');
SELECT mkt.set_conditions('contact', 'no_such_column', NULL);
SELECT mkt.set_conditions('contact', 'count(*) > 1', NULL);
SELECT mkt.set_conditions('contact', 'true OR true FROM contact', NULL);
SELECT mkt.set_conditions('contact', 'id', NULL);
SELECT mkt.set_conditions(NULL, 'true', 'true');
CREATE TABLE suppressed (id integer PRIMARY KEY);
INSERT INTO suppressed VALUES (7);
SELECT mkt.set_conditions('contact', 'EXISTS (SELECT FROM suppressed WHERE id = contact.id)', 'hard_bounced');
SELECT * FROM mkt.eligibility('contact', 'marketing_email', '42');
-- (again in a migration: the conditions stay as they are, and it says how to change them)
SELECT mkt.attach('contact', account_column => 'account', bounced => 'false');

-- Renaming what a condition names makes it fail, and it says which.
ALTER TABLE contact RENAME hard_bounced TO undeliverable;
\set VERBOSITY terse
SELECT * FROM mkt.can_use('contact', 7, 'marketing_email');
\set VERBOSITY default
SELECT mkt.set_conditions('contact', 'EXISTS (SELECT FROM suppressed WHERE id = contact.id)', 'undeliverable');
SELECT * FROM mkt.can_use('contact', 7, 'marketing_email');

-- Tools are data.
INSERT INTO mkt.tool_use (tool, needs_marketing, needs_reachable) VALUES ('newsletter', false, true);
SELECT * FROM mkt.can_use('contact', 1, 'newsletter');
UPDATE mkt.tool_use SET needs_marketing = true WHERE tool = 'newsletter';
SELECT * FROM mkt.can_use('contact', 1, 'newsletter');
DELETE FROM mkt.tool_use WHERE tool = 'newsletter';
\set SHOW_CONTEXT never
SELECT * FROM mkt.can_use('contact', 1, 'newsletter');
SELECT * FROM mkt.eligible('contact', 'Marketing_Email');
SELECT * FROM mkt.eligibility('contact', '');
SELECT mkt.refusal('newsletter', true, false, false);
SELECT mkt.refusal(NULL, true, false, false);

-- What is wrong is said.
SELECT * FROM mkt.can_use('contact', 999, 'ticket');
SELECT * FROM mkt.can_use('contact', 7, 'ticket', account => '43');
SELECT * FROM mkt.can_use('contact', 'x', 'ticket');
SELECT * FROM mkt.can_use('contact', NULL::text, 'ticket');
SELECT * FROM mkt.can_use('contact', 7, NULL);
SELECT * FROM mkt.can_use('suppressed', 7, 'ticket');
SELECT * FROM mkt.eligible('contact', NULL);
SELECT * FROM mkt.eligible('no_such_table', 'ticket');
SELECT * FROM mkt.eligible(NULL::suppressed, 'ticket');
SELECT * FROM mkt.eligible(true, 'ticket');
SELECT * FROM mkt.eligible('contact', 'ticket', 'not a number');
SELECT * FROM mkt.eligibility(NULL, 'ticket');

-- Keys of all kinds: unique within an account, of several columns, uuid, enum, domain; a whole table of one account.
CREATE TYPE kind AS ENUM ('a', 'b', 'c');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TABLE within (shop text, id positive, PRIMARY KEY (shop, id));
CREATE TABLE several (a integer, b kind, PRIMARY KEY (a, b));
CREATE TABLE with_uuid (id uuid PRIMARY KEY);
CREATE TABLE with_kind (id kind PRIMARY KEY, account positive);
SELECT mkt.attach('within', account_column => 'shop');
SELECT mkt.attach('several', account => 'acme');
SELECT mkt.attach('with_uuid', account => 'acme');
SELECT mkt.attach('with_kind', account_column => 'account');
INSERT INTO within VALUES ('north', 1, 'marketing'), ('south', 1, 'non_marketing'), ('south', 2, 'marketing');
INSERT INTO several VALUES (1, 'a', 'marketing'), (1, 'b', 'non_marketing');
INSERT INTO with_uuid VALUES ('00000000-0000-0000-0000-000000000001', 'marketing');
INSERT INTO with_kind VALUES ('a', 1, 'marketing'), ('b', 2, 'marketing');
SELECT * FROM mkt.can_use('within', 1, 'marketing_email', 'south');
SELECT * FROM mkt.can_use('within', 1, 'marketing_email');
SELECT * FROM mkt.eligible('within', 'marketing_email', 'south');
SELECT * FROM mkt.eligible('within', 'marketing_email', keys => ARRAY[1]);
SELECT * FROM mkt.eligibility('within', 'marketing_email', 'south', ARRAY[1, 2, -3]);
SELECT shop, id FROM mkt.eligible(NULL::within, 'marketing_email') ORDER BY 1;
SELECT * FROM mkt.can_use('several', 1, 'marketing_email');
SELECT * FROM mkt.eligible('several', 'marketing_email');
SELECT a, b FROM mkt.eligible(NULL::several, 'marketing_email');
SELECT * FROM mkt.eligibility('several', 'marketing_email');
SELECT * FROM mkt.can_use('with_uuid', '00000000-0000-0000-0000-000000000001'::uuid, 'marketing_email');
SELECT * FROM mkt.eligible('with_uuid', 'marketing_email', 'acme', ARRAY['00000000-0000-0000-0000-000000000001'::uuid]);
SELECT * FROM mkt.eligible('with_uuid', 'marketing_email', 'another');
SELECT * FROM mkt.eligible('with_kind', 'marketing_email', '1', ARRAY['a', 'b']::kind[]);
SELECT * FROM mkt.eligible('with_kind', 'marketing_email', keys => ARRAY['b']);

-- A partitioned table, as a whole and one partition, whose columns are in another order.
CREATE TABLE parted (id integer PRIMARY KEY, account text, bounced boolean) PARTITION BY RANGE (id);
CREATE TABLE part_1 (bounced boolean, account text, id integer NOT NULL);
SELECT mkt.attach('parted', account_column => 'account', bounced => 'parted.bounced');
ALTER TABLE part_1 ADD marketing_source_name text, ADD marketing_status mkt.status NOT NULL, ADD marketing_until timestamptz,
	ADD marketing_until_next_update boolean NOT NULL, ADD marketing_source_type text,
	ADD CONSTRAINT mkt_state CHECK (mkt.is_state(marketing_status, marketing_until_next_update, marketing_until));
ALTER TABLE parted ATTACH PARTITION part_1 FOR VALUES FROM (1) TO (10);
CREATE TABLE part_2 PARTITION OF parted DEFAULT;
INSERT INTO parted (id, account, bounced, marketing_status) VALUES (1, 'a', false, 'marketing'), (2, 'a', true, 'marketing'), (11, 'a', false, 'marketing');
SELECT * FROM mkt.eligible('parted', 'marketing_email', 'a') ORDER BY 1;
SELECT * FROM mkt.eligible('part_1', 'marketing_email', 'a', ARRAY[1, 2, 11]);
SELECT id, account FROM mkt.eligible(NULL::part_1, 'marketing_email');
SELECT * FROM mkt.can_use('part_1', 2, 'marketing_email');
SELECT * FROM mkt.eligibility('part_1', 'marketing_email', keys => ARRAY[1, 2, 11]);
SELECT mkt.set_conditions('part_1', NULL, NULL);
SELECT changed, already, not_found FROM mkt.set_marketing('part_1', ARRAY[1, 3]);
SELECT mkt.merge('part_1', 1, 2);
SELECT * FROM mkt.eligible('parted', 'marketing_email') ORDER BY 1;

-- Many: what is found spills to disk and is not held in memory.
CREATE TABLE many (id bigint PRIMARY KEY, account integer);
SELECT mkt.attach('many', account_column => 'account');
INSERT INTO many SELECT i, i % 10, 'marketing' FROM generate_series(1, 50000) AS i;
SET work_mem = '64kB';
SELECT count(*), sum(id) FROM mkt.eligible(NULL::many, 'marketing_email') AS e JOIN many USING (id);
SELECT count(*) FROM mkt.eligible('many', 'marketing_email', '3');
SELECT * FROM mkt.eligibility('many', 'marketing_email', keys => ARRAY(SELECT i FROM generate_series(1, 60000) AS i));
RESET work_mem;

-- the tool may differ from row to row
SELECT tool, mkt.refusal(tool, false, true, false), mkt.refusal(tool, true, true, false)
FROM unnest(ARRAY['marketing_email', 'one_to_one_email', 'ads_audience', 'ads_audience']) AS tool;

SELECT * FROM mkt.verify();

SET client_min_messages = warning;
DROP SCHEMA reach CASCADE;
