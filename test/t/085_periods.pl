# Periods on a server that goes by the real clock: what is in flight at their end, several sessions that close them, a crash in
# between, and a dump.  A deleted account's last period ends when it is deleted: an end that a test can wait for.

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('periods');
$node->init(extra => [ '--locale=C', '--encoding=UTF8' ]);
$node->append_conf('postgresql.conf', "timezone = 'UTC'\nmax_prepared_transactions = 10\nautovacuum = off\nrestart_after_crash = on\n");
$node->start;
query(<<'SQL');
CREATE EXTENSION mktcontacts;
CREATE TABLE contact (id serial PRIMARY KEY, account text);
SELECT mkt.attach('contact', account_column => 'account');
SQL

# Transactions that began before the end, and commit after it.
my $shown = q{SELECT opening, created, deletions, closing, highest, adjusted FROM mkt.period WHERE account = '%s' ORDER BY ends_at};
for my $case ([ 'open', 'COMMIT', '2|3|0|5|5|0' ], [ 'open', 'ROLLBACK', '2|0|0|2|2|0' ],
	[ 'prepared', 'COMMIT PREPARED', '2|3|0|5|5|0' ], [ 'prepared', 'ROLLBACK PREPARED', '2|0|0|2|2|0' ])
{
	my ($kind, $end, $expected) = @$case;
	my $account = "$kind $end";
	my $writer = session();

	query("INSERT INTO contact (account, marketing_status) VALUES ('$account', 'marketing'), ('$account', 'marketing')");
	query("INSERT INTO mkt.account (account) VALUES ('$account')");
	execute($writer, "BEGIN; INSERT INTO contact (account, marketing_status) SELECT '$account', 'marketing' FROM generate_series(1, 3)");
	query("DELETE FROM mkt.account WHERE account = '$account'");
	execute($writer, q{PREPARE TRANSACTION 'p'}) if $kind eq 'prepared';
	usleep(1_100_000);
	query('CALL mkt.run()');
	is(query(sprintf($shown, $account)), '', "$kind, $end: not closed while it may commit");
	if ($kind eq 'prepared')
	{
		query("$end 'p'");
	}
	else
	{
		execute($writer, $end);
	}
	query('CALL mkt.run()');
	is(query(sprintf($shown, $account)), $expected, "$kind, $end: closed with what it did, and nothing else");
	leave($writer);
}

# One that is prepared while it is waited for is still there.
{
	my ($writer, $runner) = (session(), session());

	query("INSERT INTO mkt.account (account) VALUES ('meanwhile')");
	execute($writer, q{BEGIN; INSERT INTO contact (account, marketing_status) VALUES ('meanwhile', 'marketing')});
	query("DELETE FROM mkt.account WHERE account = 'meanwhile'");
	usleep(1_100_000);
	$runner->{stdin} .= "CALL mkt.run();\n";
	$runner->{run}->pump_nb;
	usleep(200_000);
	execute($writer, q{PREPARE TRANSACTION 'p'});
	execute($runner, 'SELECT 1');
	is(query(sprintf($shown, 'meanwhile')), '', 'prepared while mkt.run() waits: not closed');
	query(q{COMMIT PREPARED 'p'});
	query('CALL mkt.run()');
	is(query(sprintf($shown, 'meanwhile')), '0|1|0|1|1|0', 'and closed with what it did');
	leave($_) for $writer, $runner;
}

# One that began afterwards is in nobody's way, unless it does not say when it began.
for my $silent (0, 1)
{
	my $writer = session();

	query("INSERT INTO mkt.account (account) VALUES ('after $silent')");
	query("DELETE FROM mkt.account WHERE account = 'after $silent'");
	usleep(1_100_000);
	execute($writer, 'SET track_activities = off') if $silent;
	execute($writer, "BEGIN; INSERT INTO contact (account, marketing_status) VALUES ('after $silent', 'marketing')");
	query('CALL mkt.run()');
	is(query(sprintf($shown, "after $silent")), $silent ? '' : '0|0|0|0|0|0', 'a later transaction' . ($silent ? ', but who knows' : ''));
	execute($writer, 'COMMIT');
	query('CALL mkt.run()');
	is(query(sprintf($shown, "after $silent")), '0|0|0|0|0|0', 'what it did belongs to no period of the account');
	leave($writer);
}

