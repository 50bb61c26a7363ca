/*-------------------------------------------------------------------------
 * satellite.c
 *	  The tables beside a contacts table: its counts, and the histories of its
 *	  counts and of its contacts.
 *
 * mkt.attach() makes them with the types of the table's own account and key
 * columns, and mkt.run() looks after them.  They belong to the extension's owner
 * and are no members of the extension, so that a dump carries their rows.
 *
 * The history of contacts has a partition for each month, and one for the rest:
 * a change is stored whether or not anybody has made a partition for it.  Making
 * and dropping them waits for nobody who writes.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "nodes/pg_list.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "lib/stringinfo.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/timestamp.h"

/* A month, as the bounds of a partition and as the end of its name. */
typedef struct Month
{
	char	   *name;
	char	   *from;			/* literals */
	char	   *to;
} Month;

/* Rows that come from elsewhere get a lane, in any role. */
#define CREATE_LANE_TRIGGER "CREATE TRIGGER lane BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION mkt.give_lane()"
#define ENABLE_LANE_TRIGGER "ALTER TABLE %s ENABLE ALWAYS TRIGGER lane"

static char *choose_name(Oid contacts, const char *what);
static char *type_of(Oid relid, AttrNumber column);
static void comment(const char *name, const char *what, Oid contacts);
static const char *unlogged(Oid contacts);
static void identify_rows(const char *name);
static Oid	create_counts(Oid contacts, const char *account_type);
static Oid	create_count_history(Oid contacts, const char *account_type);
static Oid	create_history(Oid contacts, const char *account_type, int nkeys,
						   const AttrNumber *keys);
static bool has_partition(Oid history, TimestampTz at);
static Month month_of(TimestampTz at);
static void find_kept(const char *counts);
static void note_emptied(const MktAttachedTable *table);
static const char *literal(Datum value, bool isnull);
static bool find_cutoff(Oid contacts, TimestampTz *cutoff);

/* Makes the tables of a contacts table that has no account column, or has this one. */
void
mkt_satellite_create(Oid contacts, AttrNumber account_column, int nkeys,
					 const AttrNumber *keys, MktAttachedTable *table)
{
	MktRights	rights = mkt_act_as(mkt_extension_owner());
	char	   *account_type = account_column ? type_of(contacts, account_column) :
	"pg_catalog.text";

	table->contacts = contacts;
	table->count_table = create_counts(contacts, account_type);
	table->count_history = create_count_history(contacts, account_type);
	table->history = create_history(contacts, account_type, nkeys, keys);
	CommandCounterIncrement();
	mkt_satellite_extend(table, mkt_now());
	mkt_act_again_as(rights);
}

static char *
choose_name(Oid contacts, const char *what)
{
	return ChooseRelationName(get_namespace_name(get_rel_namespace(contacts)),
							  get_rel_name(contacts), what, mkt_schema(), false);
}

static char *
type_of(Oid relid, AttrNumber column)
{
	Oid			type;
	int32		typmod;
	Oid			collation;
	char	   *name;

	get_atttypetypmodcoll(relid, column, &type, &typmod, &collation);
	name = format_type_be_qualified(type);
	if (OidIsValid(collation))
		name = psprintf("%s COLLATE %s", name, generate_collation_name(collation));
	return name;
}

static void
comment(const char *name, const char *what, Oid contacts)
{
	mkt_query_run("COMMENT ON TABLE mkt.%s IS %s", quote_identifier(name),
				  quote_literal_cstr(psprintf("%s of %s. Written by its triggers.", what,
											  mkt_qualified_name(contacts))));
}

static const char *
unlogged(Oid contacts)
{
	return get_rel_persistence(contacts) == RELPERSISTENCE_UNLOGGED ? "UNLOGGED " : "";
}

/* A publication of all tables refuses to delete rows that it cannot tell apart. */
static void
identify_rows(const char *name)
{
	mkt_query_run("ALTER TABLE %s REPLICA IDENTITY FULL", name);
}

