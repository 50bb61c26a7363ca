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
#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/primnodes.h"
#include "rewrite/rowsecurity.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/syscache.h"

/* On whose behalf something runs, when that is another than who called it. */
static Oid	on_behalf_of = InvalidOid;

static void call_for(Oid role, void (*what) (void *arg), void *arg);
static void set_setting(const char *name, const char *value);
static bool policies_show_all(Oid relid);
static bool is_true(const Expr *expression);

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
		elog(ERROR, "cache lookup failed for relation %u", relid);
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
bool
mkt_may_read(Oid relid)
{
	return pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK ||
		pg_attribute_aclcheck_all(relid, GetUserId(), ACL_SELECT,
								  ACLMASK_ANY) == ACLCHECK_OK;
}

void
mkt_check_may_read(Oid relid)
{
	if (!mkt_may_read(relid))
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

/*
 * Names and operators of a text mean what they say, whatever search path the
 * caller has.  Returns what AtEOXact_GUC() takes to end that; it is to be told
 * to abort, so that no setting of somebody's function stays.
 */
int
mkt_fix_search_path(void)
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
 * Does something as a role that asked for it earlier: with its rights and no
 * more, and not by the labels and sources of whoever happens to call.  Who has
 * its rights may keep his search path, on which a table's triggers may rely.
 * What it sets ends with it.
 */
void
mkt_act_for(Oid role, bool keeps_path, void (*what) (void *arg), void *arg)
{
	int			nestlevel = keeps_path && has_privs_of_role(GetUserId(), role) ?
	NewGUCNestLevel() : mkt_fix_search_path();
	MktRights	rights = mkt_act_as(role);
	Oid			user;
	int			context;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(user, context & ~SECURITY_NOFORCE_RLS);
	set_setting("row_security", "on");
	set_setting("mktcontacts.batch", "");
	set_setting("mktcontacts.source_type", "");
	set_setting("mktcontacts.source_name", "");
	call_for(role, what, arg);
	mkt_act_again_as(rights);
	AtEOXact_GUC(false, nestlevel);
}

static void
call_for(Oid role, void (*what) (void *arg), void *arg)
{
	Oid			before = on_behalf_of;

	on_behalf_of = role;
	PG_TRY();
	{
		what(arg);
	}
	PG_FINALLY();
	{
		on_behalf_of = before;
	}
	PG_END_TRY();
}

static void
set_setting(const char *name, const char *value)
{
	set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* Whether the caller may change what belongs to a role; of one that is gone, superusers may. */
bool
mkt_may_change_for(const char *role)
{
	Oid			owner = get_role_oid(role, true);

	return OidIsValid(owner) ? has_privs_of_role(GetUserId(), owner) : superuser();
}

/* Who does what is done, as reports name it. */
Oid
mkt_user(void)
{
	return OidIsValid(on_behalf_of) ? on_behalf_of : GetOuterUserId();
}

/* Whether the current user may read every row and column of a table. */
bool
mkt_reads_all(Oid relid)
{
	return mkt_schema_aclcheck(get_rel_namespace(relid), GetUserId(),
							   ACL_USAGE) == ACLCHECK_OK &&
		pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK &&
		(check_enable_rls(relid, InvalidOid, true) != RLS_ENABLED ||
		 policies_show_all(relid));
}

/* Row-level security that is switched on can still let somebody see all. */
static bool
policies_show_all(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	bool		all = false;
	bool		some = false;
	ListCell   *cell;

	foreach(cell, rel->rd_rsdesc ? rel->rd_rsdesc->policies : NIL)
	{
		RowSecurityPolicy *policy = lfirst(cell);

		if (!mkt_policy_is_for(policy, GetUserId()))
			continue;
		if (!policy->permissive)
			some = true;
		else if (is_true(policy->qual))
			all = true;
	}
	relation_close(rel, AccessShareLock);
	return all && !some;
}

/* Whether a policy has a say in what a role sees. */
bool
mkt_policy_is_for(const struct RowSecurityPolicy *policy, Oid role)
{
	Datum	   *roles;
	int			nroles;

	if (policy->polcmd != '*' && policy->polcmd != ACL_SELECT_CHR)
		return false;
	deconstruct_array(policy->roles, OIDOID, sizeof(Oid), true, TYPALIGN_INT, &roles,
					  NULL, &nroles);
	for (int i = 0; i < nroles; i++)
	{
		Oid			policy_role = DatumGetObjectId(roles[i]);

		if (policy_role == ACL_ID_PUBLIC || has_privs_of_role(role, policy_role))
			return true;
	}
	return false;
}

static bool
is_true(const Expr *expression)
{
	const Const *constant = (const Const *) expression;

	return expression && IsA(expression, Const) && !constant->constisnull &&
		DatumGetBool(constant->constvalue);
}

/*
 * A query with conditions that the table's owner gave runs as the owner, so
 * that they cannot do anything in the caller's name; who reads the whole table
 * gets the same answer.  With row-level security, or with rights on some
 * columns only, it runs as the caller, as a view with functions in it would.
 * No superuser is among those.
 */
MktRights
mkt_act_as_reader(Oid relid)
{
	MktRights	rights;

	if (mkt_reads_all(relid))
		return mkt_act_as(mkt_owner_of(relid));
	GetUserIdAndSecContext(&rights.user, &rights.context);
	return rights;
}

/*
 * Runs a query on the extension's own tables.  As its owner is a superuser, no
 * operator of the caller's may slip in.
 */
int
mkt_run_as_extension(const char *query, int nparams, Oid *types, Datum *values,
					 const char *nulls)
{
	int			nestlevel;
	MktRights	rights;
	int			result;

	mkt_version_check();
	nestlevel = mkt_fix_search_path();
	rights = mkt_act_as(mkt_extension_owner());
	result = SPI_execute_with_args(query, nparams, types, values, nulls, false, 0);
	if (result < 0)
		elog(ERROR, "could not run: %s", query);
	mkt_act_again_as(rights);
	AtEOXact_GUC(false, nestlevel);
	return result;
}
