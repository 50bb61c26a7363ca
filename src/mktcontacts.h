/*-------------------------------------------------------------------------
 * mktcontacts.h
 *	  The vocabulary that the files of mktcontacts share.
 *
 * Files stand in levels and call downwards only:
 *
 *	1 state.c update_date.c tier.c csv.c	pure: values in, values out
 *	2 setting.c security.c version.c	settings, whose rights, library and extension
 *	2 attachment.c					what is attached
 *	2 query.c append.c partition.c	commands, rows and partitions of our own tables
 *	2 work.c						scheduled work in steps
 *	2 restore.c shipped.c			rows of a dump; rows that ship and may be changed
 *	3 subscription.c				tables that a logical replication fills
 *	3 account.c tool.c				an account's update dates; what tools create
 *	3 count.c seal.c tally.c		sums per account, as rows
 *	3 batch.c change.c				batches; history
 *	3 satellite.c					the tables for these
 *	3 limit.c watch.c				accounts with a maximum, or a tier
 *	4 contact.c shortcut.c			the triggers, and when they can stay out
 *	4 key.c condition.c tool_use.c	contacts named by key; who may reach them
 *	4 filter.c selection.c choice.c	contacts chosen by what they are
 *	4 hubspot_file.c				a CRM's export as rows (hubspot.h)
 *	5 restrict.c					policies for tools' roles
 *	6 attach.c set_status.c merge.c undo.c history.c explain.c apply.c verify.c drift.c
 *	6 gate.c report.c preview.c quote.c downgrade.c matching.c saved_filter.c list.c
 *	6 hubspot.c hubspot_report.c	what users call
 *	7 review.c						bulk changes in steps
 *	7 enroll.c workflow.c			bulk changes by themselves
 *	8 run.c schedule.c upgrade.c	everything that is due, and when; new versions
 *	9 init.c entry.c				_PG_init; names that version 0.1 has not
 *
 * Numbers such as S1 or T12 in comments are the rules that README explains.
 *-------------------------------------------------------------------------
 */
#ifndef MKTCONTACTS_H
#define MKTCONTACTS_H

#include "postgres.h"

#include "access/attnum.h"
#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "pgtime.h"
#include "storage/itemptr.h"
#include "utils/array.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"
#include "utils/snapshot.h"

/* ---- state.c: the state machine of a contact ---- */

/*
 * There is one number behind every contact, the instant until which it is
 * marketing; -infinity is non-marketing, infinity is marketing.
 */
typedef enum MktState
{
	MKT_NON_MARKETING,			/* successors: MARKETING, PENDING */
	MKT_MARKETING,				/* successor: PENDING (T8: never down at once) */
	MKT_PENDING					/* successors: MARKETING, NON_MARKETING by
								 * time */
} MktState;

/* What a statement asks of a contact. */
typedef enum MktRequest
{
	MKT_ASK_NOTHING,
	MKT_ASK_MARKETING,			/* T1 */
	MKT_ASK_NON_MARKETING,		/* T2 */
	MKT_ASK_UNTIL_NEXT_UPDATE	/* T12: T1 and T2 in one */
} MktRequest;

/* The two columns by which a statement asks, as stored or as supplied. */
typedef struct MktColumns
{
	bool		marketing;		/* marketing_status = 'marketing' */
	bool		flag;			/* marketing_until_next_update */
} MktColumns;

extern MktState mkt_state_at(TimestampTz until, TimestampTz now);
extern MktColumns mkt_state_columns(MktState state);
extern MktRequest mkt_state_request(MktColumns before, MktColumns after);
extern MktState mkt_state_next(MktState state, MktRequest request);

/* ---- update_date.c: when pending contacts become non-marketing ---- */

typedef enum MktCommitment
{
	MKT_ANNUAL,
	MKT_MONTHLY
} MktCommitment;

typedef struct MktCycle
{
	MktCommitment commitment;
	bool		has_start;
	DateADT		started_on;
	pg_tz	   *zone;
} MktCycle;

extern bool mkt_update_date_next(const MktCycle *cycle, TimestampTz after,
								 TimestampTz *result);
extern bool mkt_update_date_next_renewal(const MktCycle *cycle,
										 TimestampTz after,
										 TimestampTz *result);

/* ---- tier.c: how many contacts an account pays for ---- */

