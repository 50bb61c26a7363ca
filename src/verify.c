/*-------------------------------------------------------------------------
 * verify.c
 *	  mkt.verify() and mkt.repair(): the counts against the contacts.
 *
 * Contacts and counts are read by one query and so in one snapshot.  What they
 * differ by in it is a constant: added to the counts it makes them right
 * whatever has been written meanwhile, without stopping a writer.  Counting the
 * non-marketing contacts of a table that was just attached is the same.
 *
 * Some readers pass by what a seal says, others read all: a row that makes these
 * differ is a difference, too, until mkt.repair() has had it taken in.
 *
 * A table's counts are corrected by one session at a time, and by a snapshot
 * taken after the last one had finished.
 *-------------------------------------------------------------------------
 */
#include "count.h"

#include "access/table.h"
#include "access/xact.h"
#include "errors.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

static char *contacts_counted(const MktAttachment *attachment, bool by_status);
static char *counts(Oid count_table);
static void compare(const char *query);
static void return_rows(ReturnSetInfo *result, Oid contacts);
static void lock_counts(Oid count_table);
static void mark_counted(Oid contacts);

PG_FUNCTION_INFO_V1(mkt_verify);
PG_FUNCTION_INFO_V1(mkt_repair);

/* mkt.verify(): every count that differs from a recount. */
Datum
mkt_verify(PG_FUNCTION_ARGS)
{
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	foreach(cell, mkt_attachment_list())
	{
		MktAttachedTable *table = lfirst(cell);

		mkt_verify_compare(table);
		return_rows((ReturnSetInfo *) fcinfo->resultinfo, table->contacts);
	}
	SPI_finish();
	return (Datum) 0;
}

/* mkt.repair(contacts): the same, mended. */
Datum
mkt_repair(PG_FUNCTION_ARGS)
{
	Oid			contacts = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);
	ListCell   *cell;

	PreventCommandDuringRecovery("mkt.repair()");
	if (OidIsValid(contacts))
		contacts = mkt_attachment_of(contacts)->contacts;
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	foreach(cell, mkt_attachment_list())
	{
		MktAttachedTable *table = lfirst(cell);

		if (OidIsValid(contacts) && table->contacts != contacts)
			continue;
		mkt_check_owner(table->contacts);
		table->counted = true;
		mkt_verify_repair(table);
		return_rows((ReturnSetInfo *) fcinfo->resultinfo, table->contacts);
		mkt_drift_mended(table);
	}
	SPI_finish();
	return (Datum) 0;
}

/* Makes a table's counts right, and leaves what they differed by in SPI_tuptable. */
void
mkt_verify_repair(const MktAttachedTable *table)
{
	SPITupleTable *rows;
	uint64		nrows;

	lock_counts(table->count_table);
	mkt_verify_compare(table);
	rows = SPI_tuptable;
	nrows = SPI_processed;
	if (nrows > 0)
	{
		mkt_seal_take_in(table->count_table);
		mkt_verify_compare(table);
		mkt_count_correct(table->count_table, SPI_tuptable, SPI_processed);
	}
	mark_counted(table->contacts);
	SPI_tuptable = rows;
	SPI_processed = nrows;
}

/*
 * Counts the non-marketing contacts that a table had when it was attached: all
 * its contacts less those that its counts know to be marketing.
 */
void
mkt_verify_count(const MktAttachedTable *table)
{
	MktAttachment *attachment = mkt_attachment_of(table->contacts);
	StringInfoData query;

	lock_counts(table->count_table);
	initStringInfo(&query);
	appendStringInfo(&query,
					 "SELECT account, CASE WHEN account IS NOT NULL THEN format('%%s', account) END, '-infinity'::timestamptz, "
					 "sum(actual)::int8, sum(counted)::int8 "
					 "FROM (%s UNION ALL SELECT account, until, 0, n FROM %s) AS c "
					 "GROUP BY account HAVING sum(actual) <> sum(counted)",
					 contacts_counted(attachment, false), counts(table->count_table));
	compare(query.data);
	mkt_count_correct(table->count_table, SPI_tuptable, SPI_processed);
	mark_counted(table->contacts);
}

/* Leaves the differences of one table in SPI_tuptable. */
void
mkt_verify_compare(const MktAttachedTable *table)
{
	MktAttachment *attachment = mkt_attachment_of(table->contacts);
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfo(&query,
					 "SELECT account, CASE WHEN account IS NOT NULL THEN format('%%s', account) END, until, "
					 "sum(actual)::int8, CASE sum(counted) WHEN sum(actual) THEN sum(read) ELSE sum(counted) END::int8 "
					 "FROM (SELECT *, 0 AS read FROM (%s) AS actual UNION ALL SELECT account, until, 0, n, read FROM %s) AS c%s "
					 "GROUP BY account, until HAVING sum(actual) <> sum(counted) OR sum(actual) <> sum(read) "
					 "ORDER BY 2, 3",
					 contacts_counted(attachment, true), counts(table->count_table),
					 table->counted ? "" :
					 " WHERE until > '-infinity'");
	compare(query.data);
}

