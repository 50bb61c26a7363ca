-- Periods are the same whether they are closed at once, late by months, or now and then (D6), and as mkt.billable() tells.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO;
CREATE SCHEMA late;
SET search_path = late;
INSERT INTO mkt.edition (edition) VALUES ('small'), ('dearer');
INSERT INTO mkt.increment (edition, included, increment) VALUES ('small', 20, 15), ('dearer', 30, 10);
INSERT INTO mkt.price (edition, currency, base, per_increment) SELECT e, c, p, 7.77 FROM (VALUES ('small', 99.95), ('dearer', 149.99)) AS e (e, p), unnest(ARRAY['EUR', 'USD']) AS c;

-- 600 steps of a year and a half: single contacts and many, of accounts with other zones and dates, and their settings.
SELECT setseed(0.42);
CREATE TABLE step AS
SELECT i, timestamptz '2026-01-12' + (i * 0.9 + random() * 0.6) * interval '1 day' AS at, 1 + floor(random() * 5)::integer AS account,
	floor(random() * 100)::integer AS kind, floor(random() * 400)::integer AS id, CASE WHEN random() < 0.1 THEN 60 ELSE 1 END AS n, random() < 0.3 AS sandbox
FROM generate_series(1, 600) AS i;
CREATE FUNCTION statement(step, world text) RETURNS text LANGUAGE SQL AS $$
	SELECT format(CASE
	WHEN $1.kind < 3 THEN 'INSERT INTO mkt.downgrade_request (account, renews_at, tier, requested_at, requested_by) SELECT account, mkt.next_renewal(account), 20 + 15 * (%2$s %% 8), mkt.now(), ''me'' FROM mkt.account_tier WHERE account = %1$L AND renews_at IS NOT NULL ON CONFLICT DO NOTHING'
	WHEN $1.kind < 30 THEN 'INSERT INTO contact (id, account, marketing_status) SELECT i, %1$L, CASE WHEN i %% 4 > 0 THEN ''marketing''::mkt.status END FROM generate_series(%2$s, %3$s) AS i ON CONFLICT DO NOTHING'
	WHEN $1.kind < 50 THEN 'UPDATE contact SET marketing_status = ''non_marketing'' WHERE id BETWEEN %2$s AND %3$s'
	WHEN $1.kind < 65 THEN 'UPDATE contact SET marketing_status = ''marketing'', marketing_until_next_update = false WHERE id BETWEEN %2$s AND %3$s'
	WHEN $1.kind < 72 THEN 'DELETE FROM contact WHERE id BETWEEN %2$s AND %4$s'
	WHEN $1.kind < 75 THEN 'UPDATE mkt.account SET edition = CASE %2$s %% 2 WHEN 0 THEN ''small'' ELSE ''dearer'' END WHERE account = %1$L'
	WHEN $1.kind < 80 THEN 'UPDATE contact SET account = %1$L WHERE id BETWEEN %2$s AND %4$s'
	WHEN $1.kind < 82 THEN 'UPDATE mkt.account SET account = account || '' then ' || $1.i || ''' WHERE account = %1$L'
	WHEN $1.kind < 88 THEN 'INSERT INTO whole (id, marketing_status) VALUES (%2$s %% 20, ''marketing'') ON CONFLICT (id) DO UPDATE SET marketing_status = ''non_marketing'''
	WHEN $1.kind < 92 THEN 'UPDATE mkt.account SET commitment = CASE commitment WHEN ''annual'' THEN ''monthly''::mkt.commitment ELSE ''annual'' END WHERE account = %1$L AND started_on IS NOT NULL'
	WHEN $1.kind < 94 THEN 'UPDATE mkt.account SET started_on = date ''2025-06-30'' - %2$s %% 31 WHERE account = %1$L'
	WHEN $1.kind < 96 THEN 'UPDATE mkt.account SET time_zone = CASE time_zone WHEN ''UTC'' THEN ''America/Los_Angeles'' ELSE ''UTC'' END WHERE account = %1$L'
	WHEN $1.kind < 98 THEN 'UPDATE mkt.account SET currency = CASE currency WHEN ''EUR'' THEN ''USD'' ELSE ''EUR'' END, sandbox = %5$L WHERE account = %1$L'
	WHEN $1.kind < 99 AND $1.id < 100 THEN 'DELETE FROM mkt.account WHERE account = %1$L'
	WHEN $1.kind < 99 THEN 'INSERT INTO mkt.account (account, edition) VALUES (%1$L, ''small'') ON CONFLICT (account) DO UPDATE SET edition = ''small'''
	WHEN $1.id < 200 THEN 'UPDATE mkt.account SET edition = NULL WHERE account = %1$L'
	ELSE 'TRUNCATE contact' END, world || ' ' || $1.account, $1.id, $1.id + $1.n, $1.id + $1.n / 2, $1.sandbox)
$$;
SELECT count(DISTINCT split_part(statement(step, 'x'), ' ', 1)) AS kinds FROM step;

-- What happens, in tables and to accounts of its own, with mkt.run() every so often and at the end.
CREATE PROCEDURE live(world text, run_every interval) LANGUAGE plpgsql AS $$
DECLARE
	s record;
