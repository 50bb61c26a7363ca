-- A status change leaves the other columns of a row as they are, whatever they are, wherever they stand.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA others;
SET search_path = others;
CREATE TABLE contact (id integer PRIMARY KEY, account text, gone text, small smallint, yes boolean, letter "char", fixed char(3),
                      words text, many numeric, at timestamptz, raw bytea, list integer[], id2 uuid, point point, long text);
ALTER TABLE contact DROP COLUMN gone;
ALTER TABLE contact ALTER long SET STORAGE EXTERNAL;
INSERT INTO contact SELECT i, 'a' || i % 3,
    CASE WHEN i % 2 = 0 THEN i END, CASE WHEN i % 3 > 0 THEN i % 5 = 0 END, CASE WHEN i % 5 > 0 THEN 'x' END, CASE WHEN i % 7 > 0 THEN 'ab' END,
    CASE WHEN i % 11 > 0 THEN repeat('w', i * 3) END, CASE WHEN i % 2 > 0 THEN i / 7.0 END, CASE WHEN i % 13 > 0 THEN '2026-01-01'::timestamptz + i * interval '1 hour' END,
    CASE WHEN i % 4 > 0 THEN decode(repeat('ab', i), 'hex') END, CASE WHEN i % 6 > 0 THEN ARRAY[i, NULL, i + 1] END,
    CASE WHEN i % 8 > 0 THEN md5(i::text)::uuid END, CASE WHEN i % 9 > 0 THEN point(i, -i) END, CASE WHEN i % 10 = 0 THEN repeat('long', 2000) WHEN i % 10 < 5 THEN repeat('s', i) END
FROM generate_series(1, 200) AS i;
SELECT mkt.attach('contact', account_column => 'account');
CREATE VIEW row_data AS SELECT id, account, small, yes, letter, fixed, words, many, at, raw, list, id2, point::text, long FROM contact;
CREATE TABLE before AS TABLE row_data;

-- What differs, and what the rows say of themselves.
CREATE VIEW differences AS SELECT count(*) FROM (TABLE before EXCEPT TABLE row_data) AS d;
CREATE VIEW statuses AS SELECT marketing_status, marketing_until_next_update, marketing_until, count(*), count(marketing_source_type) AS sources
FROM contact GROUP BY 1, 2, 3 ORDER BY 1, 2;
UPDATE contact SET marketing_status = 'marketing';
TABLE statuses; TABLE differences;
UPDATE contact SET marketing_status = 'non_marketing';
TABLE statuses; TABLE differences;
UPDATE contact SET marketing_until_next_update = false;
TABLE statuses; TABLE differences;
SET mktcontacts.source_type = 'workflow';
UPDATE contact SET marketing_until_next_update = true;
RESET mktcontacts.source_type;
TABLE statuses; TABLE differences;
UPDATE contact SET marketing_until_next_update = false;
TABLE statuses; TABLE differences;

-- The same with columns behind ours, with values and without.
ALTER TABLE contact ADD behind integer, ADD further text DEFAULT 'f';
UPDATE contact SET behind = id WHERE id % 2 = 0;
UPDATE contact SET further = NULL WHERE id % 3 = 0;
UPDATE contact SET marketing_source_type = NULL WHERE id % 5 = 0;
UPDATE contact SET marketing_status = 'non_marketing';
TABLE statuses; TABLE differences;
SELECT count(*), sum(behind), count(further) FROM contact;
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false;
TABLE statuses; TABLE differences;

-- Rows that are made new, with and without a status, by statements of one row and of many.
TRUNCATE contact;
INSERT INTO contact (id, account, small, yes, letter, fixed, words, many, at, raw, list, id2, point, long)
SELECT id, account, small, yes, letter, fixed, words, many, at, raw, list, id2, point::point, long FROM before WHERE id <= 50;
INSERT INTO contact (id, account, small, yes, letter, fixed, words, many, at, raw, list, id2, point, long, marketing_status)
SELECT id, account, small, yes, letter, fixed, words, many, at, raw, list, id2, point::point, long, CASE WHEN id % 2 = 0 THEN 'marketing'::mkt.status END FROM before WHERE id BETWEEN 51 AND 100;
INSERT INTO contact (id, account, small, yes, letter, fixed, words, many, at, raw, list, id2, point, long, marketing_status, marketing_until_next_update)
SELECT id, account, small, yes, letter, fixed, words, many, at, raw, list, id2, point::point, long, 'marketing', id % 3 = 0 FROM before WHERE id > 100;
TABLE statuses; TABLE differences;
SELECT * FROM mkt.verify();

SET client_min_messages = warning;
DROP SCHEMA others CASCADE;
