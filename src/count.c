/*-------------------------------------------------------------------------
 * count.c
 *	  Billable counts: sums per account in memory, delta rows in the counts
 *	  of a table, reading and folding them (rules S2, P8).
 *
 * The triggers in contact.c add to sums in memory; at the end of the statement
 * the sums become rows, one for each account and kind of move: so many contacts
 * were marketing until this instant and are until that one.  An account's count
 * is the sum of its rows, so writers never wait for each other, and a snapshot
 * that sees a contact's change sees its row.
 *
 * Sums belong to the subtransaction that made them: there is a frame of sums
 * for each nesting level that has any.  A subtransaction that commits leaves
 * its sums to its parent, one that aborts takes them along.  Rows are written
 * only from the frame of the current level.  What the end of a statement did
 * not write (a statement on a partition itself) is written before commit or
 * PREPARE TRANSACTION; readers add what is still in memory.
 *
 * Folding replaces rows of an account by one for each instant.  It deletes only
 * rows that its snapshot sees and that nobody else is deleting, waits for nothing
 * and is part of the transaction in which it happens.  Where a table keeps its
 * history, the moves go there: what the counts were at an instant gone by is
 * what they are now without the moves since.
 *
 * Deleted contacts that still count (T13) have rows of their own, so that all
 * others are those of contacts that are there.
 *-------------------------------------------------------------------------
 */
#include "count.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "compat.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* One in so many rows written makes its account's rows be folded. */
#define FOLD_ONE_IN 32

/* Folding takes up to this many rows of an account at a time. */
#define FOLD_ROWS 1024

/* Who meets this many dead rows sees to it that nobody meets them again ... */
#define SEAL_ROWS 16

/* ... unless that was done so few transactions ago, and not the whole account is asked for. */
#define SEAL_DISTANCE 1024

/* A statement that touches more accounts than this writes in between. */
#define MAX_SUMS 50000

/* A statement that touches more accounts and kinds of moves than this has no tallies. */
#define MAX_TALLIED 4

/* So many sums are worth looking through for those of one account. */
#define MANY_SUMS 256

typedef struct Sum
{
	MktSumKey	key;
	int64		n;
	bool		tallied;		/* may be part of the session's tally */
	char		status;
} Sum;

#define HASH_PREFIX sums
#define SH_ELEMENT_TYPE Sum
#define SH_KEY_TYPE MktSumKey
#define SH_KEY key
#define SH_HASH_KEY(tb, key) mkt_sum_hash(&key)
#define SH_EQUAL(tb, a, b) mkt_sum_equal(&a, &b)
#include "hash.h"

typedef struct Frame
{
	int			level;			/* nesting level of its subtransaction */
	MemoryContext context;
	sums_hash  *sums;
	struct Frame *parent;
} Frame;

/* A walk through the sums of all levels. */
typedef struct FrameIterator
{
	Frame	   *frame;
	sums_iterator sums;
} FrameIterator;

/* A table of counts that is open for writing, and for folding once it is needed. */
typedef struct Writer
{
	MktAppender *counts;
	Relation	rel;			/* theirs */
	Relation	by_account;		/* the index to read by */
	TupleTableSlot *slot;		/* for rows that are read */
	MktAppender *history;		/* where moves go that are folded, if anywhere */
} Writer;

/* Contacts of an account at an instant. */
typedef struct Counted
{
	int64		billable;		/* deleted ones included */
	int64		total;			/* without them */
	int64		deleted;		/* those that still count */
	int64		own;			/* billable by this transaction's doing */
} Counted;

/* What folding makes of an account's rows with an instant. */
typedef struct Total
{
	bool		deleted;
	TimestampTz until;
	int			nrows;			/* that speak of the instant */
	bool		folded;			/* none of them is a move, or zero, or over */
	int64		n;
} Total;

static Frame *top_frame = NULL;

/* Where the frame outside of all subtransactions is, one after the other. */
static MemoryContext outermost = NULL;

static void start_iterate(FrameIterator *it);
static Sum *iterate(FrameIterator *it);
static bool is_account(const Sum *sum, Relation rel, Datum account_name,
					   bool isnull);
static void move_account(const MktAttachment *attachment, Datum account,
						 bool isnull, bool deleted, TimestampTz was,
						 TimestampTz until, int64 n);
static Frame *current_frame(void);
static void drop_frame(Frame *frame);
static Sum *add(Frame *frame, const MktSumKey *key, int64 n);
static void post(Frame *frame, bool fold);
static void turn_one_way(Sum *sum);
static void write_sum(Writer *writer, const Sum *sum, bool tally, bool fold);
static Datum account_name_of(const Writer *writer, const Sum *sum);
static bool is_drawn(uint32 one_in);
static void post_outer(Writer *writer, Frame *frame, Frame *here);
static bool open_writer(Writer *writer, Oid count_table);
static void close_writer(Writer *writer);
static void write_row(Writer *writer, Datum account_name, bool isnull,
					  const MktMove *move, Datum account);
static void write_in_lane(Writer *writer, int64 lane, Datum account_name,
						  bool isnull, const MktMove *move, Datum account);
static void fold_account(Writer *writer, Datum account_name, bool isnull,
						 Datum account, bool whole);
static bool open_for_folding(Writer *writer);
static void note_instant(Total *totals, int *ntotals, TimestampTz until,
						 const MktMove *move);
static Total *find_total(Total *totals, int ntotals, TimestampTz until,
						 bool deleted);
static bool is_over(const Total *total);
static bool is_folded(const Total *total);
static bool delete_row(Writer *writer, ItemPointer tid, Snapshot snapshot);
static int	leave_tallies(MktMove *moves, int nmoves);
static void write_total(Writer *writer, Datum account_name, bool isnull,
						const Total *total, Datum account);
static void seal_account(Writer *writer, Datum account_name, bool isnull,
						 Datum account, const MktCountScan *scan, const MktSeal *seal,
						 Snapshot snapshot);
static void write_history(Writer *writer, Datum account_name, bool isnull,
						  const MktMove *move, Datum account);
static int	read_moves(Writer *writer, Datum account_name, bool isnull,
					   Snapshot snapshot, MktMove *moves, MktCountScan *scan);
static void read_move(TupleTableSlot *slot, MktMove *move);
static int64 marketing_at(TimestampTz was, TimestampTz until, int64 n, TimestampTz at);
static Relation try_open_account_index(Relation rel);
static Relation open_account_index(Relation rel);
static bool pends(TimestampTz until, TimestampTz now, TimestampTz except);
static bool is_count_table(Oid relid);
static bool shows_account(Oid contacts, Datum account, bool isnull);
static int64 billable_at(Datum account_name, TimestampTz at, bool as_known);
static bool may_have_account(const MktAttachedTable *table, Datum account_name);
static int64 billable_since(const MktAttachedTable *table, Datum account_name,
							TimestampTz at, bool *found, Datum *account);
