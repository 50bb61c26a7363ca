-- Workflows: contacts that come to meet a condition are set as marketing or non-marketing (workflow.c, enroll.c).

CREATE TABLE mkt.workflow (
	workflow		bigint		GENERATED ALWAYS AS IDENTITY CONSTRAINT workflow_pkey PRIMARY KEY,
	contacts		regclass	NOT NULL,
	account			text		NOT NULL,
	name			text		NOT NULL,
	set_to			mkt.status	NOT NULL,
	filter			jsonb,
	condition		text,
	reenroll		boolean		NOT NULL,
	limit_per_day	bigint		CONSTRAINT "limit_per_day is positive" CHECK (limit_per_day > 0),
	owner			name		NOT NULL,
	state			text		NOT NULL DEFAULT 'off' CONSTRAINT "state is off, on or held" CHECK (state IN ('off', 'on', 'held')),
	held_because	text,
	created_at		timestamptz	NOT NULL,
	switched_on_at	timestamptz,
	evaluated_at	timestamptz,
	took			interval,
	failures		integer		NOT NULL DEFAULT 0,
	day				date,
	changed_that_day bigint		NOT NULL DEFAULT 0,
	CONSTRAINT workflow_key UNIQUE (contacts, account, name),
	CONSTRAINT filter_or_condition CHECK (num_nonnulls(filter, condition) = 1)
);
COMMENT ON TABLE mkt.workflow IS 'Workflows of accounts (K1). Written by mkt.create_workflow() and its likes, and by mkt.run().';
COMMENT ON COLUMN mkt.workflow.workflow IS 'The number of the workflow.';
COMMENT ON COLUMN mkt.workflow.contacts IS 'The contacts table.';
COMMENT ON COLUMN mkt.workflow.account IS 'The account.';
COMMENT ON COLUMN mkt.workflow.name IS 'Its name, one of the account''s; the source name of what it changes.';
COMMENT ON COLUMN mkt.workflow.set_to IS 'What it sets the contacts as.';
COMMENT ON COLUMN mkt.workflow.filter IS 'The enrolment condition as JSON, or null.';
COMMENT ON COLUMN mkt.workflow.condition IS 'The enrolment condition in SQL, or null; c is a contact.';
COMMENT ON COLUMN mkt.workflow.reenroll IS 'Whether a contact is enrolled again when it comes to meet the condition again.';
COMMENT ON COLUMN mkt.workflow.limit_per_day IS 'So many contacts it may change a day of the account, before it is held (K7); null: any number.';
COMMENT ON COLUMN mkt.workflow.owner IS 'The role whose members may change it, and with whose rights it runs (K5).';
COMMENT ON COLUMN mkt.workflow.state IS 'off, on, or held until it is switched on again.';
COMMENT ON COLUMN mkt.workflow.held_because IS 'Why it is held.';
COMMENT ON COLUMN mkt.workflow.created_at IS 'When it was created, by mkt.now().';
COMMENT ON COLUMN mkt.workflow.switched_on_at IS 'When it was switched on last.';
COMMENT ON COLUMN mkt.workflow.evaluated_at IS 'When mkt.run() looked last for contacts that meet the condition, in real time.';
COMMENT ON COLUMN mkt.workflow.took IS 'How long that took; it is done again after twenty times as long, or at the next run when it took less than a second.';
COMMENT ON COLUMN mkt.workflow.failures IS 'How often the condition has failed in succession.';
COMMENT ON COLUMN mkt.workflow.day IS 'The account''s day of the next column.';
COMMENT ON COLUMN mkt.workflow.changed_that_day IS 'How many contacts it has changed on that day, since it was switched on.';
SELECT pg_catalog.pg_extension_config_dump('mkt.workflow', '');
SELECT pg_catalog.pg_extension_config_dump('mkt.workflow_workflow_seq', '');

