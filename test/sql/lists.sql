-- Static lists: contacts by key, per account.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS mktcontacts;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA lists;
SET search_path = lists;
CREATE TABLE contact (id integer PRIMARY KEY, account integer, city text);
SELECT mkt.attach('contact', account_column => 'account');
INSERT INTO contact SELECT i, 1 + i % 2, CASE WHEN i % 3 = 0 THEN 'Oslo' END FROM generate_series(1, 12) AS i;
CREATE FUNCTION members(account text, name text) RETURNS text LANGUAGE sql
RETURN (SELECT string_agg(k, ' ' ORDER BY k::integer) FROM mkt.list_keys('contact', account, name) AS k);

SELECT mkt.create_list('contact', '1', 'fair') IS NOT NULL AS created;
SELECT * FROM mkt.add_to_list('contact', '1', 'fair', ARRAY[2, 4, 4, 5, 99, NULL]);
SELECT * FROM mkt.add_to_list('contact', '1', 'fair', '{4,6}'::text[]);
SELECT members('1', 'fair');
SELECT * FROM mkt.add_matching_to_list('contact', '1', 'fair', '{"filterGroups": [{"filters": [{"propertyName": "city", "operator": "EQ", "value": "Oslo"}]}]}');
SELECT members('1', 'fair');
SELECT mkt.remove_from_list('contact', '1', 'fair', ARRAY[2, 3, 99]);
SELECT members('1', 'fair');
-- one for all accounts, of which an account sees its own contacts; and an empty one
SELECT mkt.create_list('contact', NULL, 'all') IS NOT NULL AS created, mkt.create_list('contact', NULL, 'empty') IS NOT NULL AS created;
SELECT * FROM mkt.add_to_list('contact', NULL, 'all', ARRAY[1, 2, 3, 4]);
SELECT members(NULL, 'all') AS all_accounts, members('1', 'all') AS account_1, members('2', 'all') AS account_2, members(NULL, 'empty') AS empty;
SELECT account, name, owner = current_user AS mine, created_at, (SELECT count(*) FROM mkt.list_member AS m WHERE m.list = l.list) AS members
FROM mkt.list AS l WHERE contacts = 'contact'::regclass ORDER BY name;
-- members that are gone, or another account's now, are left out
DELETE FROM contact WHERE id = 4;
UPDATE contact SET account = 2 WHERE id = 6;
SELECT members('1', 'fair'), members(NULL, 'all');
-- they come back
INSERT INTO contact VALUES (4, 1);
SELECT members('1', 'fair'), members(NULL, 'all');

-- refused
SELECT mkt.create_list('contact', '1', 'fair');
SELECT mkt.create_list('contact', '1', '');
SELECT mkt.create_list('contact', 'one', 'x');
SELECT mkt.add_to_list('contact', '2', 'fair', ARRAY[1]);
SELECT mkt.add_to_list('contact', '1', 'fair', ARRAY['x']);
SELECT mkt.add_to_list('contact', '1', 'fair', NULL::integer[]);
SELECT mkt.add_matching_to_list('contact', '1', 'fair', '{}');
SELECT mkt.list_keys('contact', '2', 'fair');
SELECT mkt.drop_list('contact', '2', 'fair');
CREATE TABLE twofold (region text, n integer, PRIMARY KEY (region, n));
SELECT mkt.attach('twofold', account => 'a');
SELECT mkt.create_list('twofold', NULL, 'x');
CREATE TABLE member (account text, n integer, PRIMARY KEY (account, n));
SELECT mkt.attach('member', account_column => 'account');
SELECT mkt.create_list('member', NULL, 'x');
INSERT INTO member VALUES ('a', 1), ('b', 1);
SELECT mkt.create_list('member', 'a', 'x') IS NOT NULL AS created;
SELECT * FROM mkt.add_to_list('member', 'a', 'x', ARRAY[1, 2]);
SELECT mkt.list_keys('member', 'a', 'x');

