/*-------------------------------------------------------------------------
 * contact.c
 *	  The triggers on an attached contacts table.
 *
 *	BEFORE ROW   mkt_10_state		what is the new state, until when?
 *	AFTER ROW    mkt_80_count		inserted, deleted: one more, one fewer
 *	AFTER ROW    mkt_85_recount		updated: one fewer there, one more here
 *	AFTER STMT   mkt_90_post		the sums become rows
 *	AFTER STMT   mkt_95_truncate	the counts begin anew
 *
 * Every change of a contact, whoever makes it, is an ordinary statement on the
 * table and passes through here; nothing else writes counts.  They count what
 * is stored in the end, so other triggers may change or skip rows.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/tupdesc.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "compat.h"
#include "errors.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* A contact's marketing columns and account, as one version of it has them. */
typedef struct Contact
{
	MktColumns	columns;
	bool		columns_null;	/* status or flag is null */
	bool		status_null;
	TimestampTz until;			/* as S2 counts it; stored null is M or N */
	TimestampTz stored_until;
	bool		until_null;
	Datum		account;
	bool		account_null;
} Contact;

static const MktSource no_source = {.type_null = true,.name_null = true};

/* The contact that is being merged into another one. */
static Oid	merging_in = InvalidOid;
static Datum merging_key;

/* The row of a partition that was updated last, and the key that it got. */
static struct
{
	Oid			contacts;
	Oid			relid;
	ItemPointerData place;
	LocalTransactionId transaction;
	uint32		key;
}			last_updated;

static TriggerData *check_protocol(FunctionCallInfo fcinfo, const char *function,
								   bool right);
static bool is_restored(const TriggerData *trigger);
static bool is_decided(const TriggerData *trigger, const MktAttachment *attachment);
static void read_contact(const MktAttachment *attachment, TupleTableSlot *slot,
						 Contact *contact);
static void count_move(const MktAttachment *attachment, Datum account, bool isnull,
					   TimestampTz was, TimestampTz until);
static void count_insert(const MktAttachment *attachment, TupleTableSlot *slot,
						 const Contact *contact, const MktSource *source,
						 CommandId command);
static void count_delete(const MktAttachment *attachment, const TriggerData *trigger,
						 const Contact *contact);
static bool is_heap_partition(const TriggerData *trigger);
static CommandId inserting_command(const TriggerData *trigger);
static CommandId moving_command(const TriggerData *trigger);
static bool is_deleted(const MktAttachment *attachment, const TriggerData *trigger);
static void keep_count(const MktAttachment *attachment, const Contact *contact,
					   TimestampTz until);
static void count_update(const MktAttachment *attachment, const TriggerData *trigger,
						 const Contact *before, const Contact *after,
						 const MktSource *source);
static MktSource row_source(const MktAttachment *attachment, TupleTableSlot *slot);
static HeapTuple insert_contact(TriggerData *trigger,
								const MktAttachment *attachment);
static bool is_moving(const MktAttachment *attachment, TupleTableSlot *slot);
static bool has_left(void);
static uint32 hash_key(const MktAttachment *attachment, TupleTableSlot *slot);
static bool created_as_marketing(const MktAttachment *attachment,
								 const Contact *contact, const MktSource *source);
static HeapTuple update_contact(TriggerData *trigger,
								const MktAttachment *attachment);
static MktRequest asks(const TriggerData *trigger, const MktAttachment *attachment,
					   MktState from, const Contact *before, const Contact *after,
					   bool *same);
static MktSource update_source(const TriggerData *trigger,
							   const MktAttachment *attachment);
static bool same_text(Datum a, bool a_null, Datum b, bool b_null);
static bool same_columns(const MktColumns *a, const MktColumns *b);
static bool asks_as_non_marketing(const TriggerData *trigger,
								  const MktAttachment *attachment,
								  const MktColumns *stored, MktColumns *columns);
static bool sets(const TriggerData *trigger, AttrNumber column);
static void refuse_null(const MktAttachment *attachment, const Contact *contact,
						Relation rel);
static bool same_account(const MktAttachment *attachment, const Contact *a,
						 const Contact *b);
static HeapTuple store_state(const MktAttachment *attachment, HeapTuple tuple,
							 TupleTableSlot *slot, const Contact *contact,
							 MktState state, const MktSource *source);
static bool has_source(const MktAttachment *attachment, TupleTableSlot *slot,
					   const MktSource *source);
static bool ends_with_until(const MktAttachment *attachment, HeapTuple tuple,
							TupleDesc desc);
