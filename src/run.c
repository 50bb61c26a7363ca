/*-------------------------------------------------------------------------
 * run.c
 *	  mkt.run(): everything that is due, part by part (rules D6, B7, B11).
 *
 * Each part works on one table or on all, in transactions of its own where the
 * procedure is called outside a transaction block, and may fail without the
 * others.  mkt.run_log says what was done and what failed; so does a warning.
 * Any number of sessions may run at once: what is locked is another's to do.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* So long before its month a partition of the history is made. */
#define PARTITION_AHEAD (7 * USECS_PER_DAY)

/* A part is one step, or works in steps of its own: on each attached table, or on everything. */
typedef struct Part
{
	const char *name;
	bool		by_table;
	void		(*step) (void *table);
	void		(*of_table) (const MktAttachedTable *table, MktWork *work);
	void		(*of_all) (MktWork *work);
} Part;

static void renew(const MktAttachedTable *table, MktWork *work);
static void renew_step(void *table);
static void follow(const MktAttachedTable *table, MktWork *work);
static void follow_step(void *table);
static void count(const MktAttachedTable *table, MktWork *work);
static void count_step(void *table);
static void fill(const MktAttachedTable *table, MktWork *work);
static void extend_history(void *table);
static void expire_history(void *table);
static void tidy(void *nothing);
static void fold(void *arg);

static const Part parts[] = {
	{"structure", true,.of_table = renew},
	{"subscriptions", true,.of_table = follow},
	{"count", true,.of_table = count},
	{"already marketing", true,.of_table = fill},
	{"history", true,.step = extend_history},
	{"apply", true,.of_table = mkt_apply_table},
	{"tiers", false,.of_all = mkt_watch_run},
	{"periods", false,.of_all = mkt_period_run},	/* before what they need
													 * expires */
	{"workflows", false,.of_all = mkt_enroll_run},
	{"check", true,.of_table = mkt_drift_check},
	{"expire history", true,.step = expire_history},
	{"tidy", false,.step = tidy},
	{"fold", true,.step = fold}
};

static void run_part(const Part *part, const MktAttachedTable *table,
					 int64 run, MktWork *total);
static int64 open_log(void);
static void log_part(int64 run, const char *part, Oid contacts,
					 TimestampTz started_at, const MktWork *work);
static void close_log(int64 run, const MktWork *total);

PG_FUNCTION_INFO_V1(mkt_run);

/* CALL mkt.run() */
Datum
mkt_run(PG_FUNCTION_ARGS)
{
	MktWork		total = {.commits = mkt_work_start(fcinfo)};
	int64		run = open_log();
	List	   *tables;
	ListCell   *cell;

	mkt_work_commit(&total);
	tables = mkt_attachment_list();
	for (size_t i = 0; i < lengthof(parts); i++)
	{
		if (!parts[i].by_table)
			run_part(&parts[i], NULL, run, &total);
		else
			foreach(cell, tables)
				run_part(&parts[i], lfirst(cell), run, &total);
	}
	close_log(run, &total);
	mkt_work_commit(&total);
	SPI_finish();
	PG_RETURN_VOID();
}

static void
run_part(const Part *part, const MktAttachedTable *table, int64 run, MktWork *total)
{
	MktWork		work = {
		.commits = total->commits,.catches = true,.context = CurrentMemoryContext
	};
	TimestampTz started_at = GetCurrentTimestamp();

	if (table && !mkt_apply_is_there(table))
		return;					/* gone meanwhile */
	if (part->step)
		mkt_work_step(&work, part->step, unconstify(MktAttachedTable *, table));
	else if (part->of_table)
		part->of_table(table, &work);
	else
		part->of_all(&work);
	mkt_work_commit(&work);
	total->done += work.done;
	total->failures += work.failures;
	if (work.done == 0 && work.failures == 0)
		return;
	if (work.failures > 0)
		ereport(WARNING,
				errcode(ERRCODE_WARNING),
				errmsg("mkt.run() could not do all of part \"%s\"%s%s: %s", part->name,
					   table ? " of table " : "", table ? mkt_qualified_name(table->contacts) : "",
					   work.error),
				errdetail_plural("%lld step failed; the others were done, and the next run tries again.",
								 "%lld steps failed; the others were done, and the next run tries again.",
								 (unsigned long) work.failures, (long long) work.failures));
	log_part(run, part->name, table ? table->contacts : InvalidOid, started_at, &work);
	mkt_work_commit(&work);
}

/* ---- the parts ---- */

/* A table that an older version made, from a dump. */
static void
renew(const MktAttachedTable *table, MktWork *work)
{
	if (table->structure < MKT_STRUCTURE &&
		mkt_work_step(work, renew_step, unconstify(MktAttachedTable *, table)))
		work->done++;
}

