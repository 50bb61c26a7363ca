# A dump of every kind, restored into a new database with nothing but pg_restore or psql, goes on where it was: with its
# settings and tools, counts and history, batches that can be taken back, reviews that are open, and workflows that are on.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Contacts;
use PostgreSQL::Test::Utils;
use Test::More;

start_server('dump', "mktcontacts.clock = '2026-03-10 12:00+00'");
create_source('source');

my $dumps = PostgreSQL::Test::Utils::tempdir;
my %dump = (
	plain => [ 'pg_dump', '-f', "$dumps/plain", 'source' ],
	custom => [ 'pg_dump', '-Fc', '-f', "$dumps/custom", 'source' ],
	directory => [ 'pg_dump', '-Fd', '-j2', '-f', "$dumps/directory", 'source' ],
	inserts => [ 'pg_dump', '--rows-per-insert=3', '-f', "$dumps/inserts", 'source' ],
);
my %restore = (
	plain => [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dumps/plain", '-d' ],
	custom => [ 'pg_restore', '--exit-on-error', "$dumps/custom", '-d' ],
	directory => [ 'pg_restore', '--exit-on-error', '-j2', "$dumps/directory", '-d' ],
	inserts => [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dumps/inserts", '-d' ],
);
my $before = state('source');

for my $kind (sort keys %dump)
{
	$node->command_ok($dump{$kind}, "$kind: dumped");
	$node->safe_psql('postgres', "CREATE DATABASE $kind");
	$node->command_ok([ @{ $restore{$kind} }, $kind ], "$kind: restored");
	is(state($kind), $before, "$kind: settings, contacts and counts are the same");
	is(verify(undef, $kind), '', "$kind: the counts are those of the contacts");
	takes_back($kind);
	works($kind);
}
is(state('source'), $before, 'the source has not changed');

$node->stop;
done_testing();

sub create_source
{
	my ($db) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, <<'SQL');
CREATE EXTENSION mktcontacts;
CREATE SCHEMA "Crm";
CREATE TYPE "Crm".region AS ENUM ('north', 'south');
CREATE TABLE "Crm"."Contact" (id bigint PRIMARY KEY, account_id integer, label text);
CREATE TABLE a_parted (id integer, region "Crm".region, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE north PARTITION OF a_parted FOR VALUES IN ('north');
CREATE TABLE south PARTITION OF a_parted FOR VALUES IN ('south');
CREATE TABLE z_whole (id uuid PRIMARY KEY);
CREATE TABLE late (id integer PRIMARY KEY, label text);
INSERT INTO late SELECT i, i % 2 FROM generate_series(1, 10) AS i;
SELECT mkt.attach('"Crm"."Contact"', account_column => 'account_id', unsubscribed => 'label = ''u''');
SELECT mkt.attach('a_parted', account_column => 'region');
SELECT mkt.attach('z_whole', account => 'all & one');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT mkt.attach('late', account => 'l', already_marketing => 'label = ''1''');
COMMIT;
INSERT INTO mkt.account (account, edition, commitment, started_on, time_zone)
VALUES ('1', 'starter', 'monthly', '2025-01-15', 'Europe/Oslo'), ('north', NULL, 'annual', '2024-03-20', 'UTC');
INSERT INTO mkt.account (account, count_deleted) VALUES ('south', true), ('all & one', true);
INSERT INTO "Crm"."Contact" SELECT i, nullif(i % 4, 3), 'x', 'marketing', i % 3 = 0 FROM generate_series(1, 40) AS i;
UPDATE "Crm"."Contact" SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id = 3;
INSERT INTO a_parted SELECT i, 'north', 'marketing', i % 2 = 0 FROM generate_series(1, 10) AS i;
INSERT INTO a_parted SELECT i, 'south', 'marketing', i % 2 = 0 FROM generate_series(1, 10) AS i;
INSERT INTO z_whole VALUES (gen_random_uuid(), 'marketing', true), (gen_random_uuid(), NULL, NULL);
SELECT mkt.set_non_marketing('"Crm"."Contact"', ARRAY[1, 2], source_type => 'user');
SELECT mkt.save_filter('"Crm"."Contact"', NULL, 'labelled', '{"filterGroups": [{"filters": [{"propertyName": "label", "operator": "HAS_PROPERTY"}]}]}');
SELECT mkt.save_filter('"Crm"."Contact"', '1', 'early', condition => 'id < 9');
SELECT mkt.create_list('"Crm"."Contact"', '1', 'fair'), mkt.create_list('z_whole', NULL, 'all');
SELECT mkt.add_to_list('"Crm"."Contact"', '1', 'fair', ARRAY[1, 5, 9]);
UPDATE mkt.tool SET created_as = 'marketing' WHERE tool = 'api';
UPDATE mkt.tool SET created_as = 'non_marketing', promotes = 'never' WHERE tool = 'form_submission';
INSERT INTO mkt.tool (tool, created_as, promotes) VALUES ('a bot', 'marketing', 'always'), ('fax', 'non_marketing', 'never');
INSERT INTO mkt.tool_setting VALUES ('1', 'api', 'crm', 'non_marketing'), ('1', 'a bot', NULL, 'non_marketing');
SELECT mkt.set_history('a_parted', kept => '3 months');
CREATE UNLOGGED TABLE quick (id integer PRIMARY KEY);
SELECT mkt.attach('quick', account => 'quick');
SELECT mkt.set_history('quick', false);
SET mktcontacts.clock = '2026-03-11 12:00+00';
SET mktcontacts.batch = 'spring';
UPDATE "Crm"."Contact" SET marketing_status = 'non_marketing', marketing_source_type = 'a bot' WHERE id IN (4, 5, 7, 8);
UPDATE north SET marketing_status = 'marketing', marketing_until_next_update = false;
DELETE FROM "Crm"."Contact" WHERE id = 40;
DELETE FROM south WHERE id = 1;
RESET mktcontacts.batch;
SET mktcontacts.clock = '2026-03-12 12:00+00';
SELECT mkt.fold_counts('mkt."Crm_Contact_count"');
TRUNCATE z_whole;
INSERT INTO z_whole VALUES ('00000000-0000-0000-0000-000000000001', 'marketing', true);
SELECT mkt.open_review('"Crm"."Contact"', '1'), mkt.open_review('"Crm"."Contact"', '2'), mkt.open_review('a_parted', 'south');
SELECT mkt.review_filter(1, 'labelled'), mkt.review_unengaged(1), mkt.review_list(1, 'fair', false), mkt.review_filter(2, 'labelled');
SELECT mkt.apply_review(2), mkt.abandon_review(3);
SELECT mkt.create_workflow('a_parted', 'north', 'late ones', 'non_marketing', condition => 'id > 8', limit_per_day => 9);
SELECT mkt.create_workflow('"Crm"."Contact"', '2', 'labelled', 'marketing', filter => '{"filterGroups": [{"filters": [{"propertyName": "label", "operator": "HAS_PROPERTY"}]}]}', reenroll => true);
SELECT mkt.switch_on_workflow(1, true), mkt.switch_on_workflow(2, false);
INSERT INTO mkt.workflow_attempt (workflow, at, key, contacts, sqlstate, reason) VALUES (1, mkt.now(), '9', 1, '55P03', 'locked');
INSERT INTO mkt.workflow_notice (workflow, at, notice) VALUES (2, mkt.now(), 'it was held');
SQL
}

sub state
{
	my ($db) = @_;

	return $node->safe_psql($db, <<'SQL');
SET mktcontacts.clock = '2026-03-12 12:00+00';
SELECT * FROM mkt.account ORDER BY account;
SELECT contacts, count_table, account, counted, filled, already_marketing, unsubscribed, history, count_history, history_since, history_kept FROM mkt.attachment ORDER BY contacts::text;
SELECT * FROM mkt.tool ORDER BY tool;
SELECT * FROM mkt.tool_setting ORDER BY account, tool, source_name;
SELECT * FROM mkt.usage ORDER BY account;
SELECT a, i, mkt.billable(a, i) FROM mkt.usage AS u (a), unnest(ARRAY['2026-03-11 11:00', '2026-03-11 13:00', '2026-03-14 23:00', '2026-03-20', '2026-04-01']::timestamptz[]) AS i ORDER BY a, i;
SELECT * FROM "Crm"."Contact" ORDER BY id;
SELECT * FROM a_parted ORDER BY region, id;
SELECT * FROM z_whole ORDER BY id;
SELECT * FROM mkt.batch ORDER BY batch;
SELECT * FROM mkt."Crm_Contact_history" ORDER BY change;
SELECT * FROM mkt.public_a_parted_history ORDER BY change;
SELECT h.*, mkt.status_at('z_whole', key, '2026-03-11') FROM unnest(ARRAY['00000000-0000-0000-0000-000000000001']::uuid[]) AS key, mkt.history('z_whole', key) AS h;
SELECT k, h.* FROM generate_series(1, 40) AS k, mkt.history('"Crm"."Contact"', k) AS h ORDER BY k, changed_at, change;
SELECT inhrelid::regclass::text, pg_get_expr(relpartbound, inhrelid) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE relname ~ '_history_' ORDER BY 1;
SELECT last_value, is_called FROM mkt.batch_number;
SELECT last_value, is_called FROM mkt.change_number;
SELECT * FROM mkt.filter ORDER BY contacts::text, name;
SELECT * FROM mkt.list ORDER BY list;
SELECT * FROM mkt.list_member ORDER BY list, key;
SELECT mkt.filter_keys('"Crm"."Contact"', '1', 'early') AS key ORDER BY key;
SELECT mkt.list_keys('"Crm"."Contact"', '1', 'fair') AS key ORDER BY key;
SELECT * FROM mkt.review ORDER BY review;
SELECT * FROM mkt.review_step ORDER BY review, step;
SELECT * FROM mkt.review_contact ORDER BY review, step, key;
SELECT * FROM mkt.review_summary(1);
SELECT * FROM mkt.workflow ORDER BY workflow;
SELECT * FROM mkt.enrollment ORDER BY workflow, key;
SELECT * FROM mkt.workflow_attempt;
SELECT * FROM mkt.workflow_notice;
SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE tgname LIKE 'mkt%' ORDER BY tgrelid::regclass::text, tgname;
SQL
}

# A batch from before goes on and is taken back; tools create what they did; numbers go on from where they were.
sub takes_back
{
	my ($db) = @_;

	is(query(<<'SQL', $db), "1|t\n4|1|0\n5|0|0\n6|user|t\nmarketing|non_marketing|non_marketing\nMK009", "$db: old batches, tools and history go on");
SET mktcontacts.clock = '2026-03-12 12:00+00';
SET mktcontacts.batch = 'spring';
UPDATE "Crm"."Contact" SET marketing_status = 'non_marketing', marketing_source_type = 'a bot' WHERE id = 9;
RESET mktcontacts.batch;
SELECT count(DISTINCT batch), (SELECT max(change) > 2000 FROM mkt."Crm_Contact_history") FROM mkt.batch WHERE label = 'spring' AND contacts = '"Crm"."Contact"'::regclass;
SELECT restored, gone, changed_since FROM mkt.undo((SELECT batch FROM mkt.batch WHERE label = 'spring' AND contacts = '"Crm"."Contact"'::regclass));
SELECT restored, pending, changed_since FROM mkt.undo((SELECT batch FROM mkt.batch WHERE label = 'spring' AND contacts = 'a_parted'::regclass));
SELECT count(DISTINCT batch), max(source_type), max(batch) = (SELECT last_value FROM mkt.batch_number) FROM mkt.batch;
INSERT INTO "Crm"."Contact" (id, account_id, marketing_source_type, marketing_source_name) VALUES (200, 2, 'api', 'crm'), (201, 1, 'api', 'crm'), (202, 1, 'a bot', NULL);
SELECT string_agg(marketing_status::text, '|' ORDER BY id) FROM "Crm"."Contact" WHERE id BETWEEN 200 AND 202;
DELETE FROM "Crm"."Contact" WHERE id >= 200;
DO $$ BEGIN DELETE FROM mkt.tool WHERE tool = 'fax'; DELETE FROM mkt.tool WHERE tool = 'api'; EXCEPTION WHEN SQLSTATE 'MK009' THEN PERFORM set_config('test.refused', SQLSTATE, false); END $$;
SELECT current_setting('test.refused');
SQL
	is(verify('2026-03-12 12:00+00', $db), '', "$db: exactly");
	is(query(<<'SQL', $db), "t\n0|6\n4", "$db: a review goes on, one that was applied is undone, and a new one has a new number");
SET mktcontacts.clock = '2026-03-12 12:00+00';
SELECT s.changed > 4 AND s.changed = a.changed FROM mkt.review_summary(1) AS s, mkt.apply_review(1) AS a;
SELECT changed_since + gone + too_late, restored FROM mkt.review AS r, mkt.undo(r.batch) WHERE r.review = 2;
SELECT mkt.open_review('"Crm"."Contact"', '2');
SQL
	is(verify('2026-03-12 12:00+00', $db), '', "$db: exactly again");
	is(query(<<'SQL', $db), "10|pending\n9|changed\n3", "$db: workflows act on those that waited, and a new one has a new number");
BEGIN;
SET LOCAL mktcontacts.clock = '2026-03-12 13:00+00';
CALL mkt.run();
SELECT key, state FROM mkt.enrollment WHERE workflow = 1 ORDER BY key;
SELECT mkt.create_workflow('a_parted', 'north', 'new', 'marketing', condition => 'true');
ROLLBACK;
SQL
}

# The first statements after the restore, on every path that counts.
sub works
{
	my ($db) = @_;

	is($node->safe_psql($db, <<'SQL'), "1|0|0|1\n2|0\n10|10|2", "$db: contacts change and count as ever");
INSERT INTO "Crm"."Contact" (id, account_id, marketing_status) VALUES (100, 9, 'marketing'), (101, 9, 'marketing');
SELECT changed, already, pending, not_found FROM mkt.set_non_marketing('"Crm"."Contact"', ARRAY[100, 999]);
UPDATE "Crm"."Contact" SET marketing_status = 'non_marketing' WHERE id = 101;
SELECT mkt.billable('9'), mkt.billable('9', '2026-04-01');
UPDATE south SET marketing_status = 'non_marketing';
DELETE FROM north WHERE id > 5;
UPDATE a_parted SET region = 'north' WHERE region = 'south' AND id > 5;
DELETE FROM south WHERE id = 2;
SELECT mkt.billable('north'), (SELECT count(*) FROM a_parted WHERE region = 'north'), (SELECT deleted FROM mkt.usage WHERE account = 'south');
SQL
	is(verify(undef, $db), '', "$db: exactly");
	is($node->safe_psql($db, <<'SQL'), 't', "$db: a new list has a new number");
SELECT mkt.create_list('"Crm"."Contact"', NULL, 'new') > max(list) FROM mkt.list;
SQL
	is($node->safe_psql($db, <<'SQL'), "2026-03-25 00:00:00+00\n0\n5|5", "$db: settings and jobs find the contacts");
UPDATE mkt.account SET started_on = '2025-01-25', time_zone = 'UTC' WHERE account = '1';
SELECT DISTINCT marketing_until FROM "Crm"."Contact" WHERE account_id = 1 AND marketing_until_next_update;
SET mktcontacts.clock = '2026-05-01 00:00+00';
CALL mkt.run();
SELECT count(*) FROM "Crm"."Contact" WHERE marketing_until_next_update;
SELECT billable, non_marketing FROM mkt.usage WHERE account = 'l';
SQL
	is($node->safe_psql($db, 'SET mktcontacts.clock = \'2026-05-01 00:00+00\'; SELECT * FROM mkt.verify()'), '', "$db: and count on");
	$node->safe_psql($db, 'DROP TABLE late; SELECT mkt.detach(\'z_whole\', true); DROP EXTENSION mktcontacts CASCADE');
}
