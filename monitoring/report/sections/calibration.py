"""Calibration: what was predicted beside what happened, now and at promotion."""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

from monitoring.records.figure import Figure, Subject
from monitoring.report.charts.dots import Bin, reliability
from monitoring.report.charts.over_time import Line, lines_over_time
from monitoring.report.evidence import Evidence
from monitoring.report.numbers import moment, number, told
from monitoring.report.sections.performance import points_of, windows_of
from monitoring.report.sections.section import (
    Cell,
    Chart,
    Section,
    Table,
    line_legend,
    numeric,
    p_cell,
    value_cells,
    verdict_cell,
)

TITLES = {"spiegelhalter_z": "Spiegelhalter's z", "calibration_error": "expected calibration error"}
NOW, BEFORE = 0, 1
Z = 1.959964


def calibration(evidence: Evidence) -> Section:
    """Of the version in Production, in its newest window with outcomes; all windows in the table."""
    figures = evidence.of(Subject.CALIBRATION)
    if not figures:
        return Section("calibration", "Calibration", ["Nothing was measured: no mature outcomes, or no probabilities."])
    newest = evidence.newest(Subject.CALIBRATION, version=evidence.version) or evidence.newest(Subject.CALIBRATION)
    drawn = next((each for each in newest if bins_of(each.detail)), None)
    lead = [f"Version {newest[0].version}, {moment(newest[0].as_of)}: {_sentence(newest)}."]
    charts = [
        *([_chart(drawn)] if drawn else []),
        *(_over_time(evidence, name) for name in TITLES if _has(figures, name)),
    ]
    tables = [*([_bins_table(drawn)] if drawn else []), _windows_table(figures)]
    return Section("calibration", "Calibration", lead, small=charts, tables=tables)


def bins_of(detail: Mapping[str, Any]) -> list[Bin]:
    """The bins in a figure's detail: lists `predicted`, `observed` and `n`; the intervals are Wilson's."""
    lists = [detail.get(name) for name in ("predicted", "observed", "n")]
    if not all(isinstance(each, Sequence) and not isinstance(each, str) for each in lists):
        return []
    return [_bin(*row) for row in zip(*lists, strict=False) if None not in row]


def _bin(predicted: float, observed: float, n: int) -> Bin:
    low, high = wilson(observed, n)
    says = f"predicted {number(predicted)}, observed {number(observed)} ({number(low)} to {number(high)}; n = {n:,})"
    return Bin(predicted, observed, low, high, says)


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share of n rows (Wilson 1927); the share itself where it is none."""
    if n <= 0 or not 0 <= share <= 1:
        return share, share
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def _sentence(figures: Sequence[Figure]) -> str:
    return ", ".join(f"{_title(each)} {told(each)}" for each in figures)


def _title(figure: Figure) -> str:
    about = f" of {figure.about}" if figure.about else ""
    return TITLES.get(figure.metric, figure.metric.replace("_", " ")) + about


def _chart(figure: Figure) -> Chart:
    promotion = figure.detail.get("promotion")
    before = bins_of(promotion) if isinstance(promotion, Mapping) else []
    series = [(BEFORE, before)] if before else []
    legend = line_legend([(NOW, f"now, {moment(figure.as_of)}"), *([(BEFORE, "at promotion")] if before else [])])
    drawn = reliability("Mean prediction and share of positives", [*series, (NOW, bins_of(figure.detail))], width=328)
    note = "Whiskers are 95 % intervals." + ("" if before else " The bins at promotion are not known.")
    return Chart("Predicted and observed", drawn, note=note, legend=legend)


def _has(figures: Sequence[Figure], metric: str) -> bool:
    return any(each.metric == metric and not each.about for each in figures)


def _over_time(evidence: Evidence, metric: str) -> Chart:
    figures = [each for each in evidence.of(Subject.CALIBRATION, metric) if not each.about]
    lines = [
        Line(version, points_of(each for each in figures if each.version == version), place)
        for place, version in enumerate(evidence.versions)
    ]
    title = f"{TITLES[metric][:1].upper()}{TITLES[metric][1:]} over time"
    return Chart(title, lines_over_time(title, windows_of(figures), lines, size=(328, 180)))


def _bins_table(figure: Figure) -> Table:
    promotion = figure.detail.get("promotion")
    sides = [("now", figure.detail), ("at promotion", promotion if isinstance(promotion, Mapping) else {})]
    rows = [
        [
            Cell(side),
            numeric(number(each.predicted)),
            numeric(number(each.observed)),
            numeric(f"{number(each.low)} to {number(each.high)}"),
            numeric(f"{n:,}"),
        ]
        for side, detail in sides
        for each, n in zip(bins_of(detail), detail.get("n", ()), strict=False)
    ]
    return Table("Bins", ("when", "predicted", "observed", "95 % interval", "n"), rows)


def _windows_table(figures: Sequence[Figure]) -> Table:
    rows = [
        [
            Cell(moment(each.as_of)),
            Cell(each.version),
            Cell(_title(each)),
            *value_cells(each),
            p_cell(each),
            verdict_cell(each),
        ]
        for each in reversed(figures)
    ]
    columns = ("window", "version", "figure", "value", "95 % interval", "n", "p", "verdict")
    return Table("Calibration, each window", columns, rows)
