-- Reports.  Nothing else reads them.

-- The tier is the one that the account pays for, or what its own transaction makes of it; the price is that of the tier.

CREATE VIEW mkt.usage AS
SELECT u.account, u.edition, u.billable, u.non_marketing, u.pending, u.deleted, u.total,
	mkt.next_update(u.account) AS next_update,
	u.billable_after_update,
	u.tier,
	round(100.0 * u.billable / nullif(u.tier, 0), 1) AS tier_used,
	u.price,
	u.currency,
	u.maximum,
	mkt.next_renewal(u.account) AS next_renewal,
	d.drift
FROM (
	SELECT b.account, b.edition, b.billable, b.non_marketing, b.pending, b.deleted, b.total, b.billable_after_update, b.tier, b.currency, b.maximum,
		sum(round(mkt.line_quantity(t.mode, t.from_increment, t.to_increment, mkt.tier_increments(t.included, t.increment, b.tier)) * t.unit_price,
				  t.decimals)) AS price
	FROM (
		SELECT c.account, a.edition, c.billable,
			CASE WHEN n.counted THEN c.non_marketing END AS non_marketing,
			c.pending, c.deleted,
			CASE WHEN n.counted THEN c.billable - c.deleted + c.non_marketing END AS total,
			c.billable_after_update,
			CASE WHEN i.edition IS NOT NULL
				THEN CASE WHEN c.billable <= s.tier THEN s.tier ELSE mkt.tier_limit(i.included, i.increment, c.billable) END END AS tier,
			a.currency, a.today, a.maximum
		FROM (
			SELECT n.account,
				(coalesce(sum(n.n) FILTER (WHERE n.until > mkt.now()), 0)
				 - coalesce(sum(n.n) FILTER (WHERE n.was > mkt.now()), 0))::bigint AS billable,
				(coalesce(sum(n.n) FILTER (WHERE NOT n.deleted AND n.until <= mkt.now()), 0)
				 - coalesce(sum(n.n) FILTER (WHERE NOT n.deleted AND n.was <= mkt.now()), 0))::bigint AS non_marketing,
				(coalesce(sum(n.n) FILTER (WHERE NOT n.deleted AND n.until > mkt.now() AND n.until < 'infinity'), 0)
				 - coalesce(sum(n.n) FILTER (WHERE NOT n.deleted AND n.was > mkt.now() AND n.was < 'infinity'), 0))::bigint AS pending,
				(coalesce(sum(n.n) FILTER (WHERE n.deleted AND n.until > mkt.now()), 0)
				 - coalesce(sum(n.n) FILTER (WHERE n.deleted AND n.was > mkt.now()), 0))::bigint AS deleted,
				(coalesce(sum(n.n) FILTER (WHERE n.until = 'infinity' OR n.until > mkt.now() AND n.until > mkt.next_update(n.account)), 0)
				 - coalesce(sum(n.n) FILTER (WHERE n.was = 'infinity' OR n.was > mkt.now() AND n.was > mkt.next_update(n.account)), 0))::bigint
				AS billable_after_update
			FROM (
				SELECT account_name AS account, deleted, was, until, n FROM mkt.contact_count
				UNION ALL
				SELECT account_name, deleted, was, until, n FROM mkt.unposted()
				UNION ALL
				SELECT account, false, NULL, NULL, 0 FROM mkt.account
			) AS n
			GROUP BY n.account
		) AS c
		LEFT JOIN (SELECT account, edition, currency, maximum, (mkt.now() AT TIME ZONE time_zone)::date AS today FROM mkt.account) AS a
			ON a.account = c.account
		LEFT JOIN mkt.account_tier AS s ON s.account = c.account
		LEFT JOIN mkt.increment AS i ON i.edition = a.edition AND a.today >= i.valid_from AND a.today < coalesce(i.valid_to, 'infinity')
		CROSS JOIN (SELECT coalesce(bool_and(counted), true) AS counted FROM mkt.attachment) AS n
		WHERE c.billable <> 0 OR c.non_marketing <> 0 OR a.account IS NOT NULL
	) AS b
	LEFT JOIN mkt.tariff AS t ON t.edition = b.edition AND t.currency = b.currency
		AND b.today >= t.valid_from AND b.today < coalesce(t.valid_to, 'infinity')
	GROUP BY b.account, b.edition, b.billable, b.non_marketing, b.pending, b.deleted, b.total, b.billable_after_update, b.tier, b.currency, b.maximum
) AS u
LEFT JOIN (SELECT account, sum(counted - actual)::bigint AS drift FROM mkt.drift WHERE marketing_until > mkt.now() GROUP BY account) AS d
	ON d.account = u.account;
COMMENT ON VIEW mkt.usage IS 'Each account now, over all attached tables (P1).';
COMMENT ON COLUMN mkt.usage.account IS 'The account; null: contacts without one.';
COMMENT ON COLUMN mkt.usage.edition IS 'What the account has bought.';
COMMENT ON COLUMN mkt.usage.billable IS 'Marketing contacts, pending ones and deleted ones that still count included.';
COMMENT ON COLUMN mkt.usage.non_marketing IS 'Non-marketing contacts; null until mkt.run() has counted a table that was just attached.';
COMMENT ON COLUMN mkt.usage.pending IS 'Marketing contacts that become non-marketing on an update date.';
COMMENT ON COLUMN mkt.usage.deleted IS 'Deleted contacts that count until the next update date (T13).';
COMMENT ON COLUMN mkt.usage.total IS 'All contacts; null as non_marketing.';
COMMENT ON COLUMN mkt.usage.next_update IS 'The next update date.';
COMMENT ON COLUMN mkt.usage.billable_after_update IS 'Billable contacts from the next update date on, if nothing else changes.';
COMMENT ON COLUMN mkt.usage.tier IS 'The tier that the account pays for (B2, B3); null without an edition, or where mkt.increment has no row for today.';
COMMENT ON COLUMN mkt.usage.tier_used IS 'Per cent of the tier that are billable.';
COMMENT ON COLUMN mkt.usage.price IS 'What the tier costs a month; null where mkt.tariff has no row for edition, currency and today in the account''s time zone.';
COMMENT ON COLUMN mkt.usage.currency IS 'The currency of price; null for an account without a row in mkt.account.';
COMMENT ON COLUMN mkt.usage.maximum IS 'The account''s maximum of marketing contacts (B8); null: none.';
COMMENT ON COLUMN mkt.usage.next_renewal IS 'The next renewal date; null for an account without started_on.';
COMMENT ON COLUMN mkt.usage.drift IS 'By how much billable is known to be wrong, until mkt.repair() is called: see mkt.drift. Null: by nothing.';
