/*-------------------------------------------------------------------------
 * saved_filter.c
 *	  Filters with names, per account: mkt.save_filter(), mkt.drop_filter(),
 *	  mkt.filter_keys().
 *
 * A saved filter is JSON, which anybody may run, or a condition in SQL, which
 * runs with the rights of the role that owns it: a function in it must not get
 * the rights of whoever uses the filter.  It is compiled anew at each use, so
 * that a column that is gone is noticed.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"

/* The arguments of these functions, by position. */
enum
{
	ARG_CONTACTS, ARG_ACCOUNT, ARG_NAME, ARG_FILTER, ARG_CONDITION, ARGS
};

static void check_arguments(FunctionCallInfo fcinfo);
static char *find_owner(FunctionCallInfo fcinfo);
static void save(FunctionCallInfo fcinfo, char *condition, const char *owner);
static void name_filter(void *name);
static void run(FunctionCallInfo fcinfo, const char *query, int expected);

PG_FUNCTION_INFO_V1(mkt_save_filter);
PG_FUNCTION_INFO_V1(mkt_drop_filter);
PG_FUNCTION_INFO_V1(mkt_filter_keys);

/* mkt.save_filter(contacts, account, name, filter, condition) */
Datum
mkt_save_filter(PG_FUNCTION_ARGS)
{
	MktAttachment *attachment;
	char	   *condition = NULL;
	char	   *owner;

	check_arguments(fcinfo);
	if (PG_ARGISNULL(ARG_FILTER) == PG_ARGISNULL(ARG_CONDITION))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("mkt.save_filter() needs either filter or condition"),
				errhint("SELECT mkt.save_filter('crm.contact', '42', 'lapsed', condition => 'seen_at IS NULL');"));
	attachment = mkt_selection_attachment(PG_GETARG_OID(ARG_CONTACTS));
	mkt_saved_filter_check_name(text_to_cstring(PG_GETARG_TEXT_PP(ARG_NAME)));
	if (!PG_ARGISNULL(ARG_ACCOUNT))
		mkt_filter_restrict(mkt_filter_new(1), attachment,
							text_to_cstring(PG_GETARG_TEXT_PP(ARG_ACCOUNT)));
	if (PG_ARGISNULL(ARG_CONDITION))
		mkt_filter_compile(attachment, PG_GETARG_JSONB_P(ARG_FILTER), 1);
	else
		condition = mkt_saved_filter_write(attachment, text_to_cstring(PG_GETARG_TEXT_PP(ARG_CONDITION)),
										   NULL);

	SPI_connect();
	owner = find_owner(fcinfo);
	if (owner)
		mkt_saved_filter_check_owner("filter", text_to_cstring(PG_GETARG_TEXT_PP(ARG_NAME)), owner);
	else
		owner = GetUserNameFromId(GetUserId(), false);
	if (condition)
		mkt_saved_filter_check(attachment, condition, get_role_oid(owner, false));
	save(fcinfo, condition, owner);
	SPI_finish();
	PG_RETURN_VOID();
}

/* mkt.drop_filter(contacts, account, name) */
Datum
mkt_drop_filter(PG_FUNCTION_ARGS)
{
	char	   *owner;
	char	   *name;

	check_arguments(fcinfo);
	mkt_selection_attachment(PG_GETARG_OID(ARG_CONTACTS));
	name = text_to_cstring(PG_GETARG_TEXT_PP(ARG_NAME));
	SPI_connect();
	owner = find_owner(fcinfo);
	if (owner == NULL)
		ereport(ERROR,
				errcode(ERRCODE_NO_DATA_FOUND),
				errmsg("there is no filter \"%s\" of that account", name),
				errhint("SELECT account, name FROM mkt.filter;"));
	mkt_saved_filter_check_owner("filter", name, owner);
	run(fcinfo, "DELETE FROM mkt.filter WHERE contacts = $1 AND account IS NOT DISTINCT FROM $2 AND name = $3",
		SPI_OK_DELETE);
	SPI_finish();
	PG_RETURN_VOID();
}

