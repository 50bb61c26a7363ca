/*-------------------------------------------------------------------------
 * partition.c
 *	  The partitions of a history, which are ranges of instants and a rest.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/table.h"
#include "nodes/pg_list.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/partcache.h"
#include "utils/timestamp.h"

/*
 * The partition for an instant, with the range that goes there.  The rest has
 * no range: others may take their part of it.  Nothing when there is none.
 */
MktPartition
mkt_partition_for(Oid history, TimestampTz at)
{
	MktPartition found = {InvalidOid, DT_NOEND, DT_NOBEGIN};
	Relation	rel = try_table_open(history, RowExclusiveLock);
	PartitionDesc partitions;
	PartitionBoundInfo bounds;
	PartitionKey key;
	Datum		value = TimestampTzGetDatum(at);
	bool		equal;
	int			before;

	if (rel == NULL)
		return found;
	partitions = RelationGetPartitionDesc(rel, true);
	bounds = partitions->boundinfo;
	key = RelationGetPartitionKey(rel);
	before = partition_range_datum_bsearch(key->partsupfunc, key->partcollation, bounds, 1,
										   &value, &equal);
	if (bounds->indexes[before + 1] >= 0)
	{
		found.relid = partitions->oids[bounds->indexes[before + 1]];
		found.from = DatumGetTimestampTz(bounds->datums[before][0]);
		found.to = DatumGetTimestampTz(bounds->datums[before + 1][0]);
	}
	else if (bounds->default_index >= 0)
		found.relid = partitions->oids[bounds->default_index];
	table_close(rel, NoLock);
	return found;
}

/* The partitions that end at an instant or before. */
List *
mkt_partition_before(Oid history, TimestampTz end)
{
	Relation	rel = table_open(history, AccessShareLock);
	PartitionDesc partitions = RelationGetPartitionDesc(rel, true);
	PartitionBoundInfo bounds = partitions->boundinfo;
	List	   *found = NIL;

	for (int i = 0; i + 1 < bounds->ndatums; i++)
		if (bounds->indexes[i + 1] >= 0 &&
			DatumGetTimestampTz(bounds->datums[i + 1][0]) <= end)
			found = lappend_oid(found, partitions->oids[bounds->indexes[i + 1]]);
	table_close(rel, NoLock);
	return found;
}

/* The partition for the rest. */
Oid
mkt_partition_rest(Oid history)
{
	Relation	rel = table_open(history, AccessShareLock);
	PartitionDesc partitions = RelationGetPartitionDesc(rel, true);
	int			index = partitions->boundinfo->default_index;
	Oid			rest = index < 0 ? InvalidOid : partitions->oids[index];

	table_close(rel, NoLock);
	return rest;
}
