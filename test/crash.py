#!/usr/bin/python3
"""Writers that keep ledgers, and what must hold when a server that they wrote
to has crashed.  020_crash.pl lets them write, kills the server or one of its
processes at some moment, starts it again and has everything checked.

    crash.py make             makes the tables
    crash.py write FOLDER N   16 writers and two jobs, until the server is
                              gone; N, the number of the round, moves the clock
    crash.py check FOLDER N   after recovery: resolves what is prepared and
                              prints what is wrong, and last what it has seen

Every contact belongs to one writer.  A transaction writes what it does to the
table journal, too, so that what it did is known from there when its client
does not know; the ledger, a file, says how far the client knows.  What the
contacts and their histories must be is worked out from the journal by
model.py.
"""

import os
import sys

# Not before the standard library, of which random is a part.
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [p for p in sys.path if os.path.abspath(p) != HERE] + [HERE]
sys.dont_write_bytecode = True

import json
import pickle
import random
import time
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta

import psycopg2
import psycopg2.errors

import model
from model import MARKETING, NON_MARKETING, UTC, Contact, Settings

WRITERS = 16
LONGEST = 30
# Never the instant of an update date, at which a period would end in midst of
# what is written.
BEGINNING = datetime(2026, 3, 10, 12, 7, tzinfo=UTC)
STEP = timedelta(days=3, hours=5)
TABLES = ["contact", "parted"]
ACCOUNTS = {
    "a": Settings("monthly", date(2025, 12, 5), edition="few"),
    "b": Settings("monthly", date(2025, 12, 12), "Europe/Oslo", "few"),
    "c": Settings("monthly", date(2025, 12, 19), "Asia/Tokyo", "many"),
    "d": Settings("monthly", date(2025, 12, 31), edition="many",
                  count_deleted=True),
    "e": Settings(),
}

FIXTURE = """
CREATE EXTENSION mktcontacts;
CREATE TABLE contact (id bigint PRIMARY KEY, account text);
CREATE INDEX ON contact (account);
CREATE TABLE parted (account text, id bigint PRIMARY KEY)
    PARTITION BY HASH (id);
CREATE TABLE part_0 PARTITION OF parted
    FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE part_1 PARTITION OF parted
    FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE lead (id bigint PRIMARY KEY, busy boolean NOT NULL);
SELECT mkt.attach('contact', account_column => 'account'),
    mkt.attach('parted', account_column => 'account'),
    mkt.attach('lead', account => 'wf');
INSERT INTO mkt.edition VALUES ('few'), ('many');
INSERT INTO mkt.increment (edition, included, increment)
    VALUES ('few', 20, 50), ('many', 100, 400);
INSERT INTO mkt.price (edition, currency, mode, base, per_increment)
    VALUES ('few', 'EUR', 'volume', 10, 5), ('many', 'EUR', 'graduated', 9, 7);
CREATE TABLE journal (writer int, serial bigint, now timestamptz NOT NULL,
    deeds jsonb NOT NULL, PRIMARY KEY (writer, serial));
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.busy AND NEW.marketing_status = 'marketing' THEN
        RAISE 'lead % is busy', NEW.id;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER a_refuse BEFORE UPDATE ON lead
    FOR EACH ROW EXECUTE FUNCTION refuse();
SELECT mkt.switch_on_workflow(mkt.create_workflow('lead', 'wf', 'all',
    'marketing', condition => 'true'), false);
"""


def connect(number):
    connection = psycopg2.connect("")
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("SET client_min_messages = error; SET timezone = 'UTC';"
                   "SET lock_timeout = '500ms'; SET statement_timeout = '20s';"
                   "SET mktcontacts.clock = '%s'" % clock(number))
    return connection, cursor


def clock(number):
    return BEGINNING + STEP * number


def make():
    _, cursor = connect(0)
    cursor.execute(FIXTURE)
    for name, settings in ACCOUNTS.items():
        cursor.execute(
            "INSERT INTO mkt.account (account, commitment, started_on,"
            " time_zone, edition, count_deleted) VALUES (%s, %s, %s, %s, %s,"
            " %s)", (name, *settings))


# ---------------------------------------------------------------------------
# Writing
# ---------------------------------------------------------------------------

