/*-------------------------------------------------------------------------
 * init.c
 *	  What happens when the library is loaded.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "fmgr.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	mkt_setting_init();
	mkt_version_init();
	mkt_attachment_init();
	mkt_account_init();
	mkt_tool_init();
	mkt_count_init();
	mkt_limit_init();
	mkt_batch_init();
	mkt_change_init();
	mkt_shortcut_init();
	mkt_watch_init();
}
