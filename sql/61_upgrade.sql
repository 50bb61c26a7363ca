-- What the scripts of ALTER EXTENSION mktcontacts UPDATE begin and end with (upgrade.c).

CREATE FUNCTION mkt.lock_tables() RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_lock_tables';
REVOKE ALL ON FUNCTION mkt.lock_tables() FROM PUBLIC;
COMMENT ON FUNCTION mkt.lock_tables() IS
'The first command of an upgrade: waits for transactions that write contacts, and lets no others write until the upgrade is committed. Sessions with an older library find out then.';

CREATE FUNCTION mkt.renew_tables() RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_renew_tables';
REVOKE ALL ON FUNCTION mkt.renew_tables() FROM PUBLIC;
COMMENT ON FUNCTION mkt.renew_tables() IS 'The last command of an upgrade: brings attached tables to their present form.';
