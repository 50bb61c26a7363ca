# A physical standby answers every question as its primary does, also after an update date that nobody has applied; promoted, it
# goes on where the primary was: counts, history, settings, workflows and what is due, with nothing to do by hand.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Contacts;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1, extra => [ '--locale=C', '--encoding=UTF8' ]);
$primary->append_conf('postgresql.conf', "timezone = 'UTC'\nmax_prepared_transactions = 5\nmktcontacts.clock = '2026-03-10 12:00+00'\n");
$primary->start;
$primary->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->start;

$primary->safe_psql('postgres', <<'SQL');
CREATE EXTENSION mktcontacts;
CREATE TABLE contact (id integer PRIMARY KEY, account text, email text, gone boolean NOT NULL DEFAULT false);
CREATE TABLE parted (id integer, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE north PARTITION OF parted FOR VALUES IN ('north');
CREATE TABLE south PARTITION OF parted FOR VALUES IN ('south');
INSERT INTO contact SELECT i, 'a', 'old' || i FROM generate_series(1001, 1010) AS i;
SELECT mkt.attach('contact', account_column => 'account', unsubscribed => 'gone');
SELECT mkt.attach('parted', account_column => 'region');
INSERT INTO mkt.account (account, edition, commitment, started_on, currency) VALUES ('a', 'professional', 'monthly', '2025-01-15', 'EUR'), ('north', 'starter', 'annual', '2024-03-20', 'USD');
INSERT INTO contact SELECT i, CASE WHEN i % 4 = 0 THEN 'b' ELSE 'a' END, 'c' || i, i % 10 = 0, 'marketing', i % 3 = 0, NULL, 'form_submission', 'newsletter' FROM generate_series(1, 200) AS i;
INSERT INTO parted SELECT i, CASE WHEN i % 2 = 0 THEN 'north' ELSE 'south' END, 'marketing', i % 3 = 0 FROM generate_series(1, 50) AS i;
CALL mkt.run();
SET mktcontacts.batch = 'spring';
UPDATE contact SET marketing_status = 'non_marketing' WHERE id BETWEEN 100 AND 120;
RESET mktcontacts.batch;
UPDATE parted SET region = 'south' WHERE id = 10;
DELETE FROM north WHERE id = 12;
SELECT mkt.save_filter('contact', NULL, 'early', condition => 'id < 50'), mkt.create_list('contact', 'a', 'l');
SELECT mkt.add_to_list('contact', 'a', 'l', ARRAY[1, 2, 3]);
SELECT mkt.create_workflow('contact', 'a', 'back', 'marketing', condition => 'id > 1000');
SELECT mkt.switch_on_workflow(1, true);
SELECT mkt.open_review('contact', 'a'), mkt.review_list(1, 'l');
BEGIN;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 1;
INSERT INTO contact VALUES (300, 'b', 'prepared', false, 'marketing');
PREPARE TRANSACTION 'half';
SQL

# The past is told since the tables were attached; a standby's clock may be ahead of an update date that is not applied.
my @questions = (
	q{SELECT a, mkt.billable(a), mkt.billable(a, '2026-03-20'), mkt.billable(a, '2026-04-01'), mkt.next_update(a), mkt.next_renewal(a) FROM unnest(ARRAY['a', 'b', 'north', 'south']) AS a},
	q{SELECT a, mkt.billable(a, '2026-03-10 12:00+00') FROM unnest(ARRAY['a', 'b', 'north', 'south']) AS a},
	'SELECT * FROM mkt.usage ORDER BY account',
	q{SELECT account, f.* FROM mkt.account, mkt.forecast(account, 4) AS f ORDER BY account, update_at},
	q{SELECT * FROM mkt.explain('contact', 3)},
	q{SELECT key, mkt.can_use('contact', key, 'marketing_email') FROM generate_series(1, 12) AS key},
	q{SELECT key FROM mkt.eligible('contact', 'marketing_email') AS key ORDER BY key},
	q{SELECT count(*) FROM contact WHERE mkt.is_marketing(marketing_status, marketing_until)},
	q{SELECT id, h.change, h.changed_at, h.until, h.source_name, h.batch FROM generate_series(1, 120, 17) AS id, mkt.history('contact', id) AS h},
	q{SELECT id, mkt.status_at('contact', id, '2026-03-10 12:00+00') FROM generate_series(1, 120, 17) AS id},
	'SELECT * FROM mkt.batch ORDER BY batch',
	'SELECT * FROM mkt.source_usage ORDER BY 1, 2, 3',
	'SELECT * FROM mkt.unreachable ORDER BY 1, 2, 3',
	q{SELECT mkt.filter_keys('contact', 'a', 'early') AS key ORDER BY key},
	'SELECT * FROM mkt.review_summary(1)',
	q{SELECT * FROM mkt.advice('a')},
	'SELECT * FROM mkt.workflow_usage',
	q{SELECT item, state FROM mkt.status() WHERE item NOT IN ('last run', 'version')},
	'SELECT * FROM mkt.verify()');

for my $clock ('2026-03-10 12:00+00', '2026-03-15 00:00+00', '2026-04-01 00:00+00')
{
	$primary->wait_for_catchup($standby);
	my $asked = "SET mktcontacts.clock = '$clock';\n" . join("\n", map { "\\echo $_\n$_;" } @questions);

	is($standby->safe_psql('postgres', $asked), $primary->safe_psql('postgres', $asked), "$clock: the same answers to all questions");
	is($standby->safe_psql('postgres', "SET mktcontacts.clock = '$clock'; SELECT count(*) FROM mkt.verify()"), '0', "$clock: exactly");
}
for my $command ('CALL mkt.run()', 'CALL mkt.apply_updates()', q{SELECT mkt.set_marketing('contact', ARRAY[1])}, q{UPDATE contact SET marketing_status = 'marketing'},
	'SELECT mkt.repair()')
{
	my ($code, $output, $error) = $standby->psql('postgres', "\\set VERBOSITY sqlstate\n$command");

	like($error, qr/ERROR:  25006/, "$command is refused on a standby");
}

# A standby that is a few changes behind is exact as of then.
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$primary->safe_psql('postgres', q{UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id BETWEEN 2 AND 50; CALL mkt.run()});
is($standby->safe_psql('postgres', 'SELECT * FROM mkt.verify()'), '', 'exact while it is behind');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
$primary->wait_for_catchup($standby);
my $before = everything($primary);

$primary->stop('immediate');
$standby->promote;
is(everything($standby), $before, 'promoted, it has what the primary had');
is($standby->safe_psql('postgres', <<'SQL'), <<'EXPECTED' =~ s/\n\z//r, 'and goes on: statements, prepared transactions, batches, reviews, workflows, and what is due');
SELECT mkt.billable('a');
COMMIT PREPARED 'half';
SELECT mkt.billable('a'), mkt.billable('a', '2026-03-15');
SELECT count(*) FROM mkt.verify();
INSERT INTO contact VALUES (400, 'a', 'new', false, 'marketing');
COPY contact (id, account, marketing_status) FROM stdin;
401	a	marketing
\.
SELECT mkt.billable('a'), (SELECT string_agg(change, ' ') FROM mkt.history('contact', 400));
SELECT restored, changed_since FROM mkt.undo('spring');
SELECT mkt.apply_review(1);
SELECT count(*) FROM mkt.verify();
CALL mkt.run();
SELECT count(*) > 0 FROM mkt.enrollment WHERE state = 'changed';
SELECT count(*) FROM mkt.run_log WHERE failed > 0;
SET mktcontacts.clock = '2026-05-01 00:00+00';
CALL mkt.run();
SELECT count(*) FROM contact WHERE marketing_until_next_update;
SELECT count(*) FROM mkt.run_log WHERE failed > 0;
SELECT account, ends_on FROM mkt.period WHERE account IN ('a', 'north') ORDER BY 1, 2;
SELECT count(*) FROM mkt.verify();
SELECT count(*) FROM mkt.drift;
SQL
160
160|111
0
162|created
14|0
(35,1,0,1,0,0)
0
t
0
0
0
a|2026-03-15
a|2026-04-15
north|2026-03-20
north|2026-04-01
north|2026-05-01
0
0
EXPECTED
$standby->stop;
done_testing();

# What both have, apart from what a call of mkt.run() notes of itself.
sub everything
{
	my ($server) = @_;

	return $server->safe_psql('postgres', join('; ', @questions[0 .. 5, 8 .. 11], 'SELECT * FROM contact ORDER BY id', 'SELECT * FROM parted ORDER BY id',
		'SELECT * FROM mkt.public_contact_history ORDER BY change', 'SELECT * FROM mkt.account ORDER BY account', 'SELECT * FROM mkt.workflow', 'SELECT * FROM mkt.enrollment ORDER BY key'));
}