/* mkt.filter_keys(contacts, account, name) */
Datum
mkt_filter_keys(PG_FUNCTION_ARGS)
{
	MktAttachment *attachment;
	MktFilter  *filter;
	char	   *account;

	check_arguments(fcinfo);
	account = PG_ARGISNULL(ARG_ACCOUNT) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(ARG_ACCOUNT));
	attachment = mkt_selection_attachment(PG_GETARG_OID(ARG_CONTACTS));
	mkt_key_check(attachment, account != NULL);
	filter = mkt_saved_filter_find(attachment, account,
								   text_to_cstring(PG_GETARG_TEXT_PP(ARG_NAME)), 1);
	mkt_selection_narrow(filter, attachment, account);
	mkt_filter_restrict(filter, attachment, account);
	mkt_selection_return_keys(fcinfo, attachment, filter);
	return (Datum) 0;
}

/*
 * The account's filter of a name, or else the one for all accounts.  It may
 * need another role's rights.
 */
MktFilter *
mkt_saved_filter_find(const MktAttachment *attachment, const char *account,
					  const char *name, int first_param)
{
	Oid			types[] = {OIDOID, TEXTOID, TEXTOID};
	Datum		values[] = {
		ObjectIdGetDatum(attachment->contacts),
		account ? CStringGetTextDatum(account) : (Datum) 0,
		CStringGetTextDatum(name)
	};
	char		nulls[] = {' ', account ? ' ' : 'n', ' '};
	ErrorContextCallback context = {
		.previous = error_context_stack,
		.callback = name_filter,
		.arg = unconstify(char *, name)
	};
	MktFilter  *filter = NULL;
	MemoryContext memory = CurrentMemoryContext;
	Datum		json;
	bool		is_condition;
	char	   *condition;
	Oid			owner;

	SPI_connect();
	if (mkt_run_as_extension("SELECT filter, condition, owner FROM mkt.filter "
							 "WHERE contacts = $1 AND name = $3 AND (account = $2 OR account IS NULL) "
							 "ORDER BY account NULLS LAST LIMIT 1",
							 lengthof(types), types, values, nulls) != SPI_OK_SELECT)
		elog(ERROR, "could not read a saved filter");
	if (SPI_processed == 0)
		ereport(ERROR,
				errcode(ERRCODE_NO_DATA_FOUND),
				errmsg("table %s has no saved filter \"%s\"",
					   mkt_qualified_name(attachment->contacts), name),
				account ? errdetail("There is none of account \"%s\", nor one for all accounts.", account) :
				errdetail("There is none for all accounts."),
				errhint("SELECT mkt.save_filter(...);"));
	json = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_condition);
	condition = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
	owner = get_role_oid(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3), true);

	error_context_stack = &context;
	if (is_condition && !OidIsValid(owner))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("the role whose rights the condition needs does not exist"),
				errhint("Drop the filter and save it again."));
	MemoryContextSwitchTo(memory);
	if (is_condition)
		filter = mkt_saved_filter_compile(attachment, condition, owner, first_param);
	else
		filter = mkt_filter_compile(attachment, DatumGetJsonbP(json), first_param);
	error_context_stack = context.previous;
	SPI_finish();
	MemoryContextSwitchTo(memory);
	return filter;
}

/* A condition that was kept, as a filter that needs its owner's rights. */
MktFilter *
mkt_saved_filter_compile(const MktAttachment *attachment, const char *condition,
						 Oid owner, int first_param)
{
	MktFilter  *filter = mkt_filter_new(first_param);
	int			nestlevel = mkt_fix_search_path();
	MktRights	rights = mkt_act_as(owner);

	filter->run_as = owner;
	filter->condition = mkt_saved_filter_write(attachment, condition, "c");
	mkt_act_again_as(rights);
	AtEOXact_GUC(false, nestlevel);
	return filter;
}

void
mkt_saved_filter_check_name(const char *name)
{
	if (*name == '\0')
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a name must not be empty"),
				errhint("Name what it selects, such as 'lapsed'."));
}

/* What has a name is changed by the members of the role that owns it. */
void
mkt_saved_filter_check_owner(const char *what, const char *name,
							 const char *owner)
{
	if (!mkt_may_change_for(owner))
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("must be owner of %s \"%s\"", what, name),
				errdetail("It belongs to role \"%s\".", owner),
				errhint("SET ROLE %s; or choose another name.", quote_identifier(owner)));
}

