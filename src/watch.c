/*-------------------------------------------------------------------------
 * watch.c
 *	  Accounts whose count is watched: who exceeds a tier, or comes up to a part
 *	  of it that somebody wants to hear of (rules B2, B7).
 *
 * What a crossing means is SQL, in mkt.record_crossing().  Here it is found, by
 * the transaction that crosses and just before it commits, without making the
 * others slower: an account without an edition costs one look at a session's
 * cache.  One that is far from its next boundary costs hardly more, because only
 * transactions that add many contacts, and of the others one for CHECK_ONE_IN
 * contacts, read its count.
 *
 * An account becomes near when anybody finds less than NEAR contacts between it
 * and its boundary; all sessions hear of it.  Those who did not look until then
 * cannot have used them up: all sessions together add less than NEAR without a
 * look, and 4096 contacts without a look by chance happen once in 10^13 times.
 *
 * From then on they hold a lock from here to the end of the commit.  It is shared
 * by those who cannot cross, so that of two who cross together the second sees the
 * first.  Who adds one contact cannot if more places are left than there are
 * sessions with the lock: each was counted among them before he read the count, and
 * so is in it or counted by all who come later.  Nor can he while many places were
 * left when somebody read the count last, and then he reads it by chance, too: one
 * for places_left / LOOKS contacts.  Who finds a quarter of that says so, holding
 * the lock alone; that all the rest goes without a look happens once in 10^13 times.
 *
 * Counts fall, too, and what was crossed comes to lie ahead again.  Those who take
 * away many, or by chance, make an account near before it is there; near it, they
 * hold the lock as the others do, and who comes below looks up what lies ahead.
 * With a new period, when pending contacts have ended and no transaction has said
 * so, everybody counts, until mkt.run() has.
 *
 * A transaction that crosses for several accounts locks them in order, so that
 * none can deadlock; so does a statement that changes their settings, at its end.
 * mkt.run() waits for no account while it holds another.
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
#include "storage/lock.h"
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
#define TIE_VALID_UNTIL 9
#define TIE_PLACES_LEFT 10

/* The columns of mkt.account that are read here. */
#define ACC_ACCOUNT		1
#define ACC_EDITION		2
#define ACC_COMMITMENT	3
#define ACC_STARTED_ON	4
#define ACC_TIME_ZONE	5
#define ACC_CURRENCY	6
#define ACC_SANDBOX		10

#define NEAR 4096
#define CHECK_ONE_IN 128
#define LOOKS 128

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
	int64		places_left;	/* until next_at, when somebody looked */
	int64		next_at;		/* the count at which something happens */
	int64		last_at;		/* and the one at which it did; 0: none */
	TimestampTz looked_until;	/* after that nobody knows whether it is near */
	TimestampTz renews_at;
	TimestampTz valid_until;	/* after that next_at may be another */
} Boundary;

/* An account of which this transaction has added or taken away contacts. */
typedef struct Touched
{
	char	   *account;
	uint32		lock;
	int64		added;			/* not taken back by savepoints */
	int64		removed;
	Boundary	known;
	uint64		generation;		/* when it was */
	bool		is_watched;		/* then */
	struct Touched *next;
} Touched;

/* An account that a statement has given other settings. */
typedef struct Changed
{
	char	   *account;
	uint32		lock;
	char	   *old_name;		/* NULL: it has the same */
	char	   *from_edition;	/* NULL: it had none */
	HeapTuple	before;			/* what it is renewed by; NULL: nothing */
	bool		restarts;		/* it has another edition */
	bool		redates;		/* and other dates */
} Changed;

/* An account in one contacts table, and what is known of it. */
typedef struct Watched
{
	MktAccountKey key;
	const char *account;		/* as text */
	bool		is_watched;
	Boundary	known;
	Touched    *touched;		/* since the look ... */
	uint64		since;			/* ... of this number */
	char		status;
} Watched;

#define HASH_PREFIX watch
#define SH_ELEMENT_TYPE Watched
#define SH_KEY_TYPE MktAccountKey
#define SH_KEY key
#define SH_HASH_KEY(tb, key) mkt_account_key_hash(&key)
#define SH_EQUAL(tb, a, b) mkt_account_key_equal(&a, &b)
#include "hash.h"

