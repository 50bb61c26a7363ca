# Logical replication: a publisher with attached tables goes on as before, also when it publishes all tables; a subscriber counts
# what the initial copy and the changes bring, by whatever way its tables came to be attached, and goes on alone afterwards.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Contacts;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @settings = ("mktcontacts.clock = '2026-03-10 12:00+00'", 'wal_level = logical', 'max_wal_senders = 20', 'max_replication_slots = 20', 'max_worker_processes = 16', 'max_logical_replication_workers = 12',
	'max_sync_workers_per_subscription = 4', 'wal_retrieve_retry_interval = 100ms');
start_server('publisher', @settings);
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init(extra => [ '--locale=C', '--encoding=UTF8' ]);
$subscriber->append_conf('postgresql.conf', join("\n", "timezone = 'UTC'", @settings, ''));
$subscriber->start;

my $tables = <<'SQL';
CREATE TABLE contact (id integer PRIMARY KEY, account text, note text);
CREATE TABLE parted (id integer, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE north PARTITION OF parted FOR VALUES IN ('north');
CREATE TABLE south PARTITION OF parted FOR VALUES IN ('south');
CREATE TABLE leaves (id integer PRIMARY KEY, account text) PARTITION BY RANGE (id);
CREATE TABLE low PARTITION OF leaves FOR VALUES FROM (0) TO (100);
CREATE TABLE high PARTITION OF leaves FOR VALUES FROM (100) TO (200);
CREATE TABLE whole (id integer PRIMARY KEY);
SQL
my $attach = <<'SQL';
SELECT mkt.attach('contact', account_column => 'account');
SELECT mkt.attach('parted', account_column => 'region');
SELECT mkt.attach('leaves', account_column => 'account');
SELECT mkt.attach('whole', account => 'w');
SQL
my $publish = <<'SQL';
CREATE PUBLICATION root FOR TABLE contact, parted, whole WITH (publish_via_partition_root = true);
CREATE PUBLICATION leaf FOR TABLE leaves;
SQL
my $settings = <<'SQL';
INSERT INTO mkt.account (account, edition, commitment, started_on) VALUES ('a', 'professional', 'monthly', '2025-01-15'), ('north', NULL, 'annual', '2024-03-20');
SQL

both_attached();
attached_later();
publisher_not_attached();
moved_by_dump();
all_tables();
$subscriber->stop;
$node->stop;
done_testing();

# ---- the scenarios ----

sub both_attached
{
	my $db = create('attached', "CREATE EXTENSION mktcontacts; $tables $attach $settings", "CREATE EXTENSION mktcontacts; $tables $attach $settings");

	fill($db);
	query($publish, $db);
	subscribe($db);
	same($db, 'the initial copy is counted');
	is(at_subscriber($db, q{SELECT count(*) FROM mkt.history('contact', 2)}), '1', 'and is in the history');
	is(at_subscriber($db, q{SELECT DISTINCT tgenabled FROM pg_trigger WHERE tgname LIKE 'mkt\_%'}), 'A', 'all triggers fire for replicated rows');
	is(at_subscriber($db, q{SELECT DISTINCT state, to_type FROM mkt.status() WHERE item LIKE 'table %'}), 'to be recounted: its partitions or its triggers are not what they were|CALL mkt.run();',
		'the page says what happened');

	change($db);
	same($db, 'changes are counted');
	is(at_subscriber($db, 'SELECT change, source_type FROM mkt.history(\'contact\', 5)'), query('SELECT change, source_type FROM mkt.history(\'contact\', 5)', $db), 'and are in the history');
	is(at_subscriber($db, 'CALL mkt.run(); SELECT count(*) FROM mkt.drift'), '0', 'a recount finds nothing');
	is(at_subscriber($db, q{SELECT DISTINCT state FROM mkt.status() WHERE item LIKE 'table %'}), 'attached, triggers enabled', 'and the page nothing to do');

	# an account at its maximum here does not stop what was let pass there
	at_subscriber($db, q{INSERT INTO mkt.account (account, maximum, contact_limit) VALUES ('b', 1, 2)});
	query(q{INSERT INTO contact SELECT i, 'b', NULL, 'marketing' FROM generate_series(500, 520) AS i}, $db);
	same($db, 'beyond a maximum');
	my ($code, undef, $error) = $subscriber->psql($db, q{INSERT INTO contact VALUES (999, 'b', NULL, 'marketing')});
	like($error, qr/maximum/, 'which holds for the statements of the subscriber');

	# both bring up to date what is due, in any order; a new partition, a changed primary key, an emptied table
	for my $first ($node, $subscriber)
	{
		my $second = $first == $node ? $subscriber : $node;
		my $clock = $first == $node ? '2026-03-20 00:00+00' : '2026-04-20 00:00+00';

		$_->safe_psql($db, "SET mktcontacts.clock = '$clock'; CALL mkt.run()") for $first, $second;
		same($db, 'each has applied what is due', $clock);
		query(q{UPDATE contact SET marketing_status = 'non_marketing' WHERE id BETWEEN 510 AND 515}, $db);
	}
	for my $server ($node, $subscriber)
	{
		$server->safe_psql($db, q{CREATE TABLE east PARTITION OF parted FOR VALUES IN ('east'); CREATE TABLE top PARTITION OF leaves FOR VALUES FROM (200) TO (300)});
	}
	$subscriber->safe_psql($db, 'ALTER SUBSCRIPTION attached_sub REFRESH PUBLICATION');
	query(<<'SQL', $db);
INSERT INTO parted VALUES (1, 'east', 'marketing');
UPDATE parted SET region = 'east' WHERE id = 3;
INSERT INTO leaves VALUES (250, 'a', 'marketing');
UPDATE contact SET id = 1000 WHERE id = 500;
TRUNCATE whole;
INSERT INTO whole VALUES (7, 'marketing');
SQL
	same($db, 'new partitions and an emptied table are counted');

	# a dump's data with triggers disabled leaves them enabled in the ordinary way
	$subscriber->safe_psql($db, 'ALTER TABLE contact DISABLE TRIGGER ALL; ALTER TABLE contact ENABLE TRIGGER ALL; CALL mkt.run()');
	query(q{INSERT INTO contact VALUES (2000, 'a', NULL, 'marketing')}, $db);
	same($db, 'the triggers of a subscribed table fire again');
	$subscriber->safe_psql($db, 'ALTER EVENT TRIGGER mktcontacts_altered DISABLE; ALTER TABLE contact DISABLE TRIGGER ALL; ALTER TABLE contact ENABLE TRIGGER ALL');
	is(at_subscriber($db, q{SELECT string_agg(DISTINCT tgenabled::text, ',') FROM pg_trigger WHERE tgrelid = 'contact'::regclass AND tgname LIKE 'mkt\_%'}), 'O', 'not without the event trigger');
	$subscriber->safe_psql($db, 'CALL mkt.run(); ALTER EVENT TRIGGER mktcontacts_altered ENABLE');
	query(q{INSERT INTO contact VALUES (2001, 'a', NULL, 'marketing')}, $db);
	same($db, 'mkt.run() sees to that, too');
	alone($db);
}

# The table is subscribed to already, and has its contacts.
sub attached_later
{
	my $db = create('later', "CREATE EXTENSION mktcontacts; $tables $attach", <<"SQL");
CREATE EXTENSION mktcontacts;
$tables
ALTER TABLE contact ADD marketing_status mkt.status, ADD marketing_until_next_update boolean, ADD marketing_until timestamptz, ADD marketing_source_type text, ADD marketing_source_name text;
ALTER TABLE parted ADD marketing_status mkt.status, ADD marketing_until_next_update boolean, ADD marketing_until timestamptz, ADD marketing_source_type text, ADD marketing_source_name text;
ALTER TABLE leaves ADD marketing_status mkt.status, ADD marketing_until_next_update boolean, ADD marketing_until timestamptz, ADD marketing_source_type text, ADD marketing_source_name text;
ALTER TABLE whole ADD marketing_status mkt.status, ADD marketing_until_next_update boolean, ADD marketing_until timestamptz, ADD marketing_source_type text, ADD marketing_source_name text;
SQL

	fill($db);
	query($publish, $db);
	subscribe($db);
	at_subscriber($db, $attach);
	same($db, 'a table that is subscribed to is attached');
	change($db);
	same($db, 'and counted on');
	alone($db);
}

# The contacts come from elsewhere; what is marketing is decided by the subscriber.
sub publisher_not_attached
{
	my $db = create('elsewhere', $tables, "CREATE EXTENSION mktcontacts; $tables $attach $settings UPDATE mkt.tool SET created_as = 'marketing' WHERE tool = 'api'");

	query(q{INSERT INTO contact SELECT i, 'a' FROM generate_series(1, 20) AS i; INSERT INTO parted SELECT i, 'north' FROM generate_series(1, 20) AS i}, $db);
	query($publish, $db);
	subscribe($db);
	is(at_subscriber($db, q{SELECT account, billable, non_marketing FROM mkt.usage ORDER BY account}), "a|0|20\nnorth|0|20", 'who comes without a status is non-marketing');
	at_subscriber($db, q{UPDATE contact SET marketing_status = 'marketing' WHERE id <= 10; UPDATE contact SET marketing_status = 'non_marketing' WHERE id <= 5; UPDATE parted SET marketing_status = 'marketing'});
	query(<<'SQL', $db);
UPDATE contact SET note = 'x';
UPDATE contact SET account = 'b' WHERE id IN (1, 10, 20);
DELETE FROM contact WHERE id IN (2, 9, 19);
INSERT INTO contact VALUES (21, 'b');
DELETE FROM parted WHERE id > 15;
SQL
	caught_up($db);
	is(at_subscriber($db, q{SELECT account, billable, non_marketing, pending, billable_after_update FROM mkt.usage ORDER BY account}), "a|6|8|3|3\nb|2|2|1|1\nnorth|15|0|0|15",
		'the statuses that are set here stay, and the contacts are counted');
	is(at_subscriber($db, 'SELECT id, marketing_until FROM contact WHERE marketing_until_next_update ORDER BY id'),
		"1|2026-04-01 00:00:00+00\n3|2026-03-15 00:00:00+00\n4|2026-03-15 00:00:00+00\n5|2026-03-15 00:00:00+00", 'who moves to another account gets its date');
	is($subscriber->safe_psql($db, 'SELECT * FROM mkt.verify()'), '', 'exactly');
	alone($db);
}

# As one moves to a new server: all but the contacts by pg_dump, with their history, and the contacts by replication.
sub moved_by_dump
{
	my $db = create('moved', "CREATE EXTENSION mktcontacts; $tables $attach $settings", '');
	my $dump = PostgreSQL::Test::Utils::tempdir . '/moved.sql';

	fill($db);
	query($publish . q{SELECT mkt.create_workflow('contact', 'a', 'w', 'marketing', condition => 'id = 1'); CALL mkt.run();}, $db);
	$node->command_ok([ 'pg_dump', '--no-publications', '--exclude-table-data=public.*', '-f', $dump, $db ], 'dumped without the contacts');
	$subscriber->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $db ], 'and restored');
	subscribe($db);
	at_subscriber($db, 'CALL mkt.run()');
	same($db, 'mkt.run() has mended the counts, which came with the dump and once more with the contacts');
	is(at_subscriber($db, 'SELECT count(*) FROM mkt.drift'), '0', 'nobody else has to');
	change($db);
	same($db, 'and change');
	is(at_subscriber($db, 'SELECT account, edition, started_on FROM mkt.account ORDER BY account; SELECT workflow, name FROM mkt.workflow'),
		query('SELECT account, edition, started_on FROM mkt.account ORDER BY account; SELECT workflow, name FROM mkt.workflow', $db), 'the settings are the same');
	alone($db);
}

