/*-------------------------------------------------------------------------
 * report.c
 *	  What reports have to ask of the contacts themselves: who brought the
 *	  marketing contacts, and which of them cannot be reached (P4, P5).
 *
 * They go through all attached tables, so nobody has chosen to run what those
 * tables' owners gave as conditions: a table is asked as its owner, and only
 * when the caller may read all of it.  Others are left out.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tstoreReceiver.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "nodes/params.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

/* One attached table, and whose contacts in it are asked for. */
typedef struct Asked
{
	const MktAttachment *attachment;
	const char *from;			/* the table, as after FROM */
	const char *account;		/* each contact's account, as text */
	const char *where;			/* marketing contacts of the account */
	const MktConditions *conditions;
	ParamListInfo params;		/* the account: $1 as text, $2 typed */
} Asked;

typedef char *(*QueryBuilder) (const Asked *asked);

static void ask_all(FunctionCallInfo fcinfo, QueryBuilder build, QueryBuilder build_counts);
static void ask(FunctionCallInfo fcinfo, const MktAttachedTable *table,
				QueryBuilder build, QueryBuilder build_counts, DestReceiver *dest);
static char *account_condition(Asked *asked, const MktAttachedTable *table,
							   Datum account);
static bool find_account(const MktAttachedTable *table, Datum name, Datum *account);
static char *sources_query(const Asked *asked);
static char *deleted_query(const Asked *asked);
static char *unreachable_query(const Asked *asked);
static char *contact_key(const Asked *asked);

PG_FUNCTION_INFO_V1(mkt_count_sources);
PG_FUNCTION_INFO_V1(mkt_find_unreachable);

/* mkt.count_sources(of_account): marketing contacts by table, account and source */
Datum
mkt_count_sources(PG_FUNCTION_ARGS)
{
	ask_all(fcinfo, sources_query, deleted_query);
	return (Datum) 0;
}

/* mkt.find_unreachable(of_account): marketing contacts that cannot be reached */
Datum
mkt_find_unreachable(PG_FUNCTION_ARGS)
{
	ask_all(fcinfo, unreachable_query, NULL);
	return (Datum) 0;
}

static void
ask_all(FunctionCallInfo fcinfo, QueryBuilder build, QueryBuilder build_counts)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DestReceiver *dest = CreateDestReceiver(DestTuplestore);
	int			nestlevel;
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	SetTuplestoreDestReceiverParams(dest, result->setResult,
									result->econtext->ecxt_per_query_memory, false,
									result->setDesc, "a report has other columns");
	nestlevel = mkt_fix_search_path();
	SPI_connect();
	foreach(cell, mkt_attachment_list())
	{
		const MktAttachedTable *table = lfirst(cell);

		if (get_rel_name(table->contacts) != NULL && mkt_reads_all(table->contacts))
			ask(fcinfo, table, build, build_counts, dest);
	}
	SPI_finish();
	AtEOXact_GUC(false, nestlevel);
	dest->rDestroy(dest);
}

static void
ask(FunctionCallInfo fcinfo, const MktAttachedTable *table, QueryBuilder build,
	QueryBuilder build_counts, DestReceiver *dest)
{
	const MktAttachment *attachment = mkt_attachment_of(table->contacts);
	MktConditions conditions = mkt_condition_read(table->contacts);
	Asked		asked = {
		.attachment = attachment,
		.from = mkt_condition_from(attachment),
		.conditions = &conditions,
		.params = makeParamList(2)
	};
	SPIExecuteOptions options = {.params = asked.params,.read_only = true,.dest = dest};
	ErrorContextCallback context = {
		.previous = error_context_stack,
		.callback = mkt_condition_tell,
		.arg = &conditions
	};
	MktRights	rights;

	memset(asked.params->params, 0, 2 * sizeof(ParamExternData));
	if (get_rel_relkind(table->contacts) == RELKIND_RELATION)
		asked.from = psprintf("ONLY %s", asked.from);
	asked.account = psprintf("%s::pg_catalog.text", attachment->account ?
							 mkt_attachment_column(attachment, attachment->account) :
							 quote_literal_cstr(TextDatumGetCString(attachment->constant_account)));
	asked.where = psprintf("mkt.is_marketing(%s, %s)%s",
						   mkt_attachment_column(attachment, attachment->status),
						   mkt_attachment_column(attachment, attachment->until),
						   PG_ARGISNULL(0) ? "" :
						   account_condition(&asked, table, PG_GETARG_DATUM(0)));

	error_context_stack = &context;
	rights = mkt_act_as(mkt_owner_of(table->contacts));
	if (SPI_execute_extended(build(&asked), &options) != SPI_OK_SELECT)
		elog(ERROR, "could not ask table %s", mkt_qualified_name(table->contacts));
	mkt_act_again_as(rights);
	error_context_stack = context.previous;
	if (build_counts == NULL)
		return;
	rights = mkt_act_as(mkt_extension_owner());
	if (SPI_execute_extended(build_counts(&asked), &options) != SPI_OK_SELECT)
		elog(ERROR, "could not read counts");
	mkt_act_again_as(rights);
}

