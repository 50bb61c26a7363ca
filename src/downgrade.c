/*-------------------------------------------------------------------------
 * downgrade.c
 *	  Lower tiers that accounts ask for (rules B3, B4).
 *
 * What a request is measured by is SQL, in mkt.downgrade_terms().  Here it is
 * refused or noted; mkt.run() grants it on the renewal date.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "catalog/pg_type.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

/* What the account has, and what it can ask for. */
typedef struct Terms
{
	bool		is_known;		/* mkt.account has the account */
	char	   *edition;
	bool		has_tier;
	int64		tier;
	bool		renews;
	TimestampTz renews_at;
	char	   *renews_on;
	char	   *request_by;
	bool		too_late;
	int64		fitting;		/* the tier that covers what is asked for; 0:
								 * none is known */
	char	   *lower;			/* the one below, if there is one */
} Terms;

static void check_may_ask(void);
static Terms read_terms(const char *account, int64 asked);
static void check_terms(const Terms *terms, const char *account, int64 asked);
static void check_tier(const Terms *terms, const char *account, int64 asked);
static void note_request(const char *account, TimestampTz renews_at, int64 tier);

PG_FUNCTION_INFO_V1(mkt_request_downgrade);

/* mkt.request_downgrade(account, tier) */
Datum
mkt_request_downgrade(PG_FUNCTION_ARGS)
{
	char	   *account;
	int64		asked;
	Terms		terms;
	int			nestlevel;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("a downgrade needs an account and a tier"),
				errhint("SELECT mkt.request_downgrade('42', 2000);"));
	account = text_to_cstring(PG_GETARG_TEXT_PP(0));
	asked = PG_GETARG_INT64(1);
	check_may_ask();
	nestlevel = mkt_fix_search_path();
	SPI_connect();
	terms = read_terms(account, asked);
	check_terms(&terms, account, asked);
	note_request(account, terms.renews_at, asked);
	SPI_finish();
	AtEOXact_GUC(false, nestlevel);
	PG_RETURN_TIMESTAMPTZ(terms.renews_at);
}

static void
check_may_ask(void)
{
	Oid			account = mkt_relation("account");

	if (pg_class_aclcheck(account, GetUserId(), ACL_UPDATE) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(account, GetUserId(), ACL_UPDATE,
								  ACLMASK_ANY) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, "account");
}

static Terms
read_terms(const char *account, int64 asked)
{
	MktRights	rights = mkt_act_as(mkt_extension_owner());
	Terms		terms = {0};
	HeapTuple	row;
	TupleDesc	desc;
	bool		isnull;

	if (SPI_execute_with_args("SELECT * FROM mkt.downgrade_terms($1, $2)", 2,
							  (Oid[]) {TEXTOID, INT8OID},
							  (Datum[]) {CStringGetTextDatum(account), Int64GetDatum(asked)},
							  NULL, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read the terms of a downgrade");
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	terms.edition = SPI_getvalue(row, desc, 1);
	terms.tier = DatumGetInt64(SPI_getbinval(row, desc, 2, &isnull));
	terms.has_tier = !isnull;
	terms.is_known = SPI_getvalue(row, desc, 9) != NULL;
	terms.renews_at = DatumGetTimestampTz(SPI_getbinval(row, desc, 3, &isnull));
	terms.renews = !isnull;
	terms.renews_on = SPI_getvalue(row, desc, 4);
	terms.request_by = SPI_getvalue(row, desc, 5);
	terms.too_late = DatumGetBool(SPI_getbinval(row, desc, 6, &isnull));
	terms.fitting = DatumGetInt64(SPI_getbinval(row, desc, 7, &isnull));
	terms.lower = SPI_getvalue(row, desc, 8);
	mkt_act_again_as(rights);
	return terms;
}

static void
check_terms(const Terms *terms, const char *account, int64 asked)
{
	if (!terms->is_known)
		ereport(ERROR,
				errcode(ERRCODE_NO_DATA_FOUND),
				errmsg("account \"%s\" has no tier", account),
				errdetail("Table mkt.account has no row for it."),
				errhint("INSERT INTO mkt.account (account, edition, started_on) VALUES (%s, ..., ...);",
						quote_literal_cstr(account)));
	if (!terms->has_tier)
		ereport(ERROR,
				errcode(ERRCODE_NO_DATA_FOUND),
				errmsg("account \"%s\" has no tier", account),
				terms->edition ?
				errdetail("Table mkt.increment has no row of edition \"%s\" for today.", terms->edition) :
				errdetail("Table mkt.account has no edition for it."),
				terms->edition ?
				errhint("INSERT INTO mkt.increment (edition, included, increment) VALUES (%s, ..., ...); CALL mkt.run();",
						quote_literal_cstr(terms->edition)) :
				errhint("UPDATE mkt.account SET edition = ... WHERE account = %s;",
						quote_literal_cstr(account)));
	if (!terms->renews)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("account \"%s\" has no renewal date", account),
				errdetail("Table mkt.account has no started_on for it."),
				errhint("UPDATE mkt.account SET started_on = ... WHERE account = %s;",
						quote_literal_cstr(account)));
	check_tier(terms, account, asked);
	if (terms->too_late)
		ereport(ERROR,
				errcode(ERRCODE_MKT_TOO_LATE),
				errmsg("it is too late to request a downgrade of account \"%s\" for its renewal on %s",
					   account, terms->renews_on),
				errdetail("The last day was %s, five business days before it.", terms->request_by),
				errhint("From %s on, request it for the renewal after that.", terms->renews_on));
}

static void
check_tier(const Terms *terms, const char *account, int64 asked)
{
	if (asked >= terms->tier)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a tier of %lld contacts is not lower than that of account \"%s\"",
					   (long long) asked, account),
				errdetail("It pays for %lld; a higher tier comes by itself when it has more.",
						  (long long) terms->tier));
	if (asked != terms->fitting)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("edition \"%s\" has no tier of %lld contacts", terms->edition, (long long) asked),
				terms->fitting == 0 ? 0 : terms->lower ?
				errhint("Its tiers next to that are %s and %lld.", terms->lower,
						(long long) terms->fitting) :
				errhint("Its lowest tier is %lld.", (long long) terms->fitting));
}

static void
note_request(const char *account, TimestampTz renews_at, int64 tier)
{
	Datum		values[] = {
		CStringGetTextDatum(account), TimestampTzGetDatum(renews_at), Int64GetDatum(tier),
		TimestampTzGetDatum(mkt_now()),
		CStringGetTextDatum(GetUserNameFromId(GetOuterUserId(), false))
	};
	MktRights	rights = mkt_act_as(mkt_extension_owner());

	if (SPI_execute_with_args("INSERT INTO mkt.downgrade_request (account, renews_at, tier, requested_at, requested_by) "
							  "VALUES ($1, $2, $3, $4, $5) "
							  "ON CONFLICT ON CONSTRAINT downgrade_request_pkey DO UPDATE "
							  "SET tier = EXCLUDED.tier, requested_at = EXCLUDED.requested_at, requested_by = EXCLUDED.requested_by",
							  5, (Oid[]) {TEXTOID, TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID, TEXTOID},
							  values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not note a downgrade");
	mkt_act_again_as(rights);
}
