#!/usr/bin/python3
"""Lets the calls of PostgreSQL that statements make fail, one after the other:
the first, the second, and so on until the statement passes (test/faults/install
links the library for it).

Each statement is tried by itself, with empty and with filled caches, and behind
a savepoint in a transaction that has counted contacts before. After each failure
mkt.verify() returns nothing, contacts, counts, history and batches are what they
were before the statement, the session goes on, and what it does then is exact; the
statement itself then does what it should.

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

import psycopg2
import psycopg2.errors

SHOWN = 5
NOW = "2026-03-10 12:00+00"
LATER = "2026-04-02 12:00+00"
FILTER = '{"filterGroups": [{"filters": [{"propertyName": "city", "operator": "EQ", "value": "Oslo"}]}]}'
CSV = """Record ID,First Name,Email,Create Date,Marketing contact status,Marketing contact until next update
1,Ann,ann@example.com,2026-01-02 03:00,Marketing contact,
2,Bob,bob@example.com,2026-01-02 03:00,Marketing contact,Yes
x,Bad,,,Marketing contact,
3,Cat,,,Non-marketing contact,
"""

SETUP = f"""
SET mktcontacts.clock = '{NOW}';
CREATE EXTENSION IF NOT EXISTS mktcontacts;
CREATE SCHEMA fault;
CREATE FUNCTION fault.at(bigint) RETURNS void LANGUAGE c AS '$libdir/mktcontacts', 'mkt_fault_at';
CREATE FUNCTION fault.calls() RETURNS bigint LANGUAGE c AS '$libdir/mktcontacts', 'mkt_fault_calls';
CREATE FUNCTION fault.forget() RETURNS void LANGUAGE c AS '$libdir/mktcontacts', 'mkt_fault_forget';
CREATE TABLE fault.contact (id int PRIMARY KEY, account text, city text, bounced boolean NOT NULL DEFAULT false);
CREATE TABLE fault.parted (id int PRIMARY KEY, account text) PARTITION BY RANGE (id);
CREATE TABLE fault.parted_1 PARTITION OF fault.parted FOR VALUES FROM (0) TO (1000);
CREATE TABLE fault.parted_2 PARTITION OF fault.parted FOR VALUES FROM (1000) TO (2000);
CREATE TABLE fault.other (id int PRIMARY KEY, account text);
CREATE TABLE fault.tallied (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account text);
CREATE PROCEDURE fault.write() LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..2 LOOP INSERT INTO fault.tallied (account, marketing_status) VALUES ('a', 'marketing'); COMMIT; END LOOP;
END $$;
INSERT INTO fault.other SELECT i, 'o' || i % 2 FROM generate_series(1, 6) AS i;
SELECT mkt.attach('fault.contact', account_column => 'account', bounced => 'bounced');
SELECT mkt.attach('fault.parted', account_column => 'account');
SELECT mkt.attach('fault.tallied', account_column => 'account'), mkt.set_history('fault.tallied', false);
INSERT INTO mkt.account (account, edition, maximum, at_maximum) VALUES ('tiered', 'starter', NULL, 'refuse');
INSERT INTO mkt.account (account, maximum, at_maximum) VALUES ('capped', 30, 'refuse'), ('parking', 3, 'park');
INSERT INTO mkt.account (account, count_deleted) VALUES ('keeping', true);
INSERT INTO fault.contact (id, account, city, marketing_status, marketing_until_next_update)
SELECT i, (ARRAY['plain', 'tiered', 'capped', 'keeping', NULL])[1 + i % 5], CASE WHEN i % 2 = 0 THEN 'Oslo' ELSE 'Rome' END,
    CASE WHEN i % 3 > 0 THEN 'marketing' ELSE 'non_marketing' END::mkt.status, i % 3 = 2 FROM generate_series(1, 40) AS i;
