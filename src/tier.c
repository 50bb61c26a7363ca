/*-------------------------------------------------------------------------
 * tier.c
 *	  The tier that covers a number of marketing contacts (rule B1).
 *
 * Pure arithmetic: what an edition includes and the size of its increments
 * are arguments.  quote.c calls it.
 *
 * What is included is never negative, and an increment never below 1.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "common/int.h"

/* B1: so many increments above what is included cover n contacts. */
int64
mkt_tier_increments(int64 included, int64 increment, int64 n)
{
	Assert(included >= 0 && increment > 0);
	if (n <= included)
		return 0;
	return (n - included - 1) / increment + 1;
}

/* B1: the smallest tier that covers n contacts; false when it overflows. */
bool
mkt_tier_limit(int64 included, int64 increment, int64 n, int64 *limit)
{
	int64		above;

	return !pg_mul_s64_overflow(mkt_tier_increments(included, increment, n),
								increment, &above) &&
		!pg_add_s64_overflow(included, above, limit);
}
