-- A tool's role sees, changes and deletes the contacts that the tool may use, by whatever way it asks (F4). Nobody else notices.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE ROLE mkt_owner;
CREATE ROLE mkt_app;
CREATE ROLE mkt_mailer;
CREATE ROLE mkt_mailer_1 IN ROLE mkt_mailer;
CREATE ROLE mkt_ads;
CREATE SCHEMA restricted AUTHORIZATION mkt_owner;
GRANT USAGE ON SCHEMA restricted TO PUBLIC;
SET search_path = restricted;
GRANT EXECUTE ON FUNCTION mkt.attach TO mkt_owner;
\set SHOW_CONTEXT never

SET ROLE mkt_owner;
CREATE TABLE contact (id integer PRIMARY KEY, account text, secret text, unsubscribed boolean, bounced boolean);
SELECT mkt.attach('contact', account_column => 'account', unsubscribed => 'unsubscribed', bounced => 'bounced');
INSERT INTO contact (id, account, secret, unsubscribed, bounced, marketing_status)
VALUES (1, 'a', 'eligible', false, false, 'marketing'), (2, 'a', 'eligible', NULL, NULL, 'marketing'), (3, 'b', 'eligible', false, false, 'marketing'),
       (4, 'a', 'unsubscribed', true, false, 'marketing'), (5, 'a', 'bounced', false, true, 'marketing'), (6, 'a', 'non_marketing', false, false, 'non_marketing');
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 2;
GRANT ALL ON contact TO mkt_app, mkt_mailer;
GRANT SELECT (id, secret) ON contact TO mkt_ads;

SELECT mkt.restrict_tool('contact', 'marketing_email', 'mkt_mailer');
SELECT mkt.restrict_tool('contact', 'ads_audience', 'mkt_ads');
SELECT polname, polcmd, polpermissive, polroles::regrole[], pg_get_expr(polqual, polrelid) AS using, pg_get_expr(polwithcheck, polrelid) AS check, obj_description(oid)
FROM pg_policy WHERE polrelid = 'contact'::regclass ORDER BY polname \gx

-- Everybody else sees and writes what he did; so does the extension.
SELECT count(*) FROM contact;
SET ROLE mkt_app;
SELECT count(*) FROM contact;
INSERT INTO contact (id, account, secret) VALUES (7, 'a', 'non_marketing');
UPDATE contact SET secret = secret WHERE id = 7 RETURNING id;
SELECT mkt.billable('a');
SELECT * FROM mkt.eligibility('contact', 'marketing_email');
RESET ROLE;
SELECT * FROM mkt.verify();

-- The tool, and who logs in as a member of its role: SELECT, by any index or function of his own.
SET ROLE mkt_mailer_1;
SELECT id, secret FROM contact ORDER BY id;
SELECT id FROM contact WHERE id = 4;
SELECT count(*) FROM contact WHERE NOT mkt.is_marketing(marketing_status, marketing_until) OR unsubscribed OR bounced;
CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN RAISE NOTICE 'seen: %', $1; RETURN true; END $$;
SELECT count(*) FROM contact WHERE pg_temp.leak(secret);
SELECT secret FROM contact FOR UPDATE;
DROP FUNCTION pg_temp.leak;

-- UPDATE and DELETE reach no other, also without a word that reads; RETURNING shows none; nobody can be made eligible to be seen.
UPDATE contact SET secret = 'touched ' || secret RETURNING id;
BEGIN;
UPDATE contact SET secret = 'blind';
UPDATE contact SET marketing_status = 'marketing';
UPDATE contact SET unsubscribed = false, bounced = false;
RESET ROLE;
SELECT id, secret FROM contact ORDER BY id;
ROLLBACK;
SET ROLE mkt_mailer_1;
BEGIN;
DELETE FROM contact;
RESET ROLE;
SELECT count(*) FROM contact;
ROLLBACK;
SET ROLE mkt_mailer_1;
UPDATE contact SET secret = 'x' WHERE id IN (4, 5, 6) RETURNING *;
UPDATE contact SET unsubscribed = true WHERE id = 1;
INSERT INTO contact (id, account, secret) VALUES (8, 'a', 'non_marketing') RETURNING id;
INSERT INTO contact (id, account, secret) VALUES (8, 'a', 'non_marketing');
INSERT INTO contact (id, account, secret) VALUES (4, 'a', 'mine now') ON CONFLICT (id) DO UPDATE SET secret = EXCLUDED.secret RETURNING *;
MERGE INTO contact USING (VALUES (4), (1)) AS v (i) ON id = i WHEN MATCHED THEN UPDATE SET secret = 'merged' WHEN NOT MATCHED THEN DO NOTHING;

