/*-------------------------------------------------------------------------
 * gate.c
 *	  May a tool use a contact, and which contacts may it use: mkt.can_use(),
 *	  mkt.eligible() and mkt.eligibility() (rules F4, F5).
 *
 * Each asks one query of the table or partition that the caller names, in the
 * caller's snapshot and of the rows that he may read.  The conditions in it are
 * the table owner's; with whose rights they run says mkt_act_as_reader().
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "executor/spi.h"
#include "executor/tstoreReceiver.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/params.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

/* What a query may have as parameters. */
enum
{
	PARAM_TOOL, PARAM_ACCOUNT, PARAM_KEYS, PARAMS
};

/* A question, as it was put. */
typedef struct Gate
{
	Oid			relid;
	const MktAttachment *attachment;
	MktConditions conditions;
	char	   *from;			/* the table, as after FROM */
	char	   *refusal;		/* why it may not use a contact */
	char	   *account;		/* a condition, or nothing */
	char	   *key;			/* the key column */
	char	   *keys;			/* a condition, or nothing */
	ParamListInfo params;
	MktRights	rights;			/* the caller's */
	int			nestlevel;
} Gate;

/* The lines of mkt.eligibility(); every contact is in one of them. */
static const char *const outcomes[] = {
	"eligible", "non_marketing", "unsubscribed", "bounced", "not_found"
};

#define NOT_FOUND (lengthof(outcomes) - 1)

static Gate *open_gate(FunctionCallInfo fcinfo, Oid relid, int tool, int account,
					   const char *example);
static void add_parameter(Gate *gate, int parameter, Oid type, Datum value);
static char *account_condition(Gate *gate, Datum account);
static char *key_condition(Gate *gate, Datum key);
static void check_one_key(Gate *gate);
static void check_keys(Gate *gate);
static void add_keys(Gate *gate, Datum keys);
static Oid	key_type(const Gate *gate);
static void ask(Gate *gate, const char *query, DestReceiver *dest);
static void close_gate(Gate *gate);
static Oid	contacts_of_argument(FunctionCallInfo fcinfo, bool *rows);
static void return_outcomes(ReturnSetInfo *result, const int64 *contacts,
							size_t noutcomes);

PG_FUNCTION_INFO_V1(mkt_can_use);
PG_FUNCTION_INFO_V1(mkt_eligible);
PG_FUNCTION_INFO_V1(mkt_eligibility);

/* mkt.can_use(contacts, key, tool, account), the key as text */
Datum
mkt_can_use(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);
	TupleDesc	desc;
	Gate	   *gate;
	char	   *key;
	Datum		values[2] = {0};
	bool		nulls[2] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	gate = open_gate(fcinfo, PG_ARGISNULL(1) ? InvalidOid : relid, 2, 3,
					 "can_use('crm.contact', 7, 'marketing_email')");
	key = key_condition(gate, PG_GETARG_DATUM(1));

	SPI_connect();
	ask(gate, psprintf("SELECT %s FROM %s WHERE %s%s", gate->refusal, gate->from, key,
					   gate->account),
		NULL);
	if (SPI_processed != 1)
		ereport(ERROR,
				errcode(ERRCODE_NO_DATA_FOUND),
				errmsg("table %s has no contact %s", mkt_qualified_name(relid),
					   TextDatumGetCString(PG_GETARG_DATUM(1))),
				errhint("The contact must be there, and be visible to you."));
	values[1] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &nulls[1]);
	values[0] = BoolGetDatum(nulls[1]);
	values[1] = nulls[1] ? (Datum) 0 : SPI_datumTransfer(values[1], false, -1);
	SPI_finish();
	close_gate(gate);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/*
 * mkt.eligible(contacts, tool, account, keys): the keys of the contacts that a
 * tool may use or, when the table is given as a row of its type, the contacts.
 */
