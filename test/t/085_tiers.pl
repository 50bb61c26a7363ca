# Sixteen clients take accounts up and down over the boundaries of their tiers, by single rows and in bulk, in savepoints and
# prepared transactions, several accounts at once in any order, and the server is killed in between. In every snapshot each
# tier covers its contacts; each boundary has been crossed once; and nobody deadlocks.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Contacts;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

start_server('tiers', 'max_connections = 60', 'max_prepared_transactions = 30', 'full_page_writes = off', 'autovacuum = off');
query(<<'SQL');
CREATE EXTENSION mktcontacts;
CREATE TABLE contact (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account text);
CREATE INDEX ON contact (account);
SELECT mkt.attach('contact', account_column => 'account');
INSERT INTO mkt.edition (edition) VALUES ('hundreds');
INSERT INTO mkt.increment (edition, included, increment) VALUES ('hundreds', 100, 100);
INSERT INTO mkt.price (edition, currency, base, per_increment) VALUES ('hundreds', 'EUR', 10, 10);
CREATE FUNCTION add(n integer, of text) RETURNS void BEGIN ATOMIC
	INSERT INTO contact (account, marketing_status) SELECT of, 'marketing' FROM generate_series(1, n);
END;
CREATE FUNCTION remove(n integer, of text) RETURNS void BEGIN ATOMIC
	DELETE FROM contact WHERE id IN (SELECT id FROM contact WHERE account = of LIMIT n FOR UPDATE SKIP LOCKED);
END;
SQL

costs_nothing_without_edition();

my %work = (
	single => [ 3, <<'SQL' ],
\set a random(1, 4)
SELECT add(1, :'round' || :a);
SELECT add(1, :'round' || 'far');
SELECT remove(1, :'round' || :a);
SELECT add(1, :'round' || :a);
SQL
	bulk => [ 2, <<'SQL' ],
\set a random(1, 4)
\set n random(3, 40)
SELECT add(:n, :'round' || :a);
SELECT remove(:n - 2, :'round' || :a);
SQL
	across => [ 4, <<'SQL' ],
\set a random(1, 4)
\set b random(1, 4)
\set c random(1, 4)
BEGIN;
SELECT add(1, :'round' || :a);
SELECT add(2, :'round' || :b);
SELECT add(1, :'round' || :c);
COMMIT;
BEGIN;
SELECT remove(2, :'round' || :c);
SELECT remove(1, :'round' || :b);
SELECT add(1, :'round' || :a);
COMMIT;
SQL
	savepoints => [ 2, <<'SQL' ],
\set a random(1, 4)
BEGIN;
SAVEPOINT s;
SELECT add(150, :'round' || :a);
ROLLBACK TO s;
SELECT add(1, :'round' || :a);
SAVEPOINT s;
SELECT add(1, :'round' || :a);
RELEASE s;
COMMIT;
BEGIN;
SELECT add(300, :'round' || :a);
ROLLBACK;
SQL
	prepared => [ 1, <<'SQL' ],
\set a random(1, 4)
BEGIN;
SELECT add(3, :'round' || :a);
PREPARE TRANSACTION 'kept';
COMMIT PREPARED 'kept';
BEGIN;
SELECT add(120, :'round' || :a);
PREPARE TRANSACTION 'not kept';
ROLLBACK PREPARED 'not kept';
SELECT add(1, :'round' || 'prepared');
BEGIN;
SELECT add(5, :'round' || 'prepared');
PREPARE TRANSACTION 'prepared';
COMMIT PREPARED 'prepared';
SQL
	repeatable => [ 1, <<'SQL' ],
\set a random(1, 4)
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM mkt.account_tier;
SELECT add(2, :'round' || :a);
COMMIT;
SQL
	serializable => [ 2, <<'SQL' ],
\set a random(1, 4)
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT mkt.billable(:'round' || :a);
SELECT add(2, :'round' || :a);
COMMIT;
SQL
	run => [ 1, "CALL mkt.run();\n\\sleep 100 ms\n" ],
);

# The first round ends with the server.
start_accounts('a');
my %clients = start_clients('a', 30);
is(watch(4), '0', 'in every snapshot each tier covers the contacts');
$node->poll_query_until('postgres', 'SELECT (' . lowest_tier('a') . ') >= 200') or die 'no tier was exceeded';
kill_server();
$_->finish for values %clients;
$node->start;
is(too_low(), '0', 'neither contacts nor a tier were lost by the crash');
query($_) for split(/\n/, query("SELECT CASE gid WHEN 'not kept' THEN 'ROLLBACK' ELSE 'COMMIT' END || ' PREPARED ' || quote_literal(gid) FROM pg_prepared_xacts"));
query('CALL mkt.run()');
check_accounts('a');

