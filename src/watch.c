/*-------------------------------------------------------------------------
 * watch.c
 *	  Accounts whose count is watched: who exceeds a tier, or comes up to a part
 *	  of it that somebody wants to hear of (rules B2, B7).
 *
 * What a crossing means is SQL, in mkt.record_crossing().  Here it is found, by
 * the transaction that crosses and just before it commits, without making the
 * others slower: an account without an edition costs one look at a session's
 * cache.  One that is far from its next boundary costs hardly more, because only
 * transactions that add many contacts, and one in CHECK_ONE_IN of the others,
 * read its count.  One that is near is checked by everybody who adds a contact,
 * under a lock that is held from here to the end of the commit, so that of two
 * who cross together the second sees the first.
 *
 * An account becomes near when anybody finds less than NEAR contacts between it
 * and its boundary; all sessions hear of it.  Those who did not look until then
 * cannot have used them up: each adds less than MANY, and 4096 that look by
 * chance without one of them looking happen once in 10^28 times.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "common/pg_prng.h"
#include "compat.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* The columns of mkt.account_tier that are read here. */
#define TIE_ACCOUNT		1
#define TIE_NEXT_AT		2
#define TIE_NEAR		3

#define NEAR 4096
#define MANY 32
#define CHECK_ONE_IN 64

/* Beyond this many accounts the cache is dropped and filled again. */
#define MAX_CACHED 10000

/* The second number of an account's lock; limit.c has another. */
#define LOCK_OF_ACCOUNT 3

/* An account to which this transaction has added contacts. */
typedef struct Touched
{
	char	   *account;
	int64		added;			/* not taken back by savepoints */
	int64		next_at;		/* what was known of it */
	bool		near;
	struct Touched *next;
} Touched;

/* An account in one contacts table, and what is known of it. */
typedef struct Watched
{
	MktAccountKey key;
	bool		is_watched;
	bool		near;
	int64		next_at;		/* the count at which something happens */
	Touched    *touched;		/* by the transaction that ... */
	LocalTransactionId by;		/* ... has this number */
	char		status;
} Watched;

#define SH_PREFIX watch
#define SH_ELEMENT_TYPE Watched
#define SH_KEY_TYPE MktAccountKey
#define SH_KEY key
#define SH_HASH_KEY(tb, key) mkt_account_key_hash(&key)
#define SH_EQUAL(tb, a, b) mkt_account_key_equal(&a, &b)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

static MemoryContext watch_context = NULL;
static watch_hash * watch = NULL;
static Oid	tier_relid = InvalidOid;	/* whose invalidation ends the cache */
static bool stale = true;
static bool any = false;		/* some account is watched */
static Touched *touched = NULL;

static void start_cache(void);
static Watched *watched_of(const MktAttachment *attachment, Datum account);
static void read_watched(Watched *watched, const char *account);
static int	compare_locks(const ListCell *a, const ListCell *b);
static uint32 lock_of(const char *account);
static bool worth_a_look(const Touched *account);
static void look(const Touched *account);
static void lock_account(const char *account);
static bool is_restored(void);
static int64 call(const char *query, const char *account, int nargs, Datum *values);

PG_FUNCTION_INFO_V1(mkt_set_tier);
PG_FUNCTION_INFO_V1(mkt_watch_changed);

/* A contact of an account was marketing until one instant, and is until another. */
void
mkt_watch_move(const MktAttachment *attachment, Datum account, bool isnull,
			   TimestampTz was, TimestampTz until)
{
	TimestampTz now;
	Watched    *watched;

	if (stale)
		start_cache();
	if (!any || isnull)
		return;
	now = mkt_now();
	if (until <= now || was > now)
		return;
	watched = watched_of(attachment, account);
	if (!watched->is_watched)
		return;
	if (watched->by != mkt_local_transaction())
	{
		Touched    *new = MemoryContextAllocZero(TopTransactionContext, sizeof(Touched));

		new->account = MemoryContextStrdup(TopTransactionContext,
										   mkt_account_text(attachment->account_type, account));
		new->next_at = watched->next_at;
		new->near = watched->near;
		new->next = touched;
		touched = new;
		watched->touched = new;
		watched->by = mkt_local_transaction();
	}
	watched->touched->added++;
}

