"""Compares sides: passes in alternating order, ratios within each pass, and the table of figures that comes of them."""
import csv
import statistics
from dataclasses import dataclass


@dataclass
class Bar:
    limit: float
    at_least: bool = False

    def __str__(self):
        return ("≥ " if self.at_least else "≤ ") + number(self.limit)

    def verdict(self, value):
        if value >= self.limit if self.at_least else value <= self.limit:
            return "met"
        factor = self.limit / value if self.at_least else value / self.limit
        return f"missed by {abs(value / self.limit - 1):.0%}" if factor < 2 else f"missed by a factor of {factor:.1f}"


@dataclass
class Figure:
    """One line of the table."""
    work: str
    variant: str
    values: list
    unit: str
    bar: Bar = None
    is_base: bool = False  # what the others are compared with
    x: float = None  # where it stands in a series
    axis: str = ""  # of what

    def median(self):
        return statistics.median(self.values)

    def cells(self):
        middle = self.median()
        figures = [number(value) for value in (middle, min(self.values), max(self.values))]
        return [self.work + (f", {self.x:,.0f} {self.axis}" if self.axis else ""), self.variant, *figures, self.unit, str(len(self.values)),
                str(self.bar or ""), self.bar.verdict(middle) if self.bar else ""]


HEADINGS = ["work", "variant", "median", "min", "max", "unit", "n", "bar", "verdict"]


def number(value):
    """Three significant digits, never in exponents."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


class Passes:
    """What measure(side) gave in every pass. The order of the sides is reversed from one pass to the next, so that
    drift of the machine favours nobody. Rivals, which need no narrow answer, take part in the first passes only."""

    def __init__(self, sides, rivals=(), rival_count=0):
        self.sides, self.rivals, self.rival_count = list(sides), list(rivals), rival_count
        self.taken = []

    def take(self, measure, count=1):
        for _ in range(count):
            order = self.sides + (self.rivals if len(self.taken) < self.rival_count else [])
            if len(self.taken) % 2:
                order.reverse()
            self.taken.append({side: measure(side) for side in order})
        return self

    def values(self, side, of=lambda value: value):
        return [of(taken[side]) for taken in self.taken if side in taken]

    def ratios(self, side, base, of=lambda value: value):
        return [of(taken[side]) / of(taken[base])
                for taken in self.taken if side in taken and base in taken]

    def figures(self, work, unit, bars, of=lambda value: value):
        """The first side in its own unit, every other side as a ratio to it, those after the first against their bars."""
        base, bars = self.sides[0], dict(zip(self.sides[1:], bars))
        lines = [Figure(work, base.label, self.values(base, of), unit, is_base=True)]
        for side in self.sides[1:] + self.rivals:
            ratios = self.ratios(side, base, of)
            if ratios:
                lines.append(Figure(work, side.label, ratios, f"× {base.label}", bars.get(side)))
        return lines


def noise(figures):
    """By how much, typically, the slowest and the fastest of equal measurements differed."""
    return statistics.median(max(figure.values) / min(figure.values) - 1 for figure in figures)


def print_table(figures):
    rows, works = [HEADINGS], [None]
    for figure in figures:
        work, *cells = figure.cells()
        rows.append([work if work != works[-1] else "", *cells])
        works.append(work)
    print_columns(rows, numbers=range(2, 5), rules=[index for index in range(1, len(works)) if rows[index][0]])


def print_columns(rows, numbers=(), rules=(1,)):
    """The numbers are columns that are aligned to the right, the rules rows that begin with a line across."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for index, row in enumerate(rows):
        if index in rules:
            print("  ".join("-" * width for width in widths))
        print("  ".join(cell.rjust(width) if column in numbers else cell.ljust(width)
                        for column, (cell, width) in enumerate(zip(row, widths))).rstrip())
    print(flush=True)


def write_csv(path, machine, figures):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([f"# {machine}"])
        writer.writerow(HEADINGS)
        writer.writerows(figure.cells() for figure in figures)
