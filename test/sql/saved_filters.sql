-- Filters with names: per account, as JSON and as SQL, and with whose rights.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS mktcontacts;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA saved;
SET search_path = saved;
CREATE TABLE contact (id integer PRIMARY KEY, account integer, city text, seen_at timestamptz);
SELECT mkt.attach('contact', account_column => 'account');
INSERT INTO contact (id, account, city, seen_at)
SELECT i, 1 + i % 2, CASE WHEN i % 3 = 0 THEN 'Oslo' ELSE 'Bergen' END, timestamptz '2026-03-10Z' - i * interval '30 days' FROM generate_series(1, 12) AS i;

-- an account's own, and one for all accounts
SELECT mkt.save_filter('contact', '1', 'oslo', '{"filterGroups": [{"filters": [{"propertyName": "city", "operator": "EQ", "value": "Oslo"}]}]}');
SELECT mkt.save_filter('contact', NULL, 'oslo', condition => 'city = ''Oslo'' OR city = ''oslo''');
SELECT mkt.save_filter('contact', NULL, 'lapsed', '{"filterGroups": [{"filters": [{"propertyName": "seen_at", "operator": "LT", "value": "-200 days"}]}]}');
SELECT contacts, account, name, filter, condition, owner = current_user AS mine, saved_at FROM mkt.filter WHERE contacts = 'contact'::regclass ORDER BY name, account;
SELECT 1 AS account, string_agg(k, ' ' ORDER BY k) AS oslo FROM mkt.filter_keys('contact', '1', 'oslo') AS k
UNION ALL SELECT 2, string_agg(k, ' ' ORDER BY k) FROM mkt.filter_keys('contact', '2', 'oslo') AS k
UNION ALL SELECT NULL, string_agg(k, ' ' ORDER BY k) FROM mkt.filter_keys('contact', NULL, 'oslo') AS k;
SELECT string_agg(k, ' ' ORDER BY k) AS lapsed FROM mkt.filter_keys('contact', '2', 'lapsed') AS k;
-- relative to now, whenever that is
SET mktcontacts.clock = '2026-05-09 12:00+00';
SELECT string_agg(k, ' ' ORDER BY k) AS lapsed FROM mkt.filter_keys('contact', '2', 'lapsed') AS k;
SET mktcontacts.clock = '2026-03-10 12:00+00';
-- again: replaced
SELECT mkt.save_filter('contact', '1', 'oslo', condition => 'EXISTS (SELECT FROM contact AS other WHERE other.id = contact.id + 1 AND other.city = ''Oslo'')');
SELECT condition, filter FROM mkt.filter WHERE account = '1';
SELECT string_agg(k, ' ' ORDER BY k) AS before_oslo FROM mkt.filter_keys('contact', '1', 'oslo') AS k;

-- refused
SELECT mkt.save_filter('contact', '1', 'bad', '{"filterGroups": [{"filters": [{"propertyName": "town", "operator": "EQ", "value": "Oslo"}]}]}');
SELECT mkt.save_filter('contact', '1', 'bad', condition => 'town = ''Oslo''');
SELECT mkt.save_filter('contact', '1', 'bad', condition => 'true) OR (true');
SELECT mkt.save_filter('contact', '1', 'bad', condition => 'true; DROP TABLE contact');
SELECT mkt.save_filter('contact', '1', 'bad', condition => 'count(*) > 1');
SELECT mkt.save_filter('contact', '1', 'bad', condition => 'city');
SELECT mkt.save_filter('contact', '1', 'bad', condition => 'true ORDER BY 1');
SELECT mkt.save_filter('contact', '1', 'bad', condition => 'id = $1');
SELECT mkt.save_filter('contact', '1', 'bad');
SELECT mkt.save_filter('contact', '1', 'bad', '{}', 'true');
SELECT mkt.save_filter('contact', '1', '', condition => 'true');
SELECT mkt.save_filter('contact', 'one', 'bad', condition => 'true');
SELECT mkt.save_filter('contact', '1', NULL, condition => 'true');
SELECT mkt.filter_keys('contact', '1', 'bad');
SELECT mkt.drop_filter('contact', '1', 'lapsed');
SELECT mkt.save_filter('pg_class', '1', 'bad', condition => 'true');

-- a column that is renamed or gone is told at use, with its place
ALTER TABLE contact RENAME COLUMN city TO town;
SELECT mkt.filter_keys('contact', '2', 'oslo');
SELECT mkt.save_filter('contact', NULL, 'oslo', '{"filterGroups": [{"filters": [{"propertyName": "town", "operator": "EQ", "value": "Oslo"}]}]}');
ALTER TABLE contact RENAME COLUMN town TO city;
SELECT mkt.filter_keys('contact', '2', 'oslo');
SELECT mkt.save_filter('contact', NULL, 'oslo', condition => 'city = ''Oslo''');

