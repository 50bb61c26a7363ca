-- Reviews: an account's marketing contacts are selected in steps and set as non-marketing at once (W3 to W6).

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
ALTER TABLE mkt.review ALTER COLUMN review RESTART WITH 101;
CREATE SCHEMA reviews;
SET search_path = reviews;

INSERT INTO mkt.edition (edition) VALUES ('small');
INSERT INTO mkt.increment (edition, valid_from, valid_to, included, increment) VALUES ('small', '-infinity', NULL, 10, 5);
INSERT INTO mkt.price (edition, currency, valid_from, valid_to, mode, base, per_increment)
VALUES ('small', 'EUR', '-infinity', '2026-04-01', 'graduated', 20, 2.5), ('small', 'EUR', '2026-04-01', NULL, 'graduated', 21, 3);
INSERT INTO mkt.account (account, edition, currency) VALUES ('42', 'small', 'EUR');

-- Of account 42: 1 to 20 marketing, 21 and 22 pending, 23 and 24 non-marketing. Contact 31 is another account's.
CREATE TABLE contact (id int PRIMARY KEY, account_id int, city text, unsubscribed_at date, bounced boolean DEFAULT false);
SELECT mkt.attach('contact', account_column => 'account_id', unsubscribed => 'unsubscribed_at IS NOT NULL', bounced => 'bounced');
INSERT INTO contact
SELECT i, CASE WHEN i = 31 THEN 43 ELSE 42 END, CASE WHEN i % 2 = 0 THEN 'Oslo' ELSE 'Bergen' END,
	CASE WHEN i IN (1, 2, 21, 23, 31) THEN '2026-01-01'::date END, i IN (2, 3),
	CASE WHEN i NOT IN (23, 24) THEN 'marketing'::mkt.status END, i IN (21, 22)
FROM unnest(ARRAY(SELECT generate_series(1, 24)) || 31) AS i;
CREATE VIEW states AS
SELECT account_id, array_agg(id ORDER BY id) FILTER (WHERE marketing_until IS NULL AND marketing_status = 'marketing') AS marketing,
	array_agg(id ORDER BY id) FILTER (WHERE marketing_until IS NOT NULL) AS pending
FROM contact GROUP BY account_id ORDER BY account_id;

-- One after the other. Pending contacts, and those of other accounts, are not proposed; nobody is selected twice.
SELECT mkt.open_review('contact', '42') AS review \gset
SELECT :review AS review;
SELECT * FROM mkt.review_summary(:review) \gx
SELECT * FROM mkt.review_unengaged(:review);
SELECT * FROM mkt.review_filter(:review, '{"filterGroups": [{"filters": [{"propertyName": "city", "operator": "EQ", "value": "Oslo"}]}]}', take => false);
SELECT mkt.save_filter('contact', '42', 'early', '{"filterGroups": [{"filters": [{"propertyName": "id", "operator": "LTE", "value": 4}]}]}');
SELECT mkt.save_filter('contact', NULL, 'even', condition => 'id % 2 = 0 AND id < 8');
SELECT * FROM mkt.review_filter(:review, 'early');
SELECT * FROM mkt.review_filter(:review, 'even');
SELECT mkt.create_list('contact', '42', 'fair') IS NOT NULL AS created;
SELECT * FROM mkt.add_to_list('contact', '42', 'fair', ARRAY[6, 7, 8, 21, 23]);
SELECT * FROM mkt.review_list(:review, 'fair');
SELECT step, proposal, taken, proposed, decided_at FROM mkt.review_step WHERE review = :review ORDER BY step;
SELECT key, array_agg(step ORDER BY step) AS steps FROM mkt.review_contact WHERE review = :review GROUP BY key ORDER BY key;
SELECT * FROM states;

-- A step that is said again decides anew: by the contacts as they are, and not at all where it is not taken any more.
UPDATE contact SET bounced = true WHERE id = 20;
SELECT * FROM mkt.review_unengaged(:review, NULL);
SELECT * FROM mkt.review_filter(:review, '  { "filterGroups": [ {"filters": [{"operator": "EQ", "value": "Oslo", "propertyName": "city"}]}]}'::text);
SELECT * FROM mkt.review_filter(:review, jsonb '{"filterGroups": [{"filters": [{"propertyName": "city", "operator": "EQ", "value": "Oslo"}]}]}', false);
SELECT * FROM mkt.review_filter(:review, 'even', take => false);
SELECT * FROM mkt.review_list(:review, 'fair');
SELECT step, proposal, taken, proposed FROM mkt.review_step WHERE review = :review ORDER BY step;

