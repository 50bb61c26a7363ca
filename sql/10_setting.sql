-- The schema, the types, and the clock that everything reads (setting.c).

CREATE SCHEMA mkt;
COMMENT ON SCHEMA mkt IS 'mktcontacts: marketing contacts and their billable counts';
GRANT USAGE ON SCHEMA mkt TO PUBLIC;

CREATE TYPE mkt.status AS ENUM ('marketing', 'non_marketing');
COMMENT ON TYPE mkt.status IS 'marketing: counts toward the tier of its account. non_marketing: does not.';

CREATE TYPE mkt.commitment AS ENUM ('annual', 'monthly');
COMMENT ON TYPE mkt.commitment IS 'annual: update dates are the first of every month and the renewal date (D1). monthly: the monthly renewal day (D2).';

CREATE FUNCTION mkt.now() RETURNS timestamptz
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'mkt_sql_now';
COMMENT ON FUNCTION mkt.now() IS
'The instant that mktcontacts takes as the present: mktcontacts.clock where it is set, else the transaction''s time.';

CREATE FUNCTION mkt.is_marketing(status mkt.status, marketing_until timestamptz) RETURNS boolean
LANGUAGE SQL STABLE PARALLEL SAFE
RETURN status OPERATOR(pg_catalog.=) 'marketing' AND (marketing_until IS NULL OR marketing_until OPERATOR(pg_catalog.>) mkt.now());
COMMENT ON FUNCTION mkt.is_marketing(mkt.status, timestamptz) IS
'Whether a contact is marketing now, true to the instant whether or not its update has been applied (S1). Arguments: its columns marketing_status and marketing_until.';
