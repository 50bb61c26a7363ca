/*-------------------------------------------------------------------------
 * set_status.c
 *	  mkt.set_marketing() and mkt.set_non_marketing(): many contacts by key,
 *	  with a report (rules T1, T2, W1, W2).
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

/* The arguments of both functions, and the report, by position. */
enum
{
	ARG_CONTACTS, ARG_KEYS, ARG_ACCOUNT, ARG_EXPECTED, ARG_SOURCE_TYPE,
	ARG_SOURCE_NAME
};

enum
{
	REPORT_CHANGED, REPORT_ALREADY, REPORT_PENDING, REPORT_NOT_FOUND,
	REPORT_PARKED, REPORT_COLUMNS
};

static Datum set_status(FunctionCallInfo fcinfo, bool marketing);
static char *build_query(const MktAttachment *attachment, bool marketing,
						 bool has_account, bool has_source);
static void run_query(FunctionCallInfo fcinfo, const MktAttachment *attachment,
					  bool marketing, int64 report[REPORT_COLUMNS]);
static void check_expected(FunctionCallInfo fcinfo, int64 changed);
static int64 note_batch(FunctionCallInfo fcinfo, bool marketing,
						const int64 report[REPORT_COLUMNS]);

PG_FUNCTION_INFO_V1(mkt_set_marketing);
PG_FUNCTION_INFO_V1(mkt_set_non_marketing);

Datum
mkt_set_marketing(PG_FUNCTION_ARGS)
{
	return set_status(fcinfo, true);
}

Datum
mkt_set_non_marketing(PG_FUNCTION_ARGS)
{
	return set_status(fcinfo, false);
}

static Datum
set_status(FunctionCallInfo fcinfo, bool marketing)
{
	MktAttachment *attachment;
	TupleDesc	desc;
	int64		report[REPORT_COLUMNS] = {0};
	Datum		values[1 + REPORT_COLUMNS];
	bool		nulls[1 + REPORT_COLUMNS] = {false};

	if (PG_ARGISNULL(ARG_CONTACTS) || PG_ARGISNULL(ARG_KEYS))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("contacts and keys must not be null"),
				errhint("SELECT mkt.%s('crm.contact', ARRAY[7, 8, 9]);",
						marketing ? "set_marketing" : "set_non_marketing"));
	if (PG_ARGISNULL(ARG_SOURCE_TYPE) && !PG_ARGISNULL(ARG_SOURCE_NAME))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("source_name needs source_type"),
				errhint("Name the tool, too: source_type => 'user', source_name => '%s'.",
						text_to_cstring(PG_GETARG_TEXT_PP(ARG_SOURCE_NAME))));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	attachment = mkt_attachment_of(PG_GETARG_OID(ARG_CONTACTS));
	mkt_key_check_rights(attachment->contacts);
	mkt_key_check(attachment, !PG_ARGISNULL(ARG_ACCOUNT));

	SPI_connect();
	run_query(fcinfo, attachment, marketing, report);
	check_expected(fcinfo, report[REPORT_CHANGED]);
	values[0] = Int64GetDatum(note_batch(fcinfo, marketing, report));
	SPI_finish();

	for (int i = 0; i < REPORT_COLUMNS; i++)
		values[1 + i] = Int64GetDatum(report[i]);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

