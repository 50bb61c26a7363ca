/*-------------------------------------------------------------------------
 * limit.c
 *	  Accounts with a maximum of marketing contacts, or a limit on all contacts
 *	  (rules B8, B10), or whose deleted contacts count for a while (T13).
 *
 * Who makes a contact count toward an account with a maximum holds a lock on the
 * account until his transaction ends, and has counted what is committed after he
 * got it.  So the account's promotions come one after the other, and none goes
 * over; who demotes or deletes waits for nobody.  Accounts without a maximum or a
 * limit are told apart by one look at a session's cache, and where no account has
 * one that look is at a variable.
 *
 * The lock is that of a row: a transaction may touch any number of accounts, and
 * waits for those only who touch one of them.
 *
 * A count is good for one statement.  What a BEFORE trigger decides for a row
 * that is counted only after the statement is kept in mind as promised.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "errors.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* The columns of mkt.account that are read here. */
#define ACC_ACCOUNT			1
#define ACC_MAXIMUM			7
#define ACC_AT_MAXIMUM		8
#define ACC_CONTACT_LIMIT	9
#define ACC_COUNT_DELETED	11

/* The columns of mkt.parked_contact. */
#define PAR_CONTACTS		1
#define PAR_KEY				2
#define PAR_ACCOUNT			3
#define PAR_PARKED_AT		4
#define PAR_ROLE			5
#define PAR_SOURCE_TYPE		6
#define PAR_SOURCE_NAME		7
#define PAR_BATCH			8

/* Beyond this many accounts the cache is dropped and filled again. */
#define MAX_CACHED 10000

/* The column of mkt.limited_account. */
#define LIM_ACCOUNT			1

/* An account's limits, and its counts while a statement lasts. */
typedef struct Cap
{
	MktAccountKey key;
	bool		has_maximum;
	bool		parks;
	bool		has_limit;
	bool		counts_deleted;
	int64		maximum;
	int64		limit;
	char	   *account;
	bool		counted;		/* the following are known */
	int64		billable;		/* with what this statement has done */
	int64		total;
	int64		before;			/* without that */
	int64		total_before;
	int64		promised;		/* rows that will be counted yet */
	char		status;
} Cap;

#define HASH_PREFIX limits
#define SH_ELEMENT_TYPE Cap
#define SH_KEY_TYPE MktAccountKey
#define SH_KEY key
#define SH_HASH_KEY(tb, key) mkt_account_key_hash(&key)
#define SH_EQUAL(tb, a, b) mkt_account_key_equal(&a, &b)
#include "hash.h"

static MemoryContext limits_context = NULL;
static limits_hash * limits = NULL;
static uint64 limits_settings = 0;	/* those that they are by */
static bool any = false;		/* some account has a limit */
static bool any_counts_deleted = false;
static bool counted = false;	/* some account's counts are known */

static void look_for_any(void);
static bool has_entry(Relation rel, const char *index);
static Cap *limit_of(const MktAttachment *attachment, Datum account, bool isnull);
static void read_limit(Cap *limit);
static bool is_park(Oid label);
static void count(Cap *limit);
static int	billable_change(TimestampTz was, TimestampTz until, TimestampTz now);
static void lock_account(const char *account);
static bool lock_row(Datum account);
static bool find_row(Relation rel, Snapshot snapshot, Datum account, ItemPointer place);
static void forget_row(const char *account);
static void refuse_promotion(const Cap *limit);
static void refuse_contact(const Cap *limit);
static void wait_for_writers(void);

PG_FUNCTION_INFO_V1(mkt_limit_changed);
PG_FUNCTION_INFO_V1(mkt_find_parked);

/* Whether any account has a maximum or a limit. */
bool
mkt_limit_any(void)
{
	if (limits_settings != mkt_account_settings())
		look_for_any();
	return any;
}

/*
 * Counts a contact of an account that was marketing until one instant and is
 * until another, before it is counted for good.  What another server has let
 * pass is not refused: the replication would stop.
 */
