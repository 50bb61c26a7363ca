#!/usr/bin/python3
"""Cancels everything that can take long at random moments, by pg_cancel_backend()
and by statement_timeout. It ends by an error, mkt.verify() returns nothing then,
and the same session goes on and does it all when it is let.

With --rows large enough for a second or more each, the times between a cancel and
its answer are worth reading; they are printed, not judged: machines are busy.

Connects by PGHOST, PGPORT, PGDATABASE and PGUSER (a superuser, for the clock)
to a database that nothing else uses, and prints TAP.
"""

import os
import sys

# Not before the standard library: a neighbour of this file is named random.py.
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [p for p in sys.path if os.path.abspath(p) != HERE]
sys.dont_write_bytecode = True

import argparse
import io
import random
import threading
import time

import psycopg2
from psycopg2 import errors

NOW = "2026-03-10 12:00+00"
LATER = "2026-05-02 12:00+00"
ALL = '{"filterGroups": [{"filters": [{"propertyName": "id", "operator": "GTE", "value": 0}]}]}'
ADD = "INSERT INTO stop.contact (id, account, city, marketing_status) SELECT i, 'a' || i % {accounts}, 'Oslo', 'marketing'"

SETUP = """
SET mktcontacts.clock = '{now}';
CREATE EXTENSION IF NOT EXISTS mktcontacts;
CREATE SCHEMA stop;
CREATE TABLE stop.contact (id int PRIMARY KEY, account text, city text, bounced boolean NOT NULL DEFAULT false);
CREATE TABLE stop.parted (id int PRIMARY KEY, account text) PARTITION BY RANGE (id);
CREATE TABLE stop.part PARTITION OF stop.parted FOR VALUES FROM (0) TO (1000000000);
CREATE TABLE stop.bare (id int PRIMARY KEY, account text, paying boolean);
CREATE INDEX ON stop.contact (account);
SELECT mkt.attach('stop.contact', account_column => 'account', bounced => 'bounced');
SELECT mkt.attach('stop.parted', account_column => 'account');
SELECT mkt.create_hubspot_table('stop.hubspot', account => 'imported');
INSERT INTO mkt.account (account, edition, count_deleted)
SELECT 'a' || i, CASE WHEN i % 2 = 0 THEN 'professional' END, i % 3 = 0 FROM generate_series(0, {accounts} - 1) AS i;
INSERT INTO stop.contact (id, account, city, bounced, marketing_status)
SELECT i, 'a' || CASE WHEN i % 2 = 0 THEN i % {accounts} ELSE 1 END, CASE WHEN i % 4 < 2 THEN 'Oslo' ELSE 'Rome' END, i % 10 = 0,
    CASE WHEN i % 3 > 0 THEN 'marketing' ELSE 'non_marketing' END::mkt.status FROM generate_series(1, {rows}) AS i;
INSERT INTO stop.parted (id, account, marketing_status)
SELECT i, 'p' || i % {accounts}, CASE WHEN i % 3 > 0 THEN 'marketing' ELSE 'non_marketing' END::mkt.status FROM generate_series(1, {rows}) AS i;
INSERT INTO stop.bare SELECT i, 'b' || i % {accounts}, i % 2 = 0 FROM generate_series(1, {rows}) AS i;
SELECT mkt.create_list('stop.contact', NULL, 'list');
SELECT mkt.switch_on_workflow(mkt.create_workflow('stop.contact', 'a1', 'oslo', 'marketing', condition => 'city = ''Oslo''', reenroll => true), true);
CALL mkt.run();
VACUUM ANALYZE;
"""

