-- Many contacts at once (set_status.c).

CREATE FUNCTION mkt.set_marketing(contacts regclass, keys anyarray, account text DEFAULT NULL, expected bigint DEFAULT NULL,
								  source_type text DEFAULT NULL, source_name text DEFAULT NULL,
								  OUT batch bigint, OUT changed bigint, OUT already bigint, OUT pending bigint,
								  OUT not_found bigint, OUT parked bigint)
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_set_marketing';
COMMENT ON FUNCTION mkt.set_marketing(regclass, anyarray, text, bigint, text, text) IS
'Sets contacts as marketing by key, with the caller''s rights (T1, W1, W2). Arguments: the contacts table; their keys; account, whose contacts alone are meant, required where keys are unique within an account only; expected, the number that must change; source_type and source_name, the tool to note. Returns one row: how many changed (pending ones included), were marketing already, were not found, were parked by a maximum. Errors: MK001 not attached, MK003 another number than expected, MK006 keys of several columns or without their account.';

CREATE FUNCTION mkt.set_non_marketing(contacts regclass, keys anyarray, account text DEFAULT NULL, expected bigint DEFAULT NULL,
									  source_type text DEFAULT NULL, source_name text DEFAULT NULL,
									  OUT batch bigint, OUT changed bigint, OUT already bigint, OUT pending bigint,
									  OUT not_found bigint, OUT parked bigint)
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_set_non_marketing';
COMMENT ON FUNCTION mkt.set_non_marketing(regclass, anyarray, text, bigint, text, text) IS
'Sets contacts as non-marketing by key, with the caller''s rights: they become pending and count until the next update date of their account (T2, W1). Arguments and errors as those of mkt.set_marketing. Returns one row: how many changed, were non-marketing already, were pending already, were not found; parked is 0.';

CREATE FUNCTION mkt.set_marketing(contacts regclass, filter jsonb DEFAULT NULL, saved_filter text DEFAULT NULL, list text DEFAULT NULL,
								  query text DEFAULT NULL, account text DEFAULT NULL, expected bigint DEFAULT NULL,
								  source_type text DEFAULT NULL, source_name text DEFAULT NULL,
								  OUT batch bigint, OUT changed bigint, OUT already bigint, OUT pending bigint,
								  OUT not_found bigint, OUT parked bigint)
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_set_marketing_chosen';
COMMENT ON FUNCTION mkt.set_marketing(regclass, jsonb, text, text, text, text, bigint, text, text) IS
'Sets contacts as marketing that are chosen otherwise than by key: by one of filter, as JSON; saved_filter and list, of the account or for all accounts, by name; query, a SELECT of keys that runs with the caller''s rights (W1). The choice is made when the call begins. The other arguments and the row returned are those of mkt.set_marketing by key. Errors: MK001, MK003, MK006, MK013 the filter is not one or does not fit the table, P0002 no saved filter or list of that name.';

CREATE FUNCTION mkt.set_non_marketing(contacts regclass, filter jsonb DEFAULT NULL, saved_filter text DEFAULT NULL, list text DEFAULT NULL,
									  query text DEFAULT NULL, account text DEFAULT NULL, expected bigint DEFAULT NULL,
									  source_type text DEFAULT NULL, source_name text DEFAULT NULL,
									  OUT batch bigint, OUT changed bigint, OUT already bigint, OUT pending bigint,
									  OUT not_found bigint, OUT parked bigint)
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_set_non_marketing_chosen';
COMMENT ON FUNCTION mkt.set_non_marketing(regclass, jsonb, text, text, text, text, bigint, text, text) IS
'Sets contacts as non-marketing that are chosen by a filter, a saved filter, a list or a query, as mkt.set_marketing does.';

CREATE FUNCTION mkt.record_activity(contacts regclass, keys anyarray, source_type text, source_name text DEFAULT NULL, account text DEFAULT NULL,
									OUT batch bigint, OUT changed bigint, OUT already bigint, OUT pending bigint,
									OUT not_found bigint, OUT parked bigint, OUT kept bigint)
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_record_activity';
COMMENT ON FUNCTION mkt.record_activity(regclass, anyarray, text, text, text) IS
'Tells that a tool has met existing contacts again, with the caller''s rights: those that are non-marketing become marketing where the tool promotes (F1), nobody is demoted, and who is pending stays so. Arguments: the contacts table; their keys; source_type and source_name, the tool; account, as in mkt.set_marketing. Returns one row: how many changed, were marketing already, were and stay pending, were not found, were parked by a maximum, were kept non-marketing because the tool does not promote. Errors: MK001, MK006.';
