#!/usr/bin/python3
"""Puts small faults into the C sources, one at a time, and runs the tests on
each until one fails.

The faults are those that people make: a comparison that includes its bound or
does not, + for -, a number off by one, a condition negated, && for ||, a
statement left out, true for false.  They are drawn by a seed, from all files in
turn, so that short files are looked at as closely as long ones.  A fault that
the compiler refuses, or that yields the same machine code, is no fault, and the
next one is drawn.

The tests nearest to its file are run on each fault, and the others, randomized
ones among them, on those that are left.  Every fault meets a new copy of the cluster, for what a killed test leaves
behind must not fail the next one.

run calls this in a copy of the project, as the user who owns the server.
"""

import argparse
import glob
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
WORK = os.path.dirname(ROOT)
BAR = 95

# Zones that move their clocks, skip a day, and skip midnight.
DATES = "test/update_dates.py Europe/Oslo Pacific/Apia America/Sao_Paulo"

# The tests nearest to each file, in the order in which they are run.  Names are
# regress tests, unless they end in .py (with arguments), .spec or .pl.
NEAREST = {
    "state": ["states", "states_after_the_instant", "statements"],
    "update_date": ["update_dates", DATES, "account_settings"],
    "account": ["account_settings", "update_dates", "renamed_and_altered",
                DATES, "settings_change_meanwhile.spec",
                "account_settings_in_bulk.spec"],
    "tier": ["tiers_and_quotes"],
    "quote": ["tiers_and_quotes", "price_data"],
    "count": ["usage_and_billable", "verify_and_repair", "statements",
              "run_and_fold", "deleted_contacts_count",
              "partition_statements_are_seen", "past_counts", "transactions"],
    "seal": ["sealed_counts", "readers_pass_by_what_is_sealed.spec",
             "run_and_fold"],
    "tally": ["tallies", "tallies_among_writers.spec", "transactions"],
    "limit": ["maximum", "deleted_contacts_count",
              "first_maximum_waits_for_writers.spec",
              "many_changes_at_once.spec"],
    "watch": ["tier_changes", "editions_in_mid_term", "downgrades", "periods",
              "billed_once"],
}

# What follows for every file.  The randomized tests are short here.
RANDOMIZED = ["test/random.py --seed 1 --statements 2000",
              "test/random.py --seed 3 --statements 2000",
              "test/billing.py --histories 1"]
QUOTES = "test/quotes.py"
# Tests that take long and belong to what is told apart by nothing else.
LAST = ["test/t/030_prepared.pl", "test/t/080_maximum.pl"]

# Leaving out what only frees memory is no fault that a test could see.
FREES = r"(pfree|list_free|list_free_deep|MemoryContextDelete|bms_free)\b"


class Mutant:
    """A piece of a file, and what stands there instead."""

    def __init__(self, path, start, end, text):
        self.path, self.start, self.end, self.text = path, start, end, text

    def describe(self, source):
        self.name = os.path.basename(self.path)[:-2]
        self.place = "%s:%d" % (self.path, source.count("\n", 0, self.start) + 1)
        begin = source.rfind("\n", 0, self.start) + 1
        until = source.find("\n", self.end)
        self.before = source[begin:until]
        self.after = source[begin:self.start] + self.text + source[self.end:until]
        return self

    def key(self):
        return "%s: %s => %s" % (self.path, squeeze(self.before), squeeze(self.after))


def squeeze(text):
    return re.sub(r"\s+", " ", text).strip()


# ---- finding faults ----

