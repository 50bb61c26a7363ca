/*-------------------------------------------------------------------------
 * attach.c
 *	  mkt.attach() and mkt.detach(), and what upgrades do with attached tables.
 *
 * Attaching checks everything first and then runs plain DDL: as the caller, who
 * must own the table, on the contacts table; as the extension's owner on what
 * is the extension's.  The strong lock on the contacts table lasts until the
 * caller's transaction ends, so nothing in between may scan a big table: the
 * new columns take constants that PostgreSQL stores in the catalog, and the
 * check constraint holds for new rows only.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/event_trigger.h"
#include "commands/trigger.h"
#include "compat.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

/* A table of up to this many blocks is counted while it is being attached. */
#define COUNT_AT_ONCE_BLOCKS 2048

/* What mkt.attach() was asked for, checked. */
typedef struct Attach
{
	Oid			contacts;
	Relation	rel;			/* while arguments are checked */
	char	   *name;			/* qualified and quoted */
	AttrNumber	account_column;
	char	   *account;		/* or this constant */
	int			nkeys;
	AttrNumber	keys[INDEX_MAX_KEYS];
	char	   *already_marketing;
	char	   *unsubscribed;
	char	   *bounced;
	bool		adopted;		/* some marketing columns were there */
} Attach;

typedef struct NewColumn
{
	const char *name;
	const char *type;
	Oid			type_oid;		/* invalid: mkt.status */
	const char *constraint;		/* for the rows that are there */
	const char *default_value;	/* where columns stay behind a detach */
} NewColumn;

/*
 * Existing contacts are non-marketing, and their source says since when (F3).
 * The defaults go away at once: they would hide that a statement named none.
 */
static const NewColumn new_columns[] = {
	{"marketing_status", "mkt.status", InvalidOid, " NOT NULL DEFAULT 'non_marketing'", "'non_marketing'"},
	{"marketing_until_next_update", "pg_catalog.bool", BOOLOID, " NOT NULL DEFAULT false", "false"},
	{"marketing_until", "pg_catalog.timestamptz", TIMESTAMPTZOID, "", NULL},
	{"marketing_source_type", "pg_catalog.text", TEXTOID, " DEFAULT 'initial_state'", NULL},
	{"marketing_source_name", "pg_catalog.text", TEXTOID, "", NULL},
};

static const char *const triggers[] = {
	MKT_TRIGGER_STATE, MKT_TRIGGER_COUNT, MKT_TRIGGER_RECOUNT, MKT_TRIGGER_POST,
	MKT_TRIGGER_TRUNCATE
};

static void tell_of_history(const MktAttachedTable *table, const char *name);
static void find_disabled(Oid contacts);
static Datum trigger_names(void);
static void forget_attachment(const MktAttachedTable *table);
static Relation open_contacts(Oid contacts);
static void read_arguments(FunctionCallInfo fcinfo, Attach *attach);
static void check_kind(Attach *attach);
static void check_not_inherited(Attach *attach);
static AttrNumber find_column(Attach *attach, const char *argument,
							  const char *column);
static void check_type(Attach *attach, AttrNumber column, const char *what);
static void find_key(Attach *attach, const char *key_column);
static bool attached_already(Attach *attach);
static void check_columns(Attach *attach);
static void remove_remains(Attach *attach);
static void add_columns(Attach *attach);
static void check_no_nulls(Attach *attach, const char *column);
static void check_states(Attach *attach);
static void note_attachment(Attach *attach, const MktAttachedTable *table);
static void create_triggers(Attach *attach);
static void first_count(Attach *attach, MktAttachedTable *table);
static BlockNumber blocks_of(Oid contacts);
static const char *column_name(Attach *attach, AttrNumber column);

PG_FUNCTION_INFO_V1(mkt_attach);
PG_FUNCTION_INFO_V1(mkt_detach);
PG_FUNCTION_INFO_V1(mkt_contacts_dropped);

/*
 * mkt.attach(contacts, account_column, account, key_column, already_marketing,
 *			  unsubscribed, bounced)
 */