extern int64 mkt_tier_increments(int64 included, int64 increment, int64 n);
extern bool mkt_tier_limit(int64 included, int64 increment, int64 n,
						   int64 *limit);

/* ---- csv.c: comma-separated values ---- */

typedef enum MktCsvResult
{
	MKT_CSV_RECORD,
	MKT_CSV_MALFORMED,			/* used covers one line, problem says why */
	MKT_CSV_MORE,				/* the record goes on behind the buffer */
	MKT_CSV_END
} MktCsvResult;

typedef struct MktCsvRecord
{
	int			nfields;
	int			room;
	size_t	   *starts;			/* of the fields, in text */
	StringInfoData text;
	size_t		used;			/* bytes of the buffer */
	int			breaks;			/* line breaks in them */
	const char *problem;
} MktCsvRecord;

extern void mkt_csv_init(MktCsvRecord *record);
extern MktCsvResult mkt_csv_read(const char *data, size_t len, bool at_end,
								 MktCsvRecord *record);
extern char *mkt_csv_field(const MktCsvRecord *record, int field);
extern size_t mkt_csv_first_line(const char *data, size_t len);

/* ---- setting.c ---- */

extern char *mkt_source_type;
extern char *mkt_source_name;
extern char *mkt_batch;
extern int	mkt_workflow_timeout;
extern int	mkt_check_every;

extern TimestampTz mkt_now(void);
extern bool mkt_clock_is_held(void);
extern void mkt_setting_init(void);

/* ---- security.c: with whose rights something runs ---- */

typedef struct MktRights
{
	Oid			user;
	int			context;
} MktRights;

extern Oid	mkt_schema(void);
extern Oid	mkt_relation(const char *name);
extern Oid	mkt_extension_owner(void);
extern Oid	mkt_owner_of(Oid relid);
extern void mkt_check_owner(Oid relid);
extern bool mkt_may_read(Oid relid);
extern void mkt_check_may_read(Oid relid);
extern bool mkt_may_change_for(const char *role);
extern MktRights mkt_act_as(Oid role);
extern MktRights mkt_act_as_reader(Oid relid);
extern void mkt_act_again_as(MktRights rights);
extern void mkt_act_for(Oid role, bool keeps_path, void (*what) (void *arg), void *arg);
extern Oid	mkt_user(void);
extern int	mkt_fix_search_path(void);
extern bool mkt_reads_all(Oid relid);

struct RowSecurityPolicy;
extern bool mkt_policy_is_for(const struct RowSecurityPolicy *policy, Oid role);
extern int	mkt_run_as_extension(const char *query, int nparams, Oid *types,
								 Datum *values, const char *nulls);

/* ---- version.c: whether library and extension are of one version ---- */

extern void mkt_version_check(void);
extern bool mkt_version_is_ours(void);
extern bool mkt_version_script_runs(void);
extern bool mkt_version_is_reached(void);
extern void mkt_version_init(void);

/* ---- attachment.c: what is attached ---- */

/* The columns of an attached table, in the order of its trigger's list. */
typedef struct MktAttachment
{
	Oid			relid;			/* the table whose triggers fire; hash key */
	bool		valid;			/* nothing has changed since it was read */
	bool		filled;			/* it was read to the end */
	Oid			contacts;		/* the attached table: relid or an ancestor */
	Oid			count_table;	/* its counts */
	Oid			history;		/* invalid while it keeps none */
	AttrNumber	account;		/* 0: the whole table belongs to one account */
	Datum		constant_account;	/* then this, as text */
	AttrNumber	status;
	AttrNumber	flag;
	AttrNumber	until;
	AttrNumber	source_type;
	AttrNumber	source_name;
	int			nkeys;
	AttrNumber	keys[INDEX_MAX_KEYS];
	int16		key_len[INDEX_MAX_KEYS];
	bool		key_by_value[INDEX_MAX_KEYS];
	Oid			account_type;
	int16		account_len;
	bool		account_by_value;
	Oid			marketing;		/* mkt.status, as the columns store it */
	Oid			non_marketing;
	MemoryContext context;		/* what the fields above point to */
} MktAttachment;

