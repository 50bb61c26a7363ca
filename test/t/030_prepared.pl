# Prepared transactions: their counts come and go with them, also through a crash.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('prepared');
$node->init(extra => [ '--locale=C', '--encoding=UTF8' ]);
$node->append_conf('postgresql.conf', "timezone = 'UTC'\nmax_prepared_transactions = 10\nmktcontacts.clock = '2026-03-10 12:00+00'\n");
$node->start;
query(<<'SQL');
CREATE EXTENSION mktcontacts;
CREATE TABLE contact (id integer PRIMARY KEY, account text) PARTITION BY RANGE (id);
CREATE TABLE low PARTITION OF contact FOR VALUES FROM (0) TO (100);
CREATE TABLE high PARTITION OF contact FOR VALUES FROM (100) TO (1000);
SELECT mkt.attach('contact', account_column => 'account');
INSERT INTO mkt.account (account, commitment, started_on) VALUES ('a', 'monthly', '2025-01-15');
INSERT INTO contact SELECT i, 'a', 'marketing' FROM generate_series(1, 10) AS i;
SQL

# What a transaction does before it is prepared, and the counts (now, on 15 March, of b) when it is committed.
my @cases = (
	[ 'a statement', q{INSERT INTO contact VALUES (11, 'a', 'marketing')}, '11|11|0' ],
	[ 'a statement on a partition itself', q{UPDATE low SET marketing_status = 'non_marketing' WHERE id = 1}, '10|9|0' ],
	[ 'statements on partitions and in savepoints', <<'SQL', '8|8|1' ],
DELETE FROM low WHERE id = 1;
SAVEPOINT s;
DELETE FROM low WHERE id = 2;
ROLLBACK TO s;
SAVEPOINT t;
UPDATE low SET account = 'b' WHERE id = 3;
RELEASE t
SQL
	[ 'a statement that empties the table', 'INSERT INTO low VALUES (12, \'a\', \'marketing\'); TRUNCATE contact; INSERT INTO low VALUES (1, \'b\', \'marketing\')', '0|0|1' ],
);
for my $case (@cases)
{
	my ($name, $statements, $committed) = @$case;

	for my $crash (0, 1)
	{
		for my $end ('ROLLBACK', 'COMMIT')
		{
			my $what = "$name, " . ($crash ? 'crash, ' : '') . lc $end;

			query(q{DELETE FROM contact; INSERT INTO contact SELECT i, 'a', 'marketing' FROM generate_series(1, 10) AS i});
			query("BEGIN; $statements; PREPARE TRANSACTION 'p'");
			if ($name !~ /empties/)
			{
				is(counts(), '10|10|0', "$what: nothing before the end");
				is(verify(), '', "$what: exactly");
			}
			if ($crash)
			{
				$node->stop('immediate');
				$node->start;
			}
			query("$end PREPARED 'p'");
			is(counts(), $end eq 'COMMIT' ? $committed : '10|10|0', "$what: counts");
			is(verify(), '', "$what: exact");
		}
	}
}

# A contact that a prepared transaction made pending gets the date of settings that change meanwhile: they wait for it.
query(q{DELETE FROM contact; INSERT INTO contact SELECT i, 'a', 'marketing' FROM generate_series(1, 10) AS i});
query(q{BEGIN; UPDATE low SET marketing_status = 'non_marketing' WHERE id = 1; PREPARE TRANSACTION 'p'});
kill_server();
$node->start;
my ($status, $output, $error) = $node->psql('postgres', q{SET lock_timeout = '200ms'; UPDATE mkt.account SET started_on = '2025-01-20'});
like($error, qr/lock timeout/, 'settings wait for a prepared transaction');
query(q{COMMIT PREPARED 'p'});
query(q{UPDATE mkt.account SET started_on = '2025-01-20'});
is(query('SELECT id, marketing_until FROM contact WHERE marketing_until_next_update'), '1|2026-03-20 00:00:00+00', 'and then date its contacts');
is(verify(), '', 'exactly');

# Jobs among prepared transactions leave alone what these have locked.
query(q{BEGIN; UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id = 1; DELETE FROM low WHERE id = 2; PREPARE TRANSACTION 'p'});
query(q{SET mktcontacts.clock = '2026-04-01 00:00+00'; CALL mkt.run()});
query(q{ROLLBACK PREPARED 'p'});
is(verify(), '', 'exact after jobs and rollback');
query(q{SET mktcontacts.clock = '2026-04-01 00:00+00'; CALL mkt.run()});
is(query('SELECT count(*) FROM contact WHERE marketing_until_next_update'), '0', 'the next run takes what was locked');
is(verify(), '', 'exactly');

$node->stop;
done_testing();

# Without the chance to write anything; it is gone when this returns.
sub kill_server
{
	my ($pid) = split(/\n/, slurp_file($node->data_dir . '/postmaster.pid'));

	$node->kill9;
	for (1 .. 600)
	{
		return if !kill(0, $pid);
		usleep(50_000);
	}
	die 'the server is still there';
}

sub query
{
	my ($sql) = @_;

	return $node->safe_psql('postgres', $sql);
}

sub counts
{
	return query(q{SELECT mkt.billable('a'), mkt.billable('a', '2026-03-15'), mkt.billable('b')});
}

sub verify
{
	return query('SELECT * FROM mkt.verify()');
}
