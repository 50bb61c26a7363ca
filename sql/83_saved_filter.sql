-- Filters with names (saved_filter.c).

CREATE TABLE mkt.filter (
	contacts	regclass	NOT NULL,
	account		text,
	name		text		NOT NULL,
	filter		jsonb,
	condition	text,
	owner		name		NOT NULL,
	saved_at	timestamptz	NOT NULL,
	CONSTRAINT filter_key UNIQUE NULLS NOT DISTINCT (contacts, account, name),
	CONSTRAINT filter_or_condition CHECK (num_nonnulls(filter, condition) = 1)
);
ALTER TABLE mkt.filter REPLICA IDENTITY FULL;
COMMENT ON TABLE mkt.filter IS 'Saved filters. Written by mkt.save_filter() and mkt.drop_filter().';
COMMENT ON COLUMN mkt.filter.contacts IS 'The contacts table.';
COMMENT ON COLUMN mkt.filter.account IS 'The account; null: for all accounts.';
COMMENT ON COLUMN mkt.filter.name IS 'Its name, one of the account''s.';
COMMENT ON COLUMN mkt.filter.filter IS 'The filter as JSON, or null.';
COMMENT ON COLUMN mkt.filter.condition IS 'The condition in SQL, or null; c is a contact.';
COMMENT ON COLUMN mkt.filter.owner IS 'The role whose members may change it, and with whose rights a condition in SQL runs.';
COMMENT ON COLUMN mkt.filter.saved_at IS 'When it was saved, by mkt.now().';
SELECT pg_catalog.pg_extension_config_dump('mkt.filter', '');

CREATE FUNCTION mkt.save_filter(contacts regclass, account text, name text, filter jsonb DEFAULT NULL,
								condition text DEFAULT NULL) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_save_filter';
COMMENT ON FUNCTION mkt.save_filter(regclass, text, text, jsonb, text) IS
'Saves a filter under a name, or replaces it. Arguments: the contacts table; the account, null for all; the name; filter, as JSON, or condition, in SQL, which will run with the rights of the role that owns the filter. Errors: MK001 not attached, MK013 the filter is not one or does not fit the table, 42501 the filter belongs to another role.';

CREATE FUNCTION mkt.drop_filter(contacts regclass, account text, name text) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_drop_filter';
COMMENT ON FUNCTION mkt.drop_filter(regclass, text, text) IS
'Drops a saved filter. Arguments: the contacts table; the account, null for all; the name. Errors: MK001 not attached, P0002 no such filter, 42501 it belongs to another role.';

CREATE FUNCTION mkt.filter_keys(contacts regclass, account text, name text) RETURNS SETOF text
LANGUAGE C STABLE
AS 'MODULE_PATHNAME', 'mkt_filter_keys';
COMMENT ON FUNCTION mkt.filter_keys(regclass, text, text) IS
'The keys of the contacts that meet a saved filter and that the caller may see. Arguments: the contacts table; the account, whose contacts alone are meant, or null; the name of a filter of the account, or else of one for all accounts. Errors: MK001 not attached, MK006 keys of several columns or without their account, MK013 the filter does not fit the table any more, P0002 no such filter.';
