"""COPY, bulk status UPDATE and DELETE of many rows.

A fresh, emptied table goes through all four statements in one pass; the tenth of the rows goes through the same, there
also with triggers that do nothing, which is what PostgreSQL takes for having any, and with the rivals.
"""
import compare
from side import ATTACHED, BARE, CONTACT_COLUMNS, DELTA, EMPTY, HISTORIC, IMMV

ACCOUNTS = 1000
BARS = [compare.Bar(1.25), compare.Bar(1.6)]
BAR_MEMORY_MB = compare.Bar(64)
BAR_GROWTH = compare.Bar(11)

STATEMENTS = {
    "COPY": "COPY {table} ({columns}) FROM '{path}'",
    "UPDATE to marketing": "UPDATE {table} SET marketing_status = 'marketing'",
    "UPDATE to pending": "UPDATE {table} SET marketing_status = 'non_marketing'",
    "DELETE": "DELETE FROM {table}",
}


def run(bench):
    rows = bench.rows(1_000_000)
    rivals = bench.rivals(DELTA, IMMV)
    for side in [BARE, ATTACHED, HISTORIC, EMPTY] + rivals:
        side.create(bench.database)

    run_statements(bench, rows, {name: compare.Passes([BARE]) for name in STATEMENTS})  # warms caches and WAL files up
    tenth = {name: compare.Passes([BARE, ATTACHED, HISTORIC, EMPTY], rivals, bench.rival_pairs) for name in STATEMENTS}
    whole = {name: compare.Passes([BARE, ATTACHED, HISTORIC]) for name in STATEMENTS}
    for _ in range(bench.pairs):
        run_statements(bench, rows // 10, tenth)
        run_statements(bench, rows, whole)
    return [figure for name in STATEMENTS for figure in figures_of(name, rows, whole[name], tenth[name])]


def run_statements(bench, rows, passes):
    path = bench.contacts_file(rows, ACCOUNTS)

    def measure(side):
        bench.query(f"VACUUM {side.table}; CHECKPOINT")  # no plan here depends on statistics
        return bench.time(statement.format(table=side.table, columns=CONTACT_COLUMNS, path=path))

    for name, statement in STATEMENTS.items():
        if name == "COPY":
            for side in passes[name].sides + passes[name].rivals:
                bench.query(f"TRUNCATE {side.table}")
        passes[name].take(measure)


def figures_of(statement, rows, whole, tenth):
    figures = whole.figures(f"{statement}, {rows:,} rows", "s", BARS, seconds)
    figures += tenth.figures(f"{statement}, {rows // 10:,} rows", "s", [], seconds)
    for side in (BARE, ATTACHED, HISTORIC):
        figures.append(compare.Figure(f"{statement}, private memory", side.label, whole.values(side, memory_mb), "MB",
                                      BAR_MEMORY_MB if side is not BARE else None))
    for side in (BARE, ATTACHED, HISTORIC):
        growth = [more / less for more, less in zip(whole.values(side, seconds), tenth.values(side, seconds))]
        figures.append(compare.Figure(f"{statement}, ten times the rows", side.label, growth, "× the time",
                                      BAR_GROWTH if side is not BARE else None))
    return figures


def seconds(timing):
    return timing.seconds


def memory_mb(timing):
    return timing.memory_mb
