/*-------------------------------------------------------------------------
 * list.c
 *	  Static lists of contacts, per account: mkt.create_list() and what fills,
 *	  empties and reads them.
 *
 * A list holds keys, as text.  Which contacts they are is found with the
 * caller's rights, once when they are put in and again at every use: a contact
 * that is gone, hidden or another account's is left out.  Members are written
 * set by set; mkt.list_member has no foreign key, which would look up the list
 * for every one of them, so a list is deleted together with its members.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

/* The arguments of these functions, by position. */
enum
{
	ARG_CONTACTS, ARG_ACCOUNT, ARG_NAME, ARG_KEYS,
	ARG_FILTER = ARG_KEYS
};

/* A list and who asks for it. */
typedef struct ContactList
{
	MktAttachment *attachment;
	char	   *account;
	char	   *name;
	int64		list;
	Oid			key_type;
	Oid			keys_type;
} ContactList;

static void read_arguments(FunctionCallInfo fcinfo, ContactList *list);
static Datum read_keys(FunctionCallInfo fcinfo, const ContactList *list);
static void find_list(ContactList *list, const char *lock);
static Datum add_matching(FunctionCallInfo fcinfo, ContactList *list,
						  MktFilter *filter, int64 asked);
static int64 count_keys(Datum keys, Oid type);
static Datum keys_of(ContactList *list, const MktFilter *filter, int64 *n);
static int64 write_members(const ContactList *list, const char *query,
						   Oid type, Datum keys, int expected);

PG_FUNCTION_INFO_V1(mkt_create_list);
PG_FUNCTION_INFO_V1(mkt_drop_list);
PG_FUNCTION_INFO_V1(mkt_add_to_list);
PG_FUNCTION_INFO_V1(mkt_add_matching_to_list);
PG_FUNCTION_INFO_V1(mkt_remove_from_list);
PG_FUNCTION_INFO_V1(mkt_list_keys);

/* mkt.create_list(contacts, account, name) */
Datum
mkt_create_list(PG_FUNCTION_ARGS)
{
	Oid			types[] = {OIDOID, TEXTOID, TEXTOID, NAMEOID};
	Datum		values[lengthof(types)];
	char		nulls[] = {' ', PG_ARGISNULL(ARG_ACCOUNT) ? 'n' : ' ', ' ', ' '};
	ContactList list;
	bool		isnull;

	read_arguments(fcinfo, &list);
	mkt_saved_filter_check_name(list.name);
	if (list.account)
		mkt_filter_restrict(mkt_filter_new(1), list.attachment, list.account);
	values[0] = PG_GETARG_DATUM(ARG_CONTACTS);
	values[1] = PG_GETARG_DATUM(ARG_ACCOUNT);
	values[2] = PG_GETARG_DATUM(ARG_NAME);
	values[3] = DirectFunctionCall1(namein, CStringGetDatum(GetUserNameFromId(GetUserId(), false)));

	SPI_connect();
	if (mkt_run_as_extension("INSERT INTO mkt.list (contacts, account, name, owner, created_at) "
							 "VALUES ($1, $2, $3, $4, mkt.now()) ON CONFLICT DO NOTHING RETURNING list",
							 lengthof(types), types, values, nulls) != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "could not create a list");
	if (SPI_processed == 0)
		ereport(ERROR,
				errcode(ERRCODE_DUPLICATE_OBJECT),
				errmsg("list \"%s\" exists already", list.name),
				errhint("Choose another name, or SELECT mkt.drop_list(...); first."));
	list.list = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
											&isnull));
	SPI_finish();
	PG_RETURN_INT64(list.list);
}

/* mkt.drop_list(contacts, account, name) */
Datum
mkt_drop_list(PG_FUNCTION_ARGS)
{
	ContactList list;

	read_arguments(fcinfo, &list);
	SPI_connect();
	find_list(&list, "UPDATE");
	write_members(&list, "DELETE FROM mkt.list_member WHERE list = $1", InvalidOid,
				  (Datum) 0, SPI_OK_DELETE);
	write_members(&list, "DELETE FROM mkt.list WHERE list = $1", InvalidOid,
				  (Datum) 0, SPI_OK_DELETE);
	SPI_finish();
	PG_RETURN_VOID();
}

