# The library can be loaded when the server starts, and beside another one that watches how statements begin.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Contacts;
use PostgreSQL::Test::Utils;
use Test::More;

start_server('loaded', "shared_preload_libraries = 'auto_explain, mktcontacts'",
	'auto_explain.log_min_duration = 0', 'auto_explain.log_nested_statements = on');
query(<<'SQL');
CREATE EXTENSION mktcontacts;
CREATE TABLE contact (id integer PRIMARY KEY, account text);
SELECT mkt.attach('contact', account_column => 'account');
INSERT INTO contact SELECT i, 'a', 'marketing' FROM generate_series(1, 10) AS i;
SQL
query(q{UPDATE contact SET marketing_status = 'non_marketing' WHERE id <= 3});
is(query(q{SELECT billable, pending FROM mkt.usage WHERE account = 'a'}), '10|3', 'counted');
is(verify(), '', 'exactly');

my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
like($log, qr/Query Text: UPDATE contact SET marketing_status/, 'the other library has seen the statement');

done_testing();
