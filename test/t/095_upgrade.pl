# A database of an earlier version goes on after an upgrade as if it had always been of this one: ALTER EXTENSION ... UPDATE
# makes the catalogs those of a new installation, attached tables too, without waiting for anybody but those who are writing
# contacts; nothing is lost, and what comes next is counted. Between the new library and the update, and where an old library
# is left, nothing is written, and an error says what to do. The same holds for a dump of the earlier version.
#
# The earlier version is built from the sources that test/run has put in releases/, or from the history of the repository.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Contacts;
use File::Copy qw(copy);
use File::Path qw(make_path);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $folder = PostgreSQL::Test::Utils::tempdir;
my %path = map { my $option = $_; chomp(my $path = `pg_config --$option`); ($option => $path) } qw(bindir pkglibdir sharedir version configure);
my ($old, $commit) = slurp_file('test/releases') =~ /^(\d\S*) (\w+)$/m;
my ($new) = slurp_file('mktcontacts.control') =~ /^default_version = '(.*)'/m;
my $sources = sources_of($old, $commit);
my $rows_before;

plan skip_all => "neither releases/$old nor a history with commit $commit is there" if !defined $sources;
plan skip_all => "version $old writes counts without a snapshot, which a server with assertions refuses" if $path{configure} =~ /--enable-cassert/;

# A copy of PostgreSQL, in which the files of either version are put.
for my $option (qw(bindir pkglibdir sharedir))
{
	make_path("$folder$path{$option}");
	system_or_bail('cp', '-a', "$path{$option}/.", "$folder$path{$option}");
}
save_files('new');
build_old();
save_files('old');

$node = PostgreSQL::Test::Cluster->new('upgrade', install_path => "$folder$path{bindir}" =~ s{/bin$}{}r);
$node->init(extra => [ '--locale=C', '--encoding=UTF8' ]);
$node->append_conf('postgresql.conf', "timezone = 'UTC'\nmktcontacts.clock = '2026-03-10 12:00+00'\n");
$node->start;

# Before: the old version, in use.
$node->safe_psql('postgres', 'CREATE DATABASE upgraded');
my $populated = slurp_file('test/populated.sql');
$node->safe_psql('upgraded', "$populated; CREATE TABLE public.spare (id integer PRIMARY KEY);");
is(query(q{SELECT extversion FROM pg_extension WHERE extname = 'mktcontacts'}, 'upgraded'), $old, "version $old is installed");
my $dump = "$folder/dump";
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'upgraded' ], 'it is dumped');
my $before = contents('upgraded');
my $idle = session('upgraded');
my $writer = session('upgraded');
unlike($_->(q{BEGIN; SELECT mkt.set_marketing('crm.contact', ARRAY[101, 103]); ROLLBACK}), qr/ERROR/, 'a session has loaded its library') for $idle, $writer;

# The package is replaced: a new library, and an extension that is still old.
install_files('new');
refuses("$new with an extension of $old: $_->[0]", sub { on_error('upgraded', $_[0]) },
	$_->[1], qr/ERROR:  55000: the library of mktcontacts is version \Q$new\E, the extension in this database version \Q$old\E\n.*HINT:  ALTER EXTENSION mktcontacts UPDATE;/s)
  for statements(), [ 'UPDATE without the first trigger', q{BEGIN; ALTER TABLE crm.guest DISABLE TRIGGER mkt_10_state; UPDATE crm.guest SET marketing_status = 'marketing'; COMMIT} ];
is(on_error('upgraded', q{SELECT count(*) FROM crm.contact; DELETE FROM crm.contact WHERE false; CREATE TABLE other (a int); ALTER TABLE other ADD b int; INSERT INTO other VALUES (1, 1); DROP TABLE other}),
	'', 'contacts can be read, and other tables be used');
