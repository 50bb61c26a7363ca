"""Makes a failed run of random.py as short as it can in the time there is.

A run is a list of steps; each can be done again in another database, in the
same order but without others before it, and the model works out anew what it
should do then.  So the steps that are needed for the failure are found by
leaving out ever smaller parts of the list (delta debugging).

What is left is printed as SQL for psql: the tables, then the statements, each
with the number of its session.
"""

import re
import time

import psycopg2


class Shrinker:
    """*make* makes a world like that of the failed run in another database,
    with rows in its tables or without, and perhaps fewer tables; *ops* are the failed run's steps and
    *failure* how the last of them failed."""

    def __init__(self, make, mismatch, ops, failure, seconds):
        self.make = make
        self.mismatch = mismatch
        self.ops = ops
        self.failure = failure
        self.deadline = time.time() + seconds
        self.fills, self.only = True, None
        self.tried = 0
        self.best = self.world = None

    def shrink(self):
        """Whether it failed again at all."""
        last = self.ops[-1:]
        without = [op for op in self.ops
                   if op.what not in ("check", "forecast", "look")]
        for ops in self.windows(without + [op for op in last
                                           if op not in without]):
            if self.fails(ops):
                break
        else:
            if not self.fails(self.ops):
                return False
        self.without_rows()
        self.without_kinds()
        size = max(len(self.best) // 2, 1)
        while self.leave_out(size) and size > 1:
            size = max(min(size, len(self.best)) // 2, 1)
        self.smaller_blocks()
        self.without_rows()
        self.without_tables()
        return True

    def windows(self, ops):
        """The end of the run first: mostly that is enough."""
        size = 40
        while size < len(ops):
            yield ops[-size:]
            size *= 4
        yield ops

    def without_rows(self):
        if self.fills:
            self.fills = False
            if not self.fails(self.best):
                self.fills = True

    def without_kinds(self):
        """Without a session, without a table, without looking."""
        tests = [lambda op: op.what in ("check", "forecast", "look")]
        tests += [lambda op, half=half: op.half == half for half in (0, 1)]
        tests += [lambda op, name=table.name: name in sql_of(op)
                  for table in self.world.tables]
        for test in tests:
            last = self.best[-1]
            shorter = [op for op in self.best if op is last or not test(op)]
            if len(shorter) < len(self.best):
                self.fails(shorter)

    def without_tables(self):
        """Only with those that are named; solo's trigger needs person."""
        sql = " ".join(sql for _, sql, _ in
                       self.world.script[self.world.begun:])
        self.only = {table.short_name() for table in self.world.tables
                     if re.search(r"\b%s" % table.short_name(), sql)}
        if "solo" in self.only:
            self.only.add("person")
        if not self.only or not self.fails(self.best):
            self.only = None

    def leave_out(self, size):
        """Tries without each part of that size, the last one first; False
        when the time is over.  With size 1 that is repeated while it helps."""
        again = True
        while again:
            again = False
            place = len(self.best) - 1
            while place >= 0:
                if time.time() > self.deadline:
                    return False
                start = max(place - size + 1, 0)
                shorter = self.best[:start] + self.best[place + 1:]
                place = start - 1
                if shorter and self.fails(shorter):
                    place = min(place, len(self.best) - 1)
                    again = size == 1
        return True

    def smaller_blocks(self):
        """DO blocks with fewer statements in them."""
        place = 0
        while place < len(self.best) and time.time() < self.deadline:
            op = self.best[place]
            place += 1
            for nodes in smaller(parts(op)):
                block = self.world.generator.block_of(nodes)
                if self.fails(self.best[:place - 1] + [
                        op._replace(arguments=(block,))] + self.best[place:]):
                    place -= 1
                    break

    def fails(self, ops):
        """Whether these steps fail in the same way; they are remembered up to
        the one that does."""
        if self.best is not None and time.time() > self.deadline:
            return False
        self.tried += 1
        world = self.make(self.fills, self.only)
        done, failure = 0, None
        try:
            world.set_up()
            for done, op in enumerate(ops):
                world.again(op)
            world.perform(ops[-1]._replace(what="look", half=2,
                                           arguments=(1,)))
        except (self.mismatch, psycopg2.Error) as caught:
            failure = caught
        world.close()
        if failure is None or kind(failure) != kind(self.failure):
            return False
        self.best, self.world, self.failure = ops[:done + 1], world, failure
        return True

    def lines(self):
        """The script, and what is wrong at its end."""
        world, script = self.world, self.world.script
        used = {half for half, _, _ in script[world.begun:]} | {2}
        yield ("-- Each line begins with the number of its session. Let one"
               " psql run those of each session, in this order:")
        for place, (half, sql, copied) in enumerate(script):
            if place == world.begun:
                yield "-- The tables are made."
            if half in used:
                yield from line(half, sql, copied)
        if world.asked:
            yield "-- This gives something else than the model expects:"
            half, clock, sql = world.asked
            yield from line(half, "SET mktcontacts.clock = '%s'" % clock, None)
            yield from line(half, sql, None)
        yield from ("-- " + text for text in str(self.failure).split("\n"))


def parts(op):
    """What a DO block is made of."""
    made_of = op.arguments[0].made_of if op.what == "run" else None
    return made_of if isinstance(made_of, list) else []


def smaller(nodes):
    """The same with one part less; a part that catches errors is three: what
    is in it, whether that ends in an error, and what is done then."""
    for place, node in enumerate(nodes):
        before, after = nodes[:place], nodes[place + 1:]
        if before or after:
            yield before + after
        if isinstance(node, tuple):
            inside, fails, then = node
            yield before + inside + after
            if then:
                yield before + [(inside, fails, [])] + after
            for less in smaller(inside):
                yield before + [(less, fails, then)] + after


def sql_of(op):
    return op.arguments[0].sql if op.what == "run" else ""


def line(half, sql, copied):
    sql = sql.strip().rstrip(";")
    yield "/* %d */ %s;" % (half, sql)
    if copied is not None:
        yield copied + "\\."


def kind(failure):
    """Failures of one kind have the same cause, with some luck: the SQLSTATE
    that the database gave, or that there is a difference, in what."""
    text = str(failure)
    found = re.search(r"database: ([0-9A-Z]{5}):", text)
    return type(failure).__name__, found and found.group(1)
