#!/usr/bin/python3
"""Compares every update date and renewal from 1970 to 2100 with a calculation
of its own (rules D1-D5, in model.py), over many time zones, both commitments
and every day on which a term can start.

Each check walks a chain: the server is asked for the first update date after
1970 began, then for the first one after that answer, and so on, so that every
instant is compared and none can be passed over or come twice.

Connects by PGHOST, PGPORT, PGDATABASE and PGUSER, creates the extension where
it is missing and prints TAP, one line for every zone.
"""

import os
import sys

# Not before the standard library: a neighbour of this file is named random.py.
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [p for p in sys.path if os.path.abspath(p) != HERE] + [HERE]
sys.dont_write_bytecode = True

import argparse
import calendar
from datetime import date, datetime, timedelta
from zoneinfo import available_timezones

import psycopg2

import model

ZONES = """
    UTC Africa/Abidjan Africa/Cairo Africa/Casablanca Africa/Juba
    Africa/Monrovia America/Adak America/Argentina/Buenos_Aires
    America/Asuncion America/Bogota America/Campo_Grande America/Caracas
    America/Chicago America/Havana America/Los_Angeles America/Mexico_City
    America/Miquelon America/New_York America/Nuuk America/Phoenix
    America/Sao_Paulo America/Santiago America/Scoresbysund America/St_Johns
    Antarctica/Troll Asia/Amman Asia/Baghdad Asia/Beirut Asia/Damascus
    Asia/Dhaka Asia/Gaza Asia/Jerusalem Asia/Kathmandu Asia/Kolkata
    Asia/Pyongyang Asia/Shanghai Asia/Tehran Asia/Tokyo Asia/Ulaanbaatar
    Atlantic/Azores Atlantic/Bermuda Australia/Adelaide Australia/Eucla
    Australia/Lord_Howe Australia/Sydney Europe/Berlin Europe/Chisinau
    Europe/Istanbul Europe/Lisbon Europe/London Europe/Moscow Europe/Oslo
    Pacific/Apia Pacific/Auckland Pacific/Chatham Pacific/Easter
    Pacific/Fakaofo Pacific/Guam Pacific/Kanton Pacific/Kiritimati
    Pacific/Kwajalein Pacific/Marquesas Pacific/Tongatapu
""".split()

FIRST_YEAR, LAST_YEAR = 1970, 2100
AFTER = datetime(FIRST_YEAR, 1, 1, tzinfo=model.UTC)
END = datetime(LAST_YEAR + 1, 1, 1, tzinfo=model.UTC)
SHOWN = 5

# How the chain is asked: every answer is the next question.
CHAIN = """
WITH RECURSIVE chain (instant) AS (
    SELECT {function}(%(commitment)s::mkt.commitment, %(started_on)s::date,
                      %(zone)s, %(after)s::timestamptz)
    UNION ALL
    SELECT {function}(%(commitment)s::mkt.commitment, %(started_on)s::date,
                      %(zone)s, instant)
    FROM chain WHERE instant < %(until)s
)
SELECT string_agg(date_part('epoch', instant)::bigint::text, ' ')
FROM chain WHERE instant < %(until)s
"""

# An instant is an answer until it is reached, and no longer: asked from a
# microsecond before it, and from half way since the last one.
BETWEEN = """
WITH given AS (
    SELECT to_timestamp(instant) AS instant,
           to_timestamp(lag(instant, 1, instant - 1)
                        OVER (ORDER BY instant)) AS previous
    FROM unnest(%(instants)s::bigint[]) AS instant
)
SELECT instant FROM given
WHERE instant <> mkt.next_update(%(commitment)s::mkt.commitment,
                                 %(started_on)s::date, %(zone)s,
                                 instant - interval '1 microsecond')
   OR instant <> mkt.next_update(%(commitment)s::mkt.commitment,
                                 %(started_on)s::date, %(zone)s,
                                 previous + (instant - previous) / 2)
"""


