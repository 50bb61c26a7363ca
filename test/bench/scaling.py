"""How speed depends on the number of contacts, accounts and clients, and on how long somebody has been writing.

    BENCH_SECONDS  of steady writing   600, times the scale
"""
import os
import time

import compare
import server
from side import BARE, HISTORIC

CONTACTS = [10_000, 100_000, 1_000_000, 10_000_000]
ACCOUNTS = [1, 1_000, 100_000]
CLIENTS = [1, 4, 16, 64]
SOME_CONTACTS, SOME_ACCOUNTS, SOME_CLIENTS = 1_000_000, 1_000, 16
SECONDS = 3
PASSES = 3

STEADY_SECONDS = 600
STEADY_INTERVALS = 60
WRITES_PER_SECOND = 3000
READS_PER_SECOND = 100

WRITE = """
\\set id random(1, {rows})
UPDATE {table}
SET marketing_until_next_update = NOT marketing_until_next_update, marketing_status = 'marketing'
WHERE id = :id;
"""
LOOKUP = "\\set id random(1, {rows})\nSELECT email FROM historic.contact WHERE id = :id;\n"
BILLABLE = "\\set a random(1, {accounts})\nSELECT mkt.billable(:a);\n"
SIDES = [BARE, HISTORIC]
MUCH_LATER = "-c mktcontacts.clock=2100-01-01"
READS = {"primary key": LOOKUP, "mkt.billable": BILLABLE}


def run(bench):
    figures = []
    for contacts in CONTACTS:
        figures += of_size(bench, "contacts", bench.rows(contacts), bench.rows(contacts), SOME_ACCOUNTS)
    for accounts in ACCOUNTS:
        figures += of_size(bench, "accounts", accounts, bench.rows(SOME_CONTACTS), accounts)
    fill(bench, bench.rows(SOME_CONTACTS), SOME_ACCOUNTS)
    for clients in CLIENTS:
        figures += write(bench, "clients", clients, bench.rows(SOME_CONTACTS), clients)
    return sorted(figures + steady(bench), key=lambda figure: figure.axis == "seconds")


def of_size(bench, axis, x, rows, accounts):
    seconds = fill(bench, rows, accounts)
    size = sizes(bench)
    figures = [compare.Figure("size", part, [1e6 * size[part] / rows], "bytes a contact", x=x, axis=axis)
               for part in ("bare table", "contacts", "history", "counts")]
    figures += [compare.Figure("COPY", side.label, [1e6 * seconds[side] / rows], "µs a contact", x=x, axis=axis)
                for side in SIDES]
    figures += write(bench, axis, x, rows, SOME_CLIENTS)
    bench.query("CALL mkt.run()")
    loads = {name: [server.pgbench(bench.database, script.format(rows=rows, accounts=accounts), seconds=SECONDS)
                    for _ in range(PASSES)] for name, script in READS.items()}
    figures += [compare.Figure(f"reads, {part}", name, [load.latency(fraction) for load in loads[name]], "ms", x=x,
                               axis=axis)
                for part, fraction in (("p50", 0.5), ("p99", 0.99)) for name in READS]
    return figures + apply_and_verify(bench, axis, x, rows)


def apply_and_verify(bench, axis, x, rows):
    """Half of the contacts, or about, are pending."""
    pending = bench.query(f"SELECT count(*) FROM {HISTORIC.table} WHERE marketing_until_next_update")
    works = {"mkt.apply_updates": (bench.time("CALL mkt.apply_updates()", MUCH_LATER).seconds, int(pending)),
             "mkt.verify": (bench.time("SELECT * FROM mkt.verify()").seconds, rows)}
    return [compare.Figure("apply and verify", name, [1e6 * seconds / contacts], "µs a contact", x=x, axis=axis)
            for name, (seconds, contacts) in works.items()]


def fill(bench, rows, accounts):
    """Both tables anew; how long it took to fill them."""
    path = bench.contacts_file(rows, accounts, ", 'marketing' AS marketing_status, i % 2 = 1 AS flag")
    bench.query("SELECT mkt.detach(contacts) FROM mkt.attachment")
    seconds = {}
    for side in SIDES:
        bench.query(f"DROP SCHEMA IF EXISTS {side.schema} CASCADE")
        side.create(bench.database)
        bench.query("CHECKPOINT")
        seconds[side] = bench.time(bench.copy_sql(side, path, ", marketing_status, marketing_until_next_update")).seconds
        bench.query(f"VACUUM ANALYZE {side.table}")
    bench.query("CALL mkt.run()")
    os.remove(path)
    bench.files.clear()
    return seconds


