"""Reading the history of contacts, and counts of the past.

Every contact changes ten times in as many months. Latencies are pgbench's, of one client.
"""
import compare
import server
from side import HISTORIC

ACCOUNTS = 1000
MONTHS = 10
SECONDS = 1
CLOCK = "-c mktcontacts.clock=2026-11-20"
BAR_MS = compare.Bar(5)

KEY = "\\set id random(1, {rows})\n"
QUERIES = {
    "primary key": KEY + "SELECT email FROM historic.contact WHERE id = :id;\n",
    "mkt.history": KEY + "SELECT * FROM mkt.history('historic.contact', :id::bigint);\n",
    "mkt.status_at": KEY + "SELECT mkt.status_at('historic.contact', :id::bigint, '2026-06-15');\n",
    "mkt.explain": KEY + "SELECT * FROM mkt.explain('historic.contact', :id::bigint);\n",
    "mkt.billable, five months ago": "\\set a random(1, 1000)\nSELECT mkt.billable(:a, '2026-06-15');\n",
}


def run(bench):
    rows = bench.rows(200_000)
    HISTORIC.create(bench.database, bench.copy_sql(HISTORIC, bench.contacts_file(rows, ACCOUNTS)),
                    "-c mktcontacts.clock=2026-01-10")
    for month in range(1, MONTHS + 1):
        clock = f"-c mktcontacts.clock=2026-{month:02}-20"
        bench.query("CALL mkt.run()", clock)
        bench.query(f"UPDATE {HISTORIC.table} SET marketing_status = 'marketing', "
                    "marketing_until_next_update = NOT marketing_until_next_update", clock)
        bench.query(f"VACUUM {HISTORIC.table}")
    bench.query("CALL mkt.run()", CLOCK)
    bench.query("VACUUM ANALYZE; CHECKPOINT")
    changes = int(bench.query("SELECT count(*) FROM mkt.historic_contact_history"))

    figures = []
    for name, script in QUERIES.items():
        loads = [server.pgbench(bench.database, script.format(rows=rows), seconds=SECONDS, settings=CLOCK)
                 for _ in range(bench.pairs)]
        for part, fraction in (("p50", 0.5), ("p99", 0.99)):
            figures.append(compare.Figure(f"{changes:,} changes, {part}", name, [load.latency(fraction) for load in loads],
                                          "ms", BAR_MS if part == "p99" and name != "primary key" else None,
                                          is_base=name == "primary key"))
    return figures
