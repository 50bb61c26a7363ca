/*-------------------------------------------------------------------------
 * filter.c
 *	  A filter as JSON, compiled to a condition on a contacts table.
 *
 * {"filterGroups": [{"filters": [{"propertyName": ..., "operator": ...}]}]}:
 * groups are alternatives, the filters of a group hold together.  The shape is
 * of fixed depth and is read level by level, without recursion.  Every value
 * becomes a parameter, and every name is looked up in the catalogs and quoted,
 * so that nothing of the JSON ever is part of the condition's text.
 *
 * What is wrong is reported with its place, "filterGroups[0].filters[2].value".
 *
 * Instants are understood in UTC, as of mkt.now(): the same filter means the
 * same in every session.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include <ctype.h>

#include "access/stratnum.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_database.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "errors.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

/* More than a form or a program would ask for; README names them. */
#define MAX_GROUPS		20
#define MAX_FILTERS		100
#define MAX_VALUES		10000
#define MAX_TOKEN		200

/* How much of what was given, and of what is allowed, an error shows. */
#define MAX_SHOWN		60
#define MAX_LISTED		40

/* Numbers nearer to 1970 than this are seconds or 20260301, not milliseconds. */
#define MIN_MILLISECONDS INT64CONST(10000000000)
#define MAX_MILLISECONDS INT64CONST(253402300800000)	/* the year 10000 */

/* Kinds of columns, as bits: an operator says which it is for. */
typedef enum Kind
{
	KIND_TEXT = 1 << 0,
	KIND_INTEGER = 1 << 1,
	KIND_NUMBER = 1 << 2,
	KIND_DATE = 1 << 3,
	KIND_TIMESTAMP = 1 << 4,
	KIND_TIMESTAMPTZ = 1 << 5,
	KIND_ENUM = 1 << 6,
	KIND_BOOLEAN = 1 << 7,
	KIND_UUID = 1 << 8,
	KIND_OTHER = 1 << 9
} Kind;

#define KIND_ANY		(KIND_OTHER | KIND_COMPARED)
#define KIND_COMPARED	(KIND_ORDERED | KIND_BOOLEAN | KIND_UUID)
#define KIND_ORDERED	(KIND_TEXT | KIND_INTEGER | KIND_NUMBER | KIND_DATE | \
						 KIND_TIMESTAMP | KIND_TIMESTAMPTZ | KIND_ENUM)

/* Which members an operator takes. */
typedef enum Takes
{
	TAKES_NOTHING,
	TAKES_VALUE,
	TAKES_RANGE,
	TAKES_VALUES,
	TAKES_TOKEN
} Takes;

typedef struct Operator
{
	const char *name;
	Takes		takes;
	int			kinds;
	int			strategy;		/* of a btree; that of = with a denial too */
	bool		denied;
} Operator;

static const Operator operators[] = {
	{"EQ", TAKES_VALUE, KIND_COMPARED, BTEqualStrategyNumber, false},
	{"NEQ", TAKES_VALUE, KIND_COMPARED, BTEqualStrategyNumber, true},
	{"LT", TAKES_VALUE, KIND_ORDERED, BTLessStrategyNumber, false},
	{"LTE", TAKES_VALUE, KIND_ORDERED, BTLessEqualStrategyNumber, false},
	{"GT", TAKES_VALUE, KIND_ORDERED, BTGreaterStrategyNumber, false},
	{"GTE", TAKES_VALUE, KIND_ORDERED, BTGreaterEqualStrategyNumber, false},
	{"BETWEEN", TAKES_RANGE, KIND_ORDERED, BTGreaterEqualStrategyNumber, false},
	{"IN", TAKES_VALUES, KIND_COMPARED, BTEqualStrategyNumber, false},
	{"NOT_IN", TAKES_VALUES, KIND_COMPARED, BTEqualStrategyNumber, true},
	{"HAS_PROPERTY", TAKES_NOTHING, KIND_ANY, InvalidStrategy, false},
	{"NOT_HAS_PROPERTY", TAKES_NOTHING, KIND_ANY, InvalidStrategy, true},
	{"CONTAINS_TOKEN", TAKES_TOKEN, KIND_TEXT, InvalidStrategy, false},
	{"NOT_CONTAINS_TOKEN", TAKES_TOKEN, KIND_TEXT, InvalidStrategy, true}
};

/* A column, or what stands for it. */
typedef struct Property
{
	const char *name;
	char	   *expression;
	Oid			type;			/* below domains */
	Oid			operand;		/* the type of values it is compared with */
	Oid			family;			/* of btree operators, and their operands
								 * there */
	Oid			left;
	Oid			right;
	Oid			collation;
	Kind		kind;
} Property;

/* A filter on its way. */
typedef struct Compile
{
	const MktAttachment *attachment;
	MktFilter  *result;
	bool		readable;		/* values are written out */
	StringInfoData condition;
	int			nfilters;
	char	   *now;			/* written once it is needed */
} Compile;

