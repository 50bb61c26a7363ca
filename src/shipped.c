/*-------------------------------------------------------------------------
 * shipped.c
 *	  Tables that ship with rows which users may change.
 *
 * CREATE EXTENSION brings the shipped rows, and a dump brings them again as its
 * users have changed them.  A row that says it was shipped can only come from a
 * dump; it takes the place of the one that is there, and so does a row of the
 * user's with the same key.  Shipped rows that were deleted stand in mkt.shipping,
 * which a dump brings, too, before the other tables or after them.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "errors.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "access/genam.h"
#include "utils/builtins.h"

static char *update_of(Relation rel);
static bool changes_key(const TriggerData *trigger);
static void withdraw(Relation rel, HeapTuple row);
static void withdraw_again(Relation shipping, HeapTuple row);
static bool in_primary_key(Relation rel, AttrNumber column);

PG_FUNCTION_INFO_V1(mkt_shipped_again);
PG_FUNCTION_INFO_V1(mkt_shipped_withdrawn);

/*
 * BEFORE INSERT: a row that says it was shipped, and any that comes from a dump,
 * takes the place of the one that shipped.
 */
Datum
mkt_shipped_again(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	Oid		   *types;
	Datum	   *values;
	bool	   *nulls;
	char	   *blanks;
	bool		shipped;
	bool		updated;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_MKT_WRONG_CALL),
				errmsg("mkt.shipped_again() is the trigger function of tables that ship with rows"));
	desc = RelationGetDescr(trigger->tg_relation);
	shipped = DatumGetBool(heap_getattr(trigger->tg_trigtuple, SPI_fnumber(desc, "shipped"), desc, &isnull));
	if (!shipped && !mkt_restore_runs())
		return PointerGetDatum(trigger->tg_trigtuple);
	types = palloc(desc->natts * sizeof(Oid));
	values = palloc(desc->natts * sizeof(Datum));
	nulls = palloc(desc->natts * sizeof(bool));
	blanks = palloc(desc->natts);
	heap_deform_tuple(trigger->tg_trigtuple, desc, values, nulls);
	for (int i = 0; i < desc->natts; i++)
	{
		types[i] = TupleDescAttr(desc, i)->atttypid;
		blanks[i] = nulls[i] ? 'n' : ' ';
	}

	SPI_connect();
	if (SPI_execute_with_args(update_of(trigger->tg_relation), desc->natts, types, values,
							  blanks, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not replace a shipped row");
	updated = SPI_processed > 0;
	if (updated && !shipped)
		withdraw(trigger->tg_relation, trigger->tg_trigtuple);
	SPI_finish();
	return PointerGetDatum(updated ? NULL : trigger->tg_trigtuple);
}

/* The statement that sets all columns of the row with the same primary key. */
static char *
update_of(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);
	StringInfoData set;
	StringInfoData where;

	initStringInfo(&set);
	initStringInfo(&where);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const char *column = quote_identifier(NameStr(att->attname));

		if (in_primary_key(rel, att->attnum))
			appendStringInfo(&where, "%s%s OPERATOR(pg_catalog.=) $%d",
							 where.len ? " AND " : "", column, i + 1);
		else
			appendStringInfo(&set, "%s%s = $%d", set.len ? ", " : "", column, i + 1);
	}
	return psprintf("UPDATE %s SET %s WHERE %s", mkt_qualified_name(RelationGetRelid(rel)),
					set.data, where.data);
}

/* AFTER UPDATE OR DELETE, each shipped row; and BEFORE INSERT on mkt.shipping. */
Datum
mkt_shipped_withdrawn(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_MKT_WRONG_CALL),
				errmsg("mkt.shipped_withdrawn() is the trigger function of tables that ship with rows"));
	SPI_connect();
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event) ||
		(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) && changes_key(trigger)))
		withdraw(trigger->tg_relation, trigger->tg_trigtuple);
	else if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		withdraw_again(trigger->tg_relation, trigger->tg_trigtuple);
	SPI_finish();
	return PointerGetDatum(NULL);
}

