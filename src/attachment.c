/*-------------------------------------------------------------------------
 * attachment.c
 *	  What is attached: mkt.attachment and the triggers, as a struct.
 *
 * Called for every row by the triggers, so the answer is kept in a backend
 * cache.  An entry is marked invalid by any invalidation of its table, of the
 * attached table above it or of its counts, and refilled at its next use; it
 * never moves and is never freed, so that a pointer to it stays good.
 *
 * The columns stand in the column list of the trigger mkt_90_post: PostgreSQL
 * keeps that list right through renames, dumps and restores.  Their order there
 * is account (unless the whole table belongs to one), status, flag, until,
 * source type, source name, key columns.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/partition.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "errors.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* The columns of mkt.attachment that are read here. */
#define ATT_CONTACTS	1
#define ATT_COUNT_TABLE	2
#define ATT_ACCOUNT		3
#define ATT_COUNTED		4
#define ATT_FILLED		5
#define ATT_HISTORY		9
#define ATT_COUNT_HISTORY	10
#define ATT_SINCE		11
#define ATT_ATTACHED_AT	13
#define ATT_STRUCTURE	14
#define ATT_COLUMNS		14

/* What stands before the key columns in the trigger's list. */
#define COLUMNS_OF_STATE 5

static HTAB *cache = NULL;

static bool fill(MktAttachment *entry);
static bool read_row(Oid relid, MktAttachment *entry);
static Relation open_attachments(void);
static MktAttachedTable *read_table(HeapTuple tuple, TupleDesc desc);
static int	compare_tables(const ListCell *a, const ListCell *b);
static bool read_columns(MktAttachment *entry);
static const Trigger *post_trigger(Relation contacts);
static AttrNumber same_column(Relation contacts, Oid relid, AttrNumber column);
static Oid	label(Oid type, const char *name);
static void forget(Datum arg, Oid relid);

/* The attachment to which a table with our triggers belongs. */
MktAttachment *
mkt_attachment_of(Oid relid)
{
	MktAttachment *entry = mkt_attachment_find(relid);

	if (entry == NULL)
		ereport(ERROR,
				errcode(ERRCODE_MKT_NOT_ATTACHED),
				errmsg("table %s is not attached", mkt_qualified_name(relid)),
				errdetail("Nothing counts the contacts of this table."),
				errhint("SELECT mkt.attach(%s, account_column => ...);",
						quote_literal_cstr(mkt_qualified_name(relid))));
	return entry;
}

/* The same, or NULL for a table that is not attached. */
MktAttachment *
mkt_attachment_find(Oid relid)
{
	MktAttachment *entry;
	bool		found;

	entry = hash_search(cache, &relid, HASH_ENTER, &found);
	if (!found)
	{
		entry->valid = entry->filled = false;
		entry->context = NULL;
	}
	if (!(entry->valid && entry->filled) && !fill(entry))
		return NULL;
	return entry;
}

/*
 * Fills an entry.  It counts as valid from before the catalogs are read, so
 * that an invalidation that arrives meanwhile is not lost: then the answer is
 * good for this once, because the caller's lock keeps the table as it is.  An
 * error, such as of a transaction that cannot be serialized, leaves it unfilled.
 */
static bool
fill(MktAttachment *entry)
{
	List	   *path;
	ListCell   *cell;
	bool		found;

	if (entry->context == NULL)
		entry->context = AllocSetContextCreate(CacheMemoryContext,
											   "mktcontacts attachment",
											   ALLOCSET_SMALL_SIZES);
	else
		MemoryContextReset(entry->context);
	entry->contacts = InvalidOid;
	entry->count_table = InvalidOid;
	entry->valid = true;
	entry->filled = false;

	found = read_row(entry->relid, entry);
	if (!found && get_rel_relispartition(entry->relid))
	{
		path = get_partition_ancestors(entry->relid);
		foreach(cell, path)
		{
			if ((found = read_row(lfirst_oid(cell), entry)))
				break;
		}
		list_free(path);
	}
	found = found && read_columns(entry);
	entry->filled = found;
	return found;
}

static Relation
open_attachments(void)
{
	mkt_version_check();
	return table_open(mkt_relation("attachment"), AccessShareLock);
}

