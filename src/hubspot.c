/*-------------------------------------------------------------------------
 * hubspot.c
 *	  mkt.import_hubspot(): a HubSpot contact export becomes contacts; and
 *	  mkt.create_hubspot_table(), for who has no table yet.
 *
 * Rows are collected and written some at a time by one statement, which locks
 * the contacts that are there, works out what each becomes, updates those that
 * change and inserts the others.  It runs with the caller's rights, and the
 * triggers on the table do the rest; it is the only place that writes contacts.
 *
 * When the statement fails over its rows, it is undone and halves are tried,
 * down to the row that it fails for, which is listed.  So one bad row keeps no
 * good one out, and what is neither loaded nor the same is listed.
 *
 * An import is a batch.  Imports into one table wait for each other.
 *-------------------------------------------------------------------------
 */
#include "hubspot.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

/* So many rows, or bytes of them, are written by one statement. */
#define ROWS_AT_ONCE	1000
#define BYTES_AT_ONCE	(4 * 1024 * 1024)

/* The statement's parameters before the columns' values. */
enum
{
	PARAM_NOW, PARAM_ZONE_ACCOUNTS, PARAM_ZONES, PARAM_LINES, PARAM_KEYS,
	PARAM_ACCOUNTS, PARAM_STATUSES, PARAM_SOURCE_TYPES, PARAM_SOURCE_NAMES,
	PARAM_VALUES
};

/* What became of a row. */
typedef enum Outcome
{
	OUTCOME_INSERTED,
	OUTCOME_TO_UPDATE,			/* and was not: somebody prevented it */
	OUTCOME_UPDATED,
	OUTCOME_UNCHANGED
} Outcome;

typedef struct Report
{
	int64		rows;
	int64		inserted;
	int64		updated;
	int64		unchanged;
	int64		kept;
	int64		not_loaded;
} Report;

typedef struct Import
{
	int64		number;			/* in mkt.import */
	int64		batch;
	MktHubspotFile *file;
	SPIPlanPtr	bring_up_to_date;
	SPIPlanPtr	write;
	SPIPlanPtr	list;
	int			nparams;
	Datum	   *params;
	MemoryContext context;		/* of the rows that are collected */
	int			nrows;
	size_t		nbytes;
	MktHubspotRow rows[ROWS_AT_ONCE];
	Outcome		outcomes[ROWS_AT_ONCE];
	bool		kept[ROWS_AT_ONCE];
	int			nproblems;		/* to be listed, with the rows or after them */
	MktHubspotRow problems[ROWS_AT_ONCE];
	bool		loaded[ROWS_AT_ONCE];
	Report		report;
} Import;

static void check_rights(Oid contacts);
static void begin_import(FunctionCallInfo fcinfo, Import *import);
static void prepare(Import *import);
static char *rows_query(const MktHubspotFile *file);
static char *bring_up_to_date_query(const MktHubspotFile *file);
static char *write_query(const MktHubspotFile *file);
static void append_found(StringInfo query, const MktHubspotFile *file);
static void append_next(StringInfo query, const MktHubspotFile *file);
static void append_update(StringInfo query, const MktHubspotFile *file);
static void append_insert(StringInfo query, const MktHubspotFile *file);
static const char *same_contact(const MktHubspotFile *file, const char *row);
static void collect(Import *import, const MktHubspotRow *row);
static void copy_row(Import *import, MktHubspotRow *copy, const MktHubspotRow *row);
static void write_collected(Import *import);
static void write_rows(Import *import, int from, int n);
static void try_to_write(Import *import, int from, int n, bool *complete,
						 ErrorData **error);
static bool is_about_rows(int sqlstate);
static void set_params(Import *import, int from, int n);
static Datum text_array(Import *import, int from, int n, int column);
static void execute(Import *import, SPIPlanPtr plan, int expected);
static bool read_outcomes(Import *import, int from, int n);
static int	row_of_line(const Import *import, int from, int n, int64 line);
static void tally(Import *import, int from, int n);
static void list_row(Import *import, const MktHubspotRow *row, bool loaded,
					 const char *reason);
static void flush_problems(Import *import);
static Datum end_import(Import *import, TupleDesc desc);
static Datum unmatched_array(const MktHubspotFile *file);

PG_FUNCTION_INFO_V1(mkt_import_hubspot);
PG_FUNCTION_INFO_V1(mkt_create_hubspot_table);

