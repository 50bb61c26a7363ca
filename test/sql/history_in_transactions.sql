-- History and batches belong to the transaction that changes contacts, with its savepoints, errors and nested statements;
-- statements on a partition itself, which nothing ends, are in order with all others.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA together;
SET search_path = together;
CREATE TABLE contact (account text, id integer, PRIMARY KEY (account, id)) PARTITION BY LIST (account);
CREATE TABLE part_a PARTITION OF contact FOR VALUES IN ('a');
CREATE TABLE part_b PARTITION OF contact FOR VALUES IN ('b');
CREATE TABLE plain (id integer PRIMARY KEY, account text);
SELECT mkt.attach(t, account_column => 'account') FROM unnest(ARRAY['contact', 'plain']::regclass[]) AS t;
-- Of an account's contact in short, in the order in which it happened.
CREATE FUNCTION told(key integer, account text DEFAULT 'a') RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(change || CASE WHEN change LIKE 'moved%' THEN ' (' || account_after || ')' ELSE '' END, ', ' ORDER BY n)
    FROM mkt.history('contact', key, account) WITH ORDINALITY AS h (changed_at, effective_at, change, status, until, account_after, source_type, source_name, role, batch, n);
$$;
CREATE FUNCTION of_plain(key integer) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(change, ', ' ORDER BY n)
    FROM mkt.history('plain', key) WITH ORDINALITY AS h (changed_at, effective_at, change, status, until, account_after, source_type, source_name, role, batch, n);
$$;
CREATE VIEW batches AS SELECT contacts, label, count(DISTINCT batch) AS batches, sum(changed) AS changed FROM mkt.batch WHERE label IS NOT NULL GROUP BY contacts, label ORDER BY contacts::text, label;
-- What the history says against what is there; and the history's batches against the reports.
CREATE FUNCTION differences() RETURNS TABLE (contact integer, account text) LANGUAGE sql AS $$
    SELECT id, c.account FROM contact AS c WHERE mkt.status_at('contact', id, mkt.now(), c.account) <> CASE WHEN mkt.is_marketing(marketing_status, marketing_until) THEN 'marketing' ELSE 'non_marketing' END::mkt.status
    UNION ALL
    SELECT id, p.account FROM plain AS p WHERE mkt.status_at('plain', id, mkt.now()) <> CASE WHEN mkt.is_marketing(marketing_status, marketing_until) THEN 'marketing' ELSE 'non_marketing' END::mkt.status
    UNION ALL
    SELECT b.batch, NULL FROM mkt.batch AS b WHERE action = 'statement' AND contacts = 'contact'::regclass
    AND changed <> (SELECT count(*) FROM mkt.together_contact_history AS h WHERE h.batch = b.batch);
$$;

-- On a partition itself, then in a savepoint through the parent, and the other way round: told at once, in order, once.
BEGIN;
INSERT INTO part_a VALUES ('a', 1, 'marketing'), ('a', 2, 'marketing'), ('a', 3, 'marketing');
UPDATE part_a SET marketing_status = 'non_marketing';
SAVEPOINT s;
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id = 1;
UPDATE part_a SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id = 2;
SELECT told(1), told(2), told(3);
RELEASE s;
UPDATE part_a SET marketing_status = 'non_marketing' WHERE id IN (1, 2);
SELECT told(1), told(2), told(3);
COMMIT;
SELECT told(1), told(2), told(3);

-- What is rolled back was not, on whichever level and by whomever written; what was before it is written all the same.
DELETE FROM contact;
SELECT mkt.forget('contact', k, 'a') FROM generate_series(1, 3) AS k;
SET mktcontacts.batch = 'rolled back';
BEGIN;
INSERT INTO part_a VALUES ('a', 1, 'marketing');
SAVEPOINT one;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 1;
INSERT INTO part_a VALUES ('a', 2, 'marketing');
SAVEPOINT two;
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id = 1;
INSERT INTO part_a VALUES ('a', 3, 'marketing');
ROLLBACK TO two;
INSERT INTO contact VALUES ('a', 4, 'marketing');
SELECT told(1), told(2), told(3), told(4);
ROLLBACK TO one;
INSERT INTO part_a VALUES ('a', 5, 'marketing');
SELECT told(1), told(2), told(3), told(4), told(5);
COMMIT;
RESET mktcontacts.batch;
SELECT told(1), told(2), told(3), told(4), told(5);
SELECT * FROM batches;
SELECT * FROM differences();

-- A whole transaction that goes leaves no batch; a batch that begins in a savepoint that goes begins again.
SET mktcontacts.batch = 'gone';
BEGIN;
UPDATE contact SET marketing_status = 'non_marketing';
ROLLBACK;
SELECT * FROM batches WHERE label = 'gone';
BEGIN;
SAVEPOINT s;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 1;
ROLLBACK TO s;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 5;
ROLLBACK TO s;
SELECT * FROM batches WHERE label = 'gone';
UPDATE part_a SET marketing_status = 'non_marketing' WHERE id = 5;
COMMIT;
RESET mktcontacts.batch;
SELECT * FROM batches WHERE label = 'gone';

