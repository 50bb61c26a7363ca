#!/usr/bin/python3
"""Runs random statements of every kind against several attached tables and
compares the database, statement by statement, with the model in model.py.

Two sessions take turns.  Each owns half of every table's rows, so that neither
waits for the other's row locks while both change the same accounts; what
touches rows of both (settings, TRUNCATE, the clock) happens while the other
has no transaction open.  Every statement's outcome is worked out first, then
run and compared: its error, its row count, what it returns.  Every few
statements the rows, the counts at several instants, mkt.usage and mkt.verify()
are compared as the session sees them, inside transactions as well as outside.
While no transaction is open, now and then one lets the clock run on, to see
whether what mkt.forecast() says comes true.

One seed gives one run, but for what the extension does at random (folding).
On a failure the seed, the statement, what the model and the database say and
the statements before it are printed, and then a script for psql that is as
short as can be found and fails, too.

Connects by PGHOST, PGPORT, PGDATABASE and PGUSER (a superuser, for the clock)
to a database that nothing else uses, and prints TAP.
"""

import os
import sys

# Not before the standard library: this file would be taken for its random.
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [p for p in sys.path if os.path.abspath(p) != HERE] + [HERE]
sys.dont_write_bytecode = True

import argparse
import bisect
import copy
import io
import itertools
import random
import re
import time
import traceback
import uuid
from collections import Counter, defaultdict, deque
from datetime import date, datetime, timedelta
from typing import NamedTuple, Optional

import psycopg2
import psycopg2.extras

import model
import shrink
from model import MARKETING, NON_MARKETING, UTC, Contact, Defaults, Settings, \
    Tool, text

SCHEMA = "mkt_random"
ELSEWHERE = "mkt_random_elsewhere"
GID = "mkt_random_%d_" % os.getpid()
OURS = ["marketing_status", "marketing_until_next_update", "marketing_until",
        "marketing_source_type", "marketing_source_name"]
COMMON = "common"
ROLE = "postgres"
# Row-level security hides rows with that score modulo from the others.
HIDDEN = 7, 3
# Where contacts that are gone and still count stand among the tables.
DELETED = "deleted"
deletions = itertools.count()
# Where a transaction's own places begin, after all committed ones.
OWN = 10 ** 9
MICROSECOND = timedelta(microseconds=1)
SHOWN = 30

ZONES = ["UTC", "Europe/Oslo", "America/Sao_Paulo", "America/Havana",
         "Asia/Beirut", "Pacific/Apia", "Pacific/Kiritimati",
         "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe"]
# One that nobody knows, one that comes and goes, and some that ship.
TOOLS = ["form_submission", "form_submission", "contact_import", "api",
         "workflow", "user", "robot", "unknown"]
NAMES = ["newsletter", "crm", "ann", None]
NOTES = ["plain", "plain", "echo", "vip", "drop", "skip", "keep", "frozen",
         "it's", None]


class Mismatch(Exception):
    """The model and the database disagree."""


class Refused(Exception):
    """What the model raises where the statement must fail; code is the
    SQLSTATE, or None where any will do."""

    def __init__(self, code=None):
        super().__init__(code)
        self.code = code


class Unpredictable(Exception):
    """The outcome depends on the order in which rows are visited, or on a
    user's trigger that skips what the extension does by itself."""


# ---------------------------------------------------------------------------
# The tables
# ---------------------------------------------------------------------------

class Settable(NamedTuple):
    """The extension's settings in a session: what each is now and what it is
    after the transaction, if that commits; None where it is empty."""
    source_type: Optional[str] = None
    source_name: Optional[str] = None
    batch: Optional[str] = None
    lasting: tuple = (None, None, None)

    def set(self, name, value):
        new = self._replace(**{name: value})
        lasting = tuple(value if field == name else old for field, old
                        in zip(Settable._fields, self.lasting))
        return new._replace(lasting=lasting)

    def set_local(self, name, value):
        return self._replace(**{name: value})

    def ended(self):
        """When a transaction has committed."""
        return Settable(*self.lasting, self.lasting)

    def source(self):
        """F2: a name counts only with a type."""
        if self.source_type is None:
            return model.NOBODY
        return self.source_type, self.source_name


class Table:
    """An attached table: how its keys and accounts are written and which they
    are.  Without an account column it belongs to one account."""

    def __init__(self, name, key_type, account_type, accounts, keys,
                 account_column=None, composite=False, triggered=False,
                 echoes=None):
        self.name = SCHEMA + "." + name
        self.key_type = key_type
        self.account_type = account_type
        self.account_column = account_column
        self.accounts = accounts
        self.keys = keys
        self.composite = composite
        self.triggered = triggered
        self.echoes = echoes
        own = ["id"] + ([account_column] if account_column else [])
        self.columns = own + ["half", "score", "note"] + OURS

    def contact(self, values):
        values = list(values)
        if not self.account_column:
            values.insert(1, self.accounts[0])
        return Contact(*values)

    def values(self, contact):
        values = list(contact)
        if not self.account_column:
            del values[1]
        return values

    def identity(self, contact):
        return (contact.account, contact.key) if self.composite \
            else contact.key

    def literals(self, contact):
        return [self.literal(column, value) for column, value
                in zip(self.columns, self.values(contact))]

    def literal(self, column, value):
        kind = {"id": self.key_type, self.account_column: self.account_type,
                "marketing_status": "mkt.status",
                "marketing_until_next_update": "boolean",
                "marketing_until": "timestamptz"}.get(column)
        return literal(value) + ("::" + kind if kind else "")

    def attach(self):
        account = "account_column => '%s'" % self.account_column \
            if self.account_column else "account => '%s'" % self.accounts[0]
        attach = "mkt.attach('%s', %s)" % (self.name, account)
        return attach if self.keeps_history else \
            attach + ", mkt.set_history('%s', false)" % self.name

    def freezes(self, contact):
        """Whether the user's trigger skips every UPDATE of it."""
        return self.triggered and contact.note == "frozen"

    def short_name(self):
        return self.name.split(".")[1]

    def renamed(self, structure):
        """What it is called by now."""
        return structure.names.get(self.name, self.name)

    def match(self, contact):
        where = "id = " + literal(contact.key)
        if self.composite:
            where += " AND %s = %s" % (self.account_column,
                                       literal(contact.account))
        return where


class Structure(NamedTuple):
    """What the tables have become: their names and that of person's account
    column, where they are others by now, and whether one account of member
    has got a partition of its own."""
    names: dict = {}
    apart: bool = False

    def named(self, name, other):
        names = {key: value for key, value in self.names.items()
                 if key != name}
        if name != other:
            names[name] = other
        return self._replace(names=names)

    def sql(self, sql):
        """The same statement with the names of now."""
        if not self.names:
            return sql
        return NAMED.sub(lambda found: self.names.get(
            found.group(), found.group()), sql)

    def partition(self, contact):
        """The part of member that it is in, as far as can be told."""
        if self.apart and contact.account == APART:
            return "c"
        return {"acme": "a", "1": "a", "x y": "b", "3": "b"}.get(
            contact.account, "rest")


APART = "blåbær"
NAMED = re.compile(r"(?<!\")\b(?:account_id|%s\.(?:person|solo|member|guest))"
                   r"\b" % SCHEMA)


def literal(value):
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


def make_tables(rng):
    def numbers(size):
        return [[2 * n + half for n in range(1, size + 1)]
                for half in (0, 1)]

    def uuids(size):
        return [uuid.UUID(int=rng.getrandbits(128), version=4)
                for _ in range(size)]

    person = Table("person", "bigint", "bigint", [1, 2, 3, 4, 5, None],
                   numbers(90), account_column="account_id")
    return [
        person,
        Table("solo", "bigint", "text", ["3"], numbers(90), echoes=person),
        Table("member", "integer", "text",
              ["acme", "1", "x y", "it's", "blåbær", "3"], numbers(25),
              account_column="account", composite=True),
        Table("guest", "uuid", "uuid", uuids(3) + [None],
              [uuids(70), uuids(70)], account_column="owner",
              triggered=True),
    ]


SCHEMAS = """
DROP SCHEMA IF EXISTS {schema}, {elsewhere} CASCADE;
CREATE SCHEMA {schema};
CREATE SCHEMA {elsewhere};
"""

FIXTURE = {"person": """
CREATE TABLE {schema}.person (id bigint PRIMARY KEY, half int NOT NULL,
    note text, account_id bigint, score int NOT NULL DEFAULT 0);
CREATE INDEX ON {schema}.person (account_id);
""", "solo": """
CREATE TABLE {schema}.solo (half int NOT NULL, score int NOT NULL,
    id bigint PRIMARY KEY, gone int, note text);
ALTER TABLE {schema}.solo DROP COLUMN gone;
""", "member": """
CREATE TABLE {schema}.member (account text, id int, half int NOT NULL,
    score int NOT NULL, note text, PRIMARY KEY (account, id))
    PARTITION BY LIST (account);
CREATE TABLE {schema}.member_a PARTITION OF {schema}.member
    FOR VALUES IN ('acme', '1');
CREATE TABLE {schema}.member_b (id int NOT NULL, note text, gone int,
    score int NOT NULL, half int NOT NULL, account text NOT NULL,
    PRIMARY KEY (account, id));
ALTER TABLE {schema}.member_b DROP COLUMN gone;
ALTER TABLE {schema}.member ATTACH PARTITION {schema}.member_b
    FOR VALUES IN ('x y', '3');
CREATE TABLE {schema}.member_rest PARTITION OF {schema}.member DEFAULT
    PARTITION BY HASH (id);
CREATE TABLE {schema}.member_rest_0 PARTITION OF {schema}.member_rest
    FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE {schema}.member_rest_1 PARTITION OF {schema}.member_rest
    FOR VALUES WITH (MODULUS 2, REMAINDER 1);
""", "guest": """
CREATE TABLE {schema}.owner (id uuid PRIMARY KEY);
CREATE TABLE {schema}.guest (id uuid PRIMARY KEY, owner uuid
    REFERENCES {schema}.owner ON DELETE SET NULL,
    half int NOT NULL, score int NOT NULL, note text);
"""}

# A role that does not own the tables and does not see all of their rows.
CLERK = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY visible ON {table} USING (score % {0} <> {1});
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {clerk};
"""

# Tiers that are exceeded now and then, and prices that change.
EDITIONS = """
INSERT INTO mkt.edition VALUES ('tens'), ('dozens');
INSERT INTO mkt.increment (edition, valid_from, valid_to, included, increment)
    VALUES ('tens', '-infinity', NULL, 5, 10),
    ('dozens', '-infinity', '2026-05-15', 12, 12),
    ('dozens', '2026-05-15', '2027-02-01', 6, 12),
    ('dozens', '2027-02-01', NULL, 24, 12);
INSERT INTO mkt.price (edition, currency, valid_from, valid_to, mode, base,
    per_increment) VALUES
    ('tens', 'EUR', '-infinity', '2026-07-15', 'graduated', 10, 7.77),
    ('tens', 'EUR', '2026-07-15', NULL, 'volume', 9, 8.88),
    ('dozens', 'EUR', '-infinity', '2026-09-01', 'volume', 30, 3.33);
"""

# What only makes sense when the marketing columns are there.
VIEW = """
CREATE VIEW {schema}.person_view AS SELECT * FROM {schema}.person
    WHERE score >= 0;
"""

# The trigger of a user's own; the model's half of it is user_trigger below.
USER_TRIGGER = """
CREATE FUNCTION {schema}.decide() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.note = 'keep' THEN RETURN NULL; END IF;
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF NEW.note = 'frozen' AND OLD.note = 'frozen' THEN RETURN NULL; END IF;
        IF NEW.note IS NOT DISTINCT FROM OLD.note THEN RETURN NEW; END IF;
    END IF;
    CASE NEW.note
        WHEN 'skip' THEN RETURN NULL;
        WHEN 'vip' THEN NEW.marketing_status := 'marketing';
        WHEN 'drop' THEN NEW.marketing_status := 'non_marketing';
        ELSE NULL;
    END CASE;
    RETURN NEW;
END $$;
CREATE TRIGGER a_decide BEFORE INSERT OR UPDATE OR DELETE
    ON {schema}.guest FOR EACH ROW EXECUTE FUNCTION {schema}.decide();
"""


# Another, which changes a second table from within a statement on the first.
ECHO_TRIGGER = """
CREATE FUNCTION {schema}.echo() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR OLD.note IS DISTINCT FROM NEW.note THEN
        EXECUTE format('UPDATE %s SET marketing_status = ''non_marketing'''
            ' WHERE id = $1', TG_ARGV[0]::oid::regclass) USING NEW.id;
    END IF;
    RETURN NULL;
END $$;
DO $do$ BEGIN EXECUTE format('CREATE TRIGGER echo AFTER INSERT OR UPDATE'
    ' ON {schema}.solo FOR EACH ROW WHEN (NEW.note = ''echo'')'
    ' EXECUTE FUNCTION {schema}.echo(%s)', '{schema}.person'::regclass::oid);
END $do$;
"""

LATER = {"person": VIEW, "solo": ECHO_TRIGGER, "member": "",
         "guest": USER_TRIGGER}


def user_trigger(table, old, new):
    """The row that goes on to the extension's trigger, or None."""
    if not table.triggered:
        return new or old
    if new is None:
        return None if old.note == "keep" else old
    if old is not None:
        if new.note == old.note == "frozen":
            return None
        if new.note == old.note:
            return new
    if new.note == "skip":
        return None
    if new.note in ("vip", "drop"):
        return new._replace(status=MARKETING if new.note == "vip"
                            else NON_MARKETING)
    return new


# ---------------------------------------------------------------------------
# What has happened
# ---------------------------------------------------------------------------

class Batch:
    """Changes that belong together.  Its number is learned from the
    database."""

    made = 0

    def __init__(self, table, label=None):
        self.table = table
        self.label = label
        self.number = self.op = None
        Batch.made += 1
        self.place = Batch.made


class Happened(NamedTuple):
    """A row of a history; event is a model.Event."""
    table: str
    event: object
    batch: Optional[Batch]
    role: str


class Emptied(NamedTuple):
    table: str
    at: datetime
    role: str
    source: tuple


class Attached(NamedTuple):
    """From here on there is a history; *first* is whether no contact of the
    table can have been marketing before."""
    table: str
    at: datetime
    first: bool = False


class Forgotten(NamedTuple):
    """A contact's history was erased, or that with one account, but for what
    others have committed since: places from *seen* up to *begun*."""
    table: str
    key: object
    account: Optional[str]
    at: datetime
    seen: int
    begun: int = OWN

    def erases(self, place):
        return concerns(place[1], self.account) and not (
            self.seen <= place[0] < self.begun)


class Rekeyed(NamedTuple):
    """A contact got that key, or lost it; no row of a history says so.  The
    account is that before or after."""
    table: str
    key: object
    account: object


class Moment(NamedTuple):
    """The rows of all tables at an instant, before the clock went on."""
    at: datetime
    rows: dict


class Report(NamedTuple):
    """What a call did, or one statement to one contact, for its batch; the
    action of an undo is the batch that it undid."""
    batch: Batch
    action: str
    role: str
    at: datetime
    outcome: tuple
    source: tuple = model.NOBODY


class Chronicle:
    """Everything that has been committed, in its order, which is the order in
    which it happened to each contact and to each table."""

    def __init__(self):
        self.items = []
        self.by_contact = defaultdict(list)
        self.by_table = defaultdict(list)
        self.by_batch = defaultdict(list)
        self.contacts = defaultdict(dict)
        self.moments = []
        self.labels = {}
        self.numbers = {}
        # Those that a statement can name.
        self.batches = []

    def absorb(self, items):
        begun = len(self.items)
        for item in items:
            if isinstance(item, Forgotten):
                item = item._replace(begun=begun)
            place = len(self.items), item
            self.items.append(item)
            if isinstance(item, Happened):
                self.by_contact[item.table, item.event.key].append(place)
                self.contacts[item.batch][item.event.key] = True
            elif isinstance(item, (Forgotten, Rekeyed)):
                self.by_contact[item.table, item.key].append(place)
            elif isinstance(item, Moment):
                self.moments.append(item)
            elif isinstance(item, Report):
                self.by_batch[item.batch].append(place)
                name = item.batch.label, item.batch.table
                if name[0] is not None and name not in self.labels:
                    self.labels[name] = item.batch
                    self.batches.append(item.batch)
            else:
                self.by_table[item.table].append(place)

    def called(self, batch, number):
        """A call has said so."""
        if batch.label is None:
            self.batches.append(batch)
        self.bind(batch, number)

    def bind(self, batch, number):
        """The database gave the batch that number."""
        if batch.number is None and number not in self.numbers:
            batch.number = number
            self.numbers[number] = batch
        if batch.number != number and self.looks_up_batches:
            raise Mismatch("batch %s is called %s" % (batch.number, number))


# ---------------------------------------------------------------------------
# What should be in the database
# ---------------------------------------------------------------------------

