-- A contact whose instant has passed is non-marketing everywhere, although nothing has run (S1), and a statement that
-- changes its marketing columns begins there.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA after;
SET search_path = after;
CREATE TABLE contact (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account text, change text);
SELECT mkt.attach('contact', account_column => 'account');
CREATE VIEW usage AS SELECT account, billable, non_marketing, pending, total, billable_after_update FROM mkt.usage
WHERE total > 0 ORDER BY account;

-- The instant itself belongs to what comes after it (D5).
INSERT INTO contact (account, marketing_status, marketing_until_next_update) VALUES ('a', 'marketing', true);
SET mktcontacts.clock = '2026-03-31 23:59:59.999999+00';
SELECT mkt.billable('a'), mkt.is_marketing(marketing_status, marketing_until) FROM contact;
SET mktcontacts.clock = '2026-04-01 00:00+00';
SELECT mkt.billable('a'), mkt.is_marketing(marketing_status, marketing_until) FROM contact;
TABLE usage;
SELECT * FROM mkt.verify();

-- Every change of one, with the columns as they were stored and brought up to date: the result is the same (D6), unless a
-- statement writes back just what it may have read.
DELETE FROM contact;
CREATE TABLE twin (LIKE contact INCLUDING ALL);
SELECT mkt.attach('twin', account => 'twin');
CREATE FUNCTION fill(contacts regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO %s (account, marketing_status, marketing_until_next_update, change) SELECT ''a'', ''marketing'', true, unnest($1)', contacts)
    USING ARRAY[
        'marketing_status = ''non_marketing''',
        'marketing_status = ''non_marketing'', marketing_until_next_update = false',
        'marketing_status = ''non_marketing'', marketing_until_next_update = false, marketing_until = NULL',
        'marketing_status = ''marketing''',
        'marketing_status = ''marketing'', marketing_until_next_update = false',
        'marketing_status = ''marketing'', marketing_until_next_update = true',
        'marketing_status = marketing_status, marketing_until_next_update = marketing_until_next_update, marketing_until = marketing_until',
        'marketing_until_next_update = false',
        'marketing_until_next_update = true',
        'marketing_until = NULL',
        'marketing_until = ''2030-01-01''',
        'marketing_until_next_update = true, marketing_until = ''2030-01-01''',
        'account = ''b''',
        'account = ''b'', marketing_status = ''marketing'', marketing_until_next_update = false',
        'account = NULL, marketing_until = ''2030-01-01''',
        'marketing_source_name = ''x''',
        'change = change'];
END $$;
CREATE FUNCTION change(contacts regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE c record;
BEGIN
    FOR c IN EXECUTE format('SELECT id, change FROM %s', contacts) LOOP
        EXECUTE format('UPDATE %s SET %s WHERE id = %s', contacts, c.change, c.id);
    END LOOP;
END $$;
CREATE FUNCTION state(status mkt.status, until timestamptz) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN NOT mkt.is_marketing(status, until) THEN 'N' WHEN until IS NULL THEN 'M' ELSE 'P until ' || until::date END
$$;
SET mktcontacts.clock = '2026-03-10 12:00+00';
SELECT fill('twin');
SET mktcontacts.clock = '2026-05-10 12:00+00';
CALL mkt.apply_updates();
SET mktcontacts.clock = '2026-03-10 12:00+00';
SELECT fill('contact');
SET mktcontacts.clock = '2026-05-10 12:00+00';
SELECT mkt.billable('a'), mkt.billable('twin');
SELECT change('contact'), change('twin');
SELECT change, c.account, state(c.marketing_status, c.marketing_until), state(t.marketing_status, t.marketing_until) AS state_of_twin
FROM contact AS c JOIN twin AS t USING (change) ORDER BY t.id;
TABLE usage;
SELECT * FROM mkt.verify();

-- Deleted, it is one non-marketing contact fewer; set by key, it was non-marketing already.
DELETE FROM contact WHERE change = 'change = change';
SELECT non_marketing FROM usage WHERE account = 'a';
SELECT changed, already, pending, not_found FROM mkt.set_non_marketing('contact', ARRAY(SELECT id FROM contact WHERE NOT mkt.is_marketing(marketing_status, marketing_until)));
SELECT changed, already, pending, not_found FROM mkt.set_marketing('contact', ARRAY(SELECT id FROM contact WHERE NOT mkt.is_marketing(marketing_status, marketing_until)));
TABLE usage;

-- Once it has been brought up to date it is as if all the time.
UPDATE contact SET marketing_status = 'non_marketing' WHERE id % 3 = 0;
SET mktcontacts.clock = '2026-06-10 12:00+00';
CREATE TABLE before AS TABLE usage;
CALL mkt.apply_updates();
SELECT count(*) AS changed FROM (TABLE before EXCEPT TABLE usage) AS c;
SELECT count(*) AS flags FROM contact WHERE marketing_until_next_update;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA after CASCADE;
