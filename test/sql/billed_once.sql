-- What changes in mid-term is billed once: the months of the term by what was before, and the rest of it by the change (B5); a cheaper
-- edition has its own price from the renewal on (B3). An account and an edition with another name go on.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO;
CREATE SCHEMA billed_once;
SET search_path = billed_once;
SET mktcontacts.clock = '2026-03-01 00:00+00';

-- Tiers of 10, 20... contacts for 100, 110...; of 20, 40... for 200, 210...; of 100, 200... for 300, 400...
INSERT INTO mkt.edition (edition) VALUES ('bo small'), ('bo middle'), ('bo large'), ('bo unpriced');
INSERT INTO mkt.increment (edition, included, increment) VALUES ('bo small', 10, 10), ('bo middle', 20, 20), ('bo large', 100, 100), ('bo unpriced', 10, 10);
INSERT INTO mkt.price (edition, currency, base, per_increment)
SELECT e, c, b * n, i * n FROM (VALUES ('bo small', 100, 10), ('bo middle', 200, 10), ('bo large', 300, 100)) AS p (e, b, i), (VALUES ('EUR', 1), ('USD', 2)) AS c (c, n);
CREATE TABLE contact (id integer PRIMARY KEY, account text);
SELECT mkt.attach('contact', account_column => 'account');
CREATE PROCEDURE add(n integer, of text) BEGIN ATOMIC
	INSERT INTO contact (id, account, marketing_status)
	SELECT (SELECT coalesce(max(id), 0) FROM contact) + i, of, 'marketing' FROM generate_series(1, n) AS i;
END;
CREATE VIEW charged AS
SELECT account, ends_on, edition, tier, billed_edition, billed_tier AS billed, currency, price, charge, note FROM mkt.period WHERE account ~ '^bo ' ORDER BY account, ends_at;
CREATE VIEW line AS
SELECT account, ends_at::date AS ends_on, line, description, amount FROM mkt.period_line WHERE account ~ '^bo ' ORDER BY account, ends_at, line;

-- A term from 1 March 2026 to the next, of 365 days. All change on 1 April, when 334 are left, and some again.
INSERT INTO mkt.account (account, edition, started_on)
SELECT 'bo ' || a, 'bo ' || e, '2025-03-01'
FROM (VALUES ('up', 'small'), ('down', 'large'), ('down and exceeds', 'large'), ('there and back', 'small'), ('lost', 'large'), ('lost and found', 'small'),
	  ('sandbox', 'small'), ('sandbox later', 'small'), ('money', 'large'), ('no price', 'small'), ('unpriced', 'unpriced'), ('gained', NULL)) AS a (a, e);
INSERT INTO mkt.account (account, edition, commitment, started_on) VALUES
	('bo monthly', 'bo small', 'monthly', '2026-01-15'), ('bo first day', 'bo small', 'monthly', '2026-01-01'), ('bo last day', 'bo large', 'monthly', '2026-01-02'),
	('bo begins later', 'bo small', 'annual', '2026-05-01'), ('bo no term', 'bo small', 'annual', NULL);
UPDATE mkt.account SET sandbox = true WHERE account = 'bo sandbox';
SET mktcontacts.clock = '2026-04-01 00:00+00';
UPDATE mkt.account SET edition = CASE WHEN account = 'bo gained' THEN 'bo small' WHEN account ~ 'down' THEN 'bo middle' WHEN account ~ '(lost$|found)' THEN NULL
	WHEN account ~ '(money|last)' THEN 'bo middle' WHEN account ~ 'no price' THEN 'bo unpriced' WHEN account ~ 'unpriced' THEN 'bo middle' ELSE 'bo large' END
