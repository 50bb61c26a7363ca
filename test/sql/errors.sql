-- Every error of class MK, with its detail and hint.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA errors;
SET search_path = errors;
CREATE TABLE contact (id integer PRIMARY KEY, account text);
CREATE TABLE by_account (account text, id integer, PRIMARY KEY (account, id));
CREATE TABLE other (id integer);
SELECT mkt.attach('contact', account_column => 'account');
SELECT mkt.attach('by_account', account_column => 'account');
INSERT INTO contact VALUES (1, 'a', 'marketing');

-- MK001: not attached, or attached in another way.
SELECT mkt.detach('other');
\echo :SQLSTATE
SELECT mkt.attach('contact', account => 'a');
\echo :SQLSTATE
-- MK002: cannot be attached.
SELECT mkt.attach('other', account => 'a');
\echo :SQLSTATE
-- MK003: not as many as expected.
SELECT mkt.set_non_marketing('contact', ARRAY[1, 2], expected => 2);
\echo :SQLSTATE
-- MK005: made non-marketing at once, by a trigger after ours.
CREATE FUNCTION down() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.marketing_status := 'non_marketing';
    RETURN NEW;
END $$;
CREATE TRIGGER z_down BEFORE UPDATE ON contact FOR EACH ROW EXECUTE FUNCTION down();
UPDATE contact SET id = 2;
\echo :SQLSTATE
-- MK006: keys that name no single contact.
SELECT mkt.set_marketing('by_account', ARRAY[1]);
\echo :SQLSTATE
-- MK007: a trigger function, or a command, where it does not work.
SELECT mkt.contact_count();
\echo :SQLSTATE
TRUNCATE mkt.account CASCADE;
\echo :SQLSTATE
-- MK009: a default that is fixed.
INSERT INTO mkt.tool_setting VALUES ('a', 'user', NULL, 'marketing');
\echo :SQLSTATE
-- MK010: a tool that nobody has described.
SELECT mkt.can_use('contact', 1, 'telegraph');
\echo :SQLSTATE
-- MK011: a file that is no export.
SELECT mkt.import_hubspot('contact', 'nothing', 'a');
\echo :SQLSTATE
-- MK012: no price.
SELECT mkt.quote('professional', 1000, 'XTS', '2026-03-10');
\echo :SQLSTATE
-- MK013: no filter.
SELECT mkt.matching('contact', '{"filters": 1}');
\echo :SQLSTATE

-- Numbers agree with their nouns.
DROP TRIGGER z_down ON contact;
SELECT mkt.set_non_marketing('contact', ARRAY[2], expected => 1);
SELECT mkt.set_non_marketing('contact', ARRAY[1], expected => 0);

-- MK008: an instant of which no history is kept.
SELECT mkt.set_history('contact', false);
SET mktcontacts.clock = '2026-03-11 12:00+00';
SELECT mkt.billable('a', '2026-03-10 12:00+00');
\echo :SQLSTATE

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA errors CASCADE;
