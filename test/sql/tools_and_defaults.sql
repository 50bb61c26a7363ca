-- What a contact is that a tool creates without saying so (T10, F1, F2): by the row's tool, by the session's, by settings.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA tools;
SET search_path = tools;
CREATE TABLE contact (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account text, note text);
SELECT mkt.attach('contact', account_column => 'account');
CREATE FUNCTION try(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE command;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;

-- Every tool, named by the row, by a setting of the session, and by one of the transaction: the same answer each time.
SELECT tool, created_as, promotes, fixed_because FROM mkt.tool ORDER BY tool;
CREATE FUNCTION in_row(tool text) RETURNS text LANGUAGE sql AS $$
    INSERT INTO contact (account, marketing_source_type) VALUES ('a', tool)
    RETURNING concat_ws(' ', marketing_status, marketing_source_type, marketing_source_name);
$$;
CREATE FUNCTION in_session(tool text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    PERFORM set_config('mktcontacts.source_type', tool, false);
    INSERT INTO contact (account) VALUES ('a') RETURNING concat_ws(' ', marketing_status, marketing_source_type, marketing_source_name) INTO result;
    PERFORM set_config('mktcontacts.source_type', '', false);
    RETURN result;
END $$;
CREATE FUNCTION in_transaction(tool text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    PERFORM set_config('mktcontacts.source_type', tool, true);
    INSERT INTO contact (account) VALUES ('a') RETURNING concat_ws(' ', marketing_status, marketing_source_type, marketing_source_name) INTO result;
    RETURN result;
END $$;
SELECT tool, in_row(tool), in_row(tool) = in_session(tool) AS same_in_session, in_row(tool) = in_transaction(tool) AS same_in_transaction,
       in_row(tool) = concat_ws(' ', mkt.created_as('a', tool), tool) AS as_told
FROM mkt.tool ORDER BY tool;
SELECT in_row('nobody knows'), in_row(''), in_row(NULL), in_session('nobody knows');
SHOW mktcontacts.source_type;
BEGIN;
SET LOCAL mktcontacts.source_type = 'form_submission';
INSERT INTO contact (account) VALUES ('a') RETURNING marketing_status, marketing_source_type;
COMMIT;
INSERT INTO contact (account) VALUES ('a') RETURNING marketing_status, marketing_source_type;

-- The statement's status wins over the tool, the row's tool over the session's; a name belongs to its type.
SET mktcontacts.source_type = 'form_submission';
SET mktcontacts.source_name = 'newsletter';
INSERT INTO contact (account, marketing_status, marketing_until_next_update, marketing_source_type, marketing_source_name)
VALUES ('a', NULL, NULL, NULL, NULL), ('a', 'non_marketing', NULL, NULL, NULL), ('a', 'marketing', true, NULL, NULL), ('a', NULL, true, NULL, NULL),
       ('a', NULL, NULL, 'api', NULL), ('a', NULL, NULL, 'api', 'crm'), ('a', NULL, NULL, NULL, 'crm'), (NULL, NULL, NULL, NULL, NULL)
RETURNING account, marketing_status, marketing_until_next_update AS flag, marketing_until, marketing_source_type, marketing_source_name;
RESET mktcontacts.source_type;
INSERT INTO contact (account) VALUES ('a') RETURNING marketing_status, marketing_source_type, marketing_source_name;
RESET mktcontacts.source_name;

-- A setting for account, tool and source name; else for account and tool; else the tool (F1).
INSERT INTO mkt.tool_setting (account, tool, source_name, created_as) VALUES
('a', 'api', NULL, 'marketing'), ('a', 'api', 'crm', 'non_marketing'), ('a', 'form_submission', 'survey', 'non_marketing'),
('b', 'contact_import', 'fair', 'marketing');
CREATE VIEW question AS SELECT * FROM unnest(ARRAY['a', 'b', NULL]) AS account,
    (VALUES ('api', NULL), ('api', 'crm'), ('api', 'shop'), ('form_submission', NULL), ('form_submission', 'survey'), ('contact_import', 'fair'), ('contact_import', NULL)) AS t (tool, name);
SELECT account, tool, name, mkt.created_as(account, tool, name), mkt.promotes(account, tool, name) FROM question ORDER BY tool, name, account;
WITH created AS (
    INSERT INTO contact (account, marketing_source_type, marketing_source_name) SELECT account, tool, name FROM question
    RETURNING account, marketing_source_type AS tool, marketing_source_name AS name, marketing_status
)
SELECT count(*), count(*) FILTER (WHERE marketing_status <> mkt.created_as(account, tool, name)) AS otherwise FROM created;

-- A change of a setting or of a tool is good from the next statement on, and goes with its transaction or savepoint.
SELECT in_row('api');
UPDATE mkt.tool_setting SET created_as = 'non_marketing' WHERE tool = 'api' AND source_name IS NULL;
SELECT in_row('api');
BEGIN;
DELETE FROM mkt.tool_setting WHERE tool = 'api';
UPDATE mkt.tool SET created_as = 'marketing' WHERE tool = 'api';
SELECT in_row('api');
SAVEPOINT s;
INSERT INTO mkt.tool_setting VALUES ('a', 'api', NULL, 'non_marketing');
SELECT in_row('api');
ROLLBACK TO s;
SELECT in_row('api');
ROLLBACK;
SELECT in_row('api');
BEGIN;
TRUNCATE mkt.tool_setting;
UPDATE mkt.tool SET created_as = 'marketing' WHERE tool = 'contact_import';
SELECT in_row('contact_import'), mkt.promotes('a', 'contact_import');
ROLLBACK;
SELECT in_row('contact_import'), mkt.promotes('a', 'contact_import');

-- A fixed default is refused, for all and for one account; a shipped tool stays; nonsense is refused.
\set VERBOSITY default
UPDATE mkt.tool SET created_as = 'marketing' WHERE tool = 'meeting_link';
\echo :SQLSTATE
INSERT INTO mkt.tool_setting VALUES ('a', 'user', NULL, 'marketing');
DELETE FROM mkt.tool WHERE tool = 'ad';
\set VERBOSITY terse
SELECT tool, try(format('UPDATE mkt.tool SET created_as = ''marketing'' WHERE tool = %L', tool)) AS for_all,
       try(format('INSERT INTO mkt.tool_setting VALUES (''a'', %L, ''x'', ''marketing'')', tool)) AS for_one
FROM mkt.tool WHERE fixed_because IS NOT NULL ORDER BY tool;
SELECT command, try(command) FROM unnest(ARRAY[
    'UPDATE mkt.tool SET promotes = ''always'' WHERE tool = ''sample''',
    'UPDATE mkt.tool SET fixed_because = NULL WHERE tool = ''sample''',
    'UPDATE mkt.tool SET shipped = false WHERE tool = ''sample''',
    'UPDATE mkt.tool SET tool = ''apis'' WHERE tool = ''api''',
    'UPDATE mkt.tool SET fixed_because = ''I say so'' WHERE tool = ''api''',
    'DELETE FROM mkt.tool',
    'INSERT INTO mkt.tool VALUES (''sample'', ''marketing'', ''always'', NULL, true)',
    'INSERT INTO mkt.tool VALUES (''api'')',
    'UPDATE mkt.tool SET promotes = ''sometimes'' WHERE tool = ''api''',
    'UPDATE mkt.tool_setting SET tool = ''sample'' WHERE account = ''b''',
    'INSERT INTO mkt.tool_setting VALUES (''a'', ''apj'', NULL, ''marketing'')',
    'INSERT INTO mkt.tool_setting VALUES (''a'', ''api'', NULL, ''marketing'')',
    'INSERT INTO mkt.tool_setting VALUES (NULL, ''api'', NULL, ''marketing'')',
    'INSERT INTO mkt.tool_setting VALUES (''a'', NULL, NULL, ''marketing'')',
    'UPDATE mkt.tool SET created_as = NULL WHERE tool = ''api''']) AS command;
UPDATE mkt.tool SET created_as = 'non_marketing', promotes = 'never', fixed_because = fixed_because, shipped = shipped;
SELECT tool, created_as, promotes FROM mkt.tool WHERE tool = 'form_submission';
UPDATE mkt.tool SET created_as = 'marketing', promotes = 'always' WHERE tool = 'form_submission';
UPDATE mkt.tool SET promotes = 'when_marketing' WHERE tool = 'contact_import';
SELECT try('SELECT mkt.tool_changed()'), try('SELECT mkt.shipped_again()');

-- An own tool is like the others, and goes with its settings.
INSERT INTO mkt.tool (tool, created_as, promotes) VALUES ('chatbot', 'marketing', 'when_marketing');
INSERT INTO mkt.tool_setting VALUES ('a', 'chatbot', 'support', 'non_marketing');
SELECT in_row('chatbot'), mkt.promotes('a', 'chatbot'), mkt.created_as('a', 'chatbot', 'support'), mkt.promotes('a', 'chatbot', 'support');
UPDATE mkt.tool SET tool = 'bot' WHERE tool = 'chatbot';
SELECT in_row('chatbot'), in_row('bot'), mkt.created_as('a', 'bot', 'support');
UPDATE mkt.tool SET fixed_because = 'A bot asks everybody.' WHERE tool = 'bot';
SELECT try('INSERT INTO mkt.tool_setting VALUES (''a'', ''bot'', NULL, ''non_marketing'')');
DELETE FROM mkt.tool WHERE tool = 'bot';
SELECT in_row('bot'), (SELECT count(*) FROM mkt.tool_setting WHERE tool = 'bot') AS settings;

-- COPY and many rows in one statement, each by its own tool and account, or all by the session's.
DELETE FROM contact;
COPY contact (account, note, marketing_source_type, marketing_source_name, marketing_status) FROM stdin;
a	copy	api	shop	\N
a	copy	form_submission	survey	\N
b	copy	form_submission	survey	\N
b	copy	contact_import	fair	\N
b	copy	contact_import	fair	non_marketing
a	copy	\N	\N	\N
\.
SET mktcontacts.source_type = 'contact_import';
SET mktcontacts.source_name = 'fair';
COPY contact (account, note) FROM stdin;
a	copy in session
b	copy in session
\.
COPY contact (account, note, marketing_status) FROM stdin;
b	copy with status	non_marketing
\.
INSERT INTO contact (account, note) SELECT CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END, 'many' FROM generate_series(1, 2000) AS i;
RESET mktcontacts.source_type;
RESET mktcontacts.source_name;
SELECT note, account, marketing_source_type, marketing_source_name, marketing_status, count(*) FROM contact GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5;

-- ON CONFLICT and MERGE: what is created follows the tool, what is there follows the statement alone.
DELETE FROM contact;
CREATE TABLE inbox (email text PRIMARY KEY, account text, note text);
SELECT mkt.attach('inbox', account_column => 'account');
INSERT INTO inbox VALUES ('old', 'a');
SET mktcontacts.source_type = 'form_submission';
INSERT INTO inbox VALUES ('old', 'a', 'again'), ('new', 'a', 'first') ON CONFLICT (email) DO UPDATE SET note = EXCLUDED.note;
INSERT INTO inbox VALUES ('old', 'a', 'never') ON CONFLICT DO NOTHING;
SELECT email, note, marketing_status, marketing_source_type FROM inbox ORDER BY email;
INSERT INTO inbox VALUES ('old', 'a', 'excluded') ON CONFLICT (email) DO UPDATE SET marketing_status = EXCLUDED.marketing_status;
SELECT email, note, marketing_status, marketing_source_type FROM inbox WHERE email = 'old';
MERGE INTO inbox AS i USING (VALUES ('new', 'merged'), ('third', 'merged')) AS v (email, note) ON i.email = v.email
WHEN MATCHED THEN UPDATE SET note = v.note
WHEN NOT MATCHED THEN INSERT (email, account, note) VALUES (v.email, 'a', v.note);
RESET mktcontacts.source_type;
MERGE INTO inbox AS i USING (VALUES ('new'), ('fourth')) AS v (email) ON i.email = v.email
WHEN MATCHED THEN UPDATE SET marketing_status = 'non_marketing', marketing_source_type = 'user'
WHEN NOT MATCHED THEN INSERT (email, account, marketing_source_type) VALUES (v.email, 'a', 'form_submission');
SELECT email, note, marketing_status, marketing_until_next_update AS flag, marketing_source_type FROM inbox ORDER BY email;

-- A user's BEFORE trigger that names the tool, before ours: it counts as the row's; after ours: it only writes down who it was.
CREATE FUNCTION by_form() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.marketing_source_type := 'form_submission'; RETURN NEW; END $$;
CREATE TRIGGER a_form BEFORE INSERT ON contact FOR EACH ROW EXECUTE FUNCTION by_form();
SELECT in_row(NULL), in_row('api'), in_session('api');
DROP TRIGGER a_form ON contact;
CREATE TRIGGER z_form BEFORE INSERT ON contact FOR EACH ROW EXECUTE FUNCTION by_form();
SELECT in_row(NULL), in_row('api'), in_session('api');
DROP TRIGGER z_form ON contact;

-- A table of one account, and accounts that are numbers: settings name them as text.
CREATE TABLE whole (id integer PRIMARY KEY);
CREATE TABLE numbered (id integer PRIMARY KEY, account bigint);
SELECT mkt.attach('whole', account => 'a'), mkt.attach('numbered', account_column => 'account');
INSERT INTO mkt.tool_setting VALUES ('42', 'ad', NULL, 'marketing');
UPDATE mkt.tool_setting SET created_as = 'marketing' WHERE account = 'a' AND tool = 'api' AND source_name IS NULL;
INSERT INTO whole (id, marketing_source_type, marketing_source_name) VALUES (1, 'api', NULL), (2, 'api', 'crm'), (3, 'ad', NULL) RETURNING id, marketing_status;
INSERT INTO numbered (id, account, marketing_source_type) VALUES (1, 42, 'ad'), (2, 43, 'ad'), (3, NULL, 'ad'), (4, NULL, 'form_submission') RETURNING id, marketing_status;

-- Many accounts and names in one statement.
INSERT INTO mkt.tool_setting SELECT i::text, 'ad', 'x' || i, 'marketing' FROM generate_series(1, 12000, 3) AS i ON CONFLICT DO NOTHING;
INSERT INTO numbered (id, account, marketing_source_type, marketing_source_name) SELECT 100 + i, i, 'ad', 'x' || i FROM generate_series(1, 12000) AS i;
SELECT marketing_status, count(*), count(*) FILTER (WHERE account % 3 = 1) AS with_setting FROM numbered WHERE id > 100 GROUP BY 1 ORDER BY 1;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DELETE FROM mkt.tool_setting;
DROP SCHEMA tools CASCADE;
