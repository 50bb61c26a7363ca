/*-------------------------------------------------------------------------
 * batch.c
 *	  Batches: changes that belong together, with a report, to be undone as one.
 *
 * A call that sets many contacts is a batch of its own; statements belong to the
 * batch that mktcontacts.batch names, one for each contacts table.  What is said
 * of a batch is rows that nobody changes, so sessions that work on one batch do
 * not wait for each other; only its first change makes another's first wait.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"

/* The columns of mkt.batch_report. */
#define BAT_BATCH		1
#define BAT_CONTACTS	2
#define BAT_LABEL		3
#define BAT_ACTION		4
#define BAT_SET_BY		5
#define BAT_SET_AT		6
#define BAT_OUTCOMES	7
#define BAT_SOURCE_TYPE	(BAT_OUTCOMES + MKT_OUTCOMES)
#define BAT_SOURCE_NAME	(BAT_SOURCE_TYPE + 1)
#define NUM_REPORT		BAT_SOURCE_NAME

/* Beyond this many rows a batch's reports are folded. */
#define MAX_REPORTS 100

static MktBatchCall call;		/* the running call, if any */

/* The answers for mktcontacts.batch, while the transaction lasts. */
static char *known_label = NULL;
static List *known_calls = NIL; /* of MktBatchCall */

PG_FUNCTION_INFO_V1(mkt_unwritten_report);

static MktStatements statements_now(int64 batch, Oid contacts);
static int64 labelled(Oid contacts);
static void remember(Oid contacts, int64 batch);
static int64 find_labelled(Oid contacts);
static void report(const MktStatements *statements, const char *action,
				   const int64 *outcome, Datum source_type, Datum source_name);
static void report_of(const MktStatements *statements, MktOutcome what, int64 n,
					  Datum *values, bool *nulls);
static void fill(const MktStatements *statements, const char *action,
				 const int64 *outcome, Datum source_type, Datum source_name,
				 Datum *values, bool *nulls);
static void tell(const MktStatements *statements, int64 n, void *arg);
static void forget_label(void);

/*
 * The batch to which a change of a contact belongs now, or 0.  A call is about
 * one table; what triggers do to others meanwhile is none of its doing.
 */
int64
mkt_batch_current(Oid contacts, bool *is_call)
{
	*is_call = call.batch != 0 && call.contacts == contacts;
	return *is_call ? call.batch : *mkt_batch ? labelled(contacts) : 0;
}

/* Begins the batch of a call; the caller ends it however the call ends. */
MktBatchCall
mkt_batch_begin(Oid contacts, bool may_join, int64 *batch)
{
	MktBatchCall before = call;
	bool		joins = may_join && *mkt_batch;

	*batch = joins ? labelled(contacts) :
		nextval_internal(mkt_relation("batch_number"), false);
	call.batch = *batch;
	call.contacts = contacts;
	return before;
}

void
mkt_batch_end(MktBatchCall before)
{
	call = before;
}

/* What a call did; outcomes in the order of the report. */
void
mkt_batch_report(int64 batch, Oid contacts, bool joined, const char *action,
				 const int64 *outcome, Datum source_type, Datum source_name)
{
	MktStatements call = statements_now(batch, contacts);
	MktSource	source = mkt_change_session_source();

	if (!joined || !*mkt_batch)
		call.label = NULL;
	if (source_type == (Datum) 0)
	{
		source_type = source.type;
		source_name = source.name;
	}
	report(&call, action, outcome, source_type, source_name);
}

/* Those of just now, under the name that the session gives them. */
static MktStatements
statements_now(int64 batch, Oid contacts)
{
	MktStatements statements = {
		.batch = batch,
		.contacts = contacts,
		.label = mkt_batch,
		.role = mkt_user(),
		.at = mkt_now(),
		.source_type = mkt_source_type,
		.source_name = mkt_source_name
	};

	return statements;
}

/* More of an outcome by statements of a named batch. */
void
mkt_batch_add(const MktStatements *statements, MktOutcome what, int64 n)
{
	MktAppender *appender = mkt_append_open(mkt_relation("batch_report"));
	TupleTableSlot *slot = mkt_append_slot(appender);

	report_of(statements, what, n, slot->tts_values, slot->tts_isnull);
	mkt_append_row(appender);
	mkt_append_close(appender);
}

/* The same of statements just now. */
void
mkt_batch_add_now(int64 batch, Oid contacts, MktOutcome what, int64 n)
{
	MktStatements statements = statements_now(batch, contacts);

	mkt_batch_add(&statements, what, n);
}

static int64
labelled(Oid contacts)
{
	int64		batch;
	ListCell   *cell;

	if (known_label && strcmp(known_label, mkt_batch) != 0)
		forget_label();
	foreach(cell, known_calls)
	{
		const MktBatchCall *known = lfirst(cell);

		if (known->contacts == contacts)
			return known->batch;
	}
	batch = find_labelled(contacts);
	if (batch == 0)
	{
		LockDatabaseObject(mkt_relation("batch_report"), string_hash(mkt_batch, strlen(mkt_batch) + 1),
						   0, ExclusiveLock);
		batch = find_labelled(contacts);
	}
	if (batch == 0)
	{
		batch = nextval_internal(mkt_relation("batch_number"), false);
		mkt_batch_add_now(batch, contacts, MKT_CHANGED, 0);
	}
	remember(contacts, batch);
	return batch;
}

static void
remember(Oid contacts, int64 batch)
{
	MemoryContext before = MemoryContextSwitchTo(TopTransactionContext);
	MktBatchCall *known = palloc(sizeof(MktBatchCall));

	if (known_label == NULL)
		known_label = pstrdup(mkt_batch);
	known->batch = batch;
	known->contacts = contacts;
	known_calls = lappend(known_calls, known);
	MemoryContextSwitchTo(before);
}

