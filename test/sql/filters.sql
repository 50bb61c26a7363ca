-- Filters: what each operator means for each type, on the fixed clock.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS mktcontacts;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA filters;
SET search_path = filters;

CREATE TYPE stage AS ENUM ('lead', 'trial', 'customer');
CREATE DOMAIN address AS text CHECK (VALUE ~ '@');
CREATE TABLE contact (id integer PRIMARY KEY, account integer, email address, "Company name" text, stage stage,
					  score numeric, visits smallint, rating real, vip boolean, born date, seen_at timestamptz,
					  local_at timestamp, ref uuid, tags text[]);
SELECT mkt.attach('contact', account_column => 'account');
INSERT INTO contact (id, account, email, "Company name", stage, score, visits, rating, vip, born, seen_at, local_at, ref, tags)
VALUES (1, 1, 'ann@example.com', 'Acme Corp', 'lead', 1.5, 3, 0.1, true, '1990-05-01', '2026-03-10 11:00Z', '2026-03-10 11:00', '00000000-0000-0000-0000-000000000001', '{a}'),
	   (2, 1, 'bob@example.org', 'acme', 'trial', 20, 30, 0.5, false, '2000-01-01', '2025-12-10 12:00Z', '2025-12-10 12:00', '00000000-0000-0000-0000-000000000002', '{}'),
	   (3, 2, 'cy@mail.example.com', 'Acmecorp; DROP', 'customer', -3, 0, 1, true, '2026-03-10', '2025-12-10 11:59:59.999Z', '2025-12-10 11:59:59', NULL, NULL),
	   (4, 2, NULL, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	   (5, 2, 'it''s@"odd".com', E'Ørsted\\ $1 (50%)', 'lead', 1e20, 32767, 3, false, '2026-03-11', '2026-03-11', '2026-03-11', NULL, NULL);

-- one filter, written shortly: property, operator and the rest of it
CREATE FUNCTION one(property text, operator text, rest text DEFAULT NULL) RETURNS text
LANGUAGE sql
RETURN (SELECT coalesce(string_agg(k, ' ' ORDER BY k), '-')
		FROM mkt.matching('contact', jsonb_build_object('filterGroups', jsonb_build_array(jsonb_build_object('filters', jsonb_build_array(
			jsonb_build_object('propertyName', property, 'operator', operator) || coalesce(rest, '{}')::jsonb))))) AS k);

SELECT v.*, one(v.property, v.operator, v.rest) AS contacts
FROM (VALUES
	('email', 'EQ', '{"value": "ann@example.com"}'), ('email', 'EQ', '{"value": "Ann@example.com"}'),
	('email', 'NEQ', '{"value": "ann@example.com"}'), ('email', 'IN', '{"values": ["ann@example.com", "it''s@\"odd\".com"]}'),
	('email', 'NOT_IN', '{"values": ["ann@example.com"]}'), ('email', 'HAS_PROPERTY', NULL), ('email', 'NOT_HAS_PROPERTY', NULL),
	('email', 'CONTAINS_TOKEN', '{"value": "*@example.com"}'), ('email', 'CONTAINS_TOKEN', '{"value": "example"}'),
	('email', 'CONTAINS_TOKEN', '{"value": "EXAMPLE.COM"}'), ('email', 'NOT_CONTAINS_TOKEN', '{"value": "example"}'),
	('Company name', 'CONTAINS_TOKEN', '{"value": "acme"}'), ('Company name', 'CONTAINS_TOKEN', '{"value": "acme*"}'),
	('Company name', 'CONTAINS_TOKEN', '{"value": "*corp"}'), ('Company name', 'CONTAINS_TOKEN', '{"value": "acme corp"}'),
	('Company name', 'CONTAINS_TOKEN', '{"value": "ørsted"}'), ('Company name', 'CONTAINS_TOKEN', '{"value": "rsted"}'),
	('Company name', 'CONTAINS_TOKEN', '{"value": "\\ $1 (50%)"}'), ('Company name', 'CONTAINS_TOKEN', '{"value": ".*"}'),
	('Company name', 'EQ', '{"value": ""}'),
	('stage', 'EQ', '{"value": "lead"}'), ('stage', 'GTE', '{"value": "trial"}'), ('stage', 'NOT_IN', '{"values": ["lead", "trial"]}'),
	('score', 'GT', '{"value": 1.5}'), ('score', 'GTE', '{"value": "1.5"}'), ('score', 'BETWEEN', '{"value": -3, "highValue": 20}'),
	('score', 'IN', '{"values": [20.0, "-3"]}'), ('visits', 'LT', '{"value": 100000}'), ('visits', 'EQ', '{"value": "3e0"}'),
	('rating', 'EQ', '{"value": 0.1}'), ('rating', 'LTE', '{"value": 0.5}'),
	('vip', 'EQ', '{"value": true}'), ('vip', 'NEQ', '{"value": "true"}'),
	('born', 'EQ', '{"value": "2000-01-01"}'), ('born', 'EQ', '{"value": "now"}'), ('born', 'LTE', '{"value": "-1 day"}'),
	('born', 'EQ', '{"value": 946684800000}'), ('born', 'GT', '{"value": "+0 days"}'),
	('seen_at', 'LT', '{"value": "-90 days"}'), ('seen_at', 'GTE', '{"value": "-90 days"}'), ('seen_at', 'LTE', '{"value": "-3 months"}'),
	('seen_at', 'GT', '{"value": "now"}'), ('seen_at', 'GTE', '{"value": "-1 hour"}'), ('seen_at', 'LT', '{"value": "-60 MINUTES"}'),
	('seen_at', 'EQ', '{"value": "2026-03-10T13:00:00+02:00"}'), ('seen_at', 'EQ', '{"value": "1773140400000"}'),
	('seen_at', 'EQ', '{"value": "2026-03-11"}'), ('local_at', 'EQ', '{"value": "2026-03-10T13:00+02"}'), ('local_at', 'LT', '{"value": "-1 year"}'),
	('ref', 'IN', '{"values": ["00000000-0000-0000-0000-000000000002"]}'), ('tags', 'HAS_PROPERTY', NULL)
) AS v (property, operator, rest);

-- groups are alternatives, the filters of a group hold together; an account narrows
SELECT mkt.matching('contact', '{"filterGroups": [{"filters": [{"propertyName": "stage", "operator": "EQ", "value": "lead"},
															   {"propertyName": "vip", "operator": "EQ", "value": true}]},
												  {"filters": [{"propertyName": "id", "operator": "EQ", "value": 4}]}]}') AS key ORDER BY key;
