/*-------------------------------------------------------------------------
 * hubspot_file.c
 *	  A HubSpot contact export, a large object or a text, as rows for an
 *	  attached table.
 *
 * Opening reads the headers and decides what each column is: the contact's key
 * or account, what is said about its status, a column of the table, or nothing.
 * Then rows are read one by one.  A row that cannot be a contact comes with the
 * reason; no row is left out.
 *
 * Memory stays small: a window of the large object, one row, and 24 bytes for
 * every key, to know one that comes again.  The caller is connected to SPI.
 *-------------------------------------------------------------------------
 */
#include "hubspot.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_index.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "errors.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* The arguments of all functions that read an export. */
enum
{
	ARG_CONTACTS, ARG_EXPORT, ARG_ACCOUNT, ARG_MAPPING, ARG_KEY_COLUMN
};

#define WINDOW_STEP		(1024 * 1024)
#define MAX_RECORD		(16 * 1024 * 1024)
#define MAX_TEXT_KEPT	10000

/* The headers as HubSpot writes them. */
const char *const mkt_hubspot_labels[MKT_HUBSPOT_HEADERS] = {
	"Record ID", "First Name", "Last Name", "Email", "Create Date",
	"Marketing contact status", "Marketing contact until next update",
	"Marketing contact status source type",
	"Marketing contact status source name", "Unsubscribed from all email",
	"Email hard bounce reason"
};

/* Other names of theirs, and the columns that they go to without a mapping. */
typedef struct KnownName
{
	MktHubspotHeader header;
	const char *name;			/* normalized */
} KnownName;

static const KnownName known_names[] = {
	{MKT_HUBSPOT_RECORD_ID, "record_id"},
	{MKT_HUBSPOT_RECORD_ID, "record_id_contact"},
	{MKT_HUBSPOT_RECORD_ID, "hs_object_id"},
	{MKT_HUBSPOT_FIRST_NAME, "first_name"},
	{MKT_HUBSPOT_FIRST_NAME, "firstname"},
	{MKT_HUBSPOT_LAST_NAME, "last_name"},
	{MKT_HUBSPOT_LAST_NAME, "lastname"},
	{MKT_HUBSPOT_EMAIL, "email"},
	{MKT_HUBSPOT_CREATE_DATE, "create_date"},
	{MKT_HUBSPOT_CREATE_DATE, "createdate"},
	{MKT_HUBSPOT_STATUS, "marketing_contact_status"},
	{MKT_HUBSPOT_STATUS, "hs_marketable_status"},
	{MKT_HUBSPOT_UNTIL_NEXT_UPDATE, "marketing_contact_until_next_update"},
	{MKT_HUBSPOT_UNTIL_NEXT_UPDATE, "hs_marketable_until_renewal"},
	{MKT_HUBSPOT_SOURCE_TYPE, "marketing_contact_status_source_type"},
	{MKT_HUBSPOT_SOURCE_TYPE, "hs_marketable_reason_type"},
	{MKT_HUBSPOT_SOURCE_NAME, "marketing_contact_status_source_name"},
	{MKT_HUBSPOT_SOURCE_NAME, "hs_marketable_reason_id"},
	{MKT_HUBSPOT_UNSUBSCRIBED, "unsubscribed_from_all_email"},
	{MKT_HUBSPOT_UNSUBSCRIBED, "hs_email_optout"},
	{MKT_HUBSPOT_UNSUBSCRIBED, "unsubscribed"},
	{MKT_HUBSPOT_BOUNCE_REASON, "email_hard_bounce_reason"},
	{MKT_HUBSPOT_BOUNCE_REASON, "hs_email_hard_bounce_reason_enum"},
	{MKT_HUBSPOT_BOUNCE_REASON, "hs_email_hard_bounce_reason"},
	{MKT_HUBSPOT_BOUNCE_REASON, "bounce_reason"},
};

/* A key that came, by 96 bits of its hash, and the line where it did. */
typedef struct SeenKey
{
	uint64		high;
	uint32		low;
} SeenKey;

typedef struct Seen
{
	SeenKey		key;
	uint32		line;
	char		status;
} Seen;

#define HASH_PREFIX seen
#define SH_ELEMENT_TYPE Seen
#define SH_KEY_TYPE SeenKey
#define SH_KEY key
#define SH_HASH_KEY(tb, key) ((uint32) key.high)
#define SH_EQUAL(tb, a, b) ((a).high == (b).high && (a).low == (b).low)
#include "hash.h"

static void read_arguments(FunctionCallInfo fcinfo, MktHubspotFile *file);
static void open_export(FunctionCallInfo fcinfo, MktHubspotFile *file);
static void check_account(FunctionCallInfo fcinfo, MktHubspotFile *file);
static void read_headers(MktHubspotFile *file);
static SPITupleTable *read_mapping(FunctionCallInfo fcinfo, int argno,
								   uint64 *n);
static void check_mapping(MktHubspotFile *file, SPITupleTable *mapping,
						  uint64 n);
