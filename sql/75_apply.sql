-- The scheduled work (apply.c).

CREATE UNLOGGED TABLE mkt.apply_run (
	pid				integer		NOT NULL,
	backend_start	timestamptz	NOT NULL,
	contacts		regclass	NOT NULL,
	started_at		timestamptz	NOT NULL,
	rows_done		bigint		NOT NULL,
	rows_to_do		bigint		NOT NULL,
	CONSTRAINT apply_run_pkey PRIMARY KEY (pid, contacts)
);
REVOKE ALL ON mkt.apply_run FROM PUBLIC;
COMMENT ON TABLE mkt.apply_run IS 'Running calls of mkt.apply_updates(); mkt.apply_progress leaves out those that were killed.';

CREATE FUNCTION mkt.report_progress(contacts regclass, started_at timestamptz, rows_done bigint, rows_to_do bigint) RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	DELETE FROM mkt.apply_run AS r
	WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = r.pid AND a.backend_start = r.backend_start);
	INSERT INTO mkt.apply_run AS r
	SELECT a.pid, a.backend_start, report_progress.contacts, report_progress.started_at, report_progress.rows_done, report_progress.rows_to_do
	FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = pg_catalog.pg_backend_pid()
	ON CONFLICT ON CONSTRAINT apply_run_pkey DO UPDATE
	SET backend_start = EXCLUDED.backend_start, started_at = EXCLUDED.started_at, rows_done = EXCLUDED.rows_done, rows_to_do = EXCLUDED.rows_to_do;
END;
REVOKE ALL ON FUNCTION mkt.report_progress(regclass, timestamptz, bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION mkt.report_progress(regclass, timestamptz, bigint, bigint) IS 'Notes how far the calling session''s run is.';

CREATE VIEW mkt.apply_progress AS
SELECT r.pid, r.contacts, r.started_at, r.rows_done, r.rows_to_do
FROM mkt.apply_run AS r
JOIN pg_catalog.pg_stat_activity AS a ON a.pid = r.pid AND a.backend_start = r.backend_start;
COMMENT ON VIEW mkt.apply_progress IS 'The running calls of mkt.apply_updates(): since when, rows done, rows to do.';

CREATE PROCEDURE mkt.apply_updates(batch_size integer DEFAULT 2000, time_limit interval DEFAULT NULL)
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_apply_updates';
REVOKE ALL ON PROCEDURE mkt.apply_updates(integer, interval) FROM PUBLIC;
COMMENT ON PROCEDURE mkt.apply_updates(integer, interval) IS
'Brings the columns of contacts whose instant has passed up to date (T3, D6). Outside a transaction block every batch commits, so it can be stopped at any row and called again. Contacts that others have locked are left for the next call. Arguments: batch_size in rows; time_limit after which to stop.';

CREATE PROCEDURE mkt.fill_already_marketing(contacts regclass, batch_size integer DEFAULT 2000)
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_fill_already_marketing';
COMMENT ON PROCEDURE mkt.fill_already_marketing(regclass, integer) IS
'Sets the contacts that were there when the table was attached and that meet already_marketing as marketing, with the source initial_state (F3). Commits in batches; can be stopped and called again. Arguments: the contacts table, owned by the caller; batch_size in rows. Error: MK001 when it is not attached.';
