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
 * When it fails, the contacts are halved down to the one that is the reason, and
 * that one waits, longer each time.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "catalog/pg_type.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
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
	bool		is_mine;		/* nobody else is at it */
	Datum		keys;			/* text[]: on whom to act */
	int			failures;
} Run;

static void hold_forbidden(void);
static List *workflows_that_are_on(void);
static void run_workflow(Run *run);
static bool is_to_evaluate(const Run *run);
static void evaluate(Run *run);
static void evaluate_step(void *arg);
static Datum keys_that_meet(const MktWorkflow *workflow);
static int64 enroll(int64 workflow, Datum keys, bool pass_over);
static bool act_on_some(Run *run);
static Datum *waiting(const Run *run, int *n);
static int	may_act_on(Run *run, int wanted);
static void act(Run *run, Datum *keys, int nkeys);
static void act_step(void *arg);
static int	set_as_owner(const MktWorkflow *workflow, Datum keys, Datum **names,
						 Datum **states, int64 *batch);
static void read_states(const MktWorkflow *workflow, Datum keys);
static void mark_parked(const MktWorkflow *workflow, ArrayType *keys, int n,
						Datum *names, Datum *states);
static void note_failure(Run *run, Datum key);
static bool passes(int sqlstate);
static bool is_state(Datum state, const char *what);
static void run_query(const char *query, int nparams, Oid *types, Datum *values,
					  const char *nulls);
static Datum text_array(Datum *elements, int n);

/* The part of mkt.run(). */
void
mkt_enroll_run(MktWork *work)
{
	ListCell   *cell;

	hold_forbidden();
	mkt_work_commit(work);
	foreach(cell, workflows_that_are_on())
	{
		Run			run = {
			.workflow = *(int64 *) lfirst(cell),
			.work = work
		};

		run_workflow(&run);
	}
}

/*
 * Enrols those that meet a workflow's condition now or, when it is to be for new
 * ones only, passes them over.
 */
int64
mkt_enroll_now(const MktWorkflow *workflow, bool pass_over)
{
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
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "mktcontacts workflow",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);
	bool		more;

	run->is_mine = true;
	if (is_to_evaluate(run))
	{
		evaluate(run);
		mkt_work_commit(run->work);
	}
	do
	{
		MemoryContextReset(context);
		more = run->is_mine && act_on_some(run);
		mkt_work_commit(run->work);
	} while (more && run->failures < MAX_FAILURES);
	MemoryContextSwitchTo(before);
	MemoryContextDelete(context);
}

/* ---- looking for contacts ---- */

static bool
is_to_evaluate(const Run *run)
{
	run_query("SELECT FROM mkt.workflow WHERE workflow = $1 AND (evaluated_at IS NULL OR took < interval '1 second' "
			  "OR pg_catalog.clock_timestamp() >= evaluated_at + took * " PART_OF_TIME ")",
			  1, (Oid[]) {INT8OID}, (Datum[]) {Int64GetDatum(run->workflow)}, NULL);
	return SPI_processed > 0;
}

static void
evaluate(Run *run)
{
	Oid			types[] = {INT8OID, INTERVALOID, TEXTOID, TEXTOID, INT4OID};
	Datum		values[lengthof(types)] = {Int64GetDatum(run->workflow)};
	TimestampTz started_at = GetCurrentTimestamp();
	bool		done;

	run->step = (MktWork)
	{
		.commits = run->work->commits,.catches = true,.context = CurrentMemoryContext
	};
	done = mkt_work_step_within(&run->step, mkt_workflow_timeout, evaluate_step, run);
	if (!run->is_mine)
		return;
	values[1] = DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(GetCurrentTimestamp()),
									TimestampTzGetDatum(started_at));
	values[4] = Int32GetDatum(FAILURES_ALLOWED);
	if (!done)
	{
		values[2] = CStringGetTextDatum(unpack_sql_state(run->step.sqlstate));
		values[3] = CStringGetTextDatum(run->step.error);
	}
	run_query("SELECT mkt.evaluated($1, $2, $3, $4, $5)", lengthof(types), types, values,
			  done ? "  nn " : "     ");
}

static void
evaluate_step(void *arg)
{
	Run		   *run = arg;
	MktWorkflow *workflow;

	SPI_connect();
	workflow = mkt_workflow_read(run->workflow, "UPDATE SKIP LOCKED");
	run->is_mine = workflow != NULL && strcmp(workflow->state, "on") == 0;
	if (run->is_mine)
		run->work->done += enroll(run->workflow, keys_that_meet(workflow), false);
	SPI_finish();
}

