-- Reports that ask the contacts themselves (report.c).  Each is a view, and a
-- function for those who want one account only.

CREATE FUNCTION mkt.count_sources(of_account text, OUT contacts regclass, OUT account text, OUT source_type text, OUT source_name text,
								  OUT billable bigint, OUT pending bigint, OUT deleted bigint) RETURNS SETOF record
LANGUAGE C STABLE
AS 'MODULE_PATHNAME', 'mkt_count_sources';
COMMENT ON FUNCTION mkt.count_sources(text) IS
'Marketing contacts by table, account and source, for mkt.source_usage. Argument: an account, or null for all. Leaves out tables of which the caller may not read every row and column.';

CREATE VIEW mkt.source_usage AS
SELECT s.account, s.source_type, s.source_name, s.billable, s.pending, s.deleted,
	round(s.billable / s.all_billable, 4) AS share,
	round(u.price * s.billable / s.all_billable, 2) AS price,
	u.currency
FROM (
	SELECT account, source_type, source_name, sum(billable)::bigint AS billable, sum(pending)::bigint AS pending, sum(deleted)::bigint AS deleted,
		sum(sum(billable)) OVER (PARTITION BY account) AS all_billable
	FROM mkt.count_sources(NULL)
	GROUP BY account, source_type, source_name
) AS s
LEFT JOIN mkt.usage AS u ON u.account = s.account;
COMMENT ON VIEW mkt.source_usage IS
'How many marketing contacts of each account each source brought, over all attached tables that the reader may read as a whole (P4).';
COMMENT ON COLUMN mkt.source_usage.account IS 'The account; null: contacts without one.';
COMMENT ON COLUMN mkt.source_usage.source_type IS 'The tool that set their status: marketing_source_type of the contacts.';
COMMENT ON COLUMN mkt.source_usage.source_name IS 'Which one of these: marketing_source_name of the contacts.';
COMMENT ON COLUMN mkt.source_usage.billable IS 'Marketing contacts, pending ones and deleted ones that still count included.';
COMMENT ON COLUMN mkt.source_usage.pending IS 'Marketing contacts that become non-marketing on an update date.';
COMMENT ON COLUMN mkt.source_usage.deleted IS 'Deleted contacts that count until the next update date (T13); they have no source.';
COMMENT ON COLUMN mkt.source_usage.share IS 'Their part of the account''s billable contacts, from 0 to 1.';
COMMENT ON COLUMN mkt.source_usage.price IS 'The same part of the account''s price a month, to 0.01; null without one, and from the function.';
COMMENT ON COLUMN mkt.source_usage.currency IS 'The currency of price.';

CREATE FUNCTION mkt.source_usage(account text) RETURNS SETOF mkt.source_usage
LANGUAGE SQL STABLE
BEGIN ATOMIC
	SELECT s.account, s.source_type, s.source_name,
		sum(s.billable)::bigint,
		sum(s.pending)::bigint,
		sum(s.deleted)::bigint,
		round(sum(s.billable) / sum(sum(s.billable)) OVER (), 4),
		NULL::numeric, NULL::text
	FROM mkt.count_sources(source_usage.account) AS s
	WHERE source_usage.account IS NOT NULL
	GROUP BY s.account, s.source_type, s.source_name;
END;
COMMENT ON FUNCTION mkt.source_usage(text) IS
'The rows of mkt.source_usage of one account, without reading the contacts of others. Argument: the account.';

CREATE FUNCTION mkt.find_unreachable(of_account text, OUT contacts regclass, OUT account text, OUT contact text, OUT reason text,
									 OUT marketing_until timestamptz) RETURNS SETOF record
LANGUAGE C STABLE
AS 'MODULE_PATHNAME', 'mkt_find_unreachable';
COMMENT ON FUNCTION mkt.find_unreachable(text) IS
'Marketing contacts that cannot be reached, for mkt.unreachable and mkt.unreachable_contact. Argument: an account, or null for all. Leaves out tables of which the caller may not read every row and column.';

CREATE VIEW mkt.unreachable_contact AS
SELECT u.contacts, u.account, u.contact, u.reason, u.marketing_until
FROM mkt.find_unreachable(NULL) AS u;
COMMENT ON VIEW mkt.unreachable_contact IS
'The contacts that are billed but cannot be reached, in all attached tables that the reader may read as a whole (P5).';
COMMENT ON COLUMN mkt.unreachable_contact.contacts IS 'The contacts table.';
COMMENT ON COLUMN mkt.unreachable_contact.account IS 'The account; null: contacts without one.';
COMMENT ON COLUMN mkt.unreachable_contact.contact IS 'The contact''s key as text; one of several columns as a row, (1,2).';
COMMENT ON COLUMN mkt.unreachable_contact.reason IS 'unsubscribed, or bounced; one that is both is unsubscribed.';
COMMENT ON COLUMN mkt.unreachable_contact.marketing_until IS 'When a pending contact stops counting; null: it is not pending.';

CREATE FUNCTION mkt.unreachable_contact(account text) RETURNS SETOF mkt.unreachable_contact
LANGUAGE SQL STABLE
BEGIN ATOMIC
	SELECT u.contacts, u.account, u.contact, u.reason, u.marketing_until
	FROM mkt.find_unreachable(unreachable_contact.account) AS u
	WHERE unreachable_contact.account IS NOT NULL;
END;
COMMENT ON FUNCTION mkt.unreachable_contact(text) IS
'The rows of mkt.unreachable_contact of one account, without reading the contacts of others. Argument: the account.';

CREATE VIEW mkt.unreachable AS
SELECT u.account, u.reason, u.billable, u.pending, round(a.price * u.billable / nullif(a.billable, 0), 2) AS price, a.currency
FROM (
	SELECT account, reason, count(*) AS billable, count(marketing_until) AS pending
	FROM mkt.find_unreachable(NULL)
	GROUP BY account, reason
) AS u
LEFT JOIN mkt.usage AS a ON a.account = u.account;
COMMENT ON VIEW mkt.unreachable IS
'How many billed contacts of each account cannot be reached, and why (P5). mkt.unreachable_contact lists them.';
COMMENT ON COLUMN mkt.unreachable.account IS 'The account; null: contacts without one.';
COMMENT ON COLUMN mkt.unreachable.reason IS 'unsubscribed, or bounced; a contact that is both is unsubscribed.';
COMMENT ON COLUMN mkt.unreachable.billable IS 'Marketing contacts, pending ones included.';
COMMENT ON COLUMN mkt.unreachable.pending IS 'Marketing contacts that become non-marketing on an update date.';
COMMENT ON COLUMN mkt.unreachable.price IS 'Their part of the account''s price a month, to 0.01; null without one, and from the function.';
COMMENT ON COLUMN mkt.unreachable.currency IS 'The currency of price.';

CREATE FUNCTION mkt.unreachable(account text) RETURNS SETOF mkt.unreachable
LANGUAGE SQL STABLE
BEGIN ATOMIC
	SELECT u.account, u.reason, count(*), count(u.marketing_until), NULL::numeric, NULL::text
	FROM mkt.find_unreachable(unreachable.account) AS u
	WHERE unreachable.account IS NOT NULL
	GROUP BY u.account, u.reason;
END;
COMMENT ON FUNCTION mkt.unreachable(text) IS
'The rows of mkt.unreachable of one account, without reading the contacts of others. Argument: the account.';
