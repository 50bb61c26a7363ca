-- Reviews act with their caller's rights, and belong to the role that opened them.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
ALTER TABLE mkt.review ALTER COLUMN review RESTART WITH 101;
CREATE SCHEMA reviewed;
SET search_path = reviewed;
CREATE ROLE review_owner; CREATE ROLE review_sales; CREATE ROLE review_ann IN ROLE review_sales; CREATE ROLE review_bob; CREATE ROLE review_reader;
GRANT USAGE, CREATE ON SCHEMA reviewed TO review_owner;
GRANT USAGE ON SCHEMA reviewed TO review_sales, review_bob, review_reader;
GRANT EXECUTE ON FUNCTION mkt.attach TO review_owner;

-- The owner's condition tells by whom it is run, and his saved filter, too.
SET ROLE review_owner;
CREATE TABLE runs (what text);
GRANT SELECT, INSERT ON runs TO PUBLIC;
CREATE FUNCTION note(what text, result boolean) RETURNS boolean LANGUAGE SQL
AS 'INSERT INTO reviewed.runs VALUES (what || '' as '' || current_user); SELECT result';
CREATE TABLE contact (id int PRIMARY KEY, account_id int, region text, secret text, bounced boolean);
SELECT mkt.attach('contact', account_column => 'account_id', bounced => 'note(''condition'', bounced)');
INSERT INTO contact SELECT i, 1 + (i > 12)::int, CASE WHEN i % 2 = 0 THEN 'north' ELSE 'south' END, i % 3, i % 4 = 0, 'marketing' FROM generate_series(1, 14) AS i;
GRANT SELECT, UPDATE ON contact TO review_sales, review_bob;
GRANT SELECT (id, account_id, region, marketing_status, marketing_until) ON contact TO review_reader;
SELECT mkt.save_filter('contact', NULL, 'secret', condition => 'note(''filter'', secret = ''1'')');
RESET ROLE;

-- Who opened it, and the members of that role, go on with it and see it.
SET ROLE review_sales;
SELECT mkt.open_review('contact', '1') AS review \gset
SELECT * FROM mkt.review_unengaged(:review);
SELECT what FROM runs ORDER BY ctid DESC LIMIT 1;
RESET ROLE; SET ROLE review_ann;
SELECT * FROM mkt.review_filter(:review, 'secret');
SELECT what FROM runs ORDER BY ctid DESC LIMIT 1;
SELECT review, contacts, account, state, opened_by FROM mkt.review;
SELECT step, proposal, proposed FROM mkt.review_step ORDER BY step;
SELECT count(*) FROM mkt.review_contact;
SELECT account, billable, non_marketing, selected, changed, not_found FROM mkt.review_summary(:review);
RESET ROLE; SET ROLE review_bob;
SELECT (SELECT count(*) FROM mkt.review) AS reviews, (SELECT count(*) FROM mkt.review_step) AS steps, (SELECT count(*) FROM mkt.review_contact) AS contacts;
SELECT * FROM mkt.review_unengaged(:review);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM mkt.review_filter(:review, 'secret');
SELECT * FROM mkt.review_list(:review, 'x');
SELECT * FROM mkt.review_summary(:review);
SELECT * FROM mkt.apply_review(:review);
SELECT mkt.abandon_review(:review);
DELETE FROM mkt.review;
INSERT INTO mkt.review_contact VALUES (:review, 1, '1');
RESET ROLE; SET ROLE review_ann;
SELECT changed, already, pending, not_found FROM mkt.apply_review(:review);
RESET ROLE;
SELECT set_by, action, changed FROM mkt.batch ORDER BY batch DESC LIMIT 1;