/* By the newest snapshot, so that whoever waited sees who came first. */
static int64
find_labelled(Oid contacts)
{
	Relation	rel = table_open(mkt_relation("batch_report"), AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	int64		batch = 0;

	ScanKeyEntryInitialize(&keys[0], 0, BAT_LABEL, BTEqualStrategyNumber, InvalidOid,
						   DEFAULT_COLLATION_OID, F_TEXTEQ, CStringGetTextDatum(mkt_batch));
	ScanKeyInit(&keys[1], BAT_CONTACTS, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(contacts));
	scan = systable_beginscan(rel, mkt_relation("batch_report_label"), true, NULL,
							  lengthof(keys), keys);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;

		batch = DatumGetInt64(heap_getattr(tuple, BAT_BATCH, RelationGetDescr(rel), &isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return batch;
}

static void
report(const MktStatements *statements, const char *action, const int64 *outcome,
	   Datum source_type, Datum source_name)
{
	MktAppender *appender = mkt_append_open(mkt_relation("batch_report"));
	TupleTableSlot *slot = mkt_append_slot(appender);

	fill(statements, action, outcome, source_type, source_name, slot->tts_values,
		 slot->tts_isnull);
	mkt_append_row(appender);
	mkt_append_close(appender);
}

static void
report_of(const MktStatements *statements, MktOutcome what, int64 n, Datum *values,
		  bool *nulls)
{
	int64		outcome[MKT_OUTCOMES] = {0};
	bool		has_source = *statements->source_type != '\0';
	bool		has_name = has_source && *statements->source_name != '\0';

	outcome[what] = n;
	fill(statements, "statement", outcome,
		 has_source ? CStringGetTextDatum(statements->source_type) : (Datum) 0,
		 has_name ? CStringGetTextDatum(statements->source_name) : (Datum) 0,
		 values, nulls);
}

/* A row of mkt.batch_report. */
static void
fill(const MktStatements *statements, const char *action, const int64 *outcome,
	 Datum source_type, Datum source_name, Datum *values, bool *nulls)
{
	memset(nulls, 0, NUM_REPORT * sizeof(bool));
	values[BAT_BATCH - 1] = Int64GetDatum(statements->batch);
	values[BAT_CONTACTS - 1] = ObjectIdGetDatum(statements->contacts);
	nulls[BAT_LABEL - 1] = statements->label == NULL;
	if (statements->label)
		values[BAT_LABEL - 1] = CStringGetTextDatum(statements->label);
	values[BAT_ACTION - 1] = CStringGetTextDatum(action);
	values[BAT_SET_BY - 1] = CStringGetTextDatum(GetUserNameFromId(statements->role, false));
	values[BAT_SET_AT - 1] = TimestampTzGetDatum(statements->at);
	for (int i = 0; i < MKT_OUTCOMES; i++)
		values[BAT_OUTCOMES + i - 1] = Int64GetDatum(outcome[i]);
	values[BAT_SOURCE_TYPE - 1] = source_type;
	nulls[BAT_SOURCE_TYPE - 1] = source_type == (Datum) 0;
	values[BAT_SOURCE_NAME - 1] = source_name;
	nulls[BAT_SOURCE_NAME - 1] = source_name == (Datum) 0;
}

/* mkt.unwritten_report(): what row triggers have seen that no row says yet. */
Datum
mkt_unwritten_report(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	mkt_change_unwritten(tell, fcinfo->resultinfo);
	return (Datum) 0;
}

static void
tell(const MktStatements *statements, int64 n, void *arg)
{
	ReturnSetInfo *result = arg;
	Datum		values[NUM_REPORT];
	bool		nulls[NUM_REPORT];

	report_of(statements, MKT_CHANGED, n, values, nulls);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Statements of one batch leave a row each; now and then they become one. */
void
mkt_batch_fold(void)
{
	MktRights	rights;

	if (!ConditionalLockRelationOid(mkt_relation("batch_report"), ShareUpdateExclusiveLock))
		return;
	rights = mkt_act_as(mkt_extension_owner());
	mkt_query_run("WITH gone AS (DELETE FROM mkt.batch_report WHERE batch IN ("
				  "SELECT batch FROM mkt.batch_report GROUP BY batch HAVING count(*) > %d) RETURNING *) "
				  "INSERT INTO mkt.batch_report (batch, contacts, label, action, set_by, set_at, changed, already, "
				  "pending, not_found, parked, source_type, source_name) "
				  "SELECT batch, contacts, label, action, set_by, min(set_at), sum(changed), sum(already), "
				  "sum(pending), sum(not_found), sum(parked), source_type, source_name FROM gone "
				  "GROUP BY batch, contacts, label, action, set_by, source_type, source_name", MAX_REPORTS);
	mkt_act_again_as(rights);
}

static void
forget_label(void)
{
	if (known_label)
		pfree(known_label);
	list_free_deep(known_calls);
	known_label = NULL;
	known_calls = NIL;
}

static void
end_of_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			/* its memory goes with the transaction's */
			known_label = NULL;
			known_calls = NIL;
			call.batch = 0;
			break;
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
			break;
	}
}

/* The batch may have begun in what is rolled back. */
static void
end_of_subtransaction(SubXactEvent event, SubTransactionId child,
					  SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_label();
}

void
mkt_batch_init(void)
{
	RegisterXactCallback(end_of_transaction, NULL);
	RegisterSubXactCallback(end_of_subtransaction, NULL);
}