static void note_account(TupleTableSlot *slot, bool *found, Datum *account);
static int64 billable_in(Oid count_table, Datum account_name, bool isnull,
						 TimestampTz at, TimestampTz made_until, bool *found,
						 Datum *account);
static Counted count_account(const char *account, TimestampTz now, bool own,
							 Snapshot seen);
static void count_in(Oid count_table, Datum account_name, TimestampTz now,
					 Snapshot snapshot, bool own, Counted *counted);
static void count_one(const MktMove *move, TimestampTz now, int64 own, Counted *counted);
static bool is_own(TupleTableSlot *slot);
static bool has_frame_below(const Frame *frame);
static void make_room(Frame *parent, Frame *frame);
static void leave_to_parent(Frame *frame);

PG_FUNCTION_INFO_V1(mkt_billable);
PG_FUNCTION_INFO_V1(mkt_billable_as_known);
PG_FUNCTION_INFO_V1(mkt_unposted);
PG_FUNCTION_INFO_V1(mkt_fold_counts);

/* mkt.billable(account, at): S2, exact in the caller's snapshot. */
Datum
mkt_billable(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_INT64(billable_at(PG_GETARG_DATUM(0),
								PG_ARGISNULL(1) ? mkt_now() : PG_GETARG_TIMESTAMPTZ(1), false));
}

/* mkt.billable_as_known(account, at): where no history tells of then, what is now. */
Datum
mkt_billable_as_known(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(billable_at(PG_GETARG_DATUM(0), PG_GETARG_TIMESTAMPTZ(1), true));
}

static int64
billable_at(Datum account_name, TimestampTz at, bool as_known)
{
	TimestampTz now = mkt_now();
	int64		billable = 0;
	ListCell   *cell;

	foreach(cell, mkt_attachment_list())
	{
		MktAttachedTable *table = lfirst(cell);
		TimestampTz then = as_known && at < table->history_since ? now : at;
		bool		found = false;
		Datum		account = (Datum) 0;
		int64		n;

		if (at < now && at < table->attached_at)
			continue;
		n = billable_in(table->count_table, account_name, false, then,
						then < now ? then : DT_NOEND, &found, &account);
		if (then < now && may_have_account(table, account_name))
			n -= billable_since(table, account_name, then, &found, &account);
		if (!found)
			continue;
		mkt_check_may_read(table->contacts);
		if (shows_account(table->contacts, account, false))
			billable += n;
	}
	return billable;
}

/*
 * The same for several instants that are not gone by, and for the contacts
 * without an account, too (isnull).  Says how much of the count the caller may
 * know; what he may not is left out.
 */
MktCountKnown
mkt_count_billable(Datum account_name, bool isnull, int ninstants,
				   const TimestampTz *instants, int64 *billable)
{
	MktCountKnown known = MKT_COUNT_WHOLE;
	ListCell   *cell;

	memset(billable, 0, ninstants * sizeof(int64));
	foreach(cell, mkt_attachment_list())
	{
		MktAttachedTable *table = lfirst(cell);
		bool		found = false;
		Datum		account = (Datum) 0;
		int64		n[MKT_COUNT_INSTANTS];

		Assert(ninstants <= MKT_COUNT_INSTANTS);
		for (int i = 0; i < ninstants; i++)
			n[i] = billable_in(table->count_table, account_name, isnull, instants[i],
							   DT_NOEND, &found, &account);
		if (!found)
			continue;
		if (!mkt_may_read(table->contacts))
			return MKT_COUNT_REFUSED;
		if (!shows_account(table->contacts, account, isnull))
			known = MKT_COUNT_PART;
		else
			for (int i = 0; i < ninstants; i++)
				billable[i] += n[i];
	}
	return known;
}

/*
 * Where row-level security shows the caller some rows only, other accounts are
 * none of his business: there is an account if he sees a contact of it.
 */
static bool
shows_account(Oid contacts, Datum account, bool isnull)
{
	MktAttachment *attachment;
	const char *query;
	bool		shows;

	if (check_enable_rls(contacts, InvalidOid, true) != RLS_ENABLED)
		return true;
	attachment = mkt_attachment_of(contacts);
	query = psprintf("SELECT FROM %s", mkt_qualified_name(contacts));
	if (attachment->account)
		query = psprintf(isnull ? "%s WHERE %s IS NULL" : "%s WHERE %s OPERATOR(pg_catalog.=) $1",
						 query, mkt_attachment_column(attachment, attachment->account));
	SPI_connect();
	if (SPI_execute_with_args(query, attachment->account && !isnull ? 1 : 0,
							  &attachment->account_type, &account, NULL, true,
							  1) != SPI_OK_SELECT)
		elog(ERROR, "could not look for contacts");
	shows = SPI_processed > 0;
	SPI_finish();
	return shows;
}

/* Only a table that belongs to another account as a whole surely has none of this one. */
static bool
may_have_account(const MktAttachedTable *table, Datum account_name)
{
	const MktAttachment *attachment = mkt_attachment_of(table->contacts);

	return attachment->account ||
		DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, account_name,
											 attachment->constant_account));
}

