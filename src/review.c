/*-------------------------------------------------------------------------
 * review.c
 *	  Reviews: marketing contacts of an account that are selected in steps, and
 *	  then set as non-marketing at once (rules W3 to W6).
 *
 * Each step keeps the keys that it has taken; the selection is their union, so
 * that a step can be taken back.  The contacts are looked for with the caller's
 * rights, and again when the review is applied, which is what
 * mkt.set_non_marketing() does with keys.  The summary is its preview.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#define UNENGAGED "unengaged"

/* What may stand before JSON. */
#define JSON_SPACE " \t\n\r"

/* With that of the review. */
#define MAX_PARAMS 6

/* The columns of mkt.review_summary() that are worked out here. */
enum
{
	COL_BILLABLE = 1, COL_NON_MARKETING,
	COL_BILLABLE_AFTER = 8, COL_NON_MARKETING_AFTER,
	COLUMNS = 16
};

/* A review of the caller's, and what it is about. */
typedef struct Review
{
	int64		review;
	Oid			contacts;
	MktAttachment *attachment;
	char	   *account;
	char	   *state;
	int64		batch;			/* when it is applied */
	TimestampTz closed_at;
	Oid			key_type;
	Oid			keys_type;		/* an array of it */
	bool		reads_only;		/* in the snapshot of the caller's statement */
} Review;

static Review find_open(FunctionCallInfo fcinfo, bool reads_only);
static Review find_review(FunctionCallInfo fcinfo, bool reads_only);
static void check_owner(const Review *review, const char *role);
static void find_contacts(Review *review);
static void check_open(const Review *review);
static void check_not_null(FunctionCallInfo fcinfo, int argno, const char *name);
static Datum propose_filter(FunctionCallInfo fcinfo, Jsonb *json);
static Datum propose(FunctionCallInfo fcinfo, const Review *review,
					 const char *proposal, MktFilter *filter);
static const char *is_marketing(const MktAttachment *attachment,
								const char *table);
static Datum unengaged_keys(const Review *review);
static Datum decide(FunctionCallInfo fcinfo, const Review *review,
					const char *proposal, Datum keys, bool take);
static Datum number_step(const Review *review, const char *proposal);
static Datum selected_keys(const Review *review, int64 *n);
static void name_review(void *arg);
static bool count_others(const Review *review, int64 *non_marketing, int64 *deleted);
static void close_review(const Review *review, const char *state);
static void run(const Review *review, const char *query, int nparams,
				Oid *types, Datum *values);
static int64 count(const Review *review, const char *query, int nparams,
				   Oid *types, Datum *values);
static Datum finish_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls);

PG_FUNCTION_INFO_V1(mkt_open_review);
PG_FUNCTION_INFO_V1(mkt_review_unengaged);
PG_FUNCTION_INFO_V1(mkt_review_filter);
PG_FUNCTION_INFO_V1(mkt_review_saved_filter);
PG_FUNCTION_INFO_V1(mkt_review_list);
PG_FUNCTION_INFO_V1(mkt_review_summary);
PG_FUNCTION_INFO_V1(mkt_apply_review);
PG_FUNCTION_INFO_V1(mkt_abandon_review);

/* mkt.open_review(contacts, account) */
Datum
mkt_open_review(PG_FUNCTION_ARGS)
{
	Oid			types[] = {OIDOID, TEXTOID, NAMEOID};
	Datum		values[lengthof(types)];
	MktAttachment *attachment;
	int64		review;
	bool		isnull;

	check_not_null(fcinfo, 0, "contacts");
	attachment = mkt_selection_attachment(PG_GETARG_OID(0));
	if (PG_ARGISNULL(1) && attachment->account)
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("a review is of one account"),
				errhint("SELECT mkt.open_review(%s, '42');",
						quote_literal_cstr(mkt_qualified_name(attachment->contacts))));
	values[0] = PG_GETARG_DATUM(0);
	values[1] = PG_ARGISNULL(1) ? attachment->constant_account :
		mkt_key_account(attachment, PG_GETARG_DATUM(1));
	values[2] = DirectFunctionCall1(namein, CStringGetDatum(GetUserNameFromId(GetUserId(), false)));
	mkt_key_check(attachment, true);

	SPI_connect();
	if (mkt_run_as_extension("INSERT INTO mkt.review (contacts, account, opened_by, opened_at) "
							 "VALUES ($1, $2, $3, mkt.now()) RETURNING review",
							 lengthof(types), types, values, NULL) != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "could not open a review");
	review = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	PG_RETURN_INT64(review);
}

