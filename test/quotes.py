#!/usr/bin/python3
"""Compares tiers and quotes with a calculation of its own, in exact decimal
arithmetic (rules B1 and B6): for 100,000 random price tables at a random count
or at a boundary, for 2,000 of them around every boundary of tiers and bands,
around the days on which prices change, and for the bare tier arithmetic to the
ends of bigint.

A price table is a row of mkt.price with its bands: in one of the two modes, in
a currency with 0, 2, 3 or 4 decimals, valid for a time of its own.  The tables
are written by COPY, asked by few queries, and rolled back.

Connects by PGHOST, PGPORT, PGDATABASE and PGUSER, creates the extension where
it is missing and prints TAP.
"""

import os
import sys

# Not before the standard library: a neighbour of this file is named random.py.
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [p for p in sys.path if os.path.abspath(p) != HERE]
sys.dont_write_bytecode = True

import argparse
import decimal
import io
import random
from collections import namedtuple
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

import psycopg2

decimal.setcontext(decimal.Context(prec=100, traps=[decimal.InvalidOperation]))

EDITIONS = 12500
EVERY_BOUNDARY = 2000           # so many price tables are asked everywhere
CURRENCIES = {"JPY": 0, "EUR": 2, "KWD": 3, "CLF": 4}
SHOWN = 10
MAX = 2 ** 63 - 1

Size = namedtuple("Size", "valid_from valid_to included increment")
Price = namedtuple("Price", "edition currency valid_from valid_to mode base"
                            " bands")
Question = namedtuple("Question", "price size day contacts")

QUOTES = """
SELECT a.id, q.tier, q.price, q.line, q.quantity, q.unit_price, q.amount
FROM asked AS a, mkt.quote(a.edition, a.contacts, a.currency, a.day) AS q
ORDER BY a.id, q.line
"""
TOTALS = """
SELECT id, mkt.tier(edition, contacts, day),
       mkt.price(edition, contacts, currency, day)
FROM asked ORDER BY id
"""
PRICES = """
SELECT id, mkt.price(edition, contacts, currency, day) FROM asked ORDER BY id
"""


def main():
    rng = random.Random(options().seed)
    connection = psycopg2.connect("")
    cursor = connection.cursor()
    cursor.execute("SET client_min_messages = warning; SET jit = off;"
                   "SET statement_timeout = '1h';"
                   "CREATE EXTENSION IF NOT EXISTS mktcontacts")
    sizes, prices = make_tables(rng)
    checks = [
        ("the tables are stored", lambda: store(cursor, sizes, prices)),
        ("every price table", lambda: compare(
            cursor, [any_question(rng, sizes, p) for p in prices])),
        ("every boundary of %d price tables" % EVERY_BOUNDARY,
         lambda: compare(cursor, [
             q for p in rng.sample(prices, EVERY_BOUNDARY)
             for q in boundary_questions(rng, sizes, p)])),
        ("every first and last day of validity, and those around them",
         lambda: compare_validity(cursor, rng, sizes, prices)),
        ("tiers to the ends of bigint", lambda: compare_tiers(cursor, rng)),
    ]
    print("1..%d" % len(checks))
    failed = 0
    for number, (name, check) in enumerate(checks, 1):
        compared, differences = check()
        failed += bool(differences)
        print("%s %d - %s: %d compared"
              % ("not ok" if differences else "ok", number, name, compared))
        for difference in differences[:SHOWN]:
            print("# " + difference)
        if len(differences) > SHOWN:
            print("# and %d more" % (len(differences) - SHOWN))
        sys.stdout.flush()
    connection.rollback()
    return 1 if failed else 0


def options():
    parser = argparse.ArgumentParser(
        description="Compare quotes with a calculation of our own.")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


# ---------------------------------------------------------------------------
# Random tables
# ---------------------------------------------------------------------------

def make_tables(rng):
    """Editions that change their size at most once, each with eight price
    tables: four in one currency after another, and four in another one."""
    sizes, prices = {}, []
    for number in range(EDITIONS):
        edition = "e%d" % number
        sizes[edition] = [
            Size(start, end, *random_size(rng))
            for start, end in periods(rng, rng.choice([1, 1, 2]))]
        for currency in rng.sample(sorted(CURRENCIES), 2):
            prices += [Price(edition, currency, start, end,
                             rng.choice(["graduated", "volume"]),
                             amount(rng), random_bands(rng))
                       for start, end in periods(rng, 4)]
    return sizes, prices


def random_size(rng):
    """What is included and the increment, from one contact to billions."""
    return (rng.choice([0, 1, 1000, 2000, 10000, rng.randrange(10 ** 9)]),
            rng.choice([1, 1000, 5000, 10000, rng.randrange(1, 10 ** 9)]))


