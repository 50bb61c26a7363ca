-- Trigger functions are no functions to call; null, and tables that are not there, are refused by name.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA wrong;
SET search_path = wrong;
CREATE FUNCTION try(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE command;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
CREATE TABLE contact (id integer PRIMARY KEY, account text);
SELECT mkt.attach('contact', account_column => 'account');
SELECT mkt.create_list('contact', 'a', 'fair');

SELECT proname, try(format('SELECT mkt.%I()', proname)) FROM pg_proc
WHERE pronamespace = 'mkt'::regnamespace AND prorettype IN ('trigger'::regtype, 'event_trigger'::regtype) ORDER BY proname COLLATE "C";

-- Null.
SELECT command, try(command) FROM unnest(ARRAY[
    'CALL mkt.fill_already_marketing(NULL)', 'SELECT mkt.switch_on_workflow(NULL, true)', 'SELECT * FROM mkt.export_hubspot(NULL)',
    'SELECT * FROM mkt.preview_set_marketing(NULL, query => ''SELECT 1'')', 'SELECT * FROM mkt.list_keys(NULL, ''a'', ''fair'')',
    'SELECT mkt.add_matching_to_list(''contact'', ''a'', ''fair'', NULL)', 'SELECT mkt.merge(''contact'', 1, NULL)']) AS command;
SELECT mkt.created_as('a', NULL), mkt.promotes('a', NULL);

-- No table, or no such one.
SELECT command, try(replace(command, 'none', '4000000000::oid::regclass')) FROM unnest(ARRAY[
    'SELECT mkt.attach(none, account => ''a'')', 'SELECT mkt.detach(none)', 'SELECT * FROM mkt.repair(none)', 'CALL mkt.fill_already_marketing(none)',
    'SELECT mkt.set_marketing(none, ARRAY[1])', 'SELECT mkt.restrict_tool(none, ''marketing_email'', ''postgres'')', 'SELECT mkt.unrestrict_tool(none, ''postgres'')',
    'SELECT mkt.set_conditions(none, NULL, NULL)', 'SELECT mkt.set_history(none)', 'SELECT mkt.fold_counts(none)', 'SELECT mkt.fold_counts(''contact'')']) AS command;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA wrong CASCADE;
