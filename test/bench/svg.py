"""Charts of figures as SVG, legible in light and dark: ratios as dots on one axis, series as lines in panels."""
import math
import statistics

WIDTH = 800
COLORS = [("#0b6a8f", "#4fb3d9"), ("#c2571a", "#f0883e"), ("#6b7280", "#9aa4b2"), ("#8b5fbf", "#b794f4"), ("#2e8b57", "#56d364"),
          ("#9a7b00", "#e3b341")]
SHAPES = ["M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z", "M0 -6L6 0L0 6L-6 0Z", "M-4.5 -4.5H4.5V4.5H-4.5Z", "M0 -6L5.5 4.5H-5.5Z",
          "M-5.5 -4.5H5.5L0 6Z", "M-6 -2H-2V-6H2V-2H6V2H2V6H-2V2H-6Z"]
LIGHT, DARK = ("\n".join(f".c{number} {{ color: {color[mode]}; }}" for number, color in enumerate(COLORS)) for mode in (0, 1))
STYLE = f"""<style>
text {{ font: 12px system-ui, Helvetica, Arial, sans-serif; fill: #333; }}
text.head {{ font-size: 17px; font-weight: bold; }}
text.title {{ font-size: 13px; font-weight: bold; }}
.paper {{ fill: #fff; }}
.grid {{ stroke: #ddd; }}
.axis {{ stroke: #555; }}
.bar {{ stroke: #b3261e; stroke-width: 2; }}
{LIGHT}
@media (prefers-color-scheme: dark) {{
text {{ fill: #d0d7de; }}
.paper {{ fill: #161b22; }}
.grid {{ stroke: #30363d; }}
.axis {{ stroke: #8b949e; }}
.bar {{ stroke: #ff7b72; }}
{DARK}
}}
</style>
<rect class="paper" width="100%" height="100%"/>"""


def document(height, title, parts):
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
                      f'viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">', STYLE,
                      text(20, 30, title, "head"), *parts, "</svg>", ""])


