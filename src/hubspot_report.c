/*-------------------------------------------------------------------------
 * hubspot_report.c
 *	  What is read and not written: mkt.read_hubspot(), a HubSpot export as
 *	  rows; mkt.reconcile_hubspot() and mkt.reconcile_hubspot_counts(), what
 *	  differs between it and a contacts table; mkt.export_hubspot(), a table's
 *	  contacts as HubSpot would export them.
 *
 * All run with the caller's rights, and see the contacts that he sees.
 *-------------------------------------------------------------------------
 */
#include "hubspot.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* So many rows are fetched at once. */
#define ROWS_AT_ONCE	1000

static void put_row(FunctionCallInfo fcinfo, const MktHubspotFile *file,
					const MktHubspotRow *row);
static void put_text(Datum *values, bool *nulls, int column, const char *value);
static Datum reconcile(FunctionCallInfo fcinfo, const char *result);
static char *pairs_query(const MktHubspotFile *file);
static void return_query(FunctionCallInfo fcinfo, const char *query, int n,
						 Oid *types, Datum *values, const char *nulls);
static void check_record_id(FunctionCallInfo fcinfo,
							const MktAttachment *attachment);
static char *export_query(FunctionCallInfo fcinfo,
						  const MktAttachment *attachment);
static char *exported_column(FunctionCallInfo fcinfo,
							 const MktAttachment *attachment,
							 MktHubspotHeader header);
static char *exported_text(const MktAttachment *attachment, AttrNumber column);
static char *exported_instant(const MktAttachment *attachment,
							  AttrNumber column);
static char *exported_unsubscribed(const MktAttachment *attachment,
								   AttrNumber column);
static char *key_order(const MktAttachment *attachment);
static void read_labels(Datum *tools, Datum *labels);

PG_FUNCTION_INFO_V1(mkt_read_hubspot);
PG_FUNCTION_INFO_V1(mkt_reconcile_hubspot);
PG_FUNCTION_INFO_V1(mkt_reconcile_hubspot_counts);
PG_FUNCTION_INFO_V1(mkt_export_hubspot);

/* mkt.read_hubspot(contacts, file or csv, account, mapping, key_column) */
Datum
mkt_read_hubspot(PG_FUNCTION_ARGS)
{
	MktHubspotFile *file;
	MktHubspotRow row;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	file = mkt_hubspot_open(fcinfo);
	while (mkt_hubspot_next(file, &row))
		put_row(fcinfo, file, &row);
	SPI_finish();
	return (Datum) 0;
}

static void
put_row(FunctionCallInfo fcinfo, const MktHubspotFile *file,
		const MktHubspotRow *row)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext before = MemoryContextSwitchTo(file->row_context);
	Datum		values[9];
	bool		nulls[lengthof(values)] = {false};
	bool		marketing = false;

	switch (row->status)
	{
		case MKT_HUBSPOT_NOTHING:
			nulls[4] = nulls[5] = true;
			break;
		case MKT_HUBSPOT_MARKETING_OR_PENDING:
			marketing = true;
			nulls[5] = true;
			break;
		case MKT_HUBSPOT_MARKETING:
		case MKT_HUBSPOT_PENDING:
			marketing = true;
			break;
		case MKT_HUBSPOT_NON_MARKETING:
			break;
	}
	values[0] = Int64GetDatum(row->line);
	put_text(values, nulls, 1, row->account);
	put_text(values, nulls, 2, row->key);
	put_text(values, nulls, 3, row->email);
	values[4] = ObjectIdGetDatum(marketing ? file->attachment->marketing :
								 file->attachment->non_marketing);
	values[5] = BoolGetDatum(row->status == MKT_HUBSPOT_PENDING);
	put_text(values, nulls, 6, row->source_type);
	put_text(values, nulls, 7, row->source_name);
	put_text(values, nulls, 8, row->problem);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	MemoryContextSwitchTo(before);
}

static void
put_text(Datum *values, bool *nulls, int column, const char *value)
{
	nulls[column] = value == NULL || *value == '\0';
	values[column] = nulls[column] ? (Datum) 0 : CStringGetTextDatum(value);
}

/* mkt.reconcile_hubspot(contacts, file or csv, account, mapping, key_column) */
Datum
mkt_reconcile_hubspot(PG_FUNCTION_ARGS)
{
	return reconcile(fcinfo,
					 "SELECT * FROM (SELECT CASE WHEN p.in_table IS NULL THEN 'only in export' WHEN p.in_export IS NULL THEN 'only in table' "
					 "WHEN p.other_status THEN 'status' ELSE 'until next update' END AS difference, "
					 "p.line, p.account, COALESCE(p.e_key, p.t_key) AS key, COALESCE(p.e_email, p.t_email) AS email, "
					 "p.e_status, p.t_status, p.e_flag, p.t_flag, NULL::pg_catalog.text AS reason "
					 "FROM pair AS p WHERE p.in_table IS NULL OR p.in_export IS NULL OR p.other_status OR p.other_flag "
					 "UNION ALL SELECT 'unusable row', e.line, e.account, e.key, e.email, NULL, NULL, NULL, NULL, e.problem "
					 "FROM e WHERE e.problem IS NOT NULL) AS d ORDER BY d.line NULLS LAST, d.account, d.key");
}

