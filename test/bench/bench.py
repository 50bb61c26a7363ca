"""Runs the benchmarks named as arguments, or all, against the server that the environment points to.

    BENCH_PAIRS  passes over bare and attached table   5
    BENCH_RIVAL_PAIRS  of these also with the rivals   1
    BENCH_SCALE  factor on all numbers of rows         1
    BENCH_OUTPUT folder for the figures as CSV and the charts as SVG; by default this one

Without arguments the files are bench.csv and bench.svg, else they are named after the benchmarks. Scaling is a benchmark
that runs only when it is named. Times are reported, never judged: the exit code is 1 only when a count was wrong.
"""
import os
import sys
import tempfile
import time

import accounts
import apply
import attach
import billable
import bulk
import compare
import costs
import history
import one_account
import reads
import scaling
import server
import side
import svg
import unrelated
import workflows

BENCHMARKS = {"costs": costs, "unrelated": unrelated, "one_account": one_account, "bulk": bulk, "billable": billable, "apply": apply,
              "reads": reads, "history": history, "accounts": accounts, "attach": attach, "workflows": workflows}
ON_DEMAND = {"scaling": scaling}


class Bench:
    """What a benchmark may ask for: how much to do, a folder for files, a database, a side with contacts in it."""

    def __init__(self, folder):
        self.pairs = int(os.environ.get("BENCH_PAIRS", "5"))
        self.rival_pairs = min(self.pairs, int(os.environ.get("BENCH_RIVAL_PAIRS", "1")))
        self.scale = float(os.environ.get("BENCH_SCALE", "1"))
        self.folder, self.files = folder, {}
        self.figures = []
        self.database = None
        self.has_pg_ivm = False

    def rows(self, at_scale_one):
        return max(1000, int(at_scale_one * self.scale))

    def rivals(self, *sides):
        return [rival for rival in sides if rival is not side.IMMV or self.has_pg_ivm]

    def contacts_file(self, rows, accounts, extra=""):
        """A file of contacts that the server can COPY."""
        query = side.contact_rows(rows, accounts, extra)
        if query not in self.files:
            self.files[query] = os.path.join(self.folder, f"contacts-{len(self.files)}")
            self.query(f"COPY ({query}) TO '{self.files[query]}'")
        return self.files[query]

    def copy_sql(self, of, path, extra_columns=""):
        return f"COPY {of.table} ({side.CONTACT_COLUMNS}{extra_columns}) FROM '{path}'"

    def query(self, sql, settings=""):
        return server.query(self.database, sql, settings)

    def time(self, sql, settings=""):
        """One statement's time and memory, in a session that has used the extension before: its library is loaded."""
        with server.Session(self.database, settings) as session:
            session.run("SELECT mkt.now()")
            return session.time(sql)

    def settle(self, of):
        """Puts a table in the same condition before each measurement."""
        self.query(f"VACUUM ANALYZE {of.table}; CHECKPOINT")

    def run(self, name, benchmark):
        self.database = "bench_" + name
        server.query("postgres", f"DROP DATABASE IF EXISTS {self.database}; CREATE DATABASE {self.database}")
        self.query("CREATE EXTENSION mktcontacts")
        self.has_pg_ivm = create_pg_ivm(self)
        start = time.monotonic()
        figures = benchmark.run(self)
        right = counts_are_exact(self, getattr(benchmark, "CLOCK", ""))
        print(f"{name}: {benchmark.__doc__.splitlines()[0]}  [{time.monotonic() - start:.0f} s, "
              f"counts {'exact' if right else 'WRONG'}]\n")
        getattr(benchmark, "print_table", compare.print_table)(figures)
        self.figures += figures
        server.query("postgres", f"DROP DATABASE {self.database} WITH (FORCE)")
        return right


def create_pg_ivm(bench):
    available = bench.query("SELECT count(*) FROM pg_catalog.pg_available_extensions WHERE name = 'pg_ivm'")
    if available == "1":
        bench.query("CREATE EXTENSION pg_ivm")
    return available == "1"


def counts_are_exact(bench, settings):
    """Two oracles: the extension's own recount, and one that uses nothing of the extension but the answer."""
    differences = bench.query("SELECT * FROM mkt.verify()", settings)
    tables = bench.query("SELECT contacts FROM mkt.attachment").split()
    contacts = " UNION ALL ".join(f"SELECT account_id, marketing_status, marketing_until FROM {table}" for table in tables)
    differences += bench.query(f"""
        SELECT account_id, mkt.billable(account_id::text), actual
        FROM (SELECT account_id,
                     count(*) FILTER (WHERE marketing_status = 'marketing'
                                      AND (marketing_until IS NULL OR marketing_until > mkt.now())) AS actual
              FROM ({contacts}) AS contact GROUP BY account_id) AS recount
        WHERE actual <> mkt.billable(account_id::text)
        LIMIT 10""", settings)
    if differences:
        print("wrong counts:\n" + differences)
    return not differences


def describe_machine(bench):
    with open("/proc/meminfo") as meminfo:
        memory_gb = int(meminfo.readline().split()[1]) / 1024 / 1024
    with open("/proc/cpuinfo") as cpuinfo:
        model = next((line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name")), "unknown")
    version, shared_buffers, pg_ivm = server.query("postgres", """
        SELECT pg_catalog.current_setting('server_version');
        SELECT pg_catalog.current_setting('shared_buffers');
        SELECT coalesce(max(default_version), 'absent') FROM pg_catalog.pg_available_extensions WHERE name = 'pg_ivm'
        """).splitlines()
    return (f"{os.cpu_count()} cores ({model}), {memory_gb:.0f} GB; PostgreSQL {version.split()[0]}, "
            f"shared_buffers {shared_buffers}; pg_ivm {pg_ivm}; {bench.pairs} pairs, rivals {bench.rival_pairs}, "
            f"scale {bench.scale:g}")


def write_files(name, machine, figures):
    """The figures as CSV, and as SVG what of them makes a chart."""
    path = os.path.join(os.environ.get("BENCH_OUTPUT", os.path.dirname(os.path.abspath(__file__))), name)
    compare.write_csv(path + ".csv", machine, figures)
    written = [path + ".csv"]
    chart = (svg.panels("mktcontacts at different sizes", machine, figures)
             or svg.ratios("What mktcontacts costs: time as a multiple of the same without it", machine, figures))
    if chart:
        with open(path + ".svg", "w") as file:
            file.write(chart)
        written.append(path + ".svg")
    print("Written: " + ", ".join(map(os.path.relpath, written)))


def main():
    known = BENCHMARKS | ON_DEMAND
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(unknown)}; there are: {', '.join(known)}")
    with tempfile.TemporaryDirectory(prefix="mktcontacts-bench-") as folder:
        os.chmod(folder, 0o777)  # the server writes into it, as another user
        bench = Bench(folder)
        machine = describe_machine(bench)
        print(f"{machine}; load {os.getloadavg()[0]:.1f}\n", flush=True)
        right = [bench.run(name, known[name]) for name in names]
    judged = [figure for figure in bench.figures if figure.bar]
    if judged:
        missed = sum(figure.cells()[-1].startswith("missed") for figure in judged)
        print(f"{len(judged) - missed} bars met, {missed} missed")
    if bench.pairs > 1 and (equal := [figure for figure in bench.figures if figure.is_base]):
        print(f"Equal measurements without the extension differ by {compare.noise(equal):.0%} (max over min, typically).")
    write_files("-".join(sys.argv[1:]) or "bench", machine, bench.figures)
    sys.exit(0 if all(right) else 1)


if __name__ == "__main__":
    main()