static void place_columns(FunctionCallInfo fcinfo, MktHubspotFile *file);
static AttrNumber column_of(const MktHubspotFile *file, const char *header,
							SPITupleTable *mapping, uint64 n, bool *ignored);
static AttrNumber mapped_column(const MktAttachment *attachment,
								const char *name);
static AttrNumber column_by_name(const MktAttachment *attachment,
								 const char *name);
static bool known_header(const char *name, MktHubspotHeader *header);
static bool is_written(const MktAttachment *attachment, AttrNumber column);
static bool take_field(MktHubspotFile *file, int field, AttrNumber column);
static void choose_key(FunctionCallInfo fcinfo, MktHubspotFile *file,
					   const AttrNumber *columns);
static void check_identifies(MktHubspotFile *file, AttrNumber column);
static bool index_identifies(Relation index, AttrNumber account,
							 AttrNumber column);
static void add_column(MktHubspotFile *file, int field, AttrNumber column);
static void read_sources(MktHubspotFile *file);
static MktCsvResult read_record(MktHubspotFile *file);
static void more(MktHubspotFile *file);
static const char *row_problem(MktHubspotFile *file, const char *raw, int len);
static const char *read_fields(MktHubspotFile *file, MktHubspotRow *row);
static const char *field_text(const MktHubspotFile *file, int field);
static bool is_empty(const char *value);
static const char *to_server(const MktHubspotFile *file, const char *value,
							 int len);
static const char *read_key(const MktHubspotFile *file, MktHubspotRow *row);
static const char *read_status(const MktHubspotFile *file, MktHubspotRow *row);
static const char *read_source(const MktHubspotFile *file, const char *label);
static const char *read_value(const MktHubspotFile *file,
							  const MktHubspotColumn *column, const char **value);
static bool is_local_time(const char *value);
static const char *note_key(MktHubspotFile *file, const MktHubspotRow *row);
static char *trimmed(const char *value);
static char *normalized(const char *name);
static const char *list_headers(const MktHubspotFile *file);

/* Opens an export for a function (contacts, export, account, mapping, key_column). */
MktHubspotFile *
mkt_hubspot_open(FunctionCallInfo fcinfo)
{
	MktHubspotFile *file = palloc0(sizeof(MktHubspotFile));

	file->context = CurrentMemoryContext;
	file->row_context = AllocSetContextCreate(CurrentMemoryContext,
											  "mktcontacts row of an export",
											  ALLOCSET_DEFAULT_SIZES);
	read_arguments(fcinfo, file);
	read_headers(file);
	place_columns(fcinfo, file);
	check_account(fcinfo, file);
	read_sources(file);
	file->seen = seen_create(file->context, 1024, NULL);
	return file;
}

static void
read_arguments(FunctionCallInfo fcinfo, MktHubspotFile *file)
{
	if (PG_ARGISNULL(ARG_CONTACTS) || PG_ARGISNULL(ARG_EXPORT))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("the contacts table and the export must not be null"),
				errhint("In psql: \\lo_import contacts.csv, then name the table and :LASTOID."));
	file->attachment = mkt_attachment_of(PG_GETARG_OID(ARG_CONTACTS));
	file->contacts = mkt_qualified_name(file->attachment->contacts);
	initStringInfo(&file->window);
	mkt_csv_init(&file->record);
	file->line = 1;
	open_export(fcinfo, file);
}

static void
open_export(FunctionCallInfo fcinfo, MktHubspotFile *file)
{
	Oid		   *types;
	int			ntypes;

	get_func_signature(fcinfo->flinfo->fn_oid, &types, &ntypes);
	if (types[ARG_EXPORT] == OIDOID)
	{
		file->object = PG_GETARG_OID(ARG_EXPORT);
		if (!LargeObjectExists(file->object))
			ereport(ERROR,
					errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("large object %u does not exist", file->object),
					errhint("In psql, \\lo_import contacts.csv makes one; its number is then in :LASTOID."));
	}
	else
	{
		text	   *export = PG_GETARG_TEXT_PP(ARG_EXPORT);

		appendBinaryStringInfo(&file->window, VARDATA_ANY(export),
							   VARSIZE_ANY_EXHDR(export));
		file->at_end = true;
	}
	file->as_is = file->object == InvalidOid ||
		GetDatabaseEncoding() == PG_UTF8 || GetDatabaseEncoding() == PG_SQL_ASCII;
	if (file->window.len == 0)
		more(file);
	if (file->window.len >= 3 &&
		memcmp(file->window.data, "\xEF\xBB\xBF", 3) == 0)
		file->at = 3;
	if (file->window.len >= 2 &&
		(memcmp(file->window.data, "\xFF\xFE", 2) == 0 ||
		 memcmp(file->window.data, "\xFE\xFF", 2) == 0))
		ereport(ERROR,
				errcode(ERRCODE_MKT_BAD_IMPORT),
				errmsg("the export is written in UTF-16"),
				errhint("Save it as CSV in UTF-8."));
}

