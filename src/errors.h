/*-------------------------------------------------------------------------
 * errors.h
 *	  The SQLSTATEs of mktcontacts, class MK.  README lists them.
 *-------------------------------------------------------------------------
 */
#ifndef MKT_ERRORS_H
#define MKT_ERRORS_H

#include "utils/elog.h"

/* the table is not attached, or is attached in another way */
#define ERRCODE_MKT_NOT_ATTACHED			MAKE_SQLSTATE('M','K','0','0','1')
/* the table cannot be attached: its kind, its key, a type, a column in the way */
#define ERRCODE_MKT_CANNOT_ATTACH			MAKE_SQLSTATE('M','K','0','0','2')
/* rule W2: the number of contacts differs from the one that was expected */
#define ERRCODE_MKT_NOT_AS_EXPECTED			MAKE_SQLSTATE('M','K','0','0','3')
/* rule T8: something else made a marketing contact non-marketing at once */
#define ERRCODE_MKT_DEMOTED_AT_ONCE			MAKE_SQLSTATE('M','K','0','0','5')
/* contacts cannot be named by one key each, or belong to no single account */
#define ERRCODE_MKT_AMBIGUOUS_KEY			MAKE_SQLSTATE('M','K','0','0','6')
/* a trigger function or a command was called where it cannot work */
#define ERRCODE_MKT_WRONG_CALL				MAKE_SQLSTATE('M','K','0','0','7')
/* the history of a table does not reach so far back, or is off */
#define ERRCODE_MKT_NO_HISTORY				MAKE_SQLSTATE('M','K','0','0','8')
/* rule F1: the default of this tool cannot be changed */
#define ERRCODE_MKT_FIXED_DEFAULT			MAKE_SQLSTATE('M','K','0','0','9')
/* rule F4: nobody has said what this tool needs */
#define ERRCODE_MKT_UNKNOWN_TOOL			MAKE_SQLSTATE('M','K','0','1','0')
/* an export of a CRM cannot be read as contacts of the table */
#define ERRCODE_MKT_BAD_IMPORT				MAKE_SQLSTATE('M','K','0','1','1')
/* an edition has no price in that currency on that day */
#define ERRCODE_MKT_NO_PRICE				MAKE_SQLSTATE('M','K','0','1','2')
/* a filter is not one, or does not fit its table */
#define ERRCODE_MKT_BAD_FILTER				MAKE_SQLSTATE('M','K','0','1','3')
/* rule B8: an account would have more marketing contacts than its maximum */
#define ERRCODE_MKT_MAXIMUM					MAKE_SQLSTATE('M','K','0','1','4')
/* rule B10: an account would have more contacts than its limit */
#define ERRCODE_MKT_CONTACT_LIMIT			MAKE_SQLSTATE('M','K','0','1','5')
/* rule B11: a closed period does not change */
#define ERRCODE_MKT_PERIOD_CLOSED			MAKE_SQLSTATE('M','K','0','1','6')
/* rule B4: a downgrade was requested too late for the renewal */
#define ERRCODE_MKT_TOO_LATE				MAKE_SQLSTATE('M','K','0','1','7')
/* a review has been applied or abandoned */
#define ERRCODE_MKT_REVIEW_CLOSED			MAKE_SQLSTATE('M','K','0','1','8')
/* rule K1: an edition does not include workflows */
#define ERRCODE_MKT_NO_WORKFLOWS			MAKE_SQLSTATE('M','K','0','1','9')
/* an account's workflows may do no more for now */
#define ERRCODE_MKT_RATE_LIMIT				MAKE_SQLSTATE('M','K','0','2','0')

#endif							/* MKT_ERRORS_H */