# Our own tables are published, too: nothing that writes them fails for it.
sub all_tables
{
	my $db = create('everything', "CREATE EXTENSION mktcontacts; $tables $attach $settings CREATE PUBLICATION everything FOR ALL TABLES", '');
	my ($code, undef, $error);

	fill($db);
	($code, undef, $error) = $node->psql($db, <<'SQL', on_error_stop => 1);
SELECT mkt.create_list('contact', 'a', 'l');
SELECT mkt.add_to_list('contact', 'a', 'l', ARRAY[1, 2, 3]);
SELECT mkt.remove_from_list('contact', 'a', 'l', ARRAY[1]);
SELECT mkt.save_filter('contact', NULL, 'f', condition => 'id < 10');
SELECT mkt.save_filter('contact', NULL, 'f', condition => 'id < 11');
SELECT mkt.create_workflow('contact', 'a', 'w', 'marketing', condition => 'id = 1');
SELECT mkt.switch_on_workflow(1, true);
SELECT mkt.open_review('contact', 'a'), mkt.review_filter(1, 'f');
SELECT mkt.apply_review(1);
SELECT mkt.undo(batch) FROM mkt.review;
CALL mkt.run();
SET mktcontacts.clock = '2026-06-20';
CALL mkt.run();
INSERT INTO mkt.tool_setting VALUES ('a', 'api', NULL, 'marketing');
UPDATE mkt.tool_setting SET created_as = 'non_marketing';
UPDATE mkt.account SET started_on = '2025-01-16';
SELECT mkt.forget('contact', 5);
SELECT mkt.merge('contact', 6, 10);
SET session_replication_role = replica;
DELETE FROM contact WHERE id = 8;
RESET session_replication_role;
SET mktcontacts.check_every = 0;
CALL mkt.run();
SELECT mkt.repair();
CALL mkt.run();
TRUNCATE contact;
SELECT mkt.detach('contact');
SQL
	is($error =~ s/^psql:[^\n]*(?:NOTICE|WARNING:  the counts of table)[^\n]*\n(?:(?:DETAIL|HINT):[^\n]*\n?)*//grm, '', 'everything works with a publication of all tables');
	is(query('SELECT count(*) FROM mkt.run_log WHERE failed > 0', $db), '0', 'mkt.run() did all that is due');
	is(query(q{SELECT c.oid::regclass FROM pg_class AS c WHERE relnamespace = 'mkt'::regnamespace AND relkind IN ('r', 'p') AND relreplident <> 'f'
		AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary) AND NOT (relkind = 'p' AND relreplident = 'd')}, $db),
		'', 'no table of ours lacks what tells its rows apart');
}

