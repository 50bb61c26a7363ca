/*-------------------------------------------------------------------------
 * matching.c
 *	  mkt.matching(), mkt.matching_contacts(), mkt.count_matching() and
 *	  mkt.check_filter(): what a filter means, and whom.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

/* The arguments of all of them, by position. */
enum
{
	ARG_CONTACTS, ARG_FILTER, ARG_ACCOUNT
};

static void check_arguments(FunctionCallInfo fcinfo);
static MktFilter *read_filter(FunctionCallInfo fcinfo,
							  const MktAttachment *attachment);
static char *account_argument(FunctionCallInfo fcinfo);

PG_FUNCTION_INFO_V1(mkt_matching);
PG_FUNCTION_INFO_V1(mkt_matching_contacts);
PG_FUNCTION_INFO_V1(mkt_count_matching);
PG_FUNCTION_INFO_V1(mkt_check_filter);

/* mkt.matching(contacts, filter, account): keys */
Datum
mkt_matching(PG_FUNCTION_ARGS)
{
	MktAttachment *attachment;

	check_arguments(fcinfo);
	attachment = mkt_selection_attachment(PG_GETARG_OID(ARG_CONTACTS));
	mkt_key_check(attachment, !PG_ARGISNULL(ARG_ACCOUNT));
	mkt_selection_return_keys(fcinfo, attachment, read_filter(fcinfo, attachment));
	return (Datum) 0;
}

/* mkt.matching_contacts(NULL::contacts, filter, account): rows */
Datum
mkt_matching_contacts(PG_FUNCTION_ARGS)
{
	Oid			contacts = get_typ_typrelid(get_fn_expr_argtype(fcinfo->flinfo, ARG_CONTACTS));
	MktAttachment *attachment;
	MktFilter  *filter;

	if (!OidIsValid(contacts))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("mkt.matching_contacts() takes a row of a contacts table"),
				errhint("SELECT * FROM mkt.matching_contacts(NULL::crm.contact, ...);"));
	fcinfo->args[ARG_CONTACTS].isnull = false;
	check_arguments(fcinfo);
	attachment = mkt_selection_attachment(contacts);
	filter = read_filter(fcinfo, attachment);
	InitMaterializedSRF(fcinfo, 0);
	mkt_selection_return(fcinfo, mkt_selection_query(attachment, filter,
													 psprintf("(c.*)::%s", mkt_qualified_name(contacts))),
						 filter);
	return (Datum) 0;
}

/* mkt.count_matching(contacts, filter, account) */
Datum
mkt_count_matching(PG_FUNCTION_ARGS)
{
	MktAttachment *attachment;
	MktFilter  *filter;
	int64		count;
	bool		isnull;

	check_arguments(fcinfo);
	attachment = mkt_selection_attachment(PG_GETARG_OID(ARG_CONTACTS));
	filter = read_filter(fcinfo, attachment);
	SPI_connect();
	if (SPI_execute_with_args(mkt_selection_query(attachment, filter, "pg_catalog.count(*)"),
							  filter->nparams, filter->types, filter->values, NULL, true,
							  0) != SPI_OK_SELECT)
		elog(ERROR, "could not count contacts");
	count = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
										&isnull));
	SPI_finish();
	PG_RETURN_INT64(count);
}

/* mkt.check_filter(contacts, filter): a condition, to be looked at */
Datum
mkt_check_filter(PG_FUNCTION_ARGS)
{
	MktAttachment *attachment;

	check_arguments(fcinfo);
	attachment = mkt_selection_attachment(PG_GETARG_OID(ARG_CONTACTS));
	PG_RETURN_TEXT_P(cstring_to_text(mkt_filter_readable(attachment,
														 PG_GETARG_JSONB_P(ARG_FILTER))));
}

static void
check_arguments(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(ARG_CONTACTS) || PG_ARGISNULL(ARG_FILTER))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("contacts and filter must not be null"),
				errhint("SELECT mkt.count_matching('crm.contact', '{\"filterGroups\": [{\"filters\": [{\"propertyName\": \"city\", \"operator\": \"EQ\", \"value\": \"Oslo\"}]}]}');"));
}

static MktFilter *
read_filter(FunctionCallInfo fcinfo, const MktAttachment *attachment)
{
	MktFilter  *filter = mkt_filter_compile(attachment, PG_GETARG_JSONB_P(ARG_FILTER), 1);

	mkt_filter_restrict(filter, attachment, account_argument(fcinfo));
	return filter;
}

static char *
account_argument(FunctionCallInfo fcinfo)
{
	return PG_ARGISNULL(ARG_ACCOUNT) ? NULL :
		text_to_cstring(PG_GETARG_TEXT_PP(ARG_ACCOUNT));
}
