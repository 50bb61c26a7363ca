-- A HubSpot contact export becomes contacts: every row is loaded, or listed with its line and the reason.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-17 09:00+00';
CREATE SCHEMA hubspot;
SET search_path = hubspot;
INSERT INTO mkt.account (account, time_zone) VALUES ('hubspot oslo', 'Europe/Oslo');

-- The number of an import depends on what ran before.
CREATE FUNCTION problems() RETURNS TABLE (line bigint, loaded boolean, reason text, key text, email text, content text) LANGUAGE sql
AS 'SELECT line, loaded, reason, key, email, content FROM mkt.import_problem WHERE import = (SELECT max(import) FROM mkt.import) ORDER BY line';

SELECT mkt.create_hubspot_table('contact', account => 'hubspot oslo');
SELECT attname, atttypid::regtype, attnotnull FROM pg_attribute WHERE attrelid = 'contact'::regclass AND attnum BETWEEN 1 AND 7 ORDER BY attnum;
SELECT account, unsubscribed, bounced FROM mkt.attachment WHERE contacts = 'contact'::regclass;

-- A byte order mark, headers in any case, CR LF and LF, quotes, commas and lines in fields, no end of the last line.
SELECT rows, inserted, updated, unchanged, not_loaded, kept, unmatched FROM mkt.import_hubspot('contact', E'\uFEFF' ||
    replace($$Record ID,FIRST NAME,last name,Email,Create Date,Marketing contact status,Marketing contact until next update,Marketing contact status source type,Marketing contact status source name,Unsubscribed from all email,Email hard bounce reason,Shoe size,Email|
1,Ann,"Hansen, ""Annie""",ann@example.com,2026-03-29 03:00,Marketing contact,,FORM,Newsletter,false,,38,|
"2","Bob
and Bill","Last, First",,2026-01-01 08:00,marketing contact,Yes,Contact imports,list.csv,TRUE,Unknown user,39,
3,Cat,"",cat@example.com,,Non-marketing contact,--,SOMETHING_NEW,7,--,,,|

4,5" pipe,D,dan@example.com,2026-01-02,Marketing contact,true,,,,,,
5,E,,e@example.com,,Marketing contact,false,,,No,,,
6,F,,f@example.com,,,,,,,,,
07,G,,g@example.com,,--,No,workflow,K,yes,,,$$, '|', E'\r'));
SELECT * FROM problems();
SELECT * FROM contact ORDER BY record_id;
SELECT mkt.billable('hubspot oslo'), mkt.billable('hubspot oslo', '2026-04-01');

-- Dirty rows are listed; the good ones between them come in.
SELECT rows, inserted, updated, unchanged, not_loaded, kept, unmatched FROM mkt.import_hubspot('contact',
$$Record ID,First Name,Email,Create Date,Marketing contact status,Marketing contact until next update,Unsubscribed from all email
10,Good,,,Marketing contact,,
,No ID,no@example.com,,Marketing contact,,
--,No ID,no@example.com,,Marketing contact,,
x1,Bad ID,,,Marketing contact,,
99999999999999999999,Bad ID,,,Marketing contact,,
10,Again,again@example.com,,Marketing contact,,
010,Again,again@example.com,,Marketing contact,,
11,Too,few
12,Last, First,l@example.com,,Marketing contact,,
13,Bad status,,,Perhaps,,
14,Bad flag,,,Marketing contact,soon,
15,Bad date,,01/02/2026 10:00,Marketing contact,,
16,No such date,,2026-02-30 10:00,Marketing contact,,
17,Bad boolean,,,Marketing contact,,perhaps
18,"Quote "in" a quoted field",,,Marketing contact,,
19,"No end of a quote,,,Marketing contact,,
20,Good,,,Marketing contact,,
21,"Good, too",,,Non-marketing contact,,
,,,,,,
22,"No end at all,,,Marketing contact,,
23,Good,,,Marketing contact,,$$);
SELECT * FROM problems();
SELECT record_id, first_name, marketing_status FROM contact WHERE record_id >= 10 ORDER BY 1;

-- Again: nothing changes. Empty fields change nothing either, others do.
SELECT rows, inserted, updated, unchanged, not_loaded, kept FROM mkt.import_hubspot('contact',
$$Record ID,First Name,Last Name,Email,Create Date,Unsubscribed from all email,Email hard bounce reason
1,,"Hansen, ""Annie""",ann@example.com,2026-03-29 03:00,,
2,,,,2026-01-01 08:00:00,true,Unknown user
3,Kat,,,,true,$$);
SELECT record_id, first_name, last_name, email, create_date, unsubscribed, bounce_reason FROM contact WHERE record_id <= 3 ORDER BY 1;

-- The same from a large object in UTF-8, whose bad bytes are listed.
SELECT lo_from_bytea(0, convert_to(E'\uFEFFhs_object_id,firstname,email,hs_marketable_status\n30,', 'UTF8') || '\xC3A5'::bytea || convert_to(E',a@example.com,true\n31,', 'UTF8')
    || '\xE5'::bytea || convert_to(E',b@example.com,true\n32,C,c@example.com,false', 'UTF8')) AS file \gset