/* Reads the row of mkt.attachment for a table, if there is one. */
static bool
read_row(Oid relid, MktAttachment *entry)
{
	Relation	rel = open_attachments();
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key, ATT_CONTACTS, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, mkt_relation("attachment_pkey"), true, NULL,
							  1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		TupleDesc	desc = RelationGetDescr(rel);
		MemoryContext before = MemoryContextSwitchTo(entry->context);
		bool		isnull;
		Datum		account;

		entry->contacts = relid;
		entry->count_table =
			DatumGetObjectId(heap_getattr(tuple, ATT_COUNT_TABLE, desc, &isnull));
		account = heap_getattr(tuple, ATT_ACCOUNT, desc, &isnull);
		entry->constant_account = isnull ? (Datum) 0 :
			PointerGetDatum(PG_DETOAST_DATUM_COPY(account));
		entry->history =
			DatumGetObjectId(heap_getattr(tuple, ATT_HISTORY, desc, &isnull));
		heap_getattr(tuple, ATT_SINCE, desc, &isnull);
		if (isnull)
			entry->history = InvalidOid;
		found = true;
		MemoryContextSwitchTo(before);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* Reads which columns are which; false when the triggers are not there. */
static bool
read_columns(MktAttachment *entry)
{
	Relation	contacts = try_relation_open(entry->contacts, AccessShareLock);
	const Trigger *trigger = contacts ? post_trigger(contacts) : NULL;
	int			first = entry->constant_account ? 0 : 1;
	AttrNumber	column[COLUMNS_OF_STATE + 1 + INDEX_MAX_KEYS];
	Oid			status_type;

	if (trigger == NULL || trigger->tgnattr < first + COLUMNS_OF_STATE + 1)
	{
		if (contacts)
			relation_close(contacts, AccessShareLock);
		return false;
	}
	for (int i = 0; i < trigger->tgnattr; i++)
		column[i] = same_column(contacts, entry->relid, trigger->tgattr[i]);

	entry->account = first ? column[0] : InvalidAttrNumber;
	entry->status = column[first];
	entry->flag = column[first + 1];
	entry->until = column[first + 2];
	entry->source_type = column[first + 3];
	entry->source_name = column[first + 4];
	entry->nkeys = trigger->tgnattr - first - COLUMNS_OF_STATE;
	memcpy(entry->keys, column + first + COLUMNS_OF_STATE,
		   entry->nkeys * sizeof(AttrNumber));
	for (int i = 0; i < entry->nkeys; i++)
		get_typlenbyval(get_atttype(entry->relid, entry->keys[i]), &entry->key_len[i],
						&entry->key_by_value[i]);

	entry->account_type = first ? get_atttype(entry->relid, entry->account) : TEXTOID;
	get_typlenbyval(entry->account_type, &entry->account_len,
					&entry->account_by_value);
	status_type = get_atttype(entry->relid, entry->status);
	entry->marketing = label(status_type, "marketing");
	entry->non_marketing = label(status_type, "non_marketing");
	relation_close(contacts, AccessShareLock);
	return true;
}

static const Trigger *
post_trigger(Relation contacts)
{
	if (contacts->trigdesc)
		for (int i = 0; i < contacts->trigdesc->numtriggers; i++)
			if (strcmp(contacts->trigdesc->triggers[i].tgname,
					   MKT_TRIGGER_POST) == 0)
				return &contacts->trigdesc->triggers[i];
	return NULL;
}

/* A partition may have the columns of its parent in other places. */
static AttrNumber
same_column(Relation contacts, Oid relid, AttrNumber column)
{
	if (RelationGetRelid(contacts) == relid)
		return column;
	return get_attnum(relid, NameStr(TupleDescAttr(RelationGetDescr(contacts),
												   column - 1)->attname));
}

static Oid
label(Oid type, const char *name)
{
	Oid			oid = GetSysCacheOid2(ENUMTYPOIDNAME, Anum_pg_enum_oid,
									  ObjectIdGetDatum(type),
									  CStringGetDatum(name));

	if (!OidIsValid(oid))
		elog(ERROR, "type %u has no label \"%s\"", type, name);
	return oid;
}

/* A value of mkt.status. */
Oid
mkt_attachment_status(bool marketing)
{
	return label(GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("status"),
								 ObjectIdGetDatum(mkt_schema())),
				 marketing ? "marketing" : "non_marketing");
}

