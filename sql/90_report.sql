-- Reports.  Nothing else reads them.

CREATE VIEW mkt.usage AS
SELECT c.account, a.edition,
	c.billable,
	CASE WHEN t.counted THEN c.non_marketing END AS non_marketing,
	c.pending,
	CASE WHEN t.counted THEN c.billable + c.non_marketing END AS total,
	mkt.next_update(c.account) AS next_update,
	c.billable_after_update
FROM (
	SELECT n.account,
		(coalesce(sum(n.n) FILTER (WHERE n.until > mkt.now()), 0)
		 - coalesce(sum(n.n) FILTER (WHERE n.was > mkt.now()), 0))::bigint AS billable,
		(coalesce(sum(n.n) FILTER (WHERE n.until <= mkt.now()), 0)
		 - coalesce(sum(n.n) FILTER (WHERE n.was <= mkt.now()), 0))::bigint AS non_marketing,
		(coalesce(sum(n.n) FILTER (WHERE n.until > mkt.now() AND n.until < 'infinity'), 0)
		 - coalesce(sum(n.n) FILTER (WHERE n.was > mkt.now() AND n.was < 'infinity'), 0))::bigint AS pending,
		(coalesce(sum(n.n) FILTER (WHERE n.until = 'infinity' OR n.until > mkt.now() AND n.until > mkt.next_update(n.account)), 0)
		 - coalesce(sum(n.n) FILTER (WHERE n.was = 'infinity' OR n.was > mkt.now() AND n.was > mkt.next_update(n.account)), 0))::bigint
		AS billable_after_update
	FROM (
		SELECT account_name AS account, was, until, n FROM mkt.contact_count
		UNION ALL
		SELECT account_name, was, until, n FROM mkt.unposted()
		UNION ALL
		SELECT account, NULL, NULL, 0 FROM mkt.account
	) AS n
	GROUP BY n.account
) AS c
LEFT JOIN mkt.account AS a ON a.account = c.account
CROSS JOIN (SELECT coalesce(bool_and(counted), true) AS counted FROM mkt.attachment) AS t
WHERE c.billable <> 0 OR c.non_marketing <> 0 OR a.account IS NOT NULL;
COMMENT ON VIEW mkt.usage IS 'Each account now, over all attached tables (P1).';
COMMENT ON COLUMN mkt.usage.account IS 'The account; null: contacts without one.';
COMMENT ON COLUMN mkt.usage.edition IS 'What the account has bought.';
COMMENT ON COLUMN mkt.usage.billable IS 'Marketing contacts, pending ones included.';
COMMENT ON COLUMN mkt.usage.non_marketing IS 'Non-marketing contacts; null until mkt.run() has counted a table that was just attached.';
COMMENT ON COLUMN mkt.usage.pending IS 'Marketing contacts that become non-marketing on an update date.';
COMMENT ON COLUMN mkt.usage.total IS 'All contacts; null as non_marketing.';
COMMENT ON COLUMN mkt.usage.next_update IS 'The next update date.';
COMMENT ON COLUMN mkt.usage.billable_after_update IS 'Billable contacts from the next update date on, if nothing else changes.';
