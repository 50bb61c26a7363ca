/*-------------------------------------------------------------------------
 * entry.c
 *	  Functions under names that the library of version 0.1 does not have.
 *
 * That library does not look for the version of the extension.  A session that has
 * loaded it may still be there when the extension is updated; it finds no function
 * of this name, and that is an error before anything is written.  The functions
 * under their own names are those of an extension that is still of version 0.1.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "fmgr.h"

#define ENTRY(name) \
extern Datum name(PG_FUNCTION_ARGS); \
PG_FUNCTION_INFO_V1(name##_0_2); \
Datum \
name##_0_2(PG_FUNCTION_ARGS) \
{ \
	return name(fcinfo); \
} \
extern int	no_such_variable

ENTRY(mkt_contact_state);
ENTRY(mkt_contact_count);
ENTRY(mkt_contact_recount);
ENTRY(mkt_contact_post);
ENTRY(mkt_contact_truncate);
ENTRY(mkt_attach);
ENTRY(mkt_detach);
ENTRY(mkt_repair);
ENTRY(mkt_run);
