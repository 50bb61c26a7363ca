/*-------------------------------------------------------------------------
 * period.c
 *	  Closing the periods of accounts, and what keeps closed ones as they are
 *	  (rules B11, D6).
 *
 * What a period holds is SQL, in mkt.close_periods().  Here it is seen to that
 * nothing can be missing.  A change belongs to the instant at which its
 * transaction began, and is seen when that commits.  So a period is closed when
 * no transaction is left that began before its end, and read with a snapshot
 * that was taken after that was found.
 *
 * When a running transaction began, its session reports.  A prepared one no
 * longer says, and under mktcontacts.clock nobody knows what time the others
 * take it to be: then all that are running have to end first.  They are waited
 * for a moment; the next mkt.run() closes what this one could not.
 *
 * Sessions that close periods exclude each other, and those that change settings
 * of accounts.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "compat.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/array.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* So many accounts' periods are closed in one transaction. */
#define ACCOUNTS_AT_A_TIME 500

/*
 * A session looks at the clock a moment before it reports that its transaction
 * has begun; after so long it surely has.
 */
#define MOMENT USECS_PER_SEC

/* In a run others are waited for so often, and so long each time. */
#define WAITS 10
#define WAIT_MSEC 50

/* Accounts of an array, and what to do for them. */
typedef struct Batch
{
	const char *query;
	Datum		accounts;
	int			from;
	int			to;
	TimestampTz settled;
} Batch;

/* A transaction that may have begun before a period ended. */
typedef struct Running
{
	int			pid;			/* 0: a prepared one */
	LocalTransactionId lxid;
	TransactionId xid;
	TimestampTz began;			/* -infinity: nobody knows */
} Running;

static bool reads_what_is_committed(bool commits);
static bool exclude_others(void);
static bool close_some(MktWork *work, int *waited);
static int	find_accounts(const char *query, TimestampTz settled, Datum *accounts);
static int	do_for_accounts(MktWork *work, Batch batch);
static void run_batch(void *arg);
static void note_problem(MktWork *work, const Batch *batch, const MktWork *attempt);
static TimestampTz find_due(void);
static TimestampTz settled_until(TimestampTz due, int *waited);
static List *find_running(TimestampTz due);
static List *find_prepared(void);
static TimestampTz wait_for(List *running, TimestampTz settled, int *waited);
static bool is_running(const Running *running);
static char *name_in(const TriggerData *trigger, HeapTuple tuple);
static bool is_renamed(const TriggerData *trigger);
static void remember(const TriggerData *trigger, bool is_renamed);

PG_FUNCTION_INFO_V1(mkt_period_closed);
PG_FUNCTION_INFO_V1(mkt_account_remembered);
PG_FUNCTION_INFO_V1(mkt_edition_renamed);
PG_FUNCTION_INFO_V1(mkt_refuse_invoice);

/* What mkt.run() does: closes all periods that have ended, some accounts at a time. */
void
mkt_period_run(MktWork *work)
{
	int			waited = 0;
	bool		is_first = true;
	bool		more = true;

	while (more)
	{
		mkt_work_commit(work);
		if (!reads_what_is_committed(work->commits) || !exclude_others())
			return;
		if (is_first)
			mkt_run_as_extension("SELECT mkt.forget_problems()", 0, NULL, NULL, NULL);
		more = close_some(work, &waited);
		is_first = false;
	}
}

/*
 * A snapshot must be newer than the look at who is running.  Where the caller
 * commits, a transaction has just begun.
 */
static bool
reads_what_is_committed(bool commits)
{
	if (!IsolationUsesXactSnapshot())
		return true;
	return commits &&
		SPI_execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", false, 0) == SPI_OK_UTILITY;
}

/* False when another session is closing periods, or changing an account. */
static bool
exclude_others(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, mkt_relation("period"), 0, 0);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	AcceptInvalidationMessages();
	return true;
}

