/*-------------------------------------------------------------------------
 * set_status.c
 *	  mkt.set_marketing(), mkt.set_non_marketing() and mkt.record_activity(): many
 *	  contacts at once, with a report (rules T1, T2, F1, W1, W2).
 *
 * One statement locks the contacts in the order of their keys, sees their
 * state, updates those that will change and counts the rest.  It runs with the
 * caller's rights; the triggers on the table do the work.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* What is asked of the contacts. */
typedef enum Request
{
	SET_MARKETING, SET_NON_MARKETING, RECORD_ACTIVITY
} Request;

/* A call, with what its query needs. */
typedef struct Call
{
	Request		request;
	const char *function;
	MktAttachment *attachment;
	ArrayType  *keys;
	Datum		account;		/* text; 0 where not given */
	Datum		source_type;
	Datum		source_name;
	Datum		expected;
	bool		has_expected;
	int64		outcome[MKT_OUTCOMES];
	int64		kept;			/* that the tool does not promote */
} Call;

static Datum set_status(FunctionCallInfo fcinfo, Call *call);
static void set_chosen(FunctionCallInfo fcinfo, Call *call);
static Datum argument(FunctionCallInfo fcinfo, int argno);
static int64 run(Call *call);
static void check_call(const Call *call);
static void run_query(Call *call);
static char *build_query(const Call *call);
static const char *changes(Request request);
static void check_expected(const Call *call);
static Datum report(FunctionCallInfo fcinfo, const Call *call, int64 batch);

PG_FUNCTION_INFO_V1(mkt_set_marketing);
PG_FUNCTION_INFO_V1(mkt_set_non_marketing);
PG_FUNCTION_INFO_V1(mkt_set_marketing_chosen);
PG_FUNCTION_INFO_V1(mkt_set_non_marketing_chosen);
PG_FUNCTION_INFO_V1(mkt_record_activity);

/* mkt.set_marketing(contacts, keys, account, expected, source_type, source_name) */
Datum
mkt_set_marketing(PG_FUNCTION_ARGS)
{
	Call		call = {.request = SET_MARKETING,.function = "set_marketing"};

	return set_status(fcinfo, &call);
}

/* mkt.set_non_marketing(the same) */
Datum
mkt_set_non_marketing(PG_FUNCTION_ARGS)
{
	Call		call = {.request = SET_NON_MARKETING,.function = "set_non_marketing"};

	return set_status(fcinfo, &call);
}

/* mkt.record_activity(contacts, keys, source_type, source_name, account) */
Datum
mkt_record_activity(PG_FUNCTION_ARGS)
{
	Call		call = {.request = RECORD_ACTIVITY,.function = "record_activity"};

	return set_status(fcinfo, &call);
}

static Datum
set_status(FunctionCallInfo fcinfo, Call *call)
{
	bool		activity = call->request == RECORD_ACTIVITY;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("contacts and keys must not be null"),
				errhint("SELECT mkt.%s('crm.contact', ARRAY[7, 8, 9]%s);", call->function,
						activity ? ", 'form_submission'" : ""));
	call->attachment = mkt_attachment_of(PG_GETARG_OID(0));
	call->keys = PG_GETARG_ARRAYTYPE_P(1);
	call->account = argument(fcinfo, activity ? 4 : 2);
	call->has_expected = !activity && !PG_ARGISNULL(3);
	call->expected = call->has_expected ? PG_GETARG_DATUM(3) : (Datum) 0;
	call->source_type = argument(fcinfo, activity ? 2 : 4);
	call->source_name = argument(fcinfo, activity ? 3 : 5);
	check_call(call);
	return report(fcinfo, call, run(call));
}

/* mkt.set_marketing(contacts, filter, saved_filter, list, query, account, expected, source_type, source_name) */
Datum
mkt_set_marketing_chosen(PG_FUNCTION_ARGS)
{
	Call		call = {.request = SET_MARKETING,.function = "set_marketing"};

	set_chosen(fcinfo, &call);
	return report(fcinfo, &call, run(&call));
}

/* mkt.set_non_marketing(the same) */
Datum
mkt_set_non_marketing_chosen(PG_FUNCTION_ARGS)
{
	Call		call = {.request = SET_NON_MARKETING,.function = "set_non_marketing"};

	set_chosen(fcinfo, &call);
	return report(fcinfo, &call, run(&call));
}

