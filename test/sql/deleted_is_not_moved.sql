-- A contact that is deleted from a partition and one that is created in another
-- are two, though the key be the same; one that an UPDATE takes there has moved.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET client_min_messages = warning;
SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE EXTENSION mktcontacts;
CREATE SCHEMA crm;

CREATE TABLE crm.contact (account text, id integer, note text, PRIMARY KEY (account, id)) PARTITION BY LIST (account);
CREATE TABLE crm.contact_a PARTITION OF crm.contact FOR VALUES IN ('a');
CREATE TABLE crm.contact_b PARTITION OF crm.contact FOR VALUES IN ('b') PARTITION BY HASH (id);
CREATE TABLE crm.contact_b0 PARTITION OF crm.contact_b FOR VALUES WITH (MODULUS 1, REMAINDER 0);
SELECT mkt.attach('crm.contact', account_column => 'account');
CREATE VIEW crm.told AS
SELECT contact, mkt.change_name(was, until, moved), was, until, from_account, account, batch
FROM mkt.crm_contact_history ORDER BY contact, change;

-- two statements on partitions
INSERT INTO crm.contact SELECT 'a', i, NULL, 'marketing' FROM generate_series(1, 12) i;
DELETE FROM mkt.crm_contact_history;
BEGIN;
DELETE FROM crm.contact_a WHERE id = 1;
INSERT INTO crm.contact_a VALUES ('a', 1, NULL, 'non_marketing');
DELETE FROM crm.contact_a WHERE id = 2;
INSERT INTO crm.contact_b VALUES ('b', 2, NULL, 'marketing');
COMMIT;
-- one statement that does both
MERGE INTO crm.contact AS c USING (VALUES ('a', 3), ('b', 3)) AS s (account, id) ON c.id = s.id AND c.account = s.account
WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (account, id, marketing_status) VALUES (s.account, s.id, 'marketing');
WITH gone AS (DELETE FROM crm.contact WHERE id = 4 RETURNING *)
INSERT INTO crm.contact SELECT 'b', id, note, marketing_status FROM gone;
-- moves: by the table, by a partitioned partition's root, by MERGE, and of one created just now
UPDATE crm.contact SET account = 'b' WHERE id = 5;
MERGE INTO crm.contact AS c USING (VALUES ('a', 6)) AS s (account, id) ON c.id = s.id AND c.account = s.account
WHEN MATCHED THEN UPDATE SET account = 'b';
BEGIN;
INSERT INTO crm.contact VALUES ('a', 20, NULL, 'marketing');
SAVEPOINT s;
UPDATE crm.contact SET account = 'b' WHERE id = 20;
UPDATE crm.contact SET account = 'a' WHERE id = 20;
RELEASE s;
UPDATE crm.contact SET account = 'b' WHERE id = 20;
COMMIT;
SELECT * FROM crm.told;
SELECT * FROM mkt.verify();

-- a trigger of one's own that runs statements in between changes nothing
CREATE FUNCTION crm.busy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	CREATE TEMP TABLE IF NOT EXISTS seen (id integer);
	INSERT INTO seen VALUES (COALESCE(NEW.id, OLD.id));
	RETURN COALESCE(NEW, OLD);
END $$;
CREATE TRIGGER a_busy BEFORE INSERT OR DELETE OR UPDATE ON crm.contact FOR EACH ROW EXECUTE FUNCTION crm.busy();
CREATE TRIGGER z_busy AFTER INSERT OR DELETE OR UPDATE ON crm.contact FOR EACH ROW EXECUTE FUNCTION crm.busy();
DELETE FROM mkt.crm_contact_history;
SET mktcontacts.source_type = 'user';
UPDATE crm.contact SET account = 'b' WHERE id IN (7, 8, 9);
SELECT id, marketing_source_type FROM crm.contact WHERE id IN (7, 8, 9) ORDER BY id;
-- and what has not moved is new, and has the session's source
BEGIN;
SAVEPOINT s;
UPDATE crm.contact SET account = 'b' WHERE id = 10;
ROLLBACK TO s;
INSERT INTO crm.contact VALUES ('b', 10);
SELECT account, marketing_source_type FROM crm.contact WHERE id = 10 ORDER BY account;
ROLLBACK;
RESET mktcontacts.source_type;
-- nor one that lets a row leave and not arrive
CREATE FUNCTION crm.drop_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER drop_row BEFORE INSERT ON crm.contact_b0 FOR EACH ROW WHEN (NEW.note = 'drop') EXECUTE FUNCTION crm.drop_row();
BEGIN;
UPDATE crm.contact SET account = 'b', note = 'drop' WHERE id = 10;
INSERT INTO crm.contact_b VALUES ('b', 10, NULL, 'marketing');
COMMIT;
SELECT * FROM crm.told;
SELECT * FROM mkt.verify();

-- a label's batch counts what was deleted and what was created
SET mktcontacts.batch = 'swap';
BEGIN;
DELETE FROM crm.contact_a WHERE id = 11;
INSERT INTO crm.contact_b VALUES ('b', 11, NULL, 'marketing');
COMMIT;
UPDATE crm.contact SET account = 'b' WHERE id = 12;
SELECT label, changed FROM mkt.batch;

RESET client_min_messages;
SET client_min_messages = error;
DROP SCHEMA crm CASCADE;
DROP EXTENSION mktcontacts;