/* Whether a value of mkt.status is 'marketing'. */
bool
mkt_attachment_is_marketing(Oid status)
{
	HeapTuple	tuple = SearchSysCache1(ENUMOID, ObjectIdGetDatum(status));
	bool		marketing;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for status %u", status);
	marketing = strcmp(NameStr(((Form_pg_enum) GETSTRUCT(tuple))->enumlabel),
					   "marketing") == 0;
	ReleaseSysCache(tuple);
	return marketing;
}

/* The attached tables, a list of MktAttachedTable, always in the same order. */
List *
mkt_attachment_list(void)
{
	Relation	rel = open_attachments();
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	List	   *list = NIL;
	HeapTuple	tuple;

	/* they are so few that an index would take longer */
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		list = lappend(list, read_table(tuple, RelationGetDescr(rel)));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	list_sort(list, compare_tables);
	return list;
}

static MktAttachedTable *
read_table(HeapTuple tuple, TupleDesc desc)
{
	MktAttachedTable *table = palloc(sizeof(MktAttachedTable));
	Datum		values[ATT_COLUMNS];
	bool		nulls[ATT_COLUMNS];

	Assert(desc->natts == ATT_COLUMNS);
	heap_deform_tuple(tuple, desc, values, nulls);
	table->contacts = DatumGetObjectId(values[ATT_CONTACTS - 1]);
	table->count_table = DatumGetObjectId(values[ATT_COUNT_TABLE - 1]);
	table->counted = DatumGetBool(values[ATT_COUNTED - 1]);
	table->filled = DatumGetBool(values[ATT_FILLED - 1]);
	table->history = DatumGetObjectId(values[ATT_HISTORY - 1]);
	table->count_history = DatumGetObjectId(values[ATT_COUNT_HISTORY - 1]);
	table->history_since = nulls[ATT_SINCE - 1] ? DT_NOEND :
		DatumGetTimestampTz(values[ATT_SINCE - 1]);
	table->attached_at = nulls[ATT_ATTACHED_AT - 1] ? DT_NOBEGIN :
		DatumGetTimestampTz(values[ATT_ATTACHED_AT - 1]);
	table->structure = DatumGetInt16(values[ATT_STRUCTURE - 1]);
	return table;
}

static int
compare_tables(const ListCell *a, const ListCell *b)
{
	Oid			one = ((const MktAttachedTable *) lfirst(a))->contacts;
	Oid			other = ((const MktAttachedTable *) lfirst(b))->contacts;

	return (one > other) - (one < other);
}

/* One of them, or NULL. */
MktAttachedTable *
mkt_attachment_table(Oid contacts)
{
	ListCell   *cell;

	foreach(cell, mkt_attachment_list())
	{
		MktAttachedTable *table = lfirst(cell);

		if (table->contacts == contacts)
			return table;
	}
	return NULL;
}

/* Whether one column alone tells all rows of a table apart. */
bool
mkt_attachment_unique(Relation rel, AttrNumber column)
{
	bool		unique = false;
	ListCell   *cell;

	foreach(cell, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);
		Form_pg_index form = index->rd_index;

		unique |= form->indisunique && form->indisvalid && form->indimmediate &&
			form->indnkeyatts == 1 && form->indkey.values[0] == column &&
			heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL);
		index_close(index, AccessShareLock);
	}
	return unique;
}

/* A column's quoted name, for building a query. */
char *
mkt_attachment_column(const MktAttachment *attachment, AttrNumber column)
{
	return pstrdup(quote_identifier(get_attname(attachment->relid, column,
												false)));
}

/* A table's schema-qualified, quoted name. */
char *
mkt_qualified_name(Oid relid)
{
	char	   *name = get_rel_name(relid);

	if (name == NULL)
		return psprintf("%u", relid);
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  name);
}

void
mkt_attachment_init(void)
{
	HASHCTL		control = {
		.keysize = sizeof(Oid),
		.entrysize = sizeof(MktAttachment),
		.hcxt = CacheMemoryContext
	};

	if (!CacheMemoryContext)
		CreateCacheMemoryContext();
	control.hcxt = CacheMemoryContext;
	cache = hash_create("mktcontacts attachments", 16, &control,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(forget, (Datum) 0);
}

static void
forget(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	MktAttachment *entry;

	hash_seq_init(&status, cache);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (relid == InvalidOid || relid == entry->relid ||
			relid == entry->contacts || relid == entry->count_table)
			entry->valid = false;
}
