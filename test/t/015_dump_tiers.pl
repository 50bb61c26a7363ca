# Dumped and restored, and once more: shipped rows are as their users changed, deleted or replaced them; accounts have the tiers
# that they have committed to, and go on crossing from there; closed periods are as they were, and more are closed after them.
# Large tables refer to small ones, which several sessions at once bring in any order.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Contacts;
use File::Path;
use PostgreSQL::Test::Utils;
use Test::More;

start_server('dump_tiers', 'max_prepared_transactions = 5');
query('CREATE DATABASE source');
query(<<'SQL', 'source');
CREATE EXTENSION mktcontacts;
SET mktcontacts.clock = '2026-03-10 12:00+00';
UPDATE mkt.price SET base = 777 WHERE edition = 'professional' AND currency = 'USD';
UPDATE mkt.price SET edition = 'starter', currency = 'NOK', base = 199 WHERE edition = 'starter' AND currency = 'USD';
DELETE FROM mkt.price WHERE currency = 'EUR';
INSERT INTO mkt.price (edition, currency, base, per_increment) VALUES ('starter', 'EUR', 10, 5), ('professional', 'EUR', 700, 200);
INSERT INTO mkt.price_band (edition, currency, from_increment, per_increment) VALUES ('professional', 'EUR', 5, 190);
DELETE FROM mkt.tool_use WHERE tool = 'survey';
INSERT INTO mkt.tool_use (tool, needs_marketing, needs_reachable) VALUES ('survey', true, true), ('fax', false, true);
DELETE FROM mkt.tool_use WHERE tool = 'ads_audience';
UPDATE mkt.threshold SET valid_to = '2026-01-01' WHERE percent = 98;
DELETE FROM mkt.threshold WHERE percent = 90;
INSERT INTO mkt.threshold (percent) VALUES (80), (90);
DELETE FROM mkt.edition WHERE edition = 'enterprise';
INSERT INTO mkt.edition (edition) VALUES ('ten');
INSERT INTO mkt.increment (edition, included, increment) VALUES ('ten', 10, 10);
INSERT INTO mkt.price (edition, currency, base, per_increment) VALUES ('ten', 'EUR', 10, 5);
INSERT INTO mkt.price (edition, currency, valid_from, base, per_increment) VALUES ('starter', 'USD', '2026-02-01', 20, 20);
SET mktcontacts.clock = '2026-01-20 12:00+00';
INSERT INTO mkt.edition (edition) SELECT 'e' || i FROM generate_series(1, 100) AS i;
INSERT INTO mkt.increment (edition, included, increment) SELECT edition, 10, 10 FROM mkt.edition WHERE edition ~ '^e\d';
INSERT INTO mkt.price (edition, currency, base, per_increment) SELECT edition, 'NOK', 10, 10 FROM mkt.edition WHERE edition ~ '^e\d';
INSERT INTO mkt.account (account, edition, started_on, currency) SELECT 'c' || i, 'e' || i % 100 + 1, '2020-01-01', 'NOK' FROM generate_series(1, 500) AS i;
SET mktcontacts.clock = '2026-03-10 12:00+00';
INSERT INTO mkt.tool (tool, created_as) SELECT 't' || i, 'marketing' FROM generate_series(1, 100) AS i;
INSERT INTO mkt.tool_setting (account, tool, created_as) SELECT 'c' || i, 't' || i % 100 + 1, 'non_marketing' FROM generate_series(1, 500) AS i;

CREATE TABLE contact (id integer PRIMARY KEY, account text);
SELECT mkt.attach('contact', account_column => 'account');
INSERT INTO mkt.account (account, edition, started_on, sandbox) VALUES
	('fell', 'ten', '2024-06-20', false), ('grows', 'ten', '2024-06-20', false), ('box', 'ten', NULL, true), ('none', NULL, NULL, false), ('monthly', 'starter', '2025-01-31', false);
