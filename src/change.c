/*-------------------------------------------------------------------------
 * change.c
 *	  The history of contacts: every change of status, account or existence
 *	  becomes a row (rules T11, P3).
 *
 * The triggers note changes in memory; at the end of the statement, or when many
 * have come together, they are written past the executor into the partition for
 * their instant.
 *
 * A change belongs to the subtransaction that made it and goes when that is
 * rolled back.  Those that an outer level has left unwritten (a statement on a
 * partition itself has no trigger at its end) are written together with an inner
 * level's, because the order of a contact's rows says what it is, and count as
 * unwritten again when the inner level is rolled back.  Levels never fall
 * towards the end of the list.
 *
 * Rows are numbered when they are written, while the transaction holds the locks
 * of all contacts that they are about.  So a contact's rows are numbered in the
 * order in which they happened, whatever the clock says.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/xact.h"
#include "commands/sequence.h"
#include "compat.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* The columns of every history; one for each key column follows. */
#define HIS_CHANGE				1
#define HIS_CHANGED_AT			2
#define HIS_EFFECTIVE_AT		3
#define HIS_WAS					4
#define HIS_UNTIL				5
#define HIS_BATCH				6
#define HIS_ROLE				7
#define HIS_SOURCE_TYPE			8
#define HIS_SOURCE_NAME			9
#define HIS_FROM_SOURCE_TYPE	10
#define HIS_FROM_SOURCE_NAME	11
#define HIS_ACCOUNT				12
#define HIS_MOVED				13
#define HIS_FROM_ACCOUNT		14
#define HIS_COUNTS_UNTIL		15
#define HIS_CONTACT				16

/* So many are written together, and get numbers that follow each other. */
#define MAX_NOTES 1000

/* Room for so many at first: most transactions change few contacts. */
#define FEW_NOTES 8

typedef struct Note
{
	MktChange	change;
	TimestampTz at;
	TimestampTz effective_at;
	Oid			contacts;
	Oid			history;
	Oid			role;
	int64		batch;
	const MktStatements *made_by;	/* null: a call, which reports itself, or
									 * none */
	int			level;
	int			written;		/* the level at which it was; 0: not yet */
	int			nkeys;
	Datum	   *keys;
} Note;

static MemoryContext context = NULL;	/* of the notes' contents */
static Note *notes = NULL;
static int	nnotes = 0;
static const MktStatements *last_made_by = NULL;	/* those of the last note */

/* The command that wrote last, for readers with an older snapshot. */
static LocalTransactionId writer = InvalidLocalTransactionId;
static CommandId written_by;

/* The role that was last written, while rows wait for its name. */
static Oid	named_role;
static Datum name_of_role;

/* The partition that was last written to. */
static Oid	last_history;
static MktPartition last_partition;

static void note_passed(const MktAttachment *attachment, TupleTableSlot *contact,
						const MktChange *change);
static bool leaves_partition(const MktChange *change);
static bool is_instant(TimestampTz until);
static bool is_marketing(TimestampTz until);
static void note_part(const MktAttachment *attachment, TupleTableSlot *contact,
					  const MktChange *change, TimestampTz was, TimestampTz until,
					  TimestampTz effective_at);
static bool joins_last(const MktAttachment *attachment, const Note *note);
static bool is_idle(const Note *note);
static Note *next_note(void);
static Datum copy(Datum value, bool isnull, bool by_value, int16 len);
static const MktStatements *under_label(void);
static void copy_source(MktSource *source, const MktSource *like);
static void write_notes(void);
static bool same_report(const Note *a, const Note *b);
static void count_batch(const Note *note, int64 n);
static MktStatements statements_of(const Note *note);
static MktAppender *open_partition(Oid history, TimestampTz at);
static void write_note(MktAppender *appender, const Note *note, int64 number);
static void set(TupleTableSlot *slot, AttrNumber column, Datum value, bool isnull);
static Datum role_name(Oid role);
static void drop_written(void);

