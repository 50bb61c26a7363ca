# A hot standby previews bulk changes, and sums up reviews, as its primary does, and changes nothing (W6).

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->start;
$primary->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->start;

$primary->safe_psql('postgres', <<'SQL');
CREATE EXTENSION mktcontacts;
INSERT INTO mkt.account (account, edition) VALUES ('a', 'starter'), ('b', 'starter');
CREATE TABLE contact (id int PRIMARY KEY, account text);
SELECT mkt.attach('contact', account_column => 'account');
INSERT INTO contact SELECT i, CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END, CASE WHEN i <= 2100 THEN 'marketing'::mkt.status END, i % 7 = 0
FROM generate_series(1, 5000) AS i WHERE i <= 2100 OR i % 7 <> 0;
SELECT mkt.save_filter('contact', NULL, 'early', condition => 'id < 1000');
SELECT mkt.create_list('contact', 'a', 'fair');
SELECT mkt.add_to_list('contact', 'a', 'fair', ARRAY(SELECT generate_series(2, 1400)));
SELECT mkt.open_review('contact', 'a');
SELECT mkt.review_filter(1, 'early'), mkt.review_list(1, 'fair');
SQL
$primary->wait_for_catchup($standby);

my $now = $primary->safe_psql('postgres', 'SELECT now()');
for my $function ('preview_set_marketing', 'preview_set_non_marketing')
{
	my $sql = "SET mktcontacts.clock = '$now'; SELECT * FROM mkt.$function('contact', ARRAY(SELECT generate_series(1, 6000)))";
	my $expected = $primary->safe_psql('postgres', $sql);

	like($expected, qr/^a\|.*\|EUR\|.*\nb\|/, "$function tells of both accounts");
	is($standby->safe_psql('postgres', $sql), $expected, "$function says the same on a standby");
}
for my $from ("mkt.preview_set_non_marketing('contact', saved_filter => 'early')",
	"mkt.preview_set_marketing('contact', list => 'fair', account => 'a')",
	"mkt.preview_set_marketing('contact', query => 'SELECT id FROM contact WHERE id > 2000')",
	'mkt.review_summary(1)')
{
	my $sql = "SET mktcontacts.clock = '$now'; SELECT * FROM $from";
	my $expected = $primary->safe_psql('postgres', $sql);

	like($expected, qr/^a\|.*\|EUR\|/, "$from tells of the account");
	is($standby->safe_psql('postgres', $sql), $expected, "$from says the same on a standby");
}
my ($code, undef, $error) = $standby->psql('postgres', 'SELECT mkt.review_unengaged(1)');
like($error, qr/cannot execute .* (?:during recovery|in a read-only transaction)/, 'reviews go on elsewhere');
is($primary->safe_psql('postgres', 'SELECT count(*) FROM mkt.verify()'), '0', 'the counts are exact');

$standby->stop;
$primary->stop;
done_testing();