static MemoryContext watch_context = NULL;
static watch_hash * watch = NULL;
static Oid	tier_relid = InvalidOid;	/* whose invalidation ends the cache */
static uint64 generation = 1;	/* grows whenever it becomes stale */
static uint64 watch_generation = 0; /* that of what is in it; 0: nothing */
static bool any = false;		/* some account is watched */
static Touched *touched = NULL;
static uint64 looks = 1;		/* how often that began anew */

static void start_cache(void);
static Watched *watched_of(const MktAttachment *attachment, Datum account);
static void read_watched(Watched *watched, const char *account);
static void look_at_touched(bool notify);
static Touched **touched_in_order(int *n);
static int	compare_locks(const void *a, const void *b);
static int	order_of(uint32 left_lock, const char *left,
					 uint32 right_lock, const char *right);
static bool is_watched(Touched *account);
static bool worth_a_look(const Touched *account);
static bool is_outdated(const Boundary *known);
static void look(Touched *account, bool notify);
static bool stays_between(Touched *account);
static bool needs_no_look(const Touched *account);
static bool has_room(const Touched *account, int holders);
static bool has_come_near(const Boundary *known, int64 billable);
static void look_alone(Touched *account, bool notify);
static bool is_far(const Boundary *known, int64 billable, int64 before);
static void renew(const char *account);
static void set_tiers(TriggerData *trigger);
static Changed *changed_accounts(TriggerData *trigger, int *n);
static bool read_change(TriggerData *trigger, TupleTableSlot *before, TupleTableSlot *after,
						Changed *change);
static bool differs(TupleTableSlot *before, TupleTableSlot *after, int column);
static bool has_new_name(const char *edition);
static int	compare_changed(const void *a, const void *b);
static void rename_rows(const Changed *changed, int n);
static void renew_by(const Changed *change, TupleDesc desc);
static void redate(const Changed *changed, int n);
static void start(const Changed *changed, int n);
static void spare_and_notify(void *arg);
static void catch_up(void *arg);
static List *accounts_due(void);
static uint32 lock_of(const char *account);
static void lock_account(const char *account);
static char *text_in(TupleTableSlot *slot, int column);
static int64 call(const char *query, int nargs, Oid *types, Datum *values);

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

	if (watch_generation != generation)
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
	if (watched->since != looks)
	{
		Touched    *new = MemoryContextAllocZero(TopTransactionContext, sizeof(Touched));

		new->account = MemoryContextStrdup(TopTransactionContext, watched->account);
		new->lock = lock_of(new->account);
		new->known = watched->known;
		new->generation = generation;
		new->is_watched = true;
		new->next = touched;
		touched = new;
		watched->touched = new;
		watched->since = looks;
	}
	if (added)
		watched->touched->added++;
	else
		watched->touched->removed++;
}

