-- Periods, closed at the update dates of accounts, and what was charged for them (period.c).

CREATE TABLE mkt.period (
	account		text		NOT NULL,
	starts_at	timestamptz	NOT NULL,
	ends_at		timestamptz	NOT NULL,
	starts_on	date		NOT NULL,
	ends_on		date		NOT NULL,
	opening		bigint,
	created		bigint,
	promotions	bigint,
	demotions	bigint,
	deletions	bigint,
	adjusted	bigint,
	closing		bigint,
	highest		bigint,
	highest_at	timestamptz,
	edition		text,
	tier		bigint,
	billed_edition text,
	billed_tier	bigint,
	currency	text,
	price		numeric,
	charge		numeric,
	sandbox		boolean		NOT NULL,
	note		text,
	closed_at	timestamptz	NOT NULL,
	CONSTRAINT period_pkey PRIMARY KEY (account, ends_at),
	CONSTRAINT "a period ends after it starts" CHECK (starts_at < ends_at),
	CONSTRAINT "a period adds up" CHECK (opening + created + promotions - demotions - deletions + adjusted = closing)
);
COMMENT ON TABLE mkt.period IS
'The periods of accounts up to their last update date, each closed once (B11). Written by mkt.run(); what is there cannot be changed. opening + created + promotions - demotions - deletions + adjusted = closing.';
COMMENT ON COLUMN mkt.period.account IS 'The account as text.';
COMMENT ON COLUMN mkt.period.starts_at IS 'Its first instant: the update date before, or the instant from which the account is known.';
COMMENT ON COLUMN mkt.period.ends_at IS 'The update date that ends it, or the instant at which the account was deleted. A change at this instant is of the next period (D5).';
COMMENT ON COLUMN mkt.period.starts_on IS 'Its first day, in the account''s time zone.';
COMMENT ON COLUMN mkt.period.ends_on IS 'The first day after it, in the account''s time zone.';
COMMENT ON COLUMN mkt.period.opening IS 'Billable contacts when it began: closing of the period before.';
COMMENT ON COLUMN mkt.period.created IS 'Contacts that were created as marketing, or came as such from another account.';
COMMENT ON COLUMN mkt.period.promotions IS 'Non-marketing contacts that became marketing.';
COMMENT ON COLUMN mkt.period.demotions IS 'Pending contacts that became non-marketing on the update date that ends it.';
COMMENT ON COLUMN mkt.period.deletions IS 'Marketing contacts that were deleted, or went to another account.';
COMMENT ON COLUMN mkt.period.adjusted IS 'What came or went otherwise, usually 0: with a table that was detached, or under a clock that was set back.';
COMMENT ON COLUMN mkt.period.closing IS 'Billable contacts when it ended: without those that became non-marketing then.';
COMMENT ON COLUMN mkt.period.highest IS 'The highest billable count from its start to its end.';
COMMENT ON COLUMN mkt.period.highest_at IS 'When that was reached first.';
COMMENT ON COLUMN mkt.period.edition IS 'The account''s edition at its end.';
COMMENT ON COLUMN mkt.period.tier IS 'The tier at its end; null: none.';
COMMENT ON COLUMN mkt.period.billed_edition IS 'The edition that its months are charged for: until the term ends the one before what mkt.tier_change has charged to its end (B5).';
COMMENT ON COLUMN mkt.period.billed_tier IS 'The tier of billed_edition that its months are charged for.';
COMMENT ON COLUMN mkt.period.currency IS 'The currency of price and charge.';
COMMENT ON COLUMN mkt.period.price IS 'What a month of tier cost on its last day; null where there was no price.';
COMMENT ON COLUMN mkt.period.charge IS 'What is to be paid for it: the sum of its lines in mkt.period_line. 0 in a sandbox (B9), null where there was no price.';
COMMENT ON COLUMN mkt.period.sandbox IS 'Whether the account was a sandbox at its end.';
COMMENT ON COLUMN mkt.period.note IS 'What is not known of it, and why.';
COMMENT ON COLUMN mkt.period.closed_at IS 'When it was closed.';
SELECT pg_catalog.pg_extension_config_dump('mkt.period', '');

CREATE TABLE mkt.period_line (
	account		text		NOT NULL,
	ends_at		timestamptz	NOT NULL,
	line		integer		NOT NULL,
	description	text		NOT NULL,
	quantity	numeric		NOT NULL,
	unit_price	numeric		NOT NULL,
	amount		numeric		NOT NULL,
	currency	text		NOT NULL,
	CONSTRAINT period_line_pkey PRIMARY KEY (account, ends_at, line),
	CONSTRAINT "a line is of a period" FOREIGN KEY (account, ends_at) REFERENCES mkt.period
);
COMMENT ON TABLE mkt.period_line IS 'The lines of which the charges of mkt.period are the sums (B6). Written by mkt.run(); what is there cannot be changed.';
COMMENT ON COLUMN mkt.period_line.account IS 'The account as text.';
COMMENT ON COLUMN mkt.period_line.ends_at IS 'The end of the period.';
COMMENT ON COLUMN mkt.period_line.line IS '1 and so on.';
COMMENT ON COLUMN mkt.period_line.description IS 'What it is for.';
COMMENT ON COLUMN mkt.period_line.quantity IS 'How much of it.';
COMMENT ON COLUMN mkt.period_line.unit_price IS 'What one costs, a month.';
COMMENT ON COLUMN mkt.period_line.amount IS 'What is charged: quantity times unit_price, for the part of a month that the description names; rounded once.';
COMMENT ON COLUMN mkt.period_line.currency IS 'The currency.';
SELECT pg_catalog.pg_extension_config_dump('mkt.period_line', '');

