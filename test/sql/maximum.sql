-- A hard maximum of marketing contacts (B8) and a limit on all contacts (B10).
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS mktcontacts;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA maximum;
SET search_path = maximum;

CREATE TABLE contact (id integer PRIMARY KEY, account text);
CREATE TABLE guest (id integer PRIMARY KEY, account text);
SELECT mkt.attach('contact', account_column => 'account'), mkt.attach('guest', account_column => 'account');
INSERT INTO mkt.account (account, maximum, at_maximum) VALUES ('r', 3, 'refuse'), ('p', 3, 'park');
INSERT INTO mkt.account (account, contact_limit) VALUES ('l', 3);
INSERT INTO mkt.account (account, maximum) VALUES ('bad', -1);

-- Refuse: up to the maximum, from all tables together, and not one more.
INSERT INTO contact SELECT i, 'r', 'marketing' FROM generate_series(1, 2) AS i;
INSERT INTO guest VALUES (1, 'r', 'marketing');
\set VERBOSITY default
INSERT INTO contact SELECT i, 'r', 'marketing' FROM generate_series(3, 9) AS i;
\set VERBOSITY terse
INSERT INTO contact (id, account) VALUES (3, 'r'), (4, 'r'), (5, 'r');
UPDATE contact SET marketing_status = 'marketing' WHERE id = 3;
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = true WHERE id = 3;
\set VERBOSITY default
SELECT mkt.preview_set_marketing('contact', ARRAY[3, 4]);
\set VERBOSITY terse
SELECT mkt.set_marketing('contact', ARRAY[3, 4]);
INSERT INTO contact VALUES (3, 'r') ON CONFLICT (id) DO UPDATE SET marketing_status = 'marketing';
COPY contact (id, account, marketing_status) FROM stdin;
6	r	marketing
\.
SELECT account, billable, total FROM mkt.usage WHERE account = 'r';

-- What ends frees a place at once where it does so at once; pending contacts still have theirs.
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 1;
UPDATE contact SET marketing_status = 'marketing' WHERE id = 3;
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id = 1;
BEGIN;
DELETE FROM contact WHERE id = 1;
UPDATE contact SET marketing_status = 'marketing' WHERE id = 3;
SAVEPOINT one_more;
UPDATE contact SET marketing_status = 'marketing' WHERE id = 4;
ROLLBACK TO one_more;
DELETE FROM guest WHERE id = 1;
UPDATE contact SET marketing_status = 'marketing' WHERE id = 4;
SELECT mkt.billable('r');
COMMIT;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 4;
SET mktcontacts.clock = '2026-04-01 00:00+00';
INSERT INTO contact VALUES (7, 'r', 'marketing');
SELECT mkt.billable('r');
UPDATE contact SET marketing_status = 'marketing' WHERE id = 4;

-- Who moves to the account needs a place, whatever the account does at its maximum.
INSERT INTO contact VALUES (8, 'free', 'marketing'), (9, 'free', 'non_marketing');
UPDATE contact SET account = 'r' WHERE id = 8;
UPDATE contact SET account = 'r' WHERE id = 9;

-- Park: stored as non-marketing, with who asked, and promoted when there are places.
INSERT INTO contact (id, account, marketing_source_type, marketing_source_name)
SELECT i, 'p', 'form_submission', 'F' FROM generate_series(11, 15) AS i;
UPDATE contact SET account = 'p' WHERE id = 8;
SELECT changed, already, parked, billable_before, billable_after FROM mkt.preview_set_marketing('contact', ARRAY[11, 14]);
SELECT changed, already, parked FROM mkt.set_marketing('contact', ARRAY[11, 14], source_type => 'user', source_name => 'ann');
SELECT contacts, key, account, role = current_user AS mine, source_type, source_name, batch IS NOT NULL AS batch FROM mkt.parked;
SELECT id, marketing_status FROM contact WHERE account = 'p' ORDER BY id;
DELETE FROM contact WHERE id IN (11, 15);
SELECT changed, parked, billable_after FROM mkt.preview_set_marketing('contact', ARRAY[13, 14]);
SELECT changed, parked FROM mkt.set_marketing('contact', ARRAY[13, 14]);
SELECT key FROM mkt.parked;
CALL mkt.run();
SELECT count(*) FROM mkt.parked_contact;
SELECT mkt.billable('p');

