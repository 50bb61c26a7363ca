# Many contacts in one statement: their history needs no more memory than that of a few, and taking them back little.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Contacts;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

plan skip_all => 'looks at /proc' unless -r "/proc/$$/status";

my $many = 250_000;
start_server('volumes', "mktcontacts.clock = '2026-03-10 12:00+00'", 'shared_buffers = 256MB', 'max_wal_size = 4GB', 'work_mem = 4MB', 'fsync = off');
query(<<"SQL");
CREATE EXTENSION mktcontacts;
CREATE TABLE contact (id integer PRIMARY KEY, account integer);
CREATE TABLE parted (account integer, id integer, PRIMARY KEY (account, id)) PARTITION BY LIST (account);
CREATE TABLE part_0 PARTITION OF parted FOR VALUES IN (0);
CREATE TABLE part_1 PARTITION OF parted FOR VALUES IN (1);
SELECT mkt.attach(t, account_column => 'account') FROM unnest(ARRAY['contact', 'parted']::regclass[]) AS t;
SQL

my $by = q{SET mktcontacts.source_type = 'contact_import'; SET mktcontacts.source_name = 'fair'; SET mktcontacts.batch = };
flat("INSERT INTO contact SELECT i, i % 1000, 'marketing' FROM generate_series(1, $many) AS i", 'INSERT');
flat("$by 'down'; UPDATE contact SET marketing_status = 'non_marketing'", 'UPDATE in a batch');
flat("INSERT INTO parted SELECT 0, i, 'marketing' FROM generate_series(1, 60000) AS i", 'INSERT into partitions');
flat("$by 'to the other'; UPDATE parted SET account = 1", 'UPDATE that moves every contact to another partition');
flat("BEGIN; UPDATE part_1 SET marketing_status = 'non_marketing'; SAVEPOINT s; UPDATE part_1 SET marketing_status = 'marketing', marketing_until_next_update = false; COMMIT",
	'UPDATE of a partition itself, and in a savepoint');
flat('DELETE FROM parted', 'DELETE');
is(query(q{SELECT mkt.change_name(was, until, moved), source_type, count(*) FROM mkt.public_contact_history GROUP BY 1, 2 ORDER BY 1, 2}),
	"created||$many\nset as non-marketing|contact_import|$many", 'every change is told');
is(query(q{SELECT mkt.change_name(was, until, moved), count(*) FROM mkt.public_parted_history GROUP BY 1 ORDER BY 1}),
	"created|60000\ndeleted|60000\nmoved to another account|60000\nset as marketing|60000\nset as non-marketing|60000", 'once');
is(query('SELECT label, changed FROM mkt.batch ORDER BY label'), "down|$many\nto the other|60000", 'and counted');
query('ANALYZE');
flat(q{SELECT restored, pending, changed_since, too_late, gone FROM mkt.undo((SELECT batch FROM mkt.batch WHERE label = 'down'))}, 'mkt.undo()', 96);
is(query('SELECT count(*) FROM contact WHERE NOT marketing_until_next_update AND marketing_source_type IS NULL'), $many, 'all is as it was');
is(verify(), '', 'exactly');

$node->stop;
done_testing();

# The most memory of its own that a session has while it runs a command, in megabytes.
sub flat
{
	my ($command, $what, $limit) = @_;
	my $name = $what =~ tr/a-zA-Z//cdr;
	my $run = start_psql("SET application_name = '$name'", split(/; ?/, $command));
	my ($pid, $most) = ('', 0);

	while ($run->pumpable)
	{
		$pid ||= query("SELECT pid FROM pg_stat_activity WHERE application_name = '$name'");
		if ($pid && open(my $status, '<', "/proc/$pid/status"))
		{
			my ($kilobytes) = map { /^RssAnon:\s*(\d+)/ } <$status>;
			$most = $kilobytes / 1024 if ($kilobytes // 0) / 1024 > $most;
		}
		$run->pump_nb;
		usleep(20_000);
	}
	ok($run->finish, "$what ends well");
	SKIP:
	{
		skip 'a sanitizer keeps what is freed', 1 if query('SHOW debug_assertions') eq 'on';
		cmp_ok($most, '<', $limit // 32, sprintf('%s takes little memory: %.0f MB', $what, $most));
	}
}