Datum
mkt_attach(PG_FUNCTION_ARGS)
{
	Attach		attach = {0};
	MktAttachedTable table = {0};
	int			nestlevel;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("mkt.attach() needs a contacts table"));
	attach.contacts = PG_GETARG_OID(0);
	attach.rel = open_contacts(attach.contacts);
	attach.name = mkt_qualified_name(attach.contacts);
	check_kind(&attach);
	read_arguments(fcinfo, &attach);
	if (!attached_already(&attach))
	{
		check_columns(&attach);
		relation_close(attach.rel, NoLock);

		nestlevel = mkt_fix_search_path();
		SPI_connect();
		remove_remains(&attach);
		add_columns(&attach);
		mkt_satellite_create(attach.contacts, attach.account_column, attach.nkeys,
							 attach.keys, &table);
		note_attachment(&attach, &table);
		create_triggers(&attach);
		first_count(&attach, &table);
		mkt_subscription_follow(attach.contacts);
		mkt_drift_start(&table);
		SPI_finish();
		AtEOXact_GUC(false, nestlevel);
	}
	else
		relation_close(attach.rel, NoLock);
	PG_RETURN_VOID();
}

/* mkt.detach(contacts, drop_columns) */
Datum
mkt_detach(PG_FUNCTION_ARGS)
{
	Oid			contacts = PG_GETARG_OID(0);
	bool		drop_columns = PG_GETARG_BOOL(1);
	Relation	rel = open_contacts(contacts);
	MktAttachment *attachment = mkt_attachment_of(contacts);
	char	   *name = mkt_qualified_name(contacts);
	AttrNumber	columns[lengthof(new_columns)] = {
		attachment->status, attachment->flag, attachment->until,
		attachment->source_type, attachment->source_name
	};
	MktAttachedTable *table = mkt_attachment_table(contacts);
	StringInfoData alter;

	if (attachment->contacts != contacts)
		ereport(ERROR,
				errcode(ERRCODE_MKT_NOT_ATTACHED),
				errmsg("table %s is a partition of an attached table", name),
				errhint("SELECT mkt.detach(%s);",
						quote_literal_cstr(mkt_qualified_name(attachment->contacts))));
	initStringInfo(&alter);
	appendStringInfo(&alter, "ALTER TABLE %s DROP CONSTRAINT IF EXISTS %s", name,
					 MKT_CONSTRAINT);
	for (size_t i = 0; i < lengthof(new_columns); i++)
	{
		char	   *column = mkt_attachment_column(attachment, columns[i]);

		if (drop_columns)
			appendStringInfo(&alter, ", DROP COLUMN %s", column);
		else if (new_columns[i].default_value)
			appendStringInfo(&alter, ", ALTER COLUMN %s SET DEFAULT %s", column,
							 new_columns[i].default_value);
	}
	relation_close(rel, NoLock);

	mkt_count_forget(table->count_table);
	SPI_connect();
	tell_of_history(table, name);
	mkt_restrict_end(contacts);
	for (size_t i = 0; i < lengthof(triggers); i++)
		mkt_query_run("DROP TRIGGER IF EXISTS %s ON %s", triggers[i], name);
	mkt_query_run("%s", alter.data);
	forget_attachment(table);
	SPI_finish();
	CacheInvalidateRelcacheByRelid(contacts);
	PG_RETURN_VOID();
}

/* What a detach ends for ever is not ended silently. */
static void
tell_of_history(const MktAttachedTable *table, const char *name)
{
	char	   *history = mkt_qualified_name(table->history);

	if (mkt_run_as_extension(psprintf("SELECT FROM %s LIMIT 1", history), 0, NULL, NULL,
							 NULL) == SPI_OK_SELECT && SPI_processed > 0)
		ereport(NOTICE,
				errmsg("the history of table %s is dropped", name),
				errhint("Roll back, and copy %s first, to keep it.", history));
}

/*
 * Brings the triggers of a table, and the tables beside it, to the form that
 * mkt.attach() would give them now.  Triggers that are disabled stay so.  In an
 * upgrade, what is made becomes part of the extension unless it is an index.
 */
