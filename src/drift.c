/*-------------------------------------------------------------------------
 * drift.c
 *	  Notices what goes around the triggers: a partition that is attached,
 *	  detached, truncated or dropped, a disabled trigger, replicated or restored
 *	  rows.
 *
 * An event trigger sees most of it when it happens, mkt.run() the rest from the
 * catalogs; what leaves no trace there is found because each table is recounted
 * once in a while.  Recounting only reads.  What differs stands in mkt.drift until
 * mkt.repair() has mended it; mkt.run() does so by itself where contacts are
 * copied from another server, by a subscription or a dump.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "errors.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static bool is_other_table(const Node *command);
static bool has_come_as_copy(const MktAttachedTable *table);
static void check_step(void *arg);
static void repair_step(void *arg);
static void write_drift(const MktAttachedTable *table, SPITupleTable *rows,
						uint64 nrows);
static void run_query(const char *query, const MktAttachedTable *table);

PG_FUNCTION_INFO_V1(mkt_table_altered);

/*
 * Event trigger, after what makes, alters or drops tables or triggers, or makes or
 * changes a subscription.
 */
Datum
mkt_table_altered(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_MKT_WRONG_CALL),
				errmsg("mkt.table_altered() is the function of event trigger mktcontacts_altered"));
	if (is_other_table(((EventTriggerData *) fcinfo->context)->parsetree))
		PG_RETURN_NULL();
	if (mkt_version_script_runs() || !mkt_version_is_ours())
		PG_RETURN_NULL();		/* mkt.run() will see it */
	SPI_connect();
	mkt_subscription_follow(InvalidOid);
	mkt_run_as_extension("SELECT mkt.suspect_tables()", 0, NULL, NULL, NULL);
	SPI_finish();
	PG_RETURN_NULL();
}

/*
 * Of tables that are made, only partitions matter: one that has come and gone again
 * by the next mkt.run() leaves no other trace.
 */
static bool
is_other_table(const Node *command)
{
	return IsA(command, CreateStmt) && ((const CreateStmt *) command)->partbound == NULL;
}

/* A table that is attached now is right now. */
void
mkt_drift_start(const MktAttachedTable *table)
{
	run_query("INSERT INTO mkt.table_check (contacts, structure, checked_at) "
			  "VALUES ($1, mkt.table_structure($1), pg_catalog.clock_timestamp())", table);
}

/*
 * For mkt.run(): recounts a table, when there is a reason or it is time, unless
 * another session that has not yet ended recounts or mends it.
 */
void
mkt_drift_check(const MktAttachedTable *table, MktWork *work)
{
	bool		is_copy;

	if (mkt_run_as_extension("SELECT FROM mkt.table_check WHERE contacts = $1 AND (suspect IS NULL "
							 "AND structure = mkt.table_structure(contacts) "
							 "AND ($2 = 0 OR checked_at > pg_catalog.clock_timestamp() - pg_catalog.make_interval(mins => $2)) "
							 "OR NOT EXISTS (SELECT FROM (SELECT FROM mkt.table_check WHERE contacts = $1 FOR UPDATE SKIP LOCKED) AS free))",
							 2, (Oid[]) {OIDOID, INT4OID},
							 (Datum[]) {ObjectIdGetDatum(table->contacts), Int32GetDatum(mkt_check_every)},
							 NULL) != SPI_OK_SELECT)
		elog(ERROR, "could not read mkt.table_check");
	if (SPI_processed > 0)
		return;
	is_copy = has_come_as_copy(table);
	if (!mkt_work_step(work, check_step, unconstify(MktAttachedTable *, table)))
		return;
	work->done++;
	run_query("SELECT FROM mkt.drift WHERE contacts = $1 LIMIT 1", table);
	if (SPI_processed > 0 &&
		(!is_copy || !mkt_work_step(work, repair_step, unconstify(MktAttachedTable *, table))))
		ereport(WARNING,
				errcode(ERRCODE_WARNING),
				errmsg("the counts of table %s differ from its contacts", mkt_qualified_name(table->contacts)),
				errdetail("Something went around its triggers; mkt.drift has the differences."),
				errhint("SELECT * FROM mkt.repair(%s); makes them right, while others read and write.",
						quote_literal_cstr(mkt_qualified_name(table->contacts))));
}

/* A subscription fills it, or it comes from a dump. */
static bool
has_come_as_copy(const MktAttachedTable *table)
{
	run_query("SELECT FROM mkt.table_check WHERE contacts = $1 AND suspect IS DISTINCT FROM '" MKT_RESTORED "'", table);
	return SPI_processed == 0 || mkt_subscription_fills(table->contacts);
}

static void
check_step(void *arg)
{
	const MktAttachedTable *table = arg;
	SPITupleTable *rows;
	uint64		nrows;

	SPI_connect();
	/* first, so that what changes meanwhile is found next time */
	run_query("INSERT INTO mkt.table_check AS k (contacts, structure, checked_at) "
			  "VALUES ($1, mkt.table_structure($1), pg_catalog.clock_timestamp()) "
			  "ON CONFLICT ON CONSTRAINT table_check_pkey DO UPDATE "
			  "SET structure = EXCLUDED.structure, suspect = NULL, checked_at = EXCLUDED.checked_at", table);
	mkt_verify_compare(table);
	rows = SPI_tuptable;
	nrows = SPI_processed;
	run_query("DELETE FROM mkt.drift WHERE contacts = $1", table);
	write_drift(table, rows, nrows);
	SPI_finish();
}

/* Contacts that were copied while no trigger counted them, or beside their counts, are counted as they are now. */
static void
repair_step(void *arg)
{
	MktAttachedTable table = *(const MktAttachedTable *) arg;

	SPI_connect();
	table.counted = true;
	mkt_verify_repair(&table);
	mkt_drift_mended(&table);
	SPI_finish();
	ereport(LOG,
			errmsg("mended the counts of table %s, whose contacts were copied",
				   mkt_qualified_name(table.contacts)));
}

static void
write_drift(const MktAttachedTable *table, SPITupleTable *rows, uint64 nrows)
{
	MktAppender *appender = mkt_append_open(mkt_relation("drift"));

	for (uint64 i = 0; i < nrows; i++)
	{
		TupleTableSlot *slot = mkt_append_slot(appender);

		mkt_verify_difference(table->contacts, rows, i, slot->tts_values, slot->tts_isnull);
		slot->tts_values[5] = TimestampTzGetDatum(GetCurrentTimestamp());
		mkt_append_row(appender);
	}
	mkt_append_close(appender);
}

/* The counts of a table are right again. */
void
mkt_drift_mended(const MktAttachedTable *table)
{
	run_query("DELETE FROM mkt.drift WHERE contacts = $1", table);
	run_query("UPDATE mkt.table_check SET structure = mkt.table_structure($1), suspect = NULL, checked_at = pg_catalog.clock_timestamp() "
			  "WHERE contacts = $1", table);
}

/* The table is attached no longer. */
void
mkt_drift_forget(const MktAttachedTable *table)
{
	run_query("DELETE FROM mkt.drift WHERE contacts::pg_catalog.oid = $1", table);
	run_query("DELETE FROM mkt.table_check WHERE contacts::pg_catalog.oid = $1", table);
}

/* $1 is the table. */
static void
run_query(const char *query, const MktAttachedTable *table)
{
	mkt_run_as_extension(query, 1, (Oid[]) {OIDOID}, (Datum[]) {ObjectIdGetDatum(table->contacts)}, NULL);
}