static char *compile(Compile *state, Jsonb *filter);
static void compile_group(Compile *state, JsonbContainer *group, char *path);
static void compile_filter(Compile *state, JsonbContainer *filter, char *path);
static void compile_comparison(Compile *state, const Property *property,
							   const Operator *operator,
							   JsonbContainer *filter, char *path);
static void compile_values(Compile *state, const Property *property,
						   const Operator *operator, JsonbContainer *filter,
						   char *path);
static void compile_token(Compile *state, const Property *property,
						  const Operator *operator, JsonbContainer *filter,
						  char *path);
static char *token_pattern(const char *token, char *path);
static const char *token_collation(Oid collation);
static bool knows_ascii_only(Oid collation);
static JsonbContainer *member_array(JsonbContainer *object, const char *name,
									char *path, int max);
static JsonbContainer *element_object(JsonbContainer *array, int i, char *path);
static char *member_string(JsonbContainer *object, const char *name,
						   char *path, const char *hint);
static JsonbValue *member_value(JsonbContainer *object, const char *name,
								const Operator *operator, char *path);
static void check_members(JsonbContainer *object, const char *const *allowed,
						  char *path, const char *whose);
static bool is_plain(const char *name);
static const Operator *find_operator(const char *name, const Property *property,
									 char *path);
static void find_property(Compile *state, const char *name, char *path,
						  Property *property);
static char *marketing_expression(Compile *state, AttrNumber column,
								  const char *name);
static void classify(Property *property);
static char *column_list(Oid relid);
static char *operator_list(Kind kind);
static const char *expected(const Property *property);
static char *label_list(Oid type);
static Datum convert(const Property *property, JsonbValue *value, char *path);
static Datum convert_scalar(const Property *property, JsonbValue *value);
static Datum convert_number(const Property *property, JsonbValue *value);
static bool is_number(const char *text);
static TimestampTz convert_instant(JsonbValue *value, bool date_only);
static bool is_digits(const char *text);
static bool read_iso(const char *text, bool *has_time, bool *has_zone);
static const char *read_shape(const char *text, const char *shape);
static bool read_relative(const char *text, TimestampTz *result);
static void mismatch(void) pg_attribute_noreturn();
static char *append_param(Compile *state, Oid type, Datum value);
static const char *operator_name(Compile *state, Oid operator);
static const char *core_operator(Compile *state, const char *name);
static char *member_path(const char *path, const char *member);
static char *shown(const char *text);
static char *shown_value(JsonbValue *value);
static void bad(const char *path, const char *hint, const char *message) pg_attribute_noreturn();

/* A filter as a condition with parameters, numbered from first_param. */
MktFilter *
mkt_filter_compile(const MktAttachment *attachment, Jsonb *filter,
				   int first_param)
{
	Compile		state = {
		.attachment = attachment,
		.result = mkt_filter_new(first_param)
	};

	state.result->condition = compile(&state, filter);
	return state.result;
}

/* The same to look at, with the values in it. */
char *
mkt_filter_readable(const MktAttachment *attachment, Jsonb *filter)
{
	Compile		state = {.attachment = attachment,.readable = true};

	return compile(&state, filter);
}

/* A filter that everybody meets, to be built upon. */
MktFilter *
mkt_filter_new(int first_param)
{
	MktFilter  *filter = palloc0(sizeof(MktFilter));

	filter->condition = "true";
	filter->first_param = first_param;
	filter->types = palloc(0);
	filter->values = palloc(0);
	return filter;
}

/* Returns the number by which the condition refers to the new parameter. */
int
mkt_filter_add_param(MktFilter *filter, Oid type, Datum value)
{
	int			n = filter->nparams++;

	filter->types = repalloc(filter->types, filter->nparams * sizeof(Oid));
	filter->values = repalloc(filter->values, filter->nparams * sizeof(Datum));
	filter->types[n] = type;
	filter->values[n] = value;
	return filter->first_param + n;
}

/* Only contacts of one account; of all, when that is null. */
void
mkt_filter_restrict(MktFilter *filter, const MktAttachment *attachment,
					const char *account)
{
	Datum		value;
	int			n;

	if (account == NULL)
		return;
	value = mkt_key_convert(CStringGetTextDatum(account), TEXTOID,
							attachment->account_type);
	n = mkt_filter_add_param(filter, attachment->account_type, value);
	filter->condition = psprintf("(%s)%s", filter->condition,
								 mkt_key_account_condition(attachment,
														   psprintf("$%d", n)));
}

static char *
compile(Compile *state, Jsonb *filter)
{
	static const char *const members[] = {"filterGroups", NULL};
	JsonbContainer *groups;
	char	   *path = "filterGroups";

	initStringInfo(&state->condition);
	if (!JB_ROOT_IS_OBJECT(filter))
		bad("the top", "{\"filterGroups\": [{\"filters\": [...]}]}",
			"a filter is a JSON object");
	check_members(&filter->root, members, "", "a filter");
	groups = member_array(&filter->root, "filterGroups", path, MAX_GROUPS);
	for (int i = 0; i < (int) JsonContainerSize(groups); i++)
	{
		char	   *place = psprintf("%s[%d]", path, i);

		appendStringInfoString(&state->condition, i ? " OR (" : "(");
		compile_group(state, element_object(groups, i, place), place);
		appendStringInfoChar(&state->condition, ')');
	}
	return state->condition.data;
}

