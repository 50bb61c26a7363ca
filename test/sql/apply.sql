-- CALL mkt.apply_updates(): brings columns up to date and changes no count (T3, D6).

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA apply;
SET search_path = apply;
CREATE TABLE contact (id integer PRIMARY KEY, account integer, note text DEFAULT repeat('x', 200));
CREATE TABLE parted (id integer PRIMARY KEY, account integer) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF parted FOR VALUES FROM (0) TO (500);
CREATE TABLE part_2 PARTITION OF parted DEFAULT;
CREATE TABLE whole (id integer PRIMARY KEY);
SELECT mkt.attach(t, account_column => 'account') FROM unnest(ARRAY['contact', 'parted']::regclass[]) AS t;
SELECT mkt.attach('whole', account => 'w');
INSERT INTO mkt.account (account, commitment, started_on) VALUES ('1', 'monthly', '2025-01-15'), ('2', 'monthly', '2025-01-20');
CREATE FUNCTION fill() RETURNS void LANGUAGE sql AS $$
    INSERT INTO contact SELECT i, nullif(i % 4, 3), 'n', 'marketing', i % 3 > 0 FROM generate_series(1, 1000) AS i
    ON CONFLICT (id) DO UPDATE SET marketing_status = 'marketing', marketing_until_next_update = EXCLUDED.marketing_until_next_update;
    INSERT INTO parted SELECT i, i % 4, 'marketing', i % 3 > 0 FROM generate_series(1, 1000) AS i
    ON CONFLICT (id) DO UPDATE SET marketing_status = 'marketing', marketing_until_next_update = EXCLUDED.marketing_until_next_update;
    INSERT INTO whole SELECT i, 'marketing', i % 3 > 0 FROM generate_series(1, 100) AS i
    ON CONFLICT (id) DO UPDATE SET marketing_status = 'marketing', marketing_until_next_update = EXCLUDED.marketing_until_next_update;
$$;
-- What waits, what should have been done, and the count.
CREATE FUNCTION counts(OUT pending bigint, OUT overdue bigint, OUT billable numeric, OUT differences bigint) LANGUAGE sql AS $$
    SELECT count(*) FILTER (WHERE marketing_until > mkt.now()), count(*) FILTER (WHERE marketing_until <= mkt.now()),
           (SELECT sum(u.billable) FROM mkt.usage AS u), (SELECT count(*) FROM mkt.verify())
    FROM (SELECT marketing_until FROM contact UNION ALL SELECT marketing_until FROM parted UNION ALL SELECT marketing_until FROM whole) AS c;
$$;
SELECT fill();

-- Only what is due, in whatever batches, and once.
SELECT * FROM counts();
CALL mkt.apply_updates();
SELECT * FROM counts();
SET mktcontacts.clock = '2026-03-14 23:59:59.999999+00';
CALL mkt.apply_updates();
SELECT * FROM counts();
SET mktcontacts.clock = '2026-03-15 00:00+00';
SELECT * FROM counts();
CALL mkt.apply_updates();
SELECT * FROM counts();
SELECT account, marketing_status, count(*) FROM contact GROUP BY account, marketing_status ORDER BY account, marketing_status;
SELECT DISTINCT marketing_status, marketing_until_next_update, marketing_until FROM contact WHERE account = 1 AND id % 3 > 0;
CALL mkt.apply_updates();
SELECT * FROM counts();

-- Late by years, with batches of one row, and all there is in one.
SET mktcontacts.clock = '2030-12-31 00:00+00';
SELECT * FROM counts();
CALL mkt.apply_updates(batch_size => 1);
SELECT * FROM counts();
SELECT fill();
SET mktcontacts.clock = '2031-02-01 00:00+00';
CALL mkt.apply_updates(1000000);
SELECT * FROM counts();

-- In a transaction block it is part of that transaction.
SELECT fill();
SET mktcontacts.clock = '2031-03-01 00:00+00';
BEGIN;
CALL mkt.apply_updates(batch_size => 10);
SELECT * FROM counts();
SELECT * FROM mkt.apply_progress;
ROLLBACK;
SELECT * FROM counts();