CREATE FUNCTION mkt.period_closed() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_period_closed';
REVOKE ALL ON FUNCTION mkt.period_closed() FROM PUBLIC;
COMMENT ON FUNCTION mkt.period_closed() IS 'Trigger function of mkt.period and mkt.period_line: refuses to change what is closed (B11).';

CREATE TRIGGER period_closed BEFORE UPDATE OR DELETE ON mkt.period FOR EACH ROW EXECUTE FUNCTION mkt.period_closed();
CREATE TRIGGER period_emptied BEFORE TRUNCATE ON mkt.period FOR EACH STATEMENT EXECUTE FUNCTION mkt.period_closed();
CREATE TRIGGER period_line_closed BEFORE UPDATE OR DELETE ON mkt.period_line FOR EACH ROW EXECUTE FUNCTION mkt.period_closed();
CREATE TRIGGER period_line_emptied BEFORE TRUNCATE ON mkt.period_line FOR EACH STATEMENT EXECUTE FUNCTION mkt.period_closed();

-- A period is closed by the settings of its time, however late. They are kept from the change until the period is closed.

CREATE TABLE mkt.past_account (
	account		text			NOT NULL,
	ended_at	timestamptz		NOT NULL,
	deleted		boolean			NOT NULL,
	created_at	timestamptz		NOT NULL,
	edition		text,
	commitment	mkt.commitment	NOT NULL,
	started_on	date,
	time_zone	text			NOT NULL,
	currency	text			NOT NULL,
	sandbox		boolean			NOT NULL,
	tier		bigint,
	tier_since	timestamptz,
	becomes		text,
	begins		boolean			NOT NULL DEFAULT false,
	CONSTRAINT past_account_pkey PRIMARY KEY (account, ended_at)
);
COMMENT ON TABLE mkt.past_account IS 'Rows of mkt.account as they were before a change in a period that is not closed yet. Written by mktcontacts.';
COMMENT ON COLUMN mkt.past_account.account IS 'The account.';
COMMENT ON COLUMN mkt.past_account.ended_at IS 'When it was changed.';
COMMENT ON COLUMN mkt.past_account.deleted IS 'Whether it was deleted then, or got another name.';
COMMENT ON COLUMN mkt.past_account.created_at IS 'As in mkt.account, until then.';
COMMENT ON COLUMN mkt.past_account.edition IS 'As in mkt.account, until then.';
COMMENT ON COLUMN mkt.past_account.commitment IS 'As in mkt.account, until then.';
COMMENT ON COLUMN mkt.past_account.started_on IS 'As in mkt.account, until then.';
COMMENT ON COLUMN mkt.past_account.time_zone IS 'As in mkt.account, until then.';
COMMENT ON COLUMN mkt.past_account.currency IS 'As in mkt.account, until then.';
COMMENT ON COLUMN mkt.past_account.sandbox IS 'As in mkt.account, until then.';
COMMENT ON COLUMN mkt.past_account.tier IS 'As in mkt.account_tier, just before; null: it had none.';
COMMENT ON COLUMN mkt.past_account.tier_since IS 'As since in mkt.account_tier, just before.';
COMMENT ON COLUMN mkt.past_account.becomes IS 'The name that it has now, if it got another one then.';
COMMENT ON COLUMN mkt.past_account.begins IS 'Whether an account got this name then: its periods before are those of the name that it had.';
SELECT pg_catalog.pg_extension_config_dump('mkt.past_account', '');

CREATE TABLE mkt.open_period (
	account		text		CONSTRAINT open_period_pkey PRIMARY KEY,
	starts_at	timestamptz	NOT NULL,
	ends_at		timestamptz	NOT NULL,
	problem		text
);
CREATE INDEX open_period_ends_at ON mkt.open_period (ends_at);
COMMENT ON TABLE mkt.open_period IS 'The first period of each account that is not closed, for mkt.run(). Its next call makes rows that are missing; a dump needs none.';
COMMENT ON COLUMN mkt.open_period.account IS 'The account.';
COMMENT ON COLUMN mkt.open_period.starts_at IS 'Its first instant.';
COMMENT ON COLUMN mkt.open_period.ends_at IS 'The update date that ends it, by the account''s settings; -infinity: the next mkt.run() finds out.';
COMMENT ON COLUMN mkt.open_period.problem IS 'Why the last mkt.run() could not close it; null: it did not try, or can.';

-- An account that gets another name ends its period under the old one and begins one under the new. Its tier and its term go on, and
-- so do their changes, which have the new name.

CREATE FUNCTION mkt.remember_account(before mkt.account, deleted boolean, becomes text DEFAULT NULL) RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	UPDATE mkt.past_account AS p
	SET becomes = remember_account.becomes
	WHERE remember_account.becomes IS NOT NULL AND p.becomes = before.account AND p.ended_at >= before.created_at;
	UPDATE mkt.tier_change AS c
	SET gone_at = mkt.now()
	WHERE deleted AND remember_account.becomes IS NULL AND c.account = before.account AND c.gone_at IS NULL;
	-- an account that had the name for no time
	DELETE FROM mkt.past_account AS p
	WHERE p.account = remember_account.becomes AND p.ended_at = mkt.now() AND p.created_at >= p.ended_at AND NOT p.begins;
	INSERT INTO mkt.past_account AS p (account, ended_at, deleted, created_at, edition, commitment, started_on, time_zone, currency, sandbox,
									   tier, tier_since, becomes, begins)
	SELECT n.account, mkt.now(), deleted AND NOT n.begins, before.created_at, before.edition, before.commitment, before.started_on, before.time_zone,
		before.currency, before.sandbox, t.tier, t.since, CASE WHEN NOT n.begins THEN remember_account.becomes END, n.begins
	FROM (VALUES (before.account, false), (remember_account.becomes, true)) AS n (account, begins)
	LEFT JOIN mkt.account_tier AS t ON t.account = before.account
	WHERE n.account IS NOT NULL
	ON CONFLICT ON CONSTRAINT past_account_pkey DO UPDATE
	SET deleted = EXCLUDED.deleted OR p.deleted AND NOT p.begins, becomes = coalesce(EXCLUDED.becomes, p.becomes);
	UPDATE mkt.open_period AS o SET ends_at = '-infinity' WHERE o.account IN (before.account, remember_account.becomes);
