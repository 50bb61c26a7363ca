-- Accounts with a maximum, and those whose deleted contacts count (limit.c).

CREATE TABLE mkt.limited_account (
	account	text CONSTRAINT limited_account_pkey PRIMARY KEY
);
REVOKE ALL ON mkt.limited_account FROM PUBLIC;
COMMENT ON TABLE mkt.limited_account IS
'Rows to lock: whoever makes a contact count toward an account with a maximum or a limit holds its row until the transaction ends. Made when they are needed, and nothing of a dump.';
COMMENT ON COLUMN mkt.limited_account.account IS 'The account.';

CREATE FUNCTION mkt.limit_changed() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_limit_changed';
REVOKE ALL ON FUNCTION mkt.limit_changed() FROM PUBLIC;
COMMENT ON FUNCTION mkt.limit_changed() IS 'Trigger function of mkt.account: a maximum or a limit holds from the moment it is set (B8, B10). Waits for those who are writing contacts when an account gets its first. With an argument: others have to look at the account''s settings again.';

CREATE TRIGGER limit_set AFTER INSERT ON mkt.account
FOR EACH ROW WHEN (NEW.maximum IS NOT NULL OR NEW.contact_limit IS NOT NULL)
EXECUTE FUNCTION mkt.limit_changed();
CREATE TRIGGER limit_updated AFTER UPDATE ON mkt.account
FOR EACH ROW WHEN (OLD.maximum IS DISTINCT FROM NEW.maximum OR OLD.contact_limit IS DISTINCT FROM NEW.contact_limit
				   OR OLD.at_maximum <> NEW.at_maximum OR OLD.account <> NEW.account)
EXECUTE FUNCTION mkt.limit_changed();
CREATE TRIGGER limit_deleted AFTER DELETE ON mkt.account
FOR EACH ROW WHEN (OLD.maximum IS NOT NULL OR OLD.contact_limit IS NOT NULL)
EXECUTE FUNCTION mkt.limit_changed();
-- What sessions have read of settings is not kept in any role.
CREATE TRIGGER settings_changed AFTER INSERT OR UPDATE OR DELETE ON mkt.account
FOR EACH STATEMENT EXECUTE FUNCTION mkt.limit_changed('any');
ALTER TABLE mkt.account ENABLE ALWAYS TRIGGER settings_changed;

CREATE TABLE mkt.parked_contact (
	contacts	regclass	NOT NULL,
	key			text		NOT NULL,
	account		text		NOT NULL,
	parked_at	timestamptz	NOT NULL,
	role		text		NOT NULL,
	source_type	text,
	source_name	text,
	batch		bigint
);
ALTER TABLE mkt.parked_contact REPLICA IDENTITY FULL;
CREATE INDEX parked_contact_key ON mkt.parked_contact (contacts, key);
REVOKE ALL ON mkt.parked_contact FROM PUBLIC;
COMMENT ON TABLE mkt.parked_contact IS 'Contacts that a maximum kept from becoming marketing; mkt.parked shows those that still wait, mkt.run() removes the others.';
SELECT pg_catalog.pg_extension_config_dump('mkt.parked_contact', '');

CREATE FUNCTION mkt.find_parked(contacts regclass) RETURNS SETOF text
LANGUAGE C STABLE STRICT SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'mkt_find_parked';
COMMENT ON FUNCTION mkt.find_parked(regclass) IS 'The keys of parked contacts of a table that still are there and non-marketing, for whoever may read all of it.';

CREATE VIEW mkt.parked AS
SELECT DISTINCT ON (p.contacts, p.key) p.contacts, p.key, p.account, p.parked_at, p.role, p.source_type, p.source_name, p.batch
FROM mkt.parked_contact AS p
JOIN (SELECT DISTINCT contacts FROM mkt.parked_contact) AS t ON t.contacts = p.contacts
JOIN LATERAL mkt.find_parked(t.contacts) AS k (key) ON k.key = p.key
ORDER BY p.contacts, p.key, p.parked_at DESC;
COMMENT ON VIEW mkt.parked IS 'Contacts that an account''s maximum kept from becoming marketing and that still are non-marketing (B8). mkt.set_marketing() promotes them when there are places.';
COMMENT ON COLUMN mkt.parked.contacts IS 'The contacts table.';
COMMENT ON COLUMN mkt.parked.key IS 'The contact''s key as text.';
COMMENT ON COLUMN mkt.parked.account IS 'Its account.';
COMMENT ON COLUMN mkt.parked.parked_at IS 'When it was last asked for.';
COMMENT ON COLUMN mkt.parked.role IS 'Who asked.';
COMMENT ON COLUMN mkt.parked.source_type IS 'The tool that asked.';
COMMENT ON COLUMN mkt.parked.source_name IS 'Which one of these.';
COMMENT ON COLUMN mkt.parked.batch IS 'The batch that it was part of.';
