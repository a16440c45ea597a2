"""Values with their intervals, one below another, and predicted against observed."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from monitoring.report.charts.svg import Scale, mark, picture, spanning, tag, text, x_axis, y_axis

ROW = 26
TOP, BOTTOM, MARGIN = 8, 24, 16


@dataclass(frozen=True)
class Dot:
    """One value: `hollow` of too few rows, `ringed` an alarm; `beside` is what it is compared with."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    says: str
    beside: float | None = None
    hollow: bool = False
    ringed: bool = False


def dots(title: str, rows: Sequence[Dot], *, width: int, percent: bool = False) -> Markup:
    """A row for each: its name above its value on narrow drawings, else at its left."""
    narrow = width < 600
    row, left = (ROW + 16, MARGIN) if narrow else (ROW, 240)
    height = TOP + BOTTOM + row * len(rows)
    x = spanning([end for each in rows for end in (each.value, each.low, each.high, each.beside)], left, width - MARGIN)
    parts: list[Markup] = x_axis(x, TOP, height - BOTTOM, percent=percent, most=4 if narrow else 7)
    for place, each in enumerate(rows):
        y = TOP + row * (place + 0.5) + (8 if narrow else 0)
        name = text(
            MARGIN if narrow else left - 10, y - 12 if narrow else y + 4, each.name, anchor="start" if narrow else "end"
        )
        parts += [name, _dot(each, x, y)]
    return picture(width, height, title, *parts)


def _dot(dot: Dot, x: Scale, y: float) -> Markup:
    if dot.value is None:
        return text(x.start, y + 4, "not known", class_="tick")
    parts = [tag("title", dot.says)]
    if dot.beside is not None:
        parts.append(tag("line", x1=x(dot.beside), x2=x(dot.beside), y1=y - 8, y2=y + 8, class_="beside"))
    if dot.low is not None and dot.high is not None:
        parts.append(tag("line", x1=x(dot.low), x2=x(dot.high), y1=y, y2=y, class_="whisker s0"))
    return tag("g", *parts, mark(x(dot.value), y, 0, title=dot.says, hollow=dot.hollow, ringed=dot.ringed))


@dataclass(frozen=True)
class Bin:
    """n rows of about the same prediction: the mean prediction, the outcome, its interval, and a sentence."""

    predicted: float
    observed: float
    low: float
    high: float
    n: int
    says: str


def reliability(title: str, series: Sequence[tuple[int, Sequence[Bin]]], *, width: int) -> Markup:
    """Predicted against observed, in a square, with the diagonal; each series is its number and its bins."""
    ends = [end for _, bins in series for each in bins for end in (each.predicted, each.low, each.high)]
    low, high = min(0.0, *ends), max(ends)
    if 0.5 < high <= 1.0 and low >= 0:
        high = 1.0
    x, y = Scale(low, high, 52, width - 20), Scale(low, high, width - 44, 18)
    percent = low >= 0 and high <= 1
    grid = [*y_axis(y, x.start, x.end, percent=percent), *x_axis(x, y.end, y.start, percent=percent)]
    line = tag("line", x1=x(low), y1=y(low), x2=x(high), y2=y(high), class_="diagonal")
    words = text((x.start + x.end) / 2, width - 8, "mean prediction", anchor="middle", class_="tick")
    drawn = [part for number, bins in series for part in _bins(number, bins, x, y)]
    return picture(width, width, title, *grid, line, *drawn, words)


def _bins(number: int, bins: Sequence[Bin], x: Scale, y: Scale) -> list[Markup]:
    path = " ".join(f"{x(each.predicted):.1f},{y(each.observed):.1f}" for each in bins)
    kind = f"s{number}" if number else "s0"
    parts = [tag("polyline", points=path, class_=f"line {kind}")]
    for each in bins:
        place = x(each.predicted)
        parts.append(tag("line", x1=place, x2=place, y1=y(each.low), y2=y(each.high), class_=f"whisker {kind}"))
        parts.append(mark(place, y(each.observed), number, title=each.says))
    return parts