-- A maximum below the count demotes nobody and stops further promotions; without one there is no end.
UPDATE mkt.account SET maximum = 1 WHERE account = 'r';
SELECT mkt.billable('r');
UPDATE contact SET marketing_status = 'marketing' WHERE id = 4;
UPDATE mkt.account SET maximum = NULL WHERE account = 'r';
UPDATE contact SET marketing_status = 'marketing' WHERE account = 'r';
SELECT mkt.billable('r');

-- A limit on all contacts.
\set VERBOSITY default
INSERT INTO contact SELECT i, 'l' FROM generate_series(21, 24) AS i;
\set VERBOSITY terse
INSERT INTO contact SELECT i, 'l' FROM generate_series(21, 23) AS i;
INSERT INTO guest VALUES (24, 'l');
UPDATE contact SET marketing_status = 'marketing' WHERE account = 'l';
DELETE FROM contact WHERE id = 21;
INSERT INTO guest VALUES (24, 'l');

-- A contact that goes to another partition takes its place along.
CREATE TABLE parted (id integer PRIMARY KEY, account text) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE TABLE parted_high PARTITION OF parted DEFAULT;
SELECT mkt.attach('parted', account_column => 'account');
INSERT INTO mkt.account (account, maximum, at_maximum) VALUES ('q', 2, 'refuse'), ('qp', 2, 'park');
INSERT INTO parted VALUES (1, 'q', 'marketing'), (2, 'q', 'marketing'), (3, 'qp', 'marketing'), (4, 'qp', 'marketing'), (5, 'qp', 'marketing');
UPDATE parted SET id = id + 200;
SELECT id, account, marketing_status FROM parted ORDER BY id;

-- It has one already when it arrives, also where the account, as after a restored dump, has no row to lock before.
INSERT INTO parted VALUES (6, 'q', 'non_marketing'), (7, 'qp', 'non_marketing');
DELETE FROM parted WHERE id IN (201, 203);
DELETE FROM mkt.limited_account;
UPDATE parted SET id = id + 200, marketing_status = 'marketing' WHERE id < 100;
SELECT id, account, marketing_status FROM parted ORDER BY id;
SELECT account FROM mkt.limited_account ORDER BY account;

-- What statements under a name have parked is counted with them; keys of several columns are found, too.
CREATE TABLE member (account text, region text, id integer, PRIMARY KEY (region, id));
SELECT mkt.attach('member', account_column => 'account');
INSERT INTO mkt.account (account, maximum, at_maximum) VALUES ('m', 1, 'park');
SET mktcontacts.batch = 'spring';
INSERT INTO member VALUES ('m', 'eu', 1, 'marketing'), ('m', 'eu', 2, 'marketing'), ('m', 'us', 1, 'marketing');
RESET mktcontacts.batch;
SELECT changed, parked FROM mkt.batch WHERE label = 'spring';
SELECT key, account FROM mkt.parked WHERE contacts = 'member'::regclass ORDER BY key;
DELETE FROM mkt.batch_report WHERE label = 'spring';

-- One that has more contacts than its limit, because that was set later, may still promote those that it has.
INSERT INTO contact VALUES (91, 'both', 'non_marketing'), (92, 'both', 'non_marketing');
INSERT INTO mkt.account (account, maximum, contact_limit) VALUES ('both', 1, 1);
UPDATE contact SET marketing_status = 'marketing' WHERE id = 91;
UPDATE contact SET marketing_status = 'marketing' WHERE id = 92;
INSERT INTO contact VALUES (93, 'both', 'non_marketing');

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DELETE FROM mkt.account WHERE account IN ('r', 'p', 'l', 'q', 'qp', 'm', 'both');
DROP SCHEMA maximum CASCADE;
SELECT count(*) FROM mkt.parked_contact;
SELECT count(*) FROM mkt.limited_account;
