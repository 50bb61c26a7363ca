-- Who may be reached (gate.c).

CREATE FUNCTION mkt.can_use(contacts regclass, key text, tool text, account text DEFAULT NULL,
							OUT allowed boolean, OUT reason text)
LANGUAGE C STABLE
AS 'MODULE_PATHNAME', 'mkt_can_use';
COMMENT ON FUNCTION mkt.can_use(regclass, text, text, text) IS
'Whether a tool may use a contact now, and if not, why: non_marketing, unsubscribed or bounced (F4). Arguments: the contacts table; the contact''s key, one of several columns as an array such as {eu,7}; the tool, from mkt.tool_use; account, required where keys are unique within an account only. Errors: MK001 not attached, MK006 keys without their account, or of several columns and no array, MK010 no such tool, P0002 no such contact that the caller can see.';

CREATE FUNCTION mkt.can_use(contacts regclass, key bigint, tool text, account text DEFAULT NULL,
							OUT allowed boolean, OUT reason text)
LANGUAGE SQL STABLE
BEGIN ATOMIC
	SELECT c.allowed, c.reason FROM mkt.can_use(contacts, key::text, tool, account) AS c;
END;
COMMENT ON FUNCTION mkt.can_use(regclass, bigint, text, text) IS 'The same for a key that is a number.';

CREATE FUNCTION mkt.can_use(contacts regclass, key uuid, tool text, account text DEFAULT NULL,
							OUT allowed boolean, OUT reason text)
LANGUAGE SQL STABLE
BEGIN ATOMIC
	SELECT c.allowed, c.reason FROM mkt.can_use(contacts, key::text, tool, account) AS c;
END;
COMMENT ON FUNCTION mkt.can_use(regclass, uuid, text, text) IS 'The same for a key that is a uuid.';

CREATE FUNCTION mkt.eligible(contacts regclass, tool text, account text DEFAULT NULL, keys anyarray DEFAULT NULL::text[]) RETURNS SETOF text
LANGUAGE C STABLE ROWS 10000
AS 'MODULE_PATHNAME', 'mkt_eligible';
COMMENT ON FUNCTION mkt.eligible(regclass, text, text, anyarray) IS
'The keys, as text, of the contacts that a tool may use now: all others are left out (F4, F5). Arguments: the contacts table, or a partition; the tool, from mkt.tool_use; account, whose contacts alone are meant, by default all; keys, among which to choose, by default all. Errors: MK001 not attached, MK006 keys of several columns, or keys without their account, MK010 no such tool.';

CREATE FUNCTION mkt.eligible(contacts text, tool text, account text DEFAULT NULL, keys anyarray DEFAULT NULL::text[]) RETURNS SETOF text
LANGUAGE C STABLE ROWS 10000
AS 'MODULE_PATHNAME', 'mkt_eligible';
COMMENT ON FUNCTION mkt.eligible(text, text, text, anyarray) IS 'The same for a contacts table that is given by its name.';

CREATE FUNCTION mkt.eligible(contacts anyelement, tool text, account text DEFAULT NULL, keys anycompatiblearray DEFAULT NULL::text[]) RETURNS SETOF anyelement
LANGUAGE C STABLE ROWS 10000
AS 'MODULE_PATHNAME', 'mkt_eligible';
COMMENT ON FUNCTION mkt.eligible(anyelement, text, text, anycompatiblearray) IS
'The contacts that a tool may use now, as rows of their table, which is given as a row of its type: NULL::crm.contact. Other arguments and errors as those of the function that returns keys; without keys it takes tables with keys of several columns, too.';

CREATE TYPE mkt.outcome AS (
	outcome		text,
	contacts	bigint
);
COMMENT ON TYPE mkt.outcome IS 'How many contacts are eligible, or are left out for a reason.';

CREATE FUNCTION mkt.eligibility(contacts regclass, tool text, account text DEFAULT NULL, keys anyarray DEFAULT NULL::text[]) RETURNS SETOF mkt.outcome
LANGUAGE C STABLE ROWS 5
AS 'MODULE_PATHNAME', 'mkt_eligibility';
COMMENT ON FUNCTION mkt.eligibility(regclass, text, text, anyarray) IS
'How many contacts a tool may use now, and how many are left out for which reason (F5): rows for eligible, non_marketing, unsubscribed and bounced, and with keys for not_found. Each contact, or key, is in one row only, the first of these that holds. Arguments and errors as those of mkt.eligible.';
