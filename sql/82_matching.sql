-- Filters as JSON, and the contacts that meet them (matching.c).

CREATE FUNCTION mkt.matching(contacts regclass, filter jsonb, account text DEFAULT NULL) RETURNS SETOF text
LANGUAGE C STABLE
AS 'MODULE_PATHNAME', 'mkt_matching';
COMMENT ON FUNCTION mkt.matching(regclass, jsonb, text) IS
'The keys of the contacts that meet a filter, with the caller''s rights. Arguments: the contacts table; the filter; account, whose contacts alone are meant, required where keys are unique within an account only. Errors: MK001 not attached, MK006 keys of several columns or without their account, MK013 the filter is not one or does not fit the table.';

CREATE FUNCTION mkt.matching_contacts(contacts anyelement, filter jsonb, account text DEFAULT NULL) RETURNS SETOF anyelement
LANGUAGE C STABLE
AS 'MODULE_PATHNAME', 'mkt_matching_contacts';
COMMENT ON FUNCTION mkt.matching_contacts(anyelement, jsonb, text) IS
'The contacts that meet a filter, whole, with the caller''s rights. Arguments: a row of the contacts table, such as NULL::crm.contact; the filter; account, whose contacts alone are meant. Errors: MK001 not attached, MK013 the filter is not one or does not fit the table.';

CREATE FUNCTION mkt.count_matching(contacts regclass, filter jsonb, account text DEFAULT NULL) RETURNS bigint
LANGUAGE C STABLE
AS 'MODULE_PATHNAME', 'mkt_count_matching';
COMMENT ON FUNCTION mkt.count_matching(regclass, jsonb, text) IS
'How many contacts meet a filter, with the caller''s rights. Arguments: the contacts table; the filter; account, whose contacts alone are meant. Errors: MK001 not attached, MK013 the filter is not one or does not fit the table.';

CREATE FUNCTION mkt.check_filter(contacts regclass, filter jsonb) RETURNS text
LANGUAGE C STABLE STRICT
AS 'MODULE_PATHNAME', 'mkt_check_filter';
COMMENT ON FUNCTION mkt.check_filter(regclass, jsonb) IS
'What a filter means, as a condition to be looked at; c is a contact. Arguments: the contacts table; the filter. Errors: MK001 not attached, MK013 the filter is not one or does not fit the table.';