WHERE account ~ '^bo ';
SELECT account, from_edition, edition, from_tier, to_tier, days_left, days_of_term, term_ends_on, charge FROM mkt.tier_change WHERE account ~ '^bo ' AND reason = 'edition' ORDER BY 1;
SELECT round(12 * 200 * 334 / 365.0, 2) AS up, round(200 * 14 / 31.0, 2) AS monthly;
SET mktcontacts.clock = '2026-04-10 12:00+00';
UPDATE mkt.account SET edition = 'bo large' WHERE account ~ '(found|money|unpriced|no price)';
UPDATE mkt.account SET currency = 'USD' WHERE account = 'bo money';
UPDATE mkt.account SET edition = 'bo middle' WHERE account = 'bo there and back';
UPDATE mkt.account SET sandbox = NOT sandbox WHERE account ~ 'sandbox';
CALL add(500, 'bo down and exceeds');
CALL add(150, 'bo money');
-- A second of two changes costs what it exceeds the dearest by.
SET mktcontacts.clock = '2026-04-20 12:00+00';
UPDATE mkt.account SET edition = 'bo large' WHERE account = 'bo there and back';
CALL add(150, 'bo there and back');
UPDATE mkt.account SET sandbox = false WHERE account ~ 'sandbox';
SELECT account, reason, from_edition, edition, from_tier, to_tier, currency, from_price, to_price, days_left, charge FROM mkt.tier_change
WHERE account ~ '^bo ' AND at > '2026-04-02' ORDER BY account, change;
SELECT round(12 * (440 - 300) * 325 / 365.0, 2) AS down_and_exceeds, round(12 * 100 * 315 / 365.0, 2) AS there_and_back, round(12 * 200 * 325 / 365.0, 2) AS no_price;
-- Usage, forecast and draft tell what is then closed.
SET mktcontacts.clock = '2026-04-30 23:59:59+00';
CALL mkt.run();
CREATE TABLE draft AS SELECT u.account, u.tier, u.price, u.next_update,
	(SELECT json_agg(to_jsonb(i) - 'draft' ORDER BY line) FROM mkt.invoice(u.account) AS i) AS invoice FROM (SELECT * FROM mkt.usage WHERE account ~ '^bo ' OFFSET 0) AS u;
SET mktcontacts.clock = '2026-07-01 00:00+00';
CALL mkt.run();
SELECT * FROM charged WHERE ends_on BETWEEN '2026-04-02' AND '2026-05-02';
SELECT * FROM line WHERE ends_on BETWEEN '2026-04-02' AND '2026-05-02';
SELECT count(*) AS accounts, count(*) FILTER (WHERE p.tier IS NOT DISTINCT FROM d.tier AND p.price IS NOT DISTINCT FROM d.price
	AND d.invoice::text IS NOT DISTINCT FROM (SELECT json_agg(to_jsonb(i) - 'draft' ORDER BY line)::text FROM mkt.invoice(p.account, ends_at) AS i)) AS agree
FROM draft AS d JOIN mkt.period AS p ON p.account = d.account AND p.ends_at = d.next_update;

-- From the renewal on all are billed by what they have.
SET mktcontacts.clock = '2027-06-02 12:00+00';
CALL mkt.run();
SELECT account, count(*) AS periods, min(billed_edition) AS edition, min(billed) AS tier, min(charge) AS charge, max(charge) FROM charged
WHERE ends_on BETWEEN '2026-06-01' AND '2027-02-02' GROUP BY 1 ORDER BY 1;
SELECT DISTINCT account, edition, tier, billed_edition, billed, charge FROM charged WHERE ends_on BETWEEN '2027-06-01' AND '2027-06-02' ORDER BY 1;
-- Other settings that say when a term ends: what was charged holds until it would have ended.
BEGIN;
UPDATE mkt.account SET edition = 'bo large' WHERE account = 'bo down';
SELECT term_ends_on, charge FROM mkt.tier_change WHERE account = 'bo down' AND at = mkt.now();
UPDATE mkt.account SET started_on = '2025-06-01' WHERE account = 'bo down';
SET LOCAL mktcontacts.clock = '2028-05-02 12:00+00';
CALL mkt.run();
SELECT ends_on, billed_edition, charge FROM charged WHERE account = 'bo down' AND ends_on > '2028-01-02';
ROLLBACK;
DELETE FROM mkt.account WHERE account ~ '^bo ';
CALL mkt.run();
DELETE FROM contact;