-- Life goes on: of the selected, 1 is deleted, 2 moves to another account, 3 is pending and 4 non-marketing by now, 20 was
-- pending meanwhile; 6 has become one of Bergen, and stays selected.
DELETE FROM contact WHERE id = 1;
UPDATE contact SET account_id = 43 WHERE id = 2;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id IN (3, 20);
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id = 20;
DELETE FROM contact WHERE id = 4;
INSERT INTO contact (id, account_id) VALUES (4, 42);
UPDATE contact SET city = 'Bergen' WHERE id = 6;
SELECT * FROM mkt.review_summary(:review) \gx
BEGIN READ ONLY;
SELECT account, billable, selected, changed FROM mkt.review_summary(:review);
COMMIT;

-- Another number than expected changes nothing, and the review goes on.
SELECT * FROM mkt.apply_review(:review, expected => 8);
\echo :LAST_ERROR_SQLSTATE
SELECT changed, already, pending, not_found, parked FROM mkt.apply_review(:review, 4);
SELECT * FROM states;
SELECT state, opened_at, closed_at, batch = (SELECT max(batch) FROM mkt.batch) AS newest, (SELECT count(*) FROM mkt.review_contact WHERE review = :review) AS keys
FROM mkt.review WHERE review = :review;
SELECT action, changed, already, pending, not_found FROM mkt.batch ORDER BY batch DESC LIMIT 1;

-- The summary has come true: mkt.usage when the clock stands at the update date.
SELECT billable, non_marketing, billable_after_update FROM mkt.usage WHERE account = '42';
BEGIN;
SET LOCAL mktcontacts.clock = '2026-04-01 00:00+00';
SELECT billable, non_marketing, tier, price, currency FROM mkt.usage WHERE account = '42';
ROLLBACK;

-- Applied again, it changes nothing; nothing else can be done with it. (Its batch has a number that differs.)
SET client_min_messages = warning;
SELECT changed, already, pending, not_found, parked FROM mkt.apply_review(:review);
RESET client_min_messages;
SELECT * FROM mkt.review_unengaged(:review);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM mkt.review_filter(:review, 'early');
SELECT * FROM mkt.review_list(:review, 'fair');
SELECT * FROM mkt.review_summary(:review);
SELECT mkt.abandon_review(:review);

-- It is undone as one (W5), but for what was touched since.
UPDATE contact SET marketing_until_next_update = false WHERE id = 7;
SELECT restored, pending, changed_since, too_late, gone FROM mkt.review AS r, mkt.undo(r.batch) WHERE r.review = :review;
SELECT * FROM states;
SELECT mkt.open_review('contact', '42') AS review \gset
SELECT * FROM mkt.review_list(:review, 'fair');
SELECT changed FROM mkt.apply_review(:review);
BEGIN;
SET LOCAL mktcontacts.clock = '2026-04-01 00:00+00';
SELECT restored, pending, changed_since, too_late, gone FROM mkt.review AS r, mkt.undo(r.batch) WHERE r.review = :review;
ROLLBACK;

-- Abandoned, it changes nothing, however often.
SELECT mkt.open_review('contact', '42') AS review \gset
SELECT * FROM mkt.review_filter(:review, 'even');
SELECT mkt.abandon_review(:review);
SELECT mkt.abandon_review(:review);
SELECT state, closed_at, batch, (SELECT count(*) FROM mkt.review_contact WHERE review = :review) AS keys FROM mkt.review WHERE review = :review;
SELECT * FROM mkt.apply_review(:review);
SELECT * FROM mkt.review_summary(:review);

-- Contacts whose instant has passed are non-marketing, applied or not.
BEGIN;
SET LOCAL mktcontacts.clock = '2026-04-02 00:00+00';
SELECT mkt.open_review('contact', '42') AS review \gset
SELECT * FROM mkt.review_list(:review, 'fair');
SELECT billable, non_marketing, selected, changed FROM mkt.review_summary(:review);
ROLLBACK;

