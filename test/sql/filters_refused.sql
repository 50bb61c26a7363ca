-- What is wrong with a filter is told with its place and with what may stand there.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS mktcontacts;
RESET client_min_messages;
SET timezone = 'UTC';
SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA refused;
SET search_path = refused;
CREATE TYPE stage AS ENUM ('lead', 'customer');
CREATE TABLE contact (id integer PRIMARY KEY, name text, stage stage, vip boolean, born date, seen_at timestamptz, score float8, big bigint,
					  ref uuid, tags text[], data jsonb);
SELECT mkt.attach('contact', account => 'a');

-- the shape
CREATE FUNCTION check_filter(filter text) RETURNS text LANGUAGE sql RETURN mkt.check_filter('contact', filter::jsonb);
SELECT check_filter('[]');
SELECT check_filter('7');
SELECT check_filter('{}');
SELECT check_filter('{"filterGroups": []}');
SELECT check_filter('{"filterGroups": {}}');
SELECT check_filter('{"filterGroups": [1]}');
SELECT check_filter('{"filterGroups": [{}]}');
SELECT check_filter('{"filterGroups": [{"filters": []}]}');
SELECT check_filter('{"filterGroups": [{"filters": [[]]}]}');
SELECT check_filter('{"filterGroups": [{"filters": [{}]}]}');
SELECT check_filter('{"filterGroups": [{"filters": [{"propertyName": 7}]}]}');
SELECT check_filter('{"filterGroups": [{"filters": [{"propertyName": "id"}]}]}');
SELECT check_filter('{"filterGroups": [{"filters": [{"propertyName": "id", "operator": null}]}]}');
-- not left out: it might narrow the selection
SELECT check_filter('{"filterGroups": [{"filters": [{"propertyName": "id", "operator": "HAS_PROPERTY"}]}], "limit": 10}');
SELECT check_filter('{"filterGroups": [{"filters": [{"propertyName": "id", "operator": "HAS_PROPERTY"}], "filterGroups": []}]}');
SELECT check_filter('{"filterGroups": [{"filters": [{"propertyName": "id", "operator": "EQ", "Value": 1}]}]}');

-- one filter, the third of the first group
CREATE FUNCTION third(filter text) RETURNS text LANGUAGE sql
RETURN check_filter('{"filterGroups": [{"filters": [{"propertyName": "id", "operator": "HAS_PROPERTY"}, {"propertyName": "id", "operator": "HAS_PROPERTY"}, ' || filter || ']}]}');
SELECT third('{"propertyName": "city", "operator": "EQ", "value": "Oslo"}');
SELECT third('{"propertyName": "ctid", "operator": "HAS_PROPERTY"}');
SELECT third('{"propertyName": "name", "operator": "EQUALS", "value": "Oslo"}');
SELECT third('{"propertyName": "name", "operator": "eq", "value": "Oslo"}');
SELECT third('{"propertyName": "id", "operator": "CONTAINS_TOKEN", "value": "1"}');
SELECT third('{"propertyName": "vip", "operator": "LT", "value": true}');
SELECT third('{"propertyName": "tags", "operator": "EQ", "value": "a"}');
SELECT third('{"propertyName": "data", "operator": "IN", "values": ["a"]}');
SELECT third('{"propertyName": "name", "operator": "EQ"}');
SELECT third('{"propertyName": "name", "operator": "EQ", "values": ["a"]}');
SELECT third('{"propertyName": "name", "operator": "IN", "value": "a"}');
SELECT third('{"propertyName": "name", "operator": "IN", "values": "a"}');
SELECT third('{"propertyName": "name", "operator": "IN", "values": []}');
SELECT third('{"propertyName": "name", "operator": "IN", "values": ["a", null]}');
SELECT third('{"propertyName": "id", "operator": "BETWEEN", "value": 1}');
SELECT third('{"propertyName": "id", "operator": "BETWEEN", "value": 1, "highValue": "x"}');
SELECT third('{"propertyName": "id", "operator": "HAS_PROPERTY", "value": 1}');

