"""mkt.billable beside a lookup of one contact by its primary key.

Latencies are pgbench's, of one client. Under load, 64 clients write to the very account that is read; they are held to
a rate that leaves the machine some idle time, because otherwise every query waits for a processor and nothing else.
"""
import threading

import compare
import server
from side import ATTACHED

SECONDS = 2
WRITERS = 64
WRITES_PER_SECOND = 5000
BACKLOG_SECONDS = 15
BAR_P99_MS = compare.Bar(1)
BAR_TO_LOOKUP = compare.Bar(2)

BUSY_CONTACTS = 10_000  # that account 1 has besides
WRITE = """
\\set id {rows} + random(1, {busy})
UPDATE attached.contact SET marketing_until_next_update = NOT marketing_until_next_update WHERE id = :id;
"""


class Query:
    def __init__(self, label, script):
        self.label, self.script = label, script


LOOKUP = Query("primary key", "\\set id random(1, {rows})\nSELECT email FROM attached.contact WHERE id = :id;\n")
BILLABLE = Query("mkt.billable", "\\set a random(1, {accounts})\nSELECT mkt.billable(:a);\n")
BILLABLE_BUSY = Query("mkt.billable", "SELECT mkt.billable('1');\n")


def run(bench):
    rows, accounts = bench.rows(1_000_000), bench.rows(10_000)
    columns = ", marketing_status, marketing_until_next_update"
    path = bench.contacts_file(rows, accounts, """
        , CASE WHEN i % 5 = 0 THEN 'non_marketing' ELSE 'marketing' END AS marketing_status
        , i % 5 = 1 AS marketing_until_next_update""")
    busy = bench.contacts_file(BUSY_CONTACTS, 1, ", 'marketing' AS marketing_status, false AS flag")
    ATTACHED.create(bench.database, bench.copy_sql(ATTACHED, path, columns))
    bench.query(bench.copy_sql(ATTACHED, busy, columns))
    bench.query("CALL mkt.run()")
    bench.query("VACUUM ANALYZE")

    def latencies(query):
        return server.pgbench(bench.database, query.script.format(rows=rows, accounts=accounts), seconds=SECONDS)

    work = f"{rows:,} contacts in {accounts:,} accounts"
    folded = compare.Passes([LOOKUP, BILLABLE]).take(latencies, bench.pairs)
    figures = figures_of(f"billable, {work}, folded", folded)

    write = WRITE.format(rows=rows, busy=BUSY_CONTACTS)
    server.pgbench(bench.database, write, clients=WRITERS, seconds=BACKLOG_SECONDS)
    seconds = 2 * (SECONDS + 0.5) * bench.pairs + 3
    for work, folding in (("billable, under load, nothing folded yet", False),
                          ("billable, under load, while folding", True)):
        with Writers(bench, write, int(seconds), folding):
            loaded = compare.Passes([LOOKUP, BILLABLE_BUSY]).take(latencies, bench.pairs)
        figures += figures_of(work, loaded)
    return figures


class Writers:
    """64 clients in the background and, if asked, mkt.run() once a second."""

    def __init__(self, bench, script, seconds, folding):
        self.bench, self.folding = bench, folding
        self.ended = threading.Event()
        self.pgbench = server.start_pgbench(bench.database, script, clients=WRITERS, seconds=seconds,
                                            rate=WRITES_PER_SECOND)
        self.folder = threading.Thread(target=self.fold)

    def __enter__(self):
        self.folder.start()

    def __exit__(self, *_):
        self.ended.set()
        self.folder.join()
        server.finish_pgbench(self.pgbench)

    def fold(self):
        while self.folding and not self.ended.wait(1):
            self.bench.query("CALL mkt.run()")


def figures_of(work, passes):
    lookup, billable = passes.sides
    figures = []
    for name, fraction in (("p50", 0.5), ("p99", 0.99)):
        of = lambda load: load.latency(fraction)
        figures += [compare.Figure(f"{work}, {name}", lookup.label, passes.values(lookup, of), "ms", is_base=True),
                    compare.Figure(f"{work}, {name}", billable.label, passes.values(billable, of), "ms",
                                   BAR_P99_MS if name == "p99" else None),
                    compare.Figure(f"{work}, {name}", billable.label, passes.ratios(billable, lookup, of),
                                   f"× {lookup.label}", BAR_TO_LOOKUP)]
    return figures