-- SQL runs with the rights of the role that owns the filter, and shows the caller what the caller may see
CREATE ROLE regress_saver;
CREATE ROLE regress_user;
CREATE ROLE regress_group;
GRANT regress_group TO regress_saver;
GRANT USAGE ON SCHEMA saved TO regress_saver, regress_user, regress_group;
GRANT SELECT ON contact TO regress_saver, regress_group;
GRANT SELECT (id, account) ON contact TO regress_user;
GRANT CREATE ON SCHEMA saved TO regress_saver;
CREATE TABLE secret (id integer);
INSERT INTO secret VALUES (1), (2), (3);
SET ROLE regress_saver;
CREATE FUNCTION who(integer) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'as %', current_user; RETURN $1 < 3; END $$;
REVOKE ALL ON FUNCTION who(integer) FROM PUBLIC;
SELECT mkt.save_filter('contact', NULL, 'who', condition => 'id <= 3 AND who(id)');
SELECT mkt.save_filter('contact', NULL, 'secret', condition => 'id IN (SELECT id FROM secret)');
\set VERBOSITY terse
SELECT mkt.save_filter('contact', NULL, 'oslo', condition => 'true');
SELECT mkt.drop_filter('contact', NULL, 'oslo');
\set VERBOSITY default
RESET ROLE;
SELECT mkt.filter_keys('contact', NULL, 'who') AS key ORDER BY key;
SET ROLE regress_user;
SELECT mkt.filter_keys('contact', NULL, 'who') AS key ORDER BY key;
SELECT mkt.filter_keys('contact', '2', 'who') AS key ORDER BY key;
-- JSON, with the caller's
SELECT mkt.filter_keys('contact', NULL, 'lapsed');
SELECT * FROM mkt.filter;
RESET ROLE;
REVOKE SELECT ON contact FROM regress_saver, regress_group;
SELECT mkt.filter_keys('contact', NULL, 'who');
GRANT SELECT ON contact TO regress_saver, regress_group;
ALTER TABLE contact ENABLE ROW LEVEL SECURITY;
CREATE POLICY saver ON contact TO regress_saver, regress_group USING (id <> 1);
CREATE POLICY app ON contact TO regress_user USING (id <> 2);
SET client_min_messages = warning;
SELECT mkt.filter_keys('contact', NULL, 'who');
SET ROLE regress_user;
SELECT mkt.filter_keys('contact', NULL, 'who');
RESET client_min_messages;
RESET ROLE;
-- the caller's search path changes neither what a condition means nor what runs with its owner's rights
SELECT mkt.save_filter('contact', NULL, 'path', condition => 'lower(city) = ''oslo'' AND id <= 6');
CREATE SCHEMA trap;
CREATE FUNCTION trap.lower(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'as %', current_user; END $$;
CREATE FUNCTION trap.equal(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'as %', current_user; END $$;
CREATE OPERATOR trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.equal);
GRANT USAGE ON SCHEMA trap TO regress_user;
SET ROLE regress_user;
SET search_path = trap, pg_catalog;
SELECT mkt.filter_keys('saved.contact', NULL, 'path') AS key ORDER BY key;
RESET ROLE;
SELECT mkt.filter_keys('saved.contact', NULL, 'path') AS key ORDER BY key;
SELECT mkt.count_matching('saved.contact', '{"filterGroups": [{"filters": [{"propertyName": "city", "operator": "EQ", "value": "Oslo"}]}]}', '1');
SET search_path = saved;
-- members of the role that owns it may change it; it stays that role's
SET ROLE regress_group;
SELECT mkt.save_filter('contact', NULL, 'ours', condition => 'id = 3');
SET ROLE regress_saver;
SELECT mkt.save_filter('contact', NULL, 'ours', condition => 'id = 4');
SELECT mkt.save_filter('contact', NULL, 'ours', condition => 'who(id)');
RESET ROLE;
SELECT owner, condition FROM mkt.filter WHERE name = 'ours';
-- a role that is gone can give no rights
UPDATE mkt.filter SET owner = 'regress_gone' WHERE name = 'ours';
SELECT mkt.filter_keys('contact', NULL, 'ours');
SET ROLE regress_saver;
SELECT mkt.drop_filter('contact', NULL, 'ours');
RESET ROLE;
SELECT mkt.drop_filter('contact', NULL, 'ours');
SELECT mkt.drop_filter('contact', NULL, 'ours');

-- detaching keeps them, dropping the table does not
SELECT mkt.detach('contact');
SELECT count(*) FROM mkt.filter WHERE contacts = 'contact'::regclass;
SELECT mkt.attach('contact', account_column => 'account');
SELECT count(*) FROM mkt.filter_keys('contact', NULL, 'lapsed');
SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA saved, trap CASCADE;
SELECT count(*) FROM mkt.filter;
DROP ROLE regress_saver;
DROP ROLE regress_user;
DROP ROLE regress_group;
