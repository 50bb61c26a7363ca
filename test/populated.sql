-- A database in use: attached tables, plain, partitioned and of one account, with contacts in every state, histories, lists,
-- filters, reviews, workflows, periods and notices. For tests that need one; run on an empty database by a superuser.
SET client_min_messages = warning;
SET timezone = 'UTC';
SET mktcontacts.clock = '2026-01-10 12:00+00';
CREATE EXTENSION mktcontacts;
CREATE SCHEMA crm;
CREATE TYPE crm.region AS ENUM ('north', 'south', 'far');
CREATE TABLE crm.contact (id bigint PRIMARY KEY, account_id integer, email text, city text, unsubscribed_at date, bounced boolean NOT NULL DEFAULT false, seen_at timestamptz);
CREATE TABLE crm.parted (id integer, region crm.region, label text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE crm.north PARTITION OF crm.parted FOR VALUES IN ('north');
CREATE TABLE crm.south (label text, region crm.region NOT NULL, id integer NOT NULL);
ALTER TABLE crm.parted ATTACH PARTITION crm.south FOR VALUES IN ('south');
CREATE TABLE crm.guest (id uuid PRIMARY KEY, note varchar(20));
CREATE TABLE crm.late (id integer PRIMARY KEY, account varchar(10), was boolean);
INSERT INTO crm.late SELECT i, 'l' || i % 3, i % 2 = 0 FROM generate_series(1, 30) AS i;

SELECT mkt.attach('crm.contact', account_column => 'account_id', unsubscribed => 'unsubscribed_at IS NOT NULL', bounced => 'bounced');
SELECT mkt.attach('crm.parted', account_column => 'region');
SELECT mkt.attach('crm.guest', account => 'guests & others');
SELECT mkt.attach('crm.late', account_column => 'account', already_marketing => 'was');
INSERT INTO mkt.edition (edition) VALUES ('small');
INSERT INTO mkt.increment (edition, valid_from, valid_to, included, increment) VALUES ('small', '-infinity', NULL, 10, 5);
INSERT INTO mkt.price (edition, currency, valid_from, valid_to, mode, base, per_increment)
VALUES ('small', 'EUR', '-infinity', '2026-03-01', 'graduated', 20, 2.5), ('small', 'EUR', '2026-03-01', NULL, 'graduated', 21, 3);
INSERT INTO mkt.account (account, edition, currency, commitment, started_on, time_zone)
VALUES ('1', 'small', 'EUR', 'monthly', '2025-01-15', 'Europe/Oslo'), ('2', 'professional', 'USD', 'annual', '2025-02-20', 'America/New_York'), ('north', NULL, 'EUR', 'annual', '2024-03-20', 'UTC');
INSERT INTO mkt.account (account, count_deleted) VALUES ('south', true), ('guests & others', true);
INSERT INTO mkt.account (account, maximum, at_maximum, contact_limit) VALUES ('3', 20, 'park', 60), ('far', 5, 'refuse', NULL);

INSERT INTO crm.contact SELECT i, nullif(i % 5, 4), 'c' || i || '@example.com', (ARRAY['Oslo', 'Rome', 'Bergen'])[i % 3 + 1],
	CASE WHEN i % 11 = 0 THEN date '2026-01-02' END, i % 13 = 0, timestamptz '2026-01-01 00:00+00' - i * interval '1 day',
	CASE WHEN i % 2 = 0 THEN 'marketing' END::mkt.status, i % 8 = 0 FROM generate_series(1, 200) AS i;
INSERT INTO crm.parted SELECT i, CASE WHEN i % 2 = 0 THEN 'north' ELSE 'south' END::crm.region, 'p' || i, 'marketing', i % 5 = 0 FROM generate_series(1, 60) AS i;
INSERT INTO crm.guest VALUES ('00000000-0000-0000-0000-000000000001', 'one', 'marketing', true), ('00000000-0000-0000-0000-000000000002', 'two', NULL, NULL);
CALL mkt.run();

SELECT mkt.save_filter('crm.contact', NULL, 'in Oslo', '{"filterGroups": [{"filters": [{"propertyName": "city", "operator": "EQ", "value": "Oslo"}]}]}');
SELECT mkt.save_filter('crm.contact', '1', 'early', condition => 'id < 90');
SELECT mkt.create_list('crm.contact', '1', 'fair'), mkt.create_list('crm.guest', NULL, 'all');
SELECT mkt.add_to_list('crm.contact', '1', 'fair', ARRAY[1, 6, 11, 16, 21]);
UPDATE mkt.tool SET created_as = 'marketing' WHERE tool = 'api';
INSERT INTO mkt.tool (tool, created_as, promotes) VALUES ('a bot', 'marketing', 'always'), ('fax', 'non_marketing', 'never');
DELETE FROM mkt.tool WHERE tool = 'fax';
INSERT INTO mkt.tool_setting VALUES ('1', 'api', 'crm', 'non_marketing'), ('1', 'a bot', NULL, 'non_marketing');
DELETE FROM mkt.hubspot_source WHERE label = 'FORMS';
SELECT mkt.set_history('crm.parted', kept => '2 years');

SET mktcontacts.clock = '2026-02-10 12:00+00';
CALL mkt.run();
SET mktcontacts.batch = 'spring';
UPDATE crm.contact SET marketing_status = 'non_marketing', marketing_source_type = 'a bot' WHERE id % 10 IN (2, 6);
INSERT INTO crm.contact (id, account_id, marketing_source_type, marketing_source_name) VALUES (301, 1, 'form_submission', 'a form'), (302, 2, 'api', 'an app');
RESET mktcontacts.batch;
DELETE FROM crm.contact WHERE id BETWEEN 190 AND 195;
DELETE FROM crm.south WHERE id < 9;
UPDATE crm.parted SET region = 'north' WHERE id = 33;
SELECT mkt.merge('crm.contact', 10, 20);
SELECT mkt.set_marketing('crm.contact', ARRAY[1, 2, 3], source_type => 'user', source_name => 'Ann');
SELECT mkt.set_non_marketing('crm.late', query => 'SELECT id FROM crm.late WHERE id > 20');
SELECT mkt.open_review('crm.contact', '1'), mkt.open_review('crm.contact', '2'), mkt.open_review('crm.parted', 'south');
SELECT mkt.review_unengaged(1), mkt.review_list(1, 'fair', false), mkt.review_filter(2, 'in Oslo');
SELECT mkt.apply_review(2), mkt.abandon_review(3);
SELECT mkt.create_workflow('crm.parted', 'north', 'late ones', 'non_marketing', condition => 'id > 40', limit_per_day => 3);
SELECT mkt.create_workflow('crm.contact', '2', 'in Rome', 'marketing', filter => '{"filterGroups": [{"filters": [{"propertyName": "city", "operator": "EQ", "value": "Rome"}]}]}', reenroll => true);
SELECT mkt.switch_on_workflow(1, true), mkt.switch_on_workflow(2, false);
SELECT mkt.request_downgrade('2', 2000) FROM mkt.account_tier WHERE account = '2' AND tier > 2000;

SET mktcontacts.clock = '2026-03-10 12:00+00';
CALL mkt.run();
UPDATE crm.contact SET marketing_status = 'non_marketing' WHERE id BETWEEN 50 AND 70;
UPDATE crm.contact SET city = 'Rome' WHERE id BETWEEN 71 AND 80;
SELECT mkt.undo((SELECT max(batch) FROM mkt.batch WHERE label = 'spring'));
CALL mkt.run();
