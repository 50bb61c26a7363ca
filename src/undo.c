/*-------------------------------------------------------------------------
 * undo.c
 *	  mkt.undo(): takes a batch back as one (rule W5).
 *
 * First the batch's contacts are locked, so that nobody touches them any more.
 * Then the history says what the batch did to each of them and whether somebody
 * has touched it since; that is read with the rights of the extension's owner.
 * One UPDATE, with the caller's rights, asks for what was before; the triggers
 * on the table do the work.  What the rules do not allow stays: nobody becomes
 * non-marketing at once (T8), and an update date that has passed is past.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/queryenvironment.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

/* Rows that are fetched at a time. */
#define FETCH 10000

/* What became of the contacts of a batch, in the order of the report. */
enum
{
	UNDO_RESTORED, UNDO_PENDING, UNDO_CHANGED_SINCE, UNDO_TOO_LATE, UNDO_GONE,
	UNDO_OUTCOMES
};

static void check_argument(FunctionCallInfo fcinfo);
static Oid	contacts_of(int64 batch, TimestampTz *begun);
static void check_history(const MktAttachedTable *table, int64 batch, TimestampTz begun);
static char *keys(const MktAttachment *attachment, const char *format,
				  const char *separator);
static void lock_contacts(const MktAttachment *attachment, const char *history,
						  int64 batch, TimestampTz begun);
static char *join(const MktAttachment *attachment);
static char *query_changes(const MktAttachment *attachment, const char *history);
static EphemeralNamedRelation fetch(const char *query, int64 batch, TimestampTz begun);
static void release(EphemeralNamedRelation relation);
static void update(const MktAttachment *attachment, int64 total,
				   int64 outcome[UNDO_OUTCOMES], int64 reported[MKT_OUTCOMES]);
static int64 number_of(int column);
static char *query_update(const MktAttachment *attachment);

PG_FUNCTION_INFO_V1(mkt_undo);
PG_FUNCTION_INFO_V1(mkt_find_batches);

/* mkt.undo(batch) */
Datum
mkt_undo(PG_FUNCTION_ARGS)
{
	int64		batch;
	int64		outcome[UNDO_OUTCOMES] = {0};
	int64		reported[MKT_OUTCOMES] = {0};
	Datum		values[1 + UNDO_OUTCOMES];
	bool		nulls[1 + UNDO_OUTCOMES] = {false};
	MktBatchCall before;
	int64		undo;
	TimestampTz begun;
	Oid			contacts;
	const MktAttachment *attachment;
	MktAttachedTable *table;
	const char *history;
	EphemeralNamedRelation changes;
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	check_argument(fcinfo);
	batch = PG_GETARG_INT64(0);
	SPI_connect();
	contacts = contacts_of(batch, &begun);
	attachment = mkt_attachment_of(contacts);
	table = mkt_attachment_table(contacts);
	mkt_key_check_rights(contacts);
	check_history(table, batch, begun);
	history = mkt_qualified_name(table->history);
	mkt_change_post();
	lock_contacts(attachment, history, batch, begun);
	changes = fetch(query_changes(attachment, history), batch, begun);

	before = mkt_batch_begin(contacts, false, &undo);
	PG_TRY();
	{
		update(attachment, tuplestore_tuple_count(changes->reldata), outcome, reported);
	}
	PG_FINALLY();
	{
		mkt_batch_end(before);
	}
	PG_END_TRY();
	release(changes);
	mkt_batch_report(undo, contacts, false, psprintf("undo of %lld", (long long) batch), reported,
					 (Datum) 0, (Datum) 0);
	SPI_finish();

	values[0] = Int64GetDatum(undo);
	for (int i = 0; i < UNDO_OUTCOMES; i++)
		values[1 + i] = Int64GetDatum(outcome[i]);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* mkt.find_batches(label, contacts) */
Datum
mkt_find_batches(PG_FUNCTION_ARGS)
{
	Oid			contacts = InvalidOid;
	MktRights	rights;

	check_argument(fcinfo);
	if (!PG_ARGISNULL(1))
		contacts = mkt_attachment_of(PG_GETARG_OID(1))->contacts;
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	rights = mkt_act_as(mkt_extension_owner());
	if (SPI_execute_with_args("SELECT DISTINCT batch, contacts FROM mkt.batch_report WHERE label OPERATOR(pg_catalog.=) $1 "
							  "AND COALESCE(contacts::pg_catalog.oid OPERATOR(pg_catalog.=) $2, true) ORDER BY batch",
							  2, (Oid[]) {TEXTOID, OIDOID},
							  (Datum[]) {PG_GETARG_DATUM(0), ObjectIdGetDatum(contacts)},
							  PG_ARGISNULL(1) ? " n" : "  ", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read mkt.batch_report");
	mkt_act_again_as(rights);
	if (SPI_processed == 0)
		ereport(ERROR,
				errcode(ERRCODE_NO_DATA_FOUND),
				errmsg("there is no batch named \"%s\"", TextDatumGetCString(PG_GETARG_DATUM(0))),
				PG_ARGISNULL(1) ? 0 :
				errdetail("Table %s has none.", mkt_qualified_name(contacts)),
				errhint("SELECT batch, contacts, label, set_by, set_at FROM mkt.batch WHERE label IS NOT NULL;"));
	mkt_query_return(fcinfo);
	SPI_finish();
	return (Datum) 0;
}

static void
check_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("a batch must be named, by its number or its label"),
				errhint("SELECT * FROM mkt.undo(12); or SELECT * FROM mkt.undo('spring 2026');"));
}

static Oid
contacts_of(int64 batch, TimestampTz *begun)
{
	MktRights	rights = mkt_act_as(mkt_extension_owner());
	Oid			contacts;
	bool		isnull;

	if (SPI_execute_with_args("SELECT contacts::pg_catalog.oid, pg_catalog.min(set_at) FROM mkt.batch_report "
							  "WHERE batch OPERATOR(pg_catalog.=) $1 GROUP BY contacts",
							  1, (Oid[]) {INT8OID}, (Datum[]) {Int64GetDatum(batch)}, NULL,
							  false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read mkt.batch_report");
	if (SPI_processed == 0)
		ereport(ERROR,
				errcode(ERRCODE_NO_DATA_FOUND),
				errmsg("there is no batch %lld", (long long) batch),
				errhint("SELECT batch, contacts, label, action, set_by, set_at, changed FROM mkt.batch;"));
	contacts = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
											  1, &isnull));
	*begun = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
											   2, &isnull));
	mkt_act_again_as(rights);
	return contacts;
}

