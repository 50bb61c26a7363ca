-- Batches (batch.c).

CREATE SEQUENCE mkt.batch_number;
COMMENT ON SEQUENCE mkt.batch_number IS 'The numbers of batches.';
SELECT pg_catalog.pg_extension_config_dump('mkt.batch_number', '');

CREATE TABLE mkt.batch_report (
	batch		bigint		NOT NULL,
	contacts	regclass	NOT NULL,
	label		text,
	action		text		NOT NULL,
	set_by		text		NOT NULL,
	set_at		timestamptz	NOT NULL,
	changed		bigint		NOT NULL,
	already		bigint		NOT NULL,
	pending		bigint		NOT NULL,
	not_found	bigint		NOT NULL,
	parked		bigint		NOT NULL,
	source_type	text,
	source_name	text
);
ALTER TABLE mkt.batch_report REPLICA IDENTITY FULL;
CREATE INDEX batch_report_batch ON mkt.batch_report (batch);
CREATE INDEX batch_report_label ON mkt.batch_report (label, contacts) WHERE label IS NOT NULL;
REVOKE ALL ON mkt.batch_report FROM PUBLIC;
COMMENT ON TABLE mkt.batch_report IS 'What calls and statements did, in one or more rows for each batch; mkt.batch adds them up.';
SELECT pg_catalog.pg_extension_config_dump('mkt.batch_report', '');

CREATE FUNCTION mkt.unwritten_report() RETURNS SETOF mkt.batch_report
LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 1
AS 'MODULE_PATHNAME', 'mkt_unwritten_report';
COMMENT ON FUNCTION mkt.unwritten_report() IS
'What the caller''s transaction has changed in batches, as far as no row of mkt.batch_report says it yet, for mkt.batch.';

CREATE VIEW mkt.batch AS
SELECT batch, contacts, label, pg_catalog.string_agg(DISTINCT action, ', ') AS action,
	pg_catalog.string_agg(DISTINCT set_by, ', ') AS set_by, pg_catalog.min(set_at) AS set_at,
	pg_catalog.sum(changed)::bigint AS changed, pg_catalog.sum(already)::bigint AS already,
	pg_catalog.sum(pending)::bigint AS pending, pg_catalog.sum(not_found)::bigint AS not_found,
	pg_catalog.sum(parked)::bigint AS parked,
	pg_catalog.string_agg(DISTINCT source_type, ', ') AS source_type, pg_catalog.string_agg(DISTINCT source_name, ', ') AS source_name
FROM (SELECT * FROM mkt.batch_report UNION ALL SELECT * FROM mkt.unwritten_report()) AS r
GROUP BY batch, contacts, label;
COMMENT ON VIEW mkt.batch IS 'Changes that belong together: calls that set many contacts, and statements under a name given by mktcontacts.batch. mkt.undo() takes them back.';
COMMENT ON COLUMN mkt.batch.batch IS 'Its number.';
COMMENT ON COLUMN mkt.batch.contacts IS 'The contacts table.';
COMMENT ON COLUMN mkt.batch.label IS 'The name that mktcontacts.batch gave it.';
COMMENT ON COLUMN mkt.batch.action IS 'The function that made it, or statement; or several.';
COMMENT ON COLUMN mkt.batch.set_by IS 'The role, or roles.';
COMMENT ON COLUMN mkt.batch.set_at IS 'When it began, by mkt.now().';
COMMENT ON COLUMN mkt.batch.changed IS 'Contacts that changed.';
COMMENT ON COLUMN mkt.batch.already IS 'Contacts that were so already.';
COMMENT ON COLUMN mkt.batch.pending IS 'Contacts that were pending already, and stayed so.';
COMMENT ON COLUMN mkt.batch.not_found IS 'Keys without a contact that the caller can see.';
COMMENT ON COLUMN mkt.batch.parked IS 'Contacts that a maximum kept from changing.';
COMMENT ON COLUMN mkt.batch.source_type IS 'The tool that the call or the session named; or several.';
COMMENT ON COLUMN mkt.batch.source_name IS 'The tool''s name that was given with it.';

CREATE SEQUENCE mkt.change_number INCREMENT 1000;
COMMENT ON SEQUENCE mkt.change_number IS 'The numbers of changes in histories, a thousand at a time.';
SELECT pg_catalog.pg_extension_config_dump('mkt.change_number', '');
