-- Contacts that are set, and previewed, without being named by key: by a filter, a saved filter, a list or a query (W1).

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA chosen;
SET search_path = chosen;

-- Of accounts 1 and 2: every third contact is marketing, every third is pending.
CREATE TABLE contact (id bigint PRIMARY KEY, account_id int, city text);
SELECT mkt.attach('contact', account_column => 'account_id');
INSERT INTO contact SELECT i, 1 + (i > 12)::int, CASE WHEN i % 2 = 0 THEN 'Oslo' ELSE 'Bergen' END,
	CASE WHEN i % 3 > 0 THEN 'marketing'::mkt.status END, i % 3 = 2 FROM generate_series(1, 24) AS i;
SELECT mkt.save_filter('contact', NULL, 'north', '{"filterGroups": [{"filters": [{"propertyName": "city", "operator": "EQ", "value": "Oslo"}]}]}');
SELECT mkt.save_filter('contact', '2', 'north', condition => 'id = 13');
SELECT mkt.create_list('contact', NULL, 'fair') IS NOT NULL AND mkt.create_list('contact', '2', 'fair') IS NOT NULL AS created;
SELECT added FROM mkt.add_to_list('contact', NULL, 'fair', ARRAY[1, 2, 3, 13, 14, 15]);
SELECT added FROM mkt.add_to_list('contact', '2', 'fair', ARRAY[16, 17, 18]);
\set outcome 'changed, already, pending, not_found, parked'

-- In each way: the preview, then the change.
BEGIN;
SELECT account, :outcome, billable_after, billable_after_update
FROM mkt.preview_set_non_marketing('contact', filter => '{"filterGroups": [{"filters": [{"propertyName": "city", "operator": "EQ", "value": "Oslo"}]}]}');
SELECT :outcome FROM mkt.set_non_marketing('contact', filter => '{"filterGroups": [{"filters": [{"propertyName": "city", "operator": "EQ", "value": "Oslo"}]}]}');
SELECT account_id, array_agg(id ORDER BY id) AS pending FROM contact WHERE marketing_until_next_update GROUP BY 1 ORDER BY 1;
ROLLBACK;
BEGIN;
SELECT account, :outcome FROM mkt.preview_set_marketing('contact', saved_filter => 'north');
SELECT :outcome FROM mkt.set_marketing('contact', saved_filter => 'north', source_type => 'user', source_name => 'ann');
SELECT array_agg(id ORDER BY id) AS set_by_ann FROM contact WHERE marketing_source_name = 'ann';
ROLLBACK;
BEGIN;
SELECT account, :outcome FROM mkt.preview_set_marketing('contact', list => 'fair');
SELECT :outcome FROM mkt.set_marketing('contact', list => 'fair', expected => 4);
ROLLBACK;
BEGIN;
SELECT account, :outcome FROM mkt.preview_set_non_marketing('contact', query => 'SELECT id FROM contact WHERE city = ''Oslo'' AND id < 10');
SELECT :outcome FROM mkt.set_non_marketing('contact', query => 'SELECT id FROM contact WHERE city = ''Oslo'' AND id < 10');
ROLLBACK;

-- Of one account: its own filter and list before those for all.
BEGIN;
SELECT account, :outcome FROM mkt.preview_set_non_marketing('contact', saved_filter => 'north', account => '2');
SELECT :outcome FROM mkt.set_non_marketing('contact', saved_filter => 'north', account => '2');
SELECT account, :outcome FROM mkt.preview_set_marketing('contact', saved_filter => 'north', account => ' 02');
SELECT :outcome FROM mkt.set_marketing('contact', saved_filter => 'north', account => ' 02');
SELECT :outcome FROM mkt.set_non_marketing('contact', saved_filter => 'north', account => '1');
SELECT :outcome FROM mkt.set_non_marketing('contact', list => 'fair', account => '2');
SELECT :outcome FROM mkt.set_non_marketing('contact', list => 'fair', account => '1');
SELECT :outcome FROM mkt.set_non_marketing('contact', query => 'SELECT id FROM contact', account => '1');
SELECT :outcome FROM mkt.set_non_marketing('contact', filter => '{"filterGroups": [{"filters": [{"propertyName": "id", "operator": "HAS_PROPERTY"}]}]}', account => '4711');
ROLLBACK;

