"""UPDATE that touches no marketing column.

The bar is narrow and a bulk update short, so each side runs four times as often as elsewhere.
"""
import compare
import server
from side import ATTACHED, BARE, COUNTER, DELTA, IMMV

ACCOUNTS = 1000
BAR = compare.Bar(1.03)


def run(bench):
    rows = bench.rows(200_000)
    rivals = bench.rivals(DELTA, COUNTER, IMMV)
    path = bench.contacts_file(rows, ACCOUNTS)
    for side in [BARE, ATTACHED] + rivals:
        side.create(bench.database)
        bench.query(bench.copy_sql(side, path))
        bench.query(f"UPDATE {side.table} SET phone = phone")  # from here on every update finds room in the same way

    def update_all(side):
        bench.settle(side)
        with server.Session(bench.database) as session:
            return session.time(f"UPDATE {side.table} SET city = city || ''").seconds

    def update_one(side):
        bench.settle(side)
        script = f"\\set id random(1, {rows})\nUPDATE {side.table} SET city = 'Tromsø' WHERE id = :id;\n"
        return 1000 / server.pgbench(bench.database, script, transactions=10_000).rate

    bulk = compare.Passes([BARE, ATTACHED], rivals, 2 * bench.rival_pairs).take(update_all, 4 * bench.pairs)
    single = compare.Passes([BARE, ATTACHED], rivals, bench.rival_pairs).take(update_one, 4 * bench.pairs)
    return (bulk.figures(f"unrelated UPDATE, {rows:,} rows", "s", BAR)
            + single.figures("unrelated UPDATE, single rows", "ms", BAR))