def write(folder, number):
    """Each in a process of its own."""
    children = []
    for writer in range(WRITERS + 2):
        child = os.fork()
        if not child:
            try:
                if writer < WRITERS:
                    Writer(folder, number, writer).work()
                else:
                    job(number)
            except (Leaves, psycopg2.OperationalError,
                    psycopg2.InterfaceError):
                pass
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def job(number):
    """What is due: applied in small batches, periods, workflows, folding."""
    _, cursor = connect(number)
    end = time.time() + LONGEST
    while time.time() < end:
        for call in ("apply_updates(batch_size => 20)", "run()"):
            try:
                cursor.execute("CALL mkt.%s" % call)
            except (psycopg2.errors.LockNotAvailable,
                    psycopg2.errors.DeadlockDetected,
                    psycopg2.errors.QueryCanceled):
                pass


class Leaves(Exception):
    """A writer has left a prepared transaction, and is gone."""


class Writer:
    """One of them; what is written to the ledger reaches the system before the
    next statement reaches the server."""

    def __init__(self, folder, number, writer):
        self.rng = random.Random("%d %d" % (number, writer))
        self.writer = writer
        self.now = clock(number)
        self.number = number
        self.serial = number * 1000000
        self.ledger = open(os.path.join(folder, "ledger.%d" % writer), "a")
        self.connection, self.cursor = connect(number)
        self.mine = {table: self.keys(table) for table in TABLES}
        self.leads = self.keys("lead")
        self.leaves_one = self.rng.random() < 0.3

    def keys(self, table):
        self.cursor.execute("SELECT id FROM %s WHERE id / 100000 = %d"
                            % (table, self.writer))
        return {key for key, in self.cursor.fetchall()}

    def work(self):
        end = time.time() + LONGEST
        while time.time() < end:
            self.serial += 1
            try:
                self.transaction()
            except (psycopg2.errors.LockNotAvailable,
                    psycopg2.errors.DeadlockDetected,
                    psycopg2.errors.QueryCanceled,
                    psycopg2.errors.SerializationFailure):
                self.cursor.execute("ROLLBACK")
                self.note("undone")

    def note(self, what):
        self.ledger.write("%d %s\n" % (self.serial, what))
        self.ledger.flush()

    def transaction(self):
        before = {table: set(keys) for table, keys in self.mine.items()}
        rng = self.rng
        self.note("begun")
        self.cursor.execute("BEGIN ISOLATION LEVEL " + rng.choice(
            ["READ COMMITTED"] * 3 + ["REPEATABLE READ", "SERIALIZABLE"]))
        deeds = []
        try:
            for _ in range(rng.choice([1, 1, 2, 3])):
                if rng.random() < 0.2:
                    self.undone()
                deeds.append(self.deed())
            self.lead()
            self.cursor.execute(
                "INSERT INTO journal VALUES (%s, %s, %s, %s)",
                (self.writer, self.serial, self.now, json.dumps(deeds)))
            kept = self.end()
        except psycopg2.Error:
            self.mine = before
            raise
        if not kept:
            self.mine = before

    def end(self):
        """Whether its contacts may be there."""
        draw = self.rng.random()
        if draw < 0.1:
            self.note("undone")
            self.cursor.execute("ROLLBACK")
            return False
        if draw < 0.75:
            self.note("committing")
            self.cursor.execute("COMMIT")
            self.note("committed")
            return True
        return self.end_in_two()

    def end_in_two(self):
        gid = "%d %d" % (self.writer, self.serial)
        self.note("preparing")
        self.cursor.execute("PREPARE TRANSACTION %s", (gid,))
        self.note("prepared")
        if self.leaves_one and self.rng.random() < 0.2:
            raise Leaves    # nobody may touch its contacts before it has ended
        commits = self.rng.random() < 0.7
        self.note("committing" if commits else "undoing")
        self.cursor.execute("%s PREPARED %%s" % (
            "COMMIT" if commits else "ROLLBACK"), (gid,))
        self.note("committed" if commits else "undone")
        return commits

    def undone(self):
        """Something that a savepoint takes back."""
        before = {table: set(keys) for table, keys in self.mine.items()}
        self.cursor.execute("SAVEPOINT s")
        self.deed()
        self.cursor.execute("ROLLBACK TO s")
        self.mine = before

    def deed(self):
        table = self.rng.choice(TABLES)
        kinds = [self.insert, self.update, self.update, self.set_status]
        if len(self.mine[table]) > 150:
            kinds += [self.delete, self.delete]
        return self.rng.choice(kinds)(table)

    def some(self, table):
        keys = sorted(self.mine[table])
        size = self.rng.choice([1, 1, 1, 5, 60, 300])
        return sorted(self.rng.sample(keys, min(size, len(keys))))

    def insert(self, table):
        rows = {}
        for _ in range(self.rng.choice([1, 1, 2, 40])):
            key = self.writer * 100000 + self.rng.randrange(100000)
            if key not in self.mine[table]:
                rows[key] = [key, self.rng.choice(list(ACCOUNTS)),
                             self.rng.choice([MARKETING, NON_MARKETING, None]),
                             self.rng.choice([True, False])]
        self.cursor.execute(
            "INSERT INTO %s (id, account, marketing_status,"
            " marketing_until_next_update) SELECT (r->>0)::bigint, r->>1,"
            " (r->>2)::mkt.status, (r->>3)::boolean"
            " FROM jsonb_array_elements(%%s) AS r" % table,
            (json.dumps(list(rows.values())),))
        self.mine[table].update(rows)
        return ["insert", table, list(rows.values())]

    def update(self, table):
        # Not what a client does that writes back what it has read: that asks
        # something else of a contact once its date has passed.
        keys, rng = self.some(table), self.rng
        sets = dict(rng.choice([
            [("status", MARKETING)], [("status", NON_MARKETING)],
            [("flag", True)], [("account", rng.choice(list(ACCOUNTS)))],
            [("status", MARKETING), ("flag", False)]]))
        columns = {"status": "marketing_status", "account": "account",
                   "flag": "marketing_until_next_update"}
        names = [table]
        if table == "parted" and rng.random() < 0.5:
            names = ["part_0", "part_1"]
        for name in names:
            self.cursor.execute("UPDATE %s SET %s WHERE id = ANY (%%s)" % (
                name, ", ".join("%s = %%s" % columns[f] for f in sets)),
                (*sets.values(), keys))
        return ["update", table, keys, sets]

    def set_status(self, table):
        keys = self.some(table)
        function = self.rng.choice(["set_marketing", "set_non_marketing"])
        self.cursor.execute("SELECT FROM mkt.%s('%s', %%s::bigint[])"
                            % (function, table), (keys,))
        return [function, table, keys]

    def delete(self, table):
        keys = self.some(table)
        self.cursor.execute("DELETE FROM %s WHERE id = ANY (%%s)" % table,
                            (keys,))
        self.mine[table].difference_update(keys)
        return ["delete", table, keys]

    def lead(self):
        """Contacts that a workflow makes marketing, some after a while."""
        rng = self.rng
        if rng.random() < 0.2:
            key = self.writer * 100000 + self.serial % 1000 + \
                self.number % 90 * 1000
            self.cursor.execute("INSERT INTO lead VALUES (%s, %s) ON CONFLICT"
                                " DO NOTHING", (key, rng.random() < 0.5))
        elif rng.random() < 0.1:
            self.cursor.execute("UPDATE lead SET busy = false WHERE busy"
                                " AND id / 100000 = %s", (self.writer,))


