# Prepared transactions: their counts, histories and batches come and go with them, also through a crash.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Contacts;
use Test::More;

start_server('prepared', 'max_prepared_transactions = 10', "mktcontacts.clock = '2026-03-10 12:00+00'");
query(<<'SQL');
CREATE EXTENSION mktcontacts;
CREATE TABLE contact (id integer PRIMARY KEY, account text) PARTITION BY RANGE (id);
CREATE TABLE low PARTITION OF contact FOR VALUES FROM (0) TO (100);
CREATE TABLE high PARTITION OF contact FOR VALUES FROM (100) TO (1000);
SELECT mkt.attach('contact', account_column => 'account');
INSERT INTO mkt.account (account, commitment, started_on) VALUES ('a', 'monthly', '2025-01-15');
INSERT INTO contact SELECT i, 'a', 'marketing' FROM generate_series(1, 10) AS i;
SQL

# What a transaction does before it is prepared; the counts (now, on 15 March, of b), and the changes in the history and in the
# report of its batch, when it is committed.
my @cases = (
	[ 'a statement', q{INSERT INTO contact VALUES (11, 'a', 'marketing')}, '11|11|0', '1|1' ],
	[ 'a statement on a partition itself', q{UPDATE low SET marketing_status = 'non_marketing' WHERE id = 1}, '10|9|0', '1|1' ],
	[ 'statements on partitions and in savepoints', <<'SQL', '8|8|1', '2|2' ],
DELETE FROM low WHERE id = 1;
SAVEPOINT s;
DELETE FROM low WHERE id = 2;
ROLLBACK TO s;
SAVEPOINT t;
UPDATE low SET account = 'b' WHERE id = 3;
RELEASE t
SQL
	[ 'a statement that empties the table', 'INSERT INTO low VALUES (12, \'a\', \'marketing\'); TRUNCATE contact; INSERT INTO low VALUES (1, \'b\', \'marketing\')', '0|0|1', '2|2' ],
);
for my $case (@cases)
{
	my ($name, $statements, $committed, $told) = @$case;

	for my $crash (0, 1)
	{
		for my $end ('ROLLBACK', 'COMMIT')
		{
			my $what = "$name, " . ($crash ? 'crash, ' : '') . lc $end;

			query(q{DELETE FROM contact; INSERT INTO contact SELECT i, 'a', 'marketing' FROM generate_series(1, 10) AS i});
			query("DELETE FROM mkt.batch_report; BEGIN; SET LOCAL mktcontacts.batch = 'prepared'; SAVEPOINT before; $statements; PREPARE TRANSACTION 'p'");
			if ($name !~ /empties/)
			{
				is(counts(), '10|10|0', "$what: nothing before the end");
				is(changes(), '0|', "$what: nothing is told before the end");
				is(verify(), '', "$what: exactly");
			}
			if ($crash)
			{
				$node->stop('immediate');
				$node->start;
			}
			query("$end PREPARED 'p'");
			is(counts(), $end eq 'COMMIT' ? $committed : '10|10|0', "$what: counts");
			is(changes(), $end eq 'COMMIT' ? $told : '0|', "$what: history and batch");
			is(verify(), '', "$what: exact");
		}
	}
}

# A contact that a prepared transaction made pending gets the date of settings that change meanwhile: they wait for it.
query(q{DELETE FROM contact; INSERT INTO contact SELECT i, 'a', 'marketing' FROM generate_series(1, 10) AS i});
query(q{BEGIN; UPDATE low SET marketing_status = 'non_marketing' WHERE id = 1; PREPARE TRANSACTION 'p'});
kill_server();
$node->start;
my ($status, $output, $error) = $node->psql('postgres', q{SET lock_timeout = '200ms'; UPDATE mkt.account SET started_on = '2025-01-20'});
like($error, qr/lock timeout/, 'settings wait for a prepared transaction');
query(q{COMMIT PREPARED 'p'});
query(q{UPDATE mkt.account SET started_on = '2025-01-20'});
is(query('SELECT id, marketing_until FROM contact WHERE marketing_until_next_update'), '1|2026-03-20 00:00:00+00', 'and then date its contacts');
is(verify(), '', 'exactly');

# Jobs among prepared transactions leave alone what these have locked.
query(q{BEGIN; UPDATE contact SET marketing_status = 'marketing', marketing_until_next_update = false WHERE id = 1; DELETE FROM low WHERE id = 2; PREPARE TRANSACTION 'p'});
query(q{SET mktcontacts.clock = '2026-04-01 00:00+00'; CALL mkt.run()});
query(q{ROLLBACK PREPARED 'p'});
is(verify(), '', 'exact after jobs and rollback');
query(q{SET mktcontacts.clock = '2026-04-01 00:00+00'; CALL mkt.run()});
is(query('SELECT count(*) FROM contact WHERE marketing_until_next_update'), '0', 'the next run takes what was locked');
is(verify(), '', 'exactly');

