-- mkt.advice(): how few contacts are too many, and until when to ask (P7, B1, B4).

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-02 12:00+00';

-- Five business days before each day of a week. As counted one by one, for other numbers, too.
SELECT to_char(d, 'Dy DD') AS renewal, to_char(mkt.business_days_before(d::date, 5), 'Dy DD') AS last_day FROM generate_series(timestamp '2026-06-15', '2026-06-21', '1 day') AS d;
SELECT d::date, n, mkt.business_days_before(d::date, n), o.day
FROM generate_series(timestamp '2023-12-20', '2026-01-10', '1 day') AS d, generate_series(1, 12) AS n,
    LATERAL (SELECT x::date AS day FROM generate_series(d - interval '1 day', d - interval '20 days', interval '-1 day') AS x WHERE extract(isodow FROM x) < 6 ORDER BY x DESC OFFSET n - 1 LIMIT 1) AS o
WHERE mkt.business_days_before(d::date, n) IS DISTINCT FROM o.day;

-- The days are those of the account's zone. In every zone, for two years of renewals: what the calendar of that zone says.
SELECT count(DISTINCT name) > 300 AS zones,
    count(*) FILTER (WHERE mkt.downgrade_deadline('monthly', '2020-01-30', name, after)
        IS DISTINCT FROM mkt.business_days_before((mkt.next_renewal('monthly', '2020-01-30', name, after) AT TIME ZONE name)::date, 5)) AS differ,
    count(*) FILTER (WHERE extract(isodow FROM mkt.downgrade_deadline('monthly', '2020-01-30', name, after)) > 5) AS weekends
FROM pg_timezone_names, generate_series(timestamptz '2024-01-01', '2025-12-01', '1 month') AS after
WHERE name LIKE '%/%' AND name NOT LIKE 'posix/%' AND name NOT LIKE 'Etc/%';
SELECT zone, mkt.next_renewal('annual', '2024-06-22', zone, '2026-01-01') AS renewal, mkt.downgrade_deadline('annual', '2024-06-22', zone, '2026-01-01') AS last_day
FROM unnest(ARRAY['Pacific/Kiritimati', 'UTC', 'Pacific/Pago_Pago', NULL]) AS zone;
SELECT mkt.downgrade_deadline('annual', NULL, 'UTC') AS no_start, mkt.downgrade_deadline('nobody') AS nobody, mkt.downgrade_deadline(NULL::text) AS "null";

CREATE SCHEMA advices;
SET search_path = advices;
CREATE TABLE contact (id integer PRIMARY KEY, account text);
SELECT mkt.attach('contact', account_column => 'account');
INSERT INTO mkt.edition VALUES ('ten'), ('none');
INSERT INTO mkt.increment (edition, included, increment) VALUES ('ten', 10, 10);
INSERT INTO mkt.price (edition, currency, base, per_increment) VALUES ('ten', 'EUR', 100, 10.5);
INSERT INTO mkt.account (account, edition, commitment, started_on, time_zone, currency) VALUES
    ('over', 'ten', 'annual', '2024-06-22', 'Europe/Oslo', 'EUR'), ('monthly', 'ten', 'monthly', '2024-01-31', 'America/New_York', 'EUR'),
    ('one', 'ten', 'annual', '2024-06-22', 'UTC', 'SEK'), ('fits', 'ten', 'annual', '2024-06-22', 'UTC', 'EUR'), ('lowest', 'ten', 'annual', '2024-06-22', 'UTC', 'EUR'),
    ('no start', 'ten', 'annual', NULL, 'UTC', 'EUR'), ('no edition', NULL, 'annual', '2024-06-22', 'UTC', 'EUR'), ('no sizes', 'none', 'annual', '2024-06-22', 'UTC', 'EUR'),
    ('42', 'ten', 'annual', '2024-06-22', 'UTC', 'EUR');
INSERT INTO contact SELECT row_number() OVER (), account, 'marketing'
FROM (VALUES ('over', 37), ('monthly', 25), ('one', 21), ('fits', 25), ('lowest', 10), ('no start', 21), ('no edition', 21), ('no sizes', 5), ('42', 11), ('nobody described', 3)) AS a (account, n),
    generate_series(1, a.n) ORDER BY account;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id IN (SELECT id FROM contact WHERE account = 'over' ORDER BY id LIMIT 3)
    OR id IN (SELECT id FROM contact WHERE account = 'fits' ORDER BY id LIMIT 7);
