/*-------------------------------------------------------------------------
 * csv.c
 *	  Comma-separated values as RFC 4180 has them: one record of a buffer.
 *
 * Pure but for a cancel: bytes in, fields out.  The caller owns the buffer, which
 * may end in the middle of a record; then he is told that more is needed, and
 * calls again with the same record and more behind it.
 *
 * Of a record that breaks the rules only the first line is given up, so that a
 * quote that somebody forgot to close does not take the rest of a file along.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "miscadmin.h"

/* A field can be very long; a cancel is looked for after so many bytes. */
#define heed_cancel(at) do { if (((at) & 0xFFFF) == 0) CHECK_FOR_INTERRUPTS(); } while (0)

static MktCsvResult read_quoted(const char *data, size_t len, bool at_end,
								size_t * at, MktCsvRecord *record);
static void read_plain(const char *data, size_t len, size_t * at,
					   MktCsvRecord *record);
static void end_field(MktCsvRecord *record, size_t start);
static MktCsvResult end_record(const char *data, size_t len, bool at_end,
							   size_t at, MktCsvRecord *record);
static MktCsvResult give_up(const char *data, size_t len, MktCsvRecord *record,
							const char *problem);

void
mkt_csv_init(MktCsvRecord *record)
{
	memset(record, 0, sizeof(*record));
	initStringInfo(&record->text);
	record->room = 64;
	record->starts = palloc(record->room * sizeof(size_t));
}

/*
 * Reads the record with which a buffer begins.  at_end: nothing comes behind
 * the buffer.
 */
MktCsvResult
mkt_csv_read(const char *data, size_t len, bool at_end, MktCsvRecord *record)
{
	size_t		at = 0;

	resetStringInfo(&record->text);
	record->nfields = 0;
	record->breaks = 0;
	record->used = 0;
	record->problem = NULL;
	if (len == 0)
		return at_end ? MKT_CSV_END : MKT_CSV_MORE;

	for (;;)
	{
		size_t		start = record->text.len;

		if (at < len && data[at] == '"')
		{
			MktCsvResult result = read_quoted(data, len, at_end, &at, record);

			if (result != MKT_CSV_RECORD)
				return result;
		}
		else
			read_plain(data, len, &at, record);
		end_field(record, start);

		if (at == len && !at_end)
			return MKT_CSV_MORE;
		if (at == len || data[at] != ',')
			return end_record(data, len, at_end, at, record);
		at++;
		if (at == len && !at_end)
			return MKT_CSV_MORE;
	}
}

/* A field of a record that was read, ended by a zero byte. */
char *
mkt_csv_field(const MktCsvRecord *record, int field)
{
	return record->text.data + record->starts[field];
}

/* The length of the first line of a buffer with what ends it; 0: there is no end. */
size_t
mkt_csv_first_line(const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		heed_cancel(i);
		if (data[i] == '\n')
			return i + 1;
		if (data[i] == '\r')
			return i + 1 < len && data[i + 1] == '\n' ? i + 2 : i + 1;
	}
	return 0;
}

/* A field in quotes: any character, a quote as two. */
static MktCsvResult
read_quoted(const char *data, size_t len, bool at_end, size_t * at,
			MktCsvRecord *record)
{
	size_t		i = *at + 1;
	size_t		start = i;

	for (;; i++)
	{
		heed_cancel(i);
		if (i == len)
			return at_end ? give_up(data, len, record, "a quoted field has no end") :
				MKT_CSV_MORE;
		if (data[i] == '\n' ||
			(data[i] == '\r' && i + 1 < len && data[i + 1] != '\n'))
			record->breaks++;
		if (data[i] != '"')
			continue;
		appendBinaryStringInfo(&record->text, data + start, i - start);
		if (i + 1 == len && !at_end)
			return MKT_CSV_MORE;
		if (i + 1 == len || data[i + 1] != '"')
			break;
		i++;
		start = i;				/* the second quote is text */
	}
	*at = i + 1;
	if (*at < len && strchr(",\r\n", data[*at]) == NULL)
		return give_up(data, len, record, "text follows the end of a quoted field");
	return MKT_CSV_RECORD;
}

/* A field without quotes around it; one within is text. */
static void
read_plain(const char *data, size_t len, size_t * at, MktCsvRecord *record)
{
	size_t		start = *at;

	while (*at < len && data[*at] != ',' && data[*at] != '\r' && data[*at] != '\n')
	{
		heed_cancel(*at);
		(*at)++;
	}
	appendBinaryStringInfo(&record->text, data + start, *at - start);
}

static void
end_field(MktCsvRecord *record, size_t start)
{
	appendStringInfoCharMacro(&record->text, '\0');
	if (record->nfields == record->room)
	{
		record->room *= 2;
		record->starts = repalloc(record->starts, record->room * sizeof(size_t));
	}
	record->starts[record->nfields++] = start;
}

/* At the end of a line or of the data: LF, CR LF or CR. */
static MktCsvResult
end_record(const char *data, size_t len, bool at_end, size_t at,
		   MktCsvRecord *record)
{
	if (at < len)
	{
		if (data[at] == '\r' && at + 1 == len && !at_end)
			return MKT_CSV_MORE;
		at += data[at] == '\r' && at + 1 < len && data[at + 1] == '\n' ? 2 : 1;
		record->breaks++;
	}
	record->used = at;
	return MKT_CSV_RECORD;
}

static MktCsvResult
give_up(const char *data, size_t len, MktCsvRecord *record, const char *problem)
{
	record->used = mkt_csv_first_line(data, len);
	if (record->used == 0)
		record->used = len;
	record->breaks = 1;
	record->problem = problem;
	return MKT_CSV_MALFORMED;
}
