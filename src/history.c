/*-------------------------------------------------------------------------
 * history.c
 *	  What the history says of a contact: mkt.history(), mkt.status_at(),
 *	  mkt.forget(), and mkt.set_history() (rules P3, T11).
 *
 * The histories belong to the extension's owner.  Whoever may read a contacts
 * table learns the history of its contacts here; where row-level security shows
 * only some of them, only of those.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/timestamp.h"

/* A contact that a call names, with the parameters $1 and $2 of its queries. */
typedef struct Named
{
	MktAttachment *attachment;
	MktAttachedTable *table;
	const char *history;		/* its table, for a query */
	const char *key;			/* conditions on the columns of the history: */
	const char *condition;		/* the contact's key; and the account, too */
	const char *contact;		/* one on the contacts table, called c */
	bool		has_account;
	bool		is_new;			/* rows were written just now */
	Oid			types[3];
	Datum		values[3];		/* the key, the account, and what the caller
								 * adds */
	char		nulls[3];
} Named;

/* What a row of the history, or of the contacts table, says. */
typedef struct Found
{
	bool		found;
	bool		absent;
	TimestampTz until;
	int64		change;
} Found;

static Named named_contact(FunctionCallInfo fcinfo, int account_argno);
static bool may_know(Named *named);
static void run(Named *named, const char *query);
static Found find(Named *named, const char *query, const char *value);
static Found find_now(Named *named, bool came_later);
static void check_since(const Named *named, TimestampTz at);
static Datum argument_kept(FunctionCallInfo fcinfo);
static void forget_elsewhere(const Named *named);

PG_FUNCTION_INFO_V1(mkt_history);
PG_FUNCTION_INFO_V1(mkt_status_at);
PG_FUNCTION_INFO_V1(mkt_forget);
PG_FUNCTION_INFO_V1(mkt_set_history);

/* mkt.history(contacts, key, account) */
Datum
mkt_history(PG_FUNCTION_ARGS)
{
	Named		named = named_contact(fcinfo, 2);

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	if (may_know(&named))
	{
		run(&named, psprintf("WITH own AS (SELECT * FROM %1$s WHERE %2$s) "
							 "SELECT changed_at, effective_at, mkt.change_name(was, until, moved), "
							 "CASE WHEN until OPERATOR(pg_catalog.>) effective_at THEN 'marketing' "
							 "WHEN until IS NOT NULL THEN 'non_marketing' END::mkt.status, "
							 "COALESCE(NULLIF(NULLIF(until, 'infinity'), '-infinity'), counts_until), CASE WHEN account IS NOT NULL THEN pg_catalog.format('%%s', account) END, "
							 "source_type, source_name, role, batch "
							 "FROM (SELECT * FROM own UNION ALL SELECT * FROM %1$s AS e WHERE contact IS NULL "
							 "AND (SELECT o.until FROM own AS o WHERE o.change OPERATOR(pg_catalog.<) e.change ORDER BY o.change DESC LIMIT 1) IS NOT NULL) AS h "
							 "ORDER BY change", named.history, named.condition));
		mkt_query_return(fcinfo);
	}
	SPI_finish();
	return (Datum) 0;
}

/*
 * mkt.status_at(contacts, key, at, account): as it is now, from now on; before, by
 * the last change until then; else, or where that was the contact's end, by what the
 * first change after it says was before; else as it is now.
 */