void
mkt_attach_renew(const MktAttachedTable *table)
{
	MktAttachment *attachment = mkt_attachment_find(table->contacts);
	Attach		attach = {.contacts = table->contacts};
	int			nestlevel;
	MktRights	rights;
	SPITupleTable *rows;
	uint64		nrows;

	if (attachment == NULL)
		return;					/* its triggers were dropped */
	attach.name = mkt_qualified_name(table->contacts);
	attach.account_column = attachment->account;
	attach.nkeys = attachment->nkeys;
	memcpy(attach.keys, attachment->keys, sizeof(attach.keys));

	nestlevel = mkt_fix_search_path();
	rights = mkt_act_as(mkt_owner_of(table->contacts));
	find_disabled(table->contacts);
	rows = SPI_tuptable;
	nrows = SPI_processed;
	create_triggers(&attach);
	mkt_query_run_rows(rows, nrows);
	mkt_act_again_as(rights);
	mkt_satellite_renew(table);
	AtEOXact_GUC(false, nestlevel);
	mkt_run_as_extension("UPDATE mkt.attachment SET structure = $2 WHERE contacts = $1", 2, (Oid[]) {OIDOID, INT2OID},
						 (Datum[]) {ObjectIdGetDatum(table->contacts), Int16GetDatum(MKT_STRUCTURE)}, NULL);
}

/* The commands that make our triggers fire again when they do now, where that is not as usual. */
static void
find_disabled(Oid contacts)
{
	if (SPI_execute_with_args("SELECT pg_catalog.format('ALTER TABLE ONLY %s %s TRIGGER %I', t.tgrelid::pg_catalog.regclass, "
							  "CASE t.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, t.tgname) "
							  "FROM pg_catalog.pg_trigger AS t WHERE t.tgenabled <> 'O' AND t.tgname = ANY ($2) "
							  "AND (t.tgrelid = $1 OR t.tgrelid IN (SELECT p.relid FROM pg_catalog.pg_partition_tree($1) AS p)) ORDER BY t.tgrelid",
							  2, (Oid[]) {OIDOID, TEXTARRAYOID},
							  (Datum[]) {ObjectIdGetDatum(contacts), trigger_names()}, NULL,
							  true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read pg_trigger");
}

static Datum
trigger_names(void)
{
	Datum		names[lengthof(triggers)];

	for (size_t i = 0; i < lengthof(triggers); i++)
		names[i] = CStringGetTextDatum(triggers[i]);
	return mkt_query_texts(names, lengthof(triggers));
}

/*
 * Event trigger: forgets attached tables that a command dropped, with their
 * counts, saved filters and lists.
 */
Datum
mkt_contacts_dropped(PG_FUNCTION_ARGS)
{
	ListCell   *cell;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_MKT_WRONG_CALL),
				errmsg("mkt.contacts_dropped() is the function of event trigger mktcontacts_dropped"));
	if (mkt_version_script_runs() || !mkt_version_is_ours())
		PG_RETURN_NULL();		/* the next one that is dropped will do */
	SPI_connect();
	foreach(cell, mkt_attachment_list())
	{
		MktAttachedTable *table = lfirst(cell);

		if (get_rel_name(table->contacts) == NULL)
			forget_attachment(table);
	}
	mkt_query_run("DELETE FROM mkt.batch_report AS b "
				  "WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = b.contacts)");
	mkt_query_run("DELETE FROM mkt.parked_contact AS p "
				  "WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = p.contacts)");
	mkt_query_run("DELETE FROM mkt.filter AS f "
				  "WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = f.contacts)");
	mkt_query_run("WITH gone AS (DELETE FROM mkt.list AS l "
				  "WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = l.contacts) RETURNING l.list) "
				  "DELETE FROM mkt.list_member AS m USING gone WHERE m.list = gone.list");
	mkt_query_run("WITH gone AS (DELETE FROM mkt.review AS r "
				  "WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = r.contacts) RETURNING r.review), "
				  "steps AS (DELETE FROM mkt.review_step AS s USING gone WHERE s.review = gone.review) "
				  "DELETE FROM mkt.review_contact AS s USING gone WHERE s.review = gone.review");
	mkt_query_run("WITH gone AS (DELETE FROM mkt.workflow AS w "
				  "WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = w.contacts) RETURNING w.workflow), "
				  "attempts AS (DELETE FROM mkt.workflow_attempt AS a USING gone WHERE a.workflow = gone.workflow), "
				  "notices AS (DELETE FROM mkt.workflow_notice AS n USING gone WHERE n.workflow = gone.workflow) "
				  "DELETE FROM mkt.enrollment AS e USING gone WHERE e.workflow = gone.workflow");
	SPI_finish();
	PG_RETURN_NULL();
}