# Many accounts, many months late, in sessions that are killed; each period is there once, and adds up.
query(<<'SQL');
SELECT setseed(0.5);
INSERT INTO mkt.account (account, edition, commitment, started_on, created_at)
SELECT 'many ' || i, 'starter', 'monthly', date '2025-01-01' + i % 365, now() - interval '200 days' FROM generate_series(1, 3000) AS i;
INSERT INTO contact (account, marketing_status) SELECT 'many ' || 1 + i % 3000, 'marketing' FROM generate_series(1, 30000) AS i;
SQL
my $killed = 0;
for my $round (1 .. 6)
{
	my @runners = map { session() } 1 .. 3;

	$_->{stdin} .= "CALL mkt.run();\n" for @runners;
	$_->{run}->pump_nb for @runners;
	usleep(300_000 + 200_000 * $round);
	if ($round == 3)
	{
		$node->stop('immediate');
		$node->start;
		$killed++;
	}
	else
	{
		$killed++ if kill('KILL', $runners[0]->{pid});
		wait_until_gone(@runners);
	}
	eval { $_->{run}->kill_kill } for @runners;
	my $closed = query(q{SELECT count(*) FROM mkt.period WHERE account LIKE 'many %'});
	note("round $round: $closed closed");
}
query('CALL mkt.run()');
is($killed, 6, 'servers and sessions were killed');
is(query(<<'SQL'), '3000|0|0|0', 'every period once, without gaps, adding up');
SELECT count(DISTINCT account), count(*) FILTER (WHERE starts_at IS DISTINCT FROM before AND before IS NOT NULL),
	count(*) FILTER (WHERE ends_at <> mkt.next_update(account, starts_at)),
	count(*) FILTER (WHERE opening + created + promotions - demotions - deletions + adjusted <> closing OR adjusted <> 0
					 OR charge IS DISTINCT FROM (SELECT sum(amount) FROM mkt.period_line AS l WHERE l.account = p.account AND l.ends_at = p.ends_at))
FROM (SELECT *, lag(ends_at) OVER (PARTITION BY account ORDER BY ends_at) AS before FROM mkt.period) AS p
WHERE account LIKE 'many %'
SQL
is(query(q{SELECT count(*) FROM mkt.account AS a LEFT JOIN LATERAL (SELECT max(ends_at) AS ends_at FROM mkt.period AS p WHERE p.account = a.account) AS p ON true
	WHERE a.account LIKE 'many %' AND mkt.next_update(a.account, coalesce(p.ends_at, a.created_at)) <= now()}), '0', 'none is missing');

# A dump brings them, and they stay closed there.
query(q{UPDATE mkt.account SET currency = 'USD' WHERE account = 'many 7'; DELETE FROM mkt.account WHERE account = 'many 8'});
my $state = q{SELECT md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM (SELECT p::text FROM mkt.period AS p UNION ALL SELECT l::text FROM mkt.period_line AS l
	UNION ALL SELECT a::text FROM mkt.past_account AS a UNION ALL SELECT a::text FROM mkt.account AS a) AS t};
my $dump = PostgreSQL::Test::Utils::tempdir . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'dumped');
query('CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'restored', $dump ], 'restored');
is($node->safe_psql('restored', $state), query($state), 'with the same periods');
my ($status, $output, $error) = $node->psql('restored', 'UPDATE mkt.period SET charge = 0');
like($error, qr/is closed/, 'which do not change there either');
usleep(1_100_000);
$node->safe_psql('restored', 'CALL mkt.run()');
query('CALL mkt.run()');
my $numbers = q{SELECT count(*), count(*) FILTER (WHERE account = 'many 8'), sum(closing), sum(charge) FROM mkt.period};
is($node->safe_psql('restored', $numbers), query($numbers), 'and closing goes on as it would have');
is($node->safe_psql('restored', 'SELECT * FROM mkt.verify()'), '', 'exactly');
is(query('SELECT * FROM mkt.verify()'), '', 'exactly');

$node->stop;
done_testing();

sub query
{
	my ($sql) = @_;

	return $node->safe_psql('postgres', $sql);
}

# A session that stays; pid is its backend's.
sub session
{
	my %session = (stdin => '', stdout => '', stderr => '');

	$session{run} = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-d', $node->connstr('postgres') ],
		'<', \$session{stdin}, '>', \$session{stdout}, '2>', \$session{stderr}, IPC::Run::timer(180));
	($session{pid}) = execute(\%session, 'SELECT pg_backend_pid()') =~ /(\d+)/;
	return \%session;
}

sub execute
{
	my ($session, $sql) = @_;

	$session->{stdout} = '';
	$session->{stdin} .= "$sql;\n\\echo done\n";
	$session->{run}->pump until $session->{stdout} =~ /^done$/m;
	return $session->{stdout};
}

sub leave
{
	my ($session) = @_;

	$session->{stdin} .= "\\q\n";
	$session->{run}->finish;
	return;
}

# One of them was killed, so the server starts anew; for a moment it may not have noticed, and answers.
sub wait_until_gone
{
	my $pids = join(', ', map { $_->{pid} } @_);

	$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid IN ($pids)") or die 'the server does not come up';
	return;
}
