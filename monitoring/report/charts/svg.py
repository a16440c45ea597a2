"""Elements, scales and axes of SVG."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

from markupsafe import Markup, escape

SERIES = 6
"""Colours of the style sheet, each with a mark of its own."""


def tag(name: str, *children: str, **attributes: str | float | None) -> Markup:
    """An element. `class_` is class, `stroke_width` stroke-width; attributes that are None are left out."""
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{words}>{''.join(escape(each) for each in children)}</{name}>")  # noqa: S704 - all is escaped


def _plain(value: str | float) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def picture(width: int, height: int, title: str, *children: str) -> Markup:
    """A whole drawing; `title` is what a screen reader says of it."""
    box = {"viewBox": f"0 0 {width} {height}", "width": str(width), "height": str(height)}
    return tag("svg", *children, role="img", aria_label=title, xmlns="http://www.w3.org/2000/svg", **box)


def text(x: float, y: float, words: str, *, anchor: str = "start", class_: str = "") -> Markup:
    """Words at a point; `anchor` is start, middle or end."""
    return tag("text", words, x=x, y=y, text_anchor=None if anchor == "start" else anchor, class_=class_ or None)


@dataclass(frozen=True)
class Scale:
    """From values, `low` to `high`, to places on the drawing, `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        if self.high == self.low:
            return (self.start + self.end) / 2
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: int = 5) -> list[float]:
        """At most so many round values in the range."""
        step = _round_step((self.high - self.low) / max(most, 1))
        first, last = ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def _round_step(least: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is not below `least`."""
    if least <= 0:
        return 1.0
    power = 10.0 ** floor(log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def spanning(values: Iterable[float | None], start: float, end: float, *, include: Sequence[float] = ()) -> Scale:
    """A scale on which all values have room, and those to `include` besides."""
    known = [each for each in (*values, *include) if each is not None and isfinite(each)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    room = 0.08 * (high - low) or max(abs(high) * 0.1, 0.01)
    return Scale(low if low in include else low - room, high if high in include else high + room, start, end)


def tick_text(value: float, step: float, *, percent: bool) -> str:
    """A value on an axis, with as many decimals as its step needs."""
    if percent:
        return f"{100 * value:.{max(0, -floor(log10(step * 100) + 1e-9))}f} %"
    return f"{value:,.{max(0, -floor(log10(step) + 1e-9))}f}"


def y_axis(scale: Scale, left: float, right: float, *, percent: bool = False, most: int = 5) -> list[Markup]:
    """Grid lines with their values at the left."""
    ticks = scale.ticks(most)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else abs(ticks[0]) if ticks and ticks[0] else 1.0
    lines = [tag("line", x1=left, x2=right, y1=scale(each), y2=scale(each), class_="grid") for each in ticks]
    words = [
        text(left - 6, scale(each) + 4, tick_text(each, step, percent=percent), anchor="end", class_="tick")
        for each in ticks
    ]
    return [*lines, *words]


def x_axis(scale: Scale, top: float, bottom: float, *, percent: bool = False, most: int = 5) -> list[Markup]:
    """Grid lines with their values below."""
    ticks = scale.ticks(most)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    lines = [tag("line", x1=scale(each), x2=scale(each), y1=top, y2=bottom, class_="grid") for each in ticks]
    words = [
        text(scale(each), bottom + 16, tick_text(each, step, percent=percent), anchor="middle", class_="tick")
        for each in ticks
    ]
    return [*lines, *words]


def mark(x: float, y: float, series: int, *, title: str, hollow: bool = False, ringed: bool = False) -> Markup:
    """The mark of a series at a point: each colour has a shape of its own, and says its numbers when pointed at."""
    size, shape = 4.0, series % SERIES
    kind = f"mark s{shape}{' hollow' if hollow else ''}"
    drawn = tag("circle", cx=x, cy=y, r=size, class_=kind) if shape == 0 else _polygon(x, y, size, shape, kind)
    ring = [tag("circle", cx=x, cy=y, r=size + 4, class_="ring")] if ringed else []
    return tag("g", tag("title", title), *ring, drawn)


def _polygon(x: float, y: float, size: float, shape: int, kind: str) -> Markup:
    corners: dict[int, list[tuple[float, float]]] = {
        1: [(-1, -1), (1, -1), (1, 1), (-1, 1)],
        2: [(0, -1.35), (1.25, 0.95), (-1.25, 0.95)],
        3: [(0, -1.4), (1.4, 0), (0, 1.4), (-1.4, 0)],
        4: [(0, 1.35), (1.25, -0.95), (-1.25, -0.95)],
        5: [(-1.4, -0.6), (1.4, -0.6), (1.4, 0.6), (-1.4, 0.6)],
    }
    points = " ".join(f"{x + size * right:.1f},{y + size * down:.1f}" for right, down in corners[shape])
    return tag("polygon", points=points, class_=kind)


def swatch(series: int, *, dashed: bool = False) -> Markup:
    """The line and mark of a series, for a legend."""
    line = tag("line", x1=0, x2=26, y1=7, y2=7, class_=f"line s{series % SERIES}{' dashed' if dashed else ''}")
    shape = mark(13.0, 7.0, series, title="", hollow=dashed)
    return tag("svg", line, shape, viewBox="0 0 26 14", width="26", height="14", aria_hidden="true")