/* The row of mkt.attachment goes, and the tables that it names. */
static void
forget_attachment(const MktAttachedTable *table)
{
	MktRights	rights = mkt_act_as(mkt_extension_owner());

	mkt_query_run("DELETE FROM mkt.attachment WHERE contacts::pg_catalog.oid = %u",
				  table->contacts);
	mkt_satellite_drop(table);
	mkt_drift_forget(table);
	mkt_act_again_as(rights);
}

/* Who attaches must own the table; that is checked before the lock is asked for. */
static Relation
open_contacts(Oid contacts)
{
	Relation	rel;

	if (get_rel_name(contacts) != NULL &&
		!mkt_class_owned_by(contacts, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER,
					   get_relkind_objtype(get_rel_relkind(contacts)),
					   get_rel_name(contacts));
	rel = try_relation_open(contacts, AccessExclusiveLock);
	if (rel == NULL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("table with OID %u does not exist", contacts));
	return rel;
}

static void
check_kind(Attach *attach)
{
	Relation	rel = attach->rel;
	char		kind = rel->rd_rel->relkind;
	const char *is = NULL;
	const char *hint = "Attach the table that holds the contacts.";

	if (kind == RELKIND_VIEW)
		is = "a view";
	else if (kind == RELKIND_MATVIEW)
		is = "a materialized view";
	else if (kind == RELKIND_FOREIGN_TABLE)
		is = "a foreign table";
	else if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		is = "not a table";
	else if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
	{
		is = "a temporary table";
		hint = "Attach a table that stays.";
	}
	else if (IsCatalogRelation(rel))
		is = "a system catalog";
	else if (RelationGetNamespace(rel) == mkt_schema())
		is = "a table of mktcontacts itself";
	else if (rel->rd_rel->relispartition)
	{
		is = "a partition";
		hint = psprintf("SELECT mkt.attach(%s, ...);",
						quote_literal_cstr(mkt_qualified_name(get_partition_parent(RelationGetRelid(rel), false))));
	}
	if (is)
		ereport(ERROR,
				errcode(ERRCODE_MKT_CANNOT_ATTACH),
				errmsg("cannot attach %s", attach->name),
				errdetail("It is %s.", is),
				errhint("%s", hint));
	check_not_inherited(attach);
}

/* Triggers do not reach the children of plain inheritance. */
static void
check_not_inherited(Attach *attach)
{
	Relation	rel = attach->rel;

	if (rel->rd_rel->relkind == RELKIND_RELATION &&
		(find_inheritance_children(RelationGetRelid(rel), NoLock) != NIL ||
		 has_superclass(RelationGetRelid(rel))))
		ereport(ERROR,
				errcode(ERRCODE_MKT_CANNOT_ATTACH),
				errmsg("cannot attach %s", attach->name),
				errdetail("It takes part in table inheritance, through which triggers do not reach every row."),
				errhint("Use a partitioned table, or ALTER TABLE ... NO INHERIT first."));
}

static void
read_arguments(FunctionCallInfo fcinfo, Attach *attach)
{
	if (PG_ARGISNULL(1) == PG_ARGISNULL(2))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("mkt.attach() needs either account_column or account"),
				errdetail("A column names each contact's account, or the whole table belongs to one."),
				errhint("SELECT mkt.attach(%s, account_column => 'account_id');",
						quote_literal_cstr(attach->name)));
	if (PG_ARGISNULL(1))
		attach->account = text_to_cstring(PG_GETARG_TEXT_PP(2));
	else
	{
		attach->account_column = find_column(attach, "account_column",
											 NameStr(*PG_GETARG_NAME(1)));
		check_type(attach, attach->account_column, "account");
	}
	find_key(attach, PG_ARGISNULL(3) ? NULL : NameStr(*PG_GETARG_NAME(3)));
	attach->already_marketing = mkt_condition_argument(fcinfo, 4, "already_marketing",
													   attach->rel);
	attach->unsubscribed = mkt_condition_argument(fcinfo, 5, "unsubscribed", attach->rel);
	attach->bounced = mkt_condition_argument(fcinfo, 6, "bounced", attach->rel);
}