static void
check_history(const MktAttachedTable *table, int64 batch, TimestampTz begun)
{
	if (begun >= table->history_since)
		return;
	ereport(ERROR,
			errcode(ERRCODE_MKT_NO_HISTORY),
			errmsg("what batch %lld changed is not known", (long long) batch),
			TIMESTAMP_IS_NOEND(table->history_since) ?
			errdetail("Table %s keeps no history.", mkt_qualified_name(table->contacts)) :
			errdetail("The history of table %s begins at %s.",
					  mkt_qualified_name(table->contacts),
					  timestamptz_to_str(table->history_since)),
			TIMESTAMP_IS_NOEND(table->history_since) ?
			errhint("SELECT mkt.set_history(%s); makes later batches ready to be undone.",
					quote_literal_cstr(mkt_qualified_name(table->contacts))) : 0);
}

/*
 * Who holds a contact just now may be touching it: that has to be over before
 * the history is asked, by a newer snapshot.
 */
static void
lock_contacts(const MktAttachment *attachment, const char *history, int64 batch,
			  TimestampTz begun)
{
	char	   *key = keys(attachment, "%s", ", ");
	EphemeralNamedRelation contacts =
	fetch(psprintf("SELECT DISTINCT %s FROM %s WHERE batch OPERATOR(pg_catalog.=) $1", key, history),
		  batch, begun);

	if (SPI_execute(psprintf("WITH locked AS MATERIALIZED (SELECT FROM %s AS c JOIN undone AS u ON %s ORDER BY %s FOR NO KEY UPDATE OF c) "
							 "SELECT pg_catalog.count(*) FROM locked",
							 mkt_qualified_name(attachment->contacts), join(attachment),
							 keys(attachment, "u.%s", ", ")), false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not lock the contacts of a batch");
	release(contacts);
}

/* That a contact, called c, is that of a row of the history, called u. */
static char *
join(const MktAttachment *attachment)
{
	StringInfoData condition;

	initStringInfo(&condition);
	for (int i = 0; i < attachment->nkeys; i++)
		appendStringInfo(&condition, "%sc.%s OPERATOR(pg_catalog.=) u.%s", i ? " AND " : "",
						 mkt_attachment_column(attachment, attachment->keys[i]),
						 mkt_satellite_key(i));
	if (mkt_key_needs_account(attachment))
		appendStringInfo(&condition, " AND c.%s OPERATOR(pg_catalog.=) u.account",
						 mkt_attachment_column(attachment, attachment->account));
	return condition.data;
}

/*
 * Each contact of the batch ($1): what it was before the batch and is after it,
 * and whether something else has changed it since.  That its update date passed
 * or was moved is nobody's doing.
 */
static char *
query_changes(const MktAttachment *attachment, const char *history)
{
	char	   *key = keys(attachment, "%s", ", ");
	char	   *same = keys(attachment, "f.%1$s OPERATOR(pg_catalog.=) l.%1$s", " AND ");
	char	   *same_later = keys(attachment, "h.%1$s OPERATOR(pg_catalog.=) l.%1$s", " AND ");
	char	   *shown = keys(attachment, "l.%s", ", ");
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfo(&query,
					 "WITH mine AS MATERIALIZED (SELECT * FROM %1$s WHERE batch OPERATOR(pg_catalog.=) $1), "
					 "first AS (SELECT DISTINCT ON (%2$s) %2$s, from_source_type, from_source_name, "
					 "CASE WHEN was OPERATOR(pg_catalog.>) effective_at THEN was ELSE '-infinity' END AS was "
					 "FROM mine ORDER BY %2$s, change), "
					 "last AS (SELECT DISTINCT ON (%2$s) %2$s, until, change FROM mine ORDER BY %2$s, change DESC) ",
					 history, key);
	appendStringInfo(&query,
					 "SELECT %s, f.was, f.from_source_type, f.from_source_name, l.until, EXISTS ("
					 "SELECT FROM %s AS h WHERE %s AND h.changed_at OPERATOR(pg_catalog.>=) $2 "
					 "AND h.change OPERATOR(pg_catalog.>) l.change AND h.batch IS DISTINCT FROM $1 "
					 "AND (h.moved OR NOT COALESCE(pg_catalog.isfinite(h.was) AND h.until OPERATOR(pg_catalog.<) 'infinity', false))"
					 ") AS touched FROM first AS f JOIN last AS l ON %s",
					 shown, history, same_later, same);
	return query.data;
}

/* The columns of the history by which contacts are told apart, each in a format. */
static char *
keys(const MktAttachment *attachment, const char *format, const char *separator)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < attachment->nkeys; i++)
		appendStringInfo(&list, "%s%s", i ? separator : "",
						 psprintf(format, mkt_satellite_key(i)));
	if (mkt_key_needs_account(attachment))
		appendStringInfo(&list, "%s%s", separator, psprintf(format, "account"));
	return list.data;
}