# The second round comes to its end, and somebody listens.
start_accounts('b');
my ($heard, $asked) = ('', "LISTEN mktcontacts;\n");
my $listener = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-d', $node->connstr('postgres') ], '<', \$asked, '>', \$heard);
$listener->pump_nb;
$node->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'LISTEN%'");
%clients = start_clients('b', 6);
is(watch(5), '0', 'in every snapshot each tier covers the contacts');
for my $name (sort keys %clients)
{
	my $finished = $clients{$name}->finish;
	my $output = slurp_file(output_of('b', $name));
	my ($transactions) = $output =~ /number of transactions actually processed: (\d+)/;

	ok($finished && $transactions > 10, "$name: no client failed") or diag $output;
	like($output, qr/^number of failed transactions: 0 /m, "$name: no transaction failed") if $output =~ /failed/;
}
query('CALL mkt.run()');
check_accounts('b');
$asked .= "SELECT 'end';\n\\q\n";
$listener->finish;
my $notifications = () = $heard =~ /^Asynchronous notification "mktcontacts" received/mg;
is($notifications, query("SELECT count(DISTINCT xmin::text) FROM mkt.notice WHERE account LIKE 'b%'"), 'who listens hears of each transaction that left notices');
unlike($heard, qr/payload|[ab]\d/, 'and not whose they are');

my $log = slurp_file($node->logfile);
unlike($log, qr/deadlock detected/, 'there was no deadlock');
is_deeply([ grep { !/could not serialize/ } unlike_interrupted($log) ], [], 'and no error but that of an isolation level');
shares_the_account();
run_goes_on();
$node->stop;
done_testing();

# Accounts of a round, all of them at the beginning of their first tier, and one with very large tiers that is far from it.
sub start_accounts
{
	my ($round) = @_;

	query(<<"SQL");
INSERT INTO mkt.account (account, edition, started_on) SELECT '$round' || i, 'hundreds', '2024-06-20' FROM generate_series(1, 4) AS i;
INSERT INTO mkt.account (account, edition) VALUES ('${round}far', 'enterprise'), ('${round}prepared', 'hundreds');
SELECT add(9300, '${round}far');
SELECT remove(6300, '${round}far');
DELETE FROM mkt.notice WHERE account = '${round}far';
CALL mkt.run();
SQL
	return;
}

sub start_clients
{
	my ($round, $seconds) = @_;
	my %started;

	for my $name (sort keys %work)
	{
		my ($clients, $text) = @{ $work{$name} };

		$text =~ s/:'round' \|\| :(\w)/'$round' || :$1/g;
		$text =~ s/:'round' \|\| '(\w+)'/'$round$1'/g;
		$started{$name} = pgbench(script("$round$name", $text), $clients, $seconds, output_of($round, $name), '--max-tries=1000');
	}
	return %started;
}

sub output_of
{
	my ($round, $name) = @_;

	our $folder //= PostgreSQL::Test::Utils::tempdir;
	return "$folder/$round$name.out";
}

# Looks for some time.
sub watch
{
	my ($seconds) = @_;
	my $end = time() + $seconds;
	my $found = 0;

	$found += too_low() while time() < $end;
	return $found;
}

# One statement has one snapshot.
sub too_low
{
	return query(<<'SQL');
SELECT count(*) FROM mkt.account AS a JOIN mkt.account_tier AS t USING (account)
WHERE t.tier < mkt.tier(a.edition, mkt.billable(a.account))
SQL
}

# Of those accounts to which contacts are added all the time.
sub lowest_tier
{
	my ($round) = @_;

	return "SELECT min(tier) FROM mkt.account_tier WHERE account ~ '^$round\\d'";
}

# What can be known afterwards, from the changes and notices themselves.
sub check_accounts
{
	my ($round) = @_;
	my $of = "account LIKE '$round%'";

	is(query('SELECT count(*) FROM mkt.verify()'), '0', "$round: the counts are exact");
	is(too_low(), '0', "$round: the tiers cover the contacts");
	is(query("SELECT count(*) FROM pg_prepared_xacts"), '0', "$round: no transaction is left");
	cmp_ok(query(lowest_tier($round)), '>=', 200, "$round: tiers were exceeded again and again");
	is(query(<<"SQL"), '0', "$round: each tier was left for the one that covered the contacts then, and left once");
SELECT count(*) FROM (
	SELECT c.*, lag(to_tier) OVER (PARTITION BY account ORDER BY to_tier) AS before FROM mkt.tier_change AS c WHERE $of
) AS c
WHERE from_tier <> coalesce(before, mkt.tier(edition, 0)) OR to_tier <> mkt.tier(edition, billable) OR billable <= from_tier
   OR reason <> 'exceeded'
SQL
	is(query(<<"SQL"), '0', "$round: and the last change led to the present tier");
SELECT count(*) FROM mkt.account_tier AS t WHERE $of AND tier <> (SELECT coalesce(max(to_tier), t.tier) FROM mkt.tier_change AS c WHERE c.account = t.account)
SQL
	is(query(<<"SQL"), '0', "$round: every boundary of the first tier gave one notice, and no other did");
SELECT count(*) FROM mkt.account_tier AS t WHERE $of AND tier > 100
  AND (account <> '${round}far' OR tier > 10000)
  AND (SELECT string_agg(percent::text, ' ' ORDER BY percent) FROM mkt.notice AS n WHERE n.account = t.account) IS DISTINCT FROM '75 90 98 101'
SQL
	is(query("SELECT count(*) FROM mkt.notice WHERE NOT notified"), '0', "$round: nobody waits for a notice");
	return;
}

