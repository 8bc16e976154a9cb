"""A plot as SVG, without a drawing library: the mean as a line, and around it the band from least to most."""

import time
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from node.base.element import escape
from node.things.history.samples import Point

WIDTH, HEIGHT = 640, 240  # units of the picture
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 32, 28
TICKS = 4  # lines across, about
MINUTE, HOUR, DAY = 60, 3600, 86400  # seconds
TIMES = [minutes * MINUTE for minutes in (1, 5, 10, 30)] + [hours * HOUR for hours in (1, 2, 3, 6, 12)]
TIMES += [days * DAY for days in (1, 2, 7, 14, 30, 90)]
LABELS = 8  # below the plot, at the most

STYLE = (
    "text{font:12px sans-serif;fill:#555}.title{font-weight:bold;fill:#222}.grid{stroke:#ddd}"
    ".band{fill:#4a90d9;opacity:.25}.line{fill:none;stroke:#2b6cb0;stroke-width:2;stroke-linejoin:round}"
)


def plot(title: str, unit: str, begin: float, end: float, found: list[Point | None]) -> str:
    """Points of equal length from `begin` to `end` (Unix times) as an SVG document; a gap is what nobody knows."""
    known = [each for each in found if each is not None]
    low, high, step = scale(known)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def x(index: float) -> str:
        return f"{LEFT + index * (right - LEFT) / len(found):.1f}"

    def y(value: Decimal) -> str:
        return f"{bottom - float((value - low) / (high - low)) * (bottom - TOP):.1f}"

    parts = [f'<text class="title" x="{LEFT}" y="18">{escape(title)}{escape(f" ({unit})" if unit else "")}</text>']
    value = low
    while value <= high:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y(value)}" y2="{y(value)}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{float(y(value)) + 4:.1f}" text-anchor="end">{value:f}</text>')
        value += step
    for at, label in labels(begin, end):
        place = f"{LEFT + (at - begin) / (end - begin) * (right - LEFT):.1f}"
        parts.append(f'<line class="grid" x1="{place}" x2="{place}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(f'<text x="{place}" y="{HEIGHT - 8}" text-anchor="middle">{label}</text>')
    for start, run in runs(found):
        places = [(x(start + index + 0.5), each) for index, each in enumerate(run)]
        if len(run) == 1:  # a line needs two ends
            places = [(x(start), run[0]), (x(start + 1), run[0])]
        above = [f"{place},{y(each.high)}" for place, each in places]
        below = [f"{place},{y(each.low)}" for place, each in reversed(places)]
        parts.append(f'<polygon class="band" points="{" ".join(above + below)}"/>')
        parts.append(
            f'<polyline class="line" points="{" ".join(f"{place},{y(each.mean)}" for place, each in places)}"/>'
        )
    if not known:
        parts.append(f'<text x="{WIDTH // 2}" y="{HEIGHT // 2}" text-anchor="middle">nothing is known</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
        f'<style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>'
    )


def scale(known: list[Point]) -> tuple[Decimal, Decimal, Decimal]:
    """Lower end, upper end and step of the values' axis, in round numbers."""
    low = min((each.low for each in known), default=Decimal(0))
    high = max((each.high for each in known), default=Decimal(1))
    if low == high:
        low, high = low - 1, high + 1
    wanted = (high - low) / TICKS
    exponent = wanted.adjusted()
    step = next(step for step in (Decimal(n).scaleb(exponent) for n in (1, 2, 5, 10)) if step >= wanted)
    return (
        (low / step).to_integral_value(ROUND_FLOOR) * step,
        (high / step).to_integral_value(ROUND_CEILING) * step,
        step,
    )


def runs(found: list[Point | None]) -> list[tuple[int, list[Point]]]:
    """The parts without a gap, each with the index of its first."""
    parts: list[tuple[int, list[Point]]] = []
    gap = True
    for index, each in enumerate(found):
        if each is not None:
            if gap:
                parts.append((index, []))
            parts[-1][1].append(each)
        gap = each is None
    return parts


def labels(begin: float, end: float) -> list[tuple[float, str]]:
    """Round local times between the two, and how they are written."""
    step = next((each for each in TIMES if (end - begin) / each <= LABELS), TIMES[-1])
    form = "%H:%M" if step < DAY else "%d %b"
    ahead = time.localtime(begin).tm_gmtoff
    at = ((begin + ahead) // step + 1) * step - ahead
    found = []
    while at <= end:
        found.append((at, time.strftime(form, time.localtime(at))))
        at += step
    return found
