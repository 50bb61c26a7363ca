/*-------------------------------------------------------------------------
 * condition.c
 *	  Conditions that a role gives as SQL text.
 *
 * Such a text is parsed as one expression over the columns of a contacts table
 * and written out again with every name qualified, so that it means the same
 * whoever evaluates it later.  It still runs with somebody's rights: those who
 * store it store whose.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "nodes/makefuncs.h"
#include "parser/parse_clause.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/ruleutils.h"

static Node *parse_expression(const char *argument, const char *condition);
static void error_position(void *condition);

/*
 * The condition that a function's argument holds, checked and written out.  The
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

	nestlevel = mkt_restrict_search_path();
	written = deparse_expression(parsed,
								 deparse_context_for(write_as ? write_as : RelationGetRelationName(rel),
													 RelationGetRelid(rel)),
								 write_as != NULL, false);
	AtEOXact_GUC(true, nestlevel);
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