/*
 * The result of a query with the parameters batch and instant, for the next
 * query to see as a relation; the caller releases it.
 */
static EphemeralNamedRelation
fetch(const char *query, int64 batch, TimestampTz begun)
{
	EphemeralNamedRelation relation = palloc0(sizeof(EphemeralNamedRelationData));
	MktRights	rights = mkt_act_as(mkt_extension_owner());
	Portal		portal = SPI_cursor_open_with_args(NULL, query, 2,
												   (Oid[]) {INT8OID, TIMESTAMPTZOID},
												   (Datum[]) {Int64GetDatum(batch), TimestampTzGetDatum(begun)},
												   NULL, false, 0);
	Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);

	do
	{
		SPI_cursor_fetch(portal, true, FETCH);
		if (relation->md.tupdesc == NULL)
			relation->md.tupdesc = CreateTupleDescCopy(SPI_tuptable->tupdesc);
		for (uint64 i = 0; i < SPI_processed; i++)
			tuplestore_puttuple(rows, SPI_tuptable->vals[i]);
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	SPI_cursor_close(portal);
	mkt_act_again_as(rights);

	relation->md.name = "undone";
	relation->md.enrtype = ENR_NAMED_TUPLESTORE;
	relation->md.enrtuples = tuplestore_tuple_count(rows);
	relation->reldata = rows;
	SPI_register_relation(relation);
	return relation;
}

static void
release(EphemeralNamedRelation relation)
{
	SPI_unregister_relation(relation->md.name);
	tuplestore_end(relation->reldata);
}

