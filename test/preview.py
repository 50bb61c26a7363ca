#!/usr/bin/python3
"""Compares previews of bulk changes with the changes themselves (rule W6): at
least 5,000 times, in random states of several tables, accounts, editions,
cycles and clocks, a preview is asked for, then the change is made in the same
transaction.  The preview has to equal, to the contact and to the cent,

 - what the change reports, or the error that it raises,
 - mkt.billable() of each account, now and from its next update date on,
 - tier, price and currency in mkt.usage, right after the change and when the
   clock stands at the next update date.

Contacts are named by key, or chosen by a query, a filter or a saved filter. Some
comparisons are of reviews: what is selected, while contacts change meanwhile, the
summary, and what applying it yields.

The accounts that a preview names have to be those of the contacts, and the
one that the call names, and a
preview must change nothing: it runs in a read-only transaction, too, and takes
no transaction id.

Among the states are contacts whose instant has passed and is not applied yet,
pending ones with instants of other cycles, contacts without an account,
accounts with contacts in several tables, and prices that change at the update
date; among the calls are keys that come twice or belong to nobody, and a role
under row-level security that sees more than it may change.

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
import json
import random
import uuid
from collections import Counter, namedtuple
from datetime import date, datetime, timedelta, timezone

import psycopg2
import psycopg2.extras

SCHEMA = "mkt_preview"
SHOWN = 10
START = datetime(2026, 3, 10, 12, tzinfo=timezone.utc)
ZONES = ["UTC", "Europe/Oslo", "Pacific/Apia", "Pacific/Kiritimati",
         "America/St_Johns", "America/Sao_Paulo"]
CURRENCIES = ["EUR", "JPY", "KWD", "CLP"]
EDITIONS = ["e%d" % n for n in range(8)]
UUIDS = [uuid.UUID(int=n) for n in range(1, 90)]
OWNERS = [uuid.UUID(int=n) for n in (1001, 1002, 1003)]

Table = namedtuple("Table", "name key_type keys accounts account_column"
                            " composite")
TABLES = [
    Table("person", "bigint", list(range(1, 90)), [1, 2, 3, 4, None],
          "account_id", False),
    Table("solo", "bigint", list(range(1, 60)), ["3"], None, False),
    Table("member", "integer", list(range(1, 20)),
          ["1", "2", "it's", "blåbær", ""], "account", True),
    Table("guest", "uuid", UUIDS, OWNERS + [None], "owner", False),
]
Line = namedtuple("Line", "account next_update currency"
                          " tier_before tier_after tier_after_update"
                          " price_before price_after price_after_update"
                          " billable_before billable_after"
                          " billable_after_update non_marketing_before"
                          " non_marketing_after non_marketing_after_update")
ACCOUNTS = sorted({str(a) for t in TABLES for a in t.accounts
                   if a is not None})

FIXTURE = """
DROP SCHEMA IF EXISTS {schema} CASCADE;
CREATE SCHEMA {schema};
CREATE TABLE {schema}.person (note text, id bigint PRIMARY KEY,
    account_id bigint, score int NOT NULL);
CREATE TABLE {schema}.solo (id bigint PRIMARY KEY, score int NOT NULL);
CREATE TABLE {schema}.member (account text, id int, score int NOT NULL,
    PRIMARY KEY (account, id)) PARTITION BY LIST (account);
CREATE TABLE {schema}.member_1 PARTITION OF {schema}.member
    FOR VALUES IN ('1', 'it''s');
CREATE TABLE {schema}.member_rest (score int NOT NULL, id int NOT NULL,
    account text NOT NULL, PRIMARY KEY (account, id));
ALTER TABLE {schema}.member ATTACH PARTITION {schema}.member_rest DEFAULT;
CREATE TABLE {schema}.guest (id uuid PRIMARY KEY, owner uuid,
    score int NOT NULL);
CREATE TABLE {schema}.seen (score int PRIMARY KEY);
INSERT INTO {schema}.seen VALUES (0), (1), (2), (3);

