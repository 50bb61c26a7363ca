# A rule that was widened by mistake would make 250,000 contacts marketing where 12,000 were. Sixteen clients follow it
# against accounts with a maximum: not one contact goes over, and the accounts' other work goes on. Prepared
# transactions, savepoints and several tables are part of it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Contacts;
use PostgreSQL::Test::Utils;
use Test::More;

start_server('maximum', 'max_connections = 50', 'max_prepared_transactions = 30');
query(<<'SQL');
CREATE EXTENSION mktcontacts;
CREATE TABLE contact (id integer PRIMARY KEY, account text, note text);
CREATE TABLE guest (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account text);
SELECT mkt.attach(t, account_column => 'account') FROM unnest(ARRAY['contact', 'guest']::regclass[]) AS t;
INSERT INTO contact SELECT i, CASE i % 2 WHEN 0 THEN 'refuses' ELSE 'parks' END, NULL, CASE WHEN i <= 24000 THEN 'marketing' END::mkt.status
FROM generate_series(1, 500000) AS i;
INSERT INTO mkt.account (account, maximum, at_maximum) VALUES ('refuses', 20000, 'refuse'), ('parks', 20000, 'park');
SQL

query(<<'SQL');
CREATE FUNCTION try(command text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN EXECUTE command; EXCEPTION WHEN SQLSTATE 'MK014' THEN NULL; END $$;
SQL

my %scripts = (
	parks => [ 6, <<'SQL' ],
\set id random(1, 499000)
UPDATE contact SET marketing_status = 'marketing' WHERE id BETWEEN :id AND :id + 1000 AND account = 'parks';
SELECT mkt.set_marketing('contact', ARRAY(SELECT id FROM contact WHERE id BETWEEN :id AND :id + 20 AND account = 'parks'));
SQL
	refuses => [ 6, <<'SQL' ],
\set id random(1, 499000)
SELECT try($$UPDATE contact SET marketing_status = 'marketing' WHERE id BETWEEN :id AND :id + 100 AND account = 'refuses'$$);
SELECT try($$INSERT INTO guest (account, marketing_status) VALUES ('refuses', 'marketing')$$);
BEGIN;
SAVEPOINT s;
SELECT try($$UPDATE contact SET marketing_status = 'marketing' WHERE id BETWEEN :id AND :id + 10 AND account = 'refuses'$$);
ROLLBACK TO s;
SELECT try($$UPDATE contact SET marketing_status = 'marketing' WHERE id BETWEEN :id AND :id + 5 AND account = 'refuses'$$);
COMMIT;
SQL
	prepared => [ 2, <<'SQL' ],
BEGIN;
SELECT try($$INSERT INTO guest (account, marketing_status) VALUES ('refuses', 'marketing'), ('refuses', 'marketing')$$);
PREPARE TRANSACTION 'p:client_id';
COMMIT PREPARED 'p:client_id';
SQL
	work => [ 2, <<'SQL' ],
\set id random(1, 499000)
UPDATE contact SET note = 'seen' WHERE id = :id;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id BETWEEN :id AND :id + 5 AND account = 'refuses';
DELETE FROM guest WHERE id IN (SELECT id FROM guest WHERE account = 'refuses' ORDER BY id LIMIT 3 FOR UPDATE SKIP LOCKED);
INSERT INTO guest (account, marketing_status) VALUES ('other', 'marketing'), ('parks', NULL);
SQL
);
my $folder = PostgreSQL::Test::Utils::tempdir;
my $seconds = 8;
my $end = time() + $seconds;
my %work;
for my $name (sort keys %scripts)
{
	my ($clients, $text) = @{ $scripts{$name} };

	$work{$name} = pgbench(script($name, $text), $clients, $seconds, "$folder/$name.out", '--max-tries=100');
}

my $over = 0;
while (time() < $end)
{
	$over += query("SELECT count(*) FROM unnest(ARRAY['refuses', 'parks']) AS a WHERE mkt.billable(a) > 20000");
}
is($over, 0, 'nobody ever saw an account over its maximum');
for my $name (sort keys %work)
{
	my $finished = $work{$name}->finish;
	my $output = slurp_file("$folder/$name.out");
	my ($transactions) = $output =~ /number of transactions actually processed: (\d+)/;

	ok($finished && $transactions > 10, "$name: no client failed") or diag $output;
}
is(query("SELECT mkt.billable('parks')"), '20000', 'the account that parks is full');
cmp_ok(query("SELECT mkt.billable('refuses')"), '>', 19800, 'so is the one that refuses, or nearly');
cmp_ok(query("SELECT count(*) FROM mkt.parked WHERE account = 'parks'"), '>', 1000, 'who was parked can be found');
is(query("SELECT count(*) FROM mkt.parked AS p JOIN contact AS c ON c.id::text = p.key WHERE c.marketing_status = 'marketing'"),
	'0', 'and is non-marketing');
is(query('SELECT count(*) FROM mkt.verify()'), '0', 'the counts are exact');
is(query('SELECT count(*) FROM pg_prepared_xacts'), '0', 'no transaction is left');

# One transaction may touch far more accounts than the lock table has room for, and waits for nobody who touches others,
# in whatever order; who touches one of them waits until it has ended, and finds it full.
query(<<'SQL');
INSERT INTO mkt.account (account, maximum) SELECT 'many ' || i, 1 FROM generate_series(1, 40000) AS i;
SET statement_timeout = '20s';
BEGIN;
INSERT INTO guest (account, marketing_status) SELECT 'many ' || i, 'marketing' FROM generate_series(1, 20000) AS i;
PREPARE TRANSACTION 'first half';
SQL
query(<<'SQL');
SET lock_timeout = '1s';
BEGIN;
INSERT INTO guest (account, marketing_status) SELECT 'many ' || i, 'marketing' FROM generate_series(40000, 20001, -1) AS i;
COMMIT;
SQL
my $one_more = q{INSERT INTO guest (account, marketing_status) VALUES ('many 777', 'marketing')};
for my $when ('while it is prepared', 'after a crash')
{
	my ($status, $output, $error) = $node->psql('postgres', "SET lock_timeout = '200ms'; $one_more");
	like($error, qr/lock timeout/, "who touches an account of a large transaction waits, $when");
	kill_server() if $when eq 'while it is prepared';
	$node->start if $when eq 'while it is prepared';
}
query("COMMIT PREPARED 'first half'");
my ($status, $output, $error) = $node->psql('postgres', $one_more);
like($error, qr/may not have more than 1 marketing/, 'and finds it full');
is(query(q{SELECT count(*), min(billable), max(billable) FROM mkt.usage WHERE account LIKE 'many %'}), '40000|1|1', 'of many accounts none went over');
query(q{DELETE FROM mkt.account WHERE account LIKE 'many %'});
is(query(q{SELECT count(*) FROM mkt.limited_account WHERE account LIKE 'many %'}), '0', 'and none is remembered that has no maximum');
is(query('SELECT count(*) FROM mkt.verify()'), '0', 'the counts are exact');

$node->stop;
done_testing();
