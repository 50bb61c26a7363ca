-- Tiers (B1), quotes (B6) and what mkt.usage says of them.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';

-- Around every step, also at the ends of bigint.
SELECT n, mkt.tier('starter', n) AS starter, mkt.tier('professional', n) AS professional, mkt.tier('enterprise', n) AS enterprise, mkt.tier('none', n) AS none
FROM unnest(ARRAY[0, 1, 999, 1000, 1001, 2000, 2001, 7000, 7001, 10000, 10001, 12000, 12001, 20000, 20001, -1, NULL]) AS n;
SELECT n, mkt.tier_limit(0, 1, n), mkt.tier_increments(0, 1, n), mkt.tier_increments(5, 9223372036854775807, n)
FROM unnest(ARRAY[-9223372036854775808, -1, 0, 1, 5, 6, 9223372036854775806, 9223372036854775807]) AS n;
SELECT mkt.tier_limit(9223372036854775807, 9223372036854775807, 9223372036854775807), mkt.tier_limit(7, 9223372036854775800, 8);
SELECT mkt.tier_limit(8, 9223372036854775800, 9);
SELECT mkt.tier_limit(0, 10, 9223372036854775807);
SELECT mkt.tier_limit(-1, 10, 1);
SELECT mkt.tier_limit(1, 0, 1);
SELECT mkt.tier_increments(-1, 10, 1);
SELECT mkt.tier_increments(1, 0, 1);
SELECT mkt.tier('starter', 9223372036854775807);
\echo :SQLSTATE

-- Lines, in both modes, around the bands.
SELECT n, q.* FROM unnest(ARRAY[0, 2000, 2001, 22000, 22001, 27001, 42001]) AS n, mkt.quote('professional', n, 'EUR') AS q;
SELECT n, q.* FROM unnest(ARRAY[0, 10001, 50000, 50001, 60001, 100000, 100001]) AS n, mkt.quote('enterprise', n, 'USD') AS q;
SELECT n, mkt.price('professional', n, 'EUR'), mkt.price('enterprise', n, 'USD') FROM unnest(ARRAY[0, 22001, 100001, NULL, -1]) AS n;
SELECT mkt.line_quantity(m, 1, 4, NULL), mkt.line_quantity(m, 0, 0, NULL) FROM unnest(enum_range(NULL::mkt.price_mode)) AS m;

-- Each line is rounded once, half away from zero, to the currency's minor unit; the price is the sum of the lines.
BEGIN;
INSERT INTO mkt.edition VALUES ('gold');
INSERT INTO mkt.increment (edition, included, increment) VALUES ('gold', 100, 10);
INSERT INTO mkt.price (edition, currency, base, per_increment) SELECT 'gold', c, 10.0005, 0.3335 FROM unnest(ARRAY['JPY', 'EUR', 'KWD', 'CHF']) AS c;
INSERT INTO mkt.price_band (edition, currency, from_increment, per_increment) SELECT 'gold', c, 2, 0.1675 FROM unnest(ARRAY['JPY', 'EUR', 'KWD', 'CHF']) AS c;
UPDATE mkt.price SET mode = 'volume' WHERE currency = 'CHF';
SELECT c AS currency, q.* FROM unnest(ARRAY['JPY', 'EUR', 'KWD', 'CHF']) AS c, mkt.quote('gold', 140, c) AS q;
SELECT c AS currency, mkt.price('gold', 140, c) FROM unnest(ARRAY['JPY', 'EUR', 'KWD', 'CHF']) AS c;

-- A price holds from the first day to the day before the last, in the session's time zone where the argument is an instant.
UPDATE mkt.price SET valid_to = '2026-04-01' WHERE edition = 'gold' AND currency = 'EUR';
INSERT INTO mkt.price (edition, currency, valid_from, valid_to, base, per_increment) VALUES ('gold', 'EUR', '2026-04-01', '2026-06-01', 20, 2);
UPDATE mkt.increment SET valid_to = '2026-05-01' WHERE edition = 'gold';
INSERT INTO mkt.increment (edition, valid_from, included, increment) VALUES ('gold', '2026-05-01', 200, 20);
SELECT day, mkt.tier('gold', 140, day), mkt.price('gold', 140, 'EUR', day), mkt.price('gold', 201, 'EUR', day)
FROM unnest(ARRAY[NULL, '2026-03-31', '2026-04-01', '2026-04-30', '2026-05-01', '2026-05-31', '2026-06-01']::date[]) AS day;
SET timezone = 'Europe/Oslo';
SELECT mkt.price('gold', 100, 'EUR', '2026-03-31 21:59:59+00') AS before, mkt.price('gold', 100, 'EUR', '2026-03-31 22:00+00') AS after,
    mkt.price('gold', 100, 'EUR', '2026-03-31') AS march, mkt.price('gold', 100, 'EUR', '2026-04-01') AS april, mkt.price('gold', 100, 'EUR', date '2026-04-01') AS april;
SET timezone = 'UTC';
SET mktcontacts.clock = '2026-04-02 12:00+00';
SELECT mkt.price('gold', 100, 'EUR');
SELECT price FROM mkt.quote('gold', 100, 'EUR');
SET mktcontacts.clock = '2026-03-10 12:00+00';