INSERT INTO fault.parted (id, account, marketing_status)
SELECT i, i % 3, CASE WHEN i % 2 = 0 THEN 'marketing' ELSE 'non_marketing' END::mkt.status FROM generate_series(990, 1009) AS i;
SELECT mkt.create_list('fault.contact', 'plain', 'fair');
SELECT mkt.add_to_list('fault.contact', 'plain', 'fair', ARRAY[5, 10, 15]);
SELECT mkt.save_filter('fault.contact', NULL, 'oslo', condition => 'city = ''Oslo''');
SELECT mkt.create_hubspot_table('fault.hubspot', account => 'imported');
SELECT mkt.switch_on_workflow(mkt.create_workflow('fault.contact', 'plain', 'oslo', 'marketing', condition => 'city = ''Oslo'''), true);
CALL mkt.run();
"""

# What must be as it was before a statement that failed.
STATE = """
SELECT md5(concat(
    (SELECT string_agg(c::text, '|' ORDER BY id) FROM fault.contact AS c),
    (SELECT string_agg(c::text, '|' ORDER BY id) FROM fault.parted AS c),
    (SELECT string_agg(c::text, '|' ORDER BY id) FROM fault.other AS c),
    (SELECT string_agg(c::text, '|' ORDER BY record_id) FROM fault.hubspot AS c),
    (SELECT string_agg(a::text, '|' ORDER BY account) FROM mkt.account AS a),
    (SELECT string_agg(a::text, '|' ORDER BY account) FROM mkt.account_tier AS a),
    (SELECT string_agg(a::text, '|' ORDER BY contacts) FROM mkt.attachment AS a),
    (SELECT string_agg(concat(batch, contacts, label, changed, already, parked), '|' ORDER BY batch) FROM mkt.batch),
    (SELECT count(*) FROM mkt.parked_contact), (SELECT count(*) FROM mkt.list_member),
    (SELECT count(*) FROM mkt.review_contact), (SELECT count(*) FROM mkt.enrollment), (SELECT count(*) FROM mkt.import),
    (SELECT count(*) FROM mkt.fault_contact_history), (SELECT count(*) FROM mkt.fault_parted_history)))
"""

# What a statement makes of the contacts.
CONTACTS = """
SELECT md5(concat(
    (SELECT string_agg(c::text, '|' ORDER BY id) FROM fault.contact AS c),
    (SELECT string_agg(c::text, '|' ORDER BY id) FROM fault.parted AS c),
    (SELECT string_agg(c::text, '|' ORDER BY record_id) FROM fault.hubspot AS c)))