static void
compare(const char *query)
{
	int			nestlevel = mkt_fix_search_path();
	MktRights	rights = mkt_act_as(mkt_extension_owner());

	if (SPI_execute(query, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not recount contacts");
	mkt_act_again_as(rights);
	AtEOXact_GUC(false, nestlevel);
}

/* The query that counts the contacts, by account or by account and instant. */
static char *
contacts_counted(const MktAttachment *attachment, bool by_status)
{
	StringInfoData query;
	char	   *account;

	account = attachment->account ?
		mkt_attachment_column(attachment, attachment->account) :
		quote_literal_cstr(TextDatumGetCString(attachment->constant_account));
	initStringInfo(&query);
	appendStringInfo(&query, "SELECT %s%s AS account, ", account,
					 attachment->account ? "" : "::text");
	if (by_status)
		appendStringInfo(&query,
						 "CASE WHEN %s = 'marketing' THEN COALESCE(%s, 'infinity') "
						 "ELSE '-infinity' END AS until, ",
						 mkt_attachment_column(attachment, attachment->status),
						 mkt_attachment_column(attachment, attachment->until));
	else
		appendStringInfoString(&query, "NULL::timestamptz AS until, ");
	appendStringInfo(&query,
					 "count(*) AS actual, 0 AS counted FROM %s%s GROUP BY 1, 2",
					 get_rel_relkind(attachment->contacts) == RELKIND_RELATION ? "ONLY " : "",
					 mkt_qualified_name(attachment->contacts));
	return query.data;
}

/*
 * The counts as a subquery, with what this transaction has not written yet; of
 * contacts that are there.  The column read is what is left to those who heed seals.
 */
static char *
counts(Oid count_table)
{
	const char *name = mkt_qualified_name(count_table);

	return psprintf("(SELECT m.account, i.until, i.n, CASE WHEN m.passed_by THEN 0 ELSE i.n END AS read FROM ("
					"SELECT c.account, c.was, c.until, c.n, p.tid IS NOT NULL AS passed_by "
					"FROM ONLY %s AS c LEFT JOIN (%s) AS p (tid) ON p.tid = c.ctid WHERE NOT c.deleted UNION ALL "
					"SELECT account_name::%s, was, until, n, false FROM mkt.unposted() "
					"WHERE count_table = %u AND NOT deleted) AS m "
					"CROSS JOIN LATERAL (VALUES (m.until, m.n), (m.was, - m.n)) AS i (until, n) "
					"WHERE i.until IS NOT NULL) AS n",
					name, mkt_seal_passed_by(name),
					format_type_be_qualified(mkt_count_account_type(count_table)),
					count_table);
}

static void
return_rows(ReturnSetInfo *result, Oid contacts)
{
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum		values[5];
		bool		nulls[5];

		CHECK_FOR_INTERRUPTS();
		mkt_verify_difference(contacts, SPI_tuptable, i, values, nulls);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* One of the differences that mkt_verify_compare() has found, as a row of mkt.difference. */
void
mkt_verify_difference(Oid contacts, SPITupleTable *rows, uint64 i, Datum *values,
					  bool *nulls)
{
	static const int columns[] = {2, 3, 5, 4};

	values[0] = ObjectIdGetDatum(contacts);
	nulls[0] = false;
	for (size_t j = 0; j < lengthof(columns); j++)
		values[1 + j] = SPI_getbinval(rows->vals[i], rows->tupdesc, columns[j], &nulls[1 + j]);
}

/* Writers of counts do not notice this lock. */
static void
lock_counts(Oid count_table)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				errmsg("contacts are counted in READ COMMITTED transactions only"),
				errdetail("The snapshot of this transaction may be older than the last correction of the counts."),
				errhint("BEGIN ISOLATION LEVEL READ COMMITTED;"));
	LockRelationOid(count_table, ShareUpdateExclusiveLock);
}

static void
mark_counted(Oid contacts)
{
	MktRights	rights = mkt_act_as(mkt_extension_owner());

	if (SPI_execute_with_args("UPDATE mkt.attachment SET counted = true WHERE contacts OPERATOR(pg_catalog.=) $1 AND NOT counted",
							  1, (Oid[]) {OIDOID}, (Datum[]) {ObjectIdGetDatum(contacts)},
							  NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not note that contacts are counted");
	mkt_act_again_as(rights);
}
