-- One page for the administrator.

CREATE FUNCTION mkt.status() RETURNS TABLE (item text, state text, to_type text)
LANGUAGE SQL STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT s.item, s.state, s.to_type FROM (
		SELECT 1 AS page_order, 'version' AS item,
			e.extversion || ', PostgreSQL ' || current_setting('server_version') AS state,
			CASE WHEN e.extversion <> a.default_version THEN 'ALTER EXTENSION mktcontacts UPDATE;' END AS to_type
		FROM pg_extension AS e
		JOIN pg_available_extensions AS a ON a.name = e.extname
		WHERE e.extname = 'mktcontacts'
	UNION ALL
		SELECT 2, 'table ' || t.contacts,
			CASE
				WHEN t.missing IS NOT NULL THEN 'triggers are missing: ' || t.missing
				WHEN t.disabled IS NOT NULL THEN 'triggers are disabled: ' || t.disabled
				WHEN t.drifted > 0 THEN format('%s counts differ from its contacts', t.drifted)
				WHEN t.suspect IS NOT NULL THEN 'to be recounted: ' || t.suspect
				WHEN NOT t.counted THEN 'attached; its non-marketing contacts are not counted yet'
				WHEN NOT t.filled THEN 'attached; those that already are marketing are not set yet'
				ELSE 'attached, triggers enabled' || CASE WHEN t.history IS NULL THEN ', no history' ELSE '' END
			END,
			CASE
				WHEN t.missing IS NOT NULL THEN format('SELECT mkt.detach(%1$L); SELECT mkt.attach(%1$L, ...);', t.contacts)
				WHEN t.disabled IS NOT NULL THEN format('%s SELECT * FROM mkt.repair(%L);', t.enable, t.contacts)
				WHEN t.drifted > 0 THEN format('SELECT * FROM mkt.repair(%L);', t.contacts)
				WHEN t.suspect IS NOT NULL OR NOT t.counted OR NOT t.filled THEN 'CALL mkt.run();'
			END
		FROM (
			SELECT a.contacts::text, a.counted, a.filled, a.history::text, k.suspect, w.*,
				(SELECT count(*) FROM mkt.drift AS d WHERE d.contacts = a.contacts) AS drifted
			FROM mkt.attachment AS a
			LEFT JOIN mkt.table_check AS k ON k.contacts = a.contacts
			CROSS JOIN LATERAL (
				SELECT string_agg(n.name || n.of_partition, ', ' ORDER BY p.relid, n.name) FILTER (WHERE t.oid IS NULL) AS missing,
					string_agg(n.name || n.of_partition, ', ' ORDER BY p.relid, n.name) FILTER (WHERE t.tgenabled IN ('D', 'R')) AS disabled,
					string_agg(format('ALTER TABLE %s ENABLE TRIGGER %I;', p.relid, n.name), ' ' ORDER BY p.relid, n.name) FILTER (WHERE t.tgenabled IN ('D', 'R')) AS enable
				FROM (SELECT relid FROM pg_partition_tree(a.contacts) UNION SELECT a.contacts) AS p
				CROSS JOIN LATERAL (
					SELECT v.name, CASE WHEN p.relid::oid = a.contacts::oid THEN '' ELSE ' of ' || p.relid END AS of_partition
					FROM (VALUES ('mkt_10_state', true), ('mkt_80_count', true), ('mkt_85_recount', true), ('mkt_90_post', false), ('mkt_95_truncate', false))
						AS v (name, of_partitions)
					WHERE v.of_partitions OR p.relid::oid = a.contacts::oid
				) AS n
				LEFT JOIN pg_trigger AS t ON t.tgrelid = p.relid AND t.tgname = n.name
			) AS w
		) AS t
	UNION ALL
		SELECT 3, 'counts', format('%s rows, %s when folded', n.rows, n.folded), CASE WHEN n.rows > 2 * n.folded + 10000 THEN 'CALL mkt.run();' END
		FROM (
			SELECT (SELECT count(*) FROM mkt.contact_count) AS rows,
				(SELECT count(*) FROM (SELECT FROM mkt.contact_count GROUP BY tableoid, account_name, deleted, until HAVING sum(n) <> 0) AS f) AS folded
		) AS n
	UNION ALL
		SELECT 4, 'last run',
			CASE
				WHEN r.run IS NULL THEN 'never'
				WHEN r.finished_at IS NULL THEN 'since ' || date_trunc('second', r.started_at)
				ELSE format('%s, took %s', date_trunc('second', r.started_at), date_trunc('milliseconds', r.finished_at - r.started_at))
			END || CASE WHEN r.failed > 0 THEN format(', %s steps failed', r.failed) ELSE '' END,
			CASE
				WHEN r.failed > 0 THEN format('SELECT part, contacts, error FROM mkt.run_log WHERE run = %s AND failed > 0;', r.run)
				WHEN r.run IS NULL OR r.started_at < clock_timestamp() - interval '1 hour' THEN 'SELECT mkt.schedule();'
			END
		FROM (VALUES (1)) AS one
		LEFT JOIN (SELECT * FROM mkt.run_log WHERE part = 'run' ORDER BY run DESC LIMIT 1) AS r ON true
	UNION ALL
		SELECT 5, 'update dates',
			CASE WHEN l.contacts > 0 THEN format('contacts to bring up to date: %s, late by %s', l.contacts, date_trunc('second', mkt.now() - l.since))
				ELSE 'all applied' END,
			CASE WHEN l.contacts > 0 AND mkt.now() - l.since > interval '10 minutes' THEN 'CALL mkt.run();' END
		FROM (
			SELECT sum(d.n) AS contacts, min(d.until) AS since
			FROM (
				SELECT until, sum(n) AS n
				FROM (
					SELECT until, n FROM mkt.contact_count WHERE NOT deleted AND until > '-infinity' AND until <= mkt.now()
					UNION ALL
					SELECT was, -n FROM mkt.contact_count WHERE NOT deleted AND was > '-infinity' AND was <= mkt.now()
				) AS c
				GROUP BY until
				HAVING sum(n) > 0
			) AS d
		) AS l
	UNION ALL
		SELECT 6, 'renewals',
			CASE WHEN r.accounts > 0 THEN format('accounts to renew: %s, late by %s', r.accounts, date_trunc('second', mkt.now() - r.since)) ELSE 'all done' END,
			CASE WHEN r.accounts > 0 AND mkt.now() - r.since > interval '10 minutes' THEN 'CALL mkt.run();' END
		FROM (SELECT count(*) AS accounts, min(renews_at) AS since FROM mkt.account_tier WHERE renews_at <= mkt.now()) AS r
	UNION ALL
		SELECT 7, 'periods',
			CASE WHEN p.problems > 0 THEN format('cannot be closed: %s', p.problems)
				WHEN p.due > 0 THEN format('to close: %s, late by %s', p.due, date_trunc('second', mkt.now() - p.since)) ELSE 'all closed' END,
			CASE WHEN p.problems > 0 THEN 'SELECT account, problem FROM mkt.open_period WHERE problem IS NOT NULL;'
				WHEN p.due > 0 AND mkt.now() - p.since > interval '10 minutes' THEN 'CALL mkt.run();' END
		FROM (
			SELECT count(*) AS due, min(ends_at) AS since, (SELECT count(*) FROM mkt.open_period WHERE problem IS NOT NULL) AS problems
			FROM mkt.open_period
			WHERE ends_at > '-infinity' AND ends_at <= mkt.now()
		) AS p
	UNION ALL
		SELECT 8, 'notices', CASE WHEN n.unread > 0 THEN format('not seen: %s', n.unread) ELSE 'all seen' END,
			CASE WHEN n.unread > 0 THEN 'SELECT * FROM mkt.notice WHERE seen_at IS NULL;' END
		FROM (SELECT count(*) AS unread FROM mkt.notice WHERE seen_at IS NULL) AS n
	UNION ALL
		SELECT 9, 'parked contacts', p.parked::text, CASE WHEN p.parked > 0 THEN 'SELECT * FROM mkt.parked;' END
		FROM (SELECT count(*) AS parked FROM mkt.parked_contact) AS p
	UNION ALL
		SELECT 10, 'open reviews', CASE WHEN v.reviews > 0 THEN format('%s, the oldest of %s', v.reviews, date_trunc('second', v.since)) ELSE '0' END,
			CASE WHEN v.reviews > 0 THEN 'SELECT * FROM mkt.review WHERE state = ''open'';' END
		FROM (SELECT count(*) AS reviews, min(opened_at) AS since FROM mkt.review WHERE state = 'open') AS v
	UNION ALL
		SELECT 11, 'workflows', format('%s on, %s held', w.on_now, w.held),
			CASE WHEN w.held > 0 THEN 'SELECT workflow, account, name, held_because FROM mkt.workflow WHERE state = ''held'';' END
		FROM (SELECT count(*) FILTER (WHERE state = 'on') AS on_now, count(*) FILTER (WHERE state = 'held') AS held FROM mkt.workflow) AS w
	) AS s
	ORDER BY s.page_order, s.item;
END;
REVOKE ALL ON FUNCTION mkt.status() FROM PUBLIC;
COMMENT ON FUNCTION mkt.status() IS
'One page for the administrator: the version, attached tables and their triggers, the counts, the last mkt.run() and how late what is due is, notices, parked contacts, reviews, workflows. to_type is what to type about it, and null where nothing is to do. Reads all counts.';
