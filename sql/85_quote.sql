-- Tiers and prices of editions, for any number of contacts (quote.c).

CREATE FUNCTION mkt.tier(edition text, contacts bigint, at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE SQL STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN (
	SELECT mkt.tier_limit(i.included, i.increment, tier.contacts)
	FROM mkt.increment AS i
	WHERE i.edition = tier.edition
	  AND coalesce(tier.at, mkt.now())::date >= i.valid_from AND coalesce(tier.at, mkt.now())::date < coalesce(i.valid_to, 'infinity')
);
REVOKE ALL ON FUNCTION mkt.tier(text, bigint, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION mkt.tier(text, bigint, timestamptz) IS
'The tier of an edition that covers a number of marketing contacts (B1); null where mkt.increment has no row for that day. Arguments: edition; contacts; at: an instant, by default now, that stands for its date in the session''s time zone.';

CREATE FUNCTION mkt.refuse_quote(edition text, contacts bigint, currency text, valid_on date, missing text) RETURNS integer
LANGUAGE C PARALLEL SAFE
AS 'MODULE_PATHNAME', 'mkt_refuse_quote';
REVOKE ALL ON FUNCTION mkt.refuse_quote(text, bigint, text, date, text) FROM PUBLIC;
COMMENT ON FUNCTION mkt.refuse_quote(text, bigint, text, date, text) IS
'Raises the error of mkt.quote(). Arguments: what was asked; missing: the table that lacks a row.';

CREATE FUNCTION mkt.quote(edition text, contacts bigint, currency text, at timestamptz DEFAULT NULL)
RETURNS TABLE (tier bigint, price numeric, line integer, description text, quantity bigint, unit_price numeric, amount numeric)
LANGUAGE SQL STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp ROWS 4
BEGIN ATOMIC
	WITH asked AS (
		SELECT coalesce(quote.at, mkt.now())::date AS day
	), part AS (
		SELECT t.included, t.increment, t.mode, t.from_increment, t.unit_price, t.decimals,
			mkt.line_quantity(t.mode, t.from_increment, t.to_increment, mkt.tier_increments(t.included, t.increment, quote.contacts)) AS quantity
		FROM mkt.tariff AS t, asked
		WHERE t.edition = quote.edition AND t.currency = quote.currency
		  AND asked.day >= t.valid_from AND asked.day < coalesce(t.valid_to, 'infinity')
		  AND quote.contacts >= 0
	)
	SELECT mkt.tier_limit(p.included, p.increment, quote.contacts) AS tier,
		sum(round(p.quantity * p.unit_price, p.decimals)) OVER () AS price,
		row_number() OVER (ORDER BY p.from_increment)::integer AS line,
		CASE WHEN p.from_increment = 0 THEN format('%s contacts included', p.included)
			 WHEN p.quantity = 1 THEN format('increment %s of %s contacts', CASE p.mode WHEN 'graduated' THEN p.from_increment ELSE 1 END, p.increment)
			 WHEN p.mode = 'graduated' THEN format('increments %s to %s of %s contacts', p.from_increment, p.from_increment + p.quantity - 1, p.increment)
			 ELSE format('increments 1 to %s of %s contacts', p.quantity, p.increment) END AS description,
		p.quantity,
		p.unit_price,
		round(p.quantity * p.unit_price, p.decimals) AS amount
	FROM part AS p
	WHERE p.quantity > 0
	UNION ALL
	SELECT NULL, NULL, mkt.refuse_quote(quote.edition, quote.contacts, quote.currency, asked.day,
		CASE WHEN NOT EXISTS (SELECT FROM mkt.edition AS e WHERE e.edition = quote.edition) THEN 'edition'
			 WHEN NOT EXISTS (SELECT FROM mkt.increment AS i WHERE i.edition = quote.edition
							  AND asked.day >= i.valid_from AND asked.day < coalesce(i.valid_to, 'infinity')) THEN 'increment'
			 WHEN NOT EXISTS (SELECT FROM mkt.currency AS c WHERE c.currency = quote.currency
							  AND asked.day >= c.valid_from AND asked.day < coalesce(c.valid_to, 'infinity')) THEN 'currency'
			 ELSE 'price' END), NULL, NULL, NULL, NULL
	FROM asked
	WHERE NOT EXISTS (SELECT FROM part)
	ORDER BY 3;
END;
REVOKE ALL ON FUNCTION mkt.quote(text, bigint, text, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION mkt.quote(text, bigint, text, timestamptz) IS
'What an edition costs a month for a number of marketing contacts: a row for every line, each with the tier and the price of all (B1, B6). Arguments: edition; contacts; currency; at: an instant, by default now, that stands for its date in the session''s time zone. Errors: MK012 where a row of mkt.edition, mkt.increment, mkt.price or mkt.currency is missing; 22004 for a null; 22023 for a negative number of contacts.';

CREATE FUNCTION mkt.price_on(edition text, contacts bigint, currency text, day date) RETURNS numeric
LANGUAGE SQL STABLE PARALLEL SAFE
RETURN (
	SELECT sum(round(mkt.line_quantity(t.mode, t.from_increment, t.to_increment, mkt.tier_increments(t.included, t.increment, price_on.contacts)) * t.unit_price, t.decimals))
	FROM mkt.tariff AS t
	WHERE t.edition = price_on.edition AND t.currency = price_on.currency AND price_on.contacts >= 0
	  AND price_on.day >= t.valid_from AND price_on.day < coalesce(t.valid_to, 'infinity')
);
REVOKE ALL ON FUNCTION mkt.price_on(text, bigint, text, date) FROM PUBLIC;
COMMENT ON FUNCTION mkt.price_on(text, bigint, text, date) IS 'The price of the tier that covers a number of contacts, on a day; null where there is none.';

CREATE FUNCTION mkt.price(edition text, contacts bigint, currency text, at timestamptz DEFAULT NULL) RETURNS numeric
LANGUAGE SQL STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
RETURN mkt.price_on(edition, contacts, currency, coalesce(at, mkt.now())::date);
REVOKE ALL ON FUNCTION mkt.price(text, bigint, text, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION mkt.price(text, bigint, text, timestamptz) IS
'The price of mkt.quote(), without its lines; null where there is none. Arguments: the same.';
