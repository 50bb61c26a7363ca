-- Deleted contacts that count until the update date, where the account says so (T13).
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS mktcontacts;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA deleted_contacts_count;
SET search_path = deleted_contacts_count;

CREATE TABLE company (id integer PRIMARY KEY);
CREATE TABLE contact (id integer PRIMARY KEY, account text, company integer REFERENCES company ON DELETE CASCADE);
SELECT mkt.attach('contact', account_column => 'account');
INSERT INTO mkt.account (account, count_deleted) VALUES ('keeps', true);
INSERT INTO company VALUES (1);
INSERT INTO contact SELECT i, 'keeps', CASE WHEN i > 97 THEN 1 END, CASE WHEN i > 3 THEN 'marketing'::mkt.status END FROM generate_series(1, 100) AS i;
INSERT INTO contact SELECT i, 'other', NULL, 'marketing' FROM generate_series(101, 110) AS i;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id BETWEEN 4 AND 8;
CREATE VIEW counts AS
SELECT account, billable, non_marketing, pending, deleted, total, billable_after_update, next_update::date FROM mkt.usage
WHERE account IN ('keeps', 'moves', 'other', 'full', 'parted', 'quiet') ORDER BY account;
SELECT * FROM counts;

-- A marketing contact counts until the next update date, a pending one until its instant; a non-marketing one never did.
DELETE FROM contact WHERE id IN (1, 4, 9, 10, 101);
SELECT * FROM counts;
SELECT mkt.billable('keeps', '2026-03-31 23:59:59+00'), mkt.billable('keeps', '2026-04-01 00:00+00');
SELECT change, status, until FROM mkt.history('contact', 9);
SELECT change, status, until FROM mkt.history('contact', 4);
SELECT change, status, until FROM mkt.history('contact', 101);

-- Whatever deletes: a foreign key, MERGE, a CTE, in a savepoint or in one that is rolled back.
DELETE FROM company;
SELECT billable, deleted, total FROM counts WHERE account = 'keeps';
MERGE INTO contact AS c USING (VALUES (11), (12)) AS v (id) ON v.id = c.id WHEN MATCHED THEN DELETE;
WITH gone AS (DELETE FROM contact WHERE id = 13 RETURNING id) SELECT * FROM gone;
BEGIN;
SAVEPOINT a;
DELETE FROM contact WHERE id = 14;
SELECT billable, deleted, total FROM counts WHERE account = 'keeps';
ROLLBACK TO a;
DELETE FROM contact WHERE id = 15;
RELEASE a;
SELECT billable, deleted, total FROM counts WHERE account = 'keeps';
COMMIT;
SELECT billable, deleted, total FROM counts WHERE account = 'keeps';
SELECT * FROM mkt.verify();

-- By source, they are those without one, so that shares and prices add up; in the transaction that deletes as well.
SELECT * FROM mkt.source_usage('keeps');
BEGIN;
DELETE FROM contact WHERE id = 21;
SELECT account, source_type, source_name, billable, pending, deleted, share FROM mkt.source_usage WHERE account IN ('keeps', 'other') ORDER BY 1;
SELECT s.account, sum(s.billable) = u.billable AS billable, sum(s.deleted) = u.deleted AS deleted, sum(s.share)
FROM mkt.source_usage AS s JOIN mkt.usage AS u USING (account) WHERE u.account IN ('keeps', 'other') GROUP BY s.account, u.billable, u.deleted ORDER BY 1;
ROLLBACK;
BEGIN;
SET LOCAL mktcontacts.clock = '2026-04-01 00:00+00';
SELECT * FROM mkt.source_usage('keeps');
ROLLBACK;

-- What is not there is no non-marketing contact, neither now nor on the update date.
SELECT mkt.open_review('contact', 'keeps') AS review \gset
SELECT selected FROM mkt.review_filter(:review, '{"filterGroups": [{"filters": [{"propertyName": "id", "operator": "IN", "values": ["30", "31"]}]}]}'::jsonb);
SELECT billable, non_marketing, changed, billable_after_update, non_marketing_after_update FROM mkt.review_summary(:review);
SELECT mkt.abandon_review(:review);