\pset expanded on
SELECT a.* FROM unnest(ARRAY['over', 'monthly', 'one', 'fits']) AS account, mkt.advice(account) AS a;
\pset expanded off
SELECT account, a.billable, a.tier, a.lower_tier, a.contacts_to_set AS n, a.request_by, a.advice
FROM unnest(ARRAY['lowest', 'no start', 'no edition', 'no sizes', 'nobody described']) AS account, mkt.advice(account) AS a;
SELECT count(*) AS none FROM mkt.advice(NULL::text);
SELECT n.advice = t.advice AS same, (SELECT advice FROM mkt.advice('6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid)) FROM mkt.advice(42) AS n, mkt.advice('42') AS t;
SELECT mkt.downgrade_deadline(42), mkt.downgrade_deadline(42, '2026-06-23'), mkt.downgrade_deadline('6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid) AS nobody;

-- The last instant of the last day, and the first that is too late.
SELECT format('SET mktcontacts.clock = %L', at), 'SELECT mkt.now(), renewal_at, request_by, contacts_to_set AS n, advice FROM mkt.advice(''over'')'
FROM unnest(ARRAY['2026-06-15 21:59:59.999999+00', '2026-06-15 22:00+00']) AS at
\gexec
SELECT format('SET mktcontacts.clock = %L', at), 'SELECT mkt.now(), renewal_at, request_by FROM mkt.advice(''monthly'')'
FROM unnest(ARRAY['2026-05-23 03:59+00', '2026-05-23 04:00+00', '2026-05-31 03:59+00', '2026-05-31 04:00+00']) AS at
\gexec

-- A downgrade that is requested already: to one tier below or further; too late for another one.
SET mktcontacts.clock = '2026-06-10 12:00+00';
INSERT INTO mkt.downgrade_request (account, renews_at, tier, requested_at, requested_by) VALUES
    ('over', '2026-06-21 22:00+00', 20, mkt.now(), 'test'), ('fits', '2026-06-22', 20, mkt.now(), 'test'), ('one', '2026-06-22', 30, mkt.now(), 'test');
SET mktcontacts.clock = '2026-06-18 12:00+00';
SELECT account, a.renewal_at, a.billable_at_renewal AS then, a.tier, a.lower_tier AS lower, a.contacts_to_set AS n, a.saving, a.advice FROM unnest(ARRAY['over', 'fits', 'one']) AS account, mkt.advice(account) AS a;
DELETE FROM mkt.downgrade_request WHERE account = 'over';

-- So many and no fewer: with one less the lower tier does not cover the count at the renewal.
SET mktcontacts.clock = '2026-06-10 12:00+00';
SELECT contacts_to_set, lower_tier FROM mkt.advice('over');
BEGIN;
UPDATE contact SET marketing_status = 'non_marketing'
WHERE id IN (SELECT id FROM contact WHERE account = 'over' AND mkt.is_marketing(marketing_status, marketing_until) ORDER BY id LIMIT (SELECT contacts_to_set - 1 FROM mkt.advice('over')));
SELECT mkt.billable('over', renewal_at) AS at_renewal, mkt.tier('ten', mkt.billable('over', renewal_at)), lower_tier, contacts_to_set AS n FROM mkt.advice('over');
UPDATE contact SET marketing_status = 'non_marketing'
WHERE id = (SELECT id FROM contact WHERE account = 'over' AND mkt.is_marketing(marketing_status, marketing_until) AND NOT marketing_until_next_update LIMIT 1);
SELECT mkt.billable('over', renewal_at) AS at_renewal, mkt.tier('ten', mkt.billable('over', renewal_at)), lower_tier, contacts_to_set AS n FROM mkt.advice('over');
COMMIT;
SET mktcontacts.clock = '2026-06-21 22:00+00';
SELECT mkt.billable('over'), mkt.tier('ten', mkt.billable('over'));

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA advices CASCADE;
DELETE FROM mkt.account;
DELETE FROM mkt.edition WHERE edition IN ('ten', 'none');