Datum
mkt_eligible(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		rows;
	Oid			relid = contacts_of_argument(fcinfo, &rows);
	DestReceiver *dest = CreateDestReceiver(DestTuplestore);
	Gate	   *gate;
	char	   *columns;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	SetTuplestoreDestReceiverParams(dest, result->setResult,
									result->econtext->ecxt_per_query_memory, false,
									result->setDesc,
									"the rows of the contacts table have changed");
	gate = open_gate(fcinfo, relid, 1, 2,
					 rows ? "eligible(NULL::crm.contact, 'marketing_email')" :
					 "eligible('crm.contact', 'marketing_email')");
	if (!rows)
		check_keys(gate);
	if (!PG_ARGISNULL(3))
		add_keys(gate, PG_GETARG_DATUM(3));
	columns = rows ? psprintf("%s.*", quote_identifier(get_rel_name(gate->attachment->contacts))) :
		psprintf("%s::pg_catalog.text", gate->key);

	SPI_connect();
	ask(gate, psprintf("SELECT %s FROM %s WHERE %s IS NULL%s%s", columns, gate->from,
					   gate->refusal, gate->account, gate->keys),
		dest);
	SPI_finish();
	close_gate(gate);
	dest->rDestroy(dest);
	return (Datum) 0;
}

/*
 * mkt.eligibility(contacts, tool, account, keys): F5, how many contacts are in
 * and how many are left out for which reason.
 */
Datum
mkt_eligibility(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);
	bool		has_keys = !PG_ARGISNULL(3);
	int64		contacts[lengthof(outcomes)] = {0};
	Gate	   *gate;

	InitMaterializedSRF(fcinfo, 0);
	gate = open_gate(fcinfo, relid, 1, 2, "eligibility('crm.contact', 'marketing_email')");
	if (has_keys)
		add_keys(gate, PG_GETARG_DATUM(3));

	SPI_connect();
	ask(gate, psprintf("SELECT COALESCE(%s, 'eligible'), pg_catalog.count(*) FROM %s WHERE true%s%s GROUP BY 1%s",
					   gate->refusal, gate->from, gate->account, gate->keys,
					   has_keys ? psprintf(" UNION ALL SELECT 'not_found', pg_catalog.count(*) FROM "
										   "(SELECT DISTINCT k FROM pg_catalog.unnest($%d) AS k) AS asked",
										   PARAM_KEYS + 1) : ""),
		NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		char	   *outcome = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		int64		n = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i],
													SPI_tuptable->tupdesc, 2, &isnull));

		for (size_t o = 0; o < lengthof(outcomes); o++)
			if (strcmp(outcomes[o], outcome) == 0)
				contacts[o] += n;
	}
	SPI_finish();
	close_gate(gate);
	for (size_t o = 0; o < NOT_FOUND; o++)
		contacts[NOT_FOUND] -= contacts[o];
	return_outcomes((ReturnSetInfo *) fcinfo->resultinfo, contacts,
					has_keys ? lengthof(outcomes) : NOT_FOUND);
	return (Datum) 0;
}

/*
 * Checks what all three are given, and takes the rights with which to ask:
 * values are read with them, too, for a domain may call functions.
 */
static Gate *
open_gate(FunctionCallInfo fcinfo, Oid relid, int tool, int account,
		  const char *example)
{
	Gate	   *gate = palloc0(sizeof(Gate));

	if (!OidIsValid(relid) || PG_ARGISNULL(tool))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("%s must not be null",
					   tool == 2 ? "contacts, key and tool" : "contacts and tool"),
				errhint("SELECT * FROM mkt.%s;", example));
	gate->relid = relid;
	gate->attachment = mkt_attachment_of(relid);
	mkt_tool_needs(TextDatumGetCString(PG_GETARG_DATUM(tool)));

	gate->rights = mkt_act_as_reader(relid);
	gate->nestlevel = mkt_fix_search_path();
	gate->conditions = mkt_condition_read(gate->attachment->contacts);
	gate->from = mkt_condition_from(gate->attachment);
	gate->refusal = mkt_condition_refusal(gate->attachment, psprintf("$%d", PARAM_TOOL + 1));
	gate->key = mkt_attachment_column(gate->attachment, gate->attachment->keys[0]);
	gate->keys = "";
	gate->params = makeParamList(PARAMS);
	memset(gate->params->params, 0, PARAMS * sizeof(ParamExternData));
	add_parameter(gate, PARAM_TOOL, TEXTOID, PG_GETARG_DATUM(tool));
	gate->account = PG_ARGISNULL(account) ? "" :
		account_condition(gate, PG_GETARG_DATUM(account));
	return gate;
}

static void
add_parameter(Gate *gate, int parameter, Oid type, Datum value)
{
	ParamExternData *param = &gate->params->params[parameter];

	param->ptype = type;
	param->value = value;
	param->isnull = false;
	param->pflags = PARAM_FLAG_CONST;
}

