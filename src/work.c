/*-------------------------------------------------------------------------
 * work.c
 *	  Scheduled work in steps, of which one may fail without the others.
 *
 * Between steps the work commits, where it is called outside a transaction
 * block.  A step that fails is rolled back and noted; whoever calls a step by
 * hand has its error instead.  To be cancelled ends the work.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timeout.h"

/* A step that waits longer for a lock fails, so that the others have their turn. */
#define LOCK_TIMEOUT "10s"

static volatile sig_atomic_t timed_out = false;

static void time_is_up(void);
static bool is_cancel(const ErrorData *error);
static void note(MktWork *work, ErrorData *error);

/* Connects, and tells whether a procedure may commit between steps. */
bool
mkt_work_start(FunctionCallInfo fcinfo)
{
	bool		commits;

	mkt_version_check();
	PreventCommandDuringRecovery(psprintf("CALL mkt.%s()",
										  get_func_name(fcinfo->flinfo->fn_oid)));
	commits = fcinfo->context && IsA(fcinfo->context, CallContext) &&
		!castNode(CallContext, fcinfo->context)->atomic;
	SPI_connect_ext(commits ? SPI_OPT_NONATOMIC : 0);
	return commits;
}

/* Runs a step; false when it failed and others may go on. */
bool
mkt_work_step(MktWork *work, void (*step) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	void	   *touched = mkt_watch_touched();

	if (!work->catches)
	{
		step(arg);
		return true;
	}
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		if (LockTimeout == 0)
			set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION,
							  GUC_ACTION_LOCAL, true, 0, false);
		step(arg);
		if (work->commits)
			mkt_watch_look();
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		mkt_watch_untouch(touched);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error)
		note(work, error);
	return error == NULL;
}

/* The same for a step that may take only so long; 0: any time. */
bool
mkt_work_step_within(MktWork *work, int milliseconds, void (*step) (void *arg), void *arg)
{
	static TimeoutId timeout = MAX_TIMEOUTS;
	volatile bool done = false;

	if (milliseconds == 0)
		return mkt_work_step(work, step, arg);
	if (timeout == MAX_TIMEOUTS)
		timeout = RegisterTimeout(USER_TIMEOUT, time_is_up);
	timed_out = false;
	enable_timeout_after(timeout, milliseconds);
	PG_TRY();
	{
		done = mkt_work_step(work, step, arg);
	}
	PG_FINALLY();
	{
		disable_timeout(timeout, false);
		if (timed_out)
			QueryCancelPending = false; /* it may not have been heeded */
		timed_out = false;
	}
	PG_END_TRY();
	return done;
}

/* In a signal handler. */
static void
time_is_up(void)
{
	timed_out = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

/* A user's function may raise the same SQLSTATE; that ends nothing but its step. */
static bool
is_cancel(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED && error->funcname &&
		strcmp(error->funcname, "ProcessInterrupts") == 0;
}

static void
note(MktWork *work, ErrorData *error)
{
	if (is_cancel(error) && !timed_out)
		ReThrowError(error);
	if (is_cancel(error))
		error->message = pstrdup("it takes too long");
	mkt_work_fail(work, error->message, error->sqlerrcode);
}

/* Notes a failure; of several the first one is told. */
void
mkt_work_fail(MktWork *work, const char *message, int sqlstate)
{
	if (work->failures++ > 0)
		return;
	work->error = MemoryContextStrdup(work->context, message);
	work->sqlstate = sqlstate;
}

void
mkt_work_commit(const MktWork *work)
{
	if (work->commits)
		SPI_commit();
	else
		CommandCounterIncrement();
}