static void
compile_group(Compile *state, JsonbContainer *group, char *path)
{
	static const char *const members[] = {"filters", NULL};
	JsonbContainer *filters;
	char	   *place = member_path(path, "filters");

	check_members(group, members, path, "a group");
	filters = member_array(group, "filters", place, MAX_FILTERS);
	for (int i = 0; i < (int) JsonContainerSize(filters); i++)
	{
		char	   *at = psprintf("%s[%d]", place, i);

		if (++state->nfilters > MAX_FILTERS)
			bad(at, psprintf("At most %d filters in all groups together.", MAX_FILTERS),
				"too many filters");
		if (i > 0)
			appendStringInfoString(&state->condition, " AND ");
		compile_filter(state, element_object(filters, i, at), at);
	}
}

static void
compile_filter(Compile *state, JsonbContainer *filter, char *path)
{
	static const char *const members[] = {
		"propertyName", "operator", "value", "highValue", "values", NULL
	};
	char	   *place = member_path(path, "propertyName");
	Property	property;
	const Operator *operator;
	char	   *name;

	check_members(filter, members, path, "a filter of a group");
	name = member_string(filter, "propertyName", place,
						 column_list(state->attachment->relid));
	find_property(state, name, place, &property);
	place = member_path(path, "operator");
	operator = find_operator(member_string(filter, "operator", place,
										   operator_list(property.kind)),
							 &property, place);
	switch (operator->takes)
	{
		case TAKES_NOTHING:
			member_value(filter, NULL, operator, path);
			appendStringInfo(&state->condition, "%s IS %s", property.expression,
							 operator->denied ? "NULL" : "NOT NULL");
			break;
		case TAKES_VALUE:
		case TAKES_RANGE:
			compile_comparison(state, &property, operator, filter, path);
			break;
		case TAKES_VALUES:
			compile_values(state, &property, operator, filter, path);
			break;
		case TAKES_TOKEN:
			compile_token(state, &property, operator, filter, path);
			break;
	}
}

static void
compile_comparison(Compile *state, const Property *property,
				   const Operator *operator, JsonbContainer *filter, char *path)
{
	Oid			oid = get_opfamily_member(property->family, property->left, property->right,
										  operator->strategy);
	JsonbValue *value = member_value(filter, "value", operator, path);

	if (operator->denied)
		oid = get_negator(oid);
	appendStringInfo(&state->condition, "%s %s %s", property->expression,
					 operator_name(state, oid),
					 append_param(state, property->operand,
								  convert(property, value, member_path(path, "value"))));
	if (operator->takes == TAKES_VALUE)
		return;
	value = member_value(filter, "highValue", operator, path);
	oid = get_opfamily_member(property->family, property->left, property->right,
							  BTLessEqualStrategyNumber);
	appendStringInfo(&state->condition, " AND %s %s %s", property->expression,
					 operator_name(state, oid),
					 append_param(state, property->operand,
								  convert(property, value, member_path(path, "highValue"))));
}

static void
compile_values(Compile *state, const Property *property,
			   const Operator *operator, JsonbContainer *filter, char *path)
{
	Oid			oid = get_opfamily_member(property->family, property->left, property->right,
										  operator->strategy);
	Oid			type = get_array_type(property->operand);
	char	   *place = member_path(path, "values");
	JsonbContainer *values;
	Datum	   *elements;
	int			n;
	int16		len;
	bool		by_value;
	char		align;

	member_value(filter, "values", operator, path);
	values = member_array(filter, "values", place, MAX_VALUES);
	n = JsonContainerSize(values);
	elements = palloc(n * sizeof(Datum));
	for (int i = 0; i < n; i++)
		elements[i] = convert(property, getIthJsonbValueFromContainer(values, i),
							  psprintf("%s[%d]", place, i));
	get_typlenbyvalalign(property->operand, &len, &by_value, &align);
	appendStringInfo(&state->condition, operator->denied ? "NOT %s %s ANY (%s)" : "%s %s ANY (%s)",
					 property->expression, operator_name(state, oid),
					 append_param(state, type,
								  PointerGetDatum(construct_array(elements, n, property->operand,
																  len, by_value, align))));
}

/* A whole word, or several; * at an end stands for the rest of a word. */
static void
compile_token(Compile *state, const Property *property,
			  const Operator *operator, JsonbContainer *filter, char *path)
{
	char	   *place = member_path(path, "value");
	char	   *cast = "";
	char	   *pattern;

	member_value(filter, "value", operator, path);
	pattern = token_pattern(member_string(filter, "value", place,
										  "A word, such as \"acme\", or a part of one, such as \"acm*\"."),
							place);
	if (property->type != TEXTOID && property->type != VARCHAROID)
		cast = "::pg_catalog.text";
	appendStringInfo(&state->condition, "%s%s%s %s %s", property->expression, cast,
					 token_collation(property->collation),
					 core_operator(state, operator->denied ? "!~*" : "~*"),
					 append_param(state, TEXTOID, CStringGetTextDatum(pattern)));
}

