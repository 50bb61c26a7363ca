/*-------------------------------------------------------------------------
 * key.c
 *	  Contacts named by key, as users name them in function calls.
 *
 * What is wrong with a key, an account or the caller's rights is found here,
 * before a query runs, so that the error is about what the caller wrote.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/genam.h"
#include "access/relation.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

static AttrNumber column_of_contacts(const MktAttachment *attachment,
									 AttrNumber column);
static void refuse_without_account(const MktAttachment *attachment);
static Datum key_array(const MktAttachment *attachment, Datum key);

/* One value has to name one contact. */
void
mkt_key_check(const MktAttachment *attachment, bool has_account)
{
	Relation	rel = relation_open(attachment->contacts, AccessShareLock);
	bool		unique = attachment->nkeys == 1 &&
	mkt_attachment_unique(rel, column_of_contacts(attachment, attachment->keys[0]));

	relation_close(rel, AccessShareLock);
	if (attachment->nkeys > 1)
		ereport(ERROR,
				errcode(ERRCODE_MKT_AMBIGUOUS_KEY),
				errmsg("contacts of table %s have keys of several columns",
					   mkt_qualified_name(attachment->contacts)),
				errhint("UPDATE %s SET marketing_status = ... WHERE ...; does the same.",
						mkt_qualified_name(attachment->contacts)));
	if (!unique && attachment->account && !has_account)
		refuse_without_account(attachment);
}

/*
 * The same for functions to which a key of several columns is given as an array.
 */
void
mkt_key_check_one(const MktAttachment *attachment, bool has_account)
{
	if (attachment->nkeys == 1)
		mkt_key_check(attachment, has_account);
	else if (!has_account && mkt_key_needs_account(attachment))
		refuse_without_account(attachment);
}

static void
refuse_without_account(const MktAttachment *attachment)
{
	ereport(ERROR,
			errcode(ERRCODE_MKT_AMBIGUOUS_KEY),
			errmsg("keys of table %s are unique within an account only",
				   mkt_qualified_name(attachment->contacts)),
			errhint("Name the account: account => '...'."));
}

/* A column of a partition may have another place in the attached table. */
static AttrNumber
column_of_contacts(const MktAttachment *attachment, AttrNumber column)
{
	return get_attnum(attachment->contacts,
					  get_attname(attachment->relid, column, false));
}

/* Who may not update a table hears of it without a query that he did not write. */
void
mkt_key_check_rights(Oid contacts)
{
	if (pg_class_aclcheck(contacts, GetUserId(), ACL_UPDATE) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(contacts, GetUserId(), ACL_UPDATE,
								  ACLMASK_ANY) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(contacts));
}

/*
 * What row-level security asks of contacts that the caller wants to update, as
 * a condition on the table by its own name; null where it asks the same of those
 * that he reads, or nothing.  PostgreSQL itself asks it of statements that lock
 * rows, and those are not for read-only transactions.
 */
