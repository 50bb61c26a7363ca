-- Everything that is due (run.c), and when (schedule.c).

CREATE SEQUENCE mkt.run_number;
COMMENT ON SEQUENCE mkt.run_number IS 'The numbers of the calls of mkt.run().';

CREATE TABLE mkt.run_log (
	run			bigint		NOT NULL,
	part		text		NOT NULL,
	contacts	regclass,
	started_at	timestamptz	NOT NULL,
	finished_at	timestamptz,
	done		bigint,
	failed		bigint,
	sqlstate	text,
	error		text
);
ALTER TABLE mkt.run_log REPLICA IDENTITY FULL;
CREATE INDEX run_log_run ON mkt.run_log (run);
COMMENT ON TABLE mkt.run_log IS 'What mkt.run() did: a row for each call, and one for each of its parts that did something or failed. It keeps a month of them, and an hour of the calls without anything to do.';
COMMENT ON COLUMN mkt.run_log.run IS 'The number of the call.';
COMMENT ON COLUMN mkt.run_log.part IS 'run, for the whole call, or the part: structure, subscriptions, count, already marketing, history, apply, tiers, periods, workflows, check, expire history, tidy, fold.';
COMMENT ON COLUMN mkt.run_log.contacts IS 'The contacts table, of the parts that go table by table.';
COMMENT ON COLUMN mkt.run_log.started_at IS 'When it began, in real time.';
COMMENT ON COLUMN mkt.run_log.finished_at IS 'When it ended; null: it is running, or was killed.';
COMMENT ON COLUMN mkt.run_log.done IS 'How many contacts, accounts, periods or tables it brought up to date.';
COMMENT ON COLUMN mkt.run_log.failed IS 'How many of its steps failed.';
COMMENT ON COLUMN mkt.run_log.sqlstate IS 'The SQLSTATE of the first failure.';
COMMENT ON COLUMN mkt.run_log.error IS 'The message of the first failure.';

CREATE PROCEDURE mkt.run()
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_run_0_2';
REVOKE ALL ON PROCEDURE mkt.run() FROM PUBLIC;
COMMENT ON PROCEDURE mkt.run() IS
'Everything that is due: lets the triggers of tables that a subscription fills fire, counts and fills tables that were just attached, makes partitions of histories and drops what is kept no longer, applies updates, renews tiers, closes periods, runs workflows, recounts tables that may have drifted, folds counts. Outside a transaction block each part commits; what fails is noted in mkt.run_log, with a warning, and the rest is done. It waits for no lock longer than 10 s, or lock_timeout. Meant to be called every minute; any number of sessions may.';

CREATE FUNCTION mkt.schedule(schedule text DEFAULT '* * * * *') RETURNS bigint
LANGUAGE C STRICT
AS 'MODULE_PATHNAME', 'mkt_schedule';
REVOKE ALL ON FUNCTION mkt.schedule(text) FROM PUBLIC;
COMMENT ON FUNCTION mkt.schedule(text) IS
'Lets pg_cron call mkt.run() as the caller, and returns the number of the job in cron.job. Called again it changes the schedule. Argument: when, as cron has it; every minute by default. Error: 55000 when pg_cron is not there; the hint says what to type.';

CREATE FUNCTION mkt.unschedule() RETURNS boolean
LANGUAGE C STRICT
AS 'MODULE_PATHNAME', 'mkt_unschedule';
REVOKE ALL ON FUNCTION mkt.unschedule() FROM PUBLIC;
COMMENT ON FUNCTION mkt.unschedule() IS
'Ends what mkt.schedule() began; false when the caller has no such job. Error: 55000 when pg_cron is not there.';
