-- Some names of C functions, here and in the parts below, end in _0_2: the library of version 0.1 does not have them, and so
-- refuses to work with a later version, for which it does not look.

-- What mkt.attach() puts on a contacts table (contact.c).  Owners of attached
-- tables need the trigger functions to create partitions.

CREATE FUNCTION mkt.is_state(status mkt.status, until_next_update boolean, until timestamptz) RETURNS boolean
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'mkt_is_state';
COMMENT ON FUNCTION mkt.is_state(mkt.status, boolean, timestamptz) IS
'Whether the three marketing columns together are a state (S3). The check constraint mkt_state of attached tables.';

CREATE FUNCTION mkt.contact_state() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_contact_state_0_2';
COMMENT ON FUNCTION mkt.contact_state() IS 'Trigger mkt_10_state: decides each contact''s state (S1 to S3, T1 to T12).';

CREATE FUNCTION mkt.contact_count() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_contact_count_0_2';
COMMENT ON FUNCTION mkt.contact_count() IS 'Trigger mkt_80_count: counts contacts that are created or deleted (T4), and notes it for the history (T11).';

CREATE FUNCTION mkt.contact_recount() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_contact_recount_0_2';
COMMENT ON FUNCTION mkt.contact_recount() IS 'Trigger mkt_85_recount: counts contacts whose status or account changed, and notes it for the history (T11).';

CREATE FUNCTION mkt.contact_post() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_contact_post_0_2';
COMMENT ON FUNCTION mkt.contact_post() IS 'Trigger mkt_90_post: writes a statement''s counts and history.';

CREATE FUNCTION mkt.contact_truncate() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_contact_truncate_0_2';
COMMENT ON FUNCTION mkt.contact_truncate() IS 'Trigger mkt_95_truncate: empties the counts with the table, and says so in the history.';