/* mkt.import_hubspot(contacts, file or csv, account, mapping, key_column) */
Datum
mkt_import_hubspot(PG_FUNCTION_ARGS)
{
	Import	   *import;
	MktHubspotRow row;
	MktBatchCall before;
	TupleDesc	desc;
	Datum		result;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);
	SPI_connect();
	import = palloc0(sizeof(Import));
	import->context = AllocSetContextCreate(CurrentMemoryContext,
											"mktcontacts rows of an import",
											ALLOCSET_DEFAULT_SIZES);
	import->file = mkt_hubspot_open(fcinfo);
	check_rights(import->file->attachment->contacts);
	LockDatabaseObject(RelationRelationId, import->file->attachment->contacts, 1,
					   ShareUpdateExclusiveLock);
	before = mkt_batch_begin(import->file->attachment->contacts, true, &import->batch);
	PG_TRY();
	{
		begin_import(fcinfo, import);
		prepare(import);
		while (mkt_hubspot_next(import->file, &row))
			collect(import, &row);
		write_collected(import);
	}
	PG_FINALLY();
	{
		mkt_batch_end(before);
	}
	PG_END_TRY();
	result = end_import(import, desc);
	SPI_finish();
	return result;
}

/* mkt.create_hubspot_table(contacts, account, account_column) */
Datum
mkt_create_hubspot_table(PG_FUNCTION_ARGS)
{
	char	   *name;
	const char *account_column = PG_ARGISNULL(2) ? NULL : quote_identifier(NameStr(*PG_GETARG_NAME(2)));
	StringInfoData create;
	Datum		values[3];
	char		nulls[3] = {' ', PG_ARGISNULL(1) ? 'n' : ' ', PG_ARGISNULL(2) ? 'n' : ' '};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) == PG_ARGISNULL(2))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("mkt.create_hubspot_table() needs a name, and either account or account_column"),
				errhint("SELECT mkt.create_hubspot_table('crm.contact', account => '42');"));
	name = NameListToQuotedString(textToQualifiedNameList(PG_GETARG_TEXT_PP(0)));

	SPI_connect();
	initStringInfo(&create);
	appendStringInfo(&create, "CREATE TABLE %s (", name);
	if (account_column)
		appendStringInfo(&create, "%s pg_catalog.text NOT NULL, ", account_column);
	appendStringInfo(&create,
					 "record_id pg_catalog.int8, email pg_catalog.text, "
					 "first_name pg_catalog.text, last_name pg_catalog.text, "
					 "create_date pg_catalog.timestamptz, "
					 "unsubscribed pg_catalog.bool NOT NULL DEFAULT false, "
					 "bounce_reason pg_catalog.text, PRIMARY KEY (%s%srecord_id))",
					 account_column ? account_column : "", account_column ? ", " : "");
	if (SPI_execute(create.data, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not create table %s", name);
	values[0] = DirectFunctionCall1(regclassin, CStringGetDatum(name));
	values[1] = PG_GETARG_DATUM(1);
	values[2] = PG_GETARG_DATUM(2);
	if (SPI_execute_with_args("SELECT mkt.attach($1, account => $2, account_column => $3, "
							  "unsubscribed => 'unsubscribed', bounced => 'bounce_reason IS NOT NULL')",
							  3, (Oid[]) {REGCLASSOID, TEXTOID, NAMEOID}, values, nulls,
							  false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not attach table %s", name);
	SPI_finish();
	return values[0];
}

/* Who may not write the table hears of it before anything is read. */
static void
check_rights(Oid contacts)
{
	AclMode		needed[] = {ACL_SELECT, ACL_INSERT, ACL_UPDATE};

	for (size_t i = 0; i < lengthof(needed); i++)
		if (pg_class_aclcheck(contacts, GetUserId(), needed[i]) != ACLCHECK_OK &&
			pg_attribute_aclcheck_all(contacts, GetUserId(), needed[i],
									  ACLMASK_ANY) != ACLCHECK_OK)
			aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(contacts));
}

static void
begin_import(FunctionCallInfo fcinfo, Import *import)
{
	const MktHubspotFile *file = import->file;
	Oid			types[] = {OIDOID, NAMEOID, TEXTOID, TEXTARRAYOID, INT8OID};
	Datum		values[] = {
		ObjectIdGetDatum(file->attachment->contacts),
		DirectFunctionCall1(namein, CStringGetDatum(GetUserNameFromId(GetUserId(), false))),
		PG_GETARG_DATUM(2),
		unmatched_array(file),
		Int64GetDatum(import->batch)
	};
	char		nulls[] = {' ', ' ', PG_ARGISNULL(2) ? 'n' : ' ', ' ', ' '};
	MktRights	rights = mkt_act_as(mkt_extension_owner());
	bool		isnull;

	if (SPI_execute_with_args("INSERT INTO mkt.import (contacts, imported_by, imported_at, account, unmatched, batch) "
							  "VALUES ($1, $2, mkt.now(), $3, $4, $5) RETURNING import",
							  lengthof(types), types, values, nulls, false,
							  0) != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "could not note the import");
	import->number = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
												 SPI_tuptable->tupdesc, 1, &isnull));
	import->list = SPI_prepare("INSERT INTO mkt.import_problem (import, line, loaded, reason, account, key, email, content) "
							   "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", 8,
							   (Oid[]) {INT8OID, INT8OID, BOOLOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID});
	if (import->list == NULL)
		elog(ERROR, "could not prepare to list rows of an import");
	mkt_act_again_as(rights);
}

