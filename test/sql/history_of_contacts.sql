-- What the history tells of a contact (P3, T11): each kind of change, in order, and the status at every instant since.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA history;
SET search_path = history;
CREATE TABLE contact (id integer PRIMARY KEY, account text, note text);
INSERT INTO contact VALUES (100, 'a'), (101, 'a'), (102, 'a');
SELECT mkt.attach('contact', account_column => 'account');
CREATE VIEW days AS SELECT i AS at FROM generate_series('2026-03-10 12:00+00'::timestamptz, '2026-05-20 12:00+00', '1 day') AS i;
-- A contact's status from the first day to the last, as runs of days, by the history alone.
CREATE FUNCTION statuses(contacts regclass, key text, account text DEFAULT NULL, since timestamptz DEFAULT '-infinity') RETURNS TABLE (status text, first date, last date) LANGUAGE sql AS $$
    SELECT coalesce(s::text, 'not there'), min(at)::date, max(at)::date
    FROM (SELECT at, s, count(*) FILTER (WHERE other) OVER (ORDER BY at) AS run
          FROM (SELECT at, s, s IS DISTINCT FROM lag(s) OVER (ORDER BY at) AS other
                FROM days, mkt.status_at(contacts, key, at, account) AS s WHERE at BETWEEN since AND mkt.now()) AS d) AS r
    GROUP BY s, run ORDER BY 2;
$$;
CREATE VIEW changes AS
SELECT id, h.n, changed_at::date AS "on", NULLIF(effective_at::date, changed_at::date) AS effective, change, status, until::date, account_after AS account,
       concat_ws(' ', source_type, source_name) AS source, role = session_user AS own
FROM (SELECT id FROM contact UNION SELECT generate_series(1, 12) UNION SELECT generate_series(100, 102)) AS c, mkt.history('contact', id) WITH ORDINALITY AS h (changed_at, effective_at, change, status, until, account_after, source_type, source_name, role, batch, n)
ORDER BY id, n;

-- Up, down, up again, deleted; a contact that is and stays non-marketing leaves no trace; unchanged and unrelated columns make no history, a key that changes alone neither.
INSERT INTO contact (id, account, marketing_status, marketing_source_type) VALUES (1, 'a', NULL, 'api'), (2, 'a', 'marketing', 'form_submission');
SET mktcontacts.clock = '2026-03-12 12:00+00';
UPDATE contact SET marketing_status = 'marketing', marketing_source_type = 'user', marketing_source_name = 'ann' WHERE id = 1;
UPDATE contact SET note = 'x', marketing_status = marketing_status, marketing_source_name = 'bob', account = account;
SET mktcontacts.clock = '2026-03-13 12:00+00';
SET mktcontacts.source_type = 'workflow';
UPDATE contact SET marketing_status = 'non_marketing';
SET mktcontacts.clock = '2026-03-14 12:00+00';
UPDATE contact SET marketing_status = 'non_marketing';
UPDATE contact SET id = 3 WHERE id = 2;
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id = 1;
SET mktcontacts.clock = '2026-03-15 12:00+00';
DELETE FROM contact WHERE id = 1;
RESET mktcontacts.source_type;
SELECT * FROM changes;
SELECT k AS key, s.* FROM unnest(ARRAY[1, 3, 4, 100]) AS k, statuses('contact', k::text) AS s;

-- An update date that passes is told at the instant, applied or not; what comes after it begins from there.
SET mktcontacts.clock = '2026-03-20 12:00+00';
INSERT INTO contact (id, account, marketing_status, marketing_until_next_update)
SELECT i, 'a', 'marketing', true FROM generate_series(4, 9) AS i;
SET mktcontacts.clock = '2026-04-05 12:00+00';
SELECT changed, already FROM mkt.set_marketing('contact', ARRAY[4], source_type => 'user');
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = true WHERE id = 5;
UPDATE contact SET marketing_until_next_update = false WHERE id = 6;
UPDATE contact SET account = 'b', marketing_status = 'marketing', marketing_source_type = 'api' WHERE id = 7;
DELETE FROM contact WHERE id = 8;
UPDATE contact SET note = 'unrelated' WHERE id = 9;
SELECT * FROM changes WHERE id BETWEEN 4 AND 9;
SELECT mkt.status_at('contact', 9, '2026-03-31 23:59:59.999999+00') AS before, mkt.status_at('contact', 9, '2026-04-01 00:00+00') AS at,
       mkt.status_at('contact', 4, '2026-04-01 00:00+00') AS at_4, mkt.status_at('contact', 4, NULL) AS now_4;