/* As text, by its owner's rights. */
static Datum
keys_that_meet(const MktWorkflow *workflow)
{
	const MktAttachment *attachment = workflow->attachment;
	const char *key = mkt_attachment_column(attachment, attachment->keys[0]);
	MktFilter  *filter;
	int			nestlevel;
	MktRights	rights;
	Datum		keys;
	bool		isnull;

	if (!OidIsValid(workflow->owner_oid))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("role \"%s\", whose rights workflow \"%s\" needs, does not exist",
					   workflow->owner, workflow->name),
				errhint("Drop the workflow and create it again."));
	if (workflow->filter)
		filter = mkt_filter_compile(attachment, workflow->filter, 1);
	else
		filter = mkt_saved_filter_compile(attachment, workflow->condition, workflow->owner_oid, 1);
	mkt_filter_restrict(filter, attachment, workflow->account);
	nestlevel = mkt_fix_search_path();
	rights = mkt_act_as(workflow->owner_oid);
	if (SPI_execute_with_args(mkt_selection_query(attachment, filter,
												  psprintf("pg_catalog.array_agg(c.%s::pg_catalog.text)", key)),
							  filter->nparams, filter->types, filter->values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run the condition of a workflow");
	mkt_act_again_as(rights);
	AtEOXact_GUC(true, nestlevel);
	keys = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	return isnull ? text_array(NULL, 0) : keys;
}

static int64
enroll(int64 workflow, Datum keys, bool pass_over)
{
	bool		isnull;

	run_query("SELECT mkt.enroll($1, $2, $3)", 3, (Oid[]) {INT8OID, TEXTARRAYOID, BOOLOID},
			  (Datum[]) {Int64GetDatum(workflow), keys, BoolGetDatum(pass_over)}, NULL);
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/* ---- acting on them ---- */

/* On a batch of those that wait; false when nobody does, or no more are allowed. */
static bool
act_on_some(Run *run)
{
	Datum	   *keys;
	int			nkeys;
	int			allowed;

	run_query("SELECT FROM mkt.workflow WHERE workflow = $1 AND state = 'on' FOR UPDATE SKIP LOCKED",
			  1, (Oid[]) {INT8OID}, (Datum[]) {Int64GetDatum(run->workflow)}, NULL);
	if (SPI_processed == 0)
		return false;
	keys = waiting(run, &nkeys);
	if (nkeys == 0)
		return false;
	allowed = may_act_on(run, nkeys);
	act(run, keys, allowed);
	return allowed > 0;
}

static Datum *
waiting(const Run *run, int *n)
{
	Datum	   *keys;
	Datum		array;
	bool		isnull;

	run_query("SELECT COALESCE(pg_catalog.array_agg(key), '{}') FROM (SELECT key FROM mkt.enrollment "
			  "WHERE workflow = $1 AND state = 'waiting' AND next_attempt_at <= mkt.now() "
			  "ORDER BY next_attempt_at, key LIMIT $2) AS e",
			  2, (Oid[]) {INT8OID, INT4OID},
			  (Datum[]) {Int64GetDatum(run->workflow), Int32GetDatum(BATCH)}, NULL);
	array = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	deconstruct_array(DatumGetArrayTypePCopy(array), TEXTOID, -1, false, TYPALIGN_INT, &keys, NULL, n);
	SPI_freetuptable(SPI_tuptable);
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

	run_query("SELECT contacts, left_today FROM mkt.may_act_on($1, $2)", lengthof(types), types, values, NULL);
	allowed = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	left_today = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	if (allowed > 0)
		return allowed;
	if (!isnull && left_today <= 0)
		run_query("SELECT mkt.hold_workflow(workflow, pg_catalog.format('its limit of %s changed contacts a day is reached, and others wait', limit_per_day)) "
				  "FROM mkt.workflow WHERE workflow = $1", 1, types, values, NULL);
	else
		run_query("INSERT INTO mkt.workflow_attempt (workflow, at, contacts, sqlstate, reason) "
				  "SELECT w.workflow, mkt.now(), pg_catalog.count(*), 'MK020', "
				  "pg_catalog.format('the workflows of account \"%s\" may act on %s contacts a second', w.account, a.actions_per_second) "
				  "FROM mkt.workflow AS w JOIN mkt.account AS a ON a.account = w.account "
				  "JOIN mkt.enrollment AS e ON e.workflow = w.workflow AND e.state = 'waiting' AND e.next_attempt_at <= mkt.now() "
				  "WHERE w.workflow = $1 GROUP BY w.workflow, a.account", 1, types, values, NULL);
	return 0;
}

/* On these contacts or, when that fails, on each half of them. */
static void
act(Run *run, Datum *keys, int nkeys)
{
	if (nkeys == 0 || run->failures >= MAX_FAILURES)
		return;
	run->keys = text_array(keys, nkeys);
	run->step = (MktWork)
	{
		.commits = run->work->commits,.catches = true,.context = CurrentMemoryContext
	};
	if (mkt_work_step(&run->step, act_step, run))
		run->work->done += nkeys;
	else if (nkeys == 1)
		note_failure(run, keys[0]);
	else
	{
		act(run, keys, nkeys / 2);
		act(run, keys + nkeys / 2, nkeys - nkeys / 2);
	}
}

static void
act_step(void *arg)
{
	Run		   *run = arg;
	Oid			types[] = {INT8OID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT8OID};
	Datum		values[lengthof(types)] = {Int64GetDatum(run->workflow), run->keys};
	Datum	   *names;
	Datum	   *states;
	int64		batch;
	int			n;

	SPI_connect();
	n = set_as_owner(mkt_workflow_read(run->workflow, "UPDATE"), run->keys, &names, &states, &batch);
	values[2] = text_array(names, n);
	values[3] = text_array(states, n);
	values[4] = Int64GetDatum(batch);
	run_query("SELECT mkt.acted($1, $2, $3, $4, $5)", lengthof(types), types, values, NULL);
	SPI_finish();
}

/* The contacts that are there, by name, and what became of each; their number. */
static int
set_as_owner(const MktWorkflow *workflow, Datum keys, Datum **names, Datum **states,
			 int64 *batch)
{
	const MktAttachment *attachment = workflow->attachment;
	Oid			key_type = get_atttype(attachment->contacts, attachment->keys[0]);
	int			nestlevel = mkt_fix_search_path();
	MktRights	rights = mkt_act_as(workflow->owner_oid);
	MktSetCall	set = {
		.action = "workflow",
		.marketing = workflow->set_to_marketing,
		.attachment = workflow->attachment,
		.account = CStringGetTextDatum(workflow->account),
		.source_type = CStringGetTextDatum("workflow"),
		.source_name = CStringGetTextDatum(workflow->name)
	};
	Datum	   *free_keys;
	int			nfree = 0;
	int			n;

	read_states(workflow, mkt_key_convert_array(DatumGetArrayTypeP(keys), key_type));
	n = SPI_processed;
	*names = palloc(Max(n, 1) * sizeof(Datum));
	*states = palloc(Max(n, 1) * sizeof(Datum));
	free_keys = palloc(Max(n, 1) * sizeof(Datum));
	for (int i = 0; i < n; i++)
	{
		bool		isnull;

		(*names)[i] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);
		(*states)[i] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull);
		if (!is_state((*states)[i], "locked"))
			free_keys[nfree++] = (*names)[i];
	}
	set.keys = DatumGetArrayTypeP(mkt_key_convert_array(DatumGetArrayTypeP(text_array(free_keys, nfree)), key_type));
	*batch = nfree > 0 ? mkt_set_status(&set) : 0;
	if (set.outcome[MKT_PARKED] > 0)
		mark_parked(workflow, set.keys, n, *names, *states);
	mkt_act_again_as(rights);
	AtEOXact_GUC(true, nestlevel);
	return n;
}