def without_comments(source):
    """The source with comments and strings blanked, at the same places."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group())
    return re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'', blank, source,
                  flags=re.S)


def bodies(code):
    """Where functions stand: their braces are in the first column."""
    for match in re.finditer(r"^\{$(.*?)^\}$", code, flags=re.S | re.M):
        head = code[:match.start()].rsplit("\n\n", 1)[-1]
        if "(" in head and "typedef" not in head:
            yield match.start(1), match.end(1)


SWAPS = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==",
    "&&": "||", "||": "&&", "+": "-", "-": "+", "*": "/", "/": "*", "%": "/",
    "+=": "-=", "-=": "+=", "&=": "|=", "|=": "&=", "++": "--", "--": "++",
    "true": "false", "false": "true",
}


def faults(path, source):
    code = without_comments(source)
    for start, end in bodies(code):
        body = code[start:end]
        yield from operators(path, body, start)
        yield from numbers(path, body, start)
        yield from conditions(path, body, start, source[start:end])
        yield from statements(path, body, start)


def operators(path, body, start):
    # what stands between blanks is binary; a pointer's star does not
    for match in re.finditer(r"(?<= )(<=?|>=?|==|!=|&&|\|\||[-+*/%]=?|[&|]=)(?=[ \n])|"
                             r"\+\+|--|\b(?:true|false)\b", body):
        if match.group() in SWAPS:
            yield Mutant(path, start + match.start(), start + match.end(),
                         SWAPS[match.group()])


def numbers(path, body, start):
    # not the 0 of {0}, (Datum) 0 or an array's size
    for match in re.finditer(r"(?<![\w.\[{])(?<!\(Datum\) )\d+\b(?![\w.\]}])", body):
        n = int(match.group())
        for other in (n + 1, n - 1):
            if other >= 0:
                yield Mutant(path, start + match.start(), start + match.end(),
                             str(other))


def conditions(path, body, start, text):
    for match in re.finditer(r"\b(?:if|while) \(", body):
        end = closing(body, match.end() - 1)
        yield Mutant(path, start + match.end(), start + end,
                     "!(" + text[match.end():end] + ")")


def statements(path, body, start):
    for match in re.finditer(r"(?<=[;{})\n])\s*\n(\t+)([a-zA-Z*][^;{}]*;)", body):
        text = match.group(2)
        if re.match(r"(return|break|continue|goto|case|default|if|while|for|do|else|"
                    r"switch|Assert|pg_unreachable|%s)" % FREES, text):
            continue
        # a declaration, with or without a value
        if re.match(r"(?:static |const |struct |unsigned )*[A-Za-z_]\w*\s+\**\s*[a-z_]\w*(?:\[|;| =|,)", text):
            continue
        yield Mutant(path, start + match.start(2), start + match.end(2), ";")
    for match in re.finditer(r"\n\t+(break|continue|return);", body):
        yield Mutant(path, start + match.start(1), start + match.end(1), "")


def closing(text, at):
    depth = 0
    while True:
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return at
        at += 1


def drawn(files, seed):
    """All faults, file by file in turn, each file's in an order of its own."""
    piles = []
    for name in files:
        path = "src/%s.c" % name
        source = open(os.path.join(ROOT, path)).read()
        pile = [mutant.describe(source) for mutant in faults(path, source)]
        pile = [m for m in pile if not re.search(r"\b(Assert|elog)\(", m.before)]
        random.Random("%s %s" % (seed, path)).shuffle(pile)
        piles.append(pile[::-1])
    while any(piles):
        for pile in piles:
            if pile:
                yield pile.pop()


# ---- building ----

class Build:
    """The project's objects, and the library where the server looks for it."""

    def __init__(self, headers):
        self.headers = headers
        folder = subprocess.check_output([os.environ["PG_CONFIG"], "--pkglibdir"], text=True)
        self.library = os.path.join(folder.strip(), "mktcontacts.so")
        if not self.make("all", stderr=None):
            sys.exit("does not build")

    def make(self, target, stderr=subprocess.DEVNULL):
        return subprocess.run(["make", "-s", target, "PG_CONFIG=" + self.headers],
                              stdout=subprocess.DEVNULL, stderr=stderr).returncode == 0

    def install(self):
        shutil.copy("mktcontacts.so", self.library + ".new")
        os.replace(self.library + ".new", self.library)

    def apply(self, mutant):
        """Builds and installs; False where there is nothing to test."""
        self.original = open(mutant.path).read()
        self.object = mutant.path[:-2] + ".o"
        shutil.copy(self.object, "original.o")
        with open(mutant.path, "w") as file:
            file.write(self.original[:mutant.start] + mutant.text +
                       self.original[mutant.end:])
        os.utime(self.object, (0, 0))
        if not self.make(self.object):
            return False
        if self.code(self.object) == self.code("original.o"):
            return False
        if not self.make("mktcontacts.so"):
            return False
        self.install()
        return True

    @staticmethod
    def code(path):
        """Without what tells of lines."""
        subprocess.check_call(["objcopy", "--strip-debug", "--remove-section=.note*",
                               path, "stripped.o"])
        return open("stripped.o", "rb").read()

    def restore(self, mutant):
        with open(mutant.path, "w") as file:
            file.write(self.original)
        shutil.copy("original.o", self.object)
        os.utime(self.object)


# ---- running ----