# What is cancelled; before, in the same transaction, which is rolled back.
IN_TRANSACTION = [
    ("INSERT", "", ADD + " FROM generate_series({rows} + 1, 2 * {rows}) AS i"),
    ("COPY", "", "COPY"),
    ("UPDATE of statuses", "", "UPDATE stop.contact SET marketing_status = 'marketing', marketing_until_next_update = true"),
    ("UPDATE of accounts", "", "UPDATE stop.contact SET account = 'a' || (id + 1) % {accounts}"),
    ("UPDATE of a partition", "", "UPDATE stop.part SET marketing_until_next_update = true WHERE marketing_status = 'marketing'"),
    ("DELETE", "", "DELETE FROM stop.contact"),
    ("TRUNCATE", "", "TRUNCATE stop.contact"),
    ("COMMIT after a partition's statement", "UPDATE stop.part SET marketing_until_next_update = NOT marketing_until_next_update"
     " WHERE marketing_status = 'marketing'", "COMMIT"),
    ("COMMIT for accounts with a tier", ADD + " FROM generate_series({rows} + 1, {rows} + {accounts} * 40) AS i", "COMMIT"),
    ("blocks with handlers", "", "DO $$BEGIN FOR i IN 1..{rows} / 4 LOOP BEGIN UPDATE stop.part SET marketing_status = 'marketing' WHERE id = i;"
     " IF i % 3 = 0 THEN RAISE division_by_zero; END IF; EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END$$"),
    ("set_marketing by keys", "", "SELECT mkt.set_marketing('stop.contact', (SELECT array_agg(id::text) FROM stop.contact))"),
    ("set_non_marketing by filter", "", "SELECT mkt.set_non_marketing('stop.contact', filter => '" + ALL + "')"),
    ("record_activity", "", "SELECT mkt.record_activity('stop.contact', (SELECT array_agg(id) FROM stop.contact), 'form_submission')"),
    ("undo", "SELECT mkt.set_non_marketing('stop.contact', filter => '" + ALL + "')",
     "SELECT mkt.undo((SELECT max(batch) FROM mkt.batch WHERE contacts = 'stop.contact'::regclass))"),
    ("merge", "", "SELECT count(mkt.merge('stop.contact', i, i + 2)) FROM generate_series(1, {accounts}, 4) AS i"),
    ("forget", "", "SELECT sum(mkt.forget('stop.contact', i)) FROM generate_series(1, {rows} / 100) AS i"),
    ("preview", "", "SELECT count(*) FROM mkt.preview_set_non_marketing('stop.contact', filter => '" + ALL + "')"),
    ("preview by keys", "", "SELECT count(*) FROM mkt.preview_set_non_marketing('stop.contact', (SELECT array_agg(id::text) FROM stop.contact))"),
    ("eligible", "", "SELECT count(*) FROM mkt.eligible('stop.contact', 'marketing_email')"),
    ("eligibility by keys", "", "SELECT count(*) FROM mkt.eligibility('stop.contact', 'marketing_email', keys => (SELECT array_agg(id::text) FROM stop.contact))"),
    ("matching", "", "SELECT count(*) FROM mkt.matching('stop.contact', '" + ALL + "')"),
    ("lists", "", "SELECT mkt.add_matching_to_list('stop.contact', NULL, 'list', '" + ALL + "')"),
    ("a list's contacts", "SELECT mkt.add_matching_to_list('stop.contact', NULL, 'list', '" + ALL + "')",
     "SELECT count(*) FROM mkt.list_keys('stop.contact', NULL, 'list')"),
    ("review", "SET LOCAL stop.review = ''; SELECT set_config('stop.review', mkt.open_review('stop.contact', 'a1')::text, true)",
     "SELECT mkt.review_unengaged(r, true), mkt.review_filter(r, '" + ALL + "'::jsonb), mkt.review_summary(r), mkt.apply_review(r)"
     " FROM (SELECT current_setting('stop.review')::bigint AS r) AS opened"),
    ("import", "", "SELECT mkt.import_hubspot('stop.hubspot', current_setting('stop.csv'))"),
    ("import of a field without an end", "", "SELECT mkt.import_hubspot('stop.hubspot', E'Record ID,Email\\n1,\"' || repeat('abcdefghij,\\n', {rows} * 20))"),
    ("reconcile", "", "SELECT count(*) FROM mkt.reconcile_hubspot('stop.hubspot', current_setting('stop.csv'))"),
    ("export", "", "SELECT count(*) FROM mkt.export_hubspot('stop.contact')"),
    ("usage", "", "SELECT count(*) FROM (SELECT * FROM mkt.usage OFFSET 0) AS u"),
    ("usage with what is not written", "UPDATE stop.part SET marketing_status = 'marketing'", "SELECT count(*) FROM (SELECT * FROM mkt.usage OFFSET 0) AS u"),
    ("billable of all accounts", "UPDATE stop.part SET marketing_status = 'marketing'",
     "SELECT sum(mkt.billable('a' || i)) FROM generate_series(1, {accounts}) AS i"),
    ("forecast of all accounts", "", "SELECT count(*) FROM generate_series(1, {accounts} / 50) AS i, mkt.forecast('a' || i, 12)"),
    ("forecast far ahead", "", "SELECT count(*) FROM mkt.forecast('a0', {rows} / 100)"),
    ("charts", "", "SELECT count(mkt.usage_svg('a' || i)) FROM generate_series(1, {accounts} / 50) AS i"),
    ("sources", "", "SELECT count(*) FROM generate_series(1, {accounts} / 50) AS i, mkt.source_usage('a' || i)"),
    ("history", "", "SELECT count(*) FROM generate_series(1, {rows} / 10) AS i, mkt.history('stop.contact', i)"),
    ("explain", "", "SELECT count(*) FROM generate_series(1, {rows} / 100) AS i, mkt.explain('stop.contact', i)"),
    ("business days", "", "SELECT mkt.business_days_before('2026-03-10', {rows})"),
    ("other dates of all accounts", "", "UPDATE mkt.account SET commitment = 'monthly', started_on = '2026-01-15'"),
    ("other editions of all accounts", "", "UPDATE mkt.account SET edition = 'enterprise'"),
    ("accounts that are deleted", "", "DELETE FROM mkt.account"),
    ("verify", "", "SELECT count(*) FROM mkt.verify()"),
    ("repair", "UPDATE mkt.stop_contact_count SET n = n + 1", "SELECT count(*) FROM mkt.repair('stop.contact')"),
    ("fold_counts", "UPDATE stop.contact SET account = 'a' || (id + 1) % {accounts}", "SELECT mkt.fold_counts('mkt.stop_contact_count')"),
    ("attach", "", "SELECT mkt.attach('stop.bare', account_column => 'account', already_marketing => 'paying')"),
    ("detach", "", "SELECT mkt.detach('stop.contact', drop_columns => true)"),
]

