-- Counts by account and instant (count.c).

CREATE TABLE mkt.contact_count (
	account_name	text,
	deleted			boolean		NOT NULL DEFAULT false,
	was				timestamptz,
	until			timestamptz,
	n				bigint		NOT NULL,
	at				timestamptz
);
ALTER TABLE mkt.contact_count REPLICA IDENTITY FULL;
COMMENT ON TABLE mkt.contact_count IS
'Counts of all attached tables: an account''s contacts that are marketing until an instant are the sum of n where until is this instant, less the sum of n where it was. Each attached table has a child of this table, in which account has the type of its own account column.';
COMMENT ON COLUMN mkt.contact_count.account_name IS 'The account as text.';
COMMENT ON COLUMN mkt.contact_count.deleted IS 'Whether these are contacts that are not there any more and still count (T13).';
COMMENT ON COLUMN mkt.contact_count.was IS 'Until when so many contacts were marketing before; null: they were not there.';
COMMENT ON COLUMN mkt.contact_count.until IS 'Until when so many contacts are marketing. -infinity: non-marketing. infinity: marketing. Else the instant at which pending contacts become non-marketing. Null: they are not there any more.';
COMMENT ON COLUMN mkt.contact_count.n IS 'So many contacts; below zero: so many fewer. Where was and until are both null, this is no count: it spares readers rows that were folded.';
COMMENT ON COLUMN mkt.contact_count.at IS 'When they changed; of several changes the last; null for a sum.';
REVOKE ALL ON mkt.contact_count FROM PUBLIC;

CREATE FUNCTION mkt.give_lane() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_give_lane';
REVOKE ALL ON FUNCTION mkt.give_lane() FROM PUBLIC;
COMMENT ON FUNCTION mkt.give_lane() IS 'Trigger function of tables of counts: rows that come from a dump or another server are read as if this transaction had written them.';

CREATE TABLE mkt.contact_count_history (
	account_name	text,
	deleted			boolean		NOT NULL DEFAULT false,
	was				timestamptz,
	until			timestamptz,
	n				bigint		NOT NULL,
	at				timestamptz	NOT NULL
);
ALTER TABLE mkt.contact_count_history REPLICA IDENTITY FULL;
COMMENT ON TABLE mkt.contact_count_history IS
'The rows of mkt.contact_count that were folded into sums, of tables that keep a history. Together they say what every count was at any instant. Each attached table has a child of this table.';
COMMENT ON COLUMN mkt.contact_count_history.account_name IS 'The account as text.';
COMMENT ON COLUMN mkt.contact_count_history.deleted IS 'Whether these are contacts that were not there any more and still counted.';
COMMENT ON COLUMN mkt.contact_count_history.was IS 'Until when so many contacts were marketing before; null: they were not there.';
COMMENT ON COLUMN mkt.contact_count_history.until IS 'Until when so many contacts were marketing afterwards; null: they were not there any more.';
COMMENT ON COLUMN mkt.contact_count_history.n IS 'So many contacts; below zero in corrections only.';
COMMENT ON COLUMN mkt.contact_count_history.at IS 'When they changed.';
REVOKE ALL ON mkt.contact_count_history FROM PUBLIC;

CREATE FUNCTION mkt.billable(account text, at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE C STABLE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'mkt_billable';
COMMENT ON FUNCTION mkt.billable(text, timestamptz) IS
'The number of an account''s billable contacts: those that are marketing, pending ones included (S2), and deleted ones where the account counts them (T13). Exact in the caller''s snapshot, with what its own transaction has done. Arguments: account; at, by default now: an instant to come or gone by. Errors: MK008 for an instant of which no history is kept, 42501 without SELECT on a table with contacts of the account.';

CREATE FUNCTION mkt.billable(account bigint, at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE SQL STABLE PARALLEL RESTRICTED
RETURN mkt.billable(account::text, at);
COMMENT ON FUNCTION mkt.billable(bigint, timestamptz) IS 'The same for an account that is a number.';

CREATE FUNCTION mkt.billable(account uuid, at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE SQL STABLE PARALLEL RESTRICTED
RETURN mkt.billable(account::text, at);
COMMENT ON FUNCTION mkt.billable(uuid, timestamptz) IS 'The same for an account that is a uuid.';

CREATE FUNCTION mkt.billable_as_known(account text, at timestamptz) RETURNS bigint
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'mkt_billable_as_known';
REVOKE ALL ON FUNCTION mkt.billable_as_known(text, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION mkt.billable_as_known(text, timestamptz) IS
'mkt.billable() at an instant gone by, of tables whose history does not reach so far what is billable now.';

CREATE FUNCTION mkt.unposted(OUT count_table regclass, OUT account_name text, OUT was timestamptz, OUT until timestamptz, OUT n bigint, OUT deleted boolean) RETURNS SETOF record
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 1
AS 'MODULE_PATHNAME', 'mkt_unposted';
COMMENT ON FUNCTION mkt.unposted() IS
'What this transaction has counted and not written to mkt.contact_count yet, by table of counts. Whoever reads that table adds it.';

CREATE FUNCTION mkt.fold_counts(count_table regclass) RETURNS bigint
LANGUAGE C STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'mkt_fold_counts';
REVOKE ALL ON FUNCTION mkt.fold_counts(regclass) FROM PUBLIC;
COMMENT ON FUNCTION mkt.fold_counts(regclass) IS
'Replaces the rows of each account in a table of counts by their sums, without waiting for anybody or making anybody wait. Returns the number of accounts. mkt.run() calls it.';