/* Every row belongs to an account: the table's, the one named, or its own. */
static void
check_account(FunctionCallInfo fcinfo, MktHubspotFile *file)
{
	const MktAttachment *attachment = file->attachment;
	char	   *account = PG_ARGISNULL(ARG_ACCOUNT) ? NULL :
	text_to_cstring(PG_GETARG_TEXT_PP(ARG_ACCOUNT));

	if (!attachment->account)
	{
		file->account = TextDatumGetCString(attachment->constant_account);
		if (account && strcmp(account, file->account) != 0)
			ereport(ERROR,
					errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("table %s belongs to account \"%s\"", file->contacts,
						   file->account),
					errhint("Leave account out."));
		return;
	}
	if (account)
	{
		/* as the column writes it, or an error about what was passed */
		file->account = mkt_account_text(attachment->account_type,
										 mkt_key_convert(PG_GETARG_DATUM(ARG_ACCOUNT), TEXTOID,
														 attachment->account_type));
		if (file->account_field >= 0)
			file->unmatched = lappend(file->unmatched,
									  (void *) file->headers[file->account_field]);
		file->account_field = -1;
	}
	else if (file->account_field < 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the account of the export's contacts is not known"),
				errdetail("Column %s of table %s names it, and the export has no column for that.",
						  mkt_attachment_column(attachment, attachment->account),
						  file->contacts),
				errhint("Name it: account => '...'."));
}

static void
read_headers(MktHubspotFile *file)
{
	MktCsvResult result = read_record(file);
	MktCsvRecord *record = &file->record;

	if (result == MKT_CSV_END)
		ereport(ERROR,
				errcode(ERRCODE_MKT_BAD_IMPORT),
				errmsg("the export is empty"),
				errdetail("Its first line must hold the names of its columns."));
	if (result == MKT_CSV_MALFORMED)
		ereport(ERROR,
				errcode(ERRCODE_MKT_BAD_IMPORT),
				errmsg("the first line of the export cannot be read: %s",
					   record->problem),
				errhint("It must hold the names of the columns, as in: Record ID,Email,Marketing contact status"));
	file->nheaders = record->nfields;
	file->headers = palloc(file->nheaders * sizeof(char *));
	for (int i = 0; i < file->nheaders; i++)
	{
		const char *raw = mkt_csv_field(record, i);
		const char *header = to_server(file, raw, strlen(raw));

		if (header == NULL)
			ereport(ERROR,
					errcode(ERRCODE_MKT_BAD_IMPORT),
					errmsg("the first line of the export is not written in UTF-8"),
					errhint("Save the file as CSV in UTF-8."));
		file->headers[i] = trimmed(header);
	}
}

/* The pairs of a mapping: normalized header, its column or null. */
static SPITupleTable *
read_mapping(FunctionCallInfo fcinfo, int argno, uint64 *n)
{
	*n = 0;
	if (PG_ARGISNULL(argno))
		return NULL;
	if (SPI_execute_with_args("SELECT key, value FROM pg_catalog.jsonb_each_text($1)",
							  1, (Oid[]) {JSONBOID}, (Datum[]) {PG_GETARG_DATUM(argno)},
							  NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the mapping");
	*n = SPI_processed;
	return SPI_tuptable;
}

/* Who maps a header that is not there has mistyped it. */
static void
check_mapping(MktHubspotFile *file, SPITupleTable *mapping, uint64 n)
{
	for (uint64 m = 0; m < n; m++)
	{
		char	   *header = trimmed(SPI_getvalue(mapping->vals[m], mapping->tupdesc, 1));
		bool		found = false;

		for (int i = 0; i < file->nheaders && !found; i++)
			found = strcmp(normalized(file->headers[i]), normalized(header)) == 0;
		if (!found)
			ereport(ERROR,
					errcode(ERRCODE_MKT_BAD_IMPORT),
					errmsg("the export has no column \"%s\"", header),
					errdetail("%s", list_headers(file)),
					errhint("A mapping names columns of the export and of the table: '{\"Record ID\": \"id\"}'."));
	}
}

/* Decides what each column of the export is. */
static void
place_columns(FunctionCallInfo fcinfo, MktHubspotFile *file)
{
	uint64		n;
	SPITupleTable *mapping = read_mapping(fcinfo, ARG_MAPPING, &n);
	AttrNumber *columns = palloc0(file->nheaders * sizeof(AttrNumber));

	check_mapping(file, mapping, n);
	file->account_field = file->key_field = file->email_field = -1;
	file->status_field = file->flag_field = -1;
	file->source_type_field = file->source_name_field = -1;
	file->columns = palloc(file->nheaders * sizeof(MktHubspotColumn));

	for (int i = 0; i < file->nheaders; i++)
	{
		bool		ignored = false;
		AttrNumber	column = column_of(file, file->headers[i], mapping, n, &ignored);

		for (int j = 0; column && j < i; j++)
			if (columns[j] == column)
				column = InvalidAttrNumber; /* taken: the first one counts */
		columns[i] = column;
		if (!column && !ignored)
			file->unmatched = lappend(file->unmatched,
									  (void *) file->headers[i]);
	}
	choose_key(fcinfo, file, columns);
	for (int i = 0; i < file->nheaders; i++)
		if (columns[i] && i != file->key_field && !take_field(file, i, columns[i]))
			add_column(file, i, columns[i]);
}

/* The column of the table to which a header goes: as mapped, or by its name. */
static AttrNumber
column_of(const MktHubspotFile *file, const char *header, SPITupleTable *mapping,
		  uint64 n, bool *ignored)
{
	const MktAttachment *attachment = file->attachment;
	const char *name = normalized(header);
	MktHubspotHeader known;
	AttrNumber	column;

	for (uint64 m = 0; m < n; m++)
	{
		char	   *mapped = SPI_getvalue(mapping->vals[m], mapping->tupdesc, 1);
		char	   *target = SPI_getvalue(mapping->vals[m], mapping->tupdesc, 2);

		if (strcmp(normalized(mapped), name) != 0)
			continue;
		*ignored = target == NULL;
		return target ? mapped_column(attachment, target) : InvalidAttrNumber;
	}
	if (known_header(name, &known))
	{
		if (known == MKT_HUBSPOT_STATUS)
			return attachment->status;
		if (known == MKT_HUBSPOT_UNTIL_NEXT_UPDATE)
			return attachment->flag;
		if (known == MKT_HUBSPOT_SOURCE_TYPE)
			return attachment->source_type;
		if (known == MKT_HUBSPOT_SOURCE_NAME)
			return attachment->source_name;
		for (size_t i = 0; i < lengthof(known_names); i++)
			if (known_names[i].header == known &&
				(column = column_by_name(attachment, known_names[i].name)) != 0)
				return column;
	}
	column = column_by_name(attachment, header);
	return column ? column : column_by_name(attachment, name);
}

static AttrNumber
mapped_column(const MktAttachment *attachment, const char *name)
{
	AttrNumber	column = get_attnum(attachment->contacts, name);

	if (column <= 0)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_COLUMN),
				errmsg("column \"%s\" of table %s does not exist", name,
					   mkt_qualified_name(attachment->contacts)),
				errhint("A mapping names columns of the export and of the table: '{\"Record ID\": \"id\"}'."));
	if (!is_written(attachment, column))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("column \"%s\" of table %s cannot be imported", name,
					   mkt_qualified_name(attachment->contacts)),
				errdetail("It is computed."));
	return column;
}

