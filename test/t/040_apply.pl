# mkt.apply_updates() can be late, stopped anywhere, and run by several sessions while contacts are written: the result is that
# of one run at the right moment (D6).

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Contacts;
use Test::More;

start_server('apply', "mktcontacts.clock = '2026-03-10 12:00+00'");
query(<<'SQL');
CREATE EXTENSION mktcontacts;
CREATE TABLE contact (id integer PRIMARY KEY, account integer, note text);
SELECT mkt.attach('contact', account_column => 'account');
INSERT INTO mkt.account (account, commitment, started_on) SELECT i, 'monthly', date '2025-01-01' + i FROM generate_series(1, 25) AS i;
INSERT INTO contact SELECT i, i % 50, 'n', 'marketing', i % 4 > 0 FROM generate_series(1, 8000) AS i;
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.001); RETURN NEW; END';
CREATE TRIGGER a_slow BEFORE UPDATE ON contact FOR EACH ROW EXECUTE FUNCTION slow();
SQL

# What should be non-marketing at an instant, by the contacts' own instants.
my $due = "marketing_until <= mkt.now()";

# Cancelled after a batch.
my $run = start_run('2026-03-20 00:00+00', 10);
$node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM mkt.apply_progress WHERE rows_done BETWEEN 1 AND rows_to_do - 1') or die 'no progress is shown';
my $progress = query(q{SELECT contacts, started_at > now() - interval '1 minute', rows_to_do, rows_to_do > rows_done,
	(SELECT count(*) FROM pg_stat_activity AS a WHERE a.pid = p.pid AND query LIKE '%apply_updates%') FROM mkt.apply_progress AS p});
my $to_do = query(q{SET mktcontacts.clock = '2026-03-10 12:00+00'; SELECT count(*) FROM contact WHERE id % 4 > 0 AND account BETWEEN 10 AND 19});
is($progress, "contact|t|$to_do|t|1", 'a run shows its progress');
query('SELECT pg_cancel_backend(pid) FROM mkt.apply_progress');
$run->finish;
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE '%apply_updates(%' AND pid <> pg_backend_pid()}) or die;
is(query('SELECT count(*) FROM mkt.apply_progress'), '0', 'a run that was cancelled is not shown');
my $done = query(q{SELECT count(*) FROM contact WHERE marketing_status = 'non_marketing'});
cmp_ok($done, '>', 0, 'what it has done stays');
cmp_ok($done, '<', $to_do, 'and it has not done everything');
is(verify('2026-03-20 00:00+00'), '', 'exact after a part');

# With a time limit, again and again, it gets to the end; 0 rows are due then.
my $calls = 0;
do
{
	query(q{SET mktcontacts.clock = '2026-03-20 00:00+00'; CALL mkt.apply_updates(batch_size => 50, time_limit => '300ms')});
	$calls++;
} while (query("SET mktcontacts.clock = '2026-03-20 00:00+00'; SELECT count(*) FROM contact WHERE $due") > 0 && $calls < 100);
cmp_ok($calls, '>', 1, 'a time limit stops it in between');
cmp_ok($calls, '<', 100, 'and the calls get to the end');
is(query(q{SELECT count(*) FROM contact WHERE marketing_status = 'non_marketing'}), $to_do, 'which is just what was due');
is(verify('2026-03-20 00:00+00'), '', 'exactly');

# Months late, three sessions at once, among writers; each contact is applied once.
query(<<'SQL');
CREATE TABLE applied (id integer);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO applied VALUES (NEW.id); RETURN NULL; END';
CREATE TRIGGER note AFTER UPDATE ON contact FOR EACH ROW
WHEN (OLD.marketing_until_next_update AND NEW.marketing_status = 'non_marketing') EXECUTE FUNCTION note();
SQL
my $expected = query(q{SELECT count(*) FROM contact WHERE marketing_until_next_update});
my $script = script('writes', <<'SQL');
\set id random(1, 8000)
SET mktcontacts.clock = '2026-09-20 00:00+00';
UPDATE contact SET note = 'y' WHERE id = :id;
INSERT INTO contact (id, account, marketing_status) VALUES (:id + 10000, :id % 50, 'marketing') ON CONFLICT (id) DO UPDATE SET note = 'z';
SQL
my $writers = pgbench($script, 3, 4);
my @runs = map { start_run('2026-09-20 00:00+00', 25 * $_) } 1 .. 3;
ok($_->finish, 'a run among writers and other runs ends well') for @runs;
ok($writers->finish, 'and no writer failed');
query(q{SET mktcontacts.clock = '2026-09-20 00:00+00'; CALL mkt.apply_updates()});
is(query(q{SELECT count(*) FROM contact WHERE marketing_until_next_update}), '0', 'all are brought up to date');
is(query('SELECT count(*), count(DISTINCT id) FROM applied'), "$expected|$expected", 'each once');
is(verify('2026-09-20 00:00+00'), '', 'exactly');

# When nothing is due no contact is looked at.
is(query(<<'SQL'), '0', 'nothing due reads no page of the contacts');
SET mktcontacts.clock = '2026-09-20 00:00+00';
CALL mkt.run();
CREATE TEMP TABLE pages AS SELECT 1 AS turn, 0::bigint AS n LIMIT 0;
CREATE TEMP VIEW now AS SELECT sum(heap_blks_hit + heap_blks_read + coalesce(idx_blks_hit, 0) + coalesce(idx_blks_read, 0))::bigint AS n
	FROM pg_statio_user_tables WHERE relid = 'contact'::regclass;
SELECT FROM contact LIMIT 1;
SELECT FROM pg_stat_force_next_flush();
INSERT INTO pages SELECT 1, n FROM now;
CALL mkt.apply_updates();
SELECT FROM pg_stat_force_next_flush();
INSERT INTO pages SELECT 2, n FROM now;
SELECT CASE WHEN min(n) > 0 THEN max(n) - min(n) END FROM pages;
SQL

$node->stop;
done_testing();

sub start_run
{
	my ($clock, $batch_size) = @_;

	return start_psql("SET mktcontacts.clock = '$clock'", "CALL mkt.apply_updates(batch_size => $batch_size)");
}
