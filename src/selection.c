/*-------------------------------------------------------------------------
 * selection.c
 *	  Runs filters: the contacts that meet one.
 *
 * Queries run with the caller's rights and in the snapshot of the statement
 * that asks.  A filter that needs the rights of a role, and no other search path
 * than the one that it was written for, is narrowed first: that role says which
 * contacts meet it, and the caller sees those of them that the caller may see.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "catalog/pg_type.h"
#include "errors.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

/* Rows that are on their way at once. */
#define FETCH_ROWS 1000

static void store_rows(ReturnSetInfo *result, bool whole);

/* A contacts table that the caller may read, named as a whole. */
MktAttachment *
mkt_selection_attachment(Oid contacts)
{
	MktAttachment *attachment = mkt_attachment_of(contacts);

	if (attachment->contacts != contacts)
		ereport(ERROR,
				errcode(ERRCODE_MKT_NOT_ATTACHED),
				errmsg("table %s is a partition of an attached table",
					   mkt_qualified_name(contacts)),
				errhint("Name the whole table: %s.",
						quote_literal_cstr(mkt_qualified_name(attachment->contacts))));
	mkt_check_may_read(contacts);
	return attachment;
}

char *
mkt_selection_query(const MktAttachment *attachment, const MktFilter *filter,
					const char *what)
{
	return psprintf("SELECT %s FROM %s AS c WHERE %s", what,
					mkt_qualified_name(attachment->contacts), filter->condition);
}

/*
 * Makes a filter one that anybody may run.  The account is the one to which it
 * is going to be restricted, or null.
 */
void
mkt_selection_narrow(MktFilter *filter, const MktAttachment *attachment,
					 const char *account)
{
	MktFilter  *theirs;
	MktRights	rights;
	int			nestlevel;
	Datum		keys;

	if (!OidIsValid(filter->run_as))
		return;
	mkt_key_check(attachment, account != NULL);
	theirs = mkt_filter_new(1);
	theirs->condition = filter->condition;
	mkt_filter_restrict(theirs, attachment, account);

	nestlevel = mkt_fix_search_path();
	rights = mkt_act_as(filter->run_as);
	keys = mkt_selection_keys(attachment, theirs, "");
	mkt_act_again_as(rights);
	AtEOXact_GUC(false, nestlevel);

	filter->run_as = InvalidOid;
	mkt_selection_match_keys(filter, attachment, keys);
}

/* Replaces a filter's condition: the contacts with these keys, none when 0. */
void
mkt_selection_match_keys(MktFilter *filter, const MktAttachment *attachment,
						 Datum keys)
{
	Oid			type = get_atttype(attachment->contacts, attachment->keys[0]);
	int			n;

	filter->condition = "false";
	if (keys == (Datum) 0)
		return;
	n = mkt_filter_add_param(filter, get_array_type(type), keys);
	filter->condition = psprintf("c.%s OPERATOR(pg_catalog.=) ANY (SELECT pg_catalog.unnest($%d))",
								 mkt_attachment_column(attachment, attachment->keys[0]), n);
}

/*
 * The keys, as an array, of the contacts that a filter selects for the caller
 * and that meet another condition, which is empty or begins with AND.
 */
Datum
mkt_selection_keys(const MktAttachment *attachment, const MktFilter *filter,
				   const char *condition)
{
	const char *key = mkt_attachment_column(attachment, attachment->keys[0]);
	Oid			type = get_atttype(attachment->contacts, attachment->keys[0]);
	Datum		keys;
	bool		isnull;

	SPI_connect();
	if (SPI_execute_with_args(psprintf("%s%s",
									   mkt_selection_query(attachment, filter,
														   psprintf("pg_catalog.array_agg(c.%s)", key)),
									   condition),
							  filter->nparams, filter->types, filter->values, NULL, true,
							  0) != SPI_OK_SELECT)
		elog(ERROR, "could not run a filter");
	keys = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
		keys = SPI_datumTransfer(keys, false, -1);
	SPI_finish();
	return isnull ? PointerGetDatum(construct_empty_array(type)) : keys;
}

/* The result of a function that returns keys as text. */
void
mkt_selection_return_keys(FunctionCallInfo fcinfo,
						  const MktAttachment *attachment,
						  const MktFilter *filter)
{
	const char *key = mkt_attachment_column(attachment, attachment->keys[0]);

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	mkt_selection_return(fcinfo, mkt_selection_query(attachment, filter,
													 psprintf("c.%s::pg_catalog.text", key)),
						 filter);
}

/* Stores what a query returns: one column, a value or a whole row. */
void
mkt_selection_return(FunctionCallInfo fcinfo, const char *query,
					 const MktFilter *filter)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Portal		portal;

	SPI_connect();
	portal = SPI_cursor_open_with_args(NULL, query, filter->nparams, filter->types,
									   filter->values, NULL, true, 0);
	do
	{
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		store_rows(result, type_is_rowtype(SPI_gettypeid(SPI_tuptable->tupdesc, 1)));
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	SPI_cursor_close(portal);
	SPI_finish();
}

static void
store_rows(ReturnSetInfo *result, bool whole)
{
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Datum		value = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
										  1, &isnull);

		if (whole)
		{
			HeapTupleHeader row = DatumGetHeapTupleHeader(value);
			HeapTupleData tuple = {
				.t_len = HeapTupleHeaderGetDatumLength(row),
				.t_data = row
			};

			tuplestore_puttuple(result->setResult, &tuple);
		}
		else
			tuplestore_putvalues(result->setResult, result->setDesc, &value, &isnull);
	}
}
