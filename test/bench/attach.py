"""Attaching a big table: its strong lock, and the whole, counting included, beside one count by account.

The lock is held for less than the statement takes, so the statement is what is measured.
"""
from dataclasses import dataclass

import compare
import server
from side import ATTACHED, UNATTACHED

ATTACH = "SELECT mkt.attach('attached.contact', account_column => 'account_id')"
DETACH = "SELECT mkt.detach('attached.contact', drop_columns => true)"
COUNT = "SELECT account_id, count(*) FROM attached.contact GROUP BY account_id"
BAR_LOCK_MS = compare.Bar(100)
BAR_TOTAL = compare.Bar(1.2)


@dataclass(frozen=True)
class Work:
    label: str


COUNTING = Work("count(*) GROUP BY")
ATTACHING = Work("attach and mkt.run()")


def run(bench):
    rows, accounts = bench.rows(2_000_000), bench.rows(10_000)
    UNATTACHED.create(bench.database)
    bench.query(bench.copy_sql(UNATTACHED, bench.contacts_file(rows, accounts)))
    bench.settle(UNATTACHED)
    locked_ms = []

    def measure(work):
        with server.Session(bench.database) as session:
            if work is COUNTING:
                return session.time(f"COPY ({COUNT}) TO '/dev/null'").seconds
            locked = session.time(ATTACH).seconds
            counted = session.time("CALL mkt.run()").seconds
        locked_ms.append(1000 * locked)
        bench.query(DETACH)
        return locked + counted

    passes = compare.Passes([COUNTING, ATTACHING]).take(measure, bench.pairs)
    bench.query(ATTACH + "; CALL mkt.run()")
    work = f"attach {rows:,} contacts in {accounts:,} accounts"
    return [compare.Figure(work + ", strong lock", ATTACHED.label, locked_ms, "ms", BAR_LOCK_MS),
            *passes.figures(work, "s", [BAR_TOTAL])]