static AttrNumber
find_column(Attach *attach, const char *argument, const char *column)
{
	AttrNumber	attnum = get_attnum(attach->contacts, column);

	if (attnum <= 0)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_COLUMN),
				errmsg("column \"%s\" of table %s does not exist", column, attach->name),
				errhint("Name a column of the table as %s; \\d %s lists them.",
						argument, attach->name));
	return attnum;
}

/* What accounts and keys can be, so that they can be named by text and compared. */
static void
check_type(Attach *attach, AttrNumber column, const char *what)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(attach->rel), column - 1);
	Oid			base = getBaseType(att->atttypid);

	if (att->attgenerated)
		ereport(ERROR,
				errcode(ERRCODE_MKT_CANNOT_ATTACH),
				errmsg("column \"%s\" of table %s cannot name a contact's %s",
					   NameStr(att->attname), attach->name, what),
				errdetail("It is generated, and known only after the triggers that need it."),
				errhint("Name the column from which it is generated, or an ordinary one."));
	switch (base)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case UUIDOID:
		case TEXTOID:
		case VARCHAROID:
			return;
	}
	if (!type_is_enum(base))
		ereport(ERROR,
				errcode(ERRCODE_MKT_CANNOT_ATTACH),
				errmsg("column \"%s\" of table %s cannot name a contact's %s",
					   NameStr(att->attname), attach->name, what),
				errdetail("Its type is %s.", format_type_be(att->atttypid)),
				errhint("It can be smallint, integer, bigint, uuid, text, varchar, an enum, or a domain over one of these."));
}

/* The columns by which users name a contact: the primary key, or one column. */
static void
find_key(Attach *attach, const char *key_column)
{
	Oid			primary;
	Relation	index;

	if (key_column)
	{
		attach->keys[attach->nkeys++] = find_column(attach, "key_column", key_column);
		check_type(attach, attach->keys[0], "key");
		if (!mkt_attachment_unique(attach->rel, attach->keys[0]))
			ereport(ERROR,
					errcode(ERRCODE_MKT_CANNOT_ATTACH),
					errmsg("column \"%s\" of table %s is not unique", key_column,
						   attach->name),
					errdetail("It has no unique index of its own that covers every row."),
					errhint("CREATE UNIQUE INDEX CONCURRENTLY ON %s (%s);", attach->name,
							quote_identifier(key_column)));
		return;
	}
	RelationGetIndexList(attach->rel);
	primary = attach->rel->rd_pkindex;
	if (!OidIsValid(primary))
		ereport(ERROR,
				errcode(ERRCODE_MKT_CANNOT_ATTACH),
				errmsg("table %s has no primary key", attach->name),
				errdetail("Contacts have to be told apart."),
				errhint("ALTER TABLE %s ADD PRIMARY KEY (...); or name a unique column as key_column.",
						attach->name));
	index = index_open(primary, AccessShareLock);
	for (int i = 0; i < index->rd_index->indnkeyatts; i++)
	{
		AttrNumber	column = index->rd_index->indkey.values[i];

		check_type(attach, column, "key");
		if (column != attach->account_column)
			attach->keys[attach->nkeys++] = column;
	}
	index_close(index, AccessShareLock);
	if (attach->nkeys == 0)
		ereport(ERROR,
				errcode(ERRCODE_MKT_CANNOT_ATTACH),
				errmsg("the account is the primary key of table %s", attach->name),
				errdetail("Every account would have one contact."),
				errhint("Name the column by which contacts are told apart as key_column."));
}