/* True when there may be more. */
static bool
close_some(MktWork *work, int *waited)
{
	Batch		undated = {.query = "SELECT mkt.date_periods(($1)[$2:$3])",.from = 1};
	Batch		ended = {.query = "SELECT mkt.close_periods(($1)[$2:$3], $4)",.from = 1};
	TimestampTz due;

	undated.to = find_accounts("SELECT mkt.undated_periods()", 0, &undated.accounts);
	do_for_accounts(work, undated);
	due = find_due();
	if (TIMESTAMP_IS_NOBEGIN(due))
		return false;
	ended.settled = settled_until(due, waited);
	ended.to = find_accounts("SELECT mkt.due_periods($1, $2)", ended.settled, &ended.accounts);
	work->done += do_for_accounts(work, ended);
	return ended.to > 0;
}

/* How many accounts a query returns, in an array. */
static int
find_accounts(const char *query, TimestampTz settled, Datum *accounts)
{
	Oid			types[] = {TIMESTAMPTZOID, INT4OID};
	Datum		values[] = {TimestampTzGetDatum(settled), Int32GetDatum(ACCOUNTS_AT_A_TIME)};
	bool		isnull;
	ArrayType  *array;

	mkt_run_as_extension(query, lengthof(types), types, values, NULL);
	*accounts = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (isnull)
		return 0;
	array = DatumGetArrayTypeP(*accounts);
	return ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
}

/*
 * Runs a query for some of an array's accounts.  Where it fails, for fewer: one
 * account does not stop the others.  For how many it did not.
 */
static int
do_for_accounts(MktWork *work, Batch batch)
{
	MktWork		attempt = {.catches = true,.context = CurrentMemoryContext};
	Batch		half = batch;

	if (batch.from > batch.to)
		return 0;
	if (mkt_work_step(&attempt, run_batch, &batch))
		return batch.to - batch.from + 1;
	if (batch.from == batch.to)
	{
		note_problem(work, &batch, &attempt);
		return 0;
	}
	batch.to = batch.from + (batch.to - batch.from) / 2;
	half.from = batch.to + 1;
	return do_for_accounts(work, batch) + do_for_accounts(work, half);
}

static void
run_batch(void *arg)
{
	const Batch *batch = arg;
	Oid			types[] = {TEXTARRAYOID, INT4OID, INT4OID, TIMESTAMPTZOID};
	Datum		values[] = {
		batch->accounts, Int32GetDatum(batch->from), Int32GetDatum(batch->to),
		TimestampTzGetDatum(batch->settled)
	};

	mkt_run_as_extension(batch->query, lengthof(types), types, values, NULL);
}

/* For mkt.run_log, and for who looks: this run leaves the account out from now on. */
static void
note_problem(MktWork *work, const Batch *batch, const MktWork *attempt)
{
	Oid			types[] = {TEXTARRAYOID, INT4OID, TEXTOID};
	Datum		values[] = {
		batch->accounts, Int32GetDatum(batch->from), CStringGetTextDatum(attempt->error)
	};
	char	   *account;

	mkt_run_as_extension("SELECT mkt.note_problem(($1)[$2], $3)", lengthof(types), types, values,
						 NULL);
	account = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	mkt_work_fail(work, psprintf("account \"%s\": %s", account, attempt->error), attempt->sqlstate);
}

/* The end of the last period that is due; -infinity: none is. */
static TimestampTz
find_due(void)
{
	bool		isnull;
	Datum		due;

	mkt_run_as_extension("SELECT pg_catalog.max(ends_at) FROM mkt.open_period WHERE ends_at OPERATOR(pg_catalog.>) '-infinity' "
						 "AND ends_at OPERATOR(pg_catalog.<=) mkt.now() AND problem IS NULL", 0, NULL, NULL, NULL);
	due = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	return isnull ? DT_NOBEGIN : DatumGetTimestampTz(due);
}

/*
 * The instant before which nothing can happen any more, as far as it matters for
 * periods that end up to another.
 */
static TimestampTz
settled_until(TimestampTz due, int *waited)
{
	TimestampTz settled = due;

	if (!mkt_clock_is_held())
		settled = Min(settled, GetCurrentTimestamp() - MOMENT);
	settled = wait_for(find_running(due), settled, waited);
	/* after it: who was running may be prepared by now */
	return wait_for(find_prepared(), settled, waited);
}

