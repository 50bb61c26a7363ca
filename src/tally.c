/*-------------------------------------------------------------------------
 * tally.c
 *	  Rows of counts that one session goes on changing.
 *
 * Whoever writes one contact after another of an account would leave a row of
 * counts for each, with an index entry, to be folded soon after.  So a session that
 * writes to an account for the second time keeps in mind where its row is, its
 * tally, and adds to that, which makes no index entry as long as there is room on
 * its page.  No other session adds to it, so that writers do not wait for each other.
 *
 * What is kept in mind may be outdated: the row was folded, its transaction rolled
 * back, the table written anew.  A tally is known by its place, the file and the
 * transaction that wrote it, and is changed only if it is still there and nobody
 * is about to delete it; else there will be another row.  Subtransactions have no
 * tallies, so what is kept in mind is true whenever its transaction committed.
 *
 * A tally's lane is odd.  Folding leaves it alone while it may be changed soon,
 * or else all sessions would begin new ones after each time (mkt_tally_lasts()).
 * A move in a history has an instant of its own: tables that keep one have none.
 *-------------------------------------------------------------------------
 */
#include "count.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "common/pg_prng.h"
#include "compat.h"
#include "storage/bufmgr.h"
#include "utils/datum.h"

/* So many are kept in mind, each in the place that its key's hash says. */
#define TALLIES 64

/* Accounts of more bytes than this are not. */
#define ACCOUNT_SIZE 64

/* A row of one that is not has this many at most. */
#define ROW_SIZE 256

/* One in so many that leave a page, which others still see, makes their account be folded. */
#define FOLD_ONE_IN 8

/* Readers come by all versions of a row that are on its page, so they should be few. */
#define PRUNE_VERSIONS 8

/* A session that has not come back within so many transactions may not do so soon. */
#define LASTING_AGE 1024

typedef struct Tally
{
	MktSumKey	key;			/* at is 0; without a table of counts this
								 * place is free */
	int64		account[ACCOUNT_SIZE / sizeof(int64)];	/* if not by value */
	Oid			file;
	TransactionId by;			/* who wrote the row last; 0: there is none
								 * yet */
	int64		before;			/* n without what that transaction did */
	Buffer		buffer;			/* where its page was last */
	int			nversions;		/* of the row, since the page was pruned */
	HeapTupleData row;			/* as it is ... */
	int64		data[ROW_SIZE / sizeof(int64)]; /* ... there */
	int64	   *n;				/* in the data, at behind it */
} Tally;

static Tally tallies[TALLIES];

static Tally *tally_for(MktSumKey *key);
static void keep_in_mind(Tally *tally, const MktSumKey *key);
static MktTallied change(Relation rel, Tally *tally, TimestampTz at, int64 n);
static bool pin_page(Relation rel, Tally *tally);
static void ask_to_prune(Tally *tally);
static bool is_there(const Tally *tally);
static bool write_anew(Relation rel, Tally *tally, TimestampTz at, int64 n);

/* Adds so many contacts to the session's tally, if it has one. */
MktTallied
mkt_tally_add(const MktSumKey *key, int64 n)
{
	MktSumKey	kind = *key;
	Tally	   *tally = tally_for(&kind);
	Relation	rel;
	MktTallied	tallied = MKT_TALLY_BEGINS;

	if (!OidIsValid(tally->key.account.count_table) || !mkt_sum_equal(&tally->key, &kind))
	{
		keep_in_mind(tally, &kind);
		return MKT_NOT_TALLIED;
	}
	if (!TransactionIdIsValid(tally->by))
		return MKT_TALLY_BEGINS;
	rel = mkt_table_open(kind.account.count_table);
	if (rel == NULL)
		return MKT_NOT_TALLIED;
	if (rel->rd_rel->relfilenode == tally->file && pin_page(rel, tally))
	{
		tallied = change(rel, tally, key->at, n);
		ReleaseBuffer(tally->buffer);
	}
	table_close(rel, NoLock);
	return tallied;
}

static Tally *
tally_for(MktSumKey *key)
{
	key->at = 0;
	return &tallies[mkt_sum_hash(key) % TALLIES];
}

/* Takes the place of another one, unless that is still asked what it said before. */
static void
keep_in_mind(Tally *tally, const MktSumKey *key)
{
	Size		size = 0;

	if (!key->account.isnull && !key->account.by_value)
		size = datumGetSize(key->account.account, false, key->account.len);
	if (size > ACCOUNT_SIZE ||
		(TransactionIdIsValid(tally->by) && tally->by == GetTopTransactionIdIfAny()))
		return;
	tally->key = *key;
	if (size > 0)
		tally->key.account.account =
			PointerGetDatum(memcpy(tally->account, DatumGetPointer(key->account.account), size));
	tally->by = InvalidTransactionId;
}

/* False: the table has been truncated. */
static bool
pin_page(Relation rel, Tally *tally)
{
	BlockNumber block = ItemPointerGetBlockNumber(&tally->row.t_self);

	if (mkt_read_recent_buffer(rel, block, tally->buffer))
		return true;
	if (block >= RelationGetNumberOfBlocks(rel))
		return false;
	tally->buffer = ReadBuffer(rel, block);
	return true;
}

