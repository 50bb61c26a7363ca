-- The demonstration from its second step on: run prepares the server and export.csv, and hands this to psql.
-- Whatever stands between ":show" and ":hide" is printed with its time.
\set show '\\set ECHO queries \\\\ \\timing on'
\set hide '\\timing off \\\\ \\set ECHO none'
\pset pager off
\pset footer off
\pset null '-'
\set ECHO none

\echo
\echo '== 2. Load it into a contacts table of our own =='
\echo
CREATE SCHEMA crm;
CREATE TABLE crm.export (
    "Record ID" text, "First Name" text, "Last Name" text, "Email" text, "Account" text, "City" text,
    "Phone Number" text, "Lifecycle Stage" text, "Create Date" text, "Unsubscribed from all email" text,
    "Email hard bounce reason" text, "Marketing contact status" text, "Marketing contact until next update" text
);
CREATE TABLE crm.contact (
    id bigint PRIMARY KEY,
    account_id integer NOT NULL,
    first_name text,
    last_name text,
    email text,
    city text,
    phone text,
    stage text,
    created_at timestamp NOT NULL,
    unsubscribed boolean NOT NULL,
    bounce_reason text,
    exported_status text NOT NULL,
    exported_until_next_update boolean NOT NULL
);
:show
\copy crm.export FROM 'export.csv' WITH (FORMAT csv, HEADER match)
INSERT INTO crm.contact
SELECT "Record ID"::bigint, "Account"::integer,
       CASE WHEN whole THEN split_part("Last Name", ', ', 2) ELSE "First Name" END,
       CASE WHEN whole THEN split_part("Last Name", ', ', 1) ELSE "Last Name" END,
       nullif("Email", ''), nullif("City", ''), "Phone Number", "Lifecycle Stage",
       "Create Date"::timestamp, "Unsubscribed from all email"::boolean,
       nullif("Email hard bounce reason", ''),
       "Marketing contact status", "Marketing contact until next update"::boolean
FROM crm.export,
     LATERAL (SELECT "First Name" = '' AND "Last Name" LIKE '%, %') AS name (whole);
:hide

\echo
\echo '== 3. Attach =='
\echo 'The clock is held at 17 March 2026, so that an update date can pass while you look on.'
\echo 'Every contact is non-marketing at first. mkt.run() then takes over those that the export calls'
\echo 'marketing: it may be interrupted and called again.'
\echo
CREATE EXTENSION mktcontacts;
:show
SET mktcontacts.clock = '2026-03-17 09:00+00';
SELECT mkt.attach('crm.contact', account_column => 'account_id',
                  already_marketing => $$exported_status = 'Marketing contact'$$,
                  unsubscribed => 'unsubscribed', bounced => 'bounce_reason IS NOT NULL');
CALL mkt.run();
:hide

\echo
\echo '== 4. Describe some accounts =='
\echo 'The others follow the default: annual, UTC, an update date on the first of every month.'
\echo
:show
INSERT INTO mkt.account (account, edition, commitment, started_on, time_zone)
VALUES ('1001', 'enterprise',   'annual',  '2024-06-20', 'Europe/Oslo'),
       ('1002', 'professional', 'annual',  '2023-09-01', 'America/New_York'),
       ('1003', 'professional', 'monthly', '2025-01-31', 'Asia/Tokyo'),
       ('1004', 'starter',      'monthly', '2025-11-05', 'America/Sao_Paulo');
:hide

\echo
\echo '== 5. Set contacts as non-marketing =='
\echo 'By plain SQL: those that wait already, as the export says, and those that cannot be reached.'
\echo
:show
UPDATE crm.contact SET marketing_status = 'non_marketing'
WHERE exported_until_next_update OR unsubscribed OR bounce_reason IS NOT NULL;
:hide
\echo
\echo 'And by ticked rows, with a report: some were set already, some are non-marketing, one is nobody.'
\echo
:show
SELECT * FROM mkt.set_non_marketing('crm.contact', ARRAY[1, 2, 3, 5, 8, 13, 21, 34, 55, 999999999]);
:hide

\echo
\echo '== 6. What is billed =='
\echo 'Pending contacts count until the update date of their account. What will be billed after it is'
\echo 'known today. Instants are shown in UTC: midnight in Oslo, New York, Tokyo and Sao Paulo.'
\echo
:show
PREPARE usage AS
SELECT account, billable, pending, non_marketing, total, next_update,
       billable_after_update AS after_update
FROM mkt.usage WHERE account BETWEEN '1001' AND '1005' ORDER BY account;
EXECUTE usage;
:hide

\echo
\echo '== 7. An update date passes =='
\echo 'It is 1 April, noon. Nothing has run and no row was written, and yet every figure is that of now:'
\echo 'billable is what after_update foretold. The update date of 1004 is the fifth; its contacts wait.'
\echo
:show
SET mktcontacts.clock = '2026-04-01 12:00+00';
EXECUTE usage;
PREPARE states AS
SELECT mkt.is_marketing(marketing_status, marketing_until) AS is_marketing,
       marketing_status, marketing_until_next_update, count(*)
FROM crm.contact GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
EXECUTE states;
:hide

\echo
\echo '== 8. Apply =='
\echo 'Brings the columns of those rows up to date, in batches that commit. No figure changes by it.'
\echo
:show
CALL mkt.apply_updates();
EXECUTE usage;
EXECUTE states;
:hide

\echo
\echo '== 9. Check =='
\echo 'mkt.verify() counts all contacts again and returns what differs from the counts that were kept.'
\echo
:show
SELECT * FROM mkt.verify();
:hide
SELECT count(*) = 0 AS exact, (SELECT count(*) FROM crm.contact) AS contacts FROM mkt.verify() \gset
\if :exact
    \echo 'No difference:' :contacts 'contacts, every count exact.'
\else
    DO $$ BEGIN RAISE 'mkt.verify() found differences'; END $$;
\endif