# Errors in the log that are not the server's end.
sub unlike_interrupted
{
	my ($log) = @_;

	return grep { /ERROR:/ } split(/\n/, $log);
}

# Nothing is written of what keeps tiers, nor a row of it locked.
sub costs_nothing_without_edition
{
	query("INSERT INTO mkt.account (account, edition) VALUES ('with', 'hundreds'), ('without', NULL)");
	add_singly('without');
	my $start = query('CHECKPOINT; SELECT pg_current_wal_insert_lsn()');
	add_singly('without');
	is(records_since($start), '', 'an account without an edition writes no WAL because others have one');
	add_singly('with');
	like(records_since($start), qr/account_tier/, 'as one with an edition does');
	query("DELETE FROM mkt.account; DELETE FROM mkt.tier_change; DELETE FROM contact; CALL mkt.run()");
	return;
}

sub add_singly
{
	my ($account) = @_;

	query("DO \$\$ BEGIN FOR i IN 1 .. 500 LOOP PERFORM add(1, '$account'); COMMIT; END LOOP; END \$\$");
	return;
}

# Which tables that keep tiers have records in the WAL.
sub records_since
{
	my ($start) = @_;
	my $end = query('SELECT pg_switch_wal()');
	my @written;

	for my $table (qw(account account_tier tier_change notice))
	{
		my $relation = query("SELECT concat_ws('/', t.oid, d.oid, pg_relation_filenode('mkt.$table')) FROM pg_database AS d, pg_tablespace AS t WHERE d.datname = current_database() AND t.spcname = 'pg_default'");
		my ($records, $errors);

		IPC::Run::run([ 'pg_waldump', '-p', $node->data_dir . '/pg_wal', '-s', $start, '-e', $end, '-R', $relation ], '>', \$records, '2>', \$errors) or die $errors;
		push @written, $table if $records;
	}
	return join(' ', @written);
}

# Who adds one contact waits for those only with whom he may come to the boundary, which is 75.
sub shares_the_account
{
	query("INSERT INTO mkt.account (account, edition) VALUES ('shared', 'hundreds'); SELECT add(70, 'shared')");
	query("BEGIN; SELECT add(1, 'shared'); PREPARE TRANSACTION 'shared'");
	is(psql_says("SELECT add(1, 'shared')"), '', "contact $_ is added beside one that is prepared") for 71 .. 73;
	like(psql_says("SELECT add(1, 'shared')"), qr/canceling statement due to lock timeout/, 'the next one waits, for both would come to the boundary');
	is(psql_says("SELECT remove(1, 'shared')"), '', 'who takes one away does not');
	query("COMMIT PREPARED 'shared'");
	is(psql_says("SELECT add(1, 'shared')"), '', 'contact 74 finds the account alone');
	is(query("SELECT count(*) FROM mkt.notice WHERE account = 'shared'"), '0', 'nothing has been crossed yet');
	is(psql_says("SELECT add(1, 'shared')"), '', 'contact 75 crosses');
	is(query("SELECT percent, billable FROM mkt.notice WHERE account = 'shared'"), '75|75', 'and leaves a notice');

	query("SELECT add(2, 'shared')");
	query("BEGIN; SELECT remove(1, 'shared'); PREPARE TRANSACTION 'shared'");
	is(psql_says("SELECT remove(1, 'shared')"), '', 'one is removed beside a prepared removal');
	like(psql_says("SELECT remove(1, 'shared')"), qr/canceling statement due to lock timeout/, 'the next one waits, for both would come below the boundary');
	query("ROLLBACK PREPARED 'shared'");
	query("DELETE FROM mkt.account; DELETE FROM mkt.tier_change; DELETE FROM contact; CALL mkt.run()");
	return;
}

# A workflow that has to wait for an account fails, and the rest of mkt.run() is done.
sub run_goes_on
{
	query("INSERT INTO mkt.account (account, edition) VALUES ('run', 'professional')");
	query("UPDATE mkt.account_tier SET next_at = 3, places_left = 3 WHERE account = 'run'");
	query("INSERT INTO contact (account) VALUES ('run'), ('run')");
	query("SELECT mkt.switch_on_workflow(mkt.create_workflow('contact', 'run', 'all', 'marketing', condition => 'true'), true)");
	query("BEGIN; SELECT add(3, 'run'); PREPARE TRANSACTION 'run'");
	is(psql_says("CALL mkt.run()"), '', 'mkt.run() does not fail');
	is(query("SELECT DISTINCT sqlstate FROM mkt.workflow_attempt"), '55P03', 'but the attempts of the workflow did');
	query("COMMIT PREPARED 'run'; SET mktcontacts.clock = 'tomorrow'; CALL mkt.run()");
	is(query("SELECT mkt.billable('run')"), '5', 'later it does what it could not');
	return;
}

# The errors of a statement that waits for nobody.
sub psql_says
{
	my ($statement) = @_;
	my ($status, $output, $errors) = $node->psql('postgres', "SET lock_timeout = '100ms'; $statement");

	return $errors;
}
