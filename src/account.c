/*-------------------------------------------------------------------------
 * account.c
 *	  An account's settings: its update dates, and what happens to pending
 *	  contacts when the settings change (rules D1 to D8).
 *
 * contact.c asks for the next update date of every contact that becomes
 * pending.  Who uses an account's settings holds a share lock on a stripe of
 * accounts until its transaction ends; who changes them takes the stripe
 * exclusively before it gives the pending contacts their new date.  So none
 * that became pending by the old settings is missed.  The settings themselves
 * are read with the newest snapshot at every isolation level.
 *
 * Answers are kept for the session, until somebody changes an account's dates;
 * who has to wait for the lock hears of it.  In a transaction that has the lock
 * they are true as they are.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* The columns of mkt.account that are read here. */
#define ACC_ACCOUNT		1
#define ACC_COMMITMENT	3
#define ACC_STARTED_ON	4
#define ACC_TIME_ZONE	5

/* Accounts share this many locks. */
#define STRIPES 64

/* Beyond this many accounts the answers are dropped and asked for again. */
#define MAX_ANSWERS 10000

typedef struct Answer
{
	MktAccountKey key;
	uint32		stripe;
	uint64		locked;			/* by the (sub)transaction of this number */
	TimestampTz since;			/* the answer holds from here ... */
	TimestampTz next_update;	/* ... to here */
	char		status;
} Answer;

#define HASH_PREFIX answers
#define SH_ELEMENT_TYPE Answer
#define SH_KEY_TYPE MktAccountKey
#define SH_KEY key
#define SH_HASH_KEY(tb, key) mkt_account_key_hash(&key)
#define SH_EQUAL(tb, a, b) mkt_account_key_equal(&a, &b)
#include "hash.h"

static MemoryContext answers_context = NULL;
static answers_hash *answers = NULL;
static uint64 answers_settings = 0; /* those that they are by */

static Oid	account_relid = InvalidOid; /* mkt.account */
static uint64 settings = 1;		/* grows whenever settings may have changed */
static bool changed = false;	/* they were, by this transaction */

/* The (sub)transaction, in which locks that were taken are still there. */
static uint64 transaction = 1;

static Answer *answer_for(const MktAttachment *attachment, Datum account, bool isnull);
static bool holds(const Answer *answer);
static void start_answers(void);
static void forget_own(void);
static bool read_cycle(const char *account, MktCycle *cycle);
static MktCommitment commitment_of(Datum label);
static pg_tz *zone_of(const text *name);
static uint32 stripe_of(const char *account);
static void redate_account(const char *account);
static void redate_contacts(const MktAttachment *attachment, const char *account,
							TimestampTz now, TimestampTz next);
static bool has_unseen(const MktAttachment *attachment, const char *account,
					   TimestampTz now, TimestampTz next, bool deleted);
static TimestampTz argument_after(FunctionCallInfo fcinfo, int argno);
static MktCycle argument_cycle(FunctionCallInfo fcinfo);
static char *account_of_tuple(HeapTuple tuple, TupleDesc desc);

PG_FUNCTION_INFO_V1(mkt_next_update);
PG_FUNCTION_INFO_V1(mkt_next_renewal);
PG_FUNCTION_INFO_V1(mkt_next_update_of_cycle);
PG_FUNCTION_INFO_V1(mkt_next_renewal_of_cycle);
PG_FUNCTION_INFO_V1(mkt_is_time_zone);
PG_FUNCTION_INFO_V1(mkt_account_changed);

/* mkt.next_update(account, after) */
Datum
mkt_next_update(PG_FUNCTION_ARGS)
{
	char	   *account = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));

	PG_RETURN_TIMESTAMPTZ(mkt_account_update_after(account, argument_after(fcinfo, 1)));
}

/* mkt.next_renewal(account, after): null for an account without a start. */
Datum
mkt_next_renewal(PG_FUNCTION_ARGS)
{
	char	   *account = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	MktCycle	cycle;
	TimestampTz result;

	read_cycle(account, &cycle);
	if (!mkt_update_date_next_renewal(&cycle, argument_after(fcinfo, 1), &result))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(result);
}

/* mkt.next_update(commitment, started_on, time_zone, after) */
Datum
mkt_next_update_of_cycle(PG_FUNCTION_ARGS)
{
	MktCycle	cycle = argument_cycle(fcinfo);
	TimestampTz result;

	if (!mkt_update_date_next(&cycle, argument_after(fcinfo, 3), &result))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(result);
}

