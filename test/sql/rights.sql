-- Whoever may write contacts changes counts, and no other right is needed; nobody gets more than his rights.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE ROLE mkt_owner;
CREATE ROLE mkt_writer;
CREATE ROLE mkt_reader;
CREATE SCHEMA rights AUTHORIZATION mkt_owner;
GRANT USAGE ON SCHEMA rights TO PUBLIC;
SET search_path = rights;

-- The owner attaches once an administrator lets him, and needs no other right in mkt.
SET ROLE mkt_owner;
CREATE TABLE contact (id integer PRIMARY KEY, account text, secret text);
SELECT mkt.attach('contact', account_column => 'account');
RESET ROLE;
GRANT EXECUTE ON FUNCTION mkt.attach TO mkt_owner, mkt_writer;
SET ROLE mkt_owner;
SELECT mkt.attach('contact', account_column => 'account', already_marketing => 'secret = ''m''');
INSERT INTO contact (id, account, secret) VALUES (1, 'a', 'x'), (2, 'b', 'y');
GRANT INSERT, DELETE, UPDATE, SELECT ON contact TO mkt_writer;
GRANT SELECT (id, account) ON contact TO mkt_reader;
CREATE TABLE parted (id integer PRIMARY KEY, account text) PARTITION BY RANGE (id);
SELECT mkt.attach('parted', account_column => 'account');
CREATE TABLE part PARTITION OF parted DEFAULT;
GRANT INSERT, SELECT ON part TO mkt_writer;
GRANT SELECT ON parted TO mkt_writer;
GRANT SELECT (id) ON parted TO mkt_reader;

-- A writer writes, on the table and on a partition itself, and asks.
SET ROLE mkt_writer;
INSERT INTO contact (id, account, marketing_status) VALUES (3, 'a', 'marketing'), (4, 'b', 'marketing');
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 3;
SELECT changed, not_found FROM mkt.set_marketing('contact', ARRAY[1, 99]);
SELECT mkt.billable('a');
SELECT mkt.is_marketing(marketing_status, marketing_until), mkt.next_update(account) FROM contact WHERE id = 3;
INSERT INTO part VALUES (1, 'a', 'marketing');
SELECT mkt.detach('contact');
SELECT mkt.attach('contact', account_column => 'account');

-- Who reads any column of every attached table may know the counts, but writes nothing.
\set SHOW_CONTEXT never
SET ROLE mkt_reader;
SELECT mkt.billable('a');
SELECT mkt.set_marketing('contact', ARRAY[1]);
UPDATE contact SET marketing_status = 'non_marketing';
INSERT INTO contact (id, account, marketing_status) VALUES (5, 'a', 'marketing');
RESET ROLE;
REVOKE SELECT (id, account) ON contact FROM mkt_reader;
SET ROLE mkt_reader;
SELECT mkt.billable('a');

