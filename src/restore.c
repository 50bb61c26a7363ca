/*-------------------------------------------------------------------------
 * restore.c
 *	  Tables of the extension whose rows a dump brings.
 *
 * They have their foreign keys and triggers from CREATE EXTENSION on, but
 * pg_restore -j brings their rows in any order, and a row may refer to one that
 * comes later.  So nothing of that is looked at while rows come from a dump, as
 * for tables that a dump creates; only what says otherwise, by ENABLE ALWAYS,
 * puts rows in the place of those that shipped.
 *
 * pg_dump begins each of its scripts, and pg_restore each of its sessions, with
 * check_function_bodies = off, by which a restore is known.
 *
 * Contacts of a dump's data alone meet their triggers.  Those stay out: the counts
 * and the history come with the same dump, and what comes without them is counted
 * by the next mkt.run().
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "compat.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/rls.h"

static void set_role(int role);

PG_FUNCTION_INFO_V1(mkt_restoring);

/* Whether rows come from a dump. */
bool
mkt_restore_runs(void)
{
	return !check_function_bodies;
}

/*
 * Whether rows of a contacts table come from a dump.  Its owner, who could
 * disable its triggers, is believed that; and pg_dump switches row security off.
 */
bool
mkt_restore_fills(Oid relid)
{
	return mkt_restore_runs() && !row_security && mkt_class_owned_by(relid, GetUserId());
}

/* For mkt.run(): rows have come that nobody counted. */
void
mkt_restore_note(Oid contacts)
{
	static Oid	noted = InvalidOid;
	static LocalTransactionId noted_by = InvalidLocalTransactionId;

	if (noted == contacts && noted_by == mkt_local_transaction())
		return;
	SPI_connect();
	mkt_run_as_extension("UPDATE mkt.table_check SET suspect = '" MKT_RESTORED "' WHERE contacts = $1",
						 1, (Oid[]) {OIDOID}, (Datum[]) {ObjectIdGetDatum(contacts)}, NULL);
	SPI_finish();
	noted = contacts;
	noted_by = mkt_local_transaction();
}

/* Before and after each statement that inserts. */
Datum
mkt_restoring(PG_FUNCTION_ARGS)
{
	static int	role_before = SESSION_REPLICATION_ROLE_ORIGIN;
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_MKT_WRONG_CALL),
				errmsg("mkt.restoring() is the trigger function of tables that a dump fills"));
	if (!mkt_restore_runs())
		return PointerGetDatum(NULL);
	if (TRIGGER_FIRED_AFTER(trigger->tg_event))
	{
		set_role(role_before);
		return PointerGetDatum(NULL);
	}
	/* one table after the other: they all may note a row in mkt.shipping */
	LockRelationOid(mkt_relation("shipping"), ShareRowExclusiveLock);
	role_before = SessionReplicationRole;
	set_role(SESSION_REPLICATION_ROLE_REPLICA);
	return PointerGetDatum(NULL);
}

/* Until the end of the transaction, or until it is set again. */
static void
set_role(int role)
{
	set_config_option("session_replication_role",
					  role == SESSION_REPLICATION_ROLE_REPLICA ? "replica" :
					  role == SESSION_REPLICATION_ROLE_LOCAL ? "local" : "origin",
					  PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}
