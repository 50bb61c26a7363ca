-- Nobody can use the extension's triggers and conditions to reach what is not his.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE ROLE mkt_victim;
CREATE ROLE mkt_rogue;
CREATE SCHEMA victim AUTHORIZATION mkt_victim;
CREATE SCHEMA rogue AUTHORIZATION mkt_rogue;
GRANT USAGE ON SCHEMA victim TO mkt_rogue;
GRANT EXECUTE ON FUNCTION mkt.attach TO mkt_victim, mkt_rogue;
SET ROLE mkt_victim;
CREATE TABLE victim.contact (id integer PRIMARY KEY, account text);
SELECT mkt.attach('victim.contact', account_column => 'account');
INSERT INTO victim.contact VALUES (1, 'a', 'marketing', false), (2, 'a', 'marketing', true);

-- Our functions in triggers of another table, with every name and every time that a trigger can have.
SET ROLE mkt_rogue;
CREATE TABLE rogue.contact (id integer PRIMARY KEY, account text, marketing_status mkt.status, marketing_until_next_update boolean,
    marketing_until timestamptz, marketing_source_type text, marketing_source_name text);
CREATE FUNCTION rogue.try(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE command;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
SELECT function, moment, rogue.try(format('CREATE TRIGGER mkt_90_post %s EXECUTE FUNCTION mkt.contact_%s()', definition, function)) AS creation,
       rogue.try('INSERT INTO rogue.contact (id, account, marketing_status) VALUES (1, ''a'', ''marketing'')') AS insert,
       rogue.try('UPDATE rogue.contact SET account = ''a''') AS update, rogue.try('DELETE FROM rogue.contact') AS delete,
       rogue.try('TRUNCATE rogue.contact') AS truncate, rogue.try('DROP TRIGGER mkt_90_post ON rogue.contact') AS "end"
FROM unnest(ARRAY['state', 'count', 'recount', 'post', 'truncate']) AS function,
     (VALUES ('before row', 'BEFORE INSERT OR UPDATE OR DELETE ON rogue.contact FOR EACH ROW'),
             ('after row', 'AFTER INSERT OR UPDATE OR DELETE ON rogue.contact FOR EACH ROW'),
             ('statement', 'AFTER INSERT OR UPDATE OF account, marketing_status, marketing_until_next_update, marketing_until, marketing_source_type, marketing_source_name, id OR DELETE OR TRUNCATE ON rogue.contact')) AS t (moment, definition);
SELECT mkt.contact_state();

-- The attached table's own triggers on a table of the rogue's, which stands where the attached one stood.
CREATE TRIGGER mkt_80_count AFTER INSERT OR DELETE ON victim.contact FOR EACH ROW EXECUTE FUNCTION mkt.contact_count();
ALTER TABLE rogue.contact INHERIT victim.contact;
SELECT mkt.attach('rogue.contact', account_column => 'account');
INSERT INTO rogue.contact (id, account, marketing_status) VALUES (7, 'b', 'marketing');
SELECT mkt.detach('rogue.contact');

-- A second trigger on his own attached table counts twice, which only hurts himself, and only there.
SELECT mkt.attach('rogue.contact', account_column => 'account');
RESET ROLE;
SELECT * FROM mkt.verify();
SET ROLE mkt_rogue;
CREATE TRIGGER again AFTER INSERT ON rogue.contact FOR EACH ROW EXECUTE FUNCTION mkt.contact_count();
INSERT INTO rogue.contact (id, account, marketing_status) VALUES (8, 'b', 'marketing');
RESET ROLE;
SELECT DISTINCT contacts FROM mkt.verify();
DROP TRIGGER again ON rogue.contact;
SELECT count(*) > 0 AS mended FROM mkt.repair();

-- Conditions and triggers that the rogue wrote run as he, also when a superuser calls mkt.run(); and cannot become somebody else.
SET ROLE mkt_rogue;
CREATE FUNCTION rogue.whoami() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE 'condition: %', current_user;
    RETURN true;
END $$;
CREATE FUNCTION rogue.escape() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE 'trigger: %, %', current_user, rogue.try('RESET ROLE');
    RAISE NOTICE 'trigger: %', rogue.try('SET SESSION AUTHORIZATION DEFAULT');
    RAISE NOTICE 'trigger: %', rogue.try('UPDATE victim.contact SET account = ''b''');
    RAISE NOTICE 'trigger: %', rogue.try('DELETE FROM mkt.victim_contact_count');
    RAISE NOTICE 'trigger: %', rogue.try('SET mktcontacts.clock = ''''');
    RETURN NEW;
END $$;
SELECT mkt.detach('rogue.contact', drop_columns => true);
SELECT mkt.attach('rogue.contact', account_column => 'account', already_marketing => 'rogue.whoami()');
DELETE FROM rogue.contact WHERE id = 8;
CREATE TRIGGER escape BEFORE UPDATE ON rogue.contact FOR EACH ROW EXECUTE FUNCTION rogue.escape();
RESET ROLE;
CALL mkt.run();

-- Functions of the same names in a schema that comes first mean nothing to us.
SET ROLE mkt_rogue;
DROP TRIGGER escape ON rogue.contact;
CREATE FUNCTION rogue.evil() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'called as %', current_user; END $$;
CREATE FUNCTION rogue.count(text) RETURNS bigint LANGUAGE sql AS $$ SELECT length(rogue.evil())::bigint $$;
CREATE FUNCTION rogue.sum(bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT length(rogue.evil())::bigint $$;
CREATE FUNCTION rogue.equal(text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT rogue.evil() IS NULL $$;
CREATE FUNCTION rogue.equal(integer, integer) RETURNS boolean LANGUAGE sql AS $$ SELECT rogue.evil() IS NULL $$;
CREATE OPERATOR rogue.= (LEFTARG = text, RIGHTARG = text, FUNCTION = rogue.equal);
CREATE OPERATOR rogue.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = rogue.equal);
CREATE TABLE rogue.attachment (contacts oid);
RESET ROLE;
GRANT USAGE ON SCHEMA rogue TO PUBLIC;
SET search_path = rogue, pg_catalog;
SELECT changed, already FROM mkt.set_non_marketing('victim.contact', ARRAY[1, 2]);
SELECT mkt.billable('a');
INSERT INTO mkt.account (account, commitment, started_on) VALUES ('a', 'monthly', '2025-01-15');
SET mktcontacts.clock = '2026-05-10 12:00+00';
CALL mkt.run();
SELECT * FROM mkt.repair();
SELECT mkt.detach('victim.contact');
SELECT mkt.attach('victim.contact', account_column => 'account', unsubscribed => 'id IS NULL');
SELECT billable, non_marketing FROM mkt.usage WHERE account OPERATOR(pg_catalog.=) 'a';
RESET search_path;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DELETE FROM mkt.account;
DROP SCHEMA victim, rogue CASCADE;
DROP OWNED BY mkt_victim, mkt_rogue;
DROP ROLE mkt_victim, mkt_rogue;