like(query('SELECT to_type FROM mkt.status() WHERE item = \'version\'', 'upgraded'), qr/^ALTER EXTENSION mktcontacts UPDATE;$/, 'mkt.status says what to do');
is(contents('upgraded'), $before, 'nothing was written');
unlike($idle->(q{BEGIN; UPDATE crm.contact SET marketing_status = 'marketing' WHERE id = 105; ROLLBACK}), qr/ERROR/, 'sessions that are there go on');

# The update waits for who is writing, and others wait for it; then they need the new library.
unlike($writer->(q{BEGIN; INSERT INTO crm.contact (id, account_id, marketing_status) VALUES (900, 5, 'marketing'); INSERT INTO crm.north (id, region) VALUES (900, 'north')}), qr/ERROR/, 'somebody writes');
my $update = start_on('upgraded', 'ALTER EXTENSION mktcontacts UPDATE');
ok($node->poll_query_until('upgraded', q{SELECT count(*) > 0 FROM pg_locks WHERE NOT granted}), 'the update waits for that');
unlike($writer->(q{UPDATE crm.contact SET marketing_status = 'non_marketing' WHERE id = 900; DELETE FROM crm.parted WHERE id = 900; COMMIT}), qr/ERROR/, 'who goes on');
ok($update->finish, 'and ends then');
is(query(q{SELECT extversion FROM pg_extension WHERE extname = 'mktcontacts'}, 'upgraded'), $new, "the extension is of version $new");
for my $session ($idle, $writer)
{
	refuses("a session with the library of $old: $_->[0]", $session, $_->[1], qr/ERROR:  42883: could not find function "mkt_\w+_0_2" in file/)
	  for statements('write contacts');
}
$_->() for $idle, $writer;
is(query('SELECT id, marketing_until_next_update FROM crm.contact WHERE id >= 900', 'upgraded'), '900|t', 'what was written is there');

# An old library on disk, as on a server that got its files back.
install_files('old');
refuses("$old with an extension of $new: $_->[0]", sub { on_error('upgraded', $_[0]) }, $_->[1], qr/ERROR:  42883: could not find function "mkt_\w+_0_2" in file/)
  for statements('write contacts');
install_files('new');

# The catalogs, and what is in the tables.
$node->safe_psql('postgres', 'CREATE DATABASE fresh');
$node->safe_psql('fresh', $populated);
is(differences(catalog('upgraded'), catalog('fresh')), '', 'the catalogs are those of a new installation');
is(differences(without_writer(contents('upgraded')), without_writer($before)), '', 'contacts, counts, histories and settings are as they were');
is(verify(undef, 'upgraded'), '', 'the counts are those of the contacts');
is(query('SELECT shipped, count(*) FROM mkt.tool GROUP BY shipped ORDER BY shipped', 'upgraded'), query('SELECT shipped, count(*) FROM mkt.tool GROUP BY shipped ORDER BY shipped', 'fresh'), 'rows that ship are there once');
$node->safe_psql('upgraded', 'DELETE FROM crm.contact WHERE id = 900');
works('upgraded');

# A dump of the old version, restored where there is only the new one.
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-j2', '-d', $node->connstr('restored'), $dump ], "a dump of version $old is restored");
$node->safe_psql('restored', q{INSERT INTO crm.contact (id, account_id, marketing_status) VALUES (902, 1, 'marketing'); DELETE FROM crm.contact WHERE id = 902});
is(verify(undef, 'restored'), '', 'what is written at once is counted');
$node->safe_psql('restored', 'CALL mkt.run()');
is(differences(catalog('restored'), catalog('fresh')), '', 'the catalogs are those of a new installation');
is(verify(undef, 'restored'), '', 'the counts are those of the contacts');
works('restored');

