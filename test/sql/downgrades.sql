-- Renewals, and lower tiers that were asked for in time (B3, B4).
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS mktcontacts;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA downgrades;
SET search_path = downgrades;

INSERT INTO mkt.edition (edition) VALUES ('ten'), ('hundreds');
INSERT INTO mkt.increment (edition, included, increment) VALUES ('ten', 10, 10), ('hundreds', 100, 100);
INSERT INTO mkt.price (edition, currency, base, per_increment) VALUES ('ten', 'EUR', 10, 5), ('hundreds', 'EUR', 100, 50);
CREATE TABLE contact (id integer PRIMARY KEY, account text);
SELECT mkt.attach('contact', account_column => 'account');
CREATE VIEW tier AS SELECT account, tier, since, renews_at, next_at FROM mkt.account_tier ORDER BY account;
CREATE VIEW change AS
SELECT account, at, reason, billable AS n, from_tier, to_tier, from_price, to_price, charge FROM mkt.tier_change ORDER BY at, account, reason, to_tier;
CREATE VIEW request AS SELECT account, renews_at, tier, requested_at FROM mkt.downgrade_request ORDER BY account, renews_at;
CREATE PROCEDURE add(n integer, of text) BEGIN ATOMIC
	INSERT INTO contact (id, account, marketing_status)
	SELECT (SELECT coalesce(max(id), 0) FROM contact) + i, of, 'marketing' FROM generate_series(1, n) AS i;
END;
CREATE PROCEDURE remove(n integer, of text) BEGIN ATOMIC
	DELETE FROM contact WHERE id IN (SELECT id FROM contact WHERE account = of ORDER BY id DESC LIMIT n);
END;

DELETE FROM mkt.tier_change;
DELETE FROM mkt.notice;

-- What is refused. The renewal is on Saturday 20 June 2026, so the last day is Monday 15 June.
INSERT INTO mkt.account (account, edition, started_on, time_zone) VALUES
	('a', 'ten', '2024-06-20', 'UTC'), ('none', NULL, '2024-06-20', 'UTC'), ('no start', 'ten', NULL, 'UTC');
CALL add(35, 'a');
SELECT mkt.request_downgrade('nobody', 10);
\echo :SQLSTATE
SELECT mkt.request_downgrade('none', 10);
\echo :SQLSTATE
SELECT mkt.request_downgrade('no start', 10);
\echo :SQLSTATE
SELECT mkt.request_downgrade(NULL::text, 10);
\echo :SQLSTATE
SELECT mkt.request_downgrade('a', NULL);
\echo :SQLSTATE
SELECT mkt.request_downgrade('a', 40);
\echo :SQLSTATE
SELECT mkt.request_downgrade('a', 9223372036854775807);
\echo :SQLSTATE
SELECT mkt.request_downgrade('a', 25);
\echo :SQLSTATE
SELECT mkt.request_downgrade('a', -1);
\echo :SQLSTATE
SET mktcontacts.clock = '2026-06-16 00:00+00';
SELECT mkt.request_downgrade('a', 30);
\echo :SQLSTATE
SELECT * FROM request;
-- Until the end of the last day, in the account's zone; asking again replaces.
SET mktcontacts.clock = '2026-06-15 23:59:59+00';
SELECT mkt.request_downgrade('a', 30);
SELECT mkt.request_downgrade('a', 20);
SELECT * FROM request;
INSERT INTO mkt.account (account, edition, started_on, time_zone) VALUES ('oslo', 'ten', '2024-06-20', 'Europe/Oslo'), ('la', 'ten', '2024-06-20', 'America/Los_Angeles');
CALL add(15, 'oslo');
CALL add(15, 'la');
\set VERBOSITY terse
SELECT mkt.request_downgrade('oslo', 10);
SET mktcontacts.clock = '2026-06-16 06:59:59+00';
SELECT mkt.request_downgrade('la', 10);
SET mktcontacts.clock = '2026-06-16 07:00+00';
SELECT mkt.request_downgrade('la', 10);

