/*-------------------------------------------------------------------------
 * merge.c
 *	  mkt.merge(): two contacts become one (rule T7).
 *
 * Both rows are locked, in the order of their keys.  The survivor takes the
 * longer "marketing until" of the two by an ordinary UPDATE, and the other
 * contact is deleted; the triggers on the table do the rest.  It all runs with
 * the caller's rights.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "catalog/pg_type.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* The two contacts, and the parameters of every query here. */
typedef struct Merge
{
	const MktAttachment *attachment;
	const char *name;			/* of the table */
	const char *account;		/* a condition, or nothing */
	Oid			types[2];
	Datum		values[2];		/* $1 a key, $2 the account */
	char		nulls[2];
} Merge;

/* One of them, as it was locked. */
typedef struct Locked
{
	Datum		key;
	TimestampTz until;			/* as S1 has it now */
	char	   *account;
} Locked;

static void delete_merged(Merge *merge, Datum key);
static void lock_contact(Merge *merge, Locked *contact, TimestampTz now);
static void take_over(Merge *merge, const Locked *survivor, const Locked *merged,
					  TimestampTz now);
static void run(Merge *merge, Datum key, int expected, const char *query);

PG_FUNCTION_INFO_V1(mkt_merge);

/* mkt.merge(contacts, survivor, merged, account), keys as text */
Datum
mkt_merge(PG_FUNCTION_ARGS)
{
	TimestampTz now = mkt_now();
	Merge		merge = {0};
	Locked		survivor;
	Locked		merged;
	Oid			key_type;
	bool		survivor_first;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("contacts, survivor and merged must not be null"),
				errhint("SELECT mkt.merge('crm.contact', 7, 8);"));
	merge.attachment = mkt_attachment_of(PG_GETARG_OID(0));
	mkt_key_check_rights(merge.attachment->contacts);
	mkt_key_check(merge.attachment, !PG_ARGISNULL(3));

	key_type = get_atttype(merge.attachment->relid, merge.attachment->keys[0]);
	merge.name = mkt_qualified_name(merge.attachment->contacts);
	merge.types[0] = key_type;
	merge.types[1] = merge.attachment->account_type;
	merge.nulls[0] = ' ';
	merge.nulls[1] = PG_ARGISNULL(3) ? 'n' : ' ';
	merge.account = "";
	if (!PG_ARGISNULL(3))
	{
		merge.values[1] = mkt_key_convert(PG_GETARG_DATUM(3), TEXTOID,
										  merge.attachment->account_type);
		merge.account = mkt_key_account_condition(merge.attachment, "$2");
	}
	survivor.key = mkt_key_convert(PG_GETARG_DATUM(1), TEXTOID, key_type);
	merged.key = mkt_key_convert(PG_GETARG_DATUM(2), TEXTOID, key_type);
	survivor_first = strcmp(mkt_account_text(key_type, survivor.key),
							mkt_account_text(key_type, merged.key)) < 0;
	if (strcmp(mkt_account_text(key_type, survivor.key),
			   mkt_account_text(key_type, merged.key)) == 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("cannot merge a contact of table %s with itself", merge.name),
				errhint("Name two contacts."));

	SPI_connect();
	lock_contact(&merge, survivor_first ? &survivor : &merged, now);
	lock_contact(&merge, survivor_first ? &merged : &survivor, now);
	if (strcmp(survivor.account, merged.account) != 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("cannot merge contacts of two accounts"),
				errdetail("The survivor belongs to account \"%s\", the other contact to account \"%s\".",
						  survivor.account, merged.account),
				errhint("UPDATE %s to move one of them first.", merge.name));
	if (merged.until > survivor.until)
		take_over(&merge, &survivor, &merged, now);
	delete_merged(&merge, merged.key);
	SPI_finish();
	PG_RETURN_VOID();
}

