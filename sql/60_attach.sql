-- Attaching and detaching (attach.c).

CREATE FUNCTION mkt.attach(contacts regclass, account_column name DEFAULT NULL, account text DEFAULT NULL,
						   key_column name DEFAULT NULL, already_marketing text DEFAULT NULL,
						   unsubscribed text DEFAULT NULL, bounced text DEFAULT NULL) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_attach_0_2';
REVOKE ALL ON FUNCTION mkt.attach(regclass, name, text, name, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION mkt.attach(regclass, name, text, name, text, text, text) IS
'Attaches a contacts table: adds the marketing columns and the triggers that keep them and the counts. Every contact is non-marketing at first (F3). Arguments: the table, owned by the caller; account_column, a column that names each contact''s account, or account, to which the whole table belongs; key_column, by default the primary key; already_marketing, unsubscribed and bounced, conditions on the table''s columns. Again: a notice, no change. Errors: MK001 when attached in another way, MK002 when the table cannot be attached.';

CREATE FUNCTION mkt.detach(contacts regclass, drop_columns boolean DEFAULT false) RETURNS void
LANGUAGE C STRICT SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'mkt_detach_0_2';
COMMENT ON FUNCTION mkt.detach(regclass, boolean) IS
'Detaches a contacts table: removes its triggers, its constraint, its counts and its history. Arguments: the table; drop_columns, whether the marketing columns go too. Error: MK001 when it is not attached.';

CREATE FUNCTION mkt.contacts_dropped() RETURNS event_trigger
LANGUAGE C SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'mkt_contacts_dropped';
REVOKE ALL ON FUNCTION mkt.contacts_dropped() FROM PUBLIC;
COMMENT ON FUNCTION mkt.contacts_dropped() IS 'Event trigger mktcontacts_dropped: forgets attached tables that are dropped.';

CREATE EVENT TRIGGER mktcontacts_dropped ON sql_drop EXECUTE FUNCTION mkt.contacts_dropped();
COMMENT ON EVENT TRIGGER mktcontacts_dropped IS 'Removes the counts and histories of attached tables that are dropped.';