/* A row of mkt.attachment, for those who go through all of them. */
typedef struct MktAttachedTable
{
	Oid			contacts;
	Oid			count_table;
	bool		counted;		/* its non-marketing contacts are counted */
	bool		filled;			/* already_marketing is done, or was not asked */
	Oid			history;
	Oid			count_history;
	TimestampTz history_since;	/* infinity: it keeps none */
	TimestampTz attached_at;	/* -infinity: it brought marketing contacts */
	int			structure;
} MktAttachedTable;

/*
 * The form of the triggers and tables that mkt.attach() makes.  It grows when a
 * version makes them otherwise; then mkt_attach_renew() brings those that are
 * there to the new form.
 */
#define MKT_STRUCTURE 2

#define MKT_TRIGGER_STATE		"mkt_10_state"
#define MKT_TRIGGER_COUNT		"mkt_80_count"
#define MKT_TRIGGER_RECOUNT		"mkt_85_recount"
#define MKT_TRIGGER_POST		"mkt_90_post"
#define MKT_TRIGGER_TRUNCATE	"mkt_95_truncate"
#define MKT_CONSTRAINT			"mkt_state"

extern MktAttachment *mkt_attachment_of(Oid relid);
extern MktAttachment *mkt_attachment_find(Oid relid);
extern List *mkt_attachment_list(void);
extern MktAttachedTable *mkt_attachment_table(Oid contacts);
extern bool mkt_attachment_is_marketing(Oid status);
extern Oid	mkt_attachment_status(bool marketing);
extern bool mkt_attachment_unique(Relation rel, AttrNumber column);
extern char *mkt_attachment_column(const MktAttachment *attachment,
								   AttrNumber column);
extern char *mkt_qualified_name(Oid relid);
extern void mkt_attachment_init(void);

/* ---- account.c: an account's settings ---- */

extern uint64 mkt_account_settings(void);
extern uint64 mkt_account_read_settings(void);
extern void mkt_account_settings_changed(Relation accounts);
extern TimestampTz mkt_account_next_update(const MktAttachment *attachment,
										   Datum account, bool isnull);
extern TimestampTz mkt_account_update_after(const char *account,
											TimestampTz after);
extern char *mkt_account_text(Oid type, Datum account);
extern void mkt_account_init(void);

/* ---- count.c: sums per account ---- */

/* Before a contact is created, and after it is deleted; null where stored. */
#define MKT_ABSENT (DT_NOBEGIN + 1)

/* How much of an account's count a caller may know. */
typedef enum MktCountKnown
{
	MKT_COUNT_WHOLE,
	MKT_COUNT_PART,				/* row-level security hides it in a table */
	MKT_COUNT_REFUSED			/* he may not read one of the tables */
} MktCountKnown;

/* At so many instants a count can be asked for at once. */
#define MKT_COUNT_INSTANTS 2

extern void mkt_count_move(const MktAttachment *attachment, Datum account,
						   bool isnull, TimestampTz was, TimestampTz until);
extern void mkt_count_keep(const MktAttachment *attachment, Datum account,
						   bool isnull, TimestampTz until);
extern void mkt_count_post(void);
extern void mkt_count_post_many(void);
extern void mkt_count_now(const char *account, TimestampTz now, int64 *billable,
						  int64 *total, int64 *own);
extern void mkt_count_others(const char *account, TimestampTz now,
							 int64 *non_marketing, int64 *deleted);
extern MktCountKnown mkt_count_billable(Datum account_name, bool isnull,
										int ninstants,
										const TimestampTz *instants,
										int64 *billable);
extern Oid	mkt_count_account_type(Oid count_table);
extern void mkt_count_post_all(Oid count_table);
extern void mkt_count_forget(Oid count_table);
extern bool mkt_count_is_ready(Oid count_table);
extern int64 mkt_count_pending(Oid count_table, const char *account,
							   TimestampTz now, TimestampTz except,
							   bool deleted, Snapshot snapshot, Datum *typed);
extern void mkt_count_fold(Oid count_table, int naccounts, const Datum *name,
						   const bool *isnull, const Datum *account);
extern void mkt_count_redate(const MktAttachment *attachment,
							 const char *account, TimestampTz now,
							 TimestampTz next);
extern void mkt_count_keep_all(const MktAttachment *attachment,
							   SPITupleTable *rows, uint64 nrows);
extern void mkt_count_correct(Oid count_table, SPITupleTable *rows,
							  uint64 nrows);
extern void mkt_count_init(void);