Datum
mkt_status_at(PG_FUNCTION_ARGS)
{
	Named		named = named_contact(fcinfo, 3);
	TimestampTz at = PG_ARGISNULL(2) ? mkt_now() : PG_GETARG_TIMESTAMPTZ(2);
	Found		found = {0};
	Found		emptied;
	Found		after = {0};

	check_since(&named, at);
	named.types[2] = TIMESTAMPTZOID;
	named.values[2] = TimestampTzGetDatum(at);
	SPI_connect();
	if (at >= mkt_now())
		found = find_now(&named, false);
	else if (may_know(&named))
	{
		found = find(&named, "SELECT %3$s, change FROM %1$s WHERE %2$s AND changed_at OPERATOR(pg_catalog.<=) $3 "
					 "ORDER BY change DESC LIMIT 1",
					 named.has_account ? "CASE WHEN account OPERATOR(pg_catalog.=) $2 THEN until END" : "until");
		emptied = find(&named, "SELECT until, change FROM %1$s WHERE contact IS NULL AND changed_at OPERATOR(pg_catalog.<=) $3 "
					   "ORDER BY change DESC LIMIT 1", "");
		if (emptied.found && emptied.change > found.change)
			found = emptied;

		/* who came as a non-marketing contact left no trace */
		if (!found.found || found.absent)
			after = find(&named, "SELECT %3$s, change FROM %1$s WHERE %2$s AND changed_at OPERATOR(pg_catalog.>) $3 "
						 "ORDER BY change LIMIT 1",
						 named.has_account ? "CASE WHEN NOT moved OR from_account OPERATOR(pg_catalog.=) $2 THEN was END" : "was");
		if (after.found)
			found = after;
		else if (!found.found || found.absent)
			found = find_now(&named, found.found);
	}
	SPI_finish();
	if (!found.found || found.absent)
		PG_RETURN_NULL();
	PG_RETURN_OID(mkt_attachment_status(found.until > at));
}

/* mkt.forget(contacts, key, account): how many changes there were. */
Datum
mkt_forget(PG_FUNCTION_ARGS)
{
	Named		named = named_contact(fcinfo, 2);
	Oid			contacts = named.attachment->contacts;
	MktRights	rights;
	int64		forgotten;

	if (pg_class_aclcheck(contacts, GetUserId(), ACL_DELETE) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(contacts));
	if (check_enable_rls(contacts, InvalidOid, true) == RLS_ENABLED)
		mkt_check_owner(contacts);
	mkt_change_post();
	CommandCounterIncrement();
	SPI_connect();
	rights = mkt_act_as(mkt_extension_owner());
	if (SPI_execute_with_args(psprintf("DELETE FROM %s WHERE %s", named.history, named.condition),
							  2, named.types, named.values, named.nulls, false,
							  0) != SPI_OK_DELETE)
		elog(ERROR, "could not forget a contact");
	mkt_act_again_as(rights);
	forgotten = SPI_processed;
	if (named.attachment->nkeys == 1)
		forget_elsewhere(&named);
	SPI_finish();
	PG_RETURN_INT64(forgotten);
}

/* Wherever else we keep keys of contacts. */
static void
forget_elsewhere(const Named *named)
{
	static const char *const queries[] = {
		"DELETE FROM mkt.list_member AS m USING mkt.list AS o WHERE m.list = o.list AND m.key = $2",
		"DELETE FROM mkt.review_contact AS m USING mkt.review AS o WHERE m.review = o.review AND m.key = $2",
		"DELETE FROM mkt.enrollment AS m USING mkt.workflow AS o WHERE m.workflow = o.workflow AND m.key = $2",
		"DELETE FROM mkt.workflow_attempt AS m USING mkt.workflow AS o WHERE m.workflow = o.workflow AND m.key = $2",
		"DELETE FROM mkt.parked_contact AS o WHERE o.key = $2"
	};
	Oid			types[] = {OIDOID, TEXTOID, TEXTOID};
	Datum		values[] = {
		ObjectIdGetDatum(named->attachment->contacts),
		CStringGetTextDatum(mkt_account_text(named->types[0], named->values[0])), (Datum) 0
	};
	bool		by_account = mkt_key_needs_account(named->attachment);

	if (by_account)
		values[2] = CStringGetTextDatum(mkt_account_text(named->types[1], named->values[1]));
	for (size_t i = 0; i < lengthof(queries); i++)
		if (mkt_run_as_extension(psprintf("%s AND o.contacts = $1 AND ($3 IS NULL OR o.account = $3)", queries[i]),
								 lengthof(types), types, values, by_account ? "   " : "  n") != SPI_OK_DELETE)
			elog(ERROR, "could not forget a contact");
}

