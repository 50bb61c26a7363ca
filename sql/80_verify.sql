-- The counts against the contacts (verify.c).

CREATE TYPE mkt.difference AS (
	contacts		regclass,
	account			text,
	marketing_until	timestamptz,
	counted			bigint,
	actual			bigint
);
COMMENT ON TYPE mkt.difference IS
'A count that differs from a recount: the contacts table, the account, until when its contacts are marketing (-infinity for non-marketing contacts, infinity for marketing ones), the count and the recount.';

CREATE FUNCTION mkt.verify() RETURNS SETOF mkt.difference
LANGUAGE C SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'mkt_verify';
REVOKE ALL ON FUNCTION mkt.verify() FROM PUBLIC;
COMMENT ON FUNCTION mkt.verify() IS
'Recounts every attached table in one snapshot and returns what differs from its counts: nothing, when they are exact.';

CREATE FUNCTION mkt.repair(contacts regclass DEFAULT NULL) RETURNS SETOF mkt.difference
LANGUAGE C SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'mkt_repair_0_2';
COMMENT ON FUNCTION mkt.repair(regclass) IS
'Makes the counts right without stopping writers, and returns what it mended. Argument: an attached table, owned by the caller; by default all. Needs READ COMMITTED. Error: MK001 when the table is not attached.';
