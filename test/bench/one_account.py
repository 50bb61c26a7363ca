"""Single-row writes of 64 clients, all on one account."""
import compare
import server
from side import ATTACHED, BARE, COUNTER, DELTA, HISTORIC, IMMV

CLIENTS = 64
SECONDS = 3
BAR = compare.Bar(0.80, at_least=True)
BAR_TO_PG_IVM = compare.Bar(20, at_least=True)

INSERT = """
INSERT INTO {table} (account_id, email, first_name, last_name, city, phone, lifecycle_stage, created_at,
                     marketing_status)
VALUES (1, 'new@example.org', 'Åse', 'Contact', 'Oslo', '+47 40000000', 'lead', now(), 'marketing');
"""
# Marketing contacts become pending and come back, so that no execution finds nothing to do.
UPDATE = """
\\set id random(1, {rows})
UPDATE {table} SET marketing_until_next_update = NOT marketing_until_next_update WHERE id = :id;
"""


def run(bench):
    rows = bench.rows(100_000)
    rivals = bench.rivals(DELTA, COUNTER, IMMV)
    path = bench.contacts_file(rows, 1, ", 'marketing' AS marketing_status")
    for side in [BARE, ATTACHED, HISTORIC] + rivals:
        side.create(bench.database, bench.copy_sql(side, path, ", marketing_status"))

    figures = []
    for work, script in (("INSERT", INSERT), ("status UPDATE", UPDATE)):
        def rate(side):
            bench.query("CALL mkt.run()")
            bench.settle(side)
            return server.pgbench(bench.database, script.format(table=side.table, rows=rows),
                                  clients=CLIENTS, seconds=SECONDS).rate

        passes = compare.Passes([BARE, ATTACHED, HISTORIC], rivals, bench.rival_pairs).take(rate, bench.pairs)
        work = f"{work}, {CLIENTS} clients, one account"
        figures += passes.figures(work, "tps", [BAR])
        if to_pg_ivm := passes.ratios(ATTACHED, IMMV):
            figures.append(compare.Figure(work, ATTACHED.label, to_pg_ivm, "× pg_ivm", BAR_TO_PG_IVM))
    return figures
