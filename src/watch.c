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
 *
 * Counts fall, too, and what was crossed comes to lie ahead again.  Whoever adds
 * to an account that is near sees that it was below; one that is far from what it
 * crossed last becomes near, by those who take away many and by chance, before it
 * is there.  With a new period, when pending contacts have ended and no transaction
 * has said so, everybody counts those that are far, until mkt.run() has.
 *
 * A transaction that crosses for several accounts locks them in order, so that
 * none can deadlock; mkt.run() waits for no account while it holds another.
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
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* The columns of mkt.account_tier that are read here. */
#define TIE_ACCOUNT		1
#define TIE_NEXT_AT		2
#define TIE_NEAR		3
#define TIE_LAST_AT		4
#define TIE_LOOKED_UNTIL 5
#define TIE_RENEWS_AT	8

/* The column of mkt.account that is read here. */
#define ACC_EDITION		2

#define NEAR 4096
#define MANY 32
#define CHECK_ONE_IN 64

/* Beyond this many accounts the cache is dropped and filled again. */
#define MAX_CACHED 10000

/* The second number of an account's lock; limit.c has another. */
#define LOCK_OF_ACCOUNT 3

/* Accounts share this many locks: one transaction may touch very many. */
#define LOCKS 1024

/* What is known of an account. */
typedef struct Boundary
{
	bool		near;
	int64		next_at;		/* the count at which something happens */
	int64		last_at;		/* and the one at which it did; 0: none */
	TimestampTz looked_until;	/* after that nobody knows whether it is near */
	TimestampTz renews_at;
} Boundary;

/* An account of which this transaction has added or taken away contacts. */
typedef struct Touched
{
	char	   *account;
	uint32		lock;
	int64		added;			/* not taken back by savepoints */
	int64		removed;
	Boundary	known;
	struct Touched *next;
} Touched;