-- whose
CREATE ROLE regress_lister;
CREATE ROLE regress_other;
GRANT USAGE ON SCHEMA lists TO regress_lister, regress_other;
SET ROLE regress_lister;
SELECT mkt.create_list('contact', '1', 'mine');
RESET ROLE;
GRANT SELECT (id, account) ON contact TO regress_lister, regress_other;
ALTER TABLE contact ENABLE ROW LEVEL SECURITY;
CREATE POLICY lister ON contact TO regress_lister USING (id < 5);
CREATE POLICY other ON contact TO regress_other USING (id > 3);
SET ROLE regress_lister;
SELECT mkt.create_list('contact', '1', 'mine') IS NOT NULL AS created;
SELECT * FROM mkt.add_to_list('contact', '1', 'mine', ARRAY[2, 4, 6, 8]);
SELECT members('1', 'mine');
\set VERBOSITY terse
SELECT mkt.add_to_list('contact', '1', 'fair', ARRAY[2]);
SELECT mkt.remove_from_list('contact', '1', 'fair', ARRAY[2]);
SELECT mkt.drop_list('contact', '1', 'fair');
\set VERBOSITY default
SET ROLE regress_other;
SELECT mkt.list_keys('contact', '1', 'mine');
SELECT * FROM mkt.list_member;
RESET ROLE;
SELECT mkt.drop_list('contact', '1', 'mine');

-- keys of other types
CREATE TYPE code AS ENUM ('x', 'y');
CREATE TABLE by_enum (id code PRIMARY KEY);
CREATE TABLE by_uuid (id uuid PRIMARY KEY);
CREATE TABLE by_name (id varchar(9) PRIMARY KEY);
SELECT mkt.attach(t, account => 'a') FROM unnest(ARRAY['by_enum', 'by_uuid', 'by_name']::regclass[]) AS t;
INSERT INTO by_enum VALUES ('x'), ('y');
INSERT INTO by_uuid VALUES ('00000000-0000-0000-0000-0000000000aa');
INSERT INTO by_name VALUES ('it''s'), ('NULL'), ('{a,"b"}');
SELECT mkt.create_list(t, 'a', 'l') IS NOT NULL AS created FROM unnest(ARRAY['by_enum', 'by_uuid', 'by_name']::regclass[]) AS t;
SELECT * FROM mkt.add_to_list('by_enum', 'a', 'l', ARRAY['y']);
SELECT * FROM mkt.add_to_list('by_uuid', 'a', 'l', ARRAY['00000000-0000-0000-0000-0000000000AA']);
SELECT * FROM mkt.add_to_list('by_name', 'a', 'l', ARRAY['it''s', 'NULL', '{a,"b"}', '']);
SELECT mkt.list_keys(t, 'a', 'l') FROM unnest(ARRAY['by_enum', 'by_uuid', 'by_name']::regclass[]) AS t ORDER BY 1;
SELECT mkt.remove_from_list('by_uuid', 'a', 'l', ARRAY['00000000-0000-0000-0000-0000000000AA']);

-- many
CREATE TABLE many (id bigint PRIMARY KEY);
SELECT mkt.attach('many', account => 'a');
INSERT INTO many SELECT generate_series(1, 100000);
SELECT mkt.create_list('many', 'a', 'l') IS NOT NULL AS created;
SELECT * FROM mkt.add_matching_to_list('many', 'a', 'l', '{"filterGroups": [{"filters": [{"propertyName": "id", "operator": "GT", "value": 50000}]}]}');
SELECT * FROM mkt.add_to_list('many', 'a', 'l', ARRAY(SELECT generate_series(40001, 110000)));
SELECT count(*), min(k::bigint), max(k::bigint) FROM mkt.list_keys('many', 'a', 'l') AS k;

-- dropping a list, and a table
SELECT mkt.drop_list('many', 'a', 'l');
DROP TABLE many;
DROP TABLE by_enum;
SELECT contacts, name FROM mkt.list ORDER BY contacts::text, name;
SELECT count(*) FROM mkt.list_member AS m WHERE NOT EXISTS (SELECT FROM mkt.list AS l WHERE l.list = m.list);
SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA lists CASCADE;
SELECT count(*) FROM mkt.list_member;
DROP ROLE regress_lister;
DROP ROLE regress_other;
