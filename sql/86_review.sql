-- Reviews: a guided bulk change (review.c).

CREATE TABLE mkt.review (
	review		bigint		GENERATED ALWAYS AS IDENTITY CONSTRAINT review_pkey PRIMARY KEY,
	contacts	regclass	NOT NULL,
	account		text		NOT NULL,
	state		text		NOT NULL DEFAULT 'open' CONSTRAINT "state is open, applied or abandoned" CHECK (state IN ('open', 'applied', 'abandoned')),
	opened_by	name		NOT NULL,
	opened_at	timestamptz	NOT NULL,
	closed_at	timestamptz,
	batch		bigint
);
COMMENT ON TABLE mkt.review IS 'Reviews of accounts: contacts that are selected in steps, to be set as non-marketing at once (W3). Written by mkt.open_review(), mkt.apply_review() and mkt.abandon_review().';
COMMENT ON COLUMN mkt.review.review IS 'The number of the review.';
COMMENT ON COLUMN mkt.review.contacts IS 'The contacts table.';
COMMENT ON COLUMN mkt.review.account IS 'The account.';
COMMENT ON COLUMN mkt.review.state IS 'open, applied or abandoned.';
COMMENT ON COLUMN mkt.review.opened_by IS 'The role whose members may go on with it.';
COMMENT ON COLUMN mkt.review.opened_at IS 'When it was opened, by mkt.now().';
COMMENT ON COLUMN mkt.review.closed_at IS 'When it was applied or abandoned.';
COMMENT ON COLUMN mkt.review.batch IS 'The batch that applying it made, for mkt.undo().';
SELECT pg_catalog.pg_extension_config_dump('mkt.review', '');
SELECT pg_catalog.pg_extension_config_dump('mkt.review_review_seq', '');

CREATE TABLE mkt.review_step (
	review		bigint		NOT NULL,
	step		integer		NOT NULL,
	proposal	text		NOT NULL,
	taken		boolean		NOT NULL,
	proposed	bigint		NOT NULL,
	decided_at	timestamptz	NOT NULL,
	CONSTRAINT review_step_pkey PRIMARY KEY (review, step)
);
COMMENT ON TABLE mkt.review_step IS 'What was proposed in reviews, and whether it was taken.';
COMMENT ON COLUMN mkt.review_step.review IS 'The review.';
COMMENT ON COLUMN mkt.review_step.step IS 'The number of the step in its review. What is proposed again is the same step.';
COMMENT ON COLUMN mkt.review_step.proposal IS 'unengaged; filter or list, with its name; or a filter as JSON.';
COMMENT ON COLUMN mkt.review_step.taken IS 'Whether the contacts were taken into the selection.';
COMMENT ON COLUMN mkt.review_step.proposed IS 'How many contacts it added, or would have added, to those of the other steps.';
COMMENT ON COLUMN mkt.review_step.decided_at IS 'When that was said last, by mkt.now().';
SELECT pg_catalog.pg_extension_config_dump('mkt.review_step', '');

CREATE TABLE mkt.review_contact (
	review		bigint		NOT NULL,
	step		integer		NOT NULL,
	key			text		NOT NULL,
	CONSTRAINT review_contact_pkey PRIMARY KEY (review, step, key)
);
COMMENT ON TABLE mkt.review_contact IS 'The contacts selected in open reviews.';
COMMENT ON COLUMN mkt.review_contact.review IS 'The review.';
COMMENT ON COLUMN mkt.review_contact.step IS 'The step that selected it; several may have.';
COMMENT ON COLUMN mkt.review_contact.key IS 'The key of a contact, as text.';
SELECT pg_catalog.pg_extension_config_dump('mkt.review_contact', '');

ALTER TABLE mkt.review ENABLE ROW LEVEL SECURITY;
ALTER TABLE mkt.review_step ENABLE ROW LEVEL SECURITY;
ALTER TABLE mkt.review_contact ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON mkt.review FOR SELECT USING (EXISTS (SELECT FROM pg_catalog.pg_roles AS r
	WHERE r.rolname OPERATOR(pg_catalog.=) opened_by AND pg_catalog.pg_has_role(r.oid, 'USAGE')));
CREATE POLICY own ON mkt.review_step FOR SELECT USING (EXISTS (SELECT FROM mkt.review AS r WHERE r.review OPERATOR(pg_catalog.=) review_step.review));
CREATE POLICY own ON mkt.review_contact FOR SELECT USING (EXISTS (SELECT FROM mkt.review AS r WHERE r.review OPERATOR(pg_catalog.=) review_contact.review));
COMMENT ON POLICY own ON mkt.review IS 'Who may go on with it sees it.';
COMMENT ON POLICY own ON mkt.review_step IS 'Who may go on with the review sees it.';
COMMENT ON POLICY own ON mkt.review_contact IS 'Who may go on with the review sees it.';
GRANT SELECT ON mkt.review, mkt.review_step, mkt.review_contact TO PUBLIC;

