/*-------------------------------------------------------------------------
 * preview.c
 *	  mkt.preview_set_marketing() and mkt.preview_set_non_marketing(): what
 *	  set_status.c would do, and what it would cost (rule W6).
 *
 * One query counts the asked contacts by account and instant, with the caller's
 * rights.  The state machine says what becomes of each kind of them, and so by
 * how much the counts of their accounts change; the counts are those of
 * mkt.billable(), and mkt.preview_tiers() knows tiers and prices.  Nothing is
 * written or locked, so that it works on a hot standby, too.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "catalog/pg_type.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* The moments of which a preview tells. */
enum
{
	BEFORE, AFTER, AFTER_UPDATE, MOMENTS
};

/* The columns of mkt.preview. */
enum
{
	COL_ACCOUNT,
	COL_OUTCOME,
	COL_BILLABLE = COL_OUTCOME + MKT_OUTCOMES,
	COL_TIER = COL_BILLABLE + MOMENTS,
	COL_PRICE = COL_TIER + MOMENTS,
	COL_CURRENCY = COL_PRICE + MOMENTS,
	COL_NEXT_UPDATE,
	COLUMNS
};

typedef struct Call
{
	MktRequest	request;
	const char *function;
	MktAttachment *attachment;
	ArrayType  *keys;
	Datum		account;		/* text; 0 where not given */
	TimestampTz now;
} Call;

/* What becomes of an account; the line without one has the keys not found, too. */
typedef struct Line
{
	char	   *account;
	int64		outcome[MKT_OUTCOMES];
	bool		touched;		/* it has contacts among those asked for */
	MktCountKnown known;
	TimestampTz next_update;
	int64		billable[MOMENTS];
} Line;

static Datum preview(FunctionCallInfo fcinfo, Call *call);
static Datum preview_chosen(FunctionCallInfo fcinfo, Call *call);
static void check_call(FunctionCallInfo fcinfo, Call *call, int account);
static void return_preview(FunctionCallInfo fcinfo, Call *call);
static List *make_lines(const Call *call);
static void name_account(const Call *call, List **lines);
static void read_states(const Call *call);
static char *build_query(const Call *call);
static const char *visible_contacts(const MktAttachment *attachment);
static Line *new_line(const Call *call, char *account);
static void add_contacts(const Call *call, Line *line, TimestampTz until, int64 n);
static void count_account(const Call *call, Line *line);
static void keep_maximum(Line *line, int64 billable);
static void read_tiers(const Call *call, List *lines);
static SPIPlanPtr tiers_plan(void);
static void return_lines(FunctionCallInfo fcinfo, List *lines);

PG_FUNCTION_INFO_V1(mkt_preview_set_marketing);
PG_FUNCTION_INFO_V1(mkt_preview_set_non_marketing);
PG_FUNCTION_INFO_V1(mkt_preview_set_marketing_chosen);
PG_FUNCTION_INFO_V1(mkt_preview_set_non_marketing_chosen);

/* mkt.preview_set_marketing(contacts, keys, account) */
Datum
mkt_preview_set_marketing(PG_FUNCTION_ARGS)
{
	Call		call = {
		.request = MKT_ASK_MARKETING,.function = "preview_set_marketing"
	};

	return preview(fcinfo, &call);
}

/* mkt.preview_set_non_marketing(the same) */
Datum
mkt_preview_set_non_marketing(PG_FUNCTION_ARGS)
{
	Call		call = {
		.request = MKT_ASK_NON_MARKETING,.function = "preview_set_non_marketing"
	};

	return preview(fcinfo, &call);
}

static Datum
preview(FunctionCallInfo fcinfo, Call *call)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("contacts and keys must not be null"),
				errhint("SELECT * FROM mkt.%s('crm.contact', ARRAY[7, 8, 9]);",
						call->function));
	call->attachment = mkt_attachment_of(PG_GETARG_OID(0));
	call->keys = PG_GETARG_ARRAYTYPE_P(1);
	check_call(fcinfo, call, 2);
	return_preview(fcinfo, call);
	return (Datum) 0;
}

/* mkt.preview_set_marketing(contacts, filter, saved_filter, list, query, account) */
Datum
mkt_preview_set_marketing_chosen(PG_FUNCTION_ARGS)
{
	Call		call = {.request = MKT_ASK_MARKETING};

	return preview_chosen(fcinfo, &call);
}

