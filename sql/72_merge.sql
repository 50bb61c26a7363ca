-- Two contacts become one (merge.c).

CREATE FUNCTION mkt.merge(contacts regclass, survivor text, merged text, account text DEFAULT NULL) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_merge';
COMMENT ON FUNCTION mkt.merge(regclass, text, text, text) IS
'Merges two contacts of one account, with the caller''s rights: the survivor takes the longer "marketing until" of the two, the other contact is deleted (T7). Arguments: the contacts table; the keys of both; account, required where keys are unique within an account only. Errors: MK001 not attached, MK006 keys of several columns or without their account, P0002 no such contact, 22023 the same contact or contacts of two accounts.';

CREATE FUNCTION mkt.merge(contacts regclass, survivor bigint, merged bigint, account text DEFAULT NULL) RETURNS void
LANGUAGE SQL
RETURN mkt.merge(contacts, survivor::text, merged::text, account);
COMMENT ON FUNCTION mkt.merge(regclass, bigint, bigint, text) IS 'The same for keys that are numbers.';

CREATE FUNCTION mkt.merge(contacts regclass, survivor uuid, merged uuid, account text DEFAULT NULL) RETURNS void
LANGUAGE SQL
RETURN mkt.merge(contacts, survivor::text, merged::text, account);
COMMENT ON FUNCTION mkt.merge(regclass, uuid, uuid, text) IS 'The same for keys that are uuids.';
