/*-------------------------------------------------------------------------
 * hash.h
 *	  lib/simplehash.h, with tables that outlast an error.
 *
 * Included like that, with HASH_PREFIX in place of SH_PREFIX.  Where memory for a
 * larger table cannot be had, older minor versions of PostgreSQL leave one that says
 * that it is larger; who goes on using it would read behind its end.
 *-------------------------------------------------------------------------
 */
#define SH_PREFIX HASH_PREFIX
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#define SH_USE_NONDEFAULT_ALLOCATOR
#include "lib/simplehash.h"

#define HASH_NAME(name) HASH_NAME_OF(HASH_PREFIX, name)
#define HASH_NAME_OF(prefix, name) HASH_CONCAT(prefix, name)
#define HASH_CONCAT(prefix, name) prefix##_##name

static inline void *
HASH_NAME(allocate) (HASH_NAME(hash) * table, Size size)
{
	HASH_NAME(hash) grown = *table;
	void	   *data;

	if (table->data && size == table->size * sizeof(*table->data))
	{
		table->size /= 2;
		table->sizemask = table->size - 1;
		table->grow_threshold = 0;
	}
	data = MemoryContextAllocExtended(table->ctx, size, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	*table = grown;
	return data;
}

static inline void
HASH_NAME(free) (HASH_NAME(hash) * table, void *data)
{
	pfree(data);
}

#undef HASH_PREFIX
#undef HASH_NAME
#undef HASH_NAME_OF
#undef HASH_CONCAT