static void
renew_step(void *table)
{
	mkt_attach_renew(table);
}

/* Replicated rows are to be counted, also after triggers were disabled to restore a dump. */
static void
follow(const MktAttachedTable *table, MktWork *work)
{
	if (mkt_subscription_is_unfollowed(table->contacts) &&
		mkt_work_step(work, follow_step, unconstify(MktAttachedTable *, table)))
		work->done++;
}

static void
follow_step(void *table)
{
	mkt_subscription_follow(((MktAttachedTable *) table)->contacts);
}

/* Contacts of a table that was just attached. */
static void
count(const MktAttachedTable *table, MktWork *work)
{
	if (!table->counted && mkt_work_step(work, count_step, unconstify(MktAttachedTable *, table)))
		work->done++;
}

static void
count_step(void *table)
{
	mkt_verify_count(table);
}

/* F3: those that a condition says to be marketing already. */
static void
fill(const MktAttachedTable *table, MktWork *work)
{
	if (!table->filled)
		mkt_apply_fill(table, work);
}

static void
extend_history(void *table)
{
	mkt_satellite_extend(table, mkt_now());
	mkt_satellite_extend(table, mkt_now() + PARTITION_AHEAD);
}

static void
expire_history(void *table)
{
	mkt_satellite_expire(table);
}

static void
tidy(void *nothing)
{
	/* those that were parked and are marketing now, or gone, wait no longer */
	mkt_run_as_extension("DELETE FROM mkt.parked_contact AS p WHERE NOT EXISTS ("
						 "SELECT FROM mkt.parked AS w WHERE w.contacts::oid = p.contacts::oid AND w.key = p.key)",
						 0, NULL, NULL, NULL);
	mkt_run_as_extension("DELETE FROM mkt.workflow_attempt WHERE at < mkt.now() - interval '1 month'", 0, NULL, NULL, NULL);
	mkt_batch_fold();
}

static void
fold(void *arg)
{
	const MktAttachedTable *table = arg;

	mkt_run_as_extension("SELECT mkt.fold_counts($1)", 1, (Oid[]) {OIDOID},
						 (Datum[]) {ObjectIdGetDatum(table->count_table)}, NULL);
}

/* ---- mkt.run_log ---- */

/* The row of a run is there while it runs, or after it was killed. */
static int64
open_log(void)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		isnull;

	mkt_run_as_extension("INSERT INTO mkt.run_log (run, part, started_at) "
						 "VALUES (pg_catalog.nextval('mkt.run_number'), 'run', $1) RETURNING run",
						 1, (Oid[]) {TIMESTAMPTZOID}, (Datum[]) {TimestampTzGetDatum(now)}, NULL);
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

static void
log_part(int64 run, const char *part, Oid contacts, TimestampTz started_at,
		 const MktWork *work)
{
	Oid			types[] = {
		INT8OID, TEXTOID, OIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, INT8OID, TEXTOID, TEXTOID
	};
	Datum		values[] = {
		Int64GetDatum(run), CStringGetTextDatum(part), ObjectIdGetDatum(contacts),
		TimestampTzGetDatum(started_at), TimestampTzGetDatum(GetCurrentTimestamp()),
		Int64GetDatum(work->done), Int64GetDatum(work->failures), (Datum) 0, (Datum) 0
	};
	char		nulls[] = "         ";

	if (!OidIsValid(contacts))
		nulls[2] = 'n';
	if (work->error)
	{
		values[7] = CStringGetTextDatum(unpack_sql_state(work->sqlstate));
		values[8] = CStringGetTextDatum(work->error);
	}
	else
		nulls[7] = nulls[8] = 'n';
	mkt_run_as_extension("INSERT INTO mkt.run_log (run, part, contacts, started_at, finished_at, done, failed, sqlstate, error) "
						 "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
						 lengthof(types), types, values, nulls);
}

/* Runs that had nothing to do are forgotten after an hour, all after a month. */
static void
close_log(int64 run, const MktWork *total)
{
	Oid			types[] = {INT8OID, TIMESTAMPTZOID, INT8OID, INT8OID};
	Datum		values[] = {
		Int64GetDatum(run), TimestampTzGetDatum(GetCurrentTimestamp()),
		Int64GetDatum(total->done), Int64GetDatum(total->failures)
	};

	mkt_run_as_extension("UPDATE mkt.run_log SET finished_at = $2, done = $3, failed = $4 WHERE run = $1 AND part = 'run'",
						 lengthof(types), types, values, NULL);
	mkt_run_as_extension("DELETE FROM mkt.run_log WHERE started_at < $2 - interval '1 month' OR part = 'run' "
						 "AND started_at < $2 - interval '1 hour' AND finished_at IS NOT NULL AND done = 0 AND failed = 0",
						 2, types, values, NULL);
}
