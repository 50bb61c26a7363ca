-- Tiers that accounts have committed to: who exceeds one has the next at once, recorded with its charge (B2, B5), and there
-- is a notice on the way there, once a period (B7).
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS mktcontacts;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA tier_changes;
SET search_path = tier_changes;

-- Tiers of 10, 20, 30 contacts; the boundaries in the first one are 8, 9 and 10 contacts.
INSERT INTO mkt.edition (edition) VALUES ('ten'), ('hundreds'), ('free');
INSERT INTO mkt.increment (edition, included, increment) VALUES ('ten', 10, 10), ('hundreds', 100, 100), ('free', 10, 10);
INSERT INTO mkt.price (edition, currency, base, per_increment) VALUES
	('ten', 'EUR', 10, 7.77), ('ten', 'JPY', 1000, 777), ('hundreds', 'EUR', 50, 25);
CREATE TABLE contact (id integer PRIMARY KEY, account text);
CREATE TABLE guest (id integer PRIMARY KEY, account text);
SELECT mkt.attach('contact', account_column => 'account'), mkt.attach('guest', account_column => 'account');

CREATE VIEW tier AS SELECT account, tier, next_at, last_at, since, renews_at FROM mkt.account_tier ORDER BY account;
CREATE VIEW change AS
SELECT account, at, reason, billable AS n, from_tier, to_tier, currency, from_price, to_price, days_left AS days, days_of_term AS of_days, charge, sandbox
FROM mkt.tier_change ORDER BY at, account, reason, to_tier;
CREATE VIEW notice AS SELECT account, percent, period_ends_at, at, billable, tier FROM mkt.notice ORDER BY at, account, percent;
-- What a tier has to be at least.
CREATE VIEW too_low AS
SELECT a.account, t.tier, mkt.billable(a.account) FROM mkt.account AS a JOIN mkt.account_tier AS t USING (account)
WHERE t.tier < mkt.tier(a.edition, mkt.billable(a.account)) ORDER BY 1;
CREATE PROCEDURE add(n integer, of text) BEGIN ATOMIC
	INSERT INTO contact (id, account, marketing_status)
	SELECT (SELECT coalesce(max(id), 0) FROM contact) + i, of, 'marketing' FROM generate_series(1, n) AS i;
END;
CREATE PROCEDURE remove(n integer, of text) BEGIN ATOMIC
	DELETE FROM contact WHERE id IN (SELECT id FROM contact WHERE account = of ORDER BY id DESC LIMIT n);
END;
CREATE PROCEDURE forget() BEGIN ATOMIC
	DELETE FROM contact;
	DELETE FROM guest;
	DELETE FROM mkt.account;
	DELETE FROM mkt.tier_change;
	DELETE FROM mkt.notice;
	DELETE FROM mkt.downgrade_request;
END;

CALL forget();

-- Reaching the tier exactly changes nothing; one more does.
INSERT INTO mkt.account (account, edition, started_on) VALUES ('a', 'ten', '2024-06-20');
\t on
CALL add(7, 'a');
SELECT * FROM notice;
CALL add(3, 'a');
SELECT * FROM notice;
SELECT * FROM tier;
CALL add(1, 'a');
SELECT * FROM notice;
SELECT * FROM tier;
-- 7.77 a month for 12 months, for 102 of 365 days: 26.06.
SELECT * FROM change;
SELECT round(12 * 7.77 * 102 / 365, 2);

-- Two contacts at once, of which only the second comes to a boundary.
INSERT INTO mkt.account (account, edition, started_on) VALUES ('two', 'ten', '2024-06-20');
CALL add(6, 'two');
CALL add(2, 'two');
SELECT * FROM notice WHERE account = 'two';
DELETE FROM contact WHERE account = 'two';
DELETE FROM mkt.account WHERE account = 'two';
DELETE FROM mkt.notice WHERE account = 'two';

-- However far the jump, one step; thresholds that one statement passes give a notice each.
INSERT INTO mkt.account (account, edition, started_on) VALUES ('jump', 'ten', '2024-06-20');
CALL add(57, 'jump');
SELECT * FROM notice WHERE account = 'jump';
SELECT * FROM change WHERE account = 'jump';
SELECT account, billable, tier, tier_used, price FROM mkt.usage WHERE account IN ('a', 'jump');