static List *
find_running(TimestampTz due)
{
	List	   *found = NIL;

	pgstat_clear_backend_activity_snapshot();
	for (int i = 1; i <= pgstat_fetch_stat_numbackends(); i++)
	{
		const		PgBackendStatus *status = &mkt_local_backend(i)->backendStatus;
		TimestampTz began = mkt_clock_is_held() || status->st_xact_start_timestamp == 0 ?
		DT_NOBEGIN : status->st_xact_start_timestamp;
		PGPROC	   *proc;
		Running    *other;

		/* it commits no change of a contact */
		if (status->st_procpid == MyProcPid || status->st_databaseid != MyDatabaseId ||
			status->st_backendType == B_AUTOVAC_WORKER || began >= due)
			continue;
		proc = BackendPidGetProc(status->st_procpid);
		if (proc == NULL || !LocalTransactionIdIsValid(mkt_proc_lxid(proc)))
			continue;
		other = palloc0(sizeof(Running));
		other->pid = status->st_procpid;
		other->lxid = mkt_proc_lxid(proc);
		other->began = began;
		found = lappend(found, other);
	}
	return found;
}

static List *
find_prepared(void)
{
	List	   *found = NIL;

	if (SPI_execute("SELECT x.transaction FROM pg_catalog.pg_prepared_xact() AS x JOIN pg_catalog.pg_database AS d "
					"ON d.oid OPERATOR(pg_catalog.=) x.dbid WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()",
					true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read prepared transactions");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Running    *other = palloc0(sizeof(Running));
		bool		isnull;

		other->xid = DatumGetTransactionId(SPI_getbinval(SPI_tuptable->vals[i],
														 SPI_tuptable->tupdesc, 1, &isnull));
		other->began = DT_NOBEGIN;
		found = lappend(found, other);
	}
	return found;
}

/* For a while; the instant before which none of those can happen that are still there. */
static TimestampTz
wait_for(List *running, TimestampTz settled, int *waited)
{
	ListCell   *cell;

	foreach(cell, running)
	{
		const Running *other = lfirst(cell);

		while (is_running(other) && (*waited)++ < WAITS)
		{
			CHECK_FOR_INTERRUPTS();
			pg_usleep(WAIT_MSEC * INT64CONST(1000));
		}
		if (is_running(other))
			settled = Min(settled, other->began);
	}
	return settled;
}

static bool
is_running(const Running *running)
{
	PGPROC	   *proc;

	if (running->pid == 0)
		return TransactionIdIsInProgress(running->xid);
	proc = BackendPidGetProc(running->pid);
	return proc && mkt_proc_lxid(proc) == running->lxid;
}

/* Trigger on mkt.period and mkt.period_line: B11. */
Datum
mkt_period_closed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_MKT_WRONG_CALL),
				errmsg("mkt.period_closed() is the trigger function of mkt.period and mkt.period_line"));
	if (TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_MKT_PERIOD_CLOSED),
				errmsg("mkt.%s cannot be emptied", RelationGetRelationName(trigger->tg_relation)),
				errdetail("Its periods are closed, and do not change."));
	desc = RelationGetDescr(trigger->tg_relation);
	ereport(ERROR,
			errcode(ERRCODE_MKT_PERIOD_CLOSED),
			errmsg("the period of account \"%s\" that ended at %s is closed",
				   SPI_getvalue(trigger->tg_trigtuple, desc, SPI_fnumber(desc, "account")),
				   SPI_getvalue(trigger->tg_trigtuple, desc, SPI_fnumber(desc, "ends_at"))),
			errdetail("Rows of mkt.%s do not change.", RelationGetRelationName(trigger->tg_relation)),
			errhint("Write corrections down in a table of your own."));
}

/*
 * Trigger on mkt.account, before a change: keeps what the row is for periods that
 * are not closed.
 */
