#!/usr/bin/python3
"""Filters: what they select is compared with an evaluation in Python, and what
is no filter must be refused as such.

Random filters over columns of every kind select contacts from a table of
random rows, nulls among them, and must select the same as matches() below does.
Then filters are broken, in their shape and with hostile strings, and mkt must
either understand them or say MK013: never an internal error, never an error in
a query of its own, and nothing of a string may run.

Connects by PGHOST, PGPORT, PGDATABASE and PGUSER to a database that nothing
else uses, and prints TAP.
"""

import os
import sys

# Not before the standard library: random.py beside it is another.
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [p for p in sys.path if os.path.abspath(p) != HERE]

import argparse
import copy
import json
import random
import struct
import uuid
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import psycopg2
import psycopg2.extras

UTC = timezone.utc
NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
STAGES = ["lead", "Trial", "it's", "customer"]
WORDS = ["acme", "Acme Corp", "ACMECORP", "a.b@example.com", "Ørsted & Ås",
         "ørsted", "x_1", "50%", "", " ", "it's", "\\d+", "$1", "a*b", "'; --",
         "(c.id)", "[a]", "\"quoted\"", "名前", "acme_corp", "line\nbreak"]
HOSTILE = ["'", "''", "\"", "\\", "\\'", "$1", "$$", "$x$", ";", "--", "/*",
           "'; DROP TABLE canary; --", "\"; DROP TABLE canary; --",
           "c.id = 1) OR (true", "E'\\x41'", "U&'\\0041'", "%s", "%n", "%1$s",
           "\u202e", "\ufeff", "\U0001f600", "\x01", "\x7f", "a\nb", "\u0000",
           "x" * 70, "é" * 40, "x" * 5000, "(" * 300, "[[:alpha:]", "\\m", "***:",
           "***=x", "(?i)", "a{1,2", "NaN", "Infinity", "-Infinity", "1e9999",
           "1e99999999999", "-0", "0x10", "1_000", "now()", "current_user",
           "-90 days", "-1 month", "+99999 years", "-99999 years", "now",
           "infinity", "epoch", "2026-02-30", "2026-03-01T24:00:00",
           "2026-03-01T12:00:60.5+15:59", "0000-00-00", "9999-12-31",
           "2026-03-01 12:00 UTC", "NULL", "null", "true", "mkt.account",
           "pg_catalog.pg_class", "ctid", "tableoid", "xmin", "id", "Name it"]
UNITS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1),
         "day": timedelta(days=1), "week": timedelta(days=7)}

# Column, kind and type; the names want quoting.
COLUMNS = {
    "id": ("integer", "integer"), "Name it": ("words", "text COLLATE \"und-x-icu\""),
    "code": ("text", "varchar(40) COLLATE \"C\""), "kind\"s": ("enum", "stage"),
    "score": ("number", "numeric"), "ratio": ("number", "float8"),
    "real": ("real", "float4"), "small": ("integer", "smallint"),
    "flag": ("boolean", "boolean"), "born": ("date", "date"),
    "seen": ("instant", "timestamptz"), "local": ("instant", "timestamp"),
    "ref": ("uuid", "uuid"), "limited": ("integer", "few"),
    "tags": ("other", "text[]"), "data": ("other", "jsonb"),
}
EQUALITY = ["EQ", "NEQ", "IN", "NOT_IN"]
ORDER = ["LT", "LTE", "GT", "GTE", "BETWEEN"]
PRESENCE = ["HAS_PROPERTY", "NOT_HAS_PROPERTY"]
TOKENS = ["CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"]
OPERATORS = {"text": EQUALITY + ORDER + TOKENS + PRESENCE,
             "words": EQUALITY + TOKENS + PRESENCE,
             "boolean": EQUALITY + PRESENCE, "uuid": EQUALITY + PRESENCE,
             "other": PRESENCE}


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


# ---------------------------------------------------------------------------
# Rows and filters
# ---------------------------------------------------------------------------