CREATE TABLE mkt.enrollment (
	workflow		bigint		NOT NULL,
	key				text		NOT NULL,
	meets			boolean		NOT NULL,
	state			text		NOT NULL CONSTRAINT "state of an enrollment"
								CHECK (state IN ('waiting', 'changed', 'already', 'pending', 'parked', 'failed', 'unenrolled', 'passed_over')),
	enrolled_at		timestamptz	NOT NULL,
	attempts		integer		NOT NULL DEFAULT 0,
	next_attempt_at	timestamptz,
	reason			text,
	batch			bigint,
	done_at			timestamptz,
	CONSTRAINT enrollment_pkey PRIMARY KEY (workflow, key)
);
CREATE INDEX enrollment_waiting ON mkt.enrollment (workflow, next_attempt_at, key) WHERE state = 'waiting';
COMMENT ON TABLE mkt.enrollment IS 'The contacts that have met a workflow''s condition, and what became of them (K2). Written by mkt.run().';
COMMENT ON COLUMN mkt.enrollment.workflow IS 'The workflow.';
COMMENT ON COLUMN mkt.enrollment.key IS 'The key of the contact, as text.';
COMMENT ON COLUMN mkt.enrollment.meets IS 'Whether it met the condition when mkt.run() looked last.';
COMMENT ON COLUMN mkt.enrollment.state IS 'waiting for the action; changed; already or pending: it was; parked by a maximum; failed; unenrolled: it was gone; passed_over: it met the condition when the workflow was switched on, for new ones only.';
COMMENT ON COLUMN mkt.enrollment.enrolled_at IS 'When it was enrolled, or passed over.';
COMMENT ON COLUMN mkt.enrollment.attempts IS 'How often the action has failed.';
COMMENT ON COLUMN mkt.enrollment.next_attempt_at IS 'When it is tried, or was.';
COMMENT ON COLUMN mkt.enrollment.reason IS 'Why it failed last.';
COMMENT ON COLUMN mkt.enrollment.batch IS 'The batch of the action, for mkt.undo().';
COMMENT ON COLUMN mkt.enrollment.done_at IS 'When it was done.';
SELECT pg_catalog.pg_extension_config_dump('mkt.enrollment', '');

CREATE TABLE mkt.workflow_attempt (
	workflow	bigint		NOT NULL,
	at			timestamptz	NOT NULL,
	key			text,
	contacts	bigint		NOT NULL,
	sqlstate	text		NOT NULL,
	reason		text
);
ALTER TABLE mkt.workflow_attempt REPLICA IDENTITY FULL;
CREATE INDEX workflow_attempt_workflow ON mkt.workflow_attempt (workflow, at);
COMMENT ON TABLE mkt.workflow_attempt IS 'The attempts of workflows (K3): the action, for a contact or several, or the condition. Written by mkt.run(), which keeps a month of them.';
COMMENT ON COLUMN mkt.workflow_attempt.workflow IS 'The workflow.';
COMMENT ON COLUMN mkt.workflow_attempt.at IS 'When, by mkt.now().';
COMMENT ON COLUMN mkt.workflow_attempt.key IS 'The key of the contact; null: several, or the condition.';
COMMENT ON COLUMN mkt.workflow_attempt.contacts IS 'On how many contacts it acted, or tried to; 0: the condition. When it fails for several, fewer are tried.';
COMMENT ON COLUMN mkt.workflow_attempt.sqlstate IS 'How it failed; 00000: it succeeded.';
COMMENT ON COLUMN mkt.workflow_attempt.reason IS 'The message of the failure.';
SELECT pg_catalog.pg_extension_config_dump('mkt.workflow_attempt', '');

CREATE TABLE mkt.workflow_notice (
	workflow	bigint		NOT NULL,
	at			timestamptz	NOT NULL,
	notice		text		NOT NULL,
	seen_at		timestamptz
);
ALTER TABLE mkt.workflow_notice REPLICA IDENTITY FULL;
COMMENT ON TABLE mkt.workflow_notice IS 'Workflows that were held, and why. Channel mktcontacts is notified with the workflow as JSON. Who has dealt with one may set seen_at.';
COMMENT ON COLUMN mkt.workflow_notice.workflow IS 'The workflow.';
COMMENT ON COLUMN mkt.workflow_notice.at IS 'When it was held, by mkt.now().';
COMMENT ON COLUMN mkt.workflow_notice.notice IS 'Why.';
COMMENT ON COLUMN mkt.workflow_notice.seen_at IS 'For you: when somebody dealt with it.';
SELECT pg_catalog.pg_extension_config_dump('mkt.workflow_notice', '');

