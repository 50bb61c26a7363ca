/*-------------------------------------------------------------------------
 * quote.c
 *	  What sql/27_tier.sql and sql/85_quote.sql need of C: the arithmetic of
 *	  tiers, and the error of a quote for which there is no price.
 *
 * The quote itself is SQL: amounts are numeric, and what it reads are tables.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "compat.h"
#include "errors.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

static void check_increment(int64 included, int64 increment);
static void raise_missing(const char *missing, const char *edition,
						  const char *currency, const char *day) pg_attribute_noreturn();
static void describe_row(const char *table, const char *edition,
						 const char *currency, const char *day,
						 const char **lack, const char **row);

PG_FUNCTION_INFO_V1(mkt_sql_tier_limit);
PG_FUNCTION_INFO_V1(mkt_sql_tier_increments);
PG_FUNCTION_INFO_V1(mkt_refuse_quote);

/* mkt.tier_limit(included, increment, contacts) */
Datum
mkt_sql_tier_limit(PG_FUNCTION_ARGS)
{
	int64		limit;

	check_increment(PG_GETARG_INT64(0), PG_GETARG_INT64(1));
	if (!mkt_tier_limit(PG_GETARG_INT64(0), PG_GETARG_INT64(1),
						PG_GETARG_INT64(2), &limit))
		ereport(ERROR,
				errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				errmsg("no tier is large enough for " INT64_FORMAT " contacts",
					   PG_GETARG_INT64(2)));
	PG_RETURN_INT64(limit);
}

/* mkt.tier_increments(included, increment, contacts) */
Datum
mkt_sql_tier_increments(PG_FUNCTION_ARGS)
{
	check_increment(PG_GETARG_INT64(0), PG_GETARG_INT64(1));
	PG_RETURN_INT64(mkt_tier_increments(PG_GETARG_INT64(0), PG_GETARG_INT64(1),
										PG_GETARG_INT64(2)));
}

static void
check_increment(int64 included, int64 increment)
{
	if (included < 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("included is " INT64_FORMAT ", and cannot be negative",
					   included));
	if (increment < 1)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("increment is " INT64_FORMAT ", and has to be 1 or more",
					   increment));
}

/* mkt.refuse_quote(edition, contacts, currency, valid_on, missing) */
Datum
mkt_refuse_quote(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2) ||
		PG_ARGISNULL(3) || PG_ARGISNULL(4))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("a quote needs an edition, a number of contacts and a currency"),
				errhint("SELECT * FROM mkt.quote('professional', 3200, 'EUR');"));
	if (PG_GETARG_INT64(1) < 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the number of contacts cannot be negative"));
	raise_missing(text_to_cstring(PG_GETARG_TEXT_PP(4)),
				  text_to_cstring(PG_GETARG_TEXT_PP(0)),
				  text_to_cstring(PG_GETARG_TEXT_PP(2)),
				  DatumGetCString(DirectFunctionCall1(date_out,
													  PG_GETARG_DATUM(3))));
}

/* Says which row is missing, and how to insert it. */
static void
raise_missing(const char *missing, const char *edition, const char *currency,
			  const char *day)
{
	const char *lack;
	const char *row;

	describe_row(missing, quote_literal_cstr(edition),
				 quote_literal_cstr(currency), day, &lack, &row);
	ereport(ERROR,
			errcode(ERRCODE_MKT_NO_PRICE),
			errmsg("edition \"%s\" has no price in %s on %s", edition, currency,
				   day),
			errdetail("Table mkt.%s %s.", missing, lack),
			errhint("INSERT INTO mkt.%s %s;", missing, row));
}

static void
describe_row(const char *table, const char *edition, const char *currency,
			 const char *day, const char **lack, const char **row)
{
	if (strcmp(table, "edition") == 0)
	{
		*lack = "has no such edition";
		*row = psprintf("(edition) VALUES (%s)", edition);
	}
	else if (strcmp(table, "increment") == 0)
	{
		*lack = "has no row of the edition for that day";
		*row = psprintf("(edition, valid_from, included, increment) VALUES (%s, '%s', ..., ...)",
						edition, day);
	}
	else if (strcmp(table, "currency") == 0)
	{
		*lack = "has no row of the currency for that day";
		*row = psprintf("(currency, valid_from, decimals) VALUES (%s, '%s', ...)",
						currency, day);
	}
	else
	{
		*lack = "has no row of the edition in that currency for that day";
		*row = psprintf("(edition, currency, valid_from, base, per_increment) VALUES (%s, %s, '%s', ..., ...)",
						edition, currency, day);
	}
}
