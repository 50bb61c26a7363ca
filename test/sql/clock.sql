-- mktcontacts.clock holds everything at one instant, for whom may set it.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO;
CREATE SCHEMA clock;
SET search_path = clock;
CREATE TABLE contact (id integer PRIMARY KEY);
SELECT mkt.attach('contact', account => 'a');

-- Off, the transaction's time is the present.
SHOW mktcontacts.clock;
SELECT mkt.now() = now() AS of_the_transaction;
SET mktcontacts.clock = '2026-12-01 00:00+01';
SELECT mkt.now();
SET mktcontacts.clock = '2026-12-01 00:00:00.5 Europe/Oslo';
SELECT mkt.now();
SET mktcontacts.clock = '2026-12-01';
SELECT mkt.now();
SET mktcontacts.clock = '';
SELECT mkt.now() = now() AS of_the_transaction;

-- What is no instant is refused, and changes nothing.
SET mktcontacts.clock = '2026-12-01 00:00+00';
SET mktcontacts.clock = 'soon';
SET mktcontacts.clock = '2026-02-30';
SET mktcontacts.clock = 'infinity';
SET mktcontacts.clock = ' ';
SELECT mkt.now();
SET mktcontacts.nonsense = 1;

-- It moves within a transaction, there and back; what was asked before is asked again.
BEGIN;
SET LOCAL mktcontacts.clock = '2026-01-10 00:00+00';
INSERT INTO contact VALUES (1, 'marketing', true);
SAVEPOINT s;
SET LOCAL mktcontacts.clock = '2026-05-10 00:00+00';
INSERT INTO contact VALUES (2, 'marketing', true);
SELECT mkt.billable('a');
ROLLBACK TO s;
SELECT mkt.now(), mkt.billable('a');
INSERT INTO contact VALUES (3, 'marketing', true);
COMMIT;
SELECT mkt.now(), mkt.billable('a');
SELECT id, marketing_until FROM contact ORDER BY id;

-- Functions may hold it for themselves.
CREATE FUNCTION at_new_year() RETURNS timestamptz LANGUAGE sql SET mktcontacts.clock = '2027-01-01 00:00+00' AS 'SELECT mkt.now()';
SELECT at_new_year(), mkt.now();

-- Backwards: what was pending then is pending again.
SET mktcontacts.clock = '2026-01-20 00:00+00';
SELECT mkt.billable('a');

-- Superusers only.
CREATE ROLE mkt_nobody;
SET ROLE mkt_nobody;
SET mktcontacts.clock = '2026-12-01';
RESET mktcontacts.clock;
RESET ROLE;
DROP ROLE mkt_nobody;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DROP SCHEMA clock CASCADE;
