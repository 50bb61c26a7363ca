/*-------------------------------------------------------------------------
 * setting.c
 *	  The settings of mktcontacts, and the one clock that everything reads.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/xact.h"
#include "compat.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

/* F2: the tool and the batch of statements that name none; empty: none. */
char	   *mkt_source_type = NULL;
char	   *mkt_source_name = NULL;
int			mkt_workflow_timeout;
int			mkt_check_every;
char	   *mkt_batch = NULL;

static char *clock_setting = NULL;
static TimestampTz *held_at = NULL; /* what the setting says, if anything */

static bool check_clock(char **newval, void **extra, GucSource source);
static bool write_in_utc(char **newval, TimestampTz instant);
static void assign_clock(const char *newval, void *extra);
static bool parse_instant(const char *text, TimestampTz *instant);

PG_FUNCTION_INFO_V1(mkt_sql_now);

/* mkt.now(): the instant that all of mktcontacts takes as the present. */
Datum
mkt_sql_now(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(mkt_now());
}

TimestampTz
mkt_now(void)
{
	return held_at ? *held_at : GetCurrentTransactionStartTimestamp();
}

/* Whether the present is what the setting says, and not what time it is. */
bool
mkt_clock_is_held(void)
{
	return held_at != NULL;
}

void
mkt_setting_init(void)
{
	DefineCustomStringVariable("mktcontacts.clock",
							   "Holds mktcontacts at this instant instead of the transaction's time.",
							   "For tests, simulations and demonstrations. Empty means off.",
							   &clock_setting, "", PGC_SUSET, 0,
							   check_clock, assign_clock, NULL);
	DefineCustomStringVariable("mktcontacts.source_type",
							   "The tool that creates and changes contacts, for rows that name none.",
							   "For example form_submission. Empty means none.",
							   &mkt_source_type, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("mktcontacts.source_name",
							   "Which form, import, app or person it is.",
							   "Goes with mktcontacts.source_type.",
							   &mkt_source_name, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("mktcontacts.batch",
							   "The name of the batch that statements belong to.",
							   "mkt.batch tells of it and mkt.undo() takes it back. Empty means none.",
							   &mkt_batch, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("mktcontacts.workflow_timeout",
							"How long the condition of a workflow may take.",
							"A condition that takes longer has failed. 0 means any time.",
							&mkt_workflow_timeout, 60000, 0, INT_MAX, PGC_SUSET,
							GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("mktcontacts.check_every",
							"How often mkt.run() recounts a table without a reason.",
							"0 means never.",
							&mkt_check_every, 1440, 0, INT_MAX, PGC_SUSET,
							GUC_UNIT_MIN, NULL, NULL, NULL);
	MarkGUCPrefixReserved("mktcontacts");
}

static bool
check_clock(char **newval, void **extra, GucSource source)
{
	TimestampTz instant;

	*extra = NULL;
	if (*newval == NULL || **newval == '\0')
		return true;
	if (!parse_instant(*newval, &instant))
	{
		GUC_check_errdetail("The setting takes a timestamp with time zone.");
		GUC_check_errhint("Write for example SET mktcontacts.clock = '2026-12-01 00:00+01'.");
		return false;
	}
	*extra = mkt_guc_malloc(sizeof(TimestampTz));
	if (*extra == NULL)
		return false;			/* LCOV_EXCL_LINE: out of memory */
	memcpy(*extra, &instant, sizeof(TimestampTz));
	return write_in_utc(newval, instant);
}

/*
 * A parallel worker restores the settings in the order of their names, and this
 * one before those for time zones: what it reads must need none.
 */
static bool
write_in_utc(char **newval, TimestampTz instant)
{
	struct pg_tm tm;
	fsec_t		fsec;
	char text[	MAXDATELEN + 1];
	char	   *copy;

	if (timestamp2tm(instant, NULL, &tm, &fsec, NULL, NULL) != 0)
		return false;			/* LCOV_EXCL_LINE: it has just been made of
								 * such parts */
	tm.tm_isdst = 0;			/* or no zone would be written */
	EncodeDateTime(&tm, fsec, true, 0, NULL, USE_ISO_DATES, text);
	copy = mkt_guc_malloc(strlen(text) + 1);
	if (copy == NULL)
		return false;			/* LCOV_EXCL_LINE: out of memory */
	strcpy(copy, text);
	mkt_guc_free(*newval);
	*newval = copy;
	return true;
}

static void
assign_clock(const char *newval, void *extra)
{
	held_at = extra;
}

/* The input function's work without its errors, which a check cannot raise. */
static bool
parse_instant(const char *text, TimestampTz *instant)
{
	char		work[MAXDATELEN + MAXDATEFIELDS];
	char	   *field[MAXDATEFIELDS];
	int			ftype[MAXDATEFIELDS];
	int			nf;
	int			dtype;
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;

	return ParseDateTime(text, work, sizeof(work), field, ftype,
						 MAXDATEFIELDS, &nf) == 0 &&
		mkt_decode_datetime(field, ftype, nf, &dtype, &tm, &fsec, &tz) == 0 &&
		dtype == DTK_DATE && tm2timestamp(&tm, fsec, &tz, instant) == 0;
}
