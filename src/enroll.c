/*-------------------------------------------------------------------------
 * enroll.c
 *	  What workflows do when mkt.run() is called: they look for contacts that
 *	  meet their condition, and act on those that have come to meet it (K2 to K7).
 *
 * Nothing of this is on the way of an application's statements.  Looking for
 * contacts finds those whose row has changed and those for which time has passed
 * alike; the more time it takes, the less often it is done.  Condition and action
 * run as the workflow's owner, in a security-restricted operation.
 *
 * The action is that of mkt.set_marketing() or mkt.set_non_marketing(), on so
 * many contacts at a time.  Contacts that somebody has locked are not waited for.
 * When it fails, half as many are tried, down to the one that is the reason, and
 * that one waits, longer each time.  Each try is a transaction of its own, so that
 * no contact stays locked while others are tried.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "catalog/pg_type.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* So many contacts are acted on in one transaction. */
#define BATCH 1000

/* A condition that has failed so often in succession is poisonous. */
#define FAILURES_ALLOWED 5

/* An action that fails for a reason that does not pass by itself is given up. */
#define ATTEMPTS_ALLOWED 10

/* After so many failures of the action a workflow waits for the next run. */
#define MAX_FAILURES 20

/* Looking for contacts may take a part of the time: one in so many. */
#define PART_OF_TIME "20"

/* A workflow at work: what its steps share. */
typedef struct Run
{
	int64		workflow;
	MktWork    *work;
	MktWork		step;			/* how the last step went */
	MemoryContext context;		/* of the last try */
	bool		has_failed;		/* its condition */
	int			batch;			/* on so many to act next */
	int			suspects;		/* among so many is one for which it fails */
	int			nkeys;			/* on so many it was tried */
	Datum		keys;			/* text[]: on whom */
	int			failures;
} Run;

/* What the owner of a workflow is to do, and what came out. */
typedef struct Deed
{
	const MktWorkflow *workflow;
	Datum		keys;			/* text[] */
	int			n;				/* contacts that are there */
	Datum	   *names;			/* text: their keys */
	Datum	   *states;			/* text: what the action makes of each */
	int64		batch;
} Deed;

static void hold_forbidden(void *arg);
static List *workflows_that_are_on(void);
static void run_workflow(Run *run);
static MktWork step_of(const Run *run);
static void evaluate(void *arg);
static void enroll_those_that_meet(void *arg);
static Datum keys_that_meet(MktWorkflow *workflow);
static void read_keys_that_meet(void *arg);
static int64 enroll(int64 workflow, Datum keys, bool pass_over);
static bool try_some(Run *run);
static void act_on_some(void *arg);
static bool take(const Run *run);
static Datum *waiting(const Run *run, int *n);
static int	may_act_on(Run *run, int wanted);
static void act(Run *run);
static void set_contacts(void *arg);
static void wait_shortly(void);
static void read_states(Deed *deed);
static const char *may_update(const MktAttachment *attachment);
static void mark_parked(const Deed *deed, ArrayType *keys, Datum **states);
static void note_success(Run *run);
static void note_failure(Run *run);
static void write_down(void *arg);
static bool passes(int sqlstate);
static bool is_state(Datum state, const char *what);

/* The part of mkt.run(). */
void
mkt_enroll_run(MktWork *work)
{
	ListCell   *cell;

	mkt_work_step(work, hold_forbidden, NULL);
	mkt_work_commit(work);
	foreach(cell, workflows_that_are_on())
	{
		Run			run = {
			.workflow = *(int64 *) lfirst(cell),
			.work = work,
			.batch = BATCH
		};

		run_workflow(&run);
	}
}

/*
 * Enrols those that meet a workflow's condition now or, when it is to be for new
 * ones only, passes them over.
 */
int64
mkt_enroll_now(MktWorkflow *workflow, bool pass_over)
{
	/* who was passed over before and is meant now is enrolled */
	if (!pass_over)
		mkt_run_as_extension("UPDATE mkt.enrollment SET meets = false WHERE workflow = $1 AND state = 'passed_over'",
							 1, (Oid[]) {INT8OID}, (Datum[]) {Int64GetDatum(workflow->workflow)}, NULL);
	return enroll(workflow->workflow, keys_that_meet(workflow), pass_over);
}

