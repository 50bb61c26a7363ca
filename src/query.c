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
#include "utils/memutils.h"

/* So many plans are kept; queries that come later are planned each time. */
#define MAX_KEPT 64

typedef struct Kept
{
	char	   *query;
	int			nargs;
	Oid			types[MKT_KEPT_ARGUMENTS];
	SPIPlanPtr	plan;
} Kept;

static SPIPlanPtr kept_plan(const char *query, int nargs, Oid *types);

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

/* Runs the commands that a query has returned. */
void
mkt_query_run_rows(SPITupleTable *rows, uint64 nrows)
{
	for (uint64 i = 0; i < nrows; i++)
		mkt_query_run("%s", SPI_getvalue(rows->vals[i], rows->tupdesc, 1));
}

/*
 * Runs a query that reads, by a plan that the session keeps: where there are many
 * partitions, planning takes much longer than reading.
 */
int
mkt_query_read(const char *query, int nargs, Oid *types, Datum *values,
			   const char *nulls, bool read_only)
{
	SPIPlanPtr	plan = kept_plan(query, nargs, types);

	if (plan)
		return SPI_execute_plan(plan, values, nulls, read_only, 0);
	return SPI_execute_with_args(query, nargs, types, values, nulls, read_only, 0);
}

static SPIPlanPtr
kept_plan(const char *query, int nargs, Oid *types)
{
	static Kept kept[MAX_KEPT];
	static int	nkept = 0;
	Kept	   *new = &kept[nkept];

	Assert(nargs <= MKT_KEPT_ARGUMENTS);
	for (int i = 0; i < nkept; i++)
		if (kept[i].nargs == nargs && strcmp(kept[i].query, query) == 0 &&
			memcmp(kept[i].types, types, nargs * sizeof(Oid)) == 0)
			return kept[i].plan;
	if (nkept == MAX_KEPT)
		return NULL;
	new->plan = SPI_prepare_cursor(query, nargs, types, CURSOR_OPT_GENERIC_PLAN);
	if (new->plan == NULL)
		elog(ERROR, "could not prepare: %s", query);
	new->query = MemoryContextStrdup(TopMemoryContext, query);
	new->nargs = nargs;
	memcpy(new->types, types, nargs * sizeof(Oid));
	SPI_keepplan(new->plan);
	nkept++;
	return new->plan;
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
