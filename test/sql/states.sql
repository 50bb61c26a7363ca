-- The state machine: what INSERT and UPDATE make of a contact, by the values of its columns (S1 to S3, T1 to T10, T12).

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA states;
SET search_path = states;
CREATE TABLE contact (id text PRIMARY KEY, account text, note text);
SELECT mkt.attach('contact', account_column => 'account');

-- A row in one word. A combination of columns that S3 forbids is none.
CREATE FUNCTION state(c contact) RETURNS text LANGUAGE sql AS $$
    SELECT CASE concat_ws(' ', c.marketing_status, c.marketing_until_next_update, c.marketing_until IS NULL)
        WHEN 'marketing f t' THEN 'M'
        WHEN 'marketing t f' THEN 'P until ' || c.marketing_until::date
        WHEN 'non_marketing f t' THEN 'N'
        ELSE 'impossible' END
$$;
CREATE VIEW usage AS SELECT account, billable, non_marketing, pending, total, billable_after_update FROM mkt.usage
WHERE total > 0 ORDER BY account;

-- INSERT: every status with every flag; an instant is not believed (T10, T12).
INSERT INTO contact (id, marketing_status, marketing_until_next_update, marketing_until)
SELECT concat_ws(', ', coalesce(s::text, 'null'), coalesce(f::text, 'null'), coalesce(u::text, 'null')), s, f, u
FROM unnest(ARRAY[NULL, 'non_marketing', 'marketing']::mkt.status[]) AS s,
     unnest(ARRAY[NULL, false, true]) AS f,
     unnest(ARRAY[NULL, '2020-01-01', '2030-01-01']::timestamptz[]) AS u;
SELECT split_part(id, ', ', 1) AS status, split_part(id, ', ', 2) AS flag, array_agg(DISTINCT state(contact)) AS state, count(*)
FROM contact GROUP BY 1, 2 ORDER BY 1, 2;
INSERT INTO contact (id) VALUES ('nothing') RETURNING state(contact);
TABLE usage;
SELECT * FROM mkt.verify();

-- UPDATE: from every state to every value of status and flag, with whatever instant.
DELETE FROM contact;
SET mktcontacts.clock = '2026-02-10 12:00+00';
INSERT INTO contact (id, account, marketing_status, marketing_until_next_update)
SELECT concat_ws(', ', from_state, s, f, u), 'a', status, flag
FROM (VALUES ('N', 'non_marketing'::mkt.status, false), ('M', 'marketing', false), ('P', 'marketing', true)) AS v (from_state, status, flag),
     unnest(enum_range(NULL::mkt.status)) AS s,
     unnest(ARRAY[false, true]) AS f,
     unnest(ARRAY['null', '2020-01-01', '2026-03-01', '2030-01-01']) AS u;
UPDATE contact SET marketing_status = split_part(id, ', ', 2)::mkt.status,
                   marketing_until_next_update = split_part(id, ', ', 3)::boolean,
                   marketing_until = nullif(split_part(id, ', ', 4), 'null')::timestamptz;
SELECT split_part(id, ', ', 1) AS "from", split_part(id, ', ', 2) AS status, split_part(id, ', ', 3) AS flag,
       array_agg(DISTINCT state(contact)) AS "to", count(*)
FROM contact GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
TABLE usage;
SELECT * FROM mkt.verify();

-- UPDATE of one column alone.
CREATE FUNCTION try(OUT start text, OUT change text, OUT result text) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    FOR start, change IN
        SELECT s, c FROM unnest(ARRAY['N', 'M', 'P']) AS s,
            unnest(ARRAY['marketing_status = ''marketing''', 'marketing_status = ''non_marketing''',
                         'marketing_until_next_update = true', 'marketing_until_next_update = false',
                         'marketing_until = now()', 'marketing_until = NULL',
                         'note = ''x''', 'marketing_source_type = ''api''']) AS c
    LOOP
        DELETE FROM contact;
        INSERT INTO contact (id, account, marketing_status, marketing_until_next_update)
        VALUES ('x', 'a', CASE WHEN start <> 'N' THEN 'marketing'::mkt.status END, start = 'P');
        EXECUTE 'UPDATE contact SET ' || change;
        SELECT state(c) INTO result FROM contact AS c;
        RETURN NEXT;
    END LOOP;
