-- Taking a batch back (undo.c).

CREATE FUNCTION mkt.undo(batch bigint, OUT undo bigint, OUT restored bigint, OUT pending bigint,
						 OUT changed_since bigint, OUT too_late bigint, OUT gone bigint)
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_undo';
COMMENT ON FUNCTION mkt.undo(bigint) IS
'Takes a batch back, with the caller''s rights (W5): its contacts that nobody has touched since are again what they were, with the source that they had. Argument: a batch of mkt.batch. Returns one row: undo, the number of the batch that this is itself; how many contacts were restored; are pending now because the batch had made them marketing and nobody becomes non-marketing at once (T8); were changed by somebody else since; had their update date pass; are gone, or hidden from the caller. Errors: P0002 no such batch, MK008 no history of it, 22004.';

CREATE FUNCTION mkt.find_batches(label text, contacts regclass, OUT batch bigint, OUT undone regclass) RETURNS SETOF record
LANGUAGE C STABLE
AS 'MODULE_PATHNAME', 'mkt_find_batches';
COMMENT ON FUNCTION mkt.find_batches(text, regclass) IS
'The batches under a name, one of each contacts table or of one alone, for mkt.undo(). Errors: P0002 none, 22004.';

CREATE FUNCTION mkt.undo(label text, contacts regclass DEFAULT NULL)
RETURNS TABLE (undone regclass, undo bigint, restored bigint, pending bigint, changed_since bigint, too_late bigint, gone bigint)
LANGUAGE SQL
BEGIN ATOMIC
	SELECT b.undone, u.undo, u.restored, u.pending, u.changed_since, u.too_late, u.gone
	FROM mkt.find_batches($1, $2) AS b CROSS JOIN LATERAL mkt.undo(b.batch) AS u;
END;
COMMENT ON FUNCTION mkt.undo(text, regclass) IS
'The same for the batches that mktcontacts.batch named so: one row for each contacts table, which is undone. Arguments: the name; contacts, one table alone, by default all. Errors: P0002 no such batch, MK008 no history of it, 22004.';