class State:
    """All rows, settings and the clock, as one session sees them, with what
    its transaction has made happen; *session* are that session's own
    settings."""

    def __init__(self, tables, now, chronicle):
        self.tables = tables
        self.now = now
        self.chronicle = chronicle
        self.seen = 0
        self.journal = []
        self.labels = {}
        self.call = None
        self.rows = {table.name: {} for table in tables}
        self.rows[DELETED] = {}
        self.accounts = {}
        self.defaults = Defaults()
        self.structure = Structure()
        self.session = Settable()
        self.role = ROLE

    def copy(self):
        other = copy.copy(self)
        other.rows = {name: dict(rows) for name, rows in self.rows.items()}
        other.accounts = dict(self.accounts)
        other.journal = list(self.journal)
        other.labels = dict(self.labels)
        return other

    def promotes(self, account, tool, name):
        return self.defaults.promotes(account and str(account), tool, name)

    def of_session(self, session):
        """The same for a session that has no transaction open; to be looked
        at only."""
        other = copy.copy(self)
        other.session = session
        return other

    def created_as(self, account, tool, name):
        return self.defaults.created_as(account and str(account), tool, name)

    def settings(self, account):
        return self.accounts.get(account and str(account), Settings())

    def next_update(self, account):
        return self.settings(account).next_update(self.now)

    def of(self, table):
        return self.rows[table.name]

    def insert(self, table, new):
        """The row that is stored, or None where the user's trigger skips
        it."""
        new = self.proposed(table, new)
        if new is not None:
            if self.hides(new):
                raise Refused("42501")
            self.add(table, new)
        return new

    def add(self, table, new):
        self.store(table, new)
        self.echo(table, None, new)

    def echo(self, table, old, new):
        """The trigger that changes a second table; it fires at the end of the
        statement, when nothing else of this model looks there any more."""
        other = table.echoes and self.of(table.echoes).get(new.key)
        if other and not self.hides(other) and new.note == "echo" \
                and not (old and old.note == "echo"):
            self.update(table.echoes,
                        [(other, other._replace(status=NON_MARKETING))],
                        ["status"])

    def proposed(self, table, new):
        new = user_trigger(table, None, new)
        return new and model.inserted(new, self.session.source(),
                                      self.created_as, self.next_update)

    def hides(self, row):
        """Whether the policy hides it from the role, and keeps the role from
        writing it."""
        return self.role != ROLE and row.score % HIDDEN[0] == HIDDEN[1]

    def store(self, table, new):
        identity = table.identity(new)
        if identity in self.of(table):
            raise Refused("23505")
        self.of(table)[identity] = new
        self.happen(table, None, new)

    def happen(self, table, old, new, counts_until=None):
        """Notes what a row's becoming another one means."""
        leaves = self.leaves(table, old, new)
        if leaves:
            # What it leaves may turn out to be nothing.
            self.batch_of(table)
        if leaves and old.key != new.key:
            happened = [
                *model.events(old, None, self.now, self.session.source()),
                *model.events(None, new, self.now, self.session.source())]
        else:
            happened = model.events(old, new, self.now, self.session.source(),
                                    counts_until)
        for event in happened:
            batch = None if event.passed() else self.batch_of(table)
            self.journal.append(Happened(table.name, event, batch, self.role))
            if batch and batch is not self.call:
                self.report(batch, "statement", (1, 0, 0, 0, 0))

    def leaves(self, table, old, new):
        """Whether an UPDATE takes a contact to another partition."""
        return table.composite and bool(old and new) and \
            self.structure.partition(old) != self.structure.partition(new)

    def batch_of(self, table):
        """A call is about one table; what triggers do to others meanwhile is
        none of its doing."""
        if self.call and self.call.table == table.name:
            return self.call
        return self.labelled(table)

    def labelled(self, table):
        """The batch of the session's label on that table."""
        label = self.session.batch
        if label is None:
            return None
        batch = self.labels.get((label, table.name)) or \
            self.chronicle.labels.get((label, table.name))
        if batch is None:
            batch = Batch(table.name, label)
            self.labels[label, table.name] = batch
            self.report(batch, "statement", (0, 0, 0, 0, 0))
        return batch

    def report(self, batch, action, outcome, source=None):
        """Whoever names no tool has the session's."""
        if source is None or source[0] is None:
            source = self.session.source()
        self.journal.append(Report(batch, action, self.role, self.now,
                                   outcome, source))

    def begin_call(self, table, joins=True):
        self.call = joins and self.labelled(table) or Batch(table.name)
        return self.call

    def end_call(self, action, outcome, source=None):
        batch, self.call = self.call, None
        self.report(batch, action, outcome, source)

    # What this session can know of it

    def since(self, table):
        """Where its history begins."""
        return max((place for place in self.places(
            self.chronicle.by_table[table.name],
            lambda item: isinstance(item, Attached)
            and item.table == table.name)
            if isinstance(place[1], Attached)), key=lambda place: place[0])

    def places(self, committed, mine):
        """Items in their order: committed ones, and the transaction's own that
        pass the test."""
        return [place for place in committed if place[0] < self.seen] + [
            (OWN + number, item) for number, item in enumerate(self.journal)
            if mine(item)]

    def told(self, table, key, forgotten=False):
        """What the history says of a key, or also what it does not say any
        more or never said."""
        start = self.since(table)[0]
        found = self.places(
            self.chronicle.by_contact[table.name, key],
            lambda item: isinstance(item, (Happened, Forgotten, Rekeyed))
            and item.table == table.name and key_of(item) == key)
        result = []
        for place in found:
            if place[0] <= start:
                continue
            if isinstance(place[1], Forgotten):
                result = [old for old in result if not place[1].erases(old)]
            if forgotten or isinstance(place[1], Happened):
                result.append(place)
        return result

    def emptied(self, table):
        """When it was emptied, as its history says."""
        start = self.since(table)[0]
        return [place for place in self.places(
            self.chronicle.by_table[table.name],
            lambda item: isinstance(item, Emptied)
            and item.table == table.name)
            if isinstance(place[1], Emptied) and place[0] > start]

    def contacts_of(self, batch):
        """The keys of contacts that the batch has changed."""
        keys = dict(self.chronicle.contacts[batch])
        for item in self.journal:
            if isinstance(item, Happened) and item.batch is batch:
                keys[item.event.key] = True
        return list(keys)

    def rows_at(self, at):
        """The rows as they were then, of all tables; None for an instant
        before the first that is known."""
        if at >= self.now:
            return self.rows
        moments = self.chronicle.moments + [
            item for item in self.journal if isinstance(item, Moment)]
        place = bisect.bisect([moment.at for moment in moments], at)
        return moments[place - 1].rows if place else None

    def reports_of(self, batch):
        return [item for place, item in self.chronicle.by_batch[batch]
                if place < self.seen] + [
            item for item in self.journal
            if isinstance(item, Report) and item.batch is batch]

    def undo(self, table, batch):
        """W5; how many contacts came to which end, and for each that is there
        what is asked of it and whom it was signed by before."""
        outcomes, changes = Counter(), []
        for key in self.contacts_of(batch):
            for account, told in self.by_account(table, key).items():
                mine = [place for place in told if place[1].batch is batch]
                if not mine:
                    continue
                row = self.of(table).get((mine[0][1].event.account, key)
                                         if table.composite else key)
                outcome, wanted = model.undo_of(
                    [item.event for _, item in mine],
                    [item.event for place, item in told
                     if place > mine[-1][0] and item.batch is not batch],
                    row, self.now)
                outcomes[outcome] += 1
                if row:
                    changes.append((row, outcome, wanted,
                                    mine[0][1].event.from_source))
        return outcomes, changes

    def by_account(self, table, key):
        """What the history says of the contacts with that key: of one, or of
        one in each account."""
        found = defaultdict(list)
        for place in self.told(table, key):
            event = place[1].event
            found[event.account if table.composite else None].append(
                place)
        return found

    def reports(self):
        """What is said of each batch."""
        found = defaultdict(list)
        for batch, places in self.chronicle.by_batch.items():
            found[batch] = [item for place, item in places
                            if place < self.seen]
        for item in self.journal:
            if isinstance(item, Report):
                found[item.batch].append(item)
        return {batch: items for batch, items in found.items() if items}

    def update(self, table, changes, sets):
        """Applies (old, new) pairs as one statement that sets those fields;
        the rows that are stored."""
        done = []
        for old, new in changes:
            new = user_trigger(table, old, new)
            if new is not None:
                if new.status is None or new.flag is None:
                    raise Refused("23502")
                new = model.updated(
                    old, new, self.now, self.next_update, sets,
                    self.session.source(), table.composite)
                if table.composite:
                    self.check_move(table, old, new)
                if self.hides(new):
                    raise Refused
                done.append((old, new))
        self.replace(table, done)
        for old, new in done:
            self.echo(table, old, new)
        return [new for _, new in done]

    def check_move(self, table, old, new):
        """Into which hash partition a new key leads only the database
        knows."""
        if new.key != old.key and self.structure.partition(old) == "rest" \
                and self.structure.partition(new) == "rest":
            raise Unpredictable

    def replace(self, table, done):
        """Whether a unique index complains can depend on which row comes
        first, when one takes a key that another leaves."""
        rows = self.of(table)
        moved = [(table.identity(old), table.identity(new))
                 for old, new in done]
        left = {before for before, after in moved if before != after}
        taken = [after for before, after in moved if before != after]
        if len(set(taken)) < len(taken) or \
                any(key in rows and key not in left for key in taken):
            raise Refused("23505")
        if left.intersection(taken):
            raise Unpredictable
        for before in left:
            del rows[before]
        for (_, after), (old, new) in zip(moved, done):
            rows[after] = new
            if old.key != new.key:
                self.journal += [
                    Rekeyed(table.name, row.key, text(account))
                    for row in (old, new)
                    for account in (old.account, new.account)]
            self.happen(table, old, new)

    def delete(self, table, olds):
        gone = [old for old in olds if user_trigger(table, old, None)]
        for old in gone:
            del self.of(table)[table.identity(old)]
            self.happen(table, old, None, counts_until=self.keep(table, old))
        return gone

    def keep(self, table, old):
        """T13: until when a contact that is gone counts."""
        until = model.counts_until(old, self.settings(old.account), self.now)
        if until:
            self.rows[DELETED][next(deletions)] = model.Deleted(
                table.name, old.account, until)
        return until

    def vanish(self, table, test):
        """Contacts leave with their partition, of which nothing tells; those
        that did."""
        gone = [row for row in self.of(table).values() if test(row)]
        for row in gone:
            del self.of(table)[table.identity(row)]
            self.unseen(table, row)
        return gone

    def unseen(self, table, row):
        self.journal.append(Rekeyed(table.name, row.key, text(row.account)))

    def truncate(self, table):
        for old in self.of(table).values():
            self.keep(table, old)
        self.of(table).clear()
        self.journal.append(Emptied(table.name, self.now, self.role,
                                    self.session.source()))

    def put(self, table, identity, new):
        """What the extension does by itself."""
        rows = self.of(table)
        old, rows[identity] = rows[identity], new
        self.happen(table, old, new)

    def set_settings(self, accounts):
        """D7: pending contacts move with their account's settings."""
        before, self.accounts = self.accounts, accounts
        changed = {name for name in set(before) | set(accounts)
                   if before.get(name, Settings())[:3]
                   != accounts.get(name, Settings())[:3]}
        if changed:
            self.redate(changed)

    def set_default(self, key, status):
        """A row of mkt.tool_setting, or none of it."""
        settings = dict(self.defaults.settings)
        settings.pop(key, None)
        if status is not None:
            settings[key] = status
        self.defaults = self.defaults._replace(settings=settings)

    def set_tools(self, tools, settings=None):
        if settings is None:
            settings = self.defaults.settings
        self.defaults = Defaults(tools, settings)

    def redate(self, names):
        for table in self.tables:
            rows = self.of(table)
            for identity, row in rows.items():
                if row.account is None or str(row.account) not in names \
                        or row.state(self.now) != "P":
                    continue
                new = row.become("P", self.next_update(row.account))
                if new != row and table.freezes(row):
                    raise Unpredictable
                self.put(table, identity, new)
        for identity, row in self.rows[DELETED].items():
            if text(row.account) in names and row.until > self.now:
                self.rows[DELETED][identity] = row._replace(
                    until=self.next_update(row.account))

    def apply(self, halves=(0, 1)):
        for table in self.tables:
            rows = self.of(table)
            for identity, row in rows.items():
                if row.expired(self.now) and not table.freezes(row) \
                        and row.half in halves:
                    self.put(table, identity, row.become("N"))

    def contacts(self):
        """All contacts, by the text of their account."""
        stored, named = defaultdict(list), defaultdict(list)
        for rows in self.rows.values():
            for row in rows.values():
                stored[row.account].append(row)
        for account, rows in stored.items():
            named[account and str(account)] += rows
        return named


def billable(contacts, at):
    """S2."""
    return sum(row.marketing_until() > at for row in contacts)


def difference(before, after):
    """What a transaction has changed, by table and identity."""
    changes = []
    for name, rows in after.rows.items():
        old = before.rows[name]
        changes += [(name, identity, row) for identity, row in rows.items()
                    if old.get(identity) != row]
        changes += [(name, identity, None) for identity in old
                    if identity not in rows]
    accounts = after.accounts if after.accounts != before.accounts else None
    now = after.now if after.now != before.now else None
    defaults = after.defaults if after.defaults != before.defaults else None
    structure = after.structure if after.structure != before.structure \
        else None
    journal = after.journal[len(before.journal):]
    return changes, accounts, now, defaults, structure, journal


def merge(state, changes, unless=None):
    """Brings the changes of a transaction into another view; rows that differ
    from *unless* there are the other session's own work."""
    rows, accounts, now, defaults, structure, _ = changes
    state.seen = len(state.chronicle.items)
    for name, identity, row in rows:
        mine = state.rows[name]
        if unless and mine.get(identity) != unless.rows[name].get(identity):
            continue
        if row is None:
            mine.pop(identity, None)
        else:
            mine[identity] = row
    if accounts is not None:
        state.accounts = dict(accounts)
    if now is not None:
        state.now = now
    if defaults is not None:
        state.defaults = defaults
    if structure is not None:
        state.structure = structure


# ---------------------------------------------------------------------------
# Sessions
# ---------------------------------------------------------------------------

class Outcome:
    """What a statement should report; None is not compared.  Where there is
    a batch, its number comes before what is in a row."""

    def __init__(self, count=None, rows=None, batch=None):
        self.count = count
        self.rows = rows
        self.batch = batch


class Statement:
    """SQL and what it does to a State; returning is what a block leaves out,
    copied the data of a COPY, then the statements that follow at once, role
    who runs it, and made_of what a block or a call consists of."""

    def __init__(self, kind, sql, run, returning="", copied=None, then=(),
                 role=None, made_of=None):
        self.kind = kind
        self.core = sql
        self.sql = sql + returning
        self.run = run
        self.copied = copied
        self.then = then
        self.role = role
        self.made_of = made_of
        self.settles = False

    def by(self, role):
        """The same, run by another role."""
        def run(state):
            state.role = role
            try:
                return self.run(state)
            finally:
                state.role = ROLE
        return Statement(self.kind + " by another role", self.sql, run,
                         role=role)


