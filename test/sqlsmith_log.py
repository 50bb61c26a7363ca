#!/usr/bin/python3
"""Reads the server's log, in CSV, of a run of test/sqlsmith; called as sqlsmith_log.py PROJECT LOG.

The exit status is zero when no process died and there is no internal error of ours: one that is raised in our sources, or
in a statement in which something of ours stands, but for what some functions of PostgreSQL answer to anybody who calls them
with nonsense.  What is found is printed, the same message once."""

import csv
import glob
import os
import re
import sys

DIED = re.compile(r"terminated by signal|PANIC|TRAP|crash of another server process|was terminated by exception")
INTERNAL = re.compile(r"XX\d\d\d")
OURS = re.compile(r"\bmkt\.|\bsmith\.|\bcrm\.")
# the functions of PostgreSQL's sources that do: type modifiers that are none, and steps of aggregates by themselves
NONSENSE = re.compile(r"^(intervaltypmodleastfield|int\w*_(avg|sum)\w*|float8_\w+),")
SEVERITY, STATE, MESSAGE, DETAIL, CONTEXT, STATEMENT, LOCATION = 11, 12, 13, 14, 18, 19, 21


def main():
    project, log = sys.argv[1:]
    csv.field_size_limit(1 << 30)
    sources = {os.path.basename(name) for name in glob.glob(project + "/src/*.c")}
    bad = {}
    others = {}
    states = {}
    with open(log, newline="", encoding="utf-8", errors="replace") as file:
        for row in csv.reader(line.replace("\0", "") for line in file):
            if len(row) <= LOCATION:
                continue
            states[row[STATE]] = states.get(row[STATE], 0) + 1
            if DIED.search(row[MESSAGE]):
                bad.setdefault(row[MESSAGE], row)
            elif INTERNAL.fullmatch(row[STATE]) and row[SEVERITY] in ("ERROR", "FATAL", "PANIC"):
                where = re.search(r"([^ ,]+\.c):\d+", row[LOCATION])
                ours = where and where.group(1) in sources or OURS.search(row[CONTEXT]) or OURS.search(row[STATEMENT])
                if not row[CONTEXT] and NONSENSE.match(row[LOCATION]):
                    ours = False
                key = re.sub(r"\d+", "N", row[MESSAGE]) + row[LOCATION]
                (bad if ours else others).setdefault(key, row)
    for title, rows in (("internal errors of PostgreSQL's own:", others), ("found:", bad)):
        if rows:
            print(title)
        for row in rows.values():
            print(f"  {row[STATE]} {row[MESSAGE]} {row[DETAIL]}\n    at {row[LOCATION]}\n    in {row[CONTEXT]}\n    statement: {row[STATEMENT]}")
    if os.environ.get("SQLSMITH_STATES"):
        print("  ".join(f"{state}:{n}" for state, n in sorted(states.items(), key=lambda s: -s[1])))
    return 1 if bad else 0


sys.exit(main())