class Cluster:
    def __init__(self):
        self.data = os.path.join(WORK, "data")
        self.template = os.path.join(WORK, "template")
        self.control("stop", "-m", "fast")
        os.rename(self.data, self.template)

    def control(self, *what):
        return subprocess.run(["pg_ctl", "-D", self.data, "-s", "-w", *what],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def renew(self):
        if os.path.exists(self.data):
            self.control("stop", "-m", "immediate")
            shutil.rmtree(self.data)
        subprocess.check_call(["cp", "-r", self.template, self.data])
        self.control("start", "-l", os.path.join(WORK, "server.log"))


class Tests:
    def __init__(self):
        self.regress = names("test/sql/*.sql")
        self.isolation = names("test/specs/*.spec")
        self.seconds = {}       # what each step takes without a fault

    def near(self, name):
        """Commands, each with a name."""
        near = NEAREST.get(name, [])
        seen = [n for n in near if n in self.regress]
        for test in near:
            if test in seen:
                if test == seen[0]:
                    yield make("near " + name, REGRESS=" ".join(seen))
            elif test.endswith(".spec"):
                yield make(test, ISOLATION=test[:-5])
            else:
                yield python(test)

    def rest(self, name):
        # all of it: a test may miss what one that is left out would have left behind
        yield make("regress", REGRESS=" ".join(self.regress))
        for test in RANDOMIZED + ([QUOTES] if name in ("tier", "quote") else []):
            yield python(test)
        yield make("isolation", ISOLATION=" ".join(self.isolation))
        for test in LAST:
            yield make(test, PROVE_TESTS=test, TAP_TESTS="1")

    def run(self, step, limit):
        """What failed first, or None."""
        name, command, database = step
        if database:
            subprocess.run(["createdb", database], stderr=subprocess.DEVNULL)
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True,
                                   stderr=subprocess.STDOUT, errors="replace",
                                   start_new_session=True,
                                   env=dict(os.environ, PGDATABASE=database or "postgres"))
        signal.signal(signal.SIGALRM, lambda *_: kill(process))
        signal.alarm(int(limit))
        failed, last = None, ""
        for line in process.stdout:
            last = line.strip() or last
            found = re.match(r"(?:test|    )\s*(\S+).*\.\.\. FAILED|(not ok .*)", line)
            if found and not re.search("# (skip|todo)", line, re.I):
                failed = found.group(1) or found.group(2).strip()
                kill(process)
                break
        status = process.wait()
        late = signal.alarm(0) == 0
        if failed is None and status != 0:
            failed = "no answer in %d s" % limit if late else last[:60]
        self.last_run = time.monotonic() - started
        return failed and "%s: %s" % (name, failed) if failed != name else failed

    def without_faults(self, files):
        """All must pass, and how long that takes is the measure."""
        steps = {step[0]: step for file in files for step in [*self.near(file), *self.rest(file)]
                 if step[0].split()[0] != "near"}
        for step in steps.values():
            failed = self.run(step, 3600)
            if failed:
                sys.exit("fails without a fault: " + failed)
            self.seconds[step[0]] = self.last_run

    def limit(self, step):
        return 60 + 5 * self.seconds.get(step[0], self.seconds.get("regress", 120))

    def first_failure(self, cluster, steps):
        cluster.renew()
        for step in steps:
            failed = self.run(step, self.limit(step))
            if failed:
                return failed
        return None


def kill(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def names(pattern):
    return sorted(os.path.splitext(os.path.basename(p))[0] for p in glob.glob(pattern))


def make(name, **which):
    which = {"REGRESS": "", "ISOLATION": "", "TAP_TESTS": "", **which}
    return name, ["make", "-s", "installcheck"] + ["%s=%s" % w for w in which.items()], None


def python(command):
    database = re.sub(r"\W", "_", command.split()[0])
    return command.split()[0], ["/usr/bin/python3"] + command.split(), database


# ---- reporting ----

def read_equivalent():
    """Lines of the file: a fault, two blanks, a dash, the reason."""
    known = {}
    for line in open(os.path.join(ROOT, "test/mutate/equivalent")):
        if line.strip() and not line.startswith("#"):
            key, reason = line.rstrip("\n").split("  -- ")
            known[squeeze(key)] = reason
    return known


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--headers", help="the pg_config to build with")
    parser.add_argument("--count", type=int, default=160)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--files", default="")
    parser.add_argument("--at", default="")
    parser.add_argument("--trust", action="store_true", help="the tests pass without a fault")
    given = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    os.chdir(ROOT)
    lines = given.at.split()
    files = given.files.split() or sorted({l.split(":")[0][4:-2] for l in lines}) or list(NEAREST)
    known = read_equivalent()
    build, cluster, tests = Build(given.headers), Cluster(), Tests()

    print("seed %s, %s faults in %s" % (given.seed, given.count, ", ".join(files)))
    build.install()
    if not given.trust:
        cluster.renew()
        tests.without_faults(files)
        print("without a fault all tests pass, in %d s" % sum(tests.seconds.values()))

    # the nearest tests for all faults, then the rest for those that are left
    killed, left, equivalent = 0, [], 0
    for mutant in drawn(files, given.seed):
        if killed + len(left) >= given.count:
            break
        if lines and mutant.place not in lines:
            continue
        if mutant.key() in known:
            equivalent += 1
            continue
        if build.apply(mutant):
            failed = tests.first_failure(cluster, tests.near(mutant.name))
            tell(killed + len(left) + 1, mutant, failed or "nothing near")
            if failed:
                killed += 1
            else:
                left.append(mutant)
        build.restore(mutant)

    survived = []
    for mutant in left:
        build.apply(mutant)
        failed = tests.first_failure(cluster, tests.rest(mutant.name))
        tell("left", mutant, failed or "NOTHING")
        if failed:
            killed += 1
        else:
            survived.append(mutant)
        build.restore(mutant)

    for mutant in survived:
        print("\nNot noticed: %s\n-%s\n+%s" % (mutant.key(), mutant.before, mutant.after))
    total = killed + len(survived)
    print("\nseed %s: %d faults, %d noticed (%.1f %%), %d not; %d equivalent ones were left out" %
          (given.seed, total, killed, 100 * killed / max(total, 1), len(survived), equivalent))
    cluster.control("stop", "-m", "immediate")
    sys.exit(0 if total and 100 * killed >= BAR * total else 1)


def tell(number, mutant, failed):
    print("%s %s: %s\n    noticed by %s" % (number, mutant.place, squeeze(mutant.after), failed))


if __name__ == "__main__":
    main()
