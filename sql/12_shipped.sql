-- Tables that ship with rows which users may change or delete (shipped.c).

CREATE TABLE mkt.withdrawn (
	relation	name	NOT NULL,
	key			jsonb	NOT NULL,
	CONSTRAINT withdrawn_pkey PRIMARY KEY (relation, key)
);
REVOKE ALL ON mkt.withdrawn FROM PUBLIC;
COMMENT ON TABLE mkt.withdrawn IS 'Rows that came with mktcontacts and were deleted: a restored database deletes them again.';
SELECT pg_catalog.pg_extension_config_dump('mkt.withdrawn', '');

CREATE FUNCTION mkt.shipped_again() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_shipped_again';
REVOKE ALL ON FUNCTION mkt.shipped_again() FROM PUBLIC;
COMMENT ON FUNCTION mkt.shipped_again() IS 'Trigger function of tables that ship with rows: a shipped row that a dump brings takes the place of the one that is there.';

CREATE FUNCTION mkt.shipped_withdrawn() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_shipped_withdrawn';
REVOKE ALL ON FUNCTION mkt.shipped_withdrawn() FROM PUBLIC;
COMMENT ON FUNCTION mkt.shipped_withdrawn() IS 'Trigger function of tables that ship with rows, and of mkt.withdrawn: remembers shipped rows that are deleted, and deletes them in a restored database.';

CREATE TRIGGER withdrawn_again AFTER INSERT ON mkt.withdrawn
FOR EACH ROW EXECUTE FUNCTION mkt.shipped_withdrawn();
