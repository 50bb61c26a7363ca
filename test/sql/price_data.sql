-- Editions, increments, prices, currencies and thresholds: what ships, what can be changed, and what cannot be stored.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';

-- What ships. Every price is marked as an example, and every edition has one in EUR and in USD.
SELECT * FROM mkt.edition JOIN mkt.increment USING (edition) ORDER BY included;
SELECT * FROM mkt.threshold ORDER BY percent;
SELECT decimals, count(*), bool_and(shipped) AS shipped FROM mkt.currency GROUP BY decimals ORDER BY decimals;
SELECT currency, decimals FROM mkt.currency WHERE currency IN ('EUR', 'USD', 'JPY', 'KWD', 'NOK') ORDER BY currency;
SELECT edition, currency, mode, base, per_increment, example, shipped FROM mkt.price ORDER BY currency, base;
SELECT edition, currency, from_increment, per_increment, shipped FROM mkt.price_band ORDER BY currency, edition, from_increment;
SELECT line, from_increment, to_increment, unit_price, valid_from, valid_to, decimals, mode, example FROM mkt.tariff
WHERE edition = 'enterprise' AND currency = 'EUR' ORDER BY line;

-- Validity does not overlap, not even by a day, and has a day at least.
BEGIN;
INSERT INTO mkt.edition VALUES ('gold'), ('goldfish');
\set ON_ERROR_ROLLBACK on
INSERT INTO mkt.increment (edition, valid_from, valid_to, included, increment) VALUES
    ('gold', '2026-01-01', '2026-07-01', 100, 50), ('gold', '2026-07-01', NULL, 200, 50), ('goldfish', '-infinity', NULL, 1, 1);
INSERT INTO mkt.increment (edition, valid_from, valid_to, included, increment) VALUES ('gold', '2026-06-30', '2026-07-01', 300, 50);
INSERT INTO mkt.increment (edition, valid_from, included, increment) VALUES ('gold', '2030-01-01', 300, 50);
INSERT INTO mkt.increment (edition, valid_to, included, increment) VALUES ('gold', '2026-01-02', 300, 50);
INSERT INTO mkt.increment (edition, valid_to, included, increment) VALUES ('gold', '2026-01-01', 300, 50);
UPDATE mkt.increment SET valid_to = '2026-07-02' WHERE edition = 'gold' AND included = 100;
UPDATE mkt.increment SET valid_to = NULL WHERE edition = 'gold' AND included = 100;
UPDATE mkt.increment SET valid_to = valid_from WHERE edition = 'gold' AND included = 100;
INSERT INTO mkt.increment (edition, included, increment) VALUES ('gold', 300, 50);
INSERT INTO mkt.price (edition, currency, valid_from, valid_to, base, per_increment) VALUES
    ('gold', 'EUR', '2026-01-01', '2026-04-01', 10, 1), ('gold', 'EUR', '2026-04-01', NULL, 12, 1), ('gold', 'JPY', '2026-02-01', NULL, 1200, 100);
INSERT INTO mkt.price (edition, currency, valid_from, valid_to, base, per_increment) VALUES ('gold', 'EUR', '2026-03-31', '2026-04-01', 9, 1);
INSERT INTO mkt.price (edition, currency, valid_from, valid_to, base, per_increment) VALUES ('gold', 'EUR', '2026-03-01', '2026-03-01', 9, 1);
INSERT INTO mkt.threshold (percent, valid_from) VALUES (75, '2026-01-01');
INSERT INTO mkt.threshold (percent, valid_from) VALUES (80, '2026-01-01');
INSERT INTO mkt.currency (currency, valid_from, decimals) VALUES ('EUR', '2026-01-01', 3);
UPDATE mkt.currency SET valid_to = '2026-01-01' WHERE currency = 'EUR';
INSERT INTO mkt.currency (currency, valid_from, decimals) VALUES ('EUR', '2026-01-01', 3);
SELECT DISTINCT valid_from, valid_to, included, decimals, currency FROM mkt.tariff WHERE edition = 'gold' ORDER BY currency, valid_from;
UPDATE mkt.increment SET valid_to = CASE valid_to WHEN '2026-07-01' THEN '2026-08-01' ELSE valid_to END,
    valid_from = CASE valid_from WHEN '2026-07-01' THEN '2026-08-01' ELSE valid_from END WHERE edition = 'gold';