/*
 * A word ends where a character stands that is no letter, digit or underscore.
 * A token that itself begins or ends with such a character needs no other.
 */
static char *
token_pattern(const char *token, char *path)
{
	static const char *const hint = "A word, such as \"acme\", or a part of one, such as \"acm*\"; * stands at the beginning or the end.";
	StringInfoData pattern;
	int			len = strlen(token);
	bool		open_start = len > 0 && token[0] == '*';
	bool		open_end = len > 1 && token[len - 1] == '*';
	const char *first = token + (open_start ? 1 : 0);
	const char *last = token + len - (open_end ? 2 : 1);

	if (first > last)
		bad(path, hint, "there is nothing to look for");
	if (pg_mbstrlen(token) > MAX_TOKEN)
		bad(path, psprintf("At most %d characters.", MAX_TOKEN), "the word is too long");
	initStringInfo(&pattern);
#define IS_OF_A_WORD(c) (IS_HIGHBIT_SET(c) || isalnum((unsigned char) (c)) || (c) == '_')
	if (!open_start && IS_OF_A_WORD(*first))
		appendStringInfoString(&pattern, "(?:^|[^[:alnum:]_])");
	for (const char *p = first; p <= last; p++)
	{
		if (*p == '*')
			bad(path, hint, "a * stands in the middle of the word");
		if (!IS_OF_A_WORD(*p))
			appendStringInfoChar(&pattern, '\\');
		appendStringInfoChar(&pattern, *p);
	}
	if (!open_end && IS_OF_A_WORD(*last))
		appendStringInfoString(&pattern, "(?:$|[^[:alnum:]_])");
	return pattern.data;
}

/*
 * Letters are what the column's collation takes for letters, so that an index
 * of the column can serve.  C knows only those of ASCII, and regular
 * expressions know no nondeterministic collations: Unicode's rules then.
 */
static const char *
token_collation(Oid collation)
{
	if (get_collation_isdeterministic(collation) && !knows_ascii_only(collation))
		return "";
	if (SearchSysCacheExists3(COLLNAMEENCNSP, CStringGetDatum("und-x-icu"),
							  Int32GetDatum(-1),
							  ObjectIdGetDatum(PG_CATALOG_NAMESPACE)) &&
		is_encoding_supported_by_icu(GetDatabaseEncoding()))
		return " COLLATE pg_catalog.\"und-x-icu\"";
	return " COLLATE pg_catalog.\"default\"";
}

/* Whether a collation's character classes are those of C. */
static bool
knows_ascii_only(Oid collation)
{
	bool		is_default = collation == DEFAULT_COLLATION_OID;
	HeapTuple	tuple = SearchSysCache1(is_default ? DATABASEOID : COLLOID,
										ObjectIdGetDatum(is_default ? MyDatabaseId : collation));
	int			cache = is_default ? DATABASEOID : COLLOID;
	bool		isnull;
	Datum		ctype;
	bool		ascii = false;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for collation %u", collation);
	ctype = SysCacheGetAttr(cache, tuple,
							is_default ? Anum_pg_database_datctype : Anum_pg_collation_collctype,
							&isnull);
	if (!isnull && DatumGetChar(SysCacheGetAttr(cache, tuple,
												is_default ? Anum_pg_database_datlocprovider :
												Anum_pg_collation_collprovider,
												&isnull)) != COLLPROVIDER_ICU)
		ascii = strcmp(TextDatumGetCString(ctype), "C") == 0 ||
			strcmp(TextDatumGetCString(ctype), "POSIX") == 0;
	ReleaseSysCache(tuple);
	return ascii;
}

/* ---- the shape of the JSON ---- */

static JsonbContainer *
member_array(JsonbContainer *object, const char *name, char *path, int max)
{
	JsonbValue *value = getKeyJsonValueFromContainer(object, name, strlen(name), NULL);

	if (value == NULL)
		bad(path, psprintf("\"%s\": [...]", name), psprintf("\"%s\" is missing", name));
	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		bad(path, psprintf("\"%s\": [...]", name), psprintf("\"%s\" must be an array", name));
	if (JsonContainerSize(value->val.binary.data) == 0)
		bad(path, "At least one.", psprintf("\"%s\" is empty", name));
	if ((int) JsonContainerSize(value->val.binary.data) > max)
		bad(path, psprintf("At most %d.", max), psprintf("\"%s\" has too many elements", name));
	return value->val.binary.data;
}

static JsonbContainer *
element_object(JsonbContainer *array, int i, char *path)
{
	JsonbValue *value = getIthJsonbValueFromContainer(array, i);

	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		bad(path, "{...}", psprintf("%s is not an object", shown_value(value)));
	return value->val.binary.data;
}

