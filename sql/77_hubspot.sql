-- Moving to and from HubSpot (hubspot.c, hubspot_file.c, hubspot_report.c).

CREATE TABLE mkt.hubspot_source (
	label		text		CONSTRAINT hubspot_source_pkey PRIMARY KEY,
	tool		text		NOT NULL,
	exported	boolean		NOT NULL DEFAULT false,
	shipped		boolean		NOT NULL DEFAULT false REFERENCES mkt.shipping
);
CREATE UNIQUE INDEX hubspot_source_exported ON mkt.hubspot_source (tool) WHERE exported;
COMMENT ON TABLE mkt.hubspot_source IS 'What HubSpot calls the tools that set statuses. An import writes the tool into marketing_source_type, and what is not here as it comes; an export writes the label.';
COMMENT ON COLUMN mkt.hubspot_source.label IS 'A Marketing contact status source type, without regard to case and punctuation.';
COMMENT ON COLUMN mkt.hubspot_source.tool IS 'The tool.';
COMMENT ON COLUMN mkt.hubspot_source.exported IS 'Whether exports write this label for the tool; one label each.';
COMMENT ON COLUMN mkt.hubspot_source.shipped IS 'Whether the row came with the extension.';
COMMENT ON INDEX mkt.hubspot_source_exported IS 'One exported label for each tool.';
INSERT INTO mkt.hubspot_source (label, tool, exported, shipped) VALUES
	('FORM', 'form_submission', true, true),
	('FORMS', 'form_submission', false, true),
	('FORM_SUBMISSION', 'form_submission', false, true),
	('Form submissions', 'form_submission', false, true),
	('IMPORT', 'contact_import', true, true),
	('CONTACT_IMPORT', 'contact_import', false, true),
	('Contact imports', 'contact_import', false, true),
	('CONVERSATION', 'conversation', true, true),
	('CONVERSATIONS', 'conversation', false, true),
	('CHATFLOW', 'conversation', false, true),
	('CHATFLOWS', 'conversation', false, true),
	('INTEGRATION', 'integration', true, true),
	('INTEGRATIONS', 'integration', false, true),
	('API', 'api', true, true),
	('AD', 'ad', true, true),
	('ADS', 'ad', false, true),
	('LEAD_AD', 'ad', false, true),
	('LEAD_ADS', 'ad', false, true),
	('USER', 'user', true, true),
	('CRM_UI', 'user', false, true),
	('WORKFLOW', 'workflow', true, true),
	('WORKFLOWS', 'workflow', false, true),
	('MOBILE_APP', 'mobile_app', true, true),
	('LOGGED_EMAIL', 'logged_email', true, true),
	('TEAM_INBOX', 'team_inbox', true, true),
	('DOCUMENT_OPEN', 'document_open', true, true),
	('MEETING_LINK', 'meeting_link', true, true),
	('MEETINGS', 'meeting_link', false, true),
	('EMAIL_EXTENSION', 'email_extension', true, true),
	('FEEDBACK', 'feedback', true, true),
	('SAMPLE', 'sample', true, true),
	('SAMPLE_CONTACT', 'sample', false, true),
	('INITIAL_STATE', 'initial_state', true, true);
CREATE TRIGGER shipped_again BEFORE INSERT ON mkt.hubspot_source
FOR EACH ROW EXECUTE FUNCTION mkt.shipped_again();
CREATE TRIGGER shipped_withdrawn AFTER UPDATE OR DELETE ON mkt.hubspot_source
FOR EACH ROW WHEN (OLD.shipped) EXECUTE FUNCTION mkt.shipped_withdrawn();
COMMENT ON TRIGGER shipped_again ON mkt.hubspot_source IS 'A shipped row that a dump brings takes the place of the one that is there.';
SELECT pg_catalog.pg_extension_config_dump('mkt.hubspot_source', '');

