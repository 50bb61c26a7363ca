-- mkt.forecast() says what will be: the clock runs on, and each date is as it was forecast (P2, D1 to D8, S2, B1, B3).

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2027-11-20 12:00+00';
CREATE SCHEMA forecasts;
SET search_path = forecasts;

INSERT INTO mkt.edition VALUES ('ten');
INSERT INTO mkt.increment (edition, included, increment) VALUES ('ten', 10, 10);
INSERT INTO mkt.price (edition, currency, valid_to, base, per_increment) VALUES ('ten', 'EUR', '2028-02-01', 100, 10.5), ('ten', 'USD', NULL, 110, 11.25);
INSERT INTO mkt.price (edition, currency, valid_from, base, per_increment) VALUES ('ten', 'EUR', '2028-02-01', 120, 12.5);
INSERT INTO mkt.account (account, edition, commitment, started_on, time_zone, currency) VALUES
    ('annual', 'ten', 'annual', '2025-01-20', 'Europe/Oslo', 'EUR'), ('leap', 'ten', 'annual', '2024-02-29', 'Pacific/Auckland', 'USD'),
    ('first', 'ten', 'annual', '2027-03-01', 'UTC', 'EUR'), ('no start', 'ten', 'annual', NULL, 'Asia/Tokyo', 'EUR'),
    ('monthly', 'ten', 'monthly', '2027-04-15', 'America/New_York', 'USD'), ('clamped', 'ten', 'monthly', '2027-01-31', 'Europe/Oslo', 'EUR'),
    ('midnight', 'ten', 'monthly', '2027-05-30', 'America/Santiago', 'EUR'), ('no edition', NULL, 'monthly', '2027-06-10', 'Pacific/Apia', 'EUR'),
    ('no price', 'ten', 'annual', NULL, 'UTC', 'SEK'), ('42', 'ten', 'annual', NULL, 'UTC', 'EUR');
CREATE TABLE contact (id integer PRIMARY KEY, account text);
CREATE TABLE lead (id integer PRIMARY KEY);
SELECT mkt.attach('contact', account_column => 'account');
SELECT mkt.attach('lead', account => 'annual');

-- Each account has 6 to 36 contacts, and a third of them wait for their update date. The instant of one each has passed, and nobody has applied it.
CREATE TABLE account AS
SELECT account, row_number() OVER (ORDER BY account) AS n FROM (SELECT account FROM mkt.account UNION ALL SELECT 'nobody described') AS a;
INSERT INTO contact SELECT 1000 * n + i, account, 'marketing' FROM account, generate_series(1, 3 + n * 3) AS i;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id % 1000 = 1;
SET mktcontacts.clock = '2028-01-10 12:00+00';
UPDATE contact SET marketing_status = 'non_marketing' WHERE id % 3 = 0;
INSERT INTO lead SELECT i, 'marketing', i % 2 = 0 FROM generate_series(1, 9) AS i;
INSERT INTO contact SELECT 900000 + i, NULL, 'marketing', true FROM generate_series(1, 3) AS i;

-- Downgrades were requested for a renewal: covered then, not covered, to the present tier, for the renewal after the next.
INSERT INTO mkt.downgrade_request (account, renews_at, tier, requested_at, requested_by)
SELECT r.account, CASE WHEN r.later THEN mkt.next_renewal(r.account, mkt.next_renewal(r.account)) ELSE mkt.next_renewal(r.account) END, r.tier, mkt.now(), 'test'
FROM (VALUES ('clamped', 10, false), ('midnight', 10, false), ('leap', 20, false), ('monthly', 20, true)) AS r (account, tier, later);