static List *
workflows_that_are_on(void)
{
	MemoryContext mine = CurrentMemoryContext;
	List	   *workflows = NIL;

	if (mkt_run_as_extension("SELECT workflow FROM mkt.workflow WHERE state = 'on' ORDER BY workflow",
							 0, NULL, NULL, NULL) != SPI_OK_SELECT)
		elog(ERROR, "could not read workflows");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext before = MemoryContextSwitchTo(mine);
		int64	   *workflow = palloc(sizeof(int64));
		bool		isnull;

		*workflow = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
		workflows = lappend(workflows, workflow);
		MemoryContextSwitchTo(before);
	}
	return workflows;
}

static void
run_workflow(Run *run)
{
	MemoryContext before = CurrentMemoryContext;
	bool		more = true;

	run->context = AllocSetContextCreate(before, "mktcontacts workflow", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(run->context);
	mkt_work_step(run->work, evaluate, run);
	mkt_work_commit(run->work);
	while (more && !run->has_failed && run->failures < MAX_FAILURES)
	{
		MemoryContextReset(run->context);
		more = try_some(run);
		mkt_work_commit(run->work);
	}
	MemoryContextSwitchTo(before);
	MemoryContextDelete(run->context);
}

static MktWork
step_of(const Run *run)
{
	return (MktWork)
	{
		.commits = run->work->commits,.catches = true,.context = run->context
	};
}

/* ---- looking for contacts ---- */

/* A step: unless it was done just now, or somebody else is at it. */
static void
evaluate(void *arg)
{
	Run		   *run = arg;
	Oid			types[] = {INT8OID, INTERVALOID, TEXTOID, TEXTOID, INT4OID};
	Datum		values[lengthof(types)] = {Int64GetDatum(run->workflow)};
	TimestampTz started_at = GetCurrentTimestamp();

	SPI_connect();
	mkt_run_as_extension("SELECT FROM mkt.workflow WHERE workflow = $1 AND state = 'on' "
						 "AND (evaluated_at IS NULL OR took < interval '1 second' "
						 "OR pg_catalog.clock_timestamp() >= evaluated_at + took * " PART_OF_TIME ") FOR UPDATE SKIP LOCKED",
						 1, types, values, NULL);
	if (SPI_processed > 0)
	{
		run->step = step_of(run);
		run->has_failed = !mkt_work_step_within(&run->step, mkt_workflow_timeout, enroll_those_that_meet, run);
		values[1] = DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(GetCurrentTimestamp()),
										TimestampTzGetDatum(started_at));
		values[4] = Int32GetDatum(FAILURES_ALLOWED);
		if (run->has_failed)
		{
			values[2] = CStringGetTextDatum(unpack_sql_state(run->step.sqlstate));
			values[3] = CStringGetTextDatum(run->step.error);
		}
		mkt_run_as_extension("SELECT mkt.evaluated($1, $2, $3, $4, $5)", lengthof(types), types, values,
							 run->has_failed ? "     " : "  nn ");
	}
	SPI_finish();
}

static void
enroll_those_that_meet(void *arg)
{
	Run		   *run = arg;
	int64		enrolled;

	SPI_connect();
	enrolled = enroll(run->workflow, keys_that_meet(mkt_workflow_read(run->workflow, "UPDATE")), false);
	SPI_finish();
	run->work->done += enrolled;
}

/* As text, by its owner's rights. */
static Datum
keys_that_meet(MktWorkflow *workflow)
{
	Deed		deed = {.workflow = workflow};

	mkt_workflow_check(workflow);
	mkt_act_for(workflow->owner_oid, false, read_keys_that_meet, &deed);
	return deed.keys;
}

