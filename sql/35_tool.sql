-- Tools and what they create (tool.c).

CREATE TABLE mkt.tool (
	tool			text		CONSTRAINT tool_pkey PRIMARY KEY,
	created_as		mkt.status	NOT NULL DEFAULT 'non_marketing',
	promotes		text		NOT NULL DEFAULT 'never'
								CONSTRAINT "promotes is always, when_marketing or never" CHECK (promotes IN ('always', 'when_marketing', 'never')),
	fixed_because	text,
	shipped			boolean		NOT NULL DEFAULT false REFERENCES mkt.shipping
);
COMMENT ON TABLE mkt.tool IS
'The tools that create and change contacts, and the status that they give (T10, F1). Ships with the tools of HubSpot''s model; can be changed and added to.';
COMMENT ON COLUMN mkt.tool.tool IS 'The tool: what a contact''s marketing_source_type or mktcontacts.source_type says.';
COMMENT ON COLUMN mkt.tool.created_as IS 'The status of a contact that the tool creates, where no setting says otherwise.';
COMMENT ON COLUMN mkt.tool.promotes IS 'Whether the tool makes a non-marketing contact that it meets again marketing: always, when_marketing (when it creates marketing contacts), never. Where a setting says that it creates non-marketing contacts it promotes none.';
COMMENT ON COLUMN mkt.tool.fixed_because IS 'Why created_as cannot be changed; null where it can.';
COMMENT ON COLUMN mkt.tool.shipped IS 'Whether the tool came with mktcontacts.';
GRANT SELECT ON mkt.tool TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('mkt.tool', '');

INSERT INTO mkt.tool (tool, created_as, promotes, fixed_because, shipped) VALUES
('form_submission',	'marketing',		'always',			NULL, true),
('contact_import',	'non_marketing',	'when_marketing',	NULL, true),
('conversation',	'non_marketing',	'never',			NULL, true),
('integration',		'non_marketing',	'never',			NULL, true),
('api',				'non_marketing',	'never',			NULL, true),
('ad',				'non_marketing',	'never',			NULL, true),
('workflow',		'non_marketing',	'never',			NULL, true),
('user',			'non_marketing',	'never',			'A person chooses for each contact.', true),
('mobile_app',		'non_marketing',	'never',			'Its contacts have not asked for marketing.', true),
('logged_email',	'non_marketing',	'never',			'Its contacts have not asked for marketing.', true),
('team_inbox',		'non_marketing',	'never',			'Its contacts have not asked for marketing.', true),
('document_open',	'non_marketing',	'never',			'Its contacts have not asked for marketing.', true),
('meeting_link',	'non_marketing',	'never',			'Its contacts have not asked for marketing.', true),
('email_extension',	'non_marketing',	'never',			'Its contacts have not asked for marketing.', true),
('feedback',		'non_marketing',	'never',			'Its contacts have not asked for marketing.', true),
('sample',			'non_marketing',	'never',			'Samples are nobody.', true),
('initial_state',	'non_marketing',	'never',			'It marks the contacts that were there when a table was attached.', true);

CREATE TABLE mkt.tool_setting (
	account		text		NOT NULL,
	tool		text		NOT NULL CONSTRAINT "the tool of a setting is in mkt.tool" REFERENCES mkt.tool ON UPDATE CASCADE ON DELETE CASCADE,
	source_name	text,
	created_as	mkt.status	NOT NULL,
	CONSTRAINT tool_setting_key UNIQUE NULLS NOT DISTINCT (account, tool, source_name)
);
ALTER TABLE mkt.tool_setting REPLICA IDENTITY FULL;
COMMENT ON TABLE mkt.tool_setting IS
'What a tool gives the contacts that it creates for one account: one of its forms, imports or apps, or all of them (F1). By plain INSERT, UPDATE and DELETE.';
COMMENT ON COLUMN mkt.tool_setting.account IS 'The account as text.';
COMMENT ON COLUMN mkt.tool_setting.tool IS 'The tool.';
COMMENT ON COLUMN mkt.tool_setting.source_name IS 'Which form, import or app; null for all that have no setting of their own.';
COMMENT ON COLUMN mkt.tool_setting.created_as IS 'The status of a contact that is created so.';
SELECT pg_catalog.pg_extension_config_dump('mkt.tool_setting', '');

CREATE FUNCTION mkt.tool_changed() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_tool_changed';
REVOKE ALL ON FUNCTION mkt.tool_changed() FROM PUBLIC;
COMMENT ON FUNCTION mkt.tool_changed() IS 'Trigger function of mkt.tool and mkt.tool_setting: keeps fixed defaults (F1) and tells running sessions. Error: MK009.';

CREATE TRIGGER shipped_again BEFORE INSERT ON mkt.tool
FOR EACH ROW EXECUTE FUNCTION mkt.shipped_again();
CREATE TRIGGER tool_fixed BEFORE UPDATE OR DELETE ON mkt.tool
FOR EACH ROW EXECUTE FUNCTION mkt.tool_changed();
CREATE TRIGGER tool_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON mkt.tool
FOR EACH STATEMENT EXECUTE FUNCTION mkt.tool_changed();
CREATE TRIGGER tool_setting_fixed BEFORE INSERT OR UPDATE ON mkt.tool_setting
FOR EACH ROW EXECUTE FUNCTION mkt.tool_changed();
CREATE TRIGGER tool_setting_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON mkt.tool_setting
FOR EACH STATEMENT EXECUTE FUNCTION mkt.tool_changed();

CREATE FUNCTION mkt.created_as(account text, tool text, source_name text DEFAULT NULL) RETURNS mkt.status
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'mkt_created_as';
COMMENT ON FUNCTION mkt.created_as(text, text, text) IS
'The status of a contact that a tool creates without naming one (T10): the setting for account, tool and source name, else for account and tool, else the tool''s (F1). A tool that mkt.tool does not have creates non-marketing contacts.';

CREATE FUNCTION mkt.promotes(account text, tool text, source_name text DEFAULT NULL) RETURNS boolean
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'mkt_promotes';
COMMENT ON FUNCTION mkt.promotes(text, text, text) IS
'Whether a tool makes a non-marketing contact that it meets again marketing (F1): mkt.record_activity() goes by it.';
