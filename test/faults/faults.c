/*-------------------------------------------------------------------------
 * faults.c
 *	  Lets the n-th call of PostgreSQL that mktcontacts makes fail.
 *
 * test/faults/install links the library once more, so that its calls of
 * PostgreSQL's functions go by way of the code that test/faults/wrap writes.
 * That asks here whether it is this call's turn; if so, it raises an error in its
 * place, as of memory that has run out or of a query that was cancelled.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/inval.h"
#include "utils/memutils.h"

extern bool mkt_fault_due(void);
extern void mkt_fault_raise(const char *function);

static int64 calls = 0;
static int64 fails_at = 0;

PG_FUNCTION_INFO_V1(mkt_fault_at);
PG_FUNCTION_INFO_V1(mkt_fault_calls);
PG_FUNCTION_INFO_V1(mkt_fault_forget);

/* The n-th call from now on fails; 0: none. */
Datum
mkt_fault_at(PG_FUNCTION_ARGS)
{
	calls = 0;
	fails_at = PG_GETARG_INT64(0);
	PG_RETURN_VOID();
}

/* How many there were since then. */
Datum
mkt_fault_calls(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(calls);
}

/* As if another session had changed everything: what is cached is read again. */
Datum
mkt_fault_forget(PG_FUNCTION_ARGS)
{
	InvalidateSystemCaches();
	PG_RETURN_VOID();
}

bool
mkt_fault_due(void)
{
	return ++calls == fails_at;
}

void
mkt_fault_raise(const char *function)
{
	ereport(ERROR,
			errcode(ERRCODE_OUT_OF_MEMORY),
			errmsg("fault in call %lld, of %s", (long long) calls, function));
}
