/*-------------------------------------------------------------------------
 * schedule.c
 *	  mkt.schedule() and mkt.unschedule(): pg_cron calls mkt.run().
 *
 * Nothing is wrong without a schedule: what is due is late, and counts are right
 * all the same (S1).  pg_cron keeps its jobs in one database of a server, and
 * runs them for all; from others we can only say what to type there.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#define JOB "mktcontacts"

static void check_cron(const char *schedule);
static const char *what_is_missing(const char *schedule);
static Datum ask_cron(const char *query, int nargs, Datum *values);

PG_FUNCTION_INFO_V1(mkt_schedule);
PG_FUNCTION_INFO_V1(mkt_unschedule);

/* mkt.schedule(schedule) */
Datum
mkt_schedule(PG_FUNCTION_ARGS)
{
	Datum		schedule[] = {PG_GETARG_DATUM(0)};

	check_cron(TextDatumGetCString(schedule[0]));
	return ask_cron("SELECT cron.schedule('" JOB "', $1, 'CALL mkt.run()')", 1, schedule);
}

/* mkt.unschedule() */
Datum
mkt_unschedule(PG_FUNCTION_ARGS)
{
	check_cron(NULL);
	return BoolGetDatum(DatumGetInt64(ask_cron("SELECT pg_catalog.count(cron.unschedule(jobid)) FROM cron.job "
											   "WHERE jobname = '" JOB "' AND username = current_user",
											   0, NULL)) > 0);
}

static void
check_cron(const char *schedule)
{
	if (OidIsValid(get_extension_oid("pg_cron", true)))
		return;
	ereport(ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("pg_cron is not in database \"%s\"", get_database_name(MyDatabaseId)),
			errdetail("Anything that calls mkt.run() will do as well: cron, or a timer of systemd."),
			errhint("%s", what_is_missing(schedule)));
}

/* What to type, in the order of what has to be there. */
static const char *
what_is_missing(const char *schedule)
{
	const char *libraries = GetConfigOption("shared_preload_libraries", true, false);
	const char *its_database = GetConfigOption("cron.database_name", true, false);
	const char *here = get_database_name(MyDatabaseId);

	if (libraries == NULL || strstr(libraries, "pg_cron") == NULL || its_database == NULL)
		return psprintf("Install it (Debian: postgresql-" PG_MAJORVERSION "-cron), set shared_preload_libraries = 'pg_cron' and cron.database_name = %s "
						"in postgresql.conf, restart the server, CREATE EXTENSION pg_cron; and call this again.",
						quote_literal_cstr(here));
	if (strcmp(its_database, here) == 0)
		return "CREATE EXTENSION pg_cron; and call this again.";
	return psprintf("It belongs into database \"%s\". There: CREATE EXTENSION IF NOT EXISTS pg_cron; %s",
					its_database,
					schedule ? psprintf("SELECT cron.schedule_in_database(%s, %s, 'CALL mkt.run()', %s);",
										quote_literal_cstr(psprintf(JOB " in %s", here)),
										quote_literal_cstr(schedule), quote_literal_cstr(here)) :
					psprintf("SELECT cron.unschedule(%s);",
							 quote_literal_cstr(psprintf(JOB " in %s", here))));
}

/* As the caller, whose job it is. */
static Datum
ask_cron(const char *query, int nargs, Datum *values)
{
	Datum		result;
	bool		isnull;

	SPI_connect();
	if (SPI_execute_with_args(query, nargs, (Oid[]) {TEXTOID}, values, NULL, false,
							  0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not ask pg_cron");
	result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	SPI_finish();
	return result;
}