-- With a time limit it stops after a batch, and can be called again.
CALL mkt.apply_updates(batch_size => 10, time_limit => '0');
SELECT overdue > 0 AS not_all, differences FROM counts();
CALL mkt.apply_updates(time_limit => '1 hour');
SELECT * FROM counts();
CALL mkt.apply_updates(batch_size => 0);
CALL mkt.apply_updates(batch_size => NULL, time_limit => NULL);
SELECT * FROM mkt.apply_progress;

-- A few accounts of many, with an index that finds them and without.
CREATE TABLE many (id integer PRIMARY KEY, account text);
SELECT mkt.attach('many', account_column => 'account');
INSERT INTO many SELECT i, 'm' || i % 500, 'marketing' FROM generate_series(1, 20000) AS i;
CREATE INDEX ON many (account);
ANALYZE many;
UPDATE many SET marketing_status = 'non_marketing' WHERE account IN ('m1', 'm2') AND id <= 10000;
UPDATE many SET account = NULL WHERE id IN (2, 502);
SET mktcontacts.clock = '2031-04-01 00:00+00';
CALL mkt.apply_updates();
SELECT account, count(*) FROM many WHERE marketing_status = 'non_marketing' GROUP BY account ORDER BY account;
SELECT * FROM counts();
DROP INDEX many_account_idx;
UPDATE many SET marketing_status = 'non_marketing' WHERE account = 'm3';
SET mktcontacts.clock = '2031-05-01 00:00+00';
CALL mkt.apply_updates();
SELECT count(*) FROM many WHERE marketing_status = 'non_marketing' AND account = 'm3';

-- Contacts that a trigger of the user's keeps as they are wait for the next time; all others are done.
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN CASE WHEN OLD.id > 50 THEN NEW END; END';
UPDATE whole SET marketing_status = 'marketing', marketing_until_next_update = true;
CREATE TRIGGER keep BEFORE UPDATE ON whole FOR EACH ROW EXECUTE FUNCTION keep();
SET mktcontacts.clock = '2031-06-01 00:00+00';
CALL mkt.apply_updates();
SELECT count(*) AS kept, max(id) FROM whole WHERE marketing_until_next_update;
SELECT mkt.billable('w');
DROP TRIGGER keep ON whole;
CALL mkt.apply_updates();
SELECT count(*) AS kept FROM whole WHERE marketing_until_next_update;

-- Called by a function it is part of its statement.
UPDATE whole SET marketing_status = 'marketing', marketing_until_next_update = true;
SET mktcontacts.clock = '2031-07-01 00:00+00';
DO $$ BEGIN CALL mkt.apply_updates(7); END $$;
SELECT count(*) AS kept FROM whole WHERE marketing_until_next_update;

-- A time limit also ends what goes account by account; and so does one account after the other that cannot be brought up to date.
SET client_min_messages = warning;
SELECT count(*) FROM (SELECT mkt.detach(contacts) FROM mkt.attachment WHERE contacts <> 'many'::regclass) AS d;
RESET client_min_messages;
CREATE INDEX ON many (account);
CREATE VIEW left_over AS SELECT count(DISTINCT account) AS accounts, count(*) AS contacts FROM many WHERE marketing_until_next_update;
ANALYZE many;
UPDATE many SET marketing_status = 'non_marketing' WHERE id <= 110;
SET mktcontacts.clock = '2031-08-01 00:00+00';
CALL mkt.apply_updates(batch_size => 100, time_limit => '0');
TABLE left_over;
UPDATE many SET marketing_status = 'non_marketing' WHERE id BETWEEN 201 AND 310;
SET mktcontacts.clock = '2031-09-01 00:00+00';
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not %', OLD.account; END $$;
CREATE TRIGGER fail BEFORE UPDATE ON many FOR EACH ROW EXECUTE FUNCTION fail();
\set SHOW_CONTEXT never
CALL mkt.run();
TABLE left_over;
DROP TRIGGER fail ON many;
CALL mkt.run();
TABLE left_over;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA apply CASCADE;
DELETE FROM mkt.account;
