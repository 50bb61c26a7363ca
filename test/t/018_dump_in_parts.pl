# Parts of a dump: the schema and the data apart, one table, one schema, and all of it by eight sessions at once. What comes with its
# counts is right at once; contacts that come into an attached table are counted by the next mkt.run(); a table that comes alone is
# attached again, with what its columns say. No trigger has to be disabled.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Contacts;
use PostgreSQL::Test::Utils;
use Test::More;

start_server('dump_in_parts', 'max_connections = 30', "mktcontacts.clock = '2026-03-10 12:00+00'");
query('CREATE DATABASE source');
query(<<'SQL', 'source');
CREATE EXTENSION mktcontacts;
CREATE SCHEMA crm;
CREATE TABLE crm.contact (id integer PRIMARY KEY, account text, note text);
CREATE TABLE crm.parted (id integer, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE crm.north PARTITION OF crm.parted FOR VALUES IN ('north');
CREATE TABLE crm.south PARTITION OF crm.parted FOR VALUES IN ('south');
CREATE TABLE other (id integer PRIMARY KEY);
SELECT mkt.attach('crm.contact', account_column => 'account', unsubscribed => 'note = ''gone''');
SELECT mkt.attach('crm.parted', account_column => 'region');
SELECT mkt.attach('other', account => 'o');
INSERT INTO mkt.account (account, edition, commitment, started_on) VALUES ('a', 'professional', 'monthly', '2025-01-15'), ('north', NULL, 'annual', '2024-03-20');
SET mktcontacts.clock = '2026-02-10 12:00+00';
INSERT INTO crm.contact VALUES (0, 'a', 'late', 'marketing', true);
RESET mktcontacts.clock;
INSERT INTO crm.contact SELECT i, nullif('a' || i % 3, 'a2'), 'x', CASE WHEN i % 2 = 0 THEN 'marketing'::mkt.status END, i % 6 = 0 FROM generate_series(1, 60) AS i;
UPDATE crm.contact SET account = 'a' WHERE account = 'a1';
INSERT INTO crm.parted SELECT i, CASE WHEN i % 2 = 0 THEN 'north' ELSE 'south' END, 'marketing', i % 3 = 0 FROM generate_series(1, 20) AS i;
UPDATE crm.parted SET region = 'south' WHERE id = 4;
INSERT INTO other SELECT i, 'marketing', i = 1 FROM generate_series(1, 3) AS i;
SELECT mkt.set_non_marketing('crm.contact', ARRAY[2, 4]);
SELECT mkt.create_list('crm.contact', 'a', 'l'), mkt.add_to_list('crm.contact', 'a', 'l', ARRAY[4, 10]);
SELECT mkt.create_workflow('crm.contact', 'a', 'w', 'marketing', condition => 'id = 1');
SELECT mkt.open_review('crm.contact', 'a'), mkt.review_list(1, 'l');
CALL mkt.run();
SQL
my $before = state('source');
my $dump = PostgreSQL::Test::Utils::tempdir . '/dump';

# Everything, by many sessions.
dump_and_restore('many', [ '-Fd', '-j', '8' ], [ 'pg_restore', '--exit-on-error', '-j', '8' ]);
is(state('many'), $before, 'eight sessions restore everything');
goes_on('many');

# The schema and then the data, in one transaction or by several sessions; no trigger is disabled.
for my $way ([ 'apart', '-1' ], [ 'side_by_side', '-j4' ])
{
	my ($db, $option) = @{$way};

	dump_and_restore($db, [ '-Fc', '--schema-only' ], [ 'pg_restore', '--exit-on-error', '-1' ]);
	dump_and_restore($db, [ '-Fc', '--data-only' ], [ 'pg_restore', '--exit-on-error', $option, '--data-only' ]);
	is(state($db), $before, "$db: schema and data apart");
	goes_on($db);
}

# The data of some tables, which are not attached, or are, and have others.
dump_and_restore('unattached', ['--schema-only'], [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f' ]);
dump_and_restore('unattached', [ '--data-only', '--table=crm.*' ], [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f' ]);
query(q{SELECT mkt.attach('crm.contact', account_column => 'account'); SELECT mkt.attach('crm.parted', account_column => 'region'); CALL mkt.run();}, 'unattached');
is(contacts('unattached'), contacts('source'), 'data of tables that are not attached');
is(query('SELECT * FROM mkt.verify()', 'unattached'), '', 'which are then attached with what they say, exactly');
query('CREATE DATABASE live');
query(<<'SQL', 'live');
CREATE EXTENSION mktcontacts;
CREATE SCHEMA crm;
CREATE TABLE crm.contact (id integer PRIMARY KEY, account text, note text);
CREATE TABLE crm.parted (id integer, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE crm.north PARTITION OF crm.parted FOR VALUES IN ('north');
CREATE TABLE crm.south PARTITION OF crm.parted FOR VALUES IN ('south');
SELECT mkt.attach('crm.contact', account_column => 'account');
SELECT mkt.attach('crm.parted', account_column => 'region');
INSERT INTO crm.contact VALUES (1000, 'a', 'mine', 'marketing');
CALL mkt.run();
SQL
dump_and_restore('live', [ '--data-only', '--table=crm.*' ], [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f' ]);
is(query('DELETE FROM crm.contact WHERE id = 1000; SELECT * FROM crm.contact ORDER BY id; SELECT * FROM crm.parted ORDER BY region, id', 'live'), contacts('source'), 'data of tables that are attached');
is(query(q{SELECT state FROM mkt.status() WHERE item LIKE 'table%'}, 'live'), "to be recounted: rows came from a dump\nto be recounted: rows came from a dump", 'the page says so');
query('CALL mkt.run()', 'live');
is(query('SELECT * FROM mkt.verify(); SELECT * FROM mkt.drift', 'live'), '', 'mkt.run() counts them');
is(query(q{SELECT mkt.billable('a'), mkt.billable('north', '2026-04-01')}, 'live'), query(q{SELECT mkt.billable('a'), mkt.billable('north', '2026-04-01')}, 'source'), 'as they were');

# What comes from a table that is not attached anywhere says nothing of marketing.
is(query(<<'SQL', 'live'), 'non_marketing|f|0', 'data of a table without marketing columns');
SET check_function_bodies = off;
SET row_security = off;
INSERT INTO crm.contact (id, account, note) VALUES (2000, 'y', 'from elsewhere');
CALL mkt.run();
SELECT marketing_status, marketing_until_next_update, (SELECT count(*) FROM mkt.verify()) FROM crm.contact WHERE id = 2000;
SQL

# Nobody but the owner of the table goes around its triggers so.
is(query(<<'SQL', 'live'), "non_marketing|f\nmarketing|t", 'who does not own the table cannot act as a dump');
CREATE ROLE writer;
GRANT USAGE ON SCHEMA crm TO writer;
GRANT INSERT, SELECT ON crm.contact TO writer;
SET ROLE writer;
SET check_function_bodies = off;
SET row_security = off;
INSERT INTO crm.contact (id, account, marketing_status, marketing_until_next_update) VALUES (2001, 'z', 'non_marketing', false), (2002, 'z', 'marketing', true);
SELECT marketing_status, marketing_until IS NOT NULL FROM crm.contact WHERE id > 2000 ORDER BY id;
SQL
is(query(q{SELECT * FROM mkt.verify(); SELECT mkt.billable('z')}, 'live'), '1', 'and is counted');

# One table, and one schema, with and without the extension.
for my $part ([ 'one', '--table=crm.contact' ], [ 'schema', '--schema=crm' ])
{
	my ($db, $option) = @{$part};

	query("CREATE DATABASE $db");
	query('CREATE EXTENSION mktcontacts' . ($db eq 'one' ? '; CREATE SCHEMA crm' : ''), $db);
	dump_and_restore($db, [ '-Fc', $option ], [ 'pg_restore', '--exit-on-error' ]);
	my ($code, undef, $error) = $node->psql($db, q{INSERT INTO crm.contact VALUES (500, 'a')});
	like($error, qr/table crm\.contact is not attached.*SELECT mkt\.attach\('crm\.contact'/s, "$option: who writes it is told what to do");
	query(q{SELECT mkt.attach('crm.contact', account_column => 'account')}, $db);
	query(q{SELECT mkt.attach('crm.parted', account_column => 'region')}, $db) if $db eq 'schema';
	is(query('SELECT * FROM mkt.verify()', $db), '', "$option: attached with what it says");
	is(query('SELECT * FROM crm.contact ORDER BY id', $db), query('SELECT * FROM crm.contact ORDER BY id', 'source'), "$option: its contacts are as they were");
	is(query(q{SELECT mkt.billable('a1') + mkt.billable('a'), mkt.billable('a0', '2026-04-01')}, $db),
		query(q{SELECT mkt.billable('a1') + mkt.billable('a'), mkt.billable('a0', '2026-04-01')}, 'source'), "$option: and counted");
	query(q{INSERT INTO crm.contact VALUES (500, 'a', NULL, 'marketing'); SELECT mkt.set_non_marketing('crm.contact', ARRAY[500]); SET mktcontacts.clock = '2026-05-01'; CALL mkt.run();}, $db);
	is(verify('2026-05-01', $db), '', "$option: it goes on");
}
is(state('source'), $before, 'the source has not changed');
$node->stop;
done_testing();

sub dump_and_restore
{
	my ($db, $options, $restore) = @_;
	my $file = "$dump.$db." . scalar(@{$options}) . int(rand(1e9));

	$node->command_ok([ 'pg_dump', @{$options}, '-f', $file, 'source' ], "$db: dumped @{$options}");
	query("CREATE DATABASE $db") if query("SELECT count(*) FROM pg_database WHERE datname = '$db'") eq '0';
	$node->command_ok([ @{$restore}, $file, '-d', $db ], "$db: restored");
}

sub contacts
{
	my ($db) = @_;

	return query('SELECT * FROM crm.contact ORDER BY id; SELECT * FROM crm.parted ORDER BY region, id', $db);
}

sub state
{
	my ($db) = @_;

	return contacts($db) . query(<<'SQL', $db);
SELECT * FROM other ORDER BY id;
SELECT * FROM mkt.account ORDER BY account;
SELECT contacts, count_table, account, counted, filled, unsubscribed, history, count_history, history_since FROM mkt.attachment ORDER BY contacts::text;
SELECT * FROM mkt.usage ORDER BY account;
SELECT a, i, mkt.billable(a, i) FROM mkt.usage AS u (a), unnest(ARRAY['2026-03-10 12:00', '2026-03-15', '2026-04-01']::timestamptz[]) AS i ORDER BY a, i;
SELECT * FROM mkt.crm_contact_history ORDER BY change;
SELECT * FROM mkt.crm_parted_history ORDER BY change;
SELECT * FROM mkt.batch ORDER BY batch;
SELECT * FROM mkt.list_member ORDER BY list, key;
SELECT * FROM mkt.review_summary(1);
SELECT * FROM mkt.workflow;
SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE tgname LIKE 'mkt%' ORDER BY tgrelid::regclass::text, tgname;
SELECT c.oid::regclass, c.relreplident FROM pg_class AS c WHERE relnamespace = 'mkt'::regnamespace AND relkind = 'r' ORDER BY c.oid::regclass::text;
SELECT * FROM mkt.verify();
SQL
}

sub goes_on
{
	my ($db) = @_;

	is(query(<<'SQL', $db), "0\n0\n0\n0", "$db: goes on exactly");
CALL mkt.run();
SELECT count(*) FROM mkt.drift;
UPDATE crm.contact SET marketing_status = 'non_marketing' WHERE id < 20;
DELETE FROM crm.parted WHERE id = 6;
UPDATE crm.parted SET region = 'north' WHERE region = 'south' AND id < 8;
SELECT mkt.apply_review(1) IS NULL AS none WHERE false;
SET mktcontacts.clock = '2026-05-01 00:00+00';
CALL mkt.run();
SELECT count(*) FROM crm.contact WHERE marketing_until_next_update;
SELECT count(*) FROM mkt.run_log WHERE failed > 0;
SELECT count(*) FROM mkt.verify();
SQL
}
