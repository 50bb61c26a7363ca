-- mkt.set_marketing() and mkt.set_non_marketing(): contacts by key, with a report that adds up to the keys asked for (W1, W2).

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA keys;
SET search_path = keys;
CREATE TABLE contact (id bigint PRIMARY KEY, account text);
SELECT mkt.attach('contact', account_column => 'account');
INSERT INTO contact (id, account, marketing_status, marketing_until_next_update)
SELECT i, CASE WHEN i < 10 THEN 'a' ELSE 'b' END, CASE WHEN i % 3 > 0 THEN 'marketing'::mkt.status END, i % 3 = 2
FROM generate_series(1, 12) AS i;
CREATE VIEW states AS
SELECT account, array_agg(id ORDER BY id) FILTER (WHERE marketing_status = 'non_marketing') AS n,
       array_agg(id ORDER BY id) FILTER (WHERE marketing_status = 'marketing' AND NOT marketing_until_next_update) AS m,
       array_agg(id ORDER BY id) FILTER (WHERE marketing_until_next_update) AS p
FROM contact GROUP BY account ORDER BY account;
TABLE states;

-- Duplicates and nulls: a key counts once, and no contact has the key null.
SELECT changed, already, pending, not_found, parked FROM mkt.set_non_marketing('contact', ARRAY[1, 2, 3, 3, 1, 99, NULL, NULL]);
SELECT changed, already, pending, not_found, parked FROM mkt.set_marketing('contact', ARRAY[1, 2, 3, 4, 4, 99, NULL]);
TABLE states;
SELECT changed, already, pending, not_found, parked FROM mkt.set_marketing('contact', '{}'::bigint[]);
SELECT changed, already, pending, not_found, parked FROM mkt.set_marketing('contact', ARRAY[[5, 6], [7, 8]]);

-- One account's contacts: those of others are not found.
SELECT changed, already, pending, not_found FROM mkt.set_non_marketing('contact', ARRAY[9, 10, 11, 12], account => 'b');
SELECT changed, already, pending, not_found FROM mkt.set_non_marketing('contact', ARRAY[9, 10], account => 'nobody');
TABLE states;

-- Expected: as many as change, or nothing happens (W2).
SELECT changed FROM mkt.set_marketing('contact', ARRAY[9, 10, 11, 12], expected => 4);
SELECT changed FROM mkt.set_marketing('contact', ARRAY[9, 10, 11, 12], expected => 4);
SELECT changed FROM mkt.set_marketing('contact', ARRAY[9, 10, 11, 12], expected => 0);
SELECT changed FROM mkt.set_non_marketing('contact', ARRAY[9], expected => 2);
SELECT changed FROM mkt.set_non_marketing('contact', ARRAY[9, 10], expected => 1);
TABLE states;

-- The tool that asks is noted with the contacts that change, and with the batch.
SELECT changed FROM mkt.set_non_marketing('contact', ARRAY[1, 2]);
SELECT changed, already FROM mkt.set_marketing('contact', ARRAY[1, 2, 4], source_type => 'user', source_name => 'ann');
SELECT id, marketing_status, marketing_source_type, marketing_source_name FROM contact WHERE id IN (1, 2, 4) ORDER BY id;
SELECT changed FROM mkt.set_marketing('contact', ARRAY[99], source_type => 'api') \gset
SELECT batch FROM mkt.set_non_marketing('contact', ARRAY[1, 99], source_type => 'user') \gset
SELECT contacts, action, set_by = current_user AS by_me, set_at, changed, already, pending, not_found, parked, source_type, source_name
FROM mkt.batch WHERE batch > :batch - 4 ORDER BY batch;

-- Keys of any type, given as text where they have one.
CREATE TYPE planet AS ENUM ('Mars', 'Venus');
CREATE TABLE by_uuid (id uuid PRIMARY KEY);
CREATE TABLE by_text (id text PRIMARY KEY);
CREATE TABLE by_small (id smallint PRIMARY KEY);
CREATE TABLE by_planet (id planet PRIMARY KEY);
SELECT mkt.attach(t, account => 'k') FROM unnest(ARRAY['by_uuid', 'by_text', 'by_small', 'by_planet']::regclass[]) AS t;
INSERT INTO by_uuid SELECT ('00000000-0000-0000-0000-00000000000' || i)::uuid FROM generate_series(1, 3) AS i;
INSERT INTO by_text VALUES ('it''s'), ('{"a", b}'), ('NULL');
INSERT INTO by_small SELECT generate_series(1, 3);
INSERT INTO by_planet VALUES ('Mars'), ('Venus');
SELECT changed, not_found FROM mkt.set_marketing('by_uuid', ARRAY['00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000009']::uuid[]);
SELECT changed, not_found FROM mkt.set_marketing('by_uuid', ARRAY['00000000-0000-0000-0000-000000000002']);
SELECT changed, not_found FROM mkt.set_marketing('by_text', ARRAY['it''s', '{"a", b}', 'NULL', NULL]);
SELECT changed, not_found FROM mkt.set_marketing('by_text', ARRAY['it''s']::varchar[], expected => 0);
SELECT changed, not_found FROM mkt.set_marketing('by_small', ARRAY[1, 2]);
SELECT changed, not_found FROM mkt.set_marketing('by_small', ARRAY[3, 4]::bigint[]);
SELECT changed, not_found FROM mkt.set_marketing('by_planet', ARRAY['Mars']::planet[]);
SELECT changed, not_found FROM mkt.set_marketing('by_planet', ARRAY['Venus']);
SELECT changed, not_found FROM mkt.set_marketing('by_small', ARRAY[1], account => 'k');
SELECT changed, not_found FROM mkt.set_marketing('by_small', ARRAY[1], account => 'another');
SELECT mkt.billable('k');

-- Keys that are unique within an account need it; keys of several columns cannot be given.
CREATE TABLE by_account (account integer, id integer, PRIMARY KEY (account, id));
CREATE TABLE by_two (a integer, b integer, account text, PRIMARY KEY (a, b));
SELECT mkt.attach('by_account', account_column => 'account');
SELECT mkt.attach('by_two', account_column => 'account');
INSERT INTO by_account SELECT a, i, 'marketing' FROM generate_series(1, 2) AS a, generate_series(1, 2) AS i;
INSERT INTO by_two VALUES (1, 1, 'a', 'marketing');
SELECT mkt.set_non_marketing('by_account', ARRAY[1]);
\echo :SQLSTATE
SELECT mkt.set_non_marketing('by_two', ARRAY[1], account => 'a');
\echo :SQLSTATE
SELECT changed, not_found FROM mkt.set_non_marketing('by_account', ARRAY[1, 3], account => '2');
SELECT * FROM by_account WHERE marketing_until_next_update;

-- Other misuse.
\set SHOW_CONTEXT never
SELECT mkt.set_non_marketing('by_account', ARRAY[1], account => 'two');
SELECT mkt.set_marketing('contact', NULL::bigint[]);
SELECT mkt.set_marketing(NULL, ARRAY[1]);
SELECT mkt.set_marketing('states', ARRAY[1]);
SELECT mkt.set_marketing('contact', ARRAY['one']);

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA keys CASCADE;