-- Moving to another account (T5) and merging (T7) delete nobody.
UPDATE contact SET account = 'other' WHERE id = 16;
SELECT mkt.merge('contact', 17, 18), mkt.merge('contact', 2, 19), mkt.merge('contact', 20, 5);
SELECT * FROM counts;
SELECT change, status, until FROM mkt.history('contact', 18);

-- It is no deletion either that a contact goes to another partition.
CREATE TABLE parted (id integer PRIMARY KEY, account text) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE TABLE parted_high PARTITION OF parted DEFAULT;
SELECT mkt.attach('parted', account_column => 'account');
INSERT INTO mkt.account (account, count_deleted) VALUES ('parted', true);
INSERT INTO parted SELECT i, 'parted', 'marketing' FROM generate_series(1, 10) AS i;
UPDATE parted SET id = id + 100 WHERE id <= 5;
UPDATE parted SET id = id + 100, account = 'moves' WHERE id = 6;
DELETE FROM parted WHERE id = 101;
DELETE FROM parted_low WHERE id = 7;
SELECT * FROM counts WHERE account IN ('parted', 'moves');

-- A place is free when the contact counts no longer (B8); there is room for a contact at once (B10).
INSERT INTO mkt.account (account, count_deleted, maximum, contact_limit) VALUES ('full', true, 2, 3);
INSERT INTO contact VALUES (201, 'full', NULL, 'marketing'), (202, 'full', NULL, 'marketing'), (203, 'full', NULL, NULL);
DELETE FROM contact WHERE id = 201;
INSERT INTO contact VALUES (204, 'full', NULL, 'marketing');
INSERT INTO contact VALUES (204, 'full');
INSERT INTO contact VALUES (205, 'full');
BEGIN;
DELETE FROM contact WHERE id = 203;
UPDATE contact SET marketing_status = 'marketing' WHERE id = 204;
ROLLBACK;
SELECT * FROM counts WHERE account = 'full';

-- Other settings give deleted contacts their new date, as they do to pending ones (D7), in this transaction, too.
UPDATE mkt.account SET commitment = 'monthly', started_on = '2026-01-20' WHERE account = 'keeps';
SELECT * FROM counts WHERE account = 'keeps';
BEGIN;
SAVEPOINT b;
DELETE FROM contact WHERE id = 22;
RELEASE b;
UPDATE mkt.account SET started_on = '2026-01-15' WHERE account = 'keeps';
DELETE FROM contact WHERE id = 23;
SELECT * FROM counts WHERE account = 'keeps';
COMMIT;
SELECT mkt.billable('keeps', '2026-03-14 23:59+00') - mkt.billable('keeps', '2026-03-15 00:00+00') AS pending_and_deleted;

-- Switched off: what counts already counts on, and nothing more.
BEGIN;
UPDATE mkt.account SET count_deleted = false WHERE account = 'keeps';
DELETE FROM contact WHERE id = 24;
SELECT * FROM counts WHERE account = 'keeps';
DELETE FROM mkt.account WHERE account = 'keeps';
SELECT * FROM counts WHERE account = 'keeps';
ROLLBACK;
SELECT * FROM counts WHERE account = 'keeps';

-- mkt.repair() leaves deleted contacts alone; so does mkt.forget(), and nothing names them then.
ALTER TABLE contact DISABLE TRIGGER USER;
DELETE FROM contact WHERE id = 25;
ALTER TABLE contact ENABLE TRIGGER USER;
SELECT * FROM mkt.repair('contact');
SELECT mkt.forget('contact', 9);
SELECT * FROM counts WHERE account = 'keeps';