def escape(words):
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def text(x, y, words, of_class="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{of_class}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x1, y1, x2, y2, of_class):
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" class="{of_class}"/>'


def mark(x, y, variant):
    number = variant % len(COLORS)
    return (f'<path transform="translate({x:.1f} {y:.1f})" d="{SHAPES[number]}" fill="currentColor" '
            f'class="c{number}"/>')


def legend(x, y, variants):
    parts, start = [], x
    for number, label in enumerate(variants):
        width = 32 + 6.4 * len(label)
        if x + width > start + WIDTH - 40:
            x, y = start, y + 20
        parts += [mark(x, y - 4, number), text(x + 11, y, label)]
        x += width
    return parts


def ratios(title, subtitle, figures):
    """Every work's ratios to the same without the extension, more is slower: the median, a line from the least to the
    most, and the bar."""
    base = {figure.work: figure for figure in figures if figure.is_base and not figure.variant.startswith("mktcontacts")}
    shown = [figure for figure in figures if figure.unit.startswith("×") and figure.work in base
             and figure.unit == "× " + base[figure.work].variant
             and (figure.bar or base[figure.work].variant == "bare table")]
    if not shown:
        return None
    works = list(dict.fromkeys(figure.work for figure in shown))
    variants = sorted(dict.fromkeys(map(name, shown)), key=lambda variant: not variant.startswith("mktcontacts"))
    left, top, row = 400, 128, 27
    bottom = top + row * len(works)
    low, high = 0.5, 1.1 * max(2, *(max(slowness(figure, base)) for figure in shown))

    def place(value):
        return left + (WIDTH - left - 40) * math.log(max(value, low) / low) / math.log(high / low)

    parts = [text(20, 52, subtitle), *legend(26, 82, variants),
             line(WIDTH - 60, 21, WIDTH - 60, 35, "bar"), text(WIDTH - 52, 32, "bar")]
    for tick in (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500):
        if tick <= high:
            parts += [line(place(tick), top - 8, place(tick), bottom, "axis" if tick == 1 else "grid"),
                      text(place(tick), bottom + 18, f"{tick:g}" + (" ×" if high < 20 else ""), anchor="middle")]
    for number, work in enumerate(works):
        y = top + row * number + row / 2
        of_work = [figure for figure in shown if figure.work == work]
        parts.append(text(left - 14, y + 4, work, anchor="end"))
        parts += [line(place(limit), y - 10, place(limit), y + 10, "bar") for limit in map(slowest_allowed, of_work) if limit]
        for figure in reversed(of_work):
            values, variant = slowness(figure, base), variants.index(name(figure))
            parts += [f'<path d="M{place(min(values)):.1f} {y:.1f}H{place(max(values)):.1f}" '
                      f'class="c{variant % len(COLORS)}" stroke="currentColor" stroke-width="2"/>',
                      mark(place(statistics.median(values)), y, variant)]
    return document(bottom + 34, title, parts)


def name(figure):
    return figure.variant if figure.unit == "× bare table" else "mktcontacts"


def slowness(figure, base):
    return [1 / value for value in figure.values] if base[figure.work].unit == "tps" else figure.values


def slowest_allowed(figure):
    return figure.bar and (1 / figure.bar.limit if figure.bar.at_least else figure.bar.limit)


def panels(title, subtitle, figures):
    """A panel for each work that has figures along an axis, a line for each variant."""
    figures = [figure for figure in figures if figure.axis]
    if not figures:
        return None
    works = list(dict.fromkeys((figure.work, figure.axis) for figure in figures))
    variants = list(dict.fromkeys(figure.variant for figure in figures))
    columns, top, height = 2, 70, 215
    parts = [text(20, 52, subtitle)]
    for number, (work, axis) in enumerate(works):
        of_work = [figure for figure in figures if (figure.work, figure.axis) == (work, axis)]
        parts += panel(WIDTH / columns * (number % columns), top + height * (number // columns), WIDTH / columns, height,
                       work if axis == "seconds" else f"{work}, by {axis}", of_work)
    return document(top + height * math.ceil(len(works) / columns), title, parts)


def panel(x, y, width, height, title, figures):
    variants = list(dict.fromkeys(figure.variant for figure in figures))
    left, right, bottom, top = x + 62, x + width - 22, y + height - 42, y + 52
    positions = sorted({figure.x for figure in figures})
    most = max(figure.median() for figure in figures)
    y_step = nice_step(most / 4)
    ticks = max(1, math.ceil(most / y_step))
    parts = [text(x + 20, y + 18, f"{title} ({figures[0].unit})", "title"), *legend(x + 26, y + 38, variants)]
    for tick in range(ticks + 1):
        height_of = bottom - (bottom - top) * tick / ticks
        parts += [line(left, height_of, right, height_of, "grid" if tick else "axis"),
                  text(left - 8, height_of + 4, short(tick * y_step), anchor="end")]

    many = len(positions) > 6  # an axis of numbers; few stand one beside the other

    def place(value):
        share = value / positions[-1] if many else (positions.index(value) + 0.5) / len(positions)
        return left + (right - left) * share

    x_step = nice_step(positions[-1] / 6)
    for position in [x_step * tick for tick in range(int(positions[-1] / x_step) + 1)] if many else positions:
        parts.append(text(place(position), bottom + 18, short(position), anchor="middle"))
    parts.append(text((left + right) / 2, bottom + 35, figures[0].axis, anchor="middle"))
    for number, variant in enumerate(variants):
        points = [(place(figure.x), bottom - (bottom - top) * figure.median() / (ticks * y_step))
                  for figure in figures if figure.variant == variant]
        parts.append(f'<path d="M{"L".join(f"{px:.1f} {py:.1f}" for px, py in points)}" fill="none" class="c{number}" '
                     f'stroke="currentColor" stroke-width="2"/>')
        parts += [mark(px, py, number) for px, py in points if not many]
    return parts


def nice_step(least):
    power = 10 ** math.floor(math.log10(least or 1))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= least)


def short(value):
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g} {letter}"
    return f"{value:.3g}"