/*
 * Notes what happened to a contact.  Who was not marketing and is not leaves no
 * trace: most contacts of most tables come and go so.  A contact whose instant
 * had passed became non-marketing then, and what the statement did came after
 * it (S1).
 */
void
mkt_change_note(const MktAttachment *attachment, TupleTableSlot *contact,
				const MktChange *change)
{
	TimestampTz was = change->was;
	TimestampTz now = mkt_now();

	if (!OidIsValid(attachment->history))
		return;
	if (is_instant(was) && was <= now)
	{
		note_passed(attachment, contact, change);
		was = DT_NOBEGIN;
	}
	if ((was != change->until || change->moved) &&
		(is_marketing(was) || is_marketing(change->until) || leaves_partition(change)))
		note_part(attachment, contact, change, was, change->until, now);
}

/* What it was until then it was in the account that it was in. */
static void
note_passed(const MktAttachment *attachment, TupleTableSlot *contact,
			const MktChange *change)
{
	MktChange	passed = *change;

	if (change->moved)
	{
		passed.account = change->from_account;
		passed.account_null = change->from_account_null;
		passed.moved = false;
	}
	passed.source = change->from_source;
	note_part(attachment, contact, &passed, change->was, DT_NOBEGIN, change->was);
}

/* A non-marketing contact may be about to arrive in another one as a marketing contact. */
static bool
leaves_partition(const MktChange *change)
{
	return change->until == MKT_ABSENT && change->command != InvalidCommandId;
}

static bool
is_instant(TimestampTz until)
{
	return is_marketing(until) && !TIMESTAMP_IS_NOEND(until);
}

/* Until some instant; neither non-marketing nor absent. */
static bool
is_marketing(TimestampTz until)
{
	return until != MKT_ABSENT && !TIMESTAMP_IS_NOBEGIN(until);
}

/* That an update date has passed is nobody's doing, and no batch's. */
static void
note_part(const MktAttachment *attachment, TupleTableSlot *contact,
		  const MktChange *change, TimestampTz was, TimestampTz until,
		  TimestampTz effective_at)
{
	bool		passed = is_instant(was) && TIMESTAMP_IS_NOBEGIN(until);
	bool		is_call = false;
	int64		batch = passed ? 0 : mkt_batch_current(attachment->contacts, &is_call);
	bool		is_partition = attachment->relid != attachment->contacts;
	Note	   *note;
	MemoryContext before;

	if (nnotes > 0 && is_idle(&notes[nnotes - 1]) && was != MKT_ABSENT)
		nnotes--;
	if (nnotes >= MAX_NOTES &&
		!(was == MKT_ABSENT && leaves_partition(&notes[nnotes - 1].change)))
		write_notes();
	note = next_note();
	before = MemoryContextSwitchTo(context);

	note->change = *change;
	note->change.was = was;
	note->change.until = until;
	note->at = mkt_now();
	note->effective_at = effective_at;
	note->contacts = attachment->contacts;
	note->history = attachment->history;
	note->role = mkt_user();
	note->change.account = copy(change->account, change->account_null,
								attachment->account_by_value, attachment->account_len);
	if (change->moved)
		note->change.from_account = copy(change->from_account, change->from_account_null,
										 attachment->account_by_value, attachment->account_len);
	note->nkeys = attachment->nkeys;
	note->keys = palloc(attachment->nkeys * sizeof(Datum));
	for (int i = 0; i < attachment->nkeys; i++)
	{
		bool		isnull;
		Datum		key = slot_getattr(contact, attachment->keys[i], &isnull);

		note->keys[i] = copy(key, isnull, attachment->key_by_value[i], attachment->key_len[i]);
	}
	copy_source(&note->change.source, &change->source);
	copy_source(&note->change.from_source, &change->from_source);
	note->batch = batch;
	note->made_by = batch && !is_call ? under_label() : NULL;
	note->level = GetCurrentTransactionNestLevel();
	note->written = 0;
	MemoryContextSwitchTo(before);
	nnotes++;
	if (is_partition && joins_last(attachment, note))
		nnotes--;
}