/* mkt.review_unengaged(review, take) */
Datum
mkt_review_unengaged(PG_FUNCTION_ARGS)
{
	Review		review;

	SPI_connect();
	review = find_open(fcinfo, false);
	return decide(fcinfo, &review, UNENGAGED, unengaged_keys(&review),
				  PG_ARGISNULL(1) || PG_GETARG_BOOL(1));
}

/* mkt.review_filter(review, filter jsonb, take) */
Datum
mkt_review_filter(PG_FUNCTION_ARGS)
{
	check_not_null(fcinfo, 1, "filter");
	return propose_filter(fcinfo, PG_GETARG_JSONB_P(1));
}

/* mkt.review_filter(review, filter text, take): a name, or JSON as text */
Datum
mkt_review_saved_filter(PG_FUNCTION_ARGS)
{
	Review		review;
	char	   *name;

	check_not_null(fcinfo, 1, "filter");
	name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (name[strspn(name, JSON_SPACE)] == '{')
		return propose_filter(fcinfo, DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(name))));
	SPI_connect();
	review = find_open(fcinfo, false);
	return propose(fcinfo, &review, psprintf("filter %s", name),
				   mkt_choice_saved(review.attachment, review.account, name));
}

/* mkt.review_list(review, list, take) */
Datum
mkt_review_list(PG_FUNCTION_ARGS)
{
	Review		review;
	char	   *name;

	check_not_null(fcinfo, 1, "list");
	name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	SPI_connect();
	review = find_open(fcinfo, false);
	return propose(fcinfo, &review, psprintf("list %s", name),
				   mkt_list_find(review.attachment, review.account, name, 1));
}

