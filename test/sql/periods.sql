-- Periods that mkt.run() closes (B11), whenever it runs (D6), and their invoices (B5, B6, B9).

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO;
CREATE SCHEMA periods;
SET search_path = periods;

-- A period adds up, begins where the one before ended, and its lines add up to its charge.
CREATE VIEW shown AS
SELECT account, starts_on, ends_on, opening, created, promotions, demotions, deletions, adjusted, closing, highest, highest_at
FROM mkt.period WHERE account LIKE 'pe %' ORDER BY account, ends_at;
CREATE VIEW charged AS
SELECT account, ends_on, edition, tier, billed_tier, currency, price, charge, sandbox, note
FROM mkt.period WHERE account LIKE 'pe %' ORDER BY account, ends_at;
CREATE VIEW wrong AS
SELECT p.account, p.starts_at, 'does not add up' AS what FROM mkt.period AS p
WHERE opening + created + promotions - demotions - deletions + adjusted <> closing OR highest < opening
   OR charge IS DISTINCT FROM (SELECT sum(amount) FROM mkt.period_line AS l WHERE l.account = p.account AND l.ends_at = p.ends_at)
UNION ALL
SELECT p.account, p.starts_at, 'does not join' FROM mkt.period AS p JOIN mkt.period AS q ON q.account = p.account AND q.starts_at = p.ends_at
WHERE p.closing <> q.opening OR p.ends_on <> q.starts_on
UNION ALL
SELECT p.account, p.starts_at, 'overlaps' FROM mkt.period AS p JOIN mkt.period AS q ON q.account = p.account AND q.starts_at < p.ends_at AND q.ends_at > p.starts_at AND q.ends_at <> p.ends_at;

SET mktcontacts.clock = '2026-01-10 12:00+00';
CREATE TABLE contact (id integer PRIMARY KEY, account text);
SELECT mkt.attach('contact', account_column => 'account');

-- Every kind of change, in one period and the next.
INSERT INTO mkt.account (account, edition, commitment, started_on, time_zone) VALUES ('pe a', 'starter', 'annual', '2025-03-20', 'Europe/Oslo');
INSERT INTO contact (id, account, marketing_status) SELECT i, 'pe a', CASE WHEN i <= 8 THEN 'marketing'::mkt.status END FROM generate_series(1, 10) AS i;
SET mktcontacts.clock = '2026-01-20 12:00+00';
UPDATE contact SET marketing_status = 'marketing' WHERE id = 9;
SET mktcontacts.clock = '2026-01-20 12:01+00';
UPDATE contact SET marketing_status = 'non_marketing' WHERE id IN (1, 2, 3, 4);
DELETE FROM contact WHERE id IN (4, 5, 10);
SET mktcontacts.clock = '2026-01-20 12:02+00';
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id = 3;
UPDATE contact SET account = 'pe else' WHERE id = 6;
-- The instant itself belongs to the next period (D5).
SET mktcontacts.clock = '2026-01-31 23:00+00';
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 8;
DELETE FROM contact WHERE id = 9;
CALL mkt.run();
SELECT * FROM shown;
SET mktcontacts.clock = '2026-02-28 23:00+00';
CALL mkt.run();
CALL mkt.run();
SELECT * FROM shown;
SELECT * FROM charged;
SELECT line, description, quantity, unit_price, amount, currency, draft FROM mkt.invoice('pe a', '2026-02-01');
SELECT * FROM wrong;

-- What is closed does not change, not even by a superuser.
UPDATE mkt.period SET note = 'x' WHERE account = 'pe a' AND ends_on = '2026-02-01';
\echo :SQLSTATE
DELETE FROM mkt.period WHERE account = 'pe a' AND ends_on = '2026-02-01';
\echo :SQLSTATE
UPDATE mkt.period_line SET amount = 0 WHERE account = 'pe a' AND ends_at = '2026-01-31 23:00+00';
\echo :SQLSTATE
DELETE FROM mkt.period_line WHERE account = 'pe a';
\echo :SQLSTATE
TRUNCATE mkt.period CASCADE;
\echo :SQLSTATE
TRUNCATE mkt.period_line;
\echo :SQLSTATE
SELECT mkt.period_closed();
SELECT mkt.account_remembered();
INSERT INTO mkt.period SELECT (p).* FROM (SELECT p FROM mkt.period AS p WHERE account = 'pe a') AS p ON CONFLICT ON CONSTRAINT period_pkey DO UPDATE SET opening = 0;
\echo :SQLSTATE