END;
REVOKE ALL ON FUNCTION mkt.remember_account(mkt.account, boolean, text) FROM PUBLIC;
COMMENT ON FUNCTION mkt.remember_account(mkt.account, boolean, text) IS
'Keeps the settings of an account for the periods that are not closed; of several changes at the same instant, those before the first. Arguments: the row as it was; whether its last period ends; the name that it gets, if that is another.';

CREATE FUNCTION mkt.account_remembered() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_account_remembered';
REVOKE ALL ON FUNCTION mkt.account_remembered() FROM PUBLIC;
COMMENT ON FUNCTION mkt.account_remembered() IS 'Trigger function of mkt.account: keeps the settings as they were.';

CREATE FUNCTION mkt.remember_renewal(was text, account text) RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	UPDATE mkt.past_account AS p
	SET tier = t.tier, tier_since = t.since
	FROM mkt.account_tier AS t
	WHERE t.account = remember_renewal.account AND p.account IN (remember_renewal.was, remember_renewal.account) AND p.ended_at = mkt.now();
END;
REVOKE ALL ON FUNCTION mkt.remember_renewal(text, text) FROM PUBLIC;
COMMENT ON FUNCTION mkt.remember_renewal(text, text) IS 'Gives the settings that an account had until now the tier of a renewal that was due before they changed. Arguments: its name then; and now.';

-- Before the change, because what it does to the tier comes after it, as does a renewal that was due.
CREATE TRIGGER was_changed BEFORE UPDATE ON mkt.account
FOR EACH ROW WHEN (OLD.account <> NEW.account OR OLD.edition IS DISTINCT FROM NEW.edition OR OLD.commitment <> NEW.commitment
				   OR OLD.started_on IS DISTINCT FROM NEW.started_on OR OLD.time_zone <> NEW.time_zone OR OLD.currency <> NEW.currency
				   OR OLD.sandbox <> NEW.sandbox OR OLD.created_at <> NEW.created_at)
EXECUTE FUNCTION mkt.account_remembered();
CREATE TRIGGER was_deleted BEFORE DELETE ON mkt.account
FOR EACH ROW EXECUTE FUNCTION mkt.account_remembered();

-- What is not closed yet, and what a term is billed by, has the price of the edition under the name that it has now.

CREATE FUNCTION mkt.rename_edition(was text, becomes text) RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	UPDATE mkt.past_account AS p SET edition = rename_edition.becomes WHERE p.edition = rename_edition.was;
	UPDATE mkt.tier_change AS c
	SET from_edition = CASE c.from_edition WHEN rename_edition.was THEN rename_edition.becomes ELSE c.from_edition END,
		edition = CASE c.edition WHEN rename_edition.was THEN rename_edition.becomes ELSE c.edition END
	WHERE rename_edition.was IN (c.from_edition, c.edition);
END;
REVOKE ALL ON FUNCTION mkt.rename_edition(text, text) FROM PUBLIC;
COMMENT ON FUNCTION mkt.rename_edition(text, text) IS 'Gives what is kept of accounts the new name of an edition. Arguments: the name that it had; the one that it has.';

CREATE FUNCTION mkt.edition_renamed() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_edition_renamed';
REVOKE ALL ON FUNCTION mkt.edition_renamed() FROM PUBLIC;
COMMENT ON FUNCTION mkt.edition_renamed() IS 'Trigger function of mkt.edition: what is kept of accounts has its new name.';

-- Its name sorts after those of the foreign keys' triggers, which rename the edition of the accounts themselves.
CREATE TRIGGER edition_renamed AFTER UPDATE OF edition ON mkt.edition
FOR EACH ROW WHEN (OLD.edition <> NEW.edition) EXECUTE FUNCTION mkt.edition_renamed();

-- Settings hold until they are changed. The end of a period is the next update date by those that hold at its start or,
-- where they are changed before, by the new ones after the change (D7); an account that is deleted ends its last period.

CREATE FUNCTION mkt.next_period(account text)
RETURNS TABLE (starts_at timestamptz, ends_at timestamptz, starts_on date, ends_on date, previous_closing bigint,
			   edition text, commitment mkt.commitment, started_on date, time_zone text, currency text, sandbox boolean, created_at timestamptz,
			   current_name text, gone tstzrange)