/* A non-marketing contact's end, of which nothing has come. */
static bool
is_idle(const Note *note)
{
	return note->change.until == MKT_ABSENT && !is_marketing(note->change.was);
}

/*
 * A contact that goes to another partition is deleted from one and inserted into
 * the other, one after the other; for its history it has changed.
 * What one command deletes and another inserts is another contact.
 */
static bool
joins_last(const MktAttachment *attachment, const Note *note)
{
	Note	   *last = note == notes ? NULL : &notes[nnotes - 2];

	if (last == NULL || !leaves_partition(&last->change) || note->change.was != MKT_ABSENT ||
		last->change.command != note->change.command ||
		last->history != note->history || last->level != note->level || last->written ||
		last->at != note->at)
		return false;
	for (int i = 0; i < note->nkeys; i++)
		if (!datum_image_eq(last->keys[i], note->keys[i], attachment->key_by_value[i],
							attachment->key_len[i]))
			return false;

	last->change.moved = last->change.account_null != note->change.account_null ||
		(!note->change.account_null &&
		 !datum_image_eq(last->change.account, note->change.account,
						 attachment->account_by_value, attachment->account_len));
	last->change.from_account = last->change.account;
	last->change.from_account_null = last->change.account_null;
	last->change.account = note->change.account;
	last->change.account_null = note->change.account_null;
	last->change.until = note->change.until;
	last->change.source = note->change.source;
	return true;
}

/* The caller counts it when it is whole: an error until then leaves nothing behind. */
static Note *
next_note(void)
{
	static int	room = 0;

	if (context == NULL)
	{
		MemoryContext new = AllocSetContextCreate(TopTransactionContext, "mktcontacts changes",
												  ALLOCSET_DEFAULT_SIZES);

		notes = MemoryContextAlloc(TopTransactionContext, FEW_NOTES * sizeof(Note));
		room = FEW_NOTES;
		nnotes = 0;
		last_made_by = NULL;
		context = new;
	}
	if (nnotes == room)
	{
		notes = repalloc_huge(notes, 2 * room * sizeof(Note));
		room *= 2;
	}
	return &notes[nnotes];
}

static Datum
copy(Datum value, bool isnull, bool by_value, int16 len)
{
	return isnull || by_value ? value : datumCopy(value, by_value, len);
}

/* Rows of one statement mostly have the same source; it is copied once. */
static void
copy_source(MktSource *source, const MktSource *like)
{
	static Datum last;

	if (nnotes == 0)
		last = (Datum) 0;
	if (!like->type_null)
	{
		if (last == (Datum) 0 || !datum_image_eq(last, like->type, false, -1))
			last = datumCopy(like->type, false, -1);
		source->type = last;
	}
	source->name = copy(like->name, like->name_null, false, -1);
}

/* F2: what the session or the transaction says of it. */
MktSource
mkt_change_session_source(void)
{
	MktSource	source = {.type_null = true,.name_null = true};

	if (*mkt_source_type)
	{
		source.type = CStringGetTextDatum(mkt_source_type);
		source.type_null = false;
	}
	if (*mkt_source_type && *mkt_source_name)
	{
		source.name = CStringGetTextDatum(mkt_source_name);
		source.name_null = false;
	}
	return source;
}

/* Rows of one statement share it. */
static const MktStatements *
under_label(void)
{
	MktStatements *statements;

	if (last_made_by && strcmp(last_made_by->label, mkt_batch) == 0 &&
		strcmp(last_made_by->source_type, mkt_source_type) == 0 &&
		strcmp(last_made_by->source_name, mkt_source_name) == 0)
		return last_made_by;
	statements = palloc0(sizeof(MktStatements));
	statements->label = pstrdup(mkt_batch);
	statements->source_type = pstrdup(mkt_source_type);
	statements->source_name = pstrdup(mkt_source_name);
	return last_made_by = statements;
}