/* mkt.reconcile_hubspot_counts(contacts, file or csv, account, mapping, key_column) */
Datum
mkt_reconcile_hubspot_counts(PG_FUNCTION_ARGS)
{
	return reconcile(fcinfo,
					 "SELECT pg_catalog.count(p.in_export), pg_catalog.count(p.in_table), "
					 "pg_catalog.count(*) FILTER (WHERE p.in_export AND p.in_table AND NOT (p.other_status OR p.other_flag)), "
					 "pg_catalog.count(*) FILTER (WHERE p.in_export AND p.in_table AND (p.other_status OR p.other_flag)), "
					 "pg_catalog.count(*) FILTER (WHERE p.in_table IS NULL), "
					 "pg_catalog.count(*) FILTER (WHERE p.in_export IS NULL), "
					 "(SELECT pg_catalog.count(*) FROM e WHERE e.problem IS NOT NULL), "
					 "pg_catalog.count(*) FILTER (WHERE p.e_status OPERATOR(pg_catalog.=) 'marketing'), "
					 "pg_catalog.count(*) FILTER (WHERE p.t_status OPERATOR(pg_catalog.=) 'marketing'), "
					 "pg_catalog.count(*) FILTER (WHERE p.e_flag), "
					 "pg_catalog.count(*) FILTER (WHERE p.t_flag) FROM pair AS p");
}

