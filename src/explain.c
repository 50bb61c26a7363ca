/*-------------------------------------------------------------------------
 * explain.c
 *	  What a contact is now, for mkt.explain() (rule P6), which is SQL.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "catalog/pg_type.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(mkt_find_contact);

/* mkt.find_contact(contacts, key, account): its marketing columns, as the caller sees them */
Datum
mkt_find_contact(PG_FUNCTION_ARGS)
{
	const MktAttachment *attachment;
	const char *account = "";
	TimestampTz since;
	Oid			types[3] = {InvalidOid, InvalidOid, TIMESTAMPTZOID};
	Datum		values[3] = {0};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("contacts and key must not be null"),
				errhint("SELECT * FROM mkt.explain('crm.contact', 7);"));
	attachment = mkt_attachment_of(PG_GETARG_OID(0));
	mkt_check_may_read(PG_GETARG_OID(0));
	mkt_key_check(attachment, !PG_ARGISNULL(2));
	types[0] = get_atttype(attachment->relid, attachment->keys[0]);
	types[1] = attachment->account_type;
	values[0] = mkt_key_convert(PG_GETARG_DATUM(1), TEXTOID, types[0]);
	if (!PG_ARGISNULL(2))
	{
		values[1] = mkt_key_convert(PG_GETARG_DATUM(2), TEXTOID, types[1]);
		account = mkt_key_account_condition(attachment, "$2");
	}

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	since = mkt_attachment_table(attachment->contacts)->history_since;
	values[2] = TimestampTzGetDatum(since);
	if (SPI_execute_with_args(psprintf("SELECT %s, c.%s, c.%s, c.%s, c.%s, $3 FROM %s AS c "
									   "WHERE c.%s OPERATOR(pg_catalog.=) $1%s",
									   mkt_key_account_text(attachment),
									   mkt_attachment_column(attachment, attachment->status),
									   mkt_attachment_column(attachment, attachment->until),
									   mkt_attachment_column(attachment, attachment->source_type),
									   mkt_attachment_column(attachment, attachment->source_name),
									   mkt_qualified_name(attachment->relid),
									   mkt_attachment_column(attachment, attachment->keys[0]),
									   account),
							  lengthof(types), types, values, PG_ARGISNULL(2) ? " n " : "   ", true,
							  0) != SPI_OK_SELECT)
		elog(ERROR, "could not read a contact");
	if (SPI_processed != 1)
		ereport(ERROR,
				errcode(ERRCODE_NO_DATA_FOUND),
				errmsg("table %s has no contact %s", mkt_qualified_name(attachment->relid),
					   TextDatumGetCString(PG_GETARG_DATUM(1))),
				errhint("The contact must be there, and be visible to you; SELECT * FROM mkt.history(...) tells of one that is gone."));
	mkt_query_return(fcinfo);
	SPI_finish();
	return (Datum) 0;
}
