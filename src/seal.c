/*-------------------------------------------------------------------------
 * seal.c
 *	  Reading an account's rows in a table of counts past those that are dead.
 *
 * Folding deletes rows all the time, and while some transaction may still see
 * them, a pg_dump for example, their index entries stay in the way of all who
 * read or fold the account, for hours.  So a row's place in the index says when
 * it was written: its lane is the number of its transaction, rounded down to a
 * block, and a random number in it, so that many writers do not meet on one page.
 *
 * Who has folded all that it saw of an account knows that rows of transactions
 * that had ended then are dead, and that there will be no more of them.  It seals
 * them: a row of the account with the limit as a lane below zero, so that the
 * newest seal comes first, says that lower lanes need not be read any more by
 * whoever sees the seal.  Blocks below the limit in which a transaction was
 * running stay open: there is a row of the seal for each.
 *
 * Numbers of transactions mean something in their own cluster only.  A seal that
 * another one wrote, before a dump, says nothing: it names the transaction that
 * wrote it, which must be that of the row.  And rows that do not come from
 * count.c get a lane of their own transaction by a trigger.
 *-------------------------------------------------------------------------
 */
#include "count.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/pg_prng.h"
#include "compat.h"
#include "errors.h"
#include "fmgr.h"
#include "utils/fmgroids.h"

/* So many lanes are a block. */
#define BLOCK 64

#define block_of(lane) ((lane) & ~(int64) (BLOCK - 1))

static bool next_range(MktCountScan *scan);
static void rescan(MktCountScan *scan, int64 from, int64 below);
static void note_seal(MktCountScan *scan, TupleTableSlot *slot, int64 lane);
static int64 full_number(TransactionId xid, uint64 next);
static int	compare_blocks(const void *a, const void *b);

PG_FUNCTION_INFO_V1(mkt_give_lane);

/* Not in a table that a dump of 0.1 has brought, until mkt.run() has renewed it. */
bool
mkt_can_seal(Relation rel)
{
	return TupleDescAttr(RelationGetDescr(rel), CNT_LANE - 1)->atttypid == INT8OID;
}

/* For a row that this transaction writes to a table of counts; a tally's is odd. */
int64
mkt_lane(Relation rel, bool tally)
{
	int64		lane = (pg_prng_uint32(&pg_global_prng_state) % BLOCK & ~1) + tally;

	if (!mkt_can_seal(rel))
		return lane;
	return lane + block_of((int64) U64FromFullTransactionId(GetTopFullTransactionId()));
}

/* Whether a row has a lane of transactions before this one. */
bool
mkt_lane_is_older(TupleTableSlot *slot)
{
	bool		isnull;

	return DatumGetInt64(slot_getattr(slot, CNT_LANE, &isnull)) <
		block_of((int64) U64FromFullTransactionId(GetTopFullTransactionId()));
}

/* Trigger of tables of counts: for rows that do not come from mkt_lane()'s callers. */
Datum
mkt_give_lane(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	HeapTuple	row;
	Datum		lane;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_MKT_WRONG_CALL),
				errmsg("mkt.give_lane() is the trigger function of tables of counts"));
	row = trigger->tg_trigtuple;
	lane = heap_getattr(row, CNT_LANE, RelationGetDescr(trigger->tg_relation), &isnull);
	if (!isnull && DatumGetInt64(lane) < 0)
		return PointerGetDatum(NULL);	/* a seal of elsewhere */
	lane = Int64GetDatum(mkt_lane(trigger->tg_relation, false));
	isnull = false;
	return PointerGetDatum(heap_modify_tuple_by_cols(row, RelationGetDescr(trigger->tg_relation), 1,
													 (int[]) {CNT_LANE}, &lane, &isnull));
}

void
mkt_count_scan_begin(MktCountScan *scan, Relation rel, Relation index,
					 Datum account_name, bool isnull, Snapshot snapshot)
{
	memset(scan, 0, sizeof(MktCountScan));
	scan->scan = mkt_index_beginscan(rel, index, snapshot, 1);
	ScanKeyEntryInitialize(&scan->keys[0], isnull ? SK_ISNULL | SK_SEARCHNULL : 0, 1,
						   isnull ? InvalidStrategy : BTEqualStrategyNumber,
						   InvalidOid, index->rd_indcollation[0],
						   isnull ? InvalidOid : F_TEXTEQ, account_name);
	index_rescan(scan->scan, scan->keys, 1, NULL, 0);
}

/* Rows that count, in no order. */
bool
mkt_count_scan_next(MktCountScan *scan, TupleTableSlot *slot)
{
	do
	{
		while (index_getnext_tid(scan->scan, ForwardScanDirection) != NULL)
		{
			bool		isnull;
			int64		lane;

			if (!index_fetch_heap(scan->scan, slot))
			{
				scan->ndead += scan->scan->kill_prior_tuple ? 0 : 1;
				continue;
			}
			lane = DatumGetInt64(slot_getattr(slot, CNT_LANE, &isnull));
			if (lane >= 0)
				return true;
			note_seal(scan, slot, lane);
			if (scan->has_seal)
				break;
		}
	} while (next_range(scan));
	return false;
}

void
mkt_count_scan_end(MktCountScan *scan)
{
	index_endscan(scan->scan);
}

/* Goes on with the open blocks, and then with what is above the limit. */
static bool
next_range(MktCountScan *scan)
{
	int			i = scan->next_range++;

	if (!scan->has_seal || i > scan->seal.nopen)
		return false;
	if (i < scan->seal.nopen)
		rescan(scan, scan->seal.open[i], scan->seal.open[i] + BLOCK);
	else
		rescan(scan, scan->seal.limit, PG_INT64_MAX);
	return true;
}