/* mkt.next_renewal(commitment, started_on, time_zone, after) */
Datum
mkt_next_renewal_of_cycle(PG_FUNCTION_ARGS)
{
	MktCycle	cycle = argument_cycle(fcinfo);
	TimestampTz result;

	if (!mkt_update_date_next_renewal(&cycle, argument_after(fcinfo, 3), &result))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(result);
}

/*
 * mkt.is_time_zone(name): whether an account may have this zone (D4).  What is
 * no name of the IANA database, PostgreSQL reads as a POSIX formula: 'UTC+3'
 * would be three hours behind UTC.  Formulas come back in capitals, and have a
 * digit; the few names that look like one are known.
 */
Datum
mkt_is_time_zone(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {
		"EST5EDT", "CST6CDT", "MST7MDT", "PST8PDT", "GMT+0", "GMT-0", "GMT0"
	};
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	pg_tz	   *zone = pg_tzset(name);

	if (zone == NULL || !pg_tz_acceptable(zone))
		PG_RETURN_BOOL(false);
	for (size_t i = 0; i < lengthof(names); i++)
		if (pg_strcasecmp(name, names[i]) == 0)
			PG_RETURN_BOOL(true);
	if (strpbrk(name, "0123456789") == NULL)
		PG_RETURN_BOOL(true);
	PG_RETURN_BOOL(strpbrk(pg_get_timezone_name(zone),
						   "abcdefghijklmnopqrstuvwxyz") != NULL);
}

static TimestampTz
argument_after(FunctionCallInfo fcinfo, int argno)
{
	TimestampTz after = PG_ARGISNULL(argno) ? mkt_now() :
	PG_GETARG_TIMESTAMPTZ(argno);

	if (TIMESTAMP_NOT_FINITE(after))
		ereport(ERROR,
				errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				errmsg("update dates need a finite instant"));
	return after;
}

static MktCycle
argument_cycle(FunctionCallInfo fcinfo)
{
	MktCycle	cycle = {
		.commitment = PG_ARGISNULL(0) ? MKT_ANNUAL : commitment_of(PG_GETARG_DATUM(0)),
		.has_start = !PG_ARGISNULL(1),
		.started_on = PG_ARGISNULL(1) ? 0 : PG_GETARG_DATEADT(1),
		.zone = PG_ARGISNULL(2) ? pg_tzset("UTC") : zone_of(PG_GETARG_TEXT_PP(2))
	};

	return cycle;
}

/*
 * The update date of a contact that becomes pending now.  The account arrives
 * as the contacts table stores it.
 */
TimestampTz
mkt_account_next_update(const MktAttachment *attachment, Datum account,
						bool isnull)
{
	Answer	   *answer = answer_for(attachment, account, isnull);

	if (answer->locked == transaction && holds(answer))
		return answer->next_update;
	LockDatabaseObject(account_relid, answer->stripe, 0, ShareLock);
	answer = answer_for(attachment, account, isnull);
	if (!holds(answer))
	{
		char	   *name = isnull ? NULL : mkt_account_text(attachment->account_type, account);
		TimestampTz next_update = mkt_account_update_after(name, mkt_now());

		answer->since = mkt_now();
		answer->next_update = next_update;
	}
	answer->locked = transaction;
	return answer->next_update;
}

/* What is known of an account, if only its stripe. */
static Answer *
answer_for(const MktAttachment *attachment, Datum account, bool isnull)
{
	MktAccountKey key = {
		.count_table = attachment->count_table,
		.len = attachment->account_len,
		.by_value = attachment->account_by_value,
		.isnull = isnull,
		.account = account
	};
	Answer	   *answer;
	uint32		stripe;

	if (answers_settings != settings || answers->members >= MAX_ANSWERS)
		start_answers();
	if ((answer = answers_lookup(answers, key)) != NULL)
		return answer;
	stripe = stripe_of(isnull ? NULL : mkt_account_text(attachment->account_type, account));
	if (!isnull)
	{
		MemoryContext before = MemoryContextSwitchTo(answers_context);

		key.account = datumCopy(account, key.by_value, key.len);
		MemoryContextSwitchTo(before);
	}
	answer = answers_insert(answers, key, &(bool) {false});
	answer->stripe = stripe;
	answer->locked = 0;
	answer->since = answer->next_update = 0;
	return answer;
}

static bool
holds(const Answer *answer)
{
	return answer->since <= mkt_now() && mkt_now() < answer->next_update;
}