DO $$ BEGIN CREATE ROLE mkt_preview_clerk; EXCEPTION
    WHEN duplicate_object THEN NULL; END $$;
GRANT USAGE ON SCHEMA {schema} TO mkt_preview_clerk;
GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA {schema} TO mkt_preview_clerk;
ALTER TABLE {schema}.guest ENABLE ROW LEVEL SECURITY;
CREATE POLICY some_are_read ON {schema}.guest FOR SELECT
    USING (EXISTS (SELECT FROM {schema}.seen WHERE seen.score = guest.score));
CREATE POLICY fewer_are_updated ON {schema}.guest FOR UPDATE
    USING (score IN (1, 2)) WITH CHECK (true);
CREATE POLICY even_fewer ON {schema}.guest AS RESTRICTIVE FOR UPDATE
    TO mkt_preview_clerk USING (score < 2) WITH CHECK (true);
ALTER TABLE {schema}.person ENABLE ROW LEVEL SECURITY;
CREATE POLICY whole_accounts ON {schema}.person USING (account_id <= 2);

DELETE FROM mkt.account;
DELETE FROM mkt.edition WHERE edition LIKE 'e_';
"""

PREVIEW = """
SELECT p.*, pg_current_xact_id_if_assigned() IS NULL AS no_xid
FROM mkt.preview_{function}({arguments}) AS p
"""
USAGE = """
PREPARE usage (text[]) AS
SELECT account, billable, non_marketing, tier, price, currency, next_update
FROM mkt.usage
WHERE account = ANY ($1) OR account IS NULL
"""
BILLABLE = """
SELECT account, mkt.billable(account) AS now,
       mkt.billable(account, mkt.next_update(account)) AS later
FROM unnest(ARRAY[{accounts}]::text[]) AS account
"""
TOUCHED = """
SELECT {account}::text AS account, count(*) AS n,
       bool_or(marketing_until <= mkt.now()) AS passed,
       bool_or(marketing_until > mkt.now()
           AND marketing_until < mkt.next_update({account}::text)) AS before,
       bool_or(marketing_until > mkt.next_update({account}::text)) AS behind