static void
run_query(FunctionCallInfo fcinfo, const MktAttachment *attachment, bool marketing,
		  int64 report[REPORT_COLUMNS])
{
	bool		has_source = !PG_ARGISNULL(ARG_SOURCE_TYPE);
	bool		has_account = !PG_ARGISNULL(ARG_ACCOUNT);
	Oid			key_type = get_atttype(attachment->relid, attachment->keys[0]);
	Oid			types[] = {
		get_array_type(key_type), TIMESTAMPTZOID, attachment->account_type, TEXTOID,
		TEXTOID
	};
	Datum		values[] = {
		mkt_key_convert_array(PG_GETARG_ARRAYTYPE_P(ARG_KEYS), key_type),
		TimestampTzGetDatum(mkt_now()),
		has_account ? mkt_key_convert(PG_GETARG_DATUM(ARG_ACCOUNT), TEXTOID, attachment->account_type) : (Datum) 0,
		PG_GETARG_DATUM(ARG_SOURCE_TYPE), PG_GETARG_DATUM(ARG_SOURCE_NAME)
	};
	char		nulls[] = {
		' ', ' ', has_account ? ' ' : 'n', has_source ? ' ' : 'n',
		PG_ARGISNULL(ARG_SOURCE_NAME) ? 'n' : ' '
	};
	char	   *query = build_query(attachment, marketing, has_account, has_source);

	if (SPI_execute_with_args(query, lengthof(types), types, values, nulls, false,
							  0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not set contacts' status");
	for (int i = 0; i < REPORT_PARKED; i++)
	{
		bool		isnull;

		report[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
												SPI_tuptable->tupdesc, i + 1, &isnull));
	}
}

/*
 * $1 keys, $2 now, $3 account, $4 and $5 source.  A contact that is pending
 * when it is set as marketing changes; one that is pending when it is set as
 * non-marketing stays so.
 */
static char *
build_query(const MktAttachment *attachment, bool marketing, bool has_account,
			bool has_source)
{
	const char *name = mkt_qualified_name(attachment->contacts);
	const char *key = mkt_attachment_column(attachment, attachment->keys[0]);
	const char *status = mkt_attachment_column(attachment, attachment->status);
	const char *flag = mkt_attachment_column(attachment, attachment->flag);
	const char *until = mkt_attachment_column(attachment, attachment->until);
	const char *account = "";
	const char *source = "";
	StringInfoData query;

	if (has_account)
		account = mkt_key_account_condition(attachment, "$3");
	if (has_source)
		source = psprintf(", %s = $4, %s = $5",
						  mkt_attachment_column(attachment, attachment->source_type),
						  mkt_attachment_column(attachment, attachment->source_name));

	initStringInfo(&query);
	appendStringInfo(&query,
					 "WITH asked AS MATERIALIZED ("
					 "SELECT DISTINCT k FROM pg_catalog.unnest($1) AS k"
					 "), found AS MATERIALIZED ("
					 "SELECT c.%s AS k, c.%s AS flag, "
					 "c.%s OPERATOR(pg_catalog.=) 'marketing' AND (c.%s IS NULL OR c.%s OPERATOR(pg_catalog.>) $2) AS marketing "
					 "FROM %s AS c JOIN asked AS a ON c.%s OPERATOR(pg_catalog.=) a.k%s ORDER BY 1 FOR NO KEY UPDATE OF c"
					 "), ",
					 key, flag, status, until, until, name, key, account);
	appendStringInfo(&query,
					 "changed AS ("
					 "UPDATE %s AS c SET %s = '%s', %s = %s%s FROM found AS f "
					 "WHERE c.%s OPERATOR(pg_catalog.=) f.k%s AND %s RETURNING 1"
					 ") ",
					 name, status, marketing ? "marketing" : "non_marketing",
					 flag, marketing ? "false" : "true", source, key, account,
					 marketing ? "(f.flag OR NOT f.marketing)" : "f.marketing AND NOT f.flag");
	appendStringInfo(&query,
					 "SELECT (SELECT pg_catalog.count(*) FROM changed), "
					 "pg_catalog.count(*) FILTER (WHERE %s), "
					 "pg_catalog.count(*) FILTER (WHERE %s), "
					 "(SELECT pg_catalog.count(*) FROM asked) OPERATOR(pg_catalog.-) pg_catalog.count(*) "
					 "FROM found AS f",
					 marketing ? "f.marketing AND NOT f.flag" : "NOT f.marketing",
					 marketing ? "false" : "f.marketing AND f.flag");
	return query.data;
}

/* W2: who says how many expects just so many to change. */
static void
check_expected(FunctionCallInfo fcinfo, int64 changed)
{
	int64		expected;

	if (PG_ARGISNULL(ARG_EXPECTED))
		return;
	expected = PG_GETARG_INT64(ARG_EXPECTED);
	if (changed != expected)
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

/* Every call is a batch, and mkt.batch keeps its report. */
static int64
note_batch(FunctionCallInfo fcinfo, bool marketing,
		   const int64 report[REPORT_COLUMNS])
{
	Oid			types[] = {
		OIDOID, TEXTOID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, TEXTOID,
		TEXTOID, NAMEOID
	};
	Datum		values[] = {
		PG_GETARG_DATUM(ARG_CONTACTS),
		CStringGetTextDatum(marketing ? "set_marketing" : "set_non_marketing"),
		Int64GetDatum(report[REPORT_CHANGED]),
		Int64GetDatum(report[REPORT_ALREADY]),
		Int64GetDatum(report[REPORT_PENDING]),
		Int64GetDatum(report[REPORT_NOT_FOUND]),
		Int64GetDatum(report[REPORT_PARKED]),
		PG_GETARG_DATUM(ARG_SOURCE_TYPE),
		PG_GETARG_DATUM(ARG_SOURCE_NAME),
		DirectFunctionCall1(namein, CStringGetDatum(GetUserNameFromId(GetUserId(), false)))
	};
	char		nulls[lengthof(values)];
	MktRights	rights;
	bool		isnull;
	int64		batch;

	memset(nulls, ' ', sizeof(nulls));
	if (PG_ARGISNULL(ARG_SOURCE_TYPE))
		nulls[7] = 'n';
	if (PG_ARGISNULL(ARG_SOURCE_NAME))
		nulls[8] = 'n';

	rights = mkt_act_as(mkt_extension_owner());
	if (SPI_execute_with_args("INSERT INTO mkt.batch (contacts, action, changed, already, pending, "
							  "not_found, parked, source_type, source_name, set_by, set_at) "
							  "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, mkt.now()) RETURNING batch",
							  lengthof(types), types, values, nulls, false,
							  0) != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "could not note the batch");
	batch = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
										SPI_tuptable->tupdesc, 1, &isnull));
	mkt_act_again_as(rights);
	return batch;
}
