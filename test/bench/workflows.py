"""Statements on a table with ten workflows, while mkt.run() is called and while it is not; and the workflows themselves.

mkt.run() is called once in a measurement of some seconds, so about ten times as often as every minute.
"""
import threading
from dataclasses import replace

import compare
import server
from side import ATTACHED

ACCOUNTS = 10
CLIENTS = 64
SECONDS = 3
PASSES = 3
BAR_TIME = compare.Bar(1.15)
BAR_RATE = compare.Bar(1 / 1.15, at_least=True)
CALM = replace(ATTACHED, label="ten workflows", schema="calm")
BUSY = replace(CALM, label="ten workflows, and mkt.run()")


def run(bench):
    rows = bench.rows(200_000)
    path = bench.contacts_file(rows, ACCOUNTS)
    for side in (ATTACHED, CALM):
        side.create(bench.database, bench.copy_sql(side, path))
        bench.query(f"UPDATE {side.table} SET phone = phone")  # from here on every update finds room in the same way
    bench.query(f"""
        SELECT mkt.switch_on_workflow(mkt.create_workflow('{CALM.table}', account::text, 'oslo', 'marketing',
                                                          condition => 'city = ''Oslo'''), true)
        FROM generate_series(1, {ACCOUNTS}) AS account""")
    bench.query("CALL mkt.run()")

    def update_all(side):
        bench.settle(side)
        with at_work(bench, side):
            return bench.time(f"UPDATE {side.table} SET city = city || ''").seconds

    def update_one(side):
        bench.settle(side)
        script = (f"\\set id random(1, {rows})\n\\set n random(1, 5)\nUPDATE {side.table} "
                  "SET city = (ARRAY['Oslo', 'Bergen', 'Lyon', 'Graz', 'Patras'])[:n] WHERE id = :id;\n")
        with at_work(bench, side):
            return server.pgbench(bench.database, script, clients=CLIENTS, seconds=SECONDS).rate

    bulk = compare.Passes([ATTACHED, CALM, BUSY]).take(update_all, min(PASSES, bench.pairs))
    single = compare.Passes([ATTACHED, CALM, BUSY]).take(update_one, min(PASSES, bench.pairs))
    return (bulk.figures(f"UPDATE, {rows:,} rows", "s", [BAR_TIME, BAR_TIME])
            + single.figures(f"UPDATE, single rows, {CLIENTS} clients", "tps", [BAR_RATE, BAR_RATE])
            + act_on_all(bench))


class at_work:
    """Calls mkt.run() once meanwhile."""

    def __init__(self, bench, side):
        self.thread = threading.Thread(target=bench.query, args=("CALL mkt.run()",)) if side is BUSY else None

    def __enter__(self):
        if self.thread:
            self.thread.start()

    def __exit__(self, *_):
        if self.thread:
            self.thread.join()


def act_on_all(bench):
    """One workflow that all contacts of one account meet: at first, and when it has acted on all of them."""
    rows = bench.rows(200_000)
    bench.query("DROP TABLE calm.contact")
    bench.query("CREATE TABLE calm.contact (id bigint PRIMARY KEY, account_id bigint);"
                "SELECT mkt.attach('calm.contact', account_column => 'account_id');"
                f"INSERT INTO calm.contact SELECT i, 1 FROM generate_series(1, {rows}) AS i;"
                "SELECT mkt.create_workflow('calm.contact', '1', 'all', 'marketing', condition => 'true');"
                "UPDATE mkt.workflow SET state = 'on'; VACUUM ANALYZE")
    figures = []
    for work in ("enrols and sets", "finds nothing new among"):
        bench.query("UPDATE mkt.workflow SET evaluated_at = NULL")
        timing = bench.time("CALL mkt.run()")
        figures += [compare.Figure(f"mkt.run() {work} {rows:,}", "one workflow", [timing.seconds], "s", is_base=True),
                    compare.Figure(f"mkt.run() {work} {rows:,}", "memory", [timing.memory_mb], "MB")]
    return figures
