-- The past and the forecast of an account as charts: text for psql, and SVG.  Counts are asked with the caller's rights, by
-- mkt.billable(), at so many instants as there are columns.

CREATE FUNCTION mkt.counts_known_since(account text, OUT since timestamptz, OUT cut boolean)
LANGUAGE SQL STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT least(greatest(min(t.begun), max(t.gap_until)), mkt.now()), coalesce(max(t.gap_until) > min(t.begun), false)
	FROM (
		SELECT coalesce(a.attached_at, '-infinity') AS begun,
			CASE WHEN a.history_since <= a.attached_at THEN '-infinity' ELSE coalesce(a.history_since, 'infinity') END AS gap_until
		FROM mkt.attachment AS a
		WHERE a.account IS NULL OR a.account = counts_known_since.account
	) AS t;
END;
COMMENT ON FUNCTION mkt.counts_known_since(text) IS
'From which instant on mkt.billable() knows the counts of an account, and whether there were earlier ones that are not known. Argument: the account.';

CREATE FUNCTION mkt.usage_curve(account text, points integer)
RETURNS TABLE (point integer, at timestamptz, x double precision, ahead boolean, renewal boolean, billable bigint, tier bigint)
LANGUAGE SQL STABLE PARALLEL RESTRICTED ROWS 100
BEGIN ATOMIC
	WITH present AS (
		SELECT n.at, k.since, b.billable, q.tier
		FROM mkt.now() AS n (at), mkt.counts_known_since(usage_curve.account) AS k, mkt.billable(usage_curve.account) AS b (billable),
			mkt.account_quote(usage_curve.account, b.billable) AS q
		WHERE usage_curve.account IS NOT NULL
	), probe AS (
		-- where the account's contacts begin, roughly
		SELECT i.at, b.billable > 0 AS counts
		FROM present AS p, generate_series(0, 19) AS g (n),
			LATERAL (SELECT p.since + make_interval(secs => extract(epoch FROM p.at - p.since)::double precision * g.n / 20) AS at OFFSET 0) AS i,
			mkt.billable(usage_curve.account, i.at) AS b (billable)
	), span AS (
		SELECT p.at AS now, coalesce(max(o.at) FILTER (WHERE o.at < coalesce(f.at, 'infinity')), p.since) AS start
		FROM present AS p, (SELECT min(at) FILTER (WHERE counts) AS at FROM probe) AS f, probe AS o
		GROUP BY p.at, p.since
	), date AS (
		-- what is to come takes a fifth of the chart or more
		SELECT f.update_at AS at, f.renewal, f.billable, f.tier
		FROM span AS s, mkt.forecast(usage_curve.account, least(greatest(2, ceil(extract(epoch FROM s.now - s.start) / 86400 / 120)), 120)::integer) AS f
	), frame AS (
		SELECT s.now, s.start, extract(epoch FROM max(d.at) - s.start)::double precision AS seconds
		FROM span AS s, date AS d
		GROUP BY s.now, s.start
	)
	SELECT g.n, i.at, g.n / (usage_curve.points - 1.0)::double precision, i.at > f.now, false, b.billable, NULL
	FROM frame AS f, generate_series(0, usage_curve.points - 1) AS g (n),
		LATERAL (SELECT f.start + make_interval(secs => f.seconds * g.n / (usage_curve.points - 1)) AS at OFFSET 0) AS i,
		mkt.billable(usage_curve.account, i.at) AS b (billable)
	UNION ALL
	SELECT NULL, p.at, extract(epoch FROM p.at - f.start)::double precision / f.seconds, false, false, p.billable, p.tier
	FROM frame AS f, present AS p
	UNION ALL
	SELECT NULL, d.at, extract(epoch FROM d.at - f.start)::double precision / f.seconds, true, d.renewal, d.billable, d.tier
	FROM frame AS f, date AS d
	ORDER BY 2;
END;
COMMENT ON FUNCTION mkt.usage_curve(text, integer) IS
'The billable counts of an account, for charts: at so many instants at even distances, now, and on update dates to come.';

-- Axes and labels.

CREATE FUNCTION mkt.chart_step(highest bigint) RETURNS bigint
LANGUAGE SQL IMMUTABLE PARALLEL SAFE
RETURN (
	SELECT min(m.digit * p.power)::bigint
	FROM unnest(ARRAY[1, 2, 5]) AS m (digit), (SELECT 10::numeric ^ n AS power FROM generate_series(0, 18) AS n) AS p
	WHERE m.digit * p.power * 4 >= highest
);
COMMENT ON FUNCTION mkt.chart_step(bigint) IS 'The distance between the marks of an axis that reaches a number in four of them.';

