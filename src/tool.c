/*-------------------------------------------------------------------------
 * tool.c
 *	  What tools create and promote (rules T10, F1).
 *
 * contact.c asks for the default of every contact that is created without a
 * status.  Answers are kept for the session: triggers on the two tables send an
 * invalidation of mkt.tool, which every session hears of before its next
 * statement.  The tables are read with the newest snapshot, as catalogs are.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* The columns of mkt.tool and of mkt.tool_setting. */
#define TOOL_TOOL				1
#define TOOL_CREATED_AS			2
#define TOOL_PROMOTES			3
#define TOOL_FIXED_BECAUSE		4
#define TOOL_SHIPPED			5

#define SETTING_ACCOUNT			1
#define SETTING_TOOL			2
#define SETTING_SOURCE_NAME		3
#define SETTING_CREATED_AS		4

/* Beyond this many answers all are dropped and asked for again. */
#define MAX_ANSWERS 10000

/* What is asked: an account in one table, a tool, a form or app of it. */
typedef struct Question
{
	MktAccountKey account;
	const char *tool;
	const char *source_name;	/* or NULL */
} Question;

typedef struct Answer
{
	Question	question;
	bool		marketing;
	char		status;
} Answer;

static inline uint32
question_hash(const Question *question)
{
	uint32		hash = mkt_account_key_hash(&question->account);

	hash = hash_combine(hash, string_hash(question->tool, strlen(question->tool) + 1));
	if (question->source_name)
		hash = hash_combine(hash, string_hash(question->source_name,
											  strlen(question->source_name) + 1));
	return hash;
}

static inline bool
question_equal(const Question *a, const Question *b)
{
	return strcmp(a->tool, b->tool) == 0 &&
		(a->source_name == NULL) == (b->source_name == NULL) &&
		(a->source_name == NULL || strcmp(a->source_name, b->source_name) == 0) &&
		mkt_account_key_equal(&a->account, &b->account);
}

#define HASH_PREFIX defaults
#define SH_ELEMENT_TYPE Answer
#define SH_KEY_TYPE Question
#define SH_KEY question
#define SH_HASH_KEY(tb, key) question_hash(&key)
#define SH_EQUAL(tb, a, b) question_equal(&a, &b)
#include "hash.h"

static MemoryContext answers_context = NULL;
static defaults_hash * answers = NULL;
static Oid	tool_relid = InvalidOid;	/* whose invalidation ends the answers */
static bool stale = false;

/* What the tables say of a tool and an account. */
typedef struct Default
{
	bool		marketing;
	bool		promotes;
} Default;

static void start_answers(void);
static Default read_default(const char *account, const char *tool,
							const char *source_name);
static bool read_setting(Relation rel, const char *account, const char *tool,
						 const char *source_name, bool *marketing);
static void scan_key(ScanKey key, AttrNumber column, const char *value);
static void check_tool(TriggerData *trigger);
static void check_setting(TriggerData *trigger);
static void refuse(const char *tool, const char *reason);
static char *value_of(HeapTuple tuple, TupleDesc desc, AttrNumber column);
static Default argument_default(FunctionCallInfo fcinfo);
static void forget(Datum arg, Oid relid);

PG_FUNCTION_INFO_V1(mkt_created_as);
PG_FUNCTION_INFO_V1(mkt_promotes);
PG_FUNCTION_INFO_V1(mkt_tool_changed);

/* Whether a tool creates marketing contacts for the account of a new contact. */
bool
mkt_tool_creates_marketing(const MktAttachment *attachment, Datum account,
						   bool isnull, const char *tool, const char *source_name)
{
	Question	question = {
		.account = {
			.count_table = attachment->count_table,
			.len = attachment->account_len,
			.by_value = attachment->account_by_value,
			.isnull = isnull,
			.account = account
		},
		.tool = tool,
		.source_name = source_name
	};
	Answer	   *answer;
	bool		marketing;
	MemoryContext before;

	if (answers && !stale && (answer = defaults_lookup(answers, question)) != NULL)
		return answer->marketing;

	if (answers == NULL || stale || answers->members >= MAX_ANSWERS)
		start_answers();
	marketing = read_default(isnull ? NULL : mkt_account_text(attachment->account_type, account),
							 tool, source_name).marketing;

	before = MemoryContextSwitchTo(answers_context);
	if (!isnull)
		question.account.account = datumCopy(account, question.account.by_value,
											 question.account.len);
	question.tool = pstrdup(tool);
	question.source_name = source_name ? pstrdup(source_name) : NULL;
	MemoryContextSwitchTo(before);
	answer = defaults_insert(answers, question, &(bool) {false});
	answer->marketing = marketing;
	return marketing;
}

