-- What every account's count was at every instant since a table was attached (P3): as it was read then, as the history of its
-- contacts says, however it is folded, and whatever has happened since.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA past;
SET search_path = past;
CREATE TABLE contact (id integer PRIMARY KEY, account text);
CREATE TABLE parted (account text, id integer, PRIMARY KEY (account, id)) PARTITION BY LIST (account);
CREATE TABLE part_a PARTITION OF parted FOR VALUES IN ('a');
CREATE TABLE part_b PARTITION OF parted FOR VALUES IN ('b', NULL);
CREATE TABLE whole (id integer PRIMARY KEY);
INSERT INTO contact SELECT i, 'a' FROM generate_series(1001, 1010) AS i;
SELECT mkt.attach(t, account_column => 'account') FROM unnest(ARRAY['contact', 'parted']::regclass[]) AS t;
SELECT mkt.attach('whole', account => 'a');
INSERT INTO mkt.account (account, commitment, started_on) VALUES ('b', 'monthly', '2025-01-15');

-- Half a year of days, each with a little of everything, and what was read at its end.
CREATE TABLE read_then (at timestamptz, account text, billable bigint, next_month bigint);
CREATE FUNCTION statement(n integer) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT (ARRAY[
        format('INSERT INTO contact SELECT i, %1$L, CASE WHEN i %% 3 > 0 THEN ''marketing'' END::mkt.status, i %% 5 = 0 FROM generate_series(%2$s, %2$s + 9) AS i ON CONFLICT DO NOTHING', account, id),
        format('UPDATE contact SET marketing_status = ''non_marketing'' WHERE id BETWEEN %s AND %s', id - 15, id + 5),
        format('INSERT INTO part_a SELECT ''a'', i, ''marketing'' FROM generate_series(%s, %s) AS i ON CONFLICT DO NOTHING', id, id + 4),
        format('UPDATE contact SET marketing_status = ''marketing'', marketing_until_next_update = %L WHERE id %% 7 = %s', n % 2 = 0, n % 7),
        format('UPDATE parted SET account = %L WHERE id %% 5 = %s', account, n % 5),
        format('UPDATE contact SET account = %L WHERE id %% 11 = %s', account, n % 11),
        format('DELETE FROM contact WHERE id %% 13 = %s', n % 13),
        format('UPDATE part_a SET marketing_status = ''non_marketing'' WHERE id %% 3 = %s', n % 3),
        format('INSERT INTO whole VALUES (%s, ''marketing'', %L) ON CONFLICT (id) DO UPDATE SET marketing_status = ''non_marketing''', n % 20, n % 2 = 1),
        format('DELETE FROM parted WHERE id %% 17 = %s', n % 17),
        format('UPDATE mkt.account SET started_on = date ''2025-01-15'' + %s', n % 9)])[n % 11 + 1]
    FROM (SELECT (ARRAY['a', 'b'])[n % 2 + 1] AS account, 10 * n % 400 AS id) AS v;