SELECT valid_from, valid_to, included FROM mkt.increment WHERE edition = 'gold' ORDER BY valid_from;

-- A migration that runs twice names the key, for the exclusion constraints are looked at later.
INSERT INTO mkt.threshold (percent) VALUES (75), (60) ON CONFLICT (percent, valid_from) DO NOTHING;
INSERT INTO mkt.threshold (percent) VALUES (50) ON CONFLICT DO NOTHING;

-- Other nonsense.
INSERT INTO mkt.edition VALUES ('');
INSERT INTO mkt.increment (edition, included, increment) VALUES ('silver', 1, 1);
UPDATE mkt.increment SET increment = 0 WHERE edition = 'goldfish';
UPDATE mkt.increment SET included = -1 WHERE edition = 'goldfish';
UPDATE mkt.increment SET increment = 1000000000000001 WHERE edition = 'goldfish';
INSERT INTO mkt.price (edition, currency, base, per_increment) VALUES ('silver', 'EUR', 1, 1);
UPDATE mkt.price SET currency = 'euro' WHERE edition = 'gold';
UPDATE mkt.price SET base = -0.01 WHERE edition = 'gold';
UPDATE mkt.price SET base = 'NaN' WHERE edition = 'gold';
UPDATE mkt.price SET per_increment = 'Infinity' WHERE edition = 'gold';
UPDATE mkt.price SET mode = 'stairs' WHERE edition = 'gold';
INSERT INTO mkt.price_band (edition, currency, valid_from, from_increment, per_increment) VALUES ('gold', 'EUR', '2026-04-01', 1, 1);
INSERT INTO mkt.price_band (edition, currency, valid_from, from_increment, per_increment) VALUES ('gold', 'EUR', '2026-04-02', 2, 1);
INSERT INTO mkt.price_band (edition, currency, valid_from, from_increment, per_increment) VALUES ('gold', 'EUR', '2026-04-01', 2, 'NaN');
UPDATE mkt.currency SET decimals = -1 WHERE currency = 'JPY';
INSERT INTO mkt.currency (currency, decimals) VALUES ('kr', 2);
INSERT INTO mkt.threshold (percent) VALUES (0);
INSERT INTO mkt.threshold (percent) VALUES (100.01);
INSERT INTO mkt.threshold (percent) VALUES ('NaN');

-- An account has an edition that is there. A renamed one takes its accounts, increments and prices along; one that is in use stays.
INSERT INTO mkt.account (account, edition) VALUES ('a', 'silver');
INSERT INTO mkt.account (account, edition, currency) VALUES ('a', 'gold', 'eur');
INSERT INTO mkt.account (account, edition, currency) VALUES ('a', 'gold', NULL);
INSERT INTO mkt.account (account, edition) VALUES ('a', 'gold');
INSERT INTO mkt.price_band (edition, currency, valid_from, from_increment, per_increment) VALUES ('gold', 'EUR', '2026-04-01', 2, 0.5);
UPDATE mkt.edition SET edition = 'golden' WHERE edition = 'gold';
SELECT account, edition, currency FROM mkt.account;
SELECT DISTINCT edition, currency, valid_from, valid_to, from_increment FROM mkt.tariff WHERE edition LIKE 'gold%' ORDER BY currency, valid_from, from_increment;
UPDATE mkt.account SET edition = 'gold';
DELETE FROM mkt.edition WHERE edition = 'golden';
DELETE FROM mkt.account;
DELETE FROM mkt.edition WHERE edition = 'golden';
SELECT count(*) FROM mkt.tariff WHERE edition LIKE 'golden';
ROLLBACK;
\unset ON_ERROR_ROLLBACK

-- What keeps validity from overlapping, also between sessions.
SELECT conrelid::regclass, conname FROM pg_constraint
WHERE connamespace = 'mkt'::regnamespace AND contype = 'x' ORDER BY conrelid::regclass::text;
SELECT * FROM mkt.verify();
