#!/usr/bin/python3
"""Compares closed periods with a calculation of its own (rules B2 to B6, B11):
random histories of 18 months, of accounts that exceed tiers, change, lose and
get back editions, ask for lower tiers, are renewed, get other names, are deleted
and come again, with several changes at one instant and at update dates.

Each history happens three times: mkt.run() closes periods at once, every few
weeks, or only at the end.

 - Edition, tier, what is billed, charge and closing count of every period are
   those of the calculation, in all three.
 - Over a whole term, the invoices add up to the days' shares of the highest price
   that the account had until that day in the term, but for rounding.
 - Tier and price of mkt.usage and the draft of mkt.invoice just before an update
   date are what is closed; count, tier and price of mkt.forecast are what is then.

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
import calendar
import random
from collections import defaultdict
from datetime import date, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

import psycopg2

SHOWN = 5
BEGIN = datetime(2026, 1, 10, 12, tzinfo=timezone.utc)
END = datetime(2027, 7, 20, 12, tzinfo=timezone.utc)
ZONES = ["UTC", "Europe/Oslo", "Pacific/Auckland", "America/Los_Angeles"]
# included, increment, base, price of an increment: the larger may be cheaper
EDITIONS = {"bl small": (10, 10, 100, 10), "bl middle": (20, 20, 200, 7),
            "bl large": (100, 100, 300, 90)}

PERIODS = """
SELECT p.account, p.ends_at, p.starts_at, p.edition, p.tier, p.billed_edition,
       p.billed_tier, p.charge, p.closing
FROM mkt.period AS p WHERE p.account LIKE %s
"""
BEFORE = """
SELECT u.account, u.next_update, u.tier, u.price, f.billable, f.tier, f.price,
       (SELECT array_agg(ROW(line, description, amount)::text ORDER BY line)
        FROM mkt.invoice(u.account))
FROM mkt.usage AS u, mkt.forecast(u.account, 1) AS f
WHERE u.account LIKE %s AND u.next_update = ANY (%s)
"""
NOW = """
SELECT billable, tier, price FROM mkt.usage WHERE account = %s
"""
CLOSED = """
SELECT tier, price,
       (SELECT array_agg(ROW(line, description, amount)::text ORDER BY line)
        FROM mkt.period_line AS l
        WHERE l.account = p.account AND l.ends_at = p.ends_at)
