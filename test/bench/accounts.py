"""What it costs to add contacts to accounts with a maximum, with an edition, or whose deleted contacts count.

A growing account with an edition is far from its next boundary most of the time. The starter here is always near one:
the clients take it through its tiers together, and it crosses a boundary every few hundred contacts.
"""
import compare
import server
from side import ATTACHED, Side

CLIENTS = 64
SECONDS = 2
PASSES = 3
ACCOUNTS = 1000

PARTS = ("attached", "without_history")
BESIDE = Side("no settings, others have", "beside", PARTS)
CAPPED = Side("maximum", "capped", PARTS)
FAR = Side("edition, far from a boundary", "far", PARTS)
CROSSES = Side("edition, crosses boundaries", "crosses", PARTS)
KEEPS = Side("deleted contacts count", "keeps", PARTS)
SIDES = [ATTACHED, BESIDE, CAPPED, FAR, CROSSES, KEEPS]

SETTINGS = {
    CAPPED: "maximum) SELECT {account}, 1000000000",
    FAR: "edition) SELECT {account}, 'vast'",
    CROSSES: "edition) SELECT {account}, 'starter'",
    KEEPS: "count_deleted) SELECT {account}, true",
}
VAST = """
INSERT INTO mkt.edition (edition) VALUES ('vast');
INSERT INTO mkt.increment (edition, valid_from, included, increment) VALUES ('vast', '2000-01-01', 1000000000, 1000);
"""

INSERT = """
INSERT INTO {table} (account_id, email, first_name, last_name, city, phone, lifecycle_stage, created_at,
                     marketing_status)
VALUES ({first}, 'new@example.org', 'Åse', 'Contact', 'Oslo', '+47 40000000', 'lead', now(), 'marketing');
"""
STATEMENTS = {
    "INSERT": """INSERT INTO {table} (account_id, email, first_name, last_name, city, lifecycle_stage, created_at,
                                      marketing_status)
                 SELECT {first} + i % {accounts}, 'contact.' || i || '@example.org', 'Åse', 'Contact ' || i, 'Oslo',
                        'lead', now(), CASE WHEN i % 2 = 0 THEN 'marketing'::mkt.status END
                 FROM generate_series(1, {rows}) AS i""",
    "UPDATE to marketing": "UPDATE {table} SET marketing_status = 'marketing'",
    "DELETE": "DELETE FROM {table}",
}


def run(bench):
    alone = bench.database + "_alone"
    server.query("postgres", f"DROP DATABASE IF EXISTS {alone}; CREATE DATABASE {alone}")
    server.query(alone, "CREATE EXTENSION mktcontacts")
    bench.query(VAST)
    for side in SIDES:
        side.create(database(bench, side))

    rate = compare.Passes(SIDES).take(lambda side: single_rows(bench, side), min(PASSES, bench.pairs))
    figures = rate.figures(f"INSERT, {CLIENTS} clients, one account", "tps", [])
    rows = bench.rows(100_000)
    bulk = {name: compare.Passes(SIDES) for name in STATEMENTS}
    for _ in range(min(PASSES, bench.pairs)):
        for name, passes in bulk.items():
            passes.take(lambda side, name=name: statement(bench, side, name, rows))
    for name, passes in bulk.items():
        figures += passes.figures(f"{name}, {rows:,} rows, {ACCOUNTS:,} accounts", "s", [])
    server.query("postgres", f"DROP DATABASE {alone} WITH (FORCE)")
    return figures


def database(bench, side):
    """Where no account has any settings, or some have."""
    return bench.database + "_alone" if side is ATTACHED else bench.database


def first_account(side):
    return 1 + SIDES.index(side) * 2 * ACCOUNTS


def start_anew(bench, side):
    """No contacts, and settings that nothing has happened to."""
    first, last = first_account(side), first_account(side) + ACCOUNTS - 1
    query = f"TRUNCATE {side.table}; DELETE FROM mkt.account WHERE account::bigint BETWEEN {first} AND {last}"
    if side in SETTINGS:
        query += ("; INSERT INTO mkt.account (account, " + SETTINGS[side].format(account="account::text")
                  + f" FROM generate_series({first}, {last}) AS account")
    server.query(database(bench, side), query + f"; CALL mkt.run(); VACUUM ANALYZE {side.table}; CHECKPOINT")


def single_rows(bench, side):
    start_anew(bench, side)
    return server.pgbench(database(bench, side), INSERT.format(table=side.table, first=first_account(side)),
                          clients=CLIENTS, seconds=SECONDS).rate


def statement(bench, side, name, rows):
    if name == "INSERT":
        start_anew(bench, side)
    else:
        server.query(database(bench, side), f"VACUUM ANALYZE {side.table}; CHECKPOINT")
    with server.Session(database(bench, side)) as session:
        session.run("SELECT mkt.now()")
        return session.time(STATEMENTS[name].format(table=side.table, first=first_account(side), accounts=ACCOUNTS,
                                                    rows=rows)).seconds
