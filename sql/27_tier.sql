-- Editions, increments, prices, currencies and thresholds: all of it data (tier.c, quote.c).

-- Exclusion constraints compare texts as ranges of one text each, which needs no other extension. They are looked at when the
-- statement ends, so that one UPDATE can move the day on which one row gives way to the next.
CREATE TYPE mkt.text_range AS RANGE (SUBTYPE = text, COLLATION = "C", MULTIRANGE_TYPE_NAME = mkt.text_multirange);
COMMENT ON TYPE mkt.text_range IS 'A range of texts, bytewise: what keeps the validity of rows with the same name from overlapping.';
COMMENT ON TYPE mkt.text_multirange IS 'Ranges of texts; PostgreSQL wants one for every type of ranges.';
COMMENT ON FUNCTION mkt.text_range(text, text) IS 'A range of texts.';
COMMENT ON FUNCTION mkt.text_range(text, text, text) IS 'A range of texts; the third argument says which bounds belong to it.';
COMMENT ON FUNCTION mkt.text_multirange() IS 'No range of texts.';
COMMENT ON FUNCTION mkt.text_multirange(mkt.text_range) IS 'One range of texts.';
COMMENT ON FUNCTION mkt.text_multirange(mkt.text_range[]) IS 'Ranges of texts.';
COMMENT ON CAST (mkt.text_range AS mkt.text_multirange) IS 'As for every type of ranges.';

CREATE TABLE mkt.edition (
	edition		text	CONSTRAINT edition_pkey PRIMARY KEY
						CONSTRAINT "edition has a name" CHECK (edition <> ''),
	workflows	boolean	NOT NULL DEFAULT false,
	shipped		boolean	NOT NULL DEFAULT false REFERENCES mkt.shipping
);
COMMENT ON TABLE mkt.edition IS 'What accounts can buy. How large its tiers are stands in mkt.increment, what they cost in mkt.price.';
COMMENT ON COLUMN mkt.edition.edition IS 'Its name.';
COMMENT ON COLUMN mkt.edition.workflows IS 'Whether it includes workflows.';
COMMENT ON COLUMN mkt.edition.shipped IS 'Whether the row came with the extension.';
SELECT pg_catalog.pg_extension_config_dump('mkt.edition', '');

CREATE TABLE mkt.increment (
	edition		text	NOT NULL
						CONSTRAINT "an increment is of an edition" REFERENCES mkt.edition ON UPDATE CASCADE ON DELETE CASCADE,
	valid_from	date	NOT NULL DEFAULT '-infinity',
	valid_to	date,
	included	bigint	NOT NULL
						CONSTRAINT "included is 0 to 10^15" CHECK (included BETWEEN 0 AND 1000000000000000),
	increment	bigint	NOT NULL
						CONSTRAINT "increment is 1 to 10^15" CHECK (increment BETWEEN 1 AND 1000000000000000),
	shipped		boolean	NOT NULL DEFAULT false REFERENCES mkt.shipping,
	CONSTRAINT increment_pkey PRIMARY KEY (edition, valid_from),
	CONSTRAINT "an increment is valid before valid_to" CHECK (valid_from < valid_to),
	CONSTRAINT "an edition has one increment at a time"
		EXCLUDE USING gist (mkt.text_range(edition, edition, '[]') WITH =, pg_catalog.daterange(valid_from, valid_to) WITH &&) DEFERRABLE
);
COMMENT ON TABLE mkt.increment IS 'How large the tiers of an edition are, and when (B1).';
COMMENT ON COLUMN mkt.increment.edition IS 'The edition.';
COMMENT ON COLUMN mkt.increment.valid_from IS 'The first day.';
COMMENT ON COLUMN mkt.increment.valid_to IS 'The day before which it ends; null: it does not end.';
COMMENT ON COLUMN mkt.increment.included IS 'The marketing contacts of the first tier.';
COMMENT ON COLUMN mkt.increment.increment IS 'So many more has every further tier.';
COMMENT ON COLUMN mkt.increment.shipped IS 'Whether the row came with the extension.';
SELECT pg_catalog.pg_extension_config_dump('mkt.increment', '');

