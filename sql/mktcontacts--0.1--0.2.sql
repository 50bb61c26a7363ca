\echo Use "ALTER EXTENSION mktcontacts UPDATE" to load this file. \quit
-- From version 0.1 to 0.2. What attached tables need comes first and last.

CREATE FUNCTION mkt.lock_tables() RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_lock_tables';
REVOKE ALL ON FUNCTION mkt.lock_tables() FROM PUBLIC;
COMMENT ON FUNCTION mkt.lock_tables() IS
'The first command of an upgrade: waits for transactions that write contacts, and lets no others write until the upgrade is committed. Sessions with an older library find out then.';

CREATE FUNCTION mkt.renew_tables() RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_renew_tables';
REVOKE ALL ON FUNCTION mkt.renew_tables() FROM PUBLIC;
COMMENT ON FUNCTION mkt.renew_tables() IS 'The last command of an upgrade: brings attached tables to their present form.';

SELECT mkt.lock_tables();

-- The library of version 0.1 does not have C functions of these names, so that a session that has loaded it refuses from now on.
CREATE OR REPLACE FUNCTION mkt.contact_state() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_contact_state_0_2';
CREATE OR REPLACE FUNCTION mkt.contact_count() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_contact_count_0_2';
CREATE OR REPLACE FUNCTION mkt.contact_recount() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_contact_recount_0_2';
CREATE OR REPLACE FUNCTION mkt.contact_post() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_contact_post_0_2';
CREATE OR REPLACE FUNCTION mkt.contact_truncate() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_contact_truncate_0_2';
CREATE OR REPLACE FUNCTION mkt.attach(contacts regclass, account_column name DEFAULT NULL, account text DEFAULT NULL,
						   key_column name DEFAULT NULL, already_marketing text DEFAULT NULL,
						   unsubscribed text DEFAULT NULL, bounced text DEFAULT NULL) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_attach_0_2';
CREATE OR REPLACE FUNCTION mkt.detach(contacts regclass, drop_columns boolean DEFAULT false) RETURNS void
LANGUAGE C STRICT SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'mkt_detach_0_2';
CREATE OR REPLACE FUNCTION mkt.repair(contacts regclass DEFAULT NULL) RETURNS SETOF mkt.difference
LANGUAGE C SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'mkt_repair_0_2';
CREATE OR REPLACE PROCEDURE mkt.run()
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_run_0_2';

-- The form of attached tables, which the last command brings up to date.
ALTER TABLE mkt.attachment ADD COLUMN structure smallint NOT NULL DEFAULT 1;
COMMENT ON COLUMN mkt.attachment.structure IS 'The form of its triggers and of the tables beside it, by number; a dump of an earlier version may bring an older one, which mkt.run() renews.';
COMMENT ON COLUMN mkt.run_log.part IS 'run, for the whole call, or the part: structure, subscriptions, count, already marketing, history, apply, tiers, periods, workflows, check, expire history, tidy, fold.';
COMMENT ON PROCEDURE mkt.run() IS
'Everything that is due: lets the triggers of tables that a subscription fills fire, counts and fills tables that were just attached, makes partitions of histories and drops what is kept no longer, applies updates, renews tiers, closes periods, runs workflows, recounts tables that may have drifted, folds counts. Outside a transaction block each part commits; what fails is noted in mkt.run_log, with a warning, and the rest is done. It waits for no lock longer than 10 s, or lock_timeout. Meant to be called every minute; any number of sessions may.';

-- What sessions have read of settings is not kept in any role.
CREATE TRIGGER settings_changed AFTER INSERT OR UPDATE OR DELETE ON mkt.account
FOR EACH STATEMENT EXECUTE FUNCTION mkt.limit_changed('any');
ALTER TABLE mkt.account ENABLE ALWAYS TRIGGER settings_changed;
DROP TRIGGER count_deleted_set ON mkt.account;
DROP TRIGGER count_deleted_updated ON mkt.account;
DROP TRIGGER count_deleted_deleted ON mkt.account;

-- Accounts near a boundary. Nobody has looked how many places are left, so that the next transaction does.
ALTER TABLE mkt.account_tier ADD COLUMN places_left bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN mkt.account_tier.near IS 'Whether it is so near that its transactions look more often, and hold a lock while they commit.';
COMMENT ON COLUMN mkt.account_tier.places_left IS 'How many contacts were left until next_at when somebody looked; the fewer, the more transactions look.';