/*
 * An account is named by text, which need not read as the type of every table's
 * accounts.  The counts know its value, and then an index can find it.
 */
static char *
account_condition(Asked *asked, const MktAttachedTable *table, Datum account)
{
	const MktAttachment *attachment = asked->attachment;
	ParamExternData *params = asked->params->params;

	params[0].ptype = TEXTOID;
	params[0].value = account;
	params[0].pflags = PARAM_FLAG_CONST;
	if (attachment->account && find_account(table, account, &params[1].value))
	{
		params[1].ptype = attachment->account_type;
		params[1].pflags = PARAM_FLAG_CONST;
		return psprintf(" AND %s OPERATOR(pg_catalog.=) $2",
						mkt_attachment_column(attachment, attachment->account));
	}
	return psprintf(" AND %s OPERATOR(pg_catalog.=) $1", asked->account);
}

static bool
find_account(const MktAttachedTable *table, Datum name, Datum *account)
{
	MktRights	rights = mkt_act_as(mkt_extension_owner());
	bool		found;

	if (SPI_execute_with_args(psprintf("SELECT account FROM ONLY %s WHERE account_name OPERATOR(pg_catalog.=) $1",
									   mkt_qualified_name(table->count_table)),
							  1, (Oid[]) {TEXTOID}, &name, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read counts");
	mkt_act_again_as(rights);
	found = SPI_processed > 0;
	if (found)
	{
		bool		isnull;

		*account = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	}
	return found;
}

static char *
sources_query(const Asked *asked)
{
	const MktAttachment *attachment = asked->attachment;

	return psprintf("SELECT %u::pg_catalog.oid::pg_catalog.regclass, %s, %s::pg_catalog.text, %s::pg_catalog.text, "
					"pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE %s), 0::pg_catalog.int8 "
					"FROM %s WHERE %s GROUP BY 2, 3, 4",
					attachment->contacts, asked->account,
					mkt_attachment_column(attachment, attachment->source_type),
					mkt_attachment_column(attachment, attachment->source_name),
					mkt_attachment_column(attachment, attachment->flag),
					asked->from, asked->where);
}

/* Those that are not there any more and still count (T13) are in the counts only. */
static char *
deleted_query(const Asked *asked)
{
	const MktAttachment *attachment = asked->attachment;

	return psprintf("SELECT %u::pg_catalog.oid::pg_catalog.regclass, d.account_name, NULL::pg_catalog.text, NULL::pg_catalog.text, "
					"d.n, 0::pg_catalog.int8, d.n "
					"FROM (SELECT c.account_name, pg_catalog.sum(CASE WHEN c.until OPERATOR(pg_catalog.>) mkt.now() THEN c.n ELSE 0 END "
					"OPERATOR(pg_catalog.-) CASE WHEN c.was OPERATOR(pg_catalog.>) mkt.now() THEN c.n ELSE 0 END)::pg_catalog.int8 AS n "
					"FROM (SELECT account_name, was, until, n FROM ONLY %s WHERE deleted UNION ALL "
					"SELECT account_name, was, until, n FROM mkt.unposted() "
					"WHERE deleted AND count_table OPERATOR(pg_catalog.=) %u::pg_catalog.oid) AS c "
					"WHERE %s GROUP BY c.account_name) AS d WHERE d.n OPERATOR(pg_catalog.<>) 0",
					attachment->contacts, mkt_qualified_name(attachment->count_table),
					attachment->count_table,
					asked->params->params[0].ptype == TEXTOID ?
					"c.account_name OPERATOR(pg_catalog.=) $1" : "true");
}

static char *
unreachable_query(const Asked *asked)
{
	const MktAttachment *attachment = asked->attachment;
	const char *unsubscribed = asked->conditions->unsubscribed;
	const char *bounced = asked->conditions->bounced;

	if (!unsubscribed)
		unsubscribed = "false";
	if (!bounced)
		bounced = "false";
	return psprintf("SELECT %u::pg_catalog.oid::pg_catalog.regclass, %s, %s, "
					"CASE WHEN (%s) THEN 'unsubscribed' ELSE 'bounced' END, %s "
					"FROM %s WHERE %s AND ((%s) OR (%s))",
					attachment->contacts, asked->account, contact_key(asked),
					unsubscribed,
					mkt_attachment_column(attachment, attachment->until),
					asked->from, asked->where, unsubscribed, bounced);
}

/* A contact's key as text; one of several columns is written as a row. */
static char *
contact_key(const Asked *asked)
{
	const MktAttachment *attachment = asked->attachment;
	StringInfoData keys;

	initStringInfo(&keys);
	for (int i = 0; i < attachment->nkeys; i++)
		appendStringInfo(&keys, "%s%s", i ? ", " : "",
						 mkt_attachment_column(attachment, attachment->keys[i]));
	return psprintf(attachment->nkeys > 1 ? "ROW(%s)::pg_catalog.text" :
					"%s::pg_catalog.text", keys.data);
}