-- An account without contacts, and one that its column writes in another way.
SELECT mkt.open_review('contact', '4711') AS review \gset
SELECT * FROM mkt.review_unengaged(:review);
SELECT account, billable, non_marketing, selected, changed, not_found, billable_after_update, tier, price, next_update FROM mkt.review_summary(:review);
SELECT changed, already, pending, not_found FROM mkt.apply_review(:review);
SELECT mkt.open_review('contact', ' 042') AS review \gset
SELECT account, billable, selected FROM mkt.review_summary(:review);
SELECT account, changed, billable_before FROM mkt.preview_set_non_marketing('contact', ARRAY[10, 11], account => '042');
SELECT mkt.abandon_review(:review);

-- The batch may have a name.
SELECT mkt.open_review('contact', '42') AS review \gset
SELECT * FROM mkt.review_filter(:review, '{"filterGroups": [{"filters": [{"propertyName": "id", "operator": "IN", "values": [9, 10]}]}]}');
BEGIN;
SET LOCAL mktcontacts.batch = 'cleaning';
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 11;
SELECT changed FROM mkt.apply_review(:review);
SELECT label, action, changed FROM mkt.batch WHERE label = 'cleaning' ORDER BY action;
SELECT restored FROM mkt.review AS r, mkt.undo(r.batch) WHERE r.review = :review;
COMMIT;

-- A filter may be long.
SELECT mkt.open_review('contact', '42') AS review \gset
SELECT * FROM mkt.review_filter(:review, jsonb_build_object('filterGroups', jsonb_build_array(jsonb_build_object('filters',
	jsonb_build_array(jsonb_build_object('propertyName', 'id', 'operator', 'IN', 'values', (SELECT jsonb_agg(i) FROM generate_series(8, 5000) AS i)))))));
SELECT step, length(proposal) > 20000 AS long, proposed FROM mkt.review_step WHERE review = :review;