/* What is asked of contacts that are not named by key. */
static void
set_chosen(FunctionCallInfo fcinfo, Call *call)
{
	const int	account = 1 + MKT_CHOICES;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("contacts must not be null"));
	call->attachment = mkt_selection_attachment(PG_GETARG_OID(0));
	call->account = PG_ARGISNULL(account) ? (Datum) 0 :
		mkt_key_account(call->attachment, PG_GETARG_DATUM(account));
	call->has_expected = !PG_ARGISNULL(account + 1);
	call->expected = argument(fcinfo, account + 1);
	call->source_type = argument(fcinfo, account + 2);
	call->source_name = argument(fcinfo, account + 3);
	check_call(call);
	call->keys = mkt_choice_keys(fcinfo, 1, call->attachment,
								 call->account ? TextDatumGetCString(call->account) : NULL);
}

/* For those who know the keys; the batch. */
int64
mkt_set_status(MktSetCall *set)
{
	Call		call = {
		.request = set->marketing ? SET_MARKETING : SET_NON_MARKETING,
		.function = set->action,
		.attachment = set->attachment,
		.keys = set->keys,
		.account = set->account,
		.source_type = set->source_type,
		.source_name = set->source_name,
		.has_expected = set->expected != NULL,
		.expected = set->expected ? Int64GetDatum(*set->expected) : (Datum) 0
	};
	int64		batch;

	check_call(&call);
	batch = run(&call);
	memcpy(set->outcome, call.outcome, sizeof(call.outcome));
	return batch;
}

/* Does it, in a batch of its own or that of the session's label. */
static int64
run(Call *call)
{
	MktBatchCall before;
	int64		batch;

	SPI_connect();
	before = mkt_batch_begin(call->attachment->contacts, true, &batch);
	PG_TRY();
	{
		run_query(call);
	}
	PG_FINALLY();
	{
		mkt_batch_end(before);
	}
	PG_END_TRY();
	check_expected(call);
	mkt_batch_report(batch, call->attachment->contacts, true, call->function, call->outcome,
					 call->source_type, call->source_name);
	SPI_finish();
	return batch;
}

static Datum
argument(FunctionCallInfo fcinfo, int argno)
{
	return PG_ARGISNULL(argno) ? (Datum) 0 : PG_GETARG_DATUM(argno);
}

static void
check_call(const Call *call)
{
	if (!call->source_type && call->source_name)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("source_name needs source_type"),
				errhint("Name the tool, too: source_type => 'user', source_name => '%s'.",
						TextDatumGetCString(call->source_name)));
	if (!call->source_type && call->request == RECORD_ACTIVITY)
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("source_type must not be null"),
				errhint("Name the tool that met the contacts; SELECT tool FROM mkt.tool;"));
	mkt_key_check_rights(call->attachment->contacts);
	mkt_key_check(call->attachment, call->account != (Datum) 0);
}