/* By T7 that is no deletion, and nothing of it counts on. */
static void
delete_merged(Merge *merge, Datum key)
{
	mkt_contact_merging(merge->attachment->contacts, key);
	PG_TRY();
	{
		run(merge, key, SPI_OK_DELETE,
			psprintf("DELETE FROM %s AS c WHERE c.%s OPERATOR(pg_catalog.=) $1%s", merge->name,
					 mkt_attachment_column(merge->attachment, merge->attachment->keys[0]),
					 merge->account));
	}
	PG_FINALLY();
	{
		mkt_contact_merging(InvalidOid, (Datum) 0);
	}
	PG_END_TRY();
	if (SPI_processed != 1)
		ereport(ERROR,
				errcode(ERRCODE_NO_DATA_FOUND),
				errmsg("could not delete contact %s of table %s",
					   mkt_account_text(merge->types[0], key), merge->name),
				errdetail("A trigger or row-level security kept it."));
}

static void
lock_contact(Merge *merge, Locked *contact, TimestampTz now)
{
	const MktAttachment *attachment = merge->attachment;
	bool		isnull;
	Datum		until;
	char	   *marketing;

	run(merge, contact->key, SPI_OK_SELECT,
		psprintf("SELECT c.%s OPERATOR(pg_catalog.=) 'marketing', c.%s, %s FROM %s AS c "
				 "WHERE c.%s OPERATOR(pg_catalog.=) $1%s FOR UPDATE",
				 mkt_attachment_column(attachment, attachment->status),
				 mkt_attachment_column(attachment, attachment->until),
				 attachment->account ?
				 psprintf("COALESCE(c.%s::pg_catalog.text, '')",
						  mkt_attachment_column(attachment, attachment->account)) : "''",
				 merge->name, mkt_attachment_column(attachment, attachment->keys[0]),
				 merge->account));
	if (SPI_processed != 1)
		ereport(ERROR,
				errcode(ERRCODE_NO_DATA_FOUND),
				errmsg("table %s has no contact %s", merge->name,
					   mkt_account_text(merge->types[0], contact->key)),
				errhint("Both contacts must be there, and be visible to you."));
	marketing = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	until = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);
	contact->account = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3);
	if (strcmp(marketing, "t") != 0)
		contact->until = DT_NOBEGIN;
	else
		contact->until = isnull ? DT_NOEND : DatumGetTimestampTz(until);
	if (contact->until <= now)
		contact->until = DT_NOBEGIN;
}

/*
 * Asks for the other contact's state by T12.  A survivor whose instant has
 * passed is brought up to date first: else setting the columns to what they
 * are would ask nothing.
 */
static void
take_over(Merge *merge, const Locked *survivor, const Locked *merged,
		  TimestampTz now)
{
	const MktAttachment *attachment = merge->attachment;
	const char *status = mkt_attachment_column(attachment, attachment->status);
	const char *flag = mkt_attachment_column(attachment, attachment->flag);
	const char *key = mkt_attachment_column(attachment, attachment->keys[0]);

	run(merge, survivor->key, SPI_OK_UPDATE,
		psprintf("UPDATE %s AS c SET %s = false WHERE c.%s OPERATOR(pg_catalog.=) $1%s "
				 "AND c.%s OPERATOR(pg_catalog.<=) %s",
				 merge->name, flag, key, merge->account,
				 mkt_attachment_column(attachment, attachment->until),
				 quote_literal_cstr(timestamptz_to_str(now))));
	run(merge, survivor->key, SPI_OK_UPDATE,
		psprintf("UPDATE %s AS c SET %s = 'marketing', %s = %s WHERE c.%s OPERATOR(pg_catalog.=) $1%s",
				 merge->name, status, flag,
				 TIMESTAMP_IS_NOEND(merged->until) ? "false" : "true", key, merge->account));
}

static void
run(Merge *merge, Datum key, int expected, const char *query)
{
	merge->values[0] = key;
	if (SPI_execute_with_args(query, *merge->account ? 2 : 1, merge->types,
							  merge->values, merge->nulls, false, 0) != expected)
		elog(ERROR, "could not merge contacts");
}