static HeapTuple append_state(const MktAttachment *attachment, HeapTuple tuple,
							  TupleDesc desc, Oid status, bool flag,
							  const TimestampTz *until);
static uint32 length_before(const MktAttachment *attachment, HeapTuple tuple,
							TupleDesc desc);
static void check_not_demoted(const Contact *before, const Contact *after,
							  Relation rel);

PG_FUNCTION_INFO_V1(mkt_contact_state);
PG_FUNCTION_INFO_V1(mkt_contact_count);
PG_FUNCTION_INFO_V1(mkt_contact_recount);
PG_FUNCTION_INFO_V1(mkt_contact_post);
PG_FUNCTION_INFO_V1(mkt_contact_truncate);
PG_FUNCTION_INFO_V1(mkt_is_state);

#define FIRED(fcinfo) (((TriggerData *) (fcinfo)->context)->tg_event)

/* BEFORE INSERT OR UPDATE, each row: the state that the row will have. */
Datum
mkt_contact_state(PG_FUNCTION_ARGS)
{
	TriggerData *trigger =
	check_protocol(fcinfo, "contact_state",
				   CALLED_AS_TRIGGER(fcinfo) &&
				   TRIGGER_FIRED_BEFORE(FIRED(fcinfo)) &&
				   TRIGGER_FIRED_FOR_ROW(FIRED(fcinfo)) &&
				   !TRIGGER_FIRED_BY_DELETE(FIRED(fcinfo)));
	MktAttachment *attachment;
	HeapTuple	stored;

	if (is_restored(trigger))
		return PointerGetDatum(trigger->tg_trigtuple);
	attachment = mkt_attachment_of(RelationGetRelid(trigger->tg_relation));
	if (is_decided(trigger, attachment))
		return PointerGetDatum(TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ?
							   trigger->tg_trigtuple : trigger->tg_newtuple);
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		return PointerGetDatum(insert_contact(trigger, attachment));
	stored = update_contact(trigger, attachment);
	if (attachment->relid != attachment->contacts && (*mkt_source_type || mkt_limit_any()))
	{
		last_updated.contacts = attachment->contacts;
		last_updated.relid = attachment->relid;
		last_updated.place = trigger->tg_trigtuple->t_self;
		last_updated.transaction = mkt_local_transaction();
		last_updated.key = hash_key(attachment, trigger->tg_newslot);
	}
	return PointerGetDatum(stored);
}

/* AFTER INSERT OR DELETE, each row (T4, T10). */
Datum
mkt_contact_count(PG_FUNCTION_ARGS)
{
	TriggerData *trigger =
	check_protocol(fcinfo, "contact_count",
				   CALLED_AS_TRIGGER(fcinfo) &&
				   TRIGGER_FIRED_AFTER(FIRED(fcinfo)) &&
				   TRIGGER_FIRED_FOR_ROW(FIRED(fcinfo)) &&
				   !TRIGGER_FIRED_BY_UPDATE(FIRED(fcinfo)));
	MktAttachment *attachment;
	Contact		contact;

	if (is_restored(trigger))
		return PointerGetDatum(NULL);
	attachment = mkt_attachment_of(RelationGetRelid(trigger->tg_relation));
	read_contact(attachment, trigger->tg_trigslot, &contact);
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
	{
		MktSource	source = row_source(attachment, trigger->tg_trigslot);

		count_insert(attachment, trigger->tg_trigslot, &contact, &source,
					 inserting_command(trigger));
	}
	else
		count_delete(attachment, trigger, &contact);
	return PointerGetDatum(NULL);
}

/* AFTER UPDATE, each row of which account, status or instant changed. */
Datum
mkt_contact_recount(PG_FUNCTION_ARGS)
{
	TriggerData *trigger =
	check_protocol(fcinfo, "contact_recount",
				   CALLED_AS_TRIGGER(fcinfo) &&
				   TRIGGER_FIRED_AFTER(FIRED(fcinfo)) &&
				   TRIGGER_FIRED_FOR_ROW(FIRED(fcinfo)) &&
				   TRIGGER_FIRED_BY_UPDATE(FIRED(fcinfo)));
	MktAttachment *attachment =
	mkt_attachment_of(RelationGetRelid(trigger->tg_relation));
	Contact		before;
	Contact		after;
	MktSource	source;

	read_contact(attachment, trigger->tg_trigslot, &before);
	read_contact(attachment, trigger->tg_newslot, &after);
	check_not_demoted(&before, &after, trigger->tg_relation);
	source = row_source(attachment, trigger->tg_newslot);
	count_update(attachment, trigger, &before, &after, &source);
	return PointerGetDatum(NULL);
}

