/*-------------------------------------------------------------------------
 * upgrade.c
 *	  What the scripts of ALTER EXTENSION ... UPDATE do with attached tables.
 *
 * Their first command waits for those who are writing contacts, with the library
 * of the version before, and lets no others write until the upgrade is there for
 * all to see; these then find that they need another library.  The locks come
 * before those on the extension's own tables, as they do for writers.  The last
 * command brings the tables to their present form.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

static void lock_table(Oid contacts);

PG_FUNCTION_INFO_V1(mkt_lock_tables);
PG_FUNCTION_INFO_V1(mkt_renew_tables);

/*
 * mkt.lock_tables().  mkt.attachment may still have its older columns.  Who writes
 * mkt.account goes on to contacts.
 */
Datum
mkt_lock_tables(PG_FUNCTION_ARGS)
{
	LockRelationOid(mkt_relation("account"), ShareRowExclusiveLock);
	SPI_connect();
	if (SPI_execute("SELECT a.contacts::pg_catalog.oid FROM mkt.attachment AS a "
					"JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) a.contacts ORDER BY c.oid",
					true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read mkt.attachment");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;

		lock_table(DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i],
												  SPI_tuptable->tupdesc, 1, &isnull)));
	}
	CacheInvalidateRelcacheByRelid(mkt_relation("attachment"));
	SPI_finish();
	PG_RETURN_VOID();
}

/* With its partitions, into which some write directly. */
static void
lock_table(Oid contacts)
{
	ListCell   *cell;

	LockRelationOid(contacts, ShareRowExclusiveLock);
	if (get_rel_name(contacts) == NULL)
		return;					/* LCOV_EXCL_LINE: dropped meanwhile */
	foreach(cell, find_all_inheritors(contacts, ShareRowExclusiveLock, NULL))
		CacheInvalidateRelcacheByRelid(lfirst_oid(cell));
}

/* mkt.renew_tables().  Of several scripts the last one does it. */
Datum
mkt_renew_tables(PG_FUNCTION_ARGS)
{
	ListCell   *cell;

	if (!mkt_version_is_reached())
		PG_RETURN_VOID();
	SPI_connect();
	foreach(cell, mkt_attachment_list())
	{
		MktAttachedTable *table = lfirst(cell);

		if (table->structure < MKT_STRUCTURE && get_rel_name(table->contacts) != NULL)
			mkt_attach_renew(table);
	}
	SPI_finish();
	PG_RETURN_VOID();
}
