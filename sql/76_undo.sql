-- Taking a batch back (undo.c).

CREATE FUNCTION mkt.undo(batch bigint, OUT undo bigint, OUT restored bigint, OUT pending bigint,
						 OUT changed_since bigint, OUT too_late bigint, OUT gone bigint)
LANGUAGE C STRICT
AS 'MODULE_PATHNAME', 'mkt_undo';
COMMENT ON FUNCTION mkt.undo(bigint) IS
'Takes a batch back, with the caller''s rights (W5): its contacts that nobody has touched since are again what they were, with the source that they had. Argument: a batch of mkt.batch. Returns one row: undo, the number of the batch that this is itself; how many contacts were restored; are pending now because the batch had made them marketing and nobody becomes non-marketing at once (T8); were changed by somebody else since; had their update date pass; are gone, or hidden from the caller. Errors: P0002 no such batch, MK008 no history of it.';