/* mkt.add_to_list(contacts, account, name, keys) */
Datum
mkt_add_to_list(PG_FUNCTION_ARGS)
{
	ContactList list;
	MktFilter  *filter = mkt_filter_new(1);
	Datum		keys;

	read_arguments(fcinfo, &list);
	keys = read_keys(fcinfo, &list);
	mkt_selection_match_keys(filter, list.attachment, keys);
	return add_matching(fcinfo, &list, filter, count_keys(keys, list.keys_type));
}

/* mkt.add_matching_to_list(contacts, account, name, filter) */
Datum
mkt_add_matching_to_list(PG_FUNCTION_ARGS)
{
	ContactList list;

	read_arguments(fcinfo, &list);
	if (PG_ARGISNULL(ARG_FILTER))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("filter must not be null"));
	return add_matching(fcinfo, &list,
						mkt_filter_compile(list.attachment, PG_GETARG_JSONB_P(ARG_FILTER), 1), -1);
}

/* mkt.remove_from_list(contacts, account, name, keys) */
Datum
mkt_remove_from_list(PG_FUNCTION_ARGS)
{
	ContactList list;
	Datum		keys;
	int64		removed;

	read_arguments(fcinfo, &list);
	keys = read_keys(fcinfo, &list);
	SPI_connect();
	find_list(&list, "SHARE");
	removed = write_members(&list, "DELETE FROM mkt.list_member WHERE list = $1 "
							"AND key = ANY (SELECT k::pg_catalog.text FROM pg_catalog.unnest($2) AS k)",
							list.keys_type, keys, SPI_OK_DELETE);
	SPI_finish();
	PG_RETURN_INT64(removed);
}

/* mkt.list_keys(contacts, account, name) */
Datum
mkt_list_keys(PG_FUNCTION_ARGS)
{
	ContactList list;
	MktFilter  *filter;

	read_arguments(fcinfo, &list);
	filter = mkt_list_find(list.attachment, list.account, list.name, 1);
	mkt_filter_restrict(filter, list.attachment, list.account);
	mkt_selection_return_keys(fcinfo, list.attachment, filter);
	return (Datum) 0;
}

/* The members of the account's list of a name, or else of that for all accounts. */
MktFilter *
mkt_list_find(const MktAttachment *attachment, const char *account,
			  const char *name, int first_param)
{
	Oid			types[] = {OIDOID, TEXTOID, TEXTOID};
	Datum		values[] = {
		ObjectIdGetDatum(attachment->contacts),
		account ? CStringGetTextDatum(account) : (Datum) 0,
		CStringGetTextDatum(name)
	};
	char		nulls[] = {' ', account ? ' ' : 'n', ' '};
	MktFilter  *filter = mkt_filter_new(first_param);
	Oid			key_type = get_atttype(attachment->contacts, attachment->keys[0]);
	Datum		keys;
	bool		isnull;

	SPI_connect();
	if (mkt_run_as_extension("SELECT (SELECT pg_catalog.array_agg(m.key) FROM mkt.list_member AS m WHERE m.list = l.list) "
							 "FROM mkt.list AS l WHERE contacts = $1 AND name = $3 "
							 "AND (account = $2 OR account IS NULL) ORDER BY account NULLS LAST LIMIT 1",
							 lengthof(types), types, values, nulls) != SPI_OK_SELECT)
		elog(ERROR, "could not read a list");
	if (SPI_processed == 0)
		ereport(ERROR,
				errcode(ERRCODE_NO_DATA_FOUND),
				errmsg("table %s has no list \"%s\"",
					   mkt_qualified_name(attachment->contacts), name),
				account ? errdetail("There is none of account \"%s\", nor one for all accounts.", account) :
				errdetail("There is none for all accounts."),
				errhint("SELECT mkt.create_list(...);"));
	keys = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
		keys = SPI_datumTransfer(keys, false, -1);
	SPI_finish();
	mkt_selection_match_keys(filter, attachment, isnull ? (Datum) 0 :
							 mkt_key_convert_array(DatumGetArrayTypeP(keys), key_type));
	return filter;
}

static void
read_arguments(FunctionCallInfo fcinfo, ContactList *list)
{
	if (PG_ARGISNULL(ARG_CONTACTS) || PG_ARGISNULL(ARG_NAME))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("contacts and name must not be null"),
				errhint("SELECT mkt.list_keys('crm.contact', '42', 'trade fair');"));
	list->attachment = mkt_selection_attachment(PG_GETARG_OID(ARG_CONTACTS));
	list->account = PG_ARGISNULL(ARG_ACCOUNT) ? NULL :
		text_to_cstring(PG_GETARG_TEXT_PP(ARG_ACCOUNT));
	list->name = text_to_cstring(PG_GETARG_TEXT_PP(ARG_NAME));
	list->key_type = get_atttype(list->attachment->contacts, list->attachment->keys[0]);
	list->keys_type = get_array_type(list->key_type);
	mkt_key_check(list->attachment, list->account != NULL);
}