/* A column that can be written, by its name in any case; 0 without one. */
static AttrNumber
column_by_name(const MktAttachment *attachment, const char *name)
{
	Relation	rel = relation_open(attachment->contacts, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	AttrNumber	column = InvalidAttrNumber;

	for (int i = 0; i < desc->natts && !column; i++)
		if (!TupleDescAttr(desc, i)->attisdropped &&
			pg_strcasecmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0 &&
			is_written(attachment, i + 1))
			column = i + 1;
	relation_close(rel, AccessShareLock);
	return column;
}

static bool
known_header(const char *name, MktHubspotHeader *header)
{
	for (size_t i = 0; i < lengthof(known_names); i++)
		if (strcmp(known_names[i].name, name) == 0)
		{
			*header = known_names[i].header;
			return true;
		}
	return false;
}

static bool
is_written(const MktAttachment *attachment, AttrNumber column)
{
	return column != attachment->until &&
		get_attgenerated(attachment->contacts, column) == '\0';
}

/* Fields that are more than a value for a column. */
static bool
take_field(MktHubspotFile *file, int field, AttrNumber column)
{
	const MktAttachment *attachment = file->attachment;

	if (column == attachment->account)
		file->account_field = field;
	else if (column == attachment->status)
		file->status_field = field;
	else if (column == attachment->flag)
		file->flag_field = field;
	else if (column == attachment->source_type)
		file->source_type_field = field;
	else if (column == attachment->source_name)
		file->source_name_field = field;
	else
		return false;
	return true;
}

/*
 * Contacts are told apart by the column that the caller names, by the one that
 * takes the Record ID, or by the table's own key.
 */
static void
choose_key(FunctionCallInfo fcinfo, MktHubspotFile *file,
		   const AttrNumber *columns)
{
	const MktAttachment *attachment = file->attachment;
	AttrNumber	key = InvalidAttrNumber;
	Oid			type;

	for (int i = 0; i < file->nheaders; i++)
	{
		MktHubspotHeader known;

		if (!columns[i] || !known_header(normalized(file->headers[i]), &known))
			continue;
		if (known == MKT_HUBSPOT_RECORD_ID)
			key = columns[i];
		else if (known == MKT_HUBSPOT_EMAIL)
		{
			file->email_field = i;
			file->email_name = mkt_attachment_column(attachment, columns[i]);
		}
	}
	if (!PG_ARGISNULL(ARG_KEY_COLUMN))
		key = mapped_column(attachment, NameStr(*PG_GETARG_NAME(ARG_KEY_COLUMN)));
	else if (!key && attachment->nkeys == 1)
		key = attachment->keys[0];
	for (int i = 0; i < file->nheaders; i++)
		if (key && columns[i] == key)
			file->key_field = i;
	if (file->key_field < 0)
		ereport(ERROR,
				errcode(ERRCODE_MKT_BAD_IMPORT),
				errmsg("no column of the export tells the contacts of table %s apart",
					   file->contacts),
				errdetail("%s", list_headers(file)),
				errhint("Say where the Record ID goes: mapping => '{\"Record ID\": \"...\"}'. Or which column of both tells them apart: key_column => 'email'."));
	check_identifies(file, key);
	type = get_atttype(attachment->contacts, key);
	file->key_name = mkt_attachment_column(attachment, key);
	file->key_type = format_type_be_qualified(type);
	type = getBaseType(type);
	file->key_is_number = type == INT2OID || type == INT4OID || type == INT8OID;
}

/* One value names one contact of an account at most. */
static void
check_identifies(MktHubspotFile *file, AttrNumber column)
{
	const MktAttachment *attachment = file->attachment;
	Relation	rel = relation_open(attachment->contacts, AccessShareLock);
	bool		unique = false;
	ListCell   *cell;

	foreach(cell, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		unique |= index_identifies(index, attachment->account, column);
		index_close(index, AccessShareLock);
	}
	relation_close(rel, AccessShareLock);
	if (!unique)
		ereport(ERROR,
				errcode(ERRCODE_MKT_AMBIGUOUS_KEY),
				errmsg("column %s of table %s does not tell contacts apart",
					   mkt_attachment_column(attachment, column), file->contacts),
				errdetail("It has no unique index, alone or with the account."),
				errhint("CREATE UNIQUE INDEX CONCURRENTLY ON %s (%s%s%s);",
						file->contacts,
						attachment->account ? mkt_attachment_column(attachment, attachment->account) : "",
						attachment->account ? ", " : "",
						mkt_attachment_column(attachment, column)));
}

static bool
index_identifies(Relation index, AttrNumber account, AttrNumber column)
{
	Form_pg_index form = index->rd_index;

	if (!form->indisunique || !form->indisvalid || !form->indimmediate ||
		!heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL))
		return false;
	for (int i = 0; i < form->indnkeyatts; i++)
		if (form->indkey.values[i] != column &&
			(account == InvalidAttrNumber || form->indkey.values[i] != account))
			return false;
	return true;
}