/*
 * Prepares the statements and runs them without rows: what is wrong with them
 * for every row, such as missing rights, is an error at once.  They are planned
 * anew each time, since the table may grow from nothing meanwhile.
 */
static void
prepare(Import *import)
{
	const MktHubspotFile *file = import->file;
	Oid		   *types;

	import->nparams = PARAM_VALUES + file->ncolumns;
	types = palloc(import->nparams * sizeof(Oid));
	import->params = palloc0(import->nparams * sizeof(Datum));
	for (int i = 0; i < import->nparams; i++)
		types[i] = TEXTARRAYOID;
	types[PARAM_NOW] = TIMESTAMPTZOID;
	types[PARAM_LINES] = INT8ARRAYOID;
	import->params[PARAM_NOW] = TimestampTzGetDatum(mkt_now());
	mkt_hubspot_zones(&import->params[PARAM_ZONE_ACCOUNTS],
					  &import->params[PARAM_ZONES]);

	import->bring_up_to_date = SPI_prepare_cursor(bring_up_to_date_query(file),
												  import->nparams, types,
												  CURSOR_OPT_CUSTOM_PLAN);
	import->write = SPI_prepare_cursor(write_query(file), import->nparams, types,
									   CURSOR_OPT_CUSTOM_PLAN);
	if (import->bring_up_to_date == NULL || import->write == NULL)
		elog(ERROR, "could not prepare an import");
	set_params(import, 0, 0);
	execute(import, import->bring_up_to_date, SPI_OK_UPDATE);
	execute(import, import->write, SPI_OK_SELECT);
}

/* r: the rows, with the types of the table's columns. */
static char *
rows_query(const MktHubspotFile *file)
{
	const MktAttachment *attachment = file->attachment;
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfo(&query,
					 "WITH r AS MATERIALIZED (SELECT r.line, CAST(r.key AS %s) AS key, ",
					 file->key_type);
	if (attachment->account)
		appendStringInfo(&query, "CAST(r.account AS %s) AS account, ",
						 format_type_be_qualified(attachment->account_type));
	appendStringInfoString(&query, "r.status, r.source_type, r.source_name, COALESCE(z.zone, 'UTC') AS zone");
	for (int i = 0; i < file->ncolumns; i++)
		appendStringInfo(&query, ", CAST(r.v%d AS %s) AS v%d", i,
						 file->columns[i].kind == MKT_HUBSPOT_INSTANT ?
						 "pg_catalog.timestamp" : file->columns[i].type, i);
	appendStringInfoString(&query, " FROM ROWS FROM (");
	for (int i = PARAM_LINES; i < PARAM_VALUES + file->ncolumns; i++)
		appendStringInfo(&query, "%spg_catalog.unnest($%d)", i > PARAM_LINES ? ", " : "", i + 1);
	appendStringInfoString(&query, ") AS r(line, key, account, status, source_type, source_name");
	for (int i = 0; i < file->ncolumns; i++)
		appendStringInfo(&query, ", v%d", i);
	appendStringInfo(&query, ") LEFT JOIN ROWS FROM (pg_catalog.unnest($%d), pg_catalog.unnest($%d)) AS z(account, zone) "
					 "ON z.account OPERATOR(pg_catalog.=) r.account) ",
					 PARAM_ZONE_ACCOUNTS + 1, PARAM_ZONES + 1);
	return query.data;
}