/* mkt.review_summary(review) */
Datum
mkt_review_summary(PG_FUNCTION_ARGS)
{
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS];
	Review		review;
	Oid			types[] = {OIDOID, InvalidOid, TEXTOID, INT8OID};
	Datum		args[lengthof(types)];
	int64		selected;
	int64		non_marketing;
	int64		deleted;

	SPI_connect();
	review = find_open(fcinfo, true);
	types[1] = review.keys_type;
	args[0] = ObjectIdGetDatum(review.contacts);
	args[1] = selected_keys(&review, &selected);
	args[2] = CStringGetTextDatum(review.account);
	args[3] = Int64GetDatum(selected);
	if (SPI_execute_with_args("SELECT account, billable_before, NULL::pg_catalog.int8, $4, changed, already, pending, "
							  "$4 OPERATOR(pg_catalog.-) changed OPERATOR(pg_catalog.-) already OPERATOR(pg_catalog.-) pending, "
							  "billable_after_update, NULL::pg_catalog.int8, tier_before, tier_after_update, "
							  "price_before, price_after_update, currency, next_update "
							  "FROM mkt.preview_set_non_marketing($1, $2, $3) WHERE account IS NOT NULL",
							  lengthof(types), types, args, NULL, true, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not preview a review");
	heap_deform_tuple(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, values, nulls);
	if (count_others(&review, &non_marketing, &deleted))
	{
		nulls[COL_NON_MARKETING] = nulls[COL_NON_MARKETING_AFTER] = false;
		values[COL_NON_MARKETING] =
			Int64GetDatum(non_marketing);
		values[COL_NON_MARKETING_AFTER] =
			Int64GetDatum(non_marketing + DatumGetInt64(values[COL_BILLABLE]) - deleted -
						  DatumGetInt64(values[COL_BILLABLE_AFTER]));
	}
	return finish_row(fcinfo, values, nulls);
}

/* mkt.apply_review(review, expected) */
Datum
mkt_apply_review(PG_FUNCTION_ARGS)
{
	Datum		values[1 + MKT_OUTCOMES];
	bool		nulls[1 + MKT_OUTCOMES] = {false};
	int64		outcome[MKT_OUTCOMES] = {0};
	int64		expected = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT64(1);
	Review		review;
	int64		selected;

	SPI_connect();
	review = find_review(fcinfo, false);
	if (strcmp(review.state, "applied") == 0)
		ereport(NOTICE,
				errmsg("review %lld was applied at %s",
					   (long long) review.review, timestamptz_to_str(review.closed_at)),
				errhint("SELECT * FROM mkt.batch WHERE batch = %lld; says what it did.",
						(long long) review.batch));
	else
	{
		MktSetCall	set = {
			.action = "apply_review",
			.account = CStringGetTextDatum(review.account),
			.expected = PG_ARGISNULL(1) ? NULL : &expected
		};

		find_contacts(&review);
		set.attachment = review.attachment;
		set.keys = DatumGetArrayTypeP(selected_keys(&review, &selected));
		review.batch = mkt_set_status(&set);
		memcpy(outcome, set.outcome, sizeof(outcome));
		close_review(&review, "applied");
	}
	values[0] = Int64GetDatum(review.batch);
	for (int i = 0; i < MKT_OUTCOMES; i++)
		values[1 + i] = Int64GetDatum(outcome[i]);
	return finish_row(fcinfo, values, nulls);
}

/* mkt.abandon_review(review) */
Datum
mkt_abandon_review(PG_FUNCTION_ARGS)
{
	Review		review;

	SPI_connect();
	review = find_review(fcinfo, false);
	if (strcmp(review.state, "abandoned") != 0)
	{
		check_open(&review);
		close_review(&review, "abandoned");
	}
	SPI_finish();
	PG_RETURN_VOID();
}

/* An open review, and its contacts. */
static Review
find_open(FunctionCallInfo fcinfo, bool reads_only)
{
	Review		review = find_review(fcinfo, reads_only);

	find_contacts(&review);
	return review;
}

/* The review of the first argument, for those who may go on with it; locked, unless it is only read. */
static Review
find_review(FunctionCallInfo fcinfo, bool reads_only)
{
	Review		review = {.reads_only = reads_only};
	HeapTuple	found;
	TupleDesc	desc;
	bool		isnull;

	check_not_null(fcinfo, 0, "review");
	review.review = PG_GETARG_INT64(0);
	run(&review, psprintf("SELECT contacts, account, state, batch, closed_at, opened_by FROM mkt.review WHERE review = $1%s",
						  reads_only ? "" : " FOR UPDATE"), 0, NULL, NULL);
	if (SPI_processed == 0)
		ereport(ERROR,
				errcode(ERRCODE_NO_DATA_FOUND),
				errmsg("there is no review %lld", (long long) review.review),
				errhint("SELECT mkt.open_review(...); opens one."));
	found = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	check_owner(&review, SPI_getvalue(found, desc, 6));
	review.contacts = DatumGetObjectId(SPI_getbinval(found, desc, 1, &isnull));
	review.account = SPI_getvalue(found, desc, 2);
	review.state = SPI_getvalue(found, desc, 3);
	review.batch = DatumGetInt64(SPI_getbinval(found, desc, 4, &isnull));
	review.closed_at = DatumGetTimestampTz(SPI_getbinval(found, desc, 5, &isnull));
	return review;
}

static void
check_owner(const Review *review, const char *role)
{
	if (!mkt_may_change_for(role))
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("review %lld belongs to role \"%s\"", (long long) review->review, role),
				errhint("SELECT mkt.open_review(...); opens one of your own."));
}

/* One that is closed needs none; its table may be attached no longer. */
static void
find_contacts(Review *review)
{
	check_open(review);
	review->attachment = mkt_selection_attachment(review->contacts);
	mkt_key_check(review->attachment, true);
	review->key_type = get_atttype(review->contacts, review->attachment->keys[0]);
	review->keys_type = get_array_type(review->key_type);
}

static void
check_open(const Review *review)
{
	if (strcmp(review->state, "open") != 0)
		ereport(ERROR,
				errcode(ERRCODE_MKT_REVIEW_CLOSED),
				errmsg("review %lld is closed", (long long) review->review),
				errdetail("It was %s at %s.", review->state, timestamptz_to_str(review->closed_at)),
				errhint("SELECT mkt.open_review(...); opens another one."));
}

static void
check_not_null(FunctionCallInfo fcinfo, int argno, const char *name)
{
	if (PG_ARGISNULL(argno))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("%s must not be null", name));
}

static Datum
propose_filter(FunctionCallInfo fcinfo, Jsonb *json)
{
	Review		review;

	SPI_connect();
	review = find_open(fcinfo, false);
	return propose(fcinfo, &review, JsonbToCString(NULL, &json->root, VARSIZE(json)),
				   mkt_filter_compile(review.attachment, json, 1));
}

