# A transaction that stays open for long, beside heavy writing: what it may still see cannot be removed, but readers of a count pass it
# by; the transaction sees the counts of its snapshot, and the tables become small again when it has ended. Another one stays open that
# has written to the account itself.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Contacts;
use Test::More;

start_server('long_transaction', 'max_connections = 40', 'autovacuum_naptime = 1s');
query(<<'SQL');
CREATE EXTENSION mktcontacts;
CREATE TABLE contact (id integer PRIMARY KEY, account text, note text);
SELECT mkt.attach('contact', account_column => 'account');
INSERT INTO contact SELECT i, 'a' || i % 4, NULL, 'marketing' FROM generate_series(1, 4000) AS i;
CALL mkt.run();
VACUUM ANALYZE mkt.public_contact_count;
SQL

my $long = $node->background_psql('postgres');
my $seen = $long->query(q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT mkt.billable('a0'), mkt.billable('a0', '2099-01-01')});
my $writer = $node->background_psql('postgres');
$writer->query(q{BEGIN; INSERT INTO contact VALUES (-1, 'a0', NULL, 'marketing')});
my $writing = pgbench(script('write', <<'SQL'), 6, 10, \my $output);
\set id random(1, 8000)
\set account random(0, 3)
INSERT INTO contact (id, account, marketing_status) VALUES (:id, 'a' || :account, 'marketing') ON CONFLICT (id) DO UPDATE SET marketing_status = 'non_marketing';
UPDATE contact SET account = 'a' || :account WHERE id = 8001 - :id;
DELETE FROM contact WHERE id = :id AND id % 3 = 0;
SQL
my $running = pgbench(script('run', "CALL mkt.run();\n\\sleep 200 ms\n"), 1, 10);
my $exact = 1;
for (1 .. 3)
{
	$exact &&= verify() eq '';
	is($long->query(q{SELECT mkt.billable('a0'), mkt.billable('a0', '2099-01-01')}), $seen, 'the transaction sees its own counts');
	is($long->query('SELECT * FROM mkt.verify()'), '', 'which are those of the contacts that it sees');
}
ok($exact, 'all others see theirs');
ok($writing->finish, 'nobody who wrote failed');
my ($written) = $output =~ /number of transactions actually processed: (\d+)/;
ok($running->finish, 'nor did mkt.run()');
my $dead = query(q{SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = 'mkt.public_contact_count'::regclass});
cmp_ok($dead, '>', 5000, 'deleted rows have gathered');
cmp_ok(pages_read(), '<', 2500, 'few are met by who reads a count');
$writer->query('COMMIT');
$writer->quit;
is(verify(), '', 'exactly');
is(query(q{SELECT mkt.billable('a0') - count(*) FROM contact WHERE account = 'a0' AND marketing_status = 'marketing'}), '0', 'with what was written last');
$long->query('COMMIT');
$long->quit;

query('CALL mkt.run()') for 1 .. 2;
query('VACUUM mkt.public_contact_count');
cmp_ok(query('SELECT count(*) FROM mkt.public_contact_count'), '<', 40, 'folding has caught up');
is(verify(), '', 'exactly');
cmp_ok(pages_read(), '<', 50, 'and less is read');
$node->stop;
done_testing();

# By mkt.billable(), by a session that has found everything else already.
sub pages_read
{
	my $plan = query(q{SELECT mkt.billable('a0'); EXPLAIN (ANALYZE, BUFFERS) SELECT mkt.billable('a0')});
	my ($pages) = $plan =~ /shared hit=(\d+)/;
	return $pages // die $plan;
}
