# What the tests of this folder share: a server, queries, and clients that work beside each other.
package Contacts;

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep);

use Exporter 'import';
our @EXPORT = qw($node start_server query verify script pgbench start_psql kill_server wait_for_server);

our $node;

# Starts a cluster in UTC with these lines in its configuration.
sub start_server
{
	my ($name, @settings) = @_;

	$node = PostgreSQL::Test::Cluster->new($name);
	$node->init(extra => [ '--locale=C', '--encoding=UTF8' ]);
	$node->append_conf('postgresql.conf', join("\n", "timezone = 'UTC'", @settings, ''));
	$node->start;
}

sub query
{
	my ($sql, $db) = @_;

	return $node->safe_psql($db // 'postgres', $sql);
}

# What a recount finds, at an instant: nothing when the counts are exact.
sub verify
{
	my ($clock, $db) = @_;

	return query(($clock ? "SET mktcontacts.clock = '$clock'; " : '') . 'SELECT * FROM mkt.verify()', $db);
}

# A file with these commands.
sub script
{
	my ($name, $text) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir . "/$name.sql";

	append_to_file($file, $text);
	return $file;
}

# What the system says of a process: its number, name, state and parent, ...
sub slurp_stat
{
	my ($pid) = @_;

	open(my $file, '<', "/proc/$pid/stat") or return (0) x 4;
	my $line = <$file> // '0 () 0 0';
	return $line =~ /^(\d+) \((.*)\) (\S) (\d+)/s;
}

# Starts pgbench with a script; its output goes to a file or reference.
sub pgbench
{
	my ($script, $clients, $seconds, $output, @options) = @_;

	return IPC::Run::start(
		[ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', $clients, '-T', $seconds, @options, '-f', $script, 'postgres' ],
		'>&', $output // \my $ignored);
}

# Starts psql with these commands, each in a transaction of its own.
sub start_psql
{
	my (@commands) = @_;

	return IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), map { ('-c', $_) } @commands ], '>&', \my $output);
}

# All its processes, without the chance to write anything; they are gone when this returns.
sub kill_server
{
	my ($pid) = split(/\n/, slurp_file($node->data_dir . '/postmaster.pid'));
	my @children = grep { (slurp_stat($_))[3] == $pid } map { m{(\d+)/stat$} } glob '/proc/[0-9]*/stat';

	kill 'STOP', @children;
	$node->kill9;
	kill 'KILL', @children;
	for (1 .. 600)
	{
		return if !kill(0, $pid);
		usleep(50_000);
	}
	die 'the server is still there';
}

# Until it has recovered; a client that it turns away may break the pipe that we write to.
sub wait_for_server
{
	for (1 .. 1800)
	{
		return if eval { query('SELECT true') };
		usleep(100_000);
	}
	die 'the server does not come back';
}

1;