FROM {table} WHERE {where} GROUP BY 1
"""

LOW = json.dumps({"filterGroups": [{"filters": [{
    "propertyName": "score", "operator": "IN", "values": [1, 3]}]}]})

# What has to have come up, or the states were not random enough.
EXPECTED = [
    "a superuser's call", "the clerk's call", "a call that fails",
    "a preview in a read-only transaction", "a transaction without an id",
    "a transaction that had changed contacts", "REPEATABLE READ",
    "keys that come twice", "keys that are not found", "a key that is null",
    "keys of another type", "no keys", "one account named",
    "several accounts", "contacts without an account",
    "contacts whose instant has passed",
    "pending until before the next update date",
    "pending until after the next update date",
    "contacts read but not updated", "a count that is not shown whole",
    "an account with contacts in several tables",
    "a tier that rises at once", "a tier that stays at the update date",
    "a price that rises at once", "a price that changes at the update date",
    "an edition without a price", "an update date",
    "chosen by query", "chosen by filter", "chosen by saved filter",
    "a review", "a review that selects contacts",
    "contacts that changed during a review",
    "a review's contacts that are gone",
]


class Mismatch(Exception):
    pass


def main():
    options = read_options()
    run = Run(options.seed)
    try:
        run.prepare()
        while run.compared < options.count:
            run.step()
        differences = []
    except Mismatch as mismatch:
        differences = str(mismatch).splitlines()
    print("1..3")
    tell(1, not differences, "%d previews equal what happens then"
         % run.compared, differences)
    missing = [case for case in EXPECTED if not run.cases[case]]
    tell(2, not missing, "every kind of state and call came up", missing
         + ["%6d %s" % (run.cases[case], case) for case in EXPECTED])
    run.connection.rollback()
    drift = run.query("SELECT * FROM mkt.verify()")
    tell(3, not drift, "the counts are exact", map(str, drift))
    run.clean()
    return 1 if differences or missing or drift else 0


def tell(number, good, name, details):
    print("%s %d - %s" % ("ok" if good else "not ok", number, name))
    for detail in list(details)[:40]:
        print("# " + detail)
    sys.stdout.flush()


def read_options():
    parser = argparse.ArgumentParser(
        description="Compare previews with what happens.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=5200)
    return parser.parse_args()


class Call:
    """A call of mkt.set_marketing() or mkt.set_non_marketing()."""

    def __init__(self, rng, cases):
        self.table = rng.choice(TABLES)
        self.marketing = rng.random() < 0.5
        self.function = "set_marketing" if self.marketing \
            else "set_non_marketing"
        self.name = SCHEMA + "." + self.table.name
        self.role = rng.choice(["superuser", "superuser", "clerk"])
        self.account = self.choose_account(rng)
        self.keys = self.choose_keys(rng, cases)
        self.way = rng.choice(["keys"] * 6 + ["query", "filter",
                                              "saved filter"])
        if self.way != "keys":
            self.keys = [key for key in self.keys if key is not None]
            cases["chosen by " + self.way] += 1
        self.key_type = rng.choice(["text", self.table.key_type,
                                    self.table.key_type])
        cases["keys of another type"] += self.key_type == "text"
        cases["one account named"] += self.account is not None

    def choose_account(self, rng):
        if not self.table.composite and rng.random() < 0.8 \
                or rng.random() < 0.05:
            return None
        if rng.random() < 0.1:
            return rng.choice(["nobody", "4711"])
        return rng.choice([str(a) for a in self.table.accounts
                           if a is not None])

    def choose_keys(self, rng, cases):
        keys = rng.choices(self.table.keys,
                           k=rng.choice([0] + [1, 2, 5, 20, 60] * 5))
        cases["no keys"] += not keys
        if rng.random() < 0.5:
            keys = list(dict.fromkeys(keys))
        else:
            cases["keys that come twice"] += len(keys) > len(set(keys))
        if rng.random() < 0.1:
            keys.append(None)
            cases["a key that is null"] += 1
        return keys

    def arguments(self):
        arguments = "'%s', %s" % (self.name, self.choice())
        if self.account is not None:
            arguments += ", account => " + literal(self.account)
        return arguments

    def choice(self):
        keys = "ARRAY[%s]::%s[]" % (", ".join(map(literal, self.keys)),
                                    self.key_type)
        if self.way == "query":
            return "query => %s" % literal("SELECT unnest(%s)" % keys)
        if self.way == "filter":
            return "filter => " + self.filter()
        if self.way == "saved filter":
            return "saved_filter => 'low'"
        return keys

    def filter(self):
        """JSON, as a literal."""
        return literal(json.dumps({"filterGroups": [{"filters": [{
            "propertyName": "id", "operator": "IN",
            "values": [key if isinstance(key, int) else str(key)
                       for key in self.keys]}]}]}))

    def where(self):
        keys = ", ".join(literal(key) for key in self.keys) or "NULL"
        where = "score IN (1, 3)" if self.way == "saved filter" \
            else "id IN (%s)" % keys
        if self.account is not None:
            where += " AND %s = %s" % (self.account_sql() + "::text",
                                       literal(self.account))
        if self.role == "clerk" and self.table.name == "guest":
            where += " AND score = 1"
        if self.role == "clerk" and self.table.name == "person":
            where += " AND account_id <= 2"
        return where

    def account_sql(self):
        return self.table.account_column or literal(self.table.accounts[0])

    def __str__(self):
        return "%s: mkt.%s(%s)" % (self.role, self.function,
                                   self.arguments())


def literal(value):
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


class Run:
    def __init__(self, seed):
        self.seed = seed
        self.rng = random.Random(seed)
        self.connection = psycopg2.connect("")
        self.cursor = self.connection.cursor(
            cursor_factory=psycopg2.extras.NamedTupleCursor)
        self.cases = Counter()
        self.compared = 0
        self.now = START
        self.has_changed = False
        self.last = []

    def query(self, sql):
        self.last = (self.last + [sql])[-8:]
        self.cursor.execute(sql)
        return self.cursor.fetchall() if self.cursor.description else None

    # -- States -------------------------------------------------------------

    def prepare(self):
        self.query("SET client_min_messages = warning; SET jit = off;"
                   "SET plan_cache_mode = force_generic_plan;"
                   "SET statement_timeout = '2min'; SET timezone = 'UTC';"
                   "CREATE EXTENSION IF NOT EXISTS mktcontacts")
        self.set_clock(START)
        self.query(FIXTURE.format(schema=SCHEMA))
        for table in TABLES:
            self.query("SELECT mkt.attach('%s.%s', %s)" % (
                SCHEMA, table.name,
                "account_column => '%s'" % table.account_column
                if table.account_column
                else "account => '%s'" % table.accounts[0]))
            self.query("SELECT mkt.save_filter('%s.%s', NULL, 'low', %s)" % (
                SCHEMA, table.name, literal(LOW)))
        self.query(USAGE)
        self.make_prices()
        for table in TABLES:
            self.fill(table)
        for account in ACCOUNTS:
            self.change_account(account)
        self.connection.commit()

    def make_prices(self):
        """Small tiers, and prices that change now and then."""
        rng = self.rng
        for edition in EDITIONS:
            self.query("INSERT INTO mkt.edition (edition) VALUES ('%s')"
                       % edition)
            change = "2026-%02d-01" % rng.randrange(4, 10)
            for start, end in (("-infinity", change), (change, None)):
                self.query("INSERT INTO mkt.increment (edition, valid_from,"
                           " valid_to, included, increment)"
                           " VALUES ('%s', '%s', %s, %d, %d)"
                           % (edition, start, literal(end), rng.randrange(9),
                              rng.randrange(1, 6)))
            for currency in rng.sample(CURRENCIES, 3):
                self.make_price(edition, currency)

    def make_price(self, edition, currency):
        rng = self.rng
        change = "2026-%02d-%02d" % (rng.randrange(3, 10),
                                     rng.choice([1, 15, 20]))
        for start, end in (("-infinity", change), (change, None)):
            self.query("INSERT INTO mkt.price (edition, currency, valid_from,"
                       " valid_to, mode, base, per_increment)"
                       " VALUES ('%s', '%s', '%s', %s, '%s', %s, %s)"
                       % (edition, currency, start, literal(end),
                          rng.choice(["graduated", "volume"]),
                          rng.randrange(10 ** 5) / 1000,
                          rng.randrange(10 ** 5) / 10000))
            for band in rng.sample(range(2, 8), rng.randrange(3)):
                self.query("INSERT INTO mkt.price_band VALUES"
                           " ('%s', '%s', '%s', %d, %s)"
                           % (edition, currency, start, band,
                              rng.randrange(10 ** 5) / 10000))

    def fill(self, table):
        rng = self.rng
        rows = []
        for key in table.keys:
            for account in (table.accounts if table.composite
                            else [rng.choice(table.accounts)]):
                if rng.random() < 0.7:
                    rows.append(self.row(table, key, account))
        self.query("INSERT INTO %s.%s (id%s, score, marketing_status,"
                   " marketing_until_next_update) VALUES %s"
                   " ON CONFLICT DO NOTHING"
                   % (SCHEMA, table.name,
                      table.account_column and ", " + table.account_column
                      or "", ", ".join(rows)))

    def row(self, table, key, account):
        rng = self.rng
        values = [literal(key) + "::" + table.key_type]
        if table.account_column:
            kind = {"person": "bigint", "guest": "uuid"}.get(table.name,
                                                             "text")
            values.append(literal(account) + "::" + kind)
        values += [str(rng.randrange(5)),
                   rng.choice(["'marketing'::mkt.status"] * 2
                              + ["'non_marketing'::mkt.status"]),
                   rng.choice(["true", "false"])]
        return "(%s)" % ", ".join(values)

    def change_account(self, account, editions=EDITIONS * 2 + [None]):
        rng = self.rng
        self.query("DELETE FROM mkt.account WHERE account = "
                   + literal(account))
        if rng.random() < 0.15:
            return
        self.query("INSERT INTO mkt.account (account, edition, commitment,"
                   " started_on, time_zone, currency)"
                   " VALUES (%s, %s, '%s', '%s', '%s', '%s')"
                   % (literal(account),
                      literal(rng.choice(editions)),
                      rng.choice(["annual", "monthly"]),
                      date(2024, 1, 31) + timedelta(rng.randrange(366)),
                      rng.choice(ZONES),
                      rng.choice(CURRENCIES)))

    def set_clock(self, now):
        self.query("SET mktcontacts.clock = '%s'" % now.isoformat())

    def disturb(self):
        """One change of the state, of any kind."""
        rng = self.rng
        table = rng.choice(TABLES)
        name = SCHEMA + "." + table.name
        some = "id IN (%s)" % ", ".join(
            literal(key) for key in rng.choices(table.keys, k=8))
        kind = rng.randrange(11)
        if kind == 0:
            self.fill(table)
        elif kind == 1:
            self.query("DELETE FROM %s WHERE %s" % (name, some))
        elif kind <= 4:
            self.query("UPDATE %s SET marketing_status = '%s',"
                       " marketing_until_next_update = %s WHERE %s"
                       % (name, rng.choice(["marketing", "non_marketing"]),
                          rng.choice(["true", "false"]), some))
        elif kind == 5 and table.account_column and not table.composite:
            self.query("UPDATE %s SET %s = %s WHERE %s"
                       % (name, table.account_column,
                          literal(rng.choice(table.accounts)), some))
        elif kind == 6:
            self.change_account(rng.choice(ACCOUNTS))
        elif kind == 7:
            self.change_behind_our_back()
        else:
            self.move_clock()
            return
        self.has_changed = True

    def change_behind_our_back(self):
        """Another cycle without new instants, as a replica may get it; the
        tier that is kept needs an edition."""
        self.query("SET session_replication_role = replica")
        self.change_account(self.rng.choice(ACCOUNTS), EDITIONS)
        self.query("SET session_replication_role = origin")

    def move_clock(self):
        """Mostly on, past update dates; back when it has gone far."""
        rng = self.rng
        if self.now > START + timedelta(days=200):
            self.now = START
        elif rng.random() < 0.1:
            self.now -= timedelta(days=rng.randrange(30))
        elif rng.random() < 0.2:
            self.now = self.next_instant()
        else:
            self.now += timedelta(hours=rng.choice([1, 7, 100, 400]))
        self.set_clock(self.now)

    def next_instant(self):
        """Exactly at an update date, or a microsecond before it."""
        instant = self.query("SELECT mkt.next_update(%s) AS at"
                             % literal(self.rng.choice(ACCOUNTS)))[0].at
        return instant - timedelta(microseconds=self.rng.randrange(2))

    # -- One comparison -----------------------------------------------------

    def step(self):
        rng = self.rng
        call = Call(rng, self.cases)
        try:
            if rng.random() < 0.1:
                self.query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                self.cases["REPEATABLE READ"] += 1
            self.set_clock(self.now)    # a rollback may have taken it back
            self.has_changed = False
            if rng.random() < 0.6:
                self.disturb()
            self.cases["a transaction that had changed contacts"] += \
                self.has_changed
            if rng.random() < 0.06:
                self.compare_review(call)
            else:
                self.compare(call)
        except (Mismatch, psycopg2.Error) as problem:
            raise Mismatch("%s\nseed %d, after %d, clock %s: %s\nlast:\n%s" % (
                problem, self.seed, self.compared, self.now, call,
                "\n".join(" ".join(sql.split()) for sql in self.last)))
        self.compared += 1
        if rng.random() < 0.5:
            self.connection.commit()
        else:
            self.connection.rollback()
        if rng.random() < 0.02:
            self.apply()

    def apply(self):
        self.connection.autocommit = True
        self.set_clock(self.now)
        self.query("CALL mkt.run()")
        self.connection.autocommit = False

    def compare(self, call):
        self.cases["a superuser's call" if call.role == "superuser"
                   else "the clerk's call"] += 1
        try:
            preview = self.ask(call)
        except psycopg2.Error as problem:
            self.compare_error(call, problem.pgcode)
            return
        touched = self.query(TOUCHED.format(
            account=call.account_sql(), table=call.name, where=call.where()))
        before = self.rng.random() < 0.5 and self.usage(preview)
        report = self.run_call(call, preview)
        self.note_cases(call, preview, touched)
        self.compare_report(preview, report)
        same(sorted(str(row.account) for row in preview
                    if row.next_update is not None),
             sorted({str(row.account) for row in touched}
                    | ({call.account} - {None})),
             "accounts")
        if before is not False:
            self.compare_moment(call, preview, "before", before)
        self.compare_moment(call, preview, "after", self.usage(preview))
        self.compare_billable(call, preview)
        if self.rng.random() < 0.4:
            self.compare_update(call, preview)

    def compare_review(self, call):
        """The summary with what applying the review yields (W3, W4)."""
        rng = self.rng
        call.way = "filter"
        call.keys = [key for key in call.keys if key is not None] \
            or call.table.keys[:3]
        call.account = str(rng.choice([account for account in
                                       call.table.accounts
                                       if account is not None]))
        review = self.as_role(call, "SELECT mkt.open_review('%s', %s) AS n" % (
            call.name, literal(call.account)))[0].n
        proposed = self.as_role(call, "SELECT * FROM mkt.review_filter(%d, %s)"
                                % (review, call.filter()))[0].proposed
        same(proposed, self.query(
            "SELECT count(*) AS n FROM %s WHERE %s AND marketing_until IS NULL"
            " AND marketing_status = 'marketing'" % (
                call.name, call.where().replace("score = 1", "score < 4"))
        )[0].n, "contacts proposed")
        self.change_selected(call)
        summary = self.as_role(
            call, "SELECT * FROM mkt.review_summary(%d)" % review)[0]
        lines = [self.line(summary)]
        self.compare_moment(call, lines, "before", self.usage(lines))
        report = self.as_role(call, "SELECT * FROM mkt.apply_review(%d, %d)" % (
            review, summary.changed))[0]
        for column in ("changed", "already", "pending", "not_found"):
            same(getattr(summary, column), getattr(report, column), column)
        same(summary.selected, sum(report[1:]), "contacts selected")
        same(summary.selected, proposed, "contacts selected")
        self.cases["a review"] += 1
        self.cases["a review that selects contacts"] += summary.selected > 0
        self.cases["contacts that changed during a review"] += \
            summary.already + summary.pending > 0
        self.cases["a review's contacts that are gone"] += \
            summary.not_found > 0
        self.compare_moment(call, lines, "after", self.usage(lines))
        self.compare_billable(call, lines)
        if rng.random() < 0.4:
            self.compare_update(call, lines)

    def change_selected(self, call):
        """Something happens to contacts while a review of them is open."""
        rng = self.rng
        if rng.random() < 0.5:
            self.disturb()
        one = "id = %s" % literal(rng.choice(call.keys))
        if rng.random() < 0.4:
            self.query("UPDATE %s SET marketing_status = 'non_marketing'"
                       " WHERE %s" % (call.name, one))
        elif rng.random() < 0.4:
            self.query("DELETE FROM %s WHERE %s" % (call.name, one))

    @staticmethod
    def line(summary):
        """A summary as a row of a preview: now as before."""
        return Line(summary.account, summary.next_update, summary.currency,
                    summary.tier, summary.tier, summary.tier_after_update,
                    summary.price, summary.price, summary.price_after_update,
                    summary.billable, summary.billable,
                    summary.billable_after_update, summary.non_marketing,
                    summary.non_marketing,
                    summary.non_marketing_after_update)

    def ask(self, call):
        """The preview's rows; getting them leaves no trace."""
        sql = PREVIEW.format(function=call.function,
                             arguments=call.arguments())
        again = None
        if self.rng.random() < 0.1:
            self.cases["a preview in a read-only transaction"] += 1
            self.query("SAVEPOINT read_only; SET TRANSACTION READ ONLY")
            again = self.as_role(call, sql)
            self.query("ROLLBACK TO read_only; RELEASE read_only")
        rows = self.as_role(call, sql)
        if not self.has_changed:
            self.cases["a transaction without an id"] += 1
            same([row.no_xid for row in rows], [True] * len(rows),
                 "previews without a transaction id")
        if again is not None:
            same(again, rows, "the preview when read only")
        return rows

    def run_call(self, call, preview):
        """With the number that the preview foresees (W2)."""
        more = ""
        if self.rng.random() < 0.5:
            more = ", expected => %d" % total(preview, "changed")
        if self.rng.random() < 0.2:
            more += ", source_type => 'user'"
        return self.as_role(call, "SELECT * FROM mkt.%s(%s%s)" % (
            call.function, call.arguments(), more))

    def as_role(self, call, sql):
        if call.role == "superuser":
            return self.query(sql)
        rows = self.query("SET ROLE mkt_preview_clerk; " + sql)
        self.query("RESET ROLE")
        return rows

    def compare_error(self, call, code):
        """The call itself fails in the same way."""
        self.cases["a call that fails"] += 1
        self.connection.rollback()
        try:
            self.run_call(call, [])
        except psycopg2.Error as problem:
            same(code, problem.pgcode, "error")
        else:
            raise Mismatch("only the preview fails, with " + code)
        self.connection.rollback()

    # -- What has to be equal -----------------------------------------------

    def compare_report(self, preview, report):
        for column in ("changed", "already", "pending", "not_found",
                       "parked"):
            same(total(preview, column), getattr(report[0], column), column)
        same([row.account for row in preview if row.not_found and row.account],
             [], "keys not found in accounts")

    def usage(self, preview):
        rows = self.query("EXECUTE usage (ARRAY[%s]::text[])" % ", ".join(
            literal(row.account) for row in preview))
        return {row.account: row for row in rows}

    def compare_moment(self, call, preview, moment, usage):
        """With mkt.usage.  Of a count of which the clerk is shown a part, tier
        and price are not shown."""
        for row in preview:
            if row.next_update is None:
                continue
            account = usage.get(row.account)
            real = (account.tier, account.price, account.currency,
                    account.billable) if account else (None, None, None, 0)
            shown = (getattr(row, "tier_" + moment),
                     getattr(row, "price_" + moment), row.currency,
                     getattr(row, "billable_" + moment))
            if call.role == "clerk" and self.shows_part(row.account):
                self.cases["a count that is not shown whole"] += 1
                same(shown[:3], (None, None, None), "hidden tier and price")
                same(getattr(row, "non_marketing_" + moment, None), None,
                     "hidden non-marketing contacts")
                continue
            same(shown, real, "tier, price, currency and count %s of %s"
                 % (moment, row.account))
            if isinstance(row, Line):
                same(getattr(row, "non_marketing_" + moment),
                     account.non_marketing if account else 0,
                     "non-marketing contacts %s" % moment)
            if moment != "after_update" and account:
                same(row.next_update, account.next_update, "next update")

    def shows_part(self, account):
        """Whether a table counts contacts of the account, be it none by now,
        and the clerk sees none there."""
        null = account is None
        for table in TABLES[:1] + TABLES[3:]:
            where = "%s::text IS NOT DISTINCT FROM %s" % (
                table.account_column, literal(account))
            counts = "mkt.%s_%s_count" % (SCHEMA, table.name)
            visible = "account_id <= 2" if table.name == "person" \
                else "score < 4"
            if self.query(
                    "SELECT EXISTS (SELECT FROM %s WHERE account_name %s)"
                    " AND NOT EXISTS (SELECT FROM %s.%s WHERE %s AND %s)"
                    " AS part" % (counts, "IS NULL" if null
                                  else "= " + literal(account), SCHEMA,
                                  table.name, where, visible))[0].part:
                return True
        return False

    def compare_billable(self, call, preview):
        """As the caller sees it."""
        rows = [row for row in preview if row.account is not None]
        found = self.as_role(call, BILLABLE.format(
            accounts=", ".join(literal(row.account) for row in rows)))
        same({row.account: (row.billable_after, row.billable_after_update)
              for row in rows},
             {row.account: (row.now, row.later) for row in found},
             "mkt.billable()")

    def compare_update(self, call, preview):
        """When the clock stands at the update dates; the tiers are those that
        a commit would have recorded before."""
        touched = [row for row in preview if row.next_update is not None]
        self.query("SELECT mkt.record_crossing(account, mkt.billable(account),"
                   " mkt.billable(account), 4096, false) FROM mkt.account_tier")
        for instant in sorted({row.next_update for row in touched}):
            self.set_clock(instant)
            self.cases["an update date"] += 1
            there = [row for row in touched if row.next_update == instant]
            self.compare_moment(call, there, "after_update",
                                self.usage(there))

    # -- What came up -------------------------------------------------------

    def note_cases(self, call, preview, touched):
        cases = self.cases
        cases["several accounts"] += len(touched) > 1
        cases["contacts without an account"] += \
            any(row.account is None for row in touched)
        cases["contacts whose instant has passed"] += \
            any(row.passed for row in touched)
        cases["pending until before the next update date"] += \
            any(row.before for row in touched)
        cases["pending until after the next update date"] += \
            any(row.behind for row in touched)
        cases["keys that are not found"] += total(preview, "not_found") > 0
        if call.role == "clerk" and call.table.name == "guest":
            seen = self.query("SELECT count(*) AS n FROM %s WHERE %s" % (
                call.name, call.where().replace("score = 1",
                                                "score < 4")))[0].n
            cases["contacts read but not updated"] += \
                seen > total(touched, "n")
        for row in preview:
            cases["an account with contacts in several tables"] += \
                row.account in ("1", "2", "3")
            cases["a tier that rises at once"] += \
                (row.tier_after or 0) > (row.tier_before or 0)
            cases["a tier that stays at the update date"] += \
                row.tier_after is not None \
                and row.billable_after_update < row.billable_after
            cases["a price that rises at once"] += \
                (row.price_after or 0) > (row.price_before or 0)
            cases["a price that changes at the update date"] += \
                row.tier_after_update == row.tier_after \
                and row.price_after_update != row.price_after
            cases["an edition without a price"] += \
                row.tier_after is not None and row.price_after is None

    def clean(self):
        self.query("RESET mktcontacts.clock; DROP SCHEMA %s CASCADE;"
                   "DROP OWNED BY mkt_preview_clerk;"
                   "DROP ROLE mkt_preview_clerk; DELETE FROM mkt.account;"
                   "DELETE FROM mkt.edition WHERE edition LIKE 'e_'"
                   % SCHEMA)
        self.connection.commit()


def total(preview, column):
    return sum(getattr(row, column) for row in preview)


def same(found, wanted, what):
    if found != wanted:
        raise Mismatch("%s: %s, but %s" % (what, found, wanted))


if __name__ == "__main__":
    sys.exit(main())