def random_bands(rng):
    """The first increment and the price of each band; the first is from 1."""
    starts = {1} | {rng.randrange(2, rng.choice([5, 30, 10 ** 6]))
                    for _ in range(rng.choice([0, 0, 1, 2, 3, 6]))}
    return [(start, amount(rng)) for start in sorted(starts)]


def amount(rng):
    """Many of them lie half way between two amounts of some currency."""
    digits = rng.choice([0, 1, 2, 3, 4, 5, 8])
    value = rng.randrange(10 ** rng.choice([1, 3, 6, 9]))
    if rng.random() < 0.4:
        value = value * 10 + 5
    return Decimal(value).scaleb(-digits)


def periods(rng, count):
    """That many periods, one after another, the last without an end; they
    cover all days but those between them, if there are such."""
    day, result = None, []
    for number in range(count):
        end = None
        if number < count - 1:
            end = ((day or date(2020, 1, 1))
                   + timedelta(days=rng.choice([1, 2, 31, 365])))
        result.append((day, end))
        day = end and end + timedelta(days=rng.choice([0, 0, 0, 1, 40]))
    return result


# ---------------------------------------------------------------------------
# Questions
# ---------------------------------------------------------------------------

def any_question(rng, sizes, price):
    if rng.random() < 0.5:
        return rng.choice(boundary_questions(rng, sizes, price))
    day, size = random_day(rng, sizes, price)
    return Question(price, size, day, random_count(rng, size, price))


def random_count(rng, size, price):
    if size is None:
        return rng.randrange(10 ** 6)
    reach = rng.choice([3, 10, price.bands[-1][0] * 2, 10 ** 6])
    return rng.randrange(size.included + size.increment * reach + 1)


def boundary_questions(rng, sizes, price):
    """Around what is included, the first tiers and where bands begin."""
    day, size = random_day(rng, sizes, price)
    if size is None:
        return [Question(price, None, day, 0)]
    steps = {0, 1, 2} | {start + d for start, _ in price.bands
                         for d in (-1, 0, 1)}
    counts = {max(0, size.included + size.increment * step + d)
              for step in steps for d in (-1, 0, 1)}
    return [Question(price, size, day, n) for n in sorted(counts)]