/* What goes over an account's maximum is not counted, but an error (B8); tiers follow. */
static void
count_move(const MktAttachment *attachment, Datum account, bool isnull,
		   TimestampTz was, TimestampTz until)
{
	mkt_limit_move(attachment, account, isnull, was, until);
	mkt_count_move(attachment, account, isnull, was, until);
	mkt_watch_move(attachment, account, isnull, was, until);
}

static void
count_insert(const MktAttachment *attachment, TupleTableSlot *slot,
			 const Contact *contact, const MktSource *source, CommandId command)
{
	MktChange	change = {
		.was = MKT_ABSENT,
		.until = contact->until,
		.account = contact->account,
		.account_null = contact->account_null,
		.command = command,
		.source = *source,
		.from_source = no_source
	};

	count_move(attachment, contact->account, contact->account_null, MKT_ABSENT,
			   contact->until);
	mkt_change_note(attachment, slot, &change);
}

/* Who deletes is whom the session names.  T13: some deleted contacts count on. */
static void
count_delete(const MktAttachment *attachment, const TriggerData *trigger,
			 const Contact *contact)
{
	MktChange	change = {
		.was = contact->until,
		.until = MKT_ABSENT,
		.account = contact->account,
		.account_null = contact->account_null
	};

	if (contact->until > mkt_now() &&
		mkt_limit_counts_deleted(attachment, contact->account, contact->account_null) &&
		is_deleted(attachment, trigger))
	{
		change.counts_on = true;
		change.counts_until = contact->until;
		if (TIMESTAMP_IS_NOEND(contact->until))
			change.counts_until = mkt_account_next_update(attachment, contact->account,
														  contact->account_null);
		keep_count(attachment, contact, change.counts_until);
	}
	else
		count_move(attachment, contact->account, contact->account_null, contact->until,
				   MKT_ABSENT);
	if (!OidIsValid(attachment->history))
		return;
	change.source = mkt_change_session_source();
	change.from_source = row_source(attachment, trigger->tg_trigslot);
	change.command = moving_command(trigger);
	mkt_change_note(attachment, trigger->tg_trigslot, &change);
}

/*
 * An UPDATE that takes a row to another partition marks the version that it
 * leaves, and both versions have its command.  What other commands delete and
 * insert is another contact, though its key be the same.
 */
static CommandId
moving_command(const TriggerData *trigger)
{
	HeapTupleHeader left = trigger->tg_trigtuple->t_data;

	return is_heap_partition(trigger) && HeapTupleHeaderIndicatesMovedPartitions(left) ?
		HeapTupleHeaderGetCmax(left) : InvalidCommandId;
}

static CommandId
inserting_command(const TriggerData *trigger)
{
	return is_heap_partition(trigger) ?
		HeapTupleHeaderGetCmin(trigger->tg_trigtuple->t_data) : InvalidCommandId;
}

static bool
is_heap_partition(const TriggerData *trigger)
{
	return trigger->tg_relation->rd_rel->relispartition &&
		trigger->tg_relation->rd_tableam == GetHeapamTableAmRoutine();
}

/* Neither gone to another partition nor, by T7, into another contact. */
static bool
is_deleted(const MktAttachment *attachment, const TriggerData *trigger)
{
	bool		isnull;

	if (HeapTupleHeaderIndicatesMovedPartitions(trigger->tg_trigtuple->t_data))
		return false;
	return merging_in != attachment->contacts ||
		!datum_image_eq(merging_key, slot_getattr(trigger->tg_trigslot, attachment->keys[0], &isnull),
						attachment->key_by_value[0], attachment->key_len[0]);
}

/* The account keeps the place of a contact that is gone (B8), not the contact (B10). */
static void
keep_count(const MktAttachment *attachment, const Contact *contact, TimestampTz until)
{
	Datum		account = contact->account;
	bool		isnull = contact->account_null;

	mkt_limit_move(attachment, account, isnull, DT_NOBEGIN, MKT_ABSENT);
	mkt_count_move(attachment, account, isnull, contact->until, MKT_ABSENT);
	mkt_count_keep(attachment, account, isnull, until);
}

/* For mkt.merge(): what happens to this contact is a merge; by 0: no longer. */
void
mkt_contact_merging(Oid contacts, Datum key)
{
	merging_in = contacts;
	merging_key = key;
}