BEGIN
	PERFORM set_config('mktcontacts.clock', '2026-01-10 12:00+00', false);
	CREATE TABLE contact (id integer PRIMARY KEY, account text);
	CREATE TABLE whole (id integer PRIMARY KEY);
	PERFORM mkt.attach('contact', account_column => 'account');
	PERFORM mkt.attach('whole', account => world || ' 1');
	INSERT INTO mkt.account (account, edition, commitment, started_on, time_zone) VALUES
		(world || ' 1', 'small', 'annual', '2025-03-20', 'Europe/Oslo'), (world || ' 2', 'starter', 'monthly', '2025-12-31', 'Pacific/Auckland'),
		(world || ' 3', NULL, 'annual', NULL, 'UTC'), (world || ' 4', 'small', 'monthly', '2025-04-15', 'America/Sao_Paulo'),
		(world || ' 5', 'small', 'annual', '2024-02-29', 'Asia/Kolkata');
	COMMIT;
	FOR s IN SELECT at, statement(step, world) FROM step
			 UNION ALL
			 SELECT at, NULL FROM generate_series(timestamptz '2026-01-11', '2027-07-10', run_every) AS at
			 UNION ALL
			 SELECT '2027-07-20', NULL
			 ORDER BY 1
	LOOP
		PERFORM set_config('mktcontacts.clock', s.at::text, false);
		IF s.statement IS NULL THEN
			CALL mkt.run();
		ELSE
			EXECUTE s.statement;
		END IF;
		COMMIT;
	END LOOP;
END $$;
CREATE VIEW period AS
SELECT split_part(account, ' ', 1) AS world, to_jsonb(p) - 'closed_at' || jsonb_build_object('account', regexp_replace(account, '^[^ ]* ', ''),
	'lines', (SELECT jsonb_agg(to_jsonb(l) - 'account' ORDER BY line) FROM mkt.period_line AS l WHERE l.account = p.account AND l.ends_at = p.ends_at)) AS period
FROM mkt.period AS p WHERE account ~ '^late_';

-- What the count was at every instant at which anything was done, and at the starts, says mkt.billable().
CREATE FUNCTION wrong(world text) RETURNS TABLE (account text, starts_at timestamptz, opening bigint, closing bigint, highest bigint, is_closing bigint, is_highest bigint)
LANGUAGE SQL AS $$
	SELECT p.account, p.starts_at, p.opening, p.closing, p.highest, b.closing, b.highest
	FROM mkt.period AS p
	CROSS JOIN LATERAL (
		SELECT mkt.billable(p.account, p.ends_at) AS closing, max(mkt.billable(p.account, i.at)) AS highest,
			(array_agg(i.at ORDER BY mkt.billable(p.account, i.at) DESC, i.at))[1] AS highest_at
		FROM (SELECT at FROM step WHERE at >= p.starts_at AND at < p.ends_at UNION SELECT p.starts_at) AS i
	) AS b
	WHERE split_part(p.account, ' ', 1) = world
	  AND (p.closing IS DISTINCT FROM b.closing OR p.highest IS DISTINCT FROM b.highest OR p.highest_at IS DISTINCT FROM b.highest_at OR p.adjusted <> 0
		   OR p.opening IS DISTINCT FROM coalesce((SELECT q.closing FROM mkt.period AS q WHERE q.account = p.account AND q.ends_at = p.starts_at), mkt.billable(p.account, p.starts_at))
		   OR p.charge IS DISTINCT FROM (SELECT sum(amount) FROM mkt.period_line AS l WHERE l.account = p.account AND l.ends_at = p.ends_at))
$$;

CALL live('late_never', '21 hours');
SELECT * FROM wrong('late_never');
SELECT * FROM mkt.verify();
SELECT count(*) AS periods, count(DISTINCT account) AS accounts, min(ends_on - starts_on) AS shortest, max(ends_on - starts_on) AS longest,
	bool_or(highest > greatest(opening, closing)) AS higher_within, count(DISTINCT tier) AS tiers, bool_or(billed_tier < tier) AS charged_in_advance,
	bool_or(billed_edition <> edition) AS another_edition, bool_or(account ~ ' then ') AS renamed,
	bool_or(sandbox) AS sandbox,
	(SELECT bool_or(to_tier < from_tier) FROM mkt.tier_change WHERE account ~ '^late_' AND reason = 'renewed') AS lowered
FROM mkt.period WHERE account ~ '^late_';
DROP TABLE contact, whole;

CALL live('late_by_months', '2 years');
SELECT * FROM wrong('late_by_months');
SELECT n.period, l.period FROM (SELECT * FROM period WHERE world = 'late_never') AS n FULL JOIN (SELECT * FROM period WHERE world = 'late_by_months') AS l USING (period)
WHERE n.world IS NULL OR l.world IS NULL;
DROP TABLE contact, whole;

CALL live('late_now_and_then', '47 days');
SELECT * FROM wrong('late_now_and_then');
SELECT n.period, l.period FROM (SELECT * FROM period WHERE world = 'late_never') AS n FULL JOIN (SELECT * FROM period WHERE world = 'late_now_and_then') AS l USING (period)
WHERE n.world IS NULL OR l.world IS NULL;

SELECT * FROM mkt.verify();
DELETE FROM mkt.account WHERE account ~ '^late_';
DELETE FROM mkt.edition WHERE edition IN ('small', 'dearer');
RESET mktcontacts.clock;
SET client_min_messages = warning;
DROP SCHEMA late CASCADE;