-- What is missing is named, with the row to insert.
\set ON_ERROR_ROLLBACK on
\set SHOW_CONTEXT never
SELECT * FROM mkt.quote('gold', 100, 'EUR', '2026-06-01');
\echo :SQLSTATE
SELECT * FROM mkt.quote('silver', 100, 'EUR');
SELECT * FROM mkt.quote('gold', 100, 'XXX');
INSERT INTO mkt.edition VALUES ('it''s');
SELECT * FROM mkt.quote('it''s', 100, 'EUR');
SELECT * FROM mkt.quote('gold', -1, 'EUR');
SELECT * FROM mkt.quote(NULL, 1, 'EUR');
SELECT * FROM mkt.quote('gold', NULL, 'EUR');
SELECT * FROM mkt.quote('gold', 1, NULL);
SELECT * FROM mkt.quote('starter', 9223372036854775807, 'EUR');
SELECT mkt.price('gold', 100, 'EUR', '2026-06-01') AS none, mkt.price('silver', 100, 'EUR') AS none, mkt.price('gold', 100, 'XXX') AS none,
    mkt.tier('silver', 100) AS none, mkt.tier('gold', 1, 'infinity') AS none;
ROLLBACK;
\unset ON_ERROR_ROLLBACK

-- mkt.usage: the tier of the billable count, its price in the account's currency and on the day that it is there.
CREATE SCHEMA tiers;
SET search_path = tiers;
CREATE TABLE contact (id integer PRIMARY KEY, account text);
SELECT mkt.attach('contact', account_column => 'account');
INSERT INTO contact SELECT i, CASE WHEN i <= 1000 THEN 'full' WHEN i <= 2001 THEN 'over' WHEN i <= 2004 THEN 'none' ELSE 'undescribed' END, 'marketing'
FROM generate_series(1, 2005) AS i;
INSERT INTO mkt.account (account, edition, currency) VALUES ('full', 'starter', 'EUR'), ('over', 'starter', 'USD'), ('idle', 'enterprise', 'USD'),
    ('none', NULL, 'EUR'), ('yen', 'professional', 'JPY');
SELECT account, edition, billable, tier, tier_used, price, currency FROM mkt.usage ORDER BY account;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 1001;
SELECT account, billable, tier, tier_used, price FROM mkt.usage WHERE account = 'over';
DELETE FROM contact WHERE id = 1001;
SELECT account, billable, tier, tier_used, price FROM mkt.usage WHERE account = 'over';
BEGIN;
UPDATE mkt.price SET valid_to = '2026-03-11' WHERE edition = 'starter';
INSERT INTO mkt.price (edition, currency, valid_from, base, per_increment) VALUES ('starter', 'EUR', '2026-03-11', 50, 5);
UPDATE mkt.account SET time_zone = 'Pacific/Kiritimati' WHERE account = 'full';
SELECT account, billable, tier, tier_used, price FROM mkt.usage WHERE account IN ('full', 'over') ORDER BY account;
DELETE FROM mkt.increment WHERE edition = 'starter';
SELECT account, billable, tier, tier_used, price FROM mkt.usage WHERE account IN ('full', 'over') ORDER BY account;
ROLLBACK;

-- Increments of one; none above what is included; and no quote of nothing.
SELECT mkt.tier_limit(10, 1, 15), mkt.tier_increments(10, 1, 15), mkt.tier_increments(10, 5, 0), mkt.tier_limit(10, 5, 10), mkt.tier_limit(10, 5, 11);
SELECT mkt.tier_limit(10, 0, 15);
SELECT mkt.refuse_quote(NULL, 1, 'EUR', '2026-01-01', 'price');
SELECT mkt.refuse_quote('starter', NULL, 'EUR', '2026-01-01', 'price');
SELECT mkt.refuse_quote('starter', 1, NULL, '2026-01-01', 'price');
SELECT mkt.refuse_quote('starter', 1, 'EUR', NULL, 'price');
SELECT mkt.refuse_quote('starter', 1, 'EUR', '2026-01-01', NULL);

-- Tiers and prices are for whom an administrator lets; mkt.usage shows them with nothing more.
CREATE ROLE mkt_teller;
GRANT SELECT ON mkt.usage TO mkt_teller;
SET ROLE mkt_teller;
SELECT account, tier, price FROM mkt.usage WHERE account = 'full';
SELECT * FROM mkt.quote('starter', 1, 'EUR');
SELECT mkt.tier('starter', 1);
SELECT mkt.price('starter', 1, 'EUR');
SELECT * FROM mkt.tariff;
SELECT mkt.refuse_quote('starter', 1, 'EUR', '2026-01-01', 'price');
RESET ROLE;
GRANT EXECUTE ON FUNCTION mkt.quote, mkt.price, mkt.tier TO mkt_teller;
SET ROLE mkt_teller;
SELECT * FROM mkt.quote('starter', 1001, 'EUR');
SELECT mkt.tier('starter', 1001), mkt.price('starter', 1001, 'EUR');
SELECT * FROM mkt.quote('starter', 1, 'JPY');
RESET ROLE;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
REVOKE EXECUTE ON FUNCTION mkt.quote, mkt.price, mkt.tier FROM mkt_teller;
DROP OWNED BY mkt_teller;
DROP ROLE mkt_teller;
DROP SCHEMA tiers CASCADE;
DELETE FROM mkt.account;