/* An invalidation that arrives while this reads makes it stale again. */
static void
start_cache(void)
{
	uint64		read_from = generation;
	Relation	rel = table_open(mkt_relation("account_tier"), AccessShareLock);
	SysScanDesc scan;

	if (watch_context == NULL)
		watch_context = AllocSetContextCreate(CacheMemoryContext, "mktcontacts watched accounts",
											  ALLOCSET_DEFAULT_SIZES);
	watch_generation = 0;
	MemoryContextReset(watch_context);
	watch = watch_create(watch_context, 16, NULL);
	tier_relid = RelationGetRelid(rel);
	scan = systable_beginscan(rel, mkt_relation("account_tier_pkey"), true, NULL, 0, NULL);
	any = HeapTupleIsValid(systable_getnext(scan));
	watch_generation = read_from;
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
	const char *name;
	MemoryContext before;

	if (watched)
		return watched;
	if (watch->members >= MAX_CACHED)
		start_cache();
	name = mkt_account_text(attachment->account_type, account);
	read_watched(&new, name);
	before = MemoryContextSwitchTo(watch_context);
	key.account = datumCopy(account, key.by_value, key.len);
	new.account = pstrdup(name);
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
		watched->known.places_left =
			DatumGetInt64(heap_getattr(tuple, TIE_PLACES_LEFT, desc, &isnull));
		watched->known.last_at = DatumGetInt64(heap_getattr(tuple, TIE_LAST_AT, desc, &isnull));
		watched->known.looked_until =
			DatumGetTimestampTz(heap_getattr(tuple, TIE_LOOKED_UNTIL, desc, &isnull));
		watched->known.renews_at =
			DatumGetTimestampTz(heap_getattr(tuple, TIE_RENEWS_AT, desc, &isnull));
		if (isnull)
			watched->known.renews_at = DT_NOEND;
		watched->known.valid_until =
			DatumGetTimestampTz(heap_getattr(tuple, TIE_VALID_UNTIL, desc, &isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* For a step of mkt.run(): what can fail at its end need not fail at the commit. */
void
mkt_watch_look(void)
{
	if (touched)
		look_at_touched(true);
}

/* What has been touched until now. */
void *
mkt_watch_touched(void)
{
	return touched;
}

/* Only that has been: what came after it was rolled back. */
void
mkt_watch_untouch(void *until_then)
{
	touched = until_then;
	looks++;
}

/* Before commit, while what was counted may still be in memory. */
static void
look_at_touched(bool notify)
{
	int			n;
	Touched   **accounts = touched_in_order(&n);
	bool		read_only = XactReadOnly;
	bool		has_snapshot = false;

	mkt_watch_untouch(NULL);
	XactReadOnly = false;		/* it was not when it wrote contacts */
	AcceptInvalidationMessages();	/* what others have found meanwhile */
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		/* an account may have been touched in several tables */
		if (i + 1 < n && strcmp(accounts[i]->account, accounts[i + 1]->account) == 0)
		{
			accounts[i + 1]->added += accounts[i]->added;
			accounts[i + 1]->removed += accounts[i]->removed;
		}
		else if (is_watched(accounts[i]) && worth_a_look(accounts[i]))
		{
			if (!has_snapshot)
			{
				CommandCounterIncrement();	/* what the last statement wrote
											 * counts */
				PushActiveSnapshot(GetTransactionSnapshot());
				has_snapshot = true;
			}
			look(accounts[i], notify);
		}
	}
	if (has_snapshot)
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

	return order_of(left->lock, left->account, right->lock, right->account);
}

/* In which all take the locks of accounts. */
static int
order_of(uint32 left_lock, const char *left, uint32 right_lock, const char *right)
{
	if (left_lock != right_lock)
		return left_lock < right_lock ? -1 : 1;
	return strcmp(left, right);
}

/* What others have found meanwhile is known then; false: nobody watches any more. */
static bool
is_watched(Touched *account)
{
	Watched		found = {0};

	if (account->generation != generation)
	{
		account->generation = generation;
		read_watched(&found, account->account);
		account->known = found.known;
		account->is_watched = found.is_watched;
	}
	return account->is_watched;
}

static bool
worth_a_look(const Touched *account)
{
	int64		changed = Max(account->added, account->removed);

	if (account->known.near || (account->added > 0 && is_outdated(&account->known)))
		return true;
	return changed * MaxBackends >= NEAR ||
		pg_prng_uint32(&pg_global_prng_state) % CHECK_ONE_IN < changed;
}

/* A period, or a day with other boundaries, has begun. */
static bool
is_outdated(const Boundary *known)
{
	return known->looked_until <= mkt_now() || known->valid_until <= mkt_now() ||
		known->renews_at <= mkt_now();
}

static void
look(Touched *account, bool notify)
{
	int64		own;
	int64		billable;
	int64		total;

	if (account->known.near)
	{
		if (account->added == 0 && account->known.last_at == 0)
			return;				/* nothing lies below */
		if (!stays_between(account))
			look_alone(account, notify);
		return;
	}
	mkt_count_now(account->account, mkt_now(), &billable, &total, &own);
	if (!is_far(&account->known, billable, billable - own))
		look_alone(account, notify);
}

/*
 * Whether this transaction, and all others that may commit before it, cannot come
 * to a boundary.  Then the lock is kept.
 */
static bool
stays_between(Touched *account)
{
	Oid			accounts = mkt_relation("account");
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, accounts, account->lock, LOCK_OF_ACCOUNT);
	LockDatabaseObject(accounts, account->lock, LOCK_OF_ACCOUNT, ShareLock);
	if (is_watched(account) && account->known.near && !is_outdated(&account->known) &&
		(needs_no_look(account) || has_room(account, LockWaiterCount(&tag))))
		return true;
	UnlockDatabaseObject(accounts, account->lock, LOCK_OF_ACCOUNT, ShareLock);
	return false;
}

/* Many places were left, and chance says so. */
static bool
needs_no_look(const Touched *account)
{
	const Boundary *known = &account->known;
	int64		chance = LOOKS * account->added;

	return known->places_left > chance && (account->removed == 0 || known->last_at == 0) &&
		pg_prng_uint64(&pg_global_prng_state) % known->places_left >= (uint64) chance;
}

/* More places are left, on either side, than others hold the lock. */
static bool
has_room(const Touched *account, int holders)
{
	const Boundary *known = &account->known;
	int64		own;
	int64		billable;
	int64		total;

	if (account->added > 1 || account->removed > 1)
		return false;
	mkt_count_now(account->account, mkt_now(), &billable, &total, &own);
	billable -= own;
	return billable + holders < known->next_at &&
		billable - (account->removed > 0 ? holders : 0) >= known->last_at &&
		!has_come_near(known, billable);
}

/* All should know that few places are left now, or many again. */
static bool
has_come_near(const Boundary *known, int64 billable)
{
	int64		places = known->next_at - billable;

	return (known->places_left > LOOKS && places <= known->places_left / 4) ||
		places / 4 > Max(known->places_left, LOOKS);
}

static void
look_alone(Touched *account, bool notify)
{
	const Boundary *known = &account->known;
	int64		own;
	int64		billable;
	int64		total;

	lock_account(account->account);
	if (!is_watched(account))
		return;
	if (known->renews_at <= mkt_now())
		renew(account->account);
	mkt_count_now(account->account, mkt_now(), &billable, &total, &own);
	if (billable >= known->next_at || Min(billable, billable - own) < known->last_at ||
		!known->near || is_outdated(known) || has_come_near(known, billable))
		call("SELECT mkt.record_crossing($1, $2, $3, $4, $5)", 5,
			 (Oid[]) {TEXTOID, INT8OID, INT8OID, INT8OID, BOOLOID},
			 (Datum[]) {CStringGetTextDatum(account->account), Int64GetDatum(billable - own),
						Int64GetDatum(billable), Int64GetDatum(NEAR), BoolGetDatum(notify)});
}

/* Nothing has to be known of it by others, whoever adds to it now. */
static bool
is_far(const Boundary *known, int64 billable, int64 before)
{
	if (is_outdated(known) || billable >= known->next_at - NEAR)
		return false;
	return known->last_at == 0 || Min(billable, before) >= known->last_at + NEAR;
}

/* A renewal date ends a period; what comes after it is by the tier since then. */
static void
renew(const char *account)
{
	while (call("SELECT mkt.renew_tier(a, a.account) FROM mkt.account AS a WHERE a.account OPERATOR(pg_catalog.=) $1",
				1, (Oid[]) {TEXTOID}, (Datum[]) {CStringGetTextDatum(account)}) > 0)
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

/* Runs a function of ours; the number that it returns. */
static int64
call(const char *query, int nargs, Oid *types, Datum *values)
{
	int			nestlevel = mkt_fix_search_path();
	MktRights	rights = mkt_act_as(mkt_extension_owner());
	int64		result = 0;
	bool		isnull;

	SPI_connect();
	if (SPI_execute_with_args(query, nargs, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run: %s", query);
	if (SPI_processed > 0 && SPI_gettypeid(SPI_tuptable->tupdesc, 1) == INT8OID)
		result = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
											 &isnull));
	SPI_finish();
	mkt_act_again_as(rights);
	AtEOXact_GUC(false, nestlevel);
	return result;
}

/*
 * Trigger on mkt.account, after a statement: accounts get an edition, another one,
 * or lose it, or have other dates.  Before an account is deleted, what was due is
 * renewed.  On mkt.threshold: the boundaries are others.
 */
Datum
mkt_set_tier(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_MKT_WRONG_CALL),
				errmsg("mkt.set_tier() is the trigger function of mkt.account"));
	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
	{
		Changed		deleted = {.before = trigger->tg_trigtuple};

		deleted.account = SPI_getvalue(trigger->tg_trigtuple, RelationGetDescr(trigger->tg_relation),
									   ACC_ACCOUNT);
		renew_by(&deleted, RelationGetDescr(trigger->tg_relation));
		return PointerGetDatum(trigger->tg_trigtuple);
	}
	if (trigger->tg_newtable)
		set_tiers(trigger);
	else
	{
		/* one account after the other would wait for those who hold several */
		LockRelationOid(mkt_relation("account_tier"), ShareRowExclusiveLock);
		call("SELECT mkt.look_at_all()", 0, NULL, NULL);
	}
	return PointerGetDatum(NULL);
}