-- At the renewal: where the request covers the count then. Accounts as numbers and uuids.
DELETE FROM mkt.account;
DELETE FROM mkt.tier_change;
DELETE FROM contact;
SET mktcontacts.clock = '2026-06-01 12:00+00';
INSERT INTO mkt.account (account, edition, started_on) VALUES
	('covers', 'ten', '2024-06-20'), ('just covers', 'ten', '2024-06-20'), ('is too small', 'ten', '2024-06-20'), ('is withdrawn', 'ten', '2024-06-20'),
	('is none', 'ten', '2024-06-20'), ('pending covers', 'ten', '2024-06-20'), ('7', 'ten', '2024-06-20'), ('00000000-0000-0000-0000-000000000007', 'ten', '2024-06-20');
INSERT INTO contact SELECT row_number() OVER (ORDER BY account, i), account, 'marketing' FROM mkt.account, generate_series(1, 35) AS i;
SELECT DISTINCT mkt.request_downgrade(account, 20) FROM mkt.account WHERE account ~ ' |covers' AND account <> 'is none';
SELECT mkt.request_downgrade(7, 20), mkt.request_downgrade('00000000-0000-0000-0000-000000000007'::uuid, 30);
CALL remove(16, 'covers');
CALL remove(15, 'just covers');
CALL remove(14, 'is too small');
CALL remove(35, 'is withdrawn');
CALL remove(35, 'is none');
CALL remove(35, '7');
DELETE FROM mkt.downgrade_request WHERE account = 'is withdrawn';
UPDATE contact SET marketing_status = 'non_marketing' WHERE account = 'pending covers' AND id % 2 = 0;
-- What the forecast says comes true.
SELECT account, renewal, f.billable, f.tier FROM mkt.account AS a, mkt.forecast(a.account, 1) AS f ORDER BY account;
SET mktcontacts.clock = '2026-06-19 23:59:59+00';
CALL mkt.run();
SELECT count(*) FROM change WHERE reason = 'renewed';
SET mktcontacts.clock = '2026-06-20 00:00+00';
CALL mkt.run();
CALL mkt.run();
SELECT account, at, n, from_tier, to_tier, from_price, to_price, charge FROM change WHERE reason = 'renewed';
SELECT * FROM tier;
SELECT account, tier, price FROM mkt.usage ORDER BY account;

-- Renewals that are late, by several terms: each by the count that was then. Who adds a contact before mkt.run() comes finds
-- the tier that is since then.
DELETE FROM mkt.account;
DELETE FROM mkt.tier_change;
DELETE FROM mkt.notice;
DELETE FROM contact;
SET mktcontacts.clock = '2026-03-10 12:00+00';
INSERT INTO mkt.account (account, edition, commitment, started_on) VALUES ('late', 'ten', 'monthly', '2026-01-31');
CALL add(25, 'late');
SELECT mkt.request_downgrade('late', 10);
SET mktcontacts.clock = '2026-03-20 12:00+00';
CALL remove(16, 'late');
SET mktcontacts.clock = '2026-04-10 12:00+00';
CALL add(6, 'late');
SET mktcontacts.clock = '2026-07-10 12:00+00';
CALL mkt.run();
CALL mkt.run();
SELECT * FROM change;
SELECT round(5 * 20 / 30.0, 2) AS april;
SELECT percent, period_ends_at, at, billable, tier FROM mkt.notice ORDER BY at, percent;
SELECT * FROM tier;

