-- mkt.preview_set_marketing() and mkt.preview_set_non_marketing(): what a bulk change would do and cost, without doing it (W6).

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA previews;
SET search_path = previews;

-- Three contacts are included, and tiers grow by two. From the first of April on, tiers and prices are others.
INSERT INTO mkt.edition (edition) VALUES ('tiny');
INSERT INTO mkt.increment (edition, valid_from, valid_to, included, increment)
VALUES ('tiny', '-infinity', '2026-04-01', 3, 2), ('tiny', '2026-04-01', NULL, 4, 3);
INSERT INTO mkt.price (edition, currency, valid_from, valid_to, mode, base, per_increment)
VALUES ('tiny', 'EUR', '-infinity', '2026-04-01', 'graduated', 10, 1.005), ('tiny', 'EUR', '2026-04-01', NULL, 'volume', 11, 2),
       ('tiny', 'JPY', '-infinity', NULL, 'graduated', 100.5, 7);
INSERT INTO mkt.account (account, edition, commitment, started_on, time_zone, currency)
VALUES ('a', 'tiny', 'monthly', '2024-01-15', 'UTC', 'EUR'), ('b', 'tiny', 'annual', NULL, 'Europe/Oslo', 'EUR'),
       ('c', 'tiny', 'annual', NULL, 'UTC', 'KWD'), ('d', NULL, 'annual', NULL, 'UTC', 'EUR'), ('1', 'tiny', 'annual', NULL, 'UTC', 'JPY');

-- Of ten keys each: 1 to 4 marketing, 5 and 6 pending, 7 to 10 non-marketing.
CREATE TABLE contact (id bigint PRIMARY KEY, account text);
CREATE TABLE lead (id bigint PRIMARY KEY);
SELECT mkt.attach('contact', account_column => 'account');
SELECT mkt.attach('lead', account => 'a');
INSERT INTO contact
SELECT k * 10 + i, account, CASE WHEN i <= 6 THEN 'marketing'::mkt.status END, i BETWEEN 5 AND 6
FROM unnest(ARRAY['a', 'b', 'c', 'd', 'e', NULL]) WITH ORDINALITY AS a (account, k), generate_series(1, 10) AS i;
INSERT INTO lead VALUES (1, 'marketing', false), (2, 'marketing', true), (3, NULL, NULL);

\set columns 'account, changed, already, pending, not_found, parked, concat_ws(\' \', billable_before, billable_after, billable_after_update) AS billable, concat_ws(\' \', tier_before, tier_after, tier_after_update) AS tiers, concat_ws(\' \', price_before, price_after, price_after_update) AS prices, currency AS cur, next_update::timestamp(0)'

-- One account, as it reads best.
\x
SELECT * FROM mkt.preview_set_non_marketing('contact', ARRAY[11, 12, 15, 17]);
\x

-- All accounts: what is asked of N, M and P; the contacts of lead count, too.
SELECT :columns FROM mkt.preview_set_marketing('contact', ARRAY(SELECT generate_series(11, 70)));
SELECT :columns FROM mkt.preview_set_non_marketing('contact', ARRAY(SELECT generate_series(11, 70)));
SELECT :columns FROM mkt.preview_set_non_marketing('lead', ARRAY[1, 2, 3]);

-- Keys that come twice, that are null, that nobody has; no keys. The rows add up to the report of the change.
SELECT :columns FROM mkt.preview_set_marketing('contact', ARRAY[17, 17, 11, 15, 27, 999, 998, 999, NULL, NULL]);
SELECT sum(changed) AS changed, sum(already) AS already, sum(pending) AS pending, sum(not_found) AS not_found, sum(parked) AS parked
FROM mkt.preview_set_marketing('contact', ARRAY[17, 17, 11, 15, 27, 999, 998, 999, NULL, NULL]);
SELECT :columns FROM mkt.preview_set_marketing('contact', ARRAY[999, 998]);
SELECT :columns FROM mkt.preview_set_marketing('contact', '{}'::bigint[]);
SELECT :columns FROM mkt.preview_set_non_marketing('contact', ARRAY['17', '11']);

