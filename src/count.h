/*-------------------------------------------------------------------------
 * count.h
 *	  Tables of counts, as count.c writes them and seal.c reads them.
 *-------------------------------------------------------------------------
 */
#ifndef MKT_COUNT_H
#define MKT_COUNT_H

#include "mktcontacts.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/sysattr.h"
#include "executor/tuptable.h"
#include "storage/itemptr.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

/* The columns of every table of counts. */
#define CNT_ACCOUNT_NAME	1	/* the account as text */
#define CNT_DELETED			2	/* contacts that are gone and still count */
#define CNT_WAS				3	/* marketing until, before; null: no contact */
#define CNT_UNTIL			4	/* marketing until, since; null: no contact */
#define CNT_N				5	/* so many contacts */
#define CNT_AT				6	/* when; null: a sum */
#define CNT_ACCOUNT			7	/* the account as the contacts table has it */
#define CNT_LANE			8	/* where the index has it, see seal.c */
#define CNT_COLUMNS			8

/* Whose contacts were and are marketing until when; MKT_ABSENT: there were or are none. */
typedef struct MktSumKey
{
	MktAccountKey account;
	bool		deleted;
	TimestampTz was;
	TimestampTz until;
	TimestampTz at;				/* when they changed */
} MktSumKey;

static inline uint32
mkt_sum_hash(const MktSumKey *key)
{
	return mkt_account_key_hash(&key->account) ^
		(uint32) ((uint64) (key->was + 3 * key->until) * UINT64CONST(0x9E3779B97F4A7C15) >> 32);
}

static inline bool
mkt_sum_equal(const MktSumKey *a, const MktSumKey *b)
{
	return a->was == b->was && a->until == b->until && a->at == b->at &&
		a->deleted == b->deleted && mkt_account_key_equal(&a->account, &b->account);
}

/* A row of a table of counts. */
typedef struct MktMove
{
	ItemPointerData tid;
	bool		deleted;
	TimestampTz was;
	TimestampTz until;
	TimestampTz at;				/* MKT_ABSENT: a sum */
	int64		n;
	bool		tallied;		/* in a tally that lasts */
} MktMove;

/* So many blocks of lanes can be left out of a seal. */
#define MKT_OPEN_BLOCKS		8

/* A reader passes by all rows of lanes below a limit but those of open blocks. */
typedef struct MktSeal
{
	int64		limit;			/* 0: there is none */
	TransactionId by;			/* who wrote it */
	int			nopen;
	int64		open[MKT_OPEN_BLOCKS];	/* where each begins, ascending */
} MktSeal;

/* A scan of an account's rows. */
typedef struct MktCountScan
{
	IndexScanDesc scan;
	ScanKeyData keys[3];
	bool		for_folding;	/* notes where seals are */
	bool		has_seal;		/* all rows of one */
	int			next_range;		/* of those that the seal leaves */
	MktSeal		seal;
	bool		has_own_tally;	/* begun by an earlier transaction */
	uint64		ndead;			/* rows that nobody sees who begins now, but
								 * somebody else may */
	List	   *seals;			/* where the rows of seals are that were met */
} MktCountScan;

/* Who wrote a row. */
static inline TransactionId
mkt_row_xid(TupleTableSlot *slot)
{
	bool		isnull;

	return DatumGetTransactionId(slot_getsysattr(slot, MinTransactionIdAttributeNumber, &isnull));
}

extern void mkt_count_values(const MktMove *move, Datum account_name, Datum account,
							 bool isnull, Datum *values, bool *nulls);

extern bool mkt_can_seal(Relation rel);
extern int64 mkt_lane(Relation rel, bool tally);
extern bool mkt_lane_is_older(TupleTableSlot *slot);
extern void mkt_count_scan_begin(MktCountScan *scan, Relation rel, Relation index,
								 Datum account_name, bool isnull,
								 Snapshot snapshot);
extern bool mkt_count_scan_next(MktCountScan *scan, TupleTableSlot *slot);
extern void mkt_count_scan_end(MktCountScan *scan);
extern MktSeal mkt_seal_by(Snapshot snapshot);
extern int64 mkt_seal_row(const MktSeal *seal, int i);
extern char *mkt_seal_passed_by(const char *count_table);
extern void mkt_seal_take_in(Oid count_table);

/* Whether a sum has become part of a session's tally. */
typedef enum MktTallied
{
	MKT_NOT_TALLIED,
	MKT_TALLIED,
	MKT_TALLY_BEGINS,			/* not: its row is to be the tally */
	MKT_TALLY_SPREADS			/* the same, for the old one leaves its page
								 * too often */
} MktTallied;

extern MktTallied mkt_tally_add(const MktSumKey *key, int64 n);
extern void mkt_tally_begin(Relation rel, TupleTableSlot *slot,
							const MktSumKey *key);
extern int64 mkt_tally_before(Relation rel, ItemPointer place);
extern bool mkt_tally_lasts(TupleTableSlot *slot, Snapshot snapshot);

#endif							/* MKT_COUNT_H */
