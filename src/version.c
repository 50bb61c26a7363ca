/*-------------------------------------------------------------------------
 * version.c
 *	  Whether the library and the extension in a database are of one version.
 *
 * After an upgrade of the package new sessions load a library that is newer than
 * the extension, until ALTER EXTENSION ... UPDATE; from then on sessions that
 * are still there have an older one.  Neither may go on: what one writes, the
 * other may read otherwise.  So whoever is about to look up what is attached, or
 * to read the extension's tables, looks here first.  The answer is kept until
 * mkt.attachment is invalidated, as every upgrade does.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#define EXTENSION "mktcontacts"

static bool known = false;		/* both are of one version */
static Oid	attachment = InvalidOid;

static char *other_version(void);
static char *extension_version(void);
static bool is_later(const char *a, const char *b);
static void forget(Datum arg, Oid relid);

/* The scripts of an upgrade may call a library that is newer than they are. */
void
mkt_version_check(void)
{
	char	   *version;

	if (known || IsBinaryUpgrade || mkt_version_script_runs() ||
		(version = other_version()) == NULL)
		return;
	ereport(ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("the library of mktcontacts is version %s, the extension in this database version %s",
				   MKT_VERSION, version),
			is_later(MKT_VERSION, version) ?
			errdetail("The extension has not been updated since the library was replaced.") :
			errdetail("This session has loaded the library before it was replaced, or it was not replaced."),
			is_later(MKT_VERSION, version) ?
			errhint("ALTER EXTENSION mktcontacts UPDATE;") :
			errhint("Reconnect; restart the server where it preloads the library; or install version %s of it.", version));
}

bool
mkt_version_is_ours(void)
{
	return known || other_version() == NULL;
}

/* Whether the script of mktcontacts runs that CREATE or ALTER EXTENSION called. */
bool
mkt_version_script_runs(void)
{
	return creating_extension && CurrentExtensionObject == get_extension_oid(EXTENSION, true);
}

/*
 * For the last command of each script that upgrades: false when other scripts
 * follow, which bring the extension to the library's version.
 */
bool
mkt_version_is_reached(void)
{
	char	   *version = other_version();

	if (version == NULL || is_later(MKT_VERSION, version))
		return version == NULL;
	ereport(ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("the library of mktcontacts is version %s, and cannot update to version %s",
				   MKT_VERSION, version),
			errhint("Reconnect, so that this session loads the library of version %s.", version));
}

/*
 * The version of the extension when that is not ours.  The answer counts as known
 * from before it is read, so that an invalidation that arrives meanwhile ends it.
 */
static char *
other_version(void)
{
	char	   *version;

	attachment = mkt_relation("attachment");
	known = true;
	version = extension_version();
	if (version == NULL || strcmp(version, MKT_VERSION) == 0)
		return NULL;
	known = false;
	return version;
}

/* NULL: there is none, as after DROP EXTENSION. */
static char *
extension_version(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *version = NULL;
	bool		isnull;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum(EXTENSION));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		version = TextDatumGetCString(heap_getattr(tuple, Anum_pg_extension_extversion,
												   RelationGetDescr(rel), &isnull));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return version;
}

/* Versions are numbers with dots between them. */
static bool
is_later(const char *a, const char *b)
{
	char	   *a_end;
	char	   *b_end;
	long		a_part = strtol(a, &a_end, 10);
	long		b_part = strtol(b, &b_end, 10);

	if (a_part != b_part)
		return a_part > b_part;
	if (*a_end == '.' && *b_end == '.')
		return is_later(a_end + 1, b_end + 1);
	return *a_end == '.';
}

void
mkt_version_init(void)
{
	CacheRegisterRelcacheCallback(forget, (Datum) 0);
}

static void
forget(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == attachment)
		known = false;
}