-- One account's contacts only.
SELECT :columns FROM mkt.preview_set_non_marketing('contact', ARRAY[11, 12, 21, 22], account => 'b');
SELECT :columns FROM mkt.preview_set_non_marketing('contact', ARRAY[11, 12], account => 'nobody');

-- It has come true: the report, and mkt.usage now and when the clock stands at the update date.
BEGIN;
SELECT changed, already, pending, not_found, parked FROM mkt.set_non_marketing('contact', ARRAY[11, 12, 15, 17]);
SELECT account, billable, billable_after_update, tier, price FROM mkt.usage WHERE account = 'a';
SET LOCAL mktcontacts.clock = '2026-03-15 00:00+00';
SELECT account, billable, tier, price FROM mkt.usage WHERE account = 'a';
ROLLBACK;
BEGIN;
SELECT changed, already, pending, not_found, parked FROM mkt.set_marketing('contact', ARRAY(SELECT generate_series(11, 70)));
SELECT account, billable, billable_after_update, tier, price FROM mkt.usage WHERE total > 0 ORDER BY account;
SET LOCAL mktcontacts.clock = '2026-03-31 22:00+00';
SELECT account, billable, tier, price FROM mkt.usage WHERE account = 'b';
SET LOCAL mktcontacts.clock = '2026-04-01 00:00+00';
SELECT account, billable, tier, price FROM mkt.usage WHERE account IN ('c', 'd', 'e') OR account IS NULL ORDER BY account;
ROLLBACK;

-- An instant that has passed and is not applied: the contact is non-marketing (S1).
SET mktcontacts.clock = '2026-03-15 00:00+00';
SELECT :columns FROM mkt.preview_set_marketing('contact', ARRAY[15, 16, 25, 11]);
SELECT :columns FROM mkt.preview_set_non_marketing('contact', ARRAY[15, 16, 25, 11]);
SET mktcontacts.clock = '2026-03-14 23:59:59.999999+00';
SELECT :columns FROM mkt.preview_set_non_marketing('contact', ARRAY[15, 16, 25, 11]);
SET mktcontacts.clock = '2026-03-10 12:00+00';

-- Another cycle has other instants (D7); without them, pending contacts keep theirs until the account's update date has gone by.
BEGIN;
UPDATE mkt.account SET started_on = '2024-01-25' WHERE account = 'a';
SELECT :columns FROM mkt.preview_set_marketing('contact', ARRAY[15, 17]);
ROLLBACK;
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE mkt.account SET started_on = '2024-01-12' WHERE account = 'a';
SET LOCAL session_replication_role = origin;
SELECT :columns FROM mkt.preview_set_marketing('contact', ARRAY[15, 17]);
SELECT changed FROM mkt.set_marketing('contact', ARRAY[15, 17]);
SELECT billable, billable_after_update FROM mkt.usage WHERE account = 'a';
ROLLBACK;

-- What the same transaction has done is seen, also what is counted at its end only.
BEGIN;
UPDATE contact SET marketing_status = 'marketing' WHERE id = 17;
DELETE FROM contact WHERE id = 11;
SELECT :columns FROM mkt.preview_set_marketing('contact', ARRAY[11, 17, 18]);
ROLLBACK;
CREATE TABLE parted (shop integer, id integer, PRIMARY KEY (shop, id)) PARTITION BY LIST (shop);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
SELECT mkt.attach('parted', account_column => 'shop');
INSERT INTO parted_1 VALUES (1, 1, 'marketing'), (1, 2, NULL);
BEGIN;
UPDATE parted_1 SET marketing_status = 'marketing' WHERE id = 2;
SELECT :columns FROM mkt.preview_set_non_marketing('parted', ARRAY[1, 2], account => '1');
SELECT :columns FROM mkt.preview_set_non_marketing('parted_1', ARRAY[1, 2], account => '1');
ROLLBACK;

-- Nothing changes, not even in a transaction that could not, and no transaction id is taken.
CREATE TABLE unchanged AS SELECT *, xmin AS version FROM contact;
BEGIN READ ONLY;
SELECT account, changed, pg_current_xact_id_if_assigned() IS NULL AS no_transaction_id
FROM mkt.preview_set_non_marketing('contact', ARRAY(SELECT generate_series(1, 100)));
SELECT account, changed, pg_current_xact_id_if_assigned() IS NULL AS no_transaction_id
FROM mkt.preview_set_marketing('lead', ARRAY[1, 2, 3]);
COMMIT;
SELECT count(*) FROM (TABLE unchanged EXCEPT SELECT *, xmin FROM contact) AS c;
DROP TABLE unchanged;

