-- What will be, and what to do about it (P2, P7).  Counts are asked with the caller's rights, by mkt.billable(); what an
-- account has bought and what that costs tells mkt.account_quote(), to whom it is granted.

CREATE FUNCTION mkt.account_quote(account text, contacts bigint, at timestamptz DEFAULT NULL, paid bigint DEFAULT NULL,
								  OUT edition text, OUT tier bigint, OUT price numeric, OUT lower_tier bigint, OUT lower_price numeric,
								  OUT requested bigint, OUT currency text, OUT time_zone text)
LANGUAGE SQL STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT q.edition, q.tier, mkt.price_on(q.edition, q.tier, q.currency, q.day), l.lower_tier, mkt.price_on(q.edition, l.lower_tier, q.currency, q.day),
		q.requested, q.currency, q.time_zone
	FROM (
		-- B3: the higher tier stays, until a renewal for which one was requested that covers the contacts
		SELECT a.edition, a.currency, a.time_zone, a.day, r.tier AS requested, i.included, i.increment,
			CASE WHEN i.edition IS NULL THEN NULL
				WHEN account_quote.contacts > a.paid OR a.paid IS NULL THEN mkt.tier_limit(i.included, i.increment, account_quote.contacts)
				WHEN d.tier >= account_quote.contacts THEN least(r.tier, a.paid)
				ELSE a.paid END AS tier
		FROM (
			SELECT a.edition, a.currency, z.time_zone, (coalesce(account_quote.at, mkt.now()) AT TIME ZONE z.time_zone)::date AS day,
				nullif(coalesce(account_quote.paid, t.tier), 0) AS paid
			FROM (SELECT account_quote.account AS account) AS asked
			LEFT JOIN mkt.account AS a ON a.account = asked.account
			LEFT JOIN mkt.account_tier AS t ON t.account = asked.account
			CROSS JOIN LATERAL (SELECT coalesce(a.time_zone, 'UTC') AS time_zone) AS z
		) AS a
		LEFT JOIN mkt.increment AS i ON i.edition = a.edition AND a.day >= i.valid_from AND a.day < coalesce(i.valid_to, 'infinity')
		LEFT JOIN mkt.downgrade_request AS d ON d.account = account_quote.account AND d.renews_at = account_quote.at
		-- the request may be older than the edition
		CROSS JOIN LATERAL (SELECT mkt.tier_limit(i.included, i.increment, d.tier) AS tier) AS r
	) AS q
	CROSS JOIN LATERAL (
		SELECT q.included + nullif(mkt.tier_increments(q.included, q.increment, q.tier), 0) * q.increment - q.increment AS lower_tier
	) AS l;
END;
REVOKE ALL ON FUNCTION mkt.account_quote(text, bigint, timestamptz, bigint) FROM PUBLIC;
COMMENT ON FUNCTION mkt.account_quote(text, bigint, timestamptz, bigint) IS
'What an account would pay a month for a number of marketing contacts: the tier, the one below it, and their prices (B1, B3, B6). Arguments: account; contacts; at: an instant, by default now, that stands for its date in the account''s zone; a renewal date brings the tier that was requested for it; paid: the tier that it pays for before, by default the present one; 0: none. Null where there is no edition, no tier or no price.';