/* One account in one table, as a hash key; accounts are compared bytewise. */
typedef struct MktAccountKey
{
	Oid			count_table;
	int16		len;
	bool		by_value;
	bool		isnull;
	Datum		account;
} MktAccountKey;

static inline uint32
mkt_account_key_hash(const MktAccountKey *key)
{
	return key->isnull ? key->count_table :
		key->count_table ^ datum_image_hash(key->account, key->by_value,
											key->len);
}

static inline bool
mkt_account_key_equal(const MktAccountKey *a, const MktAccountKey *b)
{
	return a->count_table == b->count_table && a->isnull == b->isnull &&
		(a->isnull ||
		 datum_image_eq(a->account, b->account, a->by_value, a->len));
}

/* ---- tool.c ---- */

extern bool mkt_tool_creates_marketing(const MktAttachment *attachment,
									   Datum account, bool isnull,
									   const char *tool, const char *source_name);
extern void mkt_tool_init(void);

/* ---- append.c: rows into the extension's own tables ---- */

typedef struct MktAppender MktAppender;

extern Relation mkt_table_open(Oid relid);
extern MktAppender *mkt_append_open(Oid relid);
extern Relation mkt_append_relation(const MktAppender *appender);
extern TupleTableSlot *mkt_append_slot(MktAppender *appender);
extern void mkt_append_row(MktAppender *appender);
extern TupleTableSlot *mkt_append_flush(MktAppender *appender);
extern void mkt_append_index(Oid relid, HeapTuple row);
extern void mkt_append_close(MktAppender *appender);
extern uint32 mkt_data_before(HeapTuple row, TupleDesc desc, AttrNumber column);

/* ---- query.c ---- */

/* Of a query whose plan is kept. */
#define MKT_KEPT_ARGUMENTS 3

extern void mkt_query_run(const char *command,...) pg_attribute_printf(1, 2);
extern void mkt_query_run_rows(SPITupleTable *rows, uint64 nrows);
extern int	mkt_query_read(const char *query, int nargs, Oid *types, Datum *values,
						   const char *nulls, bool read_only);
extern Datum mkt_query_texts(Datum *texts, int n);
extern void mkt_query_return(FunctionCallInfo fcinfo);

/* ---- partition.c: the partitions of a history ---- */

typedef struct MktPartition
{
	Oid			relid;
	TimestampTz from;			/* this and later */
	TimestampTz to;				/* not this */
} MktPartition;

extern MktPartition mkt_partition_for(Oid history, TimestampTz at);
extern List *mkt_partition_before(Oid history, TimestampTz end);
extern Oid	mkt_partition_rest(Oid history);

/* ---- batch.c: what belongs together ---- */

/* What becomes of contacts that are to be set, in the order of reports. */
typedef enum MktOutcome
{
	MKT_CHANGED, MKT_ALREADY, MKT_STAYS_PENDING, MKT_NOT_FOUND, MKT_PARKED,
	MKT_OUTCOMES
} MktOutcome;

extern int64 mkt_batch_current(Oid contacts, bool *is_call);

/* A call that sets contacts of a table. */
typedef struct MktBatchCall
{
	int64		batch;			/* 0: none */
	Oid			contacts;
} MktBatchCall;

extern MktBatchCall mkt_batch_begin(Oid contacts, bool may_join, int64 *batch);
extern void mkt_batch_end(MktBatchCall before);
extern void mkt_batch_report(int64 batch, Oid contacts, bool joined,
							 const char *action, const int64 *outcome,
							 Datum source_type, Datum source_name);

/* Statements under a name; the source is the session's, or empty. */
typedef struct MktStatements
{
	int64		batch;
	Oid			contacts;
	const char *label;
	Oid			role;
	TimestampTz at;
	const char *source_type;
	const char *source_name;
} MktStatements;

extern void mkt_batch_add(const MktStatements *statements, MktOutcome what, int64 n);
extern void mkt_batch_add_now(int64 batch, Oid contacts, MktOutcome what, int64 n);
extern void mkt_batch_fold(void);
extern void mkt_batch_init(void);

/* ---- change.c: history ---- */

/* Who says that a contact is what it is (T11); null where nobody says. */
typedef struct MktSource
{
	Datum		type;			/* text */
	Datum		name;
	bool		type_null;
	bool		name_null;
} MktSource;