/* A contact that moves to another account leaves one and arrives in the other (T5). */
static void
count_update(const MktAttachment *attachment, const TriggerData *trigger,
			 const Contact *before, const Contact *after, const MktSource *source)
{
	TimestampTz left = after->until;
	MktChange	change = {
		.was = before->until,
		.until = after->until,
		.account = after->account,
		.account_null = after->account_null,
		.from_account = before->account,
		.from_account_null = before->account_null,
		.command = InvalidCommandId,
		.source = *source
	};

	if (!same_account(attachment, before, after))
	{
		left = MKT_ABSENT;
		change.moved = true;
		count_move(attachment, after->account, after->account_null, MKT_ABSENT,
				   after->until);
	}
	count_move(attachment, before->account, before->account_null, before->until, left);
	if (!OidIsValid(attachment->history) || (before->until == after->until && !change.moved))
		return;
	change.from_source = row_source(attachment, trigger->tg_trigslot);
	mkt_change_note(attachment, trigger->tg_newslot, &change);
}

/* F2: what a row says of its tool. */
static MktSource
row_source(const MktAttachment *attachment, TupleTableSlot *slot)
{
	MktSource	source;

	source.type = slot_getattr(slot, attachment->source_type, &source.type_null);
	source.name = slot_getattr(slot, attachment->source_name, &source.name_null);
	return source;
}

/* AFTER INSERT OR DELETE OR UPDATE, each statement. */
Datum
mkt_contact_post(PG_FUNCTION_ARGS)
{
	check_protocol(fcinfo, "contact_post",
				   CALLED_AS_TRIGGER(fcinfo) &&
				   TRIGGER_FIRED_AFTER(FIRED(fcinfo)) &&
				   TRIGGER_FIRED_FOR_STATEMENT(FIRED(fcinfo)));
	mkt_count_post();
	mkt_change_post();
	mkt_limit_post();
	return PointerGetDatum(NULL);
}

/* AFTER TRUNCATE. */
Datum
mkt_contact_truncate(PG_FUNCTION_ARGS)
{
	TriggerData *trigger =
	check_protocol(fcinfo, "contact_truncate",
				   CALLED_AS_TRIGGER(fcinfo) &&
				   TRIGGER_FIRED_AFTER(FIRED(fcinfo)) &&
				   TRIGGER_FIRED_BY_TRUNCATE(FIRED(fcinfo)));
	MktAttachment *attachment =
	mkt_attachment_of(RelationGetRelid(trigger->tg_relation));

	mkt_change_post();
	mkt_count_post_all(attachment->count_table);
	CommandCounterIncrement();
	SPI_connect();
	mkt_satellite_truncate(mkt_attachment_table(attachment->contacts));
	SPI_finish();
	return PointerGetDatum(NULL);
}

/*
 * mkt.is_state(status, flag, until): S3, for the check constraint.  A function,
 * because PostgreSQL reads a constraint's expression anew for every statement.
 */
Datum
mkt_is_state(PG_FUNCTION_ARGS)
{
	static Oid	marketing = InvalidOid;
	static Oid	non_marketing = InvalidOid;
	bool		flag = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	Oid			status = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);

	if (flag != !PG_ARGISNULL(2))
		PG_RETURN_BOOL(false);
	if (OidIsValid(status) && status != marketing && status != non_marketing)
		*(mkt_attachment_is_marketing(status) ? &marketing : &non_marketing) = status;
	PG_RETURN_BOOL(!flag || status == marketing);
}

static TriggerData *
check_protocol(FunctionCallInfo fcinfo, const char *function, bool right)
{
	if (!right)
		ereport(ERROR,
				errcode(ERRCODE_MKT_WRONG_CALL),
				errmsg("mkt.%s() works only in the trigger that mkt.attach() creates",
					   function));
	CHECK_FOR_INTERRUPTS();		/* who fires AFTER triggers does not */
	return (TriggerData *) fcinfo->context;
}

/*
 * Whether the row comes from a dump, with all that its triggers would say of it;
 * perhaps before the dump says that its table is attached.
 */
static bool
is_restored(const TriggerData *trigger)
{
	Oid			relid = RelationGetRelid(trigger->tg_relation);
	MktAttachment *attachment;
	Contact		contact;

	if (!TRIGGER_FIRED_BY_INSERT(trigger->tg_event) || !mkt_restore_fills(relid))
		return false;
	attachment = mkt_attachment_find(relid);
	if (attachment == NULL)
		return true;
	read_contact(attachment, trigger->tg_trigslot, &contact);
	if (contact.columns_null)
		return false;
	mkt_restore_note(attachment->contacts);
	return true;
}

/*
 * Whether the row comes from another server, where its state was decided; one
 * that says nothing of marketing comes from a table that is not attached there.
 */