CREATE FUNCTION mkt.forecast(account text, n integer DEFAULT 12)
RETURNS TABLE (update_at timestamptz, renewal boolean, to_non_marketing bigint, billable bigint, tier bigint, price numeric, currency text)
LANGUAGE SQL STABLE PARALLEL RESTRICTED ROWS 12
BEGIN ATOMIC
	WITH RECURSIVE step (i, at, renewal, ended, billable, paid, tier, price, currency) AS (
		SELECT 0, n.at, false, 0::bigint, b.billable, q.tier, q.tier, q.price, q.currency
		FROM mkt.now() AS n (at), mkt.billable(forecast.account) AS b (billable), mkt.account_quote(forecast.account, b.billable) AS q
		WHERE forecast.account IS NOT NULL
		UNION ALL
		SELECT s.i + 1, u.at, u.at IS NOT DISTINCT FROM r.at, s.billable - b.billable, b.billable, coalesce(q.tier, s.paid), q.tier, q.price, q.currency
		FROM step AS s, mkt.next_update(forecast.account, s.at) AS u (at), mkt.next_renewal(forecast.account, s.at) AS r (at),
			mkt.billable(forecast.account, u.at) AS b (billable), mkt.account_quote(forecast.account, b.billable, u.at, s.paid) AS q
		WHERE s.i < coalesce(forecast.n, 12)
	)
	SELECT s.at, s.renewal, s.ended, s.billable, s.tier, s.price, s.currency
	FROM step AS s
	WHERE s.i > 0
	ORDER BY s.i
	LIMIT coalesce(forecast.n, 12);
END;
COMMENT ON FUNCTION mkt.forecast(text, integer) IS
'What an account''s next update dates bring if nothing else changes: how many contacts become non-marketing, how many are billable from then on, tier and price (P2). A tier falls at a renewal only, to one that was requested (B3). Arguments: account; n: how many dates. For whoever may ask mkt.billable() and mkt.account_quote().';

CREATE FUNCTION mkt.forecast(account bigint, n integer DEFAULT 12)
RETURNS TABLE (update_at timestamptz, renewal boolean, to_non_marketing bigint, billable bigint, tier bigint, price numeric, currency text)
LANGUAGE SQL STABLE PARALLEL RESTRICTED ROWS 12
BEGIN ATOMIC
	SELECT * FROM mkt.forecast($1::text, $2);
END;
COMMENT ON FUNCTION mkt.forecast(bigint, integer) IS 'The same for an account that is a number.';

CREATE FUNCTION mkt.forecast(account uuid, n integer DEFAULT 12)
RETURNS TABLE (update_at timestamptz, renewal boolean, to_non_marketing bigint, billable bigint, tier bigint, price numeric, currency text)
LANGUAGE SQL STABLE PARALLEL RESTRICTED ROWS 12
BEGIN ATOMIC
	SELECT * FROM mkt.forecast($1::text, $2);
END;
COMMENT ON FUNCTION mkt.forecast(uuid, integer) IS 'The same for an account that is a uuid.';

-- The last day to ask for a downgrade.

CREATE FUNCTION mkt.business_days_before(day date, n integer) RETURNS date
LANGUAGE SQL IMMUTABLE STRICT PARALLEL SAFE
RETURN (
	SELECT w.monday + (floor((w.weekday - n) / 5.0) * 7)::integer + ((w.weekday - n) % 5 + 5) % 5
	FROM (
		-- what comes before a weekend's day also comes before the Monday that follows
		SELECT CASE WHEN extract(isodow FROM day) > 5 THEN date_trunc('week', day::timestamp)::date + 7 ELSE date_trunc('week', day::timestamp)::date END AS monday,
			CASE WHEN extract(isodow FROM day) > 5 THEN 0 ELSE extract(isodow FROM day)::integer - 1 END AS weekday
	) AS w
);
COMMENT ON FUNCTION mkt.business_days_before(date, integer) IS
'The n-th business day before a day; business days are Monday to Friday. Arguments: day; n, from 1.';

CREATE FUNCTION mkt.downgrade_deadline(commitment mkt.commitment, started_on date, time_zone text, after timestamptz DEFAULT NULL) RETURNS date
LANGUAGE SQL STABLE PARALLEL SAFE
RETURN mkt.business_days_before((mkt.next_renewal(commitment, started_on, time_zone, after) AT TIME ZONE coalesce(time_zone, 'UTC'))::date, 5);
COMMENT ON FUNCTION mkt.downgrade_deadline(mkt.commitment, date, text, timestamptz) IS
'The last day to ask for a downgrade at the first renewal strictly later than an instant, five business days before it (B4), for settings that need not be any account''s; null where there is no renewal.';