/*
 * mkt.set_history(contacts, enabled, kept).  Who is writing finishes first, and the
 * history begins after that, so that from its beginning on nothing is missing.
 */
Datum
mkt_set_history(PG_FUNCTION_ARGS)
{
	Oid			contacts;
	Datum		kept;
	MktRights	rights;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("contacts and enabled must not be null"),
				errhint("SELECT mkt.set_history('crm.contact', enabled => true, kept => '2 years');"));
	contacts = mkt_attachment_of(PG_GETARG_OID(0))->contacts;
	mkt_check_owner(contacts);
	kept = argument_kept(fcinfo);
	LockRelationOid(contacts, ShareRowExclusiveLock);
	find_all_inheritors(contacts, ShareRowExclusiveLock, NULL);

	SPI_connect();
	rights = mkt_act_as(mkt_extension_owner());
	if (SPI_execute_with_args("UPDATE mkt.attachment SET history_kept = CASE WHEN $4 THEN history_kept ELSE $3 END, "
							  "history_since = CASE WHEN $2 THEN COALESCE(history_since, $5) END "
							  "WHERE contacts OPERATOR(pg_catalog.=) $1",
							  5, (Oid[]) {OIDOID, BOOLOID, INTERVALOID, BOOLOID, TIMESTAMPTZOID},
							  (Datum[]) {ObjectIdGetDatum(contacts), PG_GETARG_DATUM(1),
										 kept, BoolGetDatum(PG_ARGISNULL(2)),
										 TimestampTzGetDatum(mkt_clock_is_held() ? mkt_now() : GetCurrentTimestamp())},
							  kept ? "     " : "  n  ", false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not set the history of a table");
	mkt_act_again_as(rights);
	SPI_finish();
	CacheInvalidateRelcacheByRelid(contacts);
	PG_RETURN_VOID();
}

/* An interval, or 0 for ever. */
static Datum
argument_kept(FunctionCallInfo fcinfo)
{
	Interval	none = {0};
	char	   *given;
	Datum		kept;

	if (PG_ARGISNULL(2))
		return (Datum) 0;
	given = text_to_cstring(PG_GETARG_TEXT_PP(2));
	if (pg_strcasecmp(given, "forever") == 0)
		return (Datum) 0;
	kept = DirectFunctionCall3(interval_in, CStringGetDatum(given), InvalidOid, Int32GetDatum(-1));
	if (!DatumGetBool(DirectFunctionCall2(interval_gt, kept, PointerGetDatum(&none))))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a history must be kept for some time"),
				errhint("kept => '2 years', kept => 'forever', or enabled => false for none."));
	return kept;
}

static Named
named_contact(FunctionCallInfo fcinfo, int account_argno)
{
	Named		named = {0};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("contacts and key must not be null"),
				errhint("SELECT * FROM mkt.history('crm.contact', 7);"));
	named.attachment = mkt_attachment_of(PG_GETARG_OID(0));
	mkt_check_may_read(named.attachment->contacts);
	named.table = mkt_attachment_table(named.attachment->contacts);
	named.history = mkt_qualified_name(named.table->history);
	named.is_new = mkt_change_post_for_reader();
	mkt_key_check_one(named.attachment, !PG_ARGISNULL(account_argno));
	named.nulls[2] = ' ';
	named.has_account = !PG_ARGISNULL(account_argno);
	named.contact = mkt_key_contact_condition(named.attachment, PG_GETARG_DATUM(1),
											  named.has_account ? PG_GETARG_DATUM(account_argno) : (Datum) 0,
											  named.types, named.values, named.nulls);
	named.key = named.attachment->nkeys == 1 ? "contact OPERATOR(pg_catalog.=) $1" :
		mkt_key_several(named.attachment, PG_GETARG_DATUM(1), NULL);
	named.condition = named.key;
	if (named.has_account)
		named.condition = psprintf("%s AND (account OPERATOR(pg_catalog.=) $2 OR from_account OPERATOR(pg_catalog.=) $2)",
								   named.key);
	return named;
}

