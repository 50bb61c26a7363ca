/*-------------------------------------------------------------------------
 * subscription.c
 *	  Attached tables that a subscription of a logical replication fills.
 *
 * Replicated rows fire only triggers that are enabled ALWAYS.  Ours are enabled
 * in the ordinary way, because whoever else copies contacts row by row brings
 * their counts along; those of a subscribed table become ALWAYS, before the
 * subscription's initial copy begins.  mkt_10_state believes replicated rows.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_subscription_rel.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

static bool any_subscribed(void);
static List *unfollowed(Oid contacts);

/* Lets replicated rows fire the triggers of a table, or of all; within SPI. */
void
mkt_subscription_follow(Oid contacts)
{
	ListCell   *cell;

	foreach(cell, unfollowed(contacts))
	{
		MktRights	rights = mkt_act_as(mkt_owner_of(lfirst_oid(cell)));

		mkt_query_run("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s, ENABLE ALWAYS TRIGGER %s, ENABLE ALWAYS TRIGGER %s, "
					  "ENABLE ALWAYS TRIGGER %s, ENABLE ALWAYS TRIGGER %s",
					  mkt_qualified_name(lfirst_oid(cell)), MKT_TRIGGER_STATE, MKT_TRIGGER_COUNT,
					  MKT_TRIGGER_RECOUNT, MKT_TRIGGER_POST, MKT_TRIGGER_TRUNCATE);
		mkt_act_again_as(rights);
	}
}

bool
mkt_subscription_is_unfollowed(Oid contacts)
{
	return unfollowed(contacts) != NIL;
}

/* Whether a subscription fills a table, or one of its partitions. */
bool
mkt_subscription_fills(Oid contacts)
{
	if (!any_subscribed())
		return false;
	mkt_run_as_extension("SELECT FROM mkt.subscribed_tables() AS t WHERE t.contacts = $1",
						 1, (Oid[]) {OIDOID}, (Datum[]) {ObjectIdGetDatum(contacts)}, NULL);
	return SPI_processed > 0;
}

/* Mostly none is, and that is soon seen. */
static bool
any_subscribed(void)
{
	Relation	rel = table_open(SubscriptionRelRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	bool		any = HeapTupleIsValid(systable_getnext(scan));

	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return any;
}

/* The same table, or all, where replicated rows do not fire them. */
static List *
unfollowed(Oid contacts)
{
	List	   *tables = NIL;
	bool		isnull;

	if (!any_subscribed())
		return NIL;
	mkt_run_as_extension("SELECT t.contacts::pg_catalog.oid FROM mkt.subscribed_tables() AS t WHERE NOT t.follows AND $1 IN (0, t.contacts::pg_catalog.oid)",
						 1, (Oid[]) {OIDOID}, (Datum[]) {ObjectIdGetDatum(contacts)}, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
		tables = lappend_oid(tables, DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i],
																	SPI_tuptable->tupdesc, 1, &isnull)));
	return tables;
}