/* Locks the contacts that nobody else has locked, and says what the action makes of each. */
static void
read_states(const MktWorkflow *workflow, Datum keys)
{
	const MktAttachment *attachment = workflow->attachment;
	const char *name = mkt_qualified_name(attachment->contacts);
	const char *key = mkt_attachment_column(attachment, attachment->keys[0]);
	const char *until = mkt_attachment_column(attachment, attachment->until);
	Oid			types[] = {
		get_array_type(get_atttype(attachment->contacts, attachment->keys[0])), attachment->account_type,
		TIMESTAMPTZOID
	};
	Datum		values[] = {
		keys, mkt_key_convert(CStringGetTextDatum(workflow->account), TEXTOID, types[1]),
		TimestampTzGetDatum(mkt_now())
	};
	const char *where = psprintf("c.%s OPERATOR(pg_catalog.=) ANY ($1)%s", key,
								 mkt_key_account_condition(attachment, "$2"));
	const char *state = psprintf("CASE WHEN c.%s OPERATOR(pg_catalog.=) 'marketing' AND c.%s IS NULL THEN '%s' "
								 "WHEN c.%s OPERATOR(pg_catalog.=) 'marketing' AND c.%s OPERATOR(pg_catalog.>) $3 THEN '%s' ELSE '%s' END",
								 mkt_attachment_column(attachment, attachment->status), until,
								 workflow->set_to_marketing ? "already" : "changed",
								 mkt_attachment_column(attachment, attachment->status), until,
								 workflow->set_to_marketing ? "changed" : "pending",
								 workflow->set_to_marketing ? "changed" : "already");

	if (SPI_execute_with_args(psprintf("WITH seen AS MATERIALIZED (SELECT c.%s AS k FROM %s AS c WHERE %s), "
									   "mine AS MATERIALIZED (SELECT c.%s AS k, %s AS state FROM %s AS c WHERE %s FOR NO KEY UPDATE SKIP LOCKED) "
									   "SELECT s.k::pg_catalog.text, COALESCE(m.state, 'locked') "
									   "FROM seen AS s LEFT JOIN mine AS m ON m.k OPERATOR(pg_catalog.=) s.k",
									   key, name, where, key, state, name, where),
							  lengthof(types), types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not lock contacts for a workflow");
}

/* Those that a maximum has kept from changing. */
static void
mark_parked(const MktWorkflow *workflow, ArrayType *keys, int n, Datum *names, Datum *states)
{
	const MktAttachment *attachment = workflow->attachment;
	const char *key = mkt_attachment_column(attachment, attachment->keys[0]);
	Oid			types[] = {
		get_array_type(get_atttype(attachment->contacts, attachment->keys[0])), attachment->account_type
	};
	Datum		values[] = {
		PointerGetDatum(keys), mkt_key_convert(CStringGetTextDatum(workflow->account), TEXTOID, types[1])
	};

	if (SPI_execute_with_args(psprintf("SELECT c.%s::pg_catalog.text FROM %s AS c WHERE c.%s OPERATOR(pg_catalog.=) ANY ($1)%s "
									   "AND c.%s OPERATOR(pg_catalog.<>) 'marketing'",
									   key, mkt_qualified_name(attachment->contacts), key,
									   mkt_key_account_condition(attachment, "$2"),
									   mkt_attachment_column(attachment, attachment->status)),
							  lengthof(types), types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for parked contacts");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *parked = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);

		for (int j = 0; j < n; j++)
			if (is_state(names[j], parked))
				states[j] = CStringGetTextDatum("parked");
	}
}

/* The contact waits for another attempt, or is given up. */
static void
note_failure(Run *run, Datum key)
{
	Oid			types[] = {INT8OID, TEXTARRAYOID, TEXTOID, TEXTOID, INT4OID};
	Datum		values[] = {
		Int64GetDatum(run->workflow), text_array(&key, 1),
		CStringGetTextDatum(unpack_sql_state(run->step.sqlstate)), CStringGetTextDatum(run->step.error),
		Int32GetDatum(ATTEMPTS_ALLOWED)
	};

	run->failures++;
	run_query("SELECT mkt.act_again($1, $2, $3, $4, $5)", lengthof(types), types, values,
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

/* ---- ---- */

/* Who has bought another edition meanwhile, one without workflows, has none (K1). */
static void
hold_forbidden(void)
{
	run_query("SELECT mkt.hold_workflow(workflow, pg_catalog.format('the edition of account \"%s\" does not include workflows', account)) "
			  "FROM mkt.workflow WHERE state = 'on' AND NOT mkt.has_workflows(account)",
			  0, NULL, NULL, NULL);
}

static bool
is_state(Datum state, const char *what)
{
	return strcmp(TextDatumGetCString(state), what) == 0;
}

static void
run_query(const char *query, int nparams, Oid *types, Datum *values, const char *nulls)
{
	if (mkt_run_as_extension(query, nparams, types, values, nulls) < 0)
		elog(ERROR, "could not run a workflow");
}

static Datum
text_array(Datum *elements, int n)
{
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}