/* All locks are taken before anything else, and in order. */
static void
set_tiers(TriggerData *trigger)
{
	int			n;
	Changed    *changed = changed_accounts(trigger, &n);

	if (n == 0)
		return;
	qsort(changed, n, sizeof(Changed), compare_changed);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		lock_account(changed[i].account);
	}
	CommandCounterIncrement();	/* what the statement wrote is read below */
	rename_rows(changed, n);
	for (int i = 0; i < n; i++)
		renew_by(&changed[i], RelationGetDescr(trigger->tg_relation));
	redate(changed, n);
	start(changed, n);
}

/* Rows before and after the statement come in the same order. */
static Changed *
changed_accounts(TriggerData *trigger, int *n)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	TupleTableSlot *before = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	TupleTableSlot *after = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	int			room = 16;
	Changed    *changed = palloc(room * sizeof(Changed));

	*n = 0;
	tuplestore_rescan(trigger->tg_newtable);
	if (trigger->tg_oldtable)
		tuplestore_rescan(trigger->tg_oldtable);
	while (tuplestore_gettupleslot(trigger->tg_newtable, true, false, after))
	{
		if (trigger->tg_oldtable &&
			!tuplestore_gettupleslot(trigger->tg_oldtable, true, false, before))
			elog(ERROR, "could not read accounts as they were");
		CHECK_FOR_INTERRUPTS();
		if (*n == room)
		{
			room *= 2;
			changed = repalloc_huge(changed, room * sizeof(Changed));
		}
		if (read_change(trigger, trigger->tg_oldtable ? before : NULL, after, &changed[*n]))
			(*n)++;
	}
	ExecDropSingleTupleTableSlot(before);
	ExecDropSingleTupleTableSlot(after);
	return changed;
}

