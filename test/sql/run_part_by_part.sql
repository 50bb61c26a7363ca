-- CALL mkt.run(): one part's failure does not stop the others, and mkt.run_log and mkt.status() say so.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS mktcontacts;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA run_parts;
SET search_path = run_parts;
DELETE FROM mkt.run_log;
DELETE FROM mkt.notice;
CREATE VIEW log AS
SELECT part, contacts, CASE WHEN part <> 'run' THEN done END AS done, failed, sqlstate, error, finished_at >= started_at AS finished FROM mkt.run_log
WHERE part IN ('run', 'apply', 'fold') AND run = (SELECT max(run) FROM mkt.run_log) ORDER BY part, contacts::text;
CREATE VIEW page AS SELECT item, state, to_type FROM mkt.status() WHERE item IN ('update dates', 'renewals') OR item LIKE 'table run_parts.%';

-- contacts of account 3 cannot be updated; the others, and those of the other table, can
CREATE TABLE contact (id integer PRIMARY KEY, account integer);
CREATE TABLE other (id integer PRIMARY KEY, account text) PARTITION BY RANGE (id);
CREATE TABLE other_low PARTITION OF other FOR VALUES FROM (0) TO (100);
SELECT mkt.attach('contact', account_column => 'account');
SELECT mkt.attach('other', account_column => 'account');
INSERT INTO contact SELECT i, i % 10, 'marketing', true FROM generate_series(1, 1000) AS i;
CREATE INDEX ON contact (account);
ANALYZE contact;
INSERT INTO other VALUES (1, 'x', 'marketing', true);
SELECT * FROM page;
CALL mkt.run();
SELECT * FROM log;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'account % is closed', NEW.account; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON contact FOR EACH ROW WHEN (NEW.account = 3 AND NEW.id % 100 = 3) EXECUTE FUNCTION refuse();
SET mktcontacts.clock = '2026-04-01 00:05+00';
SELECT * FROM page;
SET mktcontacts.clock = '2026-04-01 01:00+00';
SELECT * FROM page;
CALL mkt.run();
SELECT * FROM log;
SELECT marketing_status, count(*), array_agg(DISTINCT account) AS accounts FROM contact GROUP BY 1 ORDER BY 1;
SELECT marketing_status FROM other;
SELECT state ~ ' failed$' AS failed, regexp_replace(to_type, '\d+', 'N') FROM mkt.status() WHERE item = 'last run';
SELECT mkt.billable(3), count(*) AS differences FROM mkt.verify();
SELECT * FROM page;
-- through an index, account by account
INSERT INTO contact SELECT i, 4 + i % 10000, 'non_marketing' FROM generate_series(2001, 60000) AS i;
INSERT INTO contact SELECT i, i % 2 + 3, 'marketing', true FROM generate_series(60001, 60003) AS i;
ANALYZE contact;
SET mktcontacts.clock = '2026-05-01 01:00+00';
CALL mkt.run();
SELECT account, count(*) FROM contact WHERE marketing_status = 'marketing' GROUP BY 1 ORDER BY 1;
-- called by hand it fails
CALL mkt.apply_updates();
-- in a transaction block, the same; what was done is done when it commits
BEGIN;
CALL mkt.run();
ROLLBACK;
DROP TRIGGER refuse ON contact;
BEGIN;
CALL mkt.run();
COMMIT;
SELECT * FROM log;
SELECT count(*) FROM contact WHERE marketing_status = 'marketing';
CALL mkt.run();
SELECT * FROM log;
-- calls without anything to do go after an hour, others after a month
UPDATE mkt.run_log SET started_at = started_at - interval '2 hours';
CALL mkt.run();
SELECT count(DISTINCT run) FROM mkt.run_log;
UPDATE mkt.run_log SET started_at = started_at - interval '32 days';
CALL mkt.run();
SELECT count(*) FROM mkt.run_log;
-- to be cancelled ends it
CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$;
CREATE TRIGGER sleep BEFORE UPDATE ON contact FOR EACH ROW EXECUTE FUNCTION sleep();
ALTER TABLE contact DISABLE TRIGGER sleep;
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = true WHERE id = 1;
ALTER TABLE contact ENABLE TRIGGER sleep;
SET mktcontacts.clock = '2026-06-01 00:05+00';
SET statement_timeout = '2s';
\set VERBOSITY terse
CALL mkt.run();
\set VERBOSITY default
RESET statement_timeout;
SELECT part, finished_at IS NULL AS not_finished FROM mkt.run_log WHERE run = (SELECT max(run) FROM mkt.run_log);
DROP TRIGGER sleep ON contact;

-- triggers that are disabled or gone
ALTER TABLE contact DISABLE TRIGGER mkt_80_count;
ALTER TABLE other_low DISABLE TRIGGER mkt_85_recount;
SELECT * FROM page WHERE item LIKE 'table%';
ALTER TABLE contact ENABLE TRIGGER mkt_80_count;
ALTER TABLE other_low ENABLE ALWAYS TRIGGER mkt_85_recount;
DROP TRIGGER mkt_90_post ON contact;
SELECT * FROM page WHERE item LIKE 'table%';

-- without pg_cron: what is needed (the hint names the version of PostgreSQL)
\set VERBOSITY terse
SELECT mkt.schedule();
SELECT mkt.unschedule();
\set VERBOSITY default
CREATE ROLE regress_watcher;
SET ROLE regress_watcher;
SELECT * FROM mkt.status();
SELECT mkt.schedule();
CALL mkt.run();
RESET ROLE;
GRANT USAGE ON SCHEMA mkt TO regress_watcher;
GRANT EXECUTE ON FUNCTION mkt.status() TO regress_watcher;
SET ROLE regress_watcher;
SELECT item FROM mkt.status() WHERE item NOT LIKE 'table%';
RESET ROLE;
REVOKE EXECUTE ON FUNCTION mkt.status() FROM regress_watcher;
REVOKE USAGE ON SCHEMA mkt FROM regress_watcher;
DROP ROLE regress_watcher;
SET client_min_messages = warning;
DROP SCHEMA run_parts CASCADE;