-- Row-level security: contacts that it hides are not proposed; those that it lets nobody change are not found, and the summary
-- says so. Tier and non-marketing contacts of an account of which a part is hidden stay hidden.
ALTER TABLE contact ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON contact FOR SELECT TO review_bob USING (account_id = 1 AND region = 'north');
CREATE POLICY changed ON contact FOR UPDATE TO review_bob USING (id > 3);
SET ROLE review_bob;
SELECT mkt.open_review('contact', '1') AS review \gset
SELECT * FROM mkt.review_filter(:review, '{"filterGroups": [{"filters": [{"propertyName": "id", "operator": "LTE", "value": 7}]}]}');
SELECT key FROM mkt.review_contact ORDER BY key;
SELECT account, billable, selected, changed, not_found FROM mkt.review_summary(:review);
SELECT changed, already, pending, not_found FROM mkt.apply_review(:review);
-- He sees a part of the table: the conditions run with his rights, and so may do nothing that he may not; a saved filter with its
-- owner's.
SELECT mkt.open_review('contact', '1') AS review \gset
RESET ROLE; UPDATE contact SET bounced = true WHERE id = 2; SET ROLE review_bob;
SELECT * FROM mkt.review_unengaged(:review);
SELECT what FROM runs ORDER BY ctid DESC LIMIT 1;
SELECT * FROM mkt.review_filter(:review, 'secret');
SELECT what FROM runs ORDER BY ctid DESC LIMIT 1;
-- Of another account he sees nothing.
SELECT mkt.open_review('contact', '2') AS review \gset
SELECT * FROM mkt.review_filter(:review, 'secret');
SELECT account, billable, non_marketing, selected, changed FROM mkt.review_summary(:review);
RESET ROLE;

-- Who may read some columns may select by these; who may not update, not apply.
ALTER TABLE contact DISABLE ROW LEVEL SECURITY;
SET ROLE review_reader;
SELECT mkt.open_review('contact', '1') AS review \gset
SELECT * FROM mkt.review_filter(:review, '{"filterGroups": [{"filters": [{"propertyName": "region", "operator": "EQ", "value": "south"}]}]}');
SELECT * FROM mkt.review_filter(:review, '{"filterGroups": [{"filters": [{"propertyName": "secret", "operator": "EQ", "value": "1"}]}]}');
SELECT * FROM mkt.review_filter(:review, 'secret');
SELECT * FROM mkt.review_unengaged(:review);
SELECT * FROM mkt.review_summary(:review);
SELECT * FROM mkt.apply_review(:review);
RESET ROLE;
REVOKE ALL ON contact FROM review_reader;
REVOKE ALL (id, account_id, region, marketing_status, marketing_until) ON contact FROM review_reader;
SET ROLE review_reader;
SELECT mkt.open_review('contact', '1');
SELECT * FROM mkt.review_filter(:review, 'secret');
SELECT mkt.abandon_review(:review);
RESET ROLE;

-- A query and a search path of the caller's reach nothing of the extension's.
SET ROLE review_bob;
CREATE FUNCTION pg_temp.evil(text, text) RETURNS boolean LANGUAGE SQL AS 'SELECT true';
CREATE OPERATOR pg_temp.= (FUNCTION = pg_temp.evil, LEFTARG = text, RIGHTARG = text);
SET search_path = pg_temp, reviewed;
SELECT mkt.open_review('contact', '1') AS review \gset
SELECT * FROM mkt.review_filter(:review, 'secret');
SELECT count(*) AS wrong FROM mkt.set_marketing('contact', query => 'SELECT review FROM mkt.review', expected => 4711);
SELECT * FROM mkt.set_marketing('contact', query => 'SELECT key FROM mkt.list_member');
RESET search_path;
RESET ROLE;

-- The role is gone: superusers go on.
SET client_min_messages = warning;
DROP OWNED BY review_bob; DROP ROLE review_bob;
SET search_path = reviewed;
SELECT account, selected, changed FROM mkt.review_summary(:review);
SET ROLE review_sales;
SELECT mkt.abandon_review(:review);
RESET ROLE;
SELECT mkt.abandon_review(:review);

SELECT * FROM mkt.verify();
DROP SCHEMA reviewed CASCADE;
DROP OWNED BY review_owner, review_sales, review_ann, review_reader;
DROP ROLE review_owner, review_sales, review_ann, review_reader;