SET mktcontacts.clock = '2026-04-06 12:00+00';
CALL mkt.apply_updates();
SELECT * FROM changes WHERE id IN (3, 9);
SELECT k AS key, s.* FROM generate_series(3, 9) AS k, statuses('contact', k::text) AS s;

-- Dates that move with the account's settings or with the account; a contact's future is told, too.
INSERT INTO contact (id, account, marketing_status, marketing_until_next_update) VALUES (10, 'a', 'marketing', true), (11, NULL, 'marketing', false);
INSERT INTO mkt.account (account, commitment, started_on) VALUES ('a', 'monthly', '2025-01-15');
SET mktcontacts.clock = '2026-04-07 12:00+00';
UPDATE contact SET account = 'b' WHERE id = 10;
UPDATE contact SET account = 'c' WHERE id = 11;
UPDATE contact SET account = NULL, marketing_status = 'non_marketing' WHERE id = 11;
DELETE FROM mkt.account;
SELECT * FROM changes WHERE id IN (10, 11);
SELECT mkt.status_at('contact', 10, '2026-04-30'), mkt.status_at('contact', 10, '2026-05-01'), mkt.status_at('contact', 4, '2099-01-01');

-- A key that is used again is another contact with the same key; a TRUNCATE ends all.
INSERT INTO contact (id, account) VALUES (1, 'b');
SET mktcontacts.clock = '2026-04-08 12:00+00';
UPDATE contact SET marketing_status = 'marketing' WHERE id IN (1, 101);
SET mktcontacts.clock = '2026-04-10 12:00+00';
TRUNCATE contact;
SET mktcontacts.clock = '2026-04-12 12:00+00';
INSERT INTO contact (id, account, marketing_status) VALUES (1, 'a', 'marketing'), (12, 'a', 'marketing');
SELECT * FROM changes WHERE id IN (1, 10, 12, 100, 101);
SELECT k AS key, s.* FROM unnest(ARRAY[1, 10, 12, 101]) AS k, statuses('contact', k::text) AS s;

-- A session's source is that of its DELETE; mkt.merge() is two changes like others.
SET mktcontacts.source_type = 'user';
SET mktcontacts.source_name = 'ann';
DELETE FROM contact WHERE id = 12;
INSERT INTO contact (id, account, marketing_status) VALUES (12, 'a', 'marketing'), (2, 'a', 'non_marketing');
RESET mktcontacts.source_type;
SELECT FROM mkt.merge('contact', '2', '12');
SELECT * FROM changes WHERE id IN (2, 12);
SELECT count(*) FROM mkt.history('contact', 999);
SELECT * FROM mkt.history('contact', '999'::text);

-- Forgotten: the contact stays, what was said of it goes, counts and the past ones stay as they were.
SELECT mkt.billable('a', '2026-03-13 13:00') AS before;
SELECT mkt.forget('contact', 3), mkt.forget('contact', 3), mkt.forget('contact', '10'), mkt.forget('contact', 999);
SELECT * FROM changes WHERE id IN (3, 10);
SELECT mkt.billable('a', '2026-03-13 13:00') AS after;
SELECT mkt.forget('contact', 1), (SELECT id FROM contact WHERE id = 1) AS there;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 1;
SELECT * FROM changes WHERE id = 1;