# Procedures that commit on their way, and what makes something due again.
ALONE = [
    ("apply_updates", "BEGIN; UPDATE stop.contact SET marketing_status = 'marketing', marketing_until_next_update = true; COMMIT;"
     " SET mktcontacts.clock = '" + LATER + "'", "CALL mkt.apply_updates()"),
    ("run", "BEGIN; UPDATE stop.contact SET marketing_status = 'marketing', marketing_until_next_update = true; COMMIT;"
     " SET mktcontacts.clock = '" + LATER + "'", "CALL mkt.run()"),
]


class Session:
    def __init__(self, arguments):
        self.connection = psycopg2.connect("")
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()
        self.pid = self.connection.info.backend_pid
        self.rows = arguments.rows
        self.run(f"SET mktcontacts.clock = '{NOW}'; SET timezone = 'UTC'; SET client_min_messages = error")

    def run(self, statement):
        if statement == "COPY":
            lines = "".join(f"{i}\ta{i % 7}\tOslo\tf\tmarketing\tf\n" for i in range(self.rows + 1, 2 * self.rows + 1))
            return self.cursor.copy_expert("COPY stop.contact (id, account, city, bounced, marketing_status, marketing_until_next_update)"
                                           " FROM STDIN", io.StringIO(lines))
        self.cursor.execute(statement)
        return self.cursor.fetchall() if self.cursor.description else None


class Cancel(threading.Thread):
    """Cancels a session's statement after a while; when is in .at."""

    def __init__(self, connection, pid, delay):
        super().__init__(daemon=True)
        self.connection, self.pid, self.delay, self.at = connection, pid, delay, None
        self.over = threading.Event()
        self.start()

    def run(self):
        if not self.over.wait(self.delay):
            self.at = time.monotonic()
            with self.connection.cursor() as cursor:
                cursor.execute("SELECT pg_cancel_backend(%s)", [self.pid])


def take(session, statement):
    started = time.monotonic()
    session.run(statement)
    return time.monotonic() - started


def check(session):
    wrong = session.run("SELECT * FROM mkt.verify()")
    if wrong:
        raise AssertionError(f"mkt.verify() says {wrong[:3]}")


def cancelled(session, other, statement, delay, by_timeout):
    """Runs and cancels a statement; how long the answer took, or None when it was over before."""
    cancel = None
    if by_timeout:
        session.run(f"SET statement_timeout = {max(1, int(delay * 1000))}")
        asked = time.monotonic() + max(1, int(delay * 1000)) / 1000
    else:
        cancel = Cancel(other, session.pid, delay)
    try:
        session.run(statement)
        over = None
    except errors.QueryCanceled:
        over = time.monotonic()
    if cancel:
        cancel.over.set()
        cancel.join()
        asked = cancel.at
        # a cancel that came too late must not hit what comes next
        try:
            session.run("SELECT pg_sleep(0.01)")
        except psycopg2.Error:
            pass
    return over - asked if over else None