/* Writes what has been noted, at the end of a statement and before reading. */
void
mkt_change_post(void)
{
	if (nnotes > 0)
		write_notes();
}

/*
 * The same, for one who reads with a snapshot that he has already.  Returns
 * whether he needs a newer one, in this statement as in the functions that it calls.
 */
bool
mkt_change_post_for_reader(void)
{
	mkt_change_post();
	return writer == mkt_local_transaction() &&
		GetActiveSnapshot()->curcid <= written_by;
}

static void
write_notes(void)
{
	MktAppender *appender = NULL;
	const Note *previous = NULL;
	int64		number = 0;
	int			nnumbers = MAX_NOTES;
	int64		in_batch = 0;
	int			level = GetCurrentTransactionNestLevel();

	named_role = InvalidOid;
	for (int i = 0; i < nnotes; i++)
	{
		Note	   *note = &notes[i];

		if (note->written)
			continue;
		if (is_idle(note))
		{
			note->written = level;
			continue;
		}
		if (previous == NULL || previous->history != note->history || previous->at != note->at)
		{
			if (appender)
				mkt_append_close(appender);
			appender = open_partition(note->history, note->at);
		}
		if (previous && !same_report(previous, note))
		{
			count_batch(previous, in_batch);
			in_batch = 0;
		}
		in_batch++;
		previous = note;
		note->written = level;
		if (appender == NULL)
			continue;			/* dropped together with its contacts */
		if (nnumbers == MAX_NOTES)
		{
			number = nextval_internal(mkt_relation("change_number"), false);
			nnumbers = 0;
		}
		write_note(appender, note, number + nnumbers++);
	}
	if (appender)
		mkt_append_close(appender);
	if (previous)
		count_batch(previous, in_batch);
	writer = mkt_local_transaction();
	written_by = GetCurrentCommandId(false);
	drop_written();
}

/* A partition's statement may stand beside a call under the same label. */
static bool
same_report(const Note *a, const Note *b)
{
	return a->batch == b->batch && a->role == b->role && a->made_by == b->made_by &&
		a->at == b->at;
}

/* Calls that set contacts report themselves. */
static void
count_batch(const Note *note, int64 n)
{
	MktStatements statements = statements_of(note);

	if (note->made_by)
		mkt_batch_add(&statements, MKT_CHANGED, n);
}

static MktStatements
statements_of(const Note *note)
{
	MktStatements statements = {0};

	if (note->made_by)
		statements = *note->made_by;
	statements.batch = note->batch;
	statements.contacts = note->contacts;
	statements.role = note->role;
	statements.at = note->at;
	return statements;
}

/* Tells for each batch what its statements have changed that is not written yet. */
void
mkt_change_unwritten(void (*tell) (const MktStatements *statements, int64 n, void *arg),
					 void *arg)
{
	for (int i = 0; i < nnotes; i++)
	{
		MktStatements statements = statements_of(&notes[i]);

		if (notes[i].made_by && !notes[i].written && !is_idle(&notes[i]))
			tell(&statements, 1, arg);
	}
}

static MktAppender *
open_partition(Oid history, TimestampTz at)
{
	MktAppender *appender = NULL;

	if (last_history == history && at >= last_partition.from && at < last_partition.to)
		appender = mkt_append_open(last_partition.relid);
	if (appender == NULL)
	{
		last_partition = mkt_partition_for(history, at);
		last_history = history;
		appender = mkt_append_open(last_partition.relid);
	}
	return appender;
}

