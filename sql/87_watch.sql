-- Tiers that accounts have committed to, what they were charged for them, and notices (watch.c).

CREATE TABLE mkt.account_tier (
	account		text		CONSTRAINT account_tier_pkey PRIMARY KEY REFERENCES mkt.account ON UPDATE CASCADE ON DELETE CASCADE,
	next_at		bigint		NOT NULL,
	near		boolean		NOT NULL,
	last_at		bigint		NOT NULL,
	looked_until timestamptz NOT NULL,
	tier		bigint		NOT NULL,
	since		timestamptz	NOT NULL,
	renews_at	timestamptz,
	valid_until	timestamptz	NOT NULL,
	places_left	bigint		NOT NULL DEFAULT 0
);
COMMENT ON TABLE mkt.account_tier IS 'The tier that each account with an edition pays for (B2, B3). Written by mktcontacts.';
COMMENT ON COLUMN mkt.account_tier.account IS 'The account as text.';
COMMENT ON COLUMN mkt.account_tier.next_at IS 'The number of billable contacts at which something happens next: a notice or a higher tier.';
COMMENT ON COLUMN mkt.account_tier.near IS 'Whether it is so near that its transactions look more often, and hold a lock while they commit.';
COMMENT ON COLUMN mkt.account_tier.last_at IS 'The number at which something happened last; below it, what happens next is looked up anew.';
COMMENT ON COLUMN mkt.account_tier.looked_until IS 'The end of the period in which it was found not to be near.';
COMMENT ON COLUMN mkt.account_tier.tier IS 'The marketing contacts that it pays for.';
COMMENT ON COLUMN mkt.account_tier.since IS 'Since when.';
COMMENT ON COLUMN mkt.account_tier.renews_at IS 'The renewal date that comes next; null for an account without started_on.';
COMMENT ON COLUMN mkt.account_tier.valid_until IS 'When mkt.threshold has other rows next, and next_at is looked up anew.';
COMMENT ON COLUMN mkt.account_tier.places_left IS 'How many contacts were left until next_at when somebody looked; the fewer, the more transactions look.';
SELECT pg_catalog.pg_extension_config_dump('mkt.account_tier', '');

CREATE TABLE mkt.tier_change (
	change		bigint		GENERATED ALWAYS AS IDENTITY CONSTRAINT tier_change_pkey PRIMARY KEY,
	account		text		NOT NULL,
	at			timestamptz	NOT NULL,
	reason		text		NOT NULL CONSTRAINT "reason is exceeded, renewed or edition" CHECK (reason IN ('exceeded', 'renewed', 'edition')),
	billable	bigint		NOT NULL,
	from_edition text,
	edition		text,
	from_tier	bigint,
	to_tier		bigint,
	currency	text		NOT NULL,
	from_price	numeric,
	to_price	numeric,
	days_left	integer,
	days_of_term integer,
	term_ends_on date,
	charge		numeric,
	sandbox		boolean		NOT NULL,
	gone_at		timestamptz
);
CREATE INDEX tier_change_account ON mkt.tier_change (account, at);
COMMENT ON TABLE mkt.tier_change IS 'Every change of an account''s tier, once: by how many contacts, and what was charged for it (B2, B3, B5).';
COMMENT ON COLUMN mkt.tier_change.change IS 'Its number.';
COMMENT ON COLUMN mkt.tier_change.account IS 'The account as text.';
COMMENT ON COLUMN mkt.tier_change.at IS 'When its transaction began, or the renewal date.';
COMMENT ON COLUMN mkt.tier_change.reason IS 'exceeded: it had more contacts than its tier. renewed: at its renewal date. edition: it got another edition, or lost the one it had.';
COMMENT ON COLUMN mkt.tier_change.billable IS 'Its billable contacts then.';
COMMENT ON COLUMN mkt.tier_change.from_edition IS 'Its edition before.';
COMMENT ON COLUMN mkt.tier_change.edition IS 'Its edition since; null: none.';
COMMENT ON COLUMN mkt.tier_change.from_tier IS 'The tier before.';
COMMENT ON COLUMN mkt.tier_change.to_tier IS 'The tier since; null: none.';
COMMENT ON COLUMN mkt.tier_change.currency IS 'The currency of what follows.';
COMMENT ON COLUMN mkt.tier_change.from_price IS 'What a month cost before; null where there was no price.';
COMMENT ON COLUMN mkt.tier_change.to_price IS 'What a month costs since.';
COMMENT ON COLUMN mkt.tier_change.days_left IS 'The days that were left of the term, with this one.';
COMMENT ON COLUMN mkt.tier_change.days_of_term IS 'All days of the term.';
COMMENT ON COLUMN mkt.tier_change.term_ends_on IS 'The day after the last of them.';
COMMENT ON COLUMN mkt.tier_change.charge IS 'What the rest of the term costs more (B5), never below 0; null without a term or a price, 0 in a sandbox (B9) and where nothing is charged at once.';
COMMENT ON COLUMN mkt.tier_change.sandbox IS 'Whether it was a sandbox.';
COMMENT ON COLUMN mkt.tier_change.gone_at IS 'When the account was deleted: another one may have its name since; null: it is there.';
SELECT pg_catalog.pg_extension_config_dump('mkt.tier_change', '');
SELECT pg_catalog.pg_extension_config_dump('mkt.tier_change_change_seq', '');

