/*-------------------------------------------------------------------------
 * apply.c
 *	  The scheduled work on contacts: mkt.apply_updates() and
 *	  mkt.fill_already_marketing() (rules T3, D6, F3).
 *
 * A contact whose instant has passed is non-marketing already (S1); applying
 * brings its columns up to date, by ordinary UPDATEs as the table's owner.  The
 * counts tell for which accounts and for how many contacts there is something
 * to do, without looking at the contacts.  Then either the accounts are visited
 * through an index on the account, or the table is read once from one end to
 * the other, block range by block range: whichever reads less.
 *
 * Called outside a transaction block each batch is a transaction of its own, so
 * that a run can be stopped at any row and takes up where it was.  It never
 * waits for a row that somebody else has locked; the next run takes it.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/*
 * What it takes to visit a row through an index, and to count one account's
 * contacts of a batch, next to reading a row in the table's order.
 */
#define COST_OF_VISIT 4
#define COST_OF_COUNT 40

/* An account with more than so many batches is not visited time and again. */
#define MAX_BATCHES 50

/* Where rows can be in a block, and none can be: 0. */
#define PLACES_OF_BLOCK (MaxHeapTuplesPerPage + 1)

/* After so many failures a table is left alone until the next run. */
#define MAX_FAILURES 100

#define BATCH_SIZE 2000

/* Something to do on one attached table, in batches. */
typedef struct Job
{
	MktAttachedTable table;
	TimestampTz now;			/* the instant as of which to apply */
	int			batch_size;
	TimestampTz stop_at;		/* in real time; infinity without a limit */
	MktWork    *work;
	TimestampTz started_at;
	int64		rows_done;
	int64		rows_to_do;
	int64		in_batch;
} Job;

/* A statement that updates contacts. */
typedef struct Statement
{
	Oid			relid;
	const char *query;
	bool		has_condition;
	int			nargs;
	Oid		   *types;
	Datum	   *values;
	int64		rows;
} Statement;

/* The accounts with something to do, in memory that outlives a batch. */
typedef struct DueAccounts
{
	int			naccounts;
	Datum	   *account;
	bool	   *isnull;
	Datum	   *name;			/* the account as text */
	int64	   *account_rows;	/* due; none where counts only wait for
								 * folding */
	int64		most;			/* the largest number of rows of one */
	int64		rows;			/* due */
	int64		all_rows;		/* contacts of these accounts altogether */
} DueAccounts;

static int	argument_batch_size(FunctionCallInfo fcinfo, int argno);
static TimestampTz argument_stop_at(FunctionCallInfo fcinfo, int argno);
static void apply_all(MktWork *work, int batch_size, TimestampTz stop_at);
static void apply_table(Job *job);
static DueAccounts *find_due(Job *job);
static char *query_due(const char *counts);
static bool by_account_is_cheaper(Job *job, const MktAttachment *attachment,
								  const DueAccounts *due);
static bool has_account_index(const MktAttachment *attachment);
static void apply_by_account(Job *job, const DueAccounts *due);
static bool apply_accounts(Job *job, const DueAccounts *due, int first, int next);
static bool apply_each(Job *job, const DueAccounts *due, int first, int next);
static bool go_on(const Job *job);
static void apply_by_block(Job *job);
static void fold_due(Job *job, const DueAccounts *due);
static void fill_table(Job *job);
static char *condition_of(Oid contacts);
static List *leaves(Oid contacts);
static bool go_through(Job *job, Oid leaf, const char *query, bool until_done);
static bool go_through_range(Job *job, Statement *statement, uint64 from,
							 uint64 to);
static bool execute(Job *job, Statement *statement);
static void run_statement(void *arg);
static char *update_to_non_marketing(const MktAttachment *attachment,
									 Oid relid, const char *where,
									 const char *limit);
static bool end_batch(Job *job, int64 rows);
static void report_progress(const Job *job);
static void forget_progress(const Job *job);

PG_FUNCTION_INFO_V1(mkt_apply_updates);
PG_FUNCTION_INFO_V1(mkt_fill_already_marketing);

/* CALL mkt.apply_updates(batch_size, time_limit) */
Datum
mkt_apply_updates(PG_FUNCTION_ARGS)
{
	MktWork		work = {.commits = mkt_work_start(fcinfo)};

	apply_all(&work, argument_batch_size(fcinfo, 0), argument_stop_at(fcinfo, 1));
	SPI_finish();
	PG_RETURN_VOID();
}

