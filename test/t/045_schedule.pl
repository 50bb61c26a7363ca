# mkt.schedule(): pg_cron calls mkt.run(), and a pending contact becomes non-marketing by itself. Where pg_cron is not there,
# mkt.schedule() says what to type.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Contacts;
use Test::More;

chomp(my $libraries = `pg_config --pkglibdir`);
plan skip_all => 'pg_cron is not installed' unless -e "$libraries/pg_cron.so";

start_server('schedule');
query('CREATE DATABASE crm');
for my $db ('postgres', 'crm')
{
	query('CREATE EXTENSION mktcontacts', $db);
}

# The hints, in the order in which somebody meets them.
like(hint('postgres', 'schedule'), qr/\QInstall it (Debian: postgresql-\E\d+\Q-cron), set shared_preload_libraries = 'pg_cron' and cron.database_name = 'postgres'\E/,
	'it is not loaded');
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'pg_cron'
cron.use_background_workers = on
CONF
$node->restart;
like(hint('postgres', 'schedule'), qr/HINT:  \QCREATE EXTENSION pg_cron; and call this again./, 'it is loaded');
like(hint('postgres', 'unschedule'), qr/HINT:  \QCREATE EXTENSION pg_cron; and call this again./, 'also for mkt.unschedule()');
my $elsewhere = hint('crm', 'schedule');
like($elsewhere, qr/HINT:  It belongs into database "postgres"/, 'it is in another database');

query('CREATE EXTENSION pg_cron');
my ($statement) = $elsewhere =~ /(SELECT cron\.schedule_in_database.*;)/;
cmp_ok(query($statement), '>', 0, 'what the hint says works there');
is(query('SELECT command, database FROM cron.job'), 'CALL mkt.run()|crm', 'for the right database');
like(hint('crm', 'unschedule'), qr/(SELECT cron\.unschedule.*;)/, 'and how to end it');
query(hint('crm', 'unschedule') =~ /(SELECT cron\.unschedule.*;)/);
is(query('SELECT count(*) FROM cron.job'), '0', 'which works, too');

is(query('SELECT mkt.unschedule()'), 'f', 'nothing is scheduled');
my $job = query('SELECT mkt.schedule()');
is(query('SELECT jobid, schedule, command, database FROM cron.job'), "$job|* * * * *|CALL mkt.run()|postgres", 'every minute');
is(query(q{SELECT mkt.schedule('*/5 * * * *')}), $job, 'another schedule, the same job');
is(query('SELECT schedule FROM cron.job'), '*/5 * * * *', 'is taken');
is(query('SELECT mkt.schedule()'), $job, 'and back');

# A contact that is pending until 1 April becomes non-marketing on 2 April; nobody but pg_cron calls anything.
query(<<'SQL');
CREATE TABLE contact (id integer PRIMARY KEY, account text);
SELECT mkt.attach('contact', account_column => 'account');
SET mktcontacts.clock = '2026-03-10 12:00+00';
INSERT INTO contact VALUES (1, '42', 'marketing'), (2, '42', 'marketing');
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 1;
ALTER DATABASE postgres SET mktcontacts.clock = '2026-04-02 00:00+00';
SQL
is(query('SELECT id, marketing_status FROM contact ORDER BY id'), "1|marketing\n2|marketing", 'it is pending');
ok($node->poll_query_until('postgres', q{SELECT marketing_status = 'non_marketing' FROM contact WHERE id = 1}), 'it becomes non-marketing');
ok($node->poll_query_until('postgres', q{SELECT count(*) >= 1 FROM cron.job_run_details WHERE status = 'succeeded'}), 'the job has succeeded');
is(query('SELECT id, marketing_status FROM contact ORDER BY id'), "1|non_marketing\n2|marketing", 'and the other one stays');
is(query(q{SELECT part, done FROM mkt.run_log WHERE done > 0 ORDER BY part}), "apply|1\nrun|1", 'the log says so');
is(query(q{SELECT to_type IS NULL FROM mkt.status() WHERE item = 'last run'}), 't', 'and so does the page for the administrator');
is(verify(), '', 'the counts are right');
is(query('SELECT mkt.unschedule()'), 't', 'it is ended');
is(query('SELECT count(*) FROM cron.job'), '0', 'and gone');

done_testing();

sub hint
{
	my ($db, $function) = @_;
	my (undef, undef, $error) = $node->psql($db, "SELECT mkt.$function()");

	return $error;
}