-- Over all tables together, by every way to promote, and by contacts that come from another account.
INSERT INTO mkt.account (account, edition, started_on) VALUES ('b', 'ten', '2024-06-20');
CALL add(5, 'b');
INSERT INTO guest SELECT i, 'b', 'marketing' FROM generate_series(1, 5) AS i;
SELECT tier FROM tier WHERE account = 'b';
INSERT INTO guest (id, account) VALUES (6, 'b');
SELECT changed FROM mkt.set_marketing('guest', ARRAY[6]);
SELECT tier FROM tier WHERE account = 'b';
UPDATE contact SET account = 'b' WHERE account = 'a';
SELECT tier FROM tier WHERE account = 'b';
INSERT INTO guest VALUES (1, 'b') ON CONFLICT (id) DO UPDATE SET marketing_status = 'marketing';
COPY guest (id, account, marketing_status) FROM stdin;
21	b	marketing
22	b	marketing
23	b	marketing
24	b	marketing
25	b	marketing
26	b	marketing
27	b	marketing
28	b	marketing
29	b	marketing
\.
SELECT n, from_tier, to_tier FROM change WHERE account = 'b';
SELECT * FROM too_low;

-- Rolled back, it has not happened: neither the transaction nor a part of it.
CALL forget();
INSERT INTO mkt.account (account, edition, started_on) VALUES ('r', 'ten', '2024-06-20');
BEGIN;
CALL add(25, 'r');
ROLLBACK;
SELECT * FROM notice;
SELECT tier, next_at FROM tier;
BEGIN;
SAVEPOINT s;
CALL add(25, 'r');
ROLLBACK TO s;
CALL add(2, 'r');
SAVEPOINT s;
CALL add(5, 'r');
RELEASE s;
COMMIT;
SELECT * FROM notice;
SELECT tier, next_at FROM tier;
BEGIN;
CALL add(25, 'r');
CALL remove(25, 'r');
COMMIT;
DO $$ BEGIN CALL add(25, 'r'); RAISE 'no'; EXCEPTION WHEN raise_exception THEN NULL; END $$;
SELECT * FROM notice;
SELECT tier, next_at FROM tier;
SELECT n, reason, to_tier FROM change;

-- A savepoint that was kept, and what a trigger adds at the very end, and a transaction that writes no more.
BEGIN;
SAVEPOINT s;
CALL add(4, 'r');
RELEASE s;
COMMIT;
SELECT n, reason, to_tier FROM change;
CREATE FUNCTION add_guest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO guest (id, account, marketing_status) VALUES (NEW.id, NEW.account, 'marketing'); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER add_guest AFTER INSERT ON contact DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION add_guest();
CALL add(5, 'r');
DROP TRIGGER add_guest ON contact;
BEGIN;
CALL add(10, 'r');
SET TRANSACTION READ ONLY;
COMMIT;
SELECT n, reason, to_tier FROM change;
SELECT * FROM too_low;

-- Falling and crossing again: no second notice in the period, one in the next, also when pending contacts have just ended.
CALL forget();
INSERT INTO mkt.account (account, edition, started_on) VALUES ('p', 'hundreds', '2024-06-20');
CALL add(80, 'p');
CALL remove(20, 'p');
CALL add(20, 'p');
CALL remove(20, 'p');
SELECT * FROM notice;
SET mktcontacts.clock = '2026-04-02 12:00+00';
CALL add(10, 'p');
CALL add(10, 'p');
SELECT * FROM notice WHERE at > '2026-04-01';
CALL add(18, 'p');
UPDATE contact SET marketing_status = 'non_marketing' WHERE id IN (SELECT id FROM contact LIMIT 60);
CALL add(1, 'p');
SELECT * FROM notice WHERE at > '2026-04-01';
SET mktcontacts.clock = '2026-05-02 12:00+00';
SELECT mkt.billable('p');
CALL add(51, 'p');
CALL add(1, 'p');
SELECT * FROM notice WHERE at > '2026-05-01';
-- What is above a boundary all the time crosses nothing; the next boundary is not given up for that.
SET mktcontacts.clock = '2026-06-02 12:00+00';
CALL add(1, 'p');
CALL add(4, 'p');
SELECT * FROM notice WHERE at > '2026-06-01';
-- The higher tier stays though the count falls (B3).
CALL add(4, 'p');
CALL remove(90, 'p');
CALL mkt.run();
SELECT tier, next_at, last_at FROM tier;
SELECT n, reason, from_tier, to_tier, at FROM change;