CREATE TABLE mkt.currency (
	currency	text	CONSTRAINT "currency is a code of three letters" CHECK (currency ~ '^[A-Z]{3}$'),
	valid_from	date	NOT NULL DEFAULT '-infinity',
	valid_to	date,
	decimals	integer	NOT NULL CONSTRAINT "decimals is 0 to 18" CHECK (decimals BETWEEN 0 AND 18),
	shipped		boolean	NOT NULL DEFAULT false REFERENCES mkt.shipping,
	CONSTRAINT currency_pkey PRIMARY KEY (currency, valid_from),
	CONSTRAINT "a currency is valid before valid_to" CHECK (valid_from < valid_to),
	CONSTRAINT "a currency has one minor unit at a time"
		EXCLUDE USING gist (mkt.text_range(currency, currency, '[]') WITH =, pg_catalog.daterange(valid_from, valid_to) WITH &&) DEFERRABLE
);
COMMENT ON TABLE mkt.currency IS 'Currencies and their minor units, to which amounts are rounded (B6).';
COMMENT ON COLUMN mkt.currency.currency IS 'Its code by ISO 4217.';
COMMENT ON COLUMN mkt.currency.valid_from IS 'The first day.';
COMMENT ON COLUMN mkt.currency.valid_to IS 'The day before which it ends; null: it does not end.';
COMMENT ON COLUMN mkt.currency.decimals IS 'The digits of its minor unit: 2 for EUR, 0 for JPY.';
COMMENT ON COLUMN mkt.currency.shipped IS 'Whether the row came with the extension.';
SELECT pg_catalog.pg_extension_config_dump('mkt.currency', '');

CREATE TYPE mkt.price_mode AS ENUM ('graduated', 'volume');
COMMENT ON TYPE mkt.price_mode IS
'graduated: each increment has the price of its own band. volume: all increments have the price of the band in which the last of them lies (B6).';

CREATE TABLE mkt.price (
	edition			text			NOT NULL
									CONSTRAINT "a price is of an edition" REFERENCES mkt.edition ON UPDATE CASCADE ON DELETE CASCADE,
	currency		text			NOT NULL
									CONSTRAINT "currency is a code of three letters" CHECK (currency ~ '^[A-Z]{3}$'),
	valid_from		date			NOT NULL DEFAULT '-infinity',
	valid_to		date,
	mode			mkt.price_mode	NOT NULL DEFAULT 'graduated',
	base			numeric			NOT NULL CONSTRAINT "base is an amount" CHECK (base >= 0 AND base < 'infinity'),
	per_increment	numeric			NOT NULL CONSTRAINT "per_increment is an amount" CHECK (per_increment >= 0 AND per_increment < 'infinity'),
	example			boolean			NOT NULL DEFAULT false,
	shipped			boolean			NOT NULL DEFAULT false REFERENCES mkt.shipping,
	CONSTRAINT price_pkey PRIMARY KEY (edition, currency, valid_from),
	CONSTRAINT "a price is valid before valid_to" CHECK (valid_from < valid_to),
	CONSTRAINT "an edition has one price at a time in a currency"
		EXCLUDE USING gist (mkt.text_range(edition, edition, '[]') WITH =, mkt.text_range(currency, currency, '[]') WITH =,
							pg_catalog.daterange(valid_from, valid_to) WITH &&) DEFERRABLE
);
COMMENT ON TABLE mkt.price IS 'What the tiers of an edition cost a month in a currency, and when (B6). Quotes are computed from it anew; what has been charged is kept with the charge.';
COMMENT ON COLUMN mkt.price.edition IS 'The edition.';
COMMENT ON COLUMN mkt.price.currency IS 'The currency.';
COMMENT ON COLUMN mkt.price.valid_from IS 'The first day.';
COMMENT ON COLUMN mkt.price.valid_to IS 'The day before which it ends; null: it does not end.';
COMMENT ON COLUMN mkt.price.mode IS 'How the bands of mkt.price_band are read; without bands it makes no difference.';
COMMENT ON COLUMN mkt.price.base IS 'The price of the first tier, a month.';
COMMENT ON COLUMN mkt.price.per_increment IS 'The price of each increment in the first band, a month.';
COMMENT ON COLUMN mkt.price.example IS 'Whether it is only an example. The prices that ship are.';
COMMENT ON COLUMN mkt.price.shipped IS 'Whether the row came with the extension.';
SELECT pg_catalog.pg_extension_config_dump('mkt.price', '');