CREATE OR REPLACE FUNCTION mkt.record_crossing(account text, before bigint, after bigint, band bigint, notify boolean) RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	WITH watched AS (
		SELECT a AS settings, a.account, a.edition, a.currency, a.sandbox, a.time_zone, t.tier,
			(mkt.now() AT TIME ZONE a.time_zone)::date AS today,
			CASE WHEN record_crossing.after > t.tier THEN mkt.tier_limit(i.included, i.increment, record_crossing.after) ELSE t.tier END AS new_tier
		FROM mkt.account AS a
		JOIN mkt.account_tier AS t ON t.account = a.account
		JOIN mkt.increment AS i ON i.edition = a.edition
			AND (mkt.now() AT TIME ZONE a.time_zone)::date >= i.valid_from
			AND (mkt.now() AT TIME ZONE a.time_zone)::date < coalesce(i.valid_to, 'infinity')
		WHERE a.account = record_crossing.account
		FOR UPDATE OF t
	), changed AS (
		INSERT INTO mkt.tier_change (account, at, reason, billable, from_edition, edition, from_tier, to_tier, currency, from_price, to_price,
									 days_left, days_of_term, term_ends_on, charge, sandbox)
		SELECT w.account, mkt.now(), 'exceeded', record_crossing.after, w.edition, w.edition, w.tier, w.new_tier, w.currency, c.from_price, c.to_price,
			c.days_left, c.days_of_term, c.term_ends_on, c.charge, w.sandbox
		FROM watched AS w
		CROSS JOIN LATERAL mkt.charge_for_tier(w.settings, w.edition, w.tier, w.new_tier) AS c
		WHERE w.new_tier > w.tier
	), noticed AS (
		INSERT INTO mkt.notice (account, percent, period_ends_at, at, billable, tier, notified)
		SELECT w.account, b.percent, mkt.next_update(w.account), mkt.now(), record_crossing.after, w.tier, record_crossing.notify
		FROM watched AS w
		CROSS JOIN LATERAL (
			SELECT t.percent, ceil(t.percent * w.tier / 100) AS boundary
			FROM mkt.threshold AS t
			WHERE w.today >= t.valid_from AND w.today < coalesce(t.valid_to, 'infinity')
			UNION ALL
			SELECT 101, w.tier + 1
		) AS b
		WHERE record_crossing.before < b.boundary AND record_crossing.after >= b.boundary
		ON CONFLICT ON CONSTRAINT notice_pkey DO NOTHING
		RETURNING percent
	), kept AS (
		UPDATE mkt.account_tier AS t
		SET tier = w.new_tier,
			since = CASE WHEN w.new_tier > w.tier THEN mkt.now() ELSE t.since END,
			next_at = b.next_at, last_at = b.last_at, looked_until = mkt.next_update(w.account), valid_until = mkt.day_begins(b.until, w.time_zone),
			near = mkt.is_near(record_crossing.after, b.last_at, b.next_at, record_crossing.band), places_left = b.next_at - record_crossing.after
		FROM watched AS w
		CROSS JOIN LATERAL mkt.boundaries(w.new_tier, record_crossing.after, w.today) AS b
		WHERE t.account = w.account
	)
	SELECT pg_notify('mktcontacts', '') WHERE record_crossing.notify AND EXISTS (SELECT FROM noticed);
END;