static bool
is_decided(const TriggerData *trigger, const MktAttachment *attachment)
{
	bool		inserted = TRIGGER_FIRED_BY_INSERT(trigger->tg_event);
	Contact		contact;

	if (SessionReplicationRole != SESSION_REPLICATION_ROLE_REPLICA)
		return false;
	read_contact(attachment, inserted ? trigger->tg_trigslot : trigger->tg_newslot, &contact);
	return !contact.columns_null && (inserted || sets(trigger, attachment->status));
}

static void
read_contact(const MktAttachment *attachment, TupleTableSlot *slot,
			 Contact *contact)
{
	bool		flag_null;
	Datum		status;
	Datum		until;

	/* mostly the last of those that are read; one call for all is cheaper */
	slot_getsomeattrs(slot, attachment->source_name);

	contact->account = attachment->constant_account;
	contact->account_null = false;
	if (attachment->account)
		contact->account = slot_getattr(slot, attachment->account,
										&contact->account_null);
	status = slot_getattr(slot, attachment->status, &contact->status_null);
	contact->columns.marketing = !contact->status_null &&
		DatumGetObjectId(status) == attachment->marketing;
	contact->columns.flag = DatumGetBool(slot_getattr(slot, attachment->flag,
													  &flag_null)) && !flag_null;
	contact->columns_null = contact->status_null || flag_null;

	until = slot_getattr(slot, attachment->until, &contact->until_null);
	contact->stored_until = contact->until_null ? 0 : DatumGetTimestampTz(until);
	if (!contact->columns.marketing)
		contact->until = DT_NOBEGIN;
	else if (contact->until_null)
		contact->until = DT_NOEND;
	else
		contact->until = contact->stored_until;
}

/* T10.  A row that names no status gets the default of the tool that creates it. */
static HeapTuple
insert_contact(TriggerData *trigger, const MktAttachment *attachment)
{
	TupleTableSlot *slot = trigger->tg_trigslot;
	Contact		contact;
	MktColumns	asked;
	MktSource	source = row_source(attachment, slot);
	bool		moves = is_moving(attachment, slot);
	bool		from_session = source.type_null && *mkt_source_type && !moves;
	MktState	state;
	bool		counts_too;

	read_contact(attachment, slot, &contact);
	if (from_session)
		source = mkt_change_session_source();
	asked = contact.columns;
	if (contact.status_null && !source.type_null)
		asked.marketing = created_as_marketing(attachment, &contact, &source);
	state = mkt_state_next(MKT_NON_MARKETING,
						   mkt_state_request(mkt_state_columns(MKT_NON_MARKETING), asked));
	counts_too = mkt_shortcut_copy(trigger->tg_trigger, trigger->tg_relation);
	if (state != MKT_NON_MARKETING && !moves &&
		mkt_limit_parks(attachment, contact.account, contact.account_null, counts_too))
	{
		mkt_limit_park(attachment, slot, contact.account, &source);
		state = MKT_NON_MARKETING;
	}
	contact.until = DT_NOBEGIN;
	if (state == MKT_PENDING)
		contact.until = mkt_account_next_update(attachment, contact.account,
												contact.account_null);
	else if (state == MKT_MARKETING)
		contact.until = DT_NOEND;
	if (counts_too)
		count_insert(attachment, slot, &contact, &source, InvalidCommandId);
	return store_state(attachment, trigger->tg_trigtuple, slot, &contact, state,
					   from_session ? &source : NULL);
}

/*
 * A contact that an UPDATE takes to another partition is inserted there, with
 * the same account and key, when it has left.  The session has nothing to say of
 * that.
 */
static bool
is_moving(const MktAttachment *attachment, TupleTableSlot *slot)
{
	return attachment->relid != attachment->contacts &&
		last_updated.contacts == attachment->contacts &&
		last_updated.transaction == mkt_local_transaction() &&
		last_updated.key == hash_key(attachment, slot) && has_left();
}

/* Whether the row that was updated last went to another partition. */
static bool
has_left(void)
{
	Relation	rel = try_table_open(last_updated.relid, AccessShareLock);
	TupleTableSlot *slot;
	bool		left = false;

	if (rel == NULL)
		return false;
	slot = table_slot_create(rel, NULL);
	if (rel->rd_tableam == GetHeapamTableAmRoutine() &&
		table_tuple_fetch_row_version(rel, &last_updated.place, SnapshotAny, slot))
	{
		HeapTupleHeader header = ExecFetchSlotHeapTuple(slot, false, NULL)->t_data;

		left = HeapTupleHeaderIndicatesMovedPartitions(header) &&
			TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(header));
	}
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
	return left;
}

