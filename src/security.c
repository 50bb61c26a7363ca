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
#include "miscadmin.h"
#include "utils/acl.h"
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

/* Who may read a contacts table, or a column of it, may know what is kept of it. */
void
mkt_check_may_read(Oid relid)
{
	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(relid, GetUserId(), ACL_SELECT,
								  ACLMASK_ANY) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(relid));
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

void
mkt_act_again_as(MktRights rights)
{
	SetUserIdAndSecContext(rights.user, rights.context);
}
