/*-------------------------------------------------------------------------
 * tool_use.c
 *	  What a tool may do with a contact (rule F4): mkt.tool_use, and the one
 *	  function that decides.
 *
 * Queries and row-level security policies call mkt.refusal() for every row, so
 * what a tool needs is read once for each of them.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/genam.h"
#include "access/table.h"
#include "compat.h"
#include "errors.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"

/* The columns of mkt.tool_use. */
#define USE_TOOL			1
#define USE_NEEDS_MARKETING	2
#define USE_NEEDS_REACHABLE	3

/* What mkt.refusal() remembers between two rows. */
typedef struct KnownTool
{
	MktToolNeeds needs;
	Size		len;
	char		tool[FLEXIBLE_ARRAY_MEMBER];
} KnownTool;

static const MktToolNeeds *needs_for_call(FunctionCallInfo fcinfo);
static bool argument_is_true(FunctionCallInfo fcinfo, int argno);
static int	compare_names(const ListCell *a, const ListCell *b);
static void unknown_tool(const char *tool, List *known) pg_attribute_noreturn();

PG_FUNCTION_INFO_V1(mkt_refusal);

/* mkt.refusal(tool, marketing, unsubscribed, bounced): F4, the reasons of F5 */
Datum
mkt_refusal(PG_FUNCTION_ARGS)
{
	const MktToolNeeds *needs;
	const char *reason = NULL;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("tool must not be null"),
				errhint("SELECT tool FROM mkt.tool_use;"));
	needs = needs_for_call(fcinfo);
	if (needs->marketing && !argument_is_true(fcinfo, 1))
		reason = "non_marketing";
	else if (needs->reachable && argument_is_true(fcinfo, 2))
		reason = "unsubscribed";
	else if (needs->reachable && argument_is_true(fcinfo, 3))
		reason = "bounced";
	if (reason == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(reason));
}

static const MktToolNeeds *
needs_for_call(FunctionCallInfo fcinfo)
{
	KnownTool  *known = fcinfo->flinfo->fn_extra;
	text	   *tool = PG_GETARG_TEXT_PP(0);
	Size		len = VARSIZE_ANY_EXHDR(tool);

	if (known == NULL || known->len != len ||
		memcmp(known->tool, VARDATA_ANY(tool), len) != 0)
	{
		MktToolNeeds needs = mkt_tool_needs(text_to_cstring(tool));

		if (known)
			pfree(known);
		fcinfo->flinfo->fn_extra = NULL;
		known = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt,
								   offsetof(KnownTool, tool) + len);
		known->needs = needs;
		known->len = len;
		memcpy(known->tool, VARDATA_ANY(tool), len);
		fcinfo->flinfo->fn_extra = known;
	}
	return &known->needs;
}

/* A condition that is null is not met, as after WHERE. */
static bool
argument_is_true(FunctionCallInfo fcinfo, int argno)
{
	return !PG_ARGISNULL(argno) && PG_GETARG_BOOL(argno);
}

/* What a tool needs.  One that nobody has described may do nothing. */
MktToolNeeds
mkt_tool_needs(const char *tool)
{
	Relation	rel = table_open(mkt_relation("tool_use"), AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	MktToolNeeds needs = {false, false};
	List	   *names = NIL;
	bool		found = false;
	HeapTuple	tuple;

	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		TupleDesc	desc = RelationGetDescr(rel);
		bool		isnull;
		char	   *name = TextDatumGetCString(heap_getattr(tuple, USE_TOOL, desc,
															&isnull));

		names = lappend(names, name);
		found = strcmp(name, tool) == 0;
		if (!found)
			continue;
		needs.marketing = DatumGetBool(heap_getattr(tuple, USE_NEEDS_MARKETING, desc,
													&isnull));
		needs.reachable = DatumGetBool(heap_getattr(tuple, USE_NEEDS_REACHABLE, desc,
													&isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (!found)
		unknown_tool(tool, names);
	list_free_deep(names);
	return needs;
}

static void
unknown_tool(const char *tool, List *known)
{
	StringInfoData names;
	ListCell   *cell;

	initStringInfo(&names);
	list_sort(known, compare_names);
	foreach(cell, known)
		appendStringInfo(&names, "%s%s", names.len ? ", " : "", (char *) lfirst(cell));
	ereport(ERROR,
			errcode(ERRCODE_MKT_UNKNOWN_TOOL),
			errmsg("there is no tool \"%s\"", tool),
			errdetail("There are: %s.", names.data),
			errhint("INSERT INTO mkt.tool_use (tool, needs_marketing, needs_reachable) VALUES (%s, true, true); adds it.",
					quote_literal_cstr(tool)));
}

static int
compare_names(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}