static void
read_keys_that_meet(void *arg)
{
	Deed	   *deed = arg;
	const MktWorkflow *workflow = deed->workflow;
	const MktAttachment *attachment = workflow->attachment;
	MktFilter  *filter;
	bool		isnull;

	/* what may not act need not look */
	mkt_key_check_rights(attachment->contacts);
	mkt_key_check(attachment, true);
	if (workflow->filter)
		filter = mkt_filter_compile(attachment, workflow->filter, 1);
	else
		filter = mkt_saved_filter_compile(attachment, workflow->condition, workflow->owner_oid, 1);
	mkt_filter_restrict(filter, attachment, workflow->account);
	if (SPI_execute_with_args(mkt_selection_query(attachment, filter,
												  psprintf("pg_catalog.array_agg(c.%s::pg_catalog.text)",
														   mkt_attachment_column(attachment, attachment->keys[0]))),
							  filter->nparams, filter->types, filter->values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run the condition of a workflow");
	deed->keys = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (isnull)
		deed->keys = mkt_query_texts(NULL, 0);
}

static int64
enroll(int64 workflow, Datum keys, bool pass_over)
{
	bool		isnull;

	mkt_run_as_extension("SELECT mkt.enroll($1, $2, $3)", 3, (Oid[]) {INT8OID, TEXTARRAYOID, BOOLOID},
						 (Datum[]) {Int64GetDatum(workflow), keys, BoolGetDatum(pass_over)}, NULL);
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/* ---- acting on them ---- */

/* On a batch of those that wait; false when nobody does, or no more are allowed. */
static bool
try_some(Run *run)
{
	run->step = step_of(run);
	run->nkeys = 0;
	if (mkt_work_step(&run->step, act_on_some, run))
	{
		note_success(run);
		return run->nkeys > 0;
	}
	if (run->nkeys > 0)
	{
		note_failure(run);
		return true;
	}
	/* it is not the contacts that it failed for */
	mkt_work_fail(run->work, run->step.error, run->step.sqlstate);
	return false;
}

static void
act_on_some(void *arg)
{
	Run		   *run = arg;
	Datum	   *keys;
	int			nkeys;
	MemoryContext before;

	SPI_connect();
	if (take(run))
	{
		keys = waiting(run, &nkeys);
		nkeys = nkeys > 0 ? may_act_on(run, nkeys) : 0;
		before = MemoryContextSwitchTo(run->context);
		run->keys = mkt_query_texts(keys, nkeys);
		MemoryContextSwitchTo(before);
		run->nkeys = nkeys;
		if (nkeys > 0)
			act(run);
	}
	SPI_finish();
}

/* Unless somebody else is at it. */
static bool
take(const Run *run)
{
	mkt_run_as_extension("SELECT FROM mkt.workflow WHERE workflow = $1 AND state = 'on' FOR UPDATE SKIP LOCKED",
						 1, (Oid[]) {INT8OID}, (Datum[]) {Int64GetDatum(run->workflow)}, NULL);
	return SPI_processed > 0;
}

static Datum *
waiting(const Run *run, int *n)
{
	Datum	   *keys;
	Datum		array;
	bool		isnull;

	mkt_run_as_extension("SELECT COALESCE(pg_catalog.array_agg(key), '{}') FROM (SELECT key FROM mkt.enrollment "
						 "WHERE workflow = $1 AND state = 'waiting' AND next_attempt_at <= mkt.now() "
						 "ORDER BY next_attempt_at, key LIMIT $2) AS e",
						 2, (Oid[]) {INT8OID, INT4OID},
						 (Datum[]) {Int64GetDatum(run->workflow), Int32GetDatum(run->batch)}, NULL);
	array = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	deconstruct_array(DatumGetArrayTypePCopy(array), TEXTOID, -1, false, TYPALIGN_INT, &keys, NULL, n);
	return keys;
}

/* By its limit a day, past which it is held, and by what its account may do a second. */
static int
may_act_on(Run *run, int wanted)
{
	Oid			types[] = {INT8OID, INT8OID};
	Datum		values[] = {Int64GetDatum(run->workflow), Int64GetDatum(wanted)};
	int64		allowed;
	int64		left_today;
	bool		isnull;

	mkt_run_as_extension("SELECT contacts, left_today FROM mkt.may_act_on($1, $2)", lengthof(types), types, values, NULL);
	allowed = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	left_today = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	if (allowed > 0)
		return allowed;
	if (!isnull && left_today <= 0)
		mkt_run_as_extension("SELECT mkt.hold_workflow(workflow, pg_catalog.format('its limit of %s changed contacts a day is reached, and others wait', limit_per_day)) "
							 "FROM mkt.workflow WHERE workflow = $1", 1, types, values, NULL);
	else
		mkt_run_as_extension("INSERT INTO mkt.workflow_attempt (workflow, at, contacts, sqlstate, reason) "
							 "SELECT w.workflow, mkt.now(), pg_catalog.count(*), 'MK020', "
							 "pg_catalog.format('the workflows of account \"%s\" may act on %s contacts a second', w.account, a.actions_per_second) "
							 "FROM mkt.workflow AS w JOIN mkt.account AS a ON a.account = w.account "
							 "JOIN mkt.enrollment AS e ON e.workflow = w.workflow AND e.state = 'waiting' AND e.next_attempt_at <= mkt.now() "
							 "WHERE w.workflow = $1 GROUP BY w.workflow, a.account", 1, types, values, NULL);
	return 0;
}

static void
act(Run *run)
{
	Oid			types[] = {INT8OID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT8OID, INT4OID};
	Datum		values[lengthof(types)] = {Int64GetDatum(run->workflow), run->keys};
	MktWorkflow *workflow = mkt_workflow_read(run->workflow, "UPDATE");
	Deed		deed = {.workflow = workflow,.keys = run->keys};

	mkt_workflow_check(workflow);
	mkt_act_for(workflow->owner_oid, true, set_contacts, &deed);
	values[2] = mkt_query_texts(deed.names, deed.n);
	values[3] = mkt_query_texts(deed.states, deed.n);
	values[4] = Int64GetDatum(deed.batch);
	values[5] = Int32GetDatum(ATTEMPTS_ALLOWED);
	mkt_run_as_extension("SELECT mkt.acted($1, $2, $3, $4, $5, $6)", lengthof(types), types, values, NULL);
}

/* As the owner. */
static void
set_contacts(void *arg)
{
	Deed	   *deed = arg;
	const MktWorkflow *workflow = deed->workflow;
	Oid			key_type = get_atttype(workflow->contacts, workflow->attachment->keys[0]);
	MktSetCall	set = {
		.action = "workflow",
		.marketing = workflow->set_to_marketing,
		.attachment = workflow->attachment,
		.account = CStringGetTextDatum(workflow->account),
		.source_type = CStringGetTextDatum("workflow"),
		.source_name = CStringGetTextDatum(workflow->name)
	};
	Datum	   *changing;
	Datum	  **outcomes;		/* the states of these */
	int			n = 0;

	wait_shortly();
	mkt_key_check_rights(workflow->contacts);
	read_states(deed);
	changing = palloc(Max(deed->n, 1) * sizeof(Datum));
	outcomes = palloc(Max(deed->n, 1) * sizeof(Datum *));
	for (int i = 0; i < deed->n; i++)
	{
		if (!is_state(deed->states[i], "changed"))
			continue;
		changing[n] = deed->names[i];
		outcomes[n++] = &deed->states[i];
	}
	if (n == 0)
		return;
	set.keys = DatumGetArrayTypeP(mkt_key_convert_array(DatumGetArrayTypeP(mkt_query_texts(changing, n)), key_type));
	deed->batch = mkt_set_status(&set);
	if (set.outcome[MKT_PARKED] > 0)
		mark_parked(deed, set.keys, outcomes);
}

/*
 * An application that waits for the action in a circle must not be the one that
 * fails: the action gives up first, before the other looks for a deadlock.
 */
static void
wait_shortly(void)
{
	int			patience = Max(DeadlockTimeout / 2, 1);

	if (LockTimeout == 0 || LockTimeout > patience)
		set_config_option("lock_timeout", psprintf("%dms", patience), PGC_USERSET,
						  PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	set_config_option("deadlock_timeout", "1ms", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE,
					  true, 0, false);
}

/*
 * Locks the contacts that nobody else has locked, and says what the action makes
 * of each.  Those that are there and cannot be locked are somebody else's at the
 * moment, or row-level security keeps the owner from changing them.
 */
static void
read_states(Deed *deed)
{
	const MktWorkflow *workflow = deed->workflow;
	const MktAttachment *attachment = workflow->attachment;
	const char *name = mkt_qualified_name(attachment->contacts);
	const char *key = mkt_attachment_column(attachment, attachment->keys[0]);
	const char *status = mkt_attachment_column(attachment, attachment->status);
	const char *until = mkt_attachment_column(attachment, attachment->until);
	Oid			key_type = get_atttype(attachment->contacts, attachment->keys[0]);
	Oid			types[] = {get_array_type(key_type), attachment->account_type, TIMESTAMPTZOID};
	Datum		values[] = {
		mkt_key_convert_array(DatumGetArrayTypeP(deed->keys), key_type),
		mkt_key_convert(CStringGetTextDatum(workflow->account), TEXTOID, types[1]),
		TimestampTzGetDatum(mkt_now())
	};
	const char *where = psprintf("c.%s OPERATOR(pg_catalog.=) ANY ($1)%s", key,
								 mkt_key_account_condition(attachment, "$2"));
	const char *state = psprintf("CASE WHEN c.%s OPERATOR(pg_catalog.=) 'marketing' AND c.%s IS NULL THEN '%s' "
								 "WHEN c.%s OPERATOR(pg_catalog.=) 'marketing' AND c.%s OPERATOR(pg_catalog.>) $3 THEN '%s' ELSE '%s' END",
								 status, until, workflow->set_to_marketing ? "already" : "changed",
								 status, until, workflow->set_to_marketing ? "changed" : "pending",
								 workflow->set_to_marketing ? "changed" : "already");

	if (SPI_execute_with_args(psprintf("WITH seen AS MATERIALIZED (SELECT c.%s AS k, %s AS may FROM %s AS c WHERE %s), "
									   "mine AS MATERIALIZED (SELECT c.%s AS k, %s AS state FROM %s AS c WHERE %s FOR NO KEY UPDATE SKIP LOCKED) "
									   "SELECT s.k::pg_catalog.text, COALESCE(m.state, CASE WHEN s.may THEN 'locked' ELSE 'refused' END) "
									   "FROM seen AS s LEFT JOIN mine AS m ON m.k OPERATOR(pg_catalog.=) s.k",
									   key, may_update(attachment), name, where, key, state, name, where),
							  lengthof(types), types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not lock contacts for a workflow");
	deed->n = SPI_processed;
	deed->names = palloc(Max(deed->n, 1) * sizeof(Datum));
	deed->states = palloc(Max(deed->n, 1) * sizeof(Datum));
	for (int i = 0; i < deed->n; i++)
	{
		bool		isnull;

		deed->names[i] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);
		deed->states[i] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull);
	}
}

/* SQL for whether row-level security lets the current user change a contact c. */
static const char *
may_update(const MktAttachment *attachment)
{
	const char *policy = mkt_key_update_policy(attachment->contacts);
	const char *name = quote_identifier(get_rel_name(attachment->contacts));
	const char *key = mkt_attachment_column(attachment, attachment->keys[0]);
	const char *same_account = "";

	if (policy == NULL)
		return "true";
	if (attachment->account)
		same_account = psprintf(" AND %1$s.%2$s OPERATOR(pg_catalog.=) c.%2$s", name,
								mkt_attachment_column(attachment, attachment->account));
	return psprintf("EXISTS (SELECT FROM %s AS %s WHERE %s.%s OPERATOR(pg_catalog.=) c.%s%s AND (%s))",
					mkt_qualified_name(attachment->contacts), name, name, key, key, same_account, policy);
}

/* Those of the keys that a maximum has kept from changing. */
static void
mark_parked(const Deed *deed, ArrayType *keys, Datum **states)
{
	const MktWorkflow *workflow = deed->workflow;
	const MktAttachment *attachment = workflow->attachment;
	const char *key = mkt_attachment_column(attachment, attachment->keys[0]);
	Oid			types[] = {
		get_array_type(get_atttype(attachment->contacts, attachment->keys[0])), attachment->account_type
	};
	Datum		values[] = {
		PointerGetDatum(keys), mkt_key_convert(CStringGetTextDatum(workflow->account), TEXTOID, types[1])
	};

	if (SPI_execute_with_args(psprintf("SELECT k.n FROM ROWS FROM (pg_catalog.unnest($1)) WITH ORDINALITY AS k (key, n) "
									   "JOIN %s AS c ON c.%s OPERATOR(pg_catalog.=) k.key%s "
									   "WHERE c.%s OPERATOR(pg_catalog.<>) 'marketing'",
									   mkt_qualified_name(attachment->contacts), key,
									   mkt_key_account_condition(attachment, "$2"),
									   mkt_attachment_column(attachment, attachment->status)),
							  lengthof(types), types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for parked contacts");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		int64		n = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));

		*states[n - 1] = CStringGetTextDatum("parked");
	}
}

/* ---- how it went ---- */

/* What is left of those among whom one is known to fail is halved at once. */
static void
note_success(Run *run)
{
	run->work->done += run->nkeys;
	run->suspects = Max(run->suspects - run->nkeys, 0);
	run->batch = run->suspects > 0 ? (run->suspects + 1) / 2 : BATCH;
}

/* Half of them are tried next; a single one waits for another attempt, or is given up. */
static void
note_failure(Run *run)
{
	run->suspects = run->nkeys > 1 ? run->nkeys : run->suspects - 1;
	run->batch = run->nkeys > 1 ? run->nkeys / 2 : run->suspects > 0 ? run->suspects : BATCH;
	run->failures += run->nkeys == 1;
	mkt_work_step(run->work, write_down, run);
}

static void
write_down(void *arg)
{
	Run		   *run = arg;
	Oid			types[] = {INT8OID, TEXTARRAYOID, TEXTOID, TEXTOID, INT4OID};
	Datum		values[] = {
		Int64GetDatum(run->workflow), run->keys,
		CStringGetTextDatum(unpack_sql_state(run->step.sqlstate)), CStringGetTextDatum(run->step.error),
		Int32GetDatum(ATTEMPTS_ALLOWED)
	};

	if (run->nkeys > 1)
		mkt_run_as_extension("INSERT INTO mkt.workflow_attempt (workflow, at, contacts, sqlstate, reason) "
							 "VALUES ($1, mkt.now(), pg_catalog.cardinality($2), $3, $4)", 4, types, values, NULL);
	else
		mkt_run_as_extension("SELECT mkt.act_again($1, $2, $3, $4, $5)", lengthof(types), types, values,
							 passes(run->step.sqlstate) ? "    n" : "     ");
}

/* Whether the reason of a failure may be gone by itself next time. */
static bool
passes(int sqlstate)
{
	return ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_TRANSACTION_ROLLBACK ||
		ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_INSUFFICIENT_RESOURCES ||
		sqlstate == ERRCODE_LOCK_NOT_AVAILABLE || sqlstate == ERRCODE_MKT_MAXIMUM;
}

/* Who has bought another edition meanwhile, one without workflows, has none (K1). */
static void
hold_forbidden(void *arg)
{
	mkt_run_as_extension("SELECT mkt.hold_workflow(workflow, pg_catalog.format('the edition of account \"%s\" does not include workflows', account)) "
						 "FROM mkt.workflow WHERE state = 'on' AND NOT mkt.has_workflows(account)",
						 0, NULL, NULL, NULL);
}

static bool
is_state(Datum state, const char *what)
{
	return strcmp(TextDatumGetCString(state), what) == 0;
}