-- Keys that are unique within an account only, of several columns, and of other types.
CREATE TABLE shared (account integer, id text, PRIMARY KEY (account, id));
SELECT mkt.attach('shared', account_column => 'account');
SET mktcontacts.clock = '2026-04-20 12:00+00';
INSERT INTO shared VALUES (1, 'x', 'marketing'), (2, 'x', 'non_marketing'), (3, 'y', 'marketing');
SET mktcontacts.clock = '2026-04-22 12:00+00';
UPDATE shared SET account = 4 WHERE account = 1;
INSERT INTO shared VALUES (1, 'x', 'non_marketing');
SET mktcontacts.clock = '2026-04-24 12:00+00';
UPDATE shared SET marketing_status = 'marketing' WHERE id = 'x' AND account = 2;
SELECT a AS account, h.changed_at::date AS "on", h.change, h.status, h.account_after FROM unnest(ARRAY['1', '2', '4']) AS a, mkt.history('shared', 'x', account => a) AS h ORDER BY a, h.changed_at, h.change DESC;
SELECT a AS account, s.* FROM unnest(ARRAY['1', '2', '4']) AS a, statuses('shared', 'x', a, '2026-04-20 00:00+00') AS s;
SELECT mkt.forget('shared', 'x', account => '2');
SELECT (SELECT count(*) FROM mkt.history('shared', 'x', account => '2')) AS "2", (SELECT count(*) FROM mkt.history('shared', 'x', account => '4')) AS "4";
CREATE TABLE double (region text, id integer, account uuid, PRIMARY KEY (region, id));
CREATE TABLE by_uuid (id uuid PRIMARY KEY, account bigint);
SELECT mkt.attach('double', account_column => 'account'), mkt.attach('by_uuid', account_column => 'account');
INSERT INTO double VALUES ('eu, "x"', 1, '00000000-0000-0000-0000-000000000001', 'marketing'), ('eu', 1, NULL, 'marketing'), ('us', 1, NULL, 'non_marketing');
UPDATE double SET marketing_status = 'non_marketing', account = '00000000-0000-0000-0000-000000000002' WHERE region = 'eu';
DELETE FROM double WHERE region = 'us';
SELECT change, status, account_after FROM mkt.history('double', '{eu,1}');
SELECT change, status, account_after FROM mkt.history('double', ARRAY['eu, "x"', '1']::text);
SELECT change FROM mkt.history('double', '{us,1}');
SELECT mkt.forget('double', '{eu,1}'), mkt.forget('double', '{us,1}');
INSERT INTO by_uuid VALUES ('00000000-0000-0000-0000-000000000007', 7, 'marketing');
SELECT change, account_after FROM mkt.history('by_uuid', '00000000-0000-0000-0000-000000000007'::uuid);
SELECT mkt.status_at('by_uuid', '00000000-0000-0000-0000-000000000007'::uuid), mkt.forget('by_uuid', '00000000-0000-0000-0000-000000000007'::uuid);

-- A session keeps plans for some tables; it may ask about any number of them.
BEGIN;
SET LOCAL client_min_messages = warning;
DO $$ BEGIN
	FOR i IN 1 .. 70 LOOP
		EXECUTE format('CREATE TABLE one_of_many_%s (id integer PRIMARY KEY)', i);
		PERFORM mkt.attach(format('one_of_many_%s', i)::regclass, account => 'many');
		EXECUTE format('INSERT INTO one_of_many_%s VALUES (1, %L)', i, CASE WHEN i % 2 = 0 THEN 'marketing' ELSE 'non_marketing' END);
	END LOOP;
END $$;
SELECT sum(h.n) AS changes, count(*) AS of_tables
FROM mkt.attachment AS a CROSS JOIN LATERAL (SELECT count(*) AS n FROM mkt.history(a.contacts, 1)) AS h WHERE a.contacts::text LIKE 'one_of_many%';
ROLLBACK;

-- What is asked wrongly.
\set VERBOSITY default
SELECT * FROM mkt.history('shared', 'x');
SELECT mkt.status_at('contact', 1, '2026-03-10 11:59:59+00');
\echo :SQLSTATE
SELECT * FROM mkt.history('double', 'eu');
SELECT * FROM mkt.history('double', '{eu}');
SELECT * FROM mkt.history('contact', 'seven'::text);
SELECT * FROM mkt.history('contact', NULL::text);
SELECT mkt.status_at(NULL, 7);
SELECT * FROM mkt.history('pg_class', 7);
SELECT mkt.forget('pg_class', 7);
SELECT mkt.status_at('pg_class', 7);
\set VERBOSITY terse

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA history CASCADE;