# ---------------------------------------------------------------------------
# Checking
# ---------------------------------------------------------------------------

class Check:
    """What is known from round to round is kept in a file."""

    def __init__(self, folder, number):
        self.folder = folder
        self.number = number
        self.now = clock(number)
        self.wrong = []
        self.seen = Counter()
        self.connection, self.cursor = connect(number)
        self.file = os.path.join(folder, "known")
        self.rows, self.changes = {}, dict.fromkeys(TABLES, 0)
        if os.path.exists(self.file):
            with open(self.file, "rb") as known:
                self.rows, self.changes = pickle.load(known)

    def ask(self, sql, *arguments):
        self.cursor.execute(sql, arguments or None)
        return self.cursor.fetchall()

    def none(self, what, sql):
        """That a query finds nothing."""
        for row in self.ask(sql)[:5]:
            self.wrong.append("%s: %s" % (what, row))

    def check(self):
        self.exact("after recovery")
        self.settle(self.ledgers())
        self.exact("when what was prepared has ended")
        for table in TABLES:
            expected = self.expected(table)
            self.history(table, expected)
            self.contacts(table)
        self.tiers()
        self.periods()
        self.workflows()
        # What was broken off is done again, once.
        self.cursor.execute("CALL mkt.run()")
        self.exact("after mkt.run()")
        for table in TABLES:
            self.history(table, defaultdict(list))
            self.contacts(table)
        self.tiers()
        self.periods()
        self.none("a period is missing", """
            SELECT a.account, max(p.ends_at) FROM mkt.account AS a
            LEFT JOIN mkt.period AS p USING (account) GROUP BY a.account
            HAVING mkt.next_update(a.account, coalesce(max(p.ends_at),
                min(a.created_at))) <= mkt.now()""")
        self.workflows()
        with open(self.file, "wb") as known:
            pickle.dump((self.rows, self.changes), known)
        return self.wrong

    def exact(self, when):
        self.none("counts differ " + when, "SELECT * FROM mkt.verify()")

    # What the clients know

    def ledgers(self):
        """The last that each client knows of each transaction since the last
        check."""
        known = {}
        for writer in range(WRITERS):
            with open(os.path.join(self.folder, "ledger.%d" % writer)) as file:
                for line in file:
                    serial, _, what = line.strip().partition(" ")
                    if int(serial) >= self.number * 1000000:
                        known[writer, int(serial)] = what
        return known

    def settle(self, known):
        """Whether the journal says the same, of those too that are ended only
        now."""
        rng = random.Random(self.number)
        journal = set(self.ask("SELECT writer, serial FROM journal WHERE"
                               " serial >= %s", self.number * 1000000))
        prepared = {tuple(map(int, gid.split())) for gid, in
                    self.ask("SELECT gid FROM pg_prepared_xacts")}
        may = {"begun": "", "committing": "jp", "committed": "j",
               "preparing": "p", "prepared": "p", "undoing": "p",
               "undone": ""}
        must = {"committed": "j", "prepared": "p"}
        for name, what in known.items():
            found = ("j" if name in journal else "") + \
                ("p" if name in prepared else "")
            self.seen[what] += 1
            if found and found not in may[what] or \
                    must.get(what, found) != found:
                self.wrong.append("transaction %s was %s for its client, and"
                                  " is %s" % (name, what, found or "gone"))
        for name in journal - set(known):
            self.wrong.append("transaction %s is nobody's" % (name,))
        for name in prepared:
            self.seen["left prepared"] += 1
            self.cursor.execute(
                rng.choice(["COMMIT", "ROLLBACK"]) + " PREPARED '%d %d'"
                % name)

    # What the contacts must be

    def expected(self, table):
        """What the journal makes of them since the last check: their new
        events."""
        events = defaultdict(list)
        for writer, serial, now, deeds in self.ask(
                "SELECT writer, serial, now, deeds FROM journal WHERE"
                " serial >= %s ORDER BY writer, serial",
                self.number * 1000000):
            for deed in deeds:
                if deed[1] == table:
                    self.do(table, deed, now, events)
        return events

    def do(self, table, deed, now, events):
        what, _, keys, *sets = deed

        def next_update(account):
            return ACCOUNTS[account].next_update(now)

        for key in keys:
            old, new = None, None
            if what == "insert":
                key, account, status, flag = key
                new = model.inserted(
                    Contact(key, account, 0, 0, None, status, flag, None),
                    model.NOBODY, None, next_update)
            else:
                old = self.rows.get((table, key))
                if old is None:
                    continue
            if what == "update":
                new = self.updated(table, old, sets[0], now, next_update)
            elif what != "insert" and what != "delete":
                state = old.state(now)
                if (state == "M") == (what == "set_marketing"):
                    continue
                if what == "set_non_marketing" and state != "M":
                    continue
                new = self.updated(table, old, {
                    "status": MARKETING if what == "set_marketing"
                    else NON_MARKETING, "flag": False}, now, next_update)
            events[key] += model.events(old, new, now, model.NOBODY)
            if new is None:
                del self.rows[table, key]
            else:
                self.rows[table, key] = new

    def updated(self, table, old, sets, now, next_update):
        return model.updated(old, old._replace(**sets), now, next_update,
                             list(sets), partitioned=table == "parted")

    def contacts(self, table):
        """The rows themselves; those whose date has passed may be applied."""
        there = {}
        for row in self.ask("SELECT id, account, marketing_status::text,"
                            " marketing_until_next_update, marketing_until"
                            " FROM " + table):
            there[row[0]] = row
        mine = {key: row for (name, key), row in self.rows.items()
                if name == table}
        for key in sorted(set(there) | set(mine)):
            row, found = mine.get(key), there.get(key)
            told = row and (key, row.account, row.status, row.flag, row.until)
            passed = row and row.expired(self.now) and (
                key, row.account, NON_MARKETING, False, None)
            if found != told and found != passed:
                self.wrong.append("%s: is %s, must be %s" % (
                    table, found, told))
            elif found == passed and row and row.expired(self.now):
                self.rows[table, key] = row.become("N")
        self.seen["contacts"] = max(self.seen["contacts"], len(there))

    def history(self, table, expected):
        """Rows of the history since the last look: each expected one is there
        once, in its order, and between them only dates that have passed."""
        found = defaultdict(list)
        for key, *row in self.ask(
                "SELECT contact, change, changed_at, account, moved, %s, %s"
                " FROM mkt.public_%s_history WHERE change > %%s"
                " ORDER BY change" % (word("was"), word("until"), table),
                self.changes[table]):
            self.changes[table] = max(self.changes[table], row[0])
            found[key].append(row[1:])
        self.seen["history"] += sum(map(len, found.values()))
        for key in set(found) | set(expected):
            told = [row for row in found[key] if not passed(row)]
            must = [(event.changed_at, event.account, event.moved,
                     said(event.was), said(event.until))
                    for event in expected[key] if not event.passed()]
            if list(map(tuple, told)) != must:
                self.wrong.append("history of %d in %s: %s, must be %s" % (
                    key, table, told, must))

    def follows(self):
        """Each change begins where the one before it ended, from the first
        that is kept."""
        for table in TABLES:
            self.none("a gap in the history of " + table, """
                SELECT * FROM (SELECT contact, change, was, until, lag(until)
                    OVER w AS before, row_number() OVER w AS n
                    FROM mkt.public_%s_history
                    WINDOW w AS (PARTITION BY contact ORDER BY change)) AS h
                WHERE was IS DISTINCT FROM CASE WHEN n > 1 THEN before END
                    AND NOT (n > 1 AND before = '-infinity' AND was IS NULL)
                    AND NOT (was = '-infinity' AND coalesce(before,
                        '-infinity') = '-infinity')""" % table)
            self.none("the end of the history of " + table, """
                SELECT c.id, c.marketing_status, c.marketing_until, h.until
                FROM %s AS c LEFT JOIN (SELECT DISTINCT ON (contact) contact,
                    until FROM mkt.public_%s_history
                    ORDER BY contact, change DESC) AS h ON h.contact = c.id
                WHERE coalesce(h.until, '-infinity') <> CASE
                    WHEN marketing_status = 'marketing'
                    THEN coalesce(marketing_until, 'infinity')
                    ELSE '-infinity' END""" % (table, table))

    # What is told of accounts

    def tiers(self):
        self.follows()
        self.none("two notices", "SELECT account, percent, period_ends_at,"
                  " count(*) FROM mkt.notice GROUP BY 1, 2, 3"
                  " HAVING count(*) > 1")
        self.none("a notice is missing", """
            SELECT u.account, u.billable, t.tier, p.percent
            FROM mkt.usage AS u JOIN mkt.account_tier AS t USING (account)
            CROSS JOIN mkt.threshold AS p
            WHERE u.billable >= ceil(t.tier * p.percent / 100)
                AND NOT EXISTS (SELECT FROM mkt.notice AS n
                    WHERE n.account = u.account AND n.percent = p.percent
                    AND n.period_ends_at = u.next_update)""")
        self.none("a tier is too low", "SELECT u.account, u.billable, t.tier"
                  " FROM mkt.usage AS u JOIN mkt.account_tier AS t"
                  " USING (account) WHERE u.billable > t.tier")
        self.none("tier changes do not follow each other", """
            SELECT * FROM (SELECT account, change, reason, from_tier, to_tier,
                lag(to_tier, 1, i.included) OVER (PARTITION BY account
                    ORDER BY change) AS before
                FROM mkt.tier_change JOIN mkt.increment AS i USING (edition))
                AS c
            WHERE from_tier <> before
                OR reason = 'exceeded' AND from_tier >= to_tier""")
        self.none("an account's tier is another than its last change says", """
            SELECT t.account, t.tier, c.to_tier FROM mkt.account_tier AS t
            JOIN mkt.account AS a USING (account)
            JOIN mkt.increment AS i USING (edition)
            LEFT JOIN (SELECT DISTINCT ON (account) account, to_tier
                FROM mkt.tier_change ORDER BY account, change DESC) AS c
            USING (account)
            WHERE t.tier <> coalesce(c.to_tier, i.included)""")
        self.seen["notices"], = self.ask("SELECT count(*) FROM mkt.notice")[0]
        self.seen["tier changes"], = self.ask(
            "SELECT count(*) FROM mkt.tier_change")[0]

    def periods(self):
        self.none("periods do not follow each other", """
            SELECT * FROM (SELECT account, starts_at, ends_at, opening,
                lag(ends_at) OVER w AS ended, lag(closing) OVER w AS closed
                FROM mkt.period
                WINDOW w AS (PARTITION BY account ORDER BY ends_at)) AS p
            WHERE starts_at <> ended OR opening <> closed""")
        self.none("a period's end is not the account's count then", """
            SELECT account, ends_at, closing, mkt.billable(account, ends_at)
            FROM mkt.period WHERE ends_at <= mkt.now()
                AND closing <> mkt.billable(account, ends_at - interval '1 us')
                AND closing <> mkt.billable(account, ends_at)""")
        self.seen["periods"], = self.ask("SELECT count(*) FROM mkt.period")[0]

    def workflows(self):
        """Whoever is enrolled and changed was changed once."""
        self.none("a workflow's action is lost or doubled", """
            SELECT e.key, e.state, h.n FROM mkt.enrollment AS e
            FULL JOIN (SELECT contact::text AS key, count(*) AS n
                FROM mkt.public_lead_history WHERE until = 'infinity'
                GROUP BY 1) AS h USING (key)
            WHERE (e.state = 'changed') IS DISTINCT FROM (h.n = 1)
                AND coalesce(h.n, 0) + (e.state = 'changed')::int > 0""")
        self.none("a lead's status is not what the workflow did", """
            SELECT l.id, l.marketing_status, e.state FROM lead AS l
            LEFT JOIN mkt.enrollment AS e ON e.key = l.id::text
            WHERE (l.marketing_status = 'marketing')
                <> coalesce(e.state = 'changed', false)""")
        self.seen["workflow actions"], self.seen["waiting"] = self.ask(
            "SELECT count(*) FILTER (WHERE state = 'changed'),"
            " count(*) FILTER (WHERE state = 'waiting') FROM mkt.enrollment"
        )[0]


def word(column):
    """An instant of a history; infinity has no other in Python."""
    return "CASE WHEN isfinite(%s) THEN to_char(%s, 'YYYY-MM-DD HH24:MI:SS')" \
        " ELSE %s::text END" % (column, column, column)


def said(until):
    if until in (model.NEVER, model.FOREVER):
        return "infinity" if until == model.FOREVER else "-infinity"
    return until and until.strftime("%Y-%m-%d %H:%M:%S")


def passed(row):
    """Whether that row of a history says that an update date has passed."""
    return row[3] not in (None, "infinity", "-infinity") and \
        row[4] == "-infinity"


def main():
    what, *arguments = sys.argv[1:]
    if what == "make":
        make()
    elif what == "write":
        write(arguments[0], int(arguments[1]))
    else:
        check = Check(arguments[0], int(arguments[1]))
        for line in check.check()[:20]:
            print(line)
        print("# " + ", ".join("%s %d" % item
                               for item in sorted(check.seen.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
