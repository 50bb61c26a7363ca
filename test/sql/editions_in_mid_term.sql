-- Another edition in mid-term: its tier covers what was committed to until the renewal (B3), a dearer one is charged for the
-- rest of the term (B5), a cheaper one gives nothing back, and nothing is charged twice.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS mktcontacts;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA editions_in_mid_term;
SET search_path = editions_in_mid_term;

-- Tiers of 10, 20...; 20, 70, 120...; 100, 200...
INSERT INTO mkt.edition (edition) VALUES ('small'), ('middle'), ('large'), ('unpriced'), ('later'), ('falling');
INSERT INTO mkt.increment (edition, included, increment) VALUES
	('small', 10, 10), ('middle', 20, 50), ('large', 100, 100), ('unpriced', 10, 10), ('falling', 10, 10);
INSERT INTO mkt.price (edition, currency, mode, base, per_increment) VALUES
	('small', 'EUR', 'graduated', 18, 16), ('middle', 'EUR', 'graduated', 80, 22.5), ('large', 'EUR', 'volume', 330, 95), ('falling', 'EUR', 'volume', 100, 50);
INSERT INTO mkt.price_band (edition, currency, from_increment, per_increment) VALUES ('falling', 'EUR', 2, 20);
CREATE TABLE contact (id integer PRIMARY KEY, account text);
SELECT mkt.attach('contact', account_column => 'account');
CREATE VIEW tier AS SELECT account, edition, tier, since, renews_at FROM mkt.account_tier JOIN mkt.account USING (account) ORDER BY account;
CREATE VIEW change AS
SELECT account, at::date AS day, reason, billable AS n, from_edition, edition, from_tier, to_tier, from_price, to_price, days_left AS days, charge
FROM mkt.tier_change ORDER BY account, change;
CREATE PROCEDURE add(n integer, of text) BEGIN ATOMIC
	INSERT INTO contact (id, account, marketing_status)
	SELECT (SELECT coalesce(max(id), 0) FROM contact) + i, of, 'marketing' FROM generate_series(1, n) AS i;
END;
CREATE PROCEDURE forget() BEGIN ATOMIC
	DELETE FROM contact;
	DELETE FROM mkt.account;
	DELETE FROM mkt.tier_change;
	DELETE FROM mkt.notice;
END;
CALL forget();

-- Dearer, cheaper, there and back; what was committed to is never less until the renewal.
INSERT INTO mkt.account (account, edition, started_on) VALUES
	('up', 'small', '2024-06-20'), ('down', 'large', '2024-06-20'), ('there and back', 'middle', '2024-06-20'), ('back and forth', 'large', '2024-06-20'),
	('many', 'small', '2024-06-20');
CALL add(15, 'there and back');
CALL add(25, 'many');
UPDATE mkt.account SET edition = CASE account WHEN 'there and back' THEN 'large' ELSE 'middle' END;
SELECT * FROM change;
SELECT round((80 - 18) * 12 * 102 / 365.0, 2) AS up, round((330 - 80) * 12 * 102 / 365.0, 2) AS there, round((102.5 - 50) * 12 * 102 / 365.0, 2) AS many;
SET mktcontacts.clock = '2026-03-20 12:00+00';
UPDATE mkt.account SET edition = CASE account WHEN 'there and back' THEN 'middle' ELSE 'large' END WHERE account IN ('there and back', 'back and forth');
SET mktcontacts.clock = '2026-03-21 12:00+00';
CALL add(110, 'back and forth');
SET mktcontacts.clock = '2026-03-22 12:00+00';
-- The dearer edition was paid for to the end of the term: what is cheaper than that costs nothing more.
UPDATE mkt.account SET edition = 'middle' WHERE account = 'back and forth';
CALL add(260, 'back and forth');
UPDATE mkt.account SET edition = 'large' WHERE account = 'back and forth';
CALL add(100, 'back and forth');
SELECT * FROM change WHERE account ~ 'back' AND day > '2026-03-10';
SELECT round((330 + 95 - 330) * 12 * 92 / 365.0, 2) AS second, round((330 + 3 * 95 - (330 + 95)) * 12 * 90 / 365.0, 2) AS third;
SELECT account, edition, tier, price FROM mkt.usage ORDER BY account;

-- Every report goes by that: what it is, what it will be, what to do about it, and what a change would make of it.
SELECT DISTINCT a.account, a.edition, q.tier, q.price, q.lower_tier, q.lower_price, f.tier AS forecast, f.price
FROM mkt.account AS a, mkt.account_quote(a.account, mkt.billable(a.account)) AS q, mkt.forecast(a.account, 12) AS f ORDER BY 1;
SELECT a.account, v.tier, v.lower_tier, v.contacts_to_set, v.saving, v.advice FROM mkt.account AS a, mkt.advice(a.account) AS v WHERE account ~ 'back' ORDER BY 1;
SELECT account, billable_after, tier_before, tier_after, tier_after_update, price_before, price_after_update
FROM mkt.preview_set_non_marketing('contact', ARRAY(SELECT id FROM contact)) ORDER BY 1;