static void
add_column(MktHubspotFile *file, int field, AttrNumber column)
{
	Oid			contacts = file->attachment->contacts;
	Oid			type = get_atttype(contacts, column);
	Relation	rel = relation_open(contacts, AccessShareLock);
	MktHubspotColumn *added = &file->columns[file->ncolumns++];

	added->field = field;
	added->header = file->headers[field];
	added->name = mkt_attachment_column(file->attachment, column);
	added->type = format_type_be_qualified(type);
	added->not_null = TupleDescAttr(RelationGetDescr(rel), column - 1)->attnotnull;
	relation_close(rel, AccessShareLock);
	if (getBaseType(type) == BOOLOID)
		added->kind = MKT_HUBSPOT_BOOLEAN;
	else if (getBaseType(type) == TIMESTAMPTZOID)
		added->kind = MKT_HUBSPOT_INSTANT;
	else
		added->kind = MKT_HUBSPOT_TEXT;
}

/* HubSpot's names of tools, and ours. */
static void
read_sources(MktHubspotFile *file)
{
	MktRights	rights = mkt_act_as(mkt_extension_owner());

	if (SPI_execute("SELECT label, tool FROM mkt.hubspot_source", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read HubSpot's names of tools");
	mkt_act_again_as(rights);
	file->nsources = SPI_processed;
	file->source_labels = palloc(file->nsources * sizeof(char *));
	file->source_tools = palloc(file->nsources * sizeof(char *));
	for (uint64 i = 0; i < file->nsources; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];

		file->source_labels[i] = normalized(SPI_getvalue(tuple, SPI_tuptable->tupdesc, 1));
		file->source_tools[i] = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 2);
	}
}

/* Reads the next row; false at the end. */
bool
mkt_hubspot_next(MktHubspotFile *file, MktHubspotRow *row)
{
	MemoryContext before = CurrentMemoryContext;
	MktCsvResult result;
	const char *raw;
	int			len;

	CHECK_FOR_INTERRUPTS();
	MemoryContextReset(file->row_context);
	memset(row, 0, sizeof(*row));
	do
	{
		file->at += file->record.used;
		file->line += file->record.breaks;
		file->record.used = file->record.breaks = 0;
		result = read_record(file);
		if (result == MKT_CSV_END)
			return false;
		raw = file->window.data + file->at;
		len = file->record.used;
		while (len > 0 && (raw[len - 1] == '\n' || raw[len - 1] == '\r'))
			len--;
	} while (len == 0);			/* an empty line is no contact */

	MemoryContextSwitchTo(file->row_context);
	row->line = file->line;
	row->account = file->account;
	row->status = MKT_HUBSPOT_NOTHING;
	row->problem = row_problem(file, raw, len);
	if (row->problem == NULL)
		row->problem = read_fields(file, row);
	row->text = to_server(file, raw, len > MAX_TEXT_KEPT ?
						  pg_encoding_mbcliplen(file->object ? PG_UTF8 : GetDatabaseEncoding(),
												raw, len, MAX_TEXT_KEPT) : len);
	MemoryContextSwitchTo(before);
	return true;
}