CREATE TABLE mkt.import (
	import		bigint		GENERATED ALWAYS AS IDENTITY CONSTRAINT import_pkey PRIMARY KEY,
	contacts	regclass	NOT NULL,
	account		text,
	imported_by	name		NOT NULL,
	imported_at	timestamptz	NOT NULL,
	rows		bigint		NOT NULL DEFAULT 0,
	inserted	bigint		NOT NULL DEFAULT 0,
	updated		bigint		NOT NULL DEFAULT 0,
	unchanged	bigint		NOT NULL DEFAULT 0,
	not_loaded	bigint		NOT NULL DEFAULT 0,
	kept		bigint		NOT NULL DEFAULT 0,
	unmatched	text[]		NOT NULL,
	batch		bigint		NOT NULL
);
COMMENT ON TABLE mkt.import IS 'The calls of mkt.import_hubspot() and their reports. A role sees its own, and may delete them.';
COMMENT ON COLUMN mkt.import.import IS 'The number of the import.';
COMMENT ON COLUMN mkt.import.contacts IS 'The contacts table.';
COMMENT ON COLUMN mkt.import.account IS 'The account that the call named.';
COMMENT ON COLUMN mkt.import.imported_by IS 'The role that called.';
COMMENT ON COLUMN mkt.import.imported_at IS 'When, by mkt.now().';
COMMENT ON COLUMN mkt.import.rows IS 'Rows of the export: those inserted, updated, unchanged and not loaded.';
COMMENT ON COLUMN mkt.import.inserted IS 'New contacts.';
COMMENT ON COLUMN mkt.import.updated IS 'Contacts that were there and changed.';
COMMENT ON COLUMN mkt.import.unchanged IS 'Contacts that were there and are as before.';
COMMENT ON COLUMN mkt.import.not_loaded IS 'Rows that are no contact now; mkt.import_problem says why.';
COMMENT ON COLUMN mkt.import.kept IS 'Contacts, updated or unchanged, that stay marketing although the export says less; listed in mkt.import_problem, too.';
COMMENT ON COLUMN mkt.import.unmatched IS 'Columns of the export that went nowhere.';
COMMENT ON COLUMN mkt.import.batch IS 'The import as a batch, for mkt.undo().';
SELECT pg_catalog.pg_extension_config_dump('mkt.import', '');
SELECT pg_catalog.pg_extension_config_dump('mkt.import_import_seq', '');

CREATE TABLE mkt.import_problem (
	import		bigint		NOT NULL CONSTRAINT import_problem_import_fkey REFERENCES mkt.import ON DELETE CASCADE,
	line		bigint		NOT NULL,
	loaded		boolean		NOT NULL,
	reason		text		NOT NULL,
	account		text,
	key			text,
	email		text,
	content		text,
	CONSTRAINT import_problem_pkey PRIMARY KEY (import, line)
);
COMMENT ON TABLE mkt.import_problem IS 'Rows of exports that were not loaded, or not with the status that they have. Goes with the row of mkt.import; a role sees its own.';
COMMENT ON COLUMN mkt.import_problem.import IS 'The import.';
COMMENT ON COLUMN mkt.import_problem.line IS 'The line of the export where the row begins; the headers are line 1.';
COMMENT ON COLUMN mkt.import_problem.loaded IS 'Whether the row was loaded all the same.';
COMMENT ON COLUMN mkt.import_problem.reason IS 'What is wrong.';
COMMENT ON COLUMN mkt.import_problem.account IS 'The account.';
COMMENT ON COLUMN mkt.import_problem.key IS 'The value that tells contacts apart, mostly the Record ID.';
COMMENT ON COLUMN mkt.import_problem.email IS 'The email address.';
COMMENT ON COLUMN mkt.import_problem.content IS 'The row as it stands in the export, up to 10,000 bytes; null when it cannot be written here.';
SELECT pg_catalog.pg_extension_config_dump('mkt.import_problem', '');

ALTER TABLE mkt.import ENABLE ROW LEVEL SECURITY;
ALTER TABLE mkt.import_problem ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON mkt.import USING (imported_by OPERATOR(pg_catalog.=) CURRENT_USER);
CREATE POLICY own ON mkt.import_problem USING (EXISTS (SELECT FROM mkt.import AS i WHERE i.import OPERATOR(pg_catalog.=) import_problem.import));
COMMENT ON POLICY own ON mkt.import IS 'Who imported sees it.';
COMMENT ON POLICY own ON mkt.import_problem IS 'Who imported sees it.';
GRANT SELECT, DELETE ON mkt.import TO PUBLIC;
GRANT SELECT ON mkt.import_problem TO PUBLIC;

