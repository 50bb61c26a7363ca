-- What the statuses of a HubSpot export do to contacts that are there: up at once, never down (F1); and what goes out comes back.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-02-10 12:00+00';
CREATE SCHEMA hubspot;
SET search_path = hubspot;

CREATE FUNCTION state(marketing_status mkt.status, marketing_until timestamptz) RETURNS text LANGUAGE sql
RETURN CASE WHEN NOT mkt.is_marketing(marketing_status, marketing_until) THEN 'N' WHEN marketing_until IS NULL THEN 'M' ELSE 'P' END;

-- Contacts in the states N, M, P, and E, pending with its instant passed; the export says N, M, P, m (marketing, without the column for the flag) or nothing.
SELECT mkt.create_hubspot_table('contact', account_column => 'account');
INSERT INTO contact (account, record_id, first_name, marketing_status, marketing_until_next_update, marketing_source_type)
SELECT 'a', 10 * x + y, substr('NMPE', x, 1), 'marketing', true, 'user' FROM generate_series(1, 4) AS x, generate_series(1, 5) AS y;
SET mktcontacts.clock = '2026-03-17 09:00+00';
SET mktcontacts.source_type = 'user';
UPDATE contact SET marketing_status = 'non_marketing' WHERE first_name = 'N';
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false WHERE first_name IN ('M', 'P');
UPDATE contact SET marketing_status = 'non_marketing' WHERE first_name = 'P';
RESET mktcontacts.source_type;
SELECT first_name AS was, count(*), min(state(marketing_status, marketing_until)) FROM contact GROUP BY 1 ORDER BY 1;
CREATE TABLE before AS SELECT record_id, state(marketing_status, marketing_until) AS was FROM contact;

SELECT rows, inserted, updated, unchanged, not_loaded, kept FROM mkt.import_hubspot('contact',
    (SELECT E'Record ID,Marketing contact status,Marketing contact until next update,Marketing contact status source type\n' ||
            string_agg(record_id || ',' || CASE WHEN record_id % 10 = 1 THEN 'Non-marketing contact,' WHEN record_id % 10 = 2 THEN 'Marketing contact,'
                                                WHEN record_id % 10 = 3 THEN 'Marketing contact,Yes' ELSE '--,' END || E',\n', '' ORDER BY record_id)
     FROM contact WHERE record_id % 10 < 5), account => 'a');
SELECT line, loaded, reason, key FROM mkt.import_problem WHERE import = (SELECT max(import) FROM mkt.import) ORDER BY line;
SELECT rows, inserted, updated, unchanged, not_loaded, kept FROM mkt.import_hubspot('contact',
    (SELECT E'Record ID,Marketing contact status\n' || string_agg(record_id || E',Marketing contact\n', '' ORDER BY record_id)
     FROM contact WHERE record_id % 10 = 5), account => 'a');

SELECT first_name AS stored,
       string_agg(state(marketing_status, marketing_until), '' ORDER BY record_id) FILTER (WHERE record_id % 10 = 1) AS "N",
       string_agg(state(marketing_status, marketing_until), '' ORDER BY record_id) FILTER (WHERE record_id % 10 = 2) AS "M",
       string_agg(state(marketing_status, marketing_until), '' ORDER BY record_id) FILTER (WHERE record_id % 10 = 3) AS "P",
       string_agg(state(marketing_status, marketing_until), '' ORDER BY record_id) FILTER (WHERE record_id % 10 = 4) AS "-",
       string_agg(state(marketing_status, marketing_until), '' ORDER BY record_id) FILTER (WHERE record_id % 10 = 5) AS "m"
FROM contact GROUP BY 1 ORDER BY strpos('NMPE', first_name);
-- Who changed has the import as its source, the others have theirs.
SELECT first_name AS stored, string_agg(record_id % 10 || ' ' || marketing_source_type, ', ' ORDER BY record_id) FROM contact GROUP BY 1 ORDER BY strpos('NMPE', first_name);
SELECT mkt.billable('a'), mkt.billable('a', '2026-04-01');
SELECT * FROM mkt.verify();