-- Late renewals of accounts with contacts in a table without a history go by what is there now, in that table only.
DELETE FROM mkt.account;
DELETE FROM mkt.tier_change;
DELETE FROM contact;
SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE TABLE guest (id integer PRIMARY KEY, account text);
SELECT mkt.attach('guest', account_column => 'account');
SELECT mkt.set_history('guest', enabled => false);
INSERT INTO mkt.account (account, edition, commitment, started_on) VALUES ('known', 'ten', 'monthly', '2026-01-31'), ('half known', 'ten', 'monthly', '2026-01-31');
CALL add(15, 'known');
CALL add(15, 'half known');
INSERT INTO guest SELECT i, 'half known', 'marketing' FROM generate_series(1, 9) AS i;
SELECT mkt.request_downgrade('known', 10), mkt.request_downgrade('half known', 10);
CALL remove(10, 'known');
CALL remove(15, 'half known');
SET mktcontacts.clock = '2026-04-10 12:00+00';
CALL add(4, 'known');
DELETE FROM guest WHERE id > 7;
CALL add(2, 'half known');
SELECT * FROM change WHERE reason = 'renewed';
DELETE FROM mkt.account;
DELETE FROM mkt.tier_change;
SELECT mkt.detach('guest');
DROP TABLE guest;

-- A change of dates takes the request along; another edition has other tiers.
DELETE FROM mkt.account;
DELETE FROM mkt.tier_change;
DELETE FROM contact;
SET mktcontacts.clock = '2026-03-10 12:00+00';
INSERT INTO mkt.account (account, edition, started_on) VALUES ('moved', 'ten', '2024-06-20');
CALL add(35, 'moved');
SELECT mkt.request_downgrade('moved', 30);
CALL remove(10, 'moved');
UPDATE mkt.account SET started_on = '2024-07-01' WHERE account = 'moved';
UPDATE mkt.account SET time_zone = 'Europe/Oslo' WHERE account = 'moved';
SELECT * FROM request;
UPDATE mkt.account SET edition = 'hundreds' WHERE account = 'moved';
CALL add(200, 'moved');
CALL remove(200, 'moved');
SELECT account, renewal, f.billable, f.tier FROM mkt.account AS a, mkt.forecast(a.account, 4) AS f;
SET mktcontacts.clock = '2026-07-02 12:00+00';
CALL mkt.run();
SELECT * FROM change;
-- A renewal that is late is not lost by that.
SET mktcontacts.clock = '2026-07-03 12:00+00';
SELECT mkt.request_downgrade('moved', 0);
UPDATE mkt.account SET edition = 'ten' WHERE account = 'moved';
SELECT mkt.request_downgrade('moved', 10);
CALL remove(15, 'moved');
SET mktcontacts.clock = '2027-07-03 12:00+00';
UPDATE mkt.account SET started_on = '2024-12-24' WHERE account = 'moved';
SELECT * FROM change WHERE at > '2026-07-02';
SELECT * FROM tier;
-- What was due is renewed by the settings until then, also where the edition ends.
SET mktcontacts.clock = '2027-12-25 12:00+00';
UPDATE mkt.account SET edition = 'hundreds' WHERE account = 'moved';
SET mktcontacts.clock = '2028-12-25 12:00+00';
UPDATE mkt.account SET edition = NULL WHERE account = 'moved';
SELECT c.*, t.edition FROM change AS c JOIN mkt.tier_change AS t USING (account, at, reason) WHERE at > '2027-07-03 12:00+00' ORDER BY at, reason DESC;
SELECT * FROM tier;
UPDATE mkt.account SET account = 'renamed' WHERE account = 'moved';
SELECT * FROM request;
DELETE FROM mkt.account;
SELECT * FROM request;

-- Only who may change accounts may ask.
INSERT INTO mkt.account (account, edition, started_on) VALUES ('b', 'ten', '2024-06-20');
CALL add(11, 'b');
CREATE ROLE downgrader;
SET ROLE downgrader;
SELECT mkt.request_downgrade('b', 10);
RESET ROLE;
GRANT UPDATE (edition) ON mkt.account TO downgrader;
SET ROLE downgrader;
SELECT mkt.request_downgrade('b', 10);
RESET ROLE;
SELECT account, tier, requested_by FROM mkt.downgrade_request;
SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DELETE FROM mkt.account;
DELETE FROM mkt.tier_change;
DELETE FROM mkt.notice;
DELETE FROM mkt.edition WHERE edition IN ('ten', 'hundreds');
DROP SCHEMA downgrades CASCADE;
DROP OWNED BY downgrader;
DROP ROLE downgrader;
