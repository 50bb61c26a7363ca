-- Whoever asks for one account, or for one contact, makes no table be scanned, however the function finds its answer.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS mktcontacts;
RESET client_min_messages;
SET mktcontacts.clock = '2026-03-17 09:00+00';

CREATE SCHEMA scan;
CREATE TABLE scan.contact (id bigint PRIMARY KEY, account_id bigint NOT NULL, email text, left_at timestamptz);
CREATE INDEX ON scan.contact (account_id);
SELECT mkt.attach('scan.contact', account_column => 'account_id', unsubscribed => 'left_at IS NOT NULL');
INSERT INTO mkt.account (account, edition, commitment, started_on, time_zone)
SELECT i::text, 'professional', 'annual', '2024-06-20', 'Europe/Oslo' FROM generate_series(1001, 4000) AS i;
INSERT INTO scan.contact (id, account_id, marketing_status, marketing_until_next_update)
SELECT i, 1001 + i % 3000, 'marketing', i % 3 = 0 FROM generate_series(1, 9000) AS i;
SET mktcontacts.clock = '2026-04-17 09:00+00';
SET client_min_messages = warning;
CALL mkt.run();
RESET client_min_messages;
UPDATE scan.contact SET marketing_status = 'non_marketing' WHERE id % 3 = 1;
VACUUM ANALYZE;

-- Tables of more than 500 rows that this transaction has scanned.
CREATE VIEW scan.scanned AS
SELECT c.oid::regclass AS scanned
FROM pg_catalog.pg_stat_xact_all_tables AS t JOIN pg_catalog.pg_class AS c ON c.oid = t.relid
WHERE t.seq_tup_read > 0 AND c.reltuples > 500 AND c.relnamespace <> 'pg_catalog'::regnamespace
ORDER BY c.relname;

CREATE TABLE scan.read (place int GENERATED ALWAYS AS IDENTITY, query text);
INSERT INTO scan.read (query) VALUES
	('SELECT count(*) FROM scan.contact'),		-- the only one that may, to see that it is noticed
	('SELECT mkt.billable(''1042'')'),
	('SELECT mkt.billable(1042, ''2026-05-02'')'),
	('SELECT mkt.billable(1042, ''2026-03-20'')'),
	('SELECT * FROM mkt.usage WHERE account = ''1042'''),
	('SELECT mkt.next_update(''1042''), mkt.next_renewal(''1042'')'),
	('SELECT * FROM mkt.forecast(''1042'', 3)'),
	('SELECT * FROM mkt.advice(''1042'')'),
	('SELECT mkt.usage_svg(''1042'')'),
	('SELECT * FROM mkt.usage_chart(''1042'')'),
	('SELECT * FROM mkt.source_usage(''1042'')'),
	('SELECT * FROM mkt.unreachable(''1042'')'),
	('SELECT * FROM mkt.unreachable_contact(''1042'')'),
	('SELECT * FROM mkt.period WHERE account = ''1042'''),
	('SELECT * FROM mkt.eligible(''scan.contact'', ''marketing_email'', account => ''1042'')'),
	('SELECT * FROM mkt.eligible(''scan.contact'', ''marketing_email'', keys => ARRAY[7, 42])'),
	('SELECT * FROM mkt.eligible(NULL::scan.contact, ''marketing_email'', account => ''1042'')'),
	('SELECT * FROM mkt.eligibility(''scan.contact'', ''marketing_email'', account => ''1042'')'),
	('SELECT * FROM mkt.can_use(''scan.contact'', 42, ''marketing_email'')'),
	('SELECT * FROM mkt.history(''scan.contact'', 42)'),
	('SELECT * FROM mkt.explain(''scan.contact'', 42)'),
	('SELECT mkt.status_at(''scan.contact'', 42, ''2026-03-20'')'),
	('SELECT mkt.count_matching(''scan.contact'', ''{"filterGroups": [{"filters": [{"propertyName": "email", "operator": "NOT_HAS_PROPERTY"}]}]}'', ''1042'')'),
	('SELECT * FROM mkt.preview_set_non_marketing(''scan.contact'', ARRAY[42, 43])'),
	('SELECT * FROM mkt.set_non_marketing(''scan.contact'', ARRAY[42, 43])');

-- What was scanned before is sent away, so that it is not seen again.
CREATE TABLE scan.found (query text, scanned regclass);
\set ECHO none
SELECT 'COPY (SELECT pg_stat_force_next_flush()) TO ''/dev/null''',
	'BEGIN',
	format('COPY (%s) TO ''/dev/null''', query),
	format('INSERT INTO scan.found SELECT %L, scanned FROM scan.scanned', query),
	'COMMIT'
FROM scan.read ORDER BY place \gexec
\set ECHO all
SELECT * FROM scan.found;

SELECT * FROM mkt.verify();
SET client_min_messages = warning;
SELECT mkt.detach('scan.contact');
DELETE FROM mkt.account WHERE account BETWEEN '1001' AND '4000';
DROP SCHEMA scan CASCADE;
