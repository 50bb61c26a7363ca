-- Every object of the extension, and of an attached table's counts, has a comment.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
CREATE SCHEMA comments;
CREATE TABLE comments.contact (id integer PRIMARY KEY);
SELECT mkt.attach('comments.contact', account => 'a');

-- Types that PostgreSQL makes by itself, for tables and arrays, have none of their own; nor have sequences of identity columns.
SELECT pg_describe_object(classid, objid, 0) AS object
FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'mktcontacts') AND deptype = 'e'
  AND obj_description(objid, classid::regclass::name) IS NULL
  AND NOT (classid = 'pg_type'::regclass AND EXISTS (SELECT FROM pg_type AS t LEFT JOIN pg_class AS c ON c.oid = typrelid
                                                     WHERE t.oid = objid AND (typelem <> 0 OR relkind <> 'c')))
  AND NOT (classid = 'pg_class'::regclass AND (SELECT relkind FROM pg_class WHERE oid = objid) = 'S')
ORDER BY 1;
SELECT contacts, obj_description(count_table) FROM mkt.attachment;
SELECT obj_description(oid) IS NOT NULL AS commented FROM pg_extension WHERE extname = 'mktcontacts';

-- Columns of what is meant to be read.
SELECT attrelid::regclass || '.' || attname AS column
FROM pg_attribute
WHERE attrelid IN ('mkt.account'::regclass, 'mkt.usage'::regclass, 'mkt.attachment'::regclass, 'mkt.contact_count'::regclass,
                   'mkt.contact_count_history'::regclass, 'mkt.batch'::regclass, 'mkt.tool'::regclass, 'mkt.tool_setting'::regclass,
                   'mkt.tool_use'::regclass, 'mkt.source_usage'::regclass, 'mkt.unreachable'::regclass, 'mkt.unreachable_contact'::regclass,
                   'mkt.edition'::regclass, 'mkt.increment'::regclass, 'mkt.currency'::regclass, 'mkt.price'::regclass,
                   'mkt.price_band'::regclass, 'mkt.threshold'::regclass, 'mkt.tariff'::regclass,
                   'mkt.filter'::regclass, 'mkt.list'::regclass, 'mkt.list_member'::regclass,
                   'mkt.review'::regclass, 'mkt.review_step'::regclass, 'mkt.review_contact'::regclass,
                   'mkt.import'::regclass, 'mkt.import_problem'::regclass, 'mkt.hubspot_source'::regclass, 'mkt.parked'::regclass, 'mkt.account_tier'::regclass, 'mkt.tier_change'::regclass, 'mkt.notice'::regclass,
                   'mkt.downgrade_request'::regclass, 'mkt.shipping'::regclass, 'mkt.preview'::regclass)
  AND attnum > 0 AND col_description(attrelid, attnum) IS NULL
ORDER BY attrelid::regclass::text, attnum;

-- Functions that act for others have a fixed search path, and what is not for everybody is not granted to everybody.
SELECT oid::regprocedure AS unsafe FROM pg_proc
WHERE pronamespace = 'mkt'::regnamespace AND prosecdef AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false);
SELECT oid::regprocedure AS public_function FROM pg_proc
WHERE pronamespace = 'mkt'::regnamespace AND has_function_privilege('pg_monitor', oid, 'EXECUTE')
ORDER BY oid::regprocedure::text COLLATE "C";
SELECT relname AS public_relation FROM pg_class
WHERE relnamespace = 'mkt'::regnamespace AND relkind IN ('r', 'v', 'S') AND has_table_privilege('pg_monitor', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
ORDER BY relname;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA comments CASCADE;