static uint32
hash_key(const MktAttachment *attachment, TupleTableSlot *slot)
{
	uint32		hash = 0;

	if (attachment->account)
	{
		bool		isnull;
		Datum		account = slot_getattr(slot, attachment->account, &isnull);

		if (!isnull)
			hash = datum_image_hash(account, attachment->account_by_value,
									attachment->account_len);
	}
	for (int i = 0; i < attachment->nkeys; i++)
	{
		bool		isnull;
		Datum		key = slot_getattr(slot, attachment->keys[i], &isnull);

		if (!isnull)
			hash = hash_combine(hash, datum_image_hash(key, attachment->key_by_value[i],
													   attachment->key_len[i]));
	}
	return hash;
}

static bool
created_as_marketing(const MktAttachment *attachment, const Contact *contact,
					 const MktSource *source)
{
	return mkt_tool_creates_marketing(attachment, contact->account, contact->account_null,
									  TextDatumGetCString(source->type),
									  source->name_null ? NULL : TextDatumGetCString(source->name));
}

/* T1, T2, T5, T12: what the statement changed decides what it asks. */
static HeapTuple
update_contact(TriggerData *trigger, const MktAttachment *attachment)
{
	Contact		before;
	Contact		after;
	MktState	from;
	MktState	to;
	MktSource	source;
	bool		same_instant;
	bool		same;

	read_contact(attachment, trigger->tg_trigslot, &before);
	read_contact(attachment, trigger->tg_newslot, &after);
	if (after.columns_null)
		refuse_null(attachment, &after, trigger->tg_relation);
	from = mkt_state_at(before.until, mkt_now());
	same_instant = before.until_null == after.until_null &&
		(before.until_null || before.stored_until == after.stored_until) &&
		same_account(attachment, &before, &after);
	same = same_instant && same_columns(&before.columns, &after.columns);
	to = mkt_state_next(from, asks(trigger, attachment, from, &before, &after, &same));
	if (same)
		return trigger->tg_newtuple;

	source = to == from ? row_source(attachment, trigger->tg_newslot) :
		update_source(trigger, attachment);
	if (from == MKT_NON_MARKETING && to != from &&
		mkt_limit_parks(attachment, after.account, after.account_null,
						(trigger->tg_trigger->tgtype & MKT_STATE_COUNTS_TOO) != 0))
	{
		mkt_limit_park(attachment, trigger->tg_newslot, after.account, &source);
		to = from;
	}
	after.until = to == MKT_NON_MARKETING ? DT_NOBEGIN :
		to == MKT_MARKETING ? DT_NOEND : before.until;
	if (to == MKT_PENDING && (from != MKT_PENDING || !same_instant))
		after.until = mkt_account_next_update(attachment, after.account,
											  after.account_null);
	if (trigger->tg_trigger->tgtype & MKT_STATE_COUNTS_TOO)
		count_update(attachment, trigger, &before, &after, &source);
	return store_state(attachment, trigger->tg_newtuple, trigger->tg_newslot, &after, to,
					   to == from ? NULL : &source);
}

/*
 * What an UPDATE asks of a contact.  S1: an instant that has passed makes the row
 * non-marketing first, to be brought up to date when it changes, and before it
 * goes to another partition, where it arrives as an INSERT.
 */
static MktRequest
asks(const TriggerData *trigger, const MktAttachment *attachment, MktState from,
	 const Contact *before, const Contact *after, bool *same)
{
	MktColumns	stored = before->columns;
	MktColumns	asked = after->columns;

	if (from == MKT_NON_MARKETING && !before->until_null)
	{
		stored = mkt_state_columns(MKT_NON_MARKETING);
		if (asks_as_non_marketing(trigger, attachment, &before->columns, &asked))
			*same = false;
		else if (*same && trigger->tg_relation->rd_rel->relispartition)
			*same = false;
	}
	return mkt_state_request(stored, asked);
}

/*
 * Who changes a contact: the tool that the statement sets in the row, else the
 * session's, else nobody knows; what the row said of another change is no answer
 * (T11, F2).
 */
static MktSource
update_source(const TriggerData *trigger, const MktAttachment *attachment)
{
	MktSource	before = row_source(attachment, trigger->tg_trigslot);
	MktSource	after = row_source(attachment, trigger->tg_newslot);
	bool		sets_type = sets(trigger, attachment->source_type) ||
	!same_text(before.type, before.type_null, after.type, after.type_null);
	bool		sets_name = sets(trigger, attachment->source_name) ||
	!same_text(before.name, before.name_null, after.name, after.name_null);

	if (!sets_type && !sets_name)
		return mkt_change_session_source();
	if (!sets_name)
		after.name_null = true;
	return after;
}

