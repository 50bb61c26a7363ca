/*-------------------------------------------------------------------------
 * workflow.c
 *	  Workflows as users make, change and switch them (rules K1, K2, K5).
 *
 * A workflow belongs to the role that created it, and acts with its rights.
 * What it does is enroll.c's, when mkt.run() is called.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "catalog/pg_type.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

/* The arguments of mkt.create_workflow(), by position. */
enum
{
	ARG_CONTACTS, ARG_ACCOUNT, ARG_NAME, ARG_SET_TO, ARG_FILTER, ARG_CONDITION,
	ARG_REENROLL, ARG_LIMIT, ARGS
};

/* The arguments of mkt.alter_workflow(). */
enum
{
	ALTER_WORKFLOW, ALTER_NAME, ALTER_FILTER, ALTER_CONDITION, ALTER_REENROLL,
	ALTER_LIMIT, ALTER_ARGS
};

static MktWorkflow *find(FunctionCallInfo fcinfo);
static void check_edition(const char *account);
static char *condition_of(FunctionCallInfo fcinfo, int filter, int condition,
						  const MktAttachment *attachment, Oid owner);
static void check_limit(FunctionCallInfo fcinfo, int argno, int64 least);
static void check_new_name(const MktWorkflow *workflow, Datum name);

PG_FUNCTION_INFO_V1(mkt_create_workflow);
PG_FUNCTION_INFO_V1(mkt_alter_workflow);
PG_FUNCTION_INFO_V1(mkt_drop_workflow);
PG_FUNCTION_INFO_V1(mkt_switch_on_workflow);
PG_FUNCTION_INFO_V1(mkt_switch_off_workflow);

/* mkt.create_workflow(contacts, account, name, set_to, filter, condition, reenroll, limit_per_day) */
Datum
mkt_create_workflow(PG_FUNCTION_ARGS)
{
	Oid			types[ARGS + 1] = {OIDOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, TEXTOID, BOOLOID, INT8OID, NAMEOID};
	Datum		values[ARGS + 1];
	char		nulls[ARGS + 2] = "         ";
	MktAttachment *attachment;
	char	   *condition;
	int64		workflow;
	bool		isnull;

	for (int i = 0; i <= ARG_SET_TO; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					errmsg("contacts, account, name and set_to must not be null"),
					errhint("SELECT mkt.create_workflow('crm.contact', '42', 'lapsed', 'non_marketing', condition => 'seen_at < now() - interval ''200 days''');"));
	attachment = mkt_selection_attachment(PG_GETARG_OID(ARG_CONTACTS));
	mkt_key_check_rights(attachment->contacts);
	mkt_key_check(attachment, true);
	mkt_saved_filter_check_name(text_to_cstring(PG_GETARG_TEXT_PP(ARG_NAME)));
	mkt_filter_restrict(mkt_filter_new(1), attachment, text_to_cstring(PG_GETARG_TEXT_PP(ARG_ACCOUNT)));
	if (PG_ARGISNULL(ARG_FILTER) == PG_ARGISNULL(ARG_CONDITION))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a workflow needs either filter or condition"),
				errhint("For example condition => 'seen_at < now() - interval ''200 days'''."));
	check_limit(fcinfo, ARG_LIMIT, 1);
	for (int i = 0; i < ARGS; i++)
	{
		values[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}

	SPI_connect();
	check_edition(text_to_cstring(PG_GETARG_TEXT_PP(ARG_ACCOUNT)));
	condition = condition_of(fcinfo, ARG_FILTER, ARG_CONDITION, attachment, GetUserId());
	values[ARG_CONDITION] = condition ? CStringGetTextDatum(condition) : (Datum) 0;
	values[ARG_SET_TO] = CStringGetTextDatum(mkt_attachment_is_marketing(PG_GETARG_OID(ARG_SET_TO)) ?
											 "marketing" : "non_marketing");
	values[ARG_REENROLL] = BoolGetDatum(!PG_ARGISNULL(ARG_REENROLL) && PG_GETARG_BOOL(ARG_REENROLL));
	nulls[ARG_REENROLL] = ' ';
	values[ARGS] = DirectFunctionCall1(namein, CStringGetDatum(GetUserNameFromId(GetUserId(), false)));
	mkt_run_as_extension("INSERT INTO mkt.workflow (contacts, account, name, set_to, filter, condition, reenroll, limit_per_day, owner, created_at) "
						 "VALUES ($1, $2, $3, $4::mkt.status, $5, $6, $7, $8, $9, mkt.now()) ON CONFLICT DO NOTHING RETURNING workflow",
						 lengthof(types), types, values, nulls);
	if (SPI_processed == 0)
		ereport(ERROR,
				errcode(ERRCODE_DUPLICATE_OBJECT),
				errmsg("workflow \"%s\" exists already", text_to_cstring(PG_GETARG_TEXT_PP(ARG_NAME))),
				errhint("Choose another name, or SELECT mkt.drop_workflow(...); first."));
	workflow = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	PG_RETURN_INT64(workflow);
}

