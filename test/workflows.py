#!/usr/bin/python3
"""Compares workflows with a small model of them (rules K1 to K7): contacts that
change, come, go and move, time that passes, workflows that are switched, changed
and dropped, limits a day and a second, contacts that somebody has locked, and a
trigger that raises for some of them, for reasons that pass or not.  After each
mkt.run() the enrolments, their attempts, the contacts and the workflows have to
be what the model says.

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
import random
from collections import Counter
from datetime import datetime, timedelta, timezone
from fractions import Fraction

import psycopg2
import psycopg2.extras

SCHEMA = "mkt_workflows"
START = datetime(2026, 3, 10, 12, tzinfo=timezone.utc)
ACCOUNTS = {"w1": 0, "w2": 9, "w3": -3}     # hours from UTC, of their zones
KEYS = range(1001, 1061)
PASSING = ["40001", "40P01", "55P03"]
LASTING = ["P0001", "23514"]
ATTEMPTS = 10
FAILURES = 5
LOCKED = "somebody else has locked the contact"

# Conditions in SQL and in Python, on (a, b); the last one may raise.
CONDITIONS = [
    ("a > 5", lambda a, b: a > 5),
    ("a % 2 = 0", lambda a, b: a % 2 == 0),
    ("b IS NULL OR b > 3", lambda a, b: b is None or b > 3),
    ("a >= 0", lambda a, b: True),
    ("10 / b > 2", lambda a, b: b is not None and 10 // b > 2),
]

FIXTURE = """
DROP SCHEMA IF EXISTS {schema} CASCADE;
CREATE SCHEMA {schema};
CREATE TABLE {schema}.contact (id bigint PRIMARY KEY, account text, a int NOT NULL, b int);
CREATE TABLE {schema}.trouble (id bigint PRIMARY KEY, sqlstate text);
CREATE FUNCTION {schema}.trouble() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    code text := (SELECT sqlstate FROM {schema}.trouble WHERE id = NEW.id);
BEGIN
    IF code IS NOT NULL AND NEW.marketing_source_type = 'workflow' THEN
        RAISE EXCEPTION 'trouble' USING ERRCODE = code;
    END IF;
    RETURN NEW;
END $$;
DELETE FROM mkt.account;
INSERT INTO mkt.account (account, commitment, started_on, time_zone)
    VALUES ('w1', 'monthly', '2026-01-05', 'UTC'),
           ('w2', 'annual', NULL, 'Asia/Tokyo'),
           ('w3', 'monthly', '2026-01-20', 'America/Sao_Paulo');
"""
TRIGGER = """
CREATE TRIGGER trouble BEFORE UPDATE OF marketing_status ON {schema}.contact
    FOR EACH ROW EXECUTE FUNCTION {schema}.trouble()