/* An invalidation that arrives from here on, while tables are read, ends them again. */
static void
start_answers(void)
{
	if (answers_context == NULL)
		answers_context = AllocSetContextCreate(CacheMemoryContext,
												"mktcontacts tools",
												ALLOCSET_DEFAULT_SIZES);
	answers = NULL;
	MemoryContextReset(answers_context);
	answers = defaults_create(answers_context, 64, NULL);
	tool_relid = mkt_relation("tool");
	stale = false;
}

/* mkt.created_as(account, tool, source_name) */
Datum
mkt_created_as(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	PG_RETURN_OID(mkt_attachment_status(argument_default(fcinfo).marketing));
}

/* mkt.promotes(account, tool, source_name) */
Datum
mkt_promotes(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	PG_RETURN_BOOL(argument_default(fcinfo).promotes);
}

static Default
argument_default(FunctionCallInfo fcinfo)
{
	return read_default(PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0)),
						text_to_cstring(PG_GETARG_TEXT_PP(1)),
						PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2)));
}

/*
 * F1: by account, tool and source name, then by account and tool, then by tool.
 * A setting that makes a tool create non-marketing contacts also keeps it from
 * promoting: who switches marketing off for a form wants no more of it.
 */
static Default
read_default(const char *account, const char *tool, const char *source_name)
{
	Relation	rel = table_open(mkt_relation("tool"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Default		result = {false, false};
	bool		set = false;

	scan_key(&key, TOOL_TOOL, tool);
	scan = systable_beginscan(rel, mkt_relation("tool_pkey"), true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		TupleDesc	desc = RelationGetDescr(rel);
		char	   *promotes = value_of(tuple, desc, TOOL_PROMOTES);
		bool		isnull;
		Relation	settings = table_open(mkt_relation("tool_setting"), AccessShareLock);

		result.marketing =
			mkt_attachment_is_marketing(DatumGetObjectId(heap_getattr(tuple, TOOL_CREATED_AS,
																	  desc, &isnull)));
		if (account)
			set = (source_name && read_setting(settings, account, tool, source_name,
											   &result.marketing)) ||
				read_setting(settings, account, tool, NULL, &result.marketing);
		if (strcmp(promotes, "always") == 0)
			result.promotes = result.marketing || !set;
		else if (strcmp(promotes, "when_marketing") == 0)
			result.promotes = result.marketing;
		table_close(settings, AccessShareLock);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

static bool
read_setting(Relation rel, const char *account, const char *tool,
			 const char *source_name, bool *marketing)
{
	ScanKeyData keys[3];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	scan_key(&keys[0], SETTING_ACCOUNT, account);
	scan_key(&keys[1], SETTING_TOOL, tool);
	if (source_name)
		scan_key(&keys[2], SETTING_SOURCE_NAME, source_name);
	else
		ScanKeyEntryInitialize(&keys[2], SK_ISNULL | SK_SEARCHNULL, SETTING_SOURCE_NAME,
							   InvalidStrategy, InvalidOid, DEFAULT_COLLATION_OID,
							   InvalidOid, (Datum) 0);
	scan = systable_beginscan(rel, mkt_relation("tool_setting_key"), true, NULL,
							  lengthof(keys), keys);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		bool		isnull;

		*marketing =
			mkt_attachment_is_marketing(DatumGetObjectId(heap_getattr(tuple, SETTING_CREATED_AS,
																	  RelationGetDescr(rel),
																	  &isnull)));
	}
	systable_endscan(scan);
	return found;
}

static void
scan_key(ScanKey key, AttrNumber column, const char *value)
{
	ScanKeyEntryInitialize(key, 0, column, BTEqualStrategyNumber, InvalidOid,
						   DEFAULT_COLLATION_OID, F_TEXTEQ, CStringGetTextDatum(value));
}

/* Trigger on mkt.tool and mkt.tool_setting. */
Datum
mkt_tool_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_MKT_WRONG_CALL),
				errmsg("mkt.tool_changed() is the trigger function of mkt.tool and mkt.tool_setting"));
	if (TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
	{
		CacheInvalidateRelcacheByRelid(mkt_relation("tool"));
		return PointerGetDatum(NULL);
	}
	if (RelationGetRelid(trigger->tg_relation) == mkt_relation("tool"))
		check_tool(trigger);
	else
		check_setting(trigger);
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
						   trigger->tg_newtuple : trigger->tg_trigtuple);
}