char *
mkt_key_update_policy(Oid contacts)
{
	static const char *const query =
	"SELECT pg_catalog.concat_ws(' AND ', "
	"COALESCE('(' OPERATOR(pg_catalog.||) pg_catalog.string_agg(p.qual, ' OR ') FILTER (WHERE p.permissive AND p.asks) OPERATOR(pg_catalog.||) ')', 'false'), "
	"pg_catalog.string_agg(p.qual, ' AND ') FILTER (WHERE NOT p.permissive AND p.asks)) "
	"FROM (SELECT polpermissive AS permissive, polcmd OPERATOR(pg_catalog.<>) 'r' AS asks, "
	"polcmd OPERATOR(pg_catalog.<>) '*' AS differs, "
	"pg_catalog.format('(%s)', pg_catalog.pg_get_expr(polqual, polrelid)) AS qual "
	"FROM pg_catalog.pg_policy "
	"WHERE polrelid OPERATOR(pg_catalog.=) $1 AND polqual IS NOT NULL "
	"AND (polcmd OPERATOR(pg_catalog.=) '*' OR polcmd OPERATOR(pg_catalog.=) 'r' OR polcmd OPERATOR(pg_catalog.=) 'w') "
	"AND CASE WHEN 0 OPERATOR(pg_catalog.=) ANY (polroles) THEN true ELSE EXISTS ("
	"SELECT FROM pg_catalog.unnest(polroles) AS role WHERE pg_catalog.pg_has_role(role, 'USAGE')) END) AS p "
	"HAVING pg_catalog.bool_or(p.differs)";
	Datum		values[] = {ObjectIdGetDatum(contacts)};

	if (check_enable_rls(contacts, InvalidOid, true) != RLS_ENABLED)
		return NULL;
	if (SPI_execute_with_args(query, 1, (Oid[]) {OIDOID}, values, NULL, true,
							  1) != SPI_OK_SELECT)
		elog(ERROR, "could not read policies");
	return SPI_processed == 0 ? NULL :
		SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

/* A value as another type reads it. */
Datum
mkt_key_convert(Datum value, Oid from, Oid to)
{
	Oid			input;
	Oid			parameter;
	char	   *written;
	Datum		converted;

	getTypeInputInfo(to, &input, &parameter);
	written = mkt_account_text(from, value);
	converted = OidInputFunctionCall(input, written, parameter, -1);
	pfree(written);
	return converted;
}

/* The keys as an array of the key column's type. */
Datum
mkt_key_convert_array(ArrayType *keys, Oid type)
{
	Oid			from = ARR_ELEMTYPE(keys);
	int			dims[1];
	int			lbs[1] = {1};
	int16		len;
	bool		by_value;
	char		align;
	Datum	   *values;
	bool	   *nulls;

	if (from == type)
		return PointerGetDatum(keys);
	get_typlenbyvalalign(from, &len, &by_value, &align);
	deconstruct_array(keys, from, len, by_value, align, &values, &nulls, &dims[0]);
	for (int i = 0; i < dims[0]; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!nulls[i])
			values[i] = mkt_key_convert(values[i], from, type);
	}
	get_typlenbyvalalign(type, &len, &by_value, &align);
	return PointerGetDatum(construct_md_array(values, nulls, 1, dims, lbs, type, len,
											  by_value, align));
}

/* An account as its column writes it: by this text it is found elsewhere. */
Datum
mkt_key_account(const MktAttachment *attachment, Datum account)
{
	return CStringGetTextDatum(mkt_account_text(attachment->account_type,
												mkt_key_convert(account, TEXTOID,
																attachment->account_type)));
}

/*
 * The condition that a contact has a key of several columns, given as the text of
 * an array such as {eu,7}.  The columns are those of a contacts table after the
 * prefix, or those of a history without one.  What they are compared with is read
 * as their own types, and never by a user's function.
 */
char *
mkt_key_several(const MktAttachment *attachment, Datum key, const char *prefix)
{
	Datum	   *parts;
	int			nparts;
	StringInfoData condition;

	deconstruct_array(DatumGetArrayTypeP(key_array(attachment, key)), TEXTOID, -1, false,
					  TYPALIGN_INT, &parts, NULL, &nparts);
	initStringInfo(&condition);
	for (int i = 0; i < nparts; i++)
	{
		Oid			type = getBaseType(get_atttype(attachment->relid, attachment->keys[i]));

		appendStringInfo(&condition, "%s%s OPERATOR(pg_catalog.=) %s::%s", i ? " AND " : "",
						 prefix ? psprintf("%s%s", prefix, mkt_attachment_column(attachment, attachment->keys[i])) :
						 mkt_satellite_key(i),
						 quote_literal_cstr(mkt_account_text(type, mkt_key_convert(parts[i], TEXTOID, type))),
						 format_type_be_qualified(type));
	}
	return condition.data;
}

/* A key as mktcontacts writes it. */
char *
mkt_key_text(const MktAttachment *attachment, Datum key)
{
	return attachment->nkeys == 1 ? TextDatumGetCString(key) :
		OidOutputFunctionCall(F_ARRAY_OUT, key_array(attachment, key));
}

