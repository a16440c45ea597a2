"""What a section of the page is made of; the template knows nothing else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from monitoring.records.figure import Figure, Verdict
from monitoring.report.charts.svg import swatch
from monitoring.report.numbers import interval, is_share, number, p_value

WIDE, NARROW = 1000, 328
"""Widths of a drawing for a desk and for a telephone; the style sheet shows one of them."""
SAID = {Verdict.OK: "ok", Verdict.NOTICE: "notice", Verdict.ALARM: "alarm", Verdict.TOO_FEW: "too few"}


@dataclass(frozen=True)
class Cell:
    """A cell; `kind` is text, number, code, or a verdict (which is marked by a sign, too)."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Table:
    """The first cell of a row is its heading. `open`: shown without being asked for."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    open: bool = False


@dataclass(frozen=True)
class Legend:
    """A line of a legend: a drawing and its name."""

    drawing: Markup
    name: str


@dataclass(frozen=True)
class Chart:
    """A drawing with its heading; `narrow` replaces it on a telephone. `verdict` marks the heading."""

    title: str
    wide: Markup
    narrow: Markup | None = None
    note: str = ""
    legend: Sequence[Legend] = ()
    verdict: str = ""


@dataclass(frozen=True)
class Section:
    """`lead` are sentences; `charts` stand below each other, `small` ones beside each other."""

    anchor: str
    title: str
    lead: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    small: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    legend: Sequence[Legend] = field(default=())


def both(draw: Callable[[int], Markup]) -> tuple[Markup, Markup]:
    """A drawing for a desk and one for a telephone."""
    return draw(WIDE), draw(NARROW)


def numeric(text: str) -> Cell:
    """A cell of a number."""
    return Cell(text, "number")


def verdict_cell(figure: Figure) -> Cell:
    """A cell of a verdict."""
    return Cell(SAID[figure.verdict], figure.verdict.value)


def value_cells(figure: Figure) -> list[Cell]:
    """Value, interval and n."""
    percent = is_share(figure)
    ends = interval(figure.low, figure.high, percent=percent)
    return [numeric(number(figure.value, percent=percent)), numeric(ends or "none"), numeric(f"{figure.n:,}")]


def p_cell(figure: Figure) -> Cell:
    """A cell of the p-value in the figure's detail."""
    return numeric(p_value(figure.detail.get("p_value")) or "none")


def line_legend(names: Sequence[tuple[int, str]], *, dashed: bool = False) -> list[Legend]:
    """A legend of lines, each by its series and name."""
    return [Legend(swatch(series, dashed=dashed), name) for series, name in names]