INSERT INTO contact SELECT i, 'fell', 'marketing' FROM generate_series(1, 35) AS i;
SET mktcontacts.clock = '2026-03-11 12:00+00';
DELETE FROM contact WHERE id > 5;
SELECT mkt.request_downgrade('fell', 20);
INSERT INTO contact SELECT i, 'grows', 'marketing' FROM generate_series(101, 107) AS i;
INSERT INTO contact SELECT i, 'box', 'marketing' FROM generate_series(201, 215) AS i;
UPDATE mkt.notice SET seen_at = '2026-03-11 13:00+00' WHERE percent = 75;
BEGIN;
INSERT INTO contact VALUES (108, 'grows', 'marketing');
PREPARE TRANSACTION 'p';
COMMIT PREPARED 'p';
CALL mkt.run();
UPDATE mkt.account SET currency = 'USD' WHERE account = 'monthly';
SQL
my $before = state('source');
my $dump = PostgreSQL::Test::Utils::tempdir . '/dump';
my %way = (
	plain => [ [ 'pg_dump', '-f', $dump ], [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d' ] ],
	custom => [ [ 'pg_dump', '-Fc', '-f', $dump ], [ 'pg_restore', '--exit-on-error', '-j2', $dump, '-d' ] ],
	directory => [ [ 'pg_dump', '-Fd', '-f', "$dump.d" ], [ 'pg_restore', '--exit-on-error', '-j4', "$dump.d", '-d' ] ],
	at_once => [ [ 'pg_dump', '-f', $dump ], [ 'psql', '-X', '-q', '-1', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d' ] ],
	inserts => [ [ 'pg_dump', '--inserts', '-f', $dump ], [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d' ] ],
);

for my $kind (sort keys %way)
{
	my $from = 'source';

	for my $db ($kind, "${kind}_again")
	{
		my ($save, $restore) = @{ $way{$kind} };

		File::Path::rmtree("$dump.d");
		$node->command_ok([ @{$save}, $from ], "$db: dumped");
		query("CREATE DATABASE $db");
		$node->command_ok([ @{$restore}, $db ], "$db: restored");
		is(state($db), $before, "$db: prices, tools, tiers, notices, requests and periods are the same");
		$from = $db;
	}
	goes_on($from);
}
is(state('source'), $before, 'the source has not changed');
$node->stop;
done_testing();

sub state
{
	my ($db) = @_;

	return query(<<'SQL', $db);
SET mktcontacts.clock = '2026-03-11 12:00+00';
SELECT * FROM mkt.edition ORDER BY 1;
SELECT * FROM mkt.increment ORDER BY 1, 2;
SELECT * FROM mkt.price ORDER BY 1, 2, 3;
SELECT * FROM mkt.price_band ORDER BY 1, 2, 3, 4;
SELECT * FROM mkt.threshold ORDER BY 1, 2;
SELECT * FROM mkt.tool_use ORDER BY 1;
SELECT * FROM mkt.account ORDER BY 1;
SELECT * FROM mkt.account_tier ORDER BY 1;
SELECT * FROM mkt.tier_change ORDER BY account, at, to_tier;
SELECT * FROM mkt.notice ORDER BY account, percent;
SELECT * FROM mkt.downgrade_request ORDER BY 1;
SELECT string_agg(tool::text, ' ' ORDER BY tool) FROM mkt.tool;
SELECT md5(string_agg(tool_setting::text, ' ' ORDER BY account, tool)) FROM mkt.tool_setting;
SELECT * FROM mkt.period ORDER BY account, ends_at;
SELECT * FROM mkt.period_line ORDER BY account, ends_at, line;
SELECT * FROM mkt.past_account ORDER BY account;
SELECT w FROM mkt.shipping, jsonb_array_elements(withdrawn) AS w ORDER BY w;
SELECT account, billable, tier, tier_used, price, next_renewal FROM mkt.usage ORDER BY 1;
SELECT account, tier FROM mkt.account, mkt.forecast(account, 5) WHERE edition IN ('ten', 'starter') ORDER BY account, update_at;
SELECT edition, currency, contacts, mkt.price(edition, contacts, currency) FROM mkt.price, unnest(ARRAY[1, 1001, 70000]) AS contacts ORDER BY 1, 2, 3;
SQL
}

# Notices, tiers, renewals and requests, where they were left.
sub goes_on
{
	my ($db) = @_;

	is(query(<<'SQL', $db), <<'EXPECTED' =~ s/\n\z//r, "$db: goes on");
SET mktcontacts.clock = '2026-03-12 12:00+00';
CALL mkt.run();
SELECT count(*) FROM mkt.notice WHERE NOT notified;
INSERT INTO contact SELECT i, 'grows', 'marketing' FROM generate_series(110, 112) AS i;
SELECT percent, billable FROM mkt.notice WHERE account = 'grows' ORDER BY 1;
SELECT billable, from_tier, to_tier, charge FROM mkt.tier_change WHERE account = 'grows' AND reason = 'exceeded';
INSERT INTO contact SELECT i, 'fell', 'marketing' FROM generate_series(301, 340) AS i;
SELECT tier FROM mkt.account_tier WHERE account = 'fell';
DELETE FROM contact WHERE id > 300;
INSERT INTO mkt.account (account, edition) VALUES ('new', 'ten');
UPDATE mkt.account SET started_on = '2024-07-01' WHERE account = 'fell';
SET mktcontacts.clock = '2026-07-12 12:00+00';
CALL mkt.run();
SELECT from_tier, to_tier, at FROM mkt.tier_change WHERE account = 'fell' AND reason = 'renewed';
SELECT account, tier FROM mkt.account_tier WHERE account !~ '^c\d' ORDER BY 1;
SELECT account, ends_on, opening, closing, tier, currency, charge FROM mkt.period WHERE account IN ('grows', 'monthly') ORDER BY 1, 2;
SELECT count(*), sum(charge), count(*) FILTER (WHERE note IS NOT NULL) FROM mkt.period WHERE account ~ '^c\d';
UPDATE mkt.price SET base = 42 WHERE shipped AND edition = 'professional' AND currency = 'USD';
DELETE FROM mkt.price WHERE shipped;
SELECT * FROM mkt.verify();
SQL
0
75|8
80|8
90|11
101|11
11|10|20|16.44
50
50|20|2026-07-01 00:00:00+00
box|20
fell|20
grows|20
monthly|1000
new|10
grows|2026-04-01|0|11|20|EUR|23.54
grows|2026-05-01|11|11|20|EUR|10.00
grows|2026-06-01|11|11|20|EUR|10.00
grows|2026-06-20|11|11|20|EUR|6.33
grows|2026-07-01|11|11|20|EUR|5.50
monthly|2026-04-01|0|0|1000|USD|14.19
monthly|2026-05-01|0|0|1000|USD|20.00
monthly|2026-06-01|0|0|1000|USD|20.00
monthly|2026-07-01|0|0|1000|USD|20.00
3000|26935.00|0
EXPECTED
	return;
}
