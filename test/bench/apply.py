"""Applying what is due, beside one plain UPDATE of the same rows, and what single-row writers feel of it."""
import time
from dataclasses import dataclass

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
    BARE: f"""
        UPDATE {BARE.table}
        SET marketing_status = 'non_marketing', marketing_until_next_update = false, marketing_until = NULL
        WHERE marketing_until <= '{UPDATE_INSTANT}'""",
    ATTACHED: "CALL mkt.apply_updates()",
}
# Marketing contacts become pending and others marketing, whether they are due or not.
WRITE = """
\\set id random(1, {rows})
UPDATE attached.contact
SET marketing_until_next_update = NOT marketing_until_next_update, marketing_status = 'marketing'
WHERE id = :id;
"""


@dataclass(frozen=True)
class Situation:
    label: str
    applied: object = None  # whose table is worked on meanwhile


ALONE = Situation("nothing else")
APPLYING = Situation("while applying", ATTACHED)
UPDATING = Situation("while another table is updated", BARE)  # what the machine alone does to them


def run(bench):
    rows, accounts = bench.rows(500_000), bench.rows(10_000)
    path = bench.contacts_file(rows, accounts, f"""
        , 'marketing' AS marketing_status, true AS marketing_until_next_update
        , timestamptz '{UPDATE_INSTANT}' AS marketing_until""")
    for side in (BARE, ATTACHED):
        side.create(bench.database)

    def make_due(side):
        columns = ", marketing_status, marketing_until_next_update, marketing_until"
        bench.query(f"TRUNCATE {side.table}")
        bench.query(bench.copy_sql(side, path, columns), BEFORE)
        bench.settle(side)

    def apply(side):
        make_due(side)
        return bench.time(APPLY[side], CLOCK).seconds

    def write(situation):
        """A latency of single-row writers on the attached table."""
        make_due(ATTACHED)
        if situation.applied is BARE:
            make_due(BARE)
        seconds = 3 if situation is ALONE else int(1.5 * longest + 3)
        pgbench = server.start_pgbench(bench.database, WRITE.format(rows=rows), clients=WRITERS, rate=WRITES_PER_SECOND,
                                       seconds=seconds, settings=CLOCK)
        if situation is ALONE:
            return server.finish_pgbench(pgbench).latency(0.99)
        time.sleep(1)
        start = time.time()
        bench.query(APPLY[situation.applied], CLOCK)
        end = max(time.time(), start + 1)
        return server.finish_pgbench(pgbench).between(start, end).latency(0.99)

    plain = compare.Passes([BARE, ATTACHED]).take(apply, bench.pairs)
    longest = max(plain.values(ATTACHED))
    writers = compare.Passes([ALONE, APPLYING, UPDATING]).take(write, bench.pairs)
    return (plain.figures(f"apply {rows:,} due contacts in {accounts:,} accounts", "s", [BAR])
            + writers.figures(f"{WRITERS} single-row writers, p99", "ms", [BAR_WRITERS]))
