/*-------------------------------------------------------------------------
 * restrict.c
 *	  Roles of tools that see eligible contacts only: mkt.restrict_tool(),
 *	  mkt.unrestrict_tool() and mkt.set_conditions() (rule F4).
 *
 * A restricted role has a restrictive policy, mkt_tool_ROLE, on the contacts
 * table.  It is for all commands, because an UPDATE or DELETE that reads no
 * column heeds no policy for SELECT.  It asks mkt.refusal() and so follows
 * mkt.tool_use by itself.
 *
 * Row-level security that has to be switched on for this gets a permissive
 * policy, mkt_everyone, that shows every row to everybody.  Where it was on
 * already, whoever sees something does so by the user's own policies, and the
 * restrictive one takes away from that.
 *
 * The catalogs alone say who is restricted, so that a dump of the table carries
 * it.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "compat.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "nodes/primnodes.h"
#include "rewrite/rowsecurity.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#define POLICY_TOOL		"mkt_tool"
#define POLICY_EVERYONE	"mkt_everyone"

/* A policy of a contacts table. */
typedef struct Policy
{
	char	   *name;
	char	   *tool;			/* whose role it restricts; null: not ours */
	Oid			role;			/* that role */
	bool		everyone;		/* mkt_everyone */
} Policy;

static Relation open_contacts(Oid contacts);
static void check_whole_table(const MktAttachment *attachment, Oid contacts);
static void check_role(Oid contacts, Oid role);
static List *policies_of(Oid contacts);
static Policy *read_policy(HeapTuple tuple, TupleDesc desc);
static char *tool_of(const char *qual);
static const Policy *policy_of_role(List *policies, Oid role);
static const Policy *policy_for_everyone(List *policies);
static char *name_policy(List *policies, Oid role);
static bool is_taken(List *policies, const char *name);
static void switch_on(Oid contacts, List *policies);
static void set_policy(const MktAttachment *attachment, List *policies, Oid role,
					   const char *tool);
static void tell_what_is_seen(Oid contacts, Oid role);
static bool reads_nothing(Oid contacts, Oid role);
static void drop_policy(Oid contacts, const Policy *policy);
static void switch_off(Oid contacts, List *policies);
static const char *role_name(Oid role);

PG_FUNCTION_INFO_V1(mkt_restrict_tool);
PG_FUNCTION_INFO_V1(mkt_unrestrict_tool);
PG_FUNCTION_INFO_V1(mkt_set_conditions);

/* mkt.restrict_tool(contacts, tool, role) */
Datum
mkt_restrict_tool(PG_FUNCTION_ARGS)
{
	Oid			contacts = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);
	const MktAttachment *attachment;
	Relation	rel;
	bool		is_on;
	Oid			role;
	char	   *tool;
	List	   *policies;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("contacts, tool and role must not be null"),
				errhint("SELECT mkt.restrict_tool('crm.contact', 'marketing_email', 'crm_mailer');"));
	tool = text_to_cstring(PG_GETARG_TEXT_PP(1));
	role = get_role_oid(NameStr(*PG_GETARG_NAME(2)), false);
	rel = open_contacts(contacts);
	is_on = rel->rd_rel->relrowsecurity;
	relation_close(rel, NoLock);
	attachment = mkt_attachment_of(contacts);
	check_whole_table(attachment, contacts);
	check_role(contacts, role);
	mkt_tool_needs(tool);

	SPI_connect();
	policies = policies_of(contacts);
	if (!is_on)
		switch_on(contacts, policies);
	set_policy(attachment, policies, role, tool);
	tell_what_is_seen(contacts, role);
	SPI_finish();
	PG_RETURN_VOID();
}

/* mkt.unrestrict_tool(contacts, role); the table need not be attached any more */
Datum
mkt_unrestrict_tool(PG_FUNCTION_ARGS)
{
	Oid			contacts = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);
	const Policy *policy;
	Oid			role;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("contacts and role must not be null"),
				errhint("SELECT mkt.unrestrict_tool('crm.contact', 'crm_mailer');"));
	role = get_role_oid(NameStr(*PG_GETARG_NAME(1)), false);
	relation_close(open_contacts(contacts), NoLock);
	policy = policy_of_role(policies_of(contacts), role);
	if (policy == NULL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("role %s is not restricted on table %s", role_name(role),
					   mkt_qualified_name(contacts)),
				errhint("\\d %s lists the policies of the table.",
						mkt_qualified_name(contacts)));

	SPI_connect();
	drop_policy(contacts, policy);
	switch_off(contacts, policies_of(contacts));
	SPI_finish();
	PG_RETURN_VOID();
}