def random_day(rng, sizes, price):
    """A day on which the price is valid, and the edition's size on it."""
    first = price.valid_from or date(2010, 1, 1)
    last = (price.valid_to or date(2040, 1, 1)) - timedelta(days=1)
    day = rng.choice([first, last,
                      first + (last - first) * rng.randrange(101) // 100])
    return day, valid_on(sizes[price.edition], day)


def valid_on(rows, day):
    """The one of these rows that is valid on a day."""
    found = [row for row in rows
             if (row.valid_from is None or row.valid_from <= day)
             and (row.valid_to is None or day < row.valid_to)]
    assert len(found) <= 1
    return found[0] if found else None


# ---------------------------------------------------------------------------
# The calculation
# ---------------------------------------------------------------------------

def increments(included, increment, contacts):
    """B1: ceil(max(0, n - included) / increment)."""
    return -(-max(0, contacts - included) // increment)


def quote(question):
    """The tier, the price and the lines; none without a size."""
    price, size = question.price, question.size
    if size is None:
        return None
    steps = increments(size.included, size.increment, question.contacts)
    decimals = CURRENCIES[price.currency]
    lines = [(1, price.base, rounded(price.base, decimals))]
    for quantity, unit in charged(price, steps):
        lines.append((quantity, unit, rounded(quantity * unit, decimals)))
    return (size.included + size.increment * steps,
            sum(line[2] for line in lines), lines)


def charged(price, steps):
    """How many increments at which price.  They are put into their bands one
    band after the other, from the top."""
    if price.mode == "volume":
        return [(steps, [unit for start, unit in price.bands
                         if start <= steps][-1])] if steps else []
    result = []
    for start, unit in reversed(price.bands):
        if steps >= start:
            result.insert(0, (steps - start + 1, unit))
            steps = start - 1
    return result


def rounded(value, decimals):
    return value.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)


# ---------------------------------------------------------------------------
# Comparing
# ---------------------------------------------------------------------------

def store(cursor, sizes, prices):
    copy(cursor, "mkt.edition (edition)", ([edition] for edition in sizes))
    copy(cursor, "mkt.increment (edition, valid_from, valid_to, included,"
                 " increment)",
         ([edition, infinite(s.valid_from), s.valid_to, s.included,
           s.increment] for edition in sizes for s in sizes[edition]))
    cursor.execute("INSERT INTO mkt.currency (currency, decimals)"
                   " VALUES ('CLF', 4)")
    copy(cursor, "mkt.price (edition, currency, valid_from, valid_to, mode,"
                 " base, per_increment)",
         ([p.edition, p.currency, infinite(p.valid_from), p.valid_to, p.mode,
           p.base, p.bands[0][1]] for p in prices))
    copy(cursor, "mkt.price_band (edition, currency, valid_from,"
                 " from_increment, per_increment)",
         ([p.edition, p.currency, infinite(p.valid_from), start, unit]
          for p in prices for start, unit in p.bands[1:]))
    cursor.execute("CREATE TEMPORARY TABLE asked (id integer, edition text,"
                   " currency text, day date, contacts bigint);"
                   "ANALYZE mkt.edition, mkt.increment, mkt.price,"
                   " mkt.price_band")
    return len(prices), []


def copy(cursor, table, rows):
    text = io.StringIO()
    for row in rows:
        text.write("\t".join("\\N" if value is None else
                             format(value, "f") if isinstance(value, Decimal)
                             else str(value) for value in row) + "\n")
    text.seek(0)
    cursor.copy_expert("COPY %s FROM STDIN" % table, text)


def infinite(valid_from):
    return valid_from or "-infinity"


def ask(cursor, questions):
    cursor.execute("TRUNCATE asked")
    copy(cursor, "asked", ([number, q.price.edition, q.price.currency, q.day,
                            q.contacts]
                           for number, q in enumerate(questions)))


def compare(cursor, questions):
    """Quotes with their lines, where there is one, and the two scalars."""
    expected = [quote(q) for q in questions]
    ask(cursor, questions)
    differences = []
    cursor.execute(TOTALS)
    for number, tier, price in cursor:
        wanted = expected[number] and expected[number][:2] or (None, None)
        if (tier, price) != wanted:
            differences.append("%s: tier %s and price %s, not %s and %s"
                               % (shown(questions[number]), tier, price,
                                  *wanted))
    cursor.execute("DELETE FROM asked WHERE NOT EXISTS (SELECT FROM"
                   " mkt.increment AS i WHERE i.edition = asked.edition"
                   " AND daterange(valid_from, valid_to) @> day)")
    answers = [None if e is None else [] for e in expected]
    cursor.execute(QUOTES)
    for number, *line in cursor:
        answers[number].append(tuple(line))
    for question, wanted, answer in zip(questions, expected, answers):
        if answer != as_rows(wanted, question):
            differences.append("%s: %s, not %s"
                               % (shown(question), answer, wanted))
    return len(questions), differences


def as_rows(wanted, question):
    """As the server gives it: tier, price, line, quantity, unit, amount."""
    if wanted is None:
        return None
    tier, price, lines = wanted
    return [(tier, price, number, *line)
            for number, line in enumerate(lines, 1)]


def compare_validity(cursor, rng, sizes, prices):
    """The day before, of and after every change of price: which of an
    edition's prices it is, if any."""
    series = {}
    for price in prices:
        series.setdefault((price.edition, price.currency), []).append(price)
    questions, expected = [], []
    for rows in rng.sample(sorted(series.values()), 2000):
        days = {end + timedelta(days=d) for row in rows
                for end in (row.valid_from, row.valid_to) if end
                for d in (-1, 0, 1)}
        for day in sorted(days):
            price, size = valid_on(rows, day), valid_on(sizes[rows[0].edition],
                                                        day)
            question = Question(price or rows[0], size, day,
                                random_count(rng, size, rows[0]))
            questions.append(question)
            answer = price and quote(question)
            expected.append(answer and answer[1])
    ask(cursor, questions)
    cursor.execute(PRICES)
    return len(questions), [
        "%s: price %s, not %s" % (shown(questions[number]), price,
                                  expected[number])
        for number, price in cursor if price != expected[number]]


def compare_tiers(cursor, rng):
    """The arithmetic alone, where the tier lies in bigint."""
    asked = []
    while len(asked) < 100000:
        included = rng.choice([0, MAX, rng.randrange(10 ** rng.randrange(19))])
        increment = 1 + rng.randrange(10 ** rng.randrange(19))
        steps = rng.randrange((MAX - included) // increment + 1)
        contacts = min(MAX, included + increment * steps
                       + rng.choice([-1, 0, 1, rng.randrange(increment)]))
        tier = included + increment * increments(included, increment, contacts)
        if tier <= MAX:
            asked.append((included, increment, contacts, tier))
    cursor.execute("CREATE TEMPORARY TABLE arithmetic (included bigint,"
                   " increment bigint, contacts bigint, tier bigint)")
    copy(cursor, "arithmetic", asked)
    cursor.execute("SELECT *, mkt.tier_limit(included, increment, contacts)"
                   " FROM arithmetic WHERE tier IS DISTINCT FROM"
                   " mkt.tier_limit(included, increment, contacts)")
    return len(asked), ["included %d, increment %d, %d contacts: %d, not %d"
                        % (*row[:3], row[4], row[3]) for row in cursor]


def shown(question):
    return "%d contacts on %s by %s of %s" % (
        question.contacts, question.day, tuple(question.price),
        question.size and tuple(question.size))


if __name__ == "__main__":
    sys.exit(main())