$$;
CREATE FUNCTION try(command text, back boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE command;
    IF back THEN
        RAISE 'back';
    END IF;
EXCEPTION WHEN raise_exception OR unique_violation THEN
    NULL;
END $$;
DO $$
DECLARE
    day timestamptz := '2026-03-10 12:00+00';
BEGIN
    FOR i IN 1..180 LOOP
        PERFORM set_config('mktcontacts.clock', (day + i * interval '1 day')::text, false);
        IF i = 100 THEN
            TRUNCATE parted;
        END IF;
        PERFORM try(statement(i * 5), false), try(statement(i * 7 + 2), i % 10 = 3), try(statement(i * 9 + 1), false);
        IF i % 12 = 0 THEN
            CALL mkt.apply_updates();
        ELSIF i % 25 = 7 THEN
            CALL mkt.run();
        END IF;
        INSERT INTO read_then SELECT mkt.now(), a, mkt.billable(a), mkt.billable(a, mkt.now() + interval '10 days') FROM unnest(ARRAY['a', 'b']) AS a;
    END LOOP;
END $$;
SELECT account, count(*), max(billable) - min(billable) > 20 AS moves, count(DISTINCT billable) > 15 AS often FROM read_then GROUP BY account ORDER BY account;
SELECT count(*) > 100 AS folded FROM mkt.contact_count_history;
CREATE VIEW wrong AS SELECT at, account, billable, now_told FROM read_then, mkt.billable(account, at) AS now_told WHERE now_told <> billable;
SELECT * FROM wrong;
-- One instant before it, it was as on the day before, but for dates that passed; at -infinity and before the attachment nobody was marketing.
SELECT mkt.billable('a', '2026-03-10 11:59'), mkt.billable('b', '-infinity');

-- The contacts' own histories add up to the same.
CREATE FUNCTION by_history(day timestamptz, account_name text) RETURNS bigint LANGUAGE sql AS $$
    SELECT sum(n)::bigint FROM (
        SELECT count(*) AS n FROM (SELECT DISTINCT contact FROM mkt.past_contact_history WHERE contact IS NOT NULL) AS k
        WHERE mkt.status_at('contact', contact, day) = 'marketing'
        AND account_name = (SELECT account FROM mkt.past_contact_history AS h WHERE h.contact = k.contact AND changed_at <= day ORDER BY change DESC LIMIT 1)
        UNION ALL
        SELECT count(*) FROM (SELECT DISTINCT contact FROM mkt.past_parted_history WHERE contact IS NOT NULL) AS k
        WHERE mkt.status_at('parted', contact, day, account_name) = 'marketing'
        UNION ALL
        SELECT count(*) FROM generate_series(0, 19) AS k WHERE account_name = 'a' AND mkt.status_at('whole', k, day) = 'marketing') AS n;
$$;
SELECT at, account, told - billable AS difference FROM read_then, by_history(at, account) AS told
WHERE at::date IN ('2026-04-15', '2026-06-17', '2026-08-20') ORDER BY at, account;

-- Folded, repaired, emptied, forgotten, another table attached: the past stays.
CALL mkt.run();
SELECT count(*) FROM mkt.contact_count WHERE at IS NOT NULL;
SELECT * FROM wrong;
SELECT * FROM mkt.repair();
SET mktcontacts.clock = '2026-09-08 12:00+00';
TRUNCATE whole;
SELECT * FROM wrong;
CREATE TABLE late (id integer PRIMARY KEY, account text);
SELECT mkt.attach('late', account_column => 'account');
INSERT INTO late VALUES (1, 'a', 'marketing');
SELECT * FROM wrong;
SELECT count(mkt.forget('contact', id)) > 10 AS forgotten FROM contact;
SELECT * FROM wrong;

-- In a transaction: what it has done itself counts from its own instant on, at every level, also when it goes.
SET mktcontacts.clock = '2026-09-10 12:00+00';
SELECT mkt.billable('a') AS a \gset
BEGIN;
INSERT INTO part_a SELECT 'a', i, 'marketing' FROM generate_series(901, 905) AS i;
SAVEPOINT s;
INSERT INTO contact SELECT i, 'a', 'marketing' FROM generate_series(901, 905) AS i;
SELECT mkt.billable('a') - :a AS now, mkt.billable('a', mkt.now()) - :a AS at_this_instant, mkt.billable('a', mkt.now() - interval '1 microsecond') - :a AS before, (SELECT count(*) FROM wrong) AS wrong;
ROLLBACK TO s;
TRUNCATE part_a;
SELECT mkt.billable('a', mkt.now() - interval '1 microsecond') - :a AS before, (SELECT count(*) FROM wrong) AS wrong;
ROLLBACK;
SELECT mkt.billable('a') - :a AS now, (SELECT count(*) FROM wrong) AS wrong;

-- A clock that has gone back does not change what is before it.
SET mktcontacts.clock = '2026-09-01 12:00+00';
INSERT INTO contact SELECT i, 'a', 'marketing' FROM generate_series(901, 905) AS i;
SET mktcontacts.clock = '2026-09-10 12:00+00';
SELECT at, now_told - billable AS more FROM wrong ORDER BY at;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA past CASCADE;
DELETE FROM mkt.account;