def main():
    zones = options().zones
    connection = psycopg2.connect("")
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("SET client_min_messages = warning; SET jit = off;"
                   "SET statement_timeout = '1min';"
                   "CREATE EXTENSION IF NOT EXISTS mktcontacts")
    print("1..%d" % len(zones))
    failed = 0
    for number, zone in enumerate(zones, 1):
        compared, differences = check_zone(cursor, zone, number)
        failed += bool(differences)
        print("%s %d - %s: %d instants"
              % ("not ok" if differences else "ok", number, zone, compared))
        for difference in differences[:SHOWN]:
            print("# " + difference)
        if len(differences) > SHOWN:
            print("# and %d more" % (len(differences) - SHOWN))
        sys.stdout.flush()
    return 1 if failed else 0


def options():
    parser = argparse.ArgumentParser(
        description="Compare update dates with a calculation of our own.")
    parser.add_argument("--all", action="store_true",
                        help="every zone that the system knows")
    parser.add_argument("zones", nargs="*", metavar="zone")
    given = parser.parse_args()
    if given.all:
        given.zones = sorted(zone for zone in available_timezones()
                             if zone not in ("localtime", "Factory"))
    given.zones = given.zones or ZONES
    return given


def check_zone(cursor, zone, number):
    compared, differences = 0, []
    for question in questions(number):
        instants, found = check(cursor, zone, *question)
        compared += instants
        differences += found
    return compared, differences


def questions(number):
    """What is asked of the zone with that number: every day of the month as
    the start of either commitment, in months and years that vary with both,
    and no start at all."""
    for day in range(1, 32):
        started_on = start(day, number)
        for commitment in ("annual", "monthly"):
            yield "update", commitment, started_on
            yield "renewal", commitment, started_on
            if (day + number) % 31 == 0:
                yield "between", commitment, started_on
    yield "update", "annual", None


def start(day, number):
    """A date with that day of the month.  The 29th is one of February for
    every second zone."""
    year = 1962 + (5 * day + number) % 14
    if day == 29 and number % 2 == 0:
        return date(year // 4 * 4, 2, 29)
    months = [month for month in range(1, 13)
              if day <= calendar.monthrange(year, month)[1]]
    return date(year, months[(7 * day + number) % len(months)], day)


def check(cursor, zone, question, commitment, started_on):
    days = (model.renewal_days if question == "renewal"
            else model.update_days)(commitment, started_on,
                                    FIRST_YEAR - 1, LAST_YEAR + 1)
    expected = instants_of(zone, days)
    arguments = dict(commitment=commitment, started_on=started_on, zone=zone,
                     after=AFTER, until=END)
    if question == "between":
        cursor.execute(BETWEEN, dict(arguments, instants=expected))
        wrong = ["%s is not the answer just before it" % row[0]
                 for row in cursor]
    else:
        cursor.execute(CHAIN.format(function="mkt.next_" + question),
                       arguments)
        wrong = differences(expected, cursor.fetchone()[0])
    return len(expected), ["%s of %s from %s: %s"
                           % (question, commitment, started_on, what)
                           for what in wrong]


def instants_of(zone, days):
    """The starts of those days that lie in the years that are compared, as
    seconds.  Two days can start at once where the first of them was left
    out."""
    starts = {model.start_of_day(zone, day) for day in days}
    return sorted(seconds(instant) for instant in starts
                  if AFTER < instant < END)


def seconds(instant):
    return (instant - model.EPOCH.replace(tzinfo=model.UTC)) // model.SECOND


def differences(expected, answer):
    """What differs, earliest first; answer is the server's text."""
    if answer == " ".join(map(str, expected)):
        return []
    given = [int(word) for word in (answer or "").split()]
    missing, unexpected = set(expected) - set(given), set(given) - set(expected)
    if not missing and not unexpected:
        return ["the answers are right but not in order"]
    return ["%s is %s" % (shown(instant),
                          "missing" if instant in missing else "unexpected")
            for instant in sorted(missing | unexpected)]


def shown(instant):
    return (model.EPOCH + timedelta(seconds=instant)).isoformat(" ") + "Z"


if __name__ == "__main__":
    sys.exit(main())
