-- Many contacts by key (set_status.c).

CREATE TABLE mkt.batch (
	batch		bigint		GENERATED ALWAYS AS IDENTITY CONSTRAINT batch_pkey PRIMARY KEY,
	contacts	regclass	NOT NULL,
	action		text		NOT NULL,
	set_by		name		NOT NULL,
	set_at		timestamptz	NOT NULL,
	changed		bigint		NOT NULL,
	already		bigint		NOT NULL,
	pending		bigint		NOT NULL,
	not_found	bigint		NOT NULL,
	parked		bigint		NOT NULL,
	source_type	text,
	source_name	text
);
COMMENT ON TABLE mkt.batch IS 'The calls that set many contacts at once, and their reports.';
COMMENT ON COLUMN mkt.batch.contacts IS 'The contacts table.';
COMMENT ON COLUMN mkt.batch.action IS 'set_marketing or set_non_marketing.';
COMMENT ON COLUMN mkt.batch.set_by IS 'The role that called.';
COMMENT ON COLUMN mkt.batch.set_at IS 'When, by mkt.now().';
COMMENT ON COLUMN mkt.batch.changed IS 'Contacts that changed.';
COMMENT ON COLUMN mkt.batch.already IS 'Contacts that were so already.';
COMMENT ON COLUMN mkt.batch.pending IS 'Contacts that were pending already, and stayed so.';
COMMENT ON COLUMN mkt.batch.not_found IS 'Keys without a contact that the caller can see.';
COMMENT ON COLUMN mkt.batch.parked IS 'Contacts that a maximum kept from changing.';
COMMENT ON COLUMN mkt.batch.source_type IS 'The tool that the call named.';
COMMENT ON COLUMN mkt.batch.source_name IS 'The tool''s name that the call gave.';
SELECT pg_catalog.pg_extension_config_dump('mkt.batch', '');
SELECT pg_catalog.pg_extension_config_dump('mkt.batch_batch_seq', '');

CREATE FUNCTION mkt.set_marketing(contacts regclass, keys anyarray, account text DEFAULT NULL, expected bigint DEFAULT NULL,
								  source_type text DEFAULT NULL, source_name text DEFAULT NULL,
								  OUT batch bigint, OUT changed bigint, OUT already bigint, OUT pending bigint,
								  OUT not_found bigint, OUT parked bigint)
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_set_marketing';
COMMENT ON FUNCTION mkt.set_marketing(regclass, anyarray, text, bigint, text, text) IS
'Sets contacts as marketing by key, with the caller''s rights (T1, W1, W2). Arguments: the contacts table; their keys; account, whose contacts alone are meant, required where keys are unique within an account only; expected, the number that must change; source_type and source_name, the tool to note. Returns one row: how many changed (pending ones included), were marketing already, were not found, were parked by a maximum. Errors: MK001 not attached, MK003 another number than expected, MK006 keys of several columns or without their account.';

CREATE FUNCTION mkt.set_non_marketing(contacts regclass, keys anyarray, account text DEFAULT NULL, expected bigint DEFAULT NULL,
									  source_type text DEFAULT NULL, source_name text DEFAULT NULL,
									  OUT batch bigint, OUT changed bigint, OUT already bigint, OUT pending bigint,
									  OUT not_found bigint, OUT parked bigint)
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_set_non_marketing';
COMMENT ON FUNCTION mkt.set_non_marketing(regclass, anyarray, text, bigint, text, text) IS
'Sets contacts as non-marketing by key, with the caller''s rights: they become pending and count until the next update date of their account (T2, W1). Arguments and errors as those of mkt.set_marketing. Returns one row: how many changed, were non-marketing already, were pending already, were not found; parked is 0.';