/* CALL mkt.fill_already_marketing(contacts, batch_size) */
Datum
mkt_fill_already_marketing(PG_FUNCTION_ARGS)
{
	MktWork		work = {.commits = mkt_work_start(fcinfo)};
	Oid			contacts = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);
	ListCell   *cell;

	if (!OidIsValid(contacts))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("mkt.fill_already_marketing() needs a contacts table"));
	mkt_attachment_of(contacts);
	mkt_check_owner(contacts);
	foreach(cell, mkt_attachment_list())
	{
		Job			job = {
			.table = *(MktAttachedTable *) lfirst(cell),
			.batch_size = argument_batch_size(fcinfo, 1),
			.stop_at = DT_NOEND,
			.work = &work
		};

		if (job.table.contacts == contacts && !job.table.filled)
			fill_table(&job);
	}
	SPI_finish();
	PG_RETURN_VOID();
}

/* For mkt.run(): applies what is due in one table. */
void
mkt_apply_table(const MktAttachedTable *table, MktWork *work)
{
	Job			job = {
		.table = *table,
		.now = mkt_now(),
		.batch_size = BATCH_SIZE,
		.stop_at = DT_NOEND,
		.work = work
	};

	apply_table(&job);
}

/* For mkt.run(): sets those that already are marketing, after mkt.attach(). */
void
mkt_apply_fill(const MktAttachedTable *table, MktWork *work)
{
	Job			job = {
		.table = *table,
		.batch_size = BATCH_SIZE,
		.stop_at = DT_NOEND,
		.work = work
	};

	fill_table(&job);
}

static int
argument_batch_size(FunctionCallInfo fcinfo, int argno)
{
	int			batch_size = PG_ARGISNULL(argno) ? BATCH_SIZE :
	PG_GETARG_INT32(argno);

	if (batch_size < 1)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("batch_size must be at least 1"));
	return batch_size;
}

static TimestampTz
argument_stop_at(FunctionCallInfo fcinfo, int argno)
{
	if (PG_ARGISNULL(argno))
		return DT_NOEND;
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												   TimestampTzGetDatum(GetCurrentTimestamp()),
												   PG_GETARG_DATUM(argno)));
}

static void
apply_all(MktWork *work, int batch_size, TimestampTz stop_at)
{
	ListCell   *cell;

	foreach(cell, mkt_attachment_list())
	{
		Job			job = {
			.table = *(MktAttachedTable *) lfirst(cell),
			.now = mkt_now(),
			.batch_size = batch_size,
			.stop_at = stop_at,
			.work = work
		};

		if (mkt_apply_is_there(&job.table))
			apply_table(&job);
		if (GetCurrentTimestamp() >= stop_at)
			break;
	}
}

static void
apply_table(Job *job)
{
	DueAccounts *due = find_due(job);

	if (due->rows > 0)
	{
		job->started_at = GetCurrentTimestamp();
		job->rows_to_do = due->rows;
		report_progress(job);
		if (by_account_is_cheaper(job, mkt_attachment_of(job->table.contacts), due))
			apply_by_account(job, due);
		else
			apply_by_block(job);
		forget_progress(job);
		mkt_work_commit(job->work);
	}
	fold_due(job, due);
}