static Datum
key_array(const MktAttachment *attachment, Datum key)
{
	char	   *given = TextDatumGetCString(key);
	Datum		array = (Datum) 0;

	if (*given == '{')
		array = OidFunctionCall3(F_ARRAY_IN, CStringGetDatum(given),
								 ObjectIdGetDatum(TEXTOID), Int32GetDatum(-1));
	if (array == (Datum) 0 || array_contains_nulls(DatumGetArrayTypeP(array)) ||
		ArrayGetNItems(ARR_NDIM(DatumGetArrayTypeP(array)), ARR_DIMS(DatumGetArrayTypeP(array))) != attachment->nkeys)
		ereport(ERROR,
				errcode(ERRCODE_MKT_AMBIGUOUS_KEY),
				errmsg("contacts of table %s have keys of several columns",
					   mkt_qualified_name(attachment->contacts)),
				errhint("Give the %d of them as an array, in the order of the primary key: '{...,...}'.",
						attachment->nkeys));
	return array;
}

/* The condition that a contact, called c, belongs to the account in a parameter. */
const char *
mkt_key_account_condition(const MktAttachment *attachment, const char *parameter)
{
	if (attachment->account)
		return psprintf(" AND c.%s OPERATOR(pg_catalog.=) %s",
						mkt_attachment_column(attachment, attachment->account),
						parameter);
	return psprintf(" AND %s OPERATOR(pg_catalog.=) %s", parameter,
					quote_literal_cstr(TextDatumGetCString(attachment->constant_account)));
}

/*
 * The condition on a contact, called c, that a call names by its key and, unless that
 * is 0, its account, both as text.  They are $1, if it has one column, and $2.
 */
char *
mkt_key_contact_condition(const MktAttachment *attachment, Datum key, Datum account,
						  Oid *types, Datum *values, char *nulls)
{
	char	   *condition;

	types[0] = TEXTOID;
	types[1] = attachment->account_type;
	nulls[0] = nulls[1] = 'n';
	if (attachment->nkeys > 1)
		condition = mkt_key_several(attachment, key, "c.");
	else
	{
		types[0] = get_atttype(attachment->relid, attachment->keys[0]);
		values[0] = mkt_key_convert(key, TEXTOID, types[0]);
		nulls[0] = ' ';
		condition = psprintf("c.%s OPERATOR(pg_catalog.=) $1",
							 mkt_attachment_column(attachment, attachment->keys[0]));
	}
	if (account == (Datum) 0)
		return condition;
	values[1] = mkt_key_convert(account, TEXTOID, types[1]);
	nulls[1] = ' ';
	return psprintf("%s%s", condition, mkt_key_account_condition(attachment, "$2"));
}

/* The account of a contact, called c, as text. */
const char *
mkt_key_account_text(const MktAttachment *attachment)
{
	if (attachment->account)
		return psprintf("c.%s::pg_catalog.text",
						mkt_attachment_column(attachment, attachment->account));
	return quote_literal_cstr(TextDatumGetCString(attachment->constant_account));
}

/* Whether the caller sees a contact, called c, by a condition with two parameters; and whose. */
bool
mkt_key_is_visible(const MktAttachment *attachment, const char *condition, Oid *types,
				   Datum *values, const char *nulls, Datum *its_account, bool *isnull)
{
	const char *account = attachment->account ?
	psprintf("c.%s", mkt_attachment_column(attachment, attachment->account)) :
	psprintf("%s::pg_catalog.text",
			 quote_literal_cstr(TextDatumGetCString(attachment->constant_account)));

	if (SPI_execute_with_args(psprintf("SELECT %s FROM %s AS c WHERE %s", account,
									   mkt_qualified_name(attachment->contacts), condition),
							  2, types, values, nulls, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look for a contact");
	if (SPI_processed == 0)
		return false;
	*its_account = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, isnull);
	return true;
}

static int
index_key_count(Oid indexid)
{
	Relation	index = index_open(indexid, AccessShareLock);
	int			n = index->rd_index->indnkeyatts;

	index_close(index, AccessShareLock);
	return n;
}

/* Whether keys alone do not tell contacts apart: the account is in the primary key. */
bool
mkt_key_needs_account(const MktAttachment *attachment)
{
	Relation	rel = relation_open(attachment->contacts, AccessShareLock);
	bool		needs = attachment->account && attachment->nkeys > 0 &&
	!(attachment->nkeys == 1 && mkt_attachment_unique(rel, attachment->keys[0]));

	if (needs)
	{
		RelationGetIndexList(rel);
		needs = OidIsValid(rel->rd_pkindex) &&
			index_key_count(rel->rd_pkindex) != attachment->nkeys;
	}
	relation_close(rel, AccessShareLock);
	return needs;
}
