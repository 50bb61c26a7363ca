"""Talks to the server under test: psql sessions that are timed and watched, pgbench, databases.

Everything else in this folder reaches PostgreSQL through here.
"""
import glob
import os
import shutil
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass

SENTINEL = "--- end of answer ---"


@dataclass
class Timing:
    seconds: float
    memory_mb: float  # by how much the backend's private memory grew at its peak


@dataclass
class Load:
    rate: float
    transactions: list  # (end in seconds since the epoch, latency in ms)

    def latency(self, fraction):
        latencies = sorted(latency for _, latency in self.transactions)
        return latencies[min(len(latencies) - 1, int(fraction * len(latencies)))]

    def between(self, start, end):
        return Load(self.rate, [t for t in self.transactions if start <= t[0] <= end])


class Session:
    """One psql, and so one backend, from the first statement to close()."""

    def __init__(self, database, settings=""):
        self.psql = subprocess.Popen(
            ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"PGOPTIONS": "-c client_min_messages=warning " + settings})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.psql.stdin.close()
        self.psql.wait()

    def run(self, sql):
        """The rows that the statements print, as one text."""
        self.psql.stdin.write(f"{sql}\n;SELECT '{SENTINEL}';\n")
        self.psql.stdin.flush()
        answer = []
        while (line := self.psql.stdout.readline().rstrip("\n")) != SENTINEL:
            if not line and self.psql.poll() is not None:
                raise RuntimeError("psql failed at: " + sql)
            answer.append(line)
        return "\n".join(answer)

    def time(self, sql):
        with PrivateMemory(int(self.run("SELECT pg_backend_pid()"))) as memory:
            start = time.perf_counter()
            self.run(sql)
            seconds = time.perf_counter() - start
        return Timing(seconds, memory.growth_mb())


class PrivateMemory:
    """The peak of a backend's private memory, looked at every few milliseconds.

    VmHWM in the same file would need no looking, but it counts the shared buffers that the backend has touched.
    """

    def __init__(self, pid):
        self.status = f"/proc/{pid}/status"
        self.stop = threading.Event()
        self.watcher = threading.Thread(target=self.watch)

    def __enter__(self):
        self.before = self.peak = self.read_kb()
        self.watcher.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.watcher.join()

    def watch(self):
        while not self.stop.wait(0.01):
            self.peak = max(self.peak, self.read_kb())

    def read_kb(self):
        with open(self.status) as status:
            return next((int(line.split()[1]) for line in status if line.startswith("RssAnon")), 0)

    def growth_mb(self):
        return (self.peak - self.before) / 1024


def query(database, sql, settings=""):
    with Session(database, settings) as session:
        return session.run(sql)


def single_user(database, lines, under=()):
    """What a single-user backend prints that executes the lines, each a statement; the server is stopped meanwhile."""
    folder = os.path.dirname(query(database, "SHOW data_directory"))
    data = os.path.join(folder, "data")
    as_server_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    backend = [*under, shutil.which("postgres"), "--single", "-D", data, "-c", "full_page_writes=off", "-c", "jit=off"]
    subprocess.run([*as_server_user, "pg_ctl", "-D", data, "-s", "-w", "stop"], check=True, cwd=folder)
    try:
        run = subprocess.run([*as_server_user, *backend, database], input="\n".join(lines), cwd=folder, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    finally:
        subprocess.run([*as_server_user, "pg_ctl", "-D", data, "-s", "-w", "-l", data + ".log", "start"],
                       check=True, cwd=folder)
    if run.returncode != 0 or "ERROR:" in run.stderr:
        raise RuntimeError(run.stderr)
    return run.stdout


def run_file(database, path, settings="", **variables):
    arguments = [argument for name, value in variables.items() for argument in ("-v", f"{name}={value}")]
    subprocess.run(["psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-o", os.devnull, "-d", database, "-f", path] + arguments,
                   check=True, env=os.environ | {"PGOPTIONS": "-c client_min_messages=warning " + settings})


def start_pgbench(database, script, *, clients=1, seconds, rate=None, settings="", seed=1):
    """A running pgbench; finish_pgbench() waits for it."""
    folder = tempfile.TemporaryDirectory(prefix="mktcontacts-pgbench-")
    with open(os.path.join(folder.name, "script"), "w") as file:
        file.write(script)
    command = ["pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, 2)),
               "-f", file.name, "-l", "--log-prefix", os.path.join(folder.name, "log"), f"--random-seed={seed}",
               "-T", str(seconds)]
    command += ["-R", str(rate)] if rate else []
    process = subprocess.Popen(command + [database], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=os.environ | {"PGOPTIONS": settings})
    process.folder = folder
    return process


def finish_pgbench(process):
    output, errors = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(output + errors)
    rate = next(float(line.split()[2]) for line in output.splitlines() if line.startswith("tps"))
    transactions = []
    for path in glob.glob(os.path.join(process.folder.name, "log*")):
        with open(path) as log:
            for line in log:
                field = line.split()
                transactions.append((int(field[4]) + int(field[5]) / 1e6, int(field[2]) / 1000))
    process.folder.cleanup()
    return Load(rate, transactions)


def pgbench(database, script, **options):
    return finish_pgbench(start_pgbench(database, script, **options))
