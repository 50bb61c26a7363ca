-- Tables that ship with rows which users may change or delete (shipped.c).

-- A row for rows that shipped, and one for the others. Tables that ship with rows refer to it, so that a dump brings it, with
-- what was deleted, before their own rows.
CREATE TABLE mkt.shipping (
	shipped		boolean	CONSTRAINT shipping_pkey PRIMARY KEY,
	withdrawn	jsonb	NOT NULL DEFAULT '[]'
);
REVOKE ALL ON mkt.shipping FROM PUBLIC;
COMMENT ON TABLE mkt.shipping IS 'The rows that came with mktcontacts and were deleted: a restored database deletes them again.';
COMMENT ON COLUMN mkt.shipping.shipped IS 'What the column shipped of a table says.';
COMMENT ON COLUMN mkt.shipping.withdrawn IS 'The deleted rows, each as its table and its primary key.';
INSERT INTO mkt.shipping (shipped) VALUES (true), (false);
SELECT pg_catalog.pg_extension_config_dump('mkt.shipping', 'WHERE shipped');

CREATE FUNCTION mkt.shipped_again() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_shipped_again';
REVOKE ALL ON FUNCTION mkt.shipped_again() FROM PUBLIC;
COMMENT ON FUNCTION mkt.shipped_again() IS 'Trigger function of tables that have rows before a dump brings theirs: a row of the dump takes the place of the one that is there.';

CREATE FUNCTION mkt.shipped_withdrawn() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_shipped_withdrawn';
REVOKE ALL ON FUNCTION mkt.shipped_withdrawn() FROM PUBLIC;
COMMENT ON FUNCTION mkt.shipped_withdrawn() IS 'Trigger function of tables that ship with rows, and of mkt.shipping: remembers shipped rows that are deleted, and deletes them in a restored database.';

CREATE TRIGGER withdrawn_again BEFORE INSERT ON mkt.shipping
FOR EACH ROW EXECUTE FUNCTION mkt.shipped_withdrawn();