# What an older version attached in another form has this one's after mkt.run(); what was disabled stays so.
$node->safe_psql('fresh', <<'SQL');
CREATE OR REPLACE TRIGGER mkt_85_recount AFTER UPDATE ON crm.contact FOR EACH ROW EXECUTE FUNCTION mkt.contact_recount();
CREATE OR REPLACE TRIGGER mkt_80_count AFTER INSERT ON crm.parted FOR EACH ROW EXECUTE FUNCTION mkt.contact_count();
ALTER TABLE crm.south DISABLE TRIGGER mkt_80_count;
ALTER TABLE crm.parted ENABLE ALWAYS TRIGGER mkt_90_post;
UPDATE mkt.attachment SET structure = 0;
CALL mkt.run();
SQL
is(query('SELECT DISTINCT structure > 0 FROM mkt.attachment', 'fresh'), 't', 'mkt.run renews attached tables');
is(query(q{SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE tgname LIKE 'mkt%' AND tgenabled <> 'O' ORDER BY 1, 2}, 'fresh'), "crm.parted|mkt_90_post|A\ncrm.south|mkt_80_count|D", 'disabled triggers stay disabled');
$node->safe_psql('fresh', 'ALTER TABLE crm.south ENABLE TRIGGER mkt_80_count; ALTER TABLE crm.parted ENABLE TRIGGER mkt_90_post');
is(differences(catalog('fresh'), catalog('upgraded')), '', 'the others are those of this version');

# Of several scripts that upgrade only the last one renews what is attached.
is(query(q{BEGIN; UPDATE mkt.attachment SET structure = 0; UPDATE pg_extension SET extversion = '0.1' WHERE extname = 'mktcontacts'; SELECT mkt.renew_tables(); SELECT DISTINCT structure FROM mkt.attachment; ROLLBACK}, 'upgraded'),
	"\n0", 'a script on the way renews nothing');

# What has lost its triggers is attached no longer.
is(query(q{BEGIN; UPDATE mkt.attachment SET structure = 0; DO $$ DECLARE t name; BEGIN FOR t IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'crm.guest'::regclass AND tgname LIKE 'mkt%' LOOP EXECUTE format('DROP TRIGGER %I ON crm.guest', t); END LOOP; END $$; SELECT mkt.renew_tables(); SELECT contacts FROM mkt.attachment WHERE structure = 0; SELECT count(*) FROM pg_trigger WHERE tgrelid = 'crm.guest'::regclass AND tgname LIKE 'mkt%'; ROLLBACK}, 'upgraded'),
	"\ncrm.guest\n0", 'a table without triggers is not renewed');

# An extension that is newer than this version.
my $late = session('upgraded');
unlike($late->(q{BEGIN; UPDATE crm.contact SET marketing_status = 'marketing' WHERE id = 105; ROLLBACK}), qr/ERROR/, 'a session has loaded the library');
$node->safe_psql('upgraded', q{UPDATE pg_extension SET extversion = '9.10' WHERE extname = 'mktcontacts'; SELECT mkt.lock_tables()});
for my $how ([ 'a session that is there', $late ], [ 'a new session', sub { on_error('upgraded', $_[0]) } ])
{
	refuses("a later extension, $how->[0]: $_->[0]", $how->[1], $_->[1], qr/ERROR:  55000: the library of mktcontacts is version \Q$new\E, the extension in this database version 9\.10\n.*HINT:  Reconnect;/s)
	  for statements();
}
$late->();
like(on_error('upgraded', qq{BEGIN; UPDATE pg_extension SET extversion = '$new.1' WHERE extname = 'mktcontacts'; SELECT mkt.lock_tables(); SELECT mkt.billable('1')}), qr/version \Q$new.1\E\n.*HINT:  Reconnect;/s, 'so is one with one more number');
like(on_error('upgraded', 'SELECT mkt.renew_tables()'), qr/ERROR:  55000: .*cannot update to version 9\.10\n.*HINT:  Reconnect/s, 'the library of this version does not update to a later one');
is(on_error('upgraded', 'SET client_min_messages = warning; DROP EXTENSION mktcontacts CASCADE'), '', 'the extension can be dropped');

$node->stop;
done_testing();