class Maker:
    def __init__(self, dice):
        self.dice = dice

    def value(self, column):
        """A value as the row holds it."""
        dice, kind = self.dice, COLUMNS[column][0]
        if kind in ("text", "words"):
            return dice.choice(WORDS)
        if kind == "enum":
            return dice.choice(STAGES)
        if kind == "integer":
            return dice.randint(-9, 9)
        if kind == "number":
            return Decimal(dice.randint(-40, 40)) / 4
        if kind == "real":
            return single(dice.randint(-20, 20) / 10)
        if kind == "boolean":
            return dice.random() < 0.5
        if kind == "date":
            return NOW.date() + timedelta(days=dice.randint(-60, 10))
        if kind == "instant":
            return NOW + dice.choice([timedelta(hours=12), timedelta(days=1)]) \
                * dice.randint(-60, 4) - timedelta(microseconds=dice.choice([0, 0, 1]))
        if kind == "uuid":
            return uuid.UUID(int=dice.randint(0, 5))
        return ["a"]

    def row(self, key):
        row = {column: None if self.dice.random() < 0.15 else self.value(column)
               for column in COLUMNS}
        row["id"] = key
        return row

    def filter(self):
        return {"filterGroups": [
            {"filters": [self.condition() for _ in range(self.dice.randint(1, 3))]}
            for _ in range(self.dice.randint(1, 3))]}

    def condition(self):
        dice = self.dice
        column = dice.choice(list(COLUMNS))
        kind = COLUMNS[column][0]
        operator = dice.choice(OPERATORS.get(kind, EQUALITY + ORDER + PRESENCE))
        result = {"propertyName": column, "operator": operator}
        if operator in TOKENS:
            result["value"] = self.token()
        elif operator in ("IN", "NOT_IN"):
            result["values"] = [self.written(column) for _ in range(dice.randint(1, 4))]
        elif operator not in PRESENCE:
            result["value"] = self.written(column)
            if operator == "BETWEEN":
                result["highValue"] = self.written(column)
        return result

    def token(self):
        words = [part for word in WORDS for part in [word, word[:3], word[1:]]
                 if part and "*" not in part]
        return self.dice.choice(["", "", "*"]) + self.dice.choice(words) \
            + self.dice.choice(["", "", "*"])

    def written(self, column):
        """A value in one of the ways in which JSON can write it."""
        dice, kind = self.dice, COLUMNS[column][0]
        value = self.value(column)
        if kind in ("date", "instant") and dice.random() < 0.4:
            unit = dice.choice(list(UNITS))
            return dice.choice(["now", "%+d %s%s" % (dice.randint(-40, 40), unit,
                                                     dice.choice(["", "s"]))])
        if kind == "date":
            return dice.choice([value.isoformat(), milliseconds(
                datetime(value.year, value.month, value.day, tzinfo=UTC))])
        if kind == "instant":
            value = value.replace(microsecond=value.microsecond // 1000 * 1000)
            return dice.choice([
                value.isoformat(), value.strftime("%Y-%m-%d %H:%M:%S.%f"),
                value.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat(),
                milliseconds(value), str(milliseconds(value))])
        if kind in ("integer", "number", "real"):
            return dice.choice([float(value) if kind != "integer" else value, str(value)])
        if kind == "boolean":
            return dice.choice([value, str(value).lower()])
        return str(value)


def milliseconds(instant):
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def single(number):
    return struct.unpack("f", struct.pack("f", number))[0]


# ---------------------------------------------------------------------------
# What a filter means
# ---------------------------------------------------------------------------

def matches(row, wanted):
    return any(all(meets(row, one) for one in group["filters"])
               for group in wanted["filterGroups"])


def meets(row, one):
    column, operator = one["propertyName"], one["operator"]
    kind, value = COLUMNS[column][0], row[column]
    if operator in PRESENCE:
        return (value is not None) == (operator == "HAS_PROPERTY")
    if value is None:
        return False
    if operator in TOKENS:
        return contains(value, one["value"]) == (operator == "CONTAINS_TOKEN")
    if operator in ("IN", "NOT_IN"):
        found = any(value == read(kind, v) for v in one["values"])
        return found == (operator == "IN")
    value, other = sortable(kind, value), sortable(kind, read(kind, one["value"]))
    if operator == "BETWEEN":
        return other <= value <= sortable(kind, read(kind, one["highValue"]))
    return {"EQ": value == other, "NEQ": value != other, "LT": value < other,
            "LTE": value <= other, "GT": value > other,
            "GTE": value >= other}[operator]


def read(kind, value):
    """A value of the JSON as the column's kind has it."""
    if kind in ("date", "instant"):
        instant = read_instant(value)
        return instant.date() if kind == "date" else instant
    if kind in ("integer", "number"):
        return Decimal(str(value))
    if kind == "real":
        return single(float(value))
    if kind == "boolean":
        return value in (True, "true")
    if kind == "uuid":
        return uuid.UUID(value)
    return value


def read_instant(value):
    text = str(value)
    if text == "now":
        return NOW
    if text.lstrip("-").isdigit():
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(text))
    if " " in text and text[0] in "+-":
        number, unit = text.split()
        return NOW + int(number) * UNITS[unit.rstrip("s")]
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def sortable(kind, value):
    return STAGES.index(value) if kind == "enum" else value