class Session:
    def __init__(self, world, half, time_zone="UTC", search_path="public"):
        self.world = world
        self.half = half
        self.connection = psycopg2.connect(world.database)
        self.connection.autocommit = True
        psycopg2.extras.register_uuid(conn_or_curs=self.connection)
        self.cursor = self.connection.cursor()
        self.settings = Settable()
        self.episode = None
        self.isolation = None
        self.base = self.view = self.savepoints = None
        self.clock = self.prepared = None
        self.held = self.doomed = self.overtaken = self.aborted = False
        self.execute("SET client_min_messages = warning; SET jit = off;"
                     "SET lock_timeout = '%s'; SET timezone = '%s';"
                     "SET search_path = '%s'" % (
                         world.patience, time_zone, search_path))

    # Transactions --------------------------------------------------------

    def state(self):
        if self.isolation:
            return self.view
        return self.world.committed.of_session(self.settings)

    def begin(self, isolation):
        self.follow_clock()
        self.command("BEGIN ISOLATION LEVEL " + isolation)
        # Nothing has a snapshot before its first query.
        self.execute("SELECT 1")
        self.base = self.state().copy()
        self.isolation = isolation
        self.view = self.base.copy()
        self.savepoints = []
        self.doomed = self.overtaken = self.aborted = False

    def follow_clock(self):
        """The clock is a setting of the session: each sets its own."""
        if self.clock != self.world.committed.now:
            self.clock = self.world.committed.now
            self.execute("SET mktcontacts.clock = " + literal(self.clock))

    def commit(self):
        try:
            self.command("COMMIT")
        except psycopg2.errors.SerializationFailure:
            self.gave_up()
        else:
            self.world.commit(self, difference(self.base, self.view))
            self.clock = self.world.committed.now
            self.settings = self.view.session.ended()
        self.end()

    def rollback(self):
        self.command("ROLLBACK")
        self.end()

    def end(self):
        self.isolation = self.base = self.view = self.savepoints = None
        self.doomed = self.aborted = False
        self.world.release(self)

    def prepare(self):
        """Two-phase commit: until its end others see nothing of it, and the
        session touches none of its rows."""
        gid = self.world.next_gid()
        try:
            self.command("PREPARE TRANSACTION " + literal(gid))
        except psycopg2.errors.SerializationFailure:
            self.gave_up()
            self.end()
            return
        self.prepared = gid, difference(self.base, self.view)
        # Settings know nothing of what becomes of it.
        self.settings = self.view.session.ended()
        self.isolation = None
        self.held = True
        self.world.other(self).overtaken = True

    def resolve(self, commits):
        gid, changes = self.prepared
        if commits:
            self.command("COMMIT PREPARED " + literal(gid))
            self.world.commit(self, changes)
        else:
            self.command("ROLLBACK PREPARED " + literal(gid))
        self.prepared, self.held = None, False
        self.end()

    def gave_up(self):
        """A serialization failure is no fault where the other session was at
        work."""
        if self.isolation not in ("REPEATABLE READ", "SERIALIZABLE") or \
                not self.contended():
            raise Mismatch("a serialization failure without a reason")
        self.doomed = True
        self.world.count("(serialization failures)")

    def contended(self):
        """Whether another transaction can be in the way of this one."""
        other = self.world.other(self)
        return self.overtaken or self.isolation == "SERIALIZABLE" and bool(
            other.isolation or other.held)

    def savepoint(self):
        name = "s%d" % (len(self.savepoints) + 1)
        self.command("SAVEPOINT " + name)
        self.savepoints.append((name, self.view.copy()))

    def rollback_to(self, position):
        name, saved = self.savepoints[position]
        self.command("ROLLBACK TO " + name)
        del self.savepoints[position + 1:]
        self.view = saved.copy()
        self.aborted = False

    def release(self, position):
        self.command("RELEASE " + self.savepoints[position][0])
        del self.savepoints[position:]

    def see(self, changes):
        """Another session has committed."""
        if not self.isolation:
            return
        self.overtaken = True
        if self.isolation == "READ COMMITTED":
            for state in [self.view] + [saved for _, saved in self.savepoints]:
                merge(state, changes, unless=self.base)
            merge(self.base, changes)

    # Statements ----------------------------------------------------------

    def structure(self):
        return (self.view if self.isolation else self.world.committed
                ).structure

    def named(self, sql, copied=None, noted=True):
        """As it is sent, and noted for the script of a failure."""
        sql = self.structure().sql(sql)
        self.world.wrote(self, sql, copied, noted)
        return sql

    def command(self, sql):
        self.world.note(self, " ".join(
            word for word in sql.split() if word.isupper()), sql)
        self.execute(sql)

    def execute(self, sql, noted=True):
        sql = self.named(sql, noted=noted)
        try:
            self.cursor.execute(sql)
        except psycopg2.errors.SerializationFailure:
            raise
        except psycopg2.Error as error:
            raise Mismatch("database: " + told(error)) from None

    def query(self, sql):
        self.execute(sql, noted=False)
        return self.cursor.fetchall()

    def run(self, statement):
        """Runs the statement, and those that follow, in the model and in the
        database; whether they succeeded."""
        return all(self.run_one(each) for each in (statement, *statement.then))

    def run_one(self, statement):
        if not self.isolation:
            self.follow_clock()
        state = self.state().copy()
        try:
            expected = statement.run(state)
        except Refused as refused:
            expected = refused
        self.world.note(self, statement.kind, statement.sql, statement.copied)
        if statement.role:
            self.execute("SET ROLE " + statement.role)
        try:
            self.send(statement)
        except psycopg2.errors.SerializationFailure:
            self.gave_up()
            return False
        except psycopg2.Error as error:
            self.compare_error(expected, error)
            self.failed(statement)
            return False
        self.compare(expected)
        if statement.role:
            self.execute("RESET ROLE")
        self.adopt(state)
        return True

    def failed(self, statement):
        if self.isolation:
            self.aborted = True
        elif statement.role:
            self.execute("RESET ROLE")

    def send(self, statement):
        sql = self.named(statement.sql, statement.copied)
        if statement.copied is None:
            self.cursor.execute(sql)
        else:
            self.cursor.copy_expert(sql, io.StringIO(statement.copied))

    def adopt(self, state):
        if self.isolation:
            self.view = state
        else:
            self.world.commit(self, difference(self.world.committed, state))
            self.clock = self.world.committed.now
            self.settings = state.session.ended()

    def compare_error(self, expected, error):
        if not isinstance(expected, Refused) or \
                expected.code not in (None, error.pgcode):
            raise Mismatch("model: %s\ndatabase: %s"
                           % (said(expected), told(error)))

    def compare(self, expected):
        if isinstance(expected, Refused):
            raise Mismatch("model: %s\ndatabase: no error" % said(expected))
        if expected.count is not None and \
                expected.count != self.cursor.rowcount:
            raise Mismatch("model: %d rows\ndatabase: %d rows"
                           % (expected.count, self.cursor.rowcount))
        if expected.rows is None and expected.batch is None:
            return
        rows = self.cursor.fetchall()
        if expected.batch:
            self.world.called(expected.batch, rows[0][0])
            rows = [row[1:] for row in rows]
        if expected.rows is not None:
            same_rows("returned", expected.rows, rows)


def said(expected):
    if isinstance(expected, Refused):
        return "error " + (expected.code or "of any kind")
    return "no error"


def told(error):
    return "%s: %s" % (error.pgcode, str(error).strip())


def same_rows(what, expected, actual):
    expected = Counter(map(tuple, expected))
    actual = Counter(map(tuple, actual))
    if expected == actual:
        return
    lines = [what + " rows differ"]
    for title, rows in (("model", expected - actual),
                        ("database", actual - expected)):
        lines += ["%s: %s" % (title, shown(row))
                  for row in sorted(rows.elements(), key=str)[:8]]
    raise Mismatch("\n".join(lines))


def shown(row):
    return "(%s)" % ", ".join(str(value) for value in row)


# ---------------------------------------------------------------------------
# Statements
# ---------------------------------------------------------------------------

class Predicate:
    """A condition on rows, in SQL and in Python; the SQL's columns are those
    of the alias t."""

    def __init__(self, sql, test):
        self.sql = sql
        self.test = test

    def __and__(self, other):
        return Predicate("%s AND %s" % (self.sql, other.sql),
                         lambda row, now: self.test(row, now)
                         and other.test(row, now))

    def matching(self, state, table):
        return [row for row in state.of(table).values()
                if self.test(row, state.now) and not state.hides(row)]


class Change:
    """One assignment of an UPDATE."""

    def __init__(self, column, field, sql, value):
        self.column = column
        self.field = field
        self.sql = sql
        self.value = value


def changed(row, changes):
    return row._replace(**{c.field: c.value(row) for c in changes})


def fields(changes):
    return [c.field for c in changes]


def assignments(changes):
    return ", ".join("%s = %s" % (c.column, c.sql) for c in changes)


