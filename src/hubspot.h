/*-------------------------------------------------------------------------
 * hubspot.h
 *	  A HubSpot contact export as rows for a contacts table.
 *-------------------------------------------------------------------------
 */
#ifndef MKT_HUBSPOT_H
#define MKT_HUBSPOT_H

#include "mktcontacts.h"

#include "fmgr.h"
#include "nodes/pg_list.h"

/* The headers that an export of ours has, and their place in it. */
typedef enum MktHubspotHeader
{
	MKT_HUBSPOT_RECORD_ID,
	MKT_HUBSPOT_FIRST_NAME,
	MKT_HUBSPOT_LAST_NAME,
	MKT_HUBSPOT_EMAIL,
	MKT_HUBSPOT_CREATE_DATE,
	MKT_HUBSPOT_STATUS,
	MKT_HUBSPOT_UNTIL_NEXT_UPDATE,
	MKT_HUBSPOT_SOURCE_TYPE,
	MKT_HUBSPOT_SOURCE_NAME,
	MKT_HUBSPOT_UNSUBSCRIBED,
	MKT_HUBSPOT_BOUNCE_REASON,
	MKT_HUBSPOT_HEADERS
} MktHubspotHeader;

/* How a field becomes a value. */
typedef enum MktHubspotKind
{
	MKT_HUBSPOT_TEXT,			/* as the column's type reads it */
	MKT_HUBSPOT_BOOLEAN,
	MKT_HUBSPOT_INSTANT			/* a local time in the account's zone */
} MktHubspotKind;

/* A column of the contacts table that takes a field as it is. */
typedef struct MktHubspotColumn
{
	int			field;
	const char *header;
	const char *name;			/* quoted */
	const char *type;			/* qualified */
	MktHubspotKind kind;
	bool		not_null;
} MktHubspotColumn;

/* What a row says of the contact's status; in queries a character. */
typedef enum MktHubspotStatus
{
	MKT_HUBSPOT_NOTHING = '-',
	MKT_HUBSPOT_MARKETING = 'M',	/* and not pending */
	MKT_HUBSPOT_MARKETING_OR_PENDING = 'm', /* the export has no flag */
	MKT_HUBSPOT_PENDING = 'P',
	MKT_HUBSPOT_NON_MARKETING = 'N'
} MktHubspotStatus;

/* One row.  It lasts until the next one is read. */
typedef struct MktHubspotRow
{
	int64		line;			/* where it begins */
	const char *problem;		/* why it cannot be a contact */
	const char *text;			/* as it stands in the export */
	const char *account;
	const char *key;
	const char *email;
	MktHubspotStatus status;
	const char *source_type;
	const char *source_name;
	const char **values;		/* for the columns; NULL where empty */
} MktHubspotRow;

struct seen_hash;

/* An export that is being read, and what its columns are for a table. */
typedef struct MktHubspotFile
{
	const MktAttachment *attachment;
	const char *contacts;		/* qualified and quoted */
	MemoryContext context;		/* everything here */
	MemoryContext row_context;	/* the row */

	Oid			object;			/* a large object, or all is in the window */
	int64		offset;			/* of what comes behind the window */
	bool		at_end;
	bool		as_is;			/* in the database's encoding */
	StringInfoData window;
	size_t		at;				/* in the window */
	int64		line;
	MktCsvRecord record;

	int			nheaders;
	const char **headers;
	const char *account;		/* of all rows; or */
	int			account_field;	/* -1: none, as below */
	int			key_field;
	int			email_field;
	int			status_field;
	int			flag_field;
	int			source_type_field;
	int			source_name_field;
	const char *key_name;		/* the column that tells contacts apart */
	const char *key_type;
	bool		key_is_number;
	const char *email_name;		/* the column, or NULL */
	int			ncolumns;
	MktHubspotColumn *columns;
	List	   *unmatched;		/* headers without a column */

	uint64		nsources;		/* what HubSpot calls tools */
	const char **source_labels;
	const char **source_tools;
	struct seen_hash *seen;		/* keys that came */
} MktHubspotFile;

extern const char *const mkt_hubspot_labels[MKT_HUBSPOT_HEADERS];

extern MktHubspotFile *mkt_hubspot_open(FunctionCallInfo fcinfo);
extern bool mkt_hubspot_next(MktHubspotFile *file, MktHubspotRow *row);
extern AttrNumber mkt_hubspot_column(const MktAttachment *attachment,
									 MktHubspotHeader header,
									 FunctionCallInfo fcinfo, int mapping);
extern void mkt_hubspot_check_mapping(FunctionCallInfo fcinfo, int mapping);
extern void mkt_hubspot_zones(Datum *accounts, Datum *zones);

#endif							/* MKT_HUBSPOT_H */