static void
run_query(Call *call)
{
	const MktAttachment *attachment = call->attachment;
	Oid			key_type = get_atttype(attachment->relid, attachment->keys[0]);
	Oid			types[] = {
		get_array_type(key_type), TIMESTAMPTZOID, attachment->account_type, TEXTOID,
		TEXTOID
	};
	Datum		values[] = {
		mkt_key_convert_array(call->keys, key_type),
		TimestampTzGetDatum(mkt_now()),
		call->account ? mkt_key_convert(call->account, TEXTOID, attachment->account_type) : (Datum) 0,
		call->source_type, call->source_name
	};
	char		nulls[] = {
		' ', ' ', call->account ? ' ' : 'n', call->source_type ? ' ' : 'n',
		call->source_name ? ' ' : 'n'
	};
	int64	   *counted[] = {
		&call->outcome[MKT_CHANGED], &call->outcome[MKT_ALREADY],
		&call->outcome[MKT_STAYS_PENDING], &call->outcome[MKT_NOT_FOUND], &call->kept,
		&call->outcome[MKT_PARKED]
	};

	if (SPI_execute_with_args(build_query(call), lengthof(types), types, values, nulls,
							  false, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not set contacts' status");
	for (size_t i = 0; i < lengthof(counted); i++)
	{
		bool		isnull;

		*counted[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
												  SPI_tuptable->tupdesc, i + 1, &isnull));
	}
}

/* $1 keys, $2 now, $3 account, $4 and $5 source. */
static char *
build_query(const Call *call)
{
	const MktAttachment *attachment = call->attachment;
	bool		marketing = call->request != SET_NON_MARKETING;
	const char *name = mkt_qualified_name(attachment->contacts);
	const char *key = mkt_attachment_column(attachment, attachment->keys[0]);
	const char *status = mkt_attachment_column(attachment, attachment->status);
	const char *flag = mkt_attachment_column(attachment, attachment->flag);
	const char *until = mkt_attachment_column(attachment, attachment->until);
	const char *account = call->account ? mkt_key_account_condition(attachment, "$3") : "";
	const char *source = "";
	const char *promotes = "true";
	StringInfoData query;

	if (call->source_type)
		source = psprintf(", %s = $4, %s = $5",
						  mkt_attachment_column(attachment, attachment->source_type),
						  mkt_attachment_column(attachment, attachment->source_name));
	if (call->request == RECORD_ACTIVITY)
		promotes = psprintf("mkt.promotes(%s, $4, $5)",
							mkt_key_account_text(attachment));

	initStringInfo(&query);
	appendStringInfo(&query,
					 "WITH asked AS MATERIALIZED ("
					 "SELECT DISTINCT k FROM pg_catalog.unnest($1) AS k"
					 "), found AS MATERIALIZED ("
					 "SELECT c.%s AS k, c.%s AS flag, "
					 "c.%s OPERATOR(pg_catalog.=) 'marketing' AND (c.%s IS NULL OR c.%s OPERATOR(pg_catalog.>) $2) AS marketing, "
					 "%s AS promotes "
					 "FROM %s AS c JOIN asked AS a ON c.%s OPERATOR(pg_catalog.=) a.k%s ORDER BY 1 FOR NO KEY UPDATE OF c"
					 "), ",
					 key, flag, status, until, until, promotes, name, key, account);
	appendStringInfo(&query,
					 "changed AS ("
					 "UPDATE %s AS c SET %s = '%s', %s = %s%s FROM found AS f "
					 "WHERE c.%s OPERATOR(pg_catalog.=) f.k%s AND %s RETURNING c.%s OPERATOR(pg_catalog.=) 'marketing' AS done"
					 ") ",
					 name, status, marketing ? "marketing" : "non_marketing",
					 flag, marketing ? "false" : "true", source, key, account,
					 changes(call->request), status);
	appendStringInfo(&query,
					 "SELECT (SELECT pg_catalog.count(*) FROM changed WHERE done), "
					 "pg_catalog.count(*) FILTER (WHERE %s), "
					 "pg_catalog.count(*) FILTER (WHERE %s), "
					 "(SELECT pg_catalog.count(*) FROM asked) OPERATOR(pg_catalog.-) pg_catalog.count(*), "
					 "pg_catalog.count(*) FILTER (WHERE NOT f.marketing AND NOT f.promotes), "
					 "(SELECT pg_catalog.count(*) FROM changed WHERE NOT done) "
					 "FROM found AS f",
					 marketing ? "f.marketing AND NOT f.flag" : "NOT f.marketing",
					 call->request == SET_MARKETING ? "false" : "f.marketing AND f.flag");
	return query.data;
}

/*
 * Which contacts change.  One that is pending when it is set as marketing does;
 * one that is pending when it is set as non-marketing, or when a tool meets it
 * again, stays so.
 */
static const char *
changes(Request request)
{
	switch (request)
	{
		case SET_MARKETING:
			return "(f.flag OR NOT f.marketing)";
		case SET_NON_MARKETING:
			return "f.marketing AND NOT f.flag";
		case RECORD_ACTIVITY:
			return "NOT f.marketing AND f.promotes";
	}
	pg_unreachable();
}

/* W2: who says how many expects just so many to change. */
static void
check_expected(const Call *call)
{
	int64		changed = call->outcome[MKT_CHANGED];
	int64		expected = DatumGetInt64(call->expected);

	if (!call->has_expected || changed == expected)
		return;
	ereport(ERROR,
			errcode(ERRCODE_MKT_NOT_AS_EXPECTED),
			errmsg("the number of contacts is not the expected one"),
			errdetail_plural("%lld contact would change, %lld expected; nothing was changed.",
							 "%lld contacts would change, %lld expected; nothing was changed.",
							 (unsigned long) changed,
							 (long long) changed, (long long) expected),
			errhint("Look at the keys again, or pass expected => %lld.",
					(long long) changed));
}

static Datum
report(FunctionCallInfo fcinfo, const Call *call, int64 batch)
{
	Datum		values[1 + MKT_OUTCOMES + 1] = {Int64GetDatum(batch)};
	bool		nulls[lengthof(values)] = {false};
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	for (int i = 0; i < MKT_OUTCOMES; i++)
		values[1 + i] = Int64GetDatum(call->outcome[i]);
	values[1 + MKT_OUTCOMES] = Int64GetDatum(call->kept);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