/*
 * A contact whose instant has passed and that is to be pending again would be
 * asked nothing by T12: its columns say so already.
 */
static char *
bring_up_to_date_query(const MktHubspotFile *file)
{
	const MktAttachment *attachment = file->attachment;

	return psprintf("%sUPDATE %s AS c SET %s = false FROM r WHERE %s "
					"AND r.status OPERATOR(pg_catalog.=) 'P' AND c.%s OPERATOR(pg_catalog.=) 'marketing' AND c.%s OPERATOR(pg_catalog.<=) $1",
					rows_query(file), file->contacts,
					mkt_attachment_column(attachment, attachment->flag),
					same_contact(file, "r"),
					mkt_attachment_column(attachment, attachment->status),
					mkt_attachment_column(attachment, attachment->until));
}

/*
 * Writes the rows and tells of each that was there what it came to, of those
 * that were not how many came in.
 */
static char *
write_query(const MktHubspotFile *file)
{
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfoString(&query, rows_query(file));
	append_found(&query, file);
	append_next(&query, file);
	append_update(&query, file);
	append_insert(&query, file);
	appendStringInfoString(&query,
						   "SELECT n.line, n.changed, n.kept, false AS updated FROM next AS n "
						   "UNION ALL SELECT u.line, true, false, true FROM updated AS u "
						   "UNION ALL SELECT pg_catalog.count(*), NULL, NULL, NULL FROM inserted");
	return query.data;
}

/* found: the contacts that are there, locked in the order of their keys. */
static void
append_found(StringInfo query, const MktHubspotFile *file)
{
	const MktAttachment *attachment = file->attachment;
	const char *status = mkt_attachment_column(attachment, attachment->status);
	const char *until = mkt_attachment_column(attachment, attachment->until);

	appendStringInfo(query,
					 ", found AS MATERIALIZED (SELECT r.*, c.%s AS was_status, c.%s AS was_flag, "
					 "c.%s AS was_source_type, c.%s AS was_source_name, "
					 "c.%s OPERATOR(pg_catalog.=) 'marketing' AND (c.%s IS NULL OR c.%s OPERATOR(pg_catalog.>) $1) AS marketing",
					 status,
					 mkt_attachment_column(attachment, attachment->flag),
					 mkt_attachment_column(attachment, attachment->source_type),
					 mkt_attachment_column(attachment, attachment->source_name),
					 status, until, until);
	for (int i = 0; i < file->ncolumns; i++)
		appendStringInfo(query, ", c.%s AS was%d", file->columns[i].name, i);
	appendStringInfo(query, " FROM r JOIN %s AS c ON %s ORDER BY c.%s FOR NO KEY UPDATE OF c)",
					 file->contacts, same_contact(file, "r"), file->key_name);
}

/*
 * next: what they become.  An import makes nobody non-marketing (F1): a contact
 * that is marketing is kept so, whatever the row says.  An empty field leaves
 * the column as it is, and so does a time that differs by less than exports
 * write.
 */
static void
append_next(StringInfo query, const MktHubspotFile *file)
{
	appendStringInfoString(query,
						   ", asked AS (SELECT f.*, "
						   "f.status OPERATOR(pg_catalog.=) ANY ('{M,m,P}') AND NOT f.marketing AS promoted, "
						   "f.status OPERATOR(pg_catalog.=) 'M' AND f.marketing AND f.was_flag AS taken_back, "
						   "f.marketing AND (f.status OPERATOR(pg_catalog.=) 'N' OR f.status OPERATOR(pg_catalog.=) 'P' AND NOT f.was_flag) AS kept");
	for (int i = 0; i < file->ncolumns; i++)
	{
		if (file->columns[i].kind == MKT_HUBSPOT_INSTANT)
			appendStringInfo(query,
							 ", f.v%d IS NOT NULL AND (f.v%d OPERATOR(pg_catalog.=) pg_catalog.timezone(f.zone, f.was%d)) IS NOT TRUE "
							 "AND (f.v%d OPERATOR(pg_catalog.=) pg_catalog.date_trunc('minute', pg_catalog.timezone(f.zone, f.was%d))) IS NOT TRUE AS new%d",
							 i, i, i, i, i, i);
		else
			appendStringInfo(query,
							 ", f.v%d IS NOT NULL AND (f.v%d::pg_catalog.text OPERATOR(pg_catalog.=) f.was%d::pg_catalog.text) IS NOT TRUE AS new%d",
							 i, i, i, i);
	}
	appendStringInfoString(query, " FROM found AS f), next AS MATERIALIZED (SELECT a.*, a.promoted OR a.taken_back "
						   "OR NOT a.kept AND a.source_type IS NOT NULL AND ((a.source_type OPERATOR(pg_catalog.=) a.was_source_type) IS NOT TRUE "
						   "OR (COALESCE(a.source_name, '') OPERATOR(pg_catalog.<>) COALESCE(a.was_source_name, '')))");
	for (int i = 0; i < file->ncolumns; i++)
		appendStringInfo(query, " OR a.new%d", i);
	appendStringInfoString(query, " AS changed FROM asked AS a)");
}

