-- Attached tables that a subscription of a logical replication fills (subscription.c).

CREATE FUNCTION mkt.subscribed_tables() RETURNS TABLE (contacts regclass, follows boolean)
LANGUAGE SQL STABLE
BEGIN ATOMIC
	SELECT a.contacts, t.follows
	FROM mkt.attachment AS a
	CROSS JOIN LATERAL (
		SELECT bool_or(EXISTS (SELECT FROM pg_subscription_rel AS s WHERE s.srrelid = p.relid)) AS subscribed,
			NOT bool_or(EXISTS (SELECT FROM pg_trigger AS t
								WHERE t.tgrelid = p.relid AND t.tgenabled = 'O'
								  AND t.tgname IN ('mkt_10_state', 'mkt_80_count', 'mkt_85_recount', 'mkt_90_post', 'mkt_95_truncate'))) AS follows
		FROM (SELECT relid FROM pg_partition_tree(a.contacts) UNION SELECT a.contacts) AS p
	) AS t
	WHERE EXISTS (SELECT FROM pg_subscription_rel) AND t.subscribed;
END;
REVOKE ALL ON FUNCTION mkt.subscribed_tables() FROM PUBLIC;
COMMENT ON FUNCTION mkt.subscribed_tables() IS 'Attached tables that a subscription fills, themselves or their partitions, and whether the replicated rows fire their triggers.';