/* What the counts say is due. */
static DueAccounts *
find_due(Job *job)
{
	MemoryContext context = CurrentMemoryContext;
	DueAccounts *due = palloc0(sizeof(DueAccounts));
	MktRights	rights = mkt_act_as(mkt_extension_owner());
	Form_pg_attribute att;

	if (SPI_execute_with_args(query_due(mkt_qualified_name(job->table.count_table)),
							  1, (Oid[]) {TIMESTAMPTZOID},
							  (Datum[]) {TimestampTzGetDatum(job->now)},
							  NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read counts");
	mkt_act_again_as(rights);

	due->naccounts = SPI_processed;
	due->account = MemoryContextAllocHuge(context, Max(SPI_processed, 1) * sizeof(Datum));
	due->isnull = MemoryContextAllocHuge(context, Max(SPI_processed, 1) * sizeof(bool));
	due->name = MemoryContextAllocHuge(context, Max(SPI_processed, 1) * sizeof(Datum));
	due->account_rows = MemoryContextAllocHuge(context, Max(SPI_processed, 1) * sizeof(int64));
	att = TupleDescAttr(SPI_tuptable->tupdesc, 0);
	for (int i = 0; i < due->naccounts; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		Datum		account = SPI_getbinval(row, desc, 1, &due->isnull[i]);
		Datum		name = SPI_getbinval(row, desc, 2, &due->isnull[i]);
		int64		rows = DatumGetInt64(SPI_getbinval(row, desc, 3, &isnull));
		Datum		all_rows = SPI_getbinval(row, desc, 4, &isnull);

		CHECK_FOR_INTERRUPTS();
		due->account[i] = due->isnull[i] ? (Datum) 0 :
			datumCopy(account, att->attbyval, att->attlen);
		due->name[i] = due->isnull[i] ? (Datum) 0 : datumCopy(name, false, -1);
		due->account_rows[i] = Max(rows, 0);
		due->rows += due->account_rows[i];
		due->most = Max(due->most, rows);
		due->all_rows += isnull ? 0 : DatumGetInt64(all_rows);
	}
	SPI_freetuptable(SPI_tuptable);
	return due;
}

/*
 * The accounts of which a row says that contacts were to become non-marketing, or
 * deleted ones to count no longer, by now ($1), with how many still have to and how many contacts they have.
 */
static char *
query_due(const char *counts)
{
	const char *sums = "pg_catalog.sum(n) FILTER (WHERE %1$s IS NOT NULL) AS all_%1$s, "
	"pg_catalog.sum(n) FILTER (WHERE %1$s OPERATOR(pg_catalog.>) '-infinity' AND %1$s OPERATOR(pg_catalog.<=) $1) AS due_%1$s";
	char	   *both = psprintf("%s, %s", psprintf(sums, "until"), psprintf(sums, "was"));

	return psprintf("SELECT account, account_name, "
					"(COALESCE(due_until, 0) OPERATOR(pg_catalog.-) COALESCE(due_was, 0))::pg_catalog.int8, "
					"(COALESCE(all_until, 0) OPERATOR(pg_catalog.-) COALESCE(all_was, 0))::pg_catalog.int8 FROM ("
					"WITH due AS MATERIALIZED (SELECT DISTINCT account, account_name FROM ONLY %1$s "
					"WHERE until OPERATOR(pg_catalog.>) '-infinity' AND until OPERATOR(pg_catalog.<=) $1) "
					"SELECT d.account, d.account_name, s.* FROM due AS d CROSS JOIN LATERAL (SELECT %2$s FROM ONLY %1$s AS t "
					"WHERE t.account_name OPERATOR(pg_catalog.=) d.account_name AND NOT t.deleted) AS s WHERE d.account_name IS NOT NULL "
					"UNION ALL SELECT NULL, NULL, %2$s FROM ONLY %1$s WHERE account_name IS NULL AND NOT deleted "
					"AND EXISTS (SELECT FROM due WHERE account_name IS NULL) HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 0"
					") AS d ORDER BY account", counts, both);
}

/*
 * Through the index every contact of the accounts is visited, due or not; in
 * the table's order every contact of the table, and each batch has contacts of
 * many accounts to count.
 */
static bool
by_account_is_cheaper(Job *job, const MktAttachment *attachment,
					  const DueAccounts *due)
{
	double		tuples = 0;
	double		batches = 1 + (double) due->rows / job->batch_size;
	double		counted = Min((double) due->rows, batches * due->naccounts);
	ListCell   *cell;

	if (!attachment->account || !job->table.counted ||
		due->most > (int64) MAX_BATCHES * job->batch_size ||
		!has_account_index(attachment))
		return false;
	foreach(cell, leaves(job->table.contacts))
	{
		Relation	leaf = relation_open(lfirst_oid(cell), AccessShareLock);

		tuples += Max(leaf->rd_rel->reltuples, 0);
		relation_close(leaf, AccessShareLock);
	}
	return (double) due->all_rows * COST_OF_VISIT < tuples + counted * COST_OF_COUNT;
}

static bool
has_account_index(const MktAttachment *attachment)
{
	Relation	rel = relation_open(attachment->contacts, AccessShareLock);
	bool		found = false;
	ListCell   *cell;

	foreach(cell, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		found |= index->rd_index->indkey.values[0] == attachment->account &&
			index->rd_index->indisvalid &&
			heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL);
		index_close(index, AccessShareLock);
	}
	relation_close(rel, AccessShareLock);
	return found;
}

/* So many accounts at a time as have a batch of contacts to do. */
static void
apply_by_account(Job *job, const DueAccounts *due)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "mktcontacts apply",
												  ALLOCSET_DEFAULT_SIZES);
	bool		go_on = true;

	for (int first = 0, next; first < due->naccounts && go_on; first = next)
	{
		MemoryContext before = MemoryContextSwitchTo(context);
		int64		rows = due->account_rows[first];

		for (next = first + 1; next < due->naccounts && !due->isnull[first] &&
			 !due->isnull[next] && rows + due->account_rows[next] <= job->batch_size; next++)
			rows += due->account_rows[next];
		if (rows > 0)
			go_on = apply_accounts(job, due, first, next);
		MemoryContextSwitchTo(before);
		MemoryContextReset(context);
	}
	MemoryContextDelete(context);
}