static char *
member_string(JsonbContainer *object, const char *name, char *path,
			  const char *hint)
{
	JsonbValue *value = getKeyJsonValueFromContainer(object, name, strlen(name), NULL);

	if (value == NULL)
		bad(path, hint, psprintf("\"%s\" is missing", name));
	if (value->type != jbvString)
		bad(path, hint, psprintf("\"%s\" must be a string", name));
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* The operator's value, when there are those that it takes and no others. */
static JsonbValue *
member_value(JsonbContainer *object, const char *name, const Operator *operator,
			 char *path)
{
	static const char *const names[] = {"value", "highValue", "values"};
	static const bool takes[][3] = {
		[TAKES_NOTHING] = {false, false, false},
		[TAKES_VALUE] = {true, false, false},
		[TAKES_RANGE] = {true, true, false},
		[TAKES_VALUES] = {false, false, true},
		[TAKES_TOKEN] = {true, false, false}
	};
	static const char *const hints[] = {
		[TAKES_NOTHING] = "It takes no value.",
		[TAKES_VALUE] = "It takes a \"value\".",
		[TAKES_RANGE] = "It takes a \"value\" and a \"highValue\".",
		[TAKES_VALUES] = "It takes an array of \"values\".",
		[TAKES_TOKEN] = "It takes a \"value\"."
	};
	JsonbValue *found = NULL;

	for (size_t i = 0; i < lengthof(names); i++)
	{
		JsonbValue *value = getKeyJsonValueFromContainer(object, names[i],
														 strlen(names[i]), NULL);

		if ((value != NULL) != takes[operator->takes][i])
			bad(member_path(path, names[i]), hints[operator->takes],
				psprintf(value ? "operator %s takes no \"%s\"" : "operator %s needs \"%s\"",
						 operator->name, names[i]));
		if (name && strcmp(name, names[i]) == 0)
			found = value;
	}
	return found;
}

/* What is not understood is not left out: it might narrow the selection. */
static void
check_members(JsonbContainer *object, const char *const *allowed, char *path,
			  const char *whose)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbValue	value;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		const char *const *name = allowed;
		StringInfoData list;
		char	   *member;

		if (token != WJB_KEY)
			continue;
		member = pnstrdup(value.val.string.val, value.val.string.len);
		while (*name && strcmp(*name, member) != 0)
			name++;
		if (*name)
			continue;
		initStringInfo(&list);
		for (name = allowed; *name; name++)
			appendStringInfo(&list, "%s\"%s\"", name > allowed ? ", " : "", *name);
		bad(member_path(path, is_plain(member) ? member : shown(member)),
			psprintf("In %s: %s.", whose, list.data), psprintf("unknown member %s", shown(member)));
	}
}

static bool
is_plain(const char *name)
{
	size_t		len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");

	return len > 0 && len <= MAX_SHOWN && name[len] == '\0';
}

/* ---- operators and properties ---- */

static const Operator *
find_operator(const char *name, const Property *property, char *path)
{
	for (size_t i = 0; i < lengthof(operators); i++)
	{
		if (strcmp(operators[i].name, name) != 0)
			continue;
		if (!(operators[i].kinds & property->kind))
			bad(path, operator_list(property->kind),
				psprintf("operator %s is not for column \"%s\" of type %s", name,
						 property->name, format_type_be(property->type)));
		return &operators[i];
	}
	bad(path, operator_list(property->kind), psprintf("unknown operator %s", shown(name)));
}

static void
find_property(Compile *state, const char *name, char *path, Property *property)
{
	Oid			relid = state->attachment->relid;
	AttrNumber	column = get_attnum(relid, name);
	Oid			type;
	int32		typmod;

	if (column <= 0)
		bad(path, column_list(relid), psprintf("table %s has no column %s",
											   mkt_qualified_name(relid), shown(name)));
	get_atttypetypmodcoll(relid, column, &type, &typmod, &property->collation);
	property->name = name;
	property->type = getBaseType(type);
	classify(property);
	property->expression = marketing_expression(state, column,
												psprintf("c.%s", quote_identifier(name)));
	if (type != property->type)
		property->expression = psprintf("(%s)::%s", property->expression,
										format_type_be_qualified(property->type));
}

/* The columns that say the state tell it as of now (S1), applied or not. */
static char *
marketing_expression(Compile *state, AttrNumber column, const char *name)
{
	const MktAttachment *attachment = state->attachment;
	char	   *until = psprintf("c.%s", mkt_attachment_column(attachment, attachment->until));
	const char *later = core_operator(state, ">");

	if (column != attachment->status && column != attachment->flag &&
		column != attachment->until)
		return pstrdup(name);
	if (state->now == NULL)
		state->now = append_param(state, TIMESTAMPTZOID, TimestampTzGetDatum(mkt_now()));
	if (column == attachment->flag)
		return psprintf("(%s AND %s %s %s)", name, until, later, state->now);
	if (column == attachment->until)
		return psprintf("(CASE WHEN %s %s %s THEN %s END)", until, later, state->now, name);
	return psprintf("(CASE WHEN %s IS NULL OR %s %s %s THEN %s ELSE %s END)", until, until,
					later, state->now, name,
					append_param(state, get_atttype(attachment->relid, column),
								 ObjectIdGetDatum(attachment->non_marketing)));
}