static bool
same_text(Datum a, bool a_null, Datum b, bool b_null)
{
	if (a_null || b_null)
		return a_null == b_null;
	return datum_image_eq(a, b, false, -1);
}

static bool
same_columns(const MktColumns *a, const MktColumns *b)
{
	return a->marketing == b->marketing && a->flag == b->flag;
}

/*
 * What a statement says of a row whose stored columns are out of date: the
 * columns that it sets, with the others as they are for a non-marketing
 * contact.  Who sets both to what is stored writes back what he has read, and
 * asks nothing.
 */
static bool
asks_as_non_marketing(const TriggerData *trigger, const MktAttachment *attachment,
					  const MktColumns *stored, MktColumns *columns)
{
	bool		sets_status = stored->marketing != columns->marketing ||
	sets(trigger, attachment->status);
	bool		sets_flag = stored->flag != columns->flag ||
	sets(trigger, attachment->flag);

	if (!sets_status || (sets_flag && same_columns(stored, columns)))
		columns->marketing = false;
	if (!sets_flag || !columns->marketing)
		columns->flag = false;
	return columns->marketing;
}

static bool
sets(const TriggerData *trigger, AttrNumber column)
{
	return bms_is_member(column - FirstLowInvalidHeapAttributeNumber,
						 trigger->tg_updatedcols);
}

/* What NOT NULL says, before a row that changes partition says it was omitted. */
static void
refuse_null(const MktAttachment *attachment, const Contact *contact, Relation rel)
{
	AttrNumber	column = contact->status_null ? attachment->status :
	attachment->flag;

	ereport(ERROR,
			errcode(ERRCODE_NOT_NULL_VIOLATION),
			errmsg("null value in column \"%s\" of relation \"%s\" violates not-null constraint",
				   NameStr(TupleDescAttr(RelationGetDescr(rel), column - 1)->attname),
				   RelationGetRelationName(rel)),
			errhint("Leave the column out of the statement to keep its value."),
			errtablecol(rel, column));
}

static bool
same_account(const MktAttachment *attachment, const Contact *a, const Contact *b)
{
	if (a->account_null || b->account_null)
		return a->account_null == b->account_null;
	return datum_image_eq(a->account, b->account, attachment->account_by_value,
						  attachment->account_len);
}

/*
 * Writes a state, and a source where one is given, into a row that does not say
 * so already.  Returns the row as it came or another one; the slot has the values
 * of the one that came.
 */
static HeapTuple
store_state(const MktAttachment *attachment, HeapTuple tuple, TupleTableSlot *slot,
			const Contact *contact, MktState state, const MktSource *source)
{
	MktColumns	columns = mkt_state_columns(state);
	bool		until_null = state != MKT_PENDING;
	Oid			status = columns.marketing ? attachment->marketing :
	attachment->non_marketing;
	TupleDesc	desc = slot->tts_tupleDescriptor;
	Datum	   *values;
	bool	   *nulls;

	if (source && has_source(attachment, slot, source))
		source = NULL;
	if (source == NULL && !contact->columns_null &&
		contact->columns.marketing == columns.marketing &&
		contact->columns.flag == columns.flag &&
		contact->until_null == until_null &&
		(until_null || contact->stored_until == contact->until))
		return tuple;
	if (source == NULL && ends_with_until(attachment, tuple, desc))
		return append_state(attachment, tuple, desc, status, columns.flag,
							until_null ? NULL : &contact->until);

	slot_getallattrs(slot);
	values = palloc(desc->natts * sizeof(Datum));
	nulls = palloc(desc->natts * sizeof(bool));
	memcpy(values, slot->tts_values, desc->natts * sizeof(Datum));
	memcpy(nulls, slot->tts_isnull, desc->natts * sizeof(bool));
	values[attachment->status - 1] = ObjectIdGetDatum(status);
	nulls[attachment->status - 1] = false;
	values[attachment->flag - 1] = BoolGetDatum(columns.flag);
	nulls[attachment->flag - 1] = false;
	values[attachment->until - 1] = TimestampTzGetDatum(contact->until);
	nulls[attachment->until - 1] = until_null;
	if (source)
	{
		values[attachment->source_type - 1] = source->type;
		nulls[attachment->source_type - 1] = source->type_null;
		values[attachment->source_name - 1] = source->name;
		nulls[attachment->source_name - 1] = source->name_null;
	}
	return heap_form_tuple(desc, values, nulls);
}

