/*-------------------------------------------------------------------------
 * security.c
 *	  With whose rights something runs, and where the extension's own objects
 *	  are.
 *
 * What reads or writes a user's table on behalf of the schedule or of another
 * table runs as that table's owner and in a security-restricted operation, as
 * PostgreSQL's own maintenance does; what reads or writes the extension's
 * tables runs as the extension's owner.  Errors restore the rights by
 * themselves, at the end of the (sub)transaction.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "compat.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

Oid
mkt_schema(void)
{
	return get_namespace_oid("mkt", false);
}

/* One of the extension's own tables, by name. */
Oid
mkt_relation(const char *name)
{
	Oid			relid = get_relname_relid(name, mkt_schema());

	if (!OidIsValid(relid))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("table mkt.%s does not exist", name),
				errhint("CREATE EXTENSION mktcontacts;"));
	return relid;
}

Oid
mkt_extension_owner(void)
{
	HeapTuple	tuple = SearchSysCache1(NAMESPACEOID,
										ObjectIdGetDatum(mkt_schema()));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for schema mkt");
	owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	return owner;
}

Oid
mkt_owner_of(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("table with OID %u does not exist", relid));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* Maintenance of a table is its owner's business. */
void
mkt_check_owner(Oid relid)
{
	if (!mkt_class_owned_by(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));
}

/* Takes a role's rights until they are given back. */
MktRights
mkt_act_as(Oid role)
{
	MktRights	before;

	GetUserIdAndSecContext(&before.user, &before.context);
	SetUserIdAndSecContext(role, before.context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION |
						   SECURITY_NOFORCE_RLS);
	return before;
}

/*
 * Names and operators of a text mean what they say, whatever search path the
 * caller has.  Returns what AtEOXact_GUC() takes to end that.
 */
int
mkt_restrict_search_path(void)
{
	int			nestlevel = NewGUCNestLevel();

	set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
					  PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return nestlevel;
}

void
mkt_act_again_as(MktRights rights)
{
	SetUserIdAndSecContext(rights.user, rights.context);
}

/*
 * Runs a query on the extension's own tables.  As its owner is a superuser, no
 * operator of the caller's may slip in.
 */
int
mkt_run_as_extension(const char *query, int nparams, Oid *types, Datum *values,
					 const char *nulls)
{
	int			nestlevel = mkt_restrict_search_path();
	MktRights	rights = mkt_act_as(mkt_extension_owner());
	int			result = SPI_execute_with_args(query, nparams, types, values, nulls,
											   false, 0);

	mkt_act_again_as(rights);
	AtEOXact_GUC(true, nestlevel);
	return result;
}
