-- Names of schemas, tables, columns and accounts may need quotes, be long, or not be ASCII.

SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS mktcontacts; RESET client_min_messages;
SET timezone = 'UTC'; SET datestyle = ISO; SET mktcontacts.clock = '2026-03-10 12:00+00';
CREATE SCHEMA "Møte ""og"" salg's";
SET search_path = "Møte ""og"" salg's";

CREATE TABLE "Kunde's ""liste"" % $1" (
    "Konto Nr." text,
    "select" integer UNIQUE NOT NULL,
    "Nøkkel" integer,
    "E-post" text,
    PRIMARY KEY ("Konto Nr.", "Nøkkel")
);
INSERT INTO "Kunde's ""liste"" % $1" VALUES ('Bjørn', 1, 1, 'a@b'), ('bjørn', 2, 1, NULL), ('', 3, 1, NULL);
SELECT mkt.attach('"Kunde''s ""liste"" % $1"', account_column => 'Konto Nr.', key_column => 'select',
                  already_marketing => '"E-post" LIKE ''%@%''');
CALL mkt.run();
INSERT INTO mkt.account (account, commitment, started_on, time_zone) VALUES ('Bjørn', 'monthly', '2024-01-12', 'Europe/Oslo');
SELECT changed, already, pending, not_found FROM mkt.set_marketing('"Kunde''s ""liste"" % $1"', ARRAY[2, 3]);
SELECT changed, already, pending, not_found FROM mkt.set_non_marketing('"Kunde''s ""liste"" % $1"', ARRAY[1], account => 'Bjørn');
UPDATE mkt.account SET started_on = '2024-01-15' WHERE account = 'Bjørn';
SELECT "Konto Nr.", "select", marketing_status, marketing_until_next_update, marketing_until, marketing_source_type
FROM "Kunde's ""liste"" % $1" ORDER BY "select";
SELECT account, billable, pending, total FROM mkt.usage WHERE account IN ('Bjørn', 'bjørn', '') ORDER BY account COLLATE "C";
SET mktcontacts.clock = '2026-03-15 00:00+01';
CALL mkt.apply_updates();
SELECT count(*) AS pending FROM "Kunde's ""liste"" % $1" WHERE marketing_until_next_update;
SELECT * FROM mkt.verify();
SELECT mkt.detach('"Kunde''s ""liste"" % $1"');
DELETE FROM mkt.account WHERE account = 'Bjørn';

-- Names as long as PostgreSQL lets them be, which differ at their ends only, in two schemas.
CREATE SCHEMA "Ø2";
CREATE TABLE aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1 (id integer PRIMARY KEY);
CREATE TABLE aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa2 (id integer PRIMARY KEY);
CREATE TABLE "Ø2".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1 (id integer PRIMARY KEY);
CREATE TABLE "øøøøøøøøøøøøøøøøøøøøøøøøøøøøøøø" (id integer PRIMARY KEY);
SELECT mkt.attach(oid, account => relname || nspname)
FROM (SELECT c.oid, relname, nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
      WHERE relkind = 'r' AND relname ~ '^(a{60}|ø)' ORDER BY relname, nspname) AS c;
INSERT INTO aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1 VALUES (1, 'marketing');
INSERT INTO aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa2 VALUES (1, 'marketing'), (2, 'marketing');
INSERT INTO "Ø2".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1 SELECT i, 'marketing' FROM generate_series(1, 3) AS i;
INSERT INTO "øøøøøøøøøøøøøøøøøøøøøøøøøøøøøøø" SELECT i, 'marketing' FROM generate_series(1, 4) AS i;
SELECT right(account, 30) AS account, billable FROM mkt.usage WHERE account ~ 'Ø2$|salg' ORDER BY billable;

-- A key of many columns with long names: commands have no longest length.
SELECT format('CREATE TABLE many_keys (%s, PRIMARY KEY (%s))', string_agg(name || ' integer', ', ' ORDER BY i), string_agg(name, ', ' ORDER BY i))
FROM generate_series(1, 20) AS i, quote_ident('a key column with a name of nearly sixty three characters ' || i) AS name \gexec
SELECT mkt.attach('many_keys', account => 'many');
INSERT INTO many_keys (SELECT FROM generate_series(1, 0));
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'many_keys'::regclass;

-- Columns of our names that are there already, in any order.
CREATE TABLE ordered (marketing_until_next_update boolean, marketing_source_name text, id integer PRIMARY KEY, marketing_until timestamptz, note text, marketing_status mkt.status, marketing_source_type text);
SELECT mkt.attach('ordered', account => 'ordered');
INSERT INTO ordered (id) VALUES (1);
INSERT INTO ordered (id, note, marketing_status) VALUES (2, 'x', 'marketing');
SELECT * FROM ordered ORDER BY id;

SELECT * FROM mkt.verify();

SET client_min_messages = warning;
DROP SCHEMA "Møte ""og"" salg's", "Ø2" CASCADE;
SELECT count(*) AS left_over FROM mkt.attachment;
