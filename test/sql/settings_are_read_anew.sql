-- A session that has used an account's settings goes on by those that hold, whoever changed them in whatever way.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO;
SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA anew;
SET search_path = anew;
CREATE TABLE contact (id integer PRIMARY KEY, account text);
SELECT mkt.attach('contact', account_column => 'account');
INSERT INTO mkt.account (account, commitment, started_on) VALUES ('anew', 'monthly', '2024-06-20');
INSERT INTO contact SELECT i, 'anew', 'marketing' FROM generate_series(1, 20) AS i;
CREATE FUNCTION pending(contact integer) RETURNS timestamptz LANGUAGE SQL AS
'UPDATE anew.contact SET marketing_status = ''non_marketing'' WHERE id = $1 RETURNING marketing_until';
SELECT pending(1);

-- In a transaction that is rolled back, as a whole or to a savepoint.
BEGIN;
UPDATE mkt.account SET started_on = '2024-06-25' WHERE account = 'anew';
SELECT pending(2);
ROLLBACK;
SELECT pending(2);
BEGIN;
SAVEPOINT s;
UPDATE mkt.account SET started_on = '2024-06-26' WHERE account = 'anew';
SELECT pending(3);
ROLLBACK TO s;
SELECT pending(3);
COMMIT;

-- In a replica's role, in which the account's pending contacts keep their date.
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE mkt.account SET started_on = '2024-06-28', maximum = 20, at_maximum = 'refuse' WHERE account = 'anew';
SET LOCAL session_replication_role = origin;
SELECT pending(4);
COMMIT;
SELECT pending(5);
\set VERBOSITY terse
INSERT INTO contact VALUES (21, 'anew', 'marketing');
\set VERBOSITY default
BEGIN;
SET LOCAL session_replication_role = replica;
DELETE FROM mkt.account WHERE account = 'anew';
SET LOCAL session_replication_role = origin;
SELECT pending(6);
INSERT INTO contact VALUES (21, 'anew', 'marketing');
ROLLBACK;
SELECT pending(6);
SELECT marketing_until, count(*) FROM contact GROUP BY 1 ORDER BY 1;
SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA anew CASCADE;
DELETE FROM mkt.account;
