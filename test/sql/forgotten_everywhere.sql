-- mkt.forget() leaves no key of a person behind: history, lists, reviews, workflows, parked contacts.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS mktcontacts;
RESET client_min_messages;
SET timezone = 'UTC';
SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA forgotten;
SET search_path = forgotten;
CREATE TABLE contact (email text PRIMARY KEY, account text, city text);
SELECT mkt.attach('contact', account_column => 'account');
-- keys that are unique within an account only
CREATE TABLE member (account text, email text, PRIMARY KEY (account, email));
SELECT mkt.attach('member', account_column => 'account');
INSERT INTO mkt.account (account, maximum, at_maximum) VALUES ('full', 0, 'park');
INSERT INTO contact SELECT e, CASE WHEN e LIKE 'p%' THEN 'full' ELSE 'a' END, 'Oslo', 'marketing' FROM unnest('{ann@x,bob@x,pia@x,per@x}'::text[]) AS e;
INSERT INTO member VALUES ('a', 'ann@x', 'marketing'), ('b', 'ann@x', 'marketing');
CREATE VIEW keys AS
SELECT 'list' AS what, l.contacts, l.account, m.key FROM mkt.list_member AS m JOIN mkt.list AS l USING (list)
UNION ALL SELECT 'review', r.contacts, r.account, c.key FROM mkt.review_contact AS c JOIN mkt.review AS r USING (review)
UNION ALL SELECT 'workflow', w.contacts, w.account, e.key FROM mkt.enrollment AS e JOIN mkt.workflow AS w USING (workflow)
UNION ALL SELECT 'attempt', w.contacts, w.account, e.key FROM mkt.workflow_attempt AS e JOIN mkt.workflow AS w USING (workflow)
UNION ALL SELECT 'parked', p.contacts, p.account, p.key FROM mkt.parked_contact AS p
UNION ALL SELECT 'history', 'contact', account, contact FROM mkt.forgotten_contact_history
UNION ALL SELECT 'history', 'member', account, contact FROM mkt.forgotten_member_history;
SELECT mkt.create_list('contact', NULL, 'all') > 0, mkt.create_list('member', 'a', 'all') > 0, mkt.create_list('member', 'b', 'all') > 0;
SELECT added FROM mkt.add_to_list('contact', NULL, 'all', '{ann@x,bob@x,pia@x}'::text[]);
SELECT added FROM mkt.add_to_list('member', 'a', 'all', '{ann@x}'::text[]);
SELECT added FROM mkt.add_to_list('member', 'b', 'all', '{ann@x}'::text[]);
SELECT mkt.open_review('contact', 'a') AS review \gset
SELECT * FROM mkt.review_list(:review, 'all');
SELECT mkt.create_workflow('contact', 'a', 'oslo', 'non_marketing', condition => 'city = ''Oslo''') AS workflow \gset
SELECT mkt.switch_on_workflow(:workflow, existing => true);
CALL mkt.run();
INSERT INTO contact VALUES ('eva@x', 'a', 'Oslo');
CALL mkt.run();
SELECT what, contacts, account, key FROM keys ORDER BY what, contacts::text COLLATE "C", account, key;
DELETE FROM contact WHERE email IN ('ann@x', 'eva@x', 'pia@x');
DELETE FROM member WHERE account = 'a';
SELECT mkt.forget('contact', e) FROM unnest('{ann@x,eva@x,pia@x}'::text[]) AS e;
SELECT mkt.forget('member', 'ann@x', 'a');
SELECT what, contacts, account, key FROM keys ORDER BY what, contacts::text COLLATE "C", account, key;
SELECT mkt.billable('a') AS a, mkt.billable('b') AS b, count(*) AS differences FROM mkt.verify();
SET client_min_messages = warning;
SELECT mkt.drop_workflow(:workflow);
DELETE FROM mkt.account;
DROP SCHEMA forgotten CASCADE;
