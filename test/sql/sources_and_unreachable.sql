-- Which source brought the marketing contacts (P4), which of them are billed and cannot be reached (P5), and who may know.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE ROLE mkt_owner;
CREATE ROLE mkt_reader;
CREATE SCHEMA report AUTHORIZATION mkt_owner;
GRANT USAGE ON SCHEMA report TO PUBLIC;
GRANT EXECUTE ON FUNCTION mkt.attach TO mkt_owner;
GRANT SELECT ON mkt.source_usage, mkt.unreachable, mkt.unreachable_contact TO mkt_reader;
SET search_path = report;
\set SHOW_CONTEXT never

SET ROLE mkt_owner;
CREATE TABLE contact (id integer PRIMARY KEY, account integer, gone boolean, hard boolean);
CREATE TABLE lead (a integer, b text, note text, PRIMARY KEY (a, b)) PARTITION BY LIST (a);
CREATE TABLE lead_1 PARTITION OF lead FOR VALUES IN (1);
CREATE TABLE lead_2 PARTITION OF lead DEFAULT;
SELECT mkt.attach('contact', account_column => 'account', unsubscribed => 'gone', bounced => 'hard');
SELECT mkt.attach('lead', account => '42', bounced => 'note = ''bounced''');
INSERT INTO contact (id, account, gone, hard, marketing_status, marketing_until_next_update, marketing_source_type, marketing_source_name)
SELECT i, CASE WHEN i <= 8 THEN 42 WHEN i <= 11 THEN 43 END, i IN (1, 2, 9), i IN (2, 3, 4, 12), CASE WHEN i IN (4, 11) THEN 'non_marketing' ELSE 'marketing' END::mkt.status,
       i IN (3, 5), CASE WHEN i <= 6 THEN 'form_submission' WHEN i < 10 THEN 'contact_import' END, CASE WHEN i <= 4 THEN 'newsletter' WHEN i < 7 THEN 'demo' END
FROM generate_series(1, 13) AS i;
INSERT INTO lead (a, b, note, marketing_status, marketing_source_type, marketing_source_name)
VALUES (1, 'x', 'bounced', 'marketing', 'form_submission', 'newsletter'), (2, 'y,"', 'bounced', 'marketing', 'ad', NULL), (2, 'z', NULL, 'marketing', 'ad', NULL);
RESET ROLE;

-- All accounts, or one; the sums are those of mkt.usage.
SELECT * FROM mkt.source_usage ORDER BY account, source_type, source_name;
SELECT * FROM mkt.source_usage('42') ORDER BY source_type, source_name;
SELECT account, sum(s.billable) = max(u.billable) AS billable, sum(s.pending) = max(u.pending) AS pending, sum(share) AS shares
FROM mkt.source_usage AS s FULL JOIN mkt.usage AS u USING (account) WHERE account IS NOT NULL GROUP BY account ORDER BY account;
SELECT * FROM mkt.unreachable ORDER BY account, reason;
SELECT * FROM mkt.unreachable('42') ORDER BY reason;
SELECT * FROM mkt.unreachable_contact ORDER BY account, contacts::text, contact;
SELECT * FROM mkt.unreachable_contact('43');
SELECT count(*) FROM mkt.source_usage('no number'), mkt.unreachable('no number');
SELECT count(*) FROM mkt.source_usage(NULL);
SELECT count(*) FROM mkt.unreachable(NULL);
SELECT count(*) FROM mkt.unreachable_contact(NULL);

-- True to the instant, applied or not; with what the transaction has done.
SET mktcontacts.clock = '2026-04-01 00:00+00';
SELECT * FROM mkt.source_usage('42') WHERE source_type = 'form_submission' ORDER BY source_name;
SELECT * FROM mkt.unreachable('42') ORDER BY reason;
CALL mkt.apply_updates();
SELECT * FROM mkt.unreachable('42') ORDER BY reason;
BEGIN;
INSERT INTO lead_1 (a, b, note, marketing_status) VALUES (1, 'new', 'bounced', 'marketing');
SELECT * FROM mkt.unreachable('42') ORDER BY reason;
ROLLBACK;
-- Set as non-marketing what cannot be reached: two statements.
SELECT changed, pending FROM mkt.set_non_marketing('contact', ARRAY(SELECT contact FROM mkt.unreachable_contact('42') WHERE contacts = 'contact'::regclass));
SELECT * FROM mkt.unreachable('42') ORDER BY reason;
SELECT * FROM mkt.verify();