-- Terms and tiers: what was exceeded in mid-term is charged to the end of the term, once, and is billed from then on (B5).
SET mktcontacts.clock = '2026-03-05 12:00+00';
INSERT INTO contact (id, account, marketing_status) SELECT i, 'pe a', 'marketing' FROM generate_series(1001, 2000) AS i;
SET mktcontacts.clock = '2026-05-02 12:00+00';
CALL mkt.run();
SELECT * FROM charged;
SELECT l.* FROM mkt.period AS p, mkt.invoice(account, ends_at) AS l WHERE account = 'pe a' ORDER BY ends_at, line;
SELECT * FROM wrong;

-- A price that changes later changes nothing that is closed, and a draft at once.
BEGIN;
CREATE TEMP TABLE before AS SELECT p.*, (SELECT json_agg(l) FROM mkt.invoice(account, ends_at) AS l) AS invoice FROM mkt.period AS p;
SELECT * FROM mkt.invoice('pe a');
SELECT * FROM mkt.invoice('pe a', '2026-05-20');
UPDATE mkt.price SET base = 180, per_increment = 160 WHERE edition = 'starter';
UPDATE mkt.increment SET included = 500 WHERE edition = 'starter';
SELECT * FROM mkt.invoice('pe a');
SELECT count(*) FROM before JOIN mkt.period USING (account, ends_at) WHERE before.charge IS DISTINCT FROM period.charge OR before.price IS DISTINCT FROM period.price
   OR before.invoice::text IS DISTINCT FROM (SELECT json_agg(l) FROM mkt.invoice(account, ends_at) AS l)::text;
ROLLBACK;
SELECT * FROM mkt.invoice('pe a', '2026-08-01');
\echo :SQLSTATE
SELECT * FROM mkt.invoice('pe nobody');
SELECT * FROM mkt.invoice(NULL);

-- Without an edition nothing is billed; in a sandbox neither (B9). Without a price nobody knows what, and a currency that
-- is changed in between is noted.
INSERT INTO mkt.account (account, edition, commitment, started_on, currency, sandbox) VALUES
	('pe none', NULL, 'annual', NULL, 'EUR', false), ('pe sand', 'professional', 'monthly', '2026-04-15', 'EUR', true),
	('pe price', 'professional', 'monthly', '2026-04-15', 'NOK', false), ('pe money', 'starter', 'annual', '2026-04-15', 'EUR', false),
	('pe later', 'starter', 'annual', '2026-05-20', 'EUR', false), ('pe no term', 'starter', 'annual', NULL, 'USD', false);
INSERT INTO contact (id, account, marketing_status)
SELECT 10000 * a + i, account, 'marketing' FROM unnest(ARRAY['pe sand', 'pe price', 'pe money', 'pe no term']) WITH ORDINALITY AS t (account, a), generate_series(1, 2001) AS i;
UPDATE mkt.account SET currency = 'USD' WHERE account = 'pe money';
-- The last moment's reports tell what is closed: its count, tier and price, and a draft of its invoice.
SET mktcontacts.clock = '2026-05-31 21:59:59+00';
CREATE TABLE last AS
SELECT u.*, i.invoice FROM (SELECT u.* FROM mkt.usage AS u JOIN mkt.account USING (account) WHERE account LIKE 'pe %' AND u.next_update < '2026-06-02' OFFSET 0) AS u,
	LATERAL (SELECT json_agg(to_jsonb(i) - 'draft' ORDER BY line) AS invoice FROM mkt.invoice(u.account) AS i) AS i;
SET mktcontacts.clock = '2026-06-02 12:00+00';
CALL mkt.run();
SELECT count(*) AS accounts,
	count(*) FILTER (WHERE p.closing = u.billable_after_update AND p.tier IS NOT DISTINCT FROM u.tier AND p.price IS NOT DISTINCT FROM u.price
					 AND (p.currency = u.currency OR p.edition IS NULL)
					 AND u.invoice::text IS NOT DISTINCT FROM (SELECT json_agg(to_jsonb(i) - 'draft' ORDER BY line)::text FROM mkt.invoice(account, ends_at) AS i)) AS agree