/* mkt.preview_set_non_marketing(the same) */
Datum
mkt_preview_set_non_marketing_chosen(PG_FUNCTION_ARGS)
{
	Call		call = {.request = MKT_ASK_NON_MARKETING};

	return preview_chosen(fcinfo, &call);
}

static Datum
preview_chosen(FunctionCallInfo fcinfo, Call *call)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("contacts must not be null"));
	call->attachment = mkt_selection_attachment(PG_GETARG_OID(0));
	check_call(fcinfo, call, 1 + MKT_CHOICES);
	call->keys = mkt_choice_keys(fcinfo, 1, call->attachment,
								 call->account ? TextDatumGetCString(call->account) : NULL);
	return_preview(fcinfo, call);
	return (Datum) 0;
}

/* Whose contacts are meant, and whether the caller may do what is previewed. */
static void
check_call(FunctionCallInfo fcinfo, Call *call, int account)
{
	call->account = PG_ARGISNULL(account) ? (Datum) 0 :
		mkt_key_account(call->attachment, PG_GETARG_DATUM(account));
	mkt_key_check_rights(call->attachment->contacts);
	mkt_key_check(call->attachment, call->account != (Datum) 0);
}

static void
return_preview(FunctionCallInfo fcinfo, Call *call)
{
	List	   *lines;

	call->now = mkt_now();
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	lines = make_lines(call);
	read_tiers(call, lines);
	return_lines(fcinfo, lines);
	SPI_finish();
}

/* Makes a line of each account's rows, which come one after the other. */
static List *
make_lines(const Call *call)
{
	List	   *lines = NIL;
	Line	   *line = NULL;
	SPITupleTable *states;
	uint64		nstates;
	ListCell   *cell;

	read_states(call);
	states = SPI_tuptable;
	nstates = SPI_processed;
	for (uint64 i = 0; i < nstates; i++)
	{
		HeapTuple	row = states->vals[i];
		char	   *account = SPI_getvalue(row, states->tupdesc, 1);
		bool		no_contact;
		bool		isnull;
		TimestampTz until =
		DatumGetTimestampTz(SPI_getbinval(row, states->tupdesc, 2, &no_contact));
		int64		n = DatumGetInt64(SPI_getbinval(row, states->tupdesc, 3, &isnull));

		if (line == NULL || (line->account == NULL) != (account == NULL) ||
			(account && strcmp(line->account, account) != 0))
			lines = lappend(lines, line = new_line(call, account));
		if (no_contact)
			line->outcome[MKT_NOT_FOUND] = n;
		else
			add_contacts(call, line, until, n);
	}
	SPI_freetuptable(states);
	name_account(call, &lines);
	foreach(cell, lines)
		count_account(call, lfirst(cell));
	return lines;
}

/* An account that the caller names has a line, even when none of its contacts is meant. */
static void
name_account(const Call *call, List **lines)
{
	char	   *account;
	ListCell   *cell;

	if (!call->account)
		return;
	account = TextDatumGetCString(call->account);
	foreach(cell, *lines)
	{
		Line	   *line = lfirst(cell);

		if (line->account && strcmp(line->account, account) == 0)
			return;
	}
	*lines = lcons(new_line(call, account), *lines);
	((Line *) linitial(*lines))->touched = true;
}

