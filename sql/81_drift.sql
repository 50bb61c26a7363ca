-- Counts that drift, noticed by mkt.run() (drift.c).

CREATE TABLE mkt.table_check (
	contacts	regclass	CONSTRAINT table_check_pkey PRIMARY KEY,
	structure	text		NOT NULL,
	suspect		text,
	checked_at	timestamptz	NOT NULL
);
COMMENT ON TABLE mkt.table_check IS 'When mkt.run() recounted each attached table last. A table without a row, such as one that was just restored, is recounted by the next call.';
COMMENT ON COLUMN mkt.table_check.contacts IS 'The contacts table.';
COMMENT ON COLUMN mkt.table_check.structure IS 'Its partitions, their files, and which triggers were enabled then.';
COMMENT ON COLUMN mkt.table_check.suspect IS 'Why the next call recounts it; null: no reason.';
COMMENT ON COLUMN mkt.table_check.checked_at IS 'When it was recounted, or attached, in real time.';

CREATE TABLE mkt.drift (
	contacts		regclass	NOT NULL,
	account			text,
	marketing_until	timestamptz	NOT NULL,
	counted			bigint		NOT NULL,
	actual			bigint		NOT NULL,
	noticed_at		timestamptz	NOT NULL
);
ALTER TABLE mkt.drift REPLICA IDENTITY FULL;
CREATE INDEX drift_account ON mkt.drift (account);
COMMENT ON TABLE mkt.drift IS 'Counts that differed from the contacts when mkt.run() recounted them, until mkt.repair() mends them. Empty while nothing goes around the triggers.';
COMMENT ON COLUMN mkt.drift.contacts IS 'The contacts table.';
COMMENT ON COLUMN mkt.drift.account IS 'The account; null: contacts without one.';
COMMENT ON COLUMN mkt.drift.marketing_until IS 'Until when the contacts are marketing: -infinity for non-marketing ones, infinity for marketing ones.';
COMMENT ON COLUMN mkt.drift.counted IS 'How many the counts said.';
COMMENT ON COLUMN mkt.drift.actual IS 'How many there were.';
COMMENT ON COLUMN mkt.drift.noticed_at IS 'When that was noticed, in real time.';

CREATE FUNCTION mkt.table_structure(contacts regclass) RETURNS text
LANGUAGE SQL STABLE
BEGIN ATOMIC
	SELECT md5(string_agg(format('%s %s %s', p.relid::oid, CASE WHEN p.relid <> table_structure.contacts THEN pg_relation_filenode(p.relid) END, t.triggers),
						  ',' ORDER BY p.relid::oid))
	FROM (SELECT relid FROM pg_partition_tree(table_structure.contacts) UNION SELECT table_structure.contacts) AS p
	CROSS JOIN LATERAL (
		SELECT string_agg(format('%s %s', t.tgname, t.tgenabled), ' ' ORDER BY t.tgname) AS triggers
		FROM pg_trigger AS t
		WHERE t.tgrelid = p.relid AND t.tgname IN ('mkt_10_state', 'mkt_80_count', 'mkt_85_recount', 'mkt_90_post', 'mkt_95_truncate')
	) AS t;
END;
REVOKE ALL ON FUNCTION mkt.table_structure(regclass) FROM PUBLIC;
COMMENT ON FUNCTION mkt.table_structure(regclass) IS 'What changes when partitions come, go or are truncated, or our triggers are disabled.';

CREATE FUNCTION mkt.suspect_tables() RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	UPDATE mkt.table_check AS k
	SET suspect = 'its partitions or its triggers are not what they were'
	FROM (SELECT contacts FROM mkt.table_check WHERE suspect IS NULL FOR UPDATE SKIP LOCKED) AS o
	WHERE k.contacts = o.contacts AND k.structure IS DISTINCT FROM mkt.table_structure(k.contacts);
END;
REVOKE ALL ON FUNCTION mkt.suspect_tables() FROM PUBLIC;
COMMENT ON FUNCTION mkt.suspect_tables() IS 'Lets the next mkt.run() recount tables that have changed in a way of which no trigger tells.';

CREATE FUNCTION mkt.table_altered() RETURNS event_trigger
LANGUAGE C SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'mkt_table_altered';
REVOKE ALL ON FUNCTION mkt.table_altered() FROM PUBLIC;
COMMENT ON FUNCTION mkt.table_altered() IS 'Event trigger mktcontacts_altered: lets the next mkt.run() recount an attached table whose triggers are disabled or dropped, or that gets or loses a partition; lets rows that are replicated into one from now on fire its triggers.';