/* Whether there is anything to do for it. */
static bool
read_change(TriggerData *trigger, TupleTableSlot *before, TupleTableSlot *after, Changed *change)
{
	memset(change, 0, sizeof(Changed));
	change->account = text_in(after, ACC_ACCOUNT);
	change->lock = lock_of(change->account);
	if (before == NULL)
	{
		change->restarts = text_in(after, ACC_EDITION) != NULL;
		return change->restarts;
	}
	if (differs(before, after, ACC_ACCOUNT))
		change->old_name = text_in(before, ACC_ACCOUNT);
	change->from_edition = text_in(before, ACC_EDITION);
	change->redates = differs(before, after, ACC_COMMITMENT) ||
		differs(before, after, ACC_STARTED_ON) || differs(before, after, ACC_TIME_ZONE);
	change->restarts = differs(before, after, ACC_EDITION) &&
		(change->from_edition == NULL || !has_new_name(change->from_edition));
	if (change->from_edition &&
		(change->restarts || change->redates || change->old_name ||
		 differs(before, after, ACC_CURRENCY) || differs(before, after, ACC_SANDBOX)))
		change->before = heap_modify_tuple_by_cols(ExecCopySlotHeapTuple(before),
												   RelationGetDescr(trigger->tg_relation), 1,
												   (int[]) {ACC_ACCOUNT},
												   (Datum[]) {CStringGetTextDatum(change->account)},
												   (bool[]) {false});
	return change->restarts || change->redates || change->before || change->old_name;
}

static bool
differs(TupleTableSlot *before, TupleTableSlot *after, int column)
{
	Form_pg_attribute attribute = TupleDescAttr(before->tts_tupleDescriptor, column - 1);
	bool		was_null;
	bool		is_null;
	Datum		was = slot_getattr(before, column, &was_null);
	Datum		is = slot_getattr(after, column, &is_null);

	if (was_null || is_null)
		return was_null != is_null;
	return !datum_image_eq(was, is, attribute->attbyval, attribute->attlen);
}

/* Accounts of an edition that gets another name have what they had. */
static bool
has_new_name(const char *edition)
{
	return call("SELECT pg_catalog.count(*) FROM mkt.edition WHERE edition OPERATOR(pg_catalog.=) $1",
				1, (Oid[]) {TEXTOID}, (Datum[]) {CStringGetTextDatum(edition)}) == 0;
}

static int
compare_changed(const void *a, const void *b)
{
	const Changed *left = a;
	const Changed *right = b;

	return order_of(left->lock, left->account, right->lock, right->account);
}