-- An export; contacts whose instant has passed are non-marketing in it, applied or not.
INSERT INTO mkt.account (account, time_zone) VALUES ('b', 'America/New_York');
INSERT INTO contact (account, record_id, email, first_name, last_name, create_date, unsubscribed, bounce_reason, marketing_status, marketing_until_next_update, marketing_source_type, marketing_source_name)
VALUES ('b', 1, 'a@example.com', 'Ann "A"', 'Hansen, Jr', '2026-03-01 03:30:45+00', false, NULL, 'marketing', false, 'form_submission', 'Footer'),
       ('b', 2, NULL, E'Two\nlines', NULL, NULL, true, 'Unknown user', 'marketing', true, 'something else', NULL),
       ('b', 3, '', '', '--', '2025-11-02 06:30+00', false, NULL, NULL, NULL, NULL, NULL);
SELECT "Record ID", "Marketing contact status", "Marketing contact until next update", "Marketing contact status source type" FROM mkt.export_hubspot('contact', 'a') WHERE "Record ID" IN ('11', '12', '13', '41');
\copy (SELECT * FROM mkt.export_hubspot('contact', account => 'b')) TO STDOUT CSV HEADER
SELECT count(*) FROM mkt.export_hubspot('contact');

-- Back into the same table nothing changes; into another, all is there: statuses, flags, counts.
CREATE FUNCTION q(value text) RETURNS text LANGUAGE sql RETURN '"' || replace(coalesce(value, ''), '"', '""') || '"';
CREATE FUNCTION csv(contacts regclass, account text) RETURNS text LANGUAGE sql AS $$
    SELECT E'Record ID,First Name,Last Name,Email,Create Date,Marketing contact status,Marketing contact until next update,'
           'Marketing contact status source type,Marketing contact status source name,Unsubscribed from all email,Email hard bounce reason' ||
           string_agg(E'\n' || concat_ws(',', q("Record ID"), q("First Name"), q("Last Name"), q("Email"), q("Create Date"), q("Marketing contact status"),
                                         q("Marketing contact until next update"), q("Marketing contact status source type"),
                                         q("Marketing contact status source name"), q("Unsubscribed from all email"), q("Email hard bounce reason")), '')
    FROM mkt.export_hubspot(contacts, account) $$;
SELECT account, rows, inserted, updated, unchanged, not_loaded, kept
FROM unnest(ARRAY['a', 'b']) AS account, mkt.import_hubspot('contact', csv('contact', account), account) ORDER BY 1;
SELECT mkt.create_hubspot_table('copy', account_column => 'account');
SELECT account, rows, inserted, updated, unchanged, not_loaded, kept
FROM unnest(ARRAY['a', 'b']) AS account, mkt.import_hubspot('copy', csv('contact', account), account) ORDER BY 1;
-- Contact 3 of b had no source: now it is the import.
SELECT account, csv('copy', account) = csv('contact', account) AS same FROM unnest(ARRAY['a', 'b']) AS account;
SELECT account, c.* FROM unnest(ARRAY['a', 'b']) AS account, mkt.reconcile_hubspot_counts('copy', csv('contact', account), account) AS c ORDER BY 1;
SELECT c.account, c.record_id FROM contact AS c FULL JOIN copy AS d USING (account, record_id)
WHERE state(c.marketing_status, c.marketing_until) IS DISTINCT FROM state(d.marketing_status, d.marketing_until);
SELECT mkt.billable('a'), mkt.billable('a', '2026-04-01'), mkt.billable('b'), mkt.billable('b', '2026-04-01 04:00+00');