CREATE TABLE mkt.workflow_allowance (
	account		text		CONSTRAINT workflow_allowance_pkey PRIMARY KEY,
	actions		numeric		NOT NULL,
	at			timestamptz	NOT NULL
);
REVOKE ALL ON mkt.workflow_allowance FROM PUBLIC;
COMMENT ON TABLE mkt.workflow_allowance IS 'How many contacts the workflows of accounts with actions_per_second could act on, when they did so last.';

CREATE VIEW mkt.workflow_usage WITH (security_invoker = true) AS
SELECT w.workflow, w.contacts, w.account, w.name, w.state, w.held_because,
	count(*) FILTER (WHERE e.state <> 'passed_over') AS enrolled,
	count(*) FILTER (WHERE e.state = 'changed') AS changed,
	count(*) FILTER (WHERE e.state = 'already') AS already,
	count(*) FILTER (WHERE e.state = 'pending') AS pending,
	count(*) FILTER (WHERE e.state = 'parked') AS parked,
	count(*) FILTER (WHERE e.state = 'failed') AS failed,
	count(*) FILTER (WHERE e.state = 'unenrolled') AS unenrolled,
	count(*) FILTER (WHERE e.state = 'waiting') AS waiting,
	count(*) FILTER (WHERE e.state = 'waiting' AND e.attempts > 0) AS retrying,
	min(e.next_attempt_at) FILTER (WHERE e.state = 'waiting') AS next_attempt_at
FROM mkt.workflow AS w
LEFT JOIN mkt.enrollment AS e ON e.workflow = w.workflow
GROUP BY w.workflow;
COMMENT ON VIEW mkt.workflow_usage IS 'What each workflow did (K6): contacts enrolled, and what became of them.';
COMMENT ON COLUMN mkt.workflow_usage.workflow IS 'The workflow.';
COMMENT ON COLUMN mkt.workflow_usage.contacts IS 'The contacts table.';
COMMENT ON COLUMN mkt.workflow_usage.account IS 'The account.';
COMMENT ON COLUMN mkt.workflow_usage.name IS 'Its name.';
COMMENT ON COLUMN mkt.workflow_usage.state IS 'off, on or held.';
COMMENT ON COLUMN mkt.workflow_usage.held_because IS 'Why it is held.';
COMMENT ON COLUMN mkt.workflow_usage.enrolled IS 'Contacts that were enrolled.';
COMMENT ON COLUMN mkt.workflow_usage.changed IS 'Of them, those that it changed.';
COMMENT ON COLUMN mkt.workflow_usage.already IS 'Those that were so already.';
COMMENT ON COLUMN mkt.workflow_usage.pending IS 'Those that were pending already.';
COMMENT ON COLUMN mkt.workflow_usage.parked IS 'Those that a maximum kept from changing.';
COMMENT ON COLUMN mkt.workflow_usage.failed IS 'Those for which it failed for good.';
COMMENT ON COLUMN mkt.workflow_usage.unenrolled IS 'Those that were gone.';
COMMENT ON COLUMN mkt.workflow_usage.waiting IS 'Those that wait for the action.';
COMMENT ON COLUMN mkt.workflow_usage.retrying IS 'Of these, those for which it has failed before.';
COMMENT ON COLUMN mkt.workflow_usage.next_attempt_at IS 'When the first of these is tried.';