# The sources of a version, in a folder of their own; undefined where they cannot be had.
sub sources_of
{
	my ($version, $of) = @_;

	make_path("$folder/sources");
	return undef
	  if system(-d "releases/$version"
		? "cp -r 'releases/$version/.' '$folder/sources'"
		: "git -c safe.directory='*' archive $of 2>/dev/null | tar -C '$folder/sources' -x 2>/dev/null") != 0;
	return "$folder/sources";
}

sub build_old
{
	local $ENV{COPT} = '';
	local $ENV{MAKEFLAGS} = '';

	# a copy of PostgreSQL's programs, as test/run makes, has no headers
	system_or_bail('make', '-s', '-C', $sources, 'PG_CONFIG=' . ($ENV{BUILT_WITH} // 'pg_config'), 'all');
	unlink(files());
	system_or_bail("make -s -C '$sources' DESTDIR='$folder' install >'$folder/install.log'");
}

sub files
{
	return ("$folder$path{pkglibdir}/mktcontacts.so", glob("$folder$path{sharedir}/extension/mktcontacts*"));
}

sub save_files
{
	my ($version) = @_;

	make_path("$folder/$version");
	system_or_bail('cp', '-a', files(), "$folder/$version");
}

# As a package manager does: the old files go, and who has them open keeps them.
sub install_files
{
	my ($version) = @_;

	unlink(files());
	copy("$folder/$version/mktcontacts.so", "$folder$path{pkglibdir}/mktcontacts.so") or die "could not install: $!";
	system_or_bail('cp', glob("$folder/$version/mktcontacts[.-]*"), "$folder$path{sharedir}/extension/");
	unlink("$folder$path{sharedir}/extension/mktcontacts.so");
}

# What a library of another version may not do: [ what, statement ].
sub statements
{
	my ($only) = @_;
	my @write = (
		[ 'INSERT', q{INSERT INTO crm.contact (id, account_id) VALUES (901, 1)} ],
		[ 'UPDATE', q{UPDATE crm.contact SET marketing_status = 'marketing' WHERE id = 1} ],
		[ 'DELETE', 'DELETE FROM crm.north WHERE id = 2' ],
		[ 'TRUNCATE', 'TRUNCATE crm.contact' ],
		[ 'COPY', q{COPY crm.guest (id) FROM PROGRAM 'echo 00000000-0000-0000-0000-000000000009'} ],
		[ 'setting a status', q{SELECT mkt.set_marketing('crm.contact', ARRAY[1, 3, 5])} ],
		[ 'attaching', q{SELECT mkt.attach('spare', account => 'x')} ],
		[ 'detaching', q{SELECT mkt.detach('crm.contact')} ],
		[ 'repairing', 'SELECT * FROM mkt.repair()' ],
		[ 'mkt.run', 'CALL mkt.run()' ]);

	return $only ? @write : (
		@write,
		[ 'UPDATE of another column', q{UPDATE crm.contact SET city = 'Paris' WHERE id = 1} ],
		[ 'counting', q{SELECT mkt.billable('1')} ],
		[ 'applying', 'CALL mkt.apply_updates()' ],
		[ 'verifying', 'SELECT * FROM mkt.verify()' ],
		[ 'describing an account', q{INSERT INTO mkt.account (account) VALUES ('new')} ]);
}

sub refuses
{
	my ($name, $run, $statement, $error) = @_;

	like($run->($statement), $error, $name);
	return;
}

# What psql writes to its standard error, SQLSTATEs included.
sub on_error
{
	my ($db, $sql) = @_;
	my ($status, $output, $error) = $node->psql($db, "\\set VERBOSITY verbose\n$sql");

	return $error =~ s/^psql:<stdin>:\d+: |^LOCATION: .*\n?|^CONTEXT: .*\n?//mgr;
}

# A session that stays: called with statements it returns what psql prints of errors, without any it ends.
sub session
{
	my ($db) = @_;
	my ($in, $out, $n) = ('', '', 0);
	my $timer = IPC::Run::timer($PostgreSQL::Test::Utils::timeout_default);
	my $psql = IPC::Run::start([ $node->installed_command('psql'), '-X', '-q', '-At', '-v', 'VERBOSITY=verbose', '-d', $node->connstr($db) ], '<', \$in, '>&', \$out, $timer);

	return sub {
		my ($sql) = @_;

		if (!defined $sql)
		{
			$psql->finish;
			return;
		}
		$n++;
		$out = '';
		$in .= "$sql;\n\\echo done $n\n";
		$psql->pump until $out =~ /^done $n$/m;
		return $out =~ s/^LOCATION: .*\n//mgr;
	};
}

sub start_on
{
	my ($db, $command) = @_;

	return IPC::Run::start([ $node->installed_command('psql'), '-X', '-q', '-d', $node->connstr($db), '-c', $command ], '>&', \my $output);
}

sub catalog
{
	my ($db) = @_;

	return $node->safe_psql($db, slurp_file('test/catalog.sql'));
}

# The lines that are in one of two texts only.
sub differences
{
	my ($left, $right) = @_;
	my %left = map { $_ => 1 } split(/\n/, $left);
	my %right = map { $_ => 1 } split(/\n/, $right);

	return join("\n", (map { "< $_" } grep { !$right{$_} } sort keys %left), (map { "> $_" } grep { !$left{$_} } sort keys %right));
}

# All rows of the extension's tables, and of those that are attached, in the columns that there were before.
sub contents
{
	my ($db) = @_;

	$rows_before //= $node->safe_psql($db, q{
		SELECT format('SELECT %L, ROW(%s) FROM %s ORDER BY 2;', c.oid::regclass, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum), c.oid::regclass)
		FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE c.relnamespace IN ('mkt'::regnamespace, 'crm'::regnamespace) AND c.relkind = 'r'
		GROUP BY c.oid ORDER BY c.oid::regclass::text});
	return $node->safe_psql($db, $rows_before);
}

