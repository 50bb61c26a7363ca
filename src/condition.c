/*-------------------------------------------------------------------------
 * condition.c
 *	  Conditions on a table's contacts, which its owner gives as SQL: who has
 *	  unsubscribed, whose address bounced, who already was marketing.
 *
 * A condition is checked when it is given and kept as text.  The queries that
 * use it have the contacts table as their only relation and by its own name,
 * so that the columns in the condition mean what they meant.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/genam.h"
#include "access/table.h"
#include "errors.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "parser/parse_clause.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

/* The columns of mkt.attachment that are read here. */
#define ATT_CONTACTS		1
#define ATT_UNSUBSCRIBED	7
#define ATT_BOUNCED			8

static Node *parse_expression(const char *argument, const char *condition);
static void error_position(void *condition);
static char *read_column(HeapTuple tuple, TupleDesc desc, int column);

/* The condition in a function's argument, if there is one. */
char *
mkt_condition_argument(FunctionCallInfo fcinfo, int argno, const char *argument,
					   Relation rel)
{
	if (PG_ARGISNULL(argno))
		return NULL;
	return mkt_condition_write(rel, argument, text_to_cstring(PG_GETARG_TEXT_PP(argno)),
							   NULL, NULL);
}

/*
 * A condition, checked and written out with every name qualified, so that it means
 * the same whoever evaluates it later.  The
 * table goes by one name where it is read, its own by default, and by another
 * where it is written; without that, its columns stand alone.
 */
char *
mkt_condition_write(Relation rel, const char *argument, const char *condition,
					const char *read_as, const char *write_as)
{
	ParseState *state = make_parsestate(NULL);
	ErrorContextCallback context = {
		.previous = error_context_stack,
		.callback = error_position,
		.arg = unconstify(char *, condition)
	};
	Node	   *parsed;
	ParseNamespaceItem *item;
	char	   *written;
	int			nestlevel;

	error_context_stack = &context;
	state->p_sourcetext = condition;
	parsed = parse_expression(argument, condition);
	item = addRangeTableEntryForRelation(state, rel, AccessShareLock,
										 read_as ? makeAlias(read_as, NIL) : NULL,
										 false, true);
	addNSItemToQuery(state, item, true, true, true);
	parsed = transformWhereClause(state, parsed, EXPR_KIND_WHERE, argument);
	error_context_stack = context.previous;

	nestlevel = mkt_fix_search_path();
	written = deparse_expression(parsed,
								 deparse_context_for(write_as ? write_as : RelationGetRelationName(rel),
													 RelationGetRelid(rel)),
								 write_as != NULL, false);
	AtEOXact_GUC(false, nestlevel);
	return written;
}

/* One expression, and nothing around it. */
static Node *
parse_expression(const char *argument, const char *condition)
{
	List	   *parsed = raw_parser(condition, RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *select = castNode(SelectStmt,
								  linitial_node(RawStmt, parsed)->stmt);

	if (list_length(select->targetList) != 1 || select->distinctClause ||
		select->intoClause || select->fromClause || select->whereClause ||
		select->groupClause || select->havingClause || select->windowClause ||
		select->valuesLists || select->sortClause || select->limitOffset ||
		select->limitCount || select->lockingClause || select->withClause ||
		select->op != SETOP_NONE)
		ereport(ERROR,
				errcode(ERRCODE_SYNTAX_ERROR),
				errmsg("%s is not a condition: %s", argument, condition),
				errhint("Write it as after WHERE, for example %s => 'unsubscribed_at IS NOT NULL'.",
						argument));
	return linitial_node(ResTarget, select->targetList)->val;
}

/* A position in the condition is none in the statement that holds it. */
static void
error_position(void *condition)
{
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(condition);
	}
}

/* What makes contacts of a table unreachable, as mkt.attachment has it. */
MktConditions
mkt_condition_read(Oid contacts)
{
	MktConditions conditions = {.name = mkt_qualified_name(contacts)};
	Relation	rel = table_open(mkt_relation("attachment"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, ATT_CONTACTS, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(contacts));
	scan = systable_beginscan(rel, mkt_relation("attachment_pkey"), true, NULL,
							  1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		conditions.unsubscribed = read_column(tuple, RelationGetDescr(rel),
											  ATT_UNSUBSCRIBED);
		conditions.bounced = read_column(tuple, RelationGetDescr(rel), ATT_BOUNCED);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return conditions;
}

static char *
read_column(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column, desc, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/*
 * SQL for why a tool may not use a contact, null when it may; for a query whose
 * only relation is the table or partition of the attachment.
 */
char *
mkt_condition_refusal(const MktAttachment *attachment, const char *tool)
{
	MktConditions conditions = mkt_condition_read(attachment->contacts);

	return psprintf("mkt.refusal(%s, mkt.is_marketing(%s, %s), (%s), (%s))", tool,
					mkt_attachment_column(attachment, attachment->status),
					mkt_attachment_column(attachment, attachment->until),
					conditions.unsubscribed ? conditions.unsubscribed : "false",
					conditions.bounced ? conditions.bounced : "false");
}

/* The table or partition of an attachment as such a query has it after FROM. */
char *
mkt_condition_from(const MktAttachment *attachment)
{
	return psprintf("%s AS %s", mkt_qualified_name(attachment->relid),
					quote_identifier(get_rel_name(attachment->contacts)));
}

/* An error context: a condition that fails, after a renaming perhaps, is told. */
void
mkt_condition_tell(void *arg)
{
	const MktConditions *conditions = arg;

	if (conditions->unsubscribed || conditions->bounced)
		errcontext("conditions of contacts table %s: unsubscribed %s, bounced %s; mkt.set_conditions() changes them",
				   conditions->name,
				   conditions->unsubscribed ? conditions->unsubscribed : "none",
				   conditions->bounced ? conditions->bounced : "none");
}
