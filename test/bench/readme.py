"""Writes the figures of bench.csv and scaling.csv into README's chapter on speed, between its marks.

    python3 test/bench/readme.py
"""
import csv
import os
import re
import textwrap
from collections import defaultdict

FOLDER = os.path.dirname(os.path.abspath(__file__))
README = os.path.join(FOLDER, "..", "..", "README.md")
SIDES = ["mktcontacts", "mktcontacts with history", "triggers that do nothing", "plpgsql, statement triggers", "plpgsql, counter row", "pg_ivm"]
COSTS = ["bare table", "mktcontacts", "mktcontacts with history"]


def read(name):
    """The line about the machine, and by work and variant the lines of figures."""
    with open(os.path.join(FOLDER, name + ".csv"), newline="") as file:
        lines = csv.reader(file)
        machine = next(lines)[0].removeprefix("# ")
        works = defaultdict(list)
        for line in csv.DictReader(file, fieldnames=next(lines)):
            works[line["work"]].append(line)
    return machine, works


def table(headings, rows):
    """Columns with a heading hold numbers."""
    lines = [headings, ["---", *("---:" if heading else "---" for heading in headings[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def times(works):
    """Whatever was compared with the bare table, as multiples of its time."""
    rows = []
    for work, lines in works.items():
        base = lines[0]
        if base["variant"] != "bare table" or base["unit"] not in ("s", "tps") or len(lines) < 2:
            continue
        ratio = {line["variant"]: line["median"] for line in lines if line["unit"] == "× bare table"}
        if base["unit"] == "tps":
            ratio = {variant: number(1 / float(value)) for variant, value in ratio.items()}
        unit = "a second" if base["unit"] == "tps" else "s"
        rows.append([work, f"{base['median']} {unit}"] + [ratio.get(side, "") for side in SIDES])
    return table(["work", "bare table", "mktcontacts", "with history", "empty triggers", "plpgsql", "plpgsql, counter", "pg_ivm"], rows)


def others(works):
    """The rest of what has a bar, and reads."""
    rows = [[line["work"], line["variant"], f"{line['median']} {line['unit']}", line["bar"]]
            for lines in works.values() for line in lines
            if line["unit"] != "× bare table" and (line["bar"] or line["work"].startswith(("reads", "mkt.usage")))]
    return table(["", "", "median", "bar"], rows)


def costs(works):
    rows = []
    for work, lines in works.items():
        if work.endswith(", instructions a row"):
            name = work.removesuffix(", instructions a row")
            both = [{line["variant"]: line["median"] for line in works[f"{name}, {unit} a row"]}
                    for unit in ("instructions", "bytes of WAL")]
            rows.append([name] + [of[side] for of in both for side in COSTS])
    headings = ["bare table", "mktcontacts", "with history"]
    return table(["a row", *(f"instructions, {heading}" for heading in headings), *(f"WAL, {heading}" for heading in headings)],
                 rows)


def billion(works):
    """What the largest measured size means for a hundred or a thousand times as many contacts."""
    by_size = defaultdict(dict)
    for work, lines in works.items():
        if match := re.fullmatch(r"(.*), ([\d,]+) contacts", work):
            for line in lines:
                by_size[int(match[2].replace(",", ""))][match[1], line["variant"]] = float(line["median"])
    least, most = min(by_size), max(by_size)
    few, many = by_size[least], by_size[most]
    size = {name: many["size", name] for name in ("bare table", "contacts", "history", "counts")}
    history, read, write = SIDES[1], ("reads, p99", "mkt.billable"), ("status UPDATE, single rows", SIDES[1])
    bare_write = ("status UPDATE, single rows", "bare table")
    return textwrap.fill(f"""With {most:,} contacts, a contact took {size["contacts"]:.0f} bytes with its indexes, {size["bare table"]:.0f} in the
bare table; {size["history"]:.0f} for one change in its history; and {size["counts"]:.2g} in the counts. So
1,000,000,000 contacts take {size["contacts"]:.0f} GB (bare table {size["bare table"]:.0f}), each change of all of them
{size["history"]:.0f} GB of history, and the counts grow with the accounts, not with the contacts. At
{many["COPY", history]:.3g} µs a contact, COPY takes {duration(many["COPY", history])} (bare table
{duration(many["COPY", "bare table"])}); applying a fifth of them at {many["apply and verify", "mkt.apply_updates"]:.3g} µs each
{duration(many["apply and verify", "mkt.apply_updates"] / 5)}, in short transactions, and no count waits for it; recounting
all by `mkt.verify()` {duration(many["apply and verify", "mkt.verify"])}. What one user waits for: from
{least:,} to {most:,} contacts, `mkt.billable` went from {few[read]:.2g} to {many[read]:.2g} ms (p99), and single status
changes from {few[write]:,.0f} to {many[write]:,.0f} a second (bare table from {few[bare_write]:,.0f} to
{many[bare_write]:,.0f}).""", 100) + "\n"


def duration(microseconds):
    """Of a thousand million times as many."""
    minutes = microseconds * 1000 / 60
    return f"{minutes / 60:.1f} hours" if minutes >= 60 else f"{minutes:.2g} minutes"


def number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def main():
    machine, works = read("bench")
    parts = {"chart": "![What mktcontacts costs](test/bench/bench.svg)\n", "machine": f"On {machine}:\n",
             "times": times(works), "others": others(works), "costs": costs(works)}
    if os.path.exists(os.path.join(FOLDER, "scaling.csv")):
        other_machine, works = read("scaling")
        parts |= {"scaling chart": "![At different sizes](test/bench/scaling.svg)\n",
                  "scaling machine": "On the same machine:\n" if other_machine == machine else f"On {other_machine}:\n",
                  "billion": billion(works)}
    with open(README) as file:
        text = file.read()
    for name, part in parts.items():
        text = re.sub(f"(<!-- {name} -->\n).*?(<!-- end -->)", lambda match: match[1] + part + match[2], text, flags=re.S)
    with open(README, "w") as file:
        file.write(text)


if __name__ == "__main__":
    main()