CREATE FUNCTION mkt.open_review(contacts regclass, account text DEFAULT NULL) RETURNS bigint
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_open_review';
COMMENT ON FUNCTION mkt.open_review(regclass, text) IS
'Opens a review of an account''s marketing contacts and returns its number (W3). Nothing changes before mkt.apply_review(). Arguments: the contacts table; the account, not needed where the whole table belongs to one. Errors: MK001 not attached, MK006 keys of several columns, 22004 no account.';

CREATE FUNCTION mkt.review_unengaged(review bigint, take boolean DEFAULT true, OUT proposed bigint, OUT selected bigint)
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_review_unengaged';
COMMENT ON FUNCTION mkt.review_unengaged(bigint, boolean) IS
'The first step of a review: proposes the marketing contacts that are unsubscribed or bounced, by the conditions given to mkt.attach(), and takes them or not. Pending contacts are not proposed. Saying it again decides anew, by the contacts as they are then. Arguments: the review; take, false to skip. Returns one row: how many it adds to those of the other steps; how many are selected in all. Errors: P0002 no such review, 42501 another role''s, MK001 the table is not attached any more, MK018 the review is closed.';

CREATE FUNCTION mkt.review_filter(review bigint, filter jsonb, take boolean DEFAULT true, OUT proposed bigint, OUT selected bigint)
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_review_filter';
COMMENT ON FUNCTION mkt.review_filter(bigint, jsonb, boolean) IS
'The second step of a review: proposes the marketing contacts that meet a filter, and takes them or not; as often as there are filters. Arguments: the review; the filter as JSON; take, false to skip. Returns and errors as mkt.review_unengaged, and MK013 the filter is not one or does not fit the table.';

CREATE FUNCTION mkt.review_filter(review bigint, filter text, take boolean DEFAULT true, OUT proposed bigint, OUT selected bigint)
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_review_saved_filter';
COMMENT ON FUNCTION mkt.review_filter(bigint, text, boolean) IS
'The same with a saved filter of the account, or one for all accounts, by name; a text that begins with a brace is a filter as JSON. Errors: also P0002 no such filter.';

CREATE FUNCTION mkt.review_list(review bigint, list text, take boolean DEFAULT true, OUT proposed bigint, OUT selected bigint)
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_review_list';
COMMENT ON FUNCTION mkt.review_list(bigint, text, boolean) IS
'The same with the members of a static list of the account, or of one for all accounts. Errors: also P0002 no such list.';

CREATE FUNCTION mkt.review_summary(review bigint,
								   OUT account text, OUT billable bigint, OUT non_marketing bigint, OUT selected bigint,
								   OUT changed bigint, OUT already bigint, OUT pending bigint, OUT not_found bigint,
								   OUT billable_after_update bigint, OUT non_marketing_after_update bigint,
								   OUT tier bigint, OUT tier_after_update bigint,
								   OUT price numeric, OUT price_after_update numeric, OUT currency text, OUT next_update timestamptz)
LANGUAGE C STABLE
AS 'MODULE_PATHNAME', 'mkt_review_summary';
COMMENT ON FUNCTION mkt.review_summary(bigint) IS
'The third step of a review: what applying it would do now (W3, W6). Argument: the review. Returns one row: the account''s marketing and non-marketing contacts now; the contacts selected, and how many of them would change, are non-marketing or pending by now, are gone; counts, tier and price a month after the next update date. Counts are null where the caller may not know them, see mkt.billable; the non-marketing ones also where he knows a part, and until mkt.run() has counted a table that was just attached. Works in read-only transactions, too. Errors: P0002 no such review, 42501 another role''s, MK001 the table is not attached any more, MK018 the review is closed.';

CREATE FUNCTION mkt.apply_review(review bigint, expected bigint DEFAULT NULL,
								 OUT batch bigint, OUT changed bigint, OUT already bigint, OUT pending bigint,
								 OUT not_found bigint, OUT parked bigint)
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_apply_review';
COMMENT ON FUNCTION mkt.apply_review(bigint, bigint) IS
'Sets the contacts selected in a review as non-marketing, as one batch, and closes it (W3 to W5). Contacts that changed or went meanwhile are skipped and counted. Applied again it changes nothing. Arguments: the review; expected, the number that must change. Returns the row of mkt.set_non_marketing. Errors: P0002 no such review, 42501 another role''s, MK001 the table is not attached any more, MK003 another number than expected, MK018 the review was abandoned.';

CREATE FUNCTION mkt.abandon_review(review bigint) RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_abandon_review';
COMMENT ON FUNCTION mkt.abandon_review(bigint) IS
'Closes a review without changing any contact. Argument: the review. Errors: P0002 no such review, 42501 another role''s, MK018 it was applied.';
