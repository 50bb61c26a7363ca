"""What a row costs in instructions and in bytes of WAL: figures that neither a busy machine nor a fast one changes.

A single-user backend executes the statements under valgrind's callgrind, which counts its instructions. Every work is
done to few rows, to as few again and to many, and what the many cost more than the second few is divided by how many
more they are. That leaves out what is done once, and what a statement costs whatever it finds, such as planning; where
every row has a statement of its own that is part of the cost. WAL is counted without images of whole pages, which depend
on checkpoints.

BENCH_PROFILE names a folder for callgrind's profiles, one for each side and work, to be read with callgrind_annotate.
"""
import glob
import os
import re
import shutil

import compare
import server
from side import ATTACHED, BARE, CONTACT_COLUMNS, HISTORIC

SIDES = [BARE, ATTACHED, HISTORIC]
ACCOUNTS = 10
BULK, SINGLE = (250, 2250), (100, 1100)  # few and many rows
INSTRUCTIONS, WAL = "instructions", "bytes of WAL"

MARK = "SELECT pg_catalog.pg_current_wal_insert_lsn()"  # a profile ends where its function is called
PREPARE = [
    "SELECT mkt.now()",
    "SET mktcontacts.clock = '2030-01-15 12:00:00+00'",
    "PREPARE create_one AS INSERT INTO {table} (account_id, email, first_name, last_name, city, phone, lifecycle_stage, "
    "created_at, marketing_status) VALUES (1, 'new@example.org', 'Åse', 'Contact', 'Oslo', '+47 40000000', 'lead', "
    "now(), 'marketing')",
    "PREPARE call (bigint) AS UPDATE {table} SET phone = '+47 40000001' WHERE id = $1",
    "PREPARE toggle (bigint) AS UPDATE {table} SET marketing_until_next_update = NOT marketing_until_next_update "
    "WHERE id = $1",
    "PREPARE remove (bigint) AS DELETE FROM {table} WHERE id = $1",
]
MAKE_DUE = [
    "UPDATE {table} SET marketing_status = 'marketing', marketing_until_next_update = true WHERE {rows}",
    "SET mktcontacts.clock = '2030-02-01 00:00:01+00'",
]
BACK_IN_TIME = ["SET mktcontacts.clock = '2030-01-15 12:00:00+00'"]
APPLY_BARE = ("UPDATE {table} SET marketing_status = 'non_marketing', marketing_until_next_update = false, "
              "marketing_until = NULL WHERE {rows}")


class Work:
    """A statement for many rows, or one for each row, and what is done before and after it."""

    def __init__(self, name, statement, bare=None, before=(), after=(), each_row=False, adds=False):
        self.name = name + (", single" if each_row else "")
        self.statement, self.bare, self.before, self.after, self.each_row = statement, bare, before, after, each_row
        self.adds = adds  # the rows that it and the following works are done to
        self.few, self.many = SINGLE if each_row else BULK

    def ranges(self, start):
        """Of keys: few, as few again, many."""
        second, third = start + self.few, start + 2 * self.few
        return [(start, second - 1), (second, third - 1), (third, third + self.many - 1)]

    def lines(self, side, first, last, paths):
        names = {"table": side.table, "columns": CONTACT_COLUMNS, "path": paths.get(last - first + 1),
                 "rows": f"id BETWEEN {first} AND {last}"}
        statement = self.bare if self.bare and side is BARE else self.statement
        for line in [*self.before, "VACUUM {table}", MARK]:
            yield line.format(**names)
        for row in range(first, last + 1) if self.each_row else [None]:
            yield statement.format(id=row, **names)
        for line in [MARK, *self.after]:
            yield line.format(**names)

    def per_row(self, few, many):
        return (many - few) / (self.many - self.few)


