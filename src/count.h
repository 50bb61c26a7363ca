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
	uint64		nvisited;		/* rows that are dead, too */
	List	   *seals;			/* where the rows of seals are that were met */
} MktCountScan;

/* Who wrote a row. */
static inline TransactionId
mkt_row_xid(TupleTableSlot *slot)
{
	bool		isnull;

	return DatumGetTransactionId(slot_getsysattr(slot, MinTransactionIdAttributeNumber, &isnull));
}

extern bool mkt_can_seal(Relation rel);
extern int64 mkt_lane(Relation rel);
extern void mkt_count_scan_begin(MktCountScan *scan, Relation rel, Relation index,
								 Datum account_name, bool isnull,
								 Snapshot snapshot);
extern bool mkt_count_scan_next(MktCountScan *scan, TupleTableSlot *slot);
extern void mkt_count_scan_end(MktCountScan *scan);
extern MktSeal mkt_seal_by(Snapshot snapshot);
extern int64 mkt_seal_row(const MktSeal *seal, int i);

#endif							/* MKT_COUNT_H */
