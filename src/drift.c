/*-------------------------------------------------------------------------
 * drift.c
 *	  Notices what goes around the triggers: a partition that is attached,
 *	  detached, truncated or dropped, a disabled trigger, replicated or restored
 *	  rows.
 *
 * An event trigger sees most of it when it happens, mkt.run() the rest from the
 * catalogs; what leaves no trace there is found because each table is recounted
 * once in a while.  Recounting only reads.  What differs stands in mkt.drift until
 * mkt.repair() has mended it.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static void check_step(void *arg);
static void run_query(const char *query, const MktAttachedTable *table);

PG_FUNCTION_INFO_V1(mkt_table_altered);

/* Event trigger, after ALTER TABLE and DROP TABLE. */
Datum
mkt_table_altered(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_MKT_WRONG_CALL),
				errmsg("mkt.table_altered() is the function of event trigger mktcontacts_altered"));
	SPI_connect();
	run_query("SELECT mkt.suspect_tables()", NULL);
	SPI_finish();
	PG_RETURN_NULL();
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
	int64		differences = 0;
	bool		isnull;

	mkt_run_as_extension("SELECT mkt.suspect_tables()", 0, NULL, NULL, NULL);
	if (mkt_run_as_extension("SELECT FROM mkt.table_check WHERE contacts = $1 AND (suspect IS NULL "
							 "AND ($2 = 0 OR checked_at > pg_catalog.clock_timestamp() - pg_catalog.make_interval(mins => $2)) "
							 "OR NOT EXISTS (SELECT FROM (SELECT FROM mkt.table_check WHERE contacts = $1 FOR UPDATE SKIP LOCKED) AS free))",
							 2, (Oid[]) {OIDOID, INT4OID},
							 (Datum[]) {ObjectIdGetDatum(table->contacts), Int32GetDatum(mkt_check_every)},
							 NULL) != SPI_OK_SELECT)
		elog(ERROR, "could not read mkt.table_check");
	if (SPI_processed > 0 || !mkt_work_step(work, check_step, unconstify(MktAttachedTable *, table)))
		return;
	work->done++;
	run_query("SELECT pg_catalog.count(*) FROM mkt.drift WHERE contacts = $1", table);
	differences = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	if (differences > 0)
		ereport(WARNING,
				errmsg("the counts of table %s differ from its contacts", mkt_qualified_name(table->contacts)),
				errdetail("Something went around its triggers; mkt.drift has the differences."),
				errhint("SELECT * FROM mkt.repair(%s); makes them right, while others read and write.",
						quote_literal_cstr(mkt_qualified_name(table->contacts))));
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
	for (uint64 i = 0; i < nrows; i++)
	{
		Oid			types[] = {OIDOID, TEXTOID, TIMESTAMPTZOID, INT8OID, INT8OID};
		Datum		values[lengthof(types)] = {ObjectIdGetDatum(table->contacts)};
		char		nulls[] = "     ";

		for (int j = 1; j < (int) lengthof(types); j++)
		{
			bool		isnull;

			values[j] = SPI_getbinval(rows->vals[i], rows->tupdesc, 1 + j, &isnull);
			nulls[j] = isnull ? 'n' : ' ';
		}
		mkt_run_as_extension("INSERT INTO mkt.drift (contacts, account, marketing_until, actual, counted, noticed_at) "
							 "VALUES ($1, $2, $3, $4, $5, pg_catalog.clock_timestamp())",
							 lengthof(types), types, values, nulls);
	}
	SPI_finish();
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

/* $1 is the table, if there is one. */
static void
run_query(const char *query, const MktAttachedTable *table)
{
	if (mkt_run_as_extension(query, table ? 1 : 0, (Oid[]) {OIDOID},
							 (Datum[]) {ObjectIdGetDatum(table ? table->contacts : InvalidOid)}, NULL) < 0)
		elog(ERROR, "could not run: %s", query);
}
