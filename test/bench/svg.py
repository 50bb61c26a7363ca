"""Charts of figures as SVG, legible in light and dark: ratios as dots on one axis, series as lines in panels."""
import math
import statistics

WIDTH = 800
COLORS = ["#0b6a8f", "#c2571a", "#6b7280", "#8b5fbf", "#2e8b57"]
SHAPES = ["M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z", "M0 -6L6 0L0 6L-6 0Z", "M-4.5 -4.5H4.5V4.5H-4.5Z", "M0 -6L5.5 4.5H-5.5Z",
          "M-5.5 -4.5H5.5L0 6Z"]
STYLE = """<style>
svg { background: #fff; font: 12px system-ui, Helvetica, Arial, sans-serif; }
text { fill: #333; } .head { font-size: 17px; font-weight: bold; } .title { font-size: 13px; font-weight: bold; }
.grid { stroke: #ddd; } .axis { stroke: #555; } .bar { stroke: #b3261e; stroke-width: 2; } .one { stroke: #555; stroke-dasharray: 2 3; }
@media (prefers-color-scheme: dark) {
svg { background: #161b22; } text { fill: #d0d7de; } .grid { stroke: #30363d; } .axis, .one { stroke: #8b949e; } .bar { stroke: #ff7b72; }
.c0 { filter: brightness(1.7); } .c1, .c2, .c3, .c4 { filter: brightness(1.35); }
}
</style>"""


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
    return (f'<path transform="translate({x:.1f} {y:.1f})" d="{SHAPES[number]}" fill="{COLORS[number]}" '
            f'class="c{number}"/>')


def legend(x, y, variants):
    parts = []
    for number, label in enumerate(variants):
        parts += [mark(x, y - 4, number), text(x + 11, y, label)]
        x += 32 + 6.6 * len(label)
    return parts


def ratios(title, subtitle, figures):
    """Every work's ratios to its base, more is slower: the median, a line from the least to the most, and the bar."""
    units = {figure.work: figure.unit for figure in figures if figure.is_base}
    shown = [figure for figure in figures if figure.unit.startswith("×") and figure.work in units]
    if not shown:
        return None
    works = list(dict.fromkeys(figure.work for figure in shown))
    variants = list(dict.fromkeys(figure.variant for figure in shown))
    left, top, row = 330, 118, 27
    height = top + row * len(works) + 46
    low, high = 0.5, max(2, *(max(slowness(figure, units)) for figure in shown))

    def place(value):
        return left + (WIDTH - left - 40) * math.log(max(value, low) / low) / math.log(high * 1.1 / low)

    parts = [text(20, 52, subtitle), *legend(26, 82, variants)]
    for tick in (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500):
        if low <= tick <= high * 1.1:
            parts += [line(place(tick), top - 8, place(tick), height - 46, "axis" if tick == 1 else "grid"),
                      text(place(tick), height - 30, f"{tick:g} ×", anchor="middle")]
    for number, work in enumerate(works):
        y = top + row * number + row / 2
        parts.append(text(left - 14, y + 4, work, anchor="end"))
        for figure in (figure for figure in shown if figure.work == work):
            values, variant = slowness(figure, units), variants.index(figure.variant)
            parts += [f'<path d="M{place(min(values)):.1f} {y:.1f}H{place(max(values)):.1f}" class="c{variant}" '
                      f'stroke="{COLORS[variant]}" stroke-width="2"/>', mark(place(statistics.median(values)), y, variant)]
            if figure.bar:
                limit = 1 / figure.bar.limit if figure.bar.at_least else figure.bar.limit
                parts.append(line(place(limit), y - 10, place(limit), y + 10, "bar"))
    return document(height, title, parts)


def slowness(figure, units):
    return [1 / value for value in figure.values] if units[figure.work] == "tps" else figure.values


def panels(title, subtitle, figures):
    """A panel for each work that has figures along an axis, a line for each variant."""
    figures = [figure for figure in figures if figure.axis]
    if not figures:
        return None
    works = list(dict.fromkeys((figure.work, figure.axis) for figure in figures))
    variants = list(dict.fromkeys(figure.variant for figure in figures))
    columns, top, height = 2, 70, 250
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
                     f'stroke="{COLORS[number % len(COLORS)]}" stroke-width="2"/>')
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