static bool
has_source(const MktAttachment *attachment, TupleTableSlot *slot,
		   const MktSource *source)
{
	MktSource	there = row_source(attachment, slot);

	return same_text(there.type, there.type_null, source->type, source->type_null) &&
		same_text(there.name, there.name_null, source->name, source->name_null);
}

/* Whether status, flag and instant stand side by side, with nothing behind them but nulls. */
static bool
ends_with_until(const MktAttachment *attachment, HeapTuple tuple, TupleDesc desc)
{
	if (attachment->flag != attachment->status + 1 ||
		attachment->until != attachment->flag + 1 || !HeapTupleHasNulls(tuple) ||
		HeapTupleHeaderGetNatts(tuple->t_data) != desc->natts)
		return false;
	for (int i = attachment->until; i < desc->natts; i++)
		if (!att_isnull(i, tuple->t_data->t_bits))
			return false;
	return true;
}

/*
 * Such a row needs not be taken apart and put together again: what stands before
 * the status is copied as it is.  Statements for many rows are noticeably faster
 * for it.
 */
static HeapTuple
append_state(const MktAttachment *attachment, HeapTuple tuple, TupleDesc desc,
			 Oid status, bool flag, const TimestampTz *until)
{
	HeapTupleHeader header = tuple->t_data;
	uint32		before = length_before(attachment, tuple, desc);
	uint32		status_at = INTALIGN(before);
	uint32		flag_at = status_at + sizeof(Oid);
	uint32		until_at = DOUBLEALIGN(flag_at + sizeof(bool));
	uint32		len = header->t_hoff +
	(until ? until_at + sizeof(TimestampTz) : flag_at + sizeof(bool));
	HeapTuple	changed = palloc0(HEAPTUPLESIZE + len);
	char	   *data = (char *) changed + HEAPTUPLESIZE + header->t_hoff;

	changed->t_len = len;
	changed->t_self = tuple->t_self;
	changed->t_tableOid = tuple->t_tableOid;
	changed->t_data = (HeapTupleHeader) ((char *) changed + HEAPTUPLESIZE);
	memcpy(changed->t_data, header, header->t_hoff + before);
	memcpy(data + status_at, &status, sizeof(Oid));
	memcpy(data + flag_at, &flag, sizeof(bool));
	if (until)
		memcpy(data + until_at, until, sizeof(TimestampTz));
	for (int i = attachment->status - 1; i < attachment->until; i++)
	{
		if (i < attachment->flag || until)
			changed->t_data->t_bits[i >> 3] |= 1 << (i & 7);
		else
			changed->t_data->t_bits[i >> 3] &= ~(1 << (i & 7));
	}
	HeapTupleHeaderSetDatumLength(changed->t_data, len);
	return changed;
}

/* Of the data that stands before the status; nothing else does where none of the three is there yet. */
static uint32
length_before(const MktAttachment *attachment, HeapTuple tuple, TupleDesc desc)
{
	HeapTupleHeader header = tuple->t_data;

	if (att_isnull(attachment->status - 1, header->t_bits) &&
		att_isnull(attachment->flag - 1, header->t_bits) &&
		att_isnull(attachment->until - 1, header->t_bits))
		return tuple->t_len - header->t_hoff;
	return mkt_data_before(tuple, desc, attachment->status);
}

/*
 * T8: no way down inside a period.  mkt_10_state sees to that; only a trigger
 * that fires after it can have gone around it.
 */
static void
check_not_demoted(const Contact *before, const Contact *after, Relation rel)
{
	TimestampTz now = mkt_now();

	if (SessionReplicationRole != SESSION_REPLICATION_ROLE_REPLICA &&
		mkt_state_at(after->until, now) == MKT_NON_MARKETING &&
		mkt_state_at(before->until, now) != MKT_NON_MARKETING)
		ereport(ERROR,
				errcode(ERRCODE_MKT_DEMOTED_AT_ONCE),
				errmsg("a contact of table %s was made non-marketing at once",
					   mkt_qualified_name(RelationGetRelid(rel))),
				errdetail("A BEFORE trigger that fires after %s changed its marketing columns.",
						  MKT_TRIGGER_STATE),
				errhint("ALTER TRIGGER ... ON %s RENAME TO a name that sorts before %s.",
						mkt_qualified_name(RelationGetRelid(rel)),
						MKT_TRIGGER_STATE));
}