/* What accounts were charged and told goes with them. */
static void
rename_rows(const Changed *changed, int n)
{
	Datum	   *was = palloc(n * sizeof(Datum));
	Datum	   *becomes = palloc(n * sizeof(Datum));
	int			count = 0;

	for (int i = 0; i < n; i++)
		if (changed[i].old_name)
		{
			was[count] = CStringGetTextDatum(changed[i].old_name);
			becomes[count++] = CStringGetTextDatum(changed[i].account);
		}
	if (count > 0)
		call("SELECT mkt.rename_accounts($1, $2)", 2, (Oid[]) {TEXTARRAYOID, TEXTARRAYOID},
			 (Datum[]) {mkt_query_texts(was, count), mkt_query_texts(becomes, count)});
}

/*
 * What was due before the change is renewed by what the account had; what is kept
 * of it for its periods has that tier.
 */
static void
renew_by(const Changed *change, TupleDesc desc)
{
	Watched		watched = {0};
	Datum		old_name;

	if (change->before == NULL)
		return;
	read_watched(&watched, change->account);
	if (!watched.is_watched || watched.known.renews_at > mkt_now())
		return;
	old_name = CStringGetTextDatum(change->old_name ? change->old_name : change->account);
	while (call("SELECT mkt.renew_tier($1, $2)", 2, (Oid[]) {desc->tdtypeid, TEXTOID},
				(Datum[]) {heap_copy_tuple_as_datum(change->before, desc), old_name}) > 0)
		CHECK_FOR_INTERRUPTS();
	call("SELECT mkt.remember_renewal($1, $2)", 2, (Oid[]) {TEXTOID, TEXTOID},
		 (Datum[]) {old_name, CStringGetTextDatum(change->account)});
}

static void
redate(const Changed *changed, int n)
{
	Datum	   *accounts = palloc(n * sizeof(Datum));
	int			count = 0;

	for (int i = 0; i < n; i++)
		if (changed[i].redates)
			accounts[count++] = CStringGetTextDatum(changed[i].account);
	if (count > 0)
		call("SELECT mkt.redate_tier(a) FROM pg_catalog.unnest($1) AS a", 1, (Oid[]) {TEXTARRAYOID},
			 (Datum[]) {mkt_query_texts(accounts, count)});
}

/* One query for all, because planning takes longest. */
static void
start(const Changed *changed, int n)
{
	Datum	   *accounts = palloc(n * sizeof(Datum));
	Datum	   *counts = palloc(n * sizeof(Datum));
	Datum	   *editions = palloc0(n * sizeof(Datum));
	bool	   *none = palloc(n * sizeof(bool));
	Datum		values[4];
	int			first = 1;
	int			count = 0;

	for (int i = 0; i < n; i++)
	{
		int64		billable;
		int64		total;

		if (!changed[i].restarts)
			continue;
		CHECK_FOR_INTERRUPTS();
		mkt_count_now(changed[i].account, mkt_now(), &billable, &total, NULL);
		accounts[count] = CStringGetTextDatum(changed[i].account);
		counts[count] = Int64GetDatum(billable);
		none[count] = changed[i].from_edition == NULL;
		if (changed[i].from_edition)
			editions[count] = CStringGetTextDatum(changed[i].from_edition);
		count++;
	}
	if (count == 0)
		return;
	values[0] = mkt_query_texts(accounts, count);
	values[1] = PointerGetDatum(construct_array(counts, count, INT8OID, 8, FLOAT8PASSBYVAL,
												TYPALIGN_DOUBLE));
	values[2] = PointerGetDatum(construct_md_array(editions, none, 1, &count, &first, TEXTOID,
												   -1, false, TYPALIGN_INT));
	values[3] = Int64GetDatum(NEAR);
	call("SELECT mkt.start_tiers($1, $2, $3, $4)", 4,
		 (Oid[]) {TEXTARRAYOID, INT8ARRAYOID, TEXTARRAYOID, INT8OID}, values);
}

static char *
text_in(TupleTableSlot *slot, int column)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
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
	call("SELECT mkt.unwatch_far($1)", 1, (Oid[]) {INT8OID}, (Datum[]) {Int64GetDatum(NEAR)});
	call("SELECT mkt.notify_late()", 0, NULL, NULL);
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
	call("SELECT mkt.catch_up($1, $2, $3)", 3, (Oid[]) {TEXTOID, INT8OID, INT8OID},
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
			mkt_watch_untouch(NULL);
			break;
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
			break;
	}
}

static void
forget(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == tier_relid)
		generation++;
}

/* Called last, so that its callback comes first. */
void
mkt_watch_init(void)
{
	RegisterXactCallback(end_of_transaction, NULL);
	CacheRegisterRelcacheCallback(forget, (Datum) 0);
}