-- What mkt.threshold says.
CALL forget();
SET mktcontacts.clock = '2026-03-10 12:00+00';
INSERT INTO mkt.account (account, edition, started_on) VALUES ('t', 'hundreds', '2024-06-20');
CALL add(55, 't');
INSERT INTO mkt.threshold (percent) VALUES (50), (60.5);
UPDATE mkt.threshold SET valid_to = '2026-03-01' WHERE percent = 75;
CALL add(5, 't');
SELECT * FROM notice;
CALL add(1, 't');
SELECT * FROM notice;
CALL add(28, 't');
CALL add(1, 't');
SELECT * FROM notice;
DELETE FROM mkt.threshold WHERE percent IN (50, 60.5);
UPDATE mkt.threshold SET valid_to = NULL WHERE percent = 75;
CALL remove(30, 't');
SET mktcontacts.clock = '2026-04-10 12:00+00';
CALL add(20, 't');
SELECT * FROM notice WHERE at > '2026-04-01';

-- Thresholds that come and go by their dates, in the account's zone: who adds a contact then finds them, near or far from any boundary,
-- and so does mkt.run(). Midnight of 1 November 2020 comes twice in Havana.
CALL forget();
SET mktcontacts.clock = '2020-10-10 12:00+00';
UPDATE mkt.threshold SET valid_to = '2020-11-01' WHERE percent = 75;
INSERT INTO mkt.threshold (percent, valid_from, valid_to) VALUES (60, '2020-11-01', '2020-11-03'), (20, '2020-11-01', NULL);
INSERT INTO mkt.account (account, edition, started_on, time_zone) VALUES
	('utc', 'hundreds', '2018-06-20', 'UTC'), ('cuba', 'hundreds', '2018-06-20', 'America/Havana'), ('asleep', 'hundreds', '2018-06-20', 'UTC'),
	('big', 'enterprise', '2018-06-20', 'UTC');
CALL add(55, 'utc');
CALL add(55, 'cuba');
CALL add(55, 'asleep');
CALL add(1990, 'big');
SELECT account, next_at, valid_until FROM mkt.account_tier ORDER BY account;
SET mktcontacts.clock = '2020-11-01 03:59:59+00';
CALL add(6, 'cuba');
CALL add(6, 'utc');
CALL add(20, 'big');
SELECT account, percent, billable, at FROM notice;
SELECT account, next_at, valid_until FROM mkt.account_tier ORDER BY account;
CALL remove(2, 'cuba');
SET mktcontacts.clock = '2020-11-01 04:00+00';
CALL add(1, 'cuba');
SELECT account, percent, billable, at FROM notice WHERE account = 'cuba';
SET mktcontacts.clock = '2020-11-02 12:00+00';
CALL mkt.run();
SELECT account, next_at, valid_until FROM mkt.account_tier ORDER BY account;
SET mktcontacts.clock = '2020-11-03 05:00+00';
CALL add(1, 'cuba');
CALL add(20, 'asleep');
CALL add(15, 'asleep');
SELECT account, percent, billable, at FROM notice WHERE at > '2020-11-02';
SELECT account, next_at, valid_until FROM mkt.account_tier ORDER BY account;
DELETE FROM mkt.threshold WHERE percent IN (20, 60);
UPDATE mkt.threshold SET valid_to = NULL WHERE percent = 75;
SET mktcontacts.clock = '2026-04-10 12:00+00';

-- What is charged: by the days that are left of the term, this one included, once rounded (B5, B6).
CALL forget();
INSERT INTO mkt.account (account, edition, commitment, started_on, time_zone, currency, sandbox) VALUES
	('annual', 'ten', 'annual', '2024-06-20', 'UTC', 'EUR', false),
	('first day', 'ten', 'annual', '2024-04-10', 'UTC', 'EUR', false),
	('last day', 'ten', 'annual', '2024-04-11', 'UTC', 'EUR', false),
	('leap', 'ten', 'annual', '2024-02-29', 'UTC', 'EUR', false),
	('later', 'ten', 'annual', '2026-05-01', 'UTC', 'EUR', false),
	('monthly', 'ten', 'monthly', '2026-03-31', 'UTC', 'EUR', false),
	('monthly 2', 'ten', 'monthly', '2025-01-15', 'UTC', 'EUR', false),
	('no start', 'ten', 'annual', NULL, 'UTC', 'EUR', false),
	('no price', 'free', 'annual', '2024-06-20', 'UTC', 'EUR', false),
	('no currency', 'ten', 'annual', '2024-06-20', 'UTC', 'USD', false),
	('yen', 'ten', 'annual', '2024-06-20', 'UTC', 'JPY', false),
	('sandbox', 'ten', 'annual', '2024-06-20', 'UTC', 'EUR', true),
	('tomorrow', 'ten', 'annual', '2024-04-11', 'Pacific/Auckland', 'EUR', false);