CREATE OR REPLACE FUNCTION mkt.start_tiers(accounts text[], billable bigint[], from_editions text[], band bigint) RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	WITH had AS (
		SELECT a AS settings, n.billable, t.tier, coalesce(t.tier, l.from_tier) AS from_tier,
			CASE WHEN t.tier IS NULL THEN l.from_edition ELSE n.from_edition END AS from_edition,
			(mkt.now() AT TIME ZONE a.time_zone)::date AS today
		FROM unnest(start_tiers.accounts, start_tiers.billable, start_tiers.from_editions) AS n (account, billable, from_edition)
		JOIN mkt.account AS a ON a.account = n.account
		LEFT JOIN mkt.account_tier AS t ON t.account = a.account
		LEFT JOIN LATERAL (
			SELECT c.from_edition, c.from_tier, c.to_tier, c.at
			FROM mkt.tier_change AS c
			WHERE t.account IS NULL AND c.account = a.account AND c.gone_at IS NULL
			ORDER BY c.at DESC, c.change DESC
			LIMIT 1
		) AS l ON l.to_tier IS NULL AND mkt.next_renewal(a.account, l.at) > mkt.now()
	), asked AS (
		SELECT (h.settings).*, h.settings, h.billable, h.today, h.tier AS old_tier, h.from_tier, h.from_edition,
			mkt.tier_limit(i.included, i.increment, greatest(h.billable, h.from_tier)) AS tier
		FROM had AS h
		LEFT JOIN mkt.increment AS i ON i.edition = (h.settings).edition AND h.today >= i.valid_from AND h.today < coalesce(i.valid_to, 'infinity')
	), gone AS (
		DELETE FROM mkt.account_tier AS t
		USING asked AS s
		WHERE t.account = s.account AND s.tier IS NULL
	), changed AS (
		INSERT INTO mkt.tier_change (account, at, reason, billable, from_edition, edition, from_tier, to_tier, currency, from_price, to_price,
									 days_left, days_of_term, term_ends_on, charge, sandbox)
		SELECT s.account, mkt.now(), 'edition', s.billable, s.from_edition, s.edition, s.from_tier, s.tier, s.currency, c.from_price, c.to_price,
			c.days_left, c.days_of_term, c.term_ends_on, c.charge, s.sandbox
		FROM asked AS s
		CROSS JOIN LATERAL mkt.charge_for_tier(s.settings, s.from_edition, s.from_tier, s.tier) AS c
		WHERE s.old_tier IS NOT NULL OR s.from_tier IS NOT NULL AND s.tier IS NOT NULL
	)
	INSERT INTO mkt.account_tier AS t (account, next_at, near, last_at, looked_until, tier, since, renews_at, valid_until, places_left)
	SELECT s.account, b.next_at, mkt.is_near(s.billable, b.last_at, b.next_at, start_tiers.band), b.last_at, mkt.next_update(s.account),
		s.tier, mkt.now(), mkt.next_renewal(s.account), mkt.day_begins(b.until, s.time_zone), b.next_at - s.billable
	FROM asked AS s
	CROSS JOIN LATERAL mkt.boundaries(s.tier, s.billable, s.today) AS b
	WHERE s.tier IS NOT NULL
	ON CONFLICT ON CONSTRAINT account_tier_pkey DO UPDATE
	SET next_at = EXCLUDED.next_at, near = EXCLUDED.near, last_at = EXCLUDED.last_at, looked_until = EXCLUDED.looked_until, tier = EXCLUDED.tier,
		since = EXCLUDED.since, renews_at = EXCLUDED.renews_at, valid_until = EXCLUDED.valid_until,
		places_left = EXCLUDED.places_left;
END;

CREATE OR REPLACE FUNCTION mkt.renew_tier(a mkt.account, name_then text) RETURNS bigint
LANGUAGE SQL
BEGIN ATOMIC
	WITH due AS (
		SELECT t.account, t.tier, t.renews_at, b.billable, (t.renews_at AT TIME ZONE (a).time_zone)::date AS day,
			CASE WHEN d.tier >= b.billable THEN least(r.tier, t.tier) ELSE t.tier END AS new_tier
		FROM mkt.account_tier AS t
		LEFT JOIN mkt.downgrade_request AS d ON d.account = t.account AND d.renews_at = t.renews_at
		LEFT JOIN mkt.increment AS i ON i.edition = (a).edition AND (t.renews_at AT TIME ZONE (a).time_zone)::date >= i.valid_from
			AND (t.renews_at AT TIME ZONE (a).time_zone)::date < coalesce(i.valid_to, 'infinity')
		-- the request may be older than the edition, or than its tiers
		CROSS JOIN LATERAL (SELECT mkt.tier_limit(i.included, i.increment, d.tier) AS tier) AS r
		CROSS JOIN LATERAL mkt.billable_as_known(renew_tier.name_then, t.renews_at) AS b (billable)
		WHERE t.account = (a).account AND t.renews_at <= mkt.now()
		FOR UPDATE OF t
	), changed AS (
		INSERT INTO mkt.tier_change (account, at, reason, billable, from_edition, edition, from_tier, to_tier, currency, from_price, to_price, charge, sandbox)
		SELECT d.account, d.renews_at, 'renewed', d.billable, (a).edition, (a).edition, d.tier, d.new_tier, (a).currency,
			mkt.price_on((a).edition, d.tier, (a).currency, d.day), mkt.price_on((a).edition, d.new_tier, (a).currency, d.day), 0, (a).sandbox
		FROM due AS d
	), renewed AS (
		UPDATE mkt.account_tier AS t
		SET tier = d.new_tier, since = CASE WHEN d.new_tier = d.tier THEN t.since ELSE d.renews_at END,
			renews_at = mkt.next_renewal((a).commitment, (a).started_on, (a).time_zone, d.renews_at),
			next_at = b.next_at, last_at = b.last_at, looked_until = d.renews_at, near = true, valid_until = mkt.day_begins(b.until, (a).time_zone),
			places_left = 0
		FROM due AS d
		CROSS JOIN LATERAL mkt.boundaries(d.new_tier, d.billable, d.day) AS b
		WHERE t.account = d.account
		RETURNING 1
	)
	SELECT count(*) FROM renewed;
