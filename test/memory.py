#!/usr/bin/python3
"""Memory stays flat: one session runs many statements, and what its memory contexts
hold is the same after a tenth of them as at the end; one statement
with very many rows takes no more than PostgreSQL's queue of triggers, a few bytes
a row, and so does one transaction with many savepoints.

MEMORY_STATEMENTS and MEMORY_ROWS say how many; those of `make test` are few.

Connects by PGHOST, PGPORT, PGDATABASE and PGUSER (a superuser, for the clock)
to a database that nothing else uses, on this machine, and prints TAP.
"""

import os
import sys

# Not before the standard library: a neighbour of this file is named random.py.
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [p for p in sys.path if os.path.abspath(p) != HERE]
sys.dont_write_bytecode = True

import argparse
import random
import threading

import psycopg2

NOW = "2026-03-10 12:00+00"
CITY = '{"filterGroups": [{"filters": [{"propertyName": "city", "operator": "EQ", "value": "Oslo"}]}]}'
CSV = "Record ID,Email,Marketing contact status\n1,a@example.com,Marketing contact\n2,b@example.com,perhaps\n"

SETUP = f"""
SET mktcontacts.clock = '{NOW}';
CREATE EXTENSION IF NOT EXISTS mktcontacts;
CREATE SCHEMA much;
CREATE TABLE much.contact (id int PRIMARY KEY, account text, city text);
CREATE TABLE much.parted (id int PRIMARY KEY, account text) PARTITION BY RANGE (id);
CREATE TABLE much.part PARTITION OF much.parted FOR VALUES FROM (0) TO (1000000000);
SELECT mkt.attach('much.contact', account_column => 'account');
SELECT mkt.attach('much.parted', account_column => 'account');
SELECT mkt.create_hubspot_table('much.hubspot', account => 'imported');
SELECT mkt.create_list('much.contact', NULL, 'list');
INSERT INTO mkt.account (account, edition, maximum, at_maximum)
SELECT 'm' || i, CASE WHEN i % 2 = 0 THEN 'professional' END, CASE WHEN i % 3 = 0 THEN 50 END, 'park' FROM generate_series(0, %(accounts)s) AS i;
INSERT INTO much.contact (id, account, city, marketing_status)
SELECT i, 'm' || i %% %(accounts)s, 'Oslo', 'marketing' FROM generate_series(1, 2000) AS i;
INSERT INTO much.parted (id, account, marketing_status) SELECT i, 'p' || i %% 10, 'marketing' FROM generate_series(1, 2000) AS i;
CALL mkt.run();
"""

# With how often of a thousand; {k} is a key, {a} an account, {s} a status.
STATEMENTS = [
    (300, "INSERT INTO much.contact (id, account, city, marketing_status) VALUES ({k}, 'm{a}', 'Oslo', '{s}') ON CONFLICT (id) DO NOTHING"),
    (300, "UPDATE much.contact SET marketing_status = '{s}' WHERE id = {k}"),
    (50, "UPDATE much.contact SET account = 'm{a}' WHERE id = {k}"),
    (60, "DELETE FROM much.contact WHERE id = {k}"),
    (50, "UPDATE much.part SET marketing_status = '{s}' WHERE id = {k}"),
    (50, "BEGIN; SAVEPOINT s; UPDATE much.part SET marketing_status = '{s}' WHERE id = {k}; ROLLBACK TO s;"
         " UPDATE much.part SET account = 'p{a}' WHERE id = {k}; RELEASE s; COMMIT"),
    (40, "UPDATE much.contact SET marketing_status = NULL WHERE id = {k}"),
    (30, "SELECT mkt.set_marketing('much.contact', ARRAY[{k}, {k} + 1])"),
    (30, "SELECT mkt.set_non_marketing('much.contact', ARRAY[{k}, {k} + 1], source_type => 'user')"),
    (10, "SELECT mkt.record_activity('much.contact', ARRAY[{k}], 'form_submission', 'f{a}')"),
    (10, "SET mktcontacts.source_type = 'form_submission'; SET mktcontacts.batch = 'b{a}';"
         " INSERT INTO much.contact (id, account) VALUES ({k}, 'm{a}') ON CONFLICT (id) DO NOTHING; RESET mktcontacts.batch; RESET mktcontacts.source_type"),
    (10, "SELECT mkt.billable('m{a}'), mkt.next_update('m{a}')"),
    (10, "SELECT mkt.history('much.contact', {k}), mkt.status_at('much.contact', {k})"),
    (5, "SELECT mkt.set_non_marketing('much.contact', filter => '" + CITY + "', account => 'm{a}')"),
    (5, "SELECT mkt.undo((SELECT max(batch) FROM mkt.batch_report WHERE contacts = 'much.contact'::regclass))"),
    (5, "SELECT mkt.explain('much.contact', {k})"),
    (5, "SELECT mkt.merge('much.contact', {k}, {k} + 1)"),
    (4, "SELECT mkt.add_to_list('much.contact', NULL, 'list', ARRAY[{k}]), mkt.remove_from_list('much.contact', NULL, 'list', ARRAY[{k}])"),
    (4, "UPDATE mkt.account SET maximum = 60 WHERE account = 'm{a}'"),
    (3, "SELECT mkt.preview_set_marketing('much.contact', ARRAY[{k}])"),
    (3, "SELECT mkt.import_hubspot('much.hubspot', $$" + CSV + "$$)"),
    (3, "SELECT mkt.forecast('m{a}', 3)"),
    (3, "SELECT count(*) FROM mkt.eligible('much.contact', 'marketing_email', keys => ARRAY[{k}])"),
    (2, "SELECT mkt.abandon_review(mkt.open_review('much.contact', 'm{a}'))"),
    (1, "CALL mkt.apply_updates()"),
    (1, "CALL mkt.run()"),
]