INSERT INTO contact SELECT row_number() OVER (ORDER BY account, i), account, 'marketing' FROM mkt.account, generate_series(1, 21) AS i;
SELECT account, days, of_days, from_price, to_price, currency, charge, sandbox FROM change WHERE reason = 'exceeded';
SELECT round(2 * 7.77 * 12 * 71 / 365, 2) AS annual, round(2 * 7.77 * 12 * 365 / 365, 2) AS first_day, round(2 * 7.77 * 12 * 1 / 365, 2) AS last_day,
	round(2 * 7.77 * 12 * 324 / 365, 2) AS leap, round(2 * 7.77 * 20 / 30, 2) AS monthly, round(2 * 7.77 * 5 / 31, 2) AS monthly_2,
	round(2 * 777 * 12 * 71 / 365.0) AS yen;
SELECT account, price, tier FROM mkt.usage WHERE account IN ('sandbox', 'no price', 'annual') ORDER BY account;
-- A term with 29 February, and clamped ones.
SELECT t.* FROM unnest(ARRAY['2027-02-27', '2027-02-28', '2028-02-28', '2028-02-29', '2029-02-27', '2029-02-28']::timestamptz[]) AS at,
	mkt.term('annual', '2024-02-29', 'UTC', at) AS t;
SELECT t.* FROM unnest(ARRAY['2026-01-31', '2026-02-27', '2026-02-28', '2026-03-30', '2026-03-31', '2026-04-30']::timestamptz[]) AS at,
	mkt.term('monthly', '2025-12-31', 'UTC', at) AS t;
SELECT * FROM mkt.term('annual', NULL, 'UTC', mkt.now()), mkt.term('annual', '2030-01-01', 'UTC', mkt.now()) AS later;

-- Another edition in mid-term; none; the same under another name.
CALL forget();
SET mktcontacts.clock = '2026-03-10 12:00+00';
INSERT INTO mkt.account (account, edition, started_on) VALUES ('e', 'ten', '2024-06-20');
CALL add(15, 'e');
SET mktcontacts.clock = '2026-03-11 12:00+00';
UPDATE mkt.account SET edition = 'hundreds' WHERE account = 'e';
SELECT * FROM tier;
SET mktcontacts.clock = '2026-03-12 12:00+00';
UPDATE mkt.edition SET edition = 'thousands' WHERE edition = 'hundreds';
CALL add(90, 'e');
CALL remove(90, 'e');
UPDATE mkt.edition SET edition = 'hundreds' WHERE edition = 'thousands';
SELECT tier FROM tier;
SET mktcontacts.clock = '2026-03-13 12:00+00';
UPDATE mkt.account SET edition = NULL WHERE account = 'e';
SELECT * FROM tier;
CALL add(300, 'e');
SELECT tier, price FROM mkt.usage WHERE account = 'e';
SET mktcontacts.clock = '2026-03-14 12:00+00';
UPDATE mkt.account SET edition = 'ten' WHERE account = 'e';
SELECT * FROM change;
-- An edition that gets its tiers later.
INSERT INTO mkt.edition VALUES ('later');
UPDATE mkt.account SET edition = 'later' WHERE account = 'e';
SELECT * FROM tier;
INSERT INTO mkt.increment (edition, included, increment) VALUES ('later', 100, 50);
CALL mkt.run();
SELECT * FROM tier;
-- Commitment, start and zone move the renewal date.
UPDATE mkt.account SET started_on = NULL WHERE account = 'e';
SELECT renews_at FROM tier;
UPDATE mkt.account SET started_on = '2025-01-31' WHERE account = 'e';
SELECT renews_at FROM tier;
UPDATE mkt.account SET commitment = 'monthly', time_zone = 'Europe/Oslo' WHERE account = 'e';
SELECT renews_at FROM tier;
-- Another name: what was charged and told goes along, and no notice is given twice for that.
UPDATE mkt.account SET account = 'E', currency = 'JPY' WHERE account = 'e';
SELECT account, tier FROM tier;
SELECT account, reason, to_tier, currency FROM change;
SELECT account, percent, billable FROM notice;
UPDATE contact SET account = 'E' WHERE account = 'e';
CALL remove(310, 'E');
CALL add(310, 'E');
INSERT INTO mkt.notice SELECT 'F', percent / 1.5, period_ends_at, at, 1, 1 FROM mkt.notice WHERE account = 'E' AND percent IN (75, 98);
INSERT INTO mkt.notice SELECT 'F', percent, period_ends_at, at, 1, 1 FROM mkt.notice WHERE account = 'E' AND percent IN (75, 98);
INSERT INTO mkt.account (account, edition) VALUES ('e', 'ten');
UPDATE mkt.account SET account = CASE account WHEN 'E' THEN 'F' ELSE 'g' END, maximum = 1000;
SELECT account, tier FROM tier;
SELECT account, reason, to_tier FROM change;
SELECT account, percent::numeric(4,1), billable FROM notice;