/*
 * Attaching again changes nothing and says so, if it asks for what is there.
 */
static bool
attached_already(Attach *attach)
{
	MktAttachment *attachment = mkt_attachment_find(attach->contacts);
	bool		same;

	if (attachment == NULL)
		return false;
	same = attachment->account == attach->account_column &&
		attachment->nkeys == attach->nkeys &&
		memcmp(attachment->keys, attach->keys,
			   attach->nkeys * sizeof(AttrNumber)) == 0 &&
		(attach->account == NULL ||
		 (attachment->constant_account &&
		  strcmp(attach->account,
				 TextDatumGetCString(attachment->constant_account)) == 0));
	if (!same)
		ereport(ERROR,
				errcode(ERRCODE_MKT_NOT_ATTACHED),
				errmsg("table %s is attached in another way", attach->name),
				errdetail("Its account or its key is another one."),
				errhint("SELECT mkt.detach(%s); keeps the columns and what they say; then attach again.",
						quote_literal_cstr(attach->name)));
	ereport(NOTICE,
			errmsg("table %s is attached already, nothing changed", attach->name),
			attach->already_marketing || attach->unsubscribed || attach->bounced ?
			errdetail("Its conditions are those that mkt.attachment shows.") : 0,
			attach->unsubscribed || attach->bounced ?
			errhint("SELECT mkt.set_conditions(%s, unsubscribed => ..., bounced => ...);",
					quote_literal_cstr(attach->name)) : 0);
	return true;
}

/* Columns of our names must have our types. */
static void
check_columns(Attach *attach)
{
	for (size_t i = 0; i < lengthof(new_columns); i++)
	{
		AttrNumber	attnum = get_attnum(attach->contacts,
										new_columns[i].name);
		Oid			type = new_columns[i].type_oid;

		if (attnum == InvalidAttrNumber)
			continue;
		attach->adopted = true;
		if (!OidIsValid(type))
			type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
								   CStringGetDatum("status"),
								   ObjectIdGetDatum(mkt_schema()));
		if (get_atttype(attach->contacts, attnum) != type)
			ereport(ERROR,
					errcode(ERRCODE_MKT_CANNOT_ATTACH),
					errmsg("table %s has a column \"%s\" already", attach->name,
						   new_columns[i].name),
					errdetail("Its type is %s and has to be %s.",
							  format_type_be(get_atttype(attach->contacts, attnum)),
							  format_type_be(type)),
					errhint("ALTER TABLE %s RENAME COLUMN %s TO ...;", attach->name,
							new_columns[i].name));
	}
	if (attach->adopted && IsolationUsesXactSnapshot())
		ereport(ERROR,
				errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				errmsg("table %s has marketing columns, and is attached in READ COMMITTED transactions only",
					   attach->name),
				errhint("BEGIN ISOLATION LEVEL READ COMMITTED;"));
}

/*
 * A table that came alone from a dump brings its triggers and its constraint,
 * and one whose triggers were dropped has left counts behind.
 */
static void
remove_remains(Attach *attach)
{
	MktAttachedTable *remains;

	for (size_t i = 0; i < lengthof(triggers); i++)
	{
		if (OidIsValid(get_trigger_oid(attach->contacts, triggers[i], true)))
			mkt_query_run("DROP TRIGGER %s ON %s", triggers[i], attach->name);
	}
	if (OidIsValid(get_relation_constraint_oid(attach->contacts, MKT_CONSTRAINT, true)))
		mkt_query_run("ALTER TABLE %s DROP CONSTRAINT %s", attach->name, MKT_CONSTRAINT);

	remains = mkt_attachment_table(attach->contacts);
	if (remains)
		forget_attachment(remains);
}