class Generator:
    """Makes statements for one session; everything random comes from the
    world's generator, so that the seed decides."""

    def __init__(self, world):
        self.world = world
        self.rng = world.rng
        self.kinds = [
            (10, self.insert), (9, self.insert_many), (6, self.copy),
            (22, self.update), (10, self.update_key), (6, self.write_back),
            (3, self.move_key), (8, self.delete), (3, self.update_from),
            (4, self.on_conflict_nothing), (7, self.on_conflict_update),
            (7, self.merge), (5, self.two_in_one), (3, self.transfer),
            (14, self.set_status), (4, self.in_partition),
            (2, self.update_view), (9, self.set_setting),
            (5, self.record_activity), (6, self.undo), (1, self.forget),
            (3, self.execute_prepared), (3, self.touch), (9, self.clerk),
        ]

    def plain(self, session, state, in_block=False):
        """A statement that any transaction may run, and any block but for
        COPY."""
        while True:
            statement = self.predictable(self.kinds, session, state)
            if not (in_block and (statement.copied or statement.role)):
                return statement

    def predictable(self, kinds, session, state):
        weights, makers = zip(*kinds)
        while True:
            maker = self.rng.choices(makers, weights)[0]
            statement = self.possible(maker, session, state)
            if statement:
                return statement

    def possible(self, maker, session, state):
        """A statement of that kind, or None where none was found."""
        try:
            statement = maker(session, state)
            if statement is None:
                return None
            statement.run(state.copy())
        except Unpredictable:
            return None
        except Refused:
            pass
        return statement

    def chance(self, part):
        return self.rng.random() < part

    def table(self):
        return self.rng.choice(self.world.tables)

    def own(self, session, state, table):
        return [row for row in state.of(table).values()
                if row.half == session.half]

    # Values --------------------------------------------------------------

    def instant(self, state):
        days = self.rng.choice([-400, -20, -1, 0, 1, 20, 400])
        return state.now.replace(microsecond=0) + timedelta(
            days=days, seconds=self.rng.randrange(86400))

    def account(self, table):
        return self.rng.choice(table.accounts)

    def contact(self, session, state, table, fresh=0.9):
        """A row to insert.  Now and then its key is taken already."""
        rng = self.rng
        for _ in range(8):
            row = Contact(
                rng.choice(table.keys[session.half]), self.account(table),
                session.half, rng.randrange(100), rng.choice(NOTES),
                rng.choice([MARKETING, MARKETING, NON_MARKETING, None]),
                rng.choice([True, False, False, None]),
                self.instant(state) if self.chance(0.3) else None,
                rng.choice([None, None] + TOOLS), rng.choice(NAMES))
            if table.identity(row) not in state.of(table) or \
                    not self.chance(fresh):
                break
        return row

    def contacts(self, session, state, table, size, fresh):
        """Rows with different keys."""
        rows = {}
        for _ in range(size):
            row = self.contact(session, state, table, fresh)
            rows.setdefault(table.identity(row), row)
        return list(rows.values())

    def named(self, table):
        """The columns that an INSERT names: every combination of ours."""
        skipped = [column for column in OURS if self.chance(0.4)]
        return [column for column in table.columns if column not in skipped]

    def as_named(self, row, columns):
        """The row as a statement that names only those columns gives it."""
        return row._replace(**{
            field: None for field, column in zip(Contact._fields[-5:], OURS)
            if column not in columns})

    def values(self, table, rows, columns):
        lines = []
        for row in rows:
            given = dict(zip(table.columns, table.literals(row)))
            lines.append("(%s)" % ", ".join(given[c] for c in columns))
        return ", ".join(lines)

    def returning(self, table, alias=""):
        return " RETURNING " + ", ".join(alias + column
                                         for column in table.columns)

    # Predicates and assignments ------------------------------------------

    def mine(self, session):
        half = session.half
        return Predicate("t.half = %d" % half,
                         lambda row, now: row.half == half)

    def predicate(self, session, state, table):
        maker = self.rng.choices(
            [self.by_key, self.by_keys, self.by_account, self.by_status,
             self.by_flag, self.by_score, self.by_instant, self.by_effect,
             self.by_nothing],
            [6, 4, 6, 2, 3, 6, 2, 2, 1])[0]
        return maker(session, state, table) & self.mine(session)

    def by_key(self, session, state, table):
        key = self.some_key(session, state, table)
        return Predicate("t.id = " + literal(key),
                         lambda row, now: row.key == key)

    def some_key(self, session, state, table):
        rows = self.own(session, state, table)
        if rows and self.chance(0.9):
            return self.rng.choice(rows).key
        return self.rng.choice(table.keys[session.half])

    def by_keys(self, session, state, table):
        keys = [self.some_key(session, state, table)
                for _ in range(self.rng.randrange(1, 8))]
        return Predicate("t.id IN (%s)" % ", ".join(map(literal, keys)),
                         lambda row, now: row.key in keys)

    def by_account(self, session, state, table):
        account = self.account(table)
        column = table.account_column
        if not column:
            return self.by_score(session, state, table)
        if account is None:
            return Predicate("t.%s IS NULL" % column,
                             lambda row, now: row.account is None)
        return Predicate("t.%s = %s" % (column, literal(account)),
                         lambda row, now: row.account == account)

    def by_status(self, session, state, table):
        status = self.rng.choice([MARKETING, NON_MARKETING])
        return Predicate("t.marketing_status = " + literal(status),
                         lambda row, now: row.status == status) \
            & self.by_score(session, state, table)

    def by_flag(self, session, state, table):
        return Predicate("t.marketing_until_next_update",
                         lambda row, now: row.flag) \
            & self.by_score(session, state, table)

    def by_score(self, session, state, table):
        divisor = self.rng.randrange(2, 9)
        rest = self.rng.randrange(divisor)
        return Predicate("t.score %% %d = %d" % (divisor, rest),
                         lambda row, now: row.score % divisor == rest)

    def by_instant(self, session, state, table):
        return Predicate("t.marketing_until <= " + literal(state.now),
                         lambda row, now: row.until is not None
                         and row.until <= now)

    def by_effect(self, session, state, table):
        return Predicate(
            "NOT mkt.is_marketing(t.marketing_status, t.marketing_until)",
            lambda row, now: row.state(now) == "N") \
            & self.by_score(session, state, table)

    def by_nothing(self, session, state, table):
        return Predicate("true", lambda row, now: True)

    def changes(self, session, state, table):
        """Assignments to one or more columns, seldom to all."""
        makers = [self.set_to_status, self.set_to_status, self.set_flag,
                  self.set_until, self.set_score, self.set_note,
                  self.set_source]
        if table.account_column:
            makers.append(self.set_account)
        found = {}
        for _ in range(self.rng.choice([1, 1, 1, 1, 2, 2, 3, 5])):
            change = self.rng.choice(makers)(state, table)
            found.setdefault(change.column, change)
        return list(found.values())

    def set_to_status(self, state, table):
        column, field = "marketing_status", "status"
        kind = self.rng.randrange(8)
        if kind == 0:
            return Change(column, field, "t.marketing_status",
                          lambda row: row.status)
        if kind == 1:
            sql = ("CASE WHEN t.score % 2 = 0 THEN 'marketing'::mkt.status"
                   " ELSE 'non_marketing' END")
            return Change(column, field, sql, lambda row: NON_MARKETING
                          if row.score % 2 else MARKETING)
        status = MARKETING if kind % 2 else NON_MARKETING
        if self.chance(0.01):
            status = None
        return Change(column, field, literal(status), lambda row: status)

    def set_flag(self, state, table):
        column, field = "marketing_until_next_update", "flag"
        if self.chance(0.2):
            return Change(column, field, "NOT t." + column,
                          lambda row: not row.flag)
        flag = self.chance(0.5) if self.chance(0.98) else None
        return Change(column, field, literal(flag), lambda row: flag)

    def set_until(self, state, table):
        column, field = "marketing_until", "until"
        if self.chance(0.3):
            return Change(column, field, "t.marketing_until + '1 s'",
                          lambda row: row.until
                          and row.until + timedelta(seconds=1))
        until = self.instant(state) if self.chance(0.6) else None
        return Change(column, field, literal(until), lambda row: until)

    def set_account(self, state, table):
        account = self.account(table)
        if table.composite and account is None:
            account = table.accounts[0]
        column = table.account_column
        if self.chance(0.3):
            sql = "CASE WHEN t.score %% 3 = 0 THEN %s ELSE t.%s END" % (
                table.literal(column, account), column)
            return Change(column, "account", sql, lambda row: row.account
                          if row.score % 3 else account)
        return Change(column, "account", literal(account),
                      lambda row: account)

    def set_source(self, state, table):
        column, field, values = self.rng.choice([
            ("marketing_source_type", "source_type", TOOLS + [None]),
            ("marketing_source_name", "source_name", NAMES)])
        value = self.rng.choice(values)
        return Change(column, field, literal(value), lambda row: value)

    def set_score(self, state, table):
        step = self.rng.randrange(1, 5)
        return Change("score", "score", "t.score + %d" % step,
                      lambda row: row.score + step)

    def set_note(self, state, table):
        note = self.rng.choice(NOTES)
        return Change("note", "note", literal(note), lambda row: note)

    # INSERT and COPY ------------------------------------------------------

    def insert(self, session, state, size=1):
        table = self.table()
        rows = [self.contact(session, state, table, 0.98)
                for _ in range(size)]
        columns = self.named(table)
        sql = "INSERT INTO %s (%s) VALUES %s" % (
            table.name, ", ".join(columns), self.values(table, rows, columns))
        return Statement("INSERT", sql, lambda state: returned(
            table, self.insert_all(state, table, rows, columns)),
            self.returning(table))

    def insert_many(self, session, state):
        return self.insert(session, state, self.rng.randrange(2, 12))

    def insert_all(self, state, table, rows, columns):
        stored = [state.insert(table, self.as_named(row, columns))
                  for row in rows]
        return [row for row in stored if row is not None]

    def copy(self, session, state):
        table = self.table()
        rows = self.contacts(session, state, table,
                             self.rng.randrange(1, 15), 0.995)
        columns = self.named(table)
        lines = []
        for row in rows:
            given = dict(zip(table.columns, table.values(row)))
            lines.append("\t".join("\\N" if given[c] is None
                                   else str(given[c]) for c in columns))
        sql = "COPY %s (%s) FROM STDIN" % (table.name, ", ".join(columns))
        return Statement("COPY", sql, lambda state: Outcome(len(
            self.insert_all(state, table, rows, columns))),
            copied="".join(line + "\n" for line in lines))

    # UPDATE and DELETE ----------------------------------------------------

    def update(self, session, state):
        table = self.table()
        return self.update_where(
            table, self.predicate(session, state, table),
            self.changes(session, state, table))

    def update_view(self, session, state):
        table = self.world.tables[0]
        return self.update_where(
            table, self.predicate(session, state, table),
            self.changes(session, state, table),
            name=SCHEMA + ".person_view")

    def update_key(self, session, state):
        table = self.table()
        return self.update_where(
            table, self.by_key(session, state, table) & self.mine(session),
            self.changes(session, state, table))

    def touch(self, session, state):
        """A statement that touches no column of the extension."""
        table = self.table()
        return self.update_where(
            table, self.predicate(session, state, table),
            [self.set_score(state, table), self.set_note(state, table)])

    def update_where(self, table, where, changes, kind="UPDATE", name=None):
        sql = "UPDATE %s t SET %s WHERE %s" % (
            name or table.name, assignments(changes), where.sql)
        return Statement(kind, sql, lambda state: returned(
            table, self.update_all(state, table, where, changes)),
            self.returning(table, "t."))

    def update_all(self, state, table, where, changes):
        return state.update(table, [
            (row, changed(row, changes))
            for row in where.matching(state, table)], fields(changes))

    def write_back(self, session, state):
        """What a client does that reads a row and writes every column."""
        table = self.table()
        rows = self.own(session, state, table)
        if not rows:
            return None
        old = self.rng.choice(rows)
        new = old
        if self.chance(0.4):
            new = changed(old, self.changes(session, state, table))
        identity = table.identity(old)
        sql = "UPDATE %s SET (%s) = ROW (%s) WHERE %s" % (
            table.name, ", ".join(table.columns),
            ", ".join(table.literals(new)), table.match(old))

        def run(state):
            found = state.of(table).get(identity)
            return returned(table, state.update(
                table, [(found, new)] if found else [], Contact._fields))
        return Statement("UPDATE all columns", sql, run,
                         self.returning(table))

    def update_from(self, session, state):
        """Every column written back from a join of the table with itself."""
        table = self.table()
        where = self.predicate(session, state, table)
        changes = self.changes(session, state, table)
        given = {c.column: c for c in changes}
        sets = ", ".join("%s = %s" % (column, given[column].sql if
                                      column in given else "o." + column)
                         for column in table.columns)
        join = "o.id = t.id"
        if table.composite:
            join += " AND o.account = t.account"
        sql = "UPDATE %s t SET %s FROM %s o WHERE %s AND %s" % (
            table.name, sets, table.name, join, where.sql)

        def run(state):
            return Outcome(len(state.update(table, [
                (row, changed(row, changes))
                for row in where.matching(state, table)], Contact._fields)))
        return Statement("UPDATE FROM", sql, run)

    def move_key(self, session, state):
        table = self.table()
        rows = self.own(session, state, table)
        if not rows:
            return None
        old = self.rng.choice(rows)
        key = self.contact(session, state, table, 0.9).key
        changes = [Change("id", "key", literal(key), lambda row: key)]
        if self.chance(0.4):
            changes += self.changes(session, state, table)
        identity = table.identity(old)
        where = Predicate(table.match(old).replace("id =", "t.id ="),
                          lambda row, now: table.identity(row) == identity)
        return self.update_where(table, where & self.mine(session), changes,
                                 "UPDATE of key")

    def delete(self, session, state):
        table = self.table()
        where = self.predicate(session, state, table)
        if len(where.matching(state, table)) > 20 and self.chance(0.8):
            return None
        return self.delete_where(table, where, table.name)

    def delete_where(self, table, where, name):
        sql = "DELETE FROM %s t WHERE %s" % (name, where.sql)
        return Statement("DELETE", sql, lambda state: returned(
            table, state.delete(table, where.matching(state, table))),
            self.returning(table, "t."))

    def in_partition(self, session, state):
        """A statement on a partition itself."""
        table = self.world.tables[2]
        name, accounts = self.rng.choice([
            (SCHEMA + ".member_a", ("acme", "1")),
            (SCHEMA + ".member_b", ("x y", "3"))])
        where = self.predicate(session, state, table) & Predicate(
            "true", lambda row, now: row.account in accounts)
        changes = [c for c in self.changes(session, state, table)
                   if c.field != "account"]
        if not changes:
            statement = self.delete_where(table, where, name)
        else:
            statement = self.update_where(table, where, changes, name=name)
        return statement

    def execute_prepared(self, session, state):
        """A statement that the session has prepared at its start."""
        table = self.world.tables[0]
        keys = [self.some_key(session, state, table)
                for _ in range(self.rng.randrange(1, 6))]
        status = self.rng.choice([MARKETING, NON_MARKETING])
        flag = self.chance(0.5)
        sql = "EXECUTE random_update ('{%s}', %s, %s)" % (
            ",".join(map(str, keys)), literal(status), literal(flag))

        def run(state):
            # It knows the table by its name.
            if table.renamed(state.structure) != table.name:
                raise Refused("42P01")
            olds = [row for row in state.of(table).values()
                    if row.key in keys]
            return Outcome(len(state.update(table, [
                (row, row._replace(status=status, flag=flag))
                for row in olds], ["status", "flag"])))
        return Statement("EXECUTE", sql, run)

    def clerk(self, session, state):
        """A statement of a role that does not see all rows."""
        maker = self.rng.choice([
            self.insert, self.insert_many, self.update, self.update_key,
            self.touch, self.move_key, self.delete, self.set_status,
            self.record_activity])
        statement = maker(session, state)
        return statement and statement.by(self.world.clerk)

    # ON CONFLICT and MERGE ------------------------------------------------

    def proposal(self, session, state):
        """An INSERT of rows of which many are there already."""
        table = self.table()
        rows = self.contacts(session, state, table,
                             self.rng.randrange(1, 8), 0.4)
        columns = self.named(table)
        sql = "INSERT INTO %s AS t (%s) VALUES %s ON CONFLICT (%s) DO" % (
            table.name, ", ".join(columns), self.values(table, rows, columns),
            "account, id" if table.composite else "id")
        return table, [self.as_named(row, columns) for row in rows], sql

    def on_conflict_nothing(self, session, state):
        table, rows, sql = self.proposal(session, state)

        def run(state):
            stored = []
            for row in rows:
                row = state.proposed(table, row)
                if row and table.identity(row) not in state.of(table):
                    state.add(table, row)
                    stored.append(row)
            return returned(table, stored)
        return Statement("ON CONFLICT DO NOTHING", sql + " NOTHING", run,
                         self.returning(table))

    def on_conflict_update(self, session, state):
        table, rows, sql = self.proposal(session, state)
        changes = [c for c in self.changes(session, state, table)
                   if not (table.composite and c.field == "account")]
        taken = [field for field in ("status", "flag", "until", "account",
                                     "note", "source_name")
                 if self.chance(0.4) and not (
                     field == "account"
                     and (table.composite or not table.account_column))
                 and field not in fields(changes)]
        columns = dict(zip(Contact._fields, ["id", table.account_column]
                           + table.columns[-8:]))
        sets = [assignments(changes)] if changes else []
        sets += ["%s = EXCLUDED.%s" % (columns[field], columns[field])
                 for field in taken]
        if not sets:
            return None
        odd = self.chance(0.3)
        sql = "%s UPDATE SET %s%s" % (
            sql, ", ".join(sets), " WHERE t.score % 2 = 1" if odd else "")

        def run(state):
            stored = []
            for row in rows:
                row = state.proposed(table, row)
                if row is None:
                    continue
                old = state.of(table).get(table.identity(row))
                if old is None:
                    state.add(table, row)
                    stored.append(row)
                elif old.score % 2 or not odd:
                    new = changed(old, changes)._replace(
                        **{field: getattr(row, field) for field in taken})
                    stored += state.update(table, [(old, new)],
                                           fields(changes) + taken)
            return returned(table, stored)
        return Statement("ON CONFLICT DO UPDATE", sql, run,
                         self.returning(table, "t."))

    def merge(self, session, state):
        table = self.table()
        rows = self.contacts(session, state, table,
                             self.rng.randrange(1, 8), 0.4)
        inserted = self.named(table)
        changes = self.changes(session, state, table)
        if table.composite:
            changes = [c for c in changes if c.field != "account"]
        taken = self.chance(0.5)
        if taken:
            changes = [c for c in changes if c.field != "status"]
            changes.append(Change("marketing_status", "status",
                                  "coalesce(s.marketing_status,"
                                  " 'non_marketing')", None))
        if not changes:
            return None
        deletes = self.rng.randrange(2, 12)
        sql = self.merge_sql(table, rows, inserted, changes, deletes)

        def run(state):
            given = changes[:-1] if taken else changes
            count = 0
            for row in rows:
                old = state.of(table).get(table.identity(row))
                if old is None:
                    stored = state.insert(table, self.as_named(row, inserted))
                    count += stored is not None
                elif old.score % 12 == deletes:
                    count += len(state.delete(table, [old]))
                elif old.score % 12 != deletes - 1:
                    new = changed(old, given)
                    if taken:
                        new = new._replace(status=row.status or NON_MARKETING)
                    count += len(state.update(table, [(old, new)],
                                              fields(changes)))
            return Outcome(None if table.triggered else count)
        return Statement("MERGE", sql, run)

    def merge_sql(self, table, rows, inserted, changes, deletes):
        join = "t.id = s.id"
        if table.composite:
            join += " AND t.account = s.account"
        return (
            "MERGE INTO %s t USING (VALUES %s) s (%s) ON %s"
            " WHEN MATCHED AND t.score %% 12 = %d THEN DELETE"
            " WHEN MATCHED AND t.score %% 12 = %d THEN DO NOTHING"
            " WHEN MATCHED THEN UPDATE SET %s"
            " WHEN NOT MATCHED THEN INSERT (%s) VALUES (%s)"
            % (table.name, self.values(table, rows, table.columns),
               ", ".join(table.columns), join, deletes, deletes - 1,
               assignments(changes), ", ".join(inserted),
               ", ".join("s." + column for column in inserted)))

    # Several changes in one statement -------------------------------------

    def two_in_one(self, session, state):
        """Writable CTEs on the same table: what one part changes the other
        does not see."""
        table = self.table()
        divisor = self.rng.randrange(2, 6)
        mine = self.mine(session)
        one = mine & Predicate("t.score %% %d = 0" % divisor,
                               lambda row, now: row.score % divisor == 0)
        two = mine & Predicate("t.score %% %d = 1" % divisor,
                               lambda row, now: row.score % divisor == 1)
        changes = [c for c in self.changes(session, state, table)
                   if not (table.composite and c.field == "account")]
        rows = [row for row in self.contacts(session, state, table, 3, 1.0)
                if table.identity(row) not in state.of(table)]
        if not changes or not rows:
            return None
        deletes = self.chance(0.3)
        columns = self.named(table)
        again = self.changes(session, state, table)
        sql = ("WITH one AS (UPDATE %s t SET %s WHERE %s RETURNING t.id),"
               " two AS (%s), three AS (INSERT INTO %s (%s) VALUES %s"
               " RETURNING id)"
               " SELECT (SELECT count(*) FROM one), (SELECT count(*) FROM"
               " three)" % (
                   table.name, assignments(changes), one.sql,
                   "DELETE FROM %s t WHERE %s" % (table.name, two.sql)
                   if deletes else "UPDATE %s t SET %s WHERE %s" % (
                       table.name, assignments(again), two.sql),
                   table.name, ", ".join(columns),
                   self.values(table, rows, columns)))

        def run(state):
            ones = one.matching(state, table)
            twos = two.matching(state, table)
            if not deletes and table.composite and \
                    any(c.field == "account" for c in again):
                raise Unpredictable
            done = state.update(table, [(row, changed(row, changes))
                                        for row in ones], fields(changes))
            if deletes:
                state.delete(table, twos)
            else:
                state.update(table, [(row, changed(row, again))
                                     for row in twos], fields(again))
            stored = self.insert_all(state, table, rows, columns)
            return Outcome(rows=[(len(done), len(stored))])
        return Statement("WITH", sql, run)

    def transfer(self, session, state):
        """Contacts deleted from one table and inserted into another by the
        same statement."""
        source, target = self.rng.sample(self.world.tables[:2], 2)
        where = self.predicate(session, state, source)
        if len(where.matching(state, source)) > 15:
            return None
        columns = ["id", "half", "score", "note"] + OURS
        account = "account_id, " if target.account_column else ""
        value = "2, " if target.account_column else ""
        sql = ("WITH gone AS (DELETE FROM %s t WHERE %s RETURNING *)"
               " INSERT INTO %s (%s%s) SELECT %s%s FROM gone"
               " ON CONFLICT DO NOTHING" % (
                   source.name, where.sql, target.name, account,
                   ", ".join(columns), value, ", ".join(columns)))

        def run(state):
            count = 0
            for row in state.delete(source, where.matching(state, source)):
                row = state.proposed(target, row._replace(
                    account=2 if target.account_column else "3"))
                if row.key not in state.of(target):
                    state.add(target, row)
                    count += 1
            return Outcome(count)
        return Statement("WITH", sql, run)

    # The extension's own functions ----------------------------------------

    def set_status(self, session, state):
        table = self.table()
        function = self.rng.choice(["set_marketing", "set_non_marketing"])
        keys = [self.some_key(session, state, table)
                for _ in range(self.rng.choice([1, 1, 2, 5, 12, 30]))]
        if self.chance(0.1):
            keys += keys[:2] + [None]
        account = None
        if table.composite or self.chance(0.2):
            account = str(self.account(table) or table.accounts[0])
            if table.account_type == "text" and self.chance(0.05):
                account = "nobody"
        source = self.rng.choice([None, ("user", "ann"), ("workflow", None)])
        function_call = SetStatus(table, function, keys, account, source)
        expected = None
        if self.chance(0.25):
            found = function_call.run(state.copy(), None)
            expected = found.rows[0][0] if found.rows else None
            if expected is not None and self.chance(0.4):
                expected += self.rng.choice([-1, 1, 5])
        sql = function_call.sql(expected)
        return Statement(function, sql,
                         lambda state: function_call.run(state, expected))

    def record_activity(self, session, state):
        table = self.table()
        keys = [self.some_key(session, state, table)
                for _ in range(self.rng.choice([1, 2, 5, 12, 30]))]
        account = None
        if table.composite or self.chance(0.2):
            account = str(self.account(table) or table.accounts[0])
        call = RecordActivity(table, keys, account, self.rng.choice(TOOLS),
                              self.rng.choice(NAMES))
        return Statement("record_activity", call.sql(), call.run)

    def undo(self, session, state):
        """Mostly of a young batch, and seldom of one that does not exist."""
        if not self.table().keeps_history:
            return None
        batches = self.world.chronicle.batches
        batch = self.rng.choice(batches[-self.rng.choice([3, 10, 40]):])
        call = Undo(self.world, session, None if self.chance(0.03) else batch,
                    self.chance(0.5))
        return Statement("undo", call.sql(), call.run, made_of=call)

    def forget(self, session, state):
        table = self.table()
        if not table.keeps_history:
            return None
        key, account = self.some_key(session, state, table), None
        if table.composite or self.chance(0.2):
            account = str(self.account(table) or table.accounts[0])
        sql = "SELECT mkt.forget('%s', %s%s)" % (
            table.name, literal(str(key)), "" if account is None else
            ", account => " + literal(account))

        def run(state):
            told = [item for _, item in state.told(table, key)
                    if concerns(item, account)]
            state.journal.append(Forgotten(table.name, key, account,
                                           state.now, state.seen))
            return Outcome(rows=[(len(told),)])
        return Statement("forget", sql, run)

    # Settings of the session -----------------------------------------------

    def labels(self, session):
        """Some of the session's own, and one that is there from the start:
        who begins a batch makes others wait who want to begin it."""
        return [COMMON, COMMON] + [
            "%s %d" % ("even" if session.half == 0 else "odd", number)
            for number in range(self.world.statements // 500 + 3)][-6:]

    def set_setting(self, session, state):
        name, values = self.rng.choice([
            ("source_type", TOOLS + [None] * 3), ("source_name", NAMES),
            ("batch", self.labels(session) + [None] * 3)])
        value = self.rng.choice(values)
        local = self.chance(0.4)
        parameter = "mktcontacts." + name
        if value is None and not local and self.chance(0.5):
            sql = "RESET " + parameter
        elif self.chance(0.3):
            sql = "SELECT set_config(%s, %s, %s)" % (
                literal(parameter), literal(value or ""), literal(local))
        else:
            sql = "SET %s%s = %s" % ("LOCAL " if local else "", parameter,
                                     literal(value or ""))

        def run(state):
            change = state.session.set_local if local else state.session.set
            state.session = change(name, value)
            return Outcome()
        return Statement("SET " + parameter, sql, run)

    # Blocks ---------------------------------------------------------------

    def block(self, session, state):
        """A DO block with an exception block in it.  Its statements are made
        one after the other, each for the state that the last one leaves."""
        scratch = state.copy()
        nodes = self.nodes(session, scratch, 2)
        return self.block_of(nodes)

    def block_of(self, nodes):
        sql = "DO $do$ DECLARE r record; BEGIN %s END $do$" % " ".join(
            self.node_sql(node) for node in nodes)
        return Statement("DO", sql, lambda state: run_nodes(state, nodes),
                         made_of=nodes)

    def nodes(self, session, scratch, depth):
        nodes = []
        for _ in range(self.rng.randrange(1, 4)):
            if depth and self.chance(0.5):
                node = self.caught(session, scratch, depth)
            else:
                node = self.plain(session, scratch, True)
            try:
                run_nodes(scratch, [node])
            except Refused:
                return nodes + [node]
            nodes.append(node)
        return nodes

    def caught(self, session, scratch, depth):
        """A block that catches; fails says whether its end raises."""
        inside = scratch.copy()
        nodes = self.nodes(session, inside, depth - 1)
        after = [self.plain(session, scratch, True)] \
            if self.chance(0.3) else []
        return nodes, self.chance(0.5), after

    def node_sql(self, node):
        if isinstance(node, Statement):
            return block_statement(node)
        nodes, fails, after = node
        inside = " ".join(map(self.node_sql, nodes))
        if fails:
            inside += " PERFORM 1 / 0;"
        return "BEGIN %s EXCEPTION WHEN OTHERS THEN %s END;" % (
            inside, " ".join(map(self.node_sql, after)) or "NULL;")

    def loop(self, session, state):
        """A loop whose every turn is a subtransaction; every other one is
        undone."""
        table = self.table()
        where = self.predicate(session, state, table)
        changes = [c for c in self.changes(session, state, table)
                   if not (table.composite and c.field == "account")]
        if not changes:
            return None
        if not table.composite and self.chance(0.4):
            return self.cursor(table, where, changes)
        join = "t.id = r.id"
        if table.composite:
            join += " AND t.account = r.account"
        sql = ("DO $do$ DECLARE r record; BEGIN FOR r IN SELECT * FROM %s t"
               " WHERE %s LOOP BEGIN UPDATE %s t SET %s WHERE %s;"
               " IF r.score %% 2 = 0 THEN RAISE EXCEPTION 'undone'; END IF;"
               " EXCEPTION WHEN raise_exception THEN NULL; END; END LOOP;"
               " END $do$" % (table.name, where.sql, table.name,
                              assignments(changes), join))

        def run(state):
            rows = [(row, changed(row, changes))
                    for row in where.matching(state, table)]
            # An error of another kind is not caught.
            state.copy().update(table, rows, fields(changes))
            state.update(table, [(old, new) for old, new in rows
                                 if old.score % 2], fields(changes))
            return Outcome()
        return Statement("DO", sql, run)

    def cursor(self, table, where, changes):
        sql = ("DO $do$ DECLARE c CURSOR FOR SELECT * FROM %s t WHERE %s"
               " FOR UPDATE; BEGIN FOR r IN c LOOP UPDATE %s t SET %s"
               " WHERE CURRENT OF c; END LOOP; END $do$" % (
                   table.name, where.sql, table.name, assignments(changes)))

        def run(state):
            self.update_all(state, table, where, changes)
            return Outcome()
        return Statement("DO", sql, run)

    # What needs the tables for itself -------------------------------------

    def settings(self, session, state):
        """A change of mkt.account."""
        return self.predictable(
            [(5, self.new_account), (4, self.upsert_account),
             (6, self.change_account), (2, self.change_accounts),
             (1, self.rename_account), (2, self.drop_account)],
            session, state)

    def account_name(self):
        return self.rng.choice(self.world.names)

    def new_settings(self, state):
        started_on = None
        if self.chance(0.8):
            started_on = date(state.now.year - self.rng.randrange(3),
                              self.rng.randrange(1, 13),
                              self.rng.choice([1, 2, 14, 27, 28]))
            if self.chance(0.4):
                started_on = date(started_on.year, self.rng.choice([1, 8, 12]),
                                  self.rng.choice([29, 30, 31]))
        commitment = "monthly" if started_on and self.chance(0.5) else "annual"
        return Settings(commitment, started_on, self.rng.choice(ZONES),
                        self.rng.choice(self.world.editions),
                        self.chance(0.4))

    def insert_account(self, name, settings):
        return ("INSERT INTO mkt.account (account, commitment, started_on,"
                " time_zone, edition, count_deleted) VALUES (%s, %s)" % (
                    literal(name), ", ".join(map(literal, settings))))

    def new_account(self, session, state):
        name, settings = self.account_name(), self.new_settings(state)

        def run(state):
            if name in state.accounts:
                raise Refused("23505")
            state.set_settings({**state.accounts, name: settings})
            return Outcome(1)
        return Statement("INSERT mkt.account",
                         self.insert_account(name, settings), run)

    def upsert_account(self, session, state):
        name, settings = self.account_name(), self.new_settings(state)
        sql = self.insert_account(name, settings) + (
            " ON CONFLICT (account) DO UPDATE SET (commitment, started_on,"
            " time_zone, edition, count_deleted) = ROW (EXCLUDED.commitment,"
            " EXCLUDED.started_on, EXCLUDED.time_zone, EXCLUDED.edition,"
            " EXCLUDED.count_deleted)")

        def run(state):
            state.set_settings({**state.accounts, name: settings})
            return Outcome(1)
        return Statement("INSERT mkt.account", sql, run)

    def change_account(self, session, state):
        """One setting, or one that cannot be."""
        name, settings = self.account_name(), self.new_settings(state)
        field = self.rng.choice(["commitment", "started_on", "time_zone",
                                 "edition", "count_deleted"])
        value = getattr(settings, field)
        if field == "time_zone" and self.chance(0.1):
            value = "Europe/Nowhere"
        sql = "UPDATE mkt.account SET %s = %s WHERE account = %s" % (
            field, literal(value), literal(name))

        def run(state):
            if name not in state.accounts:
                return Outcome(0)
            new = state.accounts[name]._replace(**{field: value})
            if new.time_zone not in ZONES or (
                    new.commitment == "monthly" and new.started_on is None):
                raise Refused
            state.set_settings({**state.accounts, name: new})
            return Outcome(1)
        return Statement("UPDATE mkt.account", sql, run)

    def change_accounts(self, session, state):
        zone, day = self.rng.choice(ZONES), self.rng.choice([5, 29, 31])
        started_on = date(state.now.year - 1, 1, day)
        sql = ("UPDATE mkt.account SET time_zone = %s, started_on = %s,"
               " commitment = CASE WHEN account < 'a' THEN 'monthly'::"
               "mkt.commitment ELSE commitment END"
               % (literal(zone), literal(started_on)))
        digits = "0123456789"

        def run(state):
            state.set_settings({
                name: old._replace(
                    time_zone=zone, started_on=started_on,
                    commitment="monthly" if name[0] in digits
                    else old.commitment)
                for name, old in state.accounts.items()})
            return Outcome(len(state.accounts))
        return Statement("UPDATE mkt.account", sql, run)

    def rename_account(self, session, state):
        old, new = self.account_name(), self.account_name()
        sql = "UPDATE mkt.account SET account = %s WHERE account = %s" % (
            literal(new), literal(old))

        def run(state):
            if old not in state.accounts:
                return Outcome(0)
            if new != old and new in state.accounts:
                raise Refused("23505")
            accounts = dict(state.accounts)
            accounts[new] = accounts.pop(old)
            state.set_settings(accounts)
            return Outcome(1)
        return Statement("UPDATE mkt.account", sql, run)

    def drop_account(self, session, state):
        name = self.account_name()

        def run(state):
            accounts = dict(state.accounts)
            found = accounts.pop(name, None)
            state.set_settings(accounts)
            return Outcome(int(found is not None))
        return Statement("DELETE mkt.account", "DELETE FROM mkt.account"
                         " WHERE account = " + literal(name), run)

    def tools(self, session, state):
        """A change of mkt.tool or mkt.tool_setting."""
        return self.predictable(
            [(5, self.new_default), (3, self.change_default),
             (3, self.drop_default), (3, self.change_tool),
             (2, self.new_tool), (1, self.rename_tool), (1, self.drop_tool)],
            session, state)

    def default_key(self):
        return (self.account_name(), self.rng.choice(TOOLS),
                self.rng.choice(NAMES))

    def status(self):
        return self.rng.choice([MARKETING, NON_MARKETING])

    def new_default(self, session, state):
        key, status, upsert = self.default_key(), self.status(), \
            self.chance(0.6)
        sql = ("INSERT INTO mkt.tool_setting (account, tool, source_name,"
               " created_as) VALUES (%s, %s)" % (
                   ", ".join(map(literal, key)), literal(status)))
        if upsert:
            sql += (" ON CONFLICT (account, tool, source_name)"
                    " DO UPDATE SET created_as = EXCLUDED.created_as")

        def run(state):
            tool = state.defaults.tools.get(key[1])
            if tool and tool.fixed:
                raise Refused("MK009")
            if key in state.defaults.settings and not upsert:
                raise Refused("23505")
            if tool is None:
                raise Refused("23503")
            state.set_default(key, status)
            return Outcome(1)
        return Statement("INSERT mkt.tool_setting", sql, run)

    def some_default(self, state):
        keys = sorted(state.defaults.settings, key=str)
        return self.rng.choice(keys) if keys else self.default_key()

    def default_is(self, key):
        return "account = %s AND tool = %s AND source_name" \
            " IS NOT DISTINCT FROM %s" % tuple(map(literal, key))

    def change_default(self, session, state):
        key, status = self.some_default(state), self.status()
        sql = "UPDATE mkt.tool_setting SET created_as = %s WHERE %s" % (
            literal(status), self.default_is(key))

        def run(state):
            found = key in state.defaults.settings
            if found:
                state.set_default(key, status)
            return Outcome(int(found))
        return Statement("UPDATE mkt.tool_setting", sql, run)

    def drop_default(self, session, state):
        key = self.some_default(state)
        sql = "DELETE FROM mkt.tool_setting WHERE " + self.default_is(key)

        def run(state):
            found = key in state.defaults.settings
            if found:
                state.set_default(key, None)
            return Outcome(int(found))
        return Statement("DELETE mkt.tool_setting", sql, run)

    def change_tool(self, session, state):
        name = self.rng.choice(TOOLS)
        field, value = self.rng.choice([
            ("created_as", self.status()),
            ("promotes", self.rng.choice(["always", "when_marketing",
                                          "never"]))])
        sql = "UPDATE mkt.tool SET %s = %s WHERE tool = %s" % (
            field, literal(value), literal(name))

        def run(state):
            tool = state.defaults.tools.get(name)
            if tool is None:
                return Outcome(0)
            new = tool._replace(**{field: value})
            if tool.fixed and new != tool:
                raise Refused("MK009")
            state.set_tools({**state.defaults.tools, name: new})
            return Outcome(1)
        return Statement("UPDATE mkt.tool", sql, run)

    def new_tool(self, session, state):
        name = self.rng.choice(["robot", "robot", "robot", "api"])
        tool = Tool(self.status(), self.rng.choice(["always", "never"]))
        sql = ("INSERT INTO mkt.tool (tool, created_as, promotes)"
               " VALUES (%s, %s, %s)" % (
                   literal(name), literal(tool.created_as),
                   literal(tool.promotes)))

        def run(state):
            if name in state.defaults.tools:
                raise Refused("23505")
            state.set_tools({**state.defaults.tools, name: tool})
            return Outcome(1)
        return Statement("INSERT mkt.tool", sql, run)

    def rename_tool(self, session, state):
        """What ships keeps its name; settings follow others."""
        old, new = self.rng.choice([("robot", "unknown"), ("unknown", "robot"),
                                    ("api", "unknown")])
        sql = "UPDATE mkt.tool SET tool = %s WHERE tool = %s" % (
            literal(new), literal(old))

        def run(state):
            tools = dict(state.defaults.tools)
            if old not in tools:
                return Outcome(0)
            if old in model.TOOLS:
                raise Refused("MK009")
            if new in tools:
                raise Refused("23505")
            tools[new] = tools.pop(old)
            state.set_tools(tools, {
                (account, new if tool == old else tool, name): status
                for (account, tool, name), status
                in state.defaults.settings.items()})
            return Outcome(1)
        return Statement("UPDATE mkt.tool", sql, run)

    def drop_tool(self, session, state):
        name = self.rng.choice(["robot", "unknown", "api", "user"])

        def run(state):
            tools = dict(state.defaults.tools)
            if name in model.TOOLS:
                raise Refused("MK009")
            found = tools.pop(name, None)
            state.set_tools(tools, {
                key: status for key, status in state.defaults.settings.items()
                if key[1] != name})
            return Outcome(int(found is not None))
        return Statement("DELETE mkt.tool", "DELETE FROM mkt.tool"
                         " WHERE tool = " + literal(name), run)

    def truncate(self, session, state):
        table = self.table()

        def run(state):
            state.truncate(table)
            return Outcome()
        return Statement("TRUNCATE", "TRUNCATE " + table.name, run)

    def cascade(self, session, state):
        """A foreign key that moves contacts to another account."""
        table = self.world.tables[3]
        owner = self.rng.choice(table.accounts[:-1])
        sql = ("DO $do$ BEGIN DELETE FROM {0}.owner WHERE id = '{1}';"
               " INSERT INTO {0}.owner VALUES ('{1}'); END $do$"
               .format(SCHEMA, owner))

        def run(state):
            state.update(table, [
                (row, row._replace(account=None))
                for row in state.of(table).values() if row.account == owner],
                ["account"])
            return Outcome()
        return Statement("foreign key", sql, run)

    def attach(self, session, state):
        """Attaching again is without effect, and detaching before ends the
        history."""
        table = self.table()
        sql = "SELECT " + table.attach()
        again = self.chance(0.4)
        if not again:
            sql = "SELECT mkt.detach('%s'), %s" % (table.name, table.attach())

        def run(state):
            if not again:
                for identity, row in list(state.rows[DELETED].items()):
                    if row.table == table.name:
                        del state.rows[DELETED][identity]
                state.journal.append(Attached(table.name, state.now))
            return Outcome()
        return Statement("mkt.attach", sql, run)

    def alter(self, session, state):
        """DDL on a table that leaves its contacts as they are."""
        return self.rng.choice([
            self.rename, self.set_schema, self.rename_column, self.add_column,
            self.retype, self.index, self.rewrite])(
                session, state, self.table())

    def rename(self, session, state, table):
        name = target = table.short_name()
        if table.renamed(state.structure).endswith("." + name):
            target += "_by_now"

        def run(state):
            schema, name = table.renamed(state.structure).split(".")
            if name == target:
                raise Refused("42P07")
            state.structure = state.structure.named(
                table.name, schema + "." + target)
            return Outcome()
        return Statement("ALTER TABLE", "ALTER TABLE %s RENAME TO %s"
                         % (table.name, target), run)

    def set_schema(self, session, state, table):
        target = SCHEMA
        if table.renamed(state.structure).startswith(SCHEMA + "."):
            target = ELSEWHERE

        def run(state):
            name = table.renamed(state.structure).split(".")[1]
            state.structure = state.structure.named(
                table.name, target + "." + name)
            return Outcome()
        return Statement("ALTER TABLE", "ALTER TABLE %s SET SCHEMA %s"
                         % (table.name, target), run)

    def rename_column(self, session, state, table):
        """Of person the account's column, of its view, too; a name in double
        quotes stays as it stands."""
        table, name = self.world.tables[0], "account_id"
        target = name if name in state.structure.names else "account_by_now"
        sql = ('ALTER TABLE %s RENAME %s TO "%s"; ALTER VIEW %s.person_view'
               ' RENAME %s TO "%s"' % (table.name, name, target, SCHEMA, name,
                                       target))

        def run(state):
            if state.structure.names.get(name, name) == target:
                raise Refused("42701")
            state.structure = state.structure.named(name, target)
            return Outcome()
        return Statement("ALTER TABLE", sql, run)

    def add_column(self, session, state, table):
        sql = "ALTER TABLE %s " % table.name + self.rng.choice([
            "DROP COLUMN IF EXISTS extra",
            "ADD COLUMN IF NOT EXISTS extra int",
            "ADD COLUMN IF NOT EXISTS extra int DEFAULT 7",
            "ADD COLUMN IF NOT EXISTS extra int DEFAULT (random() * 9)::int"])
        return Statement("ALTER TABLE", sql, nothing)

    def retype(self, session, state, table):
        column, kinds = "extra", ["int", "text", "numeric"]
        # A view and triggers of the user's read the note of the others.
        if table.composite and self.chance(0.5):
            column, kinds = "note", ["text", "varchar(40)"]
        kind = self.rng.choice(kinds)
        return Statement("ALTER TABLE", (
            "ALTER TABLE {0} ADD COLUMN IF NOT EXISTS extra int;"
            " ALTER TABLE {0} ALTER COLUMN {1} TYPE {2} USING {1}::{2}"
        ).format(table.name, column, kind), nothing)

    def index(self, session, state, table):
        name = table.short_name() + "_more"
        alone = not session.isolation and not table.composite
        sql = self.rng.choice([
            "DROP INDEX IF EXISTS %s.%s, %s.%s" % (
                SCHEMA, name, ELSEWHERE, name),
            "CREATE INDEX %sIF NOT EXISTS %s ON %s (%s)" % (
                "CONCURRENTLY " if alone and self.chance(0.5) else "", name,
                table.name, self.rng.choice([
                    "score", "marketing_status", "note, marketing_until"]))])
        return Statement(" ".join(sql.split()[:2]), sql, nothing)

    def rewrite(self, session, state, table):
        """What gives it another file or other properties."""
        inside, plain = bool(session.isolation), not table.composite
        choices = ["ANALYZE {0}", "ALTER TABLE {0} ALTER note SET STATISTICS"
                   " 50", "LOCK TABLE {0}"]
        if not inside:
            choices += ["VACUUM {0}", "VACUUM FULL {0}"]
        if plain or not inside:
            choices += ["CLUSTER {0} USING {1}_pkey", "REINDEX TABLE {0}"]
        if plain and not inside:
            choices += ["REINDEX TABLE CONCURRENTLY {0}"]
        if plain:
            choices += ["ALTER TABLE {0} SET (fillfactor = 70)"]
        if "LOCK" in choices[2] and not inside:
            del choices[2]
        if table.name.endswith("solo"):
            choices += ["ALTER TABLE {0} SET UNLOGGED",
                        "ALTER TABLE {0} SET LOGGED"]
        sql = self.rng.choice(choices).format(
            table.name, table.short_name())
        return Statement(sql.split(" " + SCHEMA)[0].split(" ALTER note")[0],
                         sql, nothing)

    # Partitions ------------------------------------------------------------

    def partitions(self, session, state):
        """Partitions that are emptied, go or come: nothing tells of their
        contacts, and so somebody calls mkt.repair() afterwards."""
        table = self.world.tables[2]
        return self.rng.choice([
            self.empty_partition, self.replace_partition, self.lend_partition,
            self.own_partition])(state, table)

    def part(self, state):
        """A partition's name, its accounts and that of its table."""
        part, accounts = self.rng.choice([
            ("a", "'acme', '1'"), ("b", "'x y', '3'"), ("rest", None)])
        return part, accounts, "%s.member_%s" % (SCHEMA, part)

    def of_part(self, state, part):
        """Whether a contact is in that partition."""
        return lambda row: state.structure.partition(row) == part

    def mended(self, table, run, then=True):
        """What follows: perhaps the job, which notices, and mkt.repair().
        *run* has told in differs whether counts have become wrong."""
        repair = Statement("mkt.repair", "SELECT * FROM mkt.repair('%s')"
                           % table.name, nothing)
        if self.chance(0.5):
            return (repair,)

        def job(state):
            state.apply()
            return Outcome()

        return (Statement("CALL mkt.run", "CALL mkt.run()", job), Statement(
            "mkt.drift", "SELECT count(*) > 0 FROM mkt.drift",
            lambda state: Outcome(rows=[(run.differs,)])), repair)

    def empty_partition(self, state, table):
        part, _, name = self.part(state)

        def run(state):
            run.differs = bool(state.vanish(table, self.of_part(state, part)))
            return Outcome()
        return Statement("TRUNCATE partition", "TRUNCATE " + name, run,
                         then=self.mended(table, run))

    def replace_partition(self, state, table):
        part, accounts, name = self.part(state)
        if accounts is None:
            return None

        def run(state):
            run.differs = bool(state.vanish(table, self.of_part(state, part)))
            return Outcome()
        return Statement("DROP partition", "DROP TABLE %s; CREATE TABLE %s"
                         " PARTITION OF %s FOR VALUES IN (%s)" % (
                             name, name, table.name, accounts),
                         run, then=self.mended(table, run))

    def lend_partition(self, state, table):
        """Detached, changed while no trigger sees it, and attached again."""
        part, accounts, name = self.part(state)
        if accounts is None:
            return None
        divisor = self.rng.randrange(2, 5)
        middle = "SELECT * FROM mkt.repair('%s'); " % table.name \
            if self.chance(0.5) else ""
        sql = (
            "ALTER TABLE {1} DETACH PARTITION {0}; {2}DELETE FROM {0} WHERE"
            " id % {3} = 0; UPDATE {0} SET marketing_status = 'marketing',"
            " marketing_until_next_update = false, marketing_until = NULL"
            " WHERE id % {3} = 1; ALTER TABLE {1} ATTACH PARTITION {0}"
            " FOR VALUES IN ({4})").format(name, table.name, middle, divisor,
                                           accounts)

        def run(state):
            for row in state.vanish(table, self.of_part(state, part)):
                if row.key % divisor == 1:
                    row = row.become("M")
                if row.key % divisor:
                    state.of(table)[table.identity(row)] = row
            return Outcome()
        return Statement("DETACH, ATTACH partition", sql, run, then=(
            self.mended(table, run)[-1],))

    def own_partition(self, state, table):
        """An account gets a partition of its own, or loses that."""
        name = SCHEMA + ".member_c"
        # PostgreSQL leaves the default partition's own partitions their old
        # constraints, in the memory of every session, until they change.
        told = "".join("; ALTER TABLE %s.member_rest_%d SET (fillfactor = 100)"
                       % (SCHEMA, number) for number in (0, 1))

        def drop(state):
            if not state.structure.apart:
                raise Refused("42P01")
            drop.differs = bool(state.vanish(table, self.of_part(state, "c")))
            state.structure = state.structure._replace(apart=False)
            return Outcome()

        def create(state):
            if state.structure.apart:
                raise Refused("42P07")
            if any(row.account == APART for row in state.of(table).values()):
                raise Refused("23514")
            state.structure = state.structure._replace(apart=True)
            return Outcome()

        if state.structure.apart:
            sql = "DROP TABLE " + name
            if self.chance(0.5):
                sql = "ALTER TABLE %s DETACH PARTITION %s; %s" % (
                    table.name, name, sql)
            return Statement("DROP partition", sql + told, drop,
                             then=self.mended(table, drop))
        created = Statement("CREATE partition", "CREATE TABLE %s PARTITION OF"
                            " %s FOR VALUES IN ('%s')%s" % (
                                name, table.name, APART, told), create)
        if self.chance(0.2):
            return created
        statement = self.delete_where(table, Predicate(
            "t.account = '%s'" % APART,
            lambda row, now: row.account == APART), table.name)
        statement.then = (created,)
        return statement

    def move_clock(self, session, state):
        """Forwards, from minutes to months, and often to where an update
        date is just about to pass, passes or has passed."""
        if self.chance(0.45):
            update = state.settings(self.account_name()).next_update(state.now)
            step = self.rng.choice([-MICROSECOND, timedelta(0), MICROSECOND,
                                    -timedelta(hours=1), timedelta(hours=1)])
            now = max(update + step, state.now)
            if now - state.now > timedelta(days=70):
                now = state.now + timedelta(minutes=1)
        else:
            now = state.now + self.rng.choice([
                timedelta(microseconds=self.rng.randrange(10 ** 9)),
                timedelta(hours=self.rng.randrange(1, 48)),
                timedelta(days=self.rng.randrange(1, 10)),
                timedelta(days=self.rng.randrange(1, 75))])

        def run(state):
            if now > state.now:
                state.journal.append(Moment(state.now, {
                    name: dict(rows) for name, rows in state.rows.items()}))
            state.now = now
            return Outcome()
        return Statement("SET mktcontacts.clock", "SET mktcontacts.clock = "
                         + literal(now), run)

    def job(self, session, state, halves=(0, 1)):
        """What is due, done by the job; nothing else may change by it."""
        sql = self.rng.choice([
            "CALL mkt.run()", "CALL mkt.apply_updates()",
            "CALL mkt.apply_updates(%d)"
            % self.rng.choice([1, 2, 7, 50, 1000])])

        def run(state):
            state.apply(halves)
            return Outcome()
        return Statement(sql.split("(")[0], sql, run)

    def job_beside(self, session, state):
        """The same while the other session is in a transaction: its rows may
        be left out."""
        statement = self.job(session, state, (session.half,))
        statement.settles = True
        return statement

    def repair(self, session, state):
        sql = "SELECT * FROM mkt.repair(%s)" % self.rng.choice(
            ["", literal(self.table().name)])
        return Statement("mkt.repair", sql, lambda state: Outcome(rows=[]))


class Call:
    """A call of a function that sets contacts by key."""

    def __init__(self, table, keys, account):
        self.table = table
        self.keys = keys
        self.account = account

    def arguments(self):
        arguments = ["'%s'" % self.table.name, "ARRAY[%s]::%s[]" % (
            ", ".join(map(literal, self.keys)), self.table.key_type)]
        if self.account is not None:
            arguments.append("account => " + literal(self.account))
        return arguments

    def found(self, state):
        """The contacts, and how many there are not."""
        asked = set(self.keys)
        found = [row for row in state.of(self.table).values()
                 if row.key in asked and not state.hides(row)
                 and self.account in (None, str(row.account))]
        return found, len(asked) - len(found)

    def update(self, state, action, found, wanted, changes, report):
        """Does it and tells of it.  Contacts that the user's trigger skips are
        reported somehow."""
        batch = state.begin_call(self.table)
        state.update(self.table, [(row, row._replace(**wanted))
                                  for row in changes], wanted)
        frozen = any(self.table.freezes(row) for row in found)
        state.end_call(action, None if frozen else report[:5], self.source)
        return Outcome(rows=None if frozen else [report], batch=batch)


class SetStatus(Call):
    """A call of mkt.set_marketing or mkt.set_non_marketing."""

    def __init__(self, table, function, keys, account, source):
        super().__init__(table, keys, account)
        self.function = function
        self.source = source

    def sql(self, expected):
        arguments = self.arguments()
        if expected is not None:
            arguments.append("expected => %d" % expected)
        if self.source:
            arguments.append("source_type => %s, source_name => %s"
                             % tuple(map(literal, self.source)))
        return "SELECT batch, changed, already, pending, not_found, parked" \
            " FROM mkt.%s(%s)" % (self.function, ", ".join(arguments))

    def run(self, state, expected):
        found, missing = self.found(state)
        kinds = Counter(row.state(state.now) for row in found)
        if self.function == "set_marketing":
            report = (kinds["N"] + kinds["P"], kinds["M"], 0, missing, 0)
            wanted = {"status": MARKETING, "flag": False}
        else:
            report = kinds["M"], kinds["N"], kinds["P"], missing, 0
            wanted = {"status": NON_MARKETING, "flag": False}
        if self.source:
            wanted["source_type"], wanted["source_name"] = self.source
        if expected is not None and expected != report[0]:
            raise Refused
        return self.update(state, self.function, found, wanted, [
            row for row in found if self.changes(row.state(state.now))],
            report)

    def changes(self, state):
        return state != "M" if self.function == "set_marketing" \
            else state == "M"


class RecordActivity(Call):
    """A call of mkt.record_activity (F1)."""

    def __init__(self, table, keys, account, tool, name):
        super().__init__(table, keys, account)
        self.source = tool, name

    def sql(self):
        return "SELECT batch, changed, already, pending, not_found, parked," \
            " kept FROM mkt.record_activity(%s)" % ", ".join(
                self.arguments() + ["source_type => %s, source_name => %s"
                                    % tuple(map(literal, self.source))])

    def run(self, state):
        found, missing = self.found(state)
        kinds = Counter(row.state(state.now) for row in found)
        promoted = [row for row in found if row.state(state.now) == "N"
                    and state.promotes(row.account, *self.source)]
        wanted = dict(status=MARKETING, flag=False, source_type=self.source[0],
                      source_name=self.source[1])
        report = (len(promoted), kinds["M"], kinds["P"], missing, 0,
                  kinds["N"] - len(promoted))
        return self.update(state, "record_activity", found, wanted, promoted,
                           report)


class Undo:
    """A call of mkt.undo; it changes contacts of the other session only while
    that has no transaction open."""

    def __init__(self, world, session, batch, by_name):
        self.world = world
        self.session = session
        self.batch = batch
        self.by_name = by_name

    def sql(self):
        number = 10 ** 6
        if self.batch and self.batch.label is None:
            number = self.batch.number
        elif self.batch and self.by_name:
            number = "'%s', '%s'" % (self.batch.label, self.batch.table)
        elif self.batch:
            number = "(SELECT batch FROM mkt.batch WHERE label = '%s'" \
                " AND contacts = '%s'::regclass)" % (self.batch.label,
                                                     self.batch.table)
        return "SELECT undo, restored, pending, changed_since, too_late, gone" \
            " FROM mkt.undo(%s)" % number

    def run(self, state):
        reports = state.reports_of(self.batch) if self.batch else []
        if not reports and self.batch and self.batch.label is not None:
            raise Unpredictable
        if not reports:
            raise Refused("P0002")
        table = self.world.table(self.batch.table)
        if min(item.at for item in reports) < state.since(table)[1].at:
            raise Refused("MK008")
        batch = state.begin_call(table, joins=False)
        outcomes, changes = state.undo(table, self.batch)
        done = self.update(state, table, changes)
        result = tuple(outcomes[name] for name in (
            "restored", "pending", "changed since", "too late", "gone"))
        state.end_call(self.batch, done)
        return Outcome(rows=[result], batch=batch)

    def update(self, state, table, changes):
        """The outcomes of the batch that the undo is itself."""
        pairs, already = [], 0
        for row, outcome, wanted, source in changes:
            if row.half != self.session.half and \
                    not self.world.alone(self.session):
                raise Unpredictable
            if outcome not in ("restored", "pending"):
                continue
            new = row._replace(source_type=source[0], source_name=source[1])
            if wanted:
                new = new._replace(status=MARKETING, flag=wanted == "P")
            if wanted or outcome == "pending":
                pairs.append((row, new))
            else:
                already += 1
        stored = state.update(table, pairs, [
            "status", "flag", "source_type", "source_name"])
        wanted = {table.identity(row) for row, _, wanted, _ in changes
                  if wanted}
        changed = sum(table.identity(row) in wanted for row in stored)
        return changed, already, len(stored) - changed, 0, 0


# An instant of a history as words, for infinity has no other in Python.
WORD = ("CASE WHEN isfinite(%(column)s) THEN (%(column)s AT TIME ZONE 'UTC')"
        "::text ELSE %(column)s::text END")


def word(until):
    if until is None:
        return None
    if until in (model.NEVER, model.FOREVER):
        return "infinity" if until == model.FOREVER else "-infinity"
    fraction = ".%06d" % until.microsecond if until.microsecond else ""
    return until.strftime("%Y-%m-%d %H:%M:%S") + fraction.rstrip("0")


def key_of(item):
    return item.event.key if isinstance(item, Happened) else item.key


def concerns(item, account):
    """Whether it is of that account; None stands for any.  What is forgotten
    of one account may be needed for another."""
    if account is None or isinstance(item, Forgotten):
        return True
    if isinstance(item, Happened):
        return account in (text(item.event.account),
                           text(item.event.from_account))
    return account == item.account


def nothing(state):
    """What DDL does to contacts."""
    return Outcome()


def returned(table, rows):
    return Outcome(len(rows), [table.values(row) for row in rows])


def block_statement(statement):
    """The statement as PL/pgSQL takes it."""
    sql = statement.core
    if sql.startswith("EXECUTE"):
        return "EXECUTE %s;" % literal(sql)
    if sql.startswith("SELECT"):
        return "PERFORM %s;" % sql[len("SELECT"):]
    if sql.startswith("WITH") and " SELECT (SELECT" in sql:
        return "FOR r IN %s LOOP END LOOP;" % sql
    return sql + ";"


def run_nodes(state, nodes):
    for node in nodes:
        if isinstance(node, Statement):
            node.run(state)
        else:
            run_caught(state, *node)
    return Outcome()


def run_caught(state, nodes, fails, after):
    inside = state.copy()
    try:
        run_nodes(inside, nodes)
        if fails:
            raise Refused("22012")
    except Refused:
        run_nodes(state, after)
    else:
        vars(state).update(vars(inside))


# ---------------------------------------------------------------------------
# The run
# ---------------------------------------------------------------------------

class Op(NamedTuple):
    """A step of a run: what who does, whether nobody else has a transaction
    open meanwhile, and in which kind of transaction."""
    number: int
    what: str
    half: int
    arguments: tuple
    exclusive: bool
    isolation: Optional[str]


class World:
    """The sessions, what is committed, and what has been run so far."""

    def __init__(self, seed, check_every, database="", clerk=None,
                 patience="20s", fills=True, only=None, keeps_script=False):
        self.rng = random.Random(seed)
        # Of their own, so that other checks do not make another run.
        self.when_rng = random.Random(seed)
        self.check_rng = self.forecast_rng = None
        self.seed = seed
        self.database = database
        self.patience = patience
        self.fills = fills
        self.keeps_script = keeps_script
        self.ops = []
        self.op = None
        self.called_by = {}
        # What was sent, where the steps begin there, and what was asked last.
        self.script = []
        self.begun = 0
        self.quiet = False
        self.asked = None
        self.sessions = []
        self.check_every = check_every
        self.tables = make_tables(self.rng)
        self.names = sorted({str(account) for table in self.tables
                             for account in table.accounts
                             if account is not None}) + ["nobody"]
        if only is not None:
            self.tables = [table for table in self.tables
                           if table.short_name() in only]
        self.chronicle = Chronicle()
        self.beginning = datetime(2026, 1, 10, 12, tzinfo=UTC)
        self.committed = State(self.tables, self.beginning, self.chronicle)
        self.statements = 0
        self.kinds = Counter()
        self.history = deque(maxlen=SHOWN)
        self.exclusive = None
        self.gid = 0
        # Nothing may depend on these settings.
        self.sessions = [Session(self, 0, "Asia/Tokyo", "pg_catalog"),
                         Session(self, 1, "America/New_York", "")]
        self.observer = Session(self, 2)
        self.clerk = clerk or "%s_clerk_%s" % (SCHEMA, re.sub(
            r"\W", "_", self.observer.connection.info.dbname))
        self.generator = Generator(self)
        # What a prepared transaction adds to an account with an edition makes
        # others wait who add to it, so a run has either.
        self.can_prepare = int(self.observer.query(
            "SHOW max_prepared_transactions")[0][0]) > 0
        self.prepares = self.can_prepare and seed % 2 == 1
        self.editions = [None] if self.prepares else [
            None, "starter", "tens", "dozens"]
        # Without a history single writers count in other ways; nothing of
        # what was can be asked then, nor undone.
        for table in self.tables:
            table.keeps_history = seed % 3 != 0
        self.chronicle.looks_up_batches = self.tables[0].keeps_history

    # Bookkeeping ---------------------------------------------------------

    def wrote(self, session, sql, copied, noted):
        self.asked = (session.half, self.committed.now, sql) \
            if self.quiet else None
        if self.keeps_script and noted and not self.quiet:
            self.script.append((session.half, sql, copied))

    def called(self, batch, number):
        self.chronicle.called(batch, number)
        if self.op:
            batch.op = self.op.number
            self.called_by[self.op.number] = batch

    def next_gid(self):
        self.gid += 1
        return GID + str(self.gid)

    def note(self, session, kind, sql, copied=None):
        self.statements += 1
        self.count(kind)
        self.history.append((self.statements, session.half,
                             session.structure().sql(sql), copied))

    def count(self, kind):
        self.kinds[kind] += 1

    def commit(self, session, changes):
        base = session.base or self.committed
        self.chronicle.absorb([
            self.completed(item, base) if isinstance(item, Moment) else item
            for item in changes[-1]])
        merge(self.committed, changes)
        for other in self.sessions:
            if other is not session:
                other.see(changes)

    def completed(self, moment, base):
        """With what others had committed, of which the transaction that moved
        the clock perhaps knew nothing."""
        state = self.committed.copy()
        other = base.copy()
        other.rows = moment.rows
        merge(state, difference(base, other))
        return Moment(moment.at, state.rows)

    def table(self, name):
        return next(table for table in self.tables if table.name == name)

    def alone(self, session):
        """Whether nobody else has a transaction open."""
        other = self.other(session)
        return self.exclusive is session or \
            not (session.isolation or other.isolation or other.held)

    def other(self, session):
        return self.sessions[1 - session.half]

    def acquire(self, session):
        """Whether the session may do what concerns the other's rows, until
        its transaction ends."""
        other = self.other(session)
        if other.isolation or other.held:
            return False
        self.exclusive = session
        return True

    def release(self, session):
        if self.exclusive is session:
            self.exclusive = None

    # Set-up --------------------------------------------------------------

    def set_up(self):
        """Tables with rows in them, attached; every row is non-marketing
        (F3)."""
        session = self.observer
        session.execute("CREATE EXTENSION IF NOT EXISTS mktcontacts")
        for (gid,) in session.query("SELECT gid FROM pg_prepared_xacts WHERE"
                                    " database = current_database()"
                                    " AND gid LIKE 'mkt_random_%'"):
            session.execute("ROLLBACK PREPARED " + literal(gid))
        session.execute(SCHEMAS.format(schema=SCHEMA, elsewhere=ELSEWHERE))
        for table in self.tables:
            session.execute(FIXTURE[table.short_name()].format(
                schema=SCHEMA))
            if table.triggered:
                session.execute(
                    "INSERT INTO %s.owner SELECT unnest('{%s}'::uuid[])" % (
                        SCHEMA, ",".join(map(str, table.accounts[:-1]))))
        session.follow_clock()
        if not self.keeps_script:
            self.forget_settings()
        session.execute(EDITIONS)
        for table in self.tables:
            if self.fills:
                self.fill(session, table)
            session.execute("SELECT " + table.attach())
            self.begin_history(session, table)
        session.execute(
            "DO $$ BEGIN CREATE ROLE {0}; EXCEPTION WHEN duplicate_object"
            " THEN NULL; END $$; GRANT USAGE ON SCHEMA {1}, {2} TO {0}".format(
                self.clerk, SCHEMA, ELSEWHERE))
        for table in self.tables:
            session.execute((CLERK + LATER[table.short_name()]).format(
                *HIDDEN, table=table.name, clerk=self.clerk, schema=SCHEMA))
        for session in self.sessions if self.tables[0].account_column == \
                "account_id" else []:
            session.execute(
                "PREPARE random_update (bigint[], mkt.status, boolean) AS"
                " UPDATE %s.person SET marketing_status = $2,"
                " marketing_until_next_update = $3 WHERE id = ANY ($1)"
                % SCHEMA)
        self.begun = len(self.script)

    def close(self):
        for session in self.sessions + [self.observer]:
            session.connection.close()

    def begin_history(self, session, table):
        """And a batch that both sessions may add to."""
        state = session.state().copy()
        state.journal.append(Attached(table.name, state.now, True))
        session.execute("SET mktcontacts.batch = '%s';"
                        "SELECT mkt.set_marketing('%s', '{}'::%s[]%s);"
                        "RESET mktcontacts.batch" % (
                            COMMON, table.name, table.key_type,
                            ", account => 'acme'" if table.composite else ""))
        state.session = state.session.set("batch", COMMON)
        state.begin_call(table)
        state.end_call("set_marketing", (0, 0, 0, 0, 0))
        self.commit(session, difference(self.committed, state))

    def forget_settings(self):
        """What others or an earlier run have left."""
        self.observer.execute(
            "DELETE FROM mkt.account; DELETE FROM mkt.tool_setting;"
            "DELETE FROM mkt.edition WHERE edition IN ('tens', 'dozens');"
            "DELETE FROM mkt.tool WHERE NOT shipped;" + " ".join(
                "UPDATE mkt.tool SET created_as = %s, promotes = %s"
                " WHERE tool = %s;" % tuple(map(literal, (
                    tool.created_as, tool.promotes, name)))
                for name, tool in model.TOOLS.items()))

    def fill(self, session, table):
        columns = [c for c in table.columns if c not in OURS]
        for owner in self.sessions:
            rows = self.generator.contacts(owner, self.committed, table, 20, 1)
            session.execute("INSERT INTO %s (%s) VALUES %s" % (
                table.name, ", ".join(columns),
                self.generator.values(table, rows, columns)))
            for row in rows:
                self.committed.of(table)[table.identity(row)] = row.become(
                    "N")._replace(source_type="initial_state",
                                  source_name=None)

    def tear_down(self):
        for session in self.sessions:
            session.connection.close()
        for table in self.tables:
            self.observer.execute("SELECT mkt.detach('%s')" % table.name)
        self.observer.execute("DROP SCHEMA %s, %s CASCADE; DROP ROLE %s" % (
            SCHEMA, ELSEWHERE, self.clerk))
        self.forget_settings()

    # Steps ----------------------------------------------------------------

    def do(self, what, session, *arguments):
        """Has it done, and notes it, so that it can be done again."""
        self.ops.append(Op(len(self.ops), what, session.half, arguments,
                           self.exclusive is session, session.isolation))
        return self.perform(self.ops[-1])

    def perform(self, op):
        self.op = op
        session = (self.sessions + [self.observer])[op.half]
        self.quiet = op.what in ("check", "forecast", "look")
        if self.quiet or op.what == "run":
            return getattr(self, op.what + "_of")(session, *op.arguments)
        return getattr(session, op.what)(*op.arguments)

    def run_of(self, session, statement):
        done = session.run(statement)
        if statement.settles:
            self.settle(session)
        return done

    def check_of(self, session, everything, seed):
        self.check_rng = random.Random(seed)
        self.check(session, everything)

    def forecast_of(self, session, seed):
        self.forecast_rng = random.Random(seed)
        self.compare_forecasts()

    def look_of(self, session, seed):
        self.check_rng = random.Random(seed)
        self.look()

    def again(self, op):
        """The same as in another run, as far as it makes sense now."""
        session = (self.sessions + [self.observer])[op.half]
        if (session.aborted or session.doomed) and op.what != "rollback" and \
                not (op.what == "rollback_to" and session.aborted
                     and op.arguments[0] < len(session.savepoints)):
            session.rollback()
        if not self.makes_sense(session, op):
            return
        if op.what == "run":
            statement = self.rebound(session, op.arguments[0])
            if statement is None or \
                    op.exclusive and not self.acquire(session):
                return
            op = op._replace(arguments=(statement,))
        try:
            self.perform(op)
        except Unpredictable:
            pass
        if not session.isolation and not session.held:
            self.release(session)

    def makes_sense(self, session, op):
        if self.exclusive not in (None, session) or \
                session.held != (op.what == "resolve"):
            return False
        if op.what in ("rollback_to", "release"):
            return bool(session.isolation) and \
                op.arguments[0] < len(session.savepoints)
        if op.what in ("commit", "rollback", "savepoint", "prepare"):
            return bool(session.isolation)
        if op.what == "run":
            return session.isolation in (
                None if op.exclusive else "READ COMMITTED", op.isolation)
        return op.what in ("check", "resolve") or not session.isolation and (
            op.what == "begin" or not any(
                s.isolation or s.held for s in self.sessions))

    def rebound(self, session, statement):
        """The statement with the batches of this run, or None where it has no
        such batch."""
        if isinstance(statement.made_of, Undo):
            call = self.rebound_undo(session, statement.made_of)
            return call and Statement("undo", call.sql(), call.run)
        if statement.made_of:
            nodes = [self.rebound_node(session, node)
                     for node in statement.made_of]
            return self.generator.block_of([n for n in nodes if n])
        return statement

    def rebound_node(self, session, node):
        if isinstance(node, Statement):
            return self.rebound(session, node)
        nodes, fails, after = node
        nodes, after = ([found for found in (
            self.rebound(session, inner) if isinstance(inner, Statement)
            else self.rebound_node(session, inner) for inner in some) if found]
            for some in (nodes, after))
        return nodes, fails, after

    def rebound_undo(self, session, call):
        batch = call.batch
        if batch is not None and batch.label is not None:
            name = batch.label, batch.table
            batch = session.state().labels.get(name) or \
                self.chronicle.labels.get(name)
        elif batch is not None:
            batch = self.called_by.get(batch.op)
        if batch is None and call.batch is not None:
            return None
        return Undo(self, session, batch, call.by_name)

    # Episodes: what a session does, a statement at a time ------------------

    def run(self, statements):
        """Goes on until so many statements have been run."""
        while self.statements < statements:
            session = self.exclusive or self.rng.choice(self.sessions)
            self.advance(session)
            if self.when_rng.randrange(self.check_every) == 0:
                self.check_someone()
            if not self.prepares and self.when_rng.random() < 0.01 \
                    and not any(s.isolation or s.held for s in self.sessions):
                self.do("forecast", self.observer, self.when_rng.random())

    def finish(self):
        """Ends what is open, so that everything can be compared."""
        for session in self.sessions:
            while session.episode:
                self.advance(session)
        self.do("look", self.observer, self.seed)

    def look(self):
        """At everything, in the view of all who can look without waiting."""
        for session in [self.exclusive] if self.exclusive else \
                self.sessions + [self.observer]:
            if not session.doomed and not session.aborted:
                self.check(session, everything=True)
        if self.exclusive:
            return
        state = self.observer.state()
        self.compare_batches(self.observer, state)
        for table in self.with_history(self.tables):
            keys = table.keys[0] + table.keys[1]
            self.compare_histories(self.observer, state, table, keys)
            for key in keys:
                self.compare_status(self.observer, state, table, key)

    def advance(self, session):
        session.episode = session.episode or self.begin_episode(session)
        try:
            next(session.episode)
        except StopIteration:
            session.episode = None

    def begin_episode(self, session):
        if self.rng.random() < 0.3:
            return self.transaction(session)
        return self.single(session)

    def single(self, session):
        """A statement that is its own transaction."""
        generator, state = self.generator, session.state()
        maker = self.ordinary
        if self.rng.random() < 0.3:
            if self.acquire(session):
                maker = self.rng.choices(
                    [generator.settings, generator.move_clock, generator.job,
                     generator.repair, generator.truncate, generator.attach,
                     generator.cascade, generator.tools, generator.alter,
                     generator.partitions],
                    [40, 40, 30, 5, 1, 2, 4, 20, 14, 6])[0]
            elif self.rng.random() < 0.3:
                maker = generator.job_beside
        statement = generator.possible(maker, session, state)
        if statement:
            self.do("run", session, statement)
        self.release(session)
        yield

    def settle(self, session):
        """The job leaves out rows that the other session has locked, which
        only the database knows."""
        state = session.state().copy()
        for table in self.tables:
            rows = session.query("SELECT %s FROM %s" % (
                ", ".join(table.columns), table.name))
            for row in map(table.contact, rows):
                identity = table.identity(row)
                old = self.committed.of(table).get(identity)
                if old and row != old and old.expired(self.committed.now) \
                        and row == old.become("N"):
                    state.put(table, identity, row)
        self.commit(session, difference(self.committed, state))

    def ordinary(self, session, state):
        """A statement on the session's own rows."""
        # A block would swallow a serialization failure.
        safe = session.isolation in (None, "READ COMMITTED") or \
            not session.contended()
        if safe and self.rng.random() < 0.1:
            return self.generator.predictable(
                [(2, self.generator.block), (1, self.generator.loop)],
                session, state)
        return self.generator.plain(session, state)

    def transaction(self, session):
        prepares = self.prepares and self.rng.random() < 0.2
        self.do("begin", session, self.rng.choices(
            ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"],
            [6, 3, 1])[0])
        for _ in range(self.rng.randrange(1, 11)):
            self.step(session, prepares)
            if not session.isolation:
                return
            yield
            if session.doomed:
                self.do("rollback", session)
                return
        if prepares:
            yield from self.prepare(session)
        elif self.rng.random() < 0.7:
            self.do("commit", session)
        else:
            self.do("rollback", session)
        yield

    def step(self, session, prepares):
        """One thing inside a transaction."""
        points, draw = len(session.savepoints), self.rng.random()
        if draw < 0.15:
            self.do("savepoint", session)
        elif points and draw < 0.25:
            self.do("rollback_to", session, self.rng.randrange(points))
        elif points and draw < 0.32:
            self.do("release", session, self.rng.randrange(points))
        elif not self.do("run", session, self.within(session, prepares)):
            if points and not session.doomed:
                self.do("rollback_to", session, self.rng.randrange(points))
            else:
                self.do("rollback", session)

    def within(self, session, prepares):
        """A statement for the inside of a transaction.  The clock outlives a
        prepared one, whatever becomes of it, and neither a truncated table nor
        a history that gets a partition can be looked at until it ends.
        TRUNCATE removes rows that an older snapshot does not see, and what is
        rewritten has the newest only; repairing and the job need that."""
        if self.rng.random() < 0.12 and self.acquire(session):
            generator, newest = self.generator, \
                session.isolation == "READ COMMITTED"
            makers = {generator.settings: 10, generator.tools: 5}
            if not prepares:
                makers[generator.move_clock] = 5
            if newest:
                makers[generator.repair] = 2
                makers[generator.cascade] = 1
            if newest and not prepares:
                makers[generator.job] = 3
                makers[generator.truncate] = 1
                makers[generator.attach] = 1
                makers[generator.alter] = 4
                makers[generator.partitions] = 2
            maker, = self.rng.choices(list(makers), makers.values())
            statement = generator.possible(maker, session, session.state())
            if statement:
                return statement
        return self.ordinary(session, session.state())

    def prepare(self, session):
        """Two-phase commit."""
        self.do("prepare", session)
        if not session.held:
            return
        for _ in range(self.rng.randrange(3)):
            yield
            self.do("check", self.observer, False, self.when_rng.random())
        self.do("resolve", session, self.rng.random() < 0.6)

    # Comparisons ----------------------------------------------------------

    def check_someone(self):
        """In the view of one who can look without waiting."""
        who = self.exclusive or self.when_rng.choice(
            self.sessions + [self.observer])
        if not who.doomed:
            self.do("check", who, self.when_rng.random() < 0.15,
                    self.when_rng.random())

    def check(self, session, everything=False):
        if not session.isolation:
            session.follow_clock()
        try:
            self.compare(session, session.state(), everything)
        except psycopg2.errors.SerializationFailure:
            session.gave_up()

    def compare(self, session, state, everything):
        rng = self.check_rng
        tables = self.tables if everything else [rng.choice(self.tables)]
        for table in tables:
            self.compare_rows(session, state, table)
        names = self.names if everything else rng.sample(self.names, 4)
        self.compare_counts(session, state, names)
        self.compare_defaults(session, state, names)
        self.compare_past(session, state, tables)
        if everything or rng.random() < 0.3:
            self.compare_usage(session, state)
        if everything or rng.random() < 0.5:
            same_rows("mkt.verify()", [],
                      session.query("SELECT * FROM mkt.verify()"))

    def compare_rows(self, session, state, table):
        rows = session.query(
            "SELECT %s, mkt.is_marketing(marketing_status, marketing_until)"
            " FROM %s" % (", ".join(table.columns), table.name))
        same_rows(table.name, [
            table.values(row) + [row.marketing_until() > state.now]
            for row in state.of(table).values()], rows)

    def compare_counts(self, session, state, names):
        asked, expected, contacts = [], [], state.contacts()
        for name in names:
            settings = state.settings(name)
            update = settings.next_update(state.now)
            asked += ["mkt.billable(%s)" % literal(name),
                      "mkt.next_update(%s)" % literal(name),
                      "mkt.next_renewal(%s)" % literal(name)]
            expected += [billable(contacts[name], state.now), update,
                         model.next_renewal(*settings[:3], state.now)]
            for at in self.instants(state, update):
                asked.append("mkt.billable(%s, %s)" % (literal(name),
                                                       literal(at)))
                expected.append(billable(contacts[name], at))
        answer = session.query("SELECT " + ", ".join(asked))[0]
        wrong = ["%s\nmodel: %s\ndatabase: %s" % case for case
                 in zip(asked, expected, answer) if case[1] != case[2]]
        if wrong:
            raise Mismatch("\n".join(wrong))

    def instants(self, state, update):
        rng = self.check_rng
        return [max(state.now, update - MICROSECOND), update,
                update + timedelta(days=rng.randrange(70)),
                state.now + timedelta(seconds=rng.randrange(10 ** 7))]

    def compare_defaults(self, session, state, names):
        rng, tools = self.check_rng, sorted(model.TOOLS) + TOOLS
        cases = [(rng.choice(names + [None]), rng.choice(tools),
                  rng.choice(NAMES)) for _ in range(3)]
        rows = session.query("SELECT account, tool, name, mkt.created_as("
                             "account, tool, name), mkt.promotes(account,"
                             " tool, name) FROM (VALUES %s) v (account, tool,"
                             " name)" % ", ".join(
                                 "(%s::text, %s, %s::text)" % tuple(
                                     map(literal, case)) for case in cases))
        same_rows("mkt.created_as(), mkt.promotes()", [
            case + (state.defaults.created_as(*case),
                    state.defaults.promotes(*case)) for case in cases], rows)

    # What has happened

    def compare_past(self, session, state, tables):
        rng = self.check_rng
        if rng.random() < 0.2:
            self.compare_batches(session, state)
        for table in self.with_history(tables):
            keys = sorted({row.key for row in state.of(table).values()})
            keys = rng.sample(keys, min(2, len(keys))) + [
                rng.choice(rng.choice(table.keys))]
            self.compare_histories(session, state, table, keys)
            for key in keys:
                self.compare_status(session, state, table, key)
        if self.with_history(self.tables) == self.tables:
            self.compare_past_counts(session, state)

    def with_history(self, tables):
        return [table for table in tables if table.keeps_history]

    def compare_batches(self, session, state):
        """mkt.batch; which number the database has given to a batch shows in
        its label, or in the order."""
        if not self.with_history(self.tables):
            return
        reports = state.reports()
        rows = session.query(
            "SELECT batch, contacts::text, label, action, set_by, set_at,"
            " changed, already, pending, not_found, parked, source_type,"
            " source_name FROM mkt.batch WHERE contacts IN (%s)" % ", ".join(
                "'%s'::regclass" % table.name for table in self.tables))
        known = {table.renamed(state.structure): table.name
                 for table in self.tables}
        rows = [(row[0], known[row[1]], *row[2:]) for row in rows]
        self.bind_batches(reports, rows)
        unsure = {batch.number for batch, items in reports.items()
                  if any(item.outcome is None for item in items)}
        same_rows("mkt.batch", [
            self.batch_row(batch, items) for batch, items in reports.items()
            if batch.number not in unsure],
            [row for row in rows if row[0] not in unsure])

    def bind_batches(self, reports, rows):
        free = sorted((row[0], row[1], row[2]) for row in rows
                      if row[0] not in self.chronicle.numbers)
        unbound = sorted((batch for batch in reports if batch.number is None),
                         key=lambda batch: batch.place)
        labelled = {(label, contacts): number
                    for number, contacts, label in free if label is not None}
        calls = [number for number, _, label in free if label is None]
        for batch in unbound:
            if batch.label is not None:
                number = labelled.get((batch.label, batch.table))
            else:
                number = calls.pop(0) if calls else None
            if number is None:
                raise Mismatch("a batch is not in mkt.batch: %s" % vars(batch))
            self.chronicle.bind(batch, number)

    def batch_row(self, batch, items):
        def listed(values):
            return ", ".join(sorted(set(values) - {None})) or None

        return (batch.number, batch.table, batch.label,
                listed(item.action if isinstance(item.action, str)
                       else "undo of %d" % item.action.number
                       for item in items),
                listed(item.role for item in items),
                min(item.at for item in items),
                *map(sum, zip(*(item.outcome for item in items))),
                listed(item.source[0] for item in items),
                listed(item.source[1] for item in items))

    def compare_histories(self, session, state, table, keys):
        """What mkt.history() says, and then the rows themselves, which it
        writes where a statement on a partition has left them unwritten."""
        asked = [(key, *self.compare_history(session, state, table, key))
                 for key in sorted(set(keys))]
        history, = session.query(
            "SELECT history::text FROM mkt.attachment WHERE contacts = '%s'"
            "::regclass" % table.name)[0]
        rows = defaultdict(list)
        for key, *row in session.query(
                "SELECT contact, changed_at, effective_at, %s, %s, batch,"
                " role, source_type, source_name, from_source_type,"
                " from_source_name, account::text, moved, from_account::text"
                " FROM %s WHERE contact IN (%s) ORDER BY change" % (
                    WORD % {"column": "was"}, WORD % {"column": "until"},
                    history, ", ".join(table.literal("id", key)
                                       for key, *_ in asked))):
            rows[key].append(tuple(row))
        for key, account, told in asked:
            self.same_order("history of %s in %s" % (key, table.name), [
                self.history_row(item) for _, item in told], [
                    row for row in rows[key]
                    if account is None or account in (row[10], row[12])])

    def compare_history(self, session, state, table, key):
        """Contacts of several accounts with one key have no order among each
        other: the account that is asked for, and what it tells."""
        told, account = state.told(table, key), None
        if any(item.batch and item.batch.number is None for _, item in told):
            self.compare_batches(session, state)
        if table.composite or self.check_rng.random() < 0.2:
            account = str(self.check_rng.choice(table.accounts)
                          or table.accounts[0])
            told = [place for place in told if concerns(place[1], account)]
        ends = sorted(told + self.ends(state, table, told),
                      key=lambda place: place[0])
        self.same_order("mkt.history(%s, %s, %s)" % (table.name, key, account), [
            self.told_row(item) for _, item in ends], session.query(
                "SELECT changed_at, effective_at, change, status::text, until,"
                " account_after, source_type, source_name, role, batch"
                " FROM mkt.history('%s', %s%s)" % (
                    table.name, literal(str(key)), "" if account is None else
                    ", account => " + literal(account))))
        return account, told

    def ends(self, state, table, told):
        """When the table was emptied of a contact that was there, as far as
        its history goes."""
        found = []
        for place in state.emptied(table):
            before = [item for at, item in told if at < place[0]]
            if before and before[-1].event.until is not None:
                found.append(place)
        return found

    def past(self, state):
        """An instant that is mostly gone by, often one at which the clock has
        stood or right before it."""
        rng, moments = self.check_rng, self.chronicle.moments
        start = self.beginning
        if moments and rng.random() < 0.6:
            at = rng.choice(moments[-rng.choice([5, 1000]):]).at
            return at - rng.choice([timedelta(0), MICROSECOND])
        seconds = (state.now - start).total_seconds() + 1
        at = start + timedelta(seconds=rng.randrange(int(seconds * 1.1)))
        if rng.random() < 0.4:
            return state.settings(rng.choice(self.names)).next_update(at)
        return at

    def compare_status(self, session, state, table, key):
        """mkt.status_at()."""
        at, account = self.past(state), None
        if table.composite or self.check_rng.random() < 0.2:
            account = str(self.check_rng.choice(table.accounts)
                          or table.accounts[0])
        if at < state.since(table)[1].at:
            return
        expected = self.status(state, table, key, account, at)
        sql = "SELECT mkt.status_at('%s', %s, %s%s)::text" % (
            table.name, literal(str(key)), literal(at), "" if account is None
            else ", account => " + literal(account))
        answer, = session.query(sql)[0]
        if answer != expected:
            raise Mismatch("\n".join(
                [sql, "model: %s" % expected, "database: %s" % answer,
                 "the history:"] + [shown(item) for _, item in state.told(
                     table, key, forgotten=True) + state.emptied(table)]))

    def status(self, state, table, key, account, at):
        """What the history must say.  Where it has seen all, that is whether
        the contact was marketing."""
        def find(rows):
            return next((row for row in rows[table.name].values()
                         if row.key == key
                         and account in (None, text(row.account))), None)

        row = find(state.rows_at(at))
        status = row and (MARKETING if row.marketing_until() > at
                          else NON_MARKETING)
        if at >= state.now:
            return status
        told = [(place, item) for place, item in state.told(
            table, key, forgotten=True) if concerns(item, account)]
        said = model.status_at(
            [(place, item.event) for place, item in state.told(table, key)
             if concerns(item, account)],
            [(place, item.at) for place, item in state.emptied(table)],
            find(state.rows), at, account)
        if all(isinstance(item, Happened) for _, item in told) and \
                not self.lost(state, table, told, at) and \
                MARKETING in (said, status) and said != status:
            raise Mismatch("\n".join(
                ["at %s contact %s of %s in %s was %s; its history says %s:"
                 % (at, key, account, table.name, status, said)]
                + [shown(item) for _, item in told + state.emptied(table)]))
        return said

    def lost(self, state, table, told, at):
        """Whether it may have been marketing when the table was attached, and
        left no trace of it when the table was emptied."""
        first = min([place for place, _ in told], default=2 * OWN)
        return not state.since(table)[1].first and any(
            place < first and at < item.at
            for place, item in state.emptied(table))

    def compare_past_counts(self, session, state):
        """mkt.billable() at an instant gone by."""
        rng, asked, expected = self.check_rng, [], []
        for _ in range(3):
            name, at = rng.choice(self.names), self.past(state)
            begun = [state.since(table)[1] for table in self.tables
                     if table.account_column or name in table.accounts]
            sql = "mkt.billable(%s, %s)" % (literal(name), literal(at))
            if any(at < since.at and not since.first for since in begun):
                if at < state.now and not session.isolation:
                    self.refused(session, "SELECT " + sql, "MK008")
                continue
            asked.append(sql)
            expected.append(sum(
                text(row.account) == name and row.marketing_until() > at
                for rows in (state.rows_at(at) or {}).values()
                for row in rows.values()))
        if not asked:
            return
        answer = session.query("SELECT " + ", ".join(asked))[0]
        if list(answer) != expected:
            raise Mismatch("%s\nmodel: %s\ndatabase: %s"
                           % (asked, expected, answer))

    def refused(self, session, sql, code):
        try:
            session.cursor.execute(session.named(sql))
        except psycopg2.Error as error:
            if error.pgcode == code:
                return
            raise Mismatch("%s\ndatabase: %s" % (sql, told(error))) from None
        raise Mismatch("%s\nmodel: error %s\ndatabase: no error"
                       % (sql, code))

    def history_row(self, item):
        event, batch = item.event, item.batch
        return (event.changed_at, event.effective_at, word(event.was),
                word(event.until), batch and batch.number, item.role,
                *event.source, *event.from_source, text(event.account),
                event.moved, text(event.from_account))

    def told_row(self, item):
        if isinstance(item, Emptied):
            return (item.at, item.at, "table emptied", None, None, None,
                    *item.source, item.role, None)
        event, batch = item.event, item.batch
        until = event.counts_until if event.until in (
            None, model.NEVER, model.FOREVER) else event.until
        return (event.changed_at, event.effective_at, event.words(),
                event.status(), until, text(event.account), *event.source,
                item.role, batch and batch.number)

    def same_order(self, what, expected, actual):
        if list(expected) != list(actual):
            raise Mismatch("\n".join(
                [what, "model:"] + list(map(shown, expected))
                + ["database:"] + list(map(shown, actual))))

    def compare_usage(self, session, state):
        contacts = state.contacts()
        names = {name for name, rows in contacts.items() if any(
            not isinstance(row, model.Deleted) or row.until > state.now
            for row in rows)}.union(state.accounts)
        rows = session.query(
            "SELECT account, edition, billable, non_marketing, pending,"
            " deleted, total, next_update, billable_after_update"
            " FROM mkt.usage")
        same_rows("mkt.usage", [
            self.usage(state, name, contacts[name]) for name in names], rows)

    def usage(self, state, name, contacts):
        settings = state.settings(name)
        there = [row for row in contacts if not isinstance(row, model.Deleted)]
        states = Counter(row.state(state.now) for row in there)
        update = settings.next_update(state.now)
        count = billable(contacts, state.now)
        return (name, settings.edition, count, states["N"], states["P"],
                count - states["M"] - states["P"], len(there), update,
                billable(contacts, update))


    def compare_forecasts(self):
        """What mkt.forecast() says is what is when the clock has run on and
        nothing else has changed, whether the job has run or not (P2).  All of
        it is rolled back."""
        session, rng = self.observer, self.forecast_rng
        session.follow_clock()
        session.execute("BEGIN")
        if rng.random() < 0.7:
            session.execute(
                "UPDATE mkt.account SET commitment = 'monthly', started_on ="
                " '2025-03-%d', edition = '%s' WHERE hashtext(account) %% 3"
                " <> 0" % (rng.choice([5, 20, 31]),
                           rng.choice(["tens", "dozens"])))
            self.set_some(session, "marketing", 0.8)
            session.execute("CALL mkt.run()")
            self.set_some(session, "non_marketing", 0.6)
            self.request_downgrades(session)
        session.execute("CALL mkt.run()")
        bought = [name for name, in session.query(
            "SELECT account FROM mkt.account WHERE edition IS NOT NULL")]
        names = sorted({rng.choice(self.names), *rng.sample(
            sorted(bought), min(2, len(bought)))})
        dates = rng.choice([1, 2, 3, 6, 14])
        told = {name: self.forecast(session, name, dates) for name in names}
        instants = sorted({row[0] for rows in told.values() for row in rows})
        before = {name: self.now(session, name) for name in names}
        seen = {}
        for at in instants[:dates]:
            now = self.somewhen(at, instants)
            session.execute("SET LOCAL mktcontacts.clock = " + literal(now))
            if at in self.renewals(told) or rng.random() < 0.5:
                session.execute("CALL mkt.run()")
            for name, rows in told.items():
                row = [row for row in rows if row[0] <= now][-1:]
                if not row or row == seen.get(name):
                    continue
                seen[name] = row
                self.compare_forecast(session, name, now, row[0], rows, before)
        self.count("(forecasts)")
        self.kinds["(tiers that fall)"] += sum(
            (rows[-1][4] or 0) < (before[name][1] or 0)
            for name, rows in told.items())
        session.execute("ROLLBACK")

    def set_some(self, session, status, part):
        for table in self.tables[:2]:
            session.execute(
                "UPDATE %s SET marketing_status = '%s' WHERE id IN (%s)" % (
                    table.name, status, ", ".join(
                        literal(key) for key in table.keys[0] + table.keys[1]
                        if self.forecast_rng.random() < part)))

    def request_downgrades(self, session):
        """Of those who may, some ask for the tier below."""
        session.query(
            "SELECT mkt.request_downgrade(a.account, d.fitting)"
            " FROM mkt.account AS a, mkt.account_quote(a.account,"
            " mkt.billable(a.account)) AS q,"
            " mkt.downgrade_terms(a.account, q.lower_tier) AS d"
            " WHERE d.fitting < d.tier AND NOT d.too_late"
            " AND hashtext(a.account || %s) %% 3 <> 0"
            % literal(str(self.statements)))

    def forecast(self, session, name, dates):
        return session.query(
            "SELECT update_at, renewal, to_non_marketing, billable, tier,"
            " price, currency FROM mkt.forecast(%s, %d)"
            % (literal(name), dates))

    def now(self, session, name):
        return session.query(
            "SELECT mkt.billable(%s), u.tier, u.price, u.currency"
            " FROM (SELECT) AS one LEFT JOIN mkt.usage AS u ON u.account = %s"
            % (literal(name), literal(name)))[0]

    def renewals(self, told):
        return {row[0] for rows in told.values() for row in rows if row[1]}

    def somewhen(self, at, instants):
        """At an instant or later on its day, on which prices are the same."""
        later = [other - MICROSECOND for other in instants if other > at]
        if self.forecast_rng.random() < 0.5:
            return at
        return min(later + [at + timedelta(hours=5)])

    def compare_forecast(self, session, name, now, row, rows, before):
        actual = self.now(session, name)
        ended = before[name][0] - sum(r[2] for r in rows if r[0] <= now)
        expected = (row[3], *row[4:])
        if name not in self.committed.accounts:
            expected = (row[3], None, None, None)
        if actual != expected or actual[0] != ended:
            raise Mismatch("mkt.forecast() of %s for %s\n%s\ndatabase at %s"
                           "\n%s\nforecast\n%s" % (
                               name, row[0], shown(expected), now,
                               shown(actual), "\n".join(map(shown, rows))))


def main():
    options = arguments()
    blocks = (options.statements + 999) // 1000
    print("1..%d" % (blocks + 1))
    print("# to replay: test/random.py --seed %d --statements %d"
          " --check-every %d" % (options.seed, options.statements,
                                 options.check_every))
    world = World(options.seed, options.check_every)
    started, block = time.time(), 1
    try:
        world.set_up()
        for block in range(1, blocks + 1):
            world.run(min(block * 1000, options.statements))
            report("ok", block, "statements up to %d" % world.statements)
        block += 1
        world.finish()
        report("ok", block, "rows and counts at the end")
    except Exception as failure:
        report("not ok", block, "seed %d, statement %d"
               % (options.seed, world.statements))
        explain(world, failure)
        if options.shrink and world.ops:
            print_script(world, failure, options)
        return 1
    if not world.can_prepare:
        print("# max_prepared_transactions is 0: nothing was prepared")
    print("# %.0f s: %s" % (time.time() - started, ", ".join(
        "%s %d" % kind for kind in sorted(world.kinds.items()))))
    if not options.keep:
        world.tear_down()
    return 0


def arguments():
    parser = argparse.ArgumentParser(
        description="Random statements against a model.")
    parser.add_argument("--statements", type=int, default=20000)
    parser.add_argument("--seed", type=int,
                        default=1)
    parser.add_argument("--check-every", type=int, default=6, metavar="N",
                        help="compare after every Nth statement, on average;"
                        " 1 finds the statement that is to blame")
    parser.add_argument("--shrink", type=int, default=600,
                        metavar="SECONDS", help="how long to look for a short"
                        " script that fails, too; 0: not at all")
    parser.add_argument("--keep", action="store_true",
                        help="leave the tables at the end")
    return parser.parse_args()


def report(result, number, what):
    print("%s %d - %s" % (result, number, what))
    sys.stdout.flush()


def print_script(world, failure, options):
    """The shortest script that is found, in a database of its own."""
    server, = psycopg2.connect(""),
    server.autocommit = True
    name = server.info.dbname + "_shrink"
    world.close()

    def make(fills, only):
        with server.cursor() as cursor:
            cursor.execute('DROP DATABASE IF EXISTS "%s"' % name)
            cursor.execute('CREATE DATABASE "%s"' % name)
        return World(options.seed, options.check_every, "dbname='%s'" % name,
                     world.clerk, "2s", fills, only, True)

    shrinker = shrink.Shrinker(make, Mismatch, world.ops, failure,
                               options.shrink)
    try:
        found = shrinker.shrink()
    except psycopg2.Error as error:
        print("# could not be made shorter: %s" % told(error))
        return
    if not found:
        print("# %d steps did not fail when they were done again"
              % len(world.ops))
        return
    print("# fails with %d of %d steps, too (%d runs):"
          % (len(shrinker.best), len(world.ops), shrinker.tried))
    for line in shrinker.lines():
        print(line)
    with server.cursor() as cursor:
        cursor.execute('DROP DATABASE IF EXISTS "%s"' % name)


def explain(world, failure):
    """Everything that is needed to see what went wrong."""
    lines = []
    if isinstance(failure, Mismatch):
        lines += str(failure).split("\n")
    else:
        lines += traceback.format_exc().split("\n")
    lines.append("the clock is at %s; the last statements:"
                 % world.committed.now)
    for number, half, sql, copied in world.history:
        lines.append("%d, session %d: %s" % (number, half, sql))
        lines += ["    " + line for line in (copied or "").split("\n") if line]
    for line in lines:
        print("# " + line)


if __name__ == "__main__":
    sys.exit(main())