-- Our own functions tell it no more.
SELECT * FROM mkt.can_use('contact', 1, 'marketing_email');
SELECT * FROM mkt.can_use('contact', 4, 'ticket');
SELECT * FROM mkt.eligible('contact', 'ticket') ORDER BY 1;
SELECT id FROM mkt.eligible(NULL::contact, 'ticket') ORDER BY 1;
SELECT * FROM mkt.eligibility('contact', 'ticket', keys => ARRAY[1, 2, 3, 4, 5, 6]);
SELECT changed, already, pending, not_found FROM mkt.set_marketing('contact', ARRAY[1, 4, 5, 6]);
SELECT mkt.merge('contact', 1, 4);
SELECT * FROM mkt.source_usage('a');
SELECT * FROM mkt.unreachable('a');
SELECT * FROM mkt.unreachable_contact('a');
SELECT mkt.set_conditions('contact', NULL, NULL);
SELECT mkt.unrestrict_tool('contact', 'mkt_mailer');
SELECT mkt.restrict_tool('contact', 'ticket', 'mkt_mailer');
SET ROLE mkt_ads;
SELECT id, secret FROM contact ORDER BY id;
SELECT unsubscribed FROM contact;
SELECT * FROM mkt.eligible('contact', 'ticket');

-- True to the instant: contact 2 was pending until now.
RESET ROLE;
SET mktcontacts.clock = '2026-04-01 00:00+00';
SET ROLE mkt_mailer;
SELECT id FROM contact ORDER BY id;
RESET ROLE;
SET mktcontacts.clock = '2026-03-10 12:00+00';

-- What the tool needs may change, and the conditions; a tool that is gone may use nobody.
UPDATE mkt.tool_use SET needs_reachable = false WHERE tool = 'marketing_email';
SET ROLE mkt_mailer;
SELECT id FROM contact ORDER BY id;
RESET ROLE;
UPDATE mkt.tool_use SET needs_reachable = true WHERE tool = 'marketing_email';
SET ROLE mkt_owner;
ALTER TABLE contact RENAME bounced TO undeliverable;
ALTER TABLE contact RENAME TO person;
SET ROLE mkt_mailer;
SELECT id FROM person ORDER BY id;
SET ROLE mkt_owner;
SELECT mkt.set_conditions('person', unsubscribed => 'unsubscribed OR id = 1', bounced => NULL);
SET ROLE mkt_mailer;
SELECT id FROM person ORDER BY id;
RESET ROLE;
BEGIN;
DELETE FROM mkt.tool_use WHERE tool = 'marketing_email';
SET ROLE mkt_mailer;
SELECT id FROM person;
ROLLBACK;

-- Another tool for the role; then none, and row-level security is as it was.
SET ROLE mkt_owner;
SELECT mkt.restrict_tool('person', 'survey', 'mkt_mailer');
SET ROLE mkt_mailer;
SELECT count(*) FROM person;
SET ROLE mkt_owner;
SELECT mkt.unrestrict_tool('person', 'mkt_mailer');
SELECT mkt.unrestrict_tool('person', 'mkt_mailer');
SELECT relrowsecurity, (SELECT count(*) FROM pg_policy WHERE polrelid = c.oid) FROM pg_class AS c WHERE oid = 'person'::regclass;
SELECT mkt.unrestrict_tool('person', 'mkt_ads');
SELECT relrowsecurity, (SELECT count(*) FROM pg_policy WHERE polrelid = c.oid) FROM pg_class AS c WHERE oid = 'person'::regclass;
SET ROLE mkt_ads;
SELECT count(id) FROM person;

-- Row-level security that was there stays in force: the tool sees what both allow. FORCE stays, too.
SET ROLE mkt_owner;
CREATE POLICY own_account ON person TO mkt_app, mkt_mailer USING (account = 'a');
SELECT mkt.restrict_tool('person', 'marketing_email', 'mkt_mailer');
ALTER TABLE person ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT mkt.restrict_tool('person', 'marketing_email', 'mkt_mailer');
SELECT mkt.restrict_tool('person', 'ads_audience', 'mkt_ads');
SELECT count(*) FROM person;
SET ROLE mkt_app;
SELECT count(*) FROM person;
SET ROLE mkt_mailer;
SELECT id FROM person ORDER BY id;
SET ROLE mkt_ads;
SELECT id FROM person;
SET ROLE mkt_owner;
SELECT mkt.unrestrict_tool('person', 'mkt_ads');
SELECT mkt.unrestrict_tool('person', 'mkt_mailer');
SELECT polname, relrowsecurity, relforcerowsecurity FROM pg_policy JOIN pg_class AS c ON c.oid = polrelid WHERE polrelid = 'person'::regclass;

-- A policy of the user's that came later keeps the one for everybody in place, and it is said.
DROP POLICY own_account ON person;
ALTER TABLE person DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
SELECT mkt.restrict_tool('person', 'marketing_email', 'mkt_mailer');
CREATE POLICY own_account ON person TO mkt_app USING (account = 'a');
SELECT mkt.unrestrict_tool('person', 'mkt_mailer');
DROP POLICY own_account ON person;
DROP POLICY mkt_everyone ON person;

