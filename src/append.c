/*-------------------------------------------------------------------------
 * append.c
 *	  Rows into the extension's own tables, many at a time and past the executor.
 *
 * For tables that only the extension writes: no trigger, no rule, no policy and
 * no check of rights is heeded, but every index is.  Rows wait in slots and are
 * written together; whoever opens an appender closes it in the same statement.
 *
 * Those indexes that the extension makes are written directly, because preparing
 * the executor takes longer than a row does; where somebody has added another kind,
 * the executor does it.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "compat.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "nodes/pg_list.h"
#include "nodes/primnodes.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "utils/rel.h"
#include "utils/relcache.h"

/* Rows of this many fit on a few pages. */
#define SLOTS 256

/* A B-tree on columns, of all rows or of those in which one column is not null. */
typedef struct PlainIndex
{
	Relation	rel;
	AttrNumber	not_null;		/* that column; 0: all rows */
} PlainIndex;

struct MktAppender
{
	Relation	rel;
	List	   *indexes;		/* to be written directly, or ... */
	ResultRelInfo *result;		/* ... by the executor */
	EState	   *estate;
	int			nmade;
	int			nused;
	TupleTableSlot *slots[SLOTS];
};

static bool open_indexes(MktAppender *appender);
static void close_indexes(MktAppender *appender);
static bool is_plain(PlainIndex *index);
static void flush(MktAppender *appender);
static void insert_index_entries(MktAppender *appender, TupleTableSlot *slot);
static void insert_directly(MktAppender *appender, TupleTableSlot *slot);

/* To write to; NULL when it is not there any more. */
Relation
mkt_table_open(Oid relid)
{
	Relation	rel;

	/* try_table_open() would look into the catalogue, too */
	LockRelationOid(relid, RowExclusiveLock);
	rel = RelationIdGetRelation(relid);
	if (rel)
		pgstat_init_relation(rel);
	else
		UnlockRelationOid(relid, RowExclusiveLock);
	return rel;
}

/* NULL when the table is not there any more. */
MktAppender *
mkt_append_open(Oid relid)
{
	Relation	rel = mkt_table_open(relid);
	MktAppender *appender;

	if (rel == NULL)
		return NULL;
	appender = palloc(offsetof(MktAppender, slots) + SLOTS * sizeof(TupleTableSlot *));
	appender->rel = rel;
	appender->nmade = 0;
	appender->nused = 0;
	appender->result = NULL;
	if (!open_indexes(appender))
	{
		close_indexes(appender);
		appender->estate = CreateExecutorState();
		appender->result = makeNode(ResultRelInfo);
		InitResultRelInfo(appender->result, rel, 0, NULL, 0);
		ExecOpenIndices(appender->result, false);
	}
	return appender;
}

/* Whether all are plain. */
static bool
open_indexes(MktAppender *appender)
{
	List	   *indexes = RelationGetIndexList(appender->rel);
	bool		plain = true;
	ListCell   *cell;

	appender->indexes = NIL;
	foreach(cell, indexes)
	{
		PlainIndex *index = palloc0(sizeof(PlainIndex));

		index->rel = index_open(lfirst_oid(cell), RowExclusiveLock);
		appender->indexes = lappend(appender->indexes, index);
		plain = plain && is_plain(index);
	}
	list_free(indexes);
	return plain;
}

static void
close_indexes(MktAppender *appender)
{
	ListCell   *cell;

	foreach(cell, appender->indexes)
		index_close(((PlainIndex *) lfirst(cell))->rel, NoLock);
	list_free_deep(appender->indexes);
	appender->indexes = NIL;
}

static bool
is_plain(PlainIndex *index)
{
	Relation	rel = index->rel;
	List	   *predicate;
	NullTest   *test;

	if (rel->rd_rel->relam != BTREE_AM_OID || rel->rd_index->indisunique ||
		!heap_attisnull(rel->rd_indextuple, Anum_pg_index_indexprs, NULL))
		return false;
	predicate = RelationGetIndexPredicate(rel);
	if (predicate == NIL)
		return true;
	test = linitial(predicate);
	if (list_length(predicate) != 1 || !IsA(test, NullTest) ||
		test->nulltesttype != IS_NOT_NULL || test->argisrow || !IsA(test->arg, Var))
		return false;
	index->not_null = ((Var *) test->arg)->varattno;
	return true;
}