/* mkt.alter_workflow(workflow, name, filter, condition, reenroll, limit_per_day) */
Datum
mkt_alter_workflow(PG_FUNCTION_ARGS)
{
	Oid			types[ALTER_ARGS] = {INT8OID, TEXTOID, JSONBOID, TEXTOID, BOOLOID, INT8OID};
	Datum		values[ALTER_ARGS];
	char		nulls[ALTER_ARGS + 1] = "      ";
	MktWorkflow *workflow;
	char	   *condition;

	SPI_connect();
	workflow = find(fcinfo);
	mkt_workflow_check(workflow);
	for (int i = 0; i < ALTER_ARGS; i++)
	{
		values[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	check_limit(fcinfo, ALTER_LIMIT, 0);
	if (!PG_ARGISNULL(ALTER_NAME))
		check_new_name(workflow, PG_GETARG_DATUM(ALTER_NAME));
	if (!PG_ARGISNULL(ALTER_FILTER) && !PG_ARGISNULL(ALTER_CONDITION))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a workflow needs either filter or condition"),
				errhint("Leave out one of them."));
	condition = condition_of(fcinfo, ALTER_FILTER, ALTER_CONDITION, workflow->attachment, workflow->owner_oid);
	if (condition)
		values[ALTER_CONDITION] = CStringGetTextDatum(condition);
	mkt_run_as_extension("UPDATE mkt.workflow SET name = COALESCE($2, name), "
						 "filter = CASE WHEN $4 IS NULL THEN COALESCE($3, filter) END, "
						 "condition = CASE WHEN $3 IS NULL THEN COALESCE($4, condition) END, "
						 "reenroll = COALESCE($5, reenroll), "
						 "limit_per_day = CASE WHEN $6 IS NULL THEN limit_per_day WHEN $6 OPERATOR(pg_catalog.<>) 0 THEN $6 END, "
						 "evaluated_at = CASE WHEN $3 IS NULL AND $4 IS NULL THEN evaluated_at END, "
						 "failures = CASE WHEN $3 IS NULL AND $4 IS NULL THEN failures ELSE 0 END WHERE workflow = $1",
						 lengthof(types), types, values, nulls);
	SPI_finish();
	PG_RETURN_VOID();
}

/* mkt.drop_workflow(workflow) */
Datum
mkt_drop_workflow(PG_FUNCTION_ARGS)
{
	static const char *const queries[] = {
		"DELETE FROM mkt.workflow_notice WHERE workflow = $1",
		"DELETE FROM mkt.workflow_attempt WHERE workflow = $1",
		"DELETE FROM mkt.enrollment WHERE workflow = $1",
		"DELETE FROM mkt.workflow WHERE workflow = $1"
	};

	SPI_connect();
	find(fcinfo);
	for (size_t i = 0; i < lengthof(queries); i++)
		mkt_run_as_extension(queries[i], 1, (Oid[]) {INT8OID}, (Datum[]) {PG_GETARG_DATUM(0)}, NULL);
	SPI_finish();
	PG_RETURN_VOID();
}

/* mkt.switch_on_workflow(workflow, existing) */
Datum
mkt_switch_on_workflow(PG_FUNCTION_ARGS)
{
	MktWorkflow *workflow;
	int64		enrolled;

	SPI_connect();
	workflow = find(fcinfo);
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("existing must not be null"),
				errhint("Say true to enrol contacts that meet the condition already, false to enrol only those that come to meet it."));
	check_edition(workflow->account);
	mkt_workflow_check(workflow);
	enrolled = mkt_enroll_now(workflow, !PG_GETARG_BOOL(1));
	mkt_run_as_extension("UPDATE mkt.workflow SET state = 'on', held_because = NULL, failures = 0, switched_on_at = mkt.now(), "
						 "changed_that_day = 0 WHERE workflow = $1",
						 1, (Oid[]) {INT8OID}, (Datum[]) {PG_GETARG_DATUM(0)}, NULL);
	SPI_finish();
	PG_RETURN_INT64(enrolled);
}

/* mkt.switch_off_workflow(workflow) */
Datum
mkt_switch_off_workflow(PG_FUNCTION_ARGS)
{
	SPI_connect();
	find(fcinfo);
	mkt_run_as_extension("UPDATE mkt.workflow SET state = 'off', held_because = NULL WHERE workflow = $1",
						 1, (Oid[]) {INT8OID}, (Datum[]) {PG_GETARG_DATUM(0)}, NULL);
	SPI_finish();
	PG_RETURN_VOID();
}