static Oid
create_counts(Oid contacts, const char *account_type)
{
	char	   *name = choose_name(contacts, "count");

	mkt_query_run("CREATE %sTABLE mkt.%s (account %s, lane pg_catalog.int8) INHERITS (mkt.contact_count) USING heap "
				  "WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.1)",
				  unlogged(contacts), quote_identifier(name), account_type);

	/* entries of one account that died must be removable one by one */
	mkt_query_run("CREATE INDEX ON mkt.%s (account_name, lane) WITH (deduplicate_items = off)",
				  quote_identifier(name));
	mkt_query_run(CREATE_LANE_TRIGGER, quote_qualified_identifier("mkt", name));
	mkt_query_run(ENABLE_LANE_TRIGGER, quote_qualified_identifier("mkt", name));
	identify_rows(quote_qualified_identifier("mkt", name));
	comment(name, "Counts", contacts);
	return get_relname_relid(name, mkt_schema());
}

static Oid
create_count_history(Oid contacts, const char *account_type)
{
	char	   *name = choose_name(contacts, "count_history");

	mkt_query_run("CREATE %sTABLE mkt.%s (account %s) INHERITS (mkt.contact_count_history)",
				  unlogged(contacts), quote_identifier(name), account_type);
	mkt_query_run("CREATE INDEX ON mkt.%s (account_name, at)", quote_identifier(name));
	identify_rows(quote_qualified_identifier("mkt", name));
	comment(name, "History of the counts", contacts);
	return get_relname_relid(name, mkt_schema());
}

static Oid
create_history(Oid contacts, const char *account_type, int nkeys, const AttrNumber *keys)
{
	char	   *name = choose_name(contacts, "history");
	char	   *rest;
	Oid			history;
	StringInfoData columns;
	StringInfoData key;

	initStringInfo(&columns);
	initStringInfo(&key);
	for (int i = 0; i < nkeys; i++)
	{
		const char *column = mkt_satellite_key(i);

		appendStringInfo(&columns, ", %s %s", column, type_of(contacts, keys[i]));
		appendStringInfo(&key, "%s%s", i ? ", " : "", column);
	}
	mkt_query_run("CREATE TABLE mkt.%s (change pg_catalog.int8 NOT NULL, changed_at pg_catalog.timestamptz NOT NULL, "
				  "effective_at pg_catalog.timestamptz NOT NULL, was pg_catalog.timestamptz, until pg_catalog.timestamptz, "
				  "batch pg_catalog.int8, role pg_catalog.text NOT NULL, "
				  "source_type pg_catalog.text, source_name pg_catalog.text, "
				  "from_source_type pg_catalog.text, from_source_name pg_catalog.text, "
				  "account %s, moved pg_catalog.bool NOT NULL, from_account %s, counts_until pg_catalog.timestamptz%s) PARTITION BY RANGE (changed_at)",
				  quote_identifier(name), account_type, account_type, columns.data);
	mkt_query_run("CREATE INDEX ON mkt.%s (%s)", quote_identifier(name), key.data);
	mkt_query_run("CREATE INDEX ON mkt.%s (batch) WHERE batch IS NOT NULL", quote_identifier(name));
	comment(name, "History", contacts);
	history = get_relname_relid(name, mkt_schema());
	rest = ChooseRelationName(name, NULL, "rest", mkt_schema(), false);
	mkt_query_run("CREATE %sTABLE mkt.%s PARTITION OF mkt.%s DEFAULT", unlogged(contacts),
				  quote_identifier(rest), quote_identifier(name));
	identify_rows(quote_qualified_identifier("mkt", rest));
	return history;
}

/*
 * Brings the tables to their present form: rows that a publication can tell apart,
 * and counts without an index on instants, that can be sealed.
 */
