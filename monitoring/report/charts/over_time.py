"""Lines and stacked bars over windows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from markupsafe import Markup

from asof.extracts.cadence import moment_text
from monitoring.report.charts.svg import SERIES, Scale, mark, picture, spanning, tag, text, y_axis

LEFT, RIGHT, TOP, BOTTOM = 52, 14, 26, 26
"""Margins of the drawings."""
LETTER, GAP = 6.6, 8.0
"""Widths of a character below an axis, and of the room between two names."""


@dataclass(frozen=True)
class Point:
    """A value with its interval; `hollow`: of too few rows, `ringed`: an alarm. `says` is its sentence."""

    at: datetime
    value: float
    says: str
    low: float | None = None
    high: float | None = None
    hollow: bool = False
    ringed: bool = False


@dataclass(frozen=True)
class Line:
    """Points in the order of windows; `series` chooses colour and mark."""

    name: str
    points: Sequence[Point]
    series: int = 0
    dashed: bool = False


@dataclass(frozen=True)
class Band:
    """An interval that held from one window to another, such as that at promotion."""

    first: datetime
    last: datetime
    value: float
    low: float
    high: float
    series: int
    says: str


@dataclass(frozen=True)
class Event:
    """Something that came before the window."""

    at: datetime
    label: str
    says: str


@dataclass(frozen=True)
class Axis:
    """The places of windows; `half` is half of the shortest step between two."""

    scale: Scale
    windows: Sequence[datetime]

    def __call__(self, moment: datetime) -> float:
        return self.scale(moment.timestamp())

    @property
    def half(self) -> float:
        if len(self.windows) < 2:
            return (self.scale.end - self.scale.start) / 2
        return min(self(after) - self(before) for before, after in pairwise(self.windows)) / 2

    def labels(self, y: float) -> list[Markup]:
        """The names of as many windows as have room, the newest always."""
        words, free = [], self.scale.end + RIGHT
        for moment in reversed(self.windows):
            name = moment_text(moment)
            half = LETTER * len(name) / 2
            middle = min(max(self(moment), half), self.scale.end + RIGHT - half)
            if middle + half <= free:
                words.append(text(middle, y, name, anchor="middle", class_="tick"))
                free = middle - half - GAP
        return words


def axis_of(windows: Sequence[datetime], left: float, right: float) -> Axis:
    """An axis with half a step of room on both sides."""
    seconds = [each.timestamp() for each in windows]
    steps = [after - before for before, after in pairwise(seconds)]
    room = min(steps, default=timedelta(days=1).total_seconds()) / 2
    return Axis(Scale(seconds[0] - room, seconds[-1] + room, left, right), windows)


def lines_over_time(
    title: str,
    windows: Sequence[datetime],
    lines: Sequence[Line],
    *,
    size: tuple[int, int],
    bands: Sequence[Band] = (),
    events: Sequence[Event] = (),
    percent: bool = False,
    include: Sequence[float] = (),
) -> Markup:
    """A line for each series, whiskers for intervals, bands behind them, and vertical marks for events."""
    width, height = size
    x = axis_of(windows, LEFT, width - RIGHT)
    ends = [end for line in lines for each in line.points for end in (each.value, each.low, each.high)]
    y = spanning(
        [*ends, *(end for band in bands for end in (band.low, band.high))], height - BOTTOM, TOP, include=include
    )
    return picture(
        width,
        height,
        title,
        *y_axis(y, LEFT, width - RIGHT, percent=percent, most=max(2, height // 45)),
        *x.labels(height - 8),
        *(_band(each, x, y) for each in bands),
        *_events(events, x, height),
        *(part for line in lines for part in _line(line, x, y)),
    )


def _band(band: Band, x: Axis, y: Scale) -> Markup:
    left, right = x(band.first) - x.half, x(band.last) + x.half
    top, bottom = y(band.high), y(band.low)
    area = tag(
        "rect", x=left, y=top, width=right - left, height=max(bottom - top, 1.0), class_=f"band s{band.series % SERIES}"
    )
    middle = tag(
        "line", x1=left, x2=right, y1=y(band.value), y2=y(band.value), class_=f"middle s{band.series % SERIES}"
    )
    return tag("g", tag("title", band.says), area, middle)


def _events(events: Sequence[Event], x: Axis, height: int) -> Iterable[Markup]:
    """Labels that would meet stand on the other of two lines, or are left to what the mark says."""
    ends = [0.0, 0.0]
    for event in events:
        place = x(event.at) - x.half
        row = next((number for number, end in enumerate(ends) if place > end), None)
        label = [] if row is None else [text(place + 3, 10 + 11 * row, event.label, class_="event")]
        if row is not None:
            ends[row] = place + 8 + 7 * len(event.label)
        line = tag("line", x1=place, x2=place, y1=2, y2=height - BOTTOM, class_="event")
        yield tag("g", tag("title", event.says), line, *label)


def _line(line: Line, x: Axis, y: Scale) -> Iterable[Markup]:
    kind = f"s{line.series % SERIES}{' dashed' if line.dashed else ''}"
    path = " ".join(f"{x(each.at):.1f},{y(each.value):.1f}" for each in line.points)
    if len(line.points) > 1:
        yield tag("polyline", points=path, class_=f"line {kind}")
    for each in line.points:
        if each.low is not None and each.high is not None:
            yield tag("line", x1=x(each.at), x2=x(each.at), y1=y(each.low), y2=y(each.high), class_=f"whisker {kind}")
        yield mark(
            x(each.at),
            y(each.value),
            line.series,
            title=each.says,
            hollow=each.hollow or line.dashed,
            ringed=each.ringed,
        )


@dataclass(frozen=True)
class Stack:
    """The parts of one window from below; each is its series, its value and its sentence."""

    at: datetime
    parts: Sequence[tuple[int, float, str]]


def bars_over_time(
    title: str, windows: Sequence[datetime], stacks: Sequence[Stack], *, size: tuple[int, int], percent: bool = False
) -> Markup:
    """A bar for each window, of its parts one upon another."""
    width, height = size
    x = axis_of(windows, LEFT, width - RIGHT)
    highest = max((sum(value for _, value, _ in each.parts) for each in stacks), default=0.0)
    y = Scale(0.0, highest if percent and highest else highest * 1.08 or 1.0, height - BOTTOM, 10)
    grid = y_axis(y, LEFT, width - RIGHT, percent=percent, most=max(2, height // 45))
    return picture(width, height, title, *grid, *x.labels(height - 8), *(_stack(each, x, y) for each in stacks))


def _stack(stack: Stack, x: Axis, y: Scale) -> Markup:
    parts, below = [], 0.0
    thick = max(2.0, min(1.5 * x.half, 40.0))
    for series, value, says in stack.parts:
        top, bottom = y(below + value), y(below)
        if value > 0:
            bar = {"x": x(stack.at) - thick / 2, "y": top, "width": thick, "height": max(bottom - top, 0.5)}
            parts.append(tag("rect", tag("title", says), class_=f"bar s{series % SERIES}", **bar))
        below += value
    return tag("g", *parts)
