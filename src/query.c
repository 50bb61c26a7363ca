/*-------------------------------------------------------------------------
 * query.c
 *	  Commands whose table names are known only when they run.
 *
 * Names in a command are quoted, and values are parameters or quoted literals:
 * the callers see to that.  What is not qualified is PostgreSQL's own.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/guc.h"

/* Runs one command, made like a string by psprintf(). */
void
mkt_query_run(const char *command,...)
{
	StringInfoData buffer;
	int			nestlevel = mkt_fix_search_path();
	int			needed;

	initStringInfo(&buffer);
	do
	{
		va_list		args;

		va_start(args, command);
		needed = appendStringInfoVA(&buffer, command, args);
		va_end(args);
		if (needed > 0)
			enlargeStringInfo(&buffer, needed);
	} while (needed > 0);
	if (SPI_execute(buffer.data, false, 0) < 0)
		elog(ERROR, "could not run: %s", buffer.data);
	AtEOXact_GUC(false, nestlevel);
	pfree(buffer.data);
}

/* Texts as the value of a parameter. */
Datum
mkt_query_texts(Datum *texts, int n)
{
	return PointerGetDatum(construct_array(texts, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* Returns the rows of the query that has just run from a set-returning function. */
void
mkt_query_return(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		CHECK_FOR_INTERRUPTS();
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[i]);
	}
}
