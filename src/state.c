/*-------------------------------------------------------------------------
 * state.c
 *	  The state machine of a contact (rules S1 to S3, T1 to T3, T8, T9, T12).
 *
 * Pure: takes values and returns values.  contact.c asks it for every row.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "utils/timestamp.h"

/* S1: a contact is marketing while its instant lies ahead. */
MktState
mkt_state_at(TimestampTz until, TimestampTz now)
{
	if (TIMESTAMP_IS_NOEND(until))
		return MKT_MARKETING;
	return until > now ? MKT_PENDING : MKT_NON_MARKETING;
}

/* How a state is stored. */
MktColumns
mkt_state_columns(MktState state)
{
	MktColumns	columns = {false, false};

	switch (state)
	{
		case MKT_NON_MARKETING:
			break;
		case MKT_MARKETING:
			columns.marketing = true;
			break;
		case MKT_PENDING:
			columns.marketing = true;
			columns.flag = true;
			break;
	}
	return columns;
}

/*
 * T12: what a statement asks by what it changed.  The columns before are those
 * of the state in which the contact is, which for an instant that has passed
 * are not the stored ones.
 */
MktRequest
mkt_state_request(MktColumns before, MktColumns after)
{
	if (before.marketing != after.marketing)
	{
		if (!after.marketing)
			return MKT_ASK_NON_MARKETING;
		return after.flag ? MKT_ASK_UNTIL_NEXT_UPDATE : MKT_ASK_MARKETING;
	}
	if (before.flag != after.flag && after.marketing)
		return after.flag ? MKT_ASK_NON_MARKETING : MKT_ASK_MARKETING;
	return MKT_ASK_NOTHING;
}

/* Section 3's table: T1, T2; T3 happens by itself. */
MktState
mkt_state_next(MktState state, MktRequest request)
{
	switch (request)
	{
		case MKT_ASK_NOTHING:
			return state;
		case MKT_ASK_MARKETING:
			return MKT_MARKETING;
		case MKT_ASK_NON_MARKETING:
			return state == MKT_NON_MARKETING ? MKT_NON_MARKETING : MKT_PENDING;
		case MKT_ASK_UNTIL_NEXT_UPDATE:
			return MKT_PENDING;
	}
	pg_unreachable();
}