END $$;
SELECT start, string_agg(change, '; ') AS change, result FROM try() GROUP BY start, result ORDER BY start, result;

-- An update that writes back what was read asks nothing.
DELETE FROM contact;
INSERT INTO contact (id, account, marketing_status, marketing_until_next_update)
VALUES ('n', 'a', NULL, NULL), ('m', 'a', 'marketing', false), ('p', 'a', 'marketing', true);
UPDATE contact SET marketing_status = marketing_status, marketing_until_next_update = marketing_until_next_update,
                   marketing_until = marketing_until, account = account, note = 'seen';
SELECT string_agg(id || ': ' || state(contact), ', ' ORDER BY id) AS contacts FROM contact;

-- A whole life: up is immediate and down waits, on the day of creation too (T8); deletion counts at once (T4).
DELETE FROM contact;
INSERT INTO contact (id, account, marketing_status) VALUES ('x', 'a', 'marketing');
UPDATE contact SET marketing_status = 'non_marketing';
UPDATE contact SET marketing_status = 'non_marketing';
SELECT state(contact), mkt.billable('a') AS now, mkt.billable('a', '2026-03-01') AS march FROM contact;
UPDATE contact SET marketing_until_next_update = false;
SELECT state(contact), mkt.billable('a') AS now, mkt.billable('a', '2026-03-01') AS march FROM contact;
UPDATE contact SET marketing_until_next_update = true;
DELETE FROM contact;
SELECT mkt.billable('a') AS now, mkt.billable('a', '2026-03-01') AS march;

-- No other combination can be stored (S3), not even past the triggers.
INSERT INTO contact (id, account, marketing_status, marketing_until_next_update)
VALUES ('n', 'a', NULL, NULL), ('m', 'a', 'marketing', false), ('p', 'a', 'marketing', true);
SET session_replication_role = replica;
UPDATE contact SET marketing_until_next_update = true WHERE id = 'n';
UPDATE contact SET marketing_until = '2030-01-01' WHERE id = 'n';
UPDATE contact SET marketing_until_next_update = true WHERE id = 'm';
UPDATE contact SET marketing_until = NULL WHERE id = 'p';
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 'p';
UPDATE contact SET marketing_status = NULL WHERE id = 'm';
RESET session_replication_role;
UPDATE contact SET marketing_status = NULL WHERE id = 'm';
UPDATE contact SET marketing_until_next_update = NULL WHERE id = 'm';

-- Another account (T5): counts go along at once, a pending contact takes the new account's instant.
INSERT INTO mkt.account (account, commitment, started_on) VALUES ('other', 'monthly', '2025-01-20');
UPDATE contact SET account = 'other';
SELECT string_agg(id || ': ' || state(contact), ', ' ORDER BY id) AS contacts FROM contact;
TABLE usage;
UPDATE contact SET account = NULL;
SELECT string_agg(id || ': ' || state(contact), ', ' ORDER BY id) AS contacts FROM contact;
TABLE usage;
UPDATE contact SET account = 'other', marketing_status = 'non_marketing', marketing_until_next_update = false;
SELECT string_agg(id || ': ' || state(contact), ', ' ORDER BY id) AS contacts FROM contact;
TABLE usage;
UPDATE contact SET account = 'a', marketing_until_next_update = marketing_status = 'non_marketing';
SELECT string_agg(id || ': ' || state(contact), ', ' ORDER BY id) AS contacts FROM contact;
TABLE usage;
-- A contact's key may change, too.
UPDATE contact SET id = id || id;
SELECT * FROM mkt.verify();

SET client_min_messages = warning;
DROP SCHEMA states CASCADE;
DELETE FROM mkt.account;