CREATE FUNCTION mkt.downgrade_deadline(account text, after timestamptz DEFAULT NULL) RETURNS date
LANGUAGE SQL STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN (
	SELECT mkt.downgrade_deadline(a.commitment, a.started_on, a.time_zone, downgrade_deadline.after)
	FROM mkt.account AS a
	WHERE a.account = downgrade_deadline.account
);
COMMENT ON FUNCTION mkt.downgrade_deadline(text, timestamptz) IS
'The last day, in the account''s zone, to ask for a downgrade at its first renewal strictly later than an instant: five business days before it (B4). That day may be over. Null for an account without started_on. Arguments: account; after, by default now.';

CREATE FUNCTION mkt.downgrade_deadline(account bigint, after timestamptz DEFAULT NULL) RETURNS date
LANGUAGE SQL STABLE PARALLEL SAFE
RETURN mkt.downgrade_deadline(account::text, after);
COMMENT ON FUNCTION mkt.downgrade_deadline(bigint, timestamptz) IS 'The same for an account that is a number.';

CREATE FUNCTION mkt.downgrade_deadline(account uuid, after timestamptz DEFAULT NULL) RETURNS date
LANGUAGE SQL STABLE PARALLEL SAFE
RETURN mkt.downgrade_deadline(account::text, after);
COMMENT ON FUNCTION mkt.downgrade_deadline(uuid, timestamptz) IS 'The same for an account that is a uuid.';

-- Advice is about the first renewal for which it is not too late. The downgrade has to cover what counts at that instant,
-- and whoever is set as non-marketing before it does not count then: a renewal is an update date.

CREATE FUNCTION mkt.advice(account text)
RETURNS TABLE (renewal_at timestamptz, request_by date, billable bigint, billable_at_renewal bigint, tier bigint, lower_tier bigint,
			   contacts_to_set bigint, saving numeric, currency text, advice text)