static void
append_update(StringInfo query, const MktHubspotFile *file)
{
	const MktAttachment *attachment = file->attachment;

	appendStringInfo(query,
					 ", updated AS (UPDATE %s AS c SET "
					 "%s = CASE WHEN n.promoted THEN 'marketing' ELSE n.was_status END, "
					 "%s = CASE WHEN n.promoted THEN n.status OPERATOR(pg_catalog.=) 'P' WHEN n.taken_back THEN false ELSE n.was_flag END, "
					 "%s = CASE WHEN n.kept THEN n.was_source_type WHEN n.promoted OR n.taken_back THEN COALESCE(n.source_type, 'contact_import') "
					 "ELSE COALESCE(n.source_type, n.was_source_type) END, "
					 "%s = CASE WHEN NOT n.kept AND (n.promoted OR n.taken_back OR n.source_type IS NOT NULL) THEN n.source_name ELSE n.was_source_name END",
					 file->contacts,
					 mkt_attachment_column(attachment, attachment->status),
					 mkt_attachment_column(attachment, attachment->flag),
					 mkt_attachment_column(attachment, attachment->source_type),
					 mkt_attachment_column(attachment, attachment->source_name));
	for (int i = 0; i < file->ncolumns; i++)
	{
		if (file->columns[i].kind == MKT_HUBSPOT_INSTANT)
			appendStringInfo(query, ", %s = CASE WHEN n.new%d THEN pg_catalog.timezone(n.zone, n.v%d) ELSE n.was%d END",
							 file->columns[i].name, i, i, i);
		else
			appendStringInfo(query, ", %s = CASE WHEN n.new%d THEN n.v%d ELSE n.was%d END",
							 file->columns[i].name, i, i, i);
	}
	appendStringInfo(query, " FROM next AS n WHERE n.changed AND %s RETURNING n.line)",
					 same_contact(file, "n"));
}

/*
 * A contact that the export says nothing of is of the import's own making
 * (T10); one with a source was set by that, and is at least non-marketing.
 */
static void
append_insert(StringInfo query, const MktHubspotFile *file)
{
	const MktAttachment *attachment = file->attachment;

	appendStringInfo(query, ", inserted AS (INSERT INTO %s (%s, %s, %s, %s, %s",
					 file->contacts, file->key_name,
					 mkt_attachment_column(attachment, attachment->status),
					 mkt_attachment_column(attachment, attachment->flag),
					 mkt_attachment_column(attachment, attachment->source_type),
					 mkt_attachment_column(attachment, attachment->source_name));
	if (attachment->account)
		appendStringInfo(query, ", %s", mkt_attachment_column(attachment, attachment->account));
	for (int i = 0; i < file->ncolumns; i++)
		appendStringInfo(query, ", %s", file->columns[i].name);
	appendStringInfoString(query,
						   ") OVERRIDING SYSTEM VALUE SELECT r.key, "
						   "CASE WHEN r.status OPERATOR(pg_catalog.=) ANY ('{M,m,P}') THEN 'marketing'::mkt.status "
						   "WHEN r.status OPERATOR(pg_catalog.=) 'N' OR r.source_type IS NOT NULL THEN 'non_marketing'::mkt.status END, "
						   "r.status OPERATOR(pg_catalog.=) 'P', COALESCE(r.source_type, 'contact_import'), r.source_name");
	if (attachment->account)
		appendStringInfoString(query, ", r.account");
	for (int i = 0; i < file->ncolumns; i++)
	{
		if (file->columns[i].kind == MKT_HUBSPOT_INSTANT)
			appendStringInfo(query, ", pg_catalog.timezone(r.zone, r.v%d)", i);
		else if (file->columns[i].kind == MKT_HUBSPOT_BOOLEAN && file->columns[i].not_null)
			appendStringInfo(query, ", COALESCE(r.v%d, false)", i);
		else
			appendStringInfo(query, ", r.v%d", i);
	}
	appendStringInfoString(query, " FROM r WHERE NOT (r.line OPERATOR(pg_catalog.=) ANY (SELECT f.line FROM found AS f)) RETURNING 1) ");
}

