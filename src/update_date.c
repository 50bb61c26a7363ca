/*-------------------------------------------------------------------------
 * update_date.c
 *	  When pending contacts become non-marketing, and when a term ends
 *	  (rules D1 to D5).
 *
 * Pure arithmetic over PostgreSQL's calendar and time zones: "now" is an
 * argument.  account.c calls it.
 *
 * Dates are looked for month by month, beginning with the one in which the
 * question falls: all days of the months before have begun.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "utils/datetime.h"
#include "utils/timestamp.h"

/* Months since the year 0, the calendar in which terms are counted. */
typedef int64 Month;

/* Timestamps end where it begins in UTC; dates do not. */
#define END_YEAR 294277

static Month month_of(const MktCycle *cycle, TimestampTz instant);
static void start_of(const MktCycle *cycle, Month *month, int *day);
static bool later_of(const MktCycle *cycle, Month month, int day,
					 TimestampTz after, TimestampTz *result);
static TimestampTz start_of_day(const pg_tz *zone, Month month, int day);

/* D1, D2: the first update date strictly later than an instant (D5). */
bool
mkt_update_date_next(const MktCycle *cycle, TimestampTz after,
					 TimestampTz *result)
{
	TimestampTz renewal;
	Month		month;

	if (cycle->commitment == MKT_MONTHLY)
		return mkt_update_date_next_renewal(cycle, after, result);

	month = month_of(cycle, after);
	while (!later_of(cycle, month, 1, after, result))
		month++;
	if (cycle->has_start &&
		mkt_update_date_next_renewal(cycle, after, &renewal) &&
		renewal < *result)
		*result = renewal;
	return IS_VALID_TIMESTAMP(*result);
}

/* The first end of a term strictly later than an instant; none without start. */
bool
mkt_update_date_next_renewal(const MktCycle *cycle, TimestampTz after,
							 TimestampTz *result)
{
	int			term = cycle->commitment == MKT_MONTHLY ? 1 : 12;
	Month		start;
	Month		month;
	int			day;

	if (!cycle->has_start)
		return false;
	start_of(cycle, &start, &day);
	month = month_of(cycle, after);

	/* the first term ends a term after its start */
	if (month <= start)
		month = start + term;
	else
		month = start + (month - start + term - 1) / term * term;
	while (!later_of(cycle, month, day, after, result))
		month += term;
	return IS_VALID_TIMESTAMP(*result);
}

/* The month in which an instant falls, in the account's zone. */
static Month
month_of(const MktCycle *cycle, TimestampTz instant)
{
	pg_time_t	t = timestamptz_to_time_t(instant);
	struct pg_tm *tm = pg_localtime(&t, cycle->zone);

	if (tm == NULL)
		elog(ERROR, "could not convert an instant to local time");
	return (Month) (tm->tm_year + 1900) * 12 + tm->tm_mon;
}

static void
start_of(const MktCycle *cycle, Month *month, int *day)
{
	int			year;
	int			mon;

	j2date(cycle->started_on + POSTGRES_EPOCH_JDATE, &year, &mon, day);
	*month = (Month) year * 12 + mon - 1;
}

/* D5: does this day begin strictly later than the instant? */
static bool
later_of(const MktCycle *cycle, Month month, int day, TimestampTz after,
		 TimestampTz *result)
{
	*result = start_of_day(cycle->zone, month, day);
	return *result > after;
}

/*
 * D3, D4: the instant at which a day begins in a zone.  That is the first
 * instant whose local time has reached the day's midnight: where midnight is
 * skipped, the end of the gap; where it comes twice, the first.  Infinity
 * when the calendar ends before.
 */
static TimestampTz
start_of_day(const pg_tz *zone, Month month, int day)
{
	int			year = month / 12;
	int			mon = month % 12;
	int64		midnight;		/* as if the zone were UTC */
	pg_time_t	from;

	if (month < 0 || year > END_YEAR)
		return DT_NOEND;
	day = Min(day, day_tab[isleap(year)][mon]);
	midnight = ((int64) date2j(year, mon + 1, day) - UNIX_EPOCH_JDATE) *
		SECS_PER_DAY;

	/* no zone is two days away from UTC, the ones that skip a day included */
	from = midnight - 2 * SECS_PER_DAY;
	for (;;)
	{
		long		offset;
		long		next_offset;
		int			isdst;
		int			next_isdst;
		pg_time_t	boundary;
		int			more;
		pg_time_t	reached;

		more = pg_next_dst_boundary(&from, &offset, &isdst, &boundary,
									&next_offset, &next_isdst, zone);
		if (more < 0)
			return DT_NOEND;
		reached = Max(from, midnight - offset);
		if (more == 0 || reached < boundary)
			return (reached - ((pg_time_t) POSTGRES_EPOCH_JDATE -
							   UNIX_EPOCH_JDATE) * SECS_PER_DAY) *
				USECS_PER_SEC;
		from = boundary;
	}
}