static bool
apply_accounts(Job *job, const DueAccounts *due, int first, int next)
{
	MktAttachment *attachment = mkt_attachment_of(job->table.contacts);
	Oid			types[] = {
		TIMESTAMPTZOID, INT4OID, get_array_type(attachment->account_type)
	};
	Datum		values[] = {
		TimestampTzGetDatum(job->now), Int32GetDatum(job->batch_size), (Datum) 0
	};
	const char *column = mkt_attachment_column(attachment, attachment->account);
	char	   *where;
	Statement	statement = {.relid = job->table.contacts,.types = types,.values = values};

	if (due->isnull[first])
		where = psprintf("%s IS NULL", column);
	else
	{
		int16		len;
		bool		by_value;
		char		align;

		Datum	   *accounts = palloc((next - first) * sizeof(Datum));

		/* a copy, because construct_array() puts other pointers into it */
		memcpy(accounts, due->account + first, (next - first) * sizeof(Datum));
		get_typlenbyvalalign(attachment->account_type, &len, &by_value, &align);
		values[2] = PointerGetDatum(construct_array(accounts, next - first,
													attachment->account_type, len,
													by_value, align));
		where = psprintf("%s OPERATOR(pg_catalog.=) ANY ($3)", column);
	}
	statement.query = update_to_non_marketing(attachment, job->table.contacts, where, "LIMIT $2");
	statement.nargs = due->isnull[first] ? 2 : 3;
	do
	{
		if (!execute(job, &statement))
			return next == first + 1 ? go_on(job) : apply_each(job, due, first, next);
		if (!end_batch(job, statement.rows))
			return false;
	} while (statement.rows == job->batch_size);
	return true;
}

/* One of these accounts cannot be brought up to date: the others can. */
static bool
apply_each(Job *job, const DueAccounts *due, int first, int next)
{
	job->work->failures--;		/* it is not known yet how many there are */
	for (int i = first; i < next; i++)
		if (due->account_rows[i] > 0 && !apply_accounts(job, due, i, i + 1))
			return false;
	return true;
}

/* Where everything fails it is no use to try all of it. */
static bool
go_on(const Job *job)
{
	return job->work->failures < MAX_FAILURES;
}

/* The whole table, one range of blocks after the other. */
static void
apply_by_block(Job *job)
{
	ListCell   *cell;

	foreach(cell, leaves(job->table.contacts))
	{
		Oid			leaf = lfirst_oid(cell);
		char	   *query = update_to_non_marketing(mkt_attachment_of(leaf), leaf,
													"ctid OPERATOR(pg_catalog.>=) $2 AND ctid OPERATOR(pg_catalog.<) $3",
													"");

		if (!go_through(job, leaf, query, true))
			return;
	}
}

/* Counts of instants that have passed would be looked at by every later call. */
static void
fold_due(Job *job, const DueAccounts *due)
{
	for (int first = 0; first < due->naccounts; first += job->batch_size)
	{
		int			n = Min(job->batch_size, due->naccounts - first);

		mkt_count_fold(job->table.count_table, n, due->name + first,
					   due->isnull + first, due->account + first);
		mkt_work_commit(job->work);
	}
}

/*
 * Sets the contacts that a condition says to be marketing already.  Only those
 * that were there when the table was attached have the source initial_state.
 */