/* Reads a record at the place where the file is, with as much of it as that takes. */
static MktCsvResult
read_record(MktHubspotFile *file)
{
	for (;;)
	{
		const char *data = file->window.data + file->at;
		size_t		len = file->window.len - file->at;
		bool		too_long = len > MAX_RECORD && !file->at_end;
		MktCsvResult result = mkt_csv_read(data, len, file->at_end, &file->record);

		if (result != MKT_CSV_MORE)
			return result;
		if (too_long)
		{
			/* a quote that nobody closed: the line is given up */
			file->record.used = mkt_csv_first_line(data, len);
			file->record.breaks = 1;
			file->record.problem = "a quoted field has no end";
			if (file->record.used == 0)
				ereport(ERROR,
						errcode(ERRCODE_MKT_BAD_IMPORT),
						errmsg("line " INT64_FORMAT " of the export is longer than %d bytes",
							   file->line, MAX_RECORD),
						errhint("Is it a CSV file?"));
			return MKT_CSV_MALFORMED;
		}
		more(file);
	}
}

/* Moves the window on: what is not read yet, and more of the large object. */
static void
more(MktHubspotFile *file)
{
	size_t		rest = file->window.len - file->at;
	int32		step = Max(WINDOW_STEP, rest);
	bytea	   *piece;
	int			len;

	if (file->at_end)
		return;
	piece = DatumGetByteaPP(DirectFunctionCall3(be_lo_get_fragment,
												ObjectIdGetDatum(file->object),
												Int64GetDatum(file->offset),
												Int32GetDatum(step)));
	len = VARSIZE_ANY_EXHDR(piece);
	memmove(file->window.data, file->window.data + file->at, rest);
	file->window.len = rest;
	file->at = 0;
	appendBinaryStringInfo(&file->window, VARDATA_ANY(piece), len);
	pfree(piece);
	file->offset += len;
	file->at_end = len < step;
}

/* What is wrong with a record as a whole. */
static const char *
row_problem(MktHubspotFile *file, const char *raw, int len)
{
	if (file->record.problem)
		return file->record.problem;
	if (file->object && pg_encoding_verifymbstr(PG_UTF8, raw, len) != len)
		return "the line is not written in UTF-8";
	if (file->record.nfields != file->nheaders)
		return psprintf("%d %s, and the first line has %d",
						file->record.nfields,
						file->record.nfields == 1 ? "field" : "fields", file->nheaders);
	return NULL;
}

/* Reads what the fields say; the first problem ends it. */
static const char *
read_fields(MktHubspotFile *file, MktHubspotRow *row)
{
	const char *problem = read_key(file, row);

	if (problem == NULL)
		problem = read_status(file, row);
	if (problem == NULL && file->source_type_field >= 0)
		row->source_type = read_source(file, field_text(file, file->source_type_field));
	if (problem == NULL && file->source_name_field >= 0 && row->source_type)
	{
		row->source_name = field_text(file, file->source_name_field);
		if (is_empty(row->source_name))
			row->source_name = NULL;
	}
	row->values = palloc0(file->ncolumns * sizeof(char *));
	for (int i = 0; i < file->ncolumns && problem == NULL; i++)
		problem = read_value(file, &file->columns[i], &row->values[i]);
	return problem ? problem : note_key(file, row);
}

/* A field of a record that was verified, as the server writes it. */
static const char *
field_text(const MktHubspotFile *file, int field)
{
	const char *raw = mkt_csv_field(&file->record, field);

	return file->as_is ? raw : to_server(file, raw, strlen(raw));
}

/* HubSpot writes what it does not know as nothing, or as two hyphens. */
static bool
is_empty(const char *value)
{
	while (isspace((unsigned char) *value))
		value++;
	if (strncmp(value, "--", 2) == 0)
		value += 2;
	while (isspace((unsigned char) *value))
		value++;
	return *value == '\0';
}

/* A large object is in UTF-8.  NULL: it cannot be written here. */
static const char *
to_server(const MktHubspotFile *file, const char *value, int len)
{
	int			encoding = GetDatabaseEncoding();
	Oid			conversion;
	char	   *result;

	if (file->object == InvalidOid)
		return pnstrdup(value, len);
	if (pg_encoding_verifymbstr(PG_UTF8, value, len) != len)
		return NULL;
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return pnstrdup(value, len);
	conversion = FindDefaultConversionProc(PG_UTF8, encoding);
	result = palloc(len * MAX_CONVERSION_GROWTH + 1);
	if (!OidIsValid(conversion) ||
		pg_do_encoding_conversion_buf(conversion, PG_UTF8, encoding,
									  (unsigned char *) value, len,
									  (unsigned char *) result,
									  len * MAX_CONVERSION_GROWTH + 1, true) != len)
		return NULL;
	return result;
}

