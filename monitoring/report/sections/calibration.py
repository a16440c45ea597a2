"""Calibration: what was predicted beside what happened, now and at promotion."""

from collections.abc import Mapping, Sequence
from typing import Any

from monitoring.records.figure import Figure, Subject
from monitoring.report.charts.dots import Bin, reliability
from monitoring.report.charts.over_time import Line, lines_over_time
from monitoring.report.evidence import Evidence
from monitoring.report.numbers import moment, number, told
from monitoring.report.sections.performance import first_capital, points_of, windows_of
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
from training.metrics.statistics import share_interval

TITLES = {"spiegelhalter_z": "Spiegelhalter's z", "calibration_error": "expected calibration error"}
NOW, BEFORE = 0, 1
MOST_CLASSES = 6
"""Of several classes so many are drawn; the table has all."""


def calibration(evidence: Evidence) -> Section:
    """Of the version in Production, in its newest window with outcomes; all windows in the table."""
    figures = evidence.of(Subject.CALIBRATION)
    if not figures:
        return Section("calibration", "Calibration", ["Nothing was measured: no mature outcomes, or no probabilities."])
    newest = evidence.newest(Subject.CALIBRATION, version=evidence.version) or evidence.newest(Subject.CALIBRATION)
    drawn = [each for each in newest if bins_of(each.detail)]
    classes = [each.about for each in drawn[:MOST_CLASSES]]
    said = ", ".join(f"{_title(each)} {told(each)}" for each in newest if each.about in classes)
    over_time = [_over_time(evidence, metric, about) for about in classes for metric in TITLES]
    return Section(
        "calibration",
        "Calibration",
        [f"Version {newest[0].version}, {moment(newest[0].as_of)}: {said or 'no bins are known'}."],
        small=[*map(_chart, drawn[:MOST_CLASSES]), *filter(None, over_time)],
        tables=[*([_bins_table(drawn)] if drawn else []), _windows_table(figures)],
    )


def bins_of(detail: Mapping[str, Any]) -> list[Bin]:
    """The bins in a figure's detail: lists `predicted`, `observed` and `n`."""
    lists = [detail.get(name) for name in ("predicted", "observed", "n")]
    if not all(isinstance(each, Sequence) and not isinstance(each, str) for each in lists):
        return []
    return [_bin(*row) for row in zip(*lists, strict=False) if None not in row]


def bins_at_promotion(detail: Mapping[str, Any]) -> list[Bin]:
    """Those at promotion, each with `predicted`, `observed` and `n`; none where they are not known."""
    return [_bin(each["predicted"], each["observed"], each["n"]) for each in detail.get("promotion") or ()]


def _bin(predicted: float, observed: float, n: int) -> Bin:
    low, high = share_interval(round(observed * n), n)
    says = f"predicted {number(predicted)}, observed {number(observed)} ({number(low)} to {number(high)}; n = {n:,})"
    return Bin(predicted, observed, low, high, n, says)


def _title(figure: Figure) -> str:
    return TITLES.get(figure.metric, figure.metric.replace("_", " ")) + _of(figure.about)


def _of(about: str) -> str:
    return f" of {about}" if about else ""


def _chart(figure: Figure) -> Chart:
    before, now = bins_at_promotion(figure.detail), bins_of(figure.detail)
    series = [(BEFORE, before)] if before else []
    legend = line_legend([(NOW, f"now, {moment(figure.as_of)}"), *([(BEFORE, "at promotion")] if before else [])])
    title = f"Predicted and observed{_of(figure.about)}"
    drawn = reliability(title, [*series, (NOW, now)], width=328)
    note = "Whiskers are 95 % intervals." + ("" if before else " The bins at promotion are not known.")
    return Chart(title, drawn, note=note, legend=legend)


def _over_time(evidence: Evidence, metric: str, about: str) -> Chart | None:
    figures = [each for each in evidence.of(Subject.CALIBRATION, metric) if each.about == about]
    if not figures:
        return None
    lines = [
        Line(version, points_of(each for each in figures if each.version == version), place)
        for place, version in enumerate(evidence.versions)
    ]
    title = first_capital(f"{TITLES[metric]}{_of(about)} over time")
    return Chart(title, lines_over_time(title, windows_of(figures), lines, size=(328, 180)))


def _bins_table(figures: Sequence[Figure]) -> Table:
    rows = [
        [
            Cell(f"{side}{_of(figure.about)}"),
            numeric(number(each.predicted)),
            numeric(number(each.observed)),
            numeric(f"{number(each.low)} to {number(each.high)}"),
            numeric(f"{each.n:,}"),
        ]
        for figure in figures
        for side, bins in (("now", bins_of(figure.detail)), ("at promotion", bins_at_promotion(figure.detail)))
        for each in bins
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