/* How values of a column are read and compared. */
static void
classify(Property *property)
{
	TypeCacheEntry *type = lookup_type_cache(property->type, TYPECACHE_BTREE_OPFAMILY);
	char		category;
	bool		preferred;

	property->family = type->btree_opf;
	property->left = type->btree_opintype;
	property->right = type->btree_opintype;
	property->operand = type->btree_opintype;
	property->kind = KIND_OTHER;
	get_type_category_preferred(property->type, &category, &preferred);
	switch (property->type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
			property->kind = KIND_INTEGER;
			property->right = property->operand = INT8OID;
			return;
		case NUMERICOID:
		case FLOAT4OID:
		case FLOAT8OID:
			property->kind = KIND_NUMBER;
			return;
		case BOOLOID:
			property->kind = KIND_BOOLEAN;
			return;
		case UUIDOID:
			property->kind = KIND_UUID;
			return;
		case DATEOID:
			property->kind = KIND_DATE;
			return;
		case TIMESTAMPOID:
			property->kind = KIND_TIMESTAMP;
			return;
		case TIMESTAMPTZOID:
			property->kind = KIND_TIMESTAMPTZ;
			return;
	}
	if (type->typtype == TYPTYPE_ENUM)
	{
		property->kind = KIND_ENUM;
		property->operand = property->type;
	}
	else if (category == TYPCATEGORY_STRING && property->type != NAMEOID &&
			 OidIsValid(type->btree_opf))
		property->kind = KIND_TEXT; /* citext, too, with operators of its own */
}

static char *
column_list(Oid relid)
{
	Relation	rel = RelationIdGetRelation(relid);
	StringInfoData list;
	int			n = 0;

	initStringInfo(&list);
	appendStringInfoString(&list, "Columns: ");
	for (int i = 0; rel && i < RelationGetDescr(rel)->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(RelationGetDescr(rel), i);

		if (column->attisdropped)
			continue;
		if (n++ == MAX_LISTED)
		{
			appendStringInfoString(&list, ", ...");
			break;
		}
		appendStringInfo(&list, "%s%s", n > 1 ? ", " : "", NameStr(column->attname));
	}
	if (rel)
		RelationClose(rel);
	appendStringInfoChar(&list, '.');
	return list.data;
}

static char *
operator_list(Kind kind)
{
	StringInfoData list;

	initStringInfo(&list);
	appendStringInfoString(&list, "Operators for it: ");
	for (size_t i = 0, n = 0; i < lengthof(operators); i++)
	{
		if (operators[i].kinds & kind)
			appendStringInfo(&list, "%s%s", n++ ? ", " : "", operators[i].name);
	}
	appendStringInfoChar(&list, '.');
	return list.data;
}

/* What a value of the property may be, for a hint. */
static const char *
expected(const Property *property)
{
	switch (property->kind)
	{
		case KIND_TEXT:
			return "A string.";
		case KIND_INTEGER:
			return "A whole number, such as 42.";
		case KIND_NUMBER:
			return "A number, such as 9.99.";
		case KIND_DATE:
			return "A date, such as \"2026-03-01\", milliseconds since 1970, \"now\", or a time from now, such as \"-90 days\".";
		case KIND_TIMESTAMP:
		case KIND_TIMESTAMPTZ:
			return "An instant, such as \"2026-03-01\" or \"2026-03-01T12:00:00Z\", milliseconds since 1970, \"now\", or a time from now, such as \"-90 days\".";
		case KIND_ENUM:
			return label_list(property->type);
		case KIND_BOOLEAN:
			return "true or false.";
		case KIND_UUID:
			return "A uuid, such as \"00000000-0000-0000-0000-000000000001\".";
		case KIND_OTHER:		/* LCOV_EXCL_LINE: no operator takes a value
								 * of it */
			break;				/* LCOV_EXCL_LINE: the same */
	}
	pg_unreachable();
}

static char *
label_list(Oid type)
{
	CatCList   *labels = SearchSysCacheList1(ENUMTYPOIDNAME, ObjectIdGetDatum(type));
	StringInfoData list;

	initStringInfo(&list);
	appendStringInfoString(&list, "One of: ");
	for (int i = 0; i < labels->n_members && i <= MAX_LISTED; i++)
	{
		Form_pg_enum label = (Form_pg_enum) GETSTRUCT(&labels->members[i]->tuple);

		appendStringInfo(&list, "%s%s", i ? ", " : "",
						 i < MAX_LISTED ? shown(NameStr(label->enumlabel)) : "...");
	}
	appendStringInfoChar(&list, '.');
	ReleaseSysCacheList(labels);
	return list.data;
}

/* ---- values ---- */

/* A value as the property's type reads it; what that refuses is an error here. */
static Datum
convert(const Property *property, JsonbValue *value, char *path)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		result = (Datum) 0;

	PG_TRY();
	{
		result = convert_scalar(property, value);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_DATA_EXCEPTION)
			PG_RE_THROW();		/* LCOV_EXCL_LINE: cancelled, or out of memory */
		FlushErrorState();
		bad(path, expected(property), psprintf("%s does not fit column \"%s\" of type %s",
											   shown_value(value), property->name, format_type_be(property->type)));
	}
	PG_END_TRY();
	return result;
}

