-- What setting many contacts would do (preview.c).

CREATE TYPE mkt.preview AS (
	account					text,
	changed					bigint,
	already					bigint,
	pending					bigint,
	not_found				bigint,
	parked					bigint,
	billable_before			bigint,
	billable_after			bigint,
	billable_after_update	bigint,
	tier_before				bigint,
	tier_after				bigint,
	tier_after_update		bigint,
	price_before			numeric,
	price_after				numeric,
	price_after_update		numeric,
	currency				text,
	next_update				timestamptz
);
COMMENT ON TYPE mkt.preview IS 'What becomes of an account by a bulk change; the rows of mkt.preview_set_marketing() and mkt.preview_set_non_marketing() (W6).';
COMMENT ON COLUMN mkt.preview.account IS 'The account; null: contacts without one, and keys that were not found.';
COMMENT ON COLUMN mkt.preview.changed IS 'Contacts that would change.';
COMMENT ON COLUMN mkt.preview.already IS 'Contacts that are what is asked already.';
COMMENT ON COLUMN mkt.preview.pending IS 'Contacts that are pending and would stay so.';
COMMENT ON COLUMN mkt.preview.not_found IS 'Keys without a contact that the caller can see and update; in the row without an account only.';
COMMENT ON COLUMN mkt.preview.parked IS 'Contacts that a maximum would park; 0.';
COMMENT ON COLUMN mkt.preview.billable_before IS 'mkt.billable(account) now.';
COMMENT ON COLUMN mkt.preview.billable_after IS 'The same right after the change.';
COMMENT ON COLUMN mkt.preview.billable_after_update IS 'The same from next_update on, if nothing else changes.';
COMMENT ON COLUMN mkt.preview.tier_before IS 'The tier that covers billable_before (B1); null as in mkt.usage.';
COMMENT ON COLUMN mkt.preview.tier_after IS 'The tier that covers billable_after.';
COMMENT ON COLUMN mkt.preview.tier_after_update IS 'The tier that covers billable_after_update, by the increments of that day.';
COMMENT ON COLUMN mkt.preview.price_before IS 'What the tier costs a month now; null as in mkt.usage.';
COMMENT ON COLUMN mkt.preview.price_after IS 'What the tier costs a month right after the change.';
COMMENT ON COLUMN mkt.preview.price_after_update IS 'What the tier costs a month from next_update on, by the prices of that day.';
COMMENT ON COLUMN mkt.preview.currency IS 'The account''s currency.';
COMMENT ON COLUMN mkt.preview.next_update IS 'mkt.next_update(account).';