# ---- what they have in common ----

sub create
{
	my ($db, $here, $there) = @_;

	$_->safe_psql('postgres', "CREATE DATABASE $db") for $node, $subscriber;
	query($here, $db);
	$subscriber->safe_psql($db, $there) if $there;
	return $db;
}

# Contacts of every state, one of them out of date.
sub fill
{
	my ($db) = @_;

	query(<<'SQL', $db);
SET mktcontacts.clock = '2026-02-10 12:00+00';
INSERT INTO contact VALUES (0, 'a', 'late', 'marketing', true);
RESET mktcontacts.clock;
INSERT INTO contact SELECT i, nullif('a' || i % 4, 'a3'), 'x', CASE WHEN i % 2 = 0 THEN 'marketing'::mkt.status END, i % 6 = 0 FROM generate_series(1, 60) AS i;
UPDATE contact SET account = 'a' WHERE account = 'a1';
INSERT INTO contact SELECT i, 'a', 'x', 'marketing', i % 3 = 0, NULL, 'api', 'crm' FROM generate_series(61, 80) AS i;
INSERT INTO parted SELECT i, CASE WHEN i % 2 = 0 THEN 'north' ELSE 'south' END, 'marketing', i % 3 = 0 FROM generate_series(1, 20) AS i;
INSERT INTO leaves SELECT i, 'a', 'marketing', i % 3 = 0 FROM generate_series(90, 110) AS i;
INSERT INTO whole SELECT i, 'marketing', i = 1 FROM generate_series(1, 5) AS i;
SQL
}