static void
start_answers(void)
{
	if (answers_context == NULL)
		answers_context = AllocSetContextCreate(CacheMemoryContext, "mktcontacts update dates",
												ALLOCSET_DEFAULT_SIZES);
	answers_settings = 0;
	MemoryContextReset(answers_context);
	answers = answers_create(answers_context, 16, NULL);
	answers_settings = mkt_account_read_settings();
}

/*
 * What a session keeps of mkt.account is good while this number is the same.  Who
 * begins to read asks for it first: what others change meanwhile makes it another.
 */
uint64
mkt_account_read_settings(void)
{
	account_relid = mkt_relation("account");
	return settings;
}

uint64
mkt_account_settings(void)
{
	return settings;
}

/* For triggers of mkt.account: nobody keeps what he has read. */
void
mkt_account_settings_changed(Relation accounts)
{
	CacheInvalidateRelcache(accounts);
	settings++;
	changed = true;
}

/* An account as the settings and the reports name it. */
char *
mkt_account_text(Oid type, Datum account)
{
	Oid			output;
	bool		isvarlena;

	getTypeOutputInfo(type, &output, &isvarlena);
	return OidOutputFunctionCall(output, account);
}

/* The first update date of an account, given as text or null, after an instant. */
TimestampTz
mkt_account_update_after(const char *account, TimestampTz after)
{
	MktCycle	cycle;
	TimestampTz result;

	read_cycle(account, &cycle);
	if (!mkt_update_date_next(&cycle, after, &result))
		ereport(ERROR,
				errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				errmsg("account \"%s\" has no update date that late",
					   account ? account : ""));
	return result;
}

/* Reads an account's settings; D8 where there are none. */
static bool
read_cycle(const char *account, MktCycle *cycle)
{
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	cycle->commitment = MKT_ANNUAL;
	cycle->has_start = false;
	cycle->started_on = 0;
	cycle->zone = pg_tzset("UTC");
	if (account == NULL)
		return false;

	rel = table_open(mkt_relation("account"), AccessShareLock);
	ScanKeyEntryInitialize(&key, 0, ACC_ACCOUNT, BTEqualStrategyNumber, InvalidOid,
						   DEFAULT_COLLATION_OID, F_TEXTEQ,
						   CStringGetTextDatum(account));
	scan = systable_beginscan(rel, mkt_relation("account_pkey"), true, NULL, 1,
							  &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		TupleDesc	desc = RelationGetDescr(rel);
		bool		isnull;

		cycle->commitment =
			commitment_of(heap_getattr(tuple, ACC_COMMITMENT, desc, &isnull));
		cycle->started_on =
			DatumGetDateADT(heap_getattr(tuple, ACC_STARTED_ON, desc, &isnull));
		cycle->has_start = !isnull;
		cycle->zone =
			zone_of(DatumGetTextPP(heap_getattr(tuple, ACC_TIME_ZONE, desc, &isnull)));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

static MktCommitment
commitment_of(Datum label)
{
	HeapTuple	tuple = SearchSysCache1(ENUMOID, label);
	MktCommitment commitment;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for commitment %u", DatumGetObjectId(label));
	commitment = strcmp(NameStr(((Form_pg_enum) GETSTRUCT(tuple))->enumlabel),
						"monthly") == 0 ? MKT_MONTHLY : MKT_ANNUAL;
	ReleaseSysCache(tuple);
	return commitment;
}

static pg_tz *
zone_of(const text *name)
{
	char	   *cname = text_to_cstring(name);
	pg_tz	   *zone = pg_tzset(cname);

	if (zone == NULL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("time zone \"%s\" not recognized", cname),
				errhint("SELECT name FROM pg_timezone_names;"));
	return zone;
}

static uint32
stripe_of(const char *account)
{
	return account ? string_hash(account, strlen(account) + 1) % STRIPES : 0;
}

/*
 * Trigger on mkt.account.  D7: a change of settings moves the instants of the
 * account's pending contacts to its new next update date.
 */
Datum
mkt_account_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	char	   *before;
	char	   *after = NULL;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_MKT_WRONG_CALL),
				errmsg("mkt.account_changed() is the trigger function of mkt.account"));
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_MKT_WRONG_CALL),
				errmsg("cannot truncate mkt.account"),
				errdetail("Each account's pending contacts need their new update date."),
				errhint("DELETE FROM mkt.account;"));
	desc = RelationGetDescr(trigger->tg_relation);
	before = account_of_tuple(trigger->tg_trigtuple, desc);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		after = account_of_tuple(trigger->tg_newtuple, desc);

	/* what has just been written is read below */
	mkt_account_settings_changed(trigger->tg_relation);
	CommandCounterIncrement();
	redate_account(before);
	if (after && strcmp(before, after) != 0)
		redate_account(after);
	return PointerGetDatum(NULL);
}

