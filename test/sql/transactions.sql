-- Counts belong to the transaction that changes contacts, with all its savepoints, errors and nested statements.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA transactions;
SET search_path = transactions;
CREATE TABLE contact (id integer PRIMARY KEY, account text) PARTITION BY RANGE (id);
CREATE TABLE low PARTITION OF contact FOR VALUES FROM (0) TO (1000);
CREATE TABLE high PARTITION OF contact FOR VALUES FROM (1000) TO (10000);
SELECT mkt.attach('contact', account_column => 'account');

-- The count, by function and by view, and what a recount says. Statements on a partition itself write no counts before the
-- transaction ends, so they must be as visible as all others.
CREATE FUNCTION counts(OUT billable bigint, OUT usage text, OUT differences bigint) LANGUAGE sql AS $$
    SELECT mkt.billable('a'), (SELECT concat_ws(' ', billable, non_marketing, pending, total) FROM mkt.usage WHERE account = 'a' AND total > 0),
           count(*) FROM mkt.verify();
$$;
CREATE FUNCTION billable() RETURNS bigint LANGUAGE sql AS $$ SELECT mkt.billable('a') $$;

-- Savepoints, on a partition and through its parent.
BEGIN;
INSERT INTO low VALUES (1, 'a', 'marketing');
SELECT billable();
SAVEPOINT one;
INSERT INTO low VALUES (2, 'a', 'marketing');
INSERT INTO contact VALUES (3, 'a', 'marketing');
SELECT billable();
SAVEPOINT two;
DELETE FROM low WHERE id = 1;
UPDATE low SET marketing_status = 'non_marketing';
SELECT billable(), mkt.billable('a', '2026-04-01');
ROLLBACK TO two;
SELECT billable(), mkt.billable('a', '2026-04-01');
RELEASE one;
SELECT billable();
SELECT * FROM counts();
SAVEPOINT three;
DELETE FROM low;
ROLLBACK TO three;
DELETE FROM low WHERE id = 3;
ROLLBACK TO three;
INSERT INTO high VALUES (1004, 'a', 'marketing', true);
RELEASE three;
COMMIT;
SELECT * FROM counts();

-- What an outer level has not written yet survives what an inner one writes and takes back.
BEGIN;
INSERT INTO low VALUES (5, 'a', 'marketing');
SAVEPOINT s;
INSERT INTO low VALUES (6, 'a', 'marketing');
INSERT INTO contact VALUES (7, 'a', 'marketing');
SELECT billable();
ROLLBACK TO s;
SELECT billable();
SAVEPOINT t;
INSERT INTO contact VALUES (7, 'a', 'marketing');
SAVEPOINT u;
DELETE FROM low WHERE id = 5;
RELEASE u;
RELEASE t;
SELECT billable();
SELECT * FROM counts();
COMMIT;
SELECT * FROM counts();

-- An error, and a rollback.
BEGIN;
DELETE FROM low;
SELECT 1 / 0;
COMMIT;
SELECT * FROM counts();
BEGIN;
DELETE FROM low;
SELECT billable();
ROLLBACK;
SELECT * FROM counts();

-- Exception blocks, in a loop and nested.
DO $$
BEGIN
    FOR i IN 10..20 LOOP
        BEGIN
            INSERT INTO low VALUES (i, 'a', 'marketing');
            INSERT INTO contact VALUES (i + 1000, 'a', 'marketing', true);
            BEGIN
                UPDATE contact SET marketing_status = 'non_marketing' WHERE id = i;
                IF i % 3 = 0 THEN RAISE 'inner'; END IF;
            EXCEPTION WHEN raise_exception THEN
                DELETE FROM high WHERE id = i + 1000;
            END;
            IF i % 2 = 0 THEN RAISE 'outer'; END IF;
        EXCEPTION WHEN raise_exception THEN
            NULL;
        END;
    END LOOP;
END $$;
SELECT id, marketing_until_next_update AS flag FROM contact WHERE id % 1000 >= 10 ORDER BY id;
SELECT * FROM counts();

-- A bulk statement that fails at its last row, in a block that goes on.
DO $$
BEGIN
    BEGIN
        INSERT INTO contact SELECT i, 'a', 'marketing' FROM generate_series(2000, 10001) AS i;
    EXCEPTION WHEN check_violation THEN
        INSERT INTO contact SELECT i, 'a', 'marketing' FROM generate_series(30, 32) AS i;
    END;
