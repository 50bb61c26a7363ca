/*-------------------------------------------------------------------------
 * compat.h
 *	  Every difference between PostgreSQL versions that mktcontacts meets.
 *-------------------------------------------------------------------------
 */
#ifndef MKT_COMPAT_H
#define MKT_COMPAT_H

#include "postgres.h"

#include "access/heapam.h"
#include "access/xact.h"
#include "storage/bufmgr.h"
#include "storage/proc.h"
#include "utils/datetime.h"
#include "utils/guc.h"

#if PG_VERSION_NUM < 150000
#error "mktcontacts needs PostgreSQL 15 or later"
#endif

/* PostgreSQL 16 added an argument that tells more about what is wrong. */
static inline int
mkt_decode_datetime(char **field, int *ftype, int nf, int *dtype,
					struct pg_tm *tm, fsec_t *fsec, int *tz)
{
#if PG_VERSION_NUM >= 160000
	DateTimeErrorExtra extra;

	return DecodeDateTime(field, ftype, nf, dtype, tm, fsec, tz, &extra);
#else
	return DecodeDateTime(field, ftype, nf, dtype, tm, fsec, tz);
#endif
}

/* PostgreSQL 16 merged the ACL checks of most objects into one function. */
#if PG_VERSION_NUM >= 160000
#define mkt_class_owned_by(relid, roleid) \
	object_ownercheck(RelationRelationId, relid, roleid)
#define mkt_schema_aclcheck(schema, roleid, mode) \
	object_aclcheck(NamespaceRelationId, schema, roleid, mode)
#else
#define mkt_schema_aclcheck(schema, roleid, mode) \
	pg_namespace_aclcheck(schema, roleid, mode)
#define mkt_class_owned_by(relid, roleid) \
	pg_class_ownercheck(relid, roleid)
#endif

/* PostgreSQL 18 gave a table's prepared check constraints another name. */
#if PG_VERSION_NUM >= 180000
#define ri_ConstraintExprs ri_CheckConstraintExprs
#endif

/* PostgreSQL 18 can count what index scans do. */
#if PG_VERSION_NUM >= 180000
#define mkt_index_beginscan(table, index, snapshot, nkeys) \
	index_beginscan(table, index, snapshot, NULL, nkeys, 0)
#else
#define mkt_index_beginscan(table, index, snapshot, nkeys) \
	index_beginscan(table, index, snapshot, nkeys, 0)
#endif

/* PostgreSQL 17 put the two parts of a virtual transaction's number together. */
#if PG_VERSION_NUM >= 170000
#define mkt_proc_lxid(proc) ((proc)->vxid.lxid)
#else
#define mkt_proc_lxid(proc) ((proc)->lxid)
#endif
#define mkt_local_transaction() mkt_proc_lxid(MyProc)

/* PostgreSQL 16 can leave all but summarizing indexes out. */
#if PG_VERSION_NUM >= 160000
#define mkt_insert_index_entries(result, slot, estate) \
	list_free(ExecInsertIndexTuples(result, slot, estate, false, false, NULL, NIL, false))
#else
#define mkt_insert_index_entries(result, slot, estate) \
	list_free(ExecInsertIndexTuples(result, slot, estate, false, false, NULL, NIL))
#endif

/* Whether a row could be changed without waiting; PostgreSQL 16 says which indexes need it. */
static inline bool
mkt_heap_update(Relation rel, ItemPointer place, HeapTuple row)
{
	CommandId	command = GetCurrentCommandId(true);
	TM_FailureData failure;
	LockTupleMode lock;
#if PG_VERSION_NUM >= 160000
	TU_UpdateIndexes indexes;

	return heap_update(rel, place, row, command, InvalidSnapshot, false, &failure, &lock,
					   &indexes) == TM_Ok;
#else

	return heap_update(rel, place, row, command, InvalidSnapshot, false, &failure, &lock) == TM_Ok;
#endif
}

/* Pins a page if it is where it was; PostgreSQL 16 gave what is in it another name. */
static inline bool
mkt_read_recent_buffer(Relation rel, BlockNumber block, Buffer buffer)
{
#if PG_VERSION_NUM >= 160000
	return BufferIsValid(buffer) &&
		ReadRecentBuffer(rel->rd_locator, MAIN_FORKNUM, block, buffer);
#else
	return BufferIsValid(buffer) &&
		ReadRecentBuffer(rel->rd_node, MAIN_FORKNUM, block, buffer);
#endif
}

/* PostgreSQL 18 says before a function that it does not return. */
#if PG_VERSION_NUM >= 180000
#define pg_attribute_noreturn() __attribute__((noreturn))
#endif

/* What a setting's check hook hands on; PostgreSQL 16 frees it by itself. */
#if PG_VERSION_NUM >= 160000
#define mkt_guc_malloc(size) guc_malloc(LOG, size)
#define mkt_guc_free(pointer) guc_free(pointer)
#else
#define mkt_guc_malloc(size) malloc(size)
#define mkt_guc_free(pointer) free(pointer)
#endif

/* PostgreSQL 16 renamed how the sessions are gone through. */
#if PG_VERSION_NUM >= 160000
#define mkt_local_backend(i) pgstat_get_local_beentry_by_index(i)
#else
#define mkt_local_backend(i) pgstat_fetch_stat_local_beentry(i)
#endif

#endif							/* MKT_COMPAT_H */