WORKS = [
    Work("COPY", "COPY {table} ({columns}) FROM '{path}'", adds=True),
    Work("unrelated UPDATE", "UPDATE {table} SET city = city || '' WHERE {rows}"),
    Work("apply", "CALL mkt.apply_updates()", bare=APPLY_BARE, before=MAKE_DUE, after=BACK_IN_TIME),
    Work("UPDATE to marketing", "UPDATE {table} SET marketing_status = 'marketing' WHERE {rows}"),
    Work("UPDATE to pending", "UPDATE {table} SET marketing_status = 'non_marketing' WHERE {rows}"),
    Work("DELETE", "DELETE FROM {table} WHERE {rows}"),
    Work("INSERT", "EXECUTE create_one", each_row=True, adds=True),
    Work("unrelated UPDATE", "EXECUTE call ({id})", each_row=True),
    Work("status UPDATE", "EXECUTE toggle ({id})", each_row=True),
    Work("DELETE", "EXECUTE remove ({id})", each_row=True),
]


def run(bench):
    for side in SIDES:
        side.create(bench.database)
    paths = {rows: bench.contacts_file(rows, ACCOUNTS) for rows in BULK}
    costs = {side: measure(bench, side, paths) for side in SIDES}
    return [compare.Figure(f"{work.name}, {unit} a row", side.label, [costs[side][work][unit]], unit)
            for unit in (INSTRUCTIONS, WAL) for work in WORKS for side in SIDES]


def measure(bench, side, paths):
    """All works in one session."""
    lines = [line.format(table=side.table) for line in PREPARE]
    end = 1
    for work in WORKS:
        if work.adds:
            start = end
        for first, last in work.ranges(start):
            lines += work.lines(side, first, last, paths)
            end = last + 1

    profile = os.path.join(bench.folder, side.schema)
    output = server.single_user(bench.database, lines, [
        "valgrind", "--tool=callgrind", "--dump-before=pg_current_wal_insert_lsn", f"--callgrind-out-file={profile}"])
    costs, places = {}, wal_places(output)
    for number, work in enumerate(WORKS):
        few, many = 6 * number + 4, 6 * number + 6  # a mark before and a mark after each of the three
        costs[work] = {INSTRUCTIONS: work.per_row(*(instructions(f"{profile}.{part}") for part in (few, many))),
                       WAL: work.per_row(*(places[part - 1] - places[part - 2] for part in (few, many)))}
        keep_profile(f"{profile}.{many}", f"{work.name}, {side.label}")
    for part in glob.glob(profile + ".*"):
        os.remove(part)
    return costs


def wal_places(output):
    places = re.findall(r'pg_current_wal_insert_lsn = "([0-9A-F]+)/([0-9A-F]+)"', output)
    return [(int(high, 16) << 32) + int(low, 16) for high, low in places]


def instructions(path):
    with open(path) as profile:
        return next(int(line.split()[1]) for line in profile if line.startswith("summary:"))


def keep_profile(path, name):
    if folder := os.environ.get("BENCH_PROFILE"):
        os.makedirs(folder, exist_ok=True)
        shutil.copy(path, os.path.join(folder, name.replace(" ", "_")))


def print_table(figures):
    """One line for a work: the bare table in absolute numbers, the others with their ratio to it."""
    by_unit = {unit: [figure for figure in figures if figure.unit == unit] for unit in (INSTRUCTIONS, WAL)}
    rows = [["", INSTRUCTIONS, "", "", WAL, "", ""],
            ["a row", *2 * ["bare table", "mktcontacts", "with history"]]]
    for number, work in enumerate(WORKS):
        row = [work.name]
        for of_unit in by_unit.values():
            bare, *others = (figure.values[0] for figure in of_unit[number * len(SIDES):(number + 1) * len(SIDES)])
            row += [f"{bare:.0f}"] + [f"{other:.0f}  {other / bare:.2f} ×" for other in others]
        rows.append(row)
    compare.print_columns(rows, numbers=range(1, 7), rules=(2,))