SELECT rows, inserted, not_loaded FROM mkt.import_hubspot('contact', :file);
SELECT line, reason, key, content FROM problems();
SELECT record_id, length(first_name), marketing_status FROM contact WHERE record_id >= 30 ORDER BY 1;
SELECT line, key, status, until_next_update, problem FROM mkt.read_hubspot('contact', :file);
SELECT lo_unlink(:file);

-- A table of one's own: another name for the Record ID, more columns, constraints, triggers, and a column that names the account.
CREATE TABLE person (id bigint GENERATED ALWAYS AS IDENTITY (START 100) PRIMARY KEY, owner int, "Phone Number" varchar(10), email text UNIQUE, full_name text NOT NULL,
    lifecycle_stage text, visits int CHECK (visits >= 0), joined date, upper_email text GENERATED ALWAYS AS (upper(email)) STORED, tags jsonb);
SELECT mkt.attach('person', account_column => 'owner');
CREATE FUNCTION pick() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.lifecycle_stage = 'skipped' THEN RETURN NULL; END IF;
    IF NEW.lifecycle_stage = 'refused' THEN RAISE 'stage % is refused', NEW.lifecycle_stage; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER pick BEFORE INSERT OR UPDATE ON person FOR EACH ROW EXECUTE FUNCTION pick();
\set csv '''Record ID,Name,E-mail,Phone number,Lifecycle Stage,visits,Joined,Upper Email,Tags,Marketing contact status\n1,Ann,a@x.org,12345,lead,1,2026-01-01 10:00,x,"{""a"": 1}",Marketing contact\n2,Bob,b@x.org,12345678901,lead,1,,,,Marketing contact\n3,Cat,a@x.org,,lead,1,,,,Marketing contact\n4,Dan,d@x.org,,skipped,1,,,,Marketing contact\n5,Eve,e@x.org,,refused,1,,,,Marketing contact\n6,Fay,f@x.org,,lead,-1,,,,Marketing contact\n7,Gus,g@x.org,,lead,many,,,,Marketing contact\n8,,h@x.org,,lead,1,,,,Marketing contact\n9,Ida,i@x.org,,lead,2,,,[,Marketing contact\n10,Jon,j@x.org,,lead,2,,,[1],Non-marketing contact\n'''
SELECT rows, inserted, updated, unchanged, not_loaded, kept, unmatched
FROM mkt.import_hubspot('person', E:csv, account => '7', mapping => '{"record id": "id", "Name": "full_name", "E-mail": "email"}');
SELECT line, reason FROM problems();
SELECT * FROM person ORDER BY id;
UPDATE person SET lifecycle_stage = 'lead', visits = 5 WHERE id = 10;
SELECT rows, inserted, updated, unchanged, not_loaded, kept, unmatched
FROM mkt.import_hubspot('person', E:csv, account => '7', mapping => '{"record id": "id", "Name": "full_name", "E-mail": "email", "Phone Number": null, "Tags": null}');
SELECT id, visits FROM person ORDER BY id;

-- Told apart by another column; every row with its own account.
SELECT rows, inserted, updated, unchanged, not_loaded, kept, unmatched
FROM mkt.import_hubspot('person', E'Record ID,Email,Portal,Full name,Marketing contact status\n77,a@x.org,7,Anna,\n78,z@x.org,8,Zoe,Marketing contact\n79,y@x.org,,Yan,\n80,w@x.org,eight,Wim,\n',
                        mapping => '{"Portal": "owner", "Record ID": null}', key_column => 'email');
SELECT line, reason FROM problems();
SELECT id > 10 AS new, owner, email, full_name, marketing_status, marketing_source_type FROM person WHERE email IN ('a@x.org', 'z@x.org') ORDER BY 2;
SELECT mkt.billable(7), mkt.billable(8);

-- Record IDs that are unique within an account, and a partitioned table.
CREATE TABLE lead (portal text, record_id text, email text, PRIMARY KEY (portal, record_id)) PARTITION BY LIST (portal);
CREATE TABLE lead_a PARTITION OF lead FOR VALUES IN ('a');
CREATE TABLE lead_b PARTITION OF lead FOR VALUES IN ('b');
SELECT mkt.attach('lead', account_column => 'portal');
SELECT inserted, updated FROM mkt.import_hubspot('lead', E'Record ID,Email,Marketing contact status\n1,a@x.org,Marketing contact\n', account => 'a');
SELECT inserted, updated FROM mkt.import_hubspot('lead', E'Record ID,Email,Marketing contact status\n1,b@x.org,Marketing contact\n', account => 'b');
SELECT inserted, not_loaded FROM mkt.import_hubspot('lead', E'Record ID,Email,Portal\n1,c@x.org,a\n1,c@x.org,b\n1,c@x.org,c\n');
SELECT line, reason, account FROM mkt.import_problem WHERE import = (SELECT max(import) FROM mkt.import);
SELECT portal, record_id, email, marketing_status FROM lead ORDER BY 1;