static Datum
convert_scalar(const Property *property, JsonbValue *value)
{
	TimestampTz instant;
	Oid			input;
	Oid			parameter;

	switch (property->kind)
	{
		case KIND_INTEGER:
		case KIND_NUMBER:
			return convert_number(property, value);
		case KIND_DATE:
			instant = convert_instant(value, true);
			return DirectFunctionCall1(timestamp_date, TimestampGetDatum(instant));
		case KIND_TIMESTAMP:
		case KIND_TIMESTAMPTZ:
			return TimestampTzGetDatum(convert_instant(value, false));
		case KIND_BOOLEAN:
			if (value->type == jbvBool)
				return BoolGetDatum(value->val.boolean);
			break;
		case KIND_TEXT:
		case KIND_ENUM:
		case KIND_UUID:
		case KIND_OTHER:
			break;
	}
	if (value->type != jbvString)
		mismatch();
	getTypeInputInfo(property->operand, &input, &parameter);
	return OidInputFunctionCall(input, pnstrdup(value->val.string.val, value->val.string.len),
								parameter, -1);
}

static Datum
convert_number(const Property *property, JsonbValue *value)
{
	Datum		number;
	char	   *text;

	if (value->type == jbvNumeric)
		number = NumericGetDatum(value->val.numeric);
	else if (value->type == jbvString)
	{
		text = pnstrdup(value->val.string.val, value->val.string.len);

		if (!is_number(text))
			mismatch();
		number = DirectFunctionCall3(numeric_in, CStringGetDatum(text),
									 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	}
	else
		mismatch();
	switch (property->operand)
	{
		case INT8OID:
			if (!DatumGetBool(DirectFunctionCall2(numeric_eq, number,
												  DirectFunctionCall2(numeric_trunc, number,
																	  Int32GetDatum(0)))))
				mismatch();
			return DirectFunctionCall1(numeric_int8, number);
		case FLOAT4OID:
			return DirectFunctionCall1(numeric_float4, number);
		case FLOAT8OID:
			return DirectFunctionCall1(numeric_float8, number);
	}
	return number;
}

/* A number as JSON writes it; NaN and infinity are none. */
static bool
is_number(const char *text)
{
	const char *p = text +(*text == '-' || *text == '+');
	const char *digits = p;

	p += strspn(p, "0123456789");
	if (p == digits)
		return false;
	if (*p == '.')
	{
		digits = ++p;
		p += strspn(p, "0123456789");
		if (p == digits)
			return false;
	}
	if (*p == 'e' || *p == 'E')
	{
		p += 1 + (p[1] == '-' || p[1] == '+');
		digits = p;
		p += strspn(p, "0123456789");
		if (p == digits || p - digits > 4)
			return false;
	}
	return *p == '\0';
}

/* A date or instant: milliseconds, ISO, or relative to now. */
static TimestampTz
convert_instant(JsonbValue *value, bool date_only)
{
	TimestampTz result;
	bool		has_time;
	bool		has_zone;
	char	   *text = NULL;

	if (value->type == jbvString)
		text = pnstrdup(value->val.string.val, value->val.string.len);

	if (value->type == jbvNumeric || (text &&is_digits(text)))
	{
		Property	whole = {.kind = KIND_INTEGER,.operand = INT8OID};
		int64		ms = DatumGetInt64(convert_number(&whole, value));

		if ((ms > -MIN_MILLISECONDS && ms < MIN_MILLISECONDS) ||
			ms < -MAX_MILLISECONDS || ms > MAX_MILLISECONDS)
			mismatch();
		return (ms * 1000) - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
	}
	if (text == NULL)
		mismatch();
	if (read_relative(text, &result))
		return result;
	if (!read_iso(text, &has_time, &has_zone) || (date_only && has_time))
		mismatch();
	if (!has_zone)
		text = psprintf("%s%s", text, has_time ? "Z" : " 00:00Z");

	return DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(text),
												   ObjectIdGetDatum(InvalidOid),
												   Int32GetDatum(-1)));
}

static bool
is_digits(const char *text)
{
	text	  +=*text == '-';

	return *text &&text[strspn(text, "0123456789")] == '\0';
}

/* Whether a text is 2026-03-01, perhaps with T12:00:00.000 and Z or +02:00. */
static bool
read_iso(const char *text, bool *has_time, bool *has_zone)
{
	const char *p = read_shape(text, "dddd-dd-dd");
	const char *zone;

	*has_time = *has_zone = false;
	if (p == NULL || *p == '\0')
		return p != NULL;
	*has_time = true;
	if ((*p != 'T' && *p != 't' && *p != ' ') ||
		(p = read_shape(p + 1, "dd:dd")) == NULL)
		return false;
	if (*p == ':' && (p = read_shape(p, ":dd")) == NULL)
		return false;
	if (*p == '.')
	{
		size_t		digits = strspn(p + 1, "0123456789");

		if (digits == 0 || digits > 9)
			return false;
		p += 1 + digits;
	}
	if (*p == '\0')
		return true;
	*has_zone = true;
	if (*p == 'Z' || *p == 'z')
		return p[1] == '\0';
	if (*p != '+' && *p != '-')
		return false;
	zone = read_shape(p + 1, "dd:dd");
	if (zone == NULL)
		zone = read_shape(p + 1, "dddd");
	if (zone == NULL)
		zone = read_shape(p + 1, "dd");
	return zone && *zone == '\0';
}