END;

CREATE OR REPLACE FUNCTION mkt.unwatch_far(band bigint) RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	UPDATE mkt.account_tier AS t
	SET near = f.near, next_at = f.next_at, last_at = f.last_at, looked_until = mkt.next_update(f.account), valid_until = f.valid_until,
		places_left = f.places_left
	FROM (
		SELECT t.account, b.next_at, b.last_at, r.near, b.next_at - n.billable AS places_left, mkt.day_begins(b.until, a.time_zone) AS valid_until
		FROM mkt.account_tier AS t
		JOIN mkt.account AS a ON a.account = t.account
		CROSS JOIN LATERAL (SELECT mkt.billable(a.account) AS billable) AS n
		CROSS JOIN LATERAL mkt.boundaries(t.tier, n.billable, (mkt.now() AT TIME ZONE a.time_zone)::date) AS b
		CROSS JOIN LATERAL (SELECT mkt.is_near(n.billable, b.last_at, b.next_at, unwatch_far.band) AS near) AS r
		WHERE t.next_at > unwatch_far.band AND (t.near AND NOT r.near OR NOT t.near AND t.looked_until <= mkt.now()) OR t.valid_until <= mkt.now()
		FOR UPDATE OF t SKIP LOCKED
	) AS f
	WHERE t.account = f.account;
END;

CREATE OR REPLACE FUNCTION mkt.look_at_all() RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	UPDATE mkt.account_tier SET next_at = 0, near = true, places_left = 0;
END;

-- A publication of all tables has to tell rows apart, and a subscription may fill attached tables.
ALTER TABLE mkt.tool_setting REPLICA IDENTITY FULL;
ALTER TABLE mkt.contact_count REPLICA IDENTITY FULL;
ALTER TABLE mkt.contact_count_history REPLICA IDENTITY FULL;
ALTER TABLE mkt.batch_report REPLICA IDENTITY FULL;
ALTER TABLE mkt.parked_contact REPLICA IDENTITY FULL;
ALTER TABLE mkt.drift REPLICA IDENTITY FULL;
ALTER TABLE mkt.filter REPLICA IDENTITY FULL;
ALTER TABLE mkt.workflow_attempt REPLICA IDENTITY FULL;
ALTER TABLE mkt.workflow_notice REPLICA IDENTITY FULL;
ALTER TABLE mkt.run_log REPLICA IDENTITY FULL;

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
DROP EVENT TRIGGER mktcontacts_altered;
CREATE EVENT TRIGGER mktcontacts_altered ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'DROP TABLE', 'ALTER TRIGGER', 'DROP TRIGGER', 'CREATE SUBSCRIPTION', 'ALTER SUBSCRIPTION') EXECUTE FUNCTION mkt.table_altered();
COMMENT ON EVENT TRIGGER mktcontacts_altered IS 'Notices what attached tables'' own triggers cannot: partitions that come and go, triggers that are disabled, subscriptions that fill them.';
COMMENT ON FUNCTION mkt.table_altered() IS 'Event trigger mktcontacts_altered: lets the next mkt.run() recount an attached table whose triggers are disabled or dropped, or that gets or loses a partition; lets rows that are replicated into one from now on fire its triggers.';

-- Tables of counts can be sealed, and have tallies.
CREATE FUNCTION mkt.give_lane() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_give_lane';
REVOKE ALL ON FUNCTION mkt.give_lane() FROM PUBLIC;
COMMENT ON FUNCTION mkt.give_lane() IS 'Trigger function of tables of counts: rows that come from a dump or another server are read as if this transaction had written them.';
COMMENT ON COLUMN mkt.contact_count.n IS 'So many contacts; below zero: so many fewer. Where was and until are both null, this is no count: it spares readers rows that were folded.';
COMMENT ON COLUMN mkt.contact_count.at IS 'When they changed; of several changes the last; null for a sum.';

-- mkt.account is never truncated.
DROP TRIGGER was_emptied ON mkt.account;

SELECT mkt.renew_tables();
