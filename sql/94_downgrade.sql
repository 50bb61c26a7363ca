-- Lower tiers that accounts ask for (downgrade.c).

CREATE FUNCTION mkt.downgrade_terms(account text, asked bigint, OUT edition text, OUT tier bigint, OUT renews_at timestamptz, OUT renews_on text,
									OUT request_by text, OUT too_late boolean, OUT fitting bigint, OUT lower bigint, OUT known boolean)
LANGUAGE SQL STABLE
BEGIN ATOMIC
	SELECT a.edition, t.tier, r.renews_at, to_char(r.renews_on, 'YYYY-MM-DD'), to_char(r.request_by, 'FMDay YYYY-MM-DD'),
		(mkt.now() AT TIME ZONE a.time_zone)::date > r.request_by,
		f.tier, CASE WHEN f.tier > i.included THEN f.tier - i.increment END, true
	FROM mkt.account AS a
	LEFT JOIN mkt.account_tier AS t ON t.account = a.account
	CROSS JOIN LATERAL (
		SELECT n.renews_at, (n.renews_at AT TIME ZONE a.time_zone)::date AS renews_on, mkt.downgrade_deadline(a.account) AS request_by
		FROM mkt.next_renewal(a.account) AS n (renews_at)
	) AS r
	LEFT JOIN mkt.increment AS i ON i.edition = a.edition AND r.renews_on >= i.valid_from AND r.renews_on < coalesce(i.valid_to, 'infinity')
	CROSS JOIN LATERAL (SELECT mkt.tier_limit(i.included, i.increment, least(downgrade_terms.asked, t.tier)) AS tier) AS f
	WHERE a.account = downgrade_terms.account;
END;
REVOKE ALL ON FUNCTION mkt.downgrade_terms(text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION mkt.downgrade_terms(text, bigint) IS
'What mkt.request_downgrade() goes by: the account''s edition and tier, its renewal date, the last day to ask, whether that is over, the smallest tier from then on that covers what is asked for, and the one below that. Nulls for an account that mkt.account does not have.';

CREATE FUNCTION mkt.request_downgrade(account text, tier bigint) RETURNS timestamptz
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_request_downgrade';
COMMENT ON FUNCTION mkt.request_downgrade(text, bigint) IS
'Asks for a lower tier from an account''s next renewal date on, which it returns; whoever asks again asks for that instead (B3, B4). It is to be had if it covers the billable contacts then. DELETE FROM mkt.downgrade_request withdraws it. Arguments: account; tier: one of its edition, lower than the present one. For whoever may update mkt.account. Errors: MK017 later than five business days before the renewal date, P0002 for an account without a tier, 55000 without a renewal date, 22023 for another tier.';

CREATE FUNCTION mkt.request_downgrade(account bigint, tier bigint) RETURNS timestamptz
LANGUAGE SQL
RETURN mkt.request_downgrade(account::text, tier);
COMMENT ON FUNCTION mkt.request_downgrade(bigint, bigint) IS 'The same for an account that is a number.';

CREATE FUNCTION mkt.request_downgrade(account uuid, tier bigint) RETURNS timestamptz
LANGUAGE SQL
RETURN mkt.request_downgrade(account::text, tier);
COMMENT ON FUNCTION mkt.request_downgrade(uuid, bigint) IS 'The same for an account that is a uuid.';