/* What happened to a contact. */
typedef struct MktChange
{
	TimestampTz was;			/* marketing until; MKT_ABSENT: not there */
	TimestampTz until;
	Datum		account;		/* after it, or at the end */
	bool		account_null;
	CommandId	command;		/* by which it went to another partition, or
								 * may have come from one; or invalid */
	bool		moved;			/* from this account */
	Datum		from_account;
	bool		from_account_null;
	MktSource	source;
	MktSource	from_source;
	bool		counts_on;		/* deleted, and counts (T13) ... */
	TimestampTz counts_until;	/* ... until then */
} MktChange;

extern void mkt_change_note(const MktAttachment *attachment, TupleTableSlot *contact,
							const MktChange *change);
extern void mkt_change_post(void);
extern bool mkt_change_post_for_reader(void);
extern void mkt_change_unwritten(void (*tell) (const MktStatements *statements, int64 n, void *arg),
								 void *arg);
extern MktSource mkt_change_session_source(void);
extern void mkt_change_init(void);

/* ---- satellite.c: the tables beside a contacts table ---- */

extern void mkt_satellite_create(Oid contacts, AttrNumber account_column, int nkeys,
								 const AttrNumber *keys, MktAttachedTable *table);
extern void mkt_satellite_renew(const MktAttachedTable *table);
extern const char *mkt_satellite_key(int i);
extern char *mkt_satellite_key_text(const MktAttachment *attachment,
									TupleTableSlot *contact);
extern char *mkt_satellite_key_expression(const MktAttachment *attachment);
extern void mkt_satellite_extend(const MktAttachedTable *table, TimestampTz at);
extern void mkt_satellite_expire(const MktAttachedTable *table);
extern void mkt_satellite_truncate(const MktAttachedTable *table);
extern void mkt_satellite_drop(const MktAttachedTable *table);

/* ---- restore.c: rows of a dump ---- */

/* Why mkt.run() recounts a table then. */
#define MKT_RESTORED "rows came from a dump"

extern bool mkt_restore_runs(void);
extern bool mkt_restore_fills(Oid relid);
extern void mkt_restore_note(Oid contacts);

/* ---- limit.c: accounts with a maximum ---- */

extern bool mkt_limit_any(void);
extern void mkt_limit_move(const MktAttachment *attachment, Datum account,
						   bool isnull, TimestampTz was, TimestampTz until);
extern bool mkt_limit_parks(const MktAttachment *attachment, Datum account,
							bool isnull, bool counted_at_once);
extern void mkt_limit_park(const MktAttachment *attachment, TupleTableSlot *contact,
						   Datum account, const MktSource *source);
extern bool mkt_limit_counts_deleted(const MktAttachment *attachment, Datum account,
									 bool isnull);
extern int64 mkt_limit_places(const char *account, int64 billable, int64 asked);
extern void mkt_limit_post(void);
extern void mkt_limit_init(void);

/* ---- work.c: scheduled work in steps ---- */

typedef struct MktWork
{
	bool		commits;		/* called outside a transaction block */
	bool		catches;		/* steps may fail */
	MemoryContext context;		/* that lives as long */
	int64		done;
	int64		failures;
	char	   *error;			/* of the first one */
	int			sqlstate;
} MktWork;

extern bool mkt_work_start(FunctionCallInfo fcinfo);
extern bool mkt_work_step(MktWork *work, void (*step) (void *arg), void *arg);
extern bool mkt_work_step_within(MktWork *work, int milliseconds,
								 void (*step) (void *arg), void *arg);
extern void mkt_work_fail(MktWork *work, const char *message, int sqlstate);
extern void mkt_work_commit(const MktWork *work);

/* ---- watch.c: tiers and notices ---- */

extern void mkt_watch_move(const MktAttachment *attachment, Datum account,
						   bool isnull, TimestampTz was, TimestampTz until);
extern void mkt_watch_look(void);
extern void *mkt_watch_touched(void);
extern void mkt_watch_untouch(void *until_then);
extern void mkt_watch_run(MktWork *work);
extern void mkt_watch_init(void);

/* ---- period.c: closing periods ---- */

extern void mkt_period_run(MktWork *work);

/* ---- contact.c, shortcut.c ---- */

extern void mkt_contact_merging(Oid contacts, Datum key);