-- A reader is shown the tables that he may read as a whole.
SET ROLE mkt_reader;
SELECT * FROM mkt.source_usage;
SET ROLE mkt_owner;
GRANT SELECT ON contact TO mkt_reader;
GRANT SELECT (a, b) ON lead TO mkt_reader;
SET ROLE mkt_reader;
SELECT * FROM mkt.unreachable ORDER BY account, reason;
SELECT contacts, account, contact FROM mkt.unreachable_contact ORDER BY contact;
SET ROLE mkt_owner;
REVOKE USAGE ON SCHEMA report FROM PUBLIC;
SET ROLE mkt_reader;
SELECT * FROM mkt.unreachable;
SET ROLE mkt_owner;
GRANT USAGE ON SCHEMA report TO PUBLIC;
CREATE POLICY of_43 ON contact USING (account = 43);
ALTER TABLE contact ENABLE ROW LEVEL SECURITY;
SET ROLE mkt_reader;
SELECT * FROM mkt.unreachable;
SET ROLE mkt_owner;
CREATE POLICY all_rows ON contact TO mkt_reader USING (true);
SET ROLE mkt_reader;
SELECT count(*) FROM mkt.unreachable;
SET ROLE mkt_owner;
CREATE POLICY but_not ON contact AS RESTRICTIVE TO mkt_reader USING (id <> 1);
SET ROLE mkt_reader;
SELECT count(*) FROM mkt.unreachable;
SET ROLE mkt_owner;
DROP POLICY but_not ON contact; DROP POLICY all_rows ON contact; DROP POLICY of_43 ON contact;
ALTER TABLE contact DISABLE ROW LEVEL SECURITY;

-- The owner's conditions run as the owner, whoever asks, and not as a superuser.
CREATE FUNCTION whoami() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE 'running as %', current_user;
    RETURN false;
END $$;
SELECT mkt.set_conditions('contact', unsubscribed => 'id = 1 AND whoami()', bounced => NULL);
SELECT mkt.set_conditions('lead', NULL, NULL);
RESET ROLE;
SELECT * FROM mkt.can_use('contact', 1, 'marketing_email');
SELECT count(*) FROM mkt.eligible('contact', 'marketing_email', keys => ARRAY[1]);
SELECT count(*) FROM mkt.eligible(NULL::contact, 'marketing_email', keys => ARRAY[1]);
SELECT count(*) FROM mkt.eligibility('contact', 'marketing_email', keys => ARRAY[1]);
SELECT count(*) FROM mkt.unreachable('42');
SELECT current_user = session_user AS rights_are_given_back;
SET ROLE mkt_reader;
SELECT * FROM mkt.can_use('contact', 1, 'marketing_email');
SELECT count(*) FROM mkt.unreachable_contact('42');
SELECT current_user;
-- In a table of which one sees a part, they run as who named it, as functions in a view do; no report gets there.
SET ROLE mkt_owner;
CREATE POLICY a_part ON contact USING (id <= 2);
ALTER TABLE contact ENABLE ROW LEVEL SECURITY;
SET ROLE mkt_reader;
SELECT * FROM mkt.eligibility('contact', 'marketing_email');
SELECT * FROM mkt.can_use('contact', 3, 'marketing_email');
SELECT count(*) FROM mkt.unreachable;
RESET ROLE;
SELECT outcome, contacts FROM mkt.eligibility('contact', 'marketing_email', keys => ARRAY[1, 2, 3]);
-- Nor do they do what a restricted operation cannot, nor fall for what is first in somebody's search path.
SET ROLE mkt_owner;
CREATE FUNCTION wants_more() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RESET ROLE; RETURN true; END $$;
SELECT mkt.set_conditions('contact', unsubscribed => 'wants_more()', bounced => NULL);
RESET ROLE;
SELECT * FROM mkt.can_use('contact', 1, 'marketing_email');
SELECT current_user = session_user AS rights_are_given_back;
SELECT mkt.set_conditions('contact', unsubscribed => 'id = 1', bounced => NULL);
CREATE SCHEMA trap;
CREATE FUNCTION trap.equal(integer, integer) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'trapped %', current_user; RETURN false; END $$;
CREATE OPERATOR trap.= (FUNCTION = trap.equal, LEFTARG = integer, RIGHTARG = integer);
SET search_path = trap, pg_catalog, report;
SELECT * FROM mkt.can_use('contact', 1, 'marketing_email');
SELECT * FROM mkt.eligible('contact', 'marketing_email', keys => ARRAY[1, 2]);
SELECT * FROM mkt.unreachable_contact('42');
SELECT current_setting('search_path');
SET search_path = report;

-- What they cost, where the account has a price.
INSERT INTO mkt.account (account, edition) VALUES ('42', 'starter');
SELECT source_type, source_name, share, price, currency FROM mkt.source_usage WHERE account = '42' ORDER BY 1, 2;
SELECT reason, billable, price, currency FROM mkt.unreachable WHERE account = '42' ORDER BY 1;
SELECT sum(price) = (SELECT price FROM mkt.usage WHERE account = '42') AS all_of_it FROM mkt.source_usage WHERE account = '42';
DELETE FROM mkt.account WHERE account = '42';

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA report, trap CASCADE;
DROP OWNED BY mkt_owner, mkt_reader;
DROP ROLE mkt_owner, mkt_reader;