def contains(text, token):
    """Whether a text has a token as a word; * at an end leaves that end open."""
    text, token = text.lower(), token.lower()
    start, end = token[:1] == "*", token[-1:] == "*" and len(token) > 1
    bare = token[start:len(token) - end]
    for i in range(len(text) - len(bare) + 1):
        if text[i:i + len(bare)] != bare:
            continue
        if not start and of_word(bare[0]) and i > 0 and of_word(text[i - 1]):
            continue
        after = text[i + len(bare):][:1]
        if not end and of_word(bare[-1]) and after and of_word(after):
            continue
        return True
    return False


def of_word(character):
    return character.isalnum() or character == "_"


# ---------------------------------------------------------------------------
# What is no filter
# ---------------------------------------------------------------------------

class Breaker:
    def __init__(self, dice):
        self.dice = dice

    def broken(self, wanted):
        """A filter with something in it replaced, removed or put in."""
        wanted = copy.deepcopy(wanted)
        for _ in range(self.dice.randint(1, 3)):
            places = list(self.places(wanted))
            holder, at = self.dice.choice(places)
            act = self.dice.random()
            if act < 0.6:
                holder[at] = self.anything(2)
            elif act < 0.75:
                del holder[at]
            elif isinstance(holder, dict):
                holder[self.dice.choice(HOSTILE + list(holder))] = self.anything(2)
            else:
                holder.insert(at, self.anything(2))
            if not wanted:
                break
        return wanted

    def places(self, value):
        if isinstance(value, (dict, list)):
            for at in (list(value) if isinstance(value, dict) else range(len(value))):
                yield value, at
                yield from self.places(value[at])

    def anything(self, depth):
        dice = self.dice
        act = dice.random()
        if act < 0.6 or depth == 0:
            return dice.choice(HOSTILE)
        if act < 0.75:
            return dice.choice([None, True, False, 0, -1, 1.5, 10 ** 12, 10 ** 40,
                                -2 ** 63, 2 ** 63, 1e300, 1e-300])
        if act < 0.88:
            return [self.anything(depth - 1) for _ in range(dice.randint(0, 3))]
        return {dice.choice(HOSTILE + ["filters", "filterGroups", "value", "operator"]):
                self.anything(depth - 1) for _ in range(dice.randint(0, 3))}


# ---------------------------------------------------------------------------
# The run
# ---------------------------------------------------------------------------