/* A row with another key is another row. */
static bool
changes_key(const TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);

	for (int i = 1; i <= desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i - 1);
		bool		isnull;

		if (!att->attisdropped && in_primary_key(trigger->tg_relation, i) &&
			!datum_image_eq(heap_getattr(trigger->tg_trigtuple, i, desc, &isnull),
							heap_getattr(trigger->tg_newtuple, i, desc, &isnull),
							att->attbyval, att->attlen))
			return true;
	}
	return false;
}

/* Remembers a row by its primary key. */
static void
withdraw(Relation rel, HeapTuple row)
{
	TupleDesc	desc = RelationGetDescr(rel);
	StringInfoData key;
	Oid			types[INDEX_MAX_KEYS + 1] = {TEXTOID};
	Datum		values[INDEX_MAX_KEYS + 1] = {CStringGetTextDatum(RelationGetRelationName(rel))};
	int			n = 1;
	bool		isnull;
	MktRights	rights;

	initStringInfo(&key);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped || !in_primary_key(rel, att->attnum))
			continue;
		types[n] = att->atttypid;
		values[n++] = heap_getattr(row, att->attnum, desc, &isnull);
		appendStringInfo(&key, "%s%s, $%d", key.len ? ", " : "",
						 quote_literal_cstr(NameStr(att->attname)), n);
	}
	rights = mkt_act_as(mkt_extension_owner());
	if (SPI_execute_with_args(psprintf("UPDATE mkt.shipping SET withdrawn = withdrawn OPERATOR(pg_catalog.||) "
									   "pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object('relation', $1, "
									   "'key', pg_catalog.jsonb_build_object(%s))) WHERE shipped", key.data),
							  n, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not note a deleted row");
	mkt_act_again_as(rights);
}

/* The row that a dump brings: what was deleted is deleted again, and noted so. */
static void
withdraw_again(Relation shipping, HeapTuple row)
{
	bool		isnull;
	Datum		withdrawn = heap_getattr(row, 2, RelationGetDescr(shipping), &isnull);
	SPITupleTable *rows;
	uint64		nrows;

	if (isnull)
		ereport(ERROR,
				errcode(ERRCODE_NOT_NULL_VIOLATION),
				errmsg("the deleted rows of mkt.shipping must not be null"),
				errhint("They are an array: '[]' when there are none."));
	if (SPI_execute_with_args("SELECT pg_catalog.quote_ident(w OPERATOR(pg_catalog.->>) 'relation'), w OPERATOR(pg_catalog.->) 'key' "
							  "FROM pg_catalog.jsonb_array_elements($1) AS w",
							  1, (Oid[]) {JSONBOID}, &withdrawn, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read mkt.shipping");
	rows = SPI_tuptable;
	nrows = SPI_processed;
	for (uint64 i = 0; i < nrows; i++)
	{
		Datum		key = SPI_getbinval(rows->vals[i], rows->tupdesc, 2, &isnull);

		if (SPI_execute_with_args(psprintf("DELETE FROM mkt.%s AS t WHERE shipped "
										   "AND pg_catalog.to_jsonb(t) OPERATOR(pg_catalog.@>) $1",
										   SPI_getvalue(rows->vals[i], rows->tupdesc, 1)),
								  1, (Oid[]) {JSONBOID}, &key, NULL, false, 0) != SPI_OK_DELETE)
			elog(ERROR, "could not delete a shipped row");
	}
}

static bool
in_primary_key(Relation rel, AttrNumber column)
{
	Relation	index;
	bool		found = false;

	RelationGetIndexList(rel);
	index = index_open(rel->rd_pkindex, AccessShareLock);
	for (int i = 0; i < index->rd_index->indnkeyatts; i++)
		found |= index->rd_index->indkey.values[i] == column;
	index_close(index, AccessShareLock);
	return found;
}