/* An account in one contacts table, and what is known of it. */
typedef struct Watched
{
	MktAccountKey key;
	bool		is_watched;
	Boundary	known;
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
static Touched **touched_in_order(int *n);
static int	compare_locks(const void *a, const void *b);
static bool worth_a_look(const Touched *account);
static void look(const Touched *account, bool notify);
static bool is_far(const Boundary *known, int64 billable, int64 before);
static void renew(const char *account);
static bool is_renamed(const TriggerData *trigger);
static char *account_of(HeapTuple tuple, TupleDesc desc);
static void spare_and_notify(void *arg);
static void catch_up(void *arg);
static List *accounts_due(void);
static uint32 lock_of(const char *account);
static void lock_account(const char *account);
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
	bool		added;

	if (stale)
		start_cache();
	if (!any || isnull)
		return;
	now = mkt_now();
	added = until > now;
	if (added == (was > now))
		return;
	watched = watched_of(attachment, account);
	if (!watched->is_watched)
		return;
	if (watched->by != mkt_local_transaction())
	{
		Touched    *new = MemoryContextAllocZero(TopTransactionContext, sizeof(Touched));

		new->account = MemoryContextStrdup(TopTransactionContext,
										   mkt_account_text(attachment->account_type, account));
		new->lock = lock_of(new->account);
		new->known = watched->known;
		new->next = touched;
		touched = new;
		watched->touched = new;
		watched->by = mkt_local_transaction();
	}
	if (added)
		watched->touched->added++;
	else
		watched->touched->removed++;
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
		watched->known.next_at = DatumGetInt64(heap_getattr(tuple, TIE_NEXT_AT, desc, &isnull));
		watched->known.near = DatumGetBool(heap_getattr(tuple, TIE_NEAR, desc, &isnull));
		watched->known.last_at = DatumGetInt64(heap_getattr(tuple, TIE_LAST_AT, desc, &isnull));
		watched->known.looked_until =
			DatumGetTimestampTz(heap_getattr(tuple, TIE_LOOKED_UNTIL, desc, &isnull));
		watched->known.renews_at =
			DatumGetTimestampTz(heap_getattr(tuple, TIE_RENEWS_AT, desc, &isnull));
		if (isnull)
			watched->known.renews_at = DT_NOEND;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* Before commit, while what was counted may still be in memory. */
static void
look_at_touched(bool notify)
{
	int			n;
	Touched   **accounts = touched_in_order(&n);
	bool		read_only = XactReadOnly;

	touched = NULL;
	XactReadOnly = false;		/* it was not when it wrote contacts */
	CommandCounterIncrement();	/* what the last statement wrote counts */
	PushActiveSnapshot(GetTransactionSnapshot());
	for (int i = 0; i < n; i++)
	{
		/* an account may have been touched in several tables */
		if (i + 1 < n && strcmp(accounts[i]->account, accounts[i + 1]->account) == 0)
		{
			accounts[i + 1]->added += accounts[i]->added;
			accounts[i + 1]->removed += accounts[i]->removed;
		}
		else if (worth_a_look(accounts[i]))
			look(accounts[i], notify);
	}
	PopActiveSnapshot();
	XactReadOnly = read_only;
}

static Touched **
touched_in_order(int *n)
{
	Touched   **accounts;
	int			i = 0;

	*n = 0;
	for (const Touched *account = touched; account; account = account->next)
		(*n)++;
	accounts = MemoryContextAllocHuge(TopTransactionContext, *n * sizeof(Touched *));
	for (Touched *account = touched; account; account = account->next)
		accounts[i++] = account;
	qsort(accounts, *n, sizeof(Touched *), compare_locks);
	return accounts;
}

static int
compare_locks(const void *a, const void *b)
{
	const Touched *left = *(Touched *const *) a;
	const Touched *right = *(Touched *const *) b;

	if (left->lock != right->lock)
		return left->lock < right->lock ? -1 : 1;
	return strcmp(left->account, right->account);
}

static bool
worth_a_look(const Touched *account)
{
	if (account->added > 0 &&
		(account->known.near || account->known.looked_until <= mkt_now()))
		return true;
	if (account->known.near && account->added == 0)
		return false;			/* who takes away waits for nobody */
	return account->added >= MANY || account->removed >= MANY ||
		pg_prng_uint32(&pg_global_prng_state) % CHECK_ONE_IN == 0;
}

static void
look(const Touched *account, bool notify)
{
	const Boundary *known = &account->known;
	int64		own;
	int64		billable;
	int64		total;

	mkt_count_now(account->account, mkt_now(), &billable, &total, &own);
	if (is_far(known, billable, billable - own))
		return;
	lock_account(account->account);
	if (known->renews_at <= mkt_now())
		renew(account->account);
	mkt_count_now(account->account, mkt_now(), &billable, &total, &own);
	if (billable >= known->next_at || billable - own < known->last_at || !known->near ||
		known->renews_at <= mkt_now())
		call("SELECT mkt.record_crossing($1, $2, $3, $4, $5)", account->account, 5,
			 (Datum[]) {CStringGetTextDatum(account->account), Int64GetDatum(billable - own),
						Int64GetDatum(billable), Int64GetDatum(NEAR), BoolGetDatum(notify)});
}

/* Nothing has to be known of it by others, whoever adds to it now. */
static bool
is_far(const Boundary *known, int64 billable, int64 before)
{
	if (known->renews_at <= mkt_now() || billable >= known->next_at - NEAR)
		return false;
	return before >= known->last_at + (known->near || known->last_at == 0 ? 0 : NEAR);
}

/* A renewal date ends a period; what comes after it is by the tier since then. */
static void
renew(const char *account)
{
	while (call("SELECT mkt.renew_tier($1)", account, 1,
				(Datum[]) {CStringGetTextDatum(account)}) > 0)
		CHECK_FOR_INTERRUPTS();
}

static uint32
lock_of(const char *account)
{
	return string_hash(account, strlen(account) + 1) % LOCKS;
}

static void
lock_account(const char *account)
{
	LockDatabaseObject(mkt_relation("account"), lock_of(account), LOCK_OF_ACCOUNT, ExclusiveLock);
}

/* Runs a function of ours, with an account as its first argument if there is one; the number that it returns. */
static int64
call(const char *query, const char *account, int nargs, Datum *values)
{
	int			nestlevel = mkt_fix_search_path();
	MktRights	rights = mkt_act_as(mkt_extension_owner());
	Oid			types[] = {account ? TEXTOID : INT8OID, INT8OID, INT8OID, INT8OID, BOOLOID};
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
	AtEOXact_GUC(false, nestlevel);
	return result;
}

/*
 * Trigger on mkt.account: an account gets an edition, another one, or loses it, or
 * with an argument other dates; before any of that, what was due is renewed by what
 * it had.  On mkt.threshold: the boundaries are others.
 */
Datum
mkt_set_tier(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	char	   *account;
	int64		billable;
	int64		total;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_MKT_WRONG_CALL),
				errmsg("mkt.set_tier() is the trigger function of mkt.account"));
	if (TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
	{
		/* one account after the other would wait for those who hold several */
		LockRelationOid(mkt_relation("account_tier"), ShareRowExclusiveLock);
		call("SELECT mkt.look_at_all()", NULL, 0, NULL);
		return PointerGetDatum(NULL);
	}
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) && trigger->tg_trigger->tgnargs == 0 &&
		is_renamed(trigger))
		return PointerGetDatum(TRIGGER_FIRED_BEFORE(trigger->tg_event) ? trigger->tg_newtuple : NULL);
	if (TRIGGER_FIRED_BEFORE(trigger->tg_event))
	{
		account = account_of(trigger->tg_trigtuple, RelationGetDescr(trigger->tg_relation));
		lock_account(account);
		renew(account);
		return PointerGetDatum(trigger->tg_newtuple);
	}
	account = account_of(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple :
						 trigger->tg_trigtuple, RelationGetDescr(trigger->tg_relation));
	lock_account(account);
	if (trigger->tg_trigger->tgnargs > 0)
	{
		call("SELECT mkt.redate_tier($1)", account, 1, (Datum[]) {CStringGetTextDatum(account)});
		return PointerGetDatum(NULL);
	}
	mkt_count_now(account, mkt_now(), &billable, &total, NULL);
	call("SELECT mkt.start_tier($1, $2, $3)", account, 3,
		 (Datum[]) {CStringGetTextDatum(account), Int64GetDatum(billable), Int64GetDatum(NEAR)});
	return PointerGetDatum(NULL);
}