def write(bench, axis, x, rows, clients):
    """Single-row status updates, spread over all contacts."""
    def rate(side):
        bench.query("CHECKPOINT")
        return server.pgbench(bench.database, WRITE.format(table=side.table, rows=rows), clients=clients,
                              seconds=SECONDS).rate

    passes = compare.Passes(SIDES).take(rate, PASSES)
    return [compare.Figure("status UPDATE, single rows", side.label, passes.values(side), "a second", x=x, axis=axis)
            for side in SIDES]


def steady(bench):
    """Writers that are held to a rate, a reader, mkt.run() every minute, autovacuum as PostgreSQL has it."""
    rows = bench.rows(SOME_CONTACTS)
    seconds = int(os.environ.get("BENCH_SECONDS", max(STEADY_INTERVALS, STEADY_SECONDS * bench.scale)))
    interval = seconds / STEADY_INTERVALS
    fill(bench, rows, SOME_ACCOUNTS)
    bench.query("ALTER SYSTEM SET autovacuum = on")
    bench.query("SELECT pg_reload_conf()")
    start = time.time()
    writers = server.start_pgbench(bench.database, WRITE.format(table=HISTORIC.table, rows=rows), clients=SOME_CLIENTS,
                                   rate=WRITES_PER_SECOND, seconds=seconds)
    readers = {name: server.start_pgbench(bench.database, script.format(rows=rows, accounts=SOME_ACCOUNTS),
                                          rate=READS_PER_SECOND, seconds=seconds) for name, script in READS.items()}
    samples = []
    for number in range(1, STEADY_INTERVALS + 1):
        time.sleep(max(0, start + number * interval - time.time()))
        if int(number * interval) // 60 > int((number - 1) * interval) // 60:
            bench.query("CALL mkt.run()")
        samples.append((time.time() - start, sizes(bench)))
    loads = {name: server.finish_pgbench(reader) for name, reader in readers.items()}
    written = server.finish_pgbench(writers)
    bench.query("ALTER SYSTEM RESET autovacuum")
    bench.query("SELECT pg_reload_conf()")

    def series(work, variant, unit, points):
        return [compare.Figure(work, variant, [value], unit, x=second, axis="seconds") for second, value in points]

    def by_interval(load, value):
        ends = [interval * number for number in range(1, STEADY_INTERVALS + 1)]
        parts = ((end, load.between(start + end - interval, start + end)) for end in ends)
        return [(end, value(part)) for end, part in parts if part.transactions]

    figures = series("steady writing", HISTORIC.label, "a second",
                     by_interval(written, lambda part: len(part.transactions) / interval))
    for part, fraction in (("p50", 0.5), ("p99", 0.99)):
        for name, load in loads.items():
            figures += series(f"reads meanwhile, {part}", name, "ms",
                              by_interval(load, lambda part: part.latency(fraction)))
    figures += [figure for name in ("contacts", "history")
                for figure in series("size of the tables", name, "MB", [(at, size[name]) for at, size in samples])]
    figures += series("size of the counts", HISTORIC.label, "MB", [(at, size["counts"]) for at, size in samples])
    figures += series("rows of the counts", HISTORIC.label, "rows", [(at, size["rows"]) for at, size in samples])
    return figures


def sizes(bench):
    """In MB, indexes included; and how many rows the counts have."""
    bare, contacts, history, counts, rows = map(int, bench.query("""
        SELECT pg_total_relation_size('bare.contact');
        SELECT pg_total_relation_size('historic.contact');
        SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('mkt.historic_contact_history');
        SELECT pg_total_relation_size('mkt.historic_contact_count');
        SELECT count(*) FROM mkt.historic_contact_count""").split())
    return {"bare table": bare / 1e6, "contacts": contacts / 1e6, "history": history / 1e6, "counts": counts / 1e6, "rows": rows}


def print_table(figures):
    """What was sampled in the course of time is one line, with its median, least and most."""
    over_time = {}
    for figure in figures:
        if figure.axis == "seconds":
            key = (f"{figure.work}, over time", figure.variant, figure.unit)
            over_time.setdefault(key, []).append(figure.values[0])
    compare.print_table([figure for figure in figures if figure.axis != "seconds"]
                        + [compare.Figure(work, variant, values, unit) for (work, variant, unit), values in over_time.items()])
