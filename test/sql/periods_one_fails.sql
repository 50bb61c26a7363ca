-- An account whose period cannot be closed, or of which nobody can tell when it ends, does not stop the others; it is found, and
-- closed as if nothing had been once it can be (B11, D6).

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO;
CREATE SCHEMA one_fails;
SET search_path = one_fails;

SET mktcontacts.clock = '2026-01-10 12:00+00';
CREATE TABLE contact (id integer PRIMARY KEY, account text);
SELECT mkt.attach('contact', account_column => 'account');
INSERT INTO mkt.account (account, edition, started_on) SELECT 'one ' || i, 'starter', '2025-06-15' FROM generate_series(1, 1200) AS i;
INSERT INTO contact (id, account, marketing_status) SELECT i, 'one ' || 1 + i % 1200, 'marketing' FROM generate_series(1, 2400) AS i;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id <= 1200;

ALTER TABLE mkt.period ADD CONSTRAINT "no period of one 7" CHECK (account <> 'one 7');
ALTER TABLE mkt.open_period ADD CONSTRAINT "no date of one 8" CHECK (account <> 'one 8' OR problem IS NOT NULL);
SET mktcontacts.clock = '2026-04-01 00:01+00';
CALL mkt.run();
CREATE VIEW closed AS
SELECT ends_on, count(*), sum(opening) AS opening, sum(closing) AS closing, sum(charge) AS charge FROM mkt.period WHERE account LIKE 'one %' GROUP BY ends_on ORDER BY ends_on;
SELECT * FROM closed;
SELECT account, problem FROM mkt.open_period WHERE problem IS NOT NULL ORDER BY account;
SELECT done, failed, error FROM mkt.run_log WHERE part = 'periods' ORDER BY run DESC LIMIT 1;
SELECT state, to_type FROM mkt.status() WHERE item = 'periods';

-- Nothing is lost while it fails.
UPDATE contact SET account = 'one 7' WHERE account = 'one 9';
ALTER TABLE mkt.open_period DROP CONSTRAINT "no date of one 8";
SET mktcontacts.clock = '2026-05-01 00:01+00';
CALL mkt.run();
SELECT * FROM closed;
SELECT account, problem FROM mkt.open_period WHERE problem IS NOT NULL ORDER BY account;
ALTER TABLE mkt.period DROP CONSTRAINT "no period of one 7";
CALL mkt.run();
SELECT * FROM closed;
SELECT ends_on, opening, created, demotions, deletions, closing, highest, charge, note FROM mkt.period WHERE account = 'one 7' ORDER BY ends_at;
SELECT account, problem FROM mkt.open_period WHERE problem IS NOT NULL;

-- To be cancelled ends the call, and the next one does it all.
CREATE FUNCTION fails(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_cancel_backend(pg_backend_pid()), pg_sleep(10); RETURN true; END $$;
ALTER TABLE mkt.period ADD CONSTRAINT fails CHECK (one_fails.fails(account)) NOT VALID;
SET mktcontacts.clock = '2026-06-01 00:01+00';
\set VERBOSITY terse
CALL mkt.run();
\set VERBOSITY default
\echo :SQLSTATE
SELECT count(*) FROM mkt.open_period WHERE problem IS NOT NULL;
ALTER TABLE mkt.period DROP CONSTRAINT fails;
CALL mkt.run();
SELECT * FROM closed;

SELECT * FROM mkt.verify();
DELETE FROM mkt.account WHERE account LIKE 'one %';
RESET mktcontacts.clock;
SET client_min_messages = warning;
DROP SCHEMA one_fails CASCADE;