"""

# What has to have come up, or the world was not random enough.
EXPECTED = [
    "changed", "already", "pending", "unenrolled", "failed", "passed over",
    "enrolled again", "locked", "a passing failure", "a lasting failure",
    "held by the limit a day", "held by its condition", "a limit a second",
    "another day in the account's zone", "a run in a transaction block",
    "switched on again", "dropped", "another condition",
]


class Mismatch(Exception):
    pass


class Workflow:
    def __init__(self, number, account, marketing, condition, reenroll, limit):
        self.number = number
        self.account = account
        self.marketing = marketing
        self.condition = condition
        self.reenroll = reenroll
        self.limit = limit
        self.state = "off"
        self.failures = 0
        self.day = None
        self.changed = 0
        self.rows = {}


class Row:
    """Of mkt.enrollment."""

    def __init__(self, state, now):
        self.meets = True
        self.begin(state, now)

    def begin(self, state, now):
        self.state = state
        self.attempts = 0
        self.next = now

    def seen(self):
        return (self.meets, self.state, self.attempts, self.next)


def main():
    options = read_options()
    run = Run(options.seed)
    differences = []
    try:
        run.prepare()
        while run.steps < options.count:
            run.step()
    except (Mismatch, psycopg2.Error) as problem:
        differences = str(problem).splitlines() + [
            "seed %d, step %d, clock %s; last:" % (options.seed, run.steps,
                                                   run.now)] + run.last
    print("1..3")
    tell(1, not differences, "%d times the workflows did what the model does"
         % run.steps, differences)
    missing = [case for case in EXPECTED if not run.cases[case]]
    tell(2, not missing, "every kind of enrolment came up", missing
         + ["%6d %s" % (run.cases[case], case) for case in EXPECTED])
    run.connection.rollback()
    drift = run.query("SELECT * FROM mkt.verify()")
    tell(3, not drift, "the counts are exact", map(str, drift))
    run.clean()
    return 1 if differences or missing or drift else 0


def tell(number, good, name, details):
    print("%s %d - %s" % ("ok" if good else "not ok", number, name))
    for detail in list(details)[:60]:
        print("# " + detail)
    sys.stdout.flush()


def read_options():
    parser = argparse.ArgumentParser(
        description="Compare workflows with a model of them.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=500)
    return parser.parse_args()


class Run:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.connection = psycopg2.connect("")
        self.connection.autocommit = True
        self.cursor = self.connection.cursor(
            cursor_factory=psycopg2.extras.NamedTupleCursor)
        self.other = psycopg2.connect("")
        self.cases = Counter()
        self.steps = 0
        self.now = START
        self.workflows = {}
        self.rate = {account: None for account in ACCOUNTS}
        self.tokens = {}                # account: (actions, at)
        self.trouble = {}
        self.locked = set()
        self.last = []

    def query(self, sql, *values):
        self.last = (self.last + ["%s %s" % (" ".join(sql.split()),
                                             values or "")])[-25:]
        self.cursor.execute(sql.replace("contact ", SCHEMA + ".contact "),
                            values or None)
        return self.cursor.fetchall() if self.cursor.description else None

    def prepare(self):
        self.query("SET client_min_messages = error; SET timezone = 'UTC';"
                   "SET statement_timeout = '1min';"
                   "CREATE EXTENSION IF NOT EXISTS mktcontacts")
        self.set_clock()
        self.cursor.execute(FIXTURE.format(schema=SCHEMA))
        self.query("SELECT mkt.attach('%s.contact',"
                   " account_column => 'account')" % SCHEMA)
        self.cursor.execute(TRIGGER.format(schema=SCHEMA))
        for key in KEYS:
            self.insert(key)

    def set_clock(self):
        self.query("SELECT set_config('mktcontacts.clock', %s, false)",
                   self.now.isoformat(" "))

    # -- The world -----------------------------------------------------------

    def step(self):
        for _ in range(self.rng.randrange(9)):
            self.disturb()
        if self.rng.random() < 0.8:
            self.now += timedelta(seconds=self.rng.choice(
                [0, 1, 30, 60, 600, 3600, 6 * 3600, 86400, 10 * 86400]))
            self.set_clock()
        self.lock_some()
        self.run()
        self.other.rollback()
        self.locked = set()
        self.steps += 1

    def disturb(self):
        rng = self.rng
        key = rng.choice(KEYS)
        kind = rng.randrange(14)
        if kind < 4:
            self.query("UPDATE contact SET a = %s, b = %s WHERE id = %s",
                       rng.randrange(10), self.some_b(), key)
        elif kind == 4:
            self.query("DELETE FROM contact WHERE id = %s", key)
        elif kind < 7:
            self.insert(key)
        elif kind == 7:
            self.query("UPDATE contact SET account = %s WHERE id = %s",
                       rng.choice(list(ACCOUNTS)), key)
        elif kind == 8:
            self.query("UPDATE contact SET marketing_status = %s,"
                       " marketing_source_type = 'user' WHERE id %% 7 = %s",
                       rng.choice(["marketing", "non_marketing"]),
                       rng.randrange(7))
        elif kind == 9:
            self.make_trouble(key)
        elif kind == 10:
            account = rng.choice(list(ACCOUNTS))
            self.rate[account] = rng.choice([None] * 4 + ["0.01", "0.05", "2"])
            self.query("UPDATE mkt.account SET actions_per_second = %s"
                       " WHERE account = %s", self.rate[account], account)
        else:
            self.change_workflow()

    def some_b(self):
        return self.rng.choice([None] + list(range(1, 6)) * 6 + [0])

    def insert(self, key):
        self.query("INSERT INTO contact VALUES (%s, %s, %s, %s)"
                   " ON CONFLICT DO NOTHING", key,
                   self.rng.choice(list(ACCOUNTS)), self.rng.randrange(10),
                   self.some_b())

    def make_trouble(self, key):
        if key in self.trouble or len(self.trouble) > 5:
            self.trouble.pop(key, None)
            self.cursor.execute("DELETE FROM %s.trouble WHERE id = %d"
                                % (SCHEMA, key))
            return
        self.trouble[key] = self.rng.choice(PASSING + LASTING)
        self.cursor.execute("INSERT INTO %s.trouble VALUES (%d, '%s')"
                            % (SCHEMA, key, self.trouble[key]))

    def lock_some(self):
        if self.rng.random() < 0.7:
            return
        self.locked = set(self.rng.sample(KEYS, 3))
        cursor = self.other.cursor()
        cursor.execute("SELECT FROM %s.contact WHERE id IN (%s) FOR UPDATE"
                       % (SCHEMA, ", ".join(map(str, self.locked))))

    # -- Workflows -----------------------------------------------------------

    def change_workflow(self):
        rng = self.rng
        if len(self.workflows) < 5:
            self.create()
            return
        workflow = rng.choice(list(self.workflows.values()))
        kind = rng.randrange(16)
        if kind == 0:
            self.query("SELECT mkt.drop_workflow(%s)", workflow.number)
            del self.workflows[workflow.number]
            self.cases["dropped"] += 1
        elif kind < 4:
            self.query("SELECT mkt.switch_off_workflow(%s)", workflow.number)
            workflow.state = "off"
        elif kind < 11:
            self.switch_on(workflow, rng.random() < 0.5)
        elif kind < 13:
            workflow.reenroll = not workflow.reenroll
            self.query("SELECT mkt.alter_workflow(%s, reenroll => %s)",
                       workflow.number, workflow.reenroll)
        elif kind < 14:
            workflow.condition = rng.choice(CONDITIONS)
            workflow.failures = 0
            self.query("SELECT mkt.alter_workflow(%s, condition => %s)",
                       workflow.number, workflow.condition[0])
            self.cases["another condition"] += 1
        else:
            limit = rng.choice([0, 2, 5, 10])
            workflow.limit = limit or None
            self.query("SELECT mkt.alter_workflow(%s, limit_per_day => %s)",
                       workflow.number, limit)

    def create(self):
        rng = self.rng
        workflow = Workflow(None, rng.choice(list(ACCOUNTS)),
                            rng.random() < 0.5, rng.choice(CONDITIONS),
                            rng.random() < 0.5, rng.choice([None, 3, 10]))
        workflow.number = self.query(
            "SELECT mkt.create_workflow('" + SCHEMA + ".contact', %s, %s, %s,"
            " condition => %s, reenroll => %s, limit_per_day => %s) AS n",
            workflow.account, "w%d" % self.rng.getrandbits(60),
            "marketing" if workflow.marketing else "non_marketing",
            workflow.condition[0], workflow.reenroll, workflow.limit)[0].n
        self.workflows[workflow.number] = workflow
        self.switch_on(workflow, rng.random() < 0.5)

    def switch_on(self, workflow, existing):
        contacts = self.contacts()
        meeting = self.meeting(workflow, contacts)
        try:
            self.query("SELECT mkt.switch_on_workflow(%s, %s)",
                       workflow.number, existing)
        except psycopg2.errors.DivisionByZero:
            same(meeting, None, "a condition that raises")
            return
        same(meeting is None, False, "a condition that raises")
        if existing:
            for row in workflow.rows.values():
                if row.state == "passed_over":
                    row.meets = False
        self.enroll(workflow, meeting, not existing)
        self.cases["passed over"] += not existing and len(meeting)
        self.cases["switched on again"] += workflow.state == "held"
        workflow.state = "on"
        workflow.failures = 0
        workflow.changed = 0

    # -- The model -----------------------------------------------------------

    def contacts(self):
        """What is there: key: [account, a, b, state of T1 and T2]."""
        rows = self.query(
            "SELECT id::text, account, a, b, CASE WHEN marketing_status ="
            " 'non_marketing' OR marketing_until <= mkt.now() THEN 'non'"
            " WHEN marketing_until IS NULL THEN 'marketing' ELSE 'pending' END"
            " AS state FROM contact ORDER BY id")
        return {row.id: list(row[1:]) for row in rows}

    def meeting(self, workflow, contacts):
        """The keys; None when the condition raises."""
        if workflow.condition is CONDITIONS[-1] and any(
                account == workflow.account and b == 0
                for account, _, b, _ in contacts.values()):
            return None
        return {key for key, (account, a, b, _) in contacts.items()
                if account == workflow.account and workflow.condition[1](a, b)}

    def enroll(self, workflow, meeting, pass_over):
        state = "passed_over" if pass_over else "waiting"
        for key, row in workflow.rows.items():
            row.meets = row.meets and key in meeting
        for key in meeting:
            row = workflow.rows.get(key)
            if row is None:
                workflow.rows[key] = Row(state, self.now)
            elif not row.meets:
                row.meets = True
                if row.state in ("passed_over", "unenrolled"):
                    row.begin(state, self.now)
                elif row.state != "waiting" and workflow.reenroll \
                        and not pass_over:
                    row.begin(state, self.now)
                    self.cases["enrolled again"] += 1

    def model(self, workflow, contacts):
        """What mkt.run() is to do with a workflow."""
        if workflow.state != "on":
            return
        meeting = self.meeting(workflow, contacts)
        if meeting is None:
            workflow.failures += 1
            if workflow.failures >= FAILURES:
                workflow.state = "held"
                self.cases["held by its condition"] += 1
            return
        workflow.failures = 0
        self.enroll(workflow, meeting, False)
        for key, row in sorted(workflow.rows.items(),
                               key=lambda item: (item[1].next, item[0])):
            if row.state == "waiting" and row.next <= self.now:
                if not self.may_act(workflow):
                    break
                self.act(workflow, contacts, key, row)

    def may_act(self, workflow):
        account = workflow.account
        today = self.today(workflow)
        if workflow.day != today:
            self.cases["another day in the account's zone"] += \
                today != self.now.date()
            workflow.day = today
            workflow.changed = 0
        if workflow.limit and workflow.changed >= workflow.limit:
            workflow.state = "held"
            self.cases["held by the limit a day"] += 1
            return False
        if self.rate[account]:
            rate = Fraction(self.rate[account])
            most = max(Fraction(1), rate * 60)
            actions, at = self.tokens.get(account, (most, self.now))
            passed = Fraction((self.now - at).total_seconds())
            actions = min(most, actions + rate * passed)
            self.tokens[account] = (actions, self.now)
            if actions < 1:
                self.cases["a limit a second"] += 1
                return False
        return True

    def today(self, workflow):
        hours = ACCOUNTS[workflow.account]
        return (self.now + timedelta(hours=hours)).date()

    def act(self, workflow, contacts, key, row):
        contact = contacts.get(key)
        changes = False
        if contact is None or contact[0] != workflow.account:
            row.state = "unenrolled"
        elif int(key) in self.locked:
            self.again(row, True)
            self.cases["locked"] += 1
        elif workflow.marketing:
            changes = contact[3] != "marketing"
            row.state = "changed" if changes else "already"
        else:
            changes = contact[3] == "marketing"
            row.state = {"marketing": "changed", "non": "already"}.get(
                contact[3], "pending")
        if changes and int(key) in self.trouble:
            row.state = "waiting"
            passes = self.trouble[int(key)] in PASSING
            self.again(row, passes)
            self.failed.add((workflow.number, key,
                             self.trouble[int(key)]))
            self.cases["a passing failure" if passes
                       else "a lasting failure"] += 1
            return                      # what is rolled back costs nothing
        if changes:
            contact[3] = "marketing" if workflow.marketing else "pending"
            workflow.changed += 1
        if self.rate[workflow.account]:
            actions, at = self.tokens[workflow.account]
            self.tokens[workflow.account] = (actions - 1, at)
        self.cases[row.state] += 1

    def again(self, row, passes):
        delay = min(timedelta(minutes=2 ** min(row.attempts, 12)),
                    timedelta(days=1))
        row.next = self.now + delay
        row.attempts += 1
        if not passes and row.attempts >= ATTEMPTS:
            row.state = "failed"
            self.cases["failed"] += 1

    # -- One comparison ------------------------------------------------------

    def run(self):
        self.query("UPDATE mkt.workflow SET evaluated_at = NULL")
        contacts = self.contacts()
        self.failed = set()
        for number in sorted(self.workflows):
            self.model(self.workflows[number], contacts)
        if self.rng.random() < 0.2:
            self.cases["a run in a transaction block"] += 1
            self.query("BEGIN")
            self.query("CALL mkt.run()")
            self.query("COMMIT")
        else:
            self.query("CALL mkt.run()")
        real = self.contacts()
        same({key: contact[3] for key, contact in real.items()},
             {key: contact[3] for key, contact in contacts.items()},
             "contacts")
        self.compare_workflows()
        noted = self.query("SELECT workflow, key, sqlstate FROM"
                           " mkt.workflow_attempt WHERE key IS NOT NULL"
                           " AND at = mkt.now()")
        same(self.failed - set(map(tuple, noted)), set(),
             "failures without an attempt")

    def compare_workflows(self):
        rows = self.query("SELECT workflow, state, failures, day,"
                          " changed_that_day FROM mkt.workflow")
        found = {}
        wanted = {}
        for row in rows:
            workflow = self.workflows[row.workflow]
            today = self.today(workflow)
            found[row.workflow] = (row.state, row.failures,
                                   row.changed_that_day
                                   if row.day == today else 0)
            wanted[row.workflow] = (workflow.state, workflow.failures,
                                    workflow.changed
                                    if workflow.day == today else 0)
        same(found, wanted, "workflows")
        same(len(rows), len(self.workflows), "workflows")
        rows = self.query("SELECT workflow, key, meets, state, attempts,"
                          " next_attempt_at FROM mkt.enrollment")
        same({(row[0], row[1]): tuple(row[2:]) for row in rows},
             {(number, key): row.seen()
              for number, workflow in self.workflows.items()
              for key, row in workflow.rows.items()}, "enrolments")

    def clean(self):
        self.query("RESET mktcontacts.clock; DROP SCHEMA IF EXISTS %s"
                   " CASCADE; DELETE FROM mkt.account; DELETE"
                   " FROM mkt.workflow_allowance" % SCHEMA)


def same(found, wanted, what):
    if found == wanted:
        return
    if isinstance(found, dict):
        keys = [key for key in sorted(set(found) | set(wanted), key=str)
                if found.get(key) != wanted.get(key)]
        found = {key: found.get(key) for key in keys}
        wanted = {key: wanted.get(key) for key in keys}
    raise Mismatch("%s: %s,\nbut %s" % (what, found, wanted))


if __name__ == "__main__":
    sys.exit(main())