static const char *
read_key(const MktHubspotFile *file, MktHubspotRow *row)
{
	const char *header = file->headers[file->key_field];

	for (int i = 0; i < file->nheaders && !file->as_is; i++)
		if (field_text(file, i) == NULL)
			return psprintf("%s cannot be written in the database's encoding",
							file->headers[i]);
	if (file->email_field >= 0)
		row->email = trimmed(field_text(file, file->email_field));
	row->key = trimmed(field_text(file, file->key_field));
	if (is_empty(row->key))
		return psprintf("no %s", header);
	if (file->key_is_number)
	{
		char	   *end;
		int64		number;

		errno = 0;
		number = strtoi64(row->key, &end, 10);
		if (*end != '\0' || errno != 0)
			return psprintf("%s is no whole number: %s", header, row->key);
		row->key = psprintf(INT64_FORMAT, number);
	}
	if (file->account_field >= 0)
	{
		row->account = trimmed(field_text(file, file->account_field));
		if (is_empty(row->account))
			return psprintf("no %s", file->headers[file->account_field]);
	}
	return NULL;
}

static const char *
read_status(const MktHubspotFile *file, MktHubspotRow *row)
{
	const char *status = file->status_field < 0 ? "" : trimmed(field_text(file, file->status_field));
	const char *flag = file->flag_field < 0 ? "" : trimmed(field_text(file, file->flag_field));
	bool		marketing = pg_strcasecmp(status, "Marketing contact") == 0 ||
	pg_strcasecmp(status, "marketing") == 0 || pg_strcasecmp(status, "true") == 0;
	bool		pending = false;

	if (!is_empty(flag) && !parse_bool(flag, &pending))
		return psprintf("unknown %s: %s", file->headers[file->flag_field], flag);
	if (is_empty(status))
		return NULL;
	if (marketing && file->flag_field < 0)
		row->status = MKT_HUBSPOT_MARKETING_OR_PENDING;
	else if (marketing)
		row->status = pending ? MKT_HUBSPOT_PENDING : MKT_HUBSPOT_MARKETING;
	else if (pg_strcasecmp(status, "Non-marketing contact") == 0 ||
			 pg_strcasecmp(status, "non_marketing") == 0 ||
			 pg_strcasecmp(status, "false") == 0)
		row->status = MKT_HUBSPOT_NON_MARKETING;
	else
		return psprintf("unknown %s: %s", file->headers[file->status_field], status);
	return NULL;
}

/* Our name of a tool, where the correspondence is clear. */
static const char *
read_source(const MktHubspotFile *file, const char *label)
{
	char	   *name = normalized(label);

	if (is_empty(label))
		return NULL;
	for (uint64 i = 0; i < file->nsources; i++)
		if (strcmp(file->source_labels[i], name) == 0)
			return file->source_tools[i];
	return trimmed(label);
}

/* NULL stands for an empty field. */
static const char *
read_value(const MktHubspotFile *file, const MktHubspotColumn *column,
		   const char **value)
{
	const char *field = field_text(file, column->field);
	bool		parsed;

	if (*field == '\0' || (column->kind != MKT_HUBSPOT_TEXT && is_empty(field)))
		return NULL;
	*value = field;
	switch (column->kind)
	{
		case MKT_HUBSPOT_TEXT:
			break;
		case MKT_HUBSPOT_BOOLEAN:
			if (!parse_bool(trimmed(field), &parsed))
				return psprintf("%s is neither true nor false: %s", column->header, field);
			*value = parsed ? "true" : "false";
			break;
		case MKT_HUBSPOT_INSTANT:
			*value = trimmed(field);
			if (!is_local_time(*value))
				return psprintf("%s is no time as YYYY-MM-DD HH:MM: %s",
								column->header, field);
			break;
	}
	return NULL;
}

/* YYYY-MM-DD, and perhaps HH:MM, and perhaps :SS and a fraction; of our calendar. */
static bool
is_local_time(const char *value)
{
	static const char *const shape = "0000-00-00 00:00:00";
	size_t		len = 0;
	int			year = 0;
	int			month = 0;
	int			day = 0;
	int			hour = 0;
	int			minute = 0;
	int			second = 0;

	while (shape[len] != '\0' && value[len] != '\0')
	{
		if (shape[len] == '0' ? !isdigit((unsigned char) value[len]) :
			value[len] != shape[len] && !(len == 10 && value[len] == 'T'))
			return false;
		len++;
	}
	if (len == 19 && value[len] == '.')
	{
		if (strspn(value + len + 1, "0123456789") != strlen(value + len + 1))
			return false;
	}
	else if (value[len] != '\0' || (len != 10 && len != 16 && len != 19))
		return false;
	sscanf(value, "%4d-%2d-%2d%*c%2d:%2d:%2d", &year, &month, &day, &hour, &minute,
		   &second);
	return year >= 1 && month >= 1 && month <= MONTHS_PER_YEAR && day >= 1 &&
		day <= day_tab[isleap(year)][month - 1] && hour < HOURS_PER_DAY &&
		minute < MINS_PER_HOUR && second < SECS_PER_MINUTE;
}

