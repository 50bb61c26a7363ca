-- Who counts as unreachable, and roles that see eligible contacts only (restrict.c).

CREATE FUNCTION mkt.set_conditions(contacts regclass, unsubscribed text, bounced text) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_set_conditions';
COMMENT ON FUNCTION mkt.set_conditions(regclass, text, text) IS
'Changes the conditions that mkt.attach() was given for contacts that cannot be reached; policies that mkt.restrict_tool() has made follow. Arguments: the contacts table, owned by the caller; the conditions on its columns, null for none. Error: MK001 when it is not attached.';

CREATE FUNCTION mkt.restrict_tool(contacts regclass, tool text, role name) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_restrict_tool';
COMMENT ON FUNCTION mkt.restrict_tool(regclass, text, name) IS
'Lets a role see, change and delete only the contacts that a tool may use, by a policy for row-level security; what others see stays (F4). Again, with another tool: that one. Arguments: the contacts table, owned by the caller; the tool, from mkt.tool_use; the role, with its members. Errors: MK001 not attached, MK010 no such tool, 22023 a role that no policy holds back, 55000 when the table has policies while row-level security is off.';

CREATE FUNCTION mkt.unrestrict_tool(contacts regclass, role name) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_unrestrict_tool';
COMMENT ON FUNCTION mkt.unrestrict_tool(regclass, name) IS
'Takes back what mkt.restrict_tool() did; with the last restricted role, row-level security is switched off if that had switched it on. Arguments: the contacts table, owned by the caller; the role. Error: 42704 when it is not restricted.';
