# README.md is true: its examples print what it shows, its tables of statements say what happens, and it leaves nothing
# out that users can call, read, set or catch. It is whole: its links lead somewhere, and nothing stands in it twice.
#
# Every ```sql block runs, in order, in one psql session. A ```text block behind it is all that psql prints, without
# command tags; where there is none the output is not shown, and must be free of errors, warnings and notices. The
# ```sh blocks are not run. Examples of pg_cron are left out where that is not installed.
#
#     README_WRITE=file    write README.md there with the outputs of this run in it

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $readme = slurp_file('README.md');
my $node = start_server();

test_examples($node, $readme);
test_statements($node, $readme);
test_completeness($node, $readme);
test_commands($readme);
test_structure($readme);

$node->stop;
done_testing();

sub start_server
{
	my $server = PostgreSQL::Test::Cluster->new('readme');

	$server->init(extra => [ '--locale=C', '--encoding=UTF8' ]);
	$server->append_conf('postgresql.conf',
		"shared_preload_libraries = 'pg_cron'\ncron.database_name = 'readme'\n")
	  if has_pg_cron();
	$server->start;
	$server->safe_psql('postgres', 'CREATE DATABASE readme');
	return $server;
}

sub has_pg_cron
{
	chomp(my $folder = `pg_config --sharedir`);
	return -f "$folder/extension/pg_cron.control";
}

# The examples.

