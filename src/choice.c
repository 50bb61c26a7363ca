/*-------------------------------------------------------------------------
 * choice.c
 *	  Contacts chosen by a filter, a saved filter, a list or a query, for the
 *	  functions that otherwise take their keys (rule W1).
 *
 * The choice is made once, with the caller's rights and in the snapshot of the
 * statement that asks; from then on the contacts are those with these keys.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "errors.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/portal.h"

/* Rows of a query that are on their way at once. */
#define FETCH_ROWS 1000

static Datum keys_of_query(const char *query, Oid key_type);
static SPIPlanPtr prepare(const char *query);
static bool returns_keys(SPIPlanPtr plan);
static void name_query(void *arg);

/*
 * The keys of the contacts, an array of the key column's type.  The arguments
 * stand one after the other from first: filter, saved filter, list, query.
 */
ArrayType *
mkt_choice_keys(FunctionCallInfo fcinfo, int first,
				const MktAttachment *attachment, const char *account)
{
	MktFilter  *filter = NULL;
	int			given = 0;

	if (account == NULL && !attachment->account)
		account = TextDatumGetCString(attachment->constant_account);
	for (int i = 0; i < MKT_CHOICES; i++)
		given += !PG_ARGISNULL(first + i);
	if (given != 1)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("contacts are chosen by one of keys, filter, saved_filter, list and query"),
				errhint("For example ARRAY[7, 8, 9], saved_filter => 'lapsed', or query => 'SELECT id FROM %s WHERE ...'.",
						mkt_qualified_name(attachment->contacts)));
	if (!PG_ARGISNULL(first + MKT_CHOICE_QUERY))
	{
		Oid			type = get_atttype(attachment->contacts, attachment->keys[0]);

		return DatumGetArrayTypeP(keys_of_query(text_to_cstring(PG_GETARG_TEXT_PP(first + MKT_CHOICE_QUERY)),
												type));
	}
	if (!PG_ARGISNULL(first + MKT_CHOICE_FILTER))
		filter = mkt_filter_compile(attachment, PG_GETARG_JSONB_P(first + MKT_CHOICE_FILTER), 1);
	else if (!PG_ARGISNULL(first + MKT_CHOICE_SAVED))
		filter = mkt_choice_saved(attachment, account,
								  text_to_cstring(PG_GETARG_TEXT_PP(first + MKT_CHOICE_SAVED)));
	else
		filter = mkt_list_find(attachment, account,
							   text_to_cstring(PG_GETARG_TEXT_PP(first + MKT_CHOICE_LIST)), 1);
	mkt_filter_restrict(filter, attachment, account);
	return DatumGetArrayTypeP(mkt_selection_keys(attachment, filter, ""));
}

/* A saved filter that anybody may run. */
MktFilter *
mkt_choice_saved(const MktAttachment *attachment, const char *account,
				 const char *name)
{
	MktFilter  *filter = mkt_saved_filter_find(attachment, account, name, 1);

	mkt_selection_narrow(filter, attachment, account);
	return filter;
}

/* What a query of the caller's returns in one column, as an array of a type. */
static Datum
keys_of_query(const char *query, Oid key_type)
{
	MemoryContext mine = CurrentMemoryContext;
	ArrayBuildState *keys;
	SPIPlanPtr	plan;
	Portal		portal;
	Oid			type;
	Datum		result;
	ErrorContextCallback context = {
		.previous = error_context_stack,
		.callback = name_query
	};

	SPI_connect();
	error_context_stack = &context;
	plan = prepare(query);
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	type = TupleDescAttr(portal->tupDesc, 0)->atttypid;
	keys = initArrayResult(type, mine, true);
	do
	{
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			bool		isnull;
			Datum		key = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1,
											&isnull);

			if (!isnull)
				accumArrayResult(keys, key, false, type, mine);
		}
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	SPI_cursor_close(portal);
	SPI_finish();
	MemoryContextSwitchTo(mine);
	result = mkt_key_convert_array(DatumGetArrayTypeP(makeArrayResult(keys, mine)), key_type);
	error_context_stack = context.previous;
	return result;
}

static SPIPlanPtr
prepare(const char *query)
{
	SPIPlanPtr	plan = SPI_prepare(query, 0, NULL);

	if (plan == NULL)
		elog(ERROR, "could not prepare a query");
	if (!returns_keys(plan))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("query must be one SELECT of one column, the keys of contacts, and only read"),
				errhint("For example query => 'SELECT id FROM crm.contact WHERE city = ''Oslo'''."));
	return plan;
}

/* Whether it is one query that returns a column, and locks and changes nothing. */
static bool
returns_keys(SPIPlanPtr plan)
{
	CachedPlanSource *source;
	Query	   *query;

	if (!SPI_is_cursor_plan(plan))
		return false;
	source = linitial(SPI_plan_get_plan_sources(plan));
	if (source->commandTag != CMDTAG_SELECT || list_length(source->query_list) != 1 ||
		source->resultDesc == NULL || source->resultDesc->natts != 1)
		return false;
	query = linitial_node(Query, source->query_list);
	return !query->hasModifyingCTE && query->rowMarks == NIL;
}

static void
name_query(void *arg)
{
	errcontext("query that chooses contacts");
}