/*
 * Under row-level security a contact's history is that of the contact that the
 * caller sees: not what another one with its key, or it in another account, has
 * been before.
 */
static bool
may_know(Named *named)
{
	const MktAttachment *attachment = named->attachment;
	Datum		account;
	bool		isnull;

	if (check_enable_rls(attachment->contacts, InvalidOid, true) != RLS_ENABLED)
		return true;
	if (!mkt_key_is_visible(attachment, named->contact, named->types, named->values,
							named->nulls, &account, &isnull))
		return false;
	if (isnull)
		named->condition = psprintf("%s AND account IS NULL", named->condition);
	else
	{
		named->values[1] = account;
		named->nulls[1] = ' ';
		named->has_account = true;
		named->condition = psprintf("%s AND account OPERATOR(pg_catalog.=) $2", named->condition);
	}
	named->condition = psprintf("%s AND change OPERATOR(pg_catalog.>) COALESCE((SELECT pg_catalog.max(change) FROM %s "
								"WHERE %s AND (until IS NULL OR account IS DISTINCT FROM $2)), 0)",
								named->condition, named->history, named->key);
	return true;
}

static void
run(Named *named, const char *query)
{
	MktRights	rights = mkt_act_as(mkt_extension_owner());
	int			nargs = OidIsValid(named->types[2]) ? 3 : 2;
	int			result;

	if (named->attachment->nkeys == 1)
		result = mkt_query_read(query, nargs, named->types, named->values, named->nulls,
								!named->is_new);
	else
		result = SPI_execute_with_args(query, nargs, named->types, named->values, named->nulls,
									   !named->is_new, 0);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not read a history");
	mkt_act_again_as(rights);
}

/* What the first row of a query on the history says, by one of its columns. */
static Found
find(Named *named, const char *query, const char *value)
{
	Found		found = {0};
	bool		isnull;

	run(named, psprintf(query, named->history, named->condition, value));
	if (SPI_processed == 0)
		return found;
	found.found = true;
	found.until = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
													1, &found.absent));
	found.change = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
											   2, &isnull));
	return found;
}

/*
 * What the contacts table says, with the caller's rights; of a contact that came
 * after another one's end only that it is there and has not been marketing.
 */
static Found
find_now(Named *named, bool came_later)
{
	const MktAttachment *attachment = named->attachment;
	Found		found = {0};

	if (SPI_execute_with_args(psprintf("SELECT CASE WHEN c.%s OPERATOR(pg_catalog.=) 'marketing' "
									   "THEN COALESCE(c.%s, 'infinity') ELSE '-infinity' END "
									   "FROM %s AS c WHERE %s",
									   mkt_attachment_column(attachment, attachment->status),
									   mkt_attachment_column(attachment, attachment->until),
									   mkt_qualified_name(attachment->contacts), named->contact),
							  2, named->types, named->values, named->nulls, true,
							  0) != SPI_OK_SELECT)
		elog(ERROR, "could not read a contact");
	if (SPI_processed > 0)
	{
		found.found = true;
		found.until = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0],
														SPI_tuptable->tupdesc, 1, &found.absent));
		if (came_later)
			found.until = DT_NOBEGIN;
	}
	return found;
}

static void
check_since(const Named *named, TimestampTz at)
{
	TimestampTz since = named->table->history_since;

	if (at >= since || at >= mkt_now())
		return;
	ereport(ERROR,
			errcode(ERRCODE_MKT_NO_HISTORY),
			errmsg("the contacts of table %s at %s are not known",
				   mkt_qualified_name(named->attachment->contacts),
				   pstrdup(timestamptz_to_str(at))),
			TIMESTAMP_IS_NOEND(since) ? errdetail("It keeps no history.") :
			errdetail("Its history begins at %s.", pstrdup(timestamptz_to_str(since))),
			errhint("SELECT contacts, history_since, history_kept FROM mkt.attachment;"));
}