"""

# One after the other; those that take their own transactions are by themselves.
STATEMENTS = [
    ("insert", "INSERT INTO fault.contact (id, account, marketing_status) SELECT i, (ARRAY['plain', 'tiered', 'capped'])[1 + i % 3],"
               " 'marketing' FROM generate_series(101, 106) AS i"),
    ("insert as a tool", "SET LOCAL mktcontacts.source_type = 'form_submission'; SET LOCAL mktcontacts.batch = 'form';"
                         " INSERT INTO fault.contact (id, account) VALUES (111, 'plain'), (112, 'tiered'), (113, NULL)"),
    ("insert and park", "INSERT INTO fault.contact (id, account, marketing_status) SELECT i, 'parking', 'marketing' FROM generate_series(121, 126) AS i"),
    ("update statuses", "UPDATE fault.contact SET marketing_status = 'marketing', marketing_until_next_update = id % 2 = 0 WHERE id <= 20"),
    ("set as non-marketing", "UPDATE fault.contact SET marketing_status = 'non_marketing' WHERE id BETWEEN 10 AND 30"),
    ("move to other accounts", "UPDATE fault.contact SET account = CASE WHEN account = 'plain' THEN 'tiered' ELSE 'plain' END WHERE id <= 12"),
    ("delete", "DELETE FROM fault.contact WHERE id BETWEEN 20 AND 27"),
    ("upsert", "INSERT INTO fault.contact AS c (id, account, marketing_status) VALUES (20, 'plain', 'marketing'), (1, 'plain', 'marketing')"
               " ON CONFLICT (id) DO UPDATE SET marketing_status = excluded.marketing_status"),
    ("partition's statement", "UPDATE fault.parted_1 SET marketing_status = 'marketing'"),
    ("insert into a partition", "INSERT INTO fault.parted_2 (id, account, marketing_status) SELECT i, i % 3, 'marketing' FROM generate_series(1100, 1105) AS i"),
    ("move to another partition", "UPDATE fault.parted SET id = id + 500 WHERE id BETWEEN 985 AND 999"),
    ("truncate a partitioned table", "TRUNCATE fault.parted; INSERT INTO fault.parted (id, account, marketing_status) SELECT i, i % 3, 'marketing' FROM generate_series(990, 1009) AS i"),
    ("block with handled errors", "DO $$BEGIN FOR i IN 1..3 LOOP UPDATE fault.parted_1 SET account = account || 'x' WHERE id = 990;"
                                  " BEGIN UPDATE fault.parted_1 SET account = account || i WHERE id < 996; IF i = 2 THEN RAISE division_by_zero; END IF;"
                                  " EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END$$"),
    ("set_marketing", "SELECT * FROM mkt.set_marketing('fault.contact', ARRAY[1, 2, 3, 4, 5, 999], source_type => 'user', source_name => 'ann')"),
    ("set_non_marketing by filter", f"SELECT * FROM mkt.set_non_marketing('fault.contact', filter => '{FILTER}', account => 'plain')"),
    ("set_marketing by list", "SELECT * FROM mkt.set_marketing('fault.contact', list => 'fair', account => 'plain')"),
    ("record_activity", "SELECT * FROM mkt.record_activity('fault.contact', ARRAY[6, 7, 8, 9], 'form_submission', 'news')"),
    ("undo", "SELECT * FROM mkt.undo((SELECT max(batch) FROM mkt.batch WHERE contacts = 'fault.contact'::regclass AND action = 'set_marketing'))"),
    ("merge", "SELECT mkt.merge('fault.contact', 31, 36)"),
    ("account with other dates", "UPDATE mkt.account SET commitment = 'monthly', started_on = '2026-01-15' WHERE account IN ('tiered', 'keeping')"),
    ("account with a maximum", "INSERT INTO mkt.account (account, maximum) VALUES ('plain', 100) ON CONFLICT (account) DO UPDATE SET maximum = 100"),
    ("account with another edition", "UPDATE mkt.account SET edition = 'professional' WHERE account = 'tiered'"),
    ("tool's setting", "INSERT INTO mkt.tool_setting (account, tool, created_as) VALUES ('plain', 'form_submission', 'non_marketing')"),
    ("review", f"SELECT mkt.review_unengaged(r, true), mkt.review_filter(r, '{FILTER}'::jsonb), mkt.review_list(r, 'fair'), mkt.apply_review(r)"
               " FROM mkt.open_review('fault.contact', 'plain') AS r"),
    ("preview", f"SELECT * FROM mkt.preview_set_non_marketing('fault.contact', filter => '{FILTER}')"),
    ("usage", "SELECT * FROM mkt.usage"),
    ("explain", "SELECT * FROM mkt.explain('fault.contact', 2)"),
    ("history", "SELECT mkt.history('fault.contact', 2), mkt.status_at('fault.contact', 2)"),
    ("forecast and chart", "SELECT mkt.forecast('tiered', 3), mkt.usage_chart('tiered')"),
    ("eligible", "SELECT * FROM mkt.eligible('fault.contact', 'marketing_email')"),
    ("lists", f"SELECT mkt.add_matching_to_list('fault.contact', 'plain', 'fair', '{FILTER}'), mkt.remove_from_list('fault.contact', 'plain', 'fair', ARRAY[5])"),
    ("import", f"SELECT * FROM mkt.import_hubspot('fault.hubspot', $${CSV}$$)"),
    ("reconcile", f"SELECT * FROM mkt.reconcile_hubspot('fault.hubspot', $${CSV}$$)"),
    ("forget", "SELECT mkt.forget('fault.contact', 3)"),
    ("restrict", "SELECT mkt.restrict_tool('fault.contact', 'marketing_email', 'pg_monitor'), mkt.unrestrict_tool('fault.contact', 'pg_monitor')"),
    ("repair", "SELECT * FROM mkt.repair()"),
    ("attach and detach", "SELECT mkt.attach('fault.other', account_column => 'account', already_marketing => 'id < 4');"
                          " UPDATE fault.other SET marketing_status = 'marketing'; SELECT mkt.detach('fault.other', drop_columns => true)"),
    ("truncate", "TRUNCATE fault.contact"),
]
ALONE = [
    ("tallies that go on", "CALL fault.write()"),
    ("run", f"CALL mkt.run()"),
    ("run after the update date", f"CALL mkt.run()"),
    ("apply", "CALL mkt.apply_updates(5)"),
]


class Fault(Exception):
    """What must not happen."""


class Session:
    def __init__(self):
        self.connection = psycopg2.connect("")
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()
        self.run(f"SET mktcontacts.clock = '{NOW}'; SET timezone = 'UTC'; SET client_min_messages = error")

    def run(self, statement):
        self.cursor.execute(statement)
        return self.cursor.fetchall() if self.cursor.description else None

    def one(self, statement):
        return self.run(statement)[0][0]

    def state(self):
        return self.one(STATE)

    def would_be(self, statement):
        self.run("BEGIN")
        self.run(statement)
        contacts = self.one(CONTACTS)
        self.run("ROLLBACK")
        return contacts

    def check(self, where, state=None):
        wrong = self.run("SELECT * FROM mkt.verify()")
        if wrong:
            raise Fault(f"{where}: mkt.verify() says {wrong[:3]}")
        if state and self.state() != state:
            raise Fault(f"{where}: not everything is as it was")


def is_fault(error):
    return "fault in call" in str(error)


def attempts(limit):
    """1, 2, 3 ... and, with a limit, further apart after it."""
    n = 1
    while True:
        yield n
        n += 1 if not limit or n < limit else 1 + n // limit


def try_alone(session, statement, cold, limit, one_transaction=True):
    """Fails until it passes; how often it failed."""
    failures = 0
    begin, end = ("BEGIN", "COMMIT") if one_transaction else ("SELECT", "SELECT")
    result = session.would_be(statement) if one_transaction else None
    for n in attempts(limit):
        where = f"call {n} by itself, {'empty' if cold else 'filled'} caches"
        before = session.state() if one_transaction else None
        if cold:
            session.run("SELECT fault.forget()")
        session.run(f"SELECT fault.at({n})")
        try:
            session.run(begin)
            session.run(statement)
            session.run(end)
        except psycopg2.Error as error:
            session.run("ROLLBACK")
            if not is_fault(error):
                raise Fault(f"{where}: {error}")
            before = before if one_transaction else None
        else:
            before = None
        calls = session.one("SELECT fault.calls()")
        session.run("SELECT fault.at(0)")
        session.check(where, before)
        if before is None and calls < n:
            return failures
        if before and session.would_be(statement) != result:
            raise Fault(f"{where}: the next time it does something else")
        if before is None and one_transaction:
            result = session.would_be(statement)    # it handled the failure, and was committed
        failures += 1


def try_behind_savepoint(session, statement, limit):
    """The same, after other changes in one transaction, which goes on and is committed."""
    failures = 0
    for n in attempts(limit):
        where = f"call {n} behind a savepoint"
        session.run("BEGIN; UPDATE fault.parted_1 SET marketing_until_next_update = NOT marketing_until_next_update WHERE id < 1000 AND marketing_status = 'marketing'")
        session.run("UPDATE fault.contact SET city = city WHERE id = 1; UPDATE fault.parted_1 SET account = length(account) WHERE id = 990")
        before = session.state()
        session.run("SAVEPOINT outer_one; UPDATE fault.parted_1 SET marketing_status = 'marketing' WHERE id = 991; SAVEPOINT inner_one")
        session.run(f"SELECT fault.at({n})")
        try:
            session.run(statement)
            session.run("RELEASE inner_one; RELEASE outer_one")
            failed = False
        except psycopg2.Error as error:
            failed = True
            if not is_fault(error):
                raise Fault(f"{where}: {error}")
        if not failed:
            calls = session.one("SELECT fault.calls()")
            session.run("SELECT fault.at(0)")
            session.check(where)
            session.run("ROLLBACK")
            session.check(where + ", rolled back")
            if calls < n:
                return failures
        else:
            try:
                session.run("ROLLBACK TO outer_one")
            except psycopg2.errors.InvalidSavepointSpecification:
                # it was being released, and has taken the transaction along
                session.run("ROLLBACK; SELECT fault.at(0)")
                session.check(where + ", all rolled back")
                failures += 1
                continue
            session.run("SELECT fault.at(0)")
            session.check(where, before)
            session.run("UPDATE fault.parted_1 SET account = account WHERE id = 990; RELEASE outer_one")
            session.run("UPDATE fault.parted_1 SET marketing_status = 'marketing' WHERE id = 992")
            session.check(where + ", going on")
            session.run("COMMIT")
            session.check(where + ", committed")
        failures += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=int(os.environ.get("FAULTS_LIMIT", "60")),
                        help="after this many, calls that fail are further and further apart; 0: each one fails")
    parser.add_argument("--only", help="of the statements, those with this in their name")
    arguments = parser.parse_args()

    session = Session()
    session.run(SETUP)
    session.connection.commit()
    wrong = []
    for i, (name, statement) in enumerate(STATEMENTS + ALONE):
        alone = i >= len(STATEMENTS)
        failures = 0
        if arguments.only and arguments.only not in name:
            if not alone:
                session.run("BEGIN; " + statement + "; COMMIT")
            continue
        try:
            if "after" in name:
                session.run(f"SET mktcontacts.clock = '{LATER}'")
            if not alone:
                failures += try_behind_savepoint(session, statement, arguments.limit)
                session.run("BEGIN")
                session.run(statement)
                session.run("ROLLBACK")
            failures += try_alone(session, statement, i % 2 == 0, arguments.limit, not alone)
            print(f"ok {i + 1} - {name}: {failures} failures", flush=True)
        except (Fault, psycopg2.Error) as error:
            print(f"not ok {i + 1} - {name}", flush=True)
            print("# " + str(error).strip().replace("\n", "\n# "), flush=True)
            wrong.append(name)
            if len(wrong) > SHOWN or session.connection.closed:
                break
            session.run("ROLLBACK")
            session.run("SELECT fault.at(0)")
            session.run("SELECT mkt.repair()")
            try:
                session.run("BEGIN; " + statement + "; COMMIT")
            except psycopg2.Error:
                session.run("ROLLBACK")
    else:
        print(f"1..{len(STATEMENTS) + len(ALONE)}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