FROM last AS u JOIN mkt.period AS p USING (account) WHERE p.ends_at = u.next_update;
-- And a forecast what will be, of count, tier and price.
CREATE TABLE foretold AS SELECT a.account, f.* FROM mkt.account AS a, mkt.forecast(a.account, 3) AS f WHERE a.account IN ('pe a', 'pe sand', 'pe money', 'pe no term', 'pe later');
SELECT * FROM charged WHERE account <> 'pe a';
SELECT account, p.ends_on, l.* FROM mkt.period AS p, mkt.invoice(account, ends_at) AS l WHERE account LIKE 'pe %' AND account <> 'pe a' ORDER BY account, ends_at, line;
SELECT * FROM wrong;

-- Settings that change in mid-period: the next update date by the new ones ends it (D7). A deleted account's last period ends then.
INSERT INTO mkt.account (account, commitment, started_on, time_zone, created_at) VALUES ('pe s1', 'annual', NULL, 'UTC', '2026-05-01'), ('pe s2', 'monthly', '2026-01-15', 'UTC', '2026-05-01');
SET mktcontacts.clock = '2026-07-10 12:00+00';
UPDATE mkt.account SET commitment = 'monthly', started_on = '2026-01-05' WHERE account = 'pe s1';
UPDATE mkt.account SET commitment = 'annual', time_zone = 'Pacific/Kiritimati' WHERE account = 'pe s2';
SET mktcontacts.clock = '2026-07-20 12:00+00';
UPDATE mkt.account SET commitment = 'monthly', started_on = '2026-01-28', edition = 'starter' WHERE account = 'pe s1';
SET mktcontacts.clock = '2026-08-20 12:00+00';
DELETE FROM mkt.account WHERE account = 'pe s2';
SET mktcontacts.clock = '2026-08-21 12:00+00';
INSERT INTO mkt.account (account) VALUES ('pe s2');
UPDATE mkt.account SET account = 'pe s3' WHERE account = 'pe s2';
SET mktcontacts.clock = '2026-10-02 12:00+00';
CALL mkt.run();
SELECT account, starts_at, ends_at, starts_on, ends_on, edition, charge FROM mkt.period WHERE account LIKE 'pe s_' ORDER BY account, ends_at;
SELECT count(*) AS kept FROM mkt.past_account WHERE account LIKE 'pe %';
SELECT * FROM wrong;

SELECT count(*) AS periods, count(*) FILTER (WHERE p.opening = f.billable AND p.tier = f.tier AND p.price IS NOT DISTINCT FROM f.price AND p.currency = f.currency) AS foretold
FROM foretold AS f JOIN mkt.period AS p ON p.account = f.account AND p.starts_at = f.update_at;

-- A tier whose renewal nobody had done is renewed before the account is deleted, and before it gets other settings.
BEGIN;
INSERT INTO contact (id, account, marketing_status) SELECT 50000 + i, 'pe gone', 'marketing' FROM generate_series(1, 1500) AS i;
INSERT INTO contact (id, account, marketing_status) SELECT 60000 + i, 'pe other', 'marketing' FROM generate_series(1, 1500) AS i;
INSERT INTO mkt.account (account, edition, started_on) VALUES ('pe gone', 'starter', '2025-11-10'), ('pe other', 'starter', '2025-11-10');
DELETE FROM contact WHERE account IN ('pe gone', 'pe other') AND id % 10000 > 900;
SELECT mkt.request_downgrade(account, 1000) FROM mkt.account WHERE account IN ('pe gone', 'pe other');
SET LOCAL mktcontacts.clock = '2026-12-20 12:00+00';
DELETE FROM mkt.account WHERE account = 'pe gone';
UPDATE mkt.account SET currency = 'USD' WHERE account = 'pe other';
SET LOCAL mktcontacts.clock = '2027-01-02 12:00+00';
CALL mkt.run();
SELECT account, ends_on, tier, currency, charge FROM mkt.period WHERE account IN ('pe gone', 'pe other') ORDER BY account, ends_at;
ROLLBACK;

-- Deleted contacts that count until the update date (T13) are deletions, folded meanwhile or not.
BEGIN;
INSERT INTO mkt.account (account, count_deleted) VALUES ('pe keeps', true);
INSERT INTO contact (id, account, marketing_status) SELECT 70000 + i, 'pe keeps', 'marketing' FROM generate_series(1, 10) AS i;
SET LOCAL mktcontacts.clock = '2026-10-20 12:00+00';
DELETE FROM contact WHERE account = 'pe keeps' AND id <= 70003;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 70004;
SET LOCAL mktcontacts.clock = '2026-11-10 12:00+00';
SELECT mkt.fold_counts(count_table) > 0 AS folded FROM mkt.attachment WHERE contacts = 'contact'::regclass;
DELETE FROM contact WHERE id = 70005;
SET LOCAL mktcontacts.clock = '2026-12-02 12:00+00';
CALL mkt.run();
SELECT ends_on, opening, created, promotions, demotions, deletions, adjusted, closing, highest FROM mkt.period WHERE account = 'pe keeps' ORDER BY ends_at;
ROLLBACK;