LANGUAGE SQL STABLE ROWS 1
BEGIN ATOMIC
	WITH RECURSIVE settings AS (
		SELECT p.ended_at, p.deleted, p.created_at, p.edition, p.commitment, p.started_on, p.time_zone, p.currency, p.sandbox
		FROM mkt.past_account AS p
		WHERE p.account = next_period.account AND NOT p.begins
		UNION ALL
		SELECT 'infinity', false, a.created_at, a.edition, a.commitment, a.started_on, a.time_zone, a.currency, a.sandbox
		FROM mkt.account AS a
		WHERE a.account = next_period.account
	), closed AS (
		SELECT p.ends_at, p.ends_on, p.closing
		FROM mkt.period AS p
		WHERE p.account = next_period.account
		ORDER BY p.ends_at DESC
		LIMIT 1
	), walk AS (
		SELECT f.starts_at, mkt.next_update(f.commitment, f.started_on, f.time_zone, f.starts_at) AS ends_at,
			f.ended_at, f.deleted, f.created_at, f.edition, f.commitment, f.started_on, f.time_zone, f.currency, f.sandbox
		FROM (
			SELECT s.*, b.starts_at
			FROM settings AS s
			CROSS JOIN LATERAL (
				SELECT greatest(s.created_at, (SELECT c.ends_at FROM closed AS c), max(p.ended_at)) AS starts_at
				FROM mkt.past_account AS p
				WHERE p.account = next_period.account AND p.begins AND p.ended_at <= s.ended_at
			) AS b
			WHERE s.ended_at > b.starts_at
			ORDER BY s.ended_at
			LIMIT 1
		) AS f
		UNION ALL
		SELECT w.starts_at, mkt.next_update(s.commitment, s.started_on, s.time_zone, w.ended_at),
			s.ended_at, s.deleted, s.created_at, s.edition, s.commitment, s.started_on, s.time_zone, s.currency, s.sandbox
		FROM walk AS w
		CROSS JOIN LATERAL (
			SELECT * FROM settings AS s WHERE s.ended_at > w.ended_at ORDER BY s.ended_at LIMIT 1
		) AS s
		WHERE w.ended_at < coalesce(w.ends_at, 'infinity') AND NOT w.deleted
	), last AS (
		SELECT w.*, CASE WHEN w.deleted THEN least(w.ends_at, w.ended_at) ELSE coalesce(w.ends_at, 'infinity') END AS ending
		FROM walk AS w
		ORDER BY w.ended_at DESC
		LIMIT 1
	)
	SELECT l.starts_at, l.ending, coalesce(c.ends_on, (l.starts_at AT TIME ZONE l.time_zone)::date), (l.ending AT TIME ZONE l.time_zone)::date,
		c.closing, l.edition, l.commitment, l.started_on, l.time_zone, l.currency, l.sandbox, l.created_at,
		coalesce(g.becomes, next_period.account),
		tstzrange(coalesce(g.ended_at, 'infinity'), CASE WHEN g.becomes IS NULL THEN coalesce(g.ended_at, 'infinity') ELSE 'infinity' END,
				  CASE WHEN g.becomes IS NULL THEN '[]' ELSE '(]' END)
	FROM last AS l
	LEFT JOIN closed AS c ON c.ends_at = l.starts_at
	LEFT JOIN LATERAL (
		SELECT p.becomes, p.ended_at
		FROM mkt.past_account AS p
		WHERE p.account = next_period.account AND p.deleted AND NOT p.begins AND p.ended_at >= l.ending
		ORDER BY p.ended_at
		LIMIT 1
	) AS g ON true
	WHERE l.ending < 'infinity';
END;
REVOKE ALL ON FUNCTION mkt.next_period(text) FROM PUBLIC;
COMMENT ON FUNCTION mkt.next_period(text) IS 'The first period of an account that is not closed, the settings at its end, the name that the account has now, and when it was or may have been deleted (infinity: it is there).';

-- A row of counts says how many contacts changed (at), until when they were marketing before and since. So a count at an instant is
-- what the rows made until then say of it, and it changes at the instants of rows, and where pending contacts expire. A sum holds
-- what was folded; of that, the rows of the history since the start are taken back, and come again at their own instants.
-- Contacts that are deleted and still count (T13) are deletions when they end.

CREATE FUNCTION mkt.count_period(account text, starts_at timestamptz, ends_at timestamptz, OUT opening bigint, OUT created bigint,
								 OUT promotions bigint, OUT demotions bigint, OUT deletions bigint, OUT closing bigint,
								 OUT highest bigint, OUT highest_at timestamptz)
LANGUAGE SQL STABLE
BEGIN ATOMIC
	WITH move AS (
		SELECT m.deleted, m.was, m.until, m.n, m.at, m.before, m.at >= starts_at AND m.at < ends_at AS inside
		FROM (
			SELECT c.deleted, c.was, c.until, c.n, coalesce(c.at, '-infinity') AS at, CASE WHEN c.at >= starts_at THEN 0 ELSE c.n END AS before
			FROM mkt.contact_count AS c
			WHERE c.account_name = count_period.account AND (c.at IS NULL OR c.at < ends_at)
			UNION ALL
			SELECT h.deleted, h.was, h.until, h.n, h.at, - h.n
			FROM mkt.contact_count_history AS h
			WHERE h.account_name = count_period.account AND h.at >= starts_at
		) AS m
	), total AS (
		SELECT coalesce(sum(m.before) FILTER (WHERE m.until > starts_at), 0) - coalesce(sum(m.before) FILTER (WHERE m.was > starts_at), 0) AS opening,
			coalesce(sum(m.n) FILTER (WHERE m.inside AND m.was IS NULL AND m.until > m.at AND m.n > 0 AND NOT m.deleted), 0) AS created,
			coalesce(sum(m.n) FILTER (WHERE m.inside AND m.was <= m.at AND m.until > m.at), 0) AS promotions,
			coalesce(sum(m.n) FILTER (WHERE m.inside AND m.was > m.at AND m.until <= m.at), 0) AS demotions,
			coalesce(sum(m.n) FILTER (WHERE m.inside AND m.was > m.at AND m.until IS NULL), 0)
			- coalesce(sum(m.n) FILTER (WHERE m.inside AND m.was IS NULL AND m.until > m.at AND (m.n < 0 OR m.deleted)), 0) AS deletions
		FROM move AS m
	), change AS (
		SELECT e.at, sum(e.n) AS n, sum(e.n) FILTER (WHERE e.expires AND NOT m.deleted) AS expired, sum(e.n) FILTER (WHERE e.expires AND m.deleted) AS gone
		FROM move AS m
		CROSS JOIN LATERAL (VALUES
			(m.at, false, CASE WHEN m.inside THEN m.n * (coalesce(m.until > m.at, false)::integer - coalesce(m.was > m.at, false)::integer) END),
			(m.until, true, - CASE WHEN m.inside AND m.until > m.at THEN m.before + m.n ELSE m.before END),
			(m.was, true, CASE WHEN m.inside AND m.was > m.at THEN m.before + m.n ELSE m.before END)
		) AS e (at, expires, n)
		WHERE CASE WHEN e.expires THEN e.at > starts_at AND e.at <= ends_at ELSE e.n <> 0 END
		GROUP BY e.at
	), running AS (
		SELECT c.at, t.opening + sum(c.n) OVER (ORDER BY c.at) AS n
		FROM change AS c CROSS JOIN total AS t
		WHERE c.at < ends_at
		UNION ALL
		SELECT starts_at, t.opening
		FROM total AS t
	), top AS (
		SELECT r.n, r.at FROM running AS r ORDER BY r.n DESC, r.at LIMIT 1
	), ending AS (
		SELECT coalesce(sum(c.n), 0) AS n, coalesce(sum(c.expired), 0) AS expired, coalesce(sum(c.gone), 0) AS gone FROM change AS c
	)
	SELECT t.opening::bigint, t.created::bigint, t.promotions::bigint, (t.demotions - e.expired)::bigint, (t.deletions - e.gone)::bigint,
		(t.opening + e.n)::bigint, top.n::bigint, top.at
	FROM total AS t CROSS JOIN ending AS e CROSS JOIN top;