SELECT mkt.count_matching('contact', '{"filterGroups": [{"filters": [{"propertyName": "id", "operator": "EQ", "value": 1}]},
														{"filters": [{"propertyName": "id", "operator": "EQ", "value": 4}]}]}', '2');
SELECT id, email FROM mkt.matching_contacts(NULL::contact, '{"filterGroups": [{"filters": [{"propertyName": "id", "operator": "LT", "value": 3}]}]}', '1') ORDER BY id;
ALTER TABLE contact DROP COLUMN tags, ADD COLUMN city text DEFAULT 'Oslo';
SELECT id, city, ref FROM mkt.matching_contacts(NULL::contact, '{"filterGroups": [{"filters": [{"propertyName": "city", "operator": "EQ", "value": "Oslo"}]}]}') WHERE id = 1;

-- what a filter means
SELECT mkt.check_filter('contact', f) FROM (VALUES
	('{"filterGroups": [{"filters": [{"propertyName": "Company name", "operator": "EQ", "value": "O''Hara\\"}, {"propertyName": "id", "operator": "IN", "values": [1, 2]}]},
						{"filters": [{"propertyName": "seen_at", "operator": "LT", "value": "-90 days"}]}]}'::jsonb),
	('{"filterGroups": [{"filters": [{"propertyName": "marketing_status", "operator": "EQ", "value": "marketing"}]}]}')) AS v (f);

-- the marketing columns tell the state as of now, applied or not
INSERT INTO contact (id, account, marketing_status, marketing_until_next_update) VALUES (11, 1, 'marketing', false), (12, 1, 'marketing', true);
CREATE VIEW states AS
SELECT mkt.now(), one('marketing_status', 'EQ', '{"value": "marketing"}') AS marketing,
	   one('marketing_status', 'NEQ', '{"value": "marketing"}') AS non_marketing,
	   one('marketing_until_next_update', 'EQ', '{"value": true}') AS pending, one('marketing_until', 'HAS_PROPERTY') AS until,
	   one('marketing_until', 'LTE', '{"value": "+30 days"}') AS until_then;
TABLE states;
SET mktcontacts.clock = '2026-04-01 00:00+00';
TABLE states;
CALL mkt.apply_updates();
TABLE states;
SET mktcontacts.clock = '2026-03-10 12:00+00';