-- A change belongs to the batch, the tool and the role of its statement, however late it is written.
CREATE ROLE mkt_helper;
GRANT ALL ON contact, part_a TO mkt_helper;
GRANT USAGE ON SCHEMA together TO mkt_helper;
BEGIN;
SET LOCAL mktcontacts.batch = 'first';
SET LOCAL ROLE mkt_helper;
UPDATE part_a SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id = 5;
RESET ROLE;
SET LOCAL mktcontacts.batch = 'second';
SET LOCAL mktcontacts.source_type = 'user';
UPDATE part_a SET marketing_status = 'non_marketing' WHERE id = 1;
SET LOCAL mktcontacts.batch = '';
DELETE FROM part_a WHERE id = 5;
COMMIT;
SELECT key, change, h.role = session_user AS own, h.source_type, label FROM unnest(ARRAY[1, 5]) AS key, mkt.history('contact', key, 'a') AS h LEFT JOIN mkt.batch AS b USING (batch) WHERE change <> 'created' ORDER BY key, change, label;
SELECT label, set_by = 'mkt_helper' AS by_helper, changed FROM mkt.batch WHERE label IN ('first', 'second') ORDER BY label;
DROP OWNED BY mkt_helper;
DROP ROLE mkt_helper;

-- A contact that goes to another partition is one change, or none that is told, however many go.
DELETE FROM contact;
SET mktcontacts.clock = '2026-03-11 12:00+00';
INSERT INTO contact SELECT 'a', i, CASE WHEN i <= 2500 THEN 'marketing' END::mkt.status FROM generate_series(11, 2600) AS i;
SET mktcontacts.batch = 'moved';
UPDATE contact SET account = 'b';
RESET mktcontacts.batch;
SELECT mkt.change_name(was, until, moved) AS change, count(*) FROM mkt.together_contact_history WHERE contact > 10 GROUP BY 1;
SELECT * FROM batches WHERE label = 'moved';
UPDATE contact SET account = 'a', marketing_status = 'non_marketing' WHERE id = 11;
BEGIN;
SAVEPOINT s;
UPDATE contact SET account = 'a' WHERE id = 12;
ROLLBACK TO s;
UPDATE contact SET account = 'a' WHERE id = 13;
SELECT told(11), told(12, 'b'), told(13);
COMMIT;
SELECT told(11), told(12, 'b'), told(13), told(2555);
-- One that has not been marketing, or whose date has passed, becomes so on the way.
INSERT INTO contact VALUES ('a', 6001, 'non_marketing', false), ('a', 6002, 'marketing', true), ('a', 6003, 'marketing', true);
SET mktcontacts.clock = '2026-04-11 12:00+00';
UPDATE contact SET account = 'b', marketing_status = 'marketing' WHERE id IN (6001, 6002);
UPDATE contact SET account = 'b' WHERE id = 6003;
SELECT told(k), mkt.status_at('contact', k, '2026-04-02', 'a') FROM generate_series(6001, 6003) AS k;
SELECT told(k, 'b'), mkt.status_at('contact', k, '2026-04-02', 'b') FROM generate_series(6001, 6003) AS k;
DELETE FROM contact WHERE id > 6000;
SET mktcontacts.clock = '2026-03-11 12:00+00';
-- Deleted and created in one statement, and in two.
WITH gone AS (DELETE FROM contact WHERE id = 14 RETURNING *) INSERT INTO contact SELECT account, id + 5000, marketing_status FROM gone;
BEGIN;
DELETE FROM contact WHERE id = 15;
INSERT INTO contact VALUES ('b', 15, 'marketing');
COMMIT;
SELECT told(14, 'b'), told(5014, 'b'), told(15, 'b');