def try_in_transaction(session, other, before, statement, seconds, by_timeout):
    session.run("BEGIN")
    if before:
        session.run(before)
    answer = cancelled(session, other, statement, random.random() * seconds, by_timeout)
    session.run("ROLLBACK")
    session.run("RESET statement_timeout")
    check(session)
    return answer


def test(session, other, before, statement, tries):
    session.run("BEGIN")
    if before:
        session.run(before)
    seconds = take(session, statement)
    session.run("ROLLBACK")
    if statement == "COMMIT":
        session.run(f"DELETE FROM stop.contact WHERE id > {session.rows}")
    answers = []
    for i in range(tries):
        answer = try_in_transaction(session, other, before, statement, seconds, i % 4 == 3)
        if answer is not None:
            answers.append(answer)
        elif statement == "COMMIT":
            session.run(f"DELETE FROM stop.contact WHERE id > {session.rows}")
    return seconds, answers


def test_alone(session, other, before, statement, tries):
    for _ in range(2):  # the first time it may do more
        session.run(f"SET mktcontacts.clock = '{NOW}'")
        session.run(before)
        seconds = take(session, statement)
    answers = []
    for i in range(tries):
        session.run(f"SET mktcontacts.clock = '{NOW}'")
        session.run(before)
        answer = cancelled(session, other, statement, random.random() * seconds, i % 4 == 3)
        session.run("RESET statement_timeout")
        check(session)
        if answer is not None:
            answers.append(answer)
    session.run(statement)
    session.run(f"SET mktcontacts.clock = '{NOW}'")
    return seconds, answers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=int(os.environ.get("CANCEL_ROWS", "2000")))
    parser.add_argument("--tries", type=int, default=int(os.environ.get("CANCEL_TRIES", "3")))
    parser.add_argument("--seed", type=int, default=random.randrange(10 ** 6))
    parser.add_argument("--first", type=int, default=1, help="the number of the first one")
    parser.add_argument("--only", help="those with this in their name")
    arguments = parser.parse_args()
    random.seed(arguments.seed)

    session = Session(arguments)
    other = psycopg2.connect("")
    other.autocommit = True
    numbers = {"rows": arguments.rows, "accounts": max(arguments.rows // 10, 1), "now": NOW}
    fill = lambda text: text.replace("{rows}", str(numbers["rows"])).replace("{accounts}", str(numbers["accounts"])).replace("{now}", NOW)
    for statement in fill(SETUP).split(";\n"):
        if statement.strip():
            session.run(statement)
    csv = "Record ID,First Name,Email,Create Date,Marketing contact status\n" + "".join(
        f"{i},Ann {i},p{i}@example.com,2026-01-02 03:00,{'Marketing contact' if i % 50 else 'perhaps'}\n" for i in range(arguments.rows))
    session.cursor.execute("SELECT set_config('stop.csv', %s, false)", [csv])

    failed = False
    tests = [(test, *one) for one in IN_TRANSACTION] + [(test_alone, *one) for one in ALONE]
    print(f"# seed {arguments.seed}, {arguments.rows} rows, {arguments.tries} tries")
    for number, (how, name, before, statement) in enumerate(tests, 1):
        if number < arguments.first or (arguments.only and arguments.only not in name):
            continue
        try:
            seconds, answers = how(session, other, fill(before), fill(statement), arguments.tries)
            told = f"{len(answers)} of {arguments.tries} cancelled" + (
                f", answered after {1000 * max(answers):.0f} ms at most" if answers else "")
            print(f"ok {number} - {name}, of {seconds:.2f} s: {told}", flush=True)
        except (psycopg2.Error, AssertionError) as error:
            failed = True
            print(f"not ok {number} - {name}", flush=True)
            print("# " + (str(error) or repr(error)).strip().replace("\n", "\n# "), flush=True)
            if session.connection.closed:
                break
            session.run("ROLLBACK")
            session.run(f"RESET statement_timeout; SET mktcontacts.clock = '{NOW}'")
    else:
        print(f"1..{len(tests)}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
