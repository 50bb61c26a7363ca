/*-------------------------------------------------------------------------
 * append.c
 *	  Rows into the extension's own tables, many at a time and past the executor.
 *
 * For tables that only the extension writes: no trigger, no rule, no policy and
 * no check of rights is heeded, but every index is.  Rows wait in slots and are
 * written together; whoever opens an appender closes it in the same statement.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "compat.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"

/* Rows of this many fit on a few pages. */
#define SLOTS 256

struct MktAppender
{
	Relation	rel;
	EState	   *estate;
	ResultRelInfo *result;
	int			nmade;
	int			nused;
	TupleTableSlot *slots[SLOTS];
};

static void flush(MktAppender *appender);

/* NULL when the table is not there any more. */
MktAppender *
mkt_append_open(Oid relid)
{
	Relation	rel = try_table_open(relid, RowExclusiveLock);
	MktAppender *appender;

	if (rel == NULL)
		return NULL;
	appender = palloc(offsetof(MktAppender, slots) + SLOTS * sizeof(TupleTableSlot *));
	appender->rel = rel;
	appender->estate = CreateExecutorState();
	appender->result = makeNode(ResultRelInfo);
	appender->nmade = 0;
	appender->nused = 0;
	InitResultRelInfo(appender->result, rel, 0, NULL, 0);
	ExecOpenIndices(appender->result, false);
	return appender;
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

void
mkt_append_close(MktAppender *appender)
{
	flush(appender);
	for (int i = 0; i < appender->nmade; i++)
		ExecDropSingleTupleTableSlot(appender->slots[i]);
	ExecCloseIndices(appender->result);
	FreeExecutorState(appender->estate);
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
	for (int i = 0; i < appender->nused && appender->result->ri_NumIndices > 0; i++)
	{
		appender->slots[i]->tts_tableOid = RelationGetRelid(appender->rel);
		mkt_insert_index_entries(appender->result, appender->slots[i], appender->estate);
		ResetPerTupleExprContext(appender->estate);
	}
	appender->nused = 0;
}