-- No edition, no tier; contacts of no account; whoever writes needs no right on any of it.
CALL forget();
INSERT INTO mkt.account (account, maximum) VALUES ('none', 1000);
CALL add(500, 'none');
INSERT INTO guest SELECT i, NULL, 'marketing' FROM generate_series(1, 100) AS i;
SELECT (SELECT count(*) FROM mkt.account_tier), (SELECT count(*) FROM mkt.tier_change), (SELECT count(*) FROM mkt.notice);
INSERT INTO mkt.account (account, edition) VALUES ('w', 'ten');
CREATE ROLE tier_writer;
GRANT USAGE ON SCHEMA tier_changes TO tier_writer;
GRANT SELECT, INSERT ON contact TO tier_writer;
SET ROLE tier_writer;
CALL add(11, 'w');
SELECT * FROM mkt.notice;
RESET ROLE;
SELECT count(*) FROM notice;
SELECT n, to_tier FROM change WHERE reason = 'exceeded';

-- Nobody had to look: counts that come with a table, or are mended, and tiers that fall after contacts came.
CALL forget();
CREATE TABLE old (id integer PRIMARY KEY, account text);
SELECT mkt.attach('old', account_column => 'account');
INSERT INTO old SELECT i, 'late', 'marketing' FROM generate_series(1, 25) AS i;
SELECT mkt.detach('old');
INSERT INTO mkt.account (account, edition, started_on) VALUES ('late', 'ten', '2024-06-20');
SELECT mkt.attach('old', account_column => 'account');
CALL mkt.run();
SELECT * FROM notice;
SELECT n, reason, from_tier, to_tier FROM change;
CALL mkt.run();
SELECT count(*) FROM change;
SELECT * FROM too_low;

-- An account of an edition with very large tiers is looked at from far away only by chance, and never missed.
CALL forget();
INSERT INTO mkt.account (account, edition, started_on) VALUES ('far', 'enterprise', '2024-06-20');
CALL add(9000, 'far');
SELECT percent, billable FROM notice;
CALL remove(8990, 'far');
SELECT near FROM mkt.account_tier;
CALL mkt.run();
SELECT near, next_at, last_at FROM mkt.account_tier;
SET mktcontacts.clock = '2026-04-10 12:00+00';
DO $$ BEGIN FOR i IN 1 .. 80 LOOP CALL add(100, 'far'); COMMIT; END LOOP; END $$;
SELECT percent, billable, at FROM notice WHERE at > '2026-04-01';
CALL remove(5000, 'far');
DO $$ BEGIN FOR i IN 1 .. 70 LOOP CALL add(100, 'far'); COMMIT; END LOOP; END $$;
SELECT percent, billable, at FROM notice WHERE at > '2026-04-01';
SELECT from_tier, to_tier, n, charge FROM change WHERE reason = 'exceeded';

-- What a transaction adds in several tables is together what comes to a boundary.
CALL forget();
INSERT INTO mkt.account (account, edition, started_on) VALUES ('both', 'ten', '2024-06-20');
CALL add(6, 'both');
BEGIN;
INSERT INTO contact VALUES (100, 'both', 'marketing');
INSERT INTO guest VALUES (100, 'both', 'marketing');
COMMIT;
SELECT percent, billable FROM notice;

-- The extension's own.
\t off
\set VERBOSITY terse
SELECT mkt.set_tier();
SELECT mkt.watch_changed();
SELECT * FROM mkt.verify();
SET client_min_messages = warning;
CALL forget();
DELETE FROM mkt.edition WHERE edition IN ('ten', 'hundreds', 'free', 'later');
DROP SCHEMA tier_changes CASCADE;
DROP ROLE tier_writer;
