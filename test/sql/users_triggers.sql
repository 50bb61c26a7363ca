-- BEFORE triggers of the user's own, which change or skip rows, before and after ours: what is stored in the end is counted.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA triggers;
SET search_path = triggers;
CREATE TABLE contact (id integer PRIMARY KEY, account text, wish text);
SELECT mkt.attach('contact', account_column => 'account');
CREATE FUNCTION counts(OUT "N" bigint, OUT "M" bigint, OUT "P" bigint, OUT billable bigint, OUT later bigint, OUT differences bigint)
LANGUAGE sql AS $$
    SELECT count(*) FILTER (WHERE marketing_status = 'non_marketing'),
           count(*) FILTER (WHERE marketing_status = 'marketing' AND NOT marketing_until_next_update),
           count(*) FILTER (WHERE marketing_until_next_update),
           mkt.billable('a'), mkt.billable('a', '2026-04-01'), (SELECT count(*) FROM mkt.verify())
    FROM contact WHERE account = 'a';
$$;

-- It does as the row wishes.
CREATE FUNCTION grant_wish() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    CASE NEW.wish
        WHEN 'skip' THEN RETURN NULL;
        WHEN 'up' THEN NEW.marketing_status := 'marketing'; NEW.marketing_until_next_update := false;
        WHEN 'down' THEN NEW.marketing_status := 'non_marketing';
        WHEN 'all down' THEN NEW.marketing_status := 'non_marketing'; NEW.marketing_until_next_update := false; NEW.marketing_until := NULL;
        WHEN 'null' THEN NEW.marketing_status := NULL; NEW.marketing_until_next_update := NULL;
        WHEN 'nonsense' THEN NEW.marketing_until := '2030-01-01';
        WHEN 'move' THEN NEW.account := 'b';
        WHEN 'error' THEN RAISE 'an error of the trigger';
        ELSE NULL;
    END CASE;
    RETURN NEW;
END $$;

-- Before ours: a wish like the statement's own.
CREATE TRIGGER a_wish BEFORE INSERT OR UPDATE ON contact FOR EACH ROW EXECUTE FUNCTION grant_wish();
INSERT INTO contact (id, account, wish, marketing_status) VALUES (1, 'a', 'up', NULL), (2, 'a', 'down', 'marketing'), (3, 'a', 'skip', 'marketing'),
    (4, 'a', 'null', 'marketing'), (5, 'a', 'nonsense', 'marketing'), (6, 'a', 'move', 'marketing'), (7, 'a', NULL, 'marketing');
SELECT id, account, wish, marketing_status, marketing_until FROM contact ORDER BY id;
SELECT * FROM counts();
UPDATE contact SET wish = 'down' WHERE id IN (1, 2);
UPDATE contact SET wish = 'up' WHERE id = 4;
UPDATE contact SET wish = 'skip', marketing_status = 'non_marketing' WHERE id = 5;
UPDATE contact SET wish = 'move' WHERE id = 7;
UPDATE contact SET wish = 'null' WHERE id = 1;
SELECT id, account, wish, marketing_status, marketing_until FROM contact ORDER BY id;
SELECT * FROM counts();

-- A statement that touches no marketing column, and a trigger that does.
UPDATE contact SET id = id + 10, wish = CASE WHEN id = 1 THEN 'up' WHEN id = 4 THEN 'move' END;
SELECT id, account, wish, marketing_status, marketing_until FROM contact ORDER BY id;
SELECT * FROM counts();
DROP TRIGGER a_wish ON contact;

-- After ours: it may skip rows, take contacts up and move them ...
CREATE TRIGGER z_wish BEFORE INSERT OR UPDATE ON contact FOR EACH ROW EXECUTE FUNCTION grant_wish();
DELETE FROM contact;
INSERT INTO contact (id, account, wish, marketing_status) VALUES (1, 'a', 'skip', 'marketing'), (2, 'a', 'all down', 'marketing'),
    (3, 'a', 'move', 'marketing'), (4, 'a', 'up', NULL), (5, 'a', NULL, 'marketing'), (6, 'a', NULL, NULL);