-- Keys of all types, in tables of every kind. Their text stands in the review.
CREATE DOMAIN code AS text CHECK (value <> '');
CREATE TYPE region AS ENUM ('north', 'south');
CREATE TABLE named (code code PRIMARY KEY, owner uuid);
CREATE TABLE parted (region region, id bigint, score int, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE north PARTITION OF parted FOR VALUES IN ('north');
CREATE TABLE south PARTITION OF parted FOR VALUES IN ('south');
CREATE TABLE solo (id uuid PRIMARY KEY, gone boolean);
SELECT mkt.attach('named', account_column => 'owner', unsubscribed => 'code LIKE ''%,%''');
SELECT mkt.attach('parted', account_column => 'region', bounced => 'score > 2');
SELECT mkt.attach('solo', account => 'it''s', bounced => 'gone');
INSERT INTO named SELECT c, 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'marketing' FROM unnest(ARRAY['a,b', 'NULL', '"q"', '{x}', 'back\slash, ', ' ']) AS c;
INSERT INTO parted SELECT r, i, i, 'marketing' FROM unnest(enum_range(NULL::region)) AS r, generate_series(1, 4) AS i;
INSERT INTO solo SELECT ('00000000-0000-0000-0000-00000000000' || i)::uuid, i > 2, 'marketing' FROM generate_series(1, 4) AS i;

SELECT mkt.open_review('named', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11') AS review \gset
SELECT * FROM mkt.review_unengaged(:review);
SELECT mkt.save_filter('named', NULL, 'all', condition => 'true');
SELECT * FROM mkt.review_filter(:review, 'all');
SELECT account, billable, selected, changed, not_found FROM mkt.review_summary(:review);
SELECT changed, not_found FROM mkt.apply_review(:review, 6);
SELECT mkt.open_review('parted', 'south') AS review \gset
SELECT * FROM mkt.review_unengaged(:review);
SELECT account, billable, non_marketing, selected, changed, billable_after_update FROM mkt.review_summary(:review);
SELECT changed FROM mkt.apply_review(:review);
SELECT region, count(*) FILTER (WHERE marketing_until_next_update) AS pending FROM parted GROUP BY region ORDER BY region;
SELECT mkt.open_review('solo') AS review \gset
SELECT * FROM mkt.review_unengaged(:review);
SELECT account, billable, selected, changed FROM mkt.review_summary(:review);
SELECT changed FROM mkt.apply_review(:review);
SELECT mkt.open_review('solo', 'another') AS review \gset
SELECT * FROM mkt.review_unengaged(:review);
SELECT account, billable, selected FROM mkt.review_summary(:review);

-- Nobody has said who is unengaged.
CREATE TABLE quiet (id int PRIMARY KEY);
SELECT mkt.attach('quiet', account => 'q');
SELECT mkt.open_review('quiet') AS review \gset
SELECT * FROM mkt.review_unengaged(:review);

-- The condition of a table's owner does not hold any more, and is told.
ALTER TABLE contact RENAME COLUMN bounced TO hard_bounced;
SELECT mkt.open_review('contact', '42') AS review \gset
SELECT * FROM mkt.review_unengaged(:review);
ALTER TABLE contact RENAME COLUMN hard_bounced TO bounced;

-- What a review is about changes its shape, is detached, and is dropped.
SELECT mkt.review_filter(:review, 'early');
SELECT mkt.detach('quiet', true);
SELECT mkt.open_review('solo') AS other \gset
SELECT mkt.save_filter('solo', NULL, 'all', condition => 'true');
SELECT mkt.review_filter(:other, 'all');
SELECT mkt.detach('solo', true);
SELECT * FROM mkt.review_summary(:other);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM mkt.review_unengaged(:other);
SELECT * FROM mkt.apply_review(:other);
SELECT mkt.abandon_review(:other);
SELECT state FROM mkt.review WHERE review = :other;
CREATE TABLE changing (key text PRIMARY KEY);
SELECT mkt.attach('changing', account => 'c', bounced => 'true');
INSERT INTO changing SELECT 'k' || i, 'marketing' FROM generate_series(1, 2) AS i;
SELECT mkt.open_review('changing') AS other \gset
SELECT * FROM mkt.review_unengaged(:other);
BEGIN;
ALTER TABLE changing RENAME COLUMN key TO code;
ALTER TABLE changing RENAME TO changed;
SELECT account, billable, selected, changed FROM mkt.review_summary(:other);
ROLLBACK;
SELECT mkt.detach('changing');
ALTER TABLE changing ALTER COLUMN key TYPE int USING substr(key, 2)::int;
SELECT mkt.attach('changing', account => 'c');
SELECT * FROM mkt.review_summary(:other);
SELECT * FROM mkt.apply_review(:other);
SELECT mkt.abandon_review(:other);
SELECT mkt.open_review('changing') AS other \gset
DROP TABLE changing;
SELECT count(*) FROM mkt.review WHERE review = :other;
SELECT mkt.abandon_review(:other);

-- What cannot be a review.
SELECT mkt.open_review('contact');
SELECT mkt.open_review(NULL);
SELECT mkt.open_review('contact', 'forty-two');
SELECT mkt.open_review('north', 'north');
SELECT mkt.open_review('quiet');
CREATE TABLE wide (a int, b int, PRIMARY KEY (a, b));
SELECT mkt.attach('wide', account => 'w');
SELECT mkt.open_review('wide');
SELECT mkt.review_unengaged(NULL);
SELECT mkt.review_summary(4711);
SELECT mkt.apply_review(NULL);
SELECT mkt.abandon_review(4711);
SELECT mkt.review_filter(:review, NULL::jsonb);
SELECT mkt.review_filter(:review, NULL::text);
SELECT mkt.review_filter(:review, 'nothing of that name');
SELECT mkt.review_filter(:review, '{"filterGroups": [{"filters": [{"propertyName": "town", "operator": "HAS_PROPERTY"}]}]}');
SELECT mkt.review_list(:review, NULL);
SELECT mkt.review_list(:review, 'nothing of that name');

SELECT contacts, account, state FROM mkt.review ORDER BY review;
SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA reviews CASCADE;
SELECT (SELECT count(*) FROM mkt.review) AS reviews, (SELECT count(*) FROM mkt.review_step) AS steps, (SELECT count(*) FROM mkt.review_contact) AS contacts;
DELETE FROM mkt.account WHERE account = '42';
DELETE FROM mkt.edition WHERE edition = 'small';