# A batch of a prepared transaction is taken back once it is committed; who begins a batch of this name waits for it until then.
query(q{DELETE FROM contact; INSERT INTO contact SELECT i, 'a', 'marketing' FROM generate_series(1, 10) AS i});
query(q{BEGIN; SET LOCAL mktcontacts.batch = 'waited for'; UPDATE low SET marketing_status = 'non_marketing' WHERE id < 5; PREPARE TRANSACTION 'p'});
kill_server();
$node->start;
($status, $output, $error) = $node->psql('postgres', q{SET lock_timeout = '200ms'; SET mktcontacts.batch = 'waited for'; UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 9});
like($error, qr/lock timeout/, 'a batch waits for who began it in a prepared transaction');
is(query(q{SELECT count(*) FROM mkt.batch WHERE label = 'waited for'}), '0', 'of which nothing is seen');
query(q{COMMIT PREPARED 'p'; SET mktcontacts.batch = 'waited for'; UPDATE contact SET marketing_status = 'non_marketing' WHERE id = 9});
is(query(q{SELECT restored, changed_since, gone FROM mkt.undo((SELECT batch FROM mkt.batch WHERE label = 'waited for'))}), '5|0|0', 'and both are taken back');
is(verify(), '', 'exactly');

# A prepared change of a tool's default is good from its end on.
query(q{BEGIN; INSERT INTO mkt.tool_setting VALUES ('a', 'api', NULL, 'marketing'); PREPARE TRANSACTION 'p'});
is(query(q{SELECT mkt.created_as('a', 'api')}), 'non_marketing', 'not before');
query(q{COMMIT PREPARED 'p'});
is(query(q{INSERT INTO contact (id, account, marketing_source_type) VALUES (50, 'a', 'api') RETURNING marketing_status}), 'marketing', 'but then');

# The accounts that a transaction touches share their locks: it may touch more of them than a server has locks.
query(<<'SQL');
CREATE TABLE many (id integer PRIMARY KEY, account text);
SELECT mkt.attach('many', account_column => 'account');
INSERT INTO mkt.account (account, edition) SELECT 'many ' || i, 'starter' FROM generate_series(1, 3000) AS i;
BEGIN;
INSERT INTO many SELECT i, 'many ' || i, 'marketing' FROM generate_series(1, 3000) AS i;
PREPARE TRANSACTION 'p';
SQL
is(query(q{SELECT count(*) BETWEEN 900 AND 1200 FROM pg_locks WHERE classid = 'mkt.account'::regclass}), 't', 'thousands of accounts, hundreds of locks');
query(q{COMMIT PREPARED 'p'});

# A seal passes by no row of a transaction that is still open: with more of them than it has room for, it ends before the others.
query(<<'SQL');
CREATE TABLE sealed (id integer PRIMARY KEY, account text);
SELECT mkt.attach('sealed', account_column => 'account');
CREATE PROCEDURE pass() LANGUAGE plpgsql AS 'BEGIN FOR i IN 1..2100 LOOP PERFORM txid_current(); COMMIT; END LOOP; END';
-- What one transaction folds twice, it meets as dead rows that others may still see.
CREATE PROCEDURE fold() LANGUAGE plpgsql AS $$
BEGIN
	FOR turn IN 1..2 LOOP
		INSERT INTO mkt.public_sealed_count (account_name, account, until, n) SELECT 's', 's', 'infinity', (-1) ^ n FROM generate_series(1, 200) AS n;
		PERFORM mkt.fold_counts('mkt.public_sealed_count');
	END LOOP;
END $$;
SQL
my $billable = q{SELECT mkt.billable('s')};
my $seals = 'SELECT count(*) > 0, max(n >> 32 & 15) FROM mkt.public_sealed_count WHERE lane < 0';
for my $i (1 .. 10)
{
	query('CALL pass()');
	query("BEGIN; INSERT INTO sealed VALUES ($i, 's', 'marketing'); PREPARE TRANSACTION '$i'");
}
query('CALL pass()');
query('CALL fold()');
is(query($seals), 't|8', 'sealed up to the ninth');
is(query($billable), '0', 'none of them is counted');
query("COMMIT PREPARED '$_'") for 9, 3, 10, 1;
is(query($billable), '4', 'but those that are committed');
query('CALL pass()');
query('CALL fold()');
is(query($seals), 't|6', 'sealed with all that are left');
query("ROLLBACK PREPARED '8'");
query("COMMIT PREPARED '$_'") for 2, 4 .. 7;
is(query($billable), '9', 'each is counted');
is(verify(), '', 'exactly');

$node->stop;
done_testing();

sub counts
{
	return query(q{SELECT mkt.billable('a'), mkt.billable('a', '2026-03-15'), mkt.billable('b')});
}

sub changes
{
	return query(<<'SQL');
SELECT count(h.*), sum(DISTINCT b.changed) FROM mkt.batch AS b LEFT JOIN mkt.public_contact_history AS h USING (batch) WHERE label = 'prepared'
SQL
}
