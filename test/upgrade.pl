# pg_upgrade from each version of PostgreSQL to the next: counts, history, settings and schedule are right afterwards without
# anything to do by hand, and statements, batches, reviews, workflows and mkt.run() go on. UPGRADE_PATHS has the versions'
# installations, the oldest first; test/upgrade calls this.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @installations = split(/:/, $ENV{UPGRADE_PATHS} // '');
plan skip_all => 'needs UPGRADE_PATHS, the installations of two versions of PostgreSQL' if @installations < 2;

my $node = new_node(0);
$node->start;
create();
for my $i (1 .. $#installations)
{
	my $before = state();
	my $next = new_node($i);
	my $name = version($node) . ' to ' . version($next);

	$node->stop;
	$next->command_ok(
		[
			'pg_upgrade', '--no-sync', '-d', $node->data_dir, '-D', $next->data_dir, '-b', "$installations[$i - 1]/bin", '-B', "$installations[$i]/bin",
			'-s', $next->host, '-p', $node->port, '-P', $next->port
		],
		"$name: pg_upgrade");
	$node = $next;
	$node->start;
	is(state(), $before, "$name: contacts, counts, history, settings and schedule are as they were");
	is(query('SELECT * FROM mkt.verify()'), '', "$name: exactly");
	goes_on($name);
	schedule_works($name) if $i == $#installations;
}
$node->stop;
done_testing();

sub new_node
{
	my ($i) = @_;
	my $new = PostgreSQL::Test::Cluster->new("upgrade_$i", install_path => $installations[$i]);

	$new->init(extra => [ '--locale=C', '--encoding=UTF8', '--data-checksums' ]);
	$new->append_conf('postgresql.conf', join("\n", "timezone = 'UTC'", "mktcontacts.clock = '2026-03-10 12:00+00'", 'max_prepared_transactions = 5',
		has_cron($i) ? ("shared_preload_libraries = 'pg_cron'", "cron.use_background_workers = on") : (), ''));
	return $new;
}

sub has_cron
{
	my ($i) = @_;
	my ($library) = `$installations[$i]/bin/pg_config --pkglibdir` =~ /(.*)/;

	return -e "$library/pg_cron.so";
}

sub version
{
	my ($of) = @_;

	return $of->pg_version->major;
}

sub query
{
	my ($sql) = @_;

	return $node->safe_psql('postgres', $sql);
}

sub create
{
	query('CREATE EXTENSION pg_cron') if has_cron(0);
	query(<<'SQL');
CREATE EXTENSION mktcontacts;
CREATE ROLE mailer;
CREATE SCHEMA "Crm";
CREATE TYPE "Crm".region AS ENUM ('north', 'south');
CREATE TABLE "Crm"."Contact" (id bigint PRIMARY KEY, account_id integer, label text);
CREATE TABLE parted (id integer, region "Crm".region, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE north PARTITION OF parted FOR VALUES IN ('north');
CREATE TABLE south PARTITION OF parted FOR VALUES IN ('south');
CREATE TABLE whole (id uuid PRIMARY KEY);
CREATE TABLE late (id integer PRIMARY KEY, label text);
CREATE UNLOGGED TABLE quick (id integer PRIMARY KEY);
INSERT INTO late SELECT i, i % 2 FROM generate_series(1, 10) AS i;
SELECT mkt.attach('"Crm"."Contact"', account_column => 'account_id', unsubscribed => 'label = ''u''');
SELECT mkt.attach('parted', account_column => 'region');
SELECT mkt.attach('whole', account => 'all & one');
SELECT mkt.attach('quick', account => 'quick');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT mkt.attach('late', account => 'l', already_marketing => 'label = ''1''');
COMMIT;
SET mktcontacts.clock = '2026-01-20 12:00+00';
INSERT INTO mkt.account (account, edition, commitment, started_on, time_zone, currency)
VALUES ('1', 'starter', 'monthly', '2025-01-15', 'Europe/Oslo', 'EUR'), ('2', 'professional', 'annual', '2024-06-20', 'UTC', 'USD'), ('north', NULL, 'annual', '2024-03-20', 'UTC', 'EUR');
INSERT INTO mkt.account (account, count_deleted) VALUES ('south', true);
INSERT INTO mkt.account (account, maximum, at_maximum) VALUES ('9', 2, 'park');
INSERT INTO "Crm"."Contact" SELECT i, nullif(i % 4, 3), 'x', 'marketing', i % 3 = 0 FROM generate_series(1, 1200) AS i;
INSERT INTO "Crm"."Contact" SELECT i, 1, 'x', 'marketing' FROM generate_series(2001, 2800) AS i;
INSERT INTO "Crm"."Contact" VALUES (1901, 9, 'x', 'marketing'), (1902, 9, 'x', 'marketing'), (1903, 9, 'x', 'marketing');
RESET mktcontacts.clock;
INSERT INTO parted SELECT i, 'north', 'marketing', i % 2 = 0 FROM generate_series(1, 10) AS i;
INSERT INTO parted SELECT i, 'south', 'marketing', i % 2 = 0 FROM generate_series(1, 10) AS i;
INSERT INTO whole VALUES ('00000000-0000-0000-0000-000000000001', 'marketing', true);
INSERT INTO quick SELECT i, 'marketing' FROM generate_series(1, 3) AS i;
UPDATE parted SET region = 'south' WHERE region = 'north' AND id = 11;
UPDATE mkt.tool SET created_as = 'marketing' WHERE tool = 'api';
DELETE FROM mkt.price WHERE currency = 'GBP';
INSERT INTO mkt.tool (tool, created_as, promotes) VALUES ('a bot', 'marketing', 'always');
INSERT INTO mkt.tool_setting VALUES ('1', 'api', 'crm', 'non_marketing');
SELECT mkt.restrict_tool('"Crm"."Contact"', 'marketing_email', 'mailer');
SELECT mkt.save_filter('"Crm"."Contact"', '1', 'early', condition => 'id < 9');
SELECT mkt.create_list('"Crm"."Contact"', '1', 'fair');
SELECT mkt.add_to_list('"Crm"."Contact"', '1', 'fair', ARRAY[1, 5, 13]);
SELECT mkt.set_non_marketing('"Crm"."Contact"', ARRAY[1, 2], source_type => 'user');
SET mktcontacts.batch = 'spring';
UPDATE "Crm"."Contact" SET marketing_status = 'non_marketing', marketing_source_type = 'a bot' WHERE id IN (4, 5, 7, 8);
RESET mktcontacts.batch;
SELECT mkt.create_workflow('"Crm"."Contact"', '2', 'back', 'marketing', condition => 'label = ''back''', reenroll => true);
SELECT mkt.switch_on_workflow(1, true);
SELECT mkt.open_review('"Crm"."Contact"', '1'), mkt.review_list(1, 'fair');
SELECT mkt.fold_counts('mkt."Crm_Contact_count"');
CALL mkt.run();
DELETE FROM south WHERE id = 1;
SQL
	query('SELECT mkt.schedule()') if has_cron(0);
}

sub state
{
	my $state = query(<<'SQL');
SELECT * FROM "Crm"."Contact" ORDER BY id;
SELECT * FROM parted ORDER BY region, id;
SELECT * FROM whole ORDER BY id;
SELECT * FROM quick ORDER BY id;
SELECT contacts, count_table, account, counted, filled, already_marketing, unsubscribed, history, count_history, history_since FROM mkt.attachment ORDER BY contacts::text;
SELECT * FROM mkt.account ORDER BY account;
SELECT * FROM mkt.account_tier ORDER BY account;
SELECT * FROM mkt.tier_change ORDER BY change;
SELECT * FROM mkt.notice ORDER BY account, percent, period_ends_at;
SELECT * FROM mkt.period ORDER BY account, ends_at;
SELECT * FROM mkt.period_line ORDER BY account, ends_at, line;
SELECT * FROM mkt.tool ORDER BY tool;
SELECT * FROM mkt.tool_setting ORDER BY account, tool;
SELECT * FROM mkt.price ORDER BY 1, 2, 3;
SELECT * FROM mkt.usage ORDER BY account;
SELECT a, i, mkt.billable(a, i) FROM mkt.usage AS u (a), unnest(ARRAY['2026-03-10 12:00', '2026-04-01', '2026-12-01']::timestamptz[]) AS i ORDER BY a, i;
SELECT account, f.* FROM mkt.account, mkt.forecast(account, 3) AS f ORDER BY account, update_at;
SELECT * FROM mkt."Crm_Contact_history" ORDER BY change;
SELECT * FROM mkt.public_parted_history ORDER BY change;
SELECT inhrelid::regclass::text, pg_get_expr(relpartbound, inhrelid) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE relname ~ '_history_' ORDER BY 1;
SELECT k, h.* FROM generate_series(1, 40) AS k, mkt.history('"Crm"."Contact"', k) AS h ORDER BY k, changed_at, change;
SELECT * FROM mkt.batch ORDER BY batch;
SELECT * FROM mkt.filter;
SELECT * FROM mkt.list_member ORDER BY list, key;
SELECT * FROM mkt.review_contact ORDER BY review, step, key;
SELECT * FROM mkt.review_summary(1) WHERE (SELECT state = 'open' FROM mkt.review WHERE review = 1);
SELECT * FROM mkt.workflow ORDER BY workflow;
SELECT * FROM mkt.enrollment ORDER BY workflow, key;
SELECT * FROM mkt.parked_contact ORDER BY key;
SELECT last_value, is_called FROM mkt.batch_number;
SELECT last_value, is_called FROM mkt.change_number;
SELECT polname, pg_get_expr(polqual, polrelid) FROM pg_policy ORDER BY polrelid::regclass::text, polname, 2;
SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE tgname LIKE 'mkt%' ORDER BY tgrelid::regclass::text, tgname;
SELECT evtname, evtenabled FROM pg_event_trigger ORDER BY evtname;
SELECT item, state FROM mkt.status() WHERE item NOT IN ('version', 'last run', 'counts');
SQL

	return $state . (has_cron(0) ? query('SELECT jobid, schedule, command, database, username, active FROM cron.job') : '');
}

# Statements on every path, and what waited; after the last upgrade also what is due.
sub goes_on
{
	my ($name) = @_;
	my $id = 10_000 + 100 * version($node);

	is(query(<<"SQL"), "1|0|0|1\n2|0\nmarketing\nmarketing\nchanged\nmarketing\n0\n0", "$name: everything goes on");
INSERT INTO "Crm"."Contact" (id, account_id, marketing_status) VALUES ($id, $id, 'marketing'), ($id + 1, $id, 'marketing');
SELECT changed, already, pending, not_found FROM mkt.set_non_marketing('"Crm"."Contact"', ARRAY[$id, 999999]);
UPDATE "Crm"."Contact" SET marketing_status = 'non_marketing' WHERE id = $id + 1;
SELECT mkt.billable('$id'), mkt.billable('$id', '2027-04-01');
UPDATE south SET marketing_status = 'non_marketing' WHERE id = 4;
UPDATE parted SET region = 'north' WHERE region = 'south' AND id > 100;
DELETE FROM south WHERE id = 3;
INSERT INTO "Crm"."Contact" (id, account_id, marketing_source_type) VALUES ($id + 2, 4, 'api') RETURNING marketing_status;
INSERT INTO quick VALUES ($id, 'marketing');
UPDATE "Crm"."Contact" SET label = 'back', marketing_status = 'non_marketing' WHERE id = 2 RETURNING marketing_status;
CALL mkt.run();
SELECT state FROM mkt.enrollment WHERE workflow = 1 AND key = '2';
SELECT marketing_status FROM "Crm"."Contact" WHERE id = 2;
UPDATE "Crm"."Contact" SET label = 'x' WHERE id = 2;
CALL mkt.run();
SELECT count(*) FROM mkt.run_log WHERE failed > 0;
SELECT count(*) FROM mkt.drift;
SQL
	is(query('SELECT * FROM mkt.verify()'), '', "$name: exactly again");
	return if version($node) != $installations[-1] =~ s/.*\///r;
	is(query(<<'SQL'), "4|0\nt\n0\n0\n2026-04-15|starter\n0", "$name: what is due is done, batches are taken back and a review is applied");
SELECT restored, changed_since FROM mkt.undo('spring');
SELECT changed > 0 FROM mkt.apply_review(1);
SET mktcontacts.clock = '2026-05-01 00:00+00';
CALL mkt.run();
SELECT count(*) FROM "Crm"."Contact" WHERE marketing_until_next_update AND marketing_until <= mkt.now();
SELECT count(*) FROM mkt.run_log WHERE failed > 0;
SELECT ends_on, edition FROM mkt.period WHERE account = '1' ORDER BY ends_at DESC LIMIT 1;
SELECT count(*) FROM mkt.verify();
SQL
}

sub schedule_works
{
	my ($name) = @_;

	return if !has_cron($#installations) || !has_cron(0);
	query(q{SELECT mkt.schedule('1 second')});
	ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM cron.job_run_details WHERE status = 'succeeded' AND command = 'CALL mkt.run()'}), "$name: the schedule works");
	query('SELECT mkt.unschedule()');
}