-- A query returns keys of any type that reads the same, twice or null; by VALUES, and with a query in front; or none.
BEGIN;
SELECT :outcome FROM mkt.set_marketing('contact', query => 'VALUES (''1''), (''2''), (''2''), (NULL), (''999'')');
SELECT :outcome FROM mkt.set_marketing('contact', query => 'WITH found AS (SELECT id::numeric FROM contact WHERE city = ''Oslo'') SELECT * FROM found ORDER BY 1 LIMIT 3');
SELECT :outcome FROM mkt.set_marketing('contact', query => 'SELECT id FROM contact WHERE false');
SELECT :outcome FROM mkt.set_marketing('contact', query => 'TABLE contact');
ROLLBACK;

-- The choice is made when the call begins: what the transaction has done before is seen, what the call does is not.
BEGIN;
INSERT INTO contact VALUES (100, 1, 'Oslo');
SELECT :outcome FROM mkt.set_marketing('contact', query => 'SELECT id FROM contact WHERE marketing_status = ''non_marketing''');
ROLLBACK;
BEGIN READ ONLY;
SELECT count(*) FROM mkt.preview_set_marketing('contact', saved_filter => 'north', account => '2');
SELECT count(*) FROM mkt.preview_set_marketing('contact', list => 'fair');
SELECT count(*) FROM mkt.preview_set_marketing('contact', query => 'SELECT id FROM contact');
COMMIT;

-- In the way of undo and of labels, too.
BEGIN;
SET LOCAL mktcontacts.batch = 'fair is over';
SELECT :outcome FROM mkt.set_non_marketing('contact', list => 'fair');
SELECT :outcome FROM mkt.set_non_marketing('contact', list => 'fair', account => '2');
SELECT action, changed FROM mkt.batch WHERE label = 'fair is over';
SELECT restored FROM mkt.undo((SELECT batch FROM mkt.batch WHERE label = 'fair is over'));
ROLLBACK;

-- A table of one account has its lists and filters; keys that are unique within an account need the account.
CREATE TABLE solo (id uuid PRIMARY KEY, n int);
CREATE TABLE member (shop text, id int, PRIMARY KEY (shop, id)) PARTITION BY LIST (shop);
CREATE TABLE member_a PARTITION OF member FOR VALUES IN ('a');
CREATE TABLE member_rest PARTITION OF member DEFAULT;
SELECT mkt.attach('solo', account => 's');
SELECT mkt.attach('member', account_column => 'shop');
INSERT INTO solo SELECT ('00000000-0000-0000-0000-00000000000' || i)::uuid, i FROM generate_series(1, 4) AS i;
INSERT INTO member SELECT shop, i FROM unnest(ARRAY['a', 'b']) AS shop, generate_series(1, 3) AS i;
SELECT mkt.create_list('solo', 's', 'mine') IS NOT NULL AS created;
SELECT added FROM mkt.add_to_list('solo', 's', 'mine', ARRAY['00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000004']);
SELECT mkt.save_filter('solo', 's', 'small', condition => 'n < 4');
SELECT :outcome FROM mkt.set_marketing('solo', list => 'mine');
SELECT :outcome FROM mkt.set_marketing('solo', saved_filter => 'small');
SELECT :outcome FROM mkt.set_non_marketing('solo', query => 'SELECT id FROM solo', account => 's');
SELECT :outcome FROM mkt.set_non_marketing('solo', query => 'SELECT id FROM solo', account => 'another');
SELECT :outcome FROM mkt.set_marketing('member', query => 'SELECT id FROM member WHERE shop = ''b''', account => 'b');
SELECT :outcome FROM mkt.set_marketing('member', query => 'SELECT 1');
\echo :LAST_ERROR_SQLSTATE
SELECT shop, count(*) FILTER (WHERE marketing_status = 'marketing') AS marketing FROM member GROUP BY shop ORDER BY shop;

