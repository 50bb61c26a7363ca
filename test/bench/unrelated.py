"""UPDATE that touches no marketing column.

The bar is narrow and an update short, so each side runs more often than elsewhere.
"""
import compare
import server
from side import ATTACHED, BARE, COUNTER, DELTA, IMMV

ACCOUNTS = 1000
CLIENTS = 8  # enough to keep two processors busy; one alone would measure how fast they wake up
BAR_TIME = compare.Bar(1.03)
BAR_RATE = compare.Bar(1 / 1.03, at_least=True)


def run(bench):
    rows = bench.rows(200_000)
    rivals = bench.rivals(DELTA, COUNTER, IMMV)
    path = bench.contacts_file(rows, ACCOUNTS)
    for side in [BARE, ATTACHED] + rivals:
        side.create(bench.database, bench.copy_sql(side, path))
        bench.query(f"UPDATE {side.table} SET phone = phone")  # from here on every update finds room in the same way

    def update_all(side):
        bench.settle(side)
        return bench.time(f"UPDATE {side.table} SET city = city || ''").seconds

    def update_one(side):
        bench.settle(side)
        script = f"\\set id random(1, {rows})\nUPDATE {side.table} SET city = 'Tromsø' WHERE id = :id;\n"
        return server.pgbench(bench.database, script, clients=CLIENTS, seconds=1).rate

    bulk = compare.Passes([BARE, ATTACHED], rivals, 2 * bench.rival_pairs).take(update_all, 2 * bench.pairs)
    single = compare.Passes([BARE, ATTACHED], rivals, bench.rival_pairs).take(update_one, 3 * bench.pairs)
    return (bulk.figures(f"unrelated UPDATE, {rows:,} rows", "s", [BAR_TIME])
            + single.figures(f"unrelated UPDATE, single rows, {CLIENTS} clients", "tps", [BAR_RATE]))
