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

static Datum parked(const MktAttachment *attachment, const char *key, Datum account,
					char *null);

PG_FUNCTION_INFO_V1(mkt_find_contact);

/* mkt.find_contact(contacts, key, account): its marketing columns, as the caller sees them */
Datum
mkt_find_contact(PG_FUNCTION_ARGS)
{
	const MktAttachment *attachment;
	const char *contact;
	Datum		account = (Datum) 0;
	TimestampTz since;
	Datum		parked_at;
	Oid			types[4] = {InvalidOid, InvalidOid, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		values[4] = {0};
	char		nulls[] = "    ";

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("contacts and key must not be null"),
				errhint("SELECT * FROM mkt.explain('crm.contact', 7);"));
	attachment = mkt_attachment_of(PG_GETARG_OID(0));
	mkt_check_may_read(PG_GETARG_OID(0));
	mkt_key_check_one(attachment, !PG_ARGISNULL(2));
	contact = mkt_key_contact_condition(attachment, PG_GETARG_DATUM(1),
										PG_ARGISNULL(2) ? (Datum) 0 : PG_GETARG_DATUM(2),
										types, values, nulls);
	if (!PG_ARGISNULL(2))
		account = CStringGetTextDatum(mkt_account_text(types[1], values[1]));

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	parked_at = parked(attachment, mkt_key_text(attachment, PG_GETARG_DATUM(1)), account, &nulls[3]);
	since = mkt_attachment_table(attachment->contacts)->history_since;
	values[2] = TimestampTzGetDatum(since);
	values[3] = parked_at;
	if (SPI_execute_with_args(psprintf("SELECT %s, c.%s, c.%s, c.%s, c.%s, $3, $4 FROM %s AS c "
									   "WHERE %s",
									   mkt_key_account_text(attachment),
									   mkt_attachment_column(attachment, attachment->status),
									   mkt_attachment_column(attachment, attachment->until),
									   mkt_attachment_column(attachment, attachment->source_type),
									   mkt_attachment_column(attachment, attachment->source_name),
									   mkt_qualified_name(attachment->relid), contact),
							  lengthof(types), types, values, nulls, true,
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

/* When a maximum last kept the contact from becoming marketing. */
static Datum
parked(const MktAttachment *attachment, const char *key, Datum account, char *null)
{
	MktRights	rights = mkt_act_as(mkt_extension_owner());
	bool		isnull;
	Datum		at;

	if (SPI_execute_with_args("SELECT pg_catalog.max(parked_at) FROM mkt.parked_contact "
							  "WHERE contacts::pg_catalog.oid OPERATOR(pg_catalog.=) $1 AND key OPERATOR(pg_catalog.=) $2 "
							  "AND COALESCE(account OPERATOR(pg_catalog.=) $3, true)",
							  3, (Oid[]) {OIDOID, TEXTOID, TEXTOID},
							  (Datum[]) {ObjectIdGetDatum(attachment->contacts), CStringGetTextDatum(key), account},
							  account ? NULL : "  n", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read mkt.parked_contact");
	at = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	*null = isnull ? 'n' : ' ';
	mkt_act_again_as(rights);
	return at;
}
