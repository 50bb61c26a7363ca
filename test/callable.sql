-- What makes sqlsmith call every function of mkt: it knows no functions that return rows or take anyarray, and no procedures,
-- and picks a function by the type that it returns. So each gets one of schema smith in front, which returns a type of its
-- own. Role smith owns the contacts, may call everything and change all settings, but not write the counts.
SET client_min_messages = warning;
CREATE ROLE smith LOGIN;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA mkt TO smith;
GRANT EXECUTE ON ALL PROCEDURES IN SCHEMA mkt TO smith;
GRANT SELECT ON ALL TABLES IN SCHEMA mkt TO smith;
GRANT INSERT, UPDATE, DELETE ON mkt.account, mkt.edition, mkt.increment, mkt.price, mkt.price_band, mkt.currency, mkt.threshold,
	mkt.tool, mkt.tool_setting, mkt.tool_use, mkt.hubspot_source TO smith;
GRANT UPDATE (seen_at) ON mkt.notice TO smith;
ALTER SCHEMA crm OWNER TO smith;
ALTER TYPE crm.region OWNER TO smith;
ALTER TABLE crm.contact OWNER TO smith;
ALTER TABLE crm.parted OWNER TO smith;
ALTER TABLE crm.north OWNER TO smith;
ALTER TABLE crm.south OWNER TO smith;
ALTER TABLE crm.guest OWNER TO smith;
ALTER TABLE crm.late OWNER TO smith;

CREATE SCHEMA smith AUTHORIZATION smith;
-- values that mean something to them
CREATE TABLE smith.value (contacts regclass, account text, account_number bigint, key bigint, key_text text, keys bigint[], keys_text text[],
	filter jsonb, name text, condition text, source text, edition text, currency text, at timestamptz, later timestamptz, day date, number bigint, size integer, length interval);
INSERT INTO smith.value
SELECT (ARRAY['crm.contact', 'crm.parted', 'crm.guest', 'crm.late', 'crm.contact'])[i]::regclass, (ARRAY['1', 'north', 'guests & others', 'l1', '2'])[i], i, i * 7, i * 7, ARRAY[i, i * 2, i * 31], ARRAY[i, i + 5]::text[],
	(ARRAY['{}', '{"filterGroups": [{"filters": [{"propertyName": "id", "operator": "LT", "value": 50}]}]}', '{"filterGroups": []}', '[1]', '{"filterGroups": [{"filters": [{"propertyName": "city", "operator": "CONTAINS_TOKEN", "value": "o*"}]}]}'])[i]::jsonb,
	(ARRAY['in Oslo', 'early', 'fair', 'all', 'late ones'])[i], (ARRAY['id > 3', 'true', 'city = ''Oslo''', 'SELECT id FROM crm.contact', '1 / 0 = 1'])[i], (ARRAY['api', 'user', 'form_submission', 'workflow', 'marketing_email'])[i],
	(ARRAY['small', 'starter', 'professional', 'enterprise', 'none'])[i], (ARRAY['EUR', 'USD', 'EUR', 'JPY', 'XXX'])[i], timestamptz '2026-02-01' + i * interval '20 days', timestamptz '2026-12-01' + i * interval '1 month',
	date '2026-01-31' + i, i * 1000, i * 10, i * interval '1 hour' FROM generate_series(1, 5) AS i;
ALTER TABLE smith.value OWNER TO smith;

SELECT format($$CREATE DOMAIN smith.%1$I AS text;
	CREATE FUNCTION smith.%2$I(%3$s) RETURNS smith.%1$I LANGUAGE SQL AS %4$L$$,
	'of_' || n, proname, array_to_string(ARRAY(SELECT t FROM unnest(types) AS t WHERE t <> ''), ', '),
	CASE WHEN prokind = 'p' THEN format('CALL mkt.%I(%s); SELECT %L::smith.%I', proname, arguments, '', 'of_' || n)
		ELSE format('SELECT pg_catalog.string_agg(r::text, %L)::smith.%I FROM mkt.%I(%s) AS r', ',', 'of_' || n, proname, arguments) END)
FROM (
	SELECT p.proname, p.prokind, row_number() OVER (ORDER BY p.oid) AS n, t.types, t.arguments
	FROM pg_catalog.pg_proc AS p
	CROSS JOIN LATERAL (
		SELECT array_agg(type ORDER BY i) AS types,
			string_agg(CASE WHEN type = '' THEN 'NULL::crm.contact' ELSE '$' || number END, ', ' ORDER BY i) AS arguments
		FROM (
			SELECT i, type, count(*) FILTER (WHERE type <> '') OVER (ORDER BY i) AS number
			FROM (
				SELECT i, CASE type::regtype::text WHEN 'anyarray' THEN 'bigint[]' WHEN 'anycompatiblearray' THEN 'bigint[]' WHEN 'anyelement' THEN ''
					ELSE type::regtype::text END AS type
				FROM unnest(p.proargtypes) WITH ORDINALITY AS a (type, i)
			) AS a
		) AS a
	) AS t
	WHERE p.pronamespace = 'mkt'::regnamespace AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) AND p.prokind <> 'a' AND p.provariadic = 0
) AS f
\gexec
GRANT USAGE ON SCHEMA smith TO PUBLIC;

-- What sqlsmith shall not use, since nothing comes of it: polymorphic types, which fill half of its statements with errors of
-- the parser, functions that stop servers, and three of four of PostgreSQL's own. It reads these catalogs by their plain names.
CREATE SCHEMA hidden;
CREATE VIEW hidden.pg_type AS
SELECT t.oid, COALESCE(c.concrete, t.typname) AS typname, t.typnamespace, t.typdelim, t.typrelid, t.typelem, t.typarray,
	CASE WHEN c.concrete IS NULL THEN t.typtype ELSE 'b' END AS typtype
FROM pg_catalog.pg_type AS t
LEFT JOIN (VALUES ('anycompatiblearray'::name, '_text'::name), ('anyelement', 'text'), ('anycompatible', 'text'), ('anynonarray', 'text'),
	('anyenum', 'text'), ('anyrange', 'numrange'), ('anymultirange', 'nummultirange')) AS c (polymorphic, concrete) ON c.polymorphic = t.typname;
CREATE VIEW hidden.pg_proc AS
SELECT * FROM pg_catalog.pg_proc AS p
WHERE p.prokind = 'f'
	AND NOT EXISTS (SELECT FROM unnest(p.proargtypes || p.prorettype) AS a (oid) JOIN pg_catalog.pg_type AS t USING (oid) WHERE t.typtype = 'p' AND t.typname <> 'void')
	AND (p.pronamespace <> 'pg_catalog'::regnamespace OR p.oid::bigint % 4 = 0)
	AND p.proname !~ '^(pg_terminate_backend|pg_cancel_backend|pg_rotate_logfile|pg_promote|pg_reload_conf|pg_sleep|pg_log|pg_wal|lo_export|set_config|binary_upgrade)';
GRANT USAGE ON SCHEMA hidden TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA hidden TO PUBLIC;