-- Rows that a trigger leaves out of an update are listed; so are more rows than are written at a time.
SELECT rows, updated, unchanged, not_loaded FROM mkt.import_hubspot('person', E'Record ID,Lifecycle Stage\n1,skipped\n10,lead\n', account => '7', mapping => '{"record id": "id"}');
SELECT line, reason FROM problems();
SELECT rows, inserted, not_loaded FROM mkt.import_hubspot('contact', 'Record ID,Email' || repeat(E'\nx,', 1200) || E'\n1001,' || repeat(E'\ny,', 1200));
SELECT count(*), min(line), max(line), min(reason), max(reason) FROM problems();
SELECT string_agg(format(E'%s,Marketing contact\n', i), '' ORDER BY i) AS good, repeat(E'x,\n', 600) AS bad FROM generate_series(10001, 10600) AS i \gset
SELECT inserted FROM mkt.import_hubspot('contact', E'Record ID,Marketing contact status\n' || :'good');
SELECT inserted, unchanged, not_loaded, kept FROM mkt.import_hubspot('contact', E'Record ID,Marketing contact status\n' || :'bad' || replace(:'good', 'M', 'Non-m'));
SELECT loaded, count(*), min(line), max(line), min(reason) FROM problems() GROUP BY loaded ORDER BY loaded;
-- An account that is named where every row has its own, an account's column that is not wanted then, more columns than most have, and names with all that is around them.
SELECT rows, inserted, cardinality(unmatched) AS unmatched, unmatched[1:2] AS first
FROM mkt.import_hubspot('lead', E'\t Record ID ...!, Email ,Portal' || (SELECT string_agg(',c' || i, '') FROM generate_series(1, 70) AS i) || E'\n 2 , d@x.org ,b' || repeat(', --', 70) || E'\n -- , d@x.org ,b' || repeat(', ', 70), account => 'a');
SELECT line, reason FROM problems();
SELECT portal, record_id, email FROM lead ORDER BY 1, 2;
-- Instants in every form that exports have, and in others.
SELECT inserted, not_loaded FROM mkt.import_hubspot('contact', E'Record ID,Create Date\n1101,2026-01-01 10:00:00.25\n1102,2026-01-01 10:00:00.x\n1103,2026-01-01 10\n1104,2026-01-01T10:00:00\n1105,2026-01-01 10:00:00Z\n1106,2026/01/01\n1107, -- \n');
SELECT line, reason FROM problems();
SELECT record_id, create_date FROM contact WHERE record_id BETWEEN 1101 AND 1107 ORDER BY 1;
UPDATE contact SET last_name = 'in spring' WHERE record_id = 1101;
SELECT "Record ID", "Create Date" FROM mkt.export_hubspot('contact', mapping => '{"Create Date": "last_name"}') WHERE "Record ID" = '1101';
-- A large object is read piece by piece, whatever stands where one ends: a comma, a quote, CR LF, the end of the file.
CREATE FUNCTION piece(what text, filled_up integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    file oid;
    head text := E'Record ID,First Name,Email\r\n2000,';
    got record;
BEGIN
    file := lo_from_bytea(0, convert_to(head || '"' || repeat('x', filled_up - length(head) - 2) || what, 'UTF8'));
    SELECT i.rows, i.inserted, i.updated, i.not_loaded INTO got FROM mkt.import_hubspot('contact', file) AS i;
    PERFORM lo_unlink(file);
    RETURN concat_ws(' ', got.rows, got.inserted, got.updated, got.not_loaded, (SELECT length(first_name) || ' ' || coalesce(email, 'none') FROM contact WHERE record_id = 2000),
                     (SELECT string_agg(reason, ', ') FROM problems()));
END $$;
SELECT n - 1024 * 1024 AS at, piece(E'",a@x.org\r\n', n), piece(E'""",b@x.org\r\n2001,,', n), piece(E'"\r\n', n), piece(E'",a@x.org', n)
FROM generate_series(1024 * 1024 - 12, 1024 * 1024 + 1) AS n;
-- A quote that nobody closes ends with its line, and a line ends at 16 MB.
SELECT lo_from_bytea(0, convert_to(E'Record ID,First Name,Email\n3000,"x\n' || string_agg(3000 + i || ',' || repeat('y', 1024 * 1024) || E',\n', ''), 'UTF8')) AS file FROM generate_series(1, 34) AS i \gset
SELECT rows, inserted, not_loaded FROM mkt.import_hubspot('contact', :file);
SELECT line, reason, length(content) FROM problems();
SELECT lo_unlink(:file);
SELECT lo_from_bytea(0, convert_to(E'Record ID,First Name,Email\n3000,"' || repeat('y', 34 * 1024 * 1024), 'UTF8')) AS file \gset
SELECT mkt.import_hubspot('contact', :file);
SELECT lo_unlink(:file);

SELECT * FROM mkt.verify();
DELETE FROM mkt.account WHERE account = 'hubspot oslo';
SET client_min_messages = warning;
DROP SCHEMA hubspot CASCADE;