static void
rescan(MktCountScan *scan, int64 from, int64 below)
{
	IndexScanDesc before = scan->scan;

	if (before->numberOfKeys == 1)
	{
		scan->scan = mkt_index_beginscan(before->heapRelation, before->indexRelation,
										 before->xs_snapshot, lengthof(scan->keys));
		index_endscan(before);
	}
	ScanKeyInit(&scan->keys[1], 2, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(from));
	ScanKeyInit(&scan->keys[2], 2, BTLessStrategyNumber, F_INT8LT, Int64GetDatum(below));
	index_rescan(scan->scan, scan->keys, lengthof(scan->keys), NULL, 0);
}

/* Takes a row of a seal in. The newest seal comes first, but for those of other clusters. */
static void
note_seal(MktCountScan *scan, TupleTableSlot *slot, int64 lane)
{
	MktSeal    *seal = &scan->seal;
	bool		isnull;
	uint64		n = DatumGetInt64(slot_getattr(slot, CNT_N, &isnull));
	TransactionId by = mkt_row_xid(slot);
	int64		distance = n >> 36;
	int			nopen = n >> 32 & 0xF;

	if (scan->for_folding)
	{
		ItemPointer tid = palloc(sizeof(ItemPointerData));

		*tid = slot->tts_tid;
		scan->seals = lappend(scan->seals, tid);
	}
	if (by != (TransactionId) n || (seal->limit != 0 && by != seal->by))
		return;
	seal->limit = -lane;
	seal->by = by;
	if (nopen > 0)
		seal->open[seal->nopen++] = seal->limit - distance * BLOCK;
	scan->has_seal = seal->nopen == nopen;
}

/*
 * How far an account can be sealed by whoever has folded all rows that a snapshot
 * sees.  This transaction, too, may have written more than that.
 */
MktSeal
mkt_seal_by(Snapshot snapshot)
{
	uint64		next = U64FromFullTransactionId(ReadNextFullTransactionId());
	MktSeal		seal = {.limit = block_of(full_number(snapshot->xmax, next))};
	int64	   *open = palloc((snapshot->xcnt + 1) * sizeof(int64));
	int			nopen = 0;
	int			nblocks = 0;

	open[nopen++] = block_of((int64) U64FromFullTransactionId(GetTopFullTransactionId()));
	for (uint32 i = 0; i < snapshot->xcnt; i++)
		open[nopen++] = block_of(full_number(snapshot->xip[i], next));
	qsort(open, nopen, sizeof(int64), compare_blocks);
	for (int i = 0; i < nopen && open[i] < seal.limit; i++)
	{
		if (nblocks > 0 && open[nblocks - 1] == open[i])
			continue;
		if (nblocks == MKT_OPEN_BLOCKS)
			seal.limit = open[i];
		else
			open[nblocks++] = open[i];
	}
	while (nblocks > 0 && open[nblocks - 1] == seal.limit - BLOCK)
		seal.limit = open[--nblocks];
	memcpy(seal.open, open, nblocks * sizeof(int64));
	seal.nopen = nblocks;
	pfree(open);
	return seal;
}

/* What a row of a seal has as its number; each is for an open block, if there are any. */
int64
mkt_seal_row(const MktSeal *seal, int i)
{
	uint64		distance = seal->nopen > 0 ? (seal->limit - seal->open[i]) / BLOCK : 0;

	return (int64) (distance << 36 | (uint64) seal->nopen << 32 | GetCurrentTransactionId());
}

/*
 * A query, for PostgreSQL's own search path, that finds rows which readers pass by
 * although they are there.  There are none, unless somebody has written lanes that
 * are not the transaction's, or has set the numbers of transactions back.
 */
char *
mkt_seal_passed_by(const char *count_table)
{
	return psprintf("SELECT c.ctid FROM ONLY %s AS c JOIN ("
					"SELECT DISTINCT ON (account_name) account_name, - lane AS below, count(*) AS rows, "
					"min(n >> 32 & 15) AS nopen, array_agg(- lane - (n >> 36) * %d) AS open "
					"FROM ONLY %s WHERE lane < 0 AND n & 4294967295 = xmin::text::int8 "
					"GROUP BY account_name, lane ORDER BY account_name, lane) AS seal "
					"ON coalesce(c.account_name, '') = coalesce(seal.account_name, '') "
					"AND c.account_name IS NOT DISTINCT FROM seal.account_name "
					"WHERE rows >= nopen AND c.lane >= 0 AND c.lane < below AND c.lane & %d <> ALL (open)",
					count_table, BLOCK, count_table, -BLOCK);
}

/* Has them read from now on. */
void
mkt_seal_take_in(Oid count_table)
{
	const char *name = mkt_qualified_name(count_table);
	MktRights	rights = mkt_act_as(mkt_extension_owner());

	mkt_query_run("UPDATE ONLY %s SET lane = pg_current_xact_id()::text::int8 & %d WHERE ctid IN (%s)",
				  name, -BLOCK, mkt_seal_passed_by(name));
	mkt_act_again_as(rights);
}

/* A transaction's number as it is without wrapping around; it comes before the next one. */
static int64
full_number(TransactionId xid, uint64 next)
{
	return (int64) (next - (uint32) ((uint32) next - xid));
}

static int
compare_blocks(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y;
}