/* The condition that contact c is a row's. */
static const char *
same_contact(const MktHubspotFile *file, const char *row)
{
	const MktAttachment *attachment = file->attachment;
	char	   *key = psprintf("c.%s OPERATOR(pg_catalog.=) %s.key", file->key_name, row);

	if (!attachment->account)
		return key;
	return psprintf("%s AND c.%s OPERATOR(pg_catalog.=) %s.account", key,
					mkt_attachment_column(attachment, attachment->account), row);
}

static void
collect(Import *import, const MktHubspotRow *row)
{
	import->report.rows++;
	if (row->problem)
		list_row(import, row, false, row->problem);
	else
		copy_row(import, &import->rows[import->nrows++], row);
	if (import->nrows == ROWS_AT_ONCE || import->nproblems == ROWS_AT_ONCE ||
		import->nbytes > BYTES_AT_ONCE)
		write_collected(import);
}

static void
copy_row(Import *import, MktHubspotRow *copy, const MktHubspotRow *row)
{
	MemoryContext before = MemoryContextSwitchTo(import->context);
	int			n = import->file->ncolumns;

	*copy = *row;
	copy->text = row->text ? pstrdup(row->text) : NULL;
	copy->account = row->account ? pstrdup(row->account) : NULL;
	copy->key = row->key ? pstrdup(row->key) : NULL;
	copy->email = row->email ? pstrdup(row->email) : NULL;
	copy->source_type = row->source_type ? pstrdup(row->source_type) : NULL;
	copy->source_name = row->source_name ? pstrdup(row->source_name) : NULL;
	copy->values = palloc0(n * sizeof(char *));
	for (int i = 0; i < n && row->values; i++)
		if (row->values[i])
		{
			copy->values[i] = pstrdup(row->values[i]);
			import->nbytes += strlen(row->values[i]);
		}
	MemoryContextSwitchTo(before);
}

/* Writes what is collected, and makes room. */
static void
write_collected(Import *import)
{
	if (import->nrows > 0)
		write_rows(import, 0, import->nrows);
	flush_problems(import);
	import->nrows = 0;
	import->nbytes = 0;
	MemoryContextReset(import->context);
}

/* Writes rows, those that can be written. */
static void
write_rows(Import *import, int from, int n)
{
	bool		complete = false;
	ErrorData  *error = NULL;

	try_to_write(import, from, n, &complete, &error);
	if (complete)
		tally(import, from, n);
	else if (n > 1)
	{
		write_rows(import, from, n / 2);
		write_rows(import, from + n / 2, n - n / 2);
	}
	else if (error)
		list_row(import, &import->rows[from], false,
				 error->detail ? psprintf("%s (%s)", error->message, error->detail) :
				 error->message);
	else
		list_row(import, &import->rows[from], false,
				 "a trigger of the table left the row out");
}

/*
 * Writes rows all or not at all, in a subtransaction of their own.  Not
 * complete: it is undone; the error says why, or fewer rows came in than should
 * have.
 */
static void
try_to_write(Import *import, int from, int n, bool *complete, ErrorData **error)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(import->context);
	PG_TRY();
	{
		bool		pending = false;

		set_params(import, from, n);
		for (int i = from; i < from + n; i++)
			pending |= import->rows[i].status == MKT_HUBSPOT_PENDING;
		if (pending)
			execute(import, import->bring_up_to_date, SPI_OK_UPDATE);
		execute(import, import->write, SPI_OK_SELECT);
		*complete = read_outcomes(import, from, n);
		SPI_freetuptable(SPI_tuptable);
		if (*complete)
			ReleaseCurrentSubTransaction();
		else
			RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		*complete = false;
		MemoryContextSwitchTo(import->context);
		*error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (*error && !is_about_rows((*error)->sqlerrcode))
		ReThrowError(*error);
}

