# Databases that are not in UTF-8: exports from HubSpot, which always are, and words in filters.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Contacts;
use Test::More;

start_server('encodings');
for my $encoding ('LATIN1', 'SQL_ASCII')
{
	my $db = lc $encoding;

	query("CREATE DATABASE $db ENCODING '$encoding' TEMPLATE template0 LOCALE 'C'");
	query(<<'SQL', $db);
SET client_encoding = 'UTF8';
CREATE EXTENSION mktcontacts;
SELECT mkt.create_hubspot_table('contact', account => 'a');
SELECT lo_from_bytea(4711, convert_to(E'Record ID,First Name,Email,Marketing contact status\n1,', 'SQL_ASCII') || '\xc3856765'::bytea
	|| convert_to(E',aage@example.com,Marketing contact\n2,', 'SQL_ASCII') || '\xe282ac'::bytea
	|| convert_to(E',euro@example.com,Marketing contact\n3,Ann,ann@example.com,\n', 'SQL_ASCII'));
SQL
}

is(query(q{SELECT rows, inserted, not_loaded FROM mkt.import_hubspot('contact', 4711)}, 'latin1'), '3|2|1', 'what the encoding has comes in');
is(query(q{SELECT line, reason FROM mkt.import_problem}, 'latin1'), q{3|First Name cannot be written in the database's encoding}, 'the rest is listed');
is(query(q{SELECT encode(first_name::bytea, 'hex') FROM contact WHERE record_id = 1}, 'latin1'), 'c56765', 'as the database writes it');
is(query(q{SELECT rows, inserted, not_loaded FROM mkt.import_hubspot('contact', 4711)}, 'sql_ascii'), '3|3|0', 'without an encoding everything comes in');
is(query(q{SELECT mkt.billable('a')}, 'sql_ascii'), '2', 'and counts');

my $filter = q{'{"filterGroups": [{"filters": [{"propertyName": "email", "operator": "CONTAINS_TOKEN", "value": "%s"}]}]}'};
for my $db ('latin1', 'sql_ascii')
{
	is(query(sprintf("SELECT string_agg(k, ' ') FROM mkt.matching('contact', $filter) AS k", 'ANN'), $db), '3', "$db: a word in either case");
	is(query(sprintf("SELECT count(*) FROM mkt.matching('contact', $filter)", 'nn'), $db), '0', "$db: not a part of it");
	is(verify(undef, $db), '', "$db: exactly");
}

done_testing();