static void
fill_table(Job *job)
{
	char	   *condition = condition_of(job->table.contacts);
	int64		failures = job->work->failures;
	MktRights	rights;
	ListCell   *cell;

	foreach(cell, leaves(job->table.contacts))
	{
		Oid			leaf = lfirst_oid(cell);
		MktAttachment *attachment = mkt_attachment_of(leaf);
		char	   *status = mkt_attachment_column(attachment, attachment->status);
		char	   *query = psprintf("UPDATE ONLY %s SET %s = 'marketing', %s = 'initial_state' "
									 "WHERE ctid OPERATOR(pg_catalog.>=) $2 AND ctid OPERATOR(pg_catalog.<) $3 "
									 "AND %s OPERATOR(pg_catalog.=) 'non_marketing' "
									 "AND %s OPERATOR(pg_catalog.=) 'initial_state' "
									 "AND $1 IS NOT NULL AND (%s)",
									 mkt_qualified_name(leaf), status,
									 mkt_attachment_column(attachment, attachment->source_type), status,
									 mkt_attachment_column(attachment, attachment->source_type),
									 condition);

		go_through(job, leaf, query, false);
	}
	if (job->work->failures > failures)
		return;					/* once more next time */
	rights = mkt_act_as(mkt_extension_owner());
	SPI_execute_with_args("UPDATE mkt.attachment SET filled = true WHERE contacts OPERATOR(pg_catalog.=) $1",
						  1, (Oid[]) {OIDOID},
						  (Datum[]) {ObjectIdGetDatum(job->table.contacts)},
						  NULL, false, 0);
	mkt_act_again_as(rights);
	mkt_work_commit(job->work);
}