SELECT * FROM counts();
UPDATE contact SET wish = 'skip', marketing_status = 'non_marketing' WHERE id = 5;
UPDATE contact SET wish = 'up' WHERE id = 6;
UPDATE contact SET wish = 'move' WHERE id = 4;
SELECT id, account, wish, marketing_status, marketing_until FROM contact ORDER BY id;
SELECT * FROM counts();
-- ... but neither make a contact non-marketing at once (T8) nor store what no state is (S3).
\set VERBOSITY default
UPDATE contact SET wish = 'all down' WHERE id = 5;
\echo :SQLSTATE
UPDATE contact SET wish = 'down', marketing_status = 'non_marketing' WHERE id = 5;
\echo :SQLSTATE
UPDATE contact SET wish = 'nonsense' WHERE id = 5;
\echo :SQLSTATE
UPDATE contact SET wish = 'null' WHERE id = 5;
INSERT INTO contact (id, account, wish) VALUES (7, 'a', 'nonsense');
INSERT INTO contact (id, account, wish, marketing_status) VALUES (7, 'a', NULL, 'marketing'), (8, 'a', 'error', 'marketing');
SELECT * FROM counts();
DROP TRIGGER z_wish ON contact;

-- One on each side, and a conflict between them.
CREATE TRIGGER a_wish BEFORE INSERT OR UPDATE ON contact FOR EACH ROW WHEN (NEW.wish = 'down') EXECUTE FUNCTION grant_wish();
CREATE TRIGGER z_wish BEFORE UPDATE ON contact FOR EACH ROW WHEN (NEW.wish = 'skip') EXECUTE FUNCTION grant_wish();
INSERT INTO contact AS c (id, account, wish, marketing_status) VALUES (5, 'a', 'down', 'marketing'), (6, 'a', 'skip', 'marketing'), (9, 'a', 'down', 'marketing')
ON CONFLICT (id) DO UPDATE SET wish = EXCLUDED.wish, marketing_status = EXCLUDED.marketing_status;
SELECT id, account, wish, marketing_status, marketing_until FROM contact ORDER BY id;
SELECT * FROM counts();
COPY contact (id, account, wish, marketing_status) FROM stdin;
10	a	down	marketing
11	a	skip	marketing
\.
SELECT * FROM counts();

-- DELETE that is skipped, and one that a trigger turns into an update.
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.id = 9 THEN RETURN NULL; END IF;
    IF OLD.id = 10 THEN
        UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false, wish = 'stay' WHERE id = 11;
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER keep BEFORE DELETE ON contact FOR EACH ROW EXECUTE FUNCTION keep();
DELETE FROM contact WHERE id IN (9, 10);
SELECT id FROM contact WHERE id >= 9 ORDER BY id;
SELECT * FROM counts();
DROP TRIGGER keep ON contact;

-- A trigger that updates the row that is being updated: PostgreSQL refuses, or its own update wins; both are counted right.
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id = NEW.id AND wish IS DISTINCT FROM 'stop';
    RETURN NEW;
END $$;
CREATE TRIGGER meddle BEFORE UPDATE ON contact FOR EACH ROW WHEN (NEW.wish = 'meddle') EXECUTE FUNCTION meddle();
UPDATE contact SET wish = 'meddle', marketing_status = 'non_marketing' WHERE id = 5;
DROP TRIGGER meddle ON contact;
CREATE TRIGGER meddle AFTER INSERT OR UPDATE ON contact FOR EACH ROW WHEN (NEW.wish = 'meddle' AND pg_trigger_depth() = 0) EXECUTE FUNCTION meddle();
UPDATE contact SET wish = 'meddle', marketing_status = 'non_marketing' WHERE id = 5;
INSERT INTO contact (id, account, wish) VALUES (12, 'a', 'meddle');
SELECT id, account, wish, marketing_status, marketing_until FROM contact WHERE id IN (5, 12) ORDER BY id;
SELECT * FROM counts();

-- A rule that does something else instead.
CREATE RULE elsewhere AS ON DELETE TO contact WHERE OLD.id = 12 DO INSTEAD UPDATE contact SET marketing_status = 'non_marketing' WHERE id = OLD.id;
DELETE FROM contact WHERE id IN (11, 12);
SELECT * FROM counts();

-- COPY, with a trigger behind ours; and into a table that has our constraint no longer.
CREATE TRIGGER zz_copy BEFORE INSERT ON contact FOR EACH ROW WHEN (NEW.wish = 'nothing') EXECUTE FUNCTION keep();
COPY contact (id, account, marketing_status) FROM stdin;
21	a	marketing
22	a	\N
\.
ALTER TABLE contact DROP CONSTRAINT mkt_state;
INSERT INTO contact (id, account, marketing_status) VALUES (23, 'a', 'marketing');
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 21;
SELECT id, marketing_status, marketing_until FROM contact WHERE id > 20 ORDER BY id;
SELECT * FROM counts();

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA triggers CASCADE;