-- What belongs to the extension is not for everybody, not even for the owner of contacts.
RESET ROLE;
CREATE TABLE of_another (id integer PRIMARY KEY);
SELECT mkt.attach('of_another', account => 'x');
CREATE FUNCTION pg_temp.may(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE command;
    RAISE 'allowed' USING ERRCODE = '00000';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLERRM;
END $$;
SET ROLE mkt_owner;
SELECT command, pg_temp.may(command)
FROM unnest(ARRAY['SELECT * FROM mkt.attachment', 'SELECT * FROM mkt.account', 'SELECT * FROM mkt.contact_count', 'SELECT * FROM mkt.rights_contact_count',
    'SELECT * FROM mkt.usage', 'SELECT * FROM mkt.batch', 'SELECT * FROM mkt.apply_progress', 'SELECT * FROM mkt.verify()', 'SELECT * FROM mkt.repair()', 'SELECT * FROM mkt.repair(''contact'')', 'SELECT * FROM mkt.repair(''of_another'')',
    'SELECT mkt.unposted()', 'SELECT mkt.fold_counts(''mkt.rights_contact_count'')', 'CALL mkt.run()', 'CALL mkt.apply_updates()',
    'CALL mkt.fill_already_marketing(''contact'')', 'CALL mkt.fill_already_marketing(''of_another'')', 'INSERT INTO mkt.account (account) VALUES (''a'')', 'DELETE FROM mkt.rights_contact_count',
    'TRUNCATE mkt.rights_contact_count', 'DROP TABLE mkt.rights_contact_count', 'SET mktcontacts.clock = ''2030-01-01''', 'SELECT mkt.report_progress(''contact'', now(), 1, 1)']) AS command;
RESET ROLE;
DROP TABLE of_another;

-- Settings are changed by whom an administrator lets; the contacts move with their owner's rights, which the one who changes has not.
GRANT INSERT, UPDATE, DELETE, SELECT ON mkt.account TO mkt_writer;
REVOKE ALL ON contact FROM mkt_writer;
SET ROLE mkt_writer;
INSERT INTO mkt.account (account, commitment, started_on) VALUES ('a', 'monthly', '2025-01-15');
SELECT * FROM contact;
RESET ROLE;
SELECT id, marketing_until FROM contact WHERE account = 'a' ORDER BY id;
REVOKE ALL ON mkt.account FROM mkt_writer;

-- What runs for everybody runs with the table owner's rights, never with the caller's: a trigger of the owner's that is called by
-- mkt.run() is not a superuser.
SET ROLE mkt_owner;
CREATE FUNCTION whoami() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE '% %: %', TG_NAME, NEW.id, current_user;
    RETURN NEW;
END $$;
CREATE TRIGGER whoami BEFORE UPDATE ON contact FOR EACH ROW EXECUTE FUNCTION whoami();
RESET ROLE;
SET mktcontacts.clock = '2026-03-15 00:00+00';
CALL mkt.run();
DELETE FROM mkt.account;
SET mktcontacts.clock = '2026-03-10 12:00+00';
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 4;
INSERT INTO mkt.account (account, commitment, started_on) VALUES ('b', 'monthly', '2025-01-15');
DROP TRIGGER whoami ON contact;

-- Row-level security: what a writer cannot see he does not change, but it counts.
SET ROLE mkt_owner;
GRANT ALL ON contact TO mkt_writer;
CREATE POLICY own_account ON contact USING (account = 'a' AND id <> 1);
ALTER TABLE contact ENABLE ROW LEVEL SECURITY;
SET ROLE mkt_writer;
SELECT id FROM contact;
INSERT INTO contact (id, account, marketing_status) VALUES (6, 'a', 'marketing');
INSERT INTO contact (id, account, marketing_status) VALUES (7, 'b', 'marketing');
SELECT changed, already, pending, not_found FROM mkt.set_marketing('contact', ARRAY[1, 2, 3, 4, 6]);
UPDATE contact SET marketing_status = 'non_marketing';
SELECT mkt.billable('a') AS of_all_rows, mkt.billable('b') AS of_an_account_that_he_does_not_see;
RESET ROLE;
SELECT mkt.billable('b');
SELECT id, account, marketing_status, marketing_until FROM contact ORDER BY id;
SELECT * FROM mkt.verify();

-- Forced on the owner, too: nothing of ours is blind for it. Counting, applying, dating anew and filling reach every row.
SET ROLE mkt_owner;
ALTER TABLE contact FORCE ROW LEVEL SECURITY;
SELECT id FROM contact ORDER BY id;
SELECT mkt.detach('contact');
SELECT mkt.attach('contact', account_column => 'account', already_marketing => 'secret = ''y''');
SELECT mkt.billable('a') AS a, mkt.billable('b') AS b;
RESET ROLE;
SELECT * FROM mkt.verify();
UPDATE contact SET marketing_source_type = 'initial_state' WHERE id = 2;
UPDATE mkt.account SET started_on = '2025-01-16';
CALL mkt.run();
SELECT id, account, marketing_status, marketing_until FROM contact ORDER BY id;
SET mktcontacts.clock = '2026-04-01 00:00+00';
CALL mkt.apply_updates();
SELECT id, account, marketing_status, marketing_until FROM contact ORDER BY id;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA rights CASCADE;
DELETE FROM mkt.account;
DROP OWNED BY mkt_owner, mkt_writer, mkt_reader;
DROP ROLE mkt_owner, mkt_writer, mkt_reader;