END $$;
SELECT * FROM counts();

-- Procedures that commit on their way.
CREATE PROCEDURE add(first integer, last integer) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN first..last LOOP
        INSERT INTO low VALUES (i, 'a', 'marketing');
        IF i % 2 = 0 THEN COMMIT; ELSE ROLLBACK; END IF;
    END LOOP;
END $$;
CALL add(40, 44);
SELECT * FROM counts();

-- Triggers that write contacts while contacts are written, at every level.
CREATE FUNCTION spread() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id % 1000 BETWEEN 50 AND 54 THEN
        INSERT INTO contact VALUES (NEW.id + 1, 'a', 'marketing');
        UPDATE contact SET marketing_status = 'non_marketing' WHERE id = NEW.id + 1;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER a_spread BEFORE INSERT ON low FOR EACH ROW EXECUTE FUNCTION spread();
CREATE TRIGGER z_spread AFTER INSERT ON high FOR EACH ROW EXECUTE FUNCTION spread();
INSERT INTO contact VALUES (50, 'a', 'marketing'), (1050, 'a', 'marketing');
SELECT id, marketing_until_next_update AS flag FROM contact WHERE id % 1000 BETWEEN 50 AND 55 ORDER BY id;
SELECT * FROM counts();
DROP TRIGGER a_spread ON low;
DROP TRIGGER z_spread ON high;

-- A trigger that reads the count sees what its statement has done so far at least when the statement has ended.
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE '% %: %', TG_OP, TG_WHEN, mkt.billable('a');
    RETURN NULL;
END $$;
CREATE TRIGGER tell_before BEFORE INSERT OR UPDATE OR DELETE ON contact FOR EACH STATEMENT EXECUTE FUNCTION tell();
CREATE TRIGGER tell_after AFTER INSERT OR UPDATE OR DELETE ON contact FOR EACH STATEMENT EXECUTE FUNCTION tell();
INSERT INTO contact SELECT i, 'a', 'marketing' FROM generate_series(60, 69) AS i;
UPDATE contact SET account = 'b' WHERE id BETWEEN 60 AND 64;
DELETE FROM contact WHERE id BETWEEN 60 AND 69;
DROP TRIGGER tell_before ON contact;
DROP TRIGGER tell_after ON contact;

-- Deferred constraints fail at commit, after everything was counted.
ALTER TABLE contact ADD COLUMN friend integer REFERENCES contact DEFERRABLE INITIALLY DEFERRED;
BEGIN;
INSERT INTO contact (id, account, marketing_status, friend) VALUES (70, 'a', 'marketing', 71);
SELECT billable();
COMMIT;
BEGIN;
INSERT INTO contact (id, account, marketing_status, friend) VALUES (70, 'a', 'marketing', 71);
INSERT INTO high (id, account, marketing_status, friend) VALUES (1071, 'a', 'marketing', 70);
UPDATE low SET friend = 1071 WHERE id = 70;
COMMIT;
SELECT * FROM counts();

-- At every isolation level a transaction sees its own changes.
BEGIN ISOLATION LEVEL REPEATABLE READ;
DELETE FROM low WHERE id < 10;
SELECT * FROM counts();
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
DELETE FROM low WHERE id < 20;
SELECT * FROM counts();
COMMIT;
BEGIN READ ONLY;
SELECT * FROM counts();
COMMIT;

-- Many statements in one transaction, and many accounts in one statement.
BEGIN;
DO $$ BEGIN FOR i IN 100..899 LOOP INSERT INTO contact (id, account, marketing_status) VALUES (i, 'a', 'marketing'); END LOOP; END $$;
SELECT * FROM counts();
COMMIT;
CREATE TABLE many (id integer PRIMARY KEY, account integer);
SELECT mkt.attach('many', account_column => 'account');
INSERT INTO mkt.account (account, edition) VALUES ('60000', 'professional');
INSERT INTO many (id, account, marketing_status) SELECT i, i, 'marketing' FROM generate_series(1, 120000) AS i;
SELECT mkt.billable('1') + mkt.billable('60000') + mkt.billable('120000') AS three;
UPDATE many SET marketing_status = 'non_marketing', account = account / 2;
SELECT sum(billable) AS billable, count(*) AS accounts FROM mkt.usage WHERE account ~ '^\d+$' AND total > 0;
SELECT tier FROM mkt.usage WHERE account = '60000';
DELETE FROM mkt.account;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA transactions CASCADE;