ALTER TABLE mkt.workflow ENABLE ROW LEVEL SECURITY;
ALTER TABLE mkt.enrollment ENABLE ROW LEVEL SECURITY;
ALTER TABLE mkt.workflow_attempt ENABLE ROW LEVEL SECURITY;
ALTER TABLE mkt.workflow_notice ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON mkt.workflow FOR SELECT USING (EXISTS (SELECT FROM pg_catalog.pg_roles AS r
	WHERE r.rolname OPERATOR(pg_catalog.=) owner AND pg_catalog.pg_has_role(r.oid, 'USAGE')));
CREATE POLICY own ON mkt.enrollment FOR SELECT USING (workflow IN (SELECT w.workflow FROM mkt.workflow AS w));
CREATE POLICY own ON mkt.workflow_attempt FOR SELECT USING (workflow IN (SELECT w.workflow FROM mkt.workflow AS w));
CREATE POLICY own ON mkt.workflow_notice USING (workflow IN (SELECT w.workflow FROM mkt.workflow AS w));
COMMENT ON POLICY own ON mkt.workflow IS 'Who may change it sees it.';
COMMENT ON POLICY own ON mkt.enrollment IS 'Who may change the workflow sees it.';
COMMENT ON POLICY own ON mkt.workflow_attempt IS 'Who may change the workflow sees it.';
COMMENT ON POLICY own ON mkt.workflow_notice IS 'Who may change the workflow sees it, and says when it was seen.';
GRANT SELECT ON mkt.workflow, mkt.enrollment, mkt.workflow_attempt, mkt.workflow_notice, mkt.workflow_usage TO PUBLIC;
GRANT UPDATE (seen_at) ON mkt.workflow_notice TO PUBLIC;

CREATE FUNCTION mkt.create_workflow(contacts regclass, account text, name text, set_to mkt.status,
									filter jsonb DEFAULT NULL, condition text DEFAULT NULL,
									reenroll boolean DEFAULT false, limit_per_day bigint DEFAULT NULL) RETURNS bigint
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_create_workflow';
COMMENT ON FUNCTION mkt.create_workflow(regclass, text, text, mkt.status, jsonb, text, boolean, bigint) IS
'Creates a workflow, switched off, and returns its number (K1). It will run with the rights of the role that created it. Arguments: the contacts table; the account; the name; what it sets contacts as; the enrolment condition, as a filter in JSON or as a condition in SQL; reenroll, whether a contact that comes to meet the condition again is enrolled again; limit_per_day, after so many changed contacts it is held. Errors: MK001 not attached, MK006 keys of several columns, MK013 the filter is not one or does not fit the table, MK019 the account''s edition has no workflows, 42710 there is one of that name.';

CREATE FUNCTION mkt.alter_workflow(workflow bigint, name text DEFAULT NULL, filter jsonb DEFAULT NULL, condition text DEFAULT NULL,
								   reenroll boolean DEFAULT NULL, limit_per_day bigint DEFAULT NULL) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_alter_workflow';
COMMENT ON FUNCTION mkt.alter_workflow(bigint, text, jsonb, text, boolean, bigint) IS
'Changes a workflow; what is null stays. Contacts that meet another condition are enrolled as if they had come to meet it. Arguments: the workflow; those of mkt.create_workflow(); limit_per_day 0 ends the limit. Errors: as its, P0002 no such workflow, 42501 it belongs to another role.';

CREATE FUNCTION mkt.drop_workflow(workflow bigint) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_drop_workflow';
COMMENT ON FUNCTION mkt.drop_workflow(bigint) IS
'Drops a workflow and what it knows of contacts; what it has changed stays. Argument: the workflow. Errors: P0002 no such workflow, 42501 it belongs to another role.';

CREATE FUNCTION mkt.switch_on_workflow(workflow bigint, existing boolean) RETURNS bigint
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_switch_on_workflow';
COMMENT ON FUNCTION mkt.switch_on_workflow(bigint, boolean) IS
'Switches a workflow on, also one that is held; mkt.run() does the rest (K2). Arguments: the workflow; existing, whether contacts that meet the condition already are enrolled, too. Returns how many of them are: enrolled or passed over, who were not before. Errors: P0002 no such workflow, 42501 it belongs to another role, 22004 existing is not said, MK019 the account''s edition has no workflows, and what the condition raises.';