-- The caller's rights. Who may not update the table has nothing to preview.
CREATE ROLE mkt_previewer;
GRANT USAGE ON SCHEMA previews TO mkt_previewer;
GRANT SELECT ON contact TO mkt_previewer;
\set SHOW_CONTEXT never
SET ROLE mkt_previewer;
SELECT * FROM mkt.preview_set_marketing('contact', ARRAY[11]);
\echo :SQLSTATE
RESET ROLE;

-- Where he may not read a table with contacts of the account, he is told no count.
GRANT UPDATE ON contact TO mkt_previewer;
SET ROLE mkt_previewer;
SELECT :columns FROM mkt.preview_set_marketing('contact', ARRAY[17, 27]);
SELECT mkt.billable('a');
RESET ROLE;

-- Where row-level security shows him none of them, he is told the count without them, and no tier; see mkt.billable().
GRANT SELECT ON lead TO mkt_previewer;
ALTER TABLE lead ENABLE ROW LEVEL SECURITY;
SET ROLE mkt_previewer;
SELECT :columns FROM mkt.preview_set_marketing('contact', ARRAY[17, 27]);
SELECT mkt.billable('a');
RESET ROLE;
ALTER TABLE lead DISABLE ROW LEVEL SECURITY;

-- Contacts that he cannot see, or can see and not update, are not found.
ALTER TABLE contact ENABLE ROW LEVEL SECURITY;
CREATE POLICY see ON contact FOR SELECT USING (account IN ('a', 'b'));
CREATE POLICY edit ON contact FOR UPDATE USING (id IN (SELECT l.id + 16 FROM lead AS l WHERE l.id < contact.id));
SET ROLE mkt_previewer;
SELECT :columns FROM mkt.preview_set_marketing('contact', ARRAY(SELECT generate_series(11, 70)));
BEGIN;
SELECT changed, already, pending, not_found, parked FROM mkt.set_marketing('contact', ARRAY(SELECT generate_series(11, 70)));
ROLLBACK;
RESET ROLE;
CREATE POLICY edit_less ON contact AS RESTRICTIVE FOR UPDATE TO mkt_previewer USING (id <> 18);
SET ROLE mkt_previewer;
SELECT :columns FROM mkt.preview_set_marketing('contact', ARRAY(SELECT generate_series(11, 70)));
RESET ROLE;
DROP POLICY edit ON contact;
SET ROLE mkt_previewer;
SELECT :columns FROM mkt.preview_set_marketing('contact', ARRAY(SELECT generate_series(11, 70)));
RESET ROLE;
ALTER TABLE contact DISABLE ROW LEVEL SECURITY;

-- Tiers are found for the extension, not for everybody.
SET ROLE mkt_previewer;
SELECT * FROM mkt.preview_tiers(ARRAY['a'], ARRAY[7], ARRAY[now()]);
RESET ROLE;

-- Misuse is refused as by the change itself.
CREATE TABLE by_two (a integer, b integer, account text, PRIMARY KEY (a, b));
SELECT mkt.attach('by_two', account_column => 'account');
SELECT * FROM mkt.preview_set_marketing('by_two', ARRAY[1], account => 'a');
SELECT * FROM mkt.preview_set_marketing('parted', ARRAY[1]);
SELECT * FROM mkt.preview_set_marketing('parted', ARRAY[1], account => 'two');
SELECT * FROM mkt.preview_set_marketing('contact', ARRAY['one']);
SELECT * FROM mkt.preview_set_non_marketing('contact', NULL::bigint[]);
SELECT * FROM mkt.preview_set_non_marketing(NULL, ARRAY[1]);
SELECT * FROM mkt.preview_set_non_marketing('pg_class', ARRAY[1]);

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA previews CASCADE;
DROP ROLE mkt_previewer;
DELETE FROM mkt.account;
DELETE FROM mkt.edition WHERE edition = 'tiny';