/* Values, constraints, policies, triggers' and our own refusals; not the server's state. */
static bool
is_about_rows(int sqlstate)
{
	int			category = ERRCODE_TO_CATEGORY(sqlstate);

	return category == ERRCODE_DATA_EXCEPTION ||
		category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ||
		category == MAKE_SQLSTATE('P', '0', '0', '0', '0') ||
		category == MAKE_SQLSTATE('M', 'K', '0', '0', '0') ||
		sqlstate == ERRCODE_WITH_CHECK_OPTION_VIOLATION ||
		sqlstate == ERRCODE_INSUFFICIENT_PRIVILEGE;
}

static void
set_params(Import *import, int from, int n)
{
	Datum	   *lines = palloc(Max(n, 1) * sizeof(Datum));

	for (int i = 0; i < n; i++)
		lines[i] = Int64GetDatum(import->rows[from + i].line);
	import->params[PARAM_LINES] =
		PointerGetDatum(construct_array(lines, n, INT8OID, sizeof(int64),
										FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	for (int i = PARAM_KEYS; i < import->nparams; i++)
		import->params[i] = text_array(import, from, n, i);
}

static Datum
text_array(Import *import, int from, int n, int column)
{
	Datum	   *values = palloc(Max(n, 1) * sizeof(Datum));
	bool	   *nulls = palloc(Max(n, 1) * sizeof(bool));
	int			lower = 1;

	for (int i = 0; i < n; i++)
	{
		const MktHubspotRow *row = &import->rows[from + i];
		char		status[2] = {(char) row->status, '\0'};
		const char *value;

		switch (column)
		{
			case PARAM_KEYS:
				value = row->key;
				break;
			case PARAM_ACCOUNTS:
				value = row->account;
				break;
			case PARAM_STATUSES:
				value = status;
				break;
			case PARAM_SOURCE_TYPES:
				value = row->source_type;
				break;
			case PARAM_SOURCE_NAMES:
				value = row->source_name;
				break;
			default:
				value = row->values[column - PARAM_VALUES];
		}
		nulls[i] = value == NULL;
		values[i] = value ? CStringGetTextDatum(value) : (Datum) 0;
	}
	return PointerGetDatum(construct_md_array(values, nulls, 1, &n, &lower, TEXTOID,
											  -1, false, TYPALIGN_INT));
}

static void
execute(Import *import, SPIPlanPtr plan, int expected)
{
	if (SPI_execute_plan(plan, import->params, NULL, false, 0) != expected)
		elog(ERROR, "could not import contacts");
}

/* Notes what became of each row; false when some did not come in. */
static bool
read_outcomes(Import *import, int from, int n)
{
	TupleDesc	desc = SPI_tuptable->tupdesc;
	int64		inserted = 0;
	int64		to_insert = n;

	for (int i = from; i < from + n; i++)
	{
		import->outcomes[i] = OUTCOME_INSERTED;
		import->kept[i] = false;
	}
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		bool		isnull;
		int64		line = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
		bool		changed = DatumGetBool(SPI_getbinval(tuple, desc, 2, &isnull));
		int			row;

		if (isnull)
		{
			inserted = line;
			continue;
		}
		row = row_of_line(import, from, n, line);
		if (DatumGetBool(SPI_getbinval(tuple, desc, 4, &isnull)))
		{
			import->outcomes[row] = OUTCOME_UPDATED;
			continue;
		}
		to_insert--;
		import->outcomes[row] = changed ? OUTCOME_TO_UPDATE : OUTCOME_UNCHANGED;
		import->kept[row] = DatumGetBool(SPI_getbinval(tuple, desc, 3, &isnull));
	}
	return inserted == to_insert;
}

/* Rows are in the order of their lines. */
static int
row_of_line(const Import *import, int from, int n, int64 line)
{
	int			low = from;
	int			high = from + n - 1;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (import->rows[middle].line < line)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
tally(Import *import, int from, int n)
{
	Report	   *report = &import->report;

	for (int i = from; i < from + n; i++)
	{
		const MktHubspotRow *row = &import->rows[i];

		switch (import->outcomes[i])
		{
			case OUTCOME_INSERTED:
				report->inserted++;
				break;
			case OUTCOME_TO_UPDATE:
				list_row(import, row, false, "a trigger of the table left the row out");
				continue;
			case OUTCOME_UPDATED:
				report->updated++;
				break;
			case OUTCOME_UNCHANGED:
				report->unchanged++;
				break;
		}
		if (!import->kept[i])
			continue;
		report->kept++;
		list_row(import, row, true, row->status == MKT_HUBSPOT_PENDING ?
				 "the contact is marketing without an end in the table, and an import keeps it so" :
				 "the contact is marketing in the table, and an import keeps it so");
	}
}

static void
list_row(Import *import, const MktHubspotRow *row, bool loaded, const char *reason)
{
	MktHubspotRow *problem;
	MemoryContext before;

	if (!loaded)
		import->report.not_loaded++;
	if (import->nproblems == ROWS_AT_ONCE)
		flush_problems(import);
	problem = &import->problems[import->nproblems];
	copy_row(import, problem, row);
	before = MemoryContextSwitchTo(import->context);
	problem->problem = pstrdup(reason);
	MemoryContextSwitchTo(before);
	import->loaded[import->nproblems++] = loaded;
}

static void
flush_problems(Import *import)
{
	MktRights	rights;

	if (import->nproblems == 0)
		return;
	rights = mkt_act_as(mkt_extension_owner());
	for (int i = 0; i < import->nproblems; i++)
	{
		const MktHubspotRow *row = &import->problems[i];
		const char *texts[] = {row->problem, row->account, row->key, row->email, row->text};
		Datum		values[3 + lengthof(texts)] = {
			Int64GetDatum(import->number), Int64GetDatum(row->line),
			BoolGetDatum(import->loaded[i])
		};
		char		nulls[lengthof(values)] = {' ', ' ', ' '};

		for (size_t j = 0; j < lengthof(texts); j++)
		{
			nulls[j + 3] = texts[j] ? ' ' : 'n';
			values[j + 3] = texts[j] ? CStringGetTextDatum(texts[j]) : (Datum) 0;
		}
		if (SPI_execute_plan(import->list, values, nulls, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not list a row of an import");
	}
	mkt_act_again_as(rights);
	import->nproblems = 0;
}

/* Keeps the report, and returns it. */
static Datum
end_import(Import *import, TupleDesc desc)
{
	const Report *report = &import->report;
	Oid			types[] = {INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID};
	Datum		values[] = {
		Int64GetDatum(import->number), Int64GetDatum(report->rows),
		Int64GetDatum(report->inserted), Int64GetDatum(report->updated),
		Int64GetDatum(report->unchanged), Int64GetDatum(report->not_loaded),
		Int64GetDatum(report->kept), unmatched_array(import->file),
		Int64GetDatum(import->batch)
	};
	bool		nulls[lengthof(values)] = {false};
	int64		outcome[MKT_OUTCOMES] = {
		[MKT_CHANGED] = report->inserted + report->updated,
		[MKT_ALREADY] = report->unchanged
	};
	MktRights	rights = mkt_act_as(mkt_extension_owner());

	if (SPI_execute_with_args("UPDATE mkt.import SET rows = $2, inserted = $3, updated = $4, unchanged = $5, "
							  "not_loaded = $6, kept = $7 WHERE import OPERATOR(pg_catalog.=) $1",
							  lengthof(types), types, values, NULL, false,
							  0) != SPI_OK_UPDATE)
		elog(ERROR, "could not note the import");
	mkt_act_again_as(rights);
	mkt_batch_report(import->batch, import->file->attachment->contacts, true,
					 "import_hubspot", outcome, CStringGetTextDatum("contact_import"), (Datum) 0);
	return PointerGetDatum(SPI_returntuple(heap_form_tuple(desc, values, nulls), desc));
}

static Datum
unmatched_array(const MktHubspotFile *file)
{
	int			n = list_length(file->unmatched);
	Datum	   *values = palloc(Max(n, 1) * sizeof(Datum));

	for (int i = 0; i < n; i++)
		values[i] = CStringGetTextDatum(list_nth(file->unmatched, i));
	return PointerGetDatum(construct_array(values, n, TEXTOID, -1, false, TYPALIGN_INT));
}