SELECT * FROM mkt.forecast('annual', 5);
SELECT * FROM mkt.forecast('clamped', 3);
SELECT * FROM mkt.forecast('monthly', 3);
SELECT * FROM mkt.forecast('no edition', 2);
SELECT * FROM mkt.forecast('no price', 1);
SELECT * FROM mkt.forecast('nobody', 2);
SELECT count(*) FROM mkt.forecast('annual');
SELECT count(*) AS bigint, count(*) FILTER (WHERE t.* IS NOT DISTINCT FROM u.*) AS same FROM mkt.forecast(42, 3) AS t JOIN mkt.forecast('42', 3) AS u USING (update_at);
SELECT count(*) AS uuid FROM mkt.forecast('6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid, 4);
SELECT count(*) AS none FROM mkt.forecast('annual', 0);
SELECT count(*) AS nobody FROM mkt.forecast(NULL::text);
SELECT count(*) AS default FROM mkt.forecast('annual', NULL);
SELECT * FROM mkt.forecast('annual', -1);
\echo :SQLSTATE

-- What was said, and the instants at which it is looked at.
CREATE TABLE said AS
SELECT a.account, f.* FROM account AS a, mkt.forecast(a.account, 14) WITH ORDINALITY AS f (update_at, renewal, to_non_marketing, billable, tier, price, currency, i);
CREATE TABLE present AS SELECT account, billable FROM mkt.usage WHERE account IS NOT NULL;
CREATE TABLE seen (applied boolean, account text, at timestamptz, billable bigint, pending bigint, tier bigint, price numeric, currency text, next_update timestamptz);
\set ECHO none
SELECT format('SET mktcontacts.clock = %L', update_at),
    'INSERT INTO seen SELECT false, u.account, mkt.now(), mkt.billable(u.account), u.pending, u.tier, u.price, u.currency, u.next_update FROM mkt.usage AS u WHERE u.account IS NOT NULL',
    'CALL mkt.run()',
    'INSERT INTO seen SELECT true, u.account, mkt.now(), mkt.billable(u.account), u.pending, u.tier, u.price, u.currency, u.next_update FROM mkt.usage AS u WHERE u.account IS NOT NULL'
FROM (SELECT DISTINCT update_at FROM said) AS d ORDER BY update_at
\gexec
\set ECHO all

-- The count is what it was said to be, applied or not; nobody is left over; the next date is the next of the forecast.
SELECT count(*) AS looked_at, count(DISTINCT account) AS accounts, count(*) FILTER (WHERE renewal) AS renewals, sum(to_non_marketing) AS to_non_marketing
FROM said;
SELECT s.account, s.update_at, o.applied, s.billable AS said, o.billable AS is, o.pending, o.next_update
FROM said AS s LEFT JOIN seen AS o ON o.account = s.account AND o.at = s.update_at LEFT JOIN said AS n ON n.account = s.account AND n.i = s.i + 1
WHERE o.billable IS DISTINCT FROM s.billable OR o.pending <> 0 OR o.next_update <> n.update_at;
SELECT account, update_at, to_non_marketing, before, billable
FROM (SELECT account, update_at, to_non_marketing, billable, lag(billable, 1, (SELECT billable FROM present AS p WHERE p.account = s.account)) OVER (PARTITION BY account ORDER BY i) AS before
      FROM said AS s) AS s
WHERE to_non_marketing <> before - billable;
SELECT account, i FROM said WHERE renewal <> (update_at IS NOT DISTINCT FROM mkt.next_renewal(account, update_at - interval '1 microsecond'));

-- So are tier and price, once mkt.run() has renewed tiers; before it, too, where no downgrade was requested (B3).
SELECT s.account, s.update_at, o.applied, s.tier, o.tier AS is, s.price, o.price AS is, s.currency, o.currency AS is
FROM said AS s JOIN seen AS o ON o.account = s.account AND o.at = s.update_at
WHERE (o.applied OR NOT EXISTS (SELECT FROM mkt.downgrade_request AS d WHERE d.account = s.account))
  AND (o.tier IS DISTINCT FROM s.tier OR o.price IS DISTINCT FROM s.price OR o.currency IS DISTINCT FROM s.currency);
SELECT account, array_agg(DISTINCT tier) AS tiers, array_agg(DISTINCT price) AS prices, min(mkt.tier('ten', s.billable)) AS needed FROM said AS s GROUP BY account ORDER BY account;

-- Tiers whose sizes change: the old one stays, at the price of the one that covers it; no price while there are no sizes.
BEGIN;
UPDATE mkt.increment SET valid_to = '2029-05-01' WHERE edition = 'ten';
INSERT INTO mkt.increment (edition, valid_from, included, increment) VALUES ('ten', '2029-06-01', 8, 8);
SET LOCAL mktcontacts.clock = '2029-03-10 12:00+00';
SELECT f.* FROM mkt.forecast('clamped', 4) AS f;
SELECT f.* FROM mkt.forecast('annual', 4) AS f;
UPDATE mkt.increment SET included = 25 WHERE edition = 'ten' AND valid_from = '2029-06-01';
SELECT f.* FROM mkt.account AS a, mkt.forecast(a.account, 4) AS f WHERE a.account IN ('clamped', 'annual') AND update_at > '2029-06-01' ORDER BY a.account, 1;
SET LOCAL mktcontacts.clock = '2029-07-02 12:00+00';
CALL mkt.run();
SELECT account, billable, tier, price FROM mkt.usage WHERE account IN ('clamped', 'annual') ORDER BY account;
ROLLBACK;

-- With what the own transaction did, from one snapshot, and on what an account would pay.
BEGIN;
SET LOCAL mktcontacts.clock = '2029-03-10 12:00+00';
DELETE FROM contact WHERE account = 'annual' AND id % 3 = 1;
UPDATE lead SET marketing_status = 'marketing';
UPDATE lead SET marketing_status = 'non_marketing' WHERE id < 4;
SELECT * FROM mkt.forecast('annual', 2);
SELECT * FROM mkt.account_quote('annual', 31);
SELECT * FROM mkt.account_quote('annual', 5);
SELECT * FROM mkt.account_quote('annual', 5, paid => 0);
SELECT * FROM mkt.account_quote('annual', 10, '2028-01-31 22:59:59+00', 0);
SELECT * FROM mkt.account_quote('nobody', 10);
ROLLBACK;

-- Whose rights: those of mkt.billable() for the count, and a grant for the price.
CREATE ROLE forecast_reader;
GRANT USAGE ON SCHEMA forecasts TO forecast_reader;
SET ROLE forecast_reader;
SELECT * FROM mkt.forecast('annual', 1);
RESET ROLE;
GRANT EXECUTE ON FUNCTION mkt.account_quote(text, bigint, timestamptz, bigint) TO forecast_reader;
SET ROLE forecast_reader;
SELECT * FROM mkt.forecast('annual', 1);
RESET ROLE;
GRANT SELECT ON contact, lead TO forecast_reader;
ALTER TABLE contact ENABLE ROW LEVEL SECURITY;
ALTER TABLE lead ENABLE ROW LEVEL SECURITY;
CREATE POLICY annual ON contact TO forecast_reader USING (account = 'monthly');
SET ROLE forecast_reader;
SELECT 'seen' AS account, f.billable > 0 AS counts FROM mkt.forecast('monthly', 1) AS f UNION ALL SELECT 'hidden', f.billable > 0 FROM mkt.forecast('annual', 1) AS f;
RESET ROLE;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
REVOKE EXECUTE ON FUNCTION mkt.account_quote(text, bigint, timestamptz, bigint) FROM forecast_reader;
DROP SCHEMA forecasts CASCADE;
DROP ROLE forecast_reader;
DELETE FROM mkt.account;
DELETE FROM mkt.edition WHERE edition = 'ten';