/* A workflow, locked as a row of a SELECT is; NULL when there is none or it is locked. */
MktWorkflow *
mkt_workflow_read(int64 number, const char *lock)
{
	MktWorkflow *workflow;
	HeapTuple	row;
	TupleDesc	desc;
	Datum		filter;
	bool		isnull;

	if (mkt_run_as_extension(psprintf("SELECT contacts, account, name, set_to::pg_catalog.text, filter, condition, owner, state "
									  "FROM mkt.workflow WHERE workflow = $1 FOR %s", lock),
							 1, (Oid[]) {INT8OID}, (Datum[]) {Int64GetDatum(number)}, NULL) != SPI_OK_SELECT)
		elog(ERROR, "could not read a workflow");
	if (SPI_processed == 0)
		return NULL;
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	workflow = palloc0(sizeof(MktWorkflow));
	workflow->workflow = number;
	workflow->account = SPI_getvalue(row, desc, 2);
	workflow->name = SPI_getvalue(row, desc, 3);
	workflow->set_to_marketing = strcmp(SPI_getvalue(row, desc, 4), "marketing") == 0;
	filter = SPI_getbinval(row, desc, 5, &isnull);
	workflow->filter = isnull ? NULL : DatumGetJsonbPCopy(filter);
	workflow->condition = SPI_getvalue(row, desc, 6);
	workflow->owner = SPI_getvalue(row, desc, 7);
	workflow->owner_oid = get_role_oid(workflow->owner, true);
	workflow->state = SPI_getvalue(row, desc, 8);
	workflow->contacts = DatumGetObjectId(SPI_getbinval(row, desc, 1, &isnull));
	workflow->attachment = mkt_attachment_find(workflow->contacts);
	return workflow;
}

/* Whether what it is about, and whose it is, is still there. */
void
mkt_workflow_check(MktWorkflow *workflow)
{
	workflow->attachment = mkt_attachment_of(workflow->contacts);
	if (!OidIsValid(workflow->owner_oid))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("role \"%s\" of workflow \"%s\" does not exist", workflow->owner, workflow->name),
				errhint("Drop the workflow and create it again."));
}

/* The workflow of the first argument, for those who may change it. */
static MktWorkflow *
find(FunctionCallInfo fcinfo)
{
	MktWorkflow *workflow;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("workflow must not be null"));
	workflow = mkt_workflow_read(PG_GETARG_INT64(0), "UPDATE");
	if (workflow == NULL)
		ereport(ERROR,
				errcode(ERRCODE_NO_DATA_FOUND),
				errmsg("there is no workflow %lld", (long long) PG_GETARG_INT64(0)),
				errhint("SELECT workflow, account, name FROM mkt.workflow;"));
	mkt_saved_filter_check_owner("workflow", workflow->name, workflow->owner);
	return workflow;
}

/* K1: who has bought an edition without workflows has none. */
static void
check_edition(const char *account)
{
	bool		isnull;

	mkt_run_as_extension("SELECT mkt.has_workflows($1)", 1, (Oid[]) {TEXTOID}, (Datum[]) {CStringGetTextDatum(account)}, NULL);
	if (!DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)))
		ereport(ERROR,
				errcode(ERRCODE_MKT_NO_WORKFLOWS),
				errmsg("the edition of account \"%s\" does not include workflows", account),
				errhint("SELECT edition FROM mkt.edition WHERE workflows; lists those that do."));
}

/* The condition in SQL as it is kept, if there is one; a filter is only checked. */
static char *
condition_of(FunctionCallInfo fcinfo, int filter, int condition,
			 const MktAttachment *attachment, Oid owner)
{
	char	   *written;

	if (!PG_ARGISNULL(filter))
		mkt_filter_compile(attachment, PG_GETARG_JSONB_P(filter), 1);
	if (PG_ARGISNULL(condition))
		return NULL;
	written = mkt_saved_filter_write(attachment, text_to_cstring(PG_GETARG_TEXT_PP(condition)), NULL);
	mkt_saved_filter_check(attachment, written, owner);
	return written;
}

/* K7. */
static void
check_limit(FunctionCallInfo fcinfo, int argno, int64 least)
{
	if (!PG_ARGISNULL(argno) && PG_GETARG_INT64(argno) < least)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("limit_per_day must be positive"),
				least == 0 ? errhint("0 ends the limit.") : errhint("Leave it out for no limit."));
}

static void
check_new_name(const MktWorkflow *workflow, Datum name)
{
	mkt_saved_filter_check_name(TextDatumGetCString(name));
	mkt_run_as_extension("SELECT FROM mkt.workflow AS w JOIN mkt.workflow AS o USING (contacts, account) "
						 "WHERE w.workflow = $1 AND o.name = $2 AND o.workflow <> w.workflow",
						 2, (Oid[]) {INT8OID, TEXTOID}, (Datum[]) {Int64GetDatum(workflow->workflow), name}, NULL);
	if (SPI_processed > 0)
		ereport(ERROR,
				errcode(ERRCODE_DUPLICATE_OBJECT),
				errmsg("workflow \"%s\" exists already", TextDatumGetCString(name)),
				errhint("Choose another name."));
}