CREATE FUNCTION mkt.switch_off_workflow(workflow bigint) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_switch_off_workflow';
COMMENT ON FUNCTION mkt.switch_off_workflow(bigint) IS
'Switches a workflow off. Contacts that wait for the action wait until it is switched on again. Argument: the workflow. Errors: P0002 no such workflow, 42501 it belongs to another role.';

-- What mkt.run() writes down.

CREATE FUNCTION mkt.has_workflows(account text) RETURNS boolean
LANGUAGE SQL STABLE
RETURN coalesce((SELECT e.workflows FROM mkt.account AS a JOIN mkt.edition AS e ON e.edition = a.edition WHERE a.account = has_workflows.account), true);
REVOKE ALL ON FUNCTION mkt.has_workflows(text) FROM PUBLIC;
COMMENT ON FUNCTION mkt.has_workflows(text) IS 'Whether an account may have workflows (K1): its edition includes them, or it has none.';

CREATE FUNCTION mkt.enroll(workflow bigint, keys text[], pass_over boolean) RETURNS bigint
LANGUAGE SQL
BEGIN ATOMIC
	UPDATE mkt.enrollment AS e SET meets = false
	WHERE e.workflow = enroll.workflow AND e.meets AND NOT EXISTS (SELECT FROM unnest(enroll.keys) AS m (key) WHERE m.key = e.key);
	WITH enrolled AS (
		INSERT INTO mkt.enrollment AS e (workflow, key, meets, state, enrolled_at, next_attempt_at)
		SELECT enroll.workflow, m.key, true, CASE WHEN enroll.pass_over THEN 'passed_over' ELSE 'waiting' END, mkt.now(), mkt.now()
		FROM unnest(enroll.keys) AS m (key)
		LEFT JOIN mkt.enrollment AS o ON o.workflow = enroll.workflow AND o.key = m.key
		WHERE o.key IS NULL OR NOT o.meets
		ON CONFLICT ON CONSTRAINT enrollment_pkey DO UPDATE
		SET meets = true,
			(state, enrolled_at, attempts, next_attempt_at, reason, batch, done_at) = (
				SELECT CASE WHEN a.again THEN EXCLUDED.state ELSE e.state END, CASE WHEN a.again THEN EXCLUDED.enrolled_at ELSE e.enrolled_at END,
					CASE WHEN a.again THEN 0 ELSE e.attempts END, CASE WHEN a.again THEN EXCLUDED.next_attempt_at ELSE e.next_attempt_at END,
					CASE WHEN NOT a.again THEN e.reason END, CASE WHEN NOT a.again THEN e.batch END, CASE WHEN NOT a.again THEN e.done_at END
				FROM (
					SELECT e.state IN ('passed_over', 'unenrolled') OR e.state <> 'waiting' AND w.reenroll AND NOT enroll.pass_over AS again
					FROM mkt.workflow AS w WHERE w.workflow = e.workflow
				) AS a
			)
		RETURNING e.enrolled_at = mkt.now() AND e.done_at IS NULL AS is_new
	)
	SELECT count(*) FILTER (WHERE is_new) FROM enrolled;
END;
REVOKE ALL ON FUNCTION mkt.enroll(bigint, text[], boolean) FROM PUBLIC;
COMMENT ON FUNCTION mkt.enroll(bigint, text[], boolean) IS
'Enrols the contacts that have come to meet a workflow''s condition (K2), and notes those that do not any more. Arguments: the workflow; the keys of all that meet it; pass_over, whether they are only noted. Returns how many were enrolled or passed over.';

CREATE FUNCTION mkt.hold_workflow(workflow bigint, because text) RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	WITH held AS (
		UPDATE mkt.workflow AS w SET state = 'held', held_because = hold_workflow.because
		WHERE w.workflow = hold_workflow.workflow AND w.state = 'on'
		RETURNING w.workflow
	), noticed AS (
		INSERT INTO mkt.workflow_notice (workflow, at, notice)
		SELECT h.workflow, mkt.now(), hold_workflow.because FROM held AS h
	)
	SELECT pg_notify('mktcontacts', jsonb_build_object('workflow', h.workflow)::text) FROM held AS h;
