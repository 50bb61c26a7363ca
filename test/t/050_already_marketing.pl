# Filling in the contacts that already were marketing can be interrupted and resumed, and does not stop those who write.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Contacts;
use Test::More;

start_server('already', "mktcontacts.clock = '2026-03-10 12:00+00'");
query(<<'SQL');
CREATE EXTENSION mktcontacts;
CREATE TABLE contact (id integer PRIMARY KEY, account integer, label text, note text);
INSERT INTO contact SELECT i, i % 7, CASE WHEN i % 2 = 0 THEN 'yes' END, repeat('x', 200) FROM generate_series(1, 6000) AS i;
SELECT mkt.attach('contact', account_column => 'account', already_marketing => 'label = ''yes''');
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.001); RETURN NEW; END';
CREATE TRIGGER a_slow BEFORE UPDATE ON contact FOR EACH ROW WHEN (NEW.note = OLD.note) EXECUTE FUNCTION slow();
SQL
is(marketing(), 0, 'nobody is marketing at first');

# Interrupted by statement_timeout, several times: each call gets further.
my @steps;
for (1 .. 3)
{
	my ($status, $output, $error) = $node->psql('postgres', q{SET statement_timeout = '500ms'; CALL mkt.fill_already_marketing('contact', 50)});

	like($error, qr/statement timeout/, 'interrupted');
	push @steps, marketing();
}
cmp_ok($steps[0], '>', 0, 'what was done stays');
cmp_ok($steps[1], '>', $steps[0], 'a second call goes on');
cmp_ok($steps[2], '>', $steps[1], 'and a third one');
cmp_ok($steps[2], '<', 3000, 'not all is done');
is(verify(), '', 'exact after a part');
is(query('SELECT filled FROM mkt.attachment'), 'f', 'there is more to do');

# Cancelled, with writers at work, who are not made to wait for long.
my $run = start_psql(q{CALL mkt.fill_already_marketing('contact', 50)});
$node->poll_query_until('postgres', "SELECT count(*) > $steps[2] FROM contact WHERE marketing_status = 'marketing'") or die;
query(q{SET statement_timeout = '5s'; UPDATE contact SET note = 'y', label = 'yes' WHERE id IN (1, 2, 5999, 6000)});
query(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CALL mkt.fill%'});
ok(!$run->finish, 'cancelled');
is(verify(), '', 'exact after that');

# To the end, by mkt.run(), once.
query('DROP TRIGGER a_slow ON contact; CALL mkt.run()');
is(query(q{SELECT count(*) FILTER (WHERE marketing_status = 'marketing' AND label = 'yes'), count(*) FILTER (WHERE marketing_status = 'marketing' AND label IS NULL),
	count(*) FILTER (WHERE marketing_status = 'non_marketing' AND label = 'yes' AND id NOT IN (1, 5999)), count(DISTINCT marketing_source_type) FROM contact}) =~ /^300[012]\|0\|0\|1$/,
	1, 'those who meet the condition, and no others');
is(query('SELECT filled FROM mkt.attachment'), 't', 'nothing more to do');
is(verify(), '', 'exactly');
my $marketing = marketing();
query(q{INSERT INTO contact (id, account, label) VALUES (6001, 1, 'yes'); CALL mkt.fill_already_marketing('contact'); CALL mkt.run()});
is(marketing(), $marketing, 'who comes later is not meant');
is(verify(), '', 'exactly');

$node->stop;
done_testing();

sub marketing
{
	return query(q{SELECT count(*) FROM contact WHERE marketing_status = 'marketing'});
}