CREATE FUNCTION mkt.create_hubspot_table(contacts text, account text DEFAULT NULL, account_column name DEFAULT NULL) RETURNS regclass
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_create_hubspot_table';
COMMENT ON FUNCTION mkt.create_hubspot_table(text, text, name) IS
'Creates a contacts table for HubSpot''s columns and attaches it, with the caller''s rights. Arguments: its name; account, to which it belongs, or account_column, a column to make that names each contact''s account.';

CREATE FUNCTION mkt.import_hubspot(contacts regclass, file oid, account text DEFAULT NULL, mapping jsonb DEFAULT NULL, key_column name DEFAULT NULL,
								   OUT import bigint, OUT rows bigint, OUT inserted bigint, OUT updated bigint, OUT unchanged bigint,
								   OUT not_loaded bigint, OUT kept bigint, OUT unmatched text[], OUT batch bigint)
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_import_hubspot';
COMMENT ON FUNCTION mkt.import_hubspot(regclass, oid, text, jsonb, name) IS
'Loads a HubSpot contact export into an attached table, with the caller''s rights. Contacts that are there are updated, and never become non-marketing (F1). Rows that cannot be loaded are listed in mkt.import_problem. Arguments: the contacts table; file, a large object with the CSV file; account, to which its contacts belong; mapping, columns of the export and of the table, or null to leave one out; key_column, which tells contacts apart, by default the one for the Record ID, else the table''s key. Returns one row of mkt.import. Errors: MK001 not attached, MK006 a column that does not tell contacts apart, MK011 an export that cannot be read.';

CREATE FUNCTION mkt.import_hubspot(contacts regclass, csv text, account text DEFAULT NULL, mapping jsonb DEFAULT NULL, key_column name DEFAULT NULL,
								   OUT import bigint, OUT rows bigint, OUT inserted bigint, OUT updated bigint, OUT unchanged bigint,
								   OUT not_loaded bigint, OUT kept bigint, OUT unmatched text[], OUT batch bigint)
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_import_hubspot';
COMMENT ON FUNCTION mkt.import_hubspot(regclass, text, text, jsonb, name) IS 'The same for an export that is a text.';

CREATE TYPE mkt.hubspot_row AS (
	line				bigint,
	account				text,
	key					text,
	email				text,
	status				mkt.status,
	until_next_update	boolean,
	source_type			text,
	source_name			text,
	problem				text
);
COMMENT ON TYPE mkt.hubspot_row IS 'A row of a HubSpot export: the line where it begins, what it says, and why it cannot be a contact. Null: the export does not say.';

CREATE TYPE mkt.hubspot_difference AS (
	difference					text,
	line						bigint,
	account						text,
	key							text,
	email						text,
	export_status				mkt.status,
	table_status				mkt.status,
	export_until_next_update	boolean,
	table_until_next_update		boolean,
	reason						text
);
COMMENT ON TYPE mkt.hubspot_difference IS
'What differs between a HubSpot export and a contacts table: only in export, only in table, status, until next update; or a row of the export that cannot be used, with the reason.';

CREATE FUNCTION mkt.read_hubspot(contacts regclass, file oid, account text DEFAULT NULL, mapping jsonb DEFAULT NULL, key_column name DEFAULT NULL) RETURNS SETOF mkt.hubspot_row
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_read_hubspot';
COMMENT ON FUNCTION mkt.read_hubspot(regclass, oid, text, jsonb, name) IS
'Reads a HubSpot contact export as mkt.import_hubspot() would, and changes nothing. Arguments and errors as there. Returns a row for each row of the export.';