# These are sent together, each a transaction of its own.
NEVER_REFUSED = [STATEMENTS[i][1] for i in (0, 1, 3, 4)]
AT_ONCE = 20

CONTEXTS = """
SELECT sum(total_bytes)::bigint, sum(used_bytes)::bigint,
       sum(total_bytes) FILTER (WHERE name LIKE 'mktcontacts%%' OR ident LIKE 'mktcontacts%%')::bigint
FROM pg_backend_memory_contexts
"""
LARGEST = """
SELECT coalesce(name, '') || ' ' || coalesce(left(ident, 40), ''), sum(total_bytes)::bigint FROM pg_backend_memory_contexts
GROUP BY 1 ORDER BY 2 DESC LIMIT 8
"""

# More than this is growth: buffers of one statement, and caches that fill with the system's own rows.
ALLOWED = 1 << 20
# What PostgreSQL keeps of a row for a BEFORE UPDATE trigger (32 bytes, whatever that does), and until AFTER triggers have
# fired (16 at most); of a contact that is chosen, also its key, in an array; and what a statement may need besides.
QUEUED = 48
CHOSEN = 200
BESIDES = 32 << 20
# A savepoint after which something was written is one of PostgreSQL's locks until the end of its transaction.
LOCKED = 5000
# A sanitizer keeps what is freed for a while.
SANITIZED = "ASAN_OPTIONS" in os.environ