-- values
\set VERBOSITY terse
SELECT third('{"propertyName": "name", "operator": "EQ", "value": 1}');
SELECT third('{"propertyName": "name", "operator": "EQ", "value": null}');
SELECT third('{"propertyName": "name", "operator": "EQ", "value": {"a": [1]}}');
SELECT third('{"propertyName": "id", "operator": "EQ", "value": 1.5}');
SELECT third('{"propertyName": "id", "operator": "EQ", "value": "1; DROP TABLE contact"}');
SELECT third('{"propertyName": "id", "operator": "EQ", "value": ""}');
SELECT third('{"propertyName": "big", "operator": "EQ", "value": 9223372036854775808}');
SELECT third('{"propertyName": "score", "operator": "EQ", "value": "NaN"}');
SELECT third('{"propertyName": "score", "operator": "EQ", "value": 1e400}');
SELECT third('{"propertyName": "vip", "operator": "EQ", "value": 1}');
SELECT third('{"propertyName": "stage", "operator": "EQ", "value": "Lead"}');
SELECT third('{"propertyName": "ref", "operator": "EQ", "value": "x"}');
SELECT third('{"propertyName": "marketing_status", "operator": "EQ", "value": "pending"}');
SELECT third('{"propertyName": "name", "operator": "CONTAINS_TOKEN", "value": "*"}');
SELECT third('{"propertyName": "name", "operator": "CONTAINS_TOKEN", "value": "a*b"}');
SELECT third('{"propertyName": "name", "operator": "CONTAINS_TOKEN", "value": ""}');
SELECT third('{"propertyName": "name", "operator": "CONTAINS_TOKEN", "value": "' || repeat('a', 201) || '"}');
SELECT third('{"propertyName": "born", "operator": "EQ", "value": "' || v || '"}')
FROM (VALUES ('x')) AS v (v);
SELECT third('{"propertyName": "born", "operator": "EQ", "value": "yesterday"}');
SELECT third('{"propertyName": "born", "operator": "EQ", "value": "2026-02-30"}');
SELECT third('{"propertyName": "born", "operator": "EQ", "value": "2026-02-01T12:00"}');
SELECT third('{"propertyName": "born", "operator": "EQ", "value": "20260201"}');
SELECT third('{"propertyName": "born", "operator": "EQ", "value": 1773140400}');
SELECT third('{"propertyName": "born", "operator": "EQ", "value": "-90"}');
SELECT third('{"propertyName": "born", "operator": "EQ", "value": "-90 fortnights"}');
SELECT third('{"propertyName": "born", "operator": "EQ", "value": "90 days"}');
SELECT third('{"propertyName": "seen_at", "operator": "EQ", "value": "2026-02-01T25:00"}');
SELECT third('{"propertyName": "seen_at", "operator": "EQ", "value": "2026-02-01 12:00 Europe/Oslo"}');
SELECT third('{"propertyName": "seen_at", "operator": "EQ", "value": "infinity"}');
SELECT third('{"propertyName": "seen_at", "operator": "LT", "value": "-99999 years"}');
\set VERBOSITY default
SELECT third('{"propertyName": "seen_at", "operator": "LT", "value": 1e30}');
SELECT third('{"propertyName": "stage", "operator": "IN", "values": ["lead", "a very long label, of which an error shows no more than the beginning"]}');

-- limits
CREATE FUNCTION many(groups integer, filters integer, vals integer) RETURNS bigint LANGUAGE sql
RETURN length(check_filter((
	SELECT jsonb_build_object('filterGroups', jsonb_agg(jsonb_build_object('filters', f)))
	FROM (SELECT jsonb_agg(jsonb_build_object('propertyName', 'id', 'operator', 'IN', 'values', v)) AS f
		  FROM (SELECT jsonb_agg(i) AS v FROM generate_series(1, vals) AS i) AS v, generate_series(1, filters)) AS f,
		 generate_series(1, groups))::text));
SELECT many(20, 5, 1) > 0, many(1, 100, 1) > 0, many(1, 1, 10000) > 0;
SELECT many(21, 1, 1);
SELECT many(20, 6, 1);
SELECT many(1, 101, 1);
SELECT many(1, 1, 10001);
-- deep, but not deeper than jsonb itself allows
SELECT check_filter(repeat('{"filterGroups": [', 500) || repeat(']}', 500));
SELECT third('{"propertyName": "id", "operator": "EQ", "value": ' || repeat('[', 1000) || repeat(']', 1000) || '}');

-- a partition is not the whole table
CREATE TABLE parted (id integer PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE first_half PARTITION OF parted FOR VALUES FROM (0) TO (10);
SELECT mkt.attach('parted', account => 'p');
SELECT mkt.check_filter('first_half', '{"filterGroups": [{"filters": [{"propertyName": "id", "operator": "HAS_PROPERTY"}]}]}');

CREATE FUNCTION told(filter text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN third(filter);
EXCEPTION WHEN OTHERS THEN
	RETURN SQLERRM;
END $$;
-- numbers and instants that are nearly what they should be
SELECT value, check_third FROM (VALUES ('score', '"1."'), ('score', '"."'), ('score', '"1e"'), ('score', '"1e12345"'), ('seen_at', '"2026-02-01x12:00"'), ('seen_at', '"2026-02-01T12"'),
	('seen_at', '"2026-02-01T12:00:7"'), ('seen_at', '"2026-02-01T12:00:07."'), ('seen_at', '"2026-02-01T12:00:07.1234567890"'), ('seen_at', '"2026-02-01T12:00Zulu"'), ('seen_at', 'true'), ('name', 'false'))
	AS v (property, value), LATERAL told(format('{"propertyName": "%s", "operator": "EQ", "value": %s}', property, value)) AS check_third;
-- a table of many columns shows the first ones
SELECT format('CREATE TABLE wide (id integer PRIMARY KEY, %s)', string_agg('c' || i || ' integer', ', ' ORDER BY i)) FROM generate_series(1, 50) AS i \gexec
SELECT mkt.attach('wide', account => 'w');
SELECT mkt.check_filter('wide', '{"filterGroups": [{"filters": [{"propertyName": "c51", "operator": "EQ", "value": 1}]}]}');

SET client_min_messages = warning;
DROP SCHEMA refused CASCADE;