# Statements of every kind.
sub change
{
	my ($db) = @_;

	query(<<'SQL', $db);
INSERT INTO contact SELECT i, 'a', 'y', 'marketing' FROM generate_series(101, 130) AS i;
UPDATE contact SET marketing_status = 'non_marketing', marketing_source_type = 'user' WHERE id IN (2, 5, 101, 102);
UPDATE contact SET marketing_status = 'marketing' WHERE id IN (0, 3, 5);
UPDATE contact SET account = 'b' WHERE id IN (4, 6, 7);
UPDATE contact SET note = 'touched' WHERE id < 30;
DELETE FROM contact WHERE id IN (8, 9, 12);
BEGIN;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 120;
SAVEPOINT s;
DELETE FROM contact;
ROLLBACK TO s;
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id = 120;
DELETE FROM contact WHERE id = 121;
INSERT INTO contact VALUES (121, 'b', 'again');
COMMIT;
UPDATE parted SET region = 'south' WHERE id = 4;
UPDATE parted SET marketing_status = 'non_marketing' WHERE id > 15;
DELETE FROM north WHERE id = 6;
UPDATE leaves SET id = id + 20 WHERE id = 95;
UPDATE leaves SET marketing_status = 'non_marketing' WHERE id > 105;
TRUNCATE whole;
INSERT INTO whole VALUES (6, 'marketing');
SET mktcontacts.clock = '2026-03-15 00:00+00';
CALL mkt.apply_updates();
INSERT INTO contact VALUES (131, 'a', 'after', 'marketing', true);
COPY contact (id, account, marketing_status, marketing_until_next_update) FROM stdin;
140	a	marketing	t
141	b	marketing	f
\.
SQL
}