Relation
mkt_append_relation(const MktAppender *appender)
{
	return appender->rel;
}

/* An empty slot, whose values the caller sets. */
TupleTableSlot *
mkt_append_slot(MktAppender *appender)
{
	TupleTableSlot *slot;

	if (appender->nused == SLOTS)
		flush(appender);
	if (appender->nused == appender->nmade)
		appender->slots[appender->nmade++] = table_slot_create(appender->rel, NULL);
	slot = appender->slots[appender->nused];
	ExecClearTuple(slot);
	memset(slot->tts_isnull, false, slot->tts_tupleDescriptor->natts * sizeof(bool));
	return slot;
}

/* The row is what the slot says now. */
void
mkt_append_row(MktAppender *appender)
{
	ExecStoreVirtualTuple(appender->slots[appender->nused++]);
}

/* Writes the rows that wait, and returns the last one. */
TupleTableSlot *
mkt_append_flush(MktAppender *appender)
{
	TupleTableSlot *last = appender->slots[appender->nused - 1];

	flush(appender);
	return last;
}

/* For a row that is in its table already, and in no index. */
void
mkt_append_index(Oid relid, HeapTuple row)
{
	MktAppender *appender = mkt_append_open(relid);
	TupleTableSlot *slot = mkt_append_slot(appender);

	ExecForceStoreHeapTuple(row, slot, false);
	slot->tts_tid = row->t_self;
	insert_index_entries(appender, slot);
	mkt_append_close(appender);
}

void
mkt_append_close(MktAppender *appender)
{
	flush(appender);
	for (int i = 0; i < appender->nmade; i++)
		ExecDropSingleTupleTableSlot(appender->slots[i]);
	if (appender->result)
	{
		ExecCloseIndices(appender->result);
		FreeExecutorState(appender->estate);
	}
	close_indexes(appender);
	table_close(appender->rel, NoLock);
	pfree(appender);
}

static void
flush(MktAppender *appender)
{
	if (appender->nused == 0)
		return;
	table_multi_insert(appender->rel, appender->slots, appender->nused,
					   GetCurrentCommandId(true), 0, NULL);
	for (int i = 0; i < appender->nused; i++)
		insert_index_entries(appender, appender->slots[i]);
	appender->nused = 0;
}

static void
insert_index_entries(MktAppender *appender, TupleTableSlot *slot)
{
	if (appender->result == NULL)
	{
		insert_directly(appender, slot);
		return;
	}
	slot->tts_tableOid = RelationGetRelid(appender->rel);
	mkt_insert_index_entries(appender->result, slot, appender->estate);
	ResetPerTupleExprContext(appender->estate);
}

static void
insert_directly(MktAppender *appender, TupleTableSlot *slot)
{
	static IndexInfo info = {.type = T_IndexInfo};
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];
	ListCell   *cell;

	foreach(cell, appender->indexes)
	{
		PlainIndex *index = lfirst(cell);
		Form_pg_index form = index->rel->rd_index;

		if (!form->indisready ||
			(index->not_null != 0 && slot_attisnull(slot, index->not_null)))
			continue;
		for (int i = 0; i < form->indnatts; i++)
			values[i] = slot_getattr(slot, form->indkey.values[i], &isnull[i]);
		index_insert(index->rel, values, isnull, &slot->tts_tid, appender->rel,
					 UNIQUE_CHECK_NO, false, &info);
	}
}

/* The bytes of a row's data that stand before a column. */
uint32
mkt_data_before(HeapTuple row, TupleDesc desc, AttrNumber column)
{
	HeapTupleHeader header = row->t_data;
	const char *data = (const char *) header + header->t_hoff;
	uint32		len = 0;

	for (int i = 0; i < column - 1; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (HeapTupleHasNulls(row) && att_isnull(i, header->t_bits))
			continue;
		len = att_align_pointer(len, att->attalign, att->attlen, data + len);
		len = att_addlength_pointer(len, att->attlen, data + len);
	}
	return len;
}