static void
check_arguments(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(ARG_CONTACTS) || PG_ARGISNULL(ARG_NAME))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("contacts and name must not be null"),
				errhint("SELECT mkt.filter_keys('crm.contact', '42', 'lapsed');"));
}

/* Whose rights a condition needs must have them: for its columns and functions. */
void
mkt_saved_filter_check(const MktAttachment *attachment, const char *condition, Oid owner)
{
	MktFilter	filter = {.condition = psprintf("(%s)", condition)};
	int			nestlevel = mkt_fix_search_path();
	MktRights	rights = mkt_act_as(owner);

	if (SPI_execute(psprintf("%s LIMIT 0", mkt_selection_query(attachment, &filter, "")),
					true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not check a condition");
	mkt_act_again_as(rights);
	AtEOXact_GUC(false, nestlevel);
}

/* Of the filter of just this account and name, or NULL; locks it. */
static char *
find_owner(FunctionCallInfo fcinfo)
{
	run(fcinfo, "SELECT owner FROM mkt.filter WHERE contacts = $1 "
		"AND account IS NOT DISTINCT FROM $2 AND name = $3 FOR UPDATE", SPI_OK_SELECT);
	return SPI_processed > 0 ?
		SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1) : NULL;
}

static void
save(FunctionCallInfo fcinfo, char *condition, const char *owner)
{
	Oid			types[] = {OIDOID, TEXTOID, TEXTOID, JSONBOID, TEXTOID, NAMEOID};
	Datum		values[lengthof(types)];
	char		nulls[lengthof(types)];

	for (int i = 0; i < ARG_CONDITION; i++)
	{
		values[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	values[ARG_CONDITION] = condition ? CStringGetTextDatum(condition) : (Datum) 0;
	nulls[ARG_CONDITION] = condition ? ' ' : 'n';
	values[ARGS] = DirectFunctionCall1(namein, CStringGetDatum(owner));
	nulls[ARGS] = ' ';

	if (mkt_run_as_extension("INSERT INTO mkt.filter AS f (contacts, account, name, filter, condition, owner, saved_at) "
							 "VALUES ($1, $2, $3, $4, $5, $6, mkt.now()) "
							 "ON CONFLICT (contacts, account, name) DO UPDATE SET filter = EXCLUDED.filter, "
							 "condition = EXCLUDED.condition, saved_at = EXCLUDED.saved_at "
							 "WHERE f.owner = EXCLUDED.owner",
							 lengthof(types), types, values, nulls) != SPI_OK_INSERT)
		elog(ERROR, "could not save a filter");
	if (SPI_processed == 0)
		ereport(ERROR,
				errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				errmsg("another role has just saved filter \"%s\"",
					   text_to_cstring(PG_GETARG_TEXT_PP(ARG_NAME))),
				errhint("Save yours under another name."));
}

/* A condition in SQL as it is kept: a contact is c, and operators have their schemas. */
char *
mkt_saved_filter_write(const MktAttachment *attachment, const char *condition,
					   const char *read_as)
{
	Relation	rel = relation_open(attachment->contacts, AccessShareLock);
	char	   *written = mkt_condition_write(rel, "condition", condition, read_as, "c");

	relation_close(rel, NoLock);
	return written;
}

static void
name_filter(void *name)
{
	errcontext("saved filter \"%s\"", (char *) name);
}

/* A query on mkt.filter: $1 contacts, $2 account, $3 name. */
static void
run(FunctionCallInfo fcinfo, const char *query, int expected)
{
	Oid			types[] = {OIDOID, TEXTOID, TEXTOID};
	Datum		values[] = {
		PG_GETARG_DATUM(ARG_CONTACTS), PG_GETARG_DATUM(ARG_ACCOUNT),
		PG_GETARG_DATUM(ARG_NAME)
	};
	char		nulls[] = {' ', PG_ARGISNULL(ARG_ACCOUNT) ? 'n' : ' ', ' '};

	if (mkt_run_as_extension(query, lengthof(types), types, values, nulls) != expected)
		elog(ERROR, "could not reach the saved filters");
}