FROM mkt.period AS p WHERE account = %s AND ends_at = %s
"""


def tier_of(edition, n):
    included, increment, _, _ = EDITIONS[edition]
    return included + increment * max(0, -(-(n - included) // increment))


def lines_of(edition, tier):
    included, increment, base, step = EDITIONS[edition]
    return [base, step * ((tier - included) // increment)]


def price_of(commitment):
    return sum(lines_of(*commitment))


def cents(amount):
    return Decimal(amount).quantize(Decimal("0.01"), ROUND_HALF_UP)


def month_day(year, month, day):
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    return date(year, month, min(day, calendar.monthrange(year, month)[1]))


class Account:
    """What happens to one, and the periods that follow from it."""

    def __init__(self, name, rng, at, edition):
        self.name = name
        self.created = self.start = self.touched = at
        self.monthly = rng.random() < 0.4
        self.started = date(2025, 1, 1) + timedelta(rng.randrange(360))
        self.zone = rng.choice(ZONES)
        self.sandbox = rng.random() < 0.05
        self.billable = self.pending = 0
        self.periods = []
        self.term = self.term_of(at)
        self.terms = []             # whole ones: last level and sum of levels
        self.edition = self.tier = self.request = None
        self.new_term()
        if edition:
            self.edition = edition
            self.tier = tier_of(edition, 0)

    def new_term(self):
        self.had = []               # commitments that it left in this term
        self.lost = None            # the one that it had when it lost its edition
        self.charges = []
        self.levels = {}            # from a day on, the highest price
        self.whole = self.edition is not None

    def day(self, at):
        return at.astimezone(ZoneInfo(self.zone)).date()

    def midnight(self, day):
        local = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.zone))
        return local.astimezone(timezone.utc)

    def term_of(self, at):
        """First day, and the one on which the next term begins."""
        first, n = self.started, 1
        while True:
            next = (month_day(self.started.year, self.started.month + n,
                              self.started.day) if self.monthly else
                    month_day(self.started.year + n, self.started.month,
                              self.started.day))
            if self.midnight(next) > at:
                return first, next
            first, n = next, n + 1

    def next_update(self, at):
        renewal = self.midnight(self.term_of(at)[1])
        if self.monthly:
            return renewal
        today = self.day(at)
        return min(renewal,
                   self.midnight(month_day(today.year, today.month + 1, 1)))

    def commitment(self):
        return (self.edition, self.tier) if self.edition else None

    def advance(self, at):
        """Ends the periods that are over at an instant; what happens at their
        ends comes after."""
        while self.next_update(self.start) <= at:
            end = self.next_update(self.start)
            self.billable -= self.pending
            self.pending = 0
            self.end_period(end)
            if self.day(end) == self.term[1]:
                self.renew()

    def end_period(self, end):
        first, last = self.day(self.start), self.day(end)
        billed = self.commitment()
        if self.had and not self.sandbox:
            billed = self.had[0]
        lines = []
        if self.edition:
            days = (last - first).days
            of_days = ((self.term[1] - self.term[0]).days if self.monthly else
                       calendar.monthrange((last - timedelta(1)).year,
                                           (last - timedelta(1)).month)[1])
            lines = [cents(Decimal(a * days) / of_days)
                     for a in lines_of(*billed)]
        lines += [c for c in self.charges if c]
        if self.sandbox:
            lines = [Decimal(0)] if self.edition else []
        self.periods.append((
            self.name, end, self.start, self.edition, self.tier,
            billed[0] if self.edition else None,
            billed[1] if self.edition else None,
            sum(lines) if lines else None, self.billable))
        self.start, self.charges = end, []

    def renew(self):
        if self.whole and self.edition and not self.sandbox:
            first, last = self.term
            level = price_of(self.had[0] if self.had else self.commitment())
            total = Decimal(0)
            for day in range((last - first).days):
                level = self.levels.get(first + timedelta(day), level)
                total += level
            self.terms.append((self.name, first, last, self.midnight(first),
                               self.midnight(last), total
                               * (1 if self.monthly else 12)
                               / (last - first).days))
        if self.edition and self.request is not None \
                and self.request >= self.billable:
            self.tier = min(self.tier, tier_of(self.edition, self.request))
        self.request = None
        self.new_term()
        self.term = self.term_of(self.start)

    def change(self, at, edition, tier, before):
        """It had a commitment before and has another now (B5)."""
        self.edition, self.tier = edition, tier
        self.had.append(before)
        days = (self.term[1] - self.day(at)).days
        paid = max(price_of(c) for c in self.had)
        price = price_of((edition, tier))
        self.levels[self.day(at)] = max(paid, price)
        self.charges.append(cents(
            Decimal(max(0, price - paid) * (1 if self.monthly else 12) * days)
            / (self.term[1] - self.term[0]).days))

    def add(self, at, n):
        self.billable += n
        if self.edition and self.billable > self.tier:
            self.change(at, self.edition, tier_of(self.edition, self.billable),
                        self.commitment())

    def set_edition(self, at, edition):
        before = self.commitment() or self.lost
        if edition == self.edition:
            return
        if edition is None:
            self.lost, self.edition, self.tier = before, None, None
            self.whole = False
        elif before:
            self.change(at, edition,
                        tier_of(edition, max(self.billable, before[1])), before)
            self.lost = None
        else:
            self.edition, self.tier = edition, tier_of(edition, self.billable)

    def rename(self, at, name):
        self.end_period(at)
        self.name = name
        self.whole = False          # its invoices have two names


class History:
    """Statements, each with its instant, and what they mean."""

    def __init__(self, seed, accounts, events):
        self.rng = random.Random(seed)
        self.statements = []
        self.accounts = []          # all that ever were
        self.live = []
        self.boundaries = set()
        self.names = self.ids = 0
        for _ in range(accounts):
            self.create(BEGIN)
        at = BEGIN
        while at < END - timedelta(1):
            if self.rng.random() > 0.15:
                at += timedelta(seconds=self.rng.randrange(
                    2 * int((END - BEGIN).total_seconds() / events)))
            account = self.rng.choice(self.live)
            if self.rng.random() < 0.05:
                at = max(at, account.next_update(at))
            if at >= END:
                break
            self.event(at, account)
        for account in self.live:
            self.advance(account, END)

    def say(self, at, *statements):
        self.statements.append((at, statements))

    def advance(self, account, at):
        account.advance(at)
        self.boundaries.update(p[1] for p in account.periods)

    def create(self, at, name=None):
        rng = self.rng
        if name is None:
            self.names += 1
            name = "w-a%d" % self.names
        account = Account(name, rng, at,
                          rng.choice([None] + 3 * list(EDITIONS)))
        self.say(at, "INSERT INTO mkt.account (account, edition, commitment,"
                 " started_on, time_zone, sandbox) VALUES ('%s', %s, '%s', '%s',"
                 " '%s', %s)" % (name, literal(account.edition),
                                 "monthly" if account.monthly else "annual",
                                 account.started, account.zone,
                                 account.sandbox))
        self.accounts.append(account)
        self.live.append(account)

    def event(self, at, account):
        rng = self.rng
        name = account.name
        kind = rng.random()
        if kind > 0.93 and at == account.touched:
            return              # what was done then is the next period's
        account.touched = at
        self.advance(account, at)
        if kind < 0.40:
            n = min(rng.choice([1, 3, 8, 8, 20, 60]), 500)
            self.ids += n
            self.say(at, "INSERT INTO contact (id, account, marketing_status)"
                     " SELECT i, '%s', 'marketing' FROM generate_series(%d, %d)"
                     " AS i" % (name, self.ids - n + 1, self.ids))
            account.add(at, n)
        elif kind < 0.55:
            n = min(rng.choice([2, 10, 50]), account.billable - account.pending)
            self.say(at, "UPDATE contact SET marketing_status = 'non_marketing'"
                     " WHERE id IN (SELECT id FROM contact WHERE account = '%s'"
                     " AND marketing_status = 'marketing' AND"
                     " marketing_until IS NULL ORDER BY id LIMIT %d)"
                     % (name, n))
            account.pending += n
        elif kind < 0.65:
            n = min(rng.choice([2, 10, 50]), account.billable - account.pending)
            self.say(at, "DELETE FROM contact WHERE id IN (SELECT id FROM"
                     " contact WHERE account = '%s' AND marketing_status ="
                     " 'marketing' AND marketing_until IS NULL"
                     " ORDER BY id LIMIT %d)" % (name, n))
            account.billable -= n
        elif kind < 0.83:
            edition = rng.choice([None] + 2 * list(EDITIONS))
            self.say(at, "UPDATE mkt.account SET edition = %s WHERE account ="
                     " '%s'" % (literal(edition), name))
            account.set_edition(at, edition)
        elif kind < 0.93:
            self.ask_for_less(at, account)
        elif kind < 0.97:
            self.names += 1
            account.rename(at, "w-a%d" % self.names)
            self.boundaries.add(at)
            self.say(at, "UPDATE mkt.account SET account = '%s' WHERE account ="
                     " '%s'" % (account.name, name),
                     "UPDATE contact SET account = '%s' WHERE account = '%s'"
                     % (account.name, name))
        else:
            account.end_period(at)
            self.boundaries.add(at)
            self.live.remove(account)
            self.say(at, "DELETE FROM contact WHERE account = '%s'" % name,
                     "DELETE FROM mkt.account WHERE account = '%s'" % name)
            if rng.random() < 0.5:
                self.create(at + timedelta(hours=1), name)
            else:
                self.create(at + timedelta(hours=1))

    def ask_for_less(self, at, account):
        if not account.edition or account.monthly and self.rng.random() < 0.5 \
                or (account.term[1] - account.day(at)).days < 10:
            return
        included, increment, _, _ = EDITIONS[account.edition]
        tiers = range(included, account.tier, increment)
        if not tiers:
            return
        account.request = self.rng.choice(tiers)
        self.say(at, "SELECT mkt.request_downgrade('%s', %d)"
                 % (account.name, account.request))


def literal(text):
    return "NULL" if text is None else "'%s'" % text


class World:
    """A history that happens, with mkt.run() at certain instants."""

    def __init__(self, connection, history, name):
        self.cursor = connection.cursor()
        self.history = history
        self.name = name
        self.problems = []

    def query(self, query, *values):
        self.cursor.execute(query, values or None)
        return self.cursor.fetchall()

    def live(self, runs, looks=()):
        steps = [(at, 0, s) for at, s in self.history.statements]
        steps = sorted([(at, 2, None) for at in runs]
                       + [(at - timedelta(seconds=1), 1, at) for at in looks]
                       + steps, key=lambda s: s[:2])
        self.before = {}
        for at, kind, what in steps:
            self.cursor.execute("SELECT set_config('mktcontacts.clock', %s,"
                                " false)", [at.isoformat()])
            if kind == 0:
                statements = [s.replace("'w-", "'%s-" % self.name)
                              for s in what]
                self.cursor.execute("BEGIN; %s; COMMIT" % "; ".join(statements))
            elif kind == 1:
                self.look(what)
            else:
                self.cursor.execute("CALL mkt.run()")
                self.compare(at)

    def look(self, at):
        for row in self.query(BEFORE, self.name + "-%", [at]):
            self.before[row[0]] = row[1:]

    def compare(self, at):
        for account, (end, tier, price, *forecast, draft) in self.before.items():
            closed = self.query(CLOSED, account, end)
            if closed != [(tier, price, draft)]:
                self.problems.append("%s until %s: draft %s, closed %s" % (
                    account, end, (tier, price, draft), closed))
            now = self.query(NOW, account)
            if end == at and now and list(now[0]) != forecast:
                self.problems.append("%s at %s: forecast %s, now %s" % (
                    account, end, forecast, now))
        self.before = {}

    def periods(self):
        return {(r[0].replace(self.name, "w", 1), r[1].astimezone(timezone.utc)):
                (r[2].astimezone(timezone.utc),) + r[3:]
                for r in self.query(PERIODS, self.name + "-%")}

    def end(self):
        self.cursor.execute("TRUNCATE contact; DELETE FROM mkt.account")
        self.cursor.execute("CALL mkt.run()")


def check(connection, seed, accounts, events):
    """What is wrong, and counts of what there was."""
    history = History(seed, accounts, events)
    expected = {p[:2]: p[2:] for a in history.accounts for p in a.periods
                if p[2] < p[1]}
    problems = []
    rng = random.Random(seed)
    changed = {at for at, _ in history.statements}
    at_once = sorted(history.boundaries | {END})
    # where nothing happens at the instant itself, it is as foretold
    looks = [at for at in at_once if at not in changed
             and at - timedelta(seconds=1) > BEGIN]
    worlds = [("once%d" % seed, at_once, rng.sample(looks, len(looks) // 3)),
              ("weeks%d" % seed, [BEGIN + timedelta(days=47 * n)
                                  for n in range(1, 12)] + [END], ()),
              ("late%d" % seed, [END], ())]
    for name, runs, looks in worlds:
        world = World(connection, history, name)
        world.live(runs, looks)
        problems += world.problems
        found = world.periods()
        world.end()
        for key in sorted(set(expected) | set(found)):
            if expected.get(key) != found.get(key):
                problems.append("%s %s until %s: expected %s, found %s" % (
                    name, *key, expected.get(key), found.get(key)))
    problems += add_up(history, found)
    return problems, history, expected


def add_up(history, found):
    """Over whole terms."""
    for account in history.accounts:
        for name, first, last, begins, ends, total in account.terms:
            if begins < account.created:
                continue
            paid = [p[5] for (n, end), p in found.items()
                    if n == name and p[0] >= begins and end <= ends]
            if abs(sum(paid) - total) > Decimal("0.05") * len(paid):
                yield "%s from %s to %s: paid %s, which is not %s" % (
                    name, first, last, sum(paid), total)


def prepare(connection):
    cursor = connection.cursor()
    cursor.execute("SET client_min_messages = warning;"
                   "CREATE EXTENSION IF NOT EXISTS mktcontacts;"
                   "SET timezone = 'UTC'; SET mktcontacts.clock = '%s';"
                   "CREATE TABLE contact (id integer, account text,"
                   " PRIMARY KEY (id));"
                   "SELECT mkt.attach('contact', account_column => 'account')"
                   % BEGIN.isoformat())
    for edition, (included, increment, base, step) in EDITIONS.items():
        cursor.execute("INSERT INTO mkt.edition (edition) VALUES (%s)",
                       [edition])
        cursor.execute("INSERT INTO mkt.increment (edition, included, increment)"
                       " VALUES (%s, %s, %s)", [edition, included, increment])
        cursor.execute("INSERT INTO mkt.price (edition, currency, base,"
                       " per_increment) VALUES (%s, 'EUR', %s, %s)",
                       [edition, base, step])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--histories", type=int, default=3)
    parser.add_argument("--accounts", type=int, default=9)
    parser.add_argument("--events", type=int, default=350)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    connection = psycopg2.connect("")
    connection.autocommit = True
    prepare(connection)
    counts = defaultdict(int)
    failed = False
    print("1..%d" % (options.histories + 1), flush=True)
    for n in range(options.histories):
        problems, history, expected = check(
            connection, options.seed + n, options.accounts, options.events)
        failed |= bool(problems)
        print("%sok %d - a history of %d statements, seed %d" % (
            "not " if problems else "", n + 1, len(history.statements),
            options.seed + n), flush=True)
        for problem in problems[:SHOWN]:
            print("# " + problem)
        if problems:
            print("# %d problems" % len(problems))
        counts["periods"] += len(expected)
        counts["billed by what was before"] += sum(
            p[3:5] != p[1:3] for p in expected.values())
        counts["another edition billed"] += sum(
            p[3] != p[1] for p in expected.values())
        counts["whole terms"] += sum(len(a.terms) for a in history.accounts)
    enough = all(counts.values())
    print("%sok %d - %s" % ("" if enough else "not ", options.histories + 1,
                            ", ".join("%s: %d" % c for c in counts.items())))
    sys.exit(failed or not enough)


main()
