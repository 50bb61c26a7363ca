# A hot standby previews bulk changes as its primary does, and changes nothing (W6).

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
is($primary->safe_psql('postgres', 'SELECT count(*) FROM mkt.verify()'), '0', 'the counts are exact');

$standby->stop;
$primary->stop;
done_testing();
