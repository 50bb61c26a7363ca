# Sixteen clients write the contacts of one account in every way, at two isolation levels, while counts are folded, applied,
# read and repaired: nobody fails but by serialization, the counts are exact, and their table stays small.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Contacts;
use PostgreSQL::Test::Utils;
use Test::More;

start_server('concurrent', 'max_connections = 50', 'max_prepared_transactions = 30', 'max_pred_locks_per_transaction = 1000');
query(<<'SQL');
CREATE EXTENSION mktcontacts;
CREATE TABLE contact (id integer PRIMARY KEY, account text, note text);
CREATE TABLE parted (id integer PRIMARY KEY, account text) PARTITION BY HASH (id);
CREATE TABLE part_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE part_1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE plain (id integer PRIMARY KEY, account text);
SELECT mkt.attach(t, account_column => 'account') FROM unnest(ARRAY['contact', 'parted', 'plain']::regclass[]) AS t;
SELECT mkt.set_history('plain', false);
INSERT INTO contact SELECT i, 'a', NULL, 'marketing' FROM generate_series(1, 3000) AS i;
INSERT INTO parted SELECT i, 'a', 'marketing' FROM generate_series(1, 3000) AS i;
INSERT INTO plain SELECT i, 'a', 'marketing' FROM generate_series(1, 3000) AS i;
SQL

my %scripts = (
	single => [ 4, <<'SQL' ],
\set id random(1, 4000)
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = :id;
UPDATE contact SET note = 'x' WHERE id = :id;
INSERT INTO contact (id, account, marketing_status) VALUES (:id, 'a', 'marketing') ON CONFLICT (id) DO UPDATE SET marketing_status = 'marketing', marketing_until_next_update = false;
DELETE FROM parted WHERE id = :id;
INSERT INTO parted VALUES (:id, 'a', 'marketing') ON CONFLICT DO NOTHING;
SQL
	plain => [ 4, <<'SQL' ],
\set id random(1, 4000)
UPDATE plain SET marketing_until_next_update = NOT marketing_until_next_update WHERE id = :id;
BEGIN;
DELETE FROM plain WHERE id = :id;
UPDATE contact SET note = 'y' WHERE id = :id;
INSERT INTO plain VALUES (:id, 'a', 'marketing') ON CONFLICT DO NOTHING;
COMMIT;
BEGIN;
UPDATE plain SET account = 'b' WHERE id = :id;
ROLLBACK;
SQL
	blocks => [ 3, <<'SQL' ],
\set id random(1, 4000)
BEGIN;
UPDATE part_0 SET marketing_status = 'non_marketing' WHERE id = :id;
SAVEPOINT s;
DELETE FROM contact WHERE id = :id;
UPDATE part_1 SET account = 'b' WHERE id = :id;
ROLLBACK TO s;
INSERT INTO part_1 SELECT :id + 10000, 'a', 'marketing' WHERE satisfies_hash_partition('parted'::regclass, 2, 1, :id + 10000) ON CONFLICT DO NOTHING;
SAVEPOINT t;
UPDATE contact SET account = 'b' WHERE id = :id;
RELEASE t;
UPDATE contact SET account = 'a' WHERE id = :id;
COMMIT;
SQL
	bulk => [ 2, <<'SQL' ],
\set id random(1, 4000)
SELECT changed FROM mkt.set_non_marketing('contact', ARRAY(SELECT generate_series(:id, :id + 20)));
SELECT changed FROM mkt.set_marketing('contact', ARRAY(SELECT generate_series(:id, :id + 10)));
SQL
	serializable => [ 3, <<'SQL' ],
\set id random(1, 4000)
BEGIN ISOLATION LEVEL SERIALIZABLE;
UPDATE contact SET marketing_status = 'non_marketing' WHERE id = :id;
INSERT INTO contact (id, account, marketing_status) VALUES (:id + 20000, 'a', 'marketing') ON CONFLICT DO NOTHING;
SELECT mkt.billable('a');
COMMIT;
SQL
	prepared => [ 1, <<'SQL' ],
\set id random(1, 4000)
BEGIN;
UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id = :id;
DELETE FROM part_0 WHERE id = :id;
PREPARE TRANSACTION 'p';
\if :id > 2000
COMMIT PREPARED 'p';
\else
ROLLBACK PREPARED 'p';
\endif
SQL
	jobs => [ 3, <<'SQL' ],
CALL mkt.run();
\sleep 5 ms
SELECT mkt.fold_counts('mkt.public_contact_count');
SELECT mkt.fold_counts('mkt.public_plain_count');
SELECT count(*) FROM mkt.repair();
SET mktcontacts.clock = '2099-01-01';
CALL mkt.apply_updates(batch_size => 30);
RESET mktcontacts.clock;
\sleep 20 ms
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

# A reader sees exact counts all the time.
my $differences = 0;
my $looks = 0;
while (time() < $end)
{
	$differences++ if verify() ne '';
	$looks++;
}
is($differences, 0, "exact at $looks moments");

my $transactions = 0;
for my $name (sort keys %work)
{
	my $finished = $work{$name}->finish;
	my $output = slurp_file("$folder/$name.out");

	ok($finished, "$name: no client failed") or diag $output;
	$transactions += $1 if $output =~ /number of transactions actually processed: (\d+)/;
}
cmp_ok($transactions, '>', 100, "after $transactions transactions");
is(verify(), '', 'the counts are exact');
cmp_ok(query('SELECT count(*) FROM mkt.contact_count'), '<', 1000 + $transactions / 10, 'their table has stayed small');
query('CALL mkt.run()') for 1 .. 3;
cmp_ok(query('SELECT count(*) FROM mkt.contact_count'), '<', 30, 'and shrinks to a row for each account and instant');
is(verify(), '', 'which are exact');
is(query('SELECT count(*) FROM pg_prepared_xacts'), '0', 'no transaction is left');

$node->stop;
done_testing();