/* The account has what it had: its edition has got another name. */
static bool
is_renamed(const TriggerData *trigger)
{
	bool		isnull;
	Datum		edition = heap_getattr(trigger->tg_trigtuple, ACC_EDITION,
									   RelationGetDescr(trigger->tg_relation), &isnull);

	return !isnull &&
		call("SELECT pg_catalog.count(*) FROM mkt.edition WHERE edition OPERATOR(pg_catalog.=) $1",
			 TextDatumGetCString(edition), 1, &edition) == 0;
}

static char *
account_of(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;

	return TextDatumGetCString(heap_getattr(tuple, 1, desc, &isnull));
}

/*
 * What mkt.run() does: it spares accounts that are far from a boundary again, and
 * does what nobody has done: renewals, and crossings without a transaction.
 */
void
mkt_watch_run(MktWork *work)
{
	ListCell   *cell;

	mkt_work_step(work, spare_and_notify, NULL);
	mkt_work_commit(work);
	foreach(cell, accounts_due())
	{
		if (mkt_work_step(work, catch_up, lfirst(cell)))
			work->done++;
		mkt_work_commit(work);
	}
}

static void
spare_and_notify(void *arg)
{
	call("SELECT mkt.unwatch_far($1)", NULL, 1, (Datum[]) {Int64GetDatum(NEAR)});
	call("SELECT mkt.notify_late()", NULL, 0, NULL);
}

/* An account of accounts_due(). */
static void
catch_up(void *arg)
{
	char	   *account = arg;
	int64		billable;
	int64		total;

	lock_account(account);
	renew(account);
	mkt_count_now(account, mkt_now(), &billable, &total, NULL);
	call("SELECT mkt.catch_up($1, $2, $3)", account, 3,
		 (Datum[]) {CStringGetTextDatum(account), Int64GetDatum(billable), Int64GetDatum(NEAR)});
}

static List *
accounts_due(void)
{
	MemoryContext mine = CurrentMemoryContext;
	MktRights	rights = mkt_act_as(mkt_extension_owner());
	List	   *accounts = NIL;

	SPI_connect();
	if (SPI_execute("SELECT mkt.tiers_due()", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for accounts");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext before = MemoryContextSwitchTo(mine);

		accounts = lappend(accounts, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
		MemoryContextSwitchTo(before);
	}
	SPI_finish();
	mkt_act_again_as(rights);
	return accounts;
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
				look_at_touched(event == XACT_EVENT_PRE_COMMIT);
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
