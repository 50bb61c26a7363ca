-- mkt.usage_chart() and mkt.usage_svg(): what was and what will be, as a picture (P2, P3).

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-01-10 12:00+00';
\pset tuples_only on
CREATE SCHEMA charts;
SET search_path = charts;

-- Nothing attached.
SELECT mkt.usage_chart('nobody', 60, 4);

CREATE TABLE contact (id integer PRIMARY KEY, account text);
SELECT mkt.attach('contact', account_column => 'account');
INSERT INTO mkt.account (account, edition, commitment, started_on, time_zone) VALUES
    ('42', 'starter', 'annual', '2025-07-15', 'Europe/Oslo'), ('small', 'professional', 'monthly', '2025-01-31', 'UTC');
SET mktcontacts.clock = '2026-02-01 12:00+00';
INSERT INTO contact SELECT i, '42', CASE WHEN i <= 300 THEN 'marketing' ELSE 'non_marketing' END::mkt.status FROM generate_series(1, 2000) AS i;
SELECT format('SET mktcontacts.clock = %L', timestamptz '2026-02-10 12:00+00' + n * interval '8 days'),
    format('UPDATE contact SET marketing_status = ''marketing'' WHERE id BETWEEN %s AND %s', 300 + n * 100, 400 + n * 100) FROM generate_series(0, 8) AS n
\gexec
UPDATE contact SET marketing_status = 'non_marketing' WHERE id <= 500;
SET mktcontacts.clock = '2026-05-05 12:00+00';
UPDATE contact SET marketing_status = 'marketing' WHERE id <= 700;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id BETWEEN 600 AND 1000;
SET mktcontacts.clock = '2026-05-20 12:00+00';
INSERT INTO contact SELECT 10000 + i, 'small', 'marketing', i > 5 FROM generate_series(1, 7) AS i;
SELECT mkt.usage_chart('42');
SELECT mkt.usage_chart('42', 100, 20);
SELECT mkt.usage_chart('small');
SELECT max(length(line)) AS widest, count(*) AS lines FROM mkt.usage_chart('42', 1000, 1000) AS line;
SELECT max(length(line)) AS widest, count(*) AS lines FROM mkt.usage_chart('42', 0, -1) AS line;
SELECT max(length(line)) AS widest, count(*) AS lines FROM mkt.usage_chart('42', NULL, NULL) AS line;
SELECT count(*) AS none FROM mkt.usage_chart(NULL::text);
SELECT count(*) AS lines, count(*) FILTER (WHERE n.line IS DISTINCT FROM t.line) AS differ
FROM mkt.usage_chart(42) WITH ORDINALITY AS n (line, i) FULL JOIN mkt.usage_chart('42') WITH ORDINALITY AS t (line, i) USING (i);
SELECT line FROM mkt.usage_chart('6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid) AS line LIMIT 1;

-- Every point is what mkt.billable() says of its instant, from the beginning of what is known to an update date.
SELECT count(*) AS points, count(*) FILTER (WHERE c.billable IS DISTINCT FROM mkt.billable('42', c.at)) AS wrong, count(*) FILTER (WHERE c.ahead <> (c.at > mkt.now())) AS misplaced,
    min(c.at) >= '2026-01-10 12:00+00' AS known, max(c.at) = (SELECT max(update_at) FROM mkt.forecast('42', 2)) AS to_the_end
FROM mkt.usage_curve('42', 69) AS c;

-- The picture is XML, says what it is, and shows an account's name as it is.
SELECT mkt.usage_svg('42', 700, 320);
SELECT (xpath('/*/@width', x))[1] AS width, (xpath('name(/*)', x))[1] AS root, (xpath('/*/@role', x))[1] AS role, (xpath('//*[local-name() = "title"]/text()', x))[1] AS title,
    (xpath('count(//*[local-name() = "script"] | //@*[starts-with(name(), "on") or local-name() = "href"])', x))[1] AS active
FROM (SELECT mkt.usage_svg('small')::xml AS x) AS s;
SELECT (xpath('string(//*[local-name() = "desc"])', mkt.usage_svg('small')::xml))[1] AS description;
SELECT xml_is_well_formed_document(mkt.usage_svg(name)) AS xml, mkt.chart_name(name), (SELECT line FROM mkt.usage_chart(name) AS line LIMIT 1) AS first_line
FROM unnest(ARRAY['</title><script>alert("1")</script>', 'a & b', '''"<>', '', E'two\nlines\x01', '%s %1$s', repeat('long ', 20)]) AS name;
SELECT count(*) AS well_formed FROM generate_series(0, 4000, 400) AS n WHERE xml_is_well_formed_document(mkt.usage_svg('42', n, n));
SELECT mkt.usage_svg(42) = mkt.usage_svg('42') AS same, mkt.usage_svg('6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid) IS NOT NULL AS uuid, mkt.usage_svg(NULL::text) IS NULL AS "null";

-- Axes: marks at round distances, four at most; dates that a reader knows, nine at most.
SELECT n, mkt.chart_step(n) AS step, ceil(n::numeric / mkt.chart_step(n)) AS marks, mkt.chart_number(n) FROM unnest(ARRAY[0, 1, 4, 5, 8, 9, 1000, 2001, 9999999, 10000000, 12345678, 999999499, 12345678901, 9223372036854775807]) AS n;
SELECT days, count(*) AS dates, min(label) AS first, max(label) AS last
FROM unnest(ARRAY[1, 8, 9, 30, 60, 100, 200, 400, 700, 1200, 2500, 5000, 10000, 20000, 40000]) AS days, mkt.chart_dates('2026-02-10 12:00+00', timestamptz '2026-02-10 12:00+00' + days * interval '1 day', 'Europe/Oslo')
GROUP BY days ORDER BY days;

-- Where no history is kept the chart begins where it is known, and says so.
SELECT mkt.set_history('contact', false);
SELECT mkt.usage_chart('42', 60, 4);
SELECT (xpath('string(//*[local-name() = "desc"])', mkt.usage_svg('42')::xml))[1] AS description;
SET mktcontacts.clock = '2026-05-21 12:00+00';
SELECT mkt.set_history('contact', true);
SET mktcontacts.clock = '2026-06-30 12:00+00';
SELECT mkt.usage_chart('42', 60, 4);

-- Whose rights: as for the forecast.
CREATE ROLE chart_reader;
GRANT USAGE ON SCHEMA charts TO chart_reader;
SET ROLE chart_reader;
SELECT mkt.usage_chart('42');
SELECT mkt.usage_svg('42');
RESET ROLE;
GRANT EXECUTE ON FUNCTION mkt.account_quote(text, bigint, timestamptz, bigint) TO chart_reader;
SET ROLE chart_reader;
SELECT mkt.usage_chart('42');
RESET ROLE;
GRANT SELECT (id) ON contact TO chart_reader;
SET ROLE chart_reader;
SELECT count(*) AS lines FROM mkt.usage_chart('42');
RESET ROLE;

\pset tuples_only off
SELECT * FROM mkt.verify();
SET client_min_messages = warning;
REVOKE EXECUTE ON FUNCTION mkt.account_quote(text, bigint, timestamptz, bigint) FROM chart_reader;
DROP SCHEMA charts CASCADE;
DROP ROLE chart_reader;
DELETE FROM mkt.account;