/* Where a text that begins with a shape goes on; d stands for a digit. */
static const char *
read_shape(const char *text, const char *shape)
{
	for (; *shape; text ++, shape++)
	{
		if (*shape == 'd' ? !isdigit((unsigned char) *text) : *text !=*shape)
			return NULL;
	}
	return text;
}

/* "now", or "-90 days": days and months are those of UTC. */
static bool
read_relative(const char *text, TimestampTz *result)
{
	static const struct
	{
		const char *name;
		Interval	length;
	}			units[] = {
		{"minute", {.time = USECS_PER_MINUTE}},
		{"hour", {.time = USECS_PER_HOUR}},
		{"day", {.day = 1}},
		{"week", {.day = 7}},
		{"month", {.month = 1}},
		{"year", {.month = MONTHS_PER_YEAR}}
	};
	const char *unit;
	size_t		digits;
	int			n;

	*result = mkt_now();
	if (pg_strcasecmp(text, "now") == 0)
		return true;
	digits = *text == '-' || *text == '+' ? strspn(text +1, "0123456789") : 0;
	if (digits == 0 || digits > 5)
		return false;
	n = atoi(text);
	unit = text +1 + digits;

	unit += strspn(unit, " ");
	for (size_t i = 0; i < lengthof(units); i++)
	{
		size_t		len = strlen(units[i].name);
		Interval	span = {
			.time = units[i].length.time * n,
			.day = units[i].length.day * n,
			.month = units[i].length.month * n
		};

		if (pg_strncasecmp(unit, units[i].name, len) != 0 ||
			(unit[len] && pg_strcasecmp(unit + len, "s") != 0))
			continue;
		*result = DatumGetTimestamp(DirectFunctionCall2(timestamp_pl_interval,
														TimestampGetDatum(*result),
														IntervalPGetDatum(&span)));
		return true;
	}
	return false;
}

/* Is caught where the place of the value is known. */
static void
mismatch(void)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			errmsg("a value does not fit its column"));
}

/* ---- the condition's text ---- */

/* A new parameter, as the condition names it. */
static char *
append_param(Compile *state, Oid type, Datum value)
{
	if (!state->readable)
		return psprintf("$%d", mkt_filter_add_param(state->result, type, value));
	return psprintf("%s%s%s", quote_literal_cstr(mkt_account_text(type, value)),
					type == TEXTOID ? "" : "::",
					type == TEXTOID ? "" :
					format_type_extended(type, -1, FORMAT_TYPE_TYPEMOD_GIVEN));
}

static const char *
operator_name(Compile *state, Oid operator)
{
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	const char *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	name = form->oprnamespace == PG_CATALOG_NAMESPACE ?
		core_operator(state, NameStr(form->oprname)) :
		psprintf("OPERATOR(%s.%s)",
				 quote_identifier(get_namespace_name(form->oprnamespace)),
				 NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return name;
}

static const char *
core_operator(Compile *state, const char *name)
{
	return state->readable ? pstrdup(name) : psprintf("OPERATOR(pg_catalog.%s)", name);
}

/* ---- errors ---- */

static char *
member_path(const char *path, const char *member)
{
	return *path ? psprintf("%s.%s", path, member) : pstrdup(member);
}

/* A text as JSON writes it, on one line and not too long. */
static char *
shown(const char *text)
{
	StringInfoData json;
	int			len = strlen(text);
	int			cut = pg_mbcliplen(text, len, MAX_SHOWN);

	initStringInfo(&json);
	escape_json(&json, cut < len ? psprintf("%.*s...", cut, text) : text);
	return json.data;
}

static char *
shown_value(JsonbValue *value)
{
	char	   *number;

	switch (value->type)
	{
		case jbvString:
			return shown(pnstrdup(value->val.string.val, value->val.string.len));
		case jbvNumeric:
			number = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
			return strlen(number) > MAX_SHOWN ? psprintf("%.*s...", MAX_SHOWN, number) : number;
		case jbvBool:
			return value->val.boolean ? "true" : "false";
		case jbvNull:
			return "null";
		default:
			return value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data) ?
				"an array" : "an object";
	}
}

/* What is wrong, where, and what may stand there. */
static void
bad(const char *path, const char *hint, const char *message)
{
	ereport(ERROR,
			errcode(ERRCODE_MKT_BAD_FILTER),
			errmsg("%s", message),
			errdetail("At %s of the filter.", path),
			errhint("%s", hint));
}
