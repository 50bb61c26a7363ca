-- Why is this one billed? (explain.c)

CREATE FUNCTION mkt.find_contact(contacts regclass, key text, account text,
								 OUT account_of text, OUT status mkt.status, OUT marketing_until timestamptz,
								 OUT source_type text, OUT source_name text, OUT history_since timestamptz, OUT parked_at timestamptz) RETURNS SETOF record
LANGUAGE C STABLE ROWS 1
AS 'MODULE_PATHNAME', 'mkt_find_contact';
COMMENT ON FUNCTION mkt.find_contact(regclass, text, text) IS
'A contact''s account and marketing columns, for mkt.explain(). Errors: MK001, MK006, P0002 no such contact that the caller can see.';

CREATE FUNCTION mkt.explain(contacts regclass, key text, account text DEFAULT NULL)
RETURNS TABLE (contact text, account_of text, state text, counts boolean, until timestamptz, since timestamptz,
			   set_by text, source_type text, source_name text, batch bigint,
			   may_use text[], may_not_use text[], explanation text)
LANGUAGE SQL STABLE
BEGIN ATOMIC
	SELECT e.key, e.account_of, e.state, e.marketing, e.until, e.since,
		e.role, e.source_type, e.source_name, e.batch, t.may_use, t.may_not_use,
		pg_catalog.concat(
			pg_catalog.upper(pg_catalog.left(e.state, 1)), pg_catalog.substr(e.state, 2), ' since ' || e.since,
			': ' || CASE WHEN e.change = 'created' THEN 'created as marketing' ELSE e.change END
				|| ' by ' || e.role, ' (' || nullif(pg_catalog.concat_ws(' ', e.source_type, e.source_name), '') || ')',
			CASE WHEN e.change IS NULL AND NOT e.marketing THEN ', and nothing says that it ever was marketing' END, '. ',
			CASE WHEN e.until IS NOT NULL THEN 'Counts toward account ' || coalesce(e.account_of, '(none)') || ' until ' || e.until
				WHEN e.marketing THEN 'Counts toward account ' || coalesce(e.account_of, '(none)')
				ELSE 'Does not count' END, '.',
			' Its account''s maximum kept it from becoming marketing on ' || e.parked_at || '.')
	FROM (
		SELECT explain.key, c.account_of, mkt.is_marketing(c.status, c.marketing_until) AS marketing,
			CASE WHEN NOT mkt.is_marketing(c.status, c.marketing_until) THEN 'non-marketing'
				WHEN c.marketing_until IS NULL THEN 'marketing'
				ELSE 'marketing until the next update' END AS state,
			CASE WHEN mkt.is_marketing(c.status, c.marketing_until) THEN c.marketing_until END AS until,
			CASE WHEN c.marketing_until <= mkt.now() THEN c.marketing_until ELSE h.since END AS since,
			h.change, h.role, h.batch,
			CASE WHEN NOT mkt.is_marketing(c.status, c.marketing_until) AND c.parked_at >= coalesce(h.since, c.parked_at) THEN c.parked_at END AS parked_at,
			CASE WHEN h.change IS NULL THEN c.source_type ELSE h.source_type END AS source_type,
			CASE WHEN h.change IS NULL THEN c.source_name ELSE h.source_name END AS source_name
		FROM mkt.find_contact(contacts, key, account) AS c
		LEFT JOIN (
			SELECT h.change, h.role, h.batch, h.source_type, h.source_name,
				pg_catalog.max(h.effective_at) OVER () AS since
			FROM (
				SELECT h.*, s.history_since, pg_catalog.max(h.place) FILTER (WHERE h.change NOT IN ('update date passed', 'update date moved', 'moved to another account')) OVER () AS last
				FROM mkt.history(contacts, key, account) WITH ORDINALITY
					AS h (changed_at, effective_at, change, status, until, account_after, source_type, source_name, role, batch, place)
				CROSS JOIN mkt.find_contact(contacts, key, account) AS s
			) AS h
			WHERE h.changed_at >= h.history_since AND (h.place = h.last OR (h.place > h.last AND h.change = 'update date passed'))
			ORDER BY h.place
			LIMIT 1
		) AS h ON h.change NOT IN ('deleted', 'table emptied')
	) AS e
	CROSS JOIN LATERAL (
		SELECT pg_catalog.array_agg(u.tool ORDER BY u.tool) FILTER (WHERE c.allowed) AS may_use,
			pg_catalog.array_agg(u.tool || ': ' || c.reason ORDER BY u.tool) FILTER (WHERE NOT c.allowed) AS may_not_use
		FROM mkt.tool_use AS u CROSS JOIN LATERAL mkt.can_use(contacts, e.key, u.tool, account) AS c
	) AS t;
END;
COMMENT ON FUNCTION mkt.explain(regclass, text, text) IS
'Why a contact is billed, or not (P6): its state, whether it counts and until when, since when it is so, who and what made it so in which batch, and which tools may use it or why they may not; the last column says it in words. Arguments: the contacts table; the contact''s key, one of several columns as an array such as {eu,7}; account, required where keys are unique within an account only. Errors: MK001, MK006, P0002 no such contact that the caller can see, 42501.';

CREATE FUNCTION mkt.explain(contacts regclass, key bigint, account text DEFAULT NULL)
RETURNS TABLE (contact text, account_of text, state text, counts boolean, until timestamptz, since timestamptz,
			   set_by text, source_type text, source_name text, batch bigint,
			   may_use text[], may_not_use text[], explanation text)
LANGUAGE SQL STABLE
BEGIN ATOMIC
	SELECT * FROM mkt.explain($1, $2::text, $3);
END;
COMMENT ON FUNCTION mkt.explain(regclass, bigint, text) IS 'The same for a key that is a number.';

CREATE FUNCTION mkt.explain(contacts regclass, key uuid, account text DEFAULT NULL)
RETURNS TABLE (contact text, account_of text, state text, counts boolean, until timestamptz, since timestamptz,
			   set_by text, source_type text, source_name text, batch bigint,
			   may_use text[], may_not_use text[], explanation text)
LANGUAGE SQL STABLE
BEGIN ATOMIC
	SELECT * FROM mkt.explain($1, $2::text, $3);
END;
COMMENT ON FUNCTION mkt.explain(regclass, uuid, text) IS 'The same for a key that is a uuid.';