/* When a table is detached nothing restricts anybody any more. */
void
mkt_restrict_end(Oid contacts)
{
	List	   *policies = policies_of(contacts);
	bool		any = false;
	ListCell   *cell;

	foreach(cell, policies)
	{
		const Policy *policy = lfirst(cell);

		if (policy->tool == NULL)
			continue;
		any = true;
		drop_policy(contacts, policy);
		ereport(WARNING,
				errcode(ERRCODE_WARNING),
				errmsg("role %s is not restricted to eligible contacts of table %s any more",
					   role_name(policy->role), mkt_qualified_name(contacts)),
				errhint("REVOKE ALL ON %s FROM %s;", mkt_qualified_name(contacts),
						role_name(policy->role)));
	}
	if (any)
		switch_off(contacts, policies_of(contacts));
}

/* mkt.set_conditions(contacts, unsubscribed, bounced) */
Datum
mkt_set_conditions(PG_FUNCTION_ARGS)
{
	Oid			contacts = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);
	const MktAttachment *attachment;
	Relation	rel;
	char	   *conditions[2];
	Datum		values[3] = {ObjectIdGetDatum(contacts)};
	char		nulls[3] = {' '};
	List	   *policies;
	ListCell   *cell;
	MktRights	rights;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("contacts must not be null"),
				errhint("SELECT mkt.set_conditions('crm.contact', unsubscribed => 'unsubscribed_at IS NOT NULL', bounced => NULL);"));
	rel = open_contacts(contacts);
	attachment = mkt_attachment_of(contacts);
	check_whole_table(attachment, contacts);
	conditions[0] = mkt_condition_argument(fcinfo, 1, "unsubscribed", rel);
	conditions[1] = mkt_condition_argument(fcinfo, 2, "bounced", rel);
	relation_close(rel, NoLock);
	for (int i = 0; i < 2; i++)
	{
		nulls[i + 1] = conditions[i] ? ' ' : 'n';
		if (conditions[i])
			values[i + 1] = CStringGetTextDatum(conditions[i]);
	}

	SPI_connect();
	rights = mkt_act_as(mkt_extension_owner());
	if (SPI_execute_with_args("UPDATE mkt.attachment SET unsubscribed = $2, bounced = $3 "
							  "WHERE contacts::pg_catalog.oid OPERATOR(pg_catalog.=) $1",
							  3, (Oid[]) {OIDOID, TEXTOID, TEXTOID}, values, nulls,
							  false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not note the conditions");
	mkt_act_again_as(rights);
	policies = policies_of(contacts);
	foreach(cell, policies)
	{
		const Policy *policy = lfirst(cell);

		if (policy->tool)
			set_policy(attachment, policies, policy->role, policy->tool);
	}
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * All three belong to the table's owner, and keep each other out.  Readers and
 * writers are in the way of a policy only, whose command asks for its own lock.
 */
static Relation
open_contacts(Oid contacts)
{
	Relation	rel;

	if (get_rel_name(contacts) != NULL)
		mkt_check_owner(contacts);
	rel = try_relation_open(contacts, ShareUpdateExclusiveLock);
	if (rel == NULL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("table with OID %u does not exist", contacts));
	return rel;
}

static void
check_whole_table(const MktAttachment *attachment, Oid contacts)
{
	if (attachment->contacts != contacts)
		ereport(ERROR,
				errcode(ERRCODE_MKT_NOT_ATTACHED),
				errmsg("table %s is a partition of an attached table",
					   mkt_qualified_name(contacts)),
				errhint("Name %s.", mkt_qualified_name(attachment->contacts)));
}

/* Some roles no policy holds back. */
static void
check_role(Oid contacts, Oid role)
{
	const char *is = NULL;

	if (superuser_arg(role))
		is = "It is a superuser.";
	else if (has_bypassrls_privilege(role))
		is = "It has the attribute BYPASSRLS.";
	else if (is_member_of_role(role, mkt_owner_of(contacts)))
		is = "It owns the table, or is a member of the role that does.";
	if (is)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("role %s cannot be restricted on table %s", role_name(role),
					   mkt_qualified_name(contacts)),
				errdetail("%s", is),
				errhint("Give the tool a role of its own: CREATE ROLE ... LOGIN; GRANT SELECT ON %s TO ...;",
						mkt_qualified_name(contacts)));
}

static List *
policies_of(Oid contacts)
{
	Relation	rel = table_open(PolicyRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *policies = NIL;

	ScanKeyInit(&key, Anum_pg_policy_polrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(contacts));
	scan = systable_beginscan(rel, PolicyPolrelidPolnameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		policies = lappend(policies, read_policy(tuple, RelationGetDescr(rel)));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return policies;
}

static Policy *
read_policy(HeapTuple tuple, TupleDesc desc)
{
	Form_pg_policy form = (Form_pg_policy) GETSTRUCT(tuple);
	Policy	   *policy = palloc0(sizeof(Policy));
	bool		isnull;
	Datum		array = heap_getattr(tuple, Anum_pg_policy_polroles, desc, &isnull);
	Datum		qual = heap_getattr(tuple, Anum_pg_policy_polqual, desc, &isnull);
	Datum	   *roles;
	int			nroles;

	policy->name = pstrdup(NameStr(form->polname));
	deconstruct_array(DatumGetArrayTypeP(array), OIDOID, sizeof(Oid), true, TYPALIGN_INT,
					  &roles, NULL, &nroles);
	policy->role = DatumGetObjectId(roles[0]);
	policy->everyone = form->polpermissive && strcmp(policy->name, POLICY_EVERYONE) == 0;
	if (!form->polpermissive && !isnull && nroles == 1 &&
		strncmp(policy->name, POLICY_TOOL "_", strlen(POLICY_TOOL "_")) == 0)
		policy->tool = tool_of(TextDatumGetCString(qual));
	return policy;
}

/* The tool in "mkt.refusal('tool', ...) IS NULL", or NULL for anything else. */
static char *
tool_of(const char *qual)
{
	NullTest   *test = stringToNode(qual);
	FuncExpr   *call = IsA(test, NullTest) ? (FuncExpr *) test->arg : NULL;
	Const	   *tool;
	char	   *name;

	if (call == NULL || !IsA(call, FuncExpr) || list_length(call->args) != 4)
		return NULL;
	name = get_func_name(call->funcid);
	if (name == NULL || strcmp(name, "refusal") != 0 ||
		get_func_namespace(call->funcid) != mkt_schema())
		return NULL;
	tool = linitial(call->args);
	return IsA(tool, Const) && !tool->constisnull ?
		TextDatumGetCString(tool->constvalue) : NULL;
}

static const Policy *
policy_of_role(List *policies, Oid role)
{
	ListCell   *cell;

	foreach(cell, policies)
	{
		const Policy *policy = lfirst(cell);

		if (policy->tool && policy->role == role)
			return policy;
	}
	return NULL;
}

static const Policy *
policy_for_everyone(List *policies)
{
	ListCell   *cell;

	foreach(cell, policies)
	{
		if (((const Policy *) lfirst(cell))->everyone)
			return lfirst(cell);
	}
	return NULL;
}

/* A role may have been renamed since, and another one have its name. */
static char *
name_policy(List *policies, Oid role)
{
	const char *of = GetUserNameFromId(role, false);
	char	   *name = makeObjectName(POLICY_TOOL, of, NULL);

	for (int n = 1; is_taken(policies, name); n++)
		name = makeObjectName(POLICY_TOOL, of, psprintf("%d", n));
	return name;
}

static bool
is_taken(List *policies, const char *name)
{
	ListCell   *cell;

	foreach(cell, policies)
	{
		if (strcmp(((const Policy *) lfirst(cell))->name, name) == 0)
			return true;
	}
	return false;
}

/*
 * Switches row-level security on, and nobody sees less for it.  Policies of the
 * user's that have been waiting for that would begin to count.
 */
static void
switch_on(Oid contacts, List *policies)
{
	char	   *name = mkt_qualified_name(contacts);
	ListCell   *cell;

	foreach(cell, policies)
	{
		const Policy *policy = lfirst(cell);

		if (!policy->tool && !policy->everyone)
			ereport(ERROR,
					errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("table %s has policies, and row-level security is off", name),
					errdetail("Switching it on would make policy \"%s\" count.", policy->name),
					errhint("ALTER TABLE %s ENABLE ROW LEVEL SECURITY; if that is wanted, or DROP POLICY %s ON %s;",
							name, quote_identifier(policy->name), name));
	}
	if (policy_for_everyone(policies) == NULL)
	{
		mkt_query_run("CREATE POLICY %s ON %s USING (true) WITH CHECK (true)", POLICY_EVERYONE, name);
		mkt_query_run("COMMENT ON POLICY %s ON %s IS 'Everybody sees every row, but for roles that mkt.restrict_tool() restricts.'",
					  POLICY_EVERYONE, name);
	}
	mkt_query_run("ALTER TABLE %s ENABLE ROW LEVEL SECURITY", name);
}

/* Makes a role's policy, or makes it anew. */
static void
set_policy(const MktAttachment *attachment, List *policies, Oid role, const char *tool)
{
	const Policy *policy = policy_of_role(policies, role);
	char	   *table = mkt_qualified_name(attachment->contacts);
	char	   *refusal = mkt_condition_refusal(attachment, quote_literal_cstr(tool));
	const char *name;

	if (policy)
	{
		name = quote_identifier(policy->name);
		mkt_query_run("ALTER POLICY %s ON %s USING (%s IS NULL)", name, table, refusal);
	}
	else
	{
		name = quote_identifier(name_policy(policies, role));
		mkt_query_run("CREATE POLICY %s ON %s AS RESTRICTIVE FOR ALL TO %s USING (%s IS NULL) WITH CHECK (true)",
					  name, table, role_name(role), refusal);
	}
	mkt_query_run("COMMENT ON POLICY %s ON %s IS %s", name, table,
				  quote_literal_cstr(psprintf("Contacts that the tool %s may use. Made by mkt.restrict_tool().",
											  tool)));
}

/* Tells who gets to see nothing, and who can go around the table. */
static void
tell_what_is_seen(Oid contacts, Oid role)
{
	ListCell   *cell;

	if (reads_nothing(contacts, role))
		ereport(NOTICE,
				errmsg("role %s sees no row of table %s", role_name(role),
					   mkt_qualified_name(contacts)),
				errdetail("Row-level security was on already, and no policy lets it see any."),
				errhint("CREATE POLICY ... ON %s FOR SELECT TO %s USING (true);",
						mkt_qualified_name(contacts), role_name(role)));
	foreach(cell, find_all_inheritors(contacts, NoLock, NULL))
	{
		Oid			partition = lfirst_oid(cell);

		if (partition != contacts &&
			pg_class_aclcheck(partition, role, ACL_SELECT) == ACLCHECK_OK)
			ereport(WARNING,
					errcode(ERRCODE_WARNING),
					errmsg("role %s may read partition %s itself", role_name(role),
						   mkt_qualified_name(partition)),
					errdetail("Policies hold for what is read through %s only.",
							  mkt_qualified_name(contacts)),
					errhint("REVOKE SELECT ON %s FROM %s;", mkt_qualified_name(partition),
							role_name(role)));
	}
}

static bool
reads_nothing(Oid contacts, Oid role)
{
	Relation	rel = relation_open(contacts, NoLock);
	bool		nothing = true;
	ListCell   *cell;

	foreach(cell, rel->rd_rsdesc ? rel->rd_rsdesc->policies : NIL)
	{
		RowSecurityPolicy *policy = lfirst(cell);

		if (policy->permissive && mkt_policy_is_for(policy, role))
			nothing = false;
	}
	relation_close(rel, NoLock);
	return nothing;
}

static void
drop_policy(Oid contacts, const Policy *policy)
{
	mkt_query_run("DROP POLICY %s ON %s", quote_identifier(policy->name),
				  mkt_qualified_name(contacts));
}

/*
 * When nobody is restricted any more row-level security goes as it came, unless
 * the user has made policies since: what everybody sees then is for him to say.
 */
static void
switch_off(Oid contacts, List *policies)
{
	const Policy *everyone = policy_for_everyone(policies);
	char	   *name = mkt_qualified_name(contacts);
	ListCell   *cell;

	foreach(cell, policies)
	{
		if (((const Policy *) lfirst(cell))->tool)
			return;
	}
	if (everyone == NULL)
		return;
	if (list_length(policies) > 1)
	{
		ereport(NOTICE,
				errmsg("policy \"%s\" of table %s stays", everyone->name, name),
				errdetail("The table has policies of yours, and this one shows every row to everybody."),
				errhint("DROP POLICY %s ON %s;", everyone->name, name));
		return;
	}
	drop_policy(contacts, everyone);
	mkt_query_run("ALTER TABLE %s DISABLE ROW LEVEL SECURITY", name);
}

static const char *
role_name(Oid role)
{
	return quote_identifier(GetUserNameFromId(role, false));
}
