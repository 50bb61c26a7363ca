"""Applying what is due, beside one plain UPDATE of the same rows, and what single-row writers feel of it."""
import time

import compare
import server
from side import ATTACHED, BARE

BEFORE = r"-c mktcontacts.clock=2030-01-15\ 12:00:00+00"
CLOCK = r"-c mktcontacts.clock=2030-02-01\ 00:00:01+00"  # the update date of accounts without settings has just passed
UPDATE_INSTANT = "2030-02-01 00:00+00"
WRITERS = 8
WRITES_PER_SECOND = 500
BAR = compare.Bar(1.3)
BAR_WRITERS = compare.Bar(2)

APPLY = {
    BARE: f"""UPDATE {BARE.table} SET marketing_status = 'non_marketing', marketing_until_next_update = false, marketing_until = NULL
              WHERE marketing_until <= '{UPDATE_INSTANT}'""",
    ATTACHED: "CALL mkt.apply_updates()",
}
# Writers take a contact in two to marketing and back, whether it is due or not.
WRITE = """
\\set id random(1, {rows})
UPDATE attached.contact SET marketing_until_next_update = NOT marketing_until_next_update, marketing_status = 'marketing'
WHERE id = :id;
"""


def run(bench):
    rows, accounts = bench.rows(500_000), bench.rows(10_000)
    path = bench.contacts_file(rows, accounts, f"""
        , 'marketing' AS marketing_status, true AS marketing_until_next_update
        , timestamptz '{UPDATE_INSTANT}' AS marketing_until""")
    for side in (BARE, ATTACHED):
        side.create(bench.database)

    def make_due(side):
        bench.query(f"TRUNCATE {side.table}")
        bench.query(bench.copy_sql(side, path, ", marketing_status, marketing_until_next_update, marketing_until"), BEFORE)
        bench.settle(side)

    def apply(side):
        make_due(side)
        return bench.time(APPLY[side], CLOCK).seconds

    def write_alone(_):
        return server.pgbench(bench.database, write, seconds=5, **writers).latency(0.99)

    def write_while_applying(_):
        make_due(ATTACHED)
        pgbench = server.start_pgbench(bench.database, write, seconds=int(3 * longest + 5), **writers)
        time.sleep(1)
        start = time.time()
        bench.query(APPLY[ATTACHED], CLOCK)
        end = time.time()
        return server.finish_pgbench(pgbench).between(start, end).latency(0.99)

    work = f"apply {rows:,} due contacts in {accounts:,} accounts"
    plain = compare.Passes([BARE, ATTACHED]).take(apply, bench.pairs)
    figures = plain.figures(work, "s", BAR)

    longest = max(plain.values(ATTACHED))
    write = WRITE.format(rows=rows)
    writers = {"clients": WRITERS, "rate": WRITES_PER_SECOND, "settings": CLOCK}
    bench.settle(ATTACHED)
    alone = compare.Passes(["alone"]).take(write_alone, bench.pairs).values("alone")
    beside = compare.Passes(["beside"]).take(write_while_applying, bench.pairs).values("beside")
    work = f"{WRITERS} single-row writers, p99"
    return figures + [
        compare.Figure(work, "nothing to apply", alone, "ms"),
        compare.Figure(work, "while applying", beside, "ms"),
        compare.Figure(work, "while applying", [b / a for a, b in zip(alone, beside)], "× nothing to apply", BAR_WRITERS)]