-- At the renewal it falls to what was asked for, in tiers of the edition that it has; the request may be older than that.
SELECT mkt.request_downgrade('there and back', 20);
SELECT mkt.request_downgrade('back and forth', 100);
DELETE FROM contact WHERE account = 'back and forth' AND id % 10 > 0;
UPDATE mkt.account SET edition = 'middle' WHERE account = 'back and forth';
SET mktcontacts.clock = '2026-06-10 12:00+00';
SELECT a.account, f.update_at, f.renewal, f.tier, f.price, q.requested
FROM mkt.account AS a, mkt.forecast(a.account, 2) AS f, mkt.account_quote(a.account, f.billable, f.update_at) AS q WHERE a.account ~ 'back' ORDER BY 1, 2;
SELECT a.account, v.lower_tier, v.contacts_to_set FROM mkt.account AS a, mkt.advice(a.account) AS v WHERE account ~ 'back' ORDER BY 1;
SELECT account, tier_before, tier_after, tier_after_update, price_before, price_after_update, next_update
FROM mkt.preview_set_marketing('contact', ARRAY(SELECT id FROM contact)) WHERE account ~ 'back' ORDER BY 1;
SET mktcontacts.clock = '2026-06-20 12:00+00';
CALL mkt.run();
SELECT * FROM change WHERE reason = 'renewed';
SELECT * FROM tier;
-- What a term has paid for ends with it.
UPDATE mkt.account SET edition = 'large' WHERE account = 'back and forth';
SELECT * FROM change WHERE day = '2026-06-20' AND reason = 'edition';
SELECT round((330 + 95 - 125) * 12 * 365 / 365.0, 2) AS anew;

-- An edition that is taken away and comes back in the same term, or waits for its tiers; after the renewal it is another term.
CALL forget();
SET mktcontacts.clock = '2026-03-10 12:00+00';
INSERT INTO mkt.account (account, edition, started_on) VALUES ('away', 'middle', '2024-06-20'), ('waits', 'middle', '2024-06-20'), ('another term', 'middle', '2024-06-20');
CALL add(70, 'away');
CALL add(70, 'waits');
CALL add(70, 'another term');
DELETE FROM contact;
UPDATE mkt.account SET edition = CASE account WHEN 'waits' THEN 'later' END;
SELECT * FROM tier;
SELECT account, tier, price FROM mkt.usage ORDER BY account;
UPDATE mkt.account SET edition = 'middle' WHERE account = 'away';
INSERT INTO mkt.increment (edition, included, increment) VALUES ('later', 1, 1);
CALL mkt.run();
SET mktcontacts.clock = '2026-06-21 12:00+00';
UPDATE mkt.account SET edition = 'middle' WHERE account = 'another term';
SELECT * FROM change WHERE reason <> 'renewed';
SELECT * FROM tier;

-- What is charged, and what not.
CALL forget();
SET mktcontacts.clock = '2026-03-10 12:00+00';
INSERT INTO mkt.account (account, edition, commitment, started_on, currency, sandbox) VALUES
	('annual', 'small', 'annual', '2024-06-20', 'EUR', false),
	('monthly', 'small', 'monthly', '2025-01-31', 'EUR', false),
	('no start', 'small', 'annual', NULL, 'EUR', false),
	('no currency', 'small', 'annual', '2024-06-20', 'USD', false),
	('sandbox', 'small', 'annual', '2024-06-20', 'EUR', true),
	('begins later', 'small', 'annual', '2026-05-01', 'EUR', false),
	('from no price', 'unpriced', 'annual', '2024-06-20', 'EUR', false);
UPDATE mkt.account SET edition = 'middle';
SELECT account, from_edition, edition, from_tier, to_tier, from_price, to_price, days, charge FROM change;
SELECT round(62 * 21 / 31.0, 2) AS monthly, round(62 * 12 * 365 / 365.0, 2) AS begins_later;
UPDATE mkt.account SET edition = 'unpriced', currency = 'EUR';
SELECT account, to_price, charge FROM change WHERE edition = 'unpriced';
-- A higher tier that is cheaper costs nothing, either.
CALL forget();
INSERT INTO mkt.account (account, edition, started_on) VALUES ('falling', 'falling', '2024-06-20');
CALL add(11, 'falling');
CALL add(10, 'falling');
SELECT from_tier, to_tier, from_price, to_price, charge FROM change;
-- A change of edition and currency at once is charged in the new one; so are renamed accounts.
CALL forget();
INSERT INTO mkt.price (edition, currency, base, per_increment) VALUES ('small', 'JPY', 2000, 1500), ('middle', 'JPY', 9000, 2500);
INSERT INTO mkt.account (account, edition, started_on) VALUES ('yen', 'small', '2024-06-20');
UPDATE mkt.account SET account = 'JPY', edition = 'middle', currency = 'JPY', started_on = '2024-07-01' WHERE account = 'yen';
SELECT account, from_edition, edition, from_tier, to_tier, from_price, to_price, days, charge FROM change;
SELECT * FROM tier;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
CALL forget();
DELETE FROM mkt.edition WHERE edition IN ('small', 'middle', 'large', 'unpriced', 'later', 'falling');
DROP SCHEMA editions_in_mid_term CASCADE;