-- What cannot choose contacts.
SELECT mkt.set_marketing('contact');
SELECT mkt.set_marketing('contact', list => 'fair', saved_filter => 'north');
SELECT mkt.preview_set_marketing('contact');
SELECT mkt.set_marketing(NULL, list => 'fair');
SELECT mkt.set_marketing('contact', list => 'no such list');
SELECT mkt.set_marketing('contact', saved_filter => 'fair');
SELECT mkt.set_marketing('contact', filter => '{}');
SELECT mkt.set_marketing('contact', filter => '{"filterGroups": [{"filters": [{"propertyName": "id", "operator": "IS"}]}]}');
SELECT mkt.set_marketing('contact', list => 'fair', expected => 1);
SELECT mkt.set_marketing('contact', list => 'fair', source_name => 'ann');
SELECT mkt.set_marketing('contact', query => 'SELECT id, city FROM contact');
SELECT mkt.set_marketing('contact', query => 'SELECT FROM contact');
SELECT mkt.set_marketing('contact', query => 'SELECT 1; SELECT 2');
SELECT mkt.set_marketing('contact', query => '');
SELECT mkt.set_marketing('contact', query => 'DELETE FROM contact RETURNING id');
SELECT mkt.set_marketing('contact', query => 'WITH gone AS (DELETE FROM contact RETURNING id) SELECT id FROM gone');
SELECT mkt.set_marketing('contact', query => 'SELECT id FROM contact FOR UPDATE');
SELECT mkt.set_marketing('contact', query => 'SHOW search_path');
SELECT mkt.set_marketing('contact', query => 'COMMIT');
SELECT mkt.set_marketing('contact', query => 'COPY contact TO STDOUT');
SELECT mkt.set_marketing('contact', query => 'SELECT idx FROM contact');
SELECT mkt.set_marketing('contact', query => 'SELECT city FROM contact');
SELECT mkt.set_marketing('contact', query => 'SELECT id FROM');
SELECT mkt.set_marketing('member_a', query => 'SELECT 1', account => 'a');
SELECT count(*) FROM contact;

-- With the rights of the caller.
CREATE ROLE chooser;
GRANT USAGE ON SCHEMA chosen TO chooser;
GRANT SELECT, UPDATE ON contact TO chooser;
CREATE TABLE hidden (id bigint);
ALTER TABLE contact ENABLE ROW LEVEL SECURITY;
CREATE POLICY one_account ON contact TO chooser USING (account_id = 1);
CREATE TABLE runs_as (role text);
CREATE FUNCTION seen_by(result boolean) RETURNS boolean LANGUAGE SQL
AS 'INSERT INTO chosen.runs_as VALUES (current_user); SELECT result';
SELECT mkt.save_filter('contact', NULL, 'all', condition => 'seen_by(true)');
SET ROLE chooser;
SELECT :outcome FROM mkt.set_marketing('contact', list => 'fair');
SELECT :outcome FROM mkt.set_marketing('contact', query => 'SELECT generate_series(1, 24)');
SELECT account, :outcome FROM mkt.preview_set_non_marketing('contact', saved_filter => 'all');
RESET ROLE;
SELECT DISTINCT role = session_user AS as_its_owner FROM runs_as;
SET ROLE chooser;
SELECT :outcome FROM mkt.set_non_marketing('contact', saved_filter => 'all');
SELECT mkt.set_marketing('contact', query => 'SELECT id FROM hidden');
SELECT mkt.set_marketing('solo', query => 'SELECT id FROM contact');
RESET ROLE;
REVOKE UPDATE ON contact FROM chooser;
SET ROLE chooser;
SELECT mkt.set_marketing('contact', list => 'fair');
SELECT mkt.preview_set_marketing('contact', list => 'fair');
RESET ROLE;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA chosen CASCADE;
DROP OWNED BY chooser;
DROP ROLE chooser;
