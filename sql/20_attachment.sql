-- What is attached (attachment.c).

CREATE TABLE mkt.attachment (
	contacts			regclass	CONSTRAINT attachment_pkey PRIMARY KEY,
	count_table			regclass	NOT NULL,
	account				text,
	counted				boolean		NOT NULL DEFAULT false,
	filled				boolean		NOT NULL DEFAULT true,
	already_marketing	text,
	unsubscribed		text,
	bounced				text,
	history				regclass,
	count_history		regclass,
	history_since		timestamptz,
	history_kept		interval,
	attached_at			timestamptz,
	structure			smallint	NOT NULL DEFAULT 1
);
COMMENT ON TABLE mkt.attachment IS 'The attached contacts tables. Written by mkt.attach(), mkt.set_conditions(), mkt.set_history() and mkt.detach().';
COMMENT ON COLUMN mkt.attachment.contacts IS 'The contacts table.';
COMMENT ON COLUMN mkt.attachment.count_table IS 'The table with its counts.';
COMMENT ON COLUMN mkt.attachment.account IS 'The account to which the whole table belongs; null where a column names it.';
COMMENT ON COLUMN mkt.attachment.counted IS 'Whether the non-marketing contacts that were there when it was attached have been counted.';
COMMENT ON COLUMN mkt.attachment.filled IS 'Whether the contacts that already were marketing have been set so.';
COMMENT ON COLUMN mkt.attachment.already_marketing IS 'The condition for contacts that already were marketing (F3).';
COMMENT ON COLUMN mkt.attachment.unsubscribed IS 'The condition for contacts that have unsubscribed.';
COMMENT ON COLUMN mkt.attachment.bounced IS 'The condition for contacts whose address bounced.';
COMMENT ON COLUMN mkt.attachment.history IS 'The table with the history of its contacts.';
COMMENT ON COLUMN mkt.attachment.count_history IS 'The table with the history of its counts.';
COMMENT ON COLUMN mkt.attachment.history_since IS 'The instant from which on its history is known; null while none is kept.';
COMMENT ON COLUMN mkt.attachment.attached_at IS 'Since when it is attached: before, it had no marketing contacts (F3). Null for a table that brought its marketing columns.';
COMMENT ON COLUMN mkt.attachment.history_kept IS 'How long its history is kept; null: for ever.';
COMMENT ON COLUMN mkt.attachment.structure IS 'The form of its triggers and of the tables beside it, by number; a dump of an earlier version may bring an older one, which mkt.run() renews.';
SELECT pg_catalog.pg_extension_config_dump('mkt.attachment', '');