CREATE FUNCTION mkt.read_hubspot(contacts regclass, csv text, account text DEFAULT NULL, mapping jsonb DEFAULT NULL, key_column name DEFAULT NULL) RETURNS SETOF mkt.hubspot_row
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_read_hubspot';
COMMENT ON FUNCTION mkt.read_hubspot(regclass, text, text, jsonb, name) IS
'The same for an export that is a text.';

CREATE FUNCTION mkt.reconcile_hubspot(contacts regclass, file oid, account text DEFAULT NULL, mapping jsonb DEFAULT NULL, key_column name DEFAULT NULL) RETURNS SETOF mkt.hubspot_difference
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_reconcile_hubspot';
COMMENT ON FUNCTION mkt.reconcile_hubspot(regclass, oid, text, jsonb, name) IS
'Compares a HubSpot contact export with a contacts table as the caller sees it, and changes nothing: contacts that are in one of them only, that differ in status or in being pending, and rows that cannot be used. A pending contact whose instant has passed is non-marketing (S1). Arguments and errors as those of mkt.import_hubspot().';

CREATE FUNCTION mkt.reconcile_hubspot(contacts regclass, csv text, account text DEFAULT NULL, mapping jsonb DEFAULT NULL, key_column name DEFAULT NULL) RETURNS SETOF mkt.hubspot_difference
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_reconcile_hubspot';
COMMENT ON FUNCTION mkt.reconcile_hubspot(regclass, text, text, jsonb, name) IS
'The same for an export that is a text.';

CREATE FUNCTION mkt.reconcile_hubspot_counts(contacts regclass, file oid, account text DEFAULT NULL, mapping jsonb DEFAULT NULL, key_column name DEFAULT NULL,
	OUT in_export bigint, OUT in_table bigint, OUT same bigint, OUT different bigint, OUT only_in_export bigint, OUT only_in_table bigint,
	OUT unusable bigint, OUT export_marketing bigint, OUT table_marketing bigint, OUT export_pending bigint, OUT table_pending bigint) RETURNS SETOF record
LANGUAGE C ROWS 1
AS 'MODULE_PATHNAME', 'mkt_reconcile_hubspot_counts';
COMMENT ON FUNCTION mkt.reconcile_hubspot_counts(regclass, oid, text, jsonb, name) IS
'Compares a HubSpot contact export with a contacts table, in numbers. Arguments and errors as those of mkt.import_hubspot(). Returns one row.';

CREATE FUNCTION mkt.reconcile_hubspot_counts(contacts regclass, csv text, account text DEFAULT NULL, mapping jsonb DEFAULT NULL, key_column name DEFAULT NULL,
	OUT in_export bigint, OUT in_table bigint, OUT same bigint, OUT different bigint, OUT only_in_export bigint, OUT only_in_table bigint,
	OUT unusable bigint, OUT export_marketing bigint, OUT table_marketing bigint, OUT export_pending bigint, OUT table_pending bigint) RETURNS SETOF record
LANGUAGE C ROWS 1
AS 'MODULE_PATHNAME', 'mkt_reconcile_hubspot_counts';
COMMENT ON FUNCTION mkt.reconcile_hubspot_counts(regclass, text, text, jsonb, name) IS
'The same for an export that is a text.';

CREATE FUNCTION mkt.export_hubspot(contacts regclass, account text DEFAULT NULL, mapping jsonb DEFAULT NULL,
								   OUT "Record ID" text, OUT "First Name" text, OUT "Last Name" text, OUT "Email" text, OUT "Create Date" text,
								   OUT "Marketing contact status" text, OUT "Marketing contact until next update" text,
								   OUT "Marketing contact status source type" text, OUT "Marketing contact status source name" text,
								   OUT "Unsubscribed from all email" text, OUT "Email hard bounce reason" text) RETURNS SETOF record
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_export_hubspot';
COMMENT ON FUNCTION mkt.export_hubspot(regclass, text, jsonb) IS
'An attached table''s contacts as a HubSpot contact export has them, with the caller''s rights, in the order of their keys. A pending contact whose instant has passed is non-marketing (S1). Arguments: the contacts table; account, whose contacts alone are meant; mapping, columns of the export and of the table where the names do not say. Error: MK001 not attached.';
