-- mkt.billable() and mkt.usage: the counts, now and at any instant to come (S2, P1, P8).

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';

-- Nothing attached: nobody has contacts, and settings are shown all the same.
INSERT INTO mkt.account (account, edition, commitment, started_on) VALUES ('a', 'professional', 'monthly', '2024-01-15'), ('idle', 'starter', 'annual', NULL);
SELECT mkt.billable('a'), mkt.billable(NULL) IS NULL AS null;
SELECT * FROM mkt.usage ORDER BY account;

CREATE SCHEMA reports;
SET search_path = reports;
CREATE TABLE contact (id integer PRIMARY KEY, account text);
CREATE TABLE lead (id integer PRIMARY KEY);
SELECT mkt.attach('contact', account_column => 'account');
SELECT mkt.attach('lead', account => 'a');
INSERT INTO contact SELECT i, (ARRAY['a', 'b', NULL, ''])[i % 4 + 1],
    CASE WHEN i % 3 > 0 THEN 'marketing'::mkt.status ELSE 'non_marketing' END, i % 3 = 2 FROM generate_series(1, 24) AS i;
INSERT INTO lead VALUES (1, 'marketing', false), (2, 'marketing', true), (3, NULL, NULL);
SELECT * FROM mkt.usage ORDER BY account;

-- At any instant from now on, to the microsecond, for ever.
SELECT at, mkt.billable('a', at) AS a, mkt.billable('b', at) AS b, mkt.billable('', at) AS "empty", mkt.billable('nobody', at) AS nobody
FROM unnest(ARRAY['2026-03-10 12:00', '2026-03-14 23:59:59.999999', '2026-03-15', '2026-03-31 23:59:59.999999', '2026-04-01', '9999-01-01', NULL]::timestamptz[]) AS at;
SELECT mkt.billable('a', '2026-03-10 11:59:59.999999');
SELECT mkt.billable('a', '-infinity');

-- The view shows the present and what comes next, wherever the clock stands.
SET mktcontacts.clock = '2026-03-20 12:00+00';
SELECT account, billable, non_marketing, pending, total, next_update, billable_after_update FROM mkt.usage ORDER BY account;
SET mktcontacts.clock = '2026-04-20 12:00+00';
SELECT account, billable, non_marketing, pending, total, next_update, billable_after_update FROM mkt.usage ORDER BY account;
CALL mkt.run();
SELECT account, billable, non_marketing, pending, total, next_update, billable_after_update FROM mkt.usage ORDER BY account;

-- mkt.is_marketing() is inlined, so that an index can serve it.
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 1;
EXPLAIN (COSTS OFF) SELECT id FROM contact WHERE mkt.is_marketing(marketing_status, marketing_until);
SELECT count(*) FROM contact WHERE mkt.is_marketing(marketing_status, marketing_until);
SELECT s, u, mkt.is_marketing(s, u)
FROM unnest(ARRAY['marketing', 'non_marketing', NULL]::mkt.status[]) AS s, unnest(ARRAY[NULL, '2026-04-20 12:00+00', '2026-04-20 12:00:00.000001+00']::timestamptz[]) AS u;

-- Under a parallel plan, too. PostgreSQL 16 gave the setting another name.
SELECT set_config(name, 'on', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SELECT mkt.billable('a'), mkt.next_update('a'), mkt.now();
SELECT count(*) FROM contact WHERE mkt.is_marketing(marketing_status, marketing_until);
SELECT sum(billable) FROM mkt.usage;
SELECT set_config(name, 'off', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA reports CASCADE;
DELETE FROM mkt.account;