static void
add_columns(Attach *attach)
{
	StringInfoData add;
	StringInfoData alter;

	initStringInfo(&add);
	initStringInfo(&alter);
	for (size_t i = 0; i < lengthof(new_columns); i++)
	{
		const NewColumn *column = &new_columns[i];
		bool		exists = get_attnum(attach->contacts,
										column->name) != InvalidAttrNumber;

		if (!exists)
			appendStringInfo(&add, "%s ADD COLUMN %s %s%s", add.len ? "," : "",
							 column->name, column->type, column->constraint);
		else if (column->default_value)
		{
			check_no_nulls(attach, column->name);
			appendStringInfo(&add, "%s ALTER COLUMN %s SET NOT NULL",
							 add.len ? "," : "", column->name);
		}
		appendStringInfo(&alter, "ALTER COLUMN %s DROP DEFAULT, ", column->name);
	}
	mkt_query_run("ALTER TABLE %s%s", attach->name, add.data);

	/* S3 */
	mkt_query_run("ALTER TABLE %s %sADD CONSTRAINT %s CHECK ("
				  "mkt.is_state(marketing_status, marketing_until_next_update, marketing_until)) NOT VALID",
				  attach->name, alter.data, MKT_CONSTRAINT);
}

static void
check_no_nulls(Attach *attach, const char *column)
{
	mkt_query_run("SELECT FROM %s WHERE %s IS NULL LIMIT 1", attach->name, column);
	if (SPI_processed > 0)
		ereport(ERROR,
				errcode(ERRCODE_MKT_CANNOT_ATTACH),
				errmsg("column \"%s\" of table %s has nulls", column, attach->name),
				errdetail("Every contact is marketing or non-marketing."),
				errhint("UPDATE %s SET %s = ... WHERE %s IS NULL;", attach->name, column,
						column));
}

/* Columns that were there may say what no state says (S3). */
static void
check_states(Attach *attach)
{
	uint64		wrong;

	mkt_query_run("SELECT FROM %s WHERE NOT mkt.is_state(marketing_status, marketing_until_next_update, marketing_until)",
				  attach->name);
	wrong = SPI_processed;
	if (wrong > 0)
		ereport(ERROR,
				errcode(ERRCODE_MKT_CANNOT_ATTACH),
				errmsg("the marketing columns of table %s contradict each other", attach->name),
				errdetail_plural("They do so in " UINT64_FORMAT " contact.",
								 "They do so in " UINT64_FORMAT " contacts.",
								 (unsigned long) wrong, wrong),
				errhint("UPDATE %s SET marketing_until_next_update = false, marketing_until = NULL WHERE NOT mkt.is_state(marketing_status, marketing_until_next_update, marketing_until);",
						attach->name));
}

static void
note_attachment(Attach *attach, const MktAttachedTable *table)
{
	MktRights	rights = mkt_act_as(mkt_extension_owner());
	Datum		values[] = {
		ObjectIdGetDatum(attach->contacts),
		ObjectIdGetDatum(table->count_table),
		attach->account ? CStringGetTextDatum(attach->account) : (Datum) 0,
		attach->already_marketing ? CStringGetTextDatum(attach->already_marketing) : (Datum) 0,
		attach->unsubscribed ? CStringGetTextDatum(attach->unsubscribed) : (Datum) 0,
		attach->bounced ? CStringGetTextDatum(attach->bounced) : (Datum) 0,
		ObjectIdGetDatum(table->history),
		ObjectIdGetDatum(table->count_history),
		BoolGetDatum(attach->adopted),
		Int16GetDatum(MKT_STRUCTURE)
	};
	Oid			types[] = {OIDOID, OIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, OIDOID, OIDOID, BOOLOID, INT2OID};
	char		nulls[lengthof(values)];

	for (size_t i = 0; i < lengthof(values); i++)
		nulls[i] = values[i] || types[i] == BOOLOID ? ' ' : 'n';
	if (SPI_execute_with_args("INSERT INTO mkt.attachment (contacts, count_table, account, "
							  "already_marketing, filled, unsubscribed, bounced, history, count_history, history_since, attached_at, structure) "
							  "VALUES ($1, $2, $3, $4, $4 IS NULL, $5, $6, $7, $8, mkt.now(), CASE WHEN $9 THEN NULL ELSE mkt.now() END, $10)",
							  lengthof(values), types, values, nulls, false,
							  0) != SPI_OK_INSERT)
		elog(ERROR, "could not note the attachment");
	mkt_act_again_as(rights);
}