-- Detaching ends it, with or without the columns, and says who sees more now. A dropped role leaves nothing that is in the way.
ALTER TABLE person DISABLE ROW LEVEL SECURITY;
SELECT mkt.restrict_tool('person', 'marketing_email', 'mkt_mailer');
SELECT mkt.detach('person');
SET client_min_messages = warning;
SELECT mkt.attach('person', account_column => 'account');
RESET client_min_messages;
SELECT mkt.restrict_tool('person', 'marketing_email', 'mkt_ads');
RESET ROLE;
DROP OWNED BY mkt_ads;
SET ROLE mkt_owner;
SELECT mkt.restrict_tool('person', 'marketing_email', 'mkt_mailer');
SELECT mkt.detach('person', drop_columns => true);
SELECT relrowsecurity, (SELECT count(*) FROM pg_policy WHERE polrelid = c.oid) FROM pg_class AS c WHERE oid = 'person'::regclass;

-- Roles are told apart whatever they are called.
RESET ROLE;
CREATE TABLE named (id integer PRIMARY KEY);
SELECT mkt.attach('named', account => 'x');
CREATE ROLE "mkt a very long name that leaves no place for anything else, 1";
CREATE ROLE "mkt a very long name that leaves no place for anything else, 2";
SELECT mkt.restrict_tool('named', 'marketing_email', 'mkt a very long name that leaves no place for anything else, 1');
SELECT mkt.restrict_tool('named', 'survey', 'mkt a very long name that leaves no place for anything else, 2');
SELECT mkt.restrict_tool('named', 'ticket', 'mkt a very long name that leaves no place for anything else, 1');
SELECT polname, polroles::regrole[], pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polrelid = 'named'::regclass ORDER BY polname;

-- What cannot be is refused.
ALTER ROLE mkt_ads BYPASSRLS;
GRANT mkt_owner TO mkt_app;
SELECT mkt.restrict_tool('named', 'marketing_email', 'mkt_ads');
SELECT mkt.restrict_tool('named', 'marketing_email', 'no_such_role');
SELECT mkt.restrict_tool('named', 'no_such_tool', 'mkt_mailer');
SELECT mkt.restrict_tool('named', NULL, 'mkt_mailer');
SELECT mkt.restrict_tool('mkt.account', 'ticket', 'mkt_mailer');
SELECT mkt.unrestrict_tool('named', NULL);
SELECT mkt.unrestrict_tool('named', 'mkt_mailer');
ALTER TABLE named OWNER TO mkt_owner;
ALTER ROLE mkt_app NOINHERIT;
SELECT mkt.restrict_tool('named', 'marketing_email', 'mkt_app');
SELECT mkt.restrict_tool('named', 'marketing_email', 'mkt_owner');

-- Nor a superuser. Policies of others that look like ours are nobody's tool.
SELECT mkt.restrict_tool('named', 'marketing_email', current_user);
CREATE POLICY "mkt_tool_1" ON named AS RESTRICTIVE TO mkt_mailer USING (id > 0);
CREATE POLICY "mkt_tool_2" ON named AS RESTRICTIVE TO mkt_mailer USING (make_timestamp(id, 1, 1, 0, 0, 0) IS NULL);
CREATE POLICY "mkt_tool_3" ON named AS RESTRICTIVE TO mkt_mailer USING (pg_catalog.overlay('a', 'b', id, 1) IS NULL);
SELECT mkt.restrict_tool('named', 'survey', 'mkt_mailer');
SELECT mkt.unrestrict_tool('named', 'mkt_mailer');
SELECT polname FROM pg_policy WHERE polrelid = 'named'::regclass AND polroles = ARRAY['mkt_mailer'::regrole::oid] ORDER BY polname;

-- Through a partitioned table; who may read a partition itself goes around it, and that is said.
CREATE TABLE parted (id integer PRIMARY KEY, bounced boolean) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF parted DEFAULT;
SELECT mkt.attach('parted', account => 'x', bounced => 'bounced');
INSERT INTO parted VALUES (1, false, 'marketing'), (2, true, 'marketing'), (3, false, 'non_marketing');
GRANT SELECT ON parted, part TO mkt_mailer;
SELECT mkt.restrict_tool('parted', 'marketing_email', 'mkt_mailer');
SELECT mkt.restrict_tool('part', 'marketing_email', 'mkt_mailer');
SET ROLE mkt_mailer;
SELECT id FROM parted;
SELECT id FROM part;
RESET ROLE;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA restricted CASCADE;
DROP OWNED BY mkt_owner, mkt_app, mkt_mailer, mkt_ads;
DROP ROLE mkt_owner, mkt_app, mkt_mailer, mkt_mailer_1, mkt_ads, "mkt a very long name that leaves no place for anything else, 1",
	"mkt a very long name that leaves no place for anything else, 2";