static void
read_states(const Call *call)
{
	const MktAttachment *attachment = call->attachment;
	Oid			key_type = get_atttype(attachment->relid, attachment->keys[0]);
	Oid			types[] = {get_array_type(key_type), attachment->account_type};
	Datum		values[] = {
		mkt_key_convert_array(call->keys, key_type),
		call->account ? mkt_key_convert(call->account, TEXTOID, attachment->account_type) : (Datum) 0
	};

	if (SPI_execute_with_args(build_query(call), lengthof(types), types, values,
							  call->account ? "  " : " n", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read contacts' status");
}

/*
 * Account, "marketing until" and number of the contacts asked for; at the end,
 * without the first two, the number of keys that were not found, if there are
 * such.  $1 keys, $2 account.
 */
static char *
build_query(const Call *call)
{
	const MktAttachment *attachment = call->attachment;
	const char *key = mkt_attachment_column(attachment, attachment->keys[0]);
	const char *status = mkt_attachment_column(attachment, attachment->status);
	const char *until = mkt_attachment_column(attachment, attachment->until);
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfo(&query,
					 "WITH asked AS MATERIALIZED ("
					 "SELECT DISTINCT k FROM pg_catalog.unnest($1) AS k"
					 "), found AS MATERIALIZED ("
					 "SELECT (%s)::pg_catalog.text COLLATE pg_catalog.\"C\" AS account, "
					 "CASE WHEN c.%s OPERATOR(pg_catalog.=) 'marketing' "
					 "THEN COALESCE(c.%s, 'infinity'::pg_catalog.timestamptz) "
					 "ELSE '-infinity'::pg_catalog.timestamptz END AS until, pg_catalog.count(*) AS n "
					 "FROM %s AS c JOIN asked AS a ON c.%s OPERATOR(pg_catalog.=) a.k%s GROUP BY 1, 2"
					 "), ",
					 mkt_key_account_text(attachment), status, until,
					 visible_contacts(attachment), key,
					 call->account ? mkt_key_account_condition(attachment, "$2") : "");
	appendStringInfoString(&query,
						   "missing AS ("
						   "SELECT ((SELECT pg_catalog.count(*) FROM asked) OPERATOR(pg_catalog.-) "
						   "COALESCE((SELECT pg_catalog.sum(n) FROM found), 0))::pg_catalog.int8 AS n"
						   ") "
						   "SELECT s.account, s.until, s.n FROM ("
						   "SELECT account, until, n FROM found "
						   "UNION ALL SELECT NULL, NULL, n FROM missing WHERE n OPERATOR(pg_catalog.<>) 0"
						   ") AS s ORDER BY s.account COLLATE pg_catalog.\"C\", s.until");
	return query.data;
}

/* Those that the caller may read and update. */
static const char *
visible_contacts(const MktAttachment *attachment)
{
	const char *name = mkt_qualified_name(attachment->contacts);
	const char *policy = mkt_key_update_policy(attachment->contacts);

	if (policy == NULL)
		return name;
	return psprintf("(SELECT %s%s%s, %s, %s FROM %s WHERE %s)",
					attachment->account ? mkt_attachment_column(attachment, attachment->account) : "",
					attachment->account ? ", " : "",
					mkt_attachment_column(attachment, attachment->keys[0]),
					mkt_attachment_column(attachment, attachment->status),
					mkt_attachment_column(attachment, attachment->until),
					name, policy);
}

static Line *
new_line(const Call *call, char *account)
{
	Line	   *line = palloc0(sizeof(Line));

	line->account = account;
	line->next_update = mkt_account_update_after(account, call->now);
	return line;
}

/* Contacts of one state: the changes of the counts, to begin with (S2). */
static void
add_contacts(const Call *call, Line *line, TimestampTz until, int64 n)
{
	MktState	before = mkt_state_at(until, call->now);
	MktState	after = mkt_state_next(before, call->request);
	TimestampTz new_until = until;

	line->touched = true;
	if (before == after)
	{
		line->outcome[after == MKT_PENDING ? MKT_STAYS_PENDING : MKT_ALREADY] += n;
		return;
	}
	line->outcome[MKT_CHANGED] += n;
	new_until = after == MKT_MARKETING ? DT_NOEND : line->next_update;
	line->billable[AFTER] += n * ((new_until > call->now) - (until > call->now));
	line->billable[AFTER_UPDATE] +=
		n * ((new_until > line->next_update) - (until > line->next_update));
}

static void
count_account(const Call *call, Line *line)
{
	TimestampTz instants[] = {call->now, line->next_update};
	int64		counts[lengthof(instants)];
	MemoryContext context;
	MemoryContext before;

	if (!line->touched)
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "mktcontacts count of an account",
									ALLOCSET_DEFAULT_SIZES);
	before = MemoryContextSwitchTo(context);
	line->known = mkt_count_billable(line->account ? CStringGetTextDatum(line->account) : (Datum) 0,
									 line->account == NULL, lengthof(instants), instants,
									 counts);
	MemoryContextSwitchTo(before);
	MemoryContextDelete(context);
	CHECK_FOR_INTERRUPTS();

	keep_maximum(line, counts[0]);
	line->billable[BEFORE] = counts[0];
	line->billable[AFTER] += counts[0];
	line->billable[AFTER_UPDATE] += counts[1];
}

/* B8: what goes over the account's maximum is an error or parked, as the call's would be. */
static void
keep_maximum(Line *line, int64 billable)
{
	int64		asked = line->billable[AFTER];
	int64		parked;

	if (line->account == NULL || asked <= 0)
		return;
	parked = asked - mkt_limit_places(line->account, billable, asked);
	line->outcome[MKT_CHANGED] -= parked;
	line->outcome[MKT_PARKED] += parked;
	line->billable[AFTER] -= parked;
	line->billable[AFTER_UPDATE] -= parked;
}

/*
 * Asks for the tiers of all lines at once, as the extension's owner: what an
 * account pays is told to those who may change its contacts.  A line has MOMENTS
 * rows in the result.
 */
static void
read_tiers(const Call *call, List *lines)
{
	int			n = list_length(lines) * MOMENTS;
	Datum	   *accounts = palloc(n * sizeof(Datum));
	Datum	   *counts = palloc(n * sizeof(Datum));
	Datum	   *instants = palloc(n * sizeof(Datum));
	bool	   *nulls = palloc(n * sizeof(bool));
	Datum		values[3];
	MktRights	rights;

	for (int i = 0; i < n; i++)
	{
		const Line *line = list_nth(lines, i / MOMENTS);
		int			moment = i % MOMENTS;

		nulls[i] = line->account == NULL;
		accounts[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(line->account);
		counts[i] = Int64GetDatum(line->billable[moment]);
		instants[i] = TimestampTzGetDatum(moment == AFTER_UPDATE ? line->next_update : call->now);
	}
	values[0] = PointerGetDatum(construct_md_array(accounts, nulls, 1, &n, &(int) {1}, TEXTOID,
												   -1, false, TYPALIGN_INT));
	values[1] = PointerGetDatum(construct_array(counts, n, INT8OID, sizeof(int64),
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[2] = PointerGetDatum(construct_array(instants, n, TIMESTAMPTZOID, sizeof(TimestampTz),
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	rights = mkt_act_as(mkt_extension_owner());
	if (SPI_execute_plan(tiers_plan(), values, NULL, true, 0) != SPI_OK_SELECT ||
		SPI_processed != (uint64) n)
		elog(ERROR, "could not read tiers");
	mkt_act_again_as(rights);
}

/* Planning it takes longer than answering it. */
static SPIPlanPtr
tiers_plan(void)
{
	static SPIPlanPtr plan = NULL;

	if (plan == NULL)
	{
		Oid			types[] = {
			TEXTARRAYOID, INT8ARRAYOID, get_array_type(TIMESTAMPTZOID)
		};
		int			nestlevel = mkt_fix_search_path();

		plan = SPI_prepare("SELECT t.tier, t.price, t.currency FROM mkt.preview_tiers($1, $2, $3) AS t",
						   lengthof(types), types);
		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare to read tiers");
		AtEOXact_GUC(false, nestlevel);
	}
	return plan;
}

static void
return_lines(FunctionCallInfo fcinfo, List *lines)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	for (int i = 0; i < list_length(lines); i++)
	{
		const Line *line = list_nth(lines, i);
		bool		hides_count = !line->touched || line->known == MKT_COUNT_REFUSED;
		bool		hides_tier = !line->touched || line->known != MKT_COUNT_WHOLE;
		Datum		values[COLUMNS];
		bool		nulls[COLUMNS] = {false};

		nulls[COL_ACCOUNT] = line->account == NULL;
		if (line->account)
			values[COL_ACCOUNT] = CStringGetTextDatum(line->account);
		for (int j = 0; j < MKT_OUTCOMES; j++)
			values[COL_OUTCOME + j] = Int64GetDatum(line->outcome[j]);
		for (int j = 0; j < MOMENTS; j++)
		{
			HeapTuple	row = SPI_tuptable->vals[i * MOMENTS + j];

			values[COL_BILLABLE + j] = Int64GetDatum(line->billable[j]);
			nulls[COL_BILLABLE + j] = hides_count;
			values[COL_TIER + j] = SPI_getbinval(row, SPI_tuptable->tupdesc, 1,
												 &nulls[COL_TIER + j]);
			nulls[COL_TIER + j] |= hides_tier;
			values[COL_PRICE + j] = SPI_getbinval(row, SPI_tuptable->tupdesc, 2,
												  &nulls[COL_PRICE + j]);
			nulls[COL_PRICE + j] |= hides_tier;
			values[COL_CURRENCY] = SPI_getbinval(row, SPI_tuptable->tupdesc, 3,
												 &nulls[COL_CURRENCY]);
		}
		nulls[COL_CURRENCY] |= hides_tier;
		values[COL_NEXT_UPDATE] = TimestampTzGetDatum(line->next_update);
		nulls[COL_NEXT_UPDATE] = !line->touched;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}