void
mkt_limit_move(const MktAttachment *attachment, Datum account, bool isnull,
			   TimestampTz was, TimestampTz until)
{
	Cap		   *limit;
	int			more;
	int			more_contacts;

	if (isnull || !mkt_limit_any() ||
		SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		return;
	limit = limit_of(attachment, account, isnull);
	if (!limit->has_maximum && !limit->has_limit)
		return;
	more = billable_change(was, until, mkt_now());
	more_contacts = (until != MKT_ABSENT) - (was != MKT_ABSENT);
	if ((more > 0 && limit->has_maximum) || (more_contacts > 0 && limit->has_limit))
		count(limit);
	if (!limit->counted)
		return;
	limit->billable += more;
	limit->total += more_contacts;
	if (more > 0 && limit->promised > 0)
		limit->promised--;
	if (more > 0 && limit->has_maximum && limit->billable > limit->maximum)
		refuse_promotion(limit);
	if (more_contacts > 0 && limit->has_limit && limit->total > limit->limit)
		refuse_contact(limit);
}

/*
 * Whether a contact that is to become marketing has to stay non-marketing,
 * because its account parks what goes over its maximum.
 */
bool
mkt_limit_parks(const MktAttachment *attachment, Datum account, bool isnull,
				bool counted_at_once)
{
	Cap		   *limit;

	if (isnull || !mkt_limit_any())
		return false;
	limit = limit_of(attachment, account, isnull);
	if (!limit->has_maximum || !limit->parks)
		return false;
	count(limit);
	if (limit->billable + limit->promised >= limit->maximum)
		return true;
	if (!counted_at_once)
		limit->promised++;
	return false;
}

/* T13: whether contacts of an account that are deleted count until its next update date. */
bool
mkt_limit_counts_deleted(const MktAttachment *attachment, Datum account, bool isnull)
{
	if (limits_settings != mkt_account_settings())
		look_for_any();
	return any_counts_deleted && !isnull && limit_of(attachment, account, isnull)->counts_deleted;
}

/*
 * How many of the contacts that are asked for can become marketing in an account
 * that has so many; an error where it refuses more.
 */
int64
mkt_limit_places(const char *account, int64 billable, int64 asked)
{
	Cap			cap = {.account = unconstify(char *, account)};
	int64		places;

	read_limit(&cap);
	places = Max(cap.maximum - billable, 0);
	if (!cap.has_maximum || asked <= places)
		return asked;
	cap.before = billable;
	cap.billable = billable + asked;
	if (!cap.parks)
		refuse_promotion(&cap);
	return places;
}

/* Remembers a parked contact, with who asked. */
void
mkt_limit_park(const MktAttachment *attachment, TupleTableSlot *contact,
			   Datum account, const MktSource *source)
{
	MktAppender *appender = mkt_append_open(mkt_relation("parked_contact"));
	TupleTableSlot *slot = mkt_append_slot(appender);
	bool		is_call;
	int64		batch = mkt_batch_current(attachment->contacts, &is_call);
	Datum	   *values = slot->tts_values;

	values[PAR_CONTACTS - 1] = ObjectIdGetDatum(attachment->contacts);
	values[PAR_KEY - 1] = CStringGetTextDatum(mkt_satellite_key_text(attachment, contact));
	values[PAR_ACCOUNT - 1] =
		CStringGetTextDatum(mkt_account_text(attachment->account_type, account));
	values[PAR_PARKED_AT - 1] = TimestampTzGetDatum(mkt_now());
	values[PAR_ROLE - 1] = CStringGetTextDatum(GetUserNameFromId(mkt_user(), false));
	values[PAR_SOURCE_TYPE - 1] = source->type;
	values[PAR_SOURCE_NAME - 1] = source->name;
	values[PAR_BATCH - 1] = Int64GetDatum(batch);
	slot->tts_isnull[PAR_SOURCE_TYPE - 1] = source->type_null;
	slot->tts_isnull[PAR_SOURCE_NAME - 1] = source->name_null;
	slot->tts_isnull[PAR_BATCH - 1] = batch == 0;
	mkt_append_row(appender);
	mkt_append_close(appender);
	if (batch != 0 && !is_call)
		mkt_batch_add_now(batch, attachment->contacts, MKT_PARKED, 1);
}

/* At the end of a statement: the next one counts anew. */
void
mkt_limit_post(void)
{
	limits_iterator it;
	Cap		   *limit;

	if (!counted)
		return;
	counted = false;
	limits_start_iterate(limits, &it);
	while ((limit = limits_iterate(limits, &it)) != NULL)
		limit->counted = false;
}

static void
look_for_any(void)
{
	uint64		settings = mkt_account_read_settings();
	Relation	rel = table_open(mkt_relation("account"), AccessShareLock);

	if (limits_context == NULL)
		limits_context = AllocSetContextCreate(CacheMemoryContext, "mktcontacts limits",
											   ALLOCSET_DEFAULT_SIZES);
	limits_settings = 0;
	counted = false;
	MemoryContextReset(limits_context);
	limits = limits_create(limits_context, 16, NULL);
	any = has_entry(rel, "account_limited");
	any_counts_deleted = has_entry(rel, "account_counts_deleted");
	limits_settings = settings;
	table_close(rel, AccessShareLock);
}

/* The partial index on such accounts has one, or not. */
static bool
has_entry(Relation rel, const char *index)
{
	SysScanDesc scan = systable_beginscan(rel, mkt_relation(index), true, NULL, 0, NULL);
	bool		found = HeapTupleIsValid(systable_getnext(scan));

	systable_endscan(scan);
	return found;
}

static Cap *
limit_of(const MktAttachment *attachment, Datum account, bool isnull)
{
	MktAccountKey key = {
		.count_table = attachment->count_table,
		.len = attachment->account_len,
		.by_value = attachment->account_by_value,
		.isnull = isnull,
		.account = account
	};
	Cap		   *limit = limits_lookup(limits, key);
	Cap			new = {0};
	MemoryContext before;

	if (limit)
		return limit;
	if (limits->members >= MAX_CACHED)
		look_for_any();
	new.account = mkt_account_text(attachment->account_type, account);
	read_limit(&new);
	before = MemoryContextSwitchTo(limits_context);
	key.account = datumCopy(account, key.by_value, key.len);
	new.account = pstrdup(new.account);
	MemoryContextSwitchTo(before);
	limit = limits_insert(limits, key, &(bool) {false});
	new.key = limit->key;
	new.status = limit->status;
	*limit = new;
	return limit;
}

static void
read_limit(Cap *limit)
{
	Relation	rel = table_open(mkt_relation("account"), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		isnull;

	ScanKeyEntryInitialize(&key, 0, ACC_ACCOUNT, BTEqualStrategyNumber, InvalidOid,
						   DEFAULT_COLLATION_OID, F_TEXTEQ,
						   CStringGetTextDatum(limit->account));
	scan = systable_beginscan(rel, mkt_relation("account_pkey"), true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		limit->maximum = DatumGetInt64(heap_getattr(tuple, ACC_MAXIMUM, desc, &isnull));
		limit->has_maximum = !isnull;
		limit->parks = is_park(DatumGetObjectId(heap_getattr(tuple, ACC_AT_MAXIMUM, desc,
															 &isnull)));
		limit->limit = DatumGetInt64(heap_getattr(tuple, ACC_CONTACT_LIMIT, desc, &isnull));
		limit->has_limit = !isnull;
		limit->counts_deleted =
			DatumGetBool(heap_getattr(tuple, ACC_COUNT_DELETED, desc, &isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static bool
is_park(Oid label)
{
	HeapTuple	tuple = SearchSysCache1(ENUMOID, ObjectIdGetDatum(label));
	bool		park;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for enum value %u", label);
	park = strcmp(NameStr(((Form_pg_enum) GETSTRUCT(tuple))->enumlabel), "park") == 0;
	ReleaseSysCache(tuple);
	return park;
}

/* What is committed once the lock is ours, and what this transaction has done. */
static void
count(Cap *limit)
{
	if (limit->counted)
		return;
	lock_account(limit->account);
	mkt_count_post_many();
	mkt_count_now(limit->account, mkt_now(), &limit->billable, &limit->total, NULL);
	limit->before = limit->billable;
	limit->total_before = limit->total;
	limit->promised = 0;
	limit->counted = true;
	counted = true;
}

static int
billable_change(TimestampTz was, TimestampTz until, TimestampTz now)
{
	return (until > now) - (was > now);
}

/* The first who locks an account makes its row, and so holds it. */
static void
lock_account(const char *account)
{
	Datum		name = CStringGetTextDatum(account);

	while (!lock_row(name))
	{
		SPI_connect();
		if (mkt_run_as_extension("INSERT INTO mkt.limited_account (account) VALUES ($1) ON CONFLICT DO NOTHING",
								 1, (Oid[]) {TEXTOID}, &name, NULL) != SPI_OK_INSERT)
			elog(ERROR, "could not note that an account is limited");
		SPI_finish();
	}
}

/* False if there is none, or no longer. */
static bool
lock_row(Datum account)
{
	Relation	rel = table_open(mkt_relation("limited_account"), RowExclusiveLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	ItemPointerData place;
	TM_FailureData failure;
	bool		locked;

	locked = find_row(rel, snapshot, account, &place) &&
		table_tuple_lock(rel, &place, snapshot, slot, GetCurrentCommandId(true),
						 LockTupleNoKeyExclusive, LockWaitBlock, 0, &failure) == TM_Ok;
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	table_close(rel, NoLock);
	return locked;
}

static bool
find_row(Relation rel, Snapshot snapshot, Datum account, ItemPointer place)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	ScanKeyEntryInitialize(&key, 0, LIM_ACCOUNT, BTEqualStrategyNumber, InvalidOid,
						   DEFAULT_COLLATION_OID, F_TEXTEQ, account);
	scan = systable_beginscan(rel, mkt_relation("limited_account_pkey"), true, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
		*place = tuple->t_self;
	systable_endscan(scan);
	return found;
}

static void
refuse_promotion(const Cap *limit)
{
	int64		places = Max(limit->maximum - limit->before, 0);
	int64		asked = limit->billable - limit->before;

	ereport(ERROR,
			errcode(ERRCODE_MKT_MAXIMUM),
			errmsg("account \"%s\" may not have more than %lld marketing contacts",
				   limit->account, (long long) limit->maximum),
			errdetail_plural("%lld contact counts, so %lld places are left; this statement asked for %lld or more.",
							 "%lld contacts count, so %lld places are left; this statement asked for %lld or more.",
							 (unsigned long) limit->before, (long long) limit->before,
							 (long long) places, (long long) asked),
			errhint("UPDATE mkt.account SET maximum = ... WHERE account = %s; or at_maximum = 'park' to store them as non-marketing.",
					quote_literal_cstr(limit->account)));
}

static void
refuse_contact(const Cap *limit)
{
	ereport(ERROR,
			errcode(ERRCODE_MKT_CONTACT_LIMIT),
			errmsg("account \"%s\" may not have more than %lld contacts",
				   limit->account, (long long) limit->limit),
			errdetail_plural("It has %lld contact; this statement asked for %lld more, or for even more.",
							 "It has %lld contacts; this statement asked for %lld more, or for even more.",
							 (unsigned long) limit->total_before, (long long) limit->total_before,
							 (long long) (limit->total - limit->total_before)),
			errhint("DELETE contacts, or UPDATE mkt.account SET contact_limit = ... WHERE account = %s;",
					quote_literal_cstr(limit->account)));
}

/*
 * Trigger on mkt.account: a limit holds from the moment it is set.  Those who
 * are writing without knowing of it finish first; those who know of one hold the
 * account's lock.  With an argument: any settings have changed.
 */
Datum
mkt_limit_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	HeapTuple	after;
	bool		had_maximum = false;
	bool		had_limit = false;
	bool		no_maximum;
	bool		no_limit;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_MKT_WRONG_CALL),
				errmsg("mkt.limit_changed() is the trigger function of mkt.account"));
	desc = RelationGetDescr(trigger->tg_relation);
	mkt_account_settings_changed(trigger->tg_relation);
	if (trigger->tg_trigger->tgnargs > 0)
		return PointerGetDatum(NULL);

	after = trigger->tg_trigtuple;
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
	{
		forget_row(TextDatumGetCString(heap_getattr(after, ACC_ACCOUNT, desc, &isnull)));
		return PointerGetDatum(NULL);
	}
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		heap_getattr(after, ACC_MAXIMUM, desc, &isnull);
		had_maximum = !isnull;
		heap_getattr(after, ACC_CONTACT_LIMIT, desc, &isnull);
		had_limit = !isnull;
		after = trigger->tg_newtuple;
	}
	heap_getattr(after, ACC_MAXIMUM, desc, &no_maximum);
	heap_getattr(after, ACC_CONTACT_LIMIT, desc, &no_limit);
	if ((!no_maximum && !had_maximum) || (!no_limit && !had_limit))
		wait_for_writers();
	lock_account(TextDatumGetCString(heap_getattr(after, ACC_ACCOUNT, desc, &isnull)));
	return PointerGetDatum(NULL);
}

/* Whoever waits for the account makes a new one, should it have a limit again. */
static void
forget_row(const char *account)
{
	Datum		name = CStringGetTextDatum(account);

	lock_account(account);
	SPI_connect();
	if (mkt_run_as_extension("DELETE FROM mkt.limited_account WHERE account OPERATOR(pg_catalog.=) $1",
							 1, (Oid[]) {TEXTOID}, &name, NULL) != SPI_OK_DELETE)
		elog(ERROR, "could not forget that an account was limited");
	SPI_finish();
}

static void
wait_for_writers(void)
{
	ListCell   *cell;

	foreach(cell, mkt_attachment_list())
	{
		Oid			contacts = ((MktAttachedTable *) lfirst(cell))->contacts;

		LockRelationOid(contacts, ShareLock);
		list_free(find_all_inheritors(contacts, ShareLock, NULL));
	}
}

/* mkt.find_parked(contacts): the keys of parked contacts that still are non-marketing. */
Datum
mkt_find_parked(PG_FUNCTION_ARGS)
{
	const MktAttachment *attachment = mkt_attachment_find(PG_GETARG_OID(0));
	MktRights	rights;
	Oid			types[] = {OIDOID, TIMESTAMPTZOID};
	Datum		values[2];

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (attachment == NULL || !mkt_reads_all(attachment->contacts))
		return (Datum) 0;
	values[0] = ObjectIdGetDatum(attachment->contacts);
	values[1] = TimestampTzGetDatum(mkt_now());
	SPI_connect();
	rights = mkt_act_as(mkt_extension_owner());
	if (SPI_execute_with_args(psprintf("SELECT DISTINCT p.key FROM mkt.parked_contact AS p JOIN %s AS c ON %s OPERATOR(pg_catalog.=) p.key "
									   "WHERE p.contacts::pg_catalog.oid OPERATOR(pg_catalog.=) $1 "
									   "AND (c.%s OPERATOR(pg_catalog.=) 'non_marketing' OR c.%s OPERATOR(pg_catalog.<=) $2)",
									   mkt_qualified_name(attachment->contacts),
									   mkt_satellite_key_expression(attachment),
									   mkt_attachment_column(attachment, attachment->status),
									   mkt_attachment_column(attachment, attachment->until)),
							  2, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for parked contacts");
	mkt_query_return(fcinfo);
	mkt_act_again_as(rights);
	SPI_finish();
	return (Datum) 0;
}

static void
end_of_transaction(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE)
		mkt_limit_post();
}

/* A rollback to a savepoint gives back locks, and takes counts along. */
static void
end_of_subtransaction(SubXactEvent event, SubTransactionId child,
					  SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		mkt_limit_post();
}

void
mkt_limit_init(void)
{
	RegisterXactCallback(end_of_transaction, NULL);
	RegisterSubXactCallback(end_of_subtransaction, NULL);
}