LANGUAGE SQL STABLE PARALLEL RESTRICTED ROWS 1
BEGIN ATOMIC
	WITH present AS (
		SELECT b.billable, q.edition, q.tier, q.currency, q.time_zone, r.at AS next_renewal,
			coalesce(f.requested >= q.tier, true) AND (n.at AT TIME ZONE q.time_zone)::date > mkt.downgrade_deadline(advice.account) AS too_late
		FROM mkt.now() AS n (at), mkt.billable(advice.account) AS b (billable), mkt.account_quote(advice.account, b.billable) AS q,
			mkt.next_renewal(advice.account) AS r (at), mkt.account_quote(advice.account, b.billable, r.at) AS f
		WHERE advice.account IS NOT NULL
	), renewal AS (
		SELECT p.billable, p.edition, p.tier, p.currency, p.time_zone, p.too_late, p.next_renewal,
			CASE WHEN p.too_late THEN mkt.next_renewal(advice.account, p.next_renewal) ELSE p.next_renewal END AS at
		FROM present AS p
	), goal AS (
		SELECT r.billable, r.edition, r.tier, r.currency, r.at, b.billable AS billable_at_renewal, t.lower_tier, t.is_requested,
			CASE WHEN t.lower_tier IS NOT NULL THEN greatest(b.billable - t.lower_tier, 0) END AS contacts,
			CASE WHEN t.lower_tier IS NOT NULL THEN mkt.business_days_before(d.day, 5) END AS request_by,
			CASE WHEN r.too_late THEN to_char(r.next_renewal AT TIME ZONE r.time_zone, 'YYYY-MM-DD') END AS missed,
			to_char(d.day, 'YYYY-MM-DD') AS renews_on,
			q.price - l.price AS saving
		FROM renewal AS r
		CROSS JOIN LATERAL (SELECT (r.at AT TIME ZONE r.time_zone)::date AS day) AS d
		LEFT JOIN mkt.account_quote(advice.account, r.tier, r.at, r.tier) AS q ON r.at IS NOT NULL
		CROSS JOIN LATERAL (
			SELECT CASE WHEN q.requested < r.tier THEN q.requested ELSE q.lower_tier END AS lower_tier, coalesce(q.requested < r.tier, false) AS is_requested
		) AS t
		LEFT JOIN mkt.account_quote(advice.account, t.lower_tier, r.at, 0) AS l ON t.lower_tier IS NOT NULL
		LEFT JOIN mkt.billable(advice.account, r.at) AS b (billable) ON r.at IS NOT NULL
	)
	SELECT g.at, g.request_by, g.billable, g.billable_at_renewal, g.tier, g.lower_tier, g.contacts, g.saving, g.currency,
		CASE
			WHEN g.edition IS NULL THEN format('Account %s has no edition, and so no tier.', advice.account)
			WHEN g.tier IS NULL THEN format('Edition %s has no tier today: mkt.increment has no row for it.', g.edition)
			WHEN g.at IS NULL THEN format('Account %s has no renewal date, because mkt.account has no started_on for it.', advice.account)
			WHEN g.lower_tier IS NULL THEN format('Edition %s has no tier below %s.', g.edition, g.tier)
			ELSE concat(
				'It is too late for the renewal on ' || g.missed || '. ',
				CASE WHEN g.contacts > 0
					THEN format('Set %s contact%s as non-marketing before the renewal on %s', g.contacts, CASE WHEN g.contacts > 1 THEN 's' END, g.renews_on)
					ELSE format('The count at the renewal on %s fits tier %s', g.renews_on, g.lower_tier) END,
				CASE WHEN g.is_requested THEN ', for which the downgrade' || CASE WHEN g.contacts > 0 THEN ' to tier ' || g.lower_tier ELSE '' END || ' is requested'
					WHEN g.contacts > 0 THEN ', and request the downgrade to tier ' || g.lower_tier || ' by ' || to_char(g.request_by, 'FMDay YYYY-MM-DD')
					ELSE ': request the downgrade by ' || to_char(g.request_by, 'FMDay YYYY-MM-DD') END,
				'.', CASE WHEN g.saving > 0 THEN ' That saves ' || g.saving || ' ' || g.currency || ' a month.' END) END
	FROM goal AS g;
END;
COMMENT ON FUNCTION mkt.advice(text) IS
'How an account comes one tier lower at its next renewal, or at the one after when it is too late for that (P7, B3, B4): the smallest number of contacts to set as non-marketing before it, the last day, in the account''s zone, to request the downgrade, and what it saves; the last column says it in words, or why it cannot be. Argument: the account. For whoever may ask mkt.billable() and mkt.account_quote().';

CREATE FUNCTION mkt.advice(account bigint)
RETURNS TABLE (renewal_at timestamptz, request_by date, billable bigint, billable_at_renewal bigint, tier bigint, lower_tier bigint,
			   contacts_to_set bigint, saving numeric, currency text, advice text)
LANGUAGE SQL STABLE PARALLEL RESTRICTED ROWS 1
BEGIN ATOMIC
	SELECT * FROM mkt.advice($1::text);
END;
COMMENT ON FUNCTION mkt.advice(bigint) IS 'The same for an account that is a number.';

CREATE FUNCTION mkt.advice(account uuid)
RETURNS TABLE (renewal_at timestamptz, request_by date, billable bigint, billable_at_renewal bigint, tier bigint, lower_tier bigint,
			   contacts_to_set bigint, saving numeric, currency text, advice text)
LANGUAGE SQL STABLE PARALLEL RESTRICTED ROWS 1
BEGIN ATOMIC
	SELECT * FROM mkt.advice($1::text);
END;
COMMENT ON FUNCTION mkt.advice(uuid) IS 'The same for an account that is a uuid.';