-- The one place where previews get their tiers from: each count's own, by B1, as in mkt.usage. Every account comes three times in
-- succession: before, right after, and after its next update date.
CREATE FUNCTION mkt.preview_tiers(accounts text[], billable bigint[], at timestamptz[])
RETURNS TABLE (tier bigint, price numeric, currency text)
LANGUAGE SQL STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT b.tier,
		sum(round(mkt.line_quantity(t.mode, t.from_increment, t.to_increment, mkt.tier_increments(t.included, t.increment, b.tier)) * t.unit_price,
				  t.decimals)) AS price,
		b.currency
	FROM (
		-- B3: the tier that the account pays for stays, and so does what the change makes of it, until a renewal for which a lower one
		-- was requested
		SELECT p.place, p.edition, p.currency, p.day,
			CASE WHEN p.billable > p.paid OR p.paid IS NULL THEN p.covers
				WHEN p.requested >= p.billable THEN least(mkt.tier_limit(p.included, p.increment, p.requested), p.paid)
				ELSE p.paid END AS tier
		FROM (
			SELECT c.*, greatest(c.tier, max(CASE WHEN c.billable > c.tier THEN c.covers END)
										OVER (PARTITION BY c.account ORDER BY c.place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) AS paid
			FROM (
		SELECT asked.account, asked.billable, asked.place, a.edition, a.currency, a.day, CASE WHEN i.edition IS NOT NULL THEN a.tier END AS tier,
			mkt.tier_limit(i.included, i.increment, asked.billable) AS covers, i.included, i.increment, d.tier AS requested
		FROM unnest(preview_tiers.accounts, preview_tiers.billable, preview_tiers.at) WITH ORDINALITY AS asked (account, billable, at, place)
		LEFT JOIN LATERAL (
			SELECT s.edition, s.currency, (asked.at AT TIME ZONE s.time_zone)::date AS day, t.tier
			FROM mkt.account AS s
			LEFT JOIN mkt.account_tier AS t ON t.account = s.account
			WHERE s.account = asked.account
		) AS a ON true
		LEFT JOIN mkt.increment AS i ON i.edition = a.edition AND a.day >= i.valid_from AND a.day < coalesce(i.valid_to, 'infinity')
		LEFT JOIN mkt.downgrade_request AS d ON d.account = asked.account AND d.renews_at = asked.at
			) AS c
		) AS p
	) AS b
	LEFT JOIN mkt.tariff AS t ON t.edition = b.edition AND t.currency = b.currency
		AND b.day >= t.valid_from AND b.day < coalesce(t.valid_to, 'infinity')
	GROUP BY b.place, b.tier, b.currency
	ORDER BY b.place;
END;
REVOKE ALL ON FUNCTION mkt.preview_tiers(text[], bigint[], timestamptz[]) FROM PUBLIC;
COMMENT ON FUNCTION mkt.preview_tiers(text[], bigint[], timestamptz[]) IS
'The tiers and prices of accounts for numbers of contacts at instants, a row for each in their order; null where mkt.usage has none. Previews call it.';

CREATE FUNCTION mkt.preview_set_marketing(contacts regclass, keys anyarray, account text DEFAULT NULL) RETURNS SETOF mkt.preview
LANGUAGE C STABLE ROWS 10
AS 'MODULE_PATHNAME', 'mkt_preview_set_marketing';
COMMENT ON FUNCTION mkt.preview_set_marketing(regclass, anyarray, text) IS
'What mkt.set_marketing() would do with the caller''s rights, while nothing is changed or locked (W6): a row for every account with contacts among those asked for, by name, and at the end one for contacts without an account and keys that were not found, if there are such. Arguments: the contacts table; their keys; account, whose contacts alone are meant, required where keys are unique within an account only. Errors: MK001 not attached, MK006 keys of several columns or without their account.';

CREATE FUNCTION mkt.preview_set_non_marketing(contacts regclass, keys anyarray, account text DEFAULT NULL) RETURNS SETOF mkt.preview
LANGUAGE C STABLE ROWS 10
AS 'MODULE_PATHNAME', 'mkt_preview_set_non_marketing';
COMMENT ON FUNCTION mkt.preview_set_non_marketing(regclass, anyarray, text) IS
'What mkt.set_non_marketing() would do, as mkt.preview_set_marketing() tells it of mkt.set_marketing().';

CREATE FUNCTION mkt.preview_set_marketing(contacts regclass, filter jsonb DEFAULT NULL, saved_filter text DEFAULT NULL, list text DEFAULT NULL,
										  query text DEFAULT NULL, account text DEFAULT NULL) RETURNS SETOF mkt.preview
LANGUAGE C STABLE ROWS 10
AS 'MODULE_PATHNAME', 'mkt_preview_set_marketing_chosen';
COMMENT ON FUNCTION mkt.preview_set_marketing(regclass, jsonb, text, text, text, text) IS
'What mkt.set_marketing() would do with contacts that a filter, a saved filter, a list or a query chooses. Errors: as its.';

CREATE FUNCTION mkt.preview_set_non_marketing(contacts regclass, filter jsonb DEFAULT NULL, saved_filter text DEFAULT NULL, list text DEFAULT NULL,
											  query text DEFAULT NULL, account text DEFAULT NULL) RETURNS SETOF mkt.preview
LANGUAGE C STABLE ROWS 10
AS 'MODULE_PATHNAME', 'mkt_preview_set_non_marketing_chosen';
COMMENT ON FUNCTION mkt.preview_set_non_marketing(regclass, jsonb, text, text, text, text) IS
'What mkt.set_non_marketing() would do with contacts that a filter, a saved filter, a list or a query chooses. Errors: as its.';
