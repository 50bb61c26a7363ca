-- A contact that is deleted from a partition and one that is created in another are two, though the key be the same;
-- one that an UPDATE takes there has moved.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA moves;
SET search_path = moves;
CREATE TABLE contact (account text, id integer, note text, PRIMARY KEY (account, id)) PARTITION BY LIST (account);
CREATE TABLE contact_a PARTITION OF contact FOR VALUES IN ('a');
CREATE TABLE contact_b PARTITION OF contact FOR VALUES IN ('b') PARTITION BY HASH (id);
CREATE TABLE contact_b0 PARTITION OF contact_b FOR VALUES WITH (MODULUS 1, REMAINDER 0);
SELECT mkt.attach('contact', account_column => 'account');
CREATE VIEW told AS
SELECT contact, mkt.change_name(was, until, moved), was, until, from_account, account, batch
FROM mkt.moves_contact_history ORDER BY contact, change;

-- two statements on partitions
INSERT INTO contact SELECT 'a', i, NULL, 'marketing' FROM generate_series(1, 12) i;
DELETE FROM mkt.moves_contact_history;
BEGIN;
DELETE FROM contact_a WHERE id = 1;
INSERT INTO contact_a VALUES ('a', 1, NULL, 'non_marketing');
DELETE FROM contact_a WHERE id = 2;
INSERT INTO contact_b VALUES ('b', 2, NULL, 'marketing');
COMMIT;
-- one statement that does both
MERGE INTO contact AS c USING (VALUES ('a', 3), ('b', 3)) AS s (account, id) ON c.id = s.id AND c.account = s.account
WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (account, id, marketing_status) VALUES (s.account, s.id, 'marketing');
WITH gone AS (DELETE FROM contact WHERE id = 4 RETURNING *)
INSERT INTO contact SELECT 'b', id, note, marketing_status FROM gone;
-- moves: by the table, by MERGE, and of one created just now
UPDATE contact SET account = 'b' WHERE id = 5;
MERGE INTO contact AS c USING (VALUES ('a', 6)) AS s (account, id) ON c.id = s.id AND c.account = s.account
WHEN MATCHED THEN UPDATE SET account = 'b';
BEGIN;
INSERT INTO contact VALUES ('a', 20, NULL, 'marketing');
SAVEPOINT s;
UPDATE contact SET account = 'b' WHERE id = 20;
UPDATE contact SET account = 'a' WHERE id = 20;
RELEASE s;
UPDATE contact SET account = 'b' WHERE id = 20;
COMMIT;
SELECT * FROM told;
SELECT * FROM mkt.verify();

-- a trigger of one's own that runs statements in between changes nothing
CREATE TABLE seen (id integer);
CREATE FUNCTION busy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO seen VALUES (COALESCE(NEW.id, OLD.id));
	RETURN COALESCE(NEW, OLD);
END $$;
CREATE TRIGGER a_busy BEFORE INSERT OR DELETE OR UPDATE ON contact FOR EACH ROW EXECUTE FUNCTION busy();
CREATE TRIGGER z_busy AFTER INSERT OR DELETE OR UPDATE ON contact FOR EACH ROW EXECUTE FUNCTION busy();
DELETE FROM mkt.moves_contact_history;
SET mktcontacts.source_type = 'user';
UPDATE contact SET account = 'b' WHERE id IN (7, 8, 9);
SELECT id, marketing_source_type FROM contact WHERE id IN (7, 8, 9) ORDER BY id;
-- and what has not moved is new, and has the session's source
BEGIN;
SAVEPOINT s;
UPDATE contact SET account = 'b' WHERE id = 10;
ROLLBACK TO s;
INSERT INTO contact VALUES ('b', 10);
SELECT account, marketing_source_type FROM contact WHERE id = 10 ORDER BY account;
ROLLBACK;
RESET mktcontacts.source_type;
-- nor one that lets a row leave and not arrive
CREATE FUNCTION drop_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER drop_row BEFORE INSERT ON contact_b0 FOR EACH ROW WHEN (NEW.note = 'drop') EXECUTE FUNCTION drop_row();
BEGIN;
UPDATE contact SET account = 'b', note = 'drop' WHERE id = 10;
INSERT INTO contact_b VALUES ('b', 10, NULL, 'marketing');
COMMIT;
SELECT * FROM told;
SELECT * FROM mkt.verify();

-- a label's batch counts what was deleted and what was created
SET mktcontacts.batch = 'swap';
BEGIN;
DELETE FROM contact_a WHERE id = 11;
INSERT INTO contact_b VALUES ('b', 11, NULL, 'marketing');
COMMIT;
UPDATE contact SET account = 'b' WHERE id = 12;
SELECT label, changed FROM mkt.batch WHERE label = 'swap';

-- nor does one come from a partition that has been dropped since
CREATE TABLE contact_c PARTITION OF contact FOR VALUES IN ('c');
INSERT INTO contact VALUES ('c', 90, NULL, 'marketing');
BEGIN;
SET LOCAL mktcontacts.source_type = 'api';
UPDATE contact_c SET note = 'x' WHERE id = 90;
DROP TABLE contact_c;
CREATE TABLE contact_c_again PARTITION OF contact FOR VALUES IN ('c');
INSERT INTO contact VALUES ('c', 90, NULL, 'non_marketing');
SELECT marketing_status, marketing_source_type FROM contact WHERE id = 90;
ROLLBACK;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA moves CASCADE;
DELETE FROM mkt.batch_report;