static void
start_cache(void)
{
	Relation	rel = table_open(mkt_relation("account_tier"), AccessShareLock);
	SysScanDesc scan;

	if (watch_context == NULL)
		watch_context = AllocSetContextCreate(CacheMemoryContext, "mktcontacts watched accounts",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(watch_context);
	watch = watch_create(watch_context, 16, NULL);
	tier_relid = RelationGetRelid(rel);
	stale = false;
	scan = systable_beginscan(rel, mkt_relation("account_tier_pkey"), true, NULL, 0, NULL);
	any = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static Watched *
watched_of(const MktAttachment *attachment, Datum account)
{
	MktAccountKey key = {
		.count_table = attachment->count_table,
		.len = attachment->account_len,
		.by_value = attachment->account_by_value,
		.account = account
	};
	Watched    *watched = watch_lookup(watch, key);
	Watched		new = {0};
	MemoryContext before;

	if (watched)
		return watched;
	if (watch->members >= MAX_CACHED)
		start_cache();
	read_watched(&new, mkt_account_text(attachment->account_type, account));
	before = MemoryContextSwitchTo(watch_context);
	key.account = datumCopy(account, key.by_value, key.len);
	MemoryContextSwitchTo(before);
	watched = watch_insert(watch, key, &(bool) {false});
	new.key = watched->key;
	new.status = watched->status;
	*watched = new;
	return watched;
}

static void
read_watched(Watched *watched, const char *account)
{
	Relation	rel = table_open(mkt_relation("account_tier"), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		isnull;

	ScanKeyEntryInitialize(&key, 0, TIE_ACCOUNT, BTEqualStrategyNumber, InvalidOid,
						   DEFAULT_COLLATION_OID, F_TEXTEQ, CStringGetTextDatum(account));
	scan = systable_beginscan(rel, mkt_relation("account_tier_pkey"), true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		watched->is_watched = true;
		watched->next_at = DatumGetInt64(heap_getattr(tuple, TIE_NEXT_AT, desc, &isnull));
		watched->near = DatumGetBool(heap_getattr(tuple, TIE_NEAR, desc, &isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/*
 * Before commit, while what was counted may still be in memory.  Everybody takes
 * the accounts in the order of their locks, so that none waits for each other.
 */
static void
look_at_touched(void)
{
	List	   *accounts = NIL;
	ListCell   *cell;

	CommandCounterIncrement();	/* what the last statement wrote counts */
	for (Touched *account = touched; account; account = account->next)
		if (worth_a_look(account))
			accounts = lappend(accounts, account);
	touched = NULL;
	list_sort(accounts, compare_locks);
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(cell, accounts)
		look(lfirst(cell));
	PopActiveSnapshot();
	list_free(accounts);
}

static int
compare_locks(const ListCell *a, const ListCell *b)
{
	uint32		lock_a = lock_of(((const Touched *) lfirst(a))->account);
	uint32		lock_b = lock_of(((const Touched *) lfirst(b))->account);

	return lock_a < lock_b ? -1 : lock_a > lock_b;
}

static uint32
lock_of(const char *account)
{
	return string_hash(account, strlen(account) + 1);
}

static bool
worth_a_look(const Touched *account)
{
	return account->near || account->added >= MANY ||
		pg_prng_uint32(&pg_global_prng_state) % CHECK_ONE_IN == 0;
}

static void
look(const Touched *account)
{
	int64		own;
	int64		billable;
	int64		total;

	mkt_count_now(account->account, mkt_now(), &billable, &total, &own);
	if (billable < account->next_at - NEAR)
		return;
	lock_account(account->account);
	mkt_count_now(account->account, mkt_now(), &billable, &total, &own);
	if (billable >= account->next_at || !account->near)
		call("SELECT mkt.record_crossing($1, $2, $3, $4)", account->account, 4,
			 (Datum[]) {CStringGetTextDatum(account->account), Int64GetDatum(billable - own),
						Int64GetDatum(billable), Int64GetDatum(NEAR)});
}

static void
lock_account(const char *account)
{
	LockDatabaseObject(mkt_relation("account"), lock_of(account), LOCK_OF_ACCOUNT,
					   ExclusiveLock);
}

/* Runs a function of ours, with an account as its first argument if there is one; the number that it returns. */
static int64
call(const char *query, const char *account, int nargs, Datum *values)
{
	int			nestlevel = mkt_fix_search_path();
	MktRights	rights = mkt_act_as(mkt_extension_owner());
	Oid			types[] = {account ? TEXTOID : INT8OID, INT8OID, INT8OID, INT8OID};
	int64		result = 0;
	bool		isnull;

	SPI_connect();
	if (SPI_execute_with_args(query, nargs, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run: %s", query);
	if (SPI_gettypeid(SPI_tuptable->tupdesc, 1) == INT8OID)
		result = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
											 &isnull));
	SPI_finish();
	mkt_act_again_as(rights);
	AtEOXact_GUC(true, nestlevel);
	return result;
}

/*
 * Trigger on mkt.account: an account gets an edition, another one, or loses it, or
 * with an argument gets other dates.  On mkt.threshold: the boundaries are others.
 */
Datum
mkt_set_tier(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	HeapTuple	tuple;
	char	   *account;
	int64		billable;
	int64		total;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_MKT_WRONG_CALL),
				errmsg("mkt.set_tier() is the trigger function of mkt.account"));
	if (TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
	{
		call("SELECT mkt.look_at_all()", NULL, 0, NULL);
		return PointerGetDatum(NULL);
	}
	tuple = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple :
		trigger->tg_trigtuple;
	account = TextDatumGetCString(heap_getattr(tuple, 1, RelationGetDescr(trigger->tg_relation),
											   &isnull));
	lock_account(account);
	if (trigger->tg_trigger->tgnargs > 0)
	{
		call("SELECT mkt.redate_tier($1)", account, 1, (Datum[]) {CStringGetTextDatum(account)});
		return PointerGetDatum(NULL);
	}
	if (is_restored())
		billable = 0;
	else
		mkt_count_now(account, mkt_now(), &billable, &total, NULL);
	call("SELECT mkt.start_tier($1, $2, $3)", account, 3,
		 (Datum[]) {CStringGetTextDatum(account), Int64GetDatum(billable), Int64GetDatum(NEAR)});
	return PointerGetDatum(NULL);
}

/*
 * While a dump is being restored counts may have no index yet; then the dump
 * brings the tier, too.
 */
static bool
is_restored(void)
{
	ListCell   *cell;

	foreach(cell, mkt_attachment_list())
		if (!mkt_count_is_ready(((MktAttachedTable *) lfirst(cell))->count_table))
		return true;
	return false;
}

/* What mkt.run() does: renewals, and accounts that are far from a boundary again. */
void
mkt_watch_run(void)
{
	while (call("SELECT mkt.renew_tiers()", NULL, 0, NULL) > 0)
		CHECK_FOR_INTERRUPTS();
	call("SELECT mkt.unwatch_far($1)", NULL, 1, (Datum[]) {Int64GetDatum(NEAR)});
}

/* Trigger on mkt.account_tier: all sessions look again. */
Datum
mkt_watch_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_MKT_WRONG_CALL),
				errmsg("mkt.watch_changed() is the trigger function of mkt.account_tier"));
	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}

static void
end_of_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			if (touched)
				look_at_touched();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			/* their memory goes with the transaction's */
			touched = NULL;
			break;
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
			break;
	}
}

static void
forget(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == tier_relid)
		stale = true;
}

/* Called last, so that its callback comes first. */
void
mkt_watch_init(void)
{
	RegisterXactCallback(end_of_transaction, NULL);
	CacheRegisterRelcacheCallback(forget, (Datum) 0);
}