-- A band reaches to the next one, and the first one is in mkt.price: so bands neither overlap nor leave gaps.
CREATE TABLE mkt.price_band (
	edition			text,
	currency		text,
	valid_from		date	DEFAULT '-infinity',
	from_increment	bigint	CONSTRAINT "the band from increment 1 is in mkt.price" CHECK (from_increment > 1),
	per_increment	numeric	NOT NULL CONSTRAINT "per_increment is an amount" CHECK (per_increment >= 0 AND per_increment < 'infinity'),
	shipped			boolean	NOT NULL DEFAULT false REFERENCES mkt.shipping,
	CONSTRAINT price_band_pkey PRIMARY KEY (edition, currency, valid_from, from_increment),
	CONSTRAINT "a band is of a price" FOREIGN KEY (edition, currency, valid_from) REFERENCES mkt.price ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE mkt.price_band IS 'From which increment on another price holds than that of mkt.price.';
COMMENT ON COLUMN mkt.price_band.edition IS 'The edition.';
COMMENT ON COLUMN mkt.price_band.currency IS 'The currency.';
COMMENT ON COLUMN mkt.price_band.valid_from IS 'valid_from of the row of mkt.price to which it belongs.';
COMMENT ON COLUMN mkt.price_band.from_increment IS 'Its first increment; it reaches to the next band.';
COMMENT ON COLUMN mkt.price_band.per_increment IS 'The price of each increment in it, a month.';
COMMENT ON COLUMN mkt.price_band.shipped IS 'Whether the row came with the extension.';
SELECT pg_catalog.pg_extension_config_dump('mkt.price_band', '');

CREATE TABLE mkt.threshold (
	percent		numeric	CONSTRAINT "percent is above 0 and at most 100" CHECK (percent > 0 AND percent <= 100),
	valid_from	date	NOT NULL DEFAULT '-infinity',
	valid_to	date,
	shipped		boolean	NOT NULL DEFAULT false REFERENCES mkt.shipping,
	CONSTRAINT threshold_pkey PRIMARY KEY (percent, valid_from),
	CONSTRAINT "a threshold is valid before valid_to" CHECK (valid_from < valid_to),
	CONSTRAINT "a threshold is there once at a time"
		EXCLUDE USING gist (pg_catalog.numrange(percent, percent, '[]') WITH =, pg_catalog.daterange(valid_from, valid_to) WITH &&) DEFERRABLE
);
COMMENT ON TABLE mkt.threshold IS 'At how much of the tier there is a notice (B7).';
COMMENT ON COLUMN mkt.threshold.percent IS 'Per cent of the tier.';
COMMENT ON COLUMN mkt.threshold.valid_from IS 'The first day.';
COMMENT ON COLUMN mkt.threshold.valid_to IS 'The day before which it ends; null: it does not end.';
COMMENT ON COLUMN mkt.threshold.shipped IS 'Whether the row came with the extension.';
SELECT pg_catalog.pg_extension_config_dump('mkt.threshold', '');

-- What ships.

INSERT INTO mkt.edition (edition, workflows, shipped) VALUES
	('starter', false, true), ('professional', true, true), ('enterprise', true, true);
INSERT INTO mkt.increment (edition, included, increment, shipped) VALUES
	('starter', 1000, 1000, true), ('professional', 2000, 5000, true), ('enterprise', 10000, 10000, true);
INSERT INTO mkt.threshold (percent, shipped) VALUES (75, true), (90, true), (98, true);

INSERT INTO mkt.currency (currency, decimals, shipped)
SELECT pg_catalog.unnest(pg_catalog.string_to_array(codes, ' ')), decimals, true
FROM (VALUES
	(0, 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF'),
	(2, 'AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP CVE CZK '
		'DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD '
		'KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP '
		'PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH '
		'USD UYU UZS VES WST XCD XCG YER ZAR ZMW ZWG'),
	(3, 'BHD IQD JOD KWD LYD OMR TND')
) AS c (decimals, codes);

INSERT INTO mkt.price (edition, currency, mode, base, per_increment, example, shipped) VALUES
	('starter', 'EUR', 'graduated', 18, 16, true, true),
	('starter', 'USD', 'graduated', 20, 18, true, true),
	('professional', 'EUR', 'graduated', 800, 225, true, true),
	('professional', 'USD', 'graduated', 890, 250, true, true),
	('enterprise', 'EUR', 'volume', 3300, 95, true, true),
	('enterprise', 'USD', 'volume', 3600, 100, true, true);
INSERT INTO mkt.price_band (edition, currency, from_increment, per_increment, shipped) VALUES
	('professional', 'EUR', 5, 202.50, true), ('professional', 'EUR', 9, 180, true),
	('professional', 'USD', 5, 225, true), ('professional', 'USD', 9, 200, true),
	('enterprise', 'EUR', 5, 90, true), ('enterprise', 'EUR', 10, 85, true),
	('enterprise', 'USD', 5, 95, true), ('enterprise', 'USD', 10, 90, true);

-- Arithmetic.

CREATE FUNCTION mkt.tier_limit(included bigint, increment bigint, contacts bigint) RETURNS bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'mkt_sql_tier_limit';
COMMENT ON FUNCTION mkt.tier_limit(bigint, bigint, bigint) IS
'The smallest tier of included plus a multiple of increment that covers a number of contacts (B1). Errors: 22023 for an increment below 1 or included below 0, 22003 for a tier beyond bigint.';

CREATE FUNCTION mkt.tier_increments(included bigint, increment bigint, contacts bigint) RETURNS bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'mkt_sql_tier_increments';
COMMENT ON FUNCTION mkt.tier_increments(bigint, bigint, bigint) IS
'How many increments that tier has above what is included (B1). Error: 22023 as mkt.tier_limit().';

CREATE FUNCTION mkt.line_quantity(mode mkt.price_mode, from_increment bigint, to_increment bigint, increments bigint) RETURNS bigint
LANGUAGE SQL IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN increments IS NULL THEN NULL
			WHEN from_increment = 0 THEN 1
			WHEN increments < from_increment THEN 0
			WHEN mode = 'graduated' THEN least(increments, to_increment) - from_increment + 1
			WHEN increments > to_increment THEN 0
			ELSE increments END;
COMMENT ON FUNCTION mkt.line_quantity(mkt.price_mode, bigint, bigint, bigint) IS
'How often the price of a row of mkt.tariff is charged for a tier of so many increments (B6); 0: there is no such line. Arguments: mode, from_increment and to_increment of the row; increments, as mkt.tier_increments() says.';

CREATE VIEW mkt.tariff AS
SELECT i.edition, p.currency,
	greatest(i.valid_from, p.valid_from, c.valid_from) AS valid_from,
	nullif(least(coalesce(i.valid_to, 'infinity'), coalesce(p.valid_to, 'infinity'), coalesce(c.valid_to, 'infinity')), 'infinity') AS valid_to,
	i.included, i.increment, p.mode, c.decimals,
	b.line, b.from_increment, b.to_increment, b.unit_price, p.example
FROM mkt.increment AS i
JOIN mkt.price AS p ON p.edition = i.edition
JOIN mkt.currency AS c ON c.currency = p.currency
JOIN (
	SELECT edition, currency, valid_from, from_increment, unit_price,
		row_number() OVER band::integer AS line,
		CASE from_increment WHEN 0 THEN 0 ELSE lead(from_increment) OVER band - 1 END AS to_increment
	FROM (
		SELECT edition, currency, valid_from, 0 AS from_increment, base AS unit_price FROM mkt.price
		UNION ALL
		SELECT edition, currency, valid_from, 1, per_increment FROM mkt.price
		UNION ALL
		SELECT edition, currency, valid_from, from_increment, per_increment FROM mkt.price_band
	) AS part
	WINDOW band AS (PARTITION BY edition, currency, valid_from ORDER BY from_increment)
) AS b ON b.edition = p.edition AND b.currency = p.currency AND b.valid_from = p.valid_from
WHERE greatest(i.valid_from, p.valid_from, c.valid_from)
	< least(coalesce(i.valid_to, 'infinity'), coalesce(p.valid_to, 'infinity'), coalesce(c.valid_to, 'infinity'));
COMMENT ON VIEW mkt.tariff IS 'All prices as one table: the lines of which quotes and charges are made, and when they are valid.';
COMMENT ON COLUMN mkt.tariff.edition IS 'The edition.';
COMMENT ON COLUMN mkt.tariff.currency IS 'The currency.';
COMMENT ON COLUMN mkt.tariff.valid_from IS 'The first day on which increment, price and minor unit are these.';
COMMENT ON COLUMN mkt.tariff.valid_to IS 'The day before which that ends; null: it does not end.';
COMMENT ON COLUMN mkt.tariff.included IS 'The marketing contacts of the first tier.';
COMMENT ON COLUMN mkt.tariff.increment IS 'So many more has every further tier.';
COMMENT ON COLUMN mkt.tariff.mode IS 'How the bands are read.';
COMMENT ON COLUMN mkt.tariff.decimals IS 'To how many digits amounts are rounded.';
COMMENT ON COLUMN mkt.tariff.line IS '1: what is included. 2 and so on: the bands of increments.';
COMMENT ON COLUMN mkt.tariff.from_increment IS 'The first increment of the band; 0 for what is included.';
COMMENT ON COLUMN mkt.tariff.to_increment IS 'The last increment of the band; null: it does not end.';
COMMENT ON COLUMN mkt.tariff.unit_price IS 'The price of what is included, or of each increment, a month.';
COMMENT ON COLUMN mkt.tariff.example IS 'Whether the price is only an example.';

-- Changed and deleted rows of these tables stay so in a restored database (shipped.c).

CREATE TRIGGER shipped_again BEFORE INSERT ON mkt.edition
FOR EACH ROW EXECUTE FUNCTION mkt.shipped_again();
CREATE TRIGGER shipped_withdrawn AFTER UPDATE OR DELETE ON mkt.edition
FOR EACH ROW WHEN (OLD.shipped) EXECUTE FUNCTION mkt.shipped_withdrawn();

CREATE TRIGGER shipped_again BEFORE INSERT ON mkt.increment
FOR EACH ROW EXECUTE FUNCTION mkt.shipped_again();
CREATE TRIGGER shipped_withdrawn AFTER UPDATE OR DELETE ON mkt.increment
FOR EACH ROW WHEN (OLD.shipped) EXECUTE FUNCTION mkt.shipped_withdrawn();

CREATE TRIGGER shipped_again BEFORE INSERT ON mkt.currency
FOR EACH ROW EXECUTE FUNCTION mkt.shipped_again();
CREATE TRIGGER shipped_withdrawn AFTER UPDATE OR DELETE ON mkt.currency
FOR EACH ROW WHEN (OLD.shipped) EXECUTE FUNCTION mkt.shipped_withdrawn();

CREATE TRIGGER shipped_again BEFORE INSERT ON mkt.price
FOR EACH ROW EXECUTE FUNCTION mkt.shipped_again();
CREATE TRIGGER shipped_withdrawn AFTER UPDATE OR DELETE ON mkt.price
FOR EACH ROW WHEN (OLD.shipped) EXECUTE FUNCTION mkt.shipped_withdrawn();

CREATE TRIGGER shipped_again BEFORE INSERT ON mkt.price_band
FOR EACH ROW EXECUTE FUNCTION mkt.shipped_again();
CREATE TRIGGER shipped_withdrawn AFTER UPDATE OR DELETE ON mkt.price_band
FOR EACH ROW WHEN (OLD.shipped) EXECUTE FUNCTION mkt.shipped_withdrawn();

CREATE TRIGGER shipped_again BEFORE INSERT ON mkt.threshold
FOR EACH ROW EXECUTE FUNCTION mkt.shipped_again();
CREATE TRIGGER shipped_withdrawn AFTER UPDATE OR DELETE ON mkt.threshold
FOR EACH ROW WHEN (OLD.shipped) EXECUTE FUNCTION mkt.shipped_withdrawn();