-- Exceptions in PL/pgSQL, triggers' own statements, and errors in the middle of many rows.
CREATE FUNCTION tries(first integer, last integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    failed integer := 0;
BEGIN
    FOR i IN first..last LOOP
        BEGIN
            INSERT INTO plain VALUES (i, 'a', 'marketing');
            UPDATE plain SET marketing_status = 'non_marketing' WHERE id = i;
            IF i % 2 = 0 THEN
                RAISE 'no';
            END IF;
            IF i % 3 = 0 THEN
                BEGIN
                    UPDATE plain SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id = i;
                    INSERT INTO plain VALUES (i, 'again');
                EXCEPTION WHEN unique_violation THEN
                    failed := failed + 1;
                END;
            END IF;
        EXCEPTION WHEN raise_exception THEN
            failed := failed + 1;
        END;
    END LOOP;
    RETURN failed;
END $$;
SET mktcontacts.batch = 'tries';
SELECT tries(1, 9);
RESET mktcontacts.batch;
SELECT k, of_plain(k) FROM generate_series(1, 9) AS k;
SELECT * FROM batches WHERE label = 'tries';
CREATE FUNCTION cascade() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE plain SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER cascade AFTER UPDATE ON contact FOR EACH ROW WHEN (NEW.account = 'b') EXECUTE FUNCTION cascade();
INSERT INTO plain SELECT i, 'a', 'non_marketing' FROM generate_series(16, 18) AS i;
SET mktcontacts.batch = 'cascade';
UPDATE contact SET marketing_status = 'non_marketing' WHERE id BETWEEN 16 AND 18;
RESET mktcontacts.batch;
SELECT k, told(k, 'b'), of_plain(k) FROM generate_series(16, 18) AS k;
SELECT * FROM batches WHERE label = 'cascade';
DROP TRIGGER cascade ON contact;
UPDATE plain SET marketing_status = 'non_marketing', id = 1 + id / (18 - id) WHERE id >= 16;
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false, account = CASE WHEN id = 18 THEN 'nowhere' ELSE 'a' END WHERE id BETWEEN 16 AND 18;
SELECT k, told(k, 'b'), of_plain(k) FROM generate_series(16, 18) AS k;
SELECT * FROM differences();

-- A call inside a call, by a trigger: each has its own contacts, and its own batch.
CREATE FUNCTION call() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mkt.set_non_marketing('together.plain', ARRAY[NEW.id]);
    RETURN NULL;
END $$;
CREATE TABLE other (id integer PRIMARY KEY);
SELECT mkt.attach('other', account => 'a');
INSERT INTO other SELECT i, 'marketing' FROM generate_series(16, 18) AS i;
CREATE TRIGGER call AFTER UPDATE ON other FOR EACH ROW EXECUTE FUNCTION call();
SELECT changed FROM mkt.set_non_marketing('other', ARRAY[16, 17, 18]);
SELECT count(*), count(DISTINCT batch), count(b.*) FILTER (WHERE b.contacts = 'other'::regclass AND b.changed = 3) AS in_report
FROM mkt.together_other_history AS h LEFT JOIN mkt.batch AS b USING (batch) WHERE h.was IS NOT NULL;
SELECT count(*), count(DISTINCT batch), count(b.*) FILTER (WHERE b.contacts = 'plain'::regclass AND b.changed = 1) AS in_report
FROM mkt.together_plain_history AS h LEFT JOIN mkt.batch AS b USING (batch) WHERE contact BETWEEN 16 AND 18 AND until < 'infinity';

-- Levels as deep as one likes, half of them rolled back; ten thousand statements; a statement that comes after an error.
CREATE FUNCTION deep(level integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO part_a VALUES ('a', 10000 + level, 'marketing');
    BEGIN
        IF level > 0 THEN
            PERFORM deep(level - 1);
        END IF;
        UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 10000 + level;
        IF level = 50 THEN
            RAISE 'back';
        END IF;
    EXCEPTION WHEN raise_exception THEN
        NULL;
    END;
END $$;
SET mktcontacts.batch = 'deep';
SELECT deep(101);
SELECT count(*), min(id), max(id) FROM contact WHERE id >= 10000;
SELECT told(10101), told(10051), told(10050), told(10049);
DO $$
BEGIN
    FOR i IN 1..10000 LOOP
        INSERT INTO plain VALUES (20000 + i, 'a', 'marketing');
    END LOOP;
END $$;
DO $$
BEGIN
    FOR i IN 1..2000 LOOP
        UPDATE part_b SET marketing_status = 'non_marketing' WHERE id = 100 + i;
    END LOOP;
END $$;
RESET mktcontacts.batch;
SELECT * FROM batches WHERE label = 'deep';
SELECT count(*), count(DISTINCT change), count(DISTINCT contact) FROM mkt.together_plain_history WHERE contact > 20000;
SELECT count(*), count(DISTINCT change) FROM mkt.together_contact_history WHERE was = 'infinity' AND until = '2026-04-01' AND contact > 100;

-- Constraints that are checked at the end, and cursors.
CREATE FUNCTION at_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id = NEW.id;
    UPDATE part_a SET marketing_status = 'non_marketing' WHERE id = NEW.id;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER at_end AFTER INSERT ON plain DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.id = 50) EXECUTE FUNCTION at_end();
BEGIN;
INSERT INTO part_a VALUES ('a', 50, 'marketing', true);
INSERT INTO plain VALUES (50, 'a', 'marketing');
SELECT told(50);
COMMIT;
SELECT told(50);
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM contact WHERE id = 13 FOR UPDATE;
FETCH c;
UPDATE contact SET marketing_status = 'non_marketing' WHERE CURRENT OF c;
SELECT told(13);
COMMIT;
SELECT * FROM differences();

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA together CASCADE;
DELETE FROM mkt.batch_report;