/* A contact that comes twice is taken the first time. */
static const char *
note_key(MktHubspotFile *file, const MktHubspotRow *row)
{
	char	   *name = psprintf("%s%c%s", row->account, '\n', row->key);
	int			len = strlen(name);
	SeenKey		key = {
		.high = hash_bytes_extended((unsigned char *) name, len, 0),
		.low = (uint32) hash_bytes_extended((unsigned char *) name, len, 1)
	};
	bool		found;
	Seen	   *seen = seen_insert(file->seen, key, &found);

	if (found)
		return psprintf("%s %s stands in line %u already",
						file->headers[file->key_field], row->key, seen->line);
	seen->line = (uint32) row->line;
	return NULL;
}

/*
 * For writing: the column in which a header's values are, as mapped by an
 * argument or by its name; 0 without one.
 */
AttrNumber
mkt_hubspot_column(const MktAttachment *attachment, MktHubspotHeader header,
				   FunctionCallInfo fcinfo, int mapping)
{
	uint64		n;
	SPITupleTable *pairs = read_mapping(fcinfo, mapping, &n);
	AttrNumber	column;

	for (uint64 i = 0; i < n; i++)
	{
		char	   *name = SPI_getvalue(pairs->vals[i], pairs->tupdesc, 1);
		char	   *target = SPI_getvalue(pairs->vals[i], pairs->tupdesc, 2);
		MktHubspotHeader known;

		if (!known_header(normalized(name), &known) || known != header)
			continue;
		if (target == NULL)
			return InvalidAttrNumber;
		column = get_attnum(attachment->contacts, target);
		if (column <= 0)
			ereport(ERROR,
					errcode(ERRCODE_UNDEFINED_COLUMN),
					errmsg("column \"%s\" of table %s does not exist", target,
						   mkt_qualified_name(attachment->contacts)));
		return column;
	}
	for (size_t i = 0; i < lengthof(known_names); i++)
		if (known_names[i].header == header &&
			(column = column_by_name(attachment, known_names[i].name)) != 0)
			return column;
	return InvalidAttrNumber;
}

/* For writing: a mapping may name only what is exported from a column. */
void
mkt_hubspot_check_mapping(FunctionCallInfo fcinfo, int mapping)
{
	uint64		n;
	SPITupleTable *pairs = read_mapping(fcinfo, mapping, &n);

	for (uint64 i = 0; i < n; i++)
	{
		char	   *name = SPI_getvalue(pairs->vals[i], pairs->tupdesc, 1);
		MktHubspotHeader header;

		if (!known_header(normalized(name), &header) ||
			(header >= MKT_HUBSPOT_STATUS && header <= MKT_HUBSPOT_SOURCE_NAME))
			ereport(ERROR,
					errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("an export takes no \"%s\" from a column", name),
					errdetail("It takes Record ID, First Name, Last Name, Email, Create Date, Unsubscribed from all email, and Email hard bounce reason."),
					errhint("More columns can be joined: SELECT e.*, c.phone AS \"Phone Number\" FROM mkt.export_hubspot(...) AS e JOIN ..."));
	}
}

/* The accounts that are not in UTC and their zones, as two arrays. */
void
mkt_hubspot_zones(Datum *accounts, Datum *zones)
{
	MktRights	rights = mkt_act_as(mkt_extension_owner());
	bool		isnull;

	if (SPI_execute("SELECT COALESCE(pg_catalog.array_agg(account), '{}'), COALESCE(pg_catalog.array_agg(time_zone), '{}') "
					"FROM mkt.account WHERE time_zone OPERATOR(pg_catalog.<>) 'UTC'",
					true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the time zones of accounts");
	*accounts = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	*zones = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);
	mkt_act_again_as(rights);
}

static char *
trimmed(const char *value)
{
	size_t		len;

	while (isspace((unsigned char) *value))
		value++;
	len = strlen(value);
	while (len > 0 && isspace((unsigned char) value[len - 1]))
		len--;
	return pnstrdup(value, len);
}

/* A name without regard to case, blanks and punctuation: "Record ID" is record_id. */
static char *
normalized(const char *name)
{
	StringInfoData result;

	initStringInfo(&result);
	for (; *name; name++)
	{
		unsigned char c = (unsigned char) *name;

		if (IS_HIGHBIT_SET(c) || isalnum(c))
			appendStringInfoChar(&result, pg_ascii_tolower(c));
		else if (result.len > 0 && result.data[result.len - 1] != '_')
			appendStringInfoChar(&result, '_');
	}
	while (result.len > 0 && result.data[result.len - 1] == '_')
		result.data[--result.len] = '\0';
	return result.data;
}

static const char *
list_headers(const MktHubspotFile *file)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < file->nheaders && list.len < 1000; i++)
		appendStringInfo(&list, "%s\"%s\"", i > 0 ? ", " : "The columns of the export are ",
						 file->headers[i]);
	appendStringInfoChar(&list, '.');
	return list.data;
}
