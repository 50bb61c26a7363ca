-- What tools may do with contacts (tool_use.c).

CREATE TABLE mkt.tool_use (
	tool			text		CONSTRAINT tool_use_pkey PRIMARY KEY CONSTRAINT "a tool has a name" CHECK (tool <> ''),
	needs_marketing	boolean		NOT NULL,
	needs_reachable	boolean		NOT NULL,
	description		text,
	shipped			boolean		NOT NULL DEFAULT false REFERENCES mkt.shipping
);
COMMENT ON TABLE mkt.tool_use IS
'What a contact must be so that a tool may use it (F4). By plain INSERT, UPDATE and DELETE; a tool that is not here may use nobody.';
COMMENT ON COLUMN mkt.tool_use.tool IS 'The name by which the tool is asked about.';
COMMENT ON COLUMN mkt.tool_use.needs_marketing IS 'Whether it may use marketing contacts only.';
COMMENT ON COLUMN mkt.tool_use.needs_reachable IS 'Whether it may use only contacts that are neither unsubscribed nor bounced.';
COMMENT ON COLUMN mkt.tool_use.description IS 'What it does.';
COMMENT ON COLUMN mkt.tool_use.shipped IS 'Whether the row came with mktcontacts.';

INSERT INTO mkt.tool_use (tool, needs_marketing, needs_reachable, description, shipped)
VALUES
	('marketing_email', true, true, 'E-mail to a selection of contacts', true),
	('ads_audience', true, true, 'Audiences of advertising networks', true),
	('workflow_action', true, true, 'Marketing actions of workflows', true),
	('one_to_one_email', false, false, 'E-mail from one person to one contact', true),
	('transactional_email', false, false, 'Receipts, passwords, notices that a contact has asked for', true),
	('ticket', false, false, 'Tickets of a help desk', true),
	('chat_transcript', false, false, 'Transcripts of chats', true),
	('survey', false, false, 'Surveys and their answers', true);
GRANT SELECT ON mkt.tool_use TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('mkt.tool_use', '');

CREATE FUNCTION mkt.refusal(tool text, marketing boolean, unsubscribed boolean, bounced boolean) RETURNS text
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'mkt_refusal';
COMMENT ON FUNCTION mkt.refusal(text, boolean, boolean, boolean) IS
'Why a tool may not use a contact: non_marketing, unsubscribed or bounced, the first of these that holds; null when it may (F4). Arguments: the tool; whether the contact is marketing now, as mkt.is_marketing() says, has unsubscribed, has bounced; null is taken as no. Error: MK010 for a tool that mkt.tool_use does not have.';

CREATE TRIGGER shipped_again BEFORE INSERT ON mkt.tool_use
FOR EACH ROW EXECUTE FUNCTION mkt.shipped_again();
CREATE TRIGGER shipped_withdrawn AFTER UPDATE OR DELETE ON mkt.tool_use
FOR EACH ROW WHEN (OLD.shipped) EXECUTE FUNCTION mkt.shipped_withdrawn();