sub subscribe
{
	my ($db) = @_;
	my $publications = 'root, leaf';

	$subscriber->safe_psql($db, "CREATE SUBSCRIPTION ${db}_sub CONNECTION '" . $node->connstr . " dbname=$db' PUBLICATION $publications");
	$subscriber->wait_for_subscription_sync($node, "${db}_sub", $db) if $subscriber->can('wait_for_subscription_sync');
	$subscriber->poll_query_until($db, q{SELECT count(*) = 0 FROM pg_subscription_rel WHERE srsubstate NOT IN ('r', 's')});
	caught_up($db);
}

sub caught_up
{
	my ($db) = @_;

	$node->wait_for_catchup("${db}_sub");
	$subscriber->poll_query_until($db, q{SELECT count(*) = 0 FROM pg_subscription_rel WHERE srsubstate NOT IN ('r', 's')});
	$node->wait_for_catchup("${db}_sub");
}

sub at_subscriber
{
	my ($db, $sql) = @_;

	return $subscriber->safe_psql($db, $sql);
}

# The subscriber's contacts and counts are those of the publisher, and exact.
sub same
{
	my ($db, $what, $clock) = @_;
	my $state = 'SET mktcontacts.clock = \'' . ($clock // '2026-03-10 12:00+00') . "';" . <<'SQL';
SELECT * FROM contact ORDER BY id;
SELECT * FROM parted ORDER BY region, id;
SELECT * FROM leaves ORDER BY id;
SELECT * FROM whole ORDER BY id;
SELECT account, billable, non_marketing, pending, total FROM mkt.usage WHERE total > 0 ORDER BY account;
SELECT a, i, mkt.billable(a, i) FROM unnest(ARRAY['a', 'a0', 'a2', 'b', 'north', 'south', 'w']) AS a, unnest(ARRAY['2026-04-20', '2026-05-01']::timestamptz[]) AS i ORDER BY a, i;
SQL

	caught_up($db);
	is(at_subscriber($db, $state), query($state, $db), "$db: $what");
	is(at_subscriber($db, 'SELECT * FROM mkt.verify()'), '', "$db: exactly");
	is(query('SELECT * FROM mkt.verify()', $db), '', "$db: at the publisher, too");
}

# Without its publisher, the subscriber is a server like any other.
sub alone
{
	my ($db) = @_;

	$subscriber->safe_psql($db, "DROP SUBSCRIPTION ${db}_sub");
	is(at_subscriber($db, <<'SQL'), "t\n0", "$db: alone, it changes contacts and applies what is due");
INSERT INTO contact (id, account, marketing_status) VALUES (3001, 'c', 'marketing'), (3002, 'c', 'marketing');
SELECT mkt.set_non_marketing('contact', ARRAY[3001]) IS NOT NULL;
UPDATE parted SET region = 'south' WHERE region = 'north' AND id < 12;
DELETE FROM high WHERE id > 110;
SET mktcontacts.clock = '2026-09-01 00:00+00';
CALL mkt.run();
SELECT count(*) FROM contact WHERE marketing_until_next_update;
SQL
	is($subscriber->safe_psql($db, q{SET mktcontacts.clock = '2026-09-01 00:00+00'; SELECT * FROM mkt.verify(); SELECT mkt.billable('c') - 1}), '0', "$db: and counts exactly");
}