static void
write_note(MktAppender *appender, const Note *note, int64 number)
{
	TupleTableSlot *slot = mkt_append_slot(appender);
	const MktChange *change = &note->change;

	set(slot, HIS_CHANGE, Int64GetDatum(number), false);
	set(slot, HIS_CHANGED_AT, TimestampTzGetDatum(note->at), false);
	set(slot, HIS_EFFECTIVE_AT, TimestampTzGetDatum(note->effective_at), false);
	set(slot, HIS_WAS, TimestampTzGetDatum(change->was), change->was == MKT_ABSENT);
	set(slot, HIS_UNTIL, TimestampTzGetDatum(change->until), change->until == MKT_ABSENT);
	set(slot, HIS_BATCH, Int64GetDatum(note->batch), note->batch == 0);
	set(slot, HIS_ROLE, role_name(note->role), false);
	set(slot, HIS_SOURCE_TYPE, change->source.type, change->source.type_null);
	set(slot, HIS_SOURCE_NAME, change->source.name, change->source.name_null);
	set(slot, HIS_FROM_SOURCE_TYPE, change->from_source.type, change->from_source.type_null);
	set(slot, HIS_FROM_SOURCE_NAME, change->from_source.name, change->from_source.name_null);
	set(slot, HIS_ACCOUNT, change->account, change->account_null);
	set(slot, HIS_MOVED, BoolGetDatum(change->moved), false);
	set(slot, HIS_FROM_ACCOUNT, change->from_account,
		!change->moved || change->from_account_null);
	set(slot, HIS_COUNTS_UNTIL, TimestampTzGetDatum(change->counts_until),
		!change->counts_on);
	for (int i = 0; i < note->nkeys; i++)
		set(slot, HIS_CONTACT + i, note->keys[i], false);
	mkt_append_row(appender);
}

static void
set(TupleTableSlot *slot, AttrNumber column, Datum value, bool isnull)
{
	slot->tts_values[column - 1] = value;
	slot->tts_isnull[column - 1] = isnull;
}

/* The name of a role as text.  One name serves the rows that follow each other. */
static Datum
role_name(Oid role)
{
	if (role != named_role)
	{
		named_role = InvalidOid;
		name_of_role = CStringGetTextDatum(GetUserNameFromId(role, false));
		named_role = role;
	}
	return name_of_role;
}

/* What was written at its own level is done with. */
static void
drop_written(void)
{
	int			left = 0;

	for (int i = 0; i < nnotes; i++)
		if (!notes[i].written || notes[i].written > notes[i].level)
			notes[left++] = notes[i];
	nnotes = left;
	if (nnotes == 0)
	{
		MemoryContextReset(context);
		last_made_by = NULL;
	}
}

static void
end_of_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			if (nnotes > 0)
			{
				PushActiveSnapshot(GetTransactionSnapshot());	/* who writes has one */
				write_notes();
				PopActiveSnapshot();
			}
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			/* their memory goes with the transaction's */
			context = NULL;
			nnotes = 0;
			break;
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
			break;
	}
}

static void
end_of_subtransaction(SubXactEvent event, SubTransactionId child,
					  SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (nnotes == 0)
		return;
	switch (event)
	{
		case SUBXACT_EVENT_COMMIT_SUB:
			for (int i = 0; i < nnotes; i++)
			{
				notes[i].level = Min(notes[i].level, level - 1);
				notes[i].written = Min(notes[i].written, level - 1);
			}
			drop_written();
			break;
		case SUBXACT_EVENT_ABORT_SUB:
			while (nnotes > 0 && notes[nnotes - 1].level >= level)
				nnotes--;
			for (int i = 0; i < nnotes; i++)
				if (notes[i].written >= level)
					notes[i].written = 0;
			break;
		case SUBXACT_EVENT_START_SUB:
		case SUBXACT_EVENT_PRE_COMMIT_SUB:
			break;
	}
}

static void
forget_partition(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == last_history || relid == last_partition.relid)
		last_history = InvalidOid;
}

void
mkt_change_init(void)
{
	RegisterXactCallback(end_of_transaction, NULL);
	RegisterSubXactCallback(end_of_subtransaction, NULL);
	CacheRegisterRelcacheCallback(forget_partition, (Datum) 0);
}