/* In a statement's own copy of mkt_10_state's type: the trigger counts, too. */
#define MKT_STATE_COUNTS_TOO	0x4000

extern bool mkt_shortcut_copy(Trigger *state, Relation rel);
extern void mkt_shortcut_init(void);

/* ---- key.c: contacts named by key ---- */

extern void mkt_key_check(const MktAttachment *attachment, bool has_account);
extern void mkt_key_check_one(const MktAttachment *attachment, bool has_account);
extern void mkt_key_check_rights(Oid contacts);
extern char *mkt_key_update_policy(Oid contacts);
extern Datum mkt_key_convert(Datum value, Oid from, Oid to);
extern Datum mkt_key_convert_array(ArrayType *keys, Oid type);
extern Datum mkt_key_account(const MktAttachment *attachment, Datum account);
extern bool mkt_key_needs_account(const MktAttachment *attachment);
extern char *mkt_key_several(const MktAttachment *attachment, Datum key,
							 const char *prefix);
extern char *mkt_key_text(const MktAttachment *attachment, Datum key);
extern bool mkt_key_is_visible(const MktAttachment *attachment,
							   const char *condition, Oid *types, Datum *values,
							   const char *nulls, Datum *its_account, bool *isnull);
extern const char *mkt_key_account_text(const MktAttachment *attachment);
extern const char *mkt_key_account_condition(const MktAttachment *attachment,
											 const char *parameter);
extern char *mkt_key_contact_condition(const MktAttachment *attachment, Datum key,
									   Datum account, Oid *types, Datum *values,
									   char *nulls);

/* ---- condition.c: conditions on contacts, as SQL ---- */

/* What makes a contact unreachable; null: nothing does. */
typedef struct MktConditions
{
	char	   *name;			/* of the table, for error messages */
	char	   *unsubscribed;
	char	   *bounced;
} MktConditions;

extern char *mkt_condition_write(Relation rel, const char *argument,
								 const char *condition, const char *read_as,
								 const char *write_as);
extern char *mkt_condition_argument(FunctionCallInfo fcinfo, int argno,
									const char *argument, Relation rel);
extern MktConditions mkt_condition_read(Oid contacts);
extern char *mkt_condition_refusal(const MktAttachment *attachment,
								   const char *tool);
extern char *mkt_condition_from(const MktAttachment *attachment);
extern void mkt_condition_tell(void *arg);

/* ---- tool_use.c: what tools need (F4) ---- */

typedef struct MktToolNeeds
{
	bool		marketing;
	bool		reachable;
} MktToolNeeds;

extern MktToolNeeds mkt_tool_needs(const char *tool);

/* ---- restrict.c: policies for tools' roles ---- */

extern void mkt_restrict_end(Oid contacts);

/* ---- filter.c: contacts chosen by JSON ---- */

/*
 * A condition on contacts, called c, with its parameters, none of them null.
 * It may be null for a contact, which then is not meant.
 */
typedef struct MktFilter
{
	char	   *condition;
	int			first_param;	/* the number of the first parameter */
	int			nparams;
	Oid		   *types;
	Datum	   *values;
	Oid			run_as;			/* whose rights it needs, then to be narrowed;
								 * invalid: anybody's */
} MktFilter;

extern MktFilter *mkt_filter_new(int first_param);
extern MktFilter *mkt_filter_compile(const MktAttachment *attachment,
									 Jsonb *filter, int first_param);
extern char *mkt_filter_readable(const MktAttachment *attachment,
								 Jsonb *filter);
extern int	mkt_filter_add_param(MktFilter *filter, Oid type, Datum value);
extern void mkt_filter_restrict(MktFilter *filter,
								const MktAttachment *attachment,
								const char *account);

/* ---- selection.c: running filters ---- */

extern MktAttachment *mkt_selection_attachment(Oid contacts);
extern char *mkt_selection_query(const MktAttachment *attachment,
								 const MktFilter *filter, const char *what);
extern void mkt_selection_narrow(MktFilter *filter,
								 const MktAttachment *attachment,
								 const char *account);
extern void mkt_selection_match_keys(MktFilter *filter,
									 const MktAttachment *attachment,
									 Datum keys);
extern Datum mkt_selection_keys(const MktAttachment *attachment,
								const MktFilter *filter,
								const char *condition);
extern void mkt_selection_return_keys(FunctionCallInfo fcinfo,
									  const MktAttachment *attachment,
									  const MktFilter *filter);