class Session:
    def __init__(self):
        self.connection = psycopg2.connect("")
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()
        self.pid = self.connection.info.backend_pid
        self.run(f"SET mktcontacts.clock = '{NOW}'; SET timezone = 'UTC'; SET client_min_messages = error; SET work_mem = '4MB'")

    def run(self, statement):
        self.cursor.execute(statement)
        return self.cursor.fetchall() if self.cursor.description else None

    def private(self):
        """What the process has for itself, in bytes."""
        with open(f"/proc/{self.pid}/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))


class Watch(threading.Thread):
    """The most that a session's process has for itself while something runs."""

    def __init__(self, session):
        super().__init__(daemon=True)
        self.session, self.before, self.most = session, session.private(), 0
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(0.02):
            self.most = max(self.most, self.session.private())

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()
        self.grown = max(self.most - self.before, 0)


def mega(n):
    return f"{n / (1 << 20):.1f} MB"


def many_statements(n, accounts):
    session = Session()
    session.run("SET statement_timeout = 0")
    kinds = [kind for weight, kind in STATEMENTS for _ in range(weight)]
    together = []

    def run(statement):
        try:
            session.run(statement)
        except psycopg2.Error:
            # refused, as some are meant to be
            if session.connection.closed:
                raise
            session.run("ROLLBACK")

    def one(kind):
        statement = kind.replace("{k}", str(random.randint(1, 4000))).replace("{a}", str(random.randrange(accounts)))
        statement = statement.replace("{s}", random.choice(["marketing", "non_marketing"]))
        if kind in NEVER_REFUSED:
            together.append("BEGIN; " + statement + "; COMMIT")
        else:
            run(statement)
        if len(together) == AT_ONCE:
            run("; ".join(together))
            together.clear()

    for _ in range(5):
        for _, kind in STATEMENTS:
            one(kind)
    measured = []
    for i in range(1, n + 1):
        one(random.choice(kinds))
        if i % (n // 10) == 0:
            total, used, ours = session.run(CONTEXTS)[0]
            measured.append(total)
            print(f"# after {i} statements: contexts {mega(total)}, used {mega(used)}, ours {mega(ours or 0)},"
                  f" process {mega(session.private())}", flush=True)
    grown = measured[-1] - measured[0]
    if grown > ALLOWED:
        for name, size in session.run(LARGEST):
            print(f"# {name}: {mega(size)}")
    wrong = session.run("SELECT * FROM mkt.verify()")
    session.connection.close()
    return grown <= ALLOWED and not wrong, f"{n} statements: contexts grew by {mega(max(grown, 0))}"


def one_statement(name, n, statement, allowed):
    session = Session()
    session.run("SELECT mkt.billable('m1')")
    with Watch(session) as watch:
        session.run(statement)
    session.connection.close()
    return SANITIZED or watch.grown <= allowed * n + BESIDES, f"{name} of {n} rows: the process grew by {mega(watch.grown)}"


def many_savepoints(n):
    session = Session()
    session.run("UPDATE much.part SET marketing_status = 'marketing' WHERE id = 1")
    session.run("BEGIN")
    with Watch(session) as watch:
        for i in range(n):
            session.run(f"SAVEPOINT s; UPDATE much.part SET account = 'p' || {i} % 100 WHERE id = 1 + {i} % 100;"
                        f" {'ROLLBACK TO' if i % 3 == 0 else 'RELEASE'} s")
        ours = session.run(CONTEXTS)[0][2] or 0
    session.run("COMMIT")
    session.connection.close()
    return ours <= ALLOWED, f"{n} savepoints: ours {mega(ours)}, the process grew by {mega(watch.grown)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--statements", type=int, default=int(os.environ.get("MEMORY_STATEMENTS", "5000")))
    parser.add_argument("--rows", type=int, default=int(os.environ.get("MEMORY_ROWS", "100000")))
    parser.add_argument("--only", help="those with this in their name")
    arguments = parser.parse_args()

    accounts = max(min(arguments.statements // 20, 20000), 10)
    session = Session()
    for statement in (SETUP.replace("%(accounts)s", str(accounts)).replace("%%", "%")).split(";\n"):
        if statement.strip():
            session.run(statement)
    session.connection.close()
    rows = arguments.rows
    tests = [
        ("statements", lambda: many_statements(arguments.statements, accounts)),
        ("savepoints", lambda: many_savepoints(min(max(arguments.statements // 10, 100), LOCKED))),
    ] + [(name, lambda name=name, statement=statement: one_statement(name, rows, statement, CHOSEN if "set_" in name else QUEUED))
         for name, statement in [
        ("INSERT", f"INSERT INTO much.contact (id, account, city, marketing_status) SELECT i, 'n' || i % {accounts}, 'Rome', 'marketing'"
                   f" FROM generate_series(100001, 100000 + {rows}) AS i"),
        ("UPDATE", "UPDATE much.contact SET marketing_status = 'non_marketing' WHERE id > 100000"),
        ("UPDATE of accounts", f"UPDATE much.contact SET account = 'n' || (id + 1) % {accounts} WHERE id > 100000"),
        ("set_marketing", "SELECT mkt.set_marketing('much.contact', filter => '" + CITY.replace("Oslo", "Rome") + "')"),
        ("DELETE", "DELETE FROM much.contact WHERE id > 100000"),
        ("COPY", f"COPY much.contact (id, account, marketing_status) FROM PROGRAM 'seq -f \"%.0f,n1,marketing\" 100001 {100000 + rows}' (FORMAT csv)"),
        ("INSERT into a partition", f"INSERT INTO much.part (id, account, marketing_status) SELECT i, 'p' || i % 1000, 'marketing'"
                                    f" FROM generate_series(100001, 100000 + {rows}) AS i"),
        ("UPDATE of a partition", "UPDATE much.part SET marketing_status = 'non_marketing'"),
        ("DELETE from a partition", "DELETE FROM much.part"),
    ]]
    failed = False
    number = 0
    for name, run in tests:
        if arguments.only and arguments.only not in name:
            continue
        number += 1
        good, told = run()
        failed |= not good
        print(f"{'ok' if good else 'not ok'} {number} - {told}", flush=True)
    print(f"1..{number}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