CREATE TABLE mkt.notice (
	account		text		NOT NULL,
	percent		numeric		NOT NULL,
	period_ends_at timestamptz NOT NULL,
	at			timestamptz	NOT NULL,
	billable	bigint		NOT NULL,
	tier		bigint		NOT NULL,
	notified	boolean		NOT NULL DEFAULT true,
	seen_at		timestamptz,
	CONSTRAINT notice_pkey PRIMARY KEY (account, percent, period_ends_at)
);
COMMENT ON TABLE mkt.notice IS 'Accounts that came up to a part of their tier, or exceeded it, once for each period (B7). Who has dealt with one may set seen_at. Channel mktcontacts is notified, without a word on whose.';
COMMENT ON COLUMN mkt.notice.account IS 'The account as text.';
COMMENT ON COLUMN mkt.notice.percent IS 'The part of the tier, from mkt.threshold; above 100: the tier was exceeded.';
COMMENT ON COLUMN mkt.notice.period_ends_at IS 'The update date that ends the period.';
COMMENT ON COLUMN mkt.notice.at IS 'When the transaction began that crossed.';
COMMENT ON COLUMN mkt.notice.billable IS 'Its billable contacts then.';
COMMENT ON COLUMN mkt.notice.tier IS 'Its tier before it crossed.';
COMMENT ON COLUMN mkt.notice.notified IS 'Whether channel mktcontacts was notified. A prepared transaction cannot do so; mkt.run() does, once it is committed.';
COMMENT ON COLUMN mkt.notice.seen_at IS 'For you: when somebody dealt with it.';
CREATE INDEX notice_not_notified ON mkt.notice (account) WHERE NOT notified;
SELECT pg_catalog.pg_extension_config_dump('mkt.notice', '');

CREATE FUNCTION mkt.term(commitment mkt.commitment, started_on date, time_zone text, at timestamptz,
						 OUT starts_on date, OUT ends_on date)
LANGUAGE SQL STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN b.before < e.ends_at THEN (b.before AT TIME ZONE time_zone)::date ELSE started_on END,
		(e.ends_at AT TIME ZONE time_zone)::date
	FROM (SELECT mkt.next_renewal(commitment, started_on, time_zone, at) AS ends_at) AS e
	CROSS JOIN LATERAL (
		SELECT mkt.next_renewal(commitment, started_on, time_zone,
								e.ends_at - CASE commitment WHEN 'annual' THEN interval '1 year 3 days' ELSE interval '1 month 3 days' END) AS before
	) AS b;
END;
COMMENT ON FUNCTION mkt.term(mkt.commitment, date, text, timestamptz) IS
'The first day of the term that an instant is in, and the day on which the next one begins; nulls without started_on (D1 to D5).';

CREATE FUNCTION mkt.boundaries(tier bigint, billable bigint, today date, OUT last_at bigint, OUT next_at bigint, OUT until date)
LANGUAGE SQL STABLE
BEGIN ATOMIC
	SELECT coalesce(max(b.boundary) FILTER (WHERE b.boundary <= billable), 0),
		coalesce(min(b.boundary) FILTER (WHERE b.boundary > billable), tier + 1),
		(SELECT coalesce(min(d.day), 'infinity') FROM mkt.threshold AS t, unnest(ARRAY[t.valid_from, t.valid_to]) AS d (day) WHERE d.day > today)
	FROM (
		SELECT ceil(t.percent * tier / 100)::bigint AS boundary
		FROM mkt.threshold AS t
		WHERE today >= t.valid_from AND today < coalesce(t.valid_to, 'infinity')
		UNION ALL
		SELECT tier + 1
	) AS b;
