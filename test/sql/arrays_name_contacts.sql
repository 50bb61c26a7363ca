-- A contact with a key of several columns has a history, a past and an explanation as any other; the key is given as an array.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA arrays;
SET search_path = arrays;
CREATE DOMAIN region AS varchar(2);
CREATE TABLE lead (region region, id integer, account text, PRIMARY KEY (region, id));
CREATE TABLE own (account text, region text, id integer, PRIMARY KEY (account, region, id));
SELECT mkt.attach('lead', account_column => 'account'), mkt.attach('own', account_column => 'account');
INSERT INTO lead VALUES ('eu', 7, 'a', 'marketing'), ('us', 7, 'a', 'marketing'), ('it', 8, 'b', 'non_marketing');
INSERT INTO own VALUES ('a', 'eu', 1, 'marketing'), ('b', 'eu', 1, 'non_marketing');

SET mktcontacts.clock = '2026-03-12 12:00+00';
UPDATE lead SET marketing_status = 'non_marketing' WHERE region = 'eu';
UPDATE lead SET marketing_status = 'marketing' WHERE region = 'it';
SELECT mkt.status_at('lead', '{eu,7}') AS now, mkt.status_at('lead', '{eu,7}', '2026-04-01') AS later,
	mkt.status_at('lead', '{it,8}', '2026-03-11') AS before, mkt.status_at('lead', '{it, "8"}') AS it,
	mkt.status_at('lead', '{eu,7}', account => 'a') AS a, mkt.status_at('lead', '{eu,7}', account => 'b') AS b, mkt.status_at('lead', '{eu,8}') AS nobody;
SELECT contact, state, counts, since, may_use, explanation FROM mkt.explain('lead', '{eu,7}') \gx
SELECT a.*, b.* FROM mkt.can_use('lead', '{us,7}', 'marketing_email') AS a, mkt.can_use('own', '{eu,1}', 'marketing_email', 'b') AS b;
SELECT * FROM mkt.can_use('lead', '{us,7}', 'marketing_email', 'b');

-- Where the key is unique within an account only, the account is part of the question.
SELECT mkt.status_at('own', '{eu,1}');
SELECT * FROM mkt.history('own', '{eu,1}');
SELECT mkt.status_at('own', '{eu,1}', account => 'a') AS a, mkt.status_at('own', '{eu,1}', account => 'b') AS b;
SELECT change, account_after FROM mkt.history('own', '{eu,1}', 'a');
SELECT change, account_after FROM mkt.history('own', '{eu,1}', 'b');
SELECT account_of, explanation FROM mkt.explain('own', '{eu,1}', 'b');

-- A maximum keeps one contact back, and not its namesake in another account.
INSERT INTO mkt.account (account, maximum, at_maximum) VALUES ('b', 1, 'park');
UPDATE own SET marketing_status = 'marketing' WHERE account = 'b';
INSERT INTO own VALUES ('c', 'eu', 1);
SELECT account_of, explanation FROM mkt.explain('own', '{"eu","1"}', 'b');
SELECT account_of, explanation FROM mkt.explain('own', '{eu,1}', 'c');
DELETE FROM mkt.account WHERE account = 'b';

-- What is no key of this table.
SELECT mkt.status_at('lead', 7);
SELECT mkt.explain('lead', 'eu,7');
SELECT * FROM mkt.history('lead', '{eu}');
SELECT * FROM mkt.history('lead', '{eu,NULL}');
SELECT * FROM mkt.can_use('lead', '{eu,7,8}', 'marketing_email');
SELECT mkt.status_at('lead', '{eu,seven}');
SELECT mkt.status_at('lead', '{eu,7');
SELECT * FROM mkt.explain('lead', '{eu,70}');

-- Under row-level security, too, each sees the past of what he sees.
CREATE ROLE regress_arrays;
GRANT USAGE ON SCHEMA arrays TO regress_arrays;
GRANT SELECT ON lead TO regress_arrays;
ALTER TABLE lead ENABLE ROW LEVEL SECURITY;
CREATE POLICY b ON lead USING (account = 'b');
UPDATE lead SET account = 'b' WHERE region = 'us';
SET ROLE regress_arrays;
SELECT change, account_after FROM mkt.history('lead', '{us,7}');
SELECT count(*) FROM mkt.history('lead', '{eu,7}');
SELECT mkt.status_at('lead', '{eu,7}') AS hidden, mkt.status_at('lead', '{us,7}') AS seen, mkt.status_at('lead', '{us,7}', '2026-03-11') AS elsewhere;
SELECT contact, account_of FROM mkt.explain('lead', '{us,7}');
SELECT contact, account_of FROM mkt.explain('lead', '{eu,7}');
RESET ROLE;

SELECT mkt.forget('lead', '{us,7}');
SELECT count(*) FROM mkt.history('lead', '{us,7}');
SELECT * FROM mkt.verify();
SET client_min_messages = warning;
DELETE FROM mkt.parked_contact;
DROP SCHEMA arrays CASCADE;
DROP ROLE regress_arrays;
