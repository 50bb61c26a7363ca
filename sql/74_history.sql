-- Who, why and since when (history.c).

CREATE FUNCTION mkt.change_name(was timestamptz, until timestamptz, moved boolean) RETURNS text
LANGUAGE SQL IMMUTABLE PARALLEL SAFE
RETURN CASE
	WHEN was IS NULL AND until IS NULL THEN 'table emptied'
	WHEN was IS NULL THEN 'created'
	WHEN until IS NULL THEN 'deleted'
	WHEN moved THEN 'moved to another account'
	WHEN until OPERATOR(pg_catalog.=) '-infinity' THEN 'update date passed'
	WHEN until OPERATOR(pg_catalog.=) 'infinity' THEN 'set as marketing'
	WHEN was OPERATOR(pg_catalog.=) 'infinity' THEN 'set as non-marketing'
	WHEN was OPERATOR(pg_catalog.=) '-infinity' THEN 'set as marketing until the next update'
	ELSE 'update date moved'
END;
COMMENT ON FUNCTION mkt.change_name(timestamptz, timestamptz, boolean) IS
'What happened in a row of a history, in words. Arguments: the row''s columns was, until and moved.';

CREATE FUNCTION mkt.history(contacts regclass, key text, account text DEFAULT NULL)
RETURNS TABLE (changed_at timestamptz, effective_at timestamptz, change text, status mkt.status, until timestamptz,
			   account_after text, source_type text, source_name text, role text, batch bigint)
LANGUAGE C STABLE
AS 'MODULE_PATHNAME', 'mkt_history';
COMMENT ON FUNCTION mkt.history(regclass, text, text) IS
'What happened to a contact, the first change first (P3, T11). Arguments: the contacts table; the contact''s key, one of several columns as an array such as {eu,7}; account, required where keys are unique within an account only. For whoever may read the table; where row-level security hides the contact, nothing. Errors: MK001, MK006, 42501.';

CREATE FUNCTION mkt.history(contacts regclass, key bigint, account text DEFAULT NULL)
RETURNS TABLE (changed_at timestamptz, effective_at timestamptz, change text, status mkt.status, until timestamptz,
			   account_after text, source_type text, source_name text, role text, batch bigint)
LANGUAGE SQL STABLE
BEGIN ATOMIC
	SELECT * FROM mkt.history($1, $2::text, $3);
END;
COMMENT ON FUNCTION mkt.history(regclass, bigint, text) IS 'The same for a key that is a number.';

CREATE FUNCTION mkt.history(contacts regclass, key uuid, account text DEFAULT NULL)
RETURNS TABLE (changed_at timestamptz, effective_at timestamptz, change text, status mkt.status, until timestamptz,
			   account_after text, source_type text, source_name text, role text, batch bigint)
LANGUAGE SQL STABLE
BEGIN ATOMIC
	SELECT * FROM mkt.history($1, $2::text, $3);
END;
COMMENT ON FUNCTION mkt.history(regclass, uuid, text) IS 'The same for a key that is a uuid.';

CREATE FUNCTION mkt.status_at(contacts regclass, key text, at timestamptz DEFAULT NULL, account text DEFAULT NULL) RETURNS mkt.status
LANGUAGE C STABLE
AS 'MODULE_PATHNAME', 'mkt_status_at';
COMMENT ON FUNCTION mkt.status_at(regclass, text, timestamptz, text) IS
'A contact''s status at an instant gone by or to come, true to the instant (P3, S1); null when it was not there, as far as the history can tell. Arguments: the contacts table; the contact''s key, one of several columns as an array such as {eu,7}; at, by default now; account, required where keys are unique within an account only. Errors: MK001, MK006, MK008 for an instant of which no history is kept, 42501.';

CREATE FUNCTION mkt.status_at(contacts regclass, key bigint, at timestamptz DEFAULT NULL, account text DEFAULT NULL) RETURNS mkt.status
LANGUAGE SQL STABLE
RETURN mkt.status_at(contacts, key::text, at, account);
COMMENT ON FUNCTION mkt.status_at(regclass, bigint, timestamptz, text) IS 'The same for a key that is a number.';

CREATE FUNCTION mkt.status_at(contacts regclass, key uuid, at timestamptz DEFAULT NULL, account text DEFAULT NULL) RETURNS mkt.status
LANGUAGE SQL STABLE
RETURN mkt.status_at(contacts, key::text, at, account);
COMMENT ON FUNCTION mkt.status_at(regclass, uuid, timestamptz, text) IS 'The same for a key that is a uuid.';

CREATE FUNCTION mkt.forget(contacts regclass, key text, account text DEFAULT NULL) RETURNS bigint
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_forget';
COMMENT ON FUNCTION mkt.forget(regclass, text, text) IS
'Erases what the history says of a contact, and its key from lists, reviews, workflows and mkt.parked, and leaves all counts, past ones included, as they were. Of its past only what it is now is known then. Returns the number of changes erased. The contact itself is not touched. For whoever may delete contacts; under row-level security for the table''s owner. Arguments: the contacts table; the contact''s key, one of several columns as an array such as {eu,7}; account, required where keys are unique within an account only. Errors: MK001, MK006, 42501.';

CREATE FUNCTION mkt.forget(contacts regclass, key bigint, account text DEFAULT NULL) RETURNS bigint
LANGUAGE SQL
RETURN mkt.forget(contacts, key::text, account);
COMMENT ON FUNCTION mkt.forget(regclass, bigint, text) IS 'The same for a key that is a number.';

CREATE FUNCTION mkt.forget(contacts regclass, key uuid, account text DEFAULT NULL) RETURNS bigint
LANGUAGE SQL
RETURN mkt.forget(contacts, key::text, account);
COMMENT ON FUNCTION mkt.forget(regclass, uuid, text) IS 'The same for a key that is a uuid.';

CREATE FUNCTION mkt.set_history(contacts regclass, enabled boolean DEFAULT true, kept text DEFAULT NULL) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_set_history';
COMMENT ON FUNCTION mkt.set_history(regclass, boolean, text) IS
'Switches the history of a contacts table on or off, and says how long it is kept. What is there already stays, and is dropped when it is older than that. Waits for those who are writing to the table. Arguments: the contacts table, owned by the caller; enabled; kept, an interval, to whole months, or forever; by default as before, at first for ever. Errors: MK001, 42501.';