/* Contacts that need no change for it are none that the undo has changed. */
static void
update(const MktAttachment *attachment, int64 total, int64 outcome[UNDO_OUTCOMES],
	   int64 reported[MKT_OUTCOMES])
{
	if (SPI_execute_with_args(query_update(attachment), 1, (Oid[]) {TIMESTAMPTZOID},
							  (Datum[]) {TimestampTzGetDatum(mkt_now())}, NULL, false,
							  0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not undo a batch");
	outcome[UNDO_GONE] = total;
	for (int i = 0; i < UNDO_GONE; i++)
	{
		outcome[i] = number_of(i + 1);
		outcome[UNDO_GONE] -= outcome[i];
	}
	reported[MKT_CHANGED] = number_of(UNDO_GONE + 1);
	reported[MKT_STAYS_PENDING] = number_of(UNDO_GONE + 2);
	reported[MKT_ALREADY] = number_of(UNDO_GONE + 3);
}

static int64
number_of(int column)
{
	bool		isnull;

	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
									   column, &isnull));
}

/*
 * $1 now.  By what a contact was and what it is: one that was marketing and is
 * pending is marketing again, one that was pending and is marketing is pending
 * again; one that the batch promoted becomes pending, or is.
 */
static char *
query_update(const MktAttachment *attachment)
{
	const char *name = mkt_qualified_name(attachment->contacts);
	const char *status = mkt_attachment_column(attachment, attachment->status);
	const char *flag = mkt_attachment_column(attachment, attachment->flag);
	const char *until = mkt_attachment_column(attachment, attachment->until);
	const char *same = join(attachment);
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfo(&query,
					 "WITH found AS MATERIALIZED (SELECT %s, u.touched, u.was, u.until, u.from_source_type, u.from_source_name, "
					 "CASE WHEN c.%s OPERATOR(pg_catalog.<>) 'marketing' OR c.%s OPERATOR(pg_catalog.<=) $1 THEN 'N' "
					 "WHEN c.%s THEN 'P' ELSE 'M' END AS state "
					 "FROM %s AS c JOIN undone AS u ON %s ORDER BY 1 FOR NO KEY UPDATE OF c), ",
					 keys(attachment, "u.%s", ", "), status, until, flag, name, same);
	appendStringInfoString(&query,
						   "outcome AS MATERIALIZED (SELECT *, CASE WHEN touched THEN 'changed since' "
						   "WHEN state OPERATOR(pg_catalog.=) 'N' AND was OPERATOR(pg_catalog.>) '-infinity' THEN 'too late' "
						   "WHEN was OPERATOR(pg_catalog.=) 'infinity' OR was OPERATOR(pg_catalog.>) $1 "
						   "OR state OPERATOR(pg_catalog.=) 'N' THEN 'restored' "
						   "ELSE 'pending' END AS outcome, "
						   "was OPERATOR(pg_catalog.=) 'infinity' AND state OPERATOR(pg_catalog.=) 'P' AS up, "
						   "COALESCE(was OPERATOR(pg_catalog.<) 'infinity', true) AND state OPERATOR(pg_catalog.=) 'M' AS down "
						   "FROM found), ");
	appendStringInfo(&query,
					 "changed AS (UPDATE %s AS c SET %s = 'marketing', %s = NOT u.up, %s = u.from_source_type, %s = u.from_source_name "
					 "FROM outcome AS u WHERE %s AND (u.up OR u.down OR u.outcome OPERATOR(pg_catalog.=) 'pending') AND NOT u.touched RETURNING u.up OR u.down AS changed) ",
					 name, status, flag,
					 mkt_attachment_column(attachment, attachment->source_type),
					 mkt_attachment_column(attachment, attachment->source_name),
					 same);
	appendStringInfoString(&query,
						   "SELECT pg_catalog.count(*) FILTER (WHERE outcome OPERATOR(pg_catalog.=) 'restored'), "
						   "pg_catalog.count(*) FILTER (WHERE outcome OPERATOR(pg_catalog.=) 'pending'), "
						   "pg_catalog.count(*) FILTER (WHERE outcome OPERATOR(pg_catalog.=) 'changed since'), "
						   "pg_catalog.count(*) FILTER (WHERE outcome OPERATOR(pg_catalog.=) 'too late'), "
						   "(SELECT pg_catalog.count(*) FILTER (WHERE changed) FROM changed), "
						   "(SELECT pg_catalog.count(*) FILTER (WHERE NOT changed) FROM changed), "
						   "pg_catalog.count(*) FILTER (WHERE outcome OPERATOR(pg_catalog.=) 'restored' AND NOT up AND NOT down) "
						   "FROM outcome");
	return query.data;
}
