-- Static lists (list.c).

CREATE TABLE mkt.list (
	list		bigint		GENERATED ALWAYS AS IDENTITY CONSTRAINT list_pkey PRIMARY KEY,
	contacts	regclass	NOT NULL,
	account		text,
	name		text		NOT NULL,
	owner		name		NOT NULL,
	created_at	timestamptz	NOT NULL,
	CONSTRAINT list_key UNIQUE NULLS NOT DISTINCT (contacts, account, name)
);
COMMENT ON TABLE mkt.list IS 'Static lists of contacts. Written by mkt.create_list() and mkt.drop_list().';
COMMENT ON COLUMN mkt.list.list IS 'The number of the list.';
COMMENT ON COLUMN mkt.list.contacts IS 'The contacts table.';
COMMENT ON COLUMN mkt.list.account IS 'The account; null: for all accounts.';
COMMENT ON COLUMN mkt.list.name IS 'Its name, one of the account''s.';
COMMENT ON COLUMN mkt.list.owner IS 'The role whose members may change it.';
COMMENT ON COLUMN mkt.list.created_at IS 'When it was created, by mkt.now().';
SELECT pg_catalog.pg_extension_config_dump('mkt.list', '');
SELECT pg_catalog.pg_extension_config_dump('mkt.list_list_seq', '');

CREATE TABLE mkt.list_member (
	list		bigint		NOT NULL,
	key			text		NOT NULL,
	CONSTRAINT list_member_pkey PRIMARY KEY (list, key)
);
COMMENT ON TABLE mkt.list_member IS 'The members of static lists. A contact that is gone may still be named.';
COMMENT ON COLUMN mkt.list_member.list IS 'The list.';
COMMENT ON COLUMN mkt.list_member.key IS 'The key of a contact, as text.';
SELECT pg_catalog.pg_extension_config_dump('mkt.list_member', '');

CREATE FUNCTION mkt.create_list(contacts regclass, account text, name text) RETURNS bigint
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_create_list';
COMMENT ON FUNCTION mkt.create_list(regclass, text, text) IS
'Creates an empty list and returns its number. Arguments: the contacts table; the account, null for all; the name. Errors: MK001 not attached, MK006 keys of several columns or without their account, 42710 there is one of that name.';

CREATE FUNCTION mkt.drop_list(contacts regclass, account text, name text) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_drop_list';
COMMENT ON FUNCTION mkt.drop_list(regclass, text, text) IS
'Drops a list with its members; the contacts stay. Arguments: the contacts table; the account, null for all; the name. Errors: MK001 not attached, P0002 no such list, 42501 it belongs to another role.';

CREATE FUNCTION mkt.add_to_list(contacts regclass, account text, name text, keys anyarray,
								OUT added bigint, OUT already bigint, OUT not_found bigint)
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_add_to_list';
COMMENT ON FUNCTION mkt.add_to_list(regclass, text, text, anyarray) IS
'Adds contacts to a list by key. Arguments: the contacts table; the account, null for all; the name; the keys. Returns one row: how many were added, were members already, were not found among the account''s contacts that the caller may see. Errors: MK001 not attached, P0002 no such list, 42501 it belongs to another role.';

CREATE FUNCTION mkt.add_matching_to_list(contacts regclass, account text, name text, filter jsonb,
										 OUT added bigint, OUT already bigint)
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_add_matching_to_list';
COMMENT ON FUNCTION mkt.add_matching_to_list(regclass, text, text, jsonb) IS
'Adds the contacts that meet a filter now to a list. Arguments: the contacts table; the account, null for all; the name; the filter. Returns one row: how many were added, were members already. Errors: MK001 not attached, MK013 the filter is not one or does not fit the table, P0002 no such list, 42501 it belongs to another role.';

CREATE FUNCTION mkt.remove_from_list(contacts regclass, account text, name text, keys anyarray) RETURNS bigint
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_remove_from_list';
COMMENT ON FUNCTION mkt.remove_from_list(regclass, text, text, anyarray) IS
'Removes members from a list by key, and returns how many. Arguments: the contacts table; the account, null for all; the name; the keys. Errors: MK001 not attached, P0002 no such list, 42501 it belongs to another role.';

CREATE FUNCTION mkt.list_keys(contacts regclass, account text, name text) RETURNS SETOF text
LANGUAGE C STABLE
AS 'MODULE_PATHNAME', 'mkt_list_keys';
COMMENT ON FUNCTION mkt.list_keys(regclass, text, text) IS
'The keys of a list''s members that are there and that the caller may see. Arguments: the contacts table; the account, whose contacts alone are meant, or null; the name of a list of the account, or else of one for all accounts. Errors: MK001 not attached, MK006 keys of several columns or without their account, P0002 no such list.';