-- TRUNCATE: all that counted, and those that were deleted before, in several levels of one transaction.
SET mktcontacts.clock = '2026-03-11 12:00+00';
BEGIN;
DELETE FROM parted_high WHERE id = 102;
UPDATE parted_high SET account = 'other' WHERE id = 103;
SAVEPOINT c;
TRUNCATE parted;
SELECT * FROM counts WHERE account IN ('parted', 'moves', 'other');
ROLLBACK TO c;
SELECT * FROM counts WHERE account IN ('parted', 'moves', 'other');
INSERT INTO parted_low VALUES (0, 'parted', 'marketing');
SAVEPOINT d;
DELETE FROM parted_low WHERE id = 8;
TRUNCATE parted, contact;
RELEASE d;
INSERT INTO parted VALUES (1, 'parted', 'marketing');
SELECT * FROM counts;
COMMIT;
SELECT * FROM counts;
SELECT * FROM mkt.verify();

-- What it was before is known, also when the update date is over and the counts are folded.
SET mktcontacts.clock = '2026-04-02 12:00+00';
CREATE FUNCTION at_instants(account text) RETURNS text LANGUAGE SQL AS $$
SELECT string_agg(mkt.billable(account, at)::text, ' ' ORDER BY at) FROM unnest(ARRAY['2026-03-10 12:00+00', '2026-03-11 12:00+00', '2026-03-14 23:59+00',
	'2026-03-15 00:00+00', '2026-03-31 23:59+00', '2026-04-01 00:00+00', '2026-04-02 12:00+00']::timestamptz[]) AS at
$$;
SELECT * FROM counts;
SELECT account, at_instants(account) FROM counts;
SELECT state FROM mkt.status() WHERE item = 'update dates';
CALL mkt.run();
SELECT count(*) FROM mkt.contact_count WHERE deleted;
SELECT account, at_instants(account) FROM counts;
SELECT * FROM mkt.verify();

-- The same without a history.
SELECT mkt.set_history('contact', enabled => false);
INSERT INTO mkt.account (account, count_deleted) VALUES ('quiet', true);
INSERT INTO contact SELECT i, 'quiet', NULL, 'marketing' FROM generate_series(1, 5) AS i;
DELETE FROM contact WHERE id = 1;
TRUNCATE contact;
SELECT * FROM counts WHERE account = 'quiet';
SELECT mkt.fold_counts(count_table) FROM mkt.attachment WHERE contacts = 'contact'::regclass;
SELECT * FROM counts WHERE account = 'quiet';
SET mktcontacts.clock = '2026-05-01 00:00+00';
SELECT * FROM counts WHERE account = 'quiet';
CALL mkt.apply_updates();
SELECT count(*) FROM mkt.contact_count WHERE deleted;

-- Settings that change again, before what they moved has been folded, move it again.
CREATE TABLE twice (id integer PRIMARY KEY, account text);
SELECT mkt.attach('twice', account_column => 'account');
INSERT INTO mkt.account (account, count_deleted) VALUES ('twice', true);
INSERT INTO twice SELECT i, 'twice', 'marketing' FROM generate_series(1, 10) AS i;
DELETE FROM twice WHERE id <= 4;
UPDATE mkt.account SET commitment = 'monthly', started_on = mkt.now()::date - 20 WHERE account = 'twice';
UPDATE mkt.account SET started_on = mkt.now()::date - 15 WHERE account = 'twice';
UPDATE mkt.account SET started_on = mkt.now()::date - 10 WHERE account = 'twice';
SELECT extract(day FROM at - next) AS day, mkt.billable('twice', at) FROM mkt.next_update('twice') AS next, generate_series(next - interval '11 days', next, '1 day') AS at WHERE at > mkt.now();
SELECT deleted, total FROM mkt.usage WHERE account = 'twice';

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DELETE FROM mkt.account WHERE account IN ('keeps', 'parted', 'full', 'quiet', 'twice');
DROP SCHEMA deleted_contacts_count CASCADE;
