# Moving thousands of contacts from HubSpot and back by psql: a dirty export is loaded to the row, and what goes out again,
# comes in again, and is compared, is the same. Two imports at once, and one that is cancelled, leave nothing wrong.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Contacts;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

start_server('hubspot');
$ENV{PGOPTIONS} = "-c mktcontacts.clock=2026-03-17T09:00Z";
query(<<'SQL');
CREATE EXTENSION mktcontacts;
INSERT INTO mkt.account (account, time_zone) VALUES ('acme', 'Europe/Oslo');
SELECT mkt.create_hubspot_table('contact', account => 'acme');
SELECT mkt.create_hubspot_table('copy', account => 'acme');
SQL

my $folder = PostgreSQL::Test::Utils::tempdir();
my $header = 'Record ID,First Name,Last Name,Email,Create Date,Marketing contact status,Marketing contact until next update,'
  . 'Marketing contact status source type,Marketing contact status source name,Unsubscribed from all email,Email hard bounce reason,Notes';
my (%expected, %listed);
write_export("$folder/dirty.csv", 6000);

# In.
is(import('contact', "$folder/dirty.csv"),
	join('|', $expected{rows}, $expected{rows} - keys %listed, 0, 0, scalar(keys %listed), 0, '{Notes}'), 'every row is loaded or listed');
is(query('SELECT line FROM mkt.import_problem WHERE NOT loaded ORDER BY line'), join("\n", sort { $a <=> $b } keys %listed), 'listed are the bad ones, by their lines');
is(query("SELECT count(*) FROM mkt.import_problem WHERE reason IS NULL OR reason = ''"), 0, 'with a reason each');
is(query('SELECT marketing_status, marketing_until_next_update, count(*) FROM contact GROUP BY 1, 2 ORDER BY 1, 2'),
	"marketing|f|$expected{M}\nmarketing|t|$expected{P}\nnon_marketing|f|$expected{N}", 'statuses and flags');
is(query(q{SELECT mkt.billable('acme'), mkt.billable('acme', '2026-04-01')}), $expected{M} + $expected{P} . "|$expected{M}", 'counts');
is(query("SELECT first_name FROM contact WHERE record_id = $expected{quoted}"), qq(Ann "A", of\r\ntwo lines), 'a field with quotes, a comma and lines');
is(query("SELECT length(first_name) FROM contact WHERE record_id = $expected{long}"), 3_000_000, 'a field longer than what is read at once');
is(query(q{SELECT count(*) FROM contact WHERE create_date = '2026-01-31 23:30+00'}), $expected{dated}, 'times in the zone of the account');
is(verify(), '', 'exactly');

# The same again, and what was compared.
is(import('contact', "$folder/dirty.csv") =~ /^\d+\|0\|0\|(\d+)\|\d+\|0\|/ && $1, $expected{rows} - keys %listed, 'nothing changes the second time');
is(counts('contact', "$folder/dirty.csv"), join('|', ($expected{rows} - keys %listed) x 3, 0, 0, 0, scalar(keys %listed)), 'nothing differs');

# Out, by \copy, and in again elsewhere: the clean export is loaded as a whole.
$node->psql('postgres', qq{\\copy (SELECT * FROM mkt.export_hubspot('contact')) TO '$folder/clean.csv' CSV HEADER});
my $contacts = query('SELECT count(*) FROM contact');
is(import('copy', "$folder/clean.csv"), "$contacts|$contacts|0|0|0|0|{}", 'an export comes in without a problem');
is(query('SELECT * FROM contact EXCEPT SELECT * FROM copy'), '', 'and is the same in every column');
is(counts('copy', "$folder/clean.csv"), "$contacts|$contacts|$contacts|0|0|0|0", 'the report says so, too');
is(import('contact', "$folder/clean.csv"), "$contacts|0|0|$contacts|0|0|{}", 'and back into the first table it changes nothing');
is(query(q{SELECT mkt.billable('acme'), mkt.billable('acme', '2026-04-01')}), 2 * ($expected{M} + $expected{P}) . '|' . 2 * $expected{M}, 'the counts of both');
is(verify(), '', 'exactly');

# After the update date pending contacts go out as non-marketing.
{
	local $ENV{PGOPTIONS} = "-c mktcontacts.clock=2026-04-02T09:00Z";
	is(query(q{SELECT "Marketing contact status", "Marketing contact until next update", count(*) FROM mkt.export_hubspot('contact') GROUP BY 1, 2 ORDER BY 1}),
		"Marketing contact||$expected{M}\nNon-marketing contact||" . ($expected{N} + $expected{P}), 'an export after the update date');
	is(query(q{SELECT count(*) FROM contact WHERE marketing_until_next_update}), $expected{P}, 'which nobody has applied');
}

# Two at once: one waits for the other, and finds its contacts.
query('TRUNCATE contact');
my @runs = map { start_import('contact', "$folder/clean.csv") } 1, 2;
$_->{run}->finish for @runs;
is(join(' ', sort map { $_->{output} =~ /^(\d+\|\d+\|\d+\|\d+)/m } @runs), "$contacts|$contacts|0|0 $contacts|0|0|$contacts" =~ s/(\S+) (\S+)/$2 $1/r,
	'of two imports at once one loads, the other finds all loaded');