# Who wrote meanwhile changed counts.
sub without_writer
{
	my ($text) = @_;

	return $text =~ s/^mkt\.\w+_count\|.*\n|.*\b900\b.*\n//mgr;
}

# What comes after is the same as in a database that was never upgraded, and counts.
sub works
{
	my ($db) = @_;
	my $name = "$db goes on";
	my $statements = <<'SQL';
SET client_min_messages = warning;
SET mktcontacts.clock = '2026-03-20 12:00+00';
BEGIN;
INSERT INTO crm.contact (id, account_id, marketing_status) SELECT i, i % 4, 'marketing' FROM generate_series(1001, 1060) AS i;
UPDATE crm.contact SET marketing_status = 'non_marketing' WHERE id % 3 = 0;
UPDATE crm.parted SET region = 'south' WHERE id % 7 = 0;
DELETE FROM crm.contact WHERE id % 9 = 0;
DELETE FROM crm.parted WHERE id % 9 = 0;
UPDATE mkt.account SET time_zone = 'Asia/Tokyo' WHERE account = '1';
CREATE TABLE crm.more (id integer PRIMARY KEY);
INSERT INTO crm.more SELECT generate_series(1, 10);
SELECT mkt.attach('crm.more', account => 'more');
UPDATE crm.more SET marketing_status = 'marketing';
SELECT * FROM mkt.verify();
SET mktcontacts.clock = '2026-05-20 12:00+00';
CALL mkt.run();
SELECT * FROM mkt.verify();
SELECT * FROM mkt.usage ORDER BY account;
SELECT account, starts_at, ends_at, opening, closing, charge FROM mkt.period ORDER BY account, ends_at;
SELECT count(*) FROM mkt.history('crm.contact', 3);
ROLLBACK;
SQL

	is($node->safe_psql($db, $statements), $node->safe_psql('fresh', $statements), "$name as a new installation does");
	is(verify(undef, $db), '', "$name exactly");
	return;
}