Datum
mkt_account_remembered(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	bool		renamed = false;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_MKT_WRONG_CALL),
				errmsg("mkt.account_remembered() is the trigger function of mkt.account"));
	LockDatabaseObject(mkt_relation("period"), 0, 0, ShareLock);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		renamed = is_renamed(trigger);
	SPI_connect();
	remember(trigger, renamed);
	SPI_finish();
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple :
						   trigger->tg_trigtuple);
}

static char *
name_in(const TriggerData *trigger, HeapTuple tuple)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);

	return SPI_getvalue(tuple, desc, SPI_fnumber(desc, "account"));
}

/* A null is refused when the triggers have fired. */
static bool
is_renamed(const TriggerData *trigger)
{
	char	   *name = name_in(trigger, trigger->tg_newtuple);

	return name && strcmp(name_in(trigger, trigger->tg_trigtuple), name) != 0;
}

/* The row: whether it only changes, gets another name or goes. */
static void
remember(const TriggerData *trigger, bool is_renamed)
{
	Oid			types[] = {trigger->tg_relation->rd_rel->reltype, BOOLOID, TEXTOID};
	Datum		values[] = {(Datum) 0, (Datum) 0, (Datum) 0};
	char		nulls[] = {' ', ' ', is_renamed ? ' ' : 'n'};

	values[0] = heap_copy_tuple_as_datum(trigger->tg_trigtuple, RelationGetDescr(trigger->tg_relation));
	values[1] = BoolGetDatum(is_renamed || TRIGGER_FIRED_BY_DELETE(trigger->tg_event));
	if (is_renamed)
		values[2] = CStringGetTextDatum(name_in(trigger, trigger->tg_newtuple));
	mkt_run_as_extension("SELECT mkt.remember_account($1, $2, $3)", lengthof(types), types, values, nulls);
}

/* Trigger on mkt.edition, after it got another name. */
Datum
mkt_edition_renamed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	int			column;
	Datum		values[2];

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_MKT_WRONG_CALL),
				errmsg("mkt.edition_renamed() is the trigger function of mkt.edition"));
	desc = RelationGetDescr(trigger->tg_relation);
	column = SPI_fnumber(desc, "edition");
	values[0] = CStringGetTextDatum(SPI_getvalue(trigger->tg_trigtuple, desc, column));
	values[1] = CStringGetTextDatum(SPI_getvalue(trigger->tg_newtuple, desc, column));
	SPI_connect();
	mkt_run_as_extension("SELECT mkt.rename_edition($1, $2)", lengthof(values),
						 (Oid[]) {TEXTOID, TEXTOID}, values, NULL);
	SPI_finish();
	return PointerGetDatum(NULL);
}

/* mkt.refuse_invoice(account, period_end, known) */
Datum
mkt_refuse_invoice(PG_FUNCTION_ARGS)
{
	const char *account;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("mkt.invoice() needs an account"));
	account = TextDatumGetCString(PG_GETARG_DATUM(0));
	if (!PG_GETARG_BOOL(2))
		ereport(ERROR,
				errcode(ERRCODE_NO_DATA_FOUND),
				errmsg("account \"%s\" has no periods", account),
				errdetail("Periods are those of accounts in mkt.account, from their created_at on."),
				errhint("INSERT INTO mkt.account (account) VALUES (%s); begins the first.",
						quote_literal_cstr(account)));
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				errcode(ERRCODE_NO_DATA_FOUND),
				errmsg("account \"%s\" has no open period", account),
				errhint("SELECT starts_at, ends_at FROM mkt.period WHERE account = %s;",
						quote_literal_cstr(account)));
	ereport(ERROR,
			errcode(ERRCODE_NO_DATA_FOUND),
			errmsg("account \"%s\" has no period that ended at %s, or holds that instant", account,
				   timestamptz_to_str(PG_GETARG_TIMESTAMPTZ(1))),
			errhint("SELECT starts_at, ends_at FROM mkt.period WHERE account = %s; CALL mkt.run(); closes those that are due.",
					quote_literal_cstr(account)));
}