is(verify(), '', 'exactly');

# Cancelled in the middle: nothing is left of it, and the session goes on.
query(<<'SQL');
TRUNCATE contact;
DELETE FROM mkt.import;
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.001); RETURN NEW; END';
CREATE TRIGGER slow BEFORE INSERT ON contact FOR EACH ROW EXECUTE FUNCTION slow();
SQL
my ($status, $output, $error) = $node->psql('postgres', <<"SQL", on_error_stop => 0);
\\lo_import $folder/clean.csv
\\set file :LASTOID
SET statement_timeout = '2s';
SELECT * FROM mkt.import_hubspot('contact', :file);
RESET statement_timeout;
SELECT count(*) FROM contact;
SELECT count(*) FROM mkt.import;
\\lo_unlink :file
SQL
like($error, qr/statement timeout/, 'cancelled');
like($output, qr/^0\n0$/m, 'nothing is left');
is(verify(), '', 'exactly');
is(query('SELECT count(*) FROM pg_largeobject_metadata'), 0, 'no file is left');

$node->stop;
done_testing();

# Writes an export as a busy portal has it. What comes of its rows is kept in %expected, the lines of bad ones in %listed.
sub write_export
{
	my ($name, $contacts) = @_;
	my $line = 2;

	open(my $file, '>:raw', $name) or die "could not write $name: $!";
	print $file "\xEF\xBB\xBF$header\r\n";
	for my $id (1 .. $contacts)
	{
		my $kind = $id % 3 ? $id % 7 ? 'M' : 'P' : 'N';
		my %row = (
			id => $id, first => "First$id", last => "\xC3\x98stby", email => "p$id\@example.com", date => '2026-02-01 00:30',
			status => $kind eq 'N' ? 'Non-marketing contact' : 'Marketing contact', flag => $kind eq 'P' ? 'Yes' : $id % 2 ? '' : '--',
			type => [ 'FORM', 'Contact imports', 'UNHEARD_OF' ]->[ $id % 3 ], source => "n$id", unsubscribed => $id % 11 ? 'false' : 'true',
			bounce => $id % 13 ? '' : 'Unknown user', notes => ''
		);
		my $bad;

		if ($id % 97 == 0) { $row{email} = '' }
		if ($id % 101 == 0) { ($row{first}, $row{last}) = ('', '"Hansen, Ann"') }
		if ($id % 103 == 0) { ($row{first}, $expected{quoted}) = (qq("Ann ""A"", of\r\ntwo lines"), $id) }
		if ($id == 2500) { ($row{first}, $expected{long}) = ('x' x 3_000_000, $id) }
		if ($id % 211 == 0) { $row{id} = 1; $bad = 1 }
		if ($id % 223 == 0) { $row{id} = ''; $bad = 1 }
		if ($id % 227 == 0) { $row{date} = '1 February'; $bad = 1 }
		if ($id % 229 == 0) { $row{last} = 'Last, First'; $bad = 1 }
		if ($id % 233 == 0) { $row{first} = '"not closed'; $bad = 1 }
		if ($id % 239 == 0) { $row{status} = 'Unknown'; $bad = 1 }
		if ($id % 241 == 0) { $row{last} = "\xD8stby"; $bad = 1 }
		if ($id % 251 == 0) { $row{date} = '2026-02-31 10:00'; $bad = 1 }
		my $record = join(',', @row{qw(id first last email date status flag type source unsubscribed bounce notes)});
		# A bad row that has two lines comes apart into two.
		my $lines = () = $record =~ /\n/g;

		if ($bad && $lines)
		{
			$record =~ s/\r\n/ /;
			$lines = 0;
		}
		print $file $record, "\r\n";
		$expected{rows}++;
		if ($bad)
		{
			$listed{$line} = 1;
		}
		else
		{
			$expected{$kind}++;
			$expected{dated}++;
		}
		$line += 1 + $lines;
	}
	close($file);
	return;
}

sub start_import
{
	my ($table, $file) = @_;
	my %import = (output => '');
	my $script = "\\lo_import $file\nSELECT rows, inserted, updated, unchanged, not_loaded, kept, unmatched FROM mkt.import_hubspot('$table', :LASTOID);\n\\lo_unlink :LASTOID\n";

	$import{run} = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-d', $node->connstr('postgres') ], '<', \$script, '>&', \$import{output});
	return \%import;
}

sub import
{
	my $import = start_import(@_);

	$import->{run}->finish;
	chomp($import->{output});
	return $import->{output};
}

sub counts
{
	my ($table, $file) = @_;

	return $node->safe_psql('postgres', <<"SQL") =~ s/^lo_import \d+\n//r =~ s/\nlo_unlink \d+//r;
\\lo_import $file
SELECT in_export, in_table, same, different, only_in_export, only_in_table, unusable FROM mkt.reconcile_hubspot_counts('$table', :LASTOID);
\\lo_unlink :LASTOID
SQL
}
