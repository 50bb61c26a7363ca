"""Reads of one account and of one contact, and of all accounts. Who asks for one account scans no table.

Latencies are pgbench's, of one client.
"""
import compare
import server
from side import HISTORIC

SECONDS = 1
LEAST_ROWS = 1000  # smaller tables may be scanned

CONTACT = "\\set id random(1, {rows})\n"
ACCOUNT = "\\set a random(1, {accounts})\n"
QUERIES = {
    "primary key": CONTACT + "SELECT email FROM historic.contact WHERE id = :id;\n",
    "mkt.billable": ACCOUNT + "SELECT mkt.billable(:a);\n",
    "mkt.usage of one account": ACCOUNT + "SELECT * FROM mkt.usage WHERE account = :a::text;\n",
    "mkt.eligible of one account": ACCOUNT
        + "SELECT * FROM mkt.eligible('historic.contact', 'marketing_email', account => :a::text);\n",
    "mkt.history of one contact": CONTACT + "SELECT * FROM mkt.history('historic.contact', :id::bigint);\n",
    "mkt.explain of one contact": CONTACT + "SELECT * FROM mkt.explain('historic.contact', :id::bigint);\n",
}


def run(bench):
    rows, accounts = bench.rows(1_000_000), bench.rows(100_000)
    path = bench.contacts_file(rows, accounts, """
        , CASE WHEN i % 5 = 0 THEN 'non_marketing' ELSE 'marketing' END AS marketing_status
        , i % 5 = 1 AS marketing_until_next_update""")
    HISTORIC.create(bench.database, bench.copy_sql(HISTORIC, path, ", marketing_status, marketing_until_next_update"))
    bench.query(f"""
        INSERT INTO mkt.account (account, edition, commitment, started_on, time_zone)
        SELECT account::text, 'professional', 'annual', '2024-06-20', 'Europe/Oslo'
        FROM generate_series(1, {accounts}) AS account""")
    bench.query("CALL mkt.run()")
    bench.query("VACUUM ANALYZE")

    figures = []
    for name, script in QUERIES.items():
        bench.query("SELECT pg_stat_reset()")
        loads = [server.pgbench(bench.database, script.format(rows=rows, accounts=accounts), seconds=SECONDS)
                 for _ in range(bench.pairs)]
        for part, fraction in (("p50", 0.5), ("p99", 0.99)):
            figures.append(compare.Figure(f"reads, {part}", name, [load.latency(fraction) for load in loads], "ms",
                                          is_base=name == "primary key"))
        if scanned := scanned_tables(bench):
            raise RuntimeError(f"{name} scans whole tables: {scanned}")
    every = [bench.time("COPY (SELECT * FROM mkt.usage) TO '/dev/null'").seconds for _ in range(bench.pairs)]
    figures.append(compare.Figure(f"mkt.usage of all {accounts:,} accounts", HISTORIC.label, every, "s"))
    return sorted(figures, key=lambda figure: figure.work, reverse=True)


def scanned_tables(bench):
    return bench.query(f"""
        SELECT string_agg(format('%s (%s)', t.relid::regclass, t.seq_scan), ', ')
        FROM pg_catalog.pg_stat_user_tables AS t JOIN pg_catalog.pg_class AS c ON c.oid = t.relid
        WHERE t.seq_tup_read > 0 AND c.reltuples >= {LEAST_ROWS}""")