CREATE FUNCTION mkt.chart_number(n bigint) RETURNS text
LANGUAGE SQL IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN n < 10000000 THEN to_char(n, 'FM9,999,990')
			WHEN n < 999999500 THEN rtrim(to_char(n / 1000000.0, 'FM990.999'), '.') || 'M'
			ELSE to_char(n, 'FM9.99EEEE') END;
COMMENT ON FUNCTION mkt.chart_number(bigint) IS 'A number as the axis of a chart shows it.';

CREATE FUNCTION mkt.chart_name(account text) RETURNS text
LANGUAGE SQL IMMUTABLE PARALLEL SAFE
RETURN (
	SELECT CASE WHEN length(t.name) > 40 THEN left(t.name, 37) || '...' ELSE t.name END
	FROM (SELECT regexp_replace(account, '[\u0001-\u001F\u007F-\u009F\u2028\u2029\uFFFE\uFFFF]', ' ', 'g') AS name) AS t
);
COMMENT ON FUNCTION mkt.chart_name(text) IS 'The name of an account on one line, without characters that a chart cannot show.';

CREATE FUNCTION mkt.usage_chart(account text, width integer DEFAULT 80, height integer DEFAULT 12) RETURNS SETOF text
LANGUAGE SQL STABLE PARALLEL RESTRICTED ROWS 20 SET jit = off
BEGIN ATOMIC
	WITH size AS MATERIALIZED (
		SELECT least(greatest(coalesce(usage_chart.width, 80), 60), 200) - 11 AS columns, least(greatest(coalesce(usage_chart.height, 12), 4), 50) AS rows
	), curve AS MATERIALIZED (
		SELECT c.* FROM size AS s, mkt.usage_curve(usage_chart.account, s.columns) AS c
	), present AS (
		SELECT c.at, c.billable, q.tier, q.edition, q.time_zone, round(c.x * (s.columns - 1))::integer AS column, s.columns,
			k.since, k.cut
		FROM curve AS c, size AS s, mkt.account_quote(usage_chart.account, c.billable) AS q, mkt.counts_known_since(usage_chart.account) AS k
		WHERE c.point IS NULL AND NOT c.ahead
	), reach AS (
		-- a tier far above all counts stays outside
		SELECT m.highest, CASE WHEN p.tier <= 4 * m.highest THEN p.tier END AS line,
			mkt.chart_step(greatest(m.highest, CASE WHEN p.tier <= 4 * m.highest THEN p.tier END, 1)) AS step
		FROM present AS p, (SELECT max(billable) AS highest FROM curve) AS m
	), axis AS (
		SELECT r.line, r.step, g.marks, greatest(s.rows / g.marks, 1) AS rows, r.step::numeric / greatest(s.rows / g.marks, 1) AS unit
		FROM reach AS r, size AS s,
			LATERAL (SELECT ceil(greatest(r.highest, r.line, 1)::numeric / r.step)::integer AS marks) AS g
	), mark AS (
		SELECT round(c.x * (s.columns - 1))::integer AS column, CASE WHEN bool_or(c.renewal) THEN 'R' ELSE '^' END AS sign
		FROM curve AS c, size AS s
		WHERE c.point IS NULL AND c.ahead
		GROUP BY 1
	), line AS (
		SELECT 0 AS place, 0 AS part, concat('Marketing contacts of account ', mkt.chart_name(usage_chart.account), ', ' || p.edition) AS line
		FROM present AS p
		UNION ALL
		SELECT 1, 0, ''
		FROM present
		UNION ALL
		SELECT 2, -r.row, concat(lpad(CASE WHEN r.row % a.rows = 0 THEN mkt.chart_number(r.row / a.rows * a.step) ELSE '' END, 9), ' |',
			string_agg(CASE WHEN r.row = ceil(a.line / a.unit) AND c.billable < a.line THEN '-'
							WHEN c.billable > 0 AND (c.billable >= (r.row - 0.5) * a.unit OR r.row = 1) THEN CASE WHEN c.ahead THEN ':' ELSE '#' END
							ELSE ' ' END, '' ORDER BY c.point))
		FROM axis AS a, generate_series(1, a.marks * a.rows) AS r (row), curve AS c
		WHERE c.point IS NOT NULL
		GROUP BY r.row, a.rows, a.step
		UNION ALL
		SELECT 3, 0, '        0 +' || string_agg(coalesce(m.sign, CASE c.point WHEN p.column THEN '|' ELSE '-' END), '' ORDER BY c.point)
		FROM present AS p, curve AS c LEFT JOIN mark AS m ON m.column = c.point
		WHERE c.point IS NOT NULL
		UNION ALL
		SELECT 4, 0, repeat(' ', 11) || rpad(CASE WHEN p.column > 11 THEN f.first ELSE '' END, greatest(p.column - 1, 0))
			|| CASE WHEN p.column + 2 < p.columns - 11 THEN 'now' || lpad(f.last, p.columns - greatest(p.column - 1, 0) - 3) ELSE 'now' END
		FROM present AS p,
			LATERAL (SELECT to_char(min(c.at) AT TIME ZONE p.time_zone, 'YYYY-MM-DD') AS first, to_char(max(c.at) AT TIME ZONE p.time_zone, 'YYYY-MM-DD') AS last
					 FROM curve AS c) AS f
		UNION ALL
		SELECT 5, 0, ''
		FROM present
		UNION ALL
		SELECT 6, 0, concat('# counted  : forecast', CASE WHEN a.line IS NOT NULL THEN '  - tier' END,
							CASE WHEN EXISTS (SELECT FROM mark WHERE sign = '^') THEN '  ^ update date' END,
							CASE WHEN EXISTS (SELECT FROM mark WHERE sign = 'R') THEN '  R renewal' END)
		FROM axis AS a
		UNION ALL
		SELECT 7, 0, concat(mkt.chart_number(p.billable), ' now',
			', ' || round(100.0 * p.billable / nullif(p.tier, 0), 1) || ' % of tier ' || mkt.chart_number(p.tier),
			CASE WHEN p.tier > 0 AND a.line IS NULL THEN ', which is above the chart' END,
			'; ', mkt.chart_number(d.billable), ' from ', to_char(d.at AT TIME ZONE p.time_zone, 'YYYY-MM-DD'), ' on.')
		FROM present AS p, axis AS a, (SELECT c.at, c.billable FROM curve AS c WHERE c.point IS NULL AND c.ahead ORDER BY c.at LIMIT 1) AS d
		UNION ALL
		SELECT 8, 0, 'Counts before ' || to_char(p.since AT TIME ZONE p.time_zone, 'YYYY-MM-DD HH24:MI') || ' are not known: no history is kept of them.'
		FROM present AS p
		WHERE p.cut
	)
	SELECT rtrim(l.line) FROM line AS l WHERE l.line IS NOT NULL ORDER BY l.place, l.part;
