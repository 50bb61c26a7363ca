-- When update dates and renewals are (D1 to D5, D8).

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';

-- The next n dates, as local time.
CREATE FUNCTION pg_temp.dates(c mkt.commitment, d date, z text, after timestamptz, n integer, OUT updates text, OUT renewals text)
LANGUAGE sql AS $$
    WITH RECURSIVE u (i, t) AS (
        SELECT 1, mkt.next_update(c, d, z, after) UNION ALL SELECT i + 1, mkt.next_update(c, d, z, t) FROM u WHERE i < n
    ), r (i, t) AS (
        SELECT 1, mkt.next_renewal(c, d, z, after) UNION ALL SELECT i + 1, mkt.next_renewal(c, d, z, t) FROM r WHERE i < n
    )
    SELECT (SELECT string_agg(to_char(t AT TIME ZONE z, 'YYYY-MM-DD'), ' ' ORDER BY i) FROM u),
           (SELECT string_agg(to_char(t AT TIME ZONE z, 'YYYY-MM-DD'), ' ' ORDER BY i) FROM r)
$$;

-- Annual: the first of the month, and the renewal when it comes earlier (D1).
SELECT * FROM pg_temp.dates('annual', '2024-06-20', 'UTC', '2026-05-10', 4);
SELECT * FROM pg_temp.dates('annual', '2024-06-01', 'UTC', '2026-05-10', 3);
SELECT * FROM pg_temp.dates('annual', NULL, 'UTC', '2026-12-31', 3);
-- Monthly: the day on which it was bought (D2).
SELECT * FROM pg_temp.dates('monthly', '2025-04-15', 'UTC', '2025-04-15', 4);
-- The 29th, 30th and 31st keep their day and are clamped to the month's end (D3).
SELECT * FROM pg_temp.dates('monthly', '2023-12-31', 'UTC', '2024-01-01', 6);
SELECT * FROM pg_temp.dates('monthly', '2025-01-29', 'UTC', '2025-01-29', 6);
SELECT * FROM pg_temp.dates('annual', '2024-02-29', 'UTC', '2024-02-29', 5);

-- A term that has not begun yet ends a term after its start.
SELECT * FROM pg_temp.dates('annual', '2028-06-20', 'UTC', '2026-03-10', 2);
SELECT * FROM pg_temp.dates('monthly', '2026-06-20', 'UTC', '2026-03-10', 2);

-- The start of the day in the account's zone; where midnight is skipped, the first instant that exists; where it comes twice,
-- the first; where the whole day was left out, the first instant after it (D4).
SELECT zone, instant, instant AT TIME ZONE zone AS local, (instant - interval '1 second') AT TIME ZONE zone AS second_before
FROM (VALUES ('Europe/Oslo', '2026-01-15'::date, '2026-07-10'::timestamptz), ('Asia/Kathmandu', '2026-01-15', '2026-07-10'),
             ('America/Sao_Paulo', '2017-01-15', '2017-10-10'), ('Asia/Beirut', '2021-01-28', '2021-03-20'),
             ('Africa/Cairo', '2014-01-16', '2014-05-10'), ('America/Havana', '2020-01-01', '2020-10-20'),
             ('Pacific/Apia', '2011-01-30', '2011-12-20')) AS v (zone, start, after),
     LATERAL mkt.next_update('monthly', start, zone, after) AS instant;

-- At the instant itself the next period has begun (D5).
SELECT mkt.next_update('annual', NULL, 'Europe/Oslo', '2026-04-01 00:00+02') AS at,
       mkt.next_update('annual', NULL, 'Europe/Oslo', '2026-03-31 23:59:59.999999+02') AS before;

-- By account, from now or from any instant; an account without settings is annual in UTC and has no renewal (D8).
INSERT INTO mkt.account (account, commitment, started_on, time_zone)
VALUES ('oslo', 'annual', '2024-03-20', 'Europe/Oslo'), ('tokyo', 'monthly', '2025-12-31', 'Asia/Tokyo'), ('plain', DEFAULT, NULL, DEFAULT);
SELECT account, mkt.next_update(account), mkt.next_update(account, '2026-05-01'), mkt.next_renewal(account), mkt.next_renewal(account, '2030-01-01')
FROM unnest(ARRAY['oslo', 'tokyo', 'plain', 'unknown', NULL]) AS account;
SELECT mkt.next_update('oslo', NULL) = mkt.next_update('oslo') AS null_is_now, mkt.next_update(NULL, NULL, NULL, NULL);

-- The end of the calendar.
SELECT mkt.next_update('annual', NULL, 'UTC', '294276-11-30'), mkt.next_update('annual', NULL, 'UTC', '294276-12-01'), mkt.next_renewal('annual', '2024-01-01', 'UTC', '294276-01-01');
SELECT mkt.next_update('plain', '294276-12-30');
SELECT mkt.next_update('oslo', 'infinity');
SELECT mkt.next_renewal('oslo', '-infinity');
SELECT mkt.next_update('annual', NULL, 'Mars/Olympus', now());

-- There are no update dates before our era, nor after the last timestamp; without a commitment they are those of an annual one.
SELECT mkt.next_update('annual', NULL, 'UTC', '0044-03-15 BC'), mkt.next_update('annual', NULL, 'UTC', '0001-02-10 BC'), mkt.next_update('annual', NULL, 'Asia/Kathmandu', '294276-12-15');
SELECT started_on, mkt.next_update('monthly', started_on, 'UTC', '2026-03-10'), mkt.next_update('annual', started_on, 'UTC', '294276-11-30')
FROM unnest(ARRAY['294275-12-31', '294276-12-31', '294277-01-01', '2000000-01-01', '5874897-12-31']::date[]) AS started_on;
SELECT mkt.next_update(NULL, started_on, 'UTC', '2026-03-10'), mkt.next_update('monthly', started_on, 'UTC', '2026-03-10') FROM unnest(ARRAY[NULL, '2025-03-20']::date[]) AS started_on;

SELECT * FROM mkt.verify();
DELETE FROM mkt.account;
