# The server or one of its processes dies at any moment while contacts are written, applied and folded: after recovery the
# counts are exact, the histories end at what is there, and the job goes on where it was. Then writers with ledgers, of whose
# transactions, notices, periods and workflows nothing is lost and nothing doubled (crash.py): CRASHES times, by default 4.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Contacts;
use Test::More;
use Time::HiRes qw(usleep);

my $python = '/usr/bin/python3';
my $crashes = $ENV{CRASHES} || 4;

start_server('crash', 'restart_after_crash = on', 'max_connections = 40', 'max_prepared_transactions = 20');
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION mktcontacts;
CREATE TABLE contact (id serial PRIMARY KEY, account integer, note text);
CREATE TABLE parted (id serial, account integer, PRIMARY KEY (id)) PARTITION BY HASH (id);
CREATE TABLE part_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE part_1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE UNLOGGED TABLE quick (id serial PRIMARY KEY, account integer);
CREATE TABLE plain (id serial PRIMARY KEY, account integer);
SELECT mkt.attach(t, account_column => 'account') FROM unnest(ARRAY['contact', 'parted', 'quick', 'plain']::regclass[]) AS t;
SELECT mkt.set_history(t, false) FROM unnest(ARRAY['quick', 'plain']::regclass[]) AS t;
INSERT INTO contact (account, marketing_status) SELECT i % 5, 'marketing' FROM generate_series(1, 2000) AS i;
INSERT INTO parted (account, marketing_status) SELECT i % 5, 'marketing' FROM generate_series(1, 2000) AS i;
SQL

my $writes = script('writes', <<'SQL');
\set id random(1, 2000)
\set account random(0, 4)
BEGIN;
INSERT INTO contact (account, marketing_status) VALUES (:account, 'marketing');
SAVEPOINT s;
UPDATE part_0 SET marketing_status = 'non_marketing' WHERE id = :id;
DELETE FROM parted WHERE id = (SELECT min(id) FROM parted WHERE id > :id);
ROLLBACK TO s;
UPDATE part_1 SET account = :account WHERE id = :id;
INSERT INTO quick (account, marketing_status) VALUES (:account, 'marketing');
COMMIT;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id BETWEEN :id AND :id + 20 AND account = :account;
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id = :id;
INSERT INTO plain (account, marketing_status) VALUES (:account, 'marketing');
UPDATE plain SET marketing_until_next_update = NOT marketing_until_next_update WHERE id = :id;
SQL
my $jobs = script('jobs', <<'SQL');
SET mktcontacts.clock = '2099-01-01';
CALL mkt.apply_updates(batch_size => 10);
CALL mkt.run();
SQL

# The server, three times: while there are writers, and jobs, too.
for my $round (1 .. 3)
{
	my @work = start_work(4, $writes, $round > 1 ? 2 : 0, $jobs);

	usleep(700_000);
	$round == 2 ? $node->stop('immediate') : kill_server();
	$_->finish for @work;
	$node->start;
	is(verify(), '', "exact after crash $round of the server");
	is(told_otherwise(), '0|0', 'the histories end at what is there');
	is(query('SELECT count(*) FROM quick'), '0', 'the unlogged table is empty, as its counts are');
}

# One process of it: all others end, too, and the server comes back by itself.
my @work = start_work(4, $writes, 2, $jobs);
my $clients = q{FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()};
$node->poll_query_until('postgres', "SELECT count(*) >= 6 $clients") or die 'no clients';
usleep(500_000);
my $victim = query("SELECT min(pid) $clients");
kill 'KILL', $victim;
$_->finish for @work;
wait_for_server();
is(verify(), '', 'exact after the death of a backend');
is(told_otherwise(), '0|0', 'the histories end at what is there');