/* The page stays pinned, so that nothing on it moves in between. */
static MktTallied
change(Relation rel, Tally *tally, TimestampTz at, int64 n)
{
	Page		page = BufferGetPage(tally->buffer);

	/* without a lock the room is only a guess */
	if (++tally->nversions >= PRUNE_VERSIONS)
		ask_to_prune(tally);
	if (PageIsFull(page) || PageGetHeapFreeSpace(page) < MAXALIGN(tally->row.t_len))
		heap_page_prune_opt(rel, tally->buffer);
	if (!is_there(tally))
		return MKT_TALLY_BEGINS;
	if (PageGetHeapFreeSpace(page) < MAXALIGN(tally->row.t_len) &&
		pg_prng_uint32(&pg_global_prng_state) % FOLD_ONE_IN == 0)
		return MKT_TALLY_SPREADS;
	return write_anew(rel, tally, at, n) ? MKT_TALLIED : MKT_TALLY_BEGINS;
}

/* A page with room is pruned only if its hint says that it is full. */
static void
ask_to_prune(Tally *tally)
{
	LockBuffer(tally->buffer, BUFFER_LOCK_EXCLUSIVE);
	PageSetFull(BufferGetPage(tally->buffer));
	LockBuffer(tally->buffer, BUFFER_LOCK_UNLOCK);
	tally->nversions = 0;
}

static bool
is_there(const Tally *tally)
{
	Page		page = BufferGetPage(tally->buffer);
	OffsetNumber offset = ItemPointerGetOffsetNumber(&tally->row.t_self);
	bool		is_there = false;

	LockBuffer(tally->buffer, BUFFER_LOCK_SHARE);
	if (offset <= PageGetMaxOffsetNumber(page) && ItemIdIsNormal(PageGetItemId(page, offset)))
	{
		HeapTupleData row = tally->row;

		row.t_data = (HeapTupleHeader) PageGetItem(page, PageGetItemId(page, offset));
		is_there = HeapTupleHeaderGetRawXmin(row.t_data) == tally->by &&
			HeapTupleSatisfiesUpdate(&row, GetCurrentCommandId(true), tally->buffer) == TM_Ok;
	}
	LockBuffer(tally->buffer, BUFFER_LOCK_UNLOCK);
	return is_there;
}

/* False: somebody has come before. */
static bool
write_anew(Relation rel, Tally *tally, TimestampTz at, int64 n)
{
	TransactionId by = GetCurrentTransactionId();
	ItemPointerData place = tally->row.t_self;

	if (tally->by != by)
		tally->before = *tally->n;
	tally->by = InvalidTransactionId;	/* if there is an error */
	tally->n[0] += n;
	tally->n[1] = at;
	if (!mkt_heap_update(rel, &place, &tally->row))
		return false;			/* LCOV_EXCL_LINE: since is_there() looked */
	tally->by = by;
	if (!HeapTupleIsHeapOnly(&tally->row))
		mkt_append_index(RelationGetRelid(rel), &tally->row);
	return true;
}

/* A row that was just written, as mkt_tally_add() asked for, becomes the session's tally. */
void
mkt_tally_begin(Relation rel, TupleTableSlot *slot, const MktSumKey *key)
{
	MktSumKey	kind = *key;
	Tally	   *tally = tally_for(&kind);
	TransactionId by = GetCurrentTransactionId();
	HeapTuple	row = ExecFetchSlotHeapTuple(slot, false, NULL);
	uint32		n_at = DOUBLEALIGN(mkt_data_before(row, RelationGetDescr(rel), CNT_N));

	if (tally->by == by)
		return;					/* is still asked what it said before */
	Assert(mkt_sum_equal(&tally->key, &kind));
	Assert(row->t_len <= ROW_SIZE);
	tally->file = rel->rd_rel->relfilenode;
	tally->by = by;
	tally->before = 0;
	tally->buffer = InvalidBuffer;
	tally->nversions = 0;
	tally->row = *row;
	tally->row.t_data = memcpy(tally->data, row->t_data, row->t_len);
	tally->n = (int64 *) ((char *) tally->data + row->t_data->t_hoff + n_at);
}

/* What a row that this transaction wrote said before it. */
int64
mkt_tally_before(Relation rel, ItemPointer place)
{
	TransactionId by = GetTopTransactionIdIfAny();

	for (int i = 0; i < TALLIES; i++)
		if (tallies[i].by == by && tallies[i].file == rel->rd_rel->relfilenode &&
			ItemPointerEquals(&tallies[i].row.t_self, place))
			return tallies[i].before;
	return 0;
}

/* Whether a row is a tally that its session may change again soon. */
bool
mkt_tally_lasts(TupleTableSlot *slot, Snapshot snapshot)
{
	bool		isnull;

	return (DatumGetInt64(slot_getattr(slot, CNT_LANE, &isnull)) & 1) != 0 &&
		snapshot->xmax - mkt_row_xid(slot) < LASTING_AGE;
}