/* What the moves in a table's history after an instant added to the count at it. */
static int64
billable_since(const MktAttachedTable *table, Datum account_name, TimestampTz at,
			   bool *found, Datum *account)
{
	Relation	rel;
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	ScanKeyData keys[2];
	int64		billable = 0;

	if (at < table->history_since)
		ereport(ERROR,
				errcode(ERRCODE_MKT_NO_HISTORY),
				errmsg("the counts of table %s at %s are not known",
					   mkt_qualified_name(table->contacts), pstrdup(timestamptz_to_str(at))),
				TIMESTAMP_NOT_FINITE(table->history_since) ?
				errdetail("It keeps no history.") :
				errdetail("Its history begins at %s.",
						  pstrdup(timestamptz_to_str(table->history_since))),
				errhint("SELECT contacts, history_since, history_kept FROM mkt.attachment;"));

	rel = table_open(table->count_history, AccessShareLock);
	index = open_account_index(rel);
	slot = table_slot_create(rel, NULL);
	scan = mkt_index_beginscan(rel, index, GetActiveSnapshot(), lengthof(keys));
	ScanKeyEntryInitialize(&keys[0], 0, 1, BTEqualStrategyNumber, InvalidOid,
						   index->rd_indcollation[0], F_TEXTEQ, account_name);
	ScanKeyInit(&keys[1], 2, BTGreaterStrategyNumber, F_TIMESTAMPTZ_GT,
				TimestampTzGetDatum(at));
	index_rescan(scan, keys, lengthof(keys), NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		MktMove		move;

		read_move(slot, &move);
		billable += marketing_at(move.was, move.until, move.n, at);
		note_account(slot, found, account);
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
	return billable;
}

static void
note_account(TupleTableSlot *slot, bool *found, Datum *account)
{
	Form_pg_attribute att = TupleDescAttr(slot->tts_tupleDescriptor, CNT_ACCOUNT - 1);
	bool		isnull;
	Datum		value;

	if (*found)
		return;
	*found = true;
	value = slot_getattr(slot, CNT_ACCOUNT, &isnull);
	*account = isnull ? (Datum) 0 : datumCopy(value, att->attbyval, att->attlen);
}

/* Those that are marketing at an instant, by the moves made until another one. */
static int64
billable_in(Oid count_table, Datum account_name, bool isnull, TimestampTz at,
			TimestampTz made_until, bool *found, Datum *account)
{
	Relation	rel = table_open(count_table, AccessShareLock);
	Relation	index = open_account_index(rel);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	MktCountScan scan;
	int64		billable = 0;
	Sum		   *sum;
	FrameIterator it;

	mkt_count_scan_begin(&scan, rel, index, account_name, isnull, GetActiveSnapshot());
	while (mkt_count_scan_next(&scan, slot))
	{
		MktMove		move;

		note_account(slot, found, account);
		read_move(slot, &move);
		if (move.at <= made_until)
			billable += marketing_at(move.was, move.until, move.n, at);
	}
	ExecDropSingleTupleTableSlot(slot);
	mkt_count_scan_end(&scan);

	start_iterate(&it);
	while ((sum = iterate(&it)) != NULL)
	{
		if (!is_account(sum, rel, account_name, isnull))
			continue;
		*account = sum->key.account.account;
		*found = true;
		if (sum->key.at <= made_until)
			billable += marketing_at(sum->key.was, sum->key.until, sum->n, at);
	}
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
	return billable;
}

/*
 * An account's billable contacts, and all that are there, by the newest snapshot
 * and with what this transaction has done; of the billable ones, those that are its
 * own doing.
 */
void
mkt_count_now(const char *account, TimestampTz now, int64 *billable, int64 *total,
			  int64 *own)
{
	Counted		counted = count_account(account, now, own != NULL, GetLatestSnapshot());

	*billable = counted.billable;
	*total = counted.total;
	if (own)
		*own = counted.own;
}

/*
 * Those that are there and non-marketing, and deleted ones that still count (T13),
 * in the caller's snapshot.
 */
void
mkt_count_others(const char *account, TimestampTz now, int64 *non_marketing,
				 int64 *deleted)
{
	Counted		counted = count_account(account, now, false, GetActiveSnapshot());

	*non_marketing = counted.total - (counted.billable - counted.deleted);
	*deleted = counted.deleted;
}

static Counted
count_account(const char *account, TimestampTz now, bool own, Snapshot seen)
{
	Datum		name = CStringGetTextDatum(account);
	Snapshot	snapshot = RegisterSnapshot(seen);
	Counted		counted = {0};
	ListCell   *cell;

	foreach(cell, mkt_attachment_list())
		count_in(((MktAttachedTable *) lfirst(cell))->count_table, name, now, snapshot,
				 own, &counted);
	UnregisterSnapshot(snapshot);
	return counted;
}

static void
count_in(Oid count_table, Datum account_name, TimestampTz now, Snapshot snapshot,
		 bool own, Counted *counted)
{
	Relation	rel = table_open(count_table, AccessShareLock);
	Relation	index = open_account_index(rel);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	MktCountScan scan;
	FrameIterator it;
	Sum		   *sum;

	mkt_count_scan_begin(&scan, rel, index, account_name, false, snapshot);
	while (mkt_count_scan_next(&scan, slot))
	{
		MktMove		move;

		read_move(slot, &move);
		count_one(&move, now,
				  own && is_own(slot) ? move.n - mkt_tally_before(rel, &slot->tts_tid) : 0,
				  counted);
	}
	ExecDropSingleTupleTableSlot(slot);
	mkt_count_scan_end(&scan);
	start_iterate(&it);
	while ((sum = iterate(&it)) != NULL)
		if (is_account(sum, rel, account_name, false))
			count_one(&(MktMove) {
								  .deleted = sum->key.deleted,.was = sum->key.was,.until = sum->key.until,.n = sum->n
								  }, now, sum->n, counted);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
}

static void
count_one(const MktMove *move, TimestampTz now, int64 own, Counted *counted)
{
	int64		billable = marketing_at(move->was, move->until, move->n, now);

	counted->billable += billable;
	counted->own += marketing_at(move->was, move->until, own, now);
	if (move->deleted)
		counted->deleted += billable;
	else
		counted->total += (move->until != MKT_ABSENT ? move->n : 0) -
			(move->was != MKT_ABSENT ? move->n : 0);
}

/* Written by this transaction; it folds no rows of its own, so these are moves. */
static bool
is_own(TupleTableSlot *slot)
{
	bool		isnull;

	slot_getattr(slot, CNT_AT, &isnull);
	return !isnull &&
		TransactionIdIsCurrentTransactionId(mkt_row_xid(slot));
}

/*
 * mkt.unposted(): what this transaction has counted and not yet written, for
 * the views to add.
 */
Datum
mkt_unposted(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	FrameIterator it;
	Sum		   *sum;

	InitMaterializedSRF(fcinfo, 0);
	start_iterate(&it);
	while ((sum = iterate(&it)) != NULL)
	{
		const MktAccountKey *key = &sum->key.account;
		Oid			type = mkt_count_account_type(key->count_table);
		Datum		values[6] = {ObjectIdGetDatum(key->count_table)};
		bool		nulls[6] = {
			false, key->isnull, sum->key.was == MKT_ABSENT, sum->key.until == MKT_ABSENT
		};

		if (!OidIsValid(type))
			continue;			/* dropped together with its contacts */
		if (!key->isnull)
			values[1] = CStringGetTextDatum(mkt_account_text(type, key->account));
		values[2] = TimestampTzGetDatum(sum->key.was);
		values[3] = TimestampTzGetDatum(sum->key.until);
		values[4] = Int64GetDatum(sum->n);
		values[5] = BoolGetDatum(sum->key.deleted);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* The type of the account column that a table of counts belongs to. */
Oid
mkt_count_account_type(Oid count_table)
{
	return get_atttype(count_table, CNT_ACCOUNT);
}

/* Goes through the sums of all levels that are not zero. */
static void
start_iterate(FrameIterator *it)
{
	it->frame = top_frame;
	if (it->frame)
		sums_start_iterate(it->frame->sums, &it->sums);
}

static Sum *
iterate(FrameIterator *it)
{
	while (it->frame)
	{
		Sum		   *sum;

		while ((sum = sums_iterate(it->frame->sums, &it->sums)) != NULL)
			if (sum->n != 0)
				return sum;
		it->frame = it->frame->parent;
		if (it->frame)
			sums_start_iterate(it->frame->sums, &it->sums);
	}
	return NULL;
}

/* Whether a sum belongs to an account, given as text, in this table of counts. */
static bool
is_account(const Sum *sum, Relation rel, Datum account_name, bool isnull)
{
	const MktAccountKey *key = &sum->key.account;

	if (key->count_table != RelationGetRelid(rel) || key->isnull != isnull)
		return false;
	return isnull ||
		strcmp(TextDatumGetCString(account_name),
			   mkt_account_text(TupleDescAttr(RelationGetDescr(rel),
											  CNT_ACCOUNT - 1)->atttypid,
								key->account)) == 0;
}

/*
 * Counts one contact of an account that was marketing until one instant and is
 * until another; MKT_ABSENT where there was or is no contact.
 */
void
mkt_count_move(const MktAttachment *attachment, Datum account, bool isnull,
			   TimestampTz was, TimestampTz until)
{
	if (was != until)
		move_account(attachment, account, isnull, false, was, until, 1);
}

/* T13: a contact is gone, and counts until an instant. */
void
mkt_count_keep(const MktAttachment *attachment, Datum account, bool isnull,
			   TimestampTz until)
{
	move_account(attachment, account, isnull, true, MKT_ABSENT, until, 1);
}

static void
move_account(const MktAttachment *attachment, Datum account, bool isnull,
			 bool deleted, TimestampTz was, TimestampTz until, int64 n)
{
	MktSumKey	key = {
		.account = {
			.count_table = attachment->count_table,
			.len = attachment->account_len,
			.by_value = attachment->account_by_value,
			.isnull = isnull,
			.account = account
		},
		.deleted = deleted,
		.was = was,
		.until = until,
		.at = mkt_now()
	};
	Frame	   *frame = current_frame();

	add(frame, &key, n)->tallied = !OidIsValid(attachment->history);
	if (frame->sums->members >= MAX_SUMS)
	{
		post(frame, false);
		CommandCounterIncrement();	/* who counts an account sees them */
	}
}

static Frame *
current_frame(void)
{
	int			level = GetCurrentTransactionNestLevel();
	MemoryContext context;
	Frame	   *frame;

	if (top_frame && top_frame->level == level)
		return top_frame;
	if (level == 1 && outermost == NULL)
		outermost = AllocSetContextCreate(TopMemoryContext, "mktcontacts outermost sums",
										  ALLOCSET_DEFAULT_SIZES);
	context = level == 1 ? outermost :
		AllocSetContextCreate(TopTransactionContext, "mktcontacts sums", ALLOCSET_DEFAULT_SIZES);
	frame = MemoryContextAlloc(context, sizeof(Frame));
	frame->level = level;
	frame->context = context;
	frame->sums = sums_create(context, 2, NULL);
	frame->parent = top_frame;
	top_frame = frame;
	return frame;
}

static void
drop_frame(Frame *frame)
{
	top_frame = frame->parent;
	if (frame->context == outermost)
		MemoryContextReset(outermost);
	else
		MemoryContextDelete(frame->context);
}

static Sum *
add(Frame *frame, const MktSumKey *key, int64 n)
{
	Sum		   *sum = sums_lookup(frame->sums, *key);
	MktSumKey	copy = *key;

	if (sum == NULL)
	{
		if (!key->account.isnull && !key->account.by_value)
		{
			MemoryContext before = MemoryContextSwitchTo(frame->context);

			copy.account.account = datumCopy(key->account.account, false, key->account.len);
			MemoryContextSwitchTo(before);
		}
		sum = sums_insert(frame->sums, copy, &(bool) {false});
		sum->n = 0;
		sum->tallied = false;
	}
	sum->n += n;
	return sum;
}

/* At the end of a statement: the current level's sums become rows. */
void
mkt_count_post(void)
{
	if (top_frame && top_frame->level == GetCurrentTransactionNestLevel())
		post(top_frame, true);
}

/*
 * For who counts many accounts in one statement: else the sums of all would be
 * looked through for each.
 */
void
mkt_count_post_many(void)
{
	if (top_frame == NULL || top_frame->level != GetCurrentTransactionNestLevel() ||
		top_frame->sums->members < MANY_SUMS)
		return;
	post(top_frame, false);
	CommandCounterIncrement();
}

static void
post(Frame *frame, bool fold)
{
	Writer		writer = {0};
	bool		tallies;
	MktTallied	tallied;
	sums_iterator it;
	Sum		   *sum;

	/* a serializable transaction must not fail over what it did not ask for */
	fold = fold && !IsolationIsSerializable();
	tallies = fold && frame->level == 1 && frame->sums->members <= MAX_TALLIED;

	sums_start_iterate(frame->sums, &it);
	while ((sum = sums_iterate(frame->sums, &it)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (sum->n == 0)
			continue;
		tallied = MKT_NOT_TALLIED;
		if (tallies && sum->tallied)
		{
			turn_one_way(sum);
			tallied = mkt_tally_add(&sum->key, sum->n);
		}
		if (tallied == MKT_TALLIED)
			continue;
		if (writer.counts == NULL || RelationGetRelid(writer.rel) != sum->key.account.count_table)
		{
			close_writer(&writer);
			if (!open_writer(&writer, sum->key.account.count_table))
				continue;		/* dropped together with its contacts */
		}
		write_sum(&writer, sum, tallied != MKT_NOT_TALLIED,
				  fold && (tallied == MKT_TALLY_SPREADS || is_drawn(FOLD_ONE_IN)));
	}
	close_writer(&writer);

	drop_frame(frame);
}

/*
 * A way back is as many fewer on the way there, so that one tally has both.  Where
 * contacts were pending, the way there is to that instant: who looks for those that
 * are due looks for rows until then.
 */
static void
turn_one_way(Sum *sum)
{
	TimestampTz was = sum->key.was;
	bool		pending = was != MKT_ABSENT && !TIMESTAMP_NOT_FINITE(was);

	if (sum->key.until != MKT_ABSENT && !TIMESTAMP_NOT_FINITE(sum->key.until))
		return;
	if (!pending && was < sum->key.until)
		return;
	sum->key.was = sum->key.until;
	sum->key.until = was;
	sum->n = -sum->n;
}

/* Makes a sum a row, which is to be a tally or not, and folds its account if asked to. */
static void
write_sum(Writer *writer, const Sum *sum, bool tally, bool fold)
{
	const MktAccountKey *key = &sum->key.account;
	MktMove		move = {
		.deleted = sum->key.deleted,
		.was = sum->key.was,
		.until = sum->key.until,
		.at = sum->key.at,
		.n = sum->n
	};
	Datum		name = account_name_of(writer, sum);

	write_in_lane(writer, mkt_lane(writer->rel, tally), name, key->isnull, &move,
				  key->account);
	if (tally)
		mkt_tally_begin(writer->rel, mkt_append_flush(writer->counts), &sum->key);
	if (fold)
		fold_account(writer, name, key->isnull, key->account, false);
}

static Datum
account_name_of(const Writer *writer, const Sum *sum)
{
	const MktAccountKey *key = &sum->key.account;
	Oid			type = TupleDescAttr(RelationGetDescr(writer->rel), CNT_ACCOUNT - 1)->atttypid;

	return key->isnull ? (Datum) 0 : CStringGetTextDatum(mkt_account_text(type, key->account));
}

static bool
is_drawn(uint32 one_in)
{
	return pg_prng_uint32(&pg_global_prng_state) % one_in == 0;
}

static bool
open_writer(Writer *writer, Oid count_table)
{
	writer->counts = mkt_append_open(count_table);
	if (writer->counts == NULL)
		return false;
	writer->rel = mkt_append_relation(writer->counts);
	writer->by_account = NULL;
	writer->history = NULL;
	return true;
}

static void
close_writer(Writer *writer)
{
	if (writer->counts == NULL)
		return;
	if (writer->by_account)
	{
		ExecDropSingleTupleTableSlot(writer->slot);
		index_close(writer->by_account, NoLock);
	}
	if (writer->history)
		mkt_append_close(writer->history);
	mkt_append_close(writer->counts);
	writer->counts = NULL;
}

static void
write_row(Writer *writer, Datum account_name, bool isnull, const MktMove *move,
		  Datum account)
{
	write_in_lane(writer, mkt_lane(writer->rel, false), account_name, isnull, move, account);
}

static void
write_in_lane(Writer *writer, int64 lane, Datum account_name, bool isnull,
			  const MktMove *move, Datum account)
{
	TupleTableSlot *slot = mkt_append_slot(writer->counts);

	mkt_count_values(move, account_name, account, isnull, slot->tts_values, slot->tts_isnull);
	slot->tts_values[CNT_LANE - 1] = Int64GetDatum(lane);
	mkt_append_row(writer->counts);
}

/* The columns that counts and their history have in common. */
void
mkt_count_values(const MktMove *move, Datum account_name, Datum account, bool isnull,
				 Datum *values, bool *nulls)
{
	values[CNT_ACCOUNT_NAME - 1] = account_name;
	values[CNT_DELETED - 1] = BoolGetDatum(move->deleted);
	values[CNT_WAS - 1] = TimestampTzGetDatum(move->was);
	values[CNT_UNTIL - 1] = TimestampTzGetDatum(move->until);
	values[CNT_N - 1] = Int64GetDatum(move->n);
	values[CNT_AT - 1] = TimestampTzGetDatum(move->at);
	values[CNT_ACCOUNT - 1] = account;
	nulls[CNT_ACCOUNT_NAME - 1] = isnull;
	nulls[CNT_DELETED - 1] = nulls[CNT_N - 1] = false;
	nulls[CNT_WAS - 1] = move->was == MKT_ABSENT;
	nulls[CNT_UNTIL - 1] = move->until == MKT_ABSENT;
	nulls[CNT_AT - 1] = move->at == MKT_ABSENT;
	nulls[CNT_ACCOUNT - 1] = isnull;
}

/*
 * Replaces an account's rows by one for each instant, and by none for deleted
 * contacts that count no longer.  The rows just written are not seen by the
 * snapshot and wait for the next time, and unless the whole account is asked for,
 * so do tallies that their sessions will add to.
 */
static void
fold_account(Writer *writer, Datum account_name, bool isnull, Datum account, bool whole)
{
	Snapshot	snapshot;
	MktMove    *moves;
	Total	   *totals;
	MktCountScan scan;
	MktSeal		seal = {0};
	bool		seals = false;
	int			nmoves;
	int			ntotals = 0;

	if (!open_for_folding(writer))
		return;
	snapshot = RegisterSnapshot(IsolationUsesXactSnapshot() ?
								GetTransactionSnapshot() : GetLatestSnapshot());
	moves = palloc(FOLD_ROWS * sizeof(MktMove));
	totals = palloc(2 * FOLD_ROWS * sizeof(Total));
	nmoves = read_moves(writer, account_name, isnull, snapshot, moves, &scan);
	if (scan.ndead >= SEAL_ROWS && nmoves < FOLD_ROWS && mkt_can_seal(writer->rel))
	{
		seal = mkt_seal_by(snapshot);
		seals = !scan.has_own_tally &&
			seal.limit > scan.seal.limit + (whole ? 0 : SEAL_DISTANCE);
	}
	if (!whole && !seals && nmoves < FOLD_ROWS)
		nmoves = leave_tallies(moves, nmoves);
	for (int i = 0; i < nmoves; i++)
	{
		note_instant(totals, &ntotals, moves[i].was, &moves[i]);
		note_instant(totals, &ntotals, moves[i].until, &moves[i]);
	}
	for (int i = 0; i < nmoves; i++)
	{
		Total	   *was = find_total(totals, ntotals, moves[i].was, moves[i].deleted);
		Total	   *until = find_total(totals, ntotals, moves[i].until, moves[i].deleted);

		if (is_folded(was) && is_folded(until) && !seals)
			continue;
		if (!delete_row(writer, &moves[i].tid, snapshot))
		{
			seals = false;
			continue;
		}
		if (moves[i].at != MKT_ABSENT)
			write_history(writer, account_name, isnull, &moves[i], account);
		if (was)
			was->n -= moves[i].n;
		if (until)
			until->n += moves[i].n;
	}
	for (int i = 0; i < ntotals; i++)
		write_total(writer, account_name, isnull, &totals[i], account);
	if (seals)
		seal_account(writer, account_name, isnull, account, &scan, &seal, snapshot);
	list_free_deep(scan.seals);
	pfree(moves);
	pfree(totals);
	UnregisterSnapshot(snapshot);
}

/* A sum, or what deleted contacts that count no longer leave. */
static void
write_total(Writer *writer, Datum account_name, bool isnull, const Total *total,
			Datum account)
{
	MktMove		sum = {
		.deleted = total->deleted,
		.was = MKT_ABSENT,.until = total->until,.at = MKT_ABSENT,.n = total->n
	};
	MktMove		end = {
		.deleted = true,
		.was = total->until,.until = MKT_ABSENT,.at = mkt_now(),.n = total->n
	};

	if (total->n == 0)
		return;
	if (is_over(total))
		write_history(writer, account_name, isnull, &end, account);
	else
		write_row(writer, account_name, isnull, &sum, account);
}

/* All moves but those in tallies that last. */
static int
leave_tallies(MktMove *moves, int nmoves)
{
	int			nleft = 0;

	for (int i = 0; i < nmoves; i++)
		if (!moves[i].tallied)
			moves[nleft++] = moves[i];
	return nleft;
}

/* Writes a seal in the place of those that were met. */
static void
seal_account(Writer *writer, Datum account_name, bool isnull, Datum account,
			 const MktCountScan *scan, const MktSeal *seal, Snapshot snapshot)
{
	MktMove		row = {.was = MKT_ABSENT,.until = MKT_ABSENT,.at = MKT_ABSENT};
	ListCell   *cell;

	foreach(cell, scan->seals)
		delete_row(writer, lfirst(cell), snapshot);
	for (int i = 0; i < Max(seal->nopen, 1); i++)
	{
		row.n = mkt_seal_row(seal, i);
		write_in_lane(writer, -seal->limit, account_name, isnull, &row, account);
	}
}

/* Not while a dump is being restored, when there is no index yet. */
static bool
open_for_folding(Writer *writer)
{
	ListCell   *cell;

	if (writer->by_account)
		return true;
	writer->by_account = try_open_account_index(writer->rel);
	if (writer->by_account == NULL)
		return false;
	writer->slot = table_slot_create(writer->rel, NULL);
	foreach(cell, mkt_attachment_list())
	{
		MktAttachedTable *table = lfirst(cell);

		if (table->count_table == RelationGetRelid(writer->rel) &&
			!TIMESTAMP_NOT_FINITE(table->history_since))
			writer->history = mkt_append_open(table->count_history);
	}
	return true;
}

static void
note_instant(Total *totals, int *ntotals, TimestampTz until, const MktMove *move)
{
	Total	   *total = find_total(totals, *ntotals, until, move->deleted);

	if (until == MKT_ABSENT)
		return;
	if (total == NULL)
	{
		total = &totals[(*ntotals)++];
		*total = (Total)
		{
			.deleted = move->deleted,.until = until,.folded = true
		};
	}
	total->nrows++;
	total->folded &= move->at == MKT_ABSENT && move->was == MKT_ABSENT && move->n != 0 &&
		!is_over(total);
}

static Total *
find_total(Total *totals, int ntotals, TimestampTz until, bool deleted)
{
	for (int i = 0; i < ntotals; i++)
		if (totals[i].until == until && totals[i].deleted == deleted)
			return &totals[i];
	return NULL;
}

/* Deleted contacts that count no longer. */
static bool
is_over(const Total *total)
{
	return total->deleted && total->until <= mkt_now();
}

/* Nothing to fold for an instant; neither is there for none. */
static bool
is_folded(const Total *total)
{
	return total == NULL || (total->folded && total->nrows == 1);
}

static bool
delete_row(Writer *writer, ItemPointer tid, Snapshot snapshot)
{
	TM_FailureData failure;

	return table_tuple_delete(writer->rel, tid, GetCurrentCommandId(true),
							  snapshot, InvalidSnapshot, false, &failure,
							  false) == TM_Ok;
}

static void
write_history(Writer *writer, Datum account_name, bool isnull, const MktMove *move,
			  Datum account)
{
	TupleTableSlot *slot;

	if (writer->history == NULL)
		return;
	slot = mkt_append_slot(writer->history);
	mkt_count_values(move, account_name, account, isnull, slot->tts_values, slot->tts_isnull);
	mkt_append_row(writer->history);
}

static int
read_moves(Writer *writer, Datum account_name, bool isnull, Snapshot snapshot,
		   MktMove *moves, MktCountScan *scan)
{
	int			nmoves = 0;

	mkt_count_scan_begin(scan, writer->rel, writer->by_account, account_name, isnull,
						 snapshot);
	scan->for_folding = true;
	while (nmoves < FOLD_ROWS && mkt_count_scan_next(scan, writer->slot))
		if (is_own(writer->slot))
			scan->has_own_tally |= mkt_lane_is_older(writer->slot);
		else
		{
			read_move(writer->slot, &moves[nmoves]);
			moves[nmoves++].tallied = mkt_tally_lasts(writer->slot, snapshot);
		}
	mkt_count_scan_end(scan);
	ExecClearTuple(writer->slot);
	return nmoves;
}

static void
read_move(TupleTableSlot *slot, MktMove *move)
{
	bool		isnull;

	move->tid = slot->tts_tid;
	move->deleted = DatumGetBool(slot_getattr(slot, CNT_DELETED, &isnull));
	move->was = DatumGetTimestampTz(slot_getattr(slot, CNT_WAS, &isnull));
	if (isnull)
		move->was = MKT_ABSENT;
	move->until = DatumGetTimestampTz(slot_getattr(slot, CNT_UNTIL, &isnull));
	if (isnull)
		move->until = MKT_ABSENT;
	move->n = DatumGetInt64(slot_getattr(slot, CNT_N, &isnull));
	move->at = DatumGetTimestampTz(slot_getattr(slot, CNT_AT, &isnull));
	if (isnull)
		move->at = MKT_ABSENT;
}

/* What a move adds to the count of those that are marketing at an instant (S2). */
static int64
marketing_at(TimestampTz was, TimestampTz until, int64 n, TimestampTz at)
{
	return (until > at ? n : 0) - (was > at ? n : 0);
}

/* The index on the account's name; none while a dump is being restored. */
static Relation
try_open_account_index(Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	Relation	found = NULL;
	ListCell   *cell;

	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (found == NULL && index->rd_index->indisvalid &&
			index->rd_index->indkey.values[0] == CNT_ACCOUNT_NAME)
			found = index;
		else
			index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return found;
}

/* The same, for those who cannot do without. */
static Relation
open_account_index(Relation rel)
{
	Relation	index = try_open_account_index(rel);
	const char *name;

	if (index)
		return index;
	name = mkt_qualified_name(RelationGetRelid(rel));
	ereport(ERROR,
			errcode(ERRCODE_UNDEFINED_OBJECT),
			errmsg("%s has lost an index", name),
			errhint(RelationGetNumberOfAttributes(rel) >= CNT_LANE ?
					"CREATE INDEX ON %s (account_name, lane) WITH (deduplicate_items = off);" :
					"CREATE INDEX ON %s (account_name, at);", name));
}

/* Whether a table of counts can be read by account, or is still being restored. */
bool
mkt_count_is_ready(Oid count_table)
{
	Relation	rel = try_table_open(count_table, AccessShareLock);
	Relation	index = rel ? try_open_account_index(rel) : NULL;

	if (index)
		index_close(index, AccessShareLock);
	if (rel)
		table_close(rel, AccessShareLock);
	return index != NULL;
}

/*
 * The pending contacts of an account, or the deleted ones that count, that wait
 * for another instant than one, in a snapshot, and the account's value as the
 * contacts table has it.
 */
int64
mkt_count_pending(Oid count_table, const char *account, TimestampTz now,
				  TimestampTz except, bool deleted, Snapshot snapshot, Datum *typed)
{
	Datum		name = CStringGetTextDatum(account);
	Relation	rel = table_open(count_table, AccessShareLock);
	Relation	index = open_account_index(rel);
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), CNT_ACCOUNT - 1);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	MktCountScan scan;
	int64		pending = 0;
	MktMove		move;
	FrameIterator it;
	Sum		   *sum;

	snapshot = RegisterSnapshot(snapshot);
	mkt_count_scan_begin(&scan, rel, index, name, false, snapshot);
	while (mkt_count_scan_next(&scan, slot))
	{
		bool		isnull;

		read_move(slot, &move);
		if (move.deleted != deleted)
			continue;
		pending += pends(move.until, now, except) ? move.n : 0;
		pending -= pends(move.was, now, except) ? move.n : 0;
		*typed = datumCopy(slot_getattr(slot, CNT_ACCOUNT, &isnull),
						   att->attbyval, att->attlen);
	}
	mkt_count_scan_end(&scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);

	start_iterate(&it);
	while ((sum = iterate(&it)) != NULL)
	{
		if (sum->key.deleted != deleted || !is_account(sum, rel, name, false))
			continue;
		pending += pends(sum->key.until, now, except) ? sum->n : 0;
		pending -= pends(sum->key.was, now, except) ? sum->n : 0;
		*typed = datumCopy(sum->key.account.account, att->attbyval, att->attlen);
	}
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
	return pending;
}

static bool
pends(TimestampTz until, TimestampTz now, TimestampTz except)
{
	return until > now && !TIMESTAMP_IS_NOEND(until) && until != except;
}

/*
 * D7: gives an account's deleted contacts that still count another instant, as
 * the newest snapshot and this transaction know them.
 */
void
mkt_count_redate(const MktAttachment *attachment, const char *account,
				 TimestampTz now, TimestampTz next)
{
	Relation	rel = table_open(attachment->count_table, AccessShareLock);
	Relation	index = open_account_index(rel);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Snapshot	snapshot;
	MktCountScan scan;

	mkt_count_post_all(attachment->count_table);
	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	mkt_count_scan_begin(&scan, rel, index, CStringGetTextDatum(account), false, snapshot);
	while (mkt_count_scan_next(&scan, slot))
	{
		bool		isnull;
		Datum		typed = slot_getattr(slot, CNT_ACCOUNT, &isnull);
		MktMove		move;

		read_move(slot, &move);
		if (move.deleted && pends(move.until, now, next))
			move_account(attachment, typed, isnull, true, move.until, next, move.n);
		if (move.deleted && pends(move.was, now, next))
			move_account(attachment, typed, isnull, true, move.was, next, -move.n);
	}
	mkt_count_scan_end(&scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
}

/*
 * T13: contacts that a TRUNCATE removed and that count on, each row as account,
 * instant and number; those that were not pending until their account's next
 * update date.
 */
void
mkt_count_keep_all(const MktAttachment *attachment, SPITupleTable *rows,
				   uint64 nrows)
{
	for (uint64 i = 0; i < nrows; i++)
	{
		HeapTuple	row = rows->vals[i];
		bool		isnull;
		bool		null;
		Datum		account = heap_getattr(row, 1, rows->tupdesc, &isnull);
		TimestampTz until = DatumGetTimestampTz(heap_getattr(row, 2, rows->tupdesc, &null));

		CHECK_FOR_INTERRUPTS();
		if (TIMESTAMP_IS_NOEND(until))
			until = mkt_account_next_update(attachment, account, isnull);
		move_account(attachment, account, isnull, true, MKT_ABSENT, until,
					 DatumGetInt64(heap_getattr(row, 3, rows->tupdesc, &null)));
	}
}

/*
 * Adds rows that correct or complete a table's counts; each is given as
 * account, instant and number, as the caller's query returned them.  Of those that
 * are non-marketing nobody asks since when: their rows are sums, with nothing to
 * fold and nothing for the history of counts.
 */
void
mkt_count_correct(Oid count_table, SPITupleTable *rows, uint64 nrows)
{
	Writer		writer = {0};

	open_writer(&writer, count_table);
	for (uint64 i = 0; i < nrows; i++)
	{
		HeapTuple	row = rows->vals[i];
		bool		isnull;
		bool		null;
		Datum		account = heap_getattr(row, 1, rows->tupdesc, &isnull);
		Datum		name = heap_getattr(row, 2, rows->tupdesc, &null);
		TimestampTz until = DatumGetTimestampTz(heap_getattr(row, 3, rows->tupdesc, &null));
		MktMove		correction = {
			.was = MKT_ABSENT,
			.until = until,
			.at = TIMESTAMP_IS_NOBEGIN(until) ? MKT_ABSENT : mkt_now(),
			.n = DatumGetInt64(heap_getattr(row, 4, rows->tupdesc, &null)) -
			DatumGetInt64(heap_getattr(row, 5, rows->tupdesc, &null))
		};

		CHECK_FOR_INTERRUPTS();
		write_row(&writer, name, isnull, &correction, account);
	}
	close_writer(&writer);
}

/*
 * Makes the sums of all levels rows of a table of counts.  Those of outer levels
 * are taken back here and not there, because this level may still be rolled back.
 */
void
mkt_count_post_all(Oid count_table)
{
	Writer		writer = {0};
	Frame	   *here;

	if (top_frame == NULL)
		return;
	mkt_count_post();
	here = current_frame();
	if (here->parent && open_writer(&writer, count_table))
		for (Frame *frame = here->parent; frame; frame = frame->parent)
			post_outer(&writer, frame, here);
	close_writer(&writer);
}

static void
post_outer(Writer *writer, Frame *frame, Frame *here)
{
	sums_iterator it;
	Sum		   *sum;

	sums_start_iterate(frame->sums, &it);
	while ((sum = sums_iterate(frame->sums, &it)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (sum->n == 0 || sum->key.account.count_table != RelationGetRelid(writer->rel))
			continue;
		write_sum(writer, sum, false, false);
		add(here, &sum->key, -sum->n);
	}
}

/*
 * A contacts table is attached no longer: what is in memory counts no longer.
 * Sums of outer levels are taken back here, too.
 */
void
mkt_count_forget(Oid count_table)
{
	Frame	   *here;

	if (top_frame == NULL)
		return;
	here = current_frame();
	for (Frame *frame = here; frame; frame = frame->parent)
	{
		sums_iterator it;
		Sum		   *sum;

		sums_start_iterate(frame->sums, &it);
		while ((sum = sums_iterate(frame->sums, &it)) != NULL)
		{
			if (sum->key.account.count_table != count_table)
				continue;
			if (frame == here)
				sum->n = 0;
			else
				add(here, &sum->key, -sum->n);
		}
	}
}

/* Folds these accounts in a table of counts; also after a procedure's commit. */
void
mkt_count_fold(Oid count_table, int naccounts, const Datum *name, const bool *isnull,
			   const Datum *account)
{
	Writer		writer = {0};

	if (!open_writer(&writer, count_table))
		return;					/* LCOV_EXCL_LINE: dropped since it was read */
	PushActiveSnapshot(GetTransactionSnapshot());
	for (int i = 0; i < naccounts; i++)
	{
		fold_account(&writer, name[i], isnull[i], account[i], true);
		CHECK_FOR_INTERRUPTS();
	}
	close_writer(&writer);
	PopActiveSnapshot();
}

/*
 * mkt.fold_counts(): folds every account of a table of counts that has more
 * rows than instants; returns how many accounts that were.
 */
Datum
mkt_fold_counts(PG_FUNCTION_ARGS)
{
	Oid			count_table = PG_GETARG_OID(0);
	char	   *name = mkt_qualified_name(count_table);
	Writer		writer = {0};
	uint64		accounts;

	if (!is_count_table(count_table))
		ereport(ERROR,
				errcode(ERRCODE_MKT_NOT_ATTACHED),
				errmsg("%s is not a table of counts", name),
				errhint("SELECT mkt.fold_counts(count_table) FROM mkt.attachment;"));
	SPI_connect();
	if (SPI_execute(psprintf("SELECT account_name, account FROM (SELECT account_name, account, "
							 "count(*) AS rows, sum(n) AS n, bool_or(at IS NOT NULL) AS moves, "
							 "deleted AND until OPERATOR(pg_catalog.<=) mkt.now() AS ended FROM ONLY %s WHERE COALESCE(was, until) IS NOT NULL GROUP BY account_name, account, until, deleted) AS c "
							 "WHERE rows OPERATOR(pg_catalog.>) 1 OR moves OR n OPERATOR(pg_catalog.=) 0 OR ended "
							 "GROUP BY account_name, account", name),
					false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read %s", name);
	accounts = SPI_processed;
	open_writer(&writer, count_table);
	for (uint64 i = 0; i < accounts; i++)
	{
		bool		isnull;
		bool		null;
		Datum		account_name = SPI_getbinval(SPI_tuptable->vals[i],
												 SPI_tuptable->tupdesc, 1, &isnull);
		Datum		account = SPI_getbinval(SPI_tuptable->vals[i],
											SPI_tuptable->tupdesc, 2, &null);

		fold_account(&writer, account_name, isnull, account, true);
		CHECK_FOR_INTERRUPTS();
	}
	close_writer(&writer);
	SPI_finish();
	PG_RETURN_INT64(accounts);
}

static bool
is_count_table(Oid relid)
{
	ListCell   *cell;

	foreach(cell, mkt_attachment_list())
	{
		if (((MktAttachedTable *) lfirst(cell))->count_table == relid)
			return true;
	}
	return false;
}

static void
end_of_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			if (top_frame)
			{
				PushActiveSnapshot(GetTransactionSnapshot());	/* who writes has one */
				post(top_frame, false);
				PopActiveSnapshot();
			}
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			/* the memory of inner ones goes with the transaction's */
			top_frame = NULL;
			if (outermost)
				MemoryContextReset(outermost);
			break;
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
			break;
	}
}

/*
 * A subtransaction may fail up to its very commit.  So its parent makes room
 * before, which may fail, and gets the sums in it, which cannot.
 */
static void
end_of_subtransaction(SubXactEvent event, SubTransactionId child,
					  SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();
	Frame	   *frame = top_frame;

	if (frame == NULL || frame->level < level)
		return;
	if (event == SUBXACT_EVENT_PRE_COMMIT_SUB && has_frame_below(frame))
		make_room(frame->parent, frame);
	else if (event == SUBXACT_EVENT_COMMIT_SUB && has_frame_below(frame))
		leave_to_parent(frame);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		frame->level = level - 1;
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		drop_frame(frame);
	}
}

/* Whether the level that its own commits into has a frame already. */
static bool
has_frame_below(const Frame *frame)
{
	return frame->parent && frame->parent->level == frame->level - 1;
}

static void
make_room(Frame *parent, Frame *frame)
{
	sums_iterator it;
	Sum		   *sum;

	sums_start_iterate(frame->sums, &it);
	while ((sum = sums_iterate(frame->sums, &it)) != NULL)
		add(parent, &sum->key, 0);
}

static void
leave_to_parent(Frame *frame)
{
	sums_iterator it;
	Sum		   *sum;

	sums_start_iterate(frame->sums, &it);
	while ((sum = sums_iterate(frame->sums, &it)) != NULL)
		sums_lookup(frame->parent->sums, sum->key)->n += sum->n;
	drop_frame(frame);
}

void
mkt_count_init(void)
{
	RegisterXactCallback(end_of_transaction, NULL);
	RegisterSubXactCallback(end_of_subtransaction, NULL);
}