static char *
account_condition(Gate *gate, Datum account)
{
	const MktAttachment *attachment = gate->attachment;
	Oid			type = getBaseType(attachment->account_type);

	add_parameter(gate, PARAM_ACCOUNT, type, mkt_key_convert(account, TEXTOID, type));
	return psprintf(" AND %s OPERATOR(pg_catalog.=) $%d",
					attachment->account ?
					mkt_attachment_column(attachment, attachment->account) :
					quote_literal_cstr(TextDatumGetCString(attachment->constant_account)),
					PARAM_ACCOUNT + 1);
}

/* A key of several columns is given as an array. */
static char *
key_condition(Gate *gate, Datum key)
{
	mkt_key_check_one(gate->attachment, *gate->account != '\0');
	if (gate->attachment->nkeys > 1)
		return mkt_key_several(gate->attachment, key, "");
	add_parameter(gate, PARAM_KEYS, key_type(gate),
				  mkt_key_convert(key, TEXTOID, key_type(gate)));
	return psprintf("%s OPERATOR(pg_catalog.=) $%d", gate->key, PARAM_KEYS + 1);
}

/* One value has to name one contact. */
static void
check_one_key(Gate *gate)
{
	check_keys(gate);
	mkt_key_check(gate->attachment, *gate->account != '\0');
}

static void
check_keys(Gate *gate)
{
	char	   *name = mkt_qualified_name(gate->relid);

	if (gate->attachment->nkeys > 1)
		ereport(ERROR,
				errcode(ERRCODE_MKT_AMBIGUOUS_KEY),
				errmsg("contacts of table %s have keys of several columns", name),
				errhint("SELECT * FROM mkt.eligible(NULL::%s, 'marketing_email') WHERE ...; finds the rows.",
						name));
}

/* Only the contacts with these keys are asked about. */
static void
add_keys(Gate *gate, Datum keys)
{
	check_one_key(gate);
	add_parameter(gate, PARAM_KEYS, get_array_type(key_type(gate)),
				  mkt_key_convert_array(DatumGetArrayTypeP(keys), key_type(gate)));
	gate->keys = psprintf(" AND %s OPERATOR(pg_catalog.=) ANY ($%d)", gate->key,
						  PARAM_KEYS + 1);
}

static Oid
key_type(const Gate *gate)
{
	return getBaseType(get_atttype(gate->relid, gate->attachment->keys[0]));
}

/* Runs the query; its rows go to the receiver, or to SPI_tuptable. */
static void
ask(Gate *gate, const char *query, DestReceiver *dest)
{
	SPIExecuteOptions options = {
		.params = gate->params,
		.read_only = true,
		.dest = dest
	};
	ErrorContextCallback context = {
		.previous = error_context_stack,
		.callback = mkt_condition_tell,
		.arg = &gate->conditions
	};

	error_context_stack = &context;
	if (SPI_execute_extended(query, &options) != SPI_OK_SELECT)
		elog(ERROR, "could not ask who is eligible");
	error_context_stack = context.previous;
}

static void
close_gate(Gate *gate)
{
	AtEOXact_GUC(false, gate->nestlevel);
	mkt_act_again_as(gate->rights);
}

/* The table: by OID, by name, or as the type of a row. */
static Oid
contacts_of_argument(FunctionCallInfo fcinfo, bool *rows)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	Oid			relid;

	*rows = false;
	if (type == REGCLASSOID)
		return PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);
	if (type == TEXTOID)
		return PG_ARGISNULL(0) ? InvalidOid :
			DatumGetObjectId(DirectFunctionCall1(text_regclass, PG_GETARG_DATUM(0)));
	*rows = true;
	relid = OidIsValid(type) ? typeidTypeRelid(type) : InvalidOid;
	if (!OidIsValid(relid))
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("mkt.eligible() needs a contacts table"),
				errdetail("It was given a value of type %s.", format_type_be(type)),
				errhint("SELECT * FROM mkt.eligible(NULL::crm.contact, 'marketing_email'); returns rows of the table, mkt.eligible('crm.contact', 'marketing_email') their keys."));
	return relid;
}

static void
return_outcomes(ReturnSetInfo *result, const int64 *contacts, size_t noutcomes)
{
	for (size_t o = 0; o < noutcomes; o++)
	{
		Datum		values[] = {
			CStringGetTextDatum(outcomes[o]), Int64GetDatum(contacts[o])
		};
		bool		nulls[] = {false, false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}