/* Runs a query over pair, contacts of the export beside those of the table. */
static Datum
reconcile(FunctionCallInfo fcinfo, const char *result)
{
	Oid		   *arguments;
	int			n;
	MktHubspotFile *file;
	Datum		values[6];
	char		nulls[lengthof(values)];

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	file = mkt_hubspot_open(fcinfo);
	get_func_signature(fcinfo->flinfo->fn_oid, &arguments, &n);
	for (int i = 0; i < n; i++)
	{
		values[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	arguments = repalloc(arguments, lengthof(values) * sizeof(Oid));
	arguments[n] = TIMESTAMPTZOID;
	values[n] = TimestampTzGetDatum(mkt_now());
	nulls[n] = ' ';
	return_query(fcinfo, psprintf("%s%s", pairs_query(file), result), n + 1,
				 arguments, values, nulls);
	SPI_finish();
	return (Datum) 0;
}

/* $1 to $5 are the arguments, $6 is now.  What an export does not say does not differ. */
static char *
pairs_query(const MktHubspotFile *file)
{
	const MktAttachment *attachment = file->attachment;
	const char *status = mkt_attachment_column(attachment, attachment->status);
	const char *until = mkt_attachment_column(attachment, attachment->until);
	const char *account = attachment->account ?
	psprintf("COALESCE(c.%s::pg_catalog.text, '')",
			 mkt_attachment_column(attachment, attachment->account)) :
	quote_literal_cstr(file->account);
	const char *marketing = psprintf("(c.%s OPERATOR(pg_catalog.=) 'marketing' AND (c.%s IS NULL OR c.%s OPERATOR(pg_catalog.>) $6))",
									 status, until, until);
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfo(&query,
					 "WITH e AS MATERIALIZED (SELECT * FROM mkt.read_hubspot($1, $2, $3, $4, $5)), "
					 "t AS (SELECT true AS in_table, c.%s::pg_catalog.text AS key, %s AS account, %s AS email, "
					 "CASE WHEN %s THEN 'marketing'::mkt.status ELSE 'non_marketing' END AS status, "
					 "%s AND c.%s AS flag FROM %s AS c WHERE true%s), ",
					 file->key_name, account,
					 file->email_name ? psprintf("c.%s::pg_catalog.text", file->email_name) : "NULL::pg_catalog.text",
					 marketing, marketing,
					 mkt_attachment_column(attachment, attachment->flag),
					 file->contacts,
					 file->account && attachment->account ?
					 psprintf(" AND c.%s OPERATOR(pg_catalog.=) CAST($3 AS %s)",
							  mkt_attachment_column(attachment, attachment->account),
							  format_type_be_qualified(attachment->account_type)) : "");
	appendStringInfoString(&query,
						   "pair AS (SELECT e.in_export, t.in_table, e.line, COALESCE(e.account, t.account) AS account, e.key AS e_key, t.key AS t_key, "
						   "e.email AS e_email, t.email AS t_email, e.status AS e_status, t.status AS t_status, "
						   "e.until_next_update AS e_flag, t.flag AS t_flag, "
						   "COALESCE(e.status OPERATOR(pg_catalog.<>) t.status, false) AS other_status, "
						   "COALESCE(e.until_next_update OPERATOR(pg_catalog.<>) t.flag, false) AS other_flag "
						   "FROM (SELECT true AS in_export, * FROM e WHERE e.problem IS NULL) AS e FULL JOIN t "
						   "ON t.key OPERATOR(pg_catalog.=) e.key AND t.account OPERATOR(pg_catalog.=) e.account) ");
	return query.data;
}

static void
return_query(FunctionCallInfo fcinfo, const char *query, int n, Oid *types,
			 Datum *values, const char *nulls)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Portal		portal = SPI_cursor_open_with_args(NULL, query, n, types, values,
												   nulls, false, 0);

	do
	{
		SPI_cursor_fetch(portal, true, ROWS_AT_ONCE);
		for (uint64 i = 0; i < SPI_processed; i++)
			tuplestore_puttuple(result->setResult, SPI_tuptable->vals[i]);
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	SPI_cursor_close(portal);
}

/* mkt.export_hubspot(contacts, account, mapping) */
Datum
mkt_export_hubspot(PG_FUNCTION_ARGS)
{
	const MktAttachment *attachment;
	Oid			types[] = {TIMESTAMPTZOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTOID};
	Datum		values[lengthof(types)] = {TimestampTzGetDatum(mkt_now())};
	char		nulls[] = {' ', ' ', ' ', ' ', ' ', PG_ARGISNULL(1) ? 'n' : ' '};

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("the contacts table must not be null"),
				errhint("\\copy (SELECT * FROM mkt.export_hubspot('crm.contact')) TO 'contacts.csv' CSV HEADER"));
	attachment = mkt_attachment_of(PG_GETARG_OID(0));
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	mkt_hubspot_check_mapping(fcinfo, 2);
	check_record_id(fcinfo, attachment);
	mkt_hubspot_zones(&values[1], &values[2]);
	read_labels(&values[3], &values[4]);
	values[5] = PG_GETARG_DATUM(1);
	return_query(fcinfo, export_query(fcinfo, attachment), lengthof(types), types,
				 values, nulls);
	SPI_finish();
	return (Datum) 0;
}

/* An export without Record IDs cannot be told apart by them. */
static void
check_record_id(FunctionCallInfo fcinfo, const MktAttachment *attachment)
{
	if (!mkt_hubspot_column(attachment, MKT_HUBSPOT_RECORD_ID, fcinfo, 2))
		ereport(NOTICE,
				errmsg("no column of table %s is known to hold the Record ID, which is exported empty",
					   mkt_qualified_name(attachment->contacts)),
				errhint("Name the column: mapping => '{\"Record ID\": \"...\"}'."));
}

/* $1 now, $2 and $3 accounts and their zones, $4 and $5 tools and their labels, $6 the account. */
static char *
export_query(FunctionCallInfo fcinfo, const MktAttachment *attachment)
{
	const char *account = attachment->account ?
	psprintf("c.%s::pg_catalog.text", mkt_attachment_column(attachment, attachment->account)) :
	quote_literal_cstr(TextDatumGetCString(attachment->constant_account));
	StringInfoData query;

	initStringInfo(&query);
	for (int header = 0; header < MKT_HUBSPOT_HEADERS; header++)
		appendStringInfo(&query, "%s%s", header > 0 ? ", " : "SELECT ",
						 exported_column(fcinfo, attachment, header));
	appendStringInfo(&query,
					 " FROM %s AS c "
					 "LEFT JOIN ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3)) AS z(account, zone) ON z.account OPERATOR(pg_catalog.=) %s "
					 "LEFT JOIN ROWS FROM (pg_catalog.unnest($4), pg_catalog.unnest($5)) AS l(tool, label) ON l.tool OPERATOR(pg_catalog.=) c.%s "
					 "WHERE ",
					 mkt_qualified_name(attachment->contacts), account,
					 mkt_attachment_column(attachment, attachment->source_type));
	if (PG_ARGISNULL(1))
		appendStringInfoString(&query, "$6 IS NULL");
	else if (attachment->account)
		appendStringInfo(&query, "c.%s OPERATOR(pg_catalog.=) CAST($6 AS %s)",
						 mkt_attachment_column(attachment, attachment->account),
						 format_type_be_qualified(attachment->account_type));
	else
		appendStringInfo(&query, "%s OPERATOR(pg_catalog.=) $6", account);
	appendStringInfo(&query, " ORDER BY %s", key_order(attachment));
	return query.data;
}

/* What the export writes under a header, as text. */
static char *
exported_column(FunctionCallInfo fcinfo, const MktAttachment *attachment,
				MktHubspotHeader header)
{
	const char *status = mkt_attachment_column(attachment, attachment->status);
	const char *until = mkt_attachment_column(attachment, attachment->until);
	char	   *marketing = psprintf("c.%s OPERATOR(pg_catalog.=) 'marketing' AND (c.%s IS NULL OR c.%s OPERATOR(pg_catalog.>) $1)",
									 status, until, until);
	AttrNumber	column;

	switch (header)
	{
		case MKT_HUBSPOT_STATUS:
			return psprintf("CASE WHEN %s THEN 'Marketing contact' ELSE 'Non-marketing contact' END", marketing);
		case MKT_HUBSPOT_UNTIL_NEXT_UPDATE:
			return psprintf("CASE WHEN %s AND c.%s THEN 'Yes' END", marketing,
							mkt_attachment_column(attachment, attachment->flag));
		case MKT_HUBSPOT_SOURCE_TYPE:
			return psprintf("COALESCE(l.label, c.%s)", mkt_attachment_column(attachment, attachment->source_type));
		case MKT_HUBSPOT_SOURCE_NAME:
			return psprintf("c.%s", mkt_attachment_column(attachment, attachment->source_name));
		case MKT_HUBSPOT_RECORD_ID:
		case MKT_HUBSPOT_FIRST_NAME:
		case MKT_HUBSPOT_LAST_NAME:
		case MKT_HUBSPOT_EMAIL:
		case MKT_HUBSPOT_CREATE_DATE:
		case MKT_HUBSPOT_UNSUBSCRIBED:
		case MKT_HUBSPOT_BOUNCE_REASON:
		case MKT_HUBSPOT_HEADERS:
			break;
	}
	column = mkt_hubspot_column(attachment, header, fcinfo, 2);
	if (!column)
		return "NULL::pg_catalog.text";
	if (header == MKT_HUBSPOT_CREATE_DATE)
		return exported_instant(attachment, column);
	if (header == MKT_HUBSPOT_UNSUBSCRIBED)
		return exported_unsubscribed(attachment, column);
	return exported_text(attachment, column);
}

static char *
exported_text(const MktAttachment *attachment, AttrNumber column)
{
	return psprintf("c.%s::pg_catalog.text", mkt_attachment_column(attachment, column));
}

/* YYYY-MM-DD HH:MM in the account's zone. */
static char *
exported_instant(const MktAttachment *attachment, AttrNumber column)
{
	char	   *name = mkt_attachment_column(attachment, column);

	switch (getBaseType(get_atttype(attachment->contacts, column)))
	{
		case TIMESTAMPTZOID:
			return psprintf("pg_catalog.to_char(pg_catalog.timezone(COALESCE(z.zone, 'UTC'), c.%s), 'YYYY-MM-DD HH24:MI')", name);
		case TIMESTAMPOID:
		case DATEOID:
			return psprintf("pg_catalog.to_char(c.%s::pg_catalog.timestamp, 'YYYY-MM-DD HH24:MI')", name);
	}
	return exported_text(attachment, column);
}

/* A column that is no boolean, such as the time of unsubscribing, says it by not being null. */
static char *
exported_unsubscribed(const MktAttachment *attachment, AttrNumber column)
{
	char	   *name = mkt_attachment_column(attachment, column);

	if (getBaseType(get_atttype(attachment->contacts, column)) == BOOLOID)
		return psprintf("CASE WHEN c.%s THEN 'true' WHEN NOT c.%s THEN 'false' END", name, name);
	return psprintf("CASE WHEN c.%s IS NOT NULL THEN 'true' ELSE 'false' END", name);
}

static char *
key_order(const MktAttachment *attachment)
{
	StringInfoData order;

	initStringInfo(&order);
	if (attachment->account)
		appendStringInfo(&order, "c.%s", mkt_attachment_column(attachment, attachment->account));
	for (int i = 0; i < attachment->nkeys; i++)
		appendStringInfo(&order, "%sc.%s", order.len > 0 ? ", " : "",
						 mkt_attachment_column(attachment, attachment->keys[i]));
	return order.data;
}

/* Our tools and what HubSpot calls them, as two arrays. */
static void
read_labels(Datum *tools, Datum *labels)
{
	MktRights	rights = mkt_act_as(mkt_extension_owner());
	bool		isnull;

	if (SPI_execute("SELECT COALESCE(pg_catalog.array_agg(tool), '{}'), COALESCE(pg_catalog.array_agg(label), '{}') "
					"FROM mkt.hubspot_source WHERE exported", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read HubSpot's names of tools");
	*tools = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	*labels = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);
	mkt_act_again_as(rights);
}