-- text compares by its own collation and type
CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
ALTER TABLE contact ADD COLUMN nick text COLLATE ignore_case, ADD COLUMN code varchar(9) COLLATE "C", ADD COLUMN short char(6);
UPDATE contact SET nick = 'Årne', code = 'ab', short = 'xy' WHERE id = 1;
SELECT v.*, one(v.property, v.operator, v.rest) AS contacts
FROM (VALUES ('nick', 'EQ', '{"value": "årne"}'), ('nick', 'CONTAINS_TOKEN', '{"value": "åR*"}'), ('code', 'LT', '{"value": "b"}'),
			 ('short', 'EQ', '{"value": "xy"}'), ('short', 'CONTAINS_TOKEN', '{"value": "XY"}')) AS v (property, operator, rest);

-- keys of several columns have no text; keys of an account need it
CREATE TABLE visit (account text, n integer, PRIMARY KEY (account, n));
SELECT mkt.attach('visit', account_column => 'account');
INSERT INTO visit VALUES ('a', 1), ('b', 1);
CREATE TABLE twofold (region text, n integer, PRIMARY KEY (region, n));
SELECT mkt.attach('twofold', account => 'a');
INSERT INTO twofold VALUES ('north', 1), ('south', 1);
\set VERBOSITY default
SELECT mkt.matching('visit', '{"filterGroups": [{"filters": [{"propertyName": "n", "operator": "EQ", "value": 1}]}]}');
SELECT mkt.matching('visit', '{"filterGroups": [{"filters": [{"propertyName": "n", "operator": "EQ", "value": 1}]}]}', 'b');
SELECT mkt.count_matching('visit', '{"filterGroups": [{"filters": [{"propertyName": "n", "operator": "EQ", "value": 1}]}]}');
SELECT mkt.matching('twofold', '{"filterGroups": [{"filters": [{"propertyName": "n", "operator": "EQ", "value": 1}]}]}', 'a');
SELECT * FROM mkt.matching_contacts(NULL::twofold, '{"filterGroups": [{"filters": [{"propertyName": "n", "operator": "EQ", "value": 1}]}]}', 'a') ORDER BY region;
SELECT mkt.matching_contacts(1, '{}');
SELECT mkt.matching('contact', NULL);
SELECT mkt.matching('pg_class', '{}');

-- instants with fractions and zones of every form; words by the letters of a collation of one's own
SELECT v.*, one('seen_at', 'EQ', format('{"value": "%s"}', v.value)) FROM (VALUES ('2025-12-10T11:59:59.999Z'), ('2026-03-10 11:00:00.000000z'), ('2026-03-10T12:00+0100'), ('2026-03-10t11:00:00.0'), ('2026-03-10T12:00+01')) AS v (value);
ALTER TABLE contact ADD COLUMN nordic text COLLATE "nb-x-icu", ADD COLUMN posix text COLLATE "POSIX";
UPDATE contact SET nordic = "Company name", posix = "Company name";
SELECT column_name, one(column_name, 'CONTAINS_TOKEN', '{"value": "ørsted"}'), one(column_name, 'CONTAINS_TOKEN', '{"value": "rsted"}') FROM unnest(ARRAY['nordic', 'posix']) AS column_name;
-- a type with operators of its own, which stand in another schema
SET client_min_messages = warning;
CREATE EXTENSION citext SCHEMA filters;
RESET client_min_messages;
ALTER TABLE contact ADD COLUMN handle citext;
UPDATE contact SET handle = 'Ann' WHERE id = 1;
SELECT one('handle', 'EQ', '{"value": "ANN"}');
SELECT mkt.check_filter('contact', '{"filterGroups": [{"filters": [{"propertyName": "handle", "operator": "EQ", "value": "ANN"}]}]}');

-- with the caller's rights, and under row-level security
CREATE ROLE regress_filters;
GRANT USAGE ON SCHEMA filters TO regress_filters;
SET ROLE regress_filters;
SELECT mkt.count_matching('contact', '{"filterGroups": [{"filters": [{"propertyName": "id", "operator": "HAS_PROPERTY"}]}]}');
RESET ROLE;
GRANT SELECT (id, account) ON contact TO regress_filters;
SET ROLE regress_filters;
SELECT mkt.count_matching('contact', '{"filterGroups": [{"filters": [{"propertyName": "id", "operator": "HAS_PROPERTY"}]}]}');
SELECT mkt.count_matching('contact', '{"filterGroups": [{"filters": [{"propertyName": "vip", "operator": "HAS_PROPERTY"}]}]}');
RESET ROLE;
ALTER TABLE contact ENABLE ROW LEVEL SECURITY;
CREATE POLICY one ON contact USING (account = 1);
SET ROLE regress_filters;
SELECT mkt.matching('contact', '{"filterGroups": [{"filters": [{"propertyName": "id", "operator": "HAS_PROPERTY"}]}]}') AS key ORDER BY key;
RESET ROLE;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA filters CASCADE;
DROP ROLE regress_filters;
