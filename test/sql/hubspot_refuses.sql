-- What an import, an export or a comparison refuses as a whole, with whose rights they run, and who sees what was imported.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-17 09:00+00';
CREATE SCHEMA hubspot;
SET search_path = hubspot;
\set SHOW_CONTEXT never

CREATE TABLE contact (id int PRIMARY KEY, record_id bigint, email text, computed text GENERATED ALWAYS AS (upper(email)) STORED);
SELECT mkt.import_hubspot('contact', 'Record ID');
SELECT mkt.attach('contact', account => 'a');
CREATE TABLE owned (id int PRIMARY KEY, owner int);
SELECT mkt.attach('owned', account_column => 'owner');

-- The file.
SELECT mkt.import_hubspot('contact', 12345678);
SELECT mkt.import_hubspot('contact', NULL::text);
SELECT mkt.import_hubspot('contact', '');
SELECT mkt.import_hubspot('contact', '"Record ID');
SELECT mkt.import_hubspot('contact', 'Mail,Status');
SELECT lo_from_bytea(0, '\xFFFE52006500') AS file \gset
SELECT mkt.import_hubspot('contact', :file);
SELECT lo_unlink(:file);

-- The table: what tells contacts apart, mappings, accounts.
SELECT mkt.import_hubspot('contact', E'Record ID,Email\n1,x');
SELECT mkt.import_hubspot('contact', E'Record ID,Email\n1,x', key_column => 'email');
SELECT mkt.import_hubspot('contact', E'Record ID,Email\n1,x', key_column => 'nothing');
SELECT mkt.import_hubspot('contact', E'Record ID,Email\n1,x', mapping => '{"Record-ID": "nothing"}');
SELECT mkt.import_hubspot('contact', E'Record ID,Email\n1,x', mapping => '{"Recrod ID": "id"}');
SELECT mkt.import_hubspot('contact', E'Record ID,Email\n1,x', mapping => '{"Record ID": "id", "Email": "computed"}');
SELECT mkt.import_hubspot('contact', E'Record ID,Email\n1,x', mapping => '{"Record ID": "id", "Email": "marketing_until"}');
SELECT mkt.import_hubspot('contact', E'Record ID,Email\n1,x', account => 'b', mapping => '{"Record ID": "id"}');
SELECT mkt.import_hubspot('owned', E'Record ID\n1', mapping => '{"Record ID": "id"}');
SELECT mkt.import_hubspot('owned', E'Record ID\n1', account => 'x', mapping => '{"Record ID": "id"}');
SELECT mkt.export_hubspot('contact', mapping => '{"Marketing contact status": "email"}');
SELECT mkt.export_hubspot('contact', mapping => '{"Email": "nothing"}');
SELECT mkt.create_hubspot_table('contact2');
SELECT mkt.create_hubspot_table('contact', account => 'a');
SELECT count(*) FROM contact;

-- An import is all of its own or nothing: an error that is not about rows leaves nothing behind.
CREATE TABLE slow (record_id int PRIMARY KEY, email text);
SELECT mkt.attach('slow', account => 'a');
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.record_id = 2 THEN RAISE 'lost' USING ERRCODE = 'connection_failure'; END IF; RETURN NEW; END $$;
CREATE TRIGGER fail BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION fail();
SELECT mkt.import_hubspot('slow', E'Record ID\nx\n1\n2\n3');
SELECT count(*) FROM slow;
SELECT count(*) FROM mkt.import WHERE contacts = 'slow'::regclass;

-- What tells contacts apart is unique alone, or with the account, and nothing else.
CREATE TABLE double (record_id int, email text, city text, UNIQUE (email, city), UNIQUE (record_id));
CREATE INDEX ON double (email);
SELECT mkt.attach('double', account => 'a', key_column => 'record_id');
SELECT mkt.import_hubspot('double', E'Record ID,Email\n1,x', key_column => 'email');
-- Headers in UTF-8.
SELECT lo_from_bytea(0, convert_to('Record ID,F', 'UTF8') || '\xF8'::bytea) AS file \gset
SELECT mkt.import_hubspot('contact', :file);
SELECT lo_unlink(:file);

-- Rights: those of the caller on the table, and no others; row-level security, too. Large objects are their owner's.
CREATE ROLE mkt_mover;
CREATE ROLE mkt_other;
GRANT USAGE ON SCHEMA hubspot TO mkt_mover, mkt_other;
CREATE TABLE crm (record_id int PRIMARY KEY, email text, team text DEFAULT current_user);
SELECT mkt.attach('crm', account => 'a');
GRANT SELECT, UPDATE ON crm TO mkt_mover;
GRANT SELECT ON crm TO mkt_other;
SELECT lo_from_bytea(987654321, E'Record ID,Email,Team\n1,a@example.com,mkt_mover\n2,b@example.com,mkt_other\n') AS file \gset
SET ROLE mkt_mover;
SELECT mkt.import_hubspot('crm', E'Record ID\n1');
SELECT mkt.import_hubspot('crm', :file);
SELECT mkt.create_hubspot_table('hubspot.mine', account => 'a');
RESET ROLE;
GRANT INSERT ON crm TO mkt_mover;
GRANT SELECT ON LARGE OBJECT :file TO mkt_mover;
ALTER TABLE crm ENABLE ROW LEVEL SECURITY;
CREATE POLICY team ON crm USING (team = current_user);
INSERT INTO crm VALUES (3, 'c@example.com', 'mkt_other');
SET ROLE mkt_mover;
SELECT rows, inserted, updated, not_loaded FROM mkt.import_hubspot('crm', :file);
SELECT rows, inserted, updated, not_loaded FROM mkt.import_hubspot('crm', E'Record ID,Email\n3,mine@example.com\n');
SELECT p.line, p.reason, p.key FROM mkt.import_problem AS p JOIN mkt.import AS i USING (import) WHERE contacts = 'crm'::regclass ORDER BY import, line;
SELECT difference, key FROM mkt.reconcile_hubspot('crm', :file);
SELECT "Record ID" FROM mkt.export_hubspot('crm');
-- Another sees none of this, and writes none of it.
SET ROLE mkt_other;
SELECT count(*) FROM mkt.import;
SELECT count(*) FROM mkt.import_problem;
SELECT mkt.reconcile_hubspot('crm', :file);
DELETE FROM mkt.import;
DELETE FROM mkt.import_problem;
INSERT INTO mkt.import_problem (import, line, loaded, reason) VALUES (1, 1, true, 'x');
SELECT * FROM mkt.hubspot_source;
SET ROLE mkt_mover;
-- Who has done with an import deletes it, with what it listed.
SELECT count(*) FROM mkt.import_problem;
DELETE FROM mkt.import WHERE contacts = 'crm'::regclass;
SELECT count(*) FROM mkt.import_problem;
UPDATE mkt.import SET rows = 0;
RESET ROLE;
SELECT lo_unlink(:file);

SELECT record_id, email, team FROM crm ORDER BY 1;
SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA hubspot CASCADE;
DROP ROLE mkt_mover, mkt_other;