-- An account that gets another name ends its period under the old one and begins one under the new. Its tier and term go on.
SET mktcontacts.clock = '2028-03-01 00:00+00';
INSERT INTO mkt.account (account, edition, started_on) SELECT 'bo ' || n, 'bo small', '2028-03-01' FROM unnest(ARRAY['old', 'stays']) AS n;
CALL add(15, 'bo old');
CALL add(15, 'bo stays');
SET mktcontacts.clock = '2028-04-10 12:00+00';
CALL add(10, 'bo old');
CALL add(10, 'bo stays');
SET mktcontacts.clock = '2028-04-16 12:00+00';
UPDATE mkt.account SET account = 'bo new' WHERE account = 'bo old';
UPDATE contact SET account = 'bo new' WHERE account = 'bo old';
SET mktcontacts.clock = '2028-04-20 12:00+00';
CALL add(10, 'bo new');
CALL add(10, 'bo stays');
SET mktcontacts.clock = '2028-04-25 12:00+00';
UPDATE mkt.account SET account = 'bo newer' WHERE account = 'bo new';
UPDATE mkt.account SET account = 'bo new' WHERE account = 'bo newer';
UPDATE contact SET account = 'bo new' WHERE account = 'bo newer';
INSERT INTO mkt.account (account, edition, started_on) VALUES ('bo old', 'bo small', '2028-04-25');
SELECT account, created_at, tier, since FROM mkt.account JOIN mkt.account_tier USING (account) WHERE account ~ '^bo ' ORDER BY 1;
SET mktcontacts.clock = '2028-06-02 12:00+00';
CALL mkt.run();
SELECT account, starts_on, ends_on, opening, created, deletions, closing, highest, tier, billed_tier, charge FROM mkt.period WHERE account ~ '^bo ' AND ends_on > '2028-01-01' ORDER BY ends_at, account;
SELECT * FROM line WHERE ends_on BETWEEN '2028-04-02' AND '2028-05-01';
SELECT count(*) AS kept FROM mkt.past_account WHERE account ~ '^bo ';
-- Another account may have had the name before: it has its own periods and charges.
CALL add(1, 'bo old');
CALL add(10, 'bo old');
SET mktcontacts.clock = '2028-06-05 12:00+00';
BEGIN;
DELETE FROM contact WHERE account = 'bo old';
DELETE FROM mkt.account WHERE account = 'bo old';
UPDATE mkt.account SET account = 'bo old' WHERE account = 'bo new';
COMMIT;
CALL add(1000, 'bo old');
SELECT account, at, from_tier, to_tier, charge, gone_at FROM mkt.tier_change WHERE account IN ('bo old', 'bo new') AND at > '2028-04-01' AND reason = 'exceeded' ORDER BY change;
SET mktcontacts.clock = '2028-07-02 12:00+00';
CALL mkt.run();
SELECT account, starts_on, ends_on, tier, billed_tier, charge FROM mkt.period WHERE account IN ('bo old', 'bo new') AND starts_on >= '2028-06-01' ORDER BY ends_at, account;
SELECT * FROM line WHERE account IN ('bo old', 'bo new') AND ends_on > '2028-06-01';
UPDATE mkt.account SET account = 'bo stays' WHERE account = 'bo old';
\echo :SQLSTATE

-- An edition that gets another name goes on, in what is not closed as well.
SET mktcontacts.clock = '2028-07-10 12:00+00';
UPDATE mkt.edition SET edition = 'bo tiny' WHERE edition = 'bo small';
SET mktcontacts.clock = '2028-08-02 12:00+00';
CALL mkt.run();
SELECT * FROM charged WHERE ends_on = '2028-08-01';
SELECT DISTINCT from_edition, edition FROM mkt.tier_change WHERE account = 'bo stays' AND at > '2028-01-01';
SELECT mkt.edition_renamed();

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DELETE FROM mkt.account WHERE account ~ '^bo ';
DELETE FROM mkt.edition WHERE edition ~ '^bo ';
RESET mktcontacts.clock;
DROP SCHEMA billed_once CASCADE;