static char *
account_of_tuple(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;

	return TextDatumGetCString(heap_getattr(tuple, ACC_ACCOUNT, desc, &isnull));
}

/*
 * While a dump is being restored a table has no triggers or its counts no index
 * yet, and rows and counts are right as they come.  A pending contact that is
 * being deleted is waited for, and then is among the deleted ones that count.
 */
static void
redate_account(const char *account)
{
	TimestampTz now = mkt_now();
	TimestampTz next;
	ListCell   *cell;

	LockDatabaseObject(mkt_relation("account"), stripe_of(account), 0, ExclusiveLock);
	next = mkt_account_update_after(account, now);
	foreach(cell, mkt_attachment_list())
	{
		MktAttachment *attachment =
		mkt_attachment_find(((MktAttachedTable *) lfirst(cell))->contacts);

		if (attachment == NULL || !mkt_count_is_ready(attachment->count_table))
			continue;
		redate_contacts(attachment, account, now, next);
		mkt_count_redate(attachment, account, now, next);
	}
}

/*
 * Asks the account's pending contacts in one table for their instant anew; the
 * table's own triggers compute it.  A transaction whose snapshot is older than
 * the lock may not see all of them, and has to be tried again.
 */
static void
redate_contacts(const MktAttachment *attachment, const char *account,
				TimestampTz now, TimestampTz next)
{
	Oid			contacts = attachment->contacts;
	StringInfoData query;
	Datum		values[2];
	Oid			types[2] = {TIMESTAMPTZOID};
	MktRights	rights;
	int64		pending;

	if (IsolationUsesXactSnapshot() &&
		(has_unseen(attachment, account, now, next, false) ||
		 has_unseen(attachment, account, now, next, true)))
		ereport(ERROR,
				errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				errmsg("could not give the pending contacts of account \"%s\" their new update date",
					   account),
				errdetail("A concurrent transaction set contacts of this account as non-marketing, or deleted some that count."),
				errhint("Try the transaction again."));
	pending = mkt_count_pending(attachment->count_table, account, now, next, false,
								GetLatestSnapshot(), &values[1]);
	if (pending == 0)
		return;

	values[0] = TimestampTzGetDatum(now);
	types[1] = attachment->account_type;
	initStringInfo(&query);
	appendStringInfo(&query, "UPDATE %s SET %s = NULL WHERE %s OPERATOR(pg_catalog.>) $1",
					 mkt_qualified_name(contacts),
					 mkt_attachment_column(attachment, attachment->until),
					 mkt_attachment_column(attachment, attachment->until));
	if (attachment->account)
		appendStringInfo(&query, " AND %s OPERATOR(pg_catalog.=) $2",
						 mkt_attachment_column(attachment, attachment->account));

	SPI_connect();
	rights = mkt_act_as(mkt_owner_of(contacts));
	if (SPI_execute_with_args(query.data, attachment->account ? 2 : 1, types,
							  values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not give contacts their new update date");
	mkt_act_again_as(rights);
	SPI_finish();
}

/*
 * Whether others have committed pending contacts, or deleted ones that count, of
 * which the transaction's snapshot knows nothing.
 */
static bool
has_unseen(const MktAttachment *attachment, const char *account,
		   TimestampTz now, TimestampTz next, bool deleted)
{
	Datum		typed;

	return mkt_count_pending(attachment->count_table, account, now, next, deleted,
							 GetLatestSnapshot(), &typed) !=
		mkt_count_pending(attachment->count_table, account, now, next, deleted,
						  GetTransactionSnapshot(), &typed);
}

static void
end_of_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			forget_own();
			changed = false;
			break;
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
			break;
	}
}

/* A rollback to a savepoint releases locks. */
static void
end_of_subtransaction(SubXactEvent event, SubTransactionId child,
					  SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_own();
}

/* What this transaction knows by its own settings, and its locks. */
static void
forget_own(void)
{
	transaction++;
	if (changed)
		settings++;
}

static void
forget(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == account_relid)
		settings++;
}

void
mkt_account_init(void)
{
	RegisterXactCallback(end_of_transaction, NULL);
	RegisterSubXactCallback(end_of_subtransaction, NULL);
	CacheRegisterRelcacheCallback(forget, (Datum) 0);
}