END;
REVOKE ALL ON FUNCTION mkt.boundaries(bigint, bigint, date) FROM PUBLIC;
COMMENT ON FUNCTION mkt.boundaries(bigint, bigint, date) IS 'The numbers of billable contacts, up to the present one and above it, at which something happens to an account with a tier; 0: nothing has. And the day on which they may be others.';

CREATE FUNCTION mkt.day_begins(day date, time_zone text) RETURNS timestamptz
LANGUAGE SQL STABLE
-- PostgreSQL takes the second of two midnights
RETURN (
	SELECT m.at - CASE WHEN ((m.at - interval '1 hour') AT TIME ZONE time_zone)::date = day THEN interval '1 hour' ELSE interval '0' END
	FROM (SELECT day::timestamp AT TIME ZONE time_zone) AS m (at)
);
REVOKE ALL ON FUNCTION mkt.day_begins(date, text) FROM PUBLIC;
COMMENT ON FUNCTION mkt.day_begins(date, text) IS 'When a day begins in a time zone (D4).';

CREATE FUNCTION mkt.is_near(billable bigint, last_at bigint, next_at bigint, band bigint) RETURNS boolean
LANGUAGE SQL IMMUTABLE
RETURN billable >= next_at - band OR last_at > 0 AND billable < last_at + band;
REVOKE ALL ON FUNCTION mkt.is_near(bigint, bigint, bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION mkt.is_near(bigint, bigint, bigint, bigint) IS 'Whether a number of contacts is near one at which something happens.';

-- What an account pays for until a term ends: the first of these changes tells what its months are billed by, each what it had.
-- Where there was no price nothing could be charged, and a sandbox pays nothing; what comes after a renewal is another term's.
CREATE FUNCTION mkt.changes_of_term(account text, created_at timestamptz, day date, before timestamptz, gone tstzrange)
RETURNS SETOF mkt.tier_change
LANGUAGE SQL STABLE
BEGIN ATOMIC
	SELECT c.*
	FROM mkt.tier_change AS c
	WHERE c.account = changes_of_term.account AND c.at >= changes_of_term.created_at AND c.at < changes_of_term.before
	  AND coalesce(c.gone_at, 'infinity') <@ changes_of_term.gone
	  AND c.term_ends_on > changes_of_term.day AND (c.from_price IS NOT NULL OR c.charge IS NOT NULL) AND NOT c.sandbox
	  AND NOT EXISTS (
		SELECT FROM mkt.tier_change AS r
		WHERE r.account = c.account AND r.reason = 'renewed' AND r.gone_at IS NOT DISTINCT FROM c.gone_at AND r.at < changes_of_term.before AND (r.at, r.change) > (c.at, c.change)
	  );
END;
REVOKE ALL ON FUNCTION mkt.changes_of_term(text, timestamptz, date, timestamptz, tstzrange) FROM PUBLIC;
COMMENT ON FUNCTION mkt.changes_of_term(text, timestamptz, date, timestamptz, tstzrange) IS
'The changes of tier of the term that is not over on a day. Arguments: the account; its created_at; the day; an instant that they come before; when it was deleted, infinity where it is there.';

CREATE FUNCTION mkt.charge_for_tier(a mkt.account, from_edition text, from_tier bigint, to_tier bigint)
RETURNS TABLE (from_price numeric, to_price numeric, days_left integer, days_of_term integer, term_ends_on date, charge numeric)
LANGUAGE SQL STABLE ROWS 1
BEGIN ATOMIC
	SELECT p.from_price, p.to_price, d.days_left, d.days_of_term, t.ends_on,
		CASE WHEN (a).sandbox THEN 0
			WHEN p.to_price IS NOT NULL AND greatest(p.from_price, c.paid) IS NOT NULL
			THEN round(greatest(p.to_price - greatest(p.from_price, c.paid), 0) * CASE (a).commitment WHEN 'annual' THEN 12 ELSE 1 END
					   * d.days_left / nullif(d.days_of_term, 0), m.decimals) END
	FROM (SELECT (mkt.now() AT TIME ZONE (a).time_zone)::date AS today) AS n
	CROSS JOIN LATERAL mkt.term((a).commitment, (a).started_on, (a).time_zone, mkt.now()) AS t
	CROSS JOIN LATERAL (SELECT t.ends_on - greatest(n.today, t.starts_on) AS days_left, t.ends_on - t.starts_on AS days_of_term) AS d
	CROSS JOIN LATERAL (
		SELECT mkt.price_on(charge_for_tier.from_edition, charge_for_tier.from_tier, (a).currency, n.today) AS from_price,
			mkt.price_on((a).edition, charge_for_tier.to_tier, (a).currency, n.today) AS to_price
	) AS p
	-- what it has had in this term is paid for to the end, be it dearer
	CROSS JOIN LATERAL (
		SELECT max(mkt.price_on(c.from_edition, c.from_tier, (a).currency, n.today)) AS paid
		FROM mkt.changes_of_term((a).account, (a).created_at, n.today, 'infinity', tstzrange('infinity', 'infinity', '[]')) AS c
	) AS c
	LEFT JOIN mkt.currency AS m ON m.currency = (a).currency AND n.today >= m.valid_from AND n.today < coalesce(m.valid_to, 'infinity');
END;
REVOKE ALL ON FUNCTION mkt.charge_for_tier(mkt.account, text, bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION mkt.charge_for_tier(mkt.account, text, bigint, bigint) IS
'What an account is charged for a change of its tier today (B5). Arguments: its row of mkt.account; the edition before; the tier before and since.';

CREATE FUNCTION mkt.record_crossing(account text, before bigint, after bigint, band bigint, notify boolean) RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	WITH watched AS (
		SELECT a AS settings, a.account, a.edition, a.currency, a.sandbox, a.time_zone, t.tier,
			(mkt.now() AT TIME ZONE a.time_zone)::date AS today,
			CASE WHEN record_crossing.after > t.tier THEN mkt.tier_limit(i.included, i.increment, record_crossing.after) ELSE t.tier END AS new_tier
		FROM mkt.account AS a
		JOIN mkt.account_tier AS t ON t.account = a.account
		JOIN mkt.increment AS i ON i.edition = a.edition
			AND (mkt.now() AT TIME ZONE a.time_zone)::date >= i.valid_from
			AND (mkt.now() AT TIME ZONE a.time_zone)::date < coalesce(i.valid_to, 'infinity')
		WHERE a.account = record_crossing.account
		FOR UPDATE OF t
	), changed AS (
		INSERT INTO mkt.tier_change (account, at, reason, billable, from_edition, edition, from_tier, to_tier, currency, from_price, to_price,
									 days_left, days_of_term, term_ends_on, charge, sandbox)
		SELECT w.account, mkt.now(), 'exceeded', record_crossing.after, w.edition, w.edition, w.tier, w.new_tier, w.currency, c.from_price, c.to_price,
			c.days_left, c.days_of_term, c.term_ends_on, c.charge, w.sandbox
		FROM watched AS w
		CROSS JOIN LATERAL mkt.charge_for_tier(w.settings, w.edition, w.tier, w.new_tier) AS c
		WHERE w.new_tier > w.tier
	), noticed AS (
		INSERT INTO mkt.notice (account, percent, period_ends_at, at, billable, tier, notified)
		SELECT w.account, b.percent, mkt.next_update(w.account), mkt.now(), record_crossing.after, w.tier, record_crossing.notify
		FROM watched AS w
		CROSS JOIN LATERAL (
			SELECT t.percent, ceil(t.percent * w.tier / 100) AS boundary
			FROM mkt.threshold AS t
			WHERE w.today >= t.valid_from AND w.today < coalesce(t.valid_to, 'infinity')
			UNION ALL
			SELECT 101, w.tier + 1
		) AS b
		WHERE record_crossing.before < b.boundary AND record_crossing.after >= b.boundary
		ON CONFLICT ON CONSTRAINT notice_pkey DO NOTHING
		RETURNING percent
	), kept AS (
		UPDATE mkt.account_tier AS t
		SET tier = w.new_tier,
			since = CASE WHEN w.new_tier > w.tier THEN mkt.now() ELSE t.since END,
			next_at = b.next_at, last_at = b.last_at, looked_until = mkt.next_update(w.account), valid_until = mkt.day_begins(b.until, w.time_zone),
			near = mkt.is_near(record_crossing.after, b.last_at, b.next_at, record_crossing.band), places_left = b.next_at - record_crossing.after
		FROM watched AS w
		CROSS JOIN LATERAL mkt.boundaries(w.new_tier, record_crossing.after, w.today) AS b
		WHERE t.account = w.account
	)
	SELECT pg_notify('mktcontacts', '') WHERE record_crossing.notify AND EXISTS (SELECT FROM noticed);
END;
REVOKE ALL ON FUNCTION mkt.record_crossing(text, bigint, bigint, bigint, boolean) FROM PUBLIC;
COMMENT ON FUNCTION mkt.record_crossing(text, bigint, bigint, bigint, boolean) IS
'Records that an account has come up to a part of its tier or exceeded it: notices, the change of tier and what it costs (B2, B5, B7). Called by the transaction that crosses, which holds the account. Arguments: the account; its billable contacts without the transaction and with it; how near a boundary is near; whether to notify.';

CREATE FUNCTION mkt.set_tier() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_set_tier';
REVOKE ALL ON FUNCTION mkt.set_tier() FROM PUBLIC;
COMMENT ON FUNCTION mkt.set_tier() IS 'Trigger function of mkt.account: accounts that get an edition, or another one, get a tier.';

-- Another edition in mid-term: what was committed to stays until the renewal, and so the new tier covers that, too (B3); a dearer one
-- is charged as an upgrade (B5), a cheaper one gives nothing back. An edition that was taken away in the same term, or that has no
-- tiers for a while, makes no difference to that.
CREATE FUNCTION mkt.start_tiers(accounts text[], billable bigint[], from_editions text[], band bigint) RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	WITH had AS (
		SELECT a AS settings, n.billable, t.tier, coalesce(t.tier, l.from_tier) AS from_tier,
			CASE WHEN t.tier IS NULL THEN l.from_edition ELSE n.from_edition END AS from_edition,
			(mkt.now() AT TIME ZONE a.time_zone)::date AS today
		FROM unnest(start_tiers.accounts, start_tiers.billable, start_tiers.from_editions) AS n (account, billable, from_edition)
		JOIN mkt.account AS a ON a.account = n.account
		LEFT JOIN mkt.account_tier AS t ON t.account = a.account
		LEFT JOIN LATERAL (
			SELECT c.from_edition, c.from_tier, c.to_tier, c.at
			FROM mkt.tier_change AS c
			WHERE t.account IS NULL AND c.account = a.account AND c.gone_at IS NULL
			ORDER BY c.at DESC, c.change DESC
			LIMIT 1
		) AS l ON l.to_tier IS NULL AND mkt.next_renewal(a.account, l.at) > mkt.now()
	), asked AS (
		SELECT (h.settings).*, h.settings, h.billable, h.today, h.tier AS old_tier, h.from_tier, h.from_edition,
			mkt.tier_limit(i.included, i.increment, greatest(h.billable, h.from_tier)) AS tier
		FROM had AS h
		LEFT JOIN mkt.increment AS i ON i.edition = (h.settings).edition AND h.today >= i.valid_from AND h.today < coalesce(i.valid_to, 'infinity')
	), gone AS (
		DELETE FROM mkt.account_tier AS t
		USING asked AS s
		WHERE t.account = s.account AND s.tier IS NULL
	), changed AS (
		INSERT INTO mkt.tier_change (account, at, reason, billable, from_edition, edition, from_tier, to_tier, currency, from_price, to_price,
									 days_left, days_of_term, term_ends_on, charge, sandbox)
		SELECT s.account, mkt.now(), 'edition', s.billable, s.from_edition, s.edition, s.from_tier, s.tier, s.currency, c.from_price, c.to_price,
			c.days_left, c.days_of_term, c.term_ends_on, c.charge, s.sandbox
		FROM asked AS s
		CROSS JOIN LATERAL mkt.charge_for_tier(s.settings, s.from_edition, s.from_tier, s.tier) AS c
		WHERE s.old_tier IS NOT NULL OR s.from_tier IS NOT NULL AND s.tier IS NOT NULL
	)
	INSERT INTO mkt.account_tier AS t (account, next_at, near, last_at, looked_until, tier, since, renews_at, valid_until, places_left)
	SELECT s.account, b.next_at, mkt.is_near(s.billable, b.last_at, b.next_at, start_tiers.band), b.last_at, mkt.next_update(s.account),
		s.tier, mkt.now(), mkt.next_renewal(s.account), mkt.day_begins(b.until, s.time_zone), b.next_at - s.billable
	FROM asked AS s
	CROSS JOIN LATERAL mkt.boundaries(s.tier, s.billable, s.today) AS b
	WHERE s.tier IS NOT NULL
	ON CONFLICT ON CONSTRAINT account_tier_pkey DO UPDATE
	SET next_at = EXCLUDED.next_at, near = EXCLUDED.near, last_at = EXCLUDED.last_at, looked_until = EXCLUDED.looked_until, tier = EXCLUDED.tier,
		since = EXCLUDED.since, renews_at = EXCLUDED.renews_at, valid_until = EXCLUDED.valid_until,
		places_left = EXCLUDED.places_left;
END;
REVOKE ALL ON FUNCTION mkt.start_tiers(text[], bigint[], text[], bigint) FROM PUBLIC;
COMMENT ON FUNCTION mkt.start_tiers(text[], bigint[], text[], bigint) IS
'Gives accounts the tiers that cover their billable contacts and what they have committed to until their renewal (B3, B5), or none where they have no edition. Arguments: the accounts; the billable contacts of each; the edition of each before, if it had one; how near a boundary is near.';

CREATE TABLE mkt.downgrade_request (
	account			text		NOT NULL REFERENCES mkt.account ON UPDATE CASCADE ON DELETE CASCADE,
	renews_at		timestamptz	NOT NULL,
	tier			bigint		NOT NULL CONSTRAINT "a tier is not negative" CHECK (tier >= 0),
	requested_at	timestamptz	NOT NULL,
	requested_by	text		NOT NULL,
	CONSTRAINT downgrade_request_pkey PRIMARY KEY (account, renews_at)
);
COMMENT ON TABLE mkt.downgrade_request IS 'Lower tiers that were asked for in time, for the renewal date (B4). Written by mkt.request_downgrade(); a row that is deleted before then is withdrawn.';
COMMENT ON COLUMN mkt.downgrade_request.account IS 'The account as text.';
COMMENT ON COLUMN mkt.downgrade_request.renews_at IS 'The renewal date.';
COMMENT ON COLUMN mkt.downgrade_request.tier IS 'The tier from then on, if it covers the billable contacts then.';
COMMENT ON COLUMN mkt.downgrade_request.requested_at IS 'When it was asked for.';
COMMENT ON COLUMN mkt.downgrade_request.requested_by IS 'The role that asked.';
SELECT pg_catalog.pg_extension_config_dump('mkt.downgrade_request', '');

CREATE FUNCTION mkt.renew_tier(a mkt.account, name_then text) RETURNS bigint
LANGUAGE SQL
BEGIN ATOMIC
	WITH due AS (
		SELECT t.account, t.tier, t.renews_at, b.billable, (t.renews_at AT TIME ZONE (a).time_zone)::date AS day,
			CASE WHEN d.tier >= b.billable THEN least(r.tier, t.tier) ELSE t.tier END AS new_tier
		FROM mkt.account_tier AS t
		LEFT JOIN mkt.downgrade_request AS d ON d.account = t.account AND d.renews_at = t.renews_at
		LEFT JOIN mkt.increment AS i ON i.edition = (a).edition AND (t.renews_at AT TIME ZONE (a).time_zone)::date >= i.valid_from
			AND (t.renews_at AT TIME ZONE (a).time_zone)::date < coalesce(i.valid_to, 'infinity')
		-- the request may be older than the edition, or than its tiers
		CROSS JOIN LATERAL (SELECT mkt.tier_limit(i.included, i.increment, d.tier) AS tier) AS r
		CROSS JOIN LATERAL mkt.billable_as_known(renew_tier.name_then, t.renews_at) AS b (billable)
		WHERE t.account = (a).account AND t.renews_at <= mkt.now()
		FOR UPDATE OF t
	), changed AS (
		INSERT INTO mkt.tier_change (account, at, reason, billable, from_edition, edition, from_tier, to_tier, currency, from_price, to_price, charge, sandbox)
		SELECT d.account, d.renews_at, 'renewed', d.billable, (a).edition, (a).edition, d.tier, d.new_tier, (a).currency,
			mkt.price_on((a).edition, d.tier, (a).currency, d.day), mkt.price_on((a).edition, d.new_tier, (a).currency, d.day), 0, (a).sandbox
		FROM due AS d
	), renewed AS (
		UPDATE mkt.account_tier AS t
		SET tier = d.new_tier, since = CASE WHEN d.new_tier = d.tier THEN t.since ELSE d.renews_at END,
			renews_at = mkt.next_renewal((a).commitment, (a).started_on, (a).time_zone, d.renews_at),
			next_at = b.next_at, last_at = b.last_at, looked_until = d.renews_at, near = true, valid_until = mkt.day_begins(b.until, (a).time_zone),
			places_left = 0
		FROM due AS d
		CROSS JOIN LATERAL mkt.boundaries(d.new_tier, d.billable, d.day) AS b
		WHERE t.account = d.account
		RETURNING 1
	)
	SELECT count(*) FROM renewed;
END;
REVOKE ALL ON FUNCTION mkt.renew_tier(mkt.account, text) FROM PUBLIC;
COMMENT ON FUNCTION mkt.renew_tier(mkt.account, text) IS
'Renews the tier of an account whose renewal date has come (B3), by what was at that instant, once; the number of tiers that it renewed. Called until there is none, by mkt.run() or whoever adds a contact before that. Arguments: the settings that it had at that instant, under the name that it has now; the name that it had then.';

CREATE FUNCTION mkt.unwatch_far(band bigint) RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	UPDATE mkt.account_tier AS t
	SET near = f.near, next_at = f.next_at, last_at = f.last_at, looked_until = mkt.next_update(f.account), valid_until = f.valid_until,
		places_left = f.places_left
	FROM (
		SELECT t.account, b.next_at, b.last_at, r.near, b.next_at - n.billable AS places_left, mkt.day_begins(b.until, a.time_zone) AS valid_until
		FROM mkt.account_tier AS t
		JOIN mkt.account AS a ON a.account = t.account
		CROSS JOIN LATERAL (SELECT mkt.billable(a.account) AS billable) AS n
		CROSS JOIN LATERAL mkt.boundaries(t.tier, n.billable, (mkt.now() AT TIME ZONE a.time_zone)::date) AS b
		CROSS JOIN LATERAL (SELECT mkt.is_near(n.billable, b.last_at, b.next_at, unwatch_far.band) AS near) AS r
		WHERE t.next_at > unwatch_far.band AND (t.near AND NOT r.near OR NOT t.near AND t.looked_until <= mkt.now()) OR t.valid_until <= mkt.now()
		FOR UPDATE OF t SKIP LOCKED
	) AS f
	WHERE t.account = f.account;
END;
REVOKE ALL ON FUNCTION mkt.unwatch_far(bigint) FROM PUBLIC;
COMMENT ON FUNCTION mkt.unwatch_far(bigint) IS 'Spares accounts that are far from their boundaries, or again so, the look of every transaction, and looks up boundaries that may be others since today. mkt.run() calls it.';

CREATE FUNCTION mkt.tiers_due() RETURNS SETOF text
LANGUAGE SQL
BEGIN ATOMIC
	SELECT t.account
	FROM mkt.account_tier AS t
	JOIN (
		SELECT account_name AS account, coalesce(sum(n) FILTER (WHERE until > mkt.now()), 0) - coalesce(sum(n) FILTER (WHERE was > mkt.now()), 0) AS billable
		FROM mkt.contact_count
		GROUP BY account_name
	) AS c ON c.account = t.account
	WHERE c.billable >= t.next_at
	UNION
	SELECT t.account FROM mkt.account_tier AS t WHERE t.renews_at <= mkt.now()
	UNION
	SELECT a.account
	FROM mkt.account AS a
	JOIN mkt.increment AS i ON i.edition = a.edition
		AND (mkt.now() AT TIME ZONE a.time_zone)::date >= i.valid_from
		AND (mkt.now() AT TIME ZONE a.time_zone)::date < coalesce(i.valid_to, 'infinity')
	WHERE NOT EXISTS (SELECT FROM mkt.account_tier AS t WHERE t.account = a.account)
	ORDER BY 1;
END;
REVOKE ALL ON FUNCTION mkt.tiers_due() FROM PUBLIC;
COMMENT ON FUNCTION mkt.tiers_due() IS
'Accounts whose renewal date has come, and those for which no transaction has looked: a table came with contacts that counted already, counts were repaired, or their edition got its tiers later.';

CREATE FUNCTION mkt.catch_up(account text, billable bigint, band bigint) RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	SELECT mkt.start_tiers(ARRAY[catch_up.account], ARRAY[catch_up.billable], ARRAY[NULL::text], catch_up.band)
	WHERE NOT EXISTS (SELECT FROM mkt.account_tier AS t WHERE t.account = catch_up.account);
	SELECT mkt.record_crossing(t.account, CASE WHEN t.next_at > 0 THEN least(t.next_at - 1, catch_up.billable) ELSE catch_up.billable END,
							   catch_up.billable, catch_up.band, true)
	FROM mkt.account_tier AS t
	WHERE t.account = catch_up.account AND catch_up.billable >= t.next_at;
END;
REVOKE ALL ON FUNCTION mkt.catch_up(text, bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION mkt.catch_up(text, bigint, bigint) IS 'Does for an account of mkt.tiers_due() what nobody has done. Arguments: the account; its billable contacts; how near a boundary is near.';

CREATE FUNCTION mkt.notify_late() RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	WITH late AS (
		UPDATE mkt.notice AS n SET notified = true WHERE NOT n.notified RETURNING n.percent
	)
	SELECT pg_notify('mktcontacts', '') WHERE EXISTS (SELECT FROM late);
END;
REVOKE ALL ON FUNCTION mkt.notify_late() FROM PUBLIC;
COMMENT ON FUNCTION mkt.notify_late() IS 'Notifies channel mktcontacts of what prepared transactions could not. mkt.run() calls it.';

CREATE FUNCTION mkt.redate_tier(account text) RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	UPDATE mkt.downgrade_request AS d
	SET renews_at = mkt.next_renewal(t.account)
	FROM mkt.account_tier AS t
	WHERE t.account = redate_tier.account AND d.account = t.account AND d.renews_at = t.renews_at
	  AND mkt.next_renewal(t.account) <> t.renews_at;
	UPDATE mkt.account_tier AS t
	SET renews_at = mkt.next_renewal(t.account), looked_until = '-infinity'
	WHERE t.account = redate_tier.account;
END;
REVOKE ALL ON FUNCTION mkt.redate_tier(text) FROM PUBLIC;
COMMENT ON FUNCTION mkt.redate_tier(text) IS 'Gives an account whose settings have changed its new renewal date, and the downgrade that was asked for with it.';

CREATE FUNCTION mkt.rename_accounts(was text[], becomes text[]) RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	DELETE FROM mkt.notice AS n
	USING unnest(was, becomes) AS r (was, becomes), mkt.notice AS m
	WHERE n.account = r.becomes AND m.account = r.was AND m.percent = n.percent AND m.period_ends_at = n.period_ends_at;
	-- a deleted account may have had the name before
	UPDATE mkt.notice AS n
	SET account = a.account
	FROM unnest(was, becomes) AS r (was, becomes)
	JOIN mkt.account AS a ON a.account = r.becomes
	WHERE n.account = r.was AND n.at >= a.created_at;
	UPDATE mkt.tier_change AS c
	SET account = r.becomes
	FROM unnest(was, becomes) AS r (was, becomes)
	WHERE c.account = r.was AND c.gone_at IS NULL;
END;
REVOKE ALL ON FUNCTION mkt.rename_accounts(text[], text[]) FROM PUBLIC;
COMMENT ON FUNCTION mkt.rename_accounts(text[], text[]) IS 'Gives the changes of tier and the notices of accounts their new names. Arguments: the names they had; those they have.';

CREATE FUNCTION mkt.look_at_all() RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	UPDATE mkt.account_tier SET next_at = 0, near = true, places_left = 0;
END;
REVOKE ALL ON FUNCTION mkt.look_at_all() FROM PUBLIC;
COMMENT ON FUNCTION mkt.look_at_all() IS 'Makes the next transaction of every account look for its next boundary, because mkt.threshold has changed.';

CREATE TRIGGER tiers_started AFTER INSERT ON mkt.account
REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION mkt.set_tier();
CREATE TRIGGER tiers_changed AFTER UPDATE ON mkt.account
REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION mkt.set_tier();
CREATE TRIGGER tier_renewed_at_last BEFORE DELETE ON mkt.account
FOR EACH ROW WHEN (OLD.edition IS NOT NULL) EXECUTE FUNCTION mkt.set_tier();
CREATE TRIGGER thresholds_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON mkt.threshold
FOR EACH STATEMENT EXECUTE FUNCTION mkt.set_tier();

CREATE FUNCTION mkt.watch_changed() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_watch_changed';
REVOKE ALL ON FUNCTION mkt.watch_changed() FROM PUBLIC;
COMMENT ON FUNCTION mkt.watch_changed() IS 'Trigger function of mkt.account_tier: tells running sessions.';

CREATE TRIGGER watch_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON mkt.account_tier
FOR EACH STATEMENT EXECUTE FUNCTION mkt.watch_changed();