END;
REVOKE ALL ON FUNCTION mkt.count_period(text, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION mkt.count_period(text, timestamptz, timestamptz) IS
'The billable counts of an account from an instant to another, as the rows of counts tell; opening without what happened at the first instant, closing without what did at the second.';

CREATE FUNCTION mkt.unknown_counts(account text, starts_at timestamptz, ends_at timestamptz,
								   OUT at_start boolean, OUT inside boolean, OUT at_end boolean, OUT note text)
LANGUAGE SQL STABLE
BEGIN ATOMIC
	SELECT coalesce(bool_or(t.since > starts_at AND t.attached_at < starts_at), false),
		coalesce(bool_or(t.since > greatest(starts_at, t.attached_at)), false),
		coalesce(bool_or(t.since > ends_at), false),
		string_agg(CASE WHEN t.since = 'infinity' THEN format('%s keeps no history', t.contacts)
						ELSE format('the history of %s begins at %s', t.contacts, to_char(t.since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS UTC')) END,
				   '; ' ORDER BY t.contacts::text) FILTER (WHERE t.since > greatest(starts_at, t.attached_at))
	FROM (
		SELECT a.contacts, coalesce(a.history_since, 'infinity') AS since, coalesce(a.attached_at, '-infinity') AS attached_at
		FROM mkt.attachment AS a
		WHERE coalesce(a.account, unknown_counts.account) = unknown_counts.account
	) AS t
	WHERE t.attached_at < ends_at;
END;
REVOKE ALL ON FUNCTION mkt.unknown_counts(text, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION mkt.unknown_counts(text, timestamptz, timestamptz) IS
'Which counts of a period are not known, because a table''s history does not reach so far back: at its start, inside, at its end; and why.';

-- The tier just before an instant is the one that the first change since then was from. mkt.tier_change says it of all but the first
-- tier that an account gets, which comes with its settings. Whoever was in flight then may have exceeded it after that change. What
-- changed in mid-term has been charged to the end of the term (B5), or gives nothing back: until then what was before is billed.

CREATE FUNCTION mkt.tier_of_period(account text, current_name text, gone tstzrange, edition text, created_at timestamptz, starts_on date, ends_at timestamptz,
								   OUT tier bigint, OUT billed_edition text, OUT billed_tier bigint)
LANGUAGE SQL STABLE
BEGIN ATOMIC
	WITH later AS (
		SELECT p.ended_at, p.tier, p.tier_since
		FROM mkt.past_account AS p
		WHERE p.account = tier_of_period.account AND p.ended_at >= tier_of_period.ends_at
		UNION ALL
		SELECT 'infinity', t.tier, t.since
		FROM mkt.account_tier AS t
		WHERE t.account = tier_of_period.account
		ORDER BY 1
		LIMIT 1
	), ending AS (
		SELECT coalesce(c.from_tier, CASE WHEN l.tier_since < tier_of_period.ends_at THEN l.tier END) AS tier
		FROM later AS l
		LEFT JOIN LATERAL (
			SELECT greatest(c.from_tier, (SELECT max(x.to_tier) FROM mkt.tier_change AS x
										  WHERE x.account = c.account AND x.gone_at IS NOT DISTINCT FROM c.gone_at AND x.at < tier_of_period.ends_at
										    AND x.change > c.change)) AS from_tier
			FROM mkt.tier_change AS c
			WHERE c.account = tier_of_period.current_name AND c.at >= tier_of_period.ends_at
			  AND coalesce(c.gone_at, 'infinity') <@ tier_of_period.gone
			  AND (c.at < l.ended_at OR c.at = l.ended_at AND c.reason = 'renewed')
			ORDER BY c.change
			LIMIT 1
		) AS c ON true
	), of_term AS (
		SELECT c.at, c.change, c.from_edition, c.from_tier, c.from_price, c.charge
		FROM mkt.changes_of_term(tier_of_period.current_name, tier_of_period.created_at, tier_of_period.starts_on, tier_of_period.ends_at,
								  tier_of_period.gone) AS c
	)
	SELECT e.tier, coalesce(b.from_edition, tier_of_period.edition), coalesce(b.from_tier, e.tier)
	FROM ending AS e
	LEFT JOIN (
		SELECT c.from_edition, c.from_tier
		FROM of_term AS c
		WHERE c.from_price IS NOT NULL AND EXISTS (SELECT FROM of_term WHERE charge IS NOT NULL)
		ORDER BY c.at, c.change
		LIMIT 1
	) AS b ON true
	WHERE tier_of_period.edition IS NOT NULL;
END;
REVOKE ALL ON FUNCTION mkt.tier_of_period(text, text, tstzrange, text, timestamptz, date, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION mkt.tier_of_period(text, text, tstzrange, text, timestamptz, date, timestamptz) IS
'The tier of an account just before an instant, and the edition and tier that its period is billed for. Nulls without an edition.';

CREATE FUNCTION mkt.part_of_month(commitment mkt.commitment, started_on date, time_zone text, starts_on date, ends_on date, ends_at timestamptz,
								  OUT days integer, OUT of_days integer)
LANGUAGE SQL STABLE
BEGIN ATOMIC
	SELECT greatest(part_of_month.ends_on - greatest(part_of_month.starts_on, part_of_month.started_on), 0),
		CASE part_of_month.commitment
			WHEN 'monthly' THEN t.ends_on - t.starts_on
			ELSE (date_trunc('month', (part_of_month.ends_on - 1)::timestamp) + interval '1 month')::date
				 - date_trunc('month', (part_of_month.ends_on - 1)::timestamp)::date END
	FROM mkt.term(part_of_month.commitment, part_of_month.started_on, part_of_month.time_zone,
				  part_of_month.ends_at - interval '1 microsecond') AS t;
END;
REVOKE ALL ON FUNCTION mkt.part_of_month(mkt.commitment, date, text, date, date, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION mkt.part_of_month(mkt.commitment, date, text, date, date, timestamptz) IS
'The days of a period, from the start of the commitment on, and those of the month in which it ends: the calendar''s, or from one renewal day to the next.';

CREATE FUNCTION mkt.period_charges(current_name text, gone tstzrange, starts_at timestamptz, ends_at timestamptz, time_zone text, billed_edition text, billed_tier bigint,
								   currency text, sandbox boolean, days integer, of_days integer)
RETURNS TABLE (line integer, description text, quantity numeric, unit_price numeric, amount numeric)
LANGUAGE SQL STABLE ROWS 4
BEGIN ATOMIC
	WITH month AS (
		SELECT d.day, c.decimals
		FROM (SELECT ((ends_at - interval '1 microsecond') AT TIME ZONE time_zone)::date AS day) AS d
		JOIN mkt.currency AS c ON c.currency = period_charges.currency AND d.day >= c.valid_from AND d.day < coalesce(c.valid_to, 'infinity')
		WHERE mkt.price_on(billed_edition, billed_tier, period_charges.currency, d.day) IS NOT NULL AND NOT sandbox
	)
	SELECT (row_number() OVER (ORDER BY l.part, l.at, l.line))::integer, l.description, l.quantity, l.unit_price, l.amount
	FROM (
		SELECT 1 AS part, NULL::timestamptz AS at, q.line,
			format('%s, %s', billed_edition, q.description) || CASE WHEN days <> of_days THEN format(', %s of %s days', days, of_days) ELSE '' END AS description,
			q.quantity::numeric AS quantity, q.unit_price,
			round(q.quantity * q.unit_price * days / of_days, m.decimals) AS amount
		FROM month AS m
		CROSS JOIN LATERAL mkt.quote(billed_edition, billed_tier, period_charges.currency, m.day::timestamptz) AS q
		UNION ALL
		SELECT 2, c.at, c.to_tier,
			format('%s, tier %s instead of %s from %s, %s of %s days of the term', c.edition, c.to_tier,
				   CASE WHEN c.from_edition <> c.edition THEN c.from_edition || ', tier ' ELSE '' END || c.from_tier,
				   to_char(c.at AT TIME ZONE time_zone, 'YYYY-MM-DD'), c.days_left, c.days_of_term),
			1, c.charge, c.charge
		FROM mkt.tier_change AS c
		WHERE c.account = period_charges.current_name
		  AND coalesce(c.gone_at, 'infinity') <@ period_charges.gone AND c.at >= starts_at AND c.at < ends_at AND c.currency = period_charges.currency
		  AND c.charge <> 0 AND NOT sandbox
		UNION ALL
		SELECT 3, NULL, 1, format('%s, sandbox: nothing is billed', billed_edition), 1, 0, 0
		WHERE sandbox AND billed_edition IS NOT NULL
	) AS l;
END;
REVOKE ALL ON FUNCTION mkt.period_charges(text, tstzrange, timestamptz, timestamptz, text, text, bigint, text, boolean, integer, integer) FROM PUBLIC;
COMMENT ON FUNCTION mkt.period_charges(text, tstzrange, timestamptz, timestamptz, text, text, bigint, text, boolean, integer, integer) IS
'What is charged for a period, line by line: the billed tier for its part of a month, and what its tier''s changes cost (B5, B6, B9).';

CREATE FUNCTION mkt.undated_periods() RETURNS text[]
LANGUAGE SQL
BEGIN ATOMIC
	DELETE FROM mkt.past_account AS p
	WHERE p.ended_at <= greatest(p.created_at, (SELECT max(c.ends_at) FROM mkt.period AS c WHERE c.account = p.account)) OR p.begins AND p.deleted;
	SELECT array_agg(a.account)
	FROM (
		(SELECT account FROM mkt.account
		 UNION
		 SELECT account FROM mkt.past_account WHERE deleted
		 EXCEPT
		 SELECT account FROM mkt.open_period)
		UNION ALL
		SELECT account FROM mkt.open_period WHERE ends_at = '-infinity' AND problem IS NULL
	) AS a;
END;
REVOKE ALL ON FUNCTION mkt.undated_periods() FROM PUBLIC;
COMMENT ON FUNCTION mkt.undated_periods() IS 'Accounts of which nobody has looked yet when their open period ends.';

CREATE FUNCTION mkt.date_periods(accounts text[]) RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	DELETE FROM mkt.open_period AS o WHERE o.account = ANY (date_periods.accounts);
	INSERT INTO mkt.open_period (account, starts_at, ends_at)
	SELECT a.account, n.starts_at, n.ends_at
	FROM unnest(date_periods.accounts) AS a (account)
	CROSS JOIN LATERAL mkt.next_period(a.account) AS n;
END;
REVOKE ALL ON FUNCTION mkt.date_periods(text[]) FROM PUBLIC;
COMMENT ON FUNCTION mkt.date_periods(text[]) IS 'Writes down when the open periods of accounts end.';

CREATE FUNCTION mkt.due_periods(settled timestamptz, most integer) RETURNS text[]
LANGUAGE SQL STABLE
BEGIN ATOMIC
	SELECT array_agg(d.account)
	FROM (
		SELECT o.account
		FROM mkt.open_period AS o
		WHERE o.ends_at > '-infinity' AND o.ends_at <= settled AND o.problem IS NULL
		ORDER BY o.ends_at, o.account
		LIMIT most
	) AS d;
END;
REVOKE ALL ON FUNCTION mkt.due_periods(timestamptz, integer) FROM PUBLIC;
COMMENT ON FUNCTION mkt.due_periods(timestamptz, integer) IS 'So many accounts of those whose open period ended by an instant.';

CREATE FUNCTION mkt.forget_problems() RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	UPDATE mkt.open_period SET problem = NULL WHERE problem IS NOT NULL;
END;
REVOKE ALL ON FUNCTION mkt.forget_problems() FROM PUBLIC;
COMMENT ON FUNCTION mkt.forget_problems() IS 'Lets a call of mkt.run() try again what failed in the one before.';

CREATE FUNCTION mkt.note_problem(account text, problem text) RETURNS text
LANGUAGE SQL
BEGIN ATOMIC
	INSERT INTO mkt.open_period AS o (account, starts_at, ends_at, problem)
	VALUES (note_problem.account, '-infinity', '-infinity', note_problem.problem)
	ON CONFLICT ON CONSTRAINT open_period_pkey DO UPDATE SET problem = EXCLUDED.problem
	RETURNING o.account;
END;
REVOKE ALL ON FUNCTION mkt.note_problem(text, text) FROM PUBLIC;
COMMENT ON FUNCTION mkt.note_problem(text, text) IS 'Writes down why a period of an account could not be closed. Returns the account.';

CREATE FUNCTION mkt.close_periods(accounts text[], settled timestamptz) RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	WITH due AS MATERIALIZED (
		SELECT k.account, n.*, t.tier, t.billed_edition, t.billed_tier, m.days, m.of_days,
			((n.ends_at - interval '1 microsecond') AT TIME ZONE n.time_zone)::date AS last_day
		FROM unnest(close_periods.accounts) AS k (account)
		CROSS JOIN LATERAL mkt.next_period(k.account) AS n
		LEFT JOIN LATERAL mkt.tier_of_period(k.account, n.current_name, n.gone, n.edition, n.created_at, n.starts_on, n.ends_at) AS t ON true
		CROSS JOIN LATERAL mkt.part_of_month(n.commitment, n.started_on, n.time_zone, n.starts_on, n.ends_on, n.ends_at) AS m
		WHERE n.ends_at <= settled
	), line AS MATERIALIZED (
		SELECT d.account, d.ends_at, d.currency, l.line, l.description, l.quantity, l.unit_price, l.amount
		FROM due AS d
		CROSS JOIN LATERAL mkt.period_charges(d.current_name, d.gone, d.starts_at, d.ends_at, d.time_zone, d.billed_edition, d.billed_tier, d.currency,
											  d.sandbox, d.days, d.of_days) AS l
	), priced AS (
		SELECT d.*, mkt.price_on(d.edition, d.tier, d.currency, d.last_day) AS price,
			mkt.price_on(d.billed_edition, d.billed_tier, d.currency, d.last_day) AS billed_price,
			(SELECT sum(l.amount) FROM line AS l WHERE l.account = d.account) AS charge,
			(SELECT string_agg(format('%s %s for tier %s are not in charge', c.charge, c.currency, c.to_tier), '; ' ORDER BY c.at)
			 FROM mkt.tier_change AS c
			 WHERE c.account = d.current_name AND coalesce(c.gone_at, 'infinity') <@ d.gone AND c.at >= d.starts_at AND c.at < d.ends_at AND c.currency <> d.currency AND c.charge <> 0) AS other
		FROM due AS d
	), closed AS (
		INSERT INTO mkt.period (account, starts_at, ends_at, starts_on, ends_on, opening, created, promotions, demotions, deletions, adjusted, closing,
								highest, highest_at, edition, tier, billed_edition, billed_tier, currency, price, charge, sandbox, note, closed_at)
		SELECT p.account, p.starts_at, p.ends_at, p.starts_on, p.ends_on, o.opening, k.created, k.promotions, k.demotions, k.deletions,
			k.opening - o.opening, CASE WHEN NOT u.at_end THEN c.closing END, greatest(k.highest, CASE WHEN NOT u.inside THEN o.opening END),
			CASE WHEN o.opening > k.highest THEN p.starts_at ELSE k.highest_at END,
			p.edition, p.tier, p.billed_edition, p.billed_tier, CASE WHEN p.edition IS NOT NULL THEN p.currency END, p.price, p.charge, p.sandbox,
			nullif(concat_ws('; ', u.note,
							 CASE WHEN p.tier IS NULL AND p.edition IS NOT NULL THEN format('no tier of %s', p.edition)
								  WHEN p.tier IS NOT NULL AND p.price IS NULL THEN format('no price of %s in %s', p.edition, p.currency)
								  WHEN p.tier IS NOT NULL AND p.billed_price IS NULL THEN format('no price of %s in %s', p.billed_edition, p.currency) END,
							 CASE WHEN NOT p.sandbox THEN p.other END), ''),
			mkt.now()
		FROM priced AS p
		CROSS JOIN LATERAL mkt.unknown_counts(p.account, p.starts_at, p.ends_at) AS u
		CROSS JOIN LATERAL mkt.count_period(p.account, p.starts_at, p.ends_at) AS c
		CROSS JOIN LATERAL (SELECT coalesce(p.previous_closing, CASE WHEN NOT u.at_start THEN c.opening END) AS opening) AS o
		LEFT JOIN LATERAL (SELECT c.*) AS k ON NOT u.inside
		RETURNING account, ends_at
	), lined AS (
		INSERT INTO mkt.period_line (account, ends_at, line, description, quantity, unit_price, amount, currency)
		SELECT l.account, l.ends_at, l.line, l.description, l.quantity, l.unit_price, l.amount, l.currency FROM line AS l
	)
	UPDATE mkt.open_period AS o
	SET starts_at = coalesce(c.ends_at, o.starts_at), ends_at = '-infinity'
	FROM unnest(close_periods.accounts) AS k (account)
	LEFT JOIN closed AS c ON c.account = k.account
	WHERE o.account = k.account;
END;
REVOKE ALL ON FUNCTION mkt.close_periods(text[], timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION mkt.close_periods(text[], timestamptz) IS
'Closes the open periods of accounts, where they ended by an instant before which nothing can happen any more (B11). mkt.run() calls it until there are none.';

-- Invoices.

CREATE FUNCTION mkt.refuse_invoice(account text, period_end timestamptz, known boolean) RETURNS integer
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_refuse_invoice';
REVOKE ALL ON FUNCTION mkt.refuse_invoice(text, timestamptz, boolean) FROM PUBLIC;
COMMENT ON FUNCTION mkt.refuse_invoice(text, timestamptz, boolean) IS 'Raises the error of mkt.invoice(). Arguments: what was asked; whether the account has any period.';

CREATE FUNCTION mkt.invoice(account text, period_end timestamptz DEFAULT NULL)
RETURNS TABLE (line integer, description text, quantity numeric, unit_price numeric, amount numeric, currency text, draft boolean)
LANGUAGE SQL STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp ROWS 4
BEGIN ATOMIC
	WITH period AS (
		SELECT p.starts_at, p.ends_at, p.ends_on, false AS draft FROM mkt.period AS p WHERE p.account = invoice.account
		UNION ALL
		SELECT n.starts_at, n.ends_at, n.ends_on, true FROM mkt.next_period(invoice.account) AS n
	), asked AS (
		SELECT p.ends_at, p.draft
		FROM period AS p
		WHERE CASE WHEN invoice.period_end IS NULL THEN p.draft
				   ELSE p.ends_at = invoice.period_end
						OR p.ends_on = invoice.period_end::date AND invoice.period_end = invoice.period_end::date
						OR p.starts_at <= invoice.period_end AND p.ends_at > invoice.period_end END
		ORDER BY p.ends_at = invoice.period_end DESC, p.ends_on = invoice.period_end::date DESC, p.ends_at
		LIMIT 1
	)
	SELECT l.line, l.description, l.quantity, l.unit_price, l.amount, l.currency, false
	FROM asked AS a
	JOIN mkt.period_line AS l ON l.account = invoice.account AND l.ends_at = a.ends_at
	WHERE NOT a.draft
	UNION ALL
	SELECT l.line, l.description, l.quantity, l.unit_price, l.amount, n.currency, true
	FROM asked AS a
	CROSS JOIN LATERAL mkt.next_period(invoice.account) AS n
	LEFT JOIN LATERAL mkt.tier_of_period(invoice.account, n.current_name, n.gone, n.edition, n.created_at, n.starts_on, n.ends_at) AS t ON true
	CROSS JOIN LATERAL mkt.part_of_month(n.commitment, n.started_on, n.time_zone, n.starts_on, n.ends_on, n.ends_at) AS m
	CROSS JOIN LATERAL mkt.period_charges(n.current_name, n.gone, n.starts_at, n.ends_at, n.time_zone, t.billed_edition, t.billed_tier, n.currency,
										  n.sandbox, m.days, m.of_days) AS l
	WHERE a.draft
	UNION ALL
	SELECT mkt.refuse_invoice(invoice.account, invoice.period_end, EXISTS (SELECT FROM period)), NULL, NULL, NULL, NULL, NULL, NULL
	WHERE NOT EXISTS (SELECT FROM asked)
	ORDER BY 1;
END;
REVOKE ALL ON FUNCTION mkt.invoice(text, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION mkt.invoice(text, timestamptz) IS
'What is charged for a period of an account, line by line; the amounts add up to charge in mkt.period (B5, B6). Arguments: account; period_end: the end of the period, or midnight of that day in the session''s time zone, or any instant in it; by default the open period, of which this is a draft. Error: P0002 where there is no such period.';

CREATE FUNCTION mkt.invoice(account bigint, period_end timestamptz DEFAULT NULL)
RETURNS TABLE (line integer, description text, quantity numeric, unit_price numeric, amount numeric, currency text, draft boolean)
LANGUAGE SQL STABLE ROWS 4
BEGIN ATOMIC
	SELECT * FROM mkt.invoice($1::text, $2);
END;
COMMENT ON FUNCTION mkt.invoice(bigint, timestamptz) IS 'The same for an account that is a number; for whoever may ask for one that is a text.';

CREATE FUNCTION mkt.invoice(account uuid, period_end timestamptz DEFAULT NULL)
RETURNS TABLE (line integer, description text, quantity numeric, unit_price numeric, amount numeric, currency text, draft boolean)
LANGUAGE SQL STABLE ROWS 4
BEGIN ATOMIC
	SELECT * FROM mkt.invoice($1::text, $2);
END;
COMMENT ON FUNCTION mkt.invoice(uuid, timestamptz) IS 'The same for an account that is a uuid; for whoever may ask for one that is a text.';