/* A shipped tool stays, and a fixed default stays as it is. */
static void
check_tool(TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	const AttrNumber fixed[] = {TOOL_TOOL, TOOL_CREATED_AS, TOOL_PROMOTES, TOOL_FIXED_BECAUSE, TOOL_SHIPPED};
	char	   *tool = value_of(trigger->tg_trigtuple, desc, TOOL_TOOL);
	char	   *reason = value_of(trigger->tg_trigtuple, desc, TOOL_FIXED_BECAUSE);
	bool		isnull;

	if (!DatumGetBool(heap_getattr(trigger->tg_trigtuple, TOOL_SHIPPED, desc, &isnull)))
		return;
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_MKT_FIXED_DEFAULT),
				errmsg("tool \"%s\" comes with mktcontacts and cannot be deleted", tool),
				reason ? 0 :
				errhint("UPDATE mkt.tool SET created_as = 'non_marketing', promotes = 'never' WHERE tool = %s;",
						quote_literal_cstr(tool)));
	for (size_t i = 0; i < lengthof(fixed); i++)
	{
		char	   *before = value_of(trigger->tg_trigtuple, desc, fixed[i]);
		char	   *after = value_of(trigger->tg_newtuple, desc, fixed[i]);
		bool		same = before && after ? strcmp(before, after) == 0 : before == after;

		if (same)
			continue;
		if (fixed[i] != TOOL_CREATED_AS && fixed[i] != TOOL_PROMOTES)
			ereport(ERROR,
					errcode(ERRCODE_MKT_FIXED_DEFAULT),
					errmsg("tool \"%s\" comes with mktcontacts and cannot be renamed or made another", tool),
					errhint("INSERT INTO mkt.tool (tool, created_as, promotes) VALUES (...); adds one of your own."));
		if (reason)
			refuse(tool, reason);
	}
}

static void
check_setting(TriggerData *trigger)
{
	HeapTuple	tuple = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
	trigger->tg_newtuple : trigger->tg_trigtuple;
	char	   *tool = value_of(tuple, RelationGetDescr(trigger->tg_relation), SETTING_TOOL);
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	found;
	char	   *reason = NULL;

	if (tool == NULL)
		return;
	rel = table_open(mkt_relation("tool"), AccessShareLock);
	scan_key(&key, TOOL_TOOL, tool);
	scan = systable_beginscan(rel, mkt_relation("tool_pkey"), true, NULL, 1, &key);
	found = systable_getnext(scan);
	if (HeapTupleIsValid(found))
		reason = value_of(found, RelationGetDescr(rel), TOOL_FIXED_BECAUSE);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (reason)
		refuse(tool, reason);
}

static void
refuse(const char *tool, const char *reason)
{
	ereport(ERROR,
			errcode(ERRCODE_MKT_FIXED_DEFAULT),
			errmsg("the default of tool \"%s\" cannot be changed", tool),
			errdetail("%s", reason),
			errhint("Name marketing_status when the contact is created, or SELECT mkt.set_marketing(...) afterwards."));
}

static char *
value_of(HeapTuple tuple, TupleDesc desc, AttrNumber column)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column, desc, &isnull);

	return isnull ? NULL :
		mkt_account_text(TupleDescAttr(desc, column - 1)->atttypid, value);
}

void
mkt_tool_init(void)
{
	CacheRegisterRelcacheCallback(forget, (Datum) 0);
}

static void
forget(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == tool_relid)
		stale = true;
}
