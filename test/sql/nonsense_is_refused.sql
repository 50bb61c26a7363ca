-- Calls and rows that make no sense, as random SQL makes them, end in an error that says what is wrong.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
\set SHOW_CONTEXT never
CREATE SCHEMA nonsense;
SET search_path = nonsense;


INSERT INTO mkt.shipping VALUES (true, NULL);
INSERT INTO mkt.account (account, edition) VALUES ('nonsense', 'starter');
UPDATE mkt.account SET account = NULL, edition = 'professional' WHERE account = 'nonsense';
DELETE FROM mkt.account WHERE account = 'nonsense';

SELECT * FROM mkt.verify();
DROP SCHEMA nonsense CASCADE;

-- The extension's own tables by another name.
BEGIN;
ALTER TABLE mkt.attachment RENAME TO attached;
ROLLBACK;