static char *
condition_of(Oid contacts)
{
	MktRights	rights = mkt_act_as(mkt_extension_owner());
	char	   *condition;

	if (SPI_execute_with_args("SELECT already_marketing FROM mkt.attachment WHERE contacts OPERATOR(pg_catalog.=) $1",
							  1, (Oid[]) {OIDOID}, (Datum[]) {ObjectIdGetDatum(contacts)},
							  NULL, true, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read mkt.attachment");
	condition = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	mkt_act_again_as(rights);
	return condition ? condition : "false";
}

/* The table itself or, when it is partitioned, the partitions with rows. */
static List *
leaves(Oid contacts)
{
	List	   *found = NIL;
	ListCell   *cell;

	foreach(cell, find_all_inheritors(contacts, NoLock, NULL))
	{
		if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_RELATION)
			found = lappend_oid(found, lfirst_oid(cell));
	}
	return found;
}

/*
 * Runs a query with the parameters instant, first and last place for ranges of
 * blocks that hold about a batch.  False when it is time to stop.
 */
static bool
go_through(Job *job, Oid leaf, const char *query, bool until_done)
{
	Relation	rel = try_relation_open(leaf, AccessShareLock);
	Statement	statement = {
		.relid = leaf,.query = query,.has_condition = !until_done
	};
	uint64		places;
	uint64		step;
	double		density;

	if (rel == NULL)
		return true;			/* LCOV_EXCL_LINE: dropped since it was listed */
	places = (uint64) RelationGetNumberOfBlocks(rel) * PLACES_OF_BLOCK;
	density = rel->rd_rel->relpages > 0 && rel->rd_rel->reltuples > 0 ?
		rel->rd_rel->reltuples / rel->rd_rel->relpages : 50;
	step = (uint64) Max(1, job->batch_size / Max(density, 1)) * PLACES_OF_BLOCK;
	relation_close(rel, AccessShareLock);

	for (uint64 place = 0; place < places; place += step)
	{
		if (!go_through_range(job, &statement, place, Min(place + step, places)))
			return false;
		if (until_done && job->rows_done >= job->rows_to_do)
			return false;
	}
	return true;
}

/* A range that fails is halved, down to the contact that is the reason. */
static bool
go_through_range(Job *job, Statement *statement, uint64 from, uint64 to)
{
	uint64		middle = from + (to - from) / 2;
	ItemPointerData first;
	ItemPointerData last;

	/* a block boundary is as good, and nearer to what is read at once */
	if (middle - from >= PLACES_OF_BLOCK)
		middle -= middle % PLACES_OF_BLOCK;
	ItemPointerSet(&first, from / PLACES_OF_BLOCK, from % PLACES_OF_BLOCK);
	ItemPointerSet(&last, to / PLACES_OF_BLOCK, to % PLACES_OF_BLOCK);
	statement->nargs = 3;
	statement->types = (Oid[]) {TIMESTAMPTZOID, TIDOID, TIDOID};
	statement->values = (Datum[]) {
								   TimestampTzGetDatum(job->now), PointerGetDatum(&first), PointerGetDatum(&last)
		};
	if (execute(job, statement))
		return end_batch(job, statement->rows);
	if (to - from == 1)
		return go_on(job);
	job->work->failures--;		/* it is not known yet how many there are */
	return go_through_range(job, statement, from, middle) &&
		go_through_range(job, statement, middle, to);
}

/* False when it failed and others may go on. */
static bool
execute(Job *job, Statement *statement)
{
	return mkt_work_step(job->work, run_statement, statement);
}

/*
 * Runs an UPDATE of a contacts table as its owner.  What a caller without the
 * owner's rights has in his search path must not run with them; whoever has
 * them keeps his, which the table's triggers may rely on.  A condition was
 * written for a search path of its own.
 */
static void
run_statement(void *arg)
{
	Statement  *statement = arg;
	Oid			owner = mkt_owner_of(statement->relid);
	bool		trusted = !statement->has_condition && has_privs_of_role(GetUserId(), owner);
	int			nestlevel = trusted ? NewGUCNestLevel() : mkt_fix_search_path();
	MktRights	rights = mkt_act_as(owner);

	if (SPI_execute_with_args(statement->query, statement->nargs, statement->types,
							  statement->values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not update contacts");
	mkt_act_again_as(rights);
	AtEOXact_GUC(false, nestlevel);
	statement->rows = SPI_processed;
}

/*
 * The statement that takes contacts whose instant ($1) has passed, skipping the
 * rows that somebody else has locked.
 */
static char *
update_to_non_marketing(const MktAttachment *attachment, Oid relid,
						const char *where, const char *limit)
{
	const char *only = get_rel_relkind(relid) == RELKIND_RELATION ? "ONLY " : "";
	const char *name = mkt_qualified_name(relid);
	const char *until = mkt_attachment_column(attachment, attachment->until);

	return psprintf("UPDATE %s%s AS c SET %s = 'non_marketing', %s = false, %s = NULL "
					"FROM (SELECT tableoid AS part, ctid AS place FROM %s%s "
					"WHERE %s AND %s OPERATOR(pg_catalog.<=) $1 %s FOR NO KEY UPDATE SKIP LOCKED) AS due "
					"WHERE c.ctid OPERATOR(pg_catalog.=) due.place AND c.tableoid OPERATOR(pg_catalog.=) due.part",
					only, name,
					mkt_attachment_column(attachment, attachment->status),
					mkt_attachment_column(attachment, attachment->flag), until,
					only, name, where, until, limit);
}

/* Ends a batch that is full; false when the time is up. */
static bool
end_batch(Job *job, int64 rows)
{
	job->rows_done += rows;
	job->work->done += rows;
	job->in_batch += rows;
	CHECK_FOR_INTERRUPTS();
	if (job->in_batch >= job->batch_size)
	{
		job->in_batch = 0;
		report_progress(job);
		mkt_work_commit(job->work);
	}
	return GetCurrentTimestamp() < job->stop_at;
}

/* What mkt.apply_progress shows; others see it from the next commit on. */
static void
report_progress(const Job *job)
{
	MktRights	rights;

	if (!job->work->commits || job->started_at == 0)
		return;
	rights = mkt_act_as(mkt_extension_owner());
	SPI_execute_with_args("SELECT mkt.report_progress($1, $2, $3, $4)", 4,
						  (Oid[]) {OIDOID, TIMESTAMPTZOID, INT8OID, INT8OID},
						  (Datum[]) {ObjectIdGetDatum(job->table.contacts),
									 TimestampTzGetDatum(job->started_at),
									 Int64GetDatum(job->rows_done),
									 Int64GetDatum(job->rows_to_do)},
						  NULL, false, 0);
	mkt_act_again_as(rights);
}

static void
forget_progress(const Job *job)
{
	MktRights	rights;

	if (!job->work->commits)
		return;
	rights = mkt_act_as(mkt_extension_owner());
	SPI_execute("DELETE FROM mkt.apply_run WHERE pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()",
				false, 0);
	mkt_act_again_as(rights);
}

/* Whether a table that was attached when the run began still is. */
bool
mkt_apply_is_there(const MktAttachedTable *table)
{
	return get_rel_name(table->contacts) != NULL &&
		get_rel_name(table->count_table) != NULL &&
		mkt_attachment_find(table->contacts) != NULL;
}