class Run:
    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.seed = seed
        self.tests = 0
        self.failed = 0
        self.connection = psycopg2.connect("")
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()
        self.rows = []

    def set_up(self):
        maker = Maker(self.dice)
        self.cursor.execute("""
            CREATE EXTENSION mktcontacts;
            SET timezone = 'America/New_York';
            SET datestyle = 'SQL, DMY';
            SET mktcontacts.clock = '2026-03-31 12:00+00';
            CREATE TYPE stage AS ENUM ('lead', 'Trial', 'it''s', 'customer');
            CREATE DOMAIN few AS integer CHECK (VALUE BETWEEN -9 AND 9);
            CREATE TABLE canary (id integer);
            CREATE TABLE contact (%s, PRIMARY KEY (id));
            SELECT mkt.attach('contact', account => 'a')""" % ", ".join(
                quoted(column) + " " + kind for column, (_, kind) in COLUMNS.items()))
        self.rows = [maker.row(key) for key in range(200)]
        psycopg2.extras.register_uuid()
        for row in self.rows:
            values = dict(row, data=None if row["data"] is None else "{}")
            if row["local"]:
                values["local"] = row["local"].replace(tzinfo=None)
            self.cursor.execute("INSERT INTO contact (%s) VALUES (%s)" % (
                ", ".join(quoted(column) for column in values),
                ", ".join("%s" + ("::stage" if kind == "enum" else "")
                          for kind, _ in COLUMNS.values())),
                [values[column] for column in COLUMNS])

    def compare(self, n):
        maker = Maker(self.dice)
        selected = 0
        for i in range(n):
            wanted = maker.filter()
            mine = {row["id"] for row in self.rows if matches(row, wanted)}
            text = json.dumps(wanted, ensure_ascii=i % 2 == 0)
            try:
                self.cursor.execute("SELECT mkt.matching('contact', %s)", [text])
                theirs = {int(key) for key, in self.cursor.fetchall()}
            except psycopg2.Error as error:
                return self.fail("filter %d: %s: %s" % (i, text, error))
            if theirs != mine:
                return self.fail("filter %d: %s\n# only in the database: %s\n# only in Python: %s" % (
                    i, text, sorted(theirs - mine)[:5], sorted(mine - theirs)[:5]))
            selected += 0 < len(mine) < len(self.rows)
        self.ok(selected > n / 3, "%d random filters select what Python selects" % n)
        return None

    def break_filters(self, n):
        maker, breaker = Maker(self.dice), Breaker(self.dice)
        outcomes = {}
        for i in range(n):
            text = json.dumps(breaker.broken(maker.filter()))
            state = self.outcome("SELECT mkt.check_filter('contact', %s), (SELECT count(*) FROM mkt.matching('contact', %s))",
                                 [text, text])
            outcomes[state] = outcomes.get(state, 0) + 1
            # JSON itself knows no \u0000
            if state not in ("ok", "MK013") and not (state == "22P05" and "\\u0000" in text):
                return self.fail("broken filter %d: %s: %s" % (i, text, state))
        self.ok(outcomes.get("MK013", 0) > n / 3, "%d broken filters are understood or refused" % n)
        return None

    def hostile_strings(self):
        for string in HOSTILE:
            if "\0" in string:
                continue
            for column in COLUMNS:
                for operator in EQUALITY + ORDER + TOKENS:
                    one = {"propertyName": column, "operator": operator}
                    one.update({"values": [string]} if operator.endswith("IN") else
                               {"value": string, "highValue": string} if operator == "BETWEEN" else
                               {"value": string})
                    text = json.dumps({"filterGroups": [{"filters": [one]}]})
                    state = self.outcome("SELECT mkt.matching('contact', %s, 'a')", [text])
                    if state not in ("ok", "MK013"):
                        return self.fail("%s: %s" % (text, state))
            self.cursor.execute("UPDATE contact SET \"Name it\" = %s WHERE id = 7", [string])
            self.cursor.execute("SELECT mkt.matching('contact', %s)", [json.dumps({"filterGroups": [{"filters": [
                {"propertyName": "Name it", "operator": "EQ", "value": string}]}]})])
            if ("7",) not in self.cursor.fetchall():
                return self.fail("EQ does not find %r" % string)
        self.ok(True, "hostile strings are values like others")
        return None

    def deep(self):
        states = {self.outcome("SELECT mkt.matching('contact', %s)", [text]) for text in
                  ['{"filterGroups": ' * 5000 + "1" + "}" * 5000, "[" * 5000 + "]" * 5000,
                   '{"filterGroups": [{"filters": [{"propertyName": "id", "operator": "EQ", "value": %s%s}]}]}'
                   % ("[" * 5000, "]" * 5000)]}
        self.ok(states == {"MK013"}, "deep ones are refused: %s" % sorted(states))

    def nothing_ran(self):
        self.cursor.execute("SELECT (SELECT count(*) FROM canary), (SELECT count(*) FROM contact), (SELECT count(*) FROM mkt.verify())")
        self.ok(self.cursor.fetchone() == (0, 200, 0), "nothing of all that ran")

    def outcome(self, query, values):
        try:
            self.cursor.execute(query, values)
            return "ok"
        except psycopg2.Error as error:
            return error.pgcode

    def fail(self, what):
        self.ok(False, what.split("\n")[0])
        print("# seed %d\n# %s" % (self.seed, what))

    def ok(self, good, name):
        self.tests += 1
        self.failed += not good
        print("%s %d - %s" % ("ok" if good else "not ok", self.tests, name))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--filters", type=int, default=2000)
    parser.add_argument("--broken", type=int, default=4000)
    arguments = parser.parse_args()
    run = Run(arguments.seed)
    run.set_up()
    run.compare(arguments.filters)
    run.break_filters(arguments.broken)
    run.hostile_strings()
    run.deep()
    run.nothing_ran()
    print("1..%d" % run.tests)
    sys.exit(1 if run.failed else 0)


if __name__ == "__main__":
    main()
