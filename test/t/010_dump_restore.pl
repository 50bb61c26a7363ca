# A dump of every kind, restored into a new database with nothing but pg_restore or psql, counts on where it was.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('dump');
$node->init(extra => [ '--locale=C', '--encoding=UTF8' ]);
$node->append_conf('postgresql.conf', "timezone = 'UTC'\nmktcontacts.clock = '2026-03-10 12:00+00'\n");
$node->start;
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
	is(verify($kind), '', "$kind: the counts are those of the contacts");
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
SQL
}

sub state
{
	my ($db) = @_;

	return $node->safe_psql($db, <<'SQL');
SELECT * FROM mkt.account ORDER BY account;
SELECT contacts, count_table, account, counted, filled, already_marketing, unsubscribed FROM mkt.attachment ORDER BY contacts::text;
SELECT * FROM mkt.usage ORDER BY account;
SELECT a, i, mkt.billable(a, i) FROM mkt.usage AS u (a), unnest(ARRAY['2026-03-14 23:00', '2026-03-20', '2026-04-01']::timestamptz[]) AS i ORDER BY a, i;
SELECT * FROM "Crm"."Contact" ORDER BY id;
SELECT * FROM a_parted ORDER BY region, id;
SELECT * FROM z_whole ORDER BY id;
SELECT * FROM mkt.batch ORDER BY batch;
SELECT * FROM mkt.filter ORDER BY contacts::text, name;
SELECT * FROM mkt.list ORDER BY list;
SELECT * FROM mkt.list_member ORDER BY list, key;
SELECT mkt.filter_keys('"Crm"."Contact"', '1', 'early') AS key ORDER BY key;
SELECT mkt.list_keys('"Crm"."Contact"', '1', 'fair') AS key ORDER BY key;
SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE tgname LIKE 'mkt%' ORDER BY tgrelid::regclass::text, tgname;
SQL
}

sub verify
{
	my ($db) = @_;

	return $node->safe_psql($db, 'SELECT * FROM mkt.verify()');
}

# The first statements after the restore, on every path that counts.
sub works
{
	my ($db) = @_;

	is($node->safe_psql($db, <<'SQL'), "1|0|0|1\n2|0\n10|10", "$db: contacts change and count as ever");
INSERT INTO "Crm"."Contact" (id, account_id, marketing_status) VALUES (100, 9, 'marketing'), (101, 9, 'marketing');
SELECT changed, already, pending, not_found FROM mkt.set_non_marketing('"Crm"."Contact"', ARRAY[100, 999]);
UPDATE "Crm"."Contact" SET marketing_status = 'non_marketing' WHERE id = 101;
SELECT mkt.billable('9'), mkt.billable('9', '2026-04-01');
UPDATE south SET marketing_status = 'non_marketing';
DELETE FROM north WHERE id > 5;
UPDATE a_parted SET region = 'north' WHERE region = 'south' AND id > 5;
SELECT mkt.billable('north'), (SELECT count(*) FROM a_parted WHERE region = 'north');
SQL
	is(verify($db), '', "$db: exactly");
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