# A run that is ended, or killed, in the middle: its batches stay, its progress is forgotten, the next run does the rest.
query(<<'SQL');
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.002); RETURN NEW; END';
CREATE TRIGGER a_slow BEFORE UPDATE ON contact FOR EACH ROW EXECUTE FUNCTION slow();
SQL
for my $how ('pg_terminate_backend', 'kill -9')
{
	query(<<'SQL');
ALTER TABLE contact DISABLE TRIGGER a_slow;
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = true;
ALTER TABLE contact ENABLE TRIGGER a_slow;
SQL
	my $run = start_psql(q{SET mktcontacts.clock = '2099-01-01'}, 'CALL mkt.apply_updates(batch_size => 20)');
	$node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM mkt.apply_progress WHERE rows_done > 0 AND rows_done < rows_to_do')
	  or die 'no progress is shown';
	my $pid = query('SELECT pid FROM mkt.apply_progress');
	$how eq 'kill -9' ? kill('KILL', $pid) : query("SELECT pg_terminate_backend($pid)");
	$run->finish;
	$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid") or die;
	is(query('SELECT count(*) FROM mkt.apply_progress'), '0', "$how: the run is not shown any more");
	is(query('SELECT bool_or(marketing_until_next_update) AND NOT bool_and(marketing_until_next_update) FROM contact'), 't', "$how: some are done");
	is(verify(), '', "$how: exact");
	query(q{ALTER TABLE contact DISABLE TRIGGER a_slow; SET mktcontacts.clock = '2099-01-01'; CALL mkt.apply_updates()});
	is(query('SELECT count(*) FROM contact WHERE marketing_until_next_update'), '0', "$how: the next run does the rest");
	is(verify(), '', "$how: exactly");
}

SKIP:
{
	skip 'no psycopg2', 1 if system("$python -c 'import psycopg2' 2>/dev/null") != 0;
	crash_with_ledgers();
}

$node->stop;
done_testing();

# pgbench with so many clients for each script; it ends with the server.
sub start_work
{
	my @work;

	while (my ($clients, $script) = splice(@_, 0, 2))
	{
		push @work, pgbench($script, $clients, 60) if $clients > 0;
	}
	return @work;
}

# Contacts of which the last row of their history says something else than they do.
sub told_otherwise
{
	return query(join(' UNION ALL ', map { <<"SQL" } 'contact', 'parted') =~ s/^/SELECT string_agg(n::text, '|') FROM (/r . ') AS n');
SELECT count(*) AS n FROM $_ AS c LEFT JOIN (SELECT DISTINCT ON (contact) contact, until FROM mkt.public_$_\_history ORDER BY contact, change DESC) AS h ON h.contact = c.id
WHERE coalesce(h.until, '-infinity') <> CASE WHEN marketing_status = 'marketing' THEN coalesce(marketing_until, 'infinity') ELSE '-infinity' END
SQL
}

# One of the writers and jobs is killed, or the server with all its processes, at any moment; the server recovers, and
# everything is checked.
sub crash_with_ledgers
{
	my $folder = PostgreSQL::Test::Utils::tempdir;
	my $program = "$FindBin::RealBin/../crash.py";
	my $from = q{FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = 'ledgers'};
	my %seen;

	local @ENV{qw(PGHOST PGPORT PGDATABASE)} = ($node->host, $node->port, 'ledgers');
	query('CREATE DATABASE ledgers');
	is(system($python, $program, 'make'), 0, 'the tables of the ledgers');
	for my $round (1 .. $crashes)
	{
		my $how = $round % 2 ? 'a process' : 'the server';
		my $work = IPC::Run::start([ $python, $program, 'write', $folder, $round ], '>&', \my $ignored);

		$node->poll_query_until('postgres', "SELECT count(*) >= 8 $from") or die 'no writers';
		usleep(300_000 + rand(1_500_000));
		if ($round % 2)
		{
			kill 'KILL', query("SELECT pid $from ORDER BY random() LIMIT 1");
		}
		else
		{
			kill_server();
		}
		$work->finish;
		$round % 2 ? wait_for_server() : $node->start;
		my ($wrong, $seen) = qx($python $program check $folder $round 2>&1) =~ /^(.*?)(?:# ([^\n]*)\n)?\z/s;
		is($wrong, '', "crash $round, of $how: nothing is lost or doubled");
		last if !$seen || $wrong ne '';
		note("crash $round: $seen");
		for my $item (split /, /, $seen)
		{
			my ($what, $n) = $item =~ /^(.*) (\d+)$/;

			$seen{$what} = $what =~ /^(contacts|notices|tier changes|periods|workflow actions|waiting)$/ ? $n : ($seen{$what} // 0) + $n;
		}
	}
	diag("$crashes crashes: " . join(', ', map { "$_ $seen{$_}" } sort keys %seen)) if $crashes > 4;
}