extern void mkt_selection_return(FunctionCallInfo fcinfo, const char *query,
								 const MktFilter *filter);

/* ---- saved_filter.c, list.c: contacts chosen by a name ---- */

extern void mkt_saved_filter_check_name(const char *name);
extern void mkt_saved_filter_check_owner(const char *what, const char *name,
										 const char *owner);
extern char *mkt_saved_filter_write(const MktAttachment *attachment,
									const char *condition,
									const char *read_as);
extern void mkt_saved_filter_check(const MktAttachment *attachment,
								   const char *condition, Oid owner);
extern MktFilter *mkt_saved_filter_compile(const MktAttachment *attachment,
										   const char *condition, Oid owner,
										   int first_param);
extern MktFilter *mkt_saved_filter_find(const MktAttachment *attachment,
										const char *account, const char *name,
										int first_param);
extern MktFilter *mkt_list_find(const MktAttachment *attachment,
								const char *account, const char *name,
								int first_param);

/* ---- choice.c: contacts chosen in one of several ways ---- */

/* The arguments that say how, one after the other. */
enum
{
	MKT_CHOICE_FILTER, MKT_CHOICE_SAVED, MKT_CHOICE_LIST, MKT_CHOICE_QUERY,
	MKT_CHOICES
};

extern ArrayType *mkt_choice_keys(FunctionCallInfo fcinfo, int first,
								  const MktAttachment *attachment,
								  const char *account);
extern MktFilter *mkt_choice_saved(const MktAttachment *attachment,
								   const char *account, const char *name);

/* ---- set_status.c ---- */

/* A call that sets contacts whose keys are known. */
typedef struct MktSetCall
{
	const char *action;			/* what mkt.batch says did it */
	bool		marketing;
	MktAttachment *attachment;
	ArrayType  *keys;
	Datum		account;		/* text */
	Datum		source_type;	/* 0: not given */
	Datum		source_name;
	const int64 *expected;		/* NULL: not given */
	int64		outcome[MKT_OUTCOMES];
} MktSetCall;

extern int64 mkt_set_status(MktSetCall *call);

/* ---- workflow.c, enroll.c: workflows ---- */

/* A workflow, in memory of the caller's. */
typedef struct MktWorkflow
{
	int64		workflow;
	Oid			contacts;
	MktAttachment *attachment;	/* NULL: not attached any more */
	char	   *account;
	char	   *name;
	bool		set_to_marketing;
	Jsonb	   *filter;			/* or */
	char	   *condition;
	char	   *owner;
	Oid			owner_oid;		/* invalid: there is no such role any more */
	char	   *state;
} MktWorkflow;

extern MktWorkflow *mkt_workflow_read(int64 workflow, const char *lock);
extern void mkt_workflow_check(MktWorkflow *workflow);
extern int64 mkt_enroll_now(MktWorkflow *workflow, bool pass_over);
extern void mkt_enroll_run(MktWork *work);

/* ---- attach.c ---- */

extern void mkt_attach_renew(const MktAttachedTable *table);

/* ---- apply.c ---- */

extern void mkt_apply_table(const MktAttachedTable *table, MktWork *work);
extern void mkt_apply_fill(const MktAttachedTable *table, MktWork *work);
extern bool mkt_apply_is_there(const MktAttachedTable *table);

/* ---- subscription.c ---- */

extern void mkt_subscription_follow(Oid contacts);
extern bool mkt_subscription_is_unfollowed(Oid contacts);
extern bool mkt_subscription_fills(Oid contacts);

/* ---- verify.c: recounting ---- */

extern void mkt_verify_count(const MktAttachedTable *table);
extern void mkt_verify_compare(const MktAttachedTable *table);
extern void mkt_verify_difference(Oid contacts, SPITupleTable *rows, uint64 i,
								  Datum *values, bool *nulls);
extern void mkt_verify_repair(const MktAttachedTable *table);

/* ---- drift.c: what goes around the triggers ---- */

extern void mkt_drift_start(const MktAttachedTable *table);
extern void mkt_drift_check(const MktAttachedTable *table, MktWork *work);
extern void mkt_drift_mended(const MktAttachedTable *table);
extern void mkt_drift_forget(const MktAttachedTable *table);

#endif							/* MKTCONTACTS_H */