END;
REVOKE ALL ON FUNCTION mkt.hold_workflow(bigint, text) FROM PUBLIC;
COMMENT ON FUNCTION mkt.hold_workflow(bigint, text) IS 'Holds a workflow that is on, with a notice. Arguments: the workflow; why.';

CREATE FUNCTION mkt.evaluated(workflow bigint, took interval, sqlstate text, reason text, failures_allowed integer) RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	INSERT INTO mkt.workflow_attempt (workflow, at, contacts, sqlstate, reason)
	SELECT evaluated.workflow, mkt.now(), 0, evaluated.sqlstate, evaluated.reason WHERE evaluated.sqlstate IS NOT NULL;
	UPDATE mkt.workflow AS w
	SET evaluated_at = clock_timestamp(), took = evaluated.took, failures = CASE WHEN evaluated.sqlstate IS NULL THEN 0 ELSE w.failures + 1 END
	WHERE w.workflow = evaluated.workflow;
	SELECT mkt.hold_workflow(w.workflow, format('its condition has failed %s times: %s', w.failures, evaluated.reason))
	FROM mkt.workflow AS w WHERE w.workflow = evaluated.workflow AND w.failures >= evaluated.failures_allowed;
END;
REVOKE ALL ON FUNCTION mkt.evaluated(bigint, interval, text, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION mkt.evaluated(bigint, interval, text, text, integer) IS
'Notes that a workflow''s condition was evaluated, and holds the workflow when it has failed too often. Arguments: the workflow; how long it took; how it failed, or null; the number of failures in succession after which it is held.';

CREATE FUNCTION mkt.may_act_on(workflow bigint, wanted bigint, OUT contacts bigint, OUT left_today bigint)
LANGUAGE SQL
BEGIN ATOMIC
	UPDATE mkt.workflow AS w
	SET day = d.day, changed_that_day = 0
	FROM (SELECT (mkt.now() AT TIME ZONE coalesce(a.time_zone, 'UTC'))::date AS day
		  FROM mkt.workflow AS v LEFT JOIN mkt.account AS a ON a.account = v.account WHERE v.workflow = may_act_on.workflow) AS d
	WHERE w.workflow = may_act_on.workflow AND w.day IS DISTINCT FROM d.day;
	INSERT INTO mkt.workflow_allowance AS l (account, actions, at)
	SELECT a.account, greatest(1, a.actions_per_second * 60), mkt.now()
	FROM mkt.workflow AS w
	JOIN mkt.account AS a ON a.account = w.account
	WHERE w.workflow = may_act_on.workflow AND a.actions_per_second IS NOT NULL
	ON CONFLICT ON CONSTRAINT workflow_allowance_pkey DO UPDATE
	SET actions = least(EXCLUDED.actions, l.actions + (SELECT a.actions_per_second FROM mkt.account AS a WHERE a.account = l.account)
							* greatest(0, extract(epoch FROM mkt.now() - l.at))),
		at = greatest(l.at, mkt.now());
	WITH asked AS (
		SELECT l.account AS limited_account, w.limit_per_day - w.changed_that_day AS left_today,
			greatest(0, least(may_act_on.wanted, w.limit_per_day - w.changed_that_day, floor(l.actions)::bigint)) AS contacts
		FROM mkt.workflow AS w
		LEFT JOIN mkt.account AS a ON a.account = w.account
		LEFT JOIN mkt.workflow_allowance AS l ON l.account = a.account AND a.actions_per_second IS NOT NULL
		WHERE w.workflow = may_act_on.workflow
	), taken AS (
		UPDATE mkt.workflow_allowance AS l SET actions = l.actions - s.contacts FROM asked AS s WHERE l.account = s.limited_account
	)
	SELECT s.contacts, s.left_today FROM asked AS s;
END;
REVOKE ALL ON FUNCTION mkt.may_act_on(bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION mkt.may_act_on(bigint, bigint) IS
'On how many of the wanted contacts a workflow may act now, by its limit a day (K7) and its account''s actions_per_second; and how many changes are left of the limit today, null without one.';

CREATE FUNCTION mkt.act_again(workflow bigint, keys text[], sqlstate text, reason text, attempts_allowed integer) RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	UPDATE mkt.enrollment AS e
	SET attempts = e.attempts + 1, reason = act_again.reason,
		state = CASE WHEN e.attempts + 1 >= act_again.attempts_allowed THEN 'failed' ELSE e.state END,
		done_at = CASE WHEN e.attempts + 1 >= act_again.attempts_allowed THEN mkt.now() END,
		next_attempt_at = mkt.now() + least(interval '1 minute' * 2 ^ least(e.attempts, 12), interval '1 day')
	WHERE e.workflow = act_again.workflow AND e.key = ANY (act_again.keys) AND e.state = 'waiting';
	INSERT INTO mkt.workflow_attempt (workflow, at, key, contacts, sqlstate, reason)
	SELECT act_again.workflow, mkt.now(), k.key, 1, act_again.sqlstate, act_again.reason FROM unnest(act_again.keys) AS k (key);
END;
REVOKE ALL ON FUNCTION mkt.act_again(bigint, text[], text, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION mkt.act_again(bigint, text[], text, text, integer) IS
'Lets contacts for which a workflow''s action failed wait for the next attempt, longer each time (K3). Arguments: the workflow; their keys; how it failed; the number of attempts after which it is given up, null: none.';

CREATE FUNCTION mkt.acted(workflow bigint, asked text[], keys text[], states text[], batch bigint, attempts_allowed integer) RETURNS void
LANGUAGE SQL
BEGIN ATOMIC
	UPDATE mkt.enrollment AS e
	SET state = coalesce(d.state, 'unenrolled'), batch = CASE WHEN d.state = 'changed' THEN acted.batch END, done_at = mkt.now(), reason = NULL
	FROM unnest(acted.asked) AS a (key)
	LEFT JOIN unnest(acted.keys, acted.states) AS d (key, state) ON d.key = a.key
	WHERE e.workflow = acted.workflow AND e.key = a.key AND coalesce(d.state, '') NOT IN ('locked', 'refused');
	INSERT INTO mkt.workflow_attempt (workflow, at, key, contacts, sqlstate)
	SELECT acted.workflow, mkt.now(), CASE WHEN count(*) = 1 THEN min(a.key) END, count(*), '00000'
	FROM unnest(acted.asked) AS a (key)
	LEFT JOIN unnest(acted.keys, acted.states) AS d (key, state) ON d.key = a.key
	WHERE coalesce(d.state, '') NOT IN ('locked', 'refused')
	HAVING count(*) > 0;
	SELECT mkt.act_again(acted.workflow, array_agg(d.key), '55P03', 'somebody else has locked the contact', NULL)
	FROM unnest(acted.keys, acted.states) AS d (key, state)
	WHERE d.state = 'locked'
	HAVING count(*) > 0;
	SELECT mkt.act_again(acted.workflow, array_agg(d.key), '42501', 'row-level security does not let the owner change the contact', acted.attempts_allowed)
	FROM unnest(acted.keys, acted.states) AS d (key, state)
	WHERE d.state = 'refused'
	HAVING count(*) > 0;
	UPDATE mkt.workflow AS w SET changed_that_day = w.changed_that_day + cardinality(array_positions(acted.states, 'changed'))
	WHERE w.workflow = acted.workflow;
END;
REVOKE ALL ON FUNCTION mkt.acted(bigint, text[], text[], text[], bigint, integer) FROM PUBLIC;
COMMENT ON FUNCTION mkt.acted(bigint, text[], text[], text[], bigint, integer) IS
'Notes what became of contacts on which a workflow has acted. Arguments: the workflow; the keys of those asked for; of those that are there, and the states of their enrolments, or locked or refused; the batch; the number of attempts after which those that are refused are given up.';