-- An account that is a number or a uuid. Who may not ask for a text's may not for theirs.
INSERT INTO mkt.account (account, edition, started_on) VALUES ('12345678', 'starter', '2026-10-02'), ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'starter', '2026-10-02');
SELECT description, amount, draft FROM mkt.invoice(12345678);
SELECT description, amount, draft FROM mkt.invoice('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, '2026-10-20');
SELECT mkt.invoice(12345679);
SET ROLE pg_monitor;
SELECT mkt.invoice(12345678);
SELECT mkt.invoice('12345678'::text);
RESET ROLE;
DELETE FROM mkt.account WHERE account IN ('12345678', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11');

-- What a table's history does not tell is null, and why is noted; a table that is detached and a clock that is set back are adjusted for.
SELECT mkt.set_history('contact', false);
INSERT INTO contact (id, account, marketing_status) VALUES (100001, 'pe none', 'marketing');
SET mktcontacts.clock = '2026-10-12 12:00+00';
SELECT mkt.set_history('contact', true);
SET mktcontacts.clock = '2026-11-02 12:00+00';
INSERT INTO contact (id, account, marketing_status) VALUES (100002, 'pe none', 'marketing'), (100003, 'pe none', 'marketing');
CALL mkt.run();
SET mktcontacts.clock = '2026-10-20 12:00+00';
DELETE FROM contact WHERE id = 100002;
SET mktcontacts.clock = '2026-12-02 12:00+00';
CALL mkt.run();
SELECT contacts, history_since FROM mkt.attachment WHERE contacts = 'contact'::regclass;
SELECT * FROM shown WHERE account = 'pe none' AND starts_on >= '2026-09-01';
SELECT account, ends_on, note FROM charged WHERE account = 'pe none' AND ends_on >= '2026-10-01';
-- However short it is kept: what open periods need is there when they are closed, and gone afterwards.
BEGIN;
SELECT mkt.set_history('contact', true, '1 month');
SET LOCAL mktcontacts.clock = '2026-12-20 12:00+00';
INSERT INTO contact (id, account, marketing_status) SELECT i, 'pe none', 'marketing' FROM generate_series(200001, 200009) AS i;
SELECT mkt.fold_counts(count_table) > 0 AS folded FROM mkt.attachment WHERE contacts = 'contact'::regclass;
SET LOCAL mktcontacts.clock = '2026-12-21 12:00+00';
DELETE FROM contact WHERE id BETWEEN 200002 AND 200009;
SET LOCAL mktcontacts.clock = '2027-06-20 12:00+00';
CALL mkt.run();
SELECT starts_on, opening, created, deletions, closing, highest, note FROM mkt.period WHERE account = 'pe none' AND starts_on >= '2026-12-01';
CALL mkt.run();
SELECT history_since FROM mkt.attachment WHERE contacts = 'contact'::regclass;
ROLLBACK;
SELECT mkt.set_history('contact', false);
SET mktcontacts.clock = '2027-01-02 12:00+00';
CALL mkt.run();
SELECT ends_on, opening, closing, highest, note FROM mkt.period WHERE account = 'pe none' AND starts_on >= '2026-12-01';
SELECT mkt.detach('contact');
SET mktcontacts.clock = '2027-02-02 12:00+00';
CALL mkt.run();
SELECT * FROM shown WHERE account IN ('pe none', 'pe a') AND starts_on >= '2026-12-01';
SELECT * FROM wrong;

SELECT * FROM mkt.verify();

DELETE FROM mkt.account WHERE account LIKE 'pe %';
CALL mkt.run();
-- Who is not described any longer has periods, and none that is open.
SELECT * FROM mkt.invoice('pe none');
SELECT count(*) FROM mkt.open_period WHERE account LIKE 'pe %';
RESET mktcontacts.clock;
SET client_min_messages = warning;
DROP SCHEMA periods CASCADE;