-- What differs: only in one of them, status, flag, and rows that cannot be used. A file that does not say has nothing to differ.
UPDATE copy SET marketing_status = 'non_marketing' WHERE account = 'b' AND record_id = 1;
UPDATE copy SET marketing_status = 'marketing' WHERE account = 'b' AND record_id = 3;
INSERT INTO copy (account, record_id, email, marketing_status) VALUES ('b', 4, 'd@example.com', 'marketing');
SELECT * FROM mkt.reconcile_hubspot('copy', csv('contact', 'b') || E'\n5,,,e@example.com,,Marketing contact,,,,,\n5,,,again@example.com,,,,,,,\nx', 'b');
SELECT * FROM mkt.reconcile_hubspot_counts('copy', csv('contact', 'b') || E'\n5,,,e@example.com,,Marketing contact,,,,,\n5,,,again@example.com,,,,,,,\nx', 'b');
SELECT difference, key FROM mkt.reconcile_hubspot('copy', E'Record ID\n1\n2\n3', 'b');
SELECT difference, key FROM mkt.reconcile_hubspot('copy', E'Record ID,Marketing contact status\n1,Marketing contact\n2,Marketing contact\n3,Marketing contact\n4,true', 'b');
-- Contacts that are kept can be set as non-marketing by the report.
SELECT changed FROM mkt.set_non_marketing('copy', ARRAY(SELECT key::bigint FROM mkt.reconcile_hubspot('copy', csv('contact', 'b'), 'b')
                                                        WHERE export_status = 'non_marketing'), account => 'b');
-- What the export does not say of new contacts, the import's setting says (T10).
INSERT INTO mkt.tool_setting (account, tool, created_as) VALUES ('c', 'contact_import', 'marketing');
SELECT inserted FROM mkt.import_hubspot('copy', E'Record ID,Marketing contact status,Marketing contact status source type\n1,,\n2,Non-marketing contact,\n3,,FORM\n', 'c');
SELECT record_id, marketing_status, marketing_source_type FROM copy WHERE account = 'c' ORDER BY 1;
DELETE FROM mkt.tool_setting WHERE account = 'c';

-- An import is a batch, which can be taken back as far as statuses go.
SELECT inserted, updated, unchanged FROM mkt.import_hubspot('copy', E'Record ID,Marketing contact status,Marketing contact until next update\n1,Marketing contact,\n2,Marketing contact,Yes\n4,Marketing contact,\n', 'c');
SELECT changed, already, action, source_type FROM mkt.batch WHERE batch = (SELECT max(batch) FROM mkt.import);
SELECT record_id, state(marketing_status, marketing_until), marketing_source_type FROM copy WHERE account = 'c' ORDER BY 1;
SELECT restored, pending, changed_since, too_late, gone FROM mkt.undo((SELECT max(batch) FROM mkt.import));
SELECT record_id, state(marketing_status, marketing_until), marketing_source_type FROM copy WHERE account = 'c' ORDER BY 1;

-- By another column.
CREATE UNIQUE INDEX ON copy (account, email);
SELECT difference, key, reason FROM mkt.reconcile_hubspot('copy', E'E-Mail,Marketing contact status\na@example.com,Non-marketing contact\n,Marketing contact\n', 'b', key_column => 'email', mapping => '{"E-Mail": "email"}') ORDER BY key;

-- Exports of other tables: columns under other names, times of unsubscribing, what there is no column for.
CREATE TABLE person (id int PRIMARY KEY, mail text, hubspot_id bigint, created timestamp, opted_out_at timestamptz);
SELECT mkt.attach('person', account => 'b');
INSERT INTO person VALUES (1, 'x@example.com', 501, '2026-01-01 00:30', now(), 'marketing'), (2, 'y@example.com', 502, NULL, NULL, 'non_marketing');
SELECT * FROM mkt.export_hubspot('person', mapping => '{"Record ID": "hubspot_id", "Email": "mail", "Create Date": "created", "Unsubscribed from all email": "opted_out_at"}');
SELECT * FROM mkt.export_hubspot('person');
SELECT count(*) FROM mkt.export_hubspot('person', account => 'a', mapping => '{"Record ID": "id"}');

SELECT * FROM mkt.verify();
DELETE FROM mkt.account WHERE account = 'b';
SET client_min_messages = warning;
DROP SCHEMA hubspot CASCADE;