END;
COMMENT ON FUNCTION mkt.usage_chart(text, integer, integer) IS
'The marketing contacts of an account over time against its tier, as lines of text: since its history begins, and on update dates to come (P2, P3). Arguments: account; width, 60 to 200 characters; height, about so many lines from 4 to 50. For whoever may ask mkt.billable() and mkt.account_quote().';

CREATE FUNCTION mkt.chart_xml(content text) RETURNS text
LANGUAGE SQL IMMUTABLE PARALLEL SAFE
RETURN replace(replace(replace(replace(content, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;');
COMMENT ON FUNCTION mkt.chart_xml(text) IS 'A text as the content of an element or attribute of XML.';

CREATE FUNCTION mkt.chart_dates(first timestamptz, last timestamptz, time_zone text) RETURNS TABLE (at timestamptz, label text)
LANGUAGE SQL STABLE PARALLEL SAFE ROWS 9
BEGIN ATOMIC
	SELECT d.at AT TIME ZONE chart_dates.time_zone, to_char(d.at, u.form)
	FROM (
		SELECT u.field, u.step, u.form
		FROM (VALUES (interval '1 day', 'day', 'YYYY-MM-DD'), ('2 days', 'day', 'YYYY-MM-DD'), ('7 days', 'week', 'YYYY-MM-DD'),
					 ('14 days', 'week', 'YYYY-MM-DD'), ('1 month', 'month', 'YYYY-MM'), ('2 months', 'year', 'YYYY-MM'), ('3 months', 'year', 'YYYY-MM'),
					 ('6 months', 'year', 'YYYY-MM'), ('1 year', 'year', 'YYYY'), ('2 years', 'decade', 'YYYY'), ('5 years', 'decade', 'YYYY'),
					 ('10 years', 'century', 'YYYY'), ('50 years', 'century', 'YYYY')) AS u (step, field, form)
		WHERE chart_dates.first + 8 * u.step > chart_dates.last OR u.step = interval '50 years'
		ORDER BY u.step
		LIMIT 1
	) AS u, generate_series(date_trunc(u.field, chart_dates.first AT TIME ZONE chart_dates.time_zone), chart_dates.last AT TIME ZONE chart_dates.time_zone, u.step) AS d (at)
	WHERE d.at AT TIME ZONE chart_dates.time_zone BETWEEN chart_dates.first AND chart_dates.last;
END;
COMMENT ON FUNCTION mkt.chart_dates(timestamptz, timestamptz, text) IS 'The dates, in a zone, that the axis of a chart shows: at most nine.';

CREATE FUNCTION mkt.usage_svg(account text, width integer DEFAULT 840, height integer DEFAULT 400) RETURNS text
LANGUAGE SQL STABLE PARALLEL RESTRICTED SET jit = off
BEGIN ATOMIC
	WITH size AS MATERIALIZED (
		SELECT least(greatest(coalesce(usage_svg.width, 840), 600), 4000) AS width, least(greatest(coalesce(usage_svg.height, 400), 240), 4000) AS height
	), curve AS MATERIALIZED (
		SELECT c.* FROM mkt.usage_curve(usage_svg.account, 161) AS c
	), present AS (
		SELECT c.at, c.x, c.billable, q.tier, q.edition, q.time_zone, k.since, k.cut
		FROM curve AS c, mkt.account_quote(usage_svg.account, c.billable) AS q, mkt.counts_known_since(usage_svg.account) AS k
		WHERE c.point IS NULL AND NOT c.ahead
	), reach AS (
		SELECT m.highest, m.first, m.last, CASE WHEN p.tier <= 4 * m.highest THEN p.tier END AS line,
			mkt.chart_step(greatest(m.highest, CASE WHEN p.tier <= 4 * m.highest THEN p.tier END, 1)) AS step
		FROM present AS p, (SELECT max(billable) AS highest, min(at) AS first, max(at) AS last FROM curve) AS m
	), box AS (
		-- the plot within the picture
		SELECT r.line, r.step, r.first, r.last, s.width, s.height, 76 AS x, 96 AS y, s.width - 100 AS w, s.height - 176 AS h,
			ceil(greatest(r.highest, r.line, 1)::numeric / r.step)::integer AS marks
		FROM reach AS r, size AS s
	), place AS (
		SELECT c.at, c.ahead, c.renewal, c.point, round((b.x + c.x * b.w)::numeric, 1) AS x,
			round(b.y + b.h - b.h * c.billable / (b.step::numeric * b.marks), 1) AS y
		FROM curve AS c, box AS b
	), path AS (
		SELECT string_agg(CASE WHEN c.ahead THEN '' WHEN c.before IS NULL THEN format('M%s %s', c.x, c.y) WHEN c.y <> c.before THEN format('H%sV%s', c.x, c.y) ELSE '' END,
						  '' ORDER BY c.at, c.x) AS past,
			min(c.x) AS first,
			string_agg(CASE WHEN c.ahead AND c.y <> c.before THEN format('H%sV%s', c.x, c.y) ELSE '' END, '' ORDER BY c.at, c.x) AS later,
			max(c.x) AS last
		FROM (SELECT p.at, p.ahead, p.x, p.y, lag(p.y) OVER (ORDER BY p.at, p.x) AS before FROM place AS p) AS c
	), now AS (
		SELECT p.x, p.y FROM place AS p WHERE p.point IS NULL AND NOT p.ahead
	), word AS (
		SELECT mkt.chart_xml(concat('Marketing contacts of account ', mkt.chart_name(usage_svg.account), ', ' || p.edition)) AS title,
			concat(mkt.chart_number(p.billable), ' now',
				   ', ' || round(100.0 * p.billable / nullif(p.tier, 0), 1) || ' % of tier ' || mkt.chart_number(p.tier),
				   CASE WHEN p.tier > 0 AND b.line IS NULL THEN ', which is above the chart' END, '; ', mkt.chart_number(d.billable), ' from ', to_char(d.at AT TIME ZONE p.time_zone, 'YYYY-MM-DD'), ' on') AS summary,
			CASE WHEN p.cut THEN 'Counts before ' || to_char(p.since AT TIME ZONE p.time_zone, 'YYYY-MM-DD HH24:MI') || ' are not known: no history is kept of them.' END AS gap,
			mkt.chart_xml(p.time_zone) AS time_zone,
			'mkt-' || md5(usage_svg.account) AS id
		FROM present AS p, box AS b, (SELECT c.at, c.billable FROM curve AS c WHERE c.point IS NULL AND c.ahead ORDER BY c.at LIMIT 1) AS d
	), part AS (
		SELECT 0 AS place, format('<svg xmlns="http://www.w3.org/2000/svg" width="%1$s" height="%2$s" viewBox="0 0 %1$s %2$s" role="img" aria-labelledby="%3$s-title %3$s-desc" font-family="system-ui, Helvetica, Arial, sans-serif" font-size="12" fill="#333">
<title id="%3$s-title">%4$s</title>
<desc id="%3$s-desc">Billable contacts over time, and as they will be on update dates to come. %5$s.%6$s</desc>
<rect width="100%%" height="100%%" fill="#fff"/>
<text x="20" y="30" font-size="17" font-weight="bold" fill="#111">%4$s</text>
<text x="20" y="52" font-size="13">%5$s</text>', b.width, b.height, w.id, w.title, w.summary, ' ' || w.gap) AS part
		FROM box AS b, word AS w
		UNION ALL
		SELECT 1, format('<path d="M%s %sH%s" stroke="%s" fill="none"/>
<text x="%s" y="%s" text-anchor="end">%s</text>', b.x, g.y, b.x + b.w, CASE m.n WHEN 0 THEN '#333' ELSE '#ddd' END, b.x - 8, g.y + 4, mkt.chart_number(m.n * b.step))
		FROM box AS b, generate_series(0, b.marks) AS m (n), LATERAL (SELECT round(b.y + b.h - b.h * m.n::numeric / b.marks, 1) AS y) AS g
		UNION ALL
		SELECT 2, format('<path d="M%1$s %2$sv5" stroke="#333"/>
<text x="%1$s" y="%3$s" text-anchor="%5$s">%4$s</text>', g.x, b.y + b.h, b.y + b.h + 19, d.label, CASE WHEN g.x > b.width - 44 THEN 'end' ELSE 'middle' END)
		FROM box AS b, present AS p, mkt.chart_dates(b.first, b.last, p.time_zone) AS d,
			LATERAL (SELECT round((b.x + b.w * extract(epoch FROM d.at - b.first) / extract(epoch FROM b.last - b.first))::numeric, 1) AS x) AS g
		UNION ALL
		SELECT 3, format('<path d="M%s %sH%s" stroke="#b3261e" stroke-width="1.5" fill="none"/>', b.x, g.y, b.x + b.w)
		FROM box AS b, LATERAL (SELECT round(b.y + b.h - b.h * b.line / (b.step::numeric * b.marks), 1) AS y) AS g
		WHERE b.line IS NOT NULL
		UNION ALL
		SELECT 4, format('<path d="%1$sH%2$sV%3$sH%4$sZ" fill="#0b6a8f" fill-opacity="0.15"/>
<path d="M%2$s %5$s%6$sH%7$sV%3$sH%2$sZ" fill="#0b6a8f" fill-opacity="0.06"/>
<path d="%1$sH%2$s" fill="none" stroke="#0b6a8f" stroke-width="2"/>
<path d="M%2$s %5$s%6$sH%7$s" fill="none" stroke="#0b6a8f" stroke-width="2" stroke-dasharray="6 4"/>',
			c.past, n.x, b.y + b.h, c.first, n.y, c.later, c.last)
		FROM path AS c, now AS n, box AS b
		UNION ALL
		SELECT 5, format('<path d="M%1$s %2$sV%3$s" stroke="#333" stroke-dasharray="2 3"/>
<text x="%1$s" y="%4$s" text-anchor="%5$s">now</text>', n.x, b.y, b.y + b.h, b.y - 6, CASE WHEN n.x < b.x + 20 THEN 'start' ELSE 'middle' END)
		FROM box AS b, now AS n
		UNION ALL
		SELECT 6, format('<path d="M%s %sl4 -8h-8z" fill="%s"/>', p.x, b.y + b.h, CASE WHEN p.renewal THEN '#b3261e' ELSE '#0b6a8f' END)
		FROM place AS p, box AS b
		WHERE p.point IS NULL AND p.ahead
		UNION ALL
		SELECT 7, format('<text x="%s" y="%s" text-anchor="middle">date (%s)</text>
<text transform="translate(18 %s) rotate(-90)" text-anchor="middle">billable contacts</text>', b.x + b.w / 2, b.y + b.h + 38, w.time_zone, b.y + b.h / 2)
		FROM box AS b, word AS w
		UNION ALL
		SELECT 8, format('<g transform="translate(%s %s)">%s</g>', b.x, b.height - 18, string_agg(format('<g transform="translate(%s 0)">%s<text x="%s" y="4">%s</text></g>',
				l.x, l.sign, l.indent, l.label), '' ORDER BY l.x))
		FROM box AS b, LATERAL (
			SELECT e.sign, e.indent, e.label, (coalesce(sum(e.indent + 20 + 7 * length(e.label)) OVER (ORDER BY e.n ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW), 0)) AS x
			FROM (
				VALUES (1, '<path d="M0 0h24" stroke="#0b6a8f" stroke-width="2"/>', 30, 'counted'),
					(2, '<path d="M0 0h24" stroke="#0b6a8f" stroke-width="2" stroke-dasharray="6 4"/>', 30, 'forecast'),
					(3, '<path d="M0 0h24" stroke="#b3261e" stroke-width="1.5"/>', 30, 'tier ' || mkt.chart_number(b.line)),
					(4, '<path d="M4 4l4 -8l-8 0z" fill="#0b6a8f"/>', 14, 'update date'),
					(5, '<path d="M4 4l4 -8l-8 0z" fill="#b3261e"/>', 14, 'renewal')
			) AS e (n, sign, indent, label)
			WHERE e.label IS NOT NULL AND (e.label <> 'renewal' OR EXISTS (SELECT FROM place WHERE renewal))
			  AND (e.label <> 'update date' OR EXISTS (SELECT FROM place WHERE point IS NULL AND ahead AND NOT renewal))
		) AS l
		GROUP BY b.x, b.height
		UNION ALL
		SELECT 9, format('<text x="20" y="68" font-size="12" fill="#b3261e">%s</text>', w.gap)
		FROM word AS w
		WHERE w.gap IS NOT NULL
		UNION ALL
		SELECT 10, '</svg>'
		FROM box
	)
	SELECT string_agg(p.part, E'\n' ORDER BY p.place, p.part) FROM part AS p;
END;
COMMENT ON FUNCTION mkt.usage_svg(text, integer, integer) IS
'The chart of mkt.usage_chart() as a picture in SVG, which needs nothing else: one text. Arguments: account; width, 600 to 4000, and height, 240 to 4000, in pixels. For whoever may ask mkt.billable() and mkt.account_quote().';

CREATE FUNCTION mkt.usage_chart(account bigint, width integer DEFAULT 80, height integer DEFAULT 12) RETURNS SETOF text
LANGUAGE SQL STABLE PARALLEL RESTRICTED ROWS 20
BEGIN ATOMIC
	SELECT * FROM mkt.usage_chart($1::text, $2, $3);
END;
COMMENT ON FUNCTION mkt.usage_chart(bigint, integer, integer) IS 'The same for an account that is a number.';

CREATE FUNCTION mkt.usage_chart(account uuid, width integer DEFAULT 80, height integer DEFAULT 12) RETURNS SETOF text
LANGUAGE SQL STABLE PARALLEL RESTRICTED ROWS 20
BEGIN ATOMIC
	SELECT * FROM mkt.usage_chart($1::text, $2, $3);
END;
COMMENT ON FUNCTION mkt.usage_chart(uuid, integer, integer) IS 'The same for an account that is a uuid.';

CREATE FUNCTION mkt.usage_svg(account bigint, width integer DEFAULT 840, height integer DEFAULT 400) RETURNS text
LANGUAGE SQL STABLE PARALLEL RESTRICTED
RETURN mkt.usage_svg(account::text, width, height);
COMMENT ON FUNCTION mkt.usage_svg(bigint, integer, integer) IS 'The same for an account that is a number.';

CREATE FUNCTION mkt.usage_svg(account uuid, width integer DEFAULT 840, height integer DEFAULT 400) RETURNS text
LANGUAGE SQL STABLE PARALLEL RESTRICTED
RETURN mkt.usage_svg(account::text, width, height);
COMMENT ON FUNCTION mkt.usage_svg(uuid, integer, integer) IS 'The same for an account that is a uuid.';
