"""Shares of bins, training beside now: the small drawing of a feature or of the scores."""

from collections.abc import Sequence

from markupsafe import Markup

from monitoring.report.charts.svg import Scale, picture, tag, text
from monitoring.report.numbers import share

WIDTH, HEIGHT = 320, 118
BASE = HEIGHT - 18
MOST_BINS = 24
"""Of a category with more values the others are summed."""
OTHERS = "other values"


def shares(name: str, bins: Sequence[str], expected: Sequence[float], observed: Sequence[float]) -> Markup:
    """A pair of bars for each bin: grey in training, coloured now. Both lists are shares, shape (bins,)."""
    bins, expected, observed = _bounded(bins, expected, observed)
    y = Scale(0.0, max(0.01, *expected, *observed), BASE, 8)
    room = (WIDTH - 2) / max(len(bins), 1)
    bars = [
        _pair(1 + place * room, room, y, bin_, before, now)
        for place, (bin_, before, now) in enumerate(zip(bins, expected, observed, strict=True))
    ]
    words = [
        text(1, HEIGHT - 4, _short(bins[0]), class_="tick"),
        text(WIDTH - 1, HEIGHT - 4, _short(bins[-1]), anchor="end", class_="tick"),
    ]
    line = tag("line", x1=0, x2=WIDTH, y1=BASE, y2=BASE, class_="axis")
    return picture(WIDTH, HEIGHT, f"{name}: shares of {len(bins)} bins, training and now", line, *bars, *words)


def _pair(x: float, room: float, y: Scale, name: str, before: float, now: float) -> Markup:
    thick = max(0.8 * room / 2, 1.0)
    says = tag("title", f"{name}: {share(before)} in training, {share(now)} now")
    left = {"x": x + 0.1 * room, "y": y(before), "width": thick, "height": BASE - y(before)}
    right = {"x": x + 0.1 * room + thick, "y": y(now), "width": thick, "height": BASE - y(now)}
    whole = tag("rect", x=x, y=0, width=room, height=BASE, class_="hit")
    return tag("g", says, whole, tag("rect", class_="bar before", **left), tag("rect", class_="bar s0", **right))


def _bounded(
    bins: Sequence[str], expected: Sequence[float], observed: Sequence[float]
) -> tuple[Sequence[str], Sequence[float], Sequence[float]]:
    if len(bins) <= MOST_BINS:
        return bins, expected, observed
    kept = MOST_BINS - 1
    largest = sorted(range(len(bins)), key=lambda place: -max(expected[place], observed[place]))[:kept]
    places = sorted(largest)
    rest = [sum(values) - sum(values[place] for place in places) for values in (expected, observed)]
    return (
        [*(bins[place] for place in places), OTHERS],
        [*(expected[place] for place in places), max(rest[0], 0.0)],
        [*(observed[place] for place in places), max(rest[1], 0.0)],
    )


def _short(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:18]}…"
