-- Accounts and keys can be of these types; contacts keep theirs, and so do the counts.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA types;
SET search_path = types;

CREATE TYPE planet AS ENUM ('Mars', 'Venus');
CREATE DOMAIN number AS integer CHECK (VALUE < 1000);
CREATE DOMAIN small_number AS number;
CREATE DOMAIN code AS varchar(4);

-- A table whose account and key have the same type: two contacts become marketing, one of them pending by its key, and
-- the other moves to the first one's account.
CREATE FUNCTION try(type text, a text, b text, OUT count_type regtype, OUT report text, OUT a_now bigint, OUT a_then bigint,
                    OUT b_now bigint, OUT differences bigint)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE contact (account %1$s, key %1$s PRIMARY KEY)', type);
    PERFORM mkt.attach('contact', account_column => 'account');
    EXECUTE format('INSERT INTO contact SELECT k, k, ''marketing'' FROM unnest(%L::text::%s[]) AS k', ARRAY[a, b], type);
    EXECUTE format('SELECT r::text FROM (SELECT changed, already, pending, not_found, parked
                    FROM mkt.set_non_marketing(''contact'', %L::text::%s[])) AS r', ARRAY[a, a], type) INTO report;
    EXECUTE format('UPDATE contact SET account = %L WHERE key = %L', a, b);
    SELECT atttypid INTO count_type FROM mkt.attachment JOIN pg_attribute ON attrelid = count_table
    WHERE contacts = 'contact'::regclass AND attname = 'account';
    a_now := mkt.billable(a);
    a_then := mkt.billable(a, '2026-04-01');
    b_now := mkt.billable(b);
    SELECT count(*) INTO differences FROM mkt.verify();
    DROP TABLE contact;
END $$;

SELECT type, t.*
FROM (VALUES ('smallint', '-7', '32767'),
             ('integer', '7', '2147483647'),
             ('bigint', '7', '-9223372036854775808'),
             ('uuid', '3b0c1f2e-9d53-4d53-8a07-6f2a7f0b2c11', '00000000-0000-0000-0000-000000000000'),
             ('text', 'it''s "one"', ''),
             ('varchar', 'a', 'A'),
             ('varchar(5)', 'a    ', 'a'),
             ('planet', 'Mars', 'Venus'),
             ('number', '7', '8'),
             ('small_number', '7', '8'),
             ('code', 'o', 'ø')) AS v (type, a, b),
     LATERAL try(type, a, b) AS t;

-- The key is the primary key without the account, or a column with a unique index of its own.
CREATE TABLE by_account (account text, id integer, PRIMARY KEY (account, id));
CREATE TABLE by_email (account text, id integer PRIMARY KEY, email text UNIQUE NOT NULL);
CREATE TABLE by_three (a integer, account text, b uuid, PRIMARY KEY (a, account, b));
SELECT mkt.attach('by_account', account_column => 'account');
SELECT mkt.attach('by_email', account_column => 'account', key_column => 'email');
SELECT mkt.attach('by_three', account_column => 'account');
INSERT INTO by_account SELECT a, i, 'marketing' FROM unnest(ARRAY['x', 'y']) AS a, generate_series(1, 3) AS i;
INSERT INTO by_email VALUES ('x', 1, 'one', 'marketing'), ('y', 2, 'two', 'marketing');
INSERT INTO by_three VALUES (1, 'x', gen_random_uuid(), 'marketing', true);
SELECT changed, already, pending, not_found FROM mkt.set_non_marketing('by_account', ARRAY[1, 2, 9], account => 'y');
SELECT changed, already, pending, not_found FROM mkt.set_non_marketing('by_email', ARRAY['two', '2']);
SELECT account, billable, pending, total FROM mkt.usage WHERE account IN ('x', 'y') ORDER BY account;

-- A table that belongs to one account has no column for it, and its name is compared as it is.
CREATE TABLE all_mine (id integer PRIMARY KEY);
SELECT mkt.attach('all_mine', account => 'Me & "co"');
INSERT INTO all_mine VALUES (1, 'marketing', false), (2, 'non_marketing', false), (3, 'marketing', true);
SELECT account, billable, non_marketing, pending, total, billable_after_update
FROM mkt.usage WHERE account LIKE 'Me%';

-- The same account in several tables has one count.
CREATE TABLE mine_too (id integer PRIMARY KEY, owner text NOT NULL DEFAULT 'Me & "co"');
SELECT mkt.attach('mine_too', account_column => 'owner');
INSERT INTO mine_too (id, marketing_status) VALUES (1, 'marketing');
SELECT mkt.billable('Me & "co"'), mkt.billable('me & "co"') AS other_case;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA types CASCADE;
