-- Two contacts become one (T7): every state with every other.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS mktcontacts;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA merging;
SET search_path = merging;

CREATE TABLE contact (id integer PRIMARY KEY, account text, was text);
SELECT mkt.attach('contact', account_column => 'account');

-- states: N, M, P pending, E pending with its instant passed
CREATE VIEW pair AS
SELECT 10 * row_number() OVER (ORDER BY x, y) AS id, x, y
FROM unnest(ARRAY['N', 'M', 'P', 'E']) AS x, unnest(ARRAY['N', 'M', 'P', 'E']) AS y;

SET mktcontacts.clock = '2026-02-10 12:00+00';
INSERT INTO contact (id, account, was, marketing_status, marketing_until_next_update)
SELECT id + n, 'a', CASE n WHEN 1 THEN x ELSE y END, 'marketing', true FROM pair, generate_series(1, 2) AS n;
SET mktcontacts.clock = '2026-03-10 12:00+00';
UPDATE contact SET marketing_status = 'non_marketing' WHERE was = 'N';
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false WHERE was IN ('M', 'P');
UPDATE contact SET marketing_status = 'non_marketing' WHERE was = 'P';
SELECT mkt.billable('a');

SELECT count(*) FROM (SELECT mkt.merge('contact', id + 1, id + 2) FROM pair) AS merged;

-- the survivor has the longer "marketing until" of the two
SELECT x AS survivor, y AS merged, marketing_status, marketing_until_next_update AS flag, marketing_until,
	   mkt.is_marketing(marketing_status, marketing_until)
FROM contact JOIN pair ON contact.id = pair.id + 1 ORDER BY x, y;
SELECT mkt.billable('a'), mkt.billable('a', '2026-04-01');
SELECT * FROM mkt.verify();

-- refused, and nothing happens
\set VERBOSITY default
INSERT INTO contact (id, account) VALUES (1, 'b');
SELECT mkt.merge('contact', 11, 11);
SELECT mkt.merge('contact', 11, 1);
SELECT mkt.merge('contact', 11, 999);
SELECT mkt.merge('contact', 'x', '11');
SELECT mkt.merge('contact', NULL, 11);
SELECT mkt.merge('contact', 11, 21, account => 'b');
SELECT count(*) FROM contact;

-- keys that are unique within an account need it
CREATE TABLE member (account integer, id uuid, PRIMARY KEY (account, id));
SELECT mkt.attach('member', account_column => 'account');
INSERT INTO member (account, id, marketing_status)
VALUES (1, '00000000-0000-0000-0000-000000000001', 'non_marketing'), (1, '00000000-0000-0000-0000-000000000002', 'marketing'),
	   (2, '00000000-0000-0000-0000-000000000002', 'marketing');
SELECT mkt.merge('member', '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002');
SELECT mkt.merge('member', '00000000-0000-0000-0000-000000000001'::uuid, '00000000-0000-0000-0000-000000000002'::uuid, account => '1');
SELECT account, id, marketing_status FROM member ORDER BY account;

-- a trigger that keeps the other contact, or fails, keeps both as they are; what is deleted afterwards is a deletion
\set VERBOSITY default
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF OLD.was = 'fail' THEN
		RAISE 'not this one';
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER keep BEFORE DELETE ON contact FOR EACH ROW EXECUTE FUNCTION keep();
INSERT INTO mkt.account (account, count_deleted) VALUES ('k', true);
INSERT INTO contact VALUES (2, 'k', NULL, 'non_marketing'), (3, 'k', 'keep', 'marketing'), (4, 'k', 'fail', 'marketing');
SELECT mkt.merge('contact', 2, 3);
\set VERBOSITY terse
SELECT mkt.merge('contact', 2, 4);
SELECT id, marketing_status FROM contact WHERE account = 'k' ORDER BY id;
DROP TRIGGER keep ON contact;
DELETE FROM contact WHERE id = 4;
SELECT billable, deleted FROM mkt.usage WHERE account = 'k';
DELETE FROM mkt.account;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA merging CASCADE;