void
mkt_satellite_renew(const MktAttachedTable *table)
{
	MktRights	rights = mkt_act_as(mkt_extension_owner());

	if (SPI_execute_with_args("SELECT 'DROP INDEX ' || i.indexrelid::pg_catalog.regclass FROM pg_catalog.pg_index AS i "
							  "WHERE i.indrelid = $1 AND i.indpred IS NOT NULL AND i.indnatts = 1 AND pg_catalog.pg_get_indexdef(i.indexrelid, 1, false) = 'until' UNION ALL "
							  "SELECT pg_catalog.format(c.command, a.attrelid::pg_catalog.regclass) FROM pg_catalog.pg_attribute AS a "
							  "CROSS JOIN (VALUES ('ALTER TABLE %s ALTER lane TYPE pg_catalog.int8'), "
							  "('" CREATE_LANE_TRIGGER "'), ('" ENABLE_LANE_TRIGGER "')) AS c (command) "
							  "WHERE a.attrelid = $1 AND a.attname = 'lane' AND a.atttypid = 'pg_catalog.int2'::pg_catalog.regtype UNION ALL "
							  "SELECT 'ALTER TABLE ' || t.relid || ' REPLICA IDENTITY FULL' FROM ("
							  "VALUES ($1::pg_catalog.regclass), ($2) UNION ALL SELECT relid FROM pg_catalog.pg_partition_tree($3) WHERE isleaf) AS t (relid) "
							  "JOIN pg_catalog.pg_class AS c ON c.oid = t.relid AND c.relreplident <> 'f'",
							  3, (Oid[]) {OIDOID, OIDOID, OIDOID},
							  (Datum[]) {ObjectIdGetDatum(table->count_table), ObjectIdGetDatum(table->count_history), ObjectIdGetDatum(table->history)},
							  NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the form of tables");
	mkt_query_run_rows(SPI_tuptable, SPI_processed);
	mkt_act_again_as(rights);
}

/* How the history of contacts calls a key column of theirs. */
const char *
mkt_satellite_key(int i)
{
	return i == 0 ? "contact" : psprintf("contact_%d", i + 1);
}

/* A contact's key as text: its key column or, of several, an array. */
char *
mkt_satellite_key_text(const MktAttachment *attachment, TupleTableSlot *contact)
{
	Datum		texts[INDEX_MAX_KEYS];

	for (int i = 0; i < attachment->nkeys; i++)
	{
		bool		isnull;
		Datum		key = slot_getattr(contact, attachment->keys[i], &isnull);

		texts[i] = CStringGetTextDatum(isnull ? "" :
									   mkt_account_text(get_atttype(attachment->relid,
																	attachment->keys[i]), key));
	}
	if (attachment->nkeys == 1)
		return TextDatumGetCString(texts[0]);
	return OidOutputFunctionCall(F_ARRAY_OUT,
								 PointerGetDatum(construct_array(texts, attachment->nkeys, TEXTOID,
																 -1, false, TYPALIGN_INT)));
}

/* The same in a query on contacts, called c. */
char *
mkt_satellite_key_expression(const MktAttachment *attachment)
{
	StringInfoData keys;

	initStringInfo(&keys);
	for (int i = 0; i < attachment->nkeys; i++)
		appendStringInfo(&keys, "%spg_catalog.format('%%s', c.%s)", i ? ", " : "",
						 mkt_attachment_column(attachment, attachment->keys[i]));
	return attachment->nkeys == 1 ? keys.data :
		psprintf("(ARRAY[%s])::pg_catalog.text", keys.data);
}

/*
 * Makes the partition for an instant's month, if there is none.  What has gone
 * to the rest in the meantime goes there.  Where others are writing to the rest
 * just now, the next time is early enough.
 */
void
mkt_satellite_extend(const MktAttachedTable *table, TimestampTz at)
{
	const char *history = mkt_qualified_name(table->history);
	Oid			rest = mkt_partition_rest(table->history);
	MktRights	rights;
	Month		month;
	char	   *name;

	if (has_partition(table->history, at) ||
		!ConditionalLockRelationOid(table->history, ShareUpdateExclusiveLock) ||
		!ConditionalLockRelationOid(rest, AccessExclusiveLock) ||
		has_partition(table->history, at))
		return;
	month = month_of(at);
	name = ChooseRelationName(get_rel_name(table->history), NULL, month.name, mkt_schema(),
							  false);
	name = quote_qualified_identifier("mkt", name);
	rights = mkt_act_as(mkt_extension_owner());
	mkt_query_run("CREATE %sTABLE %s (LIKE %s)", unlogged(table->contacts), name, history);
	identify_rows(name);
	mkt_query_run("WITH moved AS (DELETE FROM %s WHERE changed_at OPERATOR(pg_catalog.>=) %s "
				  "AND changed_at OPERATOR(pg_catalog.<) %s RETURNING *) INSERT INTO %s SELECT * FROM moved",
				  mkt_qualified_name(rest), month.from, month.to, name);
	mkt_query_run("ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)", history, name,
				  month.from, month.to);
	mkt_act_again_as(rights);
}

static bool
has_partition(Oid history, TimestampTz at)
{
	MktPartition partition = mkt_partition_for(history, at);

	return at >= partition.from && at < partition.to;
}

/* In UTC, whatever the session's time zone. */
static Month
month_of(TimestampTz at)
{
	Month		month;

	if (SPI_execute_with_args("SELECT pg_catalog.to_char(m, 'YYYY_MM'), "
							  "pg_catalog.quote_literal(pg_catalog.to_char(m, 'YYYY-MM-DD') || ' 00:00+00'), "
							  "pg_catalog.quote_literal(pg_catalog.to_char(m + interval '1 month', 'YYYY-MM-DD') || ' 00:00+00') "
							  "FROM (SELECT pg_catalog.date_trunc('month', $1 AT TIME ZONE 'UTC') AS m) AS m",
							  1, (Oid[]) {TIMESTAMPTZOID}, (Datum[]) {TimestampTzGetDatum(at)},
							  NULL, true, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not tell the month");
	month.name = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	month.from = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
	month.to = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3);
	return month;
}

/*
 * Ends what is kept no longer, by whole months.  Where readers or writers hold
 * the history just now, the next time is early enough.
 */
void
mkt_satellite_expire(const MktAttachedTable *table)
{
	TimestampTz cutoff = DT_NOBEGIN;
	const char *instant;
	MktRights	rights;
	ListCell   *cell;

	if (!find_cutoff(table->contacts, &cutoff) ||
		(TIMESTAMP_IS_NOEND(table->history_since) &&
		 mkt_partition_before(table->history, cutoff) == NIL) ||
		!ConditionalLockRelationOid(table->history, AccessExclusiveLock))
		return;
	instant = quote_literal_cstr(timestamptz_to_str(cutoff));
	rights = mkt_act_as(mkt_extension_owner());
	foreach(cell, mkt_partition_before(table->history, cutoff))
		mkt_query_run("DROP TABLE %s", mkt_qualified_name(lfirst_oid(cell)));
	mkt_query_run("DELETE FROM %s WHERE changed_at OPERATOR(pg_catalog.<) %s",
				  mkt_qualified_name(mkt_partition_rest(table->history)), instant);
	mkt_query_run("DELETE FROM %s WHERE at OPERATOR(pg_catalog.<) %s",
				  mkt_qualified_name(table->count_history), instant);
	mkt_query_run("UPDATE mkt.attachment SET history_since = %s WHERE contacts OPERATOR(pg_catalog.=) %u AND history_since IS NOT NULL",
				  instant, table->contacts);
	mkt_act_again_as(rights);
}

/*
 * The beginning of the first month to keep, when there is an earlier one.  What
 * open periods need is kept until they are closed.
 */
static bool
find_cutoff(Oid contacts, TimestampTz *cutoff)
{
	MktRights	rights = mkt_act_as(mkt_extension_owner());
	bool		isnull = true;

	if (SPI_execute_with_args("SELECT c.cutoff FROM (SELECT history_since, CASE WHEN history_kept IS NOT NULL THEN LEAST(pg_catalog.date_trunc('month', "
							  "(mkt.now() OPERATOR(pg_catalog.-) history_kept) AT TIME ZONE 'UTC') AT TIME ZONE 'UTC', "
							  "(SELECT pg_catalog.min(starts_at) FROM mkt.open_period)) END AS cutoff "
							  "FROM mkt.attachment WHERE contacts OPERATOR(pg_catalog.=) $1) AS c "
							  "WHERE COALESCE(history_since OPERATOR(pg_catalog.<) cutoff, cutoff IS NOT NULL)",
							  1, (Oid[]) {OIDOID}, (Datum[]) {ObjectIdGetDatum(contacts)},
							  NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read mkt.attachment");
	if (SPI_processed == 1)
		*cutoff = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0],
													SPI_tuptable->tupdesc, 1, &isnull));
	mkt_act_again_as(rights);
	return !isnull;
}

/*
 * A TRUNCATE has emptied the contacts table: so are its counts, but for those of
 * contacts that count on (T13).  The histories say when, in one row for each count
 * and one that stands for all contacts.
 */
void
mkt_satellite_truncate(const MktAttachedTable *table)
{
	const char *counts = mkt_qualified_name(table->count_table);
	const char *moves = mkt_qualified_name(table->count_history);
	MktRights	rights = mkt_act_as(mkt_extension_owner());
	SPITupleTable *kept;
	uint64		nkept;

	/* what is folded meanwhile would be told twice */
	LockRelationOid(table->count_table, AccessExclusiveLock);
	find_kept(counts);
	kept = SPI_tuptable;
	nkept = SPI_processed;
	if (!TIMESTAMP_NOT_FINITE(table->history_since))
	{
		mkt_query_run("INSERT INTO %s (account_name, deleted, was, until, n, at, account) "
					  "SELECT account_name, deleted, was, until, n, at, account FROM ONLY %s WHERE at IS NOT NULL",
					  moves, counts);
		mkt_query_run("INSERT INTO %s (account_name, deleted, was, n, at, account) "
					  "SELECT m.account_name, m.deleted, i.until, pg_catalog.sum(i.n), mkt.now(), m.account FROM ONLY %s AS m "
					  "CROSS JOIN LATERAL (VALUES (m.until, m.n), (m.was, OPERATOR(pg_catalog.-) m.n)) AS i (until, n) "
					  "WHERE i.until IS NOT NULL GROUP BY m.account_name, m.deleted, m.account, i.until "
					  "HAVING pg_catalog.sum(i.n) OPERATOR(pg_catalog.<>) 0", moves, counts);
		note_emptied(table);
	}
	mkt_query_run("TRUNCATE ONLY %s", counts);
	mkt_act_again_as(rights);
	mkt_count_keep_all(mkt_attachment_of(table->contacts), kept, nkept);
}

/* Account, instant and number of those that count on: deleted ones, and all of some accounts. */
static void
find_kept(const char *counts)
{
	if (SPI_execute(psprintf("SELECT m.account, i.until, pg_catalog.sum(i.n)::pg_catalog.int8 FROM ONLY %s AS m "
							 "CROSS JOIN LATERAL (VALUES (m.until, m.n), (m.was, OPERATOR(pg_catalog.-) m.n)) AS i (until, n) "
							 "WHERE i.until OPERATOR(pg_catalog.>) mkt.now() AND (m.deleted OR m.account_name OPERATOR(pg_catalog.=) ANY "
							 "(SELECT a.account FROM mkt.account AS a WHERE a.count_deleted)) "
							 "GROUP BY m.account, i.until HAVING pg_catalog.sum(i.n) OPERATOR(pg_catalog.<>) 0", counts),
					false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read counts");
}

static void
note_emptied(const MktAttachedTable *table)
{
	MktSource	source = mkt_change_session_source();

	mkt_query_run("INSERT INTO %s (change, changed_at, effective_at, role, source_type, source_name, moved) "
				  "VALUES (pg_catalog.nextval('mkt.change_number'), mkt.now(), mkt.now(), %s, %s, %s, false)",
				  mkt_qualified_name(table->history),
				  quote_literal_cstr(GetUserNameFromId(mkt_user(), false)),
				  literal(source.type, source.type_null), literal(source.name, source.name_null));
}

static const char *
literal(Datum value, bool isnull)
{
	return isnull ? "NULL" : quote_literal_cstr(TextDatumGetCString(value));
}

/* The tables go; what is attached has been forgotten already. */
void
mkt_satellite_drop(const MktAttachedTable *table)
{
	const Oid	satellites[] = {table->count_table, table->count_history, table->history};
	MktRights	rights = mkt_act_as(mkt_extension_owner());

	for (size_t i = 0; i < lengthof(satellites); i++)
		if (OidIsValid(satellites[i]) && get_rel_name(satellites[i]) != NULL)
			mkt_query_run("DROP TABLE %s", mkt_qualified_name(satellites[i]));
	mkt_act_again_as(rights);
}