static Datum
read_keys(FunctionCallInfo fcinfo, const ContactList *list)
{
	if (PG_ARGISNULL(ARG_KEYS))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("keys must not be null"),
				errhint("Pass an array, such as ARRAY[7, 8, 9]."));
	return mkt_key_convert_array(PG_GETARG_ARRAYTYPE_P(ARG_KEYS), list->key_type);
}

/* The list of just this account and name, for those who may change it. */
static void
find_list(ContactList *list, const char *lock)
{
	Oid			types[] = {OIDOID, TEXTOID, TEXTOID};
	Datum		values[] = {
		ObjectIdGetDatum(list->attachment->contacts),
		list->account ? CStringGetTextDatum(list->account) : (Datum) 0,
		CStringGetTextDatum(list->name)
	};
	char		nulls[] = {' ', list->account ? ' ' : 'n', ' '};
	bool		isnull;

	/* who fills it keeps others from dropping it meanwhile */
	if (mkt_run_as_extension(psprintf("SELECT list, owner FROM mkt.list WHERE contacts = $1 "
									  "AND account IS NOT DISTINCT FROM $2 AND name = $3 FOR %s", lock),
							 lengthof(types), types, values, nulls) != SPI_OK_SELECT)
		elog(ERROR, "could not find a list");
	if (SPI_processed == 0)
		ereport(ERROR,
				errcode(ERRCODE_NO_DATA_FOUND),
				errmsg("there is no list \"%s\" of that account", list->name),
				errhint("SELECT mkt.create_list(...);"));
	list->list = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
											 &isnull));
	mkt_saved_filter_check_owner("list", list->name,
								 SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2));
}

/* Adds the contacts that a filter selects; reports added, already, not found. */
static Datum
add_matching(FunctionCallInfo fcinfo, ContactList *list, MktFilter *filter,
			 int64 asked)
{
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {false};
	Datum		keys;
	int64		found;
	int64		added = 0;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	mkt_filter_restrict(filter, list->attachment, list->account);
	SPI_connect();
	find_list(list, "SHARE");
	keys = keys_of(list, filter, &found);
	if (found > 0)
		added = write_members(list, "INSERT INTO mkt.list_member (list, key) "
							  "SELECT $1, k FROM pg_catalog.unnest($2) AS k ORDER BY k "
							  "ON CONFLICT DO NOTHING", TEXTARRAYOID, keys, SPI_OK_INSERT);
	SPI_finish();
	values[0] = Int64GetDatum(added);
	values[1] = Int64GetDatum(found - added);
	values[2] = Int64GetDatum(asked - found);	/* there when keys were given */
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* How many different ones there are. */
static int64
count_keys(Datum keys, Oid type)
{
	int64		n;
	bool		isnull;

	SPI_connect();
	if (SPI_execute_with_args("SELECT pg_catalog.count(*) FROM (SELECT DISTINCT k FROM pg_catalog.unnest($1) AS k) AS asked",
							  1, &type, &keys, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not count keys");
	n = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return n;
}

/* The keys, as text, of the contacts that a filter selects for the caller. */
static Datum
keys_of(ContactList *list, const MktFilter *filter, int64 *n)
{
	const char *key = mkt_attachment_column(list->attachment, list->attachment->keys[0]);
	bool		isnull;

	if (SPI_execute_with_args(mkt_selection_query(list->attachment, filter,
												  psprintf("pg_catalog.count(*), pg_catalog.array_agg(c.%s::pg_catalog.text)", key)),
							  filter->nparams, filter->types, filter->values, NULL, true,
							  0) != SPI_OK_SELECT)
		elog(ERROR, "could not run a filter");
	*n = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);
}

/* A statement on the list, $1, and its members. */
static int64
write_members(const ContactList *list, const char *query, Oid type, Datum keys,
			  int expected)
{
	Oid			types[] = {INT8OID, type};
	Datum		values[] = {Int64GetDatum(list->list), keys};

	if (mkt_run_as_extension(query, OidIsValid(type) ? 2 : 1, types, values, NULL) != expected)
		elog(ERROR, "could not change a list");
	return SPI_processed;
}