/* Proposes those of a filter's contacts that may be set as non-marketing. */
static Datum
propose(FunctionCallInfo fcinfo, const Review *review, const char *proposal,
		MktFilter *filter)
{
	mkt_filter_restrict(filter, review->attachment, review->account);
	return decide(fcinfo, review, proposal,
				  mkt_selection_keys(review->attachment, filter,
									 psprintf(" AND %s", is_marketing(review->attachment, "c."))),
				  PG_ARGISNULL(2) || PG_GETARG_BOOL(2));
}

/* Marketing, and not pending. */
static const char *
is_marketing(const MktAttachment *attachment, const char *table)
{
	return psprintf("%s%s OPERATOR(pg_catalog.=) 'marketing' AND %s%s IS NULL",
					table, mkt_attachment_column(attachment, attachment->status),
					table, mkt_attachment_column(attachment, attachment->until));
}

/* Those that are unsubscribed or bounced, by the conditions of the table's owner. */
static Datum
unengaged_keys(const Review *review)
{
	const MktAttachment *attachment = review->attachment;
	Oid			types[] = {attachment->account_type};
	Datum		account[] = {mkt_key_convert(CStringGetTextDatum(review->account), TEXTOID, types[0])};
	MktRights	rights = mkt_act_as_reader(review->contacts);
	int			nestlevel = mkt_fix_search_path();
	MktConditions conditions = mkt_condition_read(review->contacts);
	ErrorContextCallback context = {
		.previous = error_context_stack,
		.callback = mkt_condition_tell,
		.arg = &conditions
	};
	Datum		keys;
	bool		isnull;

	if (conditions.unsubscribed == NULL && conditions.bounced == NULL)
		ereport(NOTICE,
				errmsg("nothing says which contacts of table %s are unsubscribed or bounced", conditions.name),
				errhint("SELECT mkt.set_conditions(%s, unsubscribed => '...', bounced => '...');",
						quote_literal_cstr(conditions.name)));
	error_context_stack = &context;
	if (SPI_execute_with_args(psprintf("SELECT pg_catalog.array_agg(%s) FROM %s WHERE %s AND ((%s) OR (%s)) AND %s OPERATOR(pg_catalog.=) $1",
									   mkt_attachment_column(attachment, attachment->keys[0]),
									   mkt_condition_from(attachment), is_marketing(attachment, ""),
									   conditions.unsubscribed ? conditions.unsubscribed : "false",
									   conditions.bounced ? conditions.bounced : "false",
									   attachment->account ?
									   mkt_attachment_column(attachment, attachment->account) :
									   quote_literal_cstr(TextDatumGetCString(attachment->constant_account))),
							  1, types, account, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for unengaged contacts");
	error_context_stack = context.previous;
	AtEOXact_GUC(false, nestlevel);
	mkt_act_again_as(rights);
	keys = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	return isnull ? PointerGetDatum(construct_empty_array(review->key_type)) : keys;
}

/*
 * Keeps what a step takes in the place of what it took before; reports proposed,
 * selected.  Nobody else is at the review meanwhile.
 */
static Datum
decide(FunctionCallInfo fcinfo, const Review *review, const char *proposal,
	   Datum keys, bool take)
{
	Oid			types[] = {INT4OID, review->keys_type, BOOLOID, INT8OID, TEXTOID};
	Datum		values[] = {number_step(review, proposal), keys, BoolGetDatum(take), 0, CStringGetTextDatum(proposal)};
	bool		nulls[2] = {false};
	int64		proposed;

	run(review, "DELETE FROM mkt.review_contact WHERE review = $1 AND step = $2", 1, types, values);
	proposed = count(review, "SELECT pg_catalog.count(*) FROM pg_catalog.unnest($3) AS k WHERE NOT EXISTS ("
					 "SELECT FROM mkt.review_contact AS c WHERE c.review = $1 AND c.key = k::pg_catalog.text)",
					 2, types, values);
	values[3] = Int64GetDatum(proposed);
	run(review, "INSERT INTO mkt.review_step AS s (review, step, proposal, taken, proposed, decided_at) VALUES ($1, $2, $6, $4, $5, mkt.now()) "
		"ON CONFLICT (review, step) DO UPDATE SET taken = EXCLUDED.taken, proposed = EXCLUDED.proposed, decided_at = EXCLUDED.decided_at",
		5, types, values);
	run(review, "INSERT INTO mkt.review_contact (review, step, key) "
		"SELECT $1, $2, k::pg_catalog.text AS key FROM pg_catalog.unnest($3) AS k WHERE $4 ORDER BY key",
		3, types, values);
	values[0] = Int64GetDatum(proposed);
	values[1] = Int64GetDatum(count(review, "SELECT pg_catalog.count(DISTINCT key) FROM mkt.review_contact WHERE review = $1",
									0, NULL, NULL));
	return finish_row(fcinfo, values, nulls);
}

/* The number of the step that proposes this, or a new one. */
static Datum
number_step(const Review *review, const char *proposal)
{
	return Int32GetDatum((int32) count(review, "SELECT COALESCE(pg_catalog.max(step) FILTER (WHERE proposal = $2), "
									   "1 + pg_catalog.max(step), 1)::pg_catalog.int8 FROM mkt.review_step WHERE review = $1",
									   1, (Oid[]) {TEXTOID}, (Datum[]) {CStringGetTextDatum(proposal)}));
}

/* Each once, as an array of the key column's type. */
static Datum
selected_keys(const Review *review, int64 *n)
{
	ErrorContextCallback context = {
		.previous = error_context_stack,
		.callback = name_review,
		.arg = unconstify(Review *, review)
	};
	Datum		keys;
	bool		isnull;

	run(review, "SELECT pg_catalog.count(*), pg_catalog.array_agg(key) FROM ("
		"SELECT DISTINCT key FROM mkt.review_contact WHERE review = $1) AS selected", 0, NULL, NULL);
	*n = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	keys = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);
	if (isnull)
		return PointerGetDatum(construct_empty_array(review->key_type));
	error_context_stack = &context;
	keys = mkt_key_convert_array(DatumGetArrayTypeP(keys), review->key_type);
	error_context_stack = context.previous;
	return keys;
}

/* Keys may have got another type since they were selected. */
static void
name_review(void *arg)
{
	const Review *review = arg;

	errcontext("keys selected in review %lld; mkt.abandon_review(%lld) ends it",
			   (long long) review->review, (long long) review->review);
}

/*
 * Contacts that are there, and deleted ones that still count, over all attached
 * tables; false where the caller may not know them all, or while some are not
 * counted yet.
 */
static bool
count_others(const Review *review, int64 *non_marketing, int64 *deleted)
{
	int64		billable;
	ListCell   *cell;

	foreach(cell, mkt_attachment_list())
		if (!((MktAttachedTable *) lfirst(cell))->counted)
		return false;
	if (mkt_count_billable(CStringGetTextDatum(review->account), false, 1,
						   (TimestampTz[]) {mkt_now()}, &billable) != MKT_COUNT_WHOLE)
		return false;
	mkt_count_others(review->account, mkt_now(), non_marketing, deleted);
	return true;
}

static void
close_review(const Review *review, const char *state)
{
	run(review, "UPDATE mkt.review SET state = $2, batch = NULLIF($3, 0), closed_at = mkt.now() WHERE review = $1",
		2, (Oid[]) {TEXTOID, INT8OID},
		(Datum[]) {CStringGetTextDatum(state), Int64GetDatum(review->batch)});
	run(review, "DELETE FROM mkt.review_contact WHERE review = $1", 0, NULL, NULL);
}

/*
 * A query on the extension's own tables, as their owner; $1 is the review, the
 * others come after it.
 */
static void
run(const Review *review, const char *query, int nparams, Oid *types, Datum *values)
{
	Oid			all_types[MAX_PARAMS] = {INT8OID};
	Datum		all_values[MAX_PARAMS] = {Int64GetDatum(review->review)};
	int			nestlevel = mkt_fix_search_path();
	MktRights	rights = mkt_act_as(mkt_extension_owner());

	for (int i = 0; i < nparams; i++)
	{
		all_types[1 + i] = types[i];
		all_values[1 + i] = values[i];
	}
	if (SPI_execute_with_args(query, 1 + nparams, all_types, all_values, NULL,
							  review->reads_only, 0) < 0)
		elog(ERROR, "could not reach a review");
	mkt_act_again_as(rights);
	AtEOXact_GUC(false, nestlevel);
}

static int64
count(const Review *review, const char *query, int nparams, Oid *types, Datum *values)
{
	bool		isnull;

	run(review, query, nparams, types, values);
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/* What a function returns, in its caller's memory; ends SPI. */
static Datum
finish_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc	desc;
	HeapTuple	tuple;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	tuple = heap_form_tuple(BlessTupleDesc(desc), values, nulls);
	tuple = SPI_copytuple(tuple);
	SPI_finish();
	return HeapTupleGetDatum(tuple);
}