/* Their names put them in order, and after most of the user's own. */
static void
create_triggers(Attach *attach)
{
	StringInfoData columns;
	StringInfoData changed;

	initStringInfo(&columns);
	initStringInfo(&changed);
	if (attach->account_column)
	{
		const char *account = column_name(attach, attach->account_column);

		appendStringInfo(&columns, "%s, ", account);
		appendStringInfo(&changed, "OLD.%s IS DISTINCT FROM NEW.%s OR ", account, account);
	}
	for (size_t i = 0; i < lengthof(new_columns); i++)
		appendStringInfo(&columns, "%s%s", i ? ", " : "", new_columns[i].name);
	for (int i = 0; i < attach->nkeys; i++)
		appendStringInfo(&columns, ", %s", column_name(attach, attach->keys[i]));

	mkt_query_run("CREATE OR REPLACE TRIGGER %s BEFORE INSERT OR UPDATE ON %s "
				  "FOR EACH ROW EXECUTE FUNCTION mkt.contact_state()",
				  MKT_TRIGGER_STATE, attach->name);
	mkt_query_run("CREATE OR REPLACE TRIGGER %s AFTER INSERT OR DELETE ON %s "
				  "FOR EACH ROW EXECUTE FUNCTION mkt.contact_count()",
				  MKT_TRIGGER_COUNT, attach->name);
	mkt_query_run("CREATE OR REPLACE TRIGGER %s AFTER UPDATE ON %s "
				  "FOR EACH ROW WHEN (%sOLD.marketing_status IS DISTINCT FROM NEW.marketing_status "
				  "OR OLD.marketing_until IS DISTINCT FROM NEW.marketing_until) "
				  "EXECUTE FUNCTION mkt.contact_recount()",
				  MKT_TRIGGER_RECOUNT, attach->name, changed.data);
	mkt_query_run("CREATE OR REPLACE TRIGGER %s AFTER INSERT OR DELETE OR UPDATE OF %s ON %s "
				  "FOR EACH STATEMENT EXECUTE FUNCTION mkt.contact_post()",
				  MKT_TRIGGER_POST, columns.data, attach->name);
	mkt_query_run("CREATE OR REPLACE TRIGGER %s AFTER TRUNCATE ON %s "
				  "FOR EACH STATEMENT EXECUTE FUNCTION mkt.contact_truncate()",
				  MKT_TRIGGER_TRUNCATE, attach->name);
}

/*
 * Columns that were there say who is marketing, and are counted before anybody
 * writes.  Otherwise everybody is non-marketing, and how many they are can wait.
 */
static void
first_count(Attach *attach, MktAttachedTable *table)
{
	table->counted = true;
	CommandCounterIncrement();
	if (attach->adopted)
	{
		check_states(attach);
		mkt_verify_repair(table);
	}
	else if (!IsolationUsesXactSnapshot() &&
			 blocks_of(attach->contacts) <= COUNT_AT_ONCE_BLOCKS)
		mkt_verify_count(table);
	else
		ereport(NOTICE,
				errmsg("the non-marketing contacts of table %s will be counted by the next mkt.run()",
					   attach->name),
				errhint("CALL mkt.run();"));
	if (attach->already_marketing)
		ereport(NOTICE,
				errmsg("the contacts that already are marketing will be set so by the next mkt.run()"),
				errhint("CALL mkt.fill_already_marketing(%s);",
						quote_literal_cstr(attach->name)));
}

static BlockNumber
blocks_of(Oid contacts)
{
	BlockNumber blocks = 0;
	ListCell   *cell;

	foreach(cell, find_all_inheritors(contacts, NoLock, NULL))
	{
		Relation	rel = relation_open(lfirst_oid(cell), NoLock);

		if (RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
			blocks += RelationGetNumberOfBlocks(rel);
		relation_close(rel, NoLock);
	}
	return blocks;
}

static const char *
column_name(Attach *attach, AttrNumber column)
{
	return quote_identifier(get_attname(attach->contacts, column, false));
}