sub test_examples
{
	my ($server, $text) = @_;
	my @all = examples($text);
	my @examples = grep { has_pg_cron() || $_->{sql} !~ /\bpg_cron\b|\bcron\./ } @all;
	my $script = join('', map { "\\echo -- example $_\n$examples[$_]{sql}" } 0 .. $#examples);
	my $output = '';

	IPC::Run::run([ 'psql', '-X', '-q', '-d', $server->connstr('readme') ], '<', \$script, '>&', \$output);
	my @printed = split(/^-- example \d+\n/m, $output, -1);
	shift @printed;
	is(scalar @printed, scalar @examples, 'all examples ran');
	is(scalar(grep { defined $_->{text} } @all), scalar(() = $text =~ /^```text$/mg), 'all output belongs to an example');

	for my $i (0 .. $#examples)
	{
		my $name = "README.md line $examples[$i]{line}: $examples[$i]{title}";

		$examples[$i]{printed} = without_trailing_space($printed[$i]);
		if (defined $examples[$i]{text})
		{
			is($examples[$i]{printed}, $examples[$i]{text}, $name);
		}
		else
		{
			unlike($printed[$i], qr/^(ERROR|WARNING|NOTICE):/m, $name);
		}
	}
	SKIP:
	{
		skip 'pg_cron is not installed', @all - @examples if @all > @examples;
	}
	write_readme($text, @examples) if $ENV{README_WRITE};
	return;
}

# The sql blocks: the line they start in, their first line as a title, the output that stands behind them and where.
sub examples
{
	my ($text) = @_;
	my @found;

	while ($text =~ /^```sql\n(.*?)^```\n(?:\n*```text\n(.*?)^```\n)?/gms)
	{
		my ($sql, $shown, $start, $end) = ($1, $2, $-[2], $+[2]);
		my $line = 1 + (substr($text, 0, $-[0]) =~ tr/\n//);

		push @found,
		  {
			sql => $sql,
			title => $sql =~ /^(.{1,50})/ ? $1 : '',
			line => $line,
			text => defined $shown ? without_trailing_space($shown) : undef,
			start => $start,
			end => $end
		  };
	}
	return @found;
}

# psql fills up columns, and ends tables with an empty line.
sub without_trailing_space
{
	my ($text) = @_;

	$text =~ s/[ \t]+$//mg;
	$text =~ s/\n+\z/\n/;
	return $text;
}

sub write_readme
{
	my ($text, @examples) = @_;

	for my $example (reverse grep { defined $_->{text} } @examples)
	{
		substr($text, $example->{start}, $example->{end} - $example->{start}) = $example->{printed};
	}
	open(my $file, '>', $ENV{README_WRITE}) or die "could not write $ENV{README_WRITE}: $!";
	print $file $text;
	close($file);
	return;
}

# The tables of statements: what stands first in a row is run on a contact in the state that its column names; the cell
# says the state in which it is then.

sub test_statements
{
	my ($server, $text) = @_;
	my ($insert) = rows_after($text, '| `INSERT`');
	my ($update, @states) = rows_after($text, '| `UPDATE`');

	$server->safe_psql('postgres', <<'SQL');
CREATE EXTENSION mktcontacts;
CREATE TABLE contact (id int PRIMARY KEY, account_id int, email text);
SELECT mkt.attach('contact', account_column => 'account_id');
SQL
	ok(@{$insert} > 0 && @{$update} > 0, 'README.md has tables of statements');
	for my $row (@{$insert})
	{
		my ($values, $result) = @{$row};

		is( state_after($server, "INSERT INTO contact (id, account_id, $values->[0]) VALUES (1, 42, $values->[1])"),
			$result, "INSERT of ($values->[0]) = ($values->[1])");
	}
	for my $row (@{$update})
	{
		my ($set, @results) = @{$row};

		is(state_after($server, before($states[$_]) . "UPDATE contact SET $set"), $results[$_], "$set on $states[$_]")
		  for 0 .. $#results;
	}
	return;
}

# The rows of the table with this header as [ statement, results... ], and the other headers. A statement is a list of
# assignments; one that is INSERTed comes as [ columns, values ].
sub rows_after
{
	my ($text, $header) = @_;
	my ($first, $others, $lines) = $text =~ /^(\Q$header\E)(.*)\n\|[-| ]+\n((?:\|.*\n)+)/m
	  or return [];
	my @rows;

	for my $line (split(/\n/, $lines))
	{
		my ($statement, @results) = cells($line);
		my @assignments = $statement =~ /`([^`]*)`/g;
		my $asked = join(', ', @assignments);

		$asked = [
			map { my $side = $_; join(', ', map { (split(/ = /))[$side] } @assignments) } 0, 1
		] if $first =~ /INSERT/;
		push @rows, [ $asked, map { /^(\w)/ } @results ];
	}
	return (\@rows, map { /(\w+)$/ } cells("|$others"));
}

sub cells
{
	my ($line) = @_;
	my @cells = map { s/^\s+|\s+$//gr } split(/\|/, $line);

	return grep { $_ ne '' } @cells;
}

# Brings the contact into a state: N, M, P, or P whose instant has passed.
sub before
{
	my ($state) = @_;
	my %columns = (N => "'non_marketing', false", M => "'marketing', false");
	my $sql = "INSERT INTO contact (id, account_id, marketing_status, marketing_until_next_update) VALUES (1, 42, "
	  . ($columns{$state} // "'marketing', true") . ');';

	$sql .= "SET mktcontacts.clock = '2026-04-10 12:00+00';" if $state eq 'passed';
	return $sql;
}

sub state_after
{
	my ($server, $sql) = @_;

	return $server->safe_psql('postgres', <<"SQL");
SET mktcontacts.clock = '2026-03-17 09:00+00';
DELETE FROM contact;
$sql;
SELECT CASE WHEN NOT mkt.is_marketing(marketing_status, marketing_until) THEN 'N'
            WHEN marketing_until IS NULL THEN 'M' ELSE 'P' END
FROM contact;
SQL
}

# What must be mentioned.

sub test_completeness
{
	my ($server, $text) = @_;
	my $for_itself = for_itself($text);
	my $words = $text =~ s/\s+/ /gr;

	for (split(/\n/, $server->safe_psql('postgres', <<'SQL')))
SELECT proname || '|' || format('mkt.%s(%s)%s', proname,
              regexp_replace(regexp_replace(pg_get_function_arguments(oid), ' DEFAULT ', ' = ', 'g'),
                             '::[a-z ]+(\[\])?|,? ?OUT .*|IN ', '', 'g'),
              CASE WHEN prokind = 'p' OR proretset OR prorettype = 'record'::regtype THEN ''
                   ELSE ' returns ' || format_type(prorettype, NULL) END)
FROM pg_proc
WHERE pronamespace = 'mkt'::regnamespace
ORDER BY 1
SQL
	{
		my ($name, $signature) = split(/\|/);

		ok(index($for_itself, "`mkt.$name()`") >= 0 || index($words, $signature) >= 0, "README.md has $signature");
	}

	mentions($text, 'relation', $server->safe_psql('postgres', q{
		SELECT 'mkt.' || relname FROM pg_class
		WHERE relnamespace = 'mkt'::regnamespace AND relkind IN ('r', 'v') AND relname NOT LIKE 'public\_contact\_%'}));
	mentions($text, 'type', $server->safe_psql('postgres', q{
		SELECT 'mkt.' || typname FROM pg_type
		WHERE typnamespace = 'mkt'::regnamespace AND typtype IN ('e', 'd')
		   OR typrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'mkt'::regnamespace AND relkind = 'c')}));
	mentions($text, 'column', $server->safe_psql('postgres', q{
		SELECT DISTINCT '`' || attname || '`' FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
		WHERE attnum > 0 AND (attrelid = 'contact'::regclass AND attname LIKE 'marketing%'
		   OR relnamespace = 'mkt'::regnamespace AND relname IN ('account', 'usage', 'apply_progress', 'batch',
		      'attachment', 'difference', 'tool', 'tool_setting', 'tool_use', 'source_usage', 'unreachable', 'unreachable_contact',
		      'outcome', 'edition', 'increment', 'price', 'price_band', 'currency', 'threshold', 'tariff', 'filter', 'list', 'list_member', 'review', 'review_step', 'review_contact',
		      'import', 'import_problem', 'hubspot_source', 'parked', 'hubspot_row', 'hubspot_difference', 'contact_count', 'contact_count_history',
		      'public_contact_history'))}));
	mentions($text, 'column of a result', $server->safe_psql('postgres', q{
		SELECT DISTINCT '`' || name || '`'
		FROM pg_proc, unnest(proargnames, proargmodes) AS a (name, mode)
		WHERE pronamespace = 'mkt'::regnamespace AND mode IN ('o', 't')}));
	mentions($text, 'trigger', $server->safe_psql('postgres', q{
		SELECT tgname FROM pg_trigger WHERE tgrelid = 'contact'::regclass AND NOT tgisinternal}));
	mentions($text, 'constraint', $server->safe_psql('postgres', q{
		SELECT conname FROM pg_constraint
		WHERE conrelid = 'contact'::regclass AND contype = 'c'}));
	mentions($text, 'setting', $server->safe_psql('postgres', q{
		LOAD 'mktcontacts'; SELECT name FROM pg_settings WHERE name LIKE 'mktcontacts.%'}));
	mentions($text, 'SQLSTATE', join("\n", sqlstates()));
	mentions($text, 'rule', join("\n", rules()));
	return;
}

# What the reference says of functions that nobody need call.
sub for_itself
{
	my ($text) = @_;

	return $text =~ /^#### For the extension itself\n(.*?)^#/ms ? $1 : '';
}

sub mentions
{
	my ($text, $what, $names) = @_;
	my @names = split(/\n/, $names);

	isnt(scalar @names, 0, "there is a $what to mention");
	ok(index($text, $_) >= 0, "README.md mentions $what $_") for sort @names;
	return;
}

sub sqlstates
{
	my $header = slurp_file('src/errors.h');
	my @states;

	push @states, join('', $1 =~ /'(.)'/g) while $header =~ /MAKE_SQLSTATE\(([^)]*)\)/g;
	return @states;
}

# The rules that comments cite by number: README explains them in a table.
sub rules
{
	my %cited;

	for my $file (glob('src/*.[ch] sql/*.sql'))
	{
		my $source = slurp_file($file);

		for my $comment ($source =~ m{/\*.*?\*/|--[^\n]*|COMMENT ON.*?;$}gms)
		{
			$cited{"| $_ |"} = 1 for $comment =~ /\b([STDWFPB]\d{1,2})\b/g;
		}
	}
	return sort keys %cited;
}

# What is typed in a shell.

sub test_commands
{
	my ($text) = @_;
	my $makefile = slurp_file('Makefile');
	my %targets = map { $_ => 1 } qw(all install installcheck clean);
	my %named;

	$targets{$_} = 1 for map { split } $makefile =~ /^\.PHONY:(.*)$/mg;
	$named{$_} = 1 for $text =~ /^(?:sudo )?make ([a-z]\S*)/mg, $text =~ /`make ([a-z]\S*)`/g;
	ok($targets{$_}, "make $_ is there") for sort keys %named;
	return;
}

# What a reader goes by.

sub test_structure
{
	my ($text) = @_;
	my $prose = $text =~ s/^```.*?^```\n//gmsr;
	my ($top, $chapters) = $prose =~ /\A(.*?)(^## .*)\z/ms;
	my %anchors = map { anchor($_) => 1 } $prose =~ /^#+ (.*)$/mg;
	my @contents = $top =~ /\]\(#(.*?)\)/g;
	my @chapters = map { anchor($_) } $chapters =~ /^## (.*)$/mg;

	pop @chapters;
	is("@contents", "@chapters", 'the contents name all chapters but the last, in order');
	ok($anchors{$_}, "there is a heading #$_") for unique($prose =~ /\]\(#(.*?)\)/g);
	is_deeply([ twice($prose =~ /^(#+ .*)$/mg) ], [], 'no heading stands twice');
	is_deeply([ twice($prose =~ /^(?!\|)(.{60,})$/mg) ], [], 'no line of prose stands twice');
	is_deeply([ twice($prose =~ /^\*\*(`mkt\.\w+`)\*\*/mg) ], [], 'no table is described twice');
	is_deeply([ twice(for_itself($prose) =~ /`(mkt\.\w+)\(\)`/g) ], [], 'no function of its own is named twice');
	for my $table ('SQLSTATE', 'rule')
	{
		my @names = map { /^\| (\w+)/ } $prose =~ /^\| $table \|.*\n.*\n((?:\|.*\n)+)/m ? split(/\n/, $1) : ();

		isnt(scalar @names, 0, "there is a table by $table");
		is_deeply([ twice(@names) ], [], "no $table stands twice");
		is_deeply(\@names, [ sort_in_groups(@names) ], "every $table stands in its place");
	}
	return;
}

# As GitHub names a heading.
sub anchor
{
	my ($heading) = @_;

	return lc($heading =~ s/[^\w -]//gr) =~ s/ /-/gr;
}

sub twice
{
	my %seen;

	return grep { ++$seen{$_} == 2 } @_;
}

sub unique
{
	my %seen;

	return grep { !$seen{$_}++ } @_;
}

# By number, within groups of the same letters that stay as they are.
sub sort_in_groups
{
	my @names = @_;
	my %group;

	push @{ $group{ s/\d+$//r } }, $_ for @names;
	return map { my $letters = $_; sort { $a =~ s/^\D+//r <=> $b =~ s/^\D+//r } @{ $group{$letters} } }
	  unique(map { s/\d+$//r } @names);
}
